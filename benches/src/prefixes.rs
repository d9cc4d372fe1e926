//! A projected table of many prefixes, most of them empty: how many are listed, and how long that takes.

use crate::Failure;
use crate::against_ideal::Comparison;
use crate::report::Report;
use crate::store::{BUCKET, Slowness, numbers, start};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Partitions of the table
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    prefixes: u32,
    /// Share of them without a file, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 60)]
    empty: u32,
    #[command(flatten)]
    slowness: Slowness,
    /// Runs of each query; seconds are their median
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
}

/// Rows of each file.
const ROWS: i64 = 100;

/// Requests at once that the ideal allows: Owlake's default for footers.
const AT_ONCE: u64 = 128;

impl Options {
    /// Spread evenly: every run of 100 prefixes has its share of empty ones.
    fn has_file(&self, prefix: u32) -> bool {
        u64::from(prefix) * 37 % 100 >= u64::from(self.empty)
    }

    fn queries(&self) -> Vec<(&'static str, String)> {
        let (tenth, half) = (self.prefixes / 10, self.prefixes / 2);
        let one = (half..self.prefixes).find(|p| self.has_file(*p)).unwrap_or(half);
        vec![
            ("all prefixes, footers only", "SELECT count(*) FROM t".to_owned()),
            ("all prefixes, data", "SELECT sum(n) FROM t".to_owned()),
            (
                "a tenth of the prefixes",
                format!("SELECT sum(n) FROM t WHERE p < {tenth}"),
            ),
            ("one prefix", format!("SELECT sum(n) FROM t WHERE p = {one}")),
        ]
    }
}

pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.name("prefixes");
    let store = start()?;
    let mut files = 0;
    for prefix in (0..options.prefixes).filter(|p| options.has_file(*p)) {
        let from = i64::from(prefix) * ROWS;
        store.put(
            BUCKET,
            &format!("t/p={prefix}/part-0.parquet"),
            numbers(from..from + ROWS)?,
        );
        files += 1;
    }
    store.set_latency(options.slowness.latency());
    report.line(&format!(
        "prefixes: {} prefixes, {files} with a file; {} ms to the first byte; median of {}. Ideal: {AT_ONCE} requests \
         at once, without a gap between them.\n",
        options.prefixes, options.slowness.first_byte_ms, options.runs
    ))?;
    let comparison = Comparison {
        store: &store,
        ddl: format!(
            "CREATE EXTERNAL TABLE t (n bigint) PARTITIONED BY (p int) STORED AS PARQUET LOCATION 's3://{BUCKET}/t/' \
             TBLPROPERTIES ('projection.enabled' = 'true', 'projection.p.type' = 'integer', \
             'projection.p.range' = '0,{}', 'storage.location.template' = 's3://{BUCKET}/t/p=${{p}}/')",
            options.prefixes - 1
        ),
        queries: options.queries(),
        slowness: options.slowness,
        runs: options.runs,
        at_once: AT_ONCE,
    };
    let title = format!("{} prefixes, {files} with a file", options.prefixes);
    comparison.run("prefixes", title, report).await
}
