//! From a request on the socket to what is asked of the agent. A core: method, path, query and body in, one closed enum
//! or a fault out. Nothing behind this file sees text that was not checked.

use core::net::IpAddr;
use core::time::Duration;

use serde::de::DeserializeOwned;

use super::access::Rights;
use super::api;
use super::fault::Fault;
use crate::hardware::led::policy::Target;
use crate::pairing::plan::{TTL_MAX, TTL_MIN};
use crate::pairing::record::{AccessMode, DNS_MAX, DeviceId, EMAIL_MAX, UserName};

/// Longest that lights blink to be found: a walk through a building.
const IDENTIFY_MAX: u64 = 600;
/// Unless something else is asked for.
const IDENTIFY_USUAL: u64 = 30;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `GET /openapi.json`.
    OpenApi,
    /// `GET /v1/status`.
    Status,
    /// `GET /v1/users`; with personal data or without.
    Users(Personal),
    /// `PUT /v1/users/{name}`.
    PutUser(UserName, Option<String>),
    /// `DELETE /v1/users/{name}`.
    RemoveUser(UserName),
    /// `GET /v1/devices`.
    Devices(Option<UserName>),
    /// `GET /v1/devices/{id}`.
    Device(DeviceId),
    /// `DELETE /v1/devices/{id}`.
    RemoveDevice(DeviceId),
    /// `DELETE /v1/devices?unused=true`.
    RemoveUnused(Option<UserName>),
    /// `GET /v1/devices/{id}/qr.svg`.
    Qr(DeviceId),
    /// `GET /v1/codes`.
    Codes,
    /// `POST /v1/codes`.
    Code {
        /// For whom.
        user: UserName,
        /// How long it is valid.
        ttl: Duration,
        /// Keep the user's other unused codes.
        keep_others: bool,
        /// Also while the cloud cannot be reached.
        offline: bool,
    },
    /// `GET /v1/cloud`.
    Cloud,
    /// `PATCH /v1/cloud`.
    PatchCloud {
        /// Whether a session is wanted.
        enabled: Option<bool>,
        /// How devices may reach the NAS.
        mode: Option<AccessMode>,
        /// Override name servers.
        dns: Option<heapless::Vec<IpAddr, DNS_MAX>>,
    },
    /// `POST /v1/cloud/reconnect`.
    Reconnect,
    /// `POST /v1/doctor`.
    Doctor,
    /// `GET /v1/arrays`.
    Arrays,
    /// `GET /v1/hardware`.
    Hardware(Personal),
    /// `POST /v1/hardware/identify`: lights blink, so that somebody finds this.
    Identify(Target, Duration),
    /// `DELETE /v1/hardware/identify`.
    EndIdentify,
    /// `GET /v1/services`.
    Services,
    /// `POST /v1/reset/{scope}`, carried out or only planned.
    Reset(Scope, Execution),
    /// `GET /v1/events`, with the last event that was seen.
    Events(Option<u64>),
    /// `GET /v1/report`.
    Report,
    /// `GET /metrics`.
    Metrics,
}

/// Whether personal data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personal {
    /// The usual.
    Masked,
    /// An administrator asked for it.
    Shown,
}

/// What a reset resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The owner's cloud settings.
    Connection,
    /// Users' devices and codes.
    Pairings,
    /// The NAS's key, and with it all pairings.
    Identity,
}

impl Scope {
    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Pairings => "pairings",
            Self::Identity => "identity",
        }
    }
}

/// Planned or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// Only said.
    Plan,
    /// Carried out.
    Do,
}

/// A fault and its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub fault: Fault,
    /// What was wrong here.
    pub detail: String,
}

impl Refused {
    /// `fault`, with this detail.
    pub fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into() }
    }
}

/// A request as it came, decoded but not understood.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// GET and so on; HEAD counts as GET.
    pub method: &'a str,
    /// Decoded path.
    pub path: &'a str,
    /// Decoded query.
    pub query: &'a [(String, String)],
    /// Body.
    pub body: &'a [u8],
    /// `Last-Event-ID`, if it was sent.
    pub last_event_id: Option<&'a str>,
}

/// Understands a request of a caller with `rights`.
///
/// # Errors
/// [`Refused`], with the fault that the answer names.
pub fn understand(raw: &Raw<'_>, rights: Rights) -> Result<Ask, Refused> {
    let segments: Vec<&str> = raw.path.trim_start_matches('/').split('/').collect();
    let ask = match (raw.method, segments.as_slice()) {
        ("GET", ["openapi.json"]) => none(raw, Ask::OpenApi),
        ("GET", ["metrics"]) => none(raw, Ask::Metrics),
        (method, ["v1", rest @ ..]) => version_1(raw, method, rest),
        (_, ["openapi.json" | "metrics"]) => Err(wrong_method(raw)),
        _ => Err(unknown(raw)),
    }?;
    if needs_administrator(&ask) && rights != Rights::Administrator {
        return Err(Refused::new(
            Fault::NotPermitted,
            format!("{} {} changes or reveals something", raw.method, raw.path),
        ));
    }
    Ok(ask)
}

fn version_1(raw: &Raw<'_>, method: &str, segments: &[&str]) -> Result<Ask, Refused> {
    match (method, segments) {
        ("GET", ["status"]) => none(raw, Ask::Status),
        ("GET", ["users"]) => Ok(Ask::Users(personal(raw)?)),
        ("PUT", ["users", name]) => put_user(raw, name),
        ("DELETE", ["users", name]) => none(raw, Ask::RemoveUser(user_name(name)?)),
        ("GET", ["devices"]) => Ok(Ask::Devices(query_user(raw, &["user"])?)),
        ("DELETE", ["devices"]) => remove_unused(raw),
        ("GET", ["devices", id]) => none(raw, Ask::Device(device_id(id)?)),
        ("DELETE", ["devices", id]) => none(raw, Ask::RemoveDevice(device_id(id)?)),
        ("GET", ["devices", id, "qr.svg"]) => none(raw, Ask::Qr(device_id(id)?)),
        ("GET", ["codes"]) => none(raw, Ask::Codes),
        ("POST", ["codes"]) => post_code(raw),
        ("GET", ["cloud"]) => none(raw, Ask::Cloud),
        ("PATCH", ["cloud"]) => patch_cloud(raw),
        ("POST", ["cloud", "reconnect"]) => none(raw, Ask::Reconnect),
        ("POST", ["doctor"]) => none(raw, Ask::Doctor),
        ("GET", ["arrays"]) => none(raw, Ask::Arrays),
        ("GET", ["hardware"]) => Ok(Ask::Hardware(personal(raw)?)),
        ("POST", ["hardware", "identify"]) => post_identify(raw),
        ("DELETE", ["hardware", "identify"]) => none(raw, Ask::EndIdentify),
        ("GET", ["services"]) => none(raw, Ask::Services),
        ("POST", ["reset", scope]) => Ok(Ask::Reset(reset_scope(scope)?, execution(raw)?)),
        ("GET", ["events"]) => events(raw),
        ("GET", ["report"]) => none(raw, Ask::Report),
        (
            _,
            [
                "status" | "users" | "devices" | "codes" | "cloud" | "doctor" | "arrays" | "hardware"
                | "services" | "events" | "report",
            ]
            | ["users" | "devices" | "reset", _]
            | ["cloud", "reconnect"]
            | ["hardware", "identify"]
            | ["devices", _, "qr.svg"],
        ) => Err(wrong_method(raw)),
        _ => Err(unknown(raw)),
    }
}

/// Methods of a resource, for the `Allow` field of a 405 (RFC 9110, 15.5.6); empty for an unknown one.
pub fn allowed(path: &str) -> String {
    let methods = ["GET", "PUT", "POST", "PATCH", "DELETE"];
    let fits = |method: &&str| {
        let raw = Raw { method, path, query: &[], body: b"", last_event_id: None };
        !matches!(
            understand(&raw, Rights::Administrator),
            Err(Refused { fault: Fault::MethodNotAllowed | Fault::NotFound, .. })
        )
    };
    methods.into_iter().filter(fits).collect::<Vec<_>>().join(", ")
}

const fn needs_administrator(ask: &Ask) -> bool {
    match ask {
        Ask::OpenApi
        | Ask::Status
        | Ask::Users(Personal::Masked)
        | Ask::Devices(_)
        | Ask::Device(_)
        | Ask::Cloud
        // It changes nothing, and one runs at a time.
        | Ask::Doctor
        | Ask::Arrays
        | Ask::Hardware(Personal::Masked)
        | Ask::Services
        | Ask::Reset(_, Execution::Plan)
        | Ask::Events(_)
        | Ask::Report
        | Ask::Metrics => false,
        Ask::Users(Personal::Shown)
        | Ask::Hardware(Personal::Shown)
        | Ask::PutUser(..)
        | Ask::RemoveUser(_)
        | Ask::RemoveDevice(_)
        | Ask::RemoveUnused(_)
        // A QR code is the code itself.
        | Ask::Qr(_)
        | Ask::Codes
        | Ask::Code { .. }
        | Ask::PatchCloud { .. }
        | Ask::Reconnect
        | Ask::Identify(..)
        | Ask::EndIdentify
        | Ask::Reset(_, Execution::Do) => true,
    }
}

fn unknown(raw: &Raw<'_>) -> Refused {
    Refused::new(Fault::NotFound, format!("there is no {}", raw.path))
}

fn wrong_method(raw: &Raw<'_>) -> Refused {
    Refused::new(Fault::MethodNotAllowed, format!("{} has no {}", raw.path, raw.method))
}

/// The request has neither query nor body to look at; what is there all the same is named.
fn none(raw: &Raw<'_>, ask: Ask) -> Result<Ask, Refused> {
    only(raw, &[])?;
    if raw.body.is_empty() {
        Ok(ask)
    } else {
        Err(Refused::new(Fault::InvalidJson, "this request has no body"))
    }
}

/// Refuses query parameters that nobody asked for, and doubled ones.
fn only(raw: &Raw<'_>, names: &[&str]) -> Result<(), Refused> {
    for (i, (name, _)) in raw.query.iter().enumerate() {
        if !names.contains(&name.as_str()) {
            return Err(Refused::new(
                Fault::InvalidParameter,
                format!("there is no query parameter {name:?} here"),
            ));
        }
        if raw.query.iter().skip(i + 1).any(|(other, _)| other == name) {
            return Err(Refused::new(Fault::InvalidParameter, format!("{name} is given twice")));
        }
    }
    Ok(())
}

fn query<'a>(raw: &'a Raw<'_>, name: &str) -> Option<&'a str> {
    raw.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn flag(raw: &Raw<'_>, name: &str) -> Result<bool, Refused> {
    match query(raw, name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Refused::new(Fault::InvalidParameter, format!("{name} is true or false"))),
    }
}

fn personal(raw: &Raw<'_>) -> Result<Personal, Refused> {
    only(raw, &["personal"])?;
    Ok(if flag(raw, "personal")? { Personal::Shown } else { Personal::Masked })
}

fn execution(raw: &Raw<'_>) -> Result<Execution, Refused> {
    only(raw, &["plan"])?;
    Ok(if flag(raw, "plan")? { Execution::Plan } else { Execution::Do })
}

fn user_name(text: &str) -> Result<UserName, Refused> {
    text.parse().map_err(|e: crate::pairing::record::NotAUserName| {
        Refused::new(Fault::InvalidParameter, e.to_string())
    })
}

fn device_id(text: &str) -> Result<DeviceId, Refused> {
    text.parse()
        .map_err(|e: crate::pairing::record::NotADeviceId| Refused::new(Fault::DeviceUnknown, e.to_string()))
}

fn query_user(raw: &Raw<'_>, names: &[&str]) -> Result<Option<UserName>, Refused> {
    only(raw, names)?;
    query(raw, "user").map(user_name).transpose()
}

fn remove_unused(raw: &Raw<'_>) -> Result<Ask, Refused> {
    let user = query_user(raw, &["user", "unused"])?;
    if !flag(raw, "unused")? {
        // Never "all devices" by a forgotten parameter.
        return Err(Refused::new(Fault::InvalidParameter, "without an id only unused=true can be removed"));
    }
    Ok(Ask::RemoveUnused(user))
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|e| Refused::new(Fault::InvalidJson, e.to_string()))
}

fn put_user(raw: &Raw<'_>, name: &str) -> Result<Ask, Refused> {
    only(raw, &[])?;
    let name = user_name(name)?;
    let put: api::PutUser = if raw.body.is_empty() { api::PutUser::default() } else { json(raw.body)? };
    if put
        .email
        .as_ref()
        .is_some_and(|e| e.len() > EMAIL_MAX || !e.contains('@') || e.chars().any(char::is_control))
    {
        let detail = format!("email: an address has an @ and at most {EMAIL_MAX} bytes");
        return Err(Refused::new(Fault::InvalidParameter, detail));
    }
    Ok(Ask::PutUser(name, put.email))
}

fn post_code(raw: &Raw<'_>) -> Result<Ask, Refused> {
    only(raw, &[])?;
    let post: api::PostCode = json(raw.body)?;
    let ttl = post.ttl_s.map_or(TTL_MAX, Duration::from_secs);
    if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
        let detail =
            format!("ttl_s: a code is valid from {} to {} seconds", TTL_MIN.as_secs(), TTL_MAX.as_secs());
        return Err(Refused::new(Fault::InvalidParameter, detail));
    }
    let user = user_name(&post.user)?;
    Ok(Ask::Code { user, ttl, keep_others: post.keep_others, offline: post.offline })
}

fn post_identify(raw: &Raw<'_>) -> Result<Ask, Refused> {
    only(raw, &[])?;
    let post = if raw.body.is_empty() { api::PostIdentify::default() } else { json(raw.body)? };
    let span = post.for_s.unwrap_or(IDENTIFY_USUAL);
    if !(1..=IDENTIFY_MAX).contains(&span) {
        let detail = format!("for_s: lights blink for 1 to {IDENTIFY_MAX} seconds");
        return Err(Refused::new(Fault::InvalidParameter, detail));
    }
    Ok(Ask::Identify(post.bay.map_or(Target::Box, Target::Bay), Duration::from_secs(span)))
}

fn patch_cloud(raw: &Raw<'_>) -> Result<Ask, Refused> {
    only(raw, &[])?;
    let patch: api::PatchCloud = json(raw.body)?;
    let mode = match patch.mode.as_deref() {
        None => None,
        Some("automatic") => Some(AccessMode::Automatic),
        Some("manual") => Some(AccessMode::Manual),
        Some("relay") => Some(AccessMode::Relay),
        Some(_) => return Err(Refused::new(Fault::InvalidParameter, "mode is automatic, manual or relay")),
    };
    let dns = patch.dns.map(|list| addresses(&list)).transpose()?;
    Ok(Ask::PatchCloud { enabled: patch.enabled, mode, dns })
}

fn addresses(list: &[String]) -> Result<heapless::Vec<IpAddr, DNS_MAX>, Refused> {
    let mut parsed = heapless::Vec::new();
    for text in list {
        let address = text.parse::<IpAddr>().ok().filter(|a| !a.is_unspecified() && !a.is_multicast());
        let address = address.ok_or_else(|| {
            Refused::new(Fault::InvalidParameter, format!("dns: {text:?} is not an IP address"))
        })?;
        parsed
            .push(address)
            .map_err(|_| Refused::new(Fault::InvalidParameter, format!("dns: at most {DNS_MAX} servers")))?;
    }
    Ok(parsed)
}

fn reset_scope(text: &str) -> Result<Scope, Refused> {
    [Scope::Connection, Scope::Pairings, Scope::Identity]
        .into_iter()
        .find(|s| s.name() == text)
        .ok_or_else(|| Refused::new(Fault::ScopeUnknown, format!("there is no reset {text:?}")))
}

fn events(raw: &Raw<'_>) -> Result<Ask, Refused> {
    only(raw, &[])?;
    let last = raw.last_event_id.map(str::parse::<u64>).transpose();
    last.map(Ask::Events).map_err(|_| Refused::new(Fault::InvalidParameter, "Last-Event-ID is a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(rights: Rights, method: &str, target: &str, body: &str) -> Result<Ask, Fault> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|p| !p.is_empty());
        let query: Vec<(String, String)> =
            pairs.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(k, v)| (k.into(), v.into())).collect();
        let raw = Raw { method, path, query: &query, body: body.as_bytes(), last_event_id: None };
        understand(&raw, rights).map_err(|r| r.fault)
    }

    #[track_caller]
    fn check(method: &str, target: &str, body: &str, expect: Result<Ask, Fault>) {
        assert_eq!(ask(Rights::Administrator, method, target, body), expect);
    }

    fn anna() -> UserName {
        "anna".parse().unwrap()
    }

    #[test]
    fn requests_are_understood() {
        check("GET", "/v1/status", "", Ok(Ask::Status));
        check("PUT", "/v1/users/anna", "", Ok(Ask::PutUser(anna(), None)));
        check("PUT", "/v1/users/anna", r#"{"email":"a@b"}"#, Ok(Ask::PutUser(anna(), Some("a@b".into()))));
        check("GET", "/v1/devices?user=anna", "", Ok(Ask::Devices(Some(anna()))));
        check("DELETE", "/v1/devices/d7", "", Ok(Ask::RemoveDevice(DeviceId(7))));
        check("DELETE", "/v1/devices?unused=true", "", Ok(Ask::RemoveUnused(None)));
        check("POST", "/v1/reset/pairings?plan=true", "", Ok(Ask::Reset(Scope::Pairings, Execution::Plan)));
        let code = |ttl, keep_others, offline| Ask::Code { user: anna(), ttl, keep_others, offline };
        check("POST", "/v1/codes", r#"{"user":"anna"}"#, Ok(code(TTL_MAX, false, false)));
        let body = r#"{"user":"anna","ttl_s":300,"keep_others":true,"offline":true}"#;
        check("POST", "/v1/codes", body, Ok(code(TTL_MIN, true, true)));
        let cloud = |enabled, mode| Ask::PatchCloud { enabled, mode, dns: None };
        check("PATCH", "/v1/cloud", r#"{"enabled":false}"#, Ok(cloud(Some(false), None)));
        check("PATCH", "/v1/cloud", r#"{"mode":"relay"}"#, Ok(cloud(None, Some(AccessMode::Relay))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("GET", "/v1/nothing", "", Err(Fault::NotFound));
        check("GET", "/", "", Err(Fault::NotFound));
        check("PATCH", "/v1/status", "", Err(Fault::MethodNotAllowed));
        check("DELETE", "/v1/devices", "", Err(Fault::InvalidParameter));
        check("DELETE", "/v1/devices?unused=yes", "", Err(Fault::InvalidParameter));
        check("GET", "/v1/status?x=1", "", Err(Fault::InvalidParameter));
        check("GET", "/v1/devices?user=anna&user=bert", "", Err(Fault::InvalidParameter));
        check("POST", "/v1/codes", "", Err(Fault::InvalidJson));
        check("POST", "/v1/codes", r#"{"user":"anna","until":0}"#, Err(Fault::InvalidJson));
        check("POST", "/v1/codes", r#"{"user":"anna","ttl_s":299}"#, Err(Fault::InvalidParameter));
        check("POST", "/v1/codes", r#"{"user":"anna","ttl_s":172801}"#, Err(Fault::InvalidParameter));
        check("PUT", "/v1/users/-", "", Err(Fault::InvalidParameter));
        check("PUT", "/v1/users/anna", r#"{"email":"x"}"#, Err(Fault::InvalidParameter));
        check("GET", "/v1/devices/7", "", Err(Fault::DeviceUnknown));
        check("POST", "/v1/reset/disks", "", Err(Fault::ScopeUnknown));
        check(
            "PATCH",
            "/v1/cloud",
            r#"{"dns":["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]}"#,
            Err(Fault::InvalidParameter),
        );
        check("PATCH", "/v1/cloud", r#"{"dns":["router"]}"#, Err(Fault::InvalidParameter));
    }

    #[test]
    fn a_reader_can_look_but_not_touch_and_not_see_what_is_personal() {
        for (method, target, body) in [
            ("GET", "/v1/users?personal=true", ""),
            ("PUT", "/v1/users/anna", ""),
            ("DELETE", "/v1/devices/d1", ""),
            ("DELETE", "/v1/devices?unused=true", ""),
            ("POST", "/v1/codes", r#"{"user":"anna"}"#),
            ("GET", "/v1/devices/d1/qr.svg", ""),
            ("PATCH", "/v1/cloud", "{}"),
            ("POST", "/v1/cloud/reconnect", ""),
            ("POST", "/v1/hardware/identify", ""),
            ("DELETE", "/v1/hardware/identify", ""),
            ("POST", "/v1/reset/connection", ""),
        ] {
            assert_eq!(
                ask(Rights::Reader, method, target, body),
                Err(Fault::NotPermitted),
                "{method} {target}"
            );
            assert!(ask(Rights::Administrator, method, target, body).is_ok(), "{method} {target}");
        }
        for target in ["/v1/status", "/v1/users", "/v1/devices", "/v1/events", "/v1/report", "/metrics"] {
            assert!(ask(Rights::Reader, "GET", target, "").is_ok(), "{target}");
        }
    }

    #[test]
    fn blinking_to_be_found_is_bounded() {
        let identify = |body| ask(Rights::Administrator, "POST", "/v1/hardware/identify", body);
        let seconds = Duration::from_secs;
        assert_eq!(identify(""), Ok(Ask::Identify(Target::Box, seconds(30))));
        assert_eq!(identify(r#"{"bay":2,"for_s":600}"#), Ok(Ask::Identify(Target::Bay(2), seconds(600))));
        for body in [r#"{"for_s":0}"#, r#"{"for_s":601}"#] {
            assert_eq!(identify(body), Err(Fault::InvalidParameter), "{body}");
        }
        for body in [r#"{"bay":256}"#, r#"{"disk":1}"#, "[]x"] {
            assert_eq!(identify(body), Err(Fault::InvalidJson), "{body}");
        }
        check("DELETE", "/v1/hardware/identify", "", Ok(Ask::EndIdentify));
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        assert_eq!(allowed("/v1/users/anna"), "PUT, DELETE");
        assert_eq!(allowed("/v1/devices"), "GET, DELETE");
        assert_eq!(allowed("/v1/cloud"), "GET, PATCH");
        assert_eq!(allowed("/nothing"), "");
    }

    proptest! {
        #[test]
        fn arbitrary_requests_never_panic(
            method in "[A-Z]{1,7}", path in "(/(v1|status|users|devices|codes|cloud|d1|reset|[a-z.]{0,9})){0,4}",
            body in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let raw = Raw { method: &method, path: &path, query: &[], body: &body, last_event_id: Some("x") };
            let _ = understand(&raw, Rights::Administrator);
        }
    }
}
