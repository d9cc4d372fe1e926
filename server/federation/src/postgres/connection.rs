//! Connections of one catalog: made when wanted, kept in a pool with a limit, cancelled on the server when dropped
//! in the middle of a statement.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use futures::channel::mpsc;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{PostgresConfig, TlsMode};
use super::error::PostgresError;
use super::tap::{Chunk, Outlet, Tap, Tapped};
use super::{socket, tls};
use crate::secret::SecretSource;

/// Longest wait for a cancel request to arrive; it goes by a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// One system call takes up to this much of what is encrypted.
const READ: usize = 128 << 10;

/// Runs a future of this room to its end, detached: the engine's I/O threads.
#[derive(Clone)]
pub struct Spawner(Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>);

impl Spawner {
    /// By a function that spawns.
    pub fn new(spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(spawn))
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        (self.0)(Box::pin(work));
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spawner")
    }
}

/// Makes connections.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    config: Arc<PostgresConfig>,
    secrets: Arc<dyn SecretSource>,
    spawner: Spawner,
}

/// One connection, with the task that drives it.
pub(super) struct Connection {
    client: Client,
    outlet: Outlet,
    /// The way a cancel request goes.
    way: Way,
    spawner: Spawner,
    /// Closes the socket when dropped.
    _open: oneshot::Sender<()>,
}

/// To one address of the database.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    config: Arc<PostgresConfig>,
    tls: Option<MakeRustlsConnect>,
}

type Driver = BoxFuture<'static, Result<(), tokio_postgres::Error>>;

impl Way {
    async fn socket(&self) -> Result<TcpStream, PostgresError> {
        let within = self.config.limits.connect_timeout;
        let opened = socket::open(self.address, within).await;
        opened.map_err(PostgresError::Socket)
    }

    /// Logs in.
    async fn connect(
        &self,
        options: &tokio_postgres::Config,
        outlet: &Outlet,
    ) -> Result<(Client, Driver), PostgresError> {
        let (stream, outlet) = (self.socket().await?, outlet.clone());
        match self.tls::<BufReader<TcpStream>>()? {
            Some(tls) => {
                let stream = BufReader::with_capacity(READ, stream);
                let connected = options.connect_raw(stream, Tapped::new(tls, outlet)).await;
                let (client, driver) = connected.map_err(PostgresError::connecting)?;
                Ok((client, Box::pin(driver)))
            }
            None => {
                let connected = options.connect_raw(Tap::new(stream, outlet), NoTls).await;
                let (client, driver) = connected.map_err(PostgresError::connecting)?;
                Ok((client, Box::pin(driver)))
            }
        }
    }

    async fn cancel(&self, token: &CancelToken) -> Result<(), PostgresError> {
        let stream = self.socket().await?;
        let sent = match self.tls::<TcpStream>()? {
            Some(tls) => token.cancel_query_raw(stream, tls).await,
            None => token.cancel_query_raw(stream, NoTls).await,
        };
        sent.map_err(PostgresError::connecting)
    }

    /// What encrypts one stream, and whose certificate it expects.
    fn tls<S>(&self) -> Result<Option<<MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect>, PostgresError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(tls) = &self.tls else { return Ok(None) };
        let made = MakeTlsConnect::<S>::make_tls_connect(&mut tls.clone(), &self.config.host);
        made.map(Some)
            .map_err(|error| PostgresError::Tls(error.to_string()))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connector {
    async fn connect(&self) -> Result<Connection, PostgresError> {
        let config = &self.config;
        let secret = |name, text: &crate::SecretText| {
            text.expose(&*self.secrets)
                .map_err(|source| PostgresError::Secret { name, source })
        };
        let mut options = tokio_postgres::Config::new();
        options
            .dbname(&config.database)
            .user(secret("user", &config.user)?)
            .application_name("owlake");
        if let Some(password) = &config.password {
            options.password(secret("password", password)?);
        }
        let tls = match &config.tls {
            TlsMode::VerifyFull { authorities } => {
                options.ssl_mode(SslMode::Require);
                Some(tls::connector(authorities.as_deref())?)
            }
            TlsMode::Disable => {
                options.ssl_mode(SslMode::Disable);
                None
            }
        };
        let addresses = socket::addresses(&config.host, config.port).await;
        let mut refused = None;
        for address in addresses.map_err(PostgresError::Socket)? {
            let way = Way {
                address,
                config: Arc::clone(config),
                tls: tls.clone(),
            };
            let outlet = Outlet::default();
            match way.connect(&options, &outlet).await {
                Ok((client, driver)) => return Ok(self.driven(client, driver, way, outlet)),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(PostgresError::ConnectTimeout(config.limits.connect_timeout)))
    }

    fn driven(&self, client: Client, driver: Driver, way: Way, outlet: Outlet) -> Connection {
        let (open, closed) = oneshot::channel::<()>();
        self.spawner.spawn(async move {
            tokio::select! {
                // Whoever waits for an answer gets the error; there is nobody else to tell.
                _ended = driver => {}
                _dropped = closed => {}
            }
        });
        Connection {
            client,
            outlet,
            way,
            spawner: self.spawner.clone(),
            _open: open,
        }
    }
}

impl Manager for Connector {
    type Type = Connection;
    type Error = PostgresError;

    async fn create(&self) -> Result<Connection, PostgresError> {
        let limit = self.config.limits.connect_timeout;
        // Sockets belong to the threads that make them: whoever plans or computes only waits.
        let (done, made) = oneshot::channel();
        let connector = self.clone();
        self.spawner.spawn(async move {
            let made = match tokio::time::timeout(limit, connector.connect()).await {
                Ok(result) => result,
                Err(_elapsed) => Err(PostgresError::ConnectTimeout(limit)),
            };
            // Where nobody waits any more, the connection is closed again.
            let _unwanted = done.send(made);
        });
        made.await.unwrap_or(Err(PostgresError::ConnectTimeout(limit)))
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<PostgresError> {
        if connection.client.is_closed() {
            return Err(RecycleError::message("closed"));
        }
        Ok(())
    }
}

/// A connection out of the pool, inside a transaction. Unless it is given back in a clean state, what runs on it is
/// cancelled on the server and the connection closed.
pub(super) struct Lease {
    connection: Option<Object<Connector>>,
    /// The name under which others see what this transaction sees, as long as it lasts.
    snapshot: Option<Arc<str>>,
}

impl Lease {
    pub(super) fn client(&self) -> Result<&Client, PostgresError> {
        Ok(&self.connection()?.client)
    }

    fn connection(&self) -> Result<&Connection, PostgresError> {
        let given_back = || PostgresError::Malformed("the connection was given back".to_owned());
        self.connection.as_deref().ok_or_else(given_back)
    }

    /// Where the rows of the COPY that is sent next will come: [`Outlet::expect`].
    pub(super) fn expect_rows(&self) -> Result<mpsc::Receiver<Chunk>, PostgresError> {
        Ok(self.connection()?.outlet.expect())
    }

    /// The transaction has told its snapshot: the name is gone when the transaction is.
    pub(super) fn tells(&mut self, snapshot: Arc<str>) {
        self.snapshot = Some(snapshot);
    }

    /// Ends the transaction; the connection goes back to the pool.
    pub(super) async fn finish(mut self) -> Result<(), PostgresError> {
        let ended = self.client()?.batch_execute("ROLLBACK").await;
        ended.map_err(PostgresError::running)?;
        drop(self.connection.take());
        Ok(())
    }
}

impl Lease {
    /// The same as [`Lease::finish`] where nobody can wait. Should it fail, the connection is closed.
    pub(super) fn finish_detached(self) {
        let Some(spawner) = self
            .connection
            .as_ref()
            .map(|connection| connection.spawner.clone())
        else {
            return;
        };
        spawner.spawn(async move {
            let _ended = self.finish().await;
        });
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.connection.take() else {
            return;
        };
        let connection = Object::take(object);
        if connection.client.is_closed() {
            return;
        }
        let token = connection.client.cancel_token();
        connection.spawner.clone().spawn(async move {
            match tokio::time::timeout(CANCEL_TIMEOUT, connection.way.cancel(&token)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a cancel request could not be sent to the database");
                }
                Err(_elapsed) => tracing::warn!("a cancel request did not reach the database in time"),
            }
            // Only now: the socket stays open until the request has arrived, so that it hits this backend.
            drop(connection);
        });
    }
}

/// The pool of one catalog.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: Pool<Connector>,
    config: Arc<PostgresConfig>,
}

impl Connections {
    /// An empty pool; nothing connects yet.
    pub(super) fn new(
        config: Arc<PostgresConfig>,
        secrets: Arc<dyn SecretSource>,
        spawner: Spawner,
    ) -> Result<Self, PostgresError> {
        let limits = &config.limits;
        let connector = Connector {
            config: Arc::clone(&config),
            secrets,
            spawner,
        };
        let pool = Pool::builder(connector)
            .max_size(limits.connections)
            .timeouts(Timeouts {
                wait: Some(limits.connect_timeout),
                // The connector keeps its own time.
                create: None,
                recycle: None,
            })
            .runtime(deadpool::Runtime::Tokio1)
            .build();
        let pool = pool.map_err(|error| PostgresError::Tls(error.to_string()))?;
        Ok(Self { pool, config })
    }

    /// A connection on which `opening` (BEGIN and settings) has been run. One that turns out to have been closed
    /// while it lay in the pool is replaced: nothing has run on it.
    ///
    /// Cancel safe.
    pub(super) async fn lease(&self, opening: &str) -> Result<Lease, PostgresError> {
        loop {
            let object = self.pool.get().await.map_err(|error| self.refused(error))?;
            let used = Object::metrics(&object).recycle_count > 0;
            let lease = Lease {
                connection: Some(object),
                snapshot: None,
            };
            match lease.client()?.batch_execute(opening).await {
                Ok(()) => return Ok(lease),
                Err(error) => {
                    let error = PostgresError::running(error);
                    if !(used && error.is_broken_connection()) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The same where a connection is free, or may be made, at once, and half of the pool after it; else nothing, and
    /// nobody waits.
    ///
    /// Cancel safe.
    pub(super) async fn spare(&self, opening: &str) -> Option<Lease> {
        let status = self.pool.status();
        let used = status.size.saturating_sub(status.available);
        if (used + 1) * 2 > status.max_size.max(2) {
            return None;
        }
        let timeouts = Timeouts {
            wait: Some(Duration::ZERO),
            ..self.pool.timeouts()
        };
        let lease = Lease {
            connection: Some(self.pool.timeout_get(&timeouts).await.ok()?),
            snapshot: None,
        };
        let opened = lease.client().ok()?.batch_execute(opening).await;
        opened.is_ok().then_some(lease)
    }

    fn refused(&self, error: PoolError<PostgresError>) -> PostgresError {
        match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => PostgresError::PoolExhausted {
                connections: self.config.limits.connections,
                waited: self.config.limits.connect_timeout,
            },
        }
    }

    /// Connections that are open now, and those of them that nobody uses.
    pub(super) fn open(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.available)
    }
}
