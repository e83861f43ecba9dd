//! Headers and frames, and the look into an image: never a panic; what validates reads back as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::store::frame::Header;
use moorline::store::inspect::{inspect, split};

fuzz_target!(|data: &[u8]| {
    if let Some(header) = Header::decode(data) {
        assert_eq!(Header::decode(&header.encode()), Some(header));
        for offset in (0..data.len()).step_by(8) {
            if let Some(frame) = header.parse(data, offset) {
                let mut again = vec![0; offset];
                again.extend(header.frame(offset, frame));
                assert_eq!(header.parse(&again, offset), Some(frame));
            }
        }
    }
    let words = |payload: &[u8]| (payload.len() % 2 == 0).then(String::new);
    let _ = inspect(&split("x", data, 512), &words);
    let _ = inspect(&[("x".to_owned(), data.to_vec())], &words);
});
