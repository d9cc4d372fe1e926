//! Subqueries of which only matters whether a row is there: semi, anti and mark joins.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, lit,
};

use super::push::{bounds, joined};
use super::push_join::{conditions, join_schema};
use super::rows::{expr_refers_to, is_literal_true, is_true, over, refers_to};
use super::{Decorrelation, aliased};

/// A subquery without its conditions on outer columns.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) plan: LogicalPlan,
    /// The columns of the subquery as expressions over `plan`; outer columns may be in them.
    pub(super) columns: Vec<Expr>,
    /// The conditions, over `plan` and outer columns.
    pub(super) conditions: Vec<Expr>,
}

/// What tells whether a subquery has a row.
pub(super) enum Existence<'a> {
    Always,
    Never,
    /// Where this has one.
    Of(&'a LogicalPlan),
}

/// Takes off what has a row exactly where its input has one.
pub(super) fn existence(node: &LogicalPlan) -> Result<Existence<'_>> {
    match node {
        LogicalPlan::Projection(projection) => existence(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => existence(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch != Some(0) => existence(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => existence(input),
        LogicalPlan::Limit(limit) => match bounds(limit)? {
            (_, Some(0)) => Ok(Existence::Never),
            (0, _) => existence(&limit.input),
            _ => Ok(Existence::Of(node)),
        },
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => Ok(Existence::Always),
        LogicalPlan::Aggregate(aggregate)
            if !aggregate
                .group_expr
                .iter()
                .any(|group| matches!(group, Expr::GroupingSet(_))) =>
        {
            existence(&aggregate.input)
        }
        other => Ok(Existence::Of(other)),
    }
}

/// Takes off what does not change which values a subquery has.
pub(super) fn values(node: &LogicalPlan) -> &LogicalPlan {
    match node {
        LogicalPlan::SubqueryAlias(alias) => values(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => values(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => values(input),
        other => other,
    }
}

/// A comparison of a value with each row of a subquery.
#[derive(Debug, Clone)]
pub(super) struct Quantified {
    pub(super) value: Expr,
    pub(super) op: Operator,
    /// ALL: the comparison must hold for every row.
    pub(super) all: bool,
}

impl Quantified {
    /// The condition of which one row decides: that the comparison holds, for ALL that it does not.
    pub(super) fn decides(&self, element: Expr, schema: &DFSchema) -> Result<Expr> {
        let compared = crate::semantics::comparison(
            BinaryExpr::new(Box::new(self.value.clone()), self.op, Box::new(element)),
            schema,
        )?;
        Ok(if self.all {
            Expr::Not(Box::new(compared))
        } else {
            compared
        })
    }
}

impl Decorrelation {
    /// Takes the conditions on columns of `outer` out of `node`; `None` where they do not stand in filters and inner
    /// joins alone.
    pub(super) fn pull(&mut self, node: &LogicalPlan, outer: &DFSchema) -> Result<Option<Pulled>> {
        if !refers_to(node, outer) {
            let (plan, columns) = self.leaf(node)?;
            return Ok(Some(Pulled {
                plan,
                columns,
                conditions: vec![],
            }));
        }
        match node {
            LogicalPlan::SubqueryAlias(alias) => self.pull(&alias.input, outer),
            LogicalPlan::Subquery(lateral) => self.pull(&lateral.subquery, outer),
            LogicalPlan::Filter(filter) => {
                let Some(pulled) = self.pull(&filter.input, outer)? else {
                    return Ok(None);
                };
                let own = over(
                    filter.predicate.clone(),
                    filter.input.schema(),
                    &pulled.columns,
                    &DFSchema::empty(),
                )?;
                pulled.filtered(own, outer).map(Some)
            }
            LogicalPlan::Projection(projection) => {
                let Some(mut pulled) = self.pull(&projection.input, outer)? else {
                    return Ok(None);
                };
                if projection.expr.iter().any(Expr::is_volatile) {
                    return Ok(None);
                }
                let exprs = projection.expr.iter().map(|expr| {
                    let expr = expr.clone().unalias();
                    over(
                        expr,
                        projection.input.schema(),
                        &pulled.columns,
                        &DFSchema::empty(),
                    )
                });
                pulled.columns = exprs.collect::<Result<_>>()?;
                Ok(Some(pulled))
            }
            LogicalPlan::Join(join) => self.pull_join(join, outer),
            _ => Ok(None),
        }
    }

    fn pull_join(&mut self, join: &Join, outer: &DFSchema) -> Result<Option<Pulled>> {
        let on = conjunction(conditions(join)).unwrap_or_else(|| lit(true));
        let keeps_right = join.join_type == JoinType::Inner;
        let keeps_left = matches!(
            join.join_type,
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
        );
        if !keeps_right && (!keeps_left || refers_to(&join.right, outer) || expr_refers_to(&on, outer)) {
            return Ok(None);
        }
        let (Some(left), Some(right)) = (self.pull(&join.left, outer)?, self.pull(&join.right, outer)?)
        else {
            return Ok(None);
        };
        let mut columns = left.columns;
        let width = columns.len();
        columns.extend(right.columns);
        let on = over(on, join_schema(join)?.as_ref(), &columns, &DFSchema::empty())?;
        let mut outside = left.conditions;
        outside.extend(right.conditions);
        if keeps_right {
            let plan = LogicalPlanBuilder::from(left.plan)
                .cross_join(right.plan)?
                .build()?;
            let pulled = Pulled {
                plan,
                columns,
                conditions: outside,
            };
            return pulled.filtered(on, outer).map(Some);
        }
        let name = self.relation();
        let right_plan = match join.join_type {
            JoinType::LeftMark => aliased(right.plan, &name)?,
            _ => right.plan,
        };
        let plan = LogicalPlanBuilder::from(left.plan)
            .join_detailed_with_options(
                right_plan,
                join.join_type,
                (Vec::<Column>::new(), Vec::<Column>::new()),
                Some(on),
                join.null_equality,
                join.null_aware,
            )?
            .build()?;
        match join.join_type {
            JoinType::LeftMark => {
                columns.truncate(width);
                columns.push(Expr::Column(Column::new(Some(name), "mark")));
            }
            JoinType::LeftSemi | JoinType::LeftAnti => columns.truncate(width),
            _ => {}
        }
        Ok(Some(Pulled {
            plan: crate::semantics::with_float_keys(plan)?,
            columns,
            conditions: outside,
        }))
    }

    /// A semi, anti or mark join of `outer` with a subquery; the column with the mark.
    pub(super) fn existence_join(
        &mut self,
        outer: LogicalPlan,
        right: LogicalPlan,
        kind: JoinType,
        conditions: Vec<Expr>,
    ) -> Result<(LogicalPlan, Expr)> {
        // The mark's name is that of the relation; the columns of other joins keep their names.
        let name = self.relation();
        let right = match kind {
            JoinType::LeftMark => aliased(right, &name)?,
            _ => right,
        };
        let plan = joined(outer, right, kind, conditions)?;
        Ok((plan, Expr::Column(Column::new(Some(name), "mark"))))
    }
}

impl Pulled {
    /// With a filter above: what has outer columns becomes a condition.
    fn filtered(mut self, predicate: Expr, outer: &DFSchema) -> Result<Self> {
        let parts = split_conjunction_owned(predicate).into_iter();
        let (outside, own): (Vec<_>, Vec<_>) = parts
            .filter(|part| !is_literal_true(part))
            .partition(|part| expr_refers_to(part, outer));
        if let Some(own) = conjunction(own) {
            self.plan = LogicalPlan::Filter(Filter::try_new(own, Arc::new(self.plan))?);
        }
        self.conditions.extend(outside);
        Ok(self)
    }

    /// Its conditions with the columns of `outer`: those on outer columns alone, and the others.
    pub(super) fn conditions(&self, outer: &DFSchema) -> Result<(Vec<Expr>, Vec<Expr>)> {
        let all = self.conditions.iter().map(|condition| {
            let is_outer = !condition.any_column_refs();
            Ok((is_outer, over_outer(condition.clone(), outer)?))
        });
        let all = all.collect::<Result<Vec<_>>>()?;
        let (outside, inside): (Vec<_>, Vec<_>) = all.into_iter().partition(|(is_outer, _)| *is_outer);
        let plain = |parts: Vec<(bool, Expr)>| parts.into_iter().map(|(_, part)| part).collect();
        Ok((plain(outside), plain(inside)))
    }

    /// The first column, and the schema in which it can be compared with columns of `outer`.
    pub(super) fn element(&self, outer: &DFSchema) -> Result<(Expr, DFSchema)> {
        let element = self.columns.first().cloned().unwrap_or_else(|| lit(true));
        Ok((over_outer(element, outer)?, outer.join(self.plan.schema())?))
    }
}

/// `expr` with the outer columns that are columns of `outer` taken from there.
fn over_outer(expr: Expr, outer: &DFSchema) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let replaced = expr.transform(|part| match part {
        Expr::OuterReferenceColumn(_, ref column) if outer.has_column(column) => {
            Ok(Transformed::yes(Expr::Column(column.clone())))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// `condition IS NOT FALSE`, or the condition itself where it cannot be NULL.
pub(super) fn is_not_false(condition: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(match condition.nullable(schema)? {
        true => Expr::IsNotFalse(Box::new(condition)),
        false => condition,
    })
}

/// All of `conditions` hold.
pub(super) fn all_hold(conditions: Vec<Expr>) -> Option<Expr> {
    conjunction(conditions).map(is_true)
}
