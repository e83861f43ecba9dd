//! The doctor as owners meet it: with the session up, with each of the usual troubles, and without an agent.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Lab, wait};

/// The doctor's answer, and that it kept its time.
fn doctor(lab: &Lab) -> Value {
    let began = Instant::now();
    let (status, answer) = lab.ask("POST", "/v1/doctor", &Value::Null);
    assert_eq!(status, 200, "{answer}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    answer
}

fn status_of<'a>(answer: &'a Value, id: &str) -> &'a str {
    let checks = answer["checks"].as_array().unwrap();
    checks.iter().find(|c| c["id"] == id).and_then(|c| c["status"].as_str()).unwrap_or("not there")
}

#[test]
fn with_the_session_up_every_step_passes_and_the_session_is_not_disturbed() {
    let lab = Lab::online();
    let before = lab.get("/v1/cloud");
    let answer = doctor(&lab);
    for id in [
        "link",
        "address",
        "route",
        "name",
        "clock",
        "tcp-ipv4",
        "tls",
        "broker",
        "credentials",
        "rights",
        "session",
    ] {
        assert_eq!(status_of(&answer, id), "pass", "{answer:#}");
    }
    // The lab's web service is only named; nothing listens there.
    assert_eq!(answer["first_failure"]["code"], "service-down");
    assert_eq!(answer["first_failure"]["subject"], "web");
    let after = lab.get("/v1/cloud");
    assert_eq!(before["counters"]["connects"], after["counters"]["connects"]);
    assert_eq!(after["online"], true);
}

#[test]
fn a_broker_that_is_away_is_named_and_what_follows_is_skipped() {
    let mut lab = Lab::online();
    lab.stop_broker();
    wait("the loss is noticed", || lab.get("/v1/cloud")["online"] == false);
    let answer = doctor(&lab);
    assert_eq!(answer["first_failure"]["code"], "broker-refused", "{answer:#}");
    assert_eq!((status_of(&answer, "name"), status_of(&answer, "tls")), ("pass", "skip"));
    let shown = lab.moorline(&["doctor"]);
    assert_eq!(shown.status.code(), Some(1));
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("The broker's port is closed.\n"), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
}

#[test]
fn a_wrong_password_is_named() {
    let lab = {
        let mut lab = Lab::new();
        fs::write(lab.path("broker/nas.password"), "wrong\n").unwrap();
        lab.start_broker();
        lab.start_agent();
        lab
    };
    wait("a failure", || lab.get("/v1/cloud")["last_failure"].is_object());
    let answer = doctor(&lab);
    // Mosquitto's word for a wrong password is "not authorized".
    assert_eq!(answer["first_failure"]["code"], "broker-not-authorized", "{answer:#}");
    assert_eq!(answer["first_failure"]["id"], "credentials");
    assert_eq!((status_of(&answer, "broker"), status_of(&answer, "rights")), ("pass", "skip"));
}

#[test]
fn missing_rights_are_named() {
    let mut lab = Lab::new();
    fs::write(lab.path("broker/acl"), "user device\ntopic read moorline/#\n").unwrap();
    lab.start_broker();
    lab.start_agent();
    wait("a failure", || lab.get("/v1/cloud")["last_failure"].is_object());
    let answer = doctor(&lab);
    let code = answer["first_failure"]["code"].as_str().unwrap();
    assert!(["topic-rights-missing", "echo-lost"].contains(&code), "{answer:#}");
    assert_eq!((status_of(&answer, "credentials"), status_of(&answer, "rights")), ("pass", "fail"));
}

#[test]
fn without_an_agent_it_looks_by_itself() {
    let mut lab = Lab::online();
    lab.kill_agent();
    let config = lab.path("agent.toml");
    let args = ["doctor", "--no-agent", "--json", "--config", config.to_str().unwrap()];
    let done = lab.moorline_alone(&args);
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{answer:#}");
    for id in ["tls", "broker", "credentials", "rights"] {
        assert_eq!(status_of(&answer, id), "pass", "{answer:#}");
    }
    assert_eq!(status_of(&answer, "session"), "skip");
    lab.stop_broker();
    assert_eq!(lab.moorline_alone(&args).status.code(), Some(1));
}

#[test]
fn several_callers_share_one_round() {
    let lab = Lab::online();
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..5).map(|_| scope.spawn(|| doctor(&lab))).collect();
        callers.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|a| a["checks"].as_array().unwrap().len() >= 12));
}
