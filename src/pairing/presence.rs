//! When each device was last heard of. In memory only: flash is not written for it. A core.

use super::ledger::{DEVICES_MAX, Ledger};
use super::record::DeviceId;
use crate::units::Mono;

/// Last signs of life, one for each device.
#[derive(Debug, Default)]
pub struct LastSeen(heapless::Vec<(DeviceId, Mono), DEVICES_MAX>);

impl LastSeen {
    /// `device` was heard of just now.
    pub fn note(&mut self, device: DeviceId, now: Mono) {
        match self.0.iter_mut().find(|(id, _)| *id == device) {
            Some((_, at)) => *at = now,
            // There are as many places as devices, and `tidy` frees those of entries that are gone.
            None => drop(self.0.push((device, now))),
        }
    }

    /// When `device` was last heard of since the agent started.
    pub fn of(&self, device: DeviceId) -> Option<Mono> {
        self.0.iter().find(|(id, _)| *id == device).map(|(_, at)| *at)
    }

    /// Forgets entries that are gone.
    pub fn tidy(&mut self, ledger: &Ledger) {
        self.0.retain(|(id, _)| ledger.device(*id).is_some());
    }
}
