//! What can go wrong in this room, apart from a passed cap ([`BudgetExceeded`](crate::BudgetExceeded)) and money text.

use std::sync::Arc;

use owlake_fault::{Code, Fault};

/// Failures of the metering room. Causes are shared: one failed commit fails every call of its batch.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MeteringError {
    /// The HTTP client could not be built (bad proxy URL, unreadable system certificates).
    #[error("the HTTP client for object stores cannot be built")]
    HttpClient(#[source] Arc<reqwest::Error>),
    /// A message could not be sent.
    #[error("the message could not be sent")]
    Post(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The file system refused.
    #[error("cannot {action}")]
    Io {
        /// What was tried; names no path.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// SQLite refused.
    #[error("the query ledger failed")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    /// The ledger file was written by a newer release.
    #[error("ledger schema version {found} is newer than this release understands ({known})")]
    NewerSchema {
        /// Version in the file.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// A ledger row that this release cannot read.
    #[error("the query ledger holds a value in column `{column}` that cannot be read: {reason}")]
    BadRow {
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// `submit` of a query id that is in the ledger.
    #[error("query {0} is already in the ledger")]
    DuplicateQuery(String),
    /// `finish` with a state that is not an end.
    #[error("query {0} was reported as finished in a state that is not an end")]
    NotTerminal(String),
    /// The ledger thread is gone (the server is stopping).
    #[error("the query ledger is closed")]
    LedgerClosed,
}

impl From<rusqlite::Error> for MeteringError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<MeteringError> for Fault {
    fn from(error: MeteringError) -> Self {
        use MeteringError as E;
        let code = match &error {
            E::LedgerClosed => Code::ServerShuttingDown,
            E::HttpClient(_)
            | E::Post(_)
            | E::Io { .. }
            | E::Sqlite(_)
            | E::NewerSchema { .. }
            | E::BadRow { .. }
            | E::DuplicateQuery(_)
            | E::NotTerminal(_) => Code::GenericInternalError,
        };
        let fault = Self::new(code, error.to_string());
        let fault = match &error {
            E::NewerSchema { .. } => fault.with_hint("Start a newer owlake on this data directory."),
            _ => fault,
        };
        fault.with_source(error)
    }
}
