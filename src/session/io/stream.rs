//! The steps to a byte stream, each a future, and what their errors mean. A shell.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_io::Timer;
use futures_rustls::TlsConnector;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::ServerName;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

use crate::health::tracker::cut;
use crate::session::cause::{Cause, Step, TlsFault};
use crate::session::{race, tls};

/// Unacknowledged data older than this ends the connection (TCP_USER_TIMEOUT, tcp(7)), in milliseconds: behind the
/// session's own probes.
const USER_TIMEOUT_MS: u32 = 60_000;

/// A connected byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Attempts at several addresses, side by side (RFC 8305).
struct Race {
    /// The next one stands last.
    left: Vec<SocketAddr>,
    dials: Vec<(SocketAddr, Dial)>,
    next: Timer,
    failure: Option<Cause>,
}

impl Race {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(TcpStream, SocketAddr), Cause>> {
        loop {
            let mut at = 0;
            while let Some((address, dial)) = self.dials.get_mut(at) {
                match dial.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok((stream, *address))),
                    Poll::Ready(Err(error)) => {
                        self.failure = Some(worse(self.failure.take(), refused(&error)));
                        drop(self.dials.remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let due = self.dials.is_empty() || Pin::new(&mut self.next).poll(cx).is_ready();
            let Some(address) = self.left.pop_if(|_| due) else { break };
            self.dials.push((address, Box::pin(TcpStream::connect(address))));
            self.next = Timer::after(race::ATTEMPT_DELAY);
        }
        if self.dials.is_empty() {
            return Poll::Ready(Err(self.failure.take().unwrap_or(Cause::TimedOut(Step::Connecting))));
        }
        Poll::Pending
    }
}

/// Which of two failures tells more: the box's own trouble, then an answer, then silence, then no way there.
fn worse(one: Option<Cause>, other: Cause) -> Cause {
    let rank = |cause: &Cause| match cause {
        Cause::Box(_) => 3,
        Cause::Refused => 2,
        Cause::Unreachable(_) => 0,
        _ => 1,
    };
    one.filter(|one| rank(one) >= rank(&other)).unwrap_or(other)
}

/// Connects to the first of `addresses` that answers, in their order, each a little later than the one before.
///
/// # Errors
/// The most telling of their failures.
pub async fn connect(addresses: Vec<SocketAddr>) -> Result<(TcpStream, SocketAddr), Cause> {
    let left = addresses.into_iter().rev().collect();
    let mut race = Race { left, dials: Vec::new(), next: Timer::never(), failure: None };
    let (stream, address) = poll_fn(|cx| race.poll(cx)).await?;
    // Both only make it better; a kernel without them still works.
    let _ = stream.set_nodelay(true);
    let _ = setsockopt(&stream, sockopt::TcpUserTimeout, &USER_TIMEOUT_MS);
    Ok((stream, address))
}

/// TLS over `tcp`.
///
/// # Errors
/// `Tls` with what was wrong, or as a lost connection.
pub async fn handshake(
    connector: TlsConnector,
    name: ServerName<'static>,
    tcp: impl Duplex + 'static,
) -> Result<Box<dyn Duplex>, Cause> {
    match connector.connect(name, tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(lost(&error)),
    }
}

/// What an error of connect(2) means.
pub fn refused(error: &io::Error) -> Cause {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::ConnectionRefused, _) => Cause::Refused,
        (io::ErrorKind::TimedOut, _) => Cause::TimedOut(Step::Connecting),
        (_, Some(errno)) => box_or(errno, Cause::Unreachable(errno)),
        (_, None) => Cause::TimedOut(Step::Connecting),
    }
}

/// What an error on an open stream means.
pub fn lost(error: &io::Error) -> Cause {
    if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Cause::Tls(tls::fault(fault));
    }
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::TimedOut, _) => Cause::Silent,
        (io::ErrorKind::InvalidData, _) => Cause::Tls(TlsFault::Other(cut(&error.to_string()))),
        (_, Some(errno)) => box_or(errno, Cause::Closed),
        (_, None) => Cause::Closed,
    }
}

/// The box's own shortages are not the broker's fault.
fn box_or(errno: i32, otherwise: Cause) -> Cause {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(&errno) { Cause::Box(errno) } else { otherwise }
}
