//! The way out of this network, from the kernel's routing tables as text (kernel: net/ipv4/fib_trie.c,
//! `fib_route_seq_show`; net/ipv6/route.c, `rt6_info_route`). A core.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An interface's name: IFNAMSIZ of <linux/if.h> without the zero.
pub type Interface = heapless::String<15>;

/// A default route's next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway<A> {
    /// On which interface. A link-local address means nothing without it.
    pub interface: Interface,
    /// The router.
    pub address: A,
}

// <linux/route.h>
const RTF_UP: u32 = 0x0001;
const RTF_GATEWAY: u32 = 0x0002;
const RTF_REJECT: u32 = 0x0200;

/// The default gateway of IPv4 by the text of /proc/net/route, of several the one with the lowest metric; of
/// equals the first, which is the one the kernel uses.
pub fn v4(route: &str) -> Option<Gateway<Ipv4Addr>> {
    best(route.lines().filter_map(route_v4))
}

/// The default gateway of IPv6 by the text of /proc/net/ipv6_route, by the same rule.
pub fn v6(ipv6_route: &str) -> Option<Gateway<Ipv6Addr>> {
    best(ipv6_route.lines().filter_map(route_v6))
}

fn best<A>(routes: impl Iterator<Item = (u32, Gateway<A>)>) -> Option<Gateway<A>> {
    routes.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

const fn is_way_out(flags: u32) -> bool {
    flags & (RTF_UP | RTF_GATEWAY | RTF_REJECT) == RTF_UP | RTF_GATEWAY
}

/// Iface Destination Gateway Flags RefCnt Use Metric Mask …: all hexadecimal but the counters and the metric.
/// The header has no numbers and falls out.
fn route_v4(line: &str) -> Option<(u32, Gateway<Ipv4Addr>)> {
    let mut fields = line.split_ascii_whitespace();
    let interface = Interface::try_from(fields.next()?).ok()?;
    let (destination, gateway, flags) = (hex(fields.next()?)?, hex(fields.next()?)?, hex(fields.next()?)?);
    let metric = fields.nth(2)?.parse().ok()?;
    let mask = hex(fields.next()?)?;
    let wanted = destination == 0 && mask == 0 && gateway != 0 && is_way_out(flags);
    // The kernel prints the four bytes of the address as a number of its own byte order.
    wanted.then(|| (metric, Gateway { interface, address: Ipv4Addr::from(gateway.to_ne_bytes()) }))
}

/// Destination, its length, source, its length, next hop, metric, two counters, flags, interface: all
/// hexadecimal.
fn route_v6(line: &str) -> Option<(u32, Gateway<Ipv6Addr>)> {
    let mut fields = line.split_ascii_whitespace();
    let destination = address_v6(fields.next()?)?;
    let length = hex(fields.next()?)?;
    // Routes for some sources only are not for us.
    let source_length = hex(fields.nth(1)?)?;
    let address = address_v6(fields.next()?)?;
    let metric = hex(fields.next()?)?;
    let flags = hex(fields.nth(2)?)?;
    let interface = Interface::try_from(fields.next()?).ok()?;
    let is_default = destination.is_unspecified() && length == 0 && source_length == 0;
    let wanted = is_default && !address.is_unspecified() && is_way_out(flags);
    wanted.then_some((metric, Gateway { interface, address }))
}

fn address_v6(text: &str) -> Option<Ipv6Addr> {
    let digits = text.len() == 32;
    u128::from_str_radix(text, 16).ok().filter(|_| digits).map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT      \n";

    #[track_caller]
    fn check_v4(lines: &str, expect: Option<(&str, [u8; 4])>) {
        let found = v4(&format!("{HEAD}{lines}"));
        let found = found.as_ref().map(|g| (g.interface.as_str(), g.address.octets()));
        assert_eq!(found, expect);
    }

    #[track_caller]
    fn check_v6(lines: &str, expect: Option<(&str, &str)>) {
        let found = v6(lines).map(|g| (g.interface.to_string(), g.address.to_string()));
        assert_eq!(found, expect.map(|(i, a)| (i.to_owned(), a.to_owned())));
    }

    #[test]
    fn the_way_out_of_ipv4() {
        let plain = "eth0\t00000000\t0107A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0     \n\
                     eth0\t0007A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0     \n";
        check_v4(plain, Some(("eth0", [192, 168, 7, 1])));
        let two = "wlan0\t00000000\tFE01A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                   eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                   eth1\t00000000\t0201A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
        check_v4(two, Some(("eth0", [192, 168, 1, 1])));
    }

    #[test]
    fn routes_that_lead_nowhere_are_none() {
        check_v4("", None);
        // No gateway (point to point), down, unreachable, a half of everything, a net, a name too long, cut
        // off.
        check_v4("ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n", None);
        check_v4("eth0\t00000000\t0107A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", None);
        check_v4("*\t00000000\t00000000\t0200\t0\t0\t0\t00000000\t0\t0\t0\n", None);
        check_v4("eth0\t00000000\t0107A8C0\t0203\t0\t0\t0\t00000000\t0\t0\t0\n", None);
        check_v4("tun0\t00000000\t0107A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", None);
        check_v4("eth0\t0007A8C0\t0107A8C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", None);
        check_v4("aninterfacetoolong\t00000000\t0107A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", None);
        check_v4("eth0\t00000000\t0107A8C0\t0003\t0\t0\t0", None);
    }

    #[test]
    fn the_way_out_of_ipv6() {
        let none = "00000000000000000000000000000000 00 ";
        let (zero, router) = ("00000000000000000000000000000000", "fe800000000000000000000000000001");
        let reject = format!("{none}{zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n");
        let real = format!(
            "fd000007000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n\
             {none}{zero} 00 {router} 00000400 00000001 00000000 00000003     eth0\n\
             00000000000000000000000000000001 80 {zero} 00 {zero} 00000000 00000002 00000000 80200001       lo\n\
             {reject}"
        );
        check_v6(&real, Some(("eth0", "fe80::1")));
        check_v6(&reject, None);
        let lower = format!(
            "{real}{none}{zero} 00 fe8000000000000000000000000000aa 00000080 00000001 00000000 00450003     wlan0\n"
        );
        check_v6(&lower, Some(("wlan0", "fe80::aa")));
        let sourced = format!(
            "{none}fd000007000000000000000000000000 40 {router} 00000400 00000001 00000000 00000003     eth0\n"
        );
        check_v6(&sourced, None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
            let _ = (v4(&text), v6(&text));
        }

        #[test]
        fn arbitrary_fields_never_panic(fields in proptest::collection::vec("[0-9a-fA-F+-]{0,33}", 0..14)) {
            let line = fields.join(" ");
            let _ = (v4(&line), v6(&line));
        }

        #[test]
        fn any_gateway_is_read(address in 1u32.., metric: u32) {
            let line = format!("eth0\t00000000\t{address:08X}\t0003\t0\t0\t{metric}\t00000000\t0\t0\t0\n");
            let found = v4(&line).map(|g| g.address);
            prop_assert_eq!(found, Some(Ipv4Addr::from(address.to_ne_bytes())));
        }
    }
}
