//! Limits of the engine and its workgroups; merged from file, environment and flags by the service.

use std::path::PathBuf;
use std::time::Duration;

use owlake_dialect::GuardLimits;
use owlake_metering::Usd;
use serde::{Deserialize, Serialize};

/// Settings of the engine. Sizes in bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Cap on `data_scanned_bytes` of one query; sessions may only lower it.
    pub max_data_scanned_bytes: Option<u64>,
    /// Cap on `cost_usd` of one query; sessions may only lower it.
    pub max_cost_usd: Option<Usd>,
    /// Files of one scan whose footers an estimate reads; the others are projected from the listing.
    pub estimate_files: usize,
    /// Time after which an estimate reads no further footer of a scan.
    pub estimate_time: Duration,
    /// Longest life of a query, planning and streaming included.
    pub query_timeout: Duration,
    /// Longest time for logical planning.
    pub planning_timeout: Duration,
    /// Memory for all queries together.
    pub memory_bytes: usize,
    /// Memory for one query.
    pub query_memory_bytes: usize,
    /// Disk for spill files; 0 switches spilling off.
    pub spill_bytes: u64,
    /// Where spill files go; the system's temporary directory by default.
    pub spill_dir: Option<PathBuf>,
    /// Queries that run at the same time.
    pub max_running: usize,
    /// Queries that may wait for a slot.
    pub max_queued: usize,
    /// CPU threads, and partitions of joins and aggregates; the number of cores by default.
    pub cpu_threads: Option<usize>,
    /// Memory for results that are kept to be reused; 0 keeps none.
    pub result_memory_bytes: u64,
    /// A larger result is not kept.
    pub max_kept_result_bytes: u64,
    /// Requests that `system.object_requests` keeps of one query.
    pub max_logged_requests: u64,
    /// Workgroups that SQL cannot change; `primary` may be among them.
    pub workgroups: Vec<WorkgroupConfig>,
    /// What the server was configured with, for `system.settings`.
    #[serde(skip)]
    pub server_settings: Vec<ServerSetting>,
    /// Limits on statement text.
    #[serde(skip)]
    pub guard: GuardLimits,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_data_scanned_bytes: None,
            max_cost_usd: None,
            estimate_files: 1_000,
            estimate_time: Duration::from_secs(10),
            query_timeout: Duration::from_secs(30 * 60),
            planning_timeout: Duration::from_secs(10),
            memory_bytes: 2 << 30,
            query_memory_bytes: 1 << 30,
            spill_bytes: 20 << 30,
            spill_dir: None,
            max_running: 16,
            max_queued: 200,
            cpu_threads: None,
            result_memory_bytes: 64 << 20,
            max_kept_result_bytes: 8 << 20,
            max_logged_requests: 10_000,
            workgroups: Vec::new(),
            server_settings: Vec::new(),
            guard: GuardLimits::default(),
        }
    }
}

/// A configured value as `system.settings` shows it: names and texts are those that an operator writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSetting {
    /// Section and key, `cache.result_memory`.
    pub name: String,
    /// Its value; empty where unset.
    pub value: String,
    /// Its value unless configured.
    pub default: String,
    /// The environment variable that sets it.
    pub env: String,
    /// What it does.
    pub description: String,
}

/// A workgroup: of the configuration, or as the ledger keeps it. Names are lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkgroupConfig {
    /// Its name.
    pub name: String,
    /// Athena's per-query cutoff; sessions may only lower it.
    pub bytes_scanned_cutoff_per_query: Option<u64>,
    /// Its queries that run at the same time; the server's limit holds besides.
    pub max_running: Option<usize>,
    /// Its queries that may wait for a slot; the server's limit holds besides.
    pub max_queued: Option<usize>,
    /// Age up to which its queries take kept results, where the session says nothing.
    pub result_reuse_max_age: Option<Duration>,
    /// Whether queries may run in it.
    pub state: WorkgroupState,
}

/// Athena's states of a workgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WorkgroupState {
    /// Queries run.
    #[default]
    Enabled,
    /// Queries are refused.
    Disabled,
}

impl WorkgroupState {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
        }
    }

    /// The state of a word, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled]
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(name))
    }
}
