//! Integration tests, one binary: the agent and the client as they ship, against a real Mosquitto and a simulated NAS; and
//! the house rules. tests/README.md says what each layer proves.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "tests stop where they fail, and say so"
)]

mod boards;
mod buttons;
mod disks;
mod doctor;
mod documents;
mod hostile;
mod interface;
mod kill;
mod lab;
mod lan_pairing;
mod lifecycle;
mod lights;
mod microcontroller;
mod models;
mod owners;
mod relay;
mod remote;
mod store;
mod tidy;
mod transports;
