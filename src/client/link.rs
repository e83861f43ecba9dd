//! A device's connection to the broker: log in, subscribe, publish, receive. A shell over the session's transport.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use crate::random::{self, Random};
use crate::session::cause::{Cause, UNSUPPORTED_VERSION};
use crate::session::io::dns::Overrides;
use crate::session::io::{Endpoint, Report, Transport};
use crate::session::packet::{Inbound, Level, Outbound};
use crate::session::race;
use crate::session::topics::Topic;

/// Longest wait for each answer of the network or the broker.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Keepalive told to the broker: longer than any command runs without a word.
const KEEPALIVE_S: u16 = 120;

/// A logged-in connection.
pub struct Link {
    transport: Transport,
}

impl Link {
    /// Connects and logs in: with MQTT 5, or with 3.1.1 to a broker that refuses that.
    ///
    /// # Errors
    /// Why not.
    pub async fn open(endpoint: Endpoint, random: &mut dyn Random) -> Result<Self, Cause> {
        let mut transport = Transport::new(endpoint);
        transport.resolve(Overrides::default());
        let addresses = match report(&mut transport).await? {
            Report::Resolved(answer) => race::order(&answer?, None),
            other => return Err(out_of_place(other)),
        };
        let mut client_id = heapless::String::<23>::new();
        for byte in random::bytes::<20>(random) {
            // 20 characters fit; `a` to `p` are allowed everywhere.
            let _ = client_id.push(char::from(b'a' + (byte & 15)));
        }
        let mut link = Self { transport };
        match link.log_in(addresses.clone(), Level::V5, client_id.clone()).await {
            Err(Cause::Rejected(UNSUPPORTED_VERSION) | Cause::Closed) => {
                link.log_in(addresses, Level::V311, client_id).await?;
            }
            done => done?,
        }
        Ok(link)
    }

    async fn log_in(
        &mut self,
        addresses: Vec<SocketAddr>,
        level: Level,
        client_id: heapless::String<23>,
    ) -> Result<(), Cause> {
        self.transport.dial(addresses);
        loop {
            match report(&mut self.transport).await? {
                Report::Opened(_) => {}
                Report::Connected => break,
                other => return Err(out_of_place(other)),
            }
        }
        self.transport.send(&Outbound::Connect { level, client_id, keepalive_s: KEEPALIVE_S, will: None });
        match report(&mut self.transport).await? {
            Report::Packet(Inbound::Welcome(_)) => Ok(()),
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
    pub fn publish(&mut self, topic: &Topic, payload: &[u8]) {
        let (topic, payload) = (topic.clone(), payload.to_vec());
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
        let late = async {
            smol::Timer::after(wait).await;
            Ok(None)
        };
        smol::future::or(next, late).await
    }

    /// Sends what is queued and closes.
    pub async fn close(mut self) {
        self.transport.goodbye(&Outbound::Disconnect);
        let gone = poll_fn(|cx| {
            let _ = self.transport.poll_report(cx);
            if self.transport.is_closing() { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
        });
        let late = async {
            smol::Timer::after(Duration::from_secs(2)).await;
        };
        smol::future::or(gone, late).await;
    }
}

async fn report(transport: &mut Transport) -> Result<Report, Cause> {
    let late = async {
        smol::Timer::after(ANSWER_MAX).await;
        Err(Cause::Silent)
    };
    let next = async { Ok(poll_fn(|cx| transport.poll_report(cx)).await) };
    match smol::future::or(next, late).await? {
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
