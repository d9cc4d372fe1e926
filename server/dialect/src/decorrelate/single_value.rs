//! `$single_value(value, rows)`: the value of a scalar subquery, or an error where it has several rows.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use owlake_fault::{Code, Fault};

use crate::semantics::error::fault;

/// `value`; raises `SUBQUERY_MULTIPLE_ROWS` where `rows` is more than one.
pub(super) fn single_value(value: Expr, rows: Expr) -> Expr {
    let function = Arc::new(ScalarUDF::new_from_impl(SingleValue {
        signature: Signature::any(2, Volatility::Immutable),
    }));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![value, rows]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

impl ScalarUDFImpl for SingleValue {
    fn name(&self) -> &str {
        "$single_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal(
            "$single_value has the type of its field".to_owned(),
        ))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let value = args.arg_fields.first();
        let value = value.ok_or_else(|| DataFusionError::Internal("$single_value of nothing".to_owned()))?;
        Ok(Arc::new(value.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, rows] = <[ColumnarValue; 2]>::try_from(args.args)
            .map_err(|_| DataFusionError::Internal("$single_value takes two arguments".to_owned()))?;
        let rows = rows.into_array(args.number_rows)?;
        let rows = rows.as_primitive_opt::<Int64Type>();
        let rows = rows.ok_or_else(|| DataFusionError::Internal("rows are counted in bigint".to_owned()))?;
        if rows.iter().flatten().any(|rows| rows > 1) {
            return Err(fault(Fault::new(
                Code::SubqueryMultipleRows,
                "Scalar sub-query has returned multiple rows",
            )));
        }
        Ok(value)
    }
}
