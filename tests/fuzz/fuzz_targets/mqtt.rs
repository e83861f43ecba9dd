//! What a broker, or somebody in its place, sends: packets of both protocols, alone and inside WebSocket frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::session::packet::Level;
use moorline::session::websocket::{self, Frames};
use moorline::session::wire::Framer;

fuzz_target!(|data: &[u8]| {
    let Some((how, bytes)) = data.split_first() else { return };
    let mut stream = Vec::new();
    if how & 1 == 0 {
        stream.extend_from_slice(bytes);
    } else {
        let _ = websocket::response(bytes, [7; 16]);
        let mut frames = Frames::default();
        for chunk in bytes.chunks(usize::from(how >> 2) + 1) {
            if frames.handle_bytes(chunk, &mut stream).is_err() {
                break;
            }
            let mut pong = Vec::new();
            frames.poll_pong([1, 2, 3, 4], &mut pong);
            assert!(pong.len() < 200);
        }
        assert!(stream.len() <= bytes.len());
    }
    let mut framer = Framer::default();
    framer.speak(if how & 2 == 0 { Level::V5 } else { Level::V311 });
    for chunk in stream.chunks(usize::from(how >> 2) + 1) {
        framer.push(chunk);
        loop {
            match framer.pull() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
