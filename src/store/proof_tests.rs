//! The proof of the store (docs/store.md, "How it is proven"): every crash image of a recorded run recovers to exactly
//! the acknowledged state or one more, goes on from there, and no rot brings an older state back. And the proof of the
//! proof: with any rule taken out, the same suite finds violations.
//!
//! `scripts/store-proof` prints what was tried; `MOORLINE_STORE_LONG=1` (its `--long`) goes over many more geometries and seeds,
//! and cuts a second time at every point instead of some.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::flash::Geometry;
use super::log::{CommitError, Effect, Log, OpenError, Rejected, State};
use super::recover::{Rules, Verdict, judge};
use super::sim::{Operation, SimFlash, program};
use crate::random::{Seeded, below};

/// What is stored: a few keys with values, one change a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model(BTreeMap<u8, u16>);

impl Model {
    pub(super) fn apply(&mut self, payload: &[u8]) -> Result<(), Rejected> {
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
pub(super) fn payload(number: usize) -> Vec<u8> {
    let [low, high] = (number as u16).to_le_bytes();
    let mut bytes = vec![(number % 5) as u8, low, high];
    bytes.extend(std::iter::repeat_n(0xab, number * 7 % 23));
    bytes
}

/// Every third takes something away.
pub(super) fn effect(number: usize) -> Effect {
    if number.is_multiple_of(3) { Effect::Takes } else { Effect::Gives }
}

/// A recorded run: the states after each transaction and, for each operation, how many were acknowledged before it.
pub(super) struct Run {
    pub(super) geometry: Geometry,
    pub(super) states: Vec<Model>,
    operations: Vec<Operation>,
    acknowledged: Vec<usize>,
    pub(super) image: Vec<Vec<u8>>,
}

pub(super) fn open(flash: SimFlash, rules: Rules) -> Result<(Log<SimFlash>, Model), OpenError> {
    let mut model = Model::default();
    let log = Log::open_with(flash, 7, &mut |bytes| model.apply(bytes), rules)?;
    Ok((log, model))
}

pub(super) fn run(geometry: Geometry, commits: usize, rules: Rules) -> Run {
    let (mut log, mut model) = open(SimFlash::new(geometry), rules).unwrap();
    let mut states = vec![model.clone()];
    let mut marks = Vec::new();
    for number in 1..=commits {
        log.commit(&payload(number), effect(number), &model).unwrap();
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

/// How an image of one class came out.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Exactly what was acknowledged.
    exact: usize,
    /// One transaction more: it was under way.
    one_more: usize,
    /// Refused as corrupt: allowed for rot, never for a cut.
    refused: usize,
}

/// What the suite tried and what it found.
#[derive(Default)]
struct Outcome {
    tried: BTreeMap<&'static str, Tally>,
    violations: Vec<String>,
}

impl Outcome {
    fn violation(&mut self, class: &'static str, text: String) {
        if self.violations.len() < 20 {
            self.violations.push(format!("{class}: {text}"));
        }
    }

    fn tally(&mut self, class: &'static str) -> &mut Tally {
        self.tried.entry(class).or_default()
    }

    fn add(&mut self, other: Self) {
        for (class, t) in other.tried {
            let sum = self.tally(class);
            *sum = Tally {
                exact: sum.exact + t.exact,
                one_more: sum.one_more + t.one_more,
                refused: sum.refused + t.refused,
            };
        }
        self.violations.extend(other.violations);
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
                for pattern in 0..12usize {
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
                            // A segment of several blocks, cut in one of them: what is left, blank, and left again.
                            6 => (size / 16..size / 8).contains(&i),
                            7 => i < size / 8 && i >= 48,
                            8 => i < size / 4 && i % 64 < 32,
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
            Some(state) if state == acknowledged || state == acknowledged + 1 => {
                let tally = out.tally(class);
                tally.exact += usize::from(state == acknowledged);
                tally.one_more += usize::from(state != acknowledged);
                Some((state, log, model))
            }
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
    if let Err(error) = log.commit(&next, effect(state), &model) {
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
    match open(SimFlash::with_image(run.geometry, torn), rules) {
        Ok((_, model)) if model == second.states[0] => out.tally("second").exact += 1,
        Ok((_, model)) if model == second.states[1] => out.tally("second").one_more += 1,
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
    match open(SimFlash::with_image(geometry, image), rules) {
        Ok((_, model)) if model == *newest => out.tally(class).exact += 1,
        Ok((_, model)) => out.violation(class, format!("went back to {model:?}")),
        Err(_) => out.tally(class).refused += 1,
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
    // What takes something away is sealed: not even its rot may bring that back.
    let sealed = effect(run.states.len() - 1) == Effect::Takes;
    for segment in 0..run.geometry.segments {
        for bit in 0..run.geometry.segment_bytes * 8 {
            let mut image = run.image.clone();
            flip(&mut image[segment], bit);
            let in_last = !sealed && segment == found.segment && (last..found.end).contains(&(bit / 8));
            match open(SimFlash::with_image(run.geometry, image), rules) {
                Ok((_, model)) if model == *newest => out.tally("flip").exact += 1,
                // Rot in the last record, which only gives, looks like a write that was cut.
                Ok((_, model)) if in_last && model == *previous => {
                    out.tally("flip in the last record").exact += 1
                }
                Ok((_, model)) => out.violation("flip", format!("bit {bit} of {segment}: {model:?}")),
                Err(_) => out.tally("flip").refused += 1,
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

/// The process is killed and begins anew; then the power goes. What was found at the beginning was shown to people, and counts.
fn check_killed(run: &Run, rules: Rules, random: &mut Seeded, out: &mut Outcome) {
    for at in 0..=run.operations.len() {
        let (mut lasting, mut seen) =
            (vec![vec![0xff; run.geometry.segment_bytes]; run.geometry.segments], vec![]);
        let last_sync = run.operations[..at].iter().rposition(|o| *o == Operation::Sync).map_or(0, |i| i + 1);
        for operation in &run.operations[..last_sync] {
            carry_out(&mut lasting, operation);
        }
        let window = &run.operations[last_sync..at];
        seen.clone_from(&lasting);
        window.iter().for_each(|operation| carry_out(&mut seen, operation));
        let Ok((log, shown)) = open(SimFlash::with_image(run.geometry, seen.clone()), rules) else {
            continue;
        };
        if log.flash().operations.contains(&Operation::Sync) {
            lasting = seen;
        } else {
            for operation in window {
                if matches!(operation, Operation::Erase { .. }) || below(random, 2) == 0 {
                    carry_out(&mut lasting, operation);
                }
            }
        }
        let before = run.states.iter().position(|s| *s == shown);
        match open(SimFlash::with_image(run.geometry, lasting), rules) {
            Ok((_, after)) if run.states.iter().position(|s| *s == after) >= before => {
                out.tally("killed").exact += 1;
            }
            Ok(_) => out.violation("killed", format!("{before:?} was shown and is gone")),
            Err(error) => out.violation("killed", format!("{before:?} was shown: {error}")),
        }
    }
}

/// How thoroughly.
#[derive(Clone, Copy)]
struct Depth {
    /// Each how manieth image is cut once more.
    every: usize,
    /// At how many points.
    cuts: usize,
}

const DAILY: Depth = Depth { every: 3, cuts: 1 };
const LONG: Depth = Depth { every: 1, cuts: 6 };

/// The whole suite over one geometry.
fn prove(geometry: Geometry, commits: usize, rules: Rules, seed: u64, depth: Depth) -> Outcome {
    let mut random = Seeded::new(seed);
    let mut out = Outcome::default();
    let run = run(geometry, commits, rules);
    for at in 0..=run.operations.len() {
        let acknowledged = run.acknowledged[at];
        let mut images = Vec::new();
        crash_images(&run, at, &mut random, &mut |class, image| images.push((class, image)));
        for (i, (class, image)) in images.into_iter().enumerate() {
            if i.is_multiple_of(depth.every) {
                for _ in 0..depth.cuts {
                    check_second_crash(&run, acknowledged, &image, rules, &mut random, &mut out);
                }
                check_rot_after_going_on(&run, image.clone(), rules, &mut random, &mut out);
            }
            check_crash(&run, acknowledged, image, rules, &mut out, class);
        }
    }
    for last in (commits - 2)..=commits {
        // One of them ends with a record that takes something away.
        check_flips(&self::run(geometry, last, rules), rules, &mut random, &mut out);
    }
    check_killed(&run, rules, &mut random, &mut out);
    check_rotten_snapshot(geometry, rules, &mut random, &mut out);
    out
}

const fn shape(segments: usize, segment_bytes: usize, program_unit: usize, fades: bool) -> Geometry {
    Geometry { segments, segment_bytes, program_unit, fades }
}

/// What every run goes over.
pub(super) const GEOMETRIES: [(Geometry, usize); 5] = [
    (shape(2, 512, 1, false), 80),
    (shape(2, 512, 16, false), 60),
    (shape(3, 512, 16, false), 70),
    (shape(2, 2048, 64, true), 60),
    (shape(2, 8192, 256, false), 100),
];

/// What a long run goes over.
fn many() -> Vec<(Geometry, usize)> {
    let mut all = Vec::new();
    for segments in [2, 3, 4, 8] {
        for (bytes, unit) in
            [(512, 1), (512, 4), (512, 16), (1024, 8), (2048, 32), (2048, 64), (4096, 128), (8192, 256)]
        {
            for fades in [false, true] {
                all.push((shape(segments, bytes, unit, fades), 40 * segments));
            }
        }
    }
    // NAND with whole pages, one segment a block.
    all.push((shape(2, 65_536, 2048, true), 70));
    all.push((shape(2, 131_072, 4096, true), 70));
    all
}

#[test]
fn every_crash_recovers_and_no_rot_goes_back_in_time() {
    let long = std::env::var_os("MOORLINE_STORE_LONG").is_some();
    let (mut geometries, depth, seeds) =
        if long { (many(), LONG, 2) } else { (GEOMETRIES.to_vec(), DAILY, 1) };
    if std::env::var_os("MOORLINE_RUNNER").is_some() {
        // An emulated ARM is slow, and only words of another size are of interest there.
        geometries.truncate(2);
    }
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Outcome::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((geometry, commits)) = geometries.get(at / seeds).copied() else { break };
                    let out = prove(geometry, commits, Rules::ALL, 40 + at as u64, depth);
                    assert!(out.violations.is_empty(), "{geometry:?}: {:#?}", out.violations);
                    for class in CLASSES {
                        assert!(out.tried.contains_key(class), "{geometry:?} has no image of {class}");
                    }
                    if long {
                        let images: usize =
                            out.tried.values().map(|t| t.exact + t.one_more + t.refused).sum();
                        println!(
                            "{} of {}: {images} images of {geometry:?}",
                            at + 1,
                            geometries.len() * seeds
                        );
                    }
                    total.lock().unwrap().add(out);
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{:28} {:>10} {:>10} {:>10} {:>10}", "class of images", "tried", "exact", "one more", "refused");
    let mut all = 0;
    for (class, t) in &total.tried {
        let tried = t.exact + t.one_more + t.refused;
        all += tried;
        println!("{class:28} {tried:>10} {:>10} {:>10} {:>10}", t.exact, t.one_more, t.refused);
        // Only rot may be refused: after any cut the store must open.
        assert!(t.refused == 0 || class.starts_with("rot") || class.starts_with("flip"), "{class}: {t:?}");
    }
    println!("{:28} {all:>10} over {} geometries, none wrong", "in all", geometries.len());
}

const CLASSES: [&str; 10] = [
    "subset",
    "prefix",
    "garbled",
    "erase",
    "second",
    "rot",
    "killed",
    "flip",
    "flip in the last record",
    "rot of header and mark",
];

#[test]
fn the_suite_finds_each_rule_that_is_missing() {
    let without: [(&str, Rules); 10] = [
        ("0: sync at opening", Rules { sync_open: false, ..Rules::ALL }),
        ("2: blank tail", Rules { check_tail: false, ..Rules::ALL }),
        ("3: any mark counts", Rules { any_mark_counts: false, ..Rules::ALL }),
        ("4: gap", Rules { scan_gap: false, ..Rules::ALL }),
        ("5: torn tail", Rules { rotate_torn: false, ..Rules::ALL }),
        ("6: erase others", Rules { erase_others: false, ..Rules::ALL }),
        ("sync before acknowledging", Rules { sync_commit: false, ..Rules::ALL }),
        ("sync before marking", Rules { sync_fill: false, ..Rules::ALL }),
        ("mark", Rules { mark_old: false, ..Rules::ALL }),
        ("seal", Rules { seal: false, ..Rules::ALL }),
    ];
    for (name, rules) in without {
        let caught = GEOMETRIES.into_iter().find_map(|(geometry, commits)| {
            let caught = std::panic::catch_unwind(|| prove(geometry, commits, rules, 1, DAILY));
            match caught {
                Ok(out) => out.violations.into_iter().next(),
                Err(_) => Some("a check of the log itself".to_owned()),
            }
        });
        println!("without {name:28} {}", caught.as_deref().unwrap_or("nothing is noticed"));
        assert!(caught.is_some(), "nothing notices that rule {name} is missing");
    }
}
