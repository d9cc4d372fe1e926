//! Sizes as people write and read them: `12MB`, `1GiB` in; always decimal units out.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. `MB` is 10^6, `MiB` is 2^20; a bare number is bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

/// A text that is no size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a size such as 500kB, 12MB or 1.5GiB")]
pub struct SizeError;

const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim().to_ascii_lowercase();
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(SizeError)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || number.ends_with('.') || fraction.len() > 12 || fraction.contains('.') {
            return Err(SizeError);
        }
        let whole: u64 = whole.parse().map_err(|_| SizeError)?;
        let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| SizeError)?);
        let fraction: u128 = if fraction.is_empty() {
            0
        } else {
            fraction.parse().map_err(|_| SizeError)?
        };
        // A fraction of a byte is dropped: the size then is the largest whole one below.
        let bytes = u128::from(whole) * u128::from(*unit) + fraction * u128::from(*unit) / scale;
        u64::try_from(bytes).map(Self).map_err(|_| SizeError)
    }
}

impl fmt::Display for ByteSize {
    /// Two digits after the point, as in `12.40 MB`; below 1 kB whole bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = u128::from(self.0);
        if bytes < 1_000 {
            return write!(f, "{bytes} {}", if bytes == 1 { "byte" } else { "bytes" });
        }
        let mut unit = 1_000_u128;
        for name in ["kB", "MB", "GB", "TB", "PB", "EB"] {
            let hundredths = (bytes * 100 + unit / 2) / unit;
            // Rounding may reach the next unit: 999,999 bytes are 1.00 MB, not 1000.00 kB.
            if hundredths < 100_000 || name == "EB" {
                return write!(f, "{}.{:02} {name}", hundredths / 100, hundredths % 100);
            }
            unit *= 1_000;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_unit_families_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("12MB", 12_000_000),
            ("12 mb", 12_000_000),
            ("1.5GiB", 1_610_612_736),
            ("0.5kB", 500),
            ("1.9 B", 1),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1",
            "1.",
            ".5MB",
            "1..5",
            "12 parsecs",
            "99999999TB",
            "1e3",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn sizes_are_written_in_decimal_units() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.00 kB"),
            (999_994, "999.99 kB"),
            (999_999, "1.00 MB"),
            (12_400_000, "12.40 MB"),
            (1_270_000_000, "1.27 GB"),
            (u64::MAX, "18.45 EB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
