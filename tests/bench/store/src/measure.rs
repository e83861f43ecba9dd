//! One store, the whole trace, in a process of its own: what it costs. The answer is one line a number.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::medium::{self, Medium};
use crate::memory;
use crate::stores::{Home, Peer};
use crate::trace::{Map, Trace};

/// Reopening is short, so it is done some times and the fastest counts.
const REOPENED: usize = 5;

/// Measures `peer`; `dir` does not exist.
pub fn run(peer: &Peer, trace: &Trace, dir: &Path) -> Result<Vec<(&'static str, f64)>, String> {
    let mut found = match peer.home {
        Home::Flash(..) => flash(peer, trace)?,
        Home::Files(_) => files(peer, trace, dir)?,
    };
    found.push(("commits", trace.steps.len() as f64));
    found.push(("payload", trace.steps.iter().map(|s| s.payload.len()).sum::<usize>() as f64));
    Ok(found)
}

fn expect(state: &Map, trace: &Trace) -> Result<(), String> {
    if Some(state) == trace.states.last() { Ok(()) } else { Err("does not hold what was written".into()) }
}

fn flash(peer: &Peer, trace: &Trace) -> Result<Vec<(&'static str, f64)>, String> {
    let Home::Flash(shape, open) = peer.home else { unreachable!() };
    let medium = Medium::blank(shape);
    let mark = memory::mark();
    let mut store = open(medium.clone(), true)?;
    let began = medium.cost();
    let (mut worst_bytes, mut worst_erases) = (0, 0);
    let clock = Instant::now();
    for (number, step) in trace.steps.iter().enumerate() {
        let before = memory::uncounted(|| medium.cost());
        store.commit(step).map_err(|e| format!("commit {number}: {e}"))?;
        memory::uncounted(|| {
            let after = medium.cost();
            worst_bytes = worst_bytes.max(after.programmed - before.programmed);
            worst_erases = worst_erases.max(after.erases - before.erases);
        });
    }
    let took = clock.elapsed();
    let memory = memory::peak_since(mark);
    let cost = medium.cost();
    std::mem::forget(store);
    let (read, start) = reopen(&|| {
        let medium = Medium::holding(shape, medium.0.borrow().image.clone());
        let clock = Instant::now();
        let mut store = open(medium.clone(), false)?;
        expect(&store.all()?, trace)?;
        Ok((medium.cost().read, clock.elapsed()))
    })?;
    Ok(vec![
        ("programmed", (cost.programmed - began.programmed) as f64),
        ("programs", (cost.programs - began.programs) as f64),
        ("erases", (cost.erases - began.erases) as f64),
        ("erased", ((cost.erases - began.erases) * shape.block as u64) as f64),
        ("worn", cost.worn.iter().max().copied().unwrap_or(0).into()),
        ("again", cost.again as f64),
        ("syncs", cost.syncs as f64),
        ("run_read", (cost.read - began.read) as f64),
        ("cpu_us", took.as_secs_f64() * 1e6 / trace.steps.len() as f64),
        ("worst_bytes", worst_bytes as f64),
        ("worst_erases", worst_erases as f64),
        ("memory", memory as f64),
        ("start_read", read as f64),
        ("start_us", start.as_secs_f64() * 1e6),
        ("size", medium::size(shape) as f64),
    ])
}

fn reopen(once: &dyn Fn() -> Result<(u64, Duration), String>) -> Result<(u64, Duration), String> {
    let mut best = (0, Duration::MAX);
    for _ in 0..REOPENED {
        let (read, took) = once()?;
        best = (read, best.1.min(took));
    }
    Ok(best)
}

fn files(peer: &Peer, trace: &Trace, dir: &Path) -> Result<Vec<(&'static str, f64)>, String> {
    let Home::Files(open) = peer.home else { unreachable!() };
    let home = dir.join("home");
    std::fs::create_dir_all(&home).map_err(|e| e.to_string())?;
    let home = home.canonicalize().map_err(|e| e.to_string())?;
    crate::files::watch(&home, false);
    let mark = memory::mark();
    let mut store = open(&home, false)?;
    let began = crate::files::cost();
    let mut times = memory::uncounted(|| Vec::with_capacity(trace.steps.len()));
    for (number, step) in trace.steps.iter().enumerate() {
        let clock = Instant::now();
        store.commit(step).map_err(|e| format!("commit {number}: {e}"))?;
        times.push(clock.elapsed().as_secs_f64() * 1e6);
    }
    let memory = memory::peak_since(mark) + store.own_memory();
    let cost = crate::files::cost();
    crate::files::stop_watching();
    times.sort_by(f64::total_cmp);
    // As after a power cut: nothing was closed.
    let copy = |number: usize| {
        let to = dir.join(format!("copy{number}"));
        std::fs::create_dir(&to)?;
        for entry in std::fs::read_dir(&home)? {
            let entry = entry?;
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        to.canonicalize()
    };
    let number = std::cell::Cell::new(0);
    let (read, start) = reopen(&|| {
        number.set(number.get() + 1);
        let to = copy(number.get()).map_err(|e| e.to_string())?;
        crate::files::watch(&to, false);
        let read = crate::files::cost().read;
        let clock = Instant::now();
        let mut store = open(&to, false)?;
        expect(&store.all()?, trace)?;
        let took = clock.elapsed();
        let read = crate::files::cost().read - read;
        crate::files::stop_watching();
        Ok((read, took))
    })?;
    let size: u64 = std::fs::read_dir(&home)
        .map_err(|e| e.to_string())?
        .filter_map(|e| e.ok()?.metadata().ok())
        .map(|m| m.len())
        .sum();
    std::mem::forget(store);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Ok(vec![
        ("programmed", (cost.written - began.written) as f64),
        ("programs", (cost.writes - began.writes) as f64),
        ("paged", ((cost.pages - began.pages) * 4096) as f64),
        ("syncs", (cost.syncs - began.syncs) as f64),
        (
            "names",
            (cost.created + cost.renamed + cost.removed - began.created - began.renamed - began.removed)
                as f64,
        ),
        ("median_us", at(0.5)),
        ("p99_us", at(0.99)),
        ("worst_us", at(1.0)),
        ("total_s", times.iter().sum::<f64>() / 1e6),
        ("syncing_s", (cost.syncing - began.syncing).as_secs_f64()),
        ("memory", memory as f64),
        ("start_read", read as f64),
        ("start_us", start.as_secs_f64() * 1e6),
        ("size", size as f64),
    ])
}
