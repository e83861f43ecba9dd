//! By what a box is recognised, and what recognises too much.

use serde::{Deserialize, Serialize};

use super::Description;
use super::read::{LIST_MAX, count, texts};
use crate::typed_toml::{Reader, Table};

/// Strings that many products share: evaluation boards that vendors copied from, and whole families of processors. They never
/// identify a NAS.
pub const EVALUATION: [&str; 22] = [
    "marvell,a370-db",
    "marvell,a375-db",
    "marvell,a385-gp",
    "marvell,armada-370-xp",
    "marvell,armada370",
    "marvell,armada375",
    "marvell,armada380",
    "marvell,armada385",
    "marvell,armada388",
    "marvell,armadaxp",
    "marvell,kirkwood",
    "marvell,kirkwood-88f6192",
    "marvell,kirkwood-88f6281",
    "marvell,kirkwood-88f6282",
    "realtek,rtd1293",
    "realtek,rtd1295",
    "realtek,rtd1296",
    "rockchip,rk3399",
    "rockchip,rk3566",
    "rockchip,rk3568",
    "rockchip,rk3588",
    "amlogic,sm1",
];
/// What `Hardware` says on every kernel with a device tree of a kind ends with one of these: it tells no more than
/// `compatible` does.
const GENERIC: [&str; 2] = ["Device Tree)", "Generic DT based system"];
/// Largest memory: 1 TiB.
const MEMORY_MAX_MIB: i64 = 1 << 20;
/// ATA ports a box can have here.
const PORTS_MAX: usize = 32;

/// One way to recognise a board; all that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Exact texts of the device tree's `model`; empty: not looked at.
    pub model: Vec<String>,
    /// Entries of the device tree's `compatible`; empty: not looked at.
    pub compatible: Vec<String>,
    /// Exact texts of `Hardware` in /proc/cpuinfo, for kernels without a device tree; empty: not looked at.
    pub hardware: Vec<String>,
    /// Least and most memory in MiB as `MemTotal` of /proc/meminfo tells it, which is less than what is fitted.
    pub memory_mib: Option<(u32, u32)>,
    /// Names of MTD partitions, all of which must be there; empty: not looked at.
    pub mtd: Vec<String>,
    /// ATA ports, with and without disks.
    pub sata_ports: Option<u8>,
}

impl Match {
    /// Whether a string that many products share would be enough.
    pub fn is_evaluation_only(&self) -> bool {
        let shared = self.compatible.iter().any(|c| EVALUATION.contains(&c.as_str()))
            || (self.compatible.is_empty() && self.hardware.iter().any(|h| is_generic(h)));
        let named = !self.model.is_empty() || self.hardware.iter().any(|h| !is_generic(h));
        let probed = self.memory_mib.is_some() && (!self.mtd.is_empty() || self.sata_ports.is_some());
        shared && !named && !probed
    }

    /// Whether some box fits both: they share a string, and nothing else keeps them apart. Partitions keep nothing apart: one
    /// box can have those of both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let kinds = [
            (&self.model, &other.model),
            (&self.compatible, &other.compatible),
            (&self.hardware, &other.hardware),
        ];
        let shares = |(a, b): &(&Vec<String>, &Vec<String>)| a.iter().any(|text| b.contains(text));
        let apart =
            |(a, b): &(&Vec<String>, &Vec<String>)| !a.is_empty() && !b.is_empty() && !shares(&(a, b));
        let memory = match (self.memory_mib, other.memory_mib) {
            (Some(a), Some(b)) => a.1 < b.0 || b.1 < a.0,
            (Some(_), None) | (None, Some(_) | None) => false,
        };
        let ports = matches!((self.sata_ports, other.sata_ports), (Some(a), Some(b)) if a != b);
        kinds.iter().any(shares) && !kinds.iter().any(apart) && !memory && !ports
    }
}

fn is_generic(hardware: &str) -> bool {
    GENERIC.iter().any(|g| hardware.ends_with(g))
}

/// Reads `[[match]]`.
pub(super) fn matches<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Match> {
    let mut list = Vec::new();
    for table in t.tables(r, "match").into_iter().take(LIST_MAX) {
        list.push(one(r, table));
    }
    if list.is_empty() {
        let help = "add [[match]] with model or compatible".into();
        r.complain(0, "missing-key", "match is missing".into(), help);
    }
    list
}

fn one<'t>(r: &mut Reader<'t>, mut t: Table<'t>) -> Match {
    let at = t.at();
    let model = texts(r, &mut t, "model");
    let compatible = texts(r, &mut t, "compatible");
    let hardware = texts(r, &mut t, "hardware");
    let memory_mib = memory(r, &mut t);
    let mtd = texts(r, &mut t, "mtd");
    let sata_ports = count(r, &mut t, "sata_ports", 0, PORTS_MAX);
    t.finish(r);
    if model.is_empty() && compatible.is_empty() && hardware.is_empty() {
        let help = "give model, compatible or hardware: the rest only tells apart".into();
        r.complain(at, "missing-key", "a match matches too much".into(), help);
    }
    let found = Match { model, compatible, hardware, memory_mib, mtd, sata_ports };
    if found.is_evaluation_only() {
        let help = "many products have it: give model or hardware too, or memory_mib with mtd or sata_ports";
        let message = "a match by the string of an evaluation board or a processor alone".into();
        r.complain(at, "evaluation-board", message, help.into());
    }
    found
}

fn memory<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Option<(u32, u32)> {
    let list = t.integers(r, "memory_mib", 1, MEMORY_MAX_MIB)?;
    if let [low, high] = list.value.as_slice()
        && low <= high
    {
        return Some((u32::try_from(*low).ok()?, u32::try_from(*high).ok()?));
    }
    let help = "write the least and the most: memory_mib = [400, 512]".into();
    r.complain(list.at, "bad-value", "memory_mib is no range".into(), help);
    None
}

/// Boards that a box could be at the same time, or that have the same id: pairs of positions. None in what ships.
pub fn conflicts(boards: &[Description]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (i, a) in boards.iter().enumerate() {
        for (j, b) in boards.iter().enumerate().skip(i + 1) {
            if a.id == b.id || a.matches.iter().any(|m| b.matches.iter().any(|n| m.overlaps(n))) {
                found.push((i, j));
            }
        }
    }
    found
}
