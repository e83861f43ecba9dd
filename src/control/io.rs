//! The control socket: connections, limits and times. A shell; what a request means is decided elsewhere.

use std::cell::Cell;
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use smol::LocalExecutor;
use smol::channel::{Receiver, Sender};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::unix::{UnixListener, UnixStream};

use super::access::{Administrators, Rights};
use super::fault::Fault;
use super::http::{EVENTS_HEAD, EVENTS_HEARTBEAT, Parsed, Request, Response, event_chunk, parse};
use super::route::Refused;

/// Calls that wait for the agent's loop. When it is full, connections wait; they are bounded themselves.
const CALLS_MAX: usize = 8;
/// Bytes read at a time.
const READ_MAX: usize = 2048;

/// Longest times, in one place so that tests can shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For a whole request to arrive, from its first byte.
    pub request: Duration,
    /// For a connection without a request.
    pub idle: Duration,
    /// For an answer to be taken.
    pub write: Duration,
    /// For the agent's loop to answer: longer than the slowest commit.
    pub answer: Duration,
    /// Between signs of life of an event stream.
    pub heartbeat: Duration,
}

impl Times {
    /// As they ship.
    pub const USUAL: Self = Self {
        request: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(10),
        answer: Duration::from_secs(30),
        heartbeat: Duration::from_secs(15),
    };
}

/// A request for the agent's loop.
#[derive(Debug)]
pub struct Call {
    /// What its caller may do.
    pub rights: Rights,
    /// What is asked.
    pub request: Box<Request>,
    /// Takes one answer.
    pub reply: Sender<Reply>,
}

/// The answer of the loop.
#[derive(Debug)]
pub enum Reply {
    /// Here.
    Whole(Response),
    /// A stream: what happened already, then what happens. It ends when the sender is dropped, which the loop does when
    /// the reader is too slow.
    Events {
        /// Encoded events.
        first: Vec<Event>,
        /// More of them.
        rest: Receiver<Event>,
    },
}

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up.
    pub id: u64,
    /// Its kind.
    pub kind: &'static str,
    /// JSON without line ends.
    pub data: String,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A live agent answers there.
    #[error("{0}: another agent serves this socket")]
    InUse(String),
    /// Something else has that name.
    #[error("{0}: there is a file of this name that is no socket; it is left alone")]
    NotASocket(String),
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// The socket, as long as it is served. Dropped, it removes its file if that is still its own.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
}

impl Server {
    /// Opens the socket. A file left behind by an agent that was killed is replaced; a live one is not. `gid`: the group
    /// that may read; without it only root can connect.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(path: &Path, gid: Option<u32>) -> Result<Self, BindError> {
        let error = |source| BindError::Io { path: path.display().to_string(), source };
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(error)?;
        }
        clear_stale(path)?;
        let listener = UnixListener::bind(path).map_err(error)?;
        if let Some(gid) = gid {
            std::os::unix::fs::chown(path, None, Some(gid)).map_err(error)?;
        }
        // Until here the umask decides, and nobody is answered yet.
        let mode = if gid.is_some() { 0o660 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(error)?;
        let meta = fs::symlink_metadata(path).map_err(error)?;
        Ok(Self { listener, path: path.to_owned(), identity: (meta.dev(), meta.ino()) })
    }

    /// Serves on `executor`; the calls come out of the receiver. At most `max` connections at once.
    pub fn serve(
        &self,
        executor: &Rc<LocalExecutor<'static>>,
        administrators: Administrators,
        max: usize,
        times: Times,
    ) -> Receiver<Call> {
        let (calls, receiver) = smol::channel::bounded(CALLS_MAX);
        let (listener, spawner) = (self.listener.clone(), Rc::clone(executor));
        let open = Rc::new(Cell::new(0usize));
        let accept = async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of file descriptors, say: the connection stays in the queue.
                    smol::Timer::after(Duration::from_millis(100)).await;
                    continue;
                };
                let seat = Seat::take(&open, max);
                let rights = peer(&stream, &administrators);
                let calls = calls.clone();
                let connection = async move {
                    let served = match seat {
                        Some(_seat) => converse(stream, rights, &calls, times).await,
                        None => turn_away(stream, times).await,
                    };
                    if let Err(error) = served {
                        log::debug!("control: a connection ended: {error}");
                    }
                };
                spawner.spawn(connection).detach();
            }
        };
        executor.spawn(accept).detach();
        receiver
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn clear_stale(path: &Path) -> Result<(), BindError> {
    let text = path.display().to_string();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BindError::Io { path: text, source }),
        Ok(meta) if !meta.file_type().is_socket() => Err(BindError::NotASocket(text)),
        Ok(_) => match StdUnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|source| BindError::Io { path: text, source })
            }
            Err(source) => Err(BindError::Io { path: text, source }),
            Ok(_) => Err(BindError::InUse(text)),
        },
    }
}

fn peer(stream: &UnixStream, administrators: &Administrators) -> Rights {
    // Who cannot be told is a stranger.
    getsockopt(stream, sockopt::PeerCredentials).map_or(Rights::Reader, |c| administrators.rights(c.uid()))
}

/// A place among the connections; given back when dropped.
struct Seat(Rc<Cell<usize>>);

impl Seat {
    fn take(open: &Rc<Cell<usize>>, max: usize) -> Option<Self> {
        if open.get() >= max {
            return None;
        }
        open.set(open.get() + 1);
        Some(Self(Rc::clone(open)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = async {
        smol::Timer::after(limit).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    smol::future::or(work, late).await
}

async fn write(stream: &mut UnixStream, bytes: &[u8], times: Times) -> io::Result<()> {
    within(times.write, async {
        stream.write_all(bytes).await?;
        stream.flush().await
    })
    .await
}

async fn turn_away(mut stream: UnixStream, times: Times) -> io::Result<()> {
    let busy = Refused::new(Fault::Busy, "all places are taken");
    write(&mut stream, &Response::problem(&busy).encode(false, true), times).await
}

/// Request after request until one side has had enough.
async fn converse(
    mut stream: UnixStream,
    rights: Rights,
    calls: &Sender<Call>,
    times: Times,
) -> io::Result<()> {
    let mut held = Vec::new();
    loop {
        let request = match next_request(&mut stream, &mut held, times).await {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(Broken::Io(error)) => return Err(error),
            Err(Broken::Refused(refused)) => {
                return write(&mut stream, &Response::problem(&refused).encode(false, true), times).await;
            }
        };
        let (head, close) = (request.head, request.close);
        match ask(calls, rights, request, times).await {
            Reply::Whole(response) => write(&mut stream, &response.encode(head, close), times).await?,
            Reply::Events { first, rest } => return follow(stream, first, rest, times).await,
        }
        if close {
            return Ok(());
        }
    }
}

enum Broken {
    Io(io::Error),
    Refused(Refused),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// `None`: the peer has closed, or was idle for too long.
async fn next_request(
    stream: &mut UnixStream,
    held: &mut Vec<u8>,
    times: Times,
) -> Result<Option<Box<Request>>, Broken> {
    if held.is_empty() {
        // Memory of a large request is not kept while idle.
        *held = Vec::new();
        match within(times.idle, read_some(stream, held)).await {
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
            other => other.map(drop)?,
        }
    }
    let arrive = async {
        let mut continued = false;
        loop {
            match parse(held) {
                Err(refused) => return Ok(Err(refused)),
                Ok(Parsed::Whole(request, used)) => {
                    held.drain(..used);
                    return Ok(Ok(Some(request)));
                }
                Ok(Parsed::Partial { expects_continue }) => {
                    if expects_continue && !std::mem::replace(&mut continued, true) {
                        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                    }
                    if read_some(stream, held).await? == 0 {
                        return Ok(Ok(None));
                    }
                }
            }
        }
    };
    match within(times.request, arrive).await {
        Ok(result) => result.map_err(Broken::Refused),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(Broken::Refused(Refused::new(Fault::Timeout, "head and body were not complete")))
        }
        Err(error) => Err(Broken::Io(error)),
    }
}

async fn read_some(stream: &mut UnixStream, held: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0u8; READ_MAX];
    let n = stream.read(&mut buffer).await?;
    held.extend_from_slice(buffer.get(..n).unwrap_or_default());
    Ok(n)
}

async fn ask(calls: &Sender<Call>, rights: Rights, request: Box<Request>, times: Times) -> Reply {
    let (reply, answer) = smol::channel::bounded(1);
    let asked = async {
        calls
            .send(Call { rights, request, reply })
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        answer.recv().await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    };
    within(times.answer, asked).await.unwrap_or_else(|_| {
        Reply::Whole(Response::problem(&Refused::new(Fault::NoAnswer, "the agent is busy or about to end")))
    })
}

async fn follow(
    mut stream: UnixStream,
    first: Vec<Event>,
    rest: Receiver<Event>,
    times: Times,
) -> io::Result<()> {
    write(&mut stream, EVENTS_HEAD, times).await?;
    for event in &first {
        write(&mut stream, &event_chunk(event.id, event.kind, &event.data), times).await?;
    }
    loop {
        let next = async { rest.recv().await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe)) };
        match within(times.heartbeat, next).await {
            Ok(event) => write(&mut stream, &event_chunk(event.id, event.kind, &event.data), times).await?,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                write(&mut stream, EVENTS_HEARTBEAT, times).await?;
            }
            Err(_) => return write(&mut stream, b"0\r\n\r\n", times).await,
        }
    }
}
