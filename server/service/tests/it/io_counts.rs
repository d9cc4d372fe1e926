//! How many requests a query makes, cold and warm, by the books of the store: few, at the same time, nothing twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch};
use owlake::{EngineConfig, ScanConfig};
use owlake_mems3::{Counts, Latency, Operation};
use owlake_proto::v1::Counters;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::harness::{Answer, BUCKET, Builder, PATIENCE, TestServer, numbers, one, parquet_with};

/// Columns `a`, `b`, `c` of `rows` values each that do not compress, in row groups of `group` rows, without indexes.
fn plain(rows: i64, group: usize) -> bytes::Bytes {
    columns(&["a", "b", "c"], rows, group)
}

fn columns(names: &[&str], rows: i64, group: usize) -> bytes::Bytes {
    let column = |salt: i64| {
        let values = (0..rows).map(|i| (i + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 24);
        Arc::new(Int64Array::from_iter_values(values)) as Arc<dyn Array>
    };
    let columns = names.iter().zip(1..).map(|(name, salt)| (*name, column(salt)));
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(group))
        .build();
    parquet_with(&RecordBatch::try_from_iter(columns).unwrap(), properties)
}

/// A server whose table `t` has `files` such files, one below each partition `p=0..`.
async fn table(files: usize, file: &bytes::Bytes, scan: ScanConfig, engine: EngineConfig) -> TestServer {
    let server = Builder {
        // What a query fetches is counted here, warm ones included.
        scan: ScanConfig {
            block_memory_bytes: 0,
            ..scan
        },
        engine,
        ..Builder::default()
    }
    .start()
    .await;
    for p in 0..files {
        server
            .store
            .put(BUCKET, &format!("t/p={p}/part-0.parquet"), file.clone());
    }
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE t (a bigint, b bigint, c bigint) PARTITIONED BY (p int) STORED AS PARQUET \
             LOCATION 's3://test-lake/t/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.p.type' = 'integer', 'projection.p.range' = '0,{}')",
            files - 1
        ))
        .await;
    server.store.reset_log();
    server
}

/// Two cores, whatever the machine has.
fn two_threads() -> EngineConfig {
    EngineConfig {
        cpu_threads: Some(2),
        ..EngineConfig::default()
    }
}

/// Files are never fetched whole, and their tails hold nothing but the footer.
fn footers_alone() -> ScanConfig {
    ScanConfig {
        whole_file_bytes: 0,
        footer_hint_bytes: 64,
        ..ScanConfig::default()
    }
}

async fn counted(server: &TestServer, sql: &str) -> (Answer, Counts) {
    server.store.reset_log();
    let answer = server.query(sql).await;
    server.store.wait_idle().await;
    let counts = server.store.counts_for(&answer.receipt.query_id);
    assert_eq!(counts, server.store.counts(), "{sql}");
    (answer, counts)
}

/// Counts as [`counted`] does, and answers no GET before `least` of them are there.
async fn side_by_side(server: &TestServer, sql: &str, least: usize) -> (Answer, Counts) {
    let gate = server.store.pause_before("", Operation::GetObject);
    let together = async {
        let reached = tokio::time::timeout(PATIENCE, gate.wait_reached_by(least)).await;
        reached.unwrap_or_else(|_| panic!("{} requests at the same time: {sql}", gate.reached()));
        gate.release();
    };
    tokio::join!(counted(server, sql), together).0
}

fn counters(answer: &Answer) -> Counters {
    answer.receipt.counters.expect("every receipt has counters")
}

fn same_need(cold: &Answer, warm: &Answer) {
    assert_eq!(cold.rows, warm.rows);
    let (cold, warm) = (counters(cold), counters(warm));
    assert_eq!(cold.data_scanned_bytes, warm.data_scanned_bytes);
    assert_eq!(cold.metadata_bytes, warm.metadata_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_costs_one_get_cold_and_its_data_warm() {
    let server = table(
        4,
        &plain(1000, 1000),
        ScanConfig::default(),
        EngineConfig::default(),
    )
    .await;
    let sql = "SELECT sum(a % 7) FROM t WHERE p = 2";
    let (cold, counts) = counted(&server, sql).await;
    assert_eq!((counts.list_requests, counts.get_requests), (1, 1));
    let (warm, counts) = counted(&server, sql).await;
    assert_eq!((counts.list_requests, counts.get_requests), (0, 1));
    same_need(&cold, &warm);
    // One column of three was needed, the whole file moved.
    assert!(counters(&cold).data_scanned_bytes < counters(&cold).transferred_bytes / 2);
    assert!(counters(&warm).transferred_bytes < counters(&cold).transferred_bytes / 2);
    assert_eq!(
        counters(&warm).transferred_bytes,
        counters(&warm).data_scanned_bytes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_columns_alone_need_no_data_and_warm_no_get() {
    let server = table(
        6,
        &plain(1000, 1000),
        ScanConfig::default(),
        EngineConfig::default(),
    )
    .await;
    for (sql, row) in [
        ("SELECT max(p) FROM t", "5"),
        ("SELECT count(DISTINCT p) FROM t", "6"),
        ("SELECT sum(p) FROM (SELECT DISTINCT p FROM t WHERE p > 1)", "14"),
        ("SELECT count(*) FROM t WHERE p < 3", "3000"),
    ] {
        let (answer, counts) = counted(&server, sql).await;
        assert_eq!(answer.rows, [[row]], "{sql}");
        assert_eq!(counters(&answer).data_scanned_bytes, 0, "{sql}");
        // The first query met every footer: a file without rows would have no value of `p`.
        let footers = if sql.contains("max(p)") { 6 } else { 0 };
        assert_eq!(counts.get_requests, footers, "{sql}");
        let footer = counters(&answer).metadata_bytes;
        assert!(
            counts.object_body_bytes_sent <= footer + footers * (64 << 10),
            "{sql}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_files_are_fetched_side_by_side_by_two_threads() {
    let server = table(64, &plain(20_000, 20_000), footers_alone(), two_threads()).await;
    let sql = "SELECT sum(a), sum(b % 3) FROM t";
    let (cold, counts) = counted(&server, sql).await;
    // Each footer takes two reads here; the two columns lie side by side and take one.
    assert_eq!((counts.list_requests, counts.get_requests), (64, 3 * 64));
    let (warm, counts) = side_by_side(&server, sql, 48).await;
    assert_eq!((counts.list_requests, counts.get_requests), (0, 64));
    same_need(&cold, &warm);
    assert!(!warm.receipt.timing_dependent);
    assert_eq!(
        counters(&warm).transferred_bytes,
        counters(&warm).data_scanned_bytes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_groups_of_a_file_come_together() {
    let server = table(1, &plain(40_000, 5_000), footers_alone(), two_threads()).await;
    let sql = "SELECT sum(a) FROM t";
    counted(&server, sql).await;
    let near = ScanConfig::default().coalesce_gap_bytes;
    let (warm, counts) = counted(&server, sql).await;
    // Eight chunks of 40 kB with gaps of 80 kB: near enough for one request.
    assert!(near > 80_000);
    assert_eq!(counts.get_requests, 1);
    assert!(counters(&warm).transferred_bytes > 2 * counters(&warm).data_scanned_bytes);
    assert_eq!(warm.receipt.scans[0].row_groups_read, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_ranges_come_in_parts_at_the_same_time() {
    let scan = ScanConfig {
        part_bytes: 100_000,
        remote: owlake::StoreModel {
            first_byte: Duration::from_micros(100),
            ..owlake::StoreModel::default()
        },
        ..footers_alone()
    };
    let server = table(1, &plain(100_000, 100_000), scan, two_threads()).await;
    let sql = "SELECT sum(a) FROM t";
    let (cold, _) = counted(&server, sql).await;
    let (warm, counts) = side_by_side(&server, sql, 8).await;
    // One chunk of 800 kB.
    assert_eq!(counts.get_requests, 9);
    same_need(&cold, &warm);
    assert_eq!(
        counters(&warm).transferred_bytes,
        counters(&warm).data_scanned_bytes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_ahead_below_a_limit() {
    let server = table(32, &plain(20_000, 20_000), footers_alone(), two_threads()).await;
    counted(&server, "SELECT sum(a) FROM t").await;
    for sql in [
        "SELECT a FROM t LIMIT 5",
        "SELECT * FROM (SELECT a FROM t LIMIT 5) ORDER BY a",
    ] {
        let (_, counts) = counted(&server, sql).await;
        assert_eq!(counts.get_requests, 1, "{sql}");
    }
    // The order is by value, and each file holds the same ones: a TopK that reads on learns nothing new.
    let (top, counts) = counted(&server, "SELECT p FROM t ORDER BY p DESC LIMIT 3").await;
    assert_eq!(top.rows, [["31"], ["31"], ["31"]]);
    assert_eq!(counts.get_requests, 0);
}

/// Keys of all GETs in the store's log, sorted.
fn opened(server: &TestServer) -> Vec<String> {
    let mut requests = server.store.requests();
    requests.retain(|r| r.operation == Operation::GetObject);
    let mut keys: Vec<String> = requests.into_iter().map(|r| r.key).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_opens_only_the_files_that_its_build_side_leaves() {
    let server = table(32, &plain(5_000, 5_000), footers_alone(), two_threads()).await;
    server.put("d/part-0.parquet", &numbers([3, 4]));
    server.table_of_numbers("d").await;
    counted(&server, "SELECT sum(a) FROM t").await;
    counted(&server, "SELECT sum(n) FROM d").await;
    let sql = "SELECT count(*), sum(a % 2) FROM t JOIN d ON p = n";
    let (answer, _) = counted(&server, sql).await;
    assert_eq!(answer.rows[0][0], "10000");
    assert_eq!(
        opened(&server),
        ["d/part-0.parquet", "t/p=3/part-0.parquet", "t/p=4/part-0.parquet"]
    );
    let read: BTreeMap<&str, u64> = answer
        .receipt
        .scans
        .iter()
        .map(|s| (s.table_name.as_str(), s.files_read))
        .collect();
    assert_eq!(read, BTreeMap::from([("d", 1), ("t", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_on_a_data_column_reads_only_the_row_groups_that_can_hold_its_keys() {
    let scan = ScanConfig {
        block_memory_bytes: 0,
        ..footers_alone()
    };
    let server = TestServer::with_scan(scan).await;
    for file in 0..8 {
        let properties = WriterProperties::builder()
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(250))
            .build();
        let values = numbers(file * 1000..(file + 1) * 1000);
        let key = format!("f/part-{file}.parquet");
        server.store.put(BUCKET, &key, parquet_with(&values, properties));
    }
    server.put("d/part-0.parquet", &numbers([3_100, 3_110]));
    for table in ["f", "d"] {
        server.table_of_numbers(table).await;
        counted(&server, &format!("SELECT count(*) FROM {table}")).await;
    }
    let (answer, _) = counted(&server, "SELECT count(*), sum(f.n) FROM f JOIN d ON f.n = d.n").await;
    assert_eq!(answer.rows, [["2", "6210"]]);
    assert_eq!(opened(&server), ["d/part-0.parquet", "f/part-3.parquet"]);
    let scans = &answer.receipt.scans;
    let scan = scans.iter().find(|s| s.table_name == "f").unwrap();
    assert_eq!(
        (
            scan.files_total,
            scan.files_read,
            scan.row_groups_total,
            scan.row_groups_read
        ),
        (8, 1, 32, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_cap_nothing_moves_ahead_that_could_pass_it() {
    let file = plain(5_000, 5_000);
    let size = file.len() as u64;
    let server = table(4, &file, ScanConfig::default(), two_threads()).await;
    // Any two columns of one file fit, the file does not.
    server
        .client
        .set("max_data_scanned_bytes", Some(&(size - 1000).to_string()))
        .unwrap();
    let (answer, counts) = counted(&server, "SELECT sum(a) FROM t WHERE p = 1").await;
    assert!(counters(&answer).data_scanned_bytes < size / 2);
    assert_eq!(counts.get_requests, 2, "the footer, then the column");
    let moved = counts.object_body_bytes_sent;
    assert!(moved < size, "{moved} of {size}");
    server
        .client
        .set("max_data_scanned_bytes", Some(&(10 * size).to_string()))
        .unwrap();
    let (answer, counts) = counted(&server, "SELECT sum(a) FROM t WHERE p = 2").await;
    assert_eq!(counts.get_requests, 1);
    assert_eq!(one(&answer).signum().abs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_query_ends_what_it_fetched_ahead() {
    let server = table(48, &plain(20_000, 20_000), footers_alone(), two_threads()).await;
    counted(&server, "SELECT sum(a) FROM t").await;
    server.store.reset_log();
    let gate = server.store.pause_before("t/", Operation::GetObject);
    let mut stream = server.client.query("SELECT sum(b) FROM t").await.unwrap();
    let reading = async { futures::TryStreamExt::try_next(&mut stream).await.map(|_| ()) };
    tokio::select! {
        answer = reading => panic!("answered before it was cut: {answer:?}"),
        () = server.store.wait_in_flight(32) => {}
    }
    let receipt = stream
        .cancel(PATIENCE)
        .await
        .expect("a cancelled query has a receipt");
    // The store has seen every connection go before any answer is let through.
    let idle = tokio::time::timeout(PATIENCE, server.store.wait_idle()).await;
    idle.expect("no request outlives its query");
    gate.release();
    let counters = receipt.counters.unwrap();
    assert!(counters.unanswered_requests >= 32, "{counters:?}");
    assert_eq!(counters.transferred_bytes, 0);
    assert_eq!(
        server.store.counts().get_requests,
        0,
        "nothing reads after the receipt"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_columns_are_fetched_only_where_a_selective_filter_leaves_rows() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let file = columns(&names, 40_000, 5_000);
    let server = TestServer::with_scan(footers_alone()).await;
    server.store.put(BUCKET, "w/part-0.parquet", file);
    let columns: Vec<String> = names.iter().map(|n| format!("{n} bigint")).collect();
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE w ({}) STORED AS PARQUET LOCATION 's3://test-lake/w/'",
            columns.join(", ")
        ))
        .await;
    let known = server.query("SELECT a, h FROM w LIMIT 1").await.rows.remove(0);
    let sql = format!("SELECT h, g, f, e, d FROM w WHERE a = {}", known[0]);
    let (cold, _) = counted(&server, &sql).await;
    assert_eq!(cold.rows.len(), 1);
    assert_eq!(cold.rows[0][0], known[1]);
    let (warm, _) = counted(&server, &sql).await;
    same_need(&cold, &warm);
    // Each chunk has 40 kB: eight of the filter's column, five of one row group.
    let scanned = counters(&cold).data_scanned_bytes;
    assert!((13 * 40_000..14 * 40_000).contains(&scanned), "{scanned}");
    // A filter that leaves every row reads everything at once.
    let (all, _) = counted(
        &server,
        "SELECT count(h), count(g), count(f), count(e) FROM w WHERE a <> 5",
    )
    .await;
    assert!(counters(&all).data_scanned_bytes > 40 * 40_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_objects_are_skipped_and_counted() {
    let file = plain(1000, 1000);
    let server = table(1, &file, ScanConfig::default(), two_threads()).await;
    for (name, class) in [("b", "GLACIER"), ("c", "DEEP_ARCHIVE"), ("d", "GLACIER_IR")] {
        let key = format!("t/p=0/part-{name}.parquet");
        server.store.put_in_class(BUCKET, &key, file.clone(), class);
    }
    for _ in 0..2 {
        let answer = server.query("SELECT count(*) FROM t").await;
        assert_eq!(one(&answer), 2000);
        assert_eq!(answer.receipt.scans[0].files_total, 2);
        assert_eq!(
            answer.receipt.notices,
            ["default.t: 2 archived objects (GLACIER, DEEP_ARCHIVE) were skipped."]
        );
    }
    let opened = |r: &owlake_mems3::RequestRecord| r.key.contains("part-b") || r.key.contains("part-c");
    assert!(!server.store.requests().iter().any(opened));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_earn_a_notice_that_counts_their_requests_and_time() {
    let scan = ScanConfig {
        // The file of 9 kB is small, the one of 240 kB is not.
        whole_file_bytes: 4 * 100_000,
        ..ScanConfig::default()
    };
    let server = table(110, &plain(300, 300), scan, two_threads()).await;
    server
        .store
        .put(BUCKET, "t/p=0/large.parquet", plain(10_000, 10_000));
    let (answer, counts) = counted(&server, "SELECT sum(a % 7) FROM t").await;
    let is_small = |r: &&owlake_mems3::RequestRecord| r.key.ends_with("part-0.parquet");
    let requests = server.store.requests();
    let small = requests.iter().filter(is_small).count();
    let notice = &answer.receipt.notices[0];
    let start = "default.t: 110 of 111 files are small (";
    let took = format!(
        "{small} of this query's {} requests went to files below 100.00 kB, and ",
        counts.requests()
    );
    assert!(
        small >= 110 && notice.starts_with(start) && notice.contains(&took),
        "{notice}"
    );
    let percent = notice.split(&took).nth(1).and_then(|rest| rest.split(' ').next());
    let percent: u64 = percent.unwrap().parse().unwrap();
    assert!((1..=100).contains(&percent), "{notice}");
    let few = server.query("SELECT sum(a % 7) FROM t WHERE p < 99").await;
    assert!(
        few.receipt.notices.is_empty(),
        "99 files are no burden: {:?}",
        few.receipt.notices
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_on_the_path_opens_only_what_it_names() {
    let server = table(6, &plain(1000, 1000), ScanConfig::default(), two_threads()).await;
    let sql = "SELECT count(*), sum(b % 2) < 1001 FROM t WHERE \"$path\" LIKE '%/p=4/%'";
    let (answer, counts) = counted(&server, sql).await;
    assert_eq!(answer.rows, [["1000", "true"]]);
    assert_eq!((counts.list_requests, counts.get_requests), (6, 1));
    assert_eq!(answer.receipt.scans[0].files_total, 6);
    assert_eq!(answer.receipt.scans[0].files_read, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_reads_the_row_groups_of_one_file_side_by_side() {
    let server = table(1, &plain(40_000, 5_000), footers_alone(), two_threads()).await;
    // A filter that no statistic decides.
    let sql = "SELECT sum(c) FROM t WHERE a % 2 = 1";
    let (cold, _) = counted(&server, sql).await;
    // Long enough for a busy machine to send the others before the first is answered.
    server.store.set_latency(Latency {
        first_byte: Duration::from_secs(1),
        bytes_per_second: None,
    });
    let (warm, counts) = counted(&server, sql).await;
    same_need(&cold, &warm);
    assert_eq!(warm.receipt.scans[0].row_groups_read, 8);
    // Columns `a` and `c` of a row group are near enough for one request; none waits for another.
    assert!(counts.get_requests <= 8, "{}", counts.get_requests);
    assert!(
        counts.get_requests == 1 || server.store.in_flight_max() >= 6,
        "{}",
        server.store.in_flight_max()
    );
}
