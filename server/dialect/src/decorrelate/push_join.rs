//! Carries outer rows through the joins of a subquery.

use datafusion::common::{JoinType, ScalarValue};
use datafusion::error::Result;
use datafusion::functions_aggregate::bool_and_or::bool_or_udaf;
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, lit};
use std::sync::Arc;

use super::aggregate::call;
use super::push::{joined, real};
use super::rows::{Outer, Rows, case_when, over, refers_to};
use super::{Decorrelation, aliased, unsupported, window};

impl Decorrelation {
    pub(super) fn push_join(&mut self, outer: &Outer, join: &Join) -> Result<Rows> {
        match join.join_type {
            JoinType::Inner => self.push_inner_join(outer, join),
            JoinType::Left => self.push_left_join(outer, join),
            JoinType::Right => self.push_left_join(outer, &swapped(join)).map(|mut rows| {
                let right = join.right.schema().fields().len();
                rows.columns.rotate_left(right);
                rows
            }),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => self.push_existence(outer, join),
            _ => Err(unsupported("a correlated subquery with FULL JOIN")),
        }
    }

    fn push_inner_join(&mut self, outer: &Outer, join: &Join) -> Result<Rows> {
        if !refers_to(&join.right, outer.plan.schema()) {
            let left = self.push(outer, &join.left)?;
            let left = self.computed(left)?;
            return self.beside_rows(left, &join.right, conditions(join), join, false);
        }
        if !refers_to(&join.left, outer.plan.schema()) {
            let width = join.right.schema().fields().len();
            let mut rows = self.push_inner_join(outer, &swapped(join))?;
            rows.columns.rotate_left(width);
            return Ok(rows);
        }
        let (left, right) = self.both(outer, join)?;
        let mut rows = right;
        rows.columns = left.columns.iter().chain(&rows.columns).cloned().collect();
        let on = over_join(join, conditions(join), &rows.columns, &rows.plan)?;
        rows.is_row = rows.holds(on);
        let rows = self.computed(rows)?;
        Ok(Rows {
            outer: left.outer,
            number: left.number,
            at_most_one: false,
            ..rows
        })
    }

    /// The left side's rows, and for each of them those of the right side.
    fn both(&mut self, outer: &Outer, join: &Join) -> Result<(Rows, Rows)> {
        let left = self.push(outer, &join.left)?;
        let left = self.computed(left)?;
        let next = self.numbered(left.plan.clone(), left.is_row.clone())?;
        let right = self.push(&next, &join.right)?;
        let right = self.computed(right)?;
        Ok((left, right))
    }

    /// `left` beside the rows of `right`, which does not refer to the outer relation. `keeps` says whether a row of the
    /// left side without a match counts.
    fn beside_rows(
        &mut self,
        left: Rows,
        right: &LogicalPlan,
        on: Vec<Expr>,
        join: &Join,
        keeps: bool,
    ) -> Result<Rows> {
        let (leaf, columns) = self.leaf(right)?;
        let (mark, marked) = self.named(lit(true));
        let all = columns.iter().cloned().chain([mark]).collect();
        let leaf = super::project(leaf, all)?;
        let all: Vec<Expr> = left.columns.iter().chain(&columns).cloned().collect();
        let mut conditions = real(&left.is_row);
        for condition in on {
            conditions.push(over(
                condition,
                join_schema(join)?.as_ref(),
                &all,
                left.plan.schema(),
            )?);
        }
        let plan = joined(left.plan, leaf, JoinType::Left, conditions)?;
        let is_row = match keeps {
            true => left.is_row,
            false => Expr::Column(marked).is_not_null(),
        };
        self.computed(Rows {
            plan,
            outer: left.outer,
            number: left.number,
            columns: all,
            is_row,
            order: vec![],
            at_most_one: left.at_most_one && right.max_rows().is_some_and(|rows| rows <= 1),
        })
    }

    fn push_left_join(&mut self, outer: &Outer, join: &Join) -> Result<Rows> {
        if !refers_to(&join.right, outer.plan.schema()) {
            let left = self.push(outer, &join.left)?;
            let left = self.computed(left)?;
            return self.beside_rows(left, &join.right, conditions(join), join, true);
        }
        let (left, right) = self.both(outer, join)?;
        let all: Vec<Expr> = left.columns.iter().chain(&right.columns).cloned().collect();
        let on = over_join(join, conditions(join), &all, &right.plan)?;
        let width = left.columns.len();
        let (mut rows, matches) = self.left_joined(right, on)?;
        let right_columns = all[width..]
            .iter()
            .map(|column| case_when(matches.clone(), column.clone(), None));
        rows.columns = all[..width].iter().cloned().chain(right_columns).collect();
        self.computed(Rows {
            outer: left.outer,
            number: left.number,
            is_row: left.is_row,
            ..rows
        })
    }

    /// Of the rows that a left row has, those for which `on` holds; where there are none, one. Says which it is.
    pub(super) fn left_joined(&mut self, mut rows: Rows, on: Expr) -> Result<(Rows, Expr)> {
        let columns = std::mem::take(&mut rows.columns);
        rows.columns = vec![rows.holds(on)];
        // The columns stay in the plan: they are columns of it, or constants.
        let mut exprs = super::node::columns(rows.plan.schema());
        let (named, matches) = self.named(rows.columns.remove(0));
        exprs.push(named);
        rows.plan = super::project(rows.plan, exprs)?;
        let matches = Expr::Column(matches);
        let number: Vec<Expr> = rows.number.iter().cloned().map(Expr::Column).collect();
        let any = window::any_holds(matches.clone(), number.clone());
        let place = window::row_number(number, vec![]);
        let (plan, columns_of_windows) = self.windowed(rows.plan, vec![any, place])?;
        let mut of_windows = columns_of_windows.into_iter().map(Expr::Column);
        let any = of_windows.next().unwrap_or_else(|| lit(true));
        let place = of_windows.next().unwrap_or_else(|| lit(1));
        let first = place.eq(lit(ScalarValue::UInt64(Some(1))));
        let keep = matches.clone().or(Expr::Not(Box::new(any)).and(first));
        rows.plan = LogicalPlan::Filter(Filter::try_new(keep, Arc::new(plan))?);
        rows.columns = columns;
        rows.at_most_one = false;
        Ok((rows, matches))
    }

    /// EXISTS and IN of a subquery in the subquery.
    fn push_existence(&mut self, outer: &Outer, join: &Join) -> Result<Rows> {
        let left = self.push(outer, &join.left)?;
        let mut left = self.computed(left)?;
        let mut on = conditions(join);
        if join.null_aware {
            on = on
                .into_iter()
                .map(|condition| Expr::IsNotFalse(Box::new(condition)))
                .collect();
        }
        let mark = if refers_to(&join.right, outer.plan.schema()) {
            let next = self.numbered(left.plan.clone(), left.is_row.clone())?;
            let right = self.push(&next, &join.right)?;
            let right = self.computed(right)?;
            let all: Vec<Expr> = left.columns.iter().chain(&right.columns).cloned().collect();
            let holds = right.holds(over_join(join, on, &all, &right.plan)?);
            let mut grouped = self.grouped(right, vec![], vec![call(bool_or_udaf(), holds)])?;
            left.plan = grouped.plan;
            grouped.columns.pop().unwrap_or_else(|| lit(false))
        } else {
            let name = self.relation();
            let (leaf, columns) = self.leaf(&join.right)?;
            let all: Vec<Expr> = left.columns.iter().chain(&columns).cloned().collect();
            let mut conditions = real(&left.is_row);
            conditions.push(over_join(join, on, &all, &left.plan)?);
            left.plan = joined(left.plan, aliased(leaf, &name)?, JoinType::LeftMark, conditions)?;
            Expr::Column(datafusion::common::Column::new(Some(name), "mark"))
        };
        match join.join_type {
            JoinType::LeftSemi => left.is_row = left.is_row.and(mark),
            JoinType::LeftAnti => left.is_row = left.is_row.and(Expr::Not(Box::new(mark))),
            _ => left.columns.push(mark),
        }
        self.computed(left)
    }
}

/// All conditions of a join.
pub(super) fn conditions(join: &Join) -> Vec<Expr> {
    let keys = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    keys.chain(join.filter.clone()).collect()
}

/// The conditions of `join` as one, over `columns` for those of its two sides.
fn over_join(join: &Join, conditions: Vec<Expr>, columns: &[Expr], plan: &LogicalPlan) -> Result<Expr> {
    let schema = join_schema(join)?;
    let all = datafusion::logical_expr::utils::conjunction(conditions).unwrap_or_else(|| lit(true));
    over(all, &schema, columns, plan.schema())
}

/// The columns that the conditions of a join can use.
pub(super) fn join_schema(join: &Join) -> Result<Arc<datafusion::common::DFSchema>> {
    Ok(Arc::new(join.left.schema().join(join.right.schema())?))
}

/// The same join with its sides exchanged.
fn swapped(join: &Join) -> Join {
    let mut swapped = join.clone();
    std::mem::swap(&mut swapped.left, &mut swapped.right);
    swapped.on = join
        .on
        .iter()
        .map(|(left, right)| (right.clone(), left.clone()))
        .collect();
    swapped
}
