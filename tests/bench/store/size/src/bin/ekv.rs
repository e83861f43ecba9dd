//! ekv.

use ekv::flash::{Flash, PageID};
use ekv::{Config, Database};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use size::{BLOCK, BLOCKS, Chip, key, now};

struct Pages(Chip);

impl Flash for Pages {
    type Error = std::io::Error;
    fn page_count(&self) -> usize {
        BLOCKS
    }
    async fn erase(&mut self, page: PageID) -> Result<(), Self::Error> {
        self.0.erase(page.index())
    }
    async fn read(&mut self, page: PageID, offset: usize, data: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(page.index() * BLOCK + offset, data)
    }
    async fn write(&mut self, page: PageID, offset: usize, data: &[u8]) -> Result<(), Self::Error> {
        self.0.program(page.index() * BLOCK + offset, data)
    }
}

fn main() -> std::io::Result<()> {
    fn failed<E>(_: E) -> std::io::Error {
        std::io::Error::other("store")
    }
    let database = Box::new(Database::<_, NoopRawMutex>::new(Pages(Chip::open()?), Config::default()));
    if now(database.mount()).is_err() {
        now(database.format()).map_err(failed)?;
    }
    let mut transaction = now(database.write_transaction());
    now(transaction.write(&key(), &key())).map_err(failed)?;
    now(transaction.delete(&[0xff; 5])).map_err(failed)?;
    now(transaction.commit()).map_err(failed)?;
    let transaction = now(database.read_transaction());
    let mut cursor = now(transaction.read_all()).map_err(failed)?;
    let (mut key, mut value) = ([0; 64], [0; 1024]);
    while let Some((k, v)) = now(cursor.next(&mut key, &mut value)).map_err(failed)? {
        println!("{:?} {:?}", &key[..k], &value[..v]);
    }
    Ok(())
}
