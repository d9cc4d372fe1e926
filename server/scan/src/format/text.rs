//! What the text of a field means as a value of a Hive type: numbers, dates and timestamps as Hive writes them.
//!
//! `None` is "not such a value"; whether that is NULL or an error is the SerDe's business.

use std::borrow::Cow;

use base64::Engine;
use chrono::{Datelike, Days, Months, NaiveDate, TimeDelta};
use owlake_catalog::HiveType;

use super::columns::Scalar;

/// A whole number with an optional sign; digits after a point are cut off.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() {
        return None;
    }
    let point = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let (whole, fraction) = digits.split_at(point);
    if !fraction.iter().skip(1).all(u8::is_ascii_digit) {
        return None;
    }
    // Summed up below zero, where there is room for the least number.
    let mut value = 0_i64;
    for digit in whole {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// Whether `value` fits the integer type.
pub(crate) fn in_range(hive: &HiveType, value: i64) -> bool {
    match hive {
        HiveType::TinyInt => i8::try_from(value).is_ok(),
        HiveType::SmallInt => i16::try_from(value).is_ok(),
        HiveType::Int => i32::try_from(value).is_ok(),
        _ => true,
    }
}

/// The part of a floating point text that Rust reads as Java does: blanks around it and a type suffix removed.
fn float_text(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?.trim_matches(|c: char| c <= ' ');
    if matches!(text.trim_start_matches(['+', '-']), "NaN" | "Infinity") {
        return Some(text);
    }
    let number = match text.strip_suffix(['d', 'D', 'f', 'F']) {
        Some(rest) if rest.ends_with(|c: char| c.is_ascii_digit() || c == '.') => rest,
        _ => text,
    };
    // Rust knows `inf` and `nan` in any case, Java does not.
    number
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
        .then_some(number)
}

/// A double as Java's `Double.parseDouble` reads it, but for hexadecimal ones.
pub(crate) fn double(text: &[u8]) -> Option<f64> {
    float_text(text)?.parse().ok()
}

/// A float, rounded once from the text.
pub(crate) fn float(text: &[u8]) -> Option<f32> {
    float_text(text)?.parse().ok()
}

/// A decimal with `scale` digits after the point, rounded half away from zero; `None` beyond `precision` digits.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let text = text.trim_ascii();
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => {
            let exponent: i64 = std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()?;
            (&text[..at], exponent)
        }
        None => (text, 0),
    };
    let (negative, digits) = match mantissa {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let point = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let fraction = digits.get(point + 1..).unwrap_or_default();
    let all = || digits[..point].iter().chain(fraction);
    if all().next().is_none() || !all().all(u8::is_ascii_digit) {
        return None;
    }
    // Digits up to this one, counted from the first, are kept; a zero may have any exponent.
    let keep = i64::try_from(point)
        .ok()?
        .saturating_add(exponent)
        .saturating_add(i64::from(scale));
    let mut value = 0_i128;
    let mut count = 0_i64;
    let mut round_up = false;
    for digit in all() {
        if count == keep {
            round_up = *digit >= b'5';
        }
        if count < keep {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        count += 1;
    }
    if value != 0 && keep > count {
        let zeros = u32::try_from(keep - count).ok()?;
        value = value.checked_mul(10_i128.checked_pow(zeros)?)?;
    }
    value += i128::from(round_up);
    if value >= 10_i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// Takes `1` to `9` digits off the front.
fn number(text: &mut &[u8]) -> Option<i64> {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 || length > 9 {
        return None;
    }
    let (digits, rest) = text.split_at(length);
    *text = rest;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn literal(text: &mut &[u8], expected: u8) -> Option<()> {
    let rest = text.strip_prefix(&[expected])?;
    *text = rest;
    Some(())
}

/// `y-m-d`; a month or a day out of range runs over into the next, as Hive's lenient calendar does.
fn calendar_date(text: &mut &[u8]) -> Option<NaiveDate> {
    let negative = literal(text, b'-').is_some();
    let year = number(text)?;
    literal(text, b'-')?;
    let month = number(text)?;
    literal(text, b'-')?;
    let day = number(text)?;
    let year = i32::try_from(if negative { -year } else { year }).ok()?;
    let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
    let moved = match u32::try_from(month - 1) {
        Ok(months) => first.checked_add_months(Months::new(months))?,
        Err(_) => first.checked_sub_months(Months::new(1))?,
    };
    match u64::try_from(day - 1) {
        Ok(days) => moved.checked_add_days(Days::new(days)),
        Err(_) => moved.pred_opt(),
    }
}

/// A date as days since 1970-01-01; what follows a blank is cut off.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let mut rest = text.trim_ascii();
    if let Some(blank) = rest.iter().position(|b| *b == b' ') {
        rest = &rest[..blank];
    }
    let date = calendar_date(&mut rest)?;
    rest.is_empty().then(|| date.num_days_from_ce() - EPOCH_DAY)
}

/// 1970-01-01 counted from year 1.
const EPOCH_DAY: i32 = 719_163;

/// `y-m-d h:m:s[.fraction]`, or ISO 8601 with `T`, where seconds may be missing. Milliseconds since the epoch.
///
/// Finer fractions are rounded half up, as timestamps of Parquet files are. A date alone is no timestamp.
pub(crate) fn timestamp(text: &[u8]) -> Option<i64> {
    let mut rest = text.trim_ascii();
    let date = calendar_date(&mut rest)?;
    let iso = match rest {
        [b' ', tail @ ..] => {
            rest = tail;
            false
        }
        [b'T' | b't', tail @ ..] => {
            rest = tail;
            true
        }
        _ => return None,
    };
    let hour = number(&mut rest)?;
    literal(&mut rest, b':')?;
    let minute = number(&mut rest)?;
    let mut nanos = 0;
    let mut second = 0;
    if !(iso && rest.is_empty()) {
        literal(&mut rest, b':')?;
        second = number(&mut rest)?;
        if literal(&mut rest, b'.').is_some() {
            nanos = fraction(rest)?;
            rest = &[];
        }
    }
    if !rest.is_empty() {
        return None;
    }
    let midnight = date.and_hms_opt(0, 0, 0)?;
    let time = TimeDelta::try_seconds(hour * 3600 + minute * 60 + second)?;
    let whole = midnight.checked_add_signed(time)?.and_utc().timestamp_millis();
    Some(whole + rounded_millis(nanos))
}

/// Nanoseconds to milliseconds, half up.
fn rounded_millis(nanos: i64) -> i64 {
    (nanos + 500_000).div_euclid(1_000_000)
}

/// 1 to 9 digits after the point, as nanoseconds.
pub(crate) fn fraction(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(value * 10_i64.pow(9 - u32::try_from(digits.len()).ok()?))
}

/// Text for a column: bytes that are not UTF-8 become replacement characters, the length of the type is kept.
pub(crate) fn sized<'a>(hive: &HiveType, text: &'a [u8]) -> Cow<'a, str> {
    cut(hive, String::from_utf8_lossy(text))
}

/// Cuts text to the length of `varchar(n)` and `char(n)`; the latter loses the blanks at its end.
pub(crate) fn cut<'a>(hive: &HiveType, text: Cow<'a, str>) -> Cow<'a, str> {
    let (limit, blanks) = match hive {
        HiveType::Varchar(limit) => (usize::from(*limit), true),
        HiveType::Char(limit) => (usize::from(*limit), false),
        _ => return text,
    };
    let end = text.char_indices().nth(limit).map_or(text.len(), |(at, _)| at);
    let kept = &text[..end];
    let kept = if blanks { kept } else { kept.trim_end_matches(' ') };
    let length = kept.len();
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..length]),
        Cow::Owned(mut text) => {
            text.truncate(length);
            Cow::Owned(text)
        }
    }
}

/// Base64 as Hive writes `binary` into text; anything else is taken as it is.
pub(crate) fn binary(text: &[u8]) -> Cow<'_, [u8]> {
    match base64::engine::general_purpose::STANDARD.decode(text) {
        Ok(bytes) => Cow::Owned(bytes),
        Err(_) => Cow::Borrowed(text),
    }
}

/// The number of a numeric type, where the text is one.
pub(crate) fn numeric<'a>(hive: &HiveType, text: &[u8]) -> Option<Scalar<'a>> {
    match hive {
        HiveType::Float => float(text).map(Scalar::Float),
        HiveType::Double => double(text).map(Scalar::Double),
        HiveType::Decimal { precision, scale } => decimal(text, *precision, *scale).map(Scalar::Decimal),
        _ => integer(text).filter(|v| in_range(hive, *v)).map(Scalar::Integer),
    }
}

#[cfg(test)]
mod tests;
