//! What a join, a TopK or an aggregate learns while it runs, applied to the rows of the scans below it.
//!
//! The stock scan skips files, row groups and pages by such a filter; most are spread so evenly that this skips
//! nothing. Row by row it saves what lies between: repartitioning, aggregation, other joins.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::utils::{collect_columns, conjunction, split_conjunction};
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::drained::scan_config;
use super::proof::is_learned;

/// Puts what joins, TopKs and aggregates learn while they run above the scans below them. The last rule to run.
#[derive(Debug, Default)]
pub struct FilterRows;

impl PhysicalOptimizerRule for FilterRows {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        below(plan, &HashSet::new())
    }

    fn name(&self) -> &'static str {
        "filter_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `plan` with filters above its scans, but for those `looked_up` right above it.
fn below(plan: Arc<dyn ExecutionPlan>, looked_up: &HashSet<u64>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        // Behind the query's own filter, for what that leaves.
        if let Some(config) = scan_config(filter.input()) {
            let Some(learned) = learned(config, looked_up) else {
                return Ok(plan);
            };
            let both = BinaryExpr::new(Arc::clone(filter.predicate()), Operator::And, learned);
            let filter = FilterExecBuilder::from(filter).with_predicate(Arc::new(both));
            return Ok(Arc::new(filter.build()?));
        }
    } else if let Some(config) = scan_config(&plan) {
        return Ok(match learned(config, looked_up) {
            Some(learned) => Arc::new(FilterExec::try_new(learned, plan)?),
            None => plan,
        });
    }
    // A join looks each row of its right side up itself: to do so once more right before gains nothing.
    let own = probe_filters(&plan);
    let children = plan.children().into_iter().enumerate();
    let children = children.map(|(at, child)| {
        let looked_up = if at == 1 { own.clone() } else { HashSet::new() };
        below(Arc::clone(child), &looked_up)
    });
    let children = children.collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}

/// Ids of the filters that `plan`, where it is a hash join, gives to its probe side, which is its second input.
pub fn probe_filters(plan: &Arc<dyn ExecutionPlan>) -> HashSet<u64> {
    let join = plan.downcast_ref::<HashJoinExec>();
    let given = join
        .into_iter()
        .flat_map(ExecutionPlan::dynamic_expressions_produced);
    given.filter_map(|filter| filter.expression_id()).collect()
}

/// The part of a scan's predicate that is learned while the query runs, but for what is `looked_up`, over the columns
/// that the scan gives.
fn learned(config: &FileScanConfig, looked_up: &HashSet<u64>) -> Option<PhysicalExprRef> {
    let source = config.file_source();
    let predicate = source.filter()?;
    let given: Vec<Option<String>> = source
        .projection()?
        .iter()
        .map(|p| p.expr.downcast_ref::<Column>().map(|c| c.name().to_owned()))
        .collect();
    let place = |name: &str| given.iter().position(|g| g.as_deref() == Some(name));
    let parts: Vec<PhysicalExprRef> = split_conjunction(&predicate)
        .into_iter()
        .filter(|part| is_learned(part))
        .filter(|part| part.expression_id().is_none_or(|id| !looked_up.contains(&id)))
        .filter(|part| collect_columns(part).iter().all(|c| place(c.name()).is_some()))
        .filter_map(|part| {
            let moved = Arc::clone(part).transform_up(|expr| {
                let column = expr.downcast_ref::<Column>();
                let moved = column.and_then(|c| Some(Column::new(c.name(), place(c.name())?)));
                Ok(match moved {
                    Some(column) => Transformed::yes(Arc::new(column) as PhysicalExprRef),
                    None => Transformed::no(expr),
                })
            });
            Some(Arc::new(Learned::new(moved.ok()?.data)) as PhysicalExprRef)
        })
        .collect();
    (!parts.is_empty()).then(|| conjunction(parts))
}

/// Rows after which a filter has to have shown that it is worth its time.
const TRIAL_ROWS: u64 = 50_000;
/// It is, if it keeps less than this share of them, in percent.
const WORTH_PERCENT: u64 = 80;

/// A condition that may be given up: where it keeps nearly all rows, it is true from then on.
///
/// Only for conditions without which the answer is the same.
#[derive(Debug)]
struct Learned {
    condition: PhysicalExprRef,
    trial: Arc<Trial>,
}

/// What all streams of a scan saw of one state of the filter.
#[derive(Debug, Default)]
struct Trial {
    generation: AtomicU64,
    rows: AtomicU64,
    kept: AtomicU64,
}

impl Trial {
    /// Whether the filter in state `generation` is worth evaluating; a new state gets a new trial.
    fn goes_on(&self, generation: u64) -> bool {
        if self.generation.swap(generation, Ordering::Relaxed) != generation {
            self.rows.store(0, Ordering::Relaxed);
            self.kept.store(0, Ordering::Relaxed);
        }
        let rows = self.rows.load(Ordering::Relaxed);
        rows < TRIAL_ROWS || self.kept.load(Ordering::Relaxed) * 100 < rows * WORTH_PERCENT
    }

    fn saw(&self, rows: usize, kept: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.kept.fetch_add(kept as u64, Ordering::Relaxed);
    }
}

impl Learned {
    fn new(condition: PhysicalExprRef) -> Self {
        Self {
            condition,
            trial: Arc::default(),
        }
    }
}

impl PartialEq for Learned {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for Learned {}

impl Hash for Learned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Learned {
    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("learned", DataType::Boolean, true)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if !self.trial.goes_on(self.condition.snapshot_generation()) {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
        }
        let value = self.condition.evaluate(batch)?;
        if let ColumnarValue::Array(array) = &value
            && let Some(kept) = array.as_boolean_opt()
        {
            self.trial.saw(array.len(), kept.true_count());
        }
        Ok(value)
    }

    fn children(&self) -> Vec<&PhysicalExprRef> {
        vec![&self.condition]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<PhysicalExprRef>) -> Result<PhysicalExprRef> {
        let condition = children.into_iter().next();
        Ok(Arc::new(Self {
            condition: condition.unwrap_or_else(|| Arc::clone(&self.condition)),
            trial: Arc::clone(&self.trial),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};

    use super::*;

    fn batch() -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn kept(filter: &Learned) -> Option<usize> {
        match filter.evaluate(&batch()).unwrap() {
            ColumnarValue::Array(array) => Some(array.as_boolean().true_count()),
            ColumnarValue::Scalar(_) => None,
        }
    }

    fn below(bound: i64) -> PhysicalExprRef {
        let n = Arc::new(Column::new("n", 0));
        Arc::new(BinaryExpr::new(n, Operator::Lt, lit(bound)))
    }

    #[test]
    fn a_filter_that_keeps_nearly_all_is_given_up_until_it_says_something_new() {
        let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(
            vec![Arc::new(Column::new("n", 0))],
            below(950),
        ));
        let filter = Learned::new(Arc::clone(&dynamic) as PhysicalExprRef);
        assert_eq!(kept(&filter), Some(950));
        for _ in 0..TRIAL_ROWS / 1000 {
            let _answer = kept(&filter);
        }
        assert_eq!(kept(&filter), None);
        dynamic.update(below(10)).unwrap();
        for _ in 0..=TRIAL_ROWS / 500 {
            assert_eq!(kept(&filter), Some(10));
        }
    }
}
