//! The device's side of the protocol: pairing, the keyring, and what a device says to its NAS. Feature `client`; not in
//! firmware images.

pub mod args;
pub mod channel;
pub mod commands;
mod device;
pub mod exchange;
pub mod forward;
pub mod keyring;
pub mod meeting;
pub mod relay;
pub mod way;
