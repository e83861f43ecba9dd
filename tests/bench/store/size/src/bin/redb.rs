//! redb.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use size::key;

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("kv");

fn main() -> std::io::Result<()> {
    run().map_err(|_| std::io::Error::other("store"))
}

fn run() -> Result<(), redb::Error> {
    let path = std::env::args_os().nth(1).unwrap_or_default();
    let database = Database::create(path)?;
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        table.insert(&key()[..], &key()[..])?;
        table.remove(&[0u8; 5][..])?;
    }
    transaction.commit()?;
    let transaction = database.begin_read()?;
    for entry in transaction.open_table(TABLE)?.iter()? {
        let (key, value) = entry?;
        println!("{:?} {:?}", key.value(), value.value());
    }
    Ok(())
}
