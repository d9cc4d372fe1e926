//! Which plans give the same rows from the same files, whenever and by whomever they are run.

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility};
use owlake_scan::GlueTable;

/// Whether a result of `plan` may be given again: tables of the lake only, no function of time or chance, and no
/// LIMIT that takes whichever rows come first.
pub(crate) fn is_reusable(plan: &LogicalPlan) -> bool {
    let mut reusable = true;
    let walked = plan.apply_with_subqueries(|node| {
        reusable = reusable && is_node_reusable(node)?;
        Ok(if reusable {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    walked.is_ok() && reusable
}

fn is_node_reusable(node: &LogicalPlan) -> Result<bool> {
    let mut reusable = match node {
        LogicalPlan::TableScan(scan) => is_of_the_lake(scan),
        LogicalPlan::Limit(limit) => {
            is_sorted(&limit.input) || limit.input.max_rows().is_some_and(|n| n <= 1)
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => true,
        // Statements with effects, and nodes that somebody else defines.
        _ => false,
    };
    node.apply_expressions(|expr| {
        expr.apply(|expr| {
            reusable = reusable && is_immutable(expr);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(reusable)
}

/// Tables of the engine's own state and of other systems change without a file that says so.
fn is_of_the_lake(scan: &TableScan) -> bool {
    source_as_provider(&scan.source).is_ok_and(|table| table.is::<GlueTable>())
}

/// Whether the rows of `plan` come in an order that it asks for. Rows that are equal in it may change places.
fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_sorted(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_sorted(&alias.input),
        _ => false,
    }
}

fn is_immutable(expr: &Expr) -> bool {
    let volatility = match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility,
        Expr::AggregateFunction(call) => call.func.signature().volatility,
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => function.signature().volatility,
            WindowFunctionDefinition::WindowUDF(function) => function.signature().volatility,
        },
        Expr::HigherOrderFunction(call) => call.func.signature().volatility,
        // Session variables are outside of the plan.
        Expr::ScalarVariable(..) | Expr::Placeholder(_) => return false,
        _ => return true,
    };
    volatility == Volatility::Immutable
}
