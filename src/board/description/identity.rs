//! What makes one box of a model unlike another, and what is at its edges: hardware address, serial number, network sockets,
//! watchdog.

use serde::{Deserialize, Serialize};

use super::read::{LIST_MAX, count, text, texts, word};
use crate::typed_toml::{Reader, Table};

/// Longest address or serial number in bytes.
const CELL_MAX: usize = 64;
/// Largest offset: flash of 1 GiB.
const OFFSET_MAX: i64 = 1 << 30;

/// A place that holds an address or a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// What it is in.
    pub medium: Medium,
    /// Bytes from its start.
    pub offset: u32,
    /// Bytes.
    pub length: u8,
    /// How it is written.
    pub format: Format,
}

/// What holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// The MTD partition of this name.
    Mtd(String),
    /// The device of this name in /sys/bus/nvmem/devices.
    Nvmem(String),
}

/// How it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// As text: `00:90:A9:12:34:56`.
    #[default]
    Ascii,
    /// As bytes.
    Binary,
}

/// A network socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Part of its device path in sysfs: whole components.
    pub path: Option<String>,
    /// Its driver's name.
    pub driver: Option<String>,
    /// What is printed beside it.
    pub label: Option<String>,
}

/// The hardware watchdog. The agent never opens one: opening arms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watchdog {
    /// It calls itself one of these in /sys/class/watchdog/*/identity.
    Identity(Vec<String>),
    /// It is the vendor's software that feeds it.
    Vendor,
}

impl Format {
    /// Both, with their words.
    pub const ALL: [(&'static str, Self); 2] = [("ascii", Self::Ascii), ("binary", Self::Binary)];
}

/// Reads `[identity]`: hardware address and serial number.
pub(super) fn identity<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> [Option<Cell>; 2] {
    let Some(mut t) = t.table(r, "identity") else { return [None, None] };
    let tables = [t.table(r, "mac"), t.table(r, "serial")];
    t.finish(r);
    tables.map(|table| cell(r, table?))
}

fn cell<'t>(r: &mut Reader<'t>, mut t: Table<'t>) -> Option<Cell> {
    let at = t.at();
    let (mtd, nvmem) = (text(r, &mut t, "mtd"), text(r, &mut t, "nvmem"));
    let offset = t.integer(r, "offset", 0, OFFSET_MAX).map_or(0, |o| o.value);
    let length = count(r, &mut t, "length", 1, CELL_MAX);
    let format = word(r, &mut t, "format", &Format::ALL).unwrap_or_default();
    t.finish(r);
    let medium = match (mtd, nvmem) {
        (Some(mtd), None) => Some(Medium::Mtd(mtd.value)),
        (None, Some(nvmem)) => Some(Medium::Nvmem(nvmem.value)),
        (None, None) | (Some(_), Some(_)) => None,
    };
    if medium.is_none() || length.is_none() {
        let help = "give mtd or nvmem, and length".into();
        r.complain(at, "missing-key", "an address or number without its place".into(), help);
    }
    Some(Cell { medium: medium?, offset: u32::try_from(offset).ok()?, length: length?, format })
}

/// Reads `[[nic]]`.
pub(super) fn nics<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Nic> {
    let mut list: Vec<Nic> = Vec::new();
    for mut t in t.tables(r, "nic").into_iter().take(LIST_MAX) {
        let at = t.at();
        let path = text(r, &mut t, "path").map(|p| p.value.trim_matches('/').to_owned());
        let driver = text(r, &mut t, "driver").map(|d| d.value);
        let label = text(r, &mut t, "label").map(|l| l.value);
        for key in ["name", "interface", "eth"] {
            let help = "give path, a part of its device path, or driver";
            t.refuse(r, key, "nic-number", "a network socket is never told by its number", help);
        }
        t.finish(r);
        if path.is_none() && driver.is_none() {
            let help = "give path, a part of its device path, or driver".into();
            r.complain(at, "missing-key", "a network socket that is any".into(), help);
        }
        if list.iter().any(|n| (&n.path, &n.driver) == (&path, &driver)) {
            let help = "tell them apart by path".into();
            r.complain(at, "impossible", "two network sockets that nothing tells apart".into(), help);
        }
        list.push(Nic { path, driver, label });
    }
    list
}

/// Reads `[watchdog]`.
pub(super) fn watchdog<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Option<Watchdog> {
    let mut t = t.table(r, "watchdog")?;
    let at = t.at();
    let names = texts(r, &mut t, "identity");
    let vendor = word(r, &mut t, "owner", &[("vendor", ())]);
    t.finish(r);
    match (names.is_empty(), vendor) {
        (false, None) => Some(Watchdog::Identity(names)),
        (true, Some(())) => Some(Watchdog::Vendor),
        (true, None) | (false, Some(())) => {
            let help = "give identity, or owner = \"vendor\"".into();
            r.complain(
                at,
                "missing-key",
                "a watchdog with neither name nor owner, or with both".into(),
                help,
            );
            None
        }
    }
}
