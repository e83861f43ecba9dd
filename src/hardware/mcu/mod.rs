//! The microcontroller behind a serial port that some boxes have: Weltrend's in the WD My Cloud Mirror (gen 2) and the EX2
//! Ultra. It has the power light, a thermometer and the fan. A core: the port is `hardware::io::mcu`'s.
//!
//! Source: halmartin/mcm-daemon (mcm.h, mcm-daemon.c), which was made by watching the maker's own daemons. Nothing here
//! was run on a device. There is no frame here that would drive the fan: the microcontroller or whoever the firmware has
//! for it does that, and what cannot be said cannot be said by mistake.

pub mod exchange;
pub mod frame;
pub mod lamp;
pub mod sensor;
