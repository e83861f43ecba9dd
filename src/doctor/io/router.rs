//! The router's own address, by NAT-PMP, UPnP and PCP side by side. Only questions: nothing is mapped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpStream, UdpSocket};

use crate::doctor::facts::Router;
use crate::portmap::http::{ANSWER_MAX, Reply, get, parse};
use crate::portmap::igd::{self, Action, Fault};
use crate::portmap::natpmp::{self, Answer, Request};
use crate::portmap::pcp;
use crate::portmap::ssdp::{self, Target};
use crate::portmap::url::Url;
use crate::session::io::datagram::connected;
use crate::sys::clock::within;

/// Times that NAT-PMP and PCP are asked: 250, 500 and 1,000 ms apart (RFC 6886, 3.1).
const ASKED: usize = 3;
/// How long answers to a UPnP search are waited for.
const SEARCH_MAX: Duration = Duration::from_millis(2500);

/// Asks the router.
pub async fn ask(gateway: Option<IpAddr>) -> Router {
    let Some(IpAddr::V4(gateway)) = gateway else { return Router::NotAsked };
    let two = smol::future::zip(nat_pmp(gateway), upnp(gateway));
    let ((pmp, upnp), pcp) = smol::future::zip(two, pcp(gateway)).await;
    let answers = [pmp, upnp, pcp];
    // The address tells most, then that there is a protocol at all, then why not.
    let worth = |router: &Router| match router {
        Router::Outside(..) => 3,
        Router::Speaks(_) => 2,
        Router::Refuses(_) => 1,
        Router::Mute | Router::NotAsked => 0,
    };
    // Of equal ones the first.
    answers.into_iter().rev().max_by_key(worth).unwrap_or(Router::Mute)
}

async fn nat_pmp(gateway: Ipv4Addr) -> Router {
    match ask_nat_pmp(gateway).await {
        Ok(Answer::PublicAddress { address, .. }) => Router::Outside(address, "NAT-PMP"),
        Ok(Answer::Refused(refusal)) => Router::Refuses(format!("NAT-PMP: {refusal}")),
        Ok(Answer::MappedTcp { .. }) | Err(_) => Router::Mute,
    }
}

async fn ask_nat_pmp(gateway: Ipv4Addr) -> io::Result<Answer> {
    let request = Request::PublicAddress;
    question(gateway, |_| request.encode().to_vec(), |bytes| natpmp::parse(&request, bytes).ok()).await
}

/// PCP has no question for the address: only whether it is spoken (RFC 6887, 14.1).
async fn pcp(gateway: Ipv4Addr) -> Router {
    let request = pcp::Request::Announce;
    let answer =
        question(gateway, |own| request.encode(own).to_vec(), |bytes| pcp::parse(&request, bytes).ok()).await;
    match answer {
        Ok(pcp::Answer::Announced { .. }) => Router::Speaks("PCP"),
        Ok(pcp::Answer::Refused { refusal, .. }) => Router::Refuses(format!("PCP: {refusal}")),
        Ok(pcp::Answer::NatPmpOnly | pcp::Answer::Mapped { .. }) | Err(_) => Router::Mute,
    }
}

/// Asks at the port that both protocols share until something is an answer. `bytes` gets the NAS's own address.
async fn question<T>(
    gateway: Ipv4Addr,
    bytes: impl Fn(IpAddr) -> Vec<u8>,
    answer: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<T> {
    let socket = connected((gateway, natpmp::PORT).into())?;
    let bytes = bytes(socket.get_ref().local_addr()?.ip());
    for wait in natpmp::WAITS.iter().take(ASKED) {
        socket.send(&bytes).await?;
        let heard = async {
            loop {
                let mut buffer = [0u8; 1100];
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

async fn upnp(gateway: Ipv4Addr) -> Router {
    let Ok(Some(location)) = search(gateway).await else { return Router::Mute };
    let Ok(description) = exchange(location.host(), get(&location)).await else { return Router::Mute };
    let Ok(controls) = igd::controls(&description.body, &location) else {
        return Router::Refuses("UPnP: the router's description names no internet connection".to_owned());
    };
    for control in &controls {
        let Ok(reply) =
            exchange(control.url.host(), igd::request(control, &Action::GetExternalIpAddress)).await
        else {
            continue;
        };
        match igd::external_address(&reply) {
            Ok(Some(address)) => return Router::Outside(address, "UPnP"),
            Ok(None) => return Router::Refuses("UPnP: the router has no address outside".to_owned()),
            Err(fault @ Fault::Upnp { .. }) => return Router::Refuses(fault.to_string()),
            Err(Fault::Http(_) | Fault::Unreadable) => {}
        }
    }
    Router::Refuses("UPnP: the router's answers cannot be read".to_owned())
}

/// Where the router describes itself. Others in the network that answer are not asked.
async fn search(gateway: Ipv4Addr) -> io::Result<Option<Url>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
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

async fn exchange(host: SocketAddr, request: Vec<u8>) -> io::Result<Reply> {
    let work = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(&request).await?;
        let mut answer = Vec::new();
        loop {
            let mut buffer = [0u8; 4096];
            let n = stream.read(&mut buffer).await?;
            answer.extend_from_slice(buffer.get(..n).unwrap_or_default());
            match parse(&answer, n == 0) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) if n > 0 && answer.len() < ANSWER_MAX => {}
                Ok(None) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    };
    within(SEARCH_MAX, work).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}
