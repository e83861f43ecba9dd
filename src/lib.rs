//! moorline, the cloud-access agent of an ARM NAS. ARCHITECTURE.md is the map; each module says what it owns.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod agent;
pub mod array;
pub mod board;
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
pub mod config;
pub mod control;
pub mod doctor;
pub mod hardware;
pub mod health;
pub mod identity;
pub mod packed;
pub mod pairing;
pub mod portmap;
pub mod random;
pub mod remote;
pub mod session;
pub mod store;
pub mod sys;
pub mod typed_toml;
pub mod units;
