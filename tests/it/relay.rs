//! The way through a broker that is not to be trusted: somebody stands between the NAS and its device and does to their
//! messages whatever can be done. What arrives is right or nothing; nobody gets in who should not; nothing is written.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use moorline::config::broker::BrokerUrl;
use moorline::identity::Identity;
use moorline::pairing::handshake::encode;
use moorline::pairing::notice::{Knock, Say};
use moorline::random::{Seeded, below};
use moorline::session::io::dns::Overrides;
use moorline::session::io::link::Link;
use moorline::session::io::{Account, Endpoint};
use moorline::session::packet::Inbound;
use moorline::session::tls::{Judged, Roots};
use moorline::session::topics::Topic;
use moorline::units::UnixSeconds;
use serde_json::Value;

use super::hostile::{descriptors, resident_kib};
use super::lab::{Lab, wait};
use super::remote::House;

/// What is done to the frames of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Alter,
    Drop,
    Repeat,
    Swap,
    Truncate,
    Lengthen,
}

const HARMS: [Harm; 6] = [Harm::Alter, Harm::Drop, Harm::Repeat, Harm::Swap, Harm::Truncate, Harm::Lengthen];

/// What the one between is to do.
enum Order {
    /// This, once, to a frame of this direction (`u`, `d`) that is `bytes` long at least, the `nth` from now.
    Harm {
        harm: Harm,
        way: char,
        bytes: usize,
        nth: u32,
    },
    /// Publish this.
    Say(Topic, Vec<u8>),
    End,
}

/// Carries everything between the topics of `evil` and of `moorline`, as ordered, until the end. What was carried is told.
struct Between {
    orders: Sender<Order>,
    carried: Receiver<(String, Vec<u8>)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Between {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Between {
    fn new(lab: &Lab) -> Self {
        let url: BrokerUrl = format!("mqtts://localhost:{}", lab.port).parse().unwrap();
        let ca = fs::read(lab.path("broker/ca.pem")).unwrap();
        let password = zeroize::Zeroizing::new(lab.text("broker/nas.password").into_bytes());
        let login = Account { user: "nas".into(), password };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let judged = Judged::new(UnixSeconds(now));
        let endpoint = Endpoint::new(&url, Roots::Pem(&ca), None, judged, Some(login)).unwrap();
        let (orders, ordered) = channel();
        let (tell, carried) = channel();
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            smol::block_on(async {
                let mut link =
                    Link::open(endpoint, Overrides::default(), None, &mut Seeded::new(77)).await.unwrap();
                for filter in ["evil/n/+/knock", "evil/c/+/u", "moorline/c/+/d"] {
                    link.subscribe(&Topic::try_from(filter).unwrap()).await.unwrap();
                }
                ready.send(()).unwrap();
                carry(&mut link, &ordered, &tell).await;
            });
        });
        is_ready.recv_timeout(Duration::from_secs(30)).unwrap();
        Self { orders, carried, thread: Some(thread) }
    }
}

async fn carry(link: &mut Link, orders: &Receiver<Order>, tell: &Sender<(String, Vec<u8>)>) {
    let mut waiting: Option<(Harm, char, usize, u32)> = None;
    let mut held: Option<(Topic, Vec<u8>)> = None;
    loop {
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Harm { harm, way, bytes, nth } => waiting = Some((harm, way, bytes, nth)),
                Order::Say(topic, payload) => link.publish(topic, payload),
                Order::End => return,
            }
        }
        let next = std::future::poll_fn(|cx| link.poll_packet(cx));
        let packet = smol::future::or(async { Some(next.await) }, async {
            smol::Timer::after(Duration::from_millis(20)).await;
            None
        })
        .await;
        let Some(packet) = packet else { continue };
        let Ok(Inbound::Message { topic, mut payload, .. }) = packet else { panic!("{packet:?}") };
        let to = match topic.strip_prefix("evil/") {
            Some(rest) => format!("moorline/{rest}"),
            None => topic.replacen("moorline/", "evil/", 1),
        };
        let _ = tell.send((to.clone(), payload.clone()));
        let to = Topic::try_from(to.as_str()).unwrap();
        if let Some((topic, before)) = held.take_if(|(topic, _)| *topic == to) {
            // The one behind goes first.
            link.publish(to, payload);
            link.publish(topic, before);
            continue;
        }
        if let Some((harm, way, bytes, nth)) = &mut waiting
            && to.ends_with(*way)
            && to.contains("/c/")
            && payload.len() >= *bytes
        {
            if *nth > 0 {
                *nth -= 1;
            } else {
                let (harm, length) = (*harm, payload.len());
                waiting = None;
                match harm {
                    Harm::Alter => payload[length / 2] ^= 1,
                    Harm::Drop => continue,
                    Harm::Repeat => link.publish(to.clone(), payload.clone()),
                    Harm::Swap => {
                        held = Some((to, payload));
                        continue;
                    }
                    Harm::Truncate => payload.truncate(length - 1),
                    Harm::Lengthen => payload.push(7),
                }
            }
        }
        link.publish(to, payload);
    }
}

/// A house whose phone speaks to the NAS only through the one between.
fn betrayed() -> (House, Between) {
    let house = House::by_broker_with(|lab| {
        let acl = lab.path("broker/acl");
        let more = "\nuser nas\ntopic readwrite evil/#\ntopic readwrite moorline/c/#\nuser device\ntopic readwrite evil/#\n";
        fs::write(&acl, fs::read_to_string(&acl).unwrap() + more).unwrap();
    });
    let state = house.phone.state();
    let file = fs::read_dir(state)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_string_lossy().contains("nas-"));
    let file = file.unwrap();
    let mut pairing: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    pairing["broker"]["prefix"] = "evil".into();
    fs::write(&file, pairing.to_string()).unwrap();
    let between = Between::new(&house.lab);
    (house, between)
}

/// Sends bytes to the echo and gives what came back; an end before all is there is an end.
fn echoed(at: &str, sent: &[u8]) -> Vec<u8> {
    let mut back = Vec::new();
    let Ok(mut stream) = TcpStream::connect(at) else { return back };
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut writing = stream.try_clone().unwrap();
    let bytes = sent.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = writing.write_all(&bytes);
        let _ = writing.shutdown(Shutdown::Write);
    });
    let _ = stream.read_to_end(&mut back);
    let _ = writer.join();
    back
}

#[test]
fn a_broker_that_alters_drops_repeats_reorders_or_cuts_frames_gets_nothing_wrong_through() {
    let (house, between) = betrayed();
    let flash = house.lab.flash();
    let sent: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let (_forward, at) = house.forward(&house.phone, "echo");
    assert!(echoed(&at, &sent) == sent, "it carries as long as it is honest");
    let mut random = Seeded::new(5);
    let mut broken = 0;
    for harm in HARMS {
        for way in ['u', 'd'] {
            let nth = below(&mut random, 8) as u32;
            between.orders.send(Order::Harm { harm, way, bytes: 1000, nth }).unwrap();
            let back = echoed(&at, &sent);
            assert!(sent.starts_with(&back), "{harm:?} {way}: {} bytes, some wrong", back.len());
            broken += u32::from(back != sent);
            // The next connection finds a way of its own.
            assert!(echoed(&at, &sent) == sent, "{harm:?} {way}: and it goes on");
        }
    }
    assert_eq!(broken, 12, "each harm ended what it was done to");
    assert_eq!(house.lab.flash(), flash);
    assert_eq!(house.lab.get("/v1/cloud")["online"], true, "the session had no part in it");
}

#[test]
fn what_a_device_once_said_opens_nothing_when_it_is_said_again() {
    let (mut house, between) = betrayed();
    {
        let (_forward, at) = house.forward(&house.phone, "echo");
        assert!(echoed(&at, b"once") == b"once");
    }
    wait("the carrier is gone", || house.carriers() == 0);
    let said: Vec<(String, Vec<u8>)> =
        between.carried.try_iter().filter(|(to, _)| to.starts_with("moorline")).collect();
    assert!(said.iter().any(|(to, _)| to.ends_with("/knock")) && said.len() > 4);
    let say = || {
        for (to, payload) in &said {
            let topic = Topic::try_from(to.as_str()).unwrap();
            between.orders.send(Order::Say(topic, payload.clone())).unwrap();
            // The NAS has to be there to hear it.
            std::thread::sleep(Duration::from_millis(150));
        }
    };
    let (flash, before) = (house.lab.flash(), house.lab.get("/v1/status")["remote"].clone());
    say();
    assert_eq!(house.lab.get("/v1/status")["remote"], before, "the knock is known");
    // What is known is in memory only.
    house.lab.kill_agent();
    house.lab.start_agent();
    house.lab.wait_online();
    say();
    let remote = || house.lab.get("/v1/status")["remote"].clone();
    wait("the NAS has tried and given up", || remote()["refused"] == 1);
    assert_eq!(remote()["accepted"], 0);
    assert_eq!((house.carriers(), house.lab.flash()), (0, flash));
}

#[test]
fn a_flood_of_knocks_opens_nothing_grows_nothing_and_keeps_nobody_out() {
    let (house, between) = betrayed();
    let nas = house.lab.get("/v1/status")["nas"]["id"].as_str().unwrap().to_owned();
    let topic = Topic::try_from(format!("moorline/n/{nas}/knock").as_str()).unwrap();
    let (flash, pid) = (house.lab.flash(), house.lab.agent_pid());
    // A real knock of the real phone, to be repeated.
    let told = house.client(&house.phone, &["services"]).output().unwrap();
    assert!(told.status.success());
    let own = between.carried.try_iter().find(|(to, _)| to.ends_with("/knock")).unwrap().1;
    let mut random = Seeded::new(3);
    let mut sizes = Vec::new();
    for round in 0..4u8 {
        for n in 0..400u16 {
            let stranger = Identity::from_pkcs8(&Identity::generate_pkcs8().unwrap()).unwrap();
            let mut nonce = [round; 16];
            nonce[..2].copy_from_slice(&n.to_be_bytes());
            let signed = encode(&Knock::new(&stranger, &nas.parse().unwrap(), Say::Carry, nonce));
            let mut forged = own.clone();
            let at = below(&mut random, forged.len() as u64) as usize;
            forged[at] ^= 0x10;
            for payload in [signed, forged, own.clone()] {
                between.orders.send(Order::Say(topic.clone(), payload)).unwrap();
            }
        }
        let told = house.client(&house.phone, &["services"]).output().unwrap();
        assert!(told.status.success(), "round {round}: {}", String::from_utf8_lossy(&told.stdout));
        sizes.push(resident_kib(pid));
    }
    assert!(sizes[3] <= sizes[1] + 1024, "{sizes:?} KiB");
    wait("what was opened is closed", || descriptors(pid) < 40 && house.carriers() == 0);
    assert_eq!(house.lab.flash(), flash);
}
