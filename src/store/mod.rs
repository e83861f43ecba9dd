//! The append log that keeps the pairing state on flash. docs/store-format.md has every bit of it.

pub mod flash;
pub mod frame;
pub mod inspect;
pub mod io;
pub mod log;
pub mod place;
pub mod recover;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod wear;

#[cfg(test)]
mod proof_tests;
#[cfg(test)]
mod tests;
