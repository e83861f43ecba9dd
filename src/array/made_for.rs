//! What the maker of a box says of one of its arrays: from the board's description and what an array is made of. A core.

use super::state::Expectation;
use super::sysfs::{MemberTexts, Texts};
use crate::board::description::array::{Degraded, MdRole};
use crate::board::description::{Description, word_of};

/// What is to be expected of an array. `fitted`: how many of the box's bays have a disk; asked only where the board's description
/// depends on it.
pub fn expectation(board: Option<&Description>, texts: &Texts, fitted: impl FnOnce() -> u32) -> Expectation {
    let Some(board) = board else { return Expectation::default() };
    let level = texts.level.as_deref().unwrap_or_default();
    let wanted = u8::try_from(texts.disks_wanted()).unwrap_or(u8::MAX);
    let partition = partition(&texts.members);
    let made = board.arrays.iter().find(|a| a.fits(level, wanted, partition));
    let disks = match made.and_then(|a| a.expected_degraded) {
        Some(Degraded::Disks(disks)) => Some(u32::from(disks)),
        Some(Degraded::Fitted) => Some(fitted().max(1)),
        None => None,
    };
    // Nothing in a box with one bay can have a second disk.
    let single = board.is_single_disk().then_some(1);
    Expectation { disks: single.or(disks), spares: 0, role: made.map(|a| word_of(&MdRole::ALL, a.role)) }
}

/// The partition that all members are, 0 for whole disks; `None` where they differ or one's path is not known.
fn partition(members: &[MemberTexts]) -> Option<u8> {
    let number = |member: &MemberTexts| {
        let rest = member.device.strip_prefix(member.disk()?)?;
        // `sda3`, and `nvme0n1p3` where the disk's name ends in a digit.
        if rest.is_empty() { Some(0) } else { rest.trim_start_matches('p').parse::<u8>().ok() }
    };
    let (first, rest) = members.split_first()?;
    let first = number(first)?;
    rest.iter().all(|m| number(m) == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::description::parse;

    const BOARD: &str = r#"
schema = 1
id = "x"
name = "X"
soc = "S"
isa = "armv7"
source = ["a/b:c"]
bay_count = 4
[[match]]
model = ["X"]
[[array]]
role = "system"
level = "raid1"
partition = 1
members = 4
expected_degraded = true
disks = 2
[[array]]
role = "swap"
level = "raid1"
partition = 2
expected_degraded = true
[[array]]
role = "data"
partition = 3
"#;

    fn texts(level: &str, disks: &str, members: &[(&str, &str)]) -> Texts {
        let member = |(disk, device): &(&str, &str)| MemberTexts {
            device: (*device).into(),
            path: Some(format!("/sys/devices/ata1/block/{disk}/{device}")),
            ..MemberTexts::default()
        };
        Texts {
            level: Some(level.into()),
            raid_disks: Some(disks.into()),
            members: members.iter().map(member).collect(),
            ..Texts::default()
        }
    }

    #[track_caller]
    fn check(texts: &Texts, disks: Option<u32>, role: Option<&str>) {
        let board = parse(BOARD).unwrap();
        let found = expectation(Some(&board), texts, || 3);
        assert_eq!((found.disks, found.role), (disks, role));
    }

    #[test]
    fn an_array_is_told_by_what_it_is_made_of() {
        check(&texts("raid1", "4", &[("sda", "sda1"), ("sdb", "sdb1")]), Some(2), Some("system"));
        check(&texts("raid1", "4", &[("sda", "sda2"), ("sdb", "sdb2")]), Some(3), Some("swap"));
        check(&texts("raid5", "4", &[("sda", "sda3"), ("sdf", "sdf3")]), None, Some("data"));
        check(&texts("raid1", "4", &[("nvme0n1", "nvme0n1p1")]), Some(2), Some("system"));
        check(&texts("raid1", "3", &[("sda", "sda1"), ("sdb", "sdb1")]), None, None);
        check(&texts("raid1", "4", &[("sda", "sda1"), ("sdb", "sdb2")]), None, None);
        check(&texts("raid1", "4", &[]), None, None);
    }

    #[test]
    fn whole_disks_are_partition_none() {
        let whole = BOARD.replace("partition = 3", "partition = 0");
        let board = parse(&whole).unwrap();
        let found = expectation(Some(&board), &texts("raid1", "2", &[("sda", "sda"), ("sdb", "sdb")]), || 0);
        assert_eq!(found.role, Some("data"));
    }

    #[test]
    fn one_bay_is_one_disk_whatever_else_is_said_and_an_empty_box_expects_one() {
        let single = parse(&BOARD.replace("bay_count = 4", "bay_count = 1")).unwrap();
        let system = texts("raid1", "4", &[("sda", "sda1")]);
        assert_eq!(expectation(Some(&single), &system, || 3).disks, Some(1));
        let board = parse(BOARD).unwrap();
        assert_eq!(expectation(Some(&board), &texts("raid1", "4", &[("sda", "sda2")]), || 0).disks, Some(1));
        assert_eq!(expectation(None, &system, || 3), Expectation::default());
    }
}
