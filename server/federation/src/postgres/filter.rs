//! Conditions on one table that the database may answer for the engine.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::catalog::RemoteTable;
use super::expression::{self, Names};
use super::value::Value;

/// The condition in PostgreSQL's SQL, in parentheses where it needs them; `None` where it must not be taken over.
pub(super) fn condition(table: &RemoteTable, expr: &Expr) -> Option<String> {
    expression::condition(&Columns { table }, expr)
}

struct Columns<'a> {
    table: &'a RemoteTable,
}

impl Names for Columns<'_> {
    fn column(&self, column: &Column) -> Option<Value> {
        let at = self.table.schema().index_of(&column.name).ok()?;
        Value::of_column(self.table.columns.get(at)?, None)
    }

    fn data_type(&self, expr: &Expr) -> Option<DataType> {
        // Filters come with the qualifiers of their query.
        let bare = datafusion::logical_expr::expr_rewriter::unnormalize_col(expr.clone());
        let schema = datafusion::common::DFSchema::try_from(self.table.schema().as_ref().clone());
        bare.get_type(&schema.ok()?).ok()
    }

    fn subquery(&self, _plan: &LogicalPlan) -> Option<Value> {
        None
    }
}

#[cfg(test)]
pub(super) mod tests;
