//! `owlake-benches`: measures what scans cost. Prints Markdown; nothing here asserts a time.

mod scan_cost;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Owlake's benchmarks
#[derive(Debug, Parser)]
#[command(
    name = "owlake-benches",
    after_help = "Example:\n  owlake-benches scan-cost --scale-factor 0.1 --first-byte-ms 30"
)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Bytes, requests and seconds of a fixed query set, cold and warm, on an S3 server with latency
    ScanCost(scan_cost::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let Bench::ScanCost(options) = cli.bench;
    match runtime.block_on(scan_cost::run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    use std::io::Write;
    let _closed = writeln!(std::io::stderr(), "Error: {error}");
    ExitCode::FAILURE
}
