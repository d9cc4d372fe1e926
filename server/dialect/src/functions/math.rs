//! Numbers: rounding, bits, predicates. Operators (`+`, `/`, ...) compute in `operators`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::error::{DataFusionError, Result};

use super::bits::{bit_count, from_base, to_base, width_bucket};
use super::call::Call;
use super::operators::{Op, arithmetic, negate, product_type, quotient_type, remainder_type, sum_type};
use super::signature::Param::{Any, Bigint, Decimal, Double, Integer, Number, Real, Varchar};
use super::signature::{Overload, Returns, generic, over};
use super::udf::{Spec, spec};
use crate::semantics::error::out_of_range;

const F64: &DataType = &DataType::Float64;
const INT: &DataType = &DataType::Int64;
const BOOL: &DataType = &DataType::Boolean;

macro_rules! doubles {
    ($($name:literal $(, $alias:literal)* => $f:expr;)*) => {
        &[$(spec($name, &[$($alias),*], &[over(&[Double], F64, |c| double1(c, $f))]),)*]
    };
}

/// Functions of one double.
pub(super) static DOUBLES: &[Spec] = doubles! {
    "sqrt" => f64::sqrt;
    "cbrt" => f64::cbrt;
    "exp" => f64::exp;
    "ln" => f64::ln;
    "log2" => f64::log2;
    "log10" => f64::log10;
    "sin" => f64::sin;
    "cos" => f64::cos;
    "tan" => f64::tan;
    "asin" => f64::asin;
    "acos" => f64::acos;
    "atan" => f64::atan;
    "sinh" => f64::sinh;
    "cosh" => f64::cosh;
    "tanh" => f64::tanh;
    "degrees" => f64::to_degrees;
    "radians" => f64::to_radians;
};

pub(super) static SPECS: &[Spec] = &[
    spec("e", &[], &[over(&[], F64, |c| constant(c, std::f64::consts::E))]),
    spec(
        "pi",
        &[],
        &[over(&[], F64, |c| constant(c, std::f64::consts::PI))],
    ),
    spec("infinity", &[], &[over(&[], F64, |c| constant(c, f64::INFINITY))]),
    spec("nan", &[], &[over(&[], F64, |c| constant(c, f64::NAN))]),
    spec(
        "is_nan",
        &[],
        &[over(&[Double], BOOL, |c| double_test(c, f64::is_nan))],
    ),
    spec(
        "is_finite",
        &[],
        &[over(&[Double], BOOL, |c| double_test(c, f64::is_finite))],
    ),
    spec(
        "is_infinite",
        &[],
        &[over(&[Double], BOOL, |c| double_test(c, f64::is_infinite))],
    ),
    spec(
        "atan2",
        &[],
        &[over(&[Double, Double], F64, |c| double2(c, f64::atan2))],
    ),
    spec(
        "power",
        &["pow"],
        &[over(&[Double, Double], F64, |c| double2(c, power))],
    ),
    spec(
        "log",
        &[],
        &[over(&[Double, Double], F64, |c| {
            double2(c, |b, x| x.ln() / b.ln())
        })],
    ),
    spec(
        "abs",
        &[],
        &[
            generic(&[Integer], Returns::Same(0), abs_int),
            generic(&[Decimal], Returns::Same(0), |c| decimal1(c, |v, _| Ok(v.abs()))),
            over(&[Real], &DataType::Float32, |c| real1(c, f32::abs)),
            over(&[Double], F64, |c| double1(c, f64::abs)),
        ],
    ),
    spec(
        "sign",
        &[],
        &[
            generic(&[Integer], Returns::Same(0), |c| int_as_i64(c, i64::signum)),
            generic(&[Decimal], Returns::Type(&DataType::Decimal128(1, 0)), |c| {
                decimal1(c, |v, _| Ok(v.signum()))
            }),
            over(&[Real], &DataType::Float32, |c| {
                real1(c, |x| if x == 0.0 || x.is_nan() { x } else { x.signum() })
            }),
            over(&[Double], F64, |c| {
                double1(c, |x| if x == 0.0 || x.is_nan() { x } else { x.signum() })
            }),
        ],
    ),
    spec(
        "ceiling",
        &["ceil"],
        &[
            generic(&[Integer], Returns::Same(0), |c| c.full(0)),
            generic(&[Decimal], Returns::Computed(whole), |c| {
                decimal1(c, |v, s| {
                    Ok(v.div_euclid(pow10(s)) + i128::from(v.rem_euclid(pow10(s)) != 0))
                })
            }),
            over(&[Real], &DataType::Float32, |c| real1(c, f32::ceil)),
            over(&[Double], F64, |c| double1(c, f64::ceil)),
        ],
    ),
    spec(
        "floor",
        &[],
        &[
            generic(&[Integer], Returns::Same(0), |c| c.full(0)),
            generic(&[Decimal], Returns::Computed(whole), |c| {
                decimal1(c, |v, s| Ok(v.div_euclid(pow10(s))))
            }),
            over(&[Real], &DataType::Float32, |c| real1(c, f32::floor)),
            over(&[Double], F64, |c| double1(c, f64::floor)),
        ],
    ),
    spec(
        "round",
        &[],
        &[
            generic(&[Integer], Returns::Same(0), |c| c.full(0)),
            generic(&[Decimal], Returns::Computed(whole), |c| {
                decimal1(c, |v, s| Ok(round_half_up(v, pow10(s))))
            }),
            over(&[Real], &DataType::Float32, |c| {
                real1(c, |x| round_double(f64::from(x), 0) as f32)
            }),
            over(&[Double], F64, |c| double1(c, |x| round_double(x, 0))),
            generic(&[Integer, Bigint], Returns::Same(0), round_int_to),
            generic(&[Decimal, Bigint], Returns::Computed(one_more), round_decimal_to),
            over(&[Real, Bigint], &DataType::Float32, round_real_to),
            over(&[Double, Bigint], F64, round_double_to),
        ],
    ),
    spec(
        "truncate",
        &[],
        &[
            generic(&[Decimal], Returns::Computed(whole), |c| {
                decimal1(c, |v, s| Ok(v / pow10(s)))
            }),
            over(&[Real], &DataType::Float32, |c| real1(c, f32::trunc)),
            over(&[Double], F64, |c| double1(c, f64::trunc)),
            generic(&[Decimal, Bigint], Returns::Same(0), truncate_decimal_to),
        ],
    ),
    spec(
        "bitwise_and",
        &[],
        &[over(&[Bigint, Bigint], INT, |c| int2(c, |a, b| Ok(a & b)))],
    ),
    spec(
        "bitwise_or",
        &[],
        &[over(&[Bigint, Bigint], INT, |c| int2(c, |a, b| Ok(a | b)))],
    ),
    spec(
        "bitwise_xor",
        &[],
        &[over(&[Bigint, Bigint], INT, |c| int2(c, |a, b| Ok(a ^ b)))],
    ),
    spec(
        "bitwise_not",
        &[],
        &[over(&[Bigint], INT, |c| {
            let a = c.int(0)?;
            c.build::<Int64Type>(|r| Ok(a.get(r).map(|v| !v)))
        })],
    ),
    spec(
        "bit_count",
        &[],
        &[over(&[Bigint, Bigint], INT, |c| int2(c, bit_count))],
    ),
    spec(
        "width_bucket",
        &[],
        &[over(&[Double, Double, Double, Bigint], INT, width_bucket)],
    ),
    spec("from_base", &[], &[over(&[Varchar, Bigint], INT, from_base)]),
    spec(
        "to_base",
        &[],
        &[over(&[Bigint, Bigint], &DataType::Utf8, to_base)],
    ),
];

/// Operators of the semantic pass, in the order `internal::operator` knows; their names cannot be written as a call.
pub(super) static OPERATORS: &[Spec] = &[
    spec(
        "$add",
        &[],
        &[generic(&[Any, Any], Returns::Computed(sum_type), |c| {
            arithmetic(c, Op::Add)
        })],
    ),
    spec(
        "$subtract",
        &[],
        &[generic(&[Any, Any], Returns::Computed(sum_type), |c| {
            arithmetic(c, Op::Subtract)
        })],
    ),
    spec(
        "$multiply",
        &[],
        &[generic(&[Any, Any], Returns::Computed(product_type), |c| {
            arithmetic(c, Op::Multiply)
        })],
    ),
    spec(
        "$divide",
        &[],
        &[generic(&[Any, Any], Returns::Computed(quotient_type), |c| {
            arithmetic(c, Op::Divide)
        })],
    ),
    spec("$modulus", &[], MOD_OVERLOADS),
    spec("$negate", &[], &[generic(&[Number], Returns::Same(0), negate)]),
];

/// `mod()`, the operator `%` as a function.
pub(super) static MODULUS: &[Spec] = &[spec("mod", &[], MOD_OVERLOADS)];
const MOD_OVERLOADS: &[Overload] = &[generic(
    &[Number, Number],
    Returns::Computed(remainder_type),
    |c| arithmetic(c, Op::Modulus),
)];

fn constant(c: &Call, value: f64) -> Result<ArrayRef> {
    c.build::<Float64Type>(|_| Ok(Some(value)))
}

fn double1(c: &Call, f: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let a = c.double(0)?;
    c.build::<Float64Type>(|r| Ok(a.get(r).map(&f)))
}

fn double_test(c: &Call, f: impl Fn(f64) -> bool) -> Result<ArrayRef> {
    let a = c.double(0)?;
    c.build_bool(|r| Ok(a.get(r).map(&f)))
}

fn double2(c: &Call, f: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (a, b) = (c.double(0)?, c.double(1)?);
    c.build::<Float64Type>(|r| Ok(a.get(r).zip(b.get(r)).map(|(x, y)| f(x, y))))
}

/// Java's `Math.pow`: one to an infinite or NaN power is NaN.
fn power(base: f64, exponent: f64) -> f64 {
    if exponent.is_nan() || (base.abs() == 1.0 && exponent.is_infinite()) {
        f64::NAN
    } else {
        base.powf(exponent)
    }
}

fn real1(c: &Call, f: impl Fn(f32) -> f32) -> Result<ArrayRef> {
    let a = c.primitive::<Float32Type>(0)?;
    c.build::<Float32Type>(|r| Ok(a.get(r).map(&f)))
}

fn int2(c: &Call, f: impl Fn(i64, i64) -> Result<i64>) -> Result<ArrayRef> {
    let (a, b) = (c.int(0)?, c.int(1)?);
    c.build::<Int64Type>(|r| a.get(r).zip(b.get(r)).map(|(x, y)| f(x, y)).transpose())
}

fn int_as_i64(c: &Call, f: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let wide = arrow::compute::cast(&c.full(0)?, &DataType::Int64)?;
    let out: arrow::array::Int64Array = wide.as_primitive::<Int64Type>().unary(f);
    Ok(arrow::compute::cast(&out, &c.returns)?)
}

fn abs_int(c: &Call) -> Result<ArrayRef> {
    let a = c.full(0)?;
    macro_rules! checked {
        ($($t:ty => $d:pat),*) => {
            match a.data_type() {
                $($d => {
                    let out: arrow::array::PrimitiveArray<$t> = a.as_primitive::<$t>().try_unary(|v| {
                        v.checked_abs().ok_or_else(|| out_of_range(format!("Value {v} is out of range for abs({})", crate::semantics::ty::Ty::of_type(a.data_type()))))
                    })?;
                    Ok(Arc::new(out) as ArrayRef)
                })*
                other => Err(unexpected(c, other)),
            }
        };
    }
    checked!(Int8Type => DataType::Int8, Int16Type => DataType::Int16, Int32Type => DataType::Int32, Int64Type => DataType::Int64)
}

fn unexpected(c: &Call, t: &DataType) -> DataFusionError {
    DataFusionError::Internal(format!("{}: unexpected type {t}", c.name))
}

pub(crate) fn pow10(scale: i8) -> i128 {
    10_i128.pow(u32::from(scale.unsigned_abs()).min(38))
}

/// `value / divisor`, half away from zero.
pub(crate) fn round_half_up(value: i128, divisor: i128) -> i128 {
    let (q, r) = (value / divisor, value % divisor);
    // |r| < divisor <= 10^38, so twice the remainder can pass i128: compare with the other half.
    if r.unsigned_abs() >= divisor.unsigned_abs() - r.unsigned_abs() && r != 0 {
        q + r.signum() * divisor.signum()
    } else {
        q
    }
}

fn decimal_args(c: &Call) -> Result<(Decimal128Array, i8)> {
    let a = c.full(0)?;
    match a.data_type() {
        DataType::Decimal128(_, s) => Ok((a.as_primitive::<Decimal128Type>().clone(), *s)),
        other => Err(unexpected(c, other)),
    }
}

fn decimal1(c: &Call, f: impl Fn(i128, i8) -> Result<i128>) -> Result<ArrayRef> {
    let (a, scale) = decimal_args(c)?;
    let out: Decimal128Array = a.try_unary(|v| f(v, scale))?;
    finish_decimal(out, &c.returns)
}

/// Sets the result type and refuses values with more digits than 38.
fn finish_decimal(values: Decimal128Array, returns: &DataType) -> Result<ArrayRef> {
    let limit = match returns {
        DataType::Decimal128(p, _) => 10_i128.checked_pow(u32::from(*p)).unwrap_or(i128::MAX),
        _ => i128::MAX,
    };
    if values
        .iter()
        .flatten()
        .any(|v| v.unsigned_abs() >= limit.unsigned_abs())
    {
        return Err(out_of_range("Decimal overflow"));
    }
    Ok(Arc::new(values.with_data_type(returns.clone())))
}

fn whole(types: &[DataType]) -> Result<DataType> {
    Ok(match types.first() {
        Some(DataType::Decimal128(p, s)) => {
            let digits = i16::from(*p) - i16::from(*s) + i16::from(*s > 0);
            DataType::Decimal128(u8::try_from(digits.clamp(1, 38)).unwrap_or(38), 0)
        }
        _ => DataType::Decimal128(38, 0),
    })
}

fn one_more(types: &[DataType]) -> Result<DataType> {
    Ok(match types.first() {
        Some(DataType::Decimal128(p, s)) => DataType::Decimal128((*p + 1).min(38), *s),
        _ => DataType::Decimal128(38, 0),
    })
}

/// Half away from zero; `to` digits after the point (Trino's algorithm: scale, round, unscale).
fn round_double(x: f64, to: i64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let factor = 10_f64.powf(to as f64);
    let scaled = x.abs() * factor;
    if scaled.is_infinite() || factor == 0.0 {
        return if factor == 0.0 { 0.0 } else { x };
    }
    // So large a number has no fraction left to round.
    if to > 0 && scaled >= (1_u64 << 52) as f64 {
        return x;
    }
    let rounded = (scaled + 0.5).floor() / factor;
    // `0.49999999999999994 + 0.5` is 1.0 in binary; f64::round knows.
    let rounded = if to == 0 { x.abs().round() } else { rounded };
    if x < 0.0 { -rounded } else { rounded }
}

fn round_double_to(c: &Call) -> Result<ArrayRef> {
    let (a, d) = (c.double(0)?, c.int(1)?);
    c.build::<Float64Type>(|r| Ok(a.get(r).zip(d.get(r)).map(|(x, d)| round_double(x, d))))
}

fn round_real_to(c: &Call) -> Result<ArrayRef> {
    let (a, d) = (c.primitive::<Float32Type>(0)?, c.int(1)?);
    c.build::<Float32Type>(|r| {
        Ok(a.get(r)
            .zip(d.get(r))
            .map(|(x, d)| round_double(f64::from(x), d) as f32))
    })
}

fn round_int_to(c: &Call) -> Result<ArrayRef> {
    let wide = arrow::compute::cast(&c.full(0)?, &DataType::Int64)?;
    let (wide, d) = (wide.as_primitive::<Int64Type>(), c.int(1)?);
    let mut out = arrow::array::Int64Builder::with_capacity(c.rows);
    for row in 0..c.rows {
        let value = wide.is_valid(row).then(|| wide.value(row)).zip(d.get(row));
        out.append_option(match value {
            None => None,
            Some((v, d)) if d >= 0 => Some(v),
            Some((_, d)) if d < -19 => Some(0),
            Some((v, d)) => {
                let unit = 10_i128.pow(d.unsigned_abs() as u32);
                let rounded = round_half_up(i128::from(v), unit) * unit;
                Some(
                    i64::try_from(rounded)
                        .map_err(|_| out_of_range(format!("bigint out of range: {rounded}")))?,
                )
            }
        });
    }
    let out = out.finish();
    arrow::compute::cast_with_options(&out, &c.returns, &STRICT)
        .map_err(|_| out_of_range("round: result is out of range"))
}

/// Casts fail instead of making NULLs.
pub(crate) const STRICT: arrow::compute::CastOptions<'static> = arrow::compute::CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

fn round_decimal_to(c: &Call) -> Result<ArrayRef> {
    decimal_to(c, round_half_up)
}

fn truncate_decimal_to(c: &Call) -> Result<ArrayRef> {
    decimal_to(c, |v, unit| v / unit)
}

fn decimal_to(c: &Call, f: impl Fn(i128, i128) -> i128) -> Result<ArrayRef> {
    let (a, scale) = decimal_args(c)?;
    let d = c.int(1)?;
    let out: Decimal128Array = (0..c.rows)
        .map(|row| {
            let v = a.is_valid(row).then(|| a.value(row))?;
            let drop = i64::from(scale) - d.get(row)?;
            Some(match drop {
                ..=0 => v,
                1..=38 => {
                    let unit = 10_i128.pow(drop as u32);
                    f(v, unit).saturating_mul(unit)
                }
                _ => 0,
            })
        })
        .collect();
    finish_decimal(out, &c.returns)
}
