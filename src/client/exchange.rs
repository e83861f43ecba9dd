//! Pairing as the device, sans I/O. A core.
//!
//! The caller publishes [`Exchange::outgoing`] now and again every second until an answer moves things on; repeating is
//! harmless by design. From the moment the Request is made, [`Exchange::asked`] is worth keeping on disk: with it the
//! pairing can be finished even after both ends were cut off.

use crate::identity::{Identity, KeyId};
use crate::pairing::code::{Code, Rendezvous};
use crate::pairing::handshake::{
    self, Grant, PhoneWaiting, ReplyId, ToNas, ToPhone, Unfit, Why, decode, encode, granted, hello,
};
use crate::pairing::record::Label;
use crate::random::{self, Random};

/// Times the NAS may send us back to the start (it was restarted) before we give up.
const RESTARTS_MAX: u32 = 20;

/// The Request and what is needed to understand its answer.
#[derive(Clone)]
pub struct Asked {
    /// The mailbox.
    pub rendezvous: Rendezvous,
    /// Our reply id.
    pub reply: ReplyId,
    /// The NAS that proved the code.
    pub nas: KeyId,
    /// Opens the answer.
    pub key: [u8; 32],
    /// The encoded Request.
    pub request: Vec<u8>,
}

/// Why pairing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The NAS has another code for this mailbox.
    #[error("the code is wrong")]
    WrongCode,
    /// The code has paired a device already.
    #[error("the code has been used already")]
    Used,
    /// Too many wrong guesses.
    #[error("the code was burned by too many wrong guesses")]
    Burned,
    /// The NAS cannot store the pairing.
    #[error("the NAS cannot store the pairing now")]
    Unavailable,
    /// The NAS keeps sending us back to the start.
    #[error("the NAS was restarted again and again")]
    Restarts,
    /// A bug of ours, or no randomness.
    #[error("the message could not be made")]
    Internal,
}

enum State {
    Greeting { waiting: Option<PhoneWaiting>, hello: Vec<u8>, reply: ReplyId },
    Asking(Asked),
    Done(Box<Grant>, Vec<u8>),
    Failed(Failure),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Paired.
    Paired(Box<Grant>),
    /// Not.
    Failed(Failure),
}

/// Who pairs.
pub struct Introduction<'a> {
    /// The device's key.
    pub identity: &'a Identity,
    /// What it calls itself.
    pub name: Label,
    /// What it runs on.
    pub platform: Label,
}

/// One pairing.
pub struct Exchange<'a> {
    code: Code,
    device: Introduction<'a>,
    state: State,
    restarts: u32,
}

impl<'a> Exchange<'a> {
    /// Starts with a Hello.
    pub fn new(code: Code, device: Introduction<'a>, random: &mut dyn Random) -> Self {
        let state = greet(&code, random);
        Self { code, device, state, restarts: 0 }
    }

    /// Goes on from a Request that was kept.
    pub const fn resume(code: Code, device: Introduction<'a>, asked: Asked) -> Self {
        Self { code, device, state: State::Asking(asked), restarts: 0 }
    }

    /// What to publish to the mailbox, now and again until something changes.
    pub fn outgoing(&self) -> Option<&[u8]> {
        match &self.state {
            State::Greeting { hello, .. } => Some(hello),
            State::Asking(asked) => Some(&asked.request),
            State::Done(_, done) => Some(done),
            State::Failed(_) => None,
        }
    }

    /// What is worth keeping: the Request, from when it is made until it is answered.
    pub const fn asked(&self) -> Option<&Asked> {
        match &self.state {
            State::Asking(asked) => Some(asked),
            State::Greeting { .. } | State::Done(..) | State::Failed(_) => None,
        }
    }

    /// What became of it, once that is known.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Done(grant, _) => Some(Outcome::Paired(grant.clone())),
            State::Failed(failure) => Some(Outcome::Failed(*failure)),
            State::Greeting { .. } | State::Asking(_) => None,
        }
    }

    /// A message in the mailbox. `true` if something changed and `outgoing` is to be published at once.
    pub fn handle_message(&mut self, payload: &[u8], random: &mut dyn Random) -> bool {
        let Ok(message) = decode::<ToPhone>(payload) else { return false };
        match (&mut self.state, message) {
            (State::Greeting { waiting, reply, .. }, ToPhone::Answer { reply: to, nas, share, confirm })
                if to == *reply =>
            {
                let reply = *reply;
                let Some(waiting) = waiting.take() else { return false };
                self.state = match waiting.answered(&nas, &share, &confirm) {
                    Ok(keys) => self.ask(&keys, reply, nas, random),
                    Err(Unfit::WrongCode | Unfit::Malformed | Unfit::WrongKey) => {
                        State::Failed(Failure::WrongCode)
                    }
                };
                true
            }
            (State::Asking(asked), ToPhone::Granted { reply, sealed }) if reply == asked.reply => {
                // What does not open was not sealed by our NAS: somebody else's noise.
                let Ok(grant) = granted(&asked.key, &asked.nas, &sealed) else { return false };
                let done = encode(&handshake::done(&asked.key, asked.reply));
                self.state = State::Done(Box::new(grant), done);
                true
            }
            (State::Greeting { reply, .. }, ToPhone::Refused { reply: to, why }) if to == *reply => {
                self.refused(why, random)
            }
            (State::Asking(asked), ToPhone::Refused { reply: to, why }) if to == asked.reply => {
                self.refused(why, random)
            }
            _ => false,
        }
    }

    fn ask(&self, keys: &handshake::Keys, reply: ReplyId, nas: KeyId, random: &mut dyn Random) -> State {
        let Introduction { identity, name, platform } = &self.device;
        match handshake::request(keys, reply, identity, name.clone(), platform.clone(), random) {
            Some(request) => State::Asking(Asked {
                rendezvous: self.code.rendezvous(),
                reply,
                nas,
                key: keys.answer_key(),
                request: encode(&request),
            }),
            None => State::Failed(Failure::Internal),
        }
    }

    fn refused(&mut self, why: Why, random: &mut dyn Random) -> bool {
        self.state = match why {
            Why::Again if self.restarts < RESTARTS_MAX => {
                self.restarts += 1;
                greet(&self.code, random)
            }
            Why::Again => State::Failed(Failure::Restarts),
            Why::Used => State::Failed(Failure::Used),
            Why::Burned => State::Failed(Failure::Burned),
            Why::WrongCode => State::Failed(Failure::WrongCode),
            Why::Unavailable => State::Failed(Failure::Unavailable),
        };
        true
    }
}

fn greet(code: &Code, random: &mut dyn Random) -> State {
    let reply: ReplyId = random::bytes(random);
    match hello(code, reply, random) {
        Some((waiting, message @ ToNas::Hello { .. })) => {
            State::Greeting { waiting: Some(waiting), hello: encode(&message), reply }
        }
        Some(_) | None => State::Failed(Failure::Internal),
    }
}
