//! Reading md from sysfs and procfs, and waiting for its changes. A shell. It opens attributes only, never a block device.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use async_io::Async;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket,
};

use super::mdstat::{self, ARRAYS_MAX, MEMBERS_MAX};
use super::state::{Array, Expectation, understand};
use super::sysfs::{MemberTexts, Texts};
use super::uevent;
use crate::sys::root::{Root, listed_where, read_small};

/// Block devices with an array's name that are looked at, whether they are one or not.
const NAMED_MAX: usize = 256;

/// Attributes that the kernel announces changes of (md.c: sysfs_notify). Not `sync_completed`: a fast rebuild announces it some
/// hundred times, and progress is looked at now and then anyway.
const ANNOUNCED: [&str; 3] = ["array_state", "degraded", "sync_action"];

/// All arrays as they are now: those that sysfs shows, then those that only /proc/mdstat knows. `expected` tells what the
/// maker of the box says of an array.
pub fn read_all(root: &Root, expected: impl Fn(&Texts) -> Expectation) -> Vec<Array> {
    let mut entries = mdstat::parse(&root.read("/proc/mdstat").unwrap_or_default());
    let mut found = Vec::new();
    for (name, dir) in directories(root) {
        let texts = texts(&dir);
        let at = entries.iter().position(|e| e.name == name);
        let entry = at.map(|at| entries.swap_remove(at));
        let expectation = expected(&texts);
        found.extend(understand(&name, texts, entry.as_ref(), &expectation));
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries {
        let expectation = expected(&Texts::from_mdstat(&entry));
        found.extend(understand(&entry.name, Texts::default(), Some(&entry), &expectation));
    }
    found.truncate(ARRAYS_MAX);
    found
}

/// Names and `md` directories of the arrays, in order.
fn directories(root: &Root) -> Vec<(String, PathBuf)> {
    let named = listed_where(&root.path("/sys/block"), NAMED_MAX, |name| name.starts_with("md"));
    let arrays = named.into_iter().map(|(name, dir)| (name, dir.join("md")));
    arrays.filter(|(_, md)| md.is_dir()).take(ARRAYS_MAX).collect()
}

fn texts(dir: &Path) -> Texts {
    let read = |name: &str| read_small(&dir.join(name)).ok();
    // The order matters, for md goes on meanwhile: it counts the disks anew before it says that a rebuild has ended. What it
    // does is read first, so that the end of a rebuild never looks like a lost disk.
    let (sync_action, sync_completed) = (read("sync_action"), read("sync_completed"));
    Texts {
        array_state: read("array_state"),
        level: read("level"),
        degraded: read("degraded"),
        raid_disks: read("raid_disks"),
        sync_action,
        sync_completed,
        sync_speed: read("sync_speed"),
        mismatch_cnt: read("mismatch_cnt"),
        last_sync_action: read("last_sync_action"),
        metadata: read("metadata_version"),
        resync_start: read("resync_start"),
        size: read("../size"),
        members: members(dir),
    }
}

fn members(dir: &Path) -> Vec<MemberTexts> {
    listed_where(dir, MEMBERS_MAX, |name| name.starts_with("dev-"))
        .into_iter()
        .filter_map(|(name, path)| {
            let device = name.strip_prefix("dev-")?.to_owned();
            let read = |attribute: &str| read_small(&path.join(attribute)).unwrap_or_default();
            let link = fs::read_link(path.join("block")).ok();
            let errors = read("errors").parse().unwrap_or(0);
            Some(MemberTexts {
                device,
                state: read("state"),
                slot: read("slot"),
                errors,
                errors_before: errors,
                bad_blocks: !read("bad_blocks").is_empty(),
                path: link.as_ref().map(|target| target.to_string_lossy().into_owned()),
                gone: link.is_some() && !path.join("block").exists(),
            })
        })
        .collect()
}

/// Rings when something about an array may have changed.
pub struct Watch {
    root: Root,
    kind: Kind,
    /// A disk pulled from an idle array changes nothing in md; an array that is put together later has no attributes yet. The
    /// kernel's uevents tell of both. `None` for a simulated tree.
    uevents: Option<Uevents>,
}

enum Kind {
    /// The kernel's own announcements: an inner epoll for POLLPRI, which can itself be waited for.
    Kernel { epoll: Async<Inner>, files: Vec<fs::File>, arrays: Vec<(String, PathBuf)> },
    /// Plain files of a simulated tree.
    Files(Async<Inotify>),
}

struct Inner(Epoll);

impl AsFd for Inner {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Watch {
    /// Watches the arrays that are there now, and for new ones.
    ///
    /// # Errors
    /// Those of epoll(7), inotify(7) and netlink(7).
    pub fn new(root: &Root) -> io::Result<Self> {
        let uevents = if root.is_real() { Some(Uevents::new()?) } else { None };
        Ok(Self { root: root.clone(), kind: arm(root)?, uevents })
    }

    /// Ready when something changed. The caller calls [`Watch::rearm`] and then reads the arrays: in that order no change is
    /// missed.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.uevents.as_ref().is_some_and(|u| u.poll_rung(cx).is_ready()) {
            return Poll::Ready(());
        }
        match &mut self.kind {
            Kind::Kernel { epoll, .. } => {
                let mut events = [EpollEvent::empty(); ARRAYS_MAX];
                loop {
                    if let Ok(1..) = epoll.get_ref().0.wait(&mut events, EpollTimeout::ZERO) {
                        return Poll::Ready(());
                    }
                    match epoll.poll_readable(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
                    }
                }
            }
            Kind::Files(inotify) => loop {
                if inotify.get_ref().read_events().is_ok_and(|e| !e.is_empty()) {
                    return Poll::Ready(());
                }
                match inotify.poll_readable(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
                }
            },
        }
    }

    /// Watches what is there now. An attribute is announced again only after it was read. Where arrays or attributes came or
    /// went, all is opened anew.
    ///
    /// # Errors
    /// As [`Watch::new`]; the old watch stays.
    pub fn rearm(&mut self) -> io::Result<()> {
        if let Kind::Kernel { files, arrays, .. } = &mut self.kind {
            // An array that has just been put together gets some of its attributes only when it runs.
            let complete = files.len() == arrays.len() * ANNOUNCED.len() + 1;
            if complete && *arrays == directories(&self.root) && files.iter().all(|f| read_away(f).is_ok()) {
                return Ok(());
            }
            files.clear();
        }
        self.kind = arm(&self.root)?;
        Ok(())
    }
}

/// The kernel's uevents (group 1 of NETLINK_KOBJECT_UEVENT: kernel, lib/kobject_uevent.c).
struct Uevents {
    socket: Async<OwnedFd>,
}

/// Messages read in one wake-up; the rest rings again.
const UEVENTS_MAX: usize = 64;

impl Uevents {
    fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd =
            socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkKObjectUEvent)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
        Ok(Self { socket: Async::new_nonblocking(fd)? })
    }

    /// Ready once after one or more messages that concern disks.
    fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rung = false;
        loop {
            for _ in 0..UEVENTS_MAX {
                let mut buffer = [0u8; uevent::LENGTH_MAX];
                match recvfrom::<NetlinkAddr>(self.socket.get_ref().as_raw_fd(), &mut buffer) {
                    // Port 0 is the kernel: what a program sends is not believed.
                    Ok((length, from)) if from.is_some_and(|a| a.pid() == 0) => {
                        rung |= uevent::concerns_disks(buffer.get(..length).unwrap_or_default());
                    }
                    Ok(_) => {}
                    // Messages were lost, so something did change.
                    Err(nix::errno::Errno::ENOBUFS) => rung = true,
                    Err(_) => break,
                }
            }
            if rung {
                return Poll::Ready(());
            }
            match self.socket.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn arm(root: &Root) -> io::Result<Kind> {
    if root.is_real() { arm_kernel(root) } else { arm_files(root) }
}

fn arm_kernel(root: &Root) -> io::Result<Kind> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let announced = |(_, dir): &(String, PathBuf)| ANNOUNCED.map(|name| dir.join(name));
    let arrays = directories(root);
    let mut files = Vec::new();
    for path in arrays.iter().flat_map(announced).chain([root.path("/proc/mdstat")]) {
        let Ok(file) = fs::File::open(&path) else { continue };
        // Unread, the first poll would tell of the past.
        if read_away(&file).is_ok() && epoll.add(&file, EpollEvent::new(EpollFlags::EPOLLPRI, 0)).is_ok() {
            files.push(file);
        }
    }
    Ok(Kind::Kernel { epoll: Async::new_nonblocking(Inner(epoll))?, files, arrays })
}

/// Reads an attribute from its start, so that its next change is announced. What it says now is read by whoever asks.
fn read_away(file: &fs::File) -> io::Result<()> {
    let (mut page, mut at) = ([0u8; 4096], 0);
    while at < crate::sys::root::READ_MAX as u64 {
        match file.read_at(&mut page, at)? {
            0 => break,
            n => at += n as u64,
        }
    }
    Ok(())
}

fn arm_files(root: &Root) -> io::Result<Kind> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let flags = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE;
    let fixed = [root.path("/sys/block"), root.path("/proc")];
    for dir in directories(root).into_iter().map(|(_, dir)| dir).chain(fixed) {
        // A directory that is not there now is found when its parent changes.
        let _ = inotify.add_watch(&dir, flags);
    }
    Ok(Kind::Files(Async::new_nonblocking(inotify)?))
}
