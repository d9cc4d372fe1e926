//! The cap holds under every interleaving: no overshoot, no lost surplus, no lost wake-up.

use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use proptest::prelude::*;

use super::*;

fn now_or_panic<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("must not wait")
}

fn is_pending<T>(future: &mut BoxFuture<'_, T>) -> bool {
    matches!(
        future.poll_unpin(&mut Context::from_waker(Waker::noop())),
        Poll::Pending
    )
}

/// The cap that refused.
fn cap(result: Result<Reservation, Refused>) -> BudgetExceeded {
    match result {
        Err(Refused::Cap(exceeded)) => exceeded,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reservation_is_settled_and_its_surplus_returns() {
    let budget = Budget::new(Some(100), None);
    let r = now_or_panic(budget.reserve(80)).unwrap();
    assert_eq!((budget.settled_bytes(), budget.in_flight_bytes()), (0, 80));
    r.settle(30);
    assert_eq!((budget.settled_bytes(), budget.in_flight_bytes()), (30, 0));
    let exceeded = cap(now_or_panic(budget.reserve(71)));
    assert_eq!(
        exceeded,
        BudgetExceeded {
            limit_bytes: 100,
            settled_bytes: 30,
            needed_bytes: 71
        }
    );
    now_or_panic(budget.reserve(70)).unwrap().settle(70);
    assert_eq!(budget.settled_bytes(), 100);
    now_or_panic(budget.reserve(0)).unwrap().settle(0);
    assert!(now_or_panic(budget.reserve(1)).is_err());
}

#[test]
fn a_dropped_reservation_returns_everything() {
    let budget = Budget::new(Some(100), None);
    drop(now_or_panic(budget.reserve(100)).unwrap());
    assert_eq!((budget.settled_bytes(), budget.in_flight_bytes()), (0, 0));
}

#[test]
fn parts_of_a_stream_are_booked_as_they_end() {
    let budget = Budget::new(Some(100), None);
    let mut r = now_or_panic(budget.reserve(50)).unwrap();
    r.settle_part(20);
    assert_eq!(
        (
            r.reserved_bytes(),
            budget.settled_bytes(),
            budget.in_flight_bytes()
        ),
        (30, 20, 30)
    );
    r.settle(5);
    assert_eq!((budget.settled_bytes(), budget.in_flight_bytes()), (25, 0));
}

#[test]
fn who_does_not_fit_waits_and_is_woken_by_the_surplus() {
    let budget = Budget::new(Some(100), None);
    let held = now_or_panic(budget.reserve(80)).unwrap();
    let mut waiting = budget.reserve(60).boxed();
    assert!(is_pending(&mut waiting));
    held.settle(10);
    now_or_panic(waiting).unwrap().settle(60);
    assert_eq!(budget.settled_bytes(), 70);
}

#[test]
fn who_waits_is_refused_once_nothing_can_return_enough() {
    let budget = Budget::new(Some(100), None);
    let held = now_or_panic(budget.reserve(80)).unwrap();
    let mut waiting = budget.reserve(60).boxed();
    assert!(is_pending(&mut waiting));
    held.settle(80);
    assert_eq!(cap(now_or_panic(waiting)).settled_bytes, 80);
}

#[test]
fn a_dropped_waiter_leaves_nothing_behind() {
    let query = Budget::new(Some(100), None);
    let scan = Budget::new(None, Some(Arc::clone(&query)));
    let held = now_or_panic(query.reserve(80)).unwrap();
    let mut waiting = scan.reserve(60).boxed();
    assert!(is_pending(&mut waiting));
    drop(waiting);
    assert_eq!((scan.in_flight_bytes(), query.in_flight_bytes()), (0, 80));
    held.settle(0);
    assert_eq!((scan.in_flight_bytes(), query.in_flight_bytes()), (0, 0));
}

#[test]
fn every_level_counts_and_the_tightest_refuses() {
    let workgroup = Budget::new(Some(1_000), None);
    let query = Budget::new(Some(100), Some(Arc::clone(&workgroup)));
    let scan = Budget::new(None, Some(Arc::clone(&query)));
    now_or_panic(scan.reserve(60)).unwrap().settle(50);
    assert_eq!(
        (
            scan.settled_bytes(),
            query.settled_bytes(),
            workgroup.settled_bytes()
        ),
        (50, 50, 50)
    );
    assert_eq!(cap(now_or_panic(scan.reserve(51))).limit_bytes, 100);
    let other = Budget::new(None, Some(Arc::clone(&workgroup)));
    now_or_panic(other.reserve(940)).unwrap().settle(940);
    assert_eq!(
        cap(now_or_panic(scan.reserve(20))),
        BudgetExceeded {
            limit_bytes: 1_000,
            settled_bytes: 990,
            needed_bytes: 20
        }
    );
    assert!(query.check(10).is_ok());
    assert!(query.check(11).is_err());
    assert_eq!(scan.limit_bytes(), None);
}

#[test]
fn a_check_ignores_what_is_in_flight() {
    let budget = Budget::new(Some(100), None);
    let _held = now_or_panic(budget.reserve(100)).unwrap();
    assert!(budget.check(100).is_ok());
    assert!(budget.check(101).is_err());
}

#[test]
fn huge_requests_are_refused_and_do_not_overflow() {
    let budget = Budget::new(Some(u64::MAX), None);
    now_or_panic(budget.reserve(5)).unwrap().settle(5);
    let _held = now_or_panic(budget.reserve(u64::MAX - 5)).unwrap();
    assert!(Budget::new(Some(10), None).check(u64::MAX).is_err());
}

#[test]
fn the_refusal_reads_as_athena_writes_it() {
    let exceeded = BudgetExceeded {
        limit_bytes: 1_000_000_000,
        settled_bytes: 0,
        needed_bytes: 1_279_999_999,
    };
    let fault = Fault::from(exceeded);
    assert_eq!(
        fault.to_string(),
        "EXCEEDED_SCAN_LIMIT: Bytes scanned limit was exceeded: 1.27 GB more are needed, limit 1.00 GB; 0 bytes were scanned"
    );
}

#[test]
fn threads_that_compete_never_pass_the_limit_and_all_end() {
    let workgroup = Budget::new(Some(50_000), None);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..8u64)
        .map(|i| {
            let query = Budget::new(Some(10_000), Some(Arc::clone(&workgroup)));
            runtime.spawn(async move {
                let mut used = 0;
                for n in 0..200u64 {
                    match query.reserve(100 + (n * 37 + i) % 400).await {
                        Ok(r) => {
                            assert!(query.settled_bytes() + query.in_flight_bytes() <= 10_000);
                            tokio::task::yield_now().await;
                            let actual = r.reserved_bytes() / 2;
                            r.settle(actual);
                            used += actual;
                        }
                        Err(_) => break,
                    }
                }
                used
            })
        })
        .collect();
    let used: u64 = runtime.block_on(async {
        futures::future::join_all(tasks)
            .await
            .into_iter()
            .map(Result::unwrap)
            .sum()
    });
    assert_eq!(workgroup.settled_bytes(), used);
    assert_eq!(workgroup.in_flight_bytes(), 0);
    assert!(used <= 50_000);
}

/// One read of the random program: on which scan, how much is reserved, used, and how long it takes.
#[derive(Debug, Clone)]
struct Read {
    scan: usize,
    reserve: u64,
    used: u64,
    yields: u8,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Settle,
    Fail,
    /// Dropped while waiting or reading, after that many polls.
    Dropped(u8),
}

fn reads() -> impl Strategy<Value = Vec<Read>> {
    let end = prop_oneof![
        6 => Just(End::Settle),
        2 => Just(End::Fail),
        1 => (0u8..5).prop_map(End::Dropped)
    ];
    let read =
        (0usize..4, 0u64..60, 0u64..=100, 0u8..4, end).prop_map(|(scan, reserve, share, yields, end)| Read {
            scan,
            reserve,
            used: reserve * share / 100,
            yields,
            end,
        });
    proptest::collection::vec(read, 1..60)
}

/// Polls `future` at most `polls` times, then drops it.
async fn at_most<T>(future: impl Future<Output = T>, polls: u8) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        cx.waker().wake_by_ref();
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every program of concurrent reads ends; the cap is never passed; in the end nothing is in flight and
    /// the settled bytes of each level are exactly what its reads used.
    #[test]
    fn overshoot_is_zero_surplus_returns_and_nobody_waits_for_ever(
        reads in reads(),
        limits in (0u64..200, proptest::option::of(0u64..150), proptest::option::of(0u64..150)),
    ) {
        let workgroup = Budget::new(Some(limits.0), None);
        let queries = [limits.1, limits.2].map(|limit| Budget::new(limit, Some(Arc::clone(&workgroup))));
        let scans: Vec<_> = (0..4).map(|i| Budget::new(None, Some(Arc::clone(&queries[i % 2])))).collect();
        let levels: Vec<_> = std::iter::once(&workgroup).chain(&queries).chain(&scans).cloned().collect();
        let check = || for level in &levels {
            let taken = level.settled_bytes() + level.in_flight_bytes();
            assert!(level.limit_bytes().is_none_or(|limit| taken <= limit), "{taken} of {:?}", level.limit_bytes());
        };
        let tasks: FuturesUnordered<_> = reads.iter().map(|read| {
            let (scan, check) = (&scans[read.scan], &check);
            async move {
                let body = async {
                    let Ok(reservation) = scan.reserve(read.reserve).await else { return (read.scan, 0) };
                    for _ in 0..read.yields {
                        check();
                        tokio::task::yield_now().await;
                    }
                    if read.end == End::Fail { return (read.scan, 0) }
                    reservation.settle(read.used);
                    (read.scan, read.used)
                };
                match read.end {
                    End::Dropped(polls) => at_most(body, polls).await.unwrap_or((read.scan, 0)),
                    End::Settle | End::Fail => body.await,
                }
            }
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let used: Vec<(usize, u64)> = runtime.block_on(tasks.collect());
        check();
        for (i, scan) in scans.iter().enumerate() {
            prop_assert_eq!(scan.settled_bytes(), used.iter().filter(|u| u.0 == i).map(|u| u.1).sum::<u64>());
        }
        prop_assert_eq!(workgroup.settled_bytes(), used.iter().map(|u| u.1).sum::<u64>());
        for level in &levels {
            prop_assert_eq!(level.in_flight_bytes(), 0);
        }
    }
}
