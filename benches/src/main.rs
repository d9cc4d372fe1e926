//! `owlake-benches`: what queries cost and how long they take, beside other engines. Prints Markdown, draws SVG;
//! nothing here asserts a time.

mod against_ideal;
mod answers;
mod flight;
mod peers;
mod plot;
mod postgres;
mod prefixes;
mod report;
mod scan_cost;
mod small_files;
mod store;
mod tpch;
mod warm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use report::Report;

/// Any failure of a benchmark, for one line on stderr.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Owlake's benchmarks
#[derive(Debug, Parser)]
#[command(
    name = "owlake-benches",
    after_help = "Examples:\n  owlake-benches scan-cost --scale-factor 0.1 --peers \"$(benches/peers-setup)\" --out results\n  \
                  owlake-benches tpch --scale 1 --peers \"$(benches/peers-setup)\" --out results"
)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
    /// Writes plots (SVG) and the printed tables (Markdown) into this directory
    #[arg(long, value_name = "DIR", global = true)]
    out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Bytes, requests and seconds of a fixed query set, cold and warm, on an S3 server with latency
    ScanCost(scan_cost::Options),
    /// A cold query over 64 small files, against the time that its requests need at least
    SmallFiles(small_files::Options),
    /// 5,000 prefixes, most of them empty: listings, and time against the least possible
    Prefixes(prefixes::Options),
    /// Latency of a warm query at 1 and 16 clients; start-up time and idle memory of the binary
    Warm(warm::Options),
    /// The 22 queries of TPC-H on local files, beside DataFusion and DuckDB in process
    Tpch(tpch::Options),
    /// A table of PostgreSQL: count(*) and a full scan, beside what the server can send and other engines
    Postgres(postgres::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let mut report = Report::new(cli.out)?;
    report.line(&format!(
        "Owlake {}, {}\n",
        env!("CARGO_PKG_VERSION"),
        report::machine()
    ))?;
    match cli.bench {
        Bench::ScanCost(options) => scan_cost::run(&options, &mut report).await?,
        Bench::SmallFiles(options) => small_files::run(&options, &mut report).await?,
        Bench::Prefixes(options) => prefixes::run(&options, &mut report).await?,
        Bench::Warm(options) => warm::run(&options, &mut report).await?,
        Bench::Tpch(options) => tpch::run(&options, &mut report).await?,
        Bench::Postgres(options) => postgres::run(&options, &mut report).await?,
    }
    report.finish()
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    use std::io::Write;
    let _closed = writeln!(std::io::stderr(), "Error: {error}");
    ExitCode::FAILURE
}
