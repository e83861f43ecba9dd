//! A partition of raw NOR flash (linux/mtd-abi.h), found by its name. A shell.
//!
//! NAND is left to UBI, which knows its bad blocks and wear; `/dev/mtdblockN` is never used: it erases behind one's back.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use super::{Access, Unusable, entry_named};
use crate::store::flash::{Flash, FlashError, Geometry};
use crate::sys::mtd::{self, Range};
use crate::sys::root::Root;

/// Where the kernel lists them.
const CLASS: &str = "/sys/class/mtd";
/// The least unit that frames are aligned to; chips that take single bytes take this as well.
const UNIT_MIN: usize = 16;
/// Largest program unit of the format.
const UNIT_MAX: usize = 4096;
/// Segments that are used of a large partition.
const SEGMENTS_MAX: usize = 4;
/// `MTD_WRITEABLE` in the flags of sysfs.
const WRITEABLE: u64 = 0x400;

/// The partition, open.
#[derive(Debug)]
pub struct Mtd {
    device: File,
    geometry: Geometry,
    erase_bytes: usize,
}

/// A number of sysfs, decimal or 0x….
fn attribute(root: &Root, device: &str, name: &str) -> Result<u64, Unusable> {
    let text = root.read(&format!("{CLASS}/{device}/{name}"))?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| Unusable::Unfit("sysfs tells its size in another way"))
}

impl Mtd {
    /// Opens the partition `name`; `segment_bytes`: the least that a segment is to have.
    ///
    /// # Errors
    /// [`Unusable`]; nothing was changed.
    pub fn open(root: &Root, name: &str, segment_bytes: usize, access: Access) -> Result<Self, Unusable> {
        // Each has a second entry for reading only, `mtd0ro`.
        let is_device = |entry: &str| entry.strip_prefix("mtd").is_some_and(|n| n.parse::<u32>().is_ok());
        let device = entry_named(root, CLASS, name, "MTD device", is_device)?;
        if root.read(&format!("{CLASS}/{device}/type"))? != "nor" {
            return Err(Unusable::Unfit("it is not NOR flash; on NAND a UBI volume is wanted"));
        }
        let of = |name| attribute(root, &device, name);
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let (whole, erase_bytes, unit) = (size(of("size")?), size(of("erasesize")?), size(of("writesize")?));
        if of("flags")? & WRITEABLE == 0 {
            return Err(Unusable::Unfit("the kernel has it read-only"));
        }
        let unit = unit.max(UNIT_MIN);
        if erase_bytes == 0 || unit > UNIT_MAX || !unit.is_power_of_two() || !erase_bytes.is_multiple_of(unit)
        {
            return Err(Unusable::Unfit("its blocks have a shape that is not known here"));
        }
        let segment_bytes = segment_bytes.next_multiple_of(erase_bytes);
        let segments = (whole / segment_bytes).min(SEGMENTS_MAX);
        if segments < 2 {
            return Err(Unusable::Unfit("it is too small for two segments"));
        }
        let geometry = Geometry { segments, segment_bytes, program_unit: unit, fades: false };
        let path = root.path(&format!("{}/{device}", super::DEVICES));
        let device = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .custom_flags(nix::libc::O_CLOEXEC)
            .open(path)?;
        let mtd = Self { device, geometry, erase_bytes };
        if access == Access::Write {
            // Chips without a lock say so, in several ways.
            let _ = mtd::unlock(&mtd.device, mtd.range(0, segments * segment_bytes)?);
        }
        Ok(mtd)
    }

    fn range(&self, start: usize, length: usize) -> Result<Range, Unusable> {
        match (u32::try_from(start), u32::try_from(length)) {
            (Ok(start), Ok(length)) => Ok(Range { start, length }),
            (_, _) => Err(Unusable::Unfit("it is larger than 4 GiB")),
        }
    }

    /// Programs, then reads back and compares: a worn cell keeps its old value without a word.
    fn program_verified(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.device.write_all_at(data, at)?;
        let mut written = vec![0; data.len()];
        self.device.read_exact_at(&mut written, at)?;
        if written == data { Ok(()) } else { Err(io::Error::from_raw_os_error(nix::libc::EIO)) }
    }
}

impl Flash for Mtd {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        let at = self.geometry.position(segment, offset, out.len())?;
        Ok(self.device.read_exact_at(out, at)?)
    }

    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError> {
        let at = self.geometry.position(segment, offset, data.len())?;
        Ok(self.program_verified(at, data)?)
    }

    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        // The header's block first: a segment that was erased in part has none.
        for offset in (0..self.geometry.segment_bytes).step_by(self.erase_bytes) {
            let at = self.geometry.position(segment, offset, self.erase_bytes)?;
            let start = u32::try_from(at).map_err(|_| FlashError(nix::libc::EINVAL))?;
            let length = u32::try_from(self.erase_bytes).map_err(|_| FlashError(nix::libc::EINVAL))?;
            mtd::erase(&self.device, Range { start, length })?;
        }
        Ok(())
    }

    /// Writes to the character device are done when they return.
    fn sync(&mut self) -> Result<(), FlashError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(kind: &str, flags: &str) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (number, name) in [(0, "u-boot"), (1, "config"), (2, "twice"), (3, "twice")] {
            let device = dir.path().join(format!("sys/class/mtd/mtd{number}"));
            fs::create_dir_all(&device).unwrap();
            fs::create_dir_all(dir.path().join(format!("sys/class/mtd/mtd{number}ro"))).unwrap();
            for (attribute, value) in [
                ("name", name),
                ("type", kind),
                ("size", "262144"),
                ("erasesize", "65536"),
                ("writesize", "1"),
                ("flags", flags),
            ] {
                fs::write(device.join(attribute), format!("{value}\n")).unwrap();
            }
        }
        fs::create_dir_all(dir.path().join("dev")).unwrap();
        fs::write(dir.path().join("dev/mtd1"), vec![0xff; 262_144]).unwrap();
        let root = Root::simulated(dir.path().to_owned());
        (dir, root)
    }

    #[test]
    fn a_partition_is_found_by_its_name_and_only_nor_is_taken() {
        let (_dir, root) = tree("nor", "0xc00");
        let mut mtd = Mtd::open(&root, "config", 65_536, Access::Write).unwrap();
        let shape = Geometry { segments: 4, segment_bytes: 65_536, program_unit: 16, fades: false };
        assert_eq!(mtd.geometry(), shape);
        mtd.program(1, 32, &[1; 16]).unwrap();
        let mut read = [0; 16];
        mtd.read(1, 32, &mut read).unwrap();
        assert_eq!(read, [1; 16]);
        assert!(mtd.program(3, 65_536 - 8, &[0; 16]).is_err(), "beyond its end");
        assert!(mtd.read(4, 0, &mut read).is_err());
        assert!(mtd.erase(0).is_err(), "this one is an ordinary file, which cannot be erased");
        assert_eq!(
            Mtd::open(&root, "config", 100_000, Access::Write).unwrap().geometry().segment_bytes,
            131_072
        );
        let refused = |name, bytes| Mtd::open(&root, name, bytes, Access::Write).unwrap_err().to_string();
        assert_eq!(refused("config", 262_144), "it is too small for two segments");
        assert_eq!(refused("rescue", 65_536), "there is no such MTD device");
        assert_eq!(refused("twice", 65_536), "more than one has this name");
        let (_dir, root) = tree("nand", "0x400");
        assert!(Mtd::open(&root, "config", 65_536, Access::Write).unwrap_err().to_string().contains("UBI"));
        let (_dir, root) = tree("nor", "0x800");
        assert_eq!(
            Mtd::open(&root, "config", 65_536, Access::Write).unwrap_err().to_string(),
            "the kernel has it read-only"
        );
    }
}
