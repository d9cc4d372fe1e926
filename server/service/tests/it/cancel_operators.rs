//! Ends of queries in the middle of a join, a sort or a spill, and of queries that nobody ever fetched.

use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{
    CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, FlightInfo,
};
use futures::TryStreamExt;
use owlake::EngineConfig;
use owlake_client::Client;
use owlake_mems3::{Gate, Operation};
use prost::Message;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::harness::{Builder, PATIENCE, TestServer, numbers, one, text_rows};

/// Rows of each of the four files.
const ROWS: i64 = 400_000;

/// Operators that hold their input when the last file has not come yet.
const JOIN: &str = "SELECT count(*) AS stopped FROM t a JOIN t b ON a.n = b.n + 1";
const SORT: &str = "SELECT n AS stopped FROM t ORDER BY n DESC";
const AGGREGATE: &str = "SELECT n AS stopped, count(*) FROM t GROUP BY n";

/// A server with one slot and this much memory for a query; its spill files go to `spill`.
async fn server(query_memory_bytes: usize, spill: &std::path::Path) -> TestServer {
    let engine = EngineConfig {
        max_running: 1,
        query_memory_bytes,
        spill_dir: Some(spill.to_owned()),
        cpu_threads: Some(1),
        ..EngineConfig::default()
    };
    let server = Builder {
        engine,
        ..Builder::default()
    }
    .start()
    .await;
    for part in 0..4 {
        server.put(
            &format!("t/part-{part}.parquet"),
            &numbers(part * ROWS..(part + 1) * ROWS),
        );
    }
    server.table_of_numbers("t").await;
    // Listing and footers are cached from here on: what is held below is data.
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 4 * ROWS);
    server
}

fn cancelled() -> Vec<Vec<String>> {
    vec![vec!["CANCELLED".to_owned(), "USER_CANCELED".to_owned()]]
}

fn files_in(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Starts `sql`, waits until it is held and `when` is true, cancels it through the wire.
async fn cancel_when(client: &Client, sql: &str, gate: &Gate, when: impl Fn() -> bool) {
    let mut stream = client.query(sql).await.unwrap();
    let held = async {
        gate.wait_reached().await;
        while !when() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        end = stream.try_next() => panic!("{sql} ended before it was stopped: {end:?}"),
        held = timeout(PATIENCE, held) => held.unwrap_or_else(|_| panic!("{sql} was never held")),
    }
    let receipt = stream
        .cancel(PATIENCE)
        .await
        .expect("a cancelled query has a receipt");
    assert!(
        receipt.counters.unwrap().data_scanned_bytes > 0,
        "{sql} had not begun to read"
    );
}

/// What holds after every stop of a running query.
async fn assert_ended(server: &TestServer, sql: &str, gate: Gate) {
    server
        .assert_stopped(sql, gate, "CANCELLED", "USER_CANCELED")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_a_sort_and_an_aggregate_stop_in_the_middle() {
    let spill = tempfile::tempdir().unwrap();
    for sql in [JOIN, SORT, AGGREGATE] {
        let server = server(1 << 30, spill.path()).await;
        let gate = server.store.pause_after("t/part-3", Operation::GetObject);
        cancel_when(&server.client, sql, &gate, || true).await;
        assert_ended(&server, sql, gate).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_has_spilled_stops_and_leaves_no_file() {
    // A sort sets 10 MiB apart for merging; what is left is less than the rows of three files.
    for (sql, memory_bytes) in [(SORT, 22 << 20), (AGGREGATE, 16 << 20)] {
        let spill = tempfile::tempdir().unwrap();
        let server = server(memory_bytes, spill.path()).await;
        let gate = server.store.pause_after("t/part-3", Operation::GetObject);
        cancel_when(&server.client, sql, &gate, || !files_in(spill.path()).is_empty()).await;
        assert_ended(&server, sql, gate).await;
        // A thread that was writing lets go of its file when it looks up.
        let removed = async {
            while !files_in(spill.path()).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, removed)
            .await
            .unwrap_or_else(|_| panic!("{sql} left {:?}", files_in(spill.path())));
    }
}

/// Flight without our client: announces, and never fetches.
async fn flight(server: &TestServer) -> FlightServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(server.url.replace("grpc://", "http://")).unwrap();
    FlightServiceClient::new(endpoint.connect().await.unwrap())
}

async fn announce(flight: &mut FlightServiceClient<Channel>, sql: &str) -> FlightInfo {
    let command = CommandStatementQuery {
        query: sql.to_owned(),
        transaction_id: None,
    };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    flight.get_flight_info(descriptor).await.unwrap().into_inner()
}

async fn action(flight: &mut FlightServiceClient<Channel>, name: &str, body: Vec<u8>) -> Vec<u8> {
    let action = arrow_flight::Action::new(name, body);
    let results = flight.do_action(action).await.unwrap().into_inner();
    let results: Vec<_> = results.try_collect().await.unwrap();
    results[0].body.to_vec()
}

async fn state(server: &TestServer, sql: &str) -> Vec<Vec<String>> {
    let query = format!("SELECT state FROM system.queries WHERE query = '{sql}'");
    server.query(&query).await.rows
}

/// The ticket is worth nothing any more, the row is final and alone, no object was touched.
async fn assert_never_ran(
    server: &TestServer,
    flight: &mut FlightServiceClient<Channel>,
    info: &FlightInfo,
    requests: u64,
) {
    assert_eq!(server.ended(SORT).await, cancelled());
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let refused = flight.do_get(Request::new(ticket)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    assert_eq!(server.ended(SORT).await, cancelled());
    assert_eq!(server.store.counts().requests(), requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_a_query_that_was_never_fetched() {
    let spill = tempfile::tempdir().unwrap();
    let server = server(1 << 30, spill.path()).await;
    let mut flight = flight(&server).await;
    let info = announce(&mut flight, SORT).await;
    assert_eq!(state(&server, SORT).await, [["RUNNING"]]);
    let requests = server.store.counts().requests();
    let body = CancelFlightInfoRequest::new(info.clone()).encode_to_vec();
    let answer = action(&mut flight, "CancelFlightInfo", body.clone()).await;
    let answer = CancelFlightInfoResult::decode(answer.as_slice()).unwrap();
    assert_eq!(answer.status(), CancelStatus::Cancelled);
    assert_never_ran(&server, &mut flight, &info, requests).await;
    let again = action(&mut flight, "CancelFlightInfo", body).await;
    let again = CancelFlightInfoResult::decode(again.as_slice()).unwrap();
    assert_eq!(again.status(), CancelStatus::NotCancellable);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_ends_what_it_never_fetched_and_nothing_else() {
    let spill = tempfile::tempdir().unwrap();
    let server = server(1 << 30, spill.path()).await;
    let mut ours = flight(&server).await;
    let mut other = flight(&server).await;
    let info = announce(&mut ours, SORT).await;
    let requests = server.store.counts().requests();
    let kept = announce(&mut other, AGGREGATE).await;
    action(&mut ours, "CloseSession", Vec::new()).await;
    assert_never_ran(&server, &mut ours, &info, requests).await;
    assert_eq!(state(&server, AGGREGATE).await, [["RUNNING"]]);
    // A ticket belongs to its session: another one can neither fetch nor cancel it.
    let ticket = kept.endpoint[0].ticket.clone().unwrap();
    assert_eq!(
        ours.do_get(ticket.clone()).await.unwrap_err().code(),
        Code::NotFound
    );
    let messages = other.do_get(ticket).await.unwrap().into_inner();
    assert!(messages.try_collect::<Vec<_>>().await.unwrap().len() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_ends_its_running_query() {
    let spill = tempfile::tempdir().unwrap();
    let server = server(1 << 30, spill.path()).await;
    let mut ours = flight(&server).await;
    let info = announce(&mut ours, SORT).await;
    let gate = server.store.pause_after("t/part-3", Operation::GetObject);
    let mut fetching = ours.clone();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let fetched = tokio::spawn(async move {
        let messages = fetching.do_get(ticket).await?.into_inner();
        messages.try_collect::<Vec<_>>().await
    });
    timeout(PATIENCE, gate.wait_reached()).await.unwrap();
    action(&mut ours, "CloseSession", Vec::new()).await;
    let ended = timeout(PATIENCE, fetched).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::Cancelled);
    assert_ended(&server, SORT, gate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_never_fetched_ends_by_itself() {
    let server = Builder {
        ticket_idle: Some(Duration::from_millis(500)),
        ..Builder::default()
    }
    .start()
    .await;
    server.put("t/part-0.parquet", &numbers(0..10));
    // Nothing but the ticket goes over the wire, where a slow machine's other tickets might run out too.
    let ddl = "CREATE EXTERNAL TABLE t (n bigint) STORED AS PARQUET LOCATION 's3://test-lake/t/'";
    server.lake.execute(ddl).await.unwrap();
    let mut flight = flight(&server).await;
    let info = announce(&mut flight, SORT).await;
    let requests = server.store.counts().requests();
    let sql =
        format!("SELECT state, error_code FROM system.queries WHERE query = '{SORT}' AND state <> 'RUNNING'");
    let ended = async {
        loop {
            let rows = server
                .lake
                .query(&sql)
                .run()
                .await
                .unwrap()
                .collect()
                .await
                .unwrap();
            if let Some(rows) = rows.first() {
                return text_rows(rows);
            }
            tokio::task::yield_now().await;
        }
    };
    let ended = timeout(PATIENCE, ended).await;
    assert_eq!(ended.expect("a ticket that nobody fetches lives on"), cancelled());
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    assert_eq!(flight.do_get(ticket).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(server.store.counts().requests(), requests);
}
