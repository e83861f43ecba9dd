//! Start and end: one agent on one store, stale sockets, clean ends, a disk that may sleep.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;

use super::lab::{Lab, wait};

#[test]
fn sigterm_ends_within_two_seconds_with_presence_offline_and_lights_restored() {
    let mut lab = Lab::online();
    lab.nas("degraded");
    wait("the fault light", || lab.text("nas/sys/class/leds/sim:red:fault/brightness") == "1");
    let id = lab.get("/v1/status")["nas"]["id"].as_str().unwrap().to_owned();
    let took = lab.terminate_agent();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(lab.text("nas/sys/class/leds/sim:red:fault/brightness"), "0");
    assert!(!lab.path("control.sock").exists());
    // The retained presence, by a program that was not written here.
    let seen = mosquitto_sub(&lab, &format!("moorline/n/{id}/presence"), "device");
    assert_eq!(seen["online"], Value::Bool(false));
}

fn mosquitto_sub(lab: &Lab, topic: &str, account: &str) -> Value {
    let port = lab.port.to_string();
    let password = lab.text(&format!("broker/{account}.password"));
    let done = Command::new("mosquitto_sub")
        .args([
            "-h",
            "localhost",
            "-p",
            &port,
            "-u",
            account,
            "-P",
            &password,
            "-t",
            topic,
            "-C",
            "1",
            "-W",
            "10",
            "--cafile",
        ])
        .arg(lab.path("broker/ca.pem"))
        .output()
        .unwrap();
    serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{topic}: {e}: {done:?}"))
}

#[test]
fn presence_is_what_the_documents_say() {
    let lab = Lab::online();
    let id = lab.get("/v1/status")["nas"]["id"].as_str().unwrap().to_owned();
    let seen = mosquitto_sub(&lab, &format!("moorline/n/{id}/presence"), "device");
    assert_eq!(
        (&seen["v"], &seen["online"], &seen["seq"], &seen["for_s"]),
        (&1.into(), &true.into(), &1.into(), &600.into())
    );
    assert!(seen["until"].as_str().unwrap().ends_with('Z'));
    assert_eq!(seen.as_object().unwrap().len(), 6, "no name, no address: {seen}");
}

#[test]
fn a_second_agent_on_the_same_store_is_refused() {
    let lab = Lab::online();
    let second = lab.agent_command().output().unwrap();
    let text = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text.contains("another agent uses this store"), "{text}");
    assert_eq!(lab.get("/v1/cloud")["online"], true, "the first one is not disturbed");
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
    let mut lab = Lab::new();
    let socket = lab.path("control.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    lab.start_broker();
    lab.start_agent();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600, "no group, so root only");
    lab.terminate_agent();

    let live = UnixListener::bind(&socket).unwrap();
    let refused = lab.agent_command().output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another agent serves this socket"));
    drop(live);
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();
    let refused = lab.agent_command().output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is no socket"));
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
}

#[test]
fn a_bad_configuration_is_refused_with_file_and_line() {
    let mut lab = Lab::new();
    lab.more = "[clok]\ntrust = \"system\"\n".into();
    lab.start_broker();
    let refused = lab.agent_command().output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        text.contains("agent.toml:") && text.contains("error[unknown-key]: there is no key clok"),
        "{text}"
    );
    assert!(text.contains("did you mean clock?"), "{text}");
}

#[test]
fn systemd_is_told_when_the_agent_is_ready_and_alive() {
    let mut lab = Lab::new();
    lab.start_broker();
    // systemd names the process it watches.
    lab.wrapper = ["sh", "-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"].map(str::to_owned).to_vec();
    let path = lab.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(super::lab::PATIENCE)).unwrap();
    let mut agent =
        lab.agent_command().env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000").spawn().unwrap();
    let mut words = Vec::new();
    let mut buffer = [0; 256];
    while words.len() < 3 {
        let n = socket.recv(&mut buffer).unwrap();
        words.push(String::from_utf8_lossy(&buffer[..n]).trim().to_owned());
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(agent.id() as i32), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    assert!(agent.wait().unwrap().success());
    assert_eq!(words[0], "READY=1");
    assert!(words[1..].iter().all(|w| w == "WATCHDOG=1"), "{words:?}");
    socket.set_nonblocking(true).unwrap();
    let mut stopping = false;
    while let Ok(n) = socket.recv(&mut buffer) {
        stopping |= buffer[..n].starts_with(b"STOPPING=1");
    }
    assert!(stopping);
}

#[test]
fn no_data_disk_is_ever_opened() {
    let mut lab = Lab::new();
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    watch
        .add_watch(
            &lab.path("nas/dev"),
            AddWatchFlags::IN_OPEN | AddWatchFlags::IN_ACCESS | AddWatchFlags::IN_MODIFY,
        )
        .unwrap();
    lab.start_broker();
    lab.start_agent();
    lab.wait_online();
    lab.paired_phone("anna");
    for target in ["/v1/status", "/v1/arrays", "/v1/hardware", "/v1/report", "/metrics"] {
        lab.ask("GET", target, &Value::Null);
    }
    lab.nas("degraded");
    wait("the change is seen", || lab.get("/v1/arrays")["arrays"][0]["state"] == "degraded");
    lab.terminate_agent();
    assert_eq!(watch.read_events().map(|e| e.len()), Err(nix::errno::Errno::EAGAIN));
    // The watch does see an open.
    fs::read(lab.path("nas/dev/sda")).unwrap();
    assert!(watch.read_events().is_ok());
}

/// There are 64 places for devices. Seen in QEMU: after as many removals the agent sent its notices without end.
#[test]
fn a_removed_device_is_told_once_a_session_however_many_went_before() {
    let mut lab = Lab::new();
    lab.store = "records_per_day = 100000\n".into();
    lab.start_broker();
    lab.start_agent();
    lab.wait_online();
    for _ in 0..70 {
        let phone = lab.paired_phone("anna");
        drop(phone);
        let device = lab.get("/v1/devices")["devices"][0]["id"].as_str().unwrap().to_owned();
        for _ in 0..2 {
            lab.ask("DELETE", &format!("/v1/devices/{device}"), &Value::Null);
        }
    }
    lab.paired_phone("anna");
    let device = lab.get("/v1/devices")["devices"][0]["id"].as_str().unwrap().to_owned();
    lab.ask("DELETE", &format!("/v1/devices/{device}"), &Value::Null);
    let sent = |lab: &Lab| lab.get("/v1/cloud")["counters"]["messages_published"].as_u64().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let before = sent(&lab);
    std::thread::sleep(Duration::from_secs(1));
    // The presence may be renewed once.
    assert!(sent(&lab) <= before + 1, "{before} messages became {}", sent(&lab));
}

#[test]
fn an_idle_agent_writes_nothing_and_starts_without_writing() {
    let mut lab = Lab::online();
    lab.paired_phone("anna");
    let before = lab.flash();
    lab.stop_broker();
    wait("the loss is noticed", || lab.get("/v1/cloud")["online"] == false);
    lab.start_broker();
    lab.wait_online();
    lab.terminate_agent();
    lab.start_agent();
    lab.wait_online();
    assert!(lab.flash() == before);
}

#[test]
fn a_damaged_store_keeps_remote_access_off_until_the_owner_starts_afresh() {
    let mut lab = Lab::online();
    lab.paired_phone("anna");
    lab.terminate_agent();
    let mut bytes = fs::read(lab.path("store/a.log")).unwrap();
    // In the middle of the first record, with records behind it.
    bytes[80] ^= 1;
    fs::write(lab.path("store/a.log"), &bytes).unwrap();
    lab.start_agent();
    let status = lab.get("/v1/status");
    assert_eq!(
        (&status["store"]["state"], &status["cloud"]["phase"]),
        (&"corrupt".into(), &"disabled".into())
    );
    assert_eq!(status["findings"][0]["code"], "store-corrupt");
    let light = |name: &str| lab.text(&format!("nas/sys/class/leds/sim:red:fault/{name}"));
    assert_eq!((light("trigger").as_str(), light("delay_on").as_str()), ("timer", "1000"), "slow blink");
    let (code, problem) = lab.ask("PUT", "/v1/users/bert", &serde_json::json!({}));
    assert_eq!((code, problem["code"].as_str()), (503, Some("store-corrupt")));
    assert!(lab.moorline(&["reset", "pairings", "--yes"]).status.success());
    assert_eq!(fs::read(lab.path("store/corrupt-1/a.log")).unwrap(), bytes, "kept for diagnosis");
    lab.wait_online();
    assert_eq!(lab.text("nas/sys/class/leds/sim:red:fault/brightness"), "0");
    lab.paired_phone("anna");
}
