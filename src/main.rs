//! The `moorline` binary: argv → one subcommand → exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    moorline::cli::run::run(std::env::args_os().skip(1))
}
