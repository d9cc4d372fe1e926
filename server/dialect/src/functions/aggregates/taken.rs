//! Which rows of a batch an aggregate counts.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use datafusion::error::Result;

/// The rows that count: not NULL, and let through by the aggregate's own filter.
pub(super) struct Taken {
    rows: usize,
    only: Option<NullBuffer>,
}

impl Taken {
    /// The rows of `values` for which `filter`, where there is one, is true.
    pub(super) fn new(values: &ArrayRef, filter: Option<&BooleanArray>) -> Self {
        let passed = filter.map(|f| {
            let known = f.nulls().map(|nulls| f.values() & nulls.inner());
            NullBuffer::new(known.unwrap_or_else(|| f.values().clone()))
        });
        Self {
            rows: values.len(),
            only: NullBuffer::union(values.nulls(), passed.as_ref()).filter(|n| n.null_count() > 0),
        }
    }

    /// Calls `f` for each of them, up to its first error.
    #[inline(always)]
    pub(super) fn try_each(&self, mut f: impl FnMut(usize) -> Result<()>) -> Result<()> {
        match &self.only {
            None => (0..self.rows).try_for_each(f),
            Some(only) => only.valid_indices().try_for_each(&mut f),
        }
    }
}
