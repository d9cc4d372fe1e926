//! Operators: types, rounding, ranges, comparisons.

use super::check;

#[test]
fn integers_keep_their_type_and_range() {
    check(&[
        ("typeof(1)", "integer"),
        ("typeof(2147483648)", "bigint"),
        ("typeof(1 + 1)", "integer"),
        ("typeof(1 + CAST(1 AS bigint))", "bigint"),
        ("typeof(CAST(1 AS tinyint) + CAST(1 AS smallint))", "smallint"),
        (
            "CAST(100 AS tinyint) + CAST(100 AS tinyint)",
            "!NUMERIC_VALUE_OUT_OF_RANGE",
        ),
        ("-2147483648 - 1", "!NUMERIC_VALUE_OUT_OF_RANGE"),
        ("65536 * 65536", "!NUMERIC_VALUE_OUT_OF_RANGE"),
        ("CAST(65536 AS bigint) * 65536", "4294967296"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("mod(7, 3)", "1"),
        ("1 / 0", "!DIVISION_BY_ZERO"),
        ("1 % 0", "!DIVISION_BY_ZERO"),
        (
            "-CAST(-9223372036854775807 - CAST(1 AS bigint) AS bigint)",
            "!NUMERIC_VALUE_OUT_OF_RANGE",
        ),
        (
            "abs(CAST(-2147483647 - 1 AS integer))",
            "!NUMERIC_VALUE_OUT_OF_RANGE",
        ),
        ("1 + NULL", "NULL"),
        ("'1' + 1", "!TYPE_MISMATCH"),
        ("true + 1", "!TYPE_MISMATCH"),
        ("-'a'", "!TYPE_MISMATCH"),
    ]);
}

#[test]
fn decimals_follow_trino_scales() {
    check(&[
        ("typeof(1.0 + 1.00)", "decimal(4,2)"),
        ("typeof(1.0 * 1.00)", "decimal(5,3)"),
        ("typeof(7.0 / 2)", "decimal(2,1)"),
        ("CAST(2.0 / 3 AS varchar)", "0.7"),
        ("CAST(2.00 / 3.0 AS varchar)", "0.67"),
        ("CAST(-2.0 / 3 AS varchar)", "-0.7"),
        ("CAST(5.5 % 2 AS varchar)", "1.5"),
        ("1.0 / 0", "!DIVISION_BY_ZERO"),
        ("CAST(0.1 + 0.2 AS varchar)", "0.3"),
        ("0.1 + 0.2 = 0.3", "true"),
        (
            "99999999999999999999999999999999999999. + 1",
            "!NUMERIC_VALUE_OUT_OF_RANGE",
        ),
        ("typeof(1.0 + 1E0)", "double"),
        ("typeof(1.0 + CAST(1 AS real))", "real"),
    ]);
}

#[test]
fn doubles_follow_ieee() {
    check(&[
        ("1E0 / 0", "inf"),
        ("0E0 / 0 = 0E0 / 0", "false"),
        ("nan() = nan()", "false"),
        ("nan() <> nan()", "true"),
        ("nan() > 1", "false"),
        ("nan() >= 1E0", "false"),
        ("nan() < 1E0", "false"),
        ("0E0 / 0 < 1E0", "false"),
        ("0E0 / 0 > 1E0", "false"),
        ("-nan() <= 1E0", "false"),
        ("-1E0 / 0 < 1E0", "true"),
        ("2E0 >= 1", "true"),
        ("1 < 2E0", "true"),
        ("nan() IS DISTINCT FROM nan()", "false"),
        ("nan() IS DISTINCT FROM 0E0 / 0", "false"),
        ("-0E0 = 0E0", "true"),
        ("0E0 > -0E0", "false"),
        ("1E0 BETWEEN 0 AND 2", "true"),
        ("nan() BETWEEN 0 AND infinity()", "false"),
        ("1E0 IN (1, 2)", "true"),
        ("nan() IN (1E0, nan())", "false"),
        ("0.1E0 + 0.2E0 = 0.3E0", "false"),
    ]);
}

#[test]
fn is_distinct_from_takes_a_value_and_nothing_after_it() {
    check(&[
        ("true IS DISTINCT FROM true AND false", "false"),
        ("1 IS DISTINCT FROM 1 OR true", "true"),
        ("NULL IS NOT DISTINCT FROM NULL AND true", "true"),
        ("1 IS DISTINCT FROM 1 + 1", "true"),
        ("NOT 1 IS DISTINCT FROM 2", "false"),
        ("CASE WHEN 1 IS NOT DISTINCT FROM 1 THEN 'a' ELSE 'b' END", "a"),
    ]);
}

#[test]
fn only_like_types_meet() {
    check(&[
        ("1 = 1.0", "true"),
        ("1 < 2E0", "true"),
        ("1 = true", "!TYPE_MISMATCH"),
        ("'a' < 'b'", "true"),
        ("DATE '2020-01-01' < TIMESTAMP '2020-01-01 00:00:01'", "true"),
        ("DATE '2020-01-01' < 1", "!TYPE_MISMATCH"),
        ("TIMESTAMP '2020-01-01 00:00:00' = '2020-01-01'", "!TYPE_MISMATCH"),
        ("1 IN (1, 'a')", "!TYPE_MISMATCH"),
        ("'1' IN (1, 2)", "!TYPE_MISMATCH"),
        ("1 BETWEEN '0' AND 2", "!TYPE_MISMATCH"),
        ("CASE WHEN true THEN 1 ELSE 'a' END", "!TYPE_MISMATCH"),
        ("CASE 1 WHEN 'a' THEN 1 END", "!TYPE_MISMATCH"),
        ("CASE WHEN 1 THEN 1 END", "!TYPE_MISMATCH"),
        ("typeof(CASE WHEN true THEN 1 ELSE 2.5 END)", "decimal(11,1)"),
        ("typeof(if(true, 1, 2E0))", "double"),
        ("if(false, 1)", "NULL"),
        ("if(true, 1, 1 / 0)", "1"),
        ("coalesce(1, 'a')", "!TYPE_MISMATCH"),
        ("coalesce(NULL, 2)", "2"),
        ("nullif(1, '1')", "!TYPE_MISMATCH"),
        ("nullif(1, 1)", "NULL"),
        ("nullif(1, 2)", "1"),
        ("ARRAY[1, 'a']", "!TYPE_MISMATCH"),
        ("typeof(ARRAY[1, 2.5])", "array(decimal(11,1))"),
        ("ARRAY[1] = ARRAY[1]", "!NOT_SUPPORTED"),
        ("1 AND true", "!TYPE_MISMATCH"),
        ("NOT 1", "!TYPE_MISMATCH"),
        ("NOT 'true'", "!TYPE_MISMATCH"),
        ("1 LIKE 'a'", "!TYPE_MISMATCH"),
        ("'a' || 1", "!TYPE_MISMATCH"),
        ("'a' || NULL", "NULL"),
        ("'a' || 'b'", "ab"),
        ("ARRAY[1] || ARRAY[2]", "[1, 2]"),
        ("ARRAY[1] || 2", "[1, 2]"),
        ("0 || ARRAY[1]", "[0, 1]"),
        ("NULL = 1", "NULL"),
    ]);
}

#[test]
fn like_has_no_escape_character_of_its_own() {
    check(&[
        (r"'a\b' LIKE 'a\b'", "true"),
        (r"'a\_' LIKE 'a\_'", "true"),
        (r"'a\x' LIKE 'a\_'", "true"),
        ("'a_b' LIKE 'a#_b' ESCAPE '#'", "true"),
        ("'axb' LIKE 'a#_b' ESCAPE '#'", "false"),
        ("'a' LIKE 'a#b' ESCAPE '#'", "!INVALID_FUNCTION_ARGUMENT"),
        ("'abc' NOT LIKE 'a%'", "false"),
    ]);
}

#[test]
fn dates_move_by_intervals() {
    check(&[
        ("DATE '2020-01-31' + INTERVAL '1' MONTH", "2020-02-29"),
        ("DATE '2020-01-01' - INTERVAL '1' DAY", "2019-12-31"),
        ("typeof(DATE '2020-01-01' + INTERVAL '1' DAY)", "date"),
        ("DATE '2020-01-01' + INTERVAL '1' HOUR", "!TYPE_MISMATCH"),
        (
            "CAST(TIMESTAMP '2020-01-01 00:00:00' + INTERVAL '90' MINUTE AS varchar)",
            "2020-01-01 01:30:00",
        ),
        ("DATE '2020-01-02' - DATE '2020-01-01'", "!NOT_SUPPORTED"),
        ("DATE '2020-01-02' + 1", "!TYPE_MISMATCH"),
    ]);
}
