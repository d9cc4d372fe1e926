//! One HTTP attempt: what kind it is, what it asks for, and the counting of its fate.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, Method, StatusCode, Uri};
use object_store::client::{HttpRequest, HttpResponse, HttpResponseBody};

use super::body::MeteredBody;
use super::connector::Account;
use super::failures::AttemptKey;
use super::request_log::LoggedRequest;
use super::times::TimedRequest;
use crate::meter::Counter;
use crate::quota::QuotaReservation;

/// The kind of a store request, as stores price them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreOp {
    /// GET of an object or a part of it.
    Get,
    /// HEAD.
    Head,
    /// A page of a listing.
    List,
    /// PUT, POST and whatever else.
    Put,
    /// DELETE; counted among `put_requests`.
    Delete,
}

impl StoreOp {
    /// Lower-case word, for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }

    /// The counter of its answered attempts.
    pub const fn counter(self) -> Counter {
        match self {
            Self::Get => Counter::GetRequests,
            Self::Head => Counter::HeadRequests,
            Self::List => Counter::ListRequests,
            Self::Put | Self::Delete => Counter::PutRequests,
        }
    }

    pub(super) fn classify(method: &Method, uri: &Uri) -> Self {
        let lists = || {
            uri.query()
                .is_some_and(|query| query.split('&').any(|pair| pair == "list-type=2"))
        };
        match *method {
            Method::GET if lists() => Self::List,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::DELETE => Self::Delete,
            _ => Self::Put,
        }
    }
}

/// Is told of every answered attempt and every received object byte; feeds the process-wide metrics.
///
/// Called inline on the request path: implementations must be quick and must not block.
pub trait RequestObserver: Send + Sync + Debug {
    /// A response arrived `elapsed` after its request was handed to the client.
    fn on_response(&self, op: StoreOp, status: u16, elapsed: Duration);
    /// Object-body bytes arrived.
    fn on_transferred(&self, bytes: u64);
}

/// Counts one attempt exactly once, whatever becomes of it. Dropped without an answer, it is an unanswered one.
pub(super) struct Attempt {
    account: Arc<Account>,
    key: AttemptKey,
    op: StoreOp,
    repeats: bool,
    /// Counted at dispatch, since the store may serve what we never see.
    requested_bytes: u64,
    started: Instant,
    settled: bool,
    /// Its row of the query's log, added when dropped.
    logged: Option<LoggedRequest>,
    /// The body's price on the money quotas, settled as it is read.
    paid: Vec<QuotaReservation>,
}

impl Attempt {
    /// To be called right before the request is handed to the client.
    pub(super) fn start(account: &Arc<Account>, request: &HttpRequest) -> Self {
        let op = StoreOp::classify(request.method(), request.uri());
        let range = request
            .headers()
            .get(RANGE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let requested_bytes = match op {
            StoreOp::Get => range.as_deref().and_then(range_length).unwrap_or(0),
            StoreOp::Head | StoreOp::List | StoreOp::Put | StoreOp::Delete => 0,
        };
        account.meter.add(Counter::RequestedBytes, requested_bytes);
        let key = AttemptKey {
            method: request.method().clone(),
            uri: request.uri().clone(),
            range,
        };
        let repeats = account.failures.take(&key);
        let logged = account
            .log
            .as_ref()
            .and_then(|log| log.begin(op, request.uri(), key.range.as_deref(), repeats));
        let account = Arc::clone(account);
        Self {
            account,
            key,
            op,
            repeats,
            requested_bytes,
            started: Instant::now(),
            settled: false,
            logged,
            paid: Vec::new(),
        }
    }

    /// Whether it asks for a page of a listing.
    pub(super) fn lists(&self) -> bool {
        self.op == StoreOp::List
    }

    /// What was set apart for the body.
    pub(super) fn paid(&mut self, parts: Vec<QuotaReservation>) {
        self.paid = parts;
    }

    /// The transport failed before a response.
    pub(super) fn failed(self) {
        self.account.failures.remember(self.key.clone());
        // The drop counts it.
    }

    /// A response arrived; its body is counted and timed as it is read where it is an object's. Of another one the
    /// time runs until what comes beside it is dropped.
    pub(super) fn answered(mut self, response: HttpResponse) -> (HttpResponse, Option<TimedRequest>) {
        self.settled = true;
        let status = response.status();
        if let Some(logged) = &mut self.logged {
            logged.row.status = Some(status.as_u16());
        }
        self.account.meter.add(self.op.counter(), 1);
        if self.repeats {
            self.account.meter.add(Counter::RetriedRequests, 1);
        }
        if let Some(observer) = &self.account.observer {
            observer.on_response(self.op, status.as_u16(), self.started.elapsed());
        }
        if status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
        {
            self.account.failures.remember(self.key.clone());
        }
        let is_object = matches!(self.op, StoreOp::Get | StoreOp::Head) && status.is_success();
        let size = is_object.then(|| object_size(response.headers())).flatten();
        let times = self.account.times.as_ref();
        let timed = times.map(|times| times.answered(self.started, size));
        if self.op != StoreOp::Get || !status.is_success() {
            return (response, timed);
        }
        let (parts, body) = response.into_parts();
        let expected = content_length(&parts.headers);
        // A request without a range asks for what the answer says it is; so does one whose range was ignored.
        let unasked = expected.unwrap_or(0).saturating_sub(self.requested_bytes);
        self.account.meter.add(Counter::RequestedBytes, unasked);
        let span = answered_span(&parts.headers, expected);
        let requested_bytes = self.requested_bytes + unasked;
        let account = Arc::clone(&self.account);
        let key = self.key.clone();
        let mut body = MeteredBody::new(body, account, key, expected, requested_bytes, span);
        body.log_to(self.logged.take());
        body.pay_from(std::mem::take(&mut self.paid));
        body.time(timed);
        (HttpResponse::from_parts(parts, HttpResponseBody::new(body)), None)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.settled {
            self.account.meter.add(Counter::UnansweredRequests, 1);
        }
    }
}

/// Bytes that a Range header asks for; `None` where only the object's size would tell (`bytes=5-`).
fn range_length(header: &str) -> Option<u64> {
    let mut sum = 0u64;
    for spec in header.trim().strip_prefix("bytes=")?.split(',') {
        let (first, last) = spec.trim().split_once('-')?;
        let length = match (first, last) {
            ("", suffix) => suffix.parse::<u64>().ok()?,
            (first, last) => {
                let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
                last.checked_sub(first)?.saturating_add(1)
            }
        };
        sum = sum.saturating_add(length);
    }
    Some(sum)
}

/// Bytes that a request's Range header asks for, where it says.
pub(super) fn requested_length(request: &HttpRequest) -> Option<u64> {
    range_length(request.headers().get(RANGE)?.to_str().ok()?)
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The size of the whole object that a response is about, where it says.
fn object_size(headers: &HeaderMap) -> Option<u64> {
    let Some(value) = headers.get(CONTENT_RANGE) else {
        return content_length(headers);
    };
    let (_, size) = value.to_str().ok()?.trim().rsplit_once('/')?;
    size.parse().ok()
}

/// Offsets in the object that the body covers; a client that resumes a broken body asks for the rest of it.
fn answered_span(headers: &HeaderMap, expected: Option<u64>) -> Option<Range<u64>> {
    let Some(value) = headers.get(CONTENT_RANGE) else {
        return Some(0..expected?);
    };
    let (first, last) = value
        .to_str()
        .ok()?
        .trim()
        .strip_prefix("bytes ")?
        .split_once('/')?
        .0
        .split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    Some(first..last.checked_add(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_classified_as_stores_price_them() {
        for (method, uri, op) in [
            (Method::GET, "/lake/a/b.parquet", StoreOp::Get),
            (Method::GET, "/lake?list-type=2&prefix=a", StoreOp::List),
            (Method::GET, "/lake?prefix=a&list-type=2", StoreOp::List),
            (Method::GET, "/lake/list-type=2/x?versionId=1", StoreOp::Get),
            (Method::HEAD, "/lake/a", StoreOp::Head),
            (Method::PUT, "/lake/a", StoreOp::Put),
            (Method::POST, "/lake?delete", StoreOp::Put),
            (Method::DELETE, "/lake/a", StoreOp::Delete),
        ] {
            assert_eq!(
                StoreOp::classify(&method, &uri.parse().unwrap()),
                op,
                "{method} {uri}"
            );
        }
        assert_eq!(StoreOp::Delete.counter(), Counter::PutRequests);
    }

    #[test]
    fn range_headers_have_a_length_or_none() {
        for (header, length) in [
            ("bytes=0-0", Some(1)),
            ("bytes=10-19", Some(10)),
            ("bytes=-8", Some(8)),
            ("bytes=0-1, 10-12", Some(5)),
            ("bytes=5-", None),
            ("bytes=9-5", None),
            ("items=0-1", None),
            ("bytes=a-b", None),
            ("bytes=0-18446744073709551615", Some(u64::MAX)),
        ] {
            assert_eq!(range_length(header), length, "{header}");
        }
    }

    #[test]
    fn the_size_of_an_object_is_that_of_the_whole() {
        let mut headers = HeaderMap::new();
        assert_eq!(object_size(&headers), None);
        headers.insert(CONTENT_LENGTH, "5".parse().unwrap());
        assert_eq!(object_size(&headers), Some(5));
        headers.insert(CONTENT_RANGE, "bytes 5-9/100".parse().unwrap());
        assert_eq!(object_size(&headers), Some(100));
        headers.insert(CONTENT_RANGE, "bytes 5-9/*".parse().unwrap());
        assert_eq!(object_size(&headers), None);
    }

    #[test]
    fn the_answered_span_comes_from_the_content_range() {
        let mut headers = HeaderMap::new();
        assert_eq!(answered_span(&headers, Some(7)), Some(0..7));
        assert_eq!(answered_span(&headers, None), None);
        headers.insert(CONTENT_RANGE, "bytes 5-9/100".parse().unwrap());
        assert_eq!(answered_span(&headers, Some(5)), Some(5..10));
        headers.insert(CONTENT_RANGE, "bytes */100".parse().unwrap());
        assert_eq!(answered_span(&headers, Some(5)), None);
    }
}
