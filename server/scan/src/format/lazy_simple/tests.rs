//! Delimited text on lines that are easy to get wrong, and rows written and read again.

use arrow::array::{Array, ArrayRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use super::*;
use crate::format::properties::with_serde;

fn serde(properties: &[(&str, &str)], columns: &[HiveType]) -> Result<LazySimple, ScanError> {
    with_serde("LazySimpleSerDe", properties, |p| LazySimple::parse(p, columns))
}

fn columns(types: &str) -> Vec<HiveType> {
    types.split('|').map(|t| HiveType::parse(t).unwrap()).collect()
}

fn decode(properties: &[(&str, &str)], types: &str, wanted: &[usize], lines: &[&[u8]]) -> Vec<ArrayRef> {
    let columns = columns(types);
    let mut decoder = serde(properties, &columns).unwrap().decoder(&columns, wanted);
    let mut builders: Vec<ColumnBuilder> = wanted.iter().map(|i| ColumnBuilder::top(&columns[*i])).collect();
    for line in lines {
        decoder.decode(line, &mut builders).unwrap();
    }
    builders.iter_mut().map(|b| b.finish().unwrap()).collect()
}

/// One line as texts, NULL as `NULL`.
fn row(properties: &[(&str, &str)], types: &str, line: &[u8]) -> Vec<String> {
    let wanted: Vec<usize> = (0..columns(types).len()).collect();
    let options = FormatOptions::default().with_null("NULL");
    decode(properties, types, &wanted, &[line])
        .iter()
        .map(|a| ArrayFormatter::try_new(a, &options).unwrap().value(0).to_string())
        .collect()
}

const COMMA: &[(&str, &str)] = &[("field.delim", ",")];

#[test]
fn what_is_not_of_the_type_is_null() {
    assert_eq!(
        row(
            COMMA,
            "int|tinyint|double|boolean|date|decimal(4,1)",
            b"x,300,,yes,soon,12345"
        ),
        ["NULL"; 6]
    );
    assert_eq!(
        row(
            COMMA,
            "int|tinyint|double|boolean|date|decimal(4,1)",
            b"1,-128,2.5,TRUE,2024-01-02,123.45"
        ),
        ["1", "-128", "2.5", "true", "2024-01-02", "123.5"]
    );
}

#[test]
fn an_empty_text_is_no_null() {
    assert_eq!(row(COMMA, "string|int|string", b",,\\N"), ["", "NULL", "NULL"]);
    let empty = &[("field.delim", ","), ("serialization.null.format", "")];
    assert_eq!(row(empty, "string|int|string", b",,\\N"), ["NULL", "NULL", "\\N"]);
    assert_eq!(row(COMMA, "string|int", b""), ["", "NULL"]);
}

#[test]
fn short_lines_end_in_nulls_and_long_ones_are_cut() {
    assert_eq!(row(COMMA, "string|string", b"a"), ["a", "NULL"]);
    assert_eq!(row(COMMA, "string|string", b"a,b,c,d"), ["a", "b"]);
    let rest = &[
        ("field.delim", ","),
        ("serialization.last.column.takes.rest", "true"),
    ];
    assert_eq!(row(rest, "string|string", b"a,b,c,d"), ["a", "b,c,d"]);
}

#[test]
fn quotes_mean_nothing_and_escapes_do() {
    assert_eq!(row(COMMA, "string|string", b"\"a,b\",c"), ["\"a", "b\""]);
    let escape = &[("field.delim", ","), ("escape.delim", "\\")];
    assert_eq!(row(escape, "string|string", b"a\\,b,c\\\\"), ["a,b", "c\\"]);
    assert_eq!(row(escape, "string|string", b"a\\nb,c\\"), ["anb", "c\\"]);
    assert_eq!(row(escape, "string|string", b"\\N,x"), ["NULL", "x"]);
    assert_eq!(row(COMMA, "string|string", b"a\\,b"), ["a\\", "b"]);
}

#[test]
fn without_properties_the_delimiters_are_control_characters() {
    assert_eq!(
        row(
            &[],
            "string|array<int>|map<string,int>|struct<x:int,y:array<string>>",
            b"a\x011\x022\x02x\x01k\x031\x02k\x032\x02l\x01\x37\x02p\x03q"
        ),
        ["a", "[1, 2, NULL]", "{k: 1, l: NULL}", "{x: 7, y: [p, q]}"]
    );
    let named = &[
        ("field.delim", ","),
        ("colelction.delim", "|"),
        ("mapkey.delim", ":"),
    ];
    assert_eq!(
        row(
            named,
            "array<string>|map<int,string>|array<string>",
            b"a|\\N|,1:x:y|z:w|2,"
        ),
        ["[a, NULL, ]", "{1: x:y, 2: NULL}", "[]"]
    );
}

#[test]
fn delimiters_are_a_first_character_or_the_number_of_a_byte() {
    assert_eq!(row(&[("field.delim", "9")], "string|string", b"a\tb"), ["a", "b"]);
    assert_eq!(
        row(&[("field.delim", "||")], "string|string|string", b"a||b"),
        ["a", "", "b"]
    );
    assert_eq!(
        row(&[("serialization.format", ";")], "string|string", b"a;b"),
        ["a", "b"]
    );
    assert_eq!(
        row(&[("field.delim", "-1")], "string|string", b"a\xFFb"),
        ["a", "b"]
    );
}

#[test]
fn only_the_wanted_columns_are_made() {
    let arrays = decode(COMMA, "int|int|int|int", &[1, 3], &[b"1,2,3,4", b"5"]);
    assert_eq!(arrays.len(), 2);
    let values: Vec<Vec<Option<i32>>> = arrays
        .iter()
        .map(|a| {
            arrow::array::AsArray::as_primitive::<arrow::datatypes::Int32Type>(a)
                .iter()
                .collect()
        })
        .collect();
    assert_eq!(values, [[Some(2), None], [Some(4), None]]);
}

#[test]
fn properties_that_mean_something_else_are_refused_by_name() {
    for (key, value) in [
        ("timestamp.formats", "yyyy"),
        ("serialization.encoding", "GBK"),
        ("line.delim", "|"),
        ("field.delim", "§"),
    ] {
        let error = serde(&[(key, value)], &[]).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
    let deep = columns(&format!("{}int{}", "array<".repeat(8), ">".repeat(8)));
    assert!(serde(&[], &deep).is_err());
    assert!(serde(&[("hive.serialization.extend.nesting.levels", "true")], &deep).is_ok());
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if matches!(c, ',' | '\\') {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

proptest! {
    #[test]
    fn written_rows_come_back(
        rows in proptest::collection::vec(
            (proptest::option::of("[a-zž,\\\\\" ]{0,8}"), proptest::option::of(any::<i64>()), proptest::option::of(any::<f64>())),
            1..20,
        ),
    ) {
        let null = || "\\N".to_owned();
        let lines: Vec<Vec<u8>> = rows
            .iter()
            .map(|(s, n, d)| {
                let s = s.as_ref().map_or_else(null, |s| escaped(s));
                let n = n.map_or_else(null, |n| n.to_string());
                let d = d.map_or_else(null, |d| format!("{d:e}"));
                format!("{s},{n},{d}").into_bytes()
            })
            .collect();
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let properties = &[("field.delim", ","), ("escape.delim", "\\")];
        let arrays = decode(properties, "string|bigint|double", &[0, 1, 2], &lines);
        let texts = arrow::array::AsArray::as_string_view(&arrays[0]);
        let numbers = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&arrays[1]);
        let doubles = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(&arrays[2]);
        for (i, (s, n, d)) in rows.iter().enumerate() {
            prop_assert_eq!(texts.is_valid(i).then(|| texts.value(i)), s.as_deref());
            prop_assert_eq!(numbers.is_valid(i).then(|| numbers.value(i)), *n);
            match d {
                Some(d) if d.is_finite() => prop_assert_eq!(doubles.value(i), *d),
                // Rust writes NaN and inf in words that Java does not read.
                _ => {}
            }
        }
    }
}
