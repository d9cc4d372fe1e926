//! A cold query over 64 small files: requests that follow each other, or at the same time?

use crate::Failure;
use crate::against_ideal::Comparison;
use crate::report::Report;
use crate::store::{BUCKET, Slowness, numbers, start};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Files of the table
    #[arg(long, value_name = "N", default_value_t = 64)]
    files: u32,
    #[command(flatten)]
    slowness: Slowness,
    /// Runs of each query; seconds are their median
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
}

/// Rows of each file: a few kilobytes.
const ROWS: i64 = 500;

const QUERIES: [(&str, &str); 3] = [
    ("footers only", "SELECT count(*) FROM t"),
    ("data of all files", "SELECT sum(n) FROM t"),
    ("data of one file", "SELECT sum(n) FROM t WHERE n = 7"),
];

pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.name("small-files");
    let store = start()?;
    for file in 0..i64::from(options.files) {
        let rows = numbers(file * ROWS..(file + 1) * ROWS)?;
        store.put(BUCKET, &format!("t/part-{file:05}.parquet"), rows);
    }
    store.set_latency(options.slowness.latency());
    report.line(&format!(
        "small-files: {} files of {ROWS} rows; {} ms to the first byte; median of {}. Ideal: all listings, then all \
         footers, then all data at the same time.\n",
        options.files, options.slowness.first_byte_ms, options.runs
    ))?;
    let comparison = Comparison {
        store: &store,
        ddl: format!("CREATE EXTERNAL TABLE t (n bigint) STORED AS PARQUET LOCATION 's3://{BUCKET}/t/'"),
        queries: QUERIES.map(|(name, sql)| (name, sql.to_owned())).to_vec(),
        slowness: options.slowness,
        runs: options.runs,
        at_once: u64::MAX,
    };
    let title = format!("A table of {} small files", options.files);
    comparison.run("small-files", title, report).await
}
