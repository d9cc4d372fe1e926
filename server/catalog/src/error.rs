//! What can go wrong with catalog rows and their definitions.

use owlake_fault::{Code, Fault, Retry};

/// Failures of the catalog room. Names in messages are lower case, in backticks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// No such database.
    #[error("database `{0}` does not exist")]
    DatabaseNotFound(String),
    /// CREATE of one that exists.
    #[error("database `{0}` already exists")]
    DatabaseExists(String),
    /// DROP without CASCADE.
    #[error("database `{0}` is not empty ({1} tables)")]
    DatabaseNotEmpty(String, usize),
    /// Optimistic lock lost.
    #[error("database `{0}` was changed by somebody else meanwhile")]
    DatabaseChanged(String),
    /// No such table.
    #[error("table `{0}.{1}` does not exist")]
    TableNotFound(String, String),
    /// CREATE of one that exists.
    #[error("table `{0}.{1}` already exists")]
    TableExists(String, String),
    /// Optimistic lock lost.
    #[error("table `{0}.{1}` was changed by somebody else meanwhile")]
    TableChanged(String, String),
    /// ADD of one that exists.
    #[error("partition `{2}` of `{0}.{1}` already exists")]
    PartitionExists(String, String, String),
    /// DROP of one that is missing.
    #[error("partition `{2}` of `{0}.{1}` does not exist")]
    PartitionNotFound(String, String, String),
    /// Partition values that do not fit the keys.
    #[error("partition of `{table}` has {given} values, the table has {keys} partition keys")]
    PartitionArity {
        /// `database.table`.
        table: String,
        /// Values given.
        given: usize,
        /// Keys declared.
        keys: usize,
    },
    /// A table definition that contradicts itself or the partitions it has.
    #[error("table `{table}` {reason}")]
    InvalidTable {
        /// `database.table`.
        table: String,
        /// What is wrong, as the rest of the sentence.
        reason: String,
    },
    /// A name Glue would refuse.
    #[error("`{name}` is not a usable {what} name: {reason}")]
    InvalidName {
        /// `database`, `table`, `column`.
        what: &'static str,
        /// The name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// Hive type text that does not parse.
    #[error("`{text}` is not a Hive type: {reason}")]
    HiveType {
        /// The text.
        text: String,
        /// Why, with the place.
        reason: String,
    },
    /// A projection or location property that cannot be used.
    #[error("table `{table}`: property `{property}` {reason}")]
    Property {
        /// `database.table`.
        table: String,
        /// The property key.
        property: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// `projection.enabled` but columns lack configuration (Athena's sentence).
    #[error(
        "Table {table} is configured for partition projection, but the following partition columns are missing projection configuration: [{}] (table {table})",
        columns.join(", ")
    )]
    ProjectionColumnsMissing {
        /// `database.table`.
        table: String,
        /// The columns.
        columns: Vec<String>,
    },
    /// Injected column without a usable filter (Athena's sentence).
    #[error(
        "For the injected projected partition column {column}, the WHERE clause must contain only static equality conditions, and at least one such condition must be present.{detail} (table {table})"
    )]
    InjectedFilter {
        /// `database.table`.
        table: String,
        /// The column.
        column: String,
        /// Empty, or more words with a leading space.
        detail: String,
    },
    /// More partitions than one scan may read.
    #[error("query over table `{table}` can potentially read more than {limit} partitions ({count}); filter on {}", columns.join(", "))]
    TooManyPartitions {
        /// `database.table`.
        table: String,
        /// The limit.
        limit: u64,
        /// The count, as text since it may pass 64 bits.
        count: String,
        /// Columns that have no filter and the most values, widest first.
        columns: Vec<String>,
    },
    /// The data directory is held by another process.
    #[error("data directory is in use by another owlake process{}", holder.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
    Locked {
        /// What the holder wrote about itself: `pid 12, grpc://127.0.0.1:31337`.
        holder: Option<String>,
    },
    /// The database file was written by a newer release.
    #[error("catalog schema version {found} is newer than this release understands ({known})")]
    NewerSchema {
        /// Version in the file.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// A file that is no catalog of ours, or a damaged one.
    #[error("the file is not a usable catalog database: {reason}")]
    NotACatalog {
        /// What was found.
        reason: String,
    },
    /// A Glue dump that cannot be read.
    #[error("{place}: {reason}")]
    Import {
        /// File and JSON path.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action}")]
    Io {
        /// What we tried.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("catalog database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// What a catalog outside of this process said.
    #[error(transparent)]
    External(Fault),
    /// The catalog thread is gone (server is stopping).
    #[error("catalog is closed")]
    Closed,
}

impl From<CatalogError> for Fault {
    fn from(error: CatalogError) -> Self {
        use CatalogError as E;
        let error = match error {
            E::External(fault) => return fault,
            error => error,
        };
        let code = match &error {
            E::External(fault) => fault.code(),
            E::DatabaseNotFound(_) => Code::SchemaNotFound,
            E::DatabaseExists(_) => Code::SchemaAlreadyExists,
            E::DatabaseNotEmpty(..) => Code::SchemaNotEmpty,
            E::TableNotFound(..) => Code::TableNotFound,
            E::TableExists(..) => Code::TableAlreadyExists,
            E::DatabaseChanged(_) | E::TableChanged(..) => Code::HiveMetastoreError,
            E::PartitionExists(..) => Code::PartitionAlreadyExists,
            E::PartitionNotFound(..) => Code::PartitionNotFound,
            E::PartitionArity { .. } | E::InvalidName { .. } => Code::InvalidArguments,
            E::InvalidTable { .. } => Code::HiveInvalidMetadata,
            E::HiveType { .. } => Code::TypeMismatch,
            E::Property { .. } => Code::InvalidTableProperty,
            E::ProjectionColumnsMissing { .. } => Code::HiveMetastoreError,
            E::InjectedFilter { .. } => Code::ConstraintViolation,
            E::TooManyPartitions { .. } => Code::HiveExceededPartitionLimit,
            E::Locked { .. } => Code::DataDirectoryLocked,
            E::NewerSchema { .. } => Code::HiveMetastoreError,
            E::NotACatalog { .. } | E::Import { .. } => Code::InvalidArguments,
            E::Io { .. } | E::Sqlite(_) => Code::GenericInternalError,
            E::Closed => Code::ServerShuttingDown,
        };
        let fault = Self::new(code, error.to_string());
        let fault = match &error {
            E::DatabaseNotEmpty(..) => fault.with_hint("Drop its tables first, or add CASCADE."),
            E::DatabaseChanged(_) | E::TableChanged(..) => fault
                .with_retry(Retry::Later(None))
                .with_hint("Send the statement again."),
            E::NewerSchema { .. } => fault.with_hint("Start a newer owlake on this data directory."),
            _ => fault,
        };
        fault.with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_race_may_be_tried_again_and_a_mistake_may_not() {
        let race = Fault::from(CatalogError::TableChanged("db".to_owned(), "t".to_owned()));
        assert_eq!(race.retry(), Retry::Later(None));
        assert_eq!(
            race.to_string(),
            "HIVE_METASTORE_ERROR: table `db.t` was changed by somebody else meanwhile. Send the statement again."
        );
        let mistake = Fault::from(CatalogError::TableNotFound("db".to_owned(), "t".to_owned()));
        assert_eq!(
            (mistake.retry(), mistake.code()),
            (Retry::Never, Code::TableNotFound)
        );
    }

    #[test]
    fn clients_see_no_path_and_the_log_keeps_the_cause() {
        let source = std::io::Error::other("/var/lib/owlake: no space left");
        let fault = Fault::from(CatalogError::Io {
            action: "open the catalog file".to_owned(),
            source,
        });
        assert_eq!(
            fault.to_string(),
            "GENERIC_INTERNAL_ERROR: cannot open the catalog file"
        );
        let cause = std::error::Error::source(&fault).and_then(std::error::Error::source);
        assert_eq!(cause.unwrap().to_string(), "/var/lib/owlake: no space left");
    }
}
