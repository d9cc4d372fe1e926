//! Decimals as the nearest `real` or `double`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::error::Result;

/// Decimals as `real` or `double`, rounded once; between other types Arrow's cast.
pub(crate) fn decimal_to_float(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(match (values.data_type(), to) {
        (DataType::Decimal128(_, scale), DataType::Float32) => {
            let values = values.as_primitive::<Decimal128Type>();
            let out: Float32Array = values.unary(|v| nearest_real(v, *scale));
            Arc::new(out)
        }
        (DataType::Decimal128(_, scale), DataType::Float64) => {
            let values = values.as_primitive::<Decimal128Type>();
            let out: Float64Array = values.unary(|v| nearest_double(v, *scale));
            Arc::new(out)
        }
        _ => arrow::compute::cast(values, to)?,
    })
}

/// Powers of ten up to this one, and whole numbers of up to 53 bits, are exact: their quotient is rounded once.
const EXACT_SCALE: i8 = 22;
const EXACT_WHOLE: u128 = 1 << 53;

fn nearest_double(unscaled: i128, scale: i8) -> f64 {
    if unscaled.unsigned_abs() <= EXACT_WHOLE && (0..=EXACT_SCALE).contains(&scale) {
        return unscaled as f64 / 10_f64.powi(i32::from(scale));
    }
    // Reading a number rounds once.
    format!("{unscaled}e{}", -i32::from(scale))
        .parse()
        .unwrap_or(f64::NAN)
}

fn nearest_real(unscaled: i128, scale: i8) -> f32 {
    if unscaled.unsigned_abs() <= 1 << 24 && (0..=10).contains(&scale) {
        return unscaled as f32 / 10_f32.powi(i32::from(scale));
    }
    format!("{unscaled}e{}", -i32::from(scale))
        .parse()
        .unwrap_or(f32::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quotient_and_the_text_of_a_number_agree() {
        for unscaled in [
            0,
            1,
            -1,
            3,
            7,
            10,
            123_456_789,
            (1 << 24) + 1,
            (1 << 53) - 1,
            (1 << 53) + 1,
            i128::MAX,
        ] {
            for scale in 0..=38 {
                let text = format!("{unscaled}e-{scale}");
                assert_eq!(
                    nearest_double(unscaled, scale),
                    text.parse::<f64>().unwrap(),
                    "{text}"
                );
                assert_eq!(
                    nearest_real(unscaled, scale),
                    text.parse::<f32>().unwrap(),
                    "{text}"
                );
            }
        }
    }
}
