//! `real` and `double`, which Arrow orders totally: IEEE comparisons, and NaN and zero as one value each.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, make_comparator};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion::error::Result;

use super::call::Call;
use super::signature::Param::{Double, Real};
use super::signature::over;
use super::udf::{Spec, spec};

const BOOL: &DataType = &DataType::Boolean;

pub(super) static SPECS: &[Spec] = &[
    spec(
        "$float_eq",
        &[],
        &[
            over(&[Real, Real], BOOL, |c| real(c, |a, b| a == b)),
            over(&[Double, Double], BOOL, |c| double(c, |a, b| a == b)),
        ],
    ),
    spec(
        "$float_ne",
        &[],
        &[
            over(&[Real, Real], BOOL, |c| real(c, |a, b| a != b)),
            over(&[Double, Double], BOOL, |c| double(c, |a, b| a != b)),
        ],
    ),
    spec(
        "$float_lt",
        &[],
        &[
            over(&[Real, Real], BOOL, |c| real(c, |a, b| a < b)),
            over(&[Double, Double], BOOL, |c| double(c, |a, b| a < b)),
        ],
    ),
    spec(
        "$float_le",
        &[],
        &[
            over(&[Real, Real], BOOL, |c| real(c, |a, b| a <= b)),
            over(&[Double, Double], BOOL, |c| double(c, |a, b| a <= b)),
        ],
    ),
    spec(
        "$float_normal",
        &[],
        &[
            over(&[Real], &DataType::Float32, |c| Ok(normal(&c.full(0)?))),
            over(&[Double], &DataType::Float64, |c| Ok(normal(&c.full(0)?))),
        ],
    ),
    spec(
        "$float_order",
        &[],
        &[
            over(&[Real], &DataType::Float32, |c| Ok(one_nan(&c.full(0)?))),
            over(&[Double], &DataType::Float64, |c| Ok(one_nan(&c.full(0)?))),
        ],
    ),
];

/// Applies one of two functions to a column of `real` or `double`; any other column stays.
fn mapped(values: &ArrayRef, real: impl Fn(f32) -> f32, double: impl Fn(f64) -> f64) -> ArrayRef {
    match values.data_type() {
        DataType::Float32 => {
            let mapped: PrimitiveArray<Float32Type> = values.as_primitive::<Float32Type>().unary(real);
            Arc::new(mapped)
        }
        DataType::Float64 => {
            let mapped: PrimitiveArray<Float64Type> = values.as_primitive::<Float64Type>().unary(double);
            Arc::new(mapped)
        }
        _ => Arc::clone(values),
    }
}

/// NaN as one value, the largest, whatever its bits; -0.0 as 0.0. Other types stay.
pub(super) fn normal(values: &ArrayRef) -> ArrayRef {
    mapped(
        values,
        |v| if v.is_nan() { f32::NAN } else { v + 0.0 },
        |v| if v.is_nan() { f64::NAN } else { v + 0.0 },
    )
}

/// NaN as one value, the largest. Other types stay.
pub(super) fn one_nan(values: &ArrayRef) -> ArrayRef {
    mapped(
        values,
        |v| if v.is_nan() { f32::NAN } else { v },
        |v| if v.is_nan() { f64::NAN } else { v },
    )
}

/// Tells of each place whether a NaN is there.
pub(super) fn nans(values: &ArrayRef) -> Box<dyn Fn(usize) -> bool + '_> {
    match values.data_type() {
        DataType::Float32 => Box::new(|i| values.as_primitive::<Float32Type>().value(i).is_nan()),
        DataType::Float64 => Box::new(|i| values.as_primitive::<Float64Type>().value(i).is_nan()),
        _ => Box::new(|_| false),
    }
}

/// Tells whether a value of `next` is to be preferred to one of `best`, where neither is NULL: NaN never is.
pub(super) fn extremes<'a>(
    next: &'a ArrayRef,
    best: &'a ArrayRef,
    wanted: Ordering,
) -> Result<impl Fn(usize, usize) -> bool + use<'a>> {
    let order = make_comparator(next, best, SortOptions::default())?;
    let (next_nan, best_nan) = (nans(next), nans(best));
    Ok(move |n: usize, b: usize| !next_nan(n) && (best_nan(b) || order(n, b) == wanted))
}

fn real(c: &Call, test: impl Fn(f32, f32) -> bool) -> Result<ArrayRef> {
    compare::<Float32Type>(c, test)
}

fn double(c: &Call, test: impl Fn(f64, f64) -> bool) -> Result<ArrayRef> {
    compare::<Float64Type>(c, test)
}

fn compare<T: ArrowPrimitiveType>(c: &Call, test: impl Fn(T::Native, T::Native) -> bool) -> Result<ArrayRef> {
    let (a, b) = (c.primitive::<T>(0)?, c.primitive::<T>(1)?);
    if a.array().len() != c.rows || b.array().len() != c.rows {
        return c.build_bool(|r| Ok(a.get(r).zip(b.get(r)).map(|(x, y)| test(x, y))));
    }
    let nulls = NullBuffer::union(a.array().nulls(), b.array().nulls());
    let (x, y) = (a.array().values(), b.array().values());
    let values = BooleanBuffer::collect_bool(c.rows, |row| test(x[row], y[row]));
    Ok(Arc::new(BooleanArray::new(values, nulls)))
}
