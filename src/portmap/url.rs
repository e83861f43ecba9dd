//! Addresses of a router's pages: `http` and an IP address, nothing that would need a name looked up. A core.

use core::fmt;
use std::net::{IpAddr, SocketAddr};

/// Longest target. Real ones have some dozen bytes.
const TARGET_MAX: usize = 256;

/// `http://host:port/target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: SocketAddr,
    target: heapless::String<TARGET_MAX>,
}

/// Why a text is not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Another scheme, or none.
    #[error("not http")]
    Scheme,
    /// A name, or something with a user in it.
    #[error("the host is not an IP address")]
    Host,
    /// Characters that a URL does not have (RFC 3986, 2), or too long.
    #[error("not a URL")]
    Target,
}

impl Url {
    /// Reads an absolute one.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(BadUrl::Scheme)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(BadUrl::Scheme);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or(BadUrl::Target)?;
        Ok(Self { host: host(authority).ok_or(BadUrl::Host)?, target: checked(target)? })
    }

    /// Reads one that may be relative to this one (RFC 3986, 5.2). Dots in a path are left to the router.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn join(&self, reference: &str) -> Result<Self, BadUrl> {
        let reference = reference.trim();
        if is_absolute(reference) {
            return Self::parse(reference);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("http://{rest}"));
        }
        let target = if reference.starts_with('/') {
            checked(reference)?
        } else {
            checked(&format!("{}{reference}", self.directory()))?
        };
        Ok(Self { host: self.host, target })
    }

    /// Up to the last slash of the path.
    fn directory(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or("/");
        path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/")
    }

    /// Where to connect to.
    pub const fn host(&self) -> SocketAddr {
        self.host
    }

    /// Path and query, as a request line has them.
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.target)
    }
}

/// Whether it begins with a scheme (RFC 3986, 3.1).
fn is_absolute(reference: &str) -> bool {
    let letters =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    reference.split_once(':').is_some_and(|(scheme, _)| letters(scheme))
}

fn host(authority: &str) -> Option<SocketAddr> {
    if let Ok(host) = authority.parse::<SocketAddr>() {
        return Some(host).filter(|h| h.port() != 0);
    }
    let bare = authority.strip_suffix(':').unwrap_or(authority);
    let literal = match bare.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => bare.parse().ok().map(IpAddr::V4),
    };
    literal.map(|ip| SocketAddr::new(ip, 80))
}

/// A target fit for a request line: visible ASCII that begins with a slash, without a fragment.
fn checked(target: &str) -> Result<heapless::String<TARGET_MAX>, BadUrl> {
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut out = heapless::String::new();
    let fits = out.push_str(slash).and_then(|()| out.push_str(target)).is_ok();
    let is_clean = target.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b));
    if fits && is_clean { Ok(out) } else { Err(BadUrl::Target) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, BadUrl>) {
        assert_eq!(Url::parse(text).map(|u| u.to_string()), expect.map(str::to_owned));
    }

    #[track_caller]
    fn joined(base: &str, reference: &str, expect: Result<&str, BadUrl>) {
        let url = Url::parse(base).unwrap().join(reference);
        assert_eq!(url.map(|u| u.to_string()), expect.map(str::to_owned), "{base} {reference}");
    }

    #[test]
    fn hosts_are_ip_addresses() {
        check("http://192.168.7.1:5555/rootDesc.xml", Ok("http://192.168.7.1:5555/rootDesc.xml"));
        check(" HTTP://192.168.7.1/a?b=c#d ", Ok("http://192.168.7.1:80/a?b=c"));
        check("http://192.168.7.1", Ok("http://192.168.7.1:80/"));
        check("http://192.168.7.1:/", Ok("http://192.168.7.1:80/"));
        check("http://192.168.7.1?x", Ok("http://192.168.7.1:80/?x"));
        check("http://[fd00:7::1]:5555/x", Ok("http://[fd00:7::1]:5555/x"));
        check("http://[fd00:7::1]/x", Ok("http://[fd00:7::1]:80/x"));
        for host in [
            "fritz.box:49000",
            "",
            "192.168.7.1:0",
            "192.168.7.1:99999",
            "u@192.168.7.1",
            "192.168.7",
            "0300.1.1.1",
            "0xc0a80701",
            "3232237313",
            "fd00::1",
            "[fd00::1",
            "[192.168.7.1]",
        ] {
            check(&format!("http://{host}/x"), Err(BadUrl::Host));
        }
    }

    #[test]
    fn what_would_not_fit_a_request_line_is_refused() {
        check("https://192.168.7.1/", Err(BadUrl::Scheme));
        check("/rootDesc.xml", Err(BadUrl::Scheme));
        check("file:///etc/passwd", Err(BadUrl::Scheme));
        check("http://192.168.7.1/a b", Err(BadUrl::Target));
        check("http://192.168.7.1/a\r\nX: y", Err(BadUrl::Target));
        check("http://192.168.7.1/ä", Err(BadUrl::Target));
        check(&format!("http://192.168.7.1/{}", "a".repeat(256)), Err(BadUrl::Target));
    }

    #[test]
    fn references_are_resolved() {
        let base = "http://192.168.7.1:49000/igd/desc.xml?x=/y";
        joined(base, "/ctl", Ok("http://192.168.7.1:49000/ctl"));
        joined(base, "ctl", Ok("http://192.168.7.1:49000/igd/ctl"));
        joined(base, "ctl?a=b:c", Ok("http://192.168.7.1:49000/igd/ctl?a=b:c"));
        joined(base, "http://192.168.7.9/ctl", Ok("http://192.168.7.9:80/ctl"));
        joined(base, "//192.168.7.9:1/ctl", Ok("http://192.168.7.9:1/ctl"));
        joined(base, "https://192.168.7.1/ctl", Err(BadUrl::Scheme));
        joined(base, "javascript:x", Err(BadUrl::Scheme));
        joined("http://192.168.7.1", "ctl", Ok("http://192.168.7.1:80/ctl"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,60}", reference in "\\PC{0,60}") {
            let _ = Url::parse(&text);
            let _ = Url::parse("http://192.168.7.1/").unwrap().join(&reference);
        }

        #[test]
        fn what_is_read_is_fit_for_a_request(rest in "[ -~\r\n]{0,40}") {
            if let Ok(url) = Url::parse(&format!("http://192.168.7.1{rest}")) {
                prop_assert!(url.target().starts_with('/'));
                prop_assert!(url.target().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
