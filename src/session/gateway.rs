//! The default gateway, from the kernel's texts. A core.
//!
//! `/proc/net/route` (kernel: net/ipv4/fib_trie.c, fib_route_seq_show): addresses as hexadecimal numbers in the byte order of
//! the machine. `/proc/net/ipv6_route` (net/ipv6/route.c, rt6_info_route): addresses as 32 digits in network order.

use core::net::{Ipv4Addr, Ipv6Addr};

/// RTF_UP and RTF_GATEWAY of <linux/route.h>.
const UP_GATEWAY: u32 = 0x0001 | 0x0002;
/// RTF_REJECT: a route that leads nowhere on purpose.
const REJECT: u32 = 0x0200;

/// The IPv4 default gateway with the lowest metric.
pub fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let read = |line: &str| -> Option<(u32, Ipv4Addr)> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let destination = u32::from_str_radix(fields.next()?, 16).ok()?;
        let gateway = u32::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
        let metric: u32 = fields.nth(2)?.parse().ok()?;
        let mask = u32::from_str_radix(fields.next()?, 16).ok()?;
        let is_default = destination == 0 && mask == 0 && flags & (UP_GATEWAY | REJECT) == UP_GATEWAY;
        is_default.then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    };
    text.lines().filter_map(read).min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

/// The IPv6 default gateway with the lowest metric.
pub fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let read = |line: &str| -> Option<(u32, Ipv6Addr)> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, length, _, _, gateway, metric, _, _, flags, _] = fields.as_slice() else {
            return None;
        };
        let (metric, flags) = (u32::from_str_radix(metric, 16).ok()?, u32::from_str_radix(flags, 16).ok()?);
        let is_default = destination.bytes().all(|b| b == b'0')
            && *length == "00"
            && flags & (UP_GATEWAY | REJECT) == UP_GATEWAY;
        let gateway = u128::from_str_radix(gateway, 16).ok()?;
        is_default.then(|| (metric, Ipv6Addr::from(gateway)))
    };
    text.lines().filter_map(read).min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_gateway_is_found() {
        // Numbers as a little-endian kernel prints them; the lowest metric counts, and routes without gateway do not.
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth1\t00000000\t0202000A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n\
            eth0\t00000000\t014DA8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t004DA8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        let little = |n: u32| Ipv4Addr::from(n.to_ne_bytes());
        assert_eq!(ipv4(text), Some(little(0x014D_A8C0)));
        assert_eq!(ipv4("eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"), None);
        let zero = "0".repeat(32);
        let gateway = "20010db8007700010000000000000001";
        let line = |flags: &str, length: &str| {
            format!("{zero} {length} {zero} 00 {gateway} 00000400 00000001 00000000 {flags}     eth0\n")
        };
        assert_eq!(ipv6(&line("00000003", "00")), "2001:db8:77:1::1".parse().ok());
        assert_eq!(ipv6(&line("00200200", "00")), None, "unreachable default, as on every box without IPv6");
        assert_eq!(ipv6(&line("00000003", "40")), None);
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in "(\\PC{0,30}[ \t]){0,12}\n\\PC{0,80}") {
            let _ = (ipv4(&text), ipv6(&text));
        }
    }
}
