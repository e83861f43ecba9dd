//! Linux md arrays: what the kernel says of them, and what that means to an owner.

pub mod io;
pub mod mdstat;
pub mod state;
pub mod sysfs;
pub mod uevent;
