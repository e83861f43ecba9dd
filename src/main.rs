//! The `moorline` binary: argv → one subcommand → exit code.
#![forbid(unsafe_code)]

fn main() {}
