//! Whether there is a way out of the box, and word of every change. Netlink only rings the bell (rtnetlink(7)); the
//! picture itself is read anew from getifaddrs(3), so a lost message costs nothing but a moment.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll};

use async_io::Async;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::datagram::any_like;
use crate::portmap::gateway;
use crate::session::reach::{Cut, Network, Reach};
use crate::sys::root::Root;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE of <linux/rtnetlink.h>.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// Messages read in one wake-up; the rest rings again.
const READS_MAX: usize = 32;

/// Rings when a link, an address or a route changed.
pub struct Bell {
    socket: Async<OwnedFd>,
}

impl Bell {
    /// Subscribes to the kernel's messages.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(Self { socket: Async::new_nonblocking(fd)? })
    }

    /// Ready once after one or more changes.
    pub fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rung = false;
        loop {
            for _ in 0..READS_MAX {
                let mut buffer = [0u8; 4096];
                match recv(self.socket.get_ref().as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                    // ENOBUFS: messages were lost, so something did change.
                    Ok(1..) | Err(nix::errno::Errno::ENOBUFS) => rung = true,
                    Ok(_) | Err(_) => break,
                }
            }
            if rung {
                return Poll::Ready(());
            }
            match self.socket.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// The picture at one moment.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Whether there is a way out, and by which router.
    pub network: Network,
    /// The box's own addresses.
    pub addresses: Vec<IpAddr>,
}

/// Where the broker may be, if its address is not known yet: addresses of documentation networks (RFC 5737, RFC 3849), which
/// only a default route leads to.
const ANYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The picture as it is now. A broker on this very machine (`loopback`) needs no network. `broker`: its addresses, as far as they
/// are known.
pub fn look(loopback: bool, broker: &[IpAddr]) -> Picture {
    let gateway = gateway();
    let usable = |addresses| Picture { network: Network { reach: Reach::Usable, gateway }, addresses };
    // Unreadable is not the same as none: then the attempt itself has to tell.
    let Ok(interfaces) = getifaddrs() else { return usable(Vec::new()) };
    let mut link = false;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for interface in interfaces {
        let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        if !interface.flags.contains(up) || interface.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        link = true;
        let Some(address) = interface.address else { continue };
        let v4 = address.as_sockaddr_in().map(|a| a.ip()).filter(|ip| !ip.is_link_local());
        // fe80::/10 leads nowhere.
        let v6 = address.as_sockaddr_in6().map(|a| a.ip()).filter(|ip| !ip.is_unicast_link_local());
        addresses.extend(v4.map(IpAddr::V4).into_iter().chain(v6.map(IpAddr::V6)));
    }
    if loopback {
        return usable(addresses);
    }
    let targets = if broker.is_empty() { &ANYWHERE[..] } else { broker };
    let reach = match (link, addresses.is_empty()) {
        (false, _) => Reach::Cut(Cut::NoLink),
        (true, true) => Reach::Cut(Cut::NoAddress),
        (true, false) if targets.iter().any(|to| has_route(*to)) => Reach::Usable,
        (true, false) => Reach::Cut(Cut::NoRoute),
    };
    Picture { network: Network { reach, gateway }, addresses }
}

/// Whether the kernel knows a way to this address: connecting a datagram socket asks for the route and sends nothing
/// (connect(2), udp(7)).
fn has_route(to: IpAddr) -> bool {
    let Ok(socket) = UdpSocket::bind((any_like(to), 0)) else { return to.is_ipv4() };
    match socket.connect((to, 9)) {
        Ok(()) => true,
        Err(error) => !matches!(
            error.raw_os_error(),
            Some(
                nix::libc::ENETUNREACH
                    | nix::libc::EHOSTUNREACH
                    | nix::libc::EADDRNOTAVAIL
                    | nix::libc::EACCES
            )
        ),
    }
}

/// The router that the default route leads to: IPv4's, or else IPv6's.
fn gateway() -> Option<IpAddr> {
    let read = |path| Root::real().read(path).unwrap_or_default();
    let v4 = gateway::v4(&read("/proc/net/route")).map(|g| IpAddr::V4(g.address));
    v4.or_else(|| gateway::v6(&read("/proc/net/ipv6_route")).map(|g| IpAddr::V6(g.address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_on_this_machine_needs_no_network() {
        assert_eq!(look(true, &[]).network.reach, Reach::Usable);
    }

    #[test]
    fn the_kernel_knows_the_way_to_itself() {
        assert!(has_route(Ipv4Addr::LOCALHOST.into()));
    }
}
