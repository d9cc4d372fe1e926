//! Who asks, with which settings, since when and until when: handed down with every query.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use owlake_metering::Usd;
use tokio_util::sync::CancellationToken;

/// The authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal(pub String);

impl Principal {
    /// The caller where no authentication is configured.
    pub fn anonymous() -> Self {
        Self("anonymous".to_owned())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The catalog that statements without a catalog part mean.
pub const DEFAULT_CATALOG: &str = "awsdatacatalog";
/// The database that statements without a database part mean.
pub const DEFAULT_DATABASE: &str = "default";
/// The workgroup everybody is in who names none.
pub const DEFAULT_WORKGROUP: &str = "primary";

/// Session settings; a query works on the snapshot taken when it was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// Current catalog.
    pub catalog: String,
    /// Current database.
    pub database: String,
    /// Workgroup, whose limits apply.
    pub workgroup: String,
    /// What the client calls itself.
    pub source: Option<String>,
    /// Free tags, kept in the ledger.
    pub tags: BTreeMap<String, String>,
    /// Keep this session's requests to object stores in the ledger.
    pub log_object_requests: bool,
    /// A cap below the server's.
    pub max_data_scanned_bytes: Option<u64>,
    /// A cap on the query's cost below the server's.
    pub max_cost_usd: Option<Usd>,
    /// A timeout below the server's.
    pub query_timeout: Option<Duration>,
    /// Age up to which a kept result may answer; zero for never, `None` for what the workgroup says.
    pub result_reuse_max_age: Option<Duration>,
    /// Run queries over other databases in both forms, and compare.
    pub verify_pushdown: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            catalog: DEFAULT_CATALOG.to_owned(),
            database: DEFAULT_DATABASE.to_owned(),
            workgroup: DEFAULT_WORKGROUP.to_owned(),
            source: None,
            tags: BTreeMap::new(),
            log_object_requests: false,
            max_data_scanned_bytes: None,
            max_cost_usd: None,
            query_timeout: None,
            result_reuse_max_age: None,
            verify_pushdown: false,
        }
    }
}

/// Everything a query carries from the door to its last byte.
#[derive(Debug, Clone)]
pub struct QueryContext {
    /// Unique, sortable by time.
    pub id: String,
    /// Who asks.
    pub principal: Principal,
    /// Session snapshot.
    pub settings: SessionSettings,
    /// The one `now` of this query.
    pub now: DateTime<Utc>,
    /// The statement is answered by its estimate and not run.
    pub dry_run: bool,
    /// Cancelled when the client goes or says so.
    pub cancel: CancellationToken,
    /// The client's own deadline, where it set one.
    pub client_timeout: Option<Duration>,
    /// W3C trace id of the caller.
    pub trace_id: Option<String>,
}

impl QueryContext {
    /// A context for a query that arrives at `now`.
    pub fn new(principal: Principal, settings: SessionSettings, now: DateTime<Utc>) -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            principal,
            settings,
            now,
            dry_run: false,
            cancel: CancellationToken::new(),
            client_timeout: None,
            trace_id: None,
        }
    }
}
