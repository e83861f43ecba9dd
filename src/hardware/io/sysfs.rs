//! What sysfs shows of the box: hwmon, thermal zones, disks, network, clocks. A shell; every part stands alone, so that one
//! that cannot be read hides no other. It never opens a device node, so a sleeping disk stays asleep.

use std::fs;
use std::path::{Path, PathBuf};

use super::disks::{self, Disk};
use super::leds::current;
use crate::board::description::{Description, FANS_MAX};
use crate::hardware::thermal::{self, Reading};
use crate::hardware::{net, rtc};
use crate::sys::root::{Root, listed, read_small};
use crate::units::MilliCelsius;

/// Entries of one directory that are looked at: a box with many loop and RAM disks has some dozens.
const ENTRIES_MAX: usize = 256;
/// Channels of one hwmon device.
const CHANNELS_MAX: usize = 8;
/// Thermometers that are told.
pub const TEMPERATURES_MAX: usize = 16;
/// Lights that are told.
pub const LEDS_MAX: usize = 32;
/// Network interfaces that are told: those with hardware behind them come first.
pub const INTERFACES_MAX: usize = 8;
/// Clocks that are told.
pub const RTCS_MAX: usize = 4;
/// Readings that failed and are told.
pub const TROUBLES_MAX: usize = 16;

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
    /// What is there and could not be read. The rest is told all the same.
    pub troubles: Vec<Trouble>,
}

/// An attribute that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Whose: the name under which it would have been told.
    pub what: String,
    /// The error number of the system; `None`: the text was not understood.
    pub errno: Option<i32>,
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
    /// The kernel's word for its state: `up`, `down`, `dormant`, `unknown`…
    pub operstate: String,
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
    /// Whether it is the one to trust.
    pub is_chosen: bool,
}

/// Looks at everything once.
pub fn read(root: &Root, board: Option<&Description>) -> Hardware {
    let mut troubles = Vec::new();
    let (mut temperatures, mut fans) = hwmon(root, &mut troubles);
    temperatures.extend(zones(root, &mut troubles));
    temperatures.truncate(TEMPERATURES_MAX);
    fans.truncate(FANS_MAX);
    troubles.truncate(TROUBLES_MAX);
    Hardware {
        temperatures,
        fans,
        disks: disks::read(root, board),
        leds: class(root, "leds").into_iter().take(LEDS_MAX).map(|(name, dir)| led(name, &dir)).collect(),
        network: network(root),
        rtcs: rtcs(root, board),
        troubles,
    }
}

pub(super) fn class(root: &Root, class: &str) -> Vec<(String, PathBuf)> {
    listed(&root.path("/sys/class").join(class), ENTRIES_MAX)
}

/// The block devices.
pub(super) fn blocks(root: &Root) -> Vec<(String, PathBuf)> {
    listed(&root.path("/sys/block"), ENTRIES_MAX)
}

/// An attribute's text, or the error number with which reading it failed.
fn attribute(dir: &Path, name: &str) -> Result<String, Option<i32>> {
    read_small(&dir.join(name)).map_err(|e| e.raw_os_error())
}

pub(super) fn text(dir: &Path, name: &str) -> Option<String> {
    attribute(dir, name).ok().filter(|t| !t.is_empty())
}

pub(super) fn number<T: std::str::FromStr>(dir: &Path, name: &str) -> Option<T> {
    text(dir, name)?.parse().ok()
}

/// One reading; what is there and cannot be read is trouble.
fn reading(dir: &Path, name: &str, what: &str, troubles: &mut Vec<Trouble>) -> Option<i32> {
    let found = attribute(dir, name);
    match Reading::of(found.as_deref().map_err(|errno| *errno)) {
        Reading::Value(value) => Some(value),
        Reading::Absent => None,
        Reading::Failed(errno) => {
            if troubles.len() < TROUBLES_MAX {
                troubles.push(Trouble { what: what.to_owned(), errno });
            }
            None
        }
    }
}

type Readings = (Vec<(String, MilliCelsius)>, Vec<(String, u32)>);

/// hwmon devices by their driver's name, and by their own where a driver has several. A channel that is switched off is
/// left out, and so are those of disks: to read them is to ask the disk, and they are told with it.
fn hwmon(root: &Root, troubles: &mut Vec<Trouble>) -> Readings {
    let (mut temperatures, mut fans) = (Vec::new(), Vec::new());
    let devices: Vec<(String, PathBuf)> = class(root, "hwmon")
        .into_iter()
        .filter_map(|(_, dir)| Some((text(&dir, "name")?, dir)))
        .filter(|(driver, _)| !disks::is_of_disk(driver))
        .collect();
    for (driver, dir) in &devices {
        let has_twin = devices.iter().filter(|(other, _)| other == driver).count() > 1;
        let device = if has_twin { device_of(dir) } else { None };
        for channel in 1..=CHANNELS_MAX {
            let name = |kind: &str| {
                let label = text(dir, &format!("{kind}{channel}_label"));
                thermal::name(driver, device.as_deref(), label.as_deref(), channel)
            };
            if let Some(value) = reading(dir, &format!("temp{channel}_input"), &name("temp"), troubles) {
                temperatures.push((name("temp"), MilliCelsius(value)));
            }
            let rpm = reading(dir, &format!("fan{channel}_input"), &name("fan"), troubles);
            if let Some(rpm) = rpm.and_then(|r| u32::try_from(r).ok()) {
                fans.push((name("fan"), rpm));
            }
        }
    }
    temperatures.sort();
    fans.sort();
    (temperatures, fans)
}

/// The device's own name, such as its address on the bus, which stays the same from boot to boot.
fn device_of(dir: &Path) -> Option<String> {
    let path = fs::canonicalize(dir.join("device")).ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

fn zones(root: &Root, troubles: &mut Vec<Trouble>) -> Vec<(String, MilliCelsius)> {
    let zones = class(root, "thermal").into_iter().filter(|(name, _)| name.starts_with("thermal_zone"));
    zones
        .filter_map(|(_, dir)| {
            let name = text(&dir, "type")?;
            let value = reading(&dir, "temp", &name, troubles)?;
            Some((name, MilliCelsius(value)))
        })
        .collect()
}

fn led(name: String, dir: &Path) -> Led {
    let trigger = text(dir, "trigger").and_then(|t| current(&t)).filter(|t| t != "none");
    Led { name, on: number::<u32>(dir, "brightness").is_some_and(|b| b > 0), trigger }
}

/// Without loopback. Bridges and tunnels come after what has a socket.
fn network(root: &Root) -> Vec<Interface> {
    let mut found = class(root, "net");
    found.retain(|(name, _)| name != "lo");
    found.sort_by_cached_key(|(name, dir)| (!dir.join("device").exists(), name.clone()));
    found.into_iter().take(INTERFACES_MAX).map(|(name, dir)| interface(name, &dir)).collect()
}

fn interface(name: String, dir: &Path) -> Interface {
    let carrier = attribute(dir, "carrier");
    Interface {
        name,
        mac: text(dir, "address"),
        operstate: text(dir, "operstate").unwrap_or_else(|| "unknown".to_owned()),
        link: net::carrier(carrier.as_deref().map_err(|errno| *errno)) == net::Carrier::Up,
        speed_mbit: net::speed_mbit(text(dir, "speed").as_deref()),
    }
}

fn rtcs(root: &Root, board: Option<&Description>) -> Vec<Rtc> {
    let one = |(device, dir): (String, PathBuf)| Rtc {
        device,
        name: text(&dir, "name").unwrap_or_default(),
        sets_clock: number::<u8>(&dir, "hctosys") == Some(1),
        is_chosen: false,
    };
    let mut found: Vec<Rtc> = class(root, "rtc").into_iter().take(RTCS_MAX).map(one).collect();
    let names: Vec<(&str, bool)> = found.iter().map(|r| (r.name.as_str(), r.sets_clock)).collect();
    let chosen = rtc::choose(&names, board.map(|b| b.rtc.as_slice()).unwrap_or_default());
    if let Some(rtc) = chosen.and_then(|at| found.get_mut(at)) {
        rtc.is_chosen = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{self, builtin, select};
    use std::process::Command;

    struct Nas(tempfile::TempDir);

    impl Nas {
        fn new() -> Self {
            let nas = Self(tempfile::tempdir().unwrap());
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sim-nas");
            assert!(Command::new(script).arg(nas.0.path()).status().unwrap().success());
            nas
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn read(&self) -> Hardware {
            let root = Root::simulated(self.0.path().to_owned());
            let board = select::select(&builtin::all(), &board::io::facts(&root), None).unwrap();
            read(&root, Some(&board))
        }
    }

    fn names<T>(list: &[(String, T)]) -> Vec<&str> {
        list.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn the_simulated_box_is_recognised_and_read() {
        let found = Nas::new().read();
        let celsius: Vec<f64> = found.temperatures.iter().map(|(_, t)| t.degrees()).collect();
        assert_eq!((names(&found.temperatures), celsius), (vec!["lm75/1", "cpu-thermal"], vec![41.5, 52.0]));
        assert_eq!(found.fans, [("gpio_fan/1".to_owned(), 1500)]);
        let disks: Vec<_> = found.disks.iter().map(|d| (d.device.as_str(), d.bay, d.size.0)).collect();
        assert_eq!(disks, [("sda", Some(1), 5_860_533_168 * 512), ("sdb", Some(2), 5_860_533_168 * 512)]);
        assert_eq!(found.disks[0].model.as_deref(), Some("SIM DISK 3TB"));
        assert_eq!(found.leds.len(), 6);
        assert_eq!(found.leds[0].trigger.as_deref(), Some("disk-activity"));
        let net = &found.network[0];
        assert_eq!(
            (net.name.as_str(), net.link, net.speed_mbit, net.operstate.as_str()),
            ("eth0", true, Some(1000), "up")
        );
        assert_eq!((found.rtcs[0].name.as_str(), found.rtcs[0].is_chosen), ("sim-rtc", true));
        assert_eq!(found.troubles, []);
    }

    #[test]
    fn one_bad_attribute_is_told_and_hides_nothing() {
        let nas = Nas::new();
        nas.put("sys/class/hwmon/hwmon0/temp1_input", "warm");
        nas.put("sys/class/hwmon/hwmon0/temp2_input", "1000");
        nas.put("sys/class/hwmon/hwmon7/temp1_input", "5");
        fs::remove_dir_all(nas.0.path().join("sys/class/leds")).unwrap();
        let found = nas.read();
        assert_eq!(names(&found.temperatures), ["lm75/2", "cpu-thermal"], "hwmon7 has no name");
        assert_eq!(found.troubles, [Trouble { what: "lm75/1".into(), errno: None }]);
        assert_eq!((found.leds.len(), found.disks.len()), (0, 2));
    }

    #[test]
    fn twins_of_a_driver_have_names_of_their_own() {
        let nas = Nas::new();
        for (n, address) in [(5, "0-0048"), (3, "0-0049")] {
            nas.put(&format!("sys/class/hwmon/hwmon{n}/name"), "g762");
            nas.put(&format!("sys/class/hwmon/hwmon{n}/fan1_input"), "900");
            nas.put(&format!("sys/devices/i2c/{address}/uevent"), "");
            let device = nas.0.path().join(format!("sys/class/hwmon/hwmon{n}/device"));
            std::os::unix::fs::symlink(format!("../../../devices/i2c/{address}"), device).unwrap();
        }
        assert_eq!(names(&nas.read().fans), ["g762@0-0048/1", "g762@0-0049/1", "gpio_fan/1"]);
    }

    #[test]
    fn many_virtual_devices_do_not_crowd_out_the_real_ones() {
        let nas = Nas::new();
        for n in 0..40 {
            nas.put(&format!("sys/block/loop{n}/size"), "8");
            nas.put(&format!("sys/class/net/br{n:02}/operstate"), "up");
            nas.put(&format!("sys/class/rtc/rtc1{n}/name"), "x");
            nas.put(&format!("sys/class/leds/led{n:02}/brightness"), "1");
        }
        nas.put("sys/class/net/wan/device/uevent", "");
        let found = nas.read();
        let disks: Vec<&str> = found.disks.iter().map(|d| d.device.as_str()).collect();
        assert_eq!(disks, ["sda", "sdb"]);
        assert_eq!((found.network.len(), found.network[0].name.as_str()), (INTERFACES_MAX, "wan"));
        assert_eq!((found.rtcs.len(), found.leds.len()), (RTCS_MAX, LEDS_MAX));
    }

    #[test]
    fn a_usb_box_does_not_move_the_bays() {
        let nas = Nas::new();
        // The second internal disk was named sdf, and sdb is on USB.
        let block = nas.0.path().join("sys/block");
        let target = fs::read_link(block.join("sdb")).unwrap();
        fs::remove_file(block.join("sdb")).unwrap();
        std::os::unix::fs::symlink(target, block.join("sdf")).unwrap();
        nas.put("sys/devices/usb1/1-1/host4/block/sdb/device/model", "STICK");
        std::os::unix::fs::symlink("../devices/usb1/1-1/host4/block/sdb", block.join("sdb")).unwrap();
        let disks: Vec<_> = nas.read().disks.into_iter().map(|d| (d.device, d.bay)).collect();
        let expect = [("sda", Some(1)), ("sdf", Some(2)), ("sdb", None)];
        assert_eq!(disks, expect.map(|(device, bay)| (device.to_owned(), bay)));
    }

    #[test]
    fn a_box_with_nothing_is_read_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&Root::simulated(dir.path().to_owned()), None), Hardware::default());
    }
}
