//! One remote statement and its rows: a read-only transaction, a check that the columns are what they were, a
//! binary COPY. Dropped before its end, it is cancelled on the server.

use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use futures::channel::mpsc;
use owlake_fault::Fault;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, CopyOutStream, Statement};

use super::catalog::{RemoteColumn, RemoteTable};
use super::connection::Lease;
use super::copy::Decoder;
use super::error::PostgresError;
use super::mapping::ANY_MODIFIER;
use super::passthrough;
use super::snapshot::Snapshot;
use super::tap::Chunk;

/// What is wanted of one table.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// Which table.
    pub table: Arc<RemoteTable>,
    /// Columns by position in the table's schema, in the wanted order; none for the number of rows alone.
    pub projection: Vec<usize>,
    /// A condition in PostgreSQL's SQL over the table's columns, made by this room.
    pub filter: Option<String>,
    /// The most rows.
    pub limit: Option<u64>,
    /// Time left of the query.
    pub timeout: Option<Duration>,
}

impl ScanRequest {
    /// Schema of the rows.
    ///
    /// # Errors
    /// A position that is no column.
    pub fn schema(&self) -> Result<SchemaRef, PostgresError> {
        Ok(Arc::new(Schema::new(
            self.table.schema().project(&self.projection)?.fields().clone(),
        )))
    }

    /// Narrows it by a condition more.
    pub(super) fn and(&mut self, condition: &str) {
        self.filter = Some(match &self.filter {
            Some(filter) => format!("{filter} AND {condition}"),
            None => condition.to_owned(),
        });
    }

    fn columns(&self) -> impl Iterator<Item = &RemoteColumn> {
        self.projection
            .iter()
            .filter_map(|at| self.table.columns.get(*at))
    }

    /// The statement that is sent.
    ///
    /// # Errors
    /// A name that the protocol cannot carry.
    pub fn sql(&self) -> Result<String, PostgresError> {
        if let (Some(query), None, None) = (&self.table.query, &self.filter, self.limit)
            && self.projection.iter().copied().eq(0..self.table.columns.len())
        {
            return Ok(query.sql.clone());
        }
        let columns = self
            .columns()
            .map(RemoteColumn::selected)
            .collect::<Result<Vec<_>, _>>()?;
        let mut sql = format!("SELECT {} FROM {}", columns.join(", "), self.table.quoted()?);
        if let Some(filter) = &self.filter {
            let _infallible = write!(sql, " WHERE {filter}");
        }
        if let Some(limit) = self.limit {
            let _infallible = write!(sql, " LIMIT {limit}");
        }
        Ok(sql)
    }
}

/// Who is told what arrives, while it does.
#[async_trait]
pub trait RowsObserver: Send + Sync {
    /// Payload bytes of messages that arrived together. Nothing more is taken before this returns.
    ///
    /// # Errors
    /// A fault ends the statement: a cap is reached.
    async fn received(&self, bytes: u64) -> Result<(), Fault>;

    /// Rows of one batch.
    fn rows(&self, rows: u64);
}

/// A COPY that runs: its rows, and how it ends.
struct Transfer {
    rows: mpsc::Receiver<Chunk>,
    end: Pin<Box<CopyOutStream>>,
}

/// The rows of a running statement.
pub struct RemoteRows {
    source: String,
    decoder: Decoder,
    observer: Arc<dyn RowsObserver>,
    snapshot: Arc<Snapshot>,
    received: u64,
    open: Option<(Transfer, Lease)>,
}

impl fmt::Debug for RemoteRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRows")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Why the rows ended.
pub(super) enum ScanError {
    /// The database or its data.
    Remote(PostgresError),
    /// The observer said so.
    Stopped(Fault),
}

impl From<PostgresError> for ScanError {
    fn from(error: PostgresError) -> Self {
        Self::Remote(error)
    }
}

/// Settings that decide how values are written as text, and where names are looked for.
const SETTINGS: &str = "SET LOCAL search_path = pg_catalog; SET LOCAL TimeZone = 'UTC'; \
    SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL extra_float_digits = 1";

/// `Seq Scan on t  (cost=0.00..17.50 rows=1000 width=36)`: the rows of the first line are those of the statement.
pub(super) fn explained_rows(lines: &[tokio_postgres::Row]) -> Option<u64> {
    let line: &str = lines.first()?.try_get(0).ok()?;
    let (_, rows) = line.split_once(" rows=")?;
    rows.split(' ').next()?.parse().ok()
}

/// What every transaction begins with. One snapshot, no writes, whatever the role may do.
pub(super) fn opening(timeout: Option<Duration>, snapshot: Option<&str>) -> String {
    let mut sql = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; ".to_owned();
    if let Some(id) = snapshot {
        // The server's own word, of digits, letters and hyphens; before everything else.
        let id = id.replace('\'', "");
        let _infallible = write!(sql, "SET TRANSACTION SNAPSHOT '{id}'; ");
    }
    sql.push_str(SETTINGS);
    if let Some(timeout) = timeout {
        let ms = timeout.as_millis().clamp(1, i32::MAX as u128);
        let _infallible = write!(sql, "; SET LOCAL statement_timeout = {ms}");
    }
    sql
}

/// Sends the statement on a connection of `snapshot`.
pub(super) async fn start(
    lease: Lease,
    request: &ScanRequest,
    observer: Arc<dyn RowsObserver>,
    snapshot: Arc<Snapshot>,
) -> Result<RemoteRows, PostgresError> {
    let (sql, schema) = (request.sql()?, request.schema()?);
    snapshot.begins();
    match copy(&lease, request, &sql).await {
        Ok(transfer) => {
            let decodes: Vec<_> = request
                .columns()
                .map(|column| column.mapping.decode.clone())
                .collect();
            Ok(RemoteRows {
                decoder: Decoder::new(schema, &decodes),
                source: sql,
                observer,
                snapshot,
                received: 0,
                open: Some((transfer, lease)),
            })
        }
        Err(error) => Err(refused(error, lease, request).await),
    }
}

async fn copy(lease: &Lease, request: &ScanRequest, sql: &str) -> Result<Transfer, PostgresError> {
    let client = lease.client()?;
    if request.table.is_statement() {
        let path = client.batch_execute(passthrough::SEARCH_PATH).await;
        path.map_err(PostgresError::running)?;
    }
    // What is computed from a column means what it should only for the type it was made for.
    let reads = request.table.query.iter().flat_map(|query| &query.reads);
    let reads = reads.map(|(table, columns)| async move {
        let whole = ScanRequest {
            table: Arc::clone(table),
            projection: columns.clone(),
            filter: None,
            limit: None,
            timeout: None,
        };
        prepare(client, &whole, &whole.sql()?).await
    });
    let copying = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
    let copying = async { client.prepare(&copying).await.map_err(PostgresError::running) };
    // Parsing locks the tables against changes until the transaction ends, so what is checked here is what is sent. All
    // of it goes together, and is answered in this order.
    let (_, _, copying) = futures::try_join!(
        prepare(client, request, sql),
        futures::future::try_join_all(reads),
        copying
    )?;
    let rows = lease.expect_rows()?;
    let end = client.copy_out(&copying).await.map_err(PostgresError::running)?;
    let end = Box::pin(end);
    Ok(Transfer { rows, end })
}

async fn prepare(client: &Client, request: &ScanRequest, sql: &str) -> Result<(), PostgresError> {
    let statement = client.prepare(sql).await.map_err(PostgresError::running)?;
    check(&statement, request)
}

/// The columns must be what they were when the table was described: bytes of another type could pass for them.
fn check(statement: &Statement, request: &ScanRequest) -> Result<(), PostgresError> {
    let announced = statement.columns().iter();
    let same = statement.columns().len() == request.columns().count()
        && announced.zip(request.columns()).all(|(now, column)| {
            let modifier = column.mapping.wire_modifier;
            now.type_().oid() == column.mapping.wire
                && (modifier == ANY_MODIFIER || now.type_modifier() == modifier)
        });
    if same { Ok(()) } else { Err(changed(request)) }
}

fn changed(request: &ScanRequest) -> PostgresError {
    let tables = request.table.tables();
    let names = tables
        .iter()
        .map(|table| format!("{}.{}", table.schema_name, table.name));
    PostgresError::Changed(names.collect::<Vec<_>>().join(" or "))
}

/// The error as it is told; a connection on which the server itself said no is as good as before.
async fn refused(error: PostgresError, lease: Lease, request: &ScanRequest) -> PostgresError {
    let PostgresError::Server(cause) = error else {
        return error;
    };
    let gone = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
    ];
    let changed = cause
        .code()
        .is_some_and(|code| gone.contains(code))
        .then(|| changed(request));
    // Should it fail, the connection is closed; the first error is the one to tell.
    let _ended = lease.finish().await;
    changed.unwrap_or(PostgresError::Server(cause))
}

impl RemoteRows {
    /// Payload bytes so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The statement that was sent.
    pub fn sql(&self) -> &str {
        &self.source
    }

    /// The next batch; `None` after the last. Dropped before it has returned, rows are lost: drop all of them then.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, ScanError> {
        loop {
            if let Some(batch) = self.decoder.next_batch() {
                self.observer.rows(batch.num_rows() as u64);
                return Ok(Some(batch));
            }
            let Some((transfer, _)) = &mut self.open else {
                return Ok(None);
            };
            if let Some(chunk) = transfer.rows.next().await {
                self.take(&chunk).await?;
                continue;
            }
            match transfer.end.next().await {
                Some(Err(error)) => return Err(self.failed(error).await),
                Some(Ok(_row)) => {
                    return Err(PostgresError::Malformed("rows that were not expected".to_owned()).into());
                }
                None => {
                    if let Some((transfer, lease)) = self.open.take() {
                        drop(transfer);
                        self.snapshot.give_back(lease).await?;
                    }
                    let last = self.decoder.finish()?;
                    self.observer
                        .rows(last.as_ref().map_or(0, |batch| batch.num_rows() as u64));
                    return Ok(last);
                }
            }
        }
    }

    /// Counts and decodes what arrived.
    async fn take(&mut self, chunk: &Chunk) -> Result<(), ScanError> {
        let bytes = chunk.payload();
        self.received += bytes;
        self.observer.received(bytes).await.map_err(ScanError::Stopped)?;
        Ok(self.decoder.messages(chunk.bytes())?)
    }

    async fn failed(&mut self, error: tokio_postgres::Error) -> ScanError {
        let error = PostgresError::running(error);
        if let (PostgresError::Server(_), Some((transfer, lease))) = (&error, self.open.take()) {
            drop(transfer);
            // The server itself said no: its connection is as good as before. Should that fail, it is closed.
            let _ended = lease.finish().await;
        }
        error.into()
    }
}
