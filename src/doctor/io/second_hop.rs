//! Who stands behind the router: a datagram that may pass it and nobody else makes the next router say its address (ICMP time
//! exceeded, RFC 792), which the kernel hands to an ordinary socket (IP_RECVERR, ip(7)). A shell.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::libc::{SO_EE_ORIGIN_ICMP, sockaddr_in};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt::Ipv4RecvErr, sockopt::Ipv4Ttl,
};

use crate::session::io::datagram::connected;
use crate::sys::clock::within;

/// The usual port of traceroute(8): nobody listens there.
const PORT: u16 = 33434;
/// Times that it is tried: routers answer few of these a second.
const TRIES: usize = 2;
/// Longest wait for each answer.
const ANSWER_MAX: Duration = Duration::from_millis(1000);
/// ICMP type of a datagram that has passed as many routers as it may.
const TIME_EXCEEDED: u8 = 11;

/// The second router on the way to the first IPv4 address of `toward`, if it says who it is.
pub(super) async fn second_hop(toward: &[IpAddr]) -> Option<Ipv4Addr> {
    let target = toward.iter().find(|ip| ip.is_ipv4() && !ip.is_loopback())?;
    for _ in 0..TRIES {
        if let Some(Ok(hop)) = within(ANSWER_MAX, ask(SocketAddr::new(*target, PORT))).await {
            return hop;
        }
    }
    None
}

async fn ask(target: SocketAddr) -> io::Result<Option<Ipv4Addr>> {
    let socket = connected(target)?;
    setsockopt(socket.get_ref(), Ipv4RecvErr, &true)?;
    setsockopt(socket.get_ref(), Ipv4Ttl, &2)?;
    socket.send(&[0]).await?;
    // An error that waits makes a socket readable, as a datagram does.
    socket.read_with(|udp| told(udp.as_raw_fd())).await
}

/// Takes one error from the socket's queue; `None` if it is another one than is waited for.
fn told(socket: i32) -> io::Result<Option<Ipv4Addr>> {
    let mut payload = [0u8; 64];
    let mut slices = [IoSliceMut::new(&mut payload)];
    let mut control = nix::cmsg_space!(nix::libc::sock_extended_err, sockaddr_in);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrIn>(socket, &mut slices, Some(&mut control), flags)?;
    let hop = message.cmsgs()?.find_map(|c| match c {
        ControlMessageOwned::Ipv4RecvErr(error, Some(from))
            if error.ee_origin == SO_EE_ORIGIN_ICMP && error.ee_type == TIME_EXCEEDED =>
        {
            Some(SockaddrIn::from(from).ip())
        }
        _ => None,
    });
    Ok(hop)
}
