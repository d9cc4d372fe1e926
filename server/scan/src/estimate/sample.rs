//! The part of a scan's files that an estimate opened, and what that says of the others.

use std::sync::PoisonError;

use crate::context::ScanNode;

/// Which part of a scan's files an estimate looked at.
#[derive(Debug)]
pub(super) struct Sample {
    /// Files whose footers were read.
    pub(super) files: u64,
    bytes: u64,
    /// Files whose footers were not.
    pub(super) unopened_files: u64,
    unopened_bytes: u64,
}

impl Sample {
    pub(super) fn of(node: &ScanNode) -> Self {
        let (unopened_files, unopened_bytes) = *node.unopened.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            files: node.files_total.saturating_sub(unopened_files),
            bytes: node.listed_bytes().saturating_sub(unopened_bytes),
            unopened_files,
            unopened_bytes,
        }
    }

    /// What was found in the sample, for all files, by their number.
    pub(super) fn by_files(&self, found: u64) -> u64 {
        found.saturating_add(scale(found, self.unopened_files, self.files))
    }

    /// The same by their size.
    pub(super) fn by_bytes(&self, found: u64) -> u64 {
        found.saturating_add(scale(found, self.unopened_bytes, self.bytes))
    }
}

/// `part` for `more` where it was found for `seen`; rounded up.
fn scale(part: u64, more: u64, seen: u64) -> u64 {
    let product = u128::from(part) * u128::from(more);
    u64::try_from(product.div_ceil(u128::from(seen.max(1)))).unwrap_or(u64::MAX)
}
