//! INTERSECT and EXCEPT: the common type of their sides, and how often a row is there in their ALL forms.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, NullEquality};
use datafusion::error::Result;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Distinct, Expr, Join, JoinConstraint, JoinType, LogicalPlan, Projection, Window, WindowFrame,
    WindowFunctionDefinition,
};

use super::error::type_mismatch;
use super::plan::cast_columns;
use super::ty::{Ty, common_type};
use crate::functions::internal::float_comparison;

/// Number of a row among its equals, on either side; no name of a statement looks like it.
const NUMBERS: [&str; 2] = ["$left_number", "$right_number"];

/// Whether the planner made this join of an INTERSECT or EXCEPT: no other one takes NULLs for equal.
pub(super) fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
}

/// The same operation over columns of the common types. With ALL a row that is there n times on the left side and m
/// times on the right one meets its equals one by one.
pub(super) fn plan(join: Join) -> Result<LogicalPlan> {
    let word = match join.join_type {
        JoinType::LeftSemi => "INTERSECT",
        _ => "EXCEPT",
    };
    // The planner takes the left side's duplicates away where ALL is not written.
    let (left, distinct) = match Arc::unwrap_or_clone(join.left) {
        LogicalPlan::Distinct(Distinct::All(input)) => (input, true),
        other => (Arc::new(other), false),
    };
    let mut types = Vec::with_capacity(left.schema().fields().len());
    let sides = left.schema().fields().iter().zip(join.right.schema().fields());
    for (place, (left, right)) in sides.enumerate() {
        let common = common_type(left.data_type(), right.data_type()).ok_or_else(|| {
            type_mismatch(format!(
                "column {} in {word} query has incompatible types: {}, {}",
                place + 1,
                Ty::of_field(left),
                Ty::of_field(right)
            ))
        })?;
        types.push(common);
    }
    let left = Arc::unwrap_or_clone(cast_columns(left, &types)?);
    let right = Arc::unwrap_or_clone(cast_columns(join.right, &types)?);
    let columns = left.schema().columns();
    let mut on: Vec<(Expr, Expr)> = columns
        .iter()
        .zip(right.schema().columns())
        .zip(&types)
        .map(|((left, right), data_type)| (key(left.clone(), data_type), key(right, data_type)))
        .collect();
    let (left, right) = if distinct {
        (LogicalPlan::Distinct(Distinct::All(Arc::new(left))), right)
    } else {
        let [left_number, right_number] = NUMBERS;
        on.push((
            Expr::Column(Column::new_unqualified(left_number)),
            Expr::Column(Column::new_unqualified(right_number)),
        ));
        (
            numbered(left, &types, left_number)?,
            numbered(right, &types, right_number)?,
        )
    };
    let joined = LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        None,
        join.join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )?);
    if distinct {
        return Ok(joined);
    }
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(
        columns,
        Arc::new(joined),
    )?))
}

/// A column as it is compared: NaN is one value, and so is zero.
fn key(column: Column, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Float32 | DataType::Float64 => float_comparison::normal(Expr::Column(column)),
        _ => Expr::Column(column),
    }
}

/// The rows with their number among those equal to them.
fn numbered(input: LogicalPlan, types: &[DataType], name: &str) -> Result<LogicalPlan> {
    let function = WindowFunctionDefinition::WindowUDF(row_number_udwf());
    let mut number = WindowFunction::new(function, vec![]);
    number.params.window_frame = WindowFrame::new(None);
    let columns = input.schema().columns().into_iter().zip(types);
    number.params.partition_by = columns
        .map(|(column, data_type)| key(column, data_type))
        .collect();
    let number = Expr::WindowFunction(Box::new(number)).alias(name);
    Ok(LogicalPlan::Window(Window::try_new(
        vec![number],
        Arc::new(input),
    )?))
}
