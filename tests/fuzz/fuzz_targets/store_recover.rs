//! Whatever a flash holds: opening never panics, changes nothing, and what it lets through can be gone on from and is kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::store::flash::Geometry;
use moorline::store::log::{CommitError, Effect, Log, State};
use moorline::store::sim::{Operation, SimFlash};

struct Parts(Vec<Vec<u8>>);

impl State for Parts {
    fn snapshot(&self, part: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>) -> Result<(), CommitError> {
        self.0.iter().try_for_each(|p| part(p))
    }
}

fn open(image: Vec<Vec<u8>>, geometry: Geometry) -> Option<(Log<SimFlash>, Parts)> {
    let mut seen = Vec::new();
    let log = Log::open(SimFlash::with_image(geometry, image), 7, &mut |p| {
        seen.push(p.to_vec());
        Ok(())
    });
    Some((log.ok()?, Parts(seen)))
}

/// A real store, and what was done to it: checksums cannot be guessed, so this is how frames get into odd places.
fn edited(geometry: Geometry, script: &[u8]) -> Vec<Vec<u8>> {
    let Some((mut log, mut state)) = open(vec![vec![0xff; geometry.segment_bytes]; geometry.segments], geometry) else {
        unreachable!("a blank flash is opened")
    };
    let (commits, edits) = script.split_at(script.len().min(24));
    for length in commits.iter().filter(|l| **l > 0) {
        let payload = vec![*length; usize::from(length % 40) + 1];
        let effect = if length % 3 == 0 { Effect::Takes } else { Effect::Gives };
        if log.commit(&payload, effect, &state).is_ok() {
            state.0 = vec![payload];
        }
    }
    let mut image = log.into_flash().image;
    for edit in edits.chunks_exact(5) {
        let [what, a, b, c, d] = [edit[0], edit[1], edit[2], edit[3], edit[4]].map(usize::from);
        let (segment, other) = (a % geometry.segments, c % geometry.segments);
        let at = (b * 8 + d) % geometry.segment_bytes;
        match what % 5 {
            0 => image[segment][at] ^= 1 << (c % 8),
            1 => image[segment][at..].fill(0xff),
            2 => image[segment][..at].fill(0xff),
            3 => image.swap(segment, other),
            _ => {
                let copy = image[segment][at..].to_vec();
                image[other][at..].copy_from_slice(&copy);
            }
        }
    }
    image
}

fuzz_target!(|data: &[u8]| {
    let Some((shape, bytes)) = data.split_first() else { return };
    let program_unit = [1, 16, 64, 256][usize::from(shape & 3)];
    let segment_bytes = [512, 1024, 2048, 4096][usize::from(shape & 3)];
    let segments = 2 + usize::from(shape >> 2 & 1);
    let geometry = Geometry { segments, segment_bytes, program_unit, fades: shape & 8 != 0 };
    let mut image = vec![vec![0xff; segment_bytes]; segments];
    if shape & 16 == 0 {
        for (to, from) in image.iter_mut().flatten().zip(bytes) {
            *to = *from;
        }
    } else {
        image = edited(geometry, bytes);
    }
    let Some((mut log, state)) = open(image.clone(), geometry) else { return };
    assert_eq!(log.flash().operations, [Operation::Sync], "opening writes");
    assert_eq!(log.flash().image, image);
    if log.commit(b"one more", Effect::Takes, &state).is_err() {
        return;
    }
    let (_, after) = open(log.into_flash().image, geometry).expect("what was acknowledged is there");
    assert_eq!(after.0.last().map(Vec::as_slice), Some(&b"one more"[..]));
});
