//! The proof of the store (docs/store.md, "How it is proven"): every crash image of a recorded run recovers to exactly
//! the acknowledged state or one more, goes on from there, and no rot brings an older state back. And the proof of the
//! proof: with any rule taken out, the same suite finds violations.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::flash::{Flash, FlashError, Geometry};
use super::log::{CommitError, Log, OpenError, Rejected, State};
use super::recover::{Rules, Verdict, judge};
use super::sim::{Operation, SimFlash, program};
use crate::random::{Seeded, below};

/// What is stored: a few keys with values, one change a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model(BTreeMap<u8, u16>);

impl Model {
    fn apply(&mut self, payload: &[u8]) -> Result<(), Rejected> {
        let [key, low, high, ..] = payload else { return Err(Rejected) };
        self.0.insert(*key, u16::from_le_bytes([*low, *high]));
        Ok(())
    }
}

impl State for Model {
    fn snapshot(&self, part: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>) -> Result<(), CommitError> {
        for (key, value) in &self.0 {
            let [low, high] = value.to_le_bytes();
            part(&[*key, low, high])?;
        }
        Ok(())
    }
}

/// Every transaction changes the value, so no two states of a run are alike.
fn payload(number: usize) -> Vec<u8> {
    let [low, high] = (number as u16).to_le_bytes();
    let mut bytes = vec![(number % 5) as u8, low, high];
    bytes.extend(std::iter::repeat_n(0xab, number * 7 % 23));
    bytes
}

/// A recorded run: the states after each transaction and, for each operation, how many were acknowledged before it.
struct Run {
    geometry: Geometry,
    states: Vec<Model>,
    operations: Vec<Operation>,
    acknowledged: Vec<usize>,
    image: Vec<Vec<u8>>,
}

fn open(flash: SimFlash, rules: Rules) -> Result<(Log<SimFlash>, Model), OpenError> {
    let mut model = Model::default();
    let log = Log::open_with(flash, 7, &mut |bytes| model.apply(bytes), rules)?;
    Ok((log, model))
}

fn run(geometry: Geometry, commits: usize, rules: Rules) -> Run {
    let (mut log, mut model) = open(SimFlash::new(geometry), rules).unwrap();
    let mut states = vec![model.clone()];
    let mut marks = Vec::new();
    for number in 1..=commits {
        log.commit(&payload(number), &model).unwrap();
        model.apply(&payload(number)).unwrap();
        states.push(model.clone());
        marks.push(log.flash().operations.len());
    }
    let flash = log.into_flash();
    assert_eq!(flash.overwrites, 0, "nothing is programmed twice between erases");
    let acknowledged =
        (0..=flash.operations.len()).map(|at| marks.iter().filter(|m| **m <= at).count()).collect();
    Run { geometry, states, operations: flash.operations, acknowledged, image: flash.image }
}

/// What the suite tried and what it found.
#[derive(Default)]
struct Outcome {
    tried: BTreeMap<&'static str, usize>,
    violations: Vec<String>,
}

impl Outcome {
    fn violation(&mut self, class: &'static str, text: String) {
        if self.violations.len() < 20 {
            self.violations.push(format!("{class}: {text}"));
        }
    }
}

/// Images of a crash during operation `at`, or right before it.
fn crash_images(
    run: &Run,
    at: usize,
    random: &mut Seeded,
    visit: &mut dyn FnMut(&'static str, Vec<Vec<u8>>),
) {
    let g = &run.geometry;
    let mut durable = vec![vec![0xff; g.segment_bytes]; g.segments];
    let last_sync = run.operations[..at].iter().rposition(|o| *o == Operation::Sync).map_or(0, |i| i + 1);
    for operation in &run.operations[..last_sync] {
        carry_out(&mut durable, operation);
    }
    let window = &run.operations[last_sync..at];
    // An erase is lasting by itself, and what stood in its segment before it is gone.
    let subsets: Vec<u32> = if window.len() <= 6 {
        (0..1u32 << window.len()).collect()
    } else {
        let all = (1u32 << window.len()) - 1;
        let mut some: Vec<u32> = (0..48).map(|_| below(random, u64::from(all)) as u32).collect();
        some.extend([0, all]);
        some
    };
    for subset in subsets {
        let mut image = durable.clone();
        for (i, operation) in window.iter().enumerate() {
            if subset & (1 << i) != 0 || matches!(operation, Operation::Erase { .. }) {
                carry_out(&mut image, operation);
            }
        }
        visit("subset", image.clone());
        let full = subset.count_ones() as usize == window.len();
        match run.operations.get(at) {
            Some(Operation::Program { segment, offset, data }) if full => {
                for cut in 1..data.len() {
                    let mut torn = image.clone();
                    program(&mut torn, *segment, *offset, &data[..cut]);
                    visit("prefix", torn);
                }
                for pattern in 0..6u8 {
                    let mut torn = image.clone();
                    let noise: Vec<u8> = data.iter().map(|b| garble(pattern, *b, random)).collect();
                    program(&mut torn, *segment, *offset, &noise);
                    visit("garbled", torn);
                }
            }
            Some(Operation::Erase { segment }) => {
                for pattern in 0..8usize {
                    let mut torn = image.clone();
                    let size = g.segment_bytes;
                    for (i, byte) in torn[*segment].iter_mut().enumerate() {
                        let gone = match pattern {
                            0 => i < size / 2,
                            1 => i >= size / 2,
                            2 => i < 32,
                            3 => i >= size - g.round(16),
                            4 => i < size - g.round(16),
                            5 => i >= 32,
                            _ => below(random, 2) == 0,
                        };
                        if gone {
                            *byte = 0xff;
                        }
                    }
                    visit("erase", torn);
                }
            }
            Some(Operation::Program { .. } | Operation::Sync) | None => {}
        }
    }
}

fn garble(pattern: u8, byte: u8, random: &mut Seeded) -> u8 {
    match pattern {
        0 => 0,
        1 => below(random, 256) as u8,
        2 => byte | below(random, 256) as u8,
        3 => byte & below(random, 256) as u8,
        4 => 0x55,
        _ => {
            if below(random, 2) == 0 {
                byte
            } else {
                0xff
            }
        }
    }
}

fn carry_out(image: &mut [Vec<u8>], operation: &Operation) {
    match operation {
        Operation::Program { segment, offset, data } => program(image, *segment, *offset, data),
        Operation::Erase { segment } => image[*segment].fill(0xff),
        Operation::Sync => {}
    }
}

/// The image must recover to `acknowledged` or one more, take another transaction, and keep that.
fn check_crash(
    run: &Run,
    acknowledged: usize,
    image: Vec<Vec<u8>>,
    rules: Rules,
    out: &mut Outcome,
    class: &'static str,
) {
    *out.tried.entry(class).or_default() += 1;
    let Some((state, log, model)) = recovered(run, acknowledged, image, rules, out, class) else { return };
    let Some((image, model, operations)) = go_on(state, log, model, out, class) else { return };
    match open(SimFlash::with_image(run.geometry, image), rules) {
        Ok((_, found)) if found == model => {}
        Ok(_) => out.violation(class, format!("{acknowledged}: the transaction after the crash is lost")),
        Err(error) => out.violation(class, format!("{acknowledged}: after going on: {error}")),
    }
    let _ = operations;
}

fn recovered(
    run: &Run,
    acknowledged: usize,
    image: Vec<Vec<u8>>,
    rules: Rules,
    out: &mut Outcome,
    class: &'static str,
) -> Option<(usize, Log<SimFlash>, Model)> {
    match open(SimFlash::with_image(run.geometry, image), rules) {
        Ok((log, model)) => match run.states.iter().position(|s| *s == model) {
            Some(state) if state == acknowledged || state == acknowledged + 1 => Some((state, log, model)),
            state => {
                out.violation(class, format!("acknowledged {acknowledged}, found {state:?}"));
                None
            }
        },
        Err(error) => {
            out.violation(class, format!("acknowledged {acknowledged}: {error}"));
            None
        }
    }
}

type Onward = (Vec<Vec<u8>>, Model, Vec<Operation>);

fn go_on(
    state: usize,
    mut log: Log<SimFlash>,
    mut model: Model,
    out: &mut Outcome,
    class: &'static str,
) -> Option<Onward> {
    let next = payload(state + 1000);
    if let Err(error) = log.commit(&next, &model) {
        out.violation(class, format!("state {state}: refuses to go on: {error}"));
        return None;
    }
    model.apply(&next).unwrap();
    let flash = log.into_flash();
    Some((flash.image, model, flash.operations))
}

/// The cut during the first writes after a crash.
fn check_second_crash(
    run: &Run,
    acknowledged: usize,
    image: &[Vec<u8>],
    rules: Rules,
    random: &mut Seeded,
    out: &mut Outcome,
) {
    let Ok((log, before)) = open(SimFlash::with_image(run.geometry, image.to_vec()), rules) else { return };
    let Some((_, after, operations)) = go_on(acknowledged, log, before.clone(), out, "second") else {
        return;
    };
    let mut second = Run {
        geometry: run.geometry,
        states: vec![before.clone(), after],
        acknowledged: vec![0; operations.len() + 1],
        operations,
        image: Vec::new(),
    };
    // The images start from the first crash's, not from a blank flash.
    let base = image.to_vec();
    let at = below(random, second.operations.len() as u64) as usize;
    second.operations.truncate(at + 1);
    let mut torn = base.clone();
    let last_sync = second.operations[..at].iter().rposition(|o| *o == Operation::Sync).map_or(0, |i| i + 1);
    for (i, operation) in second.operations[..at].iter().enumerate() {
        if i < last_sync || matches!(operation, Operation::Erase { .. }) || below(random, 2) == 0 {
            carry_out(&mut torn, operation);
        }
    }
    if let Operation::Program { segment, offset, data } = &second.operations[at] {
        let cut = below(random, data.len() as u64) as usize;
        program(&mut torn, *segment, *offset, &data[..cut]);
    }
    *out.tried.entry("second").or_default() += 1;
    match open(SimFlash::with_image(run.geometry, torn), rules) {
        Ok((_, model)) if second.states.contains(&model) => {}
        Ok(_) => out.violation("second", format!("acknowledged {acknowledged}: something else")),
        Err(error) => out.violation("second", format!("acknowledged {acknowledged}: {error}")),
    }
}

/// Crash, go on, then rot in the newest header (or the mark as well): what was acknowledged after the crash may be refused
/// but never silently forgotten.
fn check_rot_after_going_on(
    run: &Run,
    image: Vec<Vec<u8>>,
    rules: Rules,
    random: &mut Seeded,
    out: &mut Outcome,
) {
    let Ok((log, model)) = open(SimFlash::with_image(run.geometry, image), rules) else { return };
    let Some((image, model, _)) = go_on(5000, log, model, out, "rot") else { return };
    let segments: Vec<Vec<u8>> = image.clone();
    let Ok(Verdict::Current(found)) = judge(&run.geometry, &segments, rules) else { return };
    let mut rotten = image;
    flip(&mut rotten[found.segment], below(random, 32 * 8) as usize);
    check_rot(run.geometry, rotten, &model, rules, out, "rot");
}

fn check_rot(
    geometry: Geometry,
    image: Vec<Vec<u8>>,
    newest: &Model,
    rules: Rules,
    out: &mut Outcome,
    class: &'static str,
) {
    *out.tried.entry(class).or_default() += 1;
    match open(SimFlash::with_image(geometry, image), rules) {
        Ok((_, model)) if model == *newest => {}
        Ok((_, model)) => out.violation(class, format!("went back to {model:?}")),
        Err(_) => {}
    }
}

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// Every bit of the final image; and pairs of bits where one alone changes nothing.
fn check_flips(run: &Run, rules: Rules, random: &mut Seeded, out: &mut Outcome) {
    let newest = run.states.last().unwrap();
    let previous = &run.states[run.states.len() - 2];
    let Ok(Verdict::Current(found)) = judge(&run.geometry, &run.image, rules) else { panic!() };
    let last = found.payloads.last().map_or(0, |(offset, _)| offset - 16);
    for segment in 0..run.geometry.segments {
        for bit in 0..run.geometry.segment_bytes * 8 {
            let mut image = run.image.clone();
            flip(&mut image[segment], bit);
            *out.tried.entry("flip").or_default() += 1;
            let in_last = segment == found.segment && (last..found.end).contains(&(bit / 8));
            match open(SimFlash::with_image(run.geometry, image), rules) {
                Ok((_, model)) if model == *newest || in_last && model == *previous => {}
                Ok((_, model)) => out.violation("flip", format!("bit {bit} of {segment}: {model:?}")),
                Err(_) => {}
            }
        }
    }
    // Rot in the newest header and in the old segment's mark: only "any mark counts" keeps the old one out.
    let old = (found.segment + run.geometry.segments - 1) % run.geometry.segments;
    let tail = run.geometry.segment_bytes - run.geometry.round(16);
    for _ in 0..400 {
        let mut image = run.image.clone();
        flip(&mut image[found.segment], below(random, 32 * 8) as usize);
        flip(&mut image[old], tail * 8 + below(random, 16 * 8) as usize);
        check_rot(run.geometry, image, newest, rules, out, "rot of header and mark");
    }
}

/// A fresh segment with one transaction behind its snapshot, both rotten: only the blank-tail rule tells that the old
/// segment is not current.
fn check_rotten_snapshot(geometry: Geometry, rules: Rules, random: &mut Seeded, out: &mut Outcome) {
    for commits in 1..60 {
        let run = run(geometry, commits, rules);
        let Ok(Verdict::Current(found)) = judge(&geometry, &run.image, rules) else { continue };
        if found.header.generation < 2 || found.txn != found.header.base_txn + 1 {
            continue;
        }
        let snapshot = geometry.round(32)..found.payloads.last().unwrap().0 - 16;
        for _ in 0..200 {
            let mut image = run.image.clone();
            let bits = (snapshot.end - snapshot.start) as u64 * 8;
            flip(&mut image[found.segment], snapshot.start * 8 + below(random, bits) as usize);
            if open(SimFlash::with_image(geometry, image.clone()), rules)
                .is_ok_and(|(_, m)| m == *run.states.last().unwrap())
            {
                // Only padding was hit.
                continue;
            }
            flip(&mut image[found.segment], snapshot.end * 8 + below(random, 16 * 8) as usize);
            check_rot(geometry, image, run.states.last().unwrap(), rules, out, "rot of snapshot and record");
        }
    }
}

/// The whole suite over one geometry.
fn prove(geometry: Geometry, commits: usize, rules: Rules, seed: u64) -> Outcome {
    let mut random = Seeded::new(seed);
    let mut out = Outcome::default();
    let run = run(geometry, commits, rules);
    for at in 0..=run.operations.len() {
        let acknowledged = run.acknowledged[at];
        let mut images = Vec::new();
        crash_images(&run, at, &mut random, &mut |class, image| images.push((class, image)));
        for (i, (class, image)) in images.into_iter().enumerate() {
            if i % 3 == 0 {
                check_second_crash(&run, acknowledged, &image, rules, &mut random, &mut out);
                check_rot_after_going_on(&run, image.clone(), rules, &mut random, &mut out);
            }
            check_crash(&run, acknowledged, image, rules, &mut out, class);
        }
    }
    check_flips(&run, rules, &mut random, &mut out);
    check_rotten_snapshot(geometry, rules, &mut random, &mut out);
    out
}

const GEOMETRIES: [(Geometry, usize); 4] = [
    (Geometry { segments: 2, segment_bytes: 512, program_unit: 1 }, 80),
    (Geometry { segments: 2, segment_bytes: 512, program_unit: 16 }, 60),
    (Geometry { segments: 3, segment_bytes: 512, program_unit: 16 }, 70),
    (Geometry { segments: 2, segment_bytes: 8192, program_unit: 256 }, 100),
];

#[test]
fn every_crash_recovers_and_no_rot_goes_back_in_time() {
    for (i, (geometry, commits)) in GEOMETRIES.into_iter().enumerate() {
        let out = prove(geometry, commits, Rules::ALL, 40 + i as u64);
        assert!(out.violations.is_empty(), "{geometry:?}: {:#?}", out.violations);
        for class in [
            "subset",
            "prefix",
            "garbled",
            "erase",
            "second",
            "rot",
            "flip",
            "rot of header and mark",
            "rot of snapshot and record",
        ] {
            assert!(out.tried.get(class).is_some_and(|n| *n > 20), "{geometry:?} {class}: {:?}", out.tried);
        }
        println!("{geometry:?}: {:?}", out.tried);
    }
}

#[test]
fn the_suite_finds_each_rule_that_is_missing() {
    let without: [(&str, Rules); 6] = [
        ("2: blank tail", Rules { check_tail: false, ..Rules::ALL }),
        ("3: any mark counts", Rules { any_mark_counts: false, ..Rules::ALL }),
        ("4: gap", Rules { scan_gap: false, ..Rules::ALL }),
        ("5: torn tail", Rules { rotate_torn: false, ..Rules::ALL }),
        ("6: erase others", Rules { erase_others: false, ..Rules::ALL }),
        ("sync before acknowledging", Rules { sync_commit: false, ..Rules::ALL }),
    ];
    for (name, rules) in without {
        let found = GEOMETRIES.into_iter().any(|(geometry, commits)| {
            let caught = std::panic::catch_unwind(|| prove(geometry, commits, rules, 1));
            caught.is_err() || caught.is_ok_and(|out| !out.violations.is_empty())
        });
        assert!(found, "nothing notices that rule {name} is missing");
    }
}

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
                match log.commit(&payload(number), &model) {
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
    log.commit(&payload(1), &model).unwrap();
    model.apply(&payload(1)).unwrap();
    let mut flash = log.into_flash();
    flash.operations.clear();
    // Opening syncs (0), the next commit programs (1) and syncs (2): that sync fails.
    flash.fail_in = Some(2);
    let (mut log, _) = open(flash, Rules::ALL).unwrap();
    log.commit(&payload(2), &model).unwrap();
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
    let (mut log, model) = open(SimFlash::new(GEOMETRIES[3].0), Rules::ALL).unwrap();
    assert_eq!(log.commit(&[0; 4097], &model), Err(CommitError::TooLarge));
    assert_eq!(log.commit(&payload(1), &Huge), Err(CommitError::TooLarge));
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
