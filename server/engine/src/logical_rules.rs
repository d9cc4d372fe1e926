//! The logical rules that queries are planned with: DataFusion's, less those that the dialect's own plans of subqueries
//! replace, and with a guard where one of them changes an answer.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};

/// Rules for subqueries; a plan has none left when they would run.
const REPLACED: &[&str] = &[
    "rewrite_set_comparison",
    "decorrelate_predicate_subquery",
    "scalar_subquery_to_join",
    "decorrelate_lateral_join",
];
const PUSH_DOWN_FILTER: &str = "push_down_filter";

/// Rules that compute fields of rows near their tables; they lose track of names in some plans.
const FIELDS_FIRST: &[&str] = &["extract_leaf_expressions", "push_down_leaf_projections"];

/// The same rules without those that compute fields of rows near their tables: more bytes of a row are read, and each
/// plan succeeds.
pub(crate) fn rules_without_fields_first() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = logical_rules();
    rules.retain(|rule| !FIELDS_FIRST.contains(&rule.name()));
    rules
}

/// The rules in their order.
pub(crate) fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter();
    let kept = rules.filter(|rule| !REPLACED.contains(&rule.name()));
    kept.map(|rule| match rule.name() {
        PUSH_DOWN_FILTER => Arc::new(KeepAboveOneRow(rule)) as _,
        _ => rule,
    })
    .collect()
}

/// The push-down of filters, but not through an aggregate that has a row without any input. The rule takes a condition
/// without columns for one on the groups and moves it below, where it removes the input and not the row.
#[derive(Debug)]
struct KeepAboveOneRow(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for KeepAboveOneRow {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Filter(filter) = &plan
            && let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref()
            && has_row_without_input(aggregate)
        {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}

fn has_row_without_input(aggregate: &Aggregate) -> bool {
    let mut groups = aggregate.group_expr.iter();
    aggregate.group_expr.is_empty() || groups.any(|group| matches!(group, Expr::GroupingSet(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_is_named_here_is_there() {
        let names: Vec<String> = Optimizer::new()
            .rules
            .iter()
            .map(|rule| rule.name().to_owned())
            .collect();
        for name in REPLACED.iter().chain(FIELDS_FIRST).chain([&PUSH_DOWN_FILTER]) {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        assert_eq!(logical_rules().len() + REPLACED.len(), names.len());
    }
}
