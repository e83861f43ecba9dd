//! Randomness as cores see it: a generator that is handed in, so that tests can replay it.

/// A cryptographically strong generator.
pub trait Random {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);
}

impl<R: Random + ?Sized> Random for &mut R {
    fn fill(&mut self, out: &mut [u8]) {
        (**self).fill(out);
    }
}

/// `N` fresh bytes.
pub fn bytes<const N: usize>(random: &mut dyn Random) -> [u8; N] {
    let mut out = [0; N];
    random.fill(&mut out);
    out
}

/// A number below `bound` (0 if `bound` is 0), without noticeable bias for bounds far below 2^64.
pub fn below(random: &mut dyn Random, bound: u64) -> u64 {
    u64::from_le_bytes(bytes(random)).checked_rem(bound).unwrap_or(0)
}

/// Lends a [`Random`] to crates that want the traits of `rand_core`.
pub struct Lent<'a>(pub &'a mut dyn Random);

impl rand_core::RngCore for Lent<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(bytes(self.0))
    }
    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(bytes(self.0))
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

impl rand_core::CryptoRng for Lent<'_> {}

/// A generator for tests: repeatable, and worthless as a secret.
#[cfg(any(test, feature = "sim"))]
#[derive(Clone, Debug)]
pub struct Seeded(u64);

#[cfg(any(test, feature = "sim"))]
impl Seeded {
    /// The same `seed` gives the same bytes.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

#[cfg(any(test, feature = "sim"))]
impl Random for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        // SplitMix64.
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let word = (z ^ (z >> 31)).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(word) {
                *to = from;
            }
        }
    }
}
