//! The MySQL patterns of `date_format` and `date_parse`, as Trino reads them.

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use datafusion::error::{DataFusionError, Result};

use crate::semantics::error::{bad_argument, not_supported};
use crate::semantics::plain_year;

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
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// One item of a pattern: a code after `%`, or a literal character.
enum Item {
    Code(char),
    Literal(char),
}

fn items(pattern: &str) -> Result<Vec<Item>> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(ch) = chars.next() {
        if ch != '%' {
            out.push(Item::Literal(ch));
            continue;
        }
        match chars.next() {
            // A percent sign at the end stands for itself.
            None => out.push(Item::Literal('%')),
            Some(code @ ('D' | 'U' | 'u' | 'V' | 'w' | 'X')) => {
                return Err(bad_argument(format!(
                    "%{code} not supported in date format string"
                )));
            }
            Some(
                code @ ('a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'H' | 'h' | 'I' | 'i' | 'j' | 'k' | 'l' | 'M'
                | 'm' | 'p' | 'r' | 'S' | 's' | 'T' | 'v' | 'W' | 'x' | 'Y' | 'y'),
            ) => out.push(Item::Code(code)),
            Some(other) => out.push(Item::Literal(other)),
        }
    }
    Ok(out)
}

/// Formats a time.
pub(super) fn format_pattern(time: NaiveDateTime, pattern: &str) -> Result<String> {
    use std::fmt::Write;
    let mut out = String::with_capacity(pattern.len() * 2);
    for item in items(pattern)? {
        let code = match item {
            Item::Literal(ch) => {
                out.push(ch);
                continue;
            }
            Item::Code(code) => code,
        };
        let month = MONTHS[time.month0() as usize % 12];
        let weekday = WEEKDAYS[time.weekday().num_days_from_monday() as usize % 7];
        let (_, hour12) = time.hour12();
        let half = if time.hour() < 12 { "AM" } else { "PM" };
        let clock = (time.hour(), time.minute(), time.second());
        let written = match code {
            'a' => write!(out, "{}", &weekday[..3]),
            'b' => write!(out, "{}", &month[..3]),
            'c' => write!(out, "{}", time.month()),
            'd' => write!(out, "{:02}", time.day()),
            'e' => write!(out, "{}", time.day()),
            'f' => write!(out, "{:06}", time.nanosecond() / 1_000_000 * 1_000),
            'H' => write!(out, "{:02}", clock.0),
            'h' | 'I' => write!(out, "{hour12:02}"),
            'i' => write!(out, "{:02}", clock.1),
            'j' => write!(out, "{:03}", time.ordinal()),
            'k' => write!(out, "{}", clock.0),
            'l' => write!(out, "{hour12}"),
            'M' => write!(out, "{month}"),
            'm' => write!(out, "{:02}", time.month()),
            'p' => write!(out, "{half}"),
            'r' => write!(out, "{hour12:02}:{:02}:{:02} {half}", clock.1, clock.2),
            'S' | 's' => write!(out, "{:02}", clock.2),
            'T' => write!(out, "{:02}:{:02}:{:02}", clock.0, clock.1, clock.2),
            'v' => write!(out, "{:02}", time.iso_week().week()),
            'W' => write!(out, "{weekday}"),
            'x' => write!(out, "{}", plain_year(time.iso_week().year())),
            'Y' => write!(out, "{}", plain_year(time.year())),
            _ => write!(out, "{:02}", time.year().unsigned_abs() % 100),
        };
        written.map_err(|_| DataFusionError::Internal("formatting into a string failed".into()))?;
    }
    Ok(out)
}

#[derive(Default)]
struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    ordinal: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    pm: Option<bool>,
    minute: u32,
    second: u32,
    millis: u32,
}

struct Scan<'a> {
    rest: &'a str,
}

impl Scan<'_> {
    fn number(&mut self, max_digits: usize) -> Option<u32> {
        let count = self
            .rest
            .bytes()
            .take(max_digits)
            .take_while(u8::is_ascii_digit)
            .count();
        if count == 0 {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().ok()
    }

    fn within(&mut self, max_digits: usize, low: u32, high: u32) -> Option<u32> {
        self.number(max_digits).filter(|n| (low..=high).contains(n))
    }

    fn literal(&mut self, ch: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(ch)?;
        Some(())
    }

    /// The longest of full and short names, in any case.
    fn name(&mut self, names: &[&str]) -> Option<usize> {
        let starts = |name: &str| {
            self.rest
                .get(..name.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(name))
        };
        let full = names.iter().position(|n| starts(n)).map(|i| (i, names[i].len()));
        let short = names.iter().position(|n| starts(&n[..3])).map(|i| (i, 3));
        let (i, length) = full.or(short)?;
        self.rest = &self.rest[length..];
        Some(i)
    }

    fn half(&mut self) -> Option<bool> {
        let head = self.rest.get(..2)?.to_ascii_uppercase();
        let pm = match head.as_str() {
            "AM" => false,
            "PM" => true,
            _ => return None,
        };
        self.rest = &self.rest[2..];
        Some(pm)
    }

    fn fraction_millis(&mut self) -> Option<u32> {
        let count = self.rest.bytes().take(9).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let padded = format!("{digits:0<3}");
        if count == 0 {
            None
        } else {
            padded[..3].parse().ok()
        }
    }

    fn year(&mut self) -> Option<i32> {
        let negative = self.rest.starts_with('-');
        if let Some(rest) = self.rest.strip_prefix(['-', '+']) {
            self.rest = rest;
        }
        // Four digits at most: others may follow without a separator.
        let year = i32::try_from(self.number(4)?).ok()?;
        Some(if negative { -year } else { year })
    }

    fn two_digit_year(&mut self) -> Option<i32> {
        let count = self.rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if count != 2 {
            return None;
        }
        let year = i32::try_from(self.number(2)?).ok()?;
        Some(if year >= 70 { 1900 + year } else { 2000 + year })
    }

    fn code(&mut self, code: char, f: &mut Fields) -> Option<()> {
        match code {
            'Y' => f.year = Some(self.year()?),
            'y' => f.year = Some(self.two_digit_year()?),
            'm' | 'c' => f.month = Some(self.within(2, 1, 12)?),
            'M' | 'b' => f.month = Some(u32::try_from(self.name(&MONTHS)?).ok()? + 1),
            'd' | 'e' => f.day = Some(self.within(2, 1, 31)?),
            'j' => f.ordinal = Some(self.within(3, 1, 366)?),
            'H' | 'k' => f.hour = Some(self.within(2, 0, 23)?),
            'h' | 'I' | 'l' => f.hour12 = Some(self.within(2, 1, 12)?),
            'i' => f.minute = self.within(2, 0, 59)?,
            'S' | 's' => f.second = self.within(2, 0, 59)?,
            'f' => f.millis = self.fraction_millis()?,
            'p' => f.pm = Some(self.half()?),
            'T' => {
                for (i, part) in "Hi:S".chars().filter(|c| *c != ':').enumerate() {
                    if i > 0 {
                        self.literal(':')?;
                    }
                    self.code(part, f)?;
                }
            }
            'r' => {
                self.code('h', f)?;
                self.literal(':')?;
                self.code('i', f)?;
                self.literal(':')?;
                self.code('S', f)?;
                self.literal(' ')?;
                self.code('p', f)?;
            }
            _ => return None,
        }
        Some(())
    }
}

/// Parses a text; the whole of it has to match.
pub(super) fn parse_pattern(text: &str, pattern: &str) -> Result<NaiveDateTime> {
    let invalid = || bad_argument(format!("Invalid format: \"{text}\" for pattern \"{pattern}\""));
    let mut scan = Scan { rest: text };
    let mut fields = Fields::default();
    for item in items(pattern)? {
        match item {
            Item::Literal(ch) => scan.literal(ch).ok_or_else(invalid)?,
            Item::Code(code @ ('a' | 'W' | 'v' | 'x')) => {
                return Err(not_supported(&format!("date_parse with %{code}"), "date_parse"));
            }
            Item::Code(code) => scan.code(code, &mut fields).ok_or_else(invalid)?,
        }
    }
    if !scan.rest.is_empty() {
        return Err(invalid());
    }
    resolve(&fields).ok_or_else(invalid)
}

fn resolve(f: &Fields) -> Option<NaiveDateTime> {
    // Joda: without a year, a month or day belongs to 2000, a bare time to 1970.
    let dated = f.month.is_some() || f.day.is_some() || f.ordinal.is_some();
    let year = f.year.unwrap_or(if dated { 2000 } else { 1970 });
    let date = match f.ordinal {
        Some(ordinal) if f.month.is_none() && f.day.is_none() => NaiveDate::from_yo_opt(year, ordinal)?,
        Some(_) => return None,
        None => NaiveDate::from_ymd_opt(year, f.month.unwrap_or(1), f.day.unwrap_or(1))?,
    };
    let hour = match (f.hour, f.hour12) {
        (Some(hour), None) => hour,
        (None, Some(hour)) => hour % 12 + if f.pm.unwrap_or(false) { 12 } else { 0 },
        (None, None) => {
            if f.pm.unwrap_or(false) {
                12
            } else {
                0
            }
        }
        (Some(_), Some(_)) => return None,
    };
    date.and_hms_milli_opt(hour, f.minute, f.second, f.millis)
}
