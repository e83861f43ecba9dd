//! sequential-storage's map.

use embedded_storage_async::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};
use sequential_storage::cache::Cache;
use sequential_storage::cache::key_pointers::HeapKeyPointers;
use sequential_storage::cache::page_pointers::HeapPagePointers;
use sequential_storage::cache::page_states::HeapPageStates;
use sequential_storage::map::{MapConfig, MapStorage};

use super::{Opened, Store, text};
use crate::medium::{Medium, NOR, Outside};
use crate::now::now;
use crate::trace::{Key, Map, Step};

/// Largest key with value.
const BUFFER: usize = 1024;
/// Keys whose place is remembered.
const KEYS: usize = 64;

impl ErrorType for Medium {
    type Error = Outside;
}

impl ReadNorFlash for Medium {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Outside> {
        Medium::read(self, offset as usize, bytes)
    }

    fn capacity(&self) -> usize {
        NOR.block * NOR.blocks
    }
}

impl NorFlash for Medium {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = NOR.block;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Outside> {
        (from as usize / NOR.block..to as usize / NOR.block).try_for_each(|b| Medium::erase(self, b))
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Outside> {
        self.program(offset as usize, bytes)
    }
}

// Serial NOR lets bits of a word be cleared later.
impl MultiwriteNorFlash for Medium {}

type Pointers = Cache<HeapPageStates, HeapPagePointers, HeapKeyPointers<Key>, Key>;

struct Items {
    map: MapStorage<Key, Medium, Pointers>,
    buffer: Box<[u8; BUFFER]>,
}

/// On NOR: a word of 2,048 bytes is more than it can (`MAX_WORD_SIZE` is 32), and it wants words that can be written twice.
pub fn open(medium: Medium) -> Opened {
    let cache = Cache::new(
        HeapPageStates::new(NOR.blocks),
        HeapPagePointers::new(NOR.blocks),
        HeapKeyPointers::new(KEYS),
    );
    let config = const { MapConfig::new(0..(NOR.block * NOR.blocks) as u32) };
    Ok(Box::new(Items { map: MapStorage::new(medium, config, cache), buffer: Box::new([0; BUFFER]) }))
}

impl Store for Items {
    fn commit(&mut self, step: &Step) -> Result<(), String> {
        for (key, value) in &step.changes {
            match value {
                Some(value) => now(self.map.store_item(&mut *self.buffer, key, &&**value)).map_err(text)?,
                None => now(self.map.remove_item(&mut *self.buffer, key)).map_err(text)?,
            }
        }
        Ok(())
    }

    fn all(&mut self) -> Result<Map, String> {
        let mut map = Map::new();
        let mut items = now(self.map.fetch_all_items(&mut *self.buffer)).map_err(text)?;
        // Later items replace earlier ones of the same key.
        while let Some((key, value)) = now(items.next::<&[u8]>(&mut *self.buffer)).map_err(text)? {
            map.insert(key, value.into());
        }
        Ok(map)
    }
}
