//! The router's own address, by NAT-PMP, UPnP and PCP side by side. Only questions: nothing is mapped.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::doctor::facts::Router;
use crate::portmap::http::get;
use crate::portmap::igd::{self, Action, Fault};
use crate::portmap::io::{SEARCH_MAX, exchange, question, search};
use crate::portmap::natpmp::{self, Answer, Request};
use crate::portmap::pcp;

/// NAT-PMP and PCP are asked three times: 250, 500 and 1,000 ms apart (RFC 6886, 3.1).
const WAITS: [Duration; 3] = [natpmp::WAITS[0], natpmp::WAITS[1], natpmp::WAITS[2]];

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
    question(gateway, &WAITS, |_| request.encode().to_vec(), |bytes| natpmp::parse(&request, bytes).ok())
        .await
}

/// PCP has no question for the address: only whether it is spoken (RFC 6887, 14.1).
async fn pcp(gateway: Ipv4Addr) -> Router {
    let request = pcp::Request::Announce;
    let answer = question(
        gateway,
        &WAITS,
        |own| request.encode(own).to_vec(),
        |bytes| pcp::parse(&request, bytes).ok(),
    )
    .await;
    match answer {
        Ok(pcp::Answer::Announced { .. }) => Router::Speaks("PCP"),
        Ok(pcp::Answer::Refused { refusal, .. }) => Router::Refuses(format!("PCP: {refusal}")),
        Ok(pcp::Answer::NatPmpOnly | pcp::Answer::Mapped { .. }) | Err(_) => Router::Mute,
    }
}

async fn upnp(gateway: Ipv4Addr) -> Router {
    let Ok(Some(location)) = search(gateway).await else { return Router::Mute };
    let Ok(description) = exchange(location.host(), get(&location), SEARCH_MAX).await else {
        return Router::Mute;
    };
    let Ok(controls) = igd::controls(&description.body, &location) else {
        return Router::Refuses("UPnP: the router's description names no internet connection".to_owned());
    };
    for control in &controls {
        let Ok(reply) =
            exchange(control.url.host(), igd::request(control, &Action::GetExternalIpAddress), SEARCH_MAX)
                .await
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
