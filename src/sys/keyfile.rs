//! The file of the private key: written once, 0600, never in the append log (which keeps deleted data until an erase).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::identity::{BadKey, Identity};

/// PKCS#8 of an Ed25519 key has 85 bytes; nothing much longer is a key.
const KEY_FILE_MAX: u64 = 1024;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file or its directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file holds no key. It is left as it is.
    #[error("{0}: {BadKey}")]
    Bad(String),
    /// Others could have read it.
    #[error("{0}: can be read by others; chmod 600 it, or remove it for a new identity")]
    Exposed(String),
}

/// Reads the key in `path`; makes none.
///
/// # Errors
/// [`KeyFileError`].
pub fn load(path: &Path) -> Result<Identity, KeyFileError> {
    let bytes = read(path).map_err(|source| KeyFileError::Io { path: path.display().to_string(), source })?;
    Identity::from_pkcs8(&bytes).map_err(|_| KeyFileError::Bad(path.display().to_string()))
}

/// Reads the key in `path`, or makes one there if there is no such file. The new file is whole or not there: it is
/// written beside its place, synced, and renamed.
///
/// # Errors
/// [`KeyFileError`].
pub fn load_or_create(path: &Path) -> Result<Identity, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.display().to_string(), source };
    match read(path) {
        Ok(bytes) => {
            let mode = fs::metadata(path).map_err(io)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(KeyFileError::Exposed(path.display().to_string()));
            }
            Identity::from_pkcs8(&bytes).map_err(|_| KeyFileError::Bad(path.display().to_string()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(error) => Err(io(error)),
    }
}

/// The key document itself, for the secure channel: it has no other way out of an identity.
///
/// # Errors
/// Those of reading.
pub fn document(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    read(path)
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it from the start: a growing vector would leave copies of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_MAX as usize));
    File::open(path)?.take(KEY_FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn create(path: &Path) -> Result<Identity, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.display().to_string(), source };
    let document = Identity::generate_pkcs8().map_err(|_| KeyFileError::Bad(path.display().to_string()))?;
    let identity =
        Identity::from_pkcs8(&document).map_err(|_| KeyFileError::Bad(path.display().to_string()))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
    let fresh = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(io)?;
    file.write_all(&document).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&fresh, path).map_err(io)?;
    File::open(directory).and_then(|d| d.sync_all()).map_err(io)?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/identity.key");
        let first = load_or_create(&path).unwrap().id();
        assert_eq!(load_or_create(&path).unwrap().id(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!path.with_extension("new").exists());
    }

    #[test]
    fn a_bad_or_open_key_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        fs::write(&path, "nonsense").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(load_or_create(&path), Err(KeyFileError::Bad(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_create(&path), Err(KeyFileError::Exposed(_))));
        assert_eq!(fs::read(&path).unwrap(), b"nonsense");
    }
}
