//! The doors to sysfs. Shells: of /dev only input devices are opened, never a block device.

pub mod buttons;
pub mod disks;
pub mod leds;
pub mod mcu;
pub mod sysfs;
