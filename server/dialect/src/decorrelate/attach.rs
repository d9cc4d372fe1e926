//! Subqueries in expressions: each becomes a value beside the rows of the relation that it stands over.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, ScalarValue, Spans};
use datafusion::error::Result;
use datafusion::functions_aggregate::bool_and_or::bool_or_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    lit,
};

use super::aggregate::call;
use super::predicate::{Existence, Quantified, all_hold, existence, values};
use super::rows::{Outer, case_when, is_literal_true, is_true};
use super::single_value::single_value;
use super::{Decorrelation, unsupported};

/// Rewrites expressions over `inputs`, which get the columns that the rewritten expressions use.
pub(super) struct Attach<'a> {
    pub(super) names: &'a mut Decorrelation,
    /// One relation, or the two sides of a join.
    pub(super) inputs: Vec<LogicalPlan>,
}

/// Whether `expr` has a subquery that has to become a join.
pub(super) fn needs_join(expr: &Expr) -> bool {
    let found = expr.exists(|part| {
        Ok(match part {
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
            Expr::ScalarSubquery(subquery) => is_correlated(&subquery.subquery),
            _ => false,
        })
    });
    found.unwrap_or(true)
}

/// Whether a plan has outer columns, of whichever relation.
pub(super) fn is_correlated(plan: &LogicalPlan) -> bool {
    !plan.all_out_ref_exprs().is_empty()
}

impl Attach<'_> {
    /// `expr` without subqueries. `null_is_false` says that its reader takes NULL and false alike, so that two-valued
    /// logic is enough.
    pub(super) fn value(&mut self, expr: Expr, null_is_false: bool) -> Result<Expr> {
        if !needs_join(&expr) {
            return Ok(expr);
        }
        match expr {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: op @ (Operator::And | Operator::Or),
                right,
            }) => {
                let left = self.value(*left, null_is_false)?;
                let right = self.value(*right, null_is_false)?;
                Ok(Expr::BinaryExpr(BinaryExpr::new(
                    Box::new(left),
                    op,
                    Box::new(right),
                )))
            }
            Expr::Case(case) => self.case(case, null_is_false),
            Expr::AggregateFunction(mut call) => {
                if let Some(filter) = call.params.filter.take() {
                    call.params.filter = Some(Box::new(self.value(*filter, true)?));
                }
                self.parts(Expr::AggregateFunction(call))
            }
            Expr::Exists(Exists { subquery, negated }) => {
                let found = self.exists(&subquery.subquery)?;
                Ok(if negated {
                    Expr::Not(Box::new(found))
                } else {
                    found
                })
            }
            Expr::InSubquery(InSubquery {
                expr,
                subquery,
                negated,
            }) => {
                let quantified = Quantified {
                    value: self.value(*expr, false)?,
                    op: Operator::Eq,
                    all: false,
                };
                let found = self.any(quantified, &subquery.subquery, null_is_false && !negated)?;
                Ok(if negated {
                    Expr::Not(Box::new(found))
                } else {
                    found
                })
            }
            Expr::SetComparison(SetComparison {
                expr,
                subquery,
                op,
                quantifier,
            }) => {
                let all = quantifier == SetQuantifier::All;
                let value = self.value(*expr, false)?;
                let found = self.any(
                    Quantified { value, op, all },
                    &subquery.subquery,
                    null_is_false && !all,
                )?;
                Ok(if all { Expr::Not(Box::new(found)) } else { found })
            }
            Expr::ScalarSubquery(subquery) => self.scalar(&subquery.subquery),
            other => self.parts(other),
        }
    }

    fn parts(&mut self, expr: Expr) -> Result<Expr> {
        Ok(expr
            .map_children(|part| self.value(part, false).map(Transformed::yes))?
            .data)
    }

    fn case(&mut self, mut case: Case, null_is_false: bool) -> Result<Expr> {
        let searched = case.expr.is_none();
        if let Some(operand) = case.expr.take() {
            case.expr = Some(Box::new(self.value(*operand, false)?));
        }
        for (when, then) in &mut case.when_then_expr {
            **when = self.value(std::mem::take(when), searched)?;
            **then = self.value(std::mem::take(then), null_is_false)?;
        }
        if let Some(otherwise) = case.else_expr.take() {
            case.else_expr = Some(Box::new(self.value(*otherwise, null_is_false)?));
        }
        Ok(Expr::Case(case))
    }

    /// The place of the relation that `subquery` and `value` refer to.
    fn side(&self, subquery: &LogicalPlan, value: Option<&Expr>) -> Result<usize> {
        if self.inputs.len() < 2 {
            return Ok(0);
        }
        let mut sides = vec![false; self.inputs.len()];
        let mut see = |expr: &Expr| {
            let (Expr::Column(column) | Expr::OuterReferenceColumn(_, column)) = expr else {
                return;
            };
            for (side, input) in sides.iter_mut().zip(&self.inputs) {
                *side |= input.schema().has_column(column);
            }
        };
        subquery.all_out_ref_exprs().iter().for_each(&mut see);
        if let Some(value) = value {
            value.apply(|part| {
                see(part);
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        match sides.iter().filter(|side| **side).count() {
            0 => Ok(0),
            1 => Ok(sides.iter().position(|side| *side).unwrap_or_default()),
            _ => Err(unsupported(
                "a subquery in ON of an outer join that uses columns of both sides",
            )),
        }
    }

    fn take(&mut self, side: usize) -> LogicalPlan {
        std::mem::take(&mut self.inputs[side])
    }

    /// The relation with its rows numbered.
    fn numbered(&mut self, side: usize) -> Result<Outer> {
        let plan = self.take(side);
        self.names.numbered(plan, lit(true))
    }

    fn exists(&mut self, subquery: &LogicalPlan) -> Result<Expr> {
        let node = match existence(subquery)? {
            Existence::Always => return Ok(lit(true)),
            Existence::Never => return Ok(lit(false)),
            Existence::Of(node) => node,
        };
        if !is_correlated(node) {
            return has_rows(node);
        }
        let side = self.side(node, None)?;
        let schema = Arc::clone(self.inputs[side].schema());
        if let Some(pulled) = self.names.pull(node, &schema)? {
            let (outside, inside) = pulled.conditions(&schema)?;
            let outside = all_hold(outside);
            let found = if !inside.is_empty() {
                let input = self.take(side);
                let (plan, mark) =
                    self.names
                        .existence_join(input, pulled.plan, JoinType::LeftMark, inside)?;
                self.inputs[side] = plan;
                Some(mark)
            } else if is_correlated(&pulled.plan) {
                None
            } else {
                Some(has_rows(&pulled.plan)?)
            };
            if let Some(found) = found {
                return Ok(match outside {
                    Some(outside) => outside.and(found),
                    None => found,
                });
            }
        }
        if let Some(rows) = self.names.single(&self.inputs[side], node)? {
            self.inputs[side] = rows.plan;
            return Ok(rows.is_row);
        }
        let outer = self.numbered(side)?;
        let rows = self.names.push(&outer, node)?;
        let rows = self.names.computed(rows)?;
        let any = call(bool_or_udaf(), rows.is_row.clone());
        let mut grouped = self.names.grouped(rows, vec![], vec![any])?;
        self.inputs[side] = grouped.plan;
        Ok(grouped.columns.pop().unwrap_or_else(|| lit(false)))
    }

    /// Whether the deciding condition holds for any row: true, false, or NULL where it is NULL for some row and true for
    /// none.
    fn any(&mut self, quantified: Quantified, subquery: &LogicalPlan, null_is_false: bool) -> Result<Expr> {
        let node = values(subquery);
        let side = self.side(node, Some(&quantified.value))?;
        let schema = Arc::clone(self.inputs[side].schema());
        if !is_correlated(node) && (null_is_false || is_repeatable(node)) {
            return self.any_of_one_relation(&quantified, node, side, null_is_false);
        }
        if null_is_false && let Some(pulled) = self.names.pull(node, &schema)? {
            let (element, both) = pulled.element(&schema)?;
            let decides = quantified.decides(element, &both)?;
            let (mut conditions, inside) = pulled.conditions(&schema)?;
            conditions.extend(inside);
            conditions.push(decides);
            let input = self.take(side);
            let (plan, mark) =
                self.names
                    .existence_join(input, pulled.plan, JoinType::LeftMark, conditions)?;
            self.inputs[side] = plan;
            return Ok(mark);
        }
        if let Some(rows) = self.names.single(&self.inputs[side], node)? {
            let element = rows.columns.first().cloned().unwrap_or_else(|| lit(true));
            let decides = quantified.decides(element, rows.plan.schema())?;
            self.inputs[side] = rows.plan;
            return Ok(match is_literal_true(&rows.is_row) {
                true => decides,
                false => case_when(rows.is_row, decides, Some(lit(false))),
            });
        }
        let outer = self.numbered(side)?;
        let rows = self.names.push(&outer, node)?;
        let rows = self.names.computed(rows)?;
        let element = rows.columns.first().cloned().unwrap_or_else(|| lit(true));
        let decides = quantified.decides(element, rows.plan.schema())?;
        let is_null = Expr::IsNull(Box::new(decides.clone()));
        let aggregates = vec![
            call(bool_or_udaf(), rows.holds(decides)),
            call(bool_or_udaf(), rows.holds(is_null)),
        ];
        let mut grouped = self.names.grouped(rows, vec![], aggregates)?;
        self.inputs[side] = grouped.plan;
        let is_null = grouped.columns.pop().unwrap_or_else(|| lit(false));
        let is_true = grouped.columns.pop().unwrap_or_else(|| lit(false));
        Ok(three_valued(is_true, is_null))
    }

    /// [`Self::any`] over a subquery without outer columns.
    fn any_of_one_relation(
        &mut self,
        quantified: &Quantified,
        node: &LogicalPlan,
        side: usize,
        null_is_false: bool,
    ) -> Result<Expr> {
        let (leaf, columns) = self.names.leaf(node)?;
        let element = columns.first().cloned().unwrap_or_else(|| lit(true));
        let both = self.inputs[side].schema().join(leaf.schema())?;
        let value = quantified.value.clone();
        let value_may_be_null = value.nullable(&both)?;
        let element_may_be_null = element.nullable(&both)?;
        let decides = quantified.decides(element.clone(), &both)?;
        let has_null = match null_is_false || !(value_may_be_null || element_may_be_null) {
            true => None,
            false => Some(has_null(&leaf, element)?),
        };
        let input = self.take(side);
        let (plan, mark) = self
            .names
            .existence_join(input, leaf, JoinType::LeftMark, vec![decides])?;
        self.inputs[side] = plan;
        let Some(has_null) = has_null else {
            return Ok(mark);
        };
        // Without rows the answer is false, whatever the value.
        let unknown = Expr::IsNotNull(Box::new(has_null.clone())).and(is_true(has_null).or(value.is_null()));
        Ok(three_valued(mark, unknown))
    }

    fn scalar(&mut self, subquery: &LogicalPlan) -> Result<Expr> {
        let side = self.side(subquery, None)?;
        if let Some(rows) = self.names.single(&self.inputs[side], subquery)? {
            let value = rows
                .columns
                .first()
                .cloned()
                .unwrap_or_else(|| lit(ScalarValue::Null));
            let value = rows.guarded(value);
            let value = match is_literal_true(&rows.is_row) {
                true => value,
                false => case_when(rows.is_row, value, None),
            };
            self.inputs[side] = rows.plan;
            return Ok(value);
        }
        let outer = self.numbered(side)?;
        let rows = self.names.push(&outer, subquery)?;
        let rows = self.names.computed(rows)?;
        let value = rows
            .columns
            .first()
            .cloned()
            .unwrap_or_else(|| lit(ScalarValue::Null));
        let only = |mut expr: Expr| {
            if let Expr::AggregateFunction(call) = &mut expr
                && !is_literal_true(&rows.is_row)
            {
                call.params.filter = Some(Box::new(rows.is_row.clone()));
            }
            expr
        };
        let aggregates = vec![
            only(call(first_value_udaf(), value)),
            only(call(count_udaf(), lit(1_i64))),
        ];
        let at_most_one = rows.at_most_one;
        let mut grouped = self.names.grouped(rows, vec![], aggregates)?;
        self.inputs[side] = grouped.plan;
        let count = grouped.columns.pop().unwrap_or_else(|| lit(1_i64));
        let value = grouped.columns.pop().unwrap_or_else(|| lit(ScalarValue::Null));
        Ok(match at_most_one {
            true => value,
            false => single_value(value, count),
        })
    }
}

fn three_valued(holds: Expr, unknown: Expr) -> Expr {
    let cases = vec![
        (Box::new(holds), Box::new(lit(true))),
        (Box::new(unknown), Box::new(lit(ScalarValue::Boolean(None)))),
    ];
    Expr::Case(Case::new(None, cases, Some(Box::new(lit(false)))))
}

/// Whether a relation has rows, as a subquery that is computed once.
fn has_rows(node: &LogicalPlan) -> Result<Expr> {
    let one = LogicalPlanBuilder::from(node.clone())
        .limit(0, Some(1))?
        .build()?;
    let count = Aggregate::try_new(Arc::new(one), vec![], vec![call(count_udaf(), lit(1_i64))])?;
    Ok(subquery(LogicalPlan::Aggregate(count)).gt(lit(0_i64)))
}

/// Whether an element of a relation is NULL, as a subquery that is computed once; NULL where there are no rows.
fn has_null(leaf: &LogicalPlan, element: Expr) -> Result<Expr> {
    let any = call(bool_or_udaf(), element.is_null());
    let any = Aggregate::try_new(Arc::new(leaf.clone()), vec![], vec![any])?;
    Ok(subquery(LogicalPlan::Aggregate(any)))
}

fn subquery(plan: LogicalPlan) -> Expr {
    Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns: vec![],
        spans: Spans::new(),
    })
}

/// Whether two evaluations of a plan give the same rows: it has no LIMIT and no volatile function.
fn is_repeatable(plan: &LogicalPlan) -> bool {
    let differs = plan.exists(|node| {
        let mut differs = matches!(node, LogicalPlan::Limit(_));
        node.apply_expressions(|expr| {
            differs |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(differs)
    });
    !differs.unwrap_or(true)
}
