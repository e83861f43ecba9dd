//! Whether the connection breaks again and again. A core.

use core::time::Duration;

use super::cause::Cause;
use crate::units::Mono;

/// Losses that are remembered.
const LOSSES_MAX: usize = 8;
/// How far back they count.
const WINDOW: Duration = Duration::from_secs(600);
/// So many within the window are too many.
const TOO_MANY: usize = 3;

/// The last losses of confirmed sessions.
#[derive(Debug, Default)]
pub struct Losses {
    at: heapless::Deque<Mono, LOSSES_MAX>,
    last: Option<Cause>,
}

impl Losses {
    /// One more; the oldest makes room.
    pub fn note(&mut self, now: Mono, cause: &Cause) {
        if self.at.is_full() {
            let _ = self.at.pop_front();
        }
        let _ = self.at.push_back(now);
        self.last = Some(cause.clone());
    }

    /// The evidence, if there were too many.
    pub fn many(&self, now: Mono) -> Option<String> {
        let count = self.at.iter().filter(|at| now.since(**at) <= WINDOW).count();
        let last = self.last.as_ref().filter(|_| count >= TOO_MANY)?;
        Some(format!("lost {count} times within {} minutes; the last time: {last}", WINDOW.as_secs() / 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_within_ten_minutes_are_too_many_and_old_ones_are_forgotten() {
        let minute = |m: u64| Mono::from_millis(m * 60_000);
        let mut losses = Losses::default();
        for (m, many) in [(100, false), (105, false), (109, true), (121, false), (122, false), (123, true)] {
            losses.note(minute(m), &Cause::Closed);
            assert_eq!(losses.many(minute(m)).is_some(), many, "{m}");
        }
        assert!(losses.many(minute(123)).unwrap().contains("lost 3 times"));
        assert_eq!(losses.many(minute(134)), None);
        (0..100).for_each(|_| losses.note(minute(200), &Cause::Silent));
        assert!(losses.many(minute(200)).unwrap().starts_with("lost 8 times"));
    }
}
