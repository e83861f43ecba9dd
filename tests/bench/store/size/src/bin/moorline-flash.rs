//! moorline's log over a flash.

use moorline::store::flash::{Flash, FlashError, Geometry};
use moorline::store::log::{CommitError, Effect, Log, State};
use size::{BLOCK, BLOCKS, Chip, key};

struct Segments(Chip);

const GEOMETRY: Geometry =
    Geometry { segments: 2, segment_bytes: BLOCK * BLOCKS / 2, program_unit: 16, fades: false };

fn failed(error: std::io::Error) -> FlashError {
    FlashError(error.raw_os_error().unwrap_or(5))
}

impl Flash for Segments {
    fn geometry(&self) -> Geometry {
        GEOMETRY
    }
    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        self.0.read(segment * GEOMETRY.segment_bytes + offset, out).map_err(failed)
    }
    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError> {
        self.0.program(segment * GEOMETRY.segment_bytes + offset, data).map_err(failed)
    }
    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        (segment * BLOCKS / 2..(segment + 1) * BLOCKS / 2).try_for_each(|b| self.0.erase(b)).map_err(failed)
    }
    fn sync(&mut self) -> Result<(), FlashError> {
        self.0.sync().map_err(failed)
    }
}

struct Keys(Vec<Vec<u8>>);

impl State for Keys {
    fn snapshot(&self, part: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>) -> Result<(), CommitError> {
        self.0.iter().try_for_each(|p| part(p))
    }
}

fn main() -> std::io::Result<()> {
    let mut keys = Keys(Vec::new());
    let mut replayed = Vec::new();
    let log = Log::open(Segments(Chip::open()?), 7, &mut |p| {
        replayed.push(p.to_vec());
        Ok(())
    });
    keys.0 = replayed;
    let mut log = log.map_err(std::io::Error::other)?;
    log.commit(&key(), Effect::Takes, &keys).map_err(std::io::Error::other)?;
    println!("{:?}", keys.0);
    Ok(())
}
