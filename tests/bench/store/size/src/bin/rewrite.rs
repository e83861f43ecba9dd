//! One file with a checksum, written anew each time.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use crc::{CRC_32_ISO_HDLC, Crc};
use size::key;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

fn main() -> std::io::Result<()> {
    let dir = PathBuf::from(std::env::args_os().nth(1).unwrap_or_default());
    let mut bytes = fs::read(dir.join("store")).unwrap_or_default();
    if let Some((body, sum)) = bytes.split_last_chunk() {
        assert!(CRC.checksum(body) == u32::from_le_bytes(*sum));
        bytes.truncate(bytes.len() - 4);
    }
    bytes.extend_from_slice(&key());
    bytes.extend_from_slice(&CRC.checksum(&bytes).to_le_bytes());
    let mut file = File::create(dir.join("store.new"))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(dir.join("store.new"), dir.join("store"))?;
    File::open(&dir)?.sync_all()?;
    println!("{bytes:?}");
    Ok(())
}
