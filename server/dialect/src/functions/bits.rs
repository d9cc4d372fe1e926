//! Numbers as bits and digits: `bit_count`, number bases, histogram buckets.

use arrow::array::ArrayRef;
use arrow::datatypes::Int64Type;
use datafusion::error::Result;

use super::call::Call;
use crate::semantics::error::{bad_argument, out_of_range};

pub(super) fn bit_count(value: i64, bits: i64) -> Result<i64> {
    if !(2..=64).contains(&bits) {
        return Err(bad_argument(format!(
            "Bits specified in bit_count must be between 2 and 64, got {bits}"
        )));
    }
    if bits == 64 {
        return Ok(i64::from(value.count_ones()));
    }
    let half = 1_i64 << (bits - 1);
    if value < -half || value >= half {
        return Err(bad_argument(format!(
            "Number must be representable with the bits specified. {value} cannot be represented with {bits} bits"
        )));
    }
    Ok(i64::from((value & ((1_i64 << bits) - 1)).count_ones()))
}

pub(super) fn width_bucket(c: &Call) -> Result<ArrayRef> {
    let (x, low, high, n) = (c.double(0)?, c.double(1)?, c.double(2)?, c.int(3)?);
    c.build::<Int64Type>(|r| {
        let (Some(x), Some(a), Some(b), Some(n)) = (x.get(r), low.get(r), high.get(r), n.get(r)) else {
            return Ok(None);
        };
        if n <= 0 {
            return Err(bad_argument("bucketCount must be greater than 0"));
        }
        if x.is_nan() {
            return Err(bad_argument("operand must not be NaN"));
        }
        if !a.is_finite() || !b.is_finite() {
            return Err(bad_argument("bounds must be finite"));
        }
        if a == b {
            return Err(bad_argument("bounds cannot equal each other"));
        }
        let (lower, upper) = (a.min(b), a.max(b));
        let bucket = if x < lower {
            0
        } else if x >= upper {
            n.checked_add(1)
                .ok_or_else(|| out_of_range(format!("Bucket for value {x} is out of range")))?
        } else {
            (n as f64 * (x - lower) / (upper - lower)) as i64 + 1
        };
        Ok(Some(if a > b { n - bucket + 1 } else { bucket }))
    })
}

fn check_radix(radix: i64) -> Result<u32> {
    u32::try_from(radix)
        .ok()
        .filter(|r| (2..=36).contains(r))
        .ok_or_else(|| bad_argument("Radix must be between 2 and 36"))
}

pub(super) fn from_base(c: &Call) -> Result<ArrayRef> {
    let (a, radix) = (c.text(0)?, c.int(1)?);
    c.build::<Int64Type>(|r| {
        let (Some(s), Some(radix)) = (a.get(r), radix.get(r)) else {
            return Ok(None);
        };
        let radix = check_radix(radix)?;
        i64::from_str_radix(s, radix)
            .map(Some)
            .map_err(|_| bad_argument(format!("Not a valid base-{radix} number: {s}")))
    })
}

pub(super) fn to_base(c: &Call) -> Result<ArrayRef> {
    let (a, radix) = (c.int(0)?, c.int(1)?);
    c.build_text(|r| {
        let (Some(v), Some(radix)) = (a.get(r), radix.get(r)) else {
            return Ok(None);
        };
        let radix = check_radix(radix)?;
        let mut rest = v.unsigned_abs();
        let mut digits = Vec::new();
        loop {
            digits.push(char::from_digit((rest % u64::from(radix)) as u32, radix).unwrap_or('0'));
            rest /= u64::from(radix);
            if rest == 0 {
                break;
            }
        }
        if v < 0 {
            digits.push('-');
        }
        Ok(Some(digits.into_iter().rev().collect::<String>().into()))
    })
}
