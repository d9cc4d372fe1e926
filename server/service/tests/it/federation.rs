//! Tables of PostgreSQL beside the lake, over the wire: the same answers as if all rows were local, counted, capped,
//! cancelled; and what a database in trouble does to its own tables alone.

use std::sync::LazyLock;

use futures::TryStreamExt;
use owlake_client::{ClientError, QueryReceipt};
use owlake_testkit::postgres::Postgres;

use crate::harness::{Answer, BUCKET, Builder, Catalog, TestServer, numbers, one};

/// Shared by the tests that do not disturb it.
static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| {
    let server = Postgres::start();
    server.sql(SETUP);
    server
});

const SETUP: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, name text, \"Region\" text, limit_ numeric(10,2), since date,
        seen timestamptz, active boolean, score float8, code uuid, tags text[]);
    INSERT INTO customers SELECT n, 'name ' || n, (ARRAY['eu', 'us', NULL, 'apac'])[1 + n % 4], n * 1.25,
        date '2020-01-01' + n, timestamptz '2026-01-01 00:00:00Z' + n * interval '1 s', n % 3 = 0,
        CASE n % 10 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' ELSE n / 7.0 END,
        ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, ARRAY['t' || n % 5, NULL]
        FROM generate_series(1, 1000) n;
    ANALYZE customers;
    CREATE SCHEMA sales; CREATE TABLE sales.empty (a int, b text);
    CREATE VIEW sales.big_spenders AS SELECT id, name FROM customers WHERE limit_ > 1000;
    CREATE VIEW sales.slow AS SELECT pg_sleep(600) IS NULL AS s;
    CREATE TABLE sales.wide AS SELECT n, repeat('x', 500) AS t FROM generate_series(1, 20000) n;
    CREATE TABLE sales.odd (v interval, r int4range, m money, x xml); INSERT INTO sales.odd VALUES ('1 mon', '[1,3)', 1.5, '<a/>');
    CREATE ROLE reader LOGIN PASSWORD 'reader''s'; GRANT USAGE ON SCHEMA sales TO reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA public, sales TO reader;";

pub fn catalog(server: &Postgres) -> Catalog {
    let url = format!(
        "postgresql://127.0.0.1:{}/postgres?sslmode=disable",
        server.port()
    );
    let properties = [
        ("connection_url", url.as_str()),
        ("user", "reader"),
        ("password", "reader's"),
    ];
    (
        "pg",
        properties.map(|(name, value)| (name, value.to_owned())).to_vec(),
    )
}

/// A lake with a table `t` of the numbers below 100, and the catalog `pg`.
pub async fn beside(postgres: &Postgres) -> TestServer {
    let builder = Builder {
        catalogs: vec![catalog(postgres)],
        ..Builder::default()
    };
    let server = builder.start().await;
    server.put("t/part.parquet", &numbers(0..100));
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE t (n bigint) STORED AS PARQUET LOCATION 's3://{BUCKET}/t/'"
        ))
        .await;
    server
}

/// The remote statements that a receipt names.
pub fn remote_sql(receipt: &QueryReceipt) -> Vec<&str> {
    let sent = receipt
        .notices
        .iter()
        .filter(|notice| notice.starts_with("catalog `pg` sent"));
    sent.filter_map(|notice| notice.split_once(" for: ").map(|(_, sql)| sql))
        .collect()
}

pub fn remote_rows(receipt: &QueryReceipt) -> u64 {
    receipt.counters.unwrap().remote_rows
}

pub fn cells(answer: &Answer) -> Vec<Vec<&str>> {
    answer
        .rows
        .iter()
        .map(|row| row.iter().map(String::as_str).collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_database_join_those_of_the_lake_and_are_counted() {
    let server = beside(&POSTGRES).await;
    let joined = "SELECT c.region, count(*) AS customers, sum(c.limit_) AS limits FROM t JOIN pg.public.customers c \
                  ON t.n = c.id GROUP BY 1 ORDER BY 1 NULLS LAST";
    let answer = server.query(joined).await;
    let theirs = POSTGRES.sql(
        "SELECT coalesce(\"Region\", 'NULL'), count(*), sum(limit_) FROM customers WHERE id < 100 GROUP BY \"Region\" ORDER BY \"Region\" NULLS LAST",
    );
    let ours: Vec<String> = answer.rows.iter().map(|row| row.join("|")).collect();
    assert_eq!(ours.join("\n"), theirs.trim());
    let counters = answer.receipt.counters.unwrap();
    assert_eq!(counters.remote_rows, 99);
    assert!(
        counters.remote_bytes > 99 * 8 && counters.data_scanned_bytes > 0,
        "{counters:?}"
    );
    // Athena's rule: what all sources gave, at least 10 MB.
    assert_eq!(answer.receipt.billed_bytes, 10_000_000);
    let sent = remote_sql(&answer.receipt);
    assert!(
        sent.len() == 1
            && sent[0]
                .starts_with("SELECT \"id\", \"Region\", \"limit_\" FROM \"public\".\"customers\" WHERE "),
        "{sent:?}"
    );
    let ledger = format!(
        "SELECT remote_rows, remote_bytes FROM system.queries WHERE query_id = '{}'",
        answer.receipt.query_id
    );
    let row = server.query(&ledger).await;
    let bytes = counters.remote_bytes.to_string();
    assert_eq!(cells(&row), [["99", bytes.as_str()]]);
    let ledger = format!(
        "SELECT r.catalog, r.remote_query, r.remote_rows, r.remote_bytes, r.principal = q.principal,
           r.elapsed_ms BETWEEN 0 AND q.total_ms
         FROM system.remote_queries r JOIN system.queries q ON r.query_id = q.query_id WHERE r.query_id = '{}'",
        answer.receipt.query_id
    );
    let row = server.query(&ledger).await;
    let told = &answer.receipt.remote_queries[0];
    let text = told.remote_query.as_str();
    assert_eq!(cells(&row), [["pg", text, "99", bytes.as_str(), "true", "true"]]);
    // The notice has the beginning of it.
    let quoted = sent[0].strip_suffix(" ...").unwrap();
    assert!(quoted.len() == 1000 && text.starts_with(quoted) && text.ends_with("'99'::int8)))"));
    assert_eq!((told.remote_rows, told.remote_bytes), (99, counters.remote_bytes));
    // From the other catalog's point of view.
    server.query("USE pg.sales").await;
    let lake = one(&server
        .query("SELECT count(*) FROM big_spenders b JOIN awsdatacatalog.default.t ON b.id = t.n + 900")
        .await);
    assert_eq!(lake, 100);
}

/// Conditions, each as the database gets it, and the same ones in a form that it never gets: equal answers, and the
/// first kind moves only the rows that count.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_pushed_down_and_mean_the_same() {
    let server = beside(&POSTGRES).await;
    for (pushed, kept) in [
        ("id = 7", "id / 1 = 7"),
        ("id > 990 AND id <= 995", "id / 1 > 990 AND id / 1 <= 995"),
        ("id IN (1, 2, 3, 5000)", "id / 1 IN (1, 2, 3, 5000)"),
        ("id NOT BETWEEN 4 AND 998", "id / 1 NOT BETWEEN 4 AND 998"),
        (
            "region IS NULL AND id < 9",
            "concat(region, '') IS NULL AND id / 1 < 9",
        ),
        (
            "region = 'eu' AND id < 30",
            "concat(region, '') = 'eu' AND id / 1 < 30",
        ),
        (
            "region <> 'eu' AND id < 30",
            "concat(region, '') <> 'eu' AND id / 1 < 30",
        ),
        (
            "NOT (region = 'eu') AND id < 30",
            "NOT (concat(region, '') = 'eu') AND id / 1 < 30",
        ),
        ("name = 'name 12'", "concat(name, '') = 'name 12'"),
        ("name < 'name 11'", "concat(name, '') < 'name 11'"),
        (
            "name LIKE '%e 1_' AND id <> 3",
            "concat(name, '') LIKE '%e 1_' AND id / 1 <> 3",
        ),
        ("id + 1 = 8", "id / 1 + 1 = 8"),
        ("limit_ = 12.5", "limit_ / 1 = 12.5"),
        ("limit_ < DECIMAL '3.75'", "limit_ / 1 < DECIMAL '3.75'"),
        (
            "since = DATE '2020-02-01'",
            "date_add('day', 0, since) = DATE '2020-02-01'",
        ),
        (
            "active AND id < 10",
            "CAST(active AS varchar) = 'true' AND id / 1 < 10",
        ),
        (
            "code = '00000000-0000-0000-0000-000000000042'",
            "concat(code, '') = '00000000-0000-0000-0000-000000000042'",
        ),
    ] {
        let select = |condition| format!("SELECT * FROM pg.public.customers WHERE {condition} ORDER BY id");
        let (near, far) = (
            server.query(&select(kept)).await,
            server.query(&select(pushed)).await,
        );
        assert_eq!(far.rows, near.rows, "{pushed}");
        assert!(!far.rows.is_empty(), "{pushed}");
        assert_eq!(
            remote_rows(&far.receipt),
            far.rows.len() as u64,
            "{pushed}: {:?}",
            remote_sql(&far.receipt)
        );
        assert_eq!(
            remote_rows(&near.receipt),
            1000,
            "{kept}: {:?}",
            remote_sql(&near.receipt)
        );
    }
    // Where the meaning could differ, the database is not asked.
    for condition in [
        "score < 0.5",
        "score = 0",
        "name LIKE concat(region, '%')",
        "upper(name) = 'NAME 1'",
        "code < 'a'",
    ] {
        let sql = format!("SELECT count(*) FROM pg.public.customers WHERE {condition}");
        let answer = server.query(&sql).await;
        assert_eq!(
            remote_rows(&answer.receipt),
            1000,
            "{condition}: {:?}",
            remote_sql(&answer.receipt)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_columns_are_pushed_down() {
    let server = beside(&POSTGRES).await;
    let few = server
        .query("SELECT name FROM pg.public.customers WHERE id > 500 LIMIT 3")
        .await;
    assert_eq!((few.rows.len(), remote_rows(&few.receipt)), (3, 3));
    assert_eq!(
        remote_sql(&few.receipt),
        ["SELECT \"name\" FROM \"public\".\"customers\" WHERE (\"id\" > '500'::int8) LIMIT 3"]
    );
    // A filter that stays here must see all rows before the limit does.
    let kept = server
        .query("SELECT name FROM pg.public.customers WHERE id / 1 > 990 LIMIT 3")
        .await;
    assert_eq!(
        (
            kept.rows.len(),
            remote_sql(&kept.receipt).iter().any(|sql| sql.contains("LIMIT"))
        ),
        (3, false)
    );
    assert_eq!(
        one(&server.query("SELECT count(*) FROM pg.public.customers").await),
        1000
    );
    let plan = server
        .query("EXPLAIN SELECT name FROM pg.public.customers WHERE id = 1")
        .await;
    let text = plan.rows.concat().join("\n");
    assert!(
        text.contains("PostgresScan: catalog=pg, sql=SELECT \"name\" FROM \"public\".\"customers\" WHERE (\"id\" = '1'::int8)"),
        "{text}"
    );
    let analyzed = server
        .query("EXPLAIN ANALYZE SELECT name FROM pg.public.customers WHERE id = 1")
        .await;
    let text = analyzed.rows.concat().join("\n");
    assert!(
        text.contains("remote_bytes=") && text.contains("remote_time=") && text.contains("output_rows=1"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogs_are_shown_like_those_of_the_lake() {
    let server = beside(&POSTGRES).await;
    assert_eq!(
        cells(&server.query("SHOW CATALOGS").await),
        [["awsdatacatalog"], ["pg"]]
    );
    assert_eq!(
        cells(&server.query("SHOW TABLES IN pg.sales").await),
        [["big_spenders"], ["empty"], ["odd"], ["slow"], ["wide"]]
    );
    assert_eq!(
        cells(&server.query("DESCRIBE pg.sales.odd").await),
        [
            ["v", "interval", ""],
            ["r", "string", ""],
            ["m", "decimal(19,2)", ""],
            ["x", "string", ""]
        ]
    );
    let odd = server.query("SELECT r, m, x FROM pg.sales.odd").await;
    assert_eq!(cells(&odd), [["[1,3)", "1.50", "<a/>"]]);
    let columns = server
        .query("SELECT column_name, data_type FROM pg.information_schema.columns WHERE table_name = 'customers' LIMIT 4")
        .await;
    assert_eq!(
        cells(&columns),
        [
            ["id", "integer"],
            ["name", "varchar"],
            ["region", "varchar"],
            ["limit_", "decimal(10,2)"]
        ]
    );
    let names = server.client.tables(1000).await.unwrap();
    let named = |table: &str| names.iter().any(|name| name.table == table);
    assert!(named("customers") && named("big_spenders"), "{names:?}");
    server.query("USE pg.public").await;
    assert_eq!(
        cells(&server.query("SHOW DATABASES").await),
        [["public"], ["sales"]]
    );
    assert_eq!(one(&server.query("SELECT count(*) FROM customers").await), 1000);
    for (sql, code) in [
        ("SELECT * FROM pg.sales.custmers", "TABLE_NOT_FOUND"),
        ("SELECT * FROM pg.nowhere.customers", "SCHEMA_NOT_FOUND"),
        ("SELECT nothing FROM pg.public.customers", "COLUMN_NOT_FOUND"),
        ("DROP TABLE pg.public.customers", "NOT_SUPPORTED"),
        ("CREATE DATABASE pg.more", "NOT_SUPPORTED"),
        ("SHOW CREATE TABLE pg.public.customers", "NOT_SUPPORTED"),
        ("SELECT * FROM other.public.customers", "CATALOG_NOT_FOUND"),
        (
            "EXPLAIN (TYPE COST) SELECT * FROM pg.public.customers",
            "NOT_SUPPORTED",
        ),
    ] {
        let error = server.refused(sql).await;
        assert_eq!(error.code(), Some(code), "{sql}: {error}");
    }
    POSTGRES.sql("CREATE TABLE sales.added (a int)");
    server.query("REFRESH TABLE pg.sales.empty").await;
    assert_eq!(server.query("SHOW TABLES IN pg.sales").await.rows.len(), 6);
    POSTGRES.sql("DROP TABLE sales.added");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_holds_for_remote_bytes() {
    let server = beside(&POSTGRES).await;
    server.client.set("max_data_scanned_bytes", Some("1MB")).unwrap();
    let error = server
        .refused("SELECT count(DISTINCT upper(t)) FROM pg.sales.wide")
        .await;
    assert_eq!(error.code(), Some("EXCEEDED_SCAN_LIMIT"), "{error}");
    let receipt = error.receipt().unwrap();
    assert_eq!(receipt.state().as_str_name(), "QUERY_STATE_CANCELLED");
    // At most what arrived together with the byte that was too much.
    let received = receipt.counters.unwrap().remote_bytes;
    assert!(received < 1_300_000, "{receipt:?}");
    // The statement that passed it is on record.
    let ledger = format!(
        "SELECT remote_bytes FROM system.remote_queries WHERE query_id = '{}'",
        receipt.query_id
    );
    assert_eq!(
        cells(&server.query(&ledger).await),
        [[received.to_string().as_str()]]
    );
    assert_eq!(
        one(&server
            .query("SELECT count(*) FROM pg.public.customers WHERE id < 10")
            .await),
        9
    );
}

/// Waits until the server runs this many statements of ours; the test's own time limit ends it.
pub async fn until_active(postgres: &Postgres, statements: usize) {
    let active =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'owlake' AND state = 'active'";
    while postgres.sql(active).trim() != statements.to_string() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_not_wanted_any_more_ends_in_the_database_too() {
    let postgres = Postgres::start();
    postgres.sql(SETUP);
    let server = beside(&postgres).await;
    let mut stream = server.client.query("SELECT * FROM pg.sales.slow").await.unwrap();
    tokio::select! {
        answer = stream.try_next() => panic!("a statement that sleeps has answered {answer:?}"),
        () = until_active(&postgres, 1) => {}
    }
    drop(stream);
    until_active(&postgres, 0).await;
    server.client.set("query_timeout", Some("300ms")).unwrap();
    let error = server.refused("SELECT * FROM pg.sales.slow").await;
    assert_eq!(error.code(), Some("EXCEEDED_TIME_LIMIT"), "{error}");
    until_active(&postgres, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_trouble_disturbs_only_its_own_tables() {
    let postgres = Postgres::start();
    postgres.sql(SETUP);
    postgres.stop();
    // Down when the server starts.
    let server = beside(&postgres).await;
    let lake = async || assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 100);
    let refused = async |sql: &str, code: &str, text: &str| {
        let error: ClientError = server.refused(sql).await;
        assert_eq!(error.code(), Some(code), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    let customers = "SELECT count(*) FROM pg.public.customers";
    refused(
        customers,
        "JDBC_ERROR",
        "catalog `pg`: the database cannot be reached: Connection refused",
    )
    .await;
    lake().await;
    assert_eq!(server.query("SHOW CATALOGS").await.rows.len(), 2);
    assert!(
        server
            .client
            .tables(1000)
            .await
            .unwrap()
            .iter()
            .any(|name| name.table == "t")
    );
    postgres.start_again();
    assert_eq!(one(&server.query(customers).await), 1000);
    // A table that is not what it was, though its bytes would pass.
    postgres.sql("DROP VIEW sales.big_spenders; ALTER TABLE customers ALTER id TYPE float4");
    refused(
        "SELECT sum(id) FROM pg.public.customers",
        "JDBC_ERROR",
        "has changed since it was described",
    )
    .await;
    assert_eq!(
        server.query("SELECT max(id) FROM pg.public.customers").await.rows[0][0],
        "1000.0"
    );
    postgres.sql("REVOKE SELECT ON sales.empty FROM reader");
    refused(
        "SELECT * FROM pg.sales.empty",
        "JDBC_NON_TRANSIENT_ERROR",
        "permission denied for table empty",
    )
    .await;
    lake().await;
    // It dies in the middle of an answer.
    let mut stream = server
        .client
        .query("SELECT a.t FROM pg.sales.wide a, pg.sales.wide b WHERE b.n < 1000")
        .await
        .unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    postgres.stop();
    let ended = loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    // What had arrived before may have been the whole answer.
    if let Err(error) = ended {
        assert_eq!(error.code(), Some("JDBC_ERROR"), "{error}");
    }
    lake().await;
}
