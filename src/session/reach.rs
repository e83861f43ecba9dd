//! What the network allows, as the kernel tells it. A leaf of this domain.

use core::net::IpAddr;

/// What cuts the box off, from netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// No link has carrier.
    NoLink,
    /// No address to reach the broker from.
    NoAddress,
    /// No route to the broker.
    NoRoute,
}

/// What the network allows, from netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// There is no way out.
    Cut(Cut),
    /// Worth a try.
    Usable,
}

/// The picture of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whether there is a way out.
    pub reach: Reach,
    /// The router, if one is known.
    pub gateway: Option<IpAddr>,
}
