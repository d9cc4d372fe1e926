//! The stable error names and their classes, one table.
//!
//! Names follow Trino's `StandardErrorCode` and the `HIVE_*` codes that Athena reports, so that
//! runbooks which search for them keep working (athena error families).

use std::fmt;

/// Class of failure. `service/src/flight/status.rs` has the one exhaustive table to gRPC codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The statement or request is wrong; the client can fix it.
    InvalidQuery,
    /// A handle that is unknown or expired; plan again.
    NotFound,
    /// The thing to create exists.
    AlreadyExists,
    /// Who are you.
    Unauthenticated,
    /// Known, but not allowed.
    Denied,
    /// A named limit was reached.
    Limit,
    /// The client cancelled or went away.
    Cancelled,
    /// A deadline passed.
    Timeout,
    /// A table definition that its owner has to fix.
    BadTable,
    /// An object changed under the query; the same query can be sent again.
    Changed,
    /// Something we depend on is down or throttled.
    Unavailable,
    /// Stored data cannot be read.
    Corrupt,
    /// A protocol command that is not offered.
    Unimplemented,
    /// A defect of ours.
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal => $kind:ident,)*) => {
        /// Stable error name; `as_str` is what users and `google.rpc.ErrorInfo.reason` see.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes, in table order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The upper-case name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The class of this code.
            pub const fn kind(self) -> Kind {
                match self { $(Code::$variant => Kind::$kind,)* }
            }
        }
    };
}

codes! {
    /// The text is not a statement of the grammar.
    SyntaxError = "SYNTAX_ERROR" => InvalidQuery,
    /// Athena has it, this server refuses it rather than answer differently.
    NotSupported = "NOT_SUPPORTED" => InvalidQuery,
    /// No catalog of that name.
    CatalogNotFound = "CATALOG_NOT_FOUND" => InvalidQuery,
    /// No database of that name.
    SchemaNotFound = "SCHEMA_NOT_FOUND" => InvalidQuery,
    /// No table of that name.
    TableNotFound = "TABLE_NOT_FOUND" => InvalidQuery,
    /// No column of that name in scope.
    ColumnNotFound = "COLUMN_NOT_FOUND" => InvalidQuery,
    /// No function of that name and argument types.
    FunctionNotFound = "FUNCTION_NOT_FOUND" => InvalidQuery,
    /// Operand types that do not fit.
    TypeMismatch = "TYPE_MISMATCH" => InvalidQuery,
    /// A function refused its argument.
    InvalidFunctionArgument = "INVALID_FUNCTION_ARGUMENT" => InvalidQuery,
    /// A value that does not cast to the asked type.
    InvalidCastArgument = "INVALID_CAST_ARGUMENT" => InvalidQuery,
    /// Division by zero of integers or decimals.
    DivisionByZero = "DIVISION_BY_ZERO" => InvalidQuery,
    /// Arithmetic left the range of its type.
    NumericValueOutOfRange = "NUMERIC_VALUE_OUT_OF_RANGE" => InvalidQuery,
    /// A subquery that stands for one value has several rows.
    SubqueryMultipleRows = "SUBQUERY_MULTIPLE_ROWS" => InvalidQuery,
    /// Parameters that do not fit the statement's placeholders.
    InvalidParameterUsage = "INVALID_PARAMETER_USAGE" => InvalidQuery,
    /// A malformed request or message.
    InvalidArguments = "INVALID_ARGUMENTS" => InvalidQuery,
    /// A session property that is unknown or has a bad value.
    InvalidSessionProperty = "INVALID_SESSION_PROPERTY" => InvalidQuery,
    /// A TBLPROPERTIES value that cannot be used.
    InvalidTableProperty = "INVALID_TABLE_PROPERTY" => BadTable,
    /// A filter the table's projection demands is missing or not usable.
    ConstraintViolation = "CONSTRAINT_VIOLATION" => InvalidQuery,
    /// The statement is longer, deeper or has more nodes than allowed.
    QueryTextTooLarge = "QUERY_TEXT_TOO_LARGE" => InvalidQuery,
    /// CREATE of a table that exists.
    TableAlreadyExists = "TABLE_ALREADY_EXISTS" => AlreadyExists,
    /// CREATE of a database that exists.
    SchemaAlreadyExists = "SCHEMA_ALREADY_EXISTS" => AlreadyExists,
    /// CREATE of anything else that exists.
    AlreadyExists = "ALREADY_EXISTS" => AlreadyExists,
    /// Nothing of that name, where no other code says of what kind.
    NotFound = "NOT_FOUND" => InvalidQuery,
    /// ADD of a partition that exists.
    PartitionAlreadyExists = "PARTITION_ALREADY_EXISTS" => AlreadyExists,
    /// DROP of a partition that is not registered.
    PartitionNotFound = "PARTITION_NOT_FOUND" => InvalidQuery,
    /// DROP DATABASE of one that has tables, without CASCADE.
    SchemaNotEmpty = "SCHEMA_NOT_EMPTY" => BadTable,
    /// The table definition in the catalog cannot be used.
    HiveMetastoreError = "HIVE_METASTORE_ERROR" => BadTable,
    /// Catalog metadata that contradicts itself.
    HiveInvalidMetadata = "HIVE_INVALID_METADATA" => BadTable,
    /// A SerDe or file format that is not read here.
    HiveUnsupportedFormat = "HIVE_UNSUPPORTED_FORMAT" => BadTable,
    /// More partitions in one scan than allowed.
    HiveExceededPartitionLimit = "HIVE_EXCEEDED_PARTITION_LIMIT" => Limit,
    /// A file whose content is not what the table declares.
    HiveBadData = "HIVE_BAD_DATA" => Corrupt,
    /// A file column whose type does not fit the table's.
    HivePartitionSchemaMismatch = "HIVE_PARTITION_SCHEMA_MISMATCH" => BadTable,
    /// A file could not be opened.
    HiveCannotOpenSplit = "HIVE_CANNOT_OPEN_SPLIT" => Unavailable,
    /// The object store failed or refused.
    HiveFilesystemError = "HIVE_FILESYSTEM_ERROR" => Unavailable,
    /// The store refused our credentials for a location.
    HiveAccessDenied = "HIVE_ACCESS_DENIED" => BadTable,
    /// The bucket of a location does not exist.
    HiveBucketNotFound = "HIVE_BUCKET_NOT_FOUND" => BadTable,
    /// An object changed between listing and reading.
    HiveFileChanged = "HIVE_FILE_CHANGED" => Changed,
    /// A location outside the allowed roots.
    LocationNotAllowed = "LOCATION_NOT_ALLOWED" => Denied,
    /// The principal has no right to do this.
    PermissionDenied = "PERMISSION_DENIED" => Denied,
    /// No or bad credentials.
    Unauthenticated = "UNAUTHENTICATED" => Unauthenticated,
    /// Too many wrong credentials from one address are waiting for their answer.
    TooManyFailedLogins = "TOO_MANY_FAILED_LOGINS" => Limit,
    /// The bytes-scanned cap would be passed.
    ExceededScanLimit = "EXCEEDED_SCAN_LIMIT" => Limit,
    /// A quota of the workgroup is used up.
    ExceededQuota = "EXCEEDED_QUOTA" => Limit,
    /// The memory limit was reached.
    ExceededMemoryLimit = "EXCEEDED_MEMORY_LIMIT" => Limit,
    /// The spill space limit was reached.
    ExceededSpillLimit = "EXCEEDED_SPILL_LIMIT" => Limit,
    /// The query or planning deadline passed.
    ExceededTimeLimit = "EXCEEDED_TIME_LIMIT" => Timeout,
    /// Too many queries are waiting.
    QueryQueueFull = "QUERY_QUEUE_FULL" => Limit,
    /// Too many prepared statements, tickets or sessions.
    TooManyHandles = "TOO_MANY_HANDLES" => Limit,
    /// The client cancelled or went away.
    UserCanceled = "USER_CANCELED" => Cancelled,
    /// Unknown or expired ticket, prepared statement or query id.
    HandleNotFound = "HANDLE_NOT_FOUND" => NotFound,
    /// A database of a catalog is down, busy, or went away.
    JdbcError = "JDBC_ERROR" => Unavailable,
    /// A database of a catalog refused what was asked: rights, credentials, or a value of its data.
    JdbcNonTransientError = "JDBC_NON_TRANSIENT_ERROR" => InvalidQuery,
    /// The server is draining.
    ServerShuttingDown = "SERVER_SHUTTING_DOWN" => Unavailable,
    /// Another process holds the data directory.
    DataDirectoryLocked = "DATA_DIRECTORY_LOCKED" => Unavailable,
    /// A Flight SQL command or action that is not offered.
    Unimplemented = "UNIMPLEMENTED" => Unimplemented,
    /// A defect of ours.
    GenericInternalError = "GENERIC_INTERNAL_ERROR" => Internal,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
