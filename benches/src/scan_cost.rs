//! The scan-cost set: what each query reads, by the receipt and by the store's own count, cold and warm.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use owlake::{Lake, Receipt};
use owlake_mems3::{Latency, MemS3};

const BUCKET: &str = "bench-lake";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Size of the TPC-H tables; 1 is 6 million line items
    #[arg(long, value_name = "FACTOR", default_value_t = 0.05)]
    scale_factor: f64,
    /// Time to the first byte of each request
    #[arg(long, value_name = "MS", default_value_t = 30)]
    first_byte_ms: u64,
    /// Speed of each stream
    #[arg(long, value_name = "MB/S", default_value_t = 80)]
    megabytes_per_second: u64,
}

/// Name and text of each query.
const QUERIES: &[(&str, &str)] = &[
    (
        "full scan, 84 partitions",
        "SELECT l_returnflag, sum(l_extendedprice) FROM lineitem_by_month GROUP BY l_returnflag",
    ),
    (
        "one partition",
        "SELECT sum(l_extendedprice) FROM lineitem_by_month WHERE year = 1995 AND month = 3",
    ),
    (
        "one year",
        "SELECT sum(l_quantity) FROM lineitem_by_month WHERE year = 1996",
    ),
    (
        "partition columns only",
        "SELECT year, count(*) FROM lineitem_by_month GROUP BY year",
    ),
    ("count(*)", "SELECT count(*) FROM lineitem"),
    (
        "min and max",
        "SELECT min(o_orderdate), max(o_orderdate) FROM orders",
    ),
    (
        "selective filter",
        "SELECT count(*) FROM orders WHERE o_orderkey = 7",
    ),
    (
        "two columns",
        "SELECT sum(l_extendedprice * l_discount) FROM lineitem WHERE l_quantity < 24",
    ),
    (
        "join",
        "SELECT n_name, count(*) FROM customer JOIN nation ON c_nationkey = n_nationkey GROUP BY n_name",
    ),
    ("bare limit", "SELECT * FROM lineitem LIMIT 10"),
];

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One run of one query.
struct Row {
    receipt: Receipt,
    seconds: f64,
    store_requests: u64,
    store_bytes: u64,
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let store = Arc::new(MemS3::builder().bucket(BUCKET).start()?);
    let target = Arc::clone(&store);
    let summary = owlake::demo::lake::generate(options.scale_factor, |key, bytes| {
        target.put(BUCKET, key, bytes);
        Ok(())
    })?;
    store.set_latency(Latency {
        first_byte: Duration::from_millis(options.first_byte_ms),
        bytes_per_second: Some(options.megabytes_per_second * 1_000_000),
    });
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "scan-cost: scale {}, {} objects, {} bytes; {} ms to the first byte, {} MB/s per stream\n",
        options.scale_factor,
        summary.objects,
        summary.bytes,
        options.first_byte_ms,
        options.megabytes_per_second
    )?;
    writeln!(
        out,
        "| query | run | seconds | data_scanned_bytes | metadata_bytes | transferred_bytes | GET | LIST | store GET+LIST | store bytes | USD |"
    )?;
    writeln!(out, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for (name, sql) in QUERIES {
        // A lake of its own for each query: nothing of an earlier one is cached.
        let lake = open(&store).await?;
        for run in ["cold", "warm"] {
            let row = measure(&lake, &store, sql).await?;
            let c = &row.receipt.counters;
            writeln!(
                out,
                "| {name} | {run} | {:.3} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.seconds,
                c.data_scanned_bytes,
                c.metadata_bytes,
                c.transferred_bytes,
                c.get_requests,
                c.list_requests,
                row.store_requests,
                row.store_bytes,
                row.receipt.cost_usd
            )?;
        }
    }
    Ok(())
}

async fn open(store: &MemS3) -> Result<Lake, Failure> {
    let root = format!("s3://{BUCKET}/");
    let lake = Lake::builder()
        .allow_location(&root)
        .s3_endpoint("s3://", store.endpoint(), store.access_key(), store.secret_key())
        .build()
        .await?;
    for ddl in owlake::demo::lake::ddl(&root) {
        lake.execute(&ddl).await?;
    }
    Ok(lake)
}

async fn measure(lake: &Lake, store: &MemS3, sql: &str) -> Result<Row, Failure> {
    store.reset_log();
    let begun = Instant::now();
    let receipt = lake.execute(sql).await?;
    let seconds = begun.elapsed().as_secs_f64();
    store.wait_idle().await;
    let counts = store.counts_for(&receipt.query_id);
    Ok(Row {
        seconds,
        store_requests: counts.get_requests + counts.list_requests,
        store_bytes: counts.object_body_bytes_sent,
        receipt,
    })
}
