//! The sockets of multicast DNS: one for each family, joined to its group on every interface, with the interface of each packet told
//! and chosen by IP_PKTINFO. The port is shared with others on the box, avahi for example. A shell.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::{Async, Timer};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn,
    SockaddrIn6, SockaddrLike, SockaddrStorage, bind, recvmsg, sendmsg, setsockopt, socket, sockopt,
};

use crate::random::Random;
use crate::remote::mdns::{
    ADDRESSES_MAX, Browser, Found, GROUP_V4, GROUP_V6, PORT, Profile, Query, Responder, Sender, Subnet,
    is_local, is_near,
};
use crate::sys::clock::mono;
use crate::units::Mono;

/// Interfaces that are served: those that the kernel lists first.
const LINKS_MAX: usize = 8;
/// Longest packet that is read (RFC 6762, 17).
const PACKET_MAX: usize = 9000;
/// Packets refused in one wake-up before others get their turn.
const REFUSED_MAX: usize = 32;

/// An interface that is up, can multicast and has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of it.
    pub index: u32,
    /// Its addresses.
    pub subnets: heapless::Vec<Subnet, ADDRESSES_MAX>,
}

impl Link {
    fn addresses(&self) -> heapless::Vec<IpAddr, ADDRESSES_MAX> {
        self.subnets.iter().map(|s| s.address).collect()
    }
}

/// A packet from a link.
#[derive(Clone, Debug)]
pub struct Received {
    /// The interface it came in by.
    pub interface: u32,
    /// Who sent it.
    pub from: Sender,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// The sockets and the interfaces they serve.
pub struct Sockets {
    /// On [`PORT`], with whoever else is there on this box.
    shared: Pair,
    /// On a port of their own, for answers to nobody else; only a browser has them.
    mine: Option<Pair>,
    links: heapless::Vec<Link, LINKS_MAX>,
}

/// One of each family. `None`: the kernel has no such family.
struct Pair {
    v4: Option<Async<UdpSocket>>,
    v6: Option<Async<UdpSocket>>,
}

impl Pair {
    /// `port`: 0 for any.
    fn open(port: u16) -> io::Result<Self> {
        match (open(AddressFamily::Inet, port), open(AddressFamily::Inet6, port)) {
            (Err(error), Err(_)) => Err(error),
            (v4, v6) => Ok(Self { v4: v4.ok(), v6: v6.ok() }),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Async<UdpSocket>> {
        self.v4.iter().chain(&self.v6)
    }

    /// Sends on one interface: to `to`, or to the groups of both families. A packet that cannot be sent is lost, as on the way.
    fn send(&self, interface: u32, to: Option<SocketAddr>, bytes: &[u8]) {
        if to.is_none_or(|to| to.is_ipv4()) {
            let to = match to {
                Some(SocketAddr::V4(to)) => to,
                _ => SocketAddrV4::new(GROUP_V4, PORT),
            };
            let info = in_pktinfo {
                ipi_ifindex: interface.try_into().unwrap_or_default(),
                ipi_spec_dst: in_addr { s_addr: 0 },
                ipi_addr: in_addr { s_addr: 0 },
            };
            post(self.v4.as_ref(), &SockaddrIn::from(to), bytes, &ControlMessage::Ipv4PacketInfo(&info));
        }
        if to.is_none_or(|to| to.is_ipv6()) {
            let to = match to {
                Some(SocketAddr::V6(to)) => to,
                _ => SocketAddrV6::new(GROUP_V6, PORT, 0, interface),
            };
            let info = in6_pktinfo { ipi6_ifindex: interface, ipi6_addr: in6_addr { s6_addr: [0; 16] } };
            post(self.v6.as_ref(), &SockaddrIn6::from(to), bytes, &ControlMessage::Ipv6PacketInfo(&info));
        }
    }
}

fn open(family: AddressFamily, port: u16) -> io::Result<Async<UdpSocket>> {
    let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    if port != 0 {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    if family == AddressFamily::Inet {
        setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?;
        setsockopt(&fd, sockopt::Ipv4RecvTtl, &true)?;
        setsockopt(&fd, sockopt::Ipv4Ttl, &255)?;
        setsockopt(&fd, sockopt::IpMulticastTtl, &255)?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
    } else {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(&fd, sockopt::Ipv6RecvHopLimit, &true)?;
        setsockopt(&fd, sockopt::Ipv6Ttl, &255)?;
        setsockopt(&fd, sockopt::Ipv6MulticastHops, &255)?;
        bind(fd.as_raw_fd(), &SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0)))?;
    }
    Async::new(UdpSocket::from(fd))
}

/// The interfaces as they are now; none if the kernel does not say.
fn links() -> heapless::Vec<Link, LINKS_MAX> {
    let mut links: heapless::Vec<Link, LINKS_MAX> = heapless::Vec::new();
    let Ok(interfaces) = getifaddrs() else { return links };
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING | InterfaceFlags::IFF_MULTICAST;
    let unwanted = InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_POINTOPOINT;
    for interface in interfaces {
        if !interface.flags.contains(wanted) || interface.flags.intersects(unwanted) {
            continue;
        }
        let (Some(address), Some(mask)) = (ip(interface.address), ip(interface.netmask)) else { continue };
        let Ok(index) = if_nametoindex(interface.interface_name.as_str()) else { continue };
        let subnet = Subnet { address, mask };
        match links.iter_mut().find(|l| l.index == index) {
            // Beyond the limit: ignored, as said there; the same below.
            Some(link) => drop(link.subnets.push(subnet)),
            None => drop(links.push(Link { index, subnets: core::iter::once(subnet).collect() })),
        }
    }
    links
}

fn ip(address: Option<SockaddrStorage>) -> Option<IpAddr> {
    let address = address?;
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

impl Sockets {
    /// Opens them and joins the groups.
    ///
    /// # Errors
    /// Those of socket(2), setsockopt(2) and bind(2), if neither family can be had.
    pub fn open() -> io::Result<Self> {
        let mut new = Self { shared: Pair::open(PORT)?, mine: None, links: heapless::Vec::new() };
        new.refresh();
        Ok(new)
    }

    /// Looks at the interfaces anew; to be called when something about them has changed.
    pub fn refresh(&mut self) {
        self.links = links();
        for link in &self.links {
            // Joined already is an error, and so is a family that is switched off there: both are as good as it gets. The kernel
            // leaves the group by itself when an interface goes.
            let v4 = link.subnets.iter().find_map(|s| match s.address {
                IpAddr::V4(a) => Some(a),
                IpAddr::V6(_) => None,
            });
            if let (Some(socket), Some(address)) = (&self.shared.v4, v4) {
                let _ = socket.get_ref().join_multicast_v4(&GROUP_V4, &address);
            }
            if let Some(socket) = &self.shared.v6 {
                let _ = socket.get_ref().join_multicast_v6(&GROUP_V6, link.index);
            }
        }
    }

    /// The interfaces as they were at the last look.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The next packet that is from the link it came in by.
    pub fn poll_packet(&self, cx: &mut Context<'_>) -> Poll<Received> {
        for socket in self.shared.all().chain(self.mine.iter().flat_map(Pair::all)) {
            loop {
                for _ in 0..REFUSED_MAX {
                    match receive(socket.get_ref()) {
                        Ok(raw) => {
                            if let Some(received) = self.accept(raw) {
                                return Poll::Ready(received);
                            }
                        }
                        // EAGAIN, or an ICMP error of something sent earlier, which is over with its being told.
                        Err(Errno::EAGAIN) => break,
                        Err(_) => {}
                    }
                }
                match socket.poll_readable(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) | Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    }

    fn accept(&self, raw: Raw) -> Option<Received> {
        let link = self.links.iter().find(|l| l.index == raw.interface)?;
        let source = raw.source.ip();
        let own = self.links.iter().flat_map(|l| &l.subnets).any(|s| s.address == source);
        let local = is_local(&link.subnets, source, raw.to_group, raw.hop_limit);
        let from = Sender { address: raw.source, own, near: is_near(&link.subnets, source) };
        local.then_some(Received { interface: raw.interface, from, bytes: raw.bytes })
    }
}

fn post(socket: Option<&Async<UdpSocket>>, to: &impl SockaddrLike, bytes: &[u8], info: &ControlMessage<'_>) {
    let Some(socket) = socket else { return };
    let fd = socket.get_ref().as_raw_fd();
    let _ = sendmsg(fd, &[IoSlice::new(bytes)], &[*info], MsgFlags::MSG_DONTWAIT, Some(to));
}

/// A packet as the kernel gives it.
struct Raw {
    source: SocketAddr,
    interface: u32,
    to_group: bool,
    hop_limit: Option<u8>,
    bytes: Vec<u8>,
}

fn receive(socket: &UdpSocket) -> Result<Raw, Errno> {
    let mut buffer = [0; PACKET_MAX];
    let mut control = cmsg_space!(in6_pktinfo, i32);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let (mut interface, mut to_group, mut hop_limit) = (0, false, None);
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                interface = info.ipi_ifindex.try_into().unwrap_or_default();
                to_group = info.ipi_addr.s_addr == u32::from_ne_bytes(GROUP_V4.octets());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                interface = info.ipi6_ifindex;
                to_group = info.ipi6_addr.s6_addr == GROUP_V6.octets();
            }
            ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
                hop_limit = u8::try_from(ttl).ok();
            }
            _ => {}
        }
    }
    let source = message.address.as_ref().and_then(socket_address).ok_or(Errno::EINVAL)?;
    let length = message.bytes;
    let bytes = buffer.get(..length).unwrap_or_default().to_vec();
    Ok(Raw { source, interface, to_group, hop_limit, bytes })
}

fn socket_address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|a| SocketAddrV4::from(*a).into());
    v4.or_else(|| from.as_sockaddr_in6().map(|a| SocketAddrV6::from(*a).into()))
}

/// The NAS's announcement on all its interfaces.
///
/// In a loop: [`Self::poll_packet`] and [`Self::handle_packet`], [`Self::poll_timeout`] and [`Self::handle_timeout`], and
/// [`Self::handle_network_change`] when the network's bell rings (`session::io::network::Bell`).
pub struct Announcer {
    profile: Profile,
    sockets: Sockets,
    /// By the interface's index.
    responders: heapless::Vec<(u32, Responder), LINKS_MAX>,
}

impl Announcer {
    /// Opens the sockets and begins.
    ///
    /// # Errors
    /// Those of [`Sockets::open`].
    pub fn new(profile: Profile, now: Mono, random: &mut dyn Random) -> io::Result<Self> {
        let mut new = Self { profile, sockets: Sockets::open()?, responders: heapless::Vec::new() };
        new.follow(now, random);
        Ok(new)
    }

    /// The interfaces or their addresses have changed, or may have.
    pub fn handle_network_change(&mut self, now: Mono, random: &mut dyn Random) {
        self.sockets.refresh();
        self.follow(now, random);
    }

    fn follow(&mut self, now: Mono, random: &mut dyn Random) {
        let links = self.sockets.links();
        self.responders.retain(|(index, _)| links.iter().any(|l| l.index == *index));
        for link in links {
            if self.responders.iter().all(|(index, _)| *index != link.index) {
                // There are no more links than places.
                let _ = self.responders.push((link.index, Responder::new(self.profile.clone())));
            }
            if let Some((_, responder)) = self.responders.iter_mut().find(|(index, _)| *index == link.index) {
                responder.handle_addresses(now, &link.addresses(), random);
            }
        }
        self.send();
    }

    /// The next packet, for [`Self::handle_packet`].
    pub fn poll_packet(&self, cx: &mut Context<'_>) -> Poll<Received> {
        self.sockets.poll_packet(cx)
    }

    /// Handles a packet and answers it.
    pub fn handle_packet(&mut self, now: Mono, packet: &Received, random: &mut dyn Random) {
        let responder = self.responders.iter_mut().find(|(index, _)| *index == packet.interface);
        if let Some((_, responder)) = responder {
            responder.handle_packet(now, packet.from, &packet.bytes, random);
        }
        self.send();
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.responders.iter().filter_map(|(_, r)| r.poll_timeout()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Mono) {
        for (_, responder) in &mut self.responders {
            responder.handle_timeout(now);
        }
        self.send();
    }

    /// Says goodbye everywhere.
    pub fn handle_end(&mut self) {
        for (_, responder) in &mut self.responders {
            responder.handle_end();
        }
        self.send();
    }

    /// The state on each interface.
    pub fn responders(&self) -> impl Iterator<Item = &Responder> {
        self.responders.iter().map(|(_, r)| r)
    }

    fn send(&mut self) {
        for (interface, responder) in &mut self.responders {
            while let Some(packet) = responder.poll_packet() {
                self.sockets.shared.send(*interface, packet.to, &packet.bytes);
            }
        }
    }
}

/// What a browser waits for.
enum Woken {
    Packet(Received),
    Due,
}

/// Looks for NAS on the LAN, until `enough` of what was found so far, or for `longest`.
///
/// # Errors
/// Those of [`Sockets::open`].
pub async fn browse(
    longest: Duration,
    random: &mut dyn Random,
    mut enough: impl FnMut(&[Found]) -> bool,
) -> io::Result<Vec<Found>> {
    let mut sockets = Sockets::open()?;
    // Without them the usual question has to do.
    sockets.mine = Pair::open(0).ok();
    let end = mono().after(longest);
    let mut browser = Browser::new(mono(), random);
    loop {
        let now = mono();
        browser.handle_timeout(now);
        if let Some(query) = browser.poll_query() {
            let (from, bytes) = match &query {
                Query::Mine(bytes) => (sockets.mine.as_ref(), bytes),
                Query::Everybodys(bytes) => (Some(&sockets.shared), bytes),
            };
            for (pair, link) in from.iter().flat_map(|pair| sockets.links().iter().map(move |l| (pair, l))) {
                pair.send(link.index, None, bytes);
            }
        }
        let found: Vec<Found> = browser.found().collect();
        if now >= end || enough(&found) {
            return Ok(found);
        }
        let packet = async { Woken::Packet(std::future::poll_fn(|cx| sockets.poll_packet(cx)).await) };
        let due = async {
            Timer::after(browser.poll_timeout().min(end).since(now)).await;
            Woken::Due
        };
        match smol::future::or(packet, due).await {
            Woken::Packet(p) => browser.handle_packet(mono(), p.interface, p.from, &p.bytes),
            Woken::Due => {}
        }
    }
}
