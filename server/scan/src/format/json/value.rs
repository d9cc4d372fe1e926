//! What a JSON value means for a column of a primitive type, by either SerDe's rules.

use std::borrow::Cow;

use base64::Engine;
use owlake_catalog::HiveType;

use super::parts::scalar_text;
use super::shown;
use crate::format::columns::Scalar;
use crate::format::text;

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Numbers are JSON numbers; nothing is guessed.
    Hive,
    /// Text may hold numbers, numbers may be hexadecimal or octal, and text columns take any JSON.
    OpenX,
}

impl Rules {
    /// A value that is not `null`.
    pub(super) fn scalar<'a>(self, hive: &HiveType, raw: &'a str) -> Result<Option<Scalar<'a>>, String> {
        let nested = raw.starts_with(['{', '[']);
        if is_text(hive) && self == Self::OpenX {
            let value = if nested {
                Cow::Owned(compact(raw))
            } else {
                scalar_text(raw)?
            };
            return Ok(Some(Scalar::Text(text::cut(hive, value))));
        }
        if nested {
            return Err(format!("{hive} expected, not {}", shown(raw)));
        }
        let quoted = raw.starts_with('"');
        let value = scalar_text(raw)?;
        match (self, hive) {
            (Self::Hive, HiveType::TinyInt | HiveType::SmallInt | HiveType::Int | HiveType::BigInt)
            | (Self::Hive, HiveType::Float | HiveType::Double)
                if quoted =>
            {
                Err(format!("{hive} expected, not {}", shown(raw)))
            }
            (Self::OpenX, HiveType::Binary) if !quoted => Err(format!("base64 expected, not {}", shown(raw))),
            _ => self.of_text(hive, value),
        }
    }

    /// The key of a map entry.
    pub(super) fn key<'a>(self, hive: &HiveType, name: Cow<'a, str>) -> Result<Option<Scalar<'a>>, String> {
        self.of_text(hive, name)
    }

    fn of_text<'a>(self, hive: &HiveType, value: Cow<'a, str>) -> Result<Option<Scalar<'a>>, String> {
        let wrong = || Err(format!("{} is no {hive}", shown(&value)));
        let scalar = match hive {
            // Whatever is not true is false.
            HiveType::Boolean => Some(Scalar::Boolean(value.eq_ignore_ascii_case("true"))),
            HiveType::TinyInt | HiveType::SmallInt | HiveType::Int | HiveType::BigInt => self
                .integer(&value)
                .filter(|v| text::in_range(hive, *v))
                .map(Scalar::Integer),
            HiveType::Date => self.date(&value).map(Scalar::Date),
            HiveType::Timestamp => self.timestamp(&value).map(Scalar::Timestamp),
            HiveType::Binary => return self.binary(value).map(|v| Some(Scalar::Binary(v))),
            HiveType::String | HiveType::Varchar(_) | HiveType::Char(_) => {
                return Ok(Some(Scalar::Text(text::cut(hive, value))));
            }
            number => text::numeric(number, value.as_bytes()),
        };
        match scalar {
            Some(scalar) => Ok(Some(scalar)),
            None => wrong(),
        }
    }

    fn integer(self, value: &str) -> Option<i64> {
        if self == Self::OpenX {
            let digits = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
            let (digits, radix) = match (digits, value.strip_prefix('0')) {
                (Some(digits), _) => (digits, 16),
                (None, Some(digits)) => (digits, 8),
                (None, None) => ("", 10),
            };
            // Not `0x-1`, which only looks like a number.
            if digits.starts_with(|c: char| c.is_ascii_hexdigit())
                && let Ok(number) = i64::from_str_radix(digits, radix)
            {
                return Some(number);
            }
        }
        if let Ok(number) = value.parse() {
            return Some(number);
        }
        // Digits after the point are cut off; 19 of them are kept until then.
        let scaled = text::decimal(value.as_bytes(), 38, 19)?;
        i64::try_from(scaled / 10_i128.pow(19)).ok()
    }

    fn date(self, value: &str) -> Option<i32> {
        text::date(value.as_bytes()).or_else(|| match self {
            Self::Hive => None,
            Self::OpenX => i32::try_from(self.integer(value)?).ok(),
        })
    }

    fn timestamp(self, value: &str) -> Option<i64> {
        if self == Self::Hive {
            return text::timestamp(value.as_bytes());
        }
        if value.contains(':') {
            return zoned(value).or_else(|| text::timestamp(value.as_bytes()));
        }
        if !value
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.'))
        {
            return None;
        }
        if value.contains('.') {
            // Seconds; what is finer than milliseconds is cut off.
            let micros = text::decimal(value.as_bytes(), 38, 9)?;
            return i64::try_from(micros / 1_000_000).ok();
        }
        // By its length a number is milliseconds or seconds.
        let number: i64 = value.parse().ok()?;
        if value.len() >= 13 {
            Some(number)
        } else {
            number.checked_mul(1_000)
        }
    }

    fn binary(self, value: Cow<'_, str>) -> Result<Cow<'_, [u8]>, String> {
        match self {
            Self::Hive => Ok(match value {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
            Self::OpenX => base64::engine::general_purpose::STANDARD
                .decode(value.as_bytes())
                .map(Cow::Owned)
                .map_err(|_| format!("{} is no base64", shown(&value))),
        }
    }
}

fn is_text(hive: &HiveType) -> bool {
    matches!(hive, HiveType::String | HiveType::Varchar(_) | HiveType::Char(_))
}

/// ISO 8601 with an offset: `2024-02-29T10:00:00+0100`. In UTC.
fn zoned(value: &str) -> Option<i64> {
    let value = value.trim();
    if !value.contains(['T', 't']) {
        return None;
    }
    if let Some(local) = value.strip_suffix(['z', 'Z']) {
        return text::timestamp(local.as_bytes());
    }
    let sign = value.rfind(['+', '-']).filter(|at| value[..*at].contains(':'))?;
    let (local, offset) = value.split_at(sign);
    let digits = offset[1..].replace(':', "");
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let millis = (hours * 60 + minutes) * 60_000;
    let shift = if offset.starts_with('-') { millis } else { -millis };
    text::timestamp(local.as_bytes())?.checked_add(shift)
}

/// JSON without the blanks between its parts.
fn compact(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in raw.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            quoted = c == '"';
        }
        out.push(c);
    }
    out
}
