//! Quoted CSV on lines that are easy to get wrong, and rows written and read again.

use proptest::prelude::*;

use super::*;
use crate::format::properties::with_serde;

fn serde(properties: &[(&str, &str)], columns: &[HiveType]) -> Result<OpenCsv, ScanError> {
    with_serde("OpenCSVSerde", properties, |p| OpenCsv::parse(p, columns))
}

fn fields(line: &str) -> Vec<String> {
    let serde = serde(&[], &[]).unwrap();
    serde.fields(line, 100).into_iter().map(Cow::into_owned).collect()
}

#[test]
fn quotes_and_escapes() {
    for (line, expected) in [
        ("a,b", vec!["a", "b"]),
        ("a,,", vec!["a", "", ""]),
        ("\"a,b\",c", vec!["a,b", "c"]),
        ("\"\",x", vec!["", "x"]),
        ("\"he said \"\"no\"\"\",x", vec!["he said \"no\"", "x"]),
        ("\"a\\\"b\",x", vec!["a\"b", "x"]),
        ("\"a\\\\b\",x", vec!["a\\b", "x"]),
        ("\"a\\nb\",x", vec!["anb", "x"]),
        ("a,bc\"d\"ef,g", vec!["a", "bc\"d\"ef", "g"]),
        ("abc,  \"d\",e", vec!["abc", "d", "e"]),
        ("a,\"b", vec!["a"]),
        ("žlu,\"ťou,čký\"", vec!["žlu", "ťou,čký"]),
        ("", vec![]),
    ] {
        assert_eq!(fields(line), expected, "{line}");
    }
}

#[test]
fn characters_are_those_of_the_properties() {
    let serde = serde(
        &[("separatorChar", "\t"), ("quoteChar", "'"), ("escapeChar", "^")],
        &[],
    )
    .unwrap();
    assert_eq!(serde.fields("'a\tb'\tc\t'd^'e'", 9), ["a\tb", "c", "d'e"]);
    for (key, value) in [
        ("separatorChar", "\""),
        ("separatorChar", "\\"),
        ("quoteChar", "\\"),
    ] {
        let error = self::serde(&[(key, value)], &[]).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn values_are_as_strict_as_athenas() {
    let parse = |hive: &HiveType, field: &'static str| value(hive, Cow::Borrowed(field));
    for (hive, field, expected) in [
        (HiveType::Int, "12", Scalar::Integer(12)),
        (HiveType::Double, "1.5", Scalar::Double(1.5)),
        (HiveType::Boolean, "TRUE", Scalar::Boolean(true)),
        (HiveType::Date, "18276", Scalar::Date(18_276)),
        (
            HiveType::Timestamp,
            "1579059880000",
            Scalar::Timestamp(1_579_059_880_000),
        ),
        (HiveType::String, "", Scalar::Text(Cow::Borrowed(""))),
        (HiveType::Varchar(2), "abc", Scalar::Text(Cow::Borrowed("ab"))),
    ] {
        assert_eq!(parse(&hive, field), Ok(expected), "{hive} {field}");
    }
    for (hive, field) in [
        (HiveType::Int, ""),
        (HiveType::Int, "1.0"),
        (HiveType::TinyInt, "128"),
        (HiveType::Boolean, "1"),
        (HiveType::Date, "2020-01-15"),
        (HiveType::Timestamp, "2020-01-15 00:00:00"),
        (HiveType::Double, ""),
    ] {
        assert!(parse(&hive, field).is_err(), "{hive} {field}");
    }
    for hive in ["decimal(4,2)", "binary", "array<string>"] {
        assert!(serde(&[], &[HiveType::parse(hive).unwrap()]).is_err(), "{hive}");
    }
}

proptest! {
    #[test]
    fn written_rows_come_back(row in proptest::collection::vec("[a-cž,\"\\\\ ]{0,8}", 1..6)) {
        let line: Vec<String> = row
            .iter()
            .map(|f| format!("\"{}\"", f.replace('\\', "\\\\").replace('"', "\\\"")))
            .collect();
        prop_assert_eq!(fields(&line.join(",")), row);
    }
}
