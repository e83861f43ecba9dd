//! All keys in one file that is written anew: beside the old one, fsync, rename, fsync of the directory.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crc::{CRC_32_ISO_HDLC, Crc};

use super::{Opened, Store, text};
use crate::trace::{Map, Step};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

struct Whole {
    dir: PathBuf,
    map: Map,
}

/// In a directory.
pub fn open(dir: &Path) -> Opened {
    let map = match fs::read(dir.join("store")) {
        Ok(bytes) => parse(&bytes).ok_or("the checksum is wrong")?,
        Err(error) if error.kind() == ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(text(error)),
    };
    Ok(Box::new(Whole { dir: dir.to_owned(), map }))
}

fn parse(bytes: &[u8]) -> Option<Map> {
    let (body, sum) = bytes.split_last_chunk()?;
    if CRC.checksum(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = body;
    let mut map = Map::new();
    while let Some((key, after)) = rest.split_first_chunk() {
        let (length, after) = after.split_first_chunk()?;
        let (value, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        map.insert(*key, value.into());
        rest = after;
    }
    rest.is_empty().then_some(map)
}

impl Store for Whole {
    fn commit(&mut self, step: &Step) -> Result<(), String> {
        let mut map = self.map.clone();
        for (key, value) in &step.changes {
            match value {
                Some(value) => map.insert(*key, value.clone()),
                None => map.remove(key),
            };
        }
        let mut bytes = Vec::new();
        for (key, value) in &map {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        bytes.extend_from_slice(&CRC.checksum(&bytes).to_le_bytes());
        let beside = self.dir.join("store.new");
        let mut file = File::create(&beside).map_err(text)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(text)?;
        fs::rename(&beside, self.dir.join("store")).map_err(text)?;
        File::open(&self.dir).and_then(|d| d.sync_all()).map_err(text)?;
        self.map = map;
        Ok(())
    }

    fn all(&mut self) -> Result<Map, String> {
        Ok(self.map.clone())
    }
}
