//! One catalog over one database: names, descriptions and statistics kept for a while, scans, connections.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use moka::future::Cache;
use owlake_fault::{Code, Fault};

use super::catalog::{self, RemoteTable};
use super::config::PostgresConfig;
use super::connection::{Connections, Lease, Spawner};
use super::error::PostgresError;
use super::passthrough;
use super::scan::{self, RemoteRows, RowsObserver, ScanError, ScanRequest};
use super::snapshot::Snapshot;
use crate::secret::SecretSource;

/// Descriptions that are kept; a catalog of more tables forgets the least used.
const MAX_TABLES: u64 = 10_000;
/// Lists of names that are kept.
const MAX_LISTS: u64 = 1_000;
/// Longest catalog query.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the database's estimate of a statement; the query does without it then.
const ESTIMATE_TIMEOUT: Duration = Duration::from_secs(2);
/// Below this many rows a table is small whatever the condition.
const WORTH_AN_ESTIMATE: u64 = 1_000;

type Relations = Arc<Vec<Arc<RemoteTable>>>;

/// A database under a catalog's name.
#[derive(Debug)]
pub struct Database {
    name: String,
    config: Arc<PostgresConfig>,
    connections: Connections,
    schemas: Cache<(), Arc<Vec<String>>>,
    relations: Cache<String, Relations>,
    tables: Cache<(String, String), Arc<RemoteTable>>,
}

impl Database {
    /// Under the name `catalog`. Nothing connects yet: a database that is down is noticed when it is asked.
    ///
    /// # Errors
    /// When the pool cannot be set up.
    pub fn new(
        catalog: &str,
        config: PostgresConfig,
        secrets: Arc<dyn SecretSource>,
        spawner: Spawner,
    ) -> Result<Self, Fault> {
        let config = Arc::new(config);
        let ttl = config.metadata_ttl;
        let connections = Connections::new(Arc::clone(&config), secrets, spawner);
        Ok(Self {
            name: catalog.to_owned(),
            connections: connections.map_err(|error| error.into_fault(catalog))?,
            config,
            schemas: Cache::builder().max_capacity(1).time_to_live(ttl).build(),
            relations: Cache::builder().max_capacity(MAX_LISTS).time_to_live(ttl).build(),
            tables: Cache::builder()
                .max_capacity(MAX_TABLES)
                .time_to_live(ttl)
                .build(),
        })
    }

    /// The catalog's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is configured.
    pub fn config(&self) -> &PostgresConfig {
        &self.config
    }

    /// Connections that are open, and those of them that are idle.
    pub fn connections(&self) -> (usize, usize) {
        self.connections.open()
    }

    /// Schemas, as the database writes them.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn schemas(&self) -> Result<Arc<Vec<String>>, Fault> {
        let load = async {
            let lease = self.ask().await?;
            let found = catalog::schemas(lease.client()?, &self.config).await;
            self.answered(lease, found).await.map(Arc::new)
        };
        self.cached(self.schemas.try_get_with((), self.faulty(load)).await)
    }

    /// Tables and views of a schema, sorted by their names in the database; nothing where there is no such schema.
    ///
    /// # Errors
    /// The database cannot be asked, or two schemas differ only by case.
    pub async fn relations(&self, schema: &str) -> Result<Relations, Fault> {
        let Some(schema) = self.schema(schema).await? else {
            return Ok(Arc::default());
        };
        let load = async {
            let lease = self.ask().await?;
            let found = catalog::relations(lease.client()?, &self.config, &schema, None).await;
            self.answered(lease, found).await.map(Arc::new)
        };
        self.cached(
            self.relations
                .try_get_with(schema.clone(), self.faulty(load))
                .await,
        )
    }

    /// A table or view, by names in any case; `None` where there is none.
    ///
    /// # Errors
    /// The database cannot be asked, or several names differ only by case and none is lower case.
    pub async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<RemoteTable>>, Fault> {
        let Some(schema) = self.schema(schema).await? else {
            return Ok(None);
        };
        if let Some(found) = self.described(&schema, table).await? {
            return Ok(Some(found));
        }
        let relations = self.relations(&schema).await?;
        match self.unique("table", table, relations.iter().map(|table| &table.name))? {
            Some(name) => self.described(&schema, name).await,
            None => Ok(None),
        }
    }

    /// What a statement in the database's own SQL gives.
    ///
    /// # Errors
    /// The catalog does not allow it, or the database refuses it.
    pub async fn query(&self, statement: &str) -> Result<Arc<RemoteTable>, Fault> {
        let load = async {
            if !self.config.passthrough {
                return Err(PostgresError::NoPassthrough);
            }
            let lease = self.ask().await?;
            let found = passthrough::describe(lease.client()?, statement, self.config.numeric).await;
            self.answered(lease, found).await.map(Arc::new)
        };
        self.faulty(load).await
    }

    /// Forgets what is known of names, columns and statistics.
    pub fn refresh(&self) {
        self.schemas.invalidate_all();
        self.relations.invalidate_all();
        self.tables.invalidate_all();
    }

    /// Starts a scan.
    ///
    /// # Errors
    /// The database cannot be asked or refuses; a table that has changed is described anew next time.
    pub async fn scan(
        &self,
        request: &ScanRequest,
        observer: Arc<dyn RowsObserver>,
    ) -> Result<RemoteRows, Fault> {
        let snapshot = Arc::default();
        let lease = self.lease(&snapshot, request.timeout, true).await?;
        let lease = lease
            .ok_or_else(|| PostgresError::Malformed("no connection".to_owned()).into_fault(&self.name))?;
        self.scan_in(lease, request, observer, snapshot).await
    }

    /// A connection that sees what the others of `snapshot` see. Nothing where none is free and the caller does not
    /// wait.
    pub(super) async fn lease(
        &self,
        snapshot: &Snapshot,
        timeout: Option<Duration>,
        waits: bool,
    ) -> Result<Option<Lease>, Fault> {
        let own = self.config.limits.statement_timeout;
        let timeout = own.into_iter().chain(timeout).min();
        let opening = |snapshot: Option<&str>| scan::opening(timeout, snapshot);
        let lease = Box::pin(snapshot.lease(&self.connections, opening, waits)).await;
        lease.map_err(|error| error.into_fault(&self.name))
    }

    /// Gives a connection back on which nothing was sent.
    pub(super) async fn unused(&self, snapshot: &Snapshot, lease: Lease) -> Result<(), Fault> {
        let ended = snapshot.give_back(lease).await;
        ended.map_err(|error| error.into_fault(&self.name))
    }

    /// Starts a scan on a connection of `snapshot`.
    pub(super) async fn scan_in(
        &self,
        lease: Lease,
        request: &ScanRequest,
        observer: Arc<dyn RowsObserver>,
        snapshot: Arc<Snapshot>,
    ) -> Result<RemoteRows, Fault> {
        match Box::pin(scan::start(lease, request, observer, snapshot)).await {
            Ok(rows) => Ok(rows),
            Err(error) => {
                if matches!(error, PostgresError::Changed(_)) {
                    for table in request.table.tables() {
                        let key = (table.schema_name.clone(), table.name.clone());
                        self.tables.invalidate(&key).await;
                    }
                }
                Err(error.into_fault(&self.name))
            }
        }
    }

    /// How many rows the database expects of a scan. Where a condition is on a table that is not small, and where it
    /// joins, its planner is asked, if a connection is free; a join keeps the smaller side in memory by that.
    pub(super) async fn expected_rows(&self, request: &ScanRequest) -> Option<u64> {
        let all = request.table.estimated_rows;
        let joined = (request.table.query.as_ref()).is_some_and(|query| query.reads.len() > 1);
        let narrowed = request.filter.is_some() || request.table.is_statement() || joined;
        let asked = narrowed && all.is_none_or(|rows| rows > WORTH_AN_ESTIMATE);
        let rows = match asked {
            true => self.explained_rows(request).await.or(all),
            false => all,
        };
        rows.map(|rows| rows.min(request.limit.unwrap_or(u64::MAX)))
    }

    async fn explained_rows(&self, request: &ScanRequest) -> Option<u64> {
        let sql = format!("EXPLAIN {}", request.sql().ok()?);
        let ask = async {
            let lease = Box::pin(
                self.connections
                    .spare(&scan::opening(Some(ESTIMATE_TIMEOUT), None)),
            )
            .await?;
            let client = lease.client().ok()?;
            if request.table.is_statement() {
                client.batch_execute(passthrough::SEARCH_PATH).await.ok()?;
            }
            let answer = client.query(&sql, &[]).await;
            let rows = answer.ok().as_deref().and_then(scan::explained_rows);
            lease.finish().await.ok()?;
            rows
        };
        tokio::time::timeout(ESTIMATE_TIMEOUT, ask).await.ok()?
    }

    /// The next batch of a scan; `None` after the last. Dropped before it has returned, rows are lost: drop all of
    /// them then.
    ///
    /// # Errors
    /// The connection broke, the server failed, a value has no place in its type, or the observer ended it.
    pub async fn next(&self, rows: &mut RemoteRows) -> Result<Option<RecordBatch>, Fault> {
        rows.next().await.map_err(|error| match error {
            ScanError::Remote(error) => error.into_fault(&self.name),
            ScanError::Stopped(fault) => fault,
        })
    }

    async fn ask(&self) -> Result<Lease, PostgresError> {
        Box::pin(
            self.connections
                .lease(&scan::opening(Some(CATALOG_TIMEOUT), None)),
        )
        .await
    }

    /// Gives the connection back, also after an error that the server itself reported.
    async fn answered<T>(&self, lease: Lease, found: Result<T, PostgresError>) -> Result<T, PostgresError> {
        if matches!(
            found,
            Ok(_) | Err(PostgresError::Server(_) | PostgresError::NoRows)
        ) {
            let ended = lease.finish().await;
            return found.and_then(|found| ended.map(|()| found));
        }
        found
    }

    async fn faulty<T>(&self, work: impl Future<Output = Result<T, PostgresError>>) -> Result<T, Fault> {
        // On the heap: the cache around it copies what it is given, more than once.
        Box::pin(work).await.map_err(|error| error.into_fault(&self.name))
    }

    fn cached<T>(&self, result: Result<T, Arc<Fault>>) -> Result<T, Fault> {
        result.map_err(|fault| Fault::clone(&fault))
    }

    async fn described(&self, schema: &str, table: &str) -> Result<Option<Arc<RemoteTable>>, Fault> {
        let missing = || Fault::new(Code::TableNotFound, "");
        let load = async {
            let lease = self.ask().await?;
            let found = catalog::relations(lease.client()?, &self.config, schema, Some(table)).await;
            Ok(self.answered(lease, found).await?.pop())
        };
        // Only what exists is kept.
        let load = async { self.faulty(load).await?.ok_or_else(missing) };
        let key = (schema.to_owned(), table.to_owned());
        match self.tables.try_get_with(key, load).await {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.what().is_empty() => Ok(None),
            Err(fault) => Err(Fault::clone(&fault)),
        }
    }

    /// The schema of a name in any case.
    pub(super) async fn schema(&self, name: &str) -> Result<Option<String>, Fault> {
        let schemas = self.schemas().await?;
        Ok(self.unique("schema", name, schemas.iter())?.cloned())
    }

    /// The name that is meant: written the same, else the only one that differs by case alone.
    fn unique<'a>(
        &self,
        kind: &'static str,
        name: &str,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<Option<&'a String>, Fault> {
        let folded = name.to_lowercase();
        let mut found: Vec<&String> = names.filter(|known| known.to_lowercase() == folded).collect();
        if let Some(exact) = found.iter().find(|known| known.as_str() == name) {
            return Ok(Some(*exact));
        }
        match found.pop() {
            Some(last) if !found.is_empty() => {
                found.push(last);
                let error = PostgresError::Ambiguous {
                    kind,
                    name: name.to_owned(),
                    found: found.into_iter().cloned().collect(),
                };
                Err(error.into_fault(&self.name))
            }
            found => Ok(found),
        }
    }
}
