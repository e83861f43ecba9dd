//! The MQTT packets as the session speaks of them: a small closed profile. A leaf of this domain.
//!
//! QoS 0 and 1 only, no AUTH, no shared subscriptions, clean start always: what every MQTT 5 broker has. MQTT 3.1.1 is the
//! declared lower profile: the same packets, without reason codes, properties and will delay.

use super::topics::{TOPIC_MAX, Topic};
use crate::random::{self, Random};

/// Largest payload that either end of ours sends, in bytes. What a stranger sends can be a little longer, up to the packet.
pub const PAYLOAD_MAX: usize = 16 * 1024;
/// Largest packet taken from the broker in bytes.
pub const PACKET_MAX: usize = PAYLOAD_MAX + TOPIC_MAX + 1024;
/// Filters in one SUBSCRIBE: some services take no more.
pub const FILTERS_MAX: usize = 8;

/// An MQTT client id.
pub type ClientId = heapless::String<23>;

/// A client id for one connection beside a NAS's own session: 20 letters, `a` to `p`, which every broker allows.
pub fn fresh_client_id(random: &mut dyn Random) -> ClientId {
    let mut id = ClientId::new();
    for byte in random::bytes::<20>(random) {
        // 20 characters fit.
        let _ = id.push(char::from(b'a' + (byte & 15)));
    }
    id
}

/// Topic filters of one packet, at most [`FILTERS_MAX`] of them.
pub type Filters = Vec<Topic>;

/// The protocol spoken on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// MQTT 5: what is tried first.
    #[default]
    V5,
    /// MQTT 3.1.1: for brokers that refuse 5.
    V311,
}

impl Level {
    /// The version as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        }
    }
}

/// What the broker publishes for us if the connection ends without our word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where.
    pub topic: Topic,
    /// What.
    pub payload: Vec<u8>,
    /// How long the broker waits for us to come back, in seconds.
    pub delay_s: u32,
}

/// To the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// Opens the MQTT session; user and password are added by the shell.
    Connect {
        /// The protocol that this connection speaks from now on.
        level: Level,
        /// At most 23 characters of `[0-9a-z]`.
        client_id: ClientId,
        /// Seconds.
        keepalive_s: u16,
        /// For presence; devices have none.
        will: Option<Will>,
    },
    /// Asks for topics at QoS 1.
    Subscribe {
        /// Packet id.
        id: u16,
        /// Topics; no wildcards.
        filters: Filters,
    },
    /// Takes topics back.
    Unsubscribe {
        /// Packet id.
        id: u16,
        /// Topics.
        filters: Filters,
    },
    /// A message.
    Publish {
        /// Where.
        topic: Topic,
        /// What.
        payload: Vec<u8>,
        /// Keep a copy for later subscribers.
        retain: bool,
        /// Packet id; with it QoS 1, without QoS 0.
        id: Option<u16>,
    },
    /// Confirms a message at QoS 1.
    Puback(u16),
    /// Are you there?
    Ping,
    /// Good-bye.
    Disconnect,
}

/// What the broker said of itself at connect (MQTT 5, 3.2.2.3), or what MQTT 3.1.1 implies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol it took.
    pub level: Level,
    /// Keepalive the broker wants instead of ours.
    pub keepalive_s: Option<u16>,
    /// QoS 1 messages that may be in flight to it.
    pub receive_max: u16,
    /// Largest packet it takes in bytes.
    pub packet_max: Option<u32>,
    /// Whether it keeps copies.
    pub retain: bool,
    /// Whether it takes QoS 1.
    pub qos1: bool,
    /// Whether it takes wildcards in filters. Not needed here; operators want to know.
    pub wildcards: bool,
    /// Whether it takes shared subscriptions. Not needed here either.
    pub shared: bool,
    /// How long it keeps the session after a loss, if it changed what was asked (0).
    pub session_expiry_s: Option<u32>,
    /// Whether it gave another client id than the one that was asked for.
    pub renamed: bool,
    /// Window of the first try after a loss, by the operator's user property [`SPREAD_PROPERTY`].
    pub spread_s: Option<u16>,
}

/// Name of the user property in CONNACK and DISCONNECT by which an operator sets, in seconds, the window over which agents
/// come back after a loss.
pub const SPREAD_PROPERTY: &str = "moorline-spread-s";

impl Welcome {
    /// Of a broker that says nothing of itself: everything is there (MQTT 5, 3.2.2.3 gives these defaults).
    pub const fn plain(level: Level) -> Self {
        Self {
            level,
            keepalive_s: None,
            receive_max: u16::MAX,
            packet_max: None,
            retain: true,
            qos1: true,
            wildcards: true,
            shared: matches!(level, Level::V5),
            session_expiry_s: None,
            renamed: false,
            spread_s: None,
        }
    }

    /// What is done without because of it, in words.
    pub fn switched_off(&self) -> impl Iterator<Item = &'static str> {
        let lower = self.level == Level::V311;
        [
            (!self.retain, "presence is not kept for those who look later: the broker keeps no copies"),
            (lower, "presence goes offline at once on a loss: MQTT 3.1.1 has no will delay"),
            (lower, "a refused message is not noticed: MQTT 3.1.1 has no reason codes"),
            (lower && !self.retain, "a clone of this NAS cannot be told from a lost connection"),
        ]
        .into_iter()
        .filter_map(|(off, what)| off.then_some(what))
    }
}

/// From the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// The login succeeded.
    Welcome(Welcome),
    /// The login failed with this reason code.
    Rejected(u8),
    /// An answer to Subscribe: the first refusal's reason code, if any.
    Subscribed {
        /// Of the Subscribe.
        id: u16,
        /// 0x80 or above.
        refused: Option<u8>,
    },
    /// An answer to Unsubscribe.
    Unsubscribed {
        /// Of the Unsubscribe.
        id: u16,
    },
    /// A message.
    Message {
        /// Where.
        topic: Topic,
        /// What.
        payload: Vec<u8>,
        /// To be confirmed with this packet id.
        id: Option<u16>,
    },
    /// A message of ours arrived, or was refused (0x80 or above).
    Puback {
        /// Of the Publish.
        id: u16,
        /// Reason code.
        reason: u8,
    },
    /// I am here.
    Pong,
    /// The broker ends the session.
    Disconnect {
        /// Why (MQTT 5, 3.14.2.1).
        reason: u8,
        /// As [`Welcome::spread_s`].
        spread_s: Option<u16>,
    },
}
