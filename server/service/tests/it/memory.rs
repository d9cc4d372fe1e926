//! Statements that ask for more memory than there is: each ends in its answer or in a refusal that says why, nothing of
//! it stays reserved, and what fits is answered.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use futures::future::join_all;
use owlake::EngineConfig;
use owlake_client::ClientError;

use crate::harness::{BUCKET, Builder, TestServer, connect, one, parquet, run};

const POOL: usize = 64 << 20;
const ROWS: i64 = 4000;

/// `t`: 4,000 rows, `n` and a short text; `wide`: the same with 20,000 bytes of text in each row.
async fn lake() -> TestServer {
    let engine = EngineConfig {
        memory_bytes: POOL,
        query_memory_bytes: POOL,
        cpu_threads: Some(2),
        ..EngineConfig::default()
    };
    let server = Builder {
        engine,
        ..Builder::default()
    }
    .start()
    .await;
    let table = |text: &dyn Fn(i64) -> String| {
        let numbers = Int64Array::from_iter_values(0..ROWS);
        let texts = StringArray::from_iter_values((0..ROWS).map(text));
        let columns = [("n", Arc::new(numbers) as Arc<dyn Array>), ("s", Arc::new(texts))];
        parquet(&RecordBatch::try_from_iter(columns).unwrap())
    };
    server
        .store
        .put(BUCKET, "t/a.parquet", table(&|n| format!("text of row {n}")));
    server
        .store
        .put(BUCKET, "wide/a.parquet", table(&|n| format!("{n:020000}")));
    for name in ["t", "wide"] {
        let ddl = format!(
            "CREATE EXTERNAL TABLE {name} (n bigint, s string) STORED AS PARQUET LOCATION 's3://test-lake/{name}/'"
        );
        server.query(&ddl).await;
    }
    server
}

/// Bombs that no pool of 64 MiB has room for.
const TOO_LARGE: &[&str] = &[
    "SELECT cardinality(array_agg(rpad(s, 100000, 'x'))) FROM t",
    "SELECT length(array_join(array_agg(rpad(s, 100000, 'x')), ',')) FROM t",
    "SELECT cardinality(map_agg(rpad(s, 100000, 'x'), n)) FROM t",
    "SELECT max(c) FROM (SELECT count(*) OVER () AS c, s FROM wide) WHERE length(s) > 5",
    "SELECT count(*) FROM wide a JOIN (SELECT s FROM wide) b ON a.s = b.s AND a.s || 'x' > b.s",
    "SELECT rpad(s, 30000000, 'x') FROM t WHERE n = 1",
    "SELECT concat(rpad(s, 20000000, 'x'), 'y') FROM t WHERE n = 1",
];

/// Statements that make more than 64 MiB on their way, and fit a few rows at a time.
const FIT: &[(&str, i64)] = &[
    (
        "SELECT max(length(rpad(s, 1000000, 'x'))) FROM t WHERE n < 400",
        1_000_000,
    ),
    (
        "SELECT sum(length(lpad(s, 100000, 'xyz'))) FROM t",
        ROWS * 100_000,
    ),
    (
        "SELECT max(length(replace(s, 'e', rpad('', 10000, 'x')))) FROM t",
        16 + 9_999,
    ),
    (
        "SELECT max(length(CASE WHEN n % 2 = 0 THEN rpad('x', 100000, 'y') ELSE s END)) FROM t",
        100_000,
    ),
    (
        "SELECT max(length(concat(a.x, b.s))) FROM (SELECT rpad(s, 100000, 'y') AS x FROM t WHERE n < 2) a CROSS JOIN t b",
        100_016,
    ),
    (
        "SELECT max(length(concat(a.x, b.s))) FROM (SELECT array_join(array_agg(s), '') AS x FROM t) a CROSS JOIN t b",
        62_906,
    ),
    (
        "SELECT sum(cardinality(x)) FROM (SELECT array_agg(s) AS x FROM t) CROSS JOIN t",
        ROWS * ROWS,
    ),
];

/// Waits until what ended has given everything back.
async fn nothing_reserved(server: &TestServer) {
    let given_back = async {
        while server.lake.memory_reserved_bytes() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), given_back)
        .await
        .expect("memory stays reserved");
}

fn refusal(sql: &str, error: &ClientError) -> String {
    let text = error.to_string();
    assert!(text.contains("EXCEEDED_MEMORY_LIMIT"), "{sql}\n{text}");
    let receipt = error.receipt().expect("a refused query has a receipt");
    assert!(receipt.peak_memory_bytes <= POOL as u64, "{sql}\n{receipt:?}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_within_the_limit_and_leaves_nothing_reserved() {
    let server = lake().await;
    for sql in TOO_LARGE {
        let text = refusal(sql, &server.refused(sql).await);
        assert!(text.contains("limits.memory"), "{sql}\n{text}");
        nothing_reserved(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_a_few_rows_at_a_time_is_answered_within_the_limit() {
    let server = lake().await;
    for (sql, expected) in FIT {
        let answer = server.query(sql).await;
        assert_eq!(one(&answer), *expected, "{sql}");
        assert!(
            answer.receipt.peak_memory_bytes <= POOL as u64,
            "{sql}\n{:?}",
            answer.receipt
        );
        nothing_reserved(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_rows_arrive_whole_and_in_order() {
    let server = lake().await;
    let answer = server
        .query("SELECT rpad(s, 3000000, 'x') FROM t WHERE n < 4 ORDER BY n")
        .await;
    let expected: Vec<_> = (0..4)
        .map(|n| {
            let text = format!("text of row {n}");
            vec![format!("{text}{}", "x".repeat(3_000_000 - text.len()))]
        })
        .collect();
    assert!(answer.rows == expected);
    let answer = server.query("SELECT s FROM wide WHERE n < 400 ORDER BY n").await;
    let expected: Vec<_> = (0..400).map(|n| vec![format!("{n:020000}")]).collect();
    assert!(answer.rows == expected);
    nothing_reserved(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_clients_at_once_get_answers_or_refusals() {
    let server = lake().await;
    let statements = TOO_LARGE.iter().copied().chain(FIT.iter().map(|(sql, _)| *sql));
    let asked = statements.clone().chain(statements).enumerate().map(|(i, sql)| {
        let url = server.url.clone();
        async move { (i, sql, run(&connect(&url).await, sql).await) }
    });
    for (i, sql, end) in join_all(asked).await {
        let expected = FIT.iter().find(|(fits, _)| *fits == sql);
        match end {
            Ok(answer) => assert_eq!(Some(one(&answer)), expected.map(|(_, n)| *n), "{i} {sql}"),
            Err(error) => drop(refusal(sql, &error)),
        }
    }
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), ROWS);
    nothing_reserved(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_without_an_equality_has_all_its_rows_or_is_refused() {
    let server = lake().await;
    for file in 0..20_i64 {
        let rows = file * 200..file * 200 + 200;
        let numbers = Int64Array::from_iter_values(rows.clone());
        let texts = StringArray::from_iter_values(rows.map(|n| format!("{n:020000}")));
        let columns = [("n", Arc::new(numbers) as Arc<dyn Array>), ("s", Arc::new(texts))];
        let bytes = parquet(&RecordBatch::try_from_iter(columns).unwrap());
        server
            .store
            .put(BUCKET, &format!("parts/{file:02}.parquet"), bytes);
    }
    let ddl =
        "CREATE EXTERNAL TABLE parts (n bigint, s string) STORED AS PARQUET LOCATION 's3://test-lake/parts/'";
    server.query(ddl).await;
    for sql in [
        "SELECT count(a.s || b.s) FROM parts a JOIN parts b ON b.n > a.n - 1 AND b.n < a.n + 1",
        "SELECT count(a.s) FROM parts a LEFT JOIN parts b ON b.n > a.n - 1 AND b.n < a.n + 1 AND b.s = a.s",
        "SELECT count(a.s) FROM parts a WHERE EXISTS (SELECT 1 FROM parts b WHERE b.n > a.n - 1 AND b.n < a.n + 1 AND b.s >= a.s)",
    ] {
        match run(&server.client, sql).await {
            Ok(answer) => assert_eq!(one(&answer), ROWS, "{sql}"),
            Err(error) => drop(refusal(sql, &error)),
        }
        nothing_reserved(&server).await;
    }
}
