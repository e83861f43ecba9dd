//! What the kernel shows of arrays: also a future one, or a disk's own words in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::array::mdstat;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let entries = mdstat::parse(&text);
    assert!(entries.len() <= text.lines().count());
});
