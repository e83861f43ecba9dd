//! What the owner's fingers do to a box: presses of the reset button, alarm lines and switches, by the input device of a simulated NAS.

use std::ffi::c_long;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use super::lab::{Lab, Phone, free_port, wait};

const RESET: u16 = 408;
const COPY: u16 = 133;
const USB_POWER: u16 = 240;
const KEY: u16 = 1;
const SWITCH: u16 = 5;
/// Until the agent takes what is down for a press.
const START: Duration = Duration::from_millis(2_200);

/// A box with buttons, a door and a user. Its input device is a pipe.
struct Desk {
    lab: Lab,
    keys: File,
    clock: Instant,
    port: u16,
}

impl Desk {
    /// Nothing runs yet.
    fn idle(buttons: &str) -> Self {
        let mut lab = Lab::new();
        let port = free_port();
        lab.more += &format!("[remote]\nport = {port}\nannounce = false\nmap_port = false\n{buttons}");
        let (class, node) = (lab.path("nas/sys/class/input/event0/device"), lab.path("nas/dev/input"));
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join("name"), "sim-keys\n").unwrap();
        fs::create_dir_all(&node).unwrap();
        nix::unistd::mkfifo(&node.join("event0"), Mode::S_IRWXU).unwrap();
        let keys = OpenOptions::new().read(true).write(true).open(node.join("event0")).unwrap();
        Self { lab, keys, clock: Instant::now(), port }
    }

    fn new(buttons: &str) -> Self {
        let mut desk = Self::idle(buttons);
        desk.start();
        desk.lab.add_user("anna");
        desk
    }

    fn start(&mut self) {
        self.lab.start_agent();
        sleep(START);
    }

    /// One `struct input_event`, as the kernel gives it.
    fn tell(&mut self, kind: u16, code: u16, value: i32) {
        let now = self.clock.elapsed();
        let mut event = Vec::new();
        event.extend((now.as_secs() as c_long).to_ne_bytes());
        event.extend(c_long::from(now.subsec_micros() as i32).to_ne_bytes());
        event.extend(kind.to_ne_bytes());
        event.extend(code.to_ne_bytes());
        event.extend(value.to_ne_bytes());
        self.keys.write_all(&event).unwrap();
    }

    fn press(&mut self, code: u16, held: Duration) {
        self.tell(KEY, code, 1);
        sleep(held);
        self.tell(KEY, code, 0);
    }

    /// Events of a kind, oldest first.
    fn events(&self, kind: &str) -> Vec<Value> {
        let shown = String::from_utf8(self.lab.moorline(&["events", "--json"]).stdout).unwrap();
        let all = shown.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        all.filter(|e| e["event"] == kind).map(|e| e["data"].clone()).collect()
    }

    /// The release has been told, and so has what it set off.
    fn released(&self, count: usize) {
        wait("the release is told", || {
            self.events("button").iter().filter(|e| e["what"] == "released").count() == count
        });
    }

    fn presses(&self) -> Vec<(String, bool)> {
        let seen = self.events("press");
        seen.iter().map(|e| (e["step"].as_str().unwrap().to_owned(), e["done"] == true)).collect()
    }

    fn pair_here(&self, phone: &Phone, code: &str) -> Value {
        let at = format!("127.0.0.1:{}", self.port);
        let done = phone.command(&["pair", code, "--lan", &at, "--name", "Desk"]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        serde_json::from_slice(&done.stdout).unwrap()
    }

    fn codes(&self) -> Vec<Value> {
        self.lab.get("/v1/codes")["codes"].as_array().unwrap().clone()
    }
}

const ANNA: &str = "[buttons]\npairing_user = \"anna\"\n";
const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_millis(4_300);

#[test]
fn a_short_press_opens_a_code_for_the_preset_user_on_the_lan_only() {
    let mut desk = Desk::new(ANNA);
    desk.lab.start_broker();
    desk.lab.wait_online();
    desk.press(RESET, SHORT);
    desk.released(1);
    assert_eq!(desk.presses(), [("pairing".to_owned(), true)]);
    let press = desk.events("press")[0].clone();
    assert_eq!((&press["button"], &press["device"]), (&json!("reset"), &json!("d1")));
    // Double flashes: the agent's own timer.
    let light = |desk: &Desk| desk.lab.text("nas/sys/class/leds/sim:green:status/brightness");
    wait("the code waits: dark for a moment", || light(&desk) == "0");
    wait("the code waits: lit for a moment", || light(&desk) == "255");
    let code = desk.codes()[0].clone();
    assert_eq!(
        (&code["user"], &code["usable_by"], &code["lan_only"]),
        (&json!("anna"), &json!(["lan"]), &json!(true))
    );
    assert!(code["expires_in_s"].as_u64().unwrap() <= 600, "{code}");
    assert!(!code["uri"].as_str().unwrap().contains("broker"), "a picture of it leads nobody to the broker");
    assert_eq!(desk.lab.get("/v1/devices/d1")["lan_only"], true);
    let text = code["code"].as_str().unwrap().to_owned();
    let shown = String::from_utf8(desk.lab.moorline(&["codes"]).stdout).unwrap();
    assert!(shown.contains(&text) && shown.contains("on this network only"), "{shown}");
    assert!(shown.lines().all(|l| l.chars().count() <= 100), "{shown}");
    // Who only listens does not learn it.
    let heard = String::from_utf8(desk.lab.moorline(&["events", "--json"]).stdout).unwrap();
    assert!(!heard.contains(&text) && !desk.lab.text("agent.log").contains(&text));
    // Pressed again it is the same one, and nothing is written.
    let flash = desk.lab.flash();
    desk.press(RESET, SHORT);
    desk.released(2);
    assert_eq!(desk.events("press")[1]["device"], "d1");
    assert!(desk.lab.flash() == flash, "a press that shows a code again writes nothing");
    // Through the broker nobody answers, and it costs no guess.
    let phone = desk.lab.fresh_phone();
    let mut command = phone.pair(&text);
    command.args(["--timeout", "3"]);
    assert!(!command.output().unwrap().status.success());
    let device = desk.lab.get("/v1/devices/d1");
    assert_eq!((&device["state"], &device["guesses"]), (&json!("pending"), &json!(0)));
    // Nor after a power cut.
    desk.lab.kill_agent();
    desk.lab.start_agent();
    desk.lab.wait_online();
    assert_eq!(desk.codes()[0]["lan_only"], true);
    let mut command = phone.pair(&text);
    command.args(["--timeout", "3"]);
    assert!(!command.output().unwrap().status.success());
    let phone = desk.lab.fresh_phone();
    let told = desk.pair_here(&phone, &text);
    assert_eq!(told["user"], "anna");
    let device = desk.lab.get("/v1/devices/d1");
    assert_eq!((&device["state"], device.get("lan_only")), (&json!("paired"), None));
    assert_eq!(desk.codes(), Vec::<Value>::new());
}

#[test]
fn a_long_press_is_the_connection_reset_and_no_other() {
    let mut desk = Desk::new(ANNA);
    let phone = desk.lab.fresh_phone();
    let code = desk.lab.code("anna")["code"].as_str().unwrap().to_owned();
    desk.pair_here(&phone, &code);
    let (status, _) = desk.lab.ask("PATCH", "/v1/cloud", &json!({ "enabled": false, "dns": ["192.0.2.1"] }));
    assert_eq!(status, 200);
    desk.press(RESET, LONG);
    desk.released(1);
    assert_eq!(desk.presses(), [("connection".to_owned(), true)]);
    let cloud = desk.lab.get("/v1/cloud");
    assert_eq!((&cloud["enabled"], &cloud["dns"]), (&json!(true), &json!([])), "as configured");
    assert_eq!(desk.events("reset")[0]["name"], "connection");
    assert_eq!(desk.lab.states(), ["paired"], "nothing else is lost");
    assert_eq!(desk.lab.get("/v1/users")["users"][0]["name"], "anna");
    // What was under the finger was told while it was there.
    let held: Vec<Value> = desk
        .events("button")
        .into_iter()
        .filter(|e| e["what"] == "held")
        .map(|e| e["step"].clone())
        .collect();
    assert_eq!(held, ["pairing", "none", "connection"]);
}

#[test]
fn a_very_long_press_is_the_pairings_reset_and_no_other() {
    let mut desk = Desk::new(ANNA);
    let phone = desk.lab.fresh_phone();
    let code = desk.lab.code("anna")["code"].as_str().unwrap().to_owned();
    desk.pair_here(&phone, &code);
    let (status, _) = desk.lab.ask("PATCH", "/v1/cloud", &json!({ "enabled": false }));
    assert_eq!(status, 200);
    let id = desk.lab.get("/v1/status")["nas"]["id"].clone();
    desk.press(RESET, Duration::from_millis(40_300));
    desk.released(1);
    assert_eq!(desk.presses(), [("pairings".to_owned(), true)]);
    assert_eq!(desk.events("reset")[0]["name"], "pairings");
    assert_eq!(desk.lab.states(), ["revoked"]);
    assert_eq!(desk.lab.get("/v1/users")["users"][0]["name"], "anna");
    assert_eq!(desk.lab.get("/v1/status")["nas"]["id"], id, "it is the same NAS");
    assert_eq!(desk.lab.get("/v1/cloud")["enabled"], false, "the connection is as its owner set it");
}

#[test]
fn other_presses_do_nothing() {
    let mut desk = Desk::new(ANNA);
    let flash = desk.lab.flash();
    // Bouncing, a second too short for the next step, another button, two at once.
    desk.press(RESET, Duration::from_millis(5));
    desk.press(RESET, Duration::from_millis(3_000));
    desk.press(COPY, LONG);
    desk.tell(KEY, COPY, 1);
    desk.press(RESET, LONG);
    desk.tell(KEY, COPY, 0);
    // A release is missing, as when the kernel had no room for it.
    desk.tell(KEY, RESET, 1);
    desk.tell(0, 3, 0);
    sleep(SHORT);
    desk.tell(KEY, RESET, 0);
    desk.released(5);
    assert_eq!(desk.presses(), []);
    assert!(desk.lab.flash() == flash);
    assert_eq!((desk.codes().len(), desk.events("reset").len()), (0, 0));
    // It still listens.
    desk.press(RESET, SHORT);
    desk.released(6);
    assert_eq!(desk.presses(), [("pairing".to_owned(), true)]);
}

#[test]
fn a_button_that_is_held_while_the_box_starts_means_nothing() {
    let mut desk = Desk::idle(ANNA);
    // The vendor's own reset at power-on: the driver tells of it when the device is opened.
    desk.tell(KEY, RESET, 1);
    desk.start();
    desk.lab.add_user("anna");
    sleep(LONG);
    desk.tell(KEY, RESET, 0);
    desk.released(1);
    assert_eq!(desk.presses(), []);
    assert_eq!((desk.codes().len(), desk.events("reset").len()), (0, 0));
}

#[test]
fn a_press_that_can_do_nothing_says_why() {
    let mut desk = Desk::new("");
    let flash = desk.lab.flash();
    desk.press(RESET, SHORT);
    desk.released(1);
    let press = desk.events("press")[0].clone();
    assert_eq!((&press["done"], &press["code"]), (&json!(false), &json!("no-pairing-user")));
    assert!(desk.lab.flash() == flash);
    // A user that there is not.
    let mut desk = Desk::new("[buttons]\npairing_user = \"bert\"\n");
    desk.press(RESET, SHORT);
    desk.released(1);
    assert_eq!(desk.events("press")[0]["code"], "user-unknown");
    // Nobody wants them to mean anything.
    let mut desk = Desk::new("[buttons]\nreset = false\npairing_user = \"anna\"\n");
    desk.press(RESET, SHORT);
    desk.press(RESET, LONG);
    desk.released(2);
    assert_eq!((desk.presses().len(), desk.codes().len()), (0, 0));
    assert!(desk.events("button").iter().all(|e| e["what"] != "held"));
}

#[test]
fn an_alarm_is_a_finding_and_a_switch_an_event_and_neither_is_a_press() {
    let mut desk = Desk::new(ANNA);
    let findings = |desk: &Desk| {
        let all = desk.lab.get("/v1/status")["findings"].as_array().unwrap().clone();
        all.into_iter().filter(|f| f["code"] == "alarm-input").collect::<Vec<_>>()
    };
    desk.tell(KEY, USB_POWER, 1);
    wait("the alarm is shown", || !findings(&desk).is_empty());
    let finding = findings(&desk)[0].clone();
    assert_eq!(finding["subject"], "usb-power");
    assert!(finding["evidence"].as_str().unwrap().contains("usb-power") && finding["since_s"].is_u64());
    sleep(LONG);
    desk.tell(KEY, USB_POWER, 0);
    wait("it is over", || findings(&desk).is_empty());
    desk.tell(SWITCH, 1, 1);
    desk.tell(SWITCH, 1, 0);
    wait("the switch is told", || desk.events("switched").len() == 2);
    let on = |kind: &str, name: &str| {
        let all = desk.events(kind).into_iter().filter(|e| e["name"] == name);
        all.map(|e| e["on"] == true).collect::<Vec<bool>>()
    };
    assert_eq!((on("alarm", "usb-power"), on("switched", "auto")), (vec![true, false], vec![true, false]));
    assert_eq!((desk.events("button").len(), desk.presses().len()), (0, 0));
}
