//! Estimates against what the same query then reads: exact ones to the byte, bounds never broken, and no data byte
//! read on the way, by the store's own books.

mod advice;
mod doors;
mod random;
mod usage;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Decimal128Type, Int64Type};
use bytes::Bytes;
use futures::TryStreamExt;
use owlake::{EngineConfig, ScanConfig};
use owlake_client::{Client, QueryReceipt};
use owlake_mems3::{MemS3, Operation};
use owlake_proto::v1::Counters;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;

use crate::harness::{BUCKET, Builder, TestServer, parquet_with, run};

/// Columns of `EXPLAIN (TYPE COST)`, in order.
const COLUMNS: [&str; 18] = [
    "catalog",
    "database",
    "table_name",
    "partitions_total",
    "partitions_read",
    "files_total",
    "files_read",
    "row_groups_total",
    "row_groups_read",
    "data_scanned_bytes_min",
    "data_scanned_bytes_max",
    "metadata_bytes",
    "requests_min",
    "requests_max",
    "cost_usd_max",
    "athena_cost_usd_max",
    "confidence",
    "reason",
];

/// One query of each shape that an estimate has to tell apart.
const SHAPES: [&str; 16] = [
    "SELECT sum(l_extendedprice) FROM lineitem",
    "SELECT sum(l_extendedprice) FROM lineitem_by_month WHERE year = 1995 AND month = 3",
    "SELECT sum(l_extendedprice) FROM lineitem_by_month WHERE year = 2031",
    "SELECT count(*) FROM lineitem_by_month",
    "SELECT min(o_orderkey), max(o_orderkey) FROM orders",
    "SELECT * FROM orders WHERE o_orderkey = 4",
    "SELECT o_comment FROM orders WHERE o_orderkey < 100",
    "SELECT o_comment FROM orders WHERE o_orderkey < 0",
    "SELECT count(*) FROM orders WHERE o_comment LIKE '%special%'",
    "SELECT * FROM orders LIMIT 3",
    "SELECT o_orderkey FROM orders ORDER BY o_totalprice DESC LIMIT 5",
    "SELECT count(*) FROM orders JOIN customer ON o_custkey = c_custkey WHERE c_mktsegment = 'BUILDING'",
    "SELECT n_name FROM nation UNION ALL SELECT r_name FROM region",
    "SELECT o_orderkey FROM orders WHERE o_totalprice > (SELECT avg(o_totalprice) FROM orders)",
    "SELECT event_type, count(*) FROM events WHERE dt = '2024-03-03' AND hour < 4 GROUP BY event_type",
    "SELECT 1",
];

/// One row of an estimate.
#[derive(Debug, Clone)]
struct Row {
    table_name: Option<String>,
    files_total: u64,
    row_groups_read: u64,
    min: u64,
    max: u64,
    requests_min: u64,
    requests_max: u64,
    cost_usd_max: i128,
    athena_cost_usd_max: i128,
    confidence: String,
    reason: String,
}

/// The generated lake, made once for all tests here.
fn objects() -> &'static [(String, Bytes)] {
    static OBJECTS: OnceLock<Vec<(String, Bytes)>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let mut objects = Vec::new();
        owlake::demo::lake::generate(0.005, |key, bytes| {
            objects.push((key.to_owned(), bytes));
            Ok(())
        })
        .unwrap();
        objects
    })
}

/// Footers are asked for to the byte, so that the books can tell a footer from data even in small files.
fn to_the_byte() -> ScanConfig {
    ScanConfig {
        footer_hint_bytes: 8,
        // Costs are compared: no listing may run out in between.
        listing_ttl: Duration::from_secs(3_600),
        ..ScanConfig::default()
    }
}

async fn lake(engine: EngineConfig) -> TestServer {
    let objects = tokio::task::spawn_blocking(objects).await.unwrap();
    let server = Builder {
        engine,
        scan: to_the_byte(),
        ..Builder::default()
    }
    .start()
    .await;
    for (key, bytes) in objects {
        server.store.put(BUCKET, key, bytes.clone());
    }
    for ddl in owlake::demo::lake::ddl(&format!("s3://{BUCKET}/")) {
        server.query(&ddl).await;
    }
    server.store.reset_log();
    server
}

/// The queries of the specification, in order.
fn tpch() -> Vec<(u32, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tpch");
    (1..=22)
        .map(|number| {
            let sql = std::fs::read_to_string(folder.join(format!("q{number:02}.sql"))).unwrap();
            (number, sql.replace(":fraction", "0.02"))
        })
        .collect()
}

async fn batches(client: &Client, sql: &str) -> (Vec<RecordBatch>, QueryReceipt) {
    let mut stream = client.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await.unwrap_or_else(|e| panic!("{sql}\n{e}")) {
        batches.push(batch);
    }
    (batches, stream.receipt().unwrap().clone())
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let names: Vec<&str> = batch
        .schema_ref()
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .collect();
    assert_eq!(names, COLUMNS);
    let text = |name: &str, i: usize| {
        let column: &StringArray = batch.column_by_name(name).unwrap().as_string();
        column.is_valid(i).then(|| column.value(i).to_owned())
    };
    let count = |name: &str, i: usize| {
        let column: &Int64Array = batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
        u64::try_from(column.value(i)).unwrap()
    };
    let money = |name: &str, i: usize| {
        batch
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Decimal128Type>()
            .value(i)
    };
    (0..batch.num_rows())
        .map(|i| Row {
            table_name: text("table_name", i),
            files_total: count("files_total", i),
            row_groups_read: count("row_groups_read", i),
            min: count("data_scanned_bytes_min", i),
            max: count("data_scanned_bytes_max", i),
            requests_min: count("requests_min", i),
            requests_max: count("requests_max", i),
            cost_usd_max: money("cost_usd_max", i),
            athena_cost_usd_max: money("athena_cost_usd_max", i),
            confidence: text("confidence", i).unwrap(),
            reason: text("reason", i).unwrap(),
        })
        .collect()
}

/// The estimate of a query, its last row apart, and its own receipt.
async fn estimate(server: &TestServer, sql: &str) -> (Vec<Row>, Row, QueryReceipt) {
    let (batches, receipt) = batches(&server.client, &format!("EXPLAIN (TYPE COST) {sql}")).await;
    assert_eq!(batches.len(), 1, "{sql}");
    let mut rows = rows(&batches[0]);
    let total = rows.pop().unwrap();
    assert_eq!(total.table_name, None, "{sql}");
    (rows, total, receipt)
}

fn counters(receipt: &QueryReceipt) -> Counters {
    receipt.counters.expect("every receipt has counters")
}

/// The column chunks of an object.
fn chunks(store: &MemS3, key: &str) -> Vec<(u64, u64)> {
    type Chunks = HashMap<(String, usize), Vec<(u64, u64)>>;
    static KNOWN: OnceLock<std::sync::Mutex<Chunks>> = OnceLock::new();
    let bytes = store.object(BUCKET, key).unwrap().bytes;
    let mut known = KNOWN.get_or_init(Default::default).lock().unwrap();
    let chunks = known.entry((key.to_owned(), bytes.len())).or_insert_with(|| {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
        let columns = metadata.row_groups().iter().flat_map(|g| g.columns());
        columns
            .map(|c| (c.byte_range().0, c.byte_range().0 + c.byte_range().1))
            .collect()
    });
    chunks.clone()
}

/// No request of the query touched a data byte, by the store's log.
fn read_no_data(store: &MemS3, receipt: &QueryReceipt, what: &str) {
    assert_eq!(counters(receipt).data_scanned_bytes, 0, "{what}");
    let own = |id: &Option<String>| id.as_deref() == Some(receipt.query_id.as_str());
    for request in store.requests().iter().filter(|r| own(&r.query_id)) {
        if request.operation != Operation::GetObject {
            continue;
        }
        let range = request.range.as_deref().and_then(|r| r.strip_prefix("bytes="));
        let (start, last) = range.and_then(|r| r.split_once('-')).unwrap();
        let (start, end) = (start.parse::<u64>().unwrap(), last.parse::<u64>().unwrap() + 1);
        let data = chunks(store, &request.key)
            .into_iter()
            .find(|(from, to)| start < *to && *from < end);
        assert_eq!(data, None, "{what}: {start}..{end} of {} was read", request.key);
    }
}

/// Estimates, runs, and holds one against the other; whether the estimate was exact.
async fn hold(server: &TestServer, sql: &str) -> bool {
    let (tables, total, own) = estimate(server, sql).await;
    let what = format!("{sql}\n{tables:#?}");
    read_no_data(&server.store, &own, &what);
    let answer = run(&server.client, sql)
        .await
        .unwrap_or_else(|e| panic!("{what}\n{e}"));
    let actual = counters(&answer.receipt);
    let scanned = actual.data_scanned_bytes;
    assert_eq!(tables.iter().map(|t| t.min).sum::<u64>(), total.min, "{what}");
    assert_eq!(tables.iter().map(|t| t.max).sum::<u64>(), total.max, "{what}");
    assert_eq!(tables.len(), answer.receipt.scans.len(), "{what}");
    // Scans of one plan are planned side by side: only the names tell them apart.
    for name in tables.iter().map(|t| t.table_name.as_deref().unwrap()) {
        let own = || tables.iter().filter(|t| t.table_name.as_deref() == Some(name));
        let ran = || answer.receipt.scans.iter().filter(|s| s.table_name == name);
        assert_eq!(own().count(), ran().count(), "{what}");
        let read: u64 = ran().map(|s| s.data_scanned_bytes).sum();
        let (min, max) = (
            own().map(|t| t.min).sum::<u64>(),
            own().map(|t| t.max).sum::<u64>(),
        );
        assert!(min <= read && read <= max, "{name}: {read}\n{what}");
        if own().all(|t| t.confidence == "exact") {
            let groups: u64 = ran().map(|s| s.row_groups_read).sum();
            assert_eq!(own().map(|t| t.row_groups_read).sum::<u64>(), groups, "{what}");
        }
    }
    bounded(&total, scanned, &what);
    let requests = actual.get_requests + actual.list_requests;
    assert!(requests >= total.requests_min, "{what}\n{actual:?}");
    assert!(requests <= total.requests_max, "{what}\n{actual:?}");
    // What the plan that ran said of itself, without any further request.
    let receipt = &answer.receipt;
    assert!(
        receipt.estimate_min_bytes() <= scanned && scanned <= receipt.estimate_max_bytes(),
        "{what}"
    );
    if receipt.estimate_confidence == "exact" {
        assert_eq!(receipt.estimate_max_bytes(), scanned, "{what}");
    }
    assert!(!receipt.estimate_confidence.is_empty(), "{what}");
    total.confidence == "exact"
}

fn bounded(row: &Row, scanned: u64, what: &str) {
    assert!(
        row.min <= scanned && scanned <= row.max,
        "scanned {scanned}: {row:?}\n{what}"
    );
    match row.confidence.as_str() {
        "exact" => assert_eq!((row.min, row.max), (scanned, scanned), "{what}"),
        "upper-bound" => assert!(row.min < row.max && !row.reason.is_empty(), "{what}"),
        other => panic!("{other}: {what}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tpch_query_reads_what_its_estimate_says() {
    let server = lake(EngineConfig::default()).await;
    let mut exact = Vec::new();
    for (number, sql) in tpch() {
        if hold(&server, &sql).await {
            exact.push(number);
        }
    }
    // Queries of one table without a join.
    assert_eq!(exact, [1, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_reads_what_its_estimate_says() {
    let server = lake(EngineConfig::default()).await;
    let mut sure = Vec::new();
    for sql in SHAPES {
        if hold(&server, sql).await {
            sure.push(sql);
        }
    }
    let unsure: Vec<&str> = SHAPES.into_iter().filter(|s| !sure.contains(s)).collect();
    // The first fetches wide columns only where its filter leaves rows.
    assert_eq!(unsure, [SHAPES[5], SHAPES[9], SHAPES[10], SHAPES[11], SHAPES[13]]);
}

/// Eight row groups of small pages, sorted by `n`, with bloom filters on `code` and an index for each page.
fn paged() -> Bytes {
    let rows = 8_000_i64;
    let n = Int64Array::from_iter_values(0..rows);
    let code =
        StringArray::from_iter_values((0..rows).map(|i| format!("c{}", i.wrapping_mul(7919) % 100_003)));
    let text = StringArray::from_iter_values((0..rows).map(|i| format!("text number {i} of the file")));
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(n) as Arc<dyn Array>),
        ("code", Arc::new(code) as Arc<dyn Array>),
        ("text", Arc::new(text) as Arc<dyn Array>),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(1_000))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(100)
        .set_column_bloom_filter_enabled("code".into(), true)
        .build();
    parquet_with(&batch, properties)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_bloom_filters_are_pruned_as_the_query_prunes_them() {
    let server = lake(EngineConfig::default()).await;
    server.store.put(BUCKET, "paged/part-0.parquet", paged());
    server
        .query(
            "CREATE EXTERNAL TABLE paged (n bigint, code string, text string) STORED AS PARQUET \
             LOCATION 's3://test-lake/paged/'",
        )
        .await;
    let present = format!("c{}", 4_321_i64.wrapping_mul(7919) % 100_003);
    let all = estimate(&server, "SELECT n, code, text FROM paged").await.1;
    for sql in [
        "SELECT text FROM paged WHERE n BETWEEN 1234 AND 1236".to_owned(),
        "SELECT text FROM paged WHERE n = 5 OR n = 7777".to_owned(),
        "SELECT n FROM paged WHERE n >= 3950 AND n < 4050 AND text <> 'x'".to_owned(),
        format!("SELECT text FROM paged WHERE code = '{present}'"),
        "SELECT text FROM paged WHERE code = 'absent'".to_owned(),
        "SELECT n % 10, count(*) FROM paged WHERE n < 2500 GROUP BY 1".to_owned(),
    ] {
        assert!(hold(&server, &sql).await, "{sql} is not exact");
        let (_, total, _) = estimate(&server, &sql).await;
        assert!(total.max < all.max / 2, "{sql} prunes nothing: {total:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_budget_an_estimate_projects_from_a_sample_and_says_so() {
    let engine = EngineConfig {
        estimate_files: 50,
        ..EngineConfig::default()
    };
    let server = lake(engine).await;
    let sql = "SELECT sum(duration_ms) FROM events";
    let (tables, total, receipt) = estimate(&server, sql).await;
    assert_eq!(total.confidence, "heuristic");
    assert!(total.reason.contains("50 of 504 files"), "{}", total.reason);
    assert_eq!(tables[0].files_total, 504);
    // Two requests for each footer, since the hint is eight bytes, and one listing for each partition.
    assert_eq!(counters(&receipt).get_requests, 100);
    read_no_data(&server.store, &receipt, sql);
    let actual = counters(&server.query(sql).await.receipt).data_scanned_bytes;
    assert!(total.min <= actual, "{total:?} {actual}");
    let off = total.max.abs_diff(actual);
    assert!(off * 10 < actual, "projected {}, read {actual}", total.max);
}
