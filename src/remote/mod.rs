//! How a device reaches the NAS itself: so far how it finds the NAS on the LAN (`mdns`; its sockets in `io`).

pub mod io;
pub mod mdns;
