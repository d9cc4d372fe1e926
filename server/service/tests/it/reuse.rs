//! Results given again: only to those who ask for it, and only while nothing they came from has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use owlake::{EngineConfig, WorkgroupConfig};
use owlake_client::Client;

use crate::freshness::versions;
use crate::harness::{Answer, BUCKET, Builder, TestServer, connect, integers, numbers, one, run, text_rows};

/// A server with table `t` over one file with the numbers 0 to 999.
async fn lake(builder: Builder) -> TestServer {
    let server = builder.start().await;
    server.put("t/a.parquet", &numbers(0..1000));
    server.table_of_numbers("t").await;
    server
}

/// A client whose queries take results of the last hour.
async fn reuser(server: &TestServer) -> Client {
    let client = connect(&server.url).await;
    client.set("result_reuse_max_age", Some("60m")).unwrap();
    client
}

async fn ask(client: &Client, sql: &str) -> Answer {
    run(client, sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"))
}

#[track_caller]
fn assert_runs(answer: &Answer, context: &str) {
    assert_eq!(answer.receipt.reused_query_id, "", "{context}");
    assert!(
        !answer.receipt.notices.iter().any(|n| n.contains("reused")),
        "{context}"
    );
}

#[track_caller]
fn assert_reuses(answer: &Answer, first: &Answer, context: &str) {
    let receipt = &answer.receipt;
    assert_eq!(receipt.reused_query_id, first.receipt.query_id, "{context}");
    assert_eq!(answer.rows, first.rows, "{context}");
    assert_eq!(receipt.rows_returned, first.receipt.rows_returned, "{context}");
    assert_eq!(receipt.counters.unwrap().data_scanned_bytes, 0, "{context}");
    assert_eq!(receipt.billed_bytes, 0, "{context}");
    let said = format!("the result of query {} was reused", first.receipt.query_id);
    assert!(receipt.notices.iter().any(|n| n.contains(&said)), "{context}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_query_over_the_same_files_is_answered_by_the_kept_result() {
    let server = lake(Builder::default()).await;
    let client = reuser(&server).await;
    let first = ask(
        &client,
        "SELECT n % 10 AS d, sum(n) FROM t GROUP BY n % 10 ORDER BY d",
    )
    .await;
    assert_runs(&first, "the first");
    assert!(first.receipt.counters.unwrap().data_scanned_bytes > 0);
    server.store.reset_log();
    let again = "select n % 10 as d,  SUM(n) from T group by n % 10\norder by d";
    let second = ask(&client, again).await;
    assert_reuses(&second, &first, "the second");
    // The files were listed anew, and that is on the receipt; nothing else was asked of the store.
    let counts = server.store.counts();
    assert_eq!(counts.requests(), 1, "{:?}", server.store.requests());
    assert_eq!(second.receipt.counters.unwrap().list_requests, 1);
    let ledger = format!(
        "SELECT reused_query_id, data_scanned_bytes, billed_bytes, list_requests, state FROM system.queries \
         WHERE query_id = '{}'",
        second.receipt.query_id
    );
    let kept = [&first.receipt.query_id, "0", "0", "1", "SUCCEEDED"];
    assert_eq!(server.query(&ledger).await.rows, [kept]);
    // Another client's session asks for the same; one that does not ask is not answered so.
    assert_reuses(
        &ask(&reuser(&server).await, again).await,
        &first,
        "another client",
    );
    assert_runs(&server.query(again).await, "a client that did not ask");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_did_not_ask_leaves_no_result_behind() {
    let server = lake(Builder::default()).await;
    let sql = "SELECT sum(n) FROM t";
    assert_runs(&server.query(sql).await, "did not ask");
    let client = reuser(&server).await;
    assert_runs(&ask(&client, sql).await, "the first that asked");
    for (value, reuses) in [("0s", false), ("60m", true)] {
        let set = format!("SET SESSION result_reuse_max_age = '{value}'");
        let session = connect(&server.url).await;
        ask(&session, &set).await;
        let answer = ask(&session, sql).await;
        assert_eq!(!answer.receipt.reused_query_id.is_empty(), reuses, "{value}");
    }
    for value in ["8d", "soon"] {
        let refused = connect(&server.url).await;
        refused.set("result_reuse_max_age", Some(value)).unwrap();
        let error = run(&refused, sql).await.unwrap_err();
        assert_eq!(error.code(), Some("INVALID_SESSION_PROPERTY"), "{value}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_overwritten_by_one_of_the_same_size_is_read() {
    let (old, new) = versions();
    let server = TestServer::start().await;
    server.table_of_numbers("t").await;
    let client = reuser(&server).await;
    for (sql, before, after) in [
        ("SELECT sum(n) FROM t", "499500", "2469555"),
        ("SELECT count(*) FROM t", "1000", "990"),
        ("SELECT count(n) FROM t WHERE n > 1500", "0", "990"),
    ] {
        server.store.put(BUCKET, "t/a.parquet", old.clone());
        let first = ask(&client, sql).await;
        assert_eq!(first.rows, [[before]], "{sql}");
        assert_reuses(&ask(&client, sql).await, &first, sql);
        server.store.put(BUCKET, "t/a.parquet", new.clone());
        let changed = ask(&client, sql).await;
        assert_runs(&changed, sql);
        assert_eq!(changed.rows, [[after]], "{sql}");
        // The old content under its old name is the old answer's again.
        server.store.put(BUCKET, "t/a.parquet", old.clone());
        assert_eq!(ask(&client, sql).await.rows, [[before]], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_or_deleted_file_is_noticed_at_once() {
    let server = lake(Builder::default()).await;
    let client = reuser(&server).await;
    let sql = "SELECT count(*), max(n) FROM t";
    let first = ask(&client, sql).await;
    assert_reuses(&ask(&client, sql).await, &first, "nothing changed");
    server.put("t/b.parquet", &numbers(5000..5010));
    let added = ask(&client, sql).await;
    assert_runs(&added, "a file was added");
    assert_eq!(added.rows, [["1010", "5009"]]);
    assert!(server.store.delete(BUCKET, "t/a.parquet"));
    let deleted = ask(&client, sql).await;
    assert_runs(&deleted, "a file was deleted");
    assert_eq!(deleted.rows, [["10", "5009"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_file_overwritten_in_place_is_read() {
    let (old, new) = versions();
    let dir = tempfile::tempdir().unwrap();
    let root = format!("file://{}/", dir.path().canonicalize().unwrap().display());
    let server = Builder {
        local_roots: vec![root.clone()],
        ..Builder::default()
    }
    .start()
    .await;
    std::fs::create_dir(dir.path().join("t")).unwrap();
    let file = dir.path().join("t/a.parquet");
    std::fs::write(&file, &old).unwrap();
    let location = format!("STORED AS PARQUET LOCATION '{root}t/'");
    server
        .query(&format!("CREATE EXTERNAL TABLE t (n bigint) {location}"))
        .await;
    let client = reuser(&server).await;
    let first = ask(&client, "SELECT sum(n) FROM t").await;
    assert_reuses(&ask(&client, "SELECT sum(n) FROM t").await, &first, "local");
    std::fs::write(&file, &new).unwrap();
    assert_eq!(ask(&client, "SELECT sum(n) FROM t").await.rows, [["2469555"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_definition_is_another_table() {
    let server = lake(Builder::default()).await;
    let client = reuser(&server).await;
    let sql = "SELECT sum(n) FROM t";
    let first = ask(&client, sql).await;
    ask(&client, "DROP TABLE t").await;
    let error = run(&client, sql).await.unwrap_err();
    assert_eq!(error.code(), Some("TABLE_NOT_FOUND"), "{error}");
    server.table_of_numbers("t").await;
    let second = ask(&client, sql).await;
    assert_runs(&second, "dropped and created again");
    assert_eq!(second.rows, first.rows);
    assert_reuses(&ask(&client, sql).await, &second, "the new table's result");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_change_places_change_the_answer() {
    let server = TestServer::start().await;
    server.put("p/1/a.parquet", &numbers(0..10));
    server.put("p/2/a.parquet", &numbers(0..20));
    let ddl = format!(
        "CREATE EXTERNAL TABLE p (n bigint) PARTITIONED BY (dt string) STORED AS PARQUET LOCATION 's3://{BUCKET}/p/'"
    );
    server.query(&ddl).await;
    let client = reuser(&server).await;
    let add = |a: &str, b: &str| {
        format!(
            "ALTER TABLE p ADD PARTITION (dt = 'a') LOCATION 's3://{BUCKET}/p/{a}/' \
             PARTITION (dt = 'b') LOCATION 's3://{BUCKET}/p/{b}/'"
        )
    };
    let sql = "SELECT dt, count(n) FROM p GROUP BY dt ORDER BY dt";
    ask(&client, &add("1", "2")).await;
    let first = ask(&client, sql).await;
    assert_eq!(first.rows, [["a", "10"], ["b", "20"]]);
    assert_reuses(&ask(&client, sql).await, &first, "nothing changed");
    ask(
        &client,
        "ALTER TABLE p DROP PARTITION (dt = 'a'), PARTITION (dt = 'b')",
    )
    .await;
    ask(&client, &add("2", "1")).await;
    assert_eq!(ask(&client, sql).await.rows, [["a", "20"], ["b", "10"]]);
    // Only the partitions that a query reads count.
    let one_sided = "SELECT sum(n) FROM p WHERE dt = 'b'";
    let narrow = ask(&client, one_sided).await;
    server.put("p/2/b.parquet", &numbers(0..1));
    assert_reuses(
        &ask(&client, one_sided).await,
        &narrow,
        "another partition changed",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_parameters_are_another_query() {
    let server = lake(Builder::default()).await;
    let client = reuser(&server).await;
    let mut prepared = client
        .prepare("SELECT count(*) FROM t WHERE n < ?")
        .await
        .unwrap();
    let mut answers = Vec::new();
    for below in [10, 20, 10] {
        prepared.bind(&numbers([below])).await.unwrap();
        let mut stream = prepared.query().await.unwrap();
        let mut rows = Vec::new();
        while let Some(batch) = stream.try_next().await.unwrap() {
            rows.extend(text_rows(&batch));
        }
        let receipt = stream.receipt().cloned().unwrap();
        answers.push(Answer { rows, receipt });
    }
    assert_runs(&answers[0], "the first value");
    assert_runs(&answers[1], "another value");
    assert_eq!(one(&answers[1]), 20);
    assert_reuses(&answers[2], &answers[0], "the first value again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_time_or_order_of_arrival_decides_is_never_reused() {
    let server = lake(Builder::default()).await;
    let client = reuser(&server).await;
    for sql in [
        "SELECT n, now() FROM t WHERE n = 1",
        "SELECT count(*) FROM t WHERE current_date > DATE '2020-01-01'",
        "SELECT count(*) FROM t WHERE date_diff('day', current_timestamp, now()) = 0",
        "SELECT n FROM t LIMIT 5",
        "SELECT n FROM t OFFSET 5",
        "SELECT sum(n) FROM (SELECT n FROM t LIMIT 5)",
        "SELECT (SELECT n FROM t LIMIT 1)",
        "SELECT count(*) FROM t WHERE n IN (SELECT n FROM t LIMIT 5)",
        "SELECT count(*) FROM t CROSS JOIN system.settings",
        "SELECT count(*) FROM system.queries",
        "SELECT table_name FROM information_schema.tables",
        "SELECT 1",
    ] {
        for attempt in 0..2 {
            assert_runs(&ask(&client, sql).await, &format!("{sql}, attempt {attempt}"));
        }
    }
    for sql in [
        "SELECT n FROM t ORDER BY n LIMIT 5",
        "SELECT x FROM (SELECT n AS x FROM t ORDER BY n DESC LIMIT 3) ORDER BY x",
        "SELECT count(*) FROM t a JOIN t b ON a.n = b.n + 1 WHERE a.n > (SELECT avg(n) FROM t)",
        "WITH a AS (SELECT n, row_number() OVER (ORDER BY n) AS r FROM t) SELECT sum(r) FROM a WHERE n < 10",
        "SELECT n FROM t WHERE n < 0",
    ] {
        let first = ask(&client, sql).await;
        assert_reuses(&ask(&client, sql).await, &first, sql);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_were_not_sent_whole_are_not_kept() {
    let server = lake(Builder::default()).await;
    let client = reuser(&server).await;
    let many = Int64Array::from_iter_values(0..100_000);
    let batch = RecordBatch::try_from_iter([("n", Arc::new(many) as Arc<dyn Array>)]).unwrap();
    server.put("many/a.parquet", &batch);
    server.table_of_numbers("many").await;
    let sql = "SELECT n FROM many";
    let mut stream = client.query(sql).await.unwrap();
    let seen = integers(&stream.try_next().await.unwrap().expect("some rows"));
    assert!(seen.len() < 100_000);
    drop(stream);
    let whole = ask(&client, sql).await;
    assert_runs(&whole, "after a client that went away");
    assert_eq!(whole.rows.len(), 100_000);
    assert_reuses(&ask(&client, sql).await, &whole, "after a whole answer");
    for _ in 0..2 {
        let error = run(&client, "SELECT 1 / (n - n) FROM many").await.unwrap_err();
        assert_eq!(error.code(), Some("DIVISION_BY_ZERO"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_results_has_limits() {
    let sql = "SELECT n FROM t ORDER BY n";
    for (engine, kept) in [
        (EngineConfig::default(), true),
        (
            EngineConfig {
                max_kept_result_bytes: 1000,
                ..EngineConfig::default()
            },
            false,
        ),
        (
            EngineConfig {
                result_memory_bytes: 0,
                ..EngineConfig::default()
            },
            false,
        ),
    ] {
        let server = lake(Builder {
            engine,
            ..Builder::default()
        })
        .await;
        let client = reuser(&server).await;
        ask(&client, sql).await;
        let second = ask(&client, sql).await;
        assert_eq!(!second.receipt.reused_query_id.is_empty(), kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workgroup_can_ask_for_its_queries() {
    let engine = EngineConfig {
        workgroups: vec![WorkgroupConfig {
            name: "bi".to_owned(),
            result_reuse_max_age: Some(Duration::from_secs(3600)),
            ..WorkgroupConfig::default()
        }],
        ..EngineConfig::default()
    };
    let server = lake(Builder {
        engine,
        ..Builder::default()
    })
    .await;
    let sql = "SELECT sum(n) FROM t";
    let client = connect(&server.url).await;
    client.set("workgroup", Some("bi")).unwrap();
    let first = ask(&client, sql).await;
    assert_reuses(&ask(&client, sql).await, &first, "the workgroup asks");
    client.set("result_reuse_max_age", Some("0s")).unwrap();
    assert_runs(&ask(&client, sql).await, "the session does not want it");

    let by_sql = connect(&server.url).await;
    ask(&by_sql, "CREATE WORKGROUP ad").await;
    by_sql.set("workgroup", Some("ad")).unwrap();
    assert_runs(&ask(&by_sql, sql).await, "a workgroup that does not ask");
    ask(&by_sql, "ALTER WORKGROUP ad SET (result_reuse_max_age = '60m')").await;
    assert_reuses(&ask(&by_sql, sql).await, &first, "a workgroup that was altered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_result_costs_no_allowance() {
    let server = lake(Builder::default()).await;
    let client = reuser(&server).await;
    let sql = "SELECT sum(n) FROM t";
    let first = ask(&client, sql).await;
    client.set("max_data_scanned_bytes", Some("1")).unwrap();
    assert_reuses(&ask(&client, sql).await, &first, "under a cap of one byte");
    let error = run(&client, "SELECT sum(n + 1) FROM t").await.unwrap_err();
    assert_eq!(error.code(), Some("EXCEEDED_SCAN_LIMIT"), "{error}");
}

/// The server's clock of the test below, seconds.
static CLOCK: AtomicI64 = AtomicI64::new(1_700_000_000);

fn clock() -> DateTime<Utc> {
    DateTime::from_timestamp(CLOCK.load(Ordering::Relaxed), 0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_too_old_is_made_again() {
    let server = lake(Builder {
        clock: Some(clock),
        ..Builder::default()
    })
    .await;
    let client = reuser(&server).await;
    let sql = "SELECT sum(n) FROM t";
    let first = ask(&client, sql).await;
    CLOCK.fetch_add(3600, Ordering::Relaxed);
    let hour = ask(&client, sql).await;
    assert_reuses(&hour, &first, "an hour later");
    assert!(
        hour.receipt.notices[0].contains("3600 s ago"),
        "{:?}",
        hour.receipt.notices
    );
    CLOCK.fetch_add(1, Ordering::Relaxed);
    let later = ask(&client, sql).await;
    assert_runs(&later, "an hour and a second later");
    assert_reuses(&ask(&client, sql).await, &later, "the new result");
    // A clock that was set back makes no result young.
    CLOCK.fetch_sub(10, Ordering::Relaxed);
    assert_runs(&ask(&client, sql).await, "before the result was made");
}
