//! `scripts/bench store`: the same trace against moorline's log and its peers. `all` starts this program again for each store,
//! so that memory and crashes of one are not another's.

mod crash;
mod files;
mod medium;
mod measure;
mod memory;
mod now;
mod stores;
mod trace;

use std::path::Path;

use stores::PEERS;

/// The trace's.
const SEED: u64 = 2026;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let peer = |id: &str| PEERS.iter().find(|p| p.id == id).expect("a store of this bench");
    match arguments[1..] {
        ["measure", id, dir] => {
            for (name, number) in measure::run(peer(id), &trace::make(SEED), Path::new(dir)).expect(id) {
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
        _ => panic!("bench-store measure ID DIR | crash ID DIR COUNT ROT | all"),
    }
}
