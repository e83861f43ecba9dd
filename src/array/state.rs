//! What the facts about an array mean to an owner. A core; first match wins, and a word that is new to us is `unknown`,
//! never `healthy`.

use core::time::Duration;

use super::mdstat::{Entry, Progress};
use super::sysfs::{Completed, Span, Texts};
use crate::units::PerMille;

/// The states of the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Whole.
    Healthy,
    /// Whole, and being compared.
    Checking(Option<Share>),
    /// Something is to be done but waits for another array on the same disks.
    Waiting,
    /// Redundant in name, not yet equal: the first synchronisation, or one after an unclean stop.
    Synchronising(Option<Share>),
    /// Being copied onto a disk.
    Rebuilding(Option<Share>),
    /// A disk is missing.
    Degraded,
    /// A disk is missing, by design of the box.
    SingleDisk,
    /// No data can be relied on.
    Failed,
    /// Not running.
    Inactive,
    /// The kernel's word is new to us.
    Unknown(String),
}

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Done.
    pub done: PerMille,
    /// Time left at the present speed, if there is one.
    pub left: Option<Duration>,
}

impl State {
    /// The word of the documents.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Checking(_) => "checking",
            Self::Waiting => "waiting",
            Self::Synchronising(_) => "synchronising",
            Self::Rebuilding(_) => "rebuilding",
            Self::Degraded => "degraded",
            Self::SingleDisk => "single-disk",
            Self::Failed => "failed",
            Self::Inactive => "inactive",
            Self::Unknown(_) => "unknown",
        }
    }

    /// How far it has come, if something runs.
    pub const fn share(&self) -> Option<Share> {
        match self {
            Self::Checking(share) | Self::Synchronising(share) | Self::Rebuilding(share) => *share,
            Self::Healthy
            | Self::Waiting
            | Self::Degraded
            | Self::SingleDisk
            | Self::Failed
            | Self::Inactive
            | Self::Unknown(_) => None,
        }
    }
}

/// One array, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// The kernel's name.
    pub name: String,
    /// raid1 and so on.
    pub level: String,
    /// What it means.
    pub state: State,
    /// Usable size in bytes.
    pub size_bytes: Option<u64>,
    /// Disks it should have.
    pub disks_wanted: u32,
    /// Disks that work.
    pub disks_working: u32,
    /// Its disks.
    pub members: Vec<super::sysfs::MemberTexts>,
    /// What else was seen, in words.
    pub notes: Vec<String>,
}

/// Understands one array. `single_by_design`: the box has one bay, so a missing mirror half is no fault.
pub fn understand(name: &str, texts: Texts, mdstat: Option<&Entry>, single_by_design: bool) -> Array {
    let missing = missing(&texts);
    let state = state(&texts, missing, single_by_design);
    let wanted = texts.disks_wanted();
    let mut notes = Vec::new();
    if texts.differences() > 0 {
        notes.push(format!("the last check saw differences in {} sectors", texts.differences()));
    }
    let faulty: Vec<&str> =
        texts.members.iter().filter(|m| m.is_faulty()).map(|m| m.device.as_str()).collect();
    if !faulty.is_empty() {
        notes.push(format!("the kernel has given up {}", faulty.join(", ")));
    }
    let gone = pulled(&texts);
    if !gone.is_empty() {
        notes.push(format!("{} is no longer there; md notices at its next access", gone.join(", ")));
    }
    let worn: Vec<&str> =
        texts.members.iter().filter(|m| is_worn(&m.state)).map(|m| m.device.as_str()).collect();
    if !worn.is_empty() {
        notes.push(format!("{} had write errors or wants replacement", worn.join(", ")));
    }
    if let Some(disk) = same_disk(&texts) {
        notes.push(format!("all members are on {disk}: no redundancy"));
    }
    notes.extend(mdstat.and_then(|entry| disagreement(&texts, entry)));
    let disks_working = wanted.saturating_sub(missing);
    Array {
        name: name.to_owned(),
        level: texts.level.clone().unwrap_or_default(),
        state,
        size_bytes: texts
            .size
            .as_deref()
            .and_then(|s| s.parse::<u64>().ok())
            .map(|sectors| sectors.saturating_mul(512)),
        disks_wanted: wanted,
        disks_working,
        members: texts.members,
        notes,
    }
}

/// Members that md counts as working and that are not there: pulled while nothing was read or written.
fn pulled(texts: &Texts) -> Vec<&str> {
    texts.members.iter().filter(|m| m.gone && m.is_in_sync()).map(|m| m.device.as_str()).collect()
}

/// Disks that are missing, md's own count and those it has not noticed.
fn missing(texts: &Texts) -> u32 {
    let pulled = u32::try_from(pulled(texts).len()).unwrap_or(u32::MAX);
    texts.missing().saturating_add(pulled)
}

/// Whether there is a disk to rebuild onto. At the end it is in sync a moment before md counts it: then there are enough.
fn has_spare(texts: &Texts) -> bool {
    let usable = || texts.members.iter().filter(|m| !m.is_faulty() && !m.gone);
    let enough = usable().count() >= usize::try_from(texts.disks_wanted()).unwrap_or(usize::MAX);
    enough || usable().any(|m| m.state.split(',').any(|w| w.trim() == "spare"))
}

fn is_worn(state: &str) -> bool {
    state.split(',').any(|w| matches!(w.trim(), "write_error" | "want_replacement"))
}

/// Two or more members, one disk.
fn same_disk(texts: &Texts) -> Option<String> {
    let (first, rest) = texts.members.split_first()?;
    let disk = first.disk()?;
    (!rest.is_empty() && rest.iter().all(|m| m.disk() == Some(disk))).then(|| disk.to_owned())
}

fn state(texts: &Texts, missing: u32, single_by_design: bool) -> State {
    let action = texts.sync_action.as_deref().unwrap_or("idle");
    let completed = texts.completed();
    let share = |span: Span| share(&span);
    match texts.array_state.as_deref() {
        None => return State::Failed,
        // Shown only where it would have been clean: the last disk has failed, though it is not marked so.
        Some("broken") => return State::Failed,
        Some("inactive" | "clear") => return State::Inactive,
        Some(
            "suspended" | "readonly" | "read-auto" | "clean" | "active" | "write-pending" | "active-idle",
        ) => {}
        Some(other) => return State::Unknown(other.to_owned()),
    }
    let wanted = texts.disks_wanted();
    if wanted > 0 && missing >= wanted {
        return State::Failed;
    }
    let running = match completed {
        Completed::Running(span) => Some(share(span)),
        Completed::None | Completed::Delayed => None,
    };
    match action {
        "recover" | "resync" | "reshape" | "check" | "repair"
            if completed == Completed::Delayed && missing == 0 =>
        {
            State::Waiting
        }
        // md says `recover`, even with a progress of nothing, for a moment after each failure, before it has looked whether
        // there is a spare to recover to.
        "recover" if missing == 0 || has_spare(texts) => State::Rebuilding(running.flatten()),
        _ if missing > 0 && single_by_design => State::SingleDisk,
        _ if missing > 0 => State::Degraded,
        "resync" | "reshape" => State::Synchronising(running.flatten()),
        "check" | "repair" => State::Checking(running.flatten()),
        "idle" | "frozen" => State::Healthy,
        other => State::Unknown(other.to_owned()),
    }
}

fn share(span: &Span) -> Option<Share> {
    let done = PerMille::of(span.done, span.total)?;
    // Two sectors are one KiB.
    let left_kib = span.total.saturating_sub(span.done) / 2;
    let left = span.speed_kib.and_then(|speed| left_kib.checked_div(speed)).map(Duration::from_secs);
    Some(Share { done, left })
}

/// sysfs and mdstat are printed from the same memory, a moment apart; a lasting disagreement is evidence of a misreading.
fn disagreement(texts: &Texts, entry: &Entry) -> Option<String> {
    let broken = texts.array_state.as_deref() == Some("broken");
    if (entry.activity == "broken") != broken {
        return Some(format!("/proc/mdstat says {}", entry.activity));
    }
    let (disks, working) = entry.disks?;
    let said = (texts.disks_wanted(), texts.disks_wanted().saturating_sub(texts.missing()));
    if (disks, working) != said && !matches!(entry.progress, Some(Progress::Running { .. })) {
        return Some(format!("/proc/mdstat says [{disks}/{working}]"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::sysfs::MemberTexts;

    fn texts(array_state: &str, degraded: &str, action: &str, completed: &str) -> Texts {
        let some = |t: &str| Some(t.to_owned());
        Texts {
            array_state: some(array_state),
            level: some("raid1"),
            degraded: some(degraded),
            raid_disks: some("2"),
            sync_action: some(action),
            sync_completed: some(completed),
            sync_speed: some("100000"),
            ..Texts::default()
        }
    }

    fn judged(texts: &Texts, single_by_design: bool) -> State {
        state(texts, missing(texts), single_by_design)
    }

    #[track_caller]
    fn check(array_state: &str, degraded: &str, action: &str, completed: &str, expect: &str) {
        assert_eq!(judged(&texts(array_state, degraded, action, completed), false).name(), expect);
    }

    #[test]
    fn states_follow_the_kernels_words() {
        check("clean", "0", "idle", "none", "healthy");
        check("active", "0", "idle", "none", "healthy");
        check("read-auto", "0", "idle", "none", "healthy");
        check("clean", "1", "idle", "none", "degraded");
        check("clean", "1", "frozen", "none", "degraded");
        check("clean", "1", "recover", "none", "degraded");
        check("clean", "1", "recover", "0 / 100", "degraded");
        check("broken", "1", "recover", "none", "failed");
        check("clean", "2", "idle", "none", "failed");
        check("clean", "0", "recover", "99 / 100", "rebuilding");
        check("active", "0", "resync", "10 / 100", "synchronising");
        check("active", "0", "resync", "delayed", "waiting");
        check("clean", "0", "check", "10 / 100", "checking");
        check("clean", "0", "repair", "10 / 100", "checking");
        check("clean", "1", "check", "10 / 100", "degraded");
        check("inactive", "0", "idle", "none", "inactive");
        check("new-word", "0", "idle", "none", "unknown");
        check("clean", "0", "new-word", "none", "unknown");
    }

    #[test]
    fn broken_is_failed_though_one_disk_counts_as_working() {
        check("broken", "1", "idle", "none", "failed");
        assert_eq!(judged(&Texts::default(), false), State::Failed, "configured and gone");
    }

    #[test]
    fn a_single_bay_box_is_not_degraded() {
        assert_eq!(judged(&texts("clean", "1", "idle", "none"), true), State::SingleDisk);
    }

    #[test]
    fn percent_and_time_left() {
        let mut texts = texts("clean", "1", "recover", "2000000 / 8000000");
        texts.members = vec![member("sdb3", "spare", false)];
        let State::Rebuilding(Some(share)) = judged(&texts, false) else { panic!() };
        assert!((share.done.percent() - 25.0).abs() < 0.01);
        assert_eq!(share.left, Some(Duration::from_secs(30)));
    }

    #[test]
    fn differences_are_worded_as_differences() {
        let mut texts = texts("clean", "0", "idle", "none");
        texts.mismatch_cnt = Some("128".into());
        let notes = understand("md0", texts, None, false).notes;
        assert_eq!(notes, ["the last check saw differences in 128 sectors"]);
    }

    fn member(device: &str, state: &str, gone: bool) -> MemberTexts {
        let disk = device.trim_end_matches(char::is_numeric);
        let path = Some(format!("/sys/devices/ata1/block/{disk}/{device}"));
        MemberTexts { device: device.into(), state: state.into(), slot: "0".into(), path, gone }
    }

    #[test]
    fn a_disk_pulled_from_an_idle_array_is_missing_before_md_knows() {
        let mut texts = texts("clean", "0", "idle", "none");
        texts.members = vec![member("sda3", "in_sync", false), member("sdb3", "in_sync", true)];
        let array = understand("md0", texts.clone(), None, false);
        assert_eq!((array.state, array.disks_working), (State::Degraded, 1));
        assert_eq!(array.notes, ["sdb3 is no longer there; md notices at its next access"]);
        // Once md has noticed, it is not counted twice.
        texts.members[1].state = "faulty,in_sync".into();
        texts.degraded = Some("1".into());
        let array = understand("md0", texts.clone(), None, false);
        assert_eq!((array.state, array.disks_working), (State::Degraded, 1));
        texts.members[0].gone = true;
        assert_eq!(understand("md0", texts, None, false).state, State::Failed);
    }

    #[test]
    fn a_rebuild_that_has_not_begun_has_a_spare_to_go_to() {
        let mut texts = texts("clean", "1", "recover", "none");
        texts.members = vec![member("sda3", "in_sync", false), member("sdb3", "faulty", false)];
        assert_eq!(judged(&texts, false), State::Degraded);
        texts.members.push(member("sdc3", "spare", false));
        assert_eq!(judged(&texts, false), State::Rebuilding(None));
        texts.members[2].state = "in_sync".into();
        assert_eq!(judged(&texts, false), State::Rebuilding(None));
        texts.sync_completed = Some("delayed".into());
        assert_eq!(judged(&texts, false), State::Rebuilding(None));
    }

    #[test]
    fn a_mirror_on_one_disk_is_called_that() {
        let mut texts = texts("clean", "0", "idle", "none");
        texts.members = vec![member("sda1", "in_sync", false), member("sda2", "in_sync", false)];
        assert_eq!(understand("md0", texts, None, false).notes, ["all members are on sda: no redundancy"]);
    }

    #[test]
    fn mdstat_is_heard_but_does_not_win() {
        let entry =
            Entry { name: "md0".into(), activity: "active".into(), disks: Some((2, 1)), ..Entry::default() };
        let array = understand("md0", texts("clean", "0", "idle", "none"), Some(&entry), false);
        assert_eq!((array.state, array.notes), (State::Healthy, vec!["/proc/mdstat says [2/1]".to_owned()]));
    }
}
