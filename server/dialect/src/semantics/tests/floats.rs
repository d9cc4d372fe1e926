//! NaN and -0.0 in extremes, order, groups and arrays.

use super::{check, rows};

/// One row with one value, NaN with its sign bit among the values.
fn one(sql: &str) -> String {
    let rows = rows(sql).unwrap();
    assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
    rows[0].join(" ")
}

fn column(sql: &str) -> String {
    let rows = rows(sql).unwrap();
    rows.iter().map(|row| row.join(":")).collect::<Vec<_>>().join(" ")
}

/// Both NaNs, both zeros, an ordinary number.
const V: &str = "(VALUES nan(), 1E0, -nan(), 0E0, -0E0, NULL) AS t (x)";

#[test]
fn nan_is_no_extreme_unless_there_is_nothing_else() {
    check(&[
        ("greatest(1E0, nan(), 3E0)", "3.0"),
        ("least(nan(), 1E0)", "1.0"),
        ("greatest(nan(), nan())", "NaN"),
        ("greatest(nan(), NULL)", "NULL"),
        ("greatest(REAL '1', CAST(nan() AS real))", "1.0"),
        ("array_max(ARRAY[1E0, nan(), 3E0])", "3.0"),
        ("array_min(ARRAY[nan(), 1E0])", "1.0"),
        ("array_min(ARRAY[nan()])", "NaN"),
        ("array_max(ARRAY[nan(), NULL])", "NULL"),
        ("array_max(ARRAY[1.5E0, 2E0])", "2.0"),
        ("array_max(ARRAY[NULL, NULL])", "NULL"),
    ]);
    for (sql, expected) in [
        (format!("SELECT min(x), max(x) FROM {V}"), "-0.0 1.0"),
        (format!("SELECT min(CAST(x AS real)), max(CAST(x AS real)) FROM {V}"), "-0.0 1.0"),
        (format!("SELECT min(x), max(x) FROM {V} WHERE is_nan(x)"), "NaN NaN"),
        (format!("SELECT min(x), max(x) FROM {V} WHERE x IS NULL"), "NULL NULL"),
        (format!("SELECT max(x) FILTER (WHERE x < 1E0), max(DISTINCT x) FROM {V}"), "0.0 1.0"),
        (format!("SELECT min(DISTINCT x) FROM {V}"), "-0.0"),
        ("SELECT max(x + 1E0) FROM (VALUES nan(), 2E0) AS t (x)".to_owned(), "3.0"),
        ("SELECT max_by(y, x), min_by(y, x) FROM (VALUES ('a', 1E0), ('b', nan()), ('c', 2E0)) AS t (y, x)".to_owned(), "c a"),
        ("SELECT max_by(y, x) FROM (VALUES ('a', nan()), ('b', 1E0)) AS t (y, x)".to_owned(), "b"),
    ] {
        assert_eq!(one(&sql), expected, "{sql}");
    }
    let grouped =
        "SELECT k, min(x), max(x) FROM (VALUES (1, nan()), (1, 2E0), (2, nan()), (3, NULL)) AS t (k, x)
        GROUP BY k ORDER BY k";
    assert_eq!(column(grouped), "1:2.0:2.0 2:NaN:NaN 3:NULL:NULL");
    let windows = "SELECT max(x) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW),
        min(x) OVER (ORDER BY k) FROM (VALUES (1, nan()), (2, 2E0), (3, nan()), (4, nan()), (5, NULL)) AS t (k, x)
        ORDER BY k";
    assert_eq!(column(windows), "NaN:NaN 2.0:2.0 2.0:2.0 NaN:2.0 NaN:2.0");
}

#[test]
fn nan_is_one_value_and_the_largest_and_zero_is_one_value() {
    let group = |sql: &str| column(&sql.replace("{V}", V));
    assert_eq!(
        group("SELECT x FROM {V} WHERE x IS NOT NULL ORDER BY x"),
        "-0.0 0.0 1.0 NaN NaN"
    );
    assert_eq!(
        group("SELECT x FROM {V} ORDER BY x DESC"),
        "NaN NaN 1.0 0.0 -0.0 NULL"
    );
    assert_eq!(
        group("SELECT x + 1E0 AS y FROM {V} ORDER BY y"),
        "1.0 1.0 2.0 NaN NaN NULL"
    );
    assert_eq!(
        group("SELECT x, count(*) FROM {V} GROUP BY x ORDER BY x"),
        "0.0:2 1.0:1 NaN:2 NULL:1"
    );
    assert_eq!(
        group("SELECT x * 2E0, count(*) FROM {V} GROUP BY x * 2E0 ORDER BY 1"),
        "0.0:2 2.0:1 NaN:2 NULL:1"
    );
}

#[test]
fn keys_of_every_kind_know_one_nan() {
    let of = |sql: &str| column(&sql.replace("{V}", V));
    for (sql, expected) in [
        ("SELECT count(*) FROM (SELECT DISTINCT x FROM {V})", "4"),
        (
            "SELECT count(*) FROM (SELECT x FROM {V} UNION SELECT x FROM {V})",
            "4",
        ),
        (
            "SELECT count(*) FROM (SELECT x FROM {V} INTERSECT SELECT x FROM {V})",
            "4",
        ),
        (
            "SELECT count(*) FROM (SELECT x FROM {V} EXCEPT SELECT -nan())",
            "3",
        ),
        ("SELECT count(DISTINCT x) FROM {V}", "3"),
        ("SELECT cardinality(histogram(x)) FROM {V}", "3"),
        (
            "SELECT x, k, count(*) FROM {V} CROSS JOIN (VALUES 1) AS u (k) GROUP BY x, k ORDER BY x",
            "0.0:1:2 1.0:1:1 NaN:1:2 NULL:1:1",
        ),
        (
            "SELECT x, count(*) FROM {V} GROUP BY ROLLUP (x) ORDER BY 2, 1",
            "1.0:1 NULL:1 0.0:2 NaN:2 NULL:6",
        ),
        (
            "SELECT x, k, count(*) FROM {V} CROSS JOIN (VALUES 1) AS u (k) GROUP BY GROUPING SETS ((x), (k)) ORDER BY 3, 1",
            "1.0:NULL:1 NULL:NULL:1 0.0:NULL:2 NaN:NULL:2 NULL:1:6",
        ),
        (
            "SELECT max(n) FROM (SELECT count(*) OVER (PARTITION BY x) AS n FROM {V})",
            "2",
        ),
        (
            "SELECT max(r) FROM (SELECT rank() OVER (ORDER BY x) AS r FROM {V} WHERE x IS NOT NULL)",
            "4",
        ),
        (
            "SELECT array_agg(x ORDER BY x DESC) FROM {V} WHERE x > 0E0 OR is_nan(x)",
            "[NaN, NaN, 1.0]",
        ),
        (
            "SELECT count(*) FROM {V} JOIN (VALUES 0E0, nan()) AS u (y) ON x = y",
            "2",
        ),
    ] {
        assert_eq!(of(sql), expected, "{sql}");
    }
    check(&[
        (
            "array_sort(ARRAY[-nan(), 1E0, -0E0, 0E0])",
            "[-0.0, 0.0, 1.0, NaN]",
        ),
        ("array_distinct(ARRAY[nan(), -nan(), 0E0, -0E0])", "[NaN, 0.0]"),
        ("contains(ARRAY[nan()], nan())", "false"),
        ("contains(ARRAY[0E0], -0E0)", "true"),
        ("array_position(ARRAY[1E0, -0E0], 0E0)", "2"),
        ("array_remove(ARRAY[nan(), 1E0], nan())", "[NaN, 1.0]"),
        ("array_except(ARRAY[nan(), 1E0], ARRAY[-nan()])", "[1.0]"),
    ]);
}
