//! Text functions. Positions count code points from 1, as in Trino.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;

use super::call::Call;
use super::letter_case::{lower, upper};
use super::lists::{build_text_lists, text_list_type};
use super::signature::Param::{Bigint, Varbinary, Varchar};
use super::signature::{Returns, generic, over, variadic};
use super::udf::{Spec, spec};
use crate::semantics::error::bad_argument;

const UTF8: &DataType = &DataType::Utf8;
const INT: &DataType = &DataType::Int64;
const BOOL: &DataType = &DataType::Boolean;

pub(super) static SPECS: &[Spec] = &[
    spec(
        "lower",
        &[],
        &[over(&[Varchar], UTF8, |c| map_text(c, |s| Ok(lower(s).into())))],
    ),
    spec(
        "upper",
        &[],
        &[over(&[Varchar], UTF8, |c| map_text(c, |s| Ok(upper(s).into())))],
    ),
    spec(
        "length",
        &[],
        &[
            over(&[Varchar], INT, |c| int_of_text(c, |s| Ok(s.chars().count()))),
            over(&[Varbinary], INT, |c| {
                let a = c.bytes(0)?;
                c.build::<Int64Type>(|r| Ok(a.get(r).map(|b| b.len() as i64)))
            }),
        ],
    ),
    spec("codepoint", &[], &[over(&[Varchar], &DataType::Int32, codepoint)]),
    spec("chr", &[], &[over(&[Bigint], UTF8, chr)]),
    spec(
        "substr",
        &["substring"],
        &[
            over(&[Varchar, Bigint], UTF8, substr),
            over(&[Varchar, Bigint, Bigint], UTF8, substr),
        ],
    ),
    spec(
        "strpos",
        &[],
        &[
            over(&[Varchar, Varchar], INT, strpos),
            over(&[Varchar, Varchar, Bigint], INT, strpos),
        ],
    ),
    spec(
        "starts_with",
        &[],
        &[over(&[Varchar, Varchar], BOOL, |c| {
            text_test(c, |s, p| s.starts_with(p))
        })],
    ),
    spec(
        "ends_with",
        &[],
        &[over(&[Varchar, Varchar], BOOL, |c| {
            text_test(c, |s, p| s.ends_with(p))
        })],
    ),
    spec(
        "replace",
        &[],
        &[
            over(&[Varchar, Varchar], UTF8, replace),
            over(&[Varchar, Varchar, Varchar], UTF8, replace),
        ],
    ),
    spec(
        "translate",
        &[],
        &[over(&[Varchar, Varchar, Varchar], UTF8, translate)],
    ),
    spec(
        "lpad",
        &[],
        &[over(&[Varchar, Bigint, Varchar], UTF8, |c| pad(c, true))],
    ),
    spec(
        "rpad",
        &[],
        &[over(&[Varchar, Bigint, Varchar], UTF8, |c| pad(c, false))],
    ),
    spec(
        "trim",
        // What the planner calls TRIM(BOTH ...); `syntax` refuses it in a statement.
        &["btrim"],
        &[
            over(&[Varchar], UTF8, |c| trim(c, true, true)),
            over(&[Varchar, Varchar], UTF8, |c| trim(c, true, true)),
        ],
    ),
    spec(
        "ltrim",
        &[],
        &[
            over(&[Varchar], UTF8, |c| trim(c, true, false)),
            over(&[Varchar, Varchar], UTF8, |c| trim(c, true, false)),
        ],
    ),
    spec(
        "rtrim",
        &[],
        &[
            over(&[Varchar], UTF8, |c| trim(c, false, true)),
            over(&[Varchar, Varchar], UTF8, |c| trim(c, false, true)),
        ],
    ),
    spec(
        "split",
        &[],
        &[
            generic(&[Varchar, Varchar], Returns::Computed(text_list_type), split),
            generic(
                &[Varchar, Varchar, Bigint],
                Returns::Computed(text_list_type),
                split,
            ),
        ],
    ),
    spec(
        "split_part",
        &[],
        &[over(&[Varchar, Varchar, Bigint], UTF8, split_part)],
    ),
    spec(
        "concat_ws",
        &[],
        &[variadic(&[Varchar, Varchar], Returns::Type(UTF8), concat_ws)],
    ),
    spec(
        "levenshtein_distance",
        &[],
        &[over(&[Varchar, Varchar], INT, levenshtein)],
    ),
    spec(
        "hamming_distance",
        &[],
        &[over(&[Varchar, Varchar], INT, hamming)],
    ),
];

fn map_text(c: &Call, f: impl Fn(&str) -> Result<Cow<'static, str>>) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build_text(|r| a.get(r).map(&f).transpose())
}

fn int_of_text(c: &Call, f: impl Fn(&str) -> Result<usize>) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build::<Int64Type>(|r| a.get(r).map(|s| f(s).map(|n| n as i64)).transpose())
}

fn text_test(c: &Call, f: impl Fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let (a, b) = (c.text(0)?, c.text(1)?);
    c.build_bool(|r| Ok(a.get(r).zip(b.get(r)).map(|(s, p)| f(s, p))))
}

fn codepoint(c: &Call) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build::<arrow::datatypes::Int32Type>(|r| {
        let Some(s) = a.get(r) else { return Ok(None) };
        let mut chars = s.chars();
        match (chars.next(), chars.next()) {
            (Some(one), None) => Ok(Some(one as i32)),
            _ => Err(bad_argument(
                "codepoint: Input string must be a single character string",
            )),
        }
    })
}

fn chr(c: &Call) -> Result<ArrayRef> {
    let a = c.int(0)?;
    c.build_text(|r| {
        let Some(n) = a.get(r) else { return Ok(None) };
        u32::try_from(n)
            .ok()
            .and_then(char::from_u32)
            .map(|ch| Some(Cow::Owned(ch.to_string())))
            .ok_or_else(|| bad_argument(format!("Not a valid Unicode code point: {n}")))
    })
}

/// Byte range of the code points `[start, start + length)`, 1-based; negative counts from the end, 0 is empty.
fn slice(s: &str, start: i64, length: Option<i64>) -> &str {
    if start == 0 || length.is_some_and(|l| l <= 0) || s.is_empty() {
        return "";
    }
    let skip = if start > 0 {
        usize::try_from(start - 1).unwrap_or(usize::MAX)
    } else {
        let count = s.chars().count();
        match usize::try_from(start.unsigned_abs()) {
            Ok(back) if back <= count => count - back,
            _ => return "",
        }
    };
    let Some((from, _)) = s.char_indices().nth(skip) else {
        return "";
    };
    let rest = &s[from..];
    match length.map(|l| usize::try_from(l).unwrap_or(usize::MAX)) {
        None => rest,
        Some(l) => rest.char_indices().nth(l).map_or(rest, |(end, _)| &rest[..end]),
    }
}

fn substr(c: &Call) -> Result<ArrayRef> {
    let (a, start) = (c.text(0)?, c.int(1)?);
    let length = if c.len() == 3 { Some(c.int(2)?) } else { None };
    c.build_text(|r| {
        let (Some(s), Some(from)) = (a.get(r), start.get(r)) else {
            return Ok(None);
        };
        match &length {
            None => Ok(Some(slice(s, from, None).into())),
            Some(l) => Ok(l.get(r).map(|l| slice(s, from, Some(l)).into())),
        }
    })
}

fn strpos(c: &Call) -> Result<ArrayRef> {
    let (a, b) = (c.text(0)?, c.text(1)?);
    let nth = if c.len() == 3 { Some(c.int(2)?) } else { None };
    c.build::<Int64Type>(|r| {
        let (Some(s), Some(needle)) = (a.get(r), b.get(r)) else {
            return Ok(None);
        };
        let instance = match &nth {
            None => 1,
            Some(n) => match n.get(r) {
                None => return Ok(None),
                Some(0) => return Err(bad_argument("'instance' must not be zero")),
                Some(n) => n,
            },
        };
        Ok(Some(position(s, needle, instance)))
    })
}

/// Position of the nth occurrence (overlapping), from the end when negative; 0 when there is none.
fn position(s: &str, needle: &str, instance: i64) -> i64 {
    if needle.is_empty() {
        return 1;
    }
    let step = |at: usize| at + s[at..].chars().next().map_or(1, char::len_utf8);
    let wanted = usize::try_from(instance.unsigned_abs()).unwrap_or(usize::MAX);
    let found = if instance > 0 {
        let mut from = 0;
        let mut seen = 0;
        loop {
            match s[from..].find(needle) {
                None => break None,
                Some(i) => {
                    seen += 1;
                    if seen == wanted {
                        break Some(from + i);
                    }
                    from = step(from + i);
                }
            }
        }
    } else {
        s.char_indices()
            .rev()
            .filter(|(i, _)| s[*i..].starts_with(needle))
            .nth(wanted - 1)
            .map(|(i, _)| i)
    };
    found.map_or(0, |i| s[..i].chars().count() as i64 + 1)
}

fn replace(c: &Call) -> Result<ArrayRef> {
    let (a, from) = (c.text(0)?, c.text(1)?);
    let to = if c.len() == 3 { Some(c.text(2)?) } else { None };
    c.build_text(|r| {
        let (Some(s), Some(from)) = (a.get(r), from.get(r)) else {
            return Ok(None);
        };
        let to = match &to {
            None => "",
            Some(t) => match t.get(r) {
                None => return Ok(None),
                Some(t) => t,
            },
        };
        let hits = if from.is_empty() {
            s.chars().count() + 1
        } else {
            s.matches(from).count()
        };
        c.check_value(s.len().saturating_add(hits.saturating_mul(to.len())))?;
        Ok(Some(s.replace(from, to).into()))
    })
}

fn translate(c: &Call) -> Result<ArrayRef> {
    let (a, from, to) = (c.text(0)?, c.text(1)?, c.text(2)?);
    c.build_text(|r| {
        let (Some(s), Some(from), Some(to)) = (a.get(r), from.get(r), to.get(r)) else {
            return Ok(None);
        };
        let from: Vec<char> = from.chars().collect();
        let to: Vec<char> = to.chars().collect();
        let out: String = s
            .chars()
            .filter_map(|ch| match from.iter().position(|f| *f == ch) {
                None => Some(ch),
                Some(i) => to.get(i).copied(),
            })
            .collect();
        Ok(Some(out.into()))
    })
}

fn pad(c: &Call, left: bool) -> Result<ArrayRef> {
    let (a, size, fill) = (c.text(0)?, c.int(1)?, c.text(2)?);
    c.build_text(|r| {
        let (Some(s), Some(size), Some(fill)) = (a.get(r), size.get(r), fill.get(r)) else {
            return Ok(None);
        };
        let Ok(size_chars) = usize::try_from(size) else {
            return Err(bad_argument("Target length must be in the range [0..2147483647]"));
        };
        if size > i64::from(i32::MAX) {
            return Err(bad_argument("Target length must be in the range [0..2147483647]"));
        }
        if fill.is_empty() {
            return Err(bad_argument("Padding string must not be empty"));
        }
        let have = s.chars().count();
        if have >= size_chars {
            return Ok(Some(slice(s, 1, Some(size)).into()));
        }
        let (times, rest) = repeats(fill, size_chars - have);
        let filler = times.saturating_mul(fill.len()).saturating_add(rest.len());
        let bytes = s.len().saturating_add(filler);
        c.check_value(bytes)?;
        let mut out = String::with_capacity(bytes);
        if !left {
            out.push_str(s);
        }
        push_times(&mut out, fill, times);
        out.push_str(rest);
        if left {
            out.push_str(s);
        }
        Ok(Some(out.into()))
    })
}

fn push_times(out: &mut String, text: &str, times: usize) {
    let at_once = (4096 / text.len().max(1)).clamp(1, times.max(1));
    let block = text.repeat(at_once);
    (0..times / at_once).for_each(|_| out.push_str(&block));
    (0..times % at_once).for_each(|_| out.push_str(text));
}

/// `fill` over and over, cut at `chars` code points: how often it is there as a whole, and its start at the end.
fn repeats(fill: &str, chars: usize) -> (usize, &str) {
    let period = fill.chars().count().max(1);
    let rest = fill
        .char_indices()
        .nth(chars % period)
        .map_or(fill.len(), |(at, _)| at);
    (chars / period, &fill[..rest])
}

/// White space as Java's `Character.isWhitespace` on the code points Trino's trim considers.
fn is_space(ch: char) -> bool {
    ch.is_whitespace() && !matches!(ch, '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{85}')
        || ('\u{1c}'..='\u{1f}').contains(&ch)
}

fn trim(c: &Call, start: bool, end: bool) -> Result<ArrayRef> {
    let a = c.text(0)?;
    let set = if c.len() == 2 { Some(c.text(1)?) } else { None };
    c.build_text(|r| {
        let Some(mut s) = a.get(r) else { return Ok(None) };
        let chars: Option<Vec<char>> = match &set {
            None => None,
            Some(set) => match set.get(r) {
                None => return Ok(None),
                Some(chars) => Some(chars.chars().collect()),
            },
        };
        let cut = |ch: char| {
            chars
                .as_ref()
                .map_or_else(|| is_space(ch), |set| set.contains(&ch))
        };
        if start {
            s = s.trim_start_matches(cut);
        }
        if end {
            s = s.trim_end_matches(cut);
        }
        Ok(Some(s.into()))
    })
}

fn split(c: &Call) -> Result<ArrayRef> {
    let (a, sep) = (c.text(0)?, c.text(1)?);
    let limit = if c.len() == 3 { Some(c.int(2)?) } else { None };
    build_text_lists(c, |r| {
        let (Some(s), Some(sep)) = (a.get(r), sep.get(r)) else {
            return Ok(None);
        };
        if sep.is_empty() {
            return Err(bad_argument("The delimiter may not be the empty string"));
        }
        Ok(Some(match &limit {
            None => s.split(sep).map(|p| Some(Cow::Borrowed(p))).collect(),
            Some(limit) => {
                let Some(limit) = limit.get(r) else {
                    return Ok(None);
                };
                let parts = usize::try_from(limit).unwrap_or(0);
                if parts == 0 || limit > i64::from(i32::MAX) {
                    return Err(bad_argument("Limit must be positive"));
                }
                s.splitn(parts, sep).map(|p| Some(Cow::Borrowed(p))).collect()
            }
        }))
    })
}

fn split_part(c: &Call) -> Result<ArrayRef> {
    let (a, sep, index) = (c.text(0)?, c.text(1)?, c.int(2)?);
    c.build_text(|r| {
        let (Some(s), Some(sep), Some(index)) = (a.get(r), sep.get(r), index.get(r)) else {
            return Ok(None);
        };
        let Some(skip) = usize::try_from(index).ok().filter(|i| *i > 0) else {
            return Err(bad_argument("Index must be greater than zero"));
        };
        if sep.is_empty() {
            // Every code point is a part of its own.
            return Ok(s.chars().nth(skip - 1).map(|ch| ch.to_string().into()));
        }
        Ok(s.split(sep).nth(skip - 1).map(Cow::Borrowed))
    })
}

/// NULL separator: NULL. NULL parts are left out.
fn concat_ws(c: &Call) -> Result<ArrayRef> {
    let sep = c.text(0)?;
    let parts = (1..c.len()).map(|i| c.text(i)).collect::<Result<Vec<_>>>()?;
    c.build_text(|r| {
        let Some(sep) = sep.get(r) else { return Ok(None) };
        let present: Vec<&str> = parts.iter().filter_map(|p| p.get(r)).collect();
        c.check_value(present.iter().map(|p| p.len() + sep.len()).sum())?;
        Ok(Some(present.join(sep).into()))
    })
}

fn levenshtein(c: &Call) -> Result<ArrayRef> {
    let (a, b) = (c.text(0)?, c.text(1)?);
    c.build::<Int64Type>(|r| {
        let (Some(s), Some(t)) = (a.get(r), b.get(r)) else {
            return Ok(None);
        };
        let (s, t): (Vec<char>, Vec<char>) = (s.chars().collect(), t.chars().collect());
        if s.len().saturating_mul(t.len()) > 1_000_000 {
            return Err(bad_argument(
                "The combined inputs for Levenshtein distance are too large",
            ));
        }
        let mut line: Vec<i64> = (0..=t.len() as i64).collect();
        for (i, x) in s.iter().enumerate() {
            let mut diagonal = line[0];
            line[0] = i as i64 + 1;
            for (j, y) in t.iter().enumerate() {
                let swap = diagonal + i64::from(x != y);
                diagonal = line[j + 1];
                line[j + 1] = swap.min(diagonal + 1).min(line[j] + 1);
            }
        }
        Ok(line.last().copied())
    })
}

fn hamming(c: &Call) -> Result<ArrayRef> {
    let (a, b) = (c.text(0)?, c.text(1)?);
    c.build::<Int64Type>(|r| {
        let (Some(s), Some(t)) = (a.get(r), b.get(r)) else {
            return Ok(None);
        };
        if s.chars().count() != t.chars().count() {
            return Err(bad_argument(
                "The input strings to hamming_distance function must have the same length",
            ));
        }
        Ok(Some(
            s.chars().zip(t.chars()).filter(|(x, y)| x != y).count() as i64
        ))
    })
}
