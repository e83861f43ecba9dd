//! Payloads as a ledger reads them: never a panic, and whatever it takes it can write down and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::pairing::ledger::{self, Ledger};

fuzz_target!(|data: &[u8]| {
    let mut ledger = Ledger::default();
    let mut rest = data;
    while let Some((length, more)) = rest.split_first() {
        let (payload, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        let _ = ledger::words(payload);
        if ledger.replay(payload).is_err() {
            return;
        }
    }
    let mut again = Ledger::default();
    let copied = ledger.snapshot(&mut |part: &[u8]| again.replay(part).map_err(|_| ()));
    assert!(copied.is_ok(), "a snapshot is read by its own reader");
    assert_eq!(again.devices(), ledger.devices());
});
