//! Keeps one port mapping and prints each change of its status as a line of JSON, for scripts/lab-portmap. Not shipped.
//!
//! Usage: portmap GATEWAY INTERNAL EXTERNAL. SIGTERM ends the mapping, then the program.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use async_io::Timer;
use moorline::portmap::io::{Asker, Report, way};
use moorline::portmap::keeper::{Keeper, Status, Wish};
use moorline::random;
use moorline::sys::clock::mono;
use moorline::sys::random::System;
use moorline::sys::signals::Termination;
use serde_json::{Value, json};

enum Event {
    Terminate,
    Report(Report),
    Timer,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [gateway, internal, external] = words.as_slice() else { return ExitCode::from(2) };
    let (Ok(gateway), Ok(internal), Ok(external)) = (gateway.parse(), internal.parse(), external.parse())
    else {
        return ExitCode::from(2);
    };
    match smol::block_on(keep(gateway, Wish::Map { internal, external })) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn keep(gateway: Ipv4Addr, wish: Wish) -> std::io::Result<()> {
    let mut termination = Termination::new()?;
    let (mut random, mut asker) = (System::new(), Asker::new());
    let mut keeper = Keeper::new(mono(), random::bytes(&mut random));
    keeper.handle_way(mono(), way(Some(gateway.into())), &mut random);
    keeper.handle_wish(mono(), wish, &mut random);
    let mut is_ending = false;
    loop {
        while let Some(action) = keeper.poll_action() {
            asker.carry_out(action);
        }
        if let Some(status) = keeper.poll_change() {
            writeln!(std::io::stdout(), "{}", told(status))?;
        }
        if is_ending && keeper.is_idle() {
            return Ok(());
        }
        match next(&mut termination, &mut asker, &keeper).await {
            Event::Terminate => {
                is_ending = true;
                keeper.handle_wish(mono(), Wish::Off, &mut random);
            }
            Event::Report(Report::Answer(answer)) => keeper.handle_answer(mono(), answer, &mut random),
            Event::Report(Report::Announced { from, epoch_s }) => {
                keeper.handle_announcement(mono(), from, epoch_s, &mut random);
            }
            Event::Timer => keeper.handle_timeout(mono(), &mut random),
        }
    }
}

async fn next(termination: &mut Termination, asker: &mut Asker, keeper: &Keeper) -> Event {
    let left = keeper.poll_timeout().map(|at| at.since(mono()) + Duration::from_millis(1));
    let mut timer = left.map_or_else(Timer::never, Timer::after);
    poll_fn(|cx| {
        if termination.poll_asked(cx).is_ready() {
            return Poll::Ready(Event::Terminate);
        }
        if let Poll::Ready(report) = asker.poll_report(cx) {
            return Poll::Ready(Event::Report(report));
        }
        Pin::new(&mut timer).poll(cx).map(|_| Event::Timer)
    })
    .await
}

fn told(status: &Status) -> Value {
    match status {
        Status::Off => json!({ "status": "off" }),
        Status::NoRouter => json!({ "status": "no-router" }),
        Status::Trying => json!({ "status": "trying" }),
        Status::Refused(why) => json!({ "status": "refused", "why": why.to_string() }),
        Status::Mapping(mapping) => json!({
            "status": "mapping",
            "means": mapping.means.to_string(),
            "address": mapping.outside.address(),
            "port": mapping.port,
            "reachable": mapping.is_reachable(),
            "expires_ms": mapping.expires.map(|at| at.as_millis()),
        }),
    }
}
