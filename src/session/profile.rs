//! Which MQTT is spoken: 5 first, 3.1.1 to a broker that does not know 5. A core.

use core::time::Duration;

use super::packet::Level;
use crate::units::Mono;

/// Logins to MQTT 5 that may end without a word before MQTT 3.1.1 is tried: some old brokers do not even refuse.
const MUTE_LOGINS: u32 = 2;
/// A broker that took only 3.1.1 is offered 5 again this long after: it may have been replaced.
const OFFER_AGAIN: Duration = Duration::from_secs(3600);

/// What has been learnt of the broker.
#[derive(Clone, Debug)]
pub struct Profile {
    level: Level,
    offered_v5: Mono,
    mute_logins: u32,
}

impl Profile {
    /// Nothing is known yet.
    pub const fn new(now: Mono) -> Self {
        Self { level: Level::V5, offered_v5: now, mute_logins: 0 }
    }

    /// A login begins: the protocol to offer.
    pub fn handle_login(&mut self, now: Mono) -> Level {
        if self.level == Level::V311 && now.since(self.offered_v5) >= OFFER_AGAIN {
            self.level = Level::V5;
        }
        if self.level == Level::V5 {
            self.offered_v5 = now;
        }
        self.level
    }

    /// The login succeeded.
    pub const fn handle_welcome(&mut self) {
        self.mute_logins = 0;
    }

    /// The broker does not know this protocol.
    pub const fn handle_unsupported(&mut self) {
        self.mute_logins = 0;
        self.level = match self.level {
            Level::V5 => Level::V311,
            Level::V311 => Level::V5,
        };
    }

    /// The login was answered by nothing that makes sense.
    pub fn handle_mute(&mut self) {
        self.mute_logins += 1;
        if self.level == Level::V311 || self.mute_logins >= MUTE_LOGINS {
            self.handle_unsupported();
        }
    }
}
