//! Calls of window functions: types, keys and arguments as Trino has them.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{Expr, WindowFunctionDefinition};

use super::compare::{field_of, is_parameter, to_type, ty};
use super::error::{bad_argument, not_supported, type_mismatch};
use super::expression::{check_aggregate_args, float_extreme, require_boolean};
use super::float_order;
use super::ty::{Ty, common_type};

/// A call of a window function, its arguments rewritten already.
pub(super) fn call(mut call: WindowFunction, schema: &DFSchema) -> Result<Expr> {
    let name = call.fun.name().to_owned();
    float_order::window_keys(&mut call, schema)?;
    if let Some(filter) = &call.params.filter {
        require_boolean(filter, schema, "FILTER")?;
    }
    match &call.fun {
        WindowFunctionDefinition::AggregateUDF(_) => {
            check_aggregate_args(&name, &mut call.params.args, schema)?;
            float_order::distinct_arguments(&name, call.params.distinct, &mut call.params.args, schema)?;
            if let Some(function) = float_extreme(&name, &call.params.args, schema)? {
                call.fun = WindowFunctionDefinition::AggregateUDF(function);
            }
        }
        WindowFunctionDefinition::WindowUDF(_) => {
            window_args(&name, &mut call.params.args, schema)?;
            let ignore_nulls = call.params.null_treatment == Some(NullTreatment::IgnoreNulls);
            if let Some(function) = crate::functions::shift(&name, &call.params.args, ignore_nulls) {
                call.fun = WindowFunctionDefinition::WindowUDF(function);
            }
        }
    }
    Ok(Expr::WindowFunction(Box::new(call)))
}

/// Arguments of the engine's own window functions. Its offsets and counts are 64 bits wide, and constants.
fn window_args(name: &str, args: &mut [Expr], schema: &DFSchema) -> Result<()> {
    let count = match name {
        "ntile" => Some((0, "Buckets must be greater than 0")),
        "nth_value" => Some((1, "Offset must be at least 1")),
        "lag" | "lead" => {
            common_default(name, args, schema)?;
            None
        }
        _ => None,
    };
    let from = usize::from(name != "ntile");
    for arg in args.iter_mut().skip(from).take(1) {
        let found = ty(arg, schema)?;
        if !(found.is_integer() || found == Ty::Unknown || is_parameter(arg)) {
            return Err(type_mismatch(format!(
                "Unexpected parameters for function {name}: the number of rows is bigint, not {found}"
            )));
        }
        if found == Ty::Integer {
            *arg = to_type(std::mem::take(arg), &DataType::Int64, schema)?;
        }
    }
    let Some((place, too_small)) = count else {
        return Ok(());
    };
    match args.get(place) {
        Some(Expr::Literal(ScalarValue::Int64(Some(1..)), _)) | None => Ok(()),
        Some(Expr::Literal(ScalarValue::Int64(Some(_)), _)) => Err(bad_argument(too_small)),
        Some(_) => Err(not_supported(
            &format!("{name} with a computed number"),
            "functions-that-differ",
        )),
    }
}

/// The value and the default of `lag` and `lead` take their common type.
fn common_default(name: &str, args: &mut [Expr], schema: &DFSchema) -> Result<()> {
    let [value, _, default] = args else {
        return Ok(());
    };
    if is_parameter(value) || is_parameter(default) {
        return Ok(());
    }
    let (value_field, default_field) = (field_of(value, schema)?, field_of(default, schema)?);
    let common = common_type(value_field.data_type(), default_field.data_type());
    let Some(common) = common else {
        let (v, d) = (Ty::of_field(&value_field), Ty::of_field(&default_field));
        return Err(type_mismatch(format!(
            "Unexpected parameters ({v}, bigint, {d}) for function {name}. Expected: {name}(T, bigint, T)"
        )));
    };
    for arg in [value, default] {
        *arg = to_type(std::mem::take(arg), &common, schema)?;
    }
    Ok(())
}
