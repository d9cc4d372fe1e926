//! `TABLE(pg.system.query(query => '...'))`: statements in PostgreSQL's own SQL as tables, read only, where the catalog
//! allows them.

use std::sync::LazyLock;

use owlake_testkit::postgres::Postgres;

use crate::federation::{catalog, cells, remote_rows, remote_sql};
use crate::harness::{Builder, Catalog, TestServer, numbers};

static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| {
    let server = Postgres::start();
    server.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN positive AS int CHECK (VALUE > 0); \
         CREATE TABLE people AS SELECT n AS id, 'p' || n AS \"Name\", n::numeric(8,2) AS pay, 'happy'::mood AS mood, \
           n::positive AS p, ARRAY['sad'::mood] AS moods, '10.0.0.1'::inet AS address FROM generate_series(1, 1000) n; \
         CREATE ROLE reader LOGIN PASSWORD 'reader''s'; GRANT SELECT, INSERT, DELETE ON people TO reader; \
         CREATE TABLE hidden (a int);",
    );
    server
});

fn with_passthrough(name: &'static str, allowed: bool) -> Catalog {
    let (_, mut properties) = catalog(&POSTGRES);
    if allowed {
        properties.push(("enable_query_passthrough", "true".to_owned()));
    }
    (name, properties)
}

async fn start() -> TestServer {
    let builder = Builder {
        catalogs: vec![with_passthrough("pg", true), with_passthrough("closed", false)],
        ..Builder::default()
    };
    let server = builder.start().await;
    server.put("t/part.parquet", &numbers(0..100));
    server.table_of_numbers("t").await;
    server
}

fn pass(statement: &str) -> String {
    format!(
        "TABLE(pg.system.query(query => '{}'))",
        statement.replace('\'', "''")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_in_the_databases_own_sql_is_a_table() {
    let server = start().await;
    for (sql, expected) in [
        (
            format!(
                "SELECT * FROM {}",
                pass("SELECT 1 AS \"One\", 'a''b)' AS t, 2, 3 -- done")
            ),
            vec![vec!["1", "a'b)", "2", "3"]],
        ),
        (
            format!(
                "SELECT * FROM {}",
                pass("SELECT mood, p, moods, address, pay FROM people WHERE id = 7;")
            ),
            vec![vec!["happy", "7", "[sad]", "10.0.0.1", "7.00"]],
        ),
        (
            format!(
                "SELECT q.name, t.n FROM {} AS q JOIN t ON t.n = q.id ORDER BY t.n LIMIT 1",
                pass("SELECT id, \"Name\" FROM people WHERE id % 2 = 0 ORDER BY id DESC")
            ),
            vec![vec!["p2", "2"]],
        ),
        (
            format!(
                "SELECT count(*) FROM (SELECT * FROM {}) a, {} b",
                pass("SELECT id FROM public.people LIMIT 5"),
                pass("WITH x AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM x")
            ),
            vec![vec!["10"]],
        ),
        (
            "SELECT count(*), min(\"?column?_2\") FROM TABLE(pg.system.query('SELECT 1, 2'))".to_owned(),
            vec![vec!["1", "2"]],
        ),
    ] {
        assert_eq!(cells(&server.query(&sql).await), expected, "{sql}");
    }
    // What can be asked of a table can be asked of it: columns, conditions, limits; a join's keys.
    let people = pass("SELECT id, \"Name\" FROM people");
    let answer = server
        .query(&format!("SELECT name FROM {people} WHERE id > 990 LIMIT 3"))
        .await;
    assert_eq!((answer.rows.len(), remote_rows(&answer.receipt)), (3, 3));
    let sent = remote_sql(&answer.receipt);
    assert!(
        sent[0].ends_with("AS \"query\" (\"c0\", \"c1\") WHERE (\"c0\" > '990'::int8) LIMIT 3"),
        "{sent:?}"
    );
    let joined = server
        .query(&format!("SELECT count(*) FROM t JOIN {people} q ON q.id = t.n"))
        .await;
    assert_eq!((cells(&joined)[0][0], remote_rows(&joined.receipt)), ("99", 99));
    server.query("USE pg.public").await;
    let current = "SELECT * FROM TABLE(system.query(query => 'SELECT 42 AS x'))";
    assert_eq!(cells(&server.query(current).await), [["42"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_and_nobody_asks_unasked() {
    let server = start().await;
    let (ours, theirs) = ("INVALID_ARGUMENTS", "JDBC_NON_TRANSIENT_ERROR");
    for (statement, code, text) in [
        (
            "INSERT INTO people (id) VALUES (1)",
            ours,
            "one statement that gives rows",
        ),
        ("COMMIT", ours, "one statement that gives rows"),
        ("SELECT 1; DROP TABLE people", theirs, "multiple commands"),
        ("SELECT 1) TO PROGRAM 'true' --", theirs, "syntax error"),
        ("SELECT $1::int", ours, "without parameters"),
        ("SELECT nothing FROM people", theirs, "42703"),
        ("SELECT * FROM hidden", theirs, "permission denied"),
        ("INSERT INTO people (id) VALUES (1) RETURNING id", theirs, ""),
        ("DELETE FROM people RETURNING id", theirs, ""),
        (
            "WITH gone AS (DELETE FROM people RETURNING id) SELECT * FROM gone",
            theirs,
            "",
        ),
    ] {
        let error = server
            .refused(&format!("SELECT * FROM {}", pass(statement)))
            .await;
        assert_eq!(error.code(), Some(code), "{statement}: {error}");
        assert!(error.to_string().contains(text), "{statement}: {error}");
    }
    assert_eq!(POSTGRES.sql("SELECT count(*) FROM people").trim(), "1000");
    for (function, code) in [
        ("closed.system.query(query => 'SELECT 1')", "PERMISSION_DENIED"),
        ("system.query(query => 'SELECT 1')", "NOT_SUPPORTED"),
        ("nowhere.system.query(query => 'SELECT 1')", "CATALOG_NOT_FOUND"),
        ("pg.system.query(text => 'SELECT 1')", "SYNTAX_ERROR"),
        ("pg.system.query(1)", "SYNTAX_ERROR"),
        ("pg.public.query(query => 'SELECT 1')", "NOT_SUPPORTED"),
    ] {
        let error = server.refused(&format!("SELECT * FROM TABLE({function})")).await;
        assert_eq!(error.code(), Some(code), "{function}: {error}");
    }
    // The cap holds.
    server.client.set("max_data_scanned_bytes", Some("1MB")).unwrap();
    let large = pass("SELECT repeat('x', 1000) AS x FROM generate_series(1, 100000)");
    let error = server
        .refused(&format!("SELECT count(DISTINCT x) FROM {large}"))
        .await;
    assert_eq!(error.code(), Some("EXCEEDED_SCAN_LIMIT"), "{error}");
}
