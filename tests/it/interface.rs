//! The control socket and the command line as other programs see them.

use std::process::Command;

use serde_json::{Value, json};

use super::lab::{Lab, program, wait};

/// curl, a program that was not written here.
fn curl(lab: &Lab, args: &[&str], target: &str) -> String {
    let done = Command::new("curl")
        .args(["-sS", "-i", "--unix-socket"])
        .arg(lab.path("control.sock"))
        .args(args)
        .arg(format!("http://localhost{target}"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn curl_sees_what_the_documents_say() {
    let lab = Lab::online();
    let status = curl(&lab, &[], "/v1/status");
    assert!(status.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"), "{status}");
    let body: Value = serde_json::from_str(status.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["cloud"]["online"], true);
    let created = curl(&lab, &["-X", "PUT", "-d", "{\"email\":\"a@b\"}"], "/v1/users/anna");
    assert!(created.starts_with("HTTP/1.1 201 Created"), "{created}");
    let wrong = curl(&lab, &["-X", "PATCH"], "/v1/users/anna");
    assert!(
        wrong.starts_with("HTTP/1.1 405 Method Not Allowed") && wrong.contains("Allow: PUT, DELETE\r\n"),
        "{wrong}"
    );
    let head = curl(&lab, &["--head"], "/v1/status");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    let metrics = curl(&lab, &[], "/metrics");
    assert!(metrics.contains("moorline_session_online 1\n") && metrics.ends_with("# EOF\n"), "{metrics}");
    let code = curl(&lab, &["-d", "{\"user\":\"anna\"}"], "/v1/codes");
    assert!(code.starts_with("HTTP/1.1 201 Created"), "{code}");
    let picture = curl(&lab, &[], "/v1/devices/d1/qr.svg");
    assert!(picture.contains("Content-Type: image/svg+xml") && picture.contains("<svg"), "{picture}");
    let document = curl(&lab, &[], "/openapi.json");
    let document: Value = serde_json::from_str(document.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn events_are_followed_and_caught_up_with() {
    let lab = Lab::online();
    let follower = Command::new("curl")
        .args(["-sSN", "--max-time", "20", "--unix-socket"])
        .arg(lab.path("control.sock"))
        .arg("http://localhost/v1/events")
        .stdout(std::fs::File::create(lab.path("stream")).unwrap())
        .spawn()
        .unwrap();
    let mut follower = follower;
    // Until it follows, what happens is not seen: so it is made to happen until it is.
    wait("an event arrives", || {
        lab.ask("PUT", "/v1/users/anna", &json!({}));
        lab.ask("DELETE", "/v1/users/anna", &Value::Null);
        lab.text("stream").contains("event: user")
    });
    let _ = follower.kill();
    let _ = follower.wait();
    let stream = lab.text("stream");
    let id: u64 = stream.lines().find_map(|l| l.strip_prefix("id: ")).unwrap().parse().unwrap();
    let caught = Command::new("curl")
        .args(["-sSN", "--max-time", "1", "-H", &format!("Last-Event-ID: {}", id - 1), "--unix-socket"])
        .arg(lab.path("control.sock"))
        .arg("http://localhost/v1/events")
        .output()
        .unwrap();
    let text = String::from_utf8(caught.stdout).unwrap();
    assert!(text.starts_with(&format!("id: {id}\nevent: user\ndata: {{")), "{text}");
}

#[test]
fn a_reader_may_look_but_not_touch() {
    let lab = Lab::online();
    lab.add_user("anna");
    // nobody has no right to anything; the socket is opened for it here so that the agent itself must refuse.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(lab.path("control.sock"), std::fs::Permissions::from_mode(0o666)).unwrap();
    std::fs::set_permissions(lab.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    // A copy that an ordinary user can reach.
    let binary = lab.path("moorline");
    std::fs::copy(env!("CARGO_BIN_EXE_moorline"), &binary).unwrap();
    let as_nobody = |args: &[&str]| {
        use std::os::unix::process::CommandExt;
        program(&binary)
            .args(args)
            .arg("--socket")
            .arg(lab.path("control.sock"))
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap()
    };
    assert!(as_nobody(&["status"]).status.success());
    let refused = as_nobody(&["code", "anna"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("[not-permitted]"));
    for args in [
        &["remove", "d1"][..],
        &["users", "--show-personal"],
        &["cloud", "off"],
        &["reset", "pairings", "--yes"],
    ] {
        assert_eq!(as_nobody(args).status.code(), Some(4), "{args:?}");
    }
    assert_eq!(lab.states(), [""; 0]);
    assert_eq!(lab.get("/v1/cloud")["enabled"], true);
}

#[test]
fn exit_codes_are_those_of_the_documents() {
    let lab = Lab::online();
    let code = |args: &[&str]| lab.moorline(args).status.code();
    assert_eq!(code(&["status"]), Some(0));
    assert_eq!(code(&["code", "nobody"]), Some(1));
    assert_eq!(code(&["frobnicate"]), Some(2));
    let gone = program(env!("CARGO_BIN_EXE_moorline"))
        .args(["status", "--socket", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(gone.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("is the agent running?"));
}

#[test]
fn the_cloud_can_be_switched_off_and_on_and_stays_so() {
    let mut lab = Lab::online();
    assert!(lab.moorline(&["cloud", "off"]).status.success());
    assert_eq!(lab.get("/v1/cloud")["phase"], "disabled");
    assert_eq!(lab.get("/v1/status")["findings"][0]["code"], "cloud-disabled");
    lab.kill_agent();
    lab.start_agent();
    assert_eq!(lab.get("/v1/cloud")["enabled"], false);
    lab.add_user("anna");
    let (status, problem) = lab.ask("POST", "/v1/codes", &json!({ "user": "anna" }));
    assert_eq!((status, problem["code"].as_str()), (409, Some("cloud-disabled")));
    assert!(lab.moorline(&["cloud", "on"]).status.success());
    lab.wait_online();
    let before = lab.get("/v1/cloud")["counters"]["connects"].as_u64().unwrap();
    assert!(lab.moorline(&["cloud", "reconnect"]).status.success());
    wait("a new session", || lab.get("/v1/cloud")["counters"]["connects"].as_u64().unwrap() > before);
    lab.wait_online();
    assert!(lab.moorline(&["cloud", "mode", "relay"]).status.success());
    assert!(lab.moorline(&["cloud", "dns", "192.0.2.1"]).status.success());
    assert_eq!(
        (&lab.get("/v1/cloud")["mode"], &lab.get("/v1/cloud")["dns"]),
        (&json!("relay"), &json!(["192.0.2.1"]))
    );
}

#[test]
fn the_hardware_is_what_the_tree_says() {
    let lab = Lab::online();
    let hardware = lab.get("/v1/hardware");
    assert_eq!(hardware["board"]["id"], "sim");
    assert_eq!(
        hardware["temperatures"],
        json!([{"name": "lm75/1", "celsius": 41.5}, {"name": "cpu-thermal", "celsius": 52.0}])
    );
    assert_eq!(hardware["fans"], json!([{"name": "gpio_fan/1", "rpm": 1500}]));
    assert_eq!(
        hardware["disks"][1],
        json!({"device": "sdb", "bay": 2, "model": "SIM DISK 3TB", "size_bytes": 3_000_592_982_016_u64, "rotational": true, "power": "unknown"})
    );
    assert_eq!(
        hardware["network"],
        json!([{"name": "eth0", "mac": "02:00:00:…", "link": true, "speed_mbit": 1000}])
    );
    assert_eq!(hardware["rtcs"][0]["name"], "sim-rtc");
    assert_eq!(hardware["leds"].as_array().unwrap().len(), 6);
    let array = lab.get("/v1/arrays")["arrays"][0].clone();
    assert_eq!(
        (&array["name"], &array["state"], &array["disks_working"]),
        (&json!("md0"), &json!("healthy"), &json!(2))
    );
    assert_eq!(array["members"][1], json!({"device": "sdb3", "bay": 2, "state": ["in_sync"]}));
}

#[test]
fn checks_need_no_agent() {
    let run = |args: &[&str]| program(env!("CARGO_BIN_EXE_moorline")).args(args).output().unwrap();
    let wrong = run(&["config", "check", "/nonexistent.toml", "--json"]);
    let value: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!((wrong.status.code(), &value["errors"][0]["code"]), (Some(1), &json!("unreadable-file")));
}

#[test]
fn a_device_can_leave_by_itself() {
    let mut lab = Lab::online();
    let phone = lab.paired_phone("anna");
    assert_eq!(phone.standing(), "paired");
    let id = lab.get("/v1/status")["nas"]["id"].as_str().unwrap().to_owned();
    assert!(phone.command(&["unpair", &id]).status().unwrap().success());
    assert_eq!(lab.states(), [""; 0]);
}

#[test]
fn connections_are_limited_and_given_back() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let lab = Lab::online();
    let connect = || UnixStream::connect(lab.path("control.sock")).unwrap();
    let status = |stream: &mut UnixStream| {
        let mut answer = [0u8; 12];
        stream.write_all(b"GET /v1/cloud HTTP/1.1\r\n\r\n").unwrap();
        stream.read_exact(&mut answer).map(|()| String::from_utf8_lossy(&answer).into_owned())
    };
    let mut open: Vec<UnixStream> = (0..16).map(|_| connect()).collect();
    assert!(open.iter_mut().all(|s| status(s).is_ok_and(|a| a == "HTTP/1.1 200")), "sixteen are served");
    let mut answer = String::new();
    connect().read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too-many-connections"), "{answer}");
    drop(open);
    wait("the places are free again", || status(&mut connect()).is_ok_and(|a| a == "HTTP/1.1 200"));
}

#[test]
fn a_request_that_never_ends_is_given_up() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let lab = Lab::online();
    let mut stream = UnixStream::connect(lab.path("control.sock")).unwrap();
    stream.write_all(b"POST /v1/codes HTTP/1.1\r\nContent-Length: 100\r\n\r\n{").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request-timeout"), "{answer}");
}
