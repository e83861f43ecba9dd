//! A visit at the door to pair, at the NAS's end: messages in, the desk's answers out. A shell.

use std::io;
use std::time::Duration;

use smol::channel::Sender;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::messages;
use crate::remote::visit::{self, GREETING, MESSAGES_MAX, Mailbox};
use crate::sys::clock::{timely, within};

/// For the whole of it: a person has typed the code already, so only machines are waited for.
const VISIT_MAX: Duration = Duration::from_secs(60);
/// For the greeting, and for each message.
const MESSAGE_MAX: Duration = Duration::from_secs(10);
/// How long a visit that came to nothing keeps its seat: who tries mailboxes one after the other is slow.
const MISS: Duration = Duration::from_secs(1);
/// For the agent's loop to answer: longer than the slowest commit.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A pairing message for the agent's loop.
#[derive(Debug)]
pub struct Visit {
    /// The mailbox that the visitor named.
    pub mailbox: Mailbox,
    /// What would have been published to it.
    pub message: Vec<u8>,
    /// Whether it came from this network.
    pub is_near: bool,
    /// Takes one word.
    pub reply: Sender<Told>,
}

/// What is said to a visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// This.
    Answer(Vec<u8>),
    /// Nothing more: the phone has what it came for.
    Over,
    /// Nothing: no such mailbox, or no message.
    Nothing,
}

/// Serves one visitor. Whether it was ever answered.
pub(super) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    is_near: bool,
    visits: &Sender<Visit>,
) -> bool {
    let mut answered = false;
    let visit = within(VISIT_MAX, converse(&mut stream, is_near, visits, &mut answered)).await;
    if matches!(visit, Some(Ok(false))) {
        smol::Timer::after(MISS).await;
    }
    answered
}

/// Until the visitor has gone or got what it came for; `false` if it was not understood.
async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    is_near: bool,
    visits: &Sender<Visit>,
    answered: &mut bool,
) -> io::Result<bool> {
    let mut greeting = [0; GREETING];
    timely(MESSAGE_MAX, stream.read_exact(&mut greeting)).await?;
    let Ok(mailbox) = visit::mailbox(greeting) else { return Ok(false) };
    for _ in 0..MESSAGES_MAX {
        let message = timely(MESSAGE_MAX, receive(stream)).await?;
        match ask(mailbox.clone(), message, is_near, visits).await {
            Told::Answer(answer) => timely(MESSAGE_MAX, send(stream, &answer)).await?,
            Told::Over => return Ok(true),
            Told::Nothing => return Ok(false),
        }
        *answered = true;
    }
    Ok(true)
}

async fn ask(mailbox: Mailbox, message: Vec<u8>, is_near: bool, visits: &Sender<Visit>) -> Told {
    let (reply, told) = smol::channel::bounded(1);
    let asked = async {
        visits.send(Visit { mailbox, message, is_near, reply }).await.ok()?;
        told.recv().await.ok()
    };
    within(ANSWER_MAX, asked).await.flatten().unwrap_or(Told::Nothing)
}

/// Sends a message; both ends.
///
/// # Errors
/// Those of the stream.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    messages::send_framed(stream, &visit::framed(message)).await
}

/// Receives one; both ends.
///
/// # Errors
/// Those of the stream; `InvalidData` for what is longer than any message.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    messages::receive_framed(stream, visit::length).await
}
