//! Activation codes: alphabet, check symbol, what people type, and what is shown. A core.
//!
//! ```text
//! R R R R - R S S S - S S S C      R rendezvous (25 bits), S secret (30 bits), C check
//! ```
//! Symbols are Crockford's base32 (<https://www.crockford.com/base32.html>): no I, L, O, U. The check symbol is the
//! weighted sum of the others modulo 31 with weights that differ, so that every single wrong symbol but one value pair
//! and every swap of neighbours is found; the phone finds a typing mistake by itself and it costs no guess.

use core::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::random::{self, Random};

/// Symbols of a code, the check symbol included.
pub const SYMBOLS: usize = 12;
/// Symbols that name the mailbox at the broker.
pub const RENDEZVOUS_SYMBOLS: usize = 5;
const SECRET_END: usize = 11;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Longest input that is looked at, in bytes: twelve symbols with generous blanks and dashes.
const INPUT_MAX: usize = 64;

/// An activation code. It has no `Display` and its `Debug` shows nothing: [`Code::reveal`] is the only way out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(try_from = "[u8; SYMBOLS]", into = "[u8; SYMBOLS]")]
pub struct Code([u8; SYMBOLS]);

/// The public half of a code: names the pairing mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rendezvous([u8; RENDEZVOUS_SYMBOLS]);

/// Why what was typed is not a code. Found before anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Too few or too many symbols.
    #[error("a code has 12 symbols, this has {0}")]
    Length(usize),
    /// A character that no code contains.
    #[error("'{0}' is not part of any code")]
    Symbol(char),
    /// The check symbol does not fit: a typing mistake.
    #[error("the last symbol does not fit the others: one of them is mistyped")]
    Check,
}

impl Code {
    /// A fresh code.
    pub fn mint(random: &mut dyn Random) -> Self {
        let mut symbols = [0u8; SYMBOLS];
        let drawn: [u8; SECRET_END] = random::bytes(random);
        for (symbol, byte) in symbols.iter_mut().zip(drawn) {
            *symbol = byte & 31;
        }
        set_check(&mut symbols);
        Self(symbols)
    }

    /// Reads what a person typed: any case, blanks and dashes ignored, O as 0, I and L as 1.
    ///
    /// # Errors
    /// [`CodeError`], naming what is wrong.
    pub fn parse(input: &str) -> Result<Self, CodeError> {
        let mut symbols = [0u8; SYMBOLS];
        let mut count = 0;
        for c in input.chars().take(INPUT_MAX).filter(|c| !c.is_whitespace() && *c != '-') {
            let value = value_of(c).ok_or(CodeError::Symbol(c))?;
            if let Some(slot) = symbols.get_mut(count) {
                *slot = value;
            }
            count += 1;
        }
        if count != SYMBOLS {
            return Err(CodeError::Length(count));
        }
        Self::try_from(symbols)
    }

    /// `XXXX-XXXX-XXXX`, for the one who may see it.
    pub fn reveal(&self) -> String {
        let mut shown = String::with_capacity(SYMBOLS + 2);
        for (i, symbol) in self.0.iter().enumerate() {
            if i > 0 && i % 4 == 0 {
                shown.push('-');
            }
            shown.push(char::from(letter(*symbol)));
        }
        shown
    }

    /// The half that names the mailbox.
    pub fn rendezvous(&self) -> Rendezvous {
        let mut symbols = [0; RENDEZVOUS_SYMBOLS];
        for (to, from) in symbols.iter_mut().zip(self.0) {
            *to = from;
        }
        Rendezvous(symbols)
    }

    /// The half that only the two ends know.
    pub fn secret(&self) -> &[u8] {
        self.0.get(RENDEZVOUS_SYMBOLS..SECRET_END).unwrap_or_default()
    }
}

impl Rendezvous {
    /// The mailbox's topic level: five symbols.
    pub fn name(&self) -> heapless::String<RENDEZVOUS_SYMBOLS> {
        self.0.iter().map(|symbol| char::from(letter(*symbol))).collect()
    }
}

impl TryFrom<[u8; SYMBOLS]> for Code {
    type Error = CodeError;

    fn try_from(symbols: [u8; SYMBOLS]) -> Result<Self, CodeError> {
        let mut expected = symbols;
        set_check(&mut expected);
        if symbols.iter().all(|s| *s < 32) && expected == symbols {
            Ok(Self(symbols))
        } else {
            Err(CodeError::Check)
        }
    }
}

impl From<Code> for [u8; SYMBOLS] {
    fn from(code: Code) -> Self {
        code.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// The last symbol from the others. Weights 1 to 11 are units modulo 31, and neighbours differ by 1: a wrong symbol
/// changes the sum unless the two values differ by 31, a swap of neighbours unless they are equal modulo 31.
fn set_check(symbols: &mut [u8; SYMBOLS]) {
    let sum: u32 =
        symbols.iter().take(SECRET_END).zip(1u32..).map(|(s, weight)| u32::from(*s) * weight).sum();
    if let Some(last) = symbols.last_mut() {
        *last = u8::try_from(sum % 31).unwrap_or(0);
    }
}

fn letter(symbol: u8) -> u8 {
    ALPHABET.get(usize::from(symbol)).copied().unwrap_or(b'?')
}

fn value_of(c: char) -> Option<u8> {
    let c = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = ALPHABET.iter().position(|a| char::from(*a) == c)?;
    u8::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;

    #[test]
    fn a_minted_code_reads_back_however_it_is_typed() {
        for seed in 0..200 {
            let code = Code::mint(&mut Seeded::new(seed));
            let shown = code.reveal();
            assert_eq!(shown.len(), 14);
            assert_eq!(Code::parse(&shown).unwrap(), code);
            let sloppy = shown.to_lowercase().replace('0', "o").replace('1', "l").replace('-', " - ");
            assert_eq!(Code::parse(&sloppy).unwrap(), code);
            assert!(shown.replace('-', "").starts_with(code.rendezvous().name().as_str()));
        }
    }

    #[test]
    fn typing_mistakes_are_found_before_anything_is_sent() {
        let mut missed = 0;
        let mut tried = 0;
        for seed in 0..50 {
            let code = Code::mint(&mut Seeded::new(seed));
            for at in 0..SYMBOLS {
                for value in (0..32).filter(|v| *v != code.0[at]) {
                    let mut wrong = code.0;
                    wrong[at] = value;
                    tried += 1;
                    // 0 and 31 (`0` and `Z`) are the same modulo 31: the one pair that is not told apart.
                    missed += u32::from(Code::try_from(wrong).is_ok() && code.0[at].abs_diff(value) != 31);
                }
                if at + 1 < SECRET_END && !code.0[at].abs_diff(code.0[at + 1]).is_multiple_of(31) {
                    let mut swapped = code.0;
                    swapped.swap(at, at + 1);
                    assert_eq!(Code::try_from(swapped), Err(CodeError::Check));
                }
            }
        }
        assert!(tried > 10_000);
        assert_eq!(missed, 0);
    }

    #[track_caller]
    fn refused(input: &str, expect: CodeError) {
        assert_eq!(Code::parse(input), Err(expect));
    }

    #[test]
    fn what_is_not_a_code_is_named() {
        refused("", CodeError::Length(0));
        refused("7K3Q", CodeError::Length(4));
        refused("7K3Q-MX4U-0000", CodeError::Symbol('U'));
        refused(&"1".repeat(13), CodeError::Length(13));
        refused("0000-0000-0001", CodeError::Check);
    }

    #[test]
    fn debug_shows_nothing() {
        let code = Code::mint(&mut Seeded::new(1));
        assert_eq!(format!("{code:?}"), "Code(…)");
    }
}
