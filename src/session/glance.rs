//! Looks at the name servers during a wait. A leaf of this domain.

use super::backoff::FLOOR;
use crate::units::Mono;

/// While a wait goes on because somebody else answered at the broker's name: the name servers are looked at now and then, which
/// costs the broker nothing, so that a cure is noticed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// They had nothing to do with it.
    Never,
    /// The next one.
    At(Mono),
    /// They have been asked.
    UnderWay,
}

impl Glance {
    /// At `at`, but not so late that the attempt itself would follow at once.
    pub(super) fn at(at: Mono, until: Mono) -> Self {
        if at.after(FLOOR) < until { Self::At(at) } else { Self::Never }
    }

    /// One that is made now.
    pub(super) const fn begun(self) -> Self {
        match self {
            Self::At(_) => Self::UnderWay,
            Self::Never | Self::UnderWay => self,
        }
    }

    /// What is due first in a wait until then.
    pub(super) fn timeout(self, until: Mono) -> Mono {
        match self {
            Self::At(at) => at.min(until),
            Self::Never | Self::UnderWay => until,
        }
    }
}
