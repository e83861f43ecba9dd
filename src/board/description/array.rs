//! What the arrays of the vendor's firmware are for, told by what they are made of. Never by md's number, which changes.

use serde::{Deserialize, Serialize};

use super::read::{LIST_MAX, count, text, word};
use crate::typed_toml::{Reader, Table};

/// Members an array can have here.
const MEMBERS_MAX: usize = 32;
/// Partitions a disk can have here.
const PARTITIONS_MAX: usize = 64;

/// An array that the vendor's firmware makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MdArray {
    /// What it is for.
    pub role: MdRole,
    /// The kernel's word for its level, `raid1`; `None`: any.
    pub level: Option<String>,
    /// The partition that its members are, from 1; 0: whole disks; `None`: any.
    pub partition: Option<u8>,
    /// Members it is made for; `None`: any number.
    pub members: Option<u8>,
    /// Whether fewer are right; `None`: a missing one is a fault.
    pub expected_degraded: Option<Degraded>,
}

/// What an array is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MdRole {
    /// The vendor's system.
    System,
    /// The owner's files.
    Data,
    /// Swap.
    Swap,
}

/// With how many members an array is as it should be, although md calls it degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Degraded {
    /// With this many or more.
    Disks(u8),
    /// With one on each disk that is in the box, however many there are.
    Fitted,
}

impl MdRole {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 3] =
        [("system", Self::System), ("data", Self::Data), ("swap", Self::Swap)];
}

impl MdArray {
    /// Whether an array of this level, made for `members`, whose members are partition `partition` of their disks (0: whole
    /// disks; `None`: not all the same), is this one.
    pub fn fits(&self, level: &str, members: u8, partition: Option<u8>) -> bool {
        self.level.as_deref().is_none_or(|l| l == level)
            && self.members.is_none_or(|m| m == members)
            && self.partition.is_none_or(|p| Some(p) == partition)
    }

    fn overlaps(&self, other: &Self) -> bool {
        fn apart<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
            matches!((a, b), (Some(a), Some(b)) if a != b)
        }
        !apart(self.level.as_ref(), other.level.as_ref())
            && !apart(self.partition.as_ref(), other.partition.as_ref())
            && !apart(self.members.as_ref(), other.members.as_ref())
    }
}

/// Reads `[[array]]`.
pub(super) fn arrays<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<MdArray> {
    let mut list: Vec<MdArray> = Vec::new();
    for table in t.tables(r, "array").into_iter().take(LIST_MAX) {
        let at = table.at();
        let Some(array) = array(r, table) else { continue };
        if list.iter().any(|a| a.overlaps(&array)) {
            let help = "tell them apart by level, partition or members".into();
            r.complain(at, "impossible", "one array could be both of two entries".into(), help);
        }
        list.push(array);
    }
    list
}

fn array<'t>(r: &mut Reader<'t>, mut t: Table<'t>) -> Option<MdArray> {
    let at = t.at();
    let role = word(r, &mut t, "role", &MdRole::ALL);
    let level = text(r, &mut t, "level").map(|l| l.value);
    let partition = count(r, &mut t, "partition", 0, PARTITIONS_MAX);
    let members = count(r, &mut t, "members", 1, MEMBERS_MAX);
    let degraded = t.boolean(r, "expected_degraded").is_some_and(|d| d.value);
    let disks = count(r, &mut t, "disks", 1, MEMBERS_MAX);
    for key in ["device", "name", "md"] {
        let help = "say what it is made of: level, partition, members";
        t.refuse(r, key, "md-number", "an array is never told by its number", help);
    }
    t.finish(r);
    if role.is_none() || (level.is_none() && partition.is_none() && members.is_none()) {
        let help = "give role, and level, partition or members".into();
        r.complain(at, "missing-key", "an array without role, or that is any array".into(), help);
    }
    let expected_degraded = match (degraded, disks) {
        (false, None) => None,
        (true, None) => Some(Degraded::Fitted),
        (true, Some(disks)) if members.is_some_and(|m| disks < m) => Some(Degraded::Disks(disks)),
        (true | false, Some(_)) => {
            let help = "disks goes with expected_degraded = true and is less than members".into();
            r.complain(at, "impossible", "disks makes no sense here".into(), help);
            None
        }
    };
    Some(MdArray { role: role?, level, partition, members, expected_degraded })
}
