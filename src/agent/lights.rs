//! What holds becomes light; somebody looks for the box; the microcontroller that has a light of its own, and a
//! thermometer.

use std::task::{Context, Poll};
use std::time::Duration;

use smol::channel::Sender;

use super::Agent;
use crate::array::state::State;
use crate::board::description::{Description, McuKind, McuPart};
use crate::control::api;
use crate::control::fault::Fault;
use crate::control::http::Response;
use crate::control::io::Reply;
use crate::control::route::{Personal, Refused};
use crate::hardware::bay;
use crate::hardware::io::mcu::{Mcu, Report, Trouble};
use crate::hardware::led::policy::{Arrays, Bay, Class, Cloud, Conditions, Target};
use crate::hardware::led::{Action, NoLight};
use crate::hardware::mcu::exchange::{Parts, Timing};
use crate::health::finding::Code;
use crate::sys::clock::within;
use crate::sys::root::Root;
use crate::units::Mono;

/// A code that was made is shown this long, or as long as it is valid: for as long as somebody stands before the box with a
/// phone, not for the two days that it can be used.
const PAIRING_SHOWN: Duration = Duration::from_secs(600);
/// A reading of this age is good enough for whoever asks.
const FRESH: Duration = Duration::from_secs(10);
/// Longest wait for the microcontroller's lamp at the end.
const LAMP_MAX: Duration = Duration::from_millis(300);

/// What the lights show besides what others know.
#[derive(Debug, Default)]
pub(super) struct Showing {
    identify: Option<(Target, Mono)>,
    pairing_until: Option<Mono>,
    /// Remote access has been there or has failed since the start.
    is_settled: bool,
    /// They asked for the hardware and wait for a fresh reading. As many as there are connections, which are bounded.
    waiting: Vec<(Sender<Reply>, Personal)>,
}

/// The microcontroller of a board that has one.
pub(super) fn mcu(board: &Description, root: &Root) -> Option<Mcu> {
    let mcu = board.mcu.as_ref().filter(|m| m.kind == McuKind::Weltrend)?;
    let parts = Parts { temperature: mcu.gives(McuPart::Temperature), fan: mcu.gives(McuPart::Fan) };
    Some(Mcu::new(root.clone(), mcu.tty.as_deref()?, parts, Timing::USUAL))
}

/// Which kind of reason a finding of the session is; `None` for those that are not about it.
pub(super) const fn class(code: Code) -> Option<Class> {
    Some(match code {
        Code::LinkDown | Code::AddressMissing | Code::RouteMissing => Class::Local,
        Code::DnsNameUnknown | Code::DnsFailed | Code::DnsHijacked => Class::Names,
        Code::TlsNotYetValid | Code::TlsExpired => Class::Time,
        Code::BrokerRefused
        | Code::BrokerUnreachable
        | Code::TlsWrongName
        | Code::TlsUnknownIssuer
        | Code::TlsFailed
        | Code::BrokerBusy
        | Code::BrokerRejected
        | Code::BrokerSilent
        | Code::BrokerClosed
        | Code::BrokerProtocol
        | Code::EchoLost
        | Code::CaptivePortal
        | Code::BoxResources => Class::Broker,
        Code::BrokerCredentialsRefused
        | Code::BrokerNotAuthorized
        | Code::TopicRightsMissing
        | Code::IdentityCloned => Class::Account,
        _ => return None,
    })
}

impl Agent {
    /// What a killed agent left goes back first; then the first look.
    pub(super) fn begin_lights(&mut self) {
        self.lights.recover(|name| self.panel.owns(name));
        self.show_lights();
    }

    /// The lights follow what holds. Nothing is written while nothing changes.
    pub(super) fn show_lights(&mut self) {
        let conditions = self.conditions();
        let actions = self.panel.handle_conditions(&conditions);
        self.drive_lights(&actions);
    }

    fn conditions(&mut self) -> Conditions {
        let now = self.now().mono;
        let identify = self.showing.identify.filter(|(_, until)| now < *until);
        self.showing.identify = identify;
        // Asked in every turn of the loop: the devices are counted only while there is a code to show.
        let shown = self.showing.pairing_until.filter(|until| now < *until);
        self.showing.pairing_until = shown.filter(|_| self.device_counts().pending > 0);
        Conditions {
            identify: identify.map(|(target, _)| target),
            arrays: self.array_conditions(),
            store_corrupt: self.vault.corruption().is_some(),
            pairing: self.showing.pairing_until.is_some(),
            cloud: self.cloud_condition(now),
        }
    }

    fn array_conditions(&self) -> Arrays {
        let bays = self.board.as_ref().map(|b| b.bays.as_slice()).unwrap_or_default();
        let mut found = Arrays::default();
        for array in &self.arrays {
            let is_rebuilding = array.state == State::Rebuilding;
            found.failed |= array.state == State::Failed;
            found.degraded |= array.state == State::Degraded;
            found.rebuilding |= is_rebuilding;
            for member in &array.members {
                let bay = if member.is_faulty() || member.gone {
                    Bay::Lost
                } else if is_rebuilding && member.says("spare") {
                    Bay::Rebuilding
                } else {
                    continue;
                };
                let Some(number) = member.path.as_deref().and_then(|p| bay::of_path(bays, p)) else {
                    continue;
                };
                match found.bays.iter_mut().find(|(n, _)| *n == number) {
                    // A disk that one array has lost is lost, whatever another does with it.
                    Some((_, known)) if bay == Bay::Lost => *known = bay,
                    Some(_) => {}
                    None => found.bays.push((number, bay)),
                }
            }
        }
        found
    }

    /// Goes by the findings that are shown: what lasts a moment is not one, so the light does not flicker.
    fn cloud_condition(&mut self, now: Mono) -> Cloud {
        if !self.wants_session() {
            return Cloud::Unwanted;
        }
        if self.session.is_online() {
            self.showing.is_settled = true;
            return Cloud::Online;
        }
        let why = self.tracker.visible(now).into_iter().find_map(|f| class(f.code));
        self.showing.is_settled |= why.is_some();
        match why {
            Some(class) => Cloud::Offline(class),
            None if self.showing.is_settled => Cloud::Connecting,
            None => Cloud::Starting,
        }
    }

    /// Carries light actions out; a light that refuses is a finding, not a failure.
    fn drive_lights(&mut self, actions: &[Action]) {
        let now = self.now().mono;
        for action in actions {
            if let (Action::Lamp(lamp), Some(mcu)) = (action, &mut self.mcu) {
                mcu.show(*lamp);
            }
            match self.lights.carry_out(action) {
                Ok(()) => log::debug!("light: {action:?}"),
                Err((name, error)) => {
                    self.tracker.raise(Code::LedUnavailable, &name, &format!("{name}: {error}"), now)
                }
            }
        }
    }

    /// When something about the lights changes by itself.
    pub(super) fn lights_timeout(&self) -> Option<Mono> {
        let Showing { identify, pairing_until, .. } = &self.showing;
        [identify.map(|(_, until)| until), *pairing_until, self.lights.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lights that blink by the agent's own timer.
    pub(super) fn time_lights(&mut self) {
        let now = self.now().mono;
        self.lights.handle_timeout(now);
    }

    /// Somebody made a code and will type it.
    pub(super) fn handle_code_made(&mut self, valid_for: Duration) {
        let now = self.now().mono;
        self.showing.pairing_until = Some(now.after(valid_for.min(PAIRING_SHOWN)));
    }

    /// Somebody looks for the box or a bay.
    pub(super) fn identify(&mut self, target: Target, span: Duration) -> Result<Response, Refused> {
        let refuse = |fault, detail: String| Refused::new(fault, detail);
        let lights = self.panel.can_show(target).map_err(|why| match (why, target) {
            (NoLight::NoBay, Target::Bay(n)) => {
                refuse(Fault::BayUnknown, format!("the board's description has no bay {n}"))
            }
            (_, Target::Bay(n)) => {
                refuse(Fault::NoLight, format!("bay {n} has no light that the agent may drive"))
            }
            (_, Target::Box) => {
                refuse(Fault::NoLight, "no light of this box is the agent's to drive".to_owned())
            }
        })?;
        let now = self.now().mono;
        self.showing.identify = Some((target, now.after(span)));
        self.show_lights();
        Ok(self.identify_view(lights))
    }

    /// It was found.
    pub(super) fn end_identify(&mut self) -> Response {
        self.showing.identify = None;
        self.show_lights();
        self.identify_view(0)
    }

    fn identify_view(&self, lights: usize) -> Response {
        let now = self.now().mono;
        let (target, left) = match self.showing.identify {
            Some((target, until)) => (Some(target), until.since(now)),
            None => (None, Duration::ZERO),
        };
        let bay = target.and_then(|t| if let Target::Bay(n) = t { Some(n) } else { None });
        Response::json(&api::Identify { lights, bay, ends_in_s: left.as_secs() })
    }

    /// Everything back as it was found.
    pub(super) fn end_lights(&mut self) {
        let actions = self.panel.handle_end();
        self.drive_lights(&actions);
    }

    /// The microcontroller's light is left as on a box at work.
    pub(super) async fn end_mcu(&mut self) {
        if let Some(mcu) = &mut self.mcu
            && within(LAMP_MAX, mcu.shown()).await.is_none()
        {
            log::debug!("the power light was not acknowledged in time");
        }
    }

    pub(super) fn poll_mcu(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        self.mcu.as_mut().map_or(Poll::Pending, |mcu| mcu.poll_report(cx))
    }

    pub(super) fn handle_mcu(&mut self, report: &Report) {
        let now = self.now().mono;
        let tty = self.mcu.as_ref().map(|m| m.tty().to_owned()).unwrap_or_default();
        let (code, evidence) = match report {
            Report::Reading => return self.answer_hardware(),
            Report::Answers => {
                self.tracker.clear_where(now, |f| matches!(f.code, Code::McuBusy | Code::McuSilent));
                return;
            }
            Report::Port(trouble @ Trouble::Taken(_)) => (Code::McuBusy, format!("{tty}: {trouble}")),
            Report::Port(trouble @ Trouble::Failed(_)) => (Code::McuSilent, format!("{tty}: {trouble}")),
            Report::Silent(command) => {
                (Code::McuSilent, format!("{tty}: no answer to the {} command, sent 3 times", command.name()))
            }
        };
        self.tracker
            .clear_where(now, |f| matches!(f.code, Code::McuBusy | Code::McuSilent) && f.code != code);
        self.tracker.raise(code, "", &evidence, now);
        self.answer_hardware();
    }

    /// Somebody asks for the hardware: with a fresh reading of the microcontroller, if it gives one.
    pub(super) fn call_hardware(&mut self, reply: Sender<Reply>, personal: Personal) {
        let follows = self.mcu.as_mut().is_some_and(|mcu| mcu.ask(FRESH));
        self.showing.waiting.push((reply, personal));
        if !follows {
            self.answer_hardware();
        }
    }

    /// Whoever has gone is not waited for.
    fn answer_hardware(&mut self) {
        for (reply, personal) in std::mem::take(&mut self.showing.waiting) {
            let _ = reply.try_send(Reply::Whole(Response::json(&self.hardware_view(personal))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::cause::{Cause, Step, TlsFault};

    /// Whatever the session can be lost by has a class, or the light would call it connecting for ever.
    #[test]
    fn every_cause_of_the_session_has_a_class() {
        let text = heapless::String::<96>::new;
        let mut causes = vec![
            Cause::LinkLost,
            Cause::AddressLost,
            Cause::RouteLost,
            Cause::NameUnknown,
            Cause::NameServers(text()),
            Cause::Refused,
            Cause::Unreachable(101),
            Cause::EchoLost,
            Cause::Silent,
            Cause::Closed,
            Cause::Protocol(""),
            Cause::Box(12),
            Cause::SubscribeRefused(0x87),
            Cause::Upgrade(404),
            Cause::Upgrade(502),
        ];
        let steps = [Step::Resolving, Step::Connecting, Step::Tls, Step::Mqtt, Step::Subscribing];
        causes.extend(steps.map(Cause::TimedOut));
        let faults = [TlsFault::Expired, TlsFault::NotYetValid, TlsFault::WrongName, TlsFault::UnknownIssuer];
        causes.extend(faults.into_iter().chain([TlsFault::Other(text())]).map(Cause::Tls));
        causes.extend((0..=255).flat_map(|code| [Cause::Rejected(code), Cause::Ended(code)]));
        for cause in causes {
            let code = cause.finding().unwrap();
            assert!(class(code).is_some(), "{cause:?}");
        }
        assert_eq!(class(Code::BrokerCredentialsRefused), Some(Class::Account));
        assert_eq!(class(Code::TlsExpired), Some(Class::Time));
        assert_eq!(class(Code::ArrayDegraded), None);
    }
}
