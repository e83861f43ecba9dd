//! The session's machine against a broker that is a few lines of test: no socket, no sleep, a day in milliseconds.

use core::net::SocketAddr;
use core::time::Duration;

use super::cause::{Cause, KEEPALIVE_TIMEOUT, Step, TAKEN_OVER, TlsFault};
use super::machine::{Action, Machine, Settings};
use super::online::PRESENCE_LEASE;
use super::packet::{Inbound, Level, Outbound, Welcome, Will};
use super::reach::{Cut, Network, Reach};
use super::record::{HISTORY_MAX, Phase};
use super::topics::{Topic, Topics};
use crate::random::Seeded;
use crate::units::Mono;

const KEEPALIVE: Duration = Duration::from_secs(60);

struct Lab {
    machine: Machine,
    random: Seeded,
    now: Mono,
    sent: Vec<Outbound>,
    delivered: Vec<(Topic, Vec<u8>)>,
    hangups: usize,
    dials: usize,
    /// What the broker does.
    echo: bool,
    pong: bool,
    puback: bool,
    refuse: Option<u8>,
    welcome: Welcome,
    /// It speaks only MQTT 3.1.1, and says so to others or hangs up.
    only_311: Option<Option<u8>>,
    /// What the name servers say.
    names: Result<Vec<SocketAddr>, Cause>,
    dialled: Vec<SocketAddr>,
    /// Where somebody else answers.
    impostors: Vec<SocketAddr>,
}

impl Lab {
    fn new(seed: u64) -> Self {
        let topics = Topics::new("moorline".try_into().unwrap(), "0123456789abcdefghjk".parse().unwrap());
        let settings = Settings {
            keepalive: KEEPALIVE,
            backoff_max: Duration::from_secs(300),
            spread: Duration::from_secs(10),
            client_id: "0123456789abcdefghjk".try_into().unwrap(),
        };
        let now = Mono::from_millis(1_000_000);
        Self {
            machine: Machine::new(settings, topics, now),
            random: Seeded::new(seed),
            now,
            sent: Vec::new(),
            delivered: Vec::new(),
            hangups: 0,
            dials: 0,
            echo: true,
            pong: true,
            puback: true,
            refuse: None,
            welcome: Welcome { receive_max: 20, ..Welcome::plain(Level::V5) },
            only_311: None,
            names: Ok(vec!["192.0.2.1:8883".parse().unwrap()]),
            dialled: Vec::new(),
            impostors: Vec::new(),
        }
    }

    fn online(seed: u64) -> Self {
        let mut lab = Self::new(seed);
        lab.machine.handle_enabled(lab.now, true);
        lab.settle();
        assert_eq!(lab.machine.phase(), Phase::Online);
        lab
    }

    /// Carries out actions, and lets the network and the broker answer, until nothing is left to do.
    fn settle(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Resolve => {
                    self.machine.handle_resolved(self.now, self.names.clone(), &mut self.random);
                }
                Action::Dial(addresses) => {
                    self.dials += 1;
                    self.dialled.extend(&addresses);
                    self.machine.handle_opened(self.now, addresses[0]);
                    if self.impostors.contains(&addresses[0]) {
                        let cause = Cause::Tls(TlsFault::UnknownIssuer);
                        self.machine.handle_failed(self.now, cause, &mut self.random);
                        continue;
                    }
                    let will = Will { topic: self.machine.topics().presence(), payload: vec![], delay_s: 0 };
                    self.machine.handle_connected(self.now, will);
                }
                Action::Hangup => self.hangups += 1,
                Action::Goodbye(packet) => self.sent.push(packet),
                Action::Send(packet) => self.answer(packet),
                Action::Deliver(topic, payload) => self.delivered.push((topic, payload)),
                Action::Changed(transition) => assert_eq!(transition.at, self.now),
            }
        }
    }

    fn answer(&mut self, packet: Outbound) {
        let reply = match &packet {
            Outbound::Connect { level: Level::V5, .. } if self.only_311.is_some() => {
                self.sent.push(packet);
                match self.only_311.flatten() {
                    Some(code) => self.receive(Inbound::Rejected(code)),
                    None => self.machine.handle_failed(self.now, Cause::Closed, &mut self.random),
                }
                return;
            }
            Outbound::Connect { .. } => Some(Inbound::Welcome(self.welcome.clone())),
            Outbound::Subscribe { id, .. } => Some(Inbound::Subscribed { id: *id, refused: self.refuse }),
            Outbound::Unsubscribe { id, .. } => Some(Inbound::Unsubscribed { id: *id }),
            Outbound::Publish { topic, payload, id: None, .. } if self.echo => {
                Some(Inbound::Message { topic: topic.clone(), payload: payload.clone(), id: None })
            }
            Outbound::Publish { id: Some(id), .. } if self.puback => {
                Some(Inbound::Puback { id: *id, reason: 0 })
            }
            Outbound::Ping if self.pong => Some(Inbound::Pong),
            Outbound::Publish { .. } | Outbound::Ping | Outbound::Puback(_) | Outbound::Disconnect => None,
        };
        self.sent.push(packet);
        if let Some(reply) = reply {
            self.receive(reply);
        }
    }

    fn receive(&mut self, packet: Inbound) {
        self.machine.handle_packet(self.now, packet, &mut self.random);
    }

    fn fail(&mut self, cause: Cause) {
        self.machine.handle_failed(self.now, cause, &mut self.random);
        self.settle();
    }

    /// Lets time pass, timers firing as they are due.
    fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now || self.machine.poll_timeout() == Some(at));
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now, &mut self.random);
            self.settle();
        }
        self.now = end;
    }

    fn wait(&self) -> Duration {
        self.machine.next_try().unwrap().since(self.now)
    }
}

const fn ended(reason: u8) -> Inbound {
    Inbound::Disconnect { reason, spread_s: None }
}

const fn network(reach: Reach) -> Network {
    Network { reach, gateway: None }
}

#[test]
fn online_is_what_an_echo_confirmed() {
    let mut lab = Lab::new(1);
    lab.echo = false;
    lab.machine.handle_enabled(lab.now, true);
    lab.settle();
    assert_eq!(lab.machine.phase(), Phase::Subscribing, "CONNACK and SUBACK are not enough");
    lab.receive(Inbound::Pong);
    assert_eq!(lab.machine.phase(), Phase::Subscribing, "neither is PINGRESP");
    lab.pass(Duration::from_secs(10));
    assert_eq!(lab.machine.last_failure(), Some(&Cause::EchoLost));
    lab.echo = true;
    lab.pass(Duration::from_secs(120));
    assert_eq!(lab.machine.phase(), Phase::Online);
    assert_eq!(lab.machine.last_failure(), None);
    assert_eq!(lab.machine.poll_presence(), Some(1));
    assert_eq!(lab.machine.poll_presence(), None);
}

#[test]
fn an_old_or_foreign_echo_confirms_nothing() {
    let mut lab = Lab::new(1);
    lab.echo = false;
    lab.machine.handle_enabled(lab.now, true);
    lab.settle();
    let topic = lab.machine.topics().echo();
    for payload in [vec![], vec![0; 8], vec![1; 9]] {
        lab.receive(Inbound::Message { topic: topic.clone(), payload, id: None });
        lab.settle();
        assert_eq!(lab.machine.phase(), Phase::Subscribing);
    }
}

#[test]
fn silence_is_noticed_within_keepalive_and_one_round_trip() {
    for (pong, cause) in [(false, Cause::Silent), (true, Cause::EchoLost)] {
        let mut lab = Lab::online(2);
        (lab.echo, lab.pong) = (false, pong);
        lab.pass(KEEPALIVE + Duration::from_secs(9));
        assert_eq!(lab.machine.phase(), Phase::Online);
        lab.pass(Duration::from_secs(1));
        assert_eq!(lab.machine.last_failure(), Some(&cause));
        assert_eq!(lab.hangups, 1);
    }
}

#[test]
fn a_quiet_day_costs_fewer_probes_the_more_is_learnt() {
    let mut lab = Lab::online(3);
    lab.sent.clear();
    let hour = |lab: &mut Lab| {
        let before = lab.machine.counters().round_trips;
        lab.pass(Duration::from_secs(3600));
        lab.machine.counters().round_trips - before
    };
    let first = hour(&mut lab);
    assert!((25..=45).contains(&first), "60, then 90, then 120 s: {first}");
    lab.pass(Duration::from_secs(22 * 3600));
    assert_eq!(hour(&mut lab), 15, "240 s");
    assert_eq!(lab.machine.counters().failures, 0);
}

#[test]
fn an_unexplained_silence_takes_the_interval_back() {
    let mut lab = Lab::online(3);
    lab.pass(Duration::from_secs(24 * 3600));
    assert_eq!(lab.machine.keepalive().as_secs(), 240);
    (lab.echo, lab.pong) = (false, false);
    lab.pass(Duration::from_secs(260));
    (lab.echo, lab.pong) = (true, true);
    lab.pass(Duration::from_secs(30));
    assert_eq!((lab.machine.phase(), lab.machine.keepalive()), (Phase::Online, KEEPALIVE));
    lab.pass(Duration::from_secs(24 * 3600));
    assert_eq!(lab.machine.keepalive().as_secs(), 210, "240 failed behind this router");
}

#[test]
fn a_busy_session_is_confirmed_and_heard_all_the_same() {
    let mut lab = Lab::online(3);
    lab.sent.clear();
    let topic = lab.machine.topics().knock();
    for _ in 0..1200 {
        lab.pass(Duration::from_secs(1));
        lab.receive(Inbound::Message { topic: topic.clone(), payload: vec![], id: None });
        lab.settle();
    }
    let pings = lab.sent.iter().filter(|p| **p == Outbound::Ping).count();
    assert!(pings >= 19, "the broker hears from us: {pings}");
    assert_eq!(lab.machine.counters().round_trips, 3, "one at the start and one each ten minutes");
    assert_eq!(lab.delivered.len(), 1200);
}

#[test]
fn presence_is_renewed_before_its_lease_ends() {
    let mut lab = Lab::online(3);
    let mut numbers = vec![lab.machine.poll_presence().unwrap()];
    for _ in 0..4 {
        lab.pass(PRESENCE_LEASE / 2);
        numbers.extend(lab.machine.poll_presence());
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

/// Forty failed attempts, then online; and the longest wait on the way.
fn online_after_failures(seed: u64) -> (Lab, Duration) {
    let mut lab = Lab::new(seed);
    lab.machine.handle_enabled(lab.now, true);
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        while lab.machine.poll_action().is_some() {}
        let address = "192.0.2.1:8883".parse().unwrap();
        lab.machine.handle_resolved(lab.now, Ok(vec![address]), &mut lab.random);
        lab.machine.handle_failed(lab.now, Cause::Refused, &mut lab.random);
        while lab.machine.poll_action().is_some() {}
        longest = longest.max(lab.wait());
        lab.now = lab.machine.next_try().unwrap();
        lab.machine.handle_timeout(lab.now, &mut lab.random);
    }
    lab.settle();
    assert_eq!(lab.machine.phase(), Phase::Online);
    (lab, longest)
}

#[test]
fn waits_grow_and_fall_back_only_after_a_stable_minute() {
    let wait_after = |seed, online: u64| {
        let (mut lab, longest) = online_after_failures(seed);
        assert!(longest > Duration::from_secs(200) && longest <= Duration::from_secs(300));
        lab.pass(Duration::from_secs(online));
        lab.fail(Cause::Refused);
        lab.wait()
    };
    assert!((0..20).all(|seed| wait_after(seed, 61) <= Duration::from_secs(1)));
    assert!((0..20).any(|seed| wait_after(seed, 59) > Duration::from_secs(100)));
}

#[test]
fn name_servers_are_asked_again_at_once_and_for_long() {
    let mut lab = Lab::new(5);
    lab.machine.handle_enabled(lab.now, true);
    let mut waits = Vec::new();
    for _ in 0..300 {
        while lab.machine.poll_action().is_some() {}
        lab.machine.handle_resolved(lab.now, Err(Cause::NameUnknown), &mut lab.random);
        waits.push(lab.wait());
        lab.now = lab.machine.next_try().unwrap();
        lab.machine.handle_timeout(lab.now, &mut lab.random);
    }
    assert!(waits[..64].iter().all(|w| *w <= Duration::from_secs(1)));
    assert!(waits.iter().all(|w| *w <= Duration::from_secs(16)));
    assert!(waits[256..].iter().any(|w| *w > Duration::from_secs(8)));
}

#[test]
fn without_name_servers_the_last_address_is_used_and_said() {
    let mut lab = Lab::online(5);
    lab.fail(Cause::Refused);
    lab.names = Err(Cause::NameUnknown);
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.machine.phase(), Phase::Online);
    assert_eq!(lab.machine.addresses().by_memory(), Some(&Cause::NameUnknown));
    lab.names = Ok(vec!["192.0.2.1:8883".parse().unwrap()]);
    lab.fail(Cause::Refused);
    lab.pass(Duration::from_secs(4));
    assert_eq!((lab.machine.phase(), lab.machine.addresses().by_memory()), (Phase::Online, None));
}

#[test]
fn a_portal_in_the_brokers_place_is_gone_around() {
    let mut lab = Lab::online(5);
    let (portal, broker): (SocketAddr, SocketAddr) =
        ("192.0.2.80:8883".parse().unwrap(), "192.0.2.1:8883".parse().unwrap());
    lab.fail(Cause::Refused);
    let mut attempt = |distrust: bool| {
        lab.now = lab.machine.next_try().unwrap();
        lab.machine.handle_timeout(lab.now, &mut lab.random);
        assert_eq!(lab.machine.addresses().is_distrusted(), distrust);
        lab.machine.handle_resolved(lab.now, Ok(vec![portal]), &mut lab.random);
        let dialled = std::iter::from_fn(|| lab.machine.poll_action())
            .find_map(|a| if let Action::Dial(addresses) = a { Some(addresses) } else { None });
        lab.machine.handle_opened(lab.now, portal);
        lab.machine.handle_failed(lab.now, Cause::Tls(TlsFault::UnknownIssuer), &mut lab.random);
        dialled.unwrap()
    };
    assert_eq!(attempt(false), [portal]);
    assert_eq!(attempt(true), [broker, portal], "where the last session was had comes first");
    assert_eq!(attempt(false), [portal]);
}

#[test]
fn an_address_that_leads_nowhere_after_tcp_comes_last() {
    let mut lab = Lab::new(5);
    let (bad, good) = ("[2001:db8::1]:8883".parse().unwrap(), "192.0.2.1:8883".parse().unwrap());
    lab.machine.handle_enabled(lab.now, true);
    lab.machine.handle_resolved(lab.now, Ok(vec![good, bad]), &mut lab.random);
    lab.machine.handle_opened(lab.now, bad);
    while lab.machine.poll_action().is_some() {}
    lab.now = lab.machine.poll_timeout().unwrap();
    lab.machine.handle_timeout(lab.now, &mut lab.random);
    assert_eq!(lab.machine.last_failure(), Some(&Cause::TimedOut(Step::Tls)));
    lab.now = lab.machine.next_try().unwrap();
    lab.machine.handle_timeout(lab.now, &mut lab.random);
    lab.machine.handle_resolved(lab.now, Ok(vec![good, bad]), &mut lab.random);
    let dialled = std::iter::from_fn(|| lab.machine.poll_action())
        .find_map(|a| if let Action::Dial(addresses) = a { Some(addresses) } else { None });
    assert_eq!(dialled, Some(vec![good, bad]));
}

#[test]
fn a_broker_without_mqtt_5_gets_3_1_1() {
    let levels = |lab: &Lab| -> Vec<Level> {
        let level = |p: &Outbound| if let Outbound::Connect { level, .. } = p { Some(*level) } else { None };
        lab.sent.iter().filter_map(level).collect()
    };
    for (refusal, mute) in [(Some(0x84), 1), (None, 2)] {
        let mut lab = Lab::new(5);
        lab.only_311 = Some(refusal);
        lab.machine.handle_enabled(lab.now, true);
        lab.settle();
        lab.pass(Duration::from_secs(5));
        assert_eq!(lab.machine.phase(), Phase::Online);
        let mut expect = vec![Level::V5; mute];
        expect.push(Level::V311);
        assert_eq!(levels(&lab), expect);
        // The next session begins with what worked, until some time has passed.
        lab.fail(Cause::Closed);
        lab.pass(Duration::from_secs(20));
        assert_eq!(levels(&lab).len(), mute + 2);
        lab.pass(Duration::from_secs(3600));
        lab.only_311 = None;
        lab.fail(Cause::Closed);
        lab.pass(Duration::from_secs(20));
        assert_eq!((lab.machine.phase(), levels(&lab).last()), (Phase::Online, Some(&Level::V5)));
    }
}

#[test]
fn a_pause_is_no_ones_fault_and_costs_no_wait() {
    let mut lab = Lab::online(5);
    lab.pass(KEEPALIVE - Duration::from_secs(1));
    // Stopped for ten minutes with nothing under way; then the broker's good-bye is read.
    lab.now = lab.now.after(Duration::from_secs(600));
    lab.receive(ended(KEEPALIVE_TIMEOUT));
    lab.settle();
    assert_eq!((lab.machine.counters().pauses, lab.wait()), (1, Duration::ZERO));
    lab.pass(Duration::from_millis(300));
    assert_eq!((lab.machine.phase(), lab.machine.keepalive()), (Phase::Online, KEEPALIVE));
    // Stopped with a probe under way, and the broker held out.
    lab.echo = false;
    lab.pass(KEEPALIVE + Duration::from_secs(2));
    lab.now = lab.now.after(Duration::from_secs(100));
    lab.machine.handle_timeout(lab.now, &mut lab.random);
    lab.settle();
    assert_eq!(lab.machine.phase(), Phase::Online, "the answer gets its time from now on");
}

#[test]
fn a_missing_route_is_waited_for_but_ends_no_session_by_itself() {
    let mut lab = Lab::online(5);
    let go = |lab: &mut Lab, reach| {
        lab.machine.handle_network(lab.now, network(reach), &mut lab.random);
        lab.settle();
    };
    go(&mut lab, Reach::Cut(Cut::NoRoute));
    assert_eq!(lab.machine.phase(), Phase::Online, "asked, and it answered");
    (lab.echo, lab.pong) = (false, false);
    go(&mut lab, Reach::Usable);
    go(&mut lab, Reach::Cut(Cut::NoRoute));
    lab.pass(Duration::from_secs(10));
    assert_eq!(lab.machine.phase(), Phase::NoRoute);
    (lab.echo, lab.pong) = (true, true);
    go(&mut lab, Reach::Usable);
    assert_eq!(lab.machine.phase(), Phase::Online);
}

#[test]
fn the_operators_window_counts_from_its_word_on() {
    let mut lab = Lab::online(5);
    lab.receive(Inbound::Disconnect { reason: 0x8b, spread_s: Some(600) });
    lab.settle();
    let waits: Vec<u64> = (0..40)
        .map(|seed| {
            let mut lab = Lab::online(seed);
            lab.welcome.spread_s = Some(600);
            lab.machine.handle_reconnect(lab.now, &mut lab.random);
            lab.settle();
            lab.pass(Duration::from_secs(1));
            lab.fail(Cause::Closed);
            lab.wait().as_secs()
        })
        .collect();
    assert!(waits.iter().any(|w| *w > 300) && waits.iter().all(|w| *w <= 600));
}

#[test]
fn refused_credentials_are_retried_slowly_and_for_ever() {
    let mut lab = Lab::new(5);
    lab.machine.handle_enabled(lab.now, true);
    for _ in 0..50 {
        while !matches!(lab.machine.poll_action(), Some(Action::Resolve)) {}
        let address = "192.0.2.1:8883".parse().unwrap();
        lab.machine.handle_resolved(lab.now, Ok(vec![address]), &mut lab.random);
        let will = Will { topic: Topic::new(), payload: vec![], delay_s: 0 };
        lab.machine.handle_connected(lab.now, will);
        lab.receive(Inbound::Rejected(0x86));
        assert_eq!(lab.machine.last_failure(), Some(&Cause::Rejected(0x86)));
        assert!(lab.wait() >= Duration::from_secs(30));
        lab.now = lab.machine.next_try().unwrap();
        while lab.machine.poll_action().is_some() {}
        lab.machine.handle_timeout(lab.now, &mut lab.random);
    }
}

#[test]
fn a_lie_of_the_name_servers_is_got_over_as_soon_as_they_stop() {
    let (liar, other, broker) = ("192.0.2.66:8883", "192.0.2.67:8883", "192.0.2.1:8883");
    let named = |text: &str| Ok(vec![text.parse().unwrap()]);
    let mut lab = Lab::new(5);
    lab.names = named(liar);
    lab.impostors = vec![liar.parse().unwrap(), other.parse().unwrap()];
    lab.machine.handle_enabled(lab.now, true);
    lab.settle();
    // Hours of it: the window is at its largest, and two liars by turns are no news after the first time.
    for minute in 0..240u32 {
        lab.names = named(if minute % 2 == 0 { liar } else { other });
        lab.pass(Duration::from_secs(60));
    }
    assert_eq!(lab.machine.phase(), Phase::Waiting);
    assert!(lab.dials < 240, "{} dials in four hours", lab.dials);
    lab.names = named(broker);
    lab.pass(Duration::from_secs(17));
    assert_eq!(lab.machine.phase(), Phase::Online);
}

#[test]
fn a_clone_is_not_fought() {
    let mut lab = Lab::online(6);
    lab.receive(ended(TAKEN_OVER));
    lab.settle();
    assert!(lab.wait() >= Duration::from_secs(300));
}

#[test]
fn a_loss_is_spread_over_the_operators_window() {
    let waits: Vec<u64> = (0..200)
        .map(|seed| {
            let mut lab = Lab::online(seed);
            lab.fail(Cause::Closed);
            lab.wait().as_millis() as u64
        })
        .collect();
    assert!(waits.iter().all(|w| *w <= 10_000));
    assert!(*waits.iter().min().unwrap() < 500 && *waits.iter().max().unwrap() > 9_500);
}

#[test]
fn link_loss_is_noticed_and_link_up_ends_the_wait_at_once() {
    let mut lab = Lab::online(7);
    lab.machine.handle_network(lab.now, network(Reach::Cut(Cut::NoLink)), &mut lab.random);
    lab.settle();
    assert_eq!((lab.machine.phase(), lab.hangups), (Phase::NoLink, 1));
    lab.machine.handle_network(lab.now, network(Reach::Cut(Cut::NoAddress)), &mut lab.random);
    lab.settle();
    assert_eq!(lab.machine.phase(), Phase::NoAddress);
    lab.machine.handle_network(lab.now, network(Reach::Usable), &mut lab.random);
    lab.settle();
    lab.pass(Duration::from_millis(250));
    assert_eq!(lab.machine.phase(), Phase::Online);
}

#[test]
fn without_a_link_it_tries_all_the_same_sometimes() {
    let mut lab = Lab::new(7);
    lab.machine.handle_network(lab.now, network(Reach::Cut(Cut::NoLink)), &mut lab.random);
    lab.machine.handle_enabled(lab.now, true);
    lab.settle();
    assert_eq!(lab.machine.phase(), Phase::NoLink);
    lab.pass(Duration::from_secs(300));
    assert_eq!(lab.machine.phase(), Phase::Online);
}

#[test]
fn mailboxes_are_followed_and_restored_after_a_loss() {
    let mut lab = Lab::online(8);
    let box_topic = |i: u32| Topic::try_from(format!("moorline/p/{i:05}/n").as_str()).unwrap();
    lab.sent.clear();
    lab.machine.handle_topics((0..10).map(box_topic));
    lab.settle();
    let filters = |lab: &Lab| -> usize {
        let count = |p: &Outbound| match p {
            Outbound::Subscribe { filters, .. } => filters.len(),
            _ => 0,
        };
        lab.sent.iter().map(count).sum()
    };
    assert_eq!(filters(&lab), 10);
    lab.sent.clear();
    lab.machine.handle_topics((5..10).map(box_topic));
    lab.settle();
    assert!(matches!(&lab.sent[..], [Outbound::Unsubscribe { filters, .. }] if filters.len() == 5));
    lab.fail(Cause::Closed);
    lab.sent.clear();
    lab.pass(Duration::from_secs(10));
    assert_eq!(lab.machine.phase(), Phase::Online);
    assert_eq!(filters(&lab), 3 + 5);
}

#[test]
fn no_more_messages_are_in_flight_than_the_broker_takes() {
    let mut lab = Lab::online(9);
    lab.welcome.receive_max = 3;
    lab.machine.handle_reconnect(lab.now, &mut lab.random);
    lab.settle();
    lab.pass(Duration::from_millis(250));
    assert_eq!(lab.machine.phase(), Phase::Online);
    lab.puback = false;
    lab.sent.clear();
    let topic = lab.machine.topics().presence();
    let accepted = (0..50).filter(|_| lab.machine.publish(topic.clone(), vec![1], false)).count();
    lab.settle();
    assert_eq!(accepted, 3 + 32, "in flight and queued; the rest was refused");
    assert_eq!(lab.sent.len(), 3);
    let ids: Vec<u16> = lab
        .sent
        .iter()
        .filter_map(|p| if let Outbound::Publish { id, .. } = p { *id } else { None })
        .collect();
    lab.puback = true;
    for id in ids {
        lab.receive(Inbound::Puback { id, reason: 0x87 });
    }
    lab.settle();
    assert_eq!(lab.sent.len(), accepted);
    assert_eq!(lab.machine.counters().publishes_refused, 3);
}

#[test]
fn what_the_broker_cannot_do_is_left_out() {
    let mut lab = Lab::new(10);
    lab.welcome.retain = false;
    lab.welcome.keepalive_s = Some(20);
    lab.machine.handle_enabled(lab.now, true);
    lab.settle();
    lab.machine.publish(lab.machine.topics().presence(), vec![], true);
    lab.settle();
    assert!(matches!(lab.sent.last(), Some(Outbound::Publish { retain: false, .. })));
    lab.echo = false;
    lab.pong = false;
    lab.pass(Duration::from_secs(30));
    assert_eq!(lab.machine.last_failure(), Some(&Cause::Silent), "the server's keepalive is used");
}

#[test]
fn a_refused_subscription_is_named() {
    let mut lab = Lab::new(11);
    lab.refuse = Some(0x87);
    lab.machine.handle_enabled(lab.now, true);
    lab.settle();
    assert_eq!(lab.machine.last_failure(), Some(&Cause::SubscribeRefused(0x87)));
}

#[test]
fn switching_off_says_goodbye_and_stays_off() {
    let mut lab = Lab::online(12);
    lab.machine.handle_enabled(lab.now, false);
    lab.settle();
    assert_eq!(lab.sent.last(), Some(&Outbound::Disconnect));
    assert_eq!((lab.machine.phase(), lab.machine.poll_timeout()), (Phase::Disabled, None));
    lab.receive(Inbound::Pong);
    lab.fail(Cause::Closed);
    assert_eq!(lab.machine.phase(), Phase::Disabled);
}

#[test]
fn packets_out_of_place_end_the_attempt_without_harm() {
    let mut lab = Lab::online(13);
    lab.receive(Inbound::Rejected(0x86));
    lab.settle();
    assert!(matches!(lab.machine.last_failure(), Some(Cause::Protocol(_))));
    let before = lab.machine.counters().failures;
    lab.receive(ended(0));
    lab.settle();
    assert_eq!(lab.machine.counters().failures, before, "left over from the connection that was dropped");
}

#[test]
fn every_phase_but_disabled_has_a_way_out_by_itself() {
    // Whatever step stays unanswered, the machine ends it: no state waits for ever.
    let steps: [fn(&mut Lab); 5] = [
        |_| {},
        |lab| lab.machine.handle_resolved(lab.now, Ok(vec!["192.0.2.1:1".parse().unwrap()]), &mut lab.random),
        |lab| lab.machine.handle_opened(lab.now, "192.0.2.1:8883".parse().unwrap()),
        |lab| {
            lab.machine.handle_connected(lab.now, Will { topic: Topic::new(), payload: vec![], delay_s: 0 })
        },
        |lab| lab.receive(Inbound::Welcome(lab.welcome.clone())),
    ];
    let expect = [Step::Resolving, Step::Connecting, Step::Tls, Step::Mqtt, Step::Subscribing];
    for (count, step) in expect.into_iter().enumerate() {
        let mut lab = Lab::new(14);
        lab.machine.handle_enabled(lab.now, true);
        for act in &steps[..=count] {
            act(&mut lab);
        }
        while lab.machine.poll_action().is_some() {}
        let deadline = lab.machine.poll_timeout().expect("a timer is armed");
        assert!(deadline.since(lab.now) <= Duration::from_secs(15));
        lab.machine.handle_timeout(deadline, &mut lab.random);
        assert_eq!(lab.machine.last_failure(), Some(&Cause::TimedOut(step)));
        assert_eq!(lab.machine.phase(), Phase::Waiting);
    }
}

#[test]
fn the_history_is_bounded_and_has_the_causes() {
    let mut lab = Lab::online(15);
    for _ in 0..100 {
        lab.fail(Cause::Tls(TlsFault::Expired));
        lab.pass(Duration::from_secs(301));
    }
    assert_eq!(lab.machine.history().iter().count(), HISTORY_MAX);
    assert!(lab.machine.history().iter().any(|t| t.cause == Some(Cause::Tls(TlsFault::Expired))));
}

#[test]
fn random_weather_always_ends_online_within_the_bound() {
    for seed in 0..300 {
        let mut lab = Lab::new(seed);
        let mut weather = Seeded::new(seed ^ 0xabcdef);
        lab.machine.handle_enabled(lab.now, true);
        lab.settle();
        for _ in 0..60 {
            let dice = crate::random::below(&mut weather, 10);
            match dice {
                0 => lab.fail(Cause::Closed),
                1 => lab.fail(Cause::Refused),
                2 => lab.machine.handle_network(lab.now, network(Reach::Cut(Cut::NoLink)), &mut lab.random),
                3 => lab.machine.handle_network(lab.now, network(Reach::Usable), &mut lab.random),
                4 => lab.echo = !lab.echo,
                5 => lab.pong = !lab.pong,
                6 => lab.refuse = if lab.refuse.is_some() { None } else { Some(0x87) },
                7 => lab.receive(ended(0x8b)),
                8 => lab.machine.handle_reconnect(lab.now, &mut lab.random),
                _ => {}
            }
            lab.settle();
            lab.pass(Duration::from_millis(crate::random::below(&mut weather, 400_000)));
        }
        (lab.echo, lab.pong, lab.refuse) = (true, true, None);
        lab.machine.handle_network(lab.now, network(Reach::Usable), &mut lab.random);
        lab.settle();
        // The longest wait there is: a slow retry at the full window, behind a probe that is just being missed.
        lab.pass(Duration::from_secs(330 + 80));
        assert_eq!(lab.machine.phase(), Phase::Online, "seed {seed}");
    }
}
