//! Errors, limits and strangers' bytes; the proof of what survives is `proof_tests`.

use proptest::prelude::*;

use super::flash::{Flash, FlashError, Geometry};
use super::log::{CommitError, Effect, Log, OpenError, State};
use super::proof_tests::{GEOMETRIES, open, payload, run};
use super::recover::Rules;
use super::sim::{Operation, SimFlash};

#[test]
fn an_idle_store_writes_nothing() {
    let run = run(GEOMETRIES[1].0, 10, Rules::ALL);
    let flash = SimFlash::with_image(run.geometry, run.image);
    let (log, model) = open(flash, Rules::ALL).unwrap();
    assert_eq!(model, run.states[10]);
    assert_eq!(log.counters(), super::log::Counters::default());
    let (blank, _) = open(SimFlash::new(run.geometry), Rules::ALL).unwrap();
    assert_eq!(blank.into_flash().operations, [Operation::Sync]);
}

#[test]
fn an_error_at_any_call_is_got_over_or_told_and_never_a_lie() {
    let geometry = GEOMETRIES[1].0;
    for dead in [false, true] {
        for fail_in in 0..120 {
            let mut flash = SimFlash::new(geometry);
            (flash.fail_in, flash.dead) = (Some(fail_in), dead);
            let Ok((mut log, mut model)) = open(flash, Rules::ALL) else {
                assert_eq!(fail_in, 0, "only the sync at opening can keep it from being opened");
                continue;
            };
            let mut possible = None;
            for number in 1..=20 {
                let mut next = model.clone();
                next.apply(&payload(number)).unwrap();
                match log.commit(&payload(number), super::proof_tests::effect(number), &model) {
                    Ok(()) => model = next,
                    Err(CommitError::ReadOnly) => {
                        possible.get_or_insert(next);
                        assert!(log.is_read_only());
                    }
                    Err(CommitError::TooLarge) => panic!(),
                }
            }
            assert!(dead || !log.is_read_only(), "one error alone is got over");
            let image = log.into_flash().image;
            let (_, found) = open(SimFlash::with_image(geometry, image), Rules::ALL).unwrap();
            assert!(found == model || Some(&found) == possible.as_ref(), "fail_in {fail_in}, dead {dead}");
        }
    }
}

#[test]
fn a_failed_sync_is_not_repeated_on_the_same_data() {
    let geometry = GEOMETRIES[1].0;
    let (mut log, mut model) = open(SimFlash::new(geometry), Rules::ALL).unwrap();
    log.commit(&payload(1), Effect::Gives, &model).unwrap();
    model.apply(&payload(1)).unwrap();
    let mut flash = log.into_flash();
    flash.operations.clear();
    // Opening syncs (0), the next commit programs (1) and syncs (2): that sync fails.
    flash.fail_in = Some(2);
    let (mut log, _) = open(flash, Rules::ALL).unwrap();
    log.commit(&payload(2), Effect::Gives, &model).unwrap();
    let operations = log.into_flash().operations;
    assert!(matches!(
        operations[..3],
        [Operation::Sync, Operation::Program { segment: 0, .. }, Operation::Erase { segment: 1 }]
    ));
}

#[test]
fn what_is_too_large_is_refused_without_a_write() {
    struct Huge;
    impl State for Huge {
        fn snapshot(
            &self,
            part: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>,
        ) -> Result<(), CommitError> {
            part(&[0; 2000])
        }
    }
    let (mut log, model) = open(SimFlash::new(GEOMETRIES[4].0), Rules::ALL).unwrap();
    assert_eq!(log.commit(&[0; 4097], Effect::Gives, &model), Err(CommitError::TooLarge));
    assert_eq!(log.commit(&payload(1), Effect::Gives, &Huge), Err(CommitError::TooLarge));
    assert!(!log.is_read_only());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let run = run(GEOMETRIES[1].0, 3, Rules::ALL);
    let mut image = vec![vec![0xff; 512]; 2];
    image[0][..5].copy_from_slice(b"MLOG\x02");
    let error = open(SimFlash::with_image(run.geometry, image), Rules::ALL).unwrap_err();
    assert!(error.to_string().contains("Newer"), "{error}");
}

#[test]
fn a_flash_that_cannot_be_read_is_an_error_not_a_fresh_start() {
    struct Unreadable;
    impl Flash for Unreadable {
        fn geometry(&self) -> Geometry {
            GEOMETRIES[0].0
        }
        fn read(&mut self, _: usize, _: usize, _: &mut [u8]) -> Result<(), FlashError> {
            Err(FlashError(5))
        }
        fn program(&mut self, _: usize, _: usize, _: &[u8]) -> Result<(), FlashError> {
            unreachable!()
        }
        fn erase(&mut self, _: usize) -> Result<(), FlashError> {
            unreachable!()
        }
        fn sync(&mut self) -> Result<(), FlashError> {
            Ok(())
        }
    }
    assert!(matches!(Log::open(Unreadable, 1, &mut |_| Ok(())), Err(OpenError::Flash(_))));
}

proptest! {
    #[test]
    fn recovery_of_arbitrary_bytes_never_panics(
        a in proptest::collection::vec(any::<u8>(), 512), b in proptest::collection::vec(any::<u8>(), 512),
    ) {
        let _ = open(SimFlash::with_image(GEOMETRIES[1].0, vec![a, b]), Rules::ALL);
    }

    #[test]
    fn recovery_of_scribbled_images_never_panics(places in proptest::collection::vec((0usize..2, 0usize..512, any::<u8>()), 1..12)) {
        let mut image = run(GEOMETRIES[1].0, 15, Rules::ALL).image;
        for (segment, at, byte) in places {
            image[segment][at] = byte;
        }
        let _ = open(SimFlash::with_image(GEOMETRIES[1].0, image), Rules::ALL);
    }
}
