//! How many knocks are looked at: each costs a signature check, and strangers can send them. A core.

use core::time::Duration;

use super::ledger::DEVICES_MAX;
use super::record::DeviceId;
use crate::units::Mono;

/// Knocks in one name that are looked at in a second, and of all strangers together: a name can be borrowed, and the owners of the
/// others are to be heard.
const EACH: usize = 5;

/// Those of the present second that were looked at.
#[derive(Debug, Default)]
pub struct Knocks {
    since: Mono,
    /// Whom each named; nobody is all strangers.
    heard: heapless::Vec<Option<DeviceId>, { EACH * (DEVICES_MAX + 1) }>,
}

impl Knocks {
    /// Whether a knock is to be looked at. `who`: the device that it names, whether it is that one or not.
    pub fn allows(&mut self, now: Mono, who: Option<DeviceId>) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            *self = Self { since: now, ..Self::default() };
        }
        self.heard.iter().filter(|other| **other == who).count() < EACH && self.heard.push(who).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_strangers_or_in_one_name_leaves_the_others_heard() {
        let mut knocks = Knocks::default();
        let now = Mono::from_millis(5_000);
        let (one, other) = (DeviceId(1), DeviceId(2));
        let heard = |knocks: &mut Knocks, who| (0..1000).filter(|_| knocks.allows(now, who)).count();
        assert_eq!(heard(&mut knocks, None), 5);
        assert_eq!(heard(&mut knocks, Some(one)), 5);
        assert!(knocks.allows(now, Some(other)));
        assert!(!knocks.allows(now, None) && knocks.allows(now.after(Duration::from_secs(1)), None));
    }
}
