//! Where the pairing state can be, and what is never touched. Places are checked by their form only: which of them is used is
//! decided on the box, and a raw partition is used only if it is blank or holds a store already.

use super::read::{placed, texts};
use crate::typed_toml::{At, Reader, Table};

/// What the name of a place on a disk begins with.
pub const DISK: &str = "disk:";

/// `[state]`.
#[derive(Default)]
pub(super) struct State {
    pub(super) places: Vec<String>,
    pub(super) fs: Vec<String>,
    pub(super) never_mtd: Vec<String>,
}

/// Reads `[state]`.
pub(super) fn state<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> State {
    let Some(mut t) = t.table(r, "state") else { return State::default() };
    let places = placed(r, &mut t, "try");
    let fs = texts(r, &mut t, "fs");
    let never_mtd = texts(r, &mut t, "never_mtd");
    t.finish(r);
    let last = places.len().saturating_sub(1);
    for (at, place) in places.iter().enumerate() {
        is_place(r, place, at == last, &never_mtd);
    }
    let is_directory = |p: &At<String>| p.value.starts_with("dir:") || p.value.starts_with(DISK);
    if let Some(first) = places.first().filter(|_| !fs.is_empty() && !places.iter().any(is_directory)) {
        let help = "leave fs out, or give dir:/PATH or disk:/PATH".into();
        r.complain(first.at, "impossible", "fs without a directory".into(), help);
    }
    State { places: places.into_iter().map(|p| p.value).collect(), fs, never_mtd }
}

fn is_place(r: &mut Reader<'_>, place: &At<String>, is_last: bool, never: &[String]) {
    let complaint = match place.value.split_once(':') {
        Some(("disk", path)) if path.starts_with('/') && !is_last => {
            ("impossible", "is not the last place", "a disk is woken by each write: put it last")
        }
        Some(("dir" | "disk", path)) if path.starts_with('/') => return,
        Some(("mtd", name)) if never.iter().any(|n| n == name) => {
            ("impossible", "is to be tried and never to be touched", "take it out of one of the two lists")
        }
        Some(("mtd" | "ubi", name)) if !name.is_empty() => return,
        Some(_) | None => {
            ("bad-value", "is no place for the store", "write ubi:NAME, mtd:NAME, dir:/PATH or disk:/PATH")
        }
    };
    let (code, problem, help) = complaint;
    r.complain(place.at, code, format!("{:?} {problem}", place.value), help.into());
}
