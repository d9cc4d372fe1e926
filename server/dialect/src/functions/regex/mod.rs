//! Regular expressions. Patterns are Java's in Trino and Rust's here: what Rust's engine reads differently is refused.

mod folding;
mod pattern;
mod translate;

use std::borrow::Cow;
use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use regex::{Captures, Regex};

use super::call::Call;
use super::lists::{build_text_lists, text_list_type};
use super::signature::Param::{Bigint, Varchar};
use super::signature::{Returns, generic, over};
use super::udf::{Spec, spec};
use crate::semantics::error::bad_argument;
use pattern::Patterns;

const UTF8: &DataType = &DataType::Utf8;

pub(super) static SPECS: &[Spec] = &[
    spec(
        "regexp_like",
        &[],
        &[over(&[Varchar, Varchar], &DataType::Boolean, like)],
    ),
    spec(
        "regexp_replace",
        &[],
        &[
            over(&[Varchar, Varchar], UTF8, replace),
            over(&[Varchar, Varchar, Varchar], UTF8, replace),
        ],
    ),
    spec(
        "regexp_extract",
        &[],
        &[
            over(&[Varchar, Varchar], UTF8, extract),
            over(&[Varchar, Varchar, Bigint], UTF8, extract),
        ],
    ),
    spec(
        "regexp_extract_all",
        &[],
        &[
            generic(
                &[Varchar, Varchar],
                Returns::Computed(text_list_type),
                extract_all,
            ),
            generic(
                &[Varchar, Varchar, Bigint],
                Returns::Computed(text_list_type),
                extract_all,
            ),
        ],
    ),
    spec(
        "regexp_split",
        &[],
        &[generic(
            &[Varchar, Varchar],
            Returns::Computed(text_list_type),
            split,
        )],
    ),
    spec(
        "regexp_count",
        &[],
        &[over(&[Varchar, Varchar], &DataType::Int64, count)],
    ),
    spec(
        "regexp_position",
        &[],
        &[over(&[Varchar, Varchar], &DataType::Int64, position)],
    ),
];

/// All matches. An empty one may follow at the end of another, as in Java; Rust's own iterator leaves those out.
fn matches(regex: &Regex, text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let found = regex
            .find_at(text, Some(from).filter(|from| *from <= text.len())?)?
            .range();
        from = next_start(text, &found);
        Some(found)
    })
}

/// The same, with groups.
fn captures<'t>(regex: &Regex, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let found = regex.captures_at(text, Some(from).filter(|from| *from <= text.len())?)?;
        from = next_start(text, &found.get(0)?.range());
        Some(found)
    })
}

/// Where to search after a match: behind it, and behind one more character where it is empty.
fn next_start(text: &str, found: &Range<usize>) -> usize {
    let step = text[found.end..].chars().next().map_or(1, char::len_utf8);
    found.end + if found.is_empty() { step } else { 0 }
}

fn like(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let mut patterns = Patterns::new();
    c.build_bool(|r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        let (regex, searched) = patterns.get(p)?.on(s)?;
        Ok(Some(regex.is_match(&searched)))
    })
}

/// One piece of a replacement text.
enum Piece {
    Text(String),
    Group(usize),
    Named(String),
}

/// `$1`, `${name}`, `\$`: Java's replacement syntax.
fn replacement(text: &str, regex: &Regex) -> Result<Vec<Piece>> {
    let groups = regex.captures_len() - 1;
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(ch) = chars.next() {
        match ch {
            '\\' => match chars.next() {
                Some(next) => plain.push(next),
                None => {
                    return Err(bad_argument(
                        "Illegal replacement sequence: character to be escaped is missing",
                    ));
                }
            },
            '$' => {
                let piece = if chars.peek() == Some(&'{') {
                    chars.next();
                    let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    if !regex.capture_names().flatten().any(|n| n == name) {
                        return Err(bad_argument(format!(
                            "Illegal replacement sequence: unknown group {{{name}}}"
                        )));
                    }
                    Piece::Named(name)
                } else {
                    let Some(first) = chars.next().and_then(|c| c.to_digit(10)) else {
                        return Err(bad_argument(
                            "Illegal replacement sequence: illegal group reference",
                        ));
                    };
                    let mut group = first as usize;
                    if group > groups {
                        return Err(bad_argument(format!(
                            "Illegal replacement sequence: unknown group {group}"
                        )));
                    }
                    // Further digits belong to the number while such a group exists.
                    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                        let longer = group * 10 + digit as usize;
                        if longer > groups {
                            break;
                        }
                        group = longer;
                        chars.next();
                    }
                    Piece::Group(group)
                };
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
            }
            other => plain.push(other),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn replace(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let with = if c.len() == 3 { Some(c.text(2)?) } else { None };
    let mut patterns = Patterns::new();
    c.build_text(|r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        let with = match &with {
            None => "",
            Some(w) => match w.get(r) {
                None => return Ok(None),
                Some(w) => w,
            },
        };
        let pattern = patterns.get(p)?;
        let pieces = replacement(with, pattern.groups())?;
        let (regex, searched) = pattern.on(s)?;
        let mut out = String::with_capacity(s.len());
        let mut from = 0;
        for found in captures(regex, &searched) {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(&s[from..whole.start()]);
            expand(&pieces, &found, s, &mut out);
            c.check_value(out.len())?;
            from = whole.end();
        }
        out.push_str(&s[from..]);
        Ok(Some(Cow::Owned(out)))
    })
}

fn expand(pieces: &[Piece], found: &Captures<'_>, text: &str, out: &mut String) {
    for piece in pieces {
        out.push_str(match piece {
            Piece::Text(text) => text,
            Piece::Group(n) => found.get(*n).map_or("", |m| &text[m.range()]),
            Piece::Named(name) => found.name(name).map_or("", |m| &text[m.range()]),
        });
    }
}

fn group(regex: &Regex, wanted: i64) -> Result<usize> {
    match usize::try_from(wanted) {
        Ok(group) if group < regex.captures_len() => Ok(group),
        Ok(group) => Err(bad_argument(format!(
            "Pattern has {} groups. Cannot access group {group}",
            regex.captures_len() - 1
        ))),
        Err(_) => Err(bad_argument("Group cannot be negative")),
    }
}

fn extract(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let n = if c.len() == 3 { Some(c.int(2)?) } else { None };
    let mut patterns = Patterns::new();
    c.build_text(|r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        let Some(wanted) = n.as_ref().map_or(Some(0), |n| n.get(r)) else {
            return Ok(None);
        };
        let pattern = patterns.get(p)?;
        let group = group(pattern.groups(), wanted)?;
        let (regex, searched) = pattern.on(s)?;
        Ok(regex
            .captures(&searched)
            .and_then(|found| found.get(group))
            .map(|m| Cow::Borrowed(&s[m.range()])))
    })
}

fn extract_all(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let n = if c.len() == 3 { Some(c.int(2)?) } else { None };
    let mut patterns = Patterns::new();
    build_text_lists(c, |r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        let Some(wanted) = n.as_ref().map_or(Some(0), |n| n.get(r)) else {
            return Ok(None);
        };
        let pattern = patterns.get(p)?;
        let group = group(pattern.groups(), wanted)?;
        let (regex, searched) = pattern.on(s)?;
        Ok(Some(
            captures(regex, &searched)
                .map(|f| f.get(group).map(|m| Cow::Borrowed(&s[m.range()])))
                .collect(),
        ))
    })
}

fn split(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let mut patterns = Patterns::new();
    build_text_lists(c, |r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        let (regex, searched) = patterns.get(p)?.on(s)?;
        let mut parts = Vec::new();
        let mut from = 0;
        for found in matches(regex, &searched) {
            parts.push(Some(Cow::Borrowed(&s[from..found.start])));
            from = found.end;
        }
        parts.push(Some(Cow::Borrowed(&s[from..])));
        Ok(Some(parts))
    })
}

fn count(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let mut patterns = Patterns::new();
    c.build::<Int64Type>(|r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        let (regex, searched) = patterns.get(p)?.on(s)?;
        Ok(Some(matches(regex, &searched).count() as i64))
    })
}

/// 1-based place of the first match, -1 when there is none.
fn position(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let mut patterns = Patterns::new();
    c.build::<Int64Type>(|r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        let (regex, searched) = patterns.get(p)?.on(s)?;
        Ok(Some(
            regex
                .find(&searched)
                .map_or(-1, |m| s[..m.start()].chars().count() as i64 + 1),
        ))
    })
}
