//! Subqueries become joins before any rule of the optimizer sees the plan: `EXISTS`, `IN`, `ANY` and `ALL`, scalar
//! subqueries and `LATERAL`, correlated or not, in every place of an expression, with three-valued logic.
//!
//! [`rows`] has the general method, [`predicate`] and [`single`] have cheaper plans for the common forms. Scalar
//! subqueries without outer columns stay expressions: the engine computes each of them once.

mod aggregate;
mod attach;
mod lateral;
mod node;
mod predicate;
mod push;
mod push_join;
mod rows;
mod single;
mod single_value;
mod window;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, SubqueryAlias};
use owlake_fault::{Code, Fault};

use crate::semantics::error::not_supported;
use crate::semantics::fault_from_datafusion;

/// Replaces the subqueries of `plan` by joins.
///
/// Takes a plan that [`crate::semantics::apply`] has given its types. The schema stays the same.
///
/// # Errors
/// `NOT_SUPPORTED` for the few forms of correlation that have no plan here.
pub fn decorrelate(plan: LogicalPlan) -> Result<LogicalPlan, Fault> {
    let done = Decorrelation::default().plan(plan);
    let done = done.and_then(|plan| match attach::is_correlated(&plan) {
        true => Err(unsupported("a correlated subquery in this place")),
        false => Ok(plan),
    });
    done.map_err(|error| {
        fault_from_datafusion(&error).unwrap_or_else(|| {
            Fault::new(Code::GenericInternalError, "A subquery could not be planned").with_source(error)
        })
    })
}

/// Stack that must be left before one more level of the plan, and how much is added when it is not.
const STACK_RED_ZONE_BYTES: usize = 256 << 10;
const STACK_STEP_BYTES: usize = 4 << 20;

/// The rewrite of one statement: makes names that no other part of its plan has.
#[derive(Debug, Default)]
struct Decorrelation {
    names: usize,
}

impl Decorrelation {
    /// The plan without subqueries, from the leaves up: a subquery is free of subqueries when its own turn comes.
    fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_STEP_BYTES, || {
            let plan = plan
                .map_children(|child| self.plan(child).map(Transformed::yes))?
                .data;
            let plan = plan
                .map_subqueries(|subquery| match subquery {
                    LogicalPlan::Subquery(mut subquery) => {
                        let inner = Arc::unwrap_or_clone(subquery.subquery);
                        subquery.subquery = Arc::new(self.plan(inner)?);
                        Ok(Transformed::yes(LogicalPlan::Subquery(subquery)))
                    }
                    other => Ok(Transformed::no(other)),
                })?
                .data;
            self.node(plan)
        })
    }

    /// A relation's name that nothing else in the plan has.
    fn relation(&mut self) -> TableReference {
        self.names += 1;
        TableReference::bare(format!("subquery_{}", self.names))
    }

    /// A column's name that nothing else in the plan has.
    fn column(&mut self) -> Column {
        self.names += 1;
        Column::new_unqualified(format!("subquery_column_{}", self.names))
    }

    /// `expr` under a new name, and the column of that name.
    fn named(&mut self, expr: Expr) -> (Expr, Column) {
        let column = self.column();
        (expr.alias(&column.name), column)
    }
}

/// A projection whose expressions are taken as they are.
fn project(input: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Projection(Projection::try_new(
        exprs,
        Arc::new(input),
    )?))
}

fn aliased(input: LogicalPlan, name: &TableReference) -> Result<LogicalPlan> {
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
        Arc::new(input),
        name.clone(),
    )?))
}

fn unsupported(what: &str) -> datafusion::error::DataFusionError {
    not_supported(what, "subqueries")
}
