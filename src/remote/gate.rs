//! Who may come in: the keys of the paired devices, as handshakes read them and the agent's loop writes them. A core.

use std::sync::{Arc, Mutex, PoisonError};

use super::channel::Admits;
use crate::identity::PublicKey;
use crate::pairing::ledger::{DEVICES_MAX, Ledger};
use crate::pairing::record::{DeviceId, DeviceState, UserName};

/// A device that may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its key.
    pub key: PublicKey,
    /// Its entry.
    pub device: DeviceId,
    /// Whose it is.
    pub user: UserName,
}

/// The table. A mutex, because rustls wants its verifiers to be shareable; there is one thread.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<heapless::Vec<Admitted, DEVICES_MAX>>>);

impl Gate {
    /// Brings the table in line with the ledger: the paired devices, or nobody while it is shut. Whether anything changed.
    pub fn update(&self, ledger: &Ledger, is_open: bool) -> bool {
        let paired = ledger.devices().iter().filter(|_| is_open).filter_map(|d| match &d.state {
            DeviceState::Paired(paired) => {
                Some(Admitted { key: paired.key, device: d.id, user: d.user.clone() })
            }
            DeviceState::Pending { .. } | DeviceState::Revoked { .. } | DeviceState::Ended { .. } => None,
        });
        let fresh: heapless::Vec<Admitted, DEVICES_MAX> = paired.collect();
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *table != fresh;
        *table = fresh;
        is_new
    }

    /// The device with this key, while it may come in.
    pub fn find(&self, key: &PublicKey) -> Option<Admitted> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.iter().find(|a| a.key == *key).cloned()
    }
}

impl Admits for Gate {
    fn admits(&self, key: &PublicKey) -> bool {
        self.find(key).is_some()
    }
}
