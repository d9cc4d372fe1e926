//! [`Client`]: one session on one server; opens queries and prepared statements.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, FlightDescriptor, HandshakeRequest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use prost::Message;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::error::ClientError;
use crate::options::{ConnectOptions, Login, OptionsError};
use crate::prepared::PreparedStatement;
use crate::session::{Session, secret};
use crate::stream::QueryStream;

/// Largest message in either direction. Servers aim at 2 MiB, but one huge row cannot be split.
const MAX_MESSAGE_BYTES: usize = 256 << 20;
/// Receipts and error texts travel in trailers; the transport's own limit of 16 KiB is too small for many scans.
const MAX_HEADER_LIST_BYTES: u32 = 1 << 20;
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a closing client waits for the server to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One session on one server. Clones share connection and session.
#[derive(Clone)]
pub struct Client {
    flight: FlightServiceClient<Channel>,
    session: Arc<Session>,
    login: Option<Login>,
    /// Server address for error texts.
    to: Arc<str>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// Sets window and header sizes, time-outs and keep-alive as the client needs them. For callers of
/// [`Client::from_channel`], who make the channel themselves.
pub fn tune_endpoint(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
}

impl Client {
    /// Connects to `options.url` and, with a user and password, logs in.
    ///
    /// # Errors
    /// [`ClientError::Options`] before anything is sent, [`ClientError::Connect`] when the server cannot be reached,
    /// [`ClientError::Denied`] when it does not accept the password. A bad token is found by the first call.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        let url = options.url.clone().ok_or(OptionsError::Url {
            url: String::new(),
            reason: "no address was given",
        })?;
        let to = url.to_string();
        let session = Session::new(&options)?;
        let login = options.login()?;
        let mut endpoint = Endpoint::from_shared(url.endpoint_uri())
            .and_then(|endpoint| endpoint.user_agent(concat!("owlake-client/", env!("CARGO_PKG_VERSION"))))
            .map_err(|error| ClientError::connect(&to, error))?;
        if url.tls() {
            let tls = ClientTlsConfig::new();
            let tls = match &options.tls_ca_pem {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls.with_native_roots(),
            };
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|error| ClientError::connect(&to, error))?;
        }
        let channel = tune_endpoint(endpoint)
            .connect()
            .await
            .map_err(|error| ClientError::connect(&to, error))?;
        Self::open(channel, session, login, &to).await
    }

    /// Uses a channel that the caller made (an in-memory transport, a test). The URL of the options is not used; its
    /// user and password are.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn from_channel(channel: Channel, options: ConnectOptions) -> Result<Self, ClientError> {
        let to = options
            .url
            .as_ref()
            .map_or_else(|| "the embedded server".to_owned(), ToString::to_string);
        Self::open(channel, Session::new(&options)?, options.login()?, &to).await
    }

    async fn open(
        channel: Channel,
        session: Session,
        login: Option<Login>,
        to: &str,
    ) -> Result<Self, ClientError> {
        let flight = FlightServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let client = Self {
            flight,
            session: Arc::new(session),
            login,
            to: Arc::from(to),
        };
        if let Some(login) = &client.login {
            client.handshake(login).await?;
        }
        Ok(client)
    }

    /// Sends a statement and returns its rows as a stream. A statement without rows (DDL) has run when this returns;
    /// its stream is empty and already knows the receipt.
    ///
    /// Cancel safety: dropping the future or the stream cancels the query on the server.
    ///
    /// # Errors
    /// [`ClientError`]; its receipt says what a failed statement had read.
    pub async fn query(&self, sql: &str) -> Result<QueryStream, ClientError> {
        let command = CommandStatementQuery {
            query: sql.to_owned(),
            transaction_id: None,
        };
        self.execute(command.as_any()).await
    }

    /// Plans a statement once for several executions, with parameters if it has placeholders.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prepare(&self, sql: &str) -> Result<PreparedStatement, ClientError> {
        PreparedStatement::create(self.clone(), sql).await
    }

    /// The default database that calls ask for, if one was set.
    pub fn database(&self) -> Option<String> {
        self.session.get("database")
    }

    /// Sets or removes a setting (header) of the calls that follow, for all clones.
    ///
    /// # Errors
    /// [`ClientError::Options`] for a name or value that cannot be sent.
    pub fn set(&self, name: &str, value: Option<&str>) -> Result<(), ClientError> {
        self.session.set(name, value)
    }

    /// Ends the session on the server, if the server opened one. Best effort: a server that does not answer within two
    /// seconds forgets the session by itself.
    pub async fn close(self) {
        if self.session.is_opened() {
            // The body is an empty CloseSessionRequest.
            let close = self.action("CloseSession", Bytes::new());
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
        }
    }

    pub(crate) async fn execute(&self, command: Any) -> Result<QueryStream, ClientError> {
        let descriptor = FlightDescriptor::new_cmd(command.encode_to_vec());
        let response = self
            .call(descriptor, |mut flight, request| async move {
                flight.get_flight_info(request).await
            })
            .await?;
        QueryStream::new(self.clone(), response)
    }

    /// Runs an action and returns the body of its first result; empty if it has none.
    pub(crate) async fn action(&self, name: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let action = Action::new(name, body);
        let response = self
            .call(action, |mut flight, request| async move {
                flight.do_action(request).await
            })
            .await?;
        let results: Vec<_> = response
            .into_inner()
            .try_collect()
            .await
            .map_err(|status| self.status(status))?;
        Ok(results
            .into_iter()
            .next()
            .map(|result| result.body)
            .unwrap_or_default())
    }

    /// Makes one call of the session. A token that ran out is renewed once, where a password is known: the server
    /// refused before it did anything.
    pub(crate) async fn call<M, R, F>(
        &self,
        message: M,
        send: impl Fn(FlightServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<Response<R>, ClientError>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut may_renew = self.login.as_ref();
        loop {
            let mut request = Request::new(message.clone());
            self.session.apply(request.metadata_mut());
            match send(self.flight.clone(), request).await {
                Ok(response) => {
                    self.session.learn(response.metadata());
                    return Ok(response);
                }
                Err(status) => match may_renew.take() {
                    Some(login) if status.code() == Code::Unauthenticated => self.handshake(login).await?,
                    _ => return Err(self.status(status)),
                },
            }
        }
    }

    /// Basic handshake: the answer's `authorization` header is the token from then on.
    async fn handshake(&self, login: &Login) -> Result<(), ClientError> {
        self.session.forget_authorization();
        let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
        self.session.apply(request.metadata_mut());
        let pair = BASE64_STANDARD.encode(format!("{}:{}", login.user, login.password));
        let basic =
            AsciiMetadataValue::try_from(format!("Basic {pair}")).map_err(|_| OptionsError::HeaderValue {
                name: "password".to_owned(),
            })?;
        request.metadata_mut().insert("authorization", secret(basic));
        let response = self
            .flight
            .clone()
            .handshake(request)
            .await
            .map_err(|status| self.status(status))?;
        self.session.learn(response.metadata());
        let _: Vec<_> = response
            .into_inner()
            .try_collect()
            .await
            .map_err(|status| self.status(status))?;
        if !self.session.has_authorization() {
            return Err(ClientError::protocol("the handshake returned no token"));
        }
        Ok(())
    }

    pub(crate) fn status(&self, status: Status) -> ClientError {
        ClientError::from_status(&self.to, status)
    }

    pub(crate) fn flight_error(&self, error: arrow_flight::error::FlightError) -> ClientError {
        ClientError::from_flight(&self.to, error)
    }
}
