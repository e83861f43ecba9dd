//! The NAS's door: a TCP listener, what is handed in by the broker, handshakes, the carriers that came through, and visitors who want
//! to pair. A shell.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use rustls::ServerConfig;
use smol::channel::{Receiver, Sender};
use smol::net::{TcpListener, TcpStream};
use smol::stream::Stream as _;
use smol::{LocalExecutor, Task};

use super::carrier::{self, Call, Counter, Local};
use super::relay::RelayStream;
use super::visit::{self, Visit};
use crate::pairing::record::DeviceId;
use crate::remote::channel::key_of;
use crate::remote::gate::{Admitted, Gate};
use crate::remote::relay::frame::End;
use crate::remote::visit::is_visit;
use crate::session::io::gather::Reads;
use crate::session::io::stream::Duplex;
use crate::sys::clock::within;
use crate::sys::tcp::{self, Patience};

/// Carriers at once, of all devices.
pub const CARRIERS_MAX: usize = 12;
/// Carriers of one device: one in use, one that a lost network left behind, one on a better path.
pub const CARRIERS_EACH: usize = 3;
/// Handshakes at once: strangers can begin them, and each costs a signature and some KiB.
const HANDSHAKES_MAX: usize = 16;
/// Handshakes at once from one address: nobody can take all places by himself.
const HANDSHAKES_EACH: usize = 4;
/// Handshakes at once through the broker: whoever has its account can repeat what a device once said.
const HANDSHAKES_BROKER: usize = 4;
/// Of these in the name of one device.
const HANDSHAKES_BROKER_EACH: usize = 2;
/// For whoever asked for a carrier through the broker to say his first word in it.
const FIRST_WORD_MAX: Duration = Duration::from_secs(5);
/// Visits at once, of those who want to pair: they may take longer than a handshake, and never all its places.
const VISITS_MAX: usize = 6;
/// For a handshake, or for a visitor to say that it is one.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Calls that wait for the agent's loop; when it is full, streams wait, which are bounded themselves.
const CALLS_MAX: usize = 8;
/// How long the carriers of a device that leaves are kept, so that it hears that it has left.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// With a device. One that has left its network with a silent stream open would keep its carrier for two hours otherwise.
const PATIENCE: Patience = Patience { unacknowledged_ms: 60_000, ask_after_s: 40, ask_every_s: 10 };

/// The way by which a carrier came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A connection from this address.
    Address(IpAddr),
    /// The broker.
    Broker,
}

impl Origin {
    /// `lan`, `direct` or `broker`. What comes from an address that only this network can have is on it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Address(_) if self.is_near() => "lan",
            Self::Address(_) => "direct",
        }
    }

    /// Whether it is an address that only this network can have.
    pub fn is_near(self) -> bool {
        match self {
            Self::Broker => false,
            Self::Address(IpAddr::V4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
            Self::Address(IpAddr::V6(ip)) => {
                ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Broker => f.write_str("the broker"),
        }
    }
}

/// A carrier that is open.
struct Open {
    device: Admitted,
    from: Origin,
    /// Dropped, it ends at once.
    task: Task<()>,
}

/// What is seen of a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub device: DeviceId,
    /// Where it comes from.
    pub from: Origin,
}

/// The door, as long as it is open. Dropped, it and all carriers are closed.
pub struct Door {
    open: Rc<RefCell<Vec<Open>>>,
    gate: Gate,
    port: Option<u16>,
    counters: Rc<Counters>,
    hall: Rc<Hall>,
    visits: Pin<Box<Receiver<Visit>>>,
    _listen: Option<Task<()>>,
}

/// Since the door was opened.
#[derive(Debug, Default)]
struct Counters {
    accepted: Cell<u64>,
    refused: Cell<u64>,
}

impl Door {
    /// Listens on `port`, if there is one, on all addresses; devices can come in through the broker in any case. Questions for the
    /// agent's loop come out of the receiver.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn open(
        executor: &Rc<LocalExecutor<'static>>,
        port: Option<u16>,
        tls: Arc<ServerConfig>,
        gate: Gate,
        services: Vec<Local>,
    ) -> io::Result<(Self, Receiver<Call>)> {
        let listener = port.map(listener).transpose()?;
        let port = listener.as_ref().map(TcpListener::local_addr).transpose()?.map(|a| a.port());
        let (calls, receiver) = smol::channel::bounded(CALLS_MAX);
        let (visits, visiting) = smol::channel::bounded(VISITS_MAX);
        let (open, counters) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Counters::default()));
        let hall = Rc::new(Hall {
            executor: Rc::clone(executor),
            acceptor: TlsAcceptor::from(tls),
            gate: gate.clone(),
            counter: Rc::new(Counter { services, calls }),
            open: Rc::clone(&open),
            counters: Rc::clone(&counters),
            greeting: Seats::default(),
            relayed: Seats::default(),
            visits,
            visitors: Cell::new(0),
        });
        let listen = listener.map(|l| executor.spawn(Rc::clone(&hall).listen(l)));
        let visits = Box::pin(visiting);
        Ok((Self { open, gate, port, counters, hall, visits, _listen: listen }, receiver))
    }

    /// The port that it listens on, if it does.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Greets somebody who comes through the broker in the name of `device`, when his carrier is there. `false`: too many do at once, and
    /// `open` is not asked for a carrier.
    pub fn greet_relayed<F>(&self, device: DeviceId, open: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = Result<RelayStream, End>> + 'static,
    {
        let hall = Rc::clone(&self.hall);
        if hall.relayed.len() >= HANDSHAKES_BROKER || hall.relayed.of(&device) >= HANDSHAKES_BROKER_EACH {
            return false;
        }
        hall.relayed.take(device);
        let opening = open();
        let greet = async move {
            let greeted = match opening.await {
                Ok(stream) => hall.greet(stream).await,
                Err(_) => Greeted::Refused,
            };
            hall.count(greeted);
            hall.relayed.leave(&device);
        };
        self.hall.executor.spawn(greet).detach();
        true
    }

    /// Ends the carriers of those who may not come in (any more). They are gone when this returns.
    pub fn cut(&self) {
        self.open.borrow_mut().retain(|o| !o.task.is_finished() && self.gate.find(&o.device.key).is_some());
    }

    /// A device leaves by itself: its carriers are kept just long enough for the answer, and count no more.
    pub fn let_go(&self, device: DeviceId) {
        let (gone, kept): (Vec<Open>, Vec<Open>) =
            self.open.take().into_iter().partition(|o| o.device.device == device);
        self.open.replace(kept);
        for carrier in gone {
            self.hall
                .executor
                .spawn(async move {
                    let _ = within(FAREWELL_MAX, carrier.task).await;
                })
                .detach();
        }
    }

    /// The next message of somebody who wants to pair. Cancel-safe.
    pub fn poll_visit(&mut self, cx: &mut Context<'_>) -> Poll<Visit> {
        match self.visits.as_mut().poll_next(cx) {
            Poll::Ready(Some(visit)) => Poll::Ready(visit),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The open carriers.
    pub fn seen(&self) -> Vec<Seen> {
        let open = self.open.borrow();
        let live = open.iter().filter(|o| !o.task.is_finished());
        live.map(|o| Seen { device: o.device.device, from: o.from }).collect()
    }

    /// Carriers that were let in, and connections that were not.
    pub fn counters(&self) -> (u64, u64) {
        (self.counters.accepted.get(), self.counters.refused.get())
    }
}

/// All addresses of both families; those of IPv4 alone where the kernel has no IPv6.
fn listener(port: u16) -> io::Result<TcpListener> {
    let both = std::net::TcpListener::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
    let bound = both.or_else(|error| match error.raw_os_error() {
        Some(nix::libc::EAFNOSUPPORT | nix::libc::EADDRNOTAVAIL) => {
            std::net::TcpListener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        }
        _ => Err(error),
    })?;
    Ok(async_io::Async::new(bound)?.into())
}

/// What stands behind the door.
struct Hall {
    executor: Rc<LocalExecutor<'static>>,
    acceptor: TlsAcceptor,
    gate: Gate,
    counter: Rc<Counter>,
    open: Rc<RefCell<Vec<Open>>>,
    counters: Rc<Counters>,
    /// Who is at a handshake, or visits.
    greeting: Seats<IpAddr>,
    /// In whose names somebody is at a handshake through the broker.
    relayed: Seats<DeviceId>,
    visits: Sender<Visit>,
    /// How many visit.
    visitors: Cell<usize>,
}

/// Who is attended to, once for each time that he is.
struct Seats<T>(RefCell<Vec<T>>);

impl<T> Default for Seats<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: PartialEq> Seats<T> {
    fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// How many this one has.
    fn of(&self, who: &T) -> usize {
        self.0.borrow().iter().filter(|other| *other == who).count()
    }

    fn take(&self, who: T) {
        self.0.borrow_mut().push(who);
    }

    /// Gives one of his back.
    fn leave(&self, who: &T) {
        let mut seats = self.0.borrow_mut();
        if let Some(at) = seats.iter().position(|other| other == who) {
            seats.swap_remove(at);
        }
    }
}

/// Who stands before the door.
enum Guest {
    /// With TLS.
    Device(Box<TlsStream<Reads<TcpStream>>>),
    /// To pair.
    Visitor(TcpStream),
}

/// What a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeted {
    /// A carrier.
    LetIn,
    /// A visit that was answered.
    Visited,
    /// Nothing.
    Refused,
}

impl Hall {
    async fn listen(self: Rc<Self>, listener: TcpListener) {
        let hall = self;
        let (seats, free) = smol::channel::bounded::<()>(HANDSHAKES_MAX);
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                // Out of file descriptors, say: the connection stays in the queue.
                smol::Timer::after(Duration::from_millis(100)).await;
                continue;
            };
            let from = from.ip().to_canonical();
            if hall.greeting.of(&from) >= HANDSHAKES_EACH {
                hall.count(Greeted::Refused);
                continue;
            }
            // More wait in the kernel's queue, whose length is bounded, too.
            if seats.send(()).await.is_err() {
                return;
            }
            hall.greeting.take(from);
            let (greeter, free) = (Rc::clone(&hall), free.clone());
            let greet = async move {
                tcp::prepare(&stream, PATIENCE);
                let greeted = greeter.receive(stream, Origin::Address(from)).await;
                greeter.count(greeted);
                greeter.greeting.leave(&from);
                let _ = free.recv().await;
            };
            hall.executor.spawn(greet).detach();
        }
    }

    fn count(&self, greeted: Greeted) {
        let count = match greeted {
            Greeted::LetIn => &self.counters.accepted,
            Greeted::Refused => &self.counters.refused,
            Greeted::Visited => return,
        };
        count.set(count.get().saturating_add(1));
    }

    /// A connection to the listener: a handshake that leads to a carrier, or a visit.
    async fn receive(&self, tcp: TcpStream, from: Origin) -> Greeted {
        let shake = async {
            let mut first = [0];
            // Only looked at: TLS is to read it again.
            if tcp.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let [first] = first;
            if is_visit(first) {
                return Ok(Guest::Visitor(tcp));
            }
            let stream = self.acceptor.accept(Reads::new(tcp.clone())).await?;
            tcp::suit_line(&tcp);
            io::Result::Ok(Guest::Device(Box::new(stream)))
        };
        match within(HANDSHAKE_MAX, shake).await {
            Some(Ok(Guest::Device(stream))) => self.let_in(stream, from),
            Some(Ok(Guest::Visitor(tcp))) => self.visit(tcp, from.is_near()).await,
            Some(Err(_)) | None => Greeted::Refused,
        }
    }

    /// Somebody who wants to pair.
    async fn visit(&self, tcp: TcpStream, is_near: bool) -> Greeted {
        let others = self.visitors.get();
        if others >= VISITS_MAX {
            return Greeted::Refused;
        }
        self.visitors.set(others + 1);
        let answered = visit::serve(tcp, is_near, &self.visits).await;
        self.visitors.set(self.visitors.get().saturating_sub(1));
        if answered { Greeted::Visited } else { Greeted::Refused }
    }

    /// A handshake over what the broker carries.
    async fn greet(&self, stream: RelayStream) -> Greeted {
        // A device that has found another way says nothing any more.
        if !matches!(within(FIRST_WORD_MAX, stream.heard()).await, Some(Ok(()))) {
            return Greeted::Refused;
        }
        match within(HANDSHAKE_MAX, self.acceptor.accept(stream)).await {
            Some(Ok(stream)) => self.let_in(Box::new(stream), Origin::Broker),
            Some(Err(_)) | None => Greeted::Refused,
        }
    }

    /// Somebody who has proved a key.
    fn let_in<S: Duplex + 'static>(&self, stream: Box<TlsStream<S>>, from: Origin) -> Greeted {
        let raw = stream.get_ref().1.peer_certificates().and_then(|c| c.first());
        let key = raw.and_then(|raw| key_of(raw.as_ref()));
        let Some(device) = key.and_then(|key| self.gate.find(&key)) else { return Greeted::Refused };
        let mut open = self.open.borrow_mut();
        open.retain(|o| !o.task.is_finished());
        if open.iter().filter(|o| o.device.device == device.device).count() >= CARRIERS_EACH {
            // The device knows better which of its networks it has left: its oldest one goes.
            if let Some(oldest) = open.iter().position(|o| o.device.device == device.device) {
                drop(open.remove(oldest));
            }
        }
        if open.len() >= CARRIERS_MAX {
            return Greeted::Refused;
        }
        let serving =
            carrier::serve(Rc::clone(&self.executor), stream, device.clone(), Rc::clone(&self.counter));
        open.push(Open { device, from, task: self.executor.spawn(serving) });
        Greeted::LetIn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_this_network_alone_can_have_are_near() {
        for (address, path) in [
            ("127.0.0.1", "lan"),
            ("10.0.0.7", "lan"),
            ("172.31.255.1", "lan"),
            ("192.168.1.2", "lan"),
            ("169.254.3.4", "lan"),
            ("::1", "lan"),
            ("fe80::1", "lan"),
            ("fd12::1", "lan"),
            ("172.32.0.1", "direct"),
            ("100.64.0.1", "direct"),
            ("203.0.113.7", "direct"),
            ("2001:db8::1", "direct"),
        ] {
            let origin = Origin::Address(address.parse().unwrap());
            assert_eq!((origin.path(), origin.is_near()), (path, path == "lan"), "{address}");
        }
        assert_eq!((Origin::Broker.path(), Origin::Broker.is_near()), ("broker", false));
    }
}
