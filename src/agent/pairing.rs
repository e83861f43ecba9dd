//! Pairing messages, whichever way they came: through the broker or at the door. The desk is the same, and so are the guesses.

use super::{Agent, Unwritten};
use crate::pairing::desk::{Happened, Office, Response, Via};
use crate::pairing::handshake::{Credential, Grant};
use crate::pairing::record::{Device, Label};
use crate::remote::io::visit::{Told, Visit};

/// What is said to a pairing message.
pub(super) enum Said {
    /// This, the same way back.
    Reply(Vec<u8>),
    /// The phone has its answer.
    Finished,
    /// Nothing.
    Nothing,
}

impl Agent {
    /// Answers a pairing message. What the answer says is in the store when this returns.
    pub(super) fn answer_pairing(&mut self, via: Via, mailbox: &str, payload: &[u8]) -> Said {
        let now = self.now();
        let nas = self.identity.id();
        let services = &self.config.services;
        let profile =
            (self.identity.public(), Label::sanitised(&self.config.name), self.config.device_access.as_ref());
        let grant = |device: &Device| grant(device, profile.0, &profile.1, services, profile.2);
        let ledger = self.vault.ledger();
        let office = Office { ledger, seen: &self.seen, nas: &nas, grant: &grant, now, via };
        match self.desk.handle_message(&office, mailbox, payload, &mut self.random) {
            Response::Silence => Said::Nothing,
            Response::Reply(reply) => Said::Reply(reply),
            Response::Finished(device) => {
                self.seen.note(device, now.mono);
                Said::Finished
            }
            Response::Settle { plan, otherwise } => match self.commit(plan) {
                Ok(settled) => {
                    self.settled(settled.what);
                    Said::Reply(settled.reply)
                }
                Err(Unwritten::Corrupt | Unwritten::ReadOnly | Unwritten::Budget) => Said::Reply(otherwise),
            },
        }
    }

    /// The same for somebody at the door. With a store that may not be believed nobody pairs, as without a session.
    pub(super) fn handle_visit(&mut self, visit: &Visit) {
        let via = if visit.is_near { Via::Lan } else { Via::Away };
        let said = match self.vault.corruption() {
            None => self.answer_pairing(via, &visit.mailbox, &visit.message),
            Some(_) => Said::Nothing,
        };
        let told = match said {
            Said::Reply(reply) => Told::Answer(reply),
            Said::Finished => Told::Over,
            Said::Nothing => Told::Nothing,
        };
        // A visitor who has gone is not waited for.
        let _ = visit.reply.try_send(told);
    }

    fn settled(&mut self, what: Happened) {
        let (device, what) = match what {
            Happened::Paired(device) => (device, "paired"),
            Happened::Burned(device) => (device, "burned"),
        };
        log::info!("device {device}: {what}");
        self.device_event(device, what);
    }
}

fn grant(
    device: &Device,
    key: crate::identity::PublicKey,
    name: &Label,
    services: &[crate::config::Service],
    access: Option<&crate::config::Account>,
) -> Grant {
    let user = device.user.as_str();
    let allowed = services.iter().filter(|s| s.users.iter().any(|u| u == "*" || u == user));
    let credential = access.and_then(|account| {
        Some(Credential {
            user: heapless::String::try_from(account.user.as_str()).ok()?,
            password: heapless::String::try_from(account.password.reveal()).ok()?,
        })
    });
    Grant {
        key,
        name: name.clone(),
        user: heapless::String::try_from(user).unwrap_or_default(),
        services: allowed.filter_map(|s| heapless::String::try_from(s.name.as_str()).ok()).collect(),
        credential,
    }
}
