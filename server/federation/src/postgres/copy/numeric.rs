//! PostgreSQL's `numeric` as a decimal of a fixed scale, exactly or not at all.

use bytes::Buf;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;

/// Why a value is not a decimal of the wanted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotDecimal {
    NotANumber,
    Infinity,
    /// More digits behind the point than the scale has.
    Scale,
    /// More digits than the precision has.
    Precision,
    /// Not a numeric at all.
    Malformed,
}

/// The value times `10^scale`. Digits come in base 10,000, the first with exponent `weight`.
pub(super) fn decimal(mut data: &[u8], precision: u8, scale: i8) -> Result<i128, NotDecimal> {
    if data.len() < 8 {
        return Err(NotDecimal::Malformed);
    }
    let count = usize::from(data.get_u16());
    let weight = i32::from(data.get_i16());
    let sign = data.get_u16();
    let _display_scale = data.get_u16();
    match sign {
        POSITIVE | NEGATIVE => {}
        NAN => return Err(NotDecimal::NotANumber),
        INFINITY | NEGATIVE_INFINITY => return Err(NotDecimal::Infinity),
        _ => return Err(NotDecimal::Malformed),
    }
    if data.len() != count * 2 {
        return Err(NotDecimal::Malformed);
    }
    let mut value = 0_i128;
    for at in 0..count {
        let digit = i128::from(data.get_u16());
        if digit > 9_999 {
            return Err(NotDecimal::Malformed);
        }
        if digit == 0 {
            continue;
        }
        let exponent = (weight - at as i32) * 4 + i32::from(scale);
        let part = if exponent >= 0 {
            // 38 digits are the most there can be.
            power(exponent)
                .and_then(|power| digit.checked_mul(power))
                .ok_or(NotDecimal::Precision)?
        } else {
            let divisor = power(-exponent).filter(|divisor| digit % divisor == 0);
            digit / divisor.ok_or(NotDecimal::Scale)?
        };
        value = value.checked_add(part).ok_or(NotDecimal::Precision)?;
    }
    if power(i32::from(precision)).is_some_and(|limit| value >= limit) {
        return Err(NotDecimal::Precision);
    }
    Ok(if sign == NEGATIVE { -value } else { value })
}

fn power(exponent: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(digits: &[u16], weight: i16, sign: u16, scale: u16) -> Vec<u8> {
        let mut out = (digits.len() as u16).to_be_bytes().to_vec();
        out.extend(weight.to_be_bytes());
        out.extend(sign.to_be_bytes());
        out.extend(scale.to_be_bytes());
        digits.iter().for_each(|digit| out.extend(digit.to_be_bytes()));
        out
    }

    #[test]
    fn digits_land_where_they_belong() {
        for (digits, weight, precision, scale, expected) in [
            (&[1_u16, 2345, 6700][..], 1, 18, 2, Ok(1_234_567)),
            (&[12], 0, 18, 4, Ok(120_000)),
            (&[5000], -1, 2, 1, Ok(5)),
            (&[5001], -1, 18, 3, Err(NotDecimal::Scale)),
            (&[1], -9, 38, 36, Ok(1)),
            (&[1], -9, 38, 35, Err(NotDecimal::Scale)),
            (&[1], 9, 38, 2, Err(NotDecimal::Precision)),
            (&[1], 9, 37, 0, Ok(10_i128.pow(36))),
            (&[1], 9, 36, 0, Err(NotDecimal::Precision)),
            (&[1], 10_000, 38, 0, Err(NotDecimal::Precision)),
            (&[1], -10_000, 38, 0, Err(NotDecimal::Scale)),
            (&[], 0, 1, 0, Ok(0)),
        ] {
            assert_eq!(
                decimal(&wire(digits, weight, POSITIVE, 0), precision, scale),
                expected,
                "{digits:?} {weight}"
            );
        }
        assert_eq!(decimal(&wire(&[7], 0, NEGATIVE, 0), 3, 1), Ok(-70));
    }

    #[test]
    fn what_is_no_number_is_said() {
        assert_eq!(decimal(&wire(&[], 0, NAN, 0), 38, 0), Err(NotDecimal::NotANumber));
        assert_eq!(
            decimal(&wire(&[], 0, NEGATIVE_INFINITY, 0), 38, 0),
            Err(NotDecimal::Infinity)
        );
        for bytes in [
            &[][..],
            &[0, 1, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 1, 1, 0, 0],
            &wire(&[10_000], 0, 0, 0),
        ] {
            assert_eq!(decimal(bytes, 38, 0), Err(NotDecimal::Malformed));
        }
    }
}
