//! What a join or a TopK learns while it runs, applied to the rows of the scans below it.
//!
//! The stock scan skips files, row groups and pages by such a filter; most are spread so evenly that this skips
//! nothing. Row by row it saves what lies between: repartitioning, aggregation, other joins.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::drained::scan_config;
use super::learned::{Condition, Learned};
use super::proof::is_learned;

/// Puts what joins and TopKs learn while they run above the scans below them. The last rule to run.
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

/// `plan` with filters above its scans; those `looked_up` right above it are no reason for one.
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

/// The part of a scan's predicate that is learned while the query runs, over the columns that the scan gives. `None`
/// where all of it is `looked_up`.
fn learned(config: &FileScanConfig, looked_up: &HashSet<u64>) -> Option<PhysicalExprRef> {
    let source = config.file_source();
    let predicate = source.filter()?;
    let given: Vec<Option<String>> = source
        .projection()?
        .iter()
        .map(|p| p.expr.downcast_ref::<Column>().map(|c| c.name().to_owned()))
        .collect();
    let place = |name: &str| given.iter().position(|g| g.as_deref() == Some(name));
    let mut conditions: Vec<Condition> = split_conjunction(&predicate)
        .into_iter()
        .filter(|part| is_learned(part))
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
            let repeated = part.expression_id().is_some_and(|id| looked_up.contains(&id));
            Some(Condition::new(moved.ok()?.data, repeated))
        })
        .collect();
    // The one that was put nearest is the first to be tried.
    conditions.sort_by_key(|condition| !condition.is_repeated());
    let any = conditions.iter().any(|condition| !condition.is_repeated());
    any.then(|| Arc::new(Learned::new(conditions)) as PhysicalExprRef)
}
