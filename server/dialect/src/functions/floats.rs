//! IEEE comparisons of `real` and `double`, which Arrow orders totally.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
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
            over(&[Real], &DataType::Float32, |c| {
                let a = c.primitive::<Float32Type>(0)?;
                c.build::<Float32Type>(|r| Ok(a.get(r).map(|v| if v.is_nan() { f32::NAN } else { v + 0.0 })))
            }),
            over(&[Double], &DataType::Float64, |c| {
                let a = c.double(0)?;
                c.build::<Float64Type>(|r| Ok(a.get(r).map(|v| if v.is_nan() { f64::NAN } else { v + 0.0 })))
            }),
        ],
    ),
];

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
