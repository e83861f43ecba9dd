//! Passwords and keys: read from a file of their own, wiped from memory, never printed.

use std::fmt;

use zeroize::Zeroizing;

/// Longest password in bytes.
pub const SECRET_MAX: usize = 256;

/// A password or a private key. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The first line of a password file; `None` if it is empty, too long or not text.
    pub fn from_file_content(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.lines().next()?;
        if text.is_empty() || text.len() > SECRET_MAX {
            None
        } else {
            Some(Self(Zeroizing::new(text.to_owned())))
        }
    }

    /// A private key in PEM form; `None` if it is not text.
    pub fn from_pem(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().map(|text| Self(Zeroizing::new(text.to_owned())))
    }

    /// The password or key, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
