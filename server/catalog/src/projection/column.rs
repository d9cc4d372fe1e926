//! One projected column: its SQL type and the rule its `projection.<column>.*` properties describe.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::date_format::DateFormat;
use super::date_range::{DateBound, DateRule, NOW_GRAMMAR, UNITS, Unit};
use crate::domain::PartitionValue;

/// Everything that may follow `projection.<column>.`.
pub(super) const SUFFIXES: [&str; 7] = [
    "type",
    "values",
    "range",
    "interval",
    "digits",
    "format",
    "interval.unit",
];

/// Widest zero padding: a longer name could not be an object key anyway.
const MAX_DIGITS: usize = 1_000;

/// A property that cannot be used; the table's name is added where it is known.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) property: String,
    pub(super) reason: String,
}

/// SQL type of a partition column, as far as partition values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    Text,
    /// Smallest and greatest value.
    Integer(i64, i64),
    Date,
    Timestamp,
    Boolean,
}

impl ColumnType {
    /// Reads the head of a Hive type text; `None` for types partition values here cannot have.
    pub(super) fn parse(hive_type: &str) -> Option<Self> {
        let head = hive_type
            .split('(')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        Some(match head.as_str() {
            "string" | "varchar" | "char" => Self::Text,
            "tinyint" => Self::Integer(i8::MIN.into(), i8::MAX.into()),
            "smallint" => Self::Integer(i16::MIN.into(), i16::MAX.into()),
            "int" | "integer" => Self::Integer(i32::MIN.into(), i32::MAX.into()),
            "bigint" => Self::Integer(i64::MIN, i64::MAX),
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }
}

/// Whole numbers `min`, `min + interval`, ... up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IntegerRule {
    pub(super) min: i64,
    pub(super) max: i64,
    /// At least 1.
    pub(super) interval: i64,
    /// Zero-padded width, a minus sign included; 0 for none.
    pub(super) digits: usize,
}

/// How a column's values come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// Values in the order written, without repeats, with their text.
    Enum(Arc<Vec<(PartitionValue, String)>>),
    Integer(IntegerRule),
    Date(DateRule),
    Injected,
}

impl Rule {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Enum(_) => "enum",
            Self::Integer(_) => "integer",
            Self::Date(_) => "date",
            Self::Injected => "injected",
        }
    }
}

/// The properties of one column by suffix; values are the key as written and the value.
pub(super) struct Properties<'a> {
    column: &'a str,
    hive_type: &'a str,
    found: BTreeMap<&'static str, (&'a str, &'a str)>,
}

impl<'a> Properties<'a> {
    pub(super) fn new(column: &'a str, hive_type: &'a str) -> Self {
        Self {
            column,
            hive_type,
            found: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Notes one property; two keys that differ in case only are refused.
    pub(super) fn add(&mut self, suffix: &'static str, key: &'a str, value: &'a str) -> Result<(), Refusal> {
        match self.found.insert(suffix, (key, value)) {
            None => Ok(()),
            Some((before, _)) => Err(Refusal {
                property: key.to_owned(),
                reason: format!("is given twice, also as `{before}`; keep one of them"),
            }),
        }
    }

    fn get(&self, suffix: &str) -> Option<&'a str> {
        self.found.get(suffix).map(|(_, value)| *value)
    }

    fn refuse(&self, suffix: &str, reason: impl Into<String>) -> Refusal {
        let property = match self.found.get(suffix) {
            Some((key, _)) => (*key).to_owned(),
            None => format!("projection.{}.{suffix}", self.column),
        };
        Refusal {
            property,
            reason: reason.into(),
        }
    }

    fn required(&self, suffix: &str, what: &str) -> Result<&'a str, Refusal> {
        self.get(suffix)
            .ok_or_else(|| self.refuse(suffix, format!("is missing: {what}")))
    }

    /// Builds the column's rule. Properties that belong to another projection type are left unread, as in Athena.
    pub(super) fn rule(&self) -> Result<(ColumnType, Rule), Refusal> {
        let kind = self.required("type", "it must be one of enum, integer, date, injected")?;
        let column_type = ColumnType::parse(self.hive_type);
        let unsupported = |fits: &str| {
            self.refuse(
                "type",
                format!("= '{kind}': unsupported column type: {}; {fits}", self.hive_type),
            )
        };
        let Some(column_type) = column_type else {
            return Err(unsupported(
                "projected columns are string, varchar, char, tinyint, smallint, int, bigint, date or timestamp",
            ));
        };
        let rule = match (kind.trim().to_ascii_lowercase().as_str(), column_type) {
            ("enum", ColumnType::Text | ColumnType::Integer(..)) => {
                Rule::Enum(Arc::new(self.enumeration(column_type)?))
            }
            ("enum", _) => return Err(unsupported("enum needs string, varchar, char or an integer type")),
            ("integer", ColumnType::Text | ColumnType::Integer(..)) => {
                Rule::Integer(self.integer(column_type)?)
            }
            ("integer", _) => {
                return Err(unsupported(
                    "integer needs tinyint, smallint, int, bigint, string, varchar or char",
                ));
            }
            ("date", ColumnType::Text | ColumnType::Date | ColumnType::Timestamp) => Rule::Date(self.date()?),
            ("date", _) => {
                return Err(unsupported("date needs string, varchar, char, date or timestamp"));
            }
            ("injected", ColumnType::Text) if self.hive_type.trim().eq_ignore_ascii_case("string") => {
                Rule::Injected
            }
            ("injected", _) => return Err(unsupported("injected needs string")),
            _ => {
                return Err(self.refuse(
                    "type",
                    format!("= '{kind}' is invalid. Available options: enum, integer, date, injected"),
                ));
            }
        };
        Ok((column_type, rule))
    }

    /// `values`: white space belongs to a value; empty items and repeats count for nothing.
    fn enumeration(&self, column_type: ColumnType) -> Result<Vec<(PartitionValue, String)>, Refusal> {
        let list = self.required("values", "type enum needs its values, such as 'us,eu,asia'")?;
        let mut out = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for text in list.split(',').filter(|text| !text.is_empty()) {
            if !seen.insert(text) {
                continue;
            }
            if let Some(c) = text.chars().find(|c| c.is_control()) {
                return Err(self.refuse(
                    "values",
                    format!(
                        "holds the control character {c:?} in '{}'; remove it",
                        text.escape_debug()
                    ),
                ));
            }
            let value = match column_type {
                ColumnType::Integer(low, high) => {
                    let number = text.parse::<i64>().ok().filter(|n| (low..=high).contains(n));
                    PartitionValue::Integer(number.ok_or_else(|| {
                        self.refuse(
                            "values",
                            format!(
                                "holds '{text}', which is not a value of type {} ({low} to {high}; white space is part of a value); \
                                 write numbers only, or make the column a string",
                                self.hive_type
                            ),
                        )
                    })?)
                }
                _ => PartitionValue::Text(text.to_owned()),
            };
            out.push((value, text.to_owned()));
        }
        if out.is_empty() {
            return Err(self.refuse("values", "holds no value; write for instance 'us,eu,asia'"));
        }
        Ok(out)
    }

    fn integer(&self, column_type: ColumnType) -> Result<IntegerRule, Refusal> {
        let range = self.required(
            "range",
            "type integer needs its smallest and greatest value, such as '0,100'",
        )?;
        let parts: Vec<&str> = range.split(',').map(str::trim).collect();
        let parsed = match parts.as_slice() {
            [min, max] => min.parse::<i64>().ok().zip(max.parse::<i64>().ok()),
            _ => None,
        };
        let Some((min, max)) = parsed else {
            return Err(self.refuse(
                "range",
                format!(
                    "= '{range}' needs to be a list of 2 integers of 64 bits, separated by a comma, such as '0,100'"
                ),
            ));
        };
        if min > max {
            return Err(self.refuse(
                "range",
                format!("= '{range}' starts above its end; did you mean '{max},{min}'?"),
            ));
        }
        if let ColumnType::Integer(low, high) = column_type
            && (min < low || max > high)
        {
            return Err(self.refuse(
                "range",
                format!(
                    "= '{range}' passes type {}, which holds {low} to {high}; use a wider type such as bigint",
                    self.hive_type
                ),
            ));
        }
        let digits = self.positive("digits", MAX_DIGITS as i64)?.unwrap_or(0);
        Ok(IntegerRule {
            min,
            max,
            interval: self.positive("interval", i64::MAX)?.unwrap_or(1),
            digits: usize::try_from(digits).unwrap_or(0),
        })
    }

    fn positive(&self, suffix: &str, max: i64) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.get(suffix) else {
            return Ok(None);
        };
        match text.trim().parse::<i64>() {
            Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
            _ => Err(self.refuse(
                suffix,
                format!("= '{text}' needs to be a whole number from 1 to {max}"),
            )),
        }
    }

    fn date(&self) -> Result<DateRule, Refusal> {
        let pattern = self.required(
            "format",
            "type date needs the pattern of its values, such as 'yyyy-MM-dd'",
        )?;
        let format = DateFormat::parse(pattern)
            .map_err(|reason| self.refuse("format", format!("= '{pattern}' {reason}")))?;
        let sample = format.print(chrono::NaiveDateTime::default());
        if sample.chars().any(char::is_control) {
            return Err(self.refuse("format", "holds a control character; remove it"));
        }
        let range = self.required("range", "type date needs its bounds, such as '2020-01-01,NOW'")?;
        let wrong = |detail: &str| {
            self.refuse(
                "range",
                format!(
                    "= '{range}' needs to be a list of 2 valid dates formatted as '{pattern}' (such as '{sample}') \
                     or as {NOW_GRAMMAR} that are sequential: {detail}"
                ),
            )
        };
        let parts: Vec<&str> = range.split(',').collect();
        let [first, last] = parts.as_slice() else {
            return Err(wrong(&format!("it has {} elements", parts.len())));
        };
        let bound = |text: &str| {
            DateBound::parse(text, &format).map_err(|reason| {
                let trimmed = text.trim();
                let hint = if trimmed != text && format.read(trimmed).is_ok() {
                    "; white space is part of a date, remove it"
                } else {
                    ""
                };
                wrong(&format!("'{text}': {reason}{hint}"))
            })
        };
        let (start, end) = (bound(first)?, bound(last)?);
        let unit = self.date_unit(&format)?;
        let interval = self.positive("interval", i64::MAX)?.unwrap_or(1);
        let rule = DateRule {
            range: range.to_owned(),
            start,
            end,
            format: Arc::new(format),
            interval,
            unit,
        };
        rule.check_order().map_err(|reason| wrong(&reason))?;
        Ok(rule)
    }

    fn date_unit(&self, format: &DateFormat) -> Result<Unit, Refusal> {
        match self.get("interval.unit") {
            Some(text) => Unit::parse(text).ok_or_else(|| {
                self.refuse("interval.unit", format!("= '{text}' is invalid. Available options: {UNITS}"))
            }),
            None => Unit::default_for(format.precision()).ok_or_else(|| {
                self.refuse(
                    "interval.unit",
                    format!(
                        "is missing: it needs to be set when the format is less than single-day precision ('{}' is); \
                         available options: {UNITS}",
                        format.pattern()
                    ),
                )
            }),
        }
    }
}
