//! From the command line and the configuration to an agent that is ready to run, or the reason why not.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;

use smol::LocalExecutor;
use zeroize::Zeroizing;

use super::vault::Vault;
use super::{Agent, cloud};
use crate::array;
use crate::array::made_for;
use crate::array::state::Array;
use crate::board::catalogue::{Catalogue, Origin};
use crate::board::description::state::DISK;
use crate::board::description::{Known, Part};
use crate::board::{self, select};
use crate::clock::{Clock, Trust};
use crate::config::io::{ConfigError, load};
use crate::config::{Account, Config};
use crate::control::access::Administrators;
use crate::control::io::{BindError, Server, Times};
use crate::hardware::button::Keypad;
use crate::hardware::io::disks::{fitted, locate};
use crate::hardware::io::leds::Lights;
use crate::hardware::led::Panel;
use crate::health::finding::Code;
use crate::health::tracker::Tracker;
use crate::identity::Identity;
use crate::pairing::budget::Budget;
use crate::pairing::desk::Desk;
use crate::pairing::presence::LastSeen;
use crate::session::inflow::Inflow;
use crate::session::io::{Endpoint, Transport};
use crate::session::losses::Losses;
use crate::session::machine::{Machine, Settings};
use crate::session::presence::Instance;
use crate::session::tls::{Judged, Roots, TlsError};
use crate::session::topics::Topics;
use crate::session::watchdog::Watchdog;
use crate::store::io::{Site, SiteError};
use crate::store::place::{Ground, Place};
use crate::sys::keyfile::{KeyFileError, load_or_create};
use crate::sys::root::Root;
use crate::sys::{clock, random};
use crate::units::{Mono, UnixSeconds};

/// The key file, beside the log.
pub(crate) const KEY_FILE: &str = "identity.key";

/// From the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration.
    pub config: PathBuf,
    /// Prefix of /sys, /proc, /dev and /etc.
    pub root: Option<PathBuf>,
}

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store's place.
    #[error(transparent)]
    Store(#[from] SiteError),
    /// The identity.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The control socket.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A part of the system.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
}

/// When this binary was built: the earliest time it can be.
pub(crate) fn build_time() -> UnixSeconds {
    UnixSeconds(env!("MOORLINE_BUILD_UNIX").parse().unwrap_or(0))
}

impl Agent {
    /// Builds everything; nothing is sent and no light is touched yet.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(options: &Options, executor: &Rc<LocalExecutor<'static>>) -> Result<Self, StartError> {
        let root = options.root.clone().map_or_else(Root::real, Root::simulated);
        let config = load(&options.config, &hostname())?;
        log::set_max_level(config.log);
        let mut random = random::System::new();
        let catalogue = board::io::catalogue(&root);
        let recognised = board(&catalogue, &root, &config);
        // The lock comes first: a second agent must not touch the key or the socket.
        let site = site(&root, &config, recognised.as_ref().ok());
        let vault = Vault::open(site, config.records_per_day, &mut random)?;
        let identity = load_or_create(&config.store_dir.join(KEY_FILE))?;
        let fallback = crate::random::bytes(&mut random);
        let boot = clock::boot_id(&Root::real(), fallback);
        let trust = trust(config.trust, recognised.as_ref().ok());
        let mut clock = Clock::new(boot, trust, build_time(), clock::read());
        if let Some(floor) = vault.ledger().floor() {
            clock.raise_floor(floor);
        }
        let started = clock.now().mono;
        let judged = Judged::new(clock.judged());
        let transport = Transport::new(endpoint(&config, &judged)?);
        let session = session(&config, &identity, started);
        let watchdog = Watchdog::new(config.backoff_max, started);
        let mut tracker = Tracker::default();
        tell_files(&catalogue, &mut tracker, started);
        let board = told_board(&root, recognised, &mut tracker, started);
        let run = config.socket.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        let lights = Lights::new(root.clone(), &run);
        let panel = board.as_ref().map(|b| Panel::new(b, &lights.names())).unwrap_or_default();
        let mcu = board.as_ref().and_then(|b| super::lights::mcu(b, &root));
        let keypad = board.as_ref().map(|b| Keypad::new(&b.buttons)).unwrap_or_default();
        let server = Server::bind(&config.socket, gid(&config.group))?;
        let calls = server.serve(executor, administrators(&config), config.max_connections, Times::USUAL);
        Ok(Self {
            arrays: arrays(&root, board.as_ref()),
            disks: super::disks::Disks::default(),
            budget: Budget::new(config.records_per_day, started),
            desk: Desk::default(),
            seen: LastSeen::default(),
            events: super::events::Events::default(),
            losses: Losses::default(),
            inflow: Inflow::default(),
            instance: Instance(u32::from_le_bytes(crate::random::bytes(&mut random))),
            entrance: super::remote::Entrance::new(executor, &config, identity.id(), started, &mut random),
            mapper: super::portmap::Mapper::new(started, &mut random),
            clone_forgiven: false,
            time: super::time::Question::default(),
            doctor: super::doctor::Round::default(),
            knocks: crate::pairing::knocks::Knocks::default(),
            renames: Budget::new(super::remote::RENAMES_A_DAY, started),
            told: cloud::Told::default(),
            _server: server,
            config,
            root,
            started,
            clock,
            judged,
            random,
            identity,
            vault,
            session,
            watchdog,
            transport,
            tracker,
            board,
            panel,
            showing: super::lights::Showing::default(),
            mcu,
            keypad,
            lights,
            calls: Box::pin(calls),
        })
    }
}

fn administrators(config: &Config) -> Administrators {
    let own = nix::unistd::geteuid().as_raw();
    Administrators::new(own, config.admins.iter().filter_map(|a| uid(a)))
}

/// The arrays as they are now, each beside what the box is made for.
pub(super) fn arrays(root: &Root, board: Option<&board::description::Description>) -> Vec<Array> {
    // Of all arrays of one look, and only if one asks.
    let counted = OnceCell::new();
    let in_bays = || *counted.get_or_init(|| fitted(root, board));
    array::io::read_all(root, |texts| made_for::expectation(board, texts, in_bays))
}

/// The session's machine for one identity.
pub(super) fn session(config: &Config, identity: &Identity, now: Mono) -> Machine {
    let id = identity.id();
    let settings = Settings {
        keepalive: config.keepalive,
        backoff_max: config.backoff_max,
        spread: config.spread,
        client_id: heapless::String::try_from(id.as_str()).unwrap_or_default(),
    };
    Machine::new(settings, Topics::new(config.topic_prefix.clone(), id), now)
}

/// How the configured broker is reached.
pub(crate) fn endpoint(config: &Config, judged: &Judged) -> Result<Endpoint, TlsError> {
    let Some(cloud) = &config.cloud else {
        return Ok(Endpoint { host: String::new(), port: 0, tls: None, path: None, login: None });
    };
    let roots = cloud.ca.as_deref().map_or(Roots::Bundled, Roots::Pem);
    let certificate = cloud.certificate.as_ref().map(|c| (c.chain.as_slice(), c.key.reveal().as_bytes()));
    Endpoint::new(&cloud.url, roots, certificate, judged.clone(), cloud.account.as_ref().map(login))
}

fn login(account: &Account) -> crate::session::io::Account {
    let password = Zeroizing::new(account.password.reveal().as_bytes().to_vec());
    crate::session::io::Account { user: account.user.clone(), password }
}

type Board = Result<board::description::Description, select::NoBoard>;

fn board(catalogue: &Catalogue, root: &Root, config: &Config) -> Board {
    select::select(&catalogue.boards, &board::io::facts(root), config.board.as_deref())
}

/// A box without a clock of its own starts with any time: that is not to be believed, whatever else the configuration says.
fn trust(wanted: Trust, board: Option<&board::description::Description>) -> Trust {
    match board.map(|b| b.knows(Part::Rtc)) {
        Some(Known::Absent) => Trust::Kernel,
        Some(Known::Present | Known::Unknown) | None => wanted,
    }
}

/// Files that cannot be used are findings; those that can are said in the log.
fn tell_files(catalogue: &Catalogue, tracker: &mut Tracker, now: Mono) {
    for bad in &catalogue.bad {
        let first = bad.faults.first().map(|f| format!("{f} ({})", f.help)).unwrap_or_default();
        tracker.raise(Code::BoardFileBad, &bad.name, &format!("{}:{first}", bad.name), now);
    }
    for (id, origin) in &catalogue.files {
        let what = if *origin == Origin::Replaces { " in place of the built-in one" } else { "" };
        log::info!("board {id}: a file of this NAS{what}");
    }
}

/// The board with its bays where they are now, or the finding that says why it is not known.
fn told_board(
    root: &Root,
    board: Board,
    tracker: &mut Tracker,
    now: Mono,
) -> Option<board::description::Description> {
    match board {
        Ok(mut board) => {
            locate(root, &mut board);
            Some(board)
        }
        Err(error) => {
            let code = match error {
                select::NoBoard::Unknown { .. } | select::NoBoard::NotThere(_) => Code::BoardUnknown,
                select::NoBoard::Ambiguous(_) => Code::BoardAmbiguous,
            };
            tracker.raise(code, "", &error.to_string(), now);
            None
        }
    }
}

/// Where the store may be: as configured, else by the board's list, else in the directory.
pub(crate) fn site(root: &Root, config: &Config, board: Option<&board::description::Description>) -> Site {
    let named = || board.into_iter().flat_map(|b| &b.state);
    let on_disk = |place: &'_ String| place.strip_prefix(DISK).map(PathBuf::from);
    let candidate = |place: &String| on_disk(place).map(Place::Dir).or_else(|| place.parse::<Place>().ok());
    Site {
        root: root.clone(),
        dir: config.store_dir.clone(),
        segment_bytes: config.segment_bytes,
        wanted: config.store_place.clone(),
        candidates: named().filter_map(candidate).collect(),
        never: board.map(|b| b.never_mtd.clone()).unwrap_or_default(),
        ground: Ground {
            fs: board.map(|b| b.state_fs.clone()).unwrap_or_default(),
            disks: named().filter_map(on_disk).collect(),
        },
    }
}

fn hostname() -> String {
    let name = nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if name.is_empty() { "NAS".to_owned() } else { name.chars().take(48).collect() }
}

/// A group by name. A static binary has no name service: /etc/group is read as it stands.
fn gid(name: &str) -> Option<u32> {
    third_field("/etc/group", name)
}

/// A uid, or a user by name.
fn uid(text: &str) -> Option<u32> {
    let found = text.parse().ok().or_else(|| third_field("/etc/passwd", text));
    if found.is_none() {
        log::warn!("[control] admins: there is no user {text}");
    }
    found
}

/// group(5) and passwd(5) have the number in their third field.
fn third_field(path: &str, name: &str) -> Option<u32> {
    let text = Root::real().read(path).ok()?;
    let line = text.lines().find(|l| l.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::builtin;

    fn board(change: impl FnOnce(&mut board::description::Description)) -> board::description::Description {
        let mut board = builtin::all().remove(0);
        change(&mut board);
        board
    }

    #[test]
    fn the_boards_places_become_candidates_and_a_disk_needs_a_mount() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.toml");
        std::fs::write(&file, "").unwrap();
        let config = load(&file, "NAS").unwrap();
        let board = board(|b| {
            b.state = ["ubi:moorline", "dir:/data/m", "disk:/mnt/m"].map(str::to_owned).into();
            b.state_fs = vec!["ext4".into()];
        });
        let site = site(&Root::simulated(dir.path().to_owned()), &config, Some(&board));
        let places: Vec<String> = site.candidates.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["ubi:moorline", "dir:/data/m", "dir:/mnt/m"]);
        assert_eq!(site.ground, Ground { fs: vec!["ext4".into()], disks: vec!["/mnt/m".into()] });
    }

    #[test]
    fn a_box_without_a_clock_believes_no_time_before_the_networks() {
        let without = board(|b| {
            b.rtc = Vec::new();
            b.absent = vec![Part::Rtc];
        });
        assert_eq!(trust(Trust::System, Some(&without)), Trust::Kernel);
        let unknown = board(|b| {
            b.rtc = Vec::new();
            b.absent = Vec::new();
        });
        assert_eq!(trust(Trust::System, Some(&unknown)), Trust::System);
        assert_eq!(trust(Trust::System, None), Trust::System);
    }
}
