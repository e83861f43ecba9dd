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
use smol::channel::{Receiver, Sender};
use smol::lock::{Semaphore, SemaphoreGuardArc};
use smol::net::TcpStream;
use smol::stream::Stream as _;
use yamux::{Connection, Mode};

use crate::remote::channel::no_name;
use crate::remote::io::gather::{Reads, Writes};
use crate::remote::io::{carrier, messages, stream};
use crate::remote::opening::{Answer, Health, Opening, Refusal, Service};
use crate::session::io::stream::Duplex;
use crate::sys::clock::within;

/// For TCP to open.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// For the handshake, and for the NAS to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Why a NAS or a service is not reached.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Nobody is at this address.
    #[error("the NAS is not at {0}: {1}")]
    Nobody(SocketAddr, io::Error),
    /// Somebody is there, and it is not the NAS, or it does not let this device in (any more).
    #[error("{0} is another NAS, or this device was removed there: {1}")]
    NotLetIn(SocketAddr, io::Error),
    /// The NAS says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The channel broke.
    #[error("the connection to the NAS broke")]
    Broken,
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
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let tcp = within(CONNECT_MAX, TcpStream::connect(address)).await.unwrap_or_else(|| Err(late()));
    let tcp = tcp.map_err(|error| Unreached::Nobody(address, error))?;
    let _ = tcp.set_nodelay(true);
    let shake = TlsConnector::from(tls).connect(no_name(), Reads::new(tcp));
    let stream = within(ANSWER_MAX, shake).await.unwrap_or_else(|| Err(late()));
    let stream = stream.map_err(|error| Unreached::NotLetIn(address, error))?;
    let (channel, driver) = over(Box::new(stream));
    // TLS 1.3 lets a client believe that it is in before the NAS has looked at its key: only an answer tells.
    let asked = async { channel.services().await };
    let driven = DriveWhile { driver: Some(driver) };
    match driven.until(asked).await {
        (Ok(_), Some(driver)) => Ok((channel, driver)),
        (Err(Unreached::Refused(refusal)), _) => Err(refusal.into()),
        (Ok(_) | Err(_), _) => Err(Unreached::NotLetIn(address, io::ErrorKind::ConnectionAborted.into())),
    }
}

/// Polls the driver beside something that needs it.
struct DriveWhile {
    driver: Option<Driver>,
}

impl DriveWhile {
    async fn until<T>(mut self, work: impl Future<Output = T>) -> (T, Option<Driver>) {
        let mut work = Box::pin(work);
        let done = poll_fn(|cx| {
            if let Some(driver) = &mut self.driver
                && driver.as_mut().poll(cx).is_ready()
            {
                self.driver = None;
            }
            work.as_mut().poll(cx)
        })
        .await;
        (done, self.driver)
    }
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

impl Channel {
    /// Whether both are the same connection.
    pub fn is_same(&self, other: &Self) -> bool {
        self.wanted.same_channel(&other.wanted)
    }

    /// A stream to the service `name`.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn open(&self, name: &str) -> Result<Stream, Unreached> {
        let name = heapless::String::try_from(name).map_err(|_| Refusal::NoSuchService)?;
        let (stream, answer) = self.ask(&Opening::Service(name)).await?;
        match answer {
            Answer::Open => Ok(stream),
            Answer::Refused(refusal) => Err(refusal.into()),
            Answer::Services(_) | Answer::Status(_) | Answer::Done => Err(Unreached::Broken),
        }
    }

    /// The services that this device may reach.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn services(&self) -> Result<Vec<Service>, Unreached> {
        match self.ask(&Opening::Services).await?.1 {
            Answer::Services(services) => Ok(services.into_iter().collect()),
            Answer::Refused(refusal) => Err(refusal.into()),
            Answer::Open | Answer::Status(_) | Answer::Done => Err(Unreached::Broken),
        }
    }

    /// How the NAS is.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn status(&self) -> Result<Health, Unreached> {
        match self.ask(&Opening::Status).await?.1 {
            Answer::Status(health) => Ok(health),
            Answer::Refused(refusal) => Err(refusal.into()),
            Answer::Open | Answer::Services(_) | Answer::Done => Err(Unreached::Broken),
        }
    }

    async fn ask(&self, opening: &Opening) -> Result<(Stream, Answer), Unreached> {
        let seat = self.seats.acquire_arc().await;
        let (wish, stream) = smol::channel::bounded(1);
        let asked = async {
            self.wanted.send(wish).await.map_err(|_| Unreached::Broken)?;
            let mut stream = Stream::new(stream.recv().await.map_err(|_| Unreached::Broken)?, seat);
            messages::send(&mut stream, opening).await.map_err(|_| Unreached::Broken)?;
            let answer = messages::receive(&mut stream).await.map_err(|_| Unreached::Broken)?;
            Ok((stream, answer))
        };
        within(ANSWER_MAX, asked).await.unwrap_or(Err(Unreached::Broken))
    }
}
