//! What a press of the reset button means, by how long it was. A core.
//!
//! The owner of a box may follow its vendor's manual. Western Digital's wants 4 seconds for password and network, and 40 seconds
//! for the settings (support.wdc.com, answers 14494 and 13983), so ours are weaker kin of these: what a finger that does that sets
//! off here is never more than the manual says. Between the steps a press means nothing, so that a
//! second too much or too few is no other step. Nothing happens before the button is let go, and nothing if it is not.

use core::time::Duration;

/// What a press sets off when the button is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A code for the preset user, for the LAN only.
    Pairing,
    /// The `connection` reset.
    Connection,
    /// The `pairings` reset.
    Pairings,
}

impl Step {
    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pairing => "pairing",
            Self::Connection => "connection",
            Self::Pairings => "pairings",
        }
    }
}

/// Each step from the first duration on, up to and without the second.
const STEPS: [(Duration, Duration, Step); 3] = [
    // Shorter is the bouncing of a contact (debounce-interval of gpio-keys is 5 ms unless a device tree says otherwise).
    (Duration::from_millis(50), Duration::from_secs(2), Step::Pairing),
    (Duration::from_secs(4), Duration::from_secs(20), Step::Connection),
    // Longer than a minute nobody holds it on purpose.
    (Duration::from_secs(40), Duration::from_secs(60), Step::Pairings),
];

/// What a press of this length means; `None`: nothing.
pub fn step(held: Duration) -> Option<Step> {
    STEPS.iter().find(|(from, to, _)| (*from..*to).contains(&held)).map(|(_, _, step)| *step)
}

/// The next length after `held` from which on a press means something else; `None`: never again.
pub fn next_change(held: Duration) -> Option<Duration> {
    STEPS.iter().flat_map(|(from, to, _)| [*from, *to]).find(|at| *at > held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_length_has_its_meaning() {
        for (ms, expect) in [
            (0, None),
            (49, None),
            (50, Some(Step::Pairing)),
            (1_999, Some(Step::Pairing)),
            (2_000, None),
            (3_999, None),
            (4_000, Some(Step::Connection)),
            (10_000, Some(Step::Connection)),
            (19_999, Some(Step::Connection)),
            (20_000, None),
            (39_999, None),
            (40_000, Some(Step::Pairings)),
            (59_999, Some(Step::Pairings)),
            (60_000, None),
            (3_600_000, None),
        ] {
            assert_eq!(step(Duration::from_millis(ms)), expect, "{ms} ms");
        }
    }

    proptest! {
        /// A finger that is a second off never does another step's work.
        #[test]
        fn a_second_more_or_less_is_never_another_step(ms in 0u64..70_000, off in 0u64..1_000) {
            let (one, other) = (step(Duration::from_millis(ms)), step(Duration::from_millis(ms + off)));
            prop_assert!(one.is_none() || other.is_none() || one == other);
        }

        #[test]
        fn the_meaning_changes_only_where_it_is_said(ms in 0u64..70_000) {
            let held = Duration::from_millis(ms);
            let until = next_change(held).unwrap_or(held + Duration::from_secs(3600));
            prop_assert!(until > held);
            prop_assert_eq!(step(until.saturating_sub(Duration::from_nanos(1))), step(held));
            if next_change(held).is_some() {
                prop_assert_ne!(step(until), step(held));
            }
        }
    }
}
