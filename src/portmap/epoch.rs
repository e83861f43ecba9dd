//! Whether a router has forgotten its mappings, from the seconds that its answers count (RFC 6887, 8.5; RFC
//! 6886, 3.6). A core.

use crate::units::Mono;

/// An answer's count of seconds, and when the answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The router's count.
    pub seconds: u32,
    /// When it came.
    pub at: Mono,
}

impl Epoch {
    /// Whether the router lost its state between `self` and the `later` answer: its count went back, or went
    /// on at another pace than our clock by more than 2 s and a sixteenth. Then every mapping is to be asked
    /// for again.
    pub const fn is_lost(self, later: Self) -> bool {
        if (later.seconds as u64) + 1 < self.seconds as u64 {
            return true;
        }
        let client = later.at.since(self.at).as_secs();
        let server = later.seconds.saturating_sub(self.seconds) as u64;
        client + 2 < server - server / 16 || server + 2 < client - client / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(before: (u32, u64), later: (u32, u64), expect: bool) {
        let epoch = |(seconds, at): (u32, u64)| Epoch { seconds, at: Mono::from_millis(at * 1000) };
        assert_eq!(epoch(before).is_lost(epoch(later)), expect);
    }

    #[test]
    fn a_count_that_goes_on_is_no_loss() {
        check((100, 10), (100, 10), false);
        check((100, 10), (1900, 1810), false);
        // One second back is a reordered answer; a sixteenth and two seconds are drift.
        check((100, 10), (99, 10), false);
        check((100, 10), (1690 + 100, 1810), false);
    }

    #[test]
    fn a_restart_is_a_loss() {
        check((100_000, 10), (30, 1810), true);
        check((100, 10), (98, 10), true);
        // It restarted, and has been up for longer than before; or its clock was set.
        check((100, 10), (500, 1810), true);
        check((100, 10), (9000, 1810), true);
    }

    proptest! {
        #[test]
        fn an_even_pace_is_never_a_loss(
            start in 0u32..1_000_000, at in 0u64..1_000_000, went in 0u32..1_000_000,
        ) {
            check((start, at), (start + went, at + u64::from(went)), false);
        }

        #[test]
        fn nothing_overflows(a: u32, b: u32, x: u64, y: u64) {
            let _ = Epoch { seconds: a, at: Mono::from_millis(x) }
                .is_lost(Epoch { seconds: b, at: Mono::from_millis(y) });
        }
    }
}
