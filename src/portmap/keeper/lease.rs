//! A lease as the router has it: how to ask for it, renew it, look after it and end it, in each protocol's words; what
//! an answer grants; and what to try when a UPnP router does not like the wish. A core.

use std::time::Duration;

use super::status::{Answer, Ask, Means, Outside, Waits, Way, Why};
use crate::portmap::igd::{self, Control, Fault, UpnpError};
use crate::portmap::{natpmp, pcp};
use crate::random::{self, Random};

/// Asked for: both RFCs recommend two hours (RFC 6886, 3.3); a mapping that nobody ends is not there for longer.
pub(super) const LIFETIME_S: u32 = 7200;
/// What routers' pages show. Letters only: some show entities as they come, some refuse them.
pub(super) const DESCRIPTION: &str = "moorline";
/// Other ports that are tried when the one that is liked is somebody else's.
const PORTS_MAX: u8 = 4;
/// First of the ports for such tries (RFC 6335, 6: nobody's by assignment).
const PORT_HIGH: u16 = 49152;
/// Sendings of a question that somebody waits for (an end), or that matters little (a look): 1.75 s.
const SENT_SHORT: usize = 3;

/// What a router holds for us, or may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// By which router, and for which address of ours.
    pub(super) way: Way,
    pub(super) terms: Terms,
    /// Our port.
    pub(super) internal: u16,
    /// The router's.
    pub(super) external: u16,
}

/// What only one protocol has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    Pcp,
    NatPmp,
    Upnp {
        control: Box<Control>,
        /// 0: for good.
        lease_s: u32,
    },
}

/// A yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) external: u16,
    pub(super) outside: Option<Outside>,
    /// `None`: for good.
    pub(super) lifetime_s: Option<u32>,
    pub(super) epoch_s: Option<u32>,
}

impl Lease {
    pub(super) const fn means(&self) -> Means {
        match self.terms {
            Terms::Pcp => Means::Pcp,
            Terms::NatPmp => Means::NatPmp,
            Terms::Upnp { .. } => Means::Upnp,
        }
    }

    /// To make it, or to renew it. `outside`: the address it had.
    pub(super) fn map(&self, nonce: pcp::Nonce, outside: Outside, random: &mut dyn Random) -> Ask {
        let Self { internal, external, way: Way { gateway, own }, .. } = *self;
        match &self.terms {
            Terms::Pcp => {
                let address = outside.address().map(Into::into);
                let map = pcp::Map { nonce, internal, external, address, lifetime_s: LIFETIME_S };
                Ask::Pcp { gateway, request: pcp::Request::Map(map), waits: pcp_waits(random) }
            }
            Terms::NatPmp => {
                let request = natpmp::Request::MapTcp { internal, external, lifetime_s: LIFETIME_S };
                Ask::NatPmp { gateway, request, waits: natpmp::WAITS.into_iter().collect() }
            }
            Terms::Upnp { control, lease_s } => Ask::Call {
                control: control.clone(),
                action: igd::Action::AddPortMapping {
                    external,
                    internal,
                    client: own,
                    lease_s: *lease_s,
                    description: DESCRIPTION,
                },
            },
        }
    }

    /// Whether the router still has it, and which address.
    pub(super) fn look(&self) -> Ask {
        let gateway = self.way.gateway;
        match &self.terms {
            Terms::Pcp => Ask::Pcp { gateway, request: pcp::Request::Announce, waits: short_waits() },
            Terms::NatPmp => {
                Ask::NatPmp { gateway, request: natpmp::Request::PublicAddress, waits: short_waits() }
            }
            Terms::Upnp { control, .. } => {
                Ask::Call { control: control.clone(), action: igd::Action::GetExternalIpAddress }
            }
        }
    }

    /// To end it.
    pub(super) fn end(&self, nonce: pcp::Nonce) -> Ask {
        let Self { internal, external, way: Way { gateway, .. }, .. } = *self;
        match &self.terms {
            Terms::Pcp => {
                let map = pcp::Map { nonce, internal, external: 0, address: None, lifetime_s: 0 };
                Ask::Pcp { gateway, request: pcp::Request::Map(map), waits: short_waits() }
            }
            Terms::NatPmp => {
                let request = natpmp::Request::MapTcp { internal, external: 0, lifetime_s: 0 };
                Ask::NatPmp { gateway, request, waits: short_waits() }
            }
            Terms::Upnp { control, .. } => {
                Ask::Call { control: control.clone(), action: igd::Action::DeletePortMapping { external } }
            }
        }
    }

    /// What the `answer` to [`Lease::map`] grants. Another protocol's answer is none.
    pub(super) fn grant(&self, answer: Answer) -> Result<Grant, Why> {
        match (&self.terms, answer) {
            (Terms::Pcp, Answer::Pcp(answer)) => pcp_grant(answer),
            (Terms::NatPmp, Answer::NatPmp(answer)) => natpmp_grant(answer),
            (Terms::Upnp { lease_s, .. }, Answer::Done(answer)) => {
                answer?;
                let lifetime_s = Some(*lease_s).filter(|s| *s != 0);
                Ok(Grant { external: self.external, outside: None, lifetime_s, epoch_s: None })
            }
            (Terms::Pcp | Terms::NatPmp | Terms::Upnp { .. }, _) => Err(Why::Silent),
        }
    }
}

fn pcp_grant(answer: pcp::Answer) -> Result<Grant, Why> {
    match answer {
        pcp::Answer::Mapped { epoch_s, external, address, lifetime_s } => Ok(Grant {
            external,
            outside: Some(Outside::of(address)),
            lifetime_s: Some(lifetime_s),
            epoch_s: Some(epoch_s),
        }),
        pcp::Answer::NatPmpOnly => Err(pcp::Refusal::UnsupportedVersion.into()),
        pcp::Answer::Refused { refusal, .. } => Err(refusal.into()),
        pcp::Answer::Announced { .. } => Err(Why::Silent),
    }
}

fn natpmp_grant(answer: natpmp::Answer) -> Result<Grant, Why> {
    match answer {
        natpmp::Answer::MappedTcp { epoch_s, external, lifetime_s, .. } => {
            Ok(Grant { external, outside: None, lifetime_s: Some(lifetime_s), epoch_s: Some(epoch_s) })
        }
        natpmp::Answer::Refused(refusal) => Err(refusal.into()),
        natpmp::Answer::PublicAddress { .. } => Err(Why::Silent),
    }
}

/// RFC 6887, 8.1.1: each wait a tenth longer or shorter.
fn pcp_waits(random: &mut dyn Random) -> Waits {
    let mut odd = |wait: Duration| wait * 9 / 10 + upto(random, wait / 5);
    pcp::WAITS.into_iter().map(&mut odd).collect()
}

fn short_waits() -> Waits {
    natpmp::WAITS.into_iter().take(SENT_SHORT).collect()
}

/// A random span of at most `longest`.
pub(super) fn upto(random: &mut dyn Random, longest: Duration) -> Duration {
    let ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX - 1);
    Duration::from_millis(random::below(random, ms.saturating_add(1)))
}

/// What a UPnP router has been asked so far. Every other try gives up one wish, and there are few of them: it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tries {
    ports_left: u8,
    same_ports: bool,
}

impl Tries {
    pub(super) const fn new() -> Self {
        Self { ports_left: PORTS_MAX, same_ports: false }
    }

    /// Changes the `lease` to one that the router may like better; `false` if there is none.
    pub(super) fn yield_to(&mut self, fault: &Fault, lease: &mut Lease, random: &mut dyn Random) -> bool {
        let Fault::Upnp { error, .. } = fault else { return false };
        match error {
            UpnpError::OnlyPermanentLeases => for_good(lease),
            // Some mean 725, some 724.
            UpnpError::InvalidArgs => for_good(lease) || self.same_ports(lease),
            UpnpError::SamePortsWanted => self.same_ports(lease),
            UpnpError::Conflict | UpnpError::ConflictWithOther => self.other_port(lease, random),
            UpnpError::InvalidAction
            | UpnpError::ActionFailed
            | UpnpError::NotAuthorized
            | UpnpError::NoSuchEntry
            | UpnpError::RemoteHostWanted
            | UpnpError::ExternalPortWanted
            | UpnpError::RemoteHostMustBeAny
            | UpnpError::ExternalPortMustBeAny
            | UpnpError::NoPortsLeft
            | UpnpError::InternalPortWanted
            | UpnpError::Other(_) => false,
        }
    }

    fn same_ports(&mut self, lease: &mut Lease) -> bool {
        let is_new = !self.same_ports && lease.external != lease.internal;
        self.same_ports = true;
        lease.external = lease.internal;
        is_new
    }

    fn other_port(&mut self, lease: &mut Lease, random: &mut dyn Random) -> bool {
        if self.same_ports || self.ports_left == 0 {
            return false;
        }
        self.ports_left -= 1;
        let above = random::below(random, u64::from(u16::MAX - PORT_HIGH) + 1);
        lease.external = PORT_HIGH.saturating_add(u16::try_from(above).unwrap_or(0));
        true
    }
}

fn for_good(lease: &mut Lease) -> bool {
    match &mut lease.terms {
        Terms::Upnp { lease_s, .. } => std::mem::take(lease_s) != 0,
        Terms::Pcp | Terms::NatPmp => false,
    }
}
