//! What can be asked of a scan's account beside its counters: bytes by file, footers, what an estimate left alone, its
//! part in passing a cap.

use std::sync::PoisonError;

use owlake_metering::BudgetExceeded;

use crate::context::{FileAccount, ScanContext, ScanNode};
use crate::error::ScanError;
use crate::file_version::FileVersion;
use crate::listing::ListedFile;
use crate::range_set::RangeSet;

impl ScanNode {
    /// The cap error with this table's name and partition columns.
    pub fn cap_exceeded(&self, context: &ScanContext, e: &BudgetExceeded, at_least: bool) -> ScanError {
        ScanError::CapExceeded {
            table: self.qualified_name(),
            needed_bytes: e.settled_bytes.saturating_add(e.needed_bytes),
            at_least,
            limit_bytes: e.limit_bytes,
            read_bytes: e.settled_bytes,
            workgroup: context.workgroup.clone(),
            partition_columns: self.partition_columns.clone(),
        }
    }

    /// The data bytes of `file` that were counted.
    pub(crate) fn data_read(&self, file: &FileVersion) -> RangeSet {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files
            .get(file)
            .map(|account| account.data.clone())
            .unwrap_or_default()
    }

    /// Sum of the sizes of all listed files.
    pub(crate) fn listed_bytes(&self) -> u64 {
        let files = self.listings.iter().flat_map(|l| l.files.iter());
        files.map(|f| f.version.size_bytes()).sum()
    }

    /// Size and footer size of every file whose footer was looked at.
    pub(crate) fn footers(&self) -> Vec<(u64, u64)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let footer = |(version, account): (&FileVersion, &FileAccount)| {
            account.footer_bytes.map(|bytes| (version.size_bytes(), bytes))
        };
        files.iter().filter_map(footer).collect()
    }

    /// Remembers a file that a row limit leaves out: the answer is as right with another version of it.
    pub(crate) fn leave_beyond_limit(&self, file: FileVersion) {
        let mut beyond = self.beyond_limit.lock().unwrap_or_else(PoisonError::into_inner);
        beyond.insert(file);
    }

    /// Remembers a file whose footer an estimate leaves alone.
    pub(crate) fn leave_unopened(&self, file: &ListedFile) {
        let mut unopened = self.unopened.lock().unwrap_or_else(PoisonError::into_inner);
        unopened.0 += 1;
        unopened.1 += file.version.size_bytes();
    }
}
