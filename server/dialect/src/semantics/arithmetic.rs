//! `+ - * / %` and unary minus: operand checks, result types, range checks, date and interval arithmetic.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator};

use super::compare::{field_of, is_parameter, to_type, ty};
use super::error::{not_supported, type_mismatch};
use super::ty::{Ty, common_type};
use crate::functions::internal;

/// An arithmetic operator with its operands already rewritten.
pub(super) fn binary(expr: BinaryExpr, schema: &DFSchema) -> Result<Expr> {
    let BinaryExpr { left, op, right } = expr;
    if is_parameter(&left) || is_parameter(&right) {
        return Ok(Expr::BinaryExpr(BinaryExpr::new(left, op, right)));
    }
    let (l, r) = (ty(&left, schema)?, ty(&right, schema)?);
    let number = |t: Ty| t.is_numeric() || t == Ty::Unknown;
    if number(l) && number(r) {
        return numbers(*left, op, *right, schema);
    }
    match (l, op, r) {
        (Ty::Date | Ty::Timestamp(_) | Ty::TimestampTz, Operator::Plus | Operator::Minus, Ty::Interval) => {
            temporal(*left, l, op, *right, schema)
        }
        (Ty::Interval, Operator::Plus, Ty::Date | Ty::Timestamp(_) | Ty::TimestampTz) => {
            temporal(*right, r, op, *left, schema)
        }
        (Ty::Date, Operator::Minus, Ty::Date)
        | (
            Ty::Timestamp(_) | Ty::TimestampTz | Ty::Date,
            Operator::Minus,
            Ty::Timestamp(_) | Ty::TimestampTz | Ty::Date,
        ) => Err(not_supported(
            "subtracting dates or timestamps (use date_diff), as its type is interval,",
            "intervals",
        )),
        (Ty::Interval, _, _) | (_, _, Ty::Interval) => Err(not_supported(
            "arithmetic between intervals and numbers",
            "intervals",
        )),
        _ => Err(type_mismatch(format!("Cannot apply operator: {l} {op} {r}"))),
    }
}

fn numbers(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Result<Expr> {
    let (lf, rf) = (field_of(&left, schema)?, field_of(&right, schema)?);
    let (lt, rt) = (lf.data_type(), rf.data_type());
    let common = common_type(lt, rt).ok_or_else(|| {
        type_mismatch(format!(
            "Cannot apply operator: {} {op} {}",
            Ty::of_type(lt),
            Ty::of_type(rt)
        ))
    })?;
    if Ty::of_type(&common).is_float() {
        // IEEE: overflow is Infinity, division by zero Infinity or NaN, as in Arrow's kernels.
        let (left, right) = (to_type(left, &common, schema)?, to_type(right, &common, schema)?);
        return Ok(Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left),
            op,
            Box::new(right),
        )));
    }
    internal::operator(op, (left, lt), (right, rt))
}

/// A date or timestamp plus or minus an interval.
fn temporal(time: Expr, time_ty: Ty, op: Operator, interval: Expr, schema: &DFSchema) -> Result<Expr> {
    let has_time_of_day = match &interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) => Some(v.nanoseconds != 0),
        Expr::Literal(ScalarValue::IntervalMonthDayNano(None), _) => Some(false),
        _ => None,
    };
    if time_ty == Ty::Date {
        match has_time_of_day {
            Some(false) => {}
            Some(true) => return Err(type_mismatch("Cannot add hour, minutes or seconds to a date")),
            None => return Err(not_supported("adding a computed interval to a date", "intervals")),
        }
    }
    let to = time.get_type(schema)?;
    let moved = Expr::BinaryExpr(BinaryExpr::new(Box::new(time), op, Box::new(interval)));
    // The sum keeps the type of its date or timestamp.
    Ok(if moved.get_type(schema)? == to {
        moved
    } else {
        Expr::Cast(Cast::new(Box::new(moved), to))
    })
}

/// Unary minus.
pub(super) fn negative(inner: Expr, schema: &DFSchema) -> Result<Expr> {
    match ty(&inner, schema)? {
        t if t.is_float() => Ok(Expr::Negative(Box::new(inner))),
        t if t.is_numeric() => Ok(internal::call("$negate", vec![inner])),
        Ty::Interval | Ty::Unknown => Ok(Expr::Negative(Box::new(inner))),
        other => Err(type_mismatch(format!("Cannot negate {other}"))),
    }
}

/// An interval is of months or of days and less; which, only its value tells.
pub(super) fn interval_type(interval: &Expr) -> Result<&'static str> {
    match interval {
        Expr::Negative(inner) => interval_type(inner),
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.months != 0 => {
            Ok("interval year to month")
        }
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.days != 0 || v.nanoseconds != 0 => {
            Ok("interval day to second")
        }
        _ => Err(not_supported(
            "typeof of an interval that is zero or computed",
            "intervals",
        )),
    }
}
