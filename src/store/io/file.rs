//! Two files of fixed size on whatever file system the firmware has. A shell.
//!
//! They are made once, written full with 0xFF, and synced together with their directory; from then on there is only
//! pwrite and fdatasync at fixed size: no rename, no unlink, no growing on the hot path, so that a power cut never meets
//! the file system in the middle of its own bookkeeping.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::store::flash::{Flash, FlashError, Geometry};

/// Names of the segments, which are also their number.
const NAMES: [&str; 2] = ["a.log", "b.log"];
const LOCK: &str = "lock";
/// File systems do not tell; 16 keeps frames aligned and wastes little.
const PROGRAM_UNIT: usize = 16;
/// First block of a segment: it holds the header and is erased first, so that a half erased segment has none.
const HEADER_BLOCK: usize = 4096;

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Another agent has them.
    #[error("{0}: another agent uses this store")]
    Locked(String),
    /// A file has another size than the configuration says. Nothing was changed.
    #[error("{path}: has {found} bytes where {expected} are configured ([store] segment_kib)")]
    Size {
        /// Which.
        path: String,
        /// Bytes it has.
        found: u64,
        /// Bytes it should have.
        expected: u64,
    },
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.display().to_string();
    move |source| FileError::Io { path, source }
}

/// The files, open and locked.
#[derive(Debug)]
pub struct Files {
    segments: Vec<File>,
    segment_bytes: usize,
    _lock: Flock<File>,
}

impl Files {
    /// Opens the store in `dir`, or makes one there.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(dir: &Path, segment_bytes: usize) -> Result<Self, FileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error(dir))?;
        let lock = lock(dir)?;
        let segments =
            NAMES.iter().map(|name| segment(dir, name, segment_bytes)).collect::<Result<_, _>>()?;
        Ok(Self { segments, segment_bytes, _lock: lock })
    }

    fn segment(&self, segment: usize) -> Result<&File, FlashError> {
        self.segments.get(segment).ok_or(FlashError(nix::libc::EINVAL))
    }
}

/// Moves a store that may not be believed out of the way, for diagnosis, so that a fresh one can be made. Returns where
/// it is kept. The lock must not be held by the caller.
///
/// # Errors
/// [`FileError`].
pub fn set_aside(dir: &Path) -> Result<PathBuf, FileError> {
    let _lock = lock(dir)?;
    let kept = (1..).map(|n: u32| dir.join(format!("corrupt-{n}"))).find(|p| !p.exists()).unwrap_or_default();
    DirBuilder::new().mode(0o700).create(&kept).map_err(io_error(&kept))?;
    for name in NAMES {
        let from = dir.join(name);
        match fs::rename(&from, kept.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&from)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    sync_dir(dir)?;
    Ok(kept)
}

fn lock(dir: &Path) -> Result<Flock<File>, FileError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(io_error(&path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => FileError::Locked(dir.display().to_string()),
        other => io_error(&path)(other.into()),
    })
}

/// Opens a segment. One that was not made to its end (the first start was cut) holds nothing but 0xFF, and is made anew.
fn segment(dir: &Path, name: &str, bytes: usize) -> Result<File, FileError> {
    let path = dir.join(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(io_error(&path))?;
    let found = file.metadata().map_err(io_error(&path))?.len();
    if found == bytes as u64 {
        return Ok(file);
    }
    let mut held = vec![0; usize::try_from(found).unwrap_or(usize::MAX).min(bytes)];
    file.read_exact_at(&mut held, 0).map_err(io_error(&path))?;
    if found > bytes as u64 || held.iter().any(|b| !matches!(b, 0xff | 0)) {
        return Err(FileError::Size { path: path.display().to_string(), found, expected: bytes as u64 });
    }
    file.write_all_at(&vec![0xff; bytes], 0).and_then(|()| file.sync_all()).map_err(io_error(&path))?;
    sync_dir(dir)?;
    Ok(file)
}

fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error(dir))
}

fn flash_error(error: &io::Error) -> FlashError {
    FlashError(error.raw_os_error().unwrap_or(nix::libc::EIO))
}

impl Flash for Files {
    fn geometry(&self) -> Geometry {
        Geometry {
            segments: self.segments.len(),
            segment_bytes: self.segment_bytes,
            program_unit: PROGRAM_UNIT,
            fades: false,
        }
    }

    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        self.segment(segment)?.read_exact_at(out, offset as u64).map_err(|e| flash_error(&e))
    }

    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError> {
        if offset.saturating_add(data.len()) > self.segment_bytes {
            return Err(FlashError(nix::libc::EINVAL));
        }
        self.segment(segment)?.write_all_at(data, offset as u64).map_err(|e| flash_error(&e))
    }

    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        let file = self.segment(segment)?;
        let first = HEADER_BLOCK.min(self.segment_bytes);
        let blank = vec![0xff; self.segment_bytes];
        let (header, rest) = blank.split_at(first);
        file.write_all_at(header, 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| file.write_all_at(rest, first as u64))
            .and_then(|()| file.sync_data())
            .map_err(|e| flash_error(&e))
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.segments.iter().try_for_each(File::sync_data).map_err(|e| flash_error(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::log::{CommitError, Effect, Log, State};

    const SIZE: usize = 8192;

    struct Nothing;

    impl State for Nothing {
        fn snapshot(&self, _: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>) -> Result<(), CommitError> {
            Ok(())
        }
    }

    fn replayed(dir: &Path) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        let files = Files::open(dir, SIZE).unwrap();
        Log::open(files, 1, &mut |p| {
            seen.push(p.to_vec());
            Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(Files::open(dir.path(), SIZE).unwrap(), 1, &mut |_| Ok(())).unwrap();
        log.commit(b"one", Effect::Gives, &Nothing).unwrap();
        log.commit(b"two", Effect::Takes, &Nothing).unwrap();
        drop(log);
        assert_eq!(replayed(dir.path()), [b"one", b"two"]);
        for name in NAMES {
            assert_eq!(fs::metadata(dir.path().join(name)).unwrap().len(), SIZE as u64, "never grows");
        }
    }

    #[test]
    fn a_second_agent_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Files::open(dir.path(), SIZE).unwrap();
        assert!(matches!(Files::open(dir.path(), SIZE), Err(FileError::Locked(_))));
        assert!(matches!(set_aside(dir.path()), Err(FileError::Locked(_))));
        drop(first);
        assert!(Files::open(dir.path(), SIZE).is_ok());
    }

    #[test]
    fn another_size_is_refused_and_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(Files::open(dir.path(), SIZE).unwrap(), 1, &mut |_| Ok(())).unwrap();
        log.commit(b"one", Effect::Gives, &Nothing).unwrap();
        drop(log);
        assert!(matches!(Files::open(dir.path(), 2 * SIZE), Err(FileError::Size { .. })));
        assert_eq!(replayed(dir.path()), [b"one"]);
    }

    #[test]
    fn a_first_start_that_was_cut_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.log"), vec![0xff; 100]).unwrap();
        fs::write(dir.path().join("b.log"), b"").unwrap();
        assert!(replayed(dir.path()).is_empty());
    }

    #[test]
    fn a_corrupt_store_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        drop(Files::open(dir.path(), SIZE).unwrap());
        fs::write(dir.path().join("a.log"), vec![0x42; SIZE]).unwrap();
        let files = Files::open(dir.path(), SIZE).unwrap();
        assert!(Log::open(files, 1, &mut |_| Ok(())).is_err());
        let kept = set_aside(dir.path()).unwrap();
        assert_eq!(fs::read(kept.join("a.log")).unwrap(), vec![0x42; SIZE]);
        assert!(replayed(dir.path()).is_empty());
        assert_ne!(set_aside(dir.path()).unwrap(), kept);
    }
}
