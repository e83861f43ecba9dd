//! `agent.toml`: what was typed → what it means. docs/configuration.md documents every key; a test keeps the two in step.

pub mod broker;
pub mod io;
pub mod parse;
pub mod secret;

use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::clock::Trust;
use crate::pairing::record::UserName;
use crate::store::place::Place;
use broker::BrokerUrl;
use secret::Secret;

/// Everything the operator set, with defaults filled in and every file read.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the NAS is called.
    pub name: String,
    /// The broker; `None`: no cloud is configured.
    pub cloud: Option<Cloud>,
    /// Whether a session is wanted until the owner says otherwise.
    pub cloud_enabled: bool,
    /// First level of the topics.
    pub topic_prefix: heapless::String<32>,
    /// What paired devices log in to the broker with.
    pub device_access: Option<Account>,
    /// Seconds between signs of life.
    pub keepalive: Duration,
    /// Largest back-off window.
    pub backoff_max: Duration,
    /// Window of the first try after a loss.
    pub spread: Duration,
    /// Where pairing state is kept.
    pub store_dir: PathBuf,
    /// Where the log is, if the owner of the configuration names it; else the board's list decides, else it is in `store_dir`.
    pub store_place: Option<Place>,
    /// Bytes of a segment.
    pub segment_bytes: usize,
    /// Records a day that may reach the flash.
    pub records_per_day: u32,
    /// The control socket.
    pub socket: PathBuf,
    /// Whose members may read it.
    pub group: String,
    /// User names and uids that may change things.
    pub admins: Vec<String>,
    /// Connections to the control socket at once.
    pub max_connections: usize,
    /// Board by name; `None`: recognised.
    pub board: Option<String>,
    /// Who vouches for the clock.
    pub trust: Trust,
    /// Time servers, names or addresses; empty: the broker's host.
    pub time_servers: Vec<String>,
    /// What is logged.
    pub log: log::LevelFilter,
    /// Port that paired devices reach the NAS at, on all its addresses; `None`: there is no such listener.
    pub remote_port: Option<u16>,
    /// Whether that listener is announced on the LAN.
    pub announces: bool,
    /// Whether the router is asked for a port that leads to it, in automatic mode.
    pub maps_port: bool,
    /// The router's port that somebody has made lead to it, in manual mode, where it is another one.
    pub external_port: Option<u16>,
    /// The router's address on its other side, in manual mode: devices are told it.
    pub external_address: Option<Ipv4Addr>,
    /// Whether presses of the reset button mean anything here.
    pub button_reset: bool,
    /// Whom a code is for that a short press opens; `None`: it opens none.
    pub pairing_user: Option<UserName>,
    /// Services that devices may reach.
    pub services: Vec<Service>,
}

impl Config {
    /// Whether no network is needed: the broker is on this very machine, or there is none.
    pub fn is_loopback(&self) -> bool {
        self.cloud.as_ref().is_none_or(|c| c.url.is_loopback())
    }

    /// Whom to ask for the time: the time servers, or else the broker's host.
    pub fn time_hosts(&self) -> Vec<String> {
        let broker = self.cloud.as_ref().map(|c| c.url.host.clone());
        if self.time_servers.is_empty() { broker.into_iter().collect() } else { self.time_servers.clone() }
    }
}

/// The broker and how to log in.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// Where it is.
    pub url: BrokerUrl,
    /// Our account.
    pub account: Option<Account>,
    /// CA certificates (PEM); `None`: the bundled roots.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key (PEM), for brokers that want one.
    pub certificate: Option<ClientCertificate>,
}

/// What the NAS shows a broker that asks who it is.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The chain, PEM.
    pub chain: Vec<u8>,
    /// The private key, PEM.
    pub key: Secret,
}

/// A broker account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// A local service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it listens; loopback only.
    pub address: SocketAddr,
    /// Who may use it; `*`: everybody.
    pub users: Vec<String>,
}
