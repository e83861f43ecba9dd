//! What is remembered of the session: phase names, counters, the ring of transitions. A leaf of this domain.

use super::cause::Cause;
use crate::units::Mono;

/// Transitions that are kept.
pub const HISTORY_MAX: usize = 64;

/// Where the session stands, for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No session is wanted.
    Disabled,
    /// No link has carrier.
    NoLink,
    /// No address.
    NoAddress,
    /// No route to the broker.
    NoRoute,
    /// Looking up the broker's name.
    Resolving,
    /// Opening TCP.
    Connecting,
    /// TLS handshake.
    Tls,
    /// Login sent.
    Mqtt,
    /// Login accepted, topics asked for.
    Subscribing,
    /// A message of our own came back.
    Online,
    /// Until the next attempt.
    Waiting,
}

impl Phase {
    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::NoLink => "no-link",
            Self::NoAddress => "no-address",
            Self::NoRoute => "no-route",
            Self::Resolving => "resolving",
            Self::Connecting => "connecting",
            Self::Tls => "tls",
            Self::Mqtt => "mqtt",
            Self::Subscribing => "subscribing",
            Self::Online => "online",
            Self::Waiting => "waiting",
        }
    }
}

/// One change of phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Mono,
    /// From here.
    pub from: Phase,
    /// To there.
    pub to: Phase,
    /// Why, if something went wrong.
    pub cause: Option<Cause>,
}

/// Counters since the start of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Attempts begun.
    pub attempts: u64,
    /// TCP connections tried.
    pub dials: u64,
    /// Logins accepted.
    pub connects: u64,
    /// Failures and losses.
    pub failures: u64,
    /// Confirmed round trips.
    pub round_trips: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Messages handed to the agent.
    pub messages_delivered: u64,
    /// Messages published at QoS 1.
    pub messages_published: u64,
    /// Messages refused by the broker.
    pub publishes_refused: u64,
    /// Messages that found no room in the queue.
    pub publishes_dropped: u64,
    /// Mailboxes refused by the broker.
    pub subscriptions_refused: u64,
    /// Times that the process was found to have been stopped, or the NAS asleep.
    pub pauses: u64,
}

/// Packets of one TCP connection, as its kernel counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packets {
    /// Sent, repetitions included.
    pub sent: u32,
    /// Sent once more, since nothing acknowledged them.
    pub repeated: u32,
}

/// The last transitions, oldest first.
#[derive(Debug)]
pub struct History {
    ring: heapless::Deque<Transition, HISTORY_MAX>,
    since: Mono,
}

impl History {
    /// Empty; the present phase holds since `now`.
    pub const fn new(now: Mono) -> Self {
        Self { ring: heapless::Deque::new(), since: now }
    }

    /// One more; the oldest makes room.
    pub fn push(&mut self, transition: Transition) {
        if transition.from != transition.to {
            self.since = transition.at;
        }
        if self.ring.is_full() {
            drop(self.ring.pop_front());
        }
        drop(self.ring.push_back(transition));
    }

    /// Since when the present phase holds.
    pub const fn since(&self) -> Mono {
        self.since
    }

    /// When and why a confirmed session was lost last, as far as the ring goes back.
    pub fn last_loss(&self) -> Option<(Mono, &Cause)> {
        let lost = |t: &&Transition| t.from == Phase::Online && t.to != Phase::Online;
        self.ring.iter().rev().filter(lost).find_map(|t| Some((t.at, t.cause.as_ref()?)))
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Transition> {
        self.ring.iter()
    }
}
