//! Partition projection and registered partitions: which prefixes a query lists, which objects it opens, and what
//! the partition columns say.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use owlake_mems3::{Operation, RequestRecord};

use crate::harness::{Answer, BUCKET, Builder, TestServer, integers, numbers, one};

const EVENTS: &str = "CREATE EXTERNAL TABLE events (n bigint) \
    PARTITIONED BY (dt string, hour int, region string) STORED AS PARQUET LOCATION 's3://test-lake/events/' \
    TBLPROPERTIES ('projection.enabled' = 'true', \
    'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM-dd', 'projection.dt.range' = '2015-01-01,2024-12-31', \
    'projection.hour.type' = 'integer', 'projection.hour.range' = '0,23', 'projection.hour.digits' = '2', \
    'projection.region.type' = 'enum', 'projection.region.values' = 'ap,eu,us')";

const DAYS: [&str; 3] = ["2024-03-04", "2024-03-05", "2024-03-06"];
const REGIONS: [&str; 3] = ["ap", "eu", "us"];

fn directory(day: &str, hour: i64, region: &str) -> String {
    format!("events/dt={day}/hour={hour:02}/region={region}")
}

/// Three days of the table; each file has the numbers `10 * hour` and `10 * hour + 1`.
async fn events() -> TestServer {
    let server = TestServer::start().await;
    for day in DAYS {
        for hour in 0..24 {
            for region in REGIONS {
                let key = format!("{}/part-0.parquet", directory(day, hour, region));
                server.put(&key, &numbers([10 * hour, 10 * hour + 1]));
            }
        }
    }
    server.query(EVENTS).await;
    server.store.reset_log();
    server
}

fn keys_of(server: &TestServer, operation: Operation) -> Vec<String> {
    let asked = |r: &RequestRecord| r.operation == operation;
    let requests = server.store.requests();
    requests
        .iter()
        .filter(|r| asked(r))
        .map(|r| r.key.trim_end_matches('/').to_owned())
        .collect()
}

fn listed(server: &TestServer) -> Vec<String> {
    let mut keys = keys_of(server, Operation::ListObjectsV2);
    keys.sort();
    keys
}

fn opened(server: &TestServer) -> BTreeSet<String> {
    keys_of(server, Operation::GetObject).into_iter().collect()
}

/// GETs that reach the last byte of their object, where the footer is.
fn footer_reads(server: &TestServer) -> usize {
    let reaches_the_end = |r: &RequestRecord| {
        let size = server.store.object(BUCKET, &r.key).unwrap().bytes.len();
        r.range.as_deref().is_none_or(|range| {
            let last = range.rsplit('-').next().unwrap();
            last.is_empty() || last.parse::<usize>().unwrap() + 1 >= size
        })
    };
    let requests = server.store.requests();
    requests
        .iter()
        .filter(|r| r.operation == Operation::GetObject && reaches_the_end(r))
        .count()
}

fn sorted(answer: &Answer) -> Vec<String> {
    let mut rows: Vec<String> = answer.rows.iter().map(|r| r.join("|")).collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn one_day_and_one_region_list_and_open_exactly_their_prefixes() {
    let server = events().await;
    let sql = "SELECT sum(n), count(*) FROM events WHERE dt = '2024-03-05' AND region = 'eu'";
    let prefixes: Vec<String> = (0..24).map(|hour| directory("2024-03-05", hour, "eu")).collect();
    let files: BTreeSet<String> = prefixes.iter().map(|p| format!("{p}/part-0.parquet")).collect();

    let cold = server.query(sql).await;
    assert_eq!(cold.rows, [["5544", "48"]]);
    assert_eq!(listed(&server), prefixes);
    assert_eq!(opened(&server), files);
    assert_eq!(footer_reads(&server), 24);
    let scan = &cold.receipt.scans[0];
    assert_eq!((scan.partitions_total, scan.partitions_read), (3653 * 24 * 3, 24));
    assert_eq!((scan.files_total, scan.files_read), (24, 24));

    server.store.reset_log();
    let warm = server.query(sql).await;
    assert_eq!(warm.rows, cold.rows);
    // Every file was asked for under its entity tag, so that the cached listing needs no other proof; nothing was read.
    assert_eq!(listed(&server), Vec::<String>::new());
    assert_eq!(footer_reads(&server), 0);
    assert_eq!(opened(&server), BTreeSet::new());
    let asked_for = keys_of(&server, Operation::HeadObject);
    assert_eq!(asked_for.len(), 24);
    assert_eq!(asked_for.into_iter().collect::<BTreeSet<_>>(), files);
    let (cold, warm) = (cold.receipt.counters.unwrap(), warm.receipt.counters.unwrap());
    assert_eq!(warm.cached_bytes, warm.metadata_bytes + warm.data_scanned_bytes);
    assert_eq!(
        (cold.metadata_bytes, cold.data_scanned_bytes),
        (warm.metadata_bytes, warm.data_scanned_bytes)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_columns_alone_open_no_data() {
    let server = events().await;
    let answer = server
        .query("SELECT dt, hour, region, count(*) FROM events WHERE dt = '2024-03-06' AND hour = 7 GROUP BY 1, 2, 3")
        .await;
    assert_eq!(
        sorted(&answer),
        ["2024-03-06|7|ap|2", "2024-03-06|7|eu|2", "2024-03-06|7|us|2"]
    );
    assert_eq!(answer.receipt.counters.unwrap().data_scanned_bytes, 0);
    assert_eq!(listed(&server).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_filter_lists_only_what_it_matches() {
    let server = events().await;
    // Filter, prefixes listed, rows.
    let cases = [
        (
            "dt IN ('2024-03-04', '2024-03-06') AND hour = 3 AND region = 'us'",
            2,
            4,
        ),
        (
            "dt BETWEEN '2024-03-04' AND '2024-03-05' AND hour BETWEEN 22 AND 23 AND region = 'ap'",
            4,
            8,
        ),
        (
            "dt = '2024-03-05' AND (hour = 3 OR hour = 4) AND region = 'eu'",
            2,
            4,
        ),
        ("dt = '2024-03-05' AND (hour = 3 OR region = 'us')", 26, 52),
        ("dt = '2024-03-05' AND hour <> 0 AND region = 'eu'", 23, 46),
        ("dt = '2024-03-05' AND hour % 12 = 0 AND region LIKE 'e%'", 2, 4),
        (
            "dt = '2024-03-05' AND hour >= 20 AND hour < 22 AND region NOT IN ('ap', 'us')",
            2,
            4,
        ),
        (
            "dt = '2024-03-05' AND hour = 3 AND region = 'eu' AND n = 31",
            1,
            1,
        ),
        (
            "substr(dt, 1, 7) = '2024-03' AND dt > '2024-03-05' AND dt < '2024-03-07' AND hour = 1 AND region = 'eu'",
            1,
            2,
        ),
    ];
    for (filter, prefixes, rows) in cases {
        server.store.reset_log();
        let fresh = TestServer::start_on(&server.store).await;
        fresh.query(EVENTS).await;
        let answer = fresh
            .query(&format!("SELECT count(*) FROM events WHERE {filter}"))
            .await;
        assert_eq!(one(&answer), rows, "{filter}");
        assert_eq!(listed(&server).len(), prefixes, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_million_possible_partitions_only_the_matching_one_is_listed() {
    let server = TestServer::start().await;
    let regions: Vec<String> = (0..20).map(|i| format!("r{i}")).collect();
    let ddl = EVENTS.replace("ap,eu,us", &regions.join(","));
    server.query(&ddl).await;
    server.put(
        "events/dt=2024-02-29/hour=05/region=r7/a.parquet",
        &numbers(0..10),
    );
    server.store.reset_log();
    let sql = "SELECT sum(n) FROM events WHERE dt = '2024-02-29' AND hour = 5 AND region = 'r7'";
    let answer = server.query(sql).await;
    assert_eq!(one(&answer), 45);
    assert_eq!(listed(&server), ["events/dt=2024-02-29/hour=05/region=r7"]);
    assert_eq!(answer.receipt.scans[0].partitions_total, 3653 * 24 * 20);
    assert_eq!(answer.receipt.scans[0].partitions_read, 1);

    server.store.reset_log();
    let error = server.refused("SELECT sum(n) FROM events").await;
    assert_eq!(error.code(), Some("HIVE_EXCEEDED_PARTITION_LIMIT"), "{error}");
    assert_eq!(server.store.counts().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_outside_the_classic_integer_range_is_no_rows_and_a_notice() {
    let server = TestServer::start().await;
    server
        .query(
            "CREATE EXTERNAL TABLE classic (n bigint) PARTITIONED BY (year int, month int, day int) \
             STORED AS PARQUET LOCATION 's3://test-lake/classic/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.year.type' = 'integer', 'projection.year.range' = '2020,2025', \
             'projection.month.type' = 'integer', 'projection.month.range' = '1,12', 'projection.month.digits' = '2', \
             'projection.day.type' = 'integer', 'projection.day.range' = '1,31', 'projection.day.digits' = '2', \
             'storage.location.template' = 's3://test-lake/classic/${year}/${month}/${day}/')",
        )
        .await;
    server.put("classic/2025/03/09/a.parquet", &numbers([1, 2]));
    server.put("classic/2026/03/09/a.parquet", &numbers([4]));
    server.store.reset_log();
    let inside = server
        .query("SELECT sum(n) FROM classic WHERE year = 2025 AND month = 3 AND day = 9")
        .await;
    assert_eq!(one(&inside), 3);
    assert_eq!(listed(&server), ["classic/2025/03/09"]);
    assert!(inside.receipt.notices.is_empty(), "{:?}", inside.receipt.notices);

    server.store.reset_log();
    let outside = server.query("SELECT n FROM classic WHERE year = 2026").await;
    assert!(outside.rows.is_empty());
    assert_eq!(server.store.counts().requests(), 0);
    let [notice] = outside.receipt.notices.as_slice() else {
        panic!("{:?}", outside.receipt.notices)
    };
    for part in [
        "default.classic",
        "year = 2026",
        "projection.year.range",
        "2020,2025",
    ] {
        assert!(notice.contains(part), "{notice}");
    }
    assert_eq!(
        one(&server
            .query("SELECT count(*) FROM classic WHERE year = 2026")
            .await),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_column_needs_its_values_in_the_filter() {
    let server = TestServer::start().await;
    server
        .query(
            "CREATE EXTERNAL TABLE devices (n bigint) PARTITIONED BY (device string) STORED AS PARQUET \
             LOCATION 's3://test-lake/devices/' \
             TBLPROPERTIES ('projection.enabled' = 'true', 'projection.device.type' = 'injected')",
        )
        .await;
    server.put("devices/device=a1/x.parquet", &numbers([1, 2]));
    server.put("devices/device=b2/x.parquet", &numbers([10]));
    server.put("devices/device=c3/x.parquet", &numbers([100]));
    server.store.reset_log();
    for sql in [
        "SELECT sum(n) FROM devices",
        "SELECT sum(n) FROM devices WHERE n = 1",
        "SELECT sum(n) FROM devices WHERE device LIKE 'a%'",
        "SELECT sum(n) FROM devices WHERE device > 'a'",
    ] {
        let error = server.refused(sql).await;
        assert_eq!(error.code(), Some("CONSTRAINT_VIOLATION"), "{error}");
        assert!(error.to_string().contains("device"), "{error}");
        assert_eq!(server.store.counts().requests(), 0, "{sql}");
        let receipt = error.receipt().expect("a refused query has a receipt");
        assert_eq!(receipt.counters.unwrap_or_default().list_requests, 0);
    }
    assert_eq!(
        one(&server
            .query("SELECT sum(n) FROM devices WHERE device IN ('a1', 'c3')")
            .await),
        103
    );
    assert_eq!(listed(&server), ["devices/device=a1", "devices/device=c3"]);
    for value in ["../devices", "a1/../b2", "", ".."] {
        server.store.reset_log();
        let error = server
            .refused(&format!("SELECT sum(n) FROM devices WHERE device = '{value}'"))
            .await;
        assert!(error.code().is_some(), "{error}");
        assert_eq!(server.store.counts().requests(), 0, "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_column_has_dates_whatever_the_path_looks_like() {
    let server = TestServer::start().await;
    server
        .query(
            "CREATE EXTERNAL TABLE daily (n bigint) PARTITIONED BY (d date, shard int) STORED AS PARQUET \
             LOCATION 's3://test-lake/daily/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.d.type' = 'date', 'projection.d.format' = 'yyyy-MM-dd', \
             'projection.d.range' = '2024-01-01,2024-01-31', \
             'projection.shard.type' = 'integer', 'projection.shard.range' = '1,3', 'projection.shard.digits' = '3', \
             'storage.location.template' = 's3://test-lake/daily/${d}/s${shard}/')",
        )
        .await;
    server.put("daily/2024-01-02/s003/a.parquet", &numbers([7]));
    server.put("daily/2024-01-03/s001/a.parquet", &numbers([8]));
    server.store.reset_log();
    let answer = server
        .query(
            "SELECT n, d, shard, d + INTERVAL '1' DAY = DATE '2024-01-03', typeof(d), typeof(shard) \
             FROM daily WHERE d = DATE '2024-01-02' AND shard > 2",
        )
        .await;
    assert_eq!(answer.rows, [["7", "2024-01-02", "3", "true", "date", "integer"]]);
    assert_eq!(listed(&server), ["daily/2024-01-02/s003"]);
    let all = server
        .query("SELECT d, n FROM daily WHERE d BETWEEN DATE '2024-01-01' AND DATE '2024-01-05'")
        .await;
    assert_eq!(sorted(&all), ["2024-01-02|7", "2024-01-03|8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_partitions_are_read_where_they_were_registered_null_included() {
    let server = TestServer::start().await;
    server
        .query(
            "CREATE EXTERNAL TABLE reg (n bigint) PARTITIONED BY (p string, k int) STORED AS PARQUET \
             LOCATION 's3://test-lake/reg/'",
        )
        .await;
    server.put("reg/p=a/k=1/x.parquet", &numbers([1]));
    server.put("elsewhere/b/x.parquet", &numbers([2]));
    server.put("reg/p=__HIVE_DEFAULT_PARTITION__/k=3/x.parquet", &numbers([4]));
    server.put("reg/p=never/k=9/x.parquet", &numbers([100]));
    server
        .query(
            "ALTER TABLE reg ADD PARTITION (p = 'a', k = 1) \
             PARTITION (p = 'b', k = 2) LOCATION 's3://test-lake/elsewhere/b/' \
             PARTITION (p = '__HIVE_DEFAULT_PARTITION__', k = 3)",
        )
        .await;
    server.store.reset_log();
    let all = server.query("SELECT n, p, k FROM reg").await;
    assert_eq!(sorted(&all), ["1|a|1", "2|b|2", "4|NULL|3"]);
    // Filter, prefix listed, sum.
    let cases = [
        ("p IS NULL", 1, 4),
        ("p = 'b'", 1, 2),
        ("p IS NOT NULL", 2, 3),
        ("p <> 'b'", 1, 1),
        ("k IN (1, 3)", 2, 5),
        ("coalesce(p, 'none') = 'none'", 1, 4),
        ("p IS DISTINCT FROM 'a'", 2, 6),
        ("p = 'a' OR k = 2", 2, 3),
        ("k BETWEEN 2 AND 3", 2, 6),
    ];
    for (filter, partitions, sum) in cases {
        let answer = server
            .query(&format!("SELECT sum(n) FROM reg WHERE {filter}"))
            .await;
        assert_eq!(one(&answer), sum, "{filter}");
        assert_eq!(answer.receipt.scans[0].partitions_read, partitions, "{filter}");
        assert_eq!(answer.receipt.scans[0].partitions_total, 3, "{filter}");
    }
    server
        .query("ALTER TABLE reg DROP PARTITION (p = 'a', k = 1)")
        .await;
    assert_eq!(one(&server.query("SELECT sum(n) FROM reg").await), 6);
}

/// The server's clock of the test below, seconds.
static CLOCK: AtomicI64 = AtomicI64::new(0);

fn clock() -> DateTime<Utc> {
    DateTime::from_timestamp(CLOCK.load(Ordering::Relaxed), 0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_a_session_of_ones_own_has_the_now_of_each_scan() {
    let day = |text: &str| {
        let at = format!("{text}T12:00:00Z").parse::<DateTime<Utc>>().unwrap();
        CLOCK.store(at.timestamp(), Ordering::Relaxed);
    };
    day("2024-01-02");
    let server = Builder {
        clock: Some(clock),
        ..Builder::default()
    }
    .start()
    .await;
    server.put("days/dt=2024-01-01/a.parquet", &numbers(0..10));
    server.put("days/dt=2024-01-03/a.parquet", &numbers(0..5));
    server
        .query(
            "CREATE EXTERNAL TABLE days (n bigint) PARTITIONED BY (dt date) STORED AS PARQUET \
             LOCATION 's3://test-lake/days/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM-dd', \
             'projection.dt.range' = '2024-01-01,NOW')",
        )
        .await;
    let session = datafusion::prelude::SessionContext::new();
    let table = server.lake.table("days").await.unwrap();
    session.register_table("days", table).unwrap();
    for (today, rows) in [("2024-01-02", 10), ("2024-01-03", 15)] {
        day(today);
        let counted = session.sql("SELECT count(*) FROM days").await.unwrap();
        let batches = counted.collect().await.unwrap();
        assert_eq!(integers(&batches[0]), [rows], "{today}");
    }
}
