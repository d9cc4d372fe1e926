//! Aggregates of a subquery per outer row.

use std::sync::Arc;

use datafusion::common::{Column, ExprSchema};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::bool_and_or::bool_or_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, FieldMetadata};
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, LogicalPlan};

use super::rows::{Outer, Rows, is_literal_true};
use super::{Decorrelation, project, unsupported};

impl Decorrelation {
    pub(super) fn push_aggregate(&mut self, outer: &Outer, aggregate: &Aggregate) -> Result<Rows> {
        if let Some(mut rows) = self.joined_groups(&outer.plan, aggregate)? {
            rows.number = Some(outer.number.clone());
            rows.is_row = outer.is_row.clone();
            return Ok(rows);
        }
        if aggregate
            .group_expr
            .iter()
            .any(|group| matches!(group, Expr::GroupingSet(_)))
        {
            return Err(unsupported(
                "a correlated subquery with ROLLUP, CUBE or GROUPING SETS",
            ));
        }
        let rows = self.push(outer, &aggregate.input)?;
        let rows = self.computed(rows)?;
        let schema = aggregate.input.schema();
        let groups = aggregate
            .group_expr
            .iter()
            .map(|group| {
                let group = rows.expr(group.clone().unalias(), schema)?;
                Ok(rows.guarded(group))
            })
            .collect::<Result<Vec<_>>>()?;
        let calls = aggregate
            .aggr_expr
            .iter()
            .map(|call| rows.aggregate(rows.expr(call.clone().unalias(), schema)?))
            .collect::<Result<Vec<_>>>()?;
        let has_groups = !groups.is_empty();
        let mut grouped = self.grouped(rows, groups, calls)?;
        if !has_groups {
            // Without groups there is one row, whether the input has any or not.
            grouped.is_row = outer.is_row.clone();
            grouped.at_most_one = true;
        }
        Ok(grouped)
    }

    /// Groups the rows of each outer row. The columns are the groups, then the aggregates, which are over
    /// `rows.plan`; a group counts where one of its rows does.
    pub(super) fn grouped(
        &mut self,
        mut rows: Rows,
        groups: Vec<Expr>,
        aggregates: Vec<Expr>,
    ) -> Result<Rows> {
        let number = rows.number.clone();
        let number = number.ok_or_else(|| DataFusionError::Internal("rows without a number".to_owned()))?;
        // Groups become columns first, so that they have names.
        let own = rows.columns.len();
        rows.columns.extend(groups);
        let mut rows = self.keeping_columns(rows)?;
        let groups = rows.columns.split_off(own);
        let fields: Vec<_> = rows
            .outer
            .iter()
            .map(|column| rows.plan.schema().field_from_column(column).cloned())
            .collect::<Result<_>>()?;

        let keys = std::iter::once(Expr::Column(number.clone())).chain(groups.iter().cloned());
        let keys = keys.filter(|key| !matches!(key, Expr::Literal(..))).collect();
        let carried: Vec<&Column> = rows.outer.iter().filter(|column| **column != number).collect();
        let carried_calls = carried
            .iter()
            .map(|column| call(first_value_udaf(), Expr::Column((*column).clone())));
        let is_row = call(bool_or_udaf(), rows.is_row.clone());
        let width = aggregates.len();
        let all = aggregates.into_iter().chain([is_row]).chain(carried_calls);
        let (named, columns): (Vec<_>, Vec<_>) = all.map(|expr| self.named(expr)).unzip();
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(rows.plan), keys, named)?);

        // The outer columns get their names back.
        let mut restored = columns[width + 1..].iter();
        let mut exprs = Vec::new();
        for (column, field) in rows.outer.iter().zip(fields) {
            let new = if *column == number {
                Some(column)
            } else {
                restored.next()
            };
            let new = Expr::Column(new.unwrap_or(column).clone());
            exprs.push(if *column == number {
                new
            } else {
                let metadata = FieldMetadata::from(field.metadata().clone());
                let metadata = (!metadata.is_empty()).then_some(metadata);
                new.alias_qualified_with_metadata(column.relation.clone(), &column.name, metadata)
            });
        }
        let results: Vec<Expr> = columns[..=width].iter().cloned().map(Expr::Column).collect();
        let group_columns = groups.iter().filter(|group| matches!(group, Expr::Column(_)));
        exprs.extend(group_columns.cloned().chain(results.iter().cloned()));
        let plan = project(plan, exprs)?;
        let mut results = results;
        let is_row = results
            .pop()
            .unwrap_or_else(|| datafusion::logical_expr::lit(true));
        Ok(Rows {
            plan,
            outer: rows.outer,
            number: Some(number),
            columns: groups.into_iter().chain(results).collect(),
            is_row,
            order: vec![],
            at_most_one: false,
        })
    }

    /// Computes the columns that are none yet; all others of the plan stay.
    fn keeping_columns(&mut self, mut rows: Rows) -> Result<Rows> {
        let mut exprs = super::node::columns(rows.plan.schema());
        let plain = exprs.len();
        for expr in &mut rows.columns {
            if !matches!(expr, Expr::Column(_) | Expr::Literal(..)) {
                let (named, column) = self.named(std::mem::take(expr));
                exprs.push(named);
                *expr = Expr::Column(column);
            }
        }
        if exprs.len() > plain {
            rows.plan = project(rows.plan, exprs)?;
        }
        Ok(rows)
    }
}

impl Rows {
    /// An aggregate over the rows that count.
    fn aggregate(&self, expr: Expr) -> Result<Expr> {
        let Expr::AggregateFunction(mut call) = expr else {
            return Err(unsupported("a correlated subquery with this aggregate"));
        };
        for arg in &mut call.params.args {
            *arg = self.guarded(std::mem::take(arg));
        }
        for key in &mut call.params.order_by {
            key.expr = self.guarded(std::mem::take(&mut key.expr));
        }
        call.params.filter = match call.params.filter.take() {
            Some(filter) => Some(Box::new(self.holds(*filter))),
            None if is_literal_true(&self.is_row) => None,
            None => Some(Box::new(self.is_row.clone())),
        };
        Ok(Expr::AggregateFunction(call))
    }
}

pub(super) fn call(function: Arc<AggregateUDF>, arg: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        function,
        vec![arg],
        false,
        None,
        vec![],
        None,
    ))
}
