//! The subset of `java.time.format.DateTimeFormatter` patterns that date projection accepts: parse and print.
//!
//! Only patterns whose fields run from the year down without a gap are accepted, so that a printed text
//! stands for exactly one truncated time. English month names, UTC, proleptic Gregorian years 1 to 9999.

use std::fmt::Write as _;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

pub(super) use super::date_pattern::Precision;
use super::date_pattern::{
    Field, Piece, fraction_unit, is_ordered, pieces, precision, refuse_ambiguous_digits,
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A pattern that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DateFormat {
    pattern: String,
    pieces: Vec<Piece>,
    precision: Precision,
    ordered: bool,
}

impl DateFormat {
    /// Reads a pattern; the error says what is wrong and what would be right.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let pieces = pieces(pattern)?;
        refuse_ambiguous_digits(&pieces)?;
        let precision = precision(&pieces)?;
        let ordered = is_ordered(&pieces);
        Ok(Self {
            pattern: pattern.to_owned(),
            pieces,
            precision,
            ordered,
        })
    }

    /// The pattern as written.
    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Its finest field.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether later times print as texts that sort later: fixed width, most significant field first.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// Drops what the pattern does not print.
    pub(super) fn truncate(&self, time: NaiveDateTime) -> NaiveDateTime {
        let date = time.date();
        let date = match self.precision {
            Precision::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1).unwrap_or(date),
            Precision::Month => date.with_day(1).unwrap_or(date),
            _ => date,
        };
        let (h, m, s, n) = (time.hour(), time.minute(), time.second(), time.nanosecond());
        let clock = match self.precision {
            Precision::Year | Precision::Month | Precision::Day => NaiveTime::MIN,
            Precision::Hour => NaiveTime::from_hms_opt(h, 0, 0).unwrap_or(NaiveTime::MIN),
            Precision::Minute => NaiveTime::from_hms_opt(h, m, 0).unwrap_or(NaiveTime::MIN),
            Precision::Second => NaiveTime::from_hms_opt(h, m, s).unwrap_or(NaiveTime::MIN),
            Precision::Fraction(digits) => {
                let unit = fraction_unit(digits);
                NaiveTime::from_hms_nano_opt(h, m, s, n / unit * unit).unwrap_or(NaiveTime::MIN)
            }
        };
        date.and_time(clock)
    }

    /// Prints `time`.
    pub(super) fn print(&self, time: NaiveDateTime) -> String {
        let mut out = String::with_capacity(self.pattern.len() + 4);
        for piece in &self.pieces {
            // Writing into a String cannot fail.
            let _ = match piece {
                Piece::Literal(text) => out.write_str(text),
                Piece::Number { field, min, .. } => write!(out, "{:0min$}", number(*field, time)),
                Piece::ShortYear => write!(out, "{:02}", time.year().rem_euclid(100)),
                Piece::MonthName { long } => out.write_str(month_name(time.month0(), *long)),
                Piece::HalfDay => out.write_str(if time.hour() < 12 { "AM" } else { "PM" }),
            };
        }
        out
    }

    /// Reads a text this pattern printed; missing fields take their smallest value.
    pub(super) fn read(&self, text: &str) -> Result<NaiveDateTime, String> {
        let mut fields = Fields::default();
        let mut rest = text;
        for (at, piece) in self.pieces.iter().enumerate() {
            let position = text.len() - rest.len();
            let fail = |expected: &str| format!("expected {expected} at position {}", position + 1);
            rest = match piece {
                Piece::Literal(literal) => rest
                    .strip_prefix(literal.as_str())
                    .ok_or_else(|| fail(&format!("'{literal}'")))?,
                Piece::Number { field, min, max } => {
                    let width = digits_to_take(rest, *min, *max, &self.pieces[at + 1..])
                        .ok_or_else(|| fail(&format!("{min} or more digits")))?;
                    let (digits, after) = rest.split_at(width);
                    fields.set(*field, digits.parse().map_err(|_| fail("a number"))?)?;
                    after
                }
                Piece::ShortYear => {
                    let width =
                        digits_to_take(rest, 2, 2, &[]).ok_or_else(|| fail("the year's last two digits"))?;
                    let (digits, after) = rest.split_at(width);
                    let year: u32 = digits.parse().map_err(|_| fail("a number"))?;
                    fields.set(Field::Year, 2000 + year)?;
                    after
                }
                Piece::MonthName { long } => {
                    let found = (0..12_u32)
                        .find_map(|month| Some((month, rest.strip_prefix(month_name(month, *long))?)));
                    let (month, after) = found.ok_or_else(|| {
                        fail(if *long {
                            "a month such as January"
                        } else {
                            "a month such as Jan"
                        })
                    })?;
                    fields.set(Field::Month, month + 1)?;
                    after
                }
                Piece::HalfDay => {
                    let pm = rest.strip_prefix("PM");
                    let after = pm
                        .or_else(|| rest.strip_prefix("AM"))
                        .ok_or_else(|| fail("AM or PM"))?;
                    agree(&mut fields.pm, pm.is_some())?;
                    after
                }
            };
        }
        if !rest.is_empty() {
            return Err(format!(
                "'{rest}' is left over after position {}",
                text.len() - rest.len()
            ));
        }
        fields.resolve()
    }
}

/// How many digits a number takes; a number of open width leaves the fixed-width ones behind it their digits.
fn digits_to_take(rest: &str, min: usize, max: usize, behind: &[Piece]) -> Option<usize> {
    let run = rest.bytes().take_while(u8::is_ascii_digit).count();
    let width = if min == max {
        min
    } else {
        let reserved: usize = behind.iter().map_while(Piece::fixed_digits).sum();
        run.saturating_sub(reserved).min(max)
    };
    (width >= min && width <= run).then_some(width)
}

fn number(field: Field, time: NaiveDateTime) -> u32 {
    match field {
        Field::Year => time.year().unsigned_abs(),
        Field::Month => time.month(),
        Field::Day => time.day(),
        Field::YearDay => time.ordinal(),
        Field::Hour => time.hour(),
        Field::HalfDayHour => time.hour12().1,
        Field::Minute => time.minute(),
        Field::Second => time.second(),
        Field::Fraction(digits) => time.nanosecond() / fraction_unit(digits),
        Field::Nano => time.nanosecond(),
    }
}

fn month_name(month0: u32, long: bool) -> &'static str {
    let name = MONTHS.get(month0 as usize).copied().unwrap_or_default();
    if long { name } else { name.get(..3).unwrap_or(name) }
}

/// Fields read so far; a field that occurs twice must say the same twice.
#[derive(Default)]
struct Fields {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    year_day: Option<u32>,
    hour: Option<u32>,
    half_day_hour: Option<u32>,
    pm: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    nano: Option<u32>,
    /// The finest fraction read and its unit: a coarser one must be its prefix.
    fraction_unit: Option<u32>,
}

fn agree<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    match slot {
        Some(before) if *before != value => Err("the same field occurs twice with two values".to_owned()),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

impl Fields {
    fn set(&mut self, field: Field, value: u32) -> Result<(), String> {
        let slot = match field {
            Field::Year => &mut self.year,
            Field::Month => &mut self.month,
            Field::Day => &mut self.day,
            Field::YearDay => &mut self.year_day,
            Field::Hour => &mut self.hour,
            Field::HalfDayHour => &mut self.half_day_hour,
            Field::Minute => &mut self.minute,
            Field::Second => &mut self.second,
            Field::Fraction(digits) => return self.set_fraction(value, fraction_unit(digits)),
            Field::Nano => return self.set_fraction(value, 1),
        };
        agree(slot, value)
    }

    fn set_fraction(&mut self, value: u32, unit: u32) -> Result<(), String> {
        let nano = value.saturating_mul(unit);
        if let (Some(before), Some(before_unit)) = (self.nano, self.fraction_unit) {
            let coarse = unit.max(before_unit);
            if before / coarse != nano / coarse {
                return Err("the same field occurs twice with two values".to_owned());
            }
            if before_unit <= unit {
                return Ok(());
            }
        }
        self.nano = Some(nano);
        self.fraction_unit = Some(unit);
        Ok(())
    }

    fn resolve(&self) -> Result<NaiveDateTime, String> {
        let year = self.year.unwrap_or_default();
        let signed = i32::try_from(year).unwrap_or(i32::MAX);
        if !(1..=9999).contains(&signed) {
            return Err(format!("year {year} is outside 1 to 9999"));
        }
        let date = if let Some(year_day) = self.year_day {
            let date = NaiveDate::from_yo_opt(signed, year_day)
                .ok_or_else(|| format!("{year} has no day {year_day}"))?;
            if self.month.is_some_and(|m| m != date.month()) || self.day.is_some_and(|d| d != date.day()) {
                return Err("day of year and day of month are two different days".to_owned());
            }
            date
        } else {
            let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
            NaiveDate::from_ymd_opt(signed, month, day)
                .ok_or_else(|| format!("{year}-{month:02}-{day:02} is not a date"))?
        };
        let half = match (self.half_day_hour, self.pm) {
            (Some(hour @ 1..=12), Some(pm)) => Some(hour % 12 + if pm { 12 } else { 0 }),
            (Some(hour), _) => return Err(format!("hour {hour} is outside 1 to 12")),
            _ => None,
        };
        if let (Some(a), Some(b)) = (half, self.hour)
            && a != b
        {
            return Err("the two hours differ".to_owned());
        }
        let (hour, minute) = (self.hour.or(half).unwrap_or(0), self.minute.unwrap_or(0));
        let second = self.second.unwrap_or(0);
        NaiveTime::from_hms_nano_opt(hour, minute, second, self.nano.unwrap_or(0))
            .map(|time| date.and_time(time))
            .ok_or_else(|| format!("{hour:02}:{minute:02}:{second:02} is not a time of day"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_outside_the_subset_are_refused_by_name() {
        let cases = [
            ("YYYY-MM-dd", "uses `YYYY`, the week-based year"),
            ("yyyy-LL", "uses `LL`; write `MM`"),
            ("yyyy-MM-dd'T'HH:mmXXX", "time zone letter `X`"),
            ("yyyy-ww", "uses the letter `w`"),
            ("yyyy-MM-dd E", "uses the letter `E`"),
            ("yyyy-MM-ddTHH", "uses the letter `T`, which is not supported"),
            ("yyyy-MMMMM", "has `M` 5 times"),
            ("yyyy-MM-ddd", "has `d` 3 times"),
            ("yyyy-MM[-dd]", "reserved character `[`"),
            ("yyyy'x", "opening '"),
            ("MM-dd", "has a month (MM) but not a year (yyyy)"),
            ("yyyy-dd", "has a day (dd) but not a month (MM)"),
            ("yyyy-MM HH", "has an hour (HH) but not a day (dd)"),
            ("yyyy-MM-dd hh", "needs `h` and `a` together"),
            ("yyyyMd", "next to each other"),
            ("yyyy-M'1'", "literal digit"),
            ("", "has no year"),
        ];
        for (pattern, expected) in cases {
            let error = DateFormat::parse(pattern).unwrap_err();
            assert!(error.contains(expected), "{pattern}: {error}");
        }
    }

    #[test]
    fn texts_are_read_as_strictly_as_they_are_printed() {
        let read = |pattern: &str, text: &str| {
            DateFormat::parse(pattern)
                .unwrap()
                .read(text)
                .map(|t| t.to_string())
        };
        assert_eq!(read("yyyyMMdd", "20240229").as_deref(), Ok("2024-02-29 00:00:00"));
        assert_eq!(read("d.M.yy", "1.12.07").as_deref(), Ok("2007-12-01 00:00:00"));
        assert_eq!(
            read("yyyy-MM-dd h a", "2024-02-29 12 AM").as_deref(),
            Ok("2024-02-29 00:00:00")
        );
        assert_eq!(
            read("yyyy/yyyy-MM", "2024/2024-05").as_deref(),
            Ok("2024-05-01 00:00:00")
        );
        for (pattern, text) in [
            ("yyyy-MM-dd", "2023-02-29"),
            ("yyyy-MM-dd", "2023-2-28"),
            ("yyyy-MM-dd", "2023-02-28 "),
            ("yyyy-MM-dd", "0000-01-01"),
            ("yyyy-DDD", "2023-366"),
            ("yyyy/yyyy-MM", "2024/2023-05"),
            ("yyyy-MM-dd HH", "2024-01-01 24"),
            ("yyyy-MM-dd h a", "2024-01-01 13 PM"),
            ("MMM yyyy", "JAN 2024"),
        ] {
            assert!(read(pattern, text).is_err(), "{pattern} {text}");
        }
    }
}
