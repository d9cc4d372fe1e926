//! What can go wrong between a table definition and its rows.

use owlake_catalog::CatalogError;
use owlake_fault::{Code, Fault, Retry};
use owlake_metering::{QuotaError, decimal_bytes};

/// Failures of the scan room. `table` is always `database.table`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The catalog or the projection refused.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// LOCATION text that is not one we read.
    #[error("location `{location}` {reason}")]
    BadLocation {
        /// The text.
        location: String,
        /// Why, and what would be right.
        reason: String,
    },
    /// A location outside the allowed roots.
    #[error("location `{location}` is outside the allowed locations")]
    LocationNotAllowed {
        /// The text.
        location: String,
    },
    /// A directory that caches cannot be kept in.
    #[error("cache directory `{path}` {reason}")]
    CacheDirectory {
        /// The directory.
        path: String,
        /// Why not, and what would help.
        reason: String,
    },
    /// The table has no LOCATION.
    #[error("table `{0}` has no location")]
    NoLocation(String),
    /// A SerDe that is not read.
    #[error("table `{table}` uses {serde}, which is not read yet")]
    UnsupportedFormat {
        /// The table.
        table: String,
        /// SerDe class or format.
        serde: String,
    },
    /// A property of the SerDe that means something else in Athena than it would here.
    #[error("table `{table}` cannot be read by {serde}: {what}")]
    UnsupportedProperty {
        /// The table.
        table: String,
        /// Short name of the SerDe.
        serde: String,
        /// The property and what is wrong with it.
        what: String,
    },
    /// A property whose value means nothing.
    #[error("property `{key}` = {value:?} of table `{table}` ({serde}) {reason}")]
    BadProperty {
        /// The table.
        table: String,
        /// Short name of the SerDe.
        serde: String,
        /// The property.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A line that does not fit into memory as configured, or a small file that unpacks to one huge line.
    #[error("file `{file}` of `{table}` has a line of more than {limit} bytes at byte {offset}")]
    LineTooLong {
        /// The table.
        table: String,
        /// Key below the bucket.
        file: String,
        /// Where the line begins, in unpacked bytes.
        offset: u64,
        /// The limit.
        limit: u64,
    },
    /// An object changed between listing and reading.
    #[error("file `{file}` of `{table}` changed while the query ran")]
    FileChanged {
        /// The table.
        table: String,
        /// Key below the bucket.
        file: String,
    },
    /// A file that is not what the table declares.
    #[error("file `{file}` of `{table}` cannot be read: {reason}")]
    BadFile {
        /// The table.
        table: String,
        /// Key below the bucket.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file column whose type does not fit.
    #[error("column `{column}` of `{table}` is declared {declared}, but file `{file}` stores {stored}")]
    SchemaMismatch {
        /// The table.
        table: String,
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Type by the table definition.
        declared: String,
        /// Type in the file.
        stored: String,
    },
    /// The cap would be passed.
    #[error(
        "Bytes scanned limit was exceeded: {table} needs {} {}, limit {} (max_data_scanned_bytes of workgroup \"{workgroup}\"); {} of data were read",
        if *.at_least { "at least" } else { "exactly" }, decimal_bytes(*.needed_bytes), decimal_bytes(*.limit_bytes), decimal_bytes(*.read_bytes)
    )]
    CapExceeded {
        /// The table whose read would pass it.
        table: String,
        /// Bytes the query would have scanned with that read.
        needed_bytes: u64,
        /// Whether more would have followed.
        at_least: bool,
        /// The cap.
        limit_bytes: u64,
        /// Bytes scanned so far.
        read_bytes: u64,
        /// Whose cap.
        workgroup: String,
        /// Partition columns one could filter on.
        partition_columns: Vec<String>,
    },
    /// A quota of the workgroup has no room.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// The store failed.
    #[error("object store failed to {action} `{location}`")]
    Store {
        /// `list`, `read`.
        action: &'static str,
        /// Bucket and key, no endpoint.
        location: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// More files than one scan may open.
    #[error("query over `{table}` would open {files} files, limit {limit}")]
    TooManyFiles {
        /// The table.
        table: String,
        /// Files after pruning.
        files: usize,
        /// The limit.
        limit: usize,
    },
    /// An S3 client could not be built.
    #[error("bucket `{bucket}` cannot be reached: {reason}")]
    StoreConfig {
        /// The bucket.
        bucket: String,
        /// What is missing or wrong.
        reason: String,
    },
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        use ScanError as E;
        let text = error.to_string();
        match error {
            E::Catalog(e) => e.into(),
            E::BadLocation { .. } | E::CacheDirectory { .. } => Self::new(Code::InvalidArguments, text),
            E::LocationNotAllowed { .. } => Self::new(Code::LocationNotAllowed, text)
                .with_hint("Start the server with --allow-location for it, or add it to the configuration."),
            E::NoLocation(_) => Self::new(Code::HiveInvalidMetadata, text),
            E::UnsupportedFormat { .. } => {
                Self::new(Code::HiveUnsupportedFormat, text).with_hint("What is read: docs/formats.md.")
            }
            E::UnsupportedProperty { .. } => Self::new(Code::NotSupported, text),
            E::BadProperty { .. } => Self::new(Code::InvalidTableProperty, text),
            E::LineTooLong { .. } => Self::new(Code::HiveBadData, text).with_hint(
                "Check the line ends of the file, or raise max_line in [scan] of the configuration.",
            ),
            E::FileChanged { .. } => Self::new(Code::HiveFileChanged, text)
                .with_hint("Send the query again.")
                .with_retry(Retry::Later(None)),
            E::BadFile { .. } => Self::new(Code::HiveBadData, text),
            E::SchemaMismatch { .. } => Self::new(Code::HivePartitionSchemaMismatch, text)
                .with_hint("Declare the column with the stored type, or rewrite the file."),
            E::CapExceeded {
                ref partition_columns,
                ref workgroup,
                ..
            } => {
                let ask = format!("ask the owner of \"{workgroup}\"");
                let hint = match partition_columns.as_slice() {
                    [] => format!("Select fewer columns, or {ask}."),
                    columns => format!(
                        "Filter on partition column {}, or {ask}.",
                        columns
                            .iter()
                            .map(|c| format!("\"{c}\""))
                            .collect::<Vec<_>>()
                            .join(" or ")
                    ),
                };
                Self::new(Code::ExceededScanLimit, text).with_hint(hint)
            }
            E::Quota(e) => e.into(),
            E::Store { source, .. } => match quota_error(&source) {
                Some(quota) => quota.clone().into(),
                None => store_fault(text, source),
            },
            E::TooManyFiles { .. } => {
                Self::new(Code::HiveExceededPartitionLimit, text).with_hint("Filter on a partition column.")
            }
            E::StoreConfig { .. } => Self::new(Code::HiveFilesystemError, text),
        }
    }
}

fn store_fault(text: String, source: object_store::Error) -> Fault {
    use object_store::Error as S;
    let fault = match &source {
        // A listing that fails has no kind of its own there: only its text says why.
        _ if chain_says(&source, "NoSuchBucket") => Fault::new(
            Code::HiveBucketNotFound,
            format!("{text}: the bucket does not exist"),
        ),
        S::NotFound { .. } => Fault::new(Code::HiveFilesystemError, format!("{text}: not found")),
        S::InvalidPath { source } => {
            let key = source.to_string();
            Fault::new(
                Code::HiveFilesystemError,
                format!("{text}: {}", key.escape_debug()),
            )
            .with_hint("Rename the object, or move it out of the table's location.")
        }
        S::PermissionDenied { .. } | S::Unauthenticated { .. } => denied(text),
        _ if chain_says(&source, "status code: 403") => denied(text),
        _ => Fault::new(Code::HiveFilesystemError, text).with_retry(Retry::Later(None)),
    };
    fault.with_source(source)
}

/// Whether a cap or quota of one query is why it failed: that says nothing to another one.
pub(crate) fn is_quota_of_one_query(error: &ScanError) -> bool {
    match error {
        ScanError::Quota(_) => true,
        ScanError::Store { source, .. } => quota_error(source).is_some(),
        _ => false,
    }
}

/// The quota that kept a request from being sent.
fn quota_error(error: &object_store::Error) -> Option<&QuotaError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = next {
        if let Some(quota) = e.downcast_ref::<QuotaError>() {
            return Some(quota);
        }
        next = e.source();
    }
    None
}

fn denied(text: String) -> Fault {
    Fault::new(Code::HiveAccessDenied, format!("{text}: access denied"))
        .with_hint("Check the credentials and the bucket policy.")
}

fn chain_says(error: &object_store::Error, code: &str) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(e) = next {
        if e.to_string().contains(code) {
            return true;
        }
        next = e.source();
    }
    false
}

impl From<ScanError> for datafusion::error::DataFusionError {
    fn from(error: ScanError) -> Self {
        Self::External(Box::new(Fault::from(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_fault_names_table_need_limit_and_column() {
        let fault = Fault::from(ScanError::CapExceeded {
            table: "sales.events".into(),
            needed_bytes: 1_270_000_000,
            at_least: false,
            limit_bytes: 1_000_000_000,
            read_bytes: 0,
            workgroup: "bi".into(),
            partition_columns: vec!["dt".into()],
        });
        assert_eq!(
            fault.to_string(),
            "EXCEEDED_SCAN_LIMIT: Bytes scanned limit was exceeded: sales.events needs exactly 1.27 GB, limit 1.00 GB \
             (max_data_scanned_bytes of workgroup \"bi\"); 0 bytes of data were read. \
             Filter on partition column \"dt\", or ask the owner of \"bi\"."
        );
    }
}
