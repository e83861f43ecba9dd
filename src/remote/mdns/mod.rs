//! Multicast DNS and DNS-SD (RFC 6762, RFC 6763) for `_moorline._tcp.local`: the NAS's side (`responder`) and the device's
//! (`browser`), over the records and messages of `wire`. Cores: packets and the time come in, packets and deadlines come out.
//!
//! What the sockets must do: port 5353, groups [`wire::GROUP_V4`] and [`wire::GROUP_V6`], hop limit 255, nothing that is not from the
//! link ([`is_local`]). A browser has one more, of a port of its own, for its first question ([`Query::Mine`]).

pub mod browser;
pub mod responder;
mod wire;

use core::net::{IpAddr, SocketAddr};

pub use browser::{Browser, Found, Query};
pub use responder::{Packet, Profile, Responder};
pub use wire::{GROUP_V4, GROUP_V6, PORT};

/// Addresses of one interface that are announced, and of one service that are taken.
pub const ADDRESSES_MAX: usize = 8;

/// Who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Address and port.
    pub address: SocketAddr,
    /// It is an address of this very box, on whichever interface: it may ask, but what it says about our names is what we said
    /// ourselves, by another interface on the same LAN (RFC 6762, 14).
    pub own: bool,
    /// The address is in a network of the interface, so that an answer to it stays on the link (RFC 6762, 11). To others nothing is
    /// sent by unicast: their address may be somebody else's, far away.
    pub near: bool,
}

/// An address of an interface and how much of it is the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The address.
    pub address: IpAddr,
    /// The network mask.
    pub mask: IpAddr,
}

impl Subnet {
    /// Whether `other` is an address in the same network.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, self.mask, other) {
            (IpAddr::V4(a), IpAddr::V4(m), IpAddr::V4(o)) => {
                a.to_bits() & m.to_bits() == o.to_bits() & m.to_bits()
            }
            (IpAddr::V6(a), IpAddr::V6(m), IpAddr::V6(o)) => {
                a.to_bits() & m.to_bits() == o.to_bits() & m.to_bits()
            }
            _ => false,
        }
    }
}

/// Whether a packet is from the link it came in by (RFC 6762, 11): its source is in one of the interface's networks, or it was sent to
/// the group, which no router passes on, with a hop limit that no router has touched.
pub fn is_local(subnets: &[Subnet], source: IpAddr, to_group: bool, hop_limit: Option<u8>) -> bool {
    is_near(subnets, source) || (to_group && hop_limit == Some(255))
}

/// Whether an address is in one of the interface's networks.
pub fn is_near(subnets: &[Subnet], source: IpAddr) -> bool {
    let is_link_local = matches!(source, IpAddr::V6(a) if a.is_unicast_link_local());
    is_link_local || subnets.iter().any(|s| s.contains(source))
}

#[cfg(test)]
mod tests;
