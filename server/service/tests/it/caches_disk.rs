//! Caches on disk: a restarted server is warm, and nothing that happened to the files meanwhile is ever believed.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use owlake::{Lake, ScanConfig};
use owlake_mems3::{Counts, MemS3};
use owlake_proto::v1::Counters;

use crate::harness::{Answer, BUCKET, Builder, TestServer, numbers, one};

/// Directories for both caches below `root`.
fn scan(root: &Path) -> ScanConfig {
    ScanConfig {
        listing_ttl: Duration::from_secs(3600),
        footer_disk_dir: Some(root.join("footers")),
        block_disk_dir: Some(root.join("blocks")),
        ..ScanConfig::default()
    }
}

async fn server(store: Option<Arc<MemS3>>, scan: ScanConfig) -> TestServer {
    let builder = Builder {
        store,
        scan,
        ..Builder::default()
    };
    let server = builder.start().await;
    server.table_of_numbers("t").await;
    server
}

async fn asked(server: &TestServer, sql: &str) -> (Answer, Counts) {
    let answer = server.query(sql).await;
    let counts = server.store.counts_for(&answer.receipt.query_id);
    (answer, counts)
}

fn counters(answer: &Answer) -> Counters {
    answer.receipt.counters.expect("every receipt has counters")
}

/// What a killed server leaves behind: its directories as they are now, under another name.
fn left_behind(root: &Path, name: &str) -> PathBuf {
    let copy = root.join(name);
    for cache in ["footers", "blocks"] {
        let to = copy.join(cache);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&to)
            .unwrap();
        for file in std::fs::read_dir(root.join(cache)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    copy
}

/// Every entry of both caches.
fn entries(root: &Path) -> Vec<PathBuf> {
    let files = ["footers", "blocks"].map(|cache| std::fs::read_dir(root.join(cache)).unwrap());
    let all = files.into_iter().flatten().map(|file| file.unwrap().path());
    all.filter(|file| file.extension().is_some_and(|e| e == "entry"))
        .collect()
}

const SUM: &str = "SELECT sum(n), count(*) FROM t";

/// A server that has answered [`SUM`] once over three files.
async fn first(root: &Path) -> (TestServer, Answer) {
    let server = server(None, scan(root)).await;
    for file in 0..3 {
        server.put(
            &format!("t/{file}.parquet"),
            &numbers(file * 100..(file + 1) * 100),
        );
    }
    let answer = server.query(SUM).await;
    assert_eq!(answer.rows, [["44850", "300"]]);
    (server, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_reads_nothing_that_it_has_on_disk() {
    let root = tempfile::tempdir().unwrap();
    let (before, cold) = first(root.path()).await;
    assert_eq!(entries(root.path()).len(), 6, "a footer and a block of each file");
    let copy = left_behind(root.path(), "restart");
    let after = server(Some(Arc::clone(&before.store)), scan(&copy)).await;
    let (warm, counts) = asked(&after, SUM).await;
    assert_eq!(warm.rows, cold.rows);
    assert_eq!((counts.get_requests, counts.list_requests), (0, 1));
    let (cold, warm) = (counters(&cold), counters(&warm));
    assert_eq!(
        (warm.metadata_bytes, warm.data_scanned_bytes),
        (cold.metadata_bytes, cold.data_scanned_bytes)
    );
    assert_eq!(warm.cached_bytes, warm.metadata_bytes + warm.data_scanned_bytes);
    let disk = after
        .query("SELECT name FROM system.caches WHERE disk_bytes > 0 ORDER BY name")
        .await;
    assert_eq!(disk.rows, [["block"], ["footer"]]);
    // Footers alone make planning warm.
    let footers = ScanConfig {
        block_disk_dir: None,
        ..scan(&left_behind(root.path(), "footers-alone"))
    };
    let planned = server(Some(Arc::clone(&before.store)), footers).await;
    let (answer, counts) = asked(&planned, "SELECT count(*) FROM t").await;
    assert_eq!((one(&answer), counts.get_requests), (300, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_is_read_from_the_store_again() {
    let root = tempfile::tempdir().unwrap();
    let (before, cold) = first(root.path()).await;
    for (name, damage) in [("flipped", 1), ("cut", 2), ("empty", 3)] {
        let copy = left_behind(root.path(), name);
        for file in entries(&copy) {
            let mut bytes = std::fs::read(&file).unwrap();
            let last = bytes.len() - 1;
            match damage {
                1 => bytes[last] ^= 0x40,
                2 => bytes.truncate(last),
                _ => bytes.clear(),
            }
            std::fs::write(&file, bytes).unwrap();
        }
        let after = server(Some(Arc::clone(&before.store)), scan(&copy)).await;
        let (answer, counts) = asked(&after, SUM).await;
        assert_eq!(answer.rows, cold.rows, "{name}");
        assert!(counts.get_requests >= 3, "{name}: {counts:?}");
        assert_eq!(entries(&copy).len(), 6, "{name}: kept anew");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_changed_while_no_server_ran_are_seen() {
    let root = tempfile::tempdir().unwrap();
    let (before, _) = first(root.path()).await;
    let copy = left_behind(root.path(), "restart");
    // The same number of values, so that the file may well have the same size.
    before.put("t/0.parquet", &numbers(1000..1100));
    let after = server(Some(Arc::clone(&before.store)), scan(&copy)).await;
    assert_eq!(after.query(SUM).await.rows, [["144850", "300"]]);
    // And while it runs, with everything in memory and on disk.
    before.put("t/0.parquet", &numbers(0..100));
    assert_eq!(after.query(SUM).await.rows, [["44850", "300"]]);
    assert!(before.store.delete(BUCKET, "t/2.parquet"));
    assert_eq!(after.query(SUM).await.rows, [["19900", "200"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_ours_alone_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (_running, _) = first(root.path()).await;
    let refused = async |scan: ScanConfig| -> String {
        let built = Lake::builder().in_memory().scan_config(scan).build().await;
        built.map(|_| ()).unwrap_err().to_string()
    };
    let text = refused(scan(root.path())).await;
    assert!(text.contains("DATA_DIRECTORY_LOCKED"), "another process: {text}");
    let open = root.path().join("open");
    std::fs::create_dir_all(open.join("footers")).unwrap();
    std::fs::set_permissions(open.join("footers"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = refused(scan(&open)).await;
    assert!(text.contains("chmod 700"), "{text}");
    let full = root.path().join("full");
    std::fs::create_dir_all(full.join("footers")).unwrap();
    std::fs::write(full.join("footers/letter"), "dear").unwrap();
    let text = refused(scan(&full)).await;
    assert!(text.contains("holds other files"), "{text}");
    assert!(full.join("footers/letter").exists());
}
