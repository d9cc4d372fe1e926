//! Every row of the table "same name, different answer" in the compatibility specification.

use super::{check, rows};
use owlake_fault::Code;

#[test]
fn every_row_of_the_table_is_answered_as_trino_or_refused() {
    check(&[
        ("date_format(TIMESTAMP '2022-10-20 05:10:07', '%M')", "October"),
        (
            "date_format(TIMESTAMP '2022-10-20 05:10:07', '%H:%i:%s')",
            "05:10:07",
        ),
        ("concat('a', NULL, 'b')", "NULL"),
        ("concat('a', 'b', 'c')", "abc"),
        ("greatest(1, NULL, 3)", "NULL"),
        ("least(1, NULL, 3)", "NULL"),
        ("greatest(1, 7, 3)", "7"),
        ("least(4, 2, 3)", "2"),
        ("regexp_replace('aXbXc', 'X', '-')", "a-b-c"),
        ("substr('hello', -3)", "llo"),
        ("substr('hello', 0, 2)", ""),
        ("cardinality(ARRAY[ARRAY[1,2],ARRAY[3,4]])", "2"),
        ("element_at(MAP(ARRAY['k'], ARRAY[7]), 'k')", "7"),
        ("element_at(MAP(ARRAY['k'], ARRAY[7]), 'x')", "NULL"),
        ("element_at(ARRAY[1,2,3], -1)", "3"),
        ("element_at(ARRAY[1,2,3], 4)", "NULL"),
        ("reverse(ARRAY[1,2])", "[2, 1]"),
        ("concat(ARRAY[1], ARRAY[2])", "[1, 2]"),
        ("array_sort(ARRAY[3,NULL,1])", "[1, 3, NULL]"),
        ("array_position(ARRAY[1,2], 9)", "0"),
        ("contains(ARRAY[1,2], 2)", "true"),
        ("contains(ARRAY[1,NULL], 2)", "NULL"),
        ("contains(ARRAY[1,3], 2)", "false"),
        ("day_of_week(DATE '2022-10-23')", "7"),
        ("dow(DATE '2022-10-23')", "7"),
        ("extract(dow FROM DATE '2022-10-23')", "7"),
        ("date_trunc('day', DATE '2022-10-23')", "2022-10-23"),
        ("typeof(date_trunc('day', DATE '2022-10-23'))", "date"),
        (
            "TIMESTAMP '2022-10-20 05:10:00' AT TIME ZONE 'America/New_York'",
            "!NOT_SUPPORTED",
        ),
        (
            "TIMESTAMP '2022-10-20 05:10:00 America/New_York'",
            "!NOT_SUPPORTED",
        ),
        ("to_unixtime(TIMESTAMP '2020-01-15 03:44:40.500')", "1579059880.5"),
        ("typeof(to_unixtime(TIMESTAMP '2020-01-15 03:44:40'))", "double"),
        (
            "CAST(from_unixtime(1579059880.5) AS varchar)",
            "2020-01-15 03:44:40.500 UTC",
        ),
        ("typeof(from_unixtime(0))", "timestamp(3) with time zone"),
        ("CAST(2.7E0 AS bigint)", "3"),
        ("CAST('abcdef' AS varchar(3))", "abc"),
        ("CAST('abc' AS char(5))", "!NOT_SUPPORTED"),
        (
            "CAST(TIMESTAMP '2020-01-01 00:00:00' AS varchar)",
            "2020-01-01 00:00:00",
        ),
        (
            "CAST(TIMESTAMP '2020-01-01 00:00:00.120' AS varchar)",
            "2020-01-01 00:00:00.120",
        ),
        ("CAST(1E0 AS varchar)", "1.0E0"),
        ("typeof(1.0)", "decimal(2,1)"),
        ("CAST(7.0 / 2 AS varchar)", "3.5"),
        ("2147483647 + 1", "!NUMERIC_VALUE_OUT_OF_RANGE"),
        ("9223372036854775807 + 1", "!NUMERIC_VALUE_OUT_OF_RANGE"),
        ("1 = '1'", "!TYPE_MISMATCH"),
        ("DATE '2020-01-01' = '2020-01-01'", "!TYPE_MISMATCH"),
        ("to_hex(md5(to_utf8('a')))", "0CC175B9C0F1B6A831C399E269772661"),
        ("md5('a')", "!TYPE_MISMATCH"),
        (
            "to_hex(sha256(to_utf8('a')))",
            "CA978112CA1BBDCAFAC231B39A23DC4DA786EFF8147C4E72B9807785AFEE48BB",
        ),
        ("sha256('a')", "!TYPE_MISMATCH"),
        ("2 ^ 3", "!SYNTAX_ERROR"),
        ("approx_percentile(1, 0.5)", "!NOT_SUPPORTED"),
    ]);
}

#[test]
fn nulls_sort_last_in_both_directions() {
    let order = |direction: &str| {
        let sql = format!("SELECT x FROM (VALUES (1), (NULL), (2)) AS t(x) ORDER BY x {direction}");
        rows(&sql).unwrap().concat().join(",")
    };
    assert_eq!(order("DESC"), "2,1,NULL");
    assert_eq!(order("ASC"), "1,2,NULL");
}

#[test]
fn a_sum_of_bigint_that_leaves_its_range_fails() {
    let fault = rows("SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) AS t(x)").unwrap_err();
    assert_eq!(fault.code(), Code::NumericValueOutOfRange);
}

/// The records of the sqllogictest file, which runs over the wire elsewhere, hold for the library too.
#[test]
fn the_sqllogictest_file_holds() {
    let text = include_str!("../../../../../testdata/slt/dialect/athena_6_1.slt");
    let mut checked = 0;
    for record in text.split("\n\n") {
        let lines: Vec<&str> = record.lines().filter(|l| !l.starts_with('#')).collect();
        let Some((head, rest)) = lines.split_first() else {
            continue;
        };
        if let Some(code) = head.strip_prefix("statement error ") {
            let fault = rows(&rest.join("\n")).expect_err(record);
            assert_eq!(fault.code().as_str(), code, "{fault}");
        } else if *head == "query T nosort" {
            let place = rest.iter().position(|l| *l == "----").expect(record);
            let got = rows(&rest[..place].join("\n")).expect(record).concat();
            let want: Vec<_> = rest[place + 1..]
                .iter()
                .map(|l| l.replace("(empty)", ""))
                .collect();
            assert_eq!(got, want, "{record}");
        } else {
            panic!("unknown record: {record}");
        }
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

/// Links in refusals lead somewhere.
#[test]
fn every_refusal_points_at_a_section_of_the_page() {
    let page = include_str!("../../../../../docs/sql-differences.md");
    let sections: Vec<String> = page
        .lines()
        .filter_map(|l| l.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(',', "").replace(' ', "-"))
        .collect();
    let refused = [
        "date_parse('Mon', '%a')",
        "CAST('2020-01-01 00:00:00' AS timestamp(1))",
        "CAST('10:00' AS time)",
        "CAST('a' AS char(2))",
        "coalesce(json_parse('1'), json_parse('2'))",
        "json_extract('{}', '$..a')",
        "CAST(true AS decimal(1,0))",
        "DATE '2020-01-02' - DATE '2020-01-01'",
        "ARRAY[1] = ARRAY[1]",
        "regexp_like('a', '(?=a)')",
        "regexp_like('a', '(?i)[ß]')",
        "typeof(INTERVAL '0' DAY)",
        "regexp_replace('a', 'a', x -> x[1])",
        "ST_Buffer(1)",
        "word_stem('a')",
    ];
    for expression in refused {
        let fault = rows(&format!("SELECT {expression}")).expect_err(expression);
        assert_eq!(fault.code(), Code::NotSupported, "{expression}: {fault}");
        let text = fault.to_string();
        let (_, anchor) = text.split_once("docs/sql-differences.md#").expect(&text);
        let anchor = anchor.trim_end_matches(|c: char| !c.is_alphanumeric());
        assert!(
            sections.iter().any(|s| s == anchor),
            "{expression}: no section {anchor}"
        );
    }
}
