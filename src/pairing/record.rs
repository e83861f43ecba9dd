//! What the store holds: users, devices and settings, and the changes to them. A core.
//!
//! One frame of the store is one [`Transaction`]. Changes are small and say what happened, not how the table looks
//! afterwards, so that every transaction fits a frame and a replay checks each step. Field order and variant order are
//! the format on flash (docs/store-format.md): variants are only ever added at the end.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::code::{Code, Rendezvous};
use crate::clock::Stamp;
use crate::identity::PublicKey;
use crate::store::log::Effect;
use crate::units::UnixSeconds;

/// Longest name of a user in bytes: what Linux allows for an account (useradd(8)).
pub const USER_NAME_MAX: usize = 32;
/// Longest name and platform of a device in bytes.
pub const DEVICE_NAME_MAX: usize = 48;
/// Longest e-mail address that is kept (RFC 5321 allows 254; the state has to fit a small flash).
pub const EMAIL_MAX: usize = 96;
/// Override DNS servers.
pub const DNS_MAX: usize = 3;

/// A name given to a user of the NAS: `[A-Za-z0-9._-]`, 1 to 32 characters, not starting with `-` or `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "heapless::String<USER_NAME_MAX>")]
pub struct UserName(heapless::String<USER_NAME_MAX>);

/// A text that is no user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user name has 1 to 32 characters of A-Z a-z 0-9 . _ - and starts with a letter, a digit or _")]
pub struct NotAUserName;

impl core::str::FromStr for UserName {
    type Err = NotAUserName;

    fn from_str(text: &str) -> Result<Self, NotAUserName> {
        let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !starts || !text.bytes().all(fit) {
            return Err(NotAUserName);
        }
        heapless::String::try_from(text).map(Self).map_err(|_| NotAUserName)
    }
}

impl TryFrom<heapless::String<USER_NAME_MAX>> for UserName {
    type Error = NotAUserName;

    /// What is read from the flash must be a name as well.
    fn try_from(text: heapless::String<USER_NAME_MAX>) -> Result<Self, NotAUserName> {
        text.parse()
    }
}

impl UserName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A free text from outside, cut to what fits and rid of control characters.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Label(heapless::String<DEVICE_NAME_MAX>);

impl Label {
    /// Keeps the first characters that fit; control characters and bidirectional overrides become blanks, so that
    /// what a device calls itself cannot dress up as something else on a terminal or a page.
    pub fn sanitised(text: &str) -> Self {
        let mut kept = heapless::String::new();
        for c in text.trim().chars() {
            let hostile = c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if kept.push(if hostile { ' ' } else { c }).is_err() {
                break;
            }
        }
        Self(kept)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user of the NAS that devices belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The account's name.
    pub name: UserName,
    /// Personal: masked wherever it is shown.
    pub email: Option<heapless::String<EMAIL_MAX>>,
}

/// The local id of a device entry, from its birth on; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId(pub u32);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// A text that is no device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device id looks like d7")]
pub struct NotADeviceId;

impl core::str::FromStr for DeviceId {
    type Err = NotADeviceId;

    fn from_str(text: &str) -> Result<Self, NotADeviceId> {
        let digits = text.strip_prefix('d').ok_or(NotADeviceId)?;
        if digits.is_empty()
            || !digits.bytes().all(|b| b.is_ascii_digit())
            || (digits.len() > 1 && digits.starts_with('0'))
        {
            return Err(NotADeviceId);
        }
        digits.parse().map(Self).map_err(|_| NotADeviceId)
    }
}

/// How a code ended without a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Its time ran out.
    Expired,
    /// Too many wrong guesses.
    Burned,
}

/// What lets a phone that lost the last answer of its pairing ask for it again, across restarts of the agent: the key
/// that seals the answer, and the names by which the phone finds it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The mailbox of the pairing.
    pub rendezvous: Rendezvous,
    /// The phone's reply id.
    pub reply: [u8; 8],
    /// Seals what is sent to the device; good for nothing but this one answer.
    pub key: [u8; 32],
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finish(…)")
    }
}

/// A device that proved its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paired {
    /// Its identity; no secret.
    pub key: PublicKey,
    /// What it calls itself.
    pub name: Label,
    /// What it says it runs on.
    pub platform: Label,
    /// When it was paired.
    pub since: Stamp,
    /// How its pairing can still be finished.
    pub finish: Finish,
}

/// The state of a device entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceState {
    /// Waits for its code. Entered when the code is minted; left by pairing, expiry, burning or removal.
    Pending {
        /// The secret.
        code: Code,
        /// When it was minted.
        since: Stamp,
        /// How long it is valid.
        ttl_s: u32,
    },
    /// Proved its code. Left by removal on either side.
    Paired(Paired),
    /// Removed here; kept until the device knows or the owner removes the entry itself.
    Revoked {
        /// The device's identity, to tell it.
        key: PublicKey,
        /// What it called itself.
        name: Label,
        /// When it was removed.
        since: Stamp,
    },
    /// A code that came to nothing; purged after a day.
    Ended {
        /// How.
        how: Ended,
        /// When.
        since: Stamp,
    },
}

impl DeviceState {
    /// The word of the documents.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Paired(_) => "paired",
            Self::Revoked { .. } => "revoked",
            Self::Ended { how: Ended::Expired, .. } => "expired",
            Self::Ended { how: Ended::Burned, .. } => "burned",
        }
    }

    /// Whether the entry never became a device.
    pub const fn is_unused(&self) -> bool {
        match self {
            Self::Pending { .. } | Self::Ended { .. } => true,
            Self::Paired(_) | Self::Revoked { .. } => false,
        }
    }
}

/// From where an activation code can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// By every path.
    #[default]
    Anywhere,
    /// On the LAN only: somebody at the box pressed a button for it.
    Lan,
}

/// One entry of the device table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Local id.
    pub id: DeviceId,
    /// Whose it is.
    pub user: UserName,
    /// Where it stands.
    pub state: DeviceState,
    /// From where its code can be used, as long as it is unused. On flash it is a step of its own, [`Change::Nearby`], so that
    /// entries from before it existed read as they were written.
    #[serde(skip)]
    pub reach: Reach,
}

/// How devices may reach the NAS from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AccessMode {
    /// Try to map a port, use the broker otherwise.
    #[default]
    Automatic,
    /// The owner forwarded a port.
    Manual,
    /// Only through the broker.
    Relay,
}

impl AccessMode {
    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
            Self::Relay => "relay",
        }
    }
}

/// What the owner set about the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudSettings {
    /// Whether a session is wanted at all.
    pub enabled: bool,
    /// How devices may reach the NAS.
    pub mode: AccessMode,
    /// Override name servers; empty: the system's.
    pub dns: heapless::Vec<IpAddr, DNS_MAX>,
}

/// One step of the pairing state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Snapshot only: the next device id.
    NextDevice(DeviceId),
    /// Snapshot only: a whole entry.
    Restored(Device),
    /// A user appeared or its address changed.
    UserPut(User),
    /// A user left: paired devices become revoked, unused entries vanish.
    UserRemoved(UserName),
    /// A code was minted.
    Issued {
        /// Must be the next device id.
        id: DeviceId,
        /// Must exist.
        user: UserName,
        /// The secret.
        code: Code,
        /// How long it is valid.
        ttl_s: u32,
    },
    /// The pending device proved its code.
    Redeemed {
        /// Must be pending.
        id: DeviceId,
        /// Its identity.
        key: PublicKey,
        /// What it calls itself.
        name: Label,
        /// What it says it runs on.
        platform: Label,
        /// How its pairing can still be finished.
        finish: Finish,
    },
    /// The pending device's code ended.
    Ended {
        /// Must be pending.
        id: DeviceId,
        /// How.
        how: Ended,
    },
    /// The paired device was removed here and is still to be told.
    Revoked(DeviceId),
    /// The entry is gone: unused, told, or left by itself.
    Vanished(DeviceId),
    /// The owner's cloud settings.
    Cloud(CloudSettings),
    /// The device is called something else from now on.
    Renamed {
        /// Must be paired.
        id: DeviceId,
        /// What it calls itself.
        name: Label,
    },
    /// The code of the unused entry can be used on the LAN only.
    Nearby(DeviceId),
}

/// What is written in one frame: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// When. In a snapshot: the moment of the newest transaction in it.
    pub when: Stamp,
    /// The last trusted time that is known; raises the clock's floor at the next start.
    pub floor: Option<UnixSeconds>,
    /// The steps.
    pub changes: Vec<Change>,
}

impl Transaction {
    /// Whether it takes something away that must not come back: a device's way in, or a code that was used or burned. A code that
    /// expired does so again, and an entry that was only still to be told opens nothing.
    pub fn effect(&self) -> Effect {
        let takes = |change: &Change| match change {
            Change::UserRemoved(_)
            | Change::Redeemed { .. }
            | Change::Ended { how: Ended::Burned, .. }
            | Change::Revoked(_) => true,
            Change::NextDevice(_)
            | Change::Restored(_)
            | Change::UserPut(_)
            | Change::Issued { .. }
            | Change::Ended { how: Ended::Expired, .. }
            | Change::Vanished(_)
            | Change::Cloud(_)
            | Change::Renamed { .. }
            | Change::Nearby(_) => false,
        };
        if self.changes.iter().any(takes) { Effect::Takes } else { Effect::Gives }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_account_names() {
        for good in ["anna", "a", "_svc", "Anna.B-2", &"x".repeat(32)] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        for bad in ["", "-x", ".x", "a b", "ä", "a/b", "a\n", &"x".repeat(33)] {
            assert_eq!(bad.parse::<UserName>(), Err(NotAUserName), "{bad:?}");
        }
    }

    #[test]
    fn device_ids_have_one_spelling() {
        assert_eq!("d17".parse::<DeviceId>().unwrap(), DeviceId(17));
        for bad in ["", "d", "17", "d+1", "d01", "d4294967296", "D1"] {
            assert_eq!(bad.parse::<DeviceId>(), Err(NotADeviceId), "{bad:?}");
        }
    }

    #[test]
    fn labels_cannot_dress_up() {
        assert_eq!(Label::sanitised(" Anna's\x1b[2J phone\u{202e} ").as_str(), "Anna's [2J phone ");
        assert_eq!(Label::sanitised(&"ü".repeat(40)).as_str(), "ü".repeat(24));
    }
}
