//! What the doctor says of one step. A leaf of this domain.

use crate::health::finding::{Code, Severity};

/// A step between the box and the cloud, in the order in which one needs the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A link has carrier.
    Link,
    /// The NAS has an address.
    Address,
    /// A route leads out.
    Route,
    /// One name server.
    NameServer,
    /// The broker's name.
    Name,
    /// The NAS's idea of the date.
    Clock,
    /// TCP to the broker over IPv4.
    TcpV4,
    /// TCP to the broker over IPv6.
    TcpV6,
    /// TLS with the broker's certificate.
    Tls,
    /// What answers there speaks MQTT.
    Broker,
    /// The NAS's account.
    Credentials,
    /// The NAS's topics.
    Rights,
    /// The agent's own session.
    Session,
    /// What the router does for a direct path.
    Router,
    /// One service of the NAS.
    Service,
}

impl Step {
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Address => "address",
            Self::Route => "route",
            Self::NameServer => "name-server",
            Self::Name => "name",
            Self::Clock => "clock",
            Self::TcpV4 => "tcp-ipv4",
            Self::TcpV6 => "tcp-ipv6",
            Self::Tls => "tls",
            Self::Broker => "broker",
            Self::Credentials => "credentials",
            Self::Rights => "rights",
            Self::Session => "session",
            Self::Router => "router",
            Self::Service => "service",
        }
    }
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It works.
    Pass,
    /// It works, but something is wrong with it.
    Warn(Code),
    /// It does not work.
    Fail(Code),
    /// It could not or need not be looked at.
    Skip,
}

impl Standing {
    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn(_) => "warn",
            Self::Fail(_) => "fail",
            Self::Skip => "skip",
        }
    }

    /// Its finding.
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::Warn(code) | Self::Fail(code) => Some(code),
            Self::Pass | Self::Skip => None,
        }
    }
}

/// One line of the doctor's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which step.
    pub step: Step,
    /// Which of several; empty where there is one.
    pub subject: String,
    /// How it stands.
    pub standing: Standing,
    /// What was measured or seen.
    pub detail: String,
    /// How long it took, where that says something.
    pub ms: Option<u64>,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// In the order of the steps.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// What everything else follows from: the first step that fails, or, if none does, the first warning that is worth one.
    pub fn first_failure(&self) -> Option<&Check> {
        let fails = |c: &&Check| matches!(c.standing, Standing::Fail(_));
        let warns = |c: &&Check| c.standing.code().is_some_and(|code| code.entry().severity > Severity::Info);
        self.checks.iter().find(fails).or_else(|| self.checks.iter().find(warns))
    }

    /// One sentence.
    pub fn summary(&self) -> String {
        match self.first_failure() {
            None => "Everything between this NAS and the cloud works.".to_owned(),
            Some(Check { standing: Standing::Warn(code), .. }) => {
                format!("Remote access works, but: {}.", code.entry().title)
            }
            Some(check) => format!("{}.", check.standing.code().map_or("", |code| code.entry().title)),
        }
    }
}
