//! One store, crashed many times: what it is after its own recovery, compared with what it had acknowledged.
//!
//! Each image is recovered in a process of its own, forked off, so that whatever a store does with it (panic, abort, run in
//! circles) is an outcome like the others.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use moorline::random::{Random, Seeded, below, bytes};

use crate::files::{Disk, Kept, Op as FileOp, recorded, stop_watching, sync_nothing, take_ops, watch};
use crate::medium::{Medium, Op, Shape, clear_bits};
use crate::stores::{Home, Opened, Peer, Store, text};
use crate::trace::{Map, Trace};

/// What became of an image. The numbers are exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Exactly what was acknowledged, and it goes on.
    Exact = 0,
    /// One more: the commit that was cut is there.
    OneMore = 1,
    /// Some keys of the commit that was cut are there, others are not.
    Half = 2,
    /// An error: fails closed.
    Refused = 3,
    /// Recovers, but then refuses the next commit or does not keep it.
    Stuck = 4,
    /// Silently an older state: back in time.
    Older = 5,
    /// Silently something that never was.
    Wrong = 6,
    /// Panics, aborts, or crashes.
    Died = 7,
    /// More than some seconds of processor time.
    Hung = 8,
}

pub const FATES: [Fate; 9] = [
    Fate::Exact,
    Fate::OneMore,
    Fate::Half,
    Fate::Refused,
    Fate::Stuck,
    Fate::Older,
    Fate::Wrong,
    Fate::Died,
    Fate::Hung,
];

/// Processor time after which a recovery counts as running in circles; the slowest honest one takes a few milliseconds.
const PATIENCE_S: libc::rlim_t = 4;

/// What was tried and what came of it: (class, fate) to count, and examples of what was said.
#[derive(Default)]
pub struct Outcome {
    pub counts: BTreeMap<(&'static str, Fate), usize>,
    pub said: BTreeMap<(Fate, String), usize>,
}

/// Where an image is put back to be opened.
enum Image<'a> {
    Flash(Shape, fn(Medium, bool) -> Opened, Vec<u8>),
    Files(fn(&Path, bool) -> Opened, Disk, &'a Path),
}

impl Image<'_> {
    /// Recovers, compares, goes on. In the child only.
    fn judge(self, trace: &Trace, acknowledged: usize) -> (Fate, String) {
        match self {
            Self::Flash(shape, open, image) => {
                let medium = Medium::holding(shape, image);
                let again = || open(Medium::holding(shape, medium.0.borrow().image.clone()), false);
                judge(open(medium.clone(), false), &again, trace, acknowledged, std::mem::forget)
            }
            Self::Files(open, disk, dir) => {
                if let Err(error) = disk.lay_out(dir) {
                    panic!("the bench cannot write its files: {error}");
                }
                judge(open(dir, true), &|| open(dir, true), trace, acknowledged, drop)
            }
        }
    }
}

fn judge(
    opened: Opened,
    again: &dyn Fn() -> Opened,
    trace: &Trace,
    acknowledged: usize,
    leave: fn(Box<dyn Store>),
) -> (Fate, String) {
    let read = opened.and_then(|mut store| store.all().map(|all| (store, all)));
    let (mut store, all) = match read {
        Ok(read) => read,
        Err(error) => return (Fate::Refused, error),
    };
    let fate = compare(&all, trace, acknowledged);
    let number = match fate {
        Fate::Exact => acknowledged,
        Fate::OneMore => acknowledged + 1,
        other => return (other, String::new()),
    };
    let Some(step) = trace.steps.get(number) else { return (fate, String::new()) };
    if let Err(error) = store.commit(step) {
        return (Fate::Stuck, error);
    }
    leave(store);
    match again().and_then(|mut store| store.all()) {
        Ok(all) if Some(&all) == trace.states.get(number + 1) => (fate, String::new()),
        Ok(_) => (Fate::Stuck, "the next commit is not there".into()),
        Err(error) => (Fate::Stuck, error),
    }
}

fn compare(all: &Map, trace: &Trace, acknowledged: usize) -> Fate {
    let (before, after) = (&trace.states[acknowledged], trace.states.get(acknowledged + 1));
    if all == before {
        return Fate::Exact;
    }
    let Some(after) = after else { return older(all, trace, acknowledged) };
    if all == after {
        return Fate::OneMore;
    }
    let known = |key| all.get(key) == before.get(key) || all.get(key) == after.get(key);
    if all.keys().chain(before.keys()).chain(after.keys()).all(known) {
        return Fate::Half;
    }
    older(all, trace, acknowledged)
}

fn older(all: &Map, trace: &Trace, acknowledged: usize) -> Fate {
    if trace.states[..acknowledged].iter().any(|state| state == all) { Fate::Older } else { Fate::Wrong }
}

/// Recovers `image` in a child.
fn tried(image: Image<'_>, trace: &Trace, acknowledged: usize) -> (Fate, String) {
    let mut ends = [0; 2];
    // SAFETY: two descriptors are written there. There is one thread, so a forked child is whole.
    let child = unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0, "the bench gets no pipe");
        libc::fork()
    };
    assert!(child >= 0, "the bench gets no process");
    if child == 0 {
        let limit = libc::rlimit { rlim_cur: PATIENCE_S, rlim_max: PATIENCE_S };
        // SAFETY: the limit is read; afterwards this process ends without cleaning up what its parent has.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CPU, &raw const limit);
            let (fate, said) = catch_unwind(AssertUnwindSafe(|| image.judge(trace, acknowledged)))
                .unwrap_or_else(|panic| {
                    let said = panic.downcast_ref::<String>().cloned();
                    let said = said.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                    (Fate::Died, said.unwrap_or_default())
                });
            let said = said.get(..said.floor_char_boundary(200)).unwrap_or_default();
            libc::write(ends[1], said.as_ptr().cast(), said.len());
            libc::_exit(fate as i32);
        }
    }
    let mut said = String::new();
    let mut status = 0;
    // SAFETY: both descriptors are this process's own, the child's number is that of its own child.
    unsafe {
        libc::close(ends[1]);
        let _ = std::fs::File::from_raw_fd(ends[0]).read_to_string(&mut said);
        libc::waitpid(child, &raw mut status, 0);
    }
    if libc::WIFEXITED(status) {
        let code = libc::WEXITSTATUS(status);
        return (FATES.into_iter().find(|f| *f as i32 == code).unwrap_or(Fate::Died), said);
    }
    let signal = libc::WTERMSIG(status);
    let hung = matches!(signal, libc::SIGXCPU | libc::SIGKILL);
    (if hung { Fate::Hung } else { Fate::Died }, format!("signal {signal}"))
}

/// Messages that differ only in numbers are one.
fn plain(said: &str) -> String {
    let mut plain = String::new();
    for c in said.chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if !(c == '#' && plain.ends_with('#')) {
            plain.push(c);
        }
    }
    plain
}

impl Outcome {
    fn add(&mut self, class: &'static str, (fate, said): (Fate, String)) {
        *self.counts.entry((class, fate)).or_default() += 1;
        if !said.is_empty() {
            *self.said.entry((fate, plain(&said))).or_default() += 1;
        }
    }
}

/// The commit after which bits rot: in the last third, the one with the most in the store.
fn fullest(trace: &Trace) -> usize {
    let last_third = trace.steps.len() * 2 / 3..trace.states.len();
    last_third.max_by_key(|i| trace.states[*i].len()).unwrap_or(0)
}

/// When to cut, and how: operation and class, in the order of the operations.
fn plan(
    classes: &[(&'static str, Vec<usize>)],
    count: usize,
    random: &mut dyn Random,
) -> Vec<(usize, &'static str)> {
    let mut points = Vec::new();
    for (class, operations) in classes.iter().filter(|(_, o)| !o.is_empty()) {
        for _ in 0..count {
            points.push((operations[below(random, operations.len() as u64) as usize], *class));
        }
    }
    points.sort_unstable();
    points
}

/// Crashes `peer` `count` times in each class, and rots its final image `rot` times.
pub fn run(peer: &Peer, trace: &Trace, dir: &Path, count: usize, rot: usize) -> Result<Outcome, String> {
    std::panic::set_hook(Box::new(|_| {}));
    match peer.home {
        Home::Flash(shape, open) => flash(shape, open, trace, count, rot),
        Home::Files(open) => files(open, trace, dir, count, rot),
    }
}

fn flash(
    shape: Shape,
    open: fn(Medium, bool) -> Opened,
    trace: &Trace,
    count: usize,
    rot: usize,
) -> Result<Outcome, String> {
    let medium = Medium::blank(shape);
    let mut store = open(medium.clone(), true)?;
    let first = medium.0.borrow().image.clone();
    medium.record();
    let done = || medium.0.borrow().ops.as_ref().map_or(0, Vec::len);
    let mut marks = Vec::new();
    for step in &trace.steps {
        store.commit(step)?;
        marks.push(done());
    }
    std::mem::forget(store);
    let ops = medium.0.borrow_mut().ops.take().unwrap_or_default();
    let random = &mut Seeded::new(3);
    // From the first acknowledged commit on: how a blank flash is formatted is another question.
    let all: Vec<usize> = (marks[0]..ops.len()).collect();
    let programs = |longer: usize| {
        let is = |i: &usize| matches!(&ops[*i], Op::Program { data, .. } if data.len() > longer);
        all.iter().copied().filter(is).collect::<Vec<_>>()
    };
    let erases = all.iter().copied().filter(|i| matches!(ops[*i], Op::Erase { .. })).collect();
    let classes =
        [("between", all.clone()), ("prefix", programs(1)), ("bits", programs(0)), ("erase", erases)];
    let mut out = Outcome::default();
    let (mut image, mut at) = (first.clone(), 0);
    for (cut, class) in plan(&classes, count, random) {
        for op in &ops[at..cut] {
            carry_out(&mut image, shape, op);
        }
        at = cut;
        let mut torn = image.clone();
        tear(&mut torn, shape, class, &ops[cut], random);
        let acknowledged = marks.partition_point(|m| *m <= cut);
        out.add(class, tried(Image::Flash(shape, open, torn), trace, acknowledged));
    }
    let full = fullest(trace);
    let random = &mut Seeded::new(4);
    let mut last = first;
    for op in &ops[..marks[full - 1]] {
        carry_out(&mut last, shape, op);
    }
    let places: Vec<usize> = (0..last.len()).filter(|i| !matches!(last[*i], 0 | 0xff)).collect();
    for _ in 0..rot {
        let mut image = last.clone();
        image[places[below(random, places.len() as u64) as usize]] ^= 1 << below(random, 8);
        out.add("rot", tried(Image::Flash(shape, open, image), trace, full));
    }
    Ok(out)
}

fn carry_out(image: &mut [u8], shape: Shape, op: &Op) {
    match op {
        Op::Program { at, data } => clear_bits(&mut image[*at..*at + data.len()], data),
        Op::Erase { block } => image[block * shape.block..(block + 1) * shape.block].fill(0xff),
    }
}

/// The operation that is cut, in part.
fn tear(image: &mut [u8], shape: Shape, class: &str, op: &Op, random: &mut Seeded) {
    match (class, op) {
        ("prefix", Op::Program { at, data }) => {
            let cut = 1 + below(random, data.len() as u64 - 1) as usize;
            clear_bits(&mut image[*at..*at + cut], &data[..cut]);
        }
        ("bits", Op::Program { at, data }) => {
            let noise: Vec<u8> = data.iter().map(|b| b | bytes::<1>(random)[0]).collect();
            clear_bits(&mut image[*at..*at + data.len()], &noise);
        }
        ("erase", Op::Erase { block }) => {
            let block = &mut image[block * shape.block..(block + 1) * shape.block];
            let cut = below(random, block.len() as u64) as usize;
            match below(random, 3) {
                0 => block[..cut].fill(0xff),
                1 => block[cut..].fill(0xff),
                _ => block.iter_mut().filter(|_| below(random, 2) == 0).for_each(|b| *b = 0xff),
            }
        }
        _ => {}
    }
}

fn files(
    open: fn(&Path, bool) -> Opened,
    trace: &Trace,
    dir: &Path,
    count: usize,
    rot: usize,
) -> Result<Outcome, String> {
    let home = dir.join("home");
    std::fs::create_dir_all(&home).map_err(text)?;
    let home = home.canonicalize().map_err(text)?;
    watch(&home, true);
    let mut store = open(&home, false)?;
    let mut marks = Vec::new();
    for step in &trace.steps {
        store.commit(step)?;
        marks.push(recorded());
    }
    stop_watching();
    let ops = take_ops();
    std::mem::forget(store);
    sync_nothing();
    let random = &mut Seeded::new(3);
    let all: Vec<usize> = (marks[0]..ops.len()).collect();
    let writes =
        all.iter().copied().filter(|i| matches!(&ops[*i], FileOp::Write { data, .. } if data.len() > 1));
    let classes = [
        ("between", all.clone()),
        ("prefix", writes.collect()),
        ("pages", all.clone()),
        ("unsynced", all.clone()),
    ];
    let copy = dir.join("image");
    let mut out = Outcome::default();
    let (mut disk, mut at) = (Disk::default(), 0);
    for (cut, class) in plan(&classes, count, random) {
        for op in &ops[at..cut] {
            disk.advance(op);
        }
        at = cut;
        let image = match (class, &ops[cut]) {
            ("prefix", FileOp::Write { file, at, data }) => {
                let length = 1 + below(random, data.len() as u64 - 1) as usize;
                let torn = FileOp::Write { file: *file, at: *at, data: data[..length].to_vec() };
                disk.crashed(Kept::All, Some(&torn))
            }
            ("pages", op) => disk.crashed(Kept::Some(&mut || below(random, 2) == 0), Some(op)),
            ("unsynced", _) => disk.crashed(Kept::Some(&mut || false), None),
            _ => disk.whole(),
        };
        let acknowledged = marks.partition_point(|m| *m <= cut);
        out.add(class, tried(Image::Files(open, image, &copy), trace, acknowledged));
    }
    let full = fullest(trace);
    let random = &mut Seeded::new(4);
    let mut disk = Disk::default();
    for op in &ops[..marks[full - 1]] {
        disk.advance(op);
    }
    let last = disk.whole();
    let places = last.places();
    for _ in 0..rot {
        let mut image = last.clone();
        let (name, at) = &places[below(random, places.len() as u64) as usize];
        image.flip(name, *at, below(random, 8) as u32);
        out.add("rot", tried(Image::Files(open, image, &copy), trace, full));
    }
    Ok(out)
}
