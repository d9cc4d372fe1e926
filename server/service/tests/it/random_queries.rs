//! Random queries over a store that refuses, resets, cuts and delays: every answer is that of a store without faults,
//! every receipt agrees with the store's own books, and no cap is passed by one byte.

mod cases;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use owlake::ScanConfig;
use owlake_client::{Client, ClientError, QueryReceipt};
use owlake_mems3::{Counts, FaultAction, FaultPlan, FaultRule, MemS3, Operation};
use owlake_proto::v1::Counters;

use crate::harness::{Answer, BUCKET, TestServer, adds_up, connect, run};
use crate::random_queries::cases::{Case, objects};

/// Every case has the seed `SEED + its number`; a failure prints it.
const SEED: u64 = 20_261_121;
const CASES: u64 = 100;
const AT_ONCE: usize = 8;
/// Attempts of a request: one, and six repetitions.
const ATTEMPTS: usize = 7;

/// What the store without faults said.
struct Expected {
    case: Case,
    rows: Vec<Vec<String>>,
    needed: u64,
    timing_dependent: bool,
}

async fn lake(scan: ScanConfig) -> TestServer {
    let server = TestServer::with_scan(scan).await;
    for (key, bytes) in objects() {
        server.store.put(BUCKET, &key, bytes);
    }
    let at = |table: &str| format!("STORED AS PARQUET LOCATION 's3://{BUCKET}/{table}/'");
    let facts = format!(
        "CREATE EXTERNAL TABLE facts (id bigint, k int, v bigint, name string, price decimal(10,2), flag boolean) \
         PARTITIONED BY (dt int, region string) {} TBLPROPERTIES ('projection.enabled' = 'true', \
         'projection.dt.type' = 'integer', 'projection.dt.range' = '1,6', \
         'projection.region.type' = 'enum', 'projection.region.values' = 'eu,us')",
        at("facts")
    );
    server.query(&facts).await;
    let dims = "k int, label string, weight bigint";
    server
        .query(&format!("CREATE EXTERNAL TABLE dims ({dims}) {}", at("dims")))
        .await;
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE plain (n bigint, pad bigint) {}",
            at("plain")
        ))
        .await;
    server.store.reset_log();
    server
}

/// A fifth of all requests is struck; one in eight has to be repeated for it.
fn faults(seed: u64) -> FaultPlan {
    let any = |action, probability| FaultRule::new(action).probability(probability);
    let body = |action, probability| any(action, probability).operation(Operation::GetObject);
    let ms = Duration::from_millis;
    FaultPlan::new(seed)
        .rule(any(FaultAction::SLOW_DOWN, 0.04))
        .rule(any(FaultAction::INTERNAL_ERROR, 0.01))
        .rule(any(FaultAction::ResetBeforeResponse, 0.02))
        .rule(any(FaultAction::LoseResponse, 0.01))
        .rule(body(FaultAction::ResetAfterBody { bytes: 100 }, 0.01))
        .rule(body(FaultAction::ResetAfterBody { bytes: 3_000 }, 0.02))
        .rule(body(FaultAction::ShortBody { bytes: 1_000 }, 0.02))
        .rule(any(FaultAction::Stall { duration: ms(10) }, 0.03))
        .rule(body(
            FaultAction::StallBody {
                after_bytes: 500,
                duration: ms(20),
            },
            0.03,
        ))
        .rule(body(
            FaultAction::Trickle {
                bytes_per_second: 200_000,
            },
            0.03,
        ))
}

async fn expected(reference: &TestServer, client: &Client, case: Case) -> Expected {
    let ask = async |sql: &str| {
        run(client, sql)
            .await
            .unwrap_or_else(|e| panic!("seed {}: {case:?}\n{e}", case.seed))
    };
    let answer = ask(&case.sql).await;
    reconcile(&reference.store, &answer.receipt, &case);
    let rows = if case.limit.is_some() {
        ask(&case.unlimited).await.rows
    } else {
        answer.rows
    };
    Expected {
        rows,
        needed: counters(&answer.receipt).data_scanned_bytes,
        timing_dependent: answer.receipt.timing_dependent,
        case,
    }
}

/// Runs a case under its cap; the receipt, whichever way it ended.
async fn under_cap(store: &MemS3, client: &Client, expected: &Expected) -> (QueryReceipt, Option<u64>) {
    let case = &expected.case;
    let cap = case
        .cap
        .map(|parts| ((expected.needed as f64 * parts) as u64).max(1));
    let text = cap.map(|bytes| bytes.to_string());
    client.set("max_data_scanned_bytes", text.as_deref()).unwrap();
    let receipt = match run(client, &case.sql).await {
        Ok(answer) => {
            same_answer(&answer, expected);
            if !expected.timing_dependent {
                let scanned = counters(&answer.receipt).data_scanned_bytes;
                assert_eq!(scanned, expected.needed, "{case:?}");
            }
            answer.receipt
        }
        Err(error) if error.code() == Some("HIVE_FILESYSTEM_ERROR") => gave_up(store, &error, case),
        Err(error) => stopped_by_cap(&error, expected, cap),
    };
    let scanned = counters(&receipt).data_scanned_bytes;
    assert!(
        cap.is_none_or(|cap| scanned <= cap),
        "scanned {scanned}, cap {cap:?}: {case:?}"
    );
    (receipt, cap)
}

/// A read may fail once all its attempts have: the dice can fall so.
fn gave_up(store: &MemS3, error: &ClientError, case: &Case) -> QueryReceipt {
    let mut struck: BTreeMap<(Option<String>, String), usize> = BTreeMap::new();
    for request in store.requests().into_iter().filter(|r| r.fault.is_some()) {
        *struck.entry((request.query_id, request.key)).or_default() += 1;
    }
    let exhausted = |((_, key), count): (&(Option<String>, String), &usize)| {
        *count >= ATTEMPTS && error.to_string().contains(key.as_str())
    };
    assert!(struck.iter().any(exhausted), "{error}\n{case:?}\n{struck:#?}");
    error.receipt().expect("a receipt").clone()
}

fn stopped_by_cap(error: &ClientError, expected: &Expected, cap: Option<u64>) -> QueryReceipt {
    let case = &expected.case;
    let what = format!("{error}\ncap {cap:?}, needed {}: {case:?}", expected.needed);
    assert_eq!(error.code(), Some("EXCEEDED_SCAN_LIMIT"), "{what}");
    assert!(
        expected.timing_dependent || cap.is_some_and(|cap| cap < expected.needed),
        "{what}"
    );
    error
        .receipt()
        .unwrap_or_else(|| panic!("no receipt: {what}"))
        .clone()
}

fn same_answer(answer: &Answer, expected: &Expected) {
    let case = &expected.case;
    let sorted = |rows: &[Vec<String>]| {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows
    };
    let (mine, mut theirs) = (sorted(&answer.rows), sorted(&expected.rows));
    if let Some(limit) = case.limit {
        assert_eq!(mine.len(), limit.min(theirs.len()), "{case:?}");
        // Each row of the answer takes one of the unlimited answer away.
        let mut next = mine.iter().peekable();
        theirs.retain(|row| next.next_if_eq(&row).is_some());
    }
    assert_eq!(mine, theirs, "{case:?}");
}

fn counters(receipt: &QueryReceipt) -> Counters {
    receipt.counters.expect("every receipt has counters")
}

/// A receipt against the store's log of the same query. Without unanswered requests and cut bodies, all are equal.
fn reconcile(store: &MemS3, receipt: &QueryReceipt, case: &Case) -> Counts {
    let (mine, theirs) = (counters(receipt), store.counts_for(&receipt.query_id));
    let what = format!("{case:?}\n{mine:?}\n{theirs:?}");
    let early = receipt.timing_dependent || !receipt.error_code.is_empty();
    // Who leaves before the answer cannot know whether the store gave one; nobody else may differ.
    let unknown = if early { mine.unanswered_requests } else { 0 };
    for (mine, theirs) in [
        (mine.get_requests, theirs.get_requests),
        (mine.list_requests, theirs.list_requests),
        (mine.head_requests, theirs.head_requests),
    ] {
        assert!((mine..=mine + unknown).contains(&theirs), "{what}");
    }
    let answered = mine.get_requests + mine.list_requests + mine.head_requests;
    assert!(theirs.requests() <= answered + unknown, "{what}");
    assert_eq!(
        mine.put_requests + theirs.put_requests + theirs.other_requests,
        0,
        "{what}"
    );
    let attempts = answered + mine.unanswered_requests;
    let arrived = theirs.requests() + theirs.unanswered_requests;
    if early {
        assert!(arrived <= attempts, "{what}");
    } else {
        assert_eq!(arrived, attempts, "{what}");
    }
    let sent = theirs.object_body_bytes_sent;
    assert!(
        mine.transferred_bytes <= sent && sent <= mine.requested_bytes,
        "{what}"
    );
    if unknown == 0 {
        assert!(sent <= mine.transferred_bytes + mine.aborted_bytes_max, "{what}");
    }
    if mine.aborted_requests + unknown == 0 {
        assert_eq!(mine.transferred_bytes, sent, "{what}");
    }
    let scans = |field: fn(&owlake_proto::v1::TableScan) -> u64| receipt.scans.iter().map(field).sum::<u64>();
    assert_eq!(scans(|s| s.data_scanned_bytes), mine.data_scanned_bytes, "{what}");
    assert_eq!(scans(|s| s.metadata_bytes), mine.metadata_bytes, "{what}");
    theirs
}

/// The cases from number `first` on, on a lake with these settings.
async fn hundred(first_case: u64, scan: ScanConfig) {
    let reference = lake(ScanConfig::default()).await;
    let server = lake(scan).await;
    server.store.set_faults(faults(SEED + first_case));
    let streams = (0..AT_ONCE as u64).map(async |first| {
        let (calm, client) = (connect(&reference.url).await, connect(&server.url).await);
        let mut ended = Vec::new();
        for number in (first..CASES).step_by(AT_ONCE) {
            let expected = expected(&reference, &calm, Case::new(SEED + first_case + number)).await;
            let (receipt, cap) = under_cap(&server.store, &client, &expected).await;
            ended.push((expected.case, receipt, cap));
        }
        ended
    });
    let ended: Vec<_> = join_all(streams).await.into_iter().flatten().collect();
    server.store.wait_idle().await;
    let counts: Vec<Counts> = ended
        .iter()
        .map(|(case, receipt, _)| reconcile(&server.store, receipt, case))
        .collect();
    let all = adds_up(&server.store, &counts);
    assert!(
        all.error_responses > 20 && all.unanswered_requests > 20,
        "the faults strike: {all:?}"
    );
    let whole = |c: &Counters| c.retried_requests > 0 && c.aborted_requests > 0;
    let stopped = ended.iter().filter(|(_, r, _)| !r.error_code.is_empty()).count();
    assert!(stopped > 5, "caps stop queries: {stopped}");
    assert!(
        ended.iter().any(|(_, r, _)| whole(&counters(r))),
        "broken bodies are resumed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_caches_answers_receipts_and_caps_hold_under_faults() {
    hundred(0, ScanConfig::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_caches_answers_receipts_and_caps_hold_under_faults() {
    let none = ScanConfig {
        footer_memory_bytes: 0,
        listing_memory_bytes: 0,
        listing_ttl: Duration::ZERO,
        ..ScanConfig::default()
    };
    hundred(CASES, none).await;
}
