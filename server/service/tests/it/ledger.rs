//! The ledger as SQL: scans, requests and sums agree with the queries, the receipts and the store's own log.

use std::sync::Arc;

use owlake_mems3::Operation;

use crate::harness::{BUCKET, TestServer, numbers, one};

const DDL: &str = "CREATE EXTERNAL TABLE t (n bigint) PARTITIONED BY (dt string) STORED AS PARQUET \
    LOCATION 's3://test-lake/t/' TBLPROPERTIES ('projection.enabled'='true', 'projection.dt.type'='enum', \
    'projection.dt.values'='a,b,c')";

async fn lake() -> TestServer {
    let server = TestServer::start().await;
    for dt in ["a", "b", "c"] {
        server.put(&format!("t/dt={dt}/part-0.parquet"), &numbers(0..1_000));
    }
    server.query(DDL).await;
    server.store.reset_log();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_add_up_to_their_queries() {
    let server = lake().await;
    for sql in [
        "SELECT sum(n) FROM t WHERE dt = 'a'",
        "SELECT count(*) FROM t x JOIN t y ON x.n = y.n WHERE x.dt = 'b' AND y.dt = 'c'",
        "SELECT count(*) FROM t",
    ] {
        server.query(sql).await;
    }
    let answer = server
        .query(
            "SELECT q.query_id, q.data_scanned_bytes, sum(s.data_scanned_bytes), q.metadata_bytes, sum(s.metadata_bytes), \
             count(*), min(s.table_name) FROM system.queries q JOIN system.scans s ON q.query_id = s.query_id \
             GROUP BY q.query_id, q.data_scanned_bytes, q.metadata_bytes ORDER BY q.query_id",
        )
        .await;
    assert_eq!(answer.rows.len(), 3);
    for row in &answer.rows {
        assert_eq!(
            (&row[1], &row[3], row[6].as_str()),
            (&row[2], &row[4], "t"),
            "{row:?}"
        );
    }
    let scans: Vec<&str> = answer.rows.iter().map(|row| row[5].as_str()).collect();
    assert_eq!(scans, ["1", "2", "1"]);
    let id = &answer.rows[1][0];
    let of_one = server
        .query(&format!(
            "SELECT partitions_read FROM system.scans WHERE query_id = '{id}'"
        ))
        .await;
    assert_eq!(of_one.rows, [["1"], ["1"]]);
    let later = "SELECT count(*) FROM system.scans WHERE submitted_at > TIMESTAMP '2999-01-01 00:00:00'";
    assert_eq!(one(&server.query(later).await), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn logged_requests_are_the_stores_own() {
    let server = lake().await;
    let silent = server.query("SELECT sum(n) FROM t WHERE dt = 'c'").await;
    server.query("SET SESSION log_object_requests = true").await;
    let logged = server.query("SELECT sum(n) FROM t WHERE dt <> 'c'").await;
    let none = format!(
        "SELECT count(*) FROM system.object_requests WHERE query_id = '{}'",
        silent.receipt.query_id
    );
    assert_eq!(one(&server.query(&none).await), 0);
    let rows = server
        .query(&format!(
            "SELECT operation, bucket, key, byte_range, status, bytes FROM system.object_requests \
             WHERE query_id = '{}' ORDER BY 1, 2, 3, 4",
            logged.receipt.query_id
        ))
        .await
        .rows;
    let mut theirs: Vec<Vec<String>> = server
        .store
        .requests()
        .into_iter()
        .filter(|r| r.query_id.as_deref() == Some(logged.receipt.query_id.as_str()))
        .map(|r| {
            let (operation, bytes) = match r.operation {
                Operation::ListObjectsV2 => ("list", 0),
                Operation::GetObject => ("get", r.body_bytes_sent),
                other => panic!("{other:?}"),
            };
            let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
            vec![
                operation.to_owned(),
                r.bucket,
                r.key,
                text(r.range),
                text(r.status.map(|s| s.to_string())),
                bytes.to_string(),
            ]
        })
        .collect();
    theirs.sort();
    assert!(theirs.len() >= 4, "{theirs:?}");
    assert_eq!(rows, theirs);
    let sum = format!(
        "SELECT sum(bytes) FROM system.object_requests WHERE query_id = '{}'",
        logged.receipt.query_id
    );
    let counters = logged.receipt.counters.unwrap();
    assert_eq!(one(&server.query(&sum).await) as u64, counters.transferred_bytes);
    let buckets = server
        .query("SELECT DISTINCT bucket, retried FROM system.object_requests")
        .await;
    assert_eq!(buckets.rows, [[BUCKET, "false"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_the_sum_of_the_queries() {
    let server = Arc::new(lake().await);
    for sql in ["SELECT sum(n) FROM t", "SELECT count(*) FROM t WHERE dt = 'a'"] {
        server.query(sql).await;
    }
    server.query("SET SESSION max_data_scanned_bytes = 10").await;
    server.refused("SELECT sum(n) FROM t").await;
    server.query("RESET SESSION max_data_scanned_bytes").await;
    let columns = "workgroup, principal, CAST(submitted_at AS date) AS day";
    let sums = "count(*), sum(data_scanned_bytes), sum(cost_usd), sum(athena_cost_usd), \
                sum(CASE WHEN error_code = 'EXCEEDED_SCAN_LIMIT' THEN 1 ELSE 0 END)";
    // Each question is a query too: both are asked at once, so that neither counts the other.
    let of_queries = format!(
        "SELECT workgroup, principal, day, queries, data_scanned_bytes, cost_usd, athena_cost_usd, refused FROM system.usage \
         EXCEPT SELECT workgroup, principal, day, c, b, m, a, r FROM (SELECT {columns}, {sums} FROM system.queries \
         WHERE state <> 'RUNNING' GROUP BY 1, 2, 3) AS q (workgroup, principal, day, c, b, m, a, r)"
    );
    assert_eq!(server.query(&of_queries).await.rows, Vec::<Vec<String>>::new());
    let usage = server
        .query("SELECT queries, refused, data_scanned_bytes > 0, principal FROM system.usage")
        .await;
    assert_eq!(usage.rows, [["7", "1", "true", "anonymous"]]);
}
