//! What the owner may ask of the pairing state, checked against it and turned into a transaction. A core.
//!
//! A [`Planned`] value cannot be looked into: only the agent's commit opens it, after the transaction is in the store.
//! So an answer cannot be given for something that is not on flash, and a refusal has changed nothing.

use core::time::Duration;

use super::code::Code;
use super::ledger::{DEVICES_MAX, Ledger, USERS_MAX};
use super::record::{
    Change, CloudSettings, Device, DeviceId, DeviceState, EMAIL_MAX, Ended, Label, Reach, Transaction, User,
    UserName,
};
use crate::clock::Now;
use crate::random::Random;
use crate::units::UnixSeconds;

/// Shortest validity of a code.
pub const TTL_MIN: Duration = Duration::from_secs(5 * 60);
/// Longest validity of a code, and the usual one.
pub const TTL_MAX: Duration = Duration::from_secs(48 * 3600);
/// How long a code that came to nothing stays in the list.
pub const ENDED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// A transaction and what may be said once it is in the store.
#[derive(Debug)]
#[must_use = "nothing has happened until it is committed"]
pub struct Planned<T> {
    changes: Vec<Change>,
    value: T,
}

impl<T> Planned<T> {
    /// `changes`, and what they mean to the one who asked.
    pub const fn new(changes: Vec<Change>, value: T) -> Self {
        Self { changes, value }
    }

    /// Whether there is anything to write.
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Opens the plan: `commit` gets the transaction and must have it in the store when it returns `Ok`.
    ///
    /// # Errors
    /// Those of `commit`; the value is then never seen.
    pub fn carry_out<E>(
        self,
        now: &Now,
        floor: Option<UnixSeconds>,
        commit: impl FnOnce(Transaction) -> Result<(), E>,
    ) -> Result<T, E> {
        if !self.changes.is_empty() {
            commit(Transaction { when: now.stamp(), floor, changes: self.changes })?;
        }
        Ok(self.value)
    }
}

/// A paired device leaves by itself: nobody has to be told. One record, which takes its way in away, and so is sealed.
pub fn leave(id: DeviceId) -> Planned<DeviceId> {
    Planned::new(vec![Change::Revoked(id), Change::Vanished(id)], id)
}

/// A paired device gives itself another name; nothing is written if it is called that already. The value is whether it is new.
///
/// # Errors
/// `DeviceUnknown`: no paired device has this entry (any more).
pub fn rename(ledger: &Ledger, id: DeviceId, name: Label) -> Result<Planned<bool>, Refusal> {
    match ledger.device(id).map(|d| &d.state) {
        Some(DeviceState::Paired(paired)) if paired.name == name => Ok(Planned::new(Vec::new(), false)),
        Some(DeviceState::Paired(_)) => Ok(Planned::new(vec![Change::Renamed { id, name }], true)),
        Some(DeviceState::Pending { .. } | DeviceState::Revoked { .. } | DeviceState::Ended { .. })
        | None => Err(Refusal::DeviceUnknown),
    }
}

/// Why a request about users, devices or codes is refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such user.
    #[error("there is no such user")]
    UserUnknown,
    /// No such device entry.
    #[error("there is no such device entry")]
    DeviceUnknown,
    /// The user table is full.
    #[error("all {USERS_MAX} places for users are taken")]
    UsersFull,
    /// The device table is full.
    #[error("all {DEVICES_MAX} places for devices are taken")]
    DevicesFull,
    /// The validity asked for is out of range.
    #[error("a code is valid from 5 minutes to 48 hours")]
    TtlOutOfRange,
    /// The address is too long or has no `@`.
    #[error("an e-mail address has an @ and at most {EMAIL_MAX} bytes")]
    BadEmail,
    /// The entry has no code that could be shown.
    #[error("the device is not waiting for a code")]
    NotPending,
}

/// A code, safely in the store, with everything that belongs to it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The new entry.
    pub device: DeviceId,
    /// Whose it will be.
    pub user: UserName,
    /// The code itself.
    pub code: Code,
    /// How long it is valid, from now.
    pub valid_for: Duration,
    /// From where it can be used.
    pub reach: Reach,
}

/// Plans a code for `user`. The user's other unused entries make room for it unless `keep_others`.
///
/// # Errors
/// `UserUnknown`, `TtlOutOfRange`, `DevicesFull`.
pub fn issue(
    ledger: &Ledger,
    user: &UserName,
    ttl: Duration,
    keep_others: bool,
    random: &mut dyn Random,
) -> Result<Planned<Issued>, Refusal> {
    let gone = |d: &Device| !keep_others && d.user == *user;
    mint(ledger, user, ttl, Reach::Anywhere, &gone, random)
}

/// Plans a code for `user` that can be used on the LAN only. It takes the place of the one before it of that kind, and leaves
/// alone what the owner made.
///
/// # Errors
/// `UserUnknown`, `TtlOutOfRange`, `DevicesFull`.
pub fn issue_nearby(
    ledger: &Ledger,
    user: &UserName,
    ttl: Duration,
    random: &mut dyn Random,
) -> Result<Planned<Issued>, Refusal> {
    mint(ledger, user, ttl, Reach::Lan, &|d| d.reach == Reach::Lan, random)
}

/// The unused entries that `gone` selects make room.
fn mint(
    ledger: &Ledger,
    user: &UserName,
    ttl: Duration,
    reach: Reach,
    gone: &dyn Fn(&Device) -> bool,
    random: &mut dyn Random,
) -> Result<Planned<Issued>, Refusal> {
    if ledger.user(user).is_none() {
        return Err(Refusal::UserUnknown);
    }
    if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Err(Refusal::TtlOutOfRange);
    }
    let replaced = ledger.devices().iter().filter(|d| d.state.is_unused() && gone(d));
    let mut changes: Vec<Change> = replaced.map(|d| Change::Vanished(d.id)).collect();
    if ledger.devices().len() - changes.len() >= DEVICES_MAX {
        return Err(Refusal::DevicesFull);
    }
    let code = fresh_code(ledger, random);
    let device = ledger.next_device();
    let ttl_s = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
    changes.push(Change::Issued { id: device, user: user.clone(), code: code.clone(), ttl_s });
    if reach == Reach::Lan {
        changes.push(Change::Nearby(device));
    }
    Ok(Planned::new(changes, Issued { device, user: user.clone(), code, valid_for: ttl, reach }))
}

/// A code whose mailbox no other code of this NAS uses.
fn fresh_code(ledger: &Ledger, random: &mut dyn Random) -> Code {
    let taken = |code: &Code| {
        ledger.devices().iter().any(|d| match &d.state {
            DeviceState::Pending { code: other, .. } => other.rendezvous() == code.rendezvous(),
            DeviceState::Paired(paired) => paired.finish.rendezvous == code.rendezvous(),
            DeviceState::Revoked { .. } | DeviceState::Ended { .. } => false,
        })
    };
    // At most 64 of 33 million mailboxes are taken: a second draw is already unlikely, a tenth cannot be seen.
    let mut code = Code::mint(random);
    for _ in 0..10 {
        if !taken(&code) {
            break;
        }
        code = Code::mint(random);
    }
    code
}

/// Plans the removal of one entry, in whatever state it is.
///
/// # Errors
/// `DeviceUnknown`.
pub fn remove_device(ledger: &Ledger, id: DeviceId) -> Result<Planned<DeviceId>, Refusal> {
    let device = ledger.device(id).ok_or(Refusal::DeviceUnknown)?;
    let change = match device.state {
        // The device is told when it can be reached.
        DeviceState::Paired(_) => Change::Revoked(id),
        // Removed once more by an owner who does not want to wait for that.
        DeviceState::Revoked { .. } | DeviceState::Pending { .. } | DeviceState::Ended { .. } => {
            Change::Vanished(id)
        }
    };
    Ok(Planned::new(vec![change], id))
}

/// Plans the removal of every unused entry, of one user or of all; the value is their ids.
///
/// # Errors
/// `UserUnknown`.
pub fn remove_unused(ledger: &Ledger, user: Option<&UserName>) -> Result<Planned<Vec<DeviceId>>, Refusal> {
    if user.is_some_and(|name| ledger.user(name).is_none()) {
        return Err(Refusal::UserUnknown);
    }
    let unused =
        ledger.devices().iter().filter(|d| d.state.is_unused() && user.is_none_or(|name| d.user == *name));
    let ids: Vec<DeviceId> = unused.map(|d| d.id).collect();
    Ok(Planned::new(ids.iter().copied().map(Change::Vanished).collect(), ids))
}

/// Plans that `name` is a user, with this address; nothing is written if that is so already. The value is whether
/// the user is new.
///
/// # Errors
/// `UsersFull`, `BadEmail`.
pub fn put_user(ledger: &Ledger, name: &UserName, email: Option<&str>) -> Result<Planned<bool>, Refusal> {
    let email = match email {
        Some(text) if text.contains('@') && !text.chars().any(char::is_control) => {
            Some(heapless::String::try_from(text).map_err(|_| Refusal::BadEmail)?)
        }
        Some(_) => return Err(Refusal::BadEmail),
        None => None,
    };
    let user = User { name: name.clone(), email };
    match ledger.user(name) {
        Some(known) if *known == user => Ok(Planned::new(Vec::new(), false)),
        Some(_) => Ok(Planned::new(vec![Change::UserPut(user)], false)),
        None if ledger.users().len() >= USERS_MAX => Err(Refusal::UsersFull),
        None => Ok(Planned::new(vec![Change::UserPut(user)], true)),
    }
}

/// Plans that `name` is no user any more: its devices are revoked, its unused entries vanish.
///
/// # Errors
/// `UserUnknown`.
pub fn remove_user(ledger: &Ledger, name: &UserName) -> Result<Planned<()>, Refusal> {
    ledger.user(name).ok_or(Refusal::UserUnknown)?;
    Ok(Planned::new(vec![Change::UserRemoved(name.clone())], ()))
}

/// Plans the owner's cloud settings; nothing is written if they are that already.
pub fn set_cloud(ledger: &Ledger, settings: CloudSettings) -> Planned<()> {
    if ledger.cloud() == Some(&settings) {
        return Planned::new(Vec::new(), ());
    }
    Planned::new(vec![Change::Cloud(settings)], ())
}

/// Plans the end of all pairings; the value is how many entries that touches.
pub fn reset_pairings(ledger: &Ledger) -> Planned<usize> {
    let change = |d: &super::record::Device| match d.state {
        DeviceState::Paired(_) => Some(Change::Revoked(d.id)),
        DeviceState::Pending { .. } | DeviceState::Ended { .. } => Some(Change::Vanished(d.id)),
        DeviceState::Revoked { .. } => None,
    };
    let changes: Vec<Change> = ledger.devices().iter().filter_map(change).collect();
    let count = changes.len();
    Planned::new(changes, count)
}

/// How long the code of a pending entry is still valid; zero when it is over.
pub fn remaining(state: &DeviceState, now: &Now) -> Option<Duration> {
    match state {
        DeviceState::Pending { since, ttl_s, .. } => {
            Some(Duration::from_secs(u64::from(*ttl_s)).saturating_sub(now.age(since).certain()))
        }
        DeviceState::Paired(_) | DeviceState::Revoked { .. } | DeviceState::Ended { .. } => None,
    }
}

/// What time alone brings about: codes expire, and what came to nothing is purged. Empty if nothing is due.
pub fn housekeeping(ledger: &Ledger, now: &Now) -> Planned<()> {
    let due = |d: &super::record::Device| match &d.state {
        DeviceState::Pending { .. } if remaining(&d.state, now) == Some(Duration::ZERO) => {
            Some(Change::Ended { id: d.id, how: Ended::Expired })
        }
        DeviceState::Ended { since, .. } if now.age(since).certain() >= ENDED_KEPT => {
            Some(Change::Vanished(d.id))
        }
        DeviceState::Pending { .. }
        | DeviceState::Paired(_)
        | DeviceState::Revoked { .. }
        | DeviceState::Ended { .. } => None,
    };
    Planned::new(ledger.devices().iter().filter_map(due).collect(), ())
}

/// How long until [`housekeeping`] has something to do; `None` if never.
pub fn next_housekeeping(ledger: &Ledger, now: &Now) -> Option<Duration> {
    let wait = |d: &super::record::Device| match &d.state {
        DeviceState::Pending { .. } => remaining(&d.state, now),
        DeviceState::Ended { since, .. } => Some(ENDED_KEPT.saturating_sub(now.age(since).certain())),
        DeviceState::Paired(_) | DeviceState::Revoked { .. } => None,
    };
    ledger.devices().iter().filter_map(wait).min()
}
