//! redb: copy-on-write B-trees in one file.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::{Opened, Store, text};
use crate::trace::{Map, Step};

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("kv");
/// The usual limit is 1 GiB.
const CACHE: usize = 1024 * 1024;

struct Tables(Database);

/// In a directory; `check`: with every checksum verified.
pub fn open(dir: &Path, check: bool) -> Opened {
    let mut database =
        Database::builder().set_cache_size(CACHE).create(dir.join("store.redb")).map_err(text)?;
    if check {
        // `false`: something was wrong and was repaired, which may have gone back; who asks is told.
        if !database.check_integrity().map_err(text)? {
            return Err("check_integrity found damage".into());
        }
    }
    Ok(Box::new(Tables(database)))
}

impl Store for Tables {
    fn commit(&mut self, step: &Step) -> Result<(), String> {
        let mut transaction = self.0.begin_write().map_err(text)?;
        transaction.set_durability(Durability::Immediate).map_err(text)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(text)?;
            for (key, value) in &step.changes {
                match value {
                    Some(value) => table.insert(&key[..], &**value).map(drop).map_err(text)?,
                    None => table.remove(&key[..]).map(drop).map_err(text)?,
                }
            }
        }
        transaction.commit().map_err(text)
    }

    fn all(&mut self) -> Result<Map, String> {
        let transaction = self.0.begin_read().map_err(text)?;
        let table = match transaction.open_table(TABLE) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Map::new()),
            other => other.map_err(text)?,
        };
        let mut map = Map::new();
        for entry in table.iter().map_err(text)? {
            let (key, value) = entry.map_err(text)?;
            map.insert(key.value().try_into().map_err(text)?, value.value().into());
        }
        Ok(map)
    }
}
