//! The findings that hold now: raised and cleared by the agent, shown when they have lasted, hidden by what explains
//! them. One that comes and goes stays shown until it has been away for a while, so that what an owner sees does not
//! flicker. A core.

use core::time::Duration;

use super::finding::{Code, Entry, Severity};
use super::past::{Ended, Past};
use crate::units::Mono;

/// Findings that can hold at once. One more is dropped: the table is larger than what one box can have wrong.
pub const FINDINGS_MAX: usize = 48;
/// Longest subject (an array, a light) in bytes.
pub const SUBJECT_MAX: usize = 32;
/// Longest evidence in bytes; longer is cut.
pub const EVIDENCE_MAX: usize = 200;
/// A finding that ends for so many times in a row comes and goes: it stays shown.
const FLAPS: u16 = 3;
/// Until it has been away for this long.
const QUIET: Duration = Duration::from_secs(120);

/// What a finding is about, where there can be several.
pub type Subject = heapless::String<SUBJECT_MAX>;

/// A finding that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub code: Code,
    /// About what; empty where there is only one.
    pub subject: Subject,
    /// What was seen.
    pub evidence: heapless::String<EVIDENCE_MAX>,
    /// Since when.
    pub since: Mono,
    /// How often it has come by now; more than once only for one that comes and goes.
    pub times: u16,
    told: bool,
    /// It has gone, but comes and goes: it is shown until this has been long enough ago.
    gone: Option<Mono>,
}

impl Finding {
    /// Its row of the catalogue.
    pub const fn entry(&self) -> &'static Entry {
        self.code.entry()
    }

    /// When one that comes and goes has been away for long enough.
    fn quiet_at(&self) -> Option<Mono> {
        self.gone.map(|at| at.after(QUIET))
    }
}

fn ended(finding: &Finding, now: Mono) -> Ended {
    Ended {
        code: finding.code,
        subject: finding.subject.clone(),
        evidence: finding.evidence.clone(),
        since: finding.since,
        until: now,
        times: finding.times,
    }
}

/// What became visible or went away; for the log, the events and the lights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has lasted long enough to be shown.
    Appeared(Finding),
    /// It no longer holds; it had been shown.
    Cleared(Finding),
}

/// The table.
#[derive(Debug, Default)]
pub struct Tracker {
    findings: heapless::Vec<Finding, FINDINGS_MAX>,
    changes: heapless::Deque<Change, FINDINGS_MAX>,
    past: Past,
}

impl Tracker {
    /// It holds, by this evidence. Raising it again keeps its since-when.
    pub fn raise(&mut self, code: Code, subject: &str, evidence: &str, now: Mono) {
        let subject: Subject = cut(subject);
        let evidence = cut(evidence);
        if let Some(known) = self.findings.iter_mut().find(|f| f.code == code && f.subject == subject) {
            known.evidence = evidence;
            if known.gone.take().is_some() {
                known.times = known.times.saturating_add(1);
            }
        } else {
            drop(self.findings.push(Finding {
                code,
                subject,
                evidence,
                since: now,
                times: 1,
                told: false,
                gone: None,
            }));
        }
        self.handle_timeout(now);
    }

    /// It is not seen (any more). If it comes and goes it stays shown for a while.
    pub fn subside(&mut self, code: Code, subject: &str, now: Mono) {
        let Some(at) = self.findings.iter().position(|f| f.code == code && f.subject == subject) else {
            return;
        };
        let Some(finding) = self.findings.get_mut(at).filter(|f| f.gone.is_none()) else { return };
        if !finding.told {
            drop(self.findings.remove(at));
            return;
        }
        let times = self.past.note(ended(finding, now));
        if times >= FLAPS {
            (finding.gone, finding.times) = (Some(now), times);
        } else {
            let gone = self.findings.remove(at);
            push(&mut self.changes, Change::Cleared(gone));
        }
    }

    /// None that `pick` selects holds (any more), for certain: the owner ended it, or something else has taken its place.
    pub fn clear_where(&mut self, now: Mono, pick: impl Fn(&Finding) -> bool) {
        let mut kept = heapless::Vec::new();
        for finding in core::mem::take(&mut self.findings) {
            if pick(&finding) {
                if finding.told {
                    if finding.gone.is_none() {
                        self.past.note(ended(&finding, now));
                    }
                    push(&mut self.changes, Change::Cleared(finding));
                }
            } else {
                drop(kept.push(finding));
            }
        }
        self.findings = kept;
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        while let Some(at) = self.findings.iter().position(|f| f.quiet_at().is_some_and(|at| at <= now)) {
            let gone = self.findings.remove(at);
            push(&mut self.changes, Change::Cleared(gone));
        }
        for at in 0..self.findings.len() {
            let due = self.findings.get(at).is_some_and(|f| !f.told && is_due(f, now) && !self.is_hidden(f));
            if let Some(finding) = self.findings.get_mut(at).filter(|_| due) {
                finding.told = true;
                push(&mut self.changes, Change::Appeared(finding.clone()));
            }
        }
    }

    /// When [`Tracker::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let waiting = self.findings.iter().filter(|f| !f.told && !self.is_hidden(f));
        let shown = waiting.map(|f| f.since.after(f.entry().visible_after));
        shown.chain(self.findings.iter().filter_map(Finding::quiet_at)).min()
    }

    /// What changed since the last call.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// What is shown, most important first.
    pub fn visible(&self, now: Mono) -> Vec<&Finding> {
        let mut shown: Vec<&Finding> =
            self.findings.iter().filter(|f| is_due(f, now) && !self.is_hidden(f)).collect();
        shown.sort_by_key(|f| (core::cmp::Reverse(f.entry().severity), f.code, f.since));
        shown
    }

    /// What was shown in the last day and is over, the latest first.
    pub fn past(&self, now: Mono) -> impl Iterator<Item = &Ended> {
        self.past.iter(now)
    }

    /// Whether it holds, shown or not.
    pub fn holds(&self, code: Code) -> bool {
        self.findings.iter().any(|f| f.code == code && f.gone.is_none())
    }

    /// The worst severity that is shown.
    pub fn worst(&self, now: Mono) -> Option<Severity> {
        self.visible(now).first().map(|f| f.entry().severity)
    }

    /// A finding is explained by another one about the same subject, or about the box as a whole.
    fn is_hidden(&self, finding: &Finding) -> bool {
        let explains = |other: &&Finding| {
            other.gone.is_none()
                && finding.entry().hidden_by.contains(&other.code)
                && (other.subject == finding.subject || other.subject.is_empty())
        };
        self.findings.iter().any(|other| explains(&other))
    }
}

fn is_due(finding: &Finding, now: Mono) -> bool {
    now.since(finding.since) >= finding.entry().visible_after
}

/// When the queue is full the oldest change is lost; the table itself is not.
fn push(changes: &mut heapless::Deque<Change, FINDINGS_MAX>, change: Change) {
    if changes.is_full() {
        drop(changes.pop_front());
    }
    drop(changes.push_back(change));
}

/// As much of `text` as fits.
pub fn cut<const N: usize>(text: &str) -> heapless::String<N> {
    let mut kept = heapless::String::new();
    for c in text.chars() {
        if kept.push(c).is_err() {
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    fn names(tracker: &Tracker, now: u64) -> Vec<&'static str> {
        tracker.visible(at(now)).iter().map(|f| f.entry().name).collect()
    }

    #[test]
    fn a_finding_is_shown_only_once_it_has_lasted() {
        let mut tracker = Tracker::default();
        tracker.raise(Code::DnsFailed, "", "no answer", at(10));
        assert_eq!(names(&tracker, 14), [""; 0]);
        assert_eq!(tracker.poll_timeout(), Some(at(15)));
        tracker.handle_timeout(at(15));
        assert!(matches!(tracker.poll_change(), Some(Change::Appeared(f)) if f.code == Code::DnsFailed));
        tracker.raise(Code::DnsFailed, "", "again", at(16));
        assert_eq!(tracker.poll_change(), None, "told once");
        assert_eq!(tracker.visible(at(16))[0].since, at(10));
        tracker.subside(Code::DnsFailed, "", at(20));
        assert!(matches!(tracker.poll_change(), Some(Change::Cleared(_))));
    }

    #[test]
    fn a_flap_is_never_told() {
        let mut tracker = Tracker::default();
        for second in 0..100 {
            tracker.raise(Code::BrokerClosed, "", "closed", at(second * 10));
            tracker.subside(Code::BrokerClosed, "", at(second * 10 + 1));
        }
        assert_eq!(tracker.poll_change(), None);
    }

    #[test]
    fn what_comes_and_goes_is_shown_until_it_has_been_away_for_a_while() {
        let mut tracker = Tracker::default();
        let mut told = Vec::new();
        for round in 0..10 {
            tracker.raise(Code::ServiceDown, "web", "refused", at(round * 20));
            tracker.subside(Code::ServiceDown, "web", at(round * 20 + 10));
            told.extend(std::iter::from_fn(|| tracker.poll_change()));
            assert_eq!(tracker.visible(at(round * 20 + 11)).len(), usize::from(round >= 2), "round {round}");
            assert!(!tracker.holds(Code::ServiceDown), "it is shown, and does not hold");
        }
        assert_eq!(told.len(), 5, "thrice it comes, twice it goes: {told:?}");
        assert_eq!(tracker.visible(at(200))[0].times, 10);
        assert_eq!(tracker.poll_timeout(), Some(at(190 + 120)));
        tracker.handle_timeout(at(309));
        assert_eq!(tracker.poll_change(), None);
        tracker.handle_timeout(at(310));
        assert!(matches!(tracker.poll_change(), Some(Change::Cleared(f)) if f.times == 10));
        assert_eq!(names(&tracker, 310), [""; 0]);
        let past: Vec<&Ended> = tracker.past(at(400)).collect();
        assert_eq!((past.len(), past[0].times, past[0].since, past[0].until), (1, 10, at(0), at(190)));
    }

    #[test]
    fn one_cause_in_the_place_of_another_does_not_stay() {
        let mut tracker = Tracker::default();
        for second in 0..20 {
            let code = if second % 2 == 0 { Code::BrokerRejected } else { Code::BrokerNotAuthorized };
            tracker.clear_where(at(second), |f| f.code != code);
            tracker.raise(code, "", "x", at(second));
            assert_eq!(tracker.visible(at(second)).len(), 1, "{second}");
        }
    }

    #[test]
    fn the_cause_hides_what_follows_from_it() {
        let mut tracker = Tracker::default();
        tracker.raise(Code::BrokerUnreachable, "", "no route", at(0));
        tracker.raise(Code::LinkDown, "", "eth0", at(0));
        assert_eq!(names(&tracker, 60), ["link-down"]);
        tracker.subside(Code::LinkDown, "", at(60));
        assert_eq!(names(&tracker, 60), ["broker-unreachable"]);
    }

    #[test]
    fn one_array_does_not_hide_another() {
        let mut tracker = Tracker::default();
        tracker.raise(Code::ArrayDegraded, "md0", "x", at(0));
        tracker.raise(Code::ArrayFailed, "md1", "y", at(0));
        assert_eq!(names(&tracker, 1), ["array-failed", "array-degraded"]);
        tracker.raise(Code::ArrayFailed, "md0", "y", at(0));
        assert_eq!(names(&tracker, 1), ["array-failed", "array-failed"]);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut tracker = Tracker::default();
        for i in 0..200 {
            tracker.raise(Code::LedUnavailable, &format!("led{i}"), &"x".repeat(1000), at(0));
        }
        assert_eq!(tracker.visible(at(0)).len(), FINDINGS_MAX);
        let told = std::iter::from_fn(|| tracker.poll_change()).count();
        assert_eq!(told, FINDINGS_MAX);
    }
}
