//! What becomes of a query's text.

use super::query;
use crate::{ExplainFormat, ExplainKind, GuardLimits, Statement, StatementClass, parse};

#[test]
fn queries_are_rewritten_into_what_the_planner_reads_right() {
    for (text, expected) in [
        (
            "SELECT \"A\", b.C FROM \"Db\".T AS B",
            "SELECT \"a\", b.c FROM \"db\".t AS b",
        ),
        ("SELECT a AS \"X Y\" FROM t", "SELECT a AS \"x y\" FROM t"),
        (
            "SELECT 1, (a), a + 1 FROM t",
            "SELECT 1 AS \"_col0\", a, a + 1 AS \"_col2\" FROM t",
        ),
        ("SELECT ALL a FROM t", "SELECT a FROM t"),
        (
            "SELECT a FROM t WHERE x = ? AND y = ?",
            "SELECT a FROM t WHERE x = $1 AND y = $2",
        ),
        (
            "SELECT a FROM t WHERE x = $2 OR y = $1",
            "SELECT a FROM t WHERE x = $2 OR y = $1",
        ),
        (
            "SELECT a FROM t ORDER BY a DESC, b",
            "SELECT a FROM t ORDER BY a DESC NULLS LAST, b NULLS LAST",
        ),
        (
            "SELECT a FROM t ORDER BY a NULLS FIRST",
            "SELECT a FROM t ORDER BY a NULLS FIRST",
        ),
        (
            "SELECT array_agg(a ORDER BY b DESC) AS x FROM t",
            "SELECT array_agg(a ORDER BY b DESC NULLS LAST) AS x FROM t",
        ),
        (
            "SELECT rank() OVER (PARTITION BY A ORDER BY B) AS r FROM t",
            "SELECT rank() OVER (PARTITION BY a ORDER BY b NULLS LAST) AS r FROM t",
        ),
        (
            "SELECT a FROM t FETCH FIRST 5 ROWS ONLY",
            "SELECT a FROM t LIMIT 5",
        ),
        ("SELECT a FROM t FETCH FIRST ROW ONLY", "SELECT a FROM t LIMIT 1"),
        (
            "SELECT a FROM t OFFSET 3 FETCH NEXT 5 ROWS ONLY",
            "SELECT a FROM t LIMIT 5 OFFSET 3",
        ),
        (
            "SELECT a FROM t OFFSET 3 ROWS LIMIT 5",
            "SELECT a FROM t LIMIT 5 OFFSET 3 ROWS",
        ),
        ("SELECT a FROM t LIMIT ALL", "SELECT a FROM t"),
        (
            "VALUES 1, 2",
            "SELECT * FROM (VALUES (1), (2)) AS \"$values\" (\"_col0\")",
        ),
        (
            "VALUES (1, 'a'), ROW(2, 'b')",
            "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS \"$values\" (\"_col0\", \"_col1\")",
        ),
        (
            "SELECT a FROM (VALUES (1) + 2, (3)) AS t (A)",
            "SELECT a FROM (VALUES ((1) + 2), (3)) AS t (a)",
        ),
        (
            "WITH t (a) AS (VALUES 1) SELECT a FROM t",
            "WITH t (a) AS (VALUES (1)) SELECT a FROM t",
        ),
        (
            "SELECT * FROM (VALUES 1, f(2, 3) UNION ALL VALUES (4)) AS t (A)",
            "SELECT * FROM (SELECT * FROM (VALUES (1), (f(2, 3))) AS \"$values\" (\"_col0\") UNION ALL SELECT * FROM (VALUES (4)) AS \"$values\" (\"_col0\")) AS t (a)",
        ),
        (
            "VALUES 1, 2 LIMIT 1",
            "SELECT * FROM (VALUES (1), (2)) AS \"$values\" (\"_col0\") LIMIT 1",
        ),
        (
            "TABLE Db.T UNION (TABLE S)",
            "SELECT * FROM db.t UNION (SELECT * FROM s)",
        ),
        (
            "WITH a AS (TABLE t) TABLE a",
            "WITH a AS (SELECT * FROM t) SELECT * FROM a",
        ),
        (
            "SELECT a FROM t GROUP BY (a, b), c",
            "SELECT a FROM t GROUP BY a, b, c",
        ),
        ("SELECT U&'\\0041' AS a", "SELECT 'A' AS a"),
        (
            "SELECT CAST(a AS ARRAY(VARCHAR)) AS x FROM t",
            "SELECT CAST(a AS ARRAY<VARCHAR>) AS x FROM t",
        ),
        (
            "SELECT TRY_CAST(a AS DECIMAL(10,2)) AS x FROM t",
            "SELECT TRY_CAST(a AS DECIMAL(10,2)) AS x FROM t",
        ),
        (
            "SELECT transform(a, X -> X + 1) AS y FROM t",
            "SELECT transform(a, x -> x + 1) AS y FROM t",
        ),
        (
            "SELECT reduce(a, 0, (S, X) -> S + X, S -> S) AS y",
            "SELECT reduce(a, 0, (s, x) -> s + x, s -> s) AS y",
        ),
        (
            "SELECT a['K'].\"F\" AS x FROM t",
            "SELECT a['K'].'\u{1f}f' AS x FROM t",
        ),
        (
            "SELECT a FROM t, UNNEST(t.Xs) WITH ORDINALITY AS u (X, N)",
            "SELECT a FROM (t CROSS JOIN UNNEST(t.xs) WITH ORDINALITY AS u (x, n))",
        ),
        (
            "SELECT a FROM t JOIN s ON t.k = s.k CROSS JOIN UNNEST(s.xs) u (x) LEFT JOIN v ON v.x = u.x",
            "SELECT a FROM ((t JOIN s ON t.k = s.k) CROSS JOIN UNNEST(s.xs) u (x)) LEFT JOIN v ON v.x = u.x",
        ),
        (
            "SELECT a FROM b, c, UNNEST(b.x) AS u (x), d",
            "SELECT a FROM ((b CROSS JOIN c) CROSS JOIN UNNEST(b.x) AS u (x)), d",
        ),
        (
            "SELECT \"$path\" FROM \"T$partitions\"",
            "SELECT \"$path\" FROM \"t$partitions\"",
        ),
        (
            "SELECT CURRENT_DATE AS d, count(*) AS n FROM t;",
            "SELECT current_date AS d, count(*) AS n FROM t",
        ),
    ] {
        let rewritten = query(text).statement.to_string();
        assert_eq!(rewritten.to_lowercase(), expected.to_lowercase(), "{text}");
        // Names are lower case whatever the words around them are.
        assert_eq!(
            rewritten.replace("NULLS", ""),
            expected.replace("NULLS", ""),
            "{text}"
        );
    }
}

#[test]
fn long_conditions_are_balanced_in_order() {
    let text: Vec<String> = (0..5).map(|i| format!("a = {i}")).collect();
    let query = query(&format!("SELECT a FROM t WHERE {}", text.join(" OR ")));
    let datafusion::sql::sqlparser::ast::Statement::Query(tree) = *query.statement else {
        panic!()
    };
    assert!(
        tree.to_string()
            .ends_with("WHERE a = 0 OR a = 1 OR a = 2 OR a = 3 OR a = 4")
    );
}

#[test]
fn tables_are_named_once_in_order_without_with_names() {
    let tables = query(
        "WITH x AS (SELECT * FROM Db.A), y AS (SELECT * FROM x JOIN B ON true)
         SELECT (SELECT max(v) FROM cat.db.c) FROM y, x WHERE k IN (SELECT k FROM db.a) AND EXISTS (TABLE D)",
    )
    .tables;
    let names: Vec<String> = tables.iter().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["db.a", "b", "cat.db.c", "d"]);
    assert_eq!(
        tables[0].location,
        Some(owlake_fault::Location { line: 1, column: 29 })
    );
}

#[test]
fn a_with_name_hides_a_table_only_inside_its_query() {
    let tables = query("SELECT * FROM (WITH t AS (SELECT 1 AS a) SELECT * FROM t) x, t").tables;
    assert_eq!(tables.len(), 1);
    let tables = query("WITH t AS (SELECT * FROM t) SELECT * FROM t").tables;
    assert_eq!(tables.len(), 1, "its own query still sees the table");
}

#[test]
fn parameters_are_counted_where_they_stand() {
    assert_eq!(
        query("SELECT ? AS a, '?' AS b -- ?\n FROM t WHERE x IN (?, ?)").parameters,
        3
    );
    assert_eq!(query("SELECT $1 AS a, $1 AS b").parameters, 1);
}

#[test]
fn the_normal_form_is_blind_to_space_case_and_comments_but_not_to_literals() {
    let a = query("SELECT  A, 'X' FROM t -- c\n WHERE \"B\" = ?;");
    let b = query("select a,'X' /* d */ from T where \"B\"=?");
    let c = query("select a,'x' from T where \"B\"=?");
    assert_eq!(a.normalized_text, "select a , 'X' from t where \"B\" = ?");
    assert_eq!(a.query_hash, b.query_hash);
    assert_ne!(a.query_hash, c.query_hash);
    assert_eq!(a.query_hash.len(), 32);
}

#[test]
fn explain_says_what_and_how() {
    use ExplainFormat as F;
    use ExplainKind as K;
    for (text, expected) in [
        ("EXPLAIN SELECT 1", (false, K::Distributed, None)),
        ("EXPLAIN ANALYZE SELECT 1", (true, K::Distributed, None)),
        (
            "EXPLAIN ANALYZE (FORMAT JSON) SELECT 1",
            (true, K::Distributed, Some(F::Json)),
        ),
        (
            "explain (type io, format text) SELECT 1",
            (false, K::Io, Some(F::Text)),
        ),
        ("EXPLAIN (TYPE COST) SELECT 1", (false, K::Cost, None)),
        ("EXPLAIN COST SELECT 1", (false, K::Cost, None)),
        (
            "EXPLAIN (TYPE PARTITIONS, FORMAT JSON) SELECT 1",
            (false, K::Partitions, Some(F::Json)),
        ),
        ("EXPLAIN (SELECT 1)", (false, K::Distributed, None)),
        (
            "EXPLAIN (FORMAT GRAPHVIZ) WITH a AS (SELECT 1 x) SELECT * FROM a",
            (false, K::Distributed, Some(F::Graphviz)),
        ),
    ] {
        let statement = parse(text, &GuardLimits::default()).unwrap();
        assert_eq!(statement.class(), StatementClass::Utility);
        let Statement::Explain {
            analyze,
            kind,
            format,
            query,
        } = statement
        else {
            panic!("{text}")
        };
        assert_eq!((analyze, kind, format), expected, "{text}");
        assert!(!query.normalized_text.contains("explain"));
    }
}

#[test]
fn names_that_are_words_elsewhere_stay_names() {
    for text in [
        "SELECT date, year, position, name, value, type, format, comment, location, map FROM t",
        "SELECT t.date, t.interval, t.end_time FROM t AS t",
        "SELECT count, sum, min, row FROM t",
        "SELECT values_a AS key FROM t AS data",
    ] {
        query(text);
    }
}
