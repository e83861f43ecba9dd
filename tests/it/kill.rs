//! kill -9 at random moments of a pairing: what was acknowledged is there, nothing else is, and the phone gets through.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Lab, wait};

/// An emulated agent takes longer: MOORLINE_ROUNDS makes it fewer.
fn rounds() -> u64 {
    std::env::var("MOORLINE_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(200)
}

#[test]
fn two_hundred_kills_lose_nothing_and_leave_no_ghost() {
    let seed = std::env::var("MOORLINE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    println!("MOORLINE_SEED={seed}");
    let mut random = moorline::random::Seeded::new(seed);
    let mut lab = Lab::online();
    // How long a pairing takes on this machine, so that the kills fall before, into each step of it, and after.
    let began = Instant::now();
    lab.paired_phone("anna");
    let span = u64::try_from(began.elapsed().as_micros()).unwrap() * 3 / 2;
    for _ in 0..2 {
        lab.ask("DELETE", "/v1/devices/d1", &Value::Null);
    }
    let (mut interrupted, mut committed) = (0, 0);
    let rounds = rounds();
    for round in 0..rounds {
        lab.wait_online();
        let code = lab.code("anna");
        let device = code["device_id"].as_str().unwrap().to_owned();
        let phone = lab.fresh_phone();
        // What the phone says is the evidence if it fails.
        let words = std::fs::File::create(lab.path("phone.out")).unwrap();
        let mut pairing = phone.pair(code["code"].as_str().unwrap()).stdout(words).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(moorline::random::below(&mut random, span)));
        let over = pairing.try_wait().unwrap().is_some();
        interrupted += u64::from(!over);
        lab.kill_agent();
        lab.start_agent();
        // The code was answered, so the entry is there, whatever came of the pairing.
        let found = lab.get(&format!("/v1/devices/{device}"))["state"].as_str().unwrap().to_owned();
        assert!(found == "paired" || !over && found == "pending", "round {round}: {found}, over {over}");
        committed += u64::from(found == "paired");
        assert_eq!(lab.states().len(), 1, "round {round}: no ghost");
        assert!(
            pairing.wait().unwrap().success(),
            "round {round}: the phone gets through; it was {found} at the kill, and the phone says {}\n{}",
            lab.text("phone.out"),
            lab.text("agent.log")
        );
        assert_eq!(lab.states(), ["paired"], "round {round}");
        assert_eq!(lab.get(&format!("/v1/devices/{device}"))["name"], "Test phone");
        for _ in 0..2 {
            lab.ask("DELETE", &format!("/v1/devices/{device}"), &Value::Null);
        }
        wait("the entry is gone", || lab.states().is_empty());
    }
    println!(
        "{interrupted} of {rounds} kills fell into a pairing; {committed} pairings were in the store by then"
    );
    assert!(
        interrupted > rounds / 20 && committed > rounds / 20,
        "the kills must hit: {interrupted}, {committed}"
    );
}

#[test]
fn what_was_removed_stays_removed_after_a_kill() {
    let mut lab = Lab::online();
    let phone = lab.paired_phone("anna");
    let (status, _) = lab.ask("DELETE", "/v1/devices/d1", &Value::Null);
    lab.kill_agent();
    assert_eq!(status, 200);
    lab.start_agent();
    assert_eq!(lab.states(), ["revoked"]);
    lab.wait_online();
    assert_eq!(phone.standing(), "removed");
}

#[test]
fn a_phone_that_was_cut_off_can_finish_later() {
    let mut lab = Lab::online();
    lab.add_user("anna");
    let code = lab.code("anna")["code"].as_str().unwrap().to_owned();
    let phone = lab.fresh_phone();
    // Kills of the phone at moments of its pairing; in the end it must get through with the same code.
    for delay in [5, 15, 25, 30, 35, 40, 50] {
        let mut pairing = phone.pair(&code).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = pairing.kill();
        let ended = pairing.wait().unwrap();
        if ended.success() {
            break;
        }
        // Each unfinished try may have taken a guess; a restart of the agent gives them back.
        lab.kill_agent();
        lab.start_agent();
        lab.wait_online();
    }
    let _ = phone.pair(&code).output().unwrap();
    assert_eq!(phone.standing(), "paired");
    assert_eq!(lab.states(), ["paired"]);
}
