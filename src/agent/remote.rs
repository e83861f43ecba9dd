//! The door for paired devices: opened at the start, kept in line with the ledger, and what devices ask through it.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use smol::channel::Receiver;
use smol::stream::Stream;
use smol::{LocalExecutor, Task};

use super::{Agent, Unwritten};
use crate::config::Config;
use crate::control::api;
use crate::health::finding::Code;
use crate::health::tracker::cut;
use crate::identity::KeyId;
use crate::pairing::notice::Nonce;
use crate::pairing::plan;
use crate::pairing::record::Label;
use crate::pairing::record::{AccessMode, DeviceId};
use crate::random::Random;
use crate::remote::channel;
use crate::remote::gate::Gate;
use crate::remote::io::carrier::{Call, Local};
use crate::remote::io::door::Door;
use crate::remote::io::mdns::{Announcer, Received};
use crate::remote::io::relay::{Relay, Topics, relay};
use crate::remote::io::visit::Visit;
use crate::remote::mdns::Profile;
use crate::remote::opening::{Answer, Health, Opening, Paths, Refusal};
use crate::remote::relay::frame::{self, End};
use crate::remote::relay::pipe::Side;
use crate::session::io::Endpoint;
use crate::session::io::dns::Overrides;
use crate::session::topics::carrier_name;
use crate::sys::keyfile;
use crate::units::Mono;

/// Names that all devices together may give themselves in a day; two fifths of them in a row.
pub(super) const RENAMES_A_DAY: u32 = 50;

/// Carriers through the broker that are remembered.
const CARRIED_MAX: usize = 64;
/// After a failed login nobody makes the agent try another for so long.
const LOGIN_PAUSE: Duration = Duration::from_secs(2);

/// The door, if one is configured and could be opened.
pub(super) struct Entrance {
    executor: Rc<LocalExecutor<'static>>,
    gate: Gate,
    /// The state of the store that the gate is in line with.
    kept: Option<u64>,
    door: Option<(Door, Pin<Box<Receiver<Call>>>)>,
    /// The connection to the broker that carries bulk, while there is one.
    relay: Option<(Relay, Task<()>)>,
    /// The last carriers that were asked for through the broker: none of them is opened twice, whoever repeats the question.
    carried: heapless::Deque<Nonce, CARRIED_MAX>,
    /// Why there is none.
    failure: Option<String>,
    /// Says on the LAN where the door is. Without it, it has to be named.
    announcer: Option<Announcer>,
}

/// What comes in.
pub(super) enum Word {
    /// A device asks something through its carrier.
    Call(Call),
    /// Somebody wants to pair.
    Visit(Visit),
    /// A packet of multicast DNS.
    Packet(Received),
}

impl Entrance {
    /// Opens the door and says where it is. A port that is taken is a finding, not the end of the agent.
    pub(super) fn new(
        executor: &Rc<LocalExecutor<'static>>,
        config: &Config,
        id: KeyId,
        now: Mono,
        random: &mut dyn Random,
    ) -> Self {
        let mut entrance = Self {
            executor: Rc::clone(executor),
            gate: Gate::default(),
            kept: None,
            door: None,
            relay: None,
            carried: heapless::Deque::new(),
            failure: None,
            announcer: None,
        };
        if config.remote_port.is_none() && config.cloud.is_none() {
            return entrance;
        }
        let opened = open(executor, config, config.remote_port, &entrance.gate).or_else(|error| {
            entrance.failure = Some(match config.remote_port {
                Some(port) => format!("port {port}: {error}"),
                None => error,
            });
            // The way through the broker needs no port.
            open(executor, config, None, &entrance.gate)
        });
        let Ok((door, calls)) = opened else { return entrance };
        if let Some(port) = door.port().filter(|_| config.announces) {
            let profile = Profile { name: config.name.clone(), id, port };
            let announcer = Announcer::new(profile, now, random);
            entrance.announcer =
                announcer.inspect_err(|e| log::warn!("the NAS is not announced on the LAN: {e}")).ok();
        }
        entrance.door = Some((door, Box::pin(calls)));
        entrance
    }

    /// The next thing that comes in. Cancel-safe.
    pub(super) fn poll_word(&mut self, cx: &mut Context<'_>) -> Poll<Word> {
        if let Some((door, calls)) = &mut self.door {
            if let Poll::Ready(Some(call)) = calls.as_mut().poll_next(cx) {
                return Poll::Ready(Word::Call(call));
            }
            if let Poll::Ready(visit) = door.poll_visit(cx) {
                return Poll::Ready(Word::Visit(visit));
            }
        }
        let Some(announcer) = &self.announcer else { return Poll::Pending };
        announcer.poll_packet(cx).map(Word::Packet)
    }

    /// The port of the door.
    pub(super) fn port(&self) -> Option<u16> {
        self.door.as_ref().and_then(|(door, _)| door.port())
    }

    /// A device asks for a carrier through the broker. One that is there already, or is being opened, is not opened again.
    ///
    /// # Errors
    /// `Full`: too many are being opened.
    fn carry(
        &mut self,
        (device, id): (DeviceId, &Nonce),
        topics: Topics,
        line: impl FnOnce() -> Option<(Endpoint, Overrides)>,
    ) -> Result<(), End> {
        if self.relay.as_ref().is_some_and(|(relay, _)| relay.has(&topics))
            || self.carried.iter().any(|other| other == id)
        {
            return Ok(());
        }
        if self.relay.as_ref().is_some_and(|(relay, _)| relay.failed_within(LOGIN_PAUSE)) {
            return Err(End::Line);
        }
        if self.relay.as_ref().is_some_and(|(relay, _)| relay.is_over()) {
            self.close_relay();
        }
        let Some((door, _)) = &self.door else { return Err(End::Full) };
        let (relay, _) = match &mut self.relay {
            Some(open) => open,
            none => {
                let (endpoint, overrides) = line().ok_or(End::Line)?;
                let (relay, driver) = relay(endpoint, overrides, Side::Nas, None);
                none.insert((relay, self.executor.spawn(driver)))
            }
        };
        if !door.greet_relayed(device, || relay.carrier(topics, Side::Nas)) {
            return Err(End::Full);
        }
        if self.carried.is_full() {
            self.carried.pop_front();
        }
        // There is room.
        let _ = self.carried.push_back(*id);
        Ok(())
    }

    /// Nothing is carried through the broker any more; the devices are told.
    pub(super) fn close_relay(&mut self) {
        if let Some((relay, driver)) = self.relay.take() {
            relay.close();
            driver.detach();
        }
    }

    /// Ends everything; ready when the devices that came through the broker were told.
    pub(super) async fn end(&mut self) {
        self.handle_end();
        let Some((relay, driver)) = self.relay.take() else { return };
        relay.close();
        driver.await;
    }

    /// When [`Entrance::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.announcer.as_ref().and_then(Announcer::poll_timeout)
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Mono) {
        if let Some(announcer) = &mut self.announcer
            && announcer.poll_timeout().is_some_and(|at| at <= now)
        {
            announcer.handle_timeout(now);
        }
    }

    /// Links or addresses changed.
    pub(super) fn handle_network(&mut self, now: Mono, random: &mut dyn Random) {
        if let Some(announcer) = &mut self.announcer {
            announcer.handle_network_change(now, random);
        }
    }

    /// Nobody is to look for the door any more.
    fn handle_end(&mut self) {
        if let Some(announcer) = &mut self.announcer {
            announcer.handle_end();
        }
    }
}

fn open(
    executor: &Rc<LocalExecutor<'static>>,
    config: &Config,
    port: Option<u16>,
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
        if self.entrance.kept.replace(self.vault.version()) != Some(self.vault.version()) {
            let is_open = self.vault.corruption().is_none();
            if self.entrance.gate.update(self.vault.ledger(), is_open)
                && let Some((door, _)) = &self.entrance.door
            {
                door.cut();
            }
        }
        if !self.wants_session() {
            self.entrance.close_relay();
        }
    }

    /// A door that could not be opened is a finding for as long as the agent runs.
    pub(super) fn tell_closed_door(&mut self) {
        let now = self.now().mono;
        if let Some(failure) = &self.entrance.failure {
            self.tracker.raise(Code::RemotePortTaken, "", failure, now);
        }
    }

    /// Somebody has said something through the door or on the LAN.
    pub(super) fn handle_word(&mut self, word: &Word) {
        let now = self.now().mono;
        match (word, &mut self.entrance.announcer) {
            (Word::Call(call), _) => self.handle_device(call),
            (Word::Visit(visit), _) => self.handle_visit(visit),
            (Word::Packet(packet), Some(announcer)) => announcer.handle_packet(now, packet, &mut self.random),
            (Word::Packet(_), None) => {}
        }
    }

    /// Answers a device. One that has gone is not waited for.
    fn handle_device(&mut self, call: &Call) {
        let now = self.now().mono;
        self.seen.note(call.from.device, now);
        let answer = match &call.opening {
            Opening::Status => Answer::Status(self.health_for(call)),
            Opening::Unpair => self.unpair(call),
            Opening::Paths => Answer::Paths(self.paths()),
            Opening::Rename(name) => self.rename(call, name),
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

    fn paths(&self) -> Paths {
        let router = self.mapping_view();
        let outside = router.address.as_ref().and_then(|a| a.parse::<IpAddr>().ok()).zip(router.port);
        // What somebody gave by hand is believed; his network may know that address.
        let is_given = self.vault.ledger().cloud().is_some_and(|c| c.mode == AccessMode::Manual);
        let outside = outside.filter(|_| is_given || router.reachable != Some(false)).map(SocketAddr::from);
        Paths { port: self.entrance.port(), outside, router: cut(&router.detail) }
    }

    fn unpair(&mut self, call: &Call) -> Answer {
        let id = call.from.device;
        if self.vault.ledger().device(id).is_none() {
            return Answer::Done;
        }
        match self.commit(plan::leave(id)) {
            Ok(_) => {
                self.device_event(id, "gone");
                if let Some((door, _)) = &self.entrance.door {
                    // Before the gate is shut on it: the answer is still to go out.
                    door.let_go(id);
                }
                Answer::Done
            }
            Err(_) => Answer::Refused(Refusal::NotKept),
        }
    }

    fn rename(&mut self, call: &Call, name: &str) -> Answer {
        let name = Label::sanitised(name);
        if name.as_str().trim().is_empty() {
            return Answer::Refused(Refusal::NoName);
        }
        let id = call.from.device;
        // Its removal may be answered already.
        let Ok(plan) = plan::rename(self.vault.ledger(), id, name) else {
            return Answer::Refused(Refusal::NotKept);
        };
        let now = self.now().mono;
        if !plan.is_empty() && !self.renames.take(now) {
            return Answer::Refused(Refusal::NotKept);
        }
        match self.commit(plan) {
            Ok(true) => {
                self.device_event(id, "renamed");
                Answer::Done
            }
            Ok(false) => Answer::Done,
            Err(Unwritten::Corrupt | Unwritten::ReadOnly | Unwritten::Budget) => {
                Answer::Refused(Refusal::NotKept)
            }
        }
    }

    /// A paired device asks for a carrier through the broker. What it is refused for is said in that carrier's own topic.
    pub(super) fn carry(&mut self, device: DeviceId, id: &Nonce) {
        let (incoming, outgoing) = self.session.topics().carrier(&carrier_name(id));
        let overrides = self.overrides();
        let (config, judged) = (&self.config, &self.judged);
        let line = || Some((super::endpoint(config, judged).ok()?, overrides));
        if let Err(end) = self.entrance.carry((device, id), Topics { incoming, outgoing }, line) {
            self.refuse_carrier(id, end);
        }
    }

    /// Says in the carrier's own topic why it is not taken.
    pub(super) fn refuse_carrier(&mut self, id: &Nonce, end: End) {
        let (_, outgoing) = self.session.topics().carrier(&carrier_name(id));
        self.session.publish(outgoing, frame::refusal(end), false);
    }

    /// What is seen of the door.
    pub(super) fn remote_view(&self) -> Option<api::Remote> {
        let (door, _) = self.entrance.door.as_ref()?;
        let (accepted, refused) = door.counters();
        let carriers = door
            .seen()
            .into_iter()
            .map(|s| api::Carrier {
                device: s.device.to_string(),
                from: s.from.to_string(),
                path: s.from.path(),
            })
            .collect();
        let router = self.mapping_view();
        Some(api::Remote { port: door.port(), router, carriers, accepted, refused })
    }
}
