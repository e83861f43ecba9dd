//! A connection to the broker beside the NAS's session: that of a device, and the one that carries bulk. Log in, subscribe,
//! publish, receive; when it breaks, it is over. A shell over the session's transport.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use super::dns::Overrides;
use super::{Endpoint, Report, Transport};
use crate::random::Random;
use crate::session::cause::{Cause, UNSUPPORTED_VERSION};
use crate::session::packet::{ClientId, Inbound, Level, Outbound, PAYLOAD_MAX, Will, fresh_client_id};
use crate::session::race;
use crate::session::topics::{TOPIC_MAX, Topic};
use crate::sys::clock::within;

/// Longest wait for each answer of the network or the broker.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Keepalive told to the broker: longer than any command runs without a word.
const KEEPALIVE_S: u16 = 120;

/// A logged-in connection.
pub struct Link {
    transport: Transport,
    payload_max: usize,
}

impl Link {
    /// Connects and logs in: with MQTT 5, or with 3.1.1 to a broker that refuses that.
    ///
    /// # Errors
    /// Why not.
    pub async fn open(
        endpoint: Endpoint,
        overrides: Overrides,
        will: Option<Will>,
        random: &mut dyn Random,
    ) -> Result<Self, Cause> {
        let mut transport = Transport::new(endpoint);
        transport.quicken();
        transport.resolve(overrides);
        let addresses = match report(&mut transport).await? {
            Report::Resolved(answer) => race::order(&answer?, None),
            other => return Err(out_of_place(other)),
        };
        let client_id = fresh_client_id(random);
        let mut link = Self { transport, payload_max: PAYLOAD_MAX };
        match link.log_in(addresses.clone(), Level::V5, client_id.clone(), will.clone()).await {
            Err(Cause::Rejected(UNSUPPORTED_VERSION) | Cause::Closed) => {
                link.log_in(addresses, Level::V311, client_id, will).await?;
            }
            done => done?,
        }
        Ok(link)
    }

    async fn log_in(
        &mut self,
        addresses: Vec<SocketAddr>,
        level: Level,
        client_id: ClientId,
        will: Option<Will>,
    ) -> Result<(), Cause> {
        self.transport.dial(addresses);
        loop {
            match report(&mut self.transport).await? {
                Report::Opened(_) => {}
                Report::Connected => break,
                other => return Err(out_of_place(other)),
            }
        }
        self.transport.send(&Outbound::Connect { level, client_id, keepalive_s: KEEPALIVE_S, will });
        match report(&mut self.transport).await? {
            Report::Packet(Inbound::Welcome(welcome)) => {
                let packet = welcome.packet_max.and_then(|max| usize::try_from(max).ok());
                // The topic, and the few bytes of the packet's own.
                let payload = packet.map_or(PAYLOAD_MAX, |max| max.saturating_sub(TOPIC_MAX + 16));
                self.payload_max = payload.min(PAYLOAD_MAX);
                self.transport.suit_line();
                Ok(())
            }
            Report::Packet(Inbound::Rejected(code)) => Err(Cause::Rejected(code)),
            other => Err(out_of_place(other)),
        }
    }

    /// Subscribes to one topic.
    ///
    /// # Errors
    /// `SubscribeRefused`, or as a lost connection.
    pub async fn subscribe(&mut self, topic: &Topic) -> Result<(), Cause> {
        self.transport.send(&Outbound::Subscribe { id: 1, filters: vec![topic.clone()] });
        match report(&mut self.transport).await? {
            Report::Packet(Inbound::Subscribed { refused: None, .. }) => Ok(()),
            Report::Packet(Inbound::Subscribed { refused: Some(code), .. }) => {
                Err(Cause::SubscribeRefused(code))
            }
            other => Err(out_of_place(other)),
        }
    }

    /// Publishes at QoS 0: everything a device says is repeated until it is answered.
    pub fn publish(&mut self, topic: Topic, payload: Vec<u8>) {
        self.transport.send(&Outbound::Publish { topic, payload, retain: false, id: None });
    }

    /// The next message; `None` if none came within `wait`.
    ///
    /// # Errors
    /// As a lost connection.
    pub async fn message(&mut self, wait: Duration) -> Result<Option<Vec<u8>>, Cause> {
        let next = async {
            loop {
                match poll_fn(|cx| self.transport.poll_report(cx)).await {
                    Report::Packet(Inbound::Message { payload, id, .. }) => {
                        if let Some(id) = id {
                            self.transport.send(&Outbound::Puback(id));
                        }
                        return Ok(Some(payload));
                    }
                    Report::Packet(Inbound::Disconnect { reason, .. }) => return Err(Cause::Ended(reason)),
                    Report::Packet(_) => {}
                    other => return Err(out_of_place(other)),
                }
            }
        };
        within(wait, next).await.unwrap_or(Ok(None))
    }

    /// The largest payload that the broker takes, in bytes.
    pub const fn payload_max(&self) -> usize {
        self.payload_max
    }

    /// Bytes that the broker has not taken yet.
    pub fn queued(&self) -> usize {
        self.transport.queued()
    }

    /// Asks for a topic or gives it back; whether the broker agrees is seen by [`Link::poll_packet`].
    pub fn send(&mut self, packet: &Outbound) {
        self.transport.send(packet);
    }

    /// Sends what is queued; ready with the next packet. Cancel-safe.
    ///
    /// # Errors
    /// As a lost connection: it is over.
    pub fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<Result<Inbound, Cause>> {
        self.transport.poll_report(cx).map(|report| match report {
            Report::Packet(packet) if !matches!(packet, Inbound::Disconnect { .. }) => Ok(packet),
            other => Err(out_of_place(other)),
        })
    }

    /// Sends what is queued and closes.
    pub async fn close(mut self) {
        self.transport.goodbye(&Outbound::Disconnect);
        let _ = within(Duration::from_secs(2), self.transport.closed()).await;
    }
}

async fn report(transport: &mut Transport) -> Result<Report, Cause> {
    let next = poll_fn(|cx| transport.poll_report(cx));
    match within(ANSWER_MAX, next).await.ok_or(Cause::Silent)? {
        Report::Failed(cause) => Err(cause),
        report => Ok(report),
    }
}

fn out_of_place(report: Report) -> Cause {
    match report {
        Report::Failed(cause) | Report::Resolved(Err(cause)) => cause,
        Report::Packet(Inbound::Disconnect { reason, .. }) => Cause::Ended(reason),
        Report::Resolved(Ok(_)) | Report::Opened(_) | Report::Connected | Report::Packet(_) => {
            Cause::Protocol("a packet out of place")
        }
    }
}
