//! Configurations and board files: complaints with line and column, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::board::description;
use moorline::config::parse;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Err(faults) = parse::parse(&text) {
        assert!(!faults.is_empty());
    }
    if let Err(faults) = description::parse(&text) {
        assert!(!faults.is_empty());
    }
});
