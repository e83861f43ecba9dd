//! MQTT over WebSocket, the client's side (RFC 6455; MQTT 5, 6): the upgrade, and binary frames around the byte stream. A core.
//!
//! Of our own, since it is 200 lines and what there is brings a generator, a SHA-1 and an unbounded header buffer along. Only what
//! MQTT needs: no extensions, no text, no redirects.
//!
//! ```text
//! byte 0: FIN, 3 reserved bits, 4 bits opcode      byte 1: MASK, 7 bits length; 126: 2 more bytes, 127: 8 more bytes
//! ```

use super::wire::Violation;

/// Largest answer to the upgrade in bytes.
pub const RESPONSE_MAX: usize = 4096;
/// Header fields of it.
const HEADERS_MAX: usize = 32;
/// RFC 6455, 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// RFC 6455, 5.5.
const CONTROL_MAX: usize = 125;

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for place in 0..4 {
            let symbol = SYMBOLS.get((word >> (18 - 6 * place)) as usize & 63).copied().unwrap_or(b'=');
            text.push(if place <= chunk.len() { char::from(symbol) } else { '=' });
        }
    }
    text
}

/// The request for an upgrade. `nonce`: 16 random bytes.
pub fn request(host: &str, port: u16, path: &str, nonce: [u8; 16]) -> Vec<u8> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {}\r\n\
         Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n",
        base64(&nonce)
    )
    .into_bytes()
}

fn accepted(nonce: [u8; 16]) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(base64(&nonce).as_bytes());
    context.update(GUID);
    base64(context.finish().as_ref())
}

/// Why there was no upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUpgrade {
    /// Not HTTP, or too long.
    NotHttp,
    /// Another status than 101.
    Status(u16),
    /// 101, but not for a WebSocket with MQTT in it.
    NotMqtt,
}

/// Reads the answer to the request: how many bytes it has, or `None` if more are needed.
///
/// # Errors
/// [`NoUpgrade`].
pub fn response(bytes: &[u8], nonce: [u8; 16]) -> Result<Option<usize>, NoUpgrade> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < RESPONSE_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(NoUpgrade::NotHttp),
    };
    match response.code {
        Some(101) => {}
        Some(code) => return Err(NoUpgrade::Status(code)),
        None => return Err(NoUpgrade::NotHttp),
    }
    let field = |name: &str| {
        response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.trim_ascii())
    };
    let good = field("Sec-WebSocket-Accept") == Some(accepted(nonce).as_bytes())
        && field("Upgrade").is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))
        && field("Sec-WebSocket-Protocol").is_some_and(|v| v.eq_ignore_ascii_case(b"mqtt"))
        && field("Sec-WebSocket-Extensions").is_none();
    if good { Ok(Some(length)) } else { Err(NoUpgrade::NotMqtt) }
}

/// Opcodes of RFC 6455, 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continue,
    Binary,
    Close,
    Ping,
    Pong,
}

/// A frame under way.
#[derive(Clone, Debug)]
struct Frame {
    opcode: Opcode,
    left: u64,
    /// Of a control frame: what it carries.
    control: heapless::Vec<u8, CONTROL_MAX>,
}

/// The frames that come from the server, turned into bytes. Holds one header and one control frame, no message.
#[derive(Debug, Default)]
pub struct Frames {
    header: heapless::Vec<u8, 10>,
    frame: Option<Frame>,
    /// A control frame to be answered: pings by pongs (RFC 6455, 5.5.3).
    pong: Option<heapless::Vec<u8, CONTROL_MAX>>,
    closed: bool,
}

impl Frames {
    /// Takes in what came and adds the stream's bytes to `out`.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn handle_bytes(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        while !bytes.is_empty() && !self.closed {
            match &mut self.frame {
                None => {
                    let Some((first, rest)) = bytes.split_first() else { break };
                    bytes = rest;
                    let _ = self.header.push(*first);
                    self.frame = header(&self.header)?;
                }
                Some(frame) => {
                    let n = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
                    let (payload, rest) = bytes.split_at_checked(n).unwrap_or((bytes, &[]));
                    bytes = rest;
                    frame.left -= n as u64;
                    match frame.opcode {
                        Opcode::Binary | Opcode::Continue => out.extend_from_slice(payload),
                        // Its length was judged with the header.
                        Opcode::Close | Opcode::Ping | Opcode::Pong => {
                            let _ = frame.control.extend_from_slice(payload);
                        }
                    }
                }
            }
            self.end_frame();
        }
        Ok(())
    }

    fn end_frame(&mut self) {
        if self.frame.as_ref().is_none_or(|f| f.left > 0) {
            return;
        }
        self.header.clear();
        let Some(frame) = self.frame.take() else { return };
        match frame.opcode {
            Opcode::Ping => self.pong = Some(frame.control),
            Opcode::Close => self.closed = true,
            Opcode::Binary | Opcode::Continue | Opcode::Pong => {}
        }
    }

    /// The server said good-bye.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// A pong that is due; only the last ping is answered.
    pub fn poll_pong(&mut self, mask: [u8; 4], out: &mut Vec<u8>) {
        if let Some(payload) = self.pong.take() {
            frame(0x8a, &payload, mask, out);
        }
    }
}

/// A frame's header, once it is whole (RFC 6455, 5.2).
fn header(bytes: &[u8]) -> Result<Option<Frame>, Violation> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = match first & 0x0f {
        0 => Opcode::Continue,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        1 => return Err(Violation("text in a WebSocket that carries MQTT")),
        _ => return Err(Violation("an unknown kind of WebSocket frame")),
    };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(Violation("a malformed WebSocket frame"));
    }
    let left = match (second & 0x7f, rest) {
        (126, [a, b]) => u64::from(u16::from_be_bytes([*a, *b])),
        (127, [a, b, c, d, e, f, g, h]) => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        (126 | 127, _) => return Ok(None),
        (short, _) => u64::from(short),
    };
    let is_control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    if is_control && (left > CONTROL_MAX as u64 || first & 0x80 == 0) {
        return Err(Violation("a malformed WebSocket frame"));
    }
    Ok(Some(Frame { opcode, left, control: heapless::Vec::new() }))
}

/// Adds a binary frame with `payload` to `out`. `mask`: 4 random bytes (RFC 6455, 5.3).
pub fn binary(payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    frame(0x82, payload, mask, out);
}

/// Adds the good-bye: status 1000, normal closure.
pub fn close(mask: [u8; 4], out: &mut Vec<u8>) {
    frame(0x88, &1000u16.to_be_bytes(), mask, out);
}

fn frame(first: u8, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => out.push(0x80 | short),
        (_, Ok(middle)) => {
            out.push(0x80 | 126);
            out.extend(middle.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(0x80 | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of RFC 6455, 1.3.
    const NONCE: [u8; 16] = *b"the sample nonce";

    #[test]
    fn the_upgrade_is_that_of_the_rfc() {
        let request = String::from_utf8(request("broker.lab", 443, "/mqtt", NONCE)).unwrap();
        assert!(request.starts_with("GET /mqtt HTTP/1.1\r\nHost: broker.lab:443\r\n"), "{request}");
        assert!(request.contains("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
        assert_eq!(accepted(NONCE), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let v6 = String::from_utf8(super::request("::1", 8080, "/", NONCE)).unwrap();
        assert!(v6.contains("Host: [::1]:8080\r\n"));
    }

    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

    #[track_caller]
    fn check(text: &str, expect: Result<Option<usize>, NoUpgrade>) {
        assert_eq!(response(text.as_bytes(), NONCE), expect, "{text}");
    }

    #[test]
    fn the_answer_is_believed_only_if_it_is_one() {
        check(GOOD, Ok(Some(GOOD.len())));
        check(&format!("{GOOD}\u{2}"), Ok(Some(GOOD.len())));
        check(&GOOD[..GOOD.len() - 1], Ok(None));
        check(&GOOD.replace("s3pP", "xxxx"), Err(NoUpgrade::NotMqtt));
        check(&GOOD.replace("mqtt", "chat"), Err(NoUpgrade::NotMqtt));
        check("HTTP/1.1 404 Not Found\r\n\r\n", Err(NoUpgrade::Status(404)));
        check("SSH-2.0-OpenSSH_9.2\r\n", Err(NoUpgrade::NotHttp));
        check(&format!("HTTP/1.1 101 x\r\na: {}", "b".repeat(RESPONSE_MAX)), Err(NoUpgrade::NotHttp));
    }

    fn all(bytes: &[u8]) -> Result<(Vec<u8>, Frames), Violation> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        frames.handle_bytes(bytes, &mut out).map(|()| (out, frames))
    }

    #[test]
    fn frames_become_a_stream() {
        let mut bytes = vec![0x82, 2, b'a', b'b', 0x02, 1, b'c', 0x89, 3, b'x', b'y', b'z', 0x80, 126, 1, 0];
        bytes.extend([b'd'; 256]);
        bytes.extend([0x8a, 0, 0x88, 0, 0x82, 1, b'!']);
        let (out, mut frames) = all(&bytes).unwrap();
        assert_eq!(out, [b"abc".to_vec(), vec![b'd'; 256]].concat());
        assert!(frames.is_closed(), "nothing counts after the good-bye");
        let mut pong = Vec::new();
        frames.poll_pong([1, 2, 3, 4], &mut pong);
        assert_eq!(pong, [0x8a, 0x83, 1, 2, 3, 4, b'x' ^ 1, b'y' ^ 2, b'z' ^ 3]);
        // Byte by byte it is the same.
        let (mut frames, mut slow) = (Frames::default(), Vec::new());
        bytes.iter().for_each(|b| frames.handle_bytes(&[*b], &mut slow).unwrap());
        assert_eq!(slow, out);
    }

    #[test]
    fn what_mqtt_does_not_need_is_refused() {
        for bytes in
            [&[0x81, 1, b'x'][..], &[0x83, 0], &[0xc2, 0], &[0x82, 0x81, 0], &[0x09, 0], &[0x89, 126, 0, 126]]
        {
            assert!(all(bytes).is_err(), "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes);
            let _ = response(&bytes, NONCE);
        }

        #[test]
        fn our_frames_are_read_back(payload in proptest::collection::vec(any::<u8>(), 0..70_000), mask: [u8; 4]) {
            let mut bytes = Vec::new();
            binary(&payload, mask, &mut bytes);
            // As a server reads it: without the mask.
            let at = match payload.len() { 0..=125 => 2, 126..=0xffff => 4, _ => 10 };
            let plain: Vec<u8> = bytes[at + 4..].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
            prop_assert_eq!(&plain, &payload);
            let mut unmasked = bytes[..at].to_vec();
            unmasked[1] &= 0x7f;
            unmasked.extend(plain);
            prop_assert_eq!(all(&unmasked).unwrap().0, payload);
        }
    }
}
