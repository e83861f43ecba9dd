//! How many records a day may reach the flash. A core: a token bucket.

use core::time::Duration;

use crate::units::Mono;

/// Records that come back in a day, unless the configuration says otherwise.
pub const A_DAY: u32 = 500;

/// The bucket. It holds two fifths of a day: so many can be written in a row.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Records a day.
    a_day: u32,
    /// In thousandths of a record.
    left: u64,
    at: Mono,
}

impl Budget {
    /// Full.
    pub const fn new(a_day: u32, now: Mono) -> Self {
        Self { a_day, left: Self::full(a_day), at: now }
    }

    const fn full(a_day: u32) -> u64 {
        a_day as u64 * 2 / 5 * 1000
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
        // Thousandths come back at so many times 1000 a day; the rest of the division is kept by not moving `at` too far.
        let back = passed.saturating_mul(u64::from(self.a_day) * 1000) / day;
        if back > 0 {
            self.left = self.left.saturating_add(back).min(Self::full(self.a_day));
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
        let mut budget = Budget::new(A_DAY, now);
        let taken = (0..1000).filter(|_| budget.take(now)).count();
        assert_eq!(taken, 200);
        let mut written = 0;
        for _ in 0..24 * 60 {
            now = now.after(Duration::from_secs(60));
            written += u32::from(budget.take(now));
        }
        assert!((495..=500).contains(&written), "{written}");
    }
}
