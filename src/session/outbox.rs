//! Messages on their way at QoS 1: those that wait for their PUBACK, and those that wait for a place. A core.

use super::packet::Outbound;
use super::topics::Topic;

/// Messages at QoS 1 that wait for their PUBACK. cloud.md: at most 10 in flight at any broker.
const IN_FLIGHT_MAX: usize = 10;
/// Messages that wait for a place in flight. When it is full a message is refused; its sender repeats it.
const QUEUE_MAX: usize = 32;

/// A message that waits.
#[derive(Clone, Debug)]
struct Waiting {
    topic: Topic,
    payload: Vec<u8>,
    retain: bool,
}

/// The messages of one connection, and its packet ids.
#[derive(Debug, Default)]
pub struct Outbox {
    last_id: u16,
    in_flight: heapless::Vec<u16, IN_FLIGHT_MAX>,
    queue: heapless::Deque<Waiting, QUEUE_MAX>,
}

impl Outbox {
    /// Queues a message; `false` if there is no room: nothing will be sent.
    pub fn push(&mut self, topic: Topic, payload: Vec<u8>, retain: bool) -> bool {
        self.queue.push_back(Waiting { topic, payload, retain }).is_ok()
    }

    /// The broker has it, or refused it.
    pub fn handle_acknowledged(&mut self, id: u16) {
        self.in_flight.retain(|waiting| *waiting != id);
    }

    /// The next message that may be sent. `window`: how many the broker takes at a time.
    pub fn poll_publish(&mut self, window: u16) -> Option<Outbound> {
        if self.in_flight.len() >= usize::from(window).min(IN_FLIGHT_MAX) {
            return None;
        }
        let Waiting { topic, payload, retain } = self.queue.pop_front()?;
        let id = self.fresh_id();
        // There is room: asked above.
        let _ = self.in_flight.push(id);
        Some(Outbound::Publish { topic, payload, retain, id: Some(id) })
    }

    /// A packet id that no open exchange has.
    pub fn fresh_id(&mut self) -> u16 {
        // Never 0 (MQTT 5, 2.2.1); at most ten publishes and nine subscriptions are open, so no id is met again early.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    /// The connection is gone, and with it everything that was on its way.
    pub fn clear(&mut self) {
        self.in_flight.clear();
        self.queue.clear();
    }
}
