//! What the kernel shows of arrays: also a future one, or a disk's own words in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::array::state::{Expectation, understand};
use moorline::array::sysfs::Texts;
use moorline::array::{event, mdstat};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let entries = mdstat::parse(&text);
    assert!(entries.len() <= text.lines().count().min(mdstat::ARRAYS_MAX));
    let understood = |entry: &mdstat::Entry, texts| understand(&entry.name, texts, Some(entry), &Expectation::default());
    let arrays: Vec<_> = entries.iter().filter_map(|e| understood(e, Texts::default())).collect();
    assert_eq!(arrays.len(), entries.len(), "one hides another");
    for (entry, array) in entries.iter().zip(&arrays) {
        // What /proc/mdstat says is not at odds with itself.
        let again = understood(entry, Texts::from_mdstat(entry)).expect("it has a state");
        assert_eq!((&again.state, &again.members), (&array.state, &array.members));
        assert!(array.disks_working <= array.disks_wanted);
    }
    let _ = (event::at_first(&arrays), event::between(&[], &arrays), event::between(&arrays, &[]));
});
