//! What is wanted of the keeper, what it publishes, and what it asks of its shell. Values only.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::portmap::address::{Verdict, classify};
use crate::portmap::igd::{self, Control, Controls, Fault, NoControl};
use crate::portmap::{natpmp, pcp};
use crate::units::Mono;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No mapping.
    Off,
    /// A TCP port of the router led to one of ours.
    Map {
        /// Our port.
        internal: u16,
        /// The router's port that would be liked; 0 for the same as ours.
        external: u16,
    },
    /// Somebody has set up the router by hand: nothing is asked, and what was given is believed.
    Manual {
        /// The address outside, if one was given: it may also be a name that others look up.
        address: Option<Ipv4Addr>,
        /// The port outside.
        port: u16,
    },
}

/// The way to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The router.
    pub gateway: Ipv4Addr,
    /// Our address as it sees us.
    pub own: Ipv4Addr,
}

/// By what means a mapping is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
    /// By hand.
    Manual,
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
            Self::Manual => "by hand",
        })
    }
}

/// The router's address on its other side, as far as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It does not say.
    Unknown,
    /// It says that it has none.
    NoAddress,
    /// This one.
    At(Ipv4Addr),
}

impl Outside {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) if !address.is_unspecified() => Self::At(address),
            // IPv6 is no address for a client of IPv4.
            IpAddr::V4(_) | IpAddr::V6(_) => Self::Unknown,
        }
    }

    /// The address, if there is one.
    pub const fn address(self) -> Option<Ipv4Addr> {
        match self {
            Self::At(address) => Some(address),
            Self::Unknown | Self::NoAddress => None,
        }
    }

    /// What it means for somebody who wants to be reached; `None` if it is not known.
    pub const fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Unknown => None,
            Self::NoAddress => Some(Verdict::NoAddress),
            Self::At(address) => Some(classify(address).verdict()),
        }
    }
}

/// A mapping as it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// By what means it is there.
    pub means: Means,
    /// The router's address outside.
    pub outside: Outside,
    /// The router's port.
    pub port: u16,
    /// When it ends if it is not renewed; `None` if it does not.
    pub expires: Option<Mono>,
}

impl Mapping {
    /// Whether the world can get here, as far as the router's address tells; `None` if it is not known. Behind
    /// another NAT a mapping is kept all the same: who is between the two can use it.
    pub fn is_reachable(&self) -> Option<bool> {
        self.outside.verdict().map(|verdict| verdict == Verdict::Reachable)
    }
}

/// Why there is no mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No protocol was answered.
    #[error("the router answers none of PCP, NAT-PMP and UPnP")]
    Silent,
    /// By PCP.
    #[error("PCP: {0}")]
    Pcp(#[from] pcp::Refusal),
    /// By NAT-PMP.
    #[error("NAT-PMP: {0}")]
    NatPmp(#[from] natpmp::Refusal),
    /// By UPnP, before anything was asked.
    #[error("UPnP: {0}")]
    NoControl(#[from] NoControl),
    /// By UPnP.
    #[error("UPnP: {0}")]
    Upnp(#[from] Fault),
}

impl Why {
    /// How much it tells: of several that of most weight is shown.
    pub(super) const fn weight(&self) -> u8 {
        match self {
            Self::Silent => 0,
            Self::Pcp(pcp::Refusal::UnsupportedVersion)
            | Self::NatPmp(natpmp::Refusal::UnsupportedVersion) => 1,
            Self::NoControl(_) | Self::Upnp(Fault::Http(_) | Fault::Unreadable) => 2,
            Self::Pcp(_) | Self::NatPmp(_) | Self::Upnp(Fault::Upnp { .. }) => 3,
        }
    }
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// No mapping is wanted.
    Off,
    /// One is wanted, and there is no way to a router.
    NoRouter,
    /// The router is being asked for the first time, or again after a mapping was lost.
    Trying,
    /// It is there.
    Mapping(Mapping),
    /// The router gives none. It is asked again now and then.
    Refused(Why),
}

/// Waits after each sending of a datagram.
pub type Waits = heapless::Vec<Duration, 5>;

/// A question for the shell to carry out. Only the router's own answer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// By PCP.
    Pcp {
        /// Whom.
        gateway: Ipv4Addr,
        /// What.
        request: pcp::Request,
        /// How long to wait after each sending.
        waits: Waits,
    },
    /// By NAT-PMP.
    NatPmp {
        /// Whom.
        gateway: Ipv4Addr,
        /// What.
        request: natpmp::Request,
        /// How long to wait after each sending.
        waits: Waits,
    },
    /// For the router's UPnP controls.
    Search {
        /// Whom.
        gateway: Ipv4Addr,
    },
    /// A UPnP call.
    Call {
        /// Where.
        control: Box<Control>,
        /// What.
        action: igd::Action<'static>,
    },
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask this; what was being asked is dropped.
    Ask(Ask),
    /// Drop what is being asked.
    Forget,
}

/// What came of an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Pcp`].
    Pcp(pcp::Answer),
    /// To [`Ask::NatPmp`].
    NatPmp(natpmp::Answer),
    /// To [`Ask::Search`].
    Found(Result<Box<Controls>, NoControl>),
    /// To a call for the address.
    Address(Result<Option<Ipv4Addr>, Fault>),
    /// To any other call.
    Done(Result<(), Fault>),
    /// Nothing came, or nothing can be sent there.
    Silent,
}
