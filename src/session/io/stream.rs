//! The steps to a byte stream, each a future, and what their errors mean. A shell.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_rustls::TlsConnector;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::ServerName;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

use crate::health::tracker::cut;
use crate::session::cause::{Cause, Step, TlsFault};
use crate::session::tls;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Lookups at once: one that its caller gave up goes on until the C library does.
const LOOKUPS_MAX: usize = 4;
static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
/// Bytes of stack for the C library's resolver.
const LOOKUP_STACK: usize = 256 * 1024;
/// Longest wait for one address, so that the next one gets its turn.
const ADDRESS_MAX: Duration = Duration::from_secs(5);
/// Unacknowledged data older than this ends the connection (TCP_USER_TIMEOUT, tcp(7)), in milliseconds: behind the
/// session's own probes.
const USER_TIMEOUT_MS: u32 = 60_000;

/// A connected byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// Looks a name up with the system's resolver, in a thread of its own since that blocks. The thread ends with the lookup: a
/// pool's would stay and wake up twice a second.
///
/// # Errors
/// `NameServers` with the resolver's own words.
pub async fn resolve(host: String, port: u16) -> Result<Vec<SocketAddr>, Cause> {
    let (sender, receiver) = smol::channel::bounded(1);
    let look_up = move || {
        let found = (host.as_str(), port).to_socket_addrs().map(|a| a.take(ADDRESSES_MAX).collect());
        // Nobody may be waiting any more.
        let _ = sender.try_send(found);
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
    };
    let failed = |error: &dyn std::fmt::Display| Cause::NameServers(cut(&error.to_string()));
    if LOOKUPS.fetch_add(1, Ordering::Relaxed) >= LOOKUPS_MAX {
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
        return Err(failed(&"the lookups before this one still wait for an answer"));
    }
    let thread = std::thread::Builder::new().name("lookup".into()).stack_size(LOOKUP_STACK);
    if let Err(error) = thread.spawn(look_up) {
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
        return Err(failed(&error));
    }
    match receiver.recv().await {
        Ok(answer) => answer.map_err(|error: io::Error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

/// Connects to the first of `addresses` that answers.
///
/// # Errors
/// What the last one said.
pub async fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream, Cause> {
    let mut last = Cause::TimedOut(Step::Connecting);
    for address in addresses {
        let late = async {
            smol::Timer::after(ADDRESS_MAX).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        match smol::future::or(TcpStream::connect(address), late).await {
            Ok(stream) => {
                // Both only make it better; a kernel without them still works.
                let _ = stream.set_nodelay(true);
                let _ = setsockopt(&stream, sockopt::TcpUserTimeout, &USER_TIMEOUT_MS);
                return Ok(stream);
            }
            Err(error) => last = refused(&error),
        }
    }
    Err(last)
}

/// TLS over `tcp`.
///
/// # Errors
/// `Tls` with what was wrong, or as a lost connection.
pub async fn handshake(
    connector: TlsConnector,
    name: ServerName<'static>,
    tcp: TcpStream,
) -> Result<Box<dyn Duplex>, Cause> {
    match connector.connect(name, tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(lost(&error)),
    }
}

fn refused(error: &io::Error) -> Cause {
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
