//! Comparisons: which types may meet, and IEEE rules for `real` and `double`.
//!
//! Arrow compares floats by total order (NaN equals NaN and is greatest, -0 is below 0); Trino follows IEEE.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, lit};

use super::cast::implicit;
use super::error::{not_supported, type_mismatch};
use super::ty::{Ty, common_type};
use crate::functions::internal::{float_comparison, known_field};

/// The Trino type of an expression.
pub(super) fn ty(expr: &Expr, schema: &DFSchema) -> Result<Ty> {
    Ok(Ty::of_field(field_of(expr, schema)?.as_ref()))
}

/// The field of an expression; looks no deeper where the node itself tells, so that long chains stay linear.
pub(super) fn field_of(expr: &Expr, schema: &DFSchema) -> Result<FieldRef> {
    let known = match expr {
        Expr::ScalarFunction(call) => known_field(call).map(Arc::clone),
        Expr::BinaryExpr(binary) if binary.op.is_logic_operator() || is_comparison(binary.op) => {
            Some(boolean())
        }
        Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::Like(_)
        | Expr::InList(_)
        | Expr::Between(_) => Some(boolean()),
        Expr::Cast(cast) => Some(Arc::clone(&cast.field)),
        _ => None,
    };
    match known {
        Some(field) => Ok(field),
        None => Ok(expr.to_field(schema)?.1),
    }
}

fn boolean() -> FieldRef {
    Arc::new(Field::new("", DataType::Boolean, true))
}

/// Whether `op` compares two values of one type: what it gives is a boolean, and it fails on none.
pub fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Whether the expression is, or is inside an alias or cast of, a parameter whose type is not known yet.
pub(super) fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Placeholder(_) => true,
        Expr::Alias(alias) => is_parameter(&alias.expr),
        _ => false,
    }
}

/// The common Arrow type of two operands, or `TYPE_MISMATCH`.
pub(super) fn require_common(
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
    op: &str,
) -> Result<Option<DataType>> {
    if is_parameter(left) || is_parameter(right) {
        return Ok(None);
    }
    let (lf, rf) = (field_of(left, schema)?, field_of(right, schema)?);
    let (l, r) = (Ty::of_field(&lf), Ty::of_field(&rf));
    let common = if (l == Ty::Json) == (r == Ty::Json) || l == Ty::Unknown || r == Ty::Unknown {
        common_type(lf.data_type(), rf.data_type())
    } else {
        None
    };
    let Some(common) = common else {
        return Err(type_mismatch(format!("Cannot apply operator: {l} {op} {r}")));
    };
    if l.is_nested() || r.is_nested() {
        return Err(not_supported(
            &format!("comparing values of type {l}"),
            "comparing-arrays-maps-and-rows",
        ));
    }
    if l == Ty::Json || r == Ty::Json {
        return Err(not_supported("comparing json values", "json"));
    }
    Ok(Some(common))
}

/// A comparison with both sides checked, in the common type, floats by IEEE.
pub(crate) fn comparison(binary: BinaryExpr, schema: &DFSchema) -> Result<Expr> {
    let BinaryExpr { left, op, right } = binary;
    let Some(common) = require_common(&left, &right, schema, &op.to_string())? else {
        return Ok(Expr::BinaryExpr(BinaryExpr::new(left, op, right)));
    };
    if !matches!(common, DataType::Float32 | DataType::Float64) {
        let (left, right) = (
            date_to(*left, &common, schema)?,
            date_to(*right, &common, schema)?,
        );
        let (left, right) = (constant_to(left, &common), constant_to(right, &common));
        return Ok(Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left),
            op,
            Box::new(right),
        )));
    }
    let (left, right) = (
        to_type(*left, &common, schema)?,
        to_type(*right, &common, schema)?,
    );
    Ok(float(left, op, right))
}

/// A date in the unit of the timestamp that it meets: the planner would take nanoseconds, which end in 2262.
fn date_to(expr: Expr, common: &DataType, schema: &DFSchema) -> Result<Expr> {
    match (field_of(&expr, schema)?.data_type(), common) {
        (DataType::Date32, DataType::Timestamp(..)) => to_type(expr, common, schema),
        _ => Ok(expr),
    }
}

/// Puts a cast around an expression of another type.
pub(super) fn to_type(expr: Expr, to: &DataType, schema: &DFSchema) -> Result<Expr> {
    let from = field_of(&expr, schema)?;
    if from.data_type() == to {
        return Ok(expr);
    }
    // Constants fold here so that pruning still sees a plain literal.
    let decimal = matches!(from.data_type(), DataType::Decimal128(..));
    if let Expr::Literal(value, metadata) = &expr
        && !decimal
        && let Ok(value) = value.cast_to(to)
    {
        return Ok(Expr::Literal(value, metadata.clone()));
    }
    Ok(implicit(expr, &from, to))
}

/// A constant in the common type, so that the column beside it needs no cast and pruning sees through.
pub(super) fn constant_to(expr: Expr, to: &DataType) -> Expr {
    match expr {
        Expr::Literal(value, metadata) if value.data_type() != *to && !value.is_null() => {
            match value.cast_to(to) {
                Ok(converted) => Expr::Literal(converted, metadata),
                Err(_) => Expr::Literal(value, metadata),
            }
        }
        other => other,
    }
}

/// A finite, non-zero float constant, for which total order and IEEE agree but for NaN on the other side.
fn plain_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Float64(Some(v)), _) => v.is_finite() && *v != 0.0,
        Expr::Literal(ScalarValue::Float32(Some(v)), _) => v.is_finite() && *v != 0.0,
        _ => false,
    }
}

/// Infinity of the type of `like` and the sign of `sign`.
fn infinity(like: &Expr, sign: f32) -> Expr {
    match like {
        Expr::Literal(ScalarValue::Float32(_), _) => lit(f32::INFINITY * sign),
        _ => lit(f64::INFINITY * f64::from(sign)),
    }
}

fn float(left: Expr, op: Operator, right: Expr) -> Expr {
    let flipped = match op {
        Operator::Lt => Operator::Gt,
        Operator::LtEq => Operator::GtEq,
        Operator::Gt => Operator::Lt,
        Operator::GtEq => Operator::LtEq,
        other => other,
    };
    if plain_constant(&left) && !plain_constant(&right) {
        return float(right, flipped, left);
    }
    let plain = |l: Expr, r: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(l), op, Box::new(r)));
    if plain_constant(&right) {
        return match op {
            // No NaN equals a finite constant in total order either.
            Operator::Eq | Operator::NotEq => plain(left, right),
            // A NaN lies outside the infinities, on the side of its sign; the second condition is false for it
            // alone, and both of them prune row groups on `x`.
            Operator::Gt | Operator::GtEq => {
                let top = infinity(&right, 1.0);
                plain(left.clone(), right).and(left.lt_eq(top))
            }
            Operator::Lt | Operator::LtEq => {
                let bottom = infinity(&right, -1.0);
                plain(left.clone(), right).and(left.gt_eq(bottom))
            }
            _ => plain(left, right),
        };
    }
    if matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) {
        return plain(float_comparison::normal(left), float_comparison::normal(right));
    }
    float_comparison::call(op, left, right)
}
