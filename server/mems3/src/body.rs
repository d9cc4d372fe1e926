//! Response bodies: counted, paced, stalled and cut short frame by frame.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::connection::Connection;
use crate::fault_plan::FaultAction;
use crate::journal::Ticket;

/// Largest frame. Small frames keep the count of sent bytes close to what the client can have received.
const FRAME_BYTES: usize = 64 * 1024;

/// How a body that is cut short ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Reset,
    Close,
}

/// One response body, wholly in memory, handed to hyper in frames. Dropping it ends the request's record.
#[derive(Debug)]
pub(crate) struct MeteredBody {
    rest: Bytes,
    sent: u64,
    ticket: Ticket,
    connection: Arc<Connection>,
    bytes_per_second: Option<u64>,
    /// When the first frame was asked for: origin of the pace.
    origin: Option<Instant>,
    cut: Option<(u64, Cut)>,
    /// Flush count of the connection when the cut was reached.
    cut_mark: Option<u64>,
    stall: Option<(u64, Duration)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl MeteredBody {
    pub(crate) fn new(bytes: Bytes, ticket: Ticket, connection: Arc<Connection>) -> Self {
        if bytes.is_empty() {
            ticket.finish();
        }
        Self {
            rest: bytes,
            sent: 0,
            ticket,
            connection,
            bytes_per_second: None,
            origin: None,
            cut: None,
            cut_mark: None,
            stall: None,
            sleep: None,
        }
    }

    /// Sends no faster than this; none: as fast as the client reads.
    #[must_use]
    pub(crate) fn paced(mut self, bytes_per_second: Option<u64>) -> Self {
        self.bytes_per_second = bytes_per_second.map(|speed| speed.max(1));
        self
    }

    /// Applies the part of a fault that happens within the body.
    #[must_use]
    pub(crate) fn struck_by(mut self, fault: &FaultAction) -> Self {
        match *fault {
            FaultAction::ResetAfterBody { bytes } => self.cut = Some((bytes, Cut::Reset)),
            FaultAction::ShortBody { bytes } => self.cut = Some((bytes, Cut::Close)),
            FaultAction::StallBody {
                after_bytes,
                duration,
            } => self.stall = Some((after_bytes, duration)),
            FaultAction::Trickle { bytes_per_second } => self = self.paced(Some(bytes_per_second)),
            _ => {}
        }
        self
    }

    /// Length of the next frame: ends at every point where something happens.
    fn next_len(&self) -> usize {
        let mut len = self.rest.len().min(FRAME_BYTES);
        if let Some(speed) = self.bytes_per_second {
            // About fifty frames a second, so that a slow body flows instead of coming in lumps.
            len = len.min(usize::try_from(speed / 50).unwrap_or(usize::MAX).max(1));
        }
        let events = [self.cut.map(|(at, _)| at), self.stall.map(|(at, _)| at)];
        for at in events.into_iter().flatten().filter(|at| *at > self.sent) {
            len = len.min(usize::try_from(at - self.sent).unwrap_or(usize::MAX));
        }
        len
    }

    /// Ends the body before its time, once everything before the cut has left for the client.
    fn poll_cut(&mut self, cut: Cut, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mark = *self.cut_mark.get_or_insert_with(|| self.connection.flushes());
        ready!(self.connection.poll_flushed_since(mark, cx));
        if cut == Cut::Reset {
            self.connection.reset_on_close();
        }
        Poll::Ready(io::Error::other("body cut short on purpose"))
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        Poll::Ready(())
    }
}

impl Body for MeteredBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        ready!(self.poll_sleep(cx));
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if let Some((at, cut)) = self.cut
            && self.sent >= at
        {
            return Poll::Ready(Some(Err(ready!(self.poll_cut(cut, cx)))));
        }
        if let Some((at, duration)) = self.stall
            && self.sent >= at
        {
            self.stall = None;
            self.sleep = Some(Box::pin(sleep(duration)));
            ready!(self.poll_sleep(cx));
        }
        let len = self.next_len();
        if let Some(speed) = self.bytes_per_second {
            // The frame is due when a line of this speed would have carried its last byte; a late frame does
            // not delay the ones behind it.
            let origin = *self.origin.get_or_insert_with(Instant::now);
            let end = self.sent + len as u64;
            let due = origin + Duration::from_secs_f64(end as f64 / speed as f64);
            if due > Instant::now() {
                self.sleep = Some(Box::pin(sleep_until(due)));
                ready!(self.poll_sleep(cx));
            }
        }
        let frame = self.rest.split_to(len);
        self.sent += len as u64;
        self.ticket.sending(len as u64);
        if self.rest.is_empty() {
            // Before the client can see the end: a client that has the whole body finds the request over.
            self.ticket.finish();
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
