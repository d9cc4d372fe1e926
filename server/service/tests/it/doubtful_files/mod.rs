//! Footers that say less than readers like to assume: answers are those of the rows, and estimates hold.

mod bytes_held;
mod footers;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::file::properties::WriterProperties;

use crate::harness::{BUCKET, TestServer, parquet, parquet_with};
use footers::{int96, row_groups, signed_texts, with_footer, with_statistics, without_null_count};

async fn table(server: &TestServer, name: &str, columns: &str, files: &[Bytes]) {
    for (index, file) in files.iter().enumerate() {
        server
            .store
            .put(BUCKET, &format!("{name}/{index}.parquet"), file.clone());
    }
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE {name} ({columns}) STORED AS PARQUET LOCATION 's3://{BUCKET}/{name}/'"
        ))
        .await;
}

async fn right(server: &TestServer, cases: &[(&str, &[&str])]) {
    for (sql, right) in cases {
        let rows = server.query(sql).await.rows;
        let came: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(came, *right, "{sql}");
    }
}

fn columns(columns: impl IntoIterator<Item = (&'static str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn integers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

/// One page per row, with what page indexes and bloom filters say of them.
fn paged(batch: &RecordBatch) -> Bytes {
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(1)
        .set_write_batch_size(1)
        .set_bloom_filter_enabled(true)
        .set_dictionary_enabled(false);
    parquet_with(batch, properties.build())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_unknown_nulls_is_not_taken_for_full() {
    let server = TestServer::start().await;
    let (some, none) = (Some(7), None);
    let file = parquet(&columns([
        ("id", integers(&[Some(1), Some(2), Some(3), Some(4)])),
        ("v", integers(&[some, none, some, none])),
        (
            "s",
            Arc::new(StringArray::from(vec![Some("a"), None, Some("a"), None])) as ArrayRef,
        ),
    ]));
    let file = with_statistics(&file, without_null_count);
    table(&server, "t", "id bigint, v bigint, s string", &[file]).await;
    right(
        &server,
        &[
            ("SELECT v FROM t ORDER BY id", &["7", "NULL", "7", "NULL"]),
            ("SELECT s FROM t ORDER BY id", &["a", "NULL", "a", "NULL"]),
            ("SELECT count(v), count(s), count(*) FROM t", &["2 2 4"]),
            ("SELECT count(*) FROM t WHERE v IS NULL", &["2"]),
            ("SELECT count(*) FROM t WHERE s IS NULL AND v IS NULL", &["2"]),
            ("SELECT count(*) FROM t WHERE v IS DISTINCT FROM 7", &["2"]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nan_is_found_beside_bounds_that_leave_it_out() {
    let server = TestServer::start().await;
    let ids: Vec<Option<i64>> = (0..3).map(Some).collect();
    let file = |x: &[f64]| {
        let batch = columns([("id", integers(&ids[..x.len()])), ("x", doubles(x))]);
        paged(&batch)
    };
    table(
        &server,
        "same",
        "id bigint, x double",
        &[file(&[1.5, f64::NAN, 1.5])],
    )
    .await;
    table(
        &server,
        "far",
        "id bigint, x double",
        &[file(&[10.0, f64::NAN, 20.0])],
    )
    .await;
    table(
        &server,
        "two",
        "id bigint, x double",
        &[file(&[0.5, f64::NAN]), file(&[7.0, 8.0])],
    )
    .await;
    table(
        &server,
        "zero",
        "id bigint, x double",
        &[file(&[-0.0]), file(&[1.0])],
    )
    .await;
    right(
        &server,
        &[
            ("SELECT count(*) FROM same WHERE x <> 1.5e0", &["1"]),
            ("SELECT count(*) FROM same WHERE x NOT IN (1.5e0)", &["1"]),
            ("SELECT x FROM same ORDER BY id", &["1.5", "NaN", "1.5"]),
            ("SELECT count(*) FROM far WHERE NOT (x >= 5e0)", &["1"]),
            (
                "SELECT count(*) FROM far WHERE x NOT BETWEEN 5e0 AND 50e0",
                &["1"],
            ),
            ("SELECT count(*) FROM far WHERE x BETWEEN 5e0 AND 50e0", &["2"]),
            ("SELECT x FROM two ORDER BY x DESC LIMIT 1", &["NaN"]),
            ("SELECT count(*) FROM two WHERE NOT (x < 6e0)", &["3"]),
            ("SELECT id FROM zero WHERE x = 0e0", &["0"]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_bounds_of_texts_do_not_hide_rows() {
    let server = TestServer::start().await;
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "é", "z"]));
    // By signed bytes é is the least.
    let file = with_statistics(&parquet(&columns([("s", texts)])), signed_texts("é", "z"));
    table(&server, "t", "s string", &[file]).await;
    right(
        &server,
        &[
            ("SELECT count(*) FROM t WHERE s = 'a'", &["1"]),
            ("SELECT count(*) FROM t WHERE s > 'z'", &["1"]),
            ("SELECT min(s), max(s) FROM t", &["a é"]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_rows_has_no_value_of_its_partition() {
    let server = TestServer::start().await;
    for (key, values) in [("dt=a", vec![Some(1), Some(2)]), ("dt=z", vec![])] {
        let file = parquet(&columns([("v", integers(&values))]));
        server.store.put(BUCKET, &format!("t/{key}/f.parquet"), file);
    }
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE t (v bigint) PARTITIONED BY (dt string) STORED AS PARQUET \
             LOCATION 's3://{BUCKET}/t/'"
        ))
        .await;
    server
        .query("ALTER TABLE t ADD PARTITION (dt = 'a') PARTITION (dt = 'z')")
        .await;
    right(
        &server,
        &[
            ("SELECT max(dt), min(dt), max(v), count(*) FROM t", &["a a 2 2"]),
            ("SELECT max(dt) FROM t WHERE dt = 'z'", &["NULL"]),
            ("SELECT count(DISTINCT dt) FROM t", &["1"]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extreme_is_found_behind_a_file_of_nulls() {
    let server = TestServer::start().await;
    let mut files = Vec::new();
    for file in 0..8 {
        let value = |row: i64| (file % 2 == 1).then_some(100 * file + row);
        let a: Vec<Option<i64>> = (0..50).map(value).collect();
        let b: Vec<Option<i64>> = (0..50).map(|row| Some(5_000 - 100 * file - row)).collect();
        let batch = columns([("a", integers(&a)), ("b", integers(&b))]);
        files.push(with_statistics(&parquet(&batch), |chunk| {
            // Without these of `b` nothing is answered from footers.
            (chunk.column_path().string() == "a").then(|| chunk.statistics().cloned())?
        }));
    }
    table(&server, "t", "a bigint, b bigint", &files).await;
    for _ in 0..20 {
        right(
            &server,
            &[
                ("SELECT min(a), max(b) FROM t", &["100 5000"]),
                ("SELECT max(a), min(a), max(b + 1) FROM t", &["749 100 5001"]),
            ],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_groups_in_any_order_are_read_once() {
    let server = TestServer::start().await;
    let values: Vec<Vec<i64>> = (0..6)
        .map(|group| (group * 1_000..(group + 1) * 1_000).collect())
        .collect();
    let groups: Vec<&[i64]> = values.iter().map(Vec::as_slice).collect();
    let file = with_footer(&row_groups(&groups), |groups| {
        [0, 2, 1, 4, 3, 5].map(|i: usize| groups[i].clone()).to_vec()
    });
    table(&server, "t", "n bigint", &[file]).await;
    right(
        &server,
        &[
            ("SELECT count(*), sum(n) FROM t", &["6000 17997000"]),
            ("SELECT count(*), sum(n) FROM t WHERE n >= 0", &["6000 17997000"]),
            (
                "SELECT count(*), sum(n) FROM t WHERE n BETWEEN 1500 AND 3499",
                &["2000 4999000"],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn int96_is_rounded_like_other_timestamps() {
    let server = TestServer::start().await;
    let day = 2_458_850; // 2020-01-01
    let file = int96(&[
        (1, day, 600_000),
        (2, day, 400_000),
        (3, day - 1, 86_399_999_999_999),
        (4, day - 200_000, 500_000),
    ]);
    table(&server, "t", "id bigint, ts timestamp", &[file]).await;
    right(
        &server,
        &[
            (
                "SELECT ts FROM t WHERE id < 4 ORDER BY id",
                &[
                    "2020-01-01T00:00:00.001",
                    "2020-01-01T00:00:00",
                    "2020-01-01T00:00:00",
                ],
            ),
            (
                "SELECT CAST(ts AS varchar) FROM t WHERE id = 4",
                &["1472-06-02 00:00:00.001"],
            ),
            (
                "SELECT count(*) FROM t WHERE ts = TIMESTAMP '2020-01-01 00:00:00.001'",
                &["1"],
            ),
            (
                "SELECT count(*) FROM t WHERE ts >= TIMESTAMP '2020-01-01 00:00:00'",
                &["3"],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_value_is_rounded_like_a_column() {
    let server = TestServer::start().await;
    for (key, rows) in [("a", 3), ("b", 4)] {
        let file = parquet(&columns([("v", integers(&vec![Some(1); rows]))]));
        server.store.put(BUCKET, &format!("t/{key}/f.parquet"), file);
    }
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE t (v bigint) PARTITIONED BY (ts timestamp) STORED AS PARQUET \
             LOCATION 's3://{BUCKET}/t/'"
        ))
        .await;
    for (value, key) in [
        ("2020-01-01 00:00:00.0006", "a"),
        ("2020-01-02 00:00:00.0004999", "b"),
    ] {
        server
            .query(&format!(
                "ALTER TABLE t ADD PARTITION (ts = '{value}') LOCATION 's3://{BUCKET}/t/{key}/'"
            ))
            .await;
    }
    right(
        &server,
        &[
            (
                "SELECT DISTINCT ts FROM t ORDER BY ts",
                &["2020-01-01T00:00:00.001", "2020-01-02T00:00:00"],
            ),
            (
                "SELECT count(*) FROM t WHERE ts = TIMESTAMP '2020-01-01 00:00:00.001'",
                &["3"],
            ),
            (
                "SELECT count(*) FROM t WHERE coalesce(ts, ts) = TIMESTAMP '2020-01-01 00:00:00.001'",
                &["3"],
            ),
            (
                "SELECT count(*) FROM t WHERE ts < TIMESTAMP '2020-01-01 00:00:00.001'",
                &["0"],
            ),
            (
                "SELECT count(*) FROM t WHERE ts <= TIMESTAMP '2020-01-02 00:00:00'",
                &["7"],
            ),
        ],
    )
    .await;
}
