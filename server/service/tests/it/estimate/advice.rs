//! EXPLAIN ANALYZE: the bill of the run, bytes by column, why row groups were read, and what would make it cheaper.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use owlake_proto::v1::QueryReceipt;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::{batches, counters};
use crate::harness::{BUCKET, TestServer, parquet_with};

/// Eight row groups; `n` is in no order, `s` is a number as text.
fn unsorted(statistics: EnabledStatistics) -> Bytes {
    let rows = 8_000_i64;
    let n = Int64Array::from_iter_values((0..rows).map(|i| i.wrapping_mul(7_919) % 10_007));
    let s = StringArray::from_iter_values((0..rows).map(|i| i.to_string()));
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(n) as Arc<dyn Array>),
        ("s", Arc::new(s) as Arc<dyn Array>),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(1_000))
        .set_statistics_enabled(statistics)
        .build();
    parquet_with(&batch, properties)
}

async fn explained(server: &TestServer, sql: &str) -> (Vec<String>, QueryReceipt) {
    let (batches, receipt) = batches(&server.client, &format!("EXPLAIN ANALYZE {sql}")).await;
    let lines = batches
        .iter()
        .flat_map(|b| b.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
    (lines.collect(), receipt)
}

fn has(lines: &[String], part: &str) {
    assert!(
        lines.iter().any(|line| line.contains(part)),
        "`{part}` is missing:\n{}",
        lines.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bill_of_the_run_names_its_bytes_requests_and_money() {
    let server = TestServer::start().await;
    server
        .store
        .put(BUCKET, "t/part-0.parquet", unsorted(EnabledStatistics::Page));
    server
        .query("CREATE EXTERNAL TABLE t (n bigint, s string) STORED AS PARQUET LOCATION 's3://test-lake/t/'")
        .await;
    let (lines, receipt) = explained(&server, "SELECT sum(n), count(s) FROM t").await;
    let c = counters(&receipt);
    assert!(
        lines[0].starts_with(&format!("Receipt {}: scanned ", receipt.query_id)),
        "{}",
        lines[0]
    );
    has(
        &lines,
        &format!(
            "{} GET, {} HEAD, {} LIST, 0 repeated",
            c.get_requests, c.head_requests, c.list_requests
        ),
    );
    has(&lines, &format!("{} USD (aws-s3)", receipt.cost_usd));
    has(&lines, "(exact)");
    has(
        &lines,
        "Table default.t: 1 of 1 partitions, 1 of 1 files, 8 of 8 row groups",
    );
    has(&lines, "  column \"n\": ");
    has(&lines, "  column \"s\": ");
    has(&lines, "of 8 row groups read: no filter on a column of the files");
    let slowest = lines.iter().position(|line| line == "Slowest requests").unwrap();
    assert!(lines[slowest + 1].contains(" ms: "), "{}", lines[slowest + 1]);
    assert!(
        lines[slowest + 1..]
            .iter()
            .any(|line| line.contains("GET test-lake/t/part-0.parquet bytes="))
    );
    // They were kept for these lines alone.
    let kept = server
        .query(&format!(
            "SELECT count(*) FROM system.object_requests WHERE query_id = '{}'",
            receipt.query_id
        ))
        .await;
    assert_eq!(kept.rows, [["0"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_statistics_could_not_rule_out_is_told_with_a_way_out() {
    let server = TestServer::start().await;
    for (table, statistics) in [
        ("known", EnabledStatistics::Chunk),
        ("bare", EnabledStatistics::None),
    ] {
        server
            .store
            .put(BUCKET, &format!("{table}/part-0.parquet"), unsorted(statistics));
        server
            .query(&format!(
                "CREATE EXTERNAL TABLE {table} (n bigint, s string) STORED AS PARQUET \
                 LOCATION 's3://test-lake/{table}/'"
            ))
            .await;
    }
    let (lines, _) = explained(&server, "SELECT count(s) FROM known WHERE n = 77").await;
    has(
        &lines,
        "8 of 8 row groups read: minimum and maximum of \"n\" do not rule them out",
    );
    has(
        &lines,
        "8 of 8 row groups read: no page index, so that they are read whole",
    );
    has(
        &lines,
        "Hint: write the files sorted by \"n\", or partition on it",
    );
    let (lines, _) = explained(&server, "SELECT count(s) FROM bare WHERE n = 77").await;
    has(&lines, "8 of 8 row groups read: no statistics of \"n\"");
    let (lines, _) = explained(&server, "SELECT count(n) FROM known WHERE CAST(s AS bigint) = 77").await;
    has(&lines, "the filter converts \"s\" before it compares");
    has(&lines, "Hint: compare \"s\" in its own type");
}

#[tokio::test(flavor = "multi_thread")]
async fn unfiltered_partitions_small_files_and_text_files_earn_a_hint() {
    let server = TestServer::start().await;
    for i in 0..20 {
        let key = format!("small/dt={i:02}/part-0.parquet");
        server.store.put(BUCKET, &key, unsorted(EnabledStatistics::Chunk));
    }
    server
        .query(
            "CREATE EXTERNAL TABLE small (n bigint, s string) PARTITIONED BY (dt string) STORED AS PARQUET \
             LOCATION 's3://test-lake/small/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.dt.type' = 'integer', 'projection.dt.range' = '0,19', 'projection.dt.digits' = '2')",
        )
        .await;
    server
        .store
        .put(BUCKET, "text/a.csv", Bytes::from_static(b"1,a\n2,b\n"));
    server
        .query(
            "CREATE EXTERNAL TABLE text (n bigint, s string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' \
             LOCATION 's3://test-lake/text/'",
        )
        .await;
    let (lines, _) = explained(&server, "SELECT sum(n) FROM small").await;
    has(&lines, "Hint: all 20 partitions were read: filter on \"dt\"");
    has(&lines, "Hint: compact small files: 20 were read");
    let (lines, _) = explained(&server, "SELECT sum(n) FROM text").await;
    has(&lines, "Hint: convert the files to Parquet");
    let (lines, _) = explained(&server, "SELECT sum(n) FROM small WHERE dt = '07'").await;
    assert!(!lines.iter().any(|line| line.contains("Hint: all")), "{lines:?}");
}
