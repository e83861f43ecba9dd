//! The composition root: builds cores and shells, turns the one loop, and is the one place that knows everybody. What
//! crosses domains (a mirror fails → finding, light, event; a device is removed → notice) is written here, once.

mod buttons;
mod calls;
mod cloud;
mod disks;
mod doctor;
mod events;
mod lights;
mod pairing;
mod portmap;
mod remote;
mod run;
mod start;
mod time;
mod vault;
mod views;
mod watch;

use std::pin::Pin;

use smol::channel::Receiver;

use crate::array::state::Array;
use crate::board::description::Description;
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::control::io::{Call, Server};
use crate::hardware::button::Keypad;
use crate::hardware::io::leds::Lights;
use crate::hardware::io::mcu::Mcu;
use crate::hardware::led::Panel;
use crate::health::finding::Code;
use crate::health::tracker::{Change, Tracker};
use crate::identity::Identity;
use crate::pairing::budget::Budget;
use crate::pairing::desk::Desk;
use crate::pairing::knocks::Knocks;
use crate::pairing::plan::Planned;
use crate::pairing::presence::LastSeen;
use crate::session::inflow::Inflow;
use crate::session::io::Transport;
use crate::session::losses::Losses;
use crate::session::machine::Machine;
use crate::session::presence::Instance;
use crate::session::tls::Judged;
use crate::session::watchdog::Watchdog;
use crate::sys::random::System;
use crate::sys::root::Root;
use crate::units::Mono;

pub use run::run;
pub(crate) use start::{KEY_FILE, build_time, endpoint, site};
pub use start::{Options, StartError};

/// Everything the agent is.
pub struct Agent {
    config: Config,
    root: Root,
    started: Mono,
    clock: Clock,
    judged: Judged,
    random: System,
    identity: Identity,
    vault: vault::Vault,
    budget: Budget,
    desk: Desk,
    seen: LastSeen,
    session: Machine,
    watchdog: Watchdog,
    losses: Losses,
    inflow: Inflow,
    instance: Instance,
    /// The owner asked for a new session: the presence that the broker has kept is not held against it. A clone that still
    /// runs shows itself by the next one.
    clone_forgiven: bool,
    time: time::Question,
    doctor: doctor::Round,
    transport: Transport,
    entrance: remote::Entrance,
    mapper: portmap::Mapper,
    tracker: Tracker,
    events: events::Events,
    board: Option<Description>,
    panel: Panel,
    showing: lights::Showing,
    mcu: Option<Mcu>,
    keypad: Keypad,
    lights: Lights,
    arrays: Vec<Array>,
    disks: disks::Disks,
    knocks: Knocks,
    /// Names that devices give themselves: a few a day, so that none takes the flash's budget from the owner.
    renames: Budget,
    told: cloud::Told,
    _server: Server,
    calls: Pin<Box<Receiver<Call>>>,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unwritten {
    /// The store may not be believed.
    Corrupt,
    /// The flash refuses.
    ReadOnly,
    /// Too many changes today.
    Budget,
}

impl Agent {
    /// The present.
    fn now(&self) -> Now {
        self.clock.now()
    }

    /// Carries out a plan: into the store first, and only then into memory and the answer.
    fn commit<T>(&mut self, plan: Planned<T>) -> Result<T, Unwritten> {
        let now = self.now();
        if !plan.is_empty() && self.vault.corruption().is_none() && !self.budget.take(now.mono) {
            self.tracker.raise(Code::WriteBudget, "", "the daily budget of flash writes is spent", now.mono);
            return Err(Unwritten::Budget);
        }
        self.tracker.clear_where(now.mono, |f| f.code == Code::WriteBudget);
        // Only a trusted time is worth keeping.
        let floor = now.wall.known();
        let vault = &mut self.vault;
        let result = plan.carry_out(&now, floor, |transaction| vault.commit(&transaction));
        if self.vault.is_read_only() {
            self.tracker.raise(Code::StoreReadOnly, "", "a record could not be written", now.mono);
        }
        self.desk.tidy(self.vault.ledger());
        self.seen.tidy(self.vault.ledger());
        self.told.tidy(self.vault.ledger());
        result.map_err(|refusal| match refusal {
            vault::Refusal::Corrupt => Unwritten::Corrupt,
            vault::Refusal::ReadOnly => Unwritten::ReadOnly,
        })
    }

    /// Findings that appeared or went away become log lines and events.
    fn tell_findings(&mut self) {
        let now = self.now();
        while let Some(change) = self.tracker.poll_change() {
            let (kind, finding) = match &change {
                Change::Appeared(finding) => ("finding", finding),
                Change::Cleared(finding) => ("finding-cleared", finding),
            };
            let entry = finding.entry();
            match (&change, entry.severity) {
                (Change::Cleared(_), _) => log::info!("over: {} {}", entry.title, finding.subject),
                (_, crate::health::finding::Severity::Info) => {
                    log::info!("{}: {}", entry.title, finding.evidence)
                }
                (_, _) => log::warn!("{}: {}", entry.title, finding.evidence),
            }
            let view = views::finding(finding, now.mono);
            self.events.push(&now, kind, &view);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_agents_tables_are_bounded_and_small() {
        // Everything that does not grow: 5 MiB of resident memory are the budget for all.
        let bytes = size_of::<super::Agent>();
        println!("{bytes} bytes");
        assert!(bytes < 160 * 1024, "{bytes}");
    }
}
