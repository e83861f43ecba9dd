//! Which bay a disk sits in, by its path in sysfs. A core. Never by `sdX`: with a USB box plugged in, the second internal
//! disk of a real NAS became sdf.

use crate::board::description::Bay;

/// The bay of the disk with this device path.
pub fn of_path(bays: &[Bay], device_path: &str) -> Option<u8> {
    bays.iter().find(|bay| device_path.contains(&bay.path)).map(|bay| bay.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bays_are_told_by_controller_and_port() {
        let bay = |number, path: &str| Bay { number, path: path.into(), fault_led: Vec::new() };
        let bays = [bay(1, "f10a8000.sata/ata1/"), bay(2, "f10a8000.sata/ata2/")];
        let path = |port| {
            format!("/sys/devices/platform/soc/f10a8000.sata/ata{port}/host0/target0:0:0/0:0:0:0/block/sdf")
        };
        assert_eq!(of_path(&bays, &path("1")), Some(1));
        assert_eq!(of_path(&bays, &path("2")), Some(2));
        assert_eq!(of_path(&bays, &path("12")), None, "a longer number is another port");
        assert_eq!(of_path(&bays, "/sys/devices/platform/usb1/block/sda"), None);
    }
}
