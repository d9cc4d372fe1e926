//! Subqueries of one row, as an aggregate without groups makes: their groups are joined with the outer relation, and
//! what an outer row without a group gets is known.

use std::sync::Arc;

use datafusion::common::{DFSchema, JoinType};
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, lit};

use super::Decorrelation;
use super::push::{bounds, joined};
use super::rows::{Rows, case_when, expr_refers_to, over};

/// Aggregates that are NULL where they have no input; `count` is 0 there.
const NULL_WITHOUT_INPUT: &[&str] = &[
    "min",
    "max",
    "$min",
    "$max",
    "sum",
    "avg",
    "stddev",
    "var",
    "stddev_pop",
    "var_pop",
];
const COUNT: &str = "count";

impl Decorrelation {
    /// The one row of `node` for each row of `outer`, where `node` has one and it takes no numbering to find it.
    pub(super) fn single(&mut self, outer: &LogicalPlan, node: &LogicalPlan) -> Result<Option<Rows>> {
        let rows = match node {
            LogicalPlan::Projection(projection) => {
                let Some(rows) = self.single(outer, &projection.input)? else {
                    return Ok(None);
                };
                self.projected(rows, &projection.expr, &projection.input)?
            }
            LogicalPlan::Filter(filter) => {
                let Some(rows) = self.single(outer, &filter.input)? else {
                    return Ok(None);
                };
                self.filtered(rows, &filter.predicate, &filter.input)?
            }
            LogicalPlan::SubqueryAlias(alias) => return self.single(outer, &alias.input),
            LogicalPlan::Subquery(lateral) => return self.single(outer, &lateral.subquery),
            LogicalPlan::Sort(sort) if sort.fetch != Some(0) => return self.single(outer, &sort.input),
            LogicalPlan::Limit(limit) => match bounds(limit)? {
                (0, Some(1..) | None) => return self.single(outer, &limit.input),
                _ => return Ok(None),
            },
            LogicalPlan::EmptyRelation(empty)
                if empty.produce_one_row && empty.schema.fields().is_empty() =>
            {
                Rows {
                    plan: outer.clone(),
                    outer: outer.schema().columns(),
                    number: None,
                    columns: vec![],
                    is_row: lit(true),
                    order: vec![],
                    at_most_one: true,
                }
            }
            LogicalPlan::Aggregate(aggregate) => return self.joined_groups(outer, aggregate),
            _ => return Ok(None),
        };
        Ok(Some(rows))
    }

    /// An aggregate without groups whose input is correlated by equality alone: grouped by the columns that are
    /// compared, each group is joined with the outer rows that it belongs to.
    pub(super) fn joined_groups(
        &mut self,
        outer: &LogicalPlan,
        aggregate: &Aggregate,
    ) -> Result<Option<Rows>> {
        if !aggregate.group_expr.is_empty() {
            return Ok(None);
        }
        let Some(is_count) = aggregate.aggr_expr.iter().map(counts).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        if aggregate
            .aggr_expr
            .iter()
            .any(|call| expr_refers_to(call, outer.schema()))
        {
            return Ok(None);
        }
        let Some(pulled) = self.pull(&aggregate.input, outer.schema())? else {
            return Ok(None);
        };
        let mut keys = Vec::with_capacity(pulled.conditions.len());
        for condition in pulled.conditions {
            let Some(key) = equal(condition, &pulled.plan, outer.schema())? else {
                return Ok(None);
            };
            keys.push(key);
        }
        let mut exprs = super::node::columns(pulled.plan.schema());
        let mut groups = Vec::with_capacity(keys.len());
        let mut on = Vec::with_capacity(keys.len());
        for (theirs, own) in keys {
            let (named, column) = self.named(own);
            exprs.push(named);
            groups.push(Expr::Column(column.clone()));
            on.push(theirs.eq(Expr::Column(column)));
        }
        let input = super::project(pulled.plan, exprs)?;
        let mut calls = Vec::with_capacity(is_count.len());
        let mut columns = Vec::with_capacity(is_count.len());
        for (call, is_count) in aggregate.aggr_expr.iter().zip(is_count) {
            let call = call.clone().unalias();
            let call = over(
                call,
                aggregate.input.schema(),
                &pulled.columns,
                &DFSchema::empty(),
            )?;
            let (named, column) = self.named(call);
            calls.push(named);
            let column = Expr::Column(column);
            columns.push(match is_count {
                true => case_when(column.clone().is_null(), lit(0_i64), Some(column)),
                false => column,
            });
        }
        let right = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, calls)?);
        Ok(Some(Rows {
            plan: joined(outer.clone(), right, JoinType::Left, on)?,
            outer: outer.schema().columns(),
            number: None,
            columns,
            is_row: lit(true),
            order: vec![],
            at_most_one: true,
        }))
    }
}

/// Whether an aggregate counts; `None` where its value without input is not known here.
fn counts(call: &Expr) -> Option<bool> {
    let Expr::AggregateFunction(call) = call.clone().unalias() else {
        return None;
    };
    match call.func.name() {
        COUNT => Some(true),
        name if NULL_WITHOUT_INPUT.contains(&name) => Some(false),
        _ => None,
    }
}

/// The two sides of `outer = own`; `None` for any other condition, and for floats, of which NaN equals none.
fn equal(condition: Expr, own: &LogicalPlan, outer: &DFSchema) -> Result<Option<(Expr, Expr)>> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = condition
    else {
        return Ok(None);
    };
    let (theirs, own_side) = if left.any_column_refs() {
        (*right, *left)
    } else {
        (*left, *right)
    };
    if theirs.any_column_refs() || !own_side.any_column_refs() || expr_refers_to(&own_side, outer) {
        return Ok(None);
    }
    let theirs = over(theirs, &DFSchema::empty(), &[], outer)?;
    if theirs.contains_outer() || own_side.get_type(own.schema())?.is_floating() {
        return Ok(None);
    }
    Ok(Some((theirs, own_side)))
}
