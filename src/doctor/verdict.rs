//! What the facts mean: a line for each step, in the order in which one needs the other. A core.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::check::{Check, Diagnosis, Standing, Step};
use super::facts::{Facts, Login, NameServer, Origin, Router};
use super::own_session::{self, of_level};
use crate::clock::{Confidence, WRONG_BY};
use crate::health::finding::Code;
use crate::portmap::address::{self, classify};
use crate::session::cause::{Cause, TlsFault};
use crate::session::packet::Level;
use crate::session::reach::{Cut, Reach};
use crate::session::resolve::Verdict;

/// TCP that takes longer than this to open is slow: half way around the earth and back is 0.4 s.
const SLOW: Duration = Duration::from_millis(1000);
/// What a connection takes longer if its first packet is lost, with some room for a busy box.
const REPEAT_AFTER: Duration = Duration::from_millis(900);
/// A clock so far ahead of this software is more likely wrong than the software that old.
const AHEAD: u64 = 5 * 365 * 24 * 3600;

/// The diagnosis.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let mut lines = Lines { checks: Vec::new(), broken: None };
    if facts.broker.is_none() {
        lines.add(Step::Broker, Standing::Fail(Code::CloudNotConfigured), "[cloud] broker is not set".into());
    }
    network(facts, &mut lines);
    names(facts, &mut lines);
    clock(facts, &mut lines);
    tcp(facts, &mut lines);
    login(facts, &mut lines);
    session(facts, &mut lines);
    router(facts, &mut lines);
    services(facts, &mut lines);
    Diagnosis { checks: lines.checks }
}

/// The lines so far, and the first step that failed: what comes after it is not looked at.
struct Lines {
    checks: Vec<Check>,
    broken: Option<Step>,
}

impl Lines {
    fn add(&mut self, step: Step, standing: Standing, detail: String) {
        self.add_of(step, String::new(), standing, detail, None);
    }

    fn add_of(&mut self, step: Step, subject: String, standing: Standing, detail: String, ms: Option<u64>) {
        if matches!(standing, Standing::Fail(_)) {
            self.broken.get_or_insert(step);
        }
        self.checks.push(Check { step, subject, standing, detail, ms });
    }

    /// Whether a step can be judged; if not, its line says why.
    fn reaches(&mut self, step: Step) -> bool {
        let Some(broken) = self.broken else { return true };
        self.add(step, Standing::Skip, format!("not reached: {} comes first", broken.name()));
        false
    }
}

fn network(facts: &Facts, lines: &mut Lines) {
    let cut = match facts.reach {
        Reach::Usable => None,
        Reach::Cut(cut) => Some(cut),
    };
    match cut {
        Some(Cut::NoLink) => {
            lines.add(Step::Link, Standing::Fail(Code::LinkDown), "no network interface has carrier".into());
        }
        Some(Cut::NoAddress | Cut::NoRoute) | None => {
            lines.add(Step::Link, Standing::Pass, "a network link is up".into());
        }
    }
    if lines.reaches(Step::Address) {
        let own: Vec<String> = facts.addresses.iter().take(4).map(ToString::to_string).collect();
        match cut {
            Some(Cut::NoAddress) => {
                let detail = "the link is up, but no interface has an address".into();
                lines.add(Step::Address, Standing::Fail(Code::AddressMissing), detail);
            }
            Some(Cut::NoLink | Cut::NoRoute) | None => {
                lines.add(Step::Address, Standing::Pass, own.join(" "));
            }
        }
    }
    if lines.reaches(Step::Route) {
        let router =
            facts.gateway.map_or_else(|| "no router is needed".to_owned(), |g| format!("by way of {g}"));
        match cut {
            Some(Cut::NoRoute) => {
                let detail = "the kernel knows no way to the broker".into();
                lines.add(Step::Route, Standing::Fail(Code::RouteMissing), detail);
            }
            Some(Cut::NoLink | Cut::NoAddress) | None => lines.add(Step::Route, Standing::Pass, router),
        }
    }
}

const fn is_answer(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Addresses(..))
}

fn names(facts: &Facts, lines: &mut Lines) {
    if lines.broken.is_none() {
        for server in &facts.servers {
            let (standing, ms) = name_server(server, facts);
            let detail = match (&server.nonsense, &server.broker) {
                (Verdict::Addresses(made_up, _), _) => format!(
                    "{}; it also gives {} for a name that does not exist",
                    server.broker,
                    made_up.first().map(ToString::to_string).unwrap_or_default()
                ),
                (_, broker) => broker.to_string(),
            };
            let who = if server.origin == Origin::Owner { " (set by the owner)" } else { "" };
            let subject = server.address.ip().to_string();
            lines.add_of(Step::NameServer, subject, standing, format!("{detail}{who}"), ms);
        }
    }
    if lines.reaches(Step::Name) {
        let (standing, detail) = name(facts);
        lines.add(Step::Name, standing, detail);
    }
}

fn name_server(server: &NameServer, facts: &Facts) -> (Standing, Option<u64>) {
    let known_elsewhere = facts.servers.iter().any(|s| is_answer(&s.broker));
    match &server.broker {
        _ if is_answer(&server.nonsense) => (Standing::Warn(Code::DnsHijacked), None),
        Verdict::Addresses(_, took) => (Standing::Pass, u64::try_from(took.as_millis()).ok()),
        Verdict::Silent | Verdict::Waiting | Verdict::Unreachable(_) => {
            (Standing::Warn(Code::DnsServerSilent), None)
        }
        Verdict::Failed(_) => (Standing::Warn(Code::DnsServerBad), None),
        Verdict::NoSuchName | Verdict::NoAddress if known_elsewhere => {
            (Standing::Warn(Code::DnsServerBad), None)
        }
        Verdict::NoSuchName | Verdict::NoAddress => (Standing::Warn(Code::DnsNameUnknown), None),
        Verdict::NotAsked => (Standing::Skip, None),
    }
}

fn name(facts: &Facts) -> (Standing, String) {
    let listed = || facts.found.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if facts.servers.is_empty() && !facts.found.is_empty() {
        return (Standing::Pass, format!("{} needs no name server", listed()));
    }
    let any = |test: fn(&Verdict) -> bool| facts.servers.iter().any(|s| test(&s.broker));
    let unknown = facts.servers.iter().all(|s| matches!(s.broker, Verdict::NoSuchName | Verdict::NoAddress));
    // A portal answers every question with itself; that is told from a lying server by who answers at its address.
    if facts.servers.iter().any(|s| is_answer(&s.nonsense)) && impostor(&facts.login) {
        let code = if facts.everybody_answers { Code::CaptivePortal } else { Code::DnsHijacked };
        return (Standing::Fail(code), format!("{} is not the broker", listed()));
    }
    if any(is_answer) {
        (Standing::Pass, listed())
    } else if facts.by_memory {
        (Standing::Warn(Code::NameFromMemory), format!("no name server gives it; {} worked before", listed()))
    } else if unknown && !facts.servers.is_empty() {
        (Standing::Fail(Code::DnsNameUnknown), "every name server says that there is no such name".into())
    } else {
        (Standing::Fail(Code::DnsFailed), "no name server gives an address for it".into())
    }
}

const fn impostor(login: &Login) -> bool {
    matches!(login, Login::Tls(Cause::Tls(fault)) if !fault.is_about_dates())
        || matches!(login, Login::Tls(Cause::Closed | Cause::Protocol(_)))
}

fn clock(facts: &Facts, lines: &mut Lines) {
    let says = format!("the clock says {}", facts.system);
    let told = facts.told.map(|t| format!("; time servers say {t}")).unwrap_or_default();
    let far = facts.told.is_some_and(|t| t.0.abs_diff(facts.system.0) > WRONG_BY.as_secs());
    let dates = matches!(&facts.login, Login::Tls(Cause::Tls(fault)) if fault.is_about_dates());
    let ahead = facts.system.0.saturating_sub(facts.floor.0) > AHEAD;
    let expired = matches!(&facts.login, Login::Tls(Cause::Tls(TlsFault::Expired)));
    let standing = match facts.confidence {
        // It names the cause only where something fails for it.
        Confidence::Unset if dates => Standing::Fail(Code::ClockUnset),
        Confidence::Unset => Standing::Warn(Code::ClockUnset),
        Confidence::Synced | Confidence::Floor if dates && far => Standing::Fail(Code::ClockWrong),
        Confidence::Synced | Confidence::Floor if expired && ahead => Standing::Fail(Code::ClockWrong),
        Confidence::Synced | Confidence::Floor if far || ahead => Standing::Warn(Code::ClockWrong),
        Confidence::Floor | Confidence::Synced => Standing::Pass,
    };
    let why = if ahead { ", years after this software was made" } else { "" };
    if lines.broken.is_none() || standing != Standing::Pass {
        lines.add(Step::Clock, standing, format!("{says}{why}{told}"));
    }
}

fn tcp(facts: &Facts, lines: &mut Lines) {
    let steps = [(Step::TcpV4, false), (Step::TcpV6, true)];
    let of = |v6: bool| facts.tcp.iter().filter(move |(a, _)| a.is_ipv6() == v6);
    let works = |v6: bool| of(v6).any(|(_, r)| r.is_ok());
    let any = works(true) || works(false);
    let first = facts.fastest().map(|(_, address)| address);
    // Without an address of a family of its own, the NAS cannot use it, and need not.
    let own = |v6: bool| facts.addresses.iter().any(|a| a.is_ipv6() == v6 && !a.is_loopback());
    for (step, v6) in steps {
        if !lines.reaches(step) {
            continue;
        }
        let tried: Vec<&(SocketAddr, Result<Duration, Cause>)> = of(v6).collect();
        if tried.is_empty() {
            lines.add(step, Standing::Skip, "the broker has no address of this family".into());
            continue;
        }
        let best =
            tried.iter().filter_map(|(a, r)| r.as_ref().ok().map(|took| (a, took))).min_by_key(|(_, t)| **t);
        if let Some((address, took)) = best {
            let ms = u64::try_from(took.as_millis()).ok();
            let lossy = late(facts, *took).filter(|_| first == Some(*address));
            let slow = *took > SLOW || lossy.is_some();
            let standing = if slow { Standing::Warn(Code::NetworkSlow) } else { Standing::Pass };
            let lossy = lossy.unwrap_or_default();
            let detail = format!("{} opened in {} ms{lossy}", address.ip(), took.as_millis());
            lines.add_of(step, String::new(), standing, detail, ms);
            continue;
        }
        let detail = tried.iter().map(|(a, r)| told_tcp(a.ip(), r)).collect::<Vec<_>>().join("; ");
        if !any && (step == Step::TcpV6 || of(true).next().is_none()) {
            let code = facts.tcp.iter().find_map(|(_, r)| r.as_ref().err()?.finding());
            lines.add(step, Standing::Fail(code.unwrap_or(Code::BrokerUnreachable)), detail);
        } else if !own(v6) {
            lines.add(step, Standing::Skip, "the NAS has no address of this family".into());
        } else if any {
            let code = if v6 { Code::Ipv6Broken } else { Code::Ipv4Broken };
            lines.add(step, Standing::Warn(code), detail);
        } else {
            lines.add(step, Standing::Skip, detail);
        }
    }
}

/// Of several connections to one address, those that took so much longer than the fastest that a packet must have been lost:
/// the first repetition comes after a second (RFC 6298, 2.1).
fn late(facts: &Facts, fastest: Duration) -> Option<String> {
    let fastest = facts.again.iter().flatten().min().map_or(fastest, |f| fastest.min(*f));
    let is_late = |r: &&Result<Duration, Cause>| !matches!(r, Ok(took) if *took < fastest + REPEAT_AFTER);
    let late = facts.again.iter().filter(is_late).count();
    let tried = facts.again.len();
    (late > 0).then(|| {
        format!("; {late} of {tried} more lost a packet on the way and took a second longer, or never opened")
    })
}

fn told_tcp(address: IpAddr, result: &Result<Duration, Cause>) -> String {
    match result {
        Ok(took) => format!("{address} opened in {} ms", took.as_millis()),
        Err(cause) => format!("{address}: {cause}"),
    }
}

/// The finding of a step that failed with this cause.
fn failed(cause: &Cause, otherwise: Code) -> Standing {
    Standing::Fail(cause.finding().unwrap_or(otherwise))
}

fn login(facts: &Facts, lines: &mut Lines) {
    let names = [Step::Tls, Step::Broker, Step::Credentials, Step::Rights];
    if let Some(ago) = facts.session.confirmed.filter(|_| facts.login == Login::NotTried) {
        // The session itself is the better proof, and is not disturbed.
        for step in names {
            if lines.reaches(step) {
                let level = facts.session.level.filter(|_| step == Step::Broker);
                let mqtt = level.map(|l| format!(" by MQTT {}", l.name())).unwrap_or_default();
                let detail = format!("the session is online{mqtt}, confirmed {} s ago", ago.as_secs());
                lines.add(step, level.map_or(Standing::Pass, of_level), detail);
            }
        }
        return;
    }
    for step in names {
        if lines.reaches(step) {
            let (standing, detail) = login_step(facts, step);
            lines.add(step, standing, detail);
        }
    }
}

fn login_step(facts: &Facts, step: Step) -> (Standing, String) {
    let pass = |detail: &str| (Standing::Pass, detail.to_owned());
    match (&facts.login, step) {
        (Login::NotTried, _) => (Standing::Skip, "could not be tried".to_owned()),
        (_, Step::Tls) if !facts.tls => (Standing::Skip, "the broker is spoken to without TLS".to_owned()),
        (Login::Tls(cause), Step::Tls) => {
            let portal = facts.everybody_answers && impostor(&facts.login);
            let standing =
                if portal { Standing::Fail(Code::CaptivePortal) } else { failed(cause, Code::TlsFailed) };
            (standing, cause.to_string())
        }
        (_, Step::Tls) => pass("the certificate is the broker's"),
        (Login::Mqtt(cause), Step::Broker) if is_about_account(cause) => pass("an MQTT broker answers"),
        (Login::Tls(cause) | Login::Mqtt(cause), Step::Broker) => {
            (failed(cause, Code::BrokerProtocol), cause.to_string())
        }
        (Login::Taken(welcome, _), Step::Broker) => {
            let lower = if welcome.level == Level::V311 { ", which does not know MQTT 5" } else { "" };
            (of_level(welcome.level), format!("an MQTT {} broker answers{lower}", welcome.level.name()))
        }
        (Login::Tls(cause) | Login::Mqtt(cause), Step::Credentials) => {
            (failed(cause, Code::BrokerNotAuthorized), cause.to_string())
        }
        (Login::Taken(..), Step::Credentials) => pass("the broker takes the NAS's account"),
        (Login::Taken(_, None), _) => {
            (Standing::Skip, "the NAS's identity cannot be read, so its topics are not known".to_owned())
        }
        (Login::Taken(_, Some(Ok(took))), _) => {
            pass(&format!("a message of the NAS's own came back in {} ms", took.as_millis()))
        }
        (Login::Taken(_, Some(Err(cause))), _) => {
            (failed(cause, Code::TopicRightsMissing), cause.to_string())
        }
        (Login::Tls(cause) | Login::Mqtt(cause), _) => (Standing::Skip, cause.to_string()),
    }
}

const fn is_about_account(cause: &Cause) -> bool {
    matches!(cause, Cause::Rejected(0x86 | 0x87 | 0x8a | 0x8c))
}

fn session(facts: &Facts, lines: &mut Lines) {
    let (standing, detail) = own_session::judge(&facts.session, lines.broken);
    // Two causes lie in the box itself and explain whatever else fails.
    let own = matches!(standing.code(), Some(Code::IdentityCloned | Code::BoxResources));
    if own {
        let check = Check { step: Step::Session, subject: String::new(), standing, detail, ms: None };
        let at = lines.checks.iter().position(|c| matches!(c.standing, Standing::Fail(_)));
        lines.checks.insert(at.unwrap_or(lines.checks.len()), check);
    } else {
        lines.add(Step::Session, standing, detail);
    }
}

fn router(facts: &Facts, lines: &mut Lines) {
    let (standing, detail) = match &facts.router {
        Router::NotAsked => (Standing::Skip, "no router to ask".to_owned()),
        Router::Mute => {
            (Standing::Warn(Code::RouterNoMapping), "it answers neither PCP nor NAT-PMP nor UPnP".to_owned())
        }
        Router::Speaks(protocol) => {
            (Standing::Pass, format!("it speaks {protocol}, which tells its address with a mapping only"))
        }
        Router::Refuses(words) => (Standing::Warn(Code::RouterNoMapping), words.clone()),
        Router::Outside(address, by) => outside(*address, by),
    };
    let (standing, detail) = match behind(facts) {
        Some((code, hop)) => (Standing::Warn(code), format!("{detail}; behind it stands {hop}")),
        None => (standing, detail),
    };
    lines.add(Step::Router, standing, detail);
}

/// What the next router's address says, where the router itself does not tell its own.
fn behind(facts: &Facts) -> Option<(Code, Ipv4Addr)> {
    let hop = facts.second_hop.filter(|_| !matches!(facts.router, Router::Outside(..) | Router::NotAsked))?;
    let code = match classify(hop).verdict() {
        address::Verdict::CarrierNat => Code::RouterCarrierNat,
        // Providers use 10.0.0.0/8 and 172.16.0.0/12 inside their networks, which need not mean a NAT.
        address::Verdict::DoubleNat if hop.octets().starts_with(&[192, 168]) => Code::RouterDoubleNat,
        address::Verdict::DoubleNat if matches!(facts.router, Router::Refuses(_)) => Code::RouterDoubleNat,
        address::Verdict::DoubleNat | address::Verdict::Reachable | address::Verdict::NoAddress => {
            return None;
        }
    };
    Some((code, hop))
}

/// What the router's address on its other side means.
fn outside(address: Ipv4Addr, by: &str) -> (Standing, String) {
    let kind = classify(address);
    let rfc = kind.rfc().map(|n| format!(" (RFC {n})")).unwrap_or_default();
    let detail = format!("its own address is {address}{rfc}, by {by}");
    let standing = match kind.verdict() {
        address::Verdict::Reachable => Standing::Pass,
        address::Verdict::DoubleNat => Standing::Warn(Code::RouterDoubleNat),
        address::Verdict::CarrierNat => Standing::Warn(Code::RouterCarrierNat),
        address::Verdict::NoAddress => Standing::Warn(Code::RouterNoMapping),
    };
    (standing, detail)
}

fn services(facts: &Facts, lines: &mut Lines) {
    for (name, address, result) in &facts.services {
        let (standing, detail) = match result {
            Ok(took) => (Standing::Pass, format!("{address} answers in {} ms", took.as_millis())),
            Err(Cause::Refused) => {
                (Standing::Warn(Code::ServiceDown), format!("nothing listens at {address}"))
            }
            Err(_) => (Standing::Warn(Code::ServiceDown), format!("{address} does not answer")),
        };
        let ms = result.as_ref().ok().and_then(|took| u64::try_from(took.as_millis()).ok());
        lines.add_of(Step::Service, name.clone(), standing, detail, ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::Session;
    use crate::session::cause::{Step as Attempt, TAKEN_OVER};
    use crate::session::packet::Welcome;
    use crate::units::UnixSeconds;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn addresses(texts: &[&str]) -> Verdict {
        Verdict::Addresses(texts.iter().map(|t| t.parse().unwrap()).collect(), Duration::from_millis(12))
    }

    fn server(ip: &str, broker: Verdict) -> NameServer {
        let address = SocketAddr::new(ip.parse().unwrap(), 53);
        NameServer { address, origin: Origin::System, broker, nonsense: Verdict::NoSuchName }
    }

    /// A healthy box without an agent: every step was tried.
    fn healthy() -> Facts {
        let took = Duration::from_millis(30);
        Facts {
            broker: Some("mqtts://broker.example:8883".to_owned()),
            reach: Reach::Usable,
            addresses: vec!["192.168.77.10".parse().unwrap(), "2001:db8:77::10".parse().unwrap()],
            gateway: "192.168.77.1".parse().ok(),
            servers: vec![server("192.168.77.1", addresses(&["198.51.100.10", "2001:db8::10"]))],
            found: vec!["198.51.100.10".parse().unwrap(), "2001:db8::10".parse().unwrap()],
            by_memory: false,
            confidence: Confidence::Synced,
            system: NOW,
            floor: UnixSeconds(NOW.0 - 1000),
            told: Some(NOW),
            tcp: vec![(address("198.51.100.10:8883"), Ok(took)), (address("[2001:db8::10]:8883"), Ok(took))],
            again: vec![Ok(took); 4],
            everybody_answers: false,
            tls: true,
            login: Login::Taken(Welcome::plain(Level::V5), Some(Ok(took))),
            session: Session::default(),
            router: Router::Outside("198.51.100.7".parse().unwrap(), "UPnP"),
            second_hop: "198.51.100.1".parse().ok(),
            services: vec![("web".to_owned(), address("127.0.0.1:80"), Ok(took))],
        }
    }

    /// The verdict names `expect`, and whether nothing works.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Facts), expect: Option<(Step, Code)>, fails: bool) -> Diagnosis {
        let mut facts = healthy();
        change(&mut facts);
        let diagnosis = diagnose(&facts);
        let first = diagnosis.first_failure();
        assert_eq!(first.and_then(|c| Some((c.step, c.standing.code()?))), expect, "{diagnosis:#?}");
        let failed = diagnosis.checks.iter().filter(|c| matches!(c.standing, Standing::Fail(_))).count();
        assert_eq!(failed, usize::from(fails), "one cause, and nothing that follows from it: {diagnosis:#?}");
        assert!(diagnosis.summary().ends_with('.'));
        diagnosis
    }

    fn lost(facts: &mut Facts, cause: &Cause) {
        for (_, result) in &mut facts.tcp {
            *result = Err(cause.clone());
        }
        facts.login = Login::NotTried;
    }

    #[test]
    fn a_healthy_box_has_nothing() {
        let diagnosis = check(|_| {}, None, false);
        assert!(
            diagnosis.checks.iter().filter(|c| c.standing != Standing::Pass).all(|c| c.step == Step::Session)
        );
    }

    #[test]
    fn what_is_wrong_near_the_box_is_named_first() {
        let cut = |cut| {
            move |f: &mut Facts| {
                f.reach = Reach::Cut(cut);
                f.servers.clear();
                f.found.clear();
                lost(f, &Cause::Unreachable(101));
            }
        };
        check(cut(Cut::NoLink), Some((Step::Link, Code::LinkDown)), true);
        check(cut(Cut::NoAddress), Some((Step::Address, Code::AddressMissing)), true);
        check(cut(Cut::NoRoute), Some((Step::Route, Code::RouteMissing)), true);
        check(|f| f.broker = None, Some((Step::Broker, Code::CloudNotConfigured)), true);
    }

    #[test]
    fn name_servers_are_judged_one_by_one_and_together() {
        let add = |verdict: Verdict| move |f: &mut Facts| f.servers.insert(0, server("192.0.2.53", verdict));
        check(add(Verdict::Silent), Some((Step::NameServer, Code::DnsServerSilent)), false);
        check(add(Verdict::Failed(5)), Some((Step::NameServer, Code::DnsServerBad)), false);
        check(add(Verdict::NoSuchName), Some((Step::NameServer, Code::DnsServerBad)), false);
        let only = |verdict: Verdict| {
            move |f: &mut Facts| {
                f.servers = vec![server("192.0.2.53", verdict)];
                f.found.clear();
                f.tcp.clear();
                f.login = Login::NotTried;
            }
        };
        check(only(Verdict::Silent), Some((Step::Name, Code::DnsFailed)), true);
        check(only(Verdict::Failed(2)), Some((Step::Name, Code::DnsFailed)), true);
        check(only(Verdict::NoSuchName), Some((Step::Name, Code::DnsNameUnknown)), true);
        let memory = |f: &mut Facts| {
            f.servers = vec![server("192.0.2.53", Verdict::Silent)];
            f.by_memory = true;
        };
        check(memory, Some((Step::NameServer, Code::DnsServerSilent)), false);
    }

    #[test]
    fn portals_liars_and_interceptors_are_told_apart() {
        let stranger = |f: &mut Facts| f.login = Login::Tls(Cause::Tls(TlsFault::UnknownIssuer));
        let liar = move |f: &mut Facts| {
            stranger(f);
            f.servers[0].nonsense = addresses(&["198.51.100.80"]);
        };
        check(stranger, Some((Step::Tls, Code::TlsUnknownIssuer)), true);
        check(liar, Some((Step::Name, Code::DnsHijacked)), true);
        let portal = |f: &mut Facts| {
            liar(f);
            f.everybody_answers = true;
        };
        check(portal, Some((Step::Name, Code::CaptivePortal)), true);
        let transparent = |f: &mut Facts| {
            stranger(f);
            f.everybody_answers = true;
        };
        check(transparent, Some((Step::Tls, Code::CaptivePortal)), true);
        // A server that makes names up, but knows the broker: a warning.
        let harmless = |f: &mut Facts| f.servers[0].nonsense = addresses(&["198.51.100.80"]);
        check(harmless, Some((Step::NameServer, Code::DnsHijacked)), false);
    }

    #[test]
    fn the_clock_is_the_cause_only_where_something_fails_for_it() {
        let expired = |f: &mut Facts| f.login = Login::Tls(Cause::Tls(TlsFault::Expired));
        check(expired, Some((Step::Tls, Code::TlsExpired)), true);
        let ahead = |f: &mut Facts| (f.system, f.told) = (UnixSeconds(NOW.0 + 2 * AHEAD), None);
        check(ahead, Some((Step::Clock, Code::ClockWrong)), false);
        check(
            |f| {
                expired(f);
                ahead(f)
            },
            Some((Step::Clock, Code::ClockWrong)),
            true,
        );
        let contradicted = |f: &mut Facts| (f.system, f.told) = (UnixSeconds(NOW.0 + 1_000_000), Some(NOW));
        check(contradicted, Some((Step::Clock, Code::ClockWrong)), false);
        check(
            |f| {
                expired(f);
                contradicted(f)
            },
            Some((Step::Clock, Code::ClockWrong)),
            true,
        );
        let unset =
            |f: &mut Facts| (f.confidence, f.system, f.told) = (Confidence::Unset, UnixSeconds(0), None);
        check(unset, Some((Step::Clock, Code::ClockUnset)), false);
        let early = |f: &mut Facts| f.login = Login::Tls(Cause::Tls(TlsFault::NotYetValid));
        check(
            |f| {
                early(f);
                unset(f)
            },
            Some((Step::Clock, Code::ClockUnset)),
            true,
        );
        check(early, Some((Step::Tls, Code::TlsNotYetValid)), true);
    }

    #[test]
    fn one_dead_family_is_a_warning_and_two_are_a_failure() {
        let silent = || Err(Cause::TimedOut(Attempt::Connecting));
        check(|f| f.tcp[1].1 = silent(), Some((Step::TcpV6, Code::Ipv6Broken)), false);
        check(|f| f.tcp[0].1 = silent(), Some((Step::TcpV4, Code::Ipv4Broken)), false);
        let dead = Cause::TimedOut(Attempt::Connecting);
        check(|f| lost(f, &dead), Some((Step::TcpV6, Code::BrokerUnreachable)), true);
        check(|f| lost(f, &Cause::Refused), Some((Step::TcpV6, Code::BrokerRefused)), true);
        let only_v4 = |f: &mut Facts| {
            lost(f, &Cause::Refused);
            f.tcp.truncate(1);
        };
        check(only_v4, Some((Step::TcpV4, Code::BrokerRefused)), true);
        // Without IPv6 of its own the NAS misses nothing.
        let no_v6 = |f: &mut Facts| {
            f.tcp[1].1 = Err(Cause::Unreachable(101));
            f.addresses.truncate(1);
        };
        check(no_v6, None, false);
        check(|f| f.tcp[0].1 = Ok(Duration::from_secs(2)), Some((Step::TcpV4, Code::NetworkSlow)), false);
        let again = |result| move |f: &mut Facts| f.again[2] = result;
        let lossy = Some((Step::TcpV4, Code::NetworkSlow));
        check(again(Ok(Duration::from_millis(1031))), lossy, false);
        check(again(silent()), lossy, false);
        check(again(Ok(Duration::from_millis(300))), None, false);
    }

    #[test]
    fn each_step_of_the_login_has_its_causes() {
        let tls = |cause: Cause| move |f: &mut Facts| f.login = Login::Tls(cause);
        check(tls(Cause::Tls(TlsFault::WrongName)), Some((Step::Tls, Code::TlsWrongName)), true);
        check(tls(Cause::TimedOut(Attempt::Tls)), Some((Step::Tls, Code::BrokerSilent)), true);
        let mqtt = |cause: Cause| move |f: &mut Facts| f.login = Login::Mqtt(cause);
        check(mqtt(Cause::Protocol("x")), Some((Step::Broker, Code::BrokerProtocol)), true);
        check(mqtt(Cause::Rejected(0x89)), Some((Step::Broker, Code::BrokerBusy)), true);
        check(mqtt(Cause::Rejected(0x86)), Some((Step::Credentials, Code::BrokerCredentialsRefused)), true);
        check(mqtt(Cause::Rejected(0x87)), Some((Step::Credentials, Code::BrokerNotAuthorized)), true);
        let rights = |cause: Cause| {
            move |f: &mut Facts| f.login = Login::Taken(Welcome::plain(Level::V311), Some(Err(cause)))
        };
        check(rights(Cause::EchoLost), Some((Step::Rights, Code::EchoLost)), true);
        check(rights(Cause::SubscribeRefused(0x87)), Some((Step::Rights, Code::TopicRightsMissing)), true);
        check(|f| f.login = Login::Taken(Welcome::plain(Level::V5), None), None, false);
        let old = check(|f| f.login = Login::Taken(Welcome::plain(Level::V311), None), None, false);
        assert!(old.checks.iter().any(|c| c.standing == Standing::Warn(Code::BrokerOld)));
    }

    #[test]
    fn an_open_session_is_the_better_proof() {
        let online = |f: &mut Facts| {
            f.login = Login::NotTried;
            f.session =
                Session { wanted: true, confirmed: Some(Duration::from_secs(5)), ..Session::default() };
        };
        let diagnosis = check(online, None, false);
        assert!(diagnosis.checks.iter().all(|c| c.standing == Standing::Pass), "{diagnosis:#?}");
        let unstable = |f: &mut Facts| {
            online(f);
            f.session.unstable = Some("lost 4 times".to_owned());
        };
        check(unstable, Some((Step::Session, Code::SessionUnstable)), false);
    }

    #[test]
    fn causes_inside_the_box_come_before_what_they_explain() {
        let clone = |f: &mut Facts| {
            f.session =
                Session { wanted: true, last_failure: Some(Cause::Ended(TAKEN_OVER)), ..Session::default() };
        };
        check(clone, Some((Step::Session, Code::IdentityCloned)), true);
        let mut facts = healthy();
        lost(&mut facts, &Cause::Box(24));
        facts.session.last_failure = Some(Cause::Box(24));
        let first = diagnose(&facts).first_failure().and_then(|c| c.standing.code());
        assert_eq!(first, Some(Code::BoxResources));
    }

    #[test]
    fn the_router_and_services_never_fail_the_whole() {
        let router = |router: Router| move |f: &mut Facts| f.router = router;
        let says = |text: &str, by| Router::Outside(text.parse().unwrap(), by);
        for (answer, code) in [
            (Router::Mute, Code::RouterNoMapping),
            (Router::Refuses("no".to_owned()), Code::RouterNoMapping),
            (says("192.168.1.2", "NAT-PMP"), Code::RouterDoubleNat),
            (says("100.64.3.4", "UPnP"), Code::RouterCarrierNat),
        ] {
            let diagnosis = check(router(answer), None, false);
            let line = diagnosis.checks.iter().find(|c| c.step == Step::Router).unwrap();
            assert_eq!(line.standing, Standing::Warn(code));
        }
        let refuses = || Router::Refuses("it has no address outside".to_owned());
        for (answer, hop, standing) in [
            (refuses(), "192.168.1.1", Standing::Warn(Code::RouterDoubleNat)),
            (refuses(), "10.0.0.1", Standing::Warn(Code::RouterDoubleNat)),
            (refuses(), "198.51.100.1", Standing::Warn(Code::RouterNoMapping)),
            (Router::Mute, "192.168.1.1", Standing::Warn(Code::RouterDoubleNat)),
            (Router::Mute, "10.0.0.1", Standing::Warn(Code::RouterNoMapping)),
            (Router::Mute, "100.64.0.1", Standing::Warn(Code::RouterCarrierNat)),
            (says("198.51.100.7", "UPnP"), "10.0.0.1", Standing::Pass),
        ] {
            let diagnosis = check(
                |f| {
                    f.router = answer;
                    f.second_hop = hop.parse().ok();
                },
                None,
                false,
            );
            let line = diagnosis.checks.iter().find(|c| c.step == Step::Router).unwrap();
            assert_eq!(line.standing, standing, "{hop}");
        }
        check(|f| f.services[0].2 = Err(Cause::Refused), Some((Step::Service, Code::ServiceDown)), false);
    }
}
