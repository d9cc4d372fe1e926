//! The grammar of date patterns: letters to pieces, and which sequences of pieces are accepted.

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
pub(super) enum Field {
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
pub(super) enum Piece {
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

impl Piece {
    /// A number whose width depends on its value.
    fn is_open(&self) -> bool {
        matches!(self, Self::Number { min, max, .. } if min != max)
    }

    /// Width of a number that is always as wide.
    pub(super) fn fixed_digits(&self) -> Option<usize> {
        match self {
            Self::Number { min, max, .. } if min == max => Some(*min),
            Self::ShortYear => Some(2),
            _ => None,
        }
    }
}

/// Nanoseconds in the last of that many fraction digits.
pub(super) fn fraction_unit(digits: u8) -> u32 {
    10_u32.pow(9 - u32::from(digits.min(9)))
}

/// Splits a pattern into pieces; the error says what is wrong and what would be right.
pub(super) fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
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
            if !closed {
                return Err("has an opening ' without its closing '".to_owned());
            }
            // `''` outside a quoted text stands for one quote.
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
pub(super) fn refuse_ambiguous_digits(pieces: &[Piece]) -> Result<(), String> {
    for (at, piece) in pieces.iter().enumerate() {
        if !piece.is_open() {
            continue;
        }
        for behind in &pieces[at + 1..] {
            match behind {
                p if p.is_open() => {
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

/// The finest field, where the fields run from the year down without a gap.
pub(super) fn precision(pieces: &[Piece]) -> Result<Precision, String> {
    const NAMES: [&str; 7] = [
        "a year (yyyy)",
        "a month (MM)",
        "a day (dd)",
        "an hour (HH)",
        "a minute (mm)",
        "a second (ss)",
        "a fraction (SSS)",
    ];
    let twelve_hours = |p: &Piece| {
        matches!(
            p,
            Piece::Number {
                field: Field::HalfDayHour,
                ..
            }
        )
    };
    if pieces.iter().any(twelve_hours) != pieces.contains(&Piece::HalfDay) {
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

/// Whether texts sort like times: fixed widths, and each new field the next finer one.
pub(super) fn is_ordered(pieces: &[Piece]) -> bool {
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
