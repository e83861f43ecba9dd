//! A phone pairs at the NAS's own door, with no broker anywhere; what strangers do there; what a device says of itself afterwards.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moorline::pairing::code::Code;
use moorline::remote::visit::{framed, greeting};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use serde_json::{Value, json};

use super::lab::{Lab, Phone, free_port, wait};

/// A NAS with an open door; anna is its user. Nothing else runs.
struct Home {
    lab: Lab,
    port: u16,
    at: String,
}

impl Home {
    fn new(no_cloud: bool) -> Self {
        let mut lab = Lab::new();
        let port = free_port();
        lab.no_cloud = no_cloud;
        lab.more += &format!("[remote]\nport = {port}\nannounce = false\nmap_port = false\n");
        lab.start_agent();
        lab.add_user("anna");
        Self { lab, port, at: format!("127.0.0.1:{port}") }
    }

    fn code(&self) -> String {
        self.lab.code("anna")["code"].as_str().unwrap().to_owned()
    }

    fn pair(&self, phone: &Phone, code: &str, at: &str) -> Command {
        phone.command(&["pair", code, "--lan", at, "--name", "Desk"])
    }

    fn paired(&mut self) -> Phone {
        let (phone, code) = (self.lab.fresh_phone(), self.code());
        good(self.pair(&phone, &code, &self.at));
        phone
    }

    fn client(&self, phone: &Phone, args: &[&str]) -> Command {
        let mut command = phone.command(args);
        command.args(["--at", &self.at]);
        command
    }

    fn name(&self) -> String {
        self.lab.get("/v1/devices/d1")["name"].as_str().unwrap().to_owned()
    }

    fn events(&self) -> String {
        String::from_utf8(self.lab.moorline(&["events", "--json"]).stdout).unwrap()
    }

    fn visitor(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }
}

/// Gives up soon.
fn brief(mut command: Command) -> Command {
    command.args(["--timeout", "3"]);
    command
}

fn said(done: &Output) -> Value {
    serde_json::from_slice(&done.stdout).unwrap_or_default()
}

#[track_caller]
fn good(mut command: Command) -> Value {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    said(&done)
}

#[track_caller]
fn bad(mut command: Command, exit: i32) -> String {
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(exit), "{done:?}");
    said(&done)["error"].as_str().unwrap().to_owned()
}

/// Another code for the same mailbox.
fn wrong(code: &str, which: usize) -> String {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let plain: Vec<u8> = code.bytes().filter(|b| *b != b'-').collect();
    let mut others = LETTERS.iter().filter(|l| **l != plain[7]);
    let other = *others.nth(which).unwrap();
    let with = |check: &u8| [&plain[..7], &[other], &plain[8..11], &[*check]].concat();
    let texts = LETTERS.iter().map(|check| String::from_utf8(with(check)).unwrap());
    texts.into_iter().find(|text| Code::parse(text).is_ok()).unwrap()
}

#[test]
fn a_phone_pairs_where_there_is_no_broker_at_all() {
    let mut home = Home::new(true);
    let code = home.lab.code("anna");
    assert_eq!((&code["usable_by"], &code["lan_port"]), (&json!(["lan"]), &json!(home.port)));
    let shown = String::from_utf8(home.lab.moorline(&["code", "anna"]).stdout).unwrap();
    assert!(shown.contains("by way of: lan") && shown.contains(&home.port.to_string()), "{shown}");
    let (phone, code) = (home.lab.fresh_phone(), home.lab.code("anna"));
    // As the QR code has it.
    let told = good(home.pair(&phone, code["uri"].as_str().unwrap(), &home.at));
    assert_eq!(
        (&told["name"], &told["user"], told.get("broker")),
        (&json!("Test NAS"), &json!("anna"), None)
    );
    assert_eq!(told["services"], json!(["web"]));
    let device = home.lab.get("/v1/devices")["devices"][0].clone();
    assert_eq!((&device["state"], &device["name"]), (&json!("paired"), &json!("Desk")));
    assert_eq!(device["notice"], "seen", "the NAS heard that the phone has its answer");
    assert!(home.events().contains("\"what\":\"paired\""));
    // It is let in at once, and after a power cut.
    assert_eq!(good(home.client(&phone, &["services"]))["services"][0]["name"], "web");
    home.lab.kill_agent();
    home.lab.start_agent();
    let status = good(home.client(&phone, &["status"]))["nas"][0].clone();
    assert_eq!((&status["name"], &status["user"]), (&json!("Test NAS"), &json!("anna")));
    assert_eq!((&status["online"], &status["standing"]), (&json!(false), &json!("paired")));
    assert!(status["summary"].as_str().unwrap().contains("1 device is paired"), "{status}");
    // A code works once, whichever way.
    let other = home.lab.fresh_phone();
    let error = bad(home.pair(&other, code["code"].as_str().unwrap(), &home.at), 3);
    assert!(error.contains("does not know this code now"), "{error}");
}

#[test]
fn the_broker_may_be_named_for_later_and_is_used_when_it_is_there() {
    let mut home = Home::new(false);
    let code = home.lab.code("anna");
    assert_eq!(code["usable_by"], json!(["lan"]), "the cloud is out of reach");
    let phone = home.lab.fresh_phone();
    let mut command = phone.pair(code["code"].as_str().unwrap());
    command.args(["--lan", &home.at]);
    assert!(good(command)["broker"].as_str().unwrap().starts_with("mqtts://"));
    home.lab.start_broker();
    home.lab.wait_online();
    assert_eq!(phone.standing(), "paired", "by the broker, with the account that came with the pairing");
    assert_eq!(home.lab.code("anna")["usable_by"], json!(["lan", "broker"]));
}

#[test]
fn guesses_are_counted_together_whichever_way_they_come() {
    let mut home = Home::new(false);
    home.lab.start_broker();
    home.lab.wait_online();
    let code = home.code();
    let flash = home.lab.flash();
    for guess in 0..5 {
        let phone = home.lab.fresh_phone();
        let mut command = phone.pair(&wrong(&code, guess));
        if guess % 2 == 0 {
            command.args(["--lan", &home.at]);
        }
        assert_eq!(bad(command, 1), "the code is wrong");
        assert_eq!(home.lab.get("/v1/devices/d1")["guesses"], guess + 1);
    }
    assert!(home.lab.flash() == flash, "five guesses write nothing");
    let phone = home.lab.fresh_phone();
    let error = bad(home.pair(&phone, &code, &home.at), 1);
    assert!(error.contains("burned"), "even the right one comes too late: {error}");
    assert_eq!(home.lab.states(), ["burned"]);
    let flash = home.lab.flash();
    let phone = home.lab.fresh_phone();
    bad(home.pair(&phone, &code, &home.at), 3);
    assert!(home.lab.flash() == flash, "a burned code burns once");
}

#[test]
fn strangers_at_the_door_change_nothing_and_keep_nobody_out() {
    let mut home = Home::new(true);
    let code = home.code();
    let known = greeting(Code::parse(&code).unwrap().rendezvous());
    let flash = home.lab.flash();
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", home.lab.agent_pid())).unwrap().count();
    let usual = descriptors();
    let join = |parts: &[&[u8]]| parts.concat();
    let junk: Vec<Vec<u8>> = vec![
        b"m".to_vec(),
        b"mlp2ABCDE".to_vec(),
        join(&[b"mlp1ZZZZZ", &framed(&[1; 40])]),
        join(&[b"mlp1\xff\xff\xff\xff\xff", &framed(&[1; 40])]),
        known.clone(),
        // Longer than any message, no message, messages of no version, of no kind, cut off.
        join(&[&known, &[0xff; 70_000]]),
        join(&[&known, &[8, 1], &[1; 2049]]),
        join(&[&known, &framed(b"")]),
        join(&[&known, &framed(&[9, 0, 1, 2])]),
        join(&[&known, &framed(&[1, 9, 9, 9])]),
        join(&[&known, &framed(&[1; 2048])]),
        join(&[&known, &[1, 0, 1, 1]]),
    ];
    for bytes in &junk {
        let mut stream = home.visitor();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        // A reset is as good as an end.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{bytes:?}");
        // What came to nothing keeps its place for a second.
        wait("it is over", || descriptors() <= usual);
    }
    // Slow ones: a byte now and then, and never a whole message. And many that say nothing.
    let mut slow: Vec<TcpStream> = (0..3).map(|_| home.visitor()).collect();
    let many: Vec<TcpStream> = (0..60).map(|_| home.visitor()).collect();
    let began = Instant::now();
    for byte in join(&[&known, &[1, 0]]) {
        for stream in &mut slow {
            let _ = stream.write_all(&[byte]);
        }
        assert!(descriptors() <= usual + 6, "no more than four from one address");
        std::thread::sleep(Duration::from_millis(200));
    }
    for stream in slow.iter_mut().chain(&mut many.iter().map(|s| s.try_clone().unwrap()).collect::<Vec<_>>())
    {
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "ended by the NAS");
    }
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    drop((slow, many));
    wait("all are gone", || descriptors() <= usual);
    let status = home.lab.get("/v1/status");
    assert!(status["remote"]["refused"].as_u64().unwrap() >= 70, "{}", status["remote"]);
    assert_eq!(home.lab.get("/v1/devices/d1")["guesses"], 0, "none of it was a guess");
    assert!(home.lab.flash() == flash);
    let phone = home.lab.fresh_phone();
    good(home.pair(&phone, &code, &home.at));
}

/// A connection to the door from another address of this machine.
fn from_address(last: u8, port: u16) -> TcpStream {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, last, 0)).unwrap();
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    TcpStream::from(socket)
}

#[test]
fn visitors_from_everywhere_leave_room_for_devices() {
    let mut home = Home::new(true);
    let phone = home.paired();
    let code = home.code();
    let known = greeting(Code::parse(&code).unwrap().rendezvous());
    let mut visitors: Vec<TcpStream> = (2..14).map(|last| from_address(last, home.port)).collect();
    let began = Instant::now();
    for visitor in &mut visitors {
        let _ = visitor.write_all(&known);
    }
    // Six of them sit; the others are gone at once, and no place for a handshake with them.
    let gone = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        match stream.read(&mut [0; 8]) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    };
    let sitting = visitors.iter_mut().filter_map(|v| (!gone(v)).then_some(v)).count();
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "this machine is too slow for this: {:?}",
        began.elapsed()
    );
    assert_eq!(sitting, 6);
    good(home.client(&phone, &["status"]));
    assert!(began.elapsed() < Duration::from_secs(9), "in while they sit: {:?}", began.elapsed());
    // They are got rid of, and then the next phone has its turn.
    let next = home.lab.fresh_phone();
    wait("another phone pairs", || home.pair(&next, &code, &home.at).output().unwrap().status.success());
}

/// Reads one message with its length.
fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; u16::from_be_bytes(head).into()];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// A way to the door that is cut when the NAS grants the pairing: after it is on flash, and before the phone knows.
fn cut_way(door: &str, cut: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let (door, cut) = (door.to_owned(), Arc::clone(cut));
    std::thread::spawn(move || {
        for phone in listener.incoming() {
            // One after the other, as the phone comes.
            let _ = carry(phone.unwrap(), &door, &cut);
        }
    });
    at
}

fn carry(mut phone: TcpStream, door: &str, cut: &AtomicBool) -> io::Result<()> {
    let mut nas = TcpStream::connect(door)?;
    let mut greeting = [0; 9];
    phone.read_exact(&mut greeting)?;
    nas.write_all(&greeting)?;
    loop {
        nas.write_all(&framed(&message(&mut phone)?))?;
        let answer = message(&mut nas)?;
        // A version, then which message: the second one is Granted.
        if answer[1] == 1 && cut.load(Ordering::SeqCst) {
            return Ok(());
        }
        phone.write_all(&framed(&answer))?;
    }
}

#[test]
fn a_pairing_that_was_cut_off_is_finished_later_whichever_way() {
    let mut home = Home::new(false);
    let (one, two) = (home.lab.fresh_phone(), home.lab.fresh_phone());
    let cut = Arc::new(AtomicBool::new(true));
    let way = cut_way(&home.at, &cut);
    // At the door again, after the NAS lost its power.
    let code = home.code();
    bad(brief(home.pair(&one, &code, &way)), 3);
    assert_eq!(home.lab.states(), ["paired"], "the NAS has it, the phone does not know");
    let flash = home.lab.flash();
    home.lab.kill_agent();
    home.lab.start_agent();
    good(home.pair(&one, &code, &home.at));
    assert!(home.lab.flash() == flash, "finishing writes nothing");
    assert_eq!(good(home.client(&one, &["services"]))["services"][0]["name"], "web");
    // By the broker.
    let code = home.code();
    bad(brief(home.pair(&two, &code, &way)), 3);
    home.lab.start_broker();
    home.lab.wait_online();
    good(two.pair(&code));
    assert_eq!((home.lab.states(), two.standing()), (vec!["paired".into(); 2], "paired".into()));
    // And in one go, where only one connection is lost.
    let (three, code) = (home.lab.fresh_phone(), home.code());
    let mut pairing = home.pair(&three, &code, &way).stdout(Stdio::null()).spawn().unwrap();
    wait("it is on flash", || home.lab.states().iter().filter(|s| *s == "paired").count() == 3);
    cut.store(false, Ordering::SeqCst);
    assert!(pairing.wait().unwrap().success());
}

#[test]
fn a_device_gives_itself_another_name_and_it_stays() {
    let mut home = Home::new(true);
    let phone = home.paired();
    assert_eq!(home.name(), "Desk");
    good(home.client(&phone, &["rename", "Anna's laptop"]));
    assert_eq!(home.name(), "Anna's laptop");
    let devices = String::from_utf8(home.lab.moorline(&["devices"]).stdout).unwrap();
    assert!(devices.contains("Anna's laptop"), "{devices}");
    assert!(home.events().contains("\"what\":\"renamed\""));
    home.lab.kill_agent();
    home.lab.start_agent();
    assert_eq!(home.name(), "Anna's laptop");
    let flash = home.lab.flash();
    good(home.client(&phone, &["rename", "Anna's laptop"]));
    assert!(home.lab.flash() == flash, "the same name writes nothing");
    assert!(!home.events().contains("\"what\":\"renamed\""), "and is no event");
    // What dresses up is undressed, what is too long is cut, and what cannot be seen is no name.
    good(home.client(&phone, &["rename", "An\u{1b}[2Jna\u{202e}\nroot"]));
    assert_eq!(home.name(), "An [2Jna  root");
    good(home.client(&phone, &["rename", &"ü".repeat(100)]));
    assert_eq!(home.name(), "ü".repeat(24));
    let error = bad(home.client(&phone, &["rename", "\u{1b}\u{202e}"]), 1);
    assert!(error.contains("a name needs"), "{error}");
    assert_eq!(home.name(), "ü".repeat(24));
}

#[test]
fn a_device_that_renames_itself_for_ever_leaves_the_owner_the_flash() {
    let mut home = Home::new(true);
    let phone = home.paired();
    let refused = (0..25).find(|i| {
        let done = home.client(&phone, &["rename", &format!("name {i}")]).output().unwrap();
        !done.status.success()
    });
    assert_eq!(refused, Some(20));
    let error = bad(home.client(&phone, &["rename", "one more"]), 1);
    assert!(error.contains("cannot keep the change now"), "{error}");
    assert_eq!(home.name(), "name 19");
    let findings = home.lab.get("/v1/status")["findings"].to_string();
    assert!(!findings.contains("write-budget"), "{findings}");
    let (status, _) = home.lab.ask("DELETE", "/v1/devices/d1", &Value::Null);
    assert_eq!((status, home.lab.states()), (200, vec!["revoked".to_owned()]));
}

#[test]
fn a_device_leaves_through_the_channel() {
    let mut home = Home::new(true);
    let phone = home.paired();
    let nas = home.lab.get("/v1/status")["nas"]["id"].as_str().unwrap().to_owned();
    assert_eq!(good(home.client(&phone, &["unpair", &nas])), json!({ "unpaired": true }));
    assert_eq!(home.lab.states(), [""; 0]);
    assert!(home.events().contains("\"what\":\"gone\""));
    assert_eq!(good(phone.command(&["list"])), json!({ "pairings": [] }));
    wait("its carrier is gone", || {
        home.lab.get("/v1/status")["remote"]["carriers"].as_array().unwrap().is_empty()
    });
    home.lab.kill_agent();
    home.lab.start_agent();
    assert_eq!(home.lab.states(), [""; 0]);
}
