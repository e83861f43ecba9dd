//! The pairing messages and the cryptography behind them, both ends. A core.
//!
//! ```text
//! phone                                       NAS
//!   Hello   {reply id, SPAKE2 share}    ──▶         one message per phone and code
//!           ◀──  Answer {NAS id, SPAKE2 share, confirmation}
//!   Request {confirmation, sealed: key, name, platform, proof}  ──▶
//!           ◀──  Granted {sealed: NAS key, name, services, credential}     only after the store has it
//!   Done    {confirmation}              ──▶
//! ```
//! SPAKE2 (RFC 9382's construction, as the `spake2` crate has it on the Ed25519 group) turns the code's 30 secret bits
//! into a strong shared value: who does not know the code gets one guess for each Answer and nothing to try offline.
//! HKDF-SHA256 (RFC 5869) over that value and the whole transcript gives separate keys for confirmation and sealing in
//! each direction; sealing is ChaCha20-Poly1305 (RFC 8439) with a random nonce. A wrong code is found by the phone, at
//! the NAS's confirmation.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{digest, hkdf, hmac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use spake2::{Ed25519Group, Identity as Party, Password, Spake2};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::code::{Code, Rendezvous};
use super::record::{Label, USER_NAME_MAX};
use crate::identity::{Identity, KeyId, PublicKey, Signature};
use crate::random::{self, Lent, Random};

/// First byte of every message: the version of this exchange.
pub const VERSION: u8 = 1;
/// Longest message of this exchange in bytes; longer ones are not looked at.
pub const MESSAGE_MAX: usize = 2048;
/// Longest plaintext that is sealed.
const PLAIN_MAX: usize = 1400;
const NONCE_LEN: usize = 12;
/// nonce + plaintext + tag.
const SEALED_MAX: usize = NONCE_LEN + PLAIN_MAX + 16;
/// Services named to a device.
pub const SERVICES_MAX: usize = 16;
/// Longest name of a service.
pub const SERVICE_NAME_MAX: usize = 16;
/// Longest broker user name and password.
pub const CREDENTIAL_MAX: usize = 256;

/// Tells one phone's exchange from another's in a shared mailbox; drawn by the phone.
pub type ReplyId = [u8; 8];
/// A SPAKE2 share: side byte and group element.
pub type Share = [u8; 33];
/// A sealed text: nonce, ciphertext, tag.
pub type Sealed = heapless::Vec<u8, SEALED_MAX>;

/// From the phone to the NAS's mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one lives on the stack for the length of one message")]
pub enum ToNas {
    /// Opens an exchange.
    Hello {
        /// The phone's choice.
        reply: ReplyId,
        /// SPAKE2 side A.
        #[serde(with = "share")]
        share: Share,
    },
    /// Proves the code and asks to be paired.
    Request {
        /// Of the Hello.
        reply: ReplyId,
        /// HMAC under the phone's confirmation key.
        confirm: [u8; 32],
        /// An [`Offer`].
        sealed: Sealed,
    },
    /// The answer arrived; the mailbox may be closed.
    Done {
        /// Of the Hello.
        reply: ReplyId,
        /// HMAC under the key that sealed the answer.
        confirm: [u8; 32],
    },
}

/// From the NAS to the phones at its mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one lives on the stack for the length of one message")]
pub enum ToPhone {
    /// To a Hello.
    Answer {
        /// Of the Hello.
        reply: ReplyId,
        /// The NAS, bound by the confirmation.
        nas: KeyId,
        /// SPAKE2 side B.
        #[serde(with = "share")]
        share: Share,
        /// HMAC under the NAS's confirmation key.
        confirm: [u8; 32],
    },
    /// To a Request, once the store has the device.
    Granted {
        /// Of the Hello.
        reply: ReplyId,
        /// A [`Grant`].
        sealed: Sealed,
    },
    /// No, and why.
    Refused {
        /// Of the message refused.
        reply: ReplyId,
        /// Why.
        why: Why,
    },
}

/// Why the NAS says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The exchange is not known (the agent was restarted): start again with a Hello.
    Again,
    /// The code has done its work.
    Used,
    /// Too many wrong guesses.
    Burned,
    /// The confirmation does not fit: another code.
    WrongCode,
    /// The NAS cannot keep the pairing now.
    Unavailable,
}

/// What a phone says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its identity.
    pub key: PublicKey,
    /// What it calls itself.
    pub name: Label,
    /// What it runs on.
    pub platform: Label,
    /// Signature over the transcript: it has the private half.
    pub proof: Signature,
}

/// What a NAS tells a device that it has paired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The NAS's identity; its id must be the one in the Answer.
    pub key: PublicKey,
    /// What the NAS is called.
    pub name: Label,
    /// Whose device this is now.
    pub user: heapless::String<USER_NAME_MAX>,
    /// Services this device may reach.
    pub services: heapless::Vec<heapless::String<SERVICE_NAME_MAX>, SERVICES_MAX>,
    /// What devices log in to the broker with, if the operator gives them an account.
    pub credential: Option<Credential>,
}

/// A broker account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// User name.
    pub user: heapless::String<CREDENTIAL_MAX>,
    /// Password.
    pub password: heapless::String<CREDENTIAL_MAX>,
}

impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// Why a message is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not a message of this exchange.
    #[error("not a pairing message")]
    Malformed,
    /// A confirmation or seal that another code, or nobody, made.
    #[error("made with another code")]
    WrongCode,
    /// The peer's key and its proof or id do not belong together.
    #[error("the key is not the peer's")]
    WrongKey,
}

/// A message as bytes: version, then postcard.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // postcard into a growing vector fails for none of these types.
    bytes.extend(postcard::to_allocvec(message).unwrap_or_default());
    bytes
}

/// Reads a message; every byte must belong to it.
///
/// # Errors
/// [`Unfit::Malformed`].
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, Unfit> {
    let Some((&VERSION, rest)) = bytes.split_first() else { return Err(Unfit::Malformed) };
    if bytes.len() > MESSAGE_MAX {
        return Err(Unfit::Malformed);
    }
    match postcard::take_from_bytes(rest) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(Unfit::Malformed),
    }
}

/// The keys of one exchange.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Keys {
    confirm_nas: [u8; 32],
    confirm_phone: [u8; 32],
    seal_to_nas: [u8; 32],
    seal_to_phone: [u8; 32],
    transcript: [u8; 32],
}

impl Keys {
    fn derive(shared: &[u8], transcript: [u8; 32]) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &transcript).extract(shared);
        Self {
            confirm_nas: expand(&prk, b"moorline pairing 1 confirm nas"),
            confirm_phone: expand(&prk, b"moorline pairing 1 confirm phone"),
            seal_to_nas: expand(&prk, b"moorline pairing 1 seal to nas"),
            seal_to_phone: expand(&prk, b"moorline pairing 1 seal to phone"),
            transcript,
        }
    }

    /// The key that seals the Granted message, to be kept with the device until the phone has it.
    pub const fn answer_key(&self) -> [u8; 32] {
        self.seal_to_phone
    }

    fn proof_text(&self) -> Vec<u8> {
        [b"moorline pairing 1 proof".as_slice(), &self.transcript].concat()
    }
}

struct Length32;

impl hkdf::KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

fn expand(prk: &hkdf::Prk, info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // Fails only for more than 255 blocks of output; this is one.
    let filled = prk.expand(&[info], Length32).and_then(|okm| okm.fill(&mut out));
    debug_assert!(filled.is_ok());
    out
}

fn tag(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    for (to, from) in out.iter_mut().zip(hmac::sign(&key, text).as_ref()) {
        *to = *from;
    }
    out
}

/// Compares in constant time.
fn fits(key: &[u8; 32], text: &[u8], tag: &[u8; 32]) -> bool {
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), text, tag).is_ok()
}

/// SHA-256 over everything both sides have seen, each part with its length.
fn transcript(
    rendezvous: Rendezvous,
    reply: &ReplyId,
    phone: &Share,
    nas: &KeyId,
    share: &Share,
) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    let name = rendezvous.name();
    let parts: [&[u8]; 7] =
        [b"moorline pairing", &[VERSION], name.as_bytes(), reply, phone, nas.as_str().as_bytes(), share];
    for part in parts {
        hash.update(&(part.len() as u32).to_be_bytes());
        hash.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(hash.finish().as_ref()) {
        *to = *from;
    }
    out
}

fn seal(key: &[u8; 32], label: &[u8], plain: &[u8], random: &mut dyn Random) -> Option<Sealed> {
    let nonce: [u8; NONCE_LEN] = random::bytes(random);
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut text = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(label), &mut text).ok()?;
    let mut sealed = Sealed::from_slice(&nonce).ok()?;
    sealed.extend_from_slice(&text).ok()?;
    text.zeroize();
    Some(sealed)
}

fn open<M: DeserializeOwned>(key: &[u8; 32], label: &[u8], sealed: &Sealed) -> Result<M, Unfit> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Unfit::Malformed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unfit::Malformed)?;
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| Unfit::Malformed)?);
    let mut text = text.to_vec();
    let plain = key.open_in_place(nonce, Aad::from(label), &mut text).map_err(|_| Unfit::WrongCode)?;
    match postcard::take_from_bytes(plain) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(Unfit::Malformed),
    }
}

const TO_NAS: &[u8] = b"moorline pairing 1 offer";
const TO_PHONE: &[u8] = b"moorline pairing 1 grant";
const DONE: &[u8] = b"moorline pairing 1 done";

fn parties(rendezvous: Rendezvous) -> (Party, Party) {
    // The mailbox stands in both names; the NAS's id is bound by the transcript, since the phone learns it only now.
    let name = rendezvous.name();
    (
        Party::new(&[b"moorline phone ".as_slice(), name.as_bytes()].concat()),
        Party::new(&[b"moorline nas ".as_slice(), name.as_bytes()].concat()),
    )
}

fn share_of(message: &[u8]) -> Option<Share> {
    Share::try_from(message).ok()
}

/// The phone after its Hello.
pub struct PhoneWaiting {
    spake: Spake2<Ed25519Group>,
    rendezvous: Rendezvous,
    reply: ReplyId,
    share: Share,
}

/// Starts an exchange as the phone.
pub fn hello(code: &Code, reply: ReplyId, random: &mut dyn Random) -> Option<(PhoneWaiting, ToNas)> {
    let (a, b) = parties(code.rendezvous());
    let (spake, message) =
        Spake2::<Ed25519Group>::start_a_with_rng(&Password::new(code.secret()), &a, &b, Lent(random));
    let share = share_of(&message)?;
    let waiting = PhoneWaiting { spake, rendezvous: code.rendezvous(), reply, share };
    Some((waiting, ToNas::Hello { reply, share }))
}

impl PhoneWaiting {
    /// Checks a NAS's Answer. The exchange is used up by it; an Answer that does not fit came from a NAS with another
    /// code, or from nobody.
    ///
    /// # Errors
    /// `WrongCode`, or `Malformed` for a share that is none.
    pub fn answered(self, nas: &KeyId, share: &Share, confirm: &[u8; 32]) -> Result<Keys, Unfit> {
        let shared = self.spake.finish(share).map_err(|_| Unfit::Malformed)?;
        let keys = Keys::derive(&shared, transcript(self.rendezvous, &self.reply, &self.share, nas, share));
        if !fits(&keys.confirm_nas, &keys.transcript, confirm) {
            return Err(Unfit::WrongCode);
        }
        Ok(keys)
    }
}

/// Answers a Hello as the NAS.
///
/// # Errors
/// `Malformed` for a share that is none.
pub fn answer(
    code: &Code,
    nas: &KeyId,
    reply: ReplyId,
    phone: &Share,
    random: &mut dyn Random,
) -> Result<(Keys, ToPhone), Unfit> {
    let rendezvous = code.rendezvous();
    let (a, b) = parties(rendezvous);
    let (spake, message) =
        Spake2::<Ed25519Group>::start_b_with_rng(&Password::new(code.secret()), &a, &b, Lent(random));
    let share = share_of(&message).ok_or(Unfit::Malformed)?;
    let shared = spake.finish(phone).map_err(|_| Unfit::Malformed)?;
    let keys = Keys::derive(&shared, transcript(rendezvous, &reply, phone, nas, &share));
    let confirm = tag(&keys.confirm_nas, &keys.transcript);
    Ok((keys, ToPhone::Answer { reply, nas: nas.clone(), share, confirm }))
}

/// Asks to be paired, as the phone.
pub fn request(
    keys: &Keys,
    reply: ReplyId,
    device: &Identity,
    name: Label,
    platform: Label,
    random: &mut dyn Random,
) -> Option<ToNas> {
    let offer = Offer { key: device.public(), name, platform, proof: device.sign(&keys.proof_text()) };
    let plain = postcard::to_allocvec(&offer).ok()?;
    let sealed = seal(&keys.seal_to_nas, TO_NAS, &plain, random)?;
    Some(ToNas::Request { reply, confirm: tag(&keys.confirm_phone, &keys.transcript), sealed })
}

/// Checks a Request, as the NAS.
///
/// # Errors
/// `WrongCode`: a guess. `WrongKey`: the phone does not have the private half of the key it offers.
pub fn offered(keys: &Keys, confirm: &[u8; 32], sealed: &Sealed) -> Result<Offer, Unfit> {
    if !fits(&keys.confirm_phone, &keys.transcript, confirm) {
        return Err(Unfit::WrongCode);
    }
    let offer: Offer = open(&keys.seal_to_nas, TO_NAS, sealed)?;
    if !offer.key.verifies(&keys.proof_text(), &offer.proof) {
        return Err(Unfit::WrongKey);
    }
    Ok(Offer {
        name: Label::sanitised(offer.name.as_str()),
        platform: Label::sanitised(offer.platform.as_str()),
        ..offer
    })
}

/// Seals what the device gets, as the NAS. `key` is [`Keys::answer_key`].
pub fn grant(key: &[u8; 32], reply: ReplyId, grant: &Grant, random: &mut dyn Random) -> Option<ToPhone> {
    let plain = postcard::to_allocvec(grant).ok()?;
    Some(ToPhone::Granted { reply, sealed: seal(key, TO_PHONE, &plain, random)? })
}

/// Opens what the NAS granted, as the phone. `nas` is the id that the Answer named.
///
/// # Errors
/// `WrongCode` if it was not sealed in this exchange, `WrongKey` if the key is not the NAS's.
pub fn granted(key: &[u8; 32], nas: &KeyId, sealed: &Sealed) -> Result<Grant, Unfit> {
    let grant: Grant = open(key, TO_PHONE, sealed)?;
    if grant.key.id() != *nas {
        return Err(Unfit::WrongKey);
    }
    Ok(grant)
}

/// Says that the answer arrived, as the phone.
pub fn done(key: &[u8; 32], reply: ReplyId) -> ToNas {
    ToNas::Done { reply, confirm: tag(key, DONE) }
}

/// Whether a Done is the phone's, as the NAS.
pub fn is_done(key: &[u8; 32], confirm: &[u8; 32]) -> bool {
    fits(key, DONE, confirm)
}

/// serde derives arrays up to 32 only: side byte and element travel apart.
mod share {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(share: &super::Share, serializer: S) -> Result<S::Ok, S::Error> {
        let [side, rest @ ..] = share;
        (side, rest).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<super::Share, D::Error> {
        let (side, rest) = <(u8, [u8; 32])>::deserialize(deserializer)?;
        let mut share = [side; 33];
        for (to, from) in share.iter_mut().skip(1).zip(rest) {
            *to = from;
        }
        Ok(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;

    fn identity() -> Identity {
        Identity::from_pkcs8(&Identity::generate_pkcs8().unwrap()).unwrap()
    }

    /// The keys of both ends after Hello and Answer.
    fn exchange(code: &Code, nas: &KeyId) -> (Keys, Keys) {
        let mut random = Seeded::new(5);
        let (waiting, message) = hello(code, [7; 8], &mut random).unwrap();
        let ToNas::Hello { share, .. } = message else { panic!() };
        let (keys, message) = answer(code, nas, [7; 8], &share, &mut random).unwrap();
        let ToPhone::Answer { share, confirm, .. } = message else { panic!() };
        (waiting.answered(nas, &share, &confirm).unwrap(), keys)
    }

    #[test]
    fn an_offer_without_its_private_key_is_refused() {
        let code = Code::mint(&mut Seeded::new(1));
        let (phone, nas) = exchange(&code, &identity().id());
        let (device, thief) = (identity(), identity());
        let offer =
            |proof| Offer { key: device.public(), name: Label::default(), platform: Label::default(), proof };
        let check = |offer: &Offer, expect: Result<(), Unfit>| {
            let plain = postcard::to_allocvec(offer).unwrap();
            let sealed = seal(&phone.seal_to_nas, TO_NAS, &plain, &mut Seeded::new(9)).unwrap();
            let confirm = tag(&phone.confirm_phone, &phone.transcript);
            assert_eq!(offered(&nas, &confirm, &sealed).map(|_| ()), expect);
        };
        check(&offer(device.sign(&phone.proof_text())), Ok(()));
        check(&offer(thief.sign(&phone.proof_text())), Err(Unfit::WrongKey));
        check(&offer(device.sign(b"another transcript")), Err(Unfit::WrongKey));
    }

    #[test]
    fn each_direction_and_purpose_has_its_own_key() {
        let code = Code::mint(&mut Seeded::new(1));
        let (phone, nas) = exchange(&code, &identity().id());
        let all = [phone.confirm_nas, phone.confirm_phone, phone.seal_to_nas, phone.seal_to_phone];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b));
        }
        assert_eq!(all, [nas.confirm_nas, nas.confirm_phone, nas.seal_to_nas, nas.seal_to_phone]);
    }

    #[test]
    fn a_sealed_text_opens_only_unchanged_and_only_for_its_purpose() {
        let plain = postcard::to_allocvec(&[1u8; 8]).unwrap();
        let sealed = seal(&[1; 32], TO_NAS, &plain, &mut Seeded::new(2)).unwrap();
        assert_eq!(open::<[u8; 8]>(&[1; 32], TO_NAS, &sealed), Ok([1; 8]));
        assert_eq!(open::<[u8; 8]>(&[1; 32], TO_PHONE, &sealed), Err(Unfit::WrongCode));
        assert_eq!(open::<[u8; 8]>(&[2; 32], TO_NAS, &sealed), Err(Unfit::WrongCode));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open::<[u8; 8]>(&[1; 32], TO_NAS, &changed), Err(Unfit::WrongCode), "byte {at}");
        }
        assert_eq!(open::<[u8; 8]>(&[1; 32], TO_NAS, &Sealed::new()), Err(Unfit::Malformed));
    }

    #[test]
    fn the_largest_grant_can_be_sealed() {
        let text = |n: usize| "x".repeat(n);
        let service = heapless::String::try_from(text(SERVICE_NAME_MAX).as_str()).unwrap();
        let credential = heapless::String::try_from(text(CREDENTIAL_MAX).as_str()).unwrap();
        let full = Grant {
            key: identity().public(),
            name: Label::sanitised(&text(100)),
            user: heapless::String::try_from(text(USER_NAME_MAX).as_str()).unwrap(),
            services: core::iter::repeat_n(service, SERVICES_MAX).collect(),
            credential: Some(Credential { user: credential.clone(), password: credential }),
        };
        let message = grant(&[1; 32], [1; 8], &full, &mut Seeded::new(1)).unwrap();
        assert!(encode(&message).len() <= MESSAGE_MAX);
        let ToPhone::Granted { sealed, .. } = message else { panic!() };
        assert_eq!(granted(&[1; 32], &full.key.id(), &sealed).unwrap(), full);
        assert_eq!(granted(&[1; 32], &identity().id(), &sealed), Err(Unfit::WrongKey));
    }
}
