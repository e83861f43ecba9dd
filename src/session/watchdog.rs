//! A second, independent look at the session: whatever its machine believes of itself, without a confirmed round trip for so
//! long it is thrown away and begun anew. A core.
//!
//! It exists for the failures nobody thought of; the machine's own timers should never let it fire, and a counter shows if it
//! did.

use core::time::Duration;

use crate::units::Mono;

/// Longest time without a confirmed round trip while one could be had. Longer than the longest back-off (an hour at most) with
/// a whole attempt after it would be too long for an owner; an attempt takes below a minute, waits are 300 s by default.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// When the last proof was seen.
#[derive(Clone, Debug)]
pub struct Watchdog {
    proof: Mono,
    patience: Duration,
}

impl Watchdog {
    /// `backoff_max`: the longest wait the machine may draw; patience is never below three of them.
    pub fn new(backoff_max: Duration, now: Mono) -> Self {
        Self { proof: now, patience: PATIENCE.max(backoff_max.saturating_mul(3)) }
    }

    /// Takes a look. `wanted`: a session is wanted and the network lets one be had. `confirmed`: the last round trip. Whether
    /// the session is to be begun anew.
    pub fn handle_look(&mut self, now: Mono, wanted: bool, confirmed: Option<Mono>) -> bool {
        if !wanted {
            self.proof = now;
        }
        self.proof = self.proof.max(confirmed.unwrap_or_default());
        let bites = now.since(self.proof) > self.patience;
        if bites {
            self.proof = now;
        }
        bites
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minute(n: u64) -> Mono {
        Mono::from_millis(n * 60_000)
    }

    #[test]
    fn it_bites_only_when_proof_is_missing_for_long_and_then_again() {
        let mut dog = Watchdog::new(Duration::from_secs(300), minute(0));
        assert!((0..=30).all(|m| !dog.handle_look(minute(m), true, None)));
        assert!(dog.handle_look(minute(31), true, None));
        assert!(!dog.handle_look(minute(32), true, Some(minute(5))), "a fresh start has its own time");
        assert!(dog.handle_look(minute(62), true, Some(minute(5))));
    }

    #[test]
    fn proof_and_good_reasons_keep_it_quiet() {
        let mut dog = Watchdog::new(Duration::from_secs(300), minute(0));
        assert!(!dog.handle_look(minute(100), true, Some(minute(99))));
        assert!(!dog.handle_look(minute(500), false, Some(minute(99))), "switched off, or no network");
        assert!(!dog.handle_look(minute(520), true, None));
    }

    #[test]
    fn a_long_back_off_gets_its_time() {
        let mut dog = Watchdog::new(Duration::from_secs(3600), minute(0));
        assert!(!dog.handle_look(minute(180), true, None));
        assert!(dog.handle_look(minute(181), true, None));
    }
}
