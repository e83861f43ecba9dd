//! UDP sockets for one question to one server. A shell.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use async_io::Async;

/// The unspecified address of the family of `to`: where a socket is bound that is to reach it.
pub fn any_like(to: IpAddr) -> IpAddr {
    if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// A socket of its own for each question: a fresh source port (RFC 5452), and the kernel drops what others send.
///
/// # Errors
/// Those of bind(2) and connect(2).
pub fn connected(to: SocketAddr) -> io::Result<Async<UdpSocket>> {
    let socket = UdpSocket::bind((any_like(to.ip()), 0))?;
    socket.connect(to)?;
    Async::new(socket)
}
