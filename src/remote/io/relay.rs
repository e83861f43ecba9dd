//! The connection to the broker that carries bulk, for both ends: it is opened when the first carrier needs it and closed after the
//! last, so that bulk never stands in the session's way. A shell over `remote::relay`.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_io::Timer;
use smol::channel::Sender;
use smol::io::{AsyncRead, AsyncWrite};

use crate::remote::relay::frame::End;
use crate::remote::relay::pipe::{Pipe, Side};
use crate::session::cause::Cause;
use crate::session::io::Endpoint;
use crate::session::io::dns::Overrides;
use crate::session::io::link::Link;
use crate::session::packet::{Inbound, Outbound, Will};
use crate::session::topics::Topic;
use crate::sys::clock;
use crate::sys::random::System;
use crate::units::Mono;

/// Bytes by which the windows of all carriers together may exceed their least.
const SPARE: usize = 2 * 1024 * 1024;
/// Bytes that may wait for the broker; more stay with their carriers.
const QUEUE_MAX: usize = 64 * 1024;
/// For name, connection and login.
const LOGIN_MAX: Duration = Duration::from_secs(15);
/// For the broker to answer on the open connection.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Without carriers it stays open this long at the NAS: a device that comes back soon finds it.
const LINGER: Duration = Duration::from_secs(10);
/// Packets that are handled before other tasks have their turn.
const TURN: usize = 32;
/// What waits to be published beside frames: knocks.
const SAYS_MAX: usize = 4;

/// Wakes the task that drives the connection.
#[derive(Default)]
struct Bell(RefCell<Option<Waker>>);

impl Bell {
    fn ring(&self) {
        if let Some(waker) = self.0.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// One carrier, as its stream and the connection see it.
struct Shared {
    pipe: Pipe,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Waits for the first word.
    hearer: Option<Waker>,
}

impl Shared {
    /// After the connection has touched the pipe.
    fn wake(&mut self) {
        let over = self.pipe.end().is_some();
        let wakes = [
            (self.pipe.has_bytes() || over, &mut self.reader),
            (self.pipe.is_heard() || over, &mut self.hearer),
            (self.pipe.has_room() || over, &mut self.writer),
        ];
        for (due, waker) in wakes {
            if let Some(waker) = waker.take_if(|_| due) {
                waker.wake();
            }
        }
    }
}

/// A carrier's bytes. Dropped, the other end is told that this one broke off.
pub struct RelayStream {
    shared: Rc<RefCell<Shared>>,
    bell: Rc<Bell>,
}

impl RelayStream {
    /// Until the other end has said its first word.
    ///
    /// # Errors
    /// Why it never will.
    pub async fn heard(&self) -> Result<(), End> {
        poll_fn(|cx| {
            let mut shared = self.shared.borrow_mut();
            match shared.pipe.end() {
                Some(end) => Poll::Ready(Err(end)),
                None if shared.pipe.is_heard() => Poll::Ready(Ok(())),
                None => {
                    shared.hearer = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn broken(end: End) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, end)
}

impl AsyncRead for RelayStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut shared = self.shared.borrow_mut();
        let n = shared.pipe.read(into);
        if n > 0 {
            // The other end may wait for the room that this made.
            drop(shared);
            self.bell.ring();
            return Poll::Ready(Ok(n));
        }
        match shared.pipe.end() {
            Some(End::Done) => Poll::Ready(Ok(0)),
            Some(end) => Poll::Ready(Err(broken(end))),
            None => {
                shared.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for RelayStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = self.shared.borrow_mut();
        let n = shared.pipe.write(bytes);
        if n > 0 || bytes.is_empty() {
            drop(shared);
            self.bell.ring();
            return Poll::Ready(Ok(n));
        }
        if let Some(end) = shared.pipe.end() {
            return Poll::Ready(Err(broken(end)));
        }
        shared.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.shared.borrow_mut();
        let n: usize = parts.iter().map(|part| shared.pipe.write(part)).sum();
        drop(shared);
        if n == 0 {
            // Nothing to write, no room, or over.
            return self.poll_write(cx, parts.iter().find(|part| !part.is_empty()).map_or(&[], |part| part));
        }
        self.bell.ring();
        Poll::Ready(Ok(n))
    }

    /// What is written goes by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.borrow_mut().pipe.close(clock::mono());
        self.bell.ring();
        Poll::Ready(Ok(()))
    }
}

impl Drop for RelayStream {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        if !shared.pipe.is_closing() {
            shared.pipe.abort(End::Gone);
        }
        drop(shared);
        self.bell.ring();
    }
}

/// The topics of a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// What comes in.
    pub incoming: Topic,
    /// What goes out.
    pub outgoing: Topic,
}

enum State {
    /// Its topic is to be asked for.
    Wanted(Sender<Result<RelayStream, End>>),
    /// The broker was asked, in the packet with this id, then.
    Asked(u16, Mono, Sender<Result<RelayStream, End>>),
    Open(Rc<RefCell<Shared>>),
}

struct Entry {
    topics: Topics,
    side: Side,
    state: State,
}

struct Hub {
    entries: Vec<Entry>,
    /// To be given back.
    leaving: Vec<Topic>,
    says: Vec<(Topic, Vec<u8>)>,
    spare: usize,
    next_id: u16,
    /// Since when there is no carrier.
    idle_since: Mono,
    linger: Duration,
    closing: bool,
    /// Why it is over.
    over: Option<Cause>,
    /// When the login failed, if it did.
    failed: Option<Mono>,
}

/// The connection, as long as it is needed. Clones share it.
#[derive(Clone)]
pub struct Relay {
    hub: Rc<RefCell<Hub>>,
    bell: Rc<Bell>,
}

/// A connection of one end, which is closed after the last carrier, and what drives it: to be polled until it is done.
///
/// `will`: what the broker says for a device that breaks off without a word.
pub fn relay(
    endpoint: Endpoint,
    overrides: Overrides,
    side: Side,
    will: Option<Will>,
) -> (Relay, impl Future<Output = ()>) {
    let hub = Hub {
        entries: Vec::new(),
        leaving: Vec::new(),
        says: Vec::new(),
        spare: SPARE,
        next_id: 0,
        idle_since: clock::mono(),
        linger: if side == Side::Nas { LINGER } else { Duration::ZERO },
        closing: false,
        over: None,
        failed: None,
    };
    let relay = Relay { hub: Rc::new(RefCell::new(hub)), bell: Rc::default() };
    (relay.clone(), relay.run(endpoint, overrides, will))
}

impl Relay {
    /// A carrier. At the NAS the other end is told that it is there.
    ///
    /// # Errors
    /// `Line`: the broker cannot be used, or does not give the topic.
    pub fn carrier(
        &self,
        topics: Topics,
        side: Side,
    ) -> impl Future<Output = Result<RelayStream, End>> + use<> {
        let (seat, opened) = smol::channel::bounded(1);
        // At once, and not when the future is polled: whoever asks again sees it.
        if !self.is_over() {
            self.hub.borrow_mut().entries.push(Entry { topics, side, state: State::Wanted(seat) });
            self.bell.ring();
        }
        async move { opened.recv().await.unwrap_or(Err(End::Line)) }
    }

    /// Whether there is a carrier with these topics.
    pub fn has(&self, topics: &Topics) -> bool {
        self.hub.borrow().entries.iter().any(|e| e.topics == *topics)
    }

    /// Publishes something beside the carriers.
    pub fn say(&self, topic: Topic, payload: Vec<u8>) {
        let mut hub = self.hub.borrow_mut();
        if hub.says.len() < SAYS_MAX {
            hub.says.push((topic, payload));
        }
        drop(hub);
        self.bell.ring();
    }

    /// Ends all carriers and closes; the other ends are told.
    pub fn close(&self) {
        self.hub.borrow_mut().closing = true;
        self.bell.ring();
    }

    /// Whether it is closed or broken.
    pub fn is_over(&self) -> bool {
        let hub = self.hub.borrow();
        hub.over.is_some() || hub.closing
    }

    /// Whether the broker could not be used, that lately.
    pub fn failed_within(&self, span: Duration) -> bool {
        self.hub.borrow().failed.is_some_and(|at| clock::mono().since(at) < span)
    }

    /// Why it broke.
    pub fn cause(&self) -> Option<Cause> {
        self.hub.borrow().over.clone()
    }

    async fn run(self, endpoint: Endpoint, overrides: Overrides, will: Option<Will>) {
        let mut random = System::new();
        let opening = Link::open(endpoint, overrides, will, &mut random);
        let cause = match clock::within(LOGIN_MAX, opening).await.unwrap_or(Err(Cause::Silent)) {
            Ok(mut link) => {
                let payload_max = link.payload_max();
                let carried = self.carry(&mut link, payload_max).await;
                if carried == Cause::Requested {
                    self.hub.borrow_mut().closing = true;
                    link.close().await;
                } else {
                    log::info!("remote: the connection that carries through the broker is lost: {carried}");
                }
                carried
            }
            Err(cause) => {
                log::warn!("remote: nothing can be carried through the broker: {cause}");
                self.hub.borrow_mut().failed = Some(clock::mono());
                cause
            }
        };
        let mut hub = self.hub.borrow_mut();
        hub.over = Some(cause);
        for entry in hub.entries.drain(..) {
            match entry.state {
                State::Wanted(seat) | State::Asked(_, _, seat) => drop(seat.try_send(Err(End::Line))),
                State::Open(shared) => {
                    let mut shared = shared.borrow_mut();
                    shared.pipe.abort(End::Line);
                    shared.wake();
                }
            }
        }
    }

    /// Until there is nothing to carry any more (`Requested`), or the connection breaks.
    async fn carry(&self, link: &mut Link, payload_max: usize) -> Cause {
        let (mut timer, mut armed) = (Timer::never(), None);
        poll_fn(|cx| {
            *self.bell.0.borrow_mut() = Some(cx.waker().clone());
            for _ in 0..TURN {
                let now = clock::mono();
                let mut hub = self.hub.borrow_mut();
                hub.handle_time(now);
                if hub.is_stuck(now) {
                    return Poll::Ready(Cause::Silent);
                }
                let sent = hub.send(now, link);
                let was_full = link.queued() >= QUEUE_MAX;
                // It writes first: what has made room is seen here, and nobody else tells.
                let packet = link.poll_packet(cx);
                let is_full = link.queued() >= QUEUE_MAX;
                match packet {
                    Poll::Ready(Ok(packet)) => {
                        // A will comes at QoS 1: without an answer the broker would hold back those after it.
                        if let Inbound::Message { id: Some(id), .. } = packet {
                            link.send(&Outbound::Puback(id));
                        }
                        hub.handle_packet(now, packet, payload_max, &self.bell);
                    }
                    Poll::Ready(Err(cause)) => return Poll::Ready(cause),
                    Poll::Pending if sent || was_full && !is_full => {}
                    Poll::Pending => {
                        if hub.is_done(now) && link.queued() == 0 {
                            return Poll::Ready(Cause::Requested);
                        }
                        let at = hub.poll_timeout(now, is_full);
                        if armed != at {
                            armed = at;
                            timer = at.map_or_else(Timer::never, |at| Timer::after(at.since(now)));
                        }
                        drop(hub);
                        if Pin::new(&mut timer).poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                        armed = None;
                    }
                }
            }
            // The others have their turn, then it goes on.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

impl Hub {
    /// Ends what is too old, and takes out what has ended and was told.
    fn handle_time(&mut self, now: Mono) {
        let (closing, spare, leaving) = (self.closing, &mut self.spare, &mut self.leaving);
        self.entries.retain(|entry| {
            let stays = match &entry.state {
                State::Wanted(seat) | State::Asked(_, _, seat) => !closing && !seat.is_closed(),
                State::Open(shared) => {
                    let mut shared = shared.borrow_mut();
                    if closing {
                        shared.pipe.abort(End::Gone);
                    }
                    shared.pipe.handle_timeout(now);
                    shared.wake();
                    let stays = !shared.pipe.is_over();
                    *spare += if stays { 0 } else { shared.pipe.extra() };
                    stays
                }
            };
            if !stays {
                leaving.push(entry.topics.incoming.clone());
            }
            stays
        });
        if !self.leaving.is_empty() {
            self.idle_since = now;
        }
    }

    /// Queues what there is to say, each carrier in turn, as far as there is room. Whether anything was.
    fn send(&mut self, now: Mono, link: &mut Link) -> bool {
        let mut sent = false;
        // Not 0, and long before it comes round again the answer is there.
        let mut id = || {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            self.next_id
        };
        for topic in self.leaving.drain(..) {
            link.send(&Outbound::Unsubscribe { id: id(), filters: vec![topic] });
            sent = true;
        }
        for entry in &mut self.entries {
            if let State::Wanted(seat) = &entry.state {
                let id = id();
                link.send(&Outbound::Subscribe { id, filters: vec![entry.topics.incoming.clone()] });
                entry.state = State::Asked(id, now, seat.clone());
                sent = true;
            }
        }
        for (topic, payload) in self.says.drain(..) {
            link.publish(topic, payload);
            sent = true;
        }
        loop {
            let mut more = false;
            for entry in &self.entries {
                let State::Open(shared) = &entry.state else { continue };
                if link.queued() >= QUEUE_MAX {
                    // The next one begins.
                    self.entries.rotate_left(1);
                    return sent;
                }
                let mut shared = shared.borrow_mut();
                let Some(frame) = shared.pipe.poll_frame(now) else { continue };
                link.publish(entry.topics.outgoing.clone(), frame);
                shared.wake();
                more = true;
            }
            if !more {
                return sent;
            }
            sent = true;
        }
    }

    fn handle_packet(&mut self, now: Mono, packet: Inbound, payload_max: usize, bell: &Rc<Bell>) {
        match packet {
            Inbound::Message { topic, payload, .. } => {
                let entry = self.entries.iter().find(|e| e.topics.incoming == topic);
                if let Some(Entry { state: State::Open(shared), .. }) = entry {
                    let mut shared = shared.borrow_mut();
                    shared.pipe.handle_frame(now, &payload, &mut self.spare);
                    shared.wake();
                }
            }
            Inbound::Subscribed { id, refused } => {
                let asked = |e: &Entry| matches!(e.state, State::Asked(of, ..) if of == id);
                let Some(at) = self.entries.iter().position(asked) else { return };
                if let Some(code) = refused {
                    // Its seat is dropped with it.
                    let entry = self.entries.swap_remove(at);
                    log::warn!("remote: the broker does not give {}: {code:#04x}", entry.topics.incoming);
                    self.idle_since = now;
                    return;
                }
                let Some(entry) = self.entries.get_mut(at) else { return };
                let State::Asked(_, _, seat) = &entry.state else { return };
                let pipe = Pipe::new(entry.side, now, payload_max);
                let shared = Rc::new(RefCell::new(Shared { pipe, reader: None, writer: None, hearer: None }));
                let stream = RelayStream { shared: Rc::clone(&shared), bell: Rc::clone(bell) };
                let taken = seat.try_send(Ok(stream));
                entry.state = State::Open(shared);
                // Whoever wanted it has gone: dropping the stream has ended the pipe.
                drop(taken);
            }
            _ => {}
        }
    }

    /// `is_full`: nothing can be said now, so only what ends counts; room is waited for elsewhere.
    fn poll_timeout(&self, now: Mono, is_full: bool) -> Option<Mono> {
        if self.entries.is_empty() {
            return Some(self.idle_since.after(self.linger)).filter(|_| !self.is_done(now));
        }
        let timeout = |entry: &Entry| match &entry.state {
            State::Open(shared) if is_full => shared.borrow().pipe.poll_deadline(),
            State::Open(shared) => shared.borrow().pipe.poll_timeout(),
            State::Asked(_, since, _) => Some(since.after(ANSWER_MAX)),
            State::Wanted(_) => None,
        };
        self.entries.iter().filter_map(timeout).min()
    }

    /// Whether the broker has not answered for too long: then the line is dead, and everything on it.
    fn is_stuck(&self, now: Mono) -> bool {
        let late = |e: &Entry| matches!(e.state, State::Asked(_, since, _) if now >= since.after(ANSWER_MAX));
        self.entries.iter().any(late)
    }

    fn is_done(&self, now: Mono) -> bool {
        self.entries.is_empty() && (self.closing || now >= self.idle_since.after(self.linger))
    }
}
