//! Thermometers and fans, by the names of their drivers. The agent never drives a fan, and a file cannot say that it may.

use serde::{Deserialize, Serialize};

use super::FANS_MAX;
use super::read::{LIST_MAX, no_polarity, text, texts, word};
use crate::typed_toml::{Reader, Table};

/// A thermometer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Temperature {
    /// Driver name in hwmon or type of a thermal zone, under every name it has had. Compared by [`is_driver`].
    pub name: Vec<String>,
    /// The device's own name, such as its address on the bus, where the driver has twins.
    pub device: Option<String>,
    /// What it measures: `board`, `processor`.
    pub label: Option<String>,
}

/// A fan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fan {
    /// Driver name in hwmon, under every name it has had. Compared by [`is_driver`].
    pub name: Vec<String>,
    /// The device's own name, such as its address on the bus, where the driver has twins.
    pub device: Option<String>,
    /// Where it is.
    pub label: Option<String>,
    /// What its speed is worth; `None`: not known.
    pub rpm: Option<Rpm>,
    /// Who sets its speed; `None`: not known.
    pub owner: Option<FanOwner>,
}

/// What the speed that is shown of a fan is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rpm {
    /// It is measured.
    Measured,
    /// It is what a table says for the present setting: gpio-fan measures nothing.
    Virtual,
    /// It is measured, and was seen to be wrong.
    Unreliable,
    /// There is only an alarm.
    Alarm,
    /// There is none.
    None,
}

/// Who sets a fan's speed, and goes on when the agent does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FanOwner {
    /// The kernel's thermal zones.
    Kernel,
    /// The fan's own chip, or the microcontroller.
    Mcu,
    /// The vendor's daemon.
    Vendor,
}

impl Rpm {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 5] = [
        ("measured", Self::Measured),
        ("virtual", Self::Virtual),
        ("unreliable", Self::Unreliable),
        ("alarm", Self::Alarm),
        ("none", Self::None),
    ];
}

impl FanOwner {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 3] =
        [("kernel", Self::Kernel), ("mcu", Self::Mcu), ("vendor", Self::Vendor)];
}

/// Whether the kernel's name is one of these. Old kernels say gpio-fan and new ones gpio_fan: a dash is not allowed in hwmon
/// names any more.
pub fn is_driver(names: &[String], found: &str) -> bool {
    let same = |name: &String| {
        name.len() == found.len()
            && name.bytes().zip(found.bytes()).all(|(a, b)| a == b || (is_joint(a) && is_joint(b)))
    };
    names.iter().any(same)
}

const fn is_joint(byte: u8) -> bool {
    matches!(byte, b'-' | b'_')
}

/// Reads `[[temperature]]`.
pub(super) fn temperatures<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Temperature> {
    let mut list: Vec<Temperature> = Vec::new();
    for mut t in t.tables(r, "temperature").into_iter().take(LIST_MAX) {
        let at = t.at();
        let (name, device, label) = sensor(r, &mut t);
        t.finish(r);
        twin(r, at, list.iter().any(|l| is_twin((&l.name, &l.device), (&name, &device))));
        list.push(Temperature { name, device, label });
    }
    list
}

/// Reads `[[fan]]`.
pub(super) fn fans<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, count: Option<u8>) -> Vec<Fan> {
    let mut list: Vec<Fan> = Vec::new();
    for mut t in t.tables(r, "fan").into_iter().take(LIST_MAX) {
        let at = t.at();
        let (name, device, label) = sensor(r, &mut t);
        let rpm = word(r, &mut t, "rpm", &Rpm::ALL);
        let owner = word(r, &mut t, "owner", &FanOwner::ALL);
        for key in ["pwm", "speed", "write", "target", "curve"] {
            let help = "leave it out, and say by owner who does";
            t.refuse(r, key, "fan-control", "the agent never drives a fan", help);
        }
        t.finish(r);
        twin(r, at, list.iter().any(|l| is_twin((&l.name, &l.device), (&name, &device))));
        list.push(Fan { name, device, label, rpm, owner });
        if list.len() > count.map_or(FANS_MAX, usize::from) {
            let help = "raise fan_count, or take fans out".into();
            r.complain(at, "out-of-range", format!("there are {} fans", list.len()), help);
        }
    }
    list
}

type Sensor = (Vec<String>, Option<String>, Option<String>);

fn sensor<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Sensor {
    let name = texts(r, t, "name");
    if name.is_empty() {
        let help = "give name = [\"…\"], as the file name in /sys/class/hwmon/* says".into();
        r.complain(t.at(), "missing-key", "a thermometer or fan without name".into(), help);
    }
    let device = text(r, t, "device").map(|d| d.value);
    let label = text(r, t, "label").map(|l| l.value);
    no_polarity(r, t);
    (name, device, label)
}

fn is_twin(a: (&[String], &Option<String>), b: (&[String], &Option<String>)) -> bool {
    a.0.iter().any(|name| is_driver(b.0, name)) && (a.1.is_none() || b.1.is_none() || a.1 == b.1)
}

fn twin(r: &mut Reader<'_>, at: usize, is_twin: bool) {
    if is_twin {
        let help = "tell them apart by device = \"0-003e\", the name of the device in sysfs".into();
        r.complain(at, "impossible", "two of one driver that nothing tells apart".into(), help);
    }
}
