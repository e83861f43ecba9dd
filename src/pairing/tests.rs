//! The pairing state and the exchange, both ends, without a broker: what the store would have is what counts.

use core::time::Duration;

use proptest::prelude::*;

use super::code::Code;
use super::desk::{Desk, GUESSES_MAX, Happened, Office, Response, Via, open_mailboxes};
use super::handshake::{self, Grant, ToNas, ToPhone, Unfit, Why};
use super::ledger::{self, DEVICES_MAX, Impossible, Ledger, PART_MAX, TRANSACTION_MAX, USERS_MAX};
use super::notice::{self, Knock, Notice, Say, Standing};
use super::plan::{self, Issued, Planned, Refusal, TTL_MAX, TTL_MIN};
use super::presence::LastSeen;
use super::record::{
    AccessMode, Change, CloudSettings, Device, DeviceId, DeviceState, Finish, Label, Paired, Reach,
    Transaction, User, UserName,
};
use crate::clock::{BootId, Clock, Now, Reading, Trust};
use crate::identity::{Identity, PublicKey};
use crate::random::{Seeded, bytes};
use crate::units::{Mono, UnixSeconds};

const DATE: u64 = 1_800_000_000;

fn at(seconds: u64) -> Now {
    let reading = Reading {
        mono: Mono::from_millis(seconds * 1000),
        system: UnixSeconds(DATE + seconds),
        disciplined: true,
    };
    Clock::new(BootId([1; 8]), Trust::Kernel, UnixSeconds(DATE), reading).now()
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn identity() -> Identity {
    Identity::from_pkcs8(&Identity::generate_pkcs8().unwrap()).unwrap()
}

/// A NAS whose store is a list of payloads that never fails.
struct Nas {
    ledger: Ledger,
    written: Vec<Vec<u8>>,
    desk: Desk,
    seen: LastSeen,
    via: Via,
    identity: Identity,
    random: Seeded,
}

impl Nas {
    fn new() -> Self {
        let mut nas = Self {
            ledger: Ledger::default(),
            written: Vec::new(),
            desk: Desk::default(),
            seen: LastSeen::default(),
            via: Via::Away,
            identity: identity(),
            random: Seeded::new(1),
        };
        let plan = plan::put_user(&nas.ledger, &name("anna"), Some("anna@example.org")).unwrap();
        assert!(nas.commit(plan, &at(1)));
        nas
    }

    fn commit<T>(&mut self, plan: Planned<T>, now: &Now) -> T {
        let (ledger, written) = (&mut self.ledger, &mut self.written);
        let value = plan.carry_out(now, None, |transaction| {
            let payload = ledger::encode(&transaction);
            assert!(payload.len() <= TRANSACTION_MAX);
            ledger.replay(&payload)?;
            written.push(payload);
            Ok::<(), Impossible>(())
        });
        value.unwrap()
    }

    fn issue(&mut self, user: &str, ttl: Duration, now: &Now) -> Result<Issued, Refusal> {
        let plan = plan::issue(&self.ledger, &name(user), ttl, false, &mut self.random)?;
        Ok(self.commit(plan, now))
    }

    /// Everything in memory gone, the store read again.
    fn restart(&mut self) {
        let mut ledger = Ledger::default();
        for payload in &self.written {
            ledger.replay(payload).unwrap();
        }
        assert_eq!(ledger, self.ledger, "memory and store tell the same");
        self.desk = Desk::default();
        self.seen = LastSeen::default();
    }

    fn receive(&mut self, mailbox: &str, message: &ToNas, now: &Now) -> Option<ToPhone> {
        let id = self.identity.id();
        let key = self.identity.public();
        let grant = |device: &Device| Grant {
            key,
            name: Label::sanitised("NAS"),
            user: heapless::String::try_from(device.user.as_str()).unwrap(),
            services: heapless::Vec::new(),
            credential: None,
        };
        let office = Office {
            ledger: &self.ledger,
            seen: &self.seen,
            nas: &id,
            grant: &grant,
            now: *now,
            via: self.via,
        };
        let response =
            self.desk.handle_message(&office, mailbox, &handshake::encode(message), &mut self.random);
        let reply = match response {
            Response::Silence => return None,
            Response::Reply(reply) => reply,
            Response::Settle { plan, .. } => self.commit(plan, now).reply,
            Response::Finished(device) => {
                self.seen.note(device, now.mono);
                return None;
            }
        };
        Some(handshake::decode(&reply).unwrap())
    }
}

/// A phone in the middle of pairing.
struct Phone {
    identity: Identity,
    reply: [u8; 8],
    random: Seeded,
}

impl Phone {
    fn new(seed: u64) -> Self {
        let mut random = Seeded::new(seed ^ 0xf0);
        Self { identity: identity(), reply: bytes(&mut random), random }
    }

    /// Hello and its Answer, then the Request that follows; `Err` if the code is wrong or the NAS says no.
    fn ask(&mut self, nas: &mut Nas, code: &Code, now: &Now) -> Result<(ToNas, [u8; 32]), Option<Why>> {
        let (waiting, hello) = handshake::hello(code, self.reply, &mut self.random).unwrap();
        match nas.receive(code.rendezvous().name().as_str(), &hello, now) {
            Some(ToPhone::Answer { nas, share, confirm, .. }) => {
                let keys = waiting.answered(&nas, &share, &confirm).map_err(|_| None)?;
                let label = Label::sanitised("Anna's phone");
                let request = handshake::request(
                    &keys,
                    self.reply,
                    &self.identity,
                    label.clone(),
                    label,
                    &mut self.random,
                );
                Ok((request.unwrap(), keys.answer_key()))
            }
            Some(ToPhone::Refused { why, .. }) => Err(Some(why)),
            Some(ToPhone::Granted { .. }) | None => Err(None),
        }
    }

    fn pair(&mut self, nas: &mut Nas, code: &Code, now: &Now) -> Option<Grant> {
        let (request, key) = self.ask(nas, code, now).ok()?;
        match nas.receive(code.rendezvous().name().as_str(), &request, now)? {
            ToPhone::Granted { sealed, .. } => {
                Some(handshake::granted(&key, &nas.identity.id(), &sealed).unwrap())
            }
            ToPhone::Answer { .. } | ToPhone::Refused { .. } => None,
        }
    }
}

fn only(nas: &Nas) -> &Device {
    assert_eq!(nas.ledger.devices().len(), 1);
    &nas.ledger.devices()[0]
}

#[test]
fn a_code_pairs_one_device_once() {
    let mut nas = Nas::new();
    let issued = nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    assert_eq!(only(&nas).state.name(), "pending");
    let mut phone = Phone::new(1);
    let grant = phone.pair(&mut nas, &issued.code, &at(20)).unwrap();
    assert_eq!((grant.key, grant.user.as_str()), (nas.identity.public(), "anna"));
    assert_eq!(nas.ledger.device_by_key(&phone.identity.id()).unwrap().id, issued.device);
    assert_eq!(Phone::new(2).ask(&mut nas, &issued.code, &at(30)).unwrap_err(), Some(Why::Used));
    assert_eq!(only(&nas).state.name(), "paired");
    nas.restart();
}

#[test]
fn a_wrong_code_is_found_by_the_phone() {
    let mut nas = Nas::new();
    let code = nas.issue("anna", TTL_MAX, &at(10)).unwrap().code;
    assert_eq!(Phone::new(1).ask(&mut nas, &wrong(&code, 0), &at(11)).unwrap_err(), None);
    assert_eq!(only(&nas).state.name(), "pending");
}

/// Another code for the same mailbox.
fn wrong(code: &Code, seed: u64) -> Code {
    let mailbox: [u8; 12] = code.clone().into();
    for salt in 0.. {
        let mut symbols: [u8; 12] = Code::mint(&mut Seeded::new(seed * 1000 + salt)).into();
        symbols[..5].copy_from_slice(&mailbox[..5]);
        if symbols == mailbox {
            continue;
        }
        for check in 0..31 {
            symbols[11] = check;
            if let Ok(code) = Code::try_from(symbols) {
                return code;
            }
        }
    }
    unreachable!()
}

#[test]
fn five_guesses_burn_the_code_and_write_one_record() {
    let mut nas = Nas::new();
    let issued = nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    let before = nas.written.len();
    for guess in 0..GUESSES_MAX as u64 {
        assert_eq!(Phone::new(guess).ask(&mut nas, &wrong(&issued.code, guess), &at(11)).unwrap_err(), None);
        assert_eq!(nas.desk.guesses(issued.device), guess as usize + 1);
    }
    assert_eq!(nas.written.len(), before, "guesses do not reach the flash");
    assert_eq!(Phone::new(9).ask(&mut nas, &issued.code, &at(12)).unwrap_err(), Some(Why::Burned));
    assert_eq!(nas.written.len(), before + 1);
    assert_eq!(only(&nas).state.name(), "burned");
    nas.restart();
    assert_eq!(Phone::new(10).ask(&mut nas, &issued.code, &at(13)).unwrap_err(), None);
    assert_eq!(nas.written.len(), before + 1);
}

#[test]
fn five_wrong_confirmations_burn_the_code_at_once() {
    let mut nas = Nas::new();
    let code = nas.issue("anna", TTL_MAX, &at(10)).unwrap().code;
    for guess in 1..=GUESSES_MAX as u64 {
        let mut phone = Phone::new(guess);
        let (mut request, _) = phone.ask(&mut nas, &code, &at(11)).unwrap();
        if let ToNas::Request { confirm, .. } = &mut request {
            confirm[0] ^= 1;
        }
        let reply = nas.receive(code.rendezvous().name().as_str(), &request, &at(11)).unwrap();
        let expect = if guess == GUESSES_MAX as u64 { Why::Burned } else { Why::WrongCode };
        assert_eq!(reply, ToPhone::Refused { reply: phone.reply, why: expect });
    }
    assert_eq!(only(&nas).state.name(), "burned");
}

#[test]
fn a_repeated_message_gets_the_same_answer_and_is_no_guess() {
    let mut nas = Nas::new();
    let issued = nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    let mailbox = issued.code.rendezvous().name();
    let mut random = Seeded::new(3);
    let (_, hello) = handshake::hello(&issued.code, [7; 8], &mut random).unwrap();
    let first = nas.receive(&mailbox, &hello, &at(11)).unwrap();
    for _ in 0..20 {
        assert_eq!(nas.receive(&mailbox, &hello, &at(12)).unwrap(), first);
    }
    assert_eq!(nas.desk.guesses(issued.device), 1);
}

#[test]
fn a_restart_before_the_request_sends_the_phone_back_to_the_start() {
    let mut nas = Nas::new();
    let code = nas.issue("anna", TTL_MAX, &at(10)).unwrap().code;
    let mut phone = Phone::new(1);
    let (request, _) = phone.ask(&mut nas, &code, &at(11)).unwrap();
    nas.restart();
    let reply = nas.receive(code.rendezvous().name().as_str(), &request, &at(12)).unwrap();
    assert_eq!(reply, ToPhone::Refused { reply: phone.reply, why: Why::Again });
    assert!(phone.pair(&mut nas, &code, &at(13)).is_some());
}

#[test]
fn a_restart_after_the_commit_still_lets_the_phone_finish() {
    let mut nas = Nas::new();
    let code = nas.issue("anna", TTL_MAX, &at(10)).unwrap().code;
    let mailbox = code.rendezvous().name();
    let mut phone = Phone::new(1);
    let (request, key) = phone.ask(&mut nas, &code, &at(11)).unwrap();
    assert!(nas.receive(&mailbox, &request, &at(12)).is_some(), "this answer gets lost");
    nas.restart();
    assert_eq!(open_mailboxes(&nas.ledger, &nas.seen, &at(13)).count(), 1);
    let Some(ToPhone::Granted { sealed, .. }) = nas.receive(&mailbox, &request, &at(13)) else { panic!() };
    assert!(handshake::granted(&key, &nas.identity.id(), &sealed).is_ok());
    assert!(nas.receive(&mailbox, &handshake::done(&[0; 32], phone.reply), &at(14)).is_none());
    assert_eq!(open_mailboxes(&nas.ledger, &nas.seen, &at(14)).count(), 1, "that was not the phone");
    assert!(nas.receive(&mailbox, &handshake::done(&key, phone.reply), &at(14)).is_none());
    assert_eq!(open_mailboxes(&nas.ledger, &nas.seen, &at(14)).count(), 0);
}

#[test]
fn the_broker_cannot_stand_in_the_middle() {
    let mut nas = Nas::new();
    let code = nas.issue("anna", TTL_MAX, &at(10)).unwrap().code;
    let mut random = Seeded::new(3);
    let (waiting, hello) = handshake::hello(&code, [7; 8], &mut random).unwrap();
    // It answers with a share of its own, made without the code.
    let evil = identity().id();
    let ToNas::Hello { share, .. } = hello else { panic!() };
    let (_, forged) = handshake::answer(&wrong(&code, 5), &evil, [7; 8], &share, &mut random).unwrap();
    let ToPhone::Answer { nas: id, share, confirm, .. } = forged else { panic!() };
    assert_eq!(waiting.answered(&id, &share, &confirm).err(), Some(Unfit::WrongCode));
    // It passes the Answer on with another NAS's id in it.
    let mut phone = Phone::new(4);
    let (waiting, hello) = handshake::hello(&code, phone.reply, &mut phone.random).unwrap();
    let Some(ToPhone::Answer { share, confirm, .. }) =
        nas.receive(&code.rendezvous().name(), &hello, &at(11))
    else {
        panic!()
    };
    assert_eq!(waiting.answered(&evil, &share, &confirm).err(), Some(Unfit::WrongCode));
}

#[test]
fn a_new_code_replaces_the_users_unused_one() {
    let mut nas = Nas::new();
    let first = nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    let second = nas.issue("anna", TTL_MAX, &at(11)).unwrap();
    assert_eq!(only(&nas).id, second.device);
    assert!(Phone::new(1).pair(&mut nas, &first.code, &at(12)).is_none());
    let keep = plan::issue(&nas.ledger, &name("anna"), TTL_MAX, true, &mut nas.random).unwrap();
    let third = nas.commit(keep, &at(13));
    assert_eq!(nas.ledger.devices().len(), 2);
    assert!(Phone::new(2).pair(&mut nas, &second.code, &at(14)).is_some());
    assert!(Phone::new(3).pair(&mut nas, &third.code, &at(15)).is_some());
    nas.issue("anna", TTL_MAX, &at(16)).unwrap();
    assert_eq!(nas.ledger.devices().len(), 3, "paired devices are never replaced");
}

#[test]
fn a_refused_code_leaves_nothing() {
    let mut nas = Nas::new();
    let before = (nas.ledger.clone(), nas.written.len());
    assert_eq!(nas.issue("bert", TTL_MAX, &at(10)).unwrap_err(), Refusal::UserUnknown);
    assert_eq!(
        nas.issue("anna", TTL_MIN - Duration::from_secs(1), &at(10)).unwrap_err(),
        Refusal::TtlOutOfRange
    );
    assert_eq!(
        nas.issue("anna", TTL_MAX + Duration::from_secs(1), &at(10)).unwrap_err(),
        Refusal::TtlOutOfRange
    );
    assert_eq!((nas.ledger.clone(), nas.written.len()), before);
    // A plan that is not carried out is no code.
    drop(plan::issue(&nas.ledger, &name("anna"), TTL_MAX, false, &mut nas.random).unwrap());
    assert_eq!((nas.ledger.clone(), nas.written.len()), before);
}

#[test]
fn codes_expire_and_then_disappear_by_themselves() {
    let mut nas = Nas::new();
    let code = nas.issue("anna", TTL_MIN, &at(10)).unwrap().code;
    assert_eq!(plan::next_housekeeping(&nas.ledger, &at(10)), Some(TTL_MIN));
    assert!(plan::housekeeping(&nas.ledger, &at(309)).is_empty());
    assert!(Phone::new(1).ask(&mut nas, &code, &at(310)).is_err(), "over, though nobody has written it yet");
    let plan = plan::housekeeping(&nas.ledger, &at(310));
    nas.commit(plan, &at(310));
    assert_eq!(only(&nas).state.name(), "expired");
    nas.restart();
    let plan = plan::housekeeping(&nas.ledger, &at(310 + 24 * 3600));
    nas.commit(plan, &at(310 + 24 * 3600));
    assert!(nas.ledger.devices().is_empty());
    assert_eq!(plan::next_housekeeping(&nas.ledger, &at(0)), None);
}

#[test]
fn removal_works_in_every_state() {
    let mut nas = Nas::new();
    let pending = nas.issue("anna", TTL_MAX, &at(10)).unwrap().device;
    let plan = plan::remove_device(&nas.ledger, pending).unwrap();
    nas.commit(plan, &at(11));
    assert!(nas.ledger.devices().is_empty());
    assert_eq!(plan::remove_device(&nas.ledger, pending).unwrap_err(), Refusal::DeviceUnknown);

    let issued = nas.issue("anna", TTL_MAX, &at(12)).unwrap();
    let mut phone = Phone::new(1);
    phone.pair(&mut nas, &issued.code, &at(13)).unwrap();
    let plan = plan::remove_device(&nas.ledger, issued.device).unwrap();
    nas.commit(plan, &at(14));
    assert_eq!(only(&nas).state.name(), "revoked");
    assert_eq!(notice::queued(&nas.ledger).collect::<Vec<_>>(), [(issued.device, phone.identity.id())]);
    nas.restart();
    let plan = plan::remove_device(&nas.ledger, issued.device).unwrap();
    nas.commit(plan, &at(15));
    assert!(nas.ledger.devices().is_empty(), "an owner who does not want to wait");
}

#[test]
fn a_removed_device_is_told_and_then_forgotten() {
    let mut nas = Nas::new();
    let issued = nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    let mut phone = Phone::new(1);
    phone.pair(&mut nas, &issued.code, &at(11)).unwrap();
    let id = nas.identity.id();
    let hail = Knock::new(&phone.identity, &id, Say::Hail, [1; 16]);
    let knock = Knock::open(&handshake::encode(&hail), &id).unwrap();
    assert!(matches!(notice::answer(&nas.ledger, &knock), notice::Answer::Tell(Standing::Paired, Some(_))));
    let plan = plan::remove_device(&nas.ledger, issued.device).unwrap();
    nas.commit(plan, &at(12));
    assert!(matches!(notice::answer(&nas.ledger, &knock), notice::Answer::Tell(Standing::Revoked, None)));
    let told = Notice::new(&nas.identity, &phone.identity.id(), Standing::Revoked, [0; 16]);
    let told = handshake::encode(&told);
    assert_eq!(
        Notice::open(&told, &nas.identity.public(), &phone.identity.id()).unwrap().standing,
        Standing::Revoked
    );
    assert_eq!(Notice::open(&told, &identity().public(), &phone.identity.id()).unwrap_err(), Unfit::WrongKey);
    assert_eq!(Notice::open(&told, &nas.identity.public(), &identity().id()).unwrap_err(), Unfit::WrongKey);
    let understood = Knock::new(&phone.identity, &id, Say::Understood, [2; 16]);
    let notice::Answer::Settle(plan, Standing::Unknown) = notice::answer(&nas.ledger, &understood) else {
        panic!()
    };
    nas.commit(plan, &at(13));
    assert!(nas.ledger.devices().is_empty());
    assert!(matches!(
        notice::answer(&nas.ledger, &understood),
        notice::Answer::Tell(Standing::Unknown, None)
    ));
}

#[test]
fn a_knock_is_bound_to_both_ends_and_its_words() {
    let (device, nas) = (identity(), identity());
    let good = Knock::new(&device, &nas.id(), Say::Hail, [1; 16]);
    assert!(Knock::open(&handshake::encode(&good), &nas.id()).is_ok());
    let check = |knock: &Knock| assert!(Knock::open(&handshake::encode(knock), &nas.id()).is_err());
    assert!(Knock::open(&handshake::encode(&good), &identity().id()).is_err());
    check(&Knock { say: Say::Leave, ..good.clone() });
    check(&Knock { device: identity().public(), ..good.clone() });
    check(&Knock { nonce: [2; 16], ..good.clone() });
}

#[test]
fn removing_a_user_revokes_its_devices_and_drops_its_codes() {
    let mut nas = Nas::new();
    let first = nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    Phone::new(1).pair(&mut nas, &first.code, &at(11)).unwrap();
    nas.issue("anna", TTL_MAX, &at(12)).unwrap();
    let plan = plan::remove_user(&nas.ledger, &name("anna")).unwrap();
    nas.commit(plan, &at(13));
    assert_eq!(only(&nas).state.name(), "revoked");
    assert_eq!(plan::remove_user(&nas.ledger, &name("anna")).unwrap_err(), Refusal::UserUnknown);
    nas.restart();
}

#[test]
fn unused_entries_are_cleared_in_one_step() {
    let mut nas = Nas::new();
    let plan = plan::put_user(&nas.ledger, &name("bert"), None).unwrap();
    nas.commit(plan, &at(2));
    nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    let bert = nas.issue("bert", TTL_MAX, &at(11)).unwrap();
    let plan = plan::remove_unused(&nas.ledger, Some(&name("anna"))).unwrap();
    nas.commit(plan, &at(12));
    assert_eq!(only(&nas).id, bert.device);
    let plan = plan::remove_unused(&nas.ledger, None).unwrap();
    assert_eq!(nas.commit(plan, &at(13)), [bert.device]);
    assert!(nas.ledger.devices().is_empty());
}

#[test]
fn ids_are_never_used_again() {
    let mut nas = Nas::new();
    let first = nas.issue("anna", TTL_MAX, &at(10)).unwrap().device;
    let plan = plan::remove_unused(&nas.ledger, None).unwrap();
    nas.commit(plan, &at(11));
    let rebuilt = replayed(&nas.ledger);
    assert_eq!(rebuilt, nas.ledger);
    assert_eq!(rebuilt.next_device(), DeviceId(first.0 + 1));
}

fn replayed(ledger: &Ledger) -> Ledger {
    let mut rebuilt = Ledger::default();
    let mut replay = |part: &[u8]| {
        assert!(part.len() <= PART_MAX);
        rebuilt.replay(part)
    };
    ledger.snapshot(&mut replay).unwrap();
    rebuilt
}

/// The fullest ledger there can be: every table full, every text as long as it gets.
fn fullest() -> Ledger {
    let mut ledger = Ledger::default();
    let stamp = at(1 << 30).stamp();
    let user = |i: usize| name(&format!("{i:x<32}"));
    for i in 0..USERS_MAX {
        let email = Some(heapless::String::try_from(format!("{:@<96}", i).as_str()).unwrap());
        let changes = vec![Change::UserPut(User { name: user(i), email })];
        ledger.apply(&Transaction { when: stamp, floor: None, changes }).unwrap();
    }
    for i in 0..DEVICES_MAX as u32 {
        let code = Code::mint(&mut Seeded::new(u64::from(i)));
        let label = Label::sanitised(&"x".repeat(48));
        let finish = Finish { rendezvous: code.rendezvous(), reply: [255; 8], key: [255; 32] };
        let id = DeviceId(i + 1);
        let changes = vec![
            Change::Issued { id, user: user(i as usize % USERS_MAX), code, ttl_s: u32::MAX },
            Change::Redeemed {
                id,
                key: PublicKey([i as u8; 32]),
                name: label.clone(),
                platform: label,
                finish,
            },
        ];
        ledger.apply(&Transaction { when: stamp, floor: Some(UnixSeconds(DATE)), changes }).unwrap();
    }
    let dns = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].iter().map(|a| a.parse().unwrap()).collect();
    let cloud = CloudSettings { enabled: true, mode: AccessMode::Manual, dns };
    ledger.apply(&Transaction { when: stamp, floor: None, changes: vec![Change::Cloud(cloud)] }).unwrap();
    ledger
}

#[test]
fn the_fullest_state_fits_half_a_segment() {
    let ledger = fullest();
    assert_eq!(replayed(&ledger), ledger);
    let mut total = 0;
    ledger
        .snapshot(&mut |part: &[u8]| -> Result<(), ()> {
            total += part.len() + 32;
            Ok(())
        })
        .unwrap();
    assert!(total <= 32 * 1024, "{total} bytes with frame headers");
    let now = at(1 << 30);
    plan::reset_pairings(&ledger)
        .carry_out(&now, None, |t| if ledger::encode(&t).len() <= TRANSACTION_MAX { Ok(()) } else { Err(()) })
        .unwrap();
}

#[test]
fn full_tables_are_refused_before_anything_is_written() {
    let ledger = fullest();
    let user = ledger.users()[0].name.clone();
    let mut random = Seeded::new(1);
    assert_eq!(plan::issue(&ledger, &user, TTL_MAX, false, &mut random).unwrap_err(), Refusal::DevicesFull);
    assert_eq!(plan::put_user(&ledger, &name("new"), None).unwrap_err(), Refusal::UsersFull);
}

#[test]
fn a_paired_device_is_renamed_and_nothing_else_is() {
    let mut nas = Nas::new();
    let issued = nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    let label = Label::sanitised;
    assert_eq!(
        plan::rename(&nas.ledger, issued.device, label("x")).unwrap_err(),
        Refusal::DeviceUnknown,
        "a code has no name"
    );
    Phone::new(1).pair(&mut nas, &issued.code, &at(20)).unwrap();
    let DeviceState::Paired(before) = only(&nas).state.clone() else { panic!() };
    let plan = plan::rename(&nas.ledger, issued.device, label("Desk")).unwrap();
    assert!(nas.commit(plan, &at(30)));
    let DeviceState::Paired(after) = only(&nas).state.clone() else { panic!() };
    assert_eq!(after, Paired { name: label("Desk"), ..before }, "since when it is paired stays");
    let same = plan::rename(&nas.ledger, issued.device, label("Desk")).unwrap();
    assert!(same.is_empty() && !nas.commit(same, &at(31)));
    nas.restart();
    // It is told by its last name what became of it.
    let removal = plan::remove_device(&nas.ledger, issued.device).unwrap();
    nas.commit(removal, &at(40));
    assert!(matches!(&only(&nas).state, DeviceState::Revoked { name, .. } if name.as_str() == "Desk"));
    assert_eq!(plan::rename(&nas.ledger, issued.device, label("x")).unwrap_err(), Refusal::DeviceUnknown);
}

impl Nas {
    fn issue_nearby(&mut self, now: &Now) -> Issued {
        let plan = plan::issue_nearby(&self.ledger, &name("anna"), TTL_MIN, &mut self.random).unwrap();
        self.commit(plan, now)
    }
}

#[test]
fn a_code_of_the_lan_works_on_the_lan_only() {
    let mut nas = Nas::new();
    let code = nas.issue_nearby(&at(10)).code;
    assert_eq!(open_mailboxes(&nas.ledger, &nas.seen, &at(11)).count(), 0, "the broker hears nothing of it");
    for _ in 0..=GUESSES_MAX {
        assert!(Phone::new(1).pair(&mut nas, &code, &at(11)).is_none(), "from away");
    }
    nas.restart();
    assert_eq!(replayed(&nas.ledger), nas.ledger, "a snapshot keeps it");
    assert!(Phone::new(2).pair(&mut nas, &code, &at(12)).is_none(), "nor after a restart");
    assert_eq!(nas.desk.guesses(only(&nas).id), 0, "which costs no guess");
    nas.via = Via::Lan;
    let mut phone = Phone::new(3);
    let (request, _) = phone.ask(&mut nas, &code, &at(13)).unwrap();
    let mailbox = code.rendezvous().name();
    // The last step from away is refused as well.
    nas.via = Via::Away;
    assert_eq!(nas.receive(&mailbox, &request, &at(13)), None);
    nas.via = Via::Lan;
    assert!(matches!(nas.receive(&mailbox, &request, &at(14)), Some(ToPhone::Granted { .. })));
    let device = only(&nas).clone();
    assert!(matches!(device.state, DeviceState::Paired(_)));
    assert_eq!(device.reach, Reach::Anywhere, "the device is as any other");
    // What was cut off is finished by every way.
    nas.via = Via::Away;
    assert!(matches!(nas.receive(&mailbox, &request, &at(15)), Some(ToPhone::Granted { .. })));
    nas.restart();
}

#[test]
fn a_code_of_the_lan_takes_the_place_of_the_one_before_it_and_of_no_other() {
    let mut nas = Nas::new();
    let owners = nas.issue("anna", TTL_MAX, &at(10)).unwrap().device;
    let ids = |nas: &Nas| nas.ledger.devices().iter().map(|d| d.id).collect::<Vec<_>>();
    let first = nas.issue_nearby(&at(11)).device;
    let second = nas.issue_nearby(&at(12)).device;
    assert_eq!(ids(&nas), [owners, second]);
    // One that came to nothing is replaced, too: who presses all day does not fill the table.
    nas.commit(plan::housekeeping(&nas.ledger, &at(1000)), &at(1000));
    assert_eq!(nas.ledger.device(second).unwrap().state.name(), "expired");
    assert_eq!(replayed(&nas.ledger), nas.ledger);
    let third = nas.issue_nearby(&at(1001)).device;
    assert_eq!(ids(&nas), [owners, third]);
    assert!(first < second && second < third);
    // The owner's own replaces all that the user has not used.
    nas.issue("anna", TTL_MAX, &at(1002)).unwrap();
    assert_eq!(nas.ledger.devices().len(), 1);
    assert_eq!(only(&nas).reach, Reach::Anywhere);
    // A device that is paired is not made one of the LAN by any record.
    let code = nas.issue_nearby(&at(1003)).code;
    nas.via = Via::Lan;
    assert!(Phone::new(4).pair(&mut nas, &code, &at(1004)).is_some());
    let paired = nas.ledger.devices().last().unwrap().id;
    let change = Transaction { when: at(1005).stamp(), floor: None, changes: vec![Change::Nearby(paired)] };
    assert_eq!(nas.ledger.clone().apply(&change), Err(Impossible::OutOfStep));
}

#[test]
fn impossible_records_are_found_on_replay() {
    let mut nas = Nas::new();
    let id = nas.issue("anna", TTL_MAX, &at(10)).unwrap().device;
    let check = |change: Change| {
        let transaction = Transaction { when: at(11).stamp(), floor: None, changes: vec![change] };
        assert_eq!(nas.ledger.clone().apply(&transaction), Err(Impossible::OutOfStep));
    };
    check(Change::Vanished(DeviceId(99)));
    check(Change::Revoked(id));
    check(Change::UserRemoved(name("nobody")));
    check(Change::Renamed { id, name: Label::sanitised("a code has no name") });
    check(Change::Renamed { id: DeviceId(99), name: Label::default() });
    check(Change::Nearby(DeviceId(99)));
    let code = Code::mint(&mut Seeded::new(2));
    check(Change::Issued { id, user: name("anna"), code: code.clone(), ttl_s: 300 });
    check(Change::Issued { id: DeviceId(id.0 + 1), user: name("nobody"), code, ttl_s: 300 });
    assert_eq!(Ledger::default().replay(b"\xff\xff\xff\xff"), Err(Impossible::Unreadable));
    let mut long = nas.written[0].clone();
    long.push(0);
    assert_eq!(Ledger::default().replay(&long), Err(Impossible::Unreadable));
}

#[test]
fn what_happened_is_what_was_asked() {
    let mut nas = Nas::new();
    let issued = nas.issue("anna", TTL_MAX, &at(10)).unwrap();
    let (request, _) = Phone::new(1).ask(&mut nas, &issued.code, &at(11)).unwrap();
    let id = nas.identity.id();
    let key = nas.identity.public();
    let grant = |_: &Device| Grant {
        key,
        name: Label::default(),
        user: heapless::String::new(),
        services: heapless::Vec::new(),
        credential: None,
    };
    let office =
        Office { ledger: &nas.ledger, seen: &nas.seen, nas: &id, grant: &grant, now: at(12), via: Via::Away };
    let mailbox = issued.code.rendezvous().name();
    let Response::Settle { plan, otherwise } =
        nas.desk.handle_message(&office, &mailbox, &handshake::encode(&request), &mut nas.random)
    else {
        panic!()
    };
    let refused: ToPhone = handshake::decode(&otherwise).unwrap();
    assert!(matches!(refused, ToPhone::Refused { why: Why::Unavailable, .. }));
    assert_eq!(nas.commit(plan, &at(12)).what, Happened::Paired(issued.device));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_silence(mailbox in "[0-9A-Z]{0,8}", payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut nas = Nas::new();
        let code = nas.issue("anna", TTL_MAX, &at(10)).unwrap().code;
        let own = code.rendezvous().name();
        let written = nas.written.len();
        let id = nas.identity.id();
        let grant = |_: &Device| unreachable!();
        for topic in [mailbox.as_str(), own.as_str()] {
            let office = Office { ledger: &nas.ledger, seen: &nas.seen, nas: &id, grant: &grant, now: at(11), via: Via::Away };
            let response = nas.desk.handle_message(&office, topic, &payload, &mut nas.random);
            prop_assert!(matches!(response, Response::Silence | Response::Reply(_)));
        }
        prop_assert!(Knock::open(&payload, &id).is_err());
        prop_assert_eq!(nas.written.len(), written);
        let _ = ledger::decode(&payload);
        let _ = handshake::decode::<ToPhone>(&payload);
    }
}

#[test]
fn an_unfinished_phone_is_not_waited_for_for_ever() {
    let mut nas = Nas::new();
    let code = nas.issue("anna", TTL_MAX, &at(10)).unwrap().code;
    Phone::new(1).pair(&mut nas, &code, &at(20)).unwrap();
    assert_eq!(open_mailboxes(&nas.ledger, &nas.seen, &at(20 + 24 * 3600 - 1)).count(), 1);
    assert_eq!(open_mailboxes(&nas.ledger, &nas.seen, &at(20 + 24 * 3600)).count(), 0);
    assert!(matches!(only(&nas).state, DeviceState::Paired(_)));
}
