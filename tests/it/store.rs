//! Stores that were made by released versions are read for ever, and those of newer ones are refused; looking into a store.
//!
//! Each directory below tests/store/ is one: the files as that version left them, and `words.txt`, what they say. They are never
//! changed. `MOORLINE_BLESS=1 cargo test --all-features stores_of` makes the one of the present format, if it is not there yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use moorline::clock::{BootId, Now};
use moorline::identity::Identity;
use moorline::pairing::code::Code;
use moorline::pairing::ledger::{self, Ledger};
use moorline::pairing::record::{
    AccessMode, Change, CloudSettings, DeviceId, Ended, Finish, Label, Transaction, User, UserName,
};
use moorline::random::Seeded;
use moorline::store::frame::{Frame, Header, Kind, VERSION};
use moorline::store::io::file::Files;
use moorline::store::log::{Log, Rejected};
use moorline::units::{Mono, UnixSeconds, Wall};

use super::lab::{Lab, program, source};

const SEGMENT: usize = 64 * 1024;

/// One of everything that a store can hold, so that each kind of change is in the fixture.
fn life() -> Vec<Vec<Change>> {
    let key = || Identity::from_pkcs8(&Identity::generate_pkcs8().unwrap()).unwrap().public();
    let mut random = Seeded::new(1);
    let mut code = || Code::mint(&mut random);
    let user = |name: &str| name.parse::<UserName>().unwrap();
    let issued =
        |id, name: &str, code| Change::Issued { id: DeviceId(id), user: user(name), code, ttl_s: 172_800 };
    let label = Label::sanitised;
    let redeemed = |id, code: &Code| {
        let finish = Finish { rendezvous: code.rendezvous(), reply: [7; 8], key: [9; 32] };
        Change::Redeemed {
            id: DeviceId(id),
            key: key(),
            name: label("Telefon Ä"),
            platform: label("android"),
            finish,
        }
    };
    let put = |name: &str, email: Option<&str>| {
        Change::UserPut(User { name: user(name), email: email.map(|e| e.try_into().unwrap()) })
    };
    let (one, two, three, four) = (code(), code(), code(), code());
    let dns = ["192.0.2.53".parse().unwrap()].into_iter().collect();
    let cloud = CloudSettings { enabled: true, mode: AccessMode::Relay, dns };
    vec![
        vec![put("anna", Some("anna@example.org")), put("bert", None)],
        vec![issued(1, "anna", one.clone())],
        vec![redeemed(1, &one)],
        vec![issued(2, "bert", two.clone())],
        vec![Change::Ended { id: DeviceId(2), how: Ended::Burned }, issued(3, "bert", three.clone())],
        vec![redeemed(3, &three)],
        vec![Change::Revoked(DeviceId(3))],
        vec![Change::Vanished(DeviceId(3))],
        vec![Change::Cloud(cloud)],
        vec![issued(4, "anna", four), put("carl", None)],
        vec![Change::Renamed { id: DeviceId(1), name: label("Telefon Ö") }],
        vec![Change::UserRemoved(user("carl")), Change::Ended { id: DeviceId(4), how: Ended::Expired }],
    ]
}

fn make(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let mut ledger = Ledger::default();
    let mut log = Log::open(Files::open(dir, SEGMENT).unwrap(), 7, &mut |_| Ok(())).unwrap();
    for (number, changes) in life().into_iter().enumerate() {
        let wall = if number < 3 { Wall::Unknown } else { Wall::Known(UnixSeconds(1_790_000_000)) };
        let now = Now { boot: BootId([3; 8]), mono: Mono::from_millis(1000 * number as u64), wall };
        let transaction = Transaction { when: now.stamp(), floor: now.wall.known(), changes };
        let mut after = ledger.clone();
        after.apply(&transaction).unwrap();
        log.commit(&ledger::encode(&transaction), transaction.effect(), &ledger).unwrap();
        ledger = after;
    }
}

fn moorline(args: &[&str]) -> Output {
    program(env!("CARGO_BIN_EXE_moorline")).args(args).output().unwrap()
}

fn inspected(dir: &Path) -> String {
    let done = moorline(&["store", "inspect", dir.to_str().unwrap()]);
    String::from_utf8(done.stdout).unwrap().split_once(": ").unwrap().1.to_owned()
}

fn fixtures() -> Vec<PathBuf> {
    let found = fs::read_dir(source("tests/store")).unwrap();
    found.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect()
}

/// A copy that may be written to.
fn copy(of: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.log", "b.log"] {
        fs::copy(of.join(name), dir.path().join(name)).unwrap();
    }
    dir
}

#[test]
fn stores_of_every_released_format_are_read_and_say_what_they_said() {
    let present = source(&format!("tests/store/format-{VERSION}"));
    if !present.exists() && std::env::var_os("MOORLINE_BLESS").is_some() {
        make(&present);
        fs::write(present.join("words.txt"), inspected(&present)).unwrap();
    }
    assert!(present.exists(), "the present format has no fixture");
    for fixture in fixtures() {
        assert_eq!(
            inspected(&fixture),
            fs::read_to_string(fixture.join("words.txt")).unwrap(),
            "{fixture:?}"
        );
        let dir = copy(&fixture);
        let mut ledger = Ledger::default();
        let files = Files::open(dir.path(), SEGMENT).unwrap();
        let mut log = Log::open(files, 1, &mut |p| ledger.replay(p).map_err(|_| Rejected)).unwrap();
        let states: Vec<String> =
            ledger.devices().iter().map(|d| format!("{} {} {}", d.id, d.user, d.state.name())).collect();
        assert_eq!(states, ["d1 anna paired", "d2 bert burned", "d4 anna expired"], "{fixture:?}");
        // And it goes on from there.
        let stamp = Now { boot: BootId([4; 8]), mono: Mono::from_millis(5), wall: Wall::Unknown }.stamp();
        let renamed = Change::Renamed { id: DeviceId(1), name: Label::sanitised("Another") };
        let changes = vec![renamed, Change::Revoked(DeviceId(1)), Change::Nearby(DeviceId(2))];
        let more = Transaction { when: stamp, floor: None, changes };
        log.commit(&ledger::encode(&more), more.effect(), &ledger).unwrap();
        drop(log);
        let after = inspected(dir.path());
        let last = "d1 renamed, d1 revoked, d2 on the LAN only";
        assert!(after.starts_with("good\n") && after.contains(last), "{after}");
    }
}

#[test]
fn a_record_of_a_newer_kind_is_refused_and_nothing_is_changed() {
    let dir = copy(&source("tests/store/format-1"));
    let file = dir.path().join("a.log");
    let mut bytes = fs::read(&file).unwrap();
    let header = Header::decode(&bytes).unwrap();
    let mut at = 32;
    let mut txn = 0;
    while let Some(frame) = header.parse(&bytes, at) {
        txn = frame.txn;
        at += frame.len().next_multiple_of(16);
    }
    // When, no floor, one change of a kind that no version has yet.
    let payload = [&[0; 8][..], &[0, 0, 0, 1, 99, 1, 2, 3]].concat();
    let frame = header.frame(at, Frame { kind: Kind::Commit, txn: txn + 1, payload: &payload });
    bytes[at..at + frame.len()].copy_from_slice(&frame);
    fs::write(&file, &bytes).unwrap();
    let done = moorline(&["store", "inspect", dir.path().to_str().unwrap(), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&report["state"], &report["corruption"]["kind"]), (&"corrupt".into(), &"Rejected".into()));
    assert_eq!(done.status.code(), Some(1));
    let mut ledger = Ledger::default();
    let files = Files::open(dir.path(), SEGMENT).unwrap();
    let opened = Log::open(files, 1, &mut |p| ledger.replay(p).map_err(|_| Rejected));
    assert!(opened.unwrap_err().to_string().contains("Rejected"));
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn the_store_can_be_looked_at_while_the_agent_uses_it() {
    let lab = Lab::online();
    lab.add_user("anna");
    let code = lab.code("anna");
    let config = lab.path("agent.toml");
    let done = moorline(&["store", "verify", "--config", config.to_str().unwrap()]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.starts_with("dir:") && text.contains("d1: a code for anna"), "{text}");
    assert!(!text.contains(&code["code"].as_str().unwrap()[10..]), "no secret is shown");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    let empty = tempfile::tempdir().unwrap();
    let done = moorline(&["store", "inspect", empty.path().to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    assert!(!done.stderr.is_empty());
}
