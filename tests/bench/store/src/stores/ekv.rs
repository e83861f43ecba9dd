//! ekv: an LSM tree with transactions on NOR.

use ekv::flash::{Flash, PageID};
use ekv::{Config, Database};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;

use super::{Opened, Store, text};
use crate::medium::{Medium, NOR, Outside};
use crate::now::now;
use crate::trace::{Map, Step};

struct Pages(Medium);

impl Flash for Pages {
    type Error = Outside;

    fn page_count(&self) -> usize {
        NOR.blocks
    }

    async fn erase(&mut self, page: PageID) -> Result<(), Outside> {
        self.0.erase(page.index())
    }

    async fn read(&mut self, page: PageID, offset: usize, data: &mut [u8]) -> Result<(), Outside> {
        self.0.read(page.index() * NOR.block + offset, data)
    }

    async fn write(&mut self, page: PageID, offset: usize, data: &[u8]) -> Result<(), Outside> {
        self.0.program(page.index() * NOR.block + offset, data)
    }
}

struct Tree(Box<Database<Pages, NoopRawMutex>>);

/// On NOR: it aligns to 4 bytes at most and has pages of 64 KiB at most, so a NAND is out of its reach.
pub fn open(medium: Medium, first: bool) -> Opened {
    let mut config = Config::default();
    config.random_seed = 1;
    let database = Box::new(Database::new(Pages(medium), config));
    if first {
        now(database.format()).map_err(text)?;
    }
    now(database.mount()).map_err(text)?;
    Ok(Box::new(Tree(database)))
}

impl Store for Tree {
    fn commit(&mut self, step: &Step) -> Result<(), String> {
        // "Keys must be written in ascending order."
        let mut changes: Vec<_> = step.changes.iter().collect();
        changes.sort_by_key(|(key, _)| *key);
        let mut transaction = now(self.0.write_transaction());
        for (key, value) in changes {
            match value {
                Some(value) => now(transaction.write(key, value)).map_err(text)?,
                None => now(transaction.delete(key)).map_err(text)?,
            }
        }
        now(transaction.commit()).map_err(text)
    }

    fn all(&mut self) -> Result<Map, String> {
        let transaction = now(self.0.read_transaction());
        let mut cursor = now(transaction.read_all()).map_err(text)?;
        let (mut key, mut value) = ([0; ekv::config::MAX_KEY_SIZE], [0; ekv::config::MAX_VALUE_SIZE]);
        let mut map = Map::new();
        while let Some((k, v)) = now(cursor.next(&mut key, &mut value)).map_err(text)? {
            let key = key[..k].try_into().map_err(text)?;
            map.insert(key, value[..v].into());
        }
        Ok(map)
    }
}
