//! The session's actions, and what arrives through it: pairing messages and knocks.

use serde::Serialize;

use super::pairing::Said;
use super::{Agent, Unwritten};
use crate::health::finding::Code;
use crate::identity::KeyId;
use crate::pairing::desk::{Via, open_mailboxes};
use crate::pairing::handshake;
use crate::pairing::ledger::Ledger;
use crate::pairing::notice::{self, Answer, Knock, Nonce, Notice, Say, Standing};
use crate::pairing::record::DeviceId;
use crate::remote::relay::frame::End;
use crate::session::cause::{Cause, TAKEN_OVER};
use crate::session::io::Report;
use crate::session::io::dns::Overrides;
use crate::session::io::network;
use crate::session::machine::Action;
use crate::session::online::PRESENCE_LEASE;
use crate::session::packet::{Inbound, Will};
use crate::session::presence;
use crate::session::reach::Reach;
use crate::session::record::{Phase, Transition};
use crate::session::topics::Kind;

/// Removed devices that were sent a notice in this session.
#[derive(Debug, Default)]
pub(super) struct Told(heapless::Vec<DeviceId, { crate::pairing::ledger::DEVICES_MAX }>);

impl Told {
    pub(super) fn has(&self, device: DeviceId) -> bool {
        self.0.contains(&device)
    }

    /// Forgets those that are no longer to be told.
    pub(super) fn tidy(&mut self, ledger: &Ledger) {
        self.0.retain(|told| notice::queued(ledger).any(|(id, _)| id == *told));
    }
}

#[derive(Serialize)]
struct SessionEvent {
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

#[derive(Serialize)]
struct DeviceEvent {
    device: String,
    what: &'static str,
}

impl Agent {
    /// Something happened to the connection.
    pub(super) fn handle_report(&mut self, report: Report) {
        let now = self.now().mono;
        match report {
            Report::Resolved(answer) => self.session.handle_resolved(now, answer, &mut self.random),
            Report::Opened(peer) => self.session.handle_opened(now, peer),
            Report::Connected => {
                let payload = presence::gone();
                let will = Will { topic: self.session.topics().presence(), payload, delay_s: 0 };
                self.session.handle_connected(now, will);
            }
            Report::Packet(packet) => {
                if matches!(packet, Inbound::Message { .. }) {
                    self.inflow.handle_message(now);
                }
                self.session.handle_packet(now, packet, &mut self.random);
            }
            Report::Failed(cause) => {
                let no_way = matches!(cause, Cause::Unreachable(_));
                self.session.handle_failed(now, cause, &mut self.random);
                if no_way {
                    // Where the broker is is known by now: the route to it is what counts.
                    self.look_at_network();
                }
            }
        }
    }

    /// Takes the network's picture: at the start, and whenever the kernel rings.
    pub(super) fn look_at_network(&mut self) {
        let now = self.now().mono;
        let picture = network::look(self.config.is_loopback(), self.session.addresses().named());
        let own = self.transport.local_ip().filter(|ip| !ip.is_loopback());
        if own.is_some_and(|ip| !picture.addresses.contains(&ip)) && picture.network.reach == Reach::Usable {
            // Nothing that is sent to the old address will arrive: no reason to wait for silence.
            self.session.handle_failed(now, Cause::AddressChanged, &mut self.random);
            self.entrance.close_relay();
        }
        self.session.handle_network(now, picture.network, &mut self.random);
    }

    /// The independent look at the session: a machine that got stuck is thrown away.
    pub(super) fn watch_session(&mut self) {
        let now = self.now().mono;
        if !self.watchdog.handle_look(now, self.can_have_session(), self.session.confirmed()) {
            return;
        }
        let evidence = format!("no confirmed round trip for long, phase {}", self.session.phase().name());
        log::error!("session: begun anew: {evidence}");
        self.tracker.raise(Code::SessionStuck, "", &evidence, now);
        self.transport.hangup();
        self.session = super::start::session(&self.config, &self.identity, now);
        self.look_at_network();
        self.drive_session();
    }

    /// The owner's name servers.
    pub(super) fn overrides(&self) -> Overrides {
        let servers =
            self.vault.ledger().cloud().map(|c| c.dns.iter().copied().collect()).unwrap_or_default();
        Overrides { servers, first: self.session.addresses().is_distrusted() }
    }

    /// Whether a session is wanted: configured, switched on, and the store can be believed.
    pub(super) fn wants_session(&self) -> bool {
        let owner = self.vault.ledger().cloud().map_or(self.config.cloud_enabled, |c| c.enabled);
        self.config.cloud.is_some() && owner && self.vault.corruption().is_none()
    }

    /// Whether one is wanted and the network allows it.
    pub(super) fn can_have_session(&self) -> bool {
        self.wants_session() && self.session.reach() == Reach::Usable
    }

    /// Brings the session in line with what is wanted, then carries out what it asks.
    pub(super) fn drive_session(&mut self) {
        let now = self.now();
        self.session.handle_enabled(now.mono, self.wants_session());
        let topics = self.session.topics().clone();
        let mailboxes = open_mailboxes(self.vault.ledger(), &self.seen, &now).map(|r| topics.mailbox(r));
        self.session.handle_topics(mailboxes);
        loop {
            while let Some(action) = self.session.poll_action() {
                self.carry_out(action);
            }
            let Some(seq) = self.session.poll_presence() else { break };
            self.publish_presence(seq);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Resolve => {
                let overrides = self.overrides();
                self.transport.resolve(overrides);
            }
            Action::Dial(addresses) => self.transport.dial(addresses),
            Action::Hangup if self.session.reach() == Reach::Usable => self.transport.hangup(),
            Action::Hangup => self.transport.hold(),
            Action::Goodbye(packet) => self.transport.goodbye(&packet),
            Action::Send(packet) => self.transport.send(&packet),
            Action::Deliver(topic, payload) => self.deliver(&topic, &payload),
            Action::Changed(transition) => self.session_changed(&transition),
        }
    }

    fn publish_presence(&mut self, seq: u32) {
        let now = self.now();
        let until = now.wall.known().map(|at| at.after(PRESENCE_LEASE));
        let payload = presence::alive(self.instance, seq, PRESENCE_LEASE.as_secs(), until);
        self.session.publish(self.session.topics().presence(), payload, true);
    }

    /// Before the good-bye: whoever looks knows at once, without waiting for the will.
    pub(super) fn publish_absence(&mut self) {
        let payload = presence::gone();
        self.session.publish(self.session.topics().presence(), payload, true);
    }

    fn session_changed(&mut self, transition: &Transition) {
        let now = self.now();
        let (phase, cause) = (transition.to.name(), transition.cause.as_ref());
        match cause {
            Some(cause) => log::info!("session: {phase}: {cause}"),
            None => log::debug!("session: {phase}"),
        }
        let stands = matches!(
            transition.to,
            Phase::Online
                | Phase::Waiting
                | Phase::NoLink
                | Phase::NoAddress
                | Phase::NoRoute
                | Phase::Disabled
        );
        if stands && transition.from != transition.to {
            let event = SessionEvent { phase, cause: cause.map(ToString::to_string) };
            self.events.push(&now, "session", &event);
        }
        match transition.to {
            Phase::Online | Phase::Disabled => self.clear_session_findings(None),
            Phase::NoLink => self.tracker.raise(Code::LinkDown, "", "no network link has carrier", now.mono),
            Phase::NoAddress => {
                self.tracker.raise(Code::AddressMissing, "", "no interface has an address", now.mono)
            }
            Phase::NoRoute => {
                self.tracker.raise(Code::RouteMissing, "", "the kernel knows no way to the broker", now.mono)
            }
            Phase::Resolving
            | Phase::Connecting
            | Phase::Tls
            | Phase::Mqtt
            | Phase::Subscribing
            | Phase::Waiting => {
                let cuts = [Code::LinkDown, Code::AddressMissing, Code::RouteMissing];
                self.tracker.clear_where(now.mono, |f| cuts.contains(&f.code));
            }
        }
        let is_cut = matches!(transition.to, Phase::NoLink | Phase::NoAddress | Phase::NoRoute);
        // What cuts the box off is the finding, whatever the session was lost by.
        if let Some(code) = cause.and_then(Cause::finding).filter(|_| !is_cut) {
            self.clear_session_findings(Some(code));
            let evidence = cause.map(ToString::to_string).unwrap_or_default();
            self.tracker.raise(code, "", &evidence, now.mono);
        }
        self.note_loss(transition);
        let memory = self.session.addresses().by_memory().map(ToString::to_string);
        self.hold(
            transition.to == Phase::Online && memory.is_some(),
            Code::NameFromMemory,
            &memory.unwrap_or_default(),
            now.mono,
        );
        if transition.to == Phase::Online {
            log::info!("session: online");
            self.told = Told::default();
            self.tell_removed();
        }
    }

    /// A connection that breaks again and again is one finding, not many.
    fn note_loss(&mut self, transition: &Transition) {
        let now = self.now().mono;
        if let (Phase::Online, Some(cause)) = (transition.from, &transition.cause)
            && *cause != Cause::Requested
        {
            self.losses.note(now, cause);
        }
        self.look_at_losses();
    }

    /// Whether they are few again.
    pub(super) fn look_at_losses(&mut self) {
        let now = self.now().mono;
        let many = self.losses.many(now);
        self.hold(many.is_some(), Code::SessionUnstable, &many.unwrap_or_default(), now);
    }

    /// Whether somebody floods the NAS.
    pub(super) fn look_at_inflow(&mut self) {
        let now = self.now().mono;
        self.inflow.handle_timeout(now);
        let flood = self.inflow.flood();
        self.hold(flood.is_some(), Code::MessageFlood, &flood.unwrap_or_default(), now);
    }

    /// One cause at a time: a new one takes the place of the last.
    fn clear_session_findings(&mut self, but: Option<Code>) {
        let now = self.now().mono;
        self.tracker.clear_where(now, |f| {
            let session =
                (Code::LinkDown..=Code::BoxResources).contains(&f.code) || f.code == Code::IdentityCloned;
            session && Some(f.code) != but
        });
    }

    fn deliver(&mut self, topic: &str, payload: &[u8]) {
        let topics = self.session.topics().clone();
        match topics.kind(topic) {
            Kind::Knock => self.knock(payload),
            Kind::Presence => self.presence_seen(payload),
            Kind::Mailbox(mailbox) => self.pairing_message(mailbox, payload),
            Kind::Echo | Kind::Other => {}
        }
    }

    /// Somebody says that this NAS is alive. If an earlier session of this run said so last and it is another run now, a second
    /// box has this identity: some brokers end the older session without a word, so this is how clones are told.
    fn presence_seen(&mut self, payload: &[u8]) {
        let Some(run) = presence::instance_of(payload) else { return };
        // The broker keeps what a clone said last. In a session that the owner asked for that is history.
        let is_history = std::mem::take(&mut self.clone_forgiven);
        if run != self.instance && !is_history && self.session.counters().connects > 1 {
            let now = self.now().mono;
            self.session.handle_failed(now, Cause::Ended(TAKEN_OVER), &mut self.random);
        }
    }

    fn pairing_message(&mut self, mailbox: &str, payload: &[u8]) {
        if let Said::Reply(reply) = self.answer_pairing(Via::Away, mailbox, payload) {
            let answers = self.session.topics().answers(mailbox);
            self.session.publish(answers, reply, false);
        }
    }

    pub(super) fn device_event(&mut self, device: DeviceId, what: &'static str) {
        let now = self.now();
        self.events.push(&now, "device", &DeviceEvent { device: device.to_string(), what });
    }

    fn knock(&mut self, payload: &[u8]) {
        let now = self.now();
        let Ok(knock) = Knock::read(payload) else { return };
        let named = self.vault.ledger().device_by_key(&knock.device.id()).map(|d| d.id);
        if !self.knocks.allows(now.mono, named) || !knock.is_signed_to(&self.identity.id()) {
            return;
        }
        let standing = match notice::answer(self.vault.ledger(), &knock) {
            Answer::Tell(Standing::Paired, heard) if knock.say == Say::Carry => {
                let Some(device) = heard else { return };
                self.seen.note(device, now.mono);
                return self.carry(device, &knock.nonce);
            }
            Answer::Tell(standing, heard) => {
                if let Some(device) = heard {
                    self.seen.note(device, now.mono);
                }
                standing
            }
            Answer::Settle(plan, standing) => match self.commit(plan) {
                Ok(device) => {
                    self.device_event(device, "gone");
                    standing
                }
                Err(Unwritten::Corrupt | Unwritten::ReadOnly | Unwritten::Budget) => return,
            },
        };
        if knock.say == Say::Carry {
            self.refuse_carrier(&knock.nonce, End::Unknown);
        }
        self.send_notice(&knock.device.id(), standing, knock.nonce);
    }

    /// Tells every removed device that was not told in this session. What finds no room is told by the next call.
    pub(super) fn tell_removed(&mut self) {
        let queued: Vec<(DeviceId, KeyId)> =
            notice::queued(self.vault.ledger()).filter(|(id, _)| !self.told.has(*id)).collect();
        for (id, key) in queued {
            if self.send_notice(&key, Standing::Revoked, [0; 16]) {
                // There are as many places as devices, and `tidy` frees those of entries that are gone.
                let _ = self.told.0.push(id);
            }
        }
    }

    fn send_notice(&mut self, device: &KeyId, standing: Standing, nonce: Nonce) -> bool {
        let notice = Notice::new(&self.identity, device, standing, nonce);
        let topic = self.session.topics().notice(device);
        self.session.publish(topic, handshake::encode(&notice), false)
    }
}
