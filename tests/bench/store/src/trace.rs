//! The trace: what a NAS's pairing store goes through while 1,000 devices come and go, made by moorline's own planner.
//!
//! A store that keeps keys gets each transaction as the keys that it changes: `p` pending codes, `d` paired devices, `r`
//! removals that a device still has to be told, `u` users, `n` the next device's number. So redeeming a code removes one
//! key and adds another, and so does a removal; both have to happen together.

use std::collections::BTreeMap;
use std::rc::Rc;

use moorline::clock::{BootId, Now};
use moorline::identity::PublicKey;
use moorline::pairing::ledger::{self, Ledger};
use moorline::pairing::plan;
use moorline::pairing::record::{
    Change, Device, DeviceId, DeviceState, Finish, Label, Transaction, UserName,
};
use moorline::random::{Seeded, below, bytes};
use moorline::units::{Mono, UnixSeconds, Wall};

/// A letter for the table and a number in it.
pub type Key = [u8; 5];
/// All keys with their values.
pub type Map = BTreeMap<Key, Rc<[u8]>>;

/// Devices that are paired and removed again.
const DEVICES: u32 = 1000;
/// Pending and paired at once.
const LIVE_MAX: usize = 32;
const USERS: [&str; 8] = ["anna", "bert", "carla", "dmitri", "eva", "family", "guests", "office-backup"];
const NAMES: [&str; 6] = [
    "Anna's phone",
    "Laptop",
    "Pixel 9 of Dmitri",
    "iPad in the kitchen",
    "work",
    "Living room TV box, second one",
];
const PLATFORMS: [&str; 4] = ["Android 16", "iOS 19.1", "Linux", "Windows 11"];
/// Of ten removals so many are the owner's; in the others the device leaves by itself.
const REMOVED_BY_OWNER: u64 = 4;
/// Removals are forgotten once the devices know, so many at a time.
const TOLD_AT_ONCE: usize = 6;

/// One commit.
pub struct Step {
    /// As moorline writes it.
    pub payload: Vec<u8>,
    /// As stores of keys write it.
    pub changes: Vec<(Key, Option<Rc<[u8]>>)>,
}

/// The commits, and the state after each; `states[0]` is the empty one.
pub struct Trace {
    pub steps: Vec<Step>,
    pub states: Vec<Map>,
}

fn key(table: u8, number: u32) -> Key {
    let [a, b, c, d] = number.to_be_bytes();
    [table, a, b, c, d]
}

fn value<T: serde::Serialize>(of: &T) -> Rc<[u8]> {
    postcard::to_allocvec(of).expect("records are serialisable").into()
}

/// The keys and values that a ledger stands for. When the newest transaction was is in moorline's log only.
pub fn keys(ledger: &Ledger) -> Map {
    let mut map: Map = ledger.users().iter().zip(0..).map(|(u, i)| (key(b'u', i), value(u))).collect();
    for device in ledger.devices() {
        map.insert(key(table(device), device.id.0), value(device));
    }
    if ledger.next_device() > DeviceId(1) {
        map.insert(key(b'n', 0), value(&ledger.next_device()));
    }
    map
}

/// Of a device in this state.
pub fn table(device: &Device) -> u8 {
    match device.state {
        DeviceState::Pending { .. } | DeviceState::Ended { .. } => b'p',
        DeviceState::Paired(_) => b'd',
        DeviceState::Revoked { .. } => b'r',
    }
}

struct Maker {
    random: Seeded,
    now: u64,
    ledger: Ledger,
    trace: Trace,
}

impl Maker {
    fn now(&mut self) -> Now {
        self.now += 20_000 + below(&mut self.random, 3_000_000);
        let wall = Wall::Known(UnixSeconds(1_790_000_000 + self.now / 1000));
        Now { boot: BootId([7; 8]), mono: Mono::from_millis(self.now), wall }
    }

    fn commit(&mut self, changes: Vec<Change>) {
        let now = self.now();
        let transaction = Transaction { when: now.stamp(), floor: None, changes };
        self.ledger.apply(&transaction).expect("the trace is possible");
        let before = self.trace.states.last().cloned().unwrap_or_default();
        let after = keys(&self.ledger);
        let put =
            after.iter().filter(|(k, v)| before.get(*k) != Some(*v)).map(|(k, v)| (*k, Some(Rc::clone(v))));
        let gone = before.keys().filter(|k| !after.contains_key(*k)).map(|k| (*k, None));
        // What is unchanged is shared, so that a state costs little.
        let changes: Vec<_> = put.chain(gone).collect();
        let mut state = before.clone();
        for (key, value) in &changes {
            match value {
                Some(value) => state.insert(*key, Rc::clone(value)),
                None => state.remove(key),
            };
        }
        self.trace.steps.push(Step { payload: ledger::encode(&transaction), changes });
        self.trace.states.push(state);
    }

    fn plan<T>(&mut self, planned: plan::Planned<T>) {
        let now = self.now();
        let mut changes = Vec::new();
        let _ = planned.carry_out(&now, None, |t| {
            changes = t.changes;
            Ok::<(), ()>(())
        });
        self.commit(changes);
    }

    fn pick(&mut self, wanted: impl Fn(&DeviceState) -> bool) -> Option<DeviceId> {
        let ids: Vec<DeviceId> =
            self.ledger.devices().iter().filter(|d| wanted(&d.state)).map(|d| d.id).collect();
        ids.get(below(&mut self.random, ids.len() as u64) as usize).copied()
    }

    fn issue(&mut self) {
        let user: UserName =
            USERS[below(&mut self.random, USERS.len() as u64) as usize].parse().expect("a name");
        let planned =
            plan::issue(&self.ledger, &user, plan::TTL_MAX, true, &mut self.random).expect("there is room");
        self.plan(planned);
    }

    fn redeem(&mut self, id: DeviceId) {
        let rendezvous = match self.ledger.device(id).map(|d| &d.state) {
            Some(DeviceState::Pending { code, .. }) => code.rendezvous(),
            _ => return,
        };
        let random = &mut self.random;
        let finish = Finish { rendezvous, reply: bytes(random), key: bytes(random) };
        let name = Label::sanitised(NAMES[below(random, NAMES.len() as u64) as usize]);
        let platform = Label::sanitised(PLATFORMS[below(random, PLATFORMS.len() as u64) as usize]);
        let key = PublicKey(bytes(random));
        self.commit(vec![Change::Redeemed { id, key, name, platform, finish }]);
    }

    fn remove(&mut self, id: DeviceId) {
        if below(&mut self.random, 10) >= REMOVED_BY_OWNER {
            return self.commit(vec![Change::Vanished(id)]);
        }
        let planned = plan::remove_device(&self.ledger, id).expect("it is there");
        self.plan(planned);
        self.forget(TOLD_AT_ONCE);
    }

    fn forget(&mut self, at_least: usize) {
        let is_revoked = |d: &&Device| matches!(d.state, DeviceState::Revoked { .. });
        let told: Vec<Change> =
            self.ledger.devices().iter().filter(is_revoked).map(|d| Change::Vanished(d.id)).collect();
        if !told.is_empty() && told.len() >= at_least {
            self.commit(told);
        }
    }
}

/// The first `commits` of the trace that `seed` makes.
pub fn make_some(seed: u64, commits: usize) -> Trace {
    let mut trace = make(seed);
    trace.steps.truncate(commits);
    trace.states.truncate(trace.steps.len() + 1);
    trace
}

/// The same `seed`, the same trace.
pub fn make(seed: u64) -> Trace {
    let trace = Trace { steps: Vec::new(), states: vec![Map::new()] };
    let mut maker = Maker { random: Seeded::new(seed), now: 0, ledger: Ledger::default(), trace };
    for user in USERS {
        let email = format!("{user}@example.net");
        let name = user.parse().expect("a name");
        let planned = plan::put_user(&maker.ledger, &name, Some(&email)).expect("there is room");
        maker.plan(planned);
    }
    let mut issued = 0;
    loop {
        let live = maker.ledger.count(|s| !matches!(s, DeviceState::Revoked { .. }));
        let pending = maker.pick(|s| matches!(s, DeviceState::Pending { .. }));
        let paired = maker.pick(|s| matches!(s, DeviceState::Paired(_)));
        let leave = live >= LIVE_MAX || issued == DEVICES || below(&mut maker.random, 3) == 0;
        match (pending, paired) {
            (Some(id), _) if below(&mut maker.random, 4) != 0 => maker.redeem(id),
            (_, Some(id)) if leave => maker.remove(id),
            _ if issued < DEVICES && live < LIVE_MAX => {
                issued += 1;
                maker.issue();
            }
            (Some(id), _) => maker.redeem(id),
            (None, Some(id)) => maker.remove(id),
            (None, None) => break,
        }
    }
    maker.forget(1);
    maker.trace
}
