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
}

/// What md does with an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doing {
    /// What.
    pub work: Work,
    /// How far it has come; `None` before it has begun.
    pub share: Option<Share>,
}

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

    /// Whether a fault light should burn.
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
    /// raid1 and so on; empty where the kernel does not tell.
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
    /// Whether data can be read from it.
    pub const fn is_running(&self) -> bool {
        !matches!(self.state, State::Inactive)
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
        warnings.push("sysfs does not show it: this is what /proc/mdstat says".to_owned());
    }
    let spares = texts.members.iter().filter(|m| m.is_spare()).count();
    Some(Array {
        name: name.to_owned(),
        level: texts.level.clone().unwrap_or_default(),
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
        Action::Idle if texts.is_sync_pending() => State::Waiting,
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
