//! Users, devices and activation codes: the state, what may be done to it, and how a device proves a code.

pub mod budget;
pub mod code;
pub mod desk;
pub mod handshake;
pub mod knocks;
pub mod ledger;
pub mod notice;
pub mod plan;
pub mod presence;
pub mod record;

#[cfg(test)]
mod tests;
