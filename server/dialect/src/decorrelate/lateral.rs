//! `LATERAL`: a relation of FROM that refers to the relations before it.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, lit};

use super::node::{columns, filtered};
use super::push_join::{conditions, join_schema};
use super::rows::{case_when, over, refers_to};
use super::{Decorrelation, project, unsupported};

/// Whether the right side of a join may refer to the left one.
pub(super) fn is_lateral(join: &Join) -> bool {
    join.right
        .exists(|node| Ok(matches!(node, LogicalPlan::Subquery(_))))
        .unwrap_or(true)
}

impl Decorrelation {
    pub(super) fn lateral(&mut self, mut join: Join) -> Result<LogicalPlan> {
        let right = Arc::unwrap_or_clone(join.right).transform_down(|node| match node {
            LogicalPlan::Subquery(lateral) => Ok(Transformed::yes(Arc::unwrap_or_clone(lateral.subquery))),
            other => Ok(Transformed::no(other)),
        })?;
        join.right = Arc::new(right.data);
        if !refers_to(&join.right, join.left.schema()) {
            return Ok(LogicalPlan::Join(join));
        }
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
            return Err(unsupported("LATERAL beside RIGHT or FULL JOIN"));
        }
        let left_columns = columns(join.left.schema());
        let left = join.left.as_ref().clone();
        let rows = match self.single(&left, &join.right)? {
            Some(rows) => rows,
            None => {
                let outer = self.numbered(left, lit(true))?;
                let rows = self.push(&outer, &join.right)?;
                self.computed(rows)?
            }
        };
        let all: Vec<Expr> = left_columns.iter().chain(&rows.columns).cloned().collect();
        let on = conjunction(conditions(&join)).unwrap_or_else(|| lit(true));
        let on = over(on, join_schema(&join)?.as_ref(), &all, join.left.schema())?;
        if join.join_type == JoinType::Inner {
            let plan = filtered(rows.plan.clone(), vec![rows.holds(on)])?;
            return self.lateral_columns(plan, &join, left_columns, rows.columns);
        }
        let (plan, right_columns) = if rows.number.is_none() {
            let holds = rows.holds(on);
            let guarded = rows
                .columns
                .iter()
                .map(|column| case_when(holds.clone(), column.clone(), None));
            let guarded = guarded.collect();
            (rows.plan, guarded)
        } else {
            let (rows, matches) = self.left_joined(rows, on)?;
            let guarded = rows.columns.iter();
            let guarded = guarded
                .map(|column| case_when(matches.clone(), column.clone(), None))
                .collect();
            (rows.plan, guarded)
        };
        self.lateral_columns(plan, &join, left_columns, right_columns)
    }

    /// The columns of both sides under their names.
    fn lateral_columns(
        &mut self,
        plan: LogicalPlan,
        join: &Join,
        mut exprs: Vec<Expr>,
        right: Vec<Expr>,
    ) -> Result<LogicalPlan> {
        let names = join.right.schema().iter();
        exprs.extend(
            right
                .into_iter()
                .zip(names)
                .map(|(expr, (relation, field))| expr.alias_qualified(relation.cloned(), field.name())),
        );
        project(plan, exprs)
    }
}
