//! The disks: looked at once a minute without asking them, their temperatures read while they work, findings from both.

use std::path::Path;
use std::time::Duration;

use super::Agent;
use crate::control::api;
use crate::hardware::disk::{Power, Warmth, Watch, limit};
use crate::hardware::io::disks::{self, Disk, Reading, Thermometers};
use crate::health::finding::Code;
use crate::units::{Bytes, Mono};

/// Between two looks. Reading what the kernel has counted wakes no disk.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Findings about disks.
const CODES: [Code; 3] = [Code::DiskErrors, Code::DiskHot, Code::FlashWorn];

/// The disks that are there.
#[derive(Default)]
pub(super) struct Disks {
    watched: Vec<Watched>,
    thermometers: Thermometers,
    looked: Option<Mono>,
}

struct Watched {
    watch: Watch,
    disk: Disk,
}

impl Watched {
    /// What a finding is about: the bay, and the kernel's name only where there is none.
    fn subject(&self) -> String {
        self.disk.bay.map_or_else(|| self.disk.device.clone(), |bay| format!("bay {bay}"))
    }

    fn evidence(&self, what: &str) -> String {
        let model = self.disk.model.as_deref().map(|m| format!(", {m}")).unwrap_or_default();
        format!("{} ({}{model}): {what}", self.subject(), self.disk.device)
    }
}

impl Disks {
    /// When the next look is due.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.looked.map(|at| at.after(LOOK_EVERY))
    }

    /// What thermometers said. Cancel-safe.
    pub(super) fn poll_read(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Vec<Reading>> {
        self.thermometers.poll_read(cx)
    }

    /// Takes a fresh look in.
    fn handle_found(&mut self, found: Vec<Disk>, now: Mono) {
        let mut known = std::mem::take(&mut self.watched);
        for disk in found {
            let at = known.iter().position(|w| w.watch.path == disk.path);
            let watch = match at.map(|at| known.swap_remove(at).watch) {
                Some(mut watch) => {
                    watch.handle_look(disk.look.clone(), now);
                    watch
                }
                None => Watch::new(disk.path.clone(), disk.look.clone(), now),
            };
            self.watched.push(Watched { watch, disk });
        }
        self.looked = Some(now);
        let is_awake = |w: &&Watched| w.watch.power(now) == Power::Awake;
        let awake = self.watched.iter().filter(is_awake);
        let which = awake.filter_map(|w| Some((w.disk.path.clone(), w.disk.thermometer.clone()?)));
        self.thermometers.ask(which.collect());
    }
}

impl Agent {
    /// Looks, if it is time to.
    pub(super) fn look_at_disks_now_and_then(&mut self) {
        let now = self.now().mono;
        if self.disks.poll_timeout().is_none_or(|at| at <= now) {
            let found = disks::read(&self.root, self.board.as_ref());
            self.look_at_disks(found);
        }
    }

    /// Disks that were just found.
    pub(super) fn look_at_disks(&mut self, found: Vec<Disk>) {
        let now = self.now().mono;
        self.disks.handle_found(found, now);
        self.judge_disks();
    }

    /// What thermometers of disks said.
    pub(super) fn handle_readings(&mut self, readings: &[Reading]) {
        let now = self.now().mono;
        for reading in readings {
            let Some(watched) = self.disks.watched.iter_mut().find(|w| w.watch.path == reading.path) else {
                continue;
            };
            let is_spinning = watched.disk.rotational == Some(true);
            let warmth = reading.value.map(|value| Warmth {
                value,
                limit: limit(reading.limit, is_spinning),
                at: now,
            });
            watched.watch.handle_warmth(warmth, disks::look(Path::new(&reading.path)));
        }
        self.judge_disks();
    }

    fn judge_disks(&mut self) {
        let now = self.now().mono;
        let mut holds: Vec<(Code, String)> = Vec::new();
        for watched in &self.disks.watched {
            let wear = watched.disk.wear.filter(|w| w.is_worn()).map(|w| match w.used_percent {
                Some(used) if !w.spares_low => format!("{used} % of its life are used up"),
                Some(_) | None => "its spare blocks run low".to_owned(),
            });
            let seen = [
                (Code::DiskErrors, watched.watch.failing(now)),
                (Code::DiskHot, watched.watch.hot(now)),
                (Code::FlashWorn, wear),
            ];
            for (code, what) in seen {
                let Some(what) = what else { continue };
                self.tracker.raise(code, &watched.subject(), &watched.evidence(&what), now);
                holds.push((code, watched.subject()));
            }
        }
        let is_over = |code: Code, subject: &str| !holds.iter().any(|(c, s)| *c == code && s == subject);
        self.tracker.clear_where(now, |f| CODES.contains(&f.code) && is_over(f.code, &f.subject));
    }

    pub(super) fn disk_views(&self) -> Vec<api::Disk> {
        let now = self.now().mono;
        let view = |w: &Watched| {
            let Bytes(size_bytes) = w.disk.size;
            let warmth = w.watch.warmth();
            let last = w.watch.last();
            api::Disk {
                device: w.disk.device.clone(),
                bay: w.disk.bay,
                model: w.disk.model.clone(),
                size_bytes,
                rotational: w.disk.rotational,
                power: w.watch.power(now).name(),
                quiet_s: w.watch.quiet(now).map(|quiet| quiet.as_secs()),
                celsius: warmth.map(|w| w.value.degrees()),
                celsius_age_s: warmth.map(|w| now.since(w.at).as_secs()),
                state: last.state.clone(),
                errors: last.errors,
                timeouts: last.timeouts,
                life_used_percent: w.disk.wear.and_then(|w| w.used_percent),
            }
        };
        self.disks.watched.iter().map(view).collect()
    }
}
