//! The session's connection: name, TCP, TLS, MQTT packets over one socket. A shell: it carries out what the machine
//! asks and reports what came of it; no decision is made here.

pub mod datagram;
pub mod dns;
pub mod gather;
pub mod link;
pub mod network;
pub mod sntp;
pub mod stream;
pub mod websocket;

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_rustls::TlsConnector;
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

use super::cause::Cause;
use super::packet::{Inbound, Outbound};
use super::record::Packets;
use super::tls::{self, Judged, Roots, TlsError, Wish};
use super::wire::{Framer, Login, encode};
use crate::config::broker::BrokerUrl;
use crate::sys::tcp;
use dns::Overrides;
use gather::Reads;
use stream::{Duplex, connect, handshake};

/// Bytes that may wait for a slow broker. More than all messages in flight; beyond it the broker does not read.
const OUTBOX_MAX: usize = 256 * 1024;
/// Bytes read at a time; bounds the work of one wake-up together with the loop, which takes one packet a turn.
const READ_MAX: usize = 4096;
/// The same where bulk comes: a TLS record.
const READ_BULK_MAX: usize = 16 * 1024;

/// Where the broker is and how to log in to it.
#[derive(Clone)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS, or plain TCP.
    pub tls: Option<Arc<ClientConfig>>,
    /// MQTT over WebSocket at this path, or MQTT alone.
    pub path: Option<String>,
    /// Account.
    pub login: Option<Account>,
}

impl Endpoint {
    /// The broker at `url`, trusted by `roots`, with our own certificate chain and its key (PEM) if it wants one.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(
        url: &BrokerUrl,
        roots: Roots<'_>,
        certificate: Option<(&[u8], &[u8])>,
        judged: Judged,
        login: Option<Account>,
    ) -> Result<Self, TlsError> {
        let wish = Wish { roots, certificate, alpn: tls::alpn(url.port, url.path.is_some()) };
        let tls = if url.tls { Some(tls::client(&wish, judged)?) } else { None };
        Ok(Self { host: url.host.clone(), port: url.port, tls, path: url.path.clone(), login })
    }
}

/// A broker account in memory.
#[derive(Clone)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Password.
    pub password: zeroize::Zeroizing<Vec<u8>>,
}

/// What happened to the connection.
#[derive(Debug)]
pub enum Report {
    /// The name servers answered.
    Resolved(Result<Vec<SocketAddr>, Cause>),
    /// TCP is open to this address, TLS begins.
    Opened(SocketAddr),
    /// Ready for CONNECT.
    Connected,
    /// A packet came.
    Packet(Inbound),
    /// It could not be made, or it is gone.
    Failed(Cause),
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T, Cause>>>>;

enum Link {
    Idle,
    Resolving(Work<Vec<SocketAddr>>),
    Connecting(Work<(TcpStream, SocketAddr)>),
    Handshaking(Work<Box<dyn Duplex>>),
    Up(Open),
    /// Sends what is left, then closes.
    Closing(Open),
}

struct Open {
    stream: Box<dyn Duplex>,
    framer: Framer,
    outbox: Vec<u8>,
    /// What is read goes here first.
    room: Vec<u8>,
    /// Bytes are in the TLS layer that the socket has not taken yet.
    unflushed: bool,
}

impl Open {
    fn new(stream: Box<dyn Duplex>, read_max: usize) -> Self {
        let room = vec![0; read_max];
        Self { stream, framer: Framer::default(), outbox: Vec::new(), room, unflushed: false }
    }
}

/// The connection, or the attempt at one.
pub struct Transport {
    endpoint: Endpoint,
    link: Link,
    /// The socket below `link`, whatever lies between.
    socket: Option<TcpStream>,
    /// That of a connection whose link went down, see [`Transport::hold`].
    held: Option<TcpStream>,
    /// It carries bulk: what comes is acknowledged at once, and read in large pieces.
    quick: bool,
}

impl Transport {
    /// Nothing is opened yet.
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, link: Link::Idle, socket: None, held: None, quick: false }
    }

    /// For bulk: what comes on connections made from now on is acknowledged at once ([`tcp::acknowledge`]) and read in large pieces.
    pub const fn quicken(&mut self) {
        self.quick = true;
    }

    /// For bulk, once the broker has answered: see [`tcp::suit_line`].
    pub fn suit_line(&self) {
        self.socket.iter().for_each(tcp::suit_line);
    }

    /// Where the broker is and how to log in to it.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Looks the broker's name up, anew each time.
    pub fn resolve(&mut self, overrides: Overrides) {
        let (host, port) = (self.endpoint.host.clone(), self.endpoint.port);
        self.link = Link::Resolving(Box::pin(async move {
            let found = dns::look_up(&host, &overrides).await?;
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
        }));
    }

    /// The box's own end of the connection, if there is one.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.socket.as_ref()?.local_addr().ok().map(|a| a.ip())
    }

    /// What the kernel counts of the connection.
    pub fn packets(&self) -> Option<Packets> {
        let (sent, repeated) = tcp::packets(self.socket.as_ref()?)?;
        Some(Packets { sent, repeated })
    }

    /// Connects to one of `addresses`.
    pub fn dial(&mut self, addresses: Vec<SocketAddr>) {
        self.held = None;
        self.link = Link::Connecting(Box::pin(connect(addresses)));
    }

    /// Throws everything away, the socket by a reset: the broker knows at once, and nothing is sent again and again.
    pub fn hangup(&mut self) {
        self.hold();
        self.held = None;
    }

    /// As [`Transport::hangup`] while the link is down, but the reset waits until the next connection is made. A packet sent
    /// into a dead link makes the kernel ask for the router's address in vain; if the link comes back before it has given up,
    /// what is sent then is lost with that question, a DNS query for 2.5 s.
    pub fn hold(&mut self) {
        if let Some(socket) = self.socket.take() {
            // SO_LINGER without time, socket(7): closing it resets it.
            let _ = setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 });
            self.held = Some(socket);
        }
        self.link = Link::Idle;
    }

    fn drop_link(&mut self) {
        self.link = Link::Idle;
        self.socket = None;
    }

    /// Bytes that the broker has not taken yet.
    pub const fn queued(&self) -> usize {
        match &self.link {
            Link::Up(open) | Link::Closing(open) => open.outbox.len(),
            Link::Idle | Link::Resolving(_) | Link::Connecting(_) | Link::Handshaking(_) => 0,
        }
    }

    /// Queues a packet. Without a connection it is dropped: the machine will hear of that by itself.
    pub fn send(&mut self, packet: &Outbound) {
        let login = self.endpoint.login.as_ref();
        let login = login.map(|a| Login { user: &a.user, password: &a.password });
        let Link::Up(open) = &mut self.link else { return };
        if let Outbound::Connect { level, .. } = packet {
            open.framer.speak(*level);
        }
        if encode(packet, open.framer.level(), login, &mut open.outbox).is_err() {
            log::error!("a packet could not be encoded and was not sent");
        }
    }

    /// Queues a last packet, then sends what is there and closes.
    pub fn goodbye(&mut self, packet: &Outbound) {
        self.send(packet);
        self.link = match std::mem::replace(&mut self.link, Link::Idle) {
            Link::Up(open) => Link::Closing(open),
            Link::Idle
            | Link::Resolving(_)
            | Link::Connecting(_)
            | Link::Handshaking(_)
            | Link::Closing(_) => Link::Idle,
        };
        if matches!(self.link, Link::Idle) {
            self.socket = None;
        }
    }

    /// Until no goodbye is on its way (any more). What arrives meanwhile is of no interest.
    pub async fn closed(&mut self) {
        poll_fn(|cx| {
            let _ = self.poll_report(cx);
            if matches!(self.link, Link::Closing(_)) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Carries on; ready with the next thing that happened. Cancel-safe: everything is kept in `self`.
    pub fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        loop {
            match &mut self.link {
                Link::Idle => return Poll::Pending,
                Link::Resolving(work) => {
                    let answer = std::task::ready!(work.as_mut().poll(cx));
                    self.link = Link::Idle;
                    return Poll::Ready(Report::Resolved(answer));
                }
                Link::Connecting(work) => match std::task::ready!(work.as_mut().poll(cx)) {
                    Ok((tcp, peer)) => return Poll::Ready(self.opened(tcp, peer)),
                    Err(cause) => return Poll::Ready(self.failed(cause)),
                },
                Link::Handshaking(work) => match std::task::ready!(work.as_mut().poll(cx)) {
                    Ok(stream) => {
                        let read_max = if self.quick { READ_BULK_MAX } else { READ_MAX };
                        self.link = Link::Up(Open::new(stream, read_max));
                        return Poll::Ready(Report::Connected);
                    }
                    Err(cause) => return Poll::Ready(self.failed(cause)),
                },
                Link::Up(open) => {
                    let polled = open.poll_packet(cx);
                    // What has come is taken; more may wait at the broker for the word that it has.
                    if let Some(socket) = self.socket.as_ref().filter(|_| self.quick && polled.is_pending()) {
                        tcp::acknowledge(socket);
                    }
                    let report = std::task::ready!(polled);
                    return Poll::Ready(report.map_or_else(|cause| self.failed(cause), Report::Packet));
                }
                Link::Closing(open) => {
                    // Whatever comes of it, it is over.
                    let _ = std::task::ready!(open.poll_close(cx));
                    self.drop_link();
                }
            }
        }
    }

    fn opened(&mut self, tcp: TcpStream, peer: SocketAddr) -> Report {
        self.socket = Some(tcp.clone());
        let name = ServerName::try_from(self.endpoint.host.clone());
        let tls = match (&self.endpoint.tls, name) {
            (None, _) => None,
            (Some(config), Ok(name)) => Some((TlsConnector::from(Arc::clone(config)), name)),
            (Some(_), Err(_)) => return self.failed(Cause::NameUnknown),
        };
        let (host, port, path) = (self.endpoint.host.clone(), self.endpoint.port, self.endpoint.path.clone());
        let quick = self.quick;
        self.link = Link::Handshaking(Box::pin(async move {
            let stream: Box<dyn Duplex> = match tls {
                Some((connector, name)) if quick => handshake(connector, name, Reads::new(tcp)).await?,
                Some((connector, name)) => handshake(connector, name, tcp).await?,
                None => Box::new(tcp),
            };
            match path {
                Some(path) => Ok(Box::new(websocket::upgrade(stream, &host, port, &path).await?) as _),
                None => Ok(stream),
            }
        }));
        Report::Opened(peer)
    }

    fn failed(&mut self, cause: Cause) -> Report {
        self.drop_link();
        Report::Failed(cause)
    }
}

impl Open {
    fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<Result<Inbound, Cause>> {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(stream::lost(&error)));
        }
        if self.outbox.len() > OUTBOX_MAX {
            return Poll::Ready(Err(Cause::Silent));
        }
        loop {
            match self.framer.pull() {
                Ok(Some(packet)) => return Poll::Ready(Ok(packet)),
                Ok(None) => {}
                Err(violation) => return Poll::Ready(Err(Cause::Protocol(violation.0))),
            }
            match std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut self.room)) {
                Ok(0) => return Poll::Ready(Err(Cause::Closed)),
                Ok(n) => self.framer.push(self.room.get(..n).unwrap_or_default()),
                Err(error) => return Poll::Ready(Err(stream::lost(&error))),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let n = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outbox))?;
            self.outbox.drain(..n);
            self.unflushed = true;
        }
        if self.unflushed {
            std::task::ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
