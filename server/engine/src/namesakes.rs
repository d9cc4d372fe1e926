//! DataFusion 55's physical pushdown of filters, kept from confusing columns of one name. It finds a filter's column in
//! the input of a node by the name alone: of `a.n` and `b.n` side by side, as above a join, it takes the first; for the
//! key `a.id = b.a_id` of a semi join it takes `b.id`. Rows are lost then. Filters on such columns stop there; all others
//! go on.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase,
    FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions, replace_children_if_necessary,
};

use crate::query::{OrderedConditions, UnorderedAggregates};

/// Our first rules, then DataFusion's, its pushdown of filters among them with guards.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let first: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 2] =
        [Arc::new(OrderedConditions), Arc::new(UnorderedAggregates)];
    let rules = PhysicalOptimizer::new().rules.into_iter();
    first
        .into_iter()
        .chain(rules)
        .map(|rule| {
            let any: &dyn Any = &*rule;
            match any.is::<FilterPushdown>() {
                true => Arc::new(Guarded(rule)) as _,
                false => rule,
            }
        })
        .collect()
}

/// The rule, run over a plan with guards where names meet.
#[derive(Debug)]
struct Guarded(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for Guarded {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        unguarded(&self.0.optimize(guarded(&plan)?, config)?)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// The plan with a guard above each input in which a name leads to another column than the one that is meant.
fn guarded(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let children = plan.children().into_iter().enumerate().map(|(at, child)| {
        let mut certain = unique(&child.schema());
        certain.retain(|column| !mistaken(plan, at, *column));
        let node = guarded(child)?;
        Ok(match certain.len() == child.schema().fields().len() {
            true => node,
            false => Arc::new(Guard { node, certain }) as Arc<dyn ExecutionPlan>,
        })
    });
    let children = children.collect::<Result<_>>()?;
    replace_children_if_necessary(Arc::clone(plan), children)
}

/// Whether a filter on a key of a semi join, which the other side is asked too, would be asked there of this column,
/// though it is not the one that the key is compared with.
fn mistaken(plan: &Arc<dyn ExecutionPlan>, side: usize, column: usize) -> bool {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else {
        return false;
    };
    let (asks, schema) = match (join.join_type(), side) {
        (JoinType::LeftSemi, 1) => (0, join.right().schema()),
        (JoinType::RightSemi, 0) => (1, join.left().schema()),
        _ => return false,
    };
    let name = schema.field(column).name();
    join.on().iter().any(|(left, right)| {
        let (key, compared) = if asks == 0 { (left, right) } else { (right, left) };
        let key = key.downcast_ref::<Column>();
        let compared = compared.downcast_ref::<Column>();
        key.is_some_and(|key| key.name() == name) && compared.is_none_or(|other| other.index() != column)
    })
}

fn unguarded(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.downcast_ref::<Guard>().map_or(plan, |guard| &guard.node);
    let children = plan.children().into_iter().map(unguarded);
    let children = children.collect::<Result<_>>()?;
    replace_children_if_necessary(Arc::clone(plan), children)
}

/// Columns whose names no other one has.
fn unique(schema: &Schema) -> HashSet<usize> {
    let mut named: HashMap<&str, usize> = HashMap::new();
    for field in schema.fields() {
        *named.entry(field.name()).or_default() += 1;
    }
    let fields = schema.fields().iter().enumerate();
    fields
        .filter(|(_, field)| named[field.name().as_str()] == 1)
        .map(|(at, _)| at)
        .collect()
}

/// A node not all of whose columns are found by their names: filters on those that are pass. It is gone before the plan
/// is.
#[derive(Debug)]
struct Guard {
    node: Arc<dyn ExecutionPlan>,
    certain: HashSet<usize>,
}

impl DisplayAs for Guard {
    fn fmt_as(&self, _form: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

impl ExecutionPlan for Guard {
    fn name(&self) -> &'static str {
        "Guard"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.node.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.node]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let certain = self.certain.clone();
        let child = ChildFilterDescription::from_child_with_allowed_indices(&filters, certain, &self.node)?;
        Ok(FilterDescription::new().with_child(child))
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let node = children
            .into_iter()
            .next()
            .unwrap_or_else(|| Arc::clone(&self.node));
        let certain = self.certain.clone();
        Ok(Arc::new(Self { node, certain }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.node.execute(partition, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pushdowns_are_guarded() {
        let names: Vec<String> = physical_rules()
            .iter()
            .filter(|rule| {
                let any: &dyn Any = &***rule;
                any.is::<Guarded>()
            })
            .map(|rule| rule.name().to_owned())
            .collect();
        assert_eq!(names, ["FilterPushdown", "FilterPushdown(Post)"]);
    }
}
