//! The control API's own types: what a request asks and what an answer says. The only serialised types of the socket;
//! docs/openapi.json describes them. A core.
//!
//! Optional fields are left out, never null. Times are durations (`…_s`, seconds); a date (`…_at`, RFC 3339, UTC) is there
//! only while the clock is trusted.

use serde::{Deserialize, Serialize};

/// `GET /v1/status`.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// One sentence: what matters most.
    pub summary: String,
    /// Version of the agent.
    pub version: &'static str,
    /// Seconds since the agent started.
    pub uptime_s: u64,
    /// The NAS.
    pub nas: Nas,
    /// The session.
    pub cloud: Cloud,
    /// The clock.
    pub clock: Clock,
    /// Arrays.
    pub arrays: Vec<Array>,
    /// How many device entries there are.
    pub devices: DeviceCounts,
    /// The store.
    pub store: Store,
    /// The listener for paired devices, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// What wants attention, most important first.
    pub findings: Vec<Finding>,
    /// What wanted attention in the last day and is over, the latest first.
    pub past_findings: Vec<PastFinding>,
}

/// The box.
#[derive(Clone, Debug, Serialize)]
pub struct Nas {
    /// Derived from the identity.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The model, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<Board>,
}

/// A board description.
#[derive(Clone, Debug, Serialize)]
pub struct Board {
    /// Name of the description.
    pub id: String,
    /// The model as people know it.
    pub name: String,
    /// Whether somebody tested it on a device; otherwise it comes from documents only.
    pub verified_on_device: bool,
}

/// The session, for `status` and `GET /v1/cloud`.
#[derive(Clone, Debug, Serialize)]
pub struct Cloud {
    /// Whether a broker is configured.
    pub configured: bool,
    /// Whether a session is wanted.
    pub enabled: bool,
    /// Host and port of the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// Where it stands.
    pub phase: &'static str,
    /// Whether a round trip has confirmed it.
    pub online: bool,
    /// How long it has stood there.
    pub since_s: u64,
    /// How long ago the last round trip was confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_s: Option<u64>,
    /// Present interval between signs of life on a quiet connection.
    pub keepalive_s: u64,
    /// Whether the session goes by an address of before, since no name server gave one.
    pub by_memory: bool,
    /// When the next attempt begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_in_s: Option<u64>,
    /// Why it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// `automatic`, `manual` or `relay`.
    pub mode: &'static str,
    /// Override name servers; empty: the system's.
    pub dns: Vec<String>,
    /// What the broker said of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_limits: Option<BrokerLimits>,
    /// Since the start of the agent.
    pub counters: Counters,
    /// The last transitions, oldest first.
    pub history: Vec<Transition>,
}

/// A cause.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The finding's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// In words.
    pub detail: String,
}

/// What the broker said at connect.
#[derive(Clone, Debug, Serialize)]
pub struct BrokerLimits {
    /// The protocol: `5` or `3.1.1`.
    pub mqtt: &'static str,
    /// Messages at QoS 1 that may be in flight.
    pub receive_maximum: u16,
    /// Largest packet in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_packet_size: Option<u32>,
    /// Whether it keeps copies.
    pub retain_available: bool,
    /// Seconds, if it wants its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_keepalive_s: Option<u16>,
    /// Seconds that it keeps a lost session, if it insists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expiry_s: Option<u32>,
    /// Whether it takes wildcards in filters; nothing here needs them.
    pub wildcards_available: bool,
    /// Whether it takes shared subscriptions; nothing here needs them.
    pub shared_available: bool,
    /// What is switched off because of all that, in words.
    pub switched_off: Vec<&'static str>,
}

/// Session counters.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counters {
    /// Attempts begun.
    pub attempts: u64,
    /// Logins accepted.
    pub connects: u64,
    /// Failures and losses.
    pub failures: u64,
    /// Confirmed round trips.
    pub round_trips: u64,
    /// Messages published.
    pub messages_published: u64,
    /// Messages received for the agent.
    pub messages_received: u64,
}

/// One change of phase.
#[derive(Clone, Debug, Serialize)]
pub struct Transition {
    /// How long ago.
    pub ago_s: u64,
    /// To where.
    pub phase: &'static str,
    /// Why, if something went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// The clock.
#[derive(Clone, Debug, Serialize)]
pub struct Clock {
    /// `synced`, `floor` or `unset`.
    pub state: &'static str,
    /// The date, only while it is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

/// The listener for paired devices.
#[derive(Clone, Debug, Serialize)]
pub struct Remote {
    /// Its TCP port; without one devices come in through the broker only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The router's port that leads to it.
    pub router: Mapping,
    /// Open carriers.
    pub carriers: Vec<Carrier>,
    /// Carriers let in since the start.
    pub accepted: u64,
    /// Connections that were not: strangers, removed devices, broken handshakes.
    pub refused: u64,
}

/// A port of the router.
#[derive(Clone, Debug, Serialize)]
pub struct Mapping {
    /// `off`, `no-router`, `trying`, `mapped` or `refused`.
    pub state: &'static str,
    /// In words.
    pub detail: String,
    /// The router's address on its other side, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The router's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether the internet can reach it; not told where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
}

/// An open carrier.
#[derive(Clone, Debug, Serialize)]
pub struct Carrier {
    /// Whose.
    pub device: String,
    /// Address it comes from, or that it is the broker.
    pub from: String,
    /// `lan`, `direct` or `broker`.
    pub path: &'static str,
}

/// The store.
#[derive(Clone, Debug, Serialize)]
pub struct Store {
    /// `ok`, `read-only` or `corrupt`.
    pub state: &'static str,
    /// Where it is: `dir:/PATH`, `mtd:NAME` or `ubi:NAME`.
    pub place: String,
    /// Years that the flash lasts at least if the daily budget of records is used up every day; not told for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub years_at_least: Option<u32>,
    /// How long reading it took at the start.
    pub opened_in_ms: u64,
    /// The longest that a record took to be kept since then.
    pub worst_commit_ms: u64,
    /// Records written since the start of the agent.
    pub records: u64,
    /// Bytes written to the flash since then.
    pub bytes_programmed: u64,
    /// Erases since then.
    pub erases: u64,
}

/// How many entries there are, by state.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct DeviceCounts {
    /// Wait for their code.
    pub pending: usize,
    /// Paired.
    pub paired: usize,
    /// Removed, still to be told.
    pub revoked: usize,
    /// Codes that came to nothing.
    pub ended: usize,
}

/// Something that wants attention.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Stable name.
    pub code: &'static str,
    /// `info`, `warning` or `error`.
    pub severity: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it is about, where there can be several.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    pub remedy: &'static str,
    /// How long it has held.
    pub since_s: u64,
    /// How often it has come; more than once only for one that comes and goes, which is shown until it stays away.
    pub times: u16,
}

/// Something that is over.
#[derive(Clone, Debug, Serialize)]
pub struct PastFinding {
    /// Stable name.
    pub code: &'static str,
    /// `info`, `warning` or `error`.
    pub severity: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it was about, where there can be several.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What was seen last.
    pub evidence: String,
    /// How long ago it came first.
    pub began_ago_s: u64,
    /// How long ago it went last.
    pub ended_ago_s: u64,
    /// How often it came in between.
    pub times: u16,
}

/// An md array.
#[derive(Clone, Debug, Serialize)]
pub struct Array {
    /// The kernel's name.
    pub name: String,
    /// What it is for, where the board's description says that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// raid1 and so on.
    pub level: String,
    /// One of the states of the documents.
    pub state: &'static str,
    /// The kernel's own word, where the state is `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// Usable size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Disks it should have.
    pub disks_wanted: u32,
    /// Disks that work.
    pub disks_working: u32,
    /// Whether the data would outlive the loss of any one disk, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redundant: Option<bool>,
    /// What md does with it, by the words of its `sync_action`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
    /// Percent done, while something runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Time left, while something runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_s: Option<u64>,
    /// Its speed in KiB a second, while something runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_kib_s: Option<u64>,
    /// Its disks.
    pub members: Vec<Member>,
    /// What else was seen.
    pub notes: Vec<String>,
}

/// A disk of an array.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// The kernel's name.
    pub device: String,
    /// The bay it sits in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bay: Option<u8>,
    /// The kernel's words.
    pub state: Vec<String>,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// The account.
    pub name: String,
    /// Masked unless asked for by who may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Entries of this user.
    pub devices: usize,
}

/// `GET /v1/users`.
#[derive(Clone, Debug, Serialize)]
pub struct Users {
    /// All of them.
    pub users: Vec<User>,
}

/// `PUT /v1/users/{name}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutUser {
    /// Kept for the owner's own use.
    pub email: Option<String>,
}

/// A device entry.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// Local id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// `pending`, `paired`, `revoked`, `expired` or `burned`.
    pub state: &'static str,
    /// How long it has been in this state, if that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_s: Option<u64>,
    /// The date of that, only while the clock is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_at: Option<String>,
    /// While pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
    /// While pending, and only while the clock is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// While unused: whether its code works on the LAN only.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub lan_only: bool,
    /// While pending: wrong guesses so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guesses: Option<usize>,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it says it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Id of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// How long ago it was last heard of, since the agent started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_s: Option<u64>,
    /// `seen` or `not-yet`, while paired; `queued` or `sent`, while revoked: whether the other side knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<&'static str>,
}

/// `GET /v1/devices`.
#[derive(Clone, Debug, Serialize)]
pub struct Devices {
    /// Oldest first.
    pub devices: Vec<Device>,
}

/// The answer to a removal.
#[derive(Clone, Debug, Serialize)]
pub struct Removed {
    /// Entries that are gone or revoked now.
    pub removed: Vec<String>,
    /// Those among them whose device is still to be told.
    pub queued: Vec<String>,
}

/// `POST /v1/codes`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostCode {
    /// For whom.
    pub user: String,
    /// Validity in seconds.
    pub ttl_s: Option<u64>,
    /// Keep the user's other unused codes.
    #[serde(default)]
    pub keep_others: bool,
    /// Also while the cloud cannot be reached.
    #[serde(default)]
    pub offline: bool,
}

/// A code and everything that belongs to it.
#[derive(Clone, Serialize)]
pub struct Code {
    /// The new entry.
    pub device_id: String,
    /// Whose it will be.
    pub user: String,
    /// `XXXX-XXXX-XXXX`.
    pub code: String,
    /// The same with the broker's address and the NAS's id, for a QR code.
    pub uri: String,
    /// How long it is valid.
    pub expires_in_s: u64,
    /// Until when, only while the clock is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// By which paths it can be used now: `lan`, `broker`.
    pub usable_by: Vec<&'static str>,
    /// Whether it works on the LAN only: it was opened by a button of the box.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub lan_only: bool,
    /// The NAS's port on the LAN where it can be used, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lan_port: Option<u16>,
}

/// `GET /v1/codes`.
#[derive(Clone, Serialize)]
pub struct Codes {
    /// Those that wait for a device, oldest first.
    pub codes: Vec<Code>,
}

/// `PATCH /v1/cloud`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchCloud {
    /// Whether a session is wanted.
    pub enabled: Option<bool>,
    /// How devices may reach the NAS.
    pub mode: Option<String>,
    /// Override name servers; empty: the system's.
    pub dns: Option<Vec<String>>,
}

/// `GET /v1/hardware`.
#[derive(Clone, Debug, Serialize)]
pub struct Hardware {
    /// The model, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<Board>,
    /// Thermometers.
    pub temperatures: Vec<Temperature>,
    /// Fans.
    pub fans: Vec<Fan>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Lights.
    pub leds: Vec<Led>,
    /// Network interfaces.
    pub network: Vec<Interface>,
    /// Clocks.
    pub rtcs: Vec<Rtc>,
}

/// A thermometer.
#[derive(Clone, Debug, Serialize)]
pub struct Temperature {
    /// Where.
    pub name: String,
    /// Degrees Celsius.
    pub celsius: f64,
}

/// A fan.
#[derive(Clone, Debug, Serialize)]
pub struct Fan {
    /// Which.
    pub name: String,
    /// Turns a minute.
    pub rpm: u32,
    /// The source is known to say what is not so on some boxes.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub unreliable: bool,
}

/// A disk.
#[derive(Clone, Debug, Serialize)]
pub struct Disk {
    /// The kernel's name.
    pub device: String,
    /// The bay it sits in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bay: Option<u8>,
    /// As the disk names itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Size.
    pub size_bytes: u64,
    /// Spinning or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
    /// `awake`, `asleep` or `unknown`, by what the kernel knows: a quiet disk is not asked.
    pub power: &'static str,
    /// How long ago its last I/O was at most, if any was seen since the agent started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_s: Option<u64>,
    /// Degrees Celsius when it was awake last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub celsius: Option<f64>,
    /// How long ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub celsius_age_s: Option<u64>,
    /// The SCSI layer's word for it: `running`, `offline`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Commands that failed since it was found, for whatever reason: programs that ask a disk for its state get answers that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<u64>,
    /// Commands that it did not answer in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<u64>,
    /// Of flash that says so: percent of its life that are used up, in tens; 110: more than it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life_used_percent: Option<u8>,
}

/// A light.
#[derive(Clone, Debug, Serialize)]
pub struct Led {
    /// The kernel's name.
    pub name: String,
    /// Lit.
    pub on: bool,
    /// The kernel's trigger, if one has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// What it shows, of a light that has colours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shows: Option<&'static str>,
}

/// A network interface.
#[derive(Clone, Debug, Serialize)]
pub struct Interface {
    /// The kernel's name.
    pub name: String,
    /// Hardware address; masked unless asked for by who may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// A cable with something at its other end.
    pub link: bool,
    /// Mbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_mbit: Option<u32>,
}

/// A clock chip.
#[derive(Clone, Debug, Serialize)]
pub struct Rtc {
    /// The kernel's name.
    pub device: String,
    /// The driver's name.
    pub name: String,
    /// Whether the kernel set its clock from it.
    pub sets_clock: bool,
}

/// `POST /v1/hardware/identify`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostIdentify {
    /// One bay; otherwise the whole box.
    pub bay: Option<u8>,
    /// For so many seconds.
    pub for_s: Option<u64>,
}

/// What blinks to be found.
#[derive(Clone, Debug, Serialize)]
pub struct Identify {
    /// With how many lights.
    pub lights: usize,
    /// The bay, unless it is the whole box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bay: Option<u8>,
    /// Seconds until it ends; 0: nothing blinks.
    pub ends_in_s: u64,
}

/// `GET /v1/arrays`.
#[derive(Clone, Debug, Serialize)]
pub struct Arrays {
    /// All of them.
    pub arrays: Vec<Array>,
}

/// A service of the NAS.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Who may use it; `*`: everybody.
    pub users: Vec<String>,
    /// Whether something listens there now.
    pub up: bool,
}

/// `GET /v1/services`.
#[derive(Clone, Debug, Serialize)]
pub struct Services {
    /// All of them.
    pub services: Vec<Service>,
}

/// `POST /v1/reset/{scope}`.
#[derive(Clone, Debug, Serialize)]
pub struct Reset {
    /// `connection`, `pairings` or `identity`.
    pub scope: &'static str,
    /// Whether it has been carried out, or only planned.
    pub done: bool,
    /// What stays.
    pub keeps: Vec<String>,
    /// What is lost.
    pub loses: Vec<String>,
    /// Always false: the agent never touches a data disk.
    pub touches_data: bool,
}

/// `GET /v1/report`: what support needs, with personal data masked and no secret in it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// As `GET /v1/status`.
    pub status: Status,
    /// As `GET /v1/hardware`.
    pub hardware: Hardware,
    /// As `GET /v1/users`.
    pub users: Vec<User>,
    /// As `GET /v1/devices`.
    pub devices: Vec<Device>,
    /// As `GET /v1/services`.
    pub services: Vec<Service>,
    /// What recovery found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_corruption: Option<String>,
}

/// `POST /v1/doctor`.
#[derive(Clone, Debug, Serialize)]
pub struct Doctor {
    /// One sentence: the first cause.
    pub summary: String,
    /// Its check: the first that fails, or, if none does, the first that warns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<DoctorCheck>,
    /// Every step, in the order in which one needs the other.
    pub checks: Vec<DoctorCheck>,
}

/// A step between the box and the cloud.
#[derive(Clone, Debug, Serialize)]
pub struct DoctorCheck {
    /// Which step.
    pub id: &'static str,
    /// Which of several: a name server, a service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// `pass`, `warn`, `fail` or `skip`.
    pub status: &'static str,
    /// What was measured or seen.
    pub detail: String,
    /// The finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'static str>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
    /// Milliseconds, where that says something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

impl From<&crate::doctor::check::Check> for DoctorCheck {
    fn from(check: &crate::doctor::check::Check) -> Self {
        let entry = check.standing.code().map(crate::health::finding::Code::entry);
        Self {
            id: check.step.name(),
            subject: check.subject.clone(),
            status: check.standing.name(),
            detail: check.detail.clone(),
            code: entry.map(|e| e.name),
            title: entry.map(|e| e.title),
            remedy: entry.map(|e| e.remedy),
            ms: check.ms,
        }
    }
}

impl From<&crate::doctor::check::Diagnosis> for Doctor {
    fn from(diagnosis: &crate::doctor::check::Diagnosis) -> Self {
        Self {
            summary: diagnosis.summary(),
            first_failure: diagnosis.first_failure().map(DoctorCheck::from),
            checks: diagnosis.checks.iter().map(DoctorCheck::from).collect(),
        }
    }
}
