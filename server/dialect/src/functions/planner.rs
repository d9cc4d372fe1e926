//! Syntax that becomes a call: subscripts, EXTRACT, SUBSTRING, POSITION, ARRAY, `||` of arrays.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::functions_nested::planner::NestedFunctionPlanner;
use datafusion::functions_window::planner::WindowFunctionPlanner;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::internal::call;
use crate::query::fields::FIELD;
use crate::semantics::error::{not_supported, type_mismatch};
use crate::semantics::ty::Ty;

/// The expression planners a session needs, ours first; they take the place of DataFusion's defaults.
pub fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![
        Arc::new(TrinoPlanner),
        Arc::new(datafusion::functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(NestedFunctionPlanner),
        Arc::new(AggregateFunctionPlanner),
        Arc::new(WindowFunctionPlanner),
    ]
}

#[derive(Debug)]
struct TrinoPlanner;

impl ExprPlanner for TrinoPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op == BinaryOperator::StringConcat {
            let array = |e: &Expr| {
                Ok::<_, datafusion::error::DataFusionError>(Ty::of_type(&e.get_type(schema)?) == Ty::Array)
            };
            if array(&expr.left)? || array(&expr.right)? {
                return Ok(PlannerResult::Planned(call(
                    "concat",
                    vec![expr.left, expr.right],
                )));
            }
        }
        Ok(PlannerResult::Original(expr))
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = expr;
        let key = match field_access {
            GetFieldAccess::NamedStructField { name } => lit(name),
            GetFieldAccess::ListIndex { key } => *key,
            GetFieldAccess::ListRange { .. } => {
                return Err(not_supported("a subscript range (use slice)", "syntax"));
            }
        };
        let data_type = expr.get_type(schema)?;
        if let Some(name) = field_name(&key) {
            return match data_type {
                DataType::Struct(_) => Ok(PlannerResult::Planned(get_field(expr, lit(name)))),
                _ => Err(type_mismatch(
                    "Expression is not of type ROW: only a row has fields".to_owned(),
                )),
            };
        }
        match (&data_type, &key) {
            (DataType::Struct(_), Expr::Literal(ScalarValue::Utf8(Some(_)), _)) => {
                Ok(PlannerResult::Planned(get_field(expr, key)))
            }
            (DataType::Struct(fields), Expr::Literal(ScalarValue::Int64(Some(n)), _)) => {
                let field = usize::try_from(*n)
                    .ok()
                    .and_then(|n| n.checked_sub(1))
                    .and_then(|n| fields.get(n));
                let Some(field) = field else {
                    return Err(type_mismatch(format!("Invalid row field index: {n}")));
                };
                Ok(PlannerResult::Planned(get_field(
                    expr,
                    lit(field.name().as_str()),
                )))
            }
            _ => Ok(PlannerResult::Planned(call("$subscript", vec![expr, key]))),
        }
    }

    fn plan_extract(&self, mut args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let field = match args.first() {
            Some(Expr::Literal(value, _)) => value.try_as_str().flatten().unwrap_or_default().to_uppercase(),
            _ => String::new(),
        };
        let name = match field.as_str() {
            "YEAR" => "year",
            "QUARTER" => "quarter",
            "MONTH" => "month",
            "WEEK" => "week",
            "DAY" | "DAY_OF_MONTH" => "day",
            "DOW" | "DAY_OF_WEEK" => "day_of_week",
            "DOY" | "DAY_OF_YEAR" => "day_of_year",
            "YOW" | "YEAR_OF_WEEK" => "year_of_week",
            "HOUR" => "hour",
            "MINUTE" => "minute",
            "SECOND" => "second",
            "TIMEZONE_HOUR" | "TIMEZONE_MINUTE" => {
                return Err(not_supported(
                    &format!("EXTRACT({field})"),
                    "timestamp-with-time-zone",
                ));
            }
            _ => return Err(type_mismatch(format!("Invalid EXTRACT field: {field}"))),
        };
        args.remove(0);
        Ok(PlannerResult::Planned(call(name, args)))
    }

    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call("substr", args)))
    }

    fn plan_position(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call("strpos", args)))
    }
}

/// The name in `expression.name`.
fn field_name(key: &Expr) -> Option<&str> {
    match key {
        Expr::Literal(value, _) => value.try_as_str().flatten()?.strip_prefix(FIELD),
        _ => None,
    }
}

fn get_field(row: Expr, name: Expr) -> Expr {
    datafusion::functions::core::get_field().call(vec![row, name])
}
