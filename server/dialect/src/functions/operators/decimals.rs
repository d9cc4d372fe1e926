//! Decimal arithmetic: numbers of less than 19 digits in 128 bits, all others in 256.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use datafusion::error::Result;

use super::super::call::Call;
use super::{Op, Operand, division_by_zero, each};
use crate::semantics::error::out_of_range;

/// Computes an operator over whole columns of decimals and integers.
pub(super) fn arithmetic(c: &Call, op: Op, precision: u8, scale: i8) -> Result<ArrayRef> {
    let ((a, s1), (b, s2)) = (unscaled(c, 0)?, unscaled(c, 1)?);
    let rule = Rule::new(op, (s1, s2), precision, scale);
    // The operator is a constant in each of these loops.
    let narrow = match op {
        Op::Add => all_narrow(c, &a, &b, &rule, |x, y, up| total(Op::Add, x, y, up)),
        Op::Subtract => all_narrow(c, &a, &b, &rule, |x, y, up| total(Op::Subtract, x, y, up)),
        Op::Multiply => all_narrow(c, &a, &b, &rule, |x, y, up| total(Op::Multiply, x, y, up)),
        Op::Divide | Op::Modulus => None,
    };
    if let Some(answer) = narrow {
        return Ok(answer);
    }
    match op {
        Op::Add => each(c, &a, &b, |x, y| rule.one(Op::Add, x, y)),
        Op::Subtract => each(c, &a, &b, |x, y| rule.one(Op::Subtract, x, y)),
        Op::Multiply => each(c, &a, &b, |x, y| rule.one(Op::Multiply, x, y)),
        Op::Divide => each(c, &a, &b, |x, y| rule.one(Op::Divide, x, y)),
        Op::Modulus => each(c, &a, &b, |x, y| rule.one(Op::Modulus, x, y)),
    }
}

/// The answer where all numbers are narrow and none of the answers has too many digits, else `None`. The loop never ends
/// early, which makes it a fast one.
#[inline(always)]
fn all_narrow(
    c: &Call,
    a: &Operand<Decimal128Type>,
    b: &Operand<Decimal128Type>,
    rule: &Rule,
    f: impl Fn(i64, i64, (i64, i64)) -> i128,
) -> Option<ArrayRef> {
    let up = rule.narrow_up.filter(|_| !a.is_null() && !b.is_null())?;
    let most = rule.limit - 1;
    let mut other = false;
    let mut one = |x: i128, y: i128| {
        let (short_x, short_y) = (x as i64, y as i64);
        let value = f(short_x, short_y, up);
        let is_long = (i128::from(short_x) != x) | (i128::from(short_y) != y);
        // -most..=most, moved up to begin at 0.
        other |= is_long | (value.cast_unsigned().wrapping_add(most) > 2 * most);
        value
    };
    let (x, y) = (a.array.values(), b.array.values());
    let values: Vec<i128> = match (a.constant, b.constant) {
        (false, false) => x.iter().zip(y).map(|(x, y)| one(*x, *y)).collect(),
        (true, false) => y.iter().map(|y| one(x[0], *y)).collect(),
        (false, true) => x.iter().map(|x| one(*x, y[0])).collect(),
        (true, true) => return None,
    };
    if other || values.len() != c.rows {
        return None;
    }
    let nulls = NullBuffer::union(a.nulls(), b.nulls());
    let out = PrimitiveArray::<Decimal128Type>::new(values.into(), nulls);
    Some(Arc::new(out.with_data_type(c.returns.clone())))
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
    Ok((Operand::new(c, array), scale))
}

/// How one operator computes for operands of given scales.
#[derive(Debug)]
struct Rule {
    /// What the operands are multiplied with first: to have the scale of the result, or to have it after a division.
    up: (i256, i256),
    /// The same where both have less than 19 digits.
    narrow_up: Option<(i64, i64)>,
    /// The first number that has too many digits.
    limit: u128,
}

impl Rule {
    fn new(op: Op, scales: (i8, i8), precision: u8, scale: i8) -> Self {
        let power = |by: i8| i256::from_i128(10).wrapping_pow(u32::from(by.unsigned_abs()));
        let one = i256::from_i128(1);
        let up = match op {
            Op::Multiply => (one, one),
            // A quotient of scale `scale` is a * 10^(scale - s1 + s2) / b; the exponent is never negative.
            Op::Divide => (power(scale - scales.0 + scales.1), one),
            _ => (
                power(scale - scales.0.min(scale)),
                power(scale - scales.1.min(scale)),
            ),
        };
        let narrow = |wide: i256| wide.to_i128().and_then(|v| i64::try_from(v).ok());
        Self {
            up,
            narrow_up: narrow(up.0).zip(narrow(up.1)),
            limit: 10_u128.pow(u32::from(precision.min(38))),
        }
    }

    #[inline(always)]
    fn one(&self, op: Op, x: i128, y: i128) -> Result<i128> {
        if let (Some(up), Ok(x), Ok(y)) = (self.narrow_up, i64::try_from(x), i64::try_from(y)) {
            let value = narrow(op, x, y, up)?;
            if value.unsigned_abs() < self.limit {
                return Ok(value);
            }
        }
        self.wide(op, x, y)
    }

    #[cold]
    fn wide(&self, op: Op, x: i128, y: i128) -> Result<i128> {
        let (x, y) = (i256::from_i128(x), i256::from_i128(y));
        // 38 + 38 digits stay below i256's 76: none of these can wrap.
        let scaled = x.checked_mul(self.up.0).zip(y.checked_mul(self.up.1));
        let value = scaled.and_then(|(x, y)| match op {
            Op::Add => x.checked_add(y),
            Op::Subtract => x.checked_sub(y),
            Op::Multiply => x.checked_mul(y),
            Op::Divide | Op::Modulus if y == i256::ZERO => None,
            Op::Divide => Some(divide_half_up(x, y)),
            Op::Modulus => Some(x.wrapping_rem(y)),
        });
        if matches!(op, Op::Divide | Op::Modulus) && y == i256::ZERO {
            return Err(division_by_zero());
        }
        value
            .and_then(i256::to_i128)
            .filter(|v| v.unsigned_abs() < self.limit)
            .ok_or_else(|| out_of_range("Decimal overflow"))
    }
}

/// One operator on numbers of 64 bits.
#[inline(always)]
fn narrow(op: Op, x: i64, y: i64, up: (i64, i64)) -> Result<i128> {
    if matches!(op, Op::Divide | Op::Modulus) && y == 0 {
        return Err(division_by_zero());
    }
    Ok(match op {
        Op::Divide => {
            let (x, y) = (product(x, up.0), i128::from(y));
            let (q, r) = (x / y, x % y);
            match 2 * r.abs() < y.abs() {
                true => q,
                false => q + if (x < 0) == (y < 0) { 1 } else { -1 },
            }
        }
        Op::Modulus => product(x, up.0) % product(y, up.1),
        _ => total(op, x, y, up),
    })
}

/// Sum, difference or product. Products of two 64-bit numbers have at most 126 bits, so that sums of two of them fit too.
#[inline(always)]
fn total(op: Op, x: i64, y: i64, up: (i64, i64)) -> i128 {
    match op {
        Op::Add => product(x, up.0) + product(y, up.1),
        Op::Subtract => product(x, up.0) - product(y, up.1),
        _ => product(x, y),
    }
}

fn product(a: i64, b: i64) -> i128 {
    i128::from(a) * i128::from(b)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Both ways to compute agree, overflow included, around zero and around the largest 64-bit numbers.
        #[test]
        fn narrow_numbers_give_what_wide_ones_give(
            x in prop_oneof![-30_i128..30, i128::from(i64::MIN) - 3..i128::from(i64::MIN) + 3, any::<i64>().prop_map(i128::from)],
            y in prop_oneof![-30_i128..30, i128::from(i64::MAX) - 3..i128::from(i64::MAX) + 3, any::<i64>().prop_map(i128::from)],
            scales in (0_i8..4, 0_i8..4),
            precision in 4_u8..39,
        ) {
            for op in [Op::Add, Op::Subtract, Op::Multiply, Op::Divide, Op::Modulus] {
                let scale = match op {
                    Op::Multiply => scales.0 + scales.1,
                    _ => scales.0.max(scales.1),
                };
                let rule = Rule::new(op, scales, precision, scale);
                let text = |answer: Result<i128>| answer.map_err(|e| e.to_string());
                prop_assert_eq!(text(rule.one(op, x, y)), text(rule.wide(op, x, y)));
            }
        }

        /// Whole columns are computed like row by row, whatever lies under a NULL.
        #[test]
        fn columns_give_what_their_rows_give(
            x in prop::collection::vec(prop::option::weighted(0.9, number()), 1..20),
            one in number(),
            constant in any::<bool>(),
            precision in 4_u8..39,
        ) {
            let y: Vec<_> = if constant { vec![Some(one)] } else { x.iter().rev().copied().collect() };
            let column = |values: &[Option<i128>]| -> ArrayRef {
                // A wide number under each NULL.
                let under = values.iter().map(|v| v.unwrap_or(i128::MAX)).collect::<Vec<_>>();
                let nulls = values.iter().map(Option::is_some).collect::<Vec<_>>().into();
                let array = PrimitiveArray::<Decimal128Type>::new(under.into(), Some(nulls));
                Arc::new(array.with_data_type(DataType::Decimal128(38, 2)))
            };
            let returns = DataType::Decimal128(precision, 2);
            for op in [Op::Add, Op::Subtract, Op::Multiply] {
                let scale = if op == Op::Multiply { 4 } else { 2 };
                let rule = Rule::new(op, (2, 2), precision, scale);
                let call = Call {
                    name: "operator",
                    args: vec![column(&x), column(&y)],
                    fields: Vec::new(),
                    rows: x.len(),
                    returns: returns.clone(),
                    space: Default::default(),
                    built: Default::default(),
                };
                let rows = x.iter().enumerate().map(|(row, x)| {
                    let y = y[if y.len() == 1 { 0 } else { row }];
                    x.zip(y).map(|(x, y)| rule.wide(op, x, y)).transpose()
                });
                let expected = rows.collect::<Result<Vec<_>>>().map_err(|e| e.to_string());
                let answer = arithmetic(&call, op, precision, scale).map_err(|e| e.to_string());
                let answer = answer.map(|a| a.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>());
                prop_assert_eq!(answer, expected);
            }
        }
    }

    fn number() -> impl Strategy<Value = i128> {
        let around = |n: i64| i128::from(n) - 3..i128::from(n) + 3;
        prop_oneof![6 => -3000_i128..3000, 1 => around(i64::MAX), 1 => around(i64::MIN)]
    }
}
