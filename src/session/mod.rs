//! The outbound connection to the broker: a sans-IO machine with phases and timers, and the shell that gives it a socket.

pub mod backoff;
pub mod cause;
pub mod io;
pub mod machine;
pub mod packet;
pub mod presence;
pub mod record;
pub mod tls;
pub mod topics;
pub mod wire;

#[cfg(test)]
mod tests;
