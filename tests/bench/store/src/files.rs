//! What a store does to its files, seen from below: this program's own `open`, `write`, `fsync` and so on stand in front of the
//! C library's, count, record where crash images are wanted, and pass on to the kernel. So moorline, SQLite (C) and redb are
//! watched by the same means, unchanged, on the files that they really use.
//!
//! Fault model of a crash: what was written to a file lasts once that file was synced; of what was not, any pages of 4 KiB
//! may be there or not, and of the write that was cut a prefix of its bytes. Creating, renaming and removing files happens in
//! order, as journals of file systems have it, and lasts with the next sync of anything: that is what ext4 does, and more
//! than POSIX promises.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What the kernel keeps or loses as a whole.
const PAGE: usize = 4096;

/// What was done, in order. Files are numbered as they are created; a name can stand for another file later.
#[derive(Clone, Debug)]
pub enum Op {
    Create {
        name: String,
        file: usize,
    },
    Write {
        file: usize,
        at: usize,
        data: Vec<u8>,
    },
    Truncate {
        file: usize,
        length: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    /// Of one file.
    Sync {
        file: usize,
    },
    SyncDirectory,
}

/// What it cost.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    pub written: u64,
    pub writes: u64,
    pub read: u64,
    pub syncs: u64,
    pub syncing: Duration,
    /// Pages of 4 KiB that the syncs had to write: a page that was written twice before a sync counts once.
    pub pages: u64,
    pub created: u64,
    pub renamed: u64,
    pub removed: u64,
}

/// An open file below the watched directory; the directory itself has no number.
#[derive(Clone, Debug)]
struct Handle {
    file: Option<usize>,
    at: usize,
}

struct Watch {
    root: String,
    recording: bool,
    cost: Cost,
    ops: Vec<Op>,
    names: BTreeMap<String, usize>,
    files: usize,
    handles: BTreeMap<c_int, Handle>,
    /// Pages of files that were written since the file's last sync.
    dirty: BTreeSet<(usize, usize)>,
}

static WATCHING: AtomicBool = AtomicBool::new(false);
/// Whether syncs are left out: on copies of crash images nothing has to last.
static LAZY: AtomicBool = AtomicBool::new(false);
static WATCH: Mutex<Watch> = Mutex::new(Watch {
    root: String::new(),
    recording: false,
    cost: Cost {
        written: 0,
        writes: 0,
        read: 0,
        syncs: 0,
        syncing: Duration::ZERO,
        pages: 0,
        created: 0,
        renamed: 0,
        removed: 0,
    },
    ops: Vec::new(),
    names: BTreeMap::new(),
    files: 0,
    handles: BTreeMap::new(),
    dirty: BTreeSet::new(),
});

/// Begins to watch what happens below `root`, which is empty.
pub fn watch(root: &Path, recording: bool) {
    let mut watch = WATCH.lock().expect("one thread");
    watch.root = format!("{}/", root.display());
    watch.recording = recording;
    drop(watch);
    WATCHING.store(true, Ordering::Relaxed);
}

pub fn stop_watching() {
    WATCHING.store(false, Ordering::Relaxed);
}

pub fn sync_nothing() {
    LAZY.store(true, Ordering::Relaxed);
}

pub fn cost() -> Cost {
    WATCH.lock().expect("one thread").cost.clone()
}

/// How much was recorded so far.
pub fn recorded() -> usize {
    WATCH.lock().expect("one thread").ops.len()
}

pub fn take_ops() -> Vec<Op> {
    std::mem::take(&mut WATCH.lock().expect("one thread").ops)
}

fn watched(then: impl FnOnce(&mut Watch)) {
    if WATCHING.load(Ordering::Relaxed)
        && let Ok(mut watch) = WATCH.try_lock()
    {
        crate::memory::uncounted(|| then(&mut watch));
    }
}

impl Watch {
    fn op(&mut self, op: impl FnOnce() -> Op) {
        if self.recording {
            self.ops.push(op());
        }
    }

    /// The name below the root. SQLite's index of its log is memory that happens to have a name: it is made anew.
    fn name(&self, path: *const c_char) -> Option<String> {
        // SAFETY: the callers are the C library's, whose paths end with a NUL.
        let path = unsafe { CStr::from_ptr(path) }.to_str().ok()?;
        let name = path.strip_prefix(&self.root)?;
        (!name.ends_with("-shm")).then(|| name.to_owned())
    }

    fn opened(&mut self, fd: c_int, path: *const c_char, flags: c_int) {
        // SAFETY: as above.
        let is_root =
            unsafe { CStr::from_ptr(path) }.to_bytes() == self.root.trim_end_matches('/').as_bytes();
        if is_root {
            self.handles.insert(fd, Handle { file: None, at: 0 });
            return;
        }
        let Some(name) = self.name(path) else { return };
        let file = match self.names.get(&name) {
            Some(file) => *file,
            None => {
                let file = self.files;
                self.files += 1;
                self.names.insert(name.clone(), file);
                self.cost.created += 1;
                self.op(|| Op::Create { name, file });
                file
            }
        };
        if flags & libc::O_TRUNC != 0 {
            self.op(|| Op::Truncate { file, length: 0 });
        }
        self.handles.insert(fd, Handle { file: Some(file), at: 0 });
    }

    fn wrote(&mut self, fd: c_int, data: &[u8], at: Option<usize>) {
        let Some(handle) = self.handles.get_mut(&fd) else { return };
        let Some(file) = handle.file else { return };
        let start = at.unwrap_or(handle.at);
        if at.is_none() {
            handle.at += data.len();
        }
        self.cost.written += data.len() as u64;
        self.cost.writes += 1;
        self.dirty.extend((start / PAGE..(start + data.len()).div_ceil(PAGE)).map(|page| (file, page)));
        self.op(|| Op::Write { file, at: start, data: data.to_vec() });
    }

    fn synced(&mut self, fd: c_int, took: Duration) {
        let Some(handle) = self.handles.get(&fd) else { return };
        let file = handle.file;
        self.cost.syncs += 1;
        self.cost.syncing += took;
        if let Some(file) = file {
            let before = self.dirty.len();
            self.dirty.retain(|(of, _)| *of != file);
            self.cost.pages += (before - self.dirty.len()) as u64;
        }
        self.op(|| file.map_or(Op::SyncDirectory, |file| Op::Sync { file }));
    }
}

fn bytes<'a>(data: *const c_void, length: isize) -> &'a [u8] {
    let length = usize::try_from(length).unwrap_or(0);
    if length == 0 {
        return &[];
    }
    // SAFETY: the kernel has just taken or filled so many bytes there.
    unsafe { std::slice::from_raw_parts(data.cast(), length) }
}

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the arguments are those of the C function that the caller meant, passed on unchanged.
        unsafe { libc::syscall(libc::$number $(, $argument)*) }
    };
}

fn open_at(dir: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    let fd = call!(SYS_openat, dir, path, flags, mode as c_int) as c_int;
    if fd >= 0 {
        watched(|w| w.opened(fd, path, flags));
    }
    fd
}

// The C library's are variadic in `mode`; on the ABIs of Linux a third argument is passed alike either way.
#[unsafe(no_mangle)]
extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    open_at(libc::AT_FDCWD, path, flags, mode)
}
#[unsafe(no_mangle)]
extern "C" fn open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    open_at(libc::AT_FDCWD, path, flags, mode)
}
#[unsafe(no_mangle)]
extern "C" fn close(fd: c_int) -> c_int {
    watched(|w| {
        w.handles.remove(&fd);
    });
    call!(SYS_close, fd) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn write(fd: c_int, data: *const c_void, length: usize) -> isize {
    let done = call!(SYS_write, fd, data, length) as isize;
    watched(|w| w.wrote(fd, bytes(data, done), None));
    done
}
fn write_at(fd: c_int, data: *const c_void, length: usize, at: c_long) -> isize {
    let done = call!(SYS_pwrite64, fd, data, length, at) as isize;
    watched(|w| w.wrote(fd, bytes(data, done), usize::try_from(at).ok()));
    done
}
#[unsafe(no_mangle)]
extern "C" fn pwrite(fd: c_int, data: *const c_void, length: usize, at: c_long) -> isize {
    write_at(fd, data, length, at)
}
#[unsafe(no_mangle)]
extern "C" fn pwrite64(fd: c_int, data: *const c_void, length: usize, at: c_long) -> isize {
    write_at(fd, data, length, at)
}

fn has_read(fd: c_int, done: isize) {
    watched(|w| {
        if w.handles.contains_key(&fd) {
            w.cost.read += u64::try_from(done).unwrap_or(0);
        }
    });
}
#[unsafe(no_mangle)]
extern "C" fn read(fd: c_int, data: *mut c_void, length: usize) -> isize {
    let done = call!(SYS_read, fd, data, length) as isize;
    has_read(fd, done);
    done
}
fn read_at(fd: c_int, data: *mut c_void, length: usize, at: c_long) -> isize {
    let done = call!(SYS_pread64, fd, data, length, at) as isize;
    has_read(fd, done);
    done
}
#[unsafe(no_mangle)]
extern "C" fn pread(fd: c_int, data: *mut c_void, length: usize, at: c_long) -> isize {
    read_at(fd, data, length, at)
}
#[unsafe(no_mangle)]
extern "C" fn pread64(fd: c_int, data: *mut c_void, length: usize, at: c_long) -> isize {
    read_at(fd, data, length, at)
}

fn cut(fd: c_int, length: c_long) -> c_int {
    let done = call!(SYS_ftruncate, fd, length) as c_int;
    if done == 0 {
        watched(|w| {
            if let Some(Handle { file: Some(file), .. }) = w.handles.get(&fd).cloned() {
                w.op(|| Op::Truncate { file, length: usize::try_from(length).unwrap_or(0) });
            }
        });
    }
    done
}
#[unsafe(no_mangle)]
extern "C" fn ftruncate(fd: c_int, length: c_long) -> c_int {
    cut(fd, length)
}
#[unsafe(no_mangle)]
extern "C" fn ftruncate64(fd: c_int, length: c_long) -> c_int {
    cut(fd, length)
}

fn sync(fd: c_int, number: c_long) -> c_int {
    if LAZY.load(Ordering::Relaxed) {
        return 0;
    }
    let began = Instant::now();
    // What is recorded is crashed on paper: the kernel need not make it last.
    let recording = WATCHING.load(Ordering::Relaxed) && WATCH.try_lock().is_ok_and(|w| w.recording);
    // SAFETY: a number and a descriptor.
    let done = if recording { 0 } else { unsafe { libc::syscall(number, fd) } };
    watched(|w| w.synced(fd, began.elapsed()));
    done as c_int
}
#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}
#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let done = call!(SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) as c_int;
    if done == 0 {
        watched(|w| {
            if let (Some(from), Some(to)) = (w.name(from), w.name(to)) {
                if let Some(file) = w.names.remove(&from) {
                    w.names.insert(to.clone(), file);
                }
                w.cost.renamed += 1;
                w.op(|| Op::Rename { from, to });
            }
        });
    }
    done
}
#[unsafe(no_mangle)]
extern "C" fn unlink(path: *const c_char) -> c_int {
    let done = call!(SYS_unlinkat, libc::AT_FDCWD, path, 0) as c_int;
    if done == 0 {
        watched(|w| {
            if let Some(name) = w.name(path) {
                w.names.remove(&name);
                w.cost.removed += 1;
                w.op(|| Op::Remove { name });
            }
        });
    }
    done
}

/// A file system as it is after a crash: what lasts, and what was done since.
#[derive(Clone, Default)]
pub struct Disk {
    names: BTreeMap<String, usize>,
    files: BTreeMap<usize, Vec<u8>>,
    pending: Vec<Op>,
}

/// Which of what was not synced is there.
pub enum Kept<'a> {
    All,
    /// Asked once for each name operation (only the first ones that are kept count) and for each page of each write.
    Some(&'a mut dyn FnMut() -> bool),
}

impl Disk {
    /// One more operation is over.
    pub fn advance(&mut self, op: &Op) {
        let synced = match op {
            Op::Sync { file } => Some(*file),
            Op::SyncDirectory => None,
            other => return self.pending.push(other.clone()),
        };
        let pending = std::mem::take(&mut self.pending);
        for op in pending {
            match &op {
                Op::Write { file, .. } | Op::Truncate { file, .. } if Some(*file) != synced => {
                    self.pending.push(op)
                }
                _ => self.carry_out(&op),
            }
        }
    }

    fn carry_out(&mut self, op: &Op) {
        match op {
            Op::Create { name, file } => {
                self.names.insert(name.clone(), *file);
                self.files.entry(*file).or_default();
            }
            Op::Write { file, at, data } => {
                let bytes = self.files.entry(*file).or_default();
                if bytes.len() < at + data.len() {
                    bytes.resize(at + data.len(), 0);
                }
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
            Op::Truncate { file, length } => self.files.entry(*file).or_default().resize(*length, 0),
            Op::Rename { from, to } => {
                if let Some(file) = self.names.remove(from)
                    && let Some(replaced) = self.names.insert(to.clone(), file)
                {
                    self.files.remove(&replaced);
                }
            }
            Op::Remove { name } => {
                if let Some(file) = self.names.remove(name) {
                    self.files.remove(&file);
                }
            }
            Op::Sync { .. } | Op::SyncDirectory => {}
        }
    }

    /// The files after a crash right now, with `torn` (a part of the operation that was going on) carried out as well.
    pub fn crashed(&self, mut kept: Kept<'_>, torn: Option<&Op>) -> Self {
        let mut disk = Self { names: self.names.clone(), files: self.files.clone(), pending: Vec::new() };
        let mut names_go_on = true;
        for op in self.pending.iter().chain(torn) {
            match (&mut kept, op) {
                (Kept::All, op) => disk.carry_out(op),
                (Kept::Some(keep), Op::Write { file, at, data }) => {
                    let mut from = 0;
                    while from < data.len() {
                        let to = data.len().min((at + from + PAGE) / PAGE * PAGE - at);
                        if keep() {
                            disk.carry_out(&Op::Write {
                                file: *file,
                                at: at + from,
                                data: data[from..to].to_vec(),
                            });
                        }
                        from = to;
                    }
                }
                (Kept::Some(keep), Op::Truncate { .. }) => {
                    if keep() {
                        disk.carry_out(op);
                    }
                }
                (Kept::Some(keep), op) => {
                    names_go_on = names_go_on && keep();
                    if names_go_on {
                        disk.carry_out(op);
                    }
                }
            }
        }
        disk
    }

    /// Everything carried out.
    pub fn whole(&self) -> Self {
        self.crashed(Kept::All, None)
    }

    /// Every byte that holds something, as (name, offset).
    pub fn places(&self) -> Vec<(String, usize)> {
        let mut places = Vec::new();
        for (name, file) in &self.names {
            let bytes = self.files.get(file).map_or(&[][..], |b| b);
            let holding = bytes.iter().enumerate().filter(|(_, b)| !matches!(b, 0 | 0xff));
            places.extend(holding.map(|(at, _)| (name.clone(), at)));
        }
        places
    }

    pub fn flip(&mut self, name: &str, at: usize, bit: u32) {
        let byte = self.names.get(name).and_then(|f| self.files.get_mut(f)).and_then(|b| b.get_mut(at));
        if let Some(byte) = byte {
            *byte ^= 1 << bit;
        }
    }

    /// Makes `dir` hold exactly this.
    pub fn lay_out(&self, dir: &Path) -> std::io::Result<()> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        for (name, file) in &self.names {
            fs::write(dir.join(name), self.files.get(file).map_or(&[][..], |b| b))?;
        }
        Ok(())
    }
}
