//! `LazySimpleSerDe`: delimited text without quotes. What does not read as the column's type is NULL.
//!
//! A tokenizer of our own: the csv crates know quotes and records, this format knows neither, but an escape byte that
//! stays in the field until its leaf, and a separator for each level of nesting.

use std::borrow::Cow;
use std::collections::HashSet;

use owlake_catalog::HiveType;

use super::columns::{ColumnBuilder, Scalar};
use super::properties::{Properties, delimiter};
use super::{RowDecoder, text};
use crate::error::ScanError;

/// Separators by level of nesting, where no property says otherwise: Hive skips bytes that text uses.
const SEPARATORS: [u8; 24] = [
    1, 2, 3, 4, 5, 6, 7, 8, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 29,
];
/// Levels without `hive.serialization.extend.nesting.levels`.
const LEVELS: usize = 8;

/// The SerDe's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LazySimple {
    separators: Vec<u8>,
    escape: Option<u8>,
    null: Vec<u8>,
    last_takes_rest: bool,
    more_booleans: bool,
}

impl LazySimple {
    /// Reads the properties; one that is not understood as Athena does is refused by its name.
    pub(crate) fn parse(properties: &Properties<'_>, columns: &[HiveType]) -> Result<Self, ScanError> {
        properties.refuse(&["timestamp.formats"])?;
        properties.only("serialization.encoding", &["UTF-8", "utf-8", "UTF8", "utf8"])?;
        properties.only("line.delim", &["\n", "10"])?;
        let extended = properties.flag("hive.serialization.extend.nesting.levels")
            || properties.flag("hive.serialization.extend.additional.nesting.levels");
        let mut separators = SEPARATORS[..if extended { SEPARATORS.len() } else { LEVELS }].to_vec();
        let keys: [&[&str]; 3] = [
            &["field.delim", "serialization.format"],
            // The first is the spelling that Hive has had from the start.
            &["colelction.delim", "collection.delim"],
            &["mapkey.delim"],
        ];
        for (level, keys) in keys.iter().enumerate() {
            if let Some(byte) = properties.first(keys, delimiter)? {
                separators[level] = byte;
            }
        }
        for column in columns {
            let depth = depth(column);
            if depth > separators.len() {
                return Err(properties.unsupported(&format!(
                    "a column nests {depth} separators deep, this SerDe knows {}",
                    separators.len()
                )));
            }
        }
        let escape = match properties.get("escape.delim") {
            Some("") => Some(b'\\'),
            Some(_) => properties.first(&["escape.delim"], delimiter)?,
            None => None,
        };
        Ok(Self {
            separators,
            escape,
            null: properties
                .get("serialization.null.format")
                .unwrap_or("\\N")
                .as_bytes()
                .to_vec(),
            last_takes_rest: properties.flag("serialization.last.column.takes.rest"),
            more_booleans: properties.flag("hive.lazysimple.extended_boolean_literal"),
        })
    }

    /// A decoder of the columns `wanted` (ascending) of all `columns` of a line.
    pub(crate) fn decoder(&self, columns: &[HiveType], wanted: &[usize]) -> LazySimpleDecoder {
        LazySimpleDecoder {
            serde: self.clone(),
            columns: columns.to_vec(),
            wanted: wanted.to_vec(),
        }
    }
}

/// Separators that values of this type need, the one between columns included.
fn depth(hive: &HiveType) -> usize {
    1 + match hive {
        HiveType::Array(element) => depth(element),
        HiveType::Map(key, value) => 1 + depth(key).max(depth(value)),
        HiveType::Struct(fields) => fields.iter().map(|f| depth(&f.data_type)).max().unwrap_or(0),
        _ => 0,
    }
}

/// Decodes lines.
pub(crate) struct LazySimpleDecoder {
    serde: LazySimple,
    columns: Vec<HiveType>,
    wanted: Vec<usize>,
}

impl RowDecoder for LazySimpleDecoder {
    fn decode(&mut self, line: &[u8], out: &mut [ColumnBuilder]) -> Result<(), String> {
        let count = self.columns.len();
        let rest = self.serde.last_takes_rest.then_some(count);
        let mut fields = self.serde.split(line, self.serde.separators[0], rest);
        let mut ordinal = 0;
        for (wanted, builder) in self.wanted.iter().zip(out) {
            let field = fields.by_ref().nth(wanted - ordinal);
            ordinal = wanted + 1;
            match field {
                Some(field) => self.serde.value(&self.columns[*wanted], field, 1, builder)?,
                // Fields that a short line does not have are NULL.
                None => builder.append_null(),
            }
        }
        Ok(())
    }
}

impl LazySimple {
    /// The parts of `text` between separators that no escape byte stands before.
    ///
    /// With `Some(n)` the n-th part is all that is left.
    fn split<'a>(&self, text: &'a [u8], separator: u8, at_most: Option<usize>) -> Split<'a> {
        Split {
            rest: Some(text),
            separator,
            escape: self.escape,
            left: at_most.unwrap_or(usize::MAX),
        }
    }

    /// Appends the value of `field`, whose parts are apart by the separator of `level`.
    fn value(
        &self,
        hive: &HiveType,
        field: &[u8],
        level: usize,
        builder: &mut ColumnBuilder,
    ) -> Result<(), String> {
        if field == self.null.as_slice() {
            builder.append_null();
            return Ok(());
        }
        let separator = || self.separators.get(level).copied().unwrap_or_default();
        match (hive, builder) {
            (HiveType::Array(element), ColumnBuilder::List(list)) => {
                if !field.is_empty() {
                    for part in self.split(field, separator(), None) {
                        self.value(element, part, level + 1, &mut list.elements)?;
                        list.element_done();
                    }
                }
                list.close();
                Ok(())
            }
            (HiveType::Struct(fields), ColumnBuilder::Struct(parts)) => {
                let rest = self.last_takes_rest.then_some(fields.len());
                let mut texts = self.split(field, separator(), rest);
                for (field, child) in fields.iter().zip(&mut parts.children) {
                    match texts.next() {
                        Some(text) => self.value(&field.data_type, text, level + 1, child)?,
                        None => child.append_null(),
                    }
                }
                parts.close();
                Ok(())
            }
            (HiveType::Map(..), builder) => self.map(hive, field, level, builder),
            (primitive, builder) => builder.append(self.scalar(primitive, field)),
        }
    }

    fn map(
        &self,
        hive: &HiveType,
        field: &[u8],
        level: usize,
        builder: &mut ColumnBuilder,
    ) -> Result<(), String> {
        let (HiveType::Map(key_type, value_type), ColumnBuilder::Map(map)) = (hive, builder) else {
            return Err("a map for a column that is none".to_owned());
        };
        let mut seen: HashSet<Cow<'_, str>> = HashSet::new();
        let (between, within) = (self.separators[level], self.separators[level + 1]);
        let entries = (!field.is_empty()).then(|| self.split(field, between, None));
        for entry in entries.into_iter().flatten() {
            let mut halves = self.split(entry, within, Some(2));
            let key = halves.next().unwrap_or_default();
            let key = if key == self.null.as_slice() {
                None
            } else {
                self.scalar(key_type, key)
            };
            // A map has no NULL keys, and of equal ones the first counts.
            let Some(key) = key.filter(|key| seen.insert(key.identity())) else {
                continue;
            };
            map.key(key)?;
            match halves.next() {
                Some(value) => self.value(value_type, value, level + 2, &mut map.values)?,
                None => map.values.append_null(),
            }
        }
        map.close();
        Ok(())
    }

    fn scalar<'a>(&self, hive: &HiveType, field: &'a [u8]) -> Option<Scalar<'a>> {
        match hive {
            HiveType::Boolean => self.boolean(field).map(Scalar::Boolean),
            HiveType::String | HiveType::Varchar(_) | HiveType::Char(_) => {
                Some(Scalar::Text(match self.unescaped(field) {
                    Cow::Borrowed(field) => text::sized(hive, field),
                    Cow::Owned(field) => Cow::Owned(text::sized(hive, &field).into_owned()),
                }))
            }
            HiveType::Binary => Some(Scalar::Binary(text::binary(field))),
            HiveType::Date => text::date(field).map(Scalar::Date),
            HiveType::Timestamp => text::timestamp(field).map(Scalar::Timestamp),
            number => text::numeric(number, field),
        }
    }

    fn boolean(&self, field: &[u8]) -> Option<bool> {
        match field {
            [b't' | b'T' | b'1'] if self.more_booleans => Some(true),
            [b'f' | b'F' | b'0'] if self.more_booleans => Some(false),
            word if word.eq_ignore_ascii_case(b"true") => Some(true),
            word if word.eq_ignore_ascii_case(b"false") => Some(false),
            _ => None,
        }
    }

    /// Without the escape bytes; the last byte of a field stays even if it is one.
    fn unescaped<'a>(&self, field: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(escape) = self.escape.filter(|e| memchr::memchr(*e, field).is_some()) else {
            return Cow::Borrowed(field);
        };
        let mut plain = Vec::with_capacity(field.len());
        let mut bytes = field.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            if byte == escape
                && let Some(next) = bytes.next()
            {
                plain.push(next);
            } else {
                plain.push(byte);
            }
        }
        Cow::Owned(plain)
    }
}

struct Split<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    escape: Option<u8>,
    left: usize,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        self.left = self.left.saturating_sub(1);
        let end = if self.left == 0 {
            None
        } else {
            match self.escape {
                None => memchr::memchr(self.separator, rest),
                Some(escape) => unescaped_at(rest, self.separator, escape),
            }
        };
        match end {
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                Some(&rest[..at])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

fn unescaped_at(text: &[u8], separator: u8, escape: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(separator, escape, text.get(from..)?)?;
        // The separator wins where both are one byte.
        if text[at] == separator {
            return Some(at);
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests;
