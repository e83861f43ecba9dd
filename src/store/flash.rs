//! What the log asks of a medium, and what it may rely on when the power goes. A leaf of this domain.

/// Shape of the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How many segments there are, at least 2.
    pub segments: usize,
    /// Bytes of a segment, a multiple of the erase size and of the program unit.
    pub segment_bytes: usize,
    /// Bytes that are programmed at once; a power of two from 1 to 4096.
    pub program_unit: usize,
    /// Whether the last page may read well now and not later, if the power went while it was programmed (NAND): then nothing is
    /// appended behind what an earlier run left, and the first commit of a run goes into a fresh segment.
    pub fades: bool,
}

impl Geometry {
    /// `bytes` rounded up to whole program units.
    pub const fn round(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(self.program_unit)
    }

    /// Where a range of a segment begins on a medium that has the segments one after the other.
    ///
    /// # Errors
    /// `EINVAL`: it is not wholly within its segment.
    pub const fn position(&self, segment: usize, offset: usize, length: usize) -> Result<u64, FlashError> {
        if segment < self.segments && offset.saturating_add(length) <= self.segment_bytes {
            Ok((segment * self.segment_bytes + offset) as u64)
        } else {
            Err(FlashError(22))
        }
    }
}

/// The medium did not do what it was asked. Whether any of it happened is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the flash failed (errno {0})")]
pub struct FlashError(pub i32);

/// A flash memory, or what stands in for one.
///
/// What holds when the power goes: an erased byte reads 0xFF. A program that was not followed by a completed sync may
/// have happened wholly, partly, or not at all, in any order with other unsynced programs, and what it wrote partly may
/// read as anything. An erase that was interrupted leaves anything in its segment, and nothing elsewhere. What a
/// completed sync covered stays.
pub trait Flash {
    /// Its shape; never changes.
    fn geometry(&self) -> Geometry;

    /// Fills `out` from `offset` of `segment`.
    ///
    /// # Errors
    /// [`FlashError`]; also for a range outside of the medium.
    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError>;

    /// Writes whole program units to a place that was not written since its erase.
    ///
    /// # Errors
    /// [`FlashError`].
    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError>;

    /// Makes a segment all 0xFF, lastingly.
    ///
    /// # Errors
    /// [`FlashError`].
    fn erase(&mut self, segment: usize) -> Result<(), FlashError>;

    /// Returns when everything programmed so far will survive a power cut.
    ///
    /// # Errors
    /// [`FlashError`]: what was programmed since the last sync must be taken as lost, and the sync is not to be repeated.
    fn sync(&mut self) -> Result<(), FlashError>;
}
