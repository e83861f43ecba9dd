//! For stores that change one key at a time: a device keeps its key for as long as it is in any table, so that redeeming a
//! code and removing a device change one key. What still changes several: a new code (with the next number), and forgetting
//! several removals.

use moorline::pairing::record::Device;

use super::{Opened, Store, text};
use crate::trace::{Key, Map, Step, table};

struct Merged(Box<dyn Store>);

/// `store` with a key a device.
pub fn merged(store: Opened) -> Opened {
    Ok(Box::new(Merged(store?)))
}

/// The table of all devices.
const ANY: u8 = b'e';

const fn merge([table, a, b, c, d]: Key) -> Key {
    let table = if matches!(table, b'p' | b'd' | b'r') { ANY } else { table };
    [table, a, b, c, d]
}

impl Store for Merged {
    fn commit(&mut self, step: &Step) -> Result<(), String> {
        let mut changes = Vec::new();
        for (key, value) in &step.changes {
            let key = merge(*key);
            // What leaves one table for another is no removal. Puts come before removals.
            if !changes.iter().any(|(known, _)| *known == key) {
                changes.push((key, value.clone()));
            }
        }
        self.0.commit(&Step { payload: Vec::new(), changes })
    }

    fn all(&mut self) -> Result<Map, String> {
        let mut map = Map::new();
        for ([of, a, b, c, d], value) in self.0.all()? {
            let of = match of {
                ANY => table(&postcard::from_bytes::<Device>(&value).map_err(text)?),
                other => other,
            };
            map.insert([of, a, b, c, d], value);
        }
        Ok(map)
    }

    fn own_memory(&self) -> u64 {
        self.0.own_memory()
    }
}
