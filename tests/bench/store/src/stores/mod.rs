//! moorline's log and its peers behind one small interface, each used as its documentation says.

pub mod ekv;
pub mod littlefs;
pub mod merged;
pub mod moorline;
pub mod redb;
pub mod rewrite;
pub mod sequential;
pub mod sqlite;

use std::path::Path;

use crate::medium::{Medium, NAND, NOR, Shape};
use crate::trace::{Map, Step};

/// An open store.
pub trait Store {
    /// Writes one transaction; `Ok` means that it will survive.
    fn commit(&mut self, step: &Step) -> Result<(), String>;
    /// Everything that is in it.
    fn all(&mut self) -> Result<Map, String>;
    /// The most memory that it took from an allocator of its own (SQLite's); 0 if it uses Rust's or none.
    fn own_memory(&self) -> u64 {
        0
    }
}

/// An open store, or why not.
pub type Opened = Result<Box<dyn Store>, String>;

/// Where it keeps its bytes, and how it is opened there; `true`: for the first time, on blank flash.
#[derive(Clone, Copy)]
pub enum Home {
    Flash(Shape, fn(Medium, bool) -> Opened),
    /// `true`: with all the checks that it offers for its files.
    Files(fn(&Path, bool) -> Opened),
}

/// A store and how it is set up.
#[derive(Clone, Copy)]
pub struct Peer {
    /// For the command line.
    pub id: &'static str,
    pub title: &'static str,
    /// The name of its crate in Cargo.lock; empty: part of this repository.
    pub package: &'static str,
    /// Bin of `size/` that has it in it.
    pub size: &'static str,
    pub setting: &'static str,
    pub home: Home,
}

/// The two blocks that moorline needs.
const NAND_PAIR: Shape = Shape { blocks: 2, ..NAND };

pub const PEERS: [Peer; 19] = [
    Peer {
        id: "moorline-nor",
        title: "moorline",
        package: "",
        size: "moorline-flash",
        setting: "2 segments of 64 KiB, P = 16, as it ships for files",
        home: Home::Flash(NOR, |m, _| moorline::flash(m, 2, 16)),
    },
    Peer {
        id: "moorline-nor-4",
        title: "moorline, P = 4",
        package: "",
        size: "moorline-flash",
        setting: "2 segments of 64 KiB, P = 4: the unit that sequential-storage and ekv have here",
        home: Home::Flash(NOR, |m, _| moorline::flash(m, 2, 4)),
    },
    Peer {
        id: "moorline-nor-small",
        title: "moorline, 4 segments, P = 4",
        package: "",
        size: "moorline-flash",
        setting: "4 segments of 32 KiB, P = 4: too small for its largest state (32 KiB), large enough for this trace",
        home: Home::Flash(NOR, |m, _| moorline::flash(m, 4, 4)),
    },
    Peer {
        id: "sequential-nor",
        title: "sequential-storage",
        package: "sequential-storage",
        size: "sequential",
        setting: "map, words of 4 bytes, all caches, `remove_item`; no transactions: puts first, then removals",
        home: Home::Flash(NOR, |m, _| sequential::open(m)),
    },
    Peer {
        id: "sequential-nor-merged",
        title: "sequential-storage, key a device",
        package: "sequential-storage",
        size: "sequential",
        setting: "the same, but a device keeps one key, so that most transactions change one key",
        home: Home::Flash(NOR, |m, _| merged::merged(sequential::open(m))),
    },
    Peer {
        id: "ekv-nor",
        title: "ekv",
        package: "ekv",
        size: "ekv",
        setting: "pages of 4 KiB, align 4, CRC on; write transactions",
        home: Home::Flash(NOR, ekv::open),
    },
    Peer {
        id: "littlefs-nor",
        title: "littlefs",
        package: "littlefs2",
        size: "littlefs",
        setting: "a file a key, an empty one counts as none, program 16, cache 256, block 4 KiB, block_cycles 500; no transactions",
        home: Home::Flash(NOR, littlefs::nor),
    },
    Peer {
        id: "littlefs-nor-merged",
        title: "littlefs, file a device",
        package: "littlefs2",
        size: "littlefs",
        setting: "the same, but a device keeps one file",
        home: Home::Flash(NOR, |m, first| merged::merged(littlefs::nor(m, first))),
    },
    Peer {
        id: "moorline-nand",
        title: "moorline, 2 blocks",
        package: "",
        size: "moorline-flash",
        setting: "2 segments of 128 KiB, P = 2048",
        home: Home::Flash(NAND_PAIR, |m, _| moorline::flash(m, 2, 2048)),
    },
    Peer {
        id: "moorline-nand-8",
        title: "moorline, 8 blocks",
        package: "",
        size: "moorline-flash",
        setting: "8 segments of 128 KiB, P = 2048: the room that littlefs has here",
        home: Home::Flash(NAND, |m, _| moorline::flash(m, 8, 2048)),
    },
    Peer {
        id: "littlefs-nand",
        title: "littlefs, 8 blocks",
        package: "littlefs2",
        size: "littlefs",
        setting: "a file a key, program and cache 2048, block 128 KiB, block_cycles 500",
        home: Home::Flash(NAND, littlefs::nand),
    },
    Peer {
        id: "littlefs-nand-merged",
        title: "littlefs, 8 blocks, file a device",
        package: "littlefs2",
        size: "littlefs",
        setting: "the same, but a device keeps one file",
        home: Home::Flash(NAND, |m, first| merged::merged(littlefs::nand(m, first))),
    },
    Peer {
        id: "moorline-files",
        title: "moorline",
        package: "",
        size: "moorline-files",
        setting: "2 files of 64 KiB, P = 16, as it ships",
        home: Home::Files(|d, _| moorline::files(d)),
    },
    Peer {
        id: "sqlite-wal",
        title: "SQLite, WAL",
        package: "rusqlite",
        size: "sqlite",
        setting: "journal_mode=WAL, synchronous=FULL, locking_mode=EXCLUSIVE, pages of 4 KiB; WITHOUT ROWID; crash images with integrity_check, as for all SQLite here",
        home: Home::Files(sqlite::wal),
    },
    Peer {
        id: "sqlite-wal-1k",
        title: "SQLite, WAL, 1 KiB",
        package: "rusqlite",
        size: "sqlite",
        setting: "the same with pages of 1 KiB",
        home: Home::Files(sqlite::wal_1k),
    },
    Peer {
        id: "sqlite-delete",
        title: "SQLite, DELETE",
        package: "rusqlite",
        size: "sqlite",
        setting: "journal_mode=DELETE, synchronous=FULL, pages of 4 KiB",
        home: Home::Files(sqlite::delete),
    },
    Peer {
        id: "sqlite-delete-extra",
        title: "SQLite, DELETE, EXTRA",
        package: "rusqlite",
        size: "sqlite",
        setting: "journal_mode=DELETE, synchronous=EXTRA: the directory is synced after the journal is gone",
        home: Home::Files(sqlite::delete_extra),
    },
    Peer {
        id: "redb",
        title: "redb",
        package: "redb",
        size: "redb",
        setting: "Durability::Immediate, cache 1 MiB; crash images with check_integrity, whose `false` counts as an error",
        home: Home::Files(redb::open),
    },
    Peer {
        id: "rewrite",
        title: "rewrite and rename",
        package: "",
        size: "rewrite",
        setting: "everything in one file with a CRC-32: write beside, fsync, rename, fsync of the directory",
        home: Home::Files(|d, _| rewrite::open(d)),
    },
];

/// An error as text.
pub fn text<E: std::fmt::Debug>(error: E) -> String {
    format!("{error:?}")
}
