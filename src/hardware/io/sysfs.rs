//! What sysfs shows of the box: hwmon, thermal zones, disks, network, clocks. A shell; every part stands alone, so that one
//! that cannot be read hides no other. It never opens a device node, so a sleeping disk stays asleep.

use std::fs;
use std::path::{Path, PathBuf};

use super::leds::current;
use crate::board::description::Description;
use crate::hardware::bay;
use crate::sys::root::{Root, read_small};
use crate::units::{Bytes, MilliCelsius};

/// Entries of one class that are looked at, and channels of one hwmon device.
const ENTRIES_MAX: usize = 32;
const CHANNELS_MAX: usize = 8;

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hardware {
    /// Thermometers, by the name of their driver.
    pub temperatures: Vec<(String, MilliCelsius)>,
    /// Fans in turns a minute, by the name of their driver.
    pub fans: Vec<(String, u32)>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Lights.
    pub leds: Vec<Led>,
    /// Network interfaces, without loopback.
    pub network: Vec<Interface>,
    /// Clocks.
    pub rtcs: Vec<Rtc>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name.
    pub device: String,
    /// The bay it sits in.
    pub bay: Option<u8>,
    /// As it names itself.
    pub model: Option<String>,
    /// Size.
    pub size: Bytes,
    /// Spinning or not.
    pub rotational: Option<bool>,
}

/// A light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// The kernel's name.
    pub name: String,
    /// Lit.
    pub on: bool,
    /// Its trigger, if it has one.
    pub trigger: Option<String>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name.
    pub name: String,
    /// Hardware address.
    pub mac: Option<String>,
    /// Something at the other end of the cable.
    pub link: bool,
    /// Mbit/s.
    pub speed_mbit: Option<u32>,
}

/// A clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtc {
    /// `rtc0`.
    pub device: String,
    /// Its driver's name.
    pub name: String,
    /// Whether the kernel set its clock from it.
    pub sets_clock: bool,
}

/// Looks at everything once.
pub fn read(root: &Root, board: Option<&Description>) -> Hardware {
    let (mut temperatures, fans) = hwmon(root);
    temperatures.extend(thermal(root));
    Hardware {
        temperatures,
        fans,
        disks: disks(root, board),
        leds: class(root, "leds").into_iter().map(|(name, dir)| led(name, &dir)).collect(),
        network: class(root, "net")
            .into_iter()
            .filter(|(name, _)| name != "lo")
            .map(|(n, d)| interface(n, &d))
            .collect(),
        rtcs: class(root, "rtc").into_iter().map(|(device, dir)| rtc(device, &dir)).collect(),
    }
}

fn class(root: &Root, class: &str) -> Vec<(String, PathBuf)> {
    listed(&root.path("/sys/class").join(class))
}

fn listed(dir: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let named =
        entries.filter_map(Result::ok).map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()));
    let mut found: Vec<(String, PathBuf)> = named.take(ENTRIES_MAX).collect();
    found.sort();
    found
}

fn number<T: std::str::FromStr>(dir: &Path, name: &str) -> Option<T> {
    read_small(&dir.join(name)).ok()?.parse().ok()
}

type Readings = (Vec<(String, MilliCelsius)>, Vec<(String, u32)>);

/// hwmon devices by their driver's name; `hwmonN` changes from boot to boot. A channel that is switched off gives ENODATA
/// and is left out.
fn hwmon(root: &Root) -> Readings {
    let (mut temperatures, mut fans) = (Vec::new(), Vec::new());
    for (_, dir) in class(root, "hwmon") {
        let Ok(driver) = read_small(&dir.join("name")) else { continue };
        for channel in 1..=CHANNELS_MAX {
            let label = |kind: &str| {
                let own = read_small(&dir.join(format!("{kind}{channel}_label"))).ok();
                own.map_or_else(|| format!("{driver}/{channel}"), |l| format!("{driver}/{l}"))
            };
            if let Some(value) = number(&dir, &format!("temp{channel}_input")) {
                temperatures.push((label("temp"), MilliCelsius(value)));
            }
            if let Some(value) = number(&dir, &format!("fan{channel}_input")) {
                fans.push((label("fan"), value));
            }
        }
    }
    (temperatures, fans)
}

fn thermal(root: &Root) -> Vec<(String, MilliCelsius)> {
    let zones = class(root, "thermal").into_iter().filter(|(name, _)| name.starts_with("thermal_zone"));
    zones
        .filter_map(|(_, dir)| {
            Some((read_small(&dir.join("type")).ok()?, MilliCelsius(number(&dir, "temp")?)))
        })
        .collect()
}

/// Whole disks with hardware behind them: no loop devices, no md, no partitions.
fn disks(root: &Root, board: Option<&Description>) -> Vec<Disk> {
    let bays = board.map(|b| b.bays.as_slice()).unwrap_or_default();
    let whole = listed(&root.path("/sys/block")).into_iter().filter(|(_, dir)| dir.join("device").exists());
    let disk = |(device, dir): (String, PathBuf)| {
        let path = fs::canonicalize(&dir).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        Disk {
            bay: bay::of_path(bays, &path),
            model: read_small(&dir.join("device/model")).ok().filter(|m| !m.is_empty()),
            // The size file counts 512-byte sectors whatever the disk has (kernel: Documentation/ABI/stable/sysfs-block).
            size: Bytes(number::<u64>(&dir, "size").unwrap_or(0).saturating_mul(512)),
            rotational: number::<u8>(&dir, "queue/rotational").map(|r| r != 0),
            device,
        }
    };
    whole.map(disk).collect()
}

fn led(name: String, dir: &Path) -> Led {
    let trigger = read_small(&dir.join("trigger")).ok().and_then(|t| current(&t)).filter(|t| t != "none");
    Led { name, on: number::<u32>(dir, "brightness").is_some_and(|b| b > 0), trigger }
}

/// `carrier` gives EINVAL while the interface is down, which is no link either.
fn interface(name: String, dir: &Path) -> Interface {
    Interface {
        name,
        mac: read_small(&dir.join("address")).ok().filter(|a| !a.is_empty()),
        link: number::<u8>(dir, "carrier") == Some(1),
        speed_mbit: number::<i64>(dir, "speed").and_then(|s| u32::try_from(s).ok()).filter(|s| *s > 0),
    }
}

fn rtc(device: String, dir: &Path) -> Rtc {
    Rtc {
        device,
        name: read_small(&dir.join("name")).unwrap_or_default(),
        sets_clock: number::<u8>(dir, "hctosys") == Some(1),
    }
}
