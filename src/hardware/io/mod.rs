//! The doors to sysfs. Shells: nothing here opens anything below /dev.

pub mod leds;
pub mod sysfs;
