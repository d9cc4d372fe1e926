//! Integer and decimal arithmetic with Trino's result types, rounding and range checks.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, i256,
};
use datafusion::error::{DataFusionError, Result};
use owlake_fault::{Code, Fault};

use super::call::Call;
use crate::semantics::error::{fault, out_of_range, type_mismatch};
use crate::semantics::ty::{Ty, common_type};

/// Which operator a body computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%` and `mod`
    Modulus,
}

impl Op {
    fn word(self) -> &'static str {
        match self {
            Op::Add => "addition",
            Op::Subtract => "subtraction",
            Op::Multiply => "multiplication",
            Op::Divide => "division",
            Op::Modulus => "modulus",
        }
    }
}

/// Result type of an operator for its operand types (Trino's decimal rules).
fn result_type(op: Op, types: &[DataType]) -> Result<DataType> {
    let [left, right] = types else {
        return Err(DataFusionError::Internal("two operands expected".into()));
    };
    let (l, r) = (Ty::of_type(left), Ty::of_type(right));
    if !(l.is_numeric() || l == Ty::Unknown) || !(r.is_numeric() || r == Ty::Unknown) {
        return Err(type_mismatch(format!(
            "Cannot apply operator: {l} {} {r}",
            op.word()
        )));
    }
    let plain = |_: &Ty| common_type(left, right).unwrap_or(DataType::Null);
    let exact = matches!(l, Ty::Decimal(..)) || matches!(r, Ty::Decimal(..));
    let (Some((p1, s1)), Some((p2, s2))) = (l.as_decimal(), r.as_decimal()) else {
        return Ok(plain(&l));
    };
    if !exact {
        return Ok(plain(&l));
    }
    let (p1, s1, p2, s2) = (i16::from(p1), i16::from(s1), i16::from(p2), i16::from(s2));
    let (precision, scale) = match op {
        Op::Add | Op::Subtract => ((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2)),
        Op::Multiply => (p1 + p2, s1 + s2),
        Op::Divide => (p1 + s2 + (s2 - s1).max(0), s1.max(s2)),
        Op::Modulus => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
    };
    if scale > 38 {
        return Err(type_mismatch(format!(
            "DECIMAL scale must be in range [0, precision (38)]: {scale}"
        )));
    }
    let precision = u8::try_from(precision.clamp(scale.max(1), 38)).unwrap_or(38);
    Ok(DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(38)))
}

/// Type of `+` and `-`.
pub(super) fn sum_type(types: &[DataType]) -> Result<DataType> {
    result_type(Op::Add, types)
}
/// Type of `*`.
pub(super) fn product_type(types: &[DataType]) -> Result<DataType> {
    result_type(Op::Multiply, types)
}
/// Type of `/`.
pub(super) fn quotient_type(types: &[DataType]) -> Result<DataType> {
    result_type(Op::Divide, types)
}
/// Type of `%`.
pub(super) fn remainder_type(types: &[DataType]) -> Result<DataType> {
    result_type(Op::Modulus, types)
}

macro_rules! checked {
    ($op:expr, $a:expr, $b:expr) => {
        match $op {
            Op::Add => $a.checked_add($b),
            Op::Subtract => $a.checked_sub($b),
            Op::Multiply => $a.checked_mul($b),
            Op::Divide => $a.checked_div($b),
            // The smallest integer % -1 is 0, not an overflow.
            Op::Modulus => Some($a.wrapping_rem($b)),
        }
    };
}
macro_rules! float {
    ($op:expr, $a:expr, $b:expr) => {
        match $op {
            Op::Add => $a + $b,
            Op::Subtract => $a - $b,
            Op::Multiply => $a * $b,
            Op::Divide => $a / $b,
            Op::Modulus => $a % $b,
        }
    };
}
/// Computes an operator over whole columns.
pub(super) fn arithmetic(c: &Call, op: Op) -> Result<ArrayRef> {
    match &c.returns {
        DataType::Int8 => integers::<Int8Type>(c, op, |a, b| checked!(op, a, b)),
        DataType::Int16 => integers::<Int16Type>(c, op, |a, b| checked!(op, a, b)),
        DataType::Int32 => integers::<Int32Type>(c, op, |a, b| checked!(op, a, b)),
        DataType::Int64 => integers::<Int64Type>(c, op, |a, b| checked!(op, a, b)),
        DataType::Float32 => floats::<Float32Type>(c, |a, b| float!(op, a, b)),
        DataType::Float64 => floats::<Float64Type>(c, |a, b| float!(op, a, b)),
        DataType::Decimal128(precision, scale) => decimals(c, op, *precision, *scale),
        DataType::Null => Ok(arrow::array::new_null_array(&DataType::Null, c.rows)),
        other => Err(DataFusionError::Internal(format!(
            "{}: unexpected type {other}",
            c.name
        ))),
    }
}

fn operands<T: ArrowPrimitiveType>(c: &Call) -> Result<(Operand<T>, Operand<T>)> {
    Ok((operand(c, 0)?, operand(c, 1)?))
}

struct Operand<T: ArrowPrimitiveType> {
    array: PrimitiveArray<T>,
    constant: bool,
}

impl<T: ArrowPrimitiveType> Operand<T> {
    fn get(&self, row: usize) -> Option<T::Native> {
        let i = if self.constant { 0 } else { row };
        self.array.is_valid(i).then(|| self.array.value(i))
    }
}

fn operand<T: ArrowPrimitiveType>(c: &Call, i: usize) -> Result<Operand<T>> {
    let array = &c.any(i)?.array().clone();
    let array = arrow::compute::cast(array, &T::DATA_TYPE)?;
    Ok(Operand {
        constant: array.len() == 1 && c.rows != 1,
        array: array.as_primitive::<T>().clone(),
    })
}

fn division_by_zero() -> DataFusionError {
    fault(Fault::new(Code::DivisionByZero, "Division by zero"))
}

fn integers<T: ArrowPrimitiveType>(
    c: &Call,
    op: Op,
    f: impl Fn(T::Native, T::Native) -> Option<T::Native>,
) -> Result<ArrayRef>
where
    T::Native: std::fmt::Display + Default + PartialEq,
{
    let (a, b) = operands::<T>(c)?;
    let divides = matches!(op, Op::Divide | Op::Modulus);
    c.build::<T>(|row| {
        let (Some(x), Some(y)) = (a.get(row), b.get(row)) else {
            return Ok(None);
        };
        if divides && y == T::Native::default() {
            return Err(division_by_zero());
        }
        let name = Ty::of_type(&T::DATA_TYPE);
        f(x, y).map(Some).ok_or_else(|| {
            let sign = match op {
                Op::Add => '+',
                Op::Subtract => '-',
                Op::Multiply => '*',
                Op::Divide => '/',
                Op::Modulus => '%',
            };
            out_of_range(format!("{name} {} overflow: {x} {sign} {y}", op.word()))
        })
    })
}

fn floats<T: ArrowPrimitiveType>(
    c: &Call,
    f: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let (a, b) = operands::<T>(c)?;
    c.build::<T>(|row| Ok(a.get(row).zip(b.get(row)).map(|(x, y)| f(x, y))))
}

/// Unscaled values of an operand; integers have scale 0.
fn unscaled(c: &Call, i: usize) -> Result<(Operand<Decimal128Type>, i8)> {
    let column = c.any(i)?;
    let array = column.array();
    let (array, scale) = match array.data_type() {
        DataType::Decimal128(_, s) => (array.as_primitive::<Decimal128Type>().clone(), *s),
        DataType::Null => (PrimitiveArray::new_null(array.len()), 0),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => {
            let wide = arrow::compute::cast(array, &DataType::Decimal128(*p, *s))?;
            (wide.as_primitive::<Decimal128Type>().clone(), *s)
        }
        _ => {
            let wide = arrow::compute::cast(array, &DataType::Int64)?;
            (wide.as_primitive::<Int64Type>().unary(i128::from), 0)
        }
    };
    Ok((
        Operand {
            constant: array.len() == 1 && c.rows != 1,
            array,
        },
        scale,
    ))
}

fn decimals(c: &Call, op: Op, precision: u8, scale: i8) -> Result<ArrayRef> {
    let ((a, s1), (b, s2)) = (unscaled(c, 0)?, unscaled(c, 1)?);
    let power = |by: i8| i256::from_i128(10).wrapping_pow(u32::from(by.unsigned_abs()));
    let limit = power(i8::try_from(precision).unwrap_or(38));
    let (up1, up2) = (power(scale - s1.min(scale)), power(scale - s2.min(scale)));
    // A quotient of scale `scale` is a * 10^(scale - s1 + s2) / b; the exponent is never negative.
    let up_quotient = power(scale - s1 + s2);
    c.build::<Decimal128Type>(|row| {
        let (Some(x), Some(y)) = (a.get(row), b.get(row)) else {
            return Ok(None);
        };
        let (x, y) = (i256::from_i128(x), i256::from_i128(y));
        if matches!(op, Op::Divide | Op::Modulus) && y == i256::ZERO {
            return Err(division_by_zero());
        }
        // 38 + 38 digits stay below i256's 76: none of these can wrap.
        let value = match op {
            Op::Add => x
                .checked_mul(up1)
                .zip(y.checked_mul(up2))
                .and_then(|(x, y)| x.checked_add(y)),
            Op::Subtract => x
                .checked_mul(up1)
                .zip(y.checked_mul(up2))
                .and_then(|(x, y)| x.checked_sub(y)),
            Op::Multiply => x.checked_mul(y),
            Op::Divide => x.checked_mul(up_quotient).map(|x| divide_half_up(x, y)),
            Op::Modulus => x
                .checked_mul(up1)
                .zip(y.checked_mul(up2))
                .map(|(x, y)| x.wrapping_rem(y)),
        };
        value
            .filter(|v| v.wrapping_abs() < limit)
            .and_then(i256::to_i128)
            .map(Some)
            .ok_or_else(|| out_of_range("Decimal overflow"))
    })
}

fn divide_half_up(x: i256, y: i256) -> i256 {
    let (q, r) = (x.wrapping_div(y), x.wrapping_rem(y));
    let twice = r.wrapping_abs().wrapping_add(r.wrapping_abs());
    if twice < y.wrapping_abs() {
        return q;
    }
    let one = i256::from_i128(1);
    if (x < i256::ZERO) == (y < i256::ZERO) {
        q.wrapping_add(one)
    } else {
        q.wrapping_sub(one)
    }
}

/// Unary minus with the range check.
pub(super) fn negate(c: &Call) -> Result<ArrayRef> {
    let a = c.full(0)?;
    let overflow = |v: i64| out_of_range(format!("{} negation overflow: {v}", Ty::of_type(&c.returns)));
    macro_rules! checked_neg {
        ($t:ty) => {{
            let out: PrimitiveArray<$t> = a
                .as_primitive::<$t>()
                .try_unary(|v| v.checked_neg().ok_or_else(|| overflow(i64::from(v))))?;
            Ok(Arc::new(out) as ArrayRef)
        }};
    }
    match a.data_type() {
        DataType::Int8 => checked_neg!(Int8Type),
        DataType::Int16 => checked_neg!(Int16Type),
        DataType::Int32 => checked_neg!(Int32Type),
        DataType::Int64 => checked_neg!(Int64Type),
        _ => Ok(arrow::compute::kernels::numeric::neg(&a)?),
    }
}
