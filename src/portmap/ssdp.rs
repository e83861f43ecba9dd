//! Finding a UPnP router: M-SEARCH and its answers, HTTP over UDP (UPnP Device Architecture 1.1, 1.3). A
//! core, over `httparse`.
//!
//! Answers come from whoever likes to answer. The caller takes one only if its LOCATION is at the address
//! that it came from.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::url::Url;
use super::{Stray, shown};

/// Where searches are sent to.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);

/// Seconds over which devices spread their answers (MX); 1 to 5 are allowed. Answers are to be awaited for a
/// second more.
pub const SPREAD_S: u8 = 2;

/// Most fields of an answer. Real ones have about ten.
const FIELDS_MAX: usize = 32;
/// Longest SERVER that is kept.
const SERVER_MAX: usize = 96;

/// What is looked for. A device of version 2 answers to the search for version 1 as well; some only to their
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// InternetGatewayDevice:1.
    Igd1,
    /// InternetGatewayDevice:2.
    Igd2,
}

impl Target {
    /// The name on the wire.
    pub const fn urn(self) -> &'static str {
        match self {
            Self::Igd1 => "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
            Self::Igd2 => "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
        }
    }

    fn from_urn(urn: &str) -> Option<Self> {
        [Self::Igd1, Self::Igd2].into_iter().find(|t| t.urn().eq_ignore_ascii_case(urn))
    }
}

/// The search for `target`, as a datagram.
pub fn search(target: Target) -> Vec<u8> {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}\r\nMAN: \"ssdp:discover\"\r\nMX: {SPREAD_S}\r\nST: {}\r\n\r\n",
        target.urn()
    )
    .into_bytes()
}

/// A device that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where its description is.
    pub location: Url,
    /// What answered, in its own words: system and product. Shown, never acted on; without control
    /// characters. Empty if it says nothing.
    pub server: heapless::String<SERVER_MAX>,
    /// What it says that it is.
    pub target: Target,
}

/// Reads an answer.
///
/// # Errors
/// [`Stray`]: not an answer of a router.
pub fn parse(bytes: &[u8]) -> Result<Found, Stray> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true).ignore_invalid_headers_in_responses(true);
    match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Stray("an answer cut short")),
        Err(_) => return Err(Stray("not HTTP")),
    }
    if response.code != Some(200) {
        return Err(Stray("not a yes"));
    }
    let target = text(response.headers, "ST").and_then(Target::from_urn);
    let Some(target) = target else { return Err(Stray("not a router")) };
    let location = text(response.headers, "LOCATION").and_then(|l| Url::parse(l).ok());
    let Some(location) = location else { return Err(Stray("no LOCATION of http and an IP address")) };
    let server = shown(text(response.headers, "SERVER").unwrap_or_default());
    Ok(Found { location, server, target })
}

/// The field of this name, if there is one and it is text.
fn text<'a>(fields: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let field = fields.iter().find(|f| f.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(field.value).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(answer: &str, expect: Option<(&str, &str, Target)>) {
        let found = parse(answer.as_bytes());
        let found = found.as_ref().ok().map(|f| (f.location.to_string(), f.server.as_str(), f.target));
        assert_eq!(found, expect.map(|(l, s, t)| (l.to_owned(), s, t)), "{answer}");
    }

    #[test]
    fn searches_are_those_of_the_architecture() {
        let expect = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\
                      MX: 2\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";
        assert_eq!(String::from_utf8(search(Target::Igd1)).unwrap(), expect);
        assert!(String::from_utf8(search(Target::Igd2)).unwrap().contains("InternetGatewayDevice:2\r\n"));
    }

    /// As miniupnpd 2.3.1 answered, but for the kernel's version.
    const MINIUPNPD: &str = "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n\
        ST: urn:schemas-upnp-org:device:InternetGatewayDevice:2\r\n\
        USN: uuid:31234146-8f05-4785-af79-2e9835ce725d::urn:schemas-upnp-org:device:InternetGatewayDevice:2\r\n\
        EXT:\r\nSERVER: Debian/6.1.0 UPnP/1.1 MiniUPnPd/2.3.1\r\n\
        LOCATION: http://192.168.7.1:5555/rootDesc.xml\r\n\
        OPT: \"http://schemas.upnp.org/upnp/1/0/\"; ns=01\r\n01-NLS: 1795475634\r\n\
        BOOTID.UPNP.ORG: 1795475634\r\nCONFIGID.UPNP.ORG: 1337\r\n\r\n";

    #[test]
    fn routers_are_found() {
        let location = "http://192.168.7.1:5555/rootDesc.xml";
        check(MINIUPNPD, Some((location, "Debian/6.1.0 UPnP/1.1 MiniUPnPd/2.3.1", Target::Igd2)));
        // In the manner of a FRITZ!Box.
        check(
            "HTTP/1.1 200 OK\r\nLOCATION: http://192.168.178.1:49000/igddesc.xml\r\n\
             SERVER: fritz.box UPnP/1.0 AVM FRITZ!Box 7590 154.07.57\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\n\
             ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
             USN: uuid:75802409-bccb-40e7-8e6c-3810d5000000\r\n\r\n",
            Some((
                "http://192.168.178.1:49000/igddesc.xml",
                "fritz.box UPnP/1.0 AVM FRITZ!Box 7590 154.07.57",
                Target::Igd1,
            )),
        );
        // Sloppy: bare line feeds, small letters, blanks before colons, a line that is no field, no SERVER.
        check(
            "HTTP/1.0 200 OK\nst : URN:schemas-upnp-org:device:InternetGatewayDevice:1\nwhatever\n\
             location:http://192.168.0.1/desc\n\n",
            Some(("http://192.168.0.1:80/desc", "", Target::Igd1)),
        );
    }

    #[test]
    fn others_are_not() {
        check("", None);
        check(&MINIUPNPD[..MINIUPNPD.len() - 2], None);
        check(&MINIUPNPD.replace("200 OK", "404 Not Found"), None);
        check(&MINIUPNPD.replace("HTTP/1.1 200 OK", "NOTIFY * HTTP/1.1"), None);
        check(
            &MINIUPNPD
                .replace("ST: urn:schemas-upnp-org:device:InternetGatewayDevice:2", "ST: upnp:rootdevice"),
            None,
        );
        check(&MINIUPNPD.replace("http://192.168.7.1:5555", "https://192.168.7.1:5555"), None);
        check(&MINIUPNPD.replace("192.168.7.1:5555", "router.example:5555"), None);
        check(&MINIUPNPD.replace("LOCATION", "LOKATION"), None);
        check(&MINIUPNPD.replace("EXT:\r\n", &"A: b\r\n".repeat(33)), None);
    }

    #[test]
    fn servers_words_are_bounded() {
        let long = parse(MINIUPNPD.replace("Debian", &"ä".repeat(200)).as_bytes()).unwrap();
        assert_eq!(long.server.as_str(), "ä".repeat(48));
        assert_eq!(
            parse(MINIUPNPD.replace("Debian", "a\tb").as_bytes()).unwrap().server.chars().nth(1),
            Some('b')
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn arbitrary_fields_never_panic(
            fields in proptest::collection::vec("(ST|LOCATION|SERVER): \\PC{0,40}", 0..5),
        ) {
            let _ = parse(format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", fields.join("\r\n")).as_bytes());
        }
    }
}
