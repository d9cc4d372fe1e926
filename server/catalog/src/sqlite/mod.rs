//! The embedded catalog: one SQLite file, one named thread, requests by channel.
//!
//! Rows are `rows` and `partitions`, the file's format is `schema`, copies of it are `backup`.

mod backup;
mod partitions;
mod rows;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

pub use backup::{backup, restore};
pub use schema::CATALOG_FILE;

use crate::data_dir;
use crate::error::CatalogError;
use crate::model::{Database, Partition, Table};
use crate::names::{self, NameOf};
use crate::store::CatalogStore;
use partitions::PartitionCache;

/// Requests that wait for the thread; a caller beyond that waits for a place.
const QUEUE_REQUESTS: usize = 1024;

type Request = Box<dyn FnOnce(&mut Db) + Send>;

/// [`CatalogStore`] in an SQLite file (or in memory).
///
/// Each change is one transaction, on the disk when its call returns. Dropping the store waits for
/// the requests that are queued and closes the file.
#[derive(Debug)]
pub struct SqliteCatalog {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// `None` in memory.
    file: Option<PathBuf>,
}

impl SqliteCatalog {
    /// Opens `catalog.db` in `data_dir`, creating or migrating it where needed. Blocking. The caller
    /// holds the directory's [`crate::DataDir`] lock for as long as the store lives.
    ///
    /// `now` gives seconds since the epoch, for `create_time`. Fails with `NewerSchema` on a file of
    /// a newer release and with `NotACatalog` on one that is not ours.
    pub fn open(data_dir: &Path, now: fn() -> i64) -> Result<Self, CatalogError> {
        let file = data_dir.join(CATALOG_FILE);
        let conn = schema::open_file(&file, now())?;
        Self::start(conn, Some(file), now)
    }

    /// A catalog that is gone when it is dropped.
    pub fn in_memory(now: fn() -> i64) -> Result<Self, CatalogError> {
        Self::start(schema::open_memory(now())?, None, now)
    }

    fn start(conn: Connection, file: Option<PathBuf>, now: fn() -> i64) -> Result<Self, CatalogError> {
        let (requests, mut queue) = mpsc::channel::<Request>(QUEUE_REQUESTS);
        let mut db = Db {
            conn,
            now,
            partition_cache: PartitionCache::new(partitions::CACHED_PARTITIONS),
        };
        let serve = move || {
            while let Some(request) = queue.blocking_recv() {
                // A defect in one request must not take the catalog away from the others: the
                // transaction rolls back while unwinding and the caller gets `Closed`.
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| request(&mut db)));
                if outcome.is_err() {
                    tracing::error!("a catalog request panicked");
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("owlake-catalog".to_owned())
            .spawn(serve)
            .map_err(data_dir::io("start the catalog thread"))?;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
            file,
        })
    }

    /// Runs `work` on the catalog's thread. Dropped before its turn, it never runs; after, it runs whole.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let (reply, answer) = oneshot::channel();
        let request: Request = Box::new(move |db| {
            if !reply.is_closed() {
                // The caller may leave meanwhile; nobody is there to be told then.
                let _ = reply.send(work(db));
            }
        });
        let requests = self.requests.as_ref().ok_or(CatalogError::Closed)?;
        requests.send(request).await.map_err(|_| CatalogError::Closed)?;
        answer.await.map_err(|_| CatalogError::Closed)?
    }
}

impl Drop for SqliteCatalog {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            // The thread catches panics itself.
            let _ = thread.join();
        }
    }
}

/// What the catalog's thread owns.
struct Db {
    conn: Connection,
    now: fn() -> i64,
    partition_cache: PartitionCache,
}

impl Db {
    /// Runs `work` in a transaction that commits when it returns `Ok` and is undone otherwise.
    fn change<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &Stamp) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let now = (self.now)();
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        // One number per transaction: rows changed together share it, and no row gets it again.
        let version = tx
            .prepare_cached(
                "UPDATE catalogs SET last_version = last_version + 1 WHERE catalog_id = ?1 RETURNING last_version",
            )?
            .query_row([schema::CATALOG_ID], |row| row.get(0))?;
        let result = work(&tx, &Stamp { version, now })?;
        tx.commit()?;
        Ok(result)
    }
}

/// What one transaction writes into the rows it changes.
struct Stamp {
    version: i64,
    now: i64,
}

/// `database.table` as given, lower-cased: what lookups and messages use.
#[derive(Debug, Clone)]
struct TableName {
    database: String,
    table: String,
}

impl TableName {
    fn new(database: &str, table: &str) -> Self {
        Self {
            database: database.to_lowercase(),
            table: table.to_lowercase(),
        }
    }

    fn not_found(self) -> CatalogError {
        CatalogError::TableNotFound(self.database, self.table)
    }

    fn qualified(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }
}

#[async_trait]
impl CatalogStore for SqliteCatalog {
    async fn databases(&self) -> Result<Vec<Arc<Database>>, CatalogError> {
        self.call(|db| rows::databases(&db.conn)).await
    }

    async fn database(&self, name: &str) -> Result<Option<Arc<Database>>, CatalogError> {
        let name = name.to_lowercase();
        self.call(move |db| rows::database(&db.conn, &name)).await
    }

    async fn create_database(&self, mut database: Database, if_not_exists: bool) -> Result<(), CatalogError> {
        database.name = names::normalize(NameOf::Database, &database.name)?;
        self.call(move |db| db.change(|tx, stamp| rows::create_database(tx, stamp, &database, if_not_exists)))
            .await
    }

    async fn update_database(&self, mut database: Database) -> Result<(), CatalogError> {
        database.name = database.name.to_lowercase();
        self.call(move |db| db.change(|tx, stamp| rows::update_database(tx, stamp, &database)))
            .await
    }

    async fn drop_database(&self, name: &str, cascade: bool) -> Result<(), CatalogError> {
        let name = name.to_lowercase();
        self.call(move |db| db.change(|tx, _| rows::drop_database(tx, name, cascade)))
            .await
    }

    async fn table_names(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        let database = database.to_lowercase();
        self.call(move |db| rows::table_names(&db.conn, database)).await
    }

    async fn tables(&self, database: &str) -> Result<Vec<Arc<Table>>, CatalogError> {
        let database = database.to_lowercase();
        self.call(move |db| rows::tables(&db.conn, database)).await
    }

    async fn table(&self, database: &str, table: &str) -> Result<Option<Arc<Table>>, CatalogError> {
        let name = TableName::new(database, table);
        self.call(move |db| Ok(rows::table(&db.conn, &name)?.map(|row| Arc::new(row.table))))
            .await
    }

    async fn create_table(&self, mut table: Table, if_not_exists: bool) -> Result<bool, CatalogError> {
        names::normalize_table(&mut table)?;
        self.call(move |db| db.change(|tx, stamp| rows::create_table(tx, stamp, table, if_not_exists)))
            .await
    }

    async fn update_table(&self, mut table: Table) -> Result<(), CatalogError> {
        names::normalize_table(&mut table)?;
        self.call(move |db| db.change(|tx, stamp| rows::update_table(tx, stamp, table)))
            .await
    }

    async fn drop_table(&self, database: &str, table: &str) -> Result<(), CatalogError> {
        let name = TableName::new(database, table);
        self.call(move |db| db.change(|tx, _| rows::drop_table(tx, name)))
            .await
    }

    async fn partitions(&self, database: &str, table: &str) -> Result<Arc<Vec<Partition>>, CatalogError> {
        let name = TableName::new(database, table);
        self.call(move |db| partitions::list(&db.conn, &mut db.partition_cache, name))
            .await
    }

    async fn add_partitions(
        &self,
        database: &str,
        table: &str,
        partitions: Vec<Partition>,
        if_not_exists: bool,
    ) -> Result<usize, CatalogError> {
        let name = TableName::new(database, table);
        self.call(move |db| {
            db.change(|tx, stamp| partitions::add(tx, stamp, name, partitions, if_not_exists))
        })
        .await
    }

    async fn update_partitions(
        &self,
        database: &str,
        table: &str,
        partitions: Vec<Partition>,
    ) -> Result<(), CatalogError> {
        let name = TableName::new(database, table);
        self.call(move |db| db.change(|tx, stamp| partitions::update(tx, stamp, name, partitions)))
            .await
    }

    async fn drop_partitions(
        &self,
        database: &str,
        table: &str,
        values: Vec<Vec<String>>,
        if_exists: bool,
    ) -> Result<usize, CatalogError> {
        let name = TableName::new(database, table);
        self.call(move |db| db.change(|tx, stamp| partitions::drop_all(tx, stamp, name, &values, if_exists)))
            .await
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod partition_tests;
#[cfg(test)]
mod tests;
