//! Text of values and values of text, as Trino's CAST reads and writes them.

use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use datafusion::error::Result;

use super::cast_values::per_second;
use super::error::bad_cast;
use super::ty::{Ty, digits};

/// `1.0E0`, `1.5E-3`, `NaN`, `Infinity`: the form of Trino's CAST of a double.
pub(crate) fn format_double(value: f64) -> String {
    scientific(
        &format!("{value:e}"),
        value.is_nan(),
        value.is_infinite(),
        value.is_sign_negative(),
    )
}

/// The same for `real`, with that type's shortest digits.
pub(super) fn format_real(value: f32) -> String {
    scientific(
        &format!("{value:e}"),
        value.is_nan(),
        value.is_infinite(),
        value.is_sign_negative(),
    )
}

fn scientific(shortest: &str, nan: bool, infinite: bool, negative: bool) -> String {
    if nan {
        return "NaN".to_owned();
    }
    if infinite {
        return if negative { "-Infinity" } else { "Infinity" }.to_owned();
    }
    match shortest.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => format!("{mantissa}E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => shortest.to_owned(),
    }
}

/// `2020-01-01`, `-0003-05-06`, `10000-01-01`: Joda's form, which Trino prints dates in.
pub(crate) fn format_date(date: NaiveDate) -> String {
    format!(
        "{}-{:02}-{:02}",
        plain_year(date.year()),
        date.month(),
        date.day()
    )
}

/// A year in four digits or more.
pub(crate) fn plain_year(year: i32) -> String {
    // The width of a format counts the sign.
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}", year.unsigned_abs())
}

/// The same where more than four digits have a sign: java.time's form, which Trino prints timestamps in.
pub(crate) fn signed_year(year: i32) -> String {
    let plus = if year > 9999 { "+" } else { "" };
    plus.to_owned() + &plain_year(year)
}

/// `2020-01-01 05:06:07` and as many fraction digits as the precision has.
pub(super) fn format_timestamp(ticks: i64, unit: TimeUnit) -> Result<String> {
    let per = per_second(unit);
    let (seconds, rest) = (ticks.div_euclid(per), ticks.rem_euclid(per));
    let time = DateTime::from_timestamp(seconds, 0)
        .ok_or_else(|| bad_cast("timestamp is out of range"))?
        .naive_utc();
    let fraction = match digits(unit) {
        0 => String::new(),
        width => format!(".{rest:0width$}"),
    };
    Ok(format!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02}{fraction}",
        signed_year(time.year()),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    ))
}

fn cannot(text: &str, to: &str) -> datafusion::error::DataFusionError {
    bad_cast(format!("Cannot cast '{text}' to {to}"))
}

/// `t`, `true`, `1`, `f`, `false`, `0`, in any case.
pub(super) fn parse_boolean(text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "1" => Ok(true),
        "f" | "false" | "0" => Ok(false),
        _ => Err(cannot(text, "BOOLEAN")),
    }
}

/// Digits with an optional sign, no blanks; the caller checks the narrower ranges.
pub(super) fn parse_integer(text: &str, to: Ty) -> Result<i64> {
    text.parse()
        .map_err(|_| cannot(text, &to.to_string().to_uppercase()))
}

/// Java's `Double.parseDouble` without hexadecimal forms: blanks around are dropped, `d`/`f` may follow.
pub(super) fn parse_double(text: &str, to: &str) -> Result<f64> {
    let failed = || cannot(text, &to.to_uppercase());
    let trimmed = text.trim_matches(|c: char| c <= ' ');
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    match unsigned {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => {
            return Ok(if trimmed.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        _ => {}
    }
    // Rust also reads `inf`, `nan` and `infinity`, which Java does not.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(failed());
    }
    let number = trimmed.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(trimmed);
    number.parse().map_err(|_| failed())
}

/// Unscaled value of a decimal text, rounded half up to `scale`.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<i128> {
    let failed = || cannot(text, &format!("DECIMAL({precision}, {scale})"));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, 0_i64),
        Some((m, e)) => (m, e.parse::<i32>().map(i64::from).map_err(|_| failed())?),
    };
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(failed());
    }
    // Position of the last kept digit, counted from the front of `digits`.
    let keep = whole.len() as i64 + exponent + i64::from(scale);
    let mut value: i128 = 0;
    for i in 0..keep.max(0) {
        let digit = usize::try_from(i)
            .ok()
            .and_then(|i| digits.get(i))
            .map_or(0, |d| i128::from(d - b'0'));
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(digit))
            .ok_or_else(failed)?;
        if i > 4_000 {
            return Err(failed());
        }
    }
    if usize::try_from(keep)
        .ok()
        .and_then(|k| digits.get(k))
        .is_some_and(|d| *d >= b'5')
    {
        value += 1;
    }
    let limit = 10_i128.checked_pow(u32::from(precision)).ok_or_else(failed)?;
    if value >= limit {
        return Err(failed());
    }
    Ok(if negative { -value } else { value })
}

/// Days since 1970-01-01 of `[+-]Y-M-D`, blanks around dropped.
pub(crate) fn parse_date_text(text: &str) -> Result<i32> {
    let failed = || bad_cast(format!("Value cannot be cast to date: {text}"));
    let trimmed = text.trim();
    let (sign, rest) = match trimmed.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let mut parts = rest.splitn(3, '-');
    let mut number = |max: usize| -> Option<i32> {
        let part = parts.next()?;
        (!part.is_empty() && part.len() <= max && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse().ok())?
    };
    let date = (|| {
        NaiveDate::from_ymd_opt(
            sign * number(9)?,
            u32::try_from(number(2)?).ok()?,
            u32::try_from(number(2)?).ok()?,
        )
    })();
    date.map(|d| d.num_days_from_ce() - 719_163).ok_or_else(failed)
}

/// Ticks since the epoch of `Y-M-D[ h:m[:s[.fraction]]]`; digits past the precision round half up.
pub(crate) fn parse_timestamp_text(text: &str, unit: TimeUnit) -> Result<i64> {
    let failed = || bad_cast(format!("Value cannot be cast to timestamp: {text}"));
    let trimmed = text.trim();
    let (date, time) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
    let year_digits = date
        .trim_start_matches(['+', '-'])
        .split('-')
        .next()
        .map_or(0, str::len);
    if year_digits < 4 {
        return Err(failed());
    }
    let days = i64::from(parse_date_text(date).map_err(|_| failed())?);
    let (seconds, fraction) = time_of_day(time.trim_end()).ok_or_else(failed)?;
    let width = digits(unit);
    let mut ticks: i64 = 0;
    for i in 0..width {
        ticks = ticks * 10 + fraction.as_bytes().get(i).map_or(0, |d| i64::from(d - b'0'));
    }
    if fraction.as_bytes().get(width).is_some_and(|d| *d >= b'5') {
        ticks += 1;
    }
    (days * 86_400 + seconds)
        .checked_mul(per_second(unit))
        .and_then(|t| t.checked_add(ticks))
        .ok_or_else(failed)
}

fn time_of_day(time: &str) -> Option<(i64, &str)> {
    if time.is_empty() {
        return Some((0, ""));
    }
    let two = |part: &str, below: i64| -> Option<i64> {
        if part.is_empty() || part.len() > 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        part.parse::<i64>().ok().filter(|v| *v < below)
    };
    let mut parts = time.splitn(3, ':');
    let (hour, minute) = (two(parts.next()?, 24)?, two(parts.next()?, 60)?);
    let Some(rest) = parts.next() else {
        return Some((hour * 3600 + minute * 60, ""));
    };
    let (second, fraction) = match rest.split_once('.') {
        Some((_, "")) => return None,
        Some((s, f)) => (s, f),
        None => (rest, ""),
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((hour * 3600 + minute * 60 + two(second, 60)?, fraction))
}
