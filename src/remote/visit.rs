//! How somebody pairs at the door, without a broker: a short greeting, then the messages of `pairing::handshake`, each with its
//! length. They need no protection by the connection: they have their own. A core, for both ends.
//!
//! ```text
//! greeting := "mlp1" | mailbox (5)
//! message  := length (2, big-endian) | what would be published to the mailbox
//! ```

pub use super::opening::framed;
use super::opening::{Garbled, LENGTH, length_within};
use crate::pairing::code::{RENDEZVOUS_SYMBOLS, Rendezvous};
use crate::pairing::handshake::MESSAGE_MAX;

/// What such a connection begins with. A TLS handshake begins with 22 (RFC 8446, section 5.1), so the first byte tells them apart.
pub const MAGIC: [u8; 4] = *b"mlp1";
/// Bytes of the greeting.
pub const GREETING: usize = MAGIC.len() + RENDEZVOUS_SYMBOLS;
/// Messages of one visit: three make a pairing; a NAS that was restarted sends the phone back to the start.
pub const MESSAGES_MAX: usize = 8;

/// Name of a mailbox, as the broker's topics have it.
pub type Mailbox = heapless::String<RENDEZVOUS_SYMBOLS>;

/// Whether a connection whose first byte this is means to pair.
pub const fn is_visit(first: u8) -> bool {
    let [magic, ..] = MAGIC;
    first == magic
}

/// What the phone says first.
pub fn greeting(rendezvous: Rendezvous) -> Vec<u8> {
    [&MAGIC[..], rendezvous.name().as_bytes()].concat()
}

/// Which mailbox a greeting names. Whether there is one is another matter.
///
/// # Errors
/// [`Garbled`].
pub fn mailbox(greeting: [u8; GREETING]) -> Result<Mailbox, Garbled> {
    let name = greeting.strip_prefix(&MAGIC[..]).ok_or(Garbled)?;
    let name = core::str::from_utf8(name).map_err(|_| Garbled)?;
    Mailbox::try_from(name).map_err(|_| Garbled)
}

/// How long the message behind this length is.
///
/// # Errors
/// [`Garbled`]: longer than any.
pub fn length(bytes: [u8; LENGTH]) -> Result<usize, Garbled> {
    length_within(bytes, MESSAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::code::Code;
    use crate::random::Seeded;
    use proptest::prelude::*;

    #[test]
    fn a_greeting_names_the_mailbox_and_nothing_of_the_secret() {
        let code = Code::mint(&mut Seeded::new(1));
        let bytes: [u8; GREETING] = greeting(code.rendezvous()).try_into().unwrap();
        assert!(is_visit(bytes[0]) && !is_visit(0x16));
        assert_eq!(mailbox(bytes), Ok(code.rendezvous().name()));
        assert_eq!(mailbox(*b"mlp2ABCDE"), Err(Garbled));
        assert_eq!(mailbox(*b"mlp1AB\xff\xfeE"), Err(Garbled));
    }

    #[test]
    fn the_longest_message_has_a_length_and_a_longer_one_is_not_read() {
        let message = vec![7; MESSAGE_MAX];
        let bytes = framed(&message);
        let (head, body) = bytes.split_at(LENGTH);
        assert_eq!((length(head.try_into().unwrap()), body), (Ok(MESSAGE_MAX), &message[..]));
        assert_eq!(length([8, 1]), Err(Garbled));
        assert_eq!(length([255, 255]), Err(Garbled));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<[u8; GREETING]>()) {
            let _ = mailbox(bytes);
        }
    }
}
