//! Names, records and messages of multicast DNS as bytes, over the `domain` crate. A core.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::message_builder::PushError;
use domain::base::name::{NameBuilder, ParsedName};
use domain::base::rdata::ComposeRecordData;
use domain::base::{Message, MessageBuilder, Name, ParsedRecord, Rtype, StaticCompressor, Ttl};
use domain::rdata::dnssec::RtypeBitmapBuilder;
use domain::rdata::rfc1035::TxtBuilder;
use domain::rdata::{A, Aaaa, AllRecordData, Nsec, Ptr, Srv};

/// Where everybody speaks and listens (RFC 6762, 3).
pub const PORT: u16 = 5353;
/// The group of IPv4.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The group of IPv6.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Longest message that is sent: fits the Ethernet's 1500 with the headers of IPv6 and UDP to spare (RFC 6762, 17).
pub(super) const MESSAGE_MAX: usize = 1440;
/// Questions that are looked at in one message.
pub(super) const QUESTIONS_MAX: usize = 32;
/// Records that are looked at in one message.
pub(super) const RECORDS_MAX: usize = 128;

/// In a question's class: an answer by unicast will do; in a record's: others of this name and type are to be forgotten (RFC 6762,
/// 5.4, 10.2).
const TOP_BIT: u16 = 0x8000;
/// Lifetime of records that name or are an address (RFC 6762, 10).
pub(super) const TTL_HOST: u32 = 120;
/// Lifetime of the others.
pub(super) const TTL_OTHER: u32 = 4500;
/// Longest lifetime told to a resolver that is none of multicast DNS (RFC 6762, 6.7).
const TTL_LEGACY: u32 = 10;

/// A name that is kept.
pub(super) type Owned = Name<Vec<u8>>;
/// What a record of ours says.
pub(super) type Data = AllRecordData<Vec<u8>, Owned>;
/// What a record that came says.
pub(super) type ParsedData<'a> = AllRecordData<&'a [u8], ParsedName<&'a [u8]>>;

/// A record of ours.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) owner: Owned,
    /// Nobody else has records of this name and type.
    pub(super) unique: bool,
    pub(super) ttl: u32,
    pub(super) data: Data,
}

/// A record that came.
pub(super) struct Seen<'a> {
    pub(super) owner: ParsedName<&'a [u8]>,
    pub(super) ttl: u32,
    pub(super) data: ParsedData<'a>,
}

/// A question that came.
pub(super) struct Asked<'a> {
    pub(super) name: ParsedName<&'a [u8]>,
    pub(super) rtype: Rtype,
    pub(super) class: Class,
    /// An answer by unicast will do.
    pub(super) unicast: bool,
}

/// A name from its labels, which may hold any characters. Labels of ours are at most 63 bytes and names at most 255, so that the
/// root, which is what too much becomes, is never seen.
pub(super) fn name(labels: &[&[u8]]) -> Owned {
    let mut builder = NameBuilder::new_vec();
    for label in labels {
        if builder.append_label(label).is_err() {
            return Name::root_vec();
        }
    }
    builder.into_name().unwrap_or_else(|_| Name::root_vec())
}

/// `_moorline._tcp.local`.
pub(super) fn service() -> Owned {
    name(&[b"_moorline", b"_tcp", b"local"])
}

/// Under which the kinds of service are listed (RFC 6763, 9).
pub(super) fn services() -> Owned {
    name(&[b"_services", b"_dns-sd", b"_udp", b"local"])
}

pub(super) fn ptr(to: Owned) -> Data {
    AllRecordData::Ptr(Ptr::new(to))
}

pub(super) fn srv(port: u16, host: Owned) -> Data {
    AllRecordData::Srv(Srv::new(0, 0, port, host))
}

/// `None`: a text of more than 255 bytes.
pub(super) fn txt(texts: &[&[u8]]) -> Option<Data> {
    let mut builder = TxtBuilder::<Vec<u8>>::new();
    for text in texts {
        let text = domain::base::CharStr::from_slice(text).ok()?;
        builder.append_charstr(text).ok()?;
    }
    Some(AllRecordData::Txt(builder.finish().ok()?))
}

pub(super) fn address(ip: IpAddr) -> Data {
    match ip {
        IpAddr::V4(a) => AllRecordData::A(A::new(a)),
        IpAddr::V6(a) => AllRecordData::Aaaa(Aaaa::new(a)),
    }
}

/// Says that `host` has records of these types and no others (RFC 6762, 6.1).
pub(super) fn only(host: Owned, types: &[Rtype]) -> Data {
    let mut bitmap = RtypeBitmapBuilder::new_vec();
    for rtype in types {
        // Cannot fail: a Vec takes what it gets.
        let _ = bitmap.add(*rtype);
    }
    AllRecordData::Nsec(Nsec::new(host, bitmap.finalize()))
}

/// What a record says as uncompressed bytes: how claims to a name are compared (RFC 6762, 8.2).
pub(super) fn plain(data: &impl ComposeRecordData) -> Vec<u8> {
    let mut out = Vec::new();
    // Cannot fail: a Vec takes what it gets.
    let _ = data.compose_rdata(&mut out);
    out
}

/// A message that may be looked at: other operations and errors are ignored (RFC 6762, 18.3, 18.11).
pub(super) fn read(bytes: &[u8]) -> Option<Message<&[u8]>> {
    let message = Message::from_octets(bytes).ok()?;
    let header = message.header();
    (header.opcode() == Opcode::QUERY && header.rcode() == Rcode::NOERROR).then_some(message)
}

/// The questions of a message, as far as they can be read.
pub(super) fn questions<'a>(message: &'a Message<&'a [u8]>) -> impl Iterator<Item = Asked<'a>> {
    message.question().take(QUESTIONS_MAX).map_while(Result::ok).map(|q| {
        let class = q.qclass().to_int();
        Asked {
            name: *q.qname(),
            rtype: q.qtype(),
            class: Class::from_int(class & !TOP_BIT),
            unicast: class & TOP_BIT != 0,
        }
    })
}

fn seen<'a>(record: &ParsedRecord<'a, &'a [u8]>) -> Option<Seen<'a>> {
    if record.class().to_int() & !TOP_BIT != Class::IN.to_int() {
        return None;
    }
    let ttl = record.ttl().as_secs();
    let record = record.clone().into_any_record::<ParsedData<'a>>().ok()?;
    let (owner, data) = record.into_owner_and_data();
    Some(Seen { owner, ttl, data })
}

/// The records of the answer section: in a query those that are known already.
pub(super) fn answers<'a>(message: &'a Message<&'a [u8]>) -> impl Iterator<Item = Seen<'a>> {
    message.answer().into_iter().flatten().take(RECORDS_MAX).map_while(Result::ok).filter_map(|r| seen(&r))
}

/// The records of the authority section: in a query those that its sender wants to have.
pub(super) fn claims<'a>(message: &'a Message<&'a [u8]>) -> impl Iterator<Item = Seen<'a>> {
    message.authority().into_iter().flatten().take(RECORDS_MAX).map_while(Result::ok).filter_map(|r| seen(&r))
}

/// The records of all sections.
pub(super) fn records<'a>(message: &'a Message<&'a [u8]>) -> impl Iterator<Item = Seen<'a>> {
    message.iter().take(RECORDS_MAX).map_while(Result::ok).filter_map(|(r, _)| seen(&r))
}

/// How an answer is put.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// To those who speak multicast DNS.
    Usual,
    /// The same, but it is over.
    Goodbye,
    /// To a resolver that knows only plain DNS: its id and question repeated, short lifetimes (RFC 6762, 6.7).
    Legacy { id: u16, question: Option<(Owned, Rtype)> },
}

impl Form {
    fn ttl(&self, own: &Own) -> Ttl {
        Ttl::from_secs(match self {
            Self::Usual => own.ttl,
            Self::Goodbye => 0,
            Self::Legacy { .. } => own.ttl.min(TTL_LEGACY),
        })
    }

    fn class(&self, own: &Own) -> Class {
        let flush = own.unique && !matches!(self, Self::Legacy { .. });
        Class::from_int(Class::IN.to_int() | if flush { TOP_BIT } else { 0 })
    }
}

type Builder = MessageBuilder<StaticCompressor<Vec<u8>>>;

fn start() -> Option<Builder> {
    let target = StaticCompressor::new(Vec::with_capacity(512));
    let mut message = MessageBuilder::from_target(target).ok()?;
    message.set_push_limit(MESSAGE_MAX);
    Some(message)
}

/// An answer. What goes beyond [`MESSAGE_MAX`] is left out. `None`: nothing could be put in.
pub(super) fn response(form: &Form, answers: &[Own], additional: &[Own]) -> Option<Vec<u8>> {
    let mut message = start()?;
    message.header_mut().set_qr(true);
    message.header_mut().set_aa(true);
    let mut questions = message.question();
    if let Form::Legacy { id, question } = form {
        questions.header_mut().set_id(*id);
        if let Some((name, rtype)) = question {
            questions.push((name, *rtype)).ok()?;
        }
    }
    let mut section = questions.answer();
    for own in answers {
        if section.push((&own.owner, form.class(own), form.ttl(own), &own.data)).is_err() {
            break;
        }
    }
    if section.counts().ancount() == 0 {
        return None;
    }
    let mut section = section.additional();
    for own in additional {
        if section.push((&own.owner, form.class(own), form.ttl(own), &own.data)).is_err() {
            break;
        }
    }
    Some(section.finish().into_target())
}

/// One question whose answers are wanted by unicast (RFC 6762, 5.4).
pub(super) fn query_by_unicast(name: &Owned, rtype: Rtype) -> Option<Vec<u8>> {
    let mut section = start()?.question();
    section.push((name, rtype, Class::from_int(Class::IN.to_int() | TOP_BIT))).ok()?;
    Some(section.finish().into_target())
}

/// A question with what is known already and, if names are asked for to have them, what they would hold. `None`: too much.
///
/// Answers by unicast are not asked for, though a probe might (RFC 6762, 8.1): port 5353 is shared, with avahi for example, and the
/// kernel gives a unicast packet to one of the sockets only (15.1).
pub(super) fn query(questions: &[(Owned, Rtype)], known: &[Own], claims: &[Own]) -> Option<Vec<u8>> {
    let mut section = start()?.question();
    for (name, rtype) in questions {
        section.push((name, *rtype)).ok()?;
    }
    let mut section = section.answer();
    for own in known {
        // Known answers that find no place are merely answered once more.
        if push_plain(own, |r| section.push(r)).is_err() {
            break;
        }
    }
    let mut section = section.authority();
    for own in claims {
        push_plain(own, |r| section.push(r)).ok()?;
    }
    Some(section.finish().into_target())
}

/// Without the bit that makes others forget: it has no meaning in a question (RFC 6762, 10.2).
fn push_plain(
    own: &Own,
    push: impl FnOnce((&Owned, Class, Ttl, &Data)) -> Result<(), PushError>,
) -> Result<(), PushError> {
    push((&own.owner, Class::IN, Ttl::from_secs(own.ttl), &own.data))
}
