//! `date` projection: bounds (literals and NOW expressions), interval units, and the times they generate.
//!
//! Rules: bounds are printed with the format and read back (so they are truncated to its precision), every
//! time is the one before plus the interval, the end is included, times that print alike count once.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Months, NaiveDateTime, TimeDelta, Timelike, Utc};

use super::date_format::{DateFormat, Precision};

/// Grammar of relative bounds, for error texts.
pub(super) const NOW_GRAMMAR: &str = "NOW, NOW+n UNIT or NOW-n UNIT (upper case; UNIT is YEARS, MONTHS, WEEKS, DAYS, HOURS, MINUTES or SECONDS)";

/// Names of the interval units, for error texts.
pub(super) const UNITS: &str = "YEARS, MONTHS, WEEKS, DAYS, HOURS, MINUTES, SECONDS, MILLIS";

/// Unit of `interval.unit` and of NOW offsets (those know no MILLIS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Years,
    Months,
    Weeks,
    Days,
    Hours,
    Minutes,
    Seconds,
    Millis,
}

impl Unit {
    /// Reads `interval.unit`: case-insensitive, `MILLISECONDS` is the older spelling of `MILLIS`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_uppercase().as_str() {
            "YEARS" => Self::Years,
            "MONTHS" => Self::Months,
            "WEEKS" => Self::Weeks,
            "DAYS" => Self::Days,
            "HOURS" => Self::Hours,
            "MINUTES" => Self::Minutes,
            "SECONDS" => Self::Seconds,
            "MILLIS" | "MILLISECONDS" => Self::Millis,
            _ => return None,
        })
    }

    /// The unit's name as properties spell it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Years => "YEARS",
            Self::Months => "MONTHS",
            Self::Weeks => "WEEKS",
            Self::Days => "DAYS",
            Self::Hours => "HOURS",
            Self::Minutes => "MINUTES",
            Self::Seconds => "SECONDS",
            Self::Millis => "MILLIS",
        }
    }

    /// The unit of a format that names none: days or coarser only.
    pub(super) fn default_for(precision: Precision) -> Option<Self> {
        match precision {
            Precision::Year => Some(Self::Years),
            Precision::Month => Some(Self::Months),
            Precision::Day => Some(Self::Days),
            _ => None,
        }
    }

    fn milliseconds(self) -> Option<i64> {
        Some(match self {
            Self::Years | Self::Months => return None,
            Self::Weeks => 604_800_000,
            Self::Days => 86_400_000,
            Self::Hours => 3_600_000,
            Self::Minutes => 60_000,
            Self::Seconds => 1_000,
            Self::Millis => 1,
        })
    }
}

/// `time + count * unit` in calendar arithmetic (months and years clamp the day of the month).
fn shift(time: NaiveDateTime, count: i64, unit: Unit) -> Option<NaiveDateTime> {
    let months = match unit {
        Unit::Months => Some(count),
        Unit::Years => Some(count.checked_mul(12)?),
        _ => None,
    };
    if let Some(months) = months {
        let span = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        return if months < 0 {
            time.checked_sub_months(span)
        } else {
            time.checked_add_months(span)
        };
    }
    let span = TimeDelta::try_milliseconds(count.checked_mul(unit.milliseconds()?)?)?;
    time.checked_add_signed(span)
}

/// One end of a date range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateBound {
    /// A text in the column's format.
    Literal(NaiveDateTime),
    /// `NOW`, shifted.
    Now { offset: i64, unit: Unit },
}

impl DateBound {
    /// Reads a bound: a NOW expression when the whole text is one, else a literal in `format`.
    pub(super) fn parse(text: &str, format: &DateFormat) -> Result<Self, String> {
        if let Some((offset, unit)) = now_expression(text) {
            let offset = offset.ok_or_else(|| format!("'{text}' has an offset beyond 64 bits"))?;
            return Ok(Self::Now { offset, unit });
        }
        format.read(text).map(Self::Literal)
    }

    /// The bound at `now`, truncated to the precision of `format`.
    fn at(self, now: DateTime<Utc>, format: &DateFormat) -> Result<NaiveDateTime, String> {
        match self {
            Self::Literal(time) => Ok(time),
            Self::Now { offset, unit } => {
                let whole = now.naive_utc().with_nanosecond(0).unwrap_or(now.naive_utc());
                let shifted = shift(whole, offset, unit)
                    .filter(|time| (1..=9999).contains(&time.year()))
                    .ok_or_else(|| {
                        format!(
                            "NOW{offset:+}{} leaves the years 1 to 9999; use a smaller offset",
                            unit.as_str()
                        )
                    })?;
                format.read(&format.print(shifted))
            }
        }
    }
}

/// `\s*NOW\s*(([+-])\s*([0-9]+)\s*UNIT\s*)?`; the offset is `None` where it passes 64 bits.
fn now_expression(text: &str) -> Option<(Option<i64>, Unit)> {
    // The grammar's `\s`, which is ASCII only.
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
    let rest = text
        .trim_matches(space)
        .strip_prefix("NOW")?
        .trim_start_matches(space);
    if rest.is_empty() {
        return Some((Some(0), Unit::Seconds));
    }
    let (sign, rest) = if let Some(rest) = rest.strip_prefix('+') {
        (1, rest)
    } else {
        (-1, rest.strip_prefix('-')?)
    };
    let rest = rest.trim_start_matches(space);
    let width = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = rest.split_at(width);
    if digits.is_empty() {
        return None;
    }
    let unit = match rest.trim_start_matches(space) {
        "YEAR" | "YEARS" => Unit::Years,
        "MONTH" | "MONTHS" => Unit::Months,
        "WEEK" | "WEEKS" => Unit::Weeks,
        "DAY" | "DAYS" => Unit::Days,
        "HOUR" | "HOURS" => Unit::Hours,
        "MINUTE" | "MINUTES" => Unit::Minutes,
        "SECOND" | "SECONDS" => Unit::Seconds,
        _ => return None,
    };
    Some((digits.parse::<i64>().ok().map(|n| sign * n), unit))
}

/// A whole `date` projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DateRule {
    /// `range` as written.
    pub(super) range: String,
    pub(super) start: DateBound,
    pub(super) end: DateBound,
    pub(super) format: Arc<DateFormat>,
    /// At least 1.
    pub(super) interval: i64,
    pub(super) unit: Unit,
}

impl DateRule {
    /// First and last bound at `now`; the first may lie after the last where NOW is involved.
    pub(super) fn bounds(&self, now: DateTime<Utc>) -> Result<(NaiveDateTime, NaiveDateTime), String> {
        Ok((self.start.at(now, &self.format)?, self.end.at(now, &self.format)?))
    }

    /// Refuses a range that can never hold anything, and NOW offsets that leave the calendar.
    pub(super) fn check_order(&self) -> Result<(), String> {
        let relative = |bound| matches!(bound, DateBound::Now { .. });
        // With one NOW, which comes first depends on the day of the query; an empty range then makes a notice.
        let mixed = relative(self.start) != relative(self.end);
        // Months and days compare differently over the year: both a short and a long month must be reversed.
        let probes = [(2001, 3, 31), (2001, 8, 31)];
        let mut reversed = true;
        for (year, month, day) in probes {
            let date = chrono::NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
            let (start, end) = self.bounds(date.and_time(chrono::NaiveTime::MIN).and_utc())?;
            reversed &= start > end;
        }
        if reversed && !mixed {
            Err("the first lies after the second".to_owned())
        } else {
            Ok(())
        }
    }

    /// The distinct times between the bounds, in order, each truncated to the format's precision.
    pub(super) fn times(&self, start: NaiveDateTime, end: NaiveDateTime) -> Times {
        if start > end {
            return Times::Listed(Vec::new());
        }
        let step = self
            .unit
            .milliseconds()
            .map(|ms| i128::from(ms) * 1_000_000 * i128::from(self.interval));
        match (step, self.format.precision().nanoseconds()) {
            (Some(step), Some(granule)) => Times::even(nanoseconds(start), nanoseconds(end), step, granule),
            (Some(step), None) => Times::Listed(self.jump(start, end, step)),
            (None, _) => Times::Listed(self.walk(start, end)),
        }
    }

    /// Months and years: adds the interval again and again (month ends drift as they do in Athena).
    fn walk(&self, start: NaiveDateTime, end: NaiveDateTime) -> Vec<NaiveDateTime> {
        let mut out: Vec<NaiveDateTime> = Vec::new();
        let mut next = Some(start);
        while let Some(time) = next.filter(|time| *time <= end) {
            let shown = self.format.truncate(time);
            if out.last() != Some(&shown) {
                out.push(shown);
            }
            next = shift(time, self.interval, self.unit);
        }
        out
    }

    /// A unit of fixed length under a format of months or years: leaps over the steps that print alike.
    fn jump(&self, start: NaiveDateTime, end: NaiveDateTime, step: i128) -> Vec<NaiveDateTime> {
        let (first, last) = (nanoseconds(start), nanoseconds(end));
        let months = Months::new(if self.format.precision() == Precision::Year {
            12
        } else {
            1
        });
        let mut out = Vec::new();
        let mut at = first;
        while at <= last {
            let shown = self.format.truncate(instant(at));
            out.push(shown);
            let Some(following) = shown.checked_add_months(months) else {
                break;
            };
            let distance = nanoseconds(following) - first;
            at = first + (distance + step - 1) / step * step;
        }
        out
    }
}

/// The times of one column in increasing order, without repeats, reachable by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Times {
    /// Time `k` is `start + k * step` rounded down to `granule`; nanoseconds since the epoch.
    Even {
        start: i128,
        step: i128,
        granule: i128,
        count: u128,
    },
    /// Months and years, at most some 120,000.
    Listed(Vec<NaiveDateTime>),
}

impl Times {
    /// `start` is a multiple of `granule` (it was printed and read back), `end` is not before it.
    fn even(start: i128, end: i128, step: i128, granule: i128) -> Self {
        let steps = (end - start) / step;
        // Steps shorter than what is printed hit every printable time up to the last one, some of them twice.
        let (step, last) = if step < granule {
            (granule, steps * step / granule)
        } else {
            (step, steps)
        };
        Self::Even {
            start,
            step,
            granule,
            count: last.unsigned_abs() + 1,
        }
    }

    /// How many.
    pub(super) fn len(&self) -> u128 {
        match self {
            Self::Even { count, .. } => *count,
            Self::Listed(times) => times.len() as u128,
        }
    }

    /// The time at `index`, which is below `len`.
    pub(super) fn at(&self, index: u128) -> NaiveDateTime {
        match self {
            Self::Even {
                start, step, granule, ..
            } => {
                let steps = i128::try_from(index).unwrap_or(i128::MAX);
                instant(
                    start
                        .saturating_add(steps.saturating_mul(*step))
                        .div_euclid(*granule)
                        * granule,
                )
            }
            Self::Listed(times) => usize::try_from(index)
                .ok()
                .and_then(|i| times.get(i))
                .copied()
                .unwrap_or_default(),
        }
    }
}

/// Nanoseconds since the epoch.
pub(super) fn nanoseconds(time: NaiveDateTime) -> i128 {
    let utc = time.and_utc();
    i128::from(utc.timestamp()) * 1_000_000_000 + i128::from(utc.timestamp_subsec_nanos())
}

fn instant(nanoseconds: i128) -> NaiveDateTime {
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or_default();
    let rest = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or_default();
    DateTime::from_timestamp(seconds, rest)
        .unwrap_or_default()
        .naive_utc()
}
