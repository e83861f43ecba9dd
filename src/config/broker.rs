//! Where a broker is: `mqtts://host[:port]`, `wss://host[:port]/path`, or the same without TLS. A core.

use std::fmt;
use std::net::IpAddr;

/// A broker's address as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// MQTT over WebSocket, at this path; otherwise MQTT alone.
    pub path: Option<String>,
}

/// Longest path of a WebSocket.
const PATH_MAX: usize = 200;

/// What is wrong with a broker's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Another scheme, or none.
    #[error("a broker's address begins with mqtts:// or wss:// (or mqtt:// or ws:// on this machine)")]
    Scheme,
    /// Not a path.
    #[error("the path of a WebSocket is at most 200 printable characters without ? and #")]
    Path,
    /// No host, or not a name.
    #[error("the host is missing or is not a name or an IP address")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A user, a password or a path.
    #[error("there is more than host and port; user and password have keys of their own")]
    Extra,
}

impl std::str::FromStr for BrokerUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Scheme)?;
        let (tls, websocket) = match scheme {
            "mqtts" => (true, false),
            "mqtt" => (false, false),
            "wss" => (true, true),
            "ws" => (false, true),
            _ => return Err(BadUrl::Scheme),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains(['@', '?', '#']) || (!websocket && !path.is_empty()) {
            return Err(BadUrl::Extra);
        }
        let fits = |b: u8| b.is_ascii_graphic() && b != b'?' && b != b'#';
        if path.len() >= PATH_MAX || !path.bytes().all(fits) {
            return Err(BadUrl::Path);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(text) => text.parse().ok().filter(|p| *p != 0).ok_or(BadUrl::Port)?,
            None => default_port(tls, websocket),
        };
        Ok(Self { host, port, tls, path: websocket.then(|| format!("/{path}")) })
    }
}

/// IANA's for MQTT; HTTP's for WebSockets (RFC 6455, 11.1).
const fn default_port(tls: bool, websocket: bool) -> u16 {
    match (tls, websocket) {
        (true, false) => 8883,
        (false, false) => 1883,
        (true, true) => 443,
        (false, true) => 80,
    }
}

fn split_port(text: &str) -> Result<(String, Option<&str>), BadUrl> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(BadUrl::Host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| BadUrl::Host)?;
        let port = match port {
            "" => None,
            _ => Some(port.strip_prefix(':').ok_or(BadUrl::Port)?),
        };
        return Ok((host.to_owned(), port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(fits) {
        return Err(BadUrl::Host);
    }
    Ok((host.to_owned(), port))
}

impl BrokerUrl {
    /// Whether it is on this very machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.tls, &self.path) {
            (true, None) => "mqtts",
            (false, None) => "mqtt",
            (true, Some(_)) => "wss",
            (false, Some(_)) => "ws",
        };
        let path = self.path.as_deref().unwrap_or_default();
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}{path}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}{path}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, BadUrl>) {
        assert_eq!(text.parse::<BrokerUrl>().map(|u| u.to_string()), expect.map(str::to_owned));
    }

    #[test]
    fn addresses_are_read_and_written_alike() {
        check("mqtts://broker.example", Ok("mqtts://broker.example:8883"));
        check("mqtts://broker.example:443/", Ok("mqtts://broker.example:443"));
        check("mqtt://127.0.0.1", Ok("mqtt://127.0.0.1:1883"));
        check("mqtts://[::1]:8883", Ok("mqtts://[::1]:8883"));
        check("broker.example", Err(BadUrl::Scheme));
        check("https://broker.example", Err(BadUrl::Scheme));
        check("wss://broker.example/mqtt", Ok("wss://broker.example:443/mqtt"));
        check("wss://broker.example", Ok("wss://broker.example:443/"));
        check("ws://127.0.0.1:9001/a/b", Ok("ws://127.0.0.1:9001/a/b"));
        check("wss://[::1]/mqtt", Ok("wss://[::1]:443/mqtt"));
        check("wss://a/b?c", Err(BadUrl::Path));
        check("wss://a/b c", Err(BadUrl::Path));
        check("mqtts://a/b", Err(BadUrl::Extra));
        check("mqtts://", Err(BadUrl::Host));
        check("mqtts://a b", Err(BadUrl::Host));
        check("mqtts://[zz]:1", Err(BadUrl::Host));
        check("mqtts://a:0", Err(BadUrl::Port));
        check("mqtts://a:x", Err(BadUrl::Port));
        check("mqtts://user:pw@a", Err(BadUrl::Extra));
    }
}
