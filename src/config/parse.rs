//! The text of `agent.toml` → [`Raw`], with every complaint at its line. A core: files that it names are read by `io`.

use std::net::{Ipv4Addr, SocketAddr};

use super::Service;
use super::broker::BrokerUrl;
use crate::clock::Trust;
use crate::pairing::budget;
use crate::pairing::record::UserName;
use crate::store::place::Place;
use crate::typed_toml::{At, Fault, Reader, Table};

/// Services that can be named.
const SERVICES_MAX: usize = crate::pairing::handshake::SERVICES_MAX;

/// What was typed, checked, with the files not read yet.
#[derive(Clone, Debug)]
pub struct Raw {
    /// `nas.name`.
    pub name: Option<String>,
    /// `[cloud]`.
    pub cloud: RawCloud,
    /// `store.dir`.
    pub store_dir: String,
    /// `store.place`.
    pub store_place: Option<Place>,
    /// `store.segment_kib`.
    pub segment_kib: usize,
    /// `store.records_per_day`.
    pub records_per_day: u32,
    /// `control.socket`.
    pub socket: String,
    /// `control.group`.
    pub group: String,
    /// `control.admins`.
    pub admins: Vec<String>,
    /// `control.max_connections`.
    pub max_connections: usize,
    /// `board.id`.
    pub board: Option<String>,
    /// `clock.trust`.
    pub trust: Trust,
    /// `clock.time_servers`.
    pub time_servers: Vec<String>,
    /// `log.level`.
    pub log: log::LevelFilter,
    /// `[remote]`.
    pub remote: RawRemote,
    /// `buttons.reset`.
    pub button_reset: bool,
    /// `buttons.pairing_user`.
    pub pairing_user: Option<UserName>,
    /// `[[service]]`.
    pub services: Vec<Service>,
}

/// `[cloud]`.
#[derive(Clone, Debug)]
pub struct RawCloud {
    /// `broker`.
    pub broker: Option<BrokerUrl>,
    /// `enabled`.
    pub enabled: bool,
    /// `user` and `password_file`.
    pub login: Option<RawLogin>,
    /// `ca_file`.
    pub ca_file: Option<At<String>>,
    /// `client_cert_file` and `client_key_file`.
    pub certificate: Option<RawCertificate>,
    /// `topic_prefix`.
    pub topic_prefix: heapless::String<32>,
    /// `keepalive_s`.
    pub keepalive_s: u64,
    /// `backoff_max_s`.
    pub backoff_max_s: u64,
    /// `reconnect_spread_s`.
    pub spread_s: u64,
    /// `[cloud.device_access]`.
    pub device_access: Option<RawLogin>,
}

/// A user and the file with its password.
#[derive(Clone, Debug)]
pub struct RawLogin {
    /// User name.
    pub user: String,
    /// Where the password is.
    pub password_file: At<String>,
}

/// The files of a client certificate.
#[derive(Clone, Debug)]
pub struct RawCertificate {
    /// The chain.
    pub chain: At<String>,
    /// Its key.
    pub key: At<String>,
}

/// Reads the text.
///
/// # Errors
/// Every complaint, in the order of the file.
pub fn parse(text: &str) -> Result<Raw, Vec<Fault>> {
    let (mut reader, table) = Reader::new(text);
    let raw = table.map(|table| root(&mut reader, table));
    match raw {
        Some(raw) if reader.is_content() => Ok(raw),
        Some(_) | None => Err(reader.finish()),
    }
}

fn root<'t>(r: &mut Reader<'t>, mut root: Table<'t>) -> Raw {
    let name = section(r, &mut root, "nas", |r, t| nas(r, t)).flatten();
    let cloud = section(r, &mut root, "cloud", cloud).unwrap_or_else(|| RawCloud {
        broker: None,
        enabled: true,
        login: None,
        ca_file: None,
        certificate: None,
        topic_prefix: prefix("moorline"),
        keepalive_s: 60,
        backoff_max_s: 300,
        spread_s: 10,
        device_access: None,
    });
    let (store_dir, store_place, segment_kib, records_per_day) =
        section(r, &mut root, "store", store).unwrap_or_else(|| (STORE_DIR.into(), None, 64, budget::A_DAY));
    let control = section(r, &mut root, "control", control);
    let (socket, group, admins, max_connections) =
        control.unwrap_or_else(|| (SOCKET.into(), GROUP.into(), Vec::new(), 16));
    let board = section(r, &mut root, "board", |r, t| t.string(r, "id")).flatten();
    let (trust, time_servers) = section(r, &mut root, "clock", clock).unwrap_or((Trust::Kernel, Vec::new()));
    let log = section(r, &mut root, "log", log_level).unwrap_or(log::LevelFilter::Info);
    let remote = section(r, &mut root, "remote", remote).unwrap_or_default();
    let (button_reset, pairing_user) = section(r, &mut root, "buttons", buttons).unwrap_or((true, None));
    let services = services(r, &mut root);
    root.finish(r);
    let board = board.map(|b| b.value).filter(|b| b != "auto");
    Raw {
        name,
        cloud,
        store_dir,
        store_place,
        segment_kib,
        records_per_day,
        socket,
        group,
        admins,
        max_connections,
        board,
        trust,
        time_servers,
        log,
        remote,
        button_reset,
        pairing_user,
        services,
    }
}

/// Default of `store.dir`.
pub const STORE_DIR: &str = "/var/lib/moorline";
/// Default of `control.socket`.
pub const SOCKET: &str = "/run/moorline/control.sock";
/// Default of `control.group`.
pub const GROUP: &str = "moorline";

fn section<'t, T>(
    r: &mut Reader<'t>,
    root: &mut Table<'t>,
    key: &'static str,
    read: impl FnOnce(&mut Reader<'t>, &mut Table<'t>) -> T,
) -> Option<T> {
    let mut table = root.table(r, key)?;
    let value = read(r, &mut table);
    table.finish(r);
    Some(value)
}

fn nas<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Option<String> {
    let name = t.string(r, "name")?;
    if name.value.trim().is_empty() || name.value.len() > 48 || name.value.chars().any(char::is_control) {
        r.complain(
            name.at,
            "bad-name",
            "nas.name is not a name".into(),
            "write 1 to 48 bytes of text".into(),
        );
        return None;
    }
    Some(name.value)
}

fn cloud<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> RawCloud {
    let plaintext = t.boolean(r, "allow_plaintext").is_some_and(|b| b.value);
    let broker = broker(r, t, plaintext);
    let cloud = RawCloud {
        enabled: t.boolean(r, "enabled").is_none_or(|b| b.value),
        login: login(r, t, "cloud"),
        ca_file: t.string(r, "ca_file"),
        certificate: certificate(r, t),
        topic_prefix: topic_prefix(r, t),
        keepalive_s: number(r, t, "keepalive_s", 10, 240, 60),
        backoff_max_s: number(r, t, "backoff_max_s", 1, 3600, 300),
        spread_s: number(r, t, "reconnect_spread_s", 0, 600, 10),
        device_access: section(r, t, "device_access", |r, t| login(r, t, "cloud.device_access")).flatten(),
        broker,
    };
    let chain = cloud.certificate.as_ref().map(|c| (&c.chain, "client_cert_file"));
    for (file, key) in cloud.ca_file.as_ref().map(|f| (f, "ca_file")).into_iter().chain(chain) {
        if cloud.broker.as_ref().is_some_and(|url| !url.tls) {
            let help = format!("use mqtts:// or wss://, or leave {key} out");
            r.complain(file.at, "impossible", format!("cloud.{key} has no use without TLS"), help);
        }
    }
    cloud
}

/// Both or none.
fn certificate<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Option<RawCertificate> {
    let chain = t.string(r, "client_cert_file");
    let key = t.string(r, "client_key_file");
    match (chain, key) {
        (Some(chain), Some(key)) => Some(RawCertificate { chain, key }),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            let message = "cloud.client_cert_file and cloud.client_key_file stand without each other";
            let help = "name both the certificate and its key, or neither".into();
            r.complain(one.at, "impossible", message.into(), help);
            None
        }
    }
}

fn broker<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, plaintext: bool) -> Option<BrokerUrl> {
    let text = t.string(r, "broker")?;
    match text.value.parse::<BrokerUrl>() {
        Ok(url) if !url.tls && !url.is_loopback() && !plaintext => {
            let message = "cloud.broker would send the password and everything else in the clear".into();
            let help = "use mqtts://, or set allow_plaintext = true if the network is yours alone".into();
            r.complain(text.at, "plaintext", message, help);
            None
        }
        Ok(url) => Some(url),
        Err(bad) => {
            let help = "write for example \"mqtts://broker.example:8883\"".into();
            r.complain(text.at, "bad-broker", format!("cloud.broker: {bad}"), help);
            None
        }
    }
}

/// Both or none.
fn login<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, name: &str) -> Option<RawLogin> {
    let user = t.string(r, "user");
    let file = t.string(r, "password_file");
    match (user, file) {
        (Some(user), Some(password_file)) => {
            if user.value.is_empty() || user.value.len() > 256 || user.value.chars().any(char::is_control) {
                let help = "write 1 to 256 bytes of text".into();
                r.complain(user.at, "bad-name", format!("{name}.user is not a user name"), help);
                return None;
            }
            Some(RawLogin { user: user.value, password_file })
        }
        (None, None) => None,
        (Some(at), None) => {
            let help = "name the file whose first line is the password".into();
            r.complain(at.at, "impossible", format!("{name}.user stands without {name}.password_file"), help);
            None
        }
        (None, Some(at)) => {
            let help = "name the user that the password belongs to".into();
            r.complain(at.at, "impossible", format!("{name}.password_file stands without {name}.user"), help);
            None
        }
    }
}

fn topic_prefix<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> heapless::String<32> {
    let Some(text) = t.string(r, "topic_prefix") else { return prefix("moorline") };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    match heapless::String::try_from(text.value.as_str()) {
        Ok(kept) if !text.value.is_empty() && text.value.bytes().all(fits) => kept,
        Ok(_) | Err(_) => {
            let help = "write 1 to 32 characters of A-Z a-z 0-9 _ -".into();
            r.complain(text.at, "bad-prefix", "cloud.topic_prefix is not one level of a topic".into(), help);
            prefix("moorline")
        }
    }
}

fn prefix(text: &str) -> heapless::String<32> {
    heapless::String::try_from(text).unwrap_or_default()
}

fn number<'t>(
    r: &mut Reader<'t>,
    t: &mut Table<'t>,
    key: &'static str,
    low: i64,
    high: i64,
    default: u64,
) -> u64 {
    t.integer(r, key, low, high).and_then(|n| u64::try_from(n.value).ok()).unwrap_or(default)
}

fn store<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> (String, Option<Place>, usize, u32) {
    let dir = path(r, t, "dir", STORE_DIR);
    let place = t.string(r, "place").and_then(|text| {
        let parsed = text.value.parse();
        if let Err(error) = &parsed {
            let message = format!("place is {:?}", text.value);
            r.complain(text.at, "bad-value", message, format!("{error}"));
        }
        parsed.ok()
    });
    // 64 KiB is the least that the fullest pairing state needs: it may fill half a segment.
    let kib = t.integer(r, "segment_kib", 64, 1024);
    if let Some(kib) = &kib
        && kib.value % 4 != 0
    {
        let help = "write a multiple of 4".into();
        r.complain(kib.at, "out-of-range", format!("store.segment_kib is {}", kib.value), help);
    }
    let records = number(r, t, "records_per_day", 100, 1_000_000, budget::A_DAY.into());
    let kib = kib.and_then(|k| usize::try_from(k.value).ok()).unwrap_or(64);
    (dir, place, kib, u32::try_from(records).unwrap_or(budget::A_DAY))
}

fn path<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str, default: &str) -> String {
    let Some(text) = t.string(r, key) else { return default.to_owned() };
    if !text.value.starts_with('/') || text.value.contains('\0') {
        r.complain(
            text.at,
            "bad-path",
            format!("{key} is not an absolute path"),
            format!("write for example \"{default}\""),
        );
    }
    text.value
}

type Control = (String, String, Vec<String>, usize);

fn control<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Control {
    let socket = path(r, t, "socket", SOCKET);
    if socket.len() > 100 {
        let help = "sockets have paths of at most 100 bytes (unix(7))".into();
        r.complain(t.at(), "bad-path", "control.socket is too long".into(), help);
    }
    let group = t.string(r, "group").map_or_else(|| GROUP.to_owned(), |g| g.value);
    let admins = t.strings(r, "admins").map(|a| a.value).unwrap_or_default();
    let max =
        t.integer(r, "max_connections", 1, 64).and_then(|n| usize::try_from(n.value).ok()).unwrap_or(16);
    (socket, group, admins.into_iter().map(|a| a.value).collect(), max)
}

fn clock<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> (Trust, Vec<String>) {
    let servers = t.strings(r, "time_servers").map(|s| s.value).unwrap_or_default();
    if let Some(surplus) = servers.get(TIME_SERVERS_MAX) {
        let help = format!("name at most {TIME_SERVERS_MAX}");
        r.complain(surplus.at, "too-many", "clock.time_servers has too many servers".into(), help);
    }
    let trust = match t.string(r, "trust") {
        None => Trust::Kernel,
        Some(text) => match text.value.as_str() {
            "kernel" => Trust::Kernel,
            "system" => Trust::System,
            _ => {
                let help = "write \"kernel\" or \"system\"".into();
                r.complain(text.at, "bad-value", format!("clock.trust is {:?}", text.value), help);
                Trust::Kernel
            }
        },
    };
    (trust, servers.into_iter().map(|s| s.value).collect())
}

/// Time servers that are asked.
const TIME_SERVERS_MAX: usize = 4;

fn log_level<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> log::LevelFilter {
    let Some(text) = t.string(r, "level") else { return log::LevelFilter::Info };
    text.value.parse().unwrap_or_else(|_| {
        let help = "write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"".into();
        r.complain(text.at, "bad-value", format!("log.level is {:?}", text.value), help);
        log::LevelFilter::Info
    })
}

/// `[remote]` as it was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRemote {
    /// `remote.port`.
    pub port: Option<u16>,
    /// `remote.announce`.
    pub announce: bool,
    /// `remote.map_port`.
    pub map_port: bool,
    /// `remote.external_port`.
    pub external_port: Option<u16>,
    /// `remote.external_address`.
    pub external_address: Option<Ipv4Addr>,
}

impl Default for RawRemote {
    fn default() -> Self {
        Self { port: None, announce: true, map_port: true, external_port: None, external_address: None }
    }
}

fn remote<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> RawRemote {
    let port = t.integer(r, "port", 1, 65_535);
    let external = t.integer(r, "external_port", 1, 65_535);
    let address = t.string(r, "external_address").and_then(|text| {
        let help = "write an address such as \"203.0.113.7\"; a name is not looked up".into();
        let parsed = text.value.parse().ok();
        if parsed.is_none() {
            r.complain(text.at, "bad-value", format!("remote.external_address is {:?}", text.value), help);
        }
        parsed
    });
    RawRemote {
        port: port.and_then(|p| u16::try_from(p.value).ok()),
        announce: t.boolean(r, "announce").is_none_or(|b| b.value),
        map_port: t.boolean(r, "map_port").is_none_or(|b| b.value),
        external_port: external.and_then(|p| u16::try_from(p.value).ok()),
        external_address: address,
    }
}

/// What presses of the box's buttons mean.
fn buttons<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> (bool, Option<UserName>) {
    let reset = t.boolean(r, "reset").is_none_or(|b| b.value);
    let user = t.string(r, "pairing_user").and_then(|text| {
        let parsed = text.value.parse();
        if let Err(error) = &parsed {
            let message = format!("buttons.pairing_user is {:?}", text.value);
            r.complain(text.at, "bad-name", message, format!("{error}"));
        }
        parsed.ok()
    });
    (reset, user)
}

fn services<'t>(r: &mut Reader<'t>, root: &mut Table<'t>) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    for mut table in root.tables(r, "service") {
        let at = table.at();
        if let Some(service) = service(r, &mut table) {
            if services.iter().any(|s| s.name == service.name) {
                let help = "give each service a name of its own".into();
                r.complain(at, "impossible", format!("there are two services {:?}", service.name), help);
            } else if services.len() >= SERVICES_MAX {
                let help = format!("at most {SERVICES_MAX} services");
                r.complain(at, "out-of-range", "one service too many".into(), help);
            } else {
                services.push(service);
            }
        }
        table.finish(r);
    }
    services
}

fn service<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Option<Service> {
    let name = t.required(r, "name");
    let address = t.required(r, "address");
    let users = t
        .strings(r, "users")
        .map_or_else(|| vec!["*".to_owned()], |u| u.value.into_iter().map(|u| u.value).collect());
    let (name, address) = (name?, address?);
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.value.is_empty() || name.value.len() > 16 || !name.value.bytes().all(fits) {
        let help = "write 1 to 16 characters of a-z 0-9 -".into();
        r.complain(name.at, "bad-name", format!("service.name is {:?}", name.value), help);
        return None;
    }
    match address.value.parse::<SocketAddr>() {
        Ok(socket) if socket.ip().is_loopback() && socket.port() != 0 => {
            Some(Service { name: name.value, address: socket, users })
        }
        Ok(_) | Err(_) => {
            let help = "write address and port of this machine, for example \"127.0.0.1:80\"".into();
            r.complain(address.at, "bad-address", format!("service.address is {:?}", address.value), help);
            None
        }
    }
}
