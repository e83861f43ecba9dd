//! NAT-PMP (RFC 6886): two requests to the gateway's UDP port, and its answers. A core.
//!
//! Answers carry no nonce. They are matched by opcode and internal port, so the caller's socket must be
//! connected to the gateway: anything from elsewhere is to be ignored (3.1).

use std::net::Ipv4Addr;
use std::time::Duration;

use super::Stray;

/// Where gateways listen (3.1); PCP has the same port (RFC 6887, 19.1).
pub const PORT: u16 = 5351;

/// How long to wait for an answer after each sending: 250 ms, doubled each time (3.1). The RFC goes on to a
/// ninth wait of 64 s; five waits, 7.75 s in all, are enough to outlast a lost packet and a router that
/// searches for a free port.
pub const WAITS: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
    Duration::from_millis(4000),
];

const OPCODE_ADDRESS: u8 = 0;
const OPCODE_MAP_TCP: u8 = 2;
/// Set in the opcode of an answer (3.2, 3.3).
const ANSWER: u8 = 0x80;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The gateway's public address (3.2).
    PublicAddress,
    /// A TCP port of the gateway led to one of ours (3.3); with a lifetime of 0 it ends (3.4).
    MapTcp {
        /// Our port.
        internal: u16,
        /// The gateway's port that would be liked; 0 leaves the choice to it. To end a mapping it must be 0.
        external: u16,
        /// For how long, in seconds; 7200 are recommended.
        lifetime_s: u32,
    },
}

impl Request {
    /// The datagram.
    pub fn encode(&self) -> heapless::Vec<u8, 12> {
        // 2 or 12 bytes: they fit.
        let mut out = heapless::Vec::new();
        match self {
            Self::PublicAddress => {
                let _ = out.extend_from_slice(&[0, OPCODE_ADDRESS]);
            }
            Self::MapTcp { internal, external, lifetime_s } => {
                let _ = out.extend_from_slice(&[0, OPCODE_MAP_TCP, 0, 0]);
                let _ = out.extend_from_slice(&internal.to_be_bytes());
                let _ = out.extend_from_slice(&external.to_be_bytes());
                let _ = out.extend_from_slice(&lifetime_s.to_be_bytes());
            }
        }
        out
    }

    const fn opcode(&self) -> u8 {
        match self {
            Self::PublicAddress => OPCODE_ADDRESS,
            Self::MapTcp { .. } => OPCODE_MAP_TCP,
        }
    }
}

/// Result codes other than success (3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 1; or an answer in PCP's version: that router wants PCP.
    #[error("the router does not speak NAT-PMP")]
    UnsupportedVersion,
    /// 2: the box supports it but somebody has switched it off.
    #[error("the router's owner does not allow port mappings")]
    NotAuthorized,
    /// 3: the gateway itself has no address.
    #[error("the router has no public address of its own")]
    NetworkFailure,
    /// 4.
    #[error("the router cannot hold another mapping; where two stand in a row, set the first to bridge mode")]
    OutOfResources,
    /// 5.
    #[error("the router does not know the request")]
    UnsupportedOpcode,
    /// Any other.
    #[error("the router refused with code {0}")]
    Other(u16),
}

impl Refusal {
    const fn from_code(code: u16) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::UnsupportedVersion),
            2 => Some(Self::NotAuthorized),
            3 => Some(Self::NetworkFailure),
            4 => Some(Self::OutOfResources),
            5 => Some(Self::UnsupportedOpcode),
            other => Some(Self::Other(other)),
        }
    }
}

/// The gateway's answer. `epoch_s`: seconds since its table of mappings was last empty (3.6); see
/// [`super::epoch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::PublicAddress`].
    PublicAddress {
        /// Seconds of its start of epoch.
        epoch_s: u32,
        /// The gateway's own address on its other side; often private: see [`super::address`].
        address: Ipv4Addr,
    },
    /// To [`Request::MapTcp`].
    MappedTcp {
        /// Seconds of its start of epoch.
        epoch_s: u32,
        /// Our port.
        internal: u16,
        /// The gateway's port; it need not be the suggested one. 0 if the mapping was ended.
        external: u16,
        /// Granted, in seconds: to be renewed after half of it (3.3). 0 if the mapping was ended.
        lifetime_s: u32,
    },
    /// No.
    Refused(Refusal),
}

/// Reads the answer to `request`.
///
/// # Errors
/// [`Stray`]: not an answer to it.
pub fn parse(request: &Request, bytes: &[u8]) -> Result<Answer, Stray> {
    let [version, opcode, r1, r0, rest @ ..] = bytes else { return Err(Stray("fewer than 4 bytes")) };
    if opcode & ANSWER == 0 {
        return Err(Stray("a request, not an answer"));
    }
    if *version != 0 {
        // A gateway of another version says so in its own format (RFC 6887, 9), result 1 in its last byte.
        return match *r0 {
            1 => Ok(Answer::Refused(Refusal::UnsupportedVersion)),
            _ => Err(Stray("an answer of another version")),
        };
    }
    if *opcode != ANSWER | request.opcode() {
        return Err(Stray("the answer to another question"));
    }
    // Of a refusal nothing but the code is sure: gateways send 4, 8 or all bytes of the answer.
    if let Some(refusal) = Refusal::from_code(u16::from_be_bytes([*r1, *r0])) {
        return match request {
            Request::MapTcp { internal, .. } if other_port(rest, *internal) => {
                Err(Stray("another port's answer"))
            }
            _ => Ok(Answer::Refused(refusal)),
        };
    }
    let Some((epoch, rest)) = rest.split_first_chunk() else { return Err(Stray("an answer cut short")) };
    let epoch_s = u32::from_be_bytes(*epoch);
    match request {
        Request::PublicAddress => public_address(epoch_s, rest),
        Request::MapTcp { internal, lifetime_s, .. } => mapped(epoch_s, rest, *internal, *lifetime_s != 0),
    }
}

/// Whether a refusal, from its epoch on, names a port and it is not `internal`.
fn other_port(rest: &[u8], internal: u16) -> bool {
    matches!(rest, [_, _, _, _, p1, p0, ..] if u16::from_be_bytes([*p1, *p0]) != internal)
}

fn public_address(epoch_s: u32, rest: &[u8]) -> Result<Answer, Stray> {
    let Some(address) = rest.first_chunk::<4>() else { return Err(Stray("an answer cut short")) };
    let address = Ipv4Addr::from(*address);
    if address.is_unspecified() {
        // "Success" without an address is what some say before their line is up.
        return Ok(Answer::Refused(Refusal::NetworkFailure));
    }
    Ok(Answer::PublicAddress { epoch_s, address })
}

fn mapped(epoch_s: u32, rest: &[u8], asked: u16, wanted: bool) -> Result<Answer, Stray> {
    let [i1, i0, e1, e0, l3, l2, l1, l0, ..] = rest else { return Err(Stray("an answer cut short")) };
    let internal = u16::from_be_bytes([*i1, *i0]);
    let external = u16::from_be_bytes([*e1, *e0]);
    let lifetime_s = u32::from_be_bytes([*l3, *l2, *l1, *l0]);
    if internal != asked {
        return Err(Stray("another port's answer"));
    }
    // The late answer to an earlier "end it" looks like this; and a mapping of no port or no time is none.
    if wanted != (lifetime_s != 0) || wanted && external == 0 {
        return Err(Stray("a mapping that was not asked for"));
    }
    Ok(Answer::MappedTcp { epoch_s, internal, external, lifetime_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAP: Request = Request::MapTcp { internal: 8883, external: 8883, lifetime_s: 3600 };
    const END: Request = Request::MapTcp { internal: 8883, external: 0, lifetime_s: 0 };

    #[track_caller]
    fn check(request: Request, bytes: &[u8], expect: Answer) {
        assert_eq!(parse(&request, bytes), Ok(expect));
        // What comes behind is ignored.
        assert_eq!(parse(&request, &[bytes, &[0; 4]].concat()), Ok(expect));
    }

    #[track_caller]
    fn stray(request: Request, bytes: &[u8]) {
        assert!(parse(&request, bytes).is_err(), "{:?}", parse(&request, bytes));
    }

    #[test]
    fn requests_are_those_of_the_rfc() {
        assert_eq!(Request::PublicAddress.encode(), [0, 0]);
        assert_eq!(MAP.encode(), [0, 2, 0, 0, 0x22, 0xb3, 0x22, 0xb3, 0, 0, 0x0e, 0x10]);
        assert_eq!(END.encode(), [0, 2, 0, 0, 0x22, 0xb3, 0, 0, 0, 0, 0, 0]);
    }

    /// miniupnpd 2.3.1; its address is exchanged for one of the examples'.
    #[test]
    fn miniupnpd_grants() {
        check(
            Request::PublicAddress,
            &[0, 0x80, 0, 0, 0, 0, 0x90, 0xc1, 203, 0, 113, 7],
            Answer::PublicAddress { epoch_s: 37057, address: Ipv4Addr::new(203, 0, 113, 7) },
        );
        check(
            MAP,
            &[0, 0x82, 0, 0, 0, 0, 0x90, 0xc1, 0x22, 0xb3, 0x22, 0xb3, 0, 0, 0x0e, 0x10],
            Answer::MappedTcp { epoch_s: 37057, internal: 8883, external: 8883, lifetime_s: 3600 },
        );
        // Port 80 was taken: it gave the next one.
        check(
            Request::MapTcp { internal: 80, external: 80, lifetime_s: 3600 },
            &[0, 0x82, 0, 0, 0, 0, 0x90, 0xc1, 0, 80, 0, 81, 0, 0, 0x0e, 0x10],
            Answer::MappedTcp { epoch_s: 37057, internal: 80, external: 81, lifetime_s: 3600 },
        );
        check(
            END,
            &[0, 0x82, 0, 0, 0, 0, 0x90, 0xc1, 0x22, 0xb3, 0, 0, 0, 0, 0, 0],
            Answer::MappedTcp { epoch_s: 37057, internal: 8883, external: 0, lifetime_s: 0 },
        );
    }

    /// miniupnpd 2.3.1 whose other side had no address that it takes for public.
    #[test]
    fn miniupnpd_refuses() {
        let refused = |refusal| Answer::Refused(refusal);
        check(
            Request::PublicAddress,
            &[0, 0x80, 0, 3, 0, 0, 0x90, 0xbf, 0, 0, 0, 0],
            refused(Refusal::NetworkFailure),
        );
        check(
            MAP,
            &[0, 0x82, 0, 3, 0, 0, 0x90, 0xbf, 0x22, 0xb3, 0x22, 0xb3, 0, 0, 0x0e, 0x10],
            refused(Refusal::NetworkFailure),
        );
        // To a request of version 9 it answered as PCP; a router of PCP alone does so to ours.
        let pcp = [&[2, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0x90, 0xbf][..], &[0; 12]].concat();
        check(MAP, &pcp, refused(Refusal::UnsupportedVersion));
    }

    #[test]
    fn refusals_are_named() {
        for (code, expect) in [
            (1, Refusal::UnsupportedVersion),
            (2, Refusal::NotAuthorized),
            (3, Refusal::NetworkFailure),
            (4, Refusal::OutOfResources),
            (5, Refusal::UnsupportedOpcode),
            (77, Refusal::Other(77)),
        ] {
            assert_eq!(parse(&MAP, &[0, 0x82, 0, code]), Ok(Answer::Refused(expect)));
            assert_eq!(parse(&MAP, &[0, 0x82, 0, code, 0, 0, 0, 9]), Ok(Answer::Refused(expect)));
        }
        let unconnected = [0, 0x80, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0];
        check(Request::PublicAddress, &unconnected, Answer::Refused(Refusal::NetworkFailure));
    }

    #[test]
    fn what_was_not_asked_is_stray() {
        stray(MAP, &[]);
        stray(MAP, &[0, 0x82, 0]);
        // A late grant of PCP.
        stray(MAP, &[&[2, 0x81, 0, 0][..], &[9; 56]].concat());
        stray(MAP, &MAP.encode());
        stray(MAP, &[0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7]);
        stray(Request::PublicAddress, &[0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113]);
        // UDP, another port, no external port, the end of a mapping, cut short.
        stray(MAP, &[0, 0x81, 0, 0, 0, 0, 0, 9, 0x22, 0xb3, 0x22, 0xb3, 0, 0, 0x0e, 0x10]);
        stray(MAP, &[0, 0x82, 0, 0, 0, 0, 0, 9, 0x22, 0xb4, 0x22, 0xb3, 0, 0, 0x0e, 0x10]);
        stray(MAP, &[0, 0x82, 0, 4, 0, 0, 0, 9, 0x22, 0xb4, 0x22, 0xb3, 0, 0, 0x0e, 0x10]);
        stray(MAP, &[0, 0x82, 0, 0, 0, 0, 0, 9, 0x22, 0xb3, 0, 0, 0, 0, 0x0e, 0x10]);
        stray(MAP, &[0, 0x82, 0, 0, 0, 0, 0, 9, 0x22, 0xb3, 0, 0, 0, 0, 0, 0]);
        stray(END, &[0, 0x82, 0, 0, 0, 0, 0, 9, 0x22, 0xb3, 0x22, 0xb3, 0, 0, 0x0e, 0x10]);
        stray(MAP, &[0, 0x82, 0, 0, 0, 0, 0, 9, 0x22, 0xb3, 0x22, 0xb3, 0, 0, 0x0e]);
    }

    #[test]
    fn waits_double() {
        assert!(WAITS.windows(2).all(|w| w[1] == w[0] * 2));
        assert_eq!(WAITS.iter().sum::<Duration>(), Duration::from_millis(7750));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&MAP, &bytes);
            let _ = parse(&Request::PublicAddress, &bytes);
        }

        #[test]
        fn a_grant_is_for_what_was_asked(
            internal: u16, external: u16, wanted: u32, tail in proptest::collection::vec(any::<u8>(), 0..16),
        ) {
            let request = Request::MapTcp { internal, external, lifetime_s: wanted };
            let bytes = [&[0, 0x82, 0, 0][..], &tail].concat();
            if let Ok(Answer::MappedTcp { internal: port, lifetime_s, .. }) = parse(&request, &bytes) {
                prop_assert_eq!((port, lifetime_s == 0), (internal, wanted == 0));
            }
        }
    }
}
