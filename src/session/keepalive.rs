//! How long a quiet connection may be left alone. A core.
//!
//! Routers forget a mapping that is not used, each after a time of its own. The interval starts at what the operator set and
//! learns upwards while every sign of life is answered, so that a quiet box costs few packets; a loss that nothing else
//! explains takes it back to the start, and the interval that failed is not tried again behind that router.

use core::net::IpAddr;
use core::time::Duration;

/// Largest interval: routers that follow RFC 5382 REQ-5 keep an idle TCP connection for 124 minutes, but many in homes drop it
/// after five.
pub const INTERVAL_MAX: Duration = Duration::from_secs(240);
/// Step of learning.
const STEP: Duration = Duration::from_secs(30);
/// Answered probes in a row before the next step.
const PROVEN_BY: u32 = 10;

/// What has been learnt behind the present router. Kept in memory only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalive {
    start: Duration,
    interval: Duration,
    ceiling: Duration,
    answered: u32,
    gateway: Option<IpAddr>,
}

impl Keepalive {
    /// `start`: the operator's interval.
    pub fn new(start: Duration) -> Self {
        Self { start, interval: start, ceiling: INTERVAL_MAX.max(start), answered: 0, gateway: None }
    }

    /// The present interval.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// What CONNECT declares, whole seconds: the longest interval that may be reached while the connection lasts. The broker
    /// takes the NAS for gone after one and a half times that (MQTT 5, 3.1.2.10).
    pub fn declared_s(&self) -> u16 {
        u16::try_from(self.ceiling.as_secs()).unwrap_or(u16::MAX)
    }

    /// A probe after a quiet interval was answered.
    pub fn handle_answered(&mut self) {
        self.answered += 1;
        if self.answered >= PROVEN_BY && self.interval < self.ceiling {
            self.interval = (self.interval + STEP).min(self.ceiling);
            self.answered = 0;
        }
    }

    /// The connection went silent, and nothing else explains it.
    pub fn handle_loss(&mut self) {
        if self.interval > self.start {
            self.ceiling = self.interval.saturating_sub(STEP).max(self.start);
        }
        self.interval = self.start;
        self.answered = 0;
    }

    /// The way out is by this router now; what was learnt behind another does not hold.
    pub fn handle_gateway(&mut self, gateway: Option<IpAddr>) {
        if gateway.is_some() && self.gateway != gateway {
            *self = Self { gateway, ..Self::new(self.start) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(60);

    fn answered(keepalive: &mut Keepalive, times: u32) -> u64 {
        (0..times).for_each(|_| keepalive.handle_answered());
        keepalive.interval().as_secs()
    }

    #[test]
    fn it_learns_upwards_in_proven_steps_to_its_limit() {
        let mut keepalive = Keepalive::new(START);
        assert_eq!(keepalive.declared_s(), 240);
        assert_eq!(answered(&mut keepalive, 9), 60);
        assert_eq!(answered(&mut keepalive, 1), 90);
        assert_eq!(answered(&mut keepalive, 1000), 240);
    }

    #[test]
    fn what_failed_is_not_tried_again_behind_the_same_router() {
        let mut keepalive = Keepalive::new(START);
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        keepalive.handle_gateway(one);
        answered(&mut keepalive, 40);
        assert_eq!(keepalive.interval().as_secs(), 180);
        keepalive.handle_loss();
        assert_eq!(keepalive.interval(), START);
        assert_eq!(answered(&mut keepalive, 1000), 150);
        keepalive.handle_gateway(one);
        keepalive.handle_gateway(None);
        assert_eq!(keepalive.interval().as_secs(), 150, "nothing changed");
        keepalive.handle_gateway(other);
        assert_eq!((keepalive.interval(), keepalive.declared_s()), (START, 240));
    }

    #[test]
    fn a_loss_at_the_start_changes_nothing_and_long_starts_are_kept() {
        let mut keepalive = Keepalive::new(START);
        keepalive.handle_loss();
        assert_eq!(keepalive, Keepalive::new(START));
        let long = Keepalive::new(Duration::from_secs(240));
        assert_eq!((long.interval().as_secs(), long.declared_s()), (240, 240));
    }
}
