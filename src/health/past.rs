//! What was shown in the last day and is over. A core.

use core::time::Duration;

use super::finding::Code;
use super::tracker::{EVIDENCE_MAX, Subject};
use crate::units::Mono;

/// Findings that are remembered; the one that ended first makes room.
pub const PAST_MAX: usize = 32;
/// For how long.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// One that comes back within this time is the same one again.
const AGAIN: Duration = Duration::from_secs(600);

/// A finding that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub code: Code,
    /// About what.
    pub subject: Subject,
    /// What was seen last.
    pub evidence: heapless::String<EVIDENCE_MAX>,
    /// When it came first.
    pub since: Mono,
    /// When it went last.
    pub until: Mono,
    /// How often it came.
    pub times: u16,
}

/// The memory, in the order in which they ended.
#[derive(Debug, Default)]
pub struct Past {
    ended: heapless::Deque<Ended, PAST_MAX>,
}

impl Past {
    /// One has ended. Answers how often it has come by now, each time soon after the last.
    pub fn note(&mut self, mut ended: Ended) -> u16 {
        let same = |p: &Ended| p.code == ended.code && p.subject == ended.subject;
        let again = self.ended.iter().position(|p| same(p) && soon(p, &ended));
        if let Some(at) = again {
            let earlier = self.take(at);
            ended.since = earlier.as_ref().map_or(ended.since, |e| e.since);
            ended.times = earlier.map_or(1, |e| e.times.saturating_add(1));
        }
        let times = ended.times;
        if self.ended.is_full() {
            drop(self.ended.pop_front());
        }
        drop(self.ended.push_back(ended));
        times
    }

    /// Those of the last day, the latest first.
    pub fn iter(&self, now: Mono) -> impl Iterator<Item = &Ended> {
        self.ended.iter().rev().filter(move |e| now.since(e.until) <= DAY)
    }

    fn take(&mut self, at: usize) -> Option<Ended> {
        let mut taken = None;
        for place in 0..self.ended.len() {
            let Some(ended) = self.ended.pop_front() else { break };
            if place == at {
                taken = Some(ended);
            } else {
                drop(self.ended.push_back(ended));
            }
        }
        taken
    }
}

/// Whether `later` came back soon after `earlier` had gone.
fn soon(earlier: &Ended, later: &Ended) -> bool {
    later.until.since(earlier.until) <= AGAIN || later.since <= earlier.until.after(AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn ended(code: Code, since: u64, until: u64) -> Ended {
        let at = |s: u64| Mono::from_millis(s * 1000);
        let (subject, evidence) = (Subject::new(), heapless::String::new());
        Ended { code, subject, evidence, since: at(since), until: at(until), times: 1 }
    }

    fn told(past: &Past, now: u64) -> Vec<(&'static str, u16, u64)> {
        let now = Mono::from_millis(now * 1000);
        past.iter(now).map(|e| (e.code.entry().name, e.times, e.since.as_millis() / 1000)).collect()
    }

    #[test]
    fn what_comes_back_soon_is_the_same_again_and_a_day_is_remembered() {
        let mut past = Past::default();
        assert_eq!(past.note(ended(Code::DnsFailed, 100, 200)), 1);
        assert_eq!(past.note(ended(Code::LinkDown, 210, 220)), 1);
        assert_eq!(past.note(ended(Code::DnsFailed, 300, 400)), 2);
        assert_eq!(
            past.note(ended(Code::DnsFailed, 2 * HOUR, 2 * HOUR + 1)),
            1,
            "hours later it is another one"
        );
        let all = [("dns-failed", 1, 2 * HOUR), ("dns-failed", 2, 100), ("link-down", 1, 210)];
        assert_eq!(told(&past, 3 * HOUR), all);
        assert_eq!(told(&past, 25 * HOUR), all[..1]);
        assert_eq!(told(&past, 27 * HOUR), []);
    }

    #[test]
    fn the_memory_is_bounded_and_loses_the_oldest() {
        let mut past = Past::default();
        for hour in 0..100 {
            past.note(ended(Code::DnsFailed, hour * HOUR, hour * HOUR + 1));
        }
        assert_eq!(past.ended.len(), PAST_MAX);
        assert_eq!(told(&past, 99 * HOUR + 5).first(), Some(&("dns-failed", 1, 99 * HOUR)));
    }
}
