//! Connections of one catalog: made when wanted, kept in a pool with a limit, cancelled on the server when dropped
//! in the middle of a statement.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{PostgresConfig, TlsMode};
use super::error::PostgresError;
use super::tls;
use crate::secret::SecretSource;

/// Longest wait for a cancel request to arrive; it goes by a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is found within this and a few seconds.
const KEEPALIVE: Duration = Duration::from_secs(30);

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
    tls: Encryption,
    spawner: Spawner,
    /// Closes the socket when dropped.
    _open: oneshot::Sender<()>,
}

#[derive(Clone)]
enum Encryption {
    Rustls(MakeRustlsConnect),
    None,
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
            .host(&config.host)
            .port(config.port)
            .dbname(&config.database)
            .user(secret("user", &config.user)?)
            .application_name("owlake")
            .connect_timeout(config.limits.connect_timeout)
            .keepalives_idle(KEEPALIVE)
            .tcp_user_timeout(KEEPALIVE);
        if let Some(password) = &config.password {
            options.password(secret("password", password)?);
        }
        let (client, encryption, driver): (_, _, BoxFuture<'static, Result<(), tokio_postgres::Error>>) =
            match &config.tls {
                TlsMode::VerifyFull { authorities } => {
                    let tls = tls::connector(authorities.as_deref())?;
                    let connected = options.ssl_mode(SslMode::Require).connect(tls.clone()).await;
                    let (client, connection) = connected.map_err(PostgresError::connecting)?;
                    (client, Encryption::Rustls(tls), Box::pin(connection))
                }
                TlsMode::Disable => {
                    let connected = options.ssl_mode(SslMode::Disable).connect(NoTls).await;
                    let (client, connection) = connected.map_err(PostgresError::connecting)?;
                    (client, Encryption::None, Box::pin(connection))
                }
            };
        let (open, closed) = oneshot::channel::<()>();
        self.spawner.spawn(async move {
            tokio::select! {
                // Whoever waits for an answer gets the error; there is nobody else to tell.
                _ended = driver => {}
                _dropped = closed => {}
            }
        });
        Ok(Connection {
            client,
            tls: encryption,
            spawner: self.spawner.clone(),
            _open: open,
        })
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

impl Connection {
    pub(super) fn client(&self) -> &Client {
        &self.client
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
        let connection = self.connection.as_ref();
        connection
            .map(|connection| connection.client())
            .ok_or_else(|| PostgresError::Malformed("the connection was given back".to_owned()))
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
            let sent = send_cancel(&token, &connection.tls);
            if tokio::time::timeout(CANCEL_TIMEOUT, sent).await.is_err() {
                tracing::warn!("a cancel request did not reach the database in time");
            }
            // Only now: the socket stays open until the request has arrived, so that it hits this backend.
            drop(connection);
        });
    }
}

async fn send_cancel(token: &CancelToken, tls: &Encryption) {
    let sent = match tls {
        Encryption::Rustls(tls) => token.cancel_query(tls.clone()).await,
        Encryption::None => token.cancel_query(NoTls).await,
    };
    if let Err(error) = sent {
        tracing::warn!(%error, "a cancel request could not be sent to the database");
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
