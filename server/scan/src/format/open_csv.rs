//! `OpenCSVSerde`: quoted text, one row a line. A value that is not of its column's type is an error.
//!
//! A tokenizer of our own: the csv crate reads records over several lines and knows one meaning of a quote, while this
//! SerDe has a quote in the middle of a field, an escape that counts only before a quote or itself, and drops a field
//! whose quote is never closed.

use std::borrow::Cow;

use owlake_catalog::HiveType;

use super::columns::{ColumnBuilder, Scalar};
use super::properties::Properties;
use super::{RowDecoder, text};
use crate::error::ScanError;

/// The SerDe's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenCsv {
    separator: char,
    /// `\0` is none.
    quote: char,
    escape: char,
}

impl OpenCsv {
    /// Reads the properties and checks that the columns are of types this SerDe reads.
    pub(crate) fn parse(properties: &Properties<'_>, columns: &[HiveType]) -> Result<Self, ScanError> {
        let character = |key: &str, otherwise: char| {
            let first = |text: &str| text.chars().next().ok_or_else(String::new);
            Ok::<_, ScanError>(properties.first(&[key], first)?.unwrap_or(otherwise))
        };
        let separator = character("separatorChar", ',')?;
        let quote = character("quoteChar", '"')?;
        // A double quote stands for the default, which is a backslash.
        let escape = match character("escapeChar", '"')? {
            '"' => '\\',
            other => other,
        };
        let clash = |key: &str, value: char, what: &str| {
            Err(properties.bad(key, &value.to_string(), &format!("is the {what} too")))
        };
        if separator == '\0' {
            return Err(properties.bad("separatorChar", "\\0", "is no separator"));
        }
        if separator == quote {
            return clash("separatorChar", separator, "quote");
        }
        if separator == escape {
            return clash("separatorChar", separator, "escape character");
        }
        if quote == escape && quote != '\0' {
            return clash("quoteChar", quote, "escape character");
        }
        if let Some(column) = columns.iter().find(|c| !is_read(c)) {
            return Err(properties.unsupported(&format!(
                "a column is {column}; it reads string, boolean, integers, float, double, date and timestamp"
            )));
        }
        Ok(Self {
            separator,
            quote,
            escape,
        })
    }

    /// A decoder of the columns `wanted` (ascending) of all `columns` of a line.
    pub(crate) fn decoder(&self, columns: &[HiveType], wanted: &[usize]) -> OpenCsvDecoder {
        OpenCsvDecoder {
            serde: self.clone(),
            wanted: wanted
                .iter()
                .filter_map(|i| Some((*i, columns.get(*i)?.clone())))
                .collect(),
        }
    }

    /// The first `most` fields of a line.
    fn fields<'a>(&self, line: &'a str, most: usize) -> Vec<Cow<'a, str>> {
        if line.is_empty() {
            return Vec::new();
        }
        if !line.contains([self.quote, self.escape]) {
            return line.split(self.separator).take(most).map(Cow::Borrowed).collect();
        }
        let mut scan = Scan {
            serde: self,
            line: line.chars().collect(),
            at: 0,
            field: String::new(),
            quoted: false,
            open: false,
        };
        let mut fields = Vec::new();
        while fields.len() < most {
            let last = scan.run();
            // What follows a quote that is never closed is lost.
            if !(last && scan.quoted) {
                fields.push(Cow::Owned(std::mem::take(&mut scan.field)));
            }
            if last {
                break;
            }
        }
        fields
    }
}

fn is_read(hive: &HiveType) -> bool {
    hive.is_primitive() && !matches!(hive, HiveType::Decimal { .. } | HiveType::Binary)
}

/// A line on its way to fields.
struct Scan<'a> {
    serde: &'a OpenCsv,
    line: Vec<char>,
    at: usize,
    field: String,
    /// Between quotes, where separators are text.
    quoted: bool,
    /// Something of the field was there already, or a quote of it: then escapes and doubled quotes count.
    open: bool,
}

impl Scan<'_> {
    /// Reads up to the end of a field; true at the end of the line.
    fn run(&mut self) -> bool {
        while let Some(&c) = self.line.get(self.at) {
            self.at += 1;
            let next = self.line.get(self.at).copied();
            let literal = self.quoted || self.open;
            if c == self.serde.escape && c != '\0' {
                // Before anything else than a quote or itself the escape is dropped.
                if literal && next.is_some_and(|n| n == self.serde.quote || n == self.serde.escape) {
                    self.field.extend(next);
                    self.at += 1;
                }
            } else if c == self.serde.quote && c != '\0' {
                if literal && next == Some(self.serde.quote) {
                    self.field.push(c);
                    self.at += 1;
                } else {
                    self.lone_quote(c, next);
                    self.quoted = !self.quoted;
                }
                self.open = !self.open;
            } else if c == self.serde.separator && !self.quoted {
                self.open = false;
                return false;
            } else {
                self.field.push(c);
                self.open = true;
            }
        }
        true
    }

    /// A quote that opens or closes; one in the middle of a field is text besides, unless only blanks are before it.
    fn lone_quote(&mut self, quote: char, next: Option<char>) {
        let position = self.at - 1;
        let inside = position > 2
            && self.line[position - 1] != self.serde.separator
            && next.is_some_and(|n| n != self.serde.separator);
        if !inside {
            return;
        }
        if !self.field.is_empty() && self.field.chars().all(char::is_whitespace) {
            self.field.clear();
        } else {
            self.field.push(quote);
        }
    }
}

/// Decodes lines.
pub(crate) struct OpenCsvDecoder {
    serde: OpenCsv,
    wanted: Vec<(usize, HiveType)>,
}

impl RowDecoder for OpenCsvDecoder {
    fn decode(&mut self, line: &[u8], out: &mut [ColumnBuilder]) -> Result<(), String> {
        let line = String::from_utf8_lossy(line);
        let most = self.wanted.last().map_or(0, |(last, _)| last + 1);
        let mut fields = self.serde.fields(&line, most);
        for ((index, hive), builder) in self.wanted.iter().zip(out) {
            match fields.get_mut(*index) {
                Some(field) => {
                    let value =
                        value(hive, std::mem::take(field)).map_err(|e| format!("field {index}: {e}"))?;
                    builder.append(Some(value))?;
                }
                None => builder.append_null(),
            }
        }
        Ok(())
    }
}

/// Dates are days and timestamps milliseconds since the epoch; an empty field is no number.
fn value<'a>(hive: &HiveType, field: Cow<'a, str>) -> Result<Scalar<'a>, String> {
    let scalar = match hive {
        HiveType::String | HiveType::Varchar(_) | HiveType::Char(_) => {
            return Ok(Scalar::Text(text::cut(hive, field)));
        }
        HiveType::Boolean if field.eq_ignore_ascii_case("true") => Some(Scalar::Boolean(true)),
        HiveType::Boolean if field.eq_ignore_ascii_case("false") => Some(Scalar::Boolean(false)),
        HiveType::Boolean => None,
        HiveType::Date => field.parse().ok().map(Scalar::Date),
        HiveType::Timestamp => field.parse().ok().map(Scalar::Timestamp),
        HiveType::Float | HiveType::Double => text::numeric(hive, field.as_bytes()),
        // Unlike other text, a number here has no digits after a point.
        integer => field
            .parse()
            .ok()
            .filter(|v| text::in_range(integer, *v))
            .map(Scalar::Integer),
    };
    scalar.ok_or_else(|| format!("`{field}` is no {hive}"))
}

#[cfg(test)]
mod tests;
