//! A UBI volume on NAND (linux/ubi-user.h), found by its name: a segment is a logical erase block. A shell.
//!
//! UBI does the wear and the bad blocks. Writes go to the flash page by page ("direct write"), so a commit is one program of
//! whole pages. A block that was erased here cannot come back: the request returns when the physical one is erased.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use super::{Access, Unusable, entry_named};
use crate::store::flash::{Flash, FlashError, Geometry};
use crate::sys::mtd;
use crate::sys::root::Root;

/// Where the kernel lists devices and volumes.
const CLASS: &str = "/sys/class/ubi";
/// Least bytes of a logical block: the fullest pairing state needs half a segment of nearly 64 KiB.
const BLOCK_MIN: usize = 60 * 1024;
/// Blocks that are used of a large volume: UBI spreads the wear, so more would only be more to erase.
const BLOCKS_MAX: usize = 2;
/// Largest program unit of the format.
const UNIT_MAX: usize = 4096;

/// The volume, open; nobody else can write to it meanwhile.
#[derive(Debug)]
pub struct Ubi {
    volume: File,
    geometry: Geometry,
    /// Physical blocks of the whole device, over which UBI spreads erases.
    blocks: u32,
}

fn attribute(root: &Root, path: &str) -> Result<usize, Unusable> {
    let text = root.read(&format!("{CLASS}/{path}"))?;
    text.parse().map_err(|_| Unusable::Unfit("sysfs tells its size in another way"))
}

impl Ubi {
    /// Opens the volume `name`.
    ///
    /// # Errors
    /// [`Unusable`]; nothing was changed.
    pub fn open(root: &Root, name: &str, access: Access) -> Result<Self, Unusable> {
        // Devices are listed beside their volumes: `ubi0` and `ubi0_1`.
        let entry = entry_named(root, CLASS, name, "UBI volume", |entry| entry.contains('_'))?;
        if root.read(&format!("{CLASS}/{entry}/type"))? != "dynamic" {
            return Err(Unusable::Unfit("it is a static volume"));
        }
        let device = entry.split('_').next().unwrap_or_default();
        let block = attribute(root, &format!("{entry}/usable_eb_size"))?;
        let blocks = attribute(root, &format!("{entry}/reserved_ebs"))?;
        let page = attribute(root, &format!("{device}/min_io_size"))?.max(16);
        if blocks < 2 || block < BLOCK_MIN {
            return Err(Unusable::Unfit("it is too small: two blocks of 60 KiB at least are wanted"));
        }
        if page > UNIT_MAX || !page.is_power_of_two() {
            return Err(Unusable::Unfit("its pages have a size that is not known here"));
        }
        let path = root.path(&format!("{}/{entry}", super::DEVICES));
        let volume = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .custom_flags(nix::libc::O_CLOEXEC)
            .open(path)?;
        if access == Access::Write {
            mtd::ubi_write_directly(&volume)?;
        }
        let segments = blocks.min(BLOCKS_MAX);
        let geometry = Geometry { segments, segment_bytes: block, program_unit: page, fades: page > 1024 };
        let all = attribute(root, &format!("{device}/total_eraseblocks")).unwrap_or(segments);
        Ok(Self { volume, geometry, blocks: u32::try_from(all).unwrap_or(u32::MAX) })
    }

    /// Physical blocks that erases are spread over.
    pub(super) const fn blocks(&self) -> u32 {
        self.blocks
    }
}

impl Flash for Ubi {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// A page that was being programmed when the power went may not be readable (`EBADMSG`, an error that ECC cannot mend). It then
    /// reads as noise, which is what the log takes it for: the end of what was written, or damage if something valid follows.
    fn read(&mut self, segment: usize, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        let at = self.geometry.position(segment, offset, out.len())?;
        match self.volume.read_exact_at(out, at) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EBADMSG) => {}
            done => return Ok(done?),
        }
        let mut at = at;
        for page in out.chunks_mut(self.geometry.program_unit) {
            match self.volume.read_exact_at(page, at) {
                Err(error) if error.raw_os_error() == Some(nix::libc::EBADMSG) => page.fill(0),
                done => done?,
            }
            at += page.len() as u64;
        }
        Ok(())
    }

    fn program(&mut self, segment: usize, offset: usize, data: &[u8]) -> Result<(), FlashError> {
        let at = self.geometry.position(segment, offset, data.len())?;
        Ok(self.volume.write_all_at(data, at)?)
    }

    fn erase(&mut self, segment: usize) -> Result<(), FlashError> {
        let block = i32::try_from(segment).map_err(|_| FlashError(nix::libc::EINVAL))?;
        Ok(mtd::ubi_erase(&self.volume, block)?)
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        Ok(self.volume.sync_all()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_volume_is_found_by_its_name_and_must_be_large_enough() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = [
            ("ubi0_0", "rootfs", "dynamic", "126976", "100"),
            ("ubi0_1", "moorline", "dynamic", "126976", "2"),
            ("ubi0_2", "small", "dynamic", "15360", "8"),
            ("ubi0_3", "fixed", "static", "126976", "8"),
        ];
        for (entry, name, kind, block, blocks) in volumes {
            let path = dir.path().join("sys/class/ubi").join(entry);
            fs::create_dir_all(&path).unwrap();
            for (attribute, value) in
                [("name", name), ("type", kind), ("usable_eb_size", block), ("reserved_ebs", blocks)]
            {
                fs::write(path.join(attribute), format!("{value}\n")).unwrap();
            }
        }
        fs::create_dir_all(dir.path().join("sys/class/ubi/ubi0")).unwrap();
        fs::write(dir.path().join("sys/class/ubi/ubi0/min_io_size"), "2048\n").unwrap();
        let root = Root::simulated(dir.path().to_owned());
        let refused = |name| Ubi::open(&root, name, Access::Write).unwrap_err().to_string();
        assert_eq!(refused("other"), "there is no such UBI volume");
        assert!(refused("small").starts_with("it is too small"));
        assert_eq!(refused("fixed"), "it is a static volume");
        assert!(refused("moorline").contains("No such file"), "there is no device node in this tree");
    }
}
