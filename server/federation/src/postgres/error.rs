//! What can go wrong with a PostgreSQL server, and as what users see it.

use std::time::Duration;

use arrow::error::ArrowError;
use owlake_fault::{Code, Fault, Retry};
use tokio_postgres::error::SqlState;

use crate::secret::SecretError;

/// The longest text of the server that is passed on.
const MAX_REMOTE_TEXT: usize = 1_024;

/// A failure of one catalog. No text of it holds a password.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// A property of the catalog that is missing, unknown or wrong.
    #[error("property `{name}`: {message}")]
    Property {
        /// Which.
        name: String,
        /// What is wrong, without its value.
        message: String,
    },
    /// A reference to a secret that leads nowhere.
    #[error("property `{name}`: {source}")]
    Secret {
        /// The property that holds the reference.
        name: &'static str,
        /// Why.
        source: SecretError,
    },
    /// A name or text with a NUL character.
    #[error("PostgreSQL has no texts with NUL characters")]
    Nul,
    /// TLS cannot be set up on our side.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The server cannot be reached, refuses us, or went away.
    #[error("the database cannot be reached{}", why(.0))]
    Unreachable(#[source] tokio_postgres::Error),
    /// No socket to it: its name leads nowhere, nobody listens, nobody answers.
    #[error("the database cannot be reached: {0}")]
    Socket(#[source] std::io::Error),
    /// No connection in time.
    #[error("the database did not answer within {} s", .0.as_secs_f64())]
    ConnectTimeout(Duration),
    /// All connections of the pool were in use for too long.
    #[error("all {connections} connections to the database were in use for {} s", waited.as_secs_f64())]
    PoolExhausted {
        /// Size of the pool.
        connections: usize,
        /// How long we waited for one.
        waited: Duration,
    },
    /// The server answered with an error.
    #[error("{}", server_text(.0))]
    Server(#[source] tokio_postgres::Error),
    /// A relation that is not what it was when it was described.
    #[error("table {0} has changed since it was described")]
    Changed(String),
    /// Two remote names that are one name here.
    #[error("{kind} `{name}` is ambiguous: the database has {} of that name in different case", .found.len())]
    Ambiguous {
        /// `schema` or `table`.
        kind: &'static str,
        /// As asked for.
        name: String,
        /// What there is.
        found: Vec<String>,
    },
    /// A value that the column's type here cannot hold.
    #[error("column `{column}` holds {what}")]
    Value {
        /// Its name.
        column: String,
        /// What it holds, and why that does not fit.
        what: String,
    },
    /// A catalog that sends no statements of others.
    #[error("its statements are made here alone: `enable_query_passthrough` is not set")]
    NoPassthrough,
    /// A statement that gives no rows: it writes, controls, or has parameters.
    #[error("system.query takes one statement that gives rows, without parameters")]
    NoRows,
    /// Bytes that are not what the protocol says.
    #[error("the database sent malformed data: {0}")]
    Malformed(String),
    /// Batches could not be made of it.
    #[error("rows of the database do not form a batch")]
    Batch(#[from] ArrowError),
}

/// The innermost cause: what the server said, or the system (refused, unknown issuer). Neither names the host.
fn why(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!(": {}", trimmed(db.message()));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    format!(": {}", trimmed(&cause.to_string()))
}

fn server_text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!(
            "the database answered {}: {}",
            db.code().code(),
            trimmed(db.message())
        ),
        None => "the connection to the database broke".to_owned(),
    }
}

fn trimmed(text: &str) -> &str {
    let mut end = text.len().min(MAX_REMOTE_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What a SQLSTATE means for whoever asked.
fn of_state(state: &SqlState) -> Code {
    if *state == SqlState::UNDEFINED_TABLE || *state == SqlState::INVALID_SCHEMA_NAME {
        return Code::TableNotFound;
    }
    match state.code().get(..2).unwrap_or_default() {
        // More rows than one, data exceptions, wrong credentials, syntax and access rules, features that are not there.
        "21" | "22" | "28" | "42" | "0A" => Code::JdbcNonTransientError,
        _ => Code::JdbcError,
    }
}

impl PostgresError {
    /// An error of the driver while it connected.
    pub(super) fn connecting(error: tokio_postgres::Error) -> Self {
        Self::Unreachable(error)
    }

    /// An error of the driver once connected.
    pub(super) fn running(error: tokio_postgres::Error) -> Self {
        if error.as_db_error().is_none() {
            return Self::Unreachable(error);
        }
        Self::Server(error)
    }

    /// Whether a connection that was lying in the pool may simply have been closed meanwhile.
    pub(super) fn is_broken_connection(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Server(error) => error.code().is_some_and(|code| {
                *code == SqlState::ADMIN_SHUTDOWN
                    || *code == SqlState::CRASH_SHUTDOWN
                    || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
            }),
            _ => false,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Property { .. } | Self::Nul | Self::NoRows => Code::InvalidArguments,
            Self::NoPassthrough => Code::PermissionDenied,
            Self::Secret { .. } | Self::Tls(_) => Code::JdbcNonTransientError,
            Self::Unreachable(error) => error.code().map_or(Code::JdbcError, of_state),
            Self::Server(error) => match error.code() {
                Some(state) if *state == SqlState::QUERY_CANCELED => Code::ExceededTimeLimit,
                Some(state) => of_state(state),
                None => Code::JdbcError,
            },
            Self::Socket(_)
            | Self::ConnectTimeout(_)
            | Self::PoolExhausted { .. }
            | Self::Changed(_)
            | Self::Malformed(_)
            | Self::Batch(_) => Code::JdbcError,
            Self::Ambiguous { .. } => Code::TableNotFound,
            Self::Value { .. } => Code::NumericValueOutOfRange,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable(_) | Self::Socket(_) | Self::ConnectTimeout(_) => {
                "Is it running, and are the connection properties of the catalog right?"
            }
            Self::PoolExhausted { .. } => {
                "Raise `max_connections` of the catalog, or run fewer queries at once."
            }
            Self::NoPassthrough => "Ask the owner of the catalog to allow it.",
            Self::Changed(_) => "Run the statement again.",
            Self::Server(error) => match error.code() {
                Some(state) if *state == SqlState::INSUFFICIENT_PRIVILEGE => {
                    "Grant it to the user of the catalog in the database."
                }
                Some(state) if *state == SqlState::QUERY_CANCELED => {
                    "Its own time limit cancelled it; see `statement_timeout` of the catalog."
                }
                _ => return None,
            },
            Self::Value { .. } => "Leave the column out, or map its type another way (docs/federation.md).",
            Self::Ambiguous { .. } => "Rename one in the database, or use system.query.",
            _ => return None,
        })
    }

    /// As users see it, with the catalog's name.
    pub fn into_fault(self, catalog: &str) -> Fault {
        let code = self.code();
        let retry = match code {
            Code::JdbcError => Retry::Later(None),
            _ => Retry::Never,
        };
        let hint = self.hint();
        let mut fault = Fault::new(code, format!("catalog `{catalog}`: {self}"))
            .with_retry(retry)
            .with_source(self);
        if let Some(hint) = hint {
            fault = fault.with_hint(hint);
        }
        fault
    }
}
