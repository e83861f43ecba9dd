//! The topics of one NAS at the broker. A core.
//!
//! | topic | who publishes |
//! |---|---|
//! | `P/n/<nas>/presence` | the NAS; its will |
//! | `P/n/<nas>/echo` | the NAS to itself |
//! | `P/n/<nas>/knock` | its devices |
//! | `P/d/<device>/notice` | the NAS to one device |
//! | `P/p/<rendezvous>/n`, `…/a` | a phone, the NAS |
//! | `P/c/<carrier>/u`, `…/d` | a device, the NAS: frames of a carrier |
//!
//! Levels are `[A-Za-z0-9_-]`, at most eight of them, which every broker allows.

use core::fmt::Write as _;

use crate::identity::KeyId;
use crate::pairing::code::Rendezvous;

/// Longest topic: a prefix of 32, three separators, a carrier of 32, the longest last level.
pub const TOPIC_MAX: usize = 80;

/// A topic of ours.
pub type Topic = heapless::String<TOPIC_MAX>;

/// Makes and reads the topics of one NAS.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: heapless::String<32>,
    nas: KeyId,
}

/// What a received message is, by its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Our own echo.
    Echo,
    /// This NAS's presence: our own, or that of a box with the same identity.
    Presence,
    /// A device speaks.
    Knock,
    /// A phone speaks in this mailbox.
    Mailbox(&'a str),
    /// Not one we asked for.
    Other,
}

impl Topics {
    /// `prefix`: the operator's first level.
    pub const fn new(prefix: heapless::String<32>, nas: KeyId) -> Self {
        Self { prefix, nas }
    }

    fn join(&self, kind: char, middle: &str, last: &str) -> Topic {
        let mut topic = Topic::new();
        // Every part is bounded by its type, and TOPIC_MAX is their sum.
        let written = write!(topic, "{}/{kind}/{middle}/{last}", self.prefix);
        debug_assert!(written.is_ok());
        topic
    }

    /// Alive or not, for devices and operators.
    pub fn presence(&self) -> Topic {
        self.join('n', self.nas.as_str(), "presence")
    }

    /// The confirmed round trip.
    pub fn echo(&self) -> Topic {
        self.join('n', self.nas.as_str(), "echo")
    }

    /// Where devices reach this NAS.
    pub fn knock(&self) -> Topic {
        self.join('n', self.nas.as_str(), "knock")
    }

    /// Where this NAS reaches a device.
    pub fn notice(&self, device: &KeyId) -> Topic {
        self.join('d', device.as_str(), "notice")
    }

    /// Where a phone speaks to the NAS that has its code.
    pub fn mailbox(&self, rendezvous: Rendezvous) -> Topic {
        self.join('p', &rendezvous.name(), "n")
    }

    /// Where that NAS answers.
    pub fn answers(&self, mailbox: &str) -> Topic {
        self.join('p', mailbox, "a")
    }

    /// What a device says in a carrier, and what the NAS does. `name`: [`carrier_name`].
    pub fn carrier(&self, name: &str) -> (Topic, Topic) {
        (self.join('c', name, "u"), self.join('c', name, "d"))
    }

    /// What a received message is.
    pub fn kind<'a>(&self, topic: &'a str) -> Kind<'a> {
        let mut levels = topic.splitn(5, '/');
        let parts = [levels.next(), levels.next(), levels.next(), levels.next(), levels.next()];
        match parts {
            [Some(p), Some("n"), Some(nas), Some(last), None]
                if p == self.prefix && nas == self.nas.as_str() =>
            {
                match last {
                    "echo" => Kind::Echo,
                    "knock" => Kind::Knock,
                    "presence" => Kind::Presence,
                    _ => Kind::Other,
                }
            }
            [Some(p), Some("p"), Some(mailbox), Some("n"), None] if p == self.prefix => {
                Kind::Mailbox(mailbox)
            }
            _ => Kind::Other,
        }
    }
}

/// A carrier's level, by the number that its device chose.
pub fn carrier_name(id: &[u8; 16]) -> heapless::String<32> {
    let mut name = heapless::String::new();
    for byte in id {
        // 32 digits fit.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::code::Code;
    use crate::random::Seeded;

    fn topics(prefix: &str) -> Topics {
        Topics::new(heapless::String::try_from(prefix).unwrap(), "0123456789abcdefghjk".parse().unwrap())
    }

    #[test]
    fn topics_are_read_as_they_are_made() {
        let topics = topics("moorline");
        let rendezvous = Code::mint(&mut Seeded::new(1)).rendezvous();
        assert_eq!(topics.presence(), "moorline/n/0123456789abcdefghjk/presence");
        assert_eq!(topics.kind(&topics.echo()), Kind::Echo);
        assert_eq!(topics.kind(&topics.knock()), Kind::Knock);
        assert_eq!(topics.kind(&topics.mailbox(rendezvous)), Kind::Mailbox(&rendezvous.name()));
    }

    #[test]
    fn other_topics_are_not_ours() {
        let topics = topics("moorline");
        for other in [
            "",
            "/",
            "moorline",
            "moorline/n/0123456789abcdefghjk/echo/x",
            "moorline/n/0123456789abcdefghjz/echo",
            "other/n/0123456789abcdefghjk/echo",
            "moorline/p/ABCDE/a",
            "moorline/p/ABCDE",
        ] {
            assert_eq!(topics.kind(other), Kind::Other, "{other}");
        }
    }

    #[test]
    fn the_longest_topic_fits() {
        let topics = topics(&"x".repeat(32));
        assert_eq!(topics.presence().len(), 32 + 3 + 20 + 1 + 8);
        let (up, down) = topics.carrier(&carrier_name(&[0xab; 16]));
        assert!(up.ends_with("/abababababababababababababababab/u") && down.ends_with("/d"));
        assert!(topics.notice(&"0123456789abcdefghjk".parse().unwrap()).ends_with("/notice"));
    }
}
