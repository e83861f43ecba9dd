//! MQTT on the byte stream: packets in and out, over the packet types of `mqtt-protocol-core`. A core. What MQTT 3.1.1 does
//! otherwise is in `wire311`.
//!
//! Of that crate only the packets are used, not its connection: under mutated input its connection can panic (a PUBLISH
//! at QoS 2 with packet id 0), and this session has its own state machine. This file frames the stream itself, takes
//! only the packet types of our profile and bounds every size before the crate sees a byte.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet::v5_0::{
    Connack, Connect, Disconnect, Pingreq, Puback, Publish, Suback, Subscribe, Unsuback, Unsubscribe,
};
use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Property, Qos, ReceiveMaximum, SubEntry, SubOpts, WillDelayInterval,
};
use mqtt_protocol_core::mqtt::result_code::MqttError;

use super::packet::{Filters, Inbound, Level, Outbound, PACKET_MAX, SPREAD_PROPERTY, Welcome, Will};
use super::topics::Topic;
use super::wire311;

/// Longest length of a packet behind its fixed header (2.1.4).
const LENGTH_MAX: usize = 268_435_455;
/// QoS 1 messages that the broker may have in flight to us.
const RECEIVE_MAX: u16 = 10;

/// A broker account as the wire needs it.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// User name.
    pub user: &'a str,
    /// Password.
    pub password: &'a [u8],
}

/// What the broker sent is not MQTT as it was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub &'static str);

pub(super) const NOT_ALLOWED: Violation = Violation("a packet that a broker may not send here");

/// What we wanted to send does not fit MQTT: a bug of ours, told instead of a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet that cannot be encoded")]
pub struct Unencodable;

/// Encodes one packet onto `out`. `level`: that of the connection's CONNECT.
///
/// # Errors
/// [`Unencodable`]; nothing was added.
pub fn encode(
    packet: &Outbound,
    level: Level,
    login: Option<Login<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    if level == Level::V311 {
        return wire311::encode(packet, login, out);
    }
    let bytes = match packet {
        Outbound::Connect { client_id, keepalive_s, will, .. } => {
            connect(client_id, *keepalive_s, will.as_ref(), login)
        }
        Outbound::Subscribe { id, filters } => subscribe(*id, filters),
        Outbound::Unsubscribe { id, filters } => unsubscribe(*id, filters),
        Outbound::Publish { topic, payload, retain, id } => {
            return publish(level, (topic, payload), *retain, *id, out);
        }
        Outbound::Puback(id) => Puback::builder().packet_id(*id).build().map(|p| p.to_continuous_buffer()),
        Outbound::Ping => Pingreq::builder().build().map(|p| p.to_continuous_buffer()),
        Outbound::Disconnect => Disconnect::builder().build().map(|p| p.to_continuous_buffer()),
    };
    out.extend(bytes.map_err(|_| Unencodable)?);
    Ok(())
}

pub(super) type Encoded = Result<Vec<u8>, MqttError>;

fn connect(client_id: &str, keepalive_s: u16, will: Option<&Will>, login: Option<Login<'_>>) -> Encoded {
    let props = vec![
        Property::from(ReceiveMaximum::new(RECEIVE_MAX)?),
        Property::from(MaximumPacketSize::new(PACKET_MAX as u32)?),
    ];
    let mut builder =
        Connect::builder().client_id(client_id)?.clean_start(true).keep_alive(keepalive_s).props(props);
    if let Some(will) = will {
        builder = builder
            .will_message(will.topic.as_str(), will.payload.clone(), Qos::AtLeastOnce, false)?
            .will_props(vec![Property::from(WillDelayInterval::new(will.delay_s)?)]);
    }
    if let Some(login) = login {
        builder = builder.user_name(login.user)?.password(login.password.to_vec())?;
    }
    Ok(builder.build()?.to_continuous_buffer())
}

fn subscribe(id: u16, filters: &Filters) -> Encoded {
    let entry = |f: &Topic| SubEntry::new(f.as_str(), SubOpts::new().set_qos(Qos::AtLeastOnce));
    let entries = filters.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    Ok(Subscribe::builder().packet_id(id).entries(entries).build()?.to_continuous_buffer())
}

fn unsubscribe(id: u16, filters: &Filters) -> Encoded {
    let entries: Vec<&str> = filters.iter().map(Topic::as_str).collect();
    Ok(Unsubscribe::builder().packet_id(id).entries(entries)?.build()?.to_continuous_buffer())
}

/// A PUBLISH (3.3), straight into where it is sent from: bulk is not copied again and again. `level`: 3.1.1 has no properties.
pub(super) fn publish(
    level: Level,
    message: (&str, &[u8]),
    retain: bool,
    id: Option<u16>,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    let (topic, payload) = message;
    let properties: &[u8] = if level == Level::V5 { &[0] } else { &[] };
    let topic_length = u16::try_from(topic.len()).map_err(|_| Unencodable)?;
    let id = id.map(u16::to_be_bytes);
    let id = id.as_ref().map_or(&[][..], |id| id.as_slice());
    let mut length = 2 + topic.len() + id.len() + properties.len() + payload.len();
    if length > LENGTH_MAX || topic.is_empty() {
        return Err(Unencodable);
    }
    out.reserve(5 + length);
    out.push(0x30 | if id.is_empty() { 0 } else { 0b0010 } | u8::from(retain));
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    for part in [&topic_length.to_be_bytes()[..], topic.as_bytes(), id, properties, payload] {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// Cuts the byte stream into packets. Holds at most [`PACKET_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
    /// What of it was pulled already: moved out of the way once for all packets of a read.
    taken: usize,
    level: Level,
}

/// Fixed header of a packet: how long it is, header included.
struct Frame {
    first: u8,
    body: usize,
    total: usize,
}

impl Framer {
    /// From now on packets are read as this protocol's. A broker that refuses MQTT 5 answers in its own, which is understood
    /// all the same.
    pub const fn speak(&mut self, level: Level) {
        self.level = level;
    }

    /// The protocol.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Takes in what came; at most one read's worth at a time, so what is held stays bounded.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.taken);
        self.taken = 0;
        self.held.extend_from_slice(bytes);
    }

    /// The next whole packet, decoded; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Violation`]: the connection is to be dropped.
    pub fn pull(&mut self) -> Result<Option<Inbound>, Violation> {
        let held = self.held.get(self.taken..).unwrap_or_default();
        // Judged at once, so that a web server or an SSH server is named without waiting for the length it seems to give.
        if held.first().is_some_and(|first| !is_allowed(*first)) {
            return Err(NOT_ALLOWED);
        }
        let Some(frame) = frame(held)? else { return Ok(None) };
        let Some(body) = held.get(frame.body..frame.total) else { return Ok(None) };
        let packet = decode(self.level, frame.first, body)?;
        self.taken += frame.total;
        if self.taken == self.held.len() {
            // A burst is over: give its memory back.
            (self.held, self.taken) = (Vec::new(), 0);
        }
        Ok(Some(packet))
    }
}

/// Packet types and flags that a broker sends in our profile.
fn is_allowed(first: u8) -> bool {
    matches!((first >> 4, first & 0x0f), (2 | 4 | 9 | 11 | 13 | 14, 0) | (3, _))
}

/// Reads a fixed header (MQTT 5, 2.1): type and flags, then the remaining length as a variable byte integer.
fn frame(held: &[u8]) -> Result<Option<Frame>, Violation> {
    let Some((&first, rest)) = held.split_first() else { return Ok(None) };
    let mut length = 0usize;
    for (i, byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let body = i + 2;
            if body + length > PACKET_MAX {
                return Err(Violation("a packet larger than agreed"));
            }
            return Ok(Some(Frame { first, body, total: body + length }));
        }
    }
    if rest.len() >= 4 { Err(Violation("a length of more than four bytes")) } else { Ok(None) }
}

fn decode(level: Level, first: u8, body: &[u8]) -> Result<Inbound, Violation> {
    if level == Level::V311 {
        return wire311::decode(first, body);
    }
    match (first >> 4, first & 0x0f) {
        (2, 0) => connack(body),
        (3, flags) => message(level, flags, body),
        (4, 0) => puback(body),
        (9, 0) => suback(body),
        (11, 0) => {
            let (packet, _) = Unsuback::parse(body).map_err(|_| Violation("a malformed UNSUBACK"))?;
            Ok(Inbound::Unsubscribed { id: packet.packet_id() })
        }
        (13, 0) if body.is_empty() => Ok(Inbound::Pong),
        (14, 0) => Ok(disconnect(body)),
        _ => Err(NOT_ALLOWED),
    }
}

/// Two things are wanted of it. An empty body means reason 0 (3.14.2.1); properties that cannot be read change nothing.
fn disconnect(body: &[u8]) -> Inbound {
    let reason = body.first().copied().unwrap_or(0);
    let spread_s = Disconnect::parse(body).ok().and_then(|(packet, _)| spread(packet.props().as_ref()?));
    Inbound::Disconnect { reason, spread_s }
}

fn spread(properties: &[Property]) -> Option<u16> {
    properties.iter().find_map(|property| match property {
        Property::UserProperty(pair) if pair.key() == SPREAD_PROPERTY => pair.val().parse().ok(),
        _ => None,
    })
}

fn connack(body: &[u8]) -> Result<Inbound, Violation> {
    // A broker that knows only 3.1.1 answers in its own format.
    if let [_, code] = body {
        return Ok(Inbound::Rejected(wire311::refusal(*code)));
    }
    let reason = body.get(1).copied().ok_or(Violation("a malformed CONNACK"))?;
    if reason != 0 {
        return Ok(Inbound::Rejected(reason));
    }
    let (packet, _) = Connack::parse(body).map_err(|_| Violation("a malformed CONNACK"))?;
    let mut welcome = Welcome { spread_s: spread(packet.props()), ..Welcome::plain(Level::V5) };
    for property in packet.props().iter() {
        match property {
            Property::ServerKeepAlive(p) => welcome.keepalive_s = Some(p.val()),
            Property::ReceiveMaximum(p) => welcome.receive_max = p.val(),
            Property::MaximumPacketSize(p) => welcome.packet_max = Some(p.val()),
            Property::RetainAvailable(p) => welcome.retain = p.val() != 0,
            Property::MaximumQos(p) => welcome.qos1 = p.val() != 0,
            Property::WildcardSubscriptionAvailable(p) => welcome.wildcards = p.val() != 0,
            Property::SharedSubscriptionAvailable(p) => welcome.shared = p.val() != 0,
            Property::SessionExpiryInterval(p) => welcome.session_expiry_s = Some(p.val()),
            Property::AssignedClientIdentifier(_) => welcome.renamed = true,
            _ => {}
        }
    }
    Ok(Inbound::Welcome(welcome))
}

/// A message, in either version of the protocol.
pub(super) fn message(level: Level, flags: u8, body: &[u8]) -> Result<Inbound, Violation> {
    if flags & 0b0110 > 0b0010 {
        return Err(Violation("a message at a QoS that was not agreed"));
    }
    let malformed = Violation("a malformed PUBLISH");
    match (level, head(flags, body)) {
        // Nearly always without properties; those that there are, the crate judges.
        (Level::V311, Some((topic, id, payload))) | (Level::V5, Some((topic, id, [0, payload @ ..]))) => {
            taken(topic, payload, id)
        }
        (Level::V311, None) => Err(malformed),
        (Level::V5, _) => {
            let (packet, _) = Publish::parse(flags, Arc::from(body)).map_err(|_| malformed)?;
            taken(packet.topic_name(), packet.payload().as_slice(), packet.packet_id())
        }
    }
}

/// Topic, packet id and the rest of a PUBLISH (3.3.2): in MQTT 5 properties and payload, in 3.1.1 the payload.
fn head(flags: u8, body: &[u8]) -> Option<(&str, Option<u16>, &[u8])> {
    let (length, rest) = body.split_first_chunk()?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let topic = core::str::from_utf8(topic).ok()?;
    if flags & 0b0110 == 0 {
        return Some((topic, None, rest));
    }
    let (id, rest) = rest.split_first_chunk()?;
    Some((topic, Some(u16::from_be_bytes(*id)), rest))
}

/// A message within what was agreed.
pub(super) fn taken(topic: &str, payload: &[u8], id: Option<u16>) -> Result<Inbound, Violation> {
    let topic = Topic::try_from(topic).map_err(|_| Violation("a message on a topic not asked for"))?;
    if id == Some(0) {
        return Err(Violation("a packet id of 0"));
    }
    Ok(Inbound::Message { topic, payload: payload.to_vec(), id })
}

fn puback(body: &[u8]) -> Result<Inbound, Violation> {
    let (high, low) = match body {
        [high, low, ..] => (*high, *low),
        [] | [_] => return Err(Violation("a malformed PUBACK")),
    };
    // Without a reason code it is 0 (3.4.2.1); the properties are not needed.
    Ok(Inbound::Puback { id: u16::from_be_bytes([high, low]), reason: body.get(2).copied().unwrap_or(0) })
}

fn suback(body: &[u8]) -> Result<Inbound, Violation> {
    let (packet, _) = Suback::parse(body).map_err(|_| Violation("a malformed SUBACK"))?;
    let refused = packet.reason_codes().into_iter().map(|r| r as u8).find(|r| *r >= 0x80);
    Ok(Inbound::Subscribed { id: packet.packet_id(), refused })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<Inbound>, Violation> {
        let mut framer = Framer::default();
        framer.push(bytes);
        let mut packets = Vec::new();
        while let Some(packet) = framer.pull()? {
            packets.push(packet);
        }
        Ok(packets)
    }

    #[track_caller]
    fn check(bytes: &[u8], expect: Inbound) {
        assert_eq!(all(bytes), Ok(vec![expect.clone()]));
        // Byte by byte it is the same.
        let mut framer = Framer::default();
        for (i, byte) in bytes.iter().enumerate() {
            framer.push(&[*byte]);
            let packet = framer.pull().unwrap();
            assert_eq!(packet.is_some(), i + 1 == bytes.len());
        }
    }

    #[test]
    fn packets_of_the_profile_are_read() {
        let welcome = |f: fn(&mut Welcome)| {
            let mut w = Welcome::plain(Level::V5);
            f(&mut w);
            Inbound::Welcome(w)
        };
        check(&[0x20, 3, 0, 0, 0], welcome(|_| {}));
        check(&[0x20, 6, 0, 0, 3, 0x21, 0, 20], welcome(|w| w.receive_max = 20));
        check(&[0x20, 6, 0, 0, 3, 0x13, 0, 30], welcome(|w| w.keepalive_s = Some(30)));
        check(&[0x20, 5, 0, 0, 2, 0x25, 0], welcome(|w| w.retain = false));
        check(&[0x20, 3, 0, 0x86, 0], Inbound::Rejected(0x86));
        check(&[0x20, 2, 0, 1], Inbound::Rejected(0x84));
        check(&[0x20, 2, 0, 5], Inbound::Rejected(0x87));
        check(&[0x20, 7, 0, 0, 4, 0x28, 0, 0x2a, 0], welcome(|w| (w.wildcards, w.shared) = (false, false)));
        check(&[0x20, 8, 0, 0, 5, 0x11, 0, 0, 0, 9], welcome(|w| w.session_expiry_s = Some(9)));
        check(&[0x20, 7, 0, 0, 4, 0x12, 0, 1, b'x'], welcome(|w| w.renamed = true));
        check(&[0x90, 4, 0, 1, 0, 1], Inbound::Subscribed { id: 1, refused: None });
        check(&[0x90, 5, 0, 1, 0, 1, 0x87], Inbound::Subscribed { id: 1, refused: Some(0x87) });
        check(&[0xb0, 4, 0, 9, 0, 0], Inbound::Unsubscribed { id: 9 });
        check(&[0x40, 2, 0, 7], Inbound::Puback { id: 7, reason: 0 });
        check(&[0x40, 3, 0, 7, 0x87], Inbound::Puback { id: 7, reason: 0x87 });
        check(&[0xd0, 0], Inbound::Pong);
        let ended = |reason, spread_s| Inbound::Disconnect { reason, spread_s };
        check(&[0xe0, 0], ended(0, None));
        check(&[0xe0, 2, 0x8e, 0], ended(0x8e, None));
        check(&[0xe0, 1, 0x8b], ended(0x8b, None));
        let topic = Topic::try_from("a/b").unwrap();
        check(
            &[0x30, 8, 0, 3, b'a', b'/', b'b', 0, b'h', b'i'],
            Inbound::Message { topic: topic.clone(), payload: b"hi".to_vec(), id: None },
        );
        check(
            &[0x32, 8, 0, 3, b'a', b'/', b'b', 0, 5, 0],
            Inbound::Message { topic, payload: Vec::new(), id: Some(5) },
        );
    }

    #[test]
    fn the_operators_window_is_read_where_the_broker_says_it() {
        let pair = |value: &str| {
            let mut property = vec![0x26, 0, SPREAD_PROPERTY.len() as u8];
            property.extend(SPREAD_PROPERTY.bytes());
            property.extend([0, value.len() as u8]);
            property.extend(value.bytes());
            property
        };
        let packet = |first: u8, head: &[u8], property: Vec<u8>| {
            let mut body = head.to_vec();
            body.push(property.len() as u8);
            body.extend(property);
            let mut bytes = vec![first, body.len() as u8];
            bytes.extend(body);
            bytes
        };
        let welcome = Welcome { spread_s: Some(120), ..Welcome::plain(Level::V5) };
        check(&packet(0x20, &[0, 0], pair("120")), Inbound::Welcome(welcome));
        let ended = |spread_s| Inbound::Disconnect { reason: 0x8b, spread_s };
        check(&packet(0xe0, &[0x8b], pair("300")), ended(Some(300)));
        check(&packet(0xe0, &[0x8b], pair("soon")), ended(None));
    }

    #[track_caller]
    fn violates(bytes: &[u8]) {
        assert!(all(bytes).is_err(), "{bytes:02x?}");
    }

    #[test]
    fn what_was_not_agreed_is_refused() {
        violates(&[0x34, 0x0f, 0, 5, b'c', b'm', b'd', b'/', b'x', 0, 0, 0, b'h', b'e', b'l', b'l', b'o']);
        violates(&[0x32, 8, 0, 3, b'a', b'/', b'b', 0, 0, 0]);
        violates(&[0x10, 0]);
        violates(&[0xf0, 2, 0x18, 0]);
        violates(&[0x20, 1, 0]);
        violates(&[0xd0, 1, 0]);
        violates(&[0x30, 0xff, 0xff, 0xff, 0x7f]);
        violates(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        violates(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        violates(b"SSH-2.0-OpenSSH_9.2p1\r\n");
    }

    #[test]
    fn what_we_send_is_read_by_the_crates_own_parsers() {
        let topic = Topic::try_from("moorline/n/x/echo").unwrap();
        let filters: Filters = core::iter::repeat_n(topic.clone(), 8).collect();
        let will = Will { topic: topic.clone(), payload: b"gone".to_vec(), delay_s: 45 };
        let login = Login { user: "nas", password: b"secret" };
        let body = |packet: &Outbound| {
            let mut out = Vec::new();
            encode(packet, Level::V5, Some(login), &mut out).unwrap();
            let frame = frame(&out).unwrap().unwrap();
            assert_eq!(frame.total, out.len());
            (frame.first, out[frame.body..].to_vec())
        };
        let client_id = heapless::String::try_from("0123456789abcdefghjk").unwrap();
        let (first, connect) =
            body(&Outbound::Connect { level: Level::V5, client_id, keepalive_s: 60, will: Some(will) });
        let (connect, _) = Connect::parse(&connect).unwrap();
        assert_eq!((first, connect.keep_alive(), connect.user_name()), (0x10, 60, Some("nas")));
        assert_eq!((connect.will_topic(), connect.will_qos()), (Some("moorline/n/x/echo"), Qos::AtLeastOnce));
        assert_eq!(connect.will_props().len(), 1);
        let (first, bytes) = body(&Outbound::Subscribe { id: 3, filters: filters.clone() });
        assert_eq!((first, Subscribe::parse(&bytes).unwrap().0.entries().len()), (0x82, 8));
        let (first, bytes) = body(&Outbound::Unsubscribe { id: 3, filters });
        assert_eq!((first, Unsubscribe::parse(&bytes).unwrap().0.entries().len()), (0xa2, 8));
        let message = Outbound::Publish { topic, payload: b"x".to_vec(), retain: true, id: Some(9) };
        let (first, bytes) = body(&message);
        let packet = Publish::parse(first & 15, Arc::from(bytes.as_slice())).unwrap().0;
        assert_eq!((first, packet.packet_id(), packet.retain()), (0x33, Some(9), true));
        assert_eq!(body(&Outbound::Puback(7)).1, [0, 7]);
        assert_eq!(body(&Outbound::Ping), (0xc0, vec![]));
        assert_eq!(body(&Outbound::Disconnect).0, 0xe0);
    }

    proptest! {
        #[test]
        fn messages_are_written_as_the_crate_writes_them(
            topic in "[a-z/]{1,80}", payload in proptest::collection::vec(any::<u8>(), 0..300),
            retain: bool, id in prop::option::of(1u16..),
        ) {
            let builder = Publish::builder().topic_name(topic.as_str()).unwrap().retain(retain).payload(payload.as_slice());
            let builder = match id {
                Some(id) => builder.qos(Qos::AtLeastOnce).packet_id(id),
                None => builder.qos(Qos::AtMostOnce),
            };
            let mut out = b"before".to_vec();
            publish(Level::V5, (&topic, &payload), retain, id, &mut out).unwrap();
            prop_assert_eq!(&out[6..], builder.build().unwrap().to_continuous_buffer());
        }

        #[test]
        fn messages_are_read_as_the_crate_reads_them(
            flags in prop::sample::select(vec![0u8, 1, 2, 3, 8, 10]),
            body in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, b'a', b'/', 0x23, 0xff]), 0..30),
        ) {
            let crates = Publish::parse(flags, Arc::from(body.as_slice())).ok().and_then(|(packet, _)| {
                taken(packet.topic_name(), packet.payload().as_slice(), packet.packet_id()).ok()
            });
            // What the crate refuses for its topic or its id is on no topic of ours.
            if crates.is_some() {
                prop_assert_eq!(message(Level::V5, flags, &body).ok(), crates);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes);
        }

        #[test]
        fn arbitrary_bodies_of_known_packets_never_panic(
            kind in prop::sample::select(vec![0x20u8, 0x30, 0x31, 0x32, 0x3a, 0x40, 0x90, 0xb0, 0xd0, 0xe0]),
            body in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut bytes = vec![kind, body.len() as u8];
            bytes.extend(&body);
            let _ = all(&bytes);
        }
    }
}
