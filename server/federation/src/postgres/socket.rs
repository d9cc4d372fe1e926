//! Sockets to the database: to each address of its host in turn, and once more for a cancel request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A peer that is gone without a word is found within this and a few seconds.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The addresses of a host.
///
/// # Errors
/// It has none.
pub(super) async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    }
    Ok(found)
}

/// A socket that sends at once and notices when its peer is gone.
///
/// # Errors
/// Nobody answers there, or not in time.
pub(super) async fn open(address: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let connected = tokio::time::timeout(within, TcpStream::connect(address)).await;
    let stream = connected
        .unwrap_or_else(|_elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out")))?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(KEEPALIVE))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(stream)
}
