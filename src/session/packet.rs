//! The MQTT packets as the session speaks of them: a small closed profile. A leaf of this domain.
//!
//! QoS 0 and 1 only, no AUTH, no shared subscriptions, clean start always: what every MQTT 5 broker has.

use super::topics::{TOPIC_MAX, Topic};

/// Largest payload taken from the broker in bytes. Told to it as the maximum packet size (with room for the topic).
pub const PAYLOAD_MAX: usize = 16 * 1024;
/// Largest packet taken from the broker in bytes.
pub const PACKET_MAX: usize = PAYLOAD_MAX + TOPIC_MAX + 1024;
/// Filters in one SUBSCRIBE: some services take no more.
pub const FILTERS_MAX: usize = 8;

/// Topic filters of one packet, at most [`FILTERS_MAX`] of them.
pub type Filters = Vec<Topic>;

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
        /// At most 23 characters of `[0-9a-z]`.
        client_id: heapless::String<23>,
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

/// What the broker said of itself at connect (MQTT 5, 3.2.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
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
    Disconnect(u8),
}
