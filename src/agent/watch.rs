//! Arrays, lights and the clock: what is seen of them becomes findings, events and light.

use serde::Serialize;

use super::{Agent, views};
use crate::array;
use crate::array::state::{Array, State};
use crate::clock::Confidence;
use crate::hardware::bay;
use crate::hardware::led::{Action, Faults};
use crate::health::finding::Code;
use crate::sys::clock;

/// Findings about arrays, by their state.
const ARRAY_CODES: [Code; 6] = [
    Code::ArrayFailed,
    Code::ArrayDegraded,
    Code::ArrayInactive,
    Code::ArrayRebuilding,
    Code::ArrayAttention,
    Code::ArrayUnknown,
];

/// State of an array that is not there, in events.
const GONE: &str = "gone";

#[derive(Serialize)]
struct ArrayEvent {
    array: String,
    state: &'static str,
    before: &'static str,
}

impl Agent {
    /// Looks at the clocks; every event begins with it.
    pub(super) fn look_at_clock(&mut self) {
        let before = self.clock.confidence();
        self.clock.handle_reading(clock::read());
        self.judged.set(self.clock.judged());
        let now = self.now().mono;
        let after = self.clock.confidence();
        if after != before {
            log::info!("the clock is {} now, it was {}", after.name(), before.name());
        }
        self.judge_clock();
        let (unset, unconfirmed) = match after {
            Confidence::Synced => (false, false),
            Confidence::Floor => (false, true),
            Confidence::Unset => (true, false),
        };
        self.hold(
            unset,
            Code::ClockUnset,
            "the system clock stands before the date this software was made",
            now,
        );
        self.hold(
            unconfirmed,
            Code::ClockUnconfirmed,
            "the kernel says that the clock is not synchronised",
            now,
        );
    }

    /// Raises or clears a finding of which there is one.
    pub(super) fn hold(&mut self, holds: bool, code: Code, evidence: &str, now: crate::units::Mono) {
        if holds {
            if !self.tracker.holds(code) {
                self.tracker.raise(code, "", evidence, now);
            }
        } else if self.tracker.holds(code) {
            self.tracker.subside(code, "", now);
        }
    }

    /// Reads the arrays and tells what changed.
    pub(super) fn look_at_arrays(&mut self) {
        let single = super::start::single_by_design(self.board.as_ref());
        let fresh = array::io::read_all(&self.root, single);
        let known = std::mem::replace(&mut self.arrays, fresh);
        let now = self.now();
        for gone in known.iter().filter(|k| !self.arrays.iter().any(|a| a.name == k.name)) {
            self.tracker
                .clear_where(now.mono, |f| ARRAY_CODES.contains(&f.code) && f.subject.as_str() == gone.name);
            log::info!("array {}: gone, it was {}", gone.name, gone.state.name());
            let event = ArrayEvent { array: gone.name.clone(), state: GONE, before: gone.state.name() };
            self.events.push(&now, "array", &event);
        }
        for array in self.arrays.clone() {
            // One that was put together just now was not there before.
            let before = known.iter().find(|k| k.name == array.name).map_or(GONE, |k| k.state.name());
            let state = array.state.name();
            if before != state {
                log::info!("array {}: {state} now, it was {before}", array.name);
                self.events.push(&now, "array", &ArrayEvent { array: array.name.clone(), state, before });
            }
            self.judge_array(&array);
        }
        self.show_faults();
    }

    /// One finding for its state, one for what else was seen.
    pub(super) fn judge_array(&mut self, array: &Array) {
        let now = self.now().mono;
        let code = match &array.state {
            State::Failed => Some(Code::ArrayFailed),
            State::Degraded => Some(Code::ArrayDegraded),
            State::Inactive => Some(Code::ArrayInactive),
            State::Rebuilding(_) => Some(Code::ArrayRebuilding),
            State::Unknown(_) => Some(Code::ArrayUnknown),
            State::Healthy
            | State::Checking(_)
            | State::Waiting
            | State::Synchronising(_)
            | State::SingleDisk => None,
        };
        let attention = (!array.notes.is_empty() && code.is_none()).then_some(Code::ArrayAttention);
        let holds = [code, attention];
        self.tracker.clear_where(now, |f| {
            f.subject.as_str() == array.name
                && ARRAY_CODES.contains(&f.code)
                && !holds.contains(&Some(f.code))
        });
        for code in holds.into_iter().flatten() {
            self.tracker.raise(code, &array.name, &views::array_evidence(array), now);
        }
    }

    /// The fault lights follow the arrays and the store.
    pub(super) fn show_faults(&mut self) {
        let bays = self.board.as_ref().map(|b| b.bays.clone()).unwrap_or_default();
        let lost = self.arrays.iter().flat_map(|a| &a.members).filter(|m| m.is_faulty() || m.gone);
        let faults = Faults {
            any: self.arrays.iter().any(|a| a.state.is_fault()) || self.vault.corruption().is_some(),
            bays: lost.filter_map(|m| bay::of_path(&bays, m.path.as_deref()?)).collect(),
        };
        let actions = self.panel.handle_faults(&faults);
        self.drive_lights(&actions);
    }

    /// Carries light actions out; a light that refuses is a finding, not a failure.
    pub(super) fn drive_lights(&mut self, actions: &[Action]) {
        let now = self.now().mono;
        for action in actions {
            match self.lights.carry_out(action) {
                Ok(()) => log::debug!("light: {action:?}"),
                Err((name, error)) => {
                    self.tracker.raise(Code::LedUnavailable, &name, &format!("{name}: {error}"), now)
                }
            }
        }
    }

    /// Whether something runs on an array, so that its progress is worth a look now and then.
    pub(super) fn is_array_busy(&self) -> bool {
        self.arrays.iter().any(|a| a.state.share().is_some())
    }
}
