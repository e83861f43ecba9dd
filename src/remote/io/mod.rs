//! The NAS's door and its word on the LAN. Shells.

pub mod carrier;
pub mod door;
pub mod mdns;
pub mod messages;
pub mod pump;
pub mod relay;
pub mod stream;
pub mod visit;
