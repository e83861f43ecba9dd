//! The `moorline-client` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    moorline::client::commands::run(std::env::args_os().skip(1))
}
