//! A large table is read in ranges of its pages, several at a time: each partition of the scan takes the next range
//! until none is left. Only the first one waits for a connection; the others take what is free, or leave the work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::scan::ScanRequest;

/// Smaller tables are read at once: 32 MB in pages of 8 KB.
const LARGE: u32 = 4_096;
/// Ranges for each partition, so that a slow one leaves more to the others.
const EACH: u32 = 4;
/// Partitions of a scan at most.
pub(super) const MOST: usize = 4;

/// How one scan is cut.
#[derive(Debug)]
pub(super) struct Ranges {
    /// Conditions on `ctid` that every row fulfils one of.
    conditions: Vec<String>,
    /// What each execution of the scan has done so far, and how often each partition was executed: the n-th time it
    /// takes part in the n-th execution.
    works: Mutex<(Vec<Arc<Work>>, Vec<usize>)>,
}

/// One execution of a scan, by one or several partitions.
#[derive(Debug, Default)]
pub(super) struct Work {
    next: AtomicUsize,
    /// The condition of dynamic filters, settled once for all partitions. Where there is one, an index may serve it,
    /// and the first partition asks for all of it.
    pub(super) condition: OnceCell<Option<String>>,
    /// What all partitions count on; it tells the receipt when the plan goes.
    pub(super) account: Mutex<Option<Arc<super::exec::Account>>>,
}

impl Work {
    /// Whether nothing was taken before this: the whole of the table is.
    pub(super) fn first(&self) -> bool {
        self.next.fetch_add(usize::MAX / 2, Ordering::Relaxed) == 0
    }
}

impl Ranges {
    /// The ranges of a scan of a whole large table by several partitions; others are in one piece.
    pub(super) fn of(request: &ScanRequest, partitions: usize) -> Self {
        let pages = request.table.pages.filter(|pages| *pages >= LARGE);
        let whole = request.filter.is_none() && request.limit.is_none();
        let conditions = match pages {
            Some(pages) if whole && partitions > 1 => cut(pages, partitions as u32 * EACH),
            _ => Vec::new(),
        };
        let partitions = if conditions.is_empty() { 1 } else { partitions };
        Self {
            conditions,
            works: Mutex::new((Vec::new(), vec![0; partitions])),
        }
    }

    /// The same, not yet executed.
    pub(super) fn anew(&self) -> Self {
        Self {
            conditions: self.conditions.clone(),
            works: Mutex::new((Vec::new(), vec![0; self.partitions()])),
        }
    }

    pub(super) fn partitions(&self) -> usize {
        self.works.lock().unwrap_or_else(PoisonError::into_inner).1.len()
    }

    /// Statements that a scan takes at most.
    pub(super) fn statements(&self) -> usize {
        self.conditions.len().max(1)
    }

    /// The execution that a partition takes part in now.
    pub(super) fn work(&self, partition: usize) -> Arc<Work> {
        let mut guard = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        let (works, executed) = &mut *guard;
        let time = executed.get(partition).copied().unwrap_or_default();
        if let Some(executed) = executed.get_mut(partition) {
            *executed += 1;
        }
        while works.len() <= time {
            works.push(Arc::default());
        }
        Arc::clone(&works[time])
    }

    /// Whether there is nothing left to be taken.
    pub(super) fn is_done(&self, work: &Work) -> bool {
        work.next.load(Ordering::Relaxed) >= self.statements()
    }

    /// The next piece of the table: its condition, or `Some(None)` for the whole of it.
    pub(super) fn take(&self, work: &Work) -> Option<Option<&str>> {
        let at = work.next.fetch_add(1, Ordering::Relaxed);
        match self.conditions.get(at) {
            Some(condition) => Some(Some(condition)),
            None => (self.conditions.is_empty() && at == 0).then_some(None),
        }
    }
}

/// The last one has no end: rows may lie behind the pages that the statistics know of.
fn cut(pages: u32, ranges: u32) -> Vec<String> {
    let each = pages.div_ceil(ranges);
    let range = |from: u32| {
        let to = from + each;
        match to < pages {
            true => format!("ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid"),
            false => format!("ctid >= '({from},0)'::tid"),
        }
    };
    (0..pages).step_by(each as usize).map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_page_once() {
        let found = cut(10, 4);
        assert_eq!(
            found,
            [
                "ctid >= '(0,0)'::tid AND ctid < '(3,0)'::tid",
                "ctid >= '(3,0)'::tid AND ctid < '(6,0)'::tid",
                "ctid >= '(6,0)'::tid AND ctid < '(9,0)'::tid",
                "ctid >= '(9,0)'::tid",
            ]
        );
        assert_eq!(cut(4_096, 8).len(), 8);
        assert_eq!(cut(3, 8).len(), 3);
    }
}
