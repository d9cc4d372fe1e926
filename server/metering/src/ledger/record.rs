//! One row of `system.queries`, and which rows one asks for.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::receipt::{QueryState, Receipt};

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
    /// Planned lower bound of `data_scanned_bytes`, where one was made.
    pub estimate_min_bytes: Option<u64>,
    /// Planned upper bound.
    pub estimate_max_bytes: Option<u64>,
    /// How good the estimate is, a word.
    pub estimate_confidence: Option<String>,
    /// W3C trace id of the caller.
    pub trace_id: Option<String>,
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
            estimate_min_bytes: None,
            estimate_max_bytes: None,
            estimate_confidence: None,
            trace_id: None,
        }
    }
}

/// Which queries [`Ledger::queries`](crate::Ledger::queries) returns: those that pass every given condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFilter {
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
