//! The places of a plan where subqueries may stand: filters, whose conditions can become semi and anti joins, and the
//! expressions of all other nodes.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier, Sort as SortExpr};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
    Sort, Window,
};

use super::attach::{Attach, is_correlated, needs_join};
use super::predicate::{Existence, Quantified, existence, is_not_false, values};
use super::push_join::conditions;
use super::rows::over;
use super::{Decorrelation, project, unsupported};

impl Decorrelation {
    /// A node, the subqueries of whose inputs are gone.
    pub(super) fn node(&mut self, node: LogicalPlan) -> Result<LogicalPlan> {
        match node {
            LogicalPlan::Subquery(lateral) if !is_correlated(&lateral.subquery) => {
                Ok(Arc::unwrap_or_clone(lateral.subquery))
            }
            LogicalPlan::Join(join) => {
                let join = match super::lateral::is_lateral(&join) {
                    true => match self.lateral(join)? {
                        LogicalPlan::Join(join) => join,
                        other => return Ok(other),
                    },
                    false => join,
                };
                self.join(join)
            }
            other => {
                let mut needs = false;
                other.apply_expressions(|expr| {
                    needs |= needs_join(expr);
                    Ok(TreeNodeRecursion::Continue)
                })?;
                if needs {
                    self.expressions(other)
                } else {
                    other.recompute_schema()
                }
            }
        }
    }

    fn expressions(&mut self, node: LogicalPlan) -> Result<LogicalPlan> {
        match node {
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                let (exprs, input) = self.attached(expr, input)?;
                project(input, exprs)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(Window {
                input, window_expr, ..
            }) => {
                let mut columns = columns(input.schema());
                let (exprs, input) = self.attached(window_expr, input)?;
                let names: Vec<Expr> = exprs.iter().map(column_of).collect();
                columns.extend(names);
                let window = Window::try_new(exprs, Arc::new(input))?;
                project(LogicalPlan::Window(window), columns)
            }
            LogicalPlan::Sort(Sort { expr, input, fetch }) => {
                let columns = columns(input.schema());
                let (expr, input) = self.keys_below(expr, input)?;
                let (keys, input) =
                    self.attached(expr.iter().map(|key| key.expr.clone()).collect(), input)?;
                let keys = expr.into_iter().zip(keys);
                let expr = keys.map(|(key, expr)| key.with_expr(expr.unalias())).collect();
                let input = Arc::new(input);
                project(LogicalPlan::Sort(Sort { expr, input, fetch }), columns)
            }
            _ => Err(unsupported("a correlated subquery in this place")),
        }
    }

    /// ORDER BY may use columns that SELECT leaves out: keys with subqueries are computed below the projection, beside
    /// what it keeps.
    fn keys_below(
        &mut self,
        mut keys: Vec<SortExpr>,
        input: Arc<LogicalPlan>,
    ) -> Result<(Vec<SortExpr>, Arc<LogicalPlan>)> {
        let LogicalPlan::Projection(projection) = input.as_ref() else {
            return Ok((keys, input));
        };
        let exprs: Vec<Expr> = projection
            .expr
            .iter()
            .map(|expr| expr.clone().unalias())
            .collect();
        let mut attach = Attach {
            names: self,
            inputs: vec![projection.input.as_ref().clone()],
        };
        let mut kept = projection.expr.clone();
        for key in keys.iter_mut().filter(|key| needs_join(&key.expr)) {
            let expr = std::mem::take(&mut key.expr);
            let below = over(expr, &projection.schema, &exprs, &DFSchema::empty())?;
            let below = attach.value(below, false)?;
            let (named, column) = attach.names.named(below);
            kept.push(named);
            key.expr = Expr::Column(column);
        }
        let below = attach.inputs.pop().unwrap_or_default();
        Ok((keys, Arc::new(project(below, kept)?)))
    }

    /// Expressions over `input` without subqueries, under the names that they had.
    fn attached(&mut self, exprs: Vec<Expr>, input: Arc<LogicalPlan>) -> Result<(Vec<Expr>, LogicalPlan)> {
        let mut attach = Attach {
            names: self,
            inputs: vec![Arc::unwrap_or_clone(input)],
        };
        let names = NamePreserver::new_for_projection();
        let exprs = exprs.into_iter().map(|expr| {
            let name = names.save(&expr);
            Ok(name.restore(attach.value(expr, false)?))
        });
        let exprs = exprs.collect::<Result<_>>()?;
        let input = attach.inputs.pop().unwrap_or_default();
        Ok((exprs, input))
    }

    /// Groups that have subqueries are computed below the aggregate.
    fn aggregate(&mut self, aggregate: Aggregate) -> Result<LogicalPlan> {
        let Aggregate {
            input,
            group_expr,
            aggr_expr,
            ..
        } = aggregate;
        if group_expr
            .iter()
            .any(|group| matches!(group, Expr::GroupingSet(_)) && needs_join(group))
        {
            return Err(unsupported(
                "a correlated subquery in ROLLUP, CUBE or GROUPING SETS",
            ));
        }
        let groups = group_expr.len();
        let (mut exprs, mut input) =
            self.attached(group_expr.into_iter().chain(aggr_expr).collect(), input)?;
        let aggregates = exprs.split_off(groups);
        let mut below = columns(input.schema());
        let known = below.len();
        for group in &mut exprs {
            if let Expr::Alias(alias) = group {
                let column = Expr::Column(Column::from_name(alias.name.clone()));
                below.push(std::mem::replace(group, column));
            }
        }
        if below.len() > known {
            input = project(input, below)?;
        }
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(
            Arc::new(input),
            exprs,
            aggregates,
        )?))
    }

    /// Conditions in the order in which they stand; a subquery among them sees the rows that those before it leave.
    fn filter(&mut self, filter: Filter) -> Result<LogicalPlan> {
        let columns = columns(filter.input.schema());
        let mut plan = Arc::unwrap_or_clone(filter.input);
        let mut waiting = Vec::new();
        for part in split_conjunction_owned(filter.predicate) {
            if !needs_join(&part) {
                waiting.push(part);
                continue;
            }
            plan = filtered(plan, std::mem::take(&mut waiting))?;
            plan = match self.condition(plan, &part)? {
                Ok(plan) => plan,
                Err(plan) => {
                    let mut attach = Attach {
                        names: self,
                        inputs: vec![*plan],
                    };
                    let condition = attach.value(part, true)?;
                    filtered(attach.inputs.pop().unwrap_or_default(), vec![condition])?
                }
            };
        }
        let plan = filtered(plan, waiting)?;
        match plan.schema().fields().len() == columns.len() {
            true => Ok(plan),
            false => project(plan, columns),
        }
    }

    /// A condition that is nothing but a subquery, as semi or anti join; the plan as it was where it takes more.
    fn condition(&mut self, plan: LogicalPlan, part: &Expr) -> Result<Result<LogicalPlan, Box<LogicalPlan>>> {
        let (part, not) = match part {
            Expr::Not(inner) => (inner.as_ref(), true),
            other => (other, false),
        };
        match part {
            Expr::Exists(Exists { subquery, negated }) => {
                let kind = if *negated != not {
                    JoinType::LeftAnti
                } else {
                    JoinType::LeftSemi
                };
                self.exists_join(plan, &subquery.subquery, kind)
            }
            Expr::InSubquery(InSubquery {
                expr,
                subquery,
                negated,
            }) if !needs_join(expr) => {
                let quantified = Quantified {
                    value: expr.as_ref().clone(),
                    op: Operator::Eq,
                    all: false,
                };
                self.quantified_join(plan, &quantified, &subquery.subquery, *negated != not)
            }
            Expr::SetComparison(SetComparison {
                expr,
                subquery,
                op,
                quantifier,
            }) if !needs_join(expr) => {
                let all = *quantifier == SetQuantifier::All;
                let quantified = Quantified {
                    value: expr.as_ref().clone(),
                    op: *op,
                    all,
                };
                self.quantified_join(plan, &quantified, &subquery.subquery, all != not)
            }
            _ => Ok(Err(Box::new(plan))),
        }
    }

    fn exists_join(
        &mut self,
        plan: LogicalPlan,
        subquery: &LogicalPlan,
        kind: JoinType,
    ) -> Result<Result<LogicalPlan, Box<LogicalPlan>>> {
        let Existence::Of(node) = existence(subquery)? else {
            return Ok(Err(Box::new(plan)));
        };
        let schema = Arc::clone(plan.schema());
        let Some(pulled) = self.pull(node, &schema)? else {
            return Ok(Err(Box::new(plan)));
        };
        let (mut conditions, inside) = pulled.conditions(&schema)?;
        if inside.is_empty() {
            return Ok(Err(Box::new(plan)));
        }
        conditions.extend(inside);
        Ok(Ok(self.existence_join(plan, pulled.plan, kind, conditions)?.0))
    }

    /// Keeps the rows for which the comparison holds with a row of the subquery, or, negated, with none.
    fn quantified_join(
        &mut self,
        plan: LogicalPlan,
        quantified: &Quantified,
        subquery: &LogicalPlan,
        negated: bool,
    ) -> Result<Result<LogicalPlan, Box<LogicalPlan>>> {
        let schema = Arc::clone(plan.schema());
        let Some(pulled) = self.pull(values(subquery), &schema)? else {
            return Ok(Err(Box::new(plan)));
        };
        let (element, both) = pulled.element(&schema)?;
        let value = &quantified.value;
        let decides = quantified.decides(element.clone(), &both)?;
        let (mut conditions, inside) = pulled.conditions(&schema)?;
        conditions.extend(inside);
        if !negated {
            conditions.push(decides);
            return Ok(Ok(self
                .existence_join(plan, pulled.plan, JoinType::LeftSemi, conditions)?
                .0));
        }
        let may_be_null = value.nullable(&both)? || element.nullable(&both)?;
        let is_plain = matches!(&decides, Expr::BinaryExpr(binary) if binary.op == Operator::Eq);
        // A comparison with a constant is no key of a hash join.
        if conditions.is_empty()
            && is_plain
            && may_be_null
            && value.any_column_refs()
            && !is_correlated(subquery)
        {
            // NOT IN over the whole subquery: a hash join that knows of NULLs.
            let plan = LogicalPlanBuilder::from(plan)
                .join_detailed_with_options(
                    pulled.plan,
                    JoinType::LeftAnti,
                    (Vec::<Column>::new(), Vec::<Column>::new()),
                    Some(decides),
                    NullEquality::NullEqualsNothing,
                    true,
                )?
                .build()?;
            return Ok(Ok(plan));
        }
        conditions.push(is_not_false(decides, &both)?);
        Ok(Ok(self
            .existence_join(plan, pulled.plan, JoinType::LeftAnti, conditions)?
            .0))
    }

    /// Subqueries in ON: of an inner join they filter its rows, of an outer one they belong to one of its sides.
    fn join(&mut self, join: Join) -> Result<LogicalPlan> {
        let on = conditions(&join);
        if !on.iter().any(needs_join) {
            return LogicalPlan::Join(join).recompute_schema();
        }
        let parts = on.into_iter().flat_map(split_conjunction_owned);
        let (with, without): (Vec<_>, Vec<_>) = parts.partition(needs_join);
        let mut rest = join.clone();
        rest.on = vec![];
        rest.filter = conjunction(without);
        if join.join_type == JoinType::Inner {
            let input = Arc::new(LogicalPlan::Join(rest));
            let Some(predicate) = conjunction(with) else {
                return Ok(Arc::unwrap_or_clone(input));
            };
            return self.filter(Filter::try_new(predicate, input)?);
        }
        let columns = columns(&join.schema);
        let mut attach = Attach {
            names: self,
            inputs: vec![Arc::unwrap_or_clone(rest.left), Arc::unwrap_or_clone(rest.right)],
        };
        let mut all: Vec<Expr> = rest.filter.into_iter().collect();
        for part in with {
            all.push(attach.value(part, true)?);
        }
        let right = attach.inputs.pop().unwrap_or_default();
        let left = attach.inputs.pop().unwrap_or_default();
        let plan = LogicalPlanBuilder::from(left)
            .join_detailed(
                right,
                join.join_type,
                (Vec::<Column>::new(), Vec::<Column>::new()),
                conjunction(all),
                join.null_equality,
            )?
            .build()?;
        project(plan, columns)
    }
}

pub(super) fn filtered(plan: LogicalPlan, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?)),
        None => Ok(plan),
    }
}

pub(super) fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}

/// The column that an expression of a node becomes.
fn column_of(expr: &Expr) -> Expr {
    let (relation, name) = expr.qualified_name();
    Expr::Column(Column::new(relation, name))
}
