//! Buttons, switches and alarm lines become events, and what presses of the reset button mean is done.

use core::time::Duration;

use serde::Serialize;

use super::Agent;
use crate::control::route::{Refused, Scope};
use crate::hardware::button::{Happened, Told};
use crate::hardware::press::Step;
use crate::health::finding::Code;
use crate::pairing::plan;
use crate::pairing::record::{DeviceId, Reach};

/// How long the code of a button is valid: for somebody who stands beside the box. One that has less left than a minute is replaced
/// by the next press; before that a press only shows it again, so that a child at the button writes little to the flash.
const CODE_VALID: Duration = Duration::from_secs(10 * 60);
const CODE_LEFT_MIN: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct ButtonEvent<'a> {
    button: &'a str,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_ms: Option<u64>,
    /// While it is held: what letting go would set off.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
}

#[derive(Serialize)]
struct SwitchEvent<'a> {
    name: &'a str,
    on: bool,
}

/// What a press of the reset button came to.
#[derive(Serialize)]
struct PressEvent<'a> {
    button: &'a str,
    step: &'static str,
    done: bool,
    /// The entry whose code can be asked for now (`GET /v1/codes`); the code itself is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Why a press did nothing: a stable code and its case.
type Undone = (&'static str, String);

fn undone(refused: Refused) -> Undone {
    (refused.fault.entry().name, refused.detail)
}

impl Agent {
    pub(super) fn since_boot(&self) -> Duration {
        Duration::from_millis(self.now().mono.as_millis())
    }

    /// An input device with buttons of the board.
    pub(super) fn handle_button(&mut self, device: &str, told: Told) {
        let since_boot = self.since_boot();
        let key = match told {
            Told::Key(key) => key,
            Told::Lost => return self.keypad.handle_lost(device),
        };
        let Some((name, happened)) = self.keypad.handle_key(device, key, since_boot) else { return };
        let name = name.to_owned();
        match happened {
            Happened::Pressed => self.button_event(&name, "pressed", None, None),
            Happened::Released { held, step } => {
                self.button_event(&name, "released", u64::try_from(held.as_millis()).ok(), None);
                if let Some(step) = step.filter(|_| self.config.button_reset) {
                    self.carry_out_press(&name, step);
                }
            }
            Happened::Switched(on) => self.switch_event(&name, "switched", on),
            Happened::Alarm(on) => {
                self.switch_event(&name, "alarm", on);
                let now = self.now().mono;
                if on {
                    let evidence = format!("the box's alarm line {name} is on");
                    self.tracker.raise(Code::AlarmInput, &name, &evidence, now);
                } else {
                    self.tracker.subside(Code::AlarmInput, &name, now);
                }
            }
        }
    }

    /// What is under the finger on the reset button, for lights and pages that show it.
    pub(super) fn tell_steps(&mut self) {
        let now = self.since_boot();
        while let Some((name, step)) = self.keypad.poll_step(now) {
            let name = name.to_owned();
            if self.config.button_reset {
                self.button_event(&name, "held", None, Some(step.map_or("none", Step::name)));
            }
        }
    }

    /// How long until [`Self::tell_steps`] has something to do.
    pub(super) fn next_step(&self) -> Option<Duration> {
        let now = self.since_boot();
        self.keypad.poll_timeout(now).map(|at| at.saturating_sub(now))
    }

    fn button_event(
        &mut self,
        button: &str,
        what: &'static str,
        held_ms: Option<u64>,
        step: Option<&'static str>,
    ) {
        let now = self.now();
        log::info!("button {button}: {what} {}", step.unwrap_or_default());
        self.events.push(&now, "button", &ButtonEvent { button, what, held_ms, step });
    }

    fn switch_event(&mut self, name: &str, kind: &'static str, on: bool) {
        let now = self.now();
        log::info!("{name}: {kind} {}", if on { "on" } else { "off" });
        self.events.push(&now, kind, &SwitchEvent { name, on });
    }

    fn carry_out_press(&mut self, button: &str, step: Step) {
        let result = match step {
            Step::Pairing => self.open_nearby().map(Some),
            Step::Connection => self.carry_out_reset(Scope::Connection).map(|()| None).map_err(undone),
            Step::Pairings => self.carry_out_reset(Scope::Pairings).map(|()| None).map_err(undone),
        };
        let (device, why) = match result {
            Ok(device) => (device, None),
            Err(why) => (None, Some(why)),
        };
        let done = why.is_none();
        match &why {
            None => log::warn!("button {button}: {} done", step.name()),
            Some((code, detail)) => {
                log::warn!("button {button}: {} not done: {detail} ({code})", step.name())
            }
        }
        let (code, detail) = why.unzip();
        let device = device.map(|d: DeviceId| d.to_string());
        let now = self.now();
        self.events.push(
            &now,
            "press",
            &PressEvent { button, step: step.name(), done, device, code, detail },
        );
    }

    /// A code for the preset user that works on the LAN only: the one that is still there, or a new one.
    fn open_nearby(&mut self) -> Result<DeviceId, Undone> {
        let Some(user) = self.config.pairing_user.clone() else {
            return Err(("no-pairing-user", "[buttons] pairing_user names nobody".to_owned()));
        };
        if self.entrance.port().is_none() {
            return Err((
                "no-listener",
                "[remote] port is not set, or is taken: no device can come".to_owned(),
            ));
        }
        if self.vault.corruption().is_some() {
            return Err(undone(super::Unwritten::Corrupt.into()));
        }
        let now = self.now();
        let is_open = |d: &&crate::pairing::record::Device| {
            let left = plan::remaining(&d.state, &now);
            d.user == user && d.reach == Reach::Lan && left.is_some_and(|left| left >= CODE_LEFT_MIN)
        };
        if let Some(open) = self.vault.ledger().devices().iter().find(is_open) {
            return Ok(open.id);
        }
        let plan = plan::issue_nearby(self.vault.ledger(), &user, CODE_VALID, &mut self.random);
        let plan = plan.map_err(|refusal| undone(refusal.into()))?;
        let issued = self.carry_out_issue(plan).map_err(|unwritten| undone(unwritten.into()))?;
        Ok(issued.device)
    }
}
