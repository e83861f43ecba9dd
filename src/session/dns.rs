//! One question to a name server and its answer, as bytes (RFC 1035), over the message types of the `domain` crate. A core.

use core::net::IpAddr;

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::{A, Aaaa};

/// Addresses taken from one answer.
const ANSWERS_MAX: usize = 16;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A.
    V4,
    /// AAAA.
    V6,
}

impl Family {
    const fn rtype(self) -> Rtype {
        match self {
            Self::V4 => Rtype::A,
            Self::V6 => Rtype::AAAA,
        }
    }
}

/// What a name server says to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses; none: the name exists, but not with this family.
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN.
    NoSuchName,
    /// It would not or could not answer: its response code (RFC 1035, 4.1.1), 2 SERVFAIL, 5 REFUSED.
    Failed(u8),
    /// It did not fit; the same question over TCP has the rest.
    Truncated,
}

/// A name that DNS cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name that DNS can carry")]
pub struct BadName;

/// The bytes of a question.
///
/// # Errors
/// [`BadName`].
pub fn question(id: u16, name: &str, family: Family) -> Result<Vec<u8>, BadName> {
    let name: Name<Vec<u8>> = name.parse().map_err(|_| BadName)?;
    let mut message = MessageBuilder::from_target(Vec::with_capacity(512)).map_err(|_| BadName)?;
    message.header_mut().set_id(id);
    message.header_mut().set_rd(true);
    let mut questions = message.question();
    questions.push((name, family.rtype())).map_err(|_| BadName)?;
    Ok(questions.finish())
}

/// Reads a datagram that came from the server. `None`: not the answer to this question; whoever sent it is not believed.
pub fn answer(datagram: &[u8], id: u16, name: &str, family: Family) -> Option<Answer> {
    let message = Message::from_octets(datagram).ok()?;
    let header = message.header();
    if !header.qr() || header.id() != id {
        return None;
    }
    match message.sole_question() {
        Ok(asked) => {
            let name: Name<Vec<u8>> = name.parse().ok()?;
            if asked.qname() != &name || asked.qtype() != family.rtype() {
                return None;
            }
        }
        // Some servers leave the question out when they refuse.
        Err(_) if header.rcode() != Rcode::NOERROR => {}
        Err(_) => return None,
    }
    if header.tc() {
        return Some(Answer::Truncated);
    }
    Some(match header.rcode() {
        Rcode::NOERROR => Answer::Addresses(addresses(&message, family)?),
        Rcode::NXDOMAIN => Answer::NoSuchName,
        other => Answer::Failed(other.to_int()),
    })
}

/// The addresses of the answer section, aliases followed by the server already.
fn addresses(message: &Message<&[u8]>, family: Family) -> Option<Vec<IpAddr>> {
    let section = message.answer().ok()?;
    let found: Vec<IpAddr> = match family {
        Family::V4 => {
            section.limit_to_in::<A>().flatten().take(ANSWERS_MAX).map(|r| r.data().addr().into()).collect()
        }
        Family::V6 => section
            .limit_to_in::<Aaaa>()
            .flatten()
            .take(ANSWERS_MAX)
            .map(|r| r.data().addr().into())
            .collect(),
    };
    Some(found)
}

/// The name of a response code, as people search for it.
pub const fn rcode_name(code: u8) -> &'static str {
    match code {
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        _ => "an error",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use domain::base::iana::Class;
    use proptest::prelude::*;

    /// What a name server would send.
    pub(in crate::session) fn reply(question: &[u8], rcode: Rcode, addresses: &[&str]) -> Vec<u8> {
        let question = Message::from_octets(question).unwrap();
        let name: Name<Vec<u8>> = question.sole_question().unwrap().qname().to_string().parse().unwrap();
        let mut answer =
            MessageBuilder::from_target(Vec::new()).unwrap().start_answer(&question, rcode).unwrap();
        for address in addresses {
            match address.parse().unwrap() {
                IpAddr::V4(a) => answer.push((&name, Class::IN, 60, A::new(a))).unwrap(),
                IpAddr::V6(a) => answer.push((&name, Class::IN, 60, Aaaa::new(a))).unwrap(),
            }
        }
        answer.finish()
    }

    #[test]
    fn a_question_is_what_rfc_1035_draws() {
        let bytes = question(0x1234, "broker.lab", Family::V6).unwrap();
        assert_eq!(
            bytes,
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06broker\x03lab\x00\x00\x1c\x00\x01"
        );
        assert_eq!(question(1, &"a".repeat(64), Family::V4), Err(BadName));
        assert_eq!(question(1, &"a.".repeat(130), Family::V4), Err(BadName));
    }

    #[test]
    fn answers_are_told_apart() {
        let ask = |family| question(7, "Broker.lab", family).unwrap();
        let read = |bytes: &[u8], family| answer(bytes, 7, "broker.LAB", family);
        let (v4, v6) = (ask(Family::V4), ask(Family::V6));
        let addresses =
            |texts: &[&str]| Some(Answer::Addresses(texts.iter().map(|t| t.parse().unwrap()).collect()));
        let both = reply(&v4, Rcode::NOERROR, &["192.0.2.1", "192.0.2.2"]);
        assert_eq!(read(&both, Family::V4), addresses(&["192.0.2.1", "192.0.2.2"]));
        assert_eq!(read(&both, Family::V6), None, "the answer to another question");
        assert_eq!(
            read(&reply(&v6, Rcode::NOERROR, &["2001:db8::1"]), Family::V6),
            addresses(&["2001:db8::1"])
        );
        assert_eq!(read(&reply(&v6, Rcode::NOERROR, &[]), Family::V6), addresses(&[]));
        assert_eq!(read(&reply(&v4, Rcode::NXDOMAIN, &[]), Family::V4), Some(Answer::NoSuchName));
        assert_eq!(read(&reply(&v4, Rcode::REFUSED, &[]), Family::V4), Some(Answer::Failed(5)));
        let mut cut = both.clone();
        cut[2] |= 2;
        assert_eq!(read(&cut, Family::V4), Some(Answer::Truncated));
    }

    #[test]
    fn what_is_not_the_answer_is_not_believed() {
        let asked = question(7, "broker.lab", Family::V4).unwrap();
        let good = reply(&asked, Rcode::NOERROR, &["192.0.2.1"]);
        assert!(answer(&good, 7, "broker.lab", Family::V4).is_some());
        assert_eq!(answer(&good, 8, "broker.lab", Family::V4), None, "another id");
        assert_eq!(answer(&good, 7, "other.lab", Family::V4), None, "another name");
        assert_eq!(answer(&asked, 7, "broker.lab", Family::V4), None, "a question");
        assert_eq!(
            answer(&good[..good.len() - 20], 7, "broker.lab", Family::V4),
            Some(Answer::Addresses(vec![]))
        );
        // A refusal without the question in it.
        assert_eq!(
            answer(&[0, 7, 0x81, 0x05, 0, 0, 0, 0, 0, 0, 0, 0], 7, "x", Family::V4),
            Some(Answer::Failed(5))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_datagrams_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = answer(&bytes, 7, "broker.lab", Family::V4);
        }

        #[test]
        fn damaged_answers_never_panic(at in 0usize..60, byte: u8, cut in 12usize..60) {
            let asked = question(7, "broker.lab", Family::V6).unwrap();
            let mut bytes = reply(&asked, Rcode::NOERROR, &["2001:db8::1", "2001:db8::2"]);
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(cut.min(length));
            let _ = answer(&bytes, 7, "broker.lab", Family::V6);
        }
    }
}
