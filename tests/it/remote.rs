//! A paired device reaches the NAS's services through the agent's own listener and through the broker; nobody else does. Third parties: curl, and
//! Python's web server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Lab, Phone, free_port, runner, wait};

/// Ends with the value.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A NAS with a web server, an echo and a service that is down; one phone of anna.
pub struct House {
    pub lab: Lab,
    pub at: String,
    pub phone: Phone,
    way: Vec<String>,
    _web: Running,
}

/// Sends back what it gets, after its end has come: only a half-closed connection gets an answer.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut all = Vec::new();
                if stream.read_to_end(&mut all).is_ok() {
                    let _ = stream.write_all(&all);
                }
            });
        }
    });
    address
}

fn web(lab: &Lab) -> (Running, u16) {
    let dir = lab.path("files");
    fs::create_dir_all(&dir).unwrap();
    let block: Vec<u8> = (0..250_000u32).flat_map(u32::to_le_bytes).collect();
    // An emulated ARM encrypts slowly.
    fs::write(dir.join("large"), block.repeat(if runner().is_some() { 1 } else { 16 })).unwrap();
    let port = free_port();
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(&dir).arg(port.to_string());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait("the web server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (Running(child), port)
}

impl House {
    pub fn new() -> Self {
        Self::with("", |_| ())
    }

    /// With further services. `prepare`: what is to be changed before anything runs.
    fn with(services: &str, prepare: impl FnOnce(&Lab)) -> Self {
        let mut lab = Lab::new();
        prepare(&lab);
        let (web, port) = web(&lab);
        let (door, down, echo) = (free_port(), free_port(), echo());
        lab.more = format!(
            "[[service]]\nname = \"files\"\naddress = \"127.0.0.1:{port}\"\n\
             [[service]]\nname = \"echo\"\naddress = \"{echo}\"\n\
             [[service]]\nname = \"down\"\naddress = \"127.0.0.1:{down}\"\n\
             [[service]]\nname = \"berts\"\naddress = \"{echo}\"\nusers = [\"bert\"]\n\
             {services}[remote]\nport = {door}\nannounce = false\nmap_port = false\n\
             external_address = \"127.0.0.1\"\n"
        );
        lab.start_broker();
        lab.start_agent();
        lab.wait_online();
        let phone = lab.paired_phone("anna");
        let at = format!("127.0.0.1:{door}");
        Self { way: vec!["--at".into(), at.clone()], lab, at, phone, _web: web }
    }

    /// The same, where devices come through the broker.
    pub fn by_broker() -> Self {
        Self::by_broker_with(|_| ())
    }

    /// The same, where something is changed before anything runs.
    pub fn by_broker_with(prepare: impl FnOnce(&Lab)) -> Self {
        Self { way: vec!["--path".into(), "broker".into()], ..Self::with("", prepare) }
    }

    pub fn client(&self, phone: &Phone, args: &[&str]) -> Command {
        let mut command = phone.command(args);
        command.args(&self.way);
        command
    }

    /// A forward that runs, and its local address.
    pub fn forward(&self, phone: &Phone, service: &str) -> (Running, String) {
        let mut command = self.client(phone, &["forward", service]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        (Running(child), told["listening"].as_str().unwrap().to_owned())
    }

    pub fn carriers(&self) -> usize {
        self.lab.get("/v1/status")["remote"]["carriers"].as_array().unwrap().len()
    }
}

pub fn curl(args: &[&str]) -> (bool, Vec<u8>) {
    let done = Command::new("curl").args(["-sS", "--max-time", "60"]).args(args).output().unwrap();
    (done.status.success(), done.stdout)
}

#[test]
fn files_come_through_whole_in_parts_and_many_at_once() {
    files_come_through(&House::new());
}

#[test]
fn files_come_through_the_broker_whole_in_parts_and_many_at_once() {
    files_come_through(&House::by_broker());
}

fn files_come_through(house: &House) {
    let whole = fs::read(house.lab.path("files/large")).unwrap();
    let (_forward, at) = house.forward(&house.phone, "files");
    let url = format!("http://{at}/large");
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..8).map(|_| scope.spawn(|| curl(&[&url]))).collect();
        for fetch in fetches {
            let (good, bytes) = fetch.join().unwrap();
            assert!(good && bytes == whole, "{} bytes of {}", bytes.len(), whole.len());
        }
    });
    assert_eq!(house.carriers(), 1, "all of them in one carrier");
    let (_, head) = curl(&["-I", &url]);
    assert!(String::from_utf8_lossy(&head).contains(&format!("Content-Length: {}", whole.len())));
    assert!(!curl(&["-f", &format!("http://{at}/none")]).0, "the service's own errors come through as well");
}

#[test]
fn each_half_of_a_connection_ends_by_itself() {
    halves_end(&House::new());
}

#[test]
fn each_half_of_a_connection_through_the_broker_ends_by_itself() {
    halves_end(&House::by_broker());
}

fn halves_end(house: &House) {
    let (_forward, at) = house.forward(&house.phone, "echo");
    for size in [0, 1, 70_000, 5_000_000] {
        let mut stream = TcpStream::connect(&at).unwrap();
        let sent: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
        let (mut writing, bytes) = (stream.try_clone().unwrap(), sent.clone());
        let writer = std::thread::spawn(move || {
            writing.write_all(&bytes).unwrap();
            writing.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        writer.join().unwrap();
        assert!(back == sent, "{} of {size} bytes came back", back.len());
    }
}

#[test]
fn more_connections_than_a_carrier_takes_wait_for_their_turn() {
    let house = House::new();
    let (_forward, at) = house.forward(&house.phone, "echo");
    let mut streams: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&at).unwrap()).collect();
    // The first ones stay open meanwhile, so that not all of them have a place.
    for stream in &mut streams {
        stream.write_all(b"each its own").unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    for mut stream in streams {
        stream.shutdown(Shutdown::Write).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert_eq!(back, b"each its own");
    }
    assert_eq!(house.carriers(), 1, "and none of them cost the carrier");
}

#[test]
fn what_a_program_breaks_off_is_over_at_the_service_too() {
    // A word for whoever comes, and then nothing, not even an end.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in mute.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"well?").unwrap();
            held.push(stream);
        }
    });
    let house =
        House::with(&format!("[[service]]\nname = \"mute\"\naddress = \"127.0.0.1:{port}\"\n"), |_| ());
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", house.lab.agent_pid())).unwrap().count();
    let (_forward, at) = house.forward(&house.phone, "mute");
    wait("the carrier stands", || house.carriers() == 1);
    let before = descriptors();
    let streams: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(&at).unwrap()).collect();
    for stream in &streams {
        // Dropped with bytes that nobody has read, a connection is reset.
        stream.peek(&mut [0]).unwrap();
    }
    assert!(descriptors() >= before + 8);
    drop(streams);
    wait("the agent lets go of the service", || descriptors() <= before);
}

#[test]
fn a_router_that_somebody_set_by_hand_is_a_way() {
    let house = House::by_broker();
    let direct = || house.phone.command(&["services", "--path", "direct"]).output().unwrap();
    let told = direct();
    assert!(!told.status.success(), "nobody has said yet where that is");
    assert_eq!(house.lab.ask("PATCH", "/v1/cloud", &serde_json::json!({ "mode": "manual" })).0, 200);
    assert!(house.client(&house.phone, &["services"]).output().unwrap().status.success());
    // What was said through the broker is kept for the next time.
    let told = direct();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
}

#[test]
fn connections_that_nobody_reads_hold_up_no_others() {
    nobody_reads(&House::new());
}

#[test]
fn connections_through_the_broker_that_nobody_reads_hold_up_no_others() {
    nobody_reads(&House::by_broker());
}

/// All in one carrier: some that asked for much and read nothing, then others.
fn nobody_reads(house: &House) {
    let whole = fs::read(house.lab.path("files/large")).unwrap();
    let (_forward, at) = house.forward(&house.phone, "files");
    let stalled: Vec<TcpStream> = (0..6)
        .map(|_| {
            let mut stream = TcpStream::connect(&at).unwrap();
            stream.write_all(b"GET /large HTTP/1.0\r\n\r\n").unwrap();
            // Its first bytes have come, so it is under way.
            stream.read_exact(&mut [0; 16]).unwrap();
            stream
        })
        .collect();
    for _ in 0..3 {
        let (good, bytes) = curl(&[&format!("http://{at}/large")]);
        assert!(good && bytes == whole, "{} bytes of {}", bytes.len(), whole.len());
    }
    assert_eq!(house.carriers(), 1, "all of them in one carrier");
    // And whoever begins to read gets all of it.
    for mut stream in stalled {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.ends_with(&whole), "{} bytes", rest.len());
    }
}

#[test]
fn a_device_sees_its_own_services_and_hears_why_others_are_refused() {
    let house = House::new();
    let told = house.client(&house.phone, &["services"]).output().unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let services: Vec<(&str, bool)> = told["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["name"].as_str().unwrap(), s["up"].as_bool().unwrap()))
        .filter(|(name, _)| *name != "web")
        .collect();
    assert_eq!(services, [("files", true), ("echo", true), ("down", false)], "not bert's");
    let seen = house.lab.get("/v1/services")["services"].clone();
    let up = |name: &str| seen.as_array().unwrap().iter().find(|s| s["name"] == name).unwrap()["up"].clone();
    assert_eq!((up("files"), up("down"), up("berts")), (true.into(), false.into(), true.into()));
    let refused = house.client(&house.phone, &["forward", "berts"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("has no service"));
    let (_forward, at) = house.forward(&house.phone, "down");
    let mut stream = TcpStream::connect(at).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "a service that is down ends the connection");
}

#[test]
fn a_removed_device_is_out_within_a_second_and_stays_out() {
    removed_is_out(&House::new(), "this device was removed there");
}

#[test]
fn a_removed_device_is_out_of_the_broker_within_a_second_and_stays_out() {
    removed_is_out(&House::by_broker(), "the NAS does not know this device");
}

fn removed_is_out(house: &House, words: &str) {
    let (_forward, at) = house.forward(&house.phone, "echo");
    let mut stream = TcpStream::connect(&at).unwrap();
    stream.write_all(b"never answered").unwrap();
    wait("the stream is open", || house.carriers() == 1);
    let (status, _) = house.lab.ask("DELETE", "/v1/devices/d1", &Value::Null);
    let began = Instant::now();
    assert_eq!(status, 200);
    assert_eq!(house.carriers(), 0, "gone when the removal is answered");
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    let most = if runner().is_some() { 5 } else { 1 };
    assert!(began.elapsed() < Duration::from_secs(most), "{:?}", began.elapsed());
    let again = house.client(&house.phone, &["services"]).output().unwrap();
    assert_eq!(again.status.code(), Some(3));
    let told = String::from_utf8_lossy(&again.stdout);
    assert!(told.contains(words), "{told}");
}

#[test]
fn strangers_get_nothing_and_write_nothing() {
    let mut house = House::new();
    let before = (house.lab.flash(), house.lab.get("/v1/status")["findings"].clone());
    // A device of the same broker whose pairing was with another NAS: the right NAS's key, a key of its own that is not paired.
    let stranger = house.lab.fresh_phone();
    let mut other = Lab::online();
    let paired_elsewhere = other.paired_phone("eve");
    let told = house.client(&paired_elsewhere, &["services"]).output().unwrap();
    assert_eq!(told.status.code(), Some(3), "another NAS answers there, by its key");
    assert_eq!(house.client(&stranger, &["services"]).output().unwrap().status.code(), Some(1));
    // Bytes that are no handshake, half a handshake, silence.
    let mut hanging = Vec::new();
    for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"", &[0; 20_000]] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(&house.at).unwrap();
            let _ = stream.write_all(junk);
            hanging.push(stream);
        }
    }
    drop(hanging);
    // The door is open for those who belong here all the same.
    wait("the phone gets in", || {
        house.client(&house.phone, &["services"]).output().unwrap().status.success()
    });
    let status = house.lab.get("/v1/status");
    assert!(status["remote"]["refused"].as_u64().unwrap() >= 30, "{}", status["remote"]);
    assert_eq!((house.lab.flash(), status["findings"].clone()), before);
}

#[test]
fn a_port_that_is_taken_is_a_finding_and_not_the_end() {
    let mut lab = Lab::new();
    let taken = TcpListener::bind("[::]:0").unwrap();
    lab.more = format!(
        "[remote]\nannounce = false\nmap_port = false\nport = {}\n",
        taken.local_addr().unwrap().port()
    );
    lab.start_broker();
    lab.start_agent();
    lab.wait_online();
    let status = lab.get("/v1/status");
    let codes: Vec<&str> =
        status["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"remote-port-taken"), "{codes:?}");
    assert!(status["remote"].get("port").is_none(), "{}", status["remote"]);
}
