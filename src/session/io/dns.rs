//! A lookup over real sockets: what [`Lookup`] asks for is sent, what comes back is handed to it. A shell.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_io::{Async, Timer};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

use super::datagram::connected;
use crate::health::tracker::cut;
use crate::session::cause::Cause;
use crate::session::resolve::{Lookup, SERVERS_MAX, Send};
use crate::session::resolver_files::{DNS_PORT, ResolvConf, in_hosts};
use crate::sys::clock;
use crate::sys::random::System;
use crate::sys::root::Root;

/// Where name servers and names of the box itself stand.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// Largest answer over UDP that is taken: nothing larger is asked for (RFC 1035, 2.3.4), some send more all the same.
const DATAGRAM_MAX: usize = 1500;

/// Name servers of the owner's, beside the system's.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Asked after the system's.
    pub servers: Vec<IpAddr>,
    /// Asked before them: what the system's said led to somebody else than the broker.
    pub first: bool,
}

/// What `/etc/resolv.conf` says now. Without the file: what resolv.conf(5) says of that.
pub fn system_servers() -> ResolvConf {
    let text = Root::real().read(RESOLV_CONF).unwrap_or_default();
    ResolvConf::parse(&text, |interface| nix::net::if_::if_nametoindex(interface).ok())
}

/// The addresses of `host`: an address as it stands, a name of `/etc/hosts`, or what the name servers say.
///
/// # Errors
/// `NameUnknown`, or `NameServers` with what each of them said.
pub async fn look_up(host: &str, overrides: &Overrides) -> Result<Vec<IpAddr>, Cause> {
    let known = without_servers(host);
    if !known.is_empty() {
        return Ok(known);
    }
    let system = system_servers();
    let own = overrides.servers.iter().map(|ip| SocketAddr::new(*ip, DNS_PORT));
    let servers: Vec<SocketAddr> = if overrides.first {
        own.chain(system.servers.iter().copied()).collect()
    } else {
        system.servers.iter().copied().chain(own).collect()
    };
    let mut last = Cause::NameUnknown;
    for name in system.candidates(host) {
        let lookup = Lookup::new(&name, &servers, clock::mono(), &mut System::new());
        let Ok(mut lookup) = lookup else {
            return Err(Cause::NameServers(cut("not a name that DNS can carry")));
        };
        match run(&mut lookup).await {
            Ok(addresses) => return Ok(addresses),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

/// The addresses that need no server.
pub fn without_servers(host: &str) -> Vec<IpAddr> {
    match host.parse() {
        Ok(address) => vec![address],
        Err(_) => in_hosts(&Root::real().read(HOSTS).unwrap_or_default(), host),
    }
}

type Exchange = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>>>>;

/// The sockets of one lookup.
#[derive(Default)]
struct Sockets {
    udp: [Option<Async<UdpSocket>>; SERVERS_MAX],
    tcp: Vec<(usize, Exchange)>,
}

/// What came in.
enum Event {
    Answer(usize, Vec<u8>),
    Failed(usize, i32),
    Timer,
}

/// Carries a lookup out.
///
/// # Errors
/// As [`Lookup::outcome`].
pub async fn run(lookup: &mut Lookup) -> Result<Vec<IpAddr>, Cause> {
    let mut sockets = Sockets::default();
    loop {
        while let Some(send) = lookup.poll_send() {
            let server = send.server;
            if let Err(error) = sockets.send(send) {
                lookup.handle_unreachable(clock::mono(), server, error.raw_os_error().unwrap_or(0));
            }
        }
        if let Some(outcome) = lookup.outcome() {
            return outcome;
        }
        let now = clock::mono();
        let mut timer = lookup.poll_timeout().map_or_else(Timer::never, |at| Timer::after(at.since(now)));
        let event = poll_fn(|cx| match sockets.poll_event(cx) {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending => Pin::new(&mut timer).poll(cx).map(|_| Event::Timer),
        })
        .await;
        let now = clock::mono();
        match event {
            Event::Answer(server, bytes) => lookup.handle_datagram(now, server, &bytes),
            Event::Failed(server, errno) => lookup.handle_unreachable(now, server, errno),
            Event::Timer => lookup.handle_timeout(now),
        }
    }
}

impl Sockets {
    fn send(&mut self, send: Send) -> io::Result<()> {
        if send.tcp {
            self.tcp.push((send.server, Box::pin(over_tcp(send.to, send.bytes))));
            return Ok(());
        }
        let Some(place) = self.udp.get_mut(send.server) else { return Ok(()) };
        let socket = match place {
            Some(socket) => socket,
            None => place.insert(connected(send.to)?),
        };
        match socket.get_ref().send(&send.bytes) {
            // It is repeated anyway.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result.map(drop),
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        for (server, socket) in self.udp.iter().enumerate() {
            let Some(socket) = socket else { continue };
            loop {
                let mut buffer = [0u8; DATAGRAM_MAX];
                match socket.get_ref().recv(&mut buffer) {
                    Ok(n) => {
                        return Poll::Ready(Event::Answer(
                            server,
                            buffer.get(..n).unwrap_or_default().to_vec(),
                        ));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        return Poll::Ready(Event::Failed(server, error.raw_os_error().unwrap_or(0)));
                    }
                }
                if socket.poll_readable(cx).is_pending() {
                    break;
                }
            }
        }
        let done = self.tcp.iter_mut().enumerate().find_map(|(at, (server, exchange))| {
            match exchange.as_mut().poll(cx) {
                Poll::Ready(result) => Some((at, *server, result)),
                Poll::Pending => None,
            }
        });
        let Some((at, server, result)) = done else { return Poll::Pending };
        drop(self.tcp.remove(at));
        Poll::Ready(match result {
            Ok(bytes) => Event::Answer(server, bytes),
            Err(error) => Event::Failed(server, error.raw_os_error().unwrap_or(0)),
        })
    }
}

/// RFC 1035, 4.2.2: two bytes of length before each message.
async fn over_tcp(to: SocketAddr, question: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&question).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
