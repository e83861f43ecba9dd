//! Ten thousand malformed requests and as many malformed messages: an error or silence, no crash, no growth, no write.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use moorline::random::{Seeded, below};

use super::lab::{Lab, wait};

pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn garbage(random: &mut Seeded) -> Vec<u8> {
    const PARTS: [&str; 16] = [
        "GET ",
        "POST ",
        "/v1/codes",
        "/v1/devices/d1",
        "/v1/users/",
        " HTTP/1.1\r\n",
        "\r\n",
        "Content-Length: ",
        "5",
        "99999",
        "{\"user\":",
        "\"anna\"}",
        "\0",
        "%ff",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
    ];
    let mut bytes = Vec::new();
    for _ in 0..below(random, 12) {
        match below(random, 3) {
            0 => bytes.push(below(random, 256) as u8),
            _ => bytes.extend_from_slice(PARTS[below(random, 16) as usize].as_bytes()),
        }
    }
    bytes
}

#[test]
fn ten_thousand_malformed_requests_change_nothing() {
    let lab = Lab::online();
    lab.add_user("anna");
    let (socket, pid) = (lab.path("control.sock"), lab.agent_pid());
    let mut random = Seeded::new(7);
    let flash = lab.flash();
    let mut rss = 0;
    for i in 0..10_000 {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The agent may answer and close while we still write.
        let _ = stream.write_all(&garbage(&mut random));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        if !answer.is_empty() {
            let text = String::from_utf8_lossy(&answer);
            let status: u16 = text[9..12].parse().unwrap();
            assert!(
                status >= 400 || status == 100 || text.contains("\"devices\"") || status == 200,
                "{text}"
            );
        }
        if i == 2000 {
            rss = resident_kib(pid);
        }
    }
    wait("connections are given back", || descriptors(pid) < 30);
    assert!(resident_kib(pid) <= rss + 1024, "{} KiB, {rss} KiB after the first 2000", resident_kib(pid));
    assert!(lab.flash() == flash);
    assert_eq!(lab.get("/v1/cloud")["online"], true);
}

/// A broker client that may write everywhere: an operator's own account gone rogue, as bad as it gets.
fn flood(lab: &Lab, topic: &str, messages: &[Vec<u8>]) {
    // One message a line: zero bytes and line ends cannot be sent this way, so they are left out.
    let password = lab.text("broker/nas.password");
    let mut publisher = Command::new("mosquitto_pub")
        .args([
            "-h",
            "localhost",
            "-p",
            &lab.port.to_string(),
            "-u",
            "nas",
            "-P",
            &password,
            "-t",
            topic,
            "-l",
            "--cafile",
        ])
        .arg(lab.path("broker/ca.pem"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = publisher.stdin.take().unwrap();
    for message in messages {
        let line: Vec<u8> = message.iter().copied().filter(|b| !matches!(b, 0 | b'\n')).collect();
        stdin.write_all(&line).unwrap();
        stdin.write_all(b"\n").unwrap();
    }
    drop(stdin);
    assert!(publisher.wait().unwrap().success());
}

#[test]
fn ten_thousand_malformed_messages_on_every_topic_change_nothing() {
    let mut lab = Lab::new();
    lab.start_broker();
    // The rogue account may write into mailboxes too.
    let acl = lab.path("broker/acl");
    let rules = std::fs::read_to_string(&acl)
        .unwrap()
        .replace("topic read moorline/p/+/n", "topic readwrite moorline/p/+/n");
    std::fs::write(&acl, rules).unwrap();
    lab.stop_broker();
    lab.start_broker();
    lab.start_agent();
    lab.wait_online();
    let phone = lab.paired_phone("anna");
    let code = lab.code("anna");
    let id = lab.get("/v1/status")["nas"]["id"].as_str().unwrap().to_owned();
    let mailbox = code["code"].as_str().unwrap().replace('-', "")[..5].to_owned();
    wait("the mailbox is open", || {
        lab.text("broker/broker.log").contains(&format!("moorline/p/{mailbox}/n"))
    });
    let mut random = Seeded::new(9);
    let (flash, pid) = (lab.flash(), lab.agent_pid());
    let before = lab.get("/v1/cloud")["counters"]["messages_received"].as_u64().unwrap();
    let mut rss = 0;
    for round in 0..4 {
        for topic in [
            format!("moorline/n/{id}/knock"),
            format!("moorline/p/{mailbox}/n"),
            format!("moorline/n/{id}/echo"),
        ] {
            let message = |random: &mut Seeded| -> Vec<u8> {
                // Half of them look like our own messages at the start.
                let mut bytes: Vec<u8> = (0..below(random, 300)).map(|_| below(random, 256) as u8).collect();
                if let [version, kind, ..] = bytes.as_mut_slice() {
                    (*version, *kind) = (1, *kind % 3);
                }
                bytes
            };
            let messages: Vec<Vec<u8>> = (0..850).map(|_| message(&mut random)).collect();
            flood(&lab, &topic, &messages);
        }
        if round == 0 {
            rss = resident_kib(pid);
        }
    }
    // Echoes are not handed to the agent, and what is in flight needs a moment.
    wait("they were all read", || {
        lab.get("/v1/cloud")["counters"]["messages_received"].as_u64().unwrap() >= before + 6_000
    });
    assert!(resident_kib(pid) <= rss + 1024, "{} KiB, {rss} KiB after the first round", resident_kib(pid));
    assert!(lab.flash() == flash, "nothing a stranger does reaches the flash");
    assert_eq!(lab.get("/v1/cloud")["counters"]["failures"], 0);
    assert_eq!(phone.standing(), "paired");
    let fresh = lab.fresh_phone();
    assert!(fresh.pair(code["code"].as_str().unwrap()).status().unwrap().success(), "the code still works");
}

#[test]
fn five_wrong_codes_over_the_broker_burn_the_code_with_one_record() {
    let mut lab = Lab::online();
    lab.add_user("anna");
    let code = lab.code("anna")["code"].as_str().unwrap().to_owned();
    let records = lab.get("/v1/status")["store"]["records"].as_u64().unwrap();
    let mut guesses = 0;
    let symbols: Vec<char> = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().collect();
    for (i, a) in symbols.iter().enumerate() {
        // The same mailbox, another secret, a check symbol that fits.
        let head = format!("{}{a}ZZZZZ", &code.replace('-', "")[..5]);
        let guess = symbols
            .iter()
            .map(|c| format!("{head}{c}"))
            .find(|g| moorline::pairing::code::Code::parse(g).is_ok())
            .unwrap();
        let done = lab.fresh_phone().pair(&guess).output().unwrap();
        assert!(!done.status.success());
        let text = String::from_utf8(done.stdout).unwrap();
        if i < 5 {
            assert!(text.contains("the code is wrong"), "{text}");
            guesses += 1;
        } else {
            assert!(text.contains("burned"), "{text}");
            break;
        }
    }
    assert_eq!((guesses, lab.states()), (5, vec!["burned".to_owned()]));
    assert_eq!(lab.get("/v1/status")["store"]["records"].as_u64(), Some(records + 1));
}
