//! The seam behind which every catalog sits: the embedded SQLite one here, AWS Glue later.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::CatalogError;
use crate::model::{Database, Partition, Table};

/// Reads and changes one catalog. A change is durable when its call returns.
///
/// Names are lower case in every answer; names given are lower-cased first. `create_time` and
/// `version` of rows are set by the store; those given are ignored, but for `update_*`, where the
/// version says which state was changed.
///
/// Every method is cancel safe: a dropped call either took effect whole or not at all.
#[async_trait]
pub trait CatalogStore: Send + Sync + std::fmt::Debug {
    /// All databases, sorted by name.
    async fn databases(&self) -> Result<Vec<Arc<Database>>, CatalogError>;
    /// One database, or `None`.
    async fn database(&self, name: &str) -> Result<Option<Arc<Database>>, CatalogError>;
    /// Creates it; where it exists nothing happens with `if_not_exists`, else `DatabaseExists`.
    async fn create_database(&self, database: Database, if_not_exists: bool) -> Result<(), CatalogError>;
    /// Replaces the definition where its version is still `database.version`, else `DatabaseChanged`;
    /// `DatabaseNotFound` where it is missing.
    async fn update_database(&self, database: Database) -> Result<(), CatalogError>;
    /// Drops it; `DatabaseNotEmpty` unless `cascade`, `DatabaseNotFound` where it is missing.
    async fn drop_database(&self, name: &str, cascade: bool) -> Result<(), CatalogError>;
    /// Table names of a database, sorted; `DatabaseNotFound` where it is missing.
    async fn table_names(&self, database: &str) -> Result<Vec<String>, CatalogError>;
    /// Whole tables of a database, sorted by name (metadata browsing fetches all at once);
    /// `DatabaseNotFound` where it is missing.
    async fn tables(&self, database: &str) -> Result<Vec<Arc<Table>>, CatalogError>;
    /// One table, or `None` (also when the database is missing).
    async fn table(&self, database: &str, table: &str) -> Result<Option<Arc<Table>>, CatalogError>;
    /// Creates it; returns false when it exists and `if_not_exists`, else `TableExists`.
    /// `DatabaseNotFound` where its database is missing, `InvalidTable` when a column is there twice.
    async fn create_table(&self, table: Table, if_not_exists: bool) -> Result<bool, CatalogError>;
    /// Replaces the definition where its version is still `table.version`, else `TableChanged`;
    /// `TableNotFound` where it is missing, `InvalidTable` when a column is there twice or the number of
    /// partition keys changes under registered partitions.
    async fn update_table(&self, table: Table) -> Result<(), CatalogError>;
    /// Drops it with its partitions; `TableNotFound` where it is missing.
    async fn drop_table(&self, database: &str, table: &str) -> Result<(), CatalogError>;
    /// Registered partitions, sorted by values; `TableNotFound` where the table is missing. The list is
    /// shared, not copied per call. Partitions whose columns equal the table's come without columns.
    async fn partitions(&self, database: &str, table: &str) -> Result<Arc<Vec<Partition>>, CatalogError>;
    /// Adds all of them or none; `PartitionExists` names the first duplicate unless `if_not_exists`,
    /// `PartitionArity` the first that does not fit the keys. Returns how many were new.
    async fn add_partitions(
        &self,
        database: &str,
        table: &str,
        partitions: Vec<Partition>,
        if_not_exists: bool,
    ) -> Result<usize, CatalogError>;
    /// Replaces those with the same values, whatever their version, all of them or none;
    /// `PartitionNotFound` names the first missing one.
    async fn update_partitions(
        &self,
        database: &str,
        table: &str,
        partitions: Vec<Partition>,
    ) -> Result<(), CatalogError>;
    /// Drops all of them or none; `PartitionNotFound` names the first missing one unless `if_exists`. Returns how many went.
    async fn drop_partitions(
        &self,
        database: &str,
        table: &str,
        values: Vec<Vec<String>>,
        if_exists: bool,
    ) -> Result<usize, CatalogError>;
}
