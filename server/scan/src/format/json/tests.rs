//! Both JSON SerDes on lines that are easy to get wrong, and rows written and read again.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use super::*;
use crate::format::properties::with_serde;

const HIVE: bool = true;
const OPENX: bool = false;

fn serde(hive: bool, properties: &[(&str, &str)]) -> Result<Json, ScanError> {
    let read = if hive { Json::hive } else { Json::openx };
    with_serde("JsonSerDe", properties, read)
}

/// One line as texts. Columns are `name type` with bars between.
fn row(hive: bool, properties: &[(&str, &str)], columns: &str, line: &str) -> Result<Vec<String>, String> {
    let columns: Vec<(String, HiveType)> = columns
        .split('|')
        .map(|c| {
            let (name, hive) = c.split_once(' ').unwrap();
            (name.to_owned(), HiveType::parse(hive).unwrap())
        })
        .collect();
    let wanted: Vec<usize> = (0..columns.len()).collect();
    let mut decoder = serde(hive, properties).unwrap().decoder(&columns, &wanted);
    let mut builders: Vec<ColumnBuilder> = columns.iter().map(|(_, t)| ColumnBuilder::top(t)).collect();
    decoder.decode(line.as_bytes(), &mut builders)?;
    let options = FormatOptions::default().with_null("NULL");
    Ok(builders
        .iter_mut()
        .map(|b| {
            let array = b.finish().unwrap();
            let texts = ArrayFormatter::try_new(&array, &options).unwrap();
            texts.value(0).to_string()
        })
        .collect())
}

#[test]
fn names_are_matched_without_case_and_missing_ones_are_null() {
    for hive in [HIVE, OPENX] {
        assert_eq!(
            row(
                hive,
                &[],
                "a int|b string|c double",
                r#" {"B":"x","A":1,"z":[{}]} "#
            )
            .unwrap(),
            ["1", "x", "NULL"]
        );
        let twice = row(hive, &[], "a int", r#"{"a":1,"A":2}"#);
        assert!(twice.unwrap_err().contains("twice"));
    }
}

#[test]
fn every_type_of_a_json_value() {
    for hive in [HIVE, OPENX] {
        assert_eq!(
            row(
                hive,
                &[],
                "t boolean|n bigint|f float|d decimal(20,3)|s varchar(2)|day date|ts timestamp|nil int",
                r#"{"t":true,"n":-9007199254740993,"f":1.5,"d":12345678901234567.8915,"s":"žlu","day":"2024-02-29",
                    "ts":"2024-02-29 10:00:00.5","nil":null}"#,
            )
            .unwrap(),
            ["true", "-9007199254740993", "1.5", "12345678901234567.892", "žl", "2024-02-29", "2024-02-29T10:00:00.500", "NULL"]
        );
        assert_eq!(
            row(
                hive,
                &[],
                "l array<int>|m map<string,array<int>>|r struct<x:int,y:struct<z:string>>",
                r#"{"l":[1,null,3],"m":{"k":[1],"K":[],"k":[2]},"r":{"Y":{"z":"\u017e"},"q":0}}"#,
            )
            .unwrap(),
            ["[1, NULL, 3]", "{k: [2], K: []}", "{x: NULL, y: {z: ž}}"]
        );
    }
}

#[test]
fn hive_guesses_nothing() {
    for (columns, line) in [
        ("a int", r#"{"a":"1"}"#),
        ("a int", r#"{"a":2147483648}"#),
        ("a int", r#"{"a":[1]}"#),
        ("a string", r#"{"a":{"b":1}}"#),
        ("a array<int>", r#"{"a":1}"#),
        ("a struct<b:int>", r#"{"a":[1]}"#),
        ("a date", r#"{"a":"soon"}"#),
        ("a int", "[1]"),
        ("a int", ""),
        ("a int", r#"{"a":1"#),
    ] {
        assert!(row(HIVE, &[], columns, line).is_err(), "{columns} {line}");
    }
    assert_eq!(
        row(HIVE, &[], "a int|b string", r#"{"a":1.9,"b":2.50} tail"#).unwrap(),
        ["1", "2.50"]
    );
}

#[test]
fn openx_forgives() {
    assert_eq!(
        row(
            OPENX,
            &[],
            "a int|b bigint|c string|d array<int>|e map<string,int>|f struct<x:int>|g boolean",
            r#"{"a":"0x1F","b":"12.9","c":{ "k": [1, "a b"] },"d":7,"e":" ","f":"","g":1}"#,
        )
        .unwrap(),
        [
            "31",
            "12",
            r#"{"k":[1,"a b"]}"#,
            "[7]",
            "NULL",
            "{x: NULL}",
            "false"
        ]
    );
    assert_eq!(
        row(
            OPENX,
            &[],
            "a int|b string|c struct<x:int,y:int>|d int",
            r#"[1,"x",[2]]"#
        )
        .unwrap(),
        ["1", "x", "{x: 2, y: NULL}", "NULL"]
    );
    for line in ["", "text", "12"] {
        assert_eq!(
            row(OPENX, &[], "a int|b string", line).unwrap(),
            ["NULL", "NULL"],
            "{line}"
        );
    }
    for line in [r#"{"a":1"#, r#"{"a":1} tail"#] {
        assert!(row(OPENX, &[], "a int", line).is_err(), "{line}");
        let ignore = &[("ignore.malformed.json", "TRUE")];
        assert_eq!(row(OPENX, ignore, "a int", line).unwrap(), ["NULL"], "{line}");
    }
    for line in [r#"{"a":"x"}"#, r#"{"a":{}}"#, r#"{"a":2147483648}"#] {
        assert!(row(OPENX, &[], "a int", line).is_err(), "{line}");
    }
}

#[test]
fn openx_timestamps_are_numbers_or_texts() {
    for (value, expected) in [
        ("1579059880", "2020-01-15T03:44:40"),
        ("1579059880123", "2020-01-15T03:44:40.123"),
        ("1579059880.1239", "2020-01-15T03:44:40.123"),
        (r#""2020-01-15T03:44:40Z""#, "2020-01-15T03:44:40"),
        (r#""2020-01-15T04:44:40.5+01:00""#, "2020-01-15T03:44:40.500"),
        (r#""2020-01-14T22:44:40-0500""#, "2020-01-15T03:44:40"),
        (r#""2020-01-15 03:44:40""#, "2020-01-15T03:44:40"),
    ] {
        let line = format!(r#"{{"a":{value}}}"#);
        assert_eq!(
            row(OPENX, &[], "a timestamp", &line).unwrap(),
            [expected],
            "{value}"
        );
    }
    assert!(row(OPENX, &[], "a timestamp", r#"{"a":"soon"}"#).is_err());
}

#[test]
fn openx_names_by_mapping_case_and_dots() {
    let mapping = &[("mapping.a", "Time Stamp"), ("case.insensitive", "false")];
    assert_eq!(
        row(OPENX, mapping, "a int|b int", r#"{"Time Stamp":1,"B":2}"#).unwrap(),
        ["1", "NULL"]
    );
    assert_eq!(
        row(OPENX, &[("mapping.a", "TS")], "a int", r#"{"ts":1}"#).unwrap(),
        ["1"]
    );
    let dots = &[("dots.in.keys", "true")];
    assert_eq!(
        row(OPENX, dots, "a_b int|c_d int", r#"{"a.b":1,"C.D":2}"#).unwrap(),
        ["1", "2"]
    );
    assert_eq!(row(OPENX, &[], "a_b int", r#"{"a.b":1}"#).unwrap(), ["NULL"]);
}

#[test]
fn formats_of_timestamps_are_refused_by_name() {
    for hive in [HIVE, OPENX] {
        let error = serde(hive, &[("timestamp.formats", "yyyy")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("timestamp.formats"), "{error}");
    }
}

proptest! {
    #[test]
    fn written_rows_come_back(s in proptest::option::of(".{0,12}"), n in any::<Option<i64>>(), list in proptest::collection::vec("[a-ž\"\\\\]{0,4}", 0..4)) {
        let line = serde_json::json!({ "s": s, "n": n, "l": { "of": list } }).to_string();
        for hive in [HIVE, OPENX] {
            let found = row(hive, &[], "s string|n bigint|l struct<of:array<string>>", &line).unwrap();
            prop_assert_eq!(&found[0], s.as_deref().unwrap_or("NULL"));
            prop_assert_eq!(&found[1], &n.map_or("NULL".to_owned(), |n| n.to_string()));
            prop_assert_eq!(&found[2], &format!("{{of: [{}]}}", list.join(", ")));
        }
    }
}
