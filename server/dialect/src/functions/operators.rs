//! Integer and decimal arithmetic with Trino's result types, rounding and range checks.

mod decimals;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
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
        DataType::Decimal128(precision, scale) => decimals::arithmetic(c, op, *precision, *scale),
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

fn operand<T: ArrowPrimitiveType>(c: &Call, i: usize) -> Result<Operand<T>> {
    let array = super::nearest::decimal_to_float(c.any(i)?.array(), &T::DATA_TYPE)?;
    Ok(Operand::new(c, array.as_primitive::<T>().clone()))
}

impl<T: ArrowPrimitiveType> Operand<T> {
    fn new(c: &Call, array: PrimitiveArray<T>) -> Self {
        Self {
            constant: array.len() == 1 && c.rows != 1,
            array,
        }
    }

    /// NULLs of a column; a constant has none that are not told by [`Self::is_null`].
    fn nulls(&self) -> Option<&NullBuffer> {
        self.array.nulls().filter(|_| !self.constant)
    }

    fn is_null(&self) -> bool {
        self.constant && self.array.is_null(0)
    }
}

/// `f` of the values of each row where both operands are known. What lies under a NULL is never looked at.
fn each<T: ArrowPrimitiveType>(
    c: &Call,
    a: &Operand<T>,
    b: &Operand<T>,
    f: impl Fn(T::Native, T::Native) -> Result<T::Native>,
) -> Result<ArrayRef> {
    if a.is_null() || b.is_null() {
        return Ok(arrow::array::new_null_array(&c.returns, c.rows));
    }
    let nulls = NullBuffer::union(a.nulls(), b.nulls());
    let (x, y) = (a.array.values(), b.array.values());
    // One loop for each pair of kinds, so that no row asks what kind its operands are.
    let values = match (a.constant, b.constant) {
        (false, false) => {
            let (x, y) = (&x[..c.rows], &y[..c.rows]);
            fill(c.rows, nulls.as_ref(), |row| f(x[row], y[row]))
        }
        (true, false) => {
            let (x, y) = (x[0], &y[..c.rows]);
            fill(c.rows, nulls.as_ref(), |row| f(x, y[row]))
        }
        (false, true) => {
            let (x, y) = (&x[..c.rows], y[0]);
            fill(c.rows, nulls.as_ref(), |row| f(x[row], y))
        }
        (true, true) => {
            let (x, y) = (x[0], y[0]);
            fill(c.rows, nulls.as_ref(), |_| f(x, y))
        }
    }?;
    let out = PrimitiveArray::<T>::new(values.into(), nulls);
    Ok(Arc::new(out.with_data_type(c.returns.clone())))
}

fn fill<N: Copy + Default>(
    rows: usize,
    nulls: Option<&NullBuffer>,
    value: impl Fn(usize) -> Result<N>,
) -> Result<Vec<N>> {
    let mut values = vec![N::default(); rows];
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => {
            for (row, slot) in values.iter_mut().enumerate() {
                *slot = value(row)?;
            }
        }
        Some(nulls) => {
            for row in nulls.valid_indices() {
                values[row] = value(row)?;
            }
        }
    }
    Ok(values)
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
    each(c, &a, &b, |x, y| {
        if divides && y == T::Native::default() {
            return Err(division_by_zero());
        }
        f(x, y).ok_or_else(|| {
            let sign = match op {
                Op::Add => '+',
                Op::Subtract => '-',
                Op::Multiply => '*',
                Op::Divide => '/',
                Op::Modulus => '%',
            };
            let name = Ty::of_type(&T::DATA_TYPE);
            out_of_range(format!("{name} {} overflow: {x} {sign} {y}", op.word()))
        })
    })
}

fn floats<T: ArrowPrimitiveType>(
    c: &Call,
    f: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let (a, b) = operands::<T>(c)?;
    each(c, &a, &b, |x, y| Ok(f(x, y)))
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
