//! The ledger: one row per query in `ledger.db`, what `system.queries` shows. SQLite on one named thread.
//!
//! Rows are written at submission and once more at the end; the SQL is in one file per table.

#[cfg(test)]
mod history_tests;
mod prune;
mod record;
mod requests;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod usage;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::error::MeteringError;
use crate::quota::{self, StoredLimits};
use crate::receipt::{RemoteQuery, TableScan};

pub use record::{
    LedgerFilter, LedgerPage, LedgerPosition, QueryPart, QueryRecord, RequestRecord, UsageRecord,
};
use writer::{Command, Reply};

/// How the ledger keeps its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerOptions {
    /// Age at which finished queries are dropped.
    pub retention: Duration,
    /// Age at which the requests of `system.object_requests` are dropped.
    pub object_requests_retention: Duration,
}

impl Default for LedgerOptions {
    /// 45 days of queries, 7 days of requests.
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(45 * 86_400),
            object_requests_retention: Duration::from_secs(7 * 86_400),
        }
    }
}

/// Handle to the ledger thread. Dropping it writes what was handed over, then ends the thread (this blocks
/// for the last commit).
///
/// What is older than the retention is dropped by the ledger thread in small steps between other work, by the
/// time of the newest query: a server without queries drops nothing.
///
/// Calls of many queries share transactions: each is answered after its commit. A killed process loses no
/// committed row; a power cut may lose the last ones. The queue to the thread is bounded by the number of
/// queries that run, since each has at most one write under way.
///
/// All async methods are cancel safe: a dropped write is done or not done as a whole.
#[derive(Debug)]
pub struct Ledger {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    options: LedgerOptions,
    limits: StoredLimits,
}

impl Ledger {
    /// Opens or creates the ledger file (readable by its owner only) with default options.
    ///
    /// Rows that a killed server left QUEUED or RUNNING become FAILED `server stopped`. Refuses a file of a
    /// newer release. Blocks on the disk; one process at a time (the data directory's lock sees to that).
    pub fn open(path: &Path) -> Result<Self, MeteringError> {
        Self::open_with(path, LedgerOptions::default())
    }

    /// [`open`](Self::open) with options.
    pub fn open_with(path: &Path, options: LedgerOptions) -> Result<Self, MeteringError> {
        create_private(path)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Self::start(connection, options)
    }

    /// A ledger that lives as long as this handle, for the embedded library and tests.
    pub fn in_memory() -> Result<Self, MeteringError> {
        Self::start(Connection::open_in_memory()?, LedgerOptions::default())
    }

    fn start(mut connection: Connection, options: LedgerOptions) -> Result<Self, MeteringError> {
        schema::migrate(&mut connection)?;
        rows::fail_unfinished(&connection, wall_clock())?;
        let limits = quota::load(&connection)?;
        let statements = rows::Statements::new()?;
        let (commands, queue) = mpsc::channel();
        let pruner = prune::Pruner::new(options.clone());
        let thread = std::thread::Builder::new()
            .name("owlake-ledger".to_owned())
            .spawn(move || writer::run(connection, &statements, &queue, pruner))
            .map_err(|e| MeteringError::Io {
                action: "start the ledger thread",
                source: Arc::new(e),
            })?;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
            options,
            limits,
        })
    }

    /// Limits as the file had them when it was opened.
    pub(crate) fn limits(&self) -> &StoredLimits {
        &self.limits
    }

    /// Inserts a query that starts. When this returns, a kill of the process leaves the row.
    ///
    /// `DuplicateQuery` where the id is known.
    pub async fn submit(&self, record: &QueryRecord) -> Result<(), MeteringError> {
        self.ask(|reply| Command::Submit(Box::new(record.clone()), reply))
            .await
    }

    /// Writes the end of a query. The first end wins: returns false, and changes nothing, where the query
    /// had ended. A query that was never submitted is inserted.
    ///
    /// `NotTerminal` where `record.receipt.state` is not an end.
    pub async fn finish(&self, record: &QueryRecord) -> Result<bool, MeteringError> {
        self.ask(|reply| Command::Finish(Box::new(record.clone()), Some(reply)))
            .await
    }

    /// [`finish`](Self::finish) for `Drop`: hands the record over and returns at once; failures go to the log.
    pub fn finish_detached(&self, record: QueryRecord) {
        let query_id = record.receipt.query_id.clone();
        if self.send(Command::Finish(Box::new(record), None)).is_err() {
            tracing::error!(
                query_id,
                "the ledger is closed; the end of a query was not recorded"
            );
        }
    }

    /// Recorded queries that pass `filter`, newest first. Sees every write that was answered before.
    pub async fn queries(&self, filter: LedgerFilter) -> Result<Vec<QueryRecord>, MeteringError> {
        self.ask(|reply| Command::Queries(Box::new(filter), reply)).await
    }

    /// One query, or `None`.
    pub async fn query(&self, query_id: &str) -> Result<Option<QueryRecord>, MeteringError> {
        self.ask(|reply| Command::Query(query_id.to_owned(), reply)).await
    }

    /// Drops finished queries that were submitted longer before `now` than the retention; returns how many.
    ///
    /// Works in small steps, so that running queries do not wait for it.
    pub async fn prune(&self, now: DateTime<Utc>) -> Result<u64, MeteringError> {
        let Some(before) = prune::before(now, self.options.retention) else {
            return Ok(0);
        };
        let mut pruned = 0;
        loop {
            let step = self.ask(|reply| Command::Prune(before, reply)).await?;
            pruned += step;
            if step < prune::PRUNE_STEP {
                return Ok(pruned);
            }
        }
    }

    /// Scans of the queries that pass `filter`, newest query first; its limit is a number of queries.
    pub async fn scans(
        &self,
        filter: LedgerFilter,
    ) -> Result<LedgerPage<QueryPart<TableScan>>, MeteringError> {
        self.parts("scans", filter).await
    }

    /// The same for statements that other databases answered.
    pub async fn remote_queries(
        &self,
        filter: LedgerFilter,
    ) -> Result<LedgerPage<QueryPart<RemoteQuery>>, MeteringError> {
        self.parts("remote_queries", filter).await
    }

    async fn parts<T: DeserializeOwned + Send + 'static>(
        &self,
        column: &'static str,
        filter: LedgerFilter,
    ) -> Result<LedgerPage<QueryPart<T>>, MeteringError> {
        self.call(false, move |connection| {
            rows::select_parts(connection, column, filter)
        })
        .await
    }

    /// Logged requests of the newest query that passes `filter` and has some: one query a page.
    ///
    /// The filter's `state`, `workgroup` and `limit` do not count here.
    pub async fn object_requests(
        &self,
        filter: LedgerFilter,
    ) -> Result<LedgerPage<RequestRecord>, MeteringError> {
        self.call(false, move |connection| requests::select(connection, &filter))
            .await
    }

    /// Sums by workgroup, principal and day; of one principal, or of all.
    pub async fn usage(&self, principal: Option<String>) -> Result<Vec<UsageRecord>, MeteringError> {
        self.call(false, move |connection| {
            usage::select(connection, principal.as_deref())
        })
        .await
    }

    /// Runs `job` on the ledger thread, in a transaction with what else waits there. When this returns, what it
    /// wrote outlives the process, and where `durable` a power cut too.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        durable: bool,
        job: impl FnOnce(&Connection) -> Result<T, MeteringError> + Send + 'static,
    ) -> Result<T, MeteringError> {
        self.call_then(durable, job, |_| {}).await
    }

    /// [`call`](Self::call), and `then` on the ledger thread once what the job wrote is committed: also where the
    /// caller has gone, so that nothing which goes by the file is left out.
    pub(crate) async fn call_then<T: Send + 'static>(
        &self,
        durable: bool,
        job: impl FnOnce(&Connection) -> Result<T, MeteringError> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, MeteringError> {
        self.ask(|reply| {
            let job: writer::Job =
                Box::new(move |connection| writer::answer_then(reply, connection.and_then(job), then));
            Command::Call(writer::Call { durable, job })
        })
        .await
    }

    /// [`call`](Self::call) without an answer, for `Drop`; failures go to the log.
    pub(crate) fn call_detached(
        &self,
        job: impl FnOnce(&Connection) -> Result<(), MeteringError> + Send + 'static,
    ) {
        let job: writer::Job = Box::new(move |connection| writer::log_only(connection.and_then(job)));
        let durable = false;
        if self.send(Command::Call(writer::Call { durable, job })).is_err() {
            tracing::error!("the ledger is closed; a booking was not recorded");
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, MeteringError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        answer.await.map_err(|_| MeteringError::LedgerClosed)?
    }

    fn send(&self, command: Command) -> Result<(), MeteringError> {
        let commands = self.commands.as_ref().ok_or(MeteringError::LedgerClosed)?;
        commands.send(command).map_err(|_| MeteringError::LedgerClosed)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger thread had panicked");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "at opening there is no query whose now could be asked"
)]
fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}

/// Creates the file before SQLite does: the ledger holds statement texts, others must not read it.
fn create_private(path: &Path) -> Result<(), MeteringError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(e) => Err(MeteringError::Io {
            action: "create the ledger file",
            source: Arc::new(e),
        }),
    }
}
