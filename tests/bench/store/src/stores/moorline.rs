//! moorline's append log with the ledger folded from it, as the agent has it (src/agent/vault.rs).

use std::path::Path;

use moorline::pairing::ledger::{self, Ledger};
use moorline::store::flash::{Flash, FlashError, Geometry};
use moorline::store::io::file::Files;
use moorline::store::log::{CommitError, Log, Rejected, State};

use super::{Opened, Store, text};
use crate::medium::{Medium, Outside};
use crate::trace::{Map, Step, keys};

/// `[store] segment_kib` as it ships.
const SEGMENT: usize = 64 * 1024;

struct Vault<F> {
    log: Log<F>,
    ledger: Ledger,
}

/// What a snapshot is taken of.
struct Before<'a>(&'a Ledger);

impl State for Before<'_> {
    fn snapshot(&self, part: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>) -> Result<(), CommitError> {
        self.0.snapshot(part)
    }
}

fn open<F: Flash + 'static>(flash: F) -> Opened {
    let mut ledger = Ledger::default();
    let log = Log::open(flash, 7, &mut |p| ledger.replay(p).map_err(|_| Rejected)).map_err(text)?;
    Ok(Box::new(Vault { log, ledger }))
}

impl<F: Flash> Store for Vault<F> {
    fn commit(&mut self, step: &Step) -> Result<(), String> {
        let mut after = self.ledger.clone();
        let transaction = ledger::decode(&step.payload).map_err(text)?;
        after.apply(&transaction).map_err(text)?;
        self.log.commit(&step.payload, transaction.effect(), &Before(&self.ledger)).map_err(text)?;
        self.ledger = after;
        Ok(())
    }

    fn all(&mut self) -> Result<Map, String> {
        Ok(keys(&self.ledger))
    }
}

/// In two files.
pub fn files(dir: &Path) -> Opened {
    open(Files::open(dir, SEGMENT).map_err(text)?)
}

/// Some blocks of the chip as a segment.
struct Segments {
    medium: Medium,
    geometry: Geometry,
    block: usize,
}

/// On raw flash.
pub fn flash(medium: Medium, segments: usize, program_unit: usize) -> Opened {
    let shape = medium.0.borrow().shape;
    let segment_bytes = shape.block * shape.blocks / segments;
    let geometry = Geometry { segments, segment_bytes, program_unit, fades: program_unit > 1024 };
    open(Segments { medium, geometry, block: shape.block })
}

const fn failed(_: Outside) -> FlashError {
    FlashError(5)
}

impl Flash for Segments {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        self.medium.read(segment * self.geometry.segment_bytes + offset, out).map_err(failed)
    }

    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError> {
        self.medium.program(segment * self.geometry.segment_bytes + offset, data).map_err(failed)
    }

    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        let blocks = self.geometry.segment_bytes / self.block;
        (segment * blocks..(segment + 1) * blocks).try_for_each(|b| self.medium.erase(b)).map_err(failed)
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.medium.sync();
        Ok(())
    }
}
