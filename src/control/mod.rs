//! The control socket: HTTP/1.1 with JSON on a Unix socket, for web pages, scripts and the command line.

pub mod access;
pub mod api;
pub mod fault;
pub mod http;
pub mod io;
pub mod metrics;
pub mod qr;
pub mod route;
