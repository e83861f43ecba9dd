//! HTTP/1.1 towards a router: requests to bytes, bytes to an answer. A core, over `httparse`.
//!
//! Lenient where routers are sloppy: one answer a connection, its body as long as said, in chunks, or until
//! the end. The limits hold whatever is said.

use core::fmt::Write as _;

use super::url::Url;

/// Longest head of an answer.
pub const HEAD_MAX: usize = 8 * 1024;
/// Longest body. Descriptions have some kilobytes, FRITZ!Box's the most with some twenty.
pub const BODY_MAX: usize = 64 * 1024;
/// Most that is read of an answer: heads, body, and what chunks add to it.
pub const ANSWER_MAX: usize = HEAD_MAX + 2 * BODY_MAX;
/// Most fields of a head.
const FIELDS_MAX: usize = 48;

/// The request for a description.
pub fn get(url: &Url) -> Vec<u8> {
    head("GET", url).into_bytes_with("")
}

/// A call of `action` (`urn#name`) with its envelope (UPnP Device Architecture 1.1, 3.1.1). To be sent in one
/// piece: some routers take only what the first packet has.
pub fn post(url: &Url, action: &str, envelope: &str) -> Vec<u8> {
    let mut head = head("POST", url);
    // Writing to a string does not fail.
    let _ = write!(
        head.0,
        "Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPACTION: \"{action}\"\r\nContent-Length: {}\r\n",
        envelope.len()
    );
    head.into_bytes_with(envelope)
}

/// A head that is not ended yet.
struct Head(String);

impl Head {
    fn into_bytes_with(mut self, body: &str) -> Vec<u8> {
        self.0.push_str("\r\n");
        self.0.push_str(body);
        self.0.into_bytes()
    }
}

fn head(method: &str, url: &Url) -> Head {
    Head(format!("{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", url.target(), url.host()))
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body, chunks put together.
    pub body: Vec<u8>,
}

/// What came is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not HTTP.
    #[error("not HTTP")]
    NotHttp,
    /// It ended in its head.
    #[error("the answer ended too early")]
    CutShort,
    /// More than [`HEAD_MAX`], [`BODY_MAX`] or [`ANSWER_MAX`], or too many fields.
    #[error("the answer is too large")]
    TooLarge,
}

/// Where the body ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunks,
    UntilEnd,
}

/// The answer that `bytes` are; `None` if more are needed. `is_end`: the connection has ended, and what of
/// the body is there is the body: some routers count it wrong.
///
/// # Errors
/// [`Broken`].
pub fn parse(bytes: &[u8], is_end: bool) -> Result<Option<Reply>, Broken> {
    if bytes.len() > ANSWER_MAX {
        return Err(Broken::TooLarge);
    }
    let mut rest = bytes;
    loop {
        let Some((status, body, length)) = read_head(rest)? else {
            return if is_end { Err(Broken::CutShort) } else { Ok(None) };
        };
        rest = rest.get(length..).unwrap_or_default();
        // 100 Continue and its like come before the answer (RFC 9110, 15.2).
        if status >= 200 {
            let body = read_body(body, rest, is_end)?;
            return Ok(body.map(|body| Reply { status, body }));
        }
    }
}

/// Status, body and length of a head; `None` if it has not ended yet.
fn read_head(bytes: &[u8]) -> Result<Option<(u16, Body, usize)>, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true).ignore_invalid_headers_in_responses(true);
    let length = match config.parse_response(&mut response, bytes.get(..HEAD_MAX).unwrap_or(bytes)) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_MAX => return Err(Broken::TooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Broken::TooLarge),
        Err(_) => return Err(Broken::NotHttp),
    };
    let status = response.code.ok_or(Broken::NotHttp)?;
    Ok(Some((status, body_of(response.headers)?, length)))
}

/// How the fields of a head say that the body ends. Chunks win over a length, the first length over others.
fn body_of(fields: &[httparse::Header<'_>]) -> Result<Body, Broken> {
    let text = |name: &str| {
        let field = fields.iter().find(|f| f.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok().map(str::trim)
    };
    if text("Transfer-Encoding").is_some_and(|t| t.to_ascii_lowercase().ends_with("chunked")) {
        return Ok(Body::Chunks);
    }
    match text("Content-Length").map(str::parse) {
        Some(Ok(length)) if length <= BODY_MAX => Ok(Body::Length(length)),
        Some(Ok(_)) => Err(Broken::TooLarge),
        Some(Err(_)) | None => Ok(Body::UntilEnd),
    }
}

fn read_body(body: Body, bytes: &[u8], is_end: bool) -> Result<Option<Vec<u8>>, Broken> {
    let (whole, is_whole) = match body {
        Body::Length(length) => match bytes.get(..length) {
            Some(whole) => (whole.to_vec(), true),
            None => (bytes.to_vec(), false),
        },
        Body::Chunks => chunks(bytes)?,
        Body::UntilEnd if bytes.len() > BODY_MAX => return Err(Broken::TooLarge),
        Body::UntilEnd => (bytes.to_vec(), false),
    };
    Ok((is_whole || is_end).then_some(whole))
}

/// Puts chunks together (RFC 9112, 7.1), and says whether the last one is there. Trailers are not waited for.
fn chunks(bytes: &[u8]) -> Result<(Vec<u8>, bool), Broken> {
    let mut out = Vec::new();
    let mut rest = bytes;
    loop {
        let (start, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok((out, false)),
            Err(_) => return Err(Broken::NotHttp),
        };
        let Ok(size) = usize::try_from(size) else { return Err(Broken::TooLarge) };
        if size == 0 {
            return Ok((out, true));
        }
        if size > BODY_MAX - out.len() {
            return Err(Broken::TooLarge);
        }
        let data = rest.get(start..).unwrap_or_default();
        out.extend_from_slice(data.get(..size).unwrap_or(data));
        let Some(behind) = data.get(size..) else { return Ok((out, false)) };
        rest = match behind {
            [b'\r', b'\n', next @ ..] => next,
            [] | [b'\r'] => return Ok((out, false)),
            _ => return Err(Broken::NotHttp),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.as_bytes().to_vec() }
    }

    #[track_caller]
    fn check(text: &str, is_end: bool, expect: Result<Option<Reply>, Broken>) {
        assert_eq!(parse(text.as_bytes(), is_end), expect, "{text:?}");
    }

    #[test]
    fn requests_are_whole() {
        let url = Url::parse("http://192.168.7.1:5555/ctl/IPConn").unwrap();
        let text = String::from_utf8(get(&url)).unwrap();
        assert_eq!(text, "GET /ctl/IPConn HTTP/1.1\r\nHost: 192.168.7.1:5555\r\nConnection: close\r\n\r\n");
        let text = String::from_utf8(post(&url, "urn:x#Y", "<ä/>")).unwrap();
        let expect = "POST /ctl/IPConn HTTP/1.1\r\nHost: 192.168.7.1:5555\r\nConnection: close\r\n\
                      Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPACTION: \"urn:x#Y\"\r\n\
                      Content-Length: 5\r\n\r\n<ä/>";
        assert_eq!(text, expect);
    }

    #[test]
    fn answers_are_read_however_their_body_ends() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, Ok(Some(reply(200, "ok"))));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay", false, Ok(Some(reply(200, "ok"))));
        check("HTTP/1.0 500 Bad\nServer : x\n\nno", true, Ok(Some(reply(500, "no"))));
        check("HTTP/1.0 500 Bad\n\nno", false, Ok(None));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 7\r\n\r\n";
        check(
            &format!("{chunked}2\r\nok\r\n3;x=y\r\nay!\r\n0\r\n\r\n"),
            false,
            Ok(Some(reply(200, "okay!"))),
        );
        check(&format!("{chunked}2\r\nok\r\n3\r\nay"), false, Ok(None));
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
            false,
            Ok(Some(reply(204, ""))),
        );
    }

    #[test]
    fn what_the_end_cuts_off_is_taken_as_it_is() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", false, Ok(None));
        check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", true, Ok(Some(reply(200, "ok"))));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunked}9\r\nok"), true, Ok(Some(reply(200, "ok"))));
        check("HTTP/1.1 200 OK\r\nContent-", true, Err(Broken::CutShort));
        check("", true, Err(Broken::CutShort));
        check("", false, Ok(None));
    }

    #[test]
    fn what_is_too_much_or_no_http_is_refused() {
        check("SSH-2.0-x\r\n", false, Err(Broken::NotHttp));
        check("HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n", false, Err(Broken::TooLarge));
        check(&format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(BODY_MAX + 1)), false, Err(Broken::TooLarge));
        check(&format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(HEAD_MAX)), false, Err(Broken::TooLarge));
        check(&format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(49)), false, Err(Broken::TooLarge));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunked}zz\r\n"), false, Err(Broken::NotHttp));
        check(&format!("{chunked}2\r\nokay\r\n"), false, Err(Broken::NotHttp));
        check(&format!("{chunked}10001\r\n"), false, Err(Broken::TooLarge));
        check(&format!("{chunked}ffffffffffffffff\r\n"), false, Err(Broken::TooLarge));
        check(&format!("{chunked}{}", "1\r\na\r\n".repeat(BODY_MAX / 2)), false, Err(Broken::TooLarge));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), end: bool) {
            let _ = parse(&bytes, end);
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let _ = parse(&[&head[..], &bytes].concat(), end);
        }

        #[test]
        fn chunks_are_put_together(
            parts in proptest::collection::vec("[a-z]{1,20}", 0..6), cut in 0usize..200,
        ) {
            let mut text = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for part in &parts {
                text.push_str(&format!("{:x}\r\n{part}\r\n", part.len()));
            }
            text.push_str("0\r\n");
            prop_assert_eq!(parse(text.as_bytes(), false), Ok(Some(reply(200, &parts.concat()))));
            let cut = cut.min(text.len() - 1);
            prop_assert_eq!(parse(&text.as_bytes()[..cut], false), Ok(None));
        }
    }
}
