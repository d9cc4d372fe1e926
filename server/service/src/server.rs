//! The Flight SQL server around a lake: transport, limits, drain. Also the same service on an in-memory transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use futures::{Stream, StreamExt, stream};
use hyper_util::rt::TokioIo;
use owlake_client::{Client, ClientError, ConnectOptions, tune_endpoint};
use owlake_fault::{Code, Fault};
use owlake_proto::v1::usage_service_server::UsageServiceServer;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Endpoint, Server};

use crate::auth::Authenticator;
use crate::flight::connection::{Socket, Tracked};
use crate::flight::sessions::Sessions;
use crate::flight::sql_info::{SqlInfoFacts, sql_info};
use crate::flight::trailers::ReceiptTrailers;
use crate::flight::xdbc::xdbc_type_info;
use crate::flight::{FlightFront, FlightSql, PREPARED_IDLE, UsageFront};
use crate::lake::{Error, Lake};
use crate::tls::ServerTls;

/// Largest message a client may send (binds).
const MAX_REQUEST_BYTES: usize = 64 << 20;
/// Largest message sent; results are cut into far smaller ones.
const MAX_RESPONSE_BYTES: usize = 1 << 30;
/// Header list of a request; drivers send URL parameters as headers.
const MAX_HEADER_LIST_BYTES: u32 = 64 << 10;
/// Streams per connection.
const MAX_STREAMS: u32 = 256;
/// TLS handshakes at the same time; further connections wait in the listener's queue.
const MAX_HANDSHAKES: usize = 256;
/// A handshake that takes longer is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Buffer of the in-memory transport.
const DUPLEX_BYTES: usize = 1 << 20;

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new(Code::GenericInternalError, "internal error").with_source(error)
}

/// Flight SQL and the usage service of a lake behind one authenticator, with one set of sessions.
pub(crate) fn services(
    lake: &Lake,
    auth: Authenticator,
) -> Result<(FlightServiceServer<FlightFront>, UsageServiceServer<UsageFront>), Error> {
    let facts = SqlInfoFacts {
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        statement_timeout_ms: i32::try_from(PREPARED_IDLE.as_millis()).unwrap_or(i32::MAX),
        max_statement_bytes: 262_144,
        ..function_facts()
    };
    let info = sql_info(&facts).map_err(internal)?;
    let xdbc = xdbc_type_info().map_err(internal)?;
    let sessions = Sessions::new(auth);
    let idle = lake.ticket_idle();
    let service = FlightSql::new(lake.engine().clone(), sessions, info, xdbc, idle);
    let usage = UsageServiceServer::new(UsageFront(Arc::clone(&service)));
    let flight = FlightServiceServer::new(FlightFront(service))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_RESPONSE_BYTES);
    Ok((flight, usage))
}

/// Function names for SqlInfo, by what they return text or numbers about.
fn function_facts() -> SqlInfoFacts {
    let names = owlake_dialect::functions::function_set().names();
    let is_time = |n: &str| {
        [
            "date", "time", "day", "month", "year", "hour", "minute", "second", "week", "quarter",
        ]
        .iter()
        .any(|w| n.contains(w))
    };
    let is_text = |n: &str| {
        [
            "str", "char", "pad", "trim", "lower", "upper", "concat", "regexp", "url", "json", "split",
            "replace", "reverse", "length", "hex", "base64",
        ]
        .iter()
        .any(|w| n.contains(w))
    };
    let (datetime, rest): (Vec<_>, Vec<_>) = names.into_iter().partition(|n| is_time(n));
    let (string, numeric): (Vec<_>, Vec<_>) = rest.into_iter().partition(|n| is_text(n));
    SqlInfoFacts {
        datetime_functions: datetime,
        string_functions: string,
        numeric_functions: numeric,
        ..SqlInfoFacts::default()
    }
}

fn builder() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .http2_adaptive_window(Some(true))
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
}

/// Serves until `shutdown`, then lets running streams end.
///
/// # Errors
/// A broken listener.
pub(crate) async fn serve(
    lake: &Lake,
    listener: TcpListener,
    auth: Authenticator,
    tls: Option<Arc<ServerTls>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (flight, usage) = services(lake, auth)?;
    let connections = sockets(listener)
        .map(move |(socket, address)| secured(socket, address, tls.clone()))
        .buffer_unordered(MAX_HANDSHAKES)
        .filter_map(|connection| std::future::ready(connection.map(Ok::<_, std::io::Error>)));
    builder()
        .layer(ReceiptTrailers)
        .add_service(flight)
        .add_service(usage)
        .serve_with_incoming_shutdown(connections, shutdown)
        .await
        .map_err(|e| internal(e).into())
}

/// Every connection that arrives.
fn sockets(listener: TcpListener) -> impl Stream<Item = (TcpStream, SocketAddr)> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok(accepted) => return Some((accepted, listener)),
                Err(error) => {
                    // Out of descriptors, or a connection that was gone already: neither ends the server.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    })
}

/// A connection after its handshake, if it has one; none if that fails.
async fn secured(
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
) -> Option<Tracked<Box<dyn Socket>>> {
    // A socket without it still works.
    let _best_effort = socket.set_nodelay(true);
    let socket: Box<dyn Socket> = match tls {
        None => Box::new(socket),
        Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)).await {
            Ok(Ok(encrypted)) => Box::new(encrypted),
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "a TLS handshake failed");
                return None;
            }
            Err(_elapsed) => return None,
        },
    };
    Some(Tracked::new(socket, Some(address.ip())))
}

/// A client of this lake over an in-memory transport: the same wire as a remote one.
///
/// # Errors
/// As connecting to a server.
pub(crate) async fn embedded_client(lake: &Lake, options: ConnectOptions) -> Result<Client, ClientError> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| ClientError::Connect {
        to: "the embedded server".to_owned(),
        reason: error.to_string(),
        source: error,
    };
    let (flight, usage) = services(lake, Authenticator::anonymous()).map_err(|e| refused(Box::new(e)))?;
    let (client_io, server_io) = tokio::io::duplex(DUPLEX_BYTES);
    let serving = builder()
        .layer(ReceiptTrailers)
        .add_service(flight)
        .add_service(usage)
        .serve_with_incoming(stream::iter([Ok::<_, std::io::Error>(Tracked::new(
            server_io, None,
        ))]));
    lake.engine().runtimes().spawn_io(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the embedded server stopped");
        }
    });
    let mut client_io = Some(client_io);
    let connect = tower::service_fn(move |_uri: http::Uri| {
        let io: Option<DuplexStream> = client_io.take();
        async move {
            io.map(TokioIo::new)
                .ok_or_else(|| std::io::Error::other("the embedded server has stopped"))
        }
    });
    let endpoint = tune_endpoint(Endpoint::from_static("http://embedded"));
    let channel = endpoint
        .connect_with_connector(connect)
        .await
        .map_err(|e| refused(Box::new(e)))?;
    Client::from_channel(channel, options).await
}

/// Binds a listener; port 0 takes a free one.
///
/// # Errors
/// The address is taken or not ours.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Fault> {
    let fail = |e: std::io::Error| {
        Fault::new(Code::InvalidArguments, format!("cannot listen on {address}: {e}"))
            .with_hint("Choose another address with --listen or --http-listen; port 0 takes a free one.")
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}
