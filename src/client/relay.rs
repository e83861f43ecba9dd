//! A channel through the broker: knock, wait for the NAS's first word, then the same handshake as on any other way. A shell.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::channel::{Channel, Driver, Unreached, alongside, both, shake};
use crate::identity::Identity;
use crate::pairing::handshake;
use crate::pairing::notice::{Knock, Nonce, Say};
use crate::random;
use crate::remote::io::relay::{Relay, RelayStream, Topics, relay};
use crate::remote::relay::frame::{End, refusal};
use crate::remote::relay::pipe::Side;
use crate::session::io::Endpoint;
use crate::session::io::dns::Overrides;
use crate::session::packet::Will;
use crate::session::topics::{self, carrier_name};
use crate::sys::clock::within;
use crate::sys::random::System;

/// An unanswered knock is repeated after this long, then after twice as long, and so on up to [`REPEAT_MAX`].
const REPEAT: Duration = Duration::from_millis(500);
const REPEAT_MAX: Duration = Duration::from_secs(2);
/// For the NAS to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How a NAS is reached through its broker.
#[derive(Clone)]
pub struct Meeting {
    /// The broker, and this device's account there.
    pub endpoint: Endpoint,
    /// The NAS's topics.
    pub topics: topics::Topics,
    /// This device.
    pub identity: Rc<Identity>,
    /// The NAS's id.
    pub nas: crate::identity::KeyId,
}

/// Opens a channel through the broker.
///
/// # Errors
/// [`Unreached`].
pub async fn connect(meeting: Meeting, tls: Arc<ClientConfig>) -> Result<(Channel, Driver), Unreached> {
    let id: Nonce = random::bytes(&mut System::new());
    let (up, down) = meeting.topics.carrier(&carrier_name(&id));
    // A device that is killed or loses its network says nothing more: the broker says it.
    let will = Will { topic: up.clone(), payload: refusal(End::Gone), delay_s: 0 };
    let (relay, line) = relay(meeting.endpoint.clone(), Overrides::default(), Side::Device, Some(will));
    let opening = async {
        let stream = carrier(&meeting, &relay, id, Topics { incoming: down, outgoing: up }).await?;
        shake(Box::new(stream), "the broker", tls).await
    };
    let (opened, line) = alongside(Box::pin(line), opening).await;
    match (opened, line) {
        (Ok((channel, driver)), Some(line)) => Ok((channel, both(driver, line))),
        (Ok(_), None) => Err(Unreached::Broken),
        (Err(Unreached::Ended(End::Line)), _) => {
            Err(relay.cause().map_or(Unreached::Broken, Unreached::Broker))
        }
        (Err(error), _) => Err(error),
    }
}

async fn carrier(
    meeting: &Meeting,
    relay: &Relay,
    id: Nonce,
    topics: Topics,
) -> Result<RelayStream, Unreached> {
    // The NAS's answer has somewhere to go before it is asked.
    let stream = relay.carrier(topics, Side::Device).await.map_err(Unreached::Ended)?;
    let knock = handshake::encode(&Knock::new(&meeting.identity, &meeting.nas, Say::Carry, id));
    let knocking = async {
        let mut repeat = REPEAT;
        loop {
            relay.say(meeting.topics.knock(), knock.clone());
            smol::Timer::after(repeat).await;
            repeat = (repeat * 2).min(REPEAT_MAX);
        }
    };
    let heard = smol::future::or(stream.heard(), knocking);
    within(ANSWER_MAX, heard).await.ok_or(Unreached::Silent)?.map_err(Unreached::Ended)?;
    Ok(stream)
}
