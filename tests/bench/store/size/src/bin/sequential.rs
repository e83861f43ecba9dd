//! sequential-storage's map.

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};
use sequential_storage::cache::Cache;
use sequential_storage::cache::key_pointers::HeapKeyPointers;
use sequential_storage::cache::page_pointers::HeapPagePointers;
use sequential_storage::cache::page_states::HeapPageStates;
use sequential_storage::map::{MapConfig, MapStorage};
use size::{BLOCK, BLOCKS, Chip, key, now};

struct Words(Chip);

fn failed(_: std::io::Error) -> NorFlashErrorKind {
    NorFlashErrorKind::Other
}

impl ErrorType for Words {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Words {
    const READ_SIZE: usize = 1;
    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset as usize, bytes).map_err(failed)
    }
    fn capacity(&self) -> usize {
        BLOCK * BLOCKS
    }
}

impl NorFlash for Words {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = BLOCK;
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        (from as usize / BLOCK..to as usize / BLOCK).try_for_each(|b| self.0.erase(b)).map_err(failed)
    }
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.program(offset as usize, bytes).map_err(failed)
    }
}

impl MultiwriteNorFlash for Words {}

fn main() -> std::io::Result<()> {
    let failed = |_| std::io::Error::other("store");
    let cache: Cache<_, _, _, [u8; 5]> =
        Cache::new(HeapPageStates::new(BLOCKS), HeapPagePointers::new(BLOCKS), HeapKeyPointers::new(64));
    let config = const { MapConfig::new(0..(BLOCK * BLOCKS) as u32) };
    let mut map = MapStorage::<[u8; 5], _, _>::new(Words(Chip::open()?), config, cache);
    let buffer = &mut [0; 1024];
    now(map.store_item(buffer, &key(), &&key()[..])).map_err(failed)?;
    now(map.remove_item(buffer, &[0; 5])).map_err(failed)?;
    let mut items = now(map.fetch_all_items(buffer)).map_err(failed)?;
    while let Some((key, value)) = now(items.next::<&[u8]>(buffer)).map_err(failed)? {
        println!("{key:?} {value:?}");
    }
    Ok(())
}
