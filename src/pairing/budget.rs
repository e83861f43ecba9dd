//! How many records a day may reach the flash. A core: a token bucket.

use core::time::Duration;

use crate::units::Mono;

/// Records that can be written in a row.
pub const BURST: u32 = 200;
/// Records that come back in a day.
pub const A_DAY: u32 = 500;

/// The bucket.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// In thousandths of a record.
    left: u64,
    at: Mono,
}

impl Budget {
    /// Full.
    pub const fn new(now: Mono) -> Self {
        Self { left: BURST as u64 * 1000, at: now }
    }

    /// Takes one record, if there is one.
    pub fn take(&mut self, now: Mono) -> bool {
        self.refill(now);
        let enough = self.left >= 1000;
        if enough {
            self.left -= 1000;
        }
        enough
    }

    fn refill(&mut self, now: Mono) {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let day = u64::try_from(Duration::from_secs(86_400).as_millis()).unwrap_or(u64::MAX);
        // Thousandths come back at A_DAY * 1000 a day; the rest of the division is kept by not moving `at` too far.
        let back = passed.saturating_mul(u64::from(A_DAY) * 1000) / day;
        if back > 0 {
            self.left = self.left.saturating_add(back).min(u64::from(BURST) * 1000);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_five_hundred_a_day() {
        let mut now = Mono::from_millis(0);
        let mut budget = Budget::new(now);
        let taken = (0..1000).filter(|_| budget.take(now)).count();
        assert_eq!(taken, BURST as usize);
        let mut written = 0;
        for _ in 0..24 * 60 {
            now = now.after(Duration::from_secs(60));
            written += u32::from(budget.take(now));
        }
        assert!((495..=500).contains(&written), "{written}");
    }
}
