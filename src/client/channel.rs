//! A device's end of a carrier: the secure channel, and streams in it. For any program that wants to reach a NAS's services;
//! `examples/reach.rs` is the least of them.
//!
//! [`connect`] gives a [`Channel`], from which streams are opened, and a driver, a future that carries the bytes and must be polled
//! for as long as the channel is used: spawn it on whatever executor the program has. It ends when the channel is dropped or the
//! NAS has gone.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_rustls::TlsConnector;
use rustls::ClientConfig;
use smol::channel::{Receiver, Sender, WeakSender};
use smol::lock::{Semaphore, SemaphoreGuardArc};
use smol::net::TcpStream;
use smol::stream::Stream as _;
use yamux::{Connection, Mode};

use super::way::Path;
use crate::health::tracker::cut;
use crate::remote::channel::no_name;
use crate::remote::io::{carrier, messages, stream};
use crate::remote::opening::{Answer, Health, Opening, Paths, Refusal, Service};
use crate::remote::relay::frame::End;
use crate::session::cause::Cause;
use crate::session::io::gather::{Reads, Writes};
use crate::session::io::stream::Duplex;
use crate::sys::clock::{timely, within};
use crate::sys::tcp::{self, Patience};

/// For TCP to open.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// With the NAS: on a network that this device has left, nothing else ends a connection. It is asked as often as by the broker's way;
/// what is silent on a dead path is then told so within 25 s, and not only when it speaks.
const PATIENCE: Patience = Patience { unacknowledged_ms: 15_000, ask_after_s: 20, ask_every_s: 5 };
/// For the handshake, and for the NAS to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Why a NAS or a service is not reached.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Nobody is at this address.
    #[error("nobody answers at {0}: {1}")]
    Nobody(SocketAddr, io::Error),
    /// Somebody is there, and it is not the NAS, or it does not let this device in (any more).
    #[error("{0} leads to another NAS, or this device was removed there: {1}")]
    NotLetIn(String, io::Error),
    /// The LAN cannot be searched.
    #[error("this network cannot be searched: {0}")]
    Search(io::Error),
    /// Nobody says on the LAN that he is the NAS.
    #[error("the NAS does not say on this network where it is")]
    NotHere,
    /// The NAS has not told an address on the internet.
    #[error("the NAS has told no address at which it can be reached from outside{0}")]
    NotTold(String),
    /// The pairing has no broker.
    #[error("this pairing has no broker")]
    NoBroker,
    /// The broker cannot be used.
    #[error("the broker cannot be used: {0}")]
    Broker(Cause),
    /// The broker is there, and the NAS does not answer.
    #[error("the NAS does not answer through the broker: it is offline, or it was reset")]
    Silent,
    /// The carrier through the broker ended.
    #[error(transparent)]
    Ended(End),
    /// Another path was faster.
    #[error("nobody had answered there by then")]
    Slower,
    /// Not by any path.
    #[error("{}", each(.0))]
    ByNone(Vec<(Path, Unreached)>),
    /// The NAS says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The channel broke.
    #[error("the connection to the NAS broke")]
    Broken,
}

fn each(why: &[(Path, Unreached)]) -> String {
    match why {
        [(_, only)] => only.to_string(),
        all => all.iter().map(|(path, why)| format!("{path}: {why}")).collect::<Vec<_>>().join("; "),
    }
}

/// A stream to a service.
pub type Stream = stream::Stream<SemaphoreGuardArc>;
/// Carries the channel's bytes.
pub type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// An open channel. Clones share it.
#[derive(Clone, Debug)]
pub struct Channel {
    wanted: Sender<Sender<yamux::Stream>>,
    /// Streams that may be opened: one too many would cost all the others.
    seats: Arc<Semaphore>,
}

/// Opens a channel to the NAS at `address`. `tls`: by [`crate::remote::channel::client`].
///
/// # Errors
/// [`Unreached`].
pub async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> Result<(Channel, Driver), Unreached> {
    let tcp = timely(CONNECT_MAX, TcpStream::connect(address)).await;
    let tcp = tcp.map_err(|error| Unreached::Nobody(address, error))?;
    tcp::prepare(&tcp, PATIENCE);
    let opened = shake(Box::new(Reads::new(tcp.clone())), &address.to_string(), tls).await;
    tcp::suit_line(&tcp);
    opened
}

/// The handshake, and the first question. `whom`: for the failure's words.
pub(super) async fn shake(
    stream: Box<dyn Duplex>,
    whom: &str,
    tls: Arc<ClientConfig>,
) -> Result<(Channel, Driver), Unreached> {
    let not_let_in = |error: io::Error| match error.get_ref().and_then(|e| e.downcast_ref::<End>()) {
        Some(end) => Unreached::Ended(*end),
        None => Unreached::NotLetIn(whom.to_owned(), error),
    };
    let shake = TlsConnector::from(tls).connect(no_name(), stream);
    let stream = timely(ANSWER_MAX, shake).await;
    let (channel, driver) = over(Box::new(stream.map_err(not_let_in)?));
    // TLS 1.3 lets a client believe that it is in before the NAS has looked at its key: only an answer tells.
    match alongside(driver, channel.services()).await {
        (Ok(_), Some(driver)) => Ok((channel, driver)),
        (Err(Unreached::Refused(refusal)), _) => Err(refusal.into()),
        (Ok(_) | Err(_), _) => Err(not_let_in(io::ErrorKind::ConnectionAborted.into())),
    }
}

/// Polls the driver beside something that needs it; the driver is given back if it has not ended.
pub(super) async fn alongside<T>(driver: Driver, work: impl Future<Output = T>) -> (T, Option<Driver>) {
    let (mut driver, mut work) = (Some(driver), std::pin::pin!(work));
    let done = poll_fn(|cx| {
        if driver.as_mut().is_some_and(|d| d.as_mut().poll(cx).is_ready()) {
            driver = None;
        }
        work.as_mut().poll(cx)
    })
    .await;
    (done, driver)
}

/// Two drivers as one, the upper of which lies on the lower: it is dropped when it has ended, then the lower can end.
pub(super) fn both(upper: Driver, lower: Driver) -> Driver {
    Box::pin(async {
        if let ((), Some(lower)) = alongside(lower, upper).await {
            lower.await;
        }
    })
}

/// A channel over a byte stream that is authenticated already.
fn over(stream: Box<dyn Duplex>) -> (Channel, Driver) {
    // One stream is asked for at a time; more wait.
    let (wanted, wishes) = smol::channel::bounded(1);
    let mux = Connection::new(Writes::new(stream), carrier::config(), Mode::Client);
    let mut driving = Driving { mux, wishes: Box::pin(wishes), wish: None };
    let seats = Arc::new(Semaphore::new(carrier::SEATS));
    (Channel { wanted, seats }, Box::pin(poll_fn(move |cx| driving.poll(cx))))
}

struct Driving {
    mux: Connection<Writes<Box<dyn Duplex>>>,
    wishes: Pin<Box<Receiver<Sender<yamux::Stream>>>>,
    wish: Option<Sender<yamux::Stream>>,
}

impl Driving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.wish.is_none() {
                match self.wishes.as_mut().poll_next(cx) {
                    Poll::Ready(Some(wish)) => self.wish = Some(wish),
                    // Nobody can want anything any more: what is on its way still goes.
                    Poll::Ready(None) => return self.mux.poll_close(cx).map(drop),
                    Poll::Pending => break,
                }
            }
            match self.mux.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    if let Some(wish) = self.wish.take() {
                        // Whoever wanted it may have gone.
                        let _ = wish.try_send(stream);
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        loop {
            match self.mux.poll_next_inbound(cx) {
                // The NAS opens none.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// A channel that is not kept open by it.
pub(super) struct Weak {
    wanted: WeakSender<Sender<yamux::Stream>>,
    seats: Arc<Semaphore>,
}

impl Weak {
    /// The channel, if anybody still has it.
    pub(super) fn upgrade(&self) -> Option<Channel> {
        Some(Channel { wanted: self.wanted.upgrade()?, seats: Arc::clone(&self.seats) })
    }
}

impl Channel {
    /// Whether both are the same connection.
    pub fn is_same(&self, other: &Self) -> bool {
        self.wanted.same_channel(&other.wanted)
    }

    /// Whether it has not broken.
    pub fn is_open(&self) -> bool {
        !self.wanted.is_closed()
    }

    /// The same, without keeping it open.
    pub(super) fn weak(&self) -> Weak {
        Weak { wanted: self.wanted.downgrade(), seats: Arc::clone(&self.seats) }
    }

    /// A stream to the service `name`, when there is a seat for one.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn open(&self, name: &str) -> Result<Stream, Unreached> {
        self.open_within(name, ANSWER_MAX).await
    }

    /// As [`Self::open`], where the NAS has only so long to answer; for a seat is waited as long as it takes.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn open_within(&self, name: &str, longest: Duration) -> Result<Stream, Unreached> {
        let name = heapless::String::try_from(name).map_err(|_| Refusal::NoSuchService)?;
        match self.ask(&Opening::Service(name), longest).await? {
            (stream, Answer::Open) => Ok(stream),
            (_, other) => Err(out_of_place(&other)),
        }
    }

    /// The services that this device may reach.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn services(&self) -> Result<Vec<Service>, Unreached> {
        match self.ask(&Opening::Services, ANSWER_MAX).await?.1 {
            Answer::Services(services) => Ok(services.into_iter().collect()),
            other => Err(out_of_place(&other)),
        }
    }

    /// How the NAS is.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn status(&self) -> Result<Health, Unreached> {
        match self.ask(&Opening::Status, ANSWER_MAX).await?.1 {
            Answer::Status(health) => Ok(health),
            other => Err(out_of_place(&other)),
        }
    }

    /// How the NAS can be reached beside its broker.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn paths(&self) -> Result<Paths, Unreached> {
        match self.ask(&Opening::Paths, ANSWER_MAX).await?.1 {
            Answer::Paths(paths) => Ok(paths),
            other => Err(out_of_place(&other)),
        }
    }

    /// Leaves: the NAS forgets this device, and the channel ends.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn unpair(&self) -> Result<(), Unreached> {
        self.done(&Opening::Unpair).await
    }

    /// Gives this device another name at the NAS, as far as it fits.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn rename(&self, name: &str) -> Result<(), Unreached> {
        self.done(&Opening::Rename(cut(name.trim()))).await
    }

    async fn done(&self, opening: &Opening) -> Result<(), Unreached> {
        match self.ask(opening, ANSWER_MAX).await?.1 {
            Answer::Done => Ok(()),
            other => Err(out_of_place(&other)),
        }
    }

    async fn ask(&self, opening: &Opening, longest: Duration) -> Result<(Stream, Answer), Unreached> {
        let seat = self.seats.acquire_arc().await;
        let (wish, stream) = smol::channel::bounded(1);
        let asked = async {
            self.wanted.send(wish).await.map_err(|_| Unreached::Broken)?;
            let mut stream = Stream::new(stream.recv().await.map_err(|_| Unreached::Broken)?, seat);
            messages::send(&mut stream, opening).await.map_err(|_| Unreached::Broken)?;
            let answer = messages::receive(&mut stream).await.map_err(|_| Unreached::Broken)?;
            Ok((stream, answer))
        };
        within(longest, asked).await.unwrap_or(Err(Unreached::Broken))
    }
}

/// A refusal, or an answer to another question.
const fn out_of_place(answer: &Answer) -> Unreached {
    match answer {
        Answer::Refused(refusal) => Unreached::Refused(*refusal),
        _ => Unreached::Broken,
    }
}
