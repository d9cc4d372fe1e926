//! Rows survive, end once, and come back as they went in.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use futures::future::join_all;

use super::*;
use crate::meter::Counter;
use crate::receipt::{QueryState, Receipt, StatementType, TableScan};
use crate::usd::Usd;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 123_456_000).unwrap()
}

fn running(id: &str, seconds: i64) -> QueryRecord {
    QueryRecord::new(Receipt::new(id, StatementType::Dml, at(seconds)), "SELECT 1")
}

fn ended(id: &str, seconds: i64, state: QueryState) -> QueryRecord {
    let mut record = running(id, seconds);
    record.receipt.state = state;
    record.finished_at = Some(at(seconds + 1));
    record
}

/// Every field has a value of its own.
fn full(id: &str) -> QueryRecord {
    let mut record = ended(id, 0, QueryState::Cancelled);
    for (i, &counter) in Counter::ALL.iter().enumerate() {
        *record.receipt.counters.get_mut(counter) = 1_000 + i as u64;
    }
    record.receipt.billed_bytes = 10_000_000;
    record.receipt.cost_usd = "0.000000400000".parse().unwrap();
    record.receipt.athena_cost_usd = Usd::MAX;
    record.receipt.price_plan = "aws-s3".to_owned();
    record.receipt.timing_dependent = true;
    record.receipt.rows_returned = 1;
    record.receipt.bytes_returned = 2;
    record.receipt.queue_time = Duration::from_millis(3);
    record.receipt.planning_time = Duration::from_millis(4);
    record.receipt.execution_time = Duration::from_millis(5);
    record.receipt.total_time = Duration::from_millis(12);
    record.receipt.scans = vec![TableScan {
        catalog: "awsdatacatalog".to_owned(),
        database: "default".to_owned(),
        table_name: "events".to_owned(),
        partitions_total: None,
        partitions_read: 1,
        files_total: 2,
        files_read: 3,
        row_groups_total: 4,
        row_groups_read: 5,
        data_scanned_bytes: 6,
        metadata_bytes: 7,
    }];
    record.receipt.notices = vec!["a \"notice\"".to_owned()];
    record.receipt.error_code = Some("EXCEEDED_SCAN_LIMIT".to_owned());
    record.receipt.error_message = Some("too much".to_owned());
    record.receipt.workgroup = "bi".to_owned();
    record.receipt.max_data_scanned_bytes = Some(8);
    record.receipt.peak_memory_bytes = 9;
    record.receipt.spilled_bytes = 10;
    record.query_hash = "ab12".to_owned();
    record.started_at = Some(at(1));
    record.principal = "ann".to_owned();
    record.source = Some("dbeaver".to_owned());
    record.tags = [("team".to_owned(), "bi".to_owned())].into();
    record.catalog = "awsdatacatalog".to_owned();
    record.database = "default".to_owned();
    record.glue_requests = 11;
    record.receipt.estimate_min_bytes = Some(12);
    record.receipt.estimate_max_bytes = Some(13);
    record.receipt.estimate_confidence = Some("exact".to_owned());
    record.receipt.reused_query_id = Some("other".to_owned());
    record.trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
    record
}

async fn ids(ledger: &Ledger, filter: LedgerFilter) -> Vec<String> {
    ledger
        .queries(filter)
        .await
        .unwrap()
        .into_iter()
        .map(|r| r.receipt.query_id)
        .collect()
}

#[tokio::test]
async fn a_record_comes_back_as_it_went_in() {
    let ledger = Ledger::in_memory().unwrap();
    let record = full("q1");
    ledger.submit(&running("q1", 0)).await.unwrap();
    assert_eq!(ledger.query("q1").await.unwrap(), Some(running("q1", 0)));
    assert!(ledger.finish(&record).await.unwrap());
    assert_eq!(ledger.query("q1").await.unwrap(), Some(record.clone()));
    assert_eq!(ledger.queries(LedgerFilter::default()).await.unwrap(), [record]);
    assert_eq!(ledger.query("q2").await.unwrap(), None);
}

#[tokio::test]
async fn a_query_ends_once() {
    let ledger = Ledger::in_memory().unwrap();
    ledger.submit(&running("q", 0)).await.unwrap();
    assert!(
        ledger
            .finish(&ended("q", 0, QueryState::Succeeded))
            .await
            .unwrap()
    );
    assert!(!ledger.finish(&ended("q", 0, QueryState::Failed)).await.unwrap());
    assert_eq!(
        ledger.query("q").await.unwrap().unwrap().receipt.state,
        QueryState::Succeeded
    );
    assert!(
        ledger
            .finish(&ended("unknown", 0, QueryState::Failed))
            .await
            .unwrap()
    );
    assert!(
        !ledger
            .finish(&ended("unknown", 0, QueryState::Failed))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn misuse_is_an_error_and_harms_no_neighbour() {
    let ledger = Ledger::in_memory().unwrap();
    ledger.submit(&running("q", 0)).await.unwrap();
    let (records, again) = (
        [running("a", 0), running("q", 0), running("b", 0)],
        running("q", 0),
    );
    let results = join_all(records.iter().map(|r| ledger.submit(r))).await;
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(&results[1], Err(MeteringError::DuplicateQuery(id)) if id == "q"));
    assert!(matches!(
        ledger.finish(&again).await,
        Err(MeteringError::NotTerminal(_))
    ));
    assert_eq!(ids(&ledger, LedgerFilter::default()).await.len(), 3);
}

#[tokio::test]
async fn filters_select_and_order_newest_first() {
    let ledger = Ledger::in_memory().unwrap();
    for (i, id) in ["a", "b", "c", "d"].iter().enumerate() {
        // b and c at the same moment.
        let mut record = ended(id, [0, 10, 10, 20][i], QueryState::Succeeded);
        record.principal = if i == 0 { "ann" } else { "bob" }.to_owned();
        record.receipt.workgroup = if i == 3 { "bi" } else { "primary" }.to_owned();
        ledger.finish(&record).await.unwrap();
    }
    ledger.submit(&running("e", 30)).await.unwrap();
    let all = LedgerFilter::default;
    assert_eq!(ids(&ledger, all()).await, ["e", "d", "c", "b", "a"]);
    assert_eq!(
        ids(
            &ledger,
            LedgerFilter {
                since: Some(at(10)),
                ..all()
            }
        )
        .await,
        ["e", "d", "c", "b"]
    );
    assert_eq!(
        ids(
            &ledger,
            LedgerFilter {
                until: Some(at(10)),
                ..all()
            }
        )
        .await,
        ["a"]
    );
    assert_eq!(
        ids(
            &ledger,
            LedgerFilter {
                state: Some(QueryState::Running),
                ..all()
            }
        )
        .await,
        ["e"]
    );
    assert_eq!(
        ids(
            &ledger,
            LedgerFilter {
                principal: Some("ann".to_owned()),
                ..all()
            }
        )
        .await,
        ["a"]
    );
    assert_eq!(
        ids(
            &ledger,
            LedgerFilter {
                workgroup: Some("bi".to_owned()),
                ..all()
            }
        )
        .await,
        ["d"]
    );
    assert_eq!(ids(&ledger, LedgerFilter { limit: 2, ..all() }).await, ["e", "d"]);
    let after = Some((at(10), "c".to_owned()));
    assert_eq!(
        ids(
            &ledger,
            LedgerFilter {
                after,
                limit: 1,
                ..all()
            }
        )
        .await,
        ["b"]
    );
}

#[tokio::test]
async fn a_killed_server_leaves_rows_that_are_failed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Ledger::open(&path).unwrap();
    let mut queued = running("q0", 0);
    queued.receipt.state = QueryState::Queued;
    ledger.submit(&queued).await.unwrap();
    ledger.submit(&running("q1", 1)).await.unwrap();
    ledger
        .finish(&ended("q2", 2, QueryState::Succeeded))
        .await
        .unwrap();
    // What a kill leaves on the disk: the files as they are while the ledger is open.
    let killed = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
    }
    let reopened = Ledger::open(&killed.path().join("ledger.db")).unwrap();
    for id in ["q0", "q1"] {
        let record = reopened.query(id).await.unwrap().unwrap();
        assert_eq!(record.receipt.state, QueryState::Failed);
        assert_eq!(record.receipt.error_message.as_deref(), Some("server stopped"));
        assert!(record.finished_at.is_some());
        assert!(
            !reopened
                .finish(&ended(id, 0, QueryState::Succeeded))
                .await
                .unwrap()
        );
    }
    assert_eq!(
        reopened.query("q2").await.unwrap().unwrap().receipt.state,
        QueryState::Succeeded
    );
}

#[tokio::test]
async fn detached_ends_are_written_before_the_ledger_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Ledger::open(&path).unwrap();
    for i in 0..1_000 {
        ledger.finish_detached(ended(&format!("q{i:04}"), i, QueryState::Succeeded));
    }
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ids(&ledger, LedgerFilter::default()).await.len(), 1_000);
}

#[tokio::test]
async fn many_concurrent_queries_all_get_their_rows() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.db")).unwrap();
    let life = |i: i64| {
        let ledger = &ledger;
        async move {
            let id = format!("q{i:04}");
            ledger.submit(&running(&id, i)).await.unwrap();
            assert!(
                ledger
                    .finish(&ended(&id, i, QueryState::Succeeded))
                    .await
                    .unwrap()
            );
        }
    };
    join_all((0..2_000).map(life)).await;
    let filter = LedgerFilter {
        state: Some(QueryState::Succeeded),
        ..LedgerFilter::default()
    };
    assert_eq!(ids(&ledger, filter).await.len(), 2_000);
}

#[tokio::test]
async fn a_dropped_submission_is_still_written() {
    let ledger = Ledger::in_memory().unwrap();
    let record = running("q", 0);
    let mut submission = Box::pin(ledger.submit(&record));
    let _ = futures::poll!(&mut submission);
    drop(submission);
    assert!(ledger.query("q").await.unwrap().is_some());
}

#[tokio::test]
async fn old_ends_are_pruned_and_nothing_else() {
    let ledger = Ledger::in_memory().unwrap();
    let day = 86_400;
    ledger.submit(&running("old but running", 0)).await.unwrap();
    for i in 0..prune::PRUNE_STEP as i64 + 5 {
        ledger.finish_detached(ended(&format!("old{i}"), i % 100, QueryState::Succeeded));
    }
    ledger
        .finish(&ended("young", 10 * day, QueryState::Failed))
        .await
        .unwrap();
    assert_eq!(ledger.prune(at(45 * day)).await.unwrap(), 0);
    assert_eq!(ledger.prune(at(46 * day)).await.unwrap(), prune::PRUNE_STEP + 5);
    assert_eq!(
        ids(&ledger, LedgerFilter::default()).await,
        ["young", "old but running"]
    );
}

#[tokio::test]
async fn columns_have_the_names_of_system_queries() {
    let documented = "query_id, query, query_hash, statement_type, state, error_code, error_message, submitted_at, started_at,
        finished_at, queued_ms, planning_ms, execution_ms, total_ms, principal, workgroup, source, tags, catalog, database,
        rows_returned, bytes_returned, glue_requests, billed_bytes, cost_usd, athena_cost_usd, price_plan,
        max_data_scanned_bytes, estimate_min_bytes, estimate_max_bytes, estimate_confidence, reused_query_id,
        peak_memory_bytes, spilled_bytes, trace_id, server_version, timing_dependent, scans,
        remote_queries, notices";
    let documented: BTreeSet<String> = documented
        .split(',')
        .map(|name| name.trim().to_owned())
        .chain(Counter::ALL.iter().map(|c| c.as_str().to_owned()))
        .collect();
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection).unwrap();
    let mut statement = connection
        .prepare("SELECT name FROM pragma_table_info('queries')")
        .unwrap();
    let columns: BTreeSet<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(columns, documented);
    let json = serde_json::to_value(full("q")).unwrap();
    let fields: BTreeSet<String> = json.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, documented);
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    drop(Ledger::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Ledger::open(&path).unwrap_err();
    assert!(
        matches!(
            error,
            MeteringError::NewerSchema {
                found: 99,
                known: schema::VERSION
            }
        ),
        "{error}"
    );
}

#[test]
fn the_file_is_private_and_an_unusable_path_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let _ledger = Ledger::open(&path).unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o077,
            0,
            "{:?}",
            file.path()
        );
    }
    assert!(matches!(
        Ledger::open(&dir.path().join("no/ledger.db")),
        Err(MeteringError::Io { .. })
    ));
}

#[tokio::test]
async fn a_failed_commit_is_told_to_everyone_in_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Ledger::open(&path).unwrap();
    ledger.submit(&running("q", 0)).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("DROP TABLE queries").unwrap();
    let (a, b) = (ended("q", 0, QueryState::Succeeded), running("r", 0));
    let (finished, submitted) = futures::join!(ledger.finish(&a), ledger.submit(&b));
    assert!(matches!(finished, Err(MeteringError::Sqlite(_))));
    assert!(matches!(submitted, Err(MeteringError::Sqlite(_))));
}

#[test]
fn a_transaction_that_sqlite_rolls_back_is_told_to_everyone_in_the_batch() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection).unwrap();
    let statements = rows::Statements::new().unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON queries WHEN NEW.query_id = 'fatal'
             BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END",
        )
        .unwrap();
    let (commands, answers): (Vec<_>, Vec<_>) = ["a", "fatal", "b"]
        .map(|id| {
            let (reply, answer) = oneshot::channel();
            (Command::Submit(Box::new(running(id, 0)), reply), answer)
        })
        .into_iter()
        .unzip();
    writer::commit_batch(&mut connection, &statements, commands);
    for mut answer in answers {
        assert!(matches!(
            answer.try_recv().unwrap(),
            Err(MeteringError::Sqlite(_))
        ));
    }
    let (reply, mut answer) = oneshot::channel();
    let after = vec![
        Command::Submit(Box::new(running("c", 0)), oneshot::channel().0),
        Command::Queries(Box::default(), reply),
    ];
    writer::commit_batch(&mut connection, &statements, after);
    let found = answer.try_recv().unwrap().unwrap();
    assert_eq!(found, [running("c", 0)]);
}
