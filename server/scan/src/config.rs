//! Limits and sizes of the scan room; merged from file, environment and flags by the service.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::location::StoreId;

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
    /// Directory for footers, so that a restart finds them; none by default.
    pub footer_disk_dir: Option<PathBuf>,
    /// Most bytes in it.
    pub footer_disk_bytes: u64,
    /// Directory for data blocks; none by default.
    pub block_disk_dir: Option<PathBuf>,
    /// Most bytes in it.
    pub block_disk_bytes: u64,
    /// Memory for data blocks of remote files, bytes; 0 caches none.
    pub block_memory_bytes: u64,
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
    /// A file up to this size is fetched whole with its footer, where the query reads data; 0 for never.
    pub whole_file_bytes: u64,
    /// Ranges closer than this are fetched with one request, where [`StoreModel::gap_bytes`] agrees.
    pub coalesce_gap_bytes: u64,
    /// An uncompressed file of lines is cut into ranges of about this, read at the same time. Bytes.
    pub row_split_bytes: u64,
    /// The most that one request asks for of a file of lines, bytes.
    pub row_chunk_bytes: u64,
    /// A longer line fails the query (Athena: 32 MB). Bytes, unpacked.
    pub max_line_bytes: u64,
    /// Longer ranges are fetched in parts of about this size, side by side; 0 for never.
    pub part_bytes: u64,
    /// Bytes that one query may hold that it has not asked for yet; 0 for none.
    pub ahead_bytes: u64,
    /// Object bytes in flight in the whole process; as many again may be held ahead of their use.
    pub in_flight_bytes: u64,
    /// How remote stores answer. Local files have no such model: nothing is joined, split or fetched ahead.
    pub remote: StoreModel,
}

/// What a request and a byte of a store cost, in time and in money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreModel {
    /// Time to the first byte of an answer.
    pub first_byte: Duration,
    /// Speed of one body, bytes per second.
    pub bytes_per_second: u64,
    /// Price of a GET, 10^-9 USD.
    pub request_nanousd: u64,
    /// Price of a transferred MB (10^6 bytes), 10^-9 USD; 0 within one region.
    pub transfer_nanousd_per_mb: u64,
}

impl StoreModel {
    /// Bytes that arrive in the time to a first byte: below that, fewer requests are faster.
    pub fn first_byte_bytes(&self) -> u64 {
        let bytes = u128::from(self.bytes_per_second) * self.first_byte.as_micros() / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The largest gap that is worth reading rather than asking twice: by time and by price.
    pub fn gap_bytes(&self) -> u64 {
        let by_price = self
            .request_nanousd
            .saturating_mul(1_000_000)
            .checked_div(self.transfer_nanousd_per_mb)
            .unwrap_or(u64::MAX);
        self.first_byte_bytes().min(by_price)
    }
}

impl Default for StoreModel {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_millis(30),
            bytes_per_second: 80_000_000,
            request_nanousd: 400,
            transfer_nanousd_per_mb: 0,
        }
    }
}

/// How the files of one store are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadShape {
    /// Ranges closer than this are fetched with one request.
    pub gap_bytes: u64,
    /// Longer ranges are fetched in parts of about this size.
    pub part_bytes: u64,
    /// A file up to this size is fetched whole with its footer.
    pub whole_file_bytes: u64,
    /// Whether ranges are fetched before they are asked for.
    pub ahead: bool,
}

impl ScanConfig {
    /// Files below this are worth less than the request that each of them costs.
    pub fn small_file_bytes(&self) -> u64 {
        self.whole_file_bytes / 4
    }

    /// How files of `store` are read.
    pub(crate) fn read_shape(&self, store: &StoreId) -> ReadShape {
        if matches!(store, StoreId::File) {
            return ReadShape {
                gap_bytes: 0,
                part_bytes: u64::MAX,
                whole_file_bytes: 0,
                ahead: false,
            };
        }
        let free = self.remote.first_byte_bytes();
        ReadShape {
            gap_bytes: self.coalesce_gap_bytes.min(self.remote.gap_bytes()),
            // A part that arrives before the next request's first byte gains nothing.
            part_bytes: match self.part_bytes {
                0 => u64::MAX,
                bytes => bytes.max(2 * free),
            },
            whole_file_bytes: self.whole_file_bytes.min(free),
            ahead: self.ahead_bytes > 0,
        }
    }
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            footer_memory_bytes: 256 << 20,
            listing_ttl: Duration::from_secs(30),
            listing_memory_bytes: 64 << 20,
            footer_disk_dir: None,
            footer_disk_bytes: 1_000_000_000,
            block_disk_dir: None,
            block_disk_bytes: 20_000_000_000,
            // What the footers get: the hot columns of a few dashboards, an eighth of the default memory of queries.
            block_memory_bytes: 256 << 20,
            max_partitions: 1_000_000,
            max_files: 200_000,
            list_parallelism: 64,
            footer_parallelism: 128,
            remote_fan_out: 16,
            footer_hint_bytes: 64 << 10,
            max_footer_bytes: 16 << 20,
            row_split_bytes: 32 << 20,
            row_chunk_bytes: 4 << 20,
            max_line_bytes: 32 << 20,
            whole_file_bytes: 1 << 20,
            coalesce_gap_bytes: 512 << 10,
            part_bytes: 8 << 20,
            ahead_bytes: 64 << 20,
            in_flight_bytes: 256 << 20,
            remote: StoreModel::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_read_while_it_is_faster_and_cheaper_than_a_request() {
        let same_region = StoreModel::default();
        assert_eq!(same_region.gap_bytes(), 2_400_000);
        let other_region = StoreModel {
            transfer_nanousd_per_mb: 20_000,
            ..same_region
        };
        assert_eq!(other_region.gap_bytes(), 20_000);
        let at_once = StoreModel {
            first_byte: Duration::ZERO,
            ..same_region
        };
        assert_eq!(at_once.gap_bytes(), 0);
    }

    #[test]
    fn local_files_are_read_as_asked() {
        let shape = ScanConfig::default().read_shape(&StoreId::File);
        assert_eq!(
            (shape.gap_bytes, shape.whole_file_bytes, shape.ahead),
            (0, 0, false)
        );
        let remote = ScanConfig::default().read_shape(&StoreId::S3 {
            bucket: "b".to_owned(),
        });
        assert_eq!((remote.gap_bytes, remote.part_bytes), (512 << 10, 8 << 20));
        assert!(remote.ahead);
    }
}
