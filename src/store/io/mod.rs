//! Media. Shells.

pub mod file;
