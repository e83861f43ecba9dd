//! The session's state machine, sans I/O. A core.
//!
//! Inputs: `handle_reach`, `handle_enabled`, `handle_topics`, `handle_resolved`, `handle_tls_started`,
//! `handle_connected`, `handle_failed`, `handle_packet`, `handle_reconnect`, `handle_timeout`. After each of them:
//! drain [`Machine::poll_action`], then arm one timer for [`Machine::poll_timeout`]. *Online* is only what a message of
//! our own, published and received back, has confirmed. Whatever goes wrong ends in `waiting` and from there in a new
//! attempt; there is no way out of the machine but `disabled`.
//!
//! ```text
//! disabled   no-link   no-address        (conditions; left when they change)
//! waiting ─▶ resolving ─▶ connecting ─▶ tls ─▶ mqtt ─▶ subscribing ─▶ online
//!    ▲            │            │          │      │          │           │
//!    └────────────┴────────────┴──────────┴──────┴──────────┴───────────┘
//! ```

use core::net::SocketAddr;
use core::time::Duration;

use super::backoff::Backoff;
use super::cause::{Cause, Step};
use super::packet::{Filters, Inbound, Outbound, Welcome, Will};
use super::record::{Counters, History, Phase, Transition};
use super::topics::{Kind, Topic, Topics};
use crate::random::{self, Random};
use crate::units::Mono;

/// Longest wait for the name servers: a stub resolver's own 2 × 5 s.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a TCP connection, all addresses together.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// Longest wait for each of TLS, CONNACK and the subscriptions.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a probe.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// A session this old is stable: the back-off falls back to its start.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Even a busy session proves the whole round trip this often.
const CONFIRM_EVERY: Duration = Duration::from_secs(600);
/// How long presence says that the NAS is alive; renewed at half of it.
pub const PRESENCE_LEASE: Duration = Duration::from_secs(600);
/// How long the broker waits before it publishes the will: longer than a usual reconnect.
const WILL_DELAY_S: u32 = 45;
/// Without link or address the machine tries all the same after this long: the kernel's word may have been missed.
const DOUBT_AFTER: Duration = Duration::from_secs(300);
/// Messages at QoS 1 that wait for their PUBACK. cloud.md: at most 10 in flight at any broker.
const IN_FLIGHT_MAX: usize = 10;
/// Messages that wait for a place in flight. When it is full a message is refused; its sender repeats it.
const QUEUE_MAX: usize = 32;
/// Topics: echo, knock and the mailboxes of every device entry.
pub const TOPICS_MAX: usize = 2 + crate::pairing::ledger::DEVICES_MAX;
/// Actions of one input: at most a goodbye, a dozen packets and a change.
const ACTIONS_MAX: usize = 64;

/// What the network allows, from netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No link has carrier.
    NoLink,
    /// No address to reach the broker from.
    NoAddress,
    /// Worth a try.
    Usable,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look up the broker's name; answer with `handle_resolved`.
    Resolve,
    /// Connect to one of these; answer with `handle_tls_started` and `handle_connected` or `handle_failed`.
    Dial(Vec<SocketAddr>),
    /// Throw away whatever there is of a connection, unsent bytes included.
    Hangup,
    /// Send what is queued, this last, then close.
    Goodbye(Outbound),
    /// Send this.
    Send(Outbound),
    /// A message that is not the machine's own, for the agent.
    Deliver(Topic, Vec<u8>),
    /// The phase changed; for the log, the events and the findings.
    Changed(Transition),
}

/// What the operator set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seconds between signs of life.
    pub keepalive: Duration,
    /// Largest back-off window.
    pub backoff_max: Duration,
    /// Window of the first try after a loss.
    pub spread: Duration,
    /// MQTT client id.
    pub client_id: heapless::String<23>,
}

/// A probe under way: our own message and a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe {
    nonce: u64,
    deadline: Mono,
    pong: bool,
}

/// A session that a round trip has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Online {
    since: Mono,
    received: Mono,
    sent: Mono,
    confirmed: Mono,
    presence_due: Mono,
    probe: Option<Probe>,
    stable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Entered when the owner switches the cloud off or none is configured; left by switching it on.
    Disabled,
    /// Entered when no link has carrier; left by link-up, or by doubt.
    NoLink { doubt: Mono },
    /// Entered when there is no address; left by an address, or by doubt.
    NoAddress { doubt: Mono },
    /// Entered after each failure; left when the time has come, or at link-up.
    Waiting { until: Mono },
    /// Entered to start an attempt; left by the answer of the name servers.
    Resolving { deadline: Mono },
    /// Entered with addresses; left when TCP is open.
    Connecting { deadline: Mono },
    /// Entered when TCP is open; left when the transport is ready.
    Tls { deadline: Mono },
    /// Entered when CONNECT was sent; left by CONNACK.
    Mqtt { deadline: Mono },
    /// Entered after CONNACK; left when all subscriptions are confirmed and the echo came back.
    Subscribing { deadline: Mono, nonce: u64, open: u8 },
    /// Entered by the echo; left by loss.
    Online(Online),
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    topics: Topics,
    state: State,
    enabled: bool,
    reach: Reach,
    backoff: Backoff,
    mailboxes: heapless::Vec<Topic, TOPICS_MAX>,
    subscribed: heapless::Vec<Topic, TOPICS_MAX>,
    welcome: Option<Welcome>,
    keepalive: Duration,
    last_id: u16,
    in_flight: heapless::Vec<u16, IN_FLIGHT_MAX>,
    queue: heapless::Deque<Outbound, QUEUE_MAX>,
    actions: heapless::Deque<Action, ACTIONS_MAX>,
    last_failure: Option<Cause>,
    presence_seq: u32,
    presence_wanted: bool,
    counters: Counters,
    history: History,
}

impl Machine {
    /// A machine that does nothing until it is enabled.
    pub fn new(settings: Settings, topics: Topics, now: Mono) -> Self {
        let backoff = Backoff::new(settings.backoff_max, settings.spread);
        let keepalive = settings.keepalive;
        Self {
            settings,
            topics,
            state: State::Disabled,
            enabled: false,
            reach: Reach::Usable,
            backoff,
            mailboxes: heapless::Vec::new(),
            subscribed: heapless::Vec::new(),
            welcome: None,
            keepalive,
            last_id: 0,
            in_flight: heapless::Vec::new(),
            queue: heapless::Deque::new(),
            actions: heapless::Deque::new(),
            last_failure: None,
            presence_seq: 0,
            presence_wanted: false,
            counters: Counters::default(),
            history: History::new(now),
        }
    }

    // ---- what others may know ----

    /// The phase.
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Disabled => Phase::Disabled,
            State::NoLink { .. } => Phase::NoLink,
            State::NoAddress { .. } => Phase::NoAddress,
            State::Waiting { .. } => Phase::Waiting,
            State::Resolving { .. } => Phase::Resolving,
            State::Connecting { .. } => Phase::Connecting,
            State::Tls { .. } => Phase::Tls,
            State::Mqtt { .. } => Phase::Mqtt,
            State::Subscribing { .. } => Phase::Subscribing,
            State::Online(_) => Phase::Online,
        }
    }

    /// Whether a round trip has confirmed the session.
    pub const fn is_online(&self) -> bool {
        matches!(self.state, State::Online(_))
    }

    /// When the next attempt begins, while waiting.
    pub const fn next_try(&self) -> Option<Mono> {
        match self.state {
            State::Waiting { until } => Some(until),
            _ => None,
        }
    }

    /// Why the last attempt failed or the last session ended; `None` while online and before the first failure.
    pub const fn last_failure(&self) -> Option<&Cause> {
        self.last_failure.as_ref()
    }

    /// What the broker said of itself, while connected.
    pub const fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// The last confirmed round trip, while online.
    pub const fn confirmed(&self) -> Option<Mono> {
        match &self.state {
            State::Online(online) => Some(online.confirmed),
            _ => None,
        }
    }

    /// Counters since the start.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The last transitions.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The names of this NAS's topics.
    pub const fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Presence is to be published: `None`, or its number. Its payload holds the date, which is not the machine's.
    pub fn poll_presence(&mut self) -> Option<u32> {
        if !core::mem::take(&mut self.presence_wanted) {
            return None;
        }
        self.presence_seq = self.presence_seq.saturating_add(1);
        Some(self.presence_seq)
    }

    /// When `handle_timeout` is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Mono> {
        match &self.state {
            State::Disabled => None,
            State::NoLink { doubt } | State::NoAddress { doubt } => Some(*doubt),
            State::Waiting { until } => Some(*until),
            State::Resolving { deadline }
            | State::Connecting { deadline }
            | State::Tls { deadline }
            | State::Mqtt { deadline }
            | State::Subscribing { deadline, .. } => Some(*deadline),
            State::Online(online) => Some(self.online_timeout(online)),
        }
    }

    fn online_timeout(&self, online: &Online) -> Mono {
        let probe = match online.probe {
            Some(probe) => probe.deadline,
            None => online.received.after(self.keepalive).min(online.confirmed.after(CONFIRM_EVERY)),
        };
        let stable = if online.stable { None } else { Some(online.since.after(STABLE_AFTER)) };
        let first = probe.min(online.sent.after(self.keepalive)).min(online.presence_due);
        stable.map_or(first, |s| s.min(first))
    }

    // ---- inputs ----

    /// The owner, or the agent for him, wants a session or none.
    pub fn handle_enabled(&mut self, now: Mono, enabled: bool) {
        if self.enabled == enabled {
            return;
        }
        self.enabled = enabled;
        if enabled {
            self.begin(now);
        } else {
            self.say_goodbye();
            self.enter(now, State::Disabled, None);
        }
    }

    /// The network changed.
    pub fn handle_reach(&mut self, now: Mono, reach: Reach, random: &mut dyn Random) {
        let before = core::mem::replace(&mut self.reach, reach);
        if before == reach || !self.enabled {
            return;
        }
        match reach {
            Reach::Usable => match self.state {
                // A cure ends a wait at once.
                State::NoLink { .. } | State::NoAddress { .. } | State::Waiting { .. } => self.begin(now),
                _ => {}
            },
            Reach::NoLink => self.fail(now, Cause::LinkLost, random),
            Reach::NoAddress => self.fail(now, Cause::AddressLost, random),
        }
    }

    /// Whether there is a way out of the box, as it was last told.
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// The owner wants a new session now.
    pub fn handle_reconnect(&mut self, now: Mono, random: &mut dyn Random) {
        if self.enabled {
            self.backoff.reset();
            self.say_goodbye();
            self.fail(now, Cause::Requested, random);
        }
    }

    /// The mailboxes that are to be open from now on.
    pub fn handle_topics(&mut self, mailboxes: impl Iterator<Item = Topic>) {
        self.mailboxes = mailboxes.take(TOPICS_MAX - 2).collect();
        if self.is_online() {
            self.follow_topics();
        }
    }

    /// The name servers' answer.
    pub fn handle_resolved(
        &mut self,
        now: Mono,
        answer: Result<Vec<SocketAddr>, Cause>,
        random: &mut dyn Random,
    ) {
        let State::Resolving { .. } = self.state else { return };
        match answer {
            Ok(addresses) if addresses.is_empty() => self.fail(now, Cause::NameUnknown, random),
            Ok(addresses) => {
                self.counters.dials += 1;
                self.enter(now, State::Connecting { deadline: now.after(CONNECT_MAX) }, None);
                self.act(Action::Dial(addresses));
            }
            Err(cause) => self.fail(now, cause, random),
        }
    }

    /// TCP is open, TLS begins.
    pub fn handle_tls_started(&mut self, now: Mono) {
        if let State::Connecting { .. } = self.state {
            self.enter(now, State::Tls { deadline: now.after(ANSWER_MAX) }, None);
        }
    }

    /// The transport is ready.
    pub fn handle_connected(&mut self, now: Mono, will: Will) {
        if let State::Connecting { .. } | State::Tls { .. } = self.state {
            self.enter(now, State::Mqtt { deadline: now.after(ANSWER_MAX) }, None);
            let keepalive_s = u16::try_from(self.settings.keepalive.as_secs()).unwrap_or(u16::MAX);
            let will = Some(Will { delay_s: WILL_DELAY_S, ..will });
            self.send(Outbound::Connect { client_id: self.settings.client_id.clone(), keepalive_s, will });
        }
    }

    /// The transport could not be made or is gone.
    pub fn handle_failed(&mut self, now: Mono, cause: Cause, random: &mut dyn Random) {
        match self.state {
            State::Disabled | State::NoLink { .. } | State::NoAddress { .. } | State::Waiting { .. } => {}
            State::Resolving { .. }
            | State::Connecting { .. }
            | State::Tls { .. }
            | State::Mqtt { .. }
            | State::Subscribing { .. }
            | State::Online(_) => self.fail(now, cause, random),
        }
    }

    /// The broker sent a packet.
    pub fn handle_packet(&mut self, now: Mono, packet: Inbound, random: &mut dyn Random) {
        self.counters.packets_received += 1;
        if let State::Online(online) = &mut self.state {
            online.received = now;
        }
        match (packet, &self.state) {
            (Inbound::Welcome(welcome), State::Mqtt { .. }) => self.welcomed(now, welcome, random),
            (Inbound::Rejected(code), State::Mqtt { .. }) => self.fail(now, Cause::Rejected(code), random),
            (Inbound::Disconnect(code), State::Subscribing { .. } | State::Online(_)) => {
                self.fail(now, Cause::Ended(code), random);
            }
            (Inbound::Subscribed { refused, .. }, State::Subscribing { .. }) => {
                self.subscription(now, refused, random);
            }
            // A mailbox that was refused stays in the list; its code then cannot be used through this broker.
            (Inbound::Subscribed { refused, .. }, State::Online(_)) => {
                self.counters.subscriptions_refused += u64::from(refused.is_some());
            }
            (Inbound::Message { topic, payload, id }, State::Subscribing { .. } | State::Online(_)) => {
                self.message(now, topic, payload, id);
            }
            (Inbound::Puback { id, reason }, State::Subscribing { .. } | State::Online(_)) => {
                self.counters.publishes_refused += u64::from(reason >= 0x80);
                self.in_flight.retain(|waiting| *waiting != id);
                self.flush();
            }
            (Inbound::Pong, State::Online(_)) => {
                if let State::Online(Online { probe: Some(probe), .. }) = &mut self.state {
                    probe.pong = true;
                }
            }
            (Inbound::Unsubscribed { .. } | Inbound::Pong, State::Subscribing { .. } | State::Online(_)) => {}
            (_, State::Mqtt { .. } | State::Subscribing { .. } | State::Online(_)) => {
                self.fail(now, Cause::Protocol("a packet out of place"), random);
            }
            // Left over from a connection that was thrown away.
            (_, _) => {}
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Mono, random: &mut dyn Random) {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if !due {
            return;
        }
        match self.state.clone() {
            State::Disabled => {}
            State::NoLink { .. } | State::NoAddress { .. } | State::Waiting { .. } => self.attempt(now),
            State::Resolving { .. } => self.fail(now, Cause::TimedOut(Step::Resolving), random),
            State::Connecting { .. } => self.fail(now, Cause::TimedOut(Step::Connecting), random),
            State::Tls { .. } => self.fail(now, Cause::TimedOut(Step::Tls), random),
            State::Mqtt { .. } => self.fail(now, Cause::TimedOut(Step::Mqtt), random),
            // All subscriptions confirmed and still no echo: the broker drops what we publish.
            State::Subscribing { open: 0, .. } => self.fail(now, Cause::EchoLost, random),
            State::Subscribing { .. } => self.fail(now, Cause::TimedOut(Step::Subscribing), random),
            State::Online(online) => self.online_due(now, &online, random),
        }
    }

    /// Publishes at QoS 1, or queues it. `false` if there is no session or no room: nothing was sent.
    pub fn publish(&mut self, topic: Topic, payload: Vec<u8>, retain: bool) -> bool {
        let retain = retain && self.welcome.as_ref().is_some_and(|w| w.retain);
        if !self.is_online() {
            return false;
        }
        if self.queue.push_back(Outbound::Publish { topic, payload, retain, id: None }).is_err() {
            self.counters.publishes_dropped += 1;
            return false;
        }
        self.flush();
        true
    }

    // ---- steps ----

    fn begin(&mut self, now: Mono) {
        match self.reach {
            Reach::NoLink => self.enter(now, State::NoLink { doubt: now.after(DOUBT_AFTER) }, None),
            Reach::NoAddress => self.enter(now, State::NoAddress { doubt: now.after(DOUBT_AFTER) }, None),
            Reach::Usable => self.attempt(now),
        }
    }

    fn attempt(&mut self, now: Mono) {
        self.counters.attempts += 1;
        self.enter(now, State::Resolving { deadline: now.after(RESOLVE_MAX) }, None);
        self.act(Action::Resolve);
    }

    fn fail(&mut self, now: Mono, cause: Cause, random: &mut dyn Random) {
        let was_online = self.is_online();
        let wait = self.backoff.draw(cause.retry(was_online), random);
        self.counters.failures += u64::from(cause != Cause::Requested);
        if !matches!(self.actions.back(), Some(Action::Goodbye(_))) {
            self.act(Action::Hangup);
        }
        let next = match self.reach {
            Reach::NoLink => State::NoLink { doubt: now.after(DOUBT_AFTER) },
            Reach::NoAddress => State::NoAddress { doubt: now.after(DOUBT_AFTER) },
            Reach::Usable => State::Waiting { until: now.after(wait) },
        };
        self.last_failure = Some(cause.clone());
        self.enter(now, next, Some(cause));
    }

    fn enter(&mut self, now: Mono, state: State, cause: Option<Cause>) {
        let from = self.phase();
        self.state = state;
        if !matches!(self.state, State::Subscribing { .. } | State::Online(_)) {
            self.subscribed.clear();
            self.in_flight.clear();
            self.queue.clear();
            self.welcome = None;
            self.presence_wanted = false;
        }
        let transition = Transition { at: now, from, to: self.phase(), cause };
        self.history.push(transition.clone());
        self.act(Action::Changed(transition));
    }

    fn welcomed(&mut self, now: Mono, welcome: Welcome, random: &mut dyn Random) {
        if !welcome.qos1 {
            return self.fail(now, Cause::Protocol("it takes no messages at QoS 1"), random);
        }
        let wanted =
            welcome.keepalive_s.map_or(self.settings.keepalive, |s| Duration::from_secs(u64::from(s)));
        // 0 means that the broker does not mind; we do.
        self.keepalive = if wanted.is_zero() { self.settings.keepalive } else { wanted };
        self.counters.connects += 1;
        let nonce = u64::from_le_bytes(random::bytes(random));
        self.enter(now, State::Subscribing { deadline: now.after(ANSWER_MAX), nonce, open: 1 }, None);
        self.welcome = Some(welcome);
        let first: Filters = vec![self.topics.echo(), self.topics.knock()];
        self.subscribed.extend(first.iter().cloned());
        let id = self.fresh_id();
        self.send(Outbound::Subscribe { id, filters: first });
    }

    fn subscription(&mut self, now: Mono, refused: Option<u8>, random: &mut dyn Random) {
        let State::Subscribing { nonce, open, .. } = &mut self.state else { return };
        let nonce = *nonce;
        *open = open.saturating_sub(1);
        match refused {
            Some(code) => self.fail(now, Cause::SubscribeRefused(code), random),
            None => self.send_echo(nonce),
        }
    }

    fn message(&mut self, now: Mono, topic: Topic, payload: Vec<u8>, id: Option<u16>) {
        if let Some(id) = id {
            self.send(Outbound::Puback(id));
        }
        if self.topics.kind(&topic) != Kind::Echo {
            self.counters.messages_delivered += 1;
            return self.act(Action::Deliver(topic, payload));
        }
        let Ok(bytes) = <[u8; 8]>::try_from(payload.as_slice()) else { return };
        let came_back = u64::from_le_bytes(bytes);
        match &mut self.state {
            State::Subscribing { nonce, .. } if *nonce == came_back => self.go_online(now),
            State::Online(online) if online.probe.is_some_and(|p| p.nonce == came_back) => {
                online.probe = None;
                online.confirmed = now;
                self.counters.round_trips += 1;
            }
            _ => {}
        }
    }

    fn go_online(&mut self, now: Mono) {
        self.counters.round_trips += 1;
        self.last_failure = None;
        self.presence_wanted = true;
        let online = Online {
            since: now,
            received: now,
            sent: now,
            confirmed: now,
            presence_due: now.after(PRESENCE_LEASE / 2),
            probe: None,
            stable: false,
        };
        self.enter(now, State::Online(online), None);
        self.follow_topics();
    }

    fn online_due(&mut self, now: Mono, online: &Online, random: &mut dyn Random) {
        if let Some(probe) = online.probe.filter(|p| p.deadline <= now) {
            let cause = if probe.pong { Cause::EchoLost } else { Cause::Silent };
            return self.fail(now, cause, random);
        }
        let quiet =
            online.received.after(self.keepalive) <= now || online.confirmed.after(CONFIRM_EVERY) <= now;
        let unheard = online.sent.after(self.keepalive) <= now;
        let mut next = online.clone();
        if !next.stable && online.since.after(STABLE_AFTER) <= now {
            next.stable = true;
            self.backoff.reset();
        }
        if online.presence_due <= now {
            next.presence_due = now.after(PRESENCE_LEASE / 2);
            self.presence_wanted = true;
        }
        let mut echo = None;
        if online.probe.is_none() && quiet {
            let nonce = u64::from_le_bytes(random::bytes(random));
            next.probe = Some(Probe { nonce, deadline: now.after(PROBE_MAX), pong: false });
            echo = Some(nonce);
        }
        if echo.is_some() || unheard {
            next.sent = now;
        }
        self.state = State::Online(next);
        if let Some(nonce) = echo {
            self.send_echo(nonce);
        }
        if echo.is_some() || unheard {
            self.send(Outbound::Ping);
        }
    }

    /// Brings the subscriptions in line with the wanted topics.
    fn follow_topics(&mut self) {
        let fixed = [self.topics.echo(), self.topics.knock()];
        let keep = |t: &Topic| fixed.contains(t) || self.mailboxes.contains(t);
        let gone: heapless::Vec<Topic, TOPICS_MAX> =
            self.subscribed.iter().filter(|t| !keep(t)).cloned().collect();
        let new: heapless::Vec<Topic, TOPICS_MAX> =
            self.mailboxes.iter().filter(|t| !self.subscribed.contains(t)).cloned().collect();
        self.subscribed.retain(|t| !gone.contains(t));
        for chunk in gone.chunks(super::packet::FILTERS_MAX) {
            let id = self.fresh_id();
            self.send(Outbound::Unsubscribe { id, filters: chunk.to_vec() });
        }
        for chunk in new.chunks(super::packet::FILTERS_MAX) {
            let id = self.fresh_id();
            self.send(Outbound::Subscribe { id, filters: chunk.to_vec() });
        }
        self.subscribed.extend(new);
    }

    fn flush(&mut self) {
        let window = self.welcome.as_ref().map_or(0, |w| usize::from(w.receive_max));
        while self.in_flight.len() < window.min(IN_FLIGHT_MAX) {
            let Some(Outbound::Publish { topic, payload, retain, .. }) = self.queue.pop_front() else {
                return;
            };
            let id = self.fresh_id();
            // There is room: the loop's condition.
            let _ = self.in_flight.push(id);
            self.counters.messages_published += 1;
            self.send(Outbound::Publish { topic, payload, retain, id: Some(id) });
        }
    }

    fn send_echo(&mut self, nonce: u64) {
        let topic = self.topics.echo();
        self.send(Outbound::Publish {
            topic,
            payload: nonce.to_le_bytes().to_vec(),
            retain: false,
            id: None,
        });
    }

    fn say_goodbye(&mut self) {
        match self.state {
            State::Subscribing { .. } | State::Online(_) => self.act(Action::Goodbye(Outbound::Disconnect)),
            State::Disabled
            | State::NoLink { .. }
            | State::NoAddress { .. }
            | State::Waiting { .. }
            | State::Resolving { .. }
            | State::Connecting { .. }
            | State::Tls { .. }
            | State::Mqtt { .. } => self.act(Action::Hangup),
        }
    }

    fn fresh_id(&mut self) -> u16 {
        // Never 0 (MQTT 5, 2.2.1); at most ten publishes and nine subscriptions are open, so no id is met again early.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    fn send(&mut self, packet: Outbound) {
        self.counters.packets_sent += 1;
        self.act(Action::Send(packet));
    }

    /// When the queue is full the shell has not drained it, which is a bug: the connection is thrown away.
    fn act(&mut self, action: Action) {
        if let Err(action) = self.actions.push_back(action) {
            debug_assert!(false, "actions are drained after each input: {action:?}");
            self.actions.clear();
            drop(self.actions.push_back(Action::Hangup));
        }
    }
}
