//! The NAS's door: a TCP listener, handshakes, and the carriers that came through. A shell.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_rustls::TlsAcceptor;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::ServerConfig;
use smol::channel::Receiver;
use smol::net::{TcpListener, TcpStream};
use smol::{LocalExecutor, Task};

use super::carrier::{self, Call, Counter, Local};
use super::gather::Reads;
use crate::pairing::record::DeviceId;
use crate::remote::channel::key_of;
use crate::remote::gate::{Admitted, Gate};
use crate::sys::clock::within;

/// Carriers at once, of all devices.
pub const CARRIERS_MAX: usize = 12;
/// Carriers of one device: one in use, one that a lost network left behind, one on a better path.
pub const CARRIERS_EACH: usize = 3;
/// Handshakes at once: strangers can begin them, and each costs a signature and some KiB.
const HANDSHAKES_MAX: usize = 16;
/// Handshakes at once from one address: nobody can take all places by himself.
const HANDSHAKES_EACH: usize = 4;
/// For a handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Calls that wait for the agent's loop; when it is full, streams wait, which are bounded themselves.
const CALLS_MAX: usize = 8;
/// Unacknowledged data older than this ends a carrier (TCP_USER_TIMEOUT, tcp(7)), in milliseconds.
const USER_TIMEOUT_MS: u32 = 60_000;

/// A carrier that is open.
struct Open {
    device: Admitted,
    from: IpAddr,
    /// Dropped, it ends at once.
    task: Task<()>,
}

/// What is seen of a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub device: DeviceId,
    /// Where it comes from.
    pub from: IpAddr,
}

/// The door, as long as it is open. Dropped, it and all carriers are closed.
pub struct Door {
    open: Rc<RefCell<Vec<Open>>>,
    gate: Gate,
    port: u16,
    counters: Rc<Counters>,
    _listen: Task<()>,
}

/// Since the door was opened.
#[derive(Debug, Default)]
struct Counters {
    accepted: Cell<u64>,
    refused: Cell<u64>,
}

impl Door {
    /// Listens on `port` on all addresses. Questions for the agent's loop come out of the receiver.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn open(
        executor: &Rc<LocalExecutor<'static>>,
        port: u16,
        tls: Arc<ServerConfig>,
        gate: Gate,
        services: Vec<Local>,
    ) -> io::Result<(Self, Receiver<Call>)> {
        let listener = listener(port)?;
        let port = listener.local_addr()?.port();
        let (calls, receiver) = smol::channel::bounded(CALLS_MAX);
        let (open, counters) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Counters::default()));
        let hall = Hall {
            executor: Rc::clone(executor),
            acceptor: TlsAcceptor::from(tls),
            gate: gate.clone(),
            counter: Rc::new(Counter { services, calls }),
            open: Rc::clone(&open),
            counters: Rc::clone(&counters),
            greeting: RefCell::default(),
        };
        let listen = executor.spawn(hall.listen(listener));
        Ok((Self { open, gate, port, counters, _listen: listen }, receiver))
    }

    /// The port that it listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends the carriers of those who may not come in (any more). They are gone when this returns.
    pub fn cut(&self) {
        self.open.borrow_mut().retain(|o| !o.task.is_finished() && self.gate.find(&o.device.key).is_some());
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
    /// Who is at a handshake.
    greeting: RefCell<Vec<IpAddr>>,
}

impl Hall {
    async fn listen(self, listener: TcpListener) {
        let hall = Rc::new(self);
        let (seats, free) = smol::channel::bounded::<()>(HANDSHAKES_MAX);
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                // Out of file descriptors, say: the connection stays in the queue.
                smol::Timer::after(Duration::from_millis(100)).await;
                continue;
            };
            let from = from.ip().to_canonical();
            let same = hall.greeting.borrow().iter().filter(|ip| **ip == from).count();
            if same >= HANDSHAKES_EACH {
                hall.count(false);
                continue;
            }
            // More wait in the kernel's queue, whose length is bounded, too.
            if seats.send(()).await.is_err() {
                return;
            }
            hall.greeting.borrow_mut().push(from);
            let (greeter, free) = (Rc::clone(&hall), free.clone());
            let greet = async move {
                let let_in = greeter.greet(stream, from).await;
                greeter.count(let_in);
                greeter.greeted(from);
                let _ = free.recv().await;
            };
            hall.executor.spawn(greet).detach();
        }
    }

    fn greeted(&self, from: IpAddr) {
        let mut greeting = self.greeting.borrow_mut();
        if let Some(at) = greeting.iter().position(|ip| *ip == from) {
            greeting.swap_remove(at);
        }
    }

    fn count(&self, let_in: bool) {
        let count = if let_in { &self.counters.accepted } else { &self.counters.refused };
        count.set(count.get().saturating_add(1));
    }

    /// A handshake; whether it led to a carrier.
    async fn greet(&self, tcp: TcpStream, from: IpAddr) -> bool {
        // Both only make it better; a kernel without them still works.
        let _ = tcp.set_nodelay(true);
        let _ = setsockopt(&tcp, sockopt::TcpUserTimeout, &USER_TIMEOUT_MS);
        let _ = setsockopt(&tcp, sockopt::KeepAlive, &true);
        let Some(Ok(stream)) = within(HANDSHAKE_MAX, self.acceptor.accept(Reads::new(tcp))).await else {
            return false;
        };
        let raw = stream.get_ref().1.peer_certificates().and_then(|c| c.first());
        let key = raw.and_then(|raw| key_of(raw.as_ref()));
        let Some(device) = key.and_then(|key| self.gate.find(&key)) else { return false };
        let mut open = self.open.borrow_mut();
        open.retain(|o| !o.task.is_finished());
        if open.iter().filter(|o| o.device.device == device.device).count() >= CARRIERS_EACH {
            // The device knows better which of its networks it has left: its oldest one goes.
            if let Some(oldest) = open.iter().position(|o| o.device.device == device.device) {
                drop(open.remove(oldest));
            }
        }
        if open.len() >= CARRIERS_MAX {
            return false;
        }
        let serving = carrier::serve(
            Rc::clone(&self.executor),
            Box::new(stream),
            device.clone(),
            Rc::clone(&self.counter),
        );
        open.push(Open { device, from, task: self.executor.spawn(serving) });
        true
    }
}
