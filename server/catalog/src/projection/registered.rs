//! Registered (Hive-style) partitions: their values by column type, their directory names and back.
//!
//! Escaping follows Hive's `FileUtils.escapePathName`: the same bytes as Hive, Athena and Trino write.

use std::fmt::Write as _;

use chrono::{NaiveDate, NaiveDateTime};

use super::column::ColumnType;
use crate::domain::PartitionValue;
use crate::error::CatalogError;
use crate::model::{Column, HIVE_DEFAULT_PARTITION};

/// Reads the texts of one registered partition in the types of its keys; `None` is NULL
/// (`__HIVE_DEFAULT_PARTITION__`).
///
/// # Errors
/// `PartitionArity` where the counts differ; `Import`, naming column and text, where a text does not fit its
/// column's type or the type is none a partition column may have here (float, double, decimal, binary, nested).
pub fn partition_values(
    keys: &[Column],
    values: &[String],
) -> Result<Vec<Option<PartitionValue>>, CatalogError> {
    if keys.len() != values.len() {
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        return Err(CatalogError::PartitionArity {
            table: format!("({})", names.join(", ")),
            given: values.len(),
            keys: keys.len(),
        });
    }
    keys.iter()
        .zip(values)
        .map(|(key, text)| value(key, text))
        .collect()
}

fn value(key: &Column, text: &str) -> Result<Option<PartitionValue>, CatalogError> {
    if text == HIVE_DEFAULT_PARTITION {
        return Ok(None);
    }
    let fail = |reason: String| {
        Err(CatalogError::Import {
            place: format!("partition column `{}`", key.name),
            reason,
        })
    };
    let Some(column_type) = ColumnType::parse(&key.data_type) else {
        return fail(format!(
            "type {} is not supported for partition columns",
            key.data_type
        ));
    };
    let parsed = match column_type {
        ColumnType::Text => Some(PartitionValue::Text(text.to_owned())),
        ColumnType::Integer(low, high) => text
            .parse()
            .ok()
            .filter(|n| (low..=high).contains(n))
            .map(PartitionValue::Integer),
        ColumnType::Boolean if text.eq_ignore_ascii_case("true") => Some(PartitionValue::Boolean(true)),
        ColumnType::Boolean if text.eq_ignore_ascii_case("false") => Some(PartitionValue::Boolean(false)),
        ColumnType::Boolean => None,
        ColumnType::Date => date(text).map(PartitionValue::Date),
        ColumnType::Timestamp => timestamp(text).map(PartitionValue::Timestamp),
    };
    match parsed {
        Some(value) => Ok(Some(value)),
        None => fail(format!(
            "value '{}' does not fit type {}",
            text.escape_debug(),
            key.data_type
        )),
    }
}

fn date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn timestamp(text: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .or_else(|| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()
                .map(NaiveDateTime::from)
        })?;
    Some(time.and_utc().timestamp_micros())
}

/// `<base>/<key1>=<value1>/.../`: Hive's directory of a partition, names and values escaped. `base` gets a
/// slash at its end where it has none; nothing else of it changes. An empty value is NULL, as in Hive.
pub fn hive_location(base: &str, keys: &[Column], values: &[String]) -> String {
    let mut out = base.to_owned();
    if !out.ends_with('/') {
        out.push('/');
    }
    for (key, value) in keys.iter().zip(values) {
        push_hive_segment(&mut out, &key.name, value);
    }
    out
}

/// Appends `name=value/`, escaped.
pub(super) fn push_hive_segment(out: &mut String, name: &str, value: &str) {
    push_escaped(out, name);
    out.push('=');
    push_escaped(
        out,
        if value.is_empty() {
            HIVE_DEFAULT_PARTITION
        } else {
            value
        },
    );
    out.push('/');
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\0'..='\x1f'
            | '\x7f'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Inverse of [`hive_location`] for the part below the base (`year=2024/city=S%3A1/`): names and values in
/// order, unescaped. `None` where a segment is no `name=value`; slashes at both ends do not matter.
pub fn parse_hive_path(path: &str) -> Option<Vec<(String, String)>> {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Some(Vec::new());
    }
    path.split('/')
        .map(|segment| {
            let (name, value) = segment.split_once('=')?;
            (!name.is_empty()).then(|| (unescaped(name), unescaped(value)))
        })
        .collect()
}

/// Undoes the escaping; a `%` without two hexadecimal digits behind it stands for itself, as in Hive.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code = rest
            .get(..2)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[2..];
            }
            None => out.push('%'),
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: &str, data_type: &str) -> Column {
        Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            comment: None,
        }
    }

    fn read(data_type: &str, text: &str) -> Result<Option<PartitionValue>, String> {
        partition_values(&[key("c", data_type)], &[text.to_owned()])
            .map(|mut values| values.remove(0))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn values_come_in_the_type_of_their_column() {
        let cases = [
            ("string", "007", PartitionValue::Text("007".to_owned())),
            ("VARCHAR(10)", " x", PartitionValue::Text(" x".to_owned())),
            ("tinyint", "-128", PartitionValue::Integer(-128)),
            ("int", "007", PartitionValue::Integer(7)),
            ("bigint", "9223372036854775807", PartitionValue::Integer(i64::MAX)),
            ("date", "1970-01-02", PartitionValue::Date(1)),
            ("date", "1969-12-31", PartitionValue::Date(-1)),
            (
                "timestamp",
                "1970-01-01 00:00:01.5",
                PartitionValue::Timestamp(1_500_000),
            ),
            (
                "timestamp",
                "1970-01-02",
                PartitionValue::Timestamp(86_400_000_000),
            ),
            ("boolean", "TRUE", PartitionValue::Boolean(true)),
        ];
        for (data_type, text, value) in cases {
            assert_eq!(read(data_type, text), Ok(Some(value)), "{data_type} {text}");
        }
        for data_type in ["string", "int", "date", "boolean"] {
            assert_eq!(read(data_type, HIVE_DEFAULT_PARTITION), Ok(None));
        }
    }

    #[test]
    fn texts_that_do_not_fit_name_column_and_text() {
        let cases = [
            ("int", "abc"),
            ("int", ""),
            ("tinyint", "128"),
            ("date", "2020-13-01"),
            ("timestamp", "noon"),
            ("boolean", "1"),
        ];
        for (data_type, text) in cases {
            assert_eq!(
                read(data_type, text),
                Err(format!(
                    "partition column `c`: value '{text}' does not fit type {data_type}"
                ))
            );
        }
        assert!(
            read("double", "1")
                .unwrap_err()
                .contains("type double is not supported")
        );
        let arity = partition_values(&[key("y", "int"), key("m", "int")], &["1".to_owned()]).unwrap_err();
        assert_eq!(
            arity.to_string(),
            "partition of `(y, m)` has 1 values, the table has 2 partition keys"
        );
    }

    #[test]
    fn directories_are_escaped_as_hive_does() {
        let keys = [key("dt", "string"), key("n=1", "string")];
        let values = ["2020-01-01 10:00".to_owned(), "a/b%c\u{e9}}".to_owned()];
        assert_eq!(
            hive_location("s3://b/t", &keys, &values),
            "s3://b/t/dt=2020-01-01 10%3A00/n%3D1=a%2Fb%25c\u{e9}}/"
        );
        assert_eq!(
            hive_location("s3://b/t//", &keys[..1], &[String::new()]),
            "s3://b/t//dt=__HIVE_DEFAULT_PARTITION__/"
        );
    }

    #[test]
    fn only_name_value_segments_make_a_hive_path() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(
            parse_hive_path("/y=1/m=%zz%2/"),
            Some(vec![pair("y", "1"), pair("m", "%zz%2")])
        );
        assert_eq!(parse_hive_path("y=a=b"), Some(vec![pair("y", "a=b")]));
        assert_eq!(parse_hive_path(""), Some(Vec::new()));
        for path in ["y=1/data", "y=1//m=2", "=1"] {
            assert_eq!(parse_hive_path(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_directory_reads_back(pairs in prop::collection::vec(("\\PC{1,6}", any::<String>()), 1..4)) {
            let keys: Vec<Column> = pairs.iter().map(|(n, _)| key(n, "string")).collect();
            let values: Vec<String> = pairs.iter().map(|(_, v)| v.clone()).collect();
            let location = hive_location("s3://b/", &keys, &values);
            let back = parse_hive_path(location.strip_prefix("s3://b/").unwrap()).unwrap();
            let expected: Vec<(String, String)> = pairs
                .into_iter()
                .map(|(n, v)| (n, if v.is_empty() { HIVE_DEFAULT_PARTITION.to_owned() } else { v }))
                .collect();
            prop_assert_eq!(back, expected);
        }
    }
}
