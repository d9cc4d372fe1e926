//! Bounds on what one step of a query holds outside the operators: rows computed at a time, and rows on their way out.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use owlake_fault::Fault;

use crate::error::fault_from;
use crate::memory::QueryMemoryPool;
use crate::wire::batch_bytes;

/// Rows that leave together take about this much; a message is made of each such piece, not of the whole batch.
const PIECE_BYTES: u64 = 2 << 20;
/// A wide piece is there up to so often: as rows, as a message, in the buffers of the transport.
const COPIES: u64 = 3;
/// Rows that are computed together take about this much where a plan makes wide rows.
const STEP_BYTES: usize = 16 << 20;

/// The rows of `batch` in pieces of at most about [`PIECE_BYTES`], at least a row each. Nothing is copied.
pub(super) fn pieces(batch: RecordBatch) -> Vec<RecordBatch> {
    let mut done = Vec::new();
    let mut open = vec![batch];
    while let Some(batch) = open.pop() {
        let rows = batch.num_rows();
        if rows < 2 || batch_bytes(&batch) <= PIECE_BYTES {
            done.push(batch);
        } else {
            open.push(batch.slice(rows / 2, rows - rows / 2));
            open.push(batch.slice(0, rows / 2));
        }
    }
    done
}

/// Whether a piece is larger than pieces are meant to be: one row that is.
pub(super) fn is_wide(piece: &RecordBatch) -> bool {
    batch_bytes(piece) > PIECE_BYTES
}

/// Memory for rows of `bytes` that leave; nothing for what is small.
pub(super) fn leaving(pool: &Arc<QueryMemoryPool>, bytes: u64) -> Result<Option<MemoryReservation>, Fault> {
    if bytes <= PIECE_BYTES {
        return Ok(None);
    }
    let pool = Arc::clone(pool) as Arc<dyn MemoryPool>;
    let reservation = MemoryConsumer::new("a row of the result on its way")
        .with_can_spill(true)
        .register(&pool);
    let bytes = usize::try_from(bytes.saturating_mul(COPIES)).unwrap_or(usize::MAX);
    reservation.try_grow(bytes).map_err(fault_from)?;
    Ok(Some(reservation))
}

/// How many rows to compute at a time where the widest takes `row_bytes`; `None` for as many as ever.
pub(super) fn rows_at_a_time(row_bytes: usize, usual: usize) -> Option<NonZeroUsize> {
    let rows = NonZeroUsize::new(STEP_BYTES / row_bytes.max(1)).unwrap_or(NonZeroUsize::MIN);
    (rows.get() < usual).then_some(rows)
}

/// `state` for a plan whose rows are wide: fewer of them at a time.
pub(super) fn with_rows_at_a_time(state: &mut SessionState, rows: NonZeroUsize) {
    let config = state.config().clone().with_batch_size(rows.get());
    *state.config_mut() = config;
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::StringArray;
    use datafusion::execution::memory_pool::UnboundedMemoryPool;

    fn texts(lengths: &[usize]) -> RecordBatch {
        let column: StringArray = lengths.iter().map(|n| Some("x".repeat(*n))).collect();
        RecordBatch::try_from_iter([("t", Arc::new(column) as _)]).unwrap()
    }

    #[test]
    fn a_large_batch_leaves_in_pieces_that_are_all_of_it_in_order() {
        let batch = texts(&[10, 3 << 20, 10, 1 << 20, 1 << 20, 1 << 20, 0]);
        let cut = pieces(batch.clone());
        assert!(cut.len() > 3);
        for piece in &cut {
            assert!(piece.num_rows() == 1 || batch_bytes(piece) <= PIECE_BYTES);
        }
        let joined = datafusion::arrow::compute::concat_batches(&batch.schema(), &cut).unwrap();
        assert_eq!(joined, batch);
        assert_eq!(pieces(texts(&[1, 2, 3])).len(), 1);
    }

    #[test]
    fn a_wide_row_is_reserved_while_it_leaves_or_refused() {
        let pool = Arc::new(QueryMemoryPool::new(
            Arc::new(UnboundedMemoryPool::default()),
            32 << 20,
        ));
        assert!(leaving(&pool, PIECE_BYTES).unwrap().is_none());
        let held = leaving(&pool, 8 << 20).unwrap();
        assert_eq!(pool.reserved(), 24 << 20);
        let refused = leaving(&pool, 8 << 20).unwrap_err();
        assert_eq!(refused.code().as_str(), "EXCEEDED_MEMORY_LIMIT");
        drop(held);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn wide_rows_are_computed_a_few_at_a_time() {
        assert_eq!(rows_at_a_time(0, 8192), None);
        assert_eq!(rows_at_a_time(2000, 8192), None);
        assert_eq!(rows_at_a_time(1 << 20, 8192), NonZeroUsize::new(16));
        assert_eq!(rows_at_a_time(1 << 30, 8192), NonZeroUsize::new(1));
    }
}
