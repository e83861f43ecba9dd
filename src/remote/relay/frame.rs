//! One message of a carrier. A core, for both ends.
//!
//! ```text
//! frame := 1 | kind | sequence (4) | received (8) | credit (4) | payload         numbers big-endian
//! kind  := 0 bytes, 1 end (the payload is one byte: why), 2 bytes that had to wait for credit
//! ```
//!
//! `sequence` counts frames of its direction from 0. `received`: bytes that the sender of the frame has had from the other
//! direction. `credit`: how many more it takes.

use crate::session::packet::PAYLOAD_MAX;

/// First byte of every frame.
const VERSION: u8 = 1;
/// Bytes before the payload.
pub const HEAD: usize = 18;
/// Most bytes that one frame carries.
pub const BYTES_MAX: usize = PAYLOAD_MAX - HEAD;

/// Why a carrier ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// Everything was said.
    #[error("the other end has finished")]
    Done,
    /// The other end has dropped it: it left, or the device was removed, or the agent ends.
    #[error("the other end broke off")]
    Gone,
    /// A message is missing, came twice or in the wrong order.
    #[error("the broker lost, repeated or reordered a message")]
    Gap,
    /// What came is no frame, or says what cannot be.
    #[error("the broker delivered something that the other end did not send")]
    Garbled,
    /// More came than there was credit for.
    #[error("more came than was agreed")]
    Overrun,
    /// Nothing came, or nothing was acknowledged, for too long.
    #[error("nothing came through the broker any more")]
    Silent,
    /// The connection to the broker broke.
    #[error("the connection to the broker broke")]
    Line,
    /// The NAS has as many carriers as it takes.
    #[error("the NAS has as many carriers as it takes")]
    Full,
    /// The NAS does not know this device (any more).
    #[error("the NAS does not know this device; `status` asks it where the device stands")]
    Unknown,
}

const CODES: [End; 9] = [
    End::Done,
    End::Gone,
    End::Gap,
    End::Garbled,
    End::Overrun,
    End::Silent,
    End::Line,
    End::Full,
    End::Unknown,
];

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The next bytes; none is a word only.
    Bytes(&'a [u8]),
    /// The next bytes, which had to wait for credit: more of it would have been used.
    Late(&'a [u8]),
    /// Nothing more follows.
    End(End),
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which one of its direction.
    pub sequence: u32,
    /// Bytes had from the other direction.
    pub received: u64,
    /// How many more are taken.
    pub credit: u32,
    /// What it carries.
    pub body: Body<'a>,
}

/// Not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no frame of a carrier")]
pub struct NoFrame;

impl Frame<'_> {
    fn head(&self, kind: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD);
        out.extend([VERSION, kind]);
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.received.to_be_bytes());
        out.extend(self.credit.to_be_bytes());
        out
    }

    /// As one message.
    pub fn encode(&self) -> Vec<u8> {
        match self.body {
            Body::Bytes(bytes) => [&self.head(0), bytes].concat(),
            Body::Late(bytes) => [&self.head(2), bytes].concat(),
            Body::End(end) => {
                let mut out = self.head(1);
                out.push(
                    CODES.iter().position(|c| *c == end).and_then(|at| u8::try_from(at).ok()).unwrap_or(1),
                );
                out
            }
        }
    }
}

/// What a NAS says to a carrier that it does not take.
pub fn refusal(end: End) -> Vec<u8> {
    Frame { sequence: 0, received: 0, credit: 0, body: Body::End(end) }.encode()
}

/// Reads one message.
///
/// # Errors
/// [`NoFrame`].
pub fn decode(message: &[u8]) -> Result<Frame<'_>, NoFrame> {
    let (head, payload) = message.split_first_chunk::<HEAD>().ok_or(NoFrame)?;
    let [VERSION, kind, s0, s1, s2, s3, r0, r1, r2, r3, r4, r5, r6, r7, c0, c1, c2, c3] = *head else {
        return Err(NoFrame);
    };
    let body = match (kind, payload) {
        (0, bytes) if bytes.len() <= BYTES_MAX => Body::Bytes(bytes),
        (2, bytes) if bytes.len() <= BYTES_MAX => Body::Late(bytes),
        // A reason of a later version is an end all the same.
        (1, [why]) => Body::End(CODES.get(usize::from(*why)).copied().unwrap_or(End::Gone)),
        _ => return Err(NoFrame),
    };
    Ok(Frame {
        sequence: u32::from_be_bytes([s0, s1, s2, s3]),
        received: u64::from_be_bytes([r0, r1, r2, r3, r4, r5, r6, r7]),
        credit: u32::from_be_bytes([c0, c1, c2, c3]),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_read_back(sequence: u32, received: u64, credit: u32,
                            bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let frame = Frame { sequence, received, credit, body: Body::Bytes(&bytes) };
            let message = frame.encode();
            prop_assert_eq!(decode(&message), Ok(frame));
            let late = Frame { body: Body::Late(&bytes), ..frame };
            let message = late.encode();
            prop_assert_eq!(decode(&message), Ok(late));
            for end in CODES {
                let frame = Frame { body: Body::End(end), ..frame };
                let message = frame.encode();
                prop_assert_eq!(decode(&message), Ok(frame));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(frame) = decode(&bytes) {
                prop_assert!(frame.encode().len() == bytes.len());
            }
        }
    }

    #[test]
    fn what_is_too_large_or_too_short_is_no_frame() {
        let frame = |bytes| Frame { sequence: 0, received: 0, credit: 0, body: Body::Bytes(bytes) }.encode();
        assert!(decode(&frame(&[0; BYTES_MAX])).is_ok());
        assert_eq!(decode(&frame(&[0; BYTES_MAX + 1])), Err(NoFrame));
        assert_eq!(decode(&frame(&[])[..HEAD - 1]), Err(NoFrame));
    }
}
