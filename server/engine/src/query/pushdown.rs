//! Parts of an optimized plan that another database computes: the largest ones that its connector takes over.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};

use crate::connector::remote_catalog;
use crate::resolve::Resolver;

/// Name of the tables that stand for parts of a plan.
const REMOTE: &str = "remote";

/// The optimized plan, with what other databases compute as tables of theirs.
///
/// After all of DataFusion's own rules: what these have pushed into a part goes with it, and what is opaque to them is
/// not in their way.
pub(crate) fn optimize(
    state: &SessionState,
    plan: &LogicalPlan,
    resolver: &Resolver,
    current: &str,
) -> Result<LogicalPlan> {
    let optimized = state.optimize(plan)?;
    if remote_catalog(plan, resolver, current).is_none() {
        return Ok(optimized);
    }
    let parts = Parts { resolver, current };
    let folded = optimized.transform_down_with_subqueries(|node| parts.replaced(node))?;
    Ok(folded.data)
}

struct Parts<'a> {
    resolver: &'a Resolver,
    current: &'a str,
}

impl Parts<'_> {
    fn replaced(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if matches!(node, LogicalPlan::TableScan(_)) {
            return Ok(Transformed::no(node));
        }
        let Some(catalog) = self.only_catalog(&node)? else {
            return Ok(Transformed::no(node));
        };
        let sort = match &node {
            // Its order is for what stands above it, and no node below this one keeps it.
            LogicalPlan::Sort(sort) if sort.fetch.is_some() => Some(sort.clone()),
            other if is_ordered(other) => return Ok(Transformed::no(node)),
            _ => None,
        };
        let connector = self.resolver.connector(&catalog);
        let Some(table) = connector.and_then(|connector| connector.compute(&node)) else {
            return Ok(Transformed::no(node));
        };
        let mut part = scan(&node, table)?;
        if let Some(mut sort) = sort {
            // The first rows come from there; that they come in order is seen to here.
            sort.input = Arc::new(part);
            part = LogicalPlan::Sort(sort);
        }
        Ok(Transformed::new(part, true, TreeNodeRecursion::Jump))
    }

    /// The catalog of all tables of a plan, where that is one and another database's.
    fn only_catalog(&self, plan: &LogicalPlan) -> Result<Option<String>> {
        let mut found = BTreeSet::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                found.insert(scan.table_name.catalog().unwrap_or(self.current).to_owned());
            }
            Ok(match found.len() {
                0 | 1 => TreeNodeRecursion::Continue,
                _ => TreeNodeRecursion::Stop,
            })
        })?;
        let only = found.pop_first().filter(|_| found.is_empty());
        Ok(only.filter(|name| self.resolver.connector(name).is_some()))
    }
}

/// Whether the rows of a plan come in an order that somebody asked for.
fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Filter(_) => plan.inputs().iter().all(|input| is_ordered(input)),
        _ => false,
    }
}

/// A scan of `table` with the names that the columns of `part` have.
fn scan(part: &LogicalPlan, table: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let scan = LogicalPlanBuilder::scan(REMOTE, provider_as_source(table), None)?.build()?;
    let columns = scan.schema().columns();
    let named = columns
        .into_iter()
        .zip(part.schema().iter())
        .map(|(column, (qualifier, field))| {
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        });
    let exprs = named.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(
        exprs,
        Arc::new(scan),
    )?))
}
