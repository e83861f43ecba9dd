//! The `moorline-client` binary.
#![forbid(unsafe_code)]

fn main() {}
