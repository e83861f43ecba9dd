//! A paired device reaches the NAS's services: end-to-end encrypted carriers, streams in them, and who may open which.

pub mod channel;
pub mod gate;
pub mod io;
pub mod opening;
