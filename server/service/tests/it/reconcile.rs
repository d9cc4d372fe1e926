//! Every receipt against the store's own books: requests and bytes, alone and eight at once, cold and warm.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use owlake::ScanConfig;
use owlake_client::QueryReceipt;
use owlake_mems3::{Counts, Latency, MemS3};
use owlake_proto::v1::Counters;

use crate::harness::{
    Answer, BUCKET, Builder, PATIENCE, TestServer, adds_up, connect, numbers, parquet_with, run,
};

/// One query of each shape, beside those of the scan-cost benchmark.
const QUERIES: [&str; 19] = [
    "SELECT l_returnflag, sum(l_extendedprice) AS price, avg(l_discount) AS discount FROM lineitem_by_month \
     GROUP BY l_returnflag ORDER BY l_returnflag",
    "SELECT * FROM lineitem ORDER BY l_orderkey, l_linenumber",
    "SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem \
     WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01' AND l_quantity < 24",
    "SELECT c_mktsegment, count(*) AS orders FROM customer JOIN orders ON c_custkey = o_custkey \
     GROUP BY c_mktsegment ORDER BY c_mktsegment",
    "SELECT event_type, count(*) AS events, max(duration_ms) AS longest FROM events \
     WHERE dt = '2024-03-03' AND region = 'eu' GROUP BY event_type ORDER BY event_type",
    "SELECT count(*) FROM lineitem_by_month",
    "SELECT min(o_orderkey), max(o_orderkey) FROM orders",
    "SELECT DISTINCT dt, region FROM events WHERE hour BETWEEN 3 AND 5 ORDER BY dt, region",
    "SELECT o_orderkey FROM orders LIMIT 10",
    // From here on: `benches/src/scan_cost.rs`.
    "SELECT l_returnflag, sum(l_extendedprice) FROM lineitem_by_month GROUP BY l_returnflag ORDER BY l_returnflag",
    "SELECT sum(l_extendedprice) FROM lineitem_by_month WHERE year = 1995 AND month = 3",
    "SELECT sum(l_quantity) FROM lineitem_by_month WHERE year = 1996",
    "SELECT year, count(*) FROM lineitem_by_month GROUP BY year ORDER BY year",
    "SELECT count(*) FROM lineitem",
    "SELECT min(o_orderdate), max(o_orderdate) FROM orders",
    "SELECT count(*) FROM orders WHERE o_orderkey = 7",
    "SELECT sum(l_extendedprice * l_discount) FROM lineitem WHERE l_quantity < 24",
    "SELECT n_name, count(*) FROM customer JOIN nation ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name",
    "SELECT * FROM lineitem LIMIT 10",
];

/// The generated lake, made once for all tests here.
fn objects() -> &'static [(String, Bytes)] {
    static OBJECTS: OnceLock<Vec<(String, Bytes)>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let mut objects = Vec::new();
        owlake::demo::lake::generate(owlake::demo::lake::MIN_SCALE_FACTOR, |key, bytes| {
            objects.push((key.to_owned(), bytes));
            Ok(())
        })
        .unwrap();
        objects
    })
}

async fn lake(scan: ScanConfig) -> TestServer {
    let objects = tokio::task::spawn_blocking(objects).await.unwrap();
    let server = TestServer::with_scan(scan).await;
    for (key, bytes) in objects {
        server.store.put(BUCKET, key, bytes.clone());
    }
    for ddl in owlake::demo::lake::ddl(&format!("s3://{BUCKET}/")) {
        server.query(&ddl).await;
    }
    server.store.reset_log();
    server
}

/// The default, and one where near ranges are not joined and most footers take two requests.
fn configs() -> [ScanConfig; 2] {
    let many_requests = ScanConfig {
        coalesce_gap_bytes: 0,
        footer_hint_bytes: 64,
        whole_file_bytes: 0,
        ..ScanConfig::default()
    };
    [ScanConfig::default(), many_requests]
}

fn counters(receipt: &QueryReceipt) -> Counters {
    receipt.counters.expect("every receipt has counters")
}

/// The receipt against the store's log of the same query.
fn reconcile(store: &MemS3, receipt: &QueryReceipt, sql: &str) -> Counts {
    let (mine, theirs) = (counters(receipt), store.counts_for(&receipt.query_id));
    let what = format!("{sql}\n{mine:?}\n{theirs:?}");
    assert_eq!(mine.list_requests, theirs.list_requests, "{what}");
    assert_eq!(mine.head_requests, theirs.head_requests, "{what}");
    assert_eq!(mine.put_requests, theirs.put_requests, "{what}");
    assert_eq!(mine.put_requests + theirs.other_requests, 0, "{what}");
    // Who goes away before the answer cannot know whether the store gave one.
    let unknown = mine.unanswered_requests;
    assert!(
        (mine.get_requests..=mine.get_requests + unknown).contains(&theirs.get_requests),
        "{what}"
    );
    assert!(mine.transferred_bytes <= theirs.object_body_bytes_sent, "{what}");
    assert!(theirs.object_body_bytes_sent <= mine.requested_bytes, "{what}");
    if mine.aborted_requests + unknown == 0 {
        assert_eq!(mine.transferred_bytes, theirs.object_body_bytes_sent, "{what}");
        assert_eq!(mine.requested_bytes, mine.transferred_bytes, "{what}");
        assert_eq!(mine.aborted_bytes_max, 0, "{what}");
    } else {
        assert!(
            receipt.timing_dependent,
            "only a plan that may stop early cuts bodies\n{what}"
        );
    }
    if unknown == 0 {
        assert_eq!(
            mine.requested_bytes,
            mine.transferred_bytes + mine.aborted_bytes_max,
            "{what}"
        );
    }
    assert_eq!(
        receipt.scans.iter().map(|s| s.data_scanned_bytes).sum::<u64>(),
        mine.data_scanned_bytes,
        "{what}"
    );
    assert_eq!(
        receipt.scans.iter().map(|s| s.metadata_bytes).sum::<u64>(),
        mine.metadata_bytes,
        "{what}"
    );
    assert!(
        mine.cached_bytes <= mine.metadata_bytes + mine.data_scanned_bytes,
        "{what}"
    );
    theirs
}

/// What the answer needed does not depend on what the caches knew.
fn same_need(cold: &Answer, warm: &Answer, sql: &str) {
    if cold.receipt.timing_dependent {
        return;
    }
    assert_eq!(cold.rows, warm.rows, "{sql}");
    let (cold, warm) = (counters(&cold.receipt), counters(&warm.receipt));
    assert_eq!(cold.data_scanned_bytes, warm.data_scanned_bytes, "{sql}");
    assert_eq!(cold.metadata_bytes, warm.metadata_bytes, "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_every_receipt_equals_the_books_of_the_store_cold_and_warm() {
    for config in configs() {
        let server = lake(config).await;
        let mut counts = Vec::new();
        for sql in QUERIES {
            let cold = server.query(sql).await;
            let warm = server.query(sql).await;
            server.store.wait_idle().await;
            counts.push(reconcile(&server.store, &cold.receipt, sql));
            counts.push(reconcile(&server.store, &warm.receipt, sql));
            same_need(&cold, &warm, sql);
            let same = !cold.receipt.timing_dependent;
            let (cold, warm) = (counters(&cold.receipt), counters(&warm.receipt));
            if same {
                assert_eq!(
                    warm.cached_bytes,
                    warm.metadata_bytes + warm.data_scanned_bytes,
                    "{sql}: all is known the second time"
                );
            }
            assert!(warm.cached_bytes >= warm.metadata_bytes, "{sql}");
            assert!(warm.get_requests <= cold.get_requests, "{sql}");
        }
        adds_up(&server.store, &counts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_each_receipt_is_its_own() {
    for config in configs() {
        let server = lake(config).await;
        let alone = lake(ScanConfig::default()).await;
        for sql in QUERIES {
            // Cold for all eight, then warm for all eight.
            for _ in 0..2 {
                server.store.reset_log();
                let clients = join_all((0..8).map(|_| connect(&server.url))).await;
                let answers = join_all(clients.iter().map(|client| run(client, sql))).await;
                let answers: Vec<Answer> = answers
                    .into_iter()
                    .map(|a| a.unwrap_or_else(|e| panic!("{sql}\n{e}")))
                    .collect();
                server.store.wait_idle().await;
                let expected = alone.query(sql).await;
                let mut counts = Vec::new();
                for answer in &answers {
                    counts.push(reconcile(&server.store, &answer.receipt, sql));
                    same_need(&expected, answer, sql);
                }
                adds_up(&server.store, &counts);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_queries_at_once_add_up_to_the_books_of_the_store() {
    let server = lake(ScanConfig::default()).await;
    let clients = join_all(QUERIES.iter().map(|_| connect(&server.url))).await;
    let running = clients.iter().zip(QUERIES).map(|(client, sql)| run(client, sql));
    let answers = join_all(running).await;
    server.store.wait_idle().await;
    let counts: Vec<Counts> = answers
        .into_iter()
        .zip(QUERIES)
        .map(|(answer, sql)| {
            reconcile(
                &server.store,
                &answer.unwrap_or_else(|e| panic!("{sql}\n{e}")).receipt,
                sql,
            )
        })
        .collect();
    adds_up(&server.store, &counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_hold_for_a_query_that_is_cut_in_the_middle_of_its_bodies() {
    let store = MemS3::builder()
        .bucket(BUCKET)
        .send_buffer_bytes(8 << 10)
        .start()
        .unwrap();
    let server = Builder {
        store: Some(Arc::new(store)),
        ..Builder::default()
    }
    .start()
    .await;
    let plain = || {
        parquet::file::properties::WriterProperties::builder()
            .set_dictionary_enabled(false)
            .build()
    };
    for file in 0..4 {
        server.store.put(
            BUCKET,
            &format!("big/{file}.parquet"),
            parquet_with(&numbers(0..500_000), plain()),
        );
    }
    server.table_of_numbers("big").await;
    // Listing and footers are known: what is in flight below is data.
    server.query("SELECT count(*) FROM big").await;
    server.store.set_latency(Latency {
        first_byte: Duration::ZERO,
        bytes_per_second: Some(1 << 20),
    });
    server.store.reset_log();
    let stream = server.client.query("SELECT sum(n) FROM big").await.unwrap();
    let watched = Arc::clone(&server.store);
    let cancel = async {
        watched.wait_in_flight(4).await;
        // Each body is on its way, so that none of the requests counts as unanswered.
        while !watched.requests().iter().all(|r| r.body_bytes_sent > 300_000) {
            tokio::task::yield_now().await;
        }
    };
    let mut stream = stream;
    let cut = {
        let reading = futures::TryStreamExt::try_next(&mut stream);
        tokio::select! {
            answer = reading => panic!("answered before it was cut: {answer:?}"),
            () = cancel => true,
        }
    };
    assert!(cut);
    let receipt = stream
        .cancel(PATIENCE)
        .await
        .expect("a cancelled query has a receipt");
    server.store.wait_idle().await;
    let (mine, theirs) = (counters(&receipt), server.store.counts_for(&receipt.query_id));
    let what = format!("{mine:?}\n{theirs:?}");
    assert!(mine.aborted_requests > 0, "{what}");
    assert!(
        mine.transferred_bytes > 0 && mine.transferred_bytes <= theirs.object_body_bytes_sent,
        "{what}"
    );
    assert!(theirs.object_body_bytes_sent <= mine.requested_bytes, "{what}");
    assert!(
        theirs.object_body_bytes_sent < theirs.object_body_bytes_planned,
        "{what}"
    );
    assert_eq!(
        mine.requested_bytes,
        mine.transferred_bytes + mine.aborted_bytes_max,
        "{what}"
    );
    assert_eq!(mine.get_requests, theirs.get_requests, "{what}");
    assert_eq!(theirs, server.store.counts(), "nothing reads after the receipt");
}
