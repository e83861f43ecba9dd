//! Two files of fixed size on whatever file system the firmware has. A shell.
//!
//! They are made once, written full with 0xFF, and synced together with their directory; from then on there is only
//! pwrite and fdatasync at fixed size: no rename, no unlink, no growing on the hot path, so that a power cut never meets
//! the file system in the middle of its own bookkeeping.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use crate::store::flash::{Flash, FlashError, Geometry};

/// Names of the segments, which are also their number.
pub(super) const NAMES: [&str; 2] = ["a.log", "b.log"];
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

/// Keeps a second agent out of a store's directory, and from its key and socket, for as long as it lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "its life is its purpose")] Flock<File>);

impl Lock {
    /// Takes the lock in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn take(dir: &Path) -> Result<Self, FileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error(dir))?;
        let path = dir.join(LOCK);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io_error(&path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        lock.map(Self).map_err(|(_, errno)| match errno {
            nix::errno::Errno::EWOULDBLOCK => FileError::Locked(dir.display().to_string()),
            other => io_error(&path)(other.into()),
        })
    }
}

/// What a segment is written to and read from: a file, or in tests one that fails.
pub trait Block {
    /// Fills `out` from `offset`.
    ///
    /// # Errors
    /// Those of pread(2).
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// Those of pwrite(2).
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written lasting.
    ///
    /// # Errors
    /// Those of fdatasync(2).
    fn sync(&self) -> io::Result<()>;
}

impl Block for File {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The files, open.
#[derive(Debug)]
pub struct Files<B: Block = File> {
    segments: Vec<B>,
    /// Written since their last sync; all of them at first, since a killed process may have left what was not synced.
    unsynced: Vec<bool>,
    segment_bytes: usize,
}

impl Files {
    /// Opens the store in `dir`, or makes one there. The caller holds the [`Lock`].
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(dir: &Path, segment_bytes: usize) -> Result<Self, FileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error(dir))?;
        let segments =
            NAMES.iter().map(|name| segment(dir, name, segment_bytes)).collect::<Result<_, _>>()?;
        Ok(Self { segments, unsynced: vec![true; NAMES.len()], segment_bytes })
    }
}

/// Whether something was ever written to a store in `dir`.
pub(super) fn holds_something(dir: &Path) -> bool {
    let used = |name: &&str| fs::read(dir.join(name)).is_ok_and(|bytes| bytes.iter().any(|b| *b != 0xff));
    NAMES.iter().any(used)
}

/// Moves the segments' files to another directory.
pub(super) fn move_segments(dir: &Path, to: &Path) -> Result<(), FileError> {
    for name in NAMES {
        let from = dir.join(name);
        match fs::rename(&from, to.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&from)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    sync_dir(dir)
}

impl<B: Block> Files<B> {
    fn segment(&self, segment: usize) -> Result<&B, FlashError> {
        self.segments.get(segment).ok_or(FlashError(nix::libc::EINVAL))
    }
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

pub(super) fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error(dir))
}

impl<B: Block> Flash for Files<B> {
    fn geometry(&self) -> Geometry {
        Geometry {
            segments: self.segments.len(),
            segment_bytes: self.segment_bytes,
            program_unit: PROGRAM_UNIT,
            fades: false,
        }
    }

    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        Ok(self.segment(segment)?.read_at(out, offset as u64)?)
    }

    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError> {
        if offset.saturating_add(data.len()) > self.segment_bytes {
            return Err(FlashError(nix::libc::EINVAL));
        }
        if let Some(unsynced) = self.unsynced.get_mut(segment) {
            *unsynced = true;
        }
        Ok(self.segment(segment)?.write_at(data, offset as u64)?)
    }

    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        let file = self.segment(segment)?;
        let first = HEADER_BLOCK.min(self.segment_bytes);
        let blank = vec![0xff; self.segment_bytes];
        let (header, rest) = blank.split_at(first);
        file.write_at(header, 0)?;
        file.sync()?;
        file.write_at(rest, first as u64)?;
        Ok(file.sync()?)
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        for (segment, unsynced) in self.segments.iter().zip(&mut self.unsynced) {
            // Also where it fails: what was not written then is not written by a second try either.
            if std::mem::take(unsynced) {
                segment.sync()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;
    use crate::store::log::{CommitError, Effect, Log, OpenError, State};
    use crate::store::proof_tests::{Model, effect, payload};

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
        let first = Lock::take(dir.path()).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(FileError::Locked(_))));
        drop(first);
        assert!(Lock::take(dir.path()).is_ok());
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

    /// A file with a page cache whose system calls fail on order. What a failed fdatasync did not write is marked clean all the
    /// same, as Linux does: the next one "succeeds" without it (Rebello et al., USENIX ATC 2020).
    struct Faulty {
        seen: RefCell<Vec<u8>>,
        lasting: RefCell<Vec<u8>>,
        dirty: RefCell<Vec<(usize, usize)>>,
        fate: Rc<Fate>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fault {
        /// EIO, with half of the data written.
        Io,
        /// ENOSPC, with nothing written.
        NoSpace,
        /// A read fails.
        Read,
        /// fdatasync fails, and the data is dropped.
        Sync,
    }

    /// Which call fails, and whether all later ones of its kind do.
    struct Fate {
        fault: Fault,
        calls_left: Cell<usize>,
        for_ever: bool,
    }

    impl Fate {
        fn strikes(&self, fault: Fault) -> bool {
            if fault != self.fault {
                return false;
            }
            let left = self.calls_left.get();
            self.calls_left.set(left.saturating_sub(1));
            if left == 1 || (left == 0 && self.for_ever) {
                return true;
            }
            if left == 0 {
                self.calls_left.set(0);
            }
            false
        }
    }

    impl Block for Faulty {
        fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
            if self.fate.strikes(Fault::Read) {
                return Err(io::Error::from_raw_os_error(nix::libc::EIO));
            }
            let offset = usize::try_from(offset).unwrap();
            out.copy_from_slice(&self.seen.borrow()[offset..offset + out.len()]);
            Ok(())
        }

        fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
            let offset = usize::try_from(offset).unwrap();
            let (written, errno) = if self.fate.strikes(Fault::NoSpace) {
                (0, nix::libc::ENOSPC)
            } else if self.fate.strikes(Fault::Io) {
                (data.len() / 2, nix::libc::EIO)
            } else {
                (data.len(), 0)
            };
            self.seen.borrow_mut()[offset..offset + written].copy_from_slice(&data[..written]);
            self.dirty.borrow_mut().push((offset, written));
            if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
        }

        fn sync(&self) -> io::Result<()> {
            let dirty = std::mem::take(&mut *self.dirty.borrow_mut());
            if self.fate.strikes(Fault::Sync) {
                return Err(io::Error::from_raw_os_error(nix::libc::EIO));
            }
            for (offset, length) in dirty {
                let seen = self.seen.borrow();
                self.lasting.borrow_mut()[offset..offset + length]
                    .copy_from_slice(&seen[offset..offset + length]);
            }
            Ok(())
        }
    }

    fn faulty(images: &[Vec<u8>], fate: &Rc<Fate>) -> Files<Faulty> {
        let block = |image: &Vec<u8>| Faulty {
            seen: RefCell::new(image.clone()),
            lasting: RefCell::new(image.clone()),
            dirty: RefCell::new(Vec::new()),
            fate: Rc::clone(fate),
        };
        let unsynced = vec![true; images.len()];
        Files { segments: images.iter().map(block).collect(), unsynced, segment_bytes: images[0].len() }
    }

    fn opened(files: Files<Faulty>) -> Result<(Log<Files<Faulty>>, Model), OpenError> {
        let mut model = Model::default();
        Log::open(files, 7, &mut |bytes| model.apply(bytes)).map(|log| (log, model))
    }

    /// Commits until the end or the store's refusal; then the power goes. What was acknowledged, and what may be there besides.
    fn life(images: &[Vec<u8>], fate: &Rc<Fate>) -> Option<(Vec<Vec<u8>>, Model, Option<Model>)> {
        let (mut log, mut model) = opened(faulty(images, fate)).ok()?;
        let mut doubtful = None;
        for number in 1..=30 {
            let mut next = model.clone();
            next.apply(&payload(number)).unwrap();
            match log.commit(&payload(number), effect(number), &model) {
                Ok(()) => (model, doubtful) = (next, None),
                Err(CommitError::ReadOnly) => {
                    doubtful.get_or_insert(next);
                }
                Err(CommitError::TooLarge) => panic!(),
            }
        }
        let lasting = log.flash().segments.iter().map(|b| b.lasting.borrow().clone()).collect();
        Some((lasting, model, doubtful))
    }

    #[test]
    fn no_failing_system_call_makes_the_store_lie() {
        let blank = vec![vec![0xff; 1024]; 2];
        let whole = |fault| Fate { fault, calls_left: Cell::new(0), for_ever: false };
        let mut tried = [0, 0];
        for fault in [Fault::Io, Fault::NoSpace, Fault::Read, Fault::Sync] {
            for for_ever in [false, true] {
                for calls in 1..160 {
                    let fate = Rc::new(Fate { fault, calls_left: Cell::new(calls), for_ever });
                    let Some((lasting, model, doubtful)) = life(&blank, &fate) else { continue };
                    if fate.calls_left.get() > 0 {
                        // There are no more calls of this kind in such a life.
                        break;
                    }
                    let (_, found) = opened(faulty(&lasting, &Rc::new(whole(fault)))).unwrap();
                    assert!(
                        found == model || Some(&found) == doubtful.as_ref(),
                        "{fault:?} at call {calls}, for ever: {for_ever}"
                    );
                    tried[usize::from(doubtful.is_some())] += 1;
                }
            }
        }
        println!("{} lives got over it, {} ended read-only; none lied", tried[0], tried[1]);
        assert!(tried[0] > 100 && tried[1] > 50, "{tried:?}");
    }
}
