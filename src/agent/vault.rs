//! The store as the agent uses it: the log with the ledger folded from it, or the fact that it may not be believed.

use std::path::{Path, PathBuf};

use crate::pairing::ledger::{self, Ledger};
use crate::pairing::record::Transaction;
use crate::random::{self, Random};
use crate::store::io::file::{FileError, Files, set_aside};
use crate::store::log::{CommitError, Counters, Log, OpenError, Rejected, State};

/// The store and the state in it. Both change together or not at all.
pub(super) struct Vault {
    dir: PathBuf,
    segment_bytes: usize,
    ledger: Ledger,
    kind: Kind,
}

enum Kind {
    Open(Log<Files>),
    /// Left by setting it aside; the lock is not held.
    Corrupt(OpenError),
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Corrupt,
    ReadOnly,
}

impl State for Ledger {
    fn snapshot(&self, part: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>) -> Result<(), CommitError> {
        Self::snapshot(self, part)
    }
}

impl Vault {
    /// Opens the store in `dir`. A corrupt one is a state, not an error.
    pub(super) fn open(dir: &Path, segment_bytes: usize, random: &mut dyn Random) -> Result<Self, FileError> {
        let files = Files::open(dir, segment_bytes)?;
        let mut ledger = Ledger::default();
        let fresh = u32::from_le_bytes(random::bytes(random));
        let kind = match Log::open(files, fresh, &mut |p| ledger.replay(p).map_err(|_| Rejected)) {
            Ok(log) => Kind::Open(log),
            Err(error) => {
                ledger = Ledger::default();
                Kind::Corrupt(error)
            }
        };
        Ok(Self { dir: dir.to_owned(), segment_bytes, ledger, kind })
    }

    /// The state as it is in the store.
    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Writes a transaction; only then is it part of the ledger.
    pub(super) fn commit(&mut self, transaction: &Transaction) -> Result<(), Refusal> {
        let Kind::Open(log) = &mut self.kind else { return Err(Refusal::Corrupt) };
        let mut after = self.ledger.clone();
        // A step that does not fit would make the store unreadable: it is never written.
        if let Err(error) = after.apply(transaction) {
            log::error!("a transaction does not fit the state and was not written: {error}");
            return Err(Refusal::ReadOnly);
        }
        log.commit(&ledger::encode(transaction), transaction.effect(), &self.ledger).map_err(|error| {
            log::error!("the store refuses a record: {error}");
            Refusal::ReadOnly
        })?;
        self.ledger = after;
        Ok(())
    }

    /// What is wrong, if the store may not be believed.
    pub(super) fn corruption(&self) -> Option<String> {
        match &self.kind {
            Kind::Corrupt(error) => Some(error.to_string()),
            Kind::Open(_) => None,
        }
    }

    /// Whether the flash refuses writes.
    pub(super) const fn is_read_only(&self) -> bool {
        match &self.kind {
            Kind::Open(log) => log.is_read_only(),
            Kind::Corrupt(_) => false,
        }
    }

    /// What it cost since it was opened.
    pub(super) fn counters(&self) -> Counters {
        match &self.kind {
            Kind::Open(log) => log.counters(),
            Kind::Corrupt(_) => Counters::default(),
        }
    }

    /// Keeps a corrupt store's files for diagnosis and starts afresh. A good store is left as it is.
    pub(super) fn start_afresh(&mut self, random: &mut dyn Random) -> Result<(), FileError> {
        if let Kind::Corrupt(_) = self.kind {
            let kept = set_aside(&self.dir)?;
            log::warn!("the damaged store is kept in {}", kept.display());
            *self = Self::open(&self.dir, self.segment_bytes, random)?;
        }
        Ok(())
    }
}
