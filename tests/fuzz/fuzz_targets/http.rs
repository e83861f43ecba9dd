//! What a caller of the control socket sends: whole or in parts, it is understood or refused with an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::control::access::Rights;
use moorline::control::http::{Parsed, Response, parse};
use moorline::control::route::{Raw, understand};

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Ok(Parsed::Whole(request, taken)) => {
            assert!(taken <= data.len());
            let raw = Raw {
                method: &request.method,
                path: &request.path,
                query: &request.query,
                body: &request.body,
                last_event_id: request.last_event_id.as_deref(),
            };
            for rights in [Rights::Reader, Rights::Administrator] {
                if let Err(refused) = understand(&raw, rights) {
                    assert!(Response::problem(&refused).encode(request.head, request.close).starts_with(b"HTTP/1.1 "));
                }
            }
        }
        Ok(Parsed::Partial { .. }) => {}
        Err(refused) => assert!(Response::problem(&refused).encode(false, true).starts_with(b"HTTP/1.1 ")),
    }
});
