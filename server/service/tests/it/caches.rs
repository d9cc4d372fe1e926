//! The caches through the wire: what a warm query asks the store for, and that no cache ever makes an answer wrong.

use std::time::Duration;

use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use owlake::ScanConfig;
use owlake_mems3::{Counts, Operation};
use owlake_proto::v1::{Counters, InvalidateLocationRequest};
use parquet::file::properties::WriterProperties;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::harness::{Answer, BUCKET, TestServer, numbers, one, parquet_with};

/// Listings are believed for as long as any test runs.
fn believing() -> ScanConfig {
    ScanConfig {
        listing_ttl: Duration::from_secs(3600),
        ..ScanConfig::default()
    }
}

async fn server(scan: ScanConfig) -> TestServer {
    TestServer::with_scan(scan).await
}

/// Numbers that take eight bytes each in the file.
fn put_plain(server: &TestServer, key: &str, values: std::ops::Range<i64>) {
    let plain = WriterProperties::builder().set_dictionary_enabled(false).build();
    server
        .store
        .put(BUCKET, key, parquet_with(&numbers(values), plain));
}

fn counters(answer: &Answer) -> Counters {
    answer.receipt.counters.expect("every receipt has counters")
}

/// What the store saw of the statement.
async fn asked(server: &TestServer, sql: &str) -> (Answer, Counts) {
    let answer = server.query(sql).await;
    let counts = server.store.counts_for(&answer.receipt.query_id);
    (answer, counts)
}

/// Sends action `owlake.v1.InvalidateLocation` as a hook on the bucket's events would.
async fn invalidate(server: &TestServer, location: &str) -> Result<(), tonic::Status> {
    let url = server.url.replace("grpc://", "http://");
    let channel = tonic::transport::Endpoint::new(url)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let location = location.to_owned();
    let action = Action {
        r#type: "owlake.v1.InvalidateLocation".to_owned(),
        body: InvalidateLocationRequest { location }.encode_to_vec().into(),
    };
    let mut answer = FlightServiceClient::new(channel)
        .do_action(action)
        .await?
        .into_inner();
    answer.message().await.map(|result| assert!(result.is_some()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_query_gets_nothing_and_its_receipt_needs_what_it_needed() {
    let server = server(believing()).await;
    for file in 0..3 {
        put_plain(
            &server,
            &format!("t/{file}.parquet"),
            file * 1000..(file + 1) * 1000,
        );
    }
    server.table_of_numbers("t").await;
    let sql = "SELECT sum(n), count(*) FROM t WHERE n >= 0";
    let (cold, first) = asked(&server, sql).await;
    let (warm, second) = asked(&server, sql).await;
    assert_eq!(warm.rows, cold.rows);
    assert!(first.get_requests >= 3, "{first:?}");
    // Nothing is read; each file is asked for under its tag, which costs a twelfth of a LIST.
    assert_eq!(
        (second.get_requests, second.list_requests, second.head_requests),
        (0, 0, 3)
    );
    let (cold, warm) = (counters(&cold), counters(&warm));
    assert_eq!(warm.data_scanned_bytes, cold.data_scanned_bytes);
    assert_eq!(warm.metadata_bytes, cold.metadata_bytes);
    assert_eq!(warm.cached_bytes, warm.metadata_bytes + warm.data_scanned_bytes);
    assert_eq!(cold.cached_bytes, 0);
    assert_eq!(warm.transferred_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_data_counts_against_the_cap_as_any_other() {
    let server = server(believing()).await;
    put_plain(&server, "t/a.parquet", 0..10_000);
    server.table_of_numbers("t").await;
    let sql = "SELECT sum(n) FROM t";
    let cold = counters(&server.query(sql).await);
    for (limit, fits) in [
        (cold.data_scanned_bytes - 1, false),
        (cold.data_scanned_bytes, true),
    ] {
        server
            .client
            .set("max_data_scanned_bytes", Some(&limit.to_string()))
            .unwrap();
        if fits {
            let warm = counters(&server.query(sql).await);
            assert_eq!(warm.cached_bytes, warm.metadata_bytes + warm.data_scanned_bytes);
        } else {
            assert_eq!(server.refused(sql).await.code(), Some("EXCEEDED_SCAN_LIMIT"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_table_is_still_cached_after_a_scan_of_ten_times_the_cache() {
    let scan = ScanConfig {
        block_memory_bytes: 1 << 20,
        ..believing()
    };
    let server = server(scan).await;
    put_plain(&server, "hot/a.parquet", 0..5_000);
    for file in 0..20 {
        put_plain(&server, &format!("big/{file}.parquet"), 0..65_536);
    }
    server.table_of_numbers("hot").await;
    server.table_of_numbers("big").await;
    let hot = "SELECT sum(n) FROM hot";
    for _ in 0..3 {
        server.query(hot).await;
    }
    let (_, scan) = asked(&server, "SELECT sum(n) FROM big").await;
    assert!(scan.object_body_bytes_sent > 10 << 20, "{scan:?}");
    let (answer, counts) = asked(&server, hot).await;
    assert_eq!((one(&answer), counts.get_requests), (12_497_500, 0));
    let held = server
        .query("SELECT bytes <= max_bytes, evictions > 0 FROM system.caches WHERE name = 'block'")
        .await;
    assert_eq!(held.rows, [["true", "true"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_without_files_is_remembered_too() {
    let server = server(believing()).await;
    server
        .query(
            "CREATE EXTERNAL TABLE e (n bigint) PARTITIONED BY (k int) STORED AS PARQUET \
             LOCATION 's3://test-lake/e/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.k.type' = 'integer', 'projection.k.range' = '1,9')",
        )
        .await;
    let sql = "SELECT count(*) FROM e";
    let (cold, first) = asked(&server, sql).await;
    assert_eq!((one(&cold), first.list_requests), (0, 9));
    let (warm, second) = asked(&server, sql).await;
    assert_eq!((one(&warm), second.requests()), (0, 0));
    server.put("e/k=4/a.parquet", &numbers([1]));
    invalidate(&server, "s3://test-lake/e/k=4/a.parquet")
        .await
        .unwrap();
    let (told, third) = asked(&server, sql).await;
    assert_eq!(
        (one(&told), third.list_requests),
        (1, 1),
        "only the prefix that changed is listed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_table_forgets_what_is_cached_of_it_and_of_nothing_else() {
    let server = server(believing()).await;
    for name in ["t", "u"] {
        server.put(&format!("{name}/1.parquet"), &numbers([1]));
        server.table_of_numbers(name).await;
        server.query(&format!("SELECT sum(n) FROM {name}")).await;
        server.put(&format!("{name}/2.parquet"), &numbers([2]));
    }
    assert_eq!(
        one(&server.query("SELECT sum(n) FROM t").await),
        1,
        "within the lifetime"
    );
    let answer = server.query("REFRESH TABLE t").await;
    assert!(answer.rows.is_empty());
    let (answer, counts) = asked(&server, "SELECT sum(n) FROM t").await;
    assert_eq!((one(&answer), counts.list_requests), (3, 1));
    assert!(
        counts.get_requests >= 2,
        "footers and data are read anew: {counts:?}"
    );
    assert_eq!(
        one(&server.query("SELECT sum(n) FROM u").await),
        1,
        "another table"
    );
    assert_eq!(
        server.refused("REFRESH TABLE nope").await.code(),
        Some("TABLE_NOT_FOUND")
    );
    assert_eq!(server.refused("REFRESH nope").await.code(), Some("SYNTAX_ERROR"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_told_change_is_seen_at_once_and_only_below_allowed_roots() {
    let server = server(believing()).await;
    server.put("t/1.parquet", &numbers([1]));
    server.table_of_numbers("t").await;
    let sum = "SELECT sum(n) FROM t";
    assert_eq!(one(&server.query(sum).await), 1);
    server.put("t/2.parquet", &numbers([2]));
    // Neither another directory nor one whose name only starts alike.
    for other in ["s3://test-lake/u/", "s3://test-lake/t2/x.parquet"] {
        invalidate(&server, other).await.unwrap();
        assert_eq!(one(&server.query(sum).await), 1, "{other}");
    }
    invalidate(&server, "s3://test-lake/t/2.parquet").await.unwrap();
    assert_eq!(one(&server.query(sum).await), 3);
    server.put("t/3.parquet", &numbers([3]));
    server.lake.invalidate_location("s3://test-lake/").unwrap();
    assert_eq!(one(&server.query(sum).await), 6);
    for (outside, code) in [
        ("s3://other-lake/t/", "LOCATION_NOT_ALLOWED"),
        ("nonsense", "INVALID_ARGUMENTS"),
    ] {
        let refused = invalidate(&server, outside).await.unwrap_err();
        assert!(refused.message().contains(code), "{outside}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_told_while_its_prefix_is_listed_is_not_lost() {
    let server = server(believing()).await;
    server.put("t/1.parquet", &numbers([1]));
    server.table_of_numbers("t").await;
    let gate = server.store.pause_after("t", Operation::ListObjectsV2);
    let client = server.client.clone();
    let query = tokio::spawn(async move { crate::harness::run(&client, "SELECT sum(n) FROM t").await });
    gate.wait_reached().await;
    server.put("t/2.parquet", &numbers([2]));
    invalidate(&server, "s3://test-lake/t/2.parquet").await.unwrap();
    gate.release();
    assert!([1, 3].contains(&one(&query.await.unwrap().unwrap())));
    assert_eq!(one(&server.query("SELECT sum(n) FROM t").await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_prefixes_take_a_handful_of_listings() {
    let server = server(believing()).await;
    let file = crate::harness::parquet(&numbers([7]));
    // Two in five have a file, and names lie between `k=1` and `k=1/`.
    for k in (0..5000).filter(|k| k % 5 < 2) {
        server
            .store
            .put(BUCKET, &format!("p/k={k}/a.parquet"), file.clone());
    }
    server.store.put(BUCKET, "p/k=1-old/a.parquet", file.clone());
    server
        .query(
            "CREATE EXTERNAL TABLE p (n bigint) PARTITIONED BY (k int) STORED AS PARQUET \
             LOCATION 's3://test-lake/p/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.k.type' = 'integer', 'projection.k.range' = '0,4999')",
        )
        .await;
    let sql = "SELECT count(*), sum(k) FROM p";
    let sum: i64 = (0..5000).filter(|k| k % 5 < 2).sum();
    let (cold, first) = asked(&server, sql).await;
    assert_eq!(cold.rows, [["2000".to_owned(), sum.to_string()]]);
    assert!(first.list_requests <= 6, "{first:?}");
    let scan = &cold.receipt.scans[0];
    assert_eq!((scan.partitions_read, scan.files_total), (5000, 2000));
    // From the caches, and the proof of 2,000 cached listings takes a handful as well.
    let (warm, second) = asked(&server, sql).await;
    assert_eq!(warm.rows, cold.rows);
    assert!(second.list_requests <= 6, "{second:?}");
    assert_eq!((second.get_requests, second.head_requests), (0, 0));
    // A file that is gone is noticed by that proof.
    assert!(server.store.delete(BUCKET, "p/k=1000/a.parquet"));
    assert_eq!(server.query("SELECT count(*) FROM p").await.rows, [["1999"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_preview_proves_only_what_it_opens() {
    let server = server(believing()).await;
    let put = |k: i64, n: i64| {
        let file = crate::harness::parquet(&numbers([n]));
        server.store.put(BUCKET, &format!("v/k={k}/a.parquet"), file);
    };
    (100..400).for_each(|k| put(k, 7));
    server
        .query(
            "CREATE EXTERNAL TABLE v (n bigint) PARTITIONED BY (k int) STORED AS PARQUET \
             LOCATION 's3://test-lake/v/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.k.type' = 'integer', 'projection.k.range' = '100,399')",
        )
        .await;
    let sql = "SELECT n FROM v LIMIT 1";
    let (cold, _) = asked(&server, sql).await;
    let (warm, counts) = asked(&server, sql).await;
    assert_eq!(
        (cold.rows, warm.rows),
        (vec![vec!["7".to_owned()]], vec![vec!["7".to_owned()]])
    );
    assert_eq!((counts.list_requests, counts.get_requests), (0, 0), "{counts:?}");
    assert!(counts.head_requests <= 4, "{counts:?}");
    // Each row of which the answer could tell is current.
    (100..104).for_each(|k| put(k, 8));
    assert_eq!(server.query(sql).await.rows, [["8"]]);
    // Nothing is left out where the rows of all files are asked for.
    assert!(server.store.delete(BUCKET, "v/k=300/a.parquet"));
    assert_eq!(server.query("SELECT n FROM v LIMIT 1000").await.rows.len(), 299);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_prefixes_among_many_foreign_keys_are_listed_one_by_one() {
    let server = server(believing()).await;
    let file = crate::harness::parquet(&numbers([7]));
    for k in 100..180 {
        for other in 0..400 {
            server
                .store
                .put(BUCKET, &format!("q/k={k}/region=o{other}/a.parquet"), "x");
        }
        server
            .store
            .put(BUCKET, &format!("q/k={k}/region=us/a.parquet"), file.clone());
    }
    server
        .query(
            "CREATE EXTERNAL TABLE q (n bigint) PARTITIONED BY (k int, region string) STORED AS PARQUET \
             LOCATION 's3://test-lake/q/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.k.type' = 'integer', 'projection.k.range' = '100,179', \
             'projection.region.type' = 'enum', 'projection.region.values' = 'o1,us')",
        )
        .await;
    let (answer, counts) = asked(&server, "SELECT sum(n), count(*) FROM q WHERE region = 'us'").await;
    assert_eq!(answer.rows, [["560", "80"]]);
    assert!((70..=81).contains(&counts.list_requests), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn system_caches_shows_what_each_holds() {
    let server = server(believing()).await;
    put_plain(&server, "t/a.parquet", 0..1000);
    server.table_of_numbers("t").await;
    server.query("SELECT sum(n) FROM t").await;
    server.query("SELECT sum(n) FROM t").await;
    let shown = server
        .query(
            "SELECT name, entries, bytes > 0, max_bytes, ttl_ms, hits, misses, evictions, disk_bytes \
             FROM system.caches WHERE name <> 'index' ORDER BY name",
        )
        .await;
    assert_eq!(
        shown.rows,
        [
            ["block", "1", "true", "268435456", "NULL", "1", "1", "0", "0"],
            ["footer", "1", "true", "268435456", "NULL", "1", "1", "0", "0"],
            ["listing", "1", "true", "67108864", "3600000", "1", "1", "0", "0"],
            [
                "result",
                "0",
                "false",
                "67108864",
                "604800000",
                "0",
                "0",
                "0",
                "0"
            ],
        ]
    );
}

/// Files come, go and change, each told to the server as an event of the bucket; every answer is the truth.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_files_every_answer_is_true() {
    let scan = ScanConfig {
        // Small, so that it drops and refuses.
        block_memory_bytes: 64 << 10,
        ..believing()
    };
    let server = server(scan).await;
    server
        .query(
            "CREATE EXTERNAL TABLE r (n bigint) PARTITIONED BY (k int) STORED AS PARQUET \
             LOCATION 's3://test-lake/r/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.k.type' = 'integer', 'projection.k.range' = '0,79')",
        )
        .await;
    let mut random = StdRng::seed_from_u64(20_261_121);
    let mut truth = std::collections::BTreeMap::<String, (i64, std::ops::Range<i64>)>::new();
    for step in 0..150 {
        let k = random.random_range(0..80_i64);
        let key = format!("r/k={k}/{}.parquet", random.random_range(0..2));
        if random.random_range(0..4) == 0 && truth.remove(&key).is_some() {
            assert!(server.store.delete(BUCKET, &key));
        } else {
            // Equal sizes: only the tag tells one version from the next.
            let from = random.random_range(0..1000) * 1000;
            put_plain(&server, &key, from..from + 500);
            let is_new = truth.insert(key.clone(), (k, from..from + 500)).is_none();
            if is_new {
                invalidate(&server, &format!("s3://{BUCKET}/{key}"))
                    .await
                    .unwrap();
            }
        }
        let low = random.random_range(0..80_i64);
        let high = random.random_range(low..80);
        let chosen = || {
            truth
                .values()
                .filter(|(k, _)| (low..=high).contains(k))
                .map(|(_, n)| n)
        };
        let filter = format!("WHERE k BETWEEN {low} AND {high}");
        let (sql, expected) = match random.random_range(0..3) {
            0 => ("count(*)", Some(500 * chosen().count() as i64)),
            1 => ("max(n)", chosen().map(|n| n.end - 1).max()),
            _ => (
                "sum(n)",
                (chosen().count() > 0).then(|| chosen().flat_map(Clone::clone).sum()),
            ),
        };
        let sql = format!("SELECT {sql} FROM r {filter}");
        let expected = expected.map_or("NULL".to_owned(), |n| n.to_string());
        assert_eq!(server.query(&sql).await.rows, [[expected]], "step {step}: {sql}");
    }
}
