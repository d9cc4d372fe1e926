//! The store's access log: one record per HTTP request, refused ones included, and the sums over it. Bytes are counted
//! as they are handed to the connection; nothing here knows S3 semantics.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, header};
use tokio::sync::watch;

use crate::fault_plan::FaultAction;
use crate::operation::{Operation, RequestClass, Target};

/// One line of the access log.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRecord {
    /// Number of the request since the server started, from 1; also its `x-amz-request-id`.
    pub ordinal: u64,
    /// What was asked.
    pub operation: Operation,
    /// Bucket of the request; empty when it names none.
    pub bucket: String,
    /// Key of the object, prefix of the listing; empty when the request names none.
    pub key: String,
    /// The `Range` header as sent.
    pub range: Option<String>,
    /// The `User-Agent` header as sent.
    pub user_agent: Option<String>,
    /// `<id>` of a `query/<id>` product in the user agent.
    pub query_id: Option<String>,
    /// Status of the answer; none while there is none, and for ever when the connection ended before it.
    pub status: Option<u16>,
    /// Length of the response body as announced, in bytes (0 for HEAD).
    pub body_bytes_planned: u64,
    /// Bytes of the response body handed to the connection. A body cut short by the client shows less than planned;
    /// what was still in the server's or the kernel's send buffer at that moment counts as sent.
    pub body_bytes_sent: u64,
    /// The fault that struck this request.
    pub fault: Option<FaultAction>,
    /// Arrival, counted from the start of the server.
    pub started_at: Duration,
    /// Whether the request is over: body handed over whole, or given up by either side.
    pub finished: bool,
}

/// Sums over the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered GetObject requests, whatever the status.
    pub get_requests: u64,
    /// Answered HeadObject and HeadBucket requests.
    pub head_requests: u64,
    /// Answered listing pages.
    pub list_requests: u64,
    /// Answered requests that write: put, copy, multipart, create bucket.
    pub put_requests: u64,
    /// Answered deletes and requests of no known operation.
    pub other_requests: u64,
    /// Requests that ended without an answer: reset by a fault, or the client went away first.
    pub unanswered_requests: u64,
    /// Answers with a status of 400 or more.
    pub error_responses: u64,
    /// Announced body bytes of successful (2xx) GetObject answers.
    pub object_body_bytes_planned: u64,
    /// Handed-over body bytes of successful (2xx) GetObject answers.
    pub object_body_bytes_sent: u64,
}

impl Counts {
    /// Answered requests of all classes.
    pub fn requests(&self) -> u64 {
        self.get_requests + self.head_requests + self.list_requests + self.put_requests + self.other_requests
    }

    fn add(&mut self, entry: &Entry) {
        let operation = entry.target.operation;
        let Some(status) = entry.status() else {
            self.unanswered_requests += u64::from(entry.finished.load(Ordering::Acquire));
            return;
        };
        let class = match operation.class() {
            RequestClass::Get => &mut self.get_requests,
            RequestClass::Head => &mut self.head_requests,
            RequestClass::List => &mut self.list_requests,
            RequestClass::Put => &mut self.put_requests,
            RequestClass::Other => &mut self.other_requests,
        };
        *class += 1;
        self.error_responses += u64::from(status >= 400);
        if operation == Operation::GetObject && (200..300).contains(&status) {
            self.object_body_bytes_planned += entry.planned.load(Ordering::Acquire);
            self.object_body_bytes_sent += entry.sent.load(Ordering::Acquire);
        }
    }
}

/// A record that is still being written.
#[derive(Debug)]
struct Entry {
    ordinal: u64,
    target: Target,
    range: Option<String>,
    user_agent: Option<String>,
    query_id: Option<String>,
    started_at: Duration,
    /// 0: no answer.
    status: AtomicU16,
    planned: AtomicU64,
    sent: AtomicU64,
    fault: OnceLock<FaultAction>,
    finished: AtomicBool,
}

impl Entry {
    fn status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Acquire)).filter(|status| *status != 0)
    }

    fn record(&self) -> RequestRecord {
        RequestRecord {
            ordinal: self.ordinal,
            operation: self.target.operation,
            bucket: self.target.bucket.clone(),
            key: self.target.key.clone(),
            range: self.range.clone(),
            user_agent: self.user_agent.clone(),
            query_id: self.query_id.clone(),
            status: self.status(),
            body_bytes_planned: self.planned.load(Ordering::Acquire),
            body_bytes_sent: self.sent.load(Ordering::Acquire),
            fault: self.fault.get().cloned(),
            started_at: self.started_at,
            finished: self.finished.load(Ordering::Acquire),
        }
    }
}

#[derive(Debug, Default)]
struct Log {
    entries: Vec<Arc<Entry>>,
    started: u64,
    in_flight_max: usize,
}

/// The log and the number of requests in flight.
#[derive(Debug)]
pub(crate) struct Journal {
    origin: Instant,
    log: Mutex<Log>,
    in_flight: watch::Sender<usize>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            log: Mutex::default(),
            in_flight: watch::Sender::new(0),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a record; it is in flight until the ticket is finished or dropped.
    pub(crate) fn begin(self: &Arc<Self>, target: Target, headers: &HeaderMap) -> Ticket {
        let text = |name| {
            headers
                .get(name)
                .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
        };
        let user_agent: Option<String> = text(header::USER_AGENT);
        let mut log = self.log();
        log.started += 1;
        let entry = Arc::new(Entry {
            ordinal: log.started,
            target,
            range: text(header::RANGE),
            query_id: user_agent.as_deref().and_then(query_id),
            user_agent,
            started_at: self.origin.elapsed(),
            status: AtomicU16::new(0),
            planned: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            fault: OnceLock::new(),
            finished: AtomicBool::new(false),
        });
        log.entries.push(Arc::clone(&entry));
        self.in_flight.send_modify(|n| *n += 1);
        log.in_flight_max = log.in_flight_max.max(self.in_flight());
        Ticket {
            journal: Arc::clone(self),
            entry,
        }
    }

    /// Copies of all records since the last reset, by arrival.
    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.log().entries.iter().map(|entry| entry.record()).collect()
    }

    /// Sums over the records since the last reset; with a query id, over those of the query.
    pub(crate) fn counts(&self, query_id: Option<&str>) -> Counts {
        let mut counts = Counts::default();
        for entry in &self.log().entries {
            if query_id.is_none() || query_id == entry.query_id.as_deref() {
                counts.add(entry);
            }
        }
        counts
    }

    /// Forgets all records. Requests in flight stay in flight, but are no longer in the log.
    pub(crate) fn reset(&self) {
        let mut log = self.log();
        log.entries.clear();
        log.in_flight_max = self.in_flight();
    }

    pub(crate) fn in_flight(&self) -> usize {
        *self.in_flight.borrow()
    }

    pub(crate) fn in_flight_max(&self) -> usize {
        self.log().in_flight_max
    }

    /// Waits until the number of requests in flight passes `test`.
    pub(crate) async fn wait_in_flight(&self, test: impl FnMut(&usize) -> bool) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self.in_flight.subscribe().wait_for(test).await;
    }
}

/// `<id>` of the first `query/<id>` product of a user agent.
fn query_id(user_agent: &str) -> Option<String> {
    let mut products = user_agent.split_ascii_whitespace();
    products
        .find_map(|p| p.strip_prefix("query/"))
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
}

/// Write access to one record. Dropped without [`Ticket::finish`]: the request was given up.
#[derive(Debug)]
pub(crate) struct Ticket {
    journal: Arc<Journal>,
    entry: Arc<Entry>,
}

impl Ticket {
    pub(crate) fn ordinal(&self) -> u64 {
        self.entry.ordinal
    }

    pub(crate) fn target(&self) -> &Target {
        &self.entry.target
    }

    pub(crate) fn struck_by(&self, fault: &FaultAction) {
        // One fault per request: the first one stays.
        let _ = self.entry.fault.set(fault.clone());
    }

    /// The answer's head is about to be sent.
    pub(crate) fn answered(&self, status: u16, planned_bytes: u64) {
        self.entry.planned.store(planned_bytes, Ordering::Release);
        self.entry.status.store(status, Ordering::Release);
    }

    /// Called before the bytes are handed over: who has received them sees them counted.
    pub(crate) fn sending(&self, bytes: u64) {
        self.entry.sent.fetch_add(bytes, Ordering::AcqRel);
    }

    /// The request is over. Idempotent.
    pub(crate) fn finish(&self) {
        if !self.entry.finished.swap(true, Ordering::AcqRel) {
            self.journal.in_flight.send_modify(|n| *n -= 1);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(journal: &Arc<Journal>, operation: Operation, agent: &'static str) -> Ticket {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, agent.parse().unwrap());
        journal.begin(
            Target {
                operation,
                bucket: "lake".into(),
                key: "k".into(),
            },
            &headers,
        )
    }

    #[test]
    fn the_query_id_is_one_product_of_the_user_agent() {
        assert_eq!(
            query_id("owlake/0.1 query/q-7 object_store/0.13").as_deref(),
            Some("q-7")
        );
        assert_eq!(query_id("owlake/0.1 (subquery/1)"), None);
        assert_eq!(query_id("query/"), None);
    }

    #[test]
    fn counts_separate_answered_cut_and_unanswered_requests() {
        let journal = Arc::new(Journal::new());
        let waiting = begin(&journal, Operation::HeadObject, "x");
        let whole = begin(&journal, Operation::GetObject, "query/a");
        whole.answered(206, 10);
        whole.sending(10);
        whole.finish();
        let cut = begin(&journal, Operation::GetObject, "query/a");
        cut.answered(200, 100);
        cut.sending(30);
        drop(cut);
        let refused = begin(&journal, Operation::GetObject, "query/b");
        refused.answered(404, 50);
        refused.sending(50);
        drop(refused);
        drop(begin(&journal, Operation::PutObject, "x"));
        let expected = Counts {
            get_requests: 3,
            unanswered_requests: 1,
            error_responses: 1,
            object_body_bytes_planned: 110,
            object_body_bytes_sent: 40,
            ..Counts::default()
        };
        assert_eq!(journal.counts(None), expected);
        assert_eq!(
            (
                journal.counts(Some("a")).get_requests,
                journal.counts(Some("b")).get_requests
            ),
            (2, 1)
        );
        assert_eq!((journal.in_flight(), journal.in_flight_max()), (1, 2));
        drop(waiting);
        assert_eq!(journal.in_flight(), 0);
    }

    #[test]
    fn a_reset_keeps_what_is_in_flight_out_of_the_new_log() {
        let journal = Arc::new(Journal::new());
        let old = begin(&journal, Operation::GetObject, "x");
        journal.reset();
        assert_eq!(
            (
                journal.records().len(),
                journal.in_flight(),
                journal.in_flight_max()
            ),
            (0, 1, 1)
        );
        drop(old);
        assert_eq!((journal.records().len(), journal.in_flight()), (0, 0));
    }
}
