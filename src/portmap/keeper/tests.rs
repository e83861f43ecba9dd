//! The keeper against scripted and arbitrary routers.

use std::net::IpAddr;

use super::*;
use crate::portmap::address::Verdict;
use crate::portmap::igd::{self, Control, NoControl, Service};
use crate::portmap::url::Url;
use crate::random::{self, Seeded};

const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const NONCE: pcp::Nonce = [7; 12];
const WISH: Wish = Wish::Map { internal: 4430, external: 443 };
const HOME: Way = Way { gateway: Ipv4Addr::new(192, 168, 7, 1), own: Ipv4Addr::new(192, 168, 7, 20) };
const MOVED: Way = Way { own: Ipv4Addr::new(192, 168, 7, 21), ..HOME };
const OTHER: Way = Way { gateway: Ipv4Addr::new(10, 0, 0, 1), own: Ipv4Addr::new(10, 0, 0, 20) };

/// A keeper, its clock and its chances.
struct Bench {
    keeper: Keeper,
    now: Mono,
    random: Seeded,
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

impl Bench {
    fn idle() -> Self {
        let now = Mono::from_millis(5_000_000);
        Self { keeper: Keeper::new(now, NONCE), now, random: Seeded::new(1) }
    }

    /// It is wanted, and there is a router.
    fn new() -> Self {
        let mut bench = Self::idle();
        bench.wish(WISH);
        assert_eq!(*bench.keeper.status(), Status::NoRouter);
        bench.way(Some(HOME));
        assert_eq!(*bench.keeper.status(), Status::Trying);
        bench
    }

    fn wish(&mut self, wish: Wish) {
        self.keeper.handle_wish(self.now, wish, &mut self.random);
    }

    fn way(&mut self, way: Option<Way>) {
        self.keeper.handle_way(self.now, way, &mut self.random);
    }

    /// What is asked now.
    #[track_caller]
    fn ask(&mut self) -> Ask {
        match self.keeper.poll_action() {
            Some(Action::Ask(ask)) => ask,
            other => panic!("{other:?} in {:?}", self.keeper.state),
        }
    }

    #[track_caller]
    fn pcp(&mut self) -> pcp::Map {
        match self.ask() {
            Ask::Pcp { request: pcp::Request::Map(map), gateway, .. } if gateway == HOME.gateway => map,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn natpmp(&mut self) -> natpmp::Request {
        match self.ask() {
            Ask::NatPmp { request, .. } => request,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn call(&mut self) -> igd::Action<'static> {
        match self.ask() {
            Ask::Call { action, .. } => action,
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.keeper.handle_answer(self.now, answer, &mut self.random);
    }

    /// Until the next time-out; how long that was.
    #[track_caller]
    fn pass(&mut self) -> Duration {
        let at = self.keeper.poll_timeout().expect("something is waited for");
        let long = at.since(self.now);
        self.now = self.now.max(at);
        self.keeper.handle_timeout(self.now, &mut self.random);
        long
    }

    fn grant_pcp(&mut self, external: u16, lifetime_s: u32, epoch_s: u32) {
        let address = IpAddr::V4(PUBLIC);
        self.answer(Answer::Pcp(pcp::Answer::Mapped { epoch_s, external, address, lifetime_s }));
    }

    /// Neither PCP nor NAT-PMP is there.
    #[track_caller]
    fn only_upnp(&mut self) {
        self.pcp();
        self.answer(Answer::Silent);
        self.natpmp();
        self.answer(Answer::Silent);
        assert_eq!(self.ask(), Ask::Search { gateway: HOME.gateway });
        self.answer(Answer::Found(Ok(controls(1))));
        assert_eq!(self.call(), igd::Action::GetExternalIpAddress);
        self.answer(Answer::Address(Ok(Some(PUBLIC))));
    }

    /// The port and the lease that are asked for by UPnP.
    #[track_caller]
    fn added(&mut self) -> (u16, u32) {
        match self.call() {
            igd::Action::AddPortMapping { external, internal: 4430, client, lease_s, .. }
                if client == HOME.own =>
            {
                (external, lease_s)
            }
            other => panic!("{other:?}"),
        }
    }

    fn fault(&mut self, code: u16) {
        self.answer(Answer::Done(Err(fault(code))));
    }

    #[track_caller]
    fn mapping(&self) -> Mapping {
        match self.keeper.status() {
            Status::Mapping(mapping) => *mapping,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(&self) -> String {
        match self.keeper.status() {
            Status::Refused(why) => why.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Looks are answered, until a mapping is to be renewed; how long that took.
    #[track_caller]
    fn until_renewal(&mut self, epoch_s: &mut u32) -> Duration {
        let began = self.now;
        loop {
            *epoch_s += u32::try_from(self.pass().as_secs()).unwrap();
            match self.keeper.state {
                State::Asking(Step::Renew, _) => return self.now.since(began),
                State::Asking(Step::Look, _) => {
                    self.ask();
                    self.answer(Answer::Pcp(pcp::Answer::Announced { epoch_s: *epoch_s }));
                }
                ref other => panic!("{other:?}"),
            }
        }
    }
}

fn control(n: usize) -> Control {
    let url = Url::parse(&format!("http://192.168.7.1:5555/ctl/{n}")).unwrap();
    Control { service: Service::WanIp1, url }
}

fn controls(n: usize) -> Box<Controls> {
    Box::new((0..n).map(control).collect())
}

fn fault(code: u16) -> Fault {
    let error = match code {
        402 => UpnpError::InvalidArgs,
        501 => UpnpError::ActionFailed,
        718 => UpnpError::Conflict,
        724 => UpnpError::SamePortsWanted,
        725 => UpnpError::OnlyPermanentLeases,
        729 => UpnpError::ConflictWithOther,
        other => UpnpError::Other(other),
    };
    Fault::Upnp { error, code, words: "no".try_into().unwrap() }
}

#[test]
fn pcp_is_asked_first_and_renewed_after_half() {
    let mut bench = Bench::new();
    let map = bench.pcp();
    assert_eq!((map.internal, map.external, map.lifetime_s, map.nonce), (4430, 443, 7200, NONCE));
    bench.grant_pcp(444, 7200, 100);
    let mapping = bench.mapping();
    assert_eq!((mapping.means, mapping.port, mapping.outside), (Means::Pcp, 444, Outside::At(PUBLIC)));
    assert_eq!(mapping.expires, Some(bench.now.after(secs(7200))));
    assert_eq!(mapping.is_reachable(), Some(true));
    assert!(bench.keeper.poll_change().is_some() && bench.keeper.poll_change().is_none());
    let (since, mut epoch) = (bench.now, 100);
    let after = bench.until_renewal(&mut epoch);
    assert!((secs(3600)..=secs(4500)).contains(&after), "{after:?}");
    // The same nonce, and what was given is what is liked.
    let map = bench.pcp();
    assert_eq!((map.external, map.address, map.nonce), (444, Some(PUBLIC.into()), NONCE));
    bench.grant_pcp(444, 7200, epoch);
    assert_eq!(bench.mapping().expires, Some(bench.now.after(secs(7200))));
    assert_eq!(bench.keeper.since(), since);
}

#[test]
fn renewals_spread() {
    let renewals = (0..200).map(|seed| {
        let mut bench = Bench::new();
        bench.random = Seeded::new(seed);
        bench.pcp();
        bench.grant_pcp(443, 7200, 100);
        bench.keeper.held.as_ref().unwrap().renew.since(bench.now)
    });
    let (min, max) = (renewals.clone().min().unwrap(), renewals.max().unwrap());
    assert!(min < secs(3650) && max > secs(4450) && min >= secs(3600) && max <= secs(4500));
}

#[test]
fn what_is_granted_is_bounded() {
    for (granted, expect) in [(1, 120), (120, 120), (86_400, 86_400), (u32::MAX, 86_400)] {
        let mut bench = Bench::new();
        bench.pcp();
        bench.grant_pcp(443, granted, 100);
        assert_eq!(bench.mapping().expires, Some(bench.now.after(secs(expect))));
    }
}

#[test]
fn a_router_of_nat_pmp_is_asked_so_at_once() {
    let version = pcp::Answer::Refused { refusal: pcp::Refusal::UnsupportedVersion, lifetime_s: 0 };
    for answer in [pcp::Answer::NatPmpOnly, version] {
        let mut bench = Bench::new();
        let began = bench.now;
        bench.pcp();
        bench.answer(Answer::Pcp(answer));
        let expect = natpmp::Request::MapTcp { internal: 4430, external: 443, lifetime_s: 7200 };
        assert_eq!(bench.natpmp(), expect);
        let mapped =
            natpmp::Answer::MappedTcp { epoch_s: 9, internal: 4430, external: 445, lifetime_s: 3600 };
        bench.answer(Answer::NatPmp(mapped));
        assert_eq!(bench.mapping().is_reachable(), None);
        assert_eq!(bench.natpmp(), natpmp::Request::PublicAddress);
        bench.answer(Answer::NatPmp(natpmp::Answer::PublicAddress { epoch_s: 9, address: PUBLIC }));
        let mapping = bench.mapping();
        assert_eq!((mapping.means, mapping.port), (Means::NatPmp, 445));
        assert_eq!((mapping.is_reachable(), bench.now), (Some(true), began));
    }
}

#[test]
fn silence_leads_to_the_next_protocol_and_then_to_waits() {
    let mut bench = Bench::new();
    let Ask::Pcp { waits, .. } = bench.ask() else { panic!() };
    let long: Duration = waits.iter().sum();
    assert!(waits.len() == 2 && (Duration::from_millis(8100)..=Duration::from_millis(9900)).contains(&long));
    // The shell says nothing at all: the keeper has a time-out of its own.
    assert_eq!(bench.pass(), long + ASK_MAX);
    let Ask::NatPmp { waits, .. } = bench.ask() else { panic!() };
    assert_eq!(waits, natpmp::WAITS);
    bench.pass();
    assert_eq!(bench.ask(), Ask::Search { gateway: HOME.gateway });
    bench.pass();
    assert_eq!(bench.refused(), Why::Silent.to_string());
    assert_eq!(bench.keeper.poll_action(), Some(Action::Forget));
}

#[test]
fn retries_back_off_to_an_hour() {
    let mut bench = Bench::new();
    let mut waits = Vec::new();
    for _ in 0..12 {
        for _ in 0..3 {
            bench.ask();
            bench.answer(Answer::Silent);
        }
        assert_eq!(bench.refused(), Why::Silent.to_string());
        waits.push(bench.pass());
    }
    assert!((secs(30)..=secs(38)).contains(&waits[0]), "{waits:?}");
    assert!((secs(120)..=secs(150)).contains(&waits[2]), "{waits:?}");
    assert!(waits[8..].iter().all(|w| *w == secs(3600)), "{waits:?}");
}

#[test]
fn the_most_telling_refusal_is_shown_and_its_time_kept() {
    let mut bench = Bench::new();
    bench.pcp();
    let refusal = pcp::Refusal::NotAuthorized;
    bench.answer(Answer::Pcp(pcp::Answer::Refused { refusal, lifetime_s: 1800 }));
    bench.natpmp();
    bench.answer(Answer::NatPmp(natpmp::Answer::Refused(natpmp::Refusal::UnsupportedVersion)));
    bench.ask();
    bench.answer(Answer::Found(Err(NoControl::NotThere)));
    assert_eq!(bench.refused(), Why::Pcp(refusal).to_string());
    let since = bench.keeper.since();
    assert!(bench.pass() >= secs(1800));
    // It stays to be seen while it is tried again.
    assert_eq!((bench.refused(), bench.keeper.since()), (Why::Pcp(refusal).to_string(), since));
}

#[test]
fn only_permanent_leases() {
    let mut bench = Bench::new();
    bench.only_upnp();
    assert_eq!(bench.added(), (443, 7200));
    bench.fault(725);
    assert_eq!(bench.added(), (443, 0));
    bench.answer(Answer::Done(Ok(())));
    assert_eq!((bench.mapping().means, bench.mapping().expires), (Means::Upnp, None));
    // Asked for again hourly.
    let granted = bench.now;
    let mut looks = 0;
    loop {
        bench.pass();
        if bench.keeper.state == State::Asking(Step::Renew, bench.keeper.poll_timeout().unwrap()) {
            break;
        }
        assert_eq!(bench.call(), igd::Action::GetExternalIpAddress);
        bench.answer(Answer::Address(Ok(Some(PUBLIC))));
        looks += 1;
    }
    assert!((secs(3600)..=secs(4500)).contains(&bench.now.since(granted)) && looks >= 5);
    assert_eq!(bench.added(), (443, 0));
    bench.answer(Answer::Done(Ok(())));
    // It would stay for ever.
    bench.wish(Wish::Off);
    assert_eq!(bench.call(), igd::Action::DeletePortMapping { external: 443 });
}

#[test]
fn a_port_of_somebody_else_leads_to_a_few_others() {
    let mut bench = Bench::new();
    bench.only_upnp();
    assert_eq!(bench.added().0, 443);
    let mut ports = Vec::new();
    for code in [718, 729, 718, 718] {
        bench.fault(code);
        ports.push(bench.added().0);
    }
    assert!(ports.iter().all(|p| *p >= 49152), "{ports:?}");
    bench.fault(718);
    assert!(bench.refused().contains("718"));
    assert!(matches!(bench.keeper.state, State::Waiting(_)));
}

#[test]
fn a_wish_too_many_is_given_up() {
    let mut bench = Bench::new();
    bench.only_upnp();
    assert_eq!(bench.added(), (443, 7200));
    bench.fault(402);
    assert_eq!(bench.added(), (443, 0));
    bench.fault(402);
    assert_eq!(bench.added(), (4430, 0));
    bench.fault(402);
    assert!(bench.refused().contains("402"));
    let mut bench = Bench::new();
    bench.only_upnp();
    bench.added();
    bench.fault(724);
    assert_eq!(bench.added(), (4430, 7200));
    bench.answer(Answer::Done(Ok(())));
    assert_eq!(bench.mapping().port, 4430);
}

#[test]
fn what_failed_is_tried_later() {
    let mut bench = Bench::new();
    bench.only_upnp();
    bench.added();
    bench.fault(501);
    assert!(bench.refused().contains("501"));
    assert!(bench.pass() >= RETRY_MIN);
    bench.pcp();
}

#[test]
fn of_several_controls_that_with_an_address_is_used() {
    let mut bench = Bench::new();
    bench.pcp();
    bench.answer(Answer::Silent);
    bench.natpmp();
    bench.answer(Answer::Silent);
    bench.ask();
    bench.answer(Answer::Found(Ok(controls(3))));
    bench.call();
    bench.answer(Answer::Address(Ok(None)));
    bench.call();
    bench.answer(Answer::Address(Ok(Some(PUBLIC))));
    let Ask::Call { control: used, .. } = bench.ask() else { panic!() };
    assert_eq!(*used, control(1));
}

#[test]
fn an_address_that_cannot_be_reached_is_told_and_the_mapping_kept() {
    for (address, expect) in [
        (Ipv4Addr::new(192, 168, 178, 2), Verdict::DoubleNat),
        (Ipv4Addr::new(100, 72, 3, 4), Verdict::CarrierNat),
    ] {
        let mut bench = Bench::new();
        bench.pcp();
        bench.answer(Answer::Pcp(pcp::Answer::NatPmpOnly));
        bench.natpmp();
        let mapped =
            natpmp::Answer::MappedTcp { epoch_s: 9, internal: 4430, external: 443, lifetime_s: 3600 };
        bench.answer(Answer::NatPmp(mapped));
        bench.natpmp();
        bench.answer(Answer::NatPmp(natpmp::Answer::PublicAddress { epoch_s: 9, address }));
        let mapping = bench.mapping();
        assert_eq!((mapping.outside.verdict(), mapping.is_reachable()), (Some(expect), Some(false)));
    }
}

#[test]
fn a_router_that_has_restarted_is_asked_again() {
    let mut bench = Bench::new();
    bench.pcp();
    bench.grant_pcp(443, 7200, 100_000);
    assert_eq!(bench.pass(), LOOK_EVERY);
    assert!(matches!(bench.ask(), Ask::Pcp { request: pcp::Request::Announce, .. }));
    bench.answer(Answer::Pcp(pcp::Answer::Announced { epoch_s: 3 }));
    assert_eq!(bench.pass(), Duration::ZERO);
    assert_eq!(bench.pcp().external, 443);
    bench.grant_pcp(443, 7200, 3);
    // Word by itself: within seconds, but not sooner than half a minute after the last grant.
    bench.keeper.handle_announcement(bench.now, OTHER.gateway, 0, &mut bench.random);
    bench.keeper.handle_announcement(bench.now, HOME.gateway, 4, &mut bench.random);
    assert_eq!(bench.keeper.poll_timeout(), Some(bench.now.after(LOOK_EVERY)));
    bench.now = bench.now.after(secs(100));
    bench.keeper.handle_announcement(bench.now, HOME.gateway, 0, &mut bench.random);
    assert!(bench.pass() <= SPREAD);
    bench.pcp();
    bench.grant_pcp(443, 7200, 1);
    bench.now = bench.now.after(secs(4));
    bench.keeper.handle_announcement(bench.now, HOME.gateway, 60_000, &mut bench.random);
    assert_eq!(bench.pass(), secs(26));
    bench.pcp();
}

#[test]
fn a_router_that_comes_up_ends_a_long_wait() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.ask();
        bench.answer(Answer::Silent);
    }
    bench.keeper.failures = 9;
    bench.pass();
    for _ in 0..3 {
        bench.ask();
        bench.answer(Answer::Silent);
    }
    bench.now = bench.now.after(secs(60));
    bench.keeper.handle_announcement(bench.now, HOME.gateway, 0, &mut bench.random);
    assert!(bench.pass() <= SPREAD);
    bench.pcp();
}

#[test]
fn another_address_outside_is_noticed() {
    let mut bench = Bench::new();
    bench.only_upnp();
    bench.added();
    bench.answer(Answer::Done(Ok(())));
    bench.pass();
    bench.call();
    let address = Ipv4Addr::new(203, 0, 113, 99);
    bench.answer(Answer::Address(Ok(Some(address))));
    assert_eq!(bench.mapping().outside, Outside::At(address));
    bench.pass();
    assert_eq!(bench.added(), (443, 7200));
}

#[test]
fn failing_renewals_are_retried_then_all_begins_anew() {
    let mut bench = Bench::new();
    bench.pcp();
    bench.grant_pcp(443, 7200, 100);
    let (granted, mut epoch) = (bench.now, 100);
    let mut at = Vec::new();
    for _ in 0..3 {
        bench.until_renewal(&mut epoch);
        at.push(bench.now.since(granted).as_secs());
        bench.pcp();
        assert_eq!(bench.mapping().port, 443);
        bench.answer(Answer::Silent);
    }
    assert!((3600..=4500).contains(&at[0]) && (5400..=6100).contains(&at[1]), "{at:?}");
    // What may be there still is ended first.
    assert_eq!(*bench.keeper.status(), Status::Trying);
    assert_eq!(bench.pcp().lifetime_s, 0);
    bench.answer(Answer::Silent);
    assert_eq!(bench.pcp().lifetime_s, 0);
    bench.answer(Answer::Silent);
    assert_eq!(bench.pcp().lifetime_s, 7200);
}

#[test]
fn a_mapping_that_somebody_else_has_now_is_not_ended() {
    let mut bench = Bench::new();
    bench.only_upnp();
    bench.added();
    bench.answer(Answer::Done(Ok(())));
    while bench.keeper.held.as_ref().is_some_and(|held| held.renew > bench.now) {
        bench.pass();
        bench.answer(Answer::Silent);
    }
    bench.keeper.state = State::Asking(Step::Renew, bench.now.after(secs(1)));
    bench.fault(718);
    bench.pcp();
}

#[test]
fn an_end_is_bounded() {
    let mut bench = Bench::new();
    bench.pcp();
    bench.grant_pcp(443, 7200, 100);
    bench.wish(Wish::Off);
    assert_eq!(*bench.keeper.status(), Status::Off);
    assert!(!bench.keeper.is_idle());
    let map = bench.pcp();
    assert_eq!((map.internal, map.external, map.lifetime_s, map.nonce), (4430, 0, 0, NONCE));
    let before = bench.now;
    while !bench.keeper.is_idle() {
        bench.pass();
    }
    assert!(bench.now.since(before) <= END_MAX);
    // What was asked for, and may have been granted, is ended too; what was not is not.
    let mut bench = Bench::new();
    bench.pcp();
    bench.wish(Wish::Off);
    assert_eq!(bench.pcp().lifetime_s, 0);
    bench.answer(Answer::Pcp(pcp::Answer::Refused { refusal: pcp::Refusal::NotAuthorized, lifetime_s: 0 }));
    assert!(bench.keeper.is_idle() && bench.keeper.poll_timeout().is_none());
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.ask();
        bench.answer(Answer::Silent);
    }
    bench.wish(Wish::Off);
    assert!(bench.keeper.is_idle());
    assert_eq!(bench.keeper.poll_action(), Some(Action::Forget));
}

#[test]
fn another_wish_ends_the_mapping_before_it_is_asked_for() {
    let mut bench = Bench::new();
    bench.pcp();
    bench.grant_pcp(443, 7200, 100);
    bench.now = bench.now.after(secs(60));
    bench.wish(Wish::Map { internal: 5000, external: 0 });
    let map = bench.pcp();
    assert_eq!((map.internal, map.lifetime_s), (4430, 0));
    bench.grant_pcp(0, 0, 160);
    let map = bench.pcp();
    assert_eq!((map.internal, map.external, map.lifetime_s), (5000, 5000, 7200));
}

#[test]
fn a_router_set_up_by_hand_is_asked_nothing() {
    let mut bench = Bench::new();
    bench.pcp();
    bench.grant_pcp(443, 7200, 100);
    bench.wish(Wish::Manual { address: Some(PUBLIC), port: 8443 });
    assert_eq!(bench.pcp().lifetime_s, 0);
    bench.answer(Answer::Silent);
    bench.pcp();
    bench.answer(Answer::Silent);
    let mapping = bench.mapping();
    assert_eq!((mapping.means, mapping.port, mapping.is_reachable()), (Means::Manual, 8443, Some(true)));
    assert!(bench.keeper.is_idle() && bench.keeper.poll_action().is_none());
    bench.way(None);
    assert_eq!(bench.mapping(), mapping);
}

#[test]
fn a_cable_that_was_out_for_a_moment() {
    let mut bench = Bench::new();
    bench.pcp();
    bench.grant_pcp(443, 7200, 100);
    bench.now = bench.now.after(secs(60));
    bench.way(None);
    assert_eq!(*bench.keeper.status(), Status::NoRouter);
    assert!(bench.keeper.is_idle());
    bench.now = bench.now.after(secs(60));
    bench.way(Some(HOME));
    assert_eq!(bench.mapping().port, 443);
    assert_eq!(bench.pass(), Duration::ZERO);
    assert_eq!(bench.pcp().external, 443);
    // For hours: it has run out.
    bench.grant_pcp(443, 7200, 220);
    bench.way(None);
    bench.now = bench.now.after(secs(7200));
    bench.way(Some(HOME));
    assert_eq!(*bench.keeper.status(), Status::Trying);
    bench.pcp();
}

#[test]
fn another_router_is_asked_anew() {
    let mut bench = Bench::new();
    bench.pcp();
    bench.grant_pcp(443, 7200, 100);
    bench.now = bench.now.after(secs(60));
    bench.way(Some(OTHER));
    assert_eq!(*bench.keeper.status(), Status::Trying);
    assert!(matches!(bench.ask(), Ask::Pcp { gateway, .. } if gateway == OTHER.gateway));
}

#[test]
fn another_address_of_ours_ends_what_leads_to_the_old_one() {
    let mut bench = Bench::new();
    bench.only_upnp();
    bench.added();
    bench.answer(Answer::Done(Ok(())));
    bench.now = bench.now.after(secs(60));
    bench.way(Some(MOVED));
    assert_eq!(bench.call(), igd::Action::DeletePortMapping { external: 443 });
    bench.answer(Answer::Done(Ok(())));
    bench.pcp();
}

// ---- arbitrary routers ----

fn pick<T: Copy>(random: &mut Seeded, of: &[T]) -> T {
    of[random::below(random, of.len() as u64) as usize]
}

/// Something for the question, more or less likely a yes; now and then the answer to another one.
fn arbitrary(ask: &Ask, random: &mut Seeded) -> Answer {
    let (epoch_s, lifetime_s) = (pick(random, &[0, 5, 1000, 90_000]), pick(random, &[1, 120, 3600, 1 << 30]));
    let address = pick(random, &[PUBLIC, Ipv4Addr::new(10, 1, 1, 1), Ipv4Addr::new(100, 64, 0, 1)]);
    let (external, is_yes) = (pick(random, &[443, 444, 50_000]), random::below(random, 3) > 0);
    if random::below(random, 8) == 0 {
        return Answer::Silent;
    }
    match ask {
        Ask::Pcp { request: pcp::Request::Map(map), .. } if is_yes => {
            let lifetime_s = if map.lifetime_s == 0 { 0 } else { lifetime_s };
            Answer::Pcp(pcp::Answer::Mapped { epoch_s, external, address: address.into(), lifetime_s })
        }
        Ask::Pcp { request: pcp::Request::Announce, .. } => Answer::Pcp(pcp::Answer::Announced { epoch_s }),
        Ask::Pcp { .. } => {
            let refusal = pick(random, &[pcp::Refusal::NotAuthorized, pcp::Refusal::UnsupportedVersion]);
            Answer::Pcp(pcp::Answer::Refused { refusal, lifetime_s })
        }
        Ask::NatPmp { request: natpmp::Request::MapTcp { internal, lifetime_s: asked, .. }, .. }
            if is_yes =>
        {
            let lifetime_s = if *asked == 0 { 0 } else { lifetime_s };
            let internal = *internal;
            Answer::NatPmp(natpmp::Answer::MappedTcp { epoch_s, internal, external, lifetime_s })
        }
        Ask::NatPmp { request: natpmp::Request::PublicAddress, .. } if is_yes => {
            Answer::NatPmp(natpmp::Answer::PublicAddress { epoch_s, address })
        }
        Ask::NatPmp { .. } => Answer::NatPmp(natpmp::Answer::Refused(natpmp::Refusal::NetworkFailure)),
        Ask::Search { .. } if is_yes => Answer::Found(Ok(controls(pick(random, &[1, 2, 4])))),
        Ask::Search { .. } => Answer::Found(Err(NoControl::Elsewhere)),
        Ask::Call { action: igd::Action::GetExternalIpAddress, .. } => {
            Answer::Address(if is_yes { Ok(Some(address)) } else { Ok(None) })
        }
        Ask::Call { .. } if is_yes => Answer::Done(Ok(())),
        Ask::Call { .. } => Answer::Done(Err(fault(pick(random, &[402, 501, 718, 724, 725, 729, 999])))),
    }
}

/// What an arbitrary router holds, by what its answers said.
#[derive(Default)]
struct Table(Vec<(Means, u16, Option<Mono>)>);

impl Table {
    fn note(&mut self, now: Mono, ask: &Ask, answer: &Answer, own_lifetime: Option<Mono>) {
        self.0.retain(|(_, _, end)| end.is_none_or(|end| end > now));
        let entry = match (ask, answer) {
            (Ask::Pcp { request: pcp::Request::Map(map), .. }, Answer::Pcp(pcp::Answer::Mapped { .. })) => {
                Some((Means::Pcp, map.internal, map.lifetime_s != 0))
            }
            (Ask::NatPmp { .. }, Answer::NatPmp(natpmp::Answer::MappedTcp { internal, lifetime_s, .. })) => {
                Some((Means::NatPmp, *internal, *lifetime_s != 0))
            }
            (
                Ask::Call { action: igd::Action::AddPortMapping { external, .. }, .. },
                Answer::Done(Ok(())),
            ) => Some((Means::Upnp, *external, true)),
            _ => None,
        };
        if let Some((means, port, is_there)) = entry {
            self.0.retain(|(m, p, _)| (*m, *p) != (means, port));
            if is_there {
                self.0.push((means, port, own_lifetime));
            }
        }
        // Asked to end it, or it went to somebody else: the keeper can do no more.
        let is_end = match ask {
            Ask::Pcp { request: pcp::Request::Map(map), .. } => map.lifetime_s == 0,
            Ask::NatPmp { request: natpmp::Request::MapTcp { lifetime_s, .. }, .. } => *lifetime_s == 0,
            Ask::Call { action: igd::Action::DeletePortMapping { .. }, .. } => true,
            Ask::Pcp { .. } | Ask::NatPmp { .. } | Ask::Search { .. } | Ask::Call { .. } => false,
        };
        let is_gone = matches!(answer, Answer::Done(Err(Fault::Upnp { code: 718 | 729, .. })));
        if is_end || is_gone {
            self.0.clear();
        }
    }
}

/// Most questions of one hour, whatever routers say: about as many as half-minute renewals and their like.
const HOURLY_MAX: usize = 300;

/// Days with a router of the seed's moods. `flaps`: wishes and ways change as well.
#[track_caller]
fn live(seed: u64, flaps: bool) {
    let mut bench = Bench::new();
    let mut random = Seeded::new(seed);
    let (mut table, mut asked) = (Table::default(), Vec::<Mono>::new());
    let end = bench.now.after(secs(2 * 86_400));
    while bench.now < end {
        match bench.keeper.poll_action() {
            Some(Action::Ask(ask)) => {
                asked.push(bench.now);
                asked.retain(|at| bench.now.since(*at) < secs(3600));
                assert!(asked.len() <= HOURLY_MAX || flaps, "seed {seed}: {} in an hour", asked.len());
                assert!(asked.len() <= 10 * HOURLY_MAX, "seed {seed}: {} in an hour", asked.len());
                // Without an answer the router may have heard it.
                table.note(bench.now, &ask, &Answer::Silent, None);
                if random::below(&mut random, 10) > 0 {
                    bench.now = bench.now.after(Duration::from_millis(20));
                    let answer = arbitrary(&ask, &mut random);
                    bench.answer(answer.clone());
                    let expires = bench.keeper.held.as_ref().and_then(|held| held.expires);
                    table.note(bench.now, &ask, &answer, expires);
                    assert!(table.0.len() <= 1, "seed {seed}: {:?}", table.0);
                }
            }
            Some(Action::Forget) => {}
            None if flaps && random::below(&mut random, 4) == 0 => flap(&mut bench, &mut table, &mut random),
            None => match bench.keeper.poll_timeout() {
                Some(_) => _ = bench.pass(),
                None => {
                    assert!(bench.keeper.wish == Wish::Off || bench.keeper.way.is_none(), "seed {seed}");
                    assert!(flaps, "seed {seed}");
                    bench.now = bench.now.after(secs(60));
                }
            },
        }
        let is_waited_for = bench.keeper.poll_timeout().is_some();
        assert_eq!(is_waited_for, !bench.keeper.is_idle(), "seed {seed}: {:?}", bench.keeper.state);
    }
}

fn flap(bench: &mut Bench, table: &mut Table, random: &mut Seeded) {
    bench.now = bench.now.after(Duration::from_millis(random::below(random, 200_000)));
    let before = bench.keeper.way;
    match random::below(random, 6) {
        0 => bench.wish(pick(random, &[Wish::Off, WISH])),
        1 => bench.wish(Wish::Map { internal: 4430, external: pick(random, &[443, 50_000]) }),
        2 => bench.way(pick(random, &[None, Some(HOME), Some(MOVED), Some(OTHER)])),
        _ => {
            let (now, epoch_s) = (bench.now, pick(random, &[0, 1000]));
            bench.keeper.handle_announcement(now, HOME.gateway, epoch_s, random);
        }
    }
    // What cannot be reached is not ended.
    if (bench.keeper.way != before || before.is_none()) && bench.keeper.held.is_none() {
        table.0.clear();
    }
}

#[test]
fn arbitrary_routers_are_asked_seldom_and_hold_one_mapping() {
    (0..200).for_each(|seed| live(seed, false));
}

#[test]
fn whatever_changes_something_is_always_waited_for() {
    (0..100).for_each(|seed| live(seed, true));
}

/// Liveness: when the faults stop, the router is used as soon as what an unhappy one promised has run out.
#[test]
fn a_router_that_becomes_good_is_used() {
    for seed in 0..50 {
        let mut bench = Bench::new();
        let mut random = Seeded::new(seed);
        let sick = bench.now.after(secs(86_400));
        let well = sick.after(secs(26 * 3600));
        while bench.now < well {
            match bench.keeper.poll_action() {
                Some(Action::Ask(Ask::Pcp { request: pcp::Request::Map(map), .. })) if bench.now > sick => {
                    bench.grant_pcp(443, map.lifetime_s, 0);
                }
                Some(Action::Ask(ask)) if bench.now < sick => {
                    let answer = arbitrary(&ask, &mut random);
                    bench.answer(answer);
                }
                Some(Action::Ask(_)) => bench.answer(Answer::Silent),
                Some(Action::Forget) => {}
                None => _ = bench.pass(),
            }
        }
        assert_eq!(bench.mapping().means, Means::Pcp, "seed {seed}");
    }
}
