//! PCP (RFC 6887): ANNOUNCE and MAP requests to the gateway's UDP port, and their answers. A core.
//!
//! The port is [`super::natpmp::PORT`]. The nonce comes from the caller and stays the same for as long as a
//! mapping is to be renewed (11.2): a router changes or ends a mapping only for who knows its nonce.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::Stray;

/// How long to wait for an answer after each sending: 3 s, doubled each time (8.1.1). The RFC goes on for as
/// long as the mapping is wanted; here two are the time after which the next protocol is tried. A tenth more
/// or less, at random, is the caller's.
pub const WAITS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(6)];

/// What the router knows a mapping's owner by (11.1).
pub type Nonce = [u8; 12];

const VERSION: u8 = 2;
const OPCODE_ANNOUNCE: u8 = 0;
const OPCODE_MAP: u8 = 1;
/// The R bit: an answer (7.2).
const ANSWER: u8 = 0x80;
/// Protocol number of TCP.
const TCP: u8 = 6;
/// Head of every answer (7.2).
const HEAD: usize = 24;
/// Longest message (7).
const LENGTH_MAX: usize = 1100;

/// A TCP port of the router led to one of ours (11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// The mapping's nonce.
    pub nonce: Nonce,
    /// Our port.
    pub internal: u16,
    /// The router's port that would be liked; 0 leaves the choice to it.
    pub external: u16,
    /// The router's address that would be liked: the one it gave last.
    pub address: Option<IpAddr>,
    /// For how long, in seconds; 0 ends it (15.1), and then neither port nor address are to be suggested.
    pub lifetime_s: u32,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing but an answer, with its epoch (14.1).
    Announce,
    /// A mapping.
    Map(Map),
}

impl Request {
    /// The datagram. `client`: our address on the network of the router, the one the datagram is sent from:
    /// the router compares (8.2).
    pub fn encode(&self, client: IpAddr) -> heapless::Vec<u8, 60> {
        let (opcode, lifetime_s) = match self {
            Self::Announce => (OPCODE_ANNOUNCE, 0),
            Self::Map(map) => (OPCODE_MAP, map.lifetime_s),
        };
        // 24 or 60 bytes: they fit.
        let mut out = heapless::Vec::new();
        let _ = out.extend_from_slice(&[VERSION, opcode, 0, 0]);
        let _ = out.extend_from_slice(&lifetime_s.to_be_bytes());
        let _ = out.extend_from_slice(&wide(client).octets());
        if let Self::Map(map) = self {
            // No suggestion is the zero address of the client's family (11.1).
            let none = match client {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            let _ = out.extend_from_slice(&map.nonce);
            let _ = out.extend_from_slice(&[TCP, 0, 0, 0]);
            let _ = out.extend_from_slice(&map.internal.to_be_bytes());
            let _ = out.extend_from_slice(&map.external.to_be_bytes());
            let _ = out.extend_from_slice(&wide(map.address.unwrap_or(none)).octets());
        }
        out
    }

    const fn opcode(&self) -> u8 {
        match self {
            Self::Announce => OPCODE_ANNOUNCE,
            Self::Map(_) => OPCODE_MAP,
        }
    }
}

/// An address as PCP has it: those of IPv4 mapped to IPv6 (5).
const fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Result codes other than success (7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 1.
    #[error("the router speaks another version of PCP")]
    UnsupportedVersion,
    /// 2; also for a mapping whose nonce is another.
    #[error("the router's owner does not allow port mappings, or the mapping is somebody else's")]
    NotAuthorized,
    /// 3.
    #[error("the router could not read the request")]
    MalformedRequest,
    /// 4.
    #[error("the router does not know the request")]
    UnsupportedOpcode,
    /// 5.
    #[error("the router does not know an option")]
    UnsupportedOption,
    /// 6.
    #[error("the router could not read an option")]
    MalformedOption,
    /// 7: the router itself has no connection.
    #[error("the router has no connection of its own")]
    NetworkFailure,
    /// 8.
    #[error(
        "the router cannot hold another mapping now; where two stand in a row, set the first to bridge mode"
    )]
    NoResources,
    /// 9.
    #[error("the router cannot map TCP")]
    UnsupportedProtocol,
    /// 10.
    #[error("this box has as many mappings as the router allows it")]
    UserExceededQuota,
    /// 11.
    #[error("the router cannot give the port that was asked for")]
    CannotProvideExternal,
    /// 12: a NAT lies between us and the router that answered.
    #[error("the router sees this box at another address")]
    AddressMismatch,
    /// 13.
    #[error("the router cannot hold that many peers")]
    ExcessiveRemotePeers,
    /// Any other.
    #[error("the router refused with code {0}")]
    Other(u8),
}

impl Refusal {
    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::UnsupportedVersion,
            2 => Self::NotAuthorized,
            3 => Self::MalformedRequest,
            4 => Self::UnsupportedOpcode,
            5 => Self::UnsupportedOption,
            6 => Self::MalformedOption,
            7 => Self::NetworkFailure,
            8 => Self::NoResources,
            9 => Self::UnsupportedProtocol,
            10 => Self::UserExceededQuota,
            11 => Self::CannotProvideExternal,
            12 => Self::AddressMismatch,
            13 => Self::ExcessiveRemotePeers,
            other => Self::Other(other),
        })
    }
}

/// The router's answer. `epoch_s`: seconds since its state was last lost (8.5); see [`super::epoch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Announce`].
    Announced {
        /// Seconds of its epoch.
        epoch_s: u32,
    },
    /// To [`Request::Map`].
    Mapped {
        /// Seconds of its epoch.
        epoch_s: u32,
        /// The router's port; it need not be the suggested one.
        external: u16,
        /// The router's address on its other side.
        address: IpAddr,
        /// Granted, in seconds. 0 if the mapping was ended. The caller bounds it (8.3) and renews after half
        /// (11.2.1).
        lifetime_s: u32,
    },
    /// The router answered in version 0: it speaks NAT-PMP and not PCP (9).
    NatPmpOnly,
    /// No.
    Refused {
        /// Why.
        refusal: Refusal,
        /// For how many seconds the same question has the same answer (7.2). The caller bounds it.
        lifetime_s: u32,
    },
}

/// Reads the answer to `request`.
///
/// # Errors
/// [`Stray`]: not an answer to it.
pub fn parse(request: &Request, bytes: &[u8]) -> Result<Answer, Stray> {
    // 7.2: version, R and opcode, reserved, result, lifetime, epoch, reserved. What is reserved is ignored
    // when received.
    let [version, opcode, _, result, rest @ ..] = bytes else { return Err(Stray("fewer than 4 bytes")) };
    if opcode & ANSWER == 0 {
        return Err(Stray("a request, not an answer"));
    }
    match (*version, *result) {
        (VERSION, _) => {}
        // Result 1 is what RFC 6886, 3.5 wants; who does not look at versions answers as if it were NAT-PMP.
        (0, 1) => return Ok(Answer::NatPmpOnly),
        (0, _) if *opcode == ANSWER | request.opcode() => return Ok(Answer::NatPmpOnly),
        (_, 1) => return Ok(Answer::Refused { refusal: Refusal::UnsupportedVersion, lifetime_s: 0 }),
        _ => return Err(Stray("an answer of another version")),
    }
    if bytes.len() < HEAD || bytes.len() > LENGTH_MAX || !bytes.len().is_multiple_of(4) {
        return Err(Stray("an answer of a length that PCP does not have"));
    }
    if *opcode != ANSWER | request.opcode() {
        return Err(Stray("the answer to another question"));
    }
    let Some((numbers, _)) = rest.split_first_chunk::<8>() else { return Err(Stray("an answer cut short")) };
    let [l3, l2, l1, l0, e3, e2, e1, e0] = *numbers;
    let lifetime_s = u32::from_be_bytes([l3, l2, l1, l0]);
    let epoch_s = u32::from_be_bytes([e3, e2, e1, e0]);
    let payload = bytes.get(HEAD..).unwrap_or_default();
    match (request, Refusal::from_code(*result)) {
        (Request::Announce, None) => Ok(Answer::Announced { epoch_s }),
        (Request::Announce, Some(refusal)) => Ok(Answer::Refused { refusal, lifetime_s }),
        (Request::Map(map), None) => {
            let (external, address) = payload_of(map, payload)?;
            // The late answer to an earlier "end it" looks like this; and a mapping of no port or no time is
            // none.
            if (map.lifetime_s != 0) != (lifetime_s != 0) || lifetime_s != 0 && external == 0 {
                return Err(Stray("a mapping that was not asked for"));
            }
            Ok(Answer::Mapped { epoch_s, external, address, lifetime_s })
        }
        (Request::Map(map), Some(refusal)) => {
            // A router that did not understand the payload need not give it back.
            if !payload.is_empty() {
                payload_of(map, payload)?;
            }
            Ok(Answer::Refused { refusal, lifetime_s })
        }
    }
}

/// The router's port and address out of a MAP payload (11.1), if it is that of `map`. A refusal has it too
/// (11.1: copied from the request).
fn payload_of(map: &Map, payload: &[u8]) -> Result<(u16, IpAddr), Stray> {
    let Some((nonce, rest)) = payload.split_first_chunk::<12>() else { return Err(Stray("no MAP payload")) };
    let [protocol, _, _, _, i1, i0, e1, e0, rest @ ..] = rest else { return Err(Stray("no MAP payload")) };
    let Some(address) = rest.first_chunk::<16>() else { return Err(Stray("no MAP payload")) };
    if *nonce != map.nonce {
        return Err(Stray("another nonce"));
    }
    if *protocol != TCP || u16::from_be_bytes([*i1, *i0]) != map.internal {
        return Err(Stray("another port's answer"));
    }
    Ok((u16::from_be_bytes([*e1, *e0]), Ipv6Addr::from(*address).to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: Nonce = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 7, 20));
    const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

    fn map(internal: u16, external: u16, lifetime_s: u32) -> Request {
        Request::Map(Map { nonce: NONCE, internal, external, address: None, lifetime_s })
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            hex.bytes().filter_map(|b| char::from(b).to_digit(16)).map(|d| d as u8).collect();
        digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
    }

    #[track_caller]
    fn check(request: Request, hex: &str, expect: Answer) {
        assert_eq!(parse(&request, &bytes(hex)), Ok(expect));
    }

    #[track_caller]
    fn stray(request: Request, hex: &str) {
        let answer = parse(&request, &bytes(hex));
        assert!(answer.is_err(), "{answer:?}");
    }

    const fn refused(refusal: Refusal, lifetime_s: u32) -> Answer {
        Answer::Refused { refusal, lifetime_s }
    }

    #[test]
    fn requests_are_those_of_the_rfc() {
        let announce = "0200 0000 00000000 00000000000000000000ffffc0a80714";
        assert_eq!(Request::Announce.encode(CLIENT).as_slice(), bytes(announce));
        let expect = "0201 0000 00000e10 00000000000000000000ffffc0a80714
                      0102030405060708090a0b0c 06000000 22b3 22b3 00000000000000000000ffff00000000";
        assert_eq!(map(8883, 8883, 3600).encode(CLIENT).as_slice(), bytes(expect));
        let suggested = Request::Map(Map {
            nonce: NONCE,
            internal: 1,
            external: 2,
            address: Some(PUBLIC),
            lifetime_s: 9,
        });
        assert!(suggested.encode(CLIENT).ends_with(&bytes("0001 0002 00000000000000000000ffffcb007107")));
        let narrow = map(1, 0, 9).encode("2001:db8::5".parse().unwrap());
        let expect = "0201 0000 00000009 20010db8000000000000000000000005
                      0102030405060708090a0b0c 06000000 0001 0000 00000000000000000000000000000000";
        assert_eq!(narrow.as_slice(), bytes(expect));
    }

    /// miniupnpd 2.3.1; its address is exchanged for one of the examples'.
    #[test]
    fn miniupnpd_grants() {
        check(
            Request::Announce,
            "02 80 00 00 00000000 000090c1 000000000000000000000000",
            Answer::Announced { epoch_s: 37057 },
        );
        check(
            map(8883, 8883, 3600),
            "02 81 00 00 00000e10 000090c1 000000000000000000000000
             0102030405060708090a0b0c 06000000 22b3 22b3 00000000000000000000ffffcb007107",
            Answer::Mapped { epoch_s: 37057, external: 8883, address: PUBLIC, lifetime_s: 3600 },
        );
        check(
            map(80, 80, 3600),
            "02 81 00 00 00000e10 000090c1 000000000000000000000000
             0102030405060708090a0b0c 06000000 0050 0051 00000000000000000000ffffcb007107",
            Answer::Mapped { epoch_s: 37057, external: 81, address: PUBLIC, lifetime_s: 3600 },
        );
    }

    /// miniupnpd 2.3.1 in all the ways that it could be brought to say no.
    #[test]
    fn miniupnpd_refuses() {
        // Its other side had no address that it takes for public.
        check(
            map(8883, 8883, 3600),
            "02 81 00 08 0000001e 000090bf 000000000000000000000000
             0102030405060708090a0b0c 06000000 22b3 22b3 00000000000000000000ffffcb007107",
            refused(Refusal::NoResources, 30),
        );
        // The client address in the request was not that of the datagram.
        check(
            map(8883, 8883, 3600),
            "02 81 00 0c 00000000 000090c1 000000000000000000000000
             0102030405060708090a0b0c 06000000 22b3 22b3 00000000000000000000ffff00000000",
            refused(Refusal::AddressMismatch, 0),
        );
        // The end of a mapping that another nonce had made.
        check(
            map(8883, 0, 0),
            "02 81 00 02 00000000 000090c1 000000000000000000000000
             0102030405060708090a0b0c 06000000 22b3 0000 00000000000000000000ffffcb007107",
            refused(Refusal::NotAuthorized, 0),
        );
        // To NAT-PMP of a version that there is not; to PCP it is the refusal of its version.
        let version = "02 80 00 01 00000000 000090c1 000000000000000000000000";
        check(Request::Announce, version, refused(Refusal::UnsupportedVersion, 0));
    }

    #[test]
    fn routers_of_another_version_are_told_apart() {
        // RFC 6886, 3.5: version 0, opcode 128 and the request's, result 1, seconds.
        check(map(1, 1, 9), "00 81 0001 00000009", Answer::NatPmpOnly);
        check(Request::Announce, "00 80 0001 00000009", Answer::NatPmpOnly);
        check(Request::Announce, "00 80 0000 00000009 cb007107", Answer::NatPmpOnly);
        // PCP's own drafts.
        check(map(1, 1, 9), "01 81 00 01 00000000", refused(Refusal::UnsupportedVersion, 0));
        stray(map(1, 1, 9), "01 81 00 00 00000000");
        // A late grant of NAT-PMP.
        stray(map(1, 1, 9), "00 82 0000 00000009 0001 0001 00000e10");
    }

    #[test]
    fn refusals_are_named() {
        let all: Vec<_> = (1..=13).filter_map(Refusal::from_code).collect();
        assert_eq!(all.len(), 13);
        assert!(!all.iter().any(|r| matches!(r, Refusal::Other(_))));
        assert_eq!((Refusal::from_code(0), Refusal::from_code(14)), (None, Some(Refusal::Other(14))));
        check(
            map(1, 1, 9),
            "02 81 00 04 00000708 00000009 000000000000000000000000",
            refused(Refusal::UnsupportedOpcode, 1800),
        );
    }

    #[test]
    fn what_was_not_asked_is_stray() {
        let head = "02 81 00 00 00000e10 000090c1 000000000000000000000000";
        let body = "0102030405060708090a0b0c 06000000 22b3 22b3 00000000000000000000ffffcb007107";
        let asked = map(8883, 8883, 3600);
        assert!(parse(&asked, &bytes(&format!("{head}{body}"))).is_ok());
        // What is reserved is ignored, and so are options.
        let odd = head
            .replace("02 81 00", "02 81 55")
            .replace("000000000000000000000000", "99999999999999999999999a");
        assert!(parse(&asked, &bytes(&format!("{odd}{body} 03000000"))).is_ok());
        stray(asked, "");
        stray(asked, head);
        stray(asked, &format!("{head}{body} 00"));
        stray(asked, &format!("{head}{body}{}", "00".repeat(1044)));
        stray(asked, &format!("{head}{}", body.replace("0b0c", "0b0d")));
        stray(asked, &format!("{head}{}", body.replace("06000000", "11000000")));
        stray(asked, &format!("{head}{}", body.replace("22b3 22b3", "22b4 22b3")));
        stray(asked, &format!("{head}{}", body.replace("22b3 22b3", "22b3 0000")));
        stray(asked, &format!("{}{body}", head.replace("02 81", "02 01")));
        stray(asked, &format!("{}{body}", head.replace("02 81", "02 82")));
        stray(asked, &format!("{}{body}", head.replace("00000e10", "00000000")));
        stray(map(8883, 0, 0), &format!("{head}{body}"));
        // A refusal to another question.
        stray(
            asked,
            &format!("{}{}", head.replace("02 81 00 00", "02 81 00 08"), body.replace("0b0c", "0b0d")),
        );
        stray(asked, &format!("{} 00000000", head.replace("02 81 00 00", "02 81 00 08")));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&map(1, 1, 1), &bytes);
            let _ = parse(&Request::Announce, &bytes);
        }

        #[test]
        fn arbitrary_answers_never_panic(
            result in 0u8..16, tail in proptest::collection::vec(any::<u8>(), 56),
        ) {
            let _ = parse(&map(1, 1, 1), &[&[2, 0x81, 0, result][..], &tail].concat());
        }

        #[test]
        fn without_the_nonce_nothing_is_granted(
            nonce: [u8; 12], lifetime: u32, tail in proptest::collection::vec(any::<u8>(), 20),
        ) {
            prop_assume!(nonce != NONCE);
            let parts = [&[2, 0x81, 0, 0][..], &lifetime.to_be_bytes(), &[0; 16], &nonce, &[6, 0, 0, 0], &tail];
            prop_assert!(parse(&map(1, 1, 1), &parts.concat()).is_err());
        }
    }
}
