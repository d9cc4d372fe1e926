//! What is refused, and in which words.

use super::refusal;
use crate::{GuardLimits, parse};

#[test]
fn other_dialects_are_refused_with_a_place_and_a_hint() {
    for (text, expected) in [
        (
            "SELECT `a` FROM t",
            "SYNTAX_ERROR: backquoted identifiers are not supported in queries: `a`, line 1:8. Use double quotes to quote identifiers.",
        ),
        (
            "SELECT a::int FROM t",
            "SYNTAX_ERROR: mismatched input '::', line 1:9. Write CAST(value AS type).",
        ),
        (
            "SELECT 2 ^ 3",
            "SYNTAX_ERROR: mismatched input '^', line 1:10. Write power(a, b), or bitwise_xor(a, b).",
        ),
        ("SELECT a & b FROM t", "'&'"),
        ("SELECT a | b FROM t", "'|'"),
        ("SELECT a << 1 FROM t", "'<<'"),
        ("SELECT a >> 1 FROM t", "'>>'"),
        ("SELECT a ~ 'x' FROM t", "'~'"),
        ("SELECT a == b FROM t", "Write =."),
        ("SELECT a && b FROM t", "Write AND."),
        ("SELECT a ->> 'b' FROM t", "json_extract_scalar"),
        ("SELECT a -> 'b' FROM t GROUP BY (f(x)) -> 1", "'->'"),
        ("SELECT a[1:2] FROM t", "slice(array, start, length)"),
        ("SELECT MAP {'a': 1}", "MAP(ARRAY"),
        ("SELECT {'a': 1}", "MAP(ARRAY"),
        ("SELECT f(a => 1)", "by position"),
        ("SELECT f(a := 1)", "by position"),
        ("SELECT !a FROM t", "Write NOT"),
        ("SELECT a // b FROM t", "line 1:11"),
        ("SELECT a <=> b FROM t", "IS NOT DISTINCT FROM"),
        ("SELECT [1, 2]", "Write ARRAY[...]"),
        ("SELECT a FROM t WHERE a ILIKE 'x'", "lower(value) LIKE"),
        ("SELECT a FROM t WHERE a RLIKE 'x'", "regexp_like"),
        ("SELECT a FROM t WHERE a REGEXP 'x'", "regexp_like"),
        ("SELECT a FROM t WHERE a SIMILAR TO 'x'", "regexp_like"),
        ("SELECT a FROM t WHERE a IS TRUE", "coalesce"),
        ("SELECT DISTINCT ON (a) a FROM t", "'ON' after DISTINCT"),
        ("SELECT TOP 5 a FROM t", "TOP"),
        ("SELECT a INTO x FROM t", "INTO"),
        ("SELECT a FROM t QUALIFY rank() OVER (ORDER BY a) = 1", "QUALIFY"),
        ("SELECT a FROM t CLUSTER BY a", "CLUSTER BY"),
        ("SELECT a FROM t DISTRIBUTE BY a", "DISTRIBUTE BY"),
        ("SELECT a FROM t SORT BY a", "ORDER BY"),
        ("SELECT a FROM t LATERAL VIEW explode(a) x AS y", "UNNEST"),
        ("SELECT a FROM t FOR UPDATE", "FOR"),
        ("SELECT * EXCEPT (a) FROM t", "SYNTAX_ERROR"),
        ("SELECT * EXCLUDE (a) FROM t", "SYNTAX_ERROR"),
        ("SELECT * REPLACE (1 AS a) FROM t", "SYNTAX_ERROR"),
        ("SELECT * FROM a SEMI JOIN b ON a.k = b.k", "SYNTAX_ERROR"),
        ("SELECT * FROM a LEFT SEMI JOIN b ON a.k = b.k", "EXISTS"),
        ("SELECT * FROM a LEFT ANTI JOIN b ON a.k = b.k", "NOT EXISTS"),
        (
            "SELECT * FROM a ASOF JOIN b MATCH_CONDITION (a.t >= b.t)",
            "SYNTAX_ERROR",
        ),
        ("SELECT * FROM a JOIN b", "CROSS JOIN"),
        ("SELECT * FROM '/etc/passwd'", "SYNTAX_ERROR"),
        ("SELECT * FROM \"a\".b.c.d", "one to three parts"),
        ("SELECT * FROM t LIMIT 2, 3", "SYNTAX_ERROR"),
        (
            "SELECT * FROM t LIMIT 2 FETCH FIRST 1 ROW ONLY",
            "do not go together",
        ),
        ("SELECT a FROM t LIMIT a", "number of rows"),
        ("SELECT a MINUS SELECT b", "EXCEPT"),
        ("SELECT INTERVAL '1 day'", "SYNTAX_ERROR"),
        ("SELECT INTERVAL 1 DAY", "quotes"),
        ("SELECT INTERVAL '1 month' DAY", "Invalid interval value"),
        ("SELECT INTERVAL '1' WEEK", "unit"),
        (
            "SELECT CAST(a AS string) FROM t",
            "unknown type string; queries call it varchar, line 1:18",
        ),
        ("SELECT CAST(a AS ARRAY(int8)) FROM t", "queries call it bigint"),
        ("SELECT CAST(a AS struct(x int)) FROM t", "queries call it row"),
        ("SELECT unnest(a) FROM t", "unnest stands in FROM only"),
        ("SELECT X'123'", "even number"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT b.f(1) FROM t", "not registered"),
        ("SELECT", "SYNTAX_ERROR"),
        ("SELECT FROM t", "SYNTAX_ERROR"),
        ("", "SYNTAX_ERROR"),
        ("   -- only a comment", "SYNTAX_ERROR"),
        ("'text'", "SYNTAX_ERROR"),
        ("FROB THE TABLE", "SYNTAX_ERROR"),
        ("FROM t", "SYNTAX_ERROR"),
        ("SELECT 'open", "SYNTAX_ERROR"),
        (
            "WITH a AS (SELECT 1 x), a AS (SELECT 2 x) SELECT * FROM a",
            "more than once",
        ),
        ("VALUES (1, 2), (3)", "same number of values"),
        (
            "SELECT a FROM t WHERE x = ? AND y = $2",
            "INVALID_PARAMETER_USAGE",
        ),
        ("SELECT $1 AS a, $3 AS b", "INVALID_PARAMETER_USAGE"),
        ("SELECT $0", "INVALID_PARAMETER_USAGE"),
        ("SELECT $name", "INVALID_PARAMETER_USAGE"),
    ] {
        let told = refusal(text);
        assert!(told.contains(expected), "{text}\n  {told}");
        assert!(!told.starts_with("NOT_SUPPORTED"), "{text}\n  {told}");
    }
}

#[test]
fn what_athena_has_and_we_do_not_is_called_so() {
    for (text, expected) in [
        (
            "SELECT * FROM t TABLESAMPLE BERNOULLI (10)",
            "TABLESAMPLE is not supported",
        ),
        (
            "SELECT * FROM (SELECT 1 AS a) TABLESAMPLE SYSTEM (10)",
            "TABLESAMPLE is not supported",
        ),
        (
            "SELECT * FROM t FOR TIMESTAMP AS OF TIMESTAMP '2024-01-01 00:00:00 UTC'",
            "older version",
        ),
        ("SELECT * FROM t FOR VERSION AS OF 123", "older version"),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (a b+) DEFINE b AS x > 1)",
            "MATCH_RECOGNIZE",
        ),
        (
            "WITH RECURSIVE a (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT * FROM a",
            "WITH RECURSIVE",
        ),
        (
            "SELECT * FROM TABLE(sequence(1, 2))",
            "a table function is not supported",
        ),
        (
            "SELECT * FROM read_parquet('s3://x')",
            "the table function read_parquet is not supported",
        ),
        (
            "SELECT ts AT TIME ZONE 'UTC' FROM t",
            "AT TIME ZONE is not supported",
        ),
        ("SELECT a FROM t FETCH FIRST 3 ROWS WITH TIES", "WITH TIES"),
        ("SELECT INTERVAL '1-2' YEAR TO MONTH", "several units"),
        (
            "SELECT * FROM t WHERE (a, b) IN ((1, 2))",
            "row value in brackets",
        ),
        (
            "SELECT * FROM t RIGHT JOIN UNNEST(t.a) AS u (x) ON true",
            "JOIN UNNEST is not supported",
        ),
        ("SELECT * FROM t JOIN UNNEST(t.a) AS u (x) ON u.x = 1", "ON TRUE"),
        ("SELECT a FROM t GROUP BY ALL", "GROUP BY ALL"),
        ("INSERT INTO t SELECT 1", "INSERT is not supported"),
        (
            "CREATE TABLE a AS SELECT 1 AS x",
            "CREATE TABLE AS SELECT is not supported",
        ),
        (
            "CREATE TABLE a WITH (format = 'PARQUET') AS (SELECT 1 AS x)",
            "CREATE TABLE AS SELECT is not supported",
        ),
        (
            "CREATE TABLE a (x int) LOCATION 's3://b/' TBLPROPERTIES ('table_type' = 'ICEBERG')",
            "Iceberg",
        ),
        (
            "CREATE EXTERNAL TABLE a LIKE b",
            "CREATE TABLE LIKE is not supported",
        ),
        (
            "UNLOAD (SELECT 1) TO 's3://b/' WITH (format = 'PARQUET')",
            "UNLOAD is not supported",
        ),
        (
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "CREATE VIEW is not supported",
        ),
        ("DROP VIEW v", "DROP VIEW is not supported"),
        ("PREPARE p FROM SELECT 1", "PREPARE is not supported"),
        ("EXECUTE p USING 1", "EXECUTE is not supported"),
        ("DEALLOCATE PREPARE p", "DEALLOCATE is not supported"),
        (
            "OPTIMIZE t REWRITE DATA USING BIN_PACK",
            "OPTIMIZE is not supported",
        ),
        ("VACUUM t", "VACUUM is not supported"),
        (
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
            "MERGE is not supported",
        ),
        ("DELETE FROM t", "DELETE is not supported"),
        ("UPDATE t SET a = 1", "UPDATE is not supported"),
        ("MSCK REPAIR TABLE t", "MSCK REPAIR TABLE is not supported"),
        ("COPY t TO '/tmp/x'", "COPY is not supported"),
        ("GRANT SELECT ON t TO u", "GRANT is not supported"),
        ("START TRANSACTION", "START TRANSACTION is not supported"),
        (
            "ALTER TABLE t ADD COLUMNS (a int)",
            "ALTER TABLE ... ADD COLUMNS is not supported",
        ),
        (
            "ALTER TABLE t RENAME TO u",
            "ALTER TABLE ... RENAME is not supported",
        ),
        (
            "ALTER TABLE t SET LOCATION 's3://b/'",
            "SET LOCATION is not supported",
        ),
        (
            "ALTER TABLE t PARTITION (a='1') RENAME TO PARTITION (a='2')",
            "ALTER TABLE ... PARTITION is not supported",
        ),
        (
            "ALTER DATABASE d SET DBPROPERTIES ('a'='b')",
            "ALTER DATABASE is not supported",
        ),
        ("SHOW VIEWS", "SHOW VIEWS is not supported"),
        ("SHOW CREATE VIEW v", "SHOW CREATE VIEW is not supported"),
        ("SHOW STATS FOR t", "SHOW STATS is not supported"),
        ("DESCRIBE INPUT p", "DESCRIBE INPUT is not supported"),
    ] {
        let told = refusal(text);
        assert!(
            told.starts_with("NOT_SUPPORTED: ") && told.contains(expected),
            "{text}\n  {told}"
        );
    }
}

#[test]
fn mistakes_in_ddl_are_told_with_place_found_and_expected() {
    for (text, expected) in [
        (
            "CREATE TABLE t (a int) LOCATION 's3://b/'",
            "SYNTAX_ERROR: CREATE TABLE needs the word EXTERNAL, line 1:1. Write CREATE EXTERNAL TABLE.",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) STORED AS PARQUET",
            "SYNTAX_ERROR: CREATE EXTERNAL TABLE needs a LOCATION, line 1:50. Add LOCATION 's3://bucket/folder/' before TBLPROPERTIES.",
        ),
        (
            "CREATE EXTERNAL TABLE \"t\" (a int) LOCATION 's3://b/'",
            "SYNTAX_ERROR: mismatched input \"t\", expecting table name, line 1:23. DDL quotes names with backticks: `t`.",
        ),
        (
            "CREATE EXTERNAL TABLE t (\"a\" int) LOCATION 's3://b/'",
            "backticks: `a`",
        ),
        (
            "CREATE EXTERNAL TABLE t (a intt) LOCATION 's3://b/'",
            "unknown type `intt` at character 1, line 1:28",
        ),
        (
            "CREATE EXTERNAL TABLE t (a array<int) LOCATION 's3://b/'",
            "line 1:28",
        ),
        (
            "CREATE EXTERNAL TABLE t (a struct<x int>) LOCATION 's3://b/'",
            "line 1:28",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int, A string) LOCATION 's3://b/'",
            "column `a` is there twice, line 1:33",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (a int) LOCATION 's3://b/'",
            "partition column `a` is a data column too",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (p array<int>) LOCATION 's3://b/'",
            "primitive type",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) STORED AS JSON LOCATION 's3://b/'",
            "JsonSerDe",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) LOCATION 's3://b/' LOCATION 's3://c/'",
            "a clause is there twice, line 1:52",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) TBLPROPERTIES ('a'='1', 'a'='2') LOCATION 's3://b/'",
            "property 'a' is there twice",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) FOO",
            "mismatched input FOO, expecting COMMENT, PARTITIONED BY",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int LOCATION 's3://b/'",
            "expecting ',' or ')'",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) LOCATION 's3://b/",
            "a string literal is never closed, line 1:42",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) LOCATION 's3://b/'; DROP TABLE t",
            "only one statement can be sent at a time",
        ),
        (
            "CREATE EXTERNAL TABLE t (a int) CLUSTERED BY (b) INTO 4 BUCKETS LOCATION 's3://b/'",
            "no data column",
        ),
        (
            "CREATE EXTERNAL TABLE a.b.c.d (a int) LOCATION 's3://b/'",
            "at most 3 parts",
        ),
        ("CREATE EXTERNAL TABLE `a/b` (a int) LOCATION 's3://b/'", "slash"),
        ("DROP TABLE", "mismatched input <EOF>, expecting table name"),
        (
            "DROP TABLE a b",
            "mismatched input b, expecting the end of the statement, line 1:14",
        ),
        ("DESCRIBE TABLE t", "Leave the word TABLE out."),
        ("SHOW FROBS", "expecting CATALOGS, DATABASES"),
        ("SHOW TABLES '('", "cannot be used"),
        (
            "ALTER TABLE t ADD PARTITION (a = b)",
            "a partition value in quotes",
        ),
        ("ALTER TABLE t ADD PARTITION (a = 1, A = 2)", "`a` is there twice"),
        ("SET a", "expecting '='"),
        ("EXPLAIN (FORMAT XML) SELECT 1", "TEXT, JSON or GRAPHVIZ"),
        ("EXPLAIN (TYPE IO, TYPE IO) SELECT 1", "twice"),
        ("EXPLAIN ANALYZE (TYPE IO) SELECT 1", "EXPLAIN ANALYZE takes"),
        ("EXPLAIN DROP TABLE t", "SYNTAX_ERROR"),
    ] {
        let told = refusal(text);
        assert!(told.contains(expected), "{text}\n  {told}");
    }
}

#[test]
fn what_is_missing_at_the_end_is_missed_just_after_the_last_token() {
    for (text, place) in [
        ("SELECT 1 FROM", "line 1:14"),
        ("SELECT 1 FROM  \n -- soon\n", "line 1:14"),
        ("SELECT\n  a,\n  b FROM t WHERE", "line 3:17"),
        ("SELECT 1 FROM ;", "line 1:14"),
        ("SELECT CAST(1 AS", "line 1:17"),
        ("SELECT (1 + ", "line 1:12"),
        ("SELECT \"\u{e4}\u{1f980}\" FROM", "line 1:17"),
        ("SELECT a FROM t LATERAL VIEW", "line 1:29"),
        ("", "line 1:1"),
        ("EXPLAIN", "line 1:8"),
        ("EXPLAIN SELECT 1 FROM", "line 1:22"),
        ("DROP TABLE", "line 1:11"),
        ("CREATE EXTERNAL TABLE t (\n  a int\n\n", "line 2:8"),
        ("SHOW\n", "line 1:5"),
        ("SET a", "line 1:6"),
    ] {
        let told = refusal(text);
        assert!(
            told.contains(&format!("{place}.")) || told.ends_with(place),
            "{text}\n  {told}"
        );
    }
}

#[test]
fn a_statement_that_breaks_off_is_told_where() {
    for whole in [
        "WITH a AS (SELECT x, count(*) FILTER (WHERE y > 1) AS c FROM db.t GROUP BY ROLLUP (x, y)) \
         SELECT CASE WHEN a.x IS NULL THEN 1 ELSE CAST(b.y AS decimal(10, 2)) END, \
         sum(c) OVER (PARTITION BY a.x ORDER BY b.z DESC NULLS LAST ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) \
         FROM a LEFT JOIN (VALUES (1, 'x'), (2, 'y')) AS b (y, z) ON a.x = b.y CROSS JOIN UNNEST(ARRAY[1, 2]) AS u (v) \
         WHERE a.c BETWEEN 1 AND 2 AND z LIKE 'a!%' ESCAPE '!' AND EXISTS (SELECT 1) \
         UNION ALL SELECT 1, 2 ORDER BY 1 OFFSET 1 LIMIT 2",
        "CREATE EXTERNAL TABLE IF NOT EXISTS db.t (a int COMMENT 'x', b array<struct<c:map<string,int>>>) \
         PARTITIONED BY (dt string) STORED AS PARQUET LOCATION 's3://b/' TBLPROPERTIES ('a' = 'b')",
        "ALTER TABLE t ADD IF NOT EXISTS PARTITION (dt = '1', h = 2) LOCATION 's3://b/'",
        "SHOW COLUMNS FROM t FROM db",
        "EXPLAIN (FORMAT TEXT, TYPE LOGICAL) SELECT 1",
        "DESCRIBE FORMATTED t PARTITION (dt = '1')",
    ] {
        let ends = whole.char_indices().map(|(at, _)| at);
        let broken = ends.filter(|at| parse(&whole[..*at], &GuardLimits::default()).is_err());
        let told = broken.map(|at| refusal(&whole[..at])).collect::<Vec<_>>();
        assert!(told.len() > 10, "{whole}");
        assert!(told.iter().all(|t| t.contains("line 1:")), "{told:?}");
    }
}

#[test]
fn places_in_an_explained_query_are_those_of_the_text() {
    assert!(refusal("EXPLAIN\n (FORMAT JSON) SELECT `a`").contains("line 2:23"));
}

#[test]
fn a_message_never_repeats_control_characters_or_long_text() {
    let told = refusal(&format!("DROP TABLE \u{1b}[2J{}", "x".repeat(5_000)));
    assert!(told.len() < 400 && !told.contains('\u{1b}'), "{told}");
    let long = "x\u{1b}".repeat(5_000);
    for text in [
        format!("SELECT 1 + FROM t WHERE '{long}' '{long}'"),
        format!("SELECT CAST(1 AS '{long}')"),
        format!("SELECT DATE a '{long}'"),
        format!("SELECT \"{long}\".f(1)"),
        format!("SELECT * FROM t JOIN u USING ('{long}')"),
        format!("SELECT * FROM \"{long}\"(1)"),
    ] {
        let told = refusal(&text);
        assert!(told.len() < 600 && !told.contains('\u{1b}'), "{told}");
    }
}
