//! What kind of IPv4 address a router has on its other side: can the world reach it, and if not, whose NAT is
//! in between? A core.

use std::net::Ipv4Addr;

/// What an address is for (the IANA special-purpose registry, RFC 6890, as far as it matters here).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anybody's, reachable from everywhere.
    Public,
    /// For examples (RFC 5737). No router has one, except in tests.
    Documentation,
    /// For networks of one's own (RFC 1918).
    Private,
    /// Between a provider's NAT and its customers (RFC 6598).
    CarrierGrade,
    /// 192.0.0.0/29: the near end of IPv4 over IPv6, DS-Lite or 464XLAT (RFC 7335, RFC 6333). The NAT is the
    /// provider's.
    ServiceContinuity,
    /// The box itself (RFC 1122, 3.2.1.3).
    Loopback,
    /// Chosen by the box itself, without anybody's word (RFC 3927).
    LinkLocal,
    /// 0.0.0.0/8: no address yet (RFC 1122, 3.2.1.3).
    ThisNetwork,
    /// Multicast (RFC 5771), class E and broadcast (RFC 1112), benchmarks (RFC 2544), protocol assignments
    /// (RFC 6890).
    Reserved,
}

/// What an address of a router's other side means for somebody who wants to be reached through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A port of it can be reached from the internet.
    Reachable,
    /// It is in somebody's own network: another router follows, which could be asked to forward as well.
    DoubleNat,
    /// The provider's NAT follows, which forwards nothing.
    CarrierNat,
    /// The router has no address that means anything: its line is not up.
    NoAddress,
}

impl Kind {
    /// The number of the RFC that set the addresses aside; `None` for those that are not.
    pub const fn rfc(self) -> Option<u16> {
        match self {
            Self::Public => None,
            Self::Documentation => Some(5737),
            Self::Private => Some(1918),
            Self::CarrierGrade => Some(6598),
            Self::ServiceContinuity => Some(7335),
            Self::Loopback | Self::ThisNetwork => Some(1122),
            Self::LinkLocal => Some(3927),
            Self::Reserved => Some(6890),
        }
    }

    /// What it means as a router's own address.
    pub const fn verdict(self) -> Verdict {
        match self {
            // Examples pass for public, so that tests can use them.
            Self::Public | Self::Documentation => Verdict::Reachable,
            Self::Private => Verdict::DoubleNat,
            Self::CarrierGrade | Self::ServiceContinuity => Verdict::CarrierNat,
            Self::Loopback | Self::LinkLocal | Self::ThisNetwork | Self::Reserved => Verdict::NoAddress,
        }
    }
}

/// Says what `address` is for.
pub const fn classify(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [0, ..] => Kind::ThisNetwork,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        [100, 64..=127, ..] => Kind::CarrierGrade,
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        [192, 0, 0, 0..=7] => Kind::ServiceContinuity,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Documentation,
        [192, 0, 0, _] | [198, 18..=19, ..] | [224..=255, ..] => Kind::Reserved,
        _ => Kind::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(first: [u8; 4], last: [u8; 4], expect: Kind) {
        for address in [first, last].map(Ipv4Addr::from) {
            assert_eq!(classify(address), expect, "{address}");
        }
    }

    #[test]
    fn ranges_end_where_the_rfcs_end_them() {
        check([0, 0, 0, 0], [0, 255, 255, 255], Kind::ThisNetwork);
        check([1, 0, 0, 0], [9, 255, 255, 255], Kind::Public);
        check([10, 0, 0, 0], [10, 255, 255, 255], Kind::Private);
        check([11, 0, 0, 0], [100, 63, 255, 255], Kind::Public);
        check([100, 64, 0, 0], [100, 127, 255, 255], Kind::CarrierGrade);
        check([100, 128, 0, 0], [126, 255, 255, 255], Kind::Public);
        check([127, 0, 0, 0], [127, 255, 255, 255], Kind::Loopback);
        check([128, 0, 0, 0], [169, 253, 255, 255], Kind::Public);
        check([169, 254, 0, 0], [169, 254, 255, 255], Kind::LinkLocal);
        check([169, 255, 0, 0], [172, 15, 255, 255], Kind::Public);
        check([172, 16, 0, 0], [172, 31, 255, 255], Kind::Private);
        check([172, 32, 0, 0], [191, 255, 255, 255], Kind::Public);
        check([192, 0, 0, 0], [192, 0, 0, 7], Kind::ServiceContinuity);
        check([192, 0, 0, 8], [192, 0, 0, 255], Kind::Reserved);
        check([192, 0, 1, 0], [192, 0, 1, 255], Kind::Public);
        check([192, 0, 2, 0], [192, 0, 2, 255], Kind::Documentation);
        check([192, 0, 3, 0], [192, 167, 255, 255], Kind::Public);
        check([192, 168, 0, 0], [192, 168, 255, 255], Kind::Private);
        check([192, 169, 0, 0], [198, 17, 255, 255], Kind::Public);
        check([198, 18, 0, 0], [198, 19, 255, 255], Kind::Reserved);
        check([198, 20, 0, 0], [198, 51, 99, 255], Kind::Public);
        check([198, 51, 100, 0], [198, 51, 100, 255], Kind::Documentation);
        check([198, 51, 101, 0], [203, 0, 112, 255], Kind::Public);
        check([203, 0, 113, 0], [203, 0, 113, 255], Kind::Documentation);
        check([203, 0, 114, 0], [223, 255, 255, 255], Kind::Public);
        check([224, 0, 0, 0], [255, 255, 255, 255], Kind::Reserved);
    }

    #[test]
    fn whose_nat_it_is() {
        for (address, expect) in [
            ([203, 0, 113, 7], Verdict::Reachable),
            ([192, 168, 178, 20], Verdict::DoubleNat),
            ([100, 72, 3, 4], Verdict::CarrierNat),
            ([192, 0, 0, 2], Verdict::CarrierNat),
            ([0, 0, 0, 0], Verdict::NoAddress),
            ([169, 254, 3, 4], Verdict::NoAddress),
        ] {
            assert_eq!(classify(Ipv4Addr::from(address)).verdict(), expect, "{address:?}");
        }
    }

    proptest! {
        #[test]
        fn the_standard_library_agrees(address: u32) {
            let address = Ipv4Addr::from(address);
            let kind = classify(address);
            prop_assert_eq!(kind == Kind::Private, address.is_private());
            prop_assert_eq!(kind == Kind::LinkLocal, address.is_link_local());
            prop_assert_eq!(kind == Kind::Loopback, address.is_loopback());
            prop_assert_eq!(kind == Kind::Documentation, address.is_documentation());
            prop_assert_eq!(kind.rfc().is_none(), kind == Kind::Public);
        }
    }
}
