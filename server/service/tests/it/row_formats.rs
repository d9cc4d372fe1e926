//! Files of lines through the wire: the same rows whatever the ranges, each byte counted once, the cap, compression.

use std::io::Write;

use bytes::Bytes;
use owlake::ScanConfig;
use owlake_client::QueryReceipt;
use owlake_mems3::Operation;
use owlake_proto::v1::{Counters, QueryState};

use crate::harness::{BUCKET, Builder, TestServer, one};

const LAZY: &str = "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','";

fn counters(receipt: &QueryReceipt) -> Counters {
    receipt.counters.expect("every receipt has counters")
}

async fn table(server: &TestServer, name: &str, columns: &str, clauses: &str) {
    let ddl = format!("CREATE EXTERNAL TABLE {name} {columns} {clauses} LOCATION 's3://{BUCKET}/{name}/'");
    server.query(&ddl).await;
}

/// `n` lines `i,<text of varying length>` with ends of every kind.
fn lines(n: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for i in 0..n {
        let end = ["\n", "\r\n", "\r"][usize::try_from(i % 3).unwrap()];
        let text = "ž".repeat(usize::try_from(i * 7 % 23).unwrap());
        write!(out, "{i},{text}{end}").unwrap();
    }
    out
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    w.write_all(text).unwrap();
    w.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_any_size_give_the_same_rows_and_count_each_byte_once() {
    let text = lines(1_000);
    let size = text.len() as u64;
    for (split, chunk) in [(1 << 20, 1 << 20), (4_096, 1_000), (997, 100), (61, 20)] {
        let scan = ScanConfig {
            row_split_bytes: split,
            row_chunk_bytes: chunk,
            ..ScanConfig::default()
        };
        let server = TestServer::with_scan(scan).await;
        server.store.put(BUCKET, "t/part-0.csv", text.clone());
        table(&server, "t", "(i bigint, s string)", LAZY).await;
        let answer = server
            .query("SELECT count(*), sum(i), count(DISTINCT i), sum(length(s)) FROM t")
            .await;
        let letters: i64 = (0..1_000).map(|i| i * 7 % 23).sum();
        let expected = ["1000", "499500", "1000", &letters.to_string()].map(str::to_owned);
        assert_eq!(answer.rows, [expected], "{split} {chunk}");
        let mine = counters(&answer.receipt);
        assert_eq!(mine.data_scanned_bytes, size, "{split} {chunk}");
        assert_eq!(mine.metadata_bytes, 0);
        assert!(!answer.receipt.timing_dependent);
        let theirs = server.store.counts_for(&answer.receipt.query_id);
        assert_eq!(mine.get_requests, theirs.get_requests, "{split} {chunk}");
        assert_eq!(
            mine.transferred_bytes, theirs.object_body_bytes_sent,
            "{split} {chunk}"
        );
        assert_eq!(mine.requested_bytes, mine.transferred_bytes, "{split} {chunk}");
        assert!(mine.transferred_bytes >= size, "{split} {chunk}");
        let scan = &answer.receipt.scans[0];
        assert_eq!(
            (scan.files_total, scan.files_read, scan.data_scanned_bytes),
            (1, 1, size)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_without_columns_reads_every_line() {
    let server = TestServer::start().await;
    server.store.put(BUCKET, "t/a.csv", "1\n2\n3");
    server.store.put(BUCKET, "t/b.csv", "4\n");
    server.store.put(BUCKET, "t/_hidden.csv", "5\n");
    table(&server, "t", "(i int)", LAZY).await;
    let answer = server.query("SELECT count(*) FROM t").await;
    assert_eq!(one(&answer), 4);
    assert_eq!(counters(&answer.receipt).data_scanned_bytes, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_whose_listed_size_passes_the_cap_reads_nothing() {
    let server = TestServer::start().await;
    let text = lines(5_000);
    let size = text.len();
    server.store.put(BUCKET, "t/part-0.csv", text);
    table(&server, "t", "(i bigint, s string)", LAZY).await;
    server.store.reset_log();
    let cap = |bytes: usize| {
        server
            .client
            .set("max_data_scanned_bytes", Some(&bytes.to_string()))
            .unwrap()
    };
    cap(size - 1);
    let error = server.refused("SELECT sum(i) FROM t WHERE s <> 'x'").await;
    let text = error.to_string();
    assert!(text.contains("EXCEEDED_SCAN_LIMIT"), "{text}");
    assert!(text.contains("needs exactly"), "{text}");
    assert!(text.contains("0 bytes of data were read"), "{text}");
    let receipt = error.receipt().unwrap();
    assert_eq!(receipt.state(), QueryState::Cancelled);
    assert_eq!(counters(receipt).data_scanned_bytes, 0);
    let reads = server.store.requests();
    assert!(
        reads.iter().all(|r| r.operation != Operation::GetObject),
        "{reads:?}"
    );
    cap(size);
    let answer = server.query("SELECT sum(i) FROM t WHERE s <> 'x'").await;
    assert_eq!(counters(&answer.receipt).data_scanned_bytes, size as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_stops_early_and_says_so() {
    let scan = ScanConfig {
        row_split_bytes: 10_000,
        row_chunk_bytes: 1_000,
        ..ScanConfig::default()
    };
    let server = TestServer::with_scan(scan).await;
    let text = lines(20_000);
    let size = text.len() as u64;
    server.store.put(BUCKET, "t/part-0.csv", text);
    table(&server, "t", "(i bigint, s string)", LAZY).await;
    let answer = server.query("SELECT i FROM t LIMIT 5").await;
    assert_eq!(answer.rows, [["0"], ["1"], ["2"], ["3"], ["4"]]);
    assert!(answer.receipt.timing_dependent);
    assert!(counters(&answer.receipt).data_scanned_bytes < size / 4);
    // A cap that the whole table passes does not stand in the way of it.
    server
        .client
        .set("max_data_scanned_bytes", Some(&(size / 2).to_string()))
        .unwrap();
    assert_eq!(server.query("SELECT i FROM t LIMIT 5").await.rows.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_count_as_they_are_stored() {
    let text = lines(3_000);
    let mut members = gzip(&text[..1_000]);
    members.extend(gzip(&text[1_000..]));
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    bz2.write_all(&text).unwrap();
    let files = [
        ("gz", members),
        ("zst", zstd::stream::encode_all(text.as_slice(), 3).unwrap()),
        ("bz2", bz2.finish().unwrap()),
    ];
    let scan = ScanConfig {
        row_split_bytes: 1_000,
        row_chunk_bytes: 500,
        ..ScanConfig::default()
    };
    let server = TestServer::with_scan(scan).await;
    for (end, stored) in files {
        let size = stored.len() as u64;
        server
            .store
            .put(BUCKET, &format!("{end}/part-0.csv.{end}"), stored.clone());
        table(&server, end, "(i bigint, s string)", LAZY).await;
        let answer = server.query(&format!("SELECT count(*), sum(i) FROM {end}")).await;
        assert_eq!(answer.rows, [["3000", "4498500"]], "{end}");
        let mine = counters(&answer.receipt);
        assert_eq!(
            (mine.data_scanned_bytes, mine.transferred_bytes),
            (size, size),
            "{end}"
        );
        let cut = Bytes::from(stored).slice(..usize::try_from(size).unwrap() - 5);
        server.store.put(BUCKET, &format!("{end}/part-0.csv.{end}"), cut);
        let error = server
            .refused(&format!("SELECT count(*) FROM {end} WHERE i >= 0"))
            .await;
        assert_eq!(error.code(), Some("HIVE_BAD_DATA"), "{error}");
    }
    server.store.put(BUCKET, "lzo/part-0.csv.lzo", "x");
    table(&server, "lzo", "(i bigint)", LAZY).await;
    let error = server.refused("SELECT * FROM lzo").await;
    assert_eq!(error.code(), Some("HIVE_UNSUPPORTED_FORMAT"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_that_unpacks_to_one_huge_line_is_refused() {
    let scan = ScanConfig {
        max_line_bytes: 1 << 20,
        ..ScanConfig::default()
    };
    let server = TestServer::with_scan(scan).await;
    let mut bomb = b"1\n".to_vec();
    bomb.resize(64 << 20, b'0');
    server.store.put(BUCKET, "bomb/part-0.csv.gz", gzip(&bomb));
    table(&server, "bomb", "(i bigint)", LAZY).await;
    let error = server.refused("SELECT count(*) FROM bomb").await;
    assert_eq!(error.code(), Some("HIVE_BAD_DATA"), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("line of more than 1048576 bytes at byte 2"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_partitions_of_the_filter_are_read() {
    let server = TestServer::start().await;
    for day in 1..=9 {
        server.store.put(
            BUCKET,
            &format!("t/dt=2024-01-0{day}/a.csv"),
            format!("h\n{day}\n{day}0\n"),
        );
    }
    table(
        &server,
        "t",
        "(i int) PARTITIONED BY (dt string)",
        "ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' STORED AS TEXTFILE",
    )
    .await;
    for day in 1..=9 {
        server
            .query(&format!("ALTER TABLE t ADD PARTITION (dt = '2024-01-0{day}')"))
            .await;
    }
    server.store.reset_log();
    let answer = server
        .query("SELECT dt, i FROM t WHERE dt BETWEEN '2024-01-03' AND '2024-01-04' AND i > 5 ORDER BY i")
        .await;
    assert_eq!(answer.rows, [["2024-01-03", "30"], ["2024-01-04", "40"]]);
    // Two files of `h`, a digit and two digits.
    assert_eq!(counters(&answer.receipt).data_scanned_bytes, 14);
    assert_eq!(server.store.counts_for(&answer.receipt.query_id).list_requests, 2);
    assert_eq!(answer.receipt.scans[0].partitions_read, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_while_it_is_read_is_planned_anew() {
    let server = TestServer::start().await;
    server.store.put(BUCKET, "t/a.csv", "1\n2\n3\n");
    table(&server, "t", "(i int)", LAZY).await;
    assert_eq!(one(&server.query("SELECT sum(i) FROM t").await), 6);
    // The listing is cached: the read itself has to notice.
    server.store.put(BUCKET, "t/a.csv", "4\n5\n6\n");
    assert_eq!(one(&server.query("SELECT sum(i) FROM t").await), 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_files_are_read_like_objects() {
    let dir = tempfile::tempdir().unwrap();
    let root = format!("file://{}/", dir.path().display());
    std::fs::write(dir.path().join("a.csv"), lines(100)).unwrap();
    let server = Builder {
        local_roots: vec![root.clone()],
        ..Builder::default()
    }
    .start()
    .await;
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE t (i bigint, s string) {LAZY} LOCATION '{root}'"
        ))
        .await;
    let answer = server.query("SELECT sum(i) FROM t").await;
    assert_eq!(one(&answer), 4950);
    assert_eq!(
        counters(&answer.receipt).data_scanned_bytes,
        lines(100).len() as u64
    );
}
