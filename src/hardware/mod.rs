//! The box's own hardware: lights, thermometers, fans, disks in their bays, network links, clocks.

pub mod bay;
pub mod button;
pub mod disk;
pub mod io;
pub mod led;
pub mod mcu;
pub mod net;
pub mod press;
pub mod rtc;
pub mod thermal;
