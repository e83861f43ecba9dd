//! Lights of the box as a whole, and whose each light is.
//!
//! A light is a list of names, because kernels renamed them; the first that is there counts. A name is what
//! /sys/class/leds shows, or `mcu:power` for the lamp behind the microcontroller. Names are hints: what one means is what
//! the file says, not what it sounds like.

use serde::{Deserialize, Serialize};

use super::read::{no_polarity, placed};
use crate::typed_toml::{At, Reader, Table};

/// What a light's name begins with if it is behind the microcontroller.
const MCU: &str = "mcu:";
/// The one lamp that a microcontroller is known to have.
pub const MCU_LAMP: &str = "mcu:power";

/// How a light is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend<'a> {
    /// By this name in /sys/class/leds.
    Sysfs(&'a str),
    /// By the microcontroller, under this name.
    Mcu(&'a str),
}

impl<'a> Backend<'a> {
    /// Of a light's name.
    pub fn of(name: &'a str) -> Self {
        name.strip_prefix(MCU).map_or(Self::Sysfs(name), Self::Mcu)
    }
}

/// A colour that a lamp can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colour {
    /// Red.
    Red,
    /// Green.
    Green,
    /// Blue.
    Blue,
    /// Amber or orange.
    Amber,
    /// White.
    White,
}

impl Colour {
    /// All of them with their keys.
    pub const ALL: [(&'static str, Self); 5] = [
        ("red", Self::Red),
        ("green", Self::Green),
        ("blue", Self::Blue),
        ("amber", Self::Amber),
        ("white", Self::White),
    ];
}

/// One colour of a lamp that is several lights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tint {
    /// The colour.
    pub colour: Colour,
    /// The light of that colour, under every name it has had.
    pub names: Vec<String>,
}

/// Who writes to a light.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// This software.
    Agent,
    /// A trigger of the kernel.
    Kernel,
}

/// Every light of the file with its owner and place, to see that none has two.
#[derive(Default)]
pub(super) struct Lights(Vec<(At<String>, Owner)>);

impl Lights {
    /// Reads one light.
    pub(super) fn read<'t>(
        &mut self,
        r: &mut Reader<'t>,
        t: &mut Table<'t>,
        key: &'static str,
        owner: Owner,
    ) -> Vec<String> {
        let names = placed(r, t, key);
        names.iter().for_each(|name| plain(r, name));
        self.0.extend(names.iter().map(|name| (name.clone(), owner)));
        names.into_iter().map(|name| name.value).collect()
    }

    /// Complains about lights with two owners, and of a microcontroller that is not there.
    pub(super) fn finish(&self, r: &mut Reader<'_>, has_mcu: bool) {
        for (name, _) in self.0.iter().filter(|(_, o)| *o == Owner::Agent) {
            if self.0.iter().any(|(other, o)| *o == Owner::Kernel && other.value == name.value) {
                let message = format!("the light {} is the kernel's and the agent's", name.value);
                r.complain(name.at, "impossible", message, "a light has one owner".into());
            }
        }
        for (name, owner) in self.0.iter().filter(|(n, _)| matches!(Backend::of(&n.value), Backend::Mcu(_))) {
            let problem = if name.value != MCU_LAMP {
                "is no light of a microcontroller"
            } else if *owner == Owner::Kernel {
                "cannot be the kernel's"
            } else if !has_mcu {
                "is behind a microcontroller of which nothing is said"
            } else {
                continue;
            };
            let help =
                format!("the only one is {MCU_LAMP}, with [mcu] kind = \"weltrend\" and \"lamp\" in has");
            r.complain(name.at, "bad-value", format!("{} {problem}", name.value), help);
        }
    }
}

/// Light names become parts of paths: plain names only.
fn plain(r: &mut Reader<'_>, name: &At<String>) {
    if name.value.contains('/') || name.value.starts_with('.') {
        let help = "write the name as /sys/class/leds shows it".into();
        r.complain(name.at, "bad-name", format!("{:?} is no name of a light", name.value), help);
    }
}

/// `[leds]`.
#[derive(Default)]
pub(super) struct Leds {
    pub(super) fault: Vec<String>,
    pub(super) status: Vec<String>,
    pub(super) kernel: Vec<String>,
    pub(super) one_lamp: bool,
    pub(super) colours: Vec<Tint>,
}

/// Reads `[leds]`.
pub(super) fn leds<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, lights: &mut Lights) -> Leds {
    let Some(mut t) = t.table(r, "leds") else { return Leds::default() };
    let at = t.at();
    let fault = lights.read(r, &mut t, "fault", Owner::Agent);
    let status = lights.read(r, &mut t, "status", Owner::Agent);
    let kernel = lights.read(r, &mut t, "kernel", Owner::Kernel);
    let one_lamp = t.boolean(r, "one_lamp").is_some_and(|b| b.value);
    let colours = match t.table(r, "colours") {
        Some(table) => colours(r, table),
        None => Vec::new(),
    };
    no_polarity(r, &mut t);
    t.finish(r);
    if !colours.is_empty() {
        lamp(r, at, one_lamp, &colours, [&fault, &status]);
    }
    Leds { fault, status, kernel, one_lamp, colours }
}

fn colours<'t>(r: &mut Reader<'t>, mut t: Table<'t>) -> Vec<Tint> {
    let mut found = Vec::new();
    for (key, colour) in Colour::ALL {
        let names = placed(r, &mut t, key);
        names.iter().for_each(|name| plain(r, name));
        if !names.is_empty() {
            found.push(Tint { colour, names: names.into_iter().map(|n| n.value).collect() });
        }
    }
    t.finish(r);
    found
}

/// Colours are those of the one lamp that fault and status light are.
fn lamp(r: &mut Reader<'_>, at: usize, one_lamp: bool, colours: &[Tint], lights: [&[String]; 2]) {
    let is_colour = |light: &[String]| {
        light.is_empty() || light.iter().any(|name| colours.iter().any(|c| c.names.contains(name)))
    };
    if !one_lamp || !lights.into_iter().all(is_colour) {
        let help = "with colours write one_lamp = true, and fault and status by their names there".into();
        r.complain(at, "impossible", "colours of a lamp that is not fault and status light".into(), help);
    }
}
