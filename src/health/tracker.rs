//! The findings that hold now: raised and cleared by the agent, shown when they have lasted, hidden by what explains
//! them. A core.

use core::time::Duration;

use super::finding::{Code, Entry, Severity};
use crate::units::Mono;

/// Findings that can hold at once. One more is dropped: the table is larger than what one box can have wrong.
pub const FINDINGS_MAX: usize = 48;
/// Longest subject (an array, a light) in bytes.
pub const SUBJECT_MAX: usize = 32;
/// Longest evidence in bytes; longer is cut.
pub const EVIDENCE_MAX: usize = 200;

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
    told: bool,
}

impl Finding {
    /// Its row of the catalogue.
    pub const fn entry(&self) -> &'static Entry {
        self.code.entry()
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
}

impl Tracker {
    /// It holds, by this evidence. Raising it again keeps its since-when.
    pub fn raise(&mut self, code: Code, subject: &str, evidence: &str, now: Mono) {
        let subject: Subject = cut(subject);
        let evidence = cut(evidence);
        if let Some(known) = self.findings.iter_mut().find(|f| f.code == code && f.subject == subject) {
            known.evidence = evidence;
        } else {
            drop(self.findings.push(Finding { code, subject, evidence, since: now, told: false }));
        }
        self.handle_timeout(now);
    }

    /// It does not hold (any more).
    pub fn clear(&mut self, code: Code, subject: &str) {
        self.clear_where(|f| f.code == code && f.subject == subject);
    }

    /// None that `pick` selects holds (any more).
    pub fn clear_where(&mut self, pick: impl Fn(&Finding) -> bool) {
        let mut kept = heapless::Vec::new();
        for finding in core::mem::take(&mut self.findings) {
            if pick(&finding) {
                if finding.told {
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
        waiting.map(|f| f.since.after(f.entry().visible_after)).min()
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

    /// Whether it holds, shown or not.
    pub fn holds(&self, code: Code) -> bool {
        self.findings.iter().any(|f| f.code == code)
    }

    /// How long it has held.
    pub fn lasted(&self, code: Code, now: Mono) -> Option<Duration> {
        self.findings.iter().find(|f| f.code == code).map(|f| now.since(f.since))
    }

    /// The worst severity that is shown.
    pub fn worst(&self, now: Mono) -> Option<Severity> {
        self.visible(now).first().map(|f| f.entry().severity)
    }

    /// A finding is explained by another one about the same subject, or about the box as a whole.
    fn is_hidden(&self, finding: &Finding) -> bool {
        let explains = |other: &&Finding| {
            finding.entry().hidden_by.contains(&other.code)
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
        tracker.clear(Code::DnsFailed, "");
        assert!(matches!(tracker.poll_change(), Some(Change::Cleared(_))));
    }

    #[test]
    fn a_flap_is_never_told() {
        let mut tracker = Tracker::default();
        for second in 0..100 {
            tracker.raise(Code::BrokerClosed, "", "closed", at(second * 10));
            tracker.clear(Code::BrokerClosed, "");
        }
        assert_eq!(tracker.poll_change(), None);
    }

    #[test]
    fn the_cause_hides_what_follows_from_it() {
        let mut tracker = Tracker::default();
        tracker.raise(Code::BrokerUnreachable, "", "no route", at(0));
        tracker.raise(Code::LinkDown, "", "eth0", at(0));
        assert_eq!(names(&tracker, 60), ["link-down"]);
        tracker.clear(Code::LinkDown, "");
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
