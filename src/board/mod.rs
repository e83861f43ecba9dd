//! Which box this is and what it has. Boards are data: one file each under boards/, checked and embedded by the build.

pub mod builtin;
pub mod catalogue;
pub mod description;
pub mod io;
pub mod select;
pub mod show;
