//! What a board file says: the schema, and the types that a good file becomes. A core, also used by the build script, so it
//! names nothing of this crate but `typed_toml`. docs/boards.md documents every key.
//!
//! Contract: a description that [`parse`] lets through names only plain light names (they become parts of paths that are
//! written to), bays by device path, and never an evaluation board's string alone. It cannot say that a fan is to be driven,
//! nor which level of a wire is on: the first is never done, the second is the device tree's.

pub mod array;
pub mod bay;
pub mod button;
pub mod identity;
pub mod led;
pub mod matching;
pub mod mcu;
mod parse;
mod read;
pub mod state;
pub mod subset;
pub mod thermal;

use serde::{Deserialize, Serialize};

pub use array::{Degraded, MdArray, MdRole};
pub use bay::{Bay, Slot};
pub use button::{Button, Input, Role};
pub use identity::{Cell, Format, Medium, Nic, Watchdog};
pub use led::{Backend, Colour, Tint};
pub use matching::{EVALUATION, Match, conflicts};
pub use mcu::{Mcu, McuKind, McuPart};
pub use parse::parse;
pub use read::word_of;
pub use thermal::{Fan, FanOwner, Rpm, Temperature};

/// Bays a box can have here.
pub const BAYS_MAX: usize = 8;
/// Buttons a box can have here.
pub const BUTTONS_MAX: usize = 8;
/// Fans a box can have here.
pub const FANS_MAX: usize = 8;

/// One NAS model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Stable name: `[a-z0-9-]`.
    pub id: String,
    /// The model as people know it.
    pub name: String,
    /// System on chip.
    pub soc: String,
    /// `armv5te`, `armv7`, `aarch64` or `any`.
    pub isa: String,
    /// Whether somebody tested it on a device; otherwise it comes from documents only.
    pub verified_on_device: bool,
    /// Where the facts are from, each `repository:path`.
    pub source: Vec<String>,
    /// What else an owner or an engineer should know, in short sentences.
    pub notes: Vec<String>,
    /// The models of a family that one device tree stands for; the file says what all of them have. Empty: one model.
    pub covers: Vec<String>,
    /// Ways to recognise it; any one is enough.
    pub matches: Vec<Match>,
    /// Number of drive bays; `None`: not known.
    pub bay_count: Option<u8>,
    /// Drive bays whose place is known; may be fewer than `bay_count`.
    pub bays: Vec<Bay>,
    /// Its buttons.
    pub buttons: Vec<Button>,
    /// Number of fans; `None`: not known. Also counts those that sysfs does not show.
    pub fan_count: Option<u8>,
    /// Light that shows a fault of the box as a whole, under every name it has had; the first that is there counts.
    pub fault_led: Vec<String>,
    /// Light that shows the box as a whole at work, likewise.
    pub status_led: Vec<String>,
    /// Lights that the kernel drives, besides the bays' activity lights. The agent never writes to them.
    pub kernel_led: Vec<String>,
    /// Whether fault and status light are colours of one lamp, so that one must be dark while the other is to be seen.
    pub one_lamp: bool,
    /// The colours of that lamp, if it has more than those two or they are to be told apart.
    pub colours: Vec<Tint>,
    /// Its thermometers.
    pub temperatures: Vec<Temperature>,
    /// Its fans, as far as sysfs shows them.
    pub fans: Vec<Fan>,
    /// Driver names of its clocks, the one to trust first.
    pub rtc: Vec<String>,
    /// The microcontroller beside the processor.
    pub mcu: Option<Mcu>,
    /// The serial port of the console, `ttyS0`: nobody else may have it.
    pub console: Option<String>,
    /// What its arrays are for, told by what they are made of.
    pub arrays: Vec<MdArray>,
    /// Number of network sockets; `None`: not known.
    pub nic_count: Option<u8>,
    /// Network sockets that can be told apart.
    pub nics: Vec<Nic>,
    /// Where the hardware address is written.
    pub mac: Option<Cell>,
    /// Where the serial number is written.
    pub serial: Option<Cell>,
    /// The hardware watchdog.
    pub watchdog: Option<Watchdog>,
    /// Where the pairing state can be kept, the best first, as `[store] place` names it, and `disk:/PATH` as the last; empty: in
    /// the configured directory.
    pub state: Vec<String>,
    /// File systems on which a directory of `state` may be; empty: any.
    pub state_fs: Vec<String>,
    /// MTD partitions that are never touched.
    pub never_mtd: Vec<String>,
    /// What it is known not to have.
    pub absent: Vec<Part>,
}

/// A part of which a description says whether the box has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// `leds.fault`.
    FaultLed,
    /// `leds.status`.
    StatusLed,
    /// `fault_led` of the bays.
    BayFaultLed,
    /// `activity_led` of the bays.
    BayActivityLed,
    /// `ok_led` of the bays.
    BayOkLed,
    /// `button`.
    Buttons,
    /// `temperature`.
    Temperatures,
    /// `fan`.
    Fans,
    /// `rtc`. Without one the time is not trusted before the network has told it.
    Rtc,
    /// `mcu`.
    Mcu,
    /// `watchdog`.
    Watchdog,
    /// Flash in which the pairing state could be: `ubi:` and `mtd:` of `state.try`.
    Flash,
    /// `identity.mac`.
    Mac,
    /// `identity.serial`.
    Serial,
}

/// What a description knows of something: three values, because a paper board must not pretend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is there.
    Present,
    /// The box has none.
    Absent,
    /// Nobody has said.
    Unknown,
}

impl Part {
    /// All of them, with the word for `absent`.
    pub const ALL: [(&'static str, Self); 14] = [
        ("fault-led", Self::FaultLed),
        ("status-led", Self::StatusLed),
        ("bay-fault-led", Self::BayFaultLed),
        ("bay-activity-led", Self::BayActivityLed),
        ("bay-ok-led", Self::BayOkLed),
        ("buttons", Self::Buttons),
        ("temperatures", Self::Temperatures),
        ("fans", Self::Fans),
        ("rtc", Self::Rtc),
        ("mcu", Self::Mcu),
        ("watchdog", Self::Watchdog),
        ("flash", Self::Flash),
        ("mac", Self::Mac),
        ("serial", Self::Serial),
    ];

    /// The word for `absent`.
    pub fn name(self) -> &'static str {
        word_of(&Self::ALL, self)
    }
}

impl Description {
    /// What is known of a part.
    pub fn knows(&self, part: Part) -> Known {
        if self.has(part) {
            Known::Present
        } else if self.absent.contains(&part) {
            Known::Absent
        } else {
            Known::Unknown
        }
    }

    fn has(&self, part: Part) -> bool {
        match part {
            Part::FaultLed => !self.fault_led.is_empty(),
            Part::StatusLed => !self.status_led.is_empty(),
            Part::BayFaultLed => self.bays.iter().any(|b| !b.fault_led.is_empty()),
            Part::BayActivityLed => self.bays.iter().any(|b| !b.activity_led.is_empty()),
            Part::BayOkLed => self.bays.iter().any(|b| !b.ok_led.is_empty()),
            Part::Buttons => !self.buttons.is_empty(),
            Part::Temperatures => !self.temperatures.is_empty(),
            Part::Fans => !self.fans.is_empty(),
            Part::Rtc => !self.rtc.is_empty(),
            Part::Mcu => self.mcu.is_some(),
            Part::Watchdog => self.watchdog.is_some(),
            Part::Flash => self.state.iter().any(|p| p.starts_with("mtd:") || p.starts_with("ubi:")),
            Part::Mac => self.mac.is_some(),
            Part::Serial => self.serial.is_some(),
        }
    }

    /// Whether the light belongs to the kernel: the agent never writes to it.
    pub fn is_kernels(&self, light: &str) -> bool {
        let bays = self.bays.iter().flat_map(|b| &b.activity_led);
        self.kernel_led.iter().chain(bays).any(|l| l == light)
    }

    /// Whether its mirrors run on one disk by design.
    pub fn is_single_disk(&self) -> bool {
        self.bay_count == Some(1)
    }
}

#[cfg(test)]
mod tests;
