//! The sockets of `remote`. Shells.

pub mod mdns;
