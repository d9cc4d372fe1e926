//! One expression, bottom up: literals, operators, conditions, casts and calls get Trino's types and meaning.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{AggregateFunctionParams, InList, ScalarFunction};
use datafusion::logical_expr::{
    AggregateUDF, Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, Operator, TryCast, lit,
};

use super::compare::{comparison, field_of, is_comparison, is_parameter, require_common, to_type, ty};
use super::error::{not_supported, out_of_range, type_mismatch};
use super::ty::{Ty, common_type};
use super::{arithmetic, cast, float_order, like, window};
use crate::functions::internal;

/// Aggregates whose answer does not depend on the order of their input; DataFusion 55 fails on an ORDER BY in them.
const ORDER_DOES_NOT_MATTER: &[&str] = &[
    "min",
    "max",
    "sum",
    "avg",
    "count",
    "count_if",
    "bool_and",
    "bool_or",
    "every",
    "approx_distinct",
    "stddev",
    "stddev_pop",
    "var",
    "var_pop",
];

/// Rewrites an expression over `schema`.
pub(super) fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    expr.transform_up(|e| rewrite_one(e, schema).map(Transformed::yes))
        .map(|done| done.data)
}

fn rewrite_one(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::Literal(value, metadata) => literal(value).map(|v| Expr::Literal(v, metadata)),
        Expr::Column(_) => column(expr, schema),
        Expr::BinaryExpr(binary) => operator(binary, schema),
        Expr::Not(inner) => {
            require_boolean(&inner, schema, "NOT")?;
            Ok(Expr::Not(inner))
        }
        Expr::Negative(inner) => arithmetic::negative(*inner, schema),
        Expr::Between(between) => between_to_comparisons(between, schema),
        Expr::InList(list) => in_list(list, schema),
        Expr::InSubquery(q) => {
            if let Some(field) = q.subquery.subquery.schema().fields().first() {
                require_types(&ty(&q.expr, schema)?, &Ty::of_field(field), "IN")?;
            }
            Ok(Expr::InSubquery(q))
        }
        Expr::SetComparison(q) => {
            if let Some(field) = q.subquery.subquery.schema().fields().first() {
                require_types(&ty(&q.expr, schema)?, &Ty::of_field(field), "comparison")?;
            }
            Ok(Expr::SetComparison(q))
        }
        Expr::Like(like) => like::pattern(like, schema),
        Expr::SimilarTo(_) => Err(not_supported("SIMILAR TO", "syntax")),
        Expr::Case(case) => case_types(case, schema),
        Expr::Cast(Cast { expr, field }) => cast::cast(*expr, field, false, schema),
        Expr::TryCast(TryCast { expr, field }) => cast::cast(*expr, field, true, schema),
        Expr::ScalarFunction(call) => scalar_call(call, schema),
        Expr::AggregateFunction(mut call) => {
            call.params = aggregate_params(call.func.name(), call.params, schema)?;
            if ORDER_DOES_NOT_MATTER.contains(&call.func.name()) {
                call.params.order_by.clear();
            }
            if let Some(function) = float_extreme(call.func.name(), &call.params.args, schema)? {
                call.func = function;
            }
            Ok(Expr::AggregateFunction(call))
        }
        Expr::WindowFunction(call) => window::call(*call, schema),
        other => Ok(other),
    }
}

/// Whole numbers are `integer` when they fit, as in Trino; the planner makes all of them 64 bits wide.
fn literal(value: ScalarValue) -> Result<ScalarValue> {
    Ok(match value {
        ScalarValue::Int64(Some(v)) => {
            i32::try_from(v).map_or(ScalarValue::Int64(Some(v)), |v| ScalarValue::Int32(Some(v)))
        }
        ScalarValue::UInt64(Some(v)) => return Err(out_of_range(format!("Invalid numeric literal: {v}"))),
        ScalarValue::Decimal256(..) => return Err(out_of_range("decimal literals have at most 38 digits")),
        other => other,
    })
}

/// Window functions count in unsigned numbers; Trino in `bigint`.
fn column(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(match expr.get_type(schema)? {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            Expr::Cast(Cast::new(Box::new(expr), DataType::Int64))
        }
        _ => expr,
    })
}

fn operator(binary: BinaryExpr, schema: &DFSchema) -> Result<Expr> {
    let op = binary.op;
    match op {
        _ if is_comparison(op) => comparison(binary, schema),
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
            arithmetic::binary(binary, schema)
        }
        Operator::And | Operator::Or => {
            require_boolean(&binary.left, schema, &op.to_string())?;
            require_boolean(&binary.right, schema, &op.to_string())?;
            Ok(disjoint_lists(&binary).unwrap_or(Expr::BinaryExpr(binary)))
        }
        Operator::StringConcat => {
            for side in [&binary.left, &binary.right] {
                let found = ty(side, schema)?;
                if !matches!(found, Ty::Varchar | Ty::Unknown) && !is_parameter(side) {
                    return Err(type_mismatch(format!(
                        "Unexpected parameters ({found}) for function concat (||)"
                    )));
                }
            }
            internal::concat_text(*binary.left, *binary.right)
        }
        other => Err(DataFusionError::SQL(
            Box::new(datafusion::sql::sqlparser::parser::ParserError::ParserError(
                format!("mismatched input '{other}'"),
            )),
            None,
        )),
    }
}

/// `x IN (1) AND x IN (2)` is false, `x NOT IN (1) OR x NOT IN (2)` true, and both are NULL where `x` is. DataFusion 55
/// folds them to a constant.
fn disjoint_lists(binary: &BinaryExpr) -> Option<Expr> {
    let (Expr::InList(left), Expr::InList(right)) = (binary.left.as_ref(), binary.right.as_ref()) else {
        return None;
    };
    let negated = binary.op == Operator::Or;
    let constant = |value: &Expr| matches!(value, Expr::Literal(value, _) if !value.is_null());
    let disjoint = left.expr == right.expr
        && left.negated == negated
        && right.negated == negated
        && left.list.iter().chain(&right.list).all(constant)
        && !left.list.iter().any(|value| right.list.contains(value));
    disjoint.then(|| {
        let unknown = lit(ScalarValue::Boolean(None));
        let cases = vec![(Box::new(left.expr.clone().is_null()), Box::new(unknown))];
        Expr::Case(Case::new(None, cases, Some(Box::new(lit(negated)))))
    })
}

pub(super) fn require_boolean(expr: &Expr, schema: &DFSchema, place: &str) -> Result<()> {
    match ty(expr, schema)? {
        Ty::Boolean | Ty::Unknown => Ok(()),
        _ if is_parameter(expr) => Ok(()),
        other => Err(type_mismatch(format!(
            "Operand of {place} must evaluate to a boolean (actual: {other})"
        ))),
    }
}

fn require_types(left: &Ty, right: &Ty, place: &str) -> Result<()> {
    let same = left == right || (left.is_numeric() && right.is_numeric());
    let temporal = |t: &Ty| matches!(t, Ty::Date | Ty::Timestamp(_) | Ty::TimestampTz);
    if same || *left == Ty::Unknown || *right == Ty::Unknown || (temporal(left) && temporal(right)) {
        return Ok(());
    }
    Err(type_mismatch(format!(
        "value and result of subquery must be of the same type for {place} expression: {left} vs {right}"
    )))
}

/// `a BETWEEN b AND c` is `a >= b AND a <= c`; kept whole where total order and IEEE agree.
fn between_to_comparisons(between: Between, schema: &DFSchema) -> Result<Expr> {
    let low = require_common(&between.expr, &between.low, schema, "BETWEEN")?;
    let high = require_common(&between.expr, &between.high, schema, "BETWEEN")?;
    let is_float = |t: &Option<DataType>| matches!(t, Some(DataType::Float32 | DataType::Float64));
    if !is_float(&low) && !is_float(&high) {
        return Ok(Expr::Between(between));
    }
    let compare = |op, right: Box<Expr>| comparison(BinaryExpr::new(between.expr.clone(), op, right), schema);
    let both = compare(Operator::GtEq, between.low)?.and(compare(Operator::LtEq, between.high)?);
    Ok(if between.negated {
        Expr::Not(Box::new(both))
    } else {
        both
    })
}

fn in_list(list: InList, schema: &DFSchema) -> Result<Expr> {
    let mut floats = false;
    for item in &list.list {
        let common = require_common(&list.expr, item, schema, "IN")?;
        floats |= matches!(common, Some(DataType::Float32 | DataType::Float64));
    }
    if !floats {
        return Ok(Expr::InList(list));
    }
    // Few floats are ever listed; the expanded form follows IEEE.
    let mut any: Option<Expr> = None;
    for item in list.list {
        let one = comparison(
            BinaryExpr::new(list.expr.clone(), Operator::Eq, Box::new(item)),
            schema,
        )?;
        any = Some(match any {
            None => one,
            Some(sofar) => sofar.or(one),
        });
    }
    let any = any.unwrap_or_else(|| lit(false));
    Ok(if list.negated {
        Expr::Not(Box::new(any))
    } else {
        any
    })
}

/// Conditions are boolean, the operand meets every WHEN, results take their common type.
fn case_types(mut case: Case, schema: &DFSchema) -> Result<Expr> {
    let operand = case.expr.take();
    for (when, _) in &mut case.when_then_expr {
        match &operand {
            None => require_boolean(when, schema, "CASE WHEN")?,
            // As a condition of its own the comparison gets the rules of `=`.
            Some(operand) => {
                let equal = BinaryExpr::new(operand.clone(), Operator::Eq, when.clone());
                **when = comparison(equal, schema)?;
            }
        }
    }
    let results: Vec<&Expr> = case
        .when_then_expr
        .iter()
        .map(|(_, then)| then.as_ref())
        .chain(case.else_expr.as_deref())
        .collect();
    let Some(common) = common_of(&results, schema, "CASE")? else {
        return Ok(Expr::Case(case));
    };
    for (_, then) in &mut case.when_then_expr {
        **then = to_type(std::mem::take(then), &common, schema)?;
    }
    if let Some(otherwise) = &mut case.else_expr {
        **otherwise = to_type(std::mem::take(otherwise), &common, schema)?;
    }
    Ok(Expr::Case(case))
}

/// Common type of alternatives, `None` when a parameter leaves it open.
fn common_of(alternatives: &[&Expr], schema: &DFSchema, place: &str) -> Result<Option<DataType>> {
    let mut common = DataType::Null;
    for expr in alternatives {
        if is_parameter(expr) {
            return Ok(None);
        }
        let field = field_of(expr, schema)?;
        if Ty::of_field(&field) == Ty::Json {
            return Err(not_supported(&format!("json in {place}"), "json"));
        }
        common = common_type(&common, field.data_type()).ok_or_else(|| {
            let (a, b) = (Ty::of_type(&common), Ty::of_field(&field));
            type_mismatch(format!("All {place} results must be the same type or coercible to a common type. Cannot find common type between {a} and {b}"))
        })?;
    }
    Ok(Some(common))
}

fn scalar_call(mut call: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
    match call.func.name() {
        "if" => {
            let mut args = call.args.into_iter();
            let (Some(when), Some(then)) = (args.next(), args.next()) else {
                return Err(type_mismatch("Invalid number of arguments for 'if' function"));
            };
            let case = Case::new(
                None,
                vec![(Box::new(when), Box::new(then))],
                args.next().map(Box::new),
            );
            case_types(case, schema)
        }
        "coalesce" | "make_array" | "nullif" => {
            let name = if call.func.name() == "make_array" {
                "ARRAY"
            } else {
                call.func.name()
            }
            .to_owned();
            let args: Vec<&Expr> = call.args.iter().collect();
            if let Some(common) = common_of(&args, schema, &name)?
                && name != "nullif"
            {
                call.args = call
                    .args
                    .into_iter()
                    .map(|a| to_type(a, &common, schema))
                    .collect::<Result<_>>()?;
            }
            Ok(Expr::ScalarFunction(call))
        }
        "typeof"
            if let [arg] = call.args.as_slice()
                && ty(arg, schema)? == Ty::Interval =>
        {
            arithmetic::interval_type(arg).map(lit)
        }
        _ if internal::takes_doubles(&call) => double_args(call, schema).map(Expr::ScalarFunction),
        // Of a map the planner would take `value.name` for a subscript.
        "get_field" => match call.args.first().map(|row| ty(row, schema)).transpose()? {
            Some(Ty::Map) => Err(type_mismatch(
                "Expression is not of type ROW: only a row has fields",
            )),
            _ => Ok(Expr::ScalarFunction(call)),
        },
        "now" => Ok(Expr::Cast(Cast::new(
            Box::new(Expr::ScalarFunction(call)),
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        ))),
        "date" => match call.args.as_slice() {
            [_] => {
                let to = std::sync::Arc::new(arrow::datatypes::Field::new("", DataType::Date32, true));
                cast::cast(call.args.remove(0), to, false, schema)
            }
            _ => Err(type_mismatch(
                "Unexpected parameters for function date. Expected: date(varchar), date(timestamp)",
            )),
        },
        _ => Ok(Expr::ScalarFunction(call)),
    }
}

/// Decimals that a function takes as `double` are converted as by CAST; the planner would leave it to Arrow.
fn double_args(mut call: ScalarFunction, schema: &DFSchema) -> Result<ScalarFunction> {
    let mut types = Vec::with_capacity(call.args.len());
    for arg in &call.args {
        types.push(field_of(arg, schema)?.data_type().clone());
    }
    let decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..));
    if types.iter().any(decimal) {
        let coerced = call.func.coerce_types(&types)?;
        for ((arg, from), to) in call.args.iter_mut().zip(&types).zip(&coerced) {
            if decimal(from) && *to == DataType::Float64 {
                *arg = to_type(std::mem::take(arg), to, schema)?;
            }
        }
    }
    Ok(call)
}

fn aggregate_params(
    name: &str,
    mut params: AggregateFunctionParams,
    schema: &DFSchema,
) -> Result<AggregateFunctionParams> {
    if let Some(filter) = &params.filter {
        require_boolean(filter, schema, "FILTER")?;
    }
    check_aggregate_args(name, &mut params.args, schema)?;
    float_order::distinct_arguments(name, params.distinct, &mut params.args, schema)?;
    float_order::sort_keys(&mut params.order_by, schema)?;
    Ok(params)
}

/// `min` and `max` of floats are functions of ours.
pub(super) fn float_extreme(
    name: &str,
    args: &[Expr],
    schema: &DFSchema,
) -> Result<Option<Arc<AggregateUDF>>> {
    match args {
        [arg] => Ok(crate::functions::float_extreme(
            name,
            field_of(arg, schema)?.data_type(),
        )),
        _ => Ok(None),
    }
}

pub(super) fn check_aggregate_args(name: &str, args: &mut [Expr], schema: &DFSchema) -> Result<()> {
    for arg in args.iter_mut() {
        let found = ty(arg, schema)?;
        if found == Ty::Json && name != "count" {
            return Err(not_supported(&format!("{name} of json"), "json"));
        }
        if matches!(name, "min" | "max") && matches!(found, Ty::Map | Ty::Array | Ty::Row | Ty::Interval) {
            return Err(not_supported(
                &format!("{name} of {found}"),
                "comparing-arrays-maps-and-rows",
            ));
        }
        let numbers_only = matches!(
            name,
            "stddev"
                | "stddev_pop"
                | "var"
                | "var_pop"
                | "corr"
                | "covar_samp"
                | "covar_pop"
                | "regr_slope"
                | "regr_intercept"
        );
        if numbers_only && !(found.is_numeric() || found == Ty::Unknown) {
            return Err(type_mismatch(format!(
                "Unexpected parameters ({found}) for function {name}. Expected: {name}(double)"
            )));
        }
        // DataFusion's own statistics functions take 64-bit numbers as they are and doubles.
        if numbers_only && found != Ty::Double {
            *arg = to_type(std::mem::take(arg), &DataType::Float64, schema)?;
        }
    }
    Ok(())
}
