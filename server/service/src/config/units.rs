//! Sizes and durations as people write them in configuration, flags and SQL.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A text that is not a size or not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("`{0}` is not a size; write `500MB`, `1.5GB`, `64MiB` or a number of bytes")]
    Size(String),
    /// Not a duration.
    #[error("`{0}` is not a duration; write `30s`, `5m`, `24h`, `7d`, `500ms` or `1h30m`")]
    Duration(String),
}

/// A number of bytes. `MB` is 10^6 and `MiB` is 2^20; printed in decimal units, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

const DECIMAL_UNITS: [(&str, u64); 5] = [
    ("PB", 10_u64.pow(15)),
    ("TB", 10_u64.pow(12)),
    ("GB", 10_u64.pow(9)),
    ("MB", 10_u64.pow(6)),
    ("KB", 1000),
];

const BINARY_UNITS: [(&str, u64); 5] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

impl ByteSize {
    /// The size of `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError::Size(text.to_owned());
        let text = text.trim();
        let digits = text
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" | "B" => 1,
            unit => DECIMAL_UNITS
                .iter()
                .chain(&BINARY_UNITS)
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, factor)| *factor)
                .ok_or_else(error)?,
        };
        // Whole bytes or nothing: floating point would turn a cap into a nearby one.
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.len() > 15 || number.ends_with('.') {
            return Err(error());
        }
        let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| error())?);
        let units: u128 = format!("{whole}{fraction}").parse().map_err(|_| error())?;
        let bytes = units.checked_mul(u128::from(factor)).ok_or_else(error)?;
        if bytes % scale != 0 {
            return Err(error());
        }
        u64::try_from(bytes / scale).map(Self).map_err(|_| error())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((name, factor)) = DECIMAL_UNITS.iter().find(|(_, factor)| self.0 >= *factor) else {
            return write!(f, "{}B", self.0);
        };
        let (whole, rest) = (self.0 / factor, self.0 % factor);
        let width = factor.ilog10() as usize;
        let fraction = format!("{rest:0width$}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{whole}{name}"),
            fraction => write!(f, "{whole}.{fraction}{name}"),
        }
    }
}

/// A span of time. Written `500ms`, `30s`, `5m`, `24h`, `7d` or put together, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(Duration);

const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl HumanDuration {
    /// The span of `seconds` seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The span of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// As the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError::Duration(text.to_owned());
        let mut rest = text.trim();
        let mut total_ms: u64 = 0;
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let factor = TIME_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(error)?
                .1;
            let number: u64 = number.parse().map_err(|_| error())?;
            let ms = number.checked_mul(factor).ok_or_else(error)?;
            total_ms = total_ms.checked_add(ms).ok_or_else(error)?;
            rest = tail;
        }
        Ok(Self(Duration::from_millis(total_ms)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms == 0 {
            return f.write_str("0s");
        }
        let exact = TIME_UNITS
            .iter()
            .find(|(_, factor)| ms.is_multiple_of(u128::from(*factor)));
        let (unit, factor) = exact.unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", ms / u128::from(*factor))
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"500MB\" or a number of bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
        u64::try_from(bytes)
            .map(ByteSize)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"30s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DurationVisitor)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_or_binary_and_exact() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("500MB", 500_000_000),
            ("500 mb", 500_000_000),
            ("64MiB", 64 << 20),
            ("1.5GB", 1_500_000_000),
            ("0.5KiB", 512),
            ("2TB", 2_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1",
            "1e9",
            "1.GB",
            ".5GB",
            "1.5",
            "1..5GB",
            "5XB",
            "99999999PB",
            "1.0001KB",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_decimal_and_read_back() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1KB"),
            (1 << 30, "1.073741824GB"),
            (1_270_000_000, "1.27GB"),
            (u64::MAX, "18446.744073709551615PB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
        }
    }

    #[test]
    fn durations_read_and_print() {
        for (text, ms, printed) in [
            ("30s", 30_000, "30s"),
            ("5m", 300_000, "5m"),
            ("24h", 86_400_000, "1d"),
            ("1h30m", 5_400_000, "90m"),
            ("500ms", 500, "500ms"),
            ("0s", 0, "0s"),
        ] {
            let duration: HumanDuration = text.parse().unwrap();
            assert_eq!(duration.duration().as_millis(), ms, "{text}");
            assert_eq!(duration.to_string(), printed);
        }
        for text in ["", "30", "s", "-5s", "5 s", "1.5h", "5x", "999999999999999999d"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }
}
