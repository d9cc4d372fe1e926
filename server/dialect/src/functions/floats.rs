//! IEEE comparisons of `real` and `double`, which Arrow orders totally.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
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
    let (a, b) = (c.primitive::<Float32Type>(0)?, c.primitive::<Float32Type>(1)?);
    c.build_bool(|r| Ok(a.get(r).zip(b.get(r)).map(|(x, y)| test(x, y))))
}

fn double(c: &Call, test: impl Fn(f64, f64) -> bool) -> Result<ArrayRef> {
    let (a, b) = (c.double(0)?, c.double(1)?);
    c.build_bool(|r| Ok(a.get(r).zip(b.get(r)).map(|(x, y)| test(x, y))))
}
