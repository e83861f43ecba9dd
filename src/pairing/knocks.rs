//! How many knocks are looked at: each costs a signature check, and strangers can send them. A core.

use core::time::Duration;

use super::ledger::DEVICES_MAX;
use super::record::DeviceId;
use crate::units::Mono;

/// Knocks of strangers that are looked at in a second.
const STRANGERS: u32 = 5;
/// Knocks in the name of one device that are looked at in a second: a name can be borrowed, and its owner is to be heard.
const EACH: u32 = 5;

/// Counts knocks in the present second.
#[derive(Debug, Default)]
pub struct Knocks {
    since: Mono,
    strangers: u32,
    devices: heapless::Vec<(DeviceId, u32), DEVICES_MAX>,
}

impl Knocks {
    /// Whether a knock is to be looked at. `who`: the device that it names, whether it is that one or not.
    pub fn allows(&mut self, now: Mono, who: Option<DeviceId>) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            *self = Self { since: now, ..Self::default() };
        }
        let (count, most) = match who {
            None => (&mut self.strangers, STRANGERS),
            Some(device) => {
                if !self.devices.iter().any(|(d, _)| *d == device) && self.devices.push((device, 0)).is_err()
                {
                    return false;
                }
                let Some((_, count)) = self.devices.iter_mut().find(|(d, _)| *d == device) else {
                    return false;
                };
                (count, EACH)
            }
        };
        *count = count.saturating_add(1);
        *count <= most
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
