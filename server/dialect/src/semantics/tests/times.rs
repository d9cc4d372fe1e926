//! Dates and timestamps: years before 1, ISO weeks, patterns without separators; numbers rounded once; windows.

use super::{check, rows};

#[test]
fn years_before_1_and_after_9999() {
    check(&[
        ("CAST(DATE '-0003-05-06' AS varchar)", "-0003-05-06"),
        ("CAST(DATE '0000-01-01' AS varchar)", "0000-01-01"),
        ("CAST(DATE '10000-01-01' AS varchar)", "10000-01-01"),
        (
            "CAST(TIMESTAMP '-0003-05-06 07:08:09.010' AS varchar)",
            "-0003-05-06 07:08:09.010",
        ),
        (
            "CAST(TIMESTAMP '10000-01-01 00:00:00' AS varchar)",
            "+10000-01-01 00:00:00",
        ),
        (
            "CAST(CAST('-0003-05-06' AS timestamp) AS varchar)",
            "-0003-05-06 00:00:00.000",
        ),
        ("to_iso8601(DATE '-0003-05-06')", "-0003-05-06"),
        (
            "to_iso8601(TIMESTAMP '-0003-05-06 07:08:09')",
            "-0003-05-06T07:08:09",
        ),
        ("to_iso8601(DATE '10000-01-01')", "10000-01-01"),
        (
            "date_format(TIMESTAMP '-0003-05-06 07:08:09', '%Y %y %x')",
            "-0003 03 -0003",
        ),
        ("year(DATE '-0003-05-06')", "-3"),
        (
            "CAST(date_add('year', -1, DATE '0001-01-01') AS varchar)",
            "0000-01-01",
        ),
        (
            "CAST(date_parse('-0003-05-06', '%Y-%m-%d') AS varchar)",
            "-0003-05-06 00:00:00.000",
        ),
        ("CAST(from_iso8601_date('-0003-05-06') AS varchar)", "-0003-05-06"),
    ]);
}

#[test]
fn patterns_need_no_separators() {
    check(&[
        ("date_parse('20240229', '%Y%m%d')", "2024-02-29T00:00:00"),
        ("date_parse('202402', '%Y%m')", "2024-02-01T00:00:00"),
        (
            "date_parse('20240229101112', '%Y%m%d%H%i%s')",
            "2024-02-29T10:11:12",
        ),
        ("date_parse('240229', '%y%m%d')", "2024-02-29T00:00:00"),
        ("date_parse('29022024', '%d%m%Y')", "2024-02-29T00:00:00"),
        ("date_parse('2024060', '%Y%j')", "2024-02-29T00:00:00"),
        (
            "date_parse('20240229101112123', '%Y%m%d%H%i%s%f')",
            "2024-02-29T10:11:12.123",
        ),
        ("date_parse('20240230', '%Y%m%d')", "!INVALID_FUNCTION_ARGUMENT"),
        ("date_parse('202402291', '%Y%m%d')", "!INVALID_FUNCTION_ARGUMENT"),
        (
            "date_parse('12024-01-01', '%Y-%m-%d')",
            "!INVALID_FUNCTION_ARGUMENT",
        ),
        ("date_parse('4-01-01', '%y-%m-%d')", "!INVALID_FUNCTION_ARGUMENT"),
    ]);
}

#[test]
fn dates_of_weeks_and_of_days_of_the_year() {
    check(&[
        ("from_iso8601_date('2021-W33-4')", "2021-08-19"),
        ("from_iso8601_date('2021-W33')", "2021-08-16"),
        ("from_iso8601_date('2021-228')", "2021-08-16"),
        ("from_iso8601_date('2024-W05-1')", "2024-01-29"),
        ("from_iso8601_date('2024-029')", "2024-01-29"),
        ("from_iso8601_date('2021-08')", "2021-08-01"),
        ("from_iso8601_date('2021-W54-1')", "!INVALID_FUNCTION_ARGUMENT"),
        ("from_iso8601_date('2021/08/19')", "!INVALID_FUNCTION_ARGUMENT"),
        ("from_iso8601_date(CAST(NULL AS varchar))", "NULL"),
    ]);
}

#[test]
fn a_decimal_becomes_the_nearest_float() {
    check(&[
        (
            "CAST(DECIMAL '735011456993396.292' AS double) = DOUBLE '735011456993396.292'",
            "true",
        ),
        (
            "CAST(DECIMAL '9007199254740993.5' AS double) = DOUBLE '9007199254740993.5'",
            "true",
        ),
        ("CAST(DECIMAL '0.1' AS double) = 1E-1", "true"),
        (
            "CAST(CAST(7194520.00 AS decimal(13,2)) AS real) = REAL '7194520'",
            "true",
        ),
        ("CAST(DECIMAL '16777217.1' AS real) = REAL '16777217.1'", "true"),
        ("735011456993396.292 = DOUBLE '735011456993396.292'", "true"),
        (
            "sqrt(DECIMAL '735011456993396.292') = sqrt(DOUBLE '735011456993396.292')",
            "true",
        ),
        ("735011456993396.292 + 0E0 = DOUBLE '735011456993396.292'", "true"),
        (
            "mod(735011456993396.292, 1E30) = DOUBLE '735011456993396.292'",
            "true",
        ),
        ("TRY_CAST(-0.5 AS double)", "-0.5"),
        (
            "CAST(4200 AS decimal(38,8)) / CAST(7 AS decimal(38,8))",
            "600.00000000",
        ),
        ("CAST(-7 AS decimal(38,0)) / CAST(9 AS decimal(38,0))", "-1"),
        ("CAST(4 AS decimal(38,0)) / CAST(-9 AS decimal(38,0))", "0"),
        ("2.0 * 1 / 43", "0.0"),
        ("round(123456.00000098765E0, 15) = 123456.00000098765E0", "true"),
        ("CAST(CAST(NULL AS decimal(38,10)) AS double)", "NULL"),
    ]);
    let column =
        "SELECT CAST(d AS double) = x, d = x, coalesce(d, x) = x, CASE WHEN true THEN d ELSE x END = x
        FROM (VALUES (DECIMAL '735011456993396.292', DOUBLE '735011456993396.292')) AS t (d, x)";
    assert_eq!(rows(column).unwrap(), [["true", "true", "true", "true"]]);
    let union = "SELECT x = DOUBLE '735011456993396.292' FROM (SELECT DECIMAL '735011456993396.292' AS x UNION ALL SELECT 1E0)
        ORDER BY 1 DESC";
    assert_eq!(rows(union).unwrap(), [["true"], ["false"]]);
}

#[test]
fn lag_and_lead_take_offsets_and_defaults_of_each_row() {
    let of = |call: &str| {
        let sql = format!(
            "SELECT {call} OVER (PARTITION BY g ORDER BY k) FROM (VALUES (1, 10, 'a', 1, 0), (1, 20, NULL, 2, 0),
             (1, 30, NULL, 1, 9), (1, 40, 'd', NULL, 9), (2, 50, 'e', 0, 0)) AS t (g, k, s, n, d) ORDER BY g, k"
        );
        match rows(&sql) {
            Ok(rows) => rows.concat().join(" "),
            Err(fault) => fault.to_string(),
        }
    };
    for (call, expected) in [
        ("lag(s) IGNORE NULLS", "NULL a a a NULL"),
        ("lead(s) IGNORE NULLS", "d d d NULL NULL"),
        ("lead(s, 2) IGNORE NULLS", "NULL NULL NULL NULL NULL"),
        ("lag(s, 0) IGNORE NULLS", "a NULL NULL d e"),
        ("lag(s, 1, 'z') IGNORE NULLS", "z a a a z"),
        ("lag(s)", "NULL a NULL NULL NULL"),
        ("lag(k, n)", "NULL NULL 20 NULL 50"),
        ("lead(k, n)", "20 40 40 NULL 50"),
        ("lag(k, 1, d)", "0 10 20 30 0"),
        ("lead(k, 1, d + 1)", "20 30 40 10 1"),
        ("lag(k, NULL)", "NULL NULL NULL NULL NULL"),
        ("lag(k, 1, 0.5)", "0.5 10.0 20.0 30.0 0.5"),
        ("lag(k, 9223372036854775807, -1)", "-1 -1 -1 -1 -1"),
        ("lag(k, 1)", "NULL 10 20 30 NULL"),
        ("nth_value(k, 2)", "NULL 20 20 20 NULL"),
    ] {
        assert_eq!(of(call), expected, "{call}");
    }
    for (call, expected) in [
        (
            "lag(k, -1)",
            "INVALID_FUNCTION_ARGUMENT: Offset must be at least 0",
        ),
        (
            "lead(k, -n)",
            "INVALID_FUNCTION_ARGUMENT: Offset must be at least 0",
        ),
        (
            "nth_value(k, 0)",
            "INVALID_FUNCTION_ARGUMENT: Offset must be at least 1",
        ),
        (
            "ntile(0)",
            "INVALID_FUNCTION_ARGUMENT: Buckets must be greater than 0",
        ),
        (
            "nth_value(k, n)",
            "NOT_SUPPORTED: nth_value with a computed number",
        ),
        (
            "lag(k, 1, 'x')",
            "TYPE_MISMATCH: Unexpected parameters (integer, bigint, varchar) for function lag",
        ),
        ("lag(k, 'x')", "TYPE_MISMATCH: Unexpected parameters"),
    ] {
        assert!(of(call).starts_with(expected), "{call}: {}", of(call));
    }
}
