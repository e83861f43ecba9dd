//! littlefs.

use littlefs2::consts::{U2, U256};
use littlefs2::driver::Storage;
use littlefs2::fs::Filesystem;
use littlefs2::io::{Error, Result as FsResult};
use littlefs2::path;
use size::{BLOCK, BLOCKS, Chip, key};

struct Nor(Chip);

impl Storage for Nor {
    const READ_SIZE: usize = 16;
    const WRITE_SIZE: usize = 16;
    const BLOCK_SIZE: usize = BLOCK;
    const BLOCK_COUNT: usize = BLOCKS;
    const BLOCK_CYCLES: isize = 500;
    type CACHE_SIZE = U256;
    type LOOKAHEAD_SIZE = U2;
    fn read(&mut self, off: usize, buf: &mut [u8]) -> FsResult<usize> {
        self.0.read(off, buf).map(|()| buf.len()).map_err(|_| Error::IO)
    }
    fn write(&mut self, off: usize, data: &[u8]) -> FsResult<usize> {
        self.0.program(off, data).map(|()| data.len()).map_err(|_| Error::IO)
    }
    fn erase(&mut self, off: usize, len: usize) -> FsResult<usize> {
        let blocks = off / BLOCK..(off + len) / BLOCK;
        blocks.into_iter().try_for_each(|b| self.0.erase(b)).map(|()| len).map_err(|_| Error::IO)
    }
}

fn main() -> std::io::Result<()> {
    let failed = |_| std::io::Error::other("store");
    let mut chip = Nor(Chip::open()?);
    if !Filesystem::is_mountable(&mut chip) {
        Filesystem::format(&mut chip).map_err(failed)?;
    }
    let mut allocation = Filesystem::allocate();
    let fs = Filesystem::mount(&mut allocation, &mut chip).map_err(failed)?;
    fs.write(path!("d1"), &key()).map_err(failed)?;
    let _ = fs.remove(path!("p1"));
    fs.read_dir_and_then(path!("/"), |entries| {
        for entry in entries {
            println!("{}", entry?.file_name());
        }
        Ok(())
    })
    .map_err(failed)?;
    println!("{:?}", fs.read::<1024>(path!("d1")).map_err(failed)?);
    Ok(())
}
