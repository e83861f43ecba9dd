//! Everything that was measured, as one value. A leaf of this domain: what it means is `verdict`'s.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use crate::clock::Confidence;
use crate::session::cause::Cause;
use crate::session::packet::{Level, Welcome};
use crate::session::reach::Reach;
use crate::session::record::Packets;
use crate::session::resolve::Verdict;
use crate::units::UnixSeconds;

/// Who named a name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `/etc/resolv.conf`.
    System,
    /// `moorline cloud dns`.
    Owner,
}

/// What one name server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Which.
    pub address: SocketAddr,
    /// Who named it.
    pub origin: Origin,
    /// To the broker's name.
    pub broker: Verdict,
    /// To a name that cannot exist (RFC 6761, 6.4): an address means that it makes answers up.
    pub nonsense: Verdict,
}

/// A login that was tried beside the session, under another client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Nothing could be tried.
    NotTried,
    /// It ended before TLS was done.
    Tls(Cause),
    /// It ended before the broker answered.
    Mqtt(Cause),
    /// The broker took it; then, if the NAS's identity is known, its topics were asked for, and an echo sent.
    Taken(Welcome, Option<Result<Duration, Cause>>),
}

/// The agent's own session, if an agent runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Whether one is wanted.
    pub wanted: bool,
    /// How long ago a round trip was confirmed, while online.
    pub confirmed: Option<Duration>,
    /// Why the last attempt failed or the last session ended.
    pub last_failure: Option<Cause>,
    /// What breaks again and again.
    pub unstable: Option<String>,
    /// The last loss: how long ago, and why.
    pub lost: Option<(Duration, Cause)>,
    /// The last time that nobody was there to handle what was due: how long ago, and for how long.
    pub stopped: Option<(Duration, Duration)>,
    /// Somebody sends too many messages.
    pub flooded: Option<String>,
    /// The protocol, while online.
    pub level: Option<Level>,
    /// What the kernel counts of its connection.
    pub packets: Option<Packets>,
}

/// What the router says of its own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Router {
    /// Nobody was asked: no router, or no IPv4.
    NotAsked,
    /// None of the protocols was answered.
    Mute,
    /// It answered, but opens nothing: its words.
    Refuses(String),
    /// It opens ports by this protocol, which does not tell the address beforehand.
    Speaks(&'static str),
    /// It has this address on its other side, by this protocol.
    Outside(Ipv4Addr, &'static str),
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether a broker is configured.
    pub broker: Option<String>,
    /// What the kernel says of link, address and route.
    pub reach: Reach,
    /// The NAS's own addresses.
    pub addresses: Vec<IpAddr>,
    /// The router.
    pub gateway: Option<IpAddr>,
    /// The name servers; empty if the broker's name needs none.
    pub servers: Vec<NameServer>,
    /// Where the broker is said to be.
    pub found: Vec<IpAddr>,
    /// Those are only remembered: no server gave any.
    pub by_memory: bool,
    /// How far the clock is trusted.
    pub confidence: Confidence,
    /// What it says.
    pub system: UnixSeconds,
    /// The earliest that it can be.
    pub floor: UnixSeconds,
    /// What time servers say.
    pub told: Option<UnixSeconds>,
    /// TCP to each address.
    pub tcp: Vec<(SocketAddr, Result<Duration, Cause>)>,
    /// TCP to the first of those that opened, some times more.
    pub again: Vec<Result<Duration, Cause>>,
    /// TCP to an address that no machine has (RFC 5737) was opened: somebody answers for everybody.
    pub everybody_answers: bool,
    /// Whether the broker is spoken to by TLS.
    pub tls: bool,
    /// The login.
    pub login: Login,
    /// The session.
    pub session: Session,
    /// The router's own address.
    pub router: Router,
    /// Who stands behind the router on the way to the broker, if it says so.
    pub second_hop: Option<Ipv4Addr>,
    /// Each service's name and address, and whether TCP was opened to it.
    pub services: Vec<(String, SocketAddr, Result<Duration, Cause>)>,
}

impl Facts {
    /// The address that opened fastest, and how long it took.
    pub fn fastest(&self) -> Option<(Duration, SocketAddr)> {
        self.tcp.iter().filter_map(|(a, r)| r.as_ref().ok().map(|took| (*took, *a))).min()
    }
}
