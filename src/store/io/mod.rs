//! Media, and which of several is used. Shells.

pub mod file;
pub mod mtd;
pub mod ubi;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use file::{FileError, Files, Lock};
use mtd::Mtd;
use ubi::Ubi;

use super::flash::{Flash, FlashError, Geometry};
use super::inspect::Image;
use super::place::{self, Ground, Holds, NoPlace, Place};
use super::wear::{Endurance, NAND_CYCLES, NOR_CYCLES};
use crate::sys::root::Root;

/// Where flash devices have their nodes. No other node is ever named.
const DEVICES: &str = "/dev";

/// File in the directory of lock and key that says where the store is, if it is not there.
const MARKER: &str = "place";

/// What a medium is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To look at, also while an agent uses it.
    Read,
    /// By the agent.
    Write,
}

/// Why a candidate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is not there.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// It is there, but not what is needed.
    #[error("{0}")]
    Unfit(&'static str),
    /// The board says that it is never to be touched.
    #[error("the board file forbids it")]
    Forbidden,
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The files.
    #[error(transparent)]
    Files(#[from] FileError),
    /// It cannot be read.
    #[error(transparent)]
    Flash(#[from] FlashError),
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The directory of lock and key.
    #[error(transparent)]
    Files(#[from] FileError),
    /// No candidate can be used, or two hold a store.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
}

impl From<io::Error> for FlashError {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(nix::libc::EIO))
    }
}

/// One of the media.
#[derive(Debug)]
pub enum Medium {
    /// Files.
    Files(Files),
    /// NOR.
    Mtd(Mtd),
    /// NAND.
    Ubi(Ubi),
}

impl Medium {
    /// What it endures; `None` where a file system stands in between, which alone knows its blocks.
    pub fn endurance(&self) -> Option<Endurance> {
        match self {
            Self::Files(_) => None,
            Self::Mtd(mtd) => {
                let blocks = u32::try_from(mtd.geometry().segments).unwrap_or(u32::MAX);
                Some(Endurance { cycles: NOR_CYCLES, blocks })
            }
            Self::Ubi(ubi) => Some(Endurance { cycles: NAND_CYCLES, blocks: ubi.blocks() }),
        }
    }

    fn flash(&mut self) -> &mut dyn Flash {
        match self {
            Self::Files(files) => files,
            Self::Mtd(mtd) => mtd,
            Self::Ubi(ubi) => ubi,
        }
    }
}

impl Flash for Medium {
    fn geometry(&self) -> Geometry {
        match self {
            Self::Files(files) => files.geometry(),
            Self::Mtd(mtd) => mtd.geometry(),
            Self::Ubi(ubi) => ubi.geometry(),
        }
    }

    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        self.flash().read(segment, offset, out)
    }

    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError> {
        self.flash().program(segment, offset, data)
    }

    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        self.flash().erase(segment)
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.flash().sync()
    }
}

/// Where a store may be.
#[derive(Clone, Debug)]
pub struct Site {
    /// Prefix of /sys and /dev.
    pub root: Root,
    /// Directory of lock and key, and of the files if those are the place.
    pub dir: PathBuf,
    /// Bytes of a segment, where the medium leaves the choice.
    pub segment_bytes: usize,
    /// The place that is wanted, if the configuration names one.
    pub wanted: Option<Place>,
    /// Otherwise candidates in their order, before the files in `dir`.
    pub candidates: Vec<Place>,
    /// MTD partitions that are never touched, whatever else is said.
    pub never: Vec<String>,
    /// What must be under the directories among the candidates.
    pub ground: Ground,
}

impl Site {
    /// Opens the medium that holds the store, or the first blank one. The lock keeps others out for as long as it lives.
    ///
    /// # Errors
    /// [`SiteError`]; nothing but an empty directory was made.
    pub fn open(&self) -> Result<(Medium, Place, Lock), SiteError> {
        let lock = Lock::take(&self.dir)?;
        // One directory alone needs no choice, and its own errors say more.
        if let [place @ Place::Dir(dir)] = self.candidates()?.as_slice() {
            self.stands(dir).map_err(|e| NoPlace::None(format!("{place}: {e}")))?;
            return Ok((Medium::Files(Files::open(dir, self.segment_bytes)?), place.clone(), lock));
        }
        let place = self.choose()?;
        let medium =
            self.medium(&place, Access::Write).map_err(|e| NoPlace::None(format!("{place}: {e}")))?;
        self.remember(&place)?;
        Ok((medium, place, lock))
    }

    /// The candidate that holds the store, else the first blank one.
    fn choose(&self) -> Result<Place, NoPlace> {
        let look = |place: Place| {
            let holds = self.look(&place).map_err(|e| e.to_string());
            (place, holds)
        };
        let looked: Vec<_> = self.candidates()?.into_iter().map(look).collect();
        let chosen = place::choose(&looked)?;
        let place = looked.into_iter().nth(chosen).map(|(place, _)| place);
        place.ok_or(NoPlace::None(String::new()))
    }

    /// Where the store was put once is where it is looked for ever after: a volume that is not there today must not make it seem
    /// that nothing was ever paired.
    fn candidates(&self) -> Result<Vec<Place>, NoPlace> {
        let marker = self.dir.join(MARKER);
        let known = fs::read_to_string(&marker).ok().and_then(|text| text.trim_end().parse::<Place>().ok());
        let here = Place::Dir(self.dir.clone());
        Ok(match (known, self.wanted.clone()) {
            (Some(was), Some(wanted)) if was != wanted => {
                let marker = marker.display().to_string();
                return Err(NoPlace::Moved { was: was.to_string(), wanted: wanted.to_string(), marker });
            }
            (Some(known), _) => vec![known],
            (None, Some(wanted)) => vec![wanted],
            (None, None) => self.candidates.iter().cloned().chain([here]).collect(),
        })
    }

    fn remember(&self, place: &Place) -> Result<(), FileError> {
        let marker = self.dir.join(MARKER);
        if *place == Place::Dir(self.dir.clone()) || marker.exists() {
            return Ok(());
        }
        let made = keep(&marker, format!("{place}\n").as_bytes());
        made.map_err(|source| FileError::Io { path: marker.display().to_string(), source })?;
        file::sync_dir(&self.dir)
    }

    fn medium(&self, place: &Place, access: Access) -> Result<Medium, Unusable> {
        Ok(match place {
            Place::Dir(dir) => {
                self.stands(dir)?;
                Medium::Files(Files::open(dir, self.segment_bytes)?)
            }
            Place::Mtd(name) if self.never.contains(name) => return Err(Unusable::Forbidden),
            Place::Mtd(name) => Medium::Mtd(Mtd::open(&self.root, name, self.segment_bytes, access)?),
            Place::Ubi(name) => Medium::Ubi(Ubi::open(&self.root, name, access)?),
        })
    }

    /// Whether a directory that the board names is on what the board wants. Those that the configuration names are the owner's
    /// business.
    fn stands(&self, dir: &Path) -> Result<(), Unusable> {
        let is_candidate = self.candidates.iter().any(|c| matches!(c, Place::Dir(d) if d == dir));
        if !is_candidate || self.ground == Ground::default() {
            return Ok(());
        }
        let mounts = self.root.read("/proc/mounts").unwrap_or_default();
        self.ground.refuses(dir, &mounts).map_or(Ok(()), |why| Err(Unusable::Unfit(why)))
    }

    /// Looks without changing anything.
    fn look(&self, place: &Place) -> Result<Holds, Unusable> {
        if let Place::Dir(dir) = place {
            self.stands(dir)?;
            return Ok(if file::holds_something(dir) { Holds::Ours } else { Holds::Blank });
        }
        let mut medium = self.medium(place, Access::Read)?;
        let segments = read_all(&mut medium)?;
        Ok(place::look(&medium.geometry(), &segments))
    }

    /// The segments of the store as they are, without a lock and without changing anything; and where they are.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn image(&self) -> Result<(Place, Image), SiteError> {
        let place = self.choose()?;
        let failed = |why: String| NoPlace::None(format!("{place}: {why}"));
        if let Place::Dir(dir) = &place {
            let image = read_image(dir).map_err(|e| failed(e.to_string()))?;
            return Ok((place, image));
        }
        let mut medium = self.medium(&place, Access::Read).map_err(|e| failed(e.to_string()))?;
        let segments = read_all(&mut medium).map_err(|e| failed(e.to_string()))?;
        let named = segments.into_iter().enumerate().map(|(i, bytes)| (format!("{place}:{i}"), bytes));
        Ok((place.clone(), named.collect()))
    }

    /// Moves a store that may not be believed out of the way, for diagnosis, so that a fresh one can be made. Returns where it is
    /// kept. The lock must not be held by the caller.
    ///
    /// # Errors
    /// [`SiteError`]; the store is then as it was.
    pub fn set_aside(&self) -> Result<PathBuf, SiteError> {
        let (mut medium, place, _lock) = self.open()?;
        let kept = new_directory(&self.dir)?;
        if let (Medium::Files(_), Place::Dir(dir)) = (&medium, &place) {
            file::move_segments(dir, &kept)?;
            return Ok(kept);
        }
        let failed = |error: io::Error| FileError::Io { path: kept.display().to_string(), source: error };
        let segments = read_all(&mut medium).map_err(|e| failed(io::Error::from_raw_os_error(e.0)))?;
        for (index, bytes) in segments.iter().enumerate() {
            keep(&kept.join(format!("segment-{index}.bin")), bytes).map_err(failed)?;
        }
        file::sync_dir(&kept)?;
        for index in 0..segments.len() {
            medium.erase(index).map_err(|e| failed(io::Error::from_raw_os_error(e.0)))?;
        }
        Ok(kept)
    }
}

/// The one entry of a class in sysfs whose `name` is this. `is_candidate`: whether an entry can be one.
fn entry_named(
    root: &Root,
    class: &str,
    name: &str,
    what: &'static str,
    is_candidate: impl Fn(&str) -> bool,
) -> Result<String, Unusable> {
    let entries = fs::read_dir(root.path(class)).map_err(|_| Unusable::Missing(what))?;
    let mut found: Vec<String> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|entry| is_candidate(entry))
        .filter(|entry| root.read(&format!("{class}/{entry}/name")).is_ok_and(|text| text == name))
        .collect();
    match (found.pop(), found.pop()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Unusable::Unfit("more than one has this name")),
        (None, _) => Err(Unusable::Missing(what)),
    }
}

/// All segments.
fn read_all(medium: &mut Medium) -> Result<Vec<Vec<u8>>, FlashError> {
    let geometry = medium.geometry();
    let mut segments = Vec::with_capacity(geometry.segments);
    for segment in 0..geometry.segments {
        let mut bytes = vec![0; geometry.segment_bytes];
        medium.read(segment, 0, &mut bytes)?;
        segments.push(bytes);
    }
    Ok(segments)
}

fn new_directory(dir: &Path) -> Result<PathBuf, FileError> {
    let kept = (1..).map(|n: u32| dir.join(format!("corrupt-{n}"))).find(|p| !p.exists()).unwrap_or_default();
    let made = DirBuilder::new().mode(0o700).create(&kept);
    made.map_err(|source| FileError::Io { path: kept.display().to_string(), source })?;
    Ok(kept)
}

fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A store's segments as they lie in files: a directory with `a.log` and `b.log` or `segment-0.bin` and so on, or one file.
///
/// # Errors
/// Those of reading; `NotFound` if the directory has neither.
pub fn read_image(path: &Path) -> io::Result<Image> {
    /// Larger files are no stores.
    const MAX: u64 = 16 << 20;
    let read = |path: &Path| {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(File::open(path)?, MAX), &mut bytes)?;
        Ok::<_, io::Error>((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes))
    };
    if !path.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let numbered = (0..8).map(|n| format!("segment-{n}.bin"));
    let names: Vec<String> = file::NAMES.iter().map(ToString::to_string).chain(numbered).collect();
    let found: Vec<_> = names.iter().map(|n| path.join(n)).filter(|p| p.exists()).collect();
    if found.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    found.iter().map(|p| read(p)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::log::Log;

    fn site(dir: &Path, candidates: &[&str], never: &[&str]) -> Site {
        Site {
            root: Root::simulated(dir.to_owned()),
            dir: dir.join("store"),
            segment_bytes: 8192,
            wanted: None,
            candidates: candidates.iter().map(|c| c.parse().unwrap()).collect(),
            never: never.iter().map(ToString::to_string).collect(),
            ground: Ground::default(),
        }
    }

    #[test]
    fn a_corrupt_store_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let site = site(dir.path(), &[], &[]);
        drop(site.open().unwrap());
        fs::write(site.dir.join("a.log"), vec![0x42; 8192]).unwrap();
        let (medium, _, lock) = site.open().unwrap();
        assert!(Log::open(medium, 1, &mut |_| Ok(())).is_err());
        assert!(matches!(site.set_aside(), Err(SiteError::Files(FileError::Locked(_)))));
        drop(lock);
        let kept = site.set_aside().unwrap();
        assert_eq!(fs::read(kept.join("a.log")).unwrap(), vec![0x42; 8192]);
        assert!(Log::open(site.open().unwrap().0, 1, &mut |_| Ok(())).is_ok());
        assert_ne!(site.set_aside().unwrap(), kept);
    }

    #[test]
    fn what_the_board_forbids_is_never_taken_and_the_next_candidate_is() {
        let dir = tempfile::tempdir().unwrap();
        let files = format!("dir:{}", dir.path().join("files").display());
        let candidates = ["mtd:config", "ubi:none", files.as_str()];
        let (_, place, _) = site(dir.path(), &candidates, &["config"]).open().unwrap();
        assert_eq!(place.to_string(), files);
        let dir = tempfile::tempdir().unwrap();
        let mut only = site(dir.path(), &[], &["config"]);
        only.wanted = "mtd:config".parse().ok();
        let error = only.open().unwrap_err().to_string();
        assert!(error.contains("mtd:config: the board file forbids it"), "{error}");
        only.wanted = "mtd:gone".parse().ok();
        let error = only.open().unwrap_err().to_string();
        assert!(error.contains("there is no such MTD device"), "{error}");
    }

    #[test]
    fn a_directory_on_a_disk_is_taken_only_while_the_disk_is_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("hdd/moorline");
        let on_disk = format!("dir:{}", disk.display());
        let mut site = site(dir.path(), &[on_disk.as_str()], &[]);
        site.ground = Ground { fs: Vec::new(), disks: vec![disk.clone()] };
        let mounts = |text: &str| {
            fs::create_dir_all(dir.path().join("proc")).unwrap();
            fs::write(dir.path().join("proc/mounts"), text).unwrap();
        };
        mounts("/dev/root / squashfs ro 0 0\n");
        assert_eq!(site.open().unwrap().1, Place::Dir(site.dir.clone()), "the configured one is next");
        assert!(!disk.exists(), "nothing is made below a missing mount");
        fs::remove_dir_all(&site.dir).unwrap();
        let mounted =
            format!("/dev/root / squashfs ro 0 0\n/dev/md1 {}/hdd ext4 rw 0 0\n", dir.path().display());
        mounts(&mounted);
        assert_eq!(site.open().unwrap().1, Place::Dir(disk.clone()));
        mounts("/dev/root / squashfs ro 0 0\n");
        let error = site.open().unwrap_err().to_string();
        assert!(error.contains("no disk is mounted there"), "it is not begun afresh: {error}");
        mounts(&mounted);
        assert_eq!(site.open().unwrap().1, Place::Dir(disk));
    }

    #[test]
    fn a_store_that_was_put_somewhere_is_not_begun_afresh_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let mut site = site(dir.path(), &["ubi:moorline"], &[]);
        fs::create_dir_all(&site.dir).unwrap();
        site.remember(&"ubi:moorline".parse().unwrap()).unwrap();
        let error = site.open().unwrap_err().to_string();
        assert!(error.contains("ubi:moorline: there is no such UBI volume"), "{error}");
        site.wanted = "mtd:config".parse().ok();
        let error = site.open().unwrap_err().to_string();
        assert!(error.contains("the store is at ubi:moorline, and mtd:config is wanted now"), "{error}");
        fs::remove_file(site.dir.join(MARKER)).unwrap();
        site.wanted = None;
        assert_eq!(
            site.open().unwrap().1,
            Place::Dir(site.dir.clone()),
            "the directory is the last candidate"
        );
    }
}
