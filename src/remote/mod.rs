//! A paired device finds the NAS and reaches its services: end-to-end encrypted carriers, streams in them, and who may open which.

pub mod channel;
pub mod gate;
pub mod io;
pub mod mdns;
pub mod opening;
pub mod relay;
pub mod visit;
