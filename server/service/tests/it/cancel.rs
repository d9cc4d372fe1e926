//! A query that is not wanted any more: its reads end, one ledger row says why, its slot comes back.

use std::process::{Command, Stdio};
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::join_all;
use owlake::EngineConfig;
use owlake_client::{Client, ClientError};
use owlake_mems3::{Gate, Operation};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::{Builder, PATIENCE, TestServer, connect, numbers, one, run};

/// What is stopped. The text names exactly its own ledger rows.
const STOPPED: &str = "SELECT sum(n) AS stopped FROM t";

/// Where the query stands when it is stopped.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Listing,
    Footers,
    Data,
}

const PHASES: [Phase; 3] = [Phase::Listing, Phase::Footers, Phase::Data];

/// A server with one slot, and a gate that holds the requests of a phase.
async fn held(phase: Phase, engine: EngineConfig) -> (TestServer, Gate) {
    let engine = EngineConfig {
        max_running: 1,
        ..engine
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
            &numbers(part * 50_000..(part + 1) * 50_000),
        );
    }
    server.table_of_numbers("t").await;
    let operation = match phase {
        Phase::Listing => Operation::ListObjectsV2,
        Phase::Footers => Operation::GetObject,
        Phase::Data => {
            // Listing and footers are cached from here on.
            assert_eq!(one(&server.query("SELECT max(n) FROM t").await), 199_999);
            Operation::GetObject
        }
    };
    let gate = server.store.pause_after("t/", operation);
    (server, gate)
}

async fn reached(gate: &Gate) {
    timeout(PATIENCE, gate.wait_reached())
        .await
        .expect("the query never got to the gate");
}

/// What holds after every stop.
async fn assert_ended(server: &TestServer, gate: Gate, state: &str, error_code: &str) {
    server.assert_stopped(STOPPED, gate, state, error_code).await;
    assert_eq!(
        one(&server.query("SELECT count(*) FROM t WHERE n >= 0").await),
        200_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_stream_ends_the_query_in_every_phase() {
    for phase in PHASES {
        let (server, gate) = held(phase, EngineConfig::default()).await;
        let client = server.client.clone();
        let query = tokio::spawn(async move { run(&client, STOPPED).await });
        reached(&gate).await;
        query.abort();
        assert!(query.await.unwrap_err().is_cancelled());
        assert_ended(&server, gate, "CANCELLED", "USER_CANCELED").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_stream_that_has_given_rows_ends_the_query() {
    let (server, gate) = held(Phase::Data, EngineConfig::default()).await;
    gate.release();
    let gate = server.store.pause_after("t/part-3", Operation::GetObject);
    let sql = STOPPED.replace("sum(n)", "n");
    let mut stream = server.client.query(&sql).await.unwrap();
    assert!(stream.try_next().await.unwrap().unwrap().num_rows() > 0);
    reached(&gate).await;
    drop(stream);
    server
        .assert_stopped(&sql, gate, "CANCELLED", "USER_CANCELED")
        .await;
    let sent = format!("SELECT rows_returned > 0 FROM system.queries WHERE query = '{sql}'");
    assert_eq!(server.query(&sent).await.rows, [["true"]]);
}

/// A port that forwards to `server` until the task ends; then both sockets are closed without a word.
async fn cable(server: &TestServer) -> (String, tokio::task::JoinHandle<()>) {
    let to = server.url.strip_prefix("grpc://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        let _closed = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    (url, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_socket_ends_the_query_in_every_phase() {
    for phase in PHASES {
        let (server, gate) = held(phase, EngineConfig::default()).await;
        let (url, cable) = cable(&server).await;
        let client = connect(&url).await;
        let query = tokio::spawn(async move { run(&client, STOPPED).await });
        reached(&gate).await;
        cable.abort();
        let error = query.await.unwrap().unwrap_err();
        assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
        assert_ended(&server, gate, "CANCELLED", "USER_CANCELED").await;
    }
}

/// Starts the query, waits for the gate, then asks the server to stop it.
async fn start_and_cancel(client: &Client, gate: &Gate) -> String {
    let mut stream = client.query(STOPPED).await.unwrap();
    tokio::select! {
        end = stream.try_next() => panic!("ended before it was stopped: {end:?}"),
        () = reached(gate) => {}
    }
    let receipt = stream
        .cancel(PATIENCE)
        .await
        .expect("a cancelled query has a receipt");
    receipt.query_id
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_flight_info_ends_the_query_in_every_phase_and_brings_its_receipt() {
    for phase in PHASES {
        let (server, gate) = held(phase, EngineConfig::default()).await;
        let query_id = timeout(PATIENCE, start_and_cancel(&server.client, &gate))
            .await
            .unwrap();
        assert_ended(&server, gate, "CANCELLED", "USER_CANCELED").await;
        let by_id = format!("SELECT state FROM system.queries WHERE query_id = '{query_id}'");
        assert_eq!(
            server.query(&by_id).await.rows,
            vec![vec!["CANCELLED".to_owned()]]
        );
    }
}

fn assert_timed_out(error: &ClientError) {
    let failure = error.failure().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(failure.grpc_code as i32, 4, "DEADLINE_EXCEEDED: {error}");
    assert!(failure.message.starts_with("EXCEEDED_TIME_LIMIT"), "{error}");
    assert!(failure.receipt.is_some(), "a failed query has a receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_a_session_ends_the_query_in_every_phase() {
    let cases = PHASES.map(|phase| async move {
        let (server, gate) = held(phase, EngineConfig::default()).await;
        let hurried = connect(&server.url).await;
        // As long as a busy machine may take to get there.
        run(&hurried, "SET SESSION query_timeout = '10s'").await.unwrap();
        let error = timeout(PATIENCE, run(&hurried, STOPPED))
            .await
            .unwrap()
            .unwrap_err();
        assert_timed_out(&error);
        assert!(gate.reached() > 0, "stopped before it read");
        assert_ended(&server, gate, "FAILED", "EXCEEDED_TIME_LIMIT").await;
    });
    join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_the_server_cannot_be_raised_by_a_session() {
    let engine = EngineConfig {
        query_timeout: Duration::from_secs(10),
        ..EngineConfig::default()
    };
    let (server, gate) = held(Phase::Data, engine).await;
    let patient = connect(&server.url).await;
    // Refused or without effect: either way the server's limit holds.
    let _answer = run(&patient, "SET SESSION query_timeout = '1h'").await;
    let error = timeout(PATIENCE, run(&patient, STOPPED))
        .await
        .unwrap()
        .unwrap_err();
    assert_timed_out(&error);
    assert_ended(&server, gate, "FAILED", "EXCEEDED_TIME_LIMIT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_of_the_shell_stops_the_query_on_the_server() {
    let (server, gate) = held(Phase::Data, EngineConfig::default()).await;
    let home = tempfile::tempdir().unwrap();
    let shell = Command::new(env!("CARGO_BIN_EXE_owlake"))
        .args(["sql", "--url", &server.url, "-c", STOPPED])
        .env("HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    reached(&gate).await;
    let interrupt = format!("kill -INT {}", shell.id());
    assert!(
        Command::new("sh")
            .args(["-c", &interrupt])
            .status()
            .unwrap()
            .success()
    );
    let output = tokio::task::spawn_blocking(move || shell.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_ended(&server, gate, "CANCELLED", "USER_CANCELED").await;
}
