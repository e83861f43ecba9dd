//! The door for paired devices: opened at the start, kept in line with the ledger, and what devices ask through it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use smol::LocalExecutor;
use smol::channel::Receiver;
use smol::stream::Stream;

use super::Agent;
use crate::config::Config;
use crate::control::api;
use crate::health::finding::Code;
use crate::health::tracker::cut;
use crate::pairing::plan::Planned;
use crate::pairing::record::Change;
use crate::remote::channel;
use crate::remote::gate::Gate;
use crate::remote::io::Door;
use crate::remote::io::carrier::{Call, Local};
use crate::remote::opening::{Answer, Health, Opening, Refusal};
use crate::sys::keyfile;

/// The door, if one is configured and could be opened.
pub(super) struct Entrance {
    gate: Gate,
    door: Option<(Door, Pin<Box<Receiver<Call>>>)>,
    /// Why there is none.
    failure: Option<String>,
}

impl Entrance {
    /// Opens the door. A port that is taken is a finding, not the end of the agent.
    pub(super) fn new(executor: &Rc<LocalExecutor<'static>>, config: &Config) -> Self {
        let gate = Gate::default();
        let Some(port) = config.remote_port else { return Self { gate, door: None, failure: None } };
        match open(executor, config, port, &gate) {
            Ok((door, calls)) => Self { gate, door: Some((door, Box::pin(calls))), failure: None },
            Err(error) => Self { gate, door: None, failure: Some(format!("port {port}: {error}")) },
        }
    }

    /// The next question of a device. Cancel-safe.
    pub(super) fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Call> {
        let Some((_, calls)) = &mut self.door else { return Poll::Pending };
        match calls.as_mut().poll_next(cx) {
            Poll::Ready(Some(call)) => Poll::Ready(call),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

fn open(
    executor: &Rc<LocalExecutor<'static>>,
    config: &Config,
    port: u16,
    gate: &Gate,
) -> Result<(Door, Receiver<Call>), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let key = keyfile::document(&config.store_dir.join(super::KEY_FILE)).map_err(|e| words(&e))?;
    let tls = channel::server(&key, std::sync::Arc::new(gate.clone())).map_err(|e| words(&e))?;
    let local = |s: &crate::config::Service| {
        let name = heapless::String::try_from(s.name.as_str()).ok()?;
        Some(Local { name, address: s.address, users: s.users.clone() })
    };
    let services = config.services.iter().filter_map(local).collect();
    Door::open(executor, port, tls, gate.clone(), services).map_err(|e| words(&e))
}

impl Agent {
    /// Whoever is not paired (any more) is out when this returns; after each event.
    pub(super) fn keep_gate(&mut self) {
        let is_open = self.vault.corruption().is_none();
        if self.entrance.gate.update(self.vault.ledger(), is_open)
            && let Some((door, _)) = &self.entrance.door
        {
            door.cut();
        }
        let now = self.now().mono;
        let failure = self.entrance.failure.clone();
        self.hold(failure.is_some(), Code::RemotePortTaken, &failure.unwrap_or_default(), now);
    }

    /// Answers a device. One that has gone is not waited for.
    pub(super) fn handle_device(&mut self, call: &Call) {
        let now = self.now().mono;
        self.seen.note(call.from.device, now);
        let answer = match &call.opening {
            Opening::Status => Answer::Status(self.health_for(call)),
            Opening::Unpair => self.unpair(call),
            // Answered where they come in.
            Opening::Service(_) | Opening::Services => Answer::Refused(Refusal::NotUnderstood),
        };
        let _ = call.reply.try_send(answer);
    }

    fn health_for(&self, call: &Call) -> Health {
        let status = self.status_view();
        Health {
            name: cut(&status.nas.name),
            user: cut(call.from.user.as_str()),
            summary: cut(&status.summary),
            online: status.cloud.online,
        }
    }

    fn unpair(&mut self, call: &Call) -> Answer {
        let id = call.from.device;
        if self.vault.ledger().device(id).is_none() {
            return Answer::Done;
        }
        let left = Planned::new(vec![Change::Revoked(id), Change::Vanished(id)], ());
        match self.commit(left) {
            Ok(()) => {
                self.device_event(id, "gone");
                Answer::Done
            }
            Err(_) => Answer::Refused(Refusal::NotKept),
        }
    }

    /// What is seen of the door.
    pub(super) fn remote_view(&self) -> Option<api::Remote> {
        let (door, _) = self.entrance.door.as_ref()?;
        let (accepted, refused) = door.counters();
        let carriers = door
            .seen()
            .into_iter()
            .map(|s| api::Carrier { device: s.device.to_string(), from: s.from.to_string() })
            .collect();
        Some(api::Remote { port: door.port(), carriers, accepted, refused })
    }
}
