//! Windows lie end to end; no interleaving, kill or restart passes a limit; what is refused says why.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Datelike, Timelike, Utc, Weekday};
use futures::future::join_all;
use owlake_fault::Fault;
use proptest::prelude::*;

use super::*;
use crate::budget::{Budget, Refused};
use crate::http::StoreOp;

const START: i64 = 1_700_000_000;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn fixed() -> DateTime<Utc> {
    at(START)
}

fn daily(name: &str, bytes: Option<u64>) -> QuotaDefinition {
    QuotaDefinition {
        name: name.to_owned(),
        workgroup: "bi".to_owned(),
        keyed_by_principal: false,
        interval: QuotaInterval {
            count: 1,
            unit: QuotaPeriod::Day,
        },
        max_data_scanned_bytes: bytes,
        max_cost_usd: None,
        warn_percent: None,
    }
}

async fn opened(
    ledger: &Arc<Ledger>,
    clock: fn() -> DateTime<Utc>,
    definition: QuotaDefinition,
) -> Arc<Quotas> {
    let quotas = Quotas::open(Arc::clone(ledger), clock, None);
    assert!(quotas.create(definition).await.unwrap());
    quotas
}

fn grant(quotas: &Arc<Quotas>, principal: &str) -> Arc<QuotaGrant> {
    quotas
        .grant("bi", principal.to_owned(), &PricePlan::athena(), None)
        .unwrap()
}

async fn read(grant: &QuotaGrant, bytes: u64) -> Result<(), QuotaError> {
    grant.reserve_data(bytes).await?.settle_part(bytes);
    Ok(())
}

#[test]
fn windows_are_those_of_the_calendar() {
    let window = |count, unit, text: &str| {
        let at: DateTime<Utc> = text.parse().unwrap();
        let (start, end) = QuotaInterval { count, unit }.window(at).unwrap();
        format!("{} {}", start.format("%Y-%m-%dT%H"), end.format("%Y-%m-%dT%H"))
    };
    for (count, unit, text, expected) in [
        (
            1,
            QuotaPeriod::Hour,
            "2024-02-29T23:59:59Z",
            "2024-02-29T23 2024-03-01T00",
        ),
        (
            1,
            QuotaPeriod::Day,
            "2024-02-29T23:59:59Z",
            "2024-02-29T00 2024-03-01T00",
        ),
        (
            1,
            QuotaPeriod::Week,
            "2024-03-03T23:59:59Z",
            "2024-02-26T00 2024-03-04T00",
        ),
        (
            1,
            QuotaPeriod::Week,
            "2024-03-04T00:00:00Z",
            "2024-03-04T00 2024-03-11T00",
        ),
        (
            1,
            QuotaPeriod::Month,
            "2024-02-29T00:00:00Z",
            "2024-02-01T00 2024-03-01T00",
        ),
        (
            1,
            QuotaPeriod::Month,
            "2024-12-31T23:59:59Z",
            "2024-12-01T00 2025-01-01T00",
        ),
        (
            3,
            QuotaPeriod::Month,
            "2024-05-01T00:00:00Z",
            "2024-04-01T00 2024-07-01T00",
        ),
        (
            12,
            QuotaPeriod::Month,
            "1969-05-01T00:00:00Z",
            "1969-01-01T00 1970-01-01T00",
        ),
        (
            6,
            QuotaPeriod::Hour,
            "2024-05-01T17:00:00Z",
            "2024-05-01T12 2024-05-01T18",
        ),
    ] {
        assert_eq!(window(count, unit, text), expected, "{count} {unit:?} {text}");
    }
}

fn intervals() -> impl Strategy<Value = QuotaInterval> {
    let units = [
        QuotaPeriod::Hour,
        QuotaPeriod::Day,
        QuotaPeriod::Week,
        QuotaPeriod::Month,
    ];
    (1_u32..50, prop::sample::select(units.to_vec())).prop_map(|(count, unit)| QuotaInterval { count, unit })
}

proptest! {
    #[test]
    fn windows_lie_end_to_end(interval in intervals(), seconds in -2_000_000_000_i64..6_000_000_000) {
        let now = at(seconds);
        let (start, end) = interval.window(now).unwrap();
        prop_assert!(start <= now && now < end);
        prop_assert_eq!(interval.window(start), Some((start, end)));
        prop_assert_eq!(interval.window(end).unwrap().0, end);
        prop_assert_eq!(interval.window(start - chrono::Duration::seconds(1)).unwrap().1, start);
        prop_assert_eq!((start.minute(), start.second()), (0, 0));
        match interval.unit {
            QuotaPeriod::Hour => {}
            QuotaPeriod::Day => prop_assert_eq!(start.hour(), 0),
            QuotaPeriod::Week => prop_assert_eq!((start.weekday(), start.hour()), (Weekday::Mon, 0)),
            QuotaPeriod::Month => prop_assert_eq!((start.day(), start.hour()), (1, 0)),
        }
    }

    /// Reservations of any sizes, used up in any part, from several queries at once, with a kill in between.
    #[test]
    fn no_order_of_reads_passes_the_limit(
        limit in 1_u64..5_000,
        wishes in prop::collection::vec((1_u64..400, 0_u64..=100), 1..60),
        killed_after in 0_usize..60,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let (mut used, mut left) = (0, wishes.clone());
        let second = left.split_off(killed_after.min(left.len()));
        runtime.block_on(async {
            let ledger = Arc::new(Ledger::open(&path).unwrap());
            let quotas = opened(&ledger, fixed, daily("daily", Some(limit))).await;
            used += all_of(&quotas, &left).await;
            assert!(used <= limit);
            // What a kill leaves on the disk: the files as they are while the ledger is open.
            let killed = tempfile::tempdir().unwrap();
            for file in std::fs::read_dir(dir.path()).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
            }
            let ledger = Arc::new(Ledger::open(&killed.path().join("ledger.db")).unwrap());
            let quotas = Quotas::open(ledger, fixed, None);
            let known = quotas.usage()[0].data_scanned_bytes.unwrap();
            assert!((used..=limit).contains(&known), "{used} used, {known} known, limit {limit}");
            used += all_of(&quotas, &second).await;
            assert!(used <= limit, "{used} of {limit}");
        });
    }
}

/// Every wish by a query of its own, all at once; what they used together.
async fn all_of(quotas: &Arc<Quotas>, wishes: &[(u64, u64)]) -> u64 {
    let reads = wishes.iter().map(|&(bytes, percent)| async move {
        let grant = grant(quotas, "ann");
        let used = match grant.reserve_data(bytes).await {
            Ok(mut reservation) => {
                tokio::task::yield_now().await;
                let used = bytes * percent / 100;
                reservation.settle_part(used);
                used
            }
            Err(QuotaError::Exceeded(_)) => 0,
            Err(error) => panic!("{error}"),
        };
        grant.finish();
        used
    });
    join_all(reads).await.into_iter().sum()
}

#[tokio::test]
async fn a_refusal_names_quota_use_limit_and_reset() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let quotas = opened(&ledger, fixed, daily("daily", Some(2_000_000))).await;
    let grant = grant(&quotas, "ann");
    read(&grant, 1_500_000).await.unwrap();
    let error = read(&grant, 600_000).await.unwrap_err();
    assert_eq!(
        Fault::from(error).to_string(),
        "EXCEEDED_QUOTA: quota `daily` of workgroup \"bi\" would be passed: data_scanned_bytes used 1.50 MB, \
         limit 2.00 MB, 600.00 kB more needed; it resets at 2023-11-15T00:00:00Z. \
         Wait until then, or ask the owner of \"bi\"."
    );
    read(&grant, 500_000).await.unwrap();
    assert!(grant.check().is_err());
    assert_eq!(quotas.usage()[0].data_scanned_bytes, Some(2_000_000));
}

#[tokio::test]
async fn a_restart_in_order_keeps_exactly_what_was_used_and_a_kill_loses_a_block_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Arc::new(Ledger::open(&path).unwrap());
    let quotas = opened(&ledger, fixed, daily("daily", Some(256_000))).await;
    let query = grant(&quotas, "ann");
    read(&query, 10_000).await.unwrap();
    let killed = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
    }
    let after_kill = Arc::new(Ledger::open(&killed.path().join("ledger.db")).unwrap());
    let after_kill = Quotas::open(after_kill, fixed, None);
    assert_eq!(after_kill.usage()[0].data_scanned_bytes, Some(11_000));
    query.finish();
    drop((query, quotas, ledger));
    let ledger = Arc::new(Ledger::open(&path).unwrap());
    let quotas = Quotas::open(ledger, fixed, None);
    assert_eq!(quotas.usage()[0].data_scanned_bytes, Some(10_000));
}

static CLOCK: AtomicI64 = AtomicI64::new(START);

fn moving() -> DateTime<Utc> {
    at(CLOCK.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_new_window_starts_from_zero_and_an_old_one_never_comes_back() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let quotas = opened(&ledger, moving, daily("daily", Some(100))).await;
    let query = grant(&quotas, "ann");
    read(&query, 100).await.unwrap();
    assert!(read(&query, 1).await.is_err());
    // The same query goes on in the next window: it is booked where it reserves.
    CLOCK.store(START + 86_400, Ordering::SeqCst);
    read(&query, 60).await.unwrap();
    assert_eq!(quotas.usage()[0].data_scanned_bytes, Some(60));
    CLOCK.store(START, Ordering::SeqCst);
    read(&query, 40).await.unwrap();
    assert!(
        read(&query, 1).await.is_err(),
        "a clock that goes back opens no window again"
    );
}

#[tokio::test]
async fn every_principal_has_its_own_budget_where_it_is_keyed() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let keyed = QuotaDefinition {
        keyed_by_principal: true,
        ..daily("each", Some(10))
    };
    let quotas = opened(&ledger, fixed, keyed).await;
    assert!(quotas.create(daily("together", Some(15))).await.unwrap());
    let (ann, bob) = (grant(&quotas, "ann"), grant(&quotas, "bob"));
    read(&ann, 10).await.unwrap();
    let refused = read(&ann, 1).await.unwrap_err().to_string();
    assert!(
        refused.contains("quota `each` of workgroup \"bi\" for principal `ann`"),
        "{refused}"
    );
    let refused = read(&bob, 6).await.unwrap_err().to_string();
    assert!(refused.contains("quota `together`"), "{refused}");
    // What the first one had set apart came back when the second one refused.
    read(&bob, 5).await.unwrap();
    let used: Vec<_> = quotas
        .usage()
        .into_iter()
        .map(|u| (u.principal, u.data_scanned_bytes.unwrap()))
        .collect();
    assert_eq!(
        used,
        [
            (Some("ann".to_owned()), 10),
            (Some("bob".to_owned()), 5),
            (None, 15)
        ]
    );
    assert!(
        quotas
            .grant("other", "ann".to_owned(), &PricePlan::athena(), None)
            .is_none()
    );
}

#[tokio::test]
async fn money_is_reserved_by_the_price_plan() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let money = QuotaDefinition {
        max_cost_usd: Some(Usd::from_pico(1_000_000)),
        ..daily("money", None)
    };
    let quotas = opened(&ledger, fixed, money).await;
    let s3 = quotas
        .grant("bi", "ann".to_owned(), &PricePlan::aws_s3(), None)
        .unwrap();
    s3.pay_request(StoreOp::Get).await.unwrap();
    s3.pay_request(StoreOp::Head).await.unwrap();
    let refused = s3.pay_request(StoreOp::Get).await.unwrap_err().to_string();
    assert!(
        refused.contains("cost_usd used 0.000000800000 USD, limit 0.000001000000 USD"),
        "{refused}"
    );
    // Scanned bytes cost nothing on this plan; on Athena's they do.
    read(&s3, u64::MAX / 2).await.unwrap();
    let athena = grant(&quotas, "ann");
    read(&athena, 40_000).await.unwrap();
    assert!(read(&athena, 1).await.is_err());
    assert_eq!(quotas.usage()[0].cost_usd, Some(Usd::from_pico(1_000_000)));
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<QuotaWarning>>);

impl QuotaObserver for Heard {
    fn quota_warning(&self, warning: &QuotaWarning) {
        self.0.lock().unwrap().push(warning.clone());
    }
}

#[tokio::test]
async fn a_share_is_warned_of_once_per_window_restarts_included() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let heard = Arc::new(Heard::default());
    let ledger = Arc::new(Ledger::open(&path).unwrap());
    let quotas = Quotas::open(
        Arc::clone(&ledger),
        fixed,
        Some(Arc::clone(&heard) as Arc<dyn QuotaObserver>),
    );
    let definition = QuotaDefinition {
        warn_percent: Some(80),
        ..daily("daily", Some(1_000))
    };
    quotas.create(definition).await.unwrap();
    let query = grant(&quotas, "ann");
    for bytes in [799, 1, 50] {
        read(&query, bytes).await.unwrap();
    }
    query.finish();
    drop((query, quotas, ledger));
    let ledger = Arc::new(Ledger::open(&path).unwrap());
    let quotas = Quotas::open(ledger, fixed, Some(Arc::clone(&heard) as Arc<dyn QuotaObserver>));
    read(&grant(&quotas, "ann"), 10).await.unwrap();
    let heard = heard.0.lock().unwrap();
    let warnings: Vec<_> = heard
        .iter()
        .map(|w| (w.used.as_str(), w.limit.as_str(), w.warn_percent))
        .collect();
    assert_eq!(warnings, [("800", "1000", 80)]);
}

#[tokio::test]
async fn a_dropped_quota_is_gone_with_its_use_and_a_name_is_there_once() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let quotas = opened(&ledger, fixed, daily("daily", Some(10))).await;
    assert!(!quotas.create(daily("daily", Some(20))).await.unwrap());
    let before = grant(&quotas, "ann");
    read(&before, 10).await.unwrap();
    assert!(quotas.drop_quota("daily").await.unwrap());
    assert!(!quotas.drop_quota("daily").await.unwrap());
    quotas.create(daily("daily", Some(10))).await.unwrap();
    read(&grant(&quotas, "ann"), 10).await.unwrap();
    assert!(
        read(&before, 1).await.is_err(),
        "a query keeps the quotas it began with"
    );
}

#[tokio::test]
async fn a_use_that_cannot_be_booked_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Arc::new(Ledger::open(&path).unwrap());
    let quotas = opened(&ledger, fixed, daily("daily", Some(10))).await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("DROP TABLE quota_usage").unwrap();
    let error = read(&grant(&quotas, "ann"), 1).await.unwrap_err();
    assert!(matches!(error, QuotaError::NotBooked { .. }), "{error}");
    assert_eq!(quotas.usage()[0].data_scanned_bytes, Some(0));
}

#[tokio::test]
async fn a_querys_budget_reserves_on_its_cap_and_its_quotas_or_on_neither() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let quotas = opened(&ledger, fixed, daily("daily", Some(100))).await;
    let budget = Budget::of_query(Some(80), Some(grant(&quotas, "ann")));
    let scan = Budget::new(None, Some(Arc::clone(&budget)));
    scan.reserve(50).await.unwrap().settle(30);
    assert!(matches!(scan.reserve(60).await, Err(Refused::Cap(_))));
    assert_eq!(quotas.usage()[0].data_scanned_bytes, Some(30));
    let other = Budget::of_query(None, Some(grant(&quotas, "ann")));
    assert!(matches!(other.reserve(80).await, Err(Refused::Quota(_))));
    assert_eq!((other.settled_bytes(), other.in_flight_bytes()), (0, 0));
    let mut part = other.reserve(70).await.unwrap();
    part.settle_part(20);
    drop(part);
    assert_eq!(quotas.usage()[0].data_scanned_bytes, Some(50));
    assert!(other.check_quotas(51).is_err() && other.check_quotas(50).is_ok());
}

static JUMPING: AtomicI64 = AtomicI64::new(START);

fn jumping() -> DateTime<Utc> {
    at(JUMPING.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_clock_that_was_far_ahead_for_a_while_freezes_no_quota_and_gives_nothing_back() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let quotas = opened(&ledger, jumping, daily("daily", Some(100))).await;
    let query = grant(&quotas, "ann");
    read(&query, 50).await.unwrap();
    let years = 50 * 365 * 86_400;
    JUMPING.store(START + years, Ordering::SeqCst);
    read(&query, 20).await.unwrap();
    JUMPING.store(START, Ordering::SeqCst);
    // What was used before and meanwhile counts.
    assert!(read(&query, 31).await.is_err());
    read(&query, 30).await.unwrap();
    JUMPING.store(START + 86_400, Ordering::SeqCst);
    read(&query, 100).await.unwrap();
    assert!(read(&query, 1).await.is_err());
}

static CROSSING: AtomicI64 = AtomicI64::new(START);

fn crossing() -> DateTime<Utc> {
    at(CROSSING.load(Ordering::SeqCst))
}

#[tokio::test]
async fn who_waited_beyond_the_end_of_a_window_books_in_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Arc::new(Ledger::open(&path).unwrap());
    let quotas = opened(&ledger, crossing, daily("daily", Some(100))).await;
    let query = grant(&quotas, "ann");
    let first = query.reserve_data(90).await.unwrap();
    let mut waits = std::pin::pin!(query.reserve_data(20));
    assert!(futures::poll!(waits.as_mut()).is_pending());
    CROSSING.store(START + 86_400, Ordering::SeqCst);
    // The next window is booked by another, then the one that waited goes on.
    read(&grant(&quotas, "bob"), 70).await.unwrap();
    drop(first);
    waits.await.unwrap().settle_part(20);
    assert_eq!(quotas.usage()[0].data_scanned_bytes, Some(90));
    let killed = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
    }
    let after = Arc::new(Ledger::open(&killed.path().join("ledger.db")).unwrap());
    let known = Quotas::open(after, crossing, None).usage()[0].data_scanned_bytes;
    assert!(known >= Some(90), "{known:?}");
}

#[tokio::test]
async fn a_booking_that_comes_late_leaves_the_next_windows_alone() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let quotas = opened(&ledger, fixed, daily("daily", Some(100))).await;
    let quota = quotas.read(|all| Arc::clone(&all["daily"]));
    let resource = QuotaResource::DataScannedBytes;
    let old = quotas.pool(&quota, "", resource, 100);
    let window = |start: i64| Window {
        start: at(start),
        end: at(start + 86_400),
    };
    let next = Arc::new(Pool::following(&old, window(START + 86_400)));
    assert!(old.is_replaced() && !next.is_replaced());
    // One lock for both: whoever books sees that the other has taken its place.
    let held = old.booking.try_lock().unwrap();
    assert!(next.booking.try_lock().is_err());
    drop(held);
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_is_done_in_the_file_and_here() {
    let ledger = Arc::new(Ledger::in_memory().unwrap());
    let quotas = Quotas::open(Arc::clone(&ledger), fixed, None);
    {
        let mut create = std::pin::pin!(quotas.create(daily("daily", Some(10))));
        let _given_up = futures::poll!(create.as_mut());
    }
    // Answered after the one that was given up.
    assert_eq!(ledger.usage(None).await.unwrap().len(), 0);
    assert_eq!(quotas.all().len(), 1);
    {
        let mut gone = std::pin::pin!(quotas.drop_quota("daily"));
        let _given_up = futures::poll!(gone.as_mut());
    }
    assert_eq!(ledger.usage(None).await.unwrap().len(), 0);
    assert_eq!(quotas.all().len(), 0);
}
