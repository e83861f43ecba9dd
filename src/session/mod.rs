//! The outbound connection to the broker: a sans-IO machine with phases and timers, and the shell that gives it a socket.

pub mod addresses;
pub mod backoff;
pub mod cause;
pub mod dns;
mod glance;
pub mod inflow;
pub mod io;
pub mod keepalive;
pub mod losses;
pub mod machine;
pub mod online;
pub mod outbox;
pub mod packet;
pub mod presence;
pub mod profile;
pub mod race;
pub mod reach;
pub mod record;
pub mod resolve;
pub mod resolver_files;
pub mod sntp;
pub mod tls;
pub mod topics;
pub mod watchdog;
pub mod websocket;
pub mod wire;
pub mod wire311;

#[cfg(test)]
mod tests;
