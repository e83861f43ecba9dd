//! Blinking by the agent's own timer, where the kernel has none for a light or not for that rhythm. A core.

use core::time::Duration;

use crate::units::Mono;

/// A light that blinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blink {
    rhythm: &'static [u16],
    at: usize,
    next: Mono,
}

impl Blink {
    /// In this rhythm (`policy::Show::rhythm`), lit since `now`.
    pub fn new(rhythm: &'static [u16], now: Mono) -> Self {
        Self { rhythm, at: 0, next: now.after(step(rhythm, 0)) }
    }

    /// When it changes next.
    pub const fn next(&self) -> Mono {
        self.next
    }

    /// Whether it is to be lit from now on, if that changes now.
    pub fn handle_timeout(&mut self, now: Mono) -> Option<bool> {
        if now < self.next {
            return None;
        }
        self.at = if self.at + 1 < self.rhythm.len() { self.at + 1 } else { 0 };
        // From now on, not from when it should have been: after a pause nothing is made up for.
        self.next = now.after(step(self.rhythm, self.at));
        Some(self.at.is_multiple_of(2))
    }
}

fn step(rhythm: &[u16], at: usize) -> Duration {
    // A rhythm without steps would never let go of the processor.
    Duration::from_millis(rhythm.get(at).map_or(1000, |ms| u64::from(*ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::led::policy::Show;

    /// Milliseconds and whether lit, for `span` ms.
    fn seen(show: Show, span: u64) -> Vec<(u64, bool)> {
        let mut blink = Blink::new(show.rhythm().unwrap(), Mono::from_millis(0));
        let changes = (0..=span).filter_map(|ms| Some((ms, blink.handle_timeout(Mono::from_millis(ms))?)));
        changes.collect()
    }

    #[test]
    fn rhythms_are_kept_and_begin_again() {
        assert_eq!(seen(Show::Slow, 3000), [(1000, false), (2000, true), (3000, false)]);
        let double = [(150, false), (300, true), (450, false), (2000, true), (2150, false)];
        assert_eq!(seen(Show::Double, 2200), double);
    }

    #[test]
    fn every_rhythm_has_as_many_dark_times_as_lit_ones() {
        let rhythms: Vec<&[u16]> = Show::ALL.iter().filter_map(|s| s.rhythm()).collect();
        assert_eq!(rhythms.len(), 5);
        assert!(rhythms.iter().all(|r| r.len() % 2 == 0 && r.iter().all(|ms| *ms >= 100)));
    }

    #[test]
    fn nothing_is_made_up_for_after_a_pause() {
        let mut blink = Blink::new(&[125, 125], Mono::from_millis(0));
        assert_eq!(blink.handle_timeout(Mono::from_millis(60_000)), Some(false));
        assert_eq!(blink.next(), Mono::from_millis(60_125));
    }
}
