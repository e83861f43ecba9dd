//! Pairing at the NAS's own door, on the LAN: the messages of the exchange over TCP, without any broker. A shell.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

use super::exchange::{Exchange, Outcome};
use crate::pairing::code::Code;
use crate::random::Random;
use crate::remote::io::visit::{receive, send};
use crate::remote::visit::greeting;
use crate::sys::clock::timely;

/// For TCP to open.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For the NAS to answer a message.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// For the NAS to see that we are done.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// How long a door that did not let us through is left alone.
const PAUSE: Duration = Duration::from_millis(500);
/// Visits that end without a word, until it is plain that the code is not known there.
const SILENT_MAX: u32 = 3;
/// The same once the NAS has proved that it knows the code: then the network is to blame.
const BROKEN_MAX: u32 = 20;

/// Why a meeting came to nothing. What was asked for can still be finished later.
#[derive(Debug, thiserror::Error)]
pub enum Missed {
    /// Nobody is at any of the addresses.
    #[error("the NAS is not at {0}: {1}")]
    Away(SocketAddr, io::Error),
    /// The door closes.
    #[error("the NAS at {0} does not know this code now: it has expired, was used, or is another one")]
    Unknown(SocketAddr),
    /// The name led to no address.
    #[error("the name of the NAS leads to no address")]
    Nowhere,
    /// What has to be kept on this side cannot be.
    #[error("{0}")]
    Unkept(String),
}

/// How one visit ended without an outcome.
enum Ended {
    /// The door could not be reached, or the connection was lost on the way.
    Lost(io::Error),
    /// It closed after our message.
    Silent,
    /// See [`Missed::Unkept`].
    Unkept(String),
}

/// Until there is an outcome or the time is up. `keep` has the exchange on disk when it returns.
///
/// # Errors
/// [`Missed`].
pub async fn meet(
    addresses: &[SocketAddr],
    code: &Code,
    exchange: &mut Exchange<'_>,
    deadline: Instant,
    random: &mut dyn Random,
    keep: &mut dyn FnMut(&Exchange<'_>) -> Result<(), String>,
) -> Result<Outcome, Missed> {
    let mut silent = 0;
    loop {
        let mut missed = Missed::Nowhere;
        for address in addresses {
            missed = match visit(*address, code, exchange, random, keep).await {
                Ok(outcome) => return Ok(outcome),
                Err(Ended::Unkept(why)) => return Err(Missed::Unkept(why)),
                Err(Ended::Lost(error)) => Missed::Away(*address, error),
                Err(Ended::Silent) => {
                    silent += 1;
                    Missed::Unknown(*address)
                }
            };
        }
        let most = if exchange.asked().is_some() { BROKEN_MAX } else { SILENT_MAX };
        if addresses.is_empty() || silent >= most || Instant::now() + PAUSE >= deadline {
            return Err(missed);
        }
        smol::Timer::after(PAUSE).await;
    }
}

async fn visit(
    address: SocketAddr,
    code: &Code,
    exchange: &mut Exchange<'_>,
    random: &mut dyn Random,
    keep: &mut dyn FnMut(&Exchange<'_>) -> Result<(), String>,
) -> Result<Outcome, Ended> {
    let mut stream = timely(CONNECT_MAX, TcpStream::connect(address)).await.map_err(Ended::Lost)?;
    let _ = stream.set_nodelay(true);
    let greeting = greeting(code.rendezvous());
    timely(ANSWER_MAX, stream.write_all(&greeting)).await.map_err(Ended::Lost)?;
    loop {
        if let Some(message) = exchange.outgoing() {
            timely(ANSWER_MAX, send(&mut stream, message)).await.map_err(Ended::Lost)?;
        }
        if let Some(outcome) = exchange.outcome() {
            // The NAS closes when it has heard it. If it has not, it keeps the answer for another day, which hurts nobody.
            let _ = timely(FAREWELL_MAX, stream.read(&mut [0])).await;
            return Ok(outcome);
        }
        let answer = timely(ANSWER_MAX, receive(&mut stream)).await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Ended::Silent,
            _ => Ended::Lost(error),
        })?;
        if exchange.handle_message(&answer, random) {
            // On disk before it is sent: from here on the NAS may have paired us.
            keep(exchange).map_err(Ended::Unkept)?;
        } else {
            // Not an answer to what we said: this is no NAS, or it speaks to somebody else.
            return Err(Ended::Silent);
        }
    }
}
