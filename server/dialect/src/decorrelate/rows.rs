//! The general method: the rows of a subquery beside the outer row that they belong to.
//!
//! Each outer row gets a number and is carried through the operators of the subquery. It never gets lost: where the
//! subquery has no row for it, it stands there once or more with `is_row` false. So an aggregate without groups still
//! has its row, and one evaluation of the outer relation is enough.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Case, Expr, LogicalPlan, lit};

use super::{Decorrelation, project};

/// The relation that a subquery refers to.
#[derive(Debug, Clone)]
pub(super) struct Outer {
    pub(super) plan: LogicalPlan,
    /// The column that numbers its rows.
    pub(super) number: Column,
    /// Whether the row counts at all; for one that does not, the subquery has no rows.
    pub(super) is_row: Expr,
}

/// The rows of a subquery with the outer row that each belongs to.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) plan: LogicalPlan,
    /// All columns of the outer relation, its number among them.
    pub(super) outer: Vec<Column>,
    /// The column that numbers the rows of the outer relation; `None` where each of them stands here exactly once.
    pub(super) number: Option<Column>,
    /// The columns of the subquery, in its order, as expressions over `plan`.
    pub(super) columns: Vec<Expr>,
    /// Whether the subquery has this row; never NULL.
    pub(super) is_row: Expr,
    /// The order that the subquery gives its rows.
    pub(super) order: Vec<Sort>,
    /// Whether an outer row has one row of the subquery at most.
    pub(super) at_most_one: bool,
}

impl Rows {
    /// An expression over a node of the subquery, given the node's schema, as one over `self.plan`.
    pub(super) fn expr(&self, expr: Expr, node: &DFSchema) -> Result<Expr> {
        over(expr, node, &self.columns, self.plan.schema())
    }

    /// `expr` where the row counts, else NULL: an expression that can fail is not evaluated for other rows.
    pub(super) fn guarded(&self, expr: Expr) -> Expr {
        if is_literal_true(&self.is_row) || cannot_fail(&expr) {
            expr
        } else {
            case_when(self.is_row.clone(), expr, None)
        }
    }

    /// `condition` where the row counts, else false; never NULL.
    pub(super) fn holds(&self, condition: Expr) -> Expr {
        if is_literal_true(&self.is_row) {
            is_true(condition)
        } else if cannot_fail(&condition) {
            self.is_row.clone().and(is_true(condition))
        } else {
            is_true(case_when(self.is_row.clone(), condition, Some(lit(false))))
        }
    }

    /// The outer columns as expressions.
    pub(super) fn outer_exprs(&self) -> Vec<Expr> {
        self.outer.iter().cloned().map(Expr::Column).collect()
    }
}

impl Decorrelation {
    /// Computes what is more than a column in `rows`, so that it is evaluated once.
    pub(super) fn computed(&mut self, mut rows: Rows) -> Result<Rows> {
        let is_plain = |expr: &Expr| matches!(expr, Expr::Column(_) | Expr::Literal(..));
        if rows.columns.iter().all(is_plain)
            && is_plain(&rows.is_row)
            && rows.order.iter().all(|key| is_plain(&key.expr))
        {
            return Ok(rows);
        }
        let mut exprs = rows.outer_exprs();
        let mut keep = |expr: &mut Expr| {
            if matches!(expr, Expr::Literal(..)) {
                return;
            }
            let (named, column) = self.named(std::mem::take(expr));
            exprs.push(named);
            *expr = Expr::Column(column);
        };
        rows.columns.iter_mut().for_each(&mut keep);
        keep(&mut rows.is_row);
        rows.order.iter_mut().for_each(|key| keep(&mut key.expr));
        rows.plan = project(rows.plan, exprs)?;
        Ok(rows)
    }
}

/// An expression over a node with the schema `node`, its columns replaced by `columns`, and its outer columns that
/// are columns of `outer` taken from there.
pub(super) fn over(expr: Expr, node: &DFSchema, columns: &[Expr], outer: &DFSchema) -> Result<Expr> {
    let replaced = expr.transform_down(|part| match part {
        Expr::Column(column) => {
            let at = node.index_of_column(&column)?;
            let replacement = columns.get(at).cloned().ok_or_else(|| {
                DataFusionError::Internal(format!("column {column} of a subquery has no place"))
            })?;
            Ok(Transformed::new(replacement, true, TreeNodeRecursion::Jump))
        }
        Expr::OuterReferenceColumn(_, ref column) if outer.has_column(column) => {
            Ok(Transformed::yes(Expr::Column(column.clone())))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// Whether `plan` has an outer column that is a column of `schema`.
pub(super) fn refers_to(plan: &LogicalPlan, schema: &DFSchema) -> bool {
    plan.all_out_ref_exprs()
        .iter()
        .any(|expr| is_outer_of(expr, schema))
}

/// Whether `expr` has an outer column that is a column of `schema`.
pub(super) fn expr_refers_to(expr: &Expr, schema: &DFSchema) -> bool {
    expr.exists(|part| Ok(is_outer_of(part, schema))).unwrap_or(true)
}

fn is_outer_of(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr, Expr::OuterReferenceColumn(_, column) if schema.has_column(column))
}

/// Whether evaluating `expr` raises no error, whatever the row.
pub(super) fn cannot_fail(expr: &Expr) -> bool {
    let fails = expr.exists(|part| {
        Ok(!match part {
            Expr::BinaryExpr(binary) => {
                binary.op.is_logic_operator() || crate::semantics::is_comparison(binary.op)
            }
            Expr::Column(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Literal(..)
            | Expr::Alias(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::Case(_) => true,
            _ => false,
        })
    });
    !fails.unwrap_or(true)
}

pub(super) fn is_literal_true(expr: &Expr) -> bool {
    *expr == lit(true)
}

/// `condition IS TRUE`, or the condition itself where it cannot be NULL.
pub(super) fn is_true(condition: Expr) -> Expr {
    match condition {
        Expr::IsTrue(_) | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsNotFalse(_) => condition,
        literal if is_literal_true(&literal) => literal,
        other => Expr::IsTrue(Box::new(other)),
    }
}

pub(super) fn case_when(condition: Expr, then: Expr, otherwise: Option<Expr>) -> Expr {
    Expr::Case(Case::new(
        None,
        vec![(Box::new(condition), Box::new(then))],
        otherwise.map(Box::new),
    ))
}
