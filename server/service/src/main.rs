//! The `owlake` binary.

use std::process::ExitCode;

use clap::Parser;
use owlake::args::OwlakeArgs;

fn main() -> ExitCode {
    owlake::run(OwlakeArgs::parse())
}
