//! Files of which columns, or the footer, are encrypted: what is plain is read, what is not is refused by name.

use crate::harness::{BUCKET, TestServer, numbers, parquet};

/// Columns `n` (0 to 9), `secret`, `m` (100 to 109) below a plain footer; the second one is encrypted.
const ENCRYPTED_COLUMN: &[u8] =
    include_bytes!("../../../../testdata/parquet/encrypted_column/part-0.parquet");

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_column_is_refused_by_name_and_the_others_are_read() {
    let server = TestServer::start().await;
    server.store.put(BUCKET, "e/part-0.parquet", ENCRYPTED_COLUMN);
    server
        .query(
            "CREATE EXTERNAL TABLE e (n bigint, secret string, m bigint) STORED AS PARQUET \
             LOCATION 's3://test-lake/e/'",
        )
        .await;
    for (sql, row) in [
        ("SELECT sum(n), sum(m) FROM e", ["45", "1045"]),
        ("SELECT n, m FROM e WHERE m = 107", ["7", "107"]),
        ("SELECT count(*), max(n) FROM e", ["10", "9"]),
    ] {
        assert_eq!(server.query(sql).await.rows, [row], "{sql}");
    }
    for sql in [
        "SELECT secret FROM e",
        "SELECT * FROM e",
        "SELECT n FROM e WHERE secret = 's7'",
        "SELECT count(secret) FROM e",
        // The second time from the caches.
        "SELECT secret FROM e",
    ] {
        let error = server.refused(sql).await;
        assert_eq!(error.code(), Some("HIVE_BAD_DATA"), "{sql}: {error}");
        let reason =
            "file `e/part-0.parquet` of `default.e` cannot be read: its column \"secret\" is encrypted";
        assert!(error.to_string().contains(reason), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_an_encrypted_footer_is_refused_as_such() {
    let server = TestServer::start().await;
    let mut file = parquet(&numbers(0..10)).to_vec();
    let magic = file.len() - 4;
    file[magic..].copy_from_slice(b"PARE");
    server.store.put(BUCKET, "f/part-0.parquet", file);
    server.table_of_numbers("f").await;
    let error = server.refused("SELECT n FROM f").await;
    assert_eq!(error.code(), Some("HIVE_BAD_DATA"), "{error}");
    assert!(error.to_string().contains("its footer is encrypted"), "{error}");
}
