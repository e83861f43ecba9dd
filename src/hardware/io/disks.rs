//! The disks as sysfs shows them, and their thermometers, which cost a command each and are read on a thread of their own. A shell. No
//! device node is opened.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::channel::Receiver;
use smol::stream::Stream as _;

use super::sysfs::{blocks, class, number, text};
use crate::board::description::{Bay, Description, Slot};
use crate::hardware::bay;
use crate::hardware::disk::{Look, Wear, counter, requests};
use crate::sys::root::{Root, read_small};
use crate::units::{Bytes, MilliCelsius};

/// Disks that are told: those in bays come first.
pub const DISKS_MAX: usize = 16;
/// Drivers of thermometers that ask a disk; those of disks that are not found here are left alone as well.
const DISK_DRIVERS: [&str; 2] = ["drivetemp", "nvme"];
/// Stack of the thread: it reads a few small files.
const STACK: usize = 64 * 1024;

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name.
    pub device: String,
    /// Where it is in sysfs.
    pub path: String,
    /// The bay it sits in.
    pub bay: Option<u8>,
    /// As it names itself.
    pub model: Option<String>,
    /// Size.
    pub size: Bytes,
    /// Spinning or not.
    pub rotational: Option<bool>,
    /// What the kernel counts.
    pub look: Look,
    /// How worn it is, where it told the kernel.
    pub wear: Option<Wear>,
    /// Where its thermometer is. To read it is to ask the disk.
    pub thermometer: Option<PathBuf>,
}

/// The board's bays. Those that are told by a controller's port have the path that this boot gave it, if the port is there; the ports
/// are read only where one still has none.
fn bays<'b>(root: &Root, board: &'b Description) -> Cow<'b, [Bay]> {
    if board.bays.iter().any(|b| matches!(b.slot, Slot::Port { .. })) {
        bay::located(&board.bays, &crate::board::io::ports(root)).into()
    } else {
        board.bays.as_slice().into()
    }
}

/// Gives the board's bays the paths that are known now.
pub fn locate(root: &Root, board: &mut Description) {
    let found = match bays(root, board) {
        Cow::Owned(bays) => bays,
        Cow::Borrowed(_) => return,
    };
    board.bays = found;
}

/// Block devices that are whole disks with hardware behind them: no loop devices, no md, no partitions.
fn whole(root: &Root) -> impl Iterator<Item = (String, PathBuf)> {
    blocks(root).into_iter().filter(|(name, dir)| {
        // `hidden`: one path of several to the same NVMe disk.
        bay::is_drive(name) && dir.join("device").exists() && number::<u8>(dir, "hidden") != Some(1)
    })
}

/// Where a block device is.
fn place(dir: &Path) -> String {
    fs::canonicalize(dir).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The disks. Those in bays first.
pub fn read(root: &Root, board: Option<&Description>) -> Vec<Disk> {
    let bays = board.map(|b| bays(root, b)).unwrap_or_default();
    let thermometers = thermometers(root);
    let disk = |(device, dir): (String, PathBuf)| {
        let path = place(&dir);
        let own = fs::canonicalize(dir.join("device")).ok();
        let thermometer = thermometers.iter().find(|(of, _)| own.as_ref() == Some(of));
        Disk {
            bay: bay::of_path(&bays, &path),
            model: text(&dir, "device/model"),
            // The size file counts 512-byte sectors whatever the disk has (kernel: Documentation/ABI/stable/sysfs-block).
            size: Bytes(number::<u64>(&dir, "size").unwrap_or(0).saturating_mul(512)),
            rotational: number::<u8>(&dir, "queue/rotational").map(|r| r != 0),
            look: look(&dir),
            wear: Wear::of(
                text(&dir, "device/life_time").as_deref(),
                text(&dir, "device/pre_eol_info").as_deref(),
            ),
            thermometer: thermometer.map(|(_, dir)| dir.clone()),
            path,
            device,
        }
    };
    let mut disks: Vec<Disk> = whole(root).map(disk).collect();
    disks.sort_by(|a, b| (a.bay.is_none(), a.bay, &a.device).cmp(&(b.bay.is_none(), b.bay, &b.device)));
    disks.truncate(DISKS_MAX);
    disks
}

/// Bays that have a disk.
pub fn fitted(root: &Root, board: Option<&Description>) -> u32 {
    let bays = board.map(|b| bays(root, b)).unwrap_or_default();
    let in_bays = whole(root).filter(|(_, dir)| bay::of_path(&bays, &place(dir)).is_some());
    let fitted = in_bays.take(DISKS_MAX).count();
    u32::try_from(fitted).unwrap_or(u32::MAX)
}

/// What the kernel has counted; reading it asks no disk. `dir`: that of the block device.
pub fn look(dir: &Path) -> Look {
    let requests = text(dir, "stat").and_then(|t| requests(&t));
    let count = |name: &str| text(dir, name).and_then(|t| counter(&t));
    Look {
        done: requests.map(|(done, _)| done),
        in_flight: requests.map_or(0, |(_, in_flight)| in_flight),
        is_suspended: text(dir, "device/power/runtime_status").as_deref() == Some("suspended"),
        errors: count("device/ioerr_cnt"),
        timeouts: count("device/iotmo_cnt"),
        state: text(dir, "device/state"),
    }
}

/// Whether reading this hwmon device asks a disk.
pub(super) fn is_of_disk(driver: &str) -> bool {
    DISK_DRIVERS.contains(&driver)
}

/// Those of disks, each with the device that it belongs to.
fn thermometers(root: &Root) -> Vec<(PathBuf, PathBuf)> {
    let of_disk = |(_, dir): (String, PathBuf)| {
        let driver = text(&dir, "name").filter(|driver| is_of_disk(driver));
        driver.and_then(|_| Some((fs::canonicalize(dir.join("device")).ok()?, dir)))
    };
    class(root, "hwmon").into_iter().filter_map(of_disk).collect()
}

/// What a thermometer said: the temperature, and what the disk may have by its own word, in thousandths of a degree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which disk's, by its place in sysfs.
    pub path: String,
    /// How warm; `None`: it did not say.
    pub value: Option<MilliCelsius>,
    /// What it may have.
    pub limit: Option<i32>,
}

/// Reads thermometers beside the agent's loop: a disk that does not answer holds a reading up for a minute (drivetemp waits ten
/// seconds, five times).
#[derive(Debug, Default)]
pub struct Thermometers {
    under_way: Option<Pin<Box<Receiver<Vec<Reading>>>>>,
}

impl Thermometers {
    /// Reads these, by place of the disk and directory of the thermometer. Nothing is done while others are still being read.
    pub fn ask(&mut self, which: Vec<(String, PathBuf)>) {
        if which.is_empty() || self.under_way.is_some() {
            return;
        }
        let (sender, receiver) = smol::channel::bounded(1);
        let work = move || {
            let _ = sender.try_send(which.into_iter().map(read_one).collect());
        };
        match std::thread::Builder::new().name("thermometers".into()).stack_size(STACK).spawn(work) {
            Ok(_) => self.under_way = Some(Box::pin(receiver)),
            Err(error) => log::warn!("temperatures of disks are not read: {error}"),
        }
    }

    /// What they said. Cancel-safe.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Reading>> {
        let Some(receiver) = &mut self.under_way else { return Poll::Pending };
        let readings = std::task::ready!(receiver.as_mut().poll_next(cx));
        self.under_way = None;
        Poll::Ready(readings.unwrap_or_default())
    }
}

fn read_one((path, dir): (String, PathBuf)) -> Reading {
    let value = |name: &str| read_small(&dir.join(name)).ok().and_then(|t| t.parse::<i32>().ok());
    let input = value("temp1_input");
    // The highest it is made to have for long; where it does not say that, what it may never have, less what that is above.
    let limit = value("temp1_max").or_else(|| value("temp1_crit").map(|crit| crit.saturating_sub(5_000)));
    Reading { path, value: input.map(MilliCelsius), limit }
}
