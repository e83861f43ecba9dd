//! One request to the control socket, over a plain blocking stream: the command line needs no more. A shell.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest answer.
const ANSWER_MAX: usize = 1 << 20;
/// Longest wait: the agent itself gives up after 30 s.
const WAIT_MAX: Duration = Duration::from_secs(40);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody answers on the socket.
    #[error("the agent cannot be reached at {socket}: {why}")]
    NotReachable {
        /// Which socket.
        socket: String,
        /// In words, with what to do.
        why: String,
    },
    /// This user may not even look.
    #[error("{socket}: you may not use this socket; run it as root or join the group of the socket")]
    NotPermitted {
        /// Which socket.
        socket: String,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("the agent's answer is of no use: {0}")]
    Broken(String),
}

fn connect(socket: &Path) -> Result<UnixStream, CallError> {
    let name = socket.display().to_string();
    let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => CallError::NotPermitted { socket: name.clone() },
        io::ErrorKind::NotFound => CallError::NotReachable {
            socket: name.clone(),
            why: "there is no socket; is the agent running?".into(),
        },
        io::ErrorKind::ConnectionRefused => CallError::NotReachable {
            socket: name.clone(),
            why: "the agent that made the socket is gone; start it again".into(),
        },
        _ => CallError::NotReachable { socket: name.clone(), why: error.to_string() },
    })?;
    stream
        .set_read_timeout(Some(WAIT_MAX))
        .and_then(|()| stream.set_write_timeout(Some(WAIT_MAX)))
        .map_err(broken)?;
    Ok(stream)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn broken(error: io::Error) -> CallError {
    CallError::Broken(error.to_string())
}

fn send(
    stream: &mut UnixStream,
    method: &str,
    target: &str,
    extra: &str,
    body: &[u8],
) -> Result<(), CallError> {
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{extra}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).map_err(broken)
}

/// Asks, and waits for the whole answer.
///
/// # Errors
/// [`CallError`].
pub fn call(socket: &Path, method: &str, target: &str, body: &[u8]) -> Result<Answer, CallError> {
    let mut stream = connect(socket)?;
    send(&mut stream, method, target, "", body)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_MAX as u64 + 1).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() > ANSWER_MAX {
        return Err(CallError::Broken("it is too long".into()));
    }
    let (status, head) = head(&bytes)?.ok_or_else(|| CallError::Broken("it ends in the middle".into()))?;
    Ok(Answer { status, body: bytes.split_off(head) })
}

/// Status and length of the head, once it is whole.
fn head(bytes: &[u8]) -> Result<Option<(u16, usize)>, CallError> {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => Ok(Some((response.code.unwrap_or(0), length))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(CallError::Broken(error.to_string())),
    }
}

/// Follows the events: `each` gets kind and JSON; it says whether to go on. `seen`: the last one that is known.
///
/// # Errors
/// [`CallError`]; the end of the stream is none.
pub fn follow(
    socket: &Path,
    seen: u64,
    idle: Option<Duration>,
    each: &mut dyn FnMut(&str, &str) -> bool,
) -> Result<(), CallError> {
    let mut stream = connect(socket)?;
    send(&mut stream, "GET", "/v1/events", &format!("Last-Event-ID: {seen}\r\n"), b"")?;
    // The agent sends a sign of life each 15 s.
    stream.set_read_timeout(Some(idle.unwrap_or(WAIT_MAX))).map_err(broken)?;
    let mut text = String::new();
    let mut kind = String::new();
    let mut buffer = [0u8; 4096];
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if idle.is_some() && is_timeout(&error) => return Ok(()),
            Err(error) => return Err(broken(error)),
        };
        text.push_str(&String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()));
        if text.len() > ANSWER_MAX {
            return Err(CallError::Broken("an event is too long".into()));
        }
        while let Some(end) = text.find('\n') {
            let line: String = text.drain(..=end).collect();
            // Chunk sizes and ids are of no interest: the lines tell themselves apart.
            if let Some(word) = line.strip_prefix("event: ") {
                kind = word.trim_end().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ")
                && !each(&kind, data.trim_end())
            {
                return Ok(());
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
