//! Joins on `real` and `double`: beside IEEE's `=`, which no hash join can take for a key, an equality that it can.

use std::collections::HashSet;

use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::functions::internal::float_comparison;

/// For each `a = b` between different relations among the conditions of a filter or a join, adds
/// `normal(a) = normal(b)`: with one NaN and one zero, total order holds wherever IEEE does. What it lets through
/// besides (NaN = NaN) the IEEE comparison, which stays, takes out again.
pub(crate) fn add(node: LogicalPlan) -> Result<LogicalPlan> {
    match node {
        LogicalPlan::Filter(mut filter) if compares_floats(&filter.predicate)? => {
            filter.predicate = with_keys(filter.predicate)?;
            Ok(LogicalPlan::Filter(filter))
        }
        LogicalPlan::Join(mut join) => {
            if let Some(on) = join.filter.take() {
                join.filter = Some(if compares_floats(&on)? { with_keys(on)? } else { on });
            }
            Ok(LogicalPlan::Join(join))
        }
        other => Ok(other),
    }
}

fn equality(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == float_comparison::EQUAL => Some(call),
        _ => None,
    }
}

fn compares_floats(condition: &Expr) -> Result<bool> {
    condition.exists(|expr| Ok(equality(expr).is_some()))
}

fn with_keys(condition: Expr) -> Result<Expr> {
    let mut all = Vec::new();
    for part in split_conjunction_owned(condition) {
        if let Some(call) = equality(&part)
            && let [left, right] = call.args.as_slice()
            && is_between_relations(left, right)?
        {
            let normal = |side: &Expr| float_comparison::normal(side.clone());
            all.push(normal(left).eq(normal(right)));
        }
        all.push(part);
    }
    Ok(conjunction(all).unwrap_or_else(|| datafusion::logical_expr::lit(true)))
}

/// Whether the two expressions are over columns of relations that they do not share.
fn is_between_relations(left: &Expr, right: &Expr) -> Result<bool> {
    let (left, right) = (relations(left)?, relations(right)?);
    Ok(!left.is_empty() && !right.is_empty() && left.is_disjoint(&right))
}

/// The relations of an expression's columns, those of a query around it apart; empty where one is not known.
fn relations(expr: &Expr) -> Result<HashSet<(bool, TableReference)>> {
    let mut found = HashSet::new();
    let mut known = true;
    expr.apply(|part| {
        let (outer, relation) = match part {
            Expr::Column(column) => (false, &column.relation),
            Expr::OuterReferenceColumn(_, column) => (true, &column.relation),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        if let Some(relation) = relation {
            found.insert((outer, relation.clone()));
        } else {
            known = false;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(if known { found } else { HashSet::new() })
}
