//! How long to wait before the next attempt. A core.
//!
//! Full jitter: uniform between a small floor and a window that doubles with each failure. Boxes that lost one broker at
//! the same moment come back spread out, and none ever gives up.

use core::time::Duration;

use crate::random::{self, Random};

/// First window.
const WINDOW_FIRST: Duration = Duration::from_secs(1);
/// No attempt follows another sooner than this, whatever ended it.
pub const FLOOR: Duration = Duration::from_millis(250);
/// Slow retries (refused credentials, missing rights) start here: the owner has to do something first, and a broker that
/// bans addresses for failed logins must not be provoked.
const SLOW_FLOOR: Duration = Duration::from_secs(30);
/// First window of failures that only touched the own network (a name server, a missing route): a try costs the broker nothing,
/// and the cure is to be noticed at once.
const LOCAL_WINDOW: Duration = Duration::from_secs(1);
/// Its largest: a box without internet for weeks should not ask every second.
const LOCAL_MAX: Duration = Duration::from_secs(16);
/// Local failures after which its window doubles: some minutes of a usual outage.
const LOCAL_DOUBLES_AFTER: u32 = 64;
/// Longest spread that an operator can set from afar.
pub const SPREAD_MAX: Duration = Duration::from_secs(3600);
/// After `Session taken over`: a clone would fight back, so the wait is long.
const CLONE_FLOOR: Duration = Duration::from_secs(300);

/// What kind of wait a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Doubling window.
    Backoff,
    /// The session was fine and was lost: the first try anywhere in the operator's window.
    Spread,
    /// Short window: nobody but the own network was asked.
    Local,
    /// Doubling window, but never soon.
    Slow,
    /// Another box uses this identity.
    Clone,
    /// At once: the owner asked, or the cause is cured.
    Now,
}

/// The doubling window.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
    local: u32,
    /// A session was lost and none has been stable since: the others that were lost with it are still coming back.
    spreading: bool,
    max: Duration,
    spread: Duration,
}

impl Backoff {
    /// `max`: the largest window. `spread`: the window after a loss.
    pub const fn new(max: Duration, spread: Duration) -> Self {
        Self { failures: 0, local: 0, spreading: false, max, spread }
    }

    /// The window that the next failure draws from.
    pub fn window(&self) -> Duration {
        let doubled =
            WINDOW_FIRST.saturating_mul(1u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        // After a loss no window is smaller than the spread, or the second tries of a fleet would come in a rush.
        let least = if self.spreading { self.spread } else { Duration::ZERO };
        doubled.min(self.max).max(least)
    }

    fn local_window(&self) -> Duration {
        let doubled = self.local.saturating_sub(1) / LOCAL_DOUBLES_AFTER;
        LOCAL_WINDOW.saturating_mul(1u32.checked_shl(doubled.min(8)).unwrap_or(u32::MAX)).min(LOCAL_MAX)
    }

    /// The operator wants agents to come back over this window.
    pub fn set_spread(&mut self, spread: Duration) {
        self.spread = spread.min(SPREAD_MAX);
    }

    /// Draws the wait after a failure.
    pub fn draw(&mut self, retry: Retry, random: &mut dyn Random) -> Duration {
        let window = self.window();
        match retry {
            Retry::Local => self.local = self.local.saturating_add(1),
            Retry::Backoff | Retry::Spread | Retry::Slow | Retry::Clone => {
                self.failures = self.failures.saturating_add(1);
            }
            Retry::Now => {}
        }
        match retry {
            Retry::Now => Duration::ZERO,
            Retry::Backoff => FLOOR + uniform(random, window.saturating_sub(FLOOR)),
            Retry::Local => FLOOR + uniform(random, self.local_window().saturating_sub(FLOOR)),
            Retry::Spread => {
                self.spreading = true;
                uniform(random, self.spread)
            }
            Retry::Slow => SLOW_FLOOR + uniform(random, window.max(SLOW_FLOOR)),
            Retry::Clone => CLONE_FLOOR + uniform(random, CLONE_FLOOR),
        }
    }

    /// The session has been stable: the window falls back to its start.
    pub fn reset(&mut self) {
        (self.failures, self.local, self.spreading) = (0, 0, false);
    }
}

fn uniform(random: &mut dyn Random, window: Duration) -> Duration {
    let ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX - 1);
    Duration::from_millis(random::below(random, ms + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;

    const MAX: Duration = Duration::from_secs(300);
    const SPREAD: Duration = Duration::from_secs(10);

    #[test]
    fn the_window_doubles_to_its_maximum_and_falls_back() {
        let mut backoff = Backoff::new(MAX, SPREAD);
        let mut windows = Vec::new();
        for _ in 0..40 {
            windows.push(backoff.window().as_secs());
            backoff.draw(Retry::Backoff, &mut Seeded::new(1));
        }
        assert_eq!(windows[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(windows[10..].iter().all(|w| *w == 300));
        backoff.reset();
        assert_eq!(backoff.window().as_secs(), 1);
    }

    #[test]
    fn after_a_loss_no_window_is_smaller_than_the_spread() {
        let mut backoff = Backoff::new(MAX, SPREAD);
        backoff.draw(Retry::Spread, &mut Seeded::new(1));
        assert_eq!(backoff.window(), SPREAD);
        (0..4).for_each(|_| _ = backoff.draw(Retry::Backoff, &mut Seeded::new(1)));
        assert_eq!(backoff.window().as_secs(), 32);
        backoff.reset();
        assert_eq!(backoff.window(), WINDOW_FIRST);
    }

    #[test]
    fn local_failures_leave_the_brokers_window_alone() {
        let mut backoff = Backoff::new(MAX, SPREAD);
        for seed in 0..1000 {
            backoff.draw(Retry::Local, &mut Seeded::new(seed));
        }
        assert_eq!(backoff.window(), WINDOW_FIRST);
        backoff.draw(Retry::Now, &mut Seeded::new(1));
        assert_eq!(backoff.window(), WINDOW_FIRST);
        backoff.set_spread(Duration::from_secs(100_000));
        assert!(backoff.draw(Retry::Spread, &mut Seeded::new(1)) <= SPREAD_MAX);
    }

    #[track_caller]
    fn range(failures: u32, retry: Retry, low: Duration, high: Duration) {
        let draws: Vec<Duration> = (0..2000)
            .map(|seed| {
                Backoff { failures, local: failures, spreading: false, max: MAX, spread: SPREAD }
                    .draw(retry, &mut Seeded::new(seed))
            })
            .collect();
        assert!(draws.iter().all(|d| (low..=high).contains(d)));
        // The whole range is used.
        let width = high - low;
        assert!(*draws.iter().min().unwrap() <= low + width / 50);
        assert!(*draws.iter().max().unwrap() >= high - width / 50);
    }

    #[test]
    fn draws_use_their_whole_window() {
        range(0, Retry::Backoff, FLOOR, WINDOW_FIRST);
        range(30, Retry::Backoff, FLOOR, MAX);
        range(0, Retry::Local, FLOOR, LOCAL_WINDOW);
        range(63, Retry::Local, FLOOR, LOCAL_WINDOW);
        range(64, Retry::Local, FLOOR, LOCAL_WINDOW * 2);
        range(100_000, Retry::Local, FLOOR, LOCAL_MAX);
        range(3, Retry::Spread, Duration::ZERO, SPREAD);
        range(0, Retry::Slow, SLOW_FLOOR, SLOW_FLOOR * 2);
        range(30, Retry::Slow, SLOW_FLOOR, SLOW_FLOOR + MAX);
        range(0, Retry::Clone, CLONE_FLOOR, CLONE_FLOOR * 2);
        range(5, Retry::Now, Duration::ZERO, Duration::ZERO);
    }
}
