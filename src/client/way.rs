//! The way to a NAS: on this network, over the internet, or through the broker, whichever answers first; and a better one when it
//! appears. A shell.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::ClientConfig;
use smol::lock::Mutex;
use smol::{LocalExecutor, Task};

use super::channel::{self, Channel, Driver, Stream, Unreached, connect};
use super::relay::{self, Meeting};
use crate::identity::KeyId;
use crate::remote::io::door::Origin;
use crate::remote::io::mdns::browse;
use crate::remote::mdns::Found;
use crate::sys::clock::{self, within};
use crate::sys::random::System;
use crate::units::Mono;

/// How long the LAN is searched: an answer can be held back for a second, and the first question be lost.
const BROWSE_MAX: Duration = Duration::from_millis(3500);
/// Between the beginnings of two ways (RFC 8305, 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// A better way is looked for this long after the last time, and then after twice as long, up to [`LOOK_MAX`].
const LOOK: Duration = Duration::from_secs(2);
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Without a new stream for this long no better way is looked for.
const IDLE: Duration = Duration::from_secs(300);
/// A NAS that does not answer on an open channel for this long may be reached by another way: the device has changed networks, say.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a channel to be ended in good order.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// For a NAS to say how else it can be reached.
const LEARN_MAX: Duration = Duration::from_secs(2);

/// How streams travel; the better one is the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// On the network that both are in.
    Lan,
    /// Over the internet, to a port of the NAS's router.
    Direct,
    /// Through the broker.
    Broker,
}

impl Path {
    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Direct => "direct",
            Self::Broker => "broker",
        }
    }
}

impl std::str::FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Lan, Self::Direct, Self::Broker];
        let found = all.into_iter().find(|p| p.name() == text);
        found.ok_or_else(|| format!("there is no path {text:?}: lan, direct or broker"))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a NAS may be.
#[derive(Clone)]
pub struct Target {
    /// Its id.
    pub nas: KeyId,
    /// Named by hand: nowhere else is looked then.
    pub at: Vec<SocketAddr>,
    /// What the NAS said last of its place on the internet.
    pub direct: Option<SocketAddr>,
    /// Its broker, if it has one.
    pub meeting: Option<Meeting>,
    /// The only path that is wanted.
    pub only: Option<Path>,
}

/// Why not by this path.
pub type Why = Vec<(Path, Unreached)>;

/// A channel, and how it came about.
struct Held {
    channel: Channel,
    path: Path,
    /// Carries its bytes; ends by itself when nobody has the channel any more.
    driver: Task<()>,
}

/// Where a NAS may be, and the channel to it while there is one.
pub struct Way {
    executor: Rc<LocalExecutor<'static>>,
    target: Target,
    tls: Arc<ClientConfig>,
    held: Mutex<Option<Held>>,
    /// What the NAS has said of its place on the internet.
    direct: Cell<Option<SocketAddr>>,
    /// When a channel was wanted last.
    used: Cell<Mono>,
    moved: Box<Moved>,
}

/// A path that was taken.
#[derive(Debug)]
pub struct Move {
    /// Which.
    pub path: Path,
    /// Why no better one.
    pub why: Why,
    /// Where the NAS says that it can be reached from outside.
    pub direct: Option<SocketAddr>,
}

type Moved = dyn Fn(Move);

type Attempt<'a> = (Path, Pin<Box<dyn Future<Output = Result<(Channel, Driver), Unreached>> + 'a>>);

impl Way {
    /// Nothing is opened yet. `moved` is told each path that is taken.
    pub fn new(
        executor: &Rc<LocalExecutor<'static>>,
        target: Target,
        tls: Arc<ClientConfig>,
        moved: impl Fn(Move) + 'static,
    ) -> Rc<Self> {
        let (executor, direct) = (Rc::clone(executor), Cell::new(target.direct));
        let (held, used, moved) = (Mutex::new(None), Cell::new(clock::mono()), Box::new(moved));
        Rc::new(Self { executor, target, tls, held, direct, used, moved })
    }

    /// The executor that drives its channels.
    pub fn executor(&self) -> &Rc<LocalExecutor<'static>> {
        &self.executor
    }

    /// The channel; a new one if there is none, or if `broken` is what there is.
    ///
    /// # Errors
    /// By each path, why not.
    pub async fn channel(self: &Rc<Self>, broken: Option<&Channel>) -> Result<Channel, Unreached> {
        self.used.set(clock::mono());
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|h| broken.is_none_or(|b| !b.is_same(&h.channel))) {
            return Ok(held.channel.clone());
        }
        if let Some(Held { driver, .. }) = held.take() {
            driver.detach();
        }
        let mut why = Vec::new();
        let Some((path, (channel, driver))) = race(self.attempts(Path::Broker), &mut why).await else {
            return Err(Unreached::ByNone(why));
        };
        self.adopt(&mut held, &channel, path, driver, why).await;
        Ok(channel)
    }

    /// A path is taken: what it leads to is asked how else it can be reached, and all of it is told. A better one is looked for.
    async fn adopt(
        self: &Rc<Self>,
        held: &mut Option<Held>,
        channel: &Channel,
        path: Path,
        driver: Driver,
        mut why: Why,
    ) {
        let driver = self.executor.spawn(driver);
        let router = self.learn(channel).await;
        why.retain(|(other, _)| *other < path);
        for (_, why) in &mut why {
            if let (Unreached::NotTold(words), Some(router)) = (why, &router) {
                *words = format!(": {router}");
            }
        }
        (self.moved)(Move { path, why, direct: self.direct.get() });
        if let Some(worse) = held.replace(Held { channel: channel.clone(), path, driver }) {
            // It goes on for as long as somebody has its channel.
            worse.driver.detach();
        }
        if path > self.best() {
            self.executor.spawn(look_for_better(Rc::downgrade(self), channel.weak())).detach();
        }
    }

    /// Asks the NAS where it can be reached from outside; what it says of its router. An older one does not answer, and keeps what it
    /// had said.
    async fn learn(&self, channel: &Channel) -> Option<String> {
        let paths = within(LEARN_MAX, channel.paths()).await?.ok()?;
        self.direct.set(paths.outside);
        Some(paths.router.as_str().to_owned()).filter(|words| !words.is_empty())
    }

    /// A stream to `service`, and the channel that it is in, which lives as long as anybody has it. A channel that turns out to be
    /// broken, or to lead nowhere any more, is replaced once.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn open(self: &Rc<Self>, service: &str) -> Result<(Stream, Channel), Unreached> {
        let first = self.channel(None).await?;
        match first.open_within(service, PATIENCE).await {
            Err(Unreached::Broken) => {
                let next = self.channel(Some(&first)).await?;
                Ok((next.open(service).await?, next))
            }
            opened => Ok((opened?, first)),
        }
    }

    /// Ends the channel in good order, so that the NAS knows at once; streams that are open are given a moment, too.
    pub async fn close(&self) {
        let Some(Held { channel, driver, .. }) = self.held.lock().await.take() else { return };
        drop(channel);
        let _ = within(CLOSE_MAX, driver).await;
    }

    /// The best path that this target could have.
    fn best(&self) -> Path {
        self.target.only.unwrap_or(if self.target.at.is_empty() { Path::Lan } else { Path::Broker })
    }

    /// One attempt for each path up to `worst`.
    fn attempts(&self, worst: Path) -> Vec<Attempt<'_>> {
        let Target { at, meeting, only, nas, .. } = &self.target;
        let tls = || Arc::clone(&self.tls);
        if let Some(first) = at.first() {
            let path = if Origin::Address(first.ip()).path() == "lan" { Path::Lan } else { Path::Direct };
            return vec![(path, Box::pin(first_of(at.clone(), tls())))];
        }
        let mut attempts: Vec<Attempt<'_>> = Vec::new();
        attempts.push((Path::Lan, Box::pin(on_the_lan(nas, tls()))));
        attempts.push((
            Path::Direct,
            match self.direct.get() {
                Some(address) => Box::pin(connect(address, tls())),
                None => Box::pin(std::future::ready(Err(Unreached::NotTold(String::new())))),
            },
        ));
        attempts.push((
            Path::Broker,
            match meeting {
                Some(meeting) => Box::pin(relay::connect(meeting.clone(), tls())),
                None => Box::pin(std::future::ready(Err(Unreached::NoBroker))),
            },
        ));
        attempts.retain(|(path, _)| *path <= worst && only.is_none_or(|only| only == *path));
        attempts
    }
}

/// The first that comes through; each begins a little after the one before. Who failed until then is in `why`.
async fn race(attempts: Vec<Attempt<'_>>, why: &mut Why) -> Option<(Path, (Channel, Driver))> {
    let mut running: Vec<Attempt<'_>> = Vec::new();
    let mut delay = Duration::ZERO;
    for (path, attempt) in attempts {
        let begin = smol::Timer::after(delay);
        delay += ATTEMPT_DELAY;
        let later = async move {
            begin.await;
            attempt.await
        };
        running.push((path, Box::pin(later)));
    }
    let won = poll_fn(|cx| {
        let mut at = 0;
        while let Some((path, attempt)) = running.get_mut(at) {
            match attempt.as_mut().poll(cx) {
                Poll::Ready(Ok(opened)) => return Poll::Ready(Some((*path, opened))),
                Poll::Ready(Err(error)) => {
                    why.push((*path, error));
                    drop(running.remove(at));
                }
                Poll::Pending => at += 1,
            }
        }
        if running.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    // Those that were still at it were only slower.
    why.extend(running.into_iter().map(|(path, _)| (path, Unreached::Slower)));
    won
}

/// Until a better path than that of `from` carries, or another channel has taken its place.
async fn look_for_better(way: Weak<Way>, from: channel::Weak) {
    let mut pause = LOOK;
    loop {
        smol::Timer::after(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
        let (Some(way), Some(channel)) = (way.upgrade(), from.upgrade()) else { return };
        if clock::mono().since(way.used.get()) > IDLE {
            // Nobody needs a better one, and the NAS is to see that nobody needs this one.
            continue;
        }
        let path = match way.held.lock().await.as_ref() {
            Some(held) if held.channel.is_same(&channel) => held.path,
            _ => return,
        };
        let _ = way.learn(&channel).await;
        let worst = if path == Path::Broker { Path::Direct } else { Path::Lan };
        let mut why = Vec::new();
        let Some((path, (better, driver))) = race(way.attempts(worst), &mut why).await else { continue };
        let mut held = way.held.lock().await;
        if !held.as_ref().is_some_and(|h| h.channel.is_same(&channel)) {
            return;
        }
        way.adopt(&mut held, &better, path, driver, why).await;
        return;
    }
}

/// The first of several addresses of one host.
async fn first_of(
    addresses: Vec<SocketAddr>,
    tls: Arc<ClientConfig>,
) -> Result<(Channel, Driver), Unreached> {
    let mut failure = Unreached::NotHere;
    for address in addresses {
        match connect(address, Arc::clone(&tls)).await {
            Ok(opened) => return Ok(opened),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Where the NAS says that it is. Only a claim: the channel shows whether it is the NAS.
async fn on_the_lan(nas: &KeyId, tls: Arc<ClientConfig>) -> Result<(Channel, Driver), Unreached> {
    let enough = |found: &[Found]| found.iter().any(|f| f.id == *nas);
    let mut random = System::new();
    let found = browse(BROWSE_MAX, &mut random, enough).await.map_err(Unreached::Search)?;
    let mut addresses: Vec<SocketAddr> =
        found.into_iter().filter(|f| f.id == *nas).flat_map(|f| f.addresses).collect();
    // Those of the other family need a scope that nobody has told, or are as good.
    addresses.sort_by_key(|a| matches!(a.ip(), IpAddr::V6(_)));
    first_of(addresses, tls).await
}
