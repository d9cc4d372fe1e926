//! Window expressions that the plans of subqueries need: row numbers and whether any row of a partition holds.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::functions_aggregate::bool_and_or::bool_or_udaf;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, Window, WindowFrame, WindowFunctionDefinition};

use super::Decorrelation;

/// `row_number() OVER (PARTITION BY partition ORDER BY order)`.
pub(super) fn row_number(partition: Vec<Expr>, order: Vec<Sort>) -> Expr {
    over(
        WindowFunctionDefinition::WindowUDF(row_number_udwf()),
        vec![],
        partition,
        order,
    )
}

/// `bool_or(condition) OVER (PARTITION BY partition)`.
pub(super) fn any_holds(condition: Expr, partition: Vec<Expr>) -> Expr {
    let function = WindowFunctionDefinition::AggregateUDF(bool_or_udaf());
    over(function, vec![condition], partition, vec![])
}

fn over(function: WindowFunctionDefinition, args: Vec<Expr>, partition: Vec<Expr>, order: Vec<Sort>) -> Expr {
    let mut call = WindowFunction::new(function, args);
    call.params.window_frame = WindowFrame::new(if order.is_empty() { None } else { Some(false) });
    call.params.partition_by = partition;
    call.params.order_by = order;
    Expr::WindowFunction(Box::new(call))
}

impl Decorrelation {
    /// Adds window expressions; the columns that they become.
    pub(super) fn windowed(
        &mut self,
        input: LogicalPlan,
        exprs: Vec<Expr>,
    ) -> Result<(LogicalPlan, Vec<Column>)> {
        let (named, columns) = exprs.into_iter().map(|expr| self.named(expr)).unzip();
        let window = Window::try_new(named, Arc::new(input))?;
        Ok((LogicalPlan::Window(window), columns))
    }
}
