//! What the facts about an array mean to an owner. A core; first match wins, and a word that is new to us is `unknown`,
//! never `healthy`.

use core::time::Duration;

use super::level::{self, Redundancy};
use super::mdstat::{Activity, Entry, Progress, Said};
use super::notes;
use super::sysfs::{Action, Completed, MemberTexts, Span, Texts, Work};
use crate::units::PerMille;

/// The states of the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Whole.
    Healthy,
    /// Whole, and being compared.
    Checking,
    /// Something is to be done but waits: for another array on the same disks, or for the first write.
    Waiting,
    /// Redundant in name, not yet equal: the first synchronisation, or one after an unclean stop.
    Synchronising,
    /// Whole, and its data are being spread anew.
    Reshaping,
    /// Being copied onto a disk.
    Rebuilding,
    /// A disk is missing.
    Degraded,
    /// Its data are on one disk, by design of the box.
    SingleDisk,
    /// No data can be relied on.
    Failed,
    /// Not running.
    Inactive,
    /// The kernel's word is new to us.
    Unknown(String),
}

/// What the maker of a box says an array is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Disks that its data are on by design, where md has places for more: 1 in a box with one bay.
    pub disks: Option<u32>,
    /// Spare disks that stand by, by design.
    pub spares: u32,
    /// What it is for: `system`, `data` or `swap`.
    pub role: Option<&'static str>,
}

/// What md does with an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doing {
    /// What.
    pub work: Work,
    /// How far it has come; `None` before it has begun.
    pub share: Option<Share>,
}

/// Level of a container.
const CONTAINER: &str = "container";

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Done.
    pub done: PerMille,
    /// Time left at the present speed, if there is one.
    pub left: Option<Duration>,
    /// KiB a second.
    pub speed_kib: Option<u64>,
}

/// What /proc/mdstat says otherwise. They are read a moment apart: it counts when it is still so at the next look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dispute {
    /// Seen once.
    Once(String),
    /// Seen again.
    Lasting(String),
}

impl State {
    /// The word of the documents.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Checking => "checking",
            Self::Waiting => "waiting",
            Self::Synchronising => "synchronising",
            Self::Reshaping => "reshaping",
            Self::Rebuilding => "rebuilding",
            Self::Degraded => "degraded",
            Self::SingleDisk => "single-disk",
            Self::Failed => "failed",
            Self::Inactive => "inactive",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether disks are missing that should be there.
    pub const fn is_fault(&self) -> bool {
        match self {
            Self::Degraded | Self::Failed | Self::Rebuilding => true,
            Self::Healthy
            | Self::Checking
            | Self::Waiting
            | Self::Synchronising
            | Self::Reshaping
            | Self::SingleDisk
            | Self::Inactive
            | Self::Unknown(_) => false,
        }
    }
}

/// One array, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// The kernel's name.
    pub name: String,
    /// What it is for, where the board's description says that: `system`, `data` or `swap`.
    pub role: Option<&'static str>,
    /// raid1 and so on; `container` for what only holds the disks of other arrays; empty where the kernel does not tell.
    pub level: String,
    /// What it means.
    pub state: State,
    /// What md does with it.
    pub doing: Option<Doing>,
    /// Whether the data would outlive the loss of any one disk; `None` where that is not known.
    pub redundant: Option<bool>,
    /// Usable size in bytes.
    pub size_bytes: Option<u64>,
    /// Disks it should have.
    pub disks_wanted: u32,
    /// Disks that work.
    pub disks_working: u32,
    /// Spare disks that it lacks, of those it should have.
    pub spares_missing: u32,
    /// Its disks.
    pub members: Vec<MemberTexts>,
    /// What the owner should look at, in words.
    pub warnings: Vec<String>,
    /// What is good to know, in words.
    pub remarks: Vec<String>,
    /// What /proc/mdstat says otherwise.
    pub dispute: Option<Dispute>,
}

impl Array {
    /// Whether it is an array that runs.
    pub fn is_running(&self) -> bool {
        self.state != State::Inactive && self.level != CONTAINER
    }

    /// Warnings, then remarks.
    pub fn notes(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().chain(&self.remarks)
    }

    /// Takes over what only two looks can tell: what this array was like at the look before.
    pub fn compare(&mut self, before: &Self) {
        if let Some(Dispute::Once(now)) = &self.dispute
            && let Some(Dispute::Once(then) | Dispute::Lasting(then)) = &before.dispute
            && now == then
        {
            self.warnings.push(now.clone());
            self.dispute = Some(Dispute::Lasting(now.clone()));
        }
        for member in &mut self.members {
            if let Some(known) = before.members.iter().find(|m| m.device == member.device) {
                // A count that begins anew is that of another disk, or of the same one after it was added again.
                member.errors_before = known.errors_before.min(member.errors);
            }
        }
        self.warnings.extend(notes::read_errors(&self.members));
    }

    /// Whether another look in a while will tell more, though the kernel announces nothing.
    pub const fn is_unsettled(&self) -> bool {
        matches!(self.dispute, Some(Dispute::Once(_)))
            || matches!(self.doing, Some(Doing { share: Some(_), .. }))
    }
}

/// Understands one array; `None` is a device node that nothing was ever put together on.
pub fn understand(
    name: &str,
    texts: Texts,
    mdstat: Option<&Entry>,
    expectation: &Expectation,
) -> Option<Array> {
    let (texts, dispute, unseen) = match (mdstat, &texts.array_state) {
        (Some(entry), None) => (Texts::from_mdstat(entry), None, true),
        (Some(entry), Some(_)) => {
            let dispute = disagreement(&texts, entry);
            (texts, dispute, false)
        }
        (None, Some(state)) if state == "clear" && texts.members.is_empty() => return None,
        (None, _) => (texts, None, false),
    };
    let broken = mdstat.is_some_and(|e| e.activity == Said::Known(Activity::Broken));
    let missing = missing(&texts);
    let wanted = texts.disks_wanted();
    let state = state(&texts, broken, missing, expectation);
    let doing = doing(&texts, &state);
    let redundancy = level::redundancy(&texts, missing);
    let redundant = match (&state, &redundancy) {
        (State::Failed | State::Inactive | State::Unknown(_), _) | (_, Redundancy::Unknown) => None,
        (_, Redundancy::Bears(disks)) => Some(*disks > 0),
        (_, Redundancy::OneDisk(_)) => Some(false),
    };
    let (mut warnings, mut remarks) = notes::of(&texts, doing);
    if let Redundancy::OneDisk(disk) = &redundancy {
        let note = format!("all members are on {disk}: no redundancy");
        if state == State::SingleDisk { &mut remarks } else { &mut warnings }.push(note);
    }
    if unseen {
        remarks.push("sysfs does not show it: this is what /proc/mdstat says".to_owned());
    }
    let level = if texts.is_container() { CONTAINER } else { texts.level.as_deref().unwrap_or_default() };
    let spares = texts.members.iter().filter(|m| m.is_spare()).count();
    Some(Array {
        name: name.to_owned(),
        role: expectation.role,
        level: level.to_owned(),
        state,
        doing,
        redundant,
        size_bytes: texts
            .size
            .as_deref()
            .and_then(|s| s.parse::<u64>().ok())
            .map(|sectors| sectors.saturating_mul(512)),
        disks_wanted: wanted,
        disks_working: wanted.saturating_sub(missing),
        spares_missing: expectation.spares.saturating_sub(u32::try_from(spares).unwrap_or(u32::MAX)),
        members: texts.members,
        warnings,
        remarks,
        dispute: dispute.map(Dispute::Once),
    })
}

/// Disks that are missing: md's own count, and those it has not noticed. Levels without redundancy are not counted by md.
fn missing(texts: &Texts) -> u32 {
    let lost = |m: &&MemberTexts| (m.gone && m.is_in_sync()) || (texts.degraded.is_none() && m.is_faulty());
    let lost = u32::try_from(texts.members.iter().filter(lost).count()).unwrap_or(u32::MAX);
    texts.missing().saturating_add(lost)
}

/// Whether there is a disk to rebuild onto. At the end it is in sync a moment before md counts it: then there are enough.
fn has_spare(texts: &Texts) -> bool {
    let usable = || texts.members.iter().filter(|m| !m.is_faulty() && !m.gone);
    let enough = usable().count() >= usize::try_from(texts.disks_wanted()).unwrap_or(usize::MAX);
    enough || usable().any(|m| m.says("spare"))
}

fn state(texts: &Texts, broken: bool, missing: u32, expectation: &Expectation) -> State {
    match texts.array_state.as_deref() {
        None => return State::Unknown("array_state cannot be read".to_owned()),
        // Where the last disk has failed, md does not mark it so: only this word tells. sysfs has it where it would have said
        // `clean`, /proc/mdstat always, but not in Linux 6.1.
        Some("broken") => return State::Failed,
        Some("inactive" | "clear") if texts.is_container() => return State::Healthy,
        Some("inactive" | "clear") => return State::Inactive,
        Some(
            "suspended" | "readonly" | "read-auto" | "clean" | "active" | "write-pending" | "active-idle",
        ) => {}
        Some(other) => return State::Unknown(other.to_owned()),
    }
    let wanted = texts.disks_wanted();
    if broken || level::bears(texts, wanted).is_some_and(|bears| missing > bears) {
        return State::Failed;
    }
    let action = texts.action();
    let working = wanted.saturating_sub(missing);
    let by_design = |disks: u32| disks > 0 && working >= disks;
    // md says `recover`, even with a progress of nothing, for a moment after each failure, before it has looked whether
    // there is a spare to recover to.
    if action == Action::Works(Work::Recover) && (missing == 0 || has_spare(texts)) {
        return if missing == 0 && texts.completed() == Completed::Delayed {
            State::Waiting
        } else {
            State::Rebuilding
        };
    }
    if missing > 0 && !expectation.disks.is_some_and(by_design) {
        return State::Degraded;
    }
    let whole = match action {
        Action::Works(_) if texts.completed() == Completed::Delayed => State::Waiting,
        Action::Works(Work::Resync) => State::Synchronising,
        Action::Works(Work::Reshape) => State::Reshaping,
        Action::Works(Work::Check | Work::Repair) => State::Checking,
        // It begins in a moment, unless something holds it back.
        Action::Idle if texts.is_sync_pending() && texts.is_held_back() => State::Waiting,
        Action::Idle if texts.is_sync_pending() => State::Synchronising,
        // Of a recovery without a disk to recover to, see above.
        Action::Idle | Action::Works(Work::Recover) => State::Healthy,
        Action::Other(word) => State::Unknown(word),
    };
    // What a single disk is missing is its maker's choice, and there is nothing to be checked or made equal.
    let single = working == 1 || matches!(level::redundancy(texts, missing), Redundancy::OneDisk(_));
    if single && expectation.disks == Some(1) && (missing > 0 || whole == State::Healthy) {
        return State::SingleDisk;
    }
    whole
}

fn doing(texts: &Texts, state: &State) -> Option<Doing> {
    let Action::Works(work) = texts.action() else { return None };
    match (texts.completed(), state) {
        (_, State::Failed | State::Inactive | State::Unknown(_)) => None,
        // A recovery that has nothing to recover to.
        (_, State::Degraded | State::SingleDisk | State::Healthy) if work == Work::Recover => None,
        (Completed::Running(span), _) => Some(Doing { work, share: share(&span) }),
        (Completed::None | Completed::Delayed, _) => Some(Doing { work, share: None }),
    }
}

fn share(span: &Span) -> Option<Share> {
    let done = PerMille::of(span.done, span.total)?;
    // Two sectors are one KiB.
    let left_kib = span.total.saturating_sub(span.done) / 2;
    let left = span.speed_kib.and_then(|speed| left_kib.checked_div(speed)).map(Duration::from_secs);
    Some(Share { done, left, speed_kib: span.speed_kib })
}

/// sysfs and mdstat are printed from the same memory, a moment apart; a lasting disagreement is evidence of a misreading.
fn disagreement(texts: &Texts, entry: &Entry) -> Option<String> {
    let stopped = matches!(texts.array_state.as_deref(), Some("inactive" | "clear"));
    match &entry.activity {
        Said::Other(word) => return Some(format!("/proc/mdstat says {word}")),
        Said::Known(Activity::Inactive) if !stopped => return Some("/proc/mdstat says inactive".to_owned()),
        Said::Known(Activity::Active | Activity::Broken) if stopped => {
            return Some("/proc/mdstat says that it runs".to_owned());
        }
        Said::Known(_) => {}
    }
    let (disks, working) = entry.disks?;
    let said = (texts.disks_wanted(), texts.disks_wanted().saturating_sub(texts.missing()));
    // Disks come and go while something runs.
    if (disks, working) != said && !stopped && !matches!(entry.progress, Some(Progress::Running { .. })) {
        return Some(format!("/proc/mdstat says [{disks}/{working}]"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn texts(array_state: &str, degraded: &str, action: &str, completed: &str) -> Texts {
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

    fn seen(texts: &Texts) -> Array {
        understand("md0", texts.clone(), None, &Expectation::default()).unwrap()
    }

    fn single(texts: &Texts) -> Array {
        let expectation = Expectation { disks: Some(1), spares: 0, role: None };
        understand("md0", texts.clone(), None, &expectation).unwrap()
    }

    fn member(device: &str, state: &str, gone: bool) -> MemberTexts {
        let disk = device.trim_end_matches(char::is_numeric);
        let path = Some(format!("/sys/devices/ata1/block/{disk}/{device}"));
        MemberTexts {
            device: device.into(),
            state: state.into(),
            slot: "0".into(),
            path,
            gone,
            ..MemberTexts::default()
        }
    }

    fn mirror(second: &str) -> Texts {
        let mut texts = texts("clean", "0", "idle", "none");
        texts.members = vec![member("sda3", "in_sync", false), member(second, "in_sync", false)];
        texts
    }

    #[track_caller]
    fn check(array_state: &str, degraded: &str, action: &str, completed: &str, expect: &str) {
        assert_eq!(seen(&texts(array_state, degraded, action, completed)).state.name(), expect);
    }

    #[test]
    fn states_follow_the_kernels_words() {
        check("clean", "0", "idle", "none", "healthy");
        check("active", "0", "idle", "none", "healthy");
        check("active-idle", "0", "idle", "none", "healthy");
        check("write-pending", "0", "idle", "none", "healthy");
        check("suspended", "0", "idle", "none", "healthy");
        check("read-auto", "0", "idle", "none", "healthy");
        check("readonly", "0", "idle", "none", "healthy");
        check("clean", "1", "idle", "none", "degraded");
        check("clean", "1", "frozen", "none", "degraded");
        check("clean", "1", "recover", "none", "degraded");
        check("clean", "1", "recover", "0 / 100", "degraded");
        check("broken", "1", "recover", "none", "failed");
        check("clean", "2", "idle", "none", "failed");
        check("clean", "0", "recover", "99 / 100", "rebuilding");
        check("active", "0", "resync", "10 / 100", "synchronising");
        check("active", "0", "resync", "delayed", "waiting");
        check("active", "0", "recover", "delayed", "waiting");
        check("clean", "0", "check", "10 / 100", "checking");
        check("clean", "0", "check", "delayed", "waiting");
        check("clean", "0", "repair", "10 / 100", "checking");
        check("clean", "1", "check", "10 / 100", "degraded");
        check("clean", "0", "reshape", "10 / 100", "reshaping");
        check("clean", "1", "reshape", "10 / 100", "degraded");
        check("inactive", "0", "idle", "none", "inactive");
        check("new-word", "0", "idle", "none", "unknown");
        check("clean", "0", "new-word", "none", "unknown");
    }

    #[test]
    fn a_word_that_is_new_is_kept() {
        assert_eq!(
            seen(&texts("hibernating", "0", "idle", "none")).state,
            State::Unknown("hibernating".into())
        );
        assert_eq!(seen(&texts("clean", "0", "polish", "none")).state, State::Unknown("polish".into()));
        // What is known to be wrong goes before what is not known.
        assert_eq!(seen(&texts("clean", "1", "polish", "none")).state, State::Degraded);
        assert_eq!(seen(&Texts::default()).state, State::Unknown("array_state cannot be read".into()));
    }

    #[test]
    fn broken_is_failed_though_one_disk_counts_as_working() {
        let array = seen(&texts("broken", "1", "idle", "none"));
        assert_eq!((array.state, array.disks_working, array.redundant), (State::Failed, 1, None));
        // The word of /proc/mdstat is enough: sysfs has it only where it would have said `clean`.
        let entry =
            &super::super::mdstat::parse("md0 : broken raid1 sda3[0]\n      9 blocks [2/1] [U_]\n")[0];
        let busy = texts("active", "1", "idle", "none");
        let array = understand("md0", busy, Some(entry), &Expectation::default()).unwrap();
        assert_eq!(array.state, State::Failed);
    }

    #[test]
    fn what_a_level_bears_decides_between_degraded_and_failed() {
        for (level, disks, missing, expect) in [
            ("raid1", "3", "2", "degraded"),
            ("raid1", "3", "3", "failed"),
            ("raid4", "3", "1", "degraded"),
            ("raid5", "4", "1", "degraded"),
            ("raid5", "4", "2", "failed"),
            ("raid6", "4", "2", "degraded"),
            ("raid6", "4", "3", "failed"),
            ("raid10", "4", "2", "degraded"),
            ("raid10", "4", "4", "failed"),
            ("multipath", "4", "3", "degraded"),
        ] {
            let mut texts = texts("active", missing, "idle", "none");
            (texts.level, texts.raid_disks) = (some(level), some(disks));
            assert_eq!(seen(&texts).state.name(), expect, "{level}: {missing} of {disks} are missing");
        }
    }

    #[test]
    fn stripes_fail_with_their_first_disk() {
        for level in ["raid0", "linear"] {
            let mut texts = mirror("sdb3");
            (texts.level, texts.degraded, texts.sync_action) = (some(level), None, None);
            let array = seen(&texts);
            assert_eq!((array.state, array.redundant), (State::Healthy, Some(false)), "{level}");
            let whole = texts.clone();
            texts.members[1].gone = true;
            assert_eq!(seen(&texts).state, State::Failed, "{level}: pulled");
            texts = whole;
            texts.members[1].state = "faulty".into();
            assert_eq!(seen(&texts).state, State::Failed, "{level}: given up");
        }
    }

    #[test]
    fn a_single_bay_box_is_not_degraded() {
        let array = single(&texts("clean", "1", "idle", "none"));
        assert_eq!((array.state, array.redundant), (State::SingleDisk, Some(false)));
        assert_eq!(single(&texts("clean", "1", "check", "1 / 9")).state, State::SingleDisk);
        assert_eq!(single(&texts("clean", "2", "idle", "none")).state, State::Failed);
        let mut alone = texts("clean", "0", "idle", "none");
        alone.raid_disks = some("1");
        assert_eq!((single(&alone).state, seen(&alone).state), (State::SingleDisk, State::Healthy));
    }

    #[test]
    fn more_places_than_disks_can_be_a_makers_choice() {
        let mut texts = texts("clean", "22", "idle", "none");
        texts.raid_disks = some("24");
        let with = |disks| {
            understand("md9", texts.clone(), None, &Expectation { disks, spares: 0, role: None })
                .unwrap()
                .state
        };
        assert_eq!(
            (with(None), with(Some(2)), with(Some(3))),
            (State::Degraded, State::Healthy, State::Degraded)
        );
    }

    #[test]
    fn percent_speed_and_time_left() {
        let mut texts = texts("clean", "1", "recover", "2000000 / 8000000");
        texts.members = vec![member("sdb3", "spare", false)];
        let array = seen(&texts);
        assert_eq!(array.state, State::Rebuilding);
        let Some(Doing { work: Work::Recover, share: Some(share) }) = array.doing else { panic!() };
        assert!((share.done.percent() - 25.0).abs() < 0.01);
        assert_eq!((share.left, share.speed_kib), (Some(Duration::from_secs(30)), Some(100_000)));
        // What runs on a degraded array is told, too.
        texts.sync_action = some("reshape");
        assert_eq!(
            (seen(&texts).state, seen(&texts).doing.map(|d| d.work)),
            (State::Degraded, Some(Work::Reshape))
        );
    }

    #[test]
    fn differences_are_worded_as_differences() {
        let warned = |action: &str, completed: &str, last: Option<&str>| {
            let mut texts = texts("clean", "0", action, completed);
            (texts.mismatch_cnt, texts.last_sync_action) = (some("128"), last.map(str::to_owned));
            let array = seen(&texts);
            assert!(!array.notes().any(|n| n.contains("corrupt") || n.contains("damage")));
            (array.warnings, array.remarks)
        };
        let check = || {
            vec!["the last check saw differences in 128 sectors; usual where a swap area is on it".to_owned()]
        };
        assert_eq!(warned("idle", "none", Some("check")), (check(), vec![]));
        assert_eq!(warned("idle", "none", None), (check(), vec![]));
        for (action, completed, last, remark) in [
            ("idle", "none", "repair", "the last repair made 128 sectors equal that differed"),
            ("idle", "none", "recovery", "an earlier check or repair saw differences in 128 sectors"),
            ("check", "1 / 9", "check", "the check sees differences in 128 sectors so far"),
            ("repair", "1 / 9", "repair", "128 sectors that differed are equal again so far"),
        ] {
            assert_eq!(warned(action, completed, Some(last)), (vec![], vec![remark.to_owned()]));
        }
    }

    #[test]
    fn swap_is_an_excuse_on_mirrors_only() {
        let mut texts = texts("clean", "0", "idle", "none");
        (texts.mismatch_cnt, texts.level) = (some("8"), some("raid6"));
        assert_eq!(seen(&texts).warnings, ["the last check saw differences in 8 sectors"]);
    }

    #[test]
    fn a_disk_pulled_from_an_idle_array_is_missing_before_md_knows() {
        let mut texts = mirror("sdb3");
        texts.members[1].gone = true;
        let array = seen(&texts);
        assert_eq!((array.state, array.disks_working), (State::Degraded, 1));
        assert_eq!(array.warnings, ["sdb3 is no longer there; md notices at its next access"]);
        // Once md has noticed, it is not counted twice.
        texts.members[1].state = "faulty,in_sync".into();
        texts.degraded = some("1");
        let array = seen(&texts);
        assert_eq!((array.state, array.disks_working), (State::Degraded, 1));
        texts.members[0].gone = true;
        assert_eq!(seen(&texts).state, State::Failed);
    }

    #[test]
    fn a_rebuild_that_has_not_begun_has_a_spare_to_go_to() {
        let mut texts = texts("clean", "1", "recover", "none");
        texts.members = vec![member("sda3", "in_sync", false), member("sdb3", "faulty", false)];
        assert_eq!((seen(&texts).state, seen(&texts).doing), (State::Degraded, None));
        let begun = Some(Doing { work: Work::Recover, share: None });
        texts.members.push(member("sdc3", "spare", false));
        assert_eq!((seen(&texts).state, seen(&texts).doing), (State::Rebuilding, begun));
        texts.members[2].state = "in_sync".into();
        assert_eq!(seen(&texts).state, State::Rebuilding);
        texts.sync_completed = some("delayed");
        let array = seen(&texts);
        assert_eq!((array.state, array.doing), (State::Rebuilding, begun));
        assert_eq!(array.remarks, ["waits for another array on the same disks"]);
    }

    #[test]
    fn a_mirror_on_one_disk_is_called_that() {
        let note = ["all members are on sda: no redundancy"];
        let array = seen(&mirror("sda4"));
        assert_eq!((array.state, array.redundant), (State::Healthy, Some(false)));
        assert_eq!((&array.warnings[..], array.remarks.len()), (&note.map(str::to_owned)[..], 0));
        // A spare disk elsewhere is no second copy.
        let mut with_spare = mirror("sda4");
        with_spare.members.push(member("sdb3", "spare", false));
        assert_eq!(seen(&with_spare).warnings, note.map(str::to_owned));
        // Where the box has one bay that is how it is made.
        let array = single(&mirror("sda4"));
        assert_eq!((array.state, array.redundant), (State::SingleDisk, Some(false)));
        assert_eq!((array.warnings.len(), &array.remarks[..]), (0, &note.map(str::to_owned)[..]));
        let array = seen(&mirror("sdb3"));
        assert_eq!((array.redundant, array.notes().count()), (Some(true), 0));
    }

    #[test]
    fn redundancy_is_counted_by_disks() {
        let array = |level: &str, missing: &str, members: &[&str]| {
            let mut texts = texts("clean", missing, "idle", "none");
            let missing: usize = missing.parse().unwrap();
            (texts.level, texts.raid_disks) = (some(level), some(&(members.len() + missing).to_string()));
            texts.members = members.iter().map(|m| member(m, "in_sync", false)).collect();
            seen(&texts).redundant
        };
        for (level, missing, members, expect) in [
            ("raid5", "0", &["sda1", "sdb1", "sdc1"][..], Some(true)),
            ("raid5", "0", &["sda1", "sdb1", "sdb2"], Some(false)),
            ("raid5", "1", &["sda1", "sdb1"], Some(false)),
            ("raid6", "0", &["sda1", "sda2", "sdb1", "sdb2"], Some(true)),
            ("raid6", "1", &["sda1", "sdb1", "sdc1"], Some(true)),
            ("raid6", "1", &["sda1", "sda2", "sdb1"], Some(false)),
            ("raid10", "0", &["sda1", "sdb1", "sdc1", "sdd1"], Some(true)),
            ("raid10", "1", &["sda1", "sdb1", "sdc1"], Some(false)),
            ("raid1", "1", &["sda1", "sdb1"], Some(true)),
            ("raid0", "0", &["sda1", "sdb1"], Some(false)),
            ("faulty", "0", &["sda1"], None),
        ] {
            assert_eq!(array(level, missing, members), expect, "{level}, {missing} missing, {members:?}");
        }
    }

    #[test]
    fn what_waits_for_the_first_write_is_not_healthy() {
        let mut texts = texts("read-auto", "0", "idle", "none");
        texts.resync_start = some("2048");
        let array = seen(&texts);
        assert_eq!(array.state, State::Waiting);
        assert_eq!(
            array.remarks,
            ["it is read only until the first write", "a synchronisation waits until it is written to"]
        );
        assert!(array.warnings.is_empty());
        texts.resync_start = some("none");
        assert_eq!(seen(&texts).state, State::Healthy);
        // What can be written to begins by itself, unless it was told not to.
        (texts.array_state, texts.resync_start) = (some("clean"), some("0"));
        assert_eq!((seen(&texts).state, seen(&texts).remarks.len()), (State::Synchronising, 0));
        texts.sync_action = some("frozen");
        assert_eq!(seen(&texts).state, State::Waiting);
        assert_eq!(seen(&texts).remarks, ["md was told to begin nothing (frozen)"]);
    }

    #[test]
    fn a_container_that_does_not_run_is_no_fault_and_one_of_its_arrays_is() {
        let mut texts =
            Texts { array_state: some("inactive"), metadata: some("external:imsm"), ..Texts::default() };
        texts.members = vec![member("sda", "spare", false), member("sdb", "spare", false)];
        let array = seen(&texts);
        assert_eq!((&array.state, array.warnings.len()), (&State::Healthy, 0));
        assert_eq!((array.level.as_str(), array.is_running()), ("container", false));
        assert_eq!(array.remarks, ["a container (external:imsm): the arrays in it are listed by themselves"]);
        texts.metadata = some("external:/md127/0");
        assert_eq!(seen(&texts).state, State::Inactive);
    }

    #[test]
    fn an_empty_device_node_is_no_array() {
        let mut texts = Texts { array_state: some("clear"), ..Texts::default() };
        assert_eq!(understand("md0", texts.clone(), None, &Expectation::default()), None);
        texts.members = vec![member("sda3", "", false)];
        assert_eq!(seen(&texts).state, State::Inactive);
    }

    #[test]
    fn worn_disks_want_attention_and_odd_ones_do_not() {
        for (state, bad_blocks, warning) in [
            ("in_sync,write_error", false, Some("sdb3 had write errors or wants replacement")),
            ("in_sync,want_replacement", false, Some("sdb3 had write errors or wants replacement")),
            ("in_sync", true, Some("sdb3 has sectors that md found bad")),
            ("in_sync,write_mostly,failfast", false, None),
        ] {
            let mut texts = mirror("sdb3");
            (texts.members[1].state, texts.members[1].bad_blocks) = (state.into(), bad_blocks);
            let array = seen(&texts);
            assert_eq!((&array.state, array.redundant), (&State::Healthy, Some(true)));
            assert_eq!(array.warnings, warning.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{state}");
        }
    }

    #[test]
    fn read_errors_that_become_more_are_told_and_old_ones_are_not() {
        let look = |errors: u64| {
            let mut texts = mirror("sdb3");
            (texts.members[1].errors, texts.members[1].errors_before) = (errors, errors);
            seen(&texts)
        };
        let (first, mut second, mut third) = (look(3), look(3), look(5));
        assert!(first.warnings.is_empty());
        second.compare(&first);
        assert!(second.warnings.is_empty());
        third.compare(&second);
        assert_eq!(third.warnings, ["read errors, corrected by another disk: 2 of sdb3"]);
        let mut fourth = look(5);
        fourth.compare(&third);
        assert_eq!(fourth.warnings, third.warnings, "it stays told");
        let mut exchanged = look(0);
        exchanged.compare(&fourth);
        assert!(exchanged.warnings.is_empty());
    }

    #[test]
    fn mdstat_is_heard_at_the_second_time_and_does_not_win() {
        let entry =
            &super::super::mdstat::parse("md0 : active raid1 sda3[0]\n      9 blocks [2/1] [U_]\n")[0];
        let look =
            || understand("md0", texts("clean", "0", "idle", "none"), Some(entry), &Expectation::default());
        let (first, mut second, mut third) = (look().unwrap(), look().unwrap(), look().unwrap());
        assert_eq!((&first.state, first.warnings.len(), first.is_unsettled()), (&State::Healthy, 0, true));
        second.compare(&first);
        assert_eq!(
            (&second.state, &second.warnings[..]),
            (&State::Healthy, &["/proc/mdstat says [2/1]".to_owned()][..])
        );
        assert!(!second.is_unsettled());
        third.compare(&second);
        assert_eq!(third.warnings, second.warnings, "told for as long as it lasts, once");
        // Two that differ are two moments.
        let other =
            &super::super::mdstat::parse("md0 : active raid1 sda3[0]\n      9 blocks [3/1] [U__]\n")[0];
        let whole = texts("clean", "0", "idle", "none");
        let mut other = understand("md0", whole, Some(other), &Expectation::default()).unwrap();
        other.compare(&first);
        assert_eq!((other.warnings.len(), other.is_unsettled()), (0, true));
        // What is gone in between was a moment's.
        let mut other = seen(&texts("clean", "0", "idle", "none"));
        other.compare(&first);
        let mut again = look().unwrap();
        again.compare(&other);
        assert!(again.warnings.is_empty());
    }

    #[test]
    fn linux_6_1_says_active_of_a_broken_array_and_that_is_no_dispute() {
        let entry =
            &super::super::mdstat::parse("md0 : active raid1 sda3[0]\n      9 blocks [2/1] [U_]\n")[0];
        let array =
            understand("md0", texts("broken", "1", "idle", "none"), Some(entry), &Expectation::default());
        assert_eq!(array.unwrap().dispute, None);
    }

    #[test]
    fn spares_that_are_missing_are_counted() {
        let mut texts = mirror("sdb3");
        texts.members.push(member("sdc3", "spare", false));
        let with = |spares| {
            understand("md0", texts.clone(), None, &Expectation { spares, ..Expectation::default() })
                .unwrap()
                .spares_missing
        };
        assert_eq!((with(0), with(1), with(2)), (0, 0, 1));
    }
}
