//! The receipt of one query: what it read, what that cost, how it ended. Rendering it is the client's business.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::meter::Counters;
use crate::usd::Usd;

/// Where a query stands; Athena's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum QueryState {
    /// Waits for a slot.
    Queued,
    /// Plans, runs or streams.
    Running,
    /// Ended well; all rows were sent.
    Succeeded,
    /// Ended by an error.
    Failed,
    /// Ended by the client, an administrator or the bytes-scanned cap.
    Cancelled,
}

impl QueryState {
    /// All states.
    pub const ALL: &'static [Self] = &[
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word in the ledger and the receipt.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The state of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == name)
    }

    /// Whether nothing comes after it.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// Athena's class of a statement; decides whether it is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StatementType {
    /// CREATE, ALTER, DROP, MSCK and the like.
    Ddl,
    /// Queries and writes; EXPLAIN ANALYZE too, since it runs its query.
    Dml,
    /// SHOW, DESCRIBE, plain EXPLAIN, SET.
    Utility,
}

impl StatementType {
    /// All classes.
    pub const ALL: &'static [Self] = &[Self::Ddl, Self::Dml, Self::Utility];

    /// The word in the ledger and the receipt.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ddl => "DDL",
            Self::Dml => "DML",
            Self::Utility => "UTILITY",
        }
    }

    /// The class of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.as_str() == name)
    }
}

/// What one scan of one table considered and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableScan {
    /// Catalog name.
    pub catalog: String,
    /// Database name.
    pub database: String,
    /// Table name.
    pub table_name: String,
    /// Partitions the table has; unknown where a projection has no end that was enumerated.
    pub partitions_total: Option<u64>,
    /// Partitions left after pruning.
    pub partitions_read: u64,
    /// Files listed in those partitions.
    pub files_total: u64,
    /// Files of which data was needed.
    pub files_read: u64,
    /// Row groups of the files opened.
    pub row_groups_total: u64,
    /// Row groups of which data was needed.
    pub row_groups_read: u64,
    /// As the counter, of this scan.
    pub data_scanned_bytes: u64,
    /// As the counter, of this scan.
    pub metadata_bytes: u64,
}

/// A statement that a database beside the lake answered for the query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemoteQuery {
    /// Catalog of the database.
    pub catalog: String,
    /// As it was sent; the beginning of a long one. Ranges that one statement was split into count as one.
    pub remote_query: String,
    /// As the counter, of this statement.
    pub remote_rows: u64,
    /// As the counter, of this statement.
    pub remote_bytes: u64,
    /// From its beginning until the last bytes arrived.
    pub elapsed_ms: u64,
}

/// Everything a user learns about one query's work. Serialized flat, under the column names of `system.queries`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Receipt {
    /// Query id.
    pub query_id: String,
    /// How it ended.
    pub state: QueryState,
    /// Class of the statement.
    pub statement_type: StatementType,
    /// Byte and request counters.
    #[serde(flatten)]
    pub counters: Counters,
    /// Bytes that Athena would bill, after minimum and rounding.
    pub billed_bytes: u64,
    /// Cost by this deployment's price plan.
    pub cost_usd: Usd,
    /// What Athena would bill.
    pub athena_cost_usd: Usd,
    /// Name of the price plan.
    pub price_plan: String,
    /// The amount read depended on timing (bare LIMIT, TopK, join filters).
    pub timing_dependent: bool,
    /// Rows sent to the client, or changed.
    pub rows_returned: u64,
    /// Bytes of the record batches sent to the client.
    pub bytes_returned: u64,
    /// When the statement arrived.
    pub submitted_at: DateTime<Utc>,
    /// Time spent waiting for a slot.
    #[serde(rename = "queued_ms", serialize_with = "whole_ms")]
    pub queue_time: Duration,
    /// Time spent planning, partition pruning and listing included.
    #[serde(rename = "planning_ms", serialize_with = "whole_ms")]
    pub planning_time: Duration,
    /// Time spent running and streaming.
    #[serde(rename = "execution_ms", serialize_with = "whole_ms")]
    pub execution_time: Duration,
    /// From arrival to end.
    #[serde(rename = "total_ms", serialize_with = "whole_ms")]
    pub total_time: Duration,
    /// One entry per scan of a table.
    pub scans: Vec<TableScan>,
    /// One entry per statement that another database answered, in the order of their ends.
    pub remote_queries: Vec<RemoteQuery>,
    /// Sentences the user should see.
    pub notices: Vec<String>,
    /// Stable error name, when it did not succeed.
    pub error_code: Option<String>,
    /// Client-safe error text.
    pub error_message: Option<String>,
    /// Workgroup it ran in.
    pub workgroup: String,
    /// The cap that applied to it.
    pub max_data_scanned_bytes: Option<u64>,
    /// The query whose kept result answered this one; nothing was scanned then.
    pub reused_query_id: Option<String>,
    /// Lower bound of `data_scanned_bytes`, as the plan had it before its first read; `None` where none was made.
    pub estimate_min_bytes: Option<u64>,
    /// Upper bound.
    pub estimate_max_bytes: Option<u64>,
    /// How sure: `exact`, `upper-bound` or `heuristic`.
    pub estimate_confidence: Option<String>,
    /// Highest memory reservation.
    pub peak_memory_bytes: u64,
    /// Bytes written to spill files.
    pub spilled_bytes: u64,
    /// Release that ran it.
    pub server_version: String,
}

fn whole_ms<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Receipt {
    /// A receipt with nothing counted yet, in state RUNNING.
    pub fn new(
        query_id: impl Into<String>,
        statement_type: StatementType,
        submitted_at: DateTime<Utc>,
    ) -> Self {
        Self {
            query_id: query_id.into(),
            state: QueryState::Running,
            statement_type,
            counters: Counters::default(),
            billed_bytes: 0,
            cost_usd: Usd::ZERO,
            athena_cost_usd: Usd::ZERO,
            price_plan: String::new(),
            timing_dependent: false,
            rows_returned: 0,
            bytes_returned: 0,
            submitted_at,
            queue_time: Duration::ZERO,
            planning_time: Duration::ZERO,
            execution_time: Duration::ZERO,
            total_time: Duration::ZERO,
            scans: Vec::new(),
            remote_queries: Vec::new(),
            notices: Vec::new(),
            error_code: None,
            error_message: None,
            workgroup: String::new(),
            max_data_scanned_bytes: None,
            reused_query_id: None,
            estimate_min_bytes: None,
            estimate_max_bytes: None,
            estimate_confidence: None,
            peak_memory_bytes: 0,
            spilled_bytes: 0,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for &state in QueryState::ALL {
            assert_eq!(QueryState::from_name(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for &class in StatementType::ALL {
            assert_eq!(StatementType::from_name(class.as_str()), Some(class));
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
        assert_eq!(QueryState::from_name("queued"), None);
    }

    #[test]
    fn json_is_flat_with_the_column_names_of_system_queries() {
        let mut receipt = Receipt::new("q1", StatementType::Dml, DateTime::UNIX_EPOCH);
        receipt.counters.get_requests = 3;
        receipt.cost_usd = Usd::from_pico(5);
        receipt.planning_time = Duration::from_micros(12_900);
        let json = serde_json::to_value(&receipt).unwrap();
        assert_eq!(json["get_requests"], 3);
        assert_eq!(json["cost_usd"], "0.000000000005");
        assert_eq!(json["planning_ms"], 12);
        assert_eq!(json["state"], "RUNNING");
        assert_eq!(json["submitted_at"], "1970-01-01T00:00:00Z");
    }
}
