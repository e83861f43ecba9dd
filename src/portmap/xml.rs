//! The little XML that routers speak: a scan for tags and texts (XML 1.0, 2 and 3.1), and the five entities.
//! A core.
//!
//! No parser of documents: routers' XML is often not well-formed, and nothing but a few names and short texts
//! is wanted. Declarations are passed over, so no entity is ever defined and nothing expands. What is cut off
//! ends the scan.

use core::fmt::Write as _;

/// A piece of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A start tag, by its name without the prefix. `<a/>` is this and the [`Piece::Close`] behind it.
    Open(&'a str),
    /// An end tag, likewise.
    Close(&'a str),
    /// Text, entities not decoded.
    Text(&'a str),
    /// Text of a CDATA section, which has no entities.
    Verbatim(&'a str),
}

/// The pieces of a document, in order.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    rest: &'a str,
    /// `<a/>`: its end is still to be told.
    closing: Option<&'a str>,
}

impl<'a> Scan<'a> {
    /// Begins at the start of `document`.
    pub const fn new(document: &'a str) -> Self {
        Self { rest: document, closing: None }
    }

    /// What stands before `end`; the scan goes on behind it.
    fn until(&mut self, end: &str) -> Option<&'a str> {
        let (inside, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(inside)
    }

    /// Takes `start` off the rest, if it begins with it.
    fn eat(&mut self, start: &str) -> bool {
        let rest = self.rest.strip_prefix(start);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A tag, from behind its `<`.
    fn tag(&mut self) -> Option<Piece<'a>> {
        if self.eat("/") {
            return self.until(">").map(|inside| Piece::Close(local(inside)));
        }
        let end = end_of_tag(self.rest)?;
        let (inside, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.strip_prefix('>')?;
        let name = local(inside);
        self.closing = inside.ends_with('/').then_some(name);
        Some(Piece::Open(name))
    }

    /// A document type, from behind its `<!`. What it declares is not looked at, quotes and nested brackets
    /// included: the first `]` or `>` that could end it does.
    fn declaration(&mut self) -> Option<()> {
        let end = self.rest.find(['[', '>'])?;
        if self.rest.get(end..)?.starts_with('[') {
            self.until("]")?;
        }
        self.until(">").map(drop)
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if let Some(name) = self.closing.take() {
            return Some(Piece::Close(name));
        }
        loop {
            if !self.eat("<") {
                let end = self.rest.find('<').unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at_checked(end)?;
                self.rest = rest;
                return (!text.is_empty()).then_some(Piece::Text(text));
            }
            if self.eat("!--") {
                self.until("-->")?;
            } else if self.eat("![CDATA[") {
                return self.until("]]>").map(Piece::Verbatim);
            } else if self.eat("!") {
                self.declaration()?;
            } else if self.eat("?") {
                self.until("?>")?;
            } else {
                return self.tag();
            }
        }
    }
}

/// Where the `>` of a start tag is: not in the value of an attribute.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// The name of a tag without its prefix (Namespaces in XML, 4) and attributes.
fn local(inside: &str) -> &str {
    let name = inside.split(|c: char| c.is_ascii_whitespace() || c == '/').next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

/// The text of the first element called `name`, decoded and trimmed, if the element ends.
pub fn value(document: &str, name: &str) -> Option<String> {
    let mut scan = Scan::new(document);
    scan.find(|piece| *piece == Piece::Open(name))?;
    text(&mut scan, name)
}

/// The text up to the end of the element `name` that `scan` has just entered, decoded and trimmed.
pub fn text(scan: &mut Scan<'_>, name: &str) -> Option<String> {
    let mut out = String::new();
    for piece in scan {
        match piece {
            Piece::Close(end) if end == name => return Some(out.trim().to_owned()),
            Piece::Text(text) => decode(text, &mut out),
            Piece::Verbatim(text) => out.push_str(text),
            Piece::Open(_) | Piece::Close(_) => {}
        }
    }
    None
}

/// Longest reference: `&#x10FFFF;` without its ends.
const REFERENCE_MAX: usize = 8;

/// Appends `text` with its references decoded (XML 1.0, 4.1 and 4.6). What is none stays as it is.
fn decode(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let name = behind.split_once(';').filter(|(name, _)| name.len() <= REFERENCE_MAX);
        match name.and_then(|(name, after)| Some((entity(name)?, after))) {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('&');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
    }
}

/// Appends `text` such that it is text again when it is read. Control characters, which XML 1.0 does not
/// have, are left out.
pub fn encode(text: &str, out: &mut String) {
    for c in text.chars().filter(|c| !c.is_control()) {
        // Writing to a string does not fail.
        let _ = match c {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '"' => out.write_str("&quot;"),
            '\'' => out.write_str("&apos;"),
            other => out.write_char(other),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(document: &str, expect: &[Piece<'_>]) {
        assert_eq!(Scan::new(document).collect::<Vec<_>>(), expect);
    }

    #[track_caller]
    fn value_is(document: &str, expect: Option<&str>) {
        assert_eq!(value(document, "v").as_deref(), expect, "{document}");
    }

    use Piece::{Close, Open, Text, Verbatim};

    #[test]
    fn documents_are_scanned() {
        check(
            "<?xml version=\"1.0\"?>\r\n<s:a x='>' y=\"/>\">t<b/> <!-- <c> --><![CDATA[<&]]></s:a >",
            &[
                Text("\r\n"),
                Open("a"),
                Text("t"),
                Open("b"),
                Close("b"),
                Text(" "),
                Verbatim("<&"),
                Close("a"),
            ],
        );
        check("<!DOCTYPE r [<!ENTITY e \"x\">]><r>&e;</r>", &[Open("r"), Text("&e;"), Close("r")]);
        check("<!DOCTYPE r><r\n/>", &[Open("r"), Close("r")]);
    }

    #[test]
    fn what_is_cut_off_ends_the_scan() {
        for end in ["<b", "<b x=\">", "</a", "<!-- >", "<![CDATA[x]]", "<?x", "<!DOCTYPE r [>", "<!"] {
            check(&format!("<a>{end}"), &[Open("a")]);
        }
        check("", &[]);
        check("<>a</>", &[Open(""), Text("a"), Close("")]);
    }

    #[test]
    fn values_are_decoded() {
        value_is("<a><u:v> 1 </u:v><v>2</v></a>", Some("1"));
        value_is("<v>&lt;&amp;lt;&#65;&#x42;&quot;&apos;&gt;</v>", Some("<&lt;AB\"'>"));
        value_is(
            "<v>&nbsp; &; & &#xD800; &#99999999999;&amp</v>",
            Some("&nbsp; &; & &#xD800; &#99999999999;&amp"),
        );
        value_is("<v>a<![CDATA[&lt;]]><!-- x --><i>b</i></v>", Some("a&lt;b"));
        value_is("<v/>", Some(""));
        value_is("<v>cut", None);
        value_is("<w>1</w>", None);
        value_is("<V>1</V>", None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(document in "\\PC{0,200}") {
            let _ = (Scan::new(&document).count(), value(&document, "v"));
        }

        #[test]
        fn arbitrary_markup_never_panics(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "<", ">", "</", "/>", "<!", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "v", ":", "&",
                    "\"", "'", ";", "#", "amp", " ", "ä", "[", "]",
                ]),
                0..40,
            )
        ) {
            let document = parts.concat();
            let pieces = Scan::new(&document).count();
            prop_assert!(pieces <= 2 * document.len());
            let _ = value(&document, "v");
        }

        #[test]
        fn what_is_encoded_reads_the_same(text in "[^\\pC ]([^\\pC]{0,30}[^\\pC ])?") {
            let mut document = String::from("<v>");
            encode(&text, &mut document);
            document.push_str("</v>");
            prop_assert_eq!(value(&document, "v"), Some(text.trim().to_owned()));
        }
    }
}
