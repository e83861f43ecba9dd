//! The pairing state: transactions folded to users, devices and settings. A core.
//!
//! The ledger only ever changes by [`Ledger::apply`], which the agent calls for what is safely in the store, so what is
//! in memory is what a restart would find. An impossible step means that the store is not what was written.

use serde::{Deserialize, Serialize};

use super::record::{
    Change, CloudSettings, Device, DeviceId, DeviceState, Ended, Paired, Reach, Transaction, User, UserName,
};
use crate::clock::Stamp;
use crate::identity::KeyId;
use crate::units::UnixSeconds;

/// Users a NAS can have here. With [`DEVICES_MAX`] it keeps the whole state below 32 KiB, half a segment.
pub const USERS_MAX: usize = 32;
/// Device entries in any state. When the table is full, a new code needs one to be removed first.
pub const DEVICES_MAX: usize = 64;
/// Largest encoded transaction: a frame of the store.
pub const TRANSACTION_MAX: usize = 4096;
/// Largest part of a snapshot.
pub const PART_MAX: usize = 1024;

/// A step that does not fit the state before it, or bytes that are no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Impossible {
    /// The bytes are not a transaction of this version.
    #[error("the record cannot be read")]
    Unreadable,
    /// It names a user or device that is not there, or not in the state the step starts from.
    #[error("the record does not fit the state before it")]
    OutOfStep,
    /// More users or devices than the tables hold.
    #[error("the record overflows a table")]
    Overflow,
}

/// All pairing state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    users: heapless::Vec<User, USERS_MAX>,
    devices: heapless::Vec<Device, DEVICES_MAX>,
    next_device: u32,
    cloud: Option<CloudSettings>,
    newest: Option<Stamp>,
    floor: Option<UnixSeconds>,
}

impl Ledger {
    /// Users in the order in which they came.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// The user `name`.
    pub fn user(&self, name: &UserName) -> Option<&User> {
        self.users.iter().find(|u| u.name == *name)
    }

    /// Device entries, oldest first.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The entry `id`.
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.iter().find(|d| d.id == id)
    }

    /// The paired or revoked entry whose key has the id `key`.
    pub fn device_by_key(&self, key: &KeyId) -> Option<&Device> {
        self.devices.iter().find(|d| match &d.state {
            DeviceState::Paired(paired) => paired.key.id() == *key,
            DeviceState::Revoked { key: public, .. } => public.id() == *key,
            DeviceState::Pending { .. } | DeviceState::Ended { .. } => false,
        })
    }

    /// The id the next device gets.
    pub const fn next_device(&self) -> DeviceId {
        DeviceId(self.next_device.saturating_add(1))
    }

    /// What the owner set about the cloud, if ever.
    pub const fn cloud(&self) -> Option<&CloudSettings> {
        self.cloud.as_ref()
    }

    /// The last trusted time the store knows of.
    pub const fn floor(&self) -> Option<UnixSeconds> {
        self.floor
    }

    /// Entries in a state that `pick` selects.
    pub fn count(&self, pick: impl Fn(&DeviceState) -> bool) -> usize {
        self.devices.iter().filter(|d| pick(&d.state)).count()
    }

    /// Reads one transaction from the store and applies it.
    ///
    /// # Errors
    /// [`Impossible`]; the ledger is then not to be used any more.
    pub fn replay(&mut self, payload: &[u8]) -> Result<(), Impossible> {
        let transaction = decode(payload)?;
        self.apply(&transaction)
    }

    /// Applies one transaction.
    ///
    /// # Errors
    /// [`Impossible`]; the ledger is then not to be used any more (callers apply to a copy or stop).
    pub fn apply(&mut self, transaction: &Transaction) -> Result<(), Impossible> {
        for change in &transaction.changes {
            self.step(change, transaction.when)?;
        }
        self.newest = Some(transaction.when);
        self.floor = self.floor.max(transaction.floor).max(transaction.when.at());
        Ok(())
    }

    fn step(&mut self, change: &Change, when: Stamp) -> Result<(), Impossible> {
        match change {
            Change::NextDevice(id) => {
                // It never goes back, or an id would be given twice.
                let last = id.0.checked_sub(1).filter(|last| *last >= self.next_device);
                let highest = self.devices.iter().map(|d| d.id.0).max().unwrap_or(0);
                self.next_device = last.filter(|last| *last >= highest).ok_or(Impossible::OutOfStep)?;
            }
            Change::Restored(device) => self.restore(device)?,
            Change::UserPut(user) => self.put_user(user)?,
            Change::UserRemoved(name) => self.remove_user(name, when)?,
            Change::Issued { id, user, code, ttl_s } => {
                if *id != self.next_device() || self.user(user).is_none() {
                    return Err(Impossible::OutOfStep);
                }
                self.next_device = id.0;
                let state = DeviceState::Pending { code: code.clone(), since: when, ttl_s: *ttl_s };
                self.push(Device { id: *id, user: user.clone(), state, reach: Reach::Anywhere })?;
            }
            Change::Redeemed { id, key, name, platform, finish } => {
                let (name, platform, finish) = (name.clone(), platform.clone(), finish.clone());
                let paired = Paired { key: *key, name, platform, since: when, finish };
                let device = self.pending(*id)?;
                device.state = DeviceState::Paired(paired);
                device.reach = Reach::Anywhere;
            }
            Change::Ended { id, how } => {
                self.pending(*id)?.state = DeviceState::Ended { how: *how, since: when };
            }
            Change::Revoked(id) => {
                let state = self.state_mut(*id)?;
                *state = revoked(state, when).ok_or(Impossible::OutOfStep)?;
            }
            Change::Vanished(id) => {
                self.state_mut(*id)?;
                self.devices.retain(|d| d.id != *id);
            }
            Change::Cloud(settings) => self.cloud = Some(settings.clone()),
            Change::Renamed { id, name } => match self.state_mut(*id)? {
                DeviceState::Paired(paired) => paired.name = name.clone(),
                DeviceState::Pending { .. } | DeviceState::Revoked { .. } | DeviceState::Ended { .. } => {
                    return Err(Impossible::OutOfStep);
                }
            },
            Change::Nearby(id) => {
                let device = self.device_mut(*id)?;
                if !device.state.is_unused() {
                    return Err(Impossible::OutOfStep);
                }
                device.reach = Reach::Lan;
            }
        }
        Ok(())
    }

    fn push(&mut self, device: Device) -> Result<(), Impossible> {
        self.devices.push(device).map_err(|_| Impossible::Overflow)
    }

    fn restore(&mut self, device: &Device) -> Result<(), Impossible> {
        if self.device(device.id).is_some() || self.user(&device.user).is_none() && !is_revoked(&device.state)
        {
            return Err(Impossible::OutOfStep);
        }
        self.push(device.clone())
    }

    fn put_user(&mut self, user: &User) -> Result<(), Impossible> {
        if let Some(known) = self.users.iter_mut().find(|u| u.name == user.name) {
            *known = user.clone();
            return Ok(());
        }
        self.users.push(user.clone()).map_err(|_| Impossible::Overflow)
    }

    fn remove_user(&mut self, name: &UserName, when: Stamp) -> Result<(), Impossible> {
        if self.user(name).is_none() {
            return Err(Impossible::OutOfStep);
        }
        self.users.retain(|u| u.name != *name);
        self.devices.retain(|d| d.user != *name || !d.state.is_unused());
        for device in self.devices.iter_mut().filter(|d| d.user == *name) {
            if let Some(state) = revoked(&device.state, when) {
                device.state = state;
            }
        }
        Ok(())
    }

    fn device_mut(&mut self, id: DeviceId) -> Result<&mut Device, Impossible> {
        self.devices.iter_mut().find(|d| d.id == id).ok_or(Impossible::OutOfStep)
    }

    fn state_mut(&mut self, id: DeviceId) -> Result<&mut DeviceState, Impossible> {
        self.device_mut(id).map(|d| &mut d.state)
    }

    fn pending(&mut self, id: DeviceId) -> Result<&mut Device, Impossible> {
        let device = self.device_mut(id)?;
        match device.state {
            DeviceState::Pending { .. } => Ok(device),
            DeviceState::Paired(_) | DeviceState::Revoked { .. } | DeviceState::Ended { .. } => {
                Err(Impossible::OutOfStep)
            }
        }
    }

    /// The parts of a snapshot: transactions of at most [`PART_MAX`] bytes that rebuild this ledger when replayed.
    ///
    /// # Errors
    /// Those of `part`.
    pub fn snapshot<E>(&self, part: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(when) = self.newest else { return Ok(()) };
        let users = self.users.iter().cloned().map(Change::UserPut);
        let devices = self.devices.iter().flat_map(|d| {
            let near = (d.reach == Reach::Lan).then_some(Change::Nearby(d.id));
            [Some(Change::Restored(d.clone())), near].into_iter().flatten()
        });
        let rest =
            [Change::NextDevice(self.next_device())].into_iter().chain(self.cloud.clone().map(Change::Cloud));
        let mut open = Transaction { when, floor: self.floor, changes: Vec::new() };
        let mut encoded = Vec::new();
        for change in users.chain(devices).chain(rest) {
            open.changes.push(change);
            let longer = encode(&open);
            if longer.len() > PART_MAX {
                part(&encoded)?;
                open.changes.drain(..open.changes.len().saturating_sub(1));
                encoded = encode(&open);
            } else {
                encoded = longer;
            }
        }
        part(&encoded)
    }
}

fn is_revoked(state: &DeviceState) -> bool {
    match state {
        DeviceState::Revoked { .. } => true,
        DeviceState::Pending { .. } | DeviceState::Paired(_) | DeviceState::Ended { .. } => false,
    }
}

fn revoked(state: &DeviceState, when: Stamp) -> Option<DeviceState> {
    match state {
        DeviceState::Paired(paired) => {
            Some(DeviceState::Revoked { key: paired.key, name: paired.name.clone(), since: when })
        }
        DeviceState::Pending { .. } | DeviceState::Revoked { .. } | DeviceState::Ended { .. } => None,
    }
}

/// A transaction as bytes: postcard of its fields.
pub fn encode(transaction: &Transaction) -> Vec<u8> {
    // postcard into a growing vector fails for no type that can be a record.
    postcard::to_allocvec(transaction).unwrap_or_default()
}

/// What a payload says, in words, for people who look into a store; `None` if it cannot be read. Addresses and keys are left out.
pub fn words(payload: &[u8]) -> Option<String> {
    let transaction = decode(payload).ok()?;
    let all: Vec<String> = transaction.changes.iter().map(change_words).collect();
    Some(all.join(", "))
}

fn change_words(change: &Change) -> String {
    match change {
        Change::NextDevice(id) => format!("the next entry is {id}"),
        Change::Restored(device) => format!("{} of {} is {}", device.id, device.user, device.state.name()),
        Change::UserPut(user) => format!("user {}", user.name),
        Change::UserRemoved(name) => format!("user {name} removed"),
        Change::Issued { id, user, .. } => format!("{id}: a code for {user}"),
        Change::Redeemed { id, .. } => format!("{id} paired"),
        Change::Ended { id, how: Ended::Expired } => format!("{id} expired"),
        Change::Ended { id, how: Ended::Burned } => format!("{id} burned"),
        Change::Revoked(id) => format!("{id} revoked"),
        Change::Vanished(id) => format!("{id} gone"),
        Change::Cloud(_) => "the cloud's settings".to_owned(),
        Change::Renamed { id, .. } => format!("{id} renamed"),
        Change::Nearby(id) => format!("{id} on the LAN only"),
    }
}

/// Reads a transaction; every byte must belong to it.
///
/// # Errors
/// [`Impossible::Unreadable`].
pub fn decode(payload: &[u8]) -> Result<Transaction, Impossible> {
    // Not even a hostile length makes `Vec<Change>` large: serde reserves at most what a few KiB of input can fill.
    match postcard::take_from_bytes(payload) {
        Ok((transaction, [])) => Ok(transaction),
        Ok(_) | Err(_) => Err(Impossible::Unreadable),
    }
}
