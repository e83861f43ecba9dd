//! HTTP/1.1 as the control socket speaks it: bytes → requests, answers → bytes. A core, over `httparse`.
//!
//! Strict where leniency has bitten others: one Content-Length of digits, no transfer coding, nothing folded, limits
//! before anything is kept.

use std::fmt::Write as _;

use serde::Serialize;

use super::fault::Fault;
use super::route::Refused;

/// Longest head. Our longest request line and fields have some hundred bytes; web servers' own fields come on top.
pub const HEAD_MAX: usize = 8 * 1024;
/// Most fields of a head.
pub const FIELDS_MAX: usize = 32;
/// Longest body: the largest request has some hundred bytes.
pub const BODY_MAX: usize = 16 * 1024;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// GET and so on; HEAD is given as GET with `head`.
    pub method: String,
    /// Whether only the head of the answer is wanted.
    pub head: bool,
    /// Decoded path.
    pub path: String,
    /// Decoded query.
    pub query: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// `Last-Event-ID`.
    pub last_event_id: Option<String>,
    /// Whether the connection ends with the answer.
    pub close: bool,
}

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request, and how many bytes it took.
    Whole(Box<Request>, usize),
    /// More bytes are needed; `expects_continue`: the caller waits for `100 Continue` before it sends the body.
    Partial {
        /// RFC 9110, 10.1.1.
        expects_continue: bool,
    },
}

/// Parses the start of `bytes`.
///
/// # Errors
/// [`Refused`]: to be answered, and the connection closed.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Refused> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let head = match request.parse(bytes.get(..HEAD_MAX).unwrap_or(bytes)) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_MAX => {
            return Err(Refused::new(Fault::HeadTooLarge, format!("more than {HEAD_MAX} bytes")));
        }
        Ok(httparse::Status::Partial) => return Ok(Parsed::Partial { expects_continue: false }),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refused::new(Fault::HeadTooLarge, format!("more than {FIELDS_MAX} fields")));
        }
        Err(error) => return Err(Refused::new(Fault::BadRequest, error.to_string())),
    };
    let facts = Facts::read(&request)?;
    if facts.length > BODY_MAX {
        return Err(Refused::new(Fault::BodyTooLarge, format!("{} bytes, at most {BODY_MAX}", facts.length)));
    }
    let Some(body) = bytes.get(head..head + facts.length) else {
        return Ok(Parsed::Partial { expects_continue: facts.expects_continue && bytes.len() == head });
    };
    let (path, query) = target(request.path.unwrap_or_default())?;
    let method = request.method.unwrap_or_default();
    let is_head = method == "HEAD";
    let request = Request {
        method: if is_head { "GET" } else { method }.to_owned(),
        head: is_head,
        path,
        query,
        body: body.to_vec(),
        last_event_id: facts.last_event_id,
        close: facts.close,
    };
    Ok(Parsed::Whole(Box::new(request), head + facts.length))
}

/// What the fields of a head say to us.
struct Facts {
    length: usize,
    close: bool,
    expects_continue: bool,
    last_event_id: Option<String>,
}

impl Facts {
    fn read(request: &httparse::Request<'_, '_>) -> Result<Self, Refused> {
        let bad = |detail: &str| Refused::new(Fault::BadRequest, detail);
        let mut length = None;
        let mut facts = Self {
            length: 0,
            close: request.version == Some(0),
            expects_continue: false,
            last_event_id: None,
        };
        for field in request.headers.iter() {
            let value = std::str::from_utf8(field.value).map_err(|_| bad("a field that is not text"))?.trim();
            match field.name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    let digits =
                        !value.is_empty() && value.len() <= 12 && value.bytes().all(|b| b.is_ascii_digit());
                    let bytes = value
                        .parse::<usize>()
                        .ok()
                        .filter(|_| digits)
                        .ok_or_else(|| bad("a bad Content-Length"))?;
                    if length.is_some() {
                        return Err(bad("two Content-Lengths"));
                    }
                    length = Some(bytes);
                }
                "transfer-encoding" => {
                    return Err(Refused::new(Fault::NotImplemented, "Transfer-Encoding in a request"));
                }
                "connection" => {
                    for token in value.split(',').map(str::trim) {
                        facts.close |= token.eq_ignore_ascii_case("close");
                    }
                }
                "expect" => facts.expects_continue = value.eq_ignore_ascii_case("100-continue"),
                "last-event-id" => facts.last_event_id = Some(value.to_owned()),
                _ => {}
            }
        }
        facts.length = length.unwrap_or(0);
        Ok(facts)
    }
}

/// Path and query pairs.
type Target = (String, Vec<(String, String)>);

fn target(text: &str) -> Result<Target, Refused> {
    if !text.starts_with('/') {
        return Err(Refused::new(Fault::BadRequest, "the target is not a path"));
    }
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let decoded = decode(path, false)?;
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((decode(key, true)?, decode(value, true)?));
    }
    Ok((decoded, pairs))
}

/// Percent-decoding (RFC 3986, 2.1); in queries `+` is a blank. What decodes to a slash or a control character in a
/// path is refused: no name of ours has one.
fn decode(text: &str, query: bool) -> Result<String, Refused> {
    let bad = || Refused::new(Fault::BadRequest, "the target is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
                let value = digit(rest.next())? * 16 + digit(rest.next())?;
                let value = u8::try_from(value).map_err(|_| bad())?;
                if !query && value == b'/' {
                    return Err(bad());
                }
                value
            }
            b'+' if query => b' ',
            other => other,
        };
        bytes.push(decoded);
    }
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    if text.chars().any(char::is_control) { Err(bad()) } else { Ok(text) }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub media_type: &'static str,
    /// Value of `Allow`, with a 405.
    pub allow: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// 200 with a value as JSON.
    pub fn json<T: Serialize>(value: &T) -> Self {
        Self::json_with(200, value)
    }

    /// A value as JSON with another status.
    pub fn json_with<T: Serialize>(status: u16, value: &T) -> Self {
        // Our own types have string keys and no failing serializers.
        let mut body = serde_json::to_vec(value).unwrap_or_default();
        body.push(b'\n');
        Self { status, media_type: "application/json", allow: None, body }
    }

    /// 200 with a text.
    pub fn text(media_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, media_type, allow: None, body: body.into() }
    }

    /// A refusal as problem details (RFC 9457).
    pub fn problem(refused: &Refused) -> Self {
        let entry = refused.fault.entry();
        let problem = Problem {
            code: entry.name,
            title: entry.title,
            status: entry.status,
            detail: &refused.detail,
            remedy: entry.remedy,
        };
        let mut response = Self::json_with(entry.status, &problem);
        response.media_type = "application/problem+json";
        response
    }

    /// As bytes; without the body for HEAD.
    pub fn encode(&self, head: bool, close: bool) -> Vec<u8> {
        let mut text = String::new();
        let reason = reason(self.status);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n",
            self.status,
            self.media_type,
            self.body.len()
        );
        if let Some(allow) = &self.allow {
            let _ = write!(text, "Allow: {allow}\r\n");
        }
        if close {
            text.push_str("Connection: close\r\n");
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if !head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    code: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    remedy: &'a str,
}

/// Head of an event stream (text/event-stream of the HTML standard, in chunks).
pub const EVENTS_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
/// A comment that keeps the stream alive and finds out whether somebody still listens.
pub const EVENTS_HEARTBEAT: &[u8] = b"3\r\n:\n\n\r\n";

/// One event as a chunk of the stream. `data` has no line ends: it is JSON.
pub fn event_chunk(id: u64, kind: &str, data: &str) -> Vec<u8> {
    let event = format!("id: {id}\nevent: {kind}\ndata: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Ok(Parsed::Whole(request, used)) => {
                assert_eq!(used, text.len());
                *request
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(text: &str, fault: Fault) {
        assert_eq!(parse(text.as_bytes()).map_err(|r| r.fault), Err(fault), "{text:?}");
    }

    #[test]
    fn requests_are_read() {
        let request = whole("POST /v1/codes?a=b%20c&d=+ HTTP/1.1\r\nHost: x\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/codes"));
        assert_eq!(request.query, [("a".into(), "b c".into()), ("d".into(), " ".into())]);
        assert_eq!((request.body.as_slice(), request.close), (b"{}".as_slice(), false));
        let request = whole("HEAD /v1/users/a%2Eb HTTP/1.0\r\n\r\n");
        assert_eq!((request.method.as_str(), request.head, request.close), ("GET", true, true));
        assert_eq!(request.path, "/v1/users/a.b");
        assert!(whole("GET / HTTP/1.1\r\nConnection: TE, Close\r\n\r\n").close);
        assert_eq!(whole("GET / HTTP/1.1\r\nLast-Event-ID: 7\r\n\r\n").last_event_id.as_deref(), Some("7"));
    }

    #[test]
    fn two_requests_in_a_row_are_two() {
        let text = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        let Ok(Parsed::Whole(first, used)) = parse(text.as_bytes()) else { panic!() };
        assert_eq!((first.path.as_str(), whole(&text[used..]).path.as_str()), ("/a", "/b"));
    }

    #[test]
    fn a_body_that_is_not_there_yet_is_waited_for() {
        let head = "POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        assert_eq!(parse(head.as_bytes()), Ok(Parsed::Partial { expects_continue: true }));
        assert_eq!(parse(format!("{head}ab").as_bytes()), Ok(Parsed::Partial { expects_continue: false }));
        assert_eq!(parse(b""), Ok(Parsed::Partial { expects_continue: false }));
    }

    #[test]
    fn what_is_ambiguous_or_too_much_is_refused() {
        refused("GET\r\n\r\n", Fault::BadRequest);
        refused("GET * HTTP/1.1\r\n\r\n", Fault::BadRequest);
        refused("GET http://x/ HTTP/1.1\r\n\r\n", Fault::BadRequest);
        refused("GET /%zz HTTP/1.1\r\n\r\n", Fault::BadRequest);
        refused("GET /a%2fb HTTP/1.1\r\n\r\n", Fault::BadRequest);
        refused("GET /%00 HTTP/1.1\r\n\r\n", Fault::BadRequest);
        refused("GET /%ff HTTP/1.1\r\n\r\n", Fault::BadRequest);
        refused("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", Fault::BadRequest);
        refused("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Fault::BadRequest);
        refused("GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", Fault::BadRequest);
        refused("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::NotImplemented);
        refused("POST / HTTP/1.1\r\nContent-Length: 16385\r\n\r\n", Fault::BodyTooLarge);
        refused("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", Fault::BadRequest);
        refused(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(HEAD_MAX)), Fault::HeadTooLarge);
        refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(33)), Fault::HeadTooLarge);
    }

    #[test]
    fn answers_are_whole_and_problems_are_rfc_9457() {
        let response = Response::problem(&Refused::new(Fault::UserUnknown, "there is no user \"x\""));
        let text = String::from_utf8(response.encode(false, true)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\n"));
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())) && head.ends_with("Connection: close")
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "user-unknown");
        assert_eq!(problem["status"], 404);
        assert!(problem["remedy"].as_str().unwrap().contains("users add"));
        assert!(!String::from_utf8(response.encode(true, false)).unwrap().contains("user-unknown"));
    }

    #[test]
    fn events_are_chunks() {
        assert_eq!(event_chunk(7, "finding", "{}"), b"1f\r\nid: 7\nevent: finding\ndata: {}\n\n\r\n");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_request(cut in 0usize..90) {
            let text = b"POST /v1/codes?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n{\"user\":\"anna\"}";
            let cut = cut.min(text.len() - 1);
            let partial = matches!(parse(&text[..cut]), Ok(Parsed::Partial { .. }));
            prop_assert!(partial);
            let whole = matches!(parse(text), Ok(Parsed::Whole(..)));
            prop_assert!(whole);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn arbitrary_fields_never_panic(line in "[ -~]{0,40}", fields in proptest::collection::vec("[a-zA-Z-]{1,18}: [ -~]{0,20}", 0..6)) {
            let _ = parse(format!("{line} HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n")).as_bytes());
        }
    }
}
