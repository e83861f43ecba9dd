//! SQLite, as rusqlite bundles it.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{Opened, Store, text};
use crate::trace::{Map, Step};

struct Rows(Connection);

fn open(dir: &Path, check: bool, pragmas: &str) -> Opened {
    let connection = Connection::open(dir.join("store.db")).map_err(text)?;
    connection.execute_batch(pragmas).map_err(text)?;
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID")
        .map_err(text)?;
    if check {
        let word: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(text)?;
        if word != "ok" {
            return Err(word);
        }
    }
    Ok(Box::new(Rows(connection)))
}

/// Write-ahead log. One process has the database, so the log's index need not be shared.
pub fn wal(dir: &Path, check: bool) -> Opened {
    open(dir, check, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
}

/// The same with smaller pages.
pub fn wal_1k(dir: &Path, check: bool) -> Opened {
    let pragmas = "PRAGMA page_size=1024; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL";
    open(dir, check, pragmas)
}

/// Rollback journal.
pub fn delete(dir: &Path, check: bool) -> Opened {
    open(dir, check, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL")
}

/// Rollback journal, with the directory synced once more.
pub fn delete_extra(dir: &Path, check: bool) -> Opened {
    open(dir, check, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA")
}

impl Store for Rows {
    fn commit(&mut self, step: &Step) -> Result<(), String> {
        let transaction = self.0.transaction().map_err(text)?;
        for (key, value) in &step.changes {
            match value {
                Some(value) => transaction
                    .prepare_cached("INSERT OR REPLACE INTO kv (k, v) VALUES (?, ?)")
                    .and_then(|mut s| s.execute(params![&key[..], &**value])),
                None => transaction
                    .prepare_cached("DELETE FROM kv WHERE k = ?")
                    .and_then(|mut s| s.execute(params![&key[..]])),
            }
            .map_err(text)?;
        }
        transaction.commit().map_err(text)
    }

    fn all(&mut self) -> Result<Map, String> {
        let mut statement = self.0.prepare("SELECT k, v FROM kv ORDER BY k").map_err(text)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .map_err(text)?;
        let mut map = Map::new();
        for row in rows {
            let (key, value) = row.map_err(text)?;
            map.insert(key.try_into().map_err(text)?, value.into());
        }
        Ok(map)
    }

    fn own_memory(&self) -> u64 {
        // SAFETY: reads a counter; SQLite is initialised, since a connection is open.
        u64::try_from(unsafe { rusqlite::ffi::sqlite3_memory_highwater(0) }).unwrap_or(0)
    }
}
