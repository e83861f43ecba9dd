//! The NAS's side: says on one interface what the NAS is called and where its TCP listener is. A core.
//!
//! Contract: one value for each interface. After any `handle_*` take all of [`Responder::poll_packet`], then wait until
//! [`Responder::poll_timeout`] and call [`Responder::handle_timeout`]. Nothing is said before the names have been probed for, nor
//! without an address. The name may change when somebody else has it: [`Responder::instance`].

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use domain::base::iana::Class;
use domain::base::{Message, Rtype};

use super::wire::{self, Form, Own, Owned, TTL_HOST, TTL_OTHER};
use super::{ADDRESSES_MAX, PORT, Sender};
use crate::identity::KeyId;
use crate::random::{Random, below};
use crate::units::Mono;

/// Between two probes, and the longest wait before the first (RFC 6762, 8.1).
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// Probes before a name is ours.
const PROBES: u8 = 3;
/// How long the loser waits when two ask for a name at once (8.2).
const PROBE_LOST: Duration = Duration::from_secs(1);
/// Conflicts in a row after which probing becomes slow (8.1), and how slow.
const CONFLICTS_MAX: u8 = 15;
const PROBE_SLOW: Duration = Duration::from_secs(5);
/// Conflicts further apart are not in a row.
const CONFLICTS_WITHIN: Duration = Duration::from_secs(10);
/// Announcements, and the time between them (8.3).
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
/// A record is multicast at most this often (6), or this often to defend a name against a probe.
const REPEAT_EVERY: Duration = Duration::from_secs(1);
const DEFEND_EVERY: Duration = Duration::from_millis(250);
/// The delay of answers that others may give as well (6).
const SHARED_DELAY_MS: (u64, u64) = (20, 120);
/// The delay if the asker has more known answers to tell (7.2).
const MORE_DELAY_MS: (u64, u64) = (400, 500);
/// Bytes of a label (RFC 1035, 2.3.4).
const LABEL_MAX: usize = 63;
/// Packets waiting to be taken; more are dropped, as the network might.
const PACKETS_MAX: usize = 4;

/// What we have records of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// That there are services of our kind.
    Services,
    /// That we are one.
    Service,
    /// Host and port.
    Srv,
    /// Version and id.
    Txt,
    /// The IPv4 addresses.
    V4,
    /// The IPv6 addresses.
    V6,
    /// That the host has no other records.
    Only,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Services, Self::Service, Self::Srv, Self::Txt, Self::V4, Self::V6, Self::Only];

    /// Others have records of the same name and type.
    const fn is_shared(self) -> bool {
        matches!(self, Self::Services | Self::Service)
    }

    const fn ttl(self) -> u32 {
        match self {
            Self::Srv | Self::V4 | Self::V6 | Self::Only => TTL_HOST,
            Self::Services | Self::Service | Self::Txt => TTL_OTHER,
        }
    }
}

/// Some of the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Kinds(u8);

impl Kinds {
    const NONE: Self = Self(0);

    const fn one(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }
    fn of(kinds: &[Kind]) -> Self {
        kinds.iter().fold(Self::NONE, |all, kind| all.with(Self::one(*kind)))
    }
    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    const fn has(self, kind: Kind) -> bool {
        self.0 & Self::one(kind).0 != 0
    }
    const fn is_empty(self) -> bool {
        self.0 == 0
    }
    fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
    fn select(wanted: impl Fn(Kind) -> bool) -> Self {
        Kind::ALL.into_iter().filter(|k| wanted(*k)).fold(Self::NONE, |all, k| all.with(Self::one(k)))
    }
}

/// A time for each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Times([Option<Mono>; Kind::ALL.len()]);

impl Times {
    fn at(&self, kind: Kind) -> Option<Mono> {
        self.0.get(kind as usize).copied().flatten()
    }
    fn set(&mut self, kind: Kind, to: Option<Mono>) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            *slot = to;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No address: nothing to say and nobody to hear it. Left when there is one.
    Silent,
    /// Asking whether somebody has our names. Left after [`PROBES`], or back to its start by a conflict.
    Probing {
        /// Probes sent.
        sent: u8,
        /// When the next is due, or the names are ours.
        next: Mono,
    },
    /// The names are ours.
    Running {
        /// Announcements still to make.
        left: u8,
        /// When.
        next: Mono,
    },
    /// Goodbye was said.
    Ended,
}

/// Somebody who has more known answers to tell.
#[derive(Clone, Copy, Debug)]
struct Patient {
    who: SocketAddr,
    wanted: Kinds,
    due: Mono,
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// By unicast to this one; `None`: to the groups.
    pub to: Option<SocketAddr>,
    /// At most 1440 bytes.
    pub bytes: Vec<u8>,
}

/// What is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The NAS's name as its owner gave it.
    pub name: String,
    /// Its id.
    pub id: KeyId,
    /// The port of its TCP listener.
    pub port: u16,
}

/// The state for one interface.
#[derive(Debug)]
pub struct Responder {
    profile: Profile,
    /// 1: the names as they were given; more: others had those.
    number: u16,
    host_number: u16,
    instance: Owned,
    host: Owned,
    addresses: heapless::Vec<IpAddr, ADDRESSES_MAX>,
    phase: Phase,
    /// When to multicast.
    due: Times,
    /// When it was multicast.
    sent: Times,
    patient: Option<Patient>,
    out: heapless::Deque<Packet, PACKETS_MAX>,
    conflicts: u8,
    last_conflict: Mono,
}

/// The label of an instance: at most 63 bytes, no control characters; `(2)` and so on if the name is somebody else's.
fn label(name: &str, number: u16) -> heapless::String<LABEL_MAX> {
    let suffix = if number > 1 { format!(" ({number})") } else { String::new() };
    let mut label = heapless::String::new();
    for c in name.trim().chars().filter(|c| !c.is_control()) {
        if label.len() + c.len_utf8() + suffix.len() > LABEL_MAX || label.push(c).is_err() {
            break;
        }
    }
    if label.is_empty() {
        // Fits: it is short.
        let _ = label.push_str("moorline");
    }
    let _ = label.push_str(&suffix);
    label
}

fn between(random: &mut dyn Random, (from, to): (u64, u64)) -> Duration {
    Duration::from_millis(from + below(random, to.saturating_sub(from) + 1))
}

impl Responder {
    /// Without an address: silent.
    pub fn new(profile: Profile) -> Self {
        let mut new = Self {
            profile,
            number: 1,
            host_number: 1,
            instance: wire::service(),
            host: wire::service(),
            addresses: heapless::Vec::new(),
            phase: Phase::Silent,
            due: Times::default(),
            sent: Times::default(),
            patient: None,
            out: heapless::Deque::new(),
            conflicts: 0,
            last_conflict: Mono::default(),
        };
        new.name();
        new
    }

    /// The name under which the NAS is found on this interface.
    pub fn instance(&self) -> heapless::String<LABEL_MAX> {
        label(&self.profile.name, self.number)
    }

    /// Whether the name is ours: it was probed for and nobody objected.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    fn name(&mut self) {
        let id: String = self.profile.id.as_str().chars().take(8).collect();
        let number = if self.host_number > 1 { format!("-{}", self.host_number) } else { String::new() };
        self.instance = wire::name(&[self.instance().as_bytes(), b"_moorline", b"_tcp", b"local"]);
        self.host = wire::name(&[format!("moorline-{id}{number}").as_bytes(), b"local"]);
    }

    /// The interface's addresses, those on which the listener can be reached; none if it is down. The first
    /// [`ADDRESSES_MAX`] count.
    pub fn handle_addresses(&mut self, now: Mono, addresses: &[IpAddr], random: &mut dyn Random) {
        let addresses: heapless::Vec<IpAddr, ADDRESSES_MAX> =
            addresses.iter().copied().take(ADDRESSES_MAX).collect();
        let changed = addresses != self.addresses;
        self.addresses = addresses;
        match self.phase {
            Phase::Ended => {}
            _ if self.addresses.is_empty() => self.rest(Phase::Silent),
            Phase::Silent => self.probe(now, Duration::from_millis(below(random, 250))),
            Phase::Running { .. } if changed => {
                self.phase = Phase::Running { left: ANNOUNCEMENTS, next: now };
                self.handle_timeout(now);
            }
            Phase::Probing { .. } | Phase::Running { .. } => {}
        }
    }

    /// Says goodbye. Nothing is said after it.
    pub fn handle_end(&mut self) {
        if self.is_running() {
            // Not that there are services of our kind: others may be of it too.
            let ours = self.present().without(Kinds::of(&[Kind::Services, Kind::Only]));
            self.push(None, wire::response(&Form::Goodbye, &self.records(ours), &[]));
        }
        let last = core::mem::take(&mut self.out);
        self.rest(Phase::Ended);
        self.out = last;
    }

    /// To be called when [`Self::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Mono) {
        match self.phase {
            Phase::Probing { sent, next } if next <= now => self.probe_on(now, sent),
            Phase::Running { left: 1.., next } if next <= now => self.announce(now),
            Phase::Silent | Phase::Probing { .. } | Phase::Running { .. } | Phase::Ended => {}
        }
        if let Some(patient) = self.patient.take_if(|p| p.due <= now) {
            self.schedule(now, patient.wanted, REPEAT_EVERY);
        }
        self.flush(now);
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let phase = match self.phase {
            Phase::Probing { next, .. } | Phase::Running { left: 1.., next } => Some(next),
            Phase::Running { left: 0, .. } | Phase::Silent | Phase::Ended => None,
        };
        let patient = self.patient.map(|p| p.due);
        phase.into_iter().chain(patient).chain(self.due.0.iter().copied().flatten()).min()
    }

    /// The next packet to be sent on this interface.
    pub fn poll_packet(&mut self) -> Option<Packet> {
        self.out.pop_front()
    }

    /// A datagram that came in on this interface, from its link ([`super::is_local`]).
    pub fn handle_packet(&mut self, now: Mono, from: Sender, bytes: &[u8], random: &mut dyn Random) {
        let Some(message) = wire::read(bytes) else { return };
        match (message.header().qr(), self.phase) {
            (_, Phase::Silent | Phase::Ended) => {}
            // Answers from another port are none (RFC 6762, 6).
            (true, _) if from.own || from.address.port() != PORT => {}
            (true, _) => self.check_conflict(now, &message, random),
            (false, Phase::Running { .. }) => self.answer(now, from, &message, random),
            (false, Phase::Probing { .. }) if !from.own => self.break_tie(now, &message),
            (false, Phase::Probing { .. }) => {}
        }
        self.flush(now);
    }
}

/// Names: getting and keeping them.
impl Responder {
    fn rest(&mut self, phase: Phase) {
        self.phase = phase;
        self.due = Times::default();
        self.sent = Times::default();
        self.patient = None;
        self.out.clear();
    }

    fn probe(&mut self, now: Mono, delay: Duration) {
        self.rest(Phase::Probing { sent: 0, next: now.after(delay) });
    }

    fn probe_on(&mut self, now: Mono, sent: u8) {
        if sent >= PROBES {
            self.phase = Phase::Running { left: ANNOUNCEMENTS, next: now };
            return self.announce(now);
        }
        let questions = [(self.instance.clone(), Rtype::ANY), (self.host.clone(), Rtype::ANY)];
        let claims = self.records(Kinds::of(&[Kind::Srv, Kind::Txt, Kind::V4, Kind::V6]));
        self.push(None, wire::query(&questions, &[], &claims));
        self.phase = Phase::Probing { sent: sent + 1, next: now.after(PROBE_EVERY) };
    }

    fn announce(&mut self, now: Mono) {
        if let Phase::Running { left, .. } = self.phase {
            self.phase = Phase::Running { left: left.saturating_sub(1), next: now.after(ANNOUNCE_EVERY) };
        }
        self.schedule(now, self.present().without(Kinds::one(Kind::Only)), REPEAT_EVERY);
    }

    /// Others that ask for our names at this moment: whose claim comes later in the order of bytes has it (8.2).
    fn break_tie(&mut self, now: Mono, message: &Message<&[u8]>) {
        let ours = self.records(Kinds::of(&[Kind::Srv, Kind::Txt, Kind::V4, Kind::V6]));
        let lost = [&self.instance, &self.host].into_iter().any(|name| {
            let mut theirs: Vec<(u16, Vec<u8>)> = wire::claims(message)
                .filter(|r| r.owner == *name)
                .map(|r| (rtype(&r.data).to_int(), wire::plain(&r.data)))
                .collect();
            let mut ours: Vec<(u16, Vec<u8>)> = ours
                .iter()
                .filter(|r| r.owner == *name)
                .map(|r| (rtype(&r.data).to_int(), wire::plain(&r.data)))
                .collect();
            theirs.sort();
            ours.sort();
            !theirs.is_empty() && ours < theirs
        });
        if lost {
            self.probe(now, PROBE_LOST);
        }
    }

    /// An answer with our name on it and something else in it (8.1, 9).
    fn check_conflict(&mut self, now: Mono, message: &Message<&[u8]>, random: &mut dyn Random) {
        let ours = self.records(Kinds(u8::MAX));
        let probing = !self.is_running();
        let (mut instance, mut host) = (false, false);
        for record in wire::records(message).filter(|r| r.ttl > 0) {
            let same_name = |own: &&Own| own.unique && record.owner == own.owner;
            let is_ours = ours.iter().filter(same_name).any(|own| record.data == own.data);
            // While we probe, any record shows that the name is taken; later only another one of a kind that we have.
            let collides = |own: &Own| probing || rtype(&own.data) == rtype(&record.data);
            if is_ours || !ours.iter().filter(same_name).any(collides) {
                continue;
            }
            instance |= record.owner == self.instance;
            host |= record.owner == self.host;
        }
        if instance || host {
            self.handle_conflict(now, probing && instance, probing && host, random);
        }
    }

    /// Who has a name asks for it once more; who only wants it takes another.
    fn handle_conflict(&mut self, now: Mono, instance: bool, host: bool, random: &mut dyn Random) {
        let in_a_row = now.since(self.last_conflict) < CONFLICTS_WITHIN;
        self.conflicts = if in_a_row { self.conflicts.saturating_add(1) } else { 1 };
        self.last_conflict = now;
        self.number = self.number.saturating_add(instance.into());
        self.host_number = self.host_number.saturating_add(host.into());
        self.name();
        let slow = self.conflicts >= CONFLICTS_MAX;
        self.probe(now, if slow { PROBE_SLOW } else { Duration::from_millis(below(random, 250)) });
    }
}

/// Answers.
impl Responder {
    /// The kinds of which there are records.
    fn present(&self) -> Kinds {
        Kinds::select(|kind| match kind {
            Kind::V4 => self.addresses.iter().any(IpAddr::is_ipv4),
            Kind::V6 => self.addresses.iter().any(IpAddr::is_ipv6),
            Kind::Services | Kind::Service | Kind::Srv | Kind::Txt | Kind::Only => true,
        })
    }

    fn records(&self, kinds: Kinds) -> Vec<Own> {
        kinds.iter().flat_map(|kind| self.records_of(kind)).collect()
    }

    fn records_of(&self, kind: Kind) -> Vec<Own> {
        let own = |owner: &Owned, data| Own {
            owner: owner.clone(),
            unique: !kind.is_shared(),
            ttl: kind.ttl(),
            data,
        };
        let addresses = |wanted: fn(&IpAddr) -> bool| {
            let those = self.addresses.iter().filter(|a| wanted(a));
            those.map(|a| own(&self.host, wire::address(*a))).collect()
        };
        match kind {
            Kind::Services => vec![own(&wire::services(), wire::ptr(wire::service()))],
            Kind::Service => vec![own(&wire::service(), wire::ptr(self.instance.clone()))],
            Kind::Srv => vec![own(&self.instance, wire::srv(self.profile.port, self.host.clone()))],
            Kind::Txt => {
                let id = format!("id={}", self.profile.id);
                wire::txt(&[b"v=1", id.as_bytes()])
                    .map(|data| own(&self.instance, data))
                    .into_iter()
                    .collect()
            }
            Kind::V4 => addresses(IpAddr::is_ipv4),
            Kind::V6 => addresses(IpAddr::is_ipv6),
            Kind::Only => {
                let has = self.present();
                let types = [(Kind::V4, Rtype::A), (Kind::V6, Rtype::AAAA)];
                let types: Vec<Rtype> = types.iter().filter(|(k, _)| has.has(*k)).map(|(_, t)| *t).collect();
                vec![own(&self.host, wire::only(self.host.clone(), &types))]
            }
        }
    }

    /// What answers this question.
    fn asked(&self, question: &wire::Asked<'_>) -> Kinds {
        if question.class != Class::IN && question.class != Class::ANY {
            return Kinds::NONE;
        }
        let any = question.rtype == Rtype::ANY;
        let found = Kinds::select(|kind| {
            (kind != Kind::Only || question.rtype == Rtype::NSEC)
                && self
                    .records_of(kind)
                    .iter()
                    .any(|own| question.name == own.owner && (any || question.rtype == rtype(&own.data)))
        });
        // The host is ours, so we know what it does not have (6.1).
        let nothing = found.is_empty() && question.name == self.host;
        if nothing { Kinds::one(Kind::Only) } else { found }
    }

    /// What the asker knows already, with at least half of its lifetime left (7.1). Addresses: all of a family.
    fn known(&self, message: &Message<&[u8]>) -> Kinds {
        let ours: Vec<(Kind, Own)> =
            Kind::ALL.iter().flat_map(|k| self.records_of(*k).into_iter().map(|own| (*k, own))).collect();
        let mut unknown = Kinds::NONE;
        for (kind, own) in &ours {
            let is_known = wire::answers(message)
                .any(|r| r.ttl >= own.ttl / 2 && r.owner == own.owner && r.data == own.data);
            if !is_known {
                unknown = unknown.with(Kinds::one(*kind));
            }
        }
        Kinds(u8::MAX).without(unknown)
    }

    fn answer(&mut self, now: Mono, from: Sender, message: &Message<&[u8]>, random: &mut dyn Random) {
        let known = self.known(message);
        let counts = message.header_counts();
        let more = message.header().tc();
        if counts.qdcount() == 0 {
            return self.hear_more(now, from, known, more, random);
        }
        let (mut by_unicast, mut by_multicast) = (Kinds::NONE, Kinds::NONE);
        for question in wire::questions(message) {
            let kinds = self.asked(&question).without(known);
            // Who has more known answers to tell may know this one, and is waited for (7.2).
            if question.unicast && from.near && !more {
                by_unicast = by_unicast.with(kinds);
            } else {
                by_multicast = by_multicast.with(kinds);
            }
        }
        if from.address.port() != PORT {
            if from.near {
                self.answer_legacy(from, message, by_unicast.with(by_multicast));
            }
            return;
        }
        // Once is enough: who asks for it is not the only one to hear it.
        let by_unicast = by_unicast.without(by_multicast);
        let extra = self.records(self.beside(by_unicast).without(known));
        self.push(Some(from.address), wire::response(&Form::Usual, &self.records(by_unicast), &extra));
        // What the others have not heard for a while, they hear too, and not instead, as 5.4 has it: who asks does not wait.
        let stale = Kinds::select(|k| self.sent.at(k).is_none_or(|at| now.since(at) >= quarter(k)));
        let by_multicast = by_multicast.with(Kinds(by_unicast.0 & stale.0));
        if more && !by_multicast.is_empty() && self.patient.is_none() {
            let due = now.after(between(random, MORE_DELAY_MS));
            self.patient = Some(Patient { who: from.address, wanted: by_multicast, due });
            return;
        }
        let is_shared = by_multicast.iter().any(Kind::is_shared);
        let delay = if is_shared { between(random, SHARED_DELAY_MS) } else { Duration::ZERO };
        let gap = if counts.nscount() > 0 { DEFEND_EVERY } else { REPEAT_EVERY };
        self.schedule_after(now, delay, by_multicast, gap);
    }

    /// A message without questions goes on with the known answers of the one before.
    fn hear_more(&mut self, now: Mono, from: Sender, known: Kinds, more: bool, random: &mut dyn Random) {
        let Some(patient) = self.patient.as_mut().filter(|p| p.who == from.address) else { return };
        patient.wanted = patient.wanted.without(known);
        if more {
            patient.due = now.after(between(random, MORE_DELAY_MS));
        }
    }

    fn answer_legacy(&mut self, from: Sender, message: &Message<&[u8]>, wanted: Kinds) {
        let question = wire::questions(message).next().map(|q| (to_owned(&q.name), q.rtype));
        let form = Form::Legacy { id: message.header().id(), question };
        let extra = self.records(self.beside(wanted));
        self.push(Some(from.address), wire::response(&form, &self.records(wanted), &extra));
    }

    fn schedule(&mut self, now: Mono, kinds: Kinds, gap: Duration) {
        self.schedule_after(now, Duration::ZERO, kinds, gap);
    }

    /// To be multicast after `delay`, but not within `gap` of the last time. What is due earlier stays so.
    fn schedule_after(&mut self, now: Mono, delay: Duration, kinds: Kinds, gap: Duration) {
        for kind in kinds.iter() {
            let allowed = self.sent.at(kind).map(|at| at.after(gap));
            let at = allowed.map_or(now, |a| a.max(now)).max(now.after(delay));
            self.due.set(kind, Some(self.due.at(kind).map_or(at, |due| due.min(at))));
        }
    }

    /// What will be asked for next by who hears `answers` (RFC 6763, 12).
    fn beside(&self, answers: Kinds) -> Kinds {
        let mut more = Kinds::NONE;
        if answers.has(Kind::Service) {
            more = more.with(Kinds::of(&[Kind::Srv, Kind::Txt, Kind::V4, Kind::V6]));
        }
        if answers.has(Kind::Srv) || answers.has(Kind::V4) || answers.has(Kind::V6) {
            more = more.with(Kinds::of(&[Kind::V4, Kind::V6]));
        }
        more.without(answers)
    }

    /// Multicasts what is due.
    fn flush(&mut self, now: Mono) {
        let due = Kinds::select(|k| self.due.at(k).is_some_and(|at| at <= now));
        if due.is_empty() {
            return;
        }
        let recent = Kinds::select(|k| self.sent.at(k).is_some_and(|at| now.since(at) < REPEAT_EVERY));
        let more = self.beside(due).without(recent);
        for kind in due.with(more).iter() {
            self.due.set(kind, None);
            self.sent.set(kind, Some(now));
        }
        self.push(None, wire::response(&Form::Usual, &self.records(due), &self.records(more)));
    }

    fn push(&mut self, to: Option<SocketAddr>, bytes: Option<Vec<u8>>) {
        if let Some(bytes) = bytes {
            // Full: dropped; whoever asked asks again.
            let _ = self.out.push_back(Packet { to, bytes });
        }
    }
}

/// A quarter of a kind's lifetime.
fn quarter(kind: Kind) -> Duration {
    Duration::from_secs(u64::from(kind.ttl() / 4))
}

fn rtype(data: &impl domain::base::RecordData) -> Rtype {
    data.rtype()
}

fn to_owned(name: &impl domain::base::ToName) -> Owned {
    name.to_name()
}
