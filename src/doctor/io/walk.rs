//! A login beside the session: under a client id of its own, with the NAS's account and without a will, ended with a good-bye.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::doctor::facts::Login;
use crate::random;
use crate::session::cause::{Cause, Step, UNSUPPORTED_VERSION};
use crate::session::io::{Endpoint, Report, Transport};
use crate::session::packet::{Inbound, Level, Outbound, fresh_client_id};
use crate::session::topics::Topics;
use crate::sys::clock::within;
use crate::sys::random::System;

/// Longest wait for each of TLS, CONNACK, and the echo. Three of them and what comes before are below 15 s.
const ANSWER_MAX: Duration = Duration::from_millis(2500);

/// Logs in at `address`, with MQTT 5 or else 3.1.1, and tries the NAS's topics.
pub(super) async fn login(endpoint: &Endpoint, address: SocketAddr, topics: Option<&Topics>) -> Login {
    let first = attempt(endpoint, address, topics, Level::V5).await;
    match first {
        Login::Mqtt(Cause::Rejected(UNSUPPORTED_VERSION) | Cause::Closed) => {
            let second = attempt(endpoint, address, topics, Level::V311).await;
            if matches!(second, Login::Taken(..)) { second } else { first }
        }
        first => first,
    }
}

async fn attempt(endpoint: &Endpoint, address: SocketAddr, topics: Option<&Topics>, level: Level) -> Login {
    let mut transport = Transport::new(endpoint.clone());
    transport.dial(vec![address]);
    loop {
        match next(&mut transport, Step::Tls).await {
            Ok(Report::Opened(_)) => {}
            Ok(Report::Connected) => break,
            Ok(Report::Resolved(_) | Report::Packet(_)) => {}
            Ok(Report::Failed(cause)) | Err(cause) => return Login::Tls(cause),
        }
    }
    let client_id = fresh_client_id(&mut System::new());
    transport.send(&Outbound::Connect { level, client_id, keepalive_s: 60, will: None });
    let welcome = match next(&mut transport, Step::Mqtt).await {
        Ok(Report::Packet(Inbound::Welcome(welcome))) => welcome,
        Ok(Report::Packet(Inbound::Rejected(code))) => return Login::Mqtt(Cause::Rejected(code)),
        Ok(Report::Packet(Inbound::Disconnect { reason, .. })) => return Login::Mqtt(Cause::Ended(reason)),
        Ok(Report::Failed(cause)) | Err(cause) => return Login::Mqtt(cause),
        Ok(_) => return Login::Mqtt(Cause::Protocol("a packet out of place")),
    };
    let echo = match topics {
        Some(topics) => Some(echo(&mut transport, topics).await),
        None => None,
    };
    end(&mut transport).await;
    Login::Taken(welcome, echo)
}

/// Subscribes to the echo topic and waits for a message of our own.
async fn echo(transport: &mut Transport, topics: &Topics) -> Result<Duration, Cause> {
    let began = Instant::now();
    // Longer than a session's nonce, so that a session that listens there takes it for none of its own.
    let nonce: [u8; 12] = random::bytes(&mut System::new());
    transport.send(&Outbound::Subscribe { id: 1, filters: vec![topics.echo(), topics.knock()] });
    loop {
        match next(transport, Step::Subscribing).await {
            Ok(Report::Packet(Inbound::Subscribed { refused: Some(code), .. })) => {
                return Err(Cause::SubscribeRefused(code));
            }
            Ok(Report::Packet(Inbound::Subscribed { .. })) => {
                let (topic, payload) = (topics.echo(), nonce.to_vec());
                transport.send(&Outbound::Publish { topic, payload, retain: false, id: None });
            }
            Ok(Report::Packet(Inbound::Message { payload, .. })) if payload == nonce => {
                return Ok(began.elapsed());
            }
            Ok(Report::Packet(Inbound::Disconnect { reason, .. })) => return Err(Cause::Ended(reason)),
            Ok(Report::Failed(cause)) => return Err(cause),
            Err(_) => return Err(Cause::EchoLost),
            Ok(_) => {}
        }
    }
}

async fn end(transport: &mut Transport) {
    transport.goodbye(&Outbound::Disconnect);
    let _ = within(Duration::from_millis(500), transport.closed()).await;
}

async fn next(transport: &mut Transport, step: Step) -> Result<Report, Cause> {
    let report = poll_fn(|cx| transport.poll_report(cx));
    within(ANSWER_MAX, report).await.ok_or(Cause::TimedOut(step))
}
