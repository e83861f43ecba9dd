//! The log: open, commit, rotate. Over any [`Flash`]; holds no state but where it stands.

use super::flash::{Flash, FlashError, Geometry};
use super::frame::{FRAME_LEN, Frame, HEADER_LEN, Header, Kind, PAYLOAD_MAX};
use super::recover::{Corruption, Evidence, Found, Rules, Verdict, is_settled, judge, low, tail_slot};

/// Longest payload of a commit.
pub const COMMIT_MAX: usize = PAYLOAD_MAX;
/// Longest part of a snapshot.
pub const PART_MAX: usize = 1024;

/// What can write itself down in parts.
pub trait State {
    /// Hands over the parts, each at most [`PART_MAX`] bytes, that rebuild the state when replayed in order.
    ///
    /// # Errors
    /// Those of `part`, unchanged.
    fn snapshot(&self, part: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>) -> Result<(), CommitError>;
}

/// What a record does to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It gives. If it were lost, something would be missing.
    Gives,
    /// It takes something away that must not come back: it is sealed by an empty commit behind it, so that even a single
    /// flipped bit in it is told from a write that was cut.
    Takes,
}

/// The one who replays does not understand a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected;

/// Why a store cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// It may not be believed; nothing was changed.
    #[error(transparent)]
    Corrupt(#[from] Evidence),
}

/// Why a commit is not acknowledged. After `ReadOnly` nobody knows what of it is on the flash: a restart may find it
/// there, whole, or not at all; no answer may be built on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The flash refuses; the log takes nothing more until it is opened anew.
    #[error("the store is read-only: the flash refuses writes")]
    ReadOnly,
    /// The payload or the state is larger than the store allows: a bug of the caller.
    #[error("the record does not fit the store")]
    TooLarge,
}

/// Since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions.
    pub commits: u64,
    /// Rotations into a fresh segment.
    pub rotations: u64,
    /// Bytes programmed, padding included.
    pub bytes_programmed: u64,
    /// Segments erased.
    pub erases: u64,
    /// Syncs.
    pub syncs: u64,
}

/// Where the log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Blank: the first commit makes the first segment.
    Nowhere { log_id: u32 },
    /// Appends here.
    At { segment: usize, header: Header, offset: usize, clean: bool },
    /// A flash error that could not be got over. Left only by opening anew.
    ReadOnly,
}

/// An open log.
#[derive(Debug)]
pub struct Log<F> {
    flash: F,
    geometry: Geometry,
    position: Position,
    txn: u64,
    newest: u64,
    counters: Counters,
    rules: Rules,
}

impl<F: Flash> Log<F> {
    /// Syncs and reads the flash and replays what it holds; writes nothing. `fresh_log_id`: random, used only on a blank flash.
    ///
    /// # Errors
    /// [`OpenError`]; the flash is as it was.
    pub fn open(
        flash: F,
        fresh_log_id: u32,
        replay: &mut dyn FnMut(&[u8]) -> Result<(), Rejected>,
    ) -> Result<Self, OpenError> {
        Self::open_with(flash, fresh_log_id, replay, Rules::ALL)
    }

    pub(crate) fn open_with(
        mut flash: F,
        fresh_log_id: u32,
        replay: &mut dyn FnMut(&[u8]) -> Result<(), Rejected>,
        rules: Rules,
    ) -> Result<Self, OpenError> {
        // What a killed process wrote but never synced can be read all the same; nothing may be built on it before it lasts.
        if rules.sync_open {
            flash.sync()?;
        }
        let geometry = flash.geometry();
        let mut segments = Vec::with_capacity(geometry.segments);
        for segment in 0..geometry.segments {
            let mut bytes = vec![0; geometry.segment_bytes];
            flash.read(segment, 0, &mut bytes)?;
            segments.push(bytes);
        }
        let (position, txn, newest) = match judge(&geometry, &segments, rules)? {
            Verdict::Blank { newest } => (Position::Nowhere { log_id: fresh_log_id }, 0, newest),
            Verdict::Current(found) => {
                replay_all(&segments, &found, replay)?;
                let Found { segment, header, end, torn, .. } = found;
                // Other segments may have to be erased first (rule 6), and nothing may be written behind a torn tail
                // (rule 5): both are done by the first commit, which has the state to write anew.
                let alone =
                    segments.iter().enumerate().all(|(i, s)| i == segment || is_settled(&geometry, s));
                let clean =
                    (!torn || !rules.rotate_torn) && (alone || !rules.erase_others) && !geometry.fades;
                (Position::At { segment, header, offset: end, clean }, found.txn, found.newest)
            }
        };
        Ok(Self { flash, geometry, position, txn, newest, counters: Counters::default(), rules })
    }

    /// Writes a transaction; `Ok` only once it will survive a power cut. `before`: the state that it changes, for the
    /// case that a fresh segment is needed.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn commit(&mut self, payload: &[u8], effect: Effect, before: &dyn State) -> Result<(), CommitError> {
        if payload.len() > COMMIT_MAX {
            return Err(CommitError::TooLarge);
        }
        let sealed = effect == Effect::Takes && self.rules.seal;
        let seal = if sealed { self.geometry.round(FRAME_LEN) } else { 0 };
        let room = self.geometry.round(FRAME_LEN + payload.len()) + seal;
        let fits = match self.position {
            Position::ReadOnly => return Err(CommitError::ReadOnly),
            Position::Nowhere { .. } => false,
            Position::At { offset, clean, .. } => clean && offset + room <= tail_slot(&self.geometry),
        };
        if fits && self.write(payload, sealed).is_ok() {
            return Ok(());
        }
        // No room, something to clean up, or an error after which nobody knows what of the frame is on the flash: a fresh
        // segment, whose snapshot does not have the payload. A failed sync is never repeated on the same data.
        // Twice, each time from the erase on: one passing error is got over, a flash that is dead fails again.
        for _ in 0..2 {
            match self.rotate(before) {
                Ok(()) if self.write(payload, sealed).is_ok() => return Ok(()),
                Ok(()) | Err(Rotating::Flash) => {}
                Err(Rotating::TooLarge) => return Err(CommitError::TooLarge),
            }
        }
        self.position = Position::ReadOnly;
        Err(CommitError::ReadOnly)
    }

    /// Whether a flash error has made it read-only.
    pub const fn is_read_only(&self) -> bool {
        matches!(self.position, Position::ReadOnly)
    }

    /// What it cost so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The flash, for tests that cut its power.
    #[cfg(any(test, feature = "sim"))]
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// The flash, for tests that look at it.
    #[cfg(any(test, feature = "sim"))]
    pub const fn flash(&self) -> &F {
        &self.flash
    }

    fn write(&mut self, payload: &[u8], sealed: bool) -> Result<(), FlashError> {
        self.append(payload)?;
        self.counters.commits += 1;
        // Not in one sync with the record: a cut could then take the record and leave the seal, which looks like damage.
        if sealed { self.append(&[]) } else { Ok(()) }
    }

    fn append(&mut self, payload: &[u8]) -> Result<(), FlashError> {
        let Position::At { segment, header, offset, clean } = self.position else {
            return Err(FlashError(0));
        };
        let bytes = header.frame(offset, Frame { kind: Kind::Commit, txn: low(self.txn + 1), payload });
        let length = self.program(segment, offset, bytes)?;
        if self.rules.sync_commit {
            self.sync()?;
        }
        self.txn += 1;
        self.position = Position::At { segment, header, offset: offset + length, clean };
        Ok(())
    }

    /// A fresh segment with a snapshot of `before`; the old one is marked before anything new is accepted.
    fn rotate(&mut self, before: &dyn State) -> Result<(), Rotating> {
        let (old, log_id) = match self.position {
            Position::ReadOnly => return Err(Rotating::Flash),
            Position::Nowhere { log_id } => (None, log_id),
            Position::At { segment, header, .. } => (Some((segment, header)), header.log_id),
        };
        let target = match old {
            Some((segment, _)) => (segment + 1) % self.geometry.segments.max(1),
            None => self.first_target()?,
        };
        let header = Header {
            log2_unit: u8::try_from(self.geometry.program_unit.trailing_zeros()).unwrap_or(0),
            log_id,
            generation: self.newest + 1,
            base_txn: self.txn,
        };
        // Used up even if this attempt fails: no two attempts may look alike.
        self.newest = header.generation;
        let offset = self.fill(target, &header, old.is_none(), before)?;
        if let Some((segment, old_header)) = old.filter(|_| self.rules.mark_old) {
            // Unmarked, the old segment could come back if the new one rots.
            self.mark(segment, &old_header)?;
        }
        self.clear_others(target, old.map(|(segment, _)| segment))?;
        self.counters.rotations += 1;
        self.position = Position::At { segment: target, header, offset, clean: true };
        Ok(())
    }

    /// A blank segment, if there is one: nothing is erased before something whole stands elsewhere, or a cut would leave
    /// bytes that nobody can tell from damage.
    fn first_target(&mut self) -> Result<usize, FlashError> {
        for segment in 0..self.geometry.segments {
            if self.is_blank(segment)? {
                return Ok(segment);
            }
        }
        Ok(0)
    }

    /// Header, snapshot and end into an erased segment, synced.
    fn fill(
        &mut self,
        target: usize,
        header: &Header,
        first: bool,
        before: &dyn State,
    ) -> Result<usize, Rotating> {
        // A segment that reads blank may still be half erased; it is trusted only if nothing was ever there.
        if !(first && self.is_blank(target)?) {
            self.erase(target)?;
        }
        let mut offset = self.program(target, 0, header.encode().to_vec())?;
        if first {
            // Alone on the flash, a snapshot without its header could not be told from damage.
            self.sync()?;
        }
        let half = self.geometry.segment_bytes / 2;
        let mut parts = 0u32;
        let mut broken = false;
        let written = before.snapshot(&mut |part| {
            let frame = Frame { kind: Kind::Part, txn: parts, payload: part };
            if part.len() > PART_MAX || offset + self.geometry.round(frame.len()) > half {
                return Err(CommitError::TooLarge);
            }
            let bytes = header.frame(offset, frame);
            offset += self.program(target, offset, bytes).map_err(|_| {
                broken = true;
                CommitError::ReadOnly
            })?;
            parts += 1;
            Ok(())
        });
        match written {
            Ok(()) => {}
            Err(CommitError::ReadOnly) => return Err(Rotating::Flash),
            Err(CommitError::TooLarge) => return Err(Rotating::TooLarge),
        }
        debug_assert!(!broken, "an error of the flash was swallowed by the snapshot");
        let end = Frame { kind: Kind::End, txn: parts, payload: &[] };
        offset += self.program(target, offset, header.frame(offset, end))?;
        if self.rules.sync_fill {
            self.sync()?;
        }
        Ok(offset)
    }

    /// Rule 6: leftovers of attempts that were cut must not be there when something new is accepted.
    fn clear_others(&mut self, target: usize, old: Option<usize>) -> Result<(), FlashError> {
        for segment in 0..self.geometry.segments {
            if self.rules.erase_others
                && segment != target
                && Some(segment) != old
                && !self.is_settled(segment)?
            {
                self.erase(segment)?;
            }
        }
        Ok(())
    }

    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        self.counters.erases += 1;
        self.flash.erase(segment)
    }

    /// Whether a segment needs no erase: sparing one is sparing the flash.
    fn is_blank(&mut self, segment: usize) -> Result<bool, FlashError> {
        let mut bytes = vec![0; self.geometry.segment_bytes];
        self.flash.read(segment, 0, &mut bytes)?;
        Ok(bytes.iter().all(|b| *b == 0xff))
    }

    fn is_settled(&mut self, segment: usize) -> Result<bool, FlashError> {
        let mut bytes = vec![0; self.geometry.segment_bytes];
        self.flash.read(segment, 0, &mut bytes)?;
        Ok(is_settled(&self.geometry, &bytes))
    }

    fn mark(&mut self, segment: usize, header: &Header) -> Result<(), FlashError> {
        let offset = tail_slot(&self.geometry);
        let mark = header.frame(offset, Frame { kind: Kind::End, txn: u32::MAX, payload: &[] });
        self.program(segment, offset, mark)?;
        self.sync()
    }

    fn program(&mut self, segment: usize, offset: usize, mut bytes: Vec<u8>) -> Result<usize, FlashError> {
        bytes.resize(self.geometry.round(bytes.len()), 0xff);
        self.counters.bytes_programmed += bytes.len() as u64;
        self.flash.program(segment, offset, &bytes)?;
        Ok(bytes.len())
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.counters.syncs += 1;
        self.flash.sync()
    }
}

/// Why a rotation did not happen.
enum Rotating {
    Flash,
    TooLarge,
}

impl From<FlashError> for Rotating {
    fn from(_: FlashError) -> Self {
        Self::Flash
    }
}

fn replay_all(
    segments: &[Vec<u8>],
    found: &Found,
    replay: &mut dyn FnMut(&[u8]) -> Result<(), Rejected>,
) -> Result<(), Evidence> {
    for (offset, length) in &found.payloads {
        let payload =
            segments.get(found.segment).and_then(|s| s.get(*offset..offset + length)).unwrap_or_default();
        replay(payload).map_err(|Rejected| Evidence {
            kind: Corruption::Rejected,
            segment: found.segment,
            offset: *offset,
        })?;
    }
    Ok(())
}

/// The smallest segment that can hold a header, an empty snapshot, one commit and the tail slot.
pub const fn smallest_segment(program_unit: usize) -> usize {
    HEADER_LEN.next_multiple_of(program_unit) + 4 * FRAME_LEN.next_multiple_of(program_unit)
}
