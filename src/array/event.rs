//! What happened to arrays between two looks, by the names that `mdadm --monitor` has for it (mdadm(8), "MONITOR MODE";
//! mdadm: mdmonitor.c, check_array). A core.
//!
//! Two differences to mdadm: a look tells of the last step of twenty percent that was passed, and of that only; and a spare
//! disk that was moved is one that left an array and joined another between the same two looks, whoever moved it.

use super::state::{Array, Share};
use super::sysfs::{MemberTexts, Work};

/// A name of mdadm's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// An array runs that did not.
    NewArray,
    /// An array is degraded that was not seen before.
    DegradedArray,
    /// One has fewer spare disks than its maker said, when first seen.
    SparesMissing,
    /// An array does not run any more.
    DeviceDisappeared,
    /// A disk that carried data does not any more.
    Fail,
    /// A spare disk, standing by or being rebuilt, was given up.
    FailSpare,
    /// A disk carries data that did not.
    SpareActive,
    /// A spare disk went from one array to another.
    MoveSpare,
    /// A recovery, resync, reshape, check or repair began.
    RebuildStarted,
    /// It has passed 20 percent.
    Rebuild20,
    /// 40 percent.
    Rebuild40,
    /// 60 percent.
    Rebuild60,
    /// 80 percent.
    Rebuild80,
    /// It has ended, done or not.
    RebuildFinished,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// What.
    pub name: Name,
    /// To which array.
    pub array: String,
    /// By which disk; for [`Name::MoveSpare`] the array that it came from.
    pub device: Option<String>,
}

impl Name {
    /// As mdadm writes it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NewArray => "NewArray",
            Self::DegradedArray => "DegradedArray",
            Self::SparesMissing => "SparesMissing",
            Self::DeviceDisappeared => "DeviceDisappeared",
            Self::Fail => "Fail",
            Self::FailSpare => "FailSpare",
            Self::SpareActive => "SpareActive",
            Self::MoveSpare => "MoveSpare",
            Self::RebuildStarted => "RebuildStarted",
            Self::Rebuild20 => "Rebuild20",
            Self::Rebuild40 => "Rebuild40",
            Self::Rebuild60 => "Rebuild60",
            Self::Rebuild80 => "Rebuild80",
            Self::RebuildFinished => "RebuildFinished",
        }
    }
}

/// What a look that is the first tells.
pub fn at_first(arrays: &[Array]) -> Vec<Happened> {
    let mut found = Found::default();
    for array in arrays.iter().filter(|a| a.is_running()) {
        found.first_sight(array);
    }
    found.0
}

/// What happened between two looks, array by array.
pub fn between(before: &[Array], after: &[Array]) -> Vec<Happened> {
    let mut found = Found::default();
    let running = |all: &'_ [Array], name: &str| all.iter().position(|a| a.name == name && a.is_running());
    for old in before.iter().filter(|a| a.is_running()) {
        if running(after, &old.name).is_none() {
            found.push(Name::DeviceDisappeared, old, None);
        }
    }
    for new in after.iter().filter(|a| a.is_running()) {
        let Some(old) = running(before, &new.name).and_then(|at| before.get(at)) else {
            found.push(Name::NewArray, new, None);
            found.first_sight(new);
            found.work(None, new);
            continue;
        };
        found.work(Some(old), new);
        found.members(old, new);
        found.moved(new, before, after);
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Happened>);

impl Found {
    fn push(&mut self, name: Name, array: &Array, device: Option<&str>) {
        self.0.push(Happened { name, array: array.name.clone(), device: device.map(str::to_owned) });
    }

    fn first_sight(&mut self, array: &Array) {
        if array.state.is_fault() && array.disks_working < array.disks_wanted {
            self.push(Name::DegradedArray, array, None);
        }
        if array.spares_missing > 0 {
            self.push(Name::SparesMissing, array, None);
        }
    }

    fn work(&mut self, old: Option<&Array>, new: &Array) {
        let (old_run, new_run) = (old.and_then(run), run(new));
        let same = match (old_run, new_run) {
            // What has gone backwards has begun anew.
            (Some((was, then)), Some((is, now))) => was == is && then.done <= now.done,
            _ => false,
        };
        if old_run.is_some() && !same {
            self.push(Name::RebuildFinished, new, None);
        }
        let Some((_, now)) = new_run else { return };
        if !same {
            self.push(Name::RebuildStarted, new, None);
        }
        let then = old_run.filter(|_| same).and_then(|(_, then)| step(then));
        if let Some(name) = step(now).filter(|name| Some(*name) != then) {
            self.push(name, new, None);
        }
    }

    fn members(&mut self, old: &Array, new: &Array) {
        for was in &old.members {
            let is = new.members.iter().find(|m| m.device == was.device);
            let lost = is.is_none_or(|m| !m.is_working());
            if was.is_working() && lost {
                self.push(Name::Fail, new, Some(&was.device));
            } else if was.is_spare() && is.is_some_and(MemberTexts::is_faulty) {
                self.push(Name::FailSpare, new, Some(&was.device));
            }
        }
        for is in new.members.iter().filter(|m| m.is_working()) {
            if !old.members.iter().any(|was| was.device == is.device && was.is_working()) {
                self.push(Name::SpareActive, new, Some(&is.device));
            }
        }
    }

    fn moved(&mut self, new: &Array, before: &[Array], after: &[Array]) {
        let has = |all: &[Array], name: &str, device: &str| {
            all.iter()
                .any(|a| a.name == name && a.members.iter().any(|m| m.device == device && !m.is_faulty()))
        };
        for spare in new.members.iter().filter(|m| !m.is_faulty()) {
            let device = spare.device.as_str();
            if has(before, &new.name, device) {
                continue;
            }
            let from = before
                .iter()
                .find(|a| a.name != new.name && a.members.iter().any(|m| m.device == device && m.is_spare()));
            if let Some(from) = from.filter(|from| !has(after, &from.name, device)) {
                self.push(Name::MoveSpare, new, Some(&from.name));
            }
        }
    }
}

/// What runs, and how far it is: what waits does not count.
fn run(array: &Array) -> Option<(Work, Share)> {
    array.doing.and_then(|d| Some((d.work, d.share?)))
}

/// The step that was passed last.
fn step(share: Share) -> Option<Name> {
    match share.done.percent() {
        80.0.. => Some(Name::Rebuild80),
        60.0.. => Some(Name::Rebuild60),
        40.0.. => Some(Name::Rebuild40),
        20.0.. => Some(Name::Rebuild20),
        _ => None,
    }
}
