//! Asking time servers. A shell over [`sntp`](crate::session::sntp).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::datagram::connected;
use super::dns::{Overrides, look_up};
use crate::random;
use crate::session::sntp::{MESSAGE, PORT, request, response};
use crate::sys::clock;
use crate::sys::random::System;
use crate::units::{Mono, UnixSeconds};

/// Longest wait for one answer; each server is asked twice.
const ANSWER_MAX: Duration = Duration::from_millis(1000);

/// What a time server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The time.
    pub at: UnixSeconds,
    /// When it came.
    pub mono: Mono,
    /// Who said it.
    pub by: IpAddr,
}

/// The first of `hosts` that tells the time.
pub async fn ask_any(hosts: Vec<String>, overrides: Overrides) -> Option<Told> {
    for host in hosts {
        let Ok(addresses) = look_up(&host, &overrides).await else { continue };
        for address in addresses.into_iter().take(2) {
            for _ in 0..2 {
                if let Ok(told) = ask(address).await {
                    return Some(told);
                }
            }
        }
    }
    None
}

async fn ask(server: IpAddr) -> io::Result<Told> {
    let socket = connected((server, PORT).into())?;
    let cookie = random::bytes(&mut System::new());
    socket.send(&request(cookie)).await?;
    let answer = async {
        loop {
            let mut buffer = [0; MESSAGE + 64];
            let n = socket.recv(&mut buffer).await?;
            // Whoever sent anything else, the answer may still come.
            if let Ok(at) = response(buffer.get(..n).unwrap_or_default(), cookie) {
                return Ok(Told { at, mono: clock::mono(), by: server });
            }
        }
    };
    clock::timely(ANSWER_MAX, answer).await
}
