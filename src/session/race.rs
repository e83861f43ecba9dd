//! In which order a broker's addresses are tried, and when the next one joins in. A core, after RFC 8305 ("happy eyeballs").

use core::net::SocketAddr;
use core::time::Duration;

/// How long an address is alone before the next one is tried beside it (RFC 8305, 5: connection attempt delay).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 8;

/// The addresses in the order of their attempts: IPv6 first, then the families by turns (RFC 8305, 4), so that a dead family
/// costs one delay and not one for each of its addresses. `demoted` comes last: TCP opened there last time, and nothing came
/// of it.
pub fn order(addresses: &[SocketAddr], demoted: Option<SocketAddr>) -> Vec<SocketAddr> {
    let mut fresh: Vec<SocketAddr> = Vec::with_capacity(ADDRESSES_MAX);
    for address in addresses {
        if !fresh.contains(address) && Some(*address) != demoted {
            fresh.push(*address);
        }
    }
    let v6_first = demoted.is_none_or(|d| d.is_ipv4());
    let (mut first, mut second): (Vec<_>, Vec<_>) = fresh.into_iter().partition(|a| a.is_ipv6() == v6_first);
    first.reverse();
    second.reverse();
    let mut ordered = Vec::with_capacity(ADDRESSES_MAX);
    while !(first.is_empty() && second.is_empty()) {
        ordered.extend(first.pop());
        ordered.extend(second.pop());
    }
    ordered.extend(demoted.filter(|d| addresses.contains(d)));
    // The demoted one keeps its place at the end even among many.
    while ordered.len() > ADDRESSES_MAX {
        ordered.remove(ADDRESSES_MAX - 1);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[track_caller]
    fn check(addresses: &[&str], demoted: Option<&str>, expect: &[&str]) {
        let demoted = demoted.map(|d| d.parse().unwrap());
        assert_eq!(order(&parsed(addresses), demoted), parsed(expect));
    }

    const A: &str = "192.0.2.1:1";
    const B: &str = "192.0.2.2:1";
    const X: &str = "[2001:db8::1]:1";
    const Y: &str = "[2001:db8::2]:1";

    #[test]
    fn families_take_turns_and_the_demoted_comes_last() {
        check(&[A, B, X, Y], None, &[X, A, Y, B]);
        check(&[A, B], None, &[A, B]);
        check(&[A, X, X, A], None, &[X, A]);
        check(&[A, X, Y], Some(X), &[A, Y, X]);
        check(&[A, B, X], Some(A), &[X, B, A]);
        check(&[A], Some(A), &[A]);
        check(&[A], Some(X), &[A]);
        check(&[], Some(X), &[]);
    }

    proptest! {
        #[test]
        fn every_address_is_tried_once_as_far_as_there_is_room(
            picks in proptest::collection::vec((any::<bool>(), 0u8..12), 0..20), demoted in 0usize..20,
        ) {
            let address = |(v6, n): &(bool, u8)| -> SocketAddr {
                if *v6 { format!("[2001:db8::{n}]:1").parse().unwrap() } else { format!("192.0.2.{n}:1").parse().unwrap() }
            };
            let all: Vec<SocketAddr> = picks.iter().map(address).collect();
            let demoted = all.get(demoted).copied();
            let ordered = order(&all, demoted);
            let mut distinct = all.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(ordered.len(), distinct.len().min(ADDRESSES_MAX));
            let mut seen = ordered.clone();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), ordered.len());
            prop_assert!(demoted.is_none() || ordered.last() == demoted.as_ref());
        }
    }
}
