//! Reading md from sysfs and procfs, and waiting for its changes. A shell. It opens attributes only, never a block device.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use async_io::Async;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::mdstat::{self, ARRAYS_MAX, MEMBERS_MAX};
use super::state::{Array, understand};
use super::sysfs::{MemberTexts, Texts};
use crate::sys::root::{Root, read_small};

/// Attributes that the kernel announces changes of (md.c: sysfs_notify).
const ANNOUNCED: [&str; 4] = ["array_state", "degraded", "sync_action", "sync_completed"];

/// All arrays as they are now.
pub fn read_all(root: &Root, single_by_design: bool) -> Vec<Array> {
    let mdstat = mdstat::parse(&root.read("/proc/mdstat").unwrap_or_default());
    let one = |(name, dir): (String, PathBuf)| {
        let entry = mdstat.iter().find(|e| e.name == name);
        understand(&name, texts(&dir), entry, single_by_design)
    };
    directories(root).into_iter().map(one).collect()
}

/// Names and `md` directories of the arrays, in order.
fn directories(root: &Root) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(root.path("/sys/block")) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|e| (e.file_name().to_string_lossy().into_owned(), e.path().join("md")))
        .filter(|(name, dir)| name.starts_with("md") && dir.is_dir())
        .collect();
    found.sort();
    found.truncate(ARRAYS_MAX);
    found
}

fn texts(dir: &Path) -> Texts {
    let read = |name: &str| read_small(&dir.join(name)).ok();
    Texts {
        array_state: read("array_state"),
        level: read("level"),
        degraded: read("degraded"),
        raid_disks: read("raid_disks"),
        sync_action: read("sync_action"),
        sync_completed: read("sync_completed"),
        sync_speed: read("sync_speed"),
        mismatch_cnt: read("mismatch_cnt"),
        size: read("../size"),
        members: members(dir),
    }
}

fn members(dir: &Path) -> Vec<MemberTexts> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<MemberTexts> = entries
        .filter_map(Result::ok)
        .filter_map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            let device = name.strip_prefix("dev-")?.to_owned();
            let read = |attribute: &str| read_small(&e.path().join(attribute)).unwrap_or_default();
            Some(MemberTexts {
                device,
                state: read("state"),
                slot: read("slot"),
                disk: disk_of(&e.path().join("block")),
            })
        })
        .take(MEMBERS_MAX)
        .collect();
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

/// The whole disk behind a member's `block` link: a partition's directory lies in its disk's.
fn disk_of(link: &Path) -> Option<String> {
    let target = fs::canonicalize(link).ok()?;
    let own = if target.join("partition").exists() { target.parent()? } else { &target };
    Some(own.file_name()?.to_string_lossy().into_owned())
}

/// Rings when something about an array may have changed.
pub struct Watch {
    root: Root,
    kind: Kind,
}

enum Kind {
    /// The kernel's own announcements: an inner epoll for POLLPRI, which can itself be waited for.
    Kernel { epoll: Async<Inner>, files: Vec<fs::File> },
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
    /// Those of epoll(7) and inotify(7).
    pub fn new(root: &Root) -> io::Result<Self> {
        Ok(Self { root: root.clone(), kind: arm(root)? })
    }

    /// Ready when something changed. The caller calls [`Watch::rearm`] and then reads the arrays: in that order no change is
    /// missed.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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

    /// Watches what is there now. An attribute is announced again only after it was read; opening and reading it anew does
    /// that, and follows arrays that came or went.
    ///
    /// # Errors
    /// As [`Watch::new`]; the old watch stays.
    pub fn rearm(&mut self) -> io::Result<()> {
        if let Kind::Kernel { files, .. } = &mut self.kind {
            files.clear();
        }
        self.kind = arm(&self.root)?;
        Ok(())
    }
}

fn arm(root: &Root) -> io::Result<Kind> {
    if root.is_real() { arm_kernel(root) } else { arm_files(root) }
}

fn arm_kernel(root: &Root) -> io::Result<Kind> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let announced = |(_, dir): &(String, PathBuf)| ANNOUNCED.map(|name| dir.join(name));
    let paths =
        directories(root).iter().flat_map(announced).chain([root.path("/proc/mdstat")]).collect::<Vec<_>>();
    let mut files = Vec::new();
    for path in paths {
        let Ok(mut file) = fs::File::open(&path) else { continue };
        // Read once, or the first poll tells of the past.
        let mut sink = Vec::new();
        let _ = io::Read::read_to_end(
            &mut io::Read::take(&mut file, crate::sys::root::READ_MAX as u64),
            &mut sink,
        );
        if epoll.add(&file, EpollEvent::new(EpollFlags::EPOLLPRI, 0)).is_ok() {
            files.push(file);
        }
    }
    Ok(Kind::Kernel { epoll: Async::new_nonblocking(Inner(epoll))?, files })
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
