//! How a stream begins: the device says what it is for, the NAS lets it in or says why not. Then the stream is the service's
//! own bytes, or one question and one answer of the control channel. A core, for both ends.
//!
//! ```text
//! message := length (2, big-endian) | postcard
//! ```

use core::net::SocketAddr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::pairing::record::DEVICE_NAME_MAX;

/// Longest message.
pub const MESSAGE_MAX: usize = 1024;
/// Bytes of the length.
pub const LENGTH: usize = 2;
/// Longest name of a service.
pub const NAME_MAX: usize = 32;
/// Services that are told.
pub const SERVICES_MAX: usize = 16;

/// Name of a service.
pub type Name = heapless::String<NAME_MAX>;

/// What a stream is for; the first message on it. Variants are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// The bytes of this service.
    Service(Name),
    /// Which services there are for this device.
    Services,
    /// How the NAS is.
    Status,
    /// This device leaves.
    Unpair,
    /// How the NAS can be reached.
    Paths,
    /// This device is to be called this from now on.
    Rename(heapless::String<DEVICE_NAME_MAX>),
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one lives on the stack for the length of one message")]
pub enum Answer {
    /// What follows are the service's own bytes.
    Open,
    /// Not now, or never.
    Refused(Refusal),
    /// To [`Opening::Services`].
    Services(heapless::Vec<Service, SERVICES_MAX>),
    /// To [`Opening::Status`].
    Status(Health),
    /// Done.
    Done,
    /// To [`Opening::Paths`].
    Paths(Paths),
}

/// Why a stream is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// There is none of this name for this device: whether others have it is not said.
    #[error("the NAS has no such service for this device")]
    NoSuchService,
    /// It is there, and nothing listens at its address.
    #[error("the service does not run on the NAS now")]
    Down,
    /// As many streams as a device may have are open.
    #[error("as many connections are open as the NAS allows; close one of them")]
    Full,
    /// The first message was none.
    #[error("the NAS does not understand this version")]
    NotUnderstood,
    /// The flash refuses, or too much changed today.
    #[error("the NAS cannot keep the change now")]
    NotKept,
    /// A name without a character that can be seen.
    #[error("a name needs a character that can be seen")]
    NoName,
}

/// A service that a device may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// Whether something listens there.
    pub is_up: bool,
}

/// What a device may know of its NAS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What it is called.
    pub name: heapless::String<48>,
    /// Whose device this is.
    pub user: heapless::String<32>,
    /// One sentence: what matters most.
    pub summary: heapless::String<256>,
    /// Whether the session to the broker is up.
    pub online: bool,
}

/// How the NAS can be reached beside its broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// The port that it listens on in its own network.
    pub port: Option<u16>,
    /// Where its router leads to that port, as far as the router knows.
    pub outside: Option<SocketAddr>,
    /// How it stands with the router, in words.
    pub router: heapless::String<128>,
}

/// A message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end does not speak moorline/1 as this one does")]
pub struct Garbled;

/// Bytes with their length. No message of ours is longer than a length can say.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(0);
    [&length.to_be_bytes()[..], body].concat()
}

/// How long what stands behind this length is, if it is no longer than that.
///
/// # Errors
/// [`Garbled`]: longer.
pub fn length_within(bytes: [u8; LENGTH], longest: usize) -> Result<usize, Garbled> {
    let length = usize::from(u16::from_be_bytes(bytes));
    if length <= longest { Ok(length) } else { Err(Garbled) }
}

/// A message with its length.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    framed(&postcard::to_allocvec(message).unwrap_or_default())
}

/// How long the message behind this length is.
///
/// # Errors
/// [`Garbled`]: longer than any.
pub fn length(bytes: [u8; LENGTH]) -> Result<usize, Garbled> {
    length_within(bytes, MESSAGE_MAX)
}

/// Reads a message without its length; every byte must belong to it.
///
/// # Errors
/// [`Garbled`].
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, Garbled> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(Garbled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_read_back_and_garbage_does_not() {
        let full = Service { name: "x".repeat(32).as_str().try_into().unwrap(), is_up: true };
        let largest = Answer::Services(std::iter::repeat_n(full, SERVICES_MAX).collect());
        for answer in [Answer::Open, Answer::Refused(Refusal::Down), largest] {
            let bytes = encode(&answer);
            let (head, body) = bytes.split_at(LENGTH);
            assert_eq!(length(head.try_into().unwrap()), Ok(body.len()));
            assert_eq!(decode::<Answer>(body), Ok(answer));
            assert_eq!(decode::<Answer>(&[body, &[0]].concat()), Err(Garbled));
        }
        assert_eq!(length([4, 1]), Err(Garbled));
        // The longest name that an entry can hold; a longer one is no message.
        let rename = |n: usize| [&[5, n as u8][..], "x".repeat(n).as_bytes()].concat();
        let name = "x".repeat(48).as_str().try_into().unwrap();
        assert_eq!(decode(&rename(48)), Ok(Opening::Rename(name)));
        assert_eq!(decode::<Opening>(&rename(49)), Err(Garbled));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Opening>(&bytes);
            let _ = decode::<Answer>(&bytes);
        }
    }
}
