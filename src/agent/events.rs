//! The last events and those who follow them.

use serde::Serialize;
use smol::channel::{Receiver, Sender, TrySendError};

use crate::clock::Now;
use crate::control::io::Event;

/// Events that are kept for those who come back with `Last-Event-ID`.
const KEPT: usize = 256;
/// Events that wait for one follower. One that is slower is let go; it can come back.
const PENDING_MAX: usize = 64;
/// Followers; more than the control socket has connections there cannot be.
const FOLLOWERS_MAX: usize = 64;

/// The ring.
#[derive(Default)]
pub(super) struct Events {
    last: u64,
    ring: std::collections::VecDeque<Event>,
    followers: Vec<Sender<Event>>,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    uptime_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(flatten)]
    data: &'a T,
}

impl Events {
    /// Something happened.
    pub(super) fn push<T: Serialize>(&mut self, now: &Now, kind: &'static str, data: &T) {
        self.last += 1;
        let at = now.wall.known().and_then(crate::units::UnixSeconds::rfc3339);
        let envelope = Envelope { uptime_s: now.mono.as_millis() / 1000, at, data };
        let data = serde_json::to_string(&envelope).unwrap_or_default();
        let event = Event { id: self.last, kind, data };
        self.followers.retain(|f| match f.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => false,
        });
        if self.ring.len() == KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
    }

    /// What came after `seen`, and a channel for what comes.
    pub(super) fn follow(&mut self, seen: Option<u64>) -> (Vec<Event>, Receiver<Event>) {
        let first = match seen {
            Some(seen) => self.ring.iter().filter(|e| e.id > seen).cloned().collect(),
            None => Vec::new(),
        };
        let (sender, receiver) = smol::channel::bounded(PENDING_MAX);
        self.followers.retain(|f| !f.is_closed());
        if self.followers.len() < FOLLOWERS_MAX {
            self.followers.push(sender);
        }
        (first, receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::BootId;
    use crate::units::{Mono, UnixSeconds, Wall};

    fn now(wall: Wall) -> Now {
        Now { boot: BootId([0; 8]), mono: Mono::from_millis(5000), wall }
    }

    #[test]
    fn the_ring_is_bounded_and_answers_last_event_id() {
        let mut events = Events::default();
        for i in 0..300 {
            events.push(
                &now(Wall::Unknown),
                "test",
                &[("n", i)].into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            );
        }
        let (first, _) = events.follow(Some(298));
        assert_eq!(first.iter().map(|e| e.id).collect::<Vec<_>>(), [299, 300]);
        assert_eq!(first[1].data, r#"{"uptime_s":5,"n":299}"#);
        assert_eq!(events.follow(Some(0)).0.len(), KEPT);
        assert!(events.follow(None).0.is_empty());
    }

    #[test]
    fn a_slow_follower_is_let_go() {
        let mut events = Events::default();
        let (_, receiver) = events.follow(None);
        let data = std::collections::BTreeMap::from([("x", 1)]);
        for _ in 0..PENDING_MAX + 1 {
            events.push(&now(Wall::Known(UnixSeconds(1_700_000_000))), "test", &data);
        }
        assert!(events.followers.is_empty());
        assert_eq!(std::iter::from_fn(|| receiver.try_recv().ok()).count(), PENDING_MAX);
    }
}
