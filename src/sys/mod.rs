//! Doors of the operating system that no domain owns. Only shells may name this module.

pub mod root;
