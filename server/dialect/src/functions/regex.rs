//! Regular expressions. Patterns are Java's in Trino and Rust's here: what Rust's engine reads differently is refused.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::{DataFusionError, Result};
use regex::{Captures, Regex, RegexBuilder};

use super::call::Call;
use super::lists::{build_text_lists, text_list_type};
use super::signature::Param::{Bigint, Varchar};
use super::signature::{Returns, generic, over};
use super::udf::{Spec, spec};
use crate::semantics::error::{bad_argument, not_supported};

const UTF8: &DataType = &DataType::Utf8;
/// Largest compiled program.
const MAX_PROGRAM_BYTES: usize = 4 * 1024 * 1024;

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

/// Remembers the last pattern: it is a constant nearly always.
struct Patterns {
    last: Option<(String, Regex)>,
}

impl Patterns {
    fn new() -> Self {
        Self { last: None }
    }

    fn get(&mut self, pattern: &str) -> Result<&Regex> {
        if self.last.as_ref().is_none_or(|(text, _)| text != pattern) {
            self.last = Some((pattern.to_owned(), compile(pattern)?));
        }
        match &self.last {
            Some((_, regex)) => Ok(regex),
            None => Err(DataFusionError::Internal("regex cache is empty".into())),
        }
    }
}

fn compile(pattern: &str) -> Result<Regex> {
    let translated = translate(pattern)?;
    RegexBuilder::new(&translated)
        .size_limit(MAX_PROGRAM_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => bad_argument("regular expression is too large"),
            other => bad_argument(format!(
                "invalid regular expression: {}",
                other.to_string().lines().last().unwrap_or_default()
            )),
        })
}

/// Java to Rust: classes that are ASCII in Java, `$` before a final newline; refuses what Rust has not.
fn translate(pattern: &str) -> Result<String> {
    let refused =
        |what: &str| not_supported(&format!("{what} in a regular expression"), "regular-expressions");
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut class_depth = 0_usize;
    let mut quantified = false;
    while let Some(ch) = chars.next() {
        let after_quantifier = quantified;
        quantified = false;
        match ch {
            '\\' => {
                let Some(next) = chars.next() else {
                    return Err(bad_argument("invalid regular expression: \\ at end of pattern"));
                };
                translate_escape(next, class_depth > 0, &mut out, &mut chars)?;
            }
            '[' => {
                if class_depth > 0 {
                    return Err(refused("a nested character class"));
                }
                class_depth += 1;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
            }
            ']' if class_depth > 0 => {
                class_depth -= 1;
                out.push(']');
            }
            '&' if class_depth > 0 && chars.peek() == Some(&'&') => {
                return Err(refused("a class intersection"));
            }
            // Set operators of Rust's classes, plain characters in Java's.
            '~' | '-' if class_depth > 0 && chars.peek() == Some(&ch) => {
                chars.next();
                out.push_str(if ch == '~' { "\\~\\~" } else { "\\-\\-" });
            }
            _ if class_depth > 0 => out.push(ch),
            '(' if chars.peek() == Some(&'?') => {
                chars.next();
                out.push_str("(?");
                match chars.peek() {
                    Some('=' | '!' | '>') => return Err(refused("look-around or an atomic group")),
                    Some('<') => {
                        chars.next();
                        if matches!(chars.peek(), Some('=' | '!')) {
                            return Err(refused("look-behind"));
                        }
                        out.push_str("P<");
                    }
                    // Flags mean the same only for these.
                    Some(':' | 'i' | 's' | '-') => {}
                    _ => return Err(refused("this group or flag")),
                }
            }
            '$' => out.push_str("(?:\\n?\\z)"),
            '.' => out.push('.'),
            '+' if after_quantifier => return Err(refused("a possessive quantifier")),
            '*' | '+' | '?' | '}' => {
                out.push(ch);
                quantified = true;
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

fn translate_escape(
    next: char,
    in_class: bool,
    out: &mut String,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<()> {
    let refused =
        |what: &str| not_supported(&format!("{what} in a regular expression"), "regular-expressions");
    let (inside, negated) = match next {
        'd' | 'D' => ("0-9", next == 'D'),
        'w' | 'W' => ("0-9A-Za-z_", next == 'W'),
        's' | 'S' => ("\\t\\n\\x0B\\x0C\\r ", next == 'S'),
        '1'..='9' | 'k' => return Err(refused("a back-reference")),
        'Q' | 'E' | 'G' | 'Z' | 'R' | 'X' | 'N' | 'h' | 'H' | 'v' | 'V' | 'c' | 'e' | '0' => {
            return Err(refused(&format!("\\{next}")));
        }
        'u' => {
            let digits: String = chars.by_ref().take(4).collect();
            out.push_str(&format!("\\x{{{digits}}}"));
            return Ok(());
        }
        'p' | 'P' => {
            if chars.peek() == Some(&'{') {
                let name: String = chars.clone().skip(1).take_while(|c| *c != '}').collect();
                // The POSIX names are ASCII in Java and unknown to Rust.
                if !matches!(
                    name.as_str(),
                    "L" | "Lu" | "Ll" | "N" | "Nd" | "P" | "S" | "Z" | "M" | "IsAlphabetic"
                ) {
                    return Err(refused(&format!("\\{next}{{{name}}}")));
                }
            }
            out.push('\\');
            out.push(next);
            return Ok(());
        }
        'b' | 'B' if in_class => return Err(refused("\\b inside a class")),
        // Joni's default word boundary is Unicode, as Rust's.
        other => {
            // Java lets any other non-letter be escaped; Rust only punctuation.
            if other.is_alphanumeric()
                && !matches!(other, 'a' | 'f' | 't' | 'n' | 'r' | 'x' | 'b' | 'B' | 'A' | 'z')
            {
                return Err(bad_argument(format!(
                    "invalid regular expression: unknown escape \\{other}"
                )));
            }
            if other.is_ascii() && !other.is_ascii_whitespace() {
                out.push('\\');
            }
            out.push(if other == '/' { '/' } else { other });
            return Ok(());
        }
    };
    match (in_class, negated) {
        (true, false) => out.push_str(inside),
        (true, true) => return Err(refused("a negated class inside a class")),
        (false, false) => out.push_str(&format!("[{inside}]")),
        (false, true) => out.push_str(&format!("[^{inside}]")),
    }
    Ok(())
}

fn like(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let mut patterns = Patterns::new();
    c.build_bool(|r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        Ok(Some(patterns.get(p)?.is_match(s)))
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
        let regex = patterns.get(p)?;
        let pieces = replacement(with, regex)?;
        let mut out = String::with_capacity(s.len());
        let mut from = 0;
        for found in regex.captures_iter(s) {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(&s[from..whole.start()]);
            expand(&pieces, &found, &mut out);
            c.check_value(out.len())?;
            from = whole.end();
        }
        out.push_str(&s[from..]);
        Ok(Some(Cow::Owned(out)))
    })
}

fn expand(pieces: &[Piece], found: &Captures<'_>, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Group(n) => out.push_str(found.get(*n).map_or("", |m| m.as_str())),
            Piece::Named(name) => out.push_str(found.name(name).map_or("", |m| m.as_str())),
        }
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
        let regex = patterns.get(p)?;
        let group = group(regex, wanted)?;
        Ok(regex
            .captures(s)
            .and_then(|found| found.get(group))
            .map(|m| Cow::Borrowed(m.as_str())))
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
        let regex = patterns.get(p)?;
        let group = group(regex, wanted)?;
        Ok(Some(
            regex
                .captures_iter(s)
                .map(|f| f.get(group).map(|m| Cow::Borrowed(m.as_str())))
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
        Ok(Some(
            patterns
                .get(p)?
                .split(s)
                .map(|part| Some(Cow::Borrowed(part)))
                .collect(),
        ))
    })
}

fn count(c: &Call) -> Result<ArrayRef> {
    let (a, p) = (c.text(0)?, c.text(1)?);
    let mut patterns = Patterns::new();
    c.build::<Int64Type>(|r| {
        let (Some(s), Some(p)) = (a.get(r), p.get(r)) else {
            return Ok(None);
        };
        Ok(Some(patterns.get(p)?.find_iter(s).count() as i64))
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
        Ok(Some(
            patterns
                .get(p)?
                .find(s)
                .map_or(-1, |m| s[..m.start()].chars().count() as i64 + 1),
        ))
    })
}
