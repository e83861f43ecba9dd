//! The keeper of one port mapping: asks the router by PCP, else NAT-PMP, else UPnP, renews in time, notices when the
//! router has forgotten, and ends the mapping when it is no longer wanted. A core.
//!
//! Contract: after each `handle_*` take [`Keeper::poll_action`] until `None`, carry it out, and arm a timer for
//! [`Keeper::poll_timeout`]. There is one question at a time: a new [`Action::Ask`] replaces the one before, and the
//! shell hands in one [`Answer`] for each. A shell that says nothing at all is taken for a silent router.
//!
//! ```text
//!            begin            no answer, or no             all said no
//!   Idle ───────────▶ Asking ───────────────▶ the next ──────────────────▶ Waiting (30 s … 1 h) ──▶ begin
//!    ▲                  │ yes                 protocol
//!    │ ended            ▼
//!   Asking (end) ◀── Holding ◀──▶ Asking (renew, look)
//! ```
//!
//! At most one mapping: before another one is asked for, the one that is there is ended, or has run out, or the
//! router has lost it, or there is no way to that router any more.

mod lease;
mod status;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::time::Duration;

pub use self::status::{Action, Answer, Ask, Mapping, Means, Outside, Status, Waits, Way, Why, Wish};

use self::lease::{Grant, LIFETIME_S, Lease, Terms, Tries, upto};
use super::epoch::Epoch;
use super::igd::{Controls, Fault, UpnpError};
use super::{natpmp, pcp};
use crate::random::Random;
use crate::units::Mono;

/// Bounds of what is granted: RFC 6887, 8.3 and 15.
const LIFETIME_MIN: Duration = Duration::from_secs(120);
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// First and longest wait after a round in which every protocol failed.
const RETRY_MIN: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// A mapping for good is asked for again so often: routers that know only such lose them when they restart, and do
/// not say so.
const PERMANENT_RENEWAL: Duration = Duration::from_secs(3600);
/// Neither renewals nor their retries are closer than this, whatever a router grants or says.
const RENEWAL_MIN: Duration = Duration::from_secs(30);
/// Renewals that may fail in a row before all begins anew.
const RENEWALS_MAX: u8 = 3;
/// How often it is looked whether the router has restarted or has another address: providers change it every night.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Rounds are not closer than this, however often wish or way change.
const ROUND_MIN: Duration = Duration::from_secs(10);
/// A router that starts is not asked by all its clients at once (RFC 6887, 14.1.3).
const SPREAD: Duration = Duration::from_secs(5);
/// Longest wait for the shell, beyond the waits that it was told: it gives up by itself before.
const ASK_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the end of a mapping, a second try included: somebody may wait for it to switch off.
pub const END_MAX: Duration = Duration::from_secs(6);
/// Tries to end a mapping.
const ENDS_MAX: u8 = 2;

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing to do: not wanted, by hand, or no router. Left by a wish or a way.
    Idle,
    /// A question is with the shell. Left by its answer, or at that time.
    Asking(Step, Mono),
    /// The mapping is there. Left when it is to be renewed or looked after.
    Holding,
    /// The next round begins then.
    Waiting(Mono),
}

/// What a question is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A first mapping by PCP or NAT-PMP.
    Map(Lease),
    /// Finding the UPnP controls.
    Search,
    /// The address at the control of that place, to see whether it is the right one.
    Address { controls: Box<Controls>, at: usize },
    /// A first mapping by UPnP.
    Add { lease: Lease, outside: Outside, tries: Tries },
    /// Renewing what is held.
    Renew,
    /// Looking after what is held.
    Look,
    /// Ending it, for the so many more times.
    End { lease: Lease, left: u8, until: Mono },
}

/// A mapping that the router has granted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    lease: Lease,
    outside: Outside,
    expires: Option<Mono>,
    renew: Mono,
    look: Mono,
    /// When it was granted or last renewed.
    granted: Mono,
    epoch: Option<Epoch>,
    failures: u8,
}

impl Held {
    fn is_over(&self, now: Mono) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    fn poll_timeout(&self) -> Mono {
        let next = self.renew.min(self.look);
        self.expires.map_or(next, |at| at.min(next))
    }

    /// RFC 6887, 11.2.1: between a half and five eighths of what is left, and so on for the retries.
    fn plan_renewal(&mut self, now: Mono, random: &mut dyn Random) {
        let left = match (self.expires, self.failures) {
            (Some(at), _) => at.since(now),
            (None, 0) => PERMANENT_RENEWAL * 2,
            (None, failures) => RENEWAL_MIN * 2 * u32::from(failures),
        };
        self.renew = now.after((left / 2 + upto(random, left / 8)).max(RENEWAL_MIN));
    }

    /// The router has lost it, or may have: `delay` from now.
    fn hasten(&mut self, now: Mono, delay: Duration) {
        let soonest = self.granted.after(RENEWAL_MIN).max(now.after(delay));
        self.renew = self.renew.min(soonest);
    }

    /// Takes note of the router's count of seconds; whether it has lost its state since the last one.
    fn note_epoch(&mut self, now: Mono, seconds: u32) -> bool {
        let later = Epoch { seconds, at: now };
        self.epoch.replace(later).is_some_and(|before| before.is_lost(later))
    }
}

/// The machine.
#[derive(Debug)]
pub struct Keeper {
    nonce: pcp::Nonce,
    wish: Wish,
    way: Option<Way>,
    state: State,
    /// With [`State::Idle`] only while there is no way: a cable that was out for a moment.
    held: Option<Held>,
    /// At most one: a later one replaces it.
    action: Option<Action>,
    /// Rounds that failed since there was a mapping that lasted.
    failures: u32,
    /// When the last round began.
    began: Option<Mono>,
    /// The most telling of this round's refusals.
    why: Why,
    /// For how long the router will go on refusing, by its own word.
    refuses_for: Duration,
    status: Status,
    since: Mono,
    is_changed: bool,
}

impl Keeper {
    /// Nothing is wanted yet. `nonce`: by it the router knows whose a mapping is (PCP). One that stays the same
    /// across restarts lets a mapping be taken up again; it must be a secret (RFC 6887, 11.2).
    pub const fn new(now: Mono, nonce: pcp::Nonce) -> Self {
        Self {
            nonce,
            wish: Wish::Off,
            way: None,
            state: State::Idle,
            held: None,
            action: None,
            failures: 0,
            began: None,
            why: Why::Silent,
            refuses_for: Duration::ZERO,
            status: Status::Off,
            since: now,
            is_changed: false,
        }
    }

    /// What is published.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Since when it is so. Another address, time of expiry or reason does not count as a change.
    pub const fn since(&self) -> Mono {
        self.since
    }

    /// The status, once after each change.
    pub fn poll_change(&mut self) -> Option<&Status> {
        std::mem::take(&mut self.is_changed).then_some(&self.status)
    }

    /// What to do.
    pub const fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// When [`Keeper::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        match &self.state {
            State::Idle => None,
            State::Asking(_, until) | State::Waiting(until) => Some(*until),
            State::Holding => self.held.as_ref().map(Held::poll_timeout),
        }
    }

    /// Whether nothing is to be waited for: after [`Wish::Off`], that the mapping has been ended, or that it could
    /// not be, [`END_MAX`] later at the latest.
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    // ---- inputs ----

    /// What is wanted from now on.
    pub fn handle_wish(&mut self, now: Mono, wish: Wish, random: &mut dyn Random) {
        if self.wish == wish {
            return;
        }
        self.wish = wish;
        self.failures = 0;
        self.drop_mapping(now, random);
    }

    /// The way to the router, whenever it may have changed; `None`: there is none.
    pub fn handle_way(&mut self, now: Mono, way: Option<Way>, random: &mut dyn Random) {
        let before = self.way;
        if before == way {
            return;
        }
        self.way = way;
        self.failures = 0;
        match (before, way, self.held.as_mut()) {
            // Kept for the case that it comes back.
            (Some(_), None, Some(_)) => self.begin(now, random),
            (None, Some(way), Some(held)) if held.lease.way == way && !held.is_over(now) => {
                held.hasten(now, Duration::ZERO);
                self.rest(State::Holding, now);
            }
            _ => self.leave(now, random),
        }
    }

    /// What came of the last [`Action::Ask`].
    pub fn handle_answer(&mut self, now: Mono, answer: Answer, random: &mut dyn Random) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Asking(step, _) => self.answered(now, step, answer, random),
            other @ (State::Idle | State::Holding | State::Waiting(_)) => self.state = other,
        }
    }

    /// Word that `from` sent by itself: a router that has started, or has another address (RFC 6886, 3.2.1; RFC
    /// 6887, 14.1).
    pub fn handle_announcement(&mut self, now: Mono, from: Ipv4Addr, epoch_s: u32, random: &mut dyn Random) {
        if self.way.is_none_or(|way| way.gateway != from) {
            return;
        }
        match (&mut self.state, self.held.as_mut()) {
            (State::Holding, Some(held)) if held.epoch.is_some() => {
                if held.note_epoch(now, epoch_s) {
                    held.hasten(now, upto(random, SPREAD));
                }
            }
            (State::Waiting(until), _) => {
                let soonest = self.began.map_or(now, |began| began.after(RETRY_MIN)).max(now);
                *until = (*until).min(soonest.after(upto(random, SPREAD)));
            }
            (State::Idle | State::Asking(..) | State::Holding, _) => {}
        }
    }

    /// It is time for what [`Keeper::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Mono, random: &mut dyn Random) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => {}
            State::Asking(step, _) => {
                self.action = Some(Action::Forget);
                self.answered(now, step, Answer::Silent, random);
            }
            State::Holding => self.tend(now, random),
            State::Waiting(_) => self.begin(now, random),
        }
    }

    // ---- rounds ----

    /// A round, or what is to be instead of one.
    fn begin(&mut self, now: Mono, random: &mut dyn Random) {
        match (self.wish, self.way) {
            (Wish::Off, _) => self.settle(now, Status::Off),
            (Wish::Manual { address, port }, _) => {
                let outside = address.map_or(Outside::Unknown, Outside::At);
                let mapping = Mapping { means: Means::Manual, outside, port, expires: None };
                self.settle(now, Status::Mapping(mapping));
            }
            (Wish::Map { .. }, None) => self.settle(now, Status::NoRouter),
            (Wish::Map { .. }, Some(_)) => self.begin_round(now, random),
        }
    }

    fn settle(&mut self, now: Mono, status: Status) {
        self.publish(now, status);
        self.rest(State::Idle, now);
    }

    /// Into a state without a question.
    fn rest(&mut self, state: State, now: Mono) {
        if matches!(self.state, State::Asking(..)) {
            self.action = Some(Action::Forget);
        }
        self.state = state;
        if let (State::Holding, Some(held)) = (&self.state, &self.held) {
            let Held { outside, expires, .. } = *held;
            let mapping = Mapping { means: held.lease.means(), outside, port: held.lease.external, expires };
            self.publish(now, Status::Mapping(mapping));
        }
    }

    fn begin_round(&mut self, now: Mono, random: &mut dyn Random) {
        // A refusal stays to be seen while it is tried again.
        if !matches!(self.status, Status::Refused(_)) {
            self.publish(now, Status::Trying);
        }
        let soonest = self.began.map_or(now, |began| began.after(ROUND_MIN));
        if now < soonest {
            return self.rest(State::Waiting(soonest), now);
        }
        self.began = Some(now);
        (self.why, self.refuses_for) = (Why::Silent, Duration::ZERO);
        self.ask_map(now, Terms::Pcp, random);
    }

    fn ask_map(&mut self, now: Mono, terms: Terms, random: &mut dyn Random) {
        let Some(lease) = self.wished(terms) else { return self.begin(now, random) };
        self.ask(now, lease.map(self.nonce, Outside::Unknown, random), Step::Map(lease));
    }

    fn ask(&mut self, now: Mono, ask: Ask, step: Step) {
        let until = match (&step, &ask) {
            (Step::End { until, .. }, _) => *until,
            (_, Ask::Pcp { waits, .. } | Ask::NatPmp { waits, .. }) => {
                now.after(waits.iter().sum::<Duration>() + ASK_MAX)
            }
            (_, Ask::Search { .. } | Ask::Call { .. }) => now.after(ASK_MAX),
        };
        self.action = Some(Action::Ask(ask));
        self.state = State::Asking(step, until);
    }

    /// What is wished, in a protocol's terms.
    fn wished(&self, terms: Terms) -> Option<Lease> {
        let (Wish::Map { internal, external }, Some(way)) = (self.wish, self.way) else { return None };
        Some(Lease { way, terms, internal, external: if external == 0 { internal } else { external } })
    }

    fn answered(&mut self, now: Mono, step: Step, answer: Answer, random: &mut dyn Random) {
        match step {
            Step::Map(lease) => self.mapped(now, lease, answer, random),
            Step::Search => self.found(now, answer, random),
            Step::Address { controls, at } => self.addressed(now, controls, at, answer, random),
            Step::Add { lease, outside, tries } => self.added(now, lease, outside, tries, answer, random),
            Step::Renew => self.renewed(now, answer, random),
            Step::Look => self.looked(now, answer, random),
            Step::End { lease, left, until } => self.ended(now, lease, left, until, &answer, random),
        }
    }

    fn mapped(&mut self, now: Mono, lease: Lease, answer: Answer, random: &mut dyn Random) {
        if let Answer::Pcp(pcp::Answer::Refused { lifetime_s, .. }) = &answer {
            self.refuses_for = Duration::from_secs(u64::from(*lifetime_s)).min(RETRY_MAX);
        }
        match lease.grant(answer) {
            Ok(grant) => self.hold(now, lease, Outside::Unknown, grant, random),
            Err(why) => {
                self.blame(why);
                match lease.terms {
                    Terms::Pcp => self.ask_map(now, Terms::NatPmp, random),
                    Terms::NatPmp | Terms::Upnp { .. } => self.search(now, random),
                }
            }
        }
    }

    fn search(&mut self, now: Mono, random: &mut dyn Random) {
        match self.way {
            Some(way) => self.ask(now, Ask::Search { gateway: way.gateway }, Step::Search),
            None => self.begin(now, random),
        }
    }

    fn found(&mut self, now: Mono, answer: Answer, random: &mut dyn Random) {
        match answer {
            Answer::Found(Ok(controls)) => self.ask_address(now, controls, 0, random),
            Answer::Found(Err(why)) => {
                self.blame(why.into());
                self.fail(now, random);
            }
            Answer::Pcp(_) | Answer::NatPmp(_) | Answer::Address(_) | Answer::Done(_) | Answer::Silent => {
                self.fail(now, random);
            }
        }
    }

    /// Asks one control after the other for its address. If none has one, the first has to say why.
    fn ask_address(&mut self, now: Mono, controls: Box<Controls>, at: usize, random: &mut dyn Random) {
        match controls.get(at) {
            Some(control) => {
                let action = super::igd::Action::GetExternalIpAddress;
                let ask = Ask::Call { control: Box::new(control.clone()), action };
                self.ask(now, ask, Step::Address { controls, at });
            }
            None => self.add(now, &controls, 0, Outside::Unknown, random),
        }
    }

    fn addressed(
        &mut self,
        now: Mono,
        controls: Box<Controls>,
        at: usize,
        answer: Answer,
        random: &mut dyn Random,
    ) {
        match answer {
            Answer::Address(Ok(Some(address))) => {
                self.add(now, &controls, at, Outside::At(address), random);
            }
            Answer::Address(Ok(None)) if controls.len() == 1 => {
                self.add(now, &controls, at, Outside::NoAddress, random);
            }
            Answer::Address(Ok(None) | Err(_))
            | Answer::Pcp(_)
            | Answer::NatPmp(_)
            | Answer::Found(_)
            | Answer::Done(_)
            | Answer::Silent => self.ask_address(now, controls, at + 1, random),
        }
    }

    fn add(&mut self, now: Mono, controls: &Controls, at: usize, outside: Outside, random: &mut dyn Random) {
        let Some(control) = controls.get(at) else { return self.fail(now, random) };
        let terms = Terms::Upnp { control: Box::new(control.clone()), lease_s: LIFETIME_S };
        let Some(lease) = self.wished(terms) else { return self.begin(now, random) };
        self.ask_add(now, lease, outside, Tries::new(), random);
    }

    fn ask_add(&mut self, now: Mono, lease: Lease, outside: Outside, tries: Tries, random: &mut dyn Random) {
        let ask = lease.map(self.nonce, outside, random);
        self.ask(now, ask, Step::Add { lease, outside, tries });
    }

    fn added(
        &mut self,
        now: Mono,
        mut lease: Lease,
        outside: Outside,
        mut tries: Tries,
        answer: Answer,
        random: &mut dyn Random,
    ) {
        match lease.grant(answer) {
            Ok(grant) => self.hold(now, lease, outside, grant, random),
            Err(Why::Upnp(fault)) if tries.yield_to(&fault, &mut lease, random) => {
                self.ask_add(now, lease, outside, tries, random);
            }
            Err(why) => {
                self.blame(why);
                self.fail(now, random);
            }
        }
    }

    fn blame(&mut self, why: Why) {
        if why.weight() > self.why.weight() {
            self.why = why;
        }
    }

    /// Every protocol failed.
    fn fail(&mut self, now: Mono, random: &mut dyn Random) {
        let why = std::mem::replace(&mut self.why, Why::Silent);
        let promised = if matches!(why, Why::Pcp(_)) { self.refuses_for } else { Duration::ZERO };
        let doubled = RETRY_MIN.saturating_mul(1 << self.failures.min(10)).max(promised);
        let wait = doubled + upto(random, doubled / 4);
        self.failures = self.failures.saturating_add(1);
        self.publish(now, Status::Refused(why));
        self.rest(State::Waiting(now.after(wait.min(RETRY_MAX))), now);
    }

    // ---- a mapping that is there ----

    fn hold(&mut self, now: Mono, mut lease: Lease, outside: Outside, grant: Grant, random: &mut dyn Random) {
        lease.external = grant.external;
        let lifetime = |s| Duration::from_secs(u64::from(s)).clamp(LIFETIME_MIN, LIFETIME_MAX);
        let is_natpmp = matches!(lease.terms, Terms::NatPmp);
        let mut held = Held {
            lease,
            outside: grant.outside.unwrap_or(outside),
            expires: grant.lifetime_s.map(|s| now.after(lifetime(s))),
            renew: now,
            look: now.after(LOOK_EVERY),
            granted: now,
            epoch: grant.epoch_s.map(|seconds| Epoch { seconds, at: now }),
            failures: 0,
        };
        held.plan_renewal(now, random);
        self.held = Some(held);
        self.rest(State::Holding, now);
        if is_natpmp {
            // Its grants do not tell the address.
            self.look(now, random);
        }
    }

    /// Something is due.
    fn tend(&mut self, now: Mono, random: &mut dyn Random) {
        self.held = self.held.take().filter(|held| !held.is_over(now));
        match &self.held {
            None => self.begin(now, random),
            Some(held) if held.renew <= now => {
                let ask = held.lease.map(self.nonce, held.outside, random);
                self.ask(now, ask, Step::Renew);
            }
            Some(_) => self.look(now, random),
        }
    }

    fn renewed(&mut self, now: Mono, answer: Answer, random: &mut dyn Random) {
        let Some(mut held) = self.held.take() else { return self.begin(now, random) };
        match held.lease.grant(answer) {
            Ok(grant) => {
                self.failures = 0;
                self.hold(now, held.lease, held.outside, grant, random);
            }
            // It is somebody else's now, and not ours to end.
            Err(Why::Upnp(Fault::Upnp {
                error: UpnpError::Conflict | UpnpError::ConflictWithOther, ..
            })) => {
                self.begin(now, random);
            }
            Err(_) if held.is_over(now) => self.begin(now, random),
            Err(_) if held.failures + 1 >= RENEWALS_MAX => self.end(now, held.lease),
            Err(_) => {
                held.failures += 1;
                held.plan_renewal(now, random);
                self.held = Some(held);
                self.rest(State::Holding, now);
            }
        }
    }

    fn look(&mut self, now: Mono, random: &mut dyn Random) {
        let Some(held) = self.held.as_mut() else { return self.begin(now, random) };
        held.look = now.after(LOOK_EVERY);
        let ask = held.lease.look();
        self.ask(now, ask, Step::Look);
    }

    /// What a look saw. One that saw nothing means nothing: renewals count.
    fn looked(&mut self, now: Mono, answer: Answer, random: &mut dyn Random) {
        let Some(held) = self.held.as_mut() else { return self.begin(now, random) };
        let before = held.outside;
        let is_lost = match answer {
            Answer::Pcp(pcp::Answer::Announced { epoch_s }) => held.note_epoch(now, epoch_s),
            Answer::NatPmp(natpmp::Answer::PublicAddress { epoch_s, address }) => {
                held.outside = Outside::At(address);
                held.note_epoch(now, epoch_s)
            }
            Answer::NatPmp(natpmp::Answer::Refused(natpmp::Refusal::NetworkFailure)) => {
                held.outside = Outside::NoAddress;
                false
            }
            Answer::Address(Ok(address)) => {
                held.outside = address.map_or(Outside::NoAddress, Outside::At);
                // Some forget their mappings with their address.
                before != Outside::Unknown && before != held.outside
            }
            Answer::Pcp(_)
            | Answer::NatPmp(_)
            | Answer::Address(Err(_))
            | Answer::Found(_)
            | Answer::Done(_)
            | Answer::Silent => false,
        };
        if is_lost {
            held.hasten(now, Duration::ZERO);
        }
        self.rest(State::Holding, now);
    }

    // ---- ends ----

    /// What the router has, or may have because it was just asked for it.
    fn take_lease(&mut self) -> Option<Lease> {
        if let State::Asking(Step::Map(lease) | Step::Add { lease, .. }, _) = &self.state {
            return Some(lease.clone());
        }
        self.held.take().map(|held| held.lease)
    }

    /// Ends the mapping, if there may be one, then goes on by the wish.
    fn drop_mapping(&mut self, now: Mono, random: &mut dyn Random) {
        if self.wish == Wish::Off {
            self.publish(now, Status::Off);
        }
        if matches!(self.state, State::Asking(Step::End { .. }, _)) {
            // It goes on from there.
            return;
        }
        match self.take_lease().filter(|lease| Some(lease.way) == self.way) {
            Some(lease) => self.end(now, lease),
            None => self.begin(now, random),
        }
    }

    /// The way is another one. What the old router has is out of reach, and ends by itself; but if only our own
    /// address is another, a UPnP router can be told to end it, and must be: it may be for good.
    fn leave(&mut self, now: Mono, random: &mut dyn Random) {
        let gateway = self.way.map(|way| way.gateway);
        let is_in_reach = |lease: &Lease| Some(lease.way.gateway) == gateway;
        match self.take_lease() {
            Some(lease) if is_in_reach(&lease) && matches!(lease.terms, Terms::Upnp { .. }) => {
                self.end(now, lease);
            }
            Some(_) | None => self.begin(now, random),
        }
    }

    fn end(&mut self, now: Mono, lease: Lease) {
        self.held = None;
        if matches!(self.wish, Wish::Map { .. }) {
            self.publish(now, Status::Trying);
        }
        self.ask_end(now, lease, ENDS_MAX - 1, now.after(END_MAX));
    }

    fn ask_end(&mut self, now: Mono, lease: Lease, left: u8, until: Mono) {
        self.ask(now, lease.end(self.nonce), Step::End { lease, left, until });
    }

    fn ended(
        &mut self,
        now: Mono,
        lease: Lease,
        left: u8,
        until: Mono,
        answer: &Answer,
        random: &mut dyn Random,
    ) {
        // Whatever the router says, it has heard it.
        if *answer == Answer::Silent && left > 0 && now < until {
            self.ask_end(now, lease, left - 1, until);
        } else {
            self.begin(now, random);
        }
    }

    fn publish(&mut self, now: Mono, status: Status) {
        if self.status == status {
            return;
        }
        if !is_same_kind(&self.status, &status) {
            self.since = now;
        }
        self.status = status;
        self.is_changed = true;
    }
}

fn is_same_kind(one: &Status, other: &Status) -> bool {
    match (one, other) {
        (Status::Mapping(one), Status::Mapping(other)) => (one.means, one.port) == (other.means, other.port),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}
