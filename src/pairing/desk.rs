//! The NAS's side of the pairing mailboxes: exchanges under way, guesses, and what to answer. A core.
//!
//! Everything here is in memory. What strangers send changes nothing on flash, with one exception: the guess too many
//! writes the one record that burns the code. After a restart the guesses start anew and phones are told to start again.

use core::time::Duration;

use super::code::{Code, Rendezvous};
use super::handshake::{self, Grant, Keys, ReplyId, ToNas, ToPhone, Unfit, Why};
use super::ledger::Ledger;
use super::plan::{Planned, remaining};
use super::presence::LastSeen;
use super::record::{Change, Device, DeviceId, DeviceState, Ended, Finish, Paired, Reach};
use crate::clock::Now;
use crate::identity::KeyId;
use crate::random::Random;

/// Wrong guesses that burn a code. An Answer that was never confirmed counts: it gave its reader one guess.
pub const GUESSES_MAX: usize = 5;
/// How long a phone can come back for the answer of a pairing that the NAS has completed.
pub const FINISH_KEPT: Duration = Duration::from_secs(24 * 3600);

/// One exchange with one phone, Answer sent.
struct Exchange {
    reply: ReplyId,
    answer: Vec<u8>,
    guess: Guess,
}

/// What an exchange has come to.
enum Guess {
    /// Not confirmed yet.
    Open(Box<Keys>),
    /// Confirmed with another code.
    Wrong,
}

/// The exchanges for one pending device.
struct Mailbox {
    device: DeviceId,
    exchanges: heapless::Vec<Exchange, GUESSES_MAX>,
}

/// What a committed answer of the desk means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The device is paired.
    Paired(DeviceId),
    /// The code is burned.
    Burned(DeviceId),
}

/// A reply that may be sent only after its transaction is in the store.
#[derive(Debug)]
pub struct Settled {
    /// What happened.
    pub what: Happened,
    /// To the mailbox's answer topic.
    pub reply: Vec<u8>,
}

/// What to do about a message.
#[derive(Debug)]
pub enum Response {
    /// Nothing: not for us, not a message, or a stranger's.
    Silence,
    /// Send this to the mailbox's answer topic.
    Reply(Vec<u8>),
    /// Write, then send; `otherwise` if the store refuses.
    Settle {
        /// The transaction and the reply behind it.
        plan: Planned<Settled>,
        /// The reply if it cannot be kept.
        otherwise: Vec<u8>,
    },
    /// The phone has its answer.
    Finished(DeviceId),
}

/// All exchanges under way.
#[derive(Default)]
pub struct Desk {
    mailboxes: heapless::Vec<Mailbox, { super::ledger::DEVICES_MAX }>,
}

/// By which way a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// On the LAN: from an address that only this network can have.
    Lan,
    /// Through the broker, or from an address of the internet.
    Away,
}

/// What the desk needs to know to answer.
pub struct Office<'a> {
    /// The state as it is in the store.
    pub ledger: &'a Ledger,
    /// Which devices have been heard of.
    pub seen: &'a LastSeen,
    /// The NAS's id.
    pub nas: &'a KeyId,
    /// What a device of this user is told when it is paired.
    pub grant: &'a dyn Fn(&Device) -> Grant,
    /// The present.
    pub now: Now,
    /// By which way the message came.
    pub via: Via,
}

/// The mailboxes that have to be open at the broker now.
pub fn open_mailboxes<'a>(
    ledger: &'a Ledger,
    seen: &'a LastSeen,
    now: &'a Now,
) -> impl Iterator<Item = Rendezvous> + 'a {
    ledger.devices().iter().filter_map(move |device| mailbox_of(device, seen, now, Via::Away))
}

/// Where a code of the LAN is asked for from elsewhere there is no mailbox: nobody learns that it exists, and it costs no guess.
fn mailbox_of(device: &Device, seen: &LastSeen, now: &Now, via: Via) -> Option<Rendezvous> {
    if device.reach == Reach::Lan && via == Via::Away {
        return None;
    }
    match &device.state {
        DeviceState::Pending { code, .. } => {
            (remaining(&device.state, now)? > Duration::ZERO).then(|| code.rendezvous())
        }
        DeviceState::Paired(paired) => {
            is_unfinished(device.id, paired, seen, now).then_some(paired.finish.rendezvous)
        }
        DeviceState::Revoked { .. } | DeviceState::Ended { .. } => None,
    }
}

fn is_unfinished(id: DeviceId, paired: &Paired, seen: &LastSeen, now: &Now) -> bool {
    seen.of(id).is_none() && now.age(&paired.since).certain() < FINISH_KEPT
}

impl Desk {
    /// A message in the mailbox named `mailbox`.
    pub fn handle_message(
        &mut self,
        office: &Office<'_>,
        mailbox: &str,
        payload: &[u8],
        random: &mut dyn Random,
    ) -> Response {
        let is_open = |d: &&Device| {
            mailbox_of(d, office.seen, &office.now, office.via).is_some_and(|r| r.name().as_str() == mailbox)
        };
        let Some(device) = office.ledger.devices().iter().find(is_open) else { return Response::Silence };
        let Ok(message) = handshake::decode::<ToNas>(payload) else { return Response::Silence };
        match (&device.state, message) {
            (DeviceState::Pending { code, .. }, ToNas::Hello { reply, share }) => {
                self.hello(office, device, code, reply, &share, random)
            }
            (DeviceState::Pending { code, .. }, ToNas::Request { reply, confirm, sealed }) => {
                self.request(office, device, code, reply, &confirm, &sealed, random)
            }
            (DeviceState::Pending { .. }, ToNas::Done { .. }) => Response::Silence,
            (DeviceState::Paired(paired), message) => finishing(office, device, paired, message, random),
            (DeviceState::Revoked { .. } | DeviceState::Ended { .. }, _) => Response::Silence,
        }
    }

    /// Forgets exchanges of entries that are no longer pending.
    pub fn tidy(&mut self, ledger: &Ledger) {
        let pending = |id| {
            ledger.device(id).is_some_and(|d| match d.state {
                DeviceState::Pending { .. } => true,
                DeviceState::Paired(_) | DeviceState::Revoked { .. } | DeviceState::Ended { .. } => false,
            })
        };
        self.mailboxes.retain(|m| pending(m.device));
    }

    /// Guesses that the code of `device` has taken since the agent started.
    pub fn guesses(&self, device: DeviceId) -> usize {
        self.mailboxes.iter().find(|m| m.device == device).map_or(0, |m| m.exchanges.len())
    }

    fn exchanges(&mut self, device: DeviceId) -> Option<&mut heapless::Vec<Exchange, GUESSES_MAX>> {
        if !self.mailboxes.iter().any(|m| m.device == device) {
            // There are as many places as devices, and `tidy` frees those of entries that are gone.
            self.mailboxes.push(Mailbox { device, exchanges: heapless::Vec::new() }).ok()?;
        }
        self.mailboxes.iter_mut().find(|m| m.device == device).map(|m| &mut m.exchanges)
    }

    fn hello(
        &mut self,
        office: &Office<'_>,
        device: &Device,
        code: &Code,
        reply: ReplyId,
        share: &handshake::Share,
        random: &mut dyn Random,
    ) -> Response {
        let Some(exchanges) = self.exchanges(device.id) else { return Response::Silence };
        if let Some(known) = exchanges.iter().find(|e| e.reply == reply) {
            // A repeated message gets the same answer and is no new guess.
            return Response::Reply(known.answer.clone());
        }
        if exchanges.is_full() {
            return burn(device.id, reply);
        }
        let Ok((keys, answer)) = handshake::answer(code, office.nas, reply, share, random) else {
            return Response::Silence;
        };
        let answer = handshake::encode(&answer);
        let exchange = Exchange { reply, answer: answer.clone(), guess: Guess::Open(Box::new(keys)) };
        match exchanges.push(exchange) {
            Ok(()) => Response::Reply(answer),
            Err(_) => burn(device.id, reply),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one message and the two generators of every answer"
    )]
    fn request(
        &mut self,
        office: &Office<'_>,
        device: &Device,
        code: &Code,
        reply: ReplyId,
        confirm: &[u8; 32],
        sealed: &handshake::Sealed,
        random: &mut dyn Random,
    ) -> Response {
        let Some(exchanges) = self.exchanges(device.id) else { return Response::Silence };
        let Some(exchange) = exchanges.iter_mut().find(|e| e.reply == reply) else {
            return refused(reply, Why::Again);
        };
        let Guess::Open(keys) = &exchange.guess else { return refused(reply, Why::WrongCode) };
        match handshake::offered(keys, confirm, sealed) {
            Ok(offer) => pair(office, device, code, reply, keys.answer_key(), offer, random),
            Err(Unfit::WrongCode) => {
                exchange.guess = Guess::Wrong;
                let all_wrong =
                    exchanges.is_full() && exchanges.iter().all(|e| matches!(e.guess, Guess::Wrong));
                if all_wrong { burn(device.id, reply) } else { refused(reply, Why::WrongCode) }
            }
            // It knew the code; its offer makes no sense all the same.
            Err(Unfit::Malformed | Unfit::WrongKey) => Response::Silence,
        }
    }
}

fn refused(reply: ReplyId, why: Why) -> Response {
    Response::Reply(handshake::encode(&ToPhone::Refused { reply, why }))
}

fn burn(device: DeviceId, reply: ReplyId) -> Response {
    let answer = handshake::encode(&ToPhone::Refused { reply, why: Why::Burned });
    let changes = vec![Change::Ended { id: device, how: Ended::Burned }];
    let settled = Settled { what: Happened::Burned(device), reply: answer.clone() };
    // If the store refuses, the table of exchanges stays full and nobody gets another guess.
    Response::Settle { plan: Planned::new(changes, settled), otherwise: answer }
}

fn pair(
    office: &Office<'_>,
    device: &Device,
    code: &Code,
    reply: ReplyId,
    key: [u8; 32],
    offer: handshake::Offer,
    random: &mut dyn Random,
) -> Response {
    let Some(granted) = handshake::grant(&key, reply, &(office.grant)(device), random) else {
        return refused(reply, Why::Unavailable);
    };
    let finish = Finish { rendezvous: code.rendezvous(), reply, key };
    let handshake::Offer { key, name, platform, proof: _ } = offer;
    let changes = vec![Change::Redeemed { id: device.id, key, name, platform, finish }];
    let settled = Settled { what: Happened::Paired(device.id), reply: handshake::encode(&granted) };
    let otherwise = handshake::encode(&ToPhone::Refused { reply, why: Why::Unavailable });
    Response::Settle { plan: Planned::new(changes, settled), otherwise }
}

/// The device is in the store; its phone may not know that yet.
fn finishing(
    office: &Office<'_>,
    device: &Device,
    paired: &Paired,
    message: ToNas,
    random: &mut dyn Random,
) -> Response {
    let ours = |reply: ReplyId| reply == paired.finish.reply;
    match message {
        ToNas::Request { reply, .. } if ours(reply) => {
            // Sealed with the key that only this phone has, so it can be sent to whoever asks.
            match handshake::grant(&paired.finish.key, reply, &(office.grant)(device), random) {
                Some(granted) => Response::Reply(handshake::encode(&granted)),
                None => refused(reply, Why::Unavailable),
            }
        }
        ToNas::Done { reply, confirm } if ours(reply) && handshake::is_done(&paired.finish.key, &confirm) => {
            Response::Finished(device.id)
        }
        ToNas::Hello { reply, .. } | ToNas::Request { reply, .. } => refused(reply, Why::Used),
        ToNas::Done { .. } => Response::Silence,
    }
}
