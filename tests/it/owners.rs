//! What went wrong for owners before, one test a row, named after it (README, "Why").

use serde_json::{Value, json};

use super::lab::{Lab, wait};

#[test]
fn activation_code_successfully_generated_is_never_followed_by_dashes() {
    let mut lab = Lab::online();
    lab.add_user("anna");
    let code = lab.code("anna");
    let text = code["code"].as_str().unwrap();
    assert!(moorline::pairing::code::Code::parse(text).is_ok(), "{text}");
    for field in ["device_id", "user", "uri", "expires_in_s", "usable_by"] {
        assert!(!code[field].is_null(), "{field} of {code}");
    }
    // It was on flash before it was answered: a power cut right now loses nothing.
    lab.kill_agent();
    lab.start_agent();
    let device = lab.get(&format!("/v1/devices/{}", code["device_id"].as_str().unwrap()));
    assert_eq!((device["state"].as_str(), device["user"].as_str()), (Some("pending"), Some("anna")));
    lab.wait_online();
    let phone = lab.fresh_phone();
    assert!(phone.pair(text).status().unwrap().success(), "the code from before the cut works");
}

#[test]
fn december_31_1969_is_never_shown() {
    let mut lab = Lab::with_old_certificates();
    // The clock stands in 1970 and nobody vouches for it.
    lab.more = String::new();
    lab.fake_date("1970-01-02 00:00:00");
    lab.start_broker();
    lab.start_agent();
    // The certificates are judged at the floor, the build's date, so the session comes up all the same.
    lab.wait_online();
    assert_eq!(lab.get("/v1/status")["clock"], json!({ "state": "unset" }));
    lab.add_user("anna");
    let code = lab.code("anna");
    assert_eq!((code["expires_in_s"].as_u64(), code["expires_at"].is_null()), (Some(172_800), true));
    lab.paired_phone("anna");
    for args in [&["status"][..], &["devices"], &["cloud"], &["events"], &["report"], &["code", "anna"]] {
        for json in [&[][..], &["--json"]] {
            let shown = String::from_utf8(lab.moorline(&[args, json].concat()).stdout).unwrap();
            assert!(
                !shown.is_empty() && !shown.contains("1969") && !shown.contains("1970"),
                "{args:?}: {shown}"
            );
            assert!(!has_date(&shown), "{args:?}: {shown}");
        }
    }
    assert!(!has_date(&lab.text("agent.log")), "nor in the log");
}

/// Something like 2026-01-31.
fn has_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |w: &[u8], at: &[usize]| at.iter().all(|i| w[*i].is_ascii_digit());
    bytes.windows(10).any(|w| digits(w, &[0, 1, 2, 3, 5, 6, 8, 9]) && w[4] == b'-' && w[7] == b'-')
}

#[test]
fn no_new_unregistered_device_is_left_by_a_failed_try() {
    let mut lab = Lab::online();
    lab.add_user("anna");
    lab.stop_broker();
    wait("the loss is noticed", || lab.get("/v1/cloud")["online"] == false);
    for _ in 0..5 {
        let (status, problem) = lab.ask("POST", "/v1/codes", &json!({ "user": "anna" }));
        assert_eq!((status, problem["code"].as_str()), (503, Some("cloud-unreachable")));
    }
    let (status, _) = lab.ask("POST", "/v1/codes", &json!({ "user": "nobody" }));
    assert_eq!(status, 404);
    assert_eq!(lab.states(), [""; 0]);
}

#[test]
fn a_new_code_replaces_the_users_unused_one_unless_asked_otherwise() {
    let lab = Lab::online();
    lab.add_user("anna");
    let first = lab.code("anna");
    let second = lab.code("anna");
    assert_eq!(lab.states(), ["pending"]);
    assert_ne!(first["device_id"], second["device_id"]);
    lab.ask("POST", "/v1/codes", &json!({ "user": "anna", "keep_others": true }));
    assert_eq!(lab.states(), ["pending", "pending"]);
}

#[test]
fn device_user_id_missing_never_keeps_an_entry_from_being_deleted() {
    let mut lab = Lab::online();
    let phone = lab.paired_phone("anna");
    lab.code("anna");
    assert_eq!(lab.states(), ["paired", "pending"]);
    // Offline, for every state.
    lab.stop_broker();
    wait("the loss is noticed", || lab.get("/v1/cloud")["online"] == false);
    let (status, removed) = lab.ask("DELETE", "/v1/devices/d2", &Value::Null);
    assert_eq!((status, removed), (200, json!({ "removed": ["d2"], "queued": [] })));
    let (status, removed) = lab.ask("DELETE", "/v1/devices/d1", &Value::Null);
    assert_eq!((status, removed), (200, json!({ "removed": ["d1"], "queued": ["d1"] })));
    assert_eq!(lab.get("/v1/devices/d1")["notice"], "queued");
    // The notice survives a restart and reaches the device by itself.
    lab.kill_agent();
    lab.start_agent();
    lab.start_broker();
    lab.wait_online();
    wait("the notice is sent", || lab.get("/v1/devices/d1")["notice"] == "sent");
    assert_eq!(phone.standing(), "removed");
    wait("the entry is gone", || lab.states().is_empty());
    assert_eq!(phone.standing(), "nowhere");
    let (status, problem) = lab.ask("DELETE", "/v1/devices/d1", &Value::Null);
    assert_eq!((status, problem["code"].as_str()), (404, Some("device-unknown")));
}

#[test]
fn an_owner_can_delete_a_revoked_entry_without_waiting_for_the_device() {
    let mut lab = Lab::online();
    lab.paired_phone("anna");
    lab.ask("DELETE", "/v1/devices/d1", &Value::Null);
    assert_eq!(lab.states(), ["revoked"]);
    lab.ask("DELETE", "/v1/devices/d1", &Value::Null);
    assert_eq!(lab.states(), [""; 0]);
}

#[test]
fn a_code_that_cannot_be_used_says_why_and_what_to_do() {
    let mut lab = Lab::online();
    lab.add_user("anna");
    lab.stop_broker();
    wait("the cause is known", || lab.get("/v1/cloud")["last_failure"]["code"] == "broker-refused");
    let shown = lab.moorline(&["code", "anna"]);
    let text = String::from_utf8(shown.stderr).unwrap();
    assert_eq!(shown.status.code(), Some(1));
    assert!(
        text.contains("nothing listens on the broker's port")
            && text.contains("→ `moorline status` says why"),
        "{text}"
    );
    let (status, code) = lab.ask("POST", "/v1/codes", &json!({ "user": "anna", "offline": true }));
    assert_eq!(
        (status, &code["usable_by"]),
        (201, &json!([])),
        "asked for, it is made, and says that it cannot be used yet"
    );
    lab.start_broker();
    lab.wait_online();
    let phone = lab.fresh_phone();
    assert!(phone.pair(code["code"].as_str().unwrap()).status().unwrap().success());
}

#[test]
fn my_email_address_is_not_on_every_screen() {
    let mut lab = Lab::online();
    let (_, shown) = lab.ask("PUT", "/v1/users/anna", &json!({ "email": "anna.berg@example.org" }));
    assert_eq!(shown["email"], "a…@e….org");
    lab.paired_phone("bert");
    for args in
        [&["status"][..], &["users"], &["devices"], &["hardware"], &["report"], &["events"], &["cloud"]]
    {
        let text = String::from_utf8(lab.moorline(&[args, &["--json"]].concat()).stdout).unwrap();
        assert!(
            !text.is_empty() && !text.contains("anna.berg") && !text.contains("example.org"),
            "{args:?}: {text}"
        );
        assert!(!text.contains("00:00:01"), "the rest of the hardware address: {args:?}: {text}");
    }
    let asked = String::from_utf8(lab.moorline(&["users", "--show-personal"]).stdout).unwrap();
    assert!(asked.contains("anna.berg@example.org"));
}

#[test]
fn a_reset_can_be_asked_for_its_plan_first() {
    let mut lab = Lab::online();
    lab.paired_phone("anna");
    let (_, plan) = lab.ask("POST", "/v1/reset/pairings?plan=true", &Value::Null);
    assert_eq!((&plan["done"], &plan["touches_data"]), (&json!(false), &json!(false)));
    assert!(plan["loses"][0].as_str().unwrap().contains("1 paired devices"));
    assert_eq!(lab.states(), ["paired"]);
    let shown = lab.moorline(&["reset", "pairings"]);
    assert_eq!(
        (shown.status.code(), lab.states()),
        (Some(2), vec!["paired".to_owned()]),
        "never without --yes"
    );
    assert!(lab.moorline(&["reset", "pairings", "--yes"]).status.success());
    assert_eq!(lab.states(), ["revoked"]);
    let before = lab.get("/v1/status")["nas"]["id"].clone();
    assert!(lab.moorline(&["reset", "identity", "--yes"]).status.success());
    assert_ne!(lab.get("/v1/status")["nas"]["id"], before);
    lab.wait_online();
    lab.paired_phone("anna");
}

#[test]
fn a_degraded_mirror_lights_the_fault_light_raises_a_finding_and_an_event() {
    let lab = Lab::online();
    let light = || lab.text("nas/sys/class/leds/sim:red:fault/brightness");
    let codes = || -> Vec<String> {
        let findings = lab.get("/v1/status")["findings"].clone();
        findings.as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((light(), codes()), ("0".into(), vec![]));
    lab.nas("degraded");
    // Without being asked: the light first.
    wait("the fault light", || light() == "1");
    // Lights are written one after the other.
    wait("and that of the bay", || lab.text("nas/sys/class/leds/sim:red:hdd2/brightness") == "1");
    assert_eq!(codes(), ["array-degraded"]);
    lab.nas("rebuilding");
    wait("rebuilding", || lab.get("/v1/arrays")["arrays"][0]["state"] == "rebuilding");
    let array = lab.get("/v1/arrays")["arrays"][0].clone();
    assert_eq!((array["percent"].as_f64(), array["left_s"].as_u64()), (Some(42.0), Some(14152)));
    assert_eq!((&array["action"], &array["redundant"]), (&"recover".into(), &false.into()));
    assert_eq!(array["speed_kib_s"], 120_000);
    lab.nas("broken");
    wait("failed", || codes() == ["array-failed"]);
    lab.nas("healthy");
    wait("as it was", || light() == "0" && codes().is_empty());
    let events = String::from_utf8(lab.moorline(&["events", "--json"]).stdout).unwrap();
    for part in [
        "\"state\":\"degraded\"",
        "\"code\":\"array-degraded\"",
        "finding-cleared",
        "\"state\":\"failed\"",
        "\"array\":\"md0\",\"name\":\"Fail\",\"device\":\"sdb3\"",
        "\"array\":\"md0\",\"name\":\"RebuildStarted\"",
        "\"array\":\"md0\",\"name\":\"Rebuild40\"",
        "\"array\":\"md0\",\"name\":\"RebuildFinished\"",
        "\"array\":\"md0\",\"name\":\"SpareActive\",\"device\":\"sdb3\"",
    ] {
        assert!(events.contains(part), "{part}: {events}");
    }
}

#[test]
fn a_mirror_that_is_degraded_at_boot_is_told_and_a_first_synchronisation_is_not() {
    let mut lab = Lab::new();
    lab.nas("degraded");
    lab.start_agent();
    assert_eq!(lab.text("nas/sys/class/leds/sim:red:fault/brightness"), "1");
    assert_eq!(lab.get("/v1/status")["findings"][0]["code"], "array-degraded");
    let events = String::from_utf8(lab.moorline(&["events", "--json"]).stdout).unwrap();
    assert!(events.contains("\"array\":\"md0\",\"name\":\"DegradedArray\""), "{events}");
    let mut lab = Lab::new();
    lab.nas("synchronising");
    lab.start_agent();
    let status = lab.get("/v1/status");
    assert_eq!(status["arrays"][0]["state"], "synchronising");
    assert!(!status["findings"].to_string().contains("array-"), "{}", status["findings"]);
}
