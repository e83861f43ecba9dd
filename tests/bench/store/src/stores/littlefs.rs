//! littlefs, one file a key: a file's content changes when it is closed, wholly or not at all.

use littlefs2::consts::{U2, U256, U2048};
use littlefs2::driver::Storage;
use littlefs2::fs::{Allocation, Filesystem};
use littlefs2::io::{Error, Result as FsResult};
use littlefs2::path::{Path, PathBuf};

use super::{Opened, Store, text};
use crate::medium::{Medium, NAND, NOR};
use crate::trace::{Key, Map, Step};

/// Largest value.
const VALUE_MAX: usize = 1024;

macro_rules! storage {
    ($name:ident, $shape:ident, $unit:literal, $cache:ty) => {
        struct $name(Medium);

        impl Storage for $name {
            const READ_SIZE: usize = $unit;
            const WRITE_SIZE: usize = $unit;
            const BLOCK_SIZE: usize = $shape.block;
            const BLOCK_COUNT: usize = $shape.blocks;
            // What its documentation suggests, so that metadata blocks move before they wear out.
            const BLOCK_CYCLES: isize = 500;
            type CACHE_SIZE = $cache;
            type LOOKAHEAD_SIZE = U2;

            fn read(&mut self, off: usize, buf: &mut [u8]) -> FsResult<usize> {
                self.0.read(off, buf).map(|()| buf.len()).map_err(|_| Error::IO)
            }

            fn write(&mut self, off: usize, data: &[u8]) -> FsResult<usize> {
                self.0.program(off, data).map(|()| data.len()).map_err(|_| Error::IO)
            }

            fn erase(&mut self, off: usize, len: usize) -> FsResult<usize> {
                let blocks = off / $shape.block..(off + len) / $shape.block;
                blocks.into_iter().try_for_each(|b| self.0.erase(b)).map(|()| len).map_err(|_| Error::IO)
            }
        }
    };
}

storage!(Nor, NOR, 16, U256);
storage!(Nand, NAND, 2048, U2048);

struct Mounted<S: Storage + 'static>(Filesystem<'static, S>);

fn mount<S: Storage + 'static>(storage: S, first: bool) -> Opened {
    // The file system borrows both for as long as it is mounted, which here is until the process ends.
    let storage = Box::leak(Box::new(storage));
    let allocation: &'static mut Allocation<S> = Box::leak(Box::new(Filesystem::allocate()));
    if first {
        Filesystem::format(storage).map_err(text)?;
    }
    Ok(Box::new(Mounted(Filesystem::mount(allocation, storage).map_err(text)?)))
}

/// On NOR.
pub fn nor(medium: Medium, first: bool) -> Opened {
    mount(Nor(medium), first)
}

/// On NAND.
pub fn nand(medium: Medium, first: bool) -> Opened {
    mount(Nand(medium), first)
}

fn name([table, rest @ ..]: &Key) -> PathBuf {
    let text = format!("{}{:08x}", char::from(*table), u32::from_be_bytes(*rest));
    PathBuf::try_from(text.as_str()).expect("nine letters are a name")
}

fn key(name: &str) -> Option<Key> {
    let number = u32::from_str_radix(name.get(1..)?, 16).ok()?;
    let [a, b, c, d] = number.to_be_bytes();
    Some([*name.as_bytes().first()?, a, b, c, d])
}

impl<S: Storage> Store for Mounted<S> {
    fn commit(&mut self, step: &Step) -> Result<(), String> {
        for (key, value) in &step.changes {
            match value {
                Some(value) => self.0.write(&name(key), value).map_err(text)?,
                None => self.0.remove(&name(key)).map_err(text)?,
            }
        }
        Ok(())
    }

    fn all(&mut self) -> Result<Map, String> {
        let root = Path::from_str_with_nul("/\0").map_err(text)?;
        let mut keys = Vec::new();
        self.0
            .read_dir_and_then(root, |entries| {
                for entry in entries {
                    let entry = entry?;
                    if entry.file_type().is_file() {
                        keys.push(key(entry.file_name().as_str()).ok_or(Error::CORRUPTION)?);
                    }
                }
                Ok(())
            })
            .map_err(text)?;
        let mut map = Map::new();
        for key in keys {
            let value = self.0.read::<VALUE_MAX>(&name(&key)).map_err(text)?;
            // A new file is there, empty, before its content is: the value was never written.
            if !value.is_empty() {
                map.insert(key, value.as_slice().into());
            }
        }
        Ok(map)
    }
}
