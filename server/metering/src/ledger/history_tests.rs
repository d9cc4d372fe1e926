//! What is kept beside a query's row: its scans, its requests, the sums; and how long.

use super::*;
use crate::http::ObjectRequest;
use crate::receipt::{QueryState, Receipt, RemoteQuery, StatementType, TableScan};
use crate::usd::Usd;

const DAY: i64 = 86_400;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_006_400 + seconds, 0).unwrap()
}

fn ended(id: &str, seconds: i64, principal: &str, bytes: u64) -> QueryRecord {
    let mut record = QueryRecord::new(Receipt::new(id, StatementType::Dml, at(seconds)), "SELECT 1");
    record.receipt.state = QueryState::Succeeded;
    record.receipt.workgroup = "bi".to_owned();
    record.receipt.counters.data_scanned_bytes = bytes;
    record.receipt.cost_usd = Usd::from_pico(i128::from(bytes) + 1);
    record.principal = principal.to_owned();
    record.finished_at = Some(at(seconds + 1));
    record.receipt.scans = (0..2)
        .map(|i| TableScan {
            table_name: format!("t{i}"),
            data_scanned_bytes: bytes / 2,
            ..TableScan::default()
        })
        .collect();
    record
}

fn request(number: u64) -> ObjectRequest {
    ObjectRequest {
        number,
        started_ms: 1,
        operation: "get".to_owned(),
        bucket: "b".to_owned(),
        key: "k".to_owned(),
        byte_range: Some("bytes=0-9".to_owned()),
        bytes: 10,
        retried: number > 1,
        status: Some(206),
        elapsed_ms: 3,
    }
}

fn filter(limit: usize) -> LedgerFilter {
    LedgerFilter {
        limit,
        ..LedgerFilter::default()
    }
}

#[tokio::test]
async fn pages_of_scans_hold_every_scan_once() {
    let ledger = Ledger::in_memory().unwrap();
    for i in 0..7 {
        ledger.finish_detached(ended(&format!("q{i}"), i, "ann", 10));
    }
    let (mut rows, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = ledger.scans(LedgerFilter { after, ..filter(3) }).await.unwrap();
        rows.extend(page.rows);
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let found: Vec<String> = rows
        .iter()
        .map(|r| format!("{}.{}", r.query_id, r.part.table_name))
        .collect();
    let expected: Vec<String> = (0..7)
        .rev()
        .flat_map(|i| [format!("q{i}.t0"), format!("q{i}.t1")])
        .collect();
    assert_eq!((found, pages), (expected, 3));
    let one = LedgerFilter {
        query_id: Some("q4".to_owned()),
        ..filter(3)
    };
    assert_eq!(ledger.scans(one).await.unwrap().rows.len(), 2);
}

#[tokio::test]
async fn remote_queries_come_back_by_query() {
    let ledger = Ledger::in_memory().unwrap();
    let mut asked = ended("asked", 0, "ann", 0);
    let remote = |rows: u64| RemoteQuery {
        catalog: "pg".to_owned(),
        remote_query: "SELECT 'ü'".to_owned(),
        remote_rows: rows,
        remote_bytes: 8 * rows,
        elapsed_ms: 7,
    };
    asked.receipt.remote_queries = vec![remote(1), remote(2)];
    ledger.finish_detached(asked);
    ledger.finish_detached(ended("lake", 1, "ann", 0));
    let page = ledger.remote_queries(filter(9)).await.unwrap();
    let found: Vec<_> = page.rows.into_iter().map(|r| (r.query_id, r.part)).collect();
    assert_eq!(
        found,
        [("asked".to_owned(), remote(1)), ("asked".to_owned(), remote(2))]
    );
    let bobs = LedgerFilter {
        principal: Some("bob".to_owned()),
        ..filter(9)
    };
    assert_eq!(ledger.remote_queries(bobs).await.unwrap().rows, []);
}

#[tokio::test]
async fn logged_requests_come_back_by_query() {
    let ledger = Ledger::in_memory().unwrap();
    for (i, id) in ["a", "none", "b"].into_iter().enumerate() {
        let mut record = ended(id, i as i64, "ann", 0);
        if id != "none" {
            record.object_requests = vec![request(1), request(2)];
        }
        ledger.finish_detached(record);
    }
    let first = ledger.object_requests(filter(1)).await.unwrap();
    assert_eq!(
        first.rows.iter().map(|r| r.query_id.as_str()).collect::<Vec<_>>(),
        ["b", "b"]
    );
    assert_eq!(first.rows[1].request, request(2));
    let after = first.next;
    let second = ledger
        .object_requests(LedgerFilter { after, ..filter(1) })
        .await
        .unwrap();
    assert_eq!(second.rows[0].query_id, "a");
    let after = second.next;
    let last = ledger
        .object_requests(LedgerFilter { after, ..filter(1) })
        .await
        .unwrap();
    assert_eq!((last.rows.len(), last.next), (0, None));
    for (only, found) in [
        (
            LedgerFilter {
                principal: Some("bob".to_owned()),
                ..filter(1)
            },
            0,
        ),
        (
            LedgerFilter {
                since: Some(at(3)),
                ..filter(1)
            },
            0,
        ),
        (
            LedgerFilter {
                until: Some(at(1)),
                ..filter(1)
            },
            2,
        ),
        (
            LedgerFilter {
                query_id: Some("a".to_owned()),
                ..filter(1)
            },
            2,
        ),
    ] {
        assert_eq!(
            ledger.object_requests(only.clone()).await.unwrap().rows.len(),
            found,
            "{only:?}"
        );
    }
}

#[tokio::test]
async fn sums_are_those_of_the_queries() {
    let ledger = Ledger::in_memory().unwrap();
    ledger.finish_detached(ended("a", 0, "ann", 5));
    ledger.finish_detached(ended("b", 1, "ann", 6));
    ledger.finish_detached(ended("c", DAY, "ann", 7));
    let mut refused = ended("d", DAY, "bob", 0);
    refused.receipt.state = QueryState::Cancelled;
    refused.receipt.error_code = Some("EXCEEDED_QUOTA".to_owned());
    ledger.finish_detached(refused.clone());
    // The first end counts, the second changes nothing.
    assert!(!ledger.finish(&refused).await.unwrap());
    let sums = ledger.usage(None).await.unwrap();
    let short: Vec<_> = sums
        .iter()
        .map(|u| {
            (
                u.day == at(0).date_naive(),
                u.principal.as_str(),
                u.queries,
                u.refused,
                u.data_scanned_bytes,
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            (false, "ann", 1, 0, 7),
            (false, "bob", 1, 1, 0),
            (true, "ann", 2, 0, 11)
        ]
    );
    assert_eq!(sums[2].cost_usd, Usd::from_pico(13));
    assert_eq!(ledger.usage(Some("bob".to_owned())).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_older_file_gets_its_sums_from_its_queries() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Ledger::open(&path).unwrap();
    ledger.finish(&ended("a", 0, "ann", 5)).await.unwrap();
    ledger.finish(&ended("b", 0, "ann", 6)).await.unwrap();
    ledger
        .submit(&QueryRecord::new(
            Receipt::new("killed", StatementType::Dml, at(0)),
            "SELECT 1",
        ))
        .await
        .unwrap();
    drop(ledger);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "DROP TABLE usage; DROP TABLE object_requests; DROP TABLE workgroups; DROP TABLE quotas;
             DROP TABLE quota_usage; DROP TABLE catalogs; ALTER TABLE queries DROP COLUMN remote_queries;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(connection);
    let ledger = Ledger::open(&path).unwrap();
    let sums = ledger.usage(None).await.unwrap();
    assert_eq!(sums.iter().map(|u| u.queries).sum::<u64>(), 3);
    assert_eq!(
        ledger.remote_queries(LedgerFilter::default()).await.unwrap().rows,
        []
    );
    assert_eq!(sums.iter().map(|u| u.data_scanned_bytes).sum::<u64>(), 11);
    assert_eq!(sums.iter().map(|u| u.cost_usd).sum::<Usd>(), Usd::from_pico(13));
}

#[tokio::test]
async fn a_file_of_the_first_release_opens_with_its_queries_and_their_sums() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledger/v1/ledger.db");
    std::fs::copy(frozen, &path).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    let queries = ledger.queries(LedgerFilter::default()).await.unwrap();
    assert_eq!(queries.len(), 4);
    assert_eq!(queries.last().unwrap().receipt.statement_type, StatementType::Ddl);
    let sums = ledger.usage(None).await.unwrap();
    assert_eq!(
        (sums.len(), sums[0].queries, sums[0].principal.as_str()),
        (1, 4, "anonymous")
    );
    let athena: Usd = queries.iter().map(|q| q.receipt.athena_cost_usd).sum();
    assert_eq!(sums[0].athena_cost_usd, athena);
}

#[tokio::test]
async fn the_ledger_thread_drops_old_rows_by_the_time_of_new_queries() {
    let ledger = Ledger::in_memory().unwrap();
    let mut old = ended("old", 0, "ann", 1);
    old.object_requests = vec![request(1)];
    let mut week = ended("week", 44 * DAY, "ann", 1);
    week.object_requests = vec![request(1)];
    ledger.finish_detached(old);
    ledger.finish_detached(week);
    ledger
        .submit(&QueryRecord::new(
            Receipt::new("new", StatementType::Dml, at(46 * DAY)),
            "SELECT 1",
        ))
        .await
        .unwrap();
    // Each question is a batch: the pruner has its turn between them, however busy the ledger is.
    let mut left = Vec::new();
    for _ in 0..200 {
        left = ledger.queries(LedgerFilter::default()).await.unwrap();
        if left.len() == 2 {
            break;
        }
    }
    assert_eq!(
        left.iter()
            .map(|r| r.receipt.query_id.as_str())
            .collect::<Vec<_>>(),
        ["new", "week"]
    );
    let requests = ledger.object_requests(LedgerFilter::default()).await.unwrap();
    assert_eq!(requests.rows[0].query_id, "week");
    assert_eq!(
        ledger.usage(None).await.unwrap().len(),
        2,
        "sums outlive their queries"
    );
}
