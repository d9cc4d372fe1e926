//! PostgreSQL's `numeric` as a decimal of a fixed scale, exactly or not at all.

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

/// Powers of ten that a decimal can hold.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// What a decimal of one column looks like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    scale: i32,
    /// The first number with too many digits; none where 38 are allowed, which nothing passes unnoticed.
    limit: Option<i128>,
}

impl Form {
    pub(super) fn new(precision: u8, scale: i8) -> Self {
        Self {
            scale: scale.into(),
            limit: power(precision.into()),
        }
    }

    /// The value times `10^scale`. Digits come in base 10,000, the first with exponent `weight`.
    pub(super) fn decimal(self, data: &[u8]) -> Result<i128, NotDecimal> {
        let (head, digits) = data.split_at_checked(8).ok_or(NotDecimal::Malformed)?;
        let head = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let (count, weight, sign) = (head(0), i32::from(head(2).cast_signed()), head(4));
        match sign {
            POSITIVE | NEGATIVE => {}
            NAN => return Err(NotDecimal::NotANumber),
            INFINITY | NEGATIVE_INFINITY => return Err(NotDecimal::Infinity),
            _ => return Err(NotDecimal::Malformed),
        }
        if digits.len() != usize::from(count) * 2 {
            return Err(NotDecimal::Malformed);
        }
        let value = match count {
            0..=4 => self.short(digits, weight)?,
            _ => self.long(digits, weight)?,
        };
        if self.limit.is_some_and(|limit| value >= limit) {
            return Err(NotDecimal::Precision);
        }
        Ok(if sign == NEGATIVE { -value } else { value })
    }

    /// Of up to four digits in base 10,000, which is what most numbers have.
    fn short(self, digits: &[u8], weight: i32) -> Result<i128, NotDecimal> {
        let mut value = 0_u64;
        for digit in digits.chunks_exact(2) {
            value = value * 10_000 + u64::from(digit_of(digit)?);
        }
        if value == 0 {
            return Ok(0);
        }
        let exponent = (weight + 1 - digits.len() as i32 / 2) * 4 + self.scale;
        if exponent >= 0 {
            let power = power(exponent).ok_or(NotDecimal::Precision)?;
            return i128::from(value).checked_mul(power).ok_or(NotDecimal::Precision);
        }
        let divisor = 10_u64.checked_pow(exponent.unsigned_abs());
        let divisor = divisor.filter(|divisor| value.is_multiple_of(*divisor));
        Ok((value / divisor.ok_or(NotDecimal::Scale)?).into())
    }

    fn long(self, digits: &[u8], weight: i32) -> Result<i128, NotDecimal> {
        let mut value = 0_i128;
        for (at, digit) in digits.chunks_exact(2).enumerate() {
            let digit = i128::from(digit_of(digit)?);
            if digit == 0 {
                continue;
            }
            let exponent = (weight - at as i32) * 4 + self.scale;
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
        Ok(value)
    }
}

fn digit_of(bytes: &[u8]) -> Result<u16, NotDecimal> {
    match u16::from_be_bytes([bytes[0], bytes[1]]) {
        digit @ 0..=9_999 => Ok(digit),
        _ => Err(NotDecimal::Malformed),
    }
}

fn power(exponent: i32) -> Option<i128> {
    POWERS.get(usize::try_from(exponent).ok()?).copied()
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

    fn decimal(data: &[u8], precision: u8, scale: i8) -> Result<i128, NotDecimal> {
        Form::new(precision, scale).decimal(data)
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
