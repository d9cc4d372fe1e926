//! How long the requests of one query took together, and the part of it that went to small objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Sums over the answered requests of one query; each from its dispatch until its body ended or was given up.
///
/// Requests run side by side, so the sum is longer than the query: only shares of it say something.
#[derive(Debug, Default)]
pub struct RequestTimes {
    small_bytes: u64,
    all: Sum,
    small: Sum,
}

#[derive(Debug, Default)]
struct Sum {
    requests: AtomicU64,
    nanos: AtomicU64,
}

impl Sum {
    fn add(&self, nanos: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// The part of a query's requests that went to small objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallShare {
    /// An object with fewer bytes is small.
    pub below_bytes: u64,
    /// Requests to such objects.
    pub requests: u64,
    /// All requests, listings included.
    pub all_requests: u64,
    /// Their part of the time that all requests took together, rounded down.
    pub time_percent: u64,
}

impl RequestTimes {
    /// Nothing yet; objects below `small_bytes` are small.
    pub fn new(small_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            small_bytes,
            ..Self::default()
        })
    }

    /// The share of small objects so far; `None` without any request.
    pub fn small_share(&self) -> Option<SmallShare> {
        let all_requests = self.all.requests.load(Ordering::Relaxed);
        let nanos = |sum: &Sum| u128::from(sum.nanos.load(Ordering::Relaxed));
        let percent = 100 * nanos(&self.small) / nanos(&self.all).max(1);
        (all_requests > 0).then(|| SmallShare {
            below_bytes: self.small_bytes,
            requests: self.small.requests.load(Ordering::Relaxed),
            all_requests,
            time_percent: u64::try_from(percent).unwrap_or(100),
        })
    }

    /// A request that was answered just now about an object of `object_bytes`, where that is known.
    pub(super) fn answered(self: &Arc<Self>, started: Instant, object_bytes: Option<u64>) -> TimedRequest {
        TimedRequest {
            times: Arc::clone(self),
            started,
            is_small: object_bytes.is_some_and(|bytes| bytes < self.small_bytes),
        }
    }
}

/// An answered request, until its body is gone.
#[derive(Debug)]
pub(super) struct TimedRequest {
    times: Arc<RequestTimes>,
    started: Instant,
    is_small: bool,
}

impl Drop for TimedRequest {
    fn drop(&mut self) {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.times.all.add(nanos);
        if self.is_small {
            self.times.small.add(nanos);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn shares_are_of_all_requests_and_of_the_time_they_took_together() {
        let times = RequestTimes::new(100);
        assert_eq!(times.small_share(), None);
        let then = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        // Of ten requests that took as long, three were about small objects.
        for bytes in [Some(1), Some(99), Some(0), Some(100), Some(5000)] {
            drop(times.answered(then, bytes));
        }
        (0..5).for_each(|_| drop(times.answered(then, None)));
        let share = times.small_share().unwrap();
        assert_eq!((share.requests, share.all_requests), (3, 10));
        assert!((29..=30).contains(&share.time_percent), "{share:?}");
    }
}
