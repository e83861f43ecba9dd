//! The lights of the simulated NAS, as the agent drives them; what they show when is `src/hardware/led/tests.rs` and
//! docs/lights.md.

use std::fs;

use serde_json::{Value, json};

use super::lab::{Lab, wait};

/// Brightness and trigger, with the rhythm if it blinks.
fn light(lab: &Lab, name: &str) -> String {
    let read = |attribute: &str| lab.text(&format!("nas/sys/class/leds/{name}/{attribute}"));
    match read("trigger").as_str() {
        "timer" => format!("{}/{}", read("delay_on"), read("delay_off")),
        trigger if trigger.contains("[none]") || trigger == "none" => read("brightness"),
        trigger => trigger.to_owned(),
    }
}

fn problem(lab: &Lab, body: &Value) -> (u16, String) {
    let (status, answer) = lab.ask("POST", "/v1/hardware/identify", body);
    (status, answer["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_status_light_tells_of_the_session_and_the_fault_light_does_not() {
    let mut lab = Lab::new();
    lab.start_agent();
    let status = |lab: &Lab| light(lab, "sim:green:status");
    wait("no broker: short gaps", || status(&lab) == "1900/100");
    assert_eq!(light(&lab, "sim:red:fault"), "0");
    lab.start_broker();
    lab.wait_online();
    wait("online: steady", || status(&lab) == "255");
    lab.add_user("anna");
    let code = lab.code("anna");
    // Double flashes are the agent's own timer's.
    wait("a code waits: dark for a moment", || status(&lab) == "0");
    wait("a code waits: lit for a moment", || status(&lab) == "255");
    let id = code["device_id"].as_str().unwrap().to_owned();
    assert_eq!(lab.ask("DELETE", &format!("/v1/devices/{id}"), &Value::Null).0, 200);
    wait("online again", || status(&lab) == "255");
    assert!(lab.moorline(&["cloud", "off"]).status.success());
    wait("as found", || status(&lab) == "255" && lab.get("/v1/cloud")["phase"] == "disabled");
}

#[test]
fn identify_blinks_the_box_or_a_bay_and_ends() {
    let lab = Lab::online();
    let mine = ["sim:red:fault", "sim:green:status", "sim:red:hdd1", "sim:red:hdd2"];
    let all = |lab: &Lab| mine.map(|name| light(lab, name));
    let usual = ["0", "255", "0", "0"].map(str::to_owned);
    wait("online", || all(&lab) == usual);
    let shown = lab.moorline(&["hardware", "identify", "2"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.starts_with("1 light blinks at bay 2 for 30 s."), "{shown}");
    assert_eq!(all(&lab), ["0", "255", "0", "125/125"]);
    assert!(lab.moorline(&["hardware", "identify"]).status.success());
    assert_eq!(all(&lab), ["125/125"; 4]);
    for theirs in ["sim:blue:hdd1", "sim:blue:hdd2"] {
        assert_eq!(light(&lab, theirs), "none timer heartbeat [disk-activity]", "the kernel's");
    }
    let shown = lab.moorline(&["hardware", "identify", "--stop"]);
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "Nothing blinks.\n");
    assert_eq!(all(&lab), usual);
    let (code, answer) = lab.ask("POST", "/v1/hardware/identify", &json!({ "for_s": 1 }));
    assert_eq!((code, &answer["lights"], &answer["bay"]), (200, &json!(4), &Value::Null));
    wait("it ends by itself", || all(&lab) == usual);
}

#[test]
fn what_cannot_blink_is_refused_with_its_code() {
    let lab = Lab::online();
    assert_eq!(problem(&lab, &json!({ "bay": 3 })), (404, "bay-unknown".into()));
    assert_eq!(problem(&lab, &json!({ "for_s": 601 })), (400, "invalid-parameter".into()));
    let shown = lab.moorline(&["hardware", "identify", "3"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shown.stderr).contains("[bay-unknown]"), "{shown:?}");
    let mut lab = Lab::new();
    fs::remove_dir_all(lab.path("nas/sys/class/leds")).unwrap();
    lab.start_broker();
    lab.start_agent();
    for body in [json!({}), json!({ "bay": 1 })] {
        assert_eq!(problem(&lab, &body), (409, "no-light".into()), "{body}");
    }
}

#[test]
fn a_killed_agents_lights_are_given_back_as_they_were_before_it() {
    let mut lab = Lab::new();
    let trigger = "nas/sys/class/leds/sim:green:status/trigger";
    fs::write(lab.path(trigger), "none timer [heartbeat]\n").unwrap();
    lab.nas("degraded");
    lab.start_broker();
    lab.start_agent();
    lab.wait_online();
    assert!(lab.moorline(&["hardware", "identify"]).status.success());
    assert_eq!(light(&lab, "sim:green:status"), "125/125");
    lab.kill_agent();
    lab.nas("healthy");
    lab.start_agent();
    lab.wait_online();
    wait("nobody looks for it any more", || {
        light(&lab, "sim:red:fault") == "0" && light(&lab, "sim:red:hdd2") == "0"
    });
    lab.terminate_agent();
    assert_eq!(light(&lab, "sim:green:status"), "heartbeat");
    assert!(!lab.path("lights").exists(), "and nothing is remembered");
}
