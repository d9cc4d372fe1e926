//! The subset of `java.time.format.DateTimeFormatter` patterns that date projection accepts: parse and print.
//!
//! Only patterns whose fields run from the year down without a gap are accepted, so that a printed text
//! stands for exactly one truncated time. English month names, UTC, proleptic Gregorian years 1 to 9999.

use std::fmt::Write as _;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

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

/// Letters a pattern may use, for error texts.
const LETTERS: &str = "y u M d D H h a m s S n, and text in '...'";

/// The finest field of a pattern. Ordered from coarse to fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Digits of the second's fraction, 1 to 9.
    Fraction(u8),
}

impl Precision {
    /// Length of one step of this precision where it is the same everywhere (months and years are not).
    pub(super) fn nanoseconds(self) -> Option<i128> {
        const SECOND: i128 = 1_000_000_000;
        match self {
            Self::Year | Self::Month => None,
            Self::Day => Some(86_400 * SECOND),
            Self::Hour => Some(3_600 * SECOND),
            Self::Minute => Some(60 * SECOND),
            Self::Second => Some(SECOND),
            Self::Fraction(digits) => Some(10_i128.pow(9 - u32::from(digits.min(9)))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    Day,
    YearDay,
    Hour,
    /// `h`: 1 to 12.
    HalfDayHour,
    Minute,
    Second,
    /// `S...`: that many leading digits of the second's fraction.
    Fraction(u8),
    /// `n`: nanosecond of the second.
    Nano,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// At least `min` digits (zero padded), at most `max`.
    Number {
        field: Field,
        min: usize,
        max: usize,
    },
    /// `yy`: last two digits of 2000 to 2099.
    ShortYear,
    /// `MMM` or `MMMM`.
    MonthName {
        long: bool,
    },
    /// `a`: AM or PM.
    HalfDay,
}

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
        let reserved: usize = behind
            .iter()
            .map_while(|piece| match piece {
                Piece::Number { min, max, .. } if min == max => Some(*min),
                Piece::ShortYear => Some(2),
                _ => None,
            })
            .sum();
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

/// Nanoseconds in the last of that many fraction digits.
fn fraction_unit(digits: u8) -> u32 {
    10_u32.pow(9 - u32::from(digits.min(9)))
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

fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut out: Vec<Piece> = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            let mut text = String::new();
            let mut closed = false;
            while let Some(c) = chars.next() {
                if c != '\'' {
                    text.push(c);
                } else if chars.next_if_eq(&'\'').is_some() {
                    text.push('\'');
                } else {
                    closed = true;
                    break;
                }
            }
            // `''` outside a quoted text is one quote; the loop above saw it as an empty quoted text.
            if !closed {
                return Err("has an opening ' without its closing '".to_owned());
            }
            push_literal(&mut out, if text.is_empty() { "'" } else { &text });
        } else if c.is_ascii_alphabetic() {
            let mut count = 1;
            while chars.next_if_eq(&c).is_some() {
                count += 1;
            }
            out.push(letter(c, count)?);
        } else if matches!(c, '[' | ']' | '{' | '}' | '#') {
            return Err(format!(
                "uses the reserved character `{c}`; to print it write '{c}' in quotes"
            ));
        } else {
            push_literal(&mut out, c.encode_utf8(&mut [0; 4]));
        }
    }
    Ok(out)
}

fn push_literal(out: &mut Vec<Piece>, text: &str) {
    if let Some(Piece::Literal(last)) = out.last_mut() {
        last.push_str(text);
    } else {
        out.push(Piece::Literal(text.to_owned()));
    }
}

fn letter(c: char, count: usize) -> Result<Piece, String> {
    let run = || c.to_string().repeat(count.min(32));
    let number = |field, min, max| Ok(Piece::Number { field, min, max });
    match (c, count) {
        ('y' | 'u', 2) => Ok(Piece::ShortYear),
        ('y' | 'u', 1 | 3) => number(Field::Year, count, 4),
        ('y' | 'u', 4..=9) => number(Field::Year, count, count),
        ('M', 1) => number(Field::Month, 1, 2),
        ('M', 2) => number(Field::Month, 2, 2),
        ('M', 3 | 4) => Ok(Piece::MonthName { long: count == 4 }),
        ('d', 1 | 2) => number(Field::Day, count, 2),
        ('D', 1 | 3) => number(Field::YearDay, count, 3),
        ('H', 1 | 2) => number(Field::Hour, count, 2),
        ('h', 1 | 2) => number(Field::HalfDayHour, count, 2),
        ('a', 1) => Ok(Piece::HalfDay),
        ('m', 1 | 2) => number(Field::Minute, count, 2),
        ('s', 1 | 2) => number(Field::Second, count, 2),
        ('S', 1..=9) => number(Field::Fraction(u8::try_from(count).unwrap_or(9)), count, count),
        ('n', 1..=9) => number(Field::Nano, count, 9),
        ('Y', _) => Err(format!(
            "uses `{}`, the week-based year, which differs from the calendar year around New Year; did you mean `{}`?",
            run(),
            "y".repeat(count.min(32))
        )),
        ('L', _) => Err(format!(
            "uses `{}`; write `{}`",
            run(),
            "M".repeat(count.clamp(1, 4))
        )),
        ('z' | 'Z' | 'x' | 'X' | 'V' | 'O' | 'v', _) => Err(format!(
            "uses the time zone letter `{c}`; projected dates are always UTC, leave it out"
        )),
        ('y' | 'u' | 'M' | 'd' | 'D' | 'H' | 'h' | 'a' | 'm' | 's' | 'S' | 'n', _) => Err(format!(
            "has `{c}` {count} times, which is not a known form; known letters are {LETTERS}"
        )),
        _ => Err(format!(
            "uses the letter `{c}`, which is not supported; known letters are {LETTERS}; to print a letter put it in quotes"
        )),
    }
}

/// A number of open width must not run into digits whose width is open too: the text could not be read back.
fn refuse_ambiguous_digits(pieces: &[Piece]) -> Result<(), String> {
    let open = |p: &Piece| matches!(p, Piece::Number { min, max, .. } if min != max);
    for (at, piece) in pieces.iter().enumerate() {
        if !open(piece) {
            continue;
        }
        for behind in &pieces[at + 1..] {
            match behind {
                p if open(p) => {
                    return Err("puts two numbers of open width next to each other; \
                         separate them, or use fixed widths such as MM and dd"
                        .to_owned());
                }
                Piece::Number { .. } | Piece::ShortYear => {}
                Piece::Literal(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                    return Err("puts a literal digit next to a number of open width; \
                         separate them, or use a fixed width such as MM or dd"
                        .to_owned());
                }
                _ => break,
            }
        }
    }
    Ok(())
}

/// Levels of the fields from coarse to fine: year 0, month 1, day 2, hour 3, minute 4, second 5, fraction 6.
fn levels(piece: &Piece) -> std::ops::Range<usize> {
    match piece {
        Piece::Literal(_) | Piece::HalfDay => 0..0,
        Piece::ShortYear => 0..1,
        Piece::MonthName { .. } => 1..2,
        Piece::Number { field, .. } => match field {
            Field::Year => 0..1,
            Field::Month => 1..2,
            Field::Day => 2..3,
            Field::YearDay => 1..3,
            Field::Hour | Field::HalfDayHour => 3..4,
            Field::Minute => 4..5,
            Field::Second => 5..6,
            Field::Fraction(_) | Field::Nano => 6..7,
        },
    }
}

fn precision(pieces: &[Piece]) -> Result<Precision, String> {
    const NAMES: [&str; 7] = [
        "a year (yyyy)",
        "a month (MM)",
        "a day (dd)",
        "an hour (HH)",
        "a minute (mm)",
        "a second (ss)",
        "a fraction (SSS)",
    ];
    let has = |wanted: &dyn Fn(Field) -> bool| {
        pieces
            .iter()
            .any(|p| matches!(p, Piece::Number { field, .. } if wanted(*field)))
    };
    let half_day = pieces.contains(&Piece::HalfDay);
    if has(&|f| f == Field::HalfDayHour) != half_day {
        return Err(
            "needs `h` and `a` together (hour 1 to 12 with AM or PM); for hours 0 to 23 write `HH`"
                .to_owned(),
        );
    }
    let mut seen = [false; 7];
    for level in pieces.iter().flat_map(levels) {
        seen[level] = true;
    }
    let depth = seen.iter().take_while(|seen| **seen).count();
    if let Some(finer) = seen.iter().skip(depth).position(|seen| *seen) {
        return Err(format!(
            "has {} but not {}, so its values would repeat; write all fields from the year down",
            NAMES[depth + finer],
            NAMES[depth]
        ));
    }
    let fraction = pieces.iter().filter_map(|p| match p {
        Piece::Number {
            field: Field::Fraction(digits),
            ..
        } => Some(*digits),
        Piece::Number {
            field: Field::Nano, ..
        } => Some(9),
        _ => None,
    });
    match depth {
        0 => Err("has no year; write for instance 'yyyy-MM-dd'".to_owned()),
        1 => Ok(Precision::Year),
        2 => Ok(Precision::Month),
        3 => Ok(Precision::Day),
        4 => Ok(Precision::Hour),
        5 => Ok(Precision::Minute),
        6 => Ok(Precision::Second),
        _ => Ok(Precision::Fraction(fraction.max().unwrap_or(9))),
    }
}

fn is_ordered(pieces: &[Piece]) -> bool {
    let mut next = 0;
    for piece in pieces {
        let fixed = match piece {
            Piece::Literal(_) | Piece::ShortYear => true,
            Piece::Number { field, min, max } => min == max && *field != Field::HalfDayHour,
            Piece::MonthName { .. } | Piece::HalfDay => false,
        };
        let levels = levels(piece);
        // A field seen before adds nothing to the order; a new one must be the next finer.
        if !fixed || levels.start > next {
            return false;
        }
        next = next.max(levels.end);
    }
    true
}
