//! What a query is said to read, it reads: names that differ in case, row groups without rows, and the like.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use bytes::Bytes;
use parquet::file::properties::WriterProperties;

use super::footers::{row_groups, with_statistics};
use super::{columns, integers, table};
use crate::harness::{TestServer, parquet, parquet_with};

/// What a query is said to read at least and at most, and how surely.
async fn said(server: &TestServer, sql: &str) -> (u64, u64, String) {
    let rows = server.query(&format!("EXPLAIN (TYPE COST) {sql}")).await.rows;
    let total = rows.last().unwrap();
    (
        total[9].parse().unwrap(),
        total[10].parse().unwrap(),
        total[16].clone(),
    )
}

/// The bounds of `sql` hold, and where they say "exact" they are; where nothing is said to depend on timing, a query
/// reads the same each time. Whether they were exact.
async fn holds(server: &TestServer, sql: &str) -> bool {
    let (min, max, confidence) = said(server, sql).await;
    let mut before = None;
    for _ in 0..5 {
        let receipt = server.query(sql).await.receipt;
        let came = receipt.counters.unwrap().data_scanned_bytes;
        assert!(
            (min..=max).contains(&came),
            "{sql}: {came} of {min} to {max} ({confidence})"
        );
        if confidence == "exact" {
            assert_eq!((came, came), (min, max), "{sql}");
        }
        if !receipt.timing_dependent {
            assert_eq!(
                *before.get_or_insert(came),
                came,
                "{sql}: nothing depends on timing"
            );
        }
    }
    confidence == "exact"
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_differ_in_case_are_told_apart() {
    let server = TestServer::start().await;
    let wide: Vec<String> = (0..2_000).map(|n| format!("{n:0200}")).collect();
    let small = Int64Array::from_iter_values(0..2_000);
    let file = parquet_with(
        &columns([
            ("a", Arc::new(small) as ArrayRef),
            ("A", Arc::new(StringArray::from(wide)) as ArrayRef),
        ]),
        WriterProperties::builder().set_dictionary_enabled(false).build(),
    );
    table(&server, "t", "a bigint", &[file]).await;
    for sql in [
        "SELECT sum(a) FROM t",
        "SELECT a FROM t",
        "SELECT a + 1 FROM t",
        "SELECT count(*) FROM t WHERE a > 5",
    ] {
        assert!(holds(&server, sql).await, "{sql}");
        assert!(said(&server, sql).await.1 < 50_000, "{sql}");
    }
    // The wide column would pass this.
    server
        .client
        .set("max_data_scanned_bytes", Some("50000"))
        .unwrap();
    server.query("SELECT sum(a) FROM t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_groups_without_rows_are_not_read() {
    let server = TestServer::start().await;
    let file = row_groups(&[&[], &[1, 2, 3], &[], &[4, 5], &[]]);
    table(&server, "t", "n bigint", &[file]).await;
    for sql in [
        "SELECT n FROM t",
        "SELECT sum(n) FROM t",
        "SELECT n FROM t WHERE n > 3",
    ] {
        assert!(holds(&server, sql).await, "{sql}");
    }
    assert_eq!(
        server.query("SELECT sum(n), count(*) FROM t").await.rows,
        [["15", "5"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_is_exact_whatever_the_plan() {
    let server = TestServer::start().await;
    let mut files: Vec<Bytes> = Vec::new();
    for file in 0..4 {
        let rows = 0..300;
        let id: Vec<Option<i64>> = rows.clone().map(|n| Some(file * 300 + n)).collect();
        let k: Vec<Option<i64>> = rows.clone().map(|n| Some((n * 7) % 10)).collect();
        let s: Vec<Option<String>> = rows
            .map(|n| (n % 5 > 0).then(|| format!("s{}", n % 17)))
            .collect();
        let batch = columns([
            ("id", integers(&id)),
            ("k", integers(&k)),
            ("s", Arc::new(StringArray::from(s)) as ArrayRef),
        ]);
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(100))
            .build();
        let written = parquet_with(&batch, properties);
        // Some footers say nothing.
        files.push(if file % 2 == 0 {
            written
        } else {
            with_statistics(&written, |_| None)
        });
    }
    table(&server, "t", "id bigint, k bigint, s string", &files).await;
    table(&server, "one", "id bigint, k bigint, s string", &files[1..2]).await;
    table(&server, "dims", "id bigint, k bigint, s string", &files[..1]).await;
    table(&server, "odd", "id bigint, k bigint, s string", &odd_files()).await;
    let mut exact = 0;
    let shapes = SHAPES
        .iter()
        .flat_map(|sql| ["t", "one", "odd"].map(|from| sql.replace("FROM t", &format!("FROM {from}"))));
    let shapes: Vec<String> = shapes.collect();
    for sql in &shapes {
        exact += usize::from(holds(&server, sql).await);
    }
    assert!(exact > shapes.len() / 3, "{exact} of {}", shapes.len());
}

/// Files without rows, of one value, and of NULLs.
fn odd_files() -> Vec<Bytes> {
    let file = |id: &[Option<i64>], s: Vec<Option<&str>>| {
        let k = integers(&vec![Some(7); id.len()]);
        let s: ArrayRef = Arc::new(StringArray::from(s));
        parquet(&columns([("id", integers(id)), ("k", k), ("s", s)]))
    };
    vec![
        file(&[], vec![]),
        file(&[Some(1), Some(1)], vec![Some("a"), Some("b")]),
        file(&[None, None], vec![None, Some("c")]),
        file(&[Some(5)], vec![None]),
    ]
}

/// Plans that end their reading early, or may, in one way each, and some that do not.
const SHAPES: [&str; 33] = [
    "SELECT count(*), min(id) FROM t",
    "SELECT count(*), min(s) FROM t",
    "SELECT min(s), max(s) FROM t",
    "SELECT min(k), max(s) FROM t",
    "SELECT max(id) FROM t WHERE k = 3",
    "SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM t) WHERE r <= 3",
    "SELECT id FROM (SELECT id, row_number() OVER () AS r FROM t) WHERE r <= 3",
    "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) AS r FROM t) WHERE r <= 3",
    "SELECT id FROM (SELECT id, rank() OVER (PARTITION BY k ORDER BY id) AS r FROM t) WHERE r = 1",
    "SELECT id, row_number() OVER (ORDER BY id) AS r FROM t ORDER BY id LIMIT 3",
    "SELECT id FROM t ORDER BY id LIMIT 3",
    "SELECT id FROM t ORDER BY s DESC, id LIMIT 3",
    "SELECT id FROM t LIMIT 3",
    "SELECT DISTINCT k FROM t LIMIT 3",
    "SELECT k, max(id) FROM t GROUP BY k ORDER BY max(id) DESC LIMIT 2",
    "SELECT k, min(s) FROM t GROUP BY k",
    "SELECT a.id FROM t a JOIN dims b ON a.id = b.id",
    "SELECT a.id FROM t a LEFT JOIN dims b ON a.id = b.id",
    "SELECT a.id FROM t a RIGHT JOIN dims b ON a.id = b.id AND b.k > 100",
    "SELECT a.id FROM t a FULL JOIN dims b ON a.id = b.id",
    "SELECT a.id FROM t a JOIN dims b ON a.id < b.id WHERE b.id < 3",
    "SELECT count(*) FROM t a CROSS JOIN (SELECT k FROM dims WHERE id < 0) b",
    "SELECT id FROM t WHERE id IN (SELECT id FROM dims WHERE k = 3)",
    "SELECT id FROM t WHERE id NOT IN (SELECT id FROM dims)",
    "SELECT id FROM t WHERE k > (SELECT avg(k) FROM dims)",
    "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM dims WHERE dims.id = id)",
    "SELECT id FROM t UNION ALL SELECT id FROM dims",
    "SELECT id FROM t EXCEPT SELECT id FROM dims",
    "SELECT id FROM t INTERSECT SELECT id FROM dims",
    "SELECT id FROM t WHERE false",
    "SELECT a.id FROM (SELECT id FROM dims WHERE id % 1000 = 999) a LEFT JOIN \
     (SELECT b.id FROM t b LEFT JOIN dims c ON b.id = c.id) d ON a.id = d.id",
    "SELECT a.id FROM t a LEFT JOIN (SELECT id, count(*) AS n FROM dims GROUP BY id) b ON a.id = b.id",
    "SELECT id + 1, upper(s), count(*) FROM t WHERE s IS NOT NULL GROUP BY 1, 2",
];
