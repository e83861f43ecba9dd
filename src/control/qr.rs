//! Codes as pictures: a `moorline:` URI and its QR symbol, for terminals and as SVG. A core, over `qrcodegen`.

use qrcodegen::{QrCode, QrCodeEcc};

use crate::identity::KeyId;
use crate::pairing::code::Code;

/// Quiet zone in modules (ISO/IEC 18004 wants four).
const QUIET: i32 = 4;

/// `moorline:XXXX-XXXX-XXXX?nas=…&broker=…`.
pub fn uri(code: &Code, nas: &KeyId, broker: Option<&str>) -> String {
    let mut text = format!("moorline:{}?nas={nas}", code.reveal());
    if let Some(broker) = broker {
        text += "&broker=";
        for byte in broker.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:/[]".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text += &format!("%{byte:02X}");
            }
        }
    }
    text
}

fn symbol(text: &str) -> Option<QrCode> {
    QrCode::encode_text(text, QrCodeEcc::Medium).ok()
}

/// As SVG; `None` if the text is too long for any symbol.
pub fn svg(text: &str) -> Option<String> {
    let qr = symbol(text)?;
    let side = qr.size() + 2 * QUIET;
    let mut path = String::new();
    for y in 0..qr.size() {
        for x in (0..qr.size()).filter(|x| qr.get_module(*x, y)) {
            path += &format!("M{},{}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>\n"
    ))
}

/// For a terminal: two modules a character, light on dark and dark on light alike.
pub fn terminal(text: &str) -> Option<String> {
    let qr = symbol(text)?;
    let dark = |x, y| qr.get_module(x, y);
    let mut lines = String::new();
    for y in (-QUIET / 2..qr.size() + QUIET / 2).step_by(2) {
        lines += "\x1b[30;47m";
        for x in -QUIET / 2..qr.size() + QUIET / 2 {
            lines.push(match (dark(x, y), dark(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        lines += "\x1b[0m\n";
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;

    #[test]
    fn the_uri_carries_code_nas_and_broker() {
        let code = Code::mint(&mut Seeded::new(1));
        let nas: KeyId = "0123456789abcdefghjk".parse().unwrap();
        let text = uri(&code, &nas, Some("mqtts://broker.example:8883"));
        assert_eq!(text, format!("moorline:{}?nas={nas}&broker=mqtts://broker.example:8883", code.reveal()));
        assert!(svg(&text).unwrap().starts_with("<svg"));
        let lines: Vec<usize> = terminal(&text).unwrap().lines().map(|l| l.chars().count()).collect();
        assert!(lines.iter().all(|l| *l == lines[0]) && lines[0] < 80, "{lines:?}");
    }
}
