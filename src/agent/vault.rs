//! The store as the agent uses it: the log with the ledger folded from it, or the fact that it may not be believed.

use std::time::{Duration, Instant};

use crate::pairing::ledger::{self, Ledger};
use crate::pairing::record::Transaction;
use crate::random::{self, Random};
use crate::store::flash::Flash;
use crate::store::io::file::Lock;
use crate::store::io::{Medium, Site, SiteError};
use crate::store::log::{CommitError, Counters, Log, OpenError, Rejected, State};
use crate::store::place::Place;
use crate::store::wear::years_at_least;

/// The store and the state in it. Both change together or not at all.
pub(super) struct Vault {
    site: Site,
    place: Place,
    /// `None` only while a corrupt store is set aside.
    lock: Option<Lock>,
    /// At the daily budget; `None` where nobody knows.
    years_at_least: Option<u32>,
    ledger: Ledger,
    /// Grows with every change of the ledger or of whether it may be believed.
    version: u64,
    /// How long reading and judging took.
    opened_in: Duration,
    /// The longest commit since then: everything else waits for it.
    worst_commit: Duration,
    kind: Kind,
}

enum Kind {
    Open(Log<Medium>),
    /// Left by setting it aside.
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
    /// Opens the store at `site`. A corrupt one is a state, not an error. `records_per_day`: the budget.
    pub(super) fn open(site: Site, records_per_day: u32, random: &mut dyn Random) -> Result<Self, SiteError> {
        let began = Instant::now();
        let (medium, place, lock) = site.open()?;
        let endurance = medium.endurance();
        let years_at_least = endurance.map(|e| years_at_least(&medium.geometry(), e, records_per_day));
        let mut ledger = Ledger::default();
        let fresh = u32::from_le_bytes(random::bytes(random));
        let kind = match Log::open(medium, fresh, &mut |p| ledger.replay(p).map_err(|_| Rejected)) {
            Ok(log) => Kind::Open(log),
            Err(error) => {
                ledger = Ledger::default();
                Kind::Corrupt(error)
            }
        };
        let (opened_in, worst_commit) = (began.elapsed(), Duration::ZERO);
        Ok(Self {
            site,
            place,
            lock: Some(lock),
            years_at_least,
            ledger,
            version: 0,
            opened_in,
            worst_commit,
            kind,
        })
    }

    /// Where it is.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Years that the flash lasts at least.
    pub(super) const fn years_at_least(&self) -> Option<u32> {
        self.years_at_least
    }

    /// The state as it is in the store.
    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What it is compared with later to see whether the state is another: cheaper than looking at the state.
    pub(super) const fn version(&self) -> u64 {
        self.version
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
        let began = Instant::now();
        let done = log.commit(&ledger::encode(transaction), transaction.effect(), &self.ledger);
        self.worst_commit = self.worst_commit.max(began.elapsed());
        done.map_err(|error| {
            log::error!("the store refuses a record: {error}");
            Refusal::ReadOnly
        })?;
        self.ledger = after;
        self.version += 1;
        Ok(())
    }

    /// How long opening took, and the longest commit since.
    pub(super) const fn times(&self) -> (Duration, Duration) {
        (self.opened_in, self.worst_commit)
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

    /// Keeps a corrupt store for diagnosis and starts afresh. A good store is left as it is.
    pub(super) fn start_afresh(
        &mut self,
        records_per_day: u32,
        random: &mut dyn Random,
    ) -> Result<(), SiteError> {
        if let Kind::Corrupt(_) = self.kind {
            self.lock = None;
            let kept = self.site.set_aside()?;
            log::warn!("the damaged store is kept in {}", kept.display());
            let version = self.version + 1;
            *self = Self { version, ..Self::open(self.site.clone(), records_per_day, random)? };
        }
        Ok(())
    }
}
