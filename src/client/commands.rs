//! The commands of `moorline-client`. A shell, and the part of the client that prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line")]

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smol::LocalExecutor;
use smol::net::TcpListener;
use zeroize::Zeroizing;

use super::args::{Command, HELP, Line, parse};
use super::channel::Unreached;
use super::device;
use super::exchange::{Exchange, Introduction, Outcome};
use super::forward::forward;
use super::keyring::{Broker, Kept, Keyring, Pairing};
use super::meeting::{Missed, meet};
use super::relay::Meeting;
use super::way::{Move, Path, Target, Way, Why};
use crate::config::broker::BrokerUrl;
use crate::identity::{Identity, KeyId};
use crate::pairing::code::Code;
use crate::pairing::handshake::{self, Grant};
use crate::pairing::notice::{Knock, Notice, Say, Standing};
use crate::pairing::record::Label;
use crate::random::{self, Random};
use crate::remote::channel;
use crate::remote::opening::Service;
use crate::session::cause::Cause;
use crate::session::io::dns::Overrides;
use crate::session::io::link::Link;
use crate::session::io::{Account, Endpoint};
use crate::session::tls::{Judged, Roots};
use crate::session::topics::Topics;
use crate::sys::heap;
use crate::sys::random::System;
use crate::units::UnixSeconds;

/// An unanswered message is repeated after this long, then after twice as long, and so on up to [`REPEAT_MAX`].
const REPEAT: Duration = Duration::from_millis(250);
const REPEAT_MAX: Duration = Duration::from_secs(2);
/// How long a NAS is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a lost connection is left alone before the next try.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Said(String),
    #[error("the broker cannot be used: {0}")]
    Broker(Cause),
    #[error("nobody answered: the NAS is offline, or the code has expired, was used, or is another one")]
    Nobody,
    #[error("the NAS did not answer: it is offline, or it was reset")]
    Silent,
    #[error(transparent)]
    Unreached(#[from] Unreached),
    #[error(transparent)]
    Missed(#[from] Missed),
}

impl Failure {
    const fn exit(&self) -> u8 {
        match self {
            Self::Said(_) | Self::Unreached(Unreached::Refused(_)) | Self::Missed(Missed::Unkept(_)) => 1,
            Self::Unreached(_) | Self::Missed(_) | Self::Broker(_) | Self::Nobody | Self::Silent => 3,
        }
    }
}

fn said(text: impl ToString) -> Failure {
    Failure::Said(text.to_string())
}

/// Runs one command line, without the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match parse(args) {
        Ok(line) => line,
        Err(usage) => {
            eprintln!("moorline-client: {usage}\nTry `moorline-client --help`.");
            return ExitCode::from(2);
        }
    };
    heap::keep_some_free();
    match smol::block_on(carry_out(&line)) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if line.json {
                println!("{}", json!({ "error": failure.to_string() }));
            } else {
                eprintln!("moorline-client: {failure}");
            }
            ExitCode::from(failure.exit())
        }
    }
}

async fn carry_out(line: &Line) -> Result<String, Failure> {
    match &line.command {
        Command::Help => Ok(HELP.to_owned()),
        Command::Version => Ok(format!("moorline-client {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Pair { code, name, timeout } => pair(line, code, name.as_deref(), *timeout).await,
        Command::List => list(line),
        Command::Status(nas) => status(line, nas.as_deref()).await,
        Command::Unpair(nas) => unpair(line, nas).await,
        Command::Rename { name, nas } => device::rename(line, name, nas.as_deref()).await,
        Command::Services(nas) => services(line, nas.as_deref()).await,
        Command::Forward { service, nas, listen } => {
            let executor = Rc::new(LocalExecutor::new());
            executor.run(forwarded(line, &executor, service, nas.as_deref(), listen)).await
        }
    }
}

fn keyring(line: &Line) -> Result<Keyring, Failure> {
    let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".config/moorline-client"));
    let dir = line
        .state
        .clone()
        .or_else(home)
        .ok_or_else(|| said("there is no home directory: give --state DIR"))?;
    Keyring::open(dir).map_err(said)
}

/// `CODE`, or `moorline:CODE?nas=…&broker=…`.
fn read_code(text: &str) -> Result<(Code, Option<String>), Failure> {
    let Some(rest) = text.strip_prefix("moorline:") else {
        return Code::parse(text).map(|c| (c, None)).map_err(said);
    };
    let (code, query) = rest.split_once('?').unwrap_or((rest, ""));
    let broker = query.split('&').find_map(|p| p.strip_prefix("broker=")).map(str::to_owned);
    Code::parse(code).map(|c| (c, broker)).map_err(said)
}

fn endpoint(broker: &Broker, login: Option<(String, String)>) -> Result<Endpoint, Failure> {
    if !broker.is_some() {
        return Err(said(
            "this pairing has no broker: it was made on the LAN, and works there or with --at HOST:PORT",
        ));
    }
    let url: BrokerUrl = broker.url.parse().map_err(said)?;
    let ca = broker.ca_file.as_ref().map(std::fs::read).transpose().map_err(said)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let roots = ca.as_deref().map_or(Roots::Bundled, Roots::Pem);
    let login =
        login.map(|(user, password)| Account { user, password: Zeroizing::new(password.into_bytes()) });
    Endpoint::new(&url, roots, None, Judged::new(UnixSeconds(now)), login).map_err(said)
}

/// The account of the command line, if one was given.
fn typed_login(line: &Line) -> Result<Option<(String, String)>, Failure> {
    match (&line.user, &line.password_file) {
        (Some(user), Some(file)) => {
            let text = std::fs::read_to_string(file).map_err(|e| said(format!("{}: {e}", file.display())))?;
            Ok(Some((user.clone(), text.lines().next().unwrap_or_default().to_owned())))
        }
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(said("--user and --password-file belong together")),
    }
}

fn topics(prefix: &str, nas: &KeyId) -> Result<Topics, Failure> {
    let prefix = heapless::String::try_from(prefix).map_err(|_| said("the prefix is too long"))?;
    Ok(Topics::new(prefix, nas.clone()))
}

async fn pair(line: &Line, code: &str, name: Option<&str>, timeout: Duration) -> Result<String, Failure> {
    let (code, from_uri) = read_code(code)?;
    let url = line.broker.clone().or(from_uri);
    if url.is_none() && line.lan.is_none() {
        return Err(said("which broker? Give --broker URL, the whole moorline: URI, or --lan HOST:PORT"));
    }
    let url = url.unwrap_or_default();
    let broker = Broker { url, ca_file: line.ca.clone(), prefix: line.prefix.clone() };
    let keyring = keyring(line)?;
    let mut underway = keyring.underway(&code).map_err(said)?;
    let identity = Identity::from_pkcs8(&underway.key).map_err(said)?;
    let name = Label::sanitised(name.unwrap_or(&hostname()));
    let introduction =
        Introduction { identity: &identity, name, platform: Label::sanitised(std::env::consts::OS) };
    let mut random = System::new();
    let mut exchange = match &underway.asked {
        Some(kept) => Exchange::resume(code.clone(), introduction, kept.asked(&code)),
        None => Exchange::new(code.clone(), introduction, &mut random),
    };
    let deadline = Instant::now() + timeout;
    let outcome = loop {
        let mut keep = |exchange: &Exchange<'_>| {
            underway.asked = exchange.asked().map(Kept::new);
            keyring.keep_underway(&code, &underway).map_err(said)
        };
        if let Some(lan) = &line.lan {
            let addresses = addresses(lan)?;
            let mut keep = |exchange: &Exchange<'_>| keep(exchange).map_err(|e: Failure| e.to_string());
            break meet(&addresses, &code, &mut exchange, deadline, &mut random, &mut keep).await?;
        }
        match converse(line, &broker, &code, &mut exchange, deadline, &mut random, &mut keep).await {
            Ok(outcome) => break outcome,
            // The broker may be restarting; a wrong password will not get better.
            Err(Failure::Broker(cause)) if Instant::now() < deadline && !is_final(&cause) => {
                smol::Timer::after(PAUSE).await;
            }
            Err(failure) => return Err(failure),
        }
    };
    match outcome {
        Outcome::Paired(grant) => {
            let pairing = pairing(&grant, broker, typed_login(line)?, underway.key.clone());
            keyring.keep(&pairing).map_err(said)?;
            keyring.end_underway(&code);
            Ok(shown(line, &pairing))
        }
        Outcome::Failed(failure) => {
            keyring.end_underway(&code);
            Err(said(failure))
        }
    }
}

const fn is_final(cause: &Cause) -> bool {
    matches!(cause, Cause::Rejected(_) | Cause::Tls(_) | Cause::SubscribeRefused(_))
}

/// Until there is an outcome, or the connection or the time is lost.
async fn converse(
    line: &Line,
    broker: &Broker,
    code: &Code,
    exchange: &mut Exchange<'_>,
    deadline: Instant,
    random: &mut dyn Random,
    keep: &mut dyn FnMut(&Exchange<'_>) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let mut link = Link::open(endpoint(broker, typed_login(line)?)?, Overrides::default(), None, random)
        .await
        .map_err(Failure::Broker)?;
    // The NAS is not known yet; the mailbox's topics do not have its id.
    let topics = topics(
        &broker.prefix,
        &Identity::from_pkcs8(&Identity::generate_pkcs8().map_err(said)?).map_err(said)?.id(),
    )?;
    let mailbox = topics.mailbox(code.rendezvous());
    link.subscribe(&topics.answers(&code.rendezvous().name())).await.map_err(Failure::Broker)?;
    let mut repeat = REPEAT;
    while Instant::now() < deadline {
        if let Some(message) = exchange.outgoing() {
            link.publish(mailbox.clone(), message.to_vec());
        }
        if let Some(outcome) = exchange.outcome() {
            link.close().await;
            return Ok(outcome);
        }
        let again = Instant::now() + repeat;
        repeat = (repeat * 2).min(REPEAT_MAX);
        while let Some(left) = again.checked_duration_since(Instant::now()) {
            let Some(message) = link.message(left).await.map_err(Failure::Broker)? else { break };
            if exchange.handle_message(&message, random) {
                // On disk before it is sent: from here on the NAS may have paired us.
                keep(exchange)?;
                repeat = REPEAT;
                break;
            }
        }
    }
    link.close().await;
    Err(Failure::Nobody)
}

fn pairing(grant: &Grant, broker: Broker, typed: Option<(String, String)>, key: Vec<u8>) -> Pairing {
    let granted =
        grant.credential.as_ref().map(|c| (c.user.as_str().to_owned(), c.password.as_str().to_owned()));
    Pairing {
        nas: grant.key.id(),
        nas_key: grant.key,
        name: grant.name.as_str().to_owned(),
        user: grant.user.as_str().to_owned(),
        services: grant.services.iter().map(|s| s.as_str().to_owned()).collect(),
        broker,
        login: granted.or(typed),
        key,
        direct: None,
    }
}

fn view(pairing: &Pairing) -> Value {
    let mut view = json!({ "nas": pairing.nas, "name": pairing.name, "user": pairing.user, "services": pairing.services });
    if let Some(fields) = view.as_object_mut().filter(|_| pairing.broker.is_some()) {
        fields.insert("broker".into(), pairing.broker.url.clone().into());
    }
    view
}

fn shown(line: &Line, pairing: &Pairing) -> String {
    if line.json {
        return format!("{}\n", view(pairing));
    }
    format!("Paired with {} ({}) as a device of {}.\n", pairing.name, pairing.nas, pairing.user)
}

fn list(line: &Line) -> Result<String, Failure> {
    let pairings = keyring(line)?.pairings().map_err(said)?;
    if line.json {
        return Ok(format!("{}\n", json!({ "pairings": pairings.iter().map(view).collect::<Vec<_>>() })));
    }
    if pairings.is_empty() {
        return Ok("This device is not paired with any NAS.\n".to_owned());
    }
    let broker = |p: &Pairing| if p.broker.is_some() { p.broker.url.clone() } else { "no broker".to_owned() };
    Ok(pairings.iter().map(|p| format!("{}  {}  {}  {}\n", p.nas, p.name, p.user, broker(p))).collect())
}

fn chosen(line: &Line, nas: Option<&str>) -> Result<Vec<Pairing>, Failure> {
    let mut pairings = keyring(line)?.pairings().map_err(said)?;
    if let Some(wanted) = nas {
        pairings.retain(|p| p.nas.as_str() == wanted || p.name == wanted);
        if pairings.len() != 1 {
            return Err(said(format!(
                "{} NASes are called {wanted:?}; `moorline-client list` has them",
                pairings.len()
            )));
        }
    }
    Ok(pairings)
}

/// Says something to a NAS and waits for where we stand.
async fn knock(
    pairing: &Pairing,
    link: &mut Link,
    say: Say,
    random: &mut dyn Random,
) -> Result<Standing, Failure> {
    let identity = Identity::from_pkcs8(&pairing.key).map_err(said)?;
    let topics = topics(&pairing.broker.prefix, &pairing.nas)?;
    let nonce = random::bytes(random);
    let message = handshake::encode(&Knock::new(&identity, &pairing.nas, say, nonce));
    let deadline = Instant::now() + ANSWER_MAX;
    let mut repeat = REPEAT;
    while Instant::now() < deadline {
        link.publish(topics.knock(), message.clone());
        let again = Instant::now() + repeat;
        repeat = (repeat * 2).min(REPEAT_MAX);
        while let Some(left) = again.checked_duration_since(Instant::now()) {
            let Some(answer) = link.message(left).await.map_err(Failure::Broker)? else { break };
            match Notice::open(&answer, &pairing.nas_key, &identity.id()) {
                Ok(notice) if notice.nonce == nonce => return Ok(notice.standing),
                Ok(_) | Err(_) => {}
            }
        }
    }
    Err(Failure::Silent)
}

async fn connected(pairing: &Pairing, random: &mut dyn Random) -> Result<Link, Failure> {
    let endpoint = endpoint(&pairing.broker, pairing.login.clone())?;
    let mut link = Link::open(endpoint, Overrides::default(), None, random).await.map_err(Failure::Broker)?;
    let identity = Identity::from_pkcs8(&pairing.key).map_err(said)?;
    let topics = topics(&pairing.broker.prefix, &pairing.nas)?;
    link.subscribe(&topics.notice(&identity.id())).await.map_err(Failure::Broker)?;
    Ok(link)
}

async fn status(line: &Line, nas: Option<&str>) -> Result<String, Failure> {
    let mut random = System::new();
    let mut out = String::new();
    let mut views = Vec::new();
    let pairings = chosen(line, nas)?;
    if line.at.is_some() && pairings.len() != 1 {
        return Err(said("which NAS? `moorline-client list` has them"));
    }
    for pairing in pairings {
        if device::is_direct(line, &pairing) {
            let (text, view) = device::status(line, &pairing).await?;
            out += &text;
            views.push(view);
            continue;
        }
        let mut link = connected(&pairing, &mut random).await?;
        let standing = knock(&pairing, &mut link, Say::Hail, &mut random).await?;
        let word = match standing {
            Standing::Paired => "paired",
            Standing::Revoked => {
                // So that the NAS need not keep the entry any longer; if this gets lost, the next command says it.
                let _ = knock(&pairing, &mut link, Say::Understood, &mut random).await;
                keyring(line)?.forget(&pairing.nas).map_err(said)?;
                "removed"
            }
            Standing::Unknown => {
                keyring(line)?.forget(&pairing.nas).map_err(said)?;
                "removed"
            }
        };
        link.close().await;
        out += &match standing {
            Standing::Paired => format!(
                "{} ({}): paired as a device of {}, online\n",
                pairing.name, pairing.nas, pairing.user
            ),
            Standing::Revoked | Standing::Unknown => {
                format!(
                    "{} ({}): this device was removed there; pair it again with a new code\n",
                    pairing.name, pairing.nas
                )
            }
        };
        views.push(json!({ "nas": pairing.nas, "name": pairing.name, "standing": word }));
    }
    if line.json { Ok(format!("{}\n", json!({ "nas": views }))) } else { Ok(out) }
}

async fn unpair(line: &Line, nas: &str) -> Result<String, Failure> {
    let mut random = System::new();
    let Some(pairing) = chosen(line, Some(nas))?.pop() else { return Err(said("there is no such NAS")) };
    if device::is_direct(line, &pairing) {
        device::unpair(line, &pairing).await?;
    } else {
        let mut link = connected(&pairing, &mut random).await?;
        knock(&pairing, &mut link, Say::Leave, &mut random).await?;
        link.close().await;
    }
    keyring(line)?.forget(&pairing.nas).map_err(said)?;
    if line.json {
        Ok("{\"unpaired\":true}\n".to_owned())
    } else {
        Ok(format!("{} has forgotten this device.\n", pairing.name))
    }
}

fn addresses(at: &str) -> Result<Vec<SocketAddr>, Failure> {
    let found = std::net::ToSocketAddrs::to_socket_addrs(at);
    Ok(found.map_err(|e| said(format!("{at}: {e}")))?.collect())
}

/// How the NAS is met at its broker.
fn meeting(pairing: &Pairing) -> Result<Meeting, Failure> {
    let identity = Identity::from_pkcs8(&pairing.key).map_err(said)?;
    Ok(Meeting {
        endpoint: endpoint(&pairing.broker, pairing.login.clone())?,
        topics: topics(&pairing.broker.prefix, &pairing.nas)?,
        identity: Rc::new(identity),
        nas: pairing.nas.clone(),
    })
}

/// The way to the one NAS that is meant.
pub(super) async fn way(
    line: &Line,
    executor: &Rc<LocalExecutor<'static>>,
    nas: Option<&str>,
    moved: impl Fn(Move) + 'static,
) -> Result<(Rc<Way>, Pairing), Failure> {
    let mut pairings = chosen(line, nas)?;
    let Some(pairing) = pairings.pop().filter(|_| pairings.is_empty()) else {
        return Err(said("which NAS? `moorline-client list` has them"));
    };
    let at = match &line.at {
        Some(at) => addresses(at)?,
        None => Vec::new(),
    };
    let meeting = if pairing.broker.is_some() { Some(meeting(&pairing)?) } else { None };
    let target = Target { nas: pairing.nas.clone(), at, direct: pairing.direct, meeting, only: line.path };
    let tls = channel::client(&pairing.key, pairing.nas_key).map_err(said)?;
    let (keyring, kept) = (keyring(line)?, RefCell::new(pairing.clone()));
    let moved = move |to: Move| {
        let mut kept = kept.borrow_mut();
        if kept.direct != to.direct {
            // For the next time. If it cannot be kept, the NAS is asked again then.
            kept.direct = to.direct;
            let _ = keyring.keep(&kept);
        }
        moved(to);
    };
    Ok((Way::new(executor, target, tls, moved), pairing))
}

async fn services(line: &Line, nas: Option<&str>) -> Result<String, Failure> {
    let (services, _) = device::ask(line, nas, async |channel| channel.services().await).await?;
    if line.json {
        let view = |s: &Service| json!({ "name": s.name, "up": s.is_up });
        return Ok(format!("{}\n", json!({ "services": services.iter().map(view).collect::<Vec<_>>() })));
    }
    let row =
        |s: &Service| format!("{:<16}  {}\n", s.name, if s.is_up { "runs" } else { "does not run now" });
    Ok(services.iter().map(row).collect())
}

async fn forwarded(
    line: &Line,
    executor: &Rc<LocalExecutor<'static>>,
    service: &str,
    nas: Option<&str>,
    listen: &str,
) -> Result<String, Failure> {
    let json = line.json;
    let (told, paths) = smol::channel::unbounded();
    // Whoever listens has gone only when everything ends.
    let moved = move |to| drop(told.try_send(to));
    let (way, pairing) = way(line, executor, nas, moved).await?;
    // So that what does not work is said now, and not to the first connection.
    let channel = way.channel(None).await?;
    let there = channel.services().await?;
    if !there.iter().any(|s| s.name == service) {
        let names: Vec<&str> = there.iter().map(|s| s.name.as_str()).collect();
        return Err(said(format!(
            "{} has no service {service:?} for this device, only {}",
            pairing.name,
            names.join(", ")
        )));
    }
    drop(channel);
    let listener = TcpListener::bind(listen).await.map_err(|e| said(format!("{listen}: {e}")))?;
    let local = listener.local_addr().map_err(said)?;
    if !json {
        print_line(&format!("{service} of {} is at {local} now, until this is interrupted.", pairing.name));
    }
    let mut is_first = true;
    let tell_path = async {
        while let Ok(Move { path, why, .. }) = paths.recv().await {
            let not: serde_json::Map<String, Value> =
                why.iter().map(|(path, why)| (path.name().to_owned(), why.to_string().into())).collect();
            let line = if !json {
                by(path, &why)
            } else if is_first {
                let (at, path) = (local.to_string(), path.name());
                json!({ "listening": at, "service": service, "nas": pairing.nas, "path": path, "not": not })
                    .to_string()
            } else {
                json!({ "path": path.name(), "not": not }).to_string()
            };
            print_line(&line);
            is_first = false;
        }
    };
    let tell = |error: &Unreached| eprintln!("moorline-client: a connection was not carried: {error}");
    let forwarding = forward(Rc::clone(&way), listener, service.to_owned(), tell);
    let (never, ()) = smol::future::zip(forwarding, tell_path).await;
    match never {}
}

/// Prints a line while other things go on: that nobody reads it (any more) does not end them.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// By which path, and why by no better one.
fn by(path: Path, why: &Why) -> String {
    let mut text = format!(
        "New connections go {}.",
        match path {
            Path::Lan => "over this network",
            Path::Direct => "over the internet to the NAS's router",
            Path::Broker => "through the broker",
        }
    );
    for (path, why) in why {
        text += &format!("\n  not {path}: {why}");
    }
    text
}

fn hostname() -> String {
    nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
