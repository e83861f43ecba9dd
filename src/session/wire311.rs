//! MQTT 3.1.1 on the byte stream: what it does otherwise than MQTT 5. A core.
//!
//! No properties, no reason codes but the six of CONNACK and the one of SUBACK, no DISCONNECT from the broker, no will delay.

use mqtt_protocol_core::mqtt::packet::v3_1_1::{
    Connect, Disconnect, Pingreq, Puback, Suback, Subscribe, Unsubscribe,
};
use mqtt_protocol_core::mqtt::packet::{Qos, SubEntry, SubOpts};

use super::packet::{Filters, Inbound, Level, Outbound, Welcome, Will};
use super::topics::Topic;
use super::wire::{Encoded, Login, NOT_ALLOWED, Unencodable, Violation, message, publish};

/// The MQTT 5 reason code for a return code of CONNACK (3.1.1, 3.2.2.3).
pub const fn refusal(code: u8) -> u8 {
    match code {
        // 0 in a two-byte CONNACK to MQTT 5: it took us for 3.1.1, so it does not speak 5.
        0 | 1 => 0x84,
        2 => 0x85,
        3 => 0x88,
        4 => 0x86,
        5 => 0x87,
        _ => 0x80,
    }
}

/// Encodes one packet onto `out`.
///
/// # Errors
/// [`Unencodable`]; nothing was added.
pub fn encode(packet: &Outbound, login: Option<Login<'_>>, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let bytes = match packet {
        Outbound::Publish { topic, payload, retain, id } => {
            return publish(Level::V311, (topic, payload), *retain, *id, out);
        }
        Outbound::Connect { client_id, keepalive_s, will, .. } => {
            connect(client_id, *keepalive_s, will.as_ref(), login)
        }
        Outbound::Subscribe { id, filters } => subscribe(*id, filters),
        Outbound::Unsubscribe { id, filters } => unsubscribe(*id, filters),
        Outbound::Puback(id) => Puback::builder().packet_id(*id).build().map(|p| p.to_continuous_buffer()),
        Outbound::Ping => Pingreq::builder().build().map(|p| p.to_continuous_buffer()),
        Outbound::Disconnect => Disconnect::builder().build().map(|p| p.to_continuous_buffer()),
    };
    out.extend(bytes.map_err(|_| Unencodable)?);
    Ok(())
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

fn connect(client_id: &str, keepalive_s: u16, will: Option<&Will>, login: Option<Login<'_>>) -> Encoded {
    let mut builder = Connect::builder().client_id(client_id)?.clean_session(true).keep_alive(keepalive_s);
    if let Some(will) = will {
        builder = builder.will_message(will.topic.as_str(), will.payload.clone(), Qos::AtLeastOnce, false)?;
    }
    if let Some(login) = login {
        builder = builder.user_name(login.user)?.password(login.password.to_vec())?;
    }
    Ok(builder.build()?.to_continuous_buffer())
}

/// One packet from its first byte and what follows its length.
///
/// # Errors
/// [`Violation`].
pub fn decode(first: u8, body: &[u8]) -> Result<Inbound, Violation> {
    match (first >> 4, first & 0x0f) {
        (2, 0) => match body {
            [_, 0] => Ok(Inbound::Welcome(Welcome::plain(Level::V311))),
            [_, code] => Ok(Inbound::Rejected(refusal(*code))),
            // A broker that answers in MQTT 5 after all.
            [_, code, ..] if *code >= 0x80 => Ok(Inbound::Rejected(*code)),
            _ => Err(Violation("a malformed CONNACK")),
        },
        (3, flags) => message(Level::V311, flags, body),
        (4, 0) => two_bytes(body).map(|id| Inbound::Puback { id, reason: 0 }),
        (9, 0) => {
            let (packet, _) = Suback::parse(body).map_err(|_| Violation("a malformed SUBACK"))?;
            let refused = packet.return_codes().into_iter().map(|r| r as u8).find(|r| *r >= 0x80);
            Ok(Inbound::Subscribed { id: packet.packet_id(), refused })
        }
        (11, 0) => two_bytes(body).map(|id| Inbound::Unsubscribed { id }),
        (13, 0) if body.is_empty() => Ok(Inbound::Pong),
        _ => Err(NOT_ALLOWED),
    }
}

fn two_bytes(body: &[u8]) -> Result<u16, Violation> {
    match body {
        [high, low] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(Violation("a malformed acknowledgement")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_protocol_core::mqtt::packet::v3_1_1::Publish;

    use super::*;
    use crate::session::wire::{Framer, encode as encode_any, taken};
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<Inbound>, Violation> {
        let mut framer = Framer::default();
        framer.speak(Level::V311);
        framer.push(bytes);
        let mut packets = Vec::new();
        while let Some(packet) = framer.pull()? {
            packets.push(packet);
        }
        Ok(packets)
    }

    #[track_caller]
    fn check(bytes: &[u8], expect: Inbound) {
        assert_eq!(all(bytes), Ok(vec![expect]));
    }

    #[test]
    fn packets_of_the_lower_profile_are_read() {
        check(&[0x20, 2, 0, 0], Inbound::Welcome(Welcome::plain(Level::V311)));
        for (code, reason) in [(1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87), (9, 0x80)] {
            check(&[0x20, 2, 0, code], Inbound::Rejected(reason));
        }
        check(&[0x20, 3, 0, 0x84, 0], Inbound::Rejected(0x84));
        check(&[0x90, 3, 0, 1, 1], Inbound::Subscribed { id: 1, refused: None });
        check(&[0x90, 4, 0, 1, 1, 0x80], Inbound::Subscribed { id: 1, refused: Some(0x80) });
        check(&[0xb0, 2, 0, 9], Inbound::Unsubscribed { id: 9 });
        check(&[0x40, 2, 0, 7], Inbound::Puback { id: 7, reason: 0 });
        check(&[0xd0, 0], Inbound::Pong);
        let topic = Topic::try_from("a/b").unwrap();
        let message =
            |payload: &[u8], id| Inbound::Message { topic: topic.clone(), payload: payload.to_vec(), id };
        check(&[0x30, 7, 0, 3, b'a', b'/', b'b', b'h', b'i'], message(b"hi", None));
        check(&[0x32, 7, 0, 3, b'a', b'/', b'b', 0, 5], message(b"", Some(5)));
    }

    #[test]
    fn what_was_not_agreed_is_refused() {
        // QoS 2, a packet id of 0, a DISCONNECT from the broker, a PUBACK with a reason.
        for bytes in [
            &[0x34, 7, 0, 3, b'a', b'/', b'b', 0, 5][..],
            &[0x32, 7, 0, 3, b'a', b'/', b'b', 0, 0],
            &[0xe0, 0],
            &[0x40, 3, 0, 7, 0x87],
        ] {
            assert!(all(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn what_we_send_is_read_by_the_crates_own_parsers() {
        let topic = Topic::try_from("moorline/n/x/echo").unwrap();
        let login = Login { user: "nas", password: b"secret" };
        let bytes = |packet: &Outbound| {
            let mut out = Vec::new();
            encode_any(packet, Level::V311, Some(login), &mut out).unwrap();
            out
        };
        let will = Will { topic: topic.clone(), payload: b"gone".to_vec(), delay_s: 45 };
        let client_id = heapless::String::try_from("0123456789abcdefghjk").unwrap();
        let out =
            bytes(&Outbound::Connect { level: Level::V311, client_id, keepalive_s: 60, will: Some(will) });
        let (connect, _) = Connect::parse(&out[2..]).unwrap();
        assert_eq!(
            (connect.protocol_version(), connect.keep_alive(), connect.user_name()),
            (4, 60, Some("nas"))
        );
        assert_eq!((connect.will_topic(), connect.clean_session()), (Some("moorline/n/x/echo"), true));
        let out = bytes(&Outbound::Subscribe { id: 3, filters: vec![topic.clone()] });
        assert_eq!((out[0], Subscribe::parse(&out[2..]).unwrap().0.packet_id()), (0x82, 3));
        let out = bytes(&Outbound::Unsubscribe { id: 3, filters: vec![topic.clone()] });
        assert_eq!((out[0], Unsubscribe::parse(&out[2..]).unwrap().0.packet_id()), (0xa2, 3));
        let out = bytes(&Outbound::Publish { topic, payload: b"x".to_vec(), retain: true, id: Some(9) });
        let packet = Publish::parse(out[0] & 15, Arc::from(&out[2..])).unwrap().0;
        assert_eq!((out[0], packet.packet_id(), packet.payload().as_slice()), (0x33, Some(9), &b"x"[..]));
        assert_eq!(bytes(&Outbound::Puback(7)), [0x40, 2, 0, 7]);
        assert_eq!(bytes(&Outbound::Ping), [0xc0, 0]);
        assert_eq!(bytes(&Outbound::Disconnect), [0xe0, 0]);
    }

    proptest! {
        #[test]
        fn messages_are_read_as_the_crate_reads_them(
            flags in prop::sample::select(vec![0u8, 1, 2, 3, 8, 10]),
            body in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, b'a', b'/', 0x23, 0xff]), 0..30),
        ) {
            let crates = Publish::parse(flags, Arc::from(body.as_slice())).ok().and_then(|(packet, _)| {
                taken(packet.topic_name(), packet.payload().as_slice(), packet.packet_id()).ok()
            });
            if crates.is_some() {
                prop_assert_eq!(message(Level::V311, flags, &body).ok(), crates);
            }
        }

        #[test]
        fn arbitrary_bodies_never_panic(
            kind in prop::sample::select(vec![0x20u8, 0x30, 0x32, 0x40, 0x90, 0xb0, 0xd0, 0xe0]),
            body in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut bytes = vec![kind, body.len() as u8];
            bytes.extend(&body);
            let _ = all(&bytes);
        }
    }
}
