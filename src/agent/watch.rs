//! Arrays, buttons and the clock: what is seen of them becomes findings and events.

use serde::Serialize;

use super::{Agent, views};
use crate::array::event::{self, Happened};
use crate::array::state::{Array, State};
use crate::clock::Confidence;
use crate::hardware::io::disks::locate;
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

/// By the names of `mdadm --monitor`.
#[derive(Serialize)]
struct MdEvent<'a> {
    array: &'a str,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
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

    /// Bays that are told by a controller's port, while there are some whose controller was not there yet.
    fn locate_bays(&mut self) {
        if let Some(board) = &mut self.board {
            locate(&self.root, board);
        }
    }

    /// Reads the arrays and tells what changed.
    pub(super) fn look_at_arrays(&mut self) {
        self.locate_bays();
        let mut fresh = super::start::arrays(&self.root, self.board.as_ref());
        for array in &mut fresh {
            if let Some(before) = self.arrays.iter().find(|k| k.name == array.name) {
                array.compare(before);
            }
        }
        let known = std::mem::replace(&mut self.arrays, fresh);
        let happened = event::between(&known, &self.arrays);
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
        self.tell_happened(&happened);
        self.show_lights();
    }

    /// Events by mdadm's names, for whoever has scripts for them.
    pub(super) fn tell_happened(&mut self, happened: &[Happened]) {
        let now = self.now();
        for Happened { name, array, device } in happened {
            let event = MdEvent { array, name: name.text(), device: device.as_deref() };
            log::info!("array {array}: {} {}", event.name, event.device.unwrap_or_default());
            self.events.push(&now, "md", &event);
        }
    }

    /// One finding for its state, one for what else was seen.
    pub(super) fn judge_array(&mut self, array: &Array) {
        let now = self.now().mono;
        let code = match &array.state {
            State::Failed => Some(Code::ArrayFailed),
            State::Degraded => Some(Code::ArrayDegraded),
            State::Inactive => Some(Code::ArrayInactive),
            State::Rebuilding => Some(Code::ArrayRebuilding),
            State::Unknown(_) => Some(Code::ArrayUnknown),
            State::Healthy
            | State::Checking
            | State::Waiting
            | State::Synchronising
            | State::Reshaping
            | State::SingleDisk => None,
        };
        let attention = (!array.warnings.is_empty() && code.is_none()).then_some(Code::ArrayAttention);
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

    /// Whether something runs on an array or is to be seen twice, so that it is worth a look now and then.
    pub(super) fn is_array_busy(&self) -> bool {
        self.arrays.iter().any(Array::is_unsettled)
    }
}
