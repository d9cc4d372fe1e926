//! Carries outer rows through the operators of a subquery that have one input.

use std::sync::Arc;

use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Distinct, Expr, FetchType, Filter, JoinType, Limit, LogicalPlan, LogicalPlanBuilder, SkipType, Values,
    Window, lit,
};

use super::rows::{Outer, Rows, expr_refers_to, is_literal_true, over, refers_to};
use super::{Decorrelation, STACK_RED_ZONE_BYTES, STACK_STEP_BYTES, project, unsupported, window};

impl Decorrelation {
    /// Numbers the rows of `plan`.
    pub(super) fn numbered(&mut self, plan: LogicalPlan, is_row: Expr) -> Result<Outer> {
        let (plan, mut number) = self.windowed(plan, vec![window::row_number(vec![], vec![])])?;
        let number = number.pop().unwrap_or_else(|| Column::from_name("number"));
        Ok(Outer { plan, number, is_row })
    }

    /// The rows of `node` for each row of `outer`.
    pub(super) fn push(&mut self, outer: &Outer, node: &LogicalPlan) -> Result<Rows> {
        stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_STEP_BYTES, || {
            if !refers_to(node, outer.plan.schema()) {
                return self.beside(outer, node, vec![]);
            }
            match node {
                LogicalPlan::Filter(filter) => self.push_filter(outer, filter),
                LogicalPlan::Projection(projection) => {
                    let rows = self.push(outer, &projection.input)?;
                    self.projected(rows, &projection.expr, &projection.input)
                }
                LogicalPlan::SubqueryAlias(alias) => self.push(outer, &alias.input),
                LogicalPlan::Subquery(lateral) => self.push(outer, &lateral.subquery),
                LogicalPlan::Aggregate(aggregate) => self.push_aggregate(outer, aggregate),
                LogicalPlan::Distinct(Distinct::All(input)) => {
                    let rows = self.push(outer, input)?;
                    let columns = rows.columns.clone();
                    self.grouped(rows, columns, vec![])
                }
                LogicalPlan::Sort(sort) => {
                    let rows = self.push(outer, &sort.input)?;
                    let rows = self.sorted(rows, &sort.expr, &sort.input)?;
                    match sort.fetch {
                        Some(fetch) => self.limited(rows, 0, Some(fetch)),
                        None => Ok(rows),
                    }
                }
                LogicalPlan::Limit(limit) => {
                    let (skip, fetch) = bounds(limit)?;
                    let rows = self.push(outer, &limit.input)?;
                    self.limited(rows, skip, fetch)
                }
                LogicalPlan::Window(window) => self.push_window(outer, window),
                LogicalPlan::Values(values) => self.push_values(outer, values),
                LogicalPlan::Union(union) => self.push_union(outer, &union.inputs),
                LogicalPlan::Unnest(unnest) => self.push_unnest(outer, unnest),
                LogicalPlan::Join(join) => self.push_join(outer, join),
                other => Err(unsupported(&format!(
                    "a correlated subquery with {}",
                    other.display().to_string().split(':').next().unwrap_or_default()
                ))),
            }
        })
    }

    /// The rows of a relation that does not refer to `outer`: each outer row beside those for which `on` holds, given
    /// over the columns of `node`.
    pub(super) fn beside(&mut self, outer: &Outer, node: &LogicalPlan, on: Vec<Expr>) -> Result<Rows> {
        let outer_columns = outer.plan.schema().columns();
        if let LogicalPlan::EmptyRelation(empty) = node
            && empty.produce_one_row
            && empty.schema.fields().is_empty()
        {
            return Ok(Rows {
                plan: outer.plan.clone(),
                outer: outer_columns,
                number: Some(outer.number.clone()),
                columns: vec![],
                is_row: outer.is_row.clone(),
                order: vec![],
                at_most_one: true,
            });
        }
        let (leaf, columns) = self.leaf(node)?;
        let (mark, marked) = self.named(lit(true));
        let all = columns.iter().cloned().chain([mark]).collect();
        let right = project(leaf, all)?;
        let mut conditions = real(&outer.is_row);
        for condition in on {
            conditions.push(over(condition, node.schema(), &columns, outer.plan.schema())?);
        }
        let plan = joined(outer.plan.clone(), right, JoinType::Left, conditions)?;
        Ok(Rows {
            plan,
            outer: outer_columns,
            number: Some(outer.number.clone()),
            columns,
            is_row: Expr::Column(marked).is_not_null(),
            order: vec![],
            at_most_one: node.max_rows().is_some_and(|rows| rows <= 1),
        })
    }

    /// `plan` with new names for its columns.
    pub(super) fn leaf(&mut self, plan: &LogicalPlan) -> Result<(LogicalPlan, Vec<Expr>)> {
        let columns = plan.schema().columns().into_iter().map(Expr::Column);
        let (named, new): (Vec<_>, Vec<_>) = columns.map(|column| self.named(column)).unzip();
        let plan = project(plan.clone(), named)?;
        Ok((plan, new.into_iter().map(Expr::Column).collect()))
    }

    fn push_filter(&mut self, outer: &Outer, filter: &Filter) -> Result<Rows> {
        if refers_to(&filter.input, outer.plan.schema()) {
            let rows = self.push(outer, &filter.input)?;
            return self.filtered(rows, &filter.predicate, &filter.input);
        }
        // What does not depend on the outer row is decided once, the rest when the two meet.
        let all = split_conjunction_owned(filter.predicate.clone());
        let (on, own): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|part| expr_refers_to(part, outer.plan.schema()));
        let input = match conjunction(own) {
            Some(own) => LogicalPlan::Filter(Filter::try_new(own, Arc::clone(&filter.input))?),
            None => filter.input.as_ref().clone(),
        };
        if matches!(input, LogicalPlan::EmptyRelation(_)) {
            let rows = self.beside(outer, &input, vec![])?;
            return self.filtered(rows, &filter.predicate, &filter.input);
        }
        self.beside(outer, &input, on)
    }

    /// The rows of a filter above `rows`.
    pub(super) fn filtered(&mut self, mut rows: Rows, predicate: &Expr, input: &LogicalPlan) -> Result<Rows> {
        let predicate = rows.expr(predicate.clone(), input.schema())?;
        rows.is_row = rows.holds(predicate);
        self.computed(rows)
    }

    /// The rows of a projection above `rows`.
    pub(super) fn projected(&mut self, mut rows: Rows, exprs: &[Expr], input: &LogicalPlan) -> Result<Rows> {
        let exprs = exprs.iter().map(|expr| {
            let expr = rows.expr(expr.clone().unalias(), input.schema())?;
            Ok(rows.guarded(expr))
        });
        rows.columns = exprs.collect::<Result<_>>()?;
        self.computed(rows)
    }

    fn sorted(&mut self, mut rows: Rows, keys: &[Sort], input: &LogicalPlan) -> Result<Rows> {
        let keys = keys.iter().map(|key| {
            let expr = rows.expr(key.expr.clone(), input.schema())?;
            Ok(Sort::new(rows.guarded(expr), key.asc, key.nulls_first))
        });
        rows.order = keys.collect::<Result<_>>()?;
        self.computed(rows)
    }

    fn limited(&mut self, rows: Rows, skip: usize, fetch: Option<usize>) -> Result<Rows> {
        let mut rows = self.computed(rows)?;
        let place = self.place(&mut rows)?;
        let mut is_row = rows.is_row.clone();
        let count = |rows: usize| lit(ScalarValue::UInt64(Some(rows as u64)));
        if skip > 0 {
            is_row = is_row.and(place.clone().gt(count(skip)));
        }
        if let Some(fetch) = fetch {
            is_row = is_row.and(place.lt_eq(count(skip.saturating_add(fetch))));
            rows.at_most_one |= fetch <= 1;
        }
        rows.is_row = is_row;
        self.computed(rows)
    }

    /// The place of each row among those of its outer row, from 1; rows that do not count come last.
    pub(super) fn place(&mut self, rows: &mut Rows) -> Result<Expr> {
        let mut order = vec![Sort::new(rows.is_row.clone(), false, false)];
        order.extend(rows.order.iter().cloned());
        let number = rows.number.iter().cloned().map(Expr::Column).collect();
        let plan = std::mem::take(&mut rows.plan);
        let (plan, mut places) = self.windowed(plan, vec![window::row_number(number, order)])?;
        rows.plan = plan;
        Ok(places.pop().map_or_else(|| lit(1), Expr::Column))
    }

    fn push_window(&mut self, outer: &Outer, node: &Window) -> Result<Rows> {
        let rows = self.push(outer, &node.input)?;
        let mut rows = self.computed(rows)?;
        let mut exprs = Vec::with_capacity(node.window_expr.len());
        for expr in &node.window_expr {
            let expr = rows.expr(expr.clone().unalias(), node.input.schema())?;
            let Expr::WindowFunction(mut call) = expr else {
                return Err(unsupported("a correlated subquery with this window function"));
            };
            for arg in &mut call.params.args {
                *arg = rows.guarded(std::mem::take(arg));
            }
            // Rows that do not count are partitions of their own.
            let partition = rows.number.iter().cloned().map(Expr::Column);
            call.params
                .partition_by
                .splice(0..0, partition.chain([rows.is_row.clone()]));
            exprs.push(Expr::WindowFunction(call));
        }
        let plan = std::mem::take(&mut rows.plan);
        let (plan, columns) = self.windowed(plan, exprs)?;
        rows.plan = plan;
        rows.columns.extend(columns.into_iter().map(Expr::Column));
        Ok(rows)
    }

    /// Rows of VALUES with outer columns: one copy of the outer row for each.
    fn push_values(&mut self, outer: &Outer, values: &Values) -> Result<Rows> {
        let (mut rows, at) = self.repeated(outer, values.values.len())?;
        let schema = outer.plan.schema();
        let empty = datafusion::common::DFSchema::empty();
        for column in 0..values.schema.fields().len() {
            let mut choices = Vec::with_capacity(values.values.len());
            for row in &values.values {
                choices.push(over(row[column].clone(), &empty, &[], schema)?);
            }
            let chosen = choice(&at, choices);
            rows.columns.push(rows.guarded(chosen));
        }
        self.computed(rows)
    }

    /// Each outer row `times` times, and the column that says which time it is, from 0.
    fn repeated(&mut self, outer: &Outer, times: usize) -> Result<(Rows, Expr)> {
        let numbers = (0..times as i64).map(|time| vec![lit(time)]).collect();
        let numbers = LogicalPlanBuilder::values(numbers)?.build()?;
        let mut rows = self.beside(outer, &numbers, vec![])?;
        let at = rows.columns.pop().unwrap_or_else(|| lit(0_i64));
        Ok((rows, at))
    }

    /// Branches of a UNION ALL one after the other: the outer row is there once for each, and is a row in its own
    /// branch alone.
    fn push_union(&mut self, outer: &Outer, inputs: &[Arc<LogicalPlan>]) -> Result<Rows> {
        let outer_columns = outer.plan.schema().columns();
        let (mut rows, at) = self.repeated(outer, inputs.len())?;
        rows.columns = vec![at.clone()];
        let mut rows = self.computed(rows)?;
        let at = rows.columns.pop().unwrap_or(at);
        let all = rows.is_row.clone();
        let mut branches: Vec<Rows> = Vec::with_capacity(inputs.len());
        for (branch, input) in inputs.iter().enumerate() {
            let mine = all.clone().and(at.clone().eq(lit(branch as i64)));
            let next = self.numbered(rows.plan, super::rows::is_true(mine))?;
            let pushed = self.push(&next, input)?;
            let mut pushed = self.computed(pushed)?;
            // Of rows that do not count, the next branch needs one for each row that it got.
            let place = self.place(&mut pushed)?;
            let keep = pushed
                .is_row
                .clone()
                .or(place.eq(lit(ScalarValue::UInt64(Some(1)))));
            pushed.plan = LogicalPlan::Filter(Filter::try_new(keep, Arc::new(pushed.plan))?);
            rows.plan = pushed.plan.clone();
            branches.push(pushed);
        }
        let width = branches.first().map_or(0, |branch| branch.columns.len());
        let chosen = |part: &dyn Fn(&Rows) -> Expr| choice(&at, branches.iter().map(part).collect());
        let columns = (0..width).map(|column| chosen(&|rows| rows.columns[column].clone()));
        let columns: Vec<Expr> = columns.collect();
        let is_row = super::rows::is_true(chosen(&|rows| rows.is_row.clone()));
        self.computed(Rows {
            plan: rows.plan,
            outer: outer_columns,
            number: Some(outer.number.clone()),
            columns,
            is_row,
            order: vec![],
            at_most_one: false,
        })
    }

    fn push_unnest(&mut self, outer: &Outer, unnest: &datafusion::logical_expr::Unnest) -> Result<Rows> {
        let rows = self.push(outer, &unnest.input)?;
        let rows = self.computed(rows)?;
        if !unnest.struct_type_columns.is_empty() {
            return Err(unsupported("a correlated subquery that expands rows"));
        }
        let mut exprs = rows.outer_exprs();
        let mut lists = Vec::new();
        let mut columns = Vec::with_capacity(rows.columns.len());
        for (at, column) in rows.columns.iter().enumerate() {
            let is_list = unnest.list_type_columns.iter().any(|(list, _)| *list == at);
            let (named, new) = self.named(if is_list {
                super::rows::case_when(rows.is_row.clone(), column.clone(), None)
            } else {
                column.clone()
            });
            exprs.push(named);
            if is_list {
                lists.push(new.clone());
            }
            columns.push(Expr::Column(new));
        }
        // The positions end where the longest list does: no position, no element.
        let all: Vec<Expr> = lists.iter().cloned().map(Expr::Column).collect();
        let (is_row, was_row) = self.named(rows.is_row.clone());
        exprs.push(is_row);
        let plan = project(rows.plan, exprs)?;
        let (positions, position) = self.named(crate::query::positions(all));
        let mut with_positions = super::node::columns(plan.schema());
        with_positions.push(positions);
        lists.push(position.clone());
        let options = datafusion::common::UnnestOptions::new()
            .with_null_handling(datafusion::common::NullHandling::PreserveAndExpandEmpty);
        let plan = LogicalPlanBuilder::from(project(plan, with_positions)?)
            .unnest_columns_with_options(lists, options)?
            .build()?;
        let was_row = Expr::Column(was_row);
        let is_row = match unnest.options.null_handling {
            datafusion::common::NullHandling::Drop => was_row.and(Expr::Column(position).is_not_null()),
            _ => was_row,
        };
        self.computed(Rows {
            plan,
            outer: rows.outer,
            number: rows.number,
            columns,
            is_row,
            order: vec![],
            at_most_one: false,
        })
    }
}

/// The conditions under which an outer row counts.
pub(super) fn real(is_row: &Expr) -> Vec<Expr> {
    match is_literal_true(is_row) {
        true => vec![],
        false => vec![is_row.clone()],
    }
}

/// A join on all of `conditions`.
pub(super) fn joined(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinType,
    conditions: Vec<Expr>,
) -> Result<LogicalPlan> {
    // A join has a condition, a true one if need be.
    let conditions = match conditions.is_empty() {
        true => vec![lit(true)],
        false => conditions,
    };
    let join = LogicalPlanBuilder::from(left)
        .join_on(right, kind, conditions)?
        .build()?;
    crate::semantics::with_float_keys(join)
}

/// Rows to skip and to fetch, where they are constants.
pub(super) fn bounds(limit: &Limit) -> Result<(usize, Option<usize>)> {
    match (limit.get_skip_type()?, limit.get_fetch_type()?) {
        (SkipType::Literal(skip), FetchType::Literal(fetch)) => Ok((skip, fetch)),
        _ => Err(unsupported("a parameter as LIMIT of a subquery")),
    }
}

/// The choice whose place `at` says.
fn choice(at: &Expr, choices: Vec<Expr>) -> Expr {
    let cases = choices.into_iter().enumerate();
    let cases = cases.map(|(place, then)| (Box::new(at.clone().eq(lit(place as i64))), Box::new(then)));
    Expr::Case(datafusion::logical_expr::Case::new(None, cases.collect(), None))
}
