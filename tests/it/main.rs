//! Integration tests, one binary: the agent and the client as they ship, against a real Mosquitto and a simulated NAS; and
//! the house rules. tests/README.md says what each layer proves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod documents;
mod hostile;
mod interface;
mod kill;
mod lab;
mod lifecycle;
mod owners;
mod tidy;
