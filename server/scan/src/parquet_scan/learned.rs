//! Conditions that joins and TopKs find out while they run, evaluated on rows in the order that is cheapest.
//!
//! Which scans get them is `row_filter`'s business.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::prep_null_mask_filter;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::utils::conjunction;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};

/// Rows after which a condition has to have shown that it is worth its time.
const TRIAL_ROWS: u64 = 50_000;
/// It is, if it keeps less than this share of them, in percent.
const WORTH_PERCENT: u64 = 80;
/// If at most this share of a batch is left, in percent, the next condition is evaluated for those rows alone.
const FEW_PERCENT: usize = 25;

/// Conditions that hold together. Each may be given up: where it keeps nearly all rows, it is true from then on.
///
/// Only for conditions without which the answer is the same.
#[derive(Debug)]
pub(super) struct Learned(Vec<Condition>);

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    expr: PhysicalExprRef,
    repeated: bool,
    trial: Arc<Trial>,
}

impl Condition {
    /// `repeated` where a join right above evaluates it again: then it only saves the work of others.
    pub(super) fn new(expr: PhysicalExprRef, repeated: bool) -> Self {
        Self {
            expr,
            repeated,
            trial: Arc::default(),
        }
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.repeated
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr) && self.repeated == other.repeated
    }
}

impl Eq for Condition {}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
        self.repeated.hash(state);
    }
}

/// What all streams of a scan saw of one state of a condition.
#[derive(Debug, Default)]
struct Trial {
    generation: AtomicU64,
    rows: AtomicU64,
    kept: AtomicU64,
    spent_ns: AtomicU64,
}

impl Trial {
    /// Whether the condition in state `generation` is worth evaluating; a new state gets a new trial.
    fn goes_on(&self, generation: u64) -> bool {
        if self.generation.swap(generation, Ordering::Relaxed) != generation {
            for counter in [&self.rows, &self.kept, &self.spent_ns] {
                counter.store(0, Ordering::Relaxed);
            }
        }
        let rows = self.rows.load(Ordering::Relaxed);
        rows < TRIAL_ROWS || self.kept.load(Ordering::Relaxed) * 100 < rows * WORTH_PERCENT
    }

    fn saw(&self, rows: usize, kept: usize, begun: Instant) {
        let spent = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.kept.fetch_add(kept as u64, Ordering::Relaxed);
        self.spent_ns.fetch_add(spent, Ordering::Relaxed);
    }

    /// Time per row that it takes away: conditions in ascending order of it take the least together. `None` as long as
    /// it is not known.
    fn price(&self) -> Option<f64> {
        let (rows, kept) = (
            self.rows.load(Ordering::Relaxed),
            self.kept.load(Ordering::Relaxed),
        );
        let taken = rows.saturating_sub(kept).max(1);
        (rows >= TRIAL_ROWS).then(|| self.spent_ns.load(Ordering::Relaxed) as f64 / taken as f64)
    }
}

impl Learned {
    /// `conditions` in the order in which they are tried.
    pub(super) fn new(conditions: Vec<Condition>) -> Self {
        Self(conditions)
    }

    /// What is to be evaluated, in this order.
    fn ordered(&self) -> Vec<&Condition> {
        let worth = |c: &&Condition| c.trial.goes_on(c.expr.snapshot_generation());
        let going_on = self.0.iter().filter(worth).enumerate();
        let mut priced: Vec<_> = going_on
            .map(|(at, condition)| {
                // Of those not known yet, the first one is tried on all rows, others on what is left.
                let unknown = if at == 0 { 0.0 } else { f64::INFINITY };
                (condition.trial.price().unwrap_or(unknown), condition)
            })
            .collect();
        priced.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut conditions: Vec<_> = priced.into_iter().map(|(_, condition)| condition).collect();
        // The join does that next.
        conditions.pop_if(|last| last.repeated);
        conditions
    }
}

/// Which rows `value` is true for.
fn truth(value: ColumnarValue, rows: usize) -> Result<BooleanBuffer> {
    let array = value.into_array(rows)?;
    let known = as_boolean_array(&array)?;
    Ok(match known.null_count() {
        0 => known.values().clone(),
        _ => prep_null_mask_filter(known).values().clone(),
    })
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        conjunction(self.children().into_iter().cloned()).fmt(f)
    }
}

impl PartialEq for Learned {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Learned {}

impl Hash for Learned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PhysicalExpr for Learned {
    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("learned", DataType::Boolean, true)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let mut left: Option<BooleanArray> = None;
        for condition in self.ordered() {
            let begun = Instant::now();
            let few = left
                .as_ref()
                .filter(|left| left.true_count() * 100 <= rows * FEW_PERCENT);
            let (seen, value) = match few {
                Some(few) if few.has_true() => {
                    (few.true_count(), condition.expr.evaluate_selection(batch, few)?)
                }
                Some(_) => break,
                None => (rows, condition.expr.evaluate(batch)?),
            };
            let kept = truth(value, rows)?;
            condition.trial.saw(seen, kept.count_set_bits(), begun);
            let both = match left {
                Some(left) => left.values() & &kept,
                None => kept,
            };
            left = Some(BooleanArray::new(both, None));
        }
        Ok(match left {
            Some(left) => ColumnarValue::Array(Arc::new(left)),
            None => ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))),
        })
    }

    fn children(&self) -> Vec<&PhysicalExprRef> {
        self.0.iter().map(|condition| &condition.expr).collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<PhysicalExprRef>) -> Result<PhysicalExprRef> {
        let conditions = self.0.iter().zip(children);
        let conditions = conditions.map(|(condition, expr)| Condition {
            expr,
            ..condition.clone()
        });
        Ok(Arc::new(Self(conditions.collect())))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, Column, DynamicFilterPhysicalExpr, lit};

    use super::*;

    fn batch() -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter((0..1000).map(|n| (n != 3).then_some(n))));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn kept(filter: &Learned) -> Option<usize> {
        match filter.evaluate(&batch()).unwrap() {
            ColumnarValue::Array(array) => Some(array.as_boolean().true_count()),
            ColumnarValue::Scalar(_) => None,
        }
    }

    fn compare(op: Operator, bound: i64) -> PhysicalExprRef {
        Arc::new(BinaryExpr::new(Arc::new(Column::new("n", 0)), op, lit(bound)))
    }

    fn below(bound: i64) -> PhysicalExprRef {
        compare(Operator::Lt, bound)
    }

    fn rows_seen(filter: &Learned) -> Vec<u64> {
        let seen = |c: &Condition| c.trial.rows.load(Ordering::Relaxed);
        filter.0.iter().map(seen).collect()
    }

    #[test]
    fn a_filter_that_keeps_nearly_all_is_given_up_until_it_says_something_new() {
        let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(
            vec![Arc::new(Column::new("n", 0))],
            below(950),
        ));
        let filter = Learned::new(vec![Condition::new(
            Arc::clone(&dynamic) as PhysicalExprRef,
            false,
        )]);
        assert_eq!(kept(&filter), Some(949));
        for _ in 0..TRIAL_ROWS / 1000 {
            let _answer = kept(&filter);
        }
        assert_eq!(kept(&filter), None);
        dynamic.update(below(10)).unwrap();
        for _ in 0..=TRIAL_ROWS / 500 {
            assert_eq!(kept(&filter), Some(9));
        }
    }

    #[test]
    fn conditions_behind_a_selective_one_see_what_is_left() {
        let filter = Learned::new(vec![
            Condition::new(below(100), true),
            Condition::new(compare(Operator::GtEq, 50), false),
        ]);
        for _ in 0..10 {
            assert_eq!(kept(&filter), Some(50));
        }
        assert_eq!(rows_seen(&filter), [10_000, 990]);
    }

    #[test]
    fn what_takes_more_rows_for_its_time_comes_first() {
        let known = |bound, kept, spent_ns| {
            let condition = Condition::new(below(bound), false);
            condition.trial.rows.store(TRIAL_ROWS, Ordering::Relaxed);
            condition.trial.kept.store(kept, Ordering::Relaxed);
            condition.trial.spent_ns.store(spent_ns, Ordering::Relaxed);
            condition
        };
        let filter = Learned::new(vec![
            known(1, 30_000, 1_000_000),
            Condition::new(below(2), false),
            known(3, 10_000, 1_000_000),
            known(4, 45_000, 900_000),
            known(5, 30_000, 400_000),
        ]);
        let order: Vec<_> = filter.ordered().iter().map(|c| c.expr.to_string()).collect();
        assert_eq!(order, ["n@0 < 5", "n@0 < 3", "n@0 < 1", "n@0 < 2"]);
    }

    #[test]
    fn what_a_join_repeats_is_evaluated_only_to_save_the_work_of_others() {
        let alone = Learned::new(vec![Condition::new(below(10), true)]);
        assert_eq!(kept(&alone), None);
        let filter = Learned::new(vec![
            Condition::new(below(700), true),
            Condition::new(below(950), false),
        ]);
        for _ in 0..2 * TRIAL_ROWS / 1000 {
            let _answer = kept(&filter);
        }
        assert_eq!(kept(&filter), None);
    }
}
