//! No request belongs to nobody: receipts, and the system account for requests of no query, are the store's own count.

use std::collections::HashSet;

use arrow_flight::sql::CommandGetTables;
use arrow_flight::sql::client::FlightSqlServiceClient;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use futures::future::join_all;
use owlake::Counters;
use owlake_mems3::Counts;
use tonic::transport::{Channel, Endpoint};

use crate::harness::{BUCKET, TestServer, connect, numbers, run};

/// A table whose partitions are in the catalog, one that is projected, and files of both.
async fn lake() -> TestServer {
    let server = TestServer::start().await;
    for day in 1..=8 {
        server.put(&format!("plain/dt=2024-01-0{day}/f.parquet"), &numbers(0..2_000));
        server.put(
            &format!("projected/dt=2024-01-0{day}/f.parquet"),
            &numbers(0..2_000),
        );
    }
    server
}

/// DDL and commands, in an order that works; some read footers, some listings, some nothing.
fn commands() -> Vec<String> {
    let days: Vec<String> = (1..=8)
        .map(|day| format!("PARTITION (dt = '2024-01-0{day}')"))
        .collect();
    vec![
        format!(
            "CREATE EXTERNAL TABLE plain (n bigint) PARTITIONED BY (dt string) STORED AS PARQUET \
             LOCATION 's3://{BUCKET}/plain/'"
        ),
        format!("ALTER TABLE plain ADD {}", days.join(" ")),
        format!(
            "CREATE EXTERNAL TABLE projected (n bigint) PARTITIONED BY (dt string) STORED AS PARQUET \
             LOCATION 's3://{BUCKET}/projected/' TBLPROPERTIES ('projection.enabled' = 'true', \
             'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM-dd', \
             'projection.dt.range' = '2024-01-01,2024-01-31')"
        ),
        format!(
            "CREATE EXTERNAL TABLE inferred STORED AS PARQUET LOCATION 's3://{BUCKET}/plain/dt=2024-01-01/'"
        ),
        "SHOW TABLES".to_owned(),
        "SHOW PARTITIONS plain".to_owned(),
        "DESCRIBE inferred".to_owned(),
        "SHOW CREATE TABLE projected".to_owned(),
        "EXPLAIN SELECT sum(n) FROM projected WHERE dt = '2024-01-02'".to_owned(),
        "SELECT count(*) FROM system.queries".to_owned(),
    ]
}

const QUERIES: [&str; 8] = [
    "SELECT sum(n) FROM plain",
    "SELECT sum(n) FROM projected",
    "SELECT count(*) FROM plain WHERE dt = '2024-01-03'",
    "SELECT count(*) FROM projected WHERE dt BETWEEN '2024-01-02' AND '2024-01-05' AND n > 100",
    "SELECT a.dt, count(*) FROM plain a JOIN projected b ON a.n = b.n AND a.dt = b.dt GROUP BY a.dt",
    "SELECT min(n), max(n) FROM inferred",
    "SELECT n FROM plain WHERE n > 1990 ORDER BY n DESC, dt",
    "SELECT DISTINCT dt FROM projected WHERE n = 7",
];

/// What drivers ask for beside statements.
async fn metadata_calls(url: &str) {
    let endpoint = Endpoint::from_shared(url.replace("grpc://", "http://")).unwrap();
    let mut client: FlightSqlServiceClient<Channel> =
        FlightSqlServiceClient::new(endpoint.connect().await.unwrap());
    let tables = CommandGetTables {
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = client.get_tables(tables).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    assert!(batches.iter().map(|b| b.num_rows()).sum::<usize>() >= 3);
    let prepared = client
        .prepare("SELECT sum(n) FROM plain WHERE dt = ?".to_owned(), None)
        .await
        .unwrap();
    prepared.close().await.unwrap();
}

fn same(mine: Counters, theirs: &Counts) {
    let what = format!("{mine:?}\n{theirs:?}");
    assert_eq!(mine.get_requests, theirs.get_requests, "{what}");
    assert_eq!(mine.list_requests, theirs.list_requests, "{what}");
    assert_eq!(mine.head_requests, theirs.head_requests, "{what}");
    assert_eq!(mine.transferred_bytes, theirs.object_body_bytes_sent, "{what}");
}

/// What the store saw of all these statements.
fn seen_of(server: &TestServer, ids: &HashSet<String>) -> u64 {
    ids.iter().map(|id| server.store.counts_for(id).requests()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_every_kind_at_once_leave_no_request_on_nobodys_account() {
    let server = lake().await;
    let mut ids = HashSet::new();
    let (mut requests, mut bytes) = (0, 0);
    let mut take = |receipt: owlake_client::QueryReceipt| {
        let counters = receipt.counters.unwrap();
        requests +=
            counters.get_requests + counters.list_requests + counters.head_requests + counters.put_requests;
        bytes += counters.transferred_bytes;
        assert!(ids.insert(receipt.query_id), "one statement, one account");
    };
    for sql in commands() {
        take(server.query(&sql).await.receipt);
    }
    // Cold queries, commands and what drivers ask beside, all at the same time.
    let clients = join_all(QUERIES.iter().map(|_| connect(&server.url))).await;
    let queries = join_all(clients.iter().zip(QUERIES).map(|(client, sql)| run(client, sql)));
    let shows = join_all((0..4).map(|_| run(&server.client, "SHOW PARTITIONS plain")));
    let drivers = join_all((0..4).map(|_| metadata_calls(&server.url)));
    let (queries, shows, _drivers) = tokio::join!(queries, shows, drivers);
    for answer in queries.into_iter().chain(shows) {
        take(answer.unwrap().receipt);
    }
    server.store.wait_idle().await;
    let store = server.store.counts();
    assert!(store.get_requests >= 16 && store.list_requests >= 8, "{store:?}");
    assert_eq!(requests, store.requests(), "a request is on nobody's receipt");
    assert_eq!(bytes, store.object_body_bytes_sent);
    assert_eq!(
        seen_of(&server, &ids),
        store.requests(),
        "a request named no query to the store"
    );
    same(server.lake.counters(), &store);
    assert_eq!(server.lake.system_counters(), Counters::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_no_query_are_on_the_system_account() {
    let server = lake().await;
    for sql in commands() {
        server.query(&sql).await;
    }
    server.query(QUERIES[0]).await;
    server.store.wait_idle().await;
    let queries = server.store.counts();
    same(server.lake.counters(), &queries);
    server.store.reset_log();
    // Somebody else's engine reads our table.
    let theirs = SessionContext::new();
    let table = server.lake.table("default.projected").await.unwrap();
    theirs.register_table("projected", table).unwrap();
    let rows = theirs
        .sql("SELECT sum(n) FROM projected WHERE dt < '2024-01-05'")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(crate::harness::integers(&rows[0]), [7_996_000]);
    server.store.wait_idle().await;
    let detached = server.store.counts();
    assert!(detached.get_requests >= 4, "{detached:?}");
    same(server.lake.system_counters(), &detached);
    let process = server.lake.counters();
    assert_eq!(
        process.transferred_bytes,
        queries.object_body_bytes_sent + detached.object_body_bytes_sent
    );
    assert_eq!(process.get_requests, queries.get_requests + detached.get_requests);
    let ledger = server
        .query("SELECT sum(get_requests), sum(list_requests), sum(transferred_bytes) FROM system.queries")
        .await;
    let expected = [
        queries.get_requests,
        queries.list_requests,
        queries.object_body_bytes_sent,
    ];
    assert_eq!(ledger.rows, vec![expected.map(|n| n.to_string()).to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shells_names_come_from_the_catalog_without_a_query() {
    let server = lake().await;
    for sql in commands() {
        server.query(&sql).await;
    }
    server.store.wait_idle().await;
    server.store.reset_log();
    let tables = server.client.tables(100).await.unwrap();
    let table = |name: &str| tables.iter().find(|t| t.table == name).unwrap();
    assert_eq!(table("projected").database, "default");
    assert_eq!(table("projected").columns, ["n", "dt"]);
    assert_eq!(table("inferred").columns, ["n"]);
    assert_eq!(server.client.tables(1).await.unwrap().len(), 1);
    assert_eq!(server.store.counts().requests(), 0);
}
