//! What devices, and strangers, send on the way to the NAS's services: openings and their answers, frames through the broker,
//! multicast DNS.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::random::Seeded;
use moorline::remote::mdns::browser::Browser;
use moorline::remote::mdns::responder::{Profile, Responder};
use moorline::remote::mdns::Sender;
use moorline::remote::opening::{Answer, Opening, decode};
use moorline::remote::relay::frame;
use moorline::remote::relay::pipe::{Pipe, Side, WINDOW_MAX};
use moorline::units::Mono;

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else { return };
    match which % 4 {
        0 => {
            let _ = decode::<Opening>(bytes);
            let _ = decode::<Answer>(bytes);
        }
        1 => {
            if let Ok(read) = frame::decode(bytes) {
                assert_eq!(read.encode().len(), bytes.len());
            }
        }
        2 => frames(bytes),
        _ => multicast(bytes),
    }
});

/// Messages of a length byte and so many bytes each; a message of none is a reader that takes something, or time that passes.
fn frames(mut bytes: &[u8]) {
    let mut pipe = Pipe::new(Side::Nas, Mono::from_millis(0), 16 * 1024);
    let (mut now, mut spare) = (1u64, WINDOW_MAX);
    let _ = pipe.write(b"some bytes that want to go");
    while let Some((&length, rest)) = bytes.split_first() {
        let (message, rest) = rest.split_at(rest.len().min(length.into()));
        bytes = rest;
        if message.is_empty() {
            now += 3_000;
            let _ = pipe.read(&mut [0; 100]);
        } else {
            pipe.handle_frame(Mono::from_millis(now), message, &mut spare);
        }
        pipe.handle_timeout(Mono::from_millis(now));
        let mut sent = 0;
        while let Some(frame) = pipe.poll_frame(Mono::from_millis(now)) {
            assert!(frame::decode(&frame).is_ok());
            sent += 1;
            assert!(sent < 100, "it says more than it has");
        }
    }
}

fn multicast(bytes: &[u8]) {
    let now = Mono::from_millis(10_000);
    let mut random = Seeded::new(1);
    // From a responder, from a plain resolver, and from a host whose address says nothing.
    for (port, near) in [(5353, true), (40_000, true), (5353, false)] {
        multicast_from(now, Sender { address: ([192, 0, 2, 9], port).into(), own: false, near }, bytes, &mut random);
    }
}

fn multicast_from(now: Mono, from: Sender, bytes: &[u8], random: &mut Seeded) {
    let mut browser = Browser::new(now, random);
    browser.handle_packet(now, 1, from, bytes);
    let _ = browser.found().count();
    let id = "0123456789abcdefghjk".parse().expect("an id");
    let mut responder = Responder::new(Profile { name: "Test NAS".into(), id, port: 46_800 });
    responder.handle_addresses(now, &[[192, 0, 2, 1].into()], random);
    // While it asks for its names, and when it has them.
    responder.handle_packet(now, from, bytes, random);
    while let Some(due) = responder.poll_timeout().filter(|due| due.since(now).as_secs() < 60) {
        responder.handle_timeout(due);
        while responder.poll_packet().is_some() {}
    }
    let later = Mono::from_millis(100_000);
    responder.handle_packet(later, from, bytes, random);
    while let Some(packet) = responder.poll_packet() {
        assert!(packet.bytes.len() <= 1440);
        assert!(packet.to.is_none() || from.near);
    }
}
