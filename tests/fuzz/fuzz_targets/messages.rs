//! What phones, and strangers, send through the broker or to the door: pairing messages, greetings, knocks, notices.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use moorline::identity::Identity;
use moorline::pairing::handshake::{ToNas, ToPhone, decode};
use moorline::pairing::notice::{Knock, Notice};
use moorline::remote::visit;
use moorline::session::presence;

static NAS: LazyLock<Identity> = LazyLock::new(|| {
    let key = Identity::generate_pkcs8().expect("the system has randomness");
    Identity::from_pkcs8(&key).expect("a fresh key is a key")
});

fuzz_target!(|data: &[u8]| {
    let _ = decode::<ToNas>(data);
    let _ = decode::<ToPhone>(data);
    let _ = presence::instance_of(data);
    if let Some(greeting) = data.first_chunk() {
        let _ = visit::mailbox(*greeting);
    }
    // Nobody signs by chance.
    assert!(Knock::open(data, &NAS.id()).is_err());
    assert!(Notice::open(data, &NAS.public(), &NAS.id()).is_err());
});
