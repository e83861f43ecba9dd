//! What the levels of RAID can bear (md(4)). A core.

use super::sysfs::Texts;

/// What may still be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redundancy {
    /// So many more disks, whichever they are.
    Bears(u32),
    /// Nothing, though md counts several members: they are all on this disk.
    OneDisk(String),
    /// The level, or the number of its disks, is not known.
    Unknown,
}

/// Missing members that never cost data. More of them are a failure, but for raid10: there it depends on which they are, and
/// md tells by the word `broken`.
pub fn bears(texts: &Texts, wanted: u32) -> Option<u32> {
    match texts.level.as_deref()? {
        "raid1" | "raid10" => wanted.checked_sub(1),
        "raid4" | "raid5" => Some(1),
        "raid6" => Some(2),
        "raid0" | "linear" => Some(0),
        _ => None,
    }
}

/// What may still be lost, by disks and not by members: two partitions of one disk are lost together.
pub fn redundancy(texts: &Texts, missing: u32) -> Redundancy {
    let wanted = texts.disks_wanted();
    let Some(mut bears) = bears(texts, wanted) else { return Redundancy::Unknown };
    if texts.level.as_deref() == Some("raid10") {
        // Two copies, whatever the layout.
        bears = bears.min(1);
    }
    let working: Vec<&str> =
        texts.members.iter().filter(|m| m.is_working()).map(|m| m.disk().unwrap_or(&m.device)).collect();
    let on = |disk: &str| working.iter().filter(|d| **d == disk).count();
    let most = working.iter().max_by_key(|d| on(d)).copied().unwrap_or_default();
    if bears > 0 && working.len() > 1 && on(most) == working.len() {
        return Redundancy::OneDisk(most.to_owned());
    }
    // Disks are lost whole, the one with most members first.
    let at_once = u32::try_from(on(most)).unwrap_or(u32::MAX).max(1);
    Redundancy::Bears(bears.saturating_sub(missing) / at_once)
}
