//! What the scans of a query add to its receipt: themselves, statements to other databases, notices.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use owlake_metering::{RemoteQuery, TableScan};

use crate::context::{ScanContext, ScanNode};
use crate::files::SmallFiles;

/// Filled by planning and by streams, side by side.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Parts>);

#[derive(Debug, Default)]
struct Parts {
    nodes: Vec<Arc<ScanNode>>,
    remote_queries: Vec<RemoteQuery>,
    notices: Vec<String>,
    small_files: Vec<SmallFiles>,
}

impl Report {
    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For an attempt that is planned again; what it asked of other databases was asked.
    pub(crate) fn forget_scans(&self) {
        self.lock().nodes.clear();
    }
}

impl ScanContext {
    /// Adds a notice to the receipt, once.
    pub fn notice(&self, text: String) {
        let notices = &mut self.report.lock().notices;
        if !notices.contains(&text) {
            notices.push(text);
        }
    }

    /// Adds a notice on small files, once; what they took is said at the end.
    pub(crate) fn notice_small_files(&self, small: SmallFiles) {
        let known = &mut self.report.lock().small_files;
        if !known.contains(&small) {
            known.push(small);
        }
    }

    /// Notices so far.
    pub fn notices(&self) -> Vec<String> {
        let share = self.stores.small_share();
        let report = self.report.lock();
        let small = report.small_files.iter().map(|small| small.notice(share));
        report.notices.iter().cloned().chain(small).collect()
    }

    /// Adds a statement that another database has answered.
    pub fn remote_query(&self, query: RemoteQuery) {
        self.report.lock().remote_queries.push(query);
    }

    /// Statements that other databases answered so far, in the order of their ends.
    pub fn remote_queries(&self) -> Vec<RemoteQuery> {
        self.report.lock().remote_queries.clone()
    }

    pub(crate) fn register(&self, node: Arc<ScanNode>) {
        self.report.lock().nodes.push(node);
    }

    /// Scans so far, in planning order.
    pub fn nodes(&self) -> Vec<Arc<ScanNode>> {
        self.report.lock().nodes.clone()
    }

    /// What each scan considered and kept.
    pub fn table_scans(&self) -> Vec<TableScan> {
        self.nodes().iter().map(|node| node.table_scan()).collect()
    }
}
