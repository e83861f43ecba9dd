//! `/etc/resolv.conf` and `/etc/hosts` as texts. A core.
//!
//! resolv.conf(5): nameserver, search and domain are read; options are not, since times and retries are the agent's own.
//! hosts(5).

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// Name servers that are taken from one file, as in the C libraries (MAXNS).
pub const NAMESERVERS_MAX: usize = 3;
/// Search domains that are taken.
const SEARCH_MAX: usize = 3;
/// DNS (RFC 1035, 4.2).
pub const DNS_PORT: u16 = 53;

/// What resolv.conf says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// In their order.
    pub servers: heapless::Vec<SocketAddr, NAMESERVERS_MAX>,
    /// Appended to names without a dot.
    pub search: Vec<String>,
}

impl ResolvConf {
    /// Reads the text. `scope`: the number of a network interface, for link-local servers (`fe80::1%eth0`).
    pub fn parse(text: &str, scope: impl Fn(&str) -> Option<u32>) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| server(word, &scope));
                    // More than three are ignored, as everywhere.
                    let _ = server.map(|s| found.servers.push(s));
                }
                // The last one counts.
                Some("search" | "domain") => {
                    found.search =
                        words.take(SEARCH_MAX).map(|w| w.trim_end_matches('.').to_owned()).collect();
                }
                Some(_) | None => {}
            }
        }
        if found.servers.is_empty() {
            // resolv.conf(5): "if no nameserver entries are present, the default is to use the name server on the local machine".
            let _ = found.servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
        }
        found
    }

    /// The names to ask for, in this order: a name without a dot first in the search domains.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        let name = name.trim_end_matches('.');
        let mut all = Vec::new();
        if !name.contains('.') {
            all.extend(self.search.iter().filter(|s| !s.is_empty()).map(|s| format!("{name}.{s}")));
        }
        all.push(name.to_owned());
        all
    }
}

fn server(word: &str, scope: &impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    match word.split_once('%') {
        None => Some((word.parse::<IpAddr>().ok()?, DNS_PORT).into()),
        Some((address, interface)) => {
            let scope = interface.parse().ok().or_else(|| scope(interface))?;
            Some(SocketAddrV6::new(address.parse().ok()?, DNS_PORT, 0, scope).into())
        }
    }
}

/// The addresses that `/etc/hosts` gives for a name; `localhost` is there without it (RFC 6761, 6.3).
pub fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let mut found: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            found.push(address);
        }
    }
    if found.is_empty() && name.eq_ignore_ascii_case("localhost") {
        found = vec![Ipv4Addr::LOCALHOST.into(), core::net::Ipv6Addr::LOCALHOST.into()];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn servers(text: &str, expect: &[&str]) {
        let found = ResolvConf::parse(text, |name| (name == "eth0").then_some(2));
        let texts: Vec<String> = found.servers.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expect);
    }

    #[test]
    fn servers_are_read_in_their_order() {
        servers("nameserver 192.0.2.1\nnameserver 2001:db8::1\n", &["192.0.2.1:53", "[2001:db8::1]:53"]);
        servers("  nameserver\t192.0.2.1 # router\n;nameserver 192.0.2.2\n", &["192.0.2.1:53"]);
        servers(
            "nameserver fe80::1%eth0\nnameserver fe80::1%eth7\nnameserver fe80::1%3\n",
            &["[fe80::1%2]:53", "[fe80::1%3]:53"],
        );
        servers(
            "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n",
            &["1.1.1.1:53", "1.1.1.2:53", "1.1.1.3:53"],
        );
        servers("options rotate\nnameserver none\nnameserver\n", &["127.0.0.1:53"]);
        servers("", &["127.0.0.1:53"]);
    }

    #[test]
    fn names_without_a_dot_are_searched() {
        let conf = ResolvConf::parse("domain old\nsearch lan. home.arpa\n", |_| None);
        assert_eq!(conf.candidates("broker"), ["broker.lan", "broker.home.arpa", "broker"]);
        assert_eq!(conf.candidates("broker.example."), ["broker.example"]);
        assert_eq!(ResolvConf::default().candidates("broker"), ["broker"]);
    }

    #[test]
    fn hosts_come_first_and_localhost_needs_none() {
        let text =
            "127.0.0.1 localhost\n192.0.2.1\tBroker.lan broker # ours\n2001:db8::1 broker\nbad broker\n";
        let found = |name: &str| in_hosts(text, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("broker"), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(found("broker.LAN."), ["192.0.2.1"]);
        assert_eq!(found("ours"), Vec::<String>::new());
        assert_eq!(in_hosts("", "localhost").len(), 2);
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in "\\PC{0,80}(\n(nameserver|search|1.2.3.4) \\PC{0,40}){0,4}") {
            let conf = ResolvConf::parse(&text, |_| None);
            prop_assert!(!conf.servers.is_empty() && !conf.candidates("x").is_empty());
            let _ = in_hosts(&text, "x");
        }
    }
}
