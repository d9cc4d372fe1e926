//! A tree of inner joins taken apart: its inputs, its conditions, its shape. Only such that may be decided in any order.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use owlake_dialect::semantics::is_comparison;

/// Inner joins, with the filters and the projections of plain columns between them.
pub(super) struct Region {
    pub leaves: Vec<LogicalPlan>,
    pub conditions: Vec<Condition>,
    pub shape: Shape,
}

/// Which join is above which.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Leaf(usize),
    Join(Box<Shape>, Box<Shape>),
}

impl Shape {
    /// Without one leaf; nothing where that was all.
    pub(super) fn without(self, leaf: usize) -> Option<Self> {
        match self {
            Self::Leaf(at) => (at != leaf).then_some(Self::Leaf(at)),
            Self::Join(left, right) => match (left.without(leaf), right.without(leaf)) {
                (Some(left), Some(right)) => Some(Self::Join(Box::new(left), Box::new(right))),
                (one, other) => one.or(other),
            },
        }
    }
}

/// One of the conditions that rows of the region fulfil, all of them.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub expr: Expr,
    /// Of whose columns it is.
    pub leaves: BTreeSet<usize>,
    /// The leaves of the two sides of an equality.
    sides: Option<(usize, usize)>,
}

impl Condition {
    /// The two leaves that it makes equal.
    pub(super) fn equality(&self) -> Option<(usize, usize)> {
        self.sides
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = Column> + use<> {
        let columns: BTreeSet<Column> = self.expr.column_refs().into_iter().cloned().collect();
        columns.into_iter()
    }

    /// `guest` is part of `host` now; whether that has decided the condition.
    pub(super) fn moves(&mut self, guest: usize, host: usize) -> bool {
        let both = BTreeSet::from([guest, host]);
        if self.leaves.is_subset(&both) {
            return true;
        }
        if self.leaves.remove(&guest) {
            self.leaves.insert(host);
        }
        if let Some((one, other)) = &mut self.sides {
            for side in [one, other] {
                if *side == guest {
                    *side = host;
                }
            }
        }
        false
    }

    /// The sides of an equality between `left` and `right`, in this order.
    pub(super) fn sides(&self, left: &BTreeSet<usize>, right: &BTreeSet<usize>) -> Option<(Expr, Expr)> {
        let (one, other) = self.sides?;
        let Expr::BinaryExpr(equality) = &self.expr else {
            return None;
        };
        let (a, b) = ((*equality.left).clone(), (*equality.right).clone());
        if left.contains(&one) && right.contains(&other) {
            Some((a, b))
        } else if left.contains(&other) && right.contains(&one) {
            Some((b, a))
        } else {
            None
        }
    }
}

impl Region {
    /// The region whose topmost join is `root`. What `is_whole` is one input.
    pub(super) fn of(root: &LogicalPlan, is_whole: &dyn Fn(&LogicalPlan) -> bool) -> Option<Self> {
        let mut found = Self {
            leaves: Vec::new(),
            conditions: Vec::new(),
            shape: Shape::Leaf(0),
        };
        let mut exprs = Vec::new();
        found.shape = found.flatten(root, &mut exprs, is_whole);
        let columns = found.leaves.iter().flat_map(|leaf| leaf.schema().columns());
        let count = columns.clone().count();
        // Names must mean the same wherever they are used.
        if columns.collect::<BTreeSet<_>>().len() != count {
            return None;
        }
        let conditions = exprs.into_iter().map(|expr| found.condition(expr));
        found.conditions = conditions.collect::<Option<_>>()?;
        Some(found)
    }

    fn flatten(
        &mut self,
        plan: &LogicalPlan,
        exprs: &mut Vec<Expr>,
        is_whole: &dyn Fn(&LogicalPlan) -> bool,
    ) -> Shape {
        match plan {
            LogicalPlan::Join(join) if is_free(join) && !is_whole(plan) => {
                exprs.extend(join.on.iter().map(|(left, right)| left.clone().eq(right.clone())));
                let filter = join.filter.as_ref().map(split_conjunction);
                exprs.extend(filter.into_iter().flatten().cloned());
                let left = self.flatten(&join.left, exprs, is_whole);
                let right = self.flatten(&join.right, exprs, is_whole);
                return Shape::Join(Box::new(left), Box::new(right));
            }
            LogicalPlan::Filter(filter) if leads_to_join(&filter.input) && !is_whole(plan) => {
                let conditions = split_conjunction(&filter.predicate);
                if conditions
                    .iter()
                    .all(|condition| is_simple(condition, filter.input.as_ref()))
                {
                    exprs.extend(conditions.into_iter().cloned());
                    return self.flatten(&filter.input, exprs, is_whole);
                }
            }
            LogicalPlan::Projection(projection)
                if projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_)))
                    && leads_to_join(&projection.input)
                    && !is_whole(plan) =>
            {
                return self.flatten(&projection.input, exprs, is_whole);
            }
            _ => {}
        }
        self.leaves.push(plan.clone());
        Shape::Leaf(self.leaves.len() - 1)
    }

    fn condition(&self, expr: Expr) -> Option<Condition> {
        let leaves = self.leaves_of(&expr)?;
        let sides = match &expr {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Eq,
                right,
            }) => self
                .only(left)
                .zip(self.only(right))
                .filter(|(one, other)| one != other),
            _ => None,
        };
        (!leaves.is_empty()).then_some(Condition { expr, leaves, sides })
    }

    /// The leaves of the columns of an expression.
    fn leaves_of(&self, expr: &Expr) -> Option<BTreeSet<usize>> {
        let of = |column: &Column| {
            let mut with = self.leaves.iter().enumerate();
            with.find(|(_, leaf)| leaf.schema().columns().contains(column))
                .map(|(at, _)| at)
        };
        expr.column_refs().into_iter().map(of).collect()
    }

    fn only(&self, expr: &Expr) -> Option<usize> {
        let leaves = self.leaves_of(expr)?;
        leaves.first().copied().filter(|_| leaves.len() == 1)
    }
}

/// Whether a join may change places with others like it.
fn is_free(join: &Join) -> bool {
    join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing
        && !join.on.is_empty()
        && join
            .on
            .iter()
            .all(|(left, right)| is_simple(left, join.left.as_ref()) && is_simple(right, join.right.as_ref()))
        && join.filter.as_ref().is_none_or(|filter| {
            let sides = [join.left.schema(), join.right.schema()];
            is_total(filter, |expr| {
                sides
                    .iter()
                    .find_map(|schema| expr.get_type(schema.as_ref()).ok())
            })
        })
}

fn leads_to_join(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => is_free(join),
        LogicalPlan::Filter(filter) => leads_to_join(&filter.input),
        LogicalPlan::Projection(projection) => leads_to_join(&projection.input),
        _ => false,
    }
}

fn is_simple(expr: &Expr, input: &LogicalPlan) -> bool {
    is_total(expr, |expr| expr.get_type(input.schema().as_ref()).ok())
}

/// Whether an expression gives the same for a row whenever it is asked, and never an error: rows that another join would
/// have left out first are no reason for one.
fn is_total(expr: &Expr, type_of: impl Fn(&Expr) -> Option<DataType>) -> bool {
    let mut total = true;
    let walked = expr.apply(|part| {
        total &= match part {
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::Alias(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::Between(_)
            | Expr::InList(_) => true,
            Expr::BinaryExpr(binary) => binary.op.is_logic_operator() || is_comparison(binary.op),
            Expr::Cast(cast) => {
                let from = type_of(&cast.expr);
                from.is_some_and(|from| is_widening(&from, cast.field.data_type()))
            }
            _ => false,
        };
        Ok(if total {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    walked.is_ok() && total
}

fn is_widening(from: &DataType, to: &DataType) -> bool {
    let bits = |of: &DataType| match of {
        DataType::Int8 => Some(8),
        DataType::Int16 => Some(16),
        DataType::Int32 => Some(32),
        DataType::Int64 => Some(64),
        _ => None,
    };
    let text = |of: &DataType| matches!(of, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    from == to || bits(from).zip(bits(to)).is_some_and(|(from, to)| from <= to) || (text(from) && text(to))
}
