//! The device's side: asks the LAN for some seconds which NAS are there. A core.
//!
//! Contract: after [`Browser::new`] and any `handle_*` take all of [`Browser::poll_query`] and send it on every interface, then wait
//! until [`Browser::poll_timeout`] and call [`Browser::handle_timeout`]. What is found is what somebody on the LAN claims: who it is
//! shows only when a carrier has authenticated it.
//!
//! The first question asks for answers to this program alone, which responders give at once (RFC 6762, 5.4, 6.7), and others need not
//! hear; it goes from a port of the browser's own, because on 5353 a unicast answer may end up with another program of this box
//! (15.1). Who cannot answer that, or is behind a firewall that lets only 5353 in, hears the usual question a moment later.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use domain::base::{Rtype, ToName};
use domain::rdata::AllRecordData;

use super::wire::{self, Own, Owned, Seen, TTL_OTHER};
use super::{ADDRESSES_MAX, PORT, Sender};
use crate::identity::KeyId;
use crate::random::{Random, below};
use crate::units::Mono;

/// Services and hosts that are kept; further ones are ignored.
const SERVICES_MAX: usize = 32;
/// Before each question after the first; the last goes on (RFC 6762, 5.2: at least doubled, and a second at first).
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// The wait before asking for what an answer has left out.
const FOLLOW_UP: Duration = Duration::from_millis(100);
/// Such questions, in all.
const FOLLOW_UPS_MAX: u8 = 8;
/// Questions in one message: the service, and three for those of which something is missing.
const QUESTIONS_MAX: usize = 13;

/// A NAS that says it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id, as it claims.
    pub id: KeyId,
    /// Its name, as it claims.
    pub name: String,
    /// Where its TCP listener is: at least one.
    pub addresses: heapless::Vec<SocketAddr, ADDRESSES_MAX>,
}

#[derive(Debug)]
struct Service {
    instance: Owned,
    id: Option<KeyId>,
    /// Host and port.
    at: Option<(Owned, u16)>,
}

#[derive(Debug)]
struct Host {
    name: Owned,
    /// With the interface, which addresses of one link need.
    addresses: heapless::Vec<(IpAddr, u32), ADDRESSES_MAX>,
}

/// A packet to be sent to the groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// From a port of the browser's own, where the answers arrive.
    Mine(Vec<u8>),
    /// From port 5353, where everybody's answers arrive.
    Everybodys(Vec<u8>),
}

/// The state for all interfaces.
#[derive(Debug)]
pub struct Browser {
    services: heapless::Vec<Service, SERVICES_MAX>,
    hosts: heapless::Vec<Host, SERVICES_MAX>,
    next: Mono,
    asked: usize,
    follow_ups: u8,
    out: Option<Query>,
}

impl Browser {
    /// Asks at once, and everybody after a moment: others may have been switched on at the same time (RFC 6762, 5.2).
    pub fn new(now: Mono, random: &mut dyn Random) -> Self {
        Self {
            services: heapless::Vec::new(),
            hosts: heapless::Vec::new(),
            next: now.after(Duration::from_millis(20 + below(random, 101))),
            asked: 0,
            follow_ups: 0,
            out: wire::query_by_unicast(&wire::service(), Rtype::PTR).map(Query::Mine),
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub const fn poll_timeout(&self) -> Mono {
        self.next
    }

    /// The next packet to be sent to the groups on every interface.
    pub const fn poll_query(&mut self) -> Option<Query> {
        self.out.take()
    }

    /// Asks, if it is time.
    pub fn handle_timeout(&mut self, now: Mono) {
        if self.next > now {
            return;
        }
        let wait = WAITS.get(self.asked).or(WAITS.last()).copied().unwrap_or(Duration::from_secs(8));
        self.asked += 1;
        self.next = now.after(wait);
        let known: Vec<Own> = self.services.iter().filter(|s| self.is_whole(s)).map(known).collect();
        self.out = wire::query(&self.questions(), &known, &[]).map(Query::Everybodys);
    }

    /// A datagram that came in on `interface`, from its link ([`super::is_local`]).
    pub fn handle_packet(&mut self, now: Mono, interface: u32, from: Sender, bytes: &[u8]) {
        let Some(message) = wire::read(bytes) else { return };
        if !message.header().qr() || from.address.port() != PORT {
            return;
        }
        // First the services, then what is said about them, in whatever order it came; then about their hosts.
        for record in wire::records(&message) {
            self.hear_of_service(&record);
        }
        for record in wire::records(&message) {
            self.hear_of_instance(&record);
        }
        for record in wire::records(&message) {
            self.hear_of_host(&record, interface);
        }
        let is_whole = self.services.iter().all(|s| self.is_whole(s));
        if !is_whole && self.follow_ups < FOLLOW_UPS_MAX && self.next > now.after(FOLLOW_UP) {
            self.follow_ups += 1;
            self.next = now.after(FOLLOW_UP);
        }
    }

    /// All that have said who and where they are.
    pub fn found(&self) -> impl Iterator<Item = Found> {
        self.services.iter().filter_map(|s| self.found_one(s))
    }

    fn found_one(&self, service: &Service) -> Option<Found> {
        let (host, port) = service.at.as_ref()?;
        let addresses = self.hosts.iter().filter(|h| h.name == *host).flat_map(|h| &h.addresses);
        let addresses: heapless::Vec<SocketAddr, ADDRESSES_MAX> = addresses
            .take(ADDRESSES_MAX)
            .map(|(ip, interface)| socket_address(*ip, *port, *interface))
            .collect();
        let name = String::from_utf8_lossy(service.instance.first().as_slice()).into_owned();
        (!addresses.is_empty()).then_some(())?;
        Some(Found { id: service.id.clone()?, name, addresses })
    }

    fn is_whole(&self, service: &Service) -> bool {
        self.found_one(service).is_some()
    }

    /// For the service, and for what is missing of those that are known.
    fn questions(&self) -> Vec<(Owned, Rtype)> {
        let mut questions = vec![(wire::service(), Rtype::PTR)];
        for service in self.services.iter().filter(|s| !self.is_whole(s)) {
            match &service.at {
                None => questions.push((service.instance.clone(), Rtype::SRV)),
                Some((host, _)) if self.hosts.iter().all(|h| h.name != *host || h.addresses.is_empty()) => {
                    questions.push((host.clone(), Rtype::A));
                    questions.push((host.clone(), Rtype::AAAA));
                }
                Some(_) => {}
            }
            if service.id.is_none() {
                questions.push((service.instance.clone(), Rtype::TXT));
            }
        }
        questions.truncate(QUESTIONS_MAX);
        questions
    }

    fn hear_of_service(&mut self, record: &Seen<'_>) {
        let AllRecordData::Ptr(ptr) = &record.data else { return };
        if record.owner != wire::service() {
            return;
        }
        let instance: Owned = ptr.ptrdname().to_name();
        if record.ttl == 0 {
            self.services.retain(|s| s.instance != instance);
        } else if is_instance(&instance) && self.services.iter().all(|s| s.instance != instance) {
            // Full: ignored, as said above.
            let _ = self.services.push(Service { instance, id: None, at: None });
        }
    }

    fn hear_of_instance(&mut self, record: &Seen<'_>) {
        let Some(service) = self.services.iter_mut().find(|s| record.owner == s.instance) else { return };
        match &record.data {
            AllRecordData::Srv(srv) if record.ttl > 0 => {
                service.at = Some((srv.target().to_name(), srv.port()));
            }
            AllRecordData::Srv(_) => service.at = None,
            AllRecordData::Txt(txt) if record.ttl > 0 => {
                service.id = txt.iter().find_map(id);
            }
            _ => {}
        }
    }

    fn hear_of_host(&mut self, record: &Seen<'_>, interface: u32) {
        let ip: IpAddr = match &record.data {
            AllRecordData::A(a) => a.addr().into(),
            AllRecordData::Aaaa(a) => a.addr().into(),
            _ => return,
        };
        let is_wanted = self.services.iter().any(|s| s.at.as_ref().is_some_and(|(h, _)| record.owner == *h));
        if !is_wanted || ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() {
            return;
        }
        if record.ttl == 0 {
            for host in self.hosts.iter_mut().filter(|h| record.owner == h.name) {
                host.addresses.retain(|(a, _)| *a != ip);
            }
            return;
        }
        if self.hosts.iter().all(|h| record.owner != h.name) {
            let _ = self.hosts.push(Host { name: record.owner.to_name(), addresses: heapless::Vec::new() });
        }
        let Some(host) = self.hosts.iter_mut().find(|h| record.owner == h.name) else { return };
        if host.addresses.iter().all(|(a, _)| *a != ip) {
            let _ = host.addresses.push((ip, interface));
        }
    }
}

/// A label before the service's name.
fn is_instance(name: &Owned) -> bool {
    name.parent().is_some_and(|parent| parent == wire::service())
}

/// The id in a text of TXT.
fn id(text: &[u8]) -> Option<KeyId> {
    core::str::from_utf8(text).ok()?.strip_prefix("id=")?.parse().ok()
}

fn known(service: &Service) -> Own {
    let data = wire::ptr(service.instance.clone());
    Own { owner: wire::service(), unique: false, ttl: TTL_OTHER, data }
}

/// fe80::/10 means something only together with the interface.
fn socket_address(ip: IpAddr, port: u16, interface: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(a) if a.is_unicast_link_local() => SocketAddrV6::new(a, port, 0, interface).into(),
        ip => SocketAddr::new(ip, port),
    }
}
