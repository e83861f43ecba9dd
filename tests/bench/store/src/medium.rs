//! A raw flash in memory: what was programmed, erased and read is counted, and recorded where crash images are wanted.
//!
//! Fault model: programs and erases happen one after the other, each is lasting once it returns. A cut program leaves a
//! prefix of its bytes, or any subset of its bits; a cut erase leaves any part of the block erased. Programming only ever
//! clears bits.

use std::cell::RefCell;
use std::rc::Rc;

/// What the chip looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub block: usize,
    pub blocks: usize,
}

/// Serial NOR: 128 KiB in sectors of 4 KiB; bytes are programmed as the store likes.
pub const NOR: Shape = Shape { block: 4096, blocks: 32 };
/// Raw NAND: eight blocks of 128 KiB; pages of 2 KiB.
pub const NAND: Shape = Shape { block: 128 * 1024, blocks: 8 };

/// What was done.
#[derive(Clone, Debug)]
pub enum Op {
    Program { at: usize, data: Vec<u8> },
    Erase { block: usize },
}

/// What it cost.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    pub programmed: u64,
    pub programs: u64,
    pub read: u64,
    pub syncs: u64,
    pub erases: u64,
    /// Of each block.
    pub worn: Vec<u32>,
    /// Bytes that were not blank when they were programmed.
    pub again: u64,
}

pub struct Chip {
    pub shape: Shape,
    pub image: Vec<u8>,
    pub cost: Cost,
    /// `None`: nothing is recorded.
    pub ops: Option<Vec<Op>>,
}

/// A handle, since each store wants to own its flash.
#[derive(Clone)]
pub struct Medium(pub Rc<RefCell<Chip>>);

/// A range outside of the chip, or not aligned.
#[derive(Clone, Copy, Debug)]
pub struct Outside;

impl embedded_storage_async::nor_flash::NorFlashError for Outside {
    fn kind(&self) -> embedded_storage_async::nor_flash::NorFlashErrorKind {
        embedded_storage_async::nor_flash::NorFlashErrorKind::OutOfBounds
    }
}

impl Medium {
    pub fn blank(shape: Shape) -> Self {
        Self::holding(shape, vec![0xff; shape.block * shape.blocks])
    }

    pub fn holding(shape: Shape, image: Vec<u8>) -> Self {
        let cost = Cost { worn: vec![0; shape.blocks], ..Cost::default() };
        Self(Rc::new(RefCell::new(Chip { shape, image, cost, ops: None })))
    }

    pub fn record(&self) {
        self.0.borrow_mut().ops = Some(Vec::new());
    }

    pub fn cost(&self) -> Cost {
        self.0.borrow().cost.clone()
    }

    pub fn read(&self, at: usize, out: &mut [u8]) -> Result<(), Outside> {
        let chip = &mut *self.0.borrow_mut();
        out.copy_from_slice(chip.image.get(at..at + out.len()).ok_or(Outside)?);
        chip.cost.read += out.len() as u64;
        Ok(())
    }

    pub fn program(&self, at: usize, data: &[u8]) -> Result<(), Outside> {
        let chip = &mut *self.0.borrow_mut();
        let bytes = chip.image.get_mut(at..at + data.len()).ok_or(Outside)?;
        chip.cost.again += bytes.iter().filter(|b| **b != 0xff).count() as u64;
        clear_bits(bytes, data);
        chip.cost.programmed += data.len() as u64;
        chip.cost.programs += 1;
        if let Some(ops) = &mut chip.ops {
            ops.push(Op::Program { at, data: data.to_vec() });
        }
        Ok(())
    }

    pub fn erase(&self, block: usize) -> Result<(), Outside> {
        let chip = &mut *self.0.borrow_mut();
        let size = chip.shape.block;
        chip.image.get_mut(block * size..(block + 1) * size).ok_or(Outside)?.fill(0xff);
        chip.cost.erases += 1;
        chip.cost.worn[block] += 1;
        if let Some(ops) = &mut chip.ops {
            ops.push(Op::Erase { block });
        }
        Ok(())
    }

    pub fn sync(&self) {
        self.0.borrow_mut().cost.syncs += 1;
    }
}

/// Programs as flash does.
pub fn clear_bits(bytes: &mut [u8], data: &[u8]) {
    for (to, from) in bytes.iter_mut().zip(data) {
        *to &= *from;
    }
}

/// Bytes of the whole chip.
pub const fn size(shape: Shape) -> usize {
    shape.block * shape.blocks
}
