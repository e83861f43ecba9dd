//! Which bay a disk sits in, by its path in sysfs, and which block devices are disks at all. A core. Never by `sdX`: with a
//! USB box plugged in, the second internal disk of a real NAS became sdf.

use crate::board::description::Bay;

/// The bay of the disk with this device path.
pub fn of_path(bays: &[Bay], device_path: &str) -> Option<u8> {
    bays.iter().find(|bay| is_below(device_path, &bay.path)).map(|bay| bay.number)
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
        Bay { number, label: None, path: path.into(), fault_led: Vec::new(), activity_led: Vec::new() }
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
