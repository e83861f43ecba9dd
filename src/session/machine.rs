//! The session's state machine, sans I/O. A core.
//!
//! Inputs: `handle_network`, `handle_enabled`, `handle_topics`, `handle_resolved`, `handle_opened`,
//! `handle_connected`, `handle_failed`, `handle_packet`, `handle_reconnect`, `handle_timeout`. After each of them:
//! drain [`Machine::poll_action`], then arm one timer for [`Machine::poll_timeout`]. *Online* is only what a message of
//! our own, published and received back, has confirmed. Whatever goes wrong ends in `waiting` and from there in a new
//! attempt; there is no way out of the machine but `disabled`.
//!
//! ```text
//! disabled   no-link   no-address   no-route        (conditions; left when they change)
//! waiting ─▶ resolving ─▶ connecting ─▶ tls ─▶ mqtt ─▶ subscribing ─▶ online
//!    ▲            │            │          │      │          │           │
//!    └────────────┴────────────┴──────────┴──────┴──────────┴───────────┘
//! ```

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::addresses::Addresses;
use super::backoff::{self, Backoff, Retry};
use super::cause::{Cause, KEEPALIVE_TIMEOUT, Step, UNSUPPORTED_VERSION};
use super::glance::Glance;
use super::keepalive::Keepalive;
use super::online::{Due, Online};
use super::outbox::Outbox;
use super::packet::{ClientId, Filters, Inbound, Outbound, Welcome, Will};
use super::profile::Profile;
use super::reach::{Cut, Network, Reach};
use super::record::{Counters, History, Phase, Transition};
use super::topics::{Kind, Topic, Topics};
use crate::random::{self, Random};
use crate::units::Mono;

/// Longest wait for the name servers, all of them together.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a TCP connection, all addresses together.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// The same for an address of before, tried because no name server answers: they may be back any moment.
const CONNECT_BY_MEMORY_MAX: Duration = Duration::from_secs(3);
/// Longest wait for each of TLS, CONNACK and the subscriptions.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long the broker waits before it publishes the will: longer than a usual reconnect.
const WILL_DELAY_S: u32 = 45;
/// Without link, address or route the machine tries all the same after this long: the kernel's word may have been missed.
const DOUBT_AFTER: Duration = Duration::from_secs(300);
/// A timer that is handled this late was not late by itself: the process was stopped, or the NAS asleep.
const PAUSE_MIN: Duration = Duration::from_secs(15);
/// What is lost within this time after a pause was lost by it: the broker has nothing to do with it.
const PAUSE_EXPLAINS: Duration = Duration::from_secs(30);
/// Topics that are always wanted: echo, knock and presence.
const FIXED_TOPICS: usize = 3;
/// All topics: those and the mailboxes of every device entry.
pub const TOPICS_MAX: usize = FIXED_TOPICS + crate::pairing::ledger::DEVICES_MAX;
/// Actions of one input: at most a goodbye, a dozen packets and a change.
const ACTIONS_MAX: usize = 64;

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look up the broker's name; answer with `handle_resolved`.
    Resolve,
    /// Connect to one of these, tried in this order; answer with `handle_opened` and `handle_connected` or `handle_failed`.
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
    /// Time between signs of life on a quiet connection, before anything is learnt.
    pub keepalive: Duration,
    /// Largest back-off window.
    pub backoff_max: Duration,
    /// Window of the first try after a loss.
    pub spread: Duration,
    /// MQTT client id.
    pub client_id: ClientId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Entered when the owner switches the cloud off or none is configured; left by switching it on.
    Disabled,
    /// Entered when link, address or route is missing; left when it is back, or by doubt.
    Cut { cut: Cut, doubt: Mono },
    /// Entered after each failure; left when the time has come, at link-up, or when the name servers say something else.
    Waiting { until: Mono, glance: Glance },
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
    network: Network,
    backoff: Backoff,
    keepalive: Keepalive,
    profile: Profile,
    mailboxes: heapless::Vec<Topic, TOPICS_MAX>,
    subscribed: heapless::Vec<Topic, TOPICS_MAX>,
    welcome: Option<Welcome>,
    outbox: Outbox,
    actions: heapless::Deque<Action, ACTIONS_MAX>,
    addresses: Addresses,
    last_lookup: Option<Mono>,
    pause_explains_until: Mono,
    last_pause: Option<(Mono, Duration)>,
    last_failure: Option<Cause>,
    presence_seq: u32,
    presence_wanted: bool,
    counters: Counters,
    history: History,
}

impl Machine {
    /// A machine that does nothing until it is enabled.
    pub fn new(settings: Settings, topics: Topics, now: Mono) -> Self {
        Self {
            backoff: Backoff::new(settings.backoff_max, settings.spread),
            keepalive: Keepalive::new(settings.keepalive),
            settings,
            topics,
            state: State::Disabled,
            enabled: false,
            network: Network { reach: Reach::Usable, gateway: None },
            profile: Profile::new(now),
            mailboxes: heapless::Vec::new(),
            subscribed: heapless::Vec::new(),
            welcome: None,
            outbox: Outbox::default(),
            actions: heapless::Deque::new(),
            addresses: Addresses::default(),
            last_lookup: None,
            pause_explains_until: Mono::default(),
            last_pause: None,
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
            State::Cut { cut: Cut::NoLink, .. } => Phase::NoLink,
            State::Cut { cut: Cut::NoAddress, .. } => Phase::NoAddress,
            State::Cut { cut: Cut::NoRoute, .. } => Phase::NoRoute,
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
            State::Waiting { until, .. } => Some(until),
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
            State::Online(online) => Some(online.confirmed()),
            _ => None,
        }
    }

    /// What is known of the broker's addresses.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The present interval between signs of life on a quiet connection.
    pub fn keepalive(&self) -> Duration {
        let server = self.welcome.as_ref().and_then(|w| w.keepalive_s).filter(|s| *s > 0);
        let learnt = self.keepalive.interval();
        server.map_or(learnt, |s| learnt.min(Duration::from_secs(u64::from(s))))
    }

    /// Counters since the start.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The last time that nobody was there to handle what was due: when that was over, and how late it was by then.
    pub const fn last_pause(&self) -> Option<(Mono, Duration)> {
        self.last_pause
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
            State::Cut { doubt, .. } => Some(*doubt),
            State::Waiting { until, glance } => Some(glance.timeout(*until)),
            State::Resolving { deadline }
            | State::Connecting { deadline }
            | State::Tls { deadline }
            | State::Mqtt { deadline }
            | State::Subscribing { deadline, .. } => Some(*deadline),
            State::Online(online) => Some(online.timeout(self.keepalive())),
        }
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

    /// The network changed, or was looked at again.
    pub fn handle_network(&mut self, now: Mono, network: Network, random: &mut dyn Random) {
        let before = core::mem::replace(&mut self.network, network);
        self.keepalive.handle_gateway(network.gateway);
        if before == network || !self.enabled {
            return;
        }
        match (network.reach, &self.state) {
            // A cure ends a wait at once; so does another router.
            (Reach::Usable, State::Cut { .. } | State::Waiting { .. }) => self.begin(now),
            // The old connection may have survived, or not: it is asked.
            (Reach::Usable | Reach::Cut(Cut::NoRoute), State::Online(_)) => self.doubt(now, random),
            // TCP outlives a route that comes back; an attempt without one ends by itself.
            (Reach::Cut(Cut::NoRoute), State::Subscribing { .. } | State::Disabled) => {}
            (Reach::Cut(cut), _) => self.fail(now, Cause::from(cut), random),
            (Reach::Usable, _) => {}
        }
    }

    /// Whether there is a way out of the box, as it was last told.
    pub const fn reach(&self) -> Reach {
        self.network.reach
    }

    /// The router, as it was last told.
    pub const fn gateway(&self) -> Option<IpAddr> {
        self.network.gateway
    }

    /// What the last attempts failed for may be over: the next one is made now.
    pub fn handle_cure(&mut self, now: Mono) {
        if let State::Waiting { .. } = self.state {
            self.begin(now);
        }
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
        let mailboxes = mailboxes.take(TOPICS_MAX - FIXED_TOPICS).collect();
        // Asked after each event; hardly ever is there anything new.
        let is_new = core::mem::replace(&mut self.mailboxes, mailboxes) != self.mailboxes;
        if is_new && self.is_online() {
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
        match self.state {
            State::Resolving { .. } => {}
            State::Waiting { glance: Glance::UnderWay, .. } if self.addresses.is_news(&answer) => {
                // Something else than what led to somebody else: that is worth an attempt.
                self.start_attempt(now);
            }
            State::Waiting { until, glance: Glance::UnderWay } => {
                let glance = self.next_glance(now, until, random);
                self.state = State::Waiting { until, glance };
                return;
            }
            _ => return,
        }
        match self.addresses.handle_resolved(now, answer) {
            Ok(ordered) => {
                self.counters.dials += 1;
                let by_name = self.addresses.by_memory().is_none();
                let longest = if by_name { CONNECT_MAX } else { CONNECT_BY_MEMORY_MAX };
                self.enter(now, State::Connecting { deadline: now.after(longest) }, None);
                self.act(Action::Dial(ordered));
            }
            Err(cause) => self.fail(now, cause, random),
        }
    }

    /// TCP is open to this address; TLS begins, if there is one.
    pub fn handle_opened(&mut self, now: Mono, peer: SocketAddr) {
        if let State::Connecting { .. } = self.state {
            self.addresses.handle_opened(peer);
            self.enter(now, State::Tls { deadline: now.after(ANSWER_MAX) }, None);
        }
    }

    /// The transport is ready.
    pub fn handle_connected(&mut self, now: Mono, will: Will) {
        if let State::Connecting { .. } | State::Tls { .. } = self.state {
            self.enter(now, State::Mqtt { deadline: now.after(ANSWER_MAX) }, None);
            let will = Some(Will { delay_s: WILL_DELAY_S, ..will });
            let keepalive_s = self.keepalive.declared_s();
            let client_id = self.settings.client_id.clone();
            let level = self.profile.handle_login(now);
            self.send(Outbound::Connect { level, client_id, keepalive_s, will });
        }
    }

    /// The transport could not be made or is gone.
    pub fn handle_failed(&mut self, now: Mono, cause: Cause, random: &mut dyn Random) {
        match self.state {
            State::Disabled | State::Cut { .. } | State::Waiting { .. } => {}
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
        self.note_pause(now);
        if let State::Online(online) = &mut self.state {
            online.handle_received(now);
        }
        match (packet, &self.state) {
            (Inbound::Welcome(welcome), State::Mqtt { .. }) => self.welcomed(now, welcome, random),
            (Inbound::Rejected(code), State::Mqtt { .. }) => self.fail(now, Cause::Rejected(code), random),
            (
                Inbound::Disconnect { reason, spread_s },
                State::Mqtt { .. } | State::Subscribing { .. } | State::Online(_),
            ) => {
                self.set_spread(spread_s);
                self.fail(now, Cause::Ended(reason), random);
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
                self.outbox.handle_acknowledged(id);
                self.flush();
            }
            (Inbound::Pong, State::Online(_)) => {
                if let State::Online(online) = &mut self.state {
                    online.handle_pong();
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
        self.note_pause(now);
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if !due {
            return;
        }
        match self.state.clone() {
            State::Disabled => {}
            State::Waiting { until, .. } if until > now => self.glance(now, until),
            State::Cut { .. } | State::Waiting { .. } => self.attempt(now),
            State::Resolving { .. } => self.fail(now, Cause::TimedOut(Step::Resolving), random),
            State::Connecting { .. } => self.fail(now, Cause::TimedOut(Step::Connecting), random),
            State::Tls { .. } => self.fail(now, Cause::TimedOut(Step::Tls), random),
            State::Mqtt { .. } => self.fail(now, Cause::TimedOut(Step::Mqtt), random),
            // All subscriptions confirmed and still no echo: the broker drops what we publish.
            State::Subscribing { open: 0, .. } => self.fail(now, Cause::EchoLost, random),
            State::Subscribing { .. } => self.fail(now, Cause::TimedOut(Step::Subscribing), random),
            State::Online(online) => self.online_due(now, online, random),
        }
    }

    /// Publishes at QoS 1, or queues it. `false` if there is no session or no room: nothing was sent.
    pub fn publish(&mut self, topic: Topic, payload: Vec<u8>, retain: bool) -> bool {
        let retain = retain && self.welcome.as_ref().is_some_and(|w| w.retain);
        if !self.is_online() {
            return false;
        }
        if !self.outbox.push(topic, payload, retain) {
            self.counters.publishes_dropped += 1;
            return false;
        }
        self.flush();
        true
    }

    // ---- steps ----

    fn begin(&mut self, now: Mono) {
        match self.network.reach {
            Reach::Cut(cut) => self.enter(now, State::Cut { cut, doubt: now.after(DOUBT_AFTER) }, None),
            // Whatever calls for an attempt, it does not follow the last one at once.
            Reach::Usable => match self.last_lookup.map(|last| last.after(backoff::FLOOR)) {
                Some(until) if until > now => {
                    self.enter(now, State::Waiting { until, glance: Glance::Never }, None);
                }
                Some(_) | None => self.attempt(now),
            },
        }
    }

    fn attempt(&mut self, now: Mono) {
        self.last_lookup = Some(now);
        self.start_attempt(now);
        self.act(Action::Resolve);
    }

    fn start_attempt(&mut self, now: Mono) {
        self.counters.attempts += 1;
        self.addresses.handle_attempt();
        self.enter(now, State::Resolving { deadline: now.after(RESOLVE_MAX) }, None);
    }

    /// One that is due, but late, leaves it to the attempt.
    fn glance(&mut self, now: Mono, until: Mono) {
        let glance = Glance::at(now, until).begun();
        self.state = State::Waiting { until, glance };
        if glance == Glance::UnderWay {
            self.last_lookup = Some(now);
            self.act(Action::Resolve);
        }
    }

    fn next_glance(&mut self, now: Mono, until: Mono, random: &mut dyn Random) -> Glance {
        Glance::at(now.after(self.backoff.draw(Retry::Local, random)), until)
    }

    fn fail(&mut self, now: Mono, cause: Cause, random: &mut dyn Random) {
        let led_astray = self.is_impostor(&cause);
        let retry = self.retry(now, &cause);
        self.learn(now, &cause);
        let mut wait = self.backoff.draw(retry, random);
        if self.addresses.by_memory().is_some() && !self.is_online() {
            self.addresses.handle_memory_failed(now.after(wait));
            wait = self.backoff.draw(Retry::Local, random);
        }
        let earliest = self.last_lookup.unwrap_or_default().after(backoff::FLOOR);
        self.counters.failures += u64::from(cause != Cause::Requested);
        if !matches!(self.actions.back(), Some(Action::Goodbye(_))) {
            self.act(Action::Hangup);
        }
        let next = match self.network.reach {
            Reach::Cut(cut) => State::Cut { cut, doubt: now.after(DOUBT_AFTER) },
            Reach::Usable => {
                let until = now.after(wait).max(earliest);
                let glance = if led_astray { self.next_glance(now, until, random) } else { Glance::Never };
                State::Waiting { until, glance }
            }
        };
        self.last_failure = Some(cause.clone());
        self.enter(now, next, Some(cause));
    }

    /// What kind of wait a failure calls for, where that does not depend on its cause alone.
    fn retry(&self, now: Mono, cause: &Cause) -> Retry {
        let by_pause = matches!(
            cause,
            Cause::Silent
                | Cause::Closed
                | Cause::EchoLost
                | Cause::TimedOut(_)
                | Cause::Ended(KEEPALIVE_TIMEOUT)
        );
        if by_pause && self.pause_explains_until > now {
            return Retry::Now;
        }
        cause.retry(self.is_online())
    }

    /// Whether it means that somebody else than the broker answers there.
    const fn is_impostor(&self, cause: &Cause) -> bool {
        matches!((&self.state, cause), (State::Tls { .. }, Cause::Tls(fault)) if !fault.is_about_dates())
    }

    /// What a failure teaches about router, address and protocol.
    fn learn(&mut self, now: Mono, cause: &Cause) {
        match (&self.state, cause) {
            (State::Online(_), Cause::Silent) if self.pause_explains_until <= now => {
                self.keepalive.handle_loss();
            }
            (State::Tls { .. }, Cause::TimedOut(_)) => self.addresses.handle_stalled(),
            (_, cause) if self.is_impostor(cause) => self.addresses.handle_impostor(),
            (State::Mqtt { .. }, Cause::TimedOut(_)) => {
                self.addresses.handle_stalled();
                self.profile.handle_mute();
            }
            (State::Mqtt { .. }, Cause::Rejected(UNSUPPORTED_VERSION)) => self.profile.handle_unsupported(),
            (State::Mqtt { .. }, Cause::Closed | Cause::Protocol(_) | Cause::Ended(_)) => {
                self.profile.handle_mute();
            }
            _ => {}
        }
    }

    fn set_spread(&mut self, spread_s: Option<u16>) {
        if let Some(seconds) = spread_s {
            self.backoff.set_spread(Duration::from_secs(u64::from(seconds)));
        }
    }

    /// A deadline that is handled long after it was due means that nobody was there to handle it.
    fn note_pause(&mut self, now: Mono) {
        let late = self.poll_timeout().map(|due| now.since(due)).filter(|late| *late >= PAUSE_MIN);
        let Some(late) = late else { return };
        self.counters.pauses += 1;
        self.last_pause = Some((now, late));
        self.pause_explains_until = now.after(PAUSE_EXPLAINS);
        let keepalive = self.keepalive();
        if let State::Online(online) = &mut self.state {
            // Its answer may lie in the socket: it gets the usual time from now on.
            online.handle_pause(now, keepalive);
        }
    }

    /// Asks the broker for a sign of life now, unless that is under way.
    fn doubt(&mut self, now: Mono, random: &mut dyn Random) {
        let keepalive = self.keepalive();
        let State::Online(online) = &mut self.state else { return };
        if let Some(nonce) = online.handle_doubt(now, keepalive, random) {
            self.send_echo(nonce);
            self.send(Outbound::Ping);
        }
    }

    fn enter(&mut self, now: Mono, state: State, cause: Option<Cause>) {
        let from = self.phase();
        self.state = state;
        if !matches!(self.state, State::Subscribing { .. } | State::Online(_)) {
            self.subscribed.clear();
            self.outbox.clear();
            self.welcome = None;
            self.presence_wanted = false;
        }
        if !matches!(
            self.state,
            State::Tls { .. } | State::Mqtt { .. } | State::Subscribing { .. } | State::Online(_)
        ) {
            self.addresses.handle_closed();
        }
        let transition = Transition { at: now, from, to: self.phase(), cause };
        self.history.push(transition.clone());
        self.act(Action::Changed(transition));
    }

    fn welcomed(&mut self, now: Mono, welcome: Welcome, random: &mut dyn Random) {
        if !welcome.qos1 {
            return self.fail(now, Cause::Protocol("it takes no messages at QoS 1"), random);
        }
        self.set_spread(welcome.spread_s);
        self.profile.handle_welcome();
        self.counters.connects += 1;
        let nonce = u64::from_le_bytes(random::bytes(random));
        self.enter(now, State::Subscribing { deadline: now.after(ANSWER_MAX), nonce, open: 1 }, None);
        self.welcome = Some(welcome);
        let first: Filters = vec![self.topics.echo(), self.topics.knock()];
        self.subscribed.extend(first.iter().cloned());
        let id = self.outbox.fresh_id();
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
            State::Online(online) => {
                if let Some(quiet) = online.handle_echo(now, came_back) {
                    self.counters.round_trips += 1;
                    if quiet {
                        self.keepalive.handle_answered();
                    }
                }
            }
            _ => {}
        }
    }

    fn go_online(&mut self, now: Mono) {
        self.counters.round_trips += 1;
        self.last_failure = None;
        self.presence_wanted = true;
        self.addresses.handle_online();
        self.enter(now, State::Online(Online::new(now)), None);
        self.follow_topics();
    }

    fn online_due(&mut self, now: Mono, mut online: Online, random: &mut dyn Random) {
        let due = match online.handle_timeout(now, self.keepalive(), random) {
            Ok(due) => due,
            Err(cause) => return self.fail(now, cause, random),
        };
        self.state = State::Online(online);
        let Due { stable, presence, echo, ping } = due;
        if stable {
            self.backoff.reset();
        }
        self.presence_wanted |= presence;
        if let Some(nonce) = echo {
            self.send_echo(nonce);
        }
        if ping {
            self.send(Outbound::Ping);
        }
    }

    /// Brings the subscriptions in line with the wanted topics.
    fn follow_topics(&mut self) {
        // Presence is listened to for clones; nothing is lost where the broker does not allow that.
        let fixed = [self.topics.echo(), self.topics.knock(), self.topics.presence()];
        let keep = |t: &Topic| fixed.contains(t) || self.mailboxes.contains(t);
        let gone: heapless::Vec<Topic, TOPICS_MAX> =
            self.subscribed.iter().filter(|t| !keep(t)).cloned().collect();
        let wanted = fixed.iter().chain(&self.mailboxes);
        let new: heapless::Vec<Topic, TOPICS_MAX> =
            wanted.filter(|t| !self.subscribed.contains(t)).cloned().collect();
        self.subscribed.retain(|t| !gone.contains(t));
        for chunk in gone.chunks(super::packet::FILTERS_MAX) {
            let id = self.outbox.fresh_id();
            self.send(Outbound::Unsubscribe { id, filters: chunk.to_vec() });
        }
        for chunk in new.chunks(super::packet::FILTERS_MAX) {
            let id = self.outbox.fresh_id();
            self.send(Outbound::Subscribe { id, filters: chunk.to_vec() });
        }
        self.subscribed.extend(new);
    }

    fn flush(&mut self) {
        let window = self.welcome.as_ref().map_or(0, |w| w.receive_max);
        while let Some(message) = self.outbox.poll_publish(window) {
            self.counters.messages_published += 1;
            self.send(message);
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
            | State::Cut { .. }
            | State::Waiting { .. }
            | State::Resolving { .. }
            | State::Connecting { .. }
            | State::Tls { .. }
            | State::Mqtt { .. } => self.act(Action::Hangup),
        }
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
