//! A response body that counts the object bytes that pass, and what is missing when it ends early.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpResponseBody};

use super::connector::Account;
use super::failures::AttemptKey;
use super::request_log::LoggedRequest;
use super::times::TimedRequest;
use crate::meter::Counter;
use crate::quota::QuotaReservation;

/// Body of a successful GET. May be polled and dropped on any thread.
pub(super) struct MeteredBody {
    inner: HttpResponseBody,
    account: Arc<Account>,
    key: AttemptKey,
    /// Announced length, where the response has one.
    expected: Option<u64>,
    /// What was counted as requested for this attempt so far; never less than what was received.
    requested: u64,
    /// Where in the object the body lies, where known.
    span: Option<Range<u64>>,
    received: u64,
    ended: bool,
    logged: Option<LoggedRequest>,
    paid: Vec<QuotaReservation>,
    /// Its time ends with the body.
    timed: Option<TimedRequest>,
}

impl MeteredBody {
    pub(super) fn new(
        inner: HttpResponseBody,
        account: Arc<Account>,
        key: AttemptKey,
        expected: Option<u64>,
        requested: u64,
        span: Option<Range<u64>>,
    ) -> Self {
        Self {
            inner,
            account,
            key,
            expected,
            requested,
            span,
            received: 0,
            ended: false,
            logged: None,
            paid: Vec::new(),
            timed: None,
        }
    }

    /// Whose time ends when the body is gone.
    pub(super) fn time(&mut self, timed: Option<TimedRequest>) {
        self.timed = timed;
    }

    /// The money set apart for this body; what is not received is returned.
    pub(super) fn pay_from(&mut self, parts: Vec<QuotaReservation>) {
        self.paid = parts;
    }

    /// The row of the query's log that the received bytes go to.
    pub(super) fn log_to(&mut self, logged: Option<LoggedRequest>) {
        self.logged = logged;
    }

    fn receive(&mut self, bytes: u64) {
        self.received += bytes;
        if let Some(logged) = &mut self.logged {
            logged.row.bytes += bytes;
        }
        // The first part is for what was asked for; what it has not left the second one has.
        let mut left = bytes;
        for part in &mut self.paid {
            left -= part.settle_up_to(left);
        }
        self.account.meter.add(Counter::TransferredBytes, bytes);
        let unasked = self.received.saturating_sub(self.requested);
        self.account.meter.add(Counter::RequestedBytes, unasked);
        self.requested += unasked;
        if let Some(observer) = &self.account.observer {
            observer.on_transferred(bytes);
        }
    }

    /// Counts a body that will not be read to its end; only once.
    fn cut_short(&mut self) {
        if std::mem::replace(&mut self.ended, true) || self.expected == Some(self.received) {
            return;
        }
        let missing = self
            .expected
            .unwrap_or(self.requested)
            .saturating_sub(self.received);
        self.account.meter.add(Counter::AbortedRequests, 1);
        self.account.meter.add(Counter::AbortedBytesMax, missing);
    }

    /// The transport broke: whoever asks again, for the whole or for the rest of it, repeats this attempt.
    fn broken(&mut self) {
        self.cut_short();
        let mut key = self.key.clone();
        if let Some(span) = self
            .span
            .as_ref()
            .filter(|span| self.received < span.end - span.start)
        {
            let rest = format!("bytes={}-{}", span.start + self.received, span.end - 1);
            key.range = Some(rest);
        }
        self.account.failures.remember(key);
    }
}

impl Body for MeteredBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        // The read timeout's timer belongs to the I/O runtime, whoever polls.
        let entered = this.account.io.enter();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        drop(entered);
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.receive(data.len() as u64);
                }
            }
            Some(Err(_)) => this.broken(),
            None => {
                this.ended = true;
                this.timed = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for MeteredBody {
    fn drop(&mut self) {
        // A reader that knows the end is reached need not poll for it.
        self.ended |= self.inner.is_end_stream();
        self.cut_short();
    }
}

impl fmt::Debug for MeteredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeteredBody")
            .field("expected", &self.expected)
            .field("received", &self.received)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http::Method;
    use object_store::client::HttpErrorKind;

    use super::*;
    use crate::http::failures::Failures;
    use crate::meter::{Counters, Meter};

    struct Parts(Vec<Option<Bytes>>);

    impl Body for Parts {
        type Data = Bytes;
        type Error = HttpError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
            Poll::Ready(match self.0.pop() {
                Some(Some(data)) => Some(Ok(Frame::data(data))),
                Some(None) => Some(Err(HttpError::new(
                    HttpErrorKind::Interrupted,
                    std::io::Error::other("reset"),
                ))),
                None => None,
            })
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn key(range: Option<&str>) -> AttemptKey {
        AttemptKey {
            method: Method::GET,
            uri: "/a".parse().unwrap(),
            range: range.map(str::to_owned),
        }
    }

    /// Reads `polls` parts of a body without announced length, drops it, and returns what was counted.
    fn read(parts: &[Option<&'static [u8]>], polls: usize, requested: u64) -> (Counters, Arc<Account>) {
        let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let meter = Meter::root("q");
        let account = Arc::new(Account {
            meter: Arc::clone(&meter),
            observer: None,
            log: None,
            quotas: None,
            times: None,
            failures: Failures::default(),
            io: io.handle().clone(),
        });
        let parts = Parts(
            parts
                .iter()
                .rev()
                .map(|part| part.map(Bytes::from_static))
                .collect(),
        );
        let body = MeteredBody::new(
            HttpResponseBody::new(parts),
            Arc::clone(&account),
            key(None),
            None,
            requested,
            None,
        );
        let mut stream = HttpResponseBody::new(body).bytes_stream();
        futures::executor::block_on(async {
            for _ in 0..polls {
                stream.next().await;
            }
        });
        drop(stream);
        (meter.counters(), account)
    }

    #[test]
    fn a_body_of_unknown_length_ends_where_it_says_so() {
        let (counted, _) = read(&[Some(b"abc"), Some(b"de")], 2, 0);
        assert_eq!(
            counted,
            Counters {
                requested_bytes: 5,
                transferred_bytes: 5,
                ..Counters::default()
            }
        );
    }

    #[test]
    fn of_a_body_of_unknown_length_at_most_the_requested_range_is_missing() {
        let (counted, _) = read(&[Some(b"abc"), Some(b"de")], 1, 10);
        let expected = Counters {
            transferred_bytes: 3,
            aborted_requests: 1,
            aborted_bytes_max: 7,
            ..Counters::default()
        };
        assert_eq!(counted, expected);
    }

    #[test]
    fn a_broken_body_is_aborted_once_and_its_repetition_is_known() {
        let (counted, account) = read(&[Some(b"abc"), None], 2, 10);
        assert_eq!((counted.aborted_requests, counted.aborted_bytes_max), (1, 7));
        assert!(account.failures.take(&key(None)));
        assert!(!account.failures.take(&key(None)));
    }
}
