//! One agent's session in a world of faults.
//!
//! The fault model: at random times the network, the name servers or the broker change their behaviour, one at a time or several
//! together; messages may be lost without a trace; the process may be stopped. At a known moment everything heals. From then on
//! the machine must be online within a bound; and at no time may it break a promise, whatever the world does:
//!
//! * attempts are at least 250 ms apart, and few while the broker refuses;
//! * no connection is opened before the last one was thrown away;
//! * never online for longer than keepalive and deadline without having heard anything;
//! * no timer lies in the past, so nothing spins.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use moorline::random::{self, Seeded};
use moorline::session::cause::{Cause, TlsFault};
use moorline::session::machine::{Action, Machine, Settings};
use moorline::session::packet::{Inbound, Level, Outbound, Welcome, Will};
use moorline::session::reach::{Cut, Network, Reach};
use moorline::session::record::Phase;
use moorline::session::topics::Topics;
use moorline::units::Mono;

/// Kinds of faults; the names are in [`Fault::name`].
pub const FAULTS: usize = 16;
/// Faults of one schedule.
const FAULTS_MAX: u64 = 12;
/// Longest time between two of them.
const GAP_MAX_MS: u64 = 400_000;
/// From the healing to a confirmed session, at most. The longest wait is the one after a clone (600 s) or a slow retry (330 s);
/// before it a probe may have to run out, after it an attempt may be under way that the healing came too late for.
const BACK_WITHIN: Duration = Duration::from_secs(600 + 30);
/// While online something was heard within the longest keepalive and a probe's deadline.
const HEARD_WITHIN: Duration = Duration::from_secs(240 + 10 + 1);
/// Attempts in ten minutes while the broker refuses all of them.
const REFUSED_ATTEMPTS_MAX: usize = 40;
const LATENCY_MS: u64 = 40;

/// What is wrong with the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    Cut(Cut4),
    NamesSilent,
    NamesUnknown,
    Portal,
    Refused,
    BlackHole,
    MuteBroker,
    HalfOpen,
    Expired,
    Rejects(u8),
    NoRights,
    NoEcho,
    Closes,
    TakenOver,
    Only311,
    Lossy,
    Stopped,
}

/// [`Cut`] with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cut4 {
    Link,
    Address,
    Route,
}

impl Fault {
    fn draw(random: &mut Seeded) -> Self {
        let below = |random: &mut Seeded, n| random::below(random, n);
        match below(random, 17) {
            0 => Self::Cut([Cut4::Link, Cut4::Address, Cut4::Route][below(random, 3) as usize]),
            1 => Self::NamesSilent,
            2 => Self::NamesUnknown,
            3 => Self::Portal,
            4 => Self::Refused,
            5 => Self::BlackHole,
            6 => Self::MuteBroker,
            7 => Self::HalfOpen,
            8 => Self::Expired,
            9 => Self::Rejects(0x80 + below(random, 0x20) as u8),
            10 => Self::NoRights,
            11 => Self::NoEcho,
            12 => Self::Closes,
            13 => Self::TakenOver,
            14 => Self::Only311,
            15 => Self::Lossy,
            _ => Self::Stopped,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Cut(_) => "cut",
            Self::NamesSilent => "names-silent",
            Self::NamesUnknown => "names-unknown",
            Self::Portal => "portal",
            Self::Refused => "refused",
            Self::BlackHole => "black-hole",
            Self::MuteBroker => "mute-broker",
            Self::HalfOpen => "half-open",
            Self::Expired => "expired",
            Self::Rejects(_) => "rejects",
            Self::NoRights => "no-rights",
            Self::NoEcho => "no-echo",
            Self::Closes | Self::TakenOver => "ends",
            Self::Only311 => "only-3.1.1",
            Self::Lossy => "lossy",
            Self::Stopped => "stopped",
        }
    }
}

/// A promise broken on purpose, to show that it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The owner's impatience: a timer for waiting fires at once.
    SkipWaits,
    /// The shell forgets to hang up.
    NoHangup,
    /// The shell forgets timers while online.
    DeafToTimers,
    /// The world never heals.
    NeverBack,
}

/// What became of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub violation: Option<String>,
    pub attempts: u64,
    pub losses: u64,
    pub confirmed: u64,
    pub virtual_s: u64,
    pub back_after_s: u64,
    pub faults: Vec<&'static str>,
    /// Of everything that happened, in its order.
    pub trace: u64,
}

/// What will happen to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Coming {
    Resolved(bool, bool),
    Opened,
    Connected,
    Failed(Cause),
    Packet(Inbound),
}

struct World {
    machine: Machine,
    random: Seeded,
    /// The world's own dice.
    dice: Seeded,
    now: Mono,
    faults: Vec<Fault>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    coming: Vec<Option<(u64, Coming)>>,
    /// Number of the present connection; what was under way for another one is dropped.
    connection: u64,
    /// A connection of the machine's that was not thrown away yet.
    is_open: bool,
    level: Level,
    heard: Mono,
    attempts: Vec<u64>,
    refused: Vec<u64>,
    losses: u64,
    violation: Option<String>,
    hasher: DefaultHasher,
    broken: Option<Broken>,
    is_told: bool,
}

/// Runs one schedule.
pub fn run(seed: u64, is_told: bool) -> Outcome {
    play(seed, is_told, None)
}

/// Runs one schedule with a promise broken.
pub fn run_broken(seed: u64, broken: Broken) -> Outcome {
    play(seed, false, Some(broken))
}

fn play(seed: u64, is_told: bool, broken: Option<Broken>) -> Outcome {
    let mut world = World::new(seed, is_told, broken);
    let mut names = Vec::new();
    world.machine.handle_enabled(world.now, true);
    world.settle();
    let count = 1 + random::below(&mut world.dice, FAULTS_MAX);
    for _ in 0..count {
        let gap = random::below(&mut world.dice, GAP_MAX_MS);
        world.pass(gap);
        if random::below(&mut world.dice, 2) == 0 {
            world.heal();
        }
        let fault = Fault::draw(&mut world.dice);
        names.push(fault.name());
        world.strike(fault);
    }
    let gap = random::below(&mut world.dice, GAP_MAX_MS);
    world.pass(gap);
    if broken == Some(Broken::NeverBack) {
        world.strike(Fault::Refused);
    } else {
        world.heal();
    }
    let healed = world.now;
    let step = 250;
    // What the last fault left behind in routers comes out at once.
    world.pass(1_000);
    while world.machine.phase() != Phase::Online && world.now.since(healed) <= BACK_WITHIN {
        world.pass(step);
    }
    let back_after_s = world.now.since(healed).as_secs();
    if world.machine.phase() != Phase::Online {
        world.violate(format!("not online {back_after_s} s after the last fault"));
    }
    // And stays so.
    let losses = world.losses;
    world.pass(3_600_000);
    if world.losses != losses && broken.is_none() {
        world.violate("a session was lost in a healthy world".to_owned());
    }
    let counters = *world.machine.counters();
    Outcome {
        violation: world.violation,
        attempts: counters.attempts,
        losses: world.losses,
        confirmed: counters.round_trips,
        virtual_s: world.now.as_millis() / 1000,
        back_after_s,
        faults: names,
        trace: world.hasher.finish(),
    }
}

impl World {
    fn new(seed: u64, is_told: bool, broken: Option<Broken>) -> Self {
        let topics = Topics::new("moorline".try_into().unwrap(), "0123456789abcdefghjk".parse().unwrap());
        let settings = Settings {
            keepalive: Duration::from_secs(60),
            backoff_max: Duration::from_secs(300),
            spread: Duration::from_secs(10),
            client_id: "0123456789abcdefghjk".try_into().unwrap(),
        };
        let now = Mono::from_millis(1_000_000);
        Self {
            machine: Machine::new(settings, topics, now),
            random: Seeded::new(seed),
            dice: Seeded::new(seed ^ 0x5eed_5eed_5eed),
            now,
            faults: Vec::new(),
            queue: BinaryHeap::new(),
            coming: Vec::new(),
            connection: 0,
            is_open: false,
            level: Level::V5,
            heard: now,
            attempts: Vec::new(),
            refused: Vec::new(),
            losses: 0,
            violation: None,
            hasher: DefaultHasher::new(),
            broken,
            is_told,
        }
    }

    fn violate(&mut self, what: String) {
        if self.is_told {
            println!("{:10.3} VIOLATION {what}", self.now.as_millis() as f64 / 1000.0);
        }
        self.violation.get_or_insert(what);
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    // ---- the world changes ----

    fn strike(&mut self, fault: Fault) {
        if self.is_told {
            println!("{:10.3} fault {fault:?}", self.now.as_millis() as f64 / 1000.0);
        }
        match fault {
            Fault::Stopped => {
                // Nobody is there to handle anything; then all of it comes at once.
                let pause = random::below(&mut self.dice, 900_000);
                self.now = self.now.after(Duration::from_millis(pause));
                self.heard = self.now;
                return;
            }
            Fault::Closes => self.later(0, Coming::Failed(Cause::Closed)),
            Fault::TakenOver => {
                self.later(0, Coming::Packet(Inbound::Disconnect { reason: 0x8e, spread_s: None }));
            }
            _ => self.faults.push(fault),
        }
        self.tell_reach();
    }

    fn heal(&mut self) {
        if self.is_told {
            println!("{:10.3} healed", self.now.as_millis() as f64 / 1000.0);
        }
        let was_half_open = self.has(Fault::HalfOpen);
        self.faults.clear();
        if was_half_open {
            // The router has forgotten the connection: its answer to the next packet is a reset, or nothing; here a reset.
            self.later(100, Coming::Failed(Cause::Closed));
        }
        self.tell_reach();
    }

    fn tell_reach(&mut self) {
        let cut = self.faults.iter().find_map(|f| match f {
            Fault::Cut(Cut4::Link) => Some(Cut::NoLink),
            Fault::Cut(Cut4::Address) => Some(Cut::NoAddress),
            Fault::Cut(Cut4::Route) => Some(Cut::NoRoute),
            _ => None,
        });
        let network = Network { reach: cut.map_or(Reach::Usable, Reach::Cut), gateway: None };
        self.machine.handle_network(self.now, network, &mut self.random);
        self.settle();
    }

    // ---- time ----

    fn later(&mut self, ms: u64, what: Coming) {
        let at = self.now.as_millis() + ms;
        self.queue.push(Reverse((at, self.coming.len() as u64)));
        self.coming.push(Some((self.connection, what)));
    }

    /// Lets time pass, timers and messages in their order.
    fn pass(&mut self, ms: u64) {
        let end = self.now.after(Duration::from_millis(ms));
        let mut at_once = 0;
        for _ in 0..2_000_000 {
            let timer = self.machine.poll_timeout().filter(|_| !self.is_deaf());
            let message = self.queue.peek().map(|Reverse((at, _))| Mono::from_millis(*at));
            match (timer, message) {
                (timer, Some(at)) if at <= end && timer.is_none_or(|t| at <= t) => {
                    self.now = self.now.max(at);
                    self.arrive();
                }
                (Some(at), _) if at <= end => {
                    self.now = self.now.max(at);
                    self.machine.handle_timeout(self.now, &mut self.random);
                    self.settle();
                    // A retry without a wait is due at once; a timer that stays due is a loop without end.
                    let is_due = self.machine.poll_timeout().is_some_and(|next| next <= self.now);
                    at_once = if is_due { at_once + 1 } else { 0 };
                    if at_once > 3 {
                        self.violate("a timer that stays in the past: it would spin".to_owned());
                        break;
                    }
                }
                _ => break,
            }
            self.watch();
        }
        self.now = end;
        self.watch();
    }

    fn is_deaf(&self) -> bool {
        self.broken == Some(Broken::DeafToTimers) && self.machine.phase() == Phase::Online
    }

    /// The promises that hold at every moment.
    fn watch(&mut self) {
        if self.broken == Some(Broken::SkipWaits)
            && let Some(until) = self.machine.next_try()
        {
            self.machine.handle_timeout(until, &mut self.random);
            self.settle();
        }
        if self.machine.phase() == Phase::Online && self.now.since(self.heard) > HEARD_WITHIN {
            self.violate(format!("online and silent for {} s", self.now.since(self.heard).as_secs()));
        }
    }

    fn arrive(&mut self) {
        let Some(Reverse((_, index))) = self.queue.pop() else { return };
        let Some((connection, what)) = self.coming[index as usize].take() else { return };
        if connection != self.connection {
            return;
        }
        (self.now.as_millis(), format!("{what:?}")).hash(&mut self.hasher);
        let before = self.machine.phase();
        let address: SocketAddr = "192.0.2.1:8883".parse().unwrap();
        let portal: SocketAddr = "192.0.2.80:8883".parse().unwrap();
        match what {
            Coming::Resolved(true, lies) => {
                let found = if lies { portal } else { address };
                self.machine.handle_resolved(self.now, Ok(vec![found]), &mut self.random);
            }
            Coming::Resolved(false, _) => {
                let cause = if self.has(Fault::NamesUnknown) {
                    Cause::NameUnknown
                } else {
                    Cause::NameServers("192.0.2.53 did not answer".try_into().unwrap())
                };
                self.machine.handle_resolved(self.now, Err(cause), &mut self.random);
            }
            Coming::Opened => self.machine.handle_opened(self.now, address),
            Coming::Connected => {
                let will = Will { topic: self.machine.topics().presence(), payload: vec![], delay_s: 0 };
                self.machine.handle_connected(self.now, will);
            }
            Coming::Failed(cause) => {
                self.is_open = false;
                self.machine.handle_failed(self.now, cause, &mut self.random);
            }
            Coming::Packet(packet) => {
                self.heard = self.now;
                self.machine.handle_packet(self.now, packet, &mut self.random);
            }
        }
        if before == Phase::Online && self.machine.phase() != Phase::Online {
            self.losses += 1;
        }
        self.settle();
    }

    // ---- the shell ----

    fn settle(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Resolve => self.resolve(),
                Action::Dial(addresses) => self.dial(&addresses),
                Action::Hangup | Action::Goodbye(_) => {
                    if self.broken != Some(Broken::NoHangup) {
                        self.is_open = false;
                        self.connection += 1;
                    }
                }
                Action::Send(packet) => self.send(&packet),
                Action::Deliver(..) => {}
                Action::Changed(change) => {
                    if self.is_told {
                        println!(
                            "{:10.3} {} -> {} {:?}",
                            self.now.as_millis() as f64 / 1000.0,
                            change.from.name(),
                            change.to.name(),
                            change.cause
                        );
                    }
                }
            }
        }
        let _ = self.machine.poll_presence();
    }

    fn resolve(&mut self) {
        let now = self.now.as_millis();
        if self.attempts.last().is_some_and(|last| now - last < 250) {
            self.violate(format!(
                "faster than allowed: {} ms after the last attempt",
                now - self.attempts.last().unwrap()
            ));
        }
        self.attempts.push(now);
        if self.has(Fault::NamesSilent) || self.has(Fault::NamesUnknown) {
            let ms = if self.has(Fault::NamesSilent) { 3500 } else { LATENCY_MS };
            return self.later(ms, Coming::Resolved(false, false));
        }
        self.later(LATENCY_MS, Coming::Resolved(true, self.has(Fault::Portal)));
    }

    fn dial(&mut self, addresses: &[SocketAddr]) {
        if self.is_open {
            self.violate("two connections at once".to_owned());
        }
        self.connection += 1;
        self.is_open = true;
        if self.has(Fault::Refused) {
            self.note_refused();
            return self.later(LATENCY_MS, Coming::Failed(Cause::Refused));
        }
        self.refused.clear();
        if self.has(Fault::BlackHole) || self.faults.iter().any(|f| matches!(f, Fault::Cut(_))) {
            return;
        }
        self.later(LATENCY_MS, Coming::Opened);
        let is_portal = addresses.first().is_some_and(|a| a.ip().to_string() == "192.0.2.80");
        if is_portal || self.has(Fault::Expired) {
            let fault = if is_portal { TlsFault::UnknownIssuer } else { TlsFault::Expired };
            return self.later(2 * LATENCY_MS, Coming::Failed(Cause::Tls(fault)));
        }
        if !self.has(Fault::MuteBroker) {
            self.later(2 * LATENCY_MS, Coming::Connected);
        }
    }

    fn note_refused(&mut self) {
        let now = self.now.as_millis();
        self.refused.push(now);
        self.refused.retain(|at| now - at < 600_000);
        if self.refused.len() > REFUSED_ATTEMPTS_MAX {
            self.violate(format!("faster than the back-off: {} attempts in ten minutes", self.refused.len()));
        }
    }

    /// The broker, and the way to it.
    fn send(&mut self, packet: &Outbound) {
        let lost = self.has(Fault::HalfOpen)
            || self.has(Fault::BlackHole)
            || self.faults.iter().any(|f| matches!(f, Fault::Cut(_)))
            || (self.has(Fault::Lossy) && random::below(&mut self.dice, 4) == 0);
        if lost {
            return;
        }
        if let Outbound::Connect { level, .. } = packet {
            self.level = *level;
            if self.has(Fault::Only311) && *level == Level::V5 {
                return self.later(LATENCY_MS, Coming::Packet(Inbound::Rejected(0x84)));
            }
        }
        let rejects =
            self.faults.iter().find_map(|f| if let Fault::Rejects(code) = f { Some(*code) } else { None });
        let reply = match packet {
            Outbound::Connect { .. } => match rejects {
                Some(code) => Inbound::Rejected(code),
                None => Inbound::Welcome(Welcome::plain(self.level)),
            },
            Outbound::Subscribe { id, .. } => {
                Inbound::Subscribed { id: *id, refused: self.has(Fault::NoRights).then_some(0x87) }
            }
            Outbound::Unsubscribe { id, .. } => Inbound::Unsubscribed { id: *id },
            Outbound::Publish { id: Some(id), .. } => Inbound::Puback { id: *id, reason: 0 },
            Outbound::Publish { topic, payload, id: None, .. } if !self.has(Fault::NoEcho) => {
                Inbound::Message { topic: topic.clone(), payload: payload.clone(), id: None }
            }
            Outbound::Ping => Inbound::Pong,
            Outbound::Publish { .. } | Outbound::Puback(_) | Outbound::Disconnect => return,
        };
        self.later(LATENCY_MS, Coming::Packet(reply));
    }
}
