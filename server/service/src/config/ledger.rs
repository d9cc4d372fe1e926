//! What is configured of the ledger, of quotas and of workgroups.

use serde::{Deserialize, Serialize};

use super::{ByteSize, HumanDuration, Secret, file};

/// `[ledger]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerSection {
    /// How long ended queries stay in `system.queries` and `system.scans`.
    pub retention: HumanDuration,
    /// How long requests stay in `system.object_requests`.
    pub object_requests_retention: HumanDuration,
}

impl Default for LedgerSection {
    fn default() -> Self {
        Self {
            retention: HumanDuration::from_secs(45 * 86_400),
            object_requests_retention: HumanDuration::from_secs(7 * 86_400),
        }
    }
}

/// `[quota]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaSection {
    /// Where warnings of quotas with WARN AT are posted as JSON; it may hold a token.
    pub warn_webhook_url: Option<Secret>,
}

/// `[[workgroup]]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkgroupConfig {
    /// Name; `primary` is the group of queries that name none.
    pub name: String,
    /// Most bytes one query of the group may scan.
    pub bytes_scanned_cutoff_per_query: Option<ByteSize>,
    /// Its queries that run at once.
    #[serde(deserialize_with = "file::optional_count")]
    pub max_running: Option<u32>,
    /// Its queries that may wait.
    #[serde(deserialize_with = "file::optional_count")]
    pub max_queued: Option<u32>,
    /// Oldest result that its queries may be answered with.
    pub result_reuse_max_age: Option<HumanDuration>,
    /// `ENABLED` or `DISABLED`.
    pub state: owlake_engine::WorkgroupState,
}
