//! Limits and sizes of the scan room; merged from file, environment and flags by the service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of scans and their caches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScanConfig {
    /// Memory for parsed footers, bytes.
    pub footer_memory_bytes: u64,
    /// How long a listing is believed; a file added meanwhile is seen after that. Never applied to `file://`.
    pub listing_ttl: Duration,
    /// Memory for listings, bytes.
    pub listing_memory_bytes: u64,
    /// Partitions one scan may read (Athena: 1,000,000).
    pub max_partitions: u64,
    /// Files one scan may open.
    pub max_files: usize,
    /// Listings in flight per query.
    pub list_parallelism: usize,
    /// Footer reads in flight per query.
    pub footer_parallelism: usize,
    /// Scan partitions (streams that fetch at the same time) per table on a remote store.
    pub remote_fan_out: usize,
    /// Bytes read at a file's end in the hope that the footer is within.
    pub footer_hint_bytes: u64,
    /// A footer larger than this is refused.
    pub max_footer_bytes: u64,
    /// Ranges closer than this are fetched with one request.
    pub coalesce_gap_bytes: u64,
    /// An uncompressed file of lines is cut into ranges of about this, read at the same time. Bytes.
    pub row_split_bytes: u64,
    /// The most that one request asks for of a file of lines, bytes.
    pub row_chunk_bytes: u64,
    /// A longer line fails the query (Athena: 32 MB). Bytes, unpacked.
    pub max_line_bytes: u64,
    /// Object bytes in flight in the whole process.
    pub in_flight_bytes: u64,
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            footer_memory_bytes: 256 << 20,
            listing_ttl: Duration::from_secs(30),
            listing_memory_bytes: 64 << 20,
            max_partitions: 1_000_000,
            max_files: 200_000,
            list_parallelism: 64,
            footer_parallelism: 64,
            remote_fan_out: 16,
            footer_hint_bytes: 64 << 10,
            max_footer_bytes: 16 << 20,
            coalesce_gap_bytes: 256 << 10,
            row_split_bytes: 32 << 20,
            row_chunk_bytes: 4 << 20,
            max_line_bytes: 32 << 20,
            in_flight_bytes: 512 << 20,
        }
    }
}
