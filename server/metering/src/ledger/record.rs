//! One row of `system.queries`, and which rows one asks for.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::http::ObjectRequest;
use crate::receipt::{QueryState, Receipt};
use crate::usd::Usd;

/// What the ledger keeps of a query: its receipt and who asked what, from where.
///
/// Serialized flat, under the column names of `system.queries`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryRecord {
    /// State, counters, money, times, error.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// Statement text, secrets masked by the caller.
    pub query: String,
    /// Hash of the normalised statement; equal for statements that differ in literals only.
    pub query_hash: String,
    /// When it got its slot; `None` while queued.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; `None` before.
    pub finished_at: Option<DateTime<Utc>>,
    /// Who asked.
    pub principal: String,
    /// What the client calls itself.
    pub source: Option<String>,
    /// Tags of the session and the request.
    pub tags: BTreeMap<String, String>,
    /// Session catalog.
    pub catalog: String,
    /// Session database.
    pub database: String,
    /// Calls to a Glue Data Catalog.
    pub glue_requests: u64,
    /// W3C trace id of the caller.
    pub trace_id: Option<String>,
    /// Requests to object stores, where the session asked for them; rows of `system.object_requests`.
    /// Written with the end of the query; not read back with the record.
    #[serde(skip)]
    pub object_requests: Vec<ObjectRequest>,
}

impl QueryRecord {
    /// A record with everything unknown but the receipt and the text.
    pub fn new(receipt: Receipt, query: impl Into<String>) -> Self {
        Self {
            receipt,
            query: query.into(),
            query_hash: String::new(),
            started_at: None,
            finished_at: None,
            principal: String::new(),
            source: None,
            tags: BTreeMap::new(),
            catalog: String::new(),
            database: String::new(),
            glue_requests: 0,
            trace_id: None,
            object_requests: Vec::new(),
        }
    }
}

/// One row of `system.scans` or `system.remote_queries`: a part of a query's work and the query it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPart<T> {
    /// The query.
    pub query_id: String,
    /// When that arrived.
    pub submitted_at: DateTime<Utc>,
    /// Who asked.
    pub principal: String,
    /// Where it ran.
    pub workgroup: String,
    /// A [`TableScan`](crate::TableScan) or a [`RemoteQuery`](crate::RemoteQuery).
    pub part: T,
}

/// One row of `system.object_requests`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The query.
    pub query_id: String,
    /// When that arrived.
    pub submitted_at: DateTime<Utc>,
    /// The request.
    pub request: ObjectRequest,
}

/// Place in the order of the ledger, newest first: `(submitted_at, query_id)` of a query.
pub type LedgerPosition = (DateTime<Utc>, String);

/// Rows of some queries, and where the next ones begin; `None` after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPage<T> {
    /// The rows, newest query first.
    pub rows: Vec<T>,
    /// To be given as [`LedgerFilter::after`].
    pub next: Option<LedgerPosition>,
}

/// One row of `system.usage`: what a principal used in a workgroup on one day (UTC) of submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// Workgroup.
    pub workgroup: String,
    /// Principal.
    pub principal: String,
    /// The day.
    pub day: chrono::NaiveDate,
    /// Statements that ended.
    pub queries: u64,
    /// Of these, refused by a cap, a quota or a full queue.
    pub refused: u64,
    /// As the counter.
    pub data_scanned_bytes: u64,
    /// By the price plan.
    pub cost_usd: Usd,
    /// What Athena would bill.
    pub athena_cost_usd: Usd,
}

/// Which queries [`Ledger::queries`](crate::Ledger::queries) returns: those that pass every given condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFilter {
    /// This query only.
    pub query_id: Option<String>,
    /// Submitted at or after.
    pub since: Option<DateTime<Utc>>,
    /// Submitted before.
    pub until: Option<DateTime<Utc>>,
    /// In this state.
    pub state: Option<QueryState>,
    /// Of this principal.
    pub principal: Option<String>,
    /// In this workgroup.
    pub workgroup: Option<String>,
    /// Older than this query, in the order of the result: `(submitted_at, query_id)` of the last row of a page.
    pub after: Option<(DateTime<Utc>, String)>,
    /// Most rows to return.
    pub limit: usize,
}

impl Default for LedgerFilter {
    /// The newest 10,000 queries.
    fn default() -> Self {
        Self {
            query_id: None,
            since: None,
            until: None,
            state: None,
            principal: None,
            workgroup: None,
            after: None,
            limit: 10_000,
        }
    }
}
