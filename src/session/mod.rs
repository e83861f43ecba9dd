//! The outbound connection to the broker: a sans-IO machine with phases and timers, and the shell that gives it a socket.

pub mod backoff;
pub mod cause;
pub mod machine;
pub mod packet;
pub mod record;
pub mod topics;
pub mod wire;

#[cfg(test)]
mod tests;
