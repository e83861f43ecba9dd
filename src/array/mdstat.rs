//! `/proc/mdstat`, by the kernel's own print rules (drivers/md/md.c: md_seq_show, status_resync; raid1.c:
//! raid1_status). A core. sysfs comes first; this is the cross-check. One odd array never hides another, and a word that is
//! new to us is kept as it is.

use super::sysfs::Work;

/// Arrays that are read.
pub const ARRAYS_MAX: usize = 32;
/// Members of one array that are read.
pub const MEMBERS_MAX: usize = 32;
/// Longest word that is kept, in bytes.
const WORD_MAX: usize = 64;

/// A word of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// One that we know.
    Known(T),
    /// One that is new to us.
    Other(String),
}

impl<T> Said<T> {
    fn of(word: &str, known: impl Fn(&str) -> Option<T>) -> Self {
        known(word).map_or_else(|| Self::Other(cut(word)), Self::Known)
    }
}

/// The first word of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It runs.
    Active,
    /// It runs, and has lost more than it can bear. Linux 6.1 says `active` here, later ones tell.
    Broken,
    /// It does not run.
    Inactive,
}

/// What stands in parentheses after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Until somebody switches it.
    ReadOnly,
    /// Until the first write.
    AutoReadOnly,
}

/// What it says of one array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `md0`, `md_d0`, `md_home`…
    pub name: String,
    /// Whether it runs.
    pub activity: Said<Activity>,
    /// Whether it is read only.
    pub access: Option<Said<Access>>,
    /// `raid1` and so on; absent when inactive.
    pub level: Option<String>,
    /// Its disks, in no useful order.
    pub members: Vec<Member>,
    /// Size in KiB.
    pub size_kib: Option<u64>,
    /// `1.2`, `external:imsm`, `non-persistent`; absent for 0.90.
    pub metadata: Option<String>,
    /// `[disks/working]`; levels without redundancy have none.
    pub disks: Option<(u32, u32)>,
    /// What runs.
    pub progress: Option<Progress>,
}

/// A disk of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The kernel's name.
    pub device: String,
    /// What it is beyond an ordinary member.
    pub flags: Vec<Flag>,
}

/// A letter after a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// W: not read from if it can be helped.
    WriteMostly,
    /// J: it holds the journal.
    Journal,
    /// F: given up.
    Faulty,
    /// S: a spare, or being rebuilt.
    Spare,
    /// R: it will replace another.
    Replacement,
    /// New to us.
    Other(char),
}

/// What runs on an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// On its way.
    Running {
        /// What. A repair prints as a resync.
        work: Said<Work>,
        /// KiB done.
        done: u64,
        /// KiB in all.
        total: u64,
        /// KiB a second, unless it stands still.
        speed_kib: Option<u64>,
    },
    /// Not yet, or not here.
    Waiting {
        /// What.
        work: Said<Work>,
        /// Why.
        wait: Said<Wait>,
    },
}

/// Why something does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Another array uses the same disks.
    Delayed,
    /// The array is read only until the first write.
    Pending,
    /// Another node of a cluster does it.
    Remote,
}

/// Reads the whole file; what cannot be read is left out, array by array.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut arrays: Vec<Entry> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let indented = line.starts_with([' ', '\t']);
        if line.trim().is_empty() {
            open = false;
        } else if let Some(array) = heading(line).filter(|_| !indented) {
            open = arrays.len() < ARRAYS_MAX;
            if open {
                arrays.push(array);
            }
        } else if let Some(array) = arrays.last_mut().filter(|_| open) {
            // Blanks get lost in files that went through other hands; what is not indented and not understood ends the array.
            open = detail(array, line) || indented;
        }
    }
    arrays
}

fn cut(word: &str) -> String {
    word.chars()
        .scan(0, |length, c| {
            *length += c.len_utf8();
            (*length <= WORD_MAX).then_some(c)
        })
        .collect()
}

fn heading(line: &str) -> Option<Entry> {
    let (name, rest) = line.split_once(" : ")?;
    let name = name.trim();
    if !name.starts_with("md") || name.len() > 32 || name.contains(char::is_whitespace) {
        return None;
    }
    let mut words = rest.split_whitespace().peekable();
    let activity = Said::of(words.next()?, |w| match w {
        "active" => Some(Activity::Active),
        "broken" => Some(Activity::Broken),
        "inactive" => Some(Activity::Inactive),
        _ => None,
    });
    let access = words.next_if(|w| w.starts_with('(') && w.ends_with(')')).map(|word| {
        Said::of(word.trim_matches(['(', ')']), |w| match w {
            "read-only" => Some(Access::ReadOnly),
            "auto-read-only" => Some(Access::AutoReadOnly),
            _ => None,
        })
    });
    let level = words.next_if(|w| !w.contains('[')).map(cut);
    Some(Entry {
        name: name.to_owned(),
        activity,
        access,
        level,
        members: words.filter_map(member).take(MEMBERS_MAX).collect(),
        size_kib: None,
        metadata: None,
        disks: None,
        progress: None,
    })
}

/// `sda3[0]`, `sdb3[1](F)`, `sdc[2](W)(R)`, `cciss/c0d0p1[0]`.
fn member(word: &str) -> Option<Member> {
    let (device, rest) = word.split_once('[')?;
    let (number, flags) = rest.split_once(']')?;
    if device.is_empty() || number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let flags = flags.split(['(', ')']).filter_map(|f| f.chars().next()).take(8).map(flag).collect();
    Some(Member { device: cut(device), flags })
}

const fn flag(letter: char) -> Flag {
    match letter {
        'W' => Flag::WriteMostly,
        'J' => Flag::Journal,
        'F' => Flag::Faulty,
        'S' => Flag::Spare,
        'R' => Flag::Replacement,
        other => Flag::Other(other),
    }
}

/// The lines below the first can stand in any order, and any of them can be absent. The first of its kind counts: what follows
/// a damaged line may be another array's. Whether it is one of them.
fn detail(array: &mut Entry, line: &str) -> bool {
    let mut words = line.split_whitespace().peekable();
    // The bitmap line has brackets of its own: `[0/30` after it must not be taken for disks.
    if words.peek().is_some_and(|w| *w == "bitmap:") {
        return true;
    }
    if let Some(progress) = running(line).or_else(|| waiting(line)) {
        array.progress.get_or_insert(progress);
        return true;
    }
    let size = words.next();
    if words.next() != Some("blocks") {
        return false;
    }
    if array.size_kib.is_some() {
        return true;
    }
    array.size_kib = size.and_then(|w| w.parse().ok());
    while let Some(word) = words.next() {
        if word == "super" {
            array.metadata = words.next().map(cut);
        } else if array.disks.is_none() {
            array.disks = word.strip_prefix('[').and_then(|w| pair(w.strip_suffix(']')?));
        }
    }
    true
}

fn pair<T: core::str::FromStr>(text: &str) -> Option<(T, T)> {
    let (a, b) = text.split_once('/')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// `[=>...] recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec`. At the end `=100.0%` has no blank.
fn running(line: &str) -> Option<Progress> {
    let (before, after) = line.split_once(" =")?;
    let what = before.split_whitespace().next_back()?;
    let mut words = after.split_whitespace();
    let (done, total) = words.find_map(|w| pair(w.strip_prefix('(')?.strip_suffix(')')?))?;
    let speed = words.find_map(|w| w.strip_prefix("speed=")?.strip_suffix("K/sec")?.parse().ok());
    Some(Progress::Running {
        work: Said::of(what, Work::of),
        done,
        total,
        speed_kib: speed.filter(|s| *s > 0),
    })
}

/// `resync=DELAYED`, behind a tab in the kernel and behind blanks in hand-made files.
fn waiting(line: &str) -> Option<Progress> {
    let (what, why) = line.trim().split_once('=')?;
    if !what.bytes().all(|b| b.is_ascii_lowercase()) || !why.bytes().all(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let wait = Said::of(why, |w| match w {
        "DELAYED" => Some(Wait::Delayed),
        "PENDING" => Some(Wait::Pending),
        "REMOTE" => Some(Wait::Remote),
        _ => None,
    });
    Some(Progress::Waiting { work: Said::of(what, Work::of), wait })
}
