//! Buttons and switches, and what each is for on this box: the same key code means different things on different boxes.

use serde::{Deserialize, Serialize};

use super::BUTTONS_MAX;
use super::read::{is_id, needed, no_polarity, texts, word};
use crate::typed_toml::{Reader, Table};

/// `KEY_MAX` of <linux/input-event-codes.h>.
const KEY_MAX: i64 = 0x2ff;
/// `SW_MAX` likewise.
const SWITCH_MAX: i64 = 0x10;

/// A button that the kernel shows as an input device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What it is called in events: `reset`, `usb-copy`.
    pub name: String,
    /// Name of the input device, under every name it has had.
    pub device: Vec<String>,
    /// Key or switch.
    pub input: Input,
    /// Code of <linux/input-event-codes.h>: of a key, or of a switch.
    pub code: u16,
    /// What it is for.
    pub role: Role,
}

/// How the kernel tells of a button.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// By `EV_KEY`: it goes down and up.
    #[default]
    Key,
    /// By `EV_SW`: it stays where it is put.
    Switch,
}

/// What a button is for, whatever code it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Settings back to those of the factory.
    Reset,
    /// On and off.
    Power,
    /// Copies a USB disk.
    Copy,
    /// Lets a disk or USB disk be taken out.
    Eject,
    /// The owner's own.
    User,
    /// No button at all: an alarm line that the device tree dresses as a key.
    Alarm,
    /// None of these.
    #[default]
    Other,
}

impl Input {
    /// Both, with their words.
    pub const ALL: [(&'static str, Self); 2] = [("key", Self::Key), ("switch", Self::Switch)];
}

impl Role {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 7] = [
        ("reset", Self::Reset),
        ("power", Self::Power),
        ("copy", Self::Copy),
        ("eject", Self::Eject),
        ("user", Self::User),
        ("alarm", Self::Alarm),
        ("other", Self::Other),
    ];
}

/// Reads `[[button]]`.
pub(super) fn buttons<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Button> {
    let mut list: Vec<Button> = Vec::new();
    for table in t.tables(r, "button").into_iter().take(BUTTONS_MAX) {
        let at = table.at();
        let Some(button) = button(r, table) else { continue };
        let is_same = |b: &Button| {
            (b.input, b.code) == (button.input, button.code)
                && b.device.iter().any(|d| button.device.contains(d))
        };
        if list.iter().any(|b| is_same(b) || b.name == button.name) {
            let message = format!("two buttons have the code {} or the name {}", button.code, button.name);
            r.complain(at, "impossible", message, "give each button a code and a name of its own".into());
        }
        list.push(button);
    }
    list
}

fn button<'t>(r: &mut Reader<'t>, mut t: Table<'t>) -> Option<Button> {
    let at = t.at();
    let name = needed(r, &mut t, "name");
    let device = texts(r, &mut t, "device");
    let input = word(r, &mut t, "type", &Input::ALL).unwrap_or_default();
    let (low, high) = match input {
        Input::Key => (1, KEY_MAX),
        Input::Switch => (0, SWITCH_MAX),
    };
    let code = t.integer(r, "code", low, high);
    let role = word(r, &mut t, "role", &Role::ALL).unwrap_or_default();
    no_polarity(r, &mut t);
    t.finish(r);
    if device.is_empty() || code.is_none() {
        let help = "give device, as /sys/class/input/*/device/name shows it, and code".into();
        r.complain(at, "missing-key", "a button without device or code".into(), help);
    }
    let name = name.filter(|name| is_id(r, name))?.value;
    Some(Button { name, device, input, code: u16::try_from(code?.value).ok()?, role })
}
