//! A flash in memory, for tests.
//!
//! Fault model: every operation is recorded. A *crash image* is what a medium may hold when the power goes during one of
//! them: everything that a completed sync covered, any subset of the programs since then, and the interrupted operation
//! itself in part. An operation can also be made to fail with an error. Programming a byte that is not 0xFF clears bits
//! (NOR) and is counted, since the log must never do it.

use super::flash::{Flash, FlashError, Geometry};

/// What was done to the flash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bytes written.
    Program {
        /// Segment.
        segment: usize,
        /// First byte.
        offset: usize,
        /// What.
        data: Vec<u8>,
    },
    /// A segment erased.
    Erase {
        /// Segment.
        segment: usize,
    },
    /// Everything so far made lasting.
    Sync,
}

/// The flash.
#[derive(Clone, Debug)]
pub struct SimFlash {
    geometry: Geometry,
    /// What it holds now.
    pub image: Vec<Vec<u8>>,
    /// What was done, in order.
    pub operations: Vec<Operation>,
    /// Operations before one fails; `None`: none does.
    pub fail_in: Option<usize>,
    /// Whether every operation after a failed one fails too.
    pub dead: bool,
    /// Bytes that were programmed twice between erases.
    pub overwrites: usize,
}

impl SimFlash {
    /// Blank.
    pub fn new(geometry: Geometry) -> Self {
        Self::with_image(geometry, vec![vec![0xff; geometry.segment_bytes]; geometry.segments])
    }

    /// Holding `image`.
    pub const fn with_image(geometry: Geometry, image: Vec<Vec<u8>>) -> Self {
        Self { geometry, image, operations: Vec::new(), fail_in: None, dead: false, overwrites: 0 }
    }

    fn may_fail(&mut self) -> Result<(), FlashError> {
        match self.fail_in {
            Some(0) => {
                self.fail_in = self.dead.then_some(0);
                Err(FlashError(5))
            }
            Some(left) => {
                self.fail_in = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Writes as NOR does: bits only ever go from 1 to 0.
pub fn program(image: &mut [Vec<u8>], segment: usize, offset: usize, data: &[u8]) {
    let bytes = image.get_mut(segment).and_then(|s| s.get_mut(offset..offset + data.len()));
    for (to, from) in bytes.into_iter().flatten().zip(data) {
        *to &= *from;
    }
}

impl Flash for SimFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        let bytes =
            self.image.get(segment).and_then(|s| s.get(offset..offset + out.len())).ok_or(FlashError(22))?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError> {
        let unit = self.geometry.program_unit;
        let bytes =
            self.image.get(segment).and_then(|s| s.get(offset..offset + data.len())).ok_or(FlashError(22))?;
        if !offset.is_multiple_of(unit) || !data.len().is_multiple_of(unit) {
            return Err(FlashError(22));
        }
        self.overwrites += bytes.iter().filter(|b| **b != 0xff).count();
        self.may_fail()?;
        program(&mut self.image, segment, offset, data);
        self.operations.push(Operation::Program { segment, offset, data: data.to_vec() });
        Ok(())
    }

    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        self.may_fail()?;
        if let Some(bytes) = self.image.get_mut(segment) {
            bytes.fill(0xff);
        }
        self.operations.push(Operation::Erase { segment });
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.may_fail()?;
        self.operations.push(Operation::Sync);
        Ok(())
    }
}
