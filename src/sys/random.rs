//! The system's generator.

use ring::rand::{SecureRandom, SystemRandom};

use crate::random::Random;

/// getrandom(2), or /dev/urandom on kernels before 3.17.
#[derive(Debug)]
pub struct System(SystemRandom);

impl System {
    /// The one generator of the kernel.
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for System {
    #[expect(
        clippy::expect_used,
        reason = "a system without randomness must not make keys or codes; stopping is safe"
    )]
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out).expect("the kernel gives random bytes");
    }
}
