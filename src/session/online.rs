//! A session that a round trip has confirmed: when it was last heard, when it speaks, when it is given up. A core.

use core::time::Duration;

use super::cause::Cause;
use crate::random::{self, Random};
use crate::units::Mono;

/// Wait for the answer to a probe: half the interval, so that a silent connection is noticed after one and a half, and within
/// these bounds. The lower one has room for a slow line that loses a packet.
const PROBE_MAX: Duration = Duration::from_secs(10);
const PROBE_MIN: Duration = Duration::from_secs(4);
/// A session this old is stable: the back-off falls back to its start.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Even a busy session proves the whole round trip this often.
const CONFIRM_EVERY: Duration = Duration::from_secs(600);
/// How long presence says that the NAS is alive; renewed at half of it.
pub const PRESENCE_LEASE: Duration = Duration::from_secs(600);

/// A probe under way: our own message and a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe {
    nonce: u64,
    deadline: Mono,
    pong: bool,
    /// It was sent because the connection had been quiet for the whole interval.
    quiet: bool,
}

/// The times of an open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Online {
    since: Mono,
    received: Mono,
    sent: Mono,
    confirmed: Mono,
    presence_due: Mono,
    probe: Option<Probe>,
    stable: bool,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The session has become stable.
    pub stable: bool,
    /// Presence is to be renewed.
    pub presence: bool,
    /// An echo with this nonce is to be sent.
    pub echo: Option<u64>,
    /// A ping is to be sent.
    pub ping: bool,
}

impl Online {
    /// Confirmed just now.
    pub fn new(now: Mono) -> Self {
        Self {
            since: now,
            received: now,
            sent: now,
            confirmed: now,
            presence_due: now.after(PRESENCE_LEASE / 2),
            probe: None,
            stable: false,
        }
    }

    /// The last confirmed round trip.
    pub const fn confirmed(&self) -> Mono {
        self.confirmed
    }

    /// When `handle_timeout` is to be called. `keepalive`: the present interval.
    pub fn timeout(&self, keepalive: Duration) -> Mono {
        let probe = match self.probe {
            Some(probe) => probe.deadline,
            None => self.received.after(keepalive).min(self.confirmed.after(CONFIRM_EVERY)),
        };
        let stable = if self.stable { None } else { Some(self.since.after(STABLE_AFTER)) };
        let first = probe.min(self.sent.after(keepalive)).min(self.presence_due);
        stable.map_or(first, |s| s.min(first))
    }

    /// Something came from the broker.
    pub const fn handle_received(&mut self, now: Mono) {
        self.received = now;
    }

    /// PINGRESP.
    pub const fn handle_pong(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.pong = true;
        }
    }

    /// An echo came back. `None`: not the one that is waited for; otherwise whether it ended a quiet interval.
    pub fn handle_echo(&mut self, now: Mono, nonce: u64) -> Option<bool> {
        let probe = self.probe.filter(|p| p.nonce == nonce)?;
        self.probe = None;
        self.confirmed = now;
        Some(probe.quiet)
    }

    /// Nobody was there to handle what was due.
    pub fn handle_pause(&mut self, now: Mono, keepalive: Duration) {
        if let Some(probe) = &mut self.probe {
            probe.deadline = now.after(patience(keepalive));
        }
    }

    /// The network changed: the nonce of an echo to be sent at once, unless one is on its way.
    pub fn handle_doubt(&mut self, now: Mono, keepalive: Duration, random: &mut dyn Random) -> Option<u64> {
        if self.probe.is_some() {
            return None;
        }
        Some(self.start_probe(now, keepalive, false, random))
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The session is over: `Silent`, or `EchoLost` if the broker at least answered the ping.
    pub fn handle_timeout(
        &mut self,
        now: Mono,
        keepalive: Duration,
        random: &mut dyn Random,
    ) -> Result<Due, Cause> {
        if let Some(probe) = self.probe.filter(|p| p.deadline <= now) {
            return Err(if probe.pong { Cause::EchoLost } else { Cause::Silent });
        }
        let mut due = Due::default();
        let quiet = self.received.after(keepalive) <= now;
        let unheard = self.sent.after(keepalive) <= now;
        if !self.stable && self.since.after(STABLE_AFTER) <= now {
            (self.stable, due.stable) = (true, true);
        }
        if self.presence_due <= now {
            self.presence_due = now.after(PRESENCE_LEASE / 2);
            due.presence = true;
        }
        if self.probe.is_none() && (quiet || self.confirmed.after(CONFIRM_EVERY) <= now) {
            due.echo = Some(self.start_probe(now, keepalive, quiet, random));
        }
        due.ping = due.echo.is_some() || unheard;
        if due.ping {
            self.sent = now;
        }
        Ok(due)
    }

    fn start_probe(&mut self, now: Mono, keepalive: Duration, quiet: bool, random: &mut dyn Random) -> u64 {
        let nonce = u64::from_le_bytes(random::bytes(random));
        let deadline = now.after(patience(keepalive));
        self.probe = Some(Probe { nonce, deadline, pong: false, quiet });
        self.sent = now;
        nonce
    }
}

fn patience(keepalive: Duration) -> Duration {
    (keepalive / 2).clamp(PROBE_MIN, PROBE_MAX)
}
