//! Measuring: what can be measured at the same time is, each part within its own time, all of it within 15 s. A shell; what it
//! means is `verdict`'s.

pub mod router;
mod second_hop;
mod walk;

use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use smol::net::TcpStream;

use super::facts::{Facts, Login, NameServer, Origin, Session};
use crate::clock::{Clock, Confidence};
use crate::config::Config;
use crate::session::cause::{Cause, Step};
use crate::session::io::dns::{self, Overrides};
use crate::session::io::{Endpoint, network, sntp, stream};
use crate::session::resolve::{Lookup, Verdict};
use crate::session::resolver_files::DNS_PORT;
use crate::session::topics::Topics;
use crate::sys::clock::{self, within};
use crate::sys::random::System;
use crate::units::UnixSeconds;

/// Longest wait for TCP to the broker.
const TCP_MAX: Duration = Duration::from_secs(4);
/// Further connections to the address that answers: a line that loses packets shows itself by those that take longer.
const AGAIN: usize = 4;
/// Longest wait for each of them: a lost packet is sent again after one second, and after three.
const AGAIN_MAX: Duration = Duration::from_millis(3500);
/// Longest wait for TCP to a service of the NAS itself, or to nobody.
const NEAR_MAX: Duration = Duration::from_millis(1500);
/// Longest wait for time servers.
const TIME_MAX: Duration = Duration::from_millis(2500);
/// Longest wait for the router.
const ROUTER_MAX: Duration = Duration::from_secs(6);
/// Addresses that are tried.
const ADDRESSES_MAX: usize = 6;
/// An address that no machine has (RFC 5737), at the port that portals answer.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80);
/// A name that cannot exist (RFC 6761, 6.4).
const NONSENSE: &str = "moorline-doctor.invalid";

/// Everything that is known before anything is measured.
pub struct Patient {
    /// The broker as people write it; `None` if none is configured.
    pub broker: Option<String>,
    /// How to reach it.
    pub endpoint: Endpoint,
    /// It is on this very machine.
    pub is_loopback: bool,
    /// The owner's name servers.
    pub servers: Vec<IpAddr>,
    /// Where it was before.
    pub remembered: Vec<IpAddr>,
    /// The NAS's topics, if its identity is known.
    pub topics: Option<Topics>,
    /// Whom to ask for the time.
    pub time_hosts: Vec<String>,
    /// How far the clock is trusted, what it says, and the floor.
    pub clock: (Confidence, UnixSeconds, UnixSeconds),
    /// The agent's session.
    pub session: Session,
    /// Services of the NAS.
    pub services: Vec<(String, SocketAddr)>,
}

impl Patient {
    /// What the configuration and the clock say; nothing is known of a session or an identity.
    pub fn new(config: &Config, endpoint: Endpoint, clock: &Clock) -> Self {
        Self {
            broker: config.cloud.as_ref().map(|c| c.url.to_string()),
            endpoint,
            is_loopback: config.is_loopback(),
            servers: Vec::new(),
            remembered: Vec::new(),
            topics: None,
            time_hosts: config.time_hosts(),
            clock: (clock.confidence(), clock.system(), clock.floor()),
            session: Session::default(),
            services: config.services.iter().map(|s| (s.name.clone(), s.address)).collect(),
        }
    }
}

type Work<T> = Pin<Box<dyn Future<Output = T>>>;

/// All of them, side by side.
async fn all<T: 'static>(works: Vec<Work<T>>) -> Vec<T> {
    let mut slots: Vec<Result<T, Work<T>>> = works.into_iter().map(Err).collect();
    poll_fn(|cx| {
        for slot in &mut slots {
            if let Err(work) = slot
                && let Poll::Ready(value) = work.as_mut().poll(cx)
            {
                *slot = Ok(value);
            }
        }
        if slots.iter().all(Result::is_ok) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    slots.into_iter().filter_map(Result::ok).collect()
}

/// Opens TCP and closes it; how long that took.
async fn knock(address: SocketAddr, longest: Duration) -> Result<Duration, Cause> {
    let began = Instant::now();
    match within(longest, TcpStream::connect(address)).await {
        Some(Ok(_)) => Ok(began.elapsed()),
        Some(Err(error)) => Err(stream::refused(&error)),
        None => Err(Cause::TimedOut(Step::Connecting)),
    }
}

/// Looks at everything. `progress` is told what is looked at next.
pub async fn examine(patient: Patient, mut progress: impl FnMut(&'static str)) -> Facts {
    let picture = network::look(patient.is_loopback, &[]);
    let (confidence, system, floor) = patient.clock;
    let mut facts = Facts {
        broker: patient.broker.clone(),
        reach: picture.network.reach,
        addresses: picture.addresses,
        gateway: picture.network.gateway,
        servers: Vec::new(),
        found: dns::without_servers(&patient.endpoint.host),
        by_memory: false,
        confidence,
        system,
        floor,
        told: None,
        tcp: Vec::new(),
        again: Vec::new(),
        everybody_answers: false,
        tls: patient.endpoint.tls.is_some(),
        login: Login::NotTried,
        session: patient.session.clone(),
        router: super::facts::Router::NotAsked,
        second_hop: None,
        services: Vec::new(),
    };
    if patient.broker.is_none() {
        facts.services = services(&patient).await;
        return facts;
    }
    let gateway = facts.gateway.filter(|_| !patient.is_loopback);
    let wan = async { within(ROUTER_MAX, router::ask(gateway)).await.unwrap_or(super::facts::Router::Mute) };
    let cloud = toward_the_broker(&patient, &mut facts, &mut progress);
    let ((), (router, services)) = smol::future::zip(cloud, smol::future::zip(wan, services(&patient))).await;
    (facts.router, facts.services) = (router, services);
    facts
}

async fn services(patient: &Patient) -> Vec<(String, SocketAddr, Result<Duration, Cause>)> {
    let works = patient.services.iter().cloned().map(|(name, address)| -> Work<_> {
        Box::pin(async move { (name, address, knock(address, NEAR_MAX).await) })
    });
    all(works.collect()).await
}

/// The steps that need each other: names, then TCP, then the login.
async fn toward_the_broker(patient: &Patient, facts: &mut Facts, progress: &mut impl FnMut(&'static str)) {
    progress("name servers and time servers");
    let overrides = Overrides { servers: patient.servers.clone(), first: false };
    let time = within(TIME_MAX, sntp::ask_any(patient.time_hosts.clone(), overrides));
    let (servers, told) = smol::future::zip(servers(patient, facts), time).await;
    (facts.servers, facts.told) = (servers, told.flatten().map(|t| t.at));
    find(patient, facts);
    let found = facts.found.clone();
    let behind_router = facts.gateway.is_some() && !patient.is_loopback;
    let hop = second_hop::second_hop(if behind_router { &found } else { &[] });
    progress("connections to the broker");
    let port = patient.endpoint.port;
    let works = facts
        .found
        .iter()
        .take(ADDRESSES_MAX)
        .map(|ip| SocketAddr::new(*ip, port))
        .map(|address| -> Work<_> { Box::pin(async move { (address, knock(address, TCP_MAX).await) }) });
    let nobody = async { !patient.is_loopback && knock(NOBODY, NEAR_MAX).await.is_ok() };
    let ways = smol::future::zip(all(works.collect()), smol::future::zip(nobody, hop));
    (facts.tcp, (facts.everybody_answers, facts.second_hop)) = ways.await;
    let Some((_, address)) = facts.fastest() else { return };
    let again = async {
        let works = (0..AGAIN).filter(|_| !patient.is_loopback);
        all(works.map(|_| -> Work<_> { Box::pin(knock(address, AGAIN_MAX)) }).collect()).await
    };
    if facts.session.confirmed.is_some() {
        facts.again = again.await;
        return;
    }
    progress("login at the broker");
    let login = walk::login(&patient.endpoint, address, patient.topics.as_ref());
    (facts.again, facts.login) = smol::future::zip(again, login).await;
}

/// Each name server, asked by itself.
async fn servers(patient: &Patient, facts: &Facts) -> Vec<NameServer> {
    if !facts.found.is_empty() {
        return Vec::new();
    }
    let system = dns::system_servers();
    let own = patient.servers.iter().map(|ip| (SocketAddr::new(*ip, DNS_PORT), Origin::Owner));
    let named = system.servers.iter().map(|s| (*s, Origin::System)).chain(own);
    let name = system.candidates(&patient.endpoint.host).pop().unwrap_or_default();
    let works = named.map(|(address, origin)| -> Work<_> {
        let name = name.clone();
        Box::pin(async move {
            let (broker, nonsense) = smol::future::zip(ask(address, &name), ask(address, NONSENSE)).await;
            NameServer { address, origin, broker, nonsense }
        })
    });
    all(works.collect()).await
}

async fn ask(server: SocketAddr, name: &str) -> Verdict {
    let Ok(mut lookup) = Lookup::new(name, &[server], clock::mono(), &mut System::new()) else {
        return Verdict::NotAsked;
    };
    let _ = dns::run(&mut lookup).await;
    lookup.verdicts().next().map_or(Verdict::NotAsked, |(_, verdict)| verdict)
}

/// Where the broker is said to be: by the servers in their order, or as remembered.
fn find(patient: &Patient, facts: &mut Facts) {
    if facts.found.is_empty() {
        for server in &facts.servers {
            let Verdict::Addresses(addresses, _) = &server.broker else { continue };
            facts.found.clone_from(addresses);
            break;
        }
    }
    if facts.found.is_empty() {
        facts.found.clone_from(&patient.remembered);
        facts.by_memory = !facts.found.is_empty();
    }
}
