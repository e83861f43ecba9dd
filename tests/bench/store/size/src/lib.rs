//! A flash chip that is a file, and futures that never wait: what every program here has in it, the empty one too.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Bytes erased at once.
pub const BLOCK: usize = 4096;
/// How many of them.
pub const BLOCKS: usize = 32;

/// The file.
pub struct Chip(pub File);

impl Chip {
    /// Opens the file that the command line names.
    pub fn open() -> io::Result<Self> {
        let path = std::env::args_os().nth(1).unwrap_or_default();
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map(Self)
    }

    pub fn read(&self, at: usize, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, at as u64)
    }

    pub fn program(&self, at: usize, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, at as u64)
    }

    pub fn erase(&self, block: usize) -> io::Result<()> {
        self.0.write_all_at(&[0xff; BLOCK], (block * BLOCK) as u64)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// The key of this round.
pub fn key() -> [u8; 5] {
    let length = std::env::args_os().count() as u8;
    [b'd', 0, 0, 0, length]
}

/// What a future comes to, at once.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
