//! One transport connection: an id and the peer's address that its requests carry, whatever the transport.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::Extensions;
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};

/// Id of a connection, unique in the process. Ports are reused, ids are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(pub u64);

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The connection.
    pub id: ConnectionId,
    /// Its address; none in memory.
    pub address: Option<IpAddr>,
}

impl Peer {
    /// The peer of a request: of our own transport, or the address of one that a program brought.
    pub(crate) fn address_of(extensions: &Extensions) -> Option<IpAddr> {
        let tcp = || extensions.get::<TcpConnectInfo>()?.remote_addr();
        let tls = || {
            let info = extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?;
            info.get_ref().remote_addr()
        };
        match extensions.get::<Self>() {
            Some(peer) => peer.address,
            None => tcp().or_else(tls).map(|address| address.ip()),
        }
    }
}

/// A plain or encrypted byte stream.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> Socket for IO {}

/// A stream with an id.
#[derive(Debug)]
pub(crate) struct Tracked<IO> {
    io: IO,
    peer: Peer,
}

impl<IO> Tracked<IO> {
    /// Gives `io` the next id.
    pub(crate) fn new(io: IO, address: Option<IpAddr>) -> Self {
        let id = ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self {
            io,
            peer: Peer { id, address },
        }
    }
}

impl<IO> Connected for Tracked<IO> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Tracked<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Tracked<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
