//! What is configured of scans: how many files at once, in requests of which size, from stores that answer how.

use std::num::NonZeroU32;

use owlake_metering::Usd;
use owlake_scan::{ScanConfig, StoreModel};
use serde::{Deserialize, Serialize};

use super::{ByteSize, ConfigError, HumanDuration, file};

/// `[scan]`. Meanings and defaults are those of [`ScanConfig`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScanSection {
    /// Partitions one scan may read.
    #[serde(deserialize_with = "file::count")]
    pub max_partitions: u32,
    /// Files one scan may open.
    #[serde(deserialize_with = "file::count")]
    pub max_files: u32,
    /// Listings of one query at once.
    #[serde(deserialize_with = "file::positive")]
    pub list_parallelism: NonZeroU32,
    /// Footer reads of one query at once.
    #[serde(deserialize_with = "file::positive")]
    pub footer_parallelism: NonZeroU32,
    /// Streams that read one table of a remote store.
    #[serde(deserialize_with = "file::positive")]
    pub fan_out: NonZeroU32,
    /// Bytes read at a file's end in the hope that the footer is within.
    pub footer_hint: ByteSize,
    /// A larger footer is refused.
    pub max_footer: ByteSize,
    /// A file up to this size is fetched whole with its footer; 0 for never.
    pub whole_file: ByteSize,
    /// Ranges closer than this are fetched with one request.
    pub coalesce_gap: ByteSize,
    /// Longer ranges are fetched in parts of about this size, side by side; 0 for never.
    pub part: ByteSize,
    /// Bytes that one query may hold that it has not asked for yet; 0 for none.
    pub ahead: ByteSize,
    /// Object bytes in flight in the whole process; as many again may be held ahead.
    pub in_flight: ByteSize,
    /// An uncompressed file of lines is cut into ranges of about this.
    pub row_split: ByteSize,
    /// The most that one request asks for of a file of lines.
    pub row_chunk: ByteSize,
    /// A longer line fails the query.
    pub max_line: ByteSize,
    /// Time to the first byte of a store's answer.
    pub first_byte: HumanDuration,
    /// Bytes per second of one answer.
    pub bytes_per_second: ByteSize,
    /// Price of a GET.
    pub request_usd: Usd,
    /// Price of 10^9 transferred bytes.
    pub transfer_usd_per_gb: Usd,
}

/// Pico-dollars in a nano-dollar.
const PICO_PER_NANO: i128 = 1000;
/// MB in a GB.
const MB_PER_GB: i128 = 1000;

/// Counts of the defaults are small and none is 0.
fn small(count: usize) -> NonZeroU32 {
    u32::try_from(count)
        .ok()
        .and_then(NonZeroU32::new)
        .unwrap_or(NonZeroU32::MIN)
}

fn nanos(price: Usd) -> u64 {
    u64::try_from(price.pico() / PICO_PER_NANO).unwrap_or(0)
}

impl Default for ScanSection {
    fn default() -> Self {
        let scan = ScanConfig::default();
        let size = ByteSize::from_bytes;
        Self {
            max_partitions: u32::try_from(scan.max_partitions).unwrap_or(u32::MAX),
            max_files: u32::try_from(scan.max_files).unwrap_or(u32::MAX),
            list_parallelism: small(scan.list_parallelism),
            footer_parallelism: small(scan.footer_parallelism),
            fan_out: small(scan.remote_fan_out),
            footer_hint: size(scan.footer_hint_bytes),
            max_footer: size(scan.max_footer_bytes),
            whole_file: size(scan.whole_file_bytes),
            coalesce_gap: size(scan.coalesce_gap_bytes),
            part: size(scan.part_bytes),
            ahead: size(scan.ahead_bytes),
            in_flight: size(scan.in_flight_bytes),
            row_split: size(scan.row_split_bytes),
            row_chunk: size(scan.row_chunk_bytes),
            max_line: size(scan.max_line_bytes),
            first_byte: HumanDuration::from_millis(
                u64::try_from(scan.remote.first_byte.as_millis()).unwrap_or(u64::MAX),
            ),
            bytes_per_second: size(scan.remote.bytes_per_second),
            request_usd: Usd::from_pico(i128::from(scan.remote.request_nanousd) * PICO_PER_NANO),
            transfer_usd_per_gb: Usd::from_pico(
                i128::from(scan.remote.transfer_nanousd_per_mb) * PICO_PER_NANO * MB_PER_GB,
            ),
        }
    }
}

impl ScanSection {
    /// Refuses values that are fine as numbers and would stop every scan.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |message| {
            Err(ConfigError::Invalid {
                section: "scan",
                message,
            })
        };
        let sizes = [
            ("in_flight", self.in_flight),
            ("row_split", self.row_split),
            ("row_chunk", self.row_chunk),
            ("max_line", self.max_line),
            ("max_footer", self.max_footer),
        ];
        if let Some((key, _)) = sizes.iter().find(|(_, size)| size.bytes() == 0) {
            return invalid(format!("{key} has to be more than 0"));
        }
        let prices = [
            ("request_usd", self.request_usd),
            ("transfer_usd_per_gb", self.transfer_usd_per_gb),
        ];
        if let Some((key, _)) = prices.iter().find(|(_, price)| *price < Usd::ZERO) {
            return invalid(format!("{key} is a price and cannot be less than 0"));
        }
        Ok(())
    }

    /// These limits; those of caches are the defaults.
    pub(crate) fn limits(&self) -> ScanConfig {
        let count = |n: NonZeroU32| n.get() as usize;
        ScanConfig {
            max_partitions: u64::from(self.max_partitions),
            max_files: self.max_files as usize,
            list_parallelism: count(self.list_parallelism),
            footer_parallelism: count(self.footer_parallelism),
            remote_fan_out: count(self.fan_out),
            footer_hint_bytes: self.footer_hint.bytes(),
            max_footer_bytes: self.max_footer.bytes(),
            whole_file_bytes: self.whole_file.bytes(),
            coalesce_gap_bytes: self.coalesce_gap.bytes(),
            part_bytes: self.part.bytes(),
            ahead_bytes: self.ahead.bytes(),
            in_flight_bytes: self.in_flight.bytes(),
            row_split_bytes: self.row_split.bytes(),
            row_chunk_bytes: self.row_chunk.bytes(),
            max_line_bytes: self.max_line.bytes(),
            remote: StoreModel {
                first_byte: self.first_byte.duration(),
                bytes_per_second: self.bytes_per_second.bytes(),
                request_nanousd: nanos(self.request_usd),
                transfer_nanousd_per_mb: nanos(self.transfer_usd_per_gb)
                    / u64::try_from(MB_PER_GB).unwrap_or(1),
            },
            ..ScanConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_scans() {
        assert_eq!(ScanSection::default().limits(), ScanConfig::default());
    }

    #[test]
    fn prices_are_of_a_request_and_of_a_gigabyte() {
        let section = ScanSection {
            request_usd: "0.0000005".parse().unwrap(),
            transfer_usd_per_gb: "0.02".parse().unwrap(),
            ..ScanSection::default()
        };
        let remote = section.limits().remote;
        assert_eq!(
            (remote.request_nanousd, remote.transfer_nanousd_per_mb),
            (500, 20_000)
        );
    }

    #[test]
    fn what_would_stop_every_scan_is_refused() {
        let zero = ScanSection {
            row_chunk: ByteSize::from_bytes(0),
            ..ScanSection::default()
        };
        assert!(
            zero.check()
                .unwrap_err()
                .to_string()
                .starts_with("[scan] row_chunk")
        );
        let gift = ScanSection {
            request_usd: Usd::from_pico(-1),
            ..ScanSection::default()
        };
        assert!(
            gift.check()
                .unwrap_err()
                .to_string()
                .starts_with("[scan] request_usd")
        );
        ScanSection::default().check().unwrap();
    }
}
