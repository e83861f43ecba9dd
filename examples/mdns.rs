//! Multicast DNS on its own, for scripts/lab-mdns and for looking at a LAN. Lines of JSON.
//!
//! `mdns announce NAME PORT ID` until stdin ends; `mdns browse SECONDS`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people and scripts")]

use std::process::ExitCode;
use std::time::Duration;

use moorline::remote::io::mdns::{Announcer, Received, browse};
use moorline::remote::mdns::Profile;
use moorline::sys::clock::mono;
use moorline::sys::random::System;
use serde_json::json;

enum Woken {
    Packet(Received),
    Due,
    Changed,
    Ended,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["announce", name, port, id] => match (port.parse(), id.parse()) {
            (Ok(port), Ok(id)) => smol::block_on(announce(Profile { name: (*name).to_owned(), id, port })),
            _ => Err(std::io::Error::other("not a port or not an id")),
        },
        ["browse", seconds] => smol::block_on(look(seconds.parse().unwrap_or(3))),
        _ => Err(std::io::Error::other("announce NAME PORT ID | browse SECONDS")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mdns: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn look(seconds: u64) -> std::io::Result<()> {
    let found = browse(Duration::from_secs(seconds), &mut System::new(), |_| false).await?;
    for one in found {
        println!(
            "{}",
            json!({"id": one.id.as_str(), "name": one.name, "addresses": one.addresses.as_slice()})
        );
    }
    Ok(())
}

async fn announce(profile: Profile) -> std::io::Result<()> {
    let mut random = System::new();
    let bell = moorline::session::io::network::Bell::new()?;
    let mut stdin = smol::Unblock::new(std::io::stdin());
    let mut announcer = Announcer::new(profile, mono(), &mut random)?;
    let mut shown = String::new();
    loop {
        let names: Vec<_> = announcer
            .responders()
            .map(|r| json!({"name": r.instance().as_str(), "running": r.is_running()}))
            .collect();
        let line = json!({"interfaces": names}).to_string();
        if line != shown {
            println!("{line}");
            shown = line;
        }
        let mut byte = [0];
        let packet = async { Woken::Packet(std::future::poll_fn(|cx| announcer.poll_packet(cx)).await) };
        let changed = async {
            std::future::poll_fn(|cx| bell.poll_rung(cx)).await;
            Woken::Changed
        };
        let due = async {
            match announcer.poll_timeout() {
                Some(at) => smol::Timer::after(at.since(mono())).await,
                None => std::future::pending().await,
            };
            Woken::Due
        };
        let ended = async {
            let _ = smol::io::AsyncReadExt::read(&mut stdin, &mut byte).await;
            Woken::Ended
        };
        let woken = smol::future::or(smol::future::or(packet, changed), smol::future::or(due, ended)).await;
        match woken {
            Woken::Packet(packet) => announcer.handle_packet(mono(), &packet, &mut random),
            Woken::Due => announcer.handle_timeout(mono()),
            Woken::Changed => announcer.handle_network_change(mono(), &mut random),
            Woken::Ended => break,
        }
    }
    announcer.handle_end();
    Ok(())
}
