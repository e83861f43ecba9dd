//! The microcontroller beside the processor, on a serial port. Speed and pacing of that port are facts of the kind and stand
//! with its protocol; which wire it is on and what is behind it differ from box to box and stand here.

use serde::{Deserialize, Serialize};

use super::read::{tty, word, words};
use super::thermal::Rpm;
use crate::typed_toml::{At, Reader, Table};

/// The microcontroller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mcu {
    /// Whose protocol it speaks.
    pub kind: McuKind,
    /// Its serial port, `ttyS1`; `None`: not known, which only one that is not spoken to can be.
    pub tty: Option<String>,
    /// What is behind it.
    pub has: Vec<McuPart>,
    /// What its fan's speed is worth; `None`: not known.
    pub rpm: Option<Rpm>,
}

/// Whose protocol a microcontroller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum McuKind {
    /// Weltrend, as in the WD My Cloud Mirror (gen 2) and EX2 Ultra: frames of 7 bytes.
    Weltrend,
    /// Some other, for the vendor's own software: known to be there and not spoken to.
    Vendor,
}

/// What can be behind a microcontroller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum McuPart {
    /// The lamp `mcu:power`.
    Lamp,
    /// Other lights, which only the vendor's software reaches.
    Lights,
    /// A thermometer.
    Temperature,
    /// A fan. The agent never drives it.
    Fan,
    /// Buttons, which only the vendor's software sees.
    Buttons,
    /// A clock.
    Rtc,
    /// The power supply: switching the box off for good.
    Power,
}

impl McuKind {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 2] = [("weltrend", Self::Weltrend), ("vendor", Self::Vendor)];
}

impl McuPart {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 7] = [
        ("lamp", Self::Lamp),
        ("lights", Self::Lights),
        ("temperature", Self::Temperature),
        ("fan", Self::Fan),
        ("buttons", Self::Buttons),
        ("rtc", Self::Rtc),
        ("power", Self::Power),
    ];
}

impl Mcu {
    /// Whether the agent speaks to it and has this from it.
    pub fn gives(&self, part: McuPart) -> bool {
        self.kind == McuKind::Weltrend && self.has.contains(&part)
    }
}

/// Reads `[mcu]`. `console`: the port that it cannot be on.
pub(super) fn mcu<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, console: Option<&str>) -> Option<Mcu> {
    let mut t = t.table(r, "mcu")?;
    let at = t.at();
    let kind = word(r, &mut t, "kind", &McuKind::ALL);
    let tty = tty(r, &mut t, "tty");
    let has: Vec<McuPart> = words(r, &mut t, "has", &McuPart::ALL).into_iter().map(|p| p.value).collect();
    let rpm = word(r, &mut t, "rpm", &Rpm::ALL);
    t.finish(r);
    if kind.is_none() || (kind == Some(McuKind::Weltrend) && tty.is_none()) {
        let help = "give kind, and tty too if it is to be spoken to".into();
        r.complain(at, "missing-key", "a microcontroller without kind or tty".into(), help);
    }
    if let Some(At { value, at }) = tty.as_ref().filter(|t| console == Some(t.value.as_str())) {
        let help = "a serial port has one owner".into();
        r.complain(*at, "impossible", format!("{value} is the console and the microcontroller's"), help);
    }
    if rpm.is_some() && !has.contains(&McuPart::Fan) {
        let help = "write \"fan\" in has, or leave rpm out".into();
        r.complain(at, "impossible", "the speed of a fan that is not there".into(), help);
    }
    Some(Mcu { kind: kind?, tty: tty.map(|t| t.value), has, rpm })
}
