//! `scripts/bench store`: the same trace against moorline's log and its peers. `all` starts this program again for each store,
//! so that memory and crashes of one are not another's.

mod crash;
mod files;
mod measure;
mod medium;
mod memory;
mod now;
mod report;
mod stores;
mod trace;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crash::FATES;
use report::{Found, Report};
use stores::{Home, PEERS};

/// The trace's.
const SEED: u64 = 2026;
/// Crash images of each of the four classes, and rotten ones.
const COUNT: (usize, usize) = (300, 1000);
const COUNT_QUICK: (usize, usize) = (30, 100);
/// Commits that are measured on files, whose syncs take their time.
const COMMITS: usize = usize::MAX;
const COMMITS_QUICK: usize = 500;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let peer = |id: &str| PEERS.iter().find(|p| p.id == id).expect("a store of this bench");
    match arguments[1..] {
        ["measure", id, dir, commits] => {
            let trace = trace::make_some(SEED, commits.parse().expect("a count"));
            for (name, number) in measure::run(peer(id), &trace, Path::new(dir)).expect(id) {
                println!("{name} {number}");
            }
        }
        ["crash", id, dir, count, rot] => {
            let (count, rot) = (count.parse().expect("a count"), rot.parse().expect("a count"));
            let out = crash::run(peer(id), &trace::make(SEED), Path::new(dir), count, rot).expect(id);
            for ((class, fate), count) in out.counts {
                println!("{class} {fate:?} {count}");
            }
            for ((fate, said), count) in out.said {
                println!("said {fate:?} {count} {}", said.replace('\n', " "));
            }
        }
        ["all", scratch, memory, programs, docs, ref rest @ ..] => {
            all(
                Path::new(scratch),
                Path::new(memory),
                Path::new(programs),
                Path::new(docs),
                rest.contains(&"--quick"),
            );
        }
        _ => panic!(
            "bench-store measure ID DIR COMMITS | crash ID DIR COUNT ROT | all SCRATCH MEMORY PROGRAMS DOCS [--quick]"
        ),
    }
}

/// Runs this program again; its lines, or what it said instead.
fn again(arguments: &[&str]) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new(own).args(arguments).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(|e| e.to_string());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

fn fresh(dir: &Path) -> String {
    let _ = std::fs::remove_dir_all(dir);
    dir.display().to_string()
}

/// `scratch`: on a real disk, for times; `memory`: for crash images; `programs`: where those of `size/` are.
fn all(scratch: &Path, memory: &Path, programs: &Path, docs: &Path, quick: bool) {
    let began = Instant::now();
    let (count, rot) = if quick { COUNT_QUICK } else { COUNT };
    let mut report =
        Report { found: BTreeMap::new(), sizes: sizes(programs), machine: machine(scratch), quick };
    for (number, peer) in PEERS.iter().enumerate() {
        eprintln!("[{}/{}, {} s] {}", number + 1, PEERS.len(), began.elapsed().as_secs(), peer.id);
        let mut found = Found::default();
        let some = quick && matches!(peer.home, Home::Files(_));
        let commits = if some { COMMITS_QUICK } else { COMMITS };
        match again(&["measure", peer.id, &fresh(scratch), &commits.to_string()]) {
            Ok(lines) => found.cost = lines.lines().filter_map(cost).collect(),
            Err(error) => found.failed = Some(error),
        }
        match again(&["crash", peer.id, &fresh(memory), &count.to_string(), &rot.to_string()]) {
            Ok(lines) => lines.lines().for_each(|line| fate(line, &mut found)),
            Err(error) => found.failed = Some(error),
        }
        if let Some(error) = &found.failed {
            eprintln!("  {error}");
        }
        report.found.insert(peer.id, found);
    }
    let _ = (fresh(scratch), fresh(memory));
    let mut files = report.figures();
    files.push(("bench-store.md", report.document()));
    for (name, text) in files {
        std::fs::write(docs.join(name), text).expect("the documents can be written");
    }
    eprintln!("[{} s] bench-store.md and its figures are in {}", began.elapsed().as_secs(), docs.display());
    assert!(report.found.values().all(|f| f.failed.is_none()), "some stores could not be measured");
}

fn cost(line: &str) -> Option<(String, f64)> {
    let (name, number) = line.split_once(' ')?;
    Some((name.to_owned(), number.parse().ok()?))
}

fn fate(line: &str, found: &mut Found) {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let named = |name: &str| FATES.into_iter().find(|f| format!("{f:?}") == name);
    match words[..] {
        ["said", fate, count, said] => {
            let entry = (named(fate).expect("a fate"), count.parse().expect("a count"), said.to_owned());
            found.said.push(entry);
            found.said.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
        }
        [class, fate, count] => {
            let key = (class.to_owned(), named(fate).expect("a fate"));
            found.fates.insert(key, count.parse().expect("a count"));
        }
        _ => panic!("{line}"),
    }
}

fn sizes(programs: &Path) -> BTreeMap<String, u64> {
    let names = PEERS.iter().map(|p| p.size).chain(["base"]);
    names.filter_map(|n| Some((n.to_owned(), std::fs::metadata(programs.join(n)).ok()?.len()))).collect()
}

/// Processors, load and the file system of `scratch`, in words.
fn machine(scratch: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let at = scratch.ancestors().find_map(|p| p.canonicalize().ok()).unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        at.starts_with(point).then_some((point.len(), kind))
    });
    let kind = below.max().map_or("an unknown file system", |(_, kind)| kind);
    format!(
        "{}, {cores} cores, load {load} when it began, files on {kind} of a virtual disk",
        std::env::consts::ARCH
    )
}
