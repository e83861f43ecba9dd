//! Whether there is a way out of the box, and word of every change. Netlink only rings the bell (rtnetlink(7)); the
//! picture itself is read anew from getifaddrs(3), so a lost message costs nothing but a moment.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll};

use async_io::Async;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use crate::session::machine::Reach;

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

/// The picture as it is now. A broker on this very machine (`loopback`) needs no network.
pub fn reach(loopback: bool) -> Reach {
    if loopback {
        return Reach::Usable;
    }
    // Unreadable is not the same as none: then the attempt itself has to tell.
    let Ok(interfaces) = getifaddrs() else { return Reach::Usable };
    let mut link = false;
    for interface in interfaces {
        let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        if !interface.flags.contains(up) || interface.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        link = true;
        let Some(address) = interface.address else { continue };
        let v4 = address.as_sockaddr_in().is_some_and(|a| !a.ip().is_link_local());
        // fe80::/10 leads nowhere.
        let v6 = address
            .as_sockaddr_in6()
            .is_some_and(|a| a.ip().segments().first().is_some_and(|s| s & 0xffc0 != 0xfe80));
        if v4 || v6 {
            return Reach::Usable;
        }
    }
    if link { Reach::NoAddress } else { Reach::NoLink }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_on_this_machine_needs_no_network() {
        assert_eq!(reach(true), Reach::Usable);
    }
}
