//! Signed short messages between a paired device and the NAS outside of pairing: a device asks where it stands, leaves,
//! or confirms that it was told of its removal. A core, both ends.
//!
//! The NAS's answer goes to the device's own topic. Everything is signed with the Ed25519 identities and names both
//! ends, so the broker can drop or repeat these messages but not make or change one. Repeating is harmless: asking
//! changes nothing, and who has left or was told is gone.

use serde::{Deserialize, Serialize};

use super::handshake::{Unfit, VERSION};
use super::ledger::Ledger;
use super::plan::{self, Planned};
use super::record::{Change, Device, DeviceId, DeviceState};
use crate::identity::{Identity, KeyId, PublicKey, Signature};

/// Longest message in bytes.
pub const NOTICE_MAX: usize = 256;

/// Chosen by the asker, repeated in the answer, so that an old answer is told from a new one.
pub type Nonce = [u8; 16];

/// What a device says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Say {
    /// Where do I stand?
    Hail,
    /// I leave: forget me.
    Leave,
    /// I know that I was removed.
    Understood,
    /// Take a carrier through the broker; the nonce is its name.
    Carry,
}

/// From a device, on the NAS's `knock` topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock {
    /// The device's identity.
    pub device: PublicKey,
    /// What it says.
    pub say: Say,
    /// Its choice.
    pub nonce: Nonce,
    /// Over all of it and the NAS's id.
    pub signature: Signature,
}

/// Where a device stands with the NAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// In the device table.
    Paired,
    /// Removed by the owner; say that you understood.
    Revoked,
    /// Not known (any more).
    Unknown,
}

/// From the NAS, on the device's `notice` topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The NAS's identity.
    pub nas: PublicKey,
    /// Where the device stands.
    pub standing: Standing,
    /// Of the Knock, or zeros if the NAS speaks unasked.
    pub nonce: Nonce,
    /// Over all of it and the device's id.
    pub signature: Signature,
}

fn text(label: &[u8], what: u8, from: &KeyId, to: &KeyId, nonce: &Nonce) -> Vec<u8> {
    // Ids have one length, so the parts cannot run into each other.
    [label, &[VERSION, what], from.as_str().as_bytes(), to.as_str().as_bytes(), nonce].concat()
}

fn knock_text(say: Say, device: &KeyId, nas: &KeyId, nonce: &Nonce) -> Vec<u8> {
    text(b"moorline knock ", say as u8, device, nas, nonce)
}

fn notice_text(standing: Standing, nas: &KeyId, device: &KeyId, nonce: &Nonce) -> Vec<u8> {
    text(b"moorline notice ", standing as u8, nas, device, nonce)
}

impl Knock {
    /// A message of `device` to `nas`, signed.
    pub fn new(device: &Identity, nas: &KeyId, say: Say, nonce: Nonce) -> Self {
        let signature = device.sign(&knock_text(say, &device.id(), nas, &nonce));
        Self { device: device.public(), say, nonce, signature }
    }

    /// Reads a message, whoever made it: it is to be believed only when it is [`Knock::is_signed_to`] this NAS, which costs more.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn read(bytes: &[u8]) -> Result<Self, Unfit> {
        if bytes.len() > NOTICE_MAX {
            return Err(Unfit::Malformed);
        }
        super::handshake::decode(bytes)
    }

    /// Whether the device that it names made it, for `nas`.
    pub fn is_signed_to(&self, nas: &KeyId) -> bool {
        let text = knock_text(self.say, &self.device.id(), nas, &self.nonce);
        self.device.verifies(&text, &self.signature)
    }

    /// Reads a message to `nas` and checks that the device it names made it.
    ///
    /// # Errors
    /// `Malformed`, `WrongKey`.
    pub fn open(bytes: &[u8], nas: &KeyId) -> Result<Self, Unfit> {
        let knock = Self::read(bytes)?;
        if knock.is_signed_to(nas) { Ok(knock) } else { Err(Unfit::WrongKey) }
    }
}

impl Notice {
    /// What `nas` tells `device`, signed.
    pub fn new(nas: &Identity, device: &KeyId, standing: Standing, nonce: Nonce) -> Self {
        let signature = nas.sign(&notice_text(standing, &nas.id(), device, &nonce));
        Self { nas: nas.public(), standing, nonce, signature }
    }

    /// Reads a message to `device` and checks that `nas` made it.
    ///
    /// # Errors
    /// `Malformed`, `WrongKey`.
    pub fn open(bytes: &[u8], nas: &PublicKey, device: &KeyId) -> Result<Self, Unfit> {
        if bytes.len() > NOTICE_MAX {
            return Err(Unfit::Malformed);
        }
        let notice: Self = super::handshake::decode(bytes)?;
        let text = notice_text(notice.standing, &nas.id(), device, &notice.nonce);
        if notice.nas == *nas && nas.verifies(&text, &notice.signature) {
            Ok(notice)
        } else {
            Err(Unfit::WrongKey)
        }
    }
}

/// What a Knock leads to.
#[derive(Debug)]
pub enum Answer {
    /// Tell it this; the device, if it is a paired one, has been heard of.
    Tell(Standing, Option<DeviceId>),
    /// Write, then tell it this.
    Settle(Planned<DeviceId>, Standing),
}

/// What to do about a Knock, by the state in the store.
pub fn answer(ledger: &Ledger, knock: &Knock) -> Answer {
    let Some(device) = ledger.device_by_key(&knock.device.id()) else {
        return Answer::Tell(Standing::Unknown, None);
    };
    let gone = || Planned::new(vec![Change::Vanished(device.id)], device.id);
    match (&device.state, knock.say) {
        (DeviceState::Paired(_), Say::Hail | Say::Understood | Say::Carry) => {
            Answer::Tell(Standing::Paired, Some(device.id))
        }
        (DeviceState::Paired(_), Say::Leave) => Answer::Settle(plan::leave(device.id), Standing::Unknown),
        (DeviceState::Revoked { .. }, Say::Hail | Say::Carry) => Answer::Tell(Standing::Revoked, None),
        (DeviceState::Revoked { .. }, Say::Leave | Say::Understood) => {
            Answer::Settle(gone(), Standing::Unknown)
        }
        (DeviceState::Pending { .. } | DeviceState::Ended { .. }, _) => Answer::Tell(Standing::Unknown, None),
    }
}

/// Removed devices that are still to be told, with the id of their key.
pub fn queued(ledger: &Ledger) -> impl Iterator<Item = (DeviceId, KeyId)> + '_ {
    ledger.devices().iter().filter_map(|device: &Device| match &device.state {
        DeviceState::Revoked { key, .. } => Some((device.id, key.id())),
        DeviceState::Pending { .. } | DeviceState::Paired(_) | DeviceState::Ended { .. } => None,
    })
}
