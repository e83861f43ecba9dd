//! Which bay a disk sits in, by its path in sysfs, and which block devices are disks at all. A core. Never by `sdX`: with a
//! USB box plugged in, the second internal disk of a real NAS became sdf.

use crate::board::description::{Bay, Slot};

/// The bay of the disk with this device path.
pub fn of_path(bays: &[Bay], device_path: &str) -> Option<u8> {
    let fits = |bay: &&Bay| matches!(&bay.slot, Slot::Path(path) if is_below(device_path, path));
    bays.iter().find(fits).map(|bay| bay.number)
}

/// The bays with the path of each that the box's ATA ports give it. `ports`: their device paths, each with `/ataN` at its end.
/// A bay whose controller has no such port, or that several controllers could have, is as it was: nothing is in it.
pub fn located(bays: &[Bay], ports: &[String]) -> Vec<Bay> {
    let locate = |bay: &Bay| match &bay.slot {
        Slot::Path(_) => bay.clone(),
        Slot::Port { controller, port } => {
            let slot = path_of(controller, *port, ports).map_or_else(|| bay.slot.clone(), Slot::Path);
            Bay { slot, ..bay.clone() }
        }
    };
    bays.iter().map(locate).collect()
}

/// The kernel counts ATA ports over all controllers, in the order in which it finds these: only the order within one is the
/// board's.
fn path_of(controller: &str, port: u8, ports: &[String]) -> Option<String> {
    let below = |path: &'_ String| {
        let (above, name) = path.rsplit_once('/')?;
        let number: u32 = name.strip_prefix("ata")?.parse().ok()?;
        let tail = above.strip_suffix(controller)?;
        (tail.is_empty() || tail.ends_with('/')).then(|| (number, above.to_owned()))
    };
    let mut found: Vec<(u32, String)> = ports.iter().filter_map(below).collect();
    found.sort();
    let (_, first) = found.first()?;
    if found.iter().any(|(_, above)| above != first) {
        return None;
    }
    let (number, _) = found.get(usize::from(port).checked_sub(1)?)?;
    // Not the whole path: members of arrays are known by a relative one.
    Some(format!("{controller}/ata{number}/"))
}

/// Whether `part` is in the path, from the start of a component: `1f10a8000.sata` is another controller.
fn is_below(device_path: &str, part: &str) -> bool {
    let at = |(at, _): (usize, &str)| at == 0 || device_path.as_bytes().get(at - 1) == Some(&b'/');
    !part.is_empty() && device_path.match_indices(part).any(at)
}

/// Whether a block device with hardware behind it is a drive by its name: the boot and replay-protected areas of an eMMC
/// are parts of another, and `mtdblock` is flash.
pub fn is_drive(name: &str) -> bool {
    let emmc_area = name.starts_with("mmcblk") && (name.contains("boot") || name.ends_with("rpmb"));
    !emmc_area && !name.starts_with("mtdblock")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bay(number: u8, path: &str) -> Bay {
        placed(number, Slot::Path(path.into()))
    }

    fn placed(number: u8, slot: Slot) -> Bay {
        let none = Vec::new;
        Bay {
            number,
            label: None,
            slot,
            fault_led: none(),
            activity_led: none(),
            ok_led: none(),
            regulator: None,
        }
    }

    fn port(number: u8, controller: &str, port: u8) -> Bay {
        placed(number, Slot::Port { controller: controller.into(), port })
    }

    fn found(bays: &[Bay]) -> Vec<&str> {
        let mut found = Vec::new();
        for bay in bays {
            found.push(match &bay.slot {
                Slot::Path(path) => path.as_str(),
                Slot::Port { .. } => "?",
            });
        }
        found
    }

    #[test]
    fn a_port_is_the_nth_of_its_controller_whatever_its_number() {
        // Two controllers, found in the other order at this boot; ata10 comes after ata9.
        let ports: Vec<String> =
            ["b.sata/ata10", "b.sata/ata9", "soc/a.sata/ata11", "xb.sata/ata1", "c.sata/port"]
                .map(|p| format!("/sys/devices/{p}"))
                .into();
        let bays = [port(1, "a.sata", 1), port(2, "b.sata", 2), port(3, "b.sata", 1), port(4, "b.sata", 3)];
        let bays = located(&bays, &ports);
        let expect = ["a.sata/ata11/", "b.sata/ata10/", "b.sata/ata9/", "?"];
        assert_eq!(found(&bays), expect);
        assert_eq!(of_path(&bays, "/sys/devices/b.sata/ata10/host3/block/sda"), Some(2));
        assert_eq!(of_path(&bays, "/sys/devices/xb.sata/ata1/host3/block/sda"), None);
    }

    #[test]
    fn a_controller_that_could_be_two_is_none() {
        let ports = ["/sys/1/x.pcie/ata1".to_owned(), "/sys/2/x.pcie/ata2".to_owned()];
        assert_eq!(found(&located(&[port(1, "x.pcie", 1)], &ports)), ["?"]);
        assert_eq!(found(&located(&[port(1, "2/x.pcie", 1)], &ports)), ["2/x.pcie/ata2/"]);
        assert_eq!(of_path(&[port(1, "x.pcie", 1)], "/sys/1/x.pcie/ata1/host0/block/sda"), None);
    }

    #[test]
    fn an_nvme_bay_is_its_controllers_path() {
        let bays = [bay(1, "a40000000.pcie/pci0000:00/"), bay(2, "a40400000.pcie/pci0001:10/")];
        let disk =
            "/sys/devices/platform/a40400000.pcie/pci0001:10/0001:10:00.0/0001:11:00.0/nvme/nvme0/nvme0n1";
        assert_eq!(of_path(&bays, disk), Some(2));
    }

    #[test]
    fn bays_are_told_by_controller_and_port() {
        let bays = [bay(1, "f10a8000.sata/ata1/"), bay(2, "f10a8000.sata/ata2/")];
        let path = |port| {
            format!("/sys/devices/platform/soc/f10a8000.sata/ata{port}/host0/target0:0:0/0:0:0:0/block/sdf")
        };
        assert_eq!(of_path(&bays, &path("1")), Some(1));
        assert_eq!(of_path(&bays, &path("2")), Some(2));
        assert_eq!(of_path(&bays, &path("12")), None, "a longer number is another port");
        assert_eq!(of_path(&bays, "/sys/devices/platform/usb1/block/sda"), None);
        assert_eq!(of_path(&bays, "/sys/devices/1f10a8000.sata/ata1/host0"), None, "a longer address too");
    }

    #[test]
    fn bays_may_be_reversed_and_on_two_controllers() {
        let bays = [bay(1, "0000:01:00.0/ata3/"), bay(2, "f10a8000.sata/ata1/")];
        assert_eq!(of_path(&bays, "/sys/devices/pci/0000:01:00.0/ata3/host2/block/sda"), Some(1));
        assert_eq!(of_path(&bays, "/sys/devices/pci/0000:02:00.0/ata3/host2/block/sda"), None);
    }

    #[test]
    fn parts_of_an_emmc_and_flash_are_no_drives() {
        for (name, expect) in [
            ("sda", true),
            ("sataa", true),
            ("nvme0n1", true),
            ("mmcblk0", true),
            ("mmcblk0boot0", false),
            ("mmcblk0rpmb", false),
            ("mtdblock3", false),
        ] {
            assert_eq!(is_drive(name), expect, "{name}");
        }
    }
}
