//! `RegexSerDe`: a pattern over the whole line, one group a column. A line that does not match is a row of NULLs.
//!
//! Patterns are Java's. Those of them that the regex crate would read in another way are refused.

use owlake_catalog::HiveType;
use regex::{Regex, RegexBuilder};

use super::columns::{ColumnBuilder, Scalar};
use super::properties::Properties;
use super::{RowDecoder, text};
use crate::error::ScanError;

/// Memory that one compiled pattern may take, bytes.
const PATTERN_BYTES: usize = 4 << 20;

/// The SerDe's pattern.
#[derive(Debug, Clone)]
pub(crate) struct RegexRows {
    pattern: Regex,
}

impl PartialEq for RegexRows {
    fn eq(&self, other: &Self) -> bool {
        self.pattern.as_str() == other.pattern.as_str()
    }
}

impl Eq for RegexRows {}

impl RegexRows {
    /// Reads and compiles the pattern.
    pub(crate) fn parse(properties: &Properties<'_>, columns: &[HiveType]) -> Result<Self, ScanError> {
        const KEY: &str = "input.regex";
        let Some(pattern) = properties.get(KEY).filter(|p| !p.is_empty()) else {
            return Err(properties.unsupported("it needs the property `input.regex`"));
        };
        if let Some(column) = columns
            .iter()
            .find(|c| !c.is_primitive() || matches!(c, HiveType::Binary))
        {
            return Err(properties.unsupported(&format!("a column is {column}, which a group cannot be")));
        }
        let translated = translated(pattern)
            .map_err(|what| properties.unsupported(&format!("`{KEY}` uses {what}, which is not built")))?;
        let pattern = RegexBuilder::new(&format!("^(?:{translated})$"))
            .dot_matches_new_line(true)
            .case_insensitive(properties.flag("input.regex.case.insensitive"))
            .size_limit(PATTERN_BYTES)
            .build()
            .map_err(|e| {
                properties.unsupported(&format!("`{KEY}` is not a pattern that is read here: {e}"))
            })?;
        Ok(Self { pattern })
    }

    /// A decoder of the columns `wanted` (ascending) of all `columns`.
    pub(crate) fn decoder(&self, columns: &[HiveType], wanted: &[usize]) -> RegexDecoder {
        RegexDecoder {
            pattern: self.pattern.clone(),
            wanted: wanted
                .iter()
                .filter_map(|i| Some((*i, columns.get(*i)?.clone())))
                .collect(),
        }
    }
}

/// Java's pattern in the regex crate's words: `\d`, `\w`, `\s` and their opposites are about ASCII in Java.
fn translated(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut class = 0_usize;
    let mut after_quantifier = false;
    while let Some(c) = chars.next() {
        let quantifier = class == 0 && matches!(c, '*' | '+' | '?' | '}');
        if c == '+' && class == 0 && after_quantifier {
            return Err("a possessive quantifier".to_owned());
        }
        after_quantifier = quantifier;
        match c {
            '\\' => escape(chars.next(), class > 0, &mut out)?,
            '[' => {
                class += 1;
                out.push(c);
            }
            ']' if class > 0 => {
                class -= 1;
                out.push(c);
            }
            '(' if class == 0 && chars.peek() == Some(&'?') => {
                chars.next();
                out.push_str("(?");
                match chars.peek() {
                    Some(':' | 'i' | '-' | '<') => {}
                    other => return Err(format!("the group `(?{}`", other.copied().unwrap_or(' '))),
                }
                // A group may begin with what looks like a quantifier's end.
                after_quantifier = false;
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

fn escape(next: Option<char>, in_class: bool, out: &mut String) -> Result<(), String> {
    let (inside, negated) = match next {
        Some('d') => ("0-9", false),
        Some('D') => ("0-9", true),
        Some('w') => ("a-zA-Z0-9_", false),
        Some('W') => ("a-zA-Z0-9_", true),
        Some('s') => (r" \t\n\x0B\f\r", false),
        Some('S') => (r" \t\n\x0B\f\r", true),
        Some('b') if !in_class => {
            out.push_str(r"(?-u:\b)");
            return Ok(());
        }
        Some(c) if c.is_ascii_punctuation() || matches!(c, 't' | 'n' | 'r' | 'f' | 'x' | 'u' | ' ') => {
            out.push('\\');
            // The crate knows no escaped blank outside of verbose mode.
            if c == ' ' {
                out.pop();
            }
            out.push(c);
            return Ok(());
        }
        Some(other) => return Err(format!("`\\{other}`")),
        None => return Err("a backslash at its end".to_owned()),
    };
    match (in_class, negated) {
        (true, false) => out.push_str(inside),
        (_, true) => out.push_str(&format!("[^{inside}]")),
        (false, false) => out.push_str(&format!("[{inside}]")),
    }
    Ok(())
}

/// Decodes lines.
pub(crate) struct RegexDecoder {
    pattern: Regex,
    wanted: Vec<(usize, HiveType)>,
}

impl RowDecoder for RegexDecoder {
    fn decode(&mut self, line: &[u8], out: &mut [ColumnBuilder]) -> Result<(), String> {
        let line = String::from_utf8_lossy(line);
        let groups = self.pattern.captures(&line);
        for ((index, hive), builder) in self.wanted.iter().zip(out) {
            let group = groups.as_ref().and_then(|g| g.get(index + 1));
            builder.append(group.and_then(|g| value(hive, g.as_str())))?;
        }
        Ok(())
    }
}

/// A group that is not of its column's type is NULL.
fn value<'a>(hive: &HiveType, group: &'a str) -> Option<Scalar<'a>> {
    match hive {
        HiveType::Boolean => Some(Scalar::Boolean(group.eq_ignore_ascii_case("true"))),
        HiveType::String | HiveType::Varchar(_) | HiveType::Char(_) => {
            Some(Scalar::Text(text::sized(hive, group.as_bytes())))
        }
        HiveType::Date => text::date(group.as_bytes()).map(Scalar::Date),
        HiveType::Timestamp => text::timestamp(group.as_bytes()).map(Scalar::Timestamp),
        HiveType::TinyInt | HiveType::SmallInt | HiveType::Int | HiveType::BigInt => group
            .parse()
            .ok()
            .filter(|v| text::in_range(hive, *v))
            .map(Scalar::Integer),
        number => text::numeric(number, group.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::properties::with_serde;

    fn groups(pattern: &str, line: &str) -> Result<Vec<Option<String>>, String> {
        let parsed = with_serde("RegexSerDe", &[("input.regex", pattern)], |p| {
            RegexRows::parse(p, &[])
        });
        let rows = parsed.map_err(|e| e.to_string())?;
        let found = rows.pattern.captures(line).map(|g| {
            let texts = g.iter().skip(1).map(|m| m.map(|m| m.as_str().to_owned()));
            texts.collect()
        });
        Ok(found.unwrap_or_default())
    }

    #[test]
    fn the_whole_line_has_to_match() {
        let some = |t: &str| Some(t.to_owned());
        assert_eq!(groups(r"(\d+) (\S+)", "12 ab").unwrap(), [some("12"), some("ab")]);
        assert_eq!(groups(r"(\d+)", "12 ab").unwrap(), []);
        assert_eq!(groups(r"(a)|(b)", "b").unwrap(), [None, some("b")]);
        assert_eq!(
            groups("([^ ]*) \\[([\\w/]*)\\]", "x [a/b]").unwrap(),
            [some("x"), some("a/b")]
        );
        assert_eq!(groups(r"([\w]+).*", "aé").unwrap(), [some("a")]);
        assert_eq!(groups(r"(.*)", "žlu").unwrap(), [some("žlu")]);
    }

    #[test]
    fn patterns_that_mean_something_else_are_refused() {
        for pattern in [
            r"(a++)b",
            r"(?=a)b",
            r"(?<!a)b",
            r"(a)\1",
            r"\p{Alpha}",
            r"\Qa\E",
            "(a",
            "a\\",
        ] {
            let error = groups(pattern, "a").unwrap_err();
            assert!(error.contains("input.regex"), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_group_of_another_type_is_null() {
        assert_eq!(value(&HiveType::Int, "12"), Some(Scalar::Integer(12)));
        assert_eq!(value(&HiveType::Int, "1.5"), None);
        assert_eq!(value(&HiveType::Date, "soon"), None);
        assert_eq!(value(&HiveType::Boolean, "yes"), Some(Scalar::Boolean(false)));
    }
}
