//! The store with latency that benchmarks read from, and one measured query on it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use owlake::{Lake, Receipt, ScanConfig};
use owlake_mems3::{Counts, Latency, MemS3};
use parquet::arrow::ArrowWriter;

use crate::Failure;

/// The bucket of every benchmark.
pub(crate) const BUCKET: &str = "bench-lake";

/// How slow the store is, and how many requests at once that is met with.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Slowness {
    /// Time to the first byte of each request
    #[arg(long, value_name = "MS", default_value_t = 30)]
    pub(crate) first_byte_ms: u64,
    /// Speed of each stream
    #[arg(long, value_name = "MB/S", default_value_t = 80)]
    pub(crate) megabytes_per_second: u64,
    /// Footers that a query reads at once [default: Owlake's own]
    #[arg(long, value_name = "N")]
    pub(crate) footer_parallelism: Option<NonZeroUsize>,
}

impl Slowness {
    pub(crate) fn latency(self) -> Latency {
        Latency {
            first_byte: Duration::from_millis(self.first_byte_ms),
            bytes_per_second: Some(self.megabytes_per_second * 1_000_000),
        }
    }

    /// Seconds to the first byte.
    pub(crate) fn first_byte(self) -> f64 {
        self.first_byte_ms as f64 / 1e3
    }
}

/// A store without latency yet, so that filling it takes no time.
pub(crate) fn start() -> Result<Arc<MemS3>, Failure> {
    Ok(Arc::new(MemS3::builder().bucket(BUCKET).start()?))
}

/// A lake on the store with nothing in its caches.
pub(crate) async fn open(store: &MemS3, ddl: &[String], slowness: Slowness) -> Result<Lake, Failure> {
    let usual = ScanConfig::default();
    let footer_parallelism = slowness
        .footer_parallelism
        .map_or(usual.footer_parallelism, NonZeroUsize::get);
    let lake = Lake::builder()
        .scan_config(ScanConfig {
            footer_parallelism,
            ..usual
        })
        .allow_location(format!("s3://{BUCKET}/"))
        .s3_endpoint("s3://", store.endpoint(), store.access_key(), store.secret_key())
        .build()
        .await?;
    for statement in ddl {
        lake.execute(statement).await?;
    }
    Ok(lake)
}

/// One run of one query, by its receipt and by the store's own books.
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) receipt: Receipt,
    pub(crate) counts: Counts,
    pub(crate) in_flight_max: usize,
}

/// Runs a query; its rows are read and dropped.
pub(crate) async fn measure(lake: &Lake, store: &MemS3, sql: &str) -> Result<Measured, Failure> {
    store.reset_log();
    let begun = Instant::now();
    let receipt = lake.execute(sql).await?;
    let seconds = begun.elapsed().as_secs_f64();
    store.wait_idle().await;
    Ok(Measured {
        seconds,
        counts: store.counts_for(&receipt.query_id),
        in_flight_max: store.in_flight_max(),
        receipt,
    })
}

/// A Parquet file of one bigint column `n`.
pub(crate) fn numbers(values: std::ops::Range<i64>) -> Result<Bytes, Failure> {
    let column = owlake::arrow::array::Int64Array::from_iter_values(values);
    let column: owlake::arrow::array::ArrayRef = Arc::new(column);
    let batch = owlake::arrow::array::RecordBatch::try_from_iter([("n", column)])?;
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(out.into())
}

/// Least seconds for the requests of a query whose phases (listings, footers, data) wait for each other, with at
/// most `at_once` requests in flight. Bytes and computing are taken to cost nothing.
pub(crate) fn ideal_seconds(phases: &[u64], at_once: u64, first_byte: f64) -> f64 {
    let rounds: u64 = phases.iter().map(|requests| requests.div_ceil(at_once)).sum();
    rounds as f64 * first_byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_wait_for_each_other_and_requests_of_one_do_not() {
        assert!((ideal_seconds(&[1, 64, 64], 64, 0.03) - 0.09).abs() < 1e-9);
        assert!((ideal_seconds(&[5000, 0], 64, 0.03) - 79.0 * 0.03).abs() < 1e-9);
    }
}
