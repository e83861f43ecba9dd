//! What a device keeps: one directory with a JSON file for each NAS it is paired with and one for each pairing under
//! way, private keys included, so everything is 0600 in a 0700 directory. A shell.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::exchange::Asked;
use crate::identity::{Identity, KeyId, PublicKey};
use crate::pairing::code::Code;

/// How to reach a broker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Broker {
    /// `mqtts://host:port`; empty if there is none.
    pub url: String,
    /// CA file; absent: the bundled roots.
    pub ca_file: Option<PathBuf>,
    /// First level of the topics.
    pub prefix: String,
}

impl Broker {
    /// Whether there is one; who paired on the LAN may have none.
    pub const fn is_some(&self) -> bool {
        !self.url.is_empty()
    }
}

/// A NAS this device is paired with.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pairing {
    /// Its id.
    pub nas: KeyId,
    /// Its identity.
    pub nas_key: PublicKey,
    /// What it is called.
    pub name: String,
    /// Whose device we are.
    pub user: String,
    /// Services we may reach.
    pub services: Vec<String>,
    /// Where we meet.
    #[serde(default)]
    pub broker: Broker,
    /// Our account there.
    pub login: Option<(String, String)>,
    /// Our private key (PKCS#8).
    pub key: Vec<u8>,
    /// Where it can be reached from outside, as it said last.
    #[serde(default)]
    pub direct: Option<SocketAddr>,
}

/// A pairing under way.
#[derive(Clone, Serialize, Deserialize)]
pub struct Underway {
    /// Our private key (PKCS#8).
    pub key: Vec<u8>,
    /// The Request, once it was made.
    pub asked: Option<Kept>,
}

/// An [`Asked`] on disk.
#[derive(Clone, Serialize, Deserialize)]
pub struct Kept {
    reply: [u8; 8],
    nas: KeyId,
    key: [u8; 32],
    request: Vec<u8>,
}

impl Kept {
    /// For the disk.
    pub fn new(asked: &Asked) -> Self {
        Self { reply: asked.reply, nas: asked.nas.clone(), key: asked.key, request: asked.request.clone() }
    }

    /// From the disk; the code names the mailbox.
    pub fn asked(&self, code: &Code) -> Asked {
        Asked {
            rendezvous: code.rendezvous(),
            reply: self.reply,
            nas: self.nas.clone(),
            key: self.key,
            request: self.request.clone(),
        }
    }
}

/// The directory.
pub struct Keyring {
    dir: PathBuf,
}

impl Keyring {
    /// Opens or makes it.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    /// All pairings, in the order of their NAS's ids.
    ///
    /// # Errors
    /// Those of reading the directory; a file that cannot be read is named.
    pub fn pairings(&self) -> io::Result<Vec<Pairing>> {
        let mut names: Vec<PathBuf> =
            fs::read_dir(&self.dir)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
        names.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("nas-")));
        names.sort();
        names.iter().map(|p| read(p)).collect()
    }

    /// Keeps a pairing.
    ///
    /// # Errors
    /// Those of writing.
    pub fn keep(&self, pairing: &Pairing) -> io::Result<()> {
        write(&self.nas_file(&pairing.nas), pairing)
    }

    /// Forgets a pairing.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn forget(&self, nas: &KeyId) -> io::Result<()> {
        fs::remove_file(self.nas_file(nas))
    }

    /// The pairing under way for `code`, or a fresh one with a key of its own.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn underway(&self, code: &Code) -> io::Result<Underway> {
        let path = self.underway_file(code);
        if path.exists() {
            return read(&path);
        }
        let key = Identity::generate_pkcs8().map_err(|e| io::Error::other(e.to_string()))?;
        let fresh = Underway { key: key.to_vec(), asked: None };
        write(&path, &fresh)?;
        Ok(fresh)
    }

    /// Keeps how far the pairing for `code` has come.
    ///
    /// # Errors
    /// Those of writing.
    pub fn keep_underway(&self, code: &Code, underway: &Underway) -> io::Result<()> {
        write(&self.underway_file(code), underway)
    }

    /// The pairing for `code` is over, one way or the other.
    pub fn end_underway(&self, code: &Code) {
        // If it stays, it is found to be over the next time.
        let _ = fs::remove_file(self.underway_file(code));
    }

    fn nas_file(&self, nas: &KeyId) -> PathBuf {
        self.dir.join(format!("nas-{nas}.json"))
    }

    fn underway_file(&self, code: &Code) -> PathBuf {
        self.dir.join(format!("pairing-{}.json", code.rendezvous().name()))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let bytes = fs::read(path)?;
    serde_json::from_slice(&bytes).map_err(|e| io::Error::other(format!("{}: {e}", path.display())))
}

/// Whole or not at all: beside its place, synced, renamed.
fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
