//! Asking a home router for a port: NAT-PMP, PCP and UPnP IGD as bytes, and what the answers mean; the keeper of one
//! mapping. Cores, but for `io`.
//!
//! Each protocol gives the bytes of a request and reads the bytes of an answer. The choice among the protocols and
//! all waits are the keeper's, sockets are `io`'s, and so is the sender's address: an answer counts only from whom
//! it was asked. Each question has a socket of its own, so that late answers of one are not read as another's.

pub mod address;
pub mod epoch;
pub mod gateway;
pub mod http;
pub mod igd;
pub mod io;
pub mod keeper;
pub mod natpmp;
pub mod pcp;
pub mod ssdp;
pub mod url;
pub mod xml;

use crate::health::tracker::cut;

/// What came is no answer to what was asked. It is ignored and the wait goes on (RFC 6887, 8.3): it may be a
/// late answer to an earlier question, or somebody's try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Stray(pub &'static str);

/// A router's own words, as far as `N` bytes hold them, without control characters. They are shown, never
/// acted on.
fn shown<const N: usize>(words: &str) -> heapless::String<N> {
    cut(&words.chars().filter(|c| !c.is_control()).collect::<String>())
}
