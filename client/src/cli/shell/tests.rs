//! What the shell says and with which exit code, without a server: the connection is never made, or refused.

use super::*;
use crate::cli::streams::captured::Captured;
use crate::options::{ConnectOptions, ServerUrl};
use clap::Parser;
use owlake_proto::v1::Counters;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sql: SqlArgs,
}

/// Address of a port that was free a moment ago: connections are refused.
fn closed_url() -> ServerUrl {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("grpc://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap()
}

async fn with_shell<T>(flags: &[&str], work: impl AsyncFnOnce(&mut Shell<'_>) -> T) -> (T, Captured) {
    let args = Cli::try_parse_from(std::iter::once(&"owlake-sql").chain(flags))
        .unwrap()
        .sql;
    let url = closed_url();
    let channel = Endpoint::from_shared(url.endpoint_uri()).unwrap().connect_lazy();
    let client = Client::from_channel(channel, ConnectOptions::new(url))
        .await
        .unwrap();
    let (mut io, captured) = Streams::captured("");
    let done = work(&mut Shell::new(&args, client, &mut io)).await;
    (done, captured)
}

fn receipt(data_scanned_bytes: u64) -> QueryReceipt {
    QueryReceipt {
        query_id: "q1".into(),
        counters: Some(Counters {
            data_scanned_bytes,
            ..Counters::default()
        }),
        notices: vec!["partition dt=2024-01-01 is empty".into()],
        ..QueryReceipt::default()
    }
}

fn rows(receipt: Option<QueryReceipt>) -> Finished {
    Finished {
        receipt,
        has_rows: true,
    }
}

#[tokio::test]
async fn an_assertion_on_scanned_bytes_decides_the_exit_code() {
    let flags = ["--assert-max-scan", "12MB"];
    for (finished, exit) in [
        (rows(Some(receipt(12_000_000))), Exit::Ok),
        (rows(Some(receipt(12_000_001))), Exit::Refused),
        (rows(None), Exit::Refused),
        (
            Finished {
                receipt: None,
                has_rows: false,
            },
            Exit::Ok,
        ),
    ] {
        let (got, captured) = with_shell(&flags, async |shell| shell.finished("SELECT 1", &finished)).await;
        assert_eq!(got, exit, "{}", captured.err());
        assert_eq!(
            captured
                .err()
                .contains("--assert-max-scan 12.00 MB does not hold"),
            exit == Exit::Refused
        );
    }
    let (got, _) = with_shell(&[], async |shell| {
        shell.finished("SELECT 1", &rows(Some(receipt(u64::MAX))))
    })
    .await;
    assert_eq!(got, Exit::Ok);
}

#[tokio::test]
async fn notices_and_receipt_go_to_err_unless_quiet() {
    let (_, captured) = with_shell(&[], async |shell| {
        shell.finished("SELECT 1", &rows(Some(receipt(5))))
    })
    .await;
    assert_eq!(
        captured.err(),
        "Notice: partition dt=2024-01-01 is empty\nReceipt q1: scanned 5 bytes\n"
    );
    assert_eq!(captured.out(), "");
    let (_, captured) = with_shell(&["-q"], async |shell| {
        shell.finished("SELECT 1", &rows(Some(receipt(5))))
    })
    .await;
    assert_eq!(captured.err(), "");
    let done = Finished {
        receipt: None,
        has_rows: false,
    };
    let (_, captured) = with_shell(&[], async |shell| shell.finished("CREATE DATABASE d", &done)).await;
    assert_eq!(captured.err(), "OK\n");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_ends_with_3() {
    let (exit, captured) = with_shell(&[], async |shell| shell.run("SELECT 1", Some(7)).await).await;
    assert_eq!(exit, Exit::NoConnection);
    let err = captured.err();
    assert!(
        err.starts_with("Error in the statement at line 7: no connection to grpc://127.0.0.1:"),
        "{err}"
    );
    assert_eq!(captured.out(), "");

    let url = closed_url();
    let error = Client::connect(ConnectOptions::new(url.clone()))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ClientError::Connect { to, .. } if *to == url.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_failed_query_shows_error_delay_and_receipt() {
    let mut metadata = MetadataMap::new();
    let receipt = prost::Message::encode_to_vec(&receipt(900));
    metadata.insert_bin(
        crate::wire::RECEIPT,
        tonic::metadata::BinaryMetadataValue::from_bytes(&receipt),
    );
    metadata.insert(crate::wire::RETRY_AFTER_MS, MetadataValue::from_static("2000"));
    let status = Status::with_metadata(
        Code::ResourceExhausted,
        "EXCEEDED_SCAN_LIMIT: \u{1b}[31mx",
        metadata,
    );
    let trouble = Trouble::Client(ClientError::from_status("h", status));
    let (exit, captured) = with_shell(&[], async |shell| shell.failed(trouble, None)).await;
    assert_eq!(exit, Exit::Refused);
    let err = captured.err();
    assert!(
        err.starts_with("Error: EXCEEDED_SCAN_LIMIT: \u{fffd}[31mx\nTry again in 2.0 s.\n"),
        "{err}"
    );
    assert!(err.ends_with("Receipt q1: scanned 900 bytes\n"), "{err}");
}

#[tokio::test]
async fn a_stop_and_a_closed_pipe_are_no_errors() {
    let stopped = Trouble::Interrupted(Some(Box::new(receipt(1))));
    let (exit, captured) = with_shell(&["-q"], async |shell| shell.failed(stopped, None)).await;
    assert_eq!((exit, captured.err().as_str()), (Exit::Interrupted, "Stopped.\n"));
    let closed = || Trouble::Format(io::Error::from(ErrorKind::BrokenPipe).into());
    let (exit, captured) = with_shell(&[], async |shell| shell.failed(closed(), None)).await;
    assert_eq!((exit, captured.err().as_str()), (Exit::Ok, ""));
    let full = Trouble::Format(io::Error::other("disk full").into());
    let (exit, captured) = with_shell(&[], async |shell| shell.failed(full, None)).await;
    assert_eq!(
        (exit, captured.err().as_str()),
        (Exit::Failed, "Error: cannot write rows: disk full\n")
    );
}

#[tokio::test]
async fn the_prompt_follows_use() {
    let ((), _) = with_shell(&[], async |shell| {
        let done = Finished {
            receipt: None,
            has_rows: false,
        };
        shell.finished("USE Sales", &done);
        assert_eq!(shell.client.database().as_deref(), Some("sales"));
        shell.finished("SELECT 1", &done);
        assert_eq!(shell.client.database().as_deref(), Some("sales"));
    })
    .await;
}

#[test]
fn use_is_recognised_with_its_names() {
    let names =
        |catalog: Option<&str>, database: &str| Some((catalog.map(str::to_owned), database.to_owned()));
    assert_eq!(used_database("use d"), names(None, "d"));
    assert_eq!(used_database(" USE\n\"C-1\" . `Db` "), names(Some("c-1"), "db"));
    for other in [
        "used",
        "USE",
        "USE a.b.c",
        "USE a b",
        "USE \"a",
        "SELECT 1",
        "user x",
    ] {
        assert_eq!(used_database(other), None, "{other}");
    }
}
