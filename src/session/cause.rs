//! Why a session is not there, as a closed list. A core.
//!
//! Each cause says, by exhaustive match, how to retry and which finding it is: "wrong password" never gets the same
//! treatment as "connection refused".

use core::fmt;

use super::backoff::Retry;
use super::reach::Cut;
use crate::health::finding::Code;

/// How far an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Asking for the broker's address.
    Resolving,
    /// Opening the TCP connection.
    Connecting,
    /// TLS handshake.
    Tls,
    /// CONNECT sent, CONNACK awaited.
    Mqtt,
    /// SUBSCRIBE and echo sent, their answers awaited.
    Subscribing,
}

/// What TLS found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate's time is over, by max(system clock, floor).
    Expired,
    /// The certificate's time has not begun.
    NotYetValid,
    /// It is for other names.
    WrongName,
    /// Nobody that is trusted issued it.
    UnknownIssuer,
    /// Anything else, in rustls's words.
    Other(heapless::String<96>),
}

impl TlsFault {
    /// Whether another date could cure it.
    pub const fn is_about_dates(&self) -> bool {
        match self {
            Self::Expired | Self::NotYetValid => true,
            Self::WrongName | Self::UnknownIssuer | Self::Other(_) => false,
        }
    }
}

/// Why an attempt failed or a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The owner asked for a new session.
    Requested,
    /// The last network link went down.
    LinkLost,
    /// The last address went away.
    AddressLost,
    /// No way leads to the broker: the default route is missing.
    RouteLost,
    /// The address that the session went out from is no longer the NAS's.
    AddressChanged,
    /// The name servers say that the broker's name does not exist.
    NameUnknown,
    /// The name servers gave no answer.
    NameServers(heapless::String<96>),
    /// Nobody listens there.
    Refused,
    /// No way there, by the kernel's word.
    Unreachable(i32),
    /// No answer in time.
    TimedOut(Step),
    /// The handshake failed.
    Tls(TlsFault),
    /// The WebSocket upgrade was answered with this HTTP status.
    Upgrade(u16),
    /// CONNACK with this reason code (MQTT 5, 3.2.2.2).
    Rejected(u8),
    /// DISCONNECT with this reason code (MQTT 5, 3.14.2.1).
    Ended(u8),
    /// SUBACK with this reason code for one of the two topics nothing works without.
    SubscribeRefused(u8),
    /// The broker answers, but our own message does not come back.
    EchoLost,
    /// Nothing came back in time from a session that had worked.
    Silent,
    /// The broker closed the connection without a word.
    Closed,
    /// The broker sent what MQTT 5 does not allow, or more than was agreed.
    Protocol(&'static str),
    /// The box itself had no file descriptor, memory or buffer left (errno).
    Box(i32),
}

/// MQTT 5 reason code: Session taken over.
pub const TAKEN_OVER: u8 = 0x8e;
/// MQTT 5 reason code: Unsupported Protocol Version.
pub const UNSUPPORTED_VERSION: u8 = 0x84;
/// MQTT 5 reason code: Keep Alive timeout.
pub const KEEPALIVE_TIMEOUT: u8 = 0x8d;

impl Cause {
    /// What kind of wait it calls for. `was_online`: the session had been confirmed before.
    pub const fn retry(&self, was_online: bool) -> Retry {
        match self {
            Self::Requested | Self::AddressChanged => Retry::Now,
            // The wait ends at link-up, with an address or a route, whatever was drawn.
            Self::LinkLost | Self::AddressLost | Self::RouteLost => Retry::Local,
            // Nobody but the own network has been asked yet.
            Self::NameUnknown
            | Self::NameServers(_)
            | Self::TimedOut(Step::Resolving)
            | Self::Unreachable(_)
            | Self::Box(_) => Retry::Local,
            // Answered by a lower profile of the protocol, at once.
            Self::Rejected(UNSUPPORTED_VERSION) => Retry::Backoff,
            Self::Rejected(code) | Self::Ended(code) => match code {
                &TAKEN_OVER => Retry::Clone,
                // Server unavailable, busy, shutting down, moved, quota, rate: it will pass.
                0x88 | 0x89 | 0x8b | 0x8d | 0x97 | 0x9c | 0x9d | 0x9f | 0x00..=0x7f => spread_if(was_online),
                _ => Retry::Slow,
            },
            Self::SubscribeRefused(_) | Self::EchoLost => Retry::Slow,
            Self::Silent | Self::Closed => spread_if(was_online),
            Self::Refused | Self::TimedOut(_) | Self::Tls(_) | Self::Upgrade(_) | Self::Protocol(_) => {
                Retry::Backoff
            }
        }
    }

    /// The finding that names it.
    pub const fn finding(&self) -> Option<Code> {
        Some(match self {
            Self::Requested | Self::AddressChanged => return None,
            Self::RouteLost => Code::RouteMissing,
            Self::LinkLost => Code::LinkDown,
            Self::AddressLost => Code::AddressMissing,
            Self::NameUnknown => Code::DnsNameUnknown,
            Self::NameServers(_) => Code::DnsFailed,
            Self::Refused => Code::BrokerRefused,
            Self::Unreachable(_) | Self::TimedOut(Step::Connecting) => Code::BrokerUnreachable,
            Self::TimedOut(Step::Resolving) => Code::DnsFailed,
            Self::TimedOut(Step::Tls | Step::Mqtt | Step::Subscribing) | Self::Silent => Code::BrokerSilent,
            Self::Tls(fault) => match fault {
                TlsFault::Expired => Code::TlsExpired,
                TlsFault::NotYetValid => Code::TlsNotYetValid,
                TlsFault::WrongName => Code::TlsWrongName,
                TlsFault::UnknownIssuer => Code::TlsUnknownIssuer,
                TlsFault::Other(_) => Code::TlsFailed,
            },
            Self::Rejected(code) | Self::Ended(code) => match code {
                &TAKEN_OVER => Code::IdentityCloned,
                0x86 | 0x8c => Code::BrokerCredentialsRefused,
                0x87 | 0x8a => Code::BrokerNotAuthorized,
                0x88 | 0x89 | 0x8b | 0x97 | 0x9f => Code::BrokerBusy,
                _ => Code::BrokerRejected,
            },
            Self::SubscribeRefused(_) => Code::TopicRightsMissing,
            Self::EchoLost => Code::EchoLost,
            Self::Closed => Code::BrokerClosed,
            // What gateways answer while the broker behind them is away.
            Self::Upgrade(502..=504) => Code::BrokerBusy,
            Self::Upgrade(_) | Self::Protocol(_) => Code::BrokerProtocol,
            Self::Box(_) => Code::BoxResources,
        })
    }
}

const fn spread_if(was_online: bool) -> Retry {
    if was_online { Retry::Spread } else { Retry::Backoff }
}

impl From<Cut> for Cause {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::NoLink => Self::LinkLost,
            Cut::NoAddress => Self::AddressLost,
            Cut::NoRoute => Self::RouteLost,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "the name servers gave no answer in time",
            Self::Connecting => "no answer to the TCP connection in time",
            Self::Tls => "no answer to the TLS handshake in time",
            Self::Mqtt => "no answer to the MQTT login in time",
            Self::Subscribing => "no answer to the MQTT subscription in time",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("a new session was asked for"),
            Self::RouteLost => f.write_str("no route leads out of the NAS's own network"),
            Self::AddressChanged => f.write_str("the NAS's own address changed"),
            Self::LinkLost => f.write_str("no network link is up"),
            Self::AddressLost => f.write_str("the NAS has no address to reach the internet from"),
            Self::NameUnknown => f.write_str("the name servers say that the broker's name does not exist"),
            Self::NameServers(text) => write!(f, "the broker's name could not be looked up: {text}"),
            Self::Refused => f.write_str("the connection was refused: nothing listens on the broker's port"),
            Self::Unreachable(errno) => {
                write!(f, "the broker's network cannot be reached ({})", errno_text(*errno))
            }
            Self::TimedOut(step) => write!(f, "{step}"),
            Self::Tls(TlsFault::Expired) => f.write_str("the broker's certificate has expired"),
            Self::Tls(TlsFault::NotYetValid) => f.write_str("the broker's certificate is not valid yet"),
            Self::Tls(TlsFault::WrongName) => f.write_str("the broker's certificate is for another name"),
            Self::Tls(TlsFault::UnknownIssuer) => {
                f.write_str("the broker's certificate was issued by nobody trusted")
            }
            Self::Tls(TlsFault::Other(text)) => write!(f, "the TLS handshake failed: {text}"),
            Self::Upgrade(status) => {
                write!(f, "the server refused the WebSocket (HTTP status {status}): the path may be wrong")
            }
            Self::Rejected(code) => {
                write!(f, "the broker refused the login: {} (0x{code:02x})", reason_text(*code))
            }
            Self::Ended(code) => {
                write!(f, "the broker ended the session: {} (0x{code:02x})", reason_text(*code))
            }
            Self::SubscribeRefused(code) => {
                write!(f, "the broker refused a subscription: {} (0x{code:02x})", reason_text(*code))
            }
            Self::EchoLost => f.write_str("the broker answers, but the NAS's own message does not come back"),
            Self::Silent => f.write_str("the broker went silent"),
            Self::Closed => f.write_str("the broker closed the connection without a word"),
            Self::Protocol(what) => write!(f, "the broker broke the protocol: {what}"),
            Self::Box(errno) => write!(f, "the NAS ran out of resources ({})", errno_text(*errno)),
        }
    }
}

fn errno_text(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

/// The names of the MQTT 5 reason codes of CONNACK, SUBACK and DISCONNECT (2.4).
pub const fn reason_text(code: u8) -> &'static str {
    match code {
        0x00 => "normal disconnection",
        0x04 => "disconnect with will message",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "unsupported protocol version",
        0x85 => "client identifier not valid",
        0x86 => "bad user name or password",
        0x87 => "not authorized",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8a => "banned",
        0x8b => "server shutting down",
        0x8c => "bad authentication method",
        0x8d => "keep alive timeout",
        0x8e => "session taken over",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9a => "retain not supported",
        0x9b => "QoS not supported",
        0x9c => "use another server",
        0x9d => "server moved",
        0x9e => "shared subscriptions not supported",
        0x9f => "connection rate exceeded",
        0xa0 => "maximum connect time",
        0xa1 => "subscription identifiers not supported",
        0xa2 => "wildcard subscriptions not supported",
        _ => "unknown reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cause: Cause, was_online: bool, retry: Retry, finding: Option<Code>) {
        assert_eq!((cause.retry(was_online), cause.finding()), (retry, finding), "{cause}");
        assert!(!cause.to_string().is_empty());
    }

    #[test]
    fn causes_are_told_apart() {
        check(Cause::Requested, true, Retry::Now, None);
        check(Cause::Closed, true, Retry::Spread, Some(Code::BrokerClosed));
        check(Cause::Closed, false, Retry::Backoff, Some(Code::BrokerClosed));
        check(Cause::Rejected(0x86), false, Retry::Slow, Some(Code::BrokerCredentialsRefused));
        check(Cause::Rejected(0x87), false, Retry::Slow, Some(Code::BrokerNotAuthorized));
        check(Cause::Rejected(0x89), false, Retry::Backoff, Some(Code::BrokerBusy));
        check(Cause::Ended(0x8b), true, Retry::Spread, Some(Code::BrokerBusy));
        check(Cause::Ended(TAKEN_OVER), true, Retry::Clone, Some(Code::IdentityCloned));
        check(Cause::Refused, false, Retry::Backoff, Some(Code::BrokerRefused));
        check(Cause::SubscribeRefused(0x87), false, Retry::Slow, Some(Code::TopicRightsMissing));
        check(Cause::TimedOut(Step::Connecting), false, Retry::Backoff, Some(Code::BrokerUnreachable));
        check(Cause::TimedOut(Step::Mqtt), false, Retry::Backoff, Some(Code::BrokerSilent));
    }
}
