//! CAST and TRY_CAST.

use super::check;

#[test]
fn numbers_round_half_up_and_keep_their_range() {
    check(&[
        ("CAST(2.5E0 AS integer)", "3"),
        ("CAST(-2.5E0 AS integer)", "-3"),
        ("CAST(2.5 AS bigint)", "3"),
        ("CAST(-2.4 AS bigint)", "-2"),
        ("CAST(1E10 AS integer)", "!INVALID_CAST_ARGUMENT"),
        ("CAST(nan() AS bigint)", "!INVALID_CAST_ARGUMENT"),
        ("CAST(300 AS tinyint)", "!INVALID_CAST_ARGUMENT"),
        ("TRY_CAST(300 AS tinyint)", "NULL"),
        ("TRY_CAST(1E10 AS integer)", "NULL"),
        ("CAST(1.25 AS decimal(3,1))", "1.3"),
        ("CAST(12.5 AS decimal(2,1))", "!INVALID_CAST_ARGUMENT"),
        ("CAST(0.1E0 AS decimal(3,2))", "0.10"),
        ("CAST(1 AS double)", "1.0"),
        ("CAST(true AS integer)", "1"),
        ("CAST(2 AS boolean)", "true"),
        ("CAST(0E0 AS boolean)", "false"),
    ]);
}

#[test]
fn text_is_read_strictly() {
    check(&[
        ("CAST('12' AS integer)", "12"),
        ("CAST('+12' AS integer)", "12"),
        ("CAST(' 12' AS integer)", "!INVALID_CAST_ARGUMENT"),
        ("CAST('12.0' AS integer)", "!INVALID_CAST_ARGUMENT"),
        ("TRY_CAST('x' AS integer)", "NULL"),
        ("CAST(' 1.5 ' AS double)", "1.5"),
        ("CAST('Infinity' AS double)", "inf"),
        ("CAST('inf' AS double)", "!INVALID_CAST_ARGUMENT"),
        ("CAST('1.255' AS decimal(5,2))", "1.26"),
        ("CAST('1e2' AS decimal(5,1))", "100.0"),
        ("CAST('T' AS boolean)", "true"),
        ("CAST('yes' AS boolean)", "!INVALID_CAST_ARGUMENT"),
        ("CAST('2020-1-5' AS date)", "2020-01-05"),
        ("CAST('2020-02-30' AS date)", "!INVALID_CAST_ARGUMENT"),
        (
            "CAST('2020-01-01T00:00:00' AS timestamp)",
            "!INVALID_CAST_ARGUMENT",
        ),
        (
            "CAST(CAST('2020-01-01' AS timestamp) AS varchar)",
            "2020-01-01 00:00:00.000",
        ),
        (
            "CAST(CAST('2020-01-01 10:11' AS timestamp) AS varchar)",
            "2020-01-01 10:11:00.000",
        ),
        (
            "CAST(CAST('2020-01-01 10:11:12.3456' AS timestamp) AS varchar)",
            "2020-01-01 10:11:12.346",
        ),
        ("TRY_CAST('2020-13-01' AS date)", "NULL"),
        ("date('2020-01-05')", "2020-01-05"),
        ("date(TIMESTAMP '2020-01-05 10:00:00')", "2020-01-05"),
    ]);
}

#[test]
fn text_of_values_is_trinos() {
    check(&[
        ("CAST(123456.789E0 AS varchar)", "1.23456789E5"),
        ("CAST(0.1E0 AS varchar)", "1.0E-1"),
        ("CAST(0E0 AS varchar)", "0.0E0"),
        ("CAST(CAST(1.5 AS real) AS varchar)", "1.5E0"),
        ("CAST(nan() AS varchar)", "NaN"),
        ("CAST(-infinity() AS varchar)", "-Infinity"),
        ("CAST(1.50 AS varchar)", "1.50"),
        ("CAST(12 AS varchar)", "12"),
        ("CAST(true AS varchar)", "true"),
        ("CAST(DATE '2020-01-02' AS varchar)", "2020-01-02"),
        (
            "CAST(CAST(DATE '2020-01-02' AS timestamp) AS varchar)",
            "2020-01-02 00:00:00.000",
        ),
        ("CAST('h\u{e9}llo' AS varchar(2))", "h\u{e9}"),
        ("CAST(12345 AS varchar(3))", "!INVALID_CAST_ARGUMENT"),
        (
            "CAST(TIMESTAMP '1969-12-31 23:59:59.001' AS varchar)",
            "1969-12-31 23:59:59.001",
        ),
    ]);
}

#[test]
fn pairs_without_a_cast_are_refused() {
    check(&[
        ("CAST('a' AS varbinary)", "!TYPE_MISMATCH"),
        ("CAST(1 AS date)", "!TYPE_MISMATCH"),
        ("CAST(DATE '2020-01-01' AS integer)", "!TYPE_MISMATCH"),
        ("CAST(ARRAY[1] AS varchar)", "!TYPE_MISMATCH"),
        ("CAST(1 AS timestamp)", "!TYPE_MISMATCH"),
        ("CAST('1' AS json)", "!NOT_SUPPORTED"),
        (
            "CAST('2020-01-01 00:00:00' AS timestamp with time zone)",
            "!NOT_SUPPORTED",
        ),
    ]);
}

#[test]
fn json_is_a_type_of_its_own() {
    check(&[
        (r#"CAST(json_extract('{"a":"x"}', '$.a') AS varchar)"#, "x"),
        (r#"json_extract('{"a":"x"}', '$.a')"#, r#""x""#),
        (r#"CAST(json_extract('{"a":12}', '$.a') AS bigint)"#, "12"),
        (r#"CAST(json_extract('{"a":"12"}', '$.a') AS bigint)"#, "12"),
        (
            r#"CAST(json_extract('{"a":[1]}', '$.a') AS varchar)"#,
            "!INVALID_CAST_ARGUMENT",
        ),
        (r#"json_extract('{"a":"x"}', '$.a') = 'x'"#, "!TYPE_MISMATCH"),
        (r#"upper(json_extract('{"a":"x"}', '$.a'))"#, "!TYPE_MISMATCH"),
        (r#"typeof(json_parse('{"b":1, "a":2}'))"#, "json"),
        (r#"json_format(json_parse('{"b":1, "a":2}'))"#, r#"{"a":2,"b":1}"#),
        ("json_parse('{')", "!INVALID_FUNCTION_ARGUMENT"),
    ]);
}
