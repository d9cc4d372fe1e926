//! Hostile statements on a small stack: refused or read, the process lives.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::{DialectError, GuardLimits, parse};

/// The stack of a default thread.
const STACK_BYTES: usize = 2 << 20;

/// Parses on a small stack, and drops the result there.
fn on_small_stack(text: String, limits: GuardLimits) -> Result<(), DialectError> {
    std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || parse(&text, &limits).map(drop))
        .unwrap()
        .join()
        .unwrap()
}

/// No limit on the text: the other limits have to hold by themselves.
fn long() -> GuardLimits {
    GuardLimits {
        max_text_bytes: 64 << 20,
        ..GuardLimits::default()
    }
}

fn doubling(levels: usize) -> String {
    let mut text = "WITH c0 AS (SELECT 1 AS a)".to_owned();
    for i in 1..=levels {
        let before = i - 1;
        write!(text, ", c{i} AS (SELECT x.a FROM c{before} x, c{before} y)").unwrap();
    }
    write!(text, " SELECT * FROM c{levels}").unwrap();
    text
}

fn chain(levels: usize) -> String {
    let mut text = "WITH c0 AS (SELECT 1 AS a)".to_owned();
    for i in 1..=levels {
        write!(text, ", c{i} AS (SELECT a FROM c{})", i - 1).unwrap();
    }
    write!(text, " SELECT * FROM c{levels}").unwrap();
    text
}

#[test]
fn bombs_are_refused() {
    let n = 20_000;
    let bombs: Vec<(&str, String)> = vec![
        ("plus", format!("SELECT 1{}", "+1".repeat(n))),
        ("plus 501", format!("SELECT 1{}", "+1".repeat(501))),
        ("minus", format!("SELECT {}1", "- ".repeat(n))),
        ("not", format!("SELECT {}true", "NOT ".repeat(n))),
        (
            "or",
            format!("SELECT a FROM t WHERE a = 1{}", " OR a = 1".repeat(n)),
        ),
        (
            "and",
            format!("SELECT a FROM t WHERE a = 1{}", " AND a = 1".repeat(n)),
        ),
        ("concat", format!("SELECT 'a'{}", "||'a'".repeat(n))),
        ("equals", format!("SELECT 1{}", " = 1".repeat(n))),
        ("is null", format!("SELECT a{}", " IS NULL".repeat(n))),
        ("between", format!("SELECT a{}", " BETWEEN 1 AND 2".repeat(n))),
        ("in", format!("SELECT a{}", " IN (1)".repeat(n))),
        ("like", format!("SELECT a{}", " LIKE 'a'".repeat(n))),
        ("subscripts", format!("SELECT a{}", "[1]".repeat(n))),
        ("fields", format!("SELECT a{}", ".a".repeat(n))),
        ("zones", format!("SELECT a{}", " AT TIME ZONE 'x'".repeat(n))),
        ("resets by names", format!("SELECT 1{}", " + from".repeat(n))),
        ("resets by star", format!("SELECT 1{}", " * on".repeat(n))),
        (
            "union all",
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(4_000)),
        ),
        ("except", format!("SELECT 1{}", " EXCEPT SELECT 1".repeat(4_000))),
        ("brackets", format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n))),
        ("open brackets", format!("SELECT {}", "(".repeat(n))),
        ("calls", format!("SELECT {}1{}", "abs(".repeat(n), ")".repeat(n))),
        (
            "arrays",
            format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n)),
        ),
        ("open arrays", format!("SELECT {}", "ARRAY[".repeat(n))),
        (
            "cases",
            format!(
                "SELECT {}1{}",
                "CASE WHEN a THEN b ELSE ".repeat(n),
                " END".repeat(n)
            ),
        ),
        ("open cases", format!("SELECT {}", "CASE WHEN ".repeat(n))),
        ("casts", format!("SELECT {}1", "CAST(".repeat(n))),
        (
            "cast types",
            format!("SELECT CAST(a AS {}int", "array<".repeat(n)),
        ),
        (
            "cast types in brackets",
            format!("SELECT CAST(a AS {}int", "array(".repeat(n)),
        ),
        ("row types", format!("SELECT CAST(a AS {}int", "row(a ".repeat(n))),
        ("typed literals", format!("SELECT {}1", "array<".repeat(n))),
        ("lambdas", format!("SELECT f({}1)", "x -> ".repeat(n))),
        (
            "subqueries",
            format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(n), ")".repeat(n)),
        ),
        (
            "scalar subqueries",
            format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)),
        ),
        (
            "exists",
            format!(
                "SELECT 1 WHERE {}true{}",
                "EXISTS (SELECT 1 WHERE ".repeat(n),
                ")".repeat(n)
            ),
        ),
        ("joins in brackets", format!("SELECT * FROM {}t", "(".repeat(n))),
        (
            "joins",
            format!("SELECT * FROM t{}", " CROSS JOIN t".repeat(2_000)),
        ),
        ("commas", format!("SELECT * FROM t{}", ", t".repeat(2_000))),
        (
            "unnests",
            format!("SELECT * FROM t{}", ", UNNEST(t.a)".repeat(2_000)),
        ),
        ("with chain", chain(1_000)),
        ("with doubling", doubling(22)),
        ("with doubling, many", doubling(300)),
        (
            "nested with",
            format!("{}SELECT 1{}", "WITH a AS (".repeat(n), ")".repeat(n)),
        ),
        (
            "cube",
            format!("SELECT 1 FROM t GROUP BY CUBE ({})", vec!["a"; 40].join(", ")),
        ),
        (
            "windows",
            format!("SELECT {}1", "sum(a) OVER (ORDER BY ".repeat(n)),
        ),
        ("intervals", format!("SELECT {}", "INTERVAL ".repeat(n))),
        (
            "parameters without end",
            format!("SELECT {}", vec!["? + ?"; n].join(", ")),
        ),
        ("columns", format!("SELECT {}", vec!["a"; 30_000].join(", "))),
        ("semicolons", format!("{}SELECT 1", ";".repeat(n))),
        (
            "DDL types",
            format!("CREATE EXTERNAL TABLE t (a {}int", "array<".repeat(n)),
        ),
        (
            "DDL brackets",
            format!("CREATE EXTERNAL TABLE t {}", "(".repeat(n)),
        ),
        ("CTAS brackets", format!("CREATE TABLE t {}", "(".repeat(n))),
        ("DDL comments", format!("CREATE {}", "/* ".repeat(n))),
    ];
    for (name, text) in bombs {
        let result = on_small_stack(text, long());
        assert!(result.is_err(), "{name} was read");
    }
}

#[test]
fn ambiguous_text_does_not_multiply_the_work() {
    // Each level could be read in more than one way; the time for all would double with every level.
    for (name, text) in [
        ("casts", format!("SELECT {}x", "cast(".repeat(400))),
        ("cases", format!("SELECT {}x", "case ".repeat(400))),
        ("trims", format!("SELECT {}x", "trim(".repeat(400))),
        ("substrings", format!("SELECT {}x", "substring(".repeat(400))),
        ("extracts", format!("SELECT {}x", "extract(".repeat(400))),
        ("ceils", format!("SELECT {}x", "ceil(".repeat(400))),
        ("positions", format!("SELECT {}x", "position(".repeat(400))),
        ("converts", format!("SELECT {}x", "convert(".repeat(400))),
        ("intervals", format!("SELECT {}x", "interval ".repeat(400))),
        ("lambdas", format!("SELECT {}x", "lambda ".repeat(400))),
        ("arrays of queries", format!("SELECT {}x", "array(".repeat(400))),
        ("dots", format!("SELECT a{} (", ".interval".repeat(400))),
        (
            "double brackets",
            format!("SELECT * FROM {}t x y z", "((SELECT * FROM ".repeat(24)),
        ),
        (
            "joins of double brackets",
            format!(
                "SELECT * FROM {}t",
                "((SELECT * FROM t) a JOIN (SELECT * FROM ".repeat(24)
            ),
        ),
        (
            "in of double brackets",
            format!("SELECT {}1", "a IN ((SELECT a FROM t WHERE ".repeat(24)),
        ),
        ("exists and not", format!("SELECT {}1", "NOT EXISTS (".repeat(24))),
        (
            "open subqueries",
            format!("SELECT * FROM {}", "(SELECT (SELECT x FROM ".repeat(24)),
        ),
    ] {
        assert!(on_small_stack(text, long()).is_err(), "{name} was read");
    }
}

#[test]
fn long_but_flat_statements_are_read() {
    let many = |item: &str, n: usize| vec![item; n].join(", ");
    for (name, text) in [
        (
            "in",
            format!("SELECT a FROM t WHERE a IN ({})", many("12345", 20_000)),
        ),
        (
            "in of texts",
            format!("SELECT a FROM t WHERE a NOT IN ({})", many("'ab'", 20_000)),
        ),
        (
            "in of negatives",
            format!("SELECT a FROM t WHERE a IN ({})", many("-1", 20_000)),
        ),
        (
            "in of dates",
            format!(
                "SELECT a FROM t WHERE a IN ({})",
                many("DATE '2024-01-01'", 9_000)
            ),
        ),
        (
            "in of parameters",
            format!("SELECT a FROM t WHERE a IN ({})", many("?", 20_000)),
        ),
        (
            "values",
            format!("SELECT * FROM (VALUES {}) AS t (a, b)", many("(1, 'a')", 20_000)),
        ),
        ("values without brackets", format!("VALUES {}", many("1", 20_000))),
        ("array", format!("SELECT ARRAY[{}] AS a", many("1", 20_000))),
        ("columns", format!("SELECT {} FROM t", many("a", 5_000))),
        (
            "conditions",
            format!("SELECT a FROM t WHERE a = 1{}", " OR a = 1".repeat(900)),
        ),
        (
            "ranges",
            format!(
                "SELECT a FROM t WHERE a BETWEEN 1 AND 2{}",
                " OR a BETWEEN 1 AND 2".repeat(500)
            ),
        ),
        ("plus", format!("SELECT 1{} AS a", "+1".repeat(400))),
        (
            "union all",
            format!("SELECT 1 AS a{}", " UNION ALL SELECT 1".repeat(400)),
        ),
        (
            "brackets",
            format!("SELECT {}1{} AS a", "(".repeat(400), ")".repeat(400)),
        ),
        (
            "calls",
            format!("SELECT {}1{} AS a", "abs(".repeat(90), ")".repeat(90)),
        ),
        (
            "cases",
            format!(
                "SELECT {}1{} AS a",
                "CASE WHEN a THEN b ELSE ".repeat(300),
                " END".repeat(300)
            ),
        ),
        (
            "whens",
            format!(
                "SELECT CASE {}END AS a FROM t",
                "WHEN a = 1 THEN 'x' ".repeat(1_500)
            ),
        ),
        (
            "subqueries",
            format!(
                "SELECT * FROM {}t{}",
                "(SELECT * FROM ".repeat(40),
                ")".repeat(40)
            ),
        ),
        (
            "joins",
            format!("SELECT * FROM t{}", " JOIN t USING (a)".repeat(150)),
        ),
        ("with chain", chain(90)),
        ("with doubling", doubling(8)),
    ] {
        if let Err(error) = on_small_stack(text, GuardLimits::default()) {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn limits_name_measure_value_and_limit() {
    let text = format!("SELECT '{}'", "x".repeat(262_144));
    match parse(&text, &GuardLimits::default()) {
        Err(DialectError::TooLarge {
            measure,
            value,
            limit,
        }) => {
            assert_eq!((measure, value, limit), ("text size in bytes", 262_153, 262_144));
        }
        other => panic!("{other:?}"),
    }
    match parse(&doubling(22), &GuardLimits::default()) {
        Err(DialectError::TooLarge { measure, limit, .. }) => {
            assert_eq!(
                (measure, limit),
                ("size with every WITH name replaced by its query", 50_000)
            );
        }
        other => panic!("{other:?}"),
    }
}

/// Pieces of which statements are made, and some of which they are not.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "SELECT",
        "FROM",
        "WHERE",
        "GROUP BY",
        "HAVING",
        "ORDER BY",
        "LIMIT",
        "OFFSET",
        "FETCH FIRST",
        "ROWS ONLY",
        "UNION",
        "ALL",
        "EXCEPT",
        "INTERSECT",
        "WITH",
        "AS",
        "VALUES",
        "TABLE",
        "UNNEST",
        "ORDINALITY",
        "JOIN",
        "LEFT",
        "CROSS",
        "ON",
        "USING",
        "NATURAL",
        "LATERAL",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "CAST",
        "TRY_CAST",
        "array",
        "map",
        "row",
        "varchar",
        "timestamp",
        "decimal",
        "EXISTS",
        "IN",
        "NOT",
        "BETWEEN",
        "AND",
        "OR",
        "LIKE",
        "ESCAPE",
        "IS",
        "NULL",
        "DISTINCT",
        "INTERVAL",
        "DAY",
        "DATE",
        "EXTRACT",
        "TRIM",
        "SUBSTRING",
        "POSITION",
        "OVER",
        "PARTITION BY",
        "ROWS",
        "RANGE",
        "UNBOUNDED",
        "PRECEDING",
        "CURRENT ROW",
        "FILTER",
        "WITHIN GROUP",
        "IGNORE NULLS",
        "GROUPING SETS",
        "CUBE",
        "ROLLUP",
        "EXPLAIN",
        "ANALYZE",
        "CREATE",
        "EXTERNAL",
        "DATABASE",
        "STORED AS",
        "PARQUET",
        "LOCATION",
        "TBLPROPERTIES",
        "SERDE",
        "ROW FORMAT",
        "DELIMITED",
        "ALTER",
        "ADD",
        "DROP",
        "PARTITION",
        "SHOW",
        "DESCRIBE",
        "SET",
        "SESSION",
        "USE",
        "a",
        "b",
        "t",
        "\"X\"",
        "`q`",
        "1",
        "2.5",
        "1e9",
        "'s'",
        "''",
        "?",
        "$1",
        "X'0f'",
        "U&'\\0041'",
        "\u{fc}",
        "\u{1f600}",
        "(",
        ")",
        "(",
        ")",
        "[",
        "]",
        ",",
        ",",
        ".",
        ";",
        "*",
        "+",
        "-",
        "/",
        "%",
        "||",
        "=",
        "<",
        ">",
        "<>",
        "->",
        "::",
        ":",
        "{",
        "}",
        "^",
        "&",
        "|",
        "~",
        "!",
        "@",
        "#",
        "\\",
        "'",
        "\"",
        "`",
        "--",
        "/*",
        "*/",
        "\n",
        "\0",
    ]);
    prop::collection::vec(words, 1..60).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn no_text_of_sql_pieces_panics(text in pieces()) {
        let _ = parse(&text, &GuardLimits::default());
        let _ = parse(&format!("SELECT {text}"), &GuardLimits::default());
        let _ = parse(&format!("SELECT * FROM {text}"), &GuardLimits::default());
        let _ = parse(&format!("CREATE EXTERNAL TABLE t {text}"), &GuardLimits::default());
    }

    #[test]
    fn no_text_at_all_panics(text in "\\PC{0,80}") {
        let _ = parse(&text, &GuardLimits::default());
        let _ = parse(&format!("SELECT {text}"), &GuardLimits::default());
        let _ = parse(&format!("DROP TABLE {text}"), &GuardLimits::default());
    }

    #[test]
    fn what_is_read_is_read_the_same_from_its_normal_form(text in pieces()) {
        if let Ok(crate::Statement::Query(query)) = parse(&format!("SELECT {text}"), &GuardLimits::default()) {
            let again = parse(&query.normalized_text, &GuardLimits::default());
            let Ok(crate::Statement::Query(again)) = again else { panic!("{}: {again:?}", query.normalized_text) };
            prop_assert_eq!(again.query_hash, query.query_hash);
            prop_assert_eq!(again.statement.to_string(), query.statement.to_string());
        }
    }
}
