//! Doors of the operating system that no domain owns. Only shells may name this module.

pub mod clock;
pub mod heap;
pub mod keyfile;
pub mod mtd;
pub mod notify;
pub mod random;
pub mod root;
pub mod signals;
pub mod tcp;
