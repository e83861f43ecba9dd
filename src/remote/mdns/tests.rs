//! The NAS's and the device's side against bytes, against each other, and against what nobody should send.

use std::net::{IpAddr, SocketAddr};

use domain::base::iana::Class;
use domain::base::{Message, MessageBuilder, Rtype};
use domain::rdata::AllRecordData;
use proptest::prelude::*;

use super::browser::{Browser, Query};
use super::responder::{Packet, Profile, Responder};
use super::wire::{self, Own};
use super::*;
use crate::random::Seeded;
use crate::units::Mono;

const ID: &str = "0123456789abcdefghjk";
const PEER: &str = "192.0.2.9:5353";
/// By then a responder that began at 0 has probed and made both announcements.
const SETTLED: u64 = 5_000;

fn ms(ms: u64) -> Mono {
    Mono::from_millis(ms)
}

fn from(address: &str) -> Sender {
    Sender { address: address.parse().unwrap(), own: false, near: true }
}

fn bytes_of(query: Query) -> Vec<u8> {
    match query {
        Query::Mine(bytes) | Query::Everybodys(bytes) => bytes,
    }
}

/// A browser that has asked for itself and goes on with everybody's questions.
fn browsing(now: u64) -> Browser {
    let mut browser = Browser::new(ms(now), &mut Seeded::new(1));
    assert!(matches!(browser.poll_query(), Some(Query::Mine(_))));
    browser
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

fn profile(name: &str) -> Profile {
    Profile { name: name.to_owned(), id: ID.parse().unwrap(), port: 4433 }
}

fn begun(name: &str, addresses: &[&str]) -> Responder {
    let mut responder = Responder::new(profile(name));
    responder.handle_addresses(ms(0), &ips(addresses), &mut Seeded::new(1));
    responder
}

fn settled() -> Responder {
    let mut responder = begun("Attic", &["192.0.2.7", "fe80::7"]);
    assert!(!run(&mut responder, SETTLED).is_empty());
    assert!(responder.is_running());
    responder
}

/// All that is sent until then, and when.
fn run(responder: &mut Responder, until: u64) -> Vec<(u64, Packet)> {
    let mut sent = Vec::new();
    let mut now = 0;
    loop {
        while let Some(packet) = responder.poll_packet() {
            assert!(packet.bytes.len() <= wire::MESSAGE_MAX);
            sent.push((now, packet));
        }
        match responder.poll_timeout().map(Mono::as_millis).filter(|at| *at <= until) {
            Some(at) => {
                now = at;
                responder.handle_timeout(ms(at));
            }
            None => return sent,
        }
    }
}

/// What a responder sends until `until` because of a packet at `at`.
fn after(responder: &mut Responder, at: u64, sender: Sender, bytes: &[u8], until: u64) -> Vec<(u64, Packet)> {
    responder.handle_packet(ms(at), sender, bytes, &mut Seeded::new(2));
    let mut sent = run(responder, until);
    sent.iter_mut().for_each(|(when, _)| *when = (*when).max(at));
    sent
}

/// Owner, type and lifetime of each record.
fn shown(bytes: &[u8]) -> Vec<String> {
    let message = wire::read(bytes).unwrap();
    let one = |r: domain::base::ParsedRecord<'_, &[u8]>| {
        let flush = if r.class().to_int() & 0x8000 != 0 { " only" } else { "" };
        format!("{} {} {}{flush}", r.owner(), r.rtype(), r.ttl().as_secs())
    };
    message.iter().map(|r| one(r.unwrap().0)).collect()
}

fn types(bytes: &[u8]) -> Vec<Rtype> {
    wire::read(bytes).unwrap().answer().unwrap().map(|r| r.unwrap().rtype()).collect()
}

/// A question as others put it; the class with its top bit.
fn ask(questions: &[(&wire::Owned, Rtype, u16)], tc: bool, known: &[Own]) -> Vec<u8> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_tc(tc);
    let mut section = message.question();
    for (name, rtype, class) in questions {
        section.push((*name, *rtype, Class::from_int(*class))).unwrap();
    }
    let mut section = section.answer();
    for own in known {
        section.push((&own.owner, Class::IN, own.ttl, &own.data)).unwrap();
    }
    section.finish()
}

fn ask_for(name: &wire::Owned, rtype: Rtype) -> Vec<u8> {
    ask(&[(name, rtype, 1)], false, &[])
}

fn instance(label: &str) -> wire::Owned {
    wire::name(&[label.as_bytes(), b"_moorline", b"_tcp", b"local"])
}

fn host() -> wire::Owned {
    wire::name(&[b"moorline-01234567", b"local"])
}

fn known_service(ttl: u32) -> Own {
    Own { owner: wire::service(), unique: false, ttl, data: wire::ptr(instance("Attic")) }
}

#[test]
fn probes_then_announces_twice() {
    let mut responder = begun("Attic", &["192.0.2.7", "fe80::7"]);
    let sent = run(&mut responder, SETTLED);
    let times: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
    let start = times[0];
    assert!(start < 250);
    assert_eq!(times, [0, 250, 500, 750, 1750].map(|t| t + start));
    let probe = wire::read(&sent[0].1.bytes).unwrap();
    assert!(!probe.header().qr());
    let asked: Vec<String> =
        wire::questions(&probe).map(|q| format!("{} {} {}", q.name, q.rtype, q.unicast)).collect();
    assert_eq!(asked, ["Attic._moorline._tcp.local ANY false", "moorline-01234567.local ANY false"]);
    assert_eq!(
        shown(&sent[2].1.bytes),
        [
            "Attic._moorline._tcp.local SRV 120",
            "Attic._moorline._tcp.local TXT 4500",
            "moorline-01234567.local A 120",
            "moorline-01234567.local AAAA 120"
        ]
    );
    assert_eq!(
        shown(&sent[3].1.bytes),
        [
            "_services._dns-sd._udp.local PTR 4500",
            "_moorline._tcp.local PTR 4500",
            "Attic._moorline._tcp.local SRV 120 only",
            "Attic._moorline._tcp.local TXT 4500 only",
            "moorline-01234567.local A 120 only",
            "moorline-01234567.local AAAA 120 only"
        ]
    );
    assert_eq!(sent[3].1.bytes, sent[4].1.bytes);
    assert_eq!(responder.poll_timeout(), None, "an idle responder does nothing");
}

#[test]
fn an_announcement_is_these_bytes() {
    let mut responder = begun("Attic", &["192.0.2.7"]);
    let sent = run(&mut responder, SETTLED);
    let mut expect = b"\0\0\x84\0\0\0\0\x05\0\0\0\0".to_vec();
    expect.extend(b"\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\0\x01\0\0\x11\x94\0\x11\x09_moorline\x04_tcp\xc0\x23");
    expect.extend(b"\xc0\x34\0\x0c\0\x01\0\0\x11\x94\0\x08\x05Attic\xc0\x34");
    expect.extend(b"\xc0\x51\0\x21\x80\x01\0\0\0\x78\0\x1f\0\0\0\0\x11\x51\x11moorline-01234567\x05local\0");
    expect.extend(b"\xc0\x51\0\x10\x80\x01\0\0\x11\x94\0\x1c\x03v=1\x17id=0123456789abcdefghjk");
    expect.extend(b"\x11moorline-01234567\xc0\x23\0\x01\x80\x01\0\0\0\x78\0\x04\xc0\0\x02\x07");
    assert_eq!(sent[3].1.bytes, expect, "{:?}", String::from_utf8_lossy(&sent[3].1.bytes));
}

#[test]
fn without_an_address_nothing_is_said() {
    let mut responder = Responder::new(profile("Attic"));
    responder.handle_packet(ms(1), from(PEER), &ask_for(&wire::service(), Rtype::PTR), &mut Seeded::new(1));
    assert!(run(&mut responder, SETTLED).is_empty());
    let mut responder = settled();
    responder.handle_addresses(ms(SETTLED), &[], &mut Seeded::new(1));
    assert!(!responder.is_running() && responder.poll_timeout().is_none());
}

#[test]
fn new_addresses_are_announced_twice() {
    let mut responder = settled();
    responder.handle_addresses(ms(10_000), &ips(&["192.0.2.8"]), &mut Seeded::new(1));
    let sent = run(&mut responder, 20_000);
    assert_eq!(sent.len(), 2);
    assert!(shown(&sent[0].1.bytes).iter().any(|r| r.starts_with("moorline-01234567.local A ")));
    responder.handle_addresses(ms(20_000), &ips(&["192.0.2.8"]), &mut Seeded::new(1));
    assert!(run(&mut responder, 30_000).is_empty(), "the same as before");
}

#[test]
fn goodbye_takes_back_what_is_ours() {
    let mut responder = settled();
    responder.handle_end();
    let packet = responder.poll_packet().unwrap();
    assert_eq!(
        shown(&packet.bytes),
        [
            "_moorline._tcp.local PTR 0",
            "Attic._moorline._tcp.local SRV 0 only",
            "Attic._moorline._tcp.local TXT 0 only",
            "moorline-01234567.local A 0 only",
            "moorline-01234567.local AAAA 0 only"
        ]
    );
    let again = after(&mut responder, 9_000, from(PEER), &ask_for(&wire::service(), Rtype::PTR), 20_000);
    assert!(again.is_empty(), "nothing after goodbye");
}

#[test]
fn each_question_gets_its_answer() {
    let check = |name: wire::Owned, rtype: Rtype, expect: &[Rtype]| {
        let sent = after(&mut settled(), 10_000, from(PEER), &ask_for(&name, rtype), 20_000);
        let found: Vec<Rtype> = sent.iter().flat_map(|(_, p)| types(&p.bytes)).collect();
        assert_eq!(found, expect, "{name} {rtype}");
        assert!(sent.iter().all(|(_, p)| p.to.is_none()));
    };
    let all = [Rtype::SRV, Rtype::TXT];
    check(wire::services(), Rtype::PTR, &[Rtype::PTR]);
    check(wire::service(), Rtype::PTR, &[Rtype::PTR]);
    check(wire::service(), Rtype::ANY, &[Rtype::PTR]);
    check(wire::service(), Rtype::A, &[]);
    check(instance("Attic"), Rtype::SRV, &[Rtype::SRV]);
    check(instance("aTTIC"), Rtype::TXT, &[Rtype::TXT]);
    check(instance("Attic"), Rtype::ANY, &all);
    check(instance("Cellar"), Rtype::ANY, &[]);
    check(host(), Rtype::A, &[Rtype::A]);
    check(host(), Rtype::AAAA, &[Rtype::AAAA]);
    check(host(), Rtype::ANY, &[Rtype::A, Rtype::AAAA]);
    check(host(), Rtype::MX, &[Rtype::NSEC]);
}

#[test]
fn what_a_host_does_not_have_is_said() {
    let mut responder = begun("Attic", &["192.0.2.7"]);
    run(&mut responder, SETTLED);
    let sent = after(&mut responder, 10_000, from(PEER), &ask_for(&host(), Rtype::AAAA), 20_000);
    let message = wire::read(&sent[0].1.bytes).unwrap();
    let record = wire::answers(&message).next().unwrap();
    let AllRecordData::Nsec(nsec) = record.data else { panic!("{:?}", record.data) };
    assert_eq!(nsec.types().iter().collect::<Vec<_>>(), [Rtype::A]);
}

#[test]
fn shared_answers_wait_and_bring_what_comes_next() {
    let sent = after(&mut settled(), 10_000, from(PEER), &ask_for(&wire::service(), Rtype::PTR), 20_000);
    assert_eq!(sent.len(), 1);
    assert!((10_020..=10_120).contains(&sent[0].0), "{}", sent[0].0);
    assert_eq!(shown(&sent[0].1.bytes).len(), 5, "with SRV, TXT, A and AAAA");
    let sent = after(&mut settled(), 10_000, from(PEER), &ask_for(&instance("Attic"), Rtype::SRV), 20_000);
    assert_eq!(sent[0].0, 10_000, "what only we can answer is answered at once");
}

#[test]
fn several_questions_share_an_answer() {
    let (service, host) = (wire::service(), host());
    let query = ask(&[(&service, Rtype::PTR, 1), (&host, Rtype::A, 1)], false, &[]);
    let sent = after(&mut settled(), 10_000, from(PEER), &query, 20_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(types(&sent[0].1.bytes), [Rtype::PTR, Rtype::A]);
}

#[test]
fn known_answers_are_left_out() {
    let query = |ttl| ask(&[(&wire::service(), Rtype::PTR, 1)], false, &[known_service(ttl)]);
    assert!(after(&mut settled(), 10_000, from(PEER), &query(4500), 20_000).is_empty());
    assert!(after(&mut settled(), 10_000, from(PEER), &query(2250), 20_000).is_empty());
    assert_eq!(after(&mut settled(), 10_000, from(PEER), &query(2249), 20_000).len(), 1, "soon forgotten");
}

#[test]
fn known_answers_may_come_in_a_second_packet() {
    let query = ask(&[(&wire::service(), Rtype::PTR, 1)], true, &[]);
    let rest = ask(&[], false, &[known_service(4500)]);
    let mut responder = settled();
    assert!(after(&mut responder, 10_000, from(PEER), &query, 10_100).is_empty());
    assert!(after(&mut responder, 10_200, from(PEER), &rest, 20_000).is_empty());
    let mut responder = settled();
    assert!(after(&mut responder, 10_000, from(PEER), &query, 10_100).is_empty());
    let other = after(&mut responder, 10_200, from("192.0.2.10:5353"), &rest, 20_000);
    assert_eq!(other.len(), 1, "those of somebody else do not count");
    assert!((10_400..=10_500).contains(&other[0].0));
}

#[test]
fn a_record_is_multicast_once_a_second() {
    let mut responder = settled();
    let query = ask_for(&host(), Rtype::A);
    let mut sent = Vec::new();
    for at in (10_000..13_000).step_by(50) {
        sent.extend(after(&mut responder, at, from(PEER), &query, at + 49));
    }
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1000));
}

/// When and to whom something is sent, and what is in its answer section.
fn outline(sent: &[(u64, Packet)]) -> Vec<(u64, Option<String>, Vec<Rtype>)> {
    sent.iter().map(|(at, p)| (*at, p.to.map(|to| to.to_string()), types(&p.bytes))).collect()
}

#[test]
fn unicast_answers_go_to_who_wants_them() {
    let me = || Some(PEER.to_owned());
    let (service, host) = (wire::service(), host());
    let address = ask(&[(&host, Rtype::A, 0x8001)], false, &[]);
    let sent = after(&mut settled(), 10_000, from(PEER), &address, 20_000);
    assert_eq!(outline(&sent), [(10_000, me(), vec![Rtype::A])]);
    // Nobody has heard of it for more than a quarter of its lifetime: everybody gets it, too, and who asks need not wait for that.
    let sent = after(&mut settled(), 40_000, from(PEER), &address, 50_000);
    assert_eq!(outline(&sent), [(40_000, me(), vec![Rtype::A]), (40_000, None, vec![Rtype::A])]);
    // What comes next is with it; shared or not, it goes out at once.
    let browse = |known: &[Own], class, tc| ask(&[(&service, Rtype::PTR, class)], tc, known);
    let sent = after(&mut settled(), 10_000, from(PEER), &browse(&[], 0x8001, false), 20_000);
    assert_eq!(outline(&sent), [(10_000, me(), vec![Rtype::PTR])]);
    assert_eq!(shown(&sent[0].1.bytes).len(), 5, "with SRV, TXT, A and AAAA");
    assert!(wire::read(&sent[0].1.bytes).unwrap().header_counts().qdcount() == 0, "no plain answer");
    // What is known is not said.
    let known = browse(&[known_service(4500)], 0x8001, false);
    assert!(after(&mut settled(), 10_000, from(PEER), &known, 20_000).is_empty());
    // Who has more known answers to tell is waited for, and then answered as anybody.
    let sent = after(&mut settled(), 10_000, from(PEER), &browse(&[], 0x8001, true), 20_000);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].1.to.is_none() && sent[0].0 >= 10_400, "{}", sent[0].0);
    // Both kinds in one message: each its own, nothing twice.
    let both = ask(
        &[(&service, Rtype::PTR, 1), (&service, Rtype::PTR, 0x8001), (&host, Rtype::A, 0x8001)],
        false,
        &[],
    );
    let sent = after(&mut settled(), 10_000, from(PEER), &both, 20_000);
    let outlines = outline(&sent);
    assert_eq!(outlines[0], (10_000, me(), vec![Rtype::A]));
    assert_eq!((&outlines[1].1, &outlines[1].2, outlines.len()), (&None, &vec![Rtype::PTR], 2));
}

#[test]
fn nothing_is_sent_by_unicast_to_an_address_of_another_network() {
    // On the link by its hop limit, but whose address that is nobody knows (RFC 6762, 11).
    let far = |port| Sender { near: false, ..from(&format!("203.0.113.5:{port}")) };
    let query = ask(&[(&wire::service(), Rtype::PTR, 0x8001)], false, &[]);
    let sent = after(&mut settled(), 10_000, far(PORT), &query, 20_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1.to, None, "everybody hears it");
    assert!(after(&mut settled(), 10_000, far(40_000), &query, 20_000).is_empty(), "a plain resolver");
}

#[test]
fn plain_resolvers_get_plain_answers() {
    let mut query = ask_for(&instance("Attic"), Rtype::SRV);
    query[0] = 0x12;
    let sent = after(&mut settled(), 10_000, from("192.0.2.9:40000"), &query, 20_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1.to, Some("192.0.2.9:40000".parse().unwrap()));
    let message = Message::from_octets(sent[0].1.bytes.as_slice()).unwrap();
    assert_eq!((message.header().id(), message.header_counts().qdcount()), (0x1200, 1));
    assert_eq!(
        shown(&sent[0].1.bytes),
        [
            "Attic._moorline._tcp.local SRV 10",
            "moorline-01234567.local A 10",
            "moorline-01234567.local AAAA 10"
        ]
    );
}

/// What another NAS with this name would say about it.
fn foreign_srv(label: &str) -> Vec<u8> {
    let data = wire::srv(9, wire::name(&[b"other", b"local"]));
    let own = Own { owner: instance(label), unique: true, ttl: 120, data };
    wire::response(&wire::Form::Usual, &[own], &[]).unwrap()
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let mut responder = begun("Attic", &["192.0.2.7"]);
    run(&mut responder, 300);
    let sent = after(&mut responder, 310, from(PEER), &foreign_srv("Attic"), SETTLED);
    assert_eq!(responder.instance().as_str(), "Attic (2)");
    assert!(responder.is_running());
    assert_eq!(types(&sent[3].1.bytes).len(), 5, "three probes, then the announcement");
    assert_eq!(shown(&sent[3].1.bytes)[2], "Attic\\ (2)._moorline._tcp.local SRV 120 only");
}

#[test]
fn a_name_that_is_ours_is_asked_for_again_and_then_given_up() {
    let mut responder = settled();
    responder.handle_packet(ms(6_000), from("192.0.2.9:40000"), &foreign_srv("Attic"), &mut Seeded::new(1));
    assert!(responder.is_running(), "no answer comes from another port");
    let own = Sender { own: true, ..from(PEER) };
    responder.handle_packet(ms(6_000), own, &foreign_srv("Attic"), &mut Seeded::new(1));
    assert!(responder.is_running(), "our own");
    responder.handle_packet(ms(6_000), from(PEER), &foreign_srv("Attic"), &mut Seeded::new(1));
    assert!(!responder.is_running());
    assert_eq!(responder.instance().as_str(), "Attic");
    responder.handle_packet(ms(6_100), from(PEER), &foreign_srv("Attic"), &mut Seeded::new(1));
    assert_eq!(responder.instance().as_str(), "Attic (2)");
}

#[test]
fn endless_conflicts_slow_down() {
    let mut responder = begun("Attic", &["192.0.2.7"]);
    let mut now = 0;
    for number in 1..=20 {
        let label = if number == 1 { "Attic".to_owned() } else { format!("Attic ({number})") };
        now += 300;
        responder.handle_packet(ms(now), from(PEER), &foreign_srv(&label), &mut Seeded::new(1));
    }
    assert_eq!(responder.instance().as_str(), "Attic (21)");
    assert!(responder.poll_timeout().unwrap() >= ms(now + 5_000));
}

#[test]
fn of_two_that_ask_at_once_one_waits() {
    let mut first = begun("Attic", &["192.0.2.7"]);
    let mut second =
        Responder::new(Profile { id: "zzzzzzzzzzzzzzzzzzzz".parse().unwrap(), ..profile("Attic") });
    second.handle_addresses(ms(0), &ips(&["192.0.2.8"]), &mut Seeded::new(1));
    let mut random = Seeded::new(3);
    for now in 0..SETTLED {
        for turn in [true, false] {
            let (speaks, hears, address) = if turn {
                (&mut first, &mut second, "192.0.2.7:5353")
            } else {
                (&mut second, &mut first, "192.0.2.8:5353")
            };
            speaks.handle_timeout(ms(now));
            while let Some(packet) = speaks.poll_packet() {
                hears.handle_packet(ms(now), from(address), &packet.bytes, &mut random);
            }
        }
    }
    assert!(first.is_running() && second.is_running());
    let mut names = [first.instance(), second.instance()];
    names.sort();
    assert_eq!(names.map(|n| n.to_string()), ["Attic", "Attic (2)"]);
}

#[test]
fn names_are_made_fit() {
    let check = |name: &str, expect: &str| {
        assert_eq!(Responder::new(profile(name)).instance().as_str(), expect);
    };
    check("  Attic\n NAS. ", "Attic NAS.");
    check("\u{7}", "moorline");
    check("Keller Müller", "Keller Müller");
    check(&"ü".repeat(40), &"ü".repeat(31));
    check(&"a".repeat(70), &"a".repeat(63));
    let mut long = begun(&"a".repeat(70), &["192.0.2.7"]);
    long.handle_packet(ms(1), from(PEER), &foreign_srv(&"a".repeat(63)), &mut Seeded::new(1));
    assert_eq!(long.instance().as_str(), format!("{} (2)", "a".repeat(59)));
}

#[test]
fn a_browser_that_asks_for_itself_is_answered_at_once() {
    let mut responder = settled();
    let mut browser = Browser::new(ms(SETTLED), &mut Seeded::new(1));
    let Some(Query::Mine(query)) = browser.poll_query() else { panic!("not for itself") };
    assert_eq!(query, b"\0\0\0\0\0\x01\0\0\0\0\0\0\x09_moorline\x04_tcp\x05local\0\0\x0c\x80\x01");
    let own_port = from("192.0.2.9:40000");
    let sent = after(&mut responder, SETTLED, own_port, &query, SETTLED + 5_000);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].0, sent[0].1.to), (SETTLED, Some(own_port.address)));
    browser.handle_packet(ms(SETTLED), 3, from("192.0.2.7:5353"), &sent[0].1.bytes);
    assert_eq!(browser.found().count(), 1);
    // The usual question goes out all the same, and names what is known.
    let next = browser.poll_timeout();
    assert!((SETTLED + 20..=SETTLED + 120).contains(&next.as_millis()));
    browser.handle_timeout(next);
    let Some(Query::Everybodys(query)) = browser.poll_query() else { panic!("not for everybody") };
    assert!(after(&mut responder, next.as_millis(), from(PEER), &query, SETTLED + 5_000).is_empty());
}

#[test]
fn a_browser_finds_a_responder() {
    let mut responder = settled();
    let mut browser = browsing(SETTLED);
    let mut random = Seeded::new(4);
    let mut answers = 0;
    for now in SETTLED..SETTLED + 10_000 {
        browser.handle_timeout(ms(now));
        if let Some(query) = browser.poll_query() {
            responder.handle_packet(ms(now), from("192.0.2.9:5353"), &bytes_of(query), &mut random);
        }
        responder.handle_timeout(ms(now));
        while let Some(packet) = responder.poll_packet() {
            answers += 1;
            browser.handle_packet(ms(now), 3, from("192.0.2.7:5353"), &packet.bytes);
        }
    }
    let found: Vec<Found> = browser.found().collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id.as_str(), found[0].name.as_str()), (ID, "Attic"));
    let expect: Vec<SocketAddr> =
        vec!["192.0.2.7:4433".parse().unwrap(), "[fe80::7%3]:4433".parse().unwrap()];
    assert_eq!(found[0].addresses.as_slice(), expect);
    assert_eq!(answers, 1, "what is known is not asked for again");
    responder.handle_end();
    let bye = responder.poll_packet().unwrap();
    browser.handle_packet(ms(20_000), 3, from("192.0.2.7:5353"), &bye.bytes);
    assert_eq!(browser.found().count(), 0);
}

#[test]
fn a_browser_asks_for_what_is_missing() {
    let mut browser = browsing(0);
    browser.handle_timeout(ms(200));
    let first = bytes_of(browser.poll_query().unwrap());
    assert_eq!(first, b"\0\0\0\0\0\x01\0\0\0\0\0\0\x09_moorline\x04_tcp\x05local\0\0\x0c\0\x01");
    let questions = |browser: &mut Browser| {
        let at = browser.poll_timeout();
        browser.handle_timeout(at);
        let bytes = bytes_of(browser.poll_query().unwrap());
        let message = wire::read(&bytes).unwrap();
        let all: Vec<String> = wire::questions(&message).skip(1).map(|q| q.rtype.to_string()).collect();
        (at.as_millis(), all.join(" "))
    };
    let tell = |browser: &mut Browser, at, own: Own| {
        let bytes = wire::response(&wire::Form::Usual, &[own], &[]).unwrap();
        browser.handle_packet(ms(at), 1, from(PEER), &bytes);
    };
    tell(&mut browser, 210, known_service(4500));
    assert_eq!(questions(&mut browser), (310, "SRV TXT".to_owned()));
    let own = |data| Own { owner: instance("Attic"), unique: true, ttl: 120, data };
    tell(&mut browser, 320, own(wire::srv(80, host())));
    assert_eq!(questions(&mut browser), (420, "A AAAA TXT".to_owned()));
    tell(&mut browser, 430, own(wire::txt(&[b"v=1", b"id=not an id"]).unwrap()));
    tell(&mut browser, 440, Own { owner: host(), ..own(wire::address("127.0.0.1".parse().unwrap())) });
    assert_eq!(
        questions(&mut browser),
        (530, "A AAAA TXT".to_owned()),
        "a bad id and a useless address are none"
    );
    assert_eq!(browser.found().count(), 0);
}

#[test]
fn a_flood_of_services_is_bounded() {
    let mut browser = Browser::new(ms(0), &mut Seeded::new(1));
    for number in 0..1000 {
        let data = wire::ptr(instance(&format!("NAS {number}")));
        let own = Own { owner: wire::service(), unique: false, ttl: 4500, data };
        let bytes = wire::response(&wire::Form::Usual, &[own], &[]).unwrap();
        browser.handle_packet(ms(number), 1, from(PEER), &bytes);
        browser.handle_timeout(ms(number));
        assert!(browser.poll_query().is_none_or(|query| bytes_of(query).len() <= wire::MESSAGE_MAX));
    }
}

#[test]
fn what_is_from_the_link() {
    let subnet =
        |address: &str, mask: &str| Subnet { address: address.parse().unwrap(), mask: mask.parse().unwrap() };
    let subnets = [subnet("192.0.2.7", "255.255.255.0"), subnet("2001:db8::7", "ffff:ffff:ffff:ffff::")];
    let local = |source: &str, to_group, ttl| is_local(&subnets, source.parse().unwrap(), to_group, ttl);
    assert!(local("192.0.2.9", false, Some(64)) && local("2001:db8::9", false, None));
    assert!(local("fe80::9", false, None));
    assert!(!local("192.0.3.9", false, Some(255)) && !local("2001:db9::9", true, Some(254)));
    assert!(local("192.0.3.9", true, Some(255)), "another network on the same link");
    assert!(!local("192.0.3.9", true, None));
    let near = |source: &str| is_near(&subnets, source.parse().unwrap());
    assert!(near("192.0.2.9") && near("2001:db8::9") && near("fe80::9"));
    assert!(!near("192.0.3.9") && !near("2001:db9::9"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), port: u16) {
        hostile(&bytes, port)?;
    }

    #[test]
    fn damaged_messages_never_panic(which in 0usize..4, at: usize, byte: u8, cut in 12usize..400, port: u16) {
        let (service, host) = (wire::service(), host());
        let mut bytes = match which {
            0 => ask(&[(&service, Rtype::ANY, 0x8001), (&host, Rtype::ANY, 1)], true, &[known_service(4500)]),
            1 => foreign_srv("Attic"),
            2 => run(&mut begun("Attic", &["192.0.2.8", "fe80::8"]), 600)[0].1.bytes.clone(),
            _ => run(&mut begun("Attic", &["192.0.2.8", "fe80::8"]), SETTLED)[3].1.bytes.clone(),
        };
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(cut);
        hostile(&bytes, port)?;
    }
}

/// In every phase; what comes of it is bounded, in size and in number.
fn hostile(bytes: &[u8], port: u16) -> Result<(), TestCaseError> {
    let mut random = Seeded::new(u64::from(port));
    let mut silent = Responder::new(profile("Attic"));
    let mut probing = begun("Attic", &["192.0.2.7"]);
    run(&mut probing, 300);
    let mut running = settled();
    let mut browser = Browser::new(ms(0), &mut random);
    for port in [port, PORT] {
        let sender = from(&format!("192.0.2.9:{port}"));
        for responder in [&mut silent, &mut probing, &mut running] {
            for at in 6_000..6_010 {
                responder.handle_packet(ms(at), sender, bytes, &mut random);
            }
            prop_assert!(run(responder, 8_000).len() <= 16);
        }
        browser.handle_packet(ms(6_000), 1, sender, bytes);
        browser.handle_timeout(ms(8_000));
        prop_assert!(browser.poll_query().is_none_or(|query| bytes_of(query).len() <= wire::MESSAGE_MAX));
        prop_assert!(browser.found().count() <= 1);
    }
    Ok(())
}
