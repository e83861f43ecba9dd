//! Key pairs and the ids derived from them: the NAS's identity and, on the other end, a device's. A core; the key file
//! is read and written by `sys::keyfile`.

use core::fmt;

use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Characters of a [`KeyId`]: 100 bits in base32. Short enough for an MQTT client id (23 characters) and long enough
/// that a second key with the same id is out of reach.
pub const KEY_ID_LEN: usize = 20;

/// Lower-case Crockford base32: `[0-9a-z]`, as client ids and topic levels want it.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An Ed25519 public key (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// The id of a key pair: the first 100 bits of SHA-256 over a label and the public key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "heapless::String<KEY_ID_LEN>", into = "heapless::String<KEY_ID_LEN>")]
pub struct KeyId(heapless::String<KEY_ID_LEN>);

/// A text that is not a [`KeyId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 20 characters of 0-9 and a-z without i, l, o, u")]
pub struct NotAKeyId;

impl KeyId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<heapless::String<KEY_ID_LEN>> for KeyId {
    type Error = NotAKeyId;

    fn try_from(text: heapless::String<KEY_ID_LEN>) -> Result<Self, NotAKeyId> {
        if text.len() == KEY_ID_LEN && text.bytes().all(|b| ALPHABET.contains(&b)) {
            Ok(Self(text))
        } else {
            Err(NotAKeyId)
        }
    }
}

impl core::str::FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        heapless::String::try_from(text).map_err(|_| NotAKeyId).and_then(Self::try_from)
    }
}

impl From<KeyId> for heapless::String<KEY_ID_LEN> {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PublicKey {
    /// The id of this key.
    pub fn id(&self) -> KeyId {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"moorline key id 1");
        hash.update(&self.0);
        KeyId(base32(hash.finish().as_ref()))
    }

    /// Whether `signature` over `message` was made with the private half of this key.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, &signature.0).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

fn base32(bytes: &[u8]) -> heapless::String<KEY_ID_LEN> {
    let mut text = heapless::String::new();
    let (mut buffer, mut bits) = (0u32, 0u32);
    // 20 symbols are 100 bits: 13 bytes.
    for byte in bytes.iter().take(13) {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 && text.len() < KEY_ID_LEN {
            bits -= 5;
            let letter = ALPHABET.get((buffer >> bits) as usize & 31).copied().unwrap_or(b'0');
            // Full only beyond KEY_ID_LEN, which the loop's condition excludes.
            let _ = text.push(char::from(letter));
        }
        buffer &= (1 << bits) - 1;
    }
    text
}

/// A key pair. Its private half has no way out but signing.
pub struct Identity {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// Why a key file's content is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key in PKCS#8 form")]
pub struct BadKey;

impl Identity {
    /// A fresh key as PKCS#8 (RFC 5958), for the key file. ring draws it from the system itself: private keys are the
    /// one place where its interface takes no other generator.
    ///
    /// # Errors
    /// [`BadKey`] if the system gives no randomness.
    pub fn generate_pkcs8() -> Result<Zeroizing<Vec<u8>>, BadKey> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| BadKey)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// From the content of a key file.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, BadKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map_err(|_| BadKey)?;
        let public = PublicKey(pair.public_key().as_ref().try_into().map_err(|_| BadKey)?);
        Ok(Self { pair, public })
    }

    /// The public half.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The id of this pair.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// Signs `message`; Ed25519 needs no randomness for it.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(self.pair.sign(message).as_ref()) {
            *to = *from;
        }
        Signature(bytes)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id())
    }
}

// serde derives arrays up to 32 only; a signature travels as two halves.
impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (a, b) = self.0.split_at(32);
        (<[u8; 32]>::try_from(a).unwrap_or_default(), <[u8; 32]>::try_from(b).unwrap_or_default())
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (a, b) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(a.into_iter().chain(b)) {
            *to = from;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_fit_for_topics_and_client_ids() {
        let identity = Identity::from_pkcs8(&Identity::generate_pkcs8().unwrap()).unwrap();
        let id = identity.id();
        assert_eq!(id.as_str().len(), KEY_ID_LEN);
        assert_eq!(id.as_str().parse::<KeyId>().unwrap(), id);
        assert_eq!(PublicKey([7; 32]).id().as_str(), PublicKey([7; 32]).id().as_str());
        assert_ne!(PublicKey([7; 32]).id(), PublicKey([8; 32]).id());
        assert_eq!("short".parse::<KeyId>(), Err(NotAKeyId));
        assert_eq!("ILOU5678901234567890".parse::<KeyId>(), Err(NotAKeyId));
    }

    #[test]
    fn the_key_id_is_the_top_100_bits_in_base32() {
        assert_eq!(base32(&[0xff; 13]).as_str(), "z".repeat(20));
        assert_eq!(
            base32(&[0x08, 0x42, 0x10, 0x84, 0x21, 0, 0, 0, 0, 0, 0, 0, 0]).as_str(),
            "11111111000000000000"
        );
    }

    #[test]
    fn signatures_bind_message_and_key() {
        let identity = Identity::from_pkcs8(&Identity::generate_pkcs8().unwrap()).unwrap();
        let signature = identity.sign(b"hello");
        assert!(identity.public().verifies(b"hello", &signature));
        assert!(!identity.public().verifies(b"hellp", &signature));
        assert!(!PublicKey([1; 32]).verifies(b"hello", &signature));
        let bytes = postcard::to_allocvec(&signature).unwrap();
        assert_eq!(bytes.len(), 64);
        assert_eq!(postcard::from_bytes::<Signature>(&bytes).unwrap(), signature);
    }

    #[test]
    fn a_bad_key_file_is_an_error() {
        assert_eq!(Identity::from_pkcs8(b"nonsense").unwrap_err(), BadKey);
        let shown = format!("{:?}", Identity::from_pkcs8(&Identity::generate_pkcs8().unwrap()).unwrap());
        assert!(shown.len() < 40, "{shown}");
    }
}
