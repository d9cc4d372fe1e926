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
use crate::meter::Counter;

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
        }
    }

    fn receive(&mut self, bytes: u64) {
        self.received += bytes;
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
            None => this.ended = true,
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
