//! Objects that change under a running server: the next query is right, and no answer mixes two versions.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch};
use bytes::Bytes;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use owlake::ScanConfig;
use owlake_client::ClientError;
use owlake_mems3::Operation;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::harness::{
    Answer, BUCKET, Builder, TestServer, connect, integers, numbers, one, parquet, parquet_with, run,
};

/// A file of exactly `bytes` bytes with these numbers, made so by a comment in its footer.
fn padded(values: std::ops::Range<i64>, bytes: usize) -> Bytes {
    let file = |pad: usize| {
        let comment = KeyValue::new("comment".to_owned(), "x".repeat(pad));
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(vec![comment]))
            .build();
        parquet_with(&numbers(values.clone()), properties)
    };
    let missing = bytes - file(0).len();
    (missing.saturating_sub(4)..=missing)
        .map(file)
        .find(|f| f.len() == bytes)
        .expect("one padding fits")
}

/// Both versions that the tests below write; equal sizes, everything else differs.
pub fn versions() -> (Bytes, Bytes) {
    let old = padded(0..1000, 12_000);
    let new = padded(2000..2990, 12_000);
    assert_eq!(old.len(), new.len());
    (old, new)
}

/// Query, answer over the old file, answer over the new one.
const QUERIES: [(&str, &str, &str); 6] = [
    ("SELECT sum(n) FROM {t}", "499500", "2469555"),
    ("SELECT count(*) FROM {t} WHERE n < 2010", "1000", "10"),
    ("SELECT min(n) FROM {t}", "0", "2000"),
    ("SELECT max(n) FROM {t}", "999", "2989"),
    ("SELECT count(*) FROM {t}", "1000", "990"),
    // Statistics of the old file say that nothing can match.
    ("SELECT count(n) FROM {t} WHERE n > 1500", "0", "990"),
];

fn small_lists() -> Vec<(&'static str, ScanConfig)> {
    vec![
        ("listings are believed for 30 s", ScanConfig::default()),
        (
            "listings are not believed",
            ScanConfig {
                listing_ttl: Duration::ZERO,
                ..ScanConfig::default()
            },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_overwritten_by_one_of_the_same_size_is_seen_by_the_next_query() {
    let (old, new) = versions();
    for (name, scan) in small_lists() {
        let server = TestServer::with_scan(scan).await;
        for (i, (sql, before, after)) in QUERIES.iter().enumerate() {
            let t = format!("t{i}");
            let sql = sql.replace("{t}", &t);
            server.store.put(BUCKET, &format!("{t}/a.parquet"), old.clone());
            server.table_of_numbers(&t).await;
            // Twice: the second time from the caches.
            for _ in 0..2 {
                assert_eq!(server.query(&sql).await.rows, [[*before]], "{sql}; {name}");
            }
            server.store.put(BUCKET, &format!("{t}/a.parquet"), new.clone());
            assert_eq!(
                server.query(&sql).await.rows,
                [[*after]],
                "{sql} after the overwrite; {name}"
            );
            server.store.put(BUCKET, &format!("{t}/a.parquet"), old.clone());
            assert_eq!(
                server.query(&sql).await.rows,
                [[*before]],
                "{sql} after it was put back; {name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_analyze_shows_a_run_over_the_files_that_are_there() {
    let (old, new) = versions();
    let server = TestServer::start().await;
    server.store.put(BUCKET, "t/a.parquet", old);
    server.table_of_numbers("t").await;
    let explained = async |rows: &str| {
        let answer = server
            .query("EXPLAIN ANALYZE SELECT n FROM t WHERE n >= 0 ORDER BY n")
            .await;
        let text = answer.rows.concat().join("\n");
        assert!(text.contains(&format!("output_rows={rows},")), "{text}");
    };
    // The second time all is cached.
    explained("1.00 K").await;
    explained("1.00 K").await;
    server.store.put(BUCKET, "t/a.parquet", new);
    explained("990").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_file_overwritten_in_place_is_seen_by_the_next_query() {
    let (old, new) = versions();
    let dir = tempfile::tempdir().unwrap();
    let root = format!("file://{}/", dir.path().canonicalize().unwrap().display());
    let server = Builder {
        local_roots: vec![root.clone()],
        ..Builder::default()
    }
    .start()
    .await;
    for (i, (sql, before, after)) in QUERIES.iter().enumerate() {
        let t = format!("t{i}");
        let sql = sql.replace("{t}", &t);
        std::fs::create_dir(dir.path().join(&t)).unwrap();
        let file = dir.path().join(&t).join("a.parquet");
        std::fs::write(&file, &old).unwrap();
        let location = format!("STORED AS PARQUET LOCATION '{root}{t}/'");
        server
            .query(&format!("CREATE EXTERNAL TABLE {t} (n bigint) {location}"))
            .await;
        for _ in 0..2 {
            assert_eq!(server.query(&sql).await.rows, [[*before]], "{sql}");
        }
        std::fs::write(&file, &new).unwrap();
        assert_eq!(
            server.query(&sql).await.rows,
            [[*after]],
            "{sql} after the overwrite"
        );
        std::fs::write(file.with_file_name("b.parquet"), &new).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(
            server.query(&sql).await.rows,
            [[*after]],
            "{sql} under another name"
        );
    }
    assert_eq!(server.store.counts().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_is_gone_for_the_next_query() {
    let (old, new) = versions();
    for (i, (sql, before, _)) in QUERIES.iter().enumerate() {
        let server = TestServer::start().await;
        let t = format!("t{i}");
        let sql = sql.replace("{t}", &t);
        server.store.put(BUCKET, &format!("{t}/a.parquet"), old.clone());
        server.store.put(BUCKET, &format!("{t}/b.parquet"), new.clone());
        server.table_of_numbers(&t).await;
        server.query(&sql).await;
        assert!(server.store.delete(BUCKET, &format!("{t}/b.parquet")));
        assert_eq!(server.query(&sql).await.rows, [[*before]], "{sql}");
        assert!(server.store.delete(BUCKET, &format!("{t}/a.parquet")));
        let empty = if sql.contains("count") { "0" } else { "NULL" };
        assert_eq!(server.query(&sql).await.rows, [[empty]], "{sql} over no file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_somebody_elses_session_is_never_answered_from_what_was_cached_of_an_old_file() {
    let (old, new) = versions();
    let server = TestServer::start().await;
    server.table_of_numbers("t").await;
    for file in 0..9 {
        server
            .store
            .put(BUCKET, &format!("t/{file}.parquet"), old.clone());
    }
    let theirs = SessionContext::new();
    theirs
        .register_table("t", server.lake.table("default.t").await.unwrap())
        .unwrap();
    let ask = async |sql: &str| {
        let rows = theirs.sql(sql).await.unwrap().collect().await.unwrap();
        integers(&rows[0])[0]
    };
    // Twice, so that listing, footers and data are cached.
    for _ in 0..2 {
        assert_eq!(ask("SELECT sum(n) FROM t").await, 9 * 499_500);
        assert_eq!(one(&server.query("SELECT sum(n) FROM t").await), 9 * 499_500);
    }
    server.store.put(BUCKET, "t/4.parquet", new);
    assert_eq!(ask("SELECT sum(n) FROM t").await, 8 * 499_500 + 2_469_555);
    assert_eq!(ask("SELECT max(n) FROM t").await, 2_989);
    assert_eq!(
        one(&server.query("SELECT sum(n) FROM t").await),
        8 * 499_500 + 2_469_555
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_file_is_seen_at_once_where_listings_are_not_believed() {
    let scan = ScanConfig {
        listing_ttl: Duration::ZERO,
        ..ScanConfig::default()
    };
    let server = TestServer::with_scan(scan).await;
    server.table_of_numbers("t").await;
    for (files, sum) in [(1, 1), (2, 3), (3, 6)] {
        server.put(&format!("t/{files}.parquet"), &numbers([files]));
        assert_eq!(one(&server.query("SELECT sum(n) FROM t").await), sum);
        assert_eq!(one(&server.query("SELECT count(*) FROM t").await), files);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_file_is_seen_by_a_server_that_never_listed_its_prefix() {
    let server = TestServer::start().await;
    server.put("t/1.parquet", &numbers([1]));
    server.table_of_numbers("t").await;
    assert_eq!(one(&server.query("SELECT sum(n) FROM t").await), 1);
    server.put("t/2.parquet", &numbers([2]));
    // Within the stated time either answer is right here.
    assert!([1, 3].contains(&one(&server.query("SELECT sum(n) FROM t").await)));
    let fresh = TestServer::start_on(&server.store).await;
    fresh.table_of_numbers("t").await;
    assert_eq!(one(&fresh.query("SELECT sum(n) FROM t").await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_between_listing_and_footer_is_planned_around() {
    let (old, new) = versions();
    for (sql, _, after) in QUERIES {
        let server = TestServer::start().await;
        server.store.put(BUCKET, "t/a.parquet", old.clone());
        server.table_of_numbers("t").await;
        let gate = server.store.pause_after("t", Operation::ListObjectsV2);
        let (client, sql) = (server.client.clone(), sql.replace("{t}", "t"));
        let text = sql.clone();
        let query = tokio::spawn(async move { run(&client, &text).await });
        gate.wait_reached().await;
        server.store.put(BUCKET, "t/a.parquet", new.clone());
        gate.release();
        let answer = query.await.unwrap().unwrap();
        assert_eq!(answer.rows, [[after]], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_between_footer_and_data_are_read_in_one_version() {
    let server = TestServer::start().await;
    let old = |from: i64| parquet(&numbers(from..from + 1000));
    server.store.put(BUCKET, "t/a.parquet", old(0));
    server.store.put(BUCKET, "t/b.parquet", old(1000));
    server.table_of_numbers("t").await;
    // Footers and listing are known now; what follows reads data alone.
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 2000);
    let gate = server.store.pause_before("t/b.parquet", Operation::GetObject);
    let client = server.client.clone();
    let query = tokio::spawn(async move { run(&client, "SELECT sum(n), count(*) FROM t").await });
    gate.wait_reached().await;
    server.store.put(BUCKET, "t/a.parquet", old(10_000));
    server.store.put(BUCKET, "t/b.parquet", old(11_000));
    gate.release();
    let answer = query.await.unwrap().unwrap();
    assert_eq!(
        answer.rows,
        [["21999000", "2000"]],
        "both files in their new version"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_scans_of_one_table_never_see_two_versions() {
    let (old, new) = versions();
    let sql = "SELECT (SELECT max(n) FROM t), (SELECT sum(n) FROM t)";
    for (name, scan) in small_lists() {
        let server = TestServer::with_scan(scan).await;
        server.store.put(BUCKET, "t/a.parquet", old.clone());
        server.table_of_numbers("t").await;
        let gate = server.store.pause_after("t/a.parquet", Operation::GetObject);
        let client = server.client.clone();
        let query = tokio::spawn(async move { run(&client, sql).await });
        gate.wait_reached().await;
        server.store.put(BUCKET, "t/a.parquet", new.clone());
        gate.release();
        let rows = query.await.unwrap().unwrap().rows;
        assert!(
            rows == [["999", "499500"]] || rows == [["2989", "2469555"]],
            "{rows:?}; {name}"
        );
    }
}

/// Tables `whole` and `part` over the same file: the prefix of one is above that of the other.
async fn overlapping_tables(file: &Bytes) -> TestServer {
    let server = TestServer::start().await;
    server.store.put(BUCKET, "t/x/a.parquet", file.clone());
    for (name, prefix) in [("whole", "t"), ("part", "t/x")] {
        let ddl = format!(
            "CREATE EXTERNAL TABLE {name} (n bigint) STORED AS PARQUET LOCATION 's3://{BUCKET}/{prefix}/'"
        );
        server.query(&ddl).await;
    }
    server
}

/// Counts both: the outer prefix is listed and its footer read, which answers its half; the inner one is listed later.
fn count_both(server: &TestServer) -> tokio::task::JoinHandle<Result<Answer, ClientError>> {
    let client = server.client.clone();
    let sql = "SELECT count(*) FROM whole UNION ALL SELECT count(*) FROM part";
    tokio::spawn(async move { run(&client, sql).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tables_over_one_file_never_see_two_versions() {
    let (old, new) = versions();
    let server = overlapping_tables(&old).await;
    let footer = server.store.pause_after("t/x/a.parquet", Operation::GetObject);
    let inner = server.store.pause_before("t/x", Operation::ListObjectsV2);
    let query = count_both(&server);
    footer.wait_reached().await;
    server.store.put(BUCKET, "t/x/a.parquet", new);
    footer.release();
    inner.release();
    let answer = query.await.unwrap().unwrap();
    assert_eq!(answer.rows, [["990"], ["990"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tables_over_a_file_that_changes_twice_are_an_error_that_names_table_and_file() {
    let (old, new) = versions();
    let server = overlapping_tables(&old).await;
    let between = || {
        let footer = server.store.pause_after("t/x/a.parquet", Operation::GetObject);
        let inner = server.store.pause_before("t/x", Operation::ListObjectsV2);
        (footer, inner)
    };
    let (footer, inner) = between();
    let query = count_both(&server);
    footer.wait_reached().await;
    inner.wait_reached().await;
    server.store.put(BUCKET, "t/x/a.parquet", new);
    // The second attempt meets the other change at the same point, and there is no third.
    let (second_footer, second_inner) = between();
    footer.release();
    inner.release();
    second_footer.wait_reached().await;
    second_inner.wait_reached().await;
    server.store.put(BUCKET, "t/x/a.parquet", old);
    second_footer.release();
    second_inner.release();
    let error = query.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("HIVE_FILE_CHANGED"), "{error}");
    let named = "file `t/x/a.parquet` of `default.part` changed";
    assert!(error.to_string().contains(named), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_after_the_first_rows_left_is_an_error_and_not_a_mix() {
    let server = TestServer::start().await;
    let many = |from: i64| {
        let n = Int64Array::from_iter_values(from..from + 100_000);
        RecordBatch::try_from_iter([("n", Arc::new(n) as Arc<dyn Array>)]).unwrap()
    };
    server.put("t/a.parquet", &many(0));
    server.put("t/b.parquet", &many(1_000_000));
    server.table_of_numbers("t").await;
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 200_000);
    let gate = server.store.pause_before("t/b.parquet", Operation::GetObject);
    let client = connect(&server.url).await;
    let mut rows = client.query("SELECT n FROM t").await.unwrap();
    let mut seen = integers(&rows.try_next().await.unwrap().expect("rows of the first file"));
    gate.wait_reached().await;
    server.put("t/b.parquet", &many(5_000_000));
    gate.release();
    let error = loop {
        match rows.try_next().await {
            Ok(Some(batch)) => seen.extend(integers(&batch)),
            Ok(None) => panic!("an answer of {} rows over two versions", seen.len()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some("HIVE_FILE_CHANGED"), "{error}");
    assert!(error.to_string().contains("t/b.parquet"), "{error}");
    assert!(
        seen.iter().all(|n| *n < 100_000),
        "only rows of the first file had left"
    );
    assert_eq!(rows.receipt().unwrap().rows_returned, seen.len() as u64);
    // The same query sent again is right.
    assert_eq!(one(&server.query("SELECT max(n) FROM t").await), 5_099_999);
    assert_eq!(
        one(&server.query("SELECT count(n) FROM t WHERE n >= 0").await),
        200_000
    );
}
