//! Carriers through the broker: an ordered byte pipe made of MQTT messages that may be lost but never silently. Cores.
//!
//! The broker is nobody's friend here: what it drops, repeats, reorders or makes up ends the carrier with a reason. That nothing
//! wrong gets through is not this layer's doing but that of the TLS inside (`remote::channel`).

pub mod frame;
pub mod pipe;
