//! Joins of the lake with tables of PostgreSQL: what one side holds decides what is asked of the other one, and no
//! join answers differently for it.

use std::sync::LazyLock;

use owlake::{EngineConfig, ScanConfig};
use owlake_mems3::Operation;
use owlake_testkit::postgres::Postgres;

use crate::federation::{beside, catalog, cells, remote_rows, remote_sql};
use crate::harness::{BUCKET, Builder, TestServer, numbers, one};

static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| {
    let server = Postgres::start();
    server.sql(SETUP);
    server
});

const SETUP: &str = "
    CREATE TABLE big AS SELECT n::int AS id, 'key ' || n AS k, (n % 7)::smallint AS m, NULLIF(n, 5)::bigint AS maybe,
        n::float8 AS f, n::numeric(12,2) AS d FROM generate_series(0, 999999) n;
    CREATE TABLE days AS SELECT n AS p, n % 10 = 3 AS wanted FROM generate_series(0, 99) n;
    CREATE TABLE many AS SELECT n AS p, 'x' AS what FROM generate_series(0, 49999) n;
    ANALYZE;
    CREATE ROLE reader LOGIN PASSWORD 'reader''s'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;";

#[tokio::test(flavor = "multi_thread")]
async fn a_small_lake_side_moves_few_remote_rows() {
    let server = beside(&POSTGRES).await;
    for (sql, rows, expected) in [
        (
            "SELECT count(*), sum(b.id) FROM t JOIN pg.public.big b ON t.n = b.id",
            100,
            vec!["100", "4950"],
        ),
        (
            "SELECT count(*), sum(b.id) FROM pg.public.big b JOIN t ON t.n = b.id",
            100,
            vec!["100", "4950"],
        ),
        (
            "SELECT count(*), sum(b.id) FROM t LEFT JOIN pg.public.big b ON t.n * 100000 = b.id",
            10,
            vec!["100", "4500000"],
        ),
        (
            "SELECT count(*), min(b.id) FROM t JOIN pg.public.big b ON 'key ' || CAST(t.n AS varchar) = b.k",
            100,
            vec!["100", "0"],
        ),
        (
            "SELECT count(*), max(b.id) FROM t JOIN pg.public.big b ON t.n = b.id AND t.n % 2 = b.m",
            // Lists of both keys: 0 and 1 modulo 7.
            30,
            vec!["16", "99"],
        ),
        (
            "SELECT count(*), max(b.d) FROM t JOIN pg.public.big b ON CAST(t.n AS decimal(12,2)) = b.d",
            100,
            vec!["100", "99.00"],
        ),
        (
            "SELECT count(*), sum(id) FROM pg.public.big WHERE id IN (SELECT n FROM t WHERE n > 89)",
            10,
            vec!["10", "945"],
        ),
        (
            "SELECT count(*), sum(n) FROM t WHERE n IN (SELECT maybe FROM pg.public.big)",
            100,
            vec!["99", "4945"],
        ),
        (
            "SELECT count(*), sum(n) FROM t WHERE NOT EXISTS (SELECT 1 FROM pg.public.big b WHERE b.id = t.n + 999950)",
            50,
            vec!["50", "3725"],
        ),
        (
            "SELECT count(*), sum(c) FROM t JOIN (SELECT id, count(*) AS c FROM pg.public.big GROUP BY id) b ON t.n = b.id",
            100,
            vec!["100", "100"],
        ),
    ] {
        let answer = server.query(sql).await;
        assert_eq!(cells(&answer), [expected], "{sql}");
        let sent = remote_sql(&answer.receipt);
        assert!(
            remote_rows(&answer.receipt) <= rows,
            "{sql} moved {} rows by {sent:?}",
            remote_rows(&answer.receipt)
        );
        assert_eq!(sent.len(), 1, "{sql}: {sent:?}");
    }
    // What must not be narrowed: a key of floats, rows that are kept without a partner, NOT IN over NULLs.
    for (sql, expected) in [
        (
            "SELECT count(*), sum(b.id) FROM t JOIN pg.public.big b ON CAST(t.n AS double) = b.f",
            vec!["100", "4950"],
        ),
        (
            "SELECT count(*), count(t.n) FROM t RIGHT JOIN pg.public.big b ON t.n = b.id",
            vec!["1000000", "100"],
        ),
        (
            "SELECT count(*), sum(n) FROM t WHERE n NOT IN (SELECT maybe FROM pg.public.big WHERE id < 10)",
            vec!["0", "NULL"],
        ),
    ] {
        assert_eq!(cells(&server.query(sql).await), [expected], "{sql}");
    }
}

/// Filters of a sort or an aggregate over the very scan are final only after it: it must not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_waits_for_nobody_who_waits_for_it() {
    let builder = Builder {
        catalogs: vec![{
            let (name, mut properties) = catalog(&POSTGRES);
            properties.push(("max_connections", "1".to_owned()));
            properties.push(("connect_timeout", "5s".to_owned()));
            (name, properties)
        }],
        ..Builder::default()
    };
    let server = builder.start().await;
    server.put("t/part.parquet", &numbers(0..100));
    server.table_of_numbers("t").await;
    for (sql, expected) in [
        (
            "SELECT id FROM pg.public.big ORDER BY id DESC LIMIT 2",
            vec![vec!["999999"], vec!["999998"]],
        ),
        ("SELECT max(id) FROM pg.public.big", vec![vec!["999999"]]),
        (
            "SELECT b.id FROM t JOIN pg.public.big b ON t.n = b.id ORDER BY b.k LIMIT 2",
            vec![vec!["0"], vec!["1"]],
        ),
        (
            "SELECT count(*) FROM pg.public.days d JOIN pg.public.big b ON d.p = b.id JOIN t ON t.n = b.m",
            vec![vec!["100"]],
        ),
        (
            "SELECT count(*) FROM pg.public.big a JOIN pg.public.big b ON a.id = b.id JOIN pg.public.days d ON d.p = a.id",
            vec![vec!["100"]],
        ),
        (
            "SELECT count(*) FROM t JOIN (SELECT m, max(id) AS id FROM pg.public.big GROUP BY m UNION ALL \
             SELECT m, id FROM pg.public.big WHERE id < 5) b ON t.n = b.id",
            vec![vec!["5"]],
        ),
    ] {
        assert_eq!(cells(&server.query(sql).await), expected, "{sql}");
    }
}

/// A lake table of a hundred partitions of a file each.
async fn partitioned() -> TestServer {
    let server = beside(&POSTGRES).await;
    for p in 0..100 {
        let part = numbers(p * 10..p * 10 + 10);
        server.put(&format!("parts/p={p}/a.parquet"), &part);
    }
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE parts (n bigint) PARTITIONED BY (p int) STORED AS PARQUET LOCATION \
             's3://{BUCKET}/parts/' TBLPROPERTIES ('projection.enabled' = 'true', 'projection.p.type' = 'integer', \
             'projection.p.range' = '0,99')"
        ))
        .await;
    server
}

/// A small remote side: which files are read of is on the books of the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_remote_side_opens_only_matching_files() {
    let server = partitioned().await;
    // Footers are read at planning, of every file; they are known after this.
    assert_eq!(one(&server.query("SELECT count(n) FROM parts").await), 1000);
    for (sql, expected) in [
        (
            "SELECT sum(parts.n) FROM parts JOIN pg.public.days d ON parts.p = d.p WHERE d.wanted",
            "48450",
        ),
        // By the values in the files, as their statistics tell.
        (
            "SELECT sum(parts.n) FROM parts JOIN pg.public.days d ON parts.n = d.p * 10 WHERE d.wanted",
            "4800",
        ),
        // A table of fifty thousand rows, of which the database expects a few.
        (
            "SELECT sum(parts.n) FROM parts JOIN pg.public.many m ON parts.p = m.p WHERE m.p IN (7, 8, 60000)",
            "1590",
        ),
    ] {
        server.store.reset_log();
        let answer = server.query(sql).await;
        assert_eq!(cells(&answer), [[expected]], "{sql}");
        let requests = server.store.requests();
        let mut opened: Vec<&str> = requests
            .iter()
            .filter(|request| request.operation == Operation::GetObject)
            .map(|request| request.key.as_str())
            .collect();
        opened.sort_unstable();
        opened.dedup();
        let matching = if expected == "1590" { 2 } else { 10 };
        assert_eq!(opened.len(), matching, "{sql} opened {opened:?}");
    }
}

/// Two tables of one database are seen at one moment, though the second one is asked long after the first; and one
/// connection is enough for both.
#[tokio::test(flavor = "multi_thread")]
async fn all_scans_of_a_query_see_one_moment() {
    let postgres = Postgres::start();
    postgres.sql(
        "CREATE TABLE a AS SELECT n AS id FROM generate_series(0, 9) n; \
         CREATE TABLE b AS SELECT n AS id FROM generate_series(0, 999) n; ANALYZE; \
         CREATE ROLE reader LOGIN PASSWORD 'reader''s'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;",
    );
    let (name, mut properties) = catalog(&postgres);
    properties.push(("max_connections", "1".to_owned()));
    let builder = Builder {
        catalogs: vec![(name, properties)],
        // Of the file only its footer is kept, so that each query reads it.
        scan: ScanConfig {
            block_memory_bytes: 0,
            whole_file_bytes: 0,
            footer_hint_bytes: 64,
            ..ScanConfig::default()
        },
        ..Builder::default()
    };
    let server = builder.start().await;
    server.put("t/part.parquet", &numbers(0..100));
    server.table_of_numbers("t").await;
    let sql = "SELECT count(*) FROM pg.public.a JOIN t ON a.id = t.n JOIN pg.public.b ON b.id = t.n";
    assert_eq!(one(&server.query(sql).await), 10);
    // The lake is read between the two: there the query waits, with its transaction open.
    let gate = server.store.pause_before("t/part.parquet", Operation::GetObject);
    let changed = async {
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'owlake' AND state = 'idle in transaction'";
        while postgres.sql(idle).trim() != "1" {
            tokio::task::yield_now().await;
        }
        postgres.sql("INSERT INTO b SELECT id FROM b; DELETE FROM a");
        gate.release();
    };
    let (answer, ()) = tokio::join!(server.query(sql), changed);
    assert_eq!(one(&answer), 10);
    assert_eq!(one(&server.query("SELECT count(*) FROM pg.public.b").await), 2000);
}

/// A scan that a LIMIT ends takes its transaction with it; the scan that waited for it begins all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_begins_after_another_one_was_ended_early() {
    let server = beside(&POSTGRES).await;
    let some = "SELECT m FROM pg.public.big WHERE upper(k) LIKE 'KEY%' LIMIT 1";
    let sql = format!("SELECT count(*) FROM ({some}) x JOIN pg.public.many y ON x.m = y.p");
    let answer = server.query(&sql).await;
    assert_eq!(one(&answer), 1);
    assert!(remote_rows(&answer.receipt) < 1_000_000, "{:?}", answer.receipt);
}

/// A large table in ranges of its pages: every row once, of one moment, by as few connections as there are; counted
/// as one statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_read_in_ranges_by_the_connections_that_are_free() {
    for (connections, cut, queries) in [("10", true, 1), ("4", true, 4), ("1", false, 1)] {
        let (name, mut properties) = catalog(&POSTGRES);
        properties.push(("max_connections", connections.to_owned()));
        let builder = Builder {
            catalogs: vec![(name, properties)],
            engine: EngineConfig {
                cpu_threads: Some(4),
                ..EngineConfig::default()
            },
            ..Builder::default()
        };
        let server = builder.start().await;
        server.put("t/part.parquet", &numbers(0..100));
        server.table_of_numbers("t").await;
        let plan = server.query("EXPLAIN SELECT id FROM pg.public.big").await;
        let plan = plan.rows.concat().join("\n");
        assert_eq!(plan.contains("ranges="), cut, "{plan}");
        for (sql, expected) in [
            (
                "SELECT count(*), sum(id), count(DISTINCT k) FROM pg.public.big",
                vec!["1000000", "499999500000", "1000000"],
            ),
            (
                "SELECT count(*), sum(a.id) FROM pg.public.big a JOIN pg.public.big b ON a.id = b.maybe",
                vec!["999999", "499999499995"],
            ),
            (
                "SELECT count(*), sum(id) FROM (SELECT id FROM pg.public.big UNION ALL SELECT m FROM pg.public.big)",
                vec!["2000000", "500002499997"],
            ),
            (
                "SELECT count(*), sum(b.id) FROM t JOIN pg.public.big b ON t.n = b.id",
                vec!["100", "4950"],
            ),
        ]
        .into_iter()
        .take(queries)
        {
            let answer = server.query(sql).await;
            assert_eq!(cells(&answer), [expected], "{connections} connections: {sql}");
            // Both sides of the self join, or the union.
            assert!(
                remote_sql(&answer.receipt).len() <= 2,
                "{:?}",
                remote_sql(&answer.receipt)
            );
        }
        assert_eq!(
            server
                .query("SELECT id FROM pg.public.big LIMIT 5")
                .await
                .rows
                .len(),
            5
        );
    }
}
