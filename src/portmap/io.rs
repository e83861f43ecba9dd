//! Asking routers over UDP and TCP: the keeper's questions, and the exchanges that the doctor needs as well. Only the
//! router's own answers count. A shell.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_io::Async;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

use super::http::{self, ANSWER_MAX, Reply};
use super::igd::{self, Controls, NoControl};
use super::keeper::{Action, Answer, Ask, Way};
use super::ssdp::{self, Target};
use super::url::Url;
use super::{natpmp, pcp};
use crate::session::io::datagram::connected;
use crate::sys::clock::{timely, within};

/// How long answers to a UPnP search are waited for.
pub const SEARCH_MAX: Duration = Duration::from_millis(2500);
/// Longest call or description that the keeper waits for: adding a mapping takes some routers seconds.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Longest message of PCP (RFC 6887, 7).
const DATAGRAM_MAX: usize = 1100;
/// Where routers announce that they have started (RFC 6886, 3.2.1; RFC 6887, 14.1.1).
const ANNOUNCEMENTS: u16 = 5350;
/// Announcements read in one wake-up; the rest rings again.
const READS_MAX: usize = 16;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// To the last question.
    Answer(Answer),
    /// A router said by itself that it is there, and since when.
    Announced {
        /// Who.
        from: Ipv4Addr,
        /// Its count of seconds.
        epoch_s: u32,
    },
}

/// Carries out the keeper's actions.
pub struct Asker {
    work: Option<Pin<Box<dyn Future<Output = Answer>>>>,
    /// `None` where somebody else has that port for himself: then only looks tell of a restart.
    announcements: Option<Async<UdpSocket>>,
}

impl Default for Asker {
    fn default() -> Self {
        Self::new()
    }
}

impl Asker {
    /// Nothing is asked yet.
    pub fn new() -> Self {
        Self { work: None, announcements: None }
    }

    /// Starts what is to be done; [`Asker::poll_report`] carries it on.
    pub fn carry_out(&mut self, action: Action) {
        self.work = match action {
            Action::Ask(ask) => {
                // Only who has asked is interested in what routers say by themselves.
                self.announcements = self.announcements.take().or_else(|| announcements().ok());
                Some(Box::pin(answer(ask)))
            }
            Action::Forget => None,
        };
    }

    /// Carries on; ready with the next thing that happened. Cancel-safe: everything is kept in `self`.
    pub fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        if let Some(work) = &mut self.work
            && let Poll::Ready(answer) = work.as_mut().poll(cx)
        {
            self.work = None;
            return Poll::Ready(Report::Answer(answer));
        }
        self.poll_announced(cx)
    }

    fn poll_announced(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        let Some(socket) = &self.announcements else { return Poll::Pending };
        loop {
            for _ in 0..READS_MAX {
                let mut buffer = [0u8; DATAGRAM_MAX];
                let Ok((n, from)) = socket.get_ref().recv_from(&mut buffer) else { break };
                let epoch_s = announced(buffer.get(..n).unwrap_or_default());
                // Whose word counts is the keeper's to say; but a router speaks from its port.
                if let (IpAddr::V4(ip), natpmp::PORT, Some(epoch_s)) = (from.ip(), from.port(), epoch_s) {
                    return Poll::Ready(Report::Announced { from: ip, epoch_s });
                }
            }
            if ready!(socket.poll_readable(cx)).is_err() {
                return Poll::Pending;
            }
        }
    }
}

/// Bound as others on this box may be, too. What is sent to all hosts (224.0.0.1) reaches every box.
fn announcements() -> io::Result<Async<UdpSocket>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // The group's address, not any: what was sent to this box alone was not meant for everybody.
    bind(fd.as_raw_fd(), &SockaddrIn::new(224, 0, 0, 1, ANNOUNCEMENTS))?;
    Async::new_nonblocking(UdpSocket::from(fd))
}

fn announced(bytes: &[u8]) -> Option<u32> {
    if let Ok(natpmp::Answer::PublicAddress { epoch_s, .. }) =
        natpmp::parse(&natpmp::Request::PublicAddress, bytes)
    {
        return Some(epoch_s);
    }
    match pcp::parse(&pcp::Request::Announce, bytes) {
        Ok(pcp::Answer::Announced { epoch_s }) => Some(epoch_s),
        Ok(pcp::Answer::Mapped { .. } | pcp::Answer::NatPmpOnly | pcp::Answer::Refused { .. }) | Err(_) => {
            None
        }
    }
}

/// The way to a router of IPv4: connecting a datagram socket asks the kernel for our address there and sends nothing.
pub fn way(gateway: Option<IpAddr>) -> Option<Way> {
    let Some(IpAddr::V4(gateway)) = gateway else { return None };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((gateway, natpmp::PORT)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(own) => Some(Way { gateway, own }),
        IpAddr::V6(_) => None,
    }
}

async fn answer(ask: Ask) -> Answer {
    match ask {
        Ask::Pcp { gateway, request, waits } => {
            let encode = |own| request.encode(own).to_vec();
            let heard = question(gateway, &waits, encode, |bytes| pcp::parse(&request, bytes).ok()).await;
            heard.map_or(Answer::Silent, Answer::Pcp)
        }
        Ask::NatPmp { gateway, request, waits } => {
            let encode = |_| request.encode().to_vec();
            let heard = question(gateway, &waits, encode, |bytes| natpmp::parse(&request, bytes).ok()).await;
            heard.map_or(Answer::Silent, Answer::NatPmp)
        }
        Ask::Search { gateway } => find(gateway).await.map_or(Answer::Silent, Answer::Found),
        Ask::Call { control, action } => {
            let request = igd::request(&control, &action);
            let Ok(reply) = exchange(control.url.host(), request, CALL_MAX).await else {
                return Answer::Silent;
            };
            match action {
                igd::Action::GetExternalIpAddress => Answer::Address(igd::external_address(&reply)),
                igd::Action::GetStatusInfo
                | igd::Action::AddPortMapping { .. }
                | igd::Action::DeletePortMapping { .. } => Answer::Done(igd::done(&reply, &action)),
            }
        }
    }
}

/// The controls, if there is a UPnP router.
async fn find(gateway: Ipv4Addr) -> io::Result<Result<Box<Controls>, NoControl>> {
    let location = search(gateway).await?.ok_or(io::ErrorKind::TimedOut)?;
    let description = exchange(location.host(), http::get(&location), CALL_MAX).await?;
    Ok(igd::controls(&description.body, &location).map(Box::new))
}

/// Asks at the port that NAT-PMP and PCP share until something is an answer, once for each of `waits`. `bytes` gets
/// our own address.
///
/// # Errors
/// Those of the socket; that nothing came.
pub async fn question<T>(
    gateway: Ipv4Addr,
    waits: &[Duration],
    bytes: impl Fn(IpAddr) -> Vec<u8>,
    answer: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<T> {
    let socket = connected((gateway, natpmp::PORT).into())?;
    let bytes = bytes(socket.get_ref().local_addr()?.ip());
    for wait in waits {
        socket.send(&bytes).await?;
        let heard = async {
            loop {
                let mut buffer = [0u8; DATAGRAM_MAX];
                let n = socket.recv(&mut buffer).await?;
                if let Some(answer) = answer(buffer.get(..n).unwrap_or_default()) {
                    return Ok(answer);
                }
            }
        };
        if let Some(heard) = within(*wait, heard).await {
            return heard;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Where the router describes itself. Others in the network that answer are not asked.
///
/// # Errors
/// Those of the socket.
pub async fn search(gateway: Ipv4Addr) -> io::Result<Option<Url>> {
    let socket = smol::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    for target in [Target::Igd1, Target::Igd2] {
        let question = ssdp::search(target);
        // Multicast as the protocol wants it, and the router directly: some listen to only one of them.
        let _ = socket.send_to(&question, ssdp::GROUP).await;
        let _ = socket.send_to(&question, (gateway, ssdp::GROUP.port())).await;
    }
    let answer = async {
        loop {
            let mut buffer = [0u8; 2048];
            let (n, from) = socket.recv_from(&mut buffer).await?;
            let found = ssdp::parse(buffer.get(..n).unwrap_or_default());
            if let Ok(found) = found
                && from.ip() == gateway
                && found.location.host().ip() == gateway
            {
                return Ok(found.location);
            }
        }
    };
    within(SEARCH_MAX, answer).await.transpose()
}

/// One request over a connection of its own, and its answer.
///
/// # Errors
/// Those of the socket; an answer that is none, or not in time.
pub async fn exchange(host: SocketAddr, request: Vec<u8>, longest: Duration) -> io::Result<Reply> {
    let work = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(&request).await?;
        let mut answer = Vec::new();
        loop {
            let mut buffer = [0u8; 4096];
            let n = stream.read(&mut buffer).await?;
            answer.extend_from_slice(buffer.get(..n).unwrap_or_default());
            match http::parse(&answer, n == 0) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) if n > 0 && answer.len() < ANSWER_MAX => {}
                Ok(None) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    };
    timely(longest, work).await
}
