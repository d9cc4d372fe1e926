//! Which rows of a batch an aggregate counts.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;

/// Runs `$body` for each row of a [`Taken`]. A macro, since a closure with two callers is not inlined, and a call per row
/// costs more than what is done with it.
macro_rules! each_row {
    ($taken:expr, $row:ident => $body:expr) => {
        match $taken.valid() {
            None => {
                for $row in 0..$taken.rows() {
                    $body;
                }
            }
            Some(valid) => {
                for $row in valid.valid_indices() {
                    $body;
                }
            }
        }
    };
}

pub(super) use each_row;

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
        Self::of(values.len(), NullBuffer::union(values.nulls(), passed.as_ref()))
    }

    /// Those of `rows` rows that are valid.
    pub(super) fn of(rows: usize, valid: Option<NullBuffer>) -> Self {
        Self {
            rows,
            only: valid.filter(|n| n.null_count() > 0),
        }
    }

    /// How many rows there are, those that do not count among them.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Which they are; `None` for all.
    pub(super) fn valid(&self) -> Option<&NullBuffer> {
        self.only.as_ref()
    }
}
