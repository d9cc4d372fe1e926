//! UNNEST of rows, names of VALUES, and sentences for what is refused.

use super::{check, rows, value};

const ROWS: &str = "(VALUES 1) AS t (n) CROSS JOIN UNNEST(MAP(ARRAY['a', 'b'], ARRAY[1, 2])) AS m (k, v)";

#[test]
fn a_map_gives_two_columns_and_other_elements_one() {
    let of = |sql: &str| rows(sql).map_err(|fault| fault.to_string());
    assert_eq!(
        of(&format!("SELECT k, v FROM {ROWS} ORDER BY k")).unwrap(),
        [["a", "1"], ["b", "2"]]
    );
    let mismatch = of("SELECT 1 FROM UNNEST(ARRAY[1, 2]) AS t (a, b)").unwrap_err();
    assert!(
        mismatch.contains("Column alias list has 2 entries but 't' has 1 columns available"),
        "{mismatch}"
    );
    let mismatch = of("SELECT 1 FROM UNNEST(MAP(ARRAY['a'], ARRAY[1])) AS t (a)").unwrap_err();
    assert!(mismatch.contains("but 't' has 2 columns available"), "{mismatch}");
}

#[test]
fn columns_of_values_have_names() {
    for (sql, expected) in [
        ("SELECT _col1, _col0 FROM (VALUES (1, 'a'))", "a 1"),
        ("SELECT t._col0 FROM (VALUES (1, 'a')) AS t", "1"),
        ("WITH v AS (VALUES 1, 2) SELECT sum(_col0) FROM v", "3"),
        ("SELECT x FROM (VALUES 5) AS t (x)", "5"),
        (
            "SELECT * FROM (VALUES (1, 'a') ORDER BY _col0) AS t (x, y)",
            "1 a",
        ),
        ("SELECT _col0 FROM (VALUES 1 UNION SELECT 1)", "1"),
        (
            "SELECT x FROM (VALUES 2, 3) AS t (x) WHERE x IN (VALUES 1, 2)",
            "2",
        ),
    ] {
        assert_eq!(rows(sql).unwrap().concat().join(" "), expected, "{sql}");
    }
    for sql in [
        "SELECT column1 FROM (VALUES 1)",
        "SELECT _col0 FROM (VALUES 1) AS t (x)",
    ] {
        assert!(
            rows(sql).unwrap_err().to_string().starts_with("COLUMN_NOT_FOUND"),
            "{sql}"
        );
    }
}

#[test]
fn refusals_are_sentences() {
    for (expression, expected) in [
        (
            "regexp_replace('a', '(a)', x -> upper(x[1]))",
            "NOT_SUPPORTED: regexp_replace with a lambda is not built yet",
        ),
        (
            "transform(ARRAY[1], x -> x)",
            "NOT_SUPPORTED: transform: takes a lambda",
        ),
        (
            "ROW(1, 2)",
            "NOT_SUPPORTED: row: makes a row value; not built yet",
        ),
        ("ST_Buffer(1, 2)", "NOT_SUPPORTED: st_buffer: is geospatial"),
        (
            "spatial_partitions(1)",
            "NOT_SUPPORTED: spatial_partitions: is geospatial",
        ),
        (
            "btrim('a')",
            "FUNCTION_NOT_FOUND: Function 'btrim' not registered",
        ),
        (
            "btrm('a')",
            "FUNCTION_NOT_FOUND: Function 'btrm' not registered. Did you mean 'ltrim'?",
        ),
    ] {
        let fault = value(expression).unwrap_err().to_string();
        assert!(fault.starts_with(expected), "{expression}: {fault}");
    }
    for (sql, expected) in [
        (
            "SELECT x FROM (VALUES 1) AS t (x) WHERE row_number() OVER () = 1",
            "SYNTAX_ERROR: WHERE or HAVING clause cannot contain window functions",
        ),
        (
            "SELECT x FROM (VALUES 1) AS t (x) WHERE x + rank() OVER (ORDER BY x) > 1",
            "SYNTAX_ERROR: WHERE or HAVING clause cannot contain window functions",
        ),
        (
            "SELECT count(*) FROM (VALUES 1) AS t (x) GROUP BY rank() OVER (ORDER BY x)",
            "SYNTAX_ERROR: GROUP BY clause cannot contain window functions",
        ),
    ] {
        let fault = rows(sql).unwrap_err().to_string();
        assert!(fault.starts_with(expected), "{sql}: {fault}");
    }
    check(&[
        ("typeof(INTERVAL '1' DAY)", "interval day to second"),
        ("typeof(INTERVAL '-2' SECOND)", "interval day to second"),
        ("typeof(INTERVAL '3' MONTH)", "interval year to month"),
        ("typeof(INTERVAL '0' DAY)", "!NOT_SUPPORTED"),
    ]);
}
