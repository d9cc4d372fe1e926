//! Between the socket and the driver: the rows of a COPY leave here, as they came, in chunks of many; everything else
//! goes on to the driver. The driver itself would take 8 KB at a time and hand each row over by itself.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::channel::mpsc;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// One system call takes up to this much.
const READ: usize = 256 << 10;
/// With less room than this left, the next buffer is begun.
const LEAST_READ: usize = 32 << 10;
/// Rows are handed over once there are this many bytes of them,
const CHUNK: usize = 64 << 10;
/// or after this time, or when the last one is there.
const HELD: Duration = Duration::from_millis(2);
/// Tag and length of a message.
const HEADER: usize = 5;

/// Whole messages of a COPY, as sent.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Bytes,
    messages: usize,
}

impl Chunk {
    /// Bytes without tags and lengths.
    pub(super) fn payload(&self) -> u64 {
        (self.bytes.len() - self.messages * HEADER) as u64
    }

    /// With tags and lengths: see [`next_message`].
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where the payload of the message at `at` is; it ends where the next one begins. Nothing at the end.
pub(super) fn next_message(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let length = u32::from_be_bytes(*bytes.get(at + 1..)?.first_chunk()?) as usize;
    let end = at.checked_add(1)?.checked_add(length)?;
    (length >= 4 && end <= bytes.len()).then_some(at + HEADER..end)
}

/// Where the rows of the connection's next COPY go.
#[derive(Debug, Clone, Default)]
pub(super) struct Outlet(Arc<Mutex<Option<mpsc::Sender<Chunk>>>>);

impl Outlet {
    /// Says so before the COPY is sent. The receiver ends with the rows, well or not: how, the driver is told. As long
    /// as nothing is taken from it, nothing more is read than two chunks and a buffer; once it is dropped, rows that
    /// still come are thrown away.
    pub(super) fn expect(&self) -> mpsc::Receiver<Chunk> {
        let (sender, receiver) = mpsc::channel(1);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    fn take(&self) -> Option<mpsc::Sender<Chunk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The stream of one connection, from the server's first message on.
pub(super) struct Tap<S> {
    stream: S,
    outlet: Outlet,
    /// Of the COPY that runs.
    rows: Option<mpsc::Sender<Chunk>>,
    /// What has been read: whole messages of rows, then what has not been looked at.
    buffer: BytesMut,
    whole: usize,
    messages: usize,
    /// Bytes of a message for the driver that are still to be passed on; then `whole` is 0.
    passing: usize,
    held: Pin<Box<Sleep>>,
    holds: bool,
}

/// What follows the rows that are whole.
enum Next {
    /// The message is not complete.
    More,
    /// A message for the driver.
    Driver { tag: u8, length: usize },
}

impl<S> Tap<S> {
    pub(super) fn new(stream: S, outlet: Outlet) -> Self {
        Self {
            stream,
            outlet,
            rows: None,
            buffer: BytesMut::new(),
            whole: 0,
            messages: 0,
            passing: 0,
            held: Box::pin(tokio::time::sleep(Duration::ZERO)),
            holds: false,
        }
    }

    /// Looks at the messages that have come.
    fn look(&mut self) -> Next {
        while let Some(header) = self.buffer.get(self.whole..).and_then(|rest| rest.get(..HEADER)) {
            let tag = header[0];
            let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
            // A length that cannot be is the driver's to refuse.
            if tag != b'd' || self.rows.is_none() || length < 4 {
                return Next::Driver {
                    tag,
                    length: length.saturating_add(1),
                };
            }
            if self.buffer.len() - self.whole <= length {
                break;
            }
            self.whole += length + 1;
            self.messages += 1;
        }
        Next::More
    }

    /// Hands over the rows that are whole.
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.whole == 0 {
            return Poll::Ready(());
        }
        if let Some(rows) = &mut self.rows {
            match ready!(rows.poll_ready(cx)) {
                Ok(()) => {
                    let chunk = Chunk {
                        bytes: self.buffer.split_to(self.whole).freeze(),
                        messages: self.messages,
                    };
                    // It was ready just now, and nobody else sends.
                    let _sent = rows.start_send(chunk);
                }
                // Nobody wants them any more.
                Err(_dropped) => self.buffer.advance(self.whole),
            }
        }
        (self.whole, self.messages, self.holds) = (0, 0, false);
        Poll::Ready(())
    }

    /// Rows that have been waiting for others for long enough are handed over without them.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.whole == 0 {
            return Poll::Pending;
        }
        if !self.holds {
            self.holds = true;
            self.held.as_mut().reset(tokio::time::Instant::now() + HELD);
        }
        ready!(self.held.as_mut().poll(cx));
        self.poll_hand_over(cx)
    }
}

impl<S: AsyncRead + Unpin> Tap<S> {
    /// Reads what is there; the number of bytes, 0 at the end of the stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() > 2 * READ && self.buffer.len() < READ {
            // A very long row was here: its memory is not kept.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        if self.buffer.capacity() - self.buffer.len() < LEAST_READ {
            self.buffer.reserve(READ);
        }
        // Nothing of it is kept between two polls.
        pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = &mut *self;
        loop {
            if tap.passing > 0 && !tap.buffer.is_empty() {
                let length = tap.passing.min(tap.buffer.len()).min(out.remaining());
                out.put_slice(&tap.buffer[..length]);
                tap.buffer.advance(length);
                tap.passing -= length;
                return Poll::Ready(Ok(()));
            }
            if tap.passing == 0 {
                match tap.look() {
                    Next::Driver { tag, length } => {
                        ready!(tap.poll_hand_over(cx));
                        match tag {
                            b'H' => tap.rows = tap.outlet.take(),
                            // Notices, settings and notifications may come at any time.
                            b'N' | b'S' | b'A' => {}
                            _ => tap.rows = None,
                        }
                        tap.passing = length;
                        continue;
                    }
                    Next::More if tap.whole >= CHUNK => ready!(tap.poll_hand_over(cx)),
                    Next::More => {}
                }
            }
            match tap.poll_more(cx) {
                // Of the stream's end, the driver makes an error; whole rows before it are still rows.
                Poll::Ready(Ok(0)) => {
                    ready!(tap.poll_hand_over(cx));
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(_more)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => ready!(tap.poll_held(cx)),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Tap<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// TLS whose plain side goes through a tap.
pub(super) struct Tapped<T> {
    tls: T,
    outlet: Outlet,
}

impl<T> Tapped<T> {
    pub(super) fn new(tls: T, outlet: Outlet) -> Self {
        Self { tls, outlet }
    }
}

impl<S, T> TlsConnect<S> for Tapped<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
    T::Error: 'static,
{
    type Stream = Tap<T::Stream>;
    type Error = T::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, T::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        let (connecting, outlet) = (self.tls.connect(stream), self.outlet);
        Box::pin(async move { Ok(Tap::new(connecting.await?, outlet)) })
    }
}

#[cfg(test)]
mod tests;
