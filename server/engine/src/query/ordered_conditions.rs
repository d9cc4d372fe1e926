//! Conditions that can fail are evaluated after those to their left, in every node of a plan.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::{LexOrdering, PhysicalExprRef, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use owlake_scan::guarded;

/// Gives AND and OR their order from left to right where the right side can fail. The first rule to run: what it makes
/// is opaque to the others, which therefore keep it whole.
#[derive(Debug, Default)]
pub(crate) struct OrderedConditions;

impl PhysicalOptimizerRule for OrderedConditions {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plan.transform_up(ordered)?.data)
    }

    fn name(&self) -> &'static str {
        "ordered_conditions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn ordered(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let predicate = guarded(Arc::clone(filter.predicate()), &filter.input().schema())?;
        if predicate.transformed {
            let filter = FilterExecBuilder::from(filter)
                .with_predicate(predicate.data)
                .build()?;
            return Ok(Transformed::yes(Arc::new(filter)));
        }
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let mut exprs = projection.expr().to_vec();
        if all_ordered(
            exprs.iter_mut().map(|part| &mut part.expr),
            &projection.input().schema(),
        )? {
            let exprs: Vec<ProjectionExpr> = exprs;
            let projection = ProjectionExec::try_new(exprs, Arc::clone(projection.input()))?;
            return Ok(Transformed::yes(Arc::new(projection)));
        }
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
        // A key keeps the form of the column that a projection below computes for it.
        let mut keys: Vec<PhysicalSortExpr> = sort.expr().iter().cloned().collect();
        if all_ordered(keys.iter_mut().map(|key| &mut key.expr), &sort.input().schema())?
            && let Some(keys) = LexOrdering::new(keys)
        {
            let sort = SortExec::new(keys, Arc::clone(sort.input()))
                .with_fetch(sort.fetch())
                .with_preserve_partitioning(sort.preserve_partitioning());
            return Ok(Transformed::yes(Arc::new(sort)));
        }
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        if let Some(filter) = ordered_filter(join.filter())? {
            let join = join.builder().with_filter(Some(filter)).build()?;
            return Ok(Transformed::yes(Arc::new(join)));
        }
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        if let Some(filter) = ordered_filter(join.filter())? {
            let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
            let projection = join.projection().as_ref().map(|columns| columns.to_vec());
            let join = NestedLoopJoinExec::try_new(left, right, Some(filter), join.join_type(), projection)?;
            return Ok(Transformed::yes(Arc::new(join)));
        }
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
        && let Some(aggregate) = ordered_aggregate(aggregate)?
    {
        return Ok(Transformed::yes(Arc::new(aggregate)));
    }
    Ok(Transformed::no(plan))
}

/// Orders each expression in its place; whether any has changed.
fn all_ordered<'a>(exprs: impl Iterator<Item = &'a mut PhysicalExprRef>, input: &Schema) -> Result<bool> {
    let mut changed = false;
    for expr in exprs {
        let done = guarded(Arc::clone(expr), input)?;
        changed |= done.transformed;
        *expr = done.data;
    }
    Ok(changed)
}

fn ordered_filter(filter: Option<&JoinFilter>) -> Result<Option<JoinFilter>> {
    let Some(filter) = filter else {
        return Ok(None);
    };
    let done = guarded(Arc::clone(filter.expression()), filter.schema())?;
    Ok(done.transformed.then(|| {
        JoinFilter::new(
            done.data,
            filter.column_indices().to_vec(),
            Arc::clone(filter.schema()),
        )
    }))
}

/// The aggregate with its arguments and filters in order, where any has changed.
fn ordered_aggregate(aggregate: &AggregateExec) -> Result<Option<AggregateExec>> {
    let input = aggregate.input_schema();
    let mut filters = aggregate.filter_expr().to_vec();
    let mut changed = all_ordered(filters.iter_mut().flatten(), &input)?;
    let mut calls = aggregate.aggr_expr().to_vec();
    for call in &mut calls {
        let mut args = call.expressions();
        if all_ordered(args.iter_mut(), &input)? {
            let keys = call.order_bys().iter().map(|key| Arc::clone(&key.expr)).collect();
            if let Some(ordered) = call.with_new_expressions(args, keys) {
                *call = Arc::new(ordered);
                changed = true;
            }
        }
    }
    if !changed {
        return Ok(None);
    }
    let ordered = AggregateExec::try_new(
        *aggregate.mode(),
        aggregate.group_expr().clone(),
        calls,
        filters,
        Arc::clone(aggregate.input()),
        input,
    )?;
    Ok(Some(ordered.with_limit_options(aggregate.limit_options())))
}
