//! The control socket.
pub mod access;
pub mod api;
pub mod fault;
pub mod route;
