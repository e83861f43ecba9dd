//! One name asked at several name servers: who is asked when, and whose answer counts. A core.
//!
//! Inputs: `handle_datagram`, `handle_unreachable`, `handle_timeout`. After each: drain [`Lookup::poll_send`], then ask
//! [`Lookup::outcome`]; arm one timer for [`Lookup::poll_timeout`].
//!
//! The servers are asked in their order, each with its own deadline. The next one joins in when the one before has failed, or has
//! said nothing for [`JOIN_AFTER`]; so a dead first server costs half a second and not the five of the C library. Both families
//! are asked for at once.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::cause::Cause;
use super::dns::{Answer, BadName, Family, answer, question, rcode_name};
use crate::random::{self, Random};
use crate::units::Mono;

/// Servers of one lookup: three of the system and three of the owner's.
pub const SERVERS_MAX: usize = 6;
/// A server that said nothing for so long is no longer alone.
pub const JOIN_AFTER: Duration = Duration::from_millis(500);
/// When a question is asked again, after the first time: home networks lose datagrams.
const AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_millis(1500), Duration::from_millis(2500)];
/// A server's own deadline.
const SERVER_MAX: Duration = Duration::from_millis(3500);
/// With the addresses of one family at hand the other one is waited for this long (RFC 8305, 3: resolution delay).
const OTHER_FAMILY: Duration = Duration::from_millis(50);

/// A question to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Number of the server, as it was given.
    pub server: usize,
    /// Its address.
    pub to: SocketAddr,
    /// Over TCP, since the answer did not fit a datagram.
    pub tcp: bool,
    /// The question.
    pub bytes: Vec<u8>,
}

/// What is known of one question to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Open { id: u16, tcp: bool, due: Mono },
    Answered(Answer),
}

/// What is known of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Its turn has not come.
    Idle,
    Open {
        since: Mono,
        v4: Asked,
        v6: Asked,
        first: Option<Mono>,
    },
    /// It gave what it has, after this time.
    Done {
        took: Duration,
        v4: Answer,
        v6: Answer,
    },
    /// Nothing came in time.
    Silent,
    /// The kernel says that there is no way to it (errno).
    Unreachable(i32),
}

/// What one server came to, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not needed.
    NotAsked,
    /// No answer yet.
    Waiting,
    /// It knows the name.
    Addresses(Vec<IpAddr>, Duration),
    /// It knows the name, without an address.
    NoAddress,
    /// It says that there is no such name.
    NoSuchName,
    /// It answered with an error.
    Failed(u8),
    /// It said nothing.
    Silent,
    /// There is no way to it.
    Unreachable(i32),
}

/// A lookup under way.
#[derive(Clone, Debug)]
pub struct Lookup {
    name: String,
    servers: heapless::Vec<(SocketAddr, State), SERVERS_MAX>,
    sends: heapless::Deque<Send, { 2 * SERVERS_MAX }>,
    ids: Seed,
}

/// Ids for questions, drawn once: 16 bits each, and the source port besides (RFC 5452).
type Seed = [[u16; 2]; SERVERS_MAX];

impl Lookup {
    /// Begins to ask for `name`. Servers beyond [`SERVERS_MAX`] are left out.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn new(
        name: &str,
        servers: &[SocketAddr],
        now: Mono,
        random: &mut dyn Random,
    ) -> Result<Self, BadName> {
        question(0, name, Family::V4)?;
        let mut ids = Seed::default();
        for id in ids.iter_mut().flatten() {
            *id = u16::from_le_bytes(random::bytes(random));
        }
        let servers = servers.iter().take(SERVERS_MAX).map(|s| (*s, State::Idle)).collect();
        let mut lookup = Self { name: name.to_owned(), servers, sends: heapless::Deque::new(), ids };
        lookup.advance(now);
        Ok(lookup)
    }

    /// The next question to be sent.
    pub fn poll_send(&mut self) -> Option<Send> {
        self.sends.pop_front()
    }

    /// When `handle_timeout` is to be called.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let due = |state: &State| match state {
            State::Open { since, v4, v6, first } => {
                let again = |asked: &Asked| match asked {
                    Asked::Open { due, .. } => *due,
                    Asked::Answered(_) => since.after(SERVER_MAX),
                };
                let join = since.after(JOIN_AFTER);
                let wait = first.map_or(since.after(SERVER_MAX), |f| f.after(OTHER_FAMILY));
                Some((again(v4).min(again(v6)).min(wait), join))
            }
            State::Idle | State::Done { .. } | State::Silent | State::Unreachable(_) => None,
        };
        let idle = self.servers.iter().any(|(_, s)| *s == State::Idle);
        let open = self.servers.iter().filter_map(|(_, s)| due(s));
        // The last one asked is the one that the next one waits for.
        let join = if idle { open.clone().map(|(_, join)| join).max() } else { None };
        open.map(|(own, _)| own).chain(join).min()
    }

    /// A server sent this.
    pub fn handle_datagram(&mut self, now: Mono, server: usize, bytes: &[u8]) {
        let Some((_, State::Open { v4, v6, first, .. })) = self.servers.get_mut(server) else { return };
        for (asked, family) in [(v4, Family::V4), (v6, Family::V6)] {
            let Asked::Open { id, tcp, due } = asked else { continue };
            match answer(bytes, *id, &self.name, family) {
                Some(Answer::Truncated) if !*tcp => (*tcp, *due) = (true, now),
                Some(answer) => {
                    if matches!(&answer, Answer::Addresses(a) if !a.is_empty()) {
                        first.get_or_insert(now);
                    }
                    *asked = Asked::Answered(answer);
                }
                None => {}
            }
        }
        self.advance(now);
    }

    /// The kernel says that nothing can be sent there.
    pub fn handle_unreachable(&mut self, now: Mono, server: usize, errno: i32) {
        if let Some((_, state @ State::Open { .. })) = self.servers.get_mut(server) {
            *state = State::Unreachable(errno);
        }
        self.advance(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        self.advance(now);
    }

    /// The addresses, or why there are none, once that can be told.
    pub fn outcome(&self) -> Option<Result<Vec<IpAddr>, Cause>> {
        let found = self.servers.iter().find_map(|(_, state)| match state {
            State::Done { v4, v6, .. } => Some(together(v6, v4)).filter(|a| !a.is_empty()),
            State::Idle | State::Open { .. } | State::Silent | State::Unreachable(_) => None,
        });
        if let Some(addresses) = found {
            return Some(Ok(addresses));
        }
        let over = |state: &State| !matches!(state, State::Idle | State::Open { .. });
        self.servers.iter().all(|(_, s)| over(s)).then(|| Err(self.cause()))
    }

    /// What each server came to, in their order.
    pub fn verdicts(&self) -> impl Iterator<Item = (SocketAddr, Verdict)> {
        self.servers.iter().map(|(address, state)| (*address, verdict(state)))
    }

    /// Why no server gave an address.
    fn cause(&self) -> Cause {
        let mut text = heapless::String::<96>::new();
        let mut names = 0;
        for (address, verdict) in self.verdicts() {
            names += usize::from(matches!(verdict, Verdict::NoSuchName));
            let separator = if text.is_empty() { "" } else { "; " };
            // What does not fit as a whole is left out: the doctor tells all.
            let _ = text.push_str(&format!("{separator}{} {verdict}", address.ip()));
        }
        // A server that says no counts as an answer only if no other one failed to answer.
        if names > 0 && names == self.servers.len() { Cause::NameUnknown } else { Cause::NameServers(text) }
    }

    /// Repeats and ends what is due, and asks the next server.
    fn advance(&mut self, now: Mono) {
        for (number, (address, state)) in self.servers.iter_mut().enumerate() {
            if let Some(over) = judged(state, now) {
                *state = over;
                continue;
            }
            let State::Open { since, v4, v6, .. } = state else { continue };
            for (asked, family) in [(v4, Family::V4), (v6, Family::V6)] {
                if let Some((tcp, bytes)) = repeat(asked, *since, now, &self.name, family) {
                    // Two questions a server fit, and the shell drains them each time.
                    let _ = self.sends.push_back(Send { server: number, to: *address, tcp, bytes });
                }
            }
        }
        self.join(now);
    }

    /// Asks the next server, if it is its turn.
    fn join(&mut self, now: Mono) {
        if matches!(self.outcome(), Some(Ok(_))) {
            return;
        }
        let Some(next) = self.servers.iter().position(|(_, s)| *s == State::Idle) else { return };
        let alone = self.servers.iter().take(next).any(|(_, state)| match state {
            State::Open { since, first, .. } => since.after(JOIN_AFTER) > now || first.is_some(),
            State::Idle | State::Done { .. } | State::Silent | State::Unreachable(_) => false,
        });
        if alone {
            return;
        }
        let ids = self.ids.get(next).copied().unwrap_or_default();
        if let Some((_, state)) = self.servers.get_mut(next) {
            let [v4, v6] = ids.map(|id| Asked::Open { id, tcp: false, due: now });
            *state = State::Open { since: now, v4, v6, first: None };
        }
        self.advance(now);
    }
}

/// What a server's open questions come to, if that can be told now.
fn judged(state: &State, now: Mono) -> Option<State> {
    let State::Open { since, v4, v6, first } = state else { return None };
    let late = since.after(SERVER_MAX) <= now;
    let enough = first.is_some_and(|f| f.after(OTHER_FAMILY) <= now);
    let took = now.since(*since);
    match (v4, v6) {
        (Asked::Answered(v4), Asked::Answered(v6)) => {
            Some(State::Done { took, v4: v4.clone(), v6: v6.clone() })
        }
        (Asked::Answered(v4), Asked::Open { .. }) if late || enough => {
            Some(State::Done { took, v4: v4.clone(), v6: none() })
        }
        (Asked::Open { .. }, Asked::Answered(v6)) if late || enough => {
            Some(State::Done { took, v4: none(), v6: v6.clone() })
        }
        (Asked::Open { .. }, Asked::Open { .. }) if late => Some(State::Silent),
        (Asked::Open { .. } | Asked::Answered(_), Asked::Open { .. } | Asked::Answered(_)) => None,
    }
}

/// The question's bytes, if it is time to send it, and whether over TCP.
fn repeat(asked: &mut Asked, since: Mono, now: Mono, name: &str, family: Family) -> Option<(bool, Vec<u8>)> {
    let Asked::Open { id, tcp, due } = asked else { return None };
    if *due > now {
        return None;
    }
    let again = AGAIN_AFTER.iter().map(|d| since.after(*d)).find(|at| *at > now && !*tcp);
    *due = again.unwrap_or(since.after(SERVER_MAX));
    Some((*tcp, question(*id, name, family).ok()?))
}

const fn none() -> Answer {
    Answer::Addresses(Vec::new())
}

fn together(v6: &Answer, v4: &Answer) -> Vec<IpAddr> {
    let list = |answer: &Answer| match answer {
        Answer::Addresses(addresses) => addresses.clone(),
        Answer::NoSuchName | Answer::Failed(_) | Answer::Truncated => Vec::new(),
    };
    list(v6).into_iter().chain(list(v4)).collect()
}

fn verdict(state: &State) -> Verdict {
    match state {
        State::Idle => Verdict::NotAsked,
        State::Open { .. } => Verdict::Waiting,
        State::Silent => Verdict::Silent,
        State::Unreachable(errno) => Verdict::Unreachable(*errno),
        State::Done { took, v4, v6 } => {
            let addresses = together(v6, v4);
            match (v4, v6) {
                _ if !addresses.is_empty() => Verdict::Addresses(addresses, *took),
                (Answer::Failed(code), _) | (_, Answer::Failed(code)) => Verdict::Failed(*code),
                (Answer::NoSuchName, _) | (_, Answer::NoSuchName) => Verdict::NoSuchName,
                (Answer::Addresses(_) | Answer::Truncated, _) => Verdict::NoAddress,
            }
        }
    }
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotAsked => f.write_str("was not asked"),
            Self::Waiting => f.write_str("has not answered yet"),
            Self::Addresses(addresses, took) => {
                write!(f, "answered in {} ms:", took.as_millis())?;
                addresses.iter().take(4).try_for_each(|a| write!(f, " {a}"))
            }
            Self::NoAddress => f.write_str("has no address for it"),
            Self::NoSuchName => f.write_str("says that there is no such name"),
            Self::Failed(code) => write!(f, "answered {}", rcode_name(*code)),
            Self::Silent => f.write_str("did not answer"),
            Self::Unreachable(_) => f.write_str("cannot be reached"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;
    use crate::session::dns::tests::reply;
    use domain::base::iana::Rcode;

    /// Name servers of a few lines.
    #[derive(Clone, Copy)]
    enum Server {
        Silent,
        Good(&'static [&'static str], u64),
        Says(Rcode, u64),
        Gone,
        /// Datagrams get a truncated answer.
        Large(&'static [&'static str]),
    }

    struct Lab {
        lookup: Lookup,
        now: Mono,
        sent: Vec<(u64, usize)>,
    }

    const START: u64 = 1_000_000;

    fn run(servers: &[Server]) -> (Lab, Result<Vec<String>, Cause>) {
        let addresses: Vec<SocketAddr> =
            (1..=servers.len()).map(|n| format!("192.0.2.{n}:53").parse().unwrap()).collect();
        let now = Mono::from_millis(START);
        let lookup = Lookup::new("broker.lab", &addresses, now, &mut Seeded::new(1)).unwrap();
        let mut lab = Lab { lookup, now, sent: Vec::new() };
        let mut due: Vec<(Mono, usize, Option<Vec<u8>>)> = Vec::new();
        for _ in 0..1000 {
            while let Some(send) = lab.lookup.poll_send() {
                lab.sent.push((lab.now.as_millis() - START, send.server));
                assert_eq!(send.to, addresses[send.server]);
                let at = |ms| lab.now.after(Duration::from_millis(ms));
                let v6 = send.bytes[send.bytes.len() - 3] == 28;
                let of_family = |all: &[&'static str]| -> Vec<&str> {
                    all.iter().copied().filter(|a| a.contains(':') == v6).collect()
                };
                match servers[send.server] {
                    Server::Silent => {}
                    Server::Gone => due.push((at(0), send.server, None)),
                    Server::Good(all, ms) => {
                        due.push((
                            at(ms),
                            send.server,
                            Some(reply(&send.bytes, Rcode::NOERROR, &of_family(all))),
                        ));
                    }
                    Server::Says(rcode, ms) => {
                        due.push((at(ms), send.server, Some(reply(&send.bytes, rcode, &[]))))
                    }
                    Server::Large(all) => {
                        let mut bytes = reply(&send.bytes, Rcode::NOERROR, &of_family(all));
                        bytes[2] |= if send.tcp { 0 } else { 2 };
                        due.push((at(5), send.server, Some(bytes)));
                    }
                }
            }
            if let Some(outcome) = lab.lookup.outcome() {
                return (lab, outcome.map(|a| a.iter().map(ToString::to_string).collect()));
            }
            let timer = lab.lookup.poll_timeout().expect("an open lookup has a timer");
            due.sort_by_key(|(at, ..)| *at);
            if due.first().is_some_and(|(at, ..)| *at <= timer) {
                let (at, server, bytes) = due.remove(0);
                lab.now = lab.now.max(at);
                match bytes {
                    Some(bytes) => lab.lookup.handle_datagram(lab.now, server, &bytes),
                    None => lab.lookup.handle_unreachable(lab.now, server, 101),
                }
            } else {
                assert!(timer > lab.now, "a timer in the past would spin");
                lab.now = timer;
                lab.lookup.handle_timeout(lab.now);
            }
        }
        panic!("the lookup does not end");
    }

    #[track_caller]
    fn check(servers: &[Server], addresses: &[&str], took_ms: u64) {
        let (lab, outcome) = run(servers);
        assert_eq!(
            outcome.as_deref(),
            Ok(addresses.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice())
        );
        assert_eq!(lab.now.as_millis() - START, took_ms);
    }

    const V4: &[&str] = &["192.0.2.10"];
    const BOTH: &[&str] = &["192.0.2.10", "2001:db8::10"];

    #[test]
    fn the_first_good_answer_counts() {
        check(&[Server::Good(V4, 20)], V4, 20);
        check(&[Server::Good(BOTH, 20)], &["2001:db8::10", "192.0.2.10"], 20);
        check(&[Server::Good(V4, 20), Server::Good(BOTH, 1)], V4, 20);
    }

    #[test]
    fn a_silent_first_server_costs_half_a_second() {
        check(&[Server::Silent, Server::Good(V4, 20)], V4, 520);
        check(&[Server::Silent, Server::Silent, Server::Silent, Server::Good(V4, 20)], V4, 1520);
    }

    #[test]
    fn a_server_that_fails_hands_over_at_once() {
        for bad in [
            Server::Says(Rcode::REFUSED, 5),
            Server::Says(Rcode::SERVFAIL, 5),
            Server::Says(Rcode::NXDOMAIN, 5),
        ] {
            check(&[bad, Server::Good(V4, 20)], V4, 25);
        }
        check(&[Server::Gone, Server::Good(V4, 20)], V4, 20);
        check(&[Server::Says(Rcode::NOERROR, 5), Server::Good(V4, 20)], V4, 25);
    }

    #[test]
    fn a_late_first_answer_still_counts() {
        check(&[Server::Good(V4, 900), Server::Silent], V4, 900);
    }

    #[test]
    fn what_does_not_fit_is_asked_for_over_tcp() {
        check(&[Server::Large(BOTH)], &["2001:db8::10", "192.0.2.10"], 10);
    }

    #[test]
    fn one_family_is_not_held_up_by_the_other() {
        let addresses = ["192.0.2.1:53".parse().unwrap()];
        let now = Mono::from_millis(START);
        let mut lookup = Lookup::new("broker.lab", &addresses, now, &mut Seeded::new(1)).unwrap();
        let first = lookup.poll_send().unwrap();
        lookup.handle_datagram(now, 0, &reply(&first.bytes, Rcode::NOERROR, V4));
        assert_eq!(lookup.outcome(), None);
        let due = lookup.poll_timeout().unwrap();
        assert_eq!(due.since(now), OTHER_FAMILY);
        lookup.handle_timeout(due);
        assert!(matches!(lookup.outcome(), Some(Ok(a)) if a.len() == 1));
    }

    #[track_caller]
    fn fails(servers: &[Server], expect: Cause, took_ms: u64) {
        let (lab, outcome) = run(servers);
        assert_eq!(outcome, Err(expect));
        assert_eq!(lab.now.as_millis() - START, took_ms);
    }

    #[test]
    fn failures_name_each_server() {
        let text = |t: &str| Cause::NameServers(t.try_into().unwrap());
        fails(&[Server::Silent], text("192.0.2.1 did not answer"), 3500);
        fails(
            &[Server::Says(Rcode::REFUSED, 1), Server::Gone],
            text("192.0.2.1 answered REFUSED; 192.0.2.2 cannot be reached"),
            1,
        );
        fails(&[Server::Says(Rcode::NXDOMAIN, 3)], Cause::NameUnknown, 3);
        fails(&[Server::Says(Rcode::NXDOMAIN, 3); 2], Cause::NameUnknown, 6);
        fails(
            &[Server::Says(Rcode::NXDOMAIN, 3), Server::Silent],
            text("192.0.2.1 says that there is no such name; 192.0.2.2 did not answer"),
            3503,
        );
        let three = "192.0.2.1 did not answer; 192.0.2.2 did not answer; 192.0.2.3 did not answer";
        fails(&[Server::Silent; 6], text(three), 6000);
    }

    #[test]
    fn a_silent_server_is_asked_four_times_and_no_more() {
        let (lab, _) = run(&[Server::Silent]);
        assert_eq!(lab.sent, [0, 0, 500, 500, 1500, 1500, 2500, 2500].map(|ms| (ms, 0)));
    }
}
