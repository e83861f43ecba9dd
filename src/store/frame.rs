//! Headers and frames as bytes. A core. All numbers are little-endian; docs/store-format.md has the drawing.
//!
//! Every checksum is seeded with where and in which life of the segment it stands: a frame that was left over from an
//! earlier life of the block, or copied from elsewhere, does not validate.

use crc::{CRC_32_ISCSI, Crc};

/// Bytes of a segment header before padding.
pub const HEADER_LEN: usize = 32;
/// Bytes of a frame header.
pub const FRAME_LEN: usize = 16;
/// Longest payload.
pub const PAYLOAD_MAX: usize = 4096;
/// Version of the format.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"MLOG";
/// CRC-32C, as iSCSI (RFC 3720, 12.1) has it.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// One life of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Base-2 logarithm of the program unit it was written with.
    pub log2_unit: u8,
    /// Tells this log from others.
    pub log_id: u32,
    /// Counts the segments' lives.
    pub generation: u64,
    /// Number of the last transaction that the snapshot holds.
    pub base_txn: u64,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A transaction.
    Commit,
    /// A part of the snapshot.
    Part,
    /// The end of the snapshot; its payload counts the parts.
    End,
}

/// A frame that validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// Low 32 bits of its transaction's number; for parts their index.
    pub txn: u32,
    /// Content.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes it takes before padding.
    pub const fn len(&self) -> usize {
        FRAME_LEN + self.payload.len()
    }

    /// Whether it carries nothing.
    pub const fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }
}

impl Header {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0u8; HEADER_LEN];
        let mut fields = Vec::with_capacity(HEADER_LEN);
        fields.extend_from_slice(&MAGIC);
        fields.extend_from_slice(&[VERSION, self.log2_unit, 0, 0]);
        fields.extend_from_slice(&self.log_id.to_le_bytes());
        fields.extend_from_slice(&self.generation.to_le_bytes());
        fields.extend_from_slice(&self.base_txn.to_le_bytes());
        fields.extend_from_slice(&CRC.checksum(&fields).to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// Reads one; `None` if it does not validate.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.get(..HEADER_LEN - 4)?;
        let crc = u32_at(bytes, HEADER_LEN - 4)?;
        if fields.get(..4)? != MAGIC || *fields.get(4)? != VERSION || CRC.checksum(fields) != crc {
            return None;
        }
        Some(Self {
            log2_unit: *fields.get(5)?,
            log_id: u32_at(bytes, 8)?,
            generation: u64_at(bytes, 12)?,
            base_txn: u64_at(bytes, 20)?,
        })
    }

    /// Whether `bytes` begin like a header of a version that this software does not know.
    pub fn is_newer(bytes: &[u8]) -> bool {
        bytes.get(..4) == Some(&MAGIC) && bytes.get(4).is_some_and(|v| *v > VERSION && *v != 0xff)
    }

    /// Whether `bytes` can be what a cut left of a header: some bits of its first eight bytes not yet cleared.
    pub fn may_be_cut(bytes: &[u8]) -> bool {
        let [m, l, o, g] = MAGIC;
        // The base-2 logarithm of a program unit is at most 12.
        let known = [m, l, o, g, VERSION, 0, 0, 0];
        bytes.iter().zip(known).all(|(byte, wanted)| byte & wanted == wanted)
    }

    fn seed(&self, offset: usize) -> crc::Digest<'static, u32> {
        let mut digest = CRC.digest();
        digest.update(&self.log_id.to_le_bytes());
        digest.update(&self.generation.to_le_bytes());
        digest.update(&(offset as u64).to_le_bytes());
        digest
    }

    /// A frame for `offset` of this segment, without padding.
    pub fn frame(&self, offset: usize, frame: Frame<'_>) -> Vec<u8> {
        let length = u16::try_from(frame.payload.len()).unwrap_or(u16::MAX);
        let mut body = Vec::with_capacity(frame.len());
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&(!length).to_le_bytes());
        body.extend_from_slice(&frame.txn.to_le_bytes());
        body.extend_from_slice(&[kind_code(frame.kind), 0, 0, 0]);
        body.extend_from_slice(frame.payload);
        let mut digest = self.seed(offset);
        digest.update(&body);
        let mut bytes = digest.finalize().to_le_bytes().to_vec();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The frame at `offset` of this segment; `None` if what stands there does not validate.
    pub fn parse<'a>(&self, segment: &'a [u8], offset: usize) -> Option<Frame<'a>> {
        let bytes = segment.get(offset..)?;
        let length = u16_at(bytes, 4)?;
        if u16_at(bytes, 6)? != !length || usize::from(length) > PAYLOAD_MAX {
            return None;
        }
        let body = bytes.get(4..FRAME_LEN + usize::from(length))?;
        let mut digest = self.seed(offset);
        digest.update(body);
        if digest.finalize() != u32_at(bytes, 0)? {
            return None;
        }
        let kind = kind_of(*bytes.get(12)?)?;
        Some(Frame {
            kind,
            txn: u32_at(bytes, 8)?,
            payload: bytes.get(FRAME_LEN..FRAME_LEN + usize::from(length))?,
        })
    }
}

const fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Commit => 1,
        Kind::Part => 2,
        Kind::End => 3,
    }
}

const fn kind_of(code: u8) -> Option<Kind> {
    match code {
        1 => Some(Kind::Commit),
        2 => Some(Kind::Part),
        3 => Some(Kind::End),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { log2_unit: 4, log_id: 7, generation: 9, base_txn: 11 };

    #[test]
    fn a_header_reads_back_and_no_bit_of_it_may_change() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes), Some(HEADER));
        for bit in 0..HEADER_LEN * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&changed), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&[0xff; HEADER_LEN]), None);
        assert_eq!(Header::decode(&bytes[..31]), None);
    }

    #[test]
    fn a_frame_validates_only_in_its_own_place_and_life() {
        let frame = Frame { kind: Kind::Commit, txn: 5, payload: b"hello" };
        let mut segment = vec![0xff; 256];
        let bytes = HEADER.frame(64, frame);
        segment[64..64 + bytes.len()].copy_from_slice(&bytes);
        assert_eq!(HEADER.parse(&segment, 64), Some(frame));
        assert_eq!(HEADER.parse(&segment, 48), None);
        assert_eq!(Header { generation: 10, ..HEADER }.parse(&segment, 64), None);
        assert_eq!(Header { log_id: 8, ..HEADER }.parse(&segment, 64), None);
        segment.copy_within(64..64 + bytes.len(), 128);
        assert_eq!(HEADER.parse(&segment, 128), None, "a copy elsewhere");
        for bit in 64 * 8..(64 + bytes.len()) * 8 {
            let mut changed = segment.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(HEADER.parse(&changed, 64), None, "bit {bit}");
        }
    }
}
