//! SQLite, as rusqlite bundles it.

use rusqlite::{Connection, params};
use size::key;

fn main() -> std::io::Result<()> {
    run().map_err(|_| std::io::Error::other("store"))
}

fn run() -> rusqlite::Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or_default();
    let mut connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")?;
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID")?;
    let transaction = connection.transaction()?;
    transaction.execute("INSERT OR REPLACE INTO kv (k, v) VALUES (?, ?)", params![&key()[..], &key()[..]])?;
    transaction.execute("DELETE FROM kv WHERE k = ?", params![&[0u8; 5][..]])?;
    transaction.commit()?;
    let mut statement = connection.prepare("SELECT v FROM kv")?;
    for row in statement.query_map([], |row| row.get::<_, Vec<u8>>(0))? {
        println!("{:?}", row?);
    }
    Ok(())
}
