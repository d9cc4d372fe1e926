//! Workgroups and quotas over the wire: limits that no number of clients passes, and that a kill does not forget.

use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use owlake::{EngineConfig, WorkgroupConfig};
use owlake_client::Client;
use owlake_mems3::Operation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Builder, TestServer, connect, numbers, one, parquet, run};
use crate::process::Served;

const DDL: &str = "CREATE EXTERNAL TABLE t (n bigint) STORED AS PARQUET LOCATION 's3://test-lake/t/'";
const SUM: &str = "SELECT sum(n) FROM t";

async fn lake(builder: Builder) -> TestServer {
    let server = builder.start().await;
    for file in 0..4 {
        server.put(&format!("t/part-{file}.parquet"), &numbers(0..5_000));
    }
    server.query(DDL).await;
    server
}

/// A session in a workgroup.
async fn member(url: &str, workgroup: &str) -> Client {
    let client = connect(url).await;
    run(&client, &format!("SET SESSION workgroup = '{workgroup}'"))
        .await
        .unwrap();
    client
}

/// What `SUM` scans.
async fn bytes_of_sum(server: &TestServer) -> u64 {
    server
        .query(SUM)
        .await
        .receipt
        .counters
        .unwrap()
        .data_scanned_bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_queries_at_once_never_pass_a_daily_quota_by_a_byte() {
    let server = Arc::new(lake(Builder::default()).await);
    let each = bytes_of_sum(&server).await;
    // Not a whole number of queries: the last one is stopped on its way.
    let limit = each * 7 + each / 2;
    server.query("CREATE WORKGROUP bi").await;
    server
        .query(&format!(
            "CREATE QUOTA daily FOR INTERVAL 1 day MAX data_scanned_bytes = {limit} TO WORKGROUP bi"
        ))
        .await;
    let answers = join_all((0..50).map(|_| {
        let url = server.url.clone();
        async move { run(&member(&url, "bi").await, SUM).await }
    }))
    .await;
    let (mut well, mut refused) = (0, 0);
    for answer in answers {
        match answer {
            Ok(answer) => {
                assert_eq!(answer.receipt.counters.unwrap().data_scanned_bytes, each);
                well += 1;
            }
            Err(error) => {
                let text = error.to_string();
                for part in [
                    "EXCEEDED_QUOTA: quota `daily` of workgroup \"bi\" would be passed: data_scanned_bytes used ",
                    ", limit ",
                    " more needed; it resets at 20",
                    "T00:00:00Z",
                    "ask the owner of \"bi\"",
                ] {
                    assert!(text.contains(part), "{part} in {text}");
                }
                refused += 1;
            }
        }
    }
    assert!(well <= 7, "{well} queries were answered");
    assert_eq!(well + refused, 50);
    let booked = "SELECT data_scanned_bytes FROM system.quota_usage WHERE quota = 'daily'";
    let scanned = "SELECT sum(data_scanned_bytes) FROM system.queries WHERE workgroup = 'bi'";
    let (booked, scanned) = (
        one(&server.query(booked).await),
        one(&server.query(scanned).await),
    );
    assert_eq!(booked, scanned);
    let scanned = u64::try_from(scanned).unwrap();
    // Somebody was refused a file, so less than that was left.
    assert!(scanned <= limit && limit - scanned < each, "{scanned} of {limit}");
    let states = server
        .query("SELECT DISTINCT state FROM system.queries WHERE error_code = 'EXCEEDED_QUOTA'")
        .await;
    assert_eq!(states.rows, [["CANCELLED"]]);
    let usage = server
        .query("SELECT refused, data_scanned_bytes FROM system.usage WHERE workgroup = 'bi'")
        .await;
    assert_eq!(usage.rows, [[refused.to_string(), scanned.to_string()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_money_stops_requests_before_they_are_sent() {
    let server = lake(Builder::default()).await;
    // One listing and two reads, by the price plan aws-s3.
    server
        .query("CREATE QUOTA money FOR INTERVAL 1 month MAX cost_usd = '0.0000058' TO WORKGROUP primary")
        .await;
    server.store.reset_log();
    let error = server.refused(SUM).await.to_string();
    assert!(
        error.contains("EXCEEDED_QUOTA: quota `money`") && error.contains("limit 0.000005800000 USD"),
        "{error}"
    );
    let counts = server.store.counts();
    assert_eq!(counts.list_requests, 1);
    assert!(counts.get_requests <= 2, "{counts:?}");
    let cost = "SELECT CAST(cost_usd * 1000000000000 AS bigint) FROM system.quota_usage";
    // A request that was given up before its answer is paid and not counted by the store.
    let paid = 5_000_000 + 400_000 * counts.get_requests..=5_800_000;
    let cost = one(&server.query(cost).await) as u64;
    assert!(paid.contains(&cost), "{cost}, {counts:?}");
}

/// A folder of one table, and the flags by which a server reads it.
fn local_table(home: &Path) -> String {
    let folder = home.join("lake/t");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("part-0.parquet"), parquet(&numbers(0..5_000))).unwrap();
    format!("file://{}/", home.join("lake").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_and_a_restart_keep_what_was_used() {
    let home = tempfile::tempdir().unwrap();
    let location = local_table(home.path());
    let data = home.path().join("data");
    let args = ["--allow-location", location.as_str()];
    let server = Served::start(home.path(), &data, &args);
    let client = connect(&server.url).await;
    let ddl = format!("CREATE EXTERNAL TABLE t (n bigint) STORED AS PARQUET LOCATION '{location}t/'");
    run(&client, &ddl).await.unwrap();
    let each = run(&client, SUM)
        .await
        .unwrap()
        .receipt
        .counters
        .unwrap()
        .data_scanned_bytes;
    run(&client, "CREATE WORKGROUP bi WITH (max_running = 3)")
        .await
        .unwrap();
    let limit = each * 3 + each / 2;
    let quota =
        format!("CREATE QUOTA monthly FOR INTERVAL 1 month MAX data_scanned_bytes = {limit} TO WORKGROUP bi");
    run(&client, &quota).await.unwrap();
    let bi = member(&server.url, "bi").await;
    run(&bi, SUM).await.unwrap();
    run(&bi, SUM).await.unwrap();
    server.signal("KILL");
    server.wait();
    let server = Served::start(home.path(), &data, &args);
    let client = connect(&server.url).await;
    let booked = "SELECT data_scanned_bytes FROM system.quota_usage WHERE quota = 'monthly'";
    let booked = one(&run(&client, booked).await.unwrap()) as u64;
    assert!(
        (each * 2..=each * 2 + limit / 256 + 1).contains(&booked),
        "{booked}"
    );
    let bi = member(&server.url, "bi").await;
    run(&bi, SUM).await.unwrap();
    let error = run(&bi, SUM).await.unwrap_err().to_string();
    assert!(error.contains("quota `monthly` of workgroup \"bi\""), "{error}");
    let groups = run(&client, "SHOW WORKGROUPS").await.unwrap().rows;
    assert_eq!(groups[0][..4], ["bi", "ENABLED", "NULL", "3"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workgroup_has_its_own_slots_and_queue() {
    let engine = EngineConfig {
        workgroups: vec![WorkgroupConfig {
            name: "fixed".to_owned(),
            max_running: Some(1),
            max_queued: Some(0),
            ..WorkgroupConfig::default()
        }],
        ..EngineConfig::default()
    };
    let server = lake(Builder {
        engine,
        ..Builder::default()
    })
    .await;
    let gate = server.store.pause_before("t/", Operation::GetObject);
    let (first, second) = (
        member(&server.url, "fixed").await,
        member(&server.url, "fixed").await,
    );
    let running = tokio::spawn(async move { run(&first, SUM).await });
    gate.wait_reached().await;
    let error = run(&second, SUM).await.unwrap_err().to_string();
    assert!(
        error.contains("QUERY_QUEUE_FULL: in workgroup `fixed` 1 queries run and 0 wait, which is the limit"),
        "{error}"
    );
    // Nobody else waits for them.
    assert_eq!(
        one(&server
            .query("SELECT count(*) FROM system.settings WHERE name = 'tags'")
            .await),
        1
    );
    gate.release();
    assert!(running.await.unwrap().is_ok());
    assert!(run(&second, SUM).await.is_ok(), "the slot is free again");
    for sql in [
        "ALTER WORKGROUP fixed SET (max_running = 5)",
        "DROP WORKGROUP fixed",
    ] {
        let error = server.refused(sql).await.to_string();
        assert!(
            error.contains(
                "NOT_SUPPORTED: workgroup `fixed` comes from the configuration and is not changed by SQL"
            ),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_is_posted_once_as_json() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/warn", listener.local_addr().unwrap());
    let server = lake(Builder {
        quota_webhook: Some(url),
        ..Builder::default()
    })
    .await;
    let each = bytes_of_sum(&server).await;
    let limit = each * 4;
    server
        .query(&format!(
            "CREATE QUOTA daily FOR INTERVAL 1 day MAX data_scanned_bytes = {limit} WARN AT 50 PERCENT TO WORKGROUP primary"
        ))
        .await;
    for _ in 0..4 {
        server.query(SUM).await;
    }
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let mut part = [0; 1_024];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&part[..read]);
    }
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("POST /warn HTTP/1.1\r\n"), "{request}");
    let body: serde_json::Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["quota"], "daily");
    assert_eq!(body["workgroup"], "primary");
    assert_eq!(body["warn_percent"], 50);
    assert_eq!(body["limit"], limit.to_string());
    let used: u64 = body["used"].as_str().unwrap().parse().unwrap();
    assert!((each * 2..=each * 3).contains(&used), "{used} of {limit}");
    let second = futures::FutureExt::now_or_never(listener.accept());
    assert!(second.is_none(), "one warning per window");
}
