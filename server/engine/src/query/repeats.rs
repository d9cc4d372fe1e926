//! Memory around operators that repeat rows (joins, UNNEST) or keep all of them unreserved (windows over a whole
//! partition): what they are about to make of their input is looked at before they do. What they and scans made is
//! handed on with pauses, in which others have their turn.
//!
//! A join hands on as many rows at a time as ever, however wide they are. Where that is too much, the query starts
//! again with fewer rows at a time; where even that is, it is refused.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, RecordBatchStream, SendableRecordBatchStream,
};
use futures::{Stream, StreamExt};
use owlake_dialect::functions::value_bytes;
use owlake_fault::{Code, Fault};

use crate::query::pieces::rows_at_a_time;

/// What an operator makes at a time is not looked at below this.
const UNSEEN_BYTES: usize = 16 << 20;
/// Above this a query starts again with fewer rows at a time.
const WIDE_BYTES: usize = 64 << 20;

/// How many rows at a time an attempt should have had; 0 while it is fine.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted(Arc<AtomicUsize>);

impl Wanted {
    /// The number, once: asking takes it.
    pub(super) fn take(&self) -> Option<std::num::NonZeroUsize> {
        std::num::NonZeroUsize::new(self.0.swap(0, Ordering::Relaxed))
    }

    fn fewer(&self, rows: usize) {
        self.0.store(rows, Ordering::Relaxed);
    }
}

/// `plan` with its joins, UNNESTs and windows watched, and its scans where there are joins or rows are `wide`; wide ones
/// are copied. The last change of a plan: rules do not know these nodes.
pub(super) fn watched(
    plan: Arc<dyn ExecutionPlan>,
    wanted: &Wanted,
    wide: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    // Elsewhere a scan goes on: of several sorts or aggregates, which the others would begin beside it, each holds memory.
    let pauses = wide || plan.exists(|node| Ok(repeats(node)))?;
    let watched = plan.transform_up(|node| {
        let watch = |input, use_of_rows| {
            let wanted = wanted.clone();
            Arc::new(WatchedExec {
                input,
                use_of_rows,
                wanted,
                executions: AtomicUsize::new(0),
            }) as Arc<dyn ExecutionPlan>
        };
        if pauses && node.children().is_empty() {
            let use_of_rows = if wide { Use::Reads } else { Use::Takes };
            return Ok(Transformed::yes(watch(node, use_of_rows)));
        }
        let use_of_rows = if node.is::<WindowAggExec>() {
            Use::Keeps
        } else if repeats(&node) {
            Use::Repeats
        } else {
            return Ok(Transformed::no(node));
        };
        let inputs = node.children().into_iter();
        let inputs = inputs
            .map(|input| watch(Arc::clone(input), use_of_rows))
            .collect();
        let same = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(Transformed::yes(watch(
            node.replace_children(inputs, same)?,
            Use::Takes,
        )))
    })?;
    Ok(watched.data)
}

fn repeats(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<CrossJoinExec>()
        || node.is::<HashJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<PiecewiseMergeJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<UnnestExec>()
}

/// What an operator does with its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Any row may be there as often as rows are made at a time.
    Repeats,
    /// All rows are kept, and joined into one batch at the end.
    Keeps,
    /// What the operator made is taken. A join makes rows for hours out of one batch; others get their turn meanwhile,
    /// and it can be stopped. A task that a scan never stops keeps the task that it woke last, as a join does with the
    /// other streams that waited for its build side: tokio lets no other thread take that one over.
    Takes,
    /// As [`Self::Takes`], of a scan that hands on a few rows at a time. Texts in views keep the page that they were
    /// decoded from, so hundreds of small batches would each be counted as that page: they are copied out of it.
    Reads,
}

impl Use {
    fn text(self) -> &'static str {
        match self {
            Self::Repeats => "the rows of a join",
            Self::Keeps => "the rows of a window",
            Self::Takes => "what an operator made",
            Self::Reads => "what a scan read",
        }
    }
}

/// Batches that are taken from an operator before others get their turn.
const IN_A_ROW: u32 = 8;

#[derive(Debug)]
struct WatchedExec {
    input: Arc<dyn ExecutionPlan>,
    use_of_rows: Use,
    wanted: Wanted,
    /// How often a partition was executed.
    executions: AtomicUsize,
}

impl WatchedExec {
    /// A nested loop join whose left side does not fit into memory executes that side once more, to write it to disk.
    /// Scans hand out each file once for all executions of a node, so that rows would be missing.
    fn check_first(&self) -> Result<()> {
        let partitions = self.input.properties().output_partitioning().partition_count();
        if self.executions.fetch_add(1, Ordering::Relaxed) < partitions || self.use_of_rows != Use::Repeats {
            return Ok(());
        }
        let fault = Fault::new(
            Code::ExceededMemoryLimit,
            "The left side of a join without an equality does not fit into the memory of the query",
        );
        let hint = "Join on an equality, filter the left side, or raise limits.memory.";
        Err(DataFusionError::External(Box::new(fault.with_hint(hint))))
    }
}

impl DisplayAs for WatchedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchedExec: {}", self.use_of_rows.text())
    }
}

impl ExecutionPlan for WatchedExec {
    fn name(&self) -> &'static str {
        "WatchedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self {
                input,
                use_of_rows: self.use_of_rows,
                wanted: self.wanted.clone(),
                executions: AtomicUsize::new(0),
            })),
            _ => Err(DataFusionError::Internal("WatchedExec has one input".into())),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.check_first()?;
        let reservation = MemoryConsumer::new(self.use_of_rows.text())
            // Released as soon as the operator is done, and counted in full below.
            .with_can_spill(true)
            .register(context.memory_pool());
        Ok(Box::pin(WatchedStream {
            use_of_rows: self.use_of_rows,
            wanted: self.wanted.clone(),
            rows: context.session_config().batch_size(),
            widest: 0,
            // The first batch is where a task begins that others were waiting with.
            taken: IN_A_ROW - 1,
            reservation,
            input: self.input.execute(partition, context)?,
        }))
    }
}

struct WatchedStream {
    use_of_rows: Use,
    wanted: Wanted,
    rows: usize,
    widest: usize,
    taken: u32,
    reservation: MemoryReservation,
    input: SendableRecordBatchStream,
}

impl WatchedStream {
    fn look(&mut self, batch: &RecordBatch) -> Result<()> {
        match self.use_of_rows {
            Use::Takes | Use::Reads => {
                self.taken += 1;
                Ok(())
            }
            Use::Keeps => {
                let columns = batch.columns().iter().map(|column| column.to_data());
                let bytes: usize = columns.map(|c| value_bytes(&c, 0, c.len())).sum();
                self.reservation.try_grow(bytes.saturating_mul(2))
            }
            Use::Repeats => {
                let widest = widest_row(batch, self.rows);
                if widest <= self.widest {
                    return Ok(());
                }
                self.widest = widest;
                let bytes = widest.saturating_mul(self.rows);
                if bytes > WIDE_BYTES
                    && let Some(fewer) = rows_at_a_time(widest, self.rows)
                {
                    self.wanted.fewer(fewer.get());
                    return Err(too_wide(widest, self.rows));
                }
                if bytes <= UNSEEN_BYTES {
                    return Ok(());
                }
                self.reservation.try_resize(bytes)
            }
        }
    }
}

fn too_wide(widest: usize, rows: usize) -> DataFusionError {
    let text =
        format!("a join or UNNEST repeats rows of up to {widest} bytes, {rows} at a time (limits.memory)");
    let fault = Fault::new(Code::ExceededMemoryLimit, text);
    DataFusionError::External(Box::new(
        fault.with_hint("Join shorter values, and make them long afterwards."),
    ))
}

/// Bytes that no row is wider than, of what has no fixed width; not looked for below what `rows` rows may have unseen.
fn widest_row(batch: &RecordBatch, rows: usize) -> usize {
    let columns = || {
        let columns = batch.columns().iter();
        columns.filter(|column| column.data_type().primitive_width().is_none())
    };
    let count = batch.num_rows();
    let whole = columns().map(|c| value_bytes(&c.to_data(), 0, count)).sum();
    if rows.saturating_mul(whole) <= UNSEEN_BYTES {
        return whole;
    }
    columns().map(widest_value).sum()
}

fn widest_value(column: &ArrayRef) -> usize {
    if let Some(texts) = column.as_string_opt::<i32>() {
        let lengths = texts.offsets().windows(2).map(|ends| ends[1] - ends[0]);
        return lengths
            .max()
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(0);
    }
    let data = column.to_data();
    (0..data.len())
        .map(|i| value_bytes(&data, i, i + 1))
        .max()
        .unwrap_or(0)
}

/// `batch` without the buffers that its texts in views share with other batches.
fn on_its_own(batch: RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| -> ArrayRef {
        if let Some(texts) = column.as_string_view_opt() {
            Arc::new(texts.gc())
        } else if let Some(bytes) = column.as_binary_view_opt() {
            Arc::new(bytes.gc())
        } else {
            Arc::clone(column)
        }
    });
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        batch.schema(),
        columns.collect(),
        &rows,
    )?)
}

impl Stream for WatchedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.taken >= IN_A_ROW {
            self.taken = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = std::task::ready!(self.input.poll_next_unpin(cx));
        Poll::Ready(next.map(|batch| {
            let batch = batch?;
            self.look(&batch)?;
            match self.use_of_rows {
                Use::Reads => on_its_own(batch),
                _ => Ok(batch),
            }
        }))
    }
}

impl RecordBatchStream for WatchedStream {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, StringViewArray};

    #[test]
    fn a_few_rows_of_a_page_are_counted_as_themselves() {
        let numbers = Int64Array::from_iter_values(0..1000);
        let texts: StringViewArray = (0..1000).map(|n| Some(format!("text of row {n}"))).collect();
        let columns = [("n", Arc::new(numbers) as ArrayRef), ("s", Arc::new(texts))];
        let page = RecordBatch::try_from_iter(columns).unwrap();
        let few = page.slice(500, 5);
        let own = on_its_own(few.clone()).unwrap();
        assert_eq!(own, few);
        assert!(few.column(1).get_array_memory_size() > 16_000);
        assert!(own.column(1).get_array_memory_size() < 1000);
        let none = page.project(&[]).unwrap();
        assert_eq!(on_its_own(none).unwrap().num_rows(), 1000);
    }
}
