//! The cap on scanned bytes: refused at nothing where the plan proves it, stopped before the read otherwise.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field};
use owlake::EngineConfig;
use owlake_client::ClientError;
use owlake_mems3::{Operation, RequestRecord};
use owlake_proto::v1::{Counters, QueryReceipt, QueryState};
use parquet::file::properties::WriterProperties;

use crate::harness::{BUCKET, Builder, TestServer, connect, one, parquet_with, run};

const FILES: i64 = 4;
const ROWS: i64 = 40_000;
/// Encoded bytes of one file's column `n`, at least.
const FILE_DATA_BYTES: u64 = ROWS as u64 * 8;

/// `n` counts from 0 over all files and all pages are plain; `tag` makes the files wider.
async fn wide(engine: EngineConfig) -> TestServer {
    let server = Builder {
        engine,
        ..Builder::default()
    }
    .start()
    .await;
    server
        .query(
            "CREATE EXTERNAL TABLE wide (n bigint, tag bigint) PARTITIONED BY (dt string) STORED AS PARQUET \
             LOCATION 's3://test-lake/wide/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.dt.type' = 'integer', 'projection.dt.range' = '1,4')",
        )
        .await;
    for file in 0..FILES {
        let from = file * ROWS;
        let n = Int64Array::from_iter_values(from..from + ROWS);
        let tag = Int64Array::from_iter_values(
            (from..from + ROWS).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)),
        );
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(n) as Arc<dyn Array>),
            ("tag", Arc::new(tag) as Arc<dyn Array>),
        ])
        .unwrap();
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(10_000))
            .build();
        server.store.put(
            BUCKET,
            &format!("wide/dt={}/part-0.parquet", file + 1),
            parquet_with(&batch, properties),
        );
    }
    server.store.reset_log();
    server
}

/// GETs of data: those that do not reach the end of the file, where the footer is.
fn data_reads(server: &TestServer) -> Vec<RequestRecord> {
    let is_data = |r: &RequestRecord| {
        let size = server.store.object(BUCKET, &r.key).unwrap().bytes.len();
        let last = r
            .range
            .as_deref()
            .and_then(|range| range.rsplit('-').next()?.parse::<usize>().ok());
        last.is_some_and(|last| last + 1 < size)
    };
    server
        .store
        .requests()
        .into_iter()
        .filter(|r| r.operation == Operation::GetObject && is_data(r))
        .collect()
}

fn receipt(error: &ClientError) -> QueryReceipt {
    assert!(matches!(error, ClientError::Refused(_)), "{error}");
    assert_eq!(error.code(), Some("EXCEEDED_SCAN_LIMIT"));
    let receipt = error.receipt().expect("a refused query has a receipt").clone();
    assert_eq!(receipt.state(), QueryState::Cancelled);
    assert_eq!(receipt.error_code, "EXCEEDED_SCAN_LIMIT");
    receipt
}

fn counters(receipt: &QueryReceipt) -> Counters {
    receipt.counters.expect("every receipt has counters")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_proves_its_bytes_is_refused_before_the_first_of_them() {
    let server = wide(EngineConfig::default()).await;
    server.client.set("max_data_scanned_bytes", Some("1MB")).unwrap();
    let error = server.refused("SELECT sum(n), sum(tag % 10) FROM wide").await;
    let text = error.to_string();
    for part in [
        "Bytes scanned limit was exceeded",
        "default.wide",
        "exactly 2.5",
        "limit 1.00 MB",
        "0 bytes of data were read",
        "partition column \"dt\"",
    ] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
    let receipt = receipt(&error);
    assert_eq!(counters(&receipt).data_scanned_bytes, 0);
    assert_eq!(receipt.max_data_scanned_bytes, 1_000_000);
    assert_eq!(data_reads(&server), Vec::new());
    // The same text with a filter on the partition column fits.
    let fits = server
        .query("SELECT sum(n), sum(tag % 10) FROM wide WHERE dt = '1'")
        .await;
    assert!(counters(&fits.receipt).data_scanned_bytes >= 2 * FILE_DATA_BYTES);
    assert!(counters(&fits.receipt).data_scanned_bytes <= 1_000_000);
    // Neither do plans that read no data need any allowance.
    server.client.set("max_data_scanned_bytes", Some("1")).unwrap();
    assert_eq!(
        one(&server.query("SELECT count(*) FROM wide").await),
        FILES * ROWS
    );
    assert_eq!(
        one(&server.query("SELECT max(n) FROM wide").await),
        FILES * ROWS - 1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_nested_column_only_a_lower_bound_is_claimed() {
    let server = TestServer::start().await;
    let n: Arc<dyn Array> = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let nested = StructArray::from(vec![(Arc::new(Field::new("n", DataType::Int64, true)), n)]);
    let batch = RecordBatch::try_from_iter([("s", Arc::new(nested) as Arc<dyn Array>)]).unwrap();
    server.put("nested/part-0.parquet", &batch);
    server
        .query(
            "CREATE EXTERNAL TABLE nested (s struct<n:bigint>) STORED AS PARQUET LOCATION 's3://test-lake/nested/'",
        )
        .await;
    server.client.set("max_data_scanned_bytes", Some("1kB")).unwrap();
    let error = server.refused("SELECT s FROM nested").await;
    assert_eq!(counters(&receipt(&error)).data_scanned_bytes, 0);
    assert!(
        error.to_string().contains("default.nested needs at least"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_scans_are_refused_by_their_sum_which_is_called_a_lower_bound() {
    let server = wide(EngineConfig::default()).await;
    let one_scan = counters(&server.query("SELECT sum(n) FROM wide").await.receipt).data_scanned_bytes;
    let both = "SELECT sum(n) FROM wide UNION ALL SELECT max(n + 1) FROM wide";
    // A byte counts once for each scan that needs it.
    assert_eq!(
        counters(&server.query(both).await.receipt).data_scanned_bytes,
        2 * one_scan
    );
    server
        .client
        .set("max_data_scanned_bytes", Some(&(2 * one_scan - 1).to_string()))
        .unwrap();
    server.store.reset_log();
    let error = server.refused(both).await;
    assert_eq!(counters(&receipt(&error)).data_scanned_bytes, 0);
    assert!(error.to_string().contains("at least"), "{error}");
    assert_eq!(data_reads(&server), Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_need_is_unknown_stops_before_the_read_that_would_pass_the_cap() {
    let server = wide(EngineConfig::default()).await;
    // `tag` is spread over its range in every page, so that no statistic can prune.
    let sql = "SELECT sum(n) FROM wide WHERE tag % 7 = 3";
    let free = server.query(sql).await;
    let needed = counters(&free.receipt).data_scanned_bytes;
    assert!(needed >= 2 * FILE_DATA_BYTES * FILES as u64, "{needed}");
    for cap in [1, 79_999, 100_000, 500_000, 1_000_000, needed - 1] {
        server
            .client
            .set("max_data_scanned_bytes", Some(&cap.to_string()))
            .unwrap();
        server.store.reset_log();
        let error = server.refused(sql).await;
        let receipt = receipt(&error);
        server.store.wait_idle().await;
        let scanned = counters(&receipt).data_scanned_bytes;
        assert!(scanned <= cap, "scanned {scanned}, cap {cap}");
        assert_eq!(receipt.max_data_scanned_bytes, cap);
        let text = error.to_string();
        for part in ["default.wide", "at least", "partition column \"dt\""] {
            assert!(text.contains(part), "`{part}` is missing: {text}");
        }
        let planned: u64 = data_reads(&server).iter().map(|r| r.body_bytes_planned).sum();
        assert!(
            planned <= cap,
            "asked the store for {planned} data bytes, cap {cap}"
        );
        let scans: u64 = receipt.scans.iter().map(|s| s.data_scanned_bytes).sum();
        assert_eq!(scans, scanned);
    }
    server
        .client
        .set("max_data_scanned_bytes", Some(&needed.to_string()))
        .unwrap();
    let exact = server.query(sql).await;
    assert_eq!(exact.rows, free.rows);
    assert_eq!(counters(&exact.receipt).data_scanned_bytes, needed);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_left_before_the_cap_do_not_hide_the_refusal() {
    let server = wide(EngineConfig::default()).await;
    server
        .client
        .set("max_data_scanned_bytes", Some("400kB"))
        .unwrap();
    let error = server.refused("SELECT n FROM wide WHERE n % 2 = 0").await;
    assert!(counters(&receipt(&error)).data_scanned_bytes <= 400_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_lower_the_cap_of_the_server_but_never_raise_it() {
    let engine = EngineConfig {
        max_data_scanned_bytes: Some(500_000),
        ..EngineConfig::default()
    };
    let server = wide(engine).await;
    let sql = "SELECT sum(n) FROM wide";
    assert_eq!(
        receipt(&server.refused(sql).await).max_data_scanned_bytes,
        500_000
    );

    let by_header = connect(&server.url).await;
    by_header.set("max_data_scanned_bytes", Some("1GB")).unwrap();
    let error = run(&by_header, sql).await.unwrap_err();
    assert_eq!(receipt(&error).max_data_scanned_bytes, 500_000);
    by_header.set("max_data_scanned_bytes", Some("1kB")).unwrap();
    let error = run(&by_header, "SELECT sum(n) FROM wide WHERE dt = '2'")
        .await
        .unwrap_err();
    assert_eq!(receipt(&error).max_data_scanned_bytes, 1_000);

    let by_statement = connect(&server.url).await;
    run(&by_statement, "SET SESSION max_data_scanned_bytes = '1GB'")
        .await
        .unwrap();
    let error = run(&by_statement, sql).await.unwrap_err();
    assert_eq!(receipt(&error).max_data_scanned_bytes, 500_000);
    run(&by_statement, "SET SESSION max_data_scanned_bytes = '1kB'")
        .await
        .unwrap();
    let error = run(&by_statement, "SELECT sum(n) FROM wide WHERE dt = '2'")
        .await
        .unwrap_err();
    assert_eq!(receipt(&error).max_data_scanned_bytes, 1_000);
    run(&by_statement, "RESET SESSION max_data_scanned_bytes")
        .await
        .unwrap();
    run(&by_statement, "SELECT sum(n) FROM wide WHERE dt = '2'")
        .await
        .unwrap();
    assert_eq!(server.store.counts().error_responses, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_keeps_the_refusal_with_the_same_numbers() {
    let server = wide(EngineConfig::default()).await;
    server
        .client
        .set("max_data_scanned_bytes", Some("300000"))
        .unwrap();
    for sql in [
        "SELECT sum(n) FROM wide",
        "SELECT sum(n) FROM wide WHERE tag % 7 = 3",
    ] {
        let receipt = receipt(&server.refused(sql).await);
        let counted = counters(&receipt);
        let rows = server
            .query(&format!(
                "SELECT state, error_code, data_scanned_bytes, metadata_bytes, requested_bytes, transferred_bytes, \
                 get_requests, list_requests, max_data_scanned_bytes, query \
                 FROM system.queries WHERE query_id = '{}'",
                receipt.query_id
            ))
            .await
            .rows;
        let numbers = [
            counted.data_scanned_bytes,
            counted.metadata_bytes,
            counted.requested_bytes,
            counted.transferred_bytes,
            counted.get_requests,
            counted.list_requests,
            300_000,
        ];
        let mut expected = vec!["CANCELLED".to_owned(), "EXCEEDED_SCAN_LIMIT".to_owned()];
        expected.extend(numbers.map(|n| n.to_string()));
        expected.push(sql.to_owned());
        assert_eq!(rows, [expected], "exactly one row, as the receipt has it");
    }
}
