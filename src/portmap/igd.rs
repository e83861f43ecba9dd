//! UPnP Internet Gateway Device: from a description to the address of the WAN connection's controls, and the
//! calls made there (UPnP WANIPConnection:1 and :2, WANPPPConnection:1; UPnP Device Architecture 1.1, 2.3 and
//! 3.1). A core.

use core::fmt::Write as _;
use std::net::Ipv4Addr;

use super::http::{self, Reply};
use super::shown;
use super::url::Url;
use super::xml::{self, Piece, Scan};

/// Most controls taken from a description.
const CONTROLS_MAX: usize = 4;
/// Longest description of an error that is kept.
const WORDS_MAX: usize = 96;

/// What maps ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// WANIPConnection:1.
    WanIp1,
    /// WANIPConnection:2.
    WanIp2,
    /// WANPPPConnection:1.
    WanPpp1,
}

impl Service {
    /// The name on the wire.
    pub const fn urn(self) -> &'static str {
        match self {
            Self::WanIp1 => "urn:schemas-upnp-org:service:WANIPConnection:1",
            Self::WanIp2 => "urn:schemas-upnp-org:service:WANIPConnection:2",
            Self::WanPpp1 => "urn:schemas-upnp-org:service:WANPPPConnection:1",
        }
    }

    fn from_urn(urn: &str) -> Option<Self> {
        [Self::WanIp1, Self::WanIp2, Self::WanPpp1].into_iter().find(|s| s.urn() == urn)
    }
}

/// Where to call what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Which actions.
    pub service: Service,
    /// Their address; on the description's own host.
    pub url: Url,
}

/// Controls in the order of the description; at least one.
pub type Controls = heapless::Vec<Control, CONTROLS_MAX>;

/// A description has no use for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoControl {
    /// More than [`http::BODY_MAX`].
    #[error("the description is too large")]
    TooLarge,
    /// No WAN connection in it.
    #[error("the description has no WAN connection")]
    NotThere,
    /// There is one, but its address is none or on another host.
    #[error("the WAN connection's address is not on the router")]
    Elsewhere,
}

/// Finds the controls in the `description` that came from `location`, devices in devices included. The first
/// is the one to use; routers with a modem may have another, for the other kind of line, of which [`status`]
/// tells what it is.
///
/// # Errors
/// [`NoControl`].
pub fn controls(description: &[u8], location: &Url) -> Result<Controls, NoControl> {
    if description.len() > http::BODY_MAX {
        return Err(NoControl::TooLarge);
    }
    let document = String::from_utf8_lossy(description);
    let base = base(&document, location);
    let mut found = Controls::new();
    let mut error = NoControl::NotThere;
    let mut scan = Scan::new(&document);
    while scan.any(|piece| piece == Piece::Open("service")) {
        let Some((service, address)) = service(&mut scan) else { continue };
        match base.join(&address).ok().filter(|url| is_same_host(url, location)) {
            Some(url) => drop(found.push(Control { service, url })),
            None => error = NoControl::Elsewhere,
        }
    }
    if found.is_empty() { Err(error) } else { Ok(found) }
}

/// URLBase, which UPnP 1.1 has dropped (2.3), if it is on the description's own host; else where that came
/// from.
fn base(document: &str, location: &Url) -> Url {
    let url = xml::value(document, "URLBase").and_then(|text| Url::parse(&text).ok());
    url.filter(|url| is_same_host(url, location)).unwrap_or_else(|| location.clone())
}

/// Ports may differ: some routers have one for descriptions and one for calls.
fn is_same_host(url: &Url, location: &Url) -> bool {
    url.host().ip() == location.host().ip()
}

/// Type and controlURL of the `service` that `scan` has entered, if it is one of ours.
fn service(scan: &mut Scan<'_>) -> Option<(Service, String)> {
    let (mut kind, mut address) = (None, None);
    while let Some(piece) = scan.next() {
        match piece {
            Piece::Open("serviceType") => kind = xml::text(scan, "serviceType"),
            Piece::Open("controlURL") => address = xml::text(scan, "controlURL"),
            Piece::Close("service") => break,
            _ => {}
        }
    }
    let address = address.filter(|a| !a.is_empty())?;
    Some((Service::from_urn(&kind?)?, address))
}

/// What is called. Protocol is always TCP, the remote host always any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// The router's address on its other side.
    GetExternalIpAddress,
    /// Whether its line is up.
    GetStatusInfo,
    /// Leads a port of the router to one of ours.
    AddPortMapping {
        /// The router's port.
        external: u16,
        /// Our port.
        internal: u16,
        /// Our address. Most routers refuse any but the caller's own.
        client: Ipv4Addr,
        /// For how long, in seconds; 0 is for good (a week in version 2), and all that some know
        /// ([`UpnpError::OnlyPermanentLeases`]).
        lease_s: u32,
        /// What the router's pages show. miniupnpd shows entities as they come: better without `&`, `<`, `>`
        /// and quotes.
        description: &'a str,
    },
    /// Ends that. miniupnpd says yes even if there is none.
    DeletePortMapping {
        /// The router's port.
        external: u16,
    },
}

impl Action<'_> {
    /// The name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GetExternalIpAddress => "GetExternalIPAddress",
            Self::GetStatusInfo => "GetStatusInfo",
            Self::AddPortMapping { .. } => "AddPortMapping",
            Self::DeletePortMapping { .. } => "DeletePortMapping",
        }
    }

    /// The arguments, in the order of the specification: some routers count instead of reading names.
    fn write_arguments(&self, out: &mut String) {
        match self {
            Self::GetExternalIpAddress | Self::GetStatusInfo => {}
            Self::AddPortMapping { external, internal, client, lease_s, description } => {
                write_mapping(*external, out);
                // Writing to a string does not fail.
                let _ = write!(
                    out,
                    "<NewInternalPort>{internal}</NewInternalPort>\
                     <NewInternalClient>{client}</NewInternalClient>\
                     <NewEnabled>1</NewEnabled><NewPortMappingDescription>"
                );
                xml::encode(description, out);
                let _ =
                    write!(out, "</NewPortMappingDescription><NewLeaseDuration>{lease_s}</NewLeaseDuration>");
            }
            Self::DeletePortMapping { external } => write_mapping(*external, out),
        }
    }
}

/// What names a mapping.
fn write_mapping(external: u16, out: &mut String) {
    let _ = write!(
        out,
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort>\
         <NewProtocol>TCP</NewProtocol>"
    );
}

/// The call of `action` at `control`, as it goes over TCP.
pub fn request(control: &Control, action: &Action<'_>) -> Vec<u8> {
    let (urn, name) = (control.service.urn(), action.name());
    let mut envelope = format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{name} xmlns:u=\"{urn}\">"
    );
    action.write_arguments(&mut envelope);
    let _ = write!(envelope, "</u:{name}></s:Body></s:Envelope>\r\n");
    http::post(&control.url, &format!("{urn}#{name}"), &envelope)
}

/// Codes of UPnPError (UPnP Device Architecture 1.1, 3.2.2; WANIPConnection:2, 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpnpError {
    /// 401: no such action.
    InvalidAction,
    /// 402: an argument is missing or wrong. Some say so instead of 725.
    InvalidArgs,
    /// 501: it did not work, for the router's own reasons.
    ActionFailed,
    /// 606: the owner does not allow it.
    NotAuthorized,
    /// 714: there is no such mapping.
    NoSuchEntry,
    /// 715: the remote host must be given.
    RemoteHostWanted,
    /// 716: the external port must be given.
    ExternalPortWanted,
    /// 718: the port is mapped to somebody else.
    Conflict,
    /// 724: the internal port must be the external one.
    SamePortsWanted,
    /// 725: only mappings for good.
    OnlyPermanentLeases,
    /// 726: the remote host must be any.
    RemoteHostMustBeAny,
    /// 727: the external port must be any.
    ExternalPortMustBeAny,
    /// 728: no port is left.
    NoPortsLeft,
    /// 729: the router itself, or another protocol, has the port.
    ConflictWithOther,
    /// 732: the internal port must be given.
    InternalPortWanted,
    /// Any other.
    Other(u16),
}

impl UpnpError {
    const fn from_code(code: u16) -> Self {
        match code {
            401 => Self::InvalidAction,
            402 => Self::InvalidArgs,
            501 => Self::ActionFailed,
            606 => Self::NotAuthorized,
            714 => Self::NoSuchEntry,
            715 => Self::RemoteHostWanted,
            716 => Self::ExternalPortWanted,
            718 => Self::Conflict,
            724 => Self::SamePortsWanted,
            725 => Self::OnlyPermanentLeases,
            726 => Self::RemoteHostMustBeAny,
            727 => Self::ExternalPortMustBeAny,
            728 => Self::NoPortsLeft,
            729 => Self::ConflictWithOther,
            732 => Self::InternalPortWanted,
            other => Self::Other(other),
        }
    }
}

/// A call that did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The router says why not.
    #[error("the router refused with UPnP error {code}: {words}")]
    Upnp {
        /// By name.
        error: UpnpError,
        /// As it came.
        code: u16,
        /// In the router's words. Shown, never acted on; without control characters.
        words: heapless::String<WORDS_MAX>,
    },
    /// An HTTP error without a word of UPnP.
    #[error("the router answered with HTTP status {0}")]
    Http(u16),
    /// Not the answer to this call.
    #[error("the router's answer cannot be read")]
    Unreadable,
}

/// The line of a router, by ConnectionStatus (WANIPConnection:2, 2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Connected.
    Up,
    /// Connecting, Authenticating, PendingDisconnect, Disconnecting.
    Changing,
    /// Disconnected, or Unconfigured.
    Down,
    /// Another word.
    Unknown,
}

/// The answer to [`Action::GetExternalIpAddress`]; `None` if the router says that it has no address.
///
/// # Errors
/// [`Fault`].
pub fn external_address(reply: &Reply) -> Result<Option<Ipv4Addr>, Fault> {
    let document = answer(reply, &Action::GetExternalIpAddress)?;
    let text = xml::value(&document, "NewExternalIPAddress").ok_or(Fault::Unreadable)?;
    if text.is_empty() {
        return Ok(None);
    }
    let address: Ipv4Addr = text.parse().map_err(|_| Fault::Unreadable)?;
    Ok(Some(address).filter(|a| !a.is_unspecified()))
}

/// The answer to [`Action::GetStatusInfo`].
///
/// # Errors
/// [`Fault`].
pub fn status(reply: &Reply) -> Result<Line, Fault> {
    let document = answer(reply, &Action::GetStatusInfo)?;
    let text = xml::value(&document, "NewConnectionStatus").ok_or(Fault::Unreadable)?;
    Ok(match text.as_str() {
        "Connected" => Line::Up,
        "Connecting" | "Authenticating" | "PendingDisconnect" | "Disconnecting" => Line::Changing,
        "Disconnected" | "Unconfigured" => Line::Down,
        _ => Line::Unknown,
    })
}

/// The answer to an `action` that gives nothing back: a mapping added or deleted.
///
/// # Errors
/// [`Fault`].
pub fn done(reply: &Reply, action: &Action<'_>) -> Result<(), Fault> {
    answer(reply, action).map(drop)
}

/// The envelope, if it is no fault and the answer to `action`. A fault counts with any status: it should come
/// with 500, and some routers send it with 200.
fn answer(reply: &Reply, action: &Action<'_>) -> Result<String, Fault> {
    let document = String::from_utf8_lossy(&reply.body).into_owned();
    if let Some(code) = xml::value(&document, "errorCode").and_then(|code| code.parse().ok()) {
        let words = xml::value(&document, "errorDescription").unwrap_or_default();
        return Err(Fault::Upnp { error: UpnpError::from_code(code), code, words: shown(&words) });
    }
    if reply.status != 200 {
        return Err(Fault::Http(reply.status));
    }
    let is_answer =
        |piece| matches!(piece, Piece::Open(n) if n.strip_suffix("Response") == Some(action.name()));
    if Scan::new(&document).any(is_answer) { Ok(document) } else { Err(Fault::Unreadable) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn location(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn control() -> Control {
        Control { service: Service::WanIp1, url: location("http://192.168.7.1:5555/ctl/IPConn") }
    }

    /// What miniupnpd 2.3.1 gave at /rootDesc.xml.
    const MINIUPNPD: &str = "<?xml version=\"1.0\"?>\n\
        <root xmlns=\"urn:schemas-upnp-org:device-1-0\" configId=\"1337\">\
        <specVersion><major>1</major><minor>1</minor></specVersion><device>\
        <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:2</deviceType>\
        <friendlyName>Debian router</friendlyName><manufacturer>Debian</manufacturer>\
        <manufacturerURL>http://www.debian.org/</manufacturerURL><modelDescription>Debian router\
        </modelDescription><modelName>Debian router</modelName><modelNumber>1</modelNumber>\
        <modelURL>http://www.debian.org/</modelURL><serialNumber>00000000</serialNumber>\
        <UDN>uuid:31234146-8f05-4785-af79-2e9835ce725d</UDN><serviceList><service>\
        <serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>\
        <serviceId>urn:upnp-org:serviceId:L3Forwarding1</serviceId><SCPDURL>/L3F.xml</SCPDURL>\
        <controlURL>/ctl/L3F</controlURL><eventSubURL>/evt/L3F</eventSubURL></service><service>\
        <serviceType>urn:schemas-upnp-org:service:DeviceProtection:1</serviceType>\
        <serviceId>urn:upnp-org:serviceId:DeviceProtection1</serviceId><SCPDURL>/DP.xml</SCPDURL>\
        <controlURL>/ctl/DP</controlURL><eventSubURL>/evt/DP</eventSubURL></service></serviceList>\
        <deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:2</deviceType>\
        <friendlyName>WANDevice</friendlyName><manufacturer>MiniUPnP</manufacturer>\
        <manufacturerURL>http://miniupnp.free.fr/</manufacturerURL><modelDescription>WAN Device\
        </modelDescription><modelName>WAN Device</modelName><modelNumber>20221221</modelNumber>\
        <modelURL>http://miniupnp.free.fr/</modelURL><serialNumber>00000000</serialNumber>\
        <UDN>uuid:31234146-8f05-4785-af79-2e9835ce725e</UDN><UPC>000000000000</UPC><serviceList>\
        <service><serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1</serviceType>\
        <serviceId>urn:upnp-org:serviceId:WANCommonIFC1</serviceId><SCPDURL>/WANCfg.xml</SCPDURL>\
        <controlURL>/ctl/CmnIfCfg</controlURL><eventSubURL>/evt/CmnIfCfg</eventSubURL></service>\
        </serviceList><deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:2\
        </deviceType><friendlyName>WANConnectionDevice</friendlyName><manufacturer>MiniUPnP\
        </manufacturer><manufacturerURL>http://miniupnp.free.fr/</manufacturerURL>\
        <modelDescription>MiniUPnP daemon</modelDescription><modelName>MiniUPnPd</modelName>\
        <modelNumber>20221221</modelNumber><modelURL>http://miniupnp.free.fr/</modelURL>\
        <serialNumber>00000000</serialNumber><UDN>uuid:31234146-8f05-4785-af79-2e9835ce725f</UDN>\
        <UPC>000000000000</UPC><serviceList><service>\
        <serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType>\
        <serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId><SCPDURL>/WANIPCn.xml</SCPDURL>\
        <controlURL>/ctl/IPConn</controlURL><eventSubURL>/evt/IPConn</eventSubURL></service><service>\
        <serviceType>urn:schemas-upnp-org:service:WANIPv6FirewallControl:1</serviceType>\
        <serviceId>urn:upnp-org:serviceId:WANIPv6Firewall1</serviceId><SCPDURL>/WANIP6FC.xml</SCPDURL>\
        <controlURL>/ctl/IP6FCtl</controlURL><eventSubURL>/evt/IP6FCtl</eventSubURL></service>\
        </serviceList></device></deviceList></device></deviceList><presentationURL>http://192.168.7.1/\
        </presentationURL></device></root>";

    /// In the manner of a FRITZ!Box: line ends, icons, services of its own in front.
    const FRITZ: &str = "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\">\n\
        <specVersion>\n<major>1</major>\n<minor>0</minor>\n</specVersion>\n<device>\n\
        <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>\n\
        <friendlyName>FRITZ!Box 7590 &amp; mehr</friendlyName>\n<iconList>\n<icon>\n\
        <mimetype>image/gif</mimetype>\n<url>/ligd.gif</url>\n</icon>\n</iconList>\n<serviceList>\n<service>\n\
        <serviceType>urn:schemas-any-com:service:Any:1</serviceType>\n\
        <controlURL>/igdupnp/control/any</controlURL>\n</service>\n</serviceList>\n<deviceList>\n<device>\n\
        <deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType>\n<serviceList>\n<service>\n\
        <serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1</serviceType>\n\
        <controlURL>/igdupnp/control/WANCommonIFC1</controlURL>\n</service>\n</serviceList>\n<deviceList>\n\
        <device>\n<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType>\n<serviceList>\n\
        <service>\n<serviceType>urn:schemas-upnp-org:service:WANDSLLinkConfig:1</serviceType>\n\
        <controlURL>/igdupnp/control/WANDSLLinkC1</controlURL>\n</service>\n<service>\n\
        <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\n\
        <serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>\n\
        <controlURL>/igdupnp/control/WANIPConn1</controlURL>\n<SCPDURL>/igdconnSCPD.xml</SCPDURL>\n\
        </service>\n</serviceList>\n</device>\n</deviceList>\n</device>\n</deviceList>\n</device>\n</root>\n";

    #[track_caller]
    fn check_controls(description: &str, at: &str, expect: Result<&[(Service, &str)], NoControl>) {
        let found = controls(description.as_bytes(), &location(at));
        let found =
            found.as_ref().map(|c| c.iter().map(|c| (c.service, c.url.to_string())).collect::<Vec<_>>());
        let expect = expect.map(|e| e.iter().map(|(s, u)| (*s, (*u).to_owned())).collect::<Vec<_>>());
        assert_eq!(found.map_err(|e| *e), expect);
    }

    #[test]
    fn controls_are_found_in_real_descriptions() {
        check_controls(
            MINIUPNPD,
            "http://192.168.7.1:5555/rootDesc.xml",
            Ok(&[(Service::WanIp2, "http://192.168.7.1:5555/ctl/IPConn")]),
        );
        check_controls(
            FRITZ,
            "http://192.168.178.1:49000/igddesc.xml",
            Ok(&[(Service::WanIp1, "http://192.168.178.1:49000/igdupnp/control/WANIPConn1")]),
        );
    }

    /// One service, with what is to be tried around it.
    fn description(base: &str, control: &str) -> String {
        format!(
            "<root>{base}<service><controlURL>{control}</controlURL>\
             <serviceType> urn:schemas-upnp-org:service:WANPPPConnection:1\n</serviceType></service></root>"
        )
    }

    #[test]
    fn addresses_are_resolved_on_the_same_host_only() {
        let at = "http://192.168.7.1:80/dir/desc.xml";
        let ppp = |base: &str, control: &str, expect: &str| {
            check_controls(&description(base, control), at, Ok(&[(Service::WanPpp1, expect)]));
        };
        ppp("", "ctl?a=1&amp;b=2", "http://192.168.7.1:80/dir/ctl?a=1&b=2");
        ppp("<URLBase>http://192.168.7.1:5000/x/</URLBase>", "ctl", "http://192.168.7.1:5000/x/ctl");
        ppp("<URLBase>http://192.168.7.1:5000</URLBase>", "/ctl", "http://192.168.7.1:5000/ctl");
        ppp("<URLBase></URLBase>", "/ctl", "http://192.168.7.1:80/ctl");
        // A base elsewhere is no base: some routers still give the address that they had in the factory.
        ppp("<URLBase>http://192.168.0.1:5000/</URLBase>", "/ctl", "http://192.168.7.1:80/ctl");
        ppp("<URLBase>http://router.example/</URLBase>", "/ctl", "http://192.168.7.1:80/ctl");
        ppp("", "http://192.168.7.1:49152/ctl", "http://192.168.7.1:49152/ctl");
        for elsewhere in ["http://203.0.113.9/ctl", "//203.0.113.9/ctl", "https://192.168.7.1/ctl", "/a b"] {
            check_controls(&description("", elsewhere), at, Err(NoControl::Elsewhere));
        }
    }

    #[test]
    fn services_keep_their_order_and_broken_ones_are_passed_over() {
        let one = description("", "/ppp");
        let elsewhere = description("", "http://203.0.113.9/");
        let many = format!("{elsewhere}{}{one}", one.replace("PPPC", "IPC").replace("/ppp", "/ip"));
        check_controls(
            &many,
            "http://192.168.7.1/",
            Ok(&[
                (Service::WanIp1, "http://192.168.7.1:80/ip"),
                (Service::WanPpp1, "http://192.168.7.1:80/ppp"),
            ]),
        );
        let found = controls(one.repeat(9).as_bytes(), &location("http://192.168.7.1/")).unwrap();
        assert_eq!(found.len(), CONTROLS_MAX);
    }

    #[test]
    fn descriptions_without_use_are_told_apart() {
        let at = "http://192.168.7.1/";
        check_controls("", at, Err(NoControl::NotThere));
        check_controls("<html>Login</html>", at, Err(NoControl::NotThere));
        check_controls(&description("", ""), at, Err(NoControl::NotThere));
        check_controls(
            &description("", "/x").replace("PPPConnection:1", "PPPConnection:9"),
            at,
            Err(NoControl::NotThere),
        );
        check_controls(&MINIUPNPD[..2400], at, Err(NoControl::NotThere));
        check_controls(&" ".repeat(http::BODY_MAX + 1), at, Err(NoControl::TooLarge));
        let mut latin1 = description("", "/x").into_bytes();
        latin1.extend(b"\xe4\xf6");
        assert!(controls(&latin1, &location(at)).is_ok());
    }

    #[test]
    fn calls_are_whole() {
        let add = Action::AddPortMapping {
            external: 8883,
            internal: 8884,
            client: Ipv4Addr::new(192, 168, 7, 20),
            lease_s: 3600,
            description: "moorline <nas>",
        };
        let text = String::from_utf8(request(&control(), &add)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("POST /ctl/IPConn HTTP/1.1\r\nHost: 192.168.7.1:5555\r\nConnection: close\r\n")
        );
        assert!(
            head.contains("SOAPACTION: \"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\"")
        );
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        let arguments = "<u:AddPortMapping xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\">\
            <NewRemoteHost></NewRemoteHost><NewExternalPort>8883</NewExternalPort>\
            <NewProtocol>TCP</NewProtocol>\
            <NewInternalPort>8884</NewInternalPort><NewInternalClient>192.168.7.20</NewInternalClient>\
            <NewEnabled>1</NewEnabled>\
            <NewPortMappingDescription>moorline &lt;nas&gt;</NewPortMappingDescription>\
            <NewLeaseDuration>3600</NewLeaseDuration></u:AddPortMapping></s:Body></s:Envelope>\r\n";
        assert!(body.ends_with(arguments), "{body}");
        let delete =
            String::from_utf8(request(&control(), &Action::DeletePortMapping { external: 8883 })).unwrap();
        assert!(
            delete
                .contains("<NewExternalPort>8883</NewExternalPort><NewProtocol>TCP</NewProtocol></u:Delete")
        );
        let plain = String::from_utf8(request(&control(), &Action::GetStatusInfo)).unwrap();
        assert!(plain.contains("WANIPConnection:1\"></u:GetStatusInfo>"));
    }

    /// An answer of miniupnpd 2.3.1: its head and envelope as they came, around what is `inside`.
    fn miniupnpd(status: &str, inside: &str) -> Reply {
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>{inside}</s:Body>\
             </s:Envelope>\r\n"
        );
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\nConnection: close\r\n\
             Content-Length: {}\r\nServer: Debian/6.1.0 UPnP/1.1 MiniUPnPd/2.3.1\r\nExt:\r\n\r\n{body}",
            body.len()
        );
        http::parse(text.as_bytes(), false).unwrap().unwrap()
    }

    fn answered(name: &str, inside: &str) -> Reply {
        let urn = "urn:schemas-upnp-org:service:WANIPConnection:1";
        miniupnpd("200 OK", &format!("<u:{name}Response xmlns:u=\"{urn}\">{inside}</u:{name}Response>"))
    }

    fn fault(code: &str, words: &str) -> Reply {
        let detail = format!(
            "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
             <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{code}</errorCode>\
             <errorDescription>{words}</errorDescription></UPnPError></detail></s:Fault>"
        );
        miniupnpd("500 Internal Server Error", &detail)
    }

    const ADD: Action<'_> = Action::AddPortMapping {
        external: 1,
        internal: 1,
        client: Ipv4Addr::UNSPECIFIED,
        lease_s: 0,
        description: "",
    };
    const DELETE: Action<'_> = Action::DeletePortMapping { external: 1 };

    #[test]
    fn miniupnpd_answers() {
        let address = |text: &str| {
            let inside = format!("<NewExternalIPAddress>{text}</NewExternalIPAddress>");
            external_address(&answered("GetExternalIPAddress", &inside))
        };
        assert_eq!(address("203.0.113.7"), Ok(Some(Ipv4Addr::new(203, 0, 113, 7))));
        // So it says that it has no address that it takes for public.
        assert_eq!(address(""), Ok(None));
        assert_eq!(address("0.0.0.0"), Ok(None));
        assert_eq!(address("(null)"), Err(Fault::Unreadable));
        let line = |word: &str| {
            let inside = format!(
                "<NewConnectionStatus>{word}</NewConnectionStatus>\
                 <NewLastConnectionError>ERROR_NONE</NewLastConnectionError><NewUptime>37057</NewUptime>"
            );
            status(&answered("GetStatusInfo", &inside))
        };
        assert_eq!(line("Connected"), Ok(Line::Up));
        assert_eq!(line("Connecting"), Ok(Line::Changing));
        assert_eq!(line("Disconnected"), Ok(Line::Down));
        assert_eq!(line("Up"), Ok(Line::Unknown));
        let added = "<u:AddPortMappingResponse xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\"/>";
        assert_eq!(done(&miniupnpd("200 OK", added), &ADD), Ok(()));
        assert_eq!(done(&answered("DeletePortMapping", ""), &DELETE), Ok(()));
    }

    #[track_caller]
    fn check_fault(code: &str, words: &str, expect: UpnpError) {
        match done(&fault(code, words), &ADD) {
            Err(Fault::Upnp { error, code: number, words: said }) => {
                assert_eq!((error, number.to_string().as_str(), said.as_str()), (expect, code, words));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn faults_are_named() {
        // As miniupnpd words them.
        check_fault("401", "Invalid Action", UpnpError::InvalidAction);
        check_fault("402", "Invalid Args", UpnpError::InvalidArgs);
        check_fault("501", "ActionFailed", UpnpError::ActionFailed);
        check_fault("606", "Action not authorized", UpnpError::NotAuthorized);
        check_fault("714", "NoSuchEntryInArray", UpnpError::NoSuchEntry);
        check_fault("718", "ConflictInMappingEntry", UpnpError::Conflict);
        // As the specification does.
        check_fault("715", "WildCardNotPermittedInSrcIP", UpnpError::RemoteHostWanted);
        check_fault("716", "WildCardNotPermittedInExtPort", UpnpError::ExternalPortWanted);
        check_fault("724", "SamePortValuesRequired", UpnpError::SamePortsWanted);
        check_fault("725", "OnlyPermanentLeasesSupported", UpnpError::OnlyPermanentLeases);
        check_fault("726", "RemoteHostOnlySupportsWildcard", UpnpError::RemoteHostMustBeAny);
        check_fault("727", "ExternalPortOnlySupportsWildcard", UpnpError::ExternalPortMustBeAny);
        check_fault("728", "NoPortMapsAvailable", UpnpError::NoPortsLeft);
        check_fault("729", "ConflictWithOtherMechanisms", UpnpError::ConflictWithOther);
        check_fault("732", "WildCardNotPermittedInIntPort", UpnpError::InternalPortWanted);
        check_fault("899", "", UpnpError::Other(899));
    }

    #[test]
    fn sloppy_answers_are_understood_or_refused() {
        // A fault with status 200, without a description.
        let mut reply = fault("725", "x");
        reply.status = 200;
        assert!(matches!(done(&reply, &ADD), Err(Fault::Upnp { error: UpnpError::OnlyPermanentLeases, .. })));
        let bare = |status, body: &str| Reply { status, body: body.as_bytes().to_vec() };
        let code = "<errorCode> 718 </errorCode>";
        assert!(matches!(done(&bare(500, code), &ADD), Err(Fault::Upnp { code: 718, .. })));
        // No fault, and no answer.
        assert_eq!(done(&bare(500, "<errorCode>many</errorCode>"), &ADD), Err(Fault::Http(500)));
        assert_eq!(done(&bare(404, "<html>Not found</html>"), &ADD), Err(Fault::Http(404)));
        assert_eq!(done(&bare(200, "<html>Login</html>"), &ADD), Err(Fault::Unreadable));
        assert_eq!(done(&bare(200, ""), &ADD), Err(Fault::Unreadable));
        assert_eq!(done(&answered("DeletePortMapping", ""), &ADD), Err(Fault::Unreadable));
        assert_eq!(external_address(&answered("GetExternalIPAddress", "")), Err(Fault::Unreadable));
        let words = "\u{7}&#7;".repeat(3) + &"ä".repeat(100);
        match done(&fault("501", &words), &ADD) {
            Err(Fault::Upnp { words, .. }) => assert_eq!(words.as_str(), "ä".repeat(48)),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(status: u16, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = controls(&bytes, &location("http://192.168.7.1/"));
            let reply = Reply { status, body: bytes };
            let _ = (external_address(&reply), super::status(&reply), done(&reply, &ADD));
        }

        #[test]
        fn arbitrary_descriptions_stay_on_the_host(
            base in "\\PC{0,30}", control in "\\PC{0,40}", cut in 0usize..400,
        ) {
            let at = location("http://192.168.7.1/");
            let text = description(&format!("<URLBase>{base}</URLBase>"), &control);
            let bytes = text.as_bytes();
            if let Ok(found) = controls(&bytes[..cut.min(bytes.len())], &at) {
                prop_assert!(found.iter().all(|c| c.url.host().ip() == at.host().ip()));
            }
        }

        #[test]
        fn arbitrary_values_never_panic(value in "\\PC{0,60}") {
            let inside = format!("<NewExternalIPAddress>{value}</NewExternalIPAddress>");
            let _ = external_address(&answered("GetExternalIPAddress", &inside));
            let _ = done(&fault(&value, &value), &DELETE);
        }
    }
}
