//! Where a store can be, and which of several places is the one. A core.

use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};

use super::flash::Geometry;
use super::frame::{HEADER_LEN, Header};

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Files in a directory: `dir:/var/lib/moorline`.
    Dir(PathBuf),
    /// An MTD partition of NOR flash by its name: `mtd:config`.
    Mtd(String),
    /// A UBI volume by its name: `ubi:moorline`.
    Ubi(String),
}

/// What is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a place is dir:/PATH, mtd:NAME or ubi:NAME")]
pub struct NotAPlace;

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        match text.split_once(':') {
            Some(("dir", path)) if path.starts_with('/') && !path.contains('\0') => {
                Ok(Self::Dir(path.into()))
            }
            Some(("mtd", name)) if !name.is_empty() => Ok(Self::Mtd(name.to_owned())),
            Some(("ubi", name)) if !name.is_empty() => Ok(Self::Ubi(name.to_owned())),
            Some(_) | None => Err(NotAPlace),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Mtd(name) => write!(f, "mtd:{name}"),
            Self::Ubi(name) => write!(f, "ubi:{name}"),
        }
    }
}

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A store, whole or damaged.
    Ours,
    /// Nothing.
    Blank,
    /// Something that is not ours: it is never written to.
    Foreign,
}

/// Why there is no place for the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Two of them hold a store, and nobody can say which is the newer one.
    #[error("both {0} and {1} hold a store: name one in [store] place, and move the other away")]
    Twins(String, String),
    /// The store is somewhere else than where it is wanted now.
    #[error(
        "the store is at {was}, and {wanted} is wanted now: name {was} again, or remove {marker} to start afresh"
    )]
    Moved {
        /// Where it is.
        was: String,
        /// Where it is wanted.
        wanted: String,
        /// The file that says so.
        marker: String,
    },
    /// None can be used; what is wrong with each.
    #[error("no place for the store: {0}")]
    None(String),
}

/// Which of the candidates is used, in their order: the one that holds a store, else the first that is blank. So neither another
/// order nor a new candidate in a later firmware makes a store seem to have gone.
///
/// # Errors
/// [`NoPlace`].
pub fn choose(candidates: &[(Place, Result<Holds, String>)]) -> Result<usize, NoPlace> {
    let mut ours = candidates.iter().enumerate().filter(|(_, (_, holds))| *holds == Ok(Holds::Ours));
    match (ours.next(), ours.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some((_, (one, _))), Some((_, (other, _)))) => {
            Err(NoPlace::Twins(one.to_string(), other.to_string()))
        }
        (None, _) => {
            let blank = candidates.iter().position(|(_, holds)| *holds == Ok(Holds::Blank));
            blank.ok_or_else(|| NoPlace::None(complaints(candidates)))
        }
    }
}

fn complaints(candidates: &[(Place, Result<Holds, String>)]) -> String {
    let told = candidates.iter().map(|(place, holds)| match holds {
        Err(why) => format!("{place}: {why}"),
        Ok(_) => format!("{place}: neither blank nor a store of this software; it is left alone"),
    });
    if candidates.is_empty() { "none is named".to_owned() } else { told.collect::<Vec<_>>().join("; ") }
}

/// What must be under a directory that a board names, so that a store never lands on what lies below a missing mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// File systems that will do; empty: any.
    pub fs: Vec<String>,
    /// Directories that must be on a file system of their own, not on that of `/`: on a disk.
    pub disks: Vec<PathBuf>,
}

impl Ground {
    /// Why the directory cannot be used, if so. `mounts`: /proc/mounts.
    pub fn refuses(&self, dir: &Path, mounts: &str) -> Option<&'static str> {
        let is_disk = self.disks.iter().any(|d| d == dir);
        if self.fs.is_empty() && !is_disk {
            return None;
        }
        match mounted(mounts, dir) {
            None => Some("what it is on is not known"),
            Some((point, _)) if is_disk && point == "/" => Some("no disk is mounted there"),
            Some((_, fs)) if !self.fs.is_empty() && !self.fs.iter().any(|f| f == fs) => {
                Some("its file system is none of those that the board allows")
            }
            Some(_) => None,
        }
    }
}

/// Mount point and file system of a directory, by /proc/mounts (proc(5)): the longest that fits, of several the last. Mount
/// points with blanks, which are written as `\040`, fit nothing.
fn mounted<'t>(mounts: &'t str, dir: &Path) -> Option<(&'t str, &'t str)> {
    let line = |line: &'t str| {
        let mut words = line.split(' ').skip(1);
        let (point, fs) = (words.next()?, words.next()?);
        dir.starts_with(point).then_some((point, fs))
    };
    mounts.lines().filter_map(line).max_by_key(|(point, _)| point.len())
}

/// What the segments of raw flash hold. A first header that was cut counts as blank, but nothing else that merely begins small:
/// vendors keep addresses and serial numbers at such places.
pub fn look(geometry: &Geometry, segments: &[Vec<u8>]) -> Holds {
    if segments.iter().any(|bytes| Header::decode(bytes).is_some() || Header::is_newer(bytes)) {
        return Holds::Ours;
    }
    let room = geometry.round(HEADER_LEN);
    let cut = |bytes: &Vec<u8>| {
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        rest.iter().all(|b| *b == 0xff) && Header::may_be_cut(head)
    };
    if segments.iter().all(cut) { Holds::Blank } else { Holds::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_one_spelling() {
        for text in ["dir:/var/lib/moorline", "mtd:config", "ubi:moorline"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for bad in ["", "dir:", "dir:x", "mtd:", "ubi:", "file:/x", "/x", "mtd"] {
            assert_eq!(bad.parse::<Place>(), Err(NotAPlace), "{bad}");
        }
    }

    #[track_caller]
    fn check(holds: &[Result<Holds, &str>], expect: Result<usize, &str>) {
        let place = |i: usize| Place::Mtd(format!("m{i}"));
        let all: Vec<_> =
            holds.iter().enumerate().map(|(i, h)| (place(i), h.map_err(ToOwned::to_owned))).collect();
        match (choose(&all), expect) {
            (Ok(found), Ok(wanted)) => assert_eq!(found, wanted),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_store_is_found_wherever_it_is_and_two_are_refused() {
        use Holds::{Blank, Foreign, Ours};
        check(&[Ok(Blank), Ok(Blank)], Ok(0));
        check(&[Err("not there"), Ok(Blank)], Ok(1));
        check(&[Ok(Blank), Ok(Ours)], Ok(1));
        check(&[Ok(Foreign), Ok(Blank)], Ok(1));
        check(&[Ok(Ours), Ok(Foreign), Ok(Ours)], Err("both mtd:m0 and mtd:m2"));
        check(&[Ok(Foreign), Err("not there")], Err("m0: neither blank nor a store"));
        check(&[], Err("none is named"));
    }

    #[test]
    fn a_directory_needs_the_ground_that_the_board_wants() {
        let mounts = "rootfs / rootfs rw 0 0\n/dev/root / squashfs ro 0 0\nubi0:data /data ubifs rw 0 0\n\
                      /dev/md1 /mnt/HD/a2 ext4 rw 0 0\n/dev/sdc1 /mnt/a\\040b vfat rw 0 0\n";
        let check = |fs: &[&str], disks: &[&str], dir: &str, expect: Option<&str>| {
            let fs = fs.iter().map(|f| (*f).to_owned()).collect();
            let ground = Ground { fs, disks: disks.iter().map(PathBuf::from).collect() };
            assert_eq!(ground.refuses(Path::new(dir), mounts), expect, "{dir}");
        };
        let other = Some("its file system is none of those that the board allows");
        let no_disk = Some("no disk is mounted there");
        check(&[], &[], "/anywhere", None);
        check(&["ubifs"], &[], "/data/moorline", None);
        check(&["ubifs"], &[], "/data", None);
        check(&["ubifs"], &[], "/database", other);
        check(&["ubifs"], &[], "/var/lib", other);
        check(&["squashfs"], &[], "/var/lib", None);
        check(&[], &["/mnt/HD/a2/m"], "/mnt/HD/a2/m", None);
        check(&["ext4"], &["/mnt/HD/a2/m"], "/mnt/HD/a2/m", None);
        check(&["xfs"], &["/mnt/HD/a2/m"], "/mnt/HD/a2/m", other);
        check(&[], &["/mnt/HD/b2/m"], "/mnt/HD/b2/m", no_disk);
        check(&["squashfs"], &["/mnt/HD/b2/m"], "/mnt/HD/b2/m", no_disk);
        let ground = Ground { fs: vec!["ext4".into()], disks: Vec::new() };
        assert_eq!(ground.refuses(Path::new("/x"), ""), Some("what it is on is not known"));
    }

    #[test]
    fn only_blank_flash_and_our_own_are_taken() {
        let geometry = Geometry { segments: 2, segment_bytes: 4096, program_unit: 16, fades: false };
        let blank = vec![vec![0xff; 4096]; 2];
        assert_eq!(look(&geometry, &blank), Holds::Blank);
        let header = Header { log2_unit: 4, log_id: 7, generation: 1, base_txn: 0 }.encode();
        let with = |bytes: &[u8]| {
            let mut segments = blank.clone();
            segments[1][..bytes.len()].copy_from_slice(bytes);
            look(&geometry, &segments)
        };
        assert_eq!(with(&header), Holds::Ours);
        assert_eq!(with(b"MLOG\x09"), Holds::Ours, "a newer one is refused later, not taken for somebody's");
        for cut in 1..32 {
            assert_eq!(with(&header[..cut]), Holds::Blank, "a first header that was cut at {cut}");
        }
        assert_eq!(with(b"00:90:A9:12:34:56"), Holds::Foreign, "a vendor's address");
        assert_eq!(with(&[0]), Holds::Foreign);
        let mut far = blank.clone();
        far[0][2000] = 0;
        assert_eq!(look(&geometry, &far), Holds::Foreign);
    }
}
