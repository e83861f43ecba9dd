//! The time of day from a time server: one datagram each way (RFC 4330, RFC 5905). A core.
//!
//! It only tells; nothing here sets a clock, and the answer is not authenticated.

use crate::units::UnixSeconds;

/// Bytes of a message without extensions.
pub const MESSAGE: usize = 48;
/// UDP port.
pub const PORT: u16 = 123;
/// Seconds from 1900, where NTP counts from, to 1970.
const FROM_1900: u64 = 2_208_988_800;

/// Why an answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    /// Too short, or not from a server.
    #[error("not an answer of a time server")]
    NotAnAnswer,
    /// The answer to another question.
    #[error("the answer to another question")]
    NotOurs,
    /// The server says that it does not know the time, or refuses (stratum 0).
    #[error("the time server does not know the time itself")]
    Unsynchronised,
}

/// A question. `cookie`: random; it stands where our time would, so that the answer can be told from others and says nothing of
/// the NAS.
pub fn request(cookie: [u8; 8]) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    // No warning, version 4, client.
    message[0] = 0b00_100_011;
    message[40..48].copy_from_slice(&cookie);
    message
}

/// Reads an answer.
///
/// # Errors
/// [`BadTime`].
pub fn response(bytes: &[u8], cookie: [u8; 8]) -> Result<UnixSeconds, BadTime> {
    let message: &[u8; MESSAGE] = bytes.first_chunk().ok_or(BadTime::NotAnAnswer)?;
    let (leap, mode, stratum) = (message[0] >> 6, message[0] & 7, message[1]);
    if mode != 4 {
        return Err(BadTime::NotAnAnswer);
    }
    if message[24..32] != cookie {
        return Err(BadTime::NotOurs);
    }
    let seconds = u32::from_be_bytes([message[40], message[41], message[42], message[43]]);
    if leap == 3 || !(1..=15).contains(&stratum) || seconds == 0 {
        return Err(BadTime::Unsynchronised);
    }
    // The first era ends in February 2036; without the highest bit it is the next (RFC 4330, 3).
    let era = if seconds >> 31 == 1 { 0 } else { 1 << 32 };
    Ok(UnixSeconds(era + u64::from(seconds) - FROM_1900))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COOKIE: [u8; 8] = *b"a cookie";

    fn answer(seconds: u32) -> [u8; MESSAGE] {
        let mut message = [0; MESSAGE];
        (message[0], message[1]) = (0b00_100_100, 2);
        message[24..32].copy_from_slice(&COOKIE);
        message[40..44].copy_from_slice(&seconds.to_be_bytes());
        message
    }

    #[track_caller]
    fn check(change: impl Fn(&mut [u8; MESSAGE]), expect: Result<u64, BadTime>) {
        let mut message = answer(3_900_000_000);
        change(&mut message);
        assert_eq!(response(&message, COOKIE), expect.map(UnixSeconds));
    }

    #[test]
    fn a_time_is_read_and_everything_else_is_refused() {
        check(|_| {}, Ok(3_900_000_000 - FROM_1900));
        check(|m| m[40..44].copy_from_slice(&100u32.to_be_bytes()), Ok((1 << 32) + 100 - FROM_1900));
        check(|m| m[0] = 0b00_100_011, Err(BadTime::NotAnAnswer));
        check(|m| m[24] ^= 1, Err(BadTime::NotOurs));
        check(|m| m[0] |= 0b11_000_000, Err(BadTime::Unsynchronised));
        check(|m| m[1] = 0, Err(BadTime::Unsynchronised));
        check(|m| m[40..44].fill(0), Err(BadTime::Unsynchronised));
        assert_eq!(response(&answer(1)[..47], COOKIE), Err(BadTime::NotAnAnswer));
    }

    #[test]
    fn a_question_tells_nothing_of_the_nas() {
        let request = request(COOKIE);
        assert_eq!((request[0], &request[40..]), (0x23, &COOKIE[..]));
        assert!(request[1..40].iter().all(|b| *b == 0));
    }

    proptest! {
        #[test]
        fn arbitrary_datagrams_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = response(&bytes, COOKIE);
        }
    }
}
