//! The requests of one query one by one, for sessions and EXPLAIN ANALYZE, which ask for them; bounded, and written at
//! the query's end.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;
use percent_encoding::percent_decode_str;

use super::StoreOp;

/// One attempt of a request to an object store: a row of `system.object_requests`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRequest {
    /// Order of dispatch within the query, from 1.
    pub number: u64,
    /// From the query's beginning to the dispatch.
    pub started_ms: u64,
    /// `get`, `head`, `list`, `put`, `delete`.
    pub operation: String,
    /// Bucket.
    pub bucket: String,
    /// Key; the prefix of a listing.
    pub key: String,
    /// The Range header, as sent.
    pub byte_range: Option<String>,
    /// Object bytes received, as `transferred_bytes` counts them.
    pub bytes: u64,
    /// It repeats an attempt that had failed.
    pub retried: bool,
    /// HTTP status; `None` where no answer came.
    pub status: Option<u16>,
    /// From the dispatch until the body ended or was given up.
    pub elapsed_ms: u64,
}

/// Collects the attempts of one query, the first `limit` of them; none until somebody asks for some.
#[derive(Debug)]
pub struct RequestLog {
    begun: Instant,
    limit: AtomicU64,
    numbers: AtomicU64,
    rows: Mutex<Vec<ObjectRequest>>,
}

impl RequestLog {
    /// An empty log for a query that begins now.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            limit: AtomicU64::new(limit),
            numbers: AtomicU64::new(0),
            rows: Mutex::default(),
        })
    }

    /// Keeps attempts up to the `limit`th of the query from here on, where it kept fewer.
    pub fn keep(&self, limit: u64) {
        self.limit.fetch_max(limit, Ordering::Relaxed);
    }

    /// The attempts that took longest, of those that have ended; the slowest first.
    pub fn slowest(&self, count: usize) -> Vec<ObjectRequest> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.elapsed_ms), row.number));
        rows.truncate(count);
        rows
    }

    /// Takes the rows, in the order of dispatch. Complete once the query's stores and bodies are gone.
    pub fn take(&self) -> Vec<ObjectRequest> {
        let mut rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        rows.sort_unstable_by_key(|row| row.number);
        rows
    }

    /// Attempts beyond the limit, which are not kept.
    pub fn not_kept(&self) -> u64 {
        let limit = self.limit.load(Ordering::Relaxed);
        self.numbers.load(Ordering::Relaxed).saturating_sub(limit)
    }

    /// An attempt that is dispatched now; its row is added when the answer is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        op: StoreOp,
        uri: &Uri,
        byte_range: Option<&str>,
        retried: bool,
    ) -> Option<LoggedRequest> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        if number > self.limit.load(Ordering::Relaxed) {
            return None;
        }
        let (bucket, key) = object_of(op, uri);
        Some(LoggedRequest {
            row: ObjectRequest {
                number,
                started_ms: millis(self.begun.elapsed()),
                operation: op.as_str().to_owned(),
                bucket,
                key,
                byte_range: byte_range.map(str::to_owned),
                bytes: 0,
                retried,
                status: None,
                elapsed_ms: 0,
            },
            started: Instant::now(),
            log: Arc::clone(self),
        })
    }
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct LoggedRequest {
    pub(super) row: ObjectRequest,
    started: Instant,
    log: Arc<RequestLog>,
}

impl Drop for LoggedRequest {
    fn drop(&mut self) {
        self.row.elapsed_ms = millis(self.started.elapsed());
        let mut rows = self.log.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push(self.row.clone());
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Bucket and key of a path-style request, the only style our stores send; a listing's key is its prefix.
fn object_of(op: StoreOp, uri: &Uri) -> (String, String) {
    let path = uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let prefix = || {
        uri.query()
            .unwrap_or_default()
            .split('&')
            .find_map(|pair| pair.strip_prefix("prefix="))
            .unwrap_or_default()
    };
    let key = if op == StoreOp::List { prefix() } else { key };
    (decoded(bucket), decoded(key))
}

/// Percent-decoded; text that is not UTF-8 afterwards is left as it was sent.
fn decoded(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_not_utf8| text.to_owned(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_prefixes_are_read_from_the_uri() {
        for (op, uri, bucket, key) in [
            (
                StoreOp::Get,
                "http://s3/lake/dt%3D1/a%20b.parquet",
                "lake",
                "dt=1/a b.parquet",
            ),
            (
                StoreOp::List,
                "http://s3/lake?list-type=2&prefix=events%2Fdt%3D1%2F",
                "lake",
                "events/dt=1/",
            ),
            (StoreOp::List, "http://s3/lake?list-type=2", "lake", ""),
            (StoreOp::Head, "http://s3/lake/100%25", "lake", "100%"),
            (StoreOp::Head, "http://s3/lake/%ff", "lake", "%ff"),
        ] {
            let found = object_of(op, &uri.parse().unwrap());
            assert_eq!(found, (bucket.to_owned(), key.to_owned()), "{uri}");
        }
    }

    #[test]
    fn the_slowest_come_first_and_nothing_is_kept_before_it_is_asked_for() {
        let log = RequestLog::new(0);
        let uri: Uri = "http://s3/lake/a".parse().unwrap();
        assert!(log.begin(StoreOp::Get, &uri, None, false).is_none());
        log.keep(10);
        let mut begun: Vec<_> = (0..3)
            .map(|_| log.begin(StoreOp::Get, &uri, None, false).unwrap())
            .collect();
        let long_ago = Duration::from_secs(60);
        begun[1].started = begun[1].started.checked_sub(long_ago).unwrap();
        drop(begun);
        let slowest = log.slowest(1);
        assert_eq!(slowest.len(), 1);
        assert_eq!(slowest[0].number, 3);
        assert!(slowest[0].elapsed_ms >= 60_000);
        assert_eq!(log.take().len(), 3);
    }

    #[test]
    fn the_first_ones_are_kept_in_order_and_the_others_counted() {
        let log = RequestLog::new(2);
        let uri: Uri = "http://s3/lake/a".parse().unwrap();
        let first = log.begin(StoreOp::Get, &uri, Some("bytes=0-1"), false).unwrap();
        let mut second = log.begin(StoreOp::Head, &uri, None, true).unwrap();
        assert!(log.begin(StoreOp::Get, &uri, None, false).is_none());
        second.row.status = Some(200);
        drop(second);
        drop(first);
        let rows = log.take();
        assert_eq!(rows.iter().map(|r| r.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((rows[0].status, rows[1].status), (None, Some(200)));
        assert!(rows[1].retried);
        assert_eq!(log.not_kept(), 1);
        assert!(log.take().is_empty());
    }
}
