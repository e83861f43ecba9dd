//! Linux md arrays: what the kernel says of them, and what that means to an owner.

pub mod event;
pub mod io;
pub mod level;
pub mod made_for;
pub mod mdstat;
mod notes;
pub mod state;
pub mod sysfs;
pub mod uevent;

#[cfg(test)]
mod tests;
