//! TPC-H with lineitem, orders and partsupp in the lake and the other tables in PostgreSQL: the answers are those of
//! PostgreSQL over all eight tables, and what it is asked is known to the letter.

use std::fmt::Write;
use std::path::Path;

use owlake_client::Client;
use owlake_testkit::postgres::Postgres;

use super::{beside, client};
use crate::harness::{BUCKET, TestServer, run};

const SCALE: f64 = 0.01;
/// Tables that stay in the lake.
const LAKE: [&str; 3] = ["lineitem", "orders", "partsupp"];

/// All tables, those of the lake in a schema that only the reference reads.
const TABLES: &str = "
    CREATE TABLE region (r_regionkey bigint, r_name text, r_comment text);
    CREATE TABLE nation (n_nationkey bigint, n_name text, n_regionkey bigint, n_comment text);
    CREATE TABLE supplier (s_suppkey bigint, s_name text, s_address text, s_nationkey bigint, s_phone text,
        s_acctbal numeric(15,2), s_comment text);
    CREATE TABLE part (p_partkey bigint, p_name text, p_mfgr text, p_brand text, p_type text, p_size int,
        p_container text, p_retailprice numeric(15,2), p_comment text);
    CREATE TABLE customer (c_custkey bigint, c_name text, c_address text, c_nationkey bigint, c_phone text,
        c_acctbal numeric(15,2), c_mktsegment text, c_comment text);
    CREATE SCHEMA lake;
    CREATE TABLE lake.partsupp (ps_partkey bigint, ps_suppkey bigint, ps_availqty int,
        ps_supplycost numeric(15,2), ps_comment text);
    CREATE TABLE lake.orders (o_orderkey bigint, o_custkey bigint, o_orderstatus text, o_totalprice numeric(15,2),
        o_orderdate date, o_orderpriority text, o_clerk text, o_shippriority int, o_comment text);
    CREATE TABLE lake.lineitem (l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber int,
        l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2),
        l_returnflag text, l_linestatus text, l_shipdate date, l_commitdate date, l_receiptdate date,
        l_shipinstruct text, l_shipmode text, l_comment text);";
const TABLE_NAMES: [&str; 8] = [
    "region", "nation", "supplier", "part", "customer", "partsupp", "orders", "lineitem",
];

/// The lake, and the same rows in PostgreSQL.
async fn loaded(server: &TestServer, postgres: &Postgres) {
    let mut objects = Vec::new();
    owlake::demo::lake::generate_tpch(SCALE, 100_000, |key, bytes| {
        objects.push((key.to_owned(), bytes));
        Ok(())
    })
    .unwrap();
    for (key, bytes) in objects {
        server.store.put(BUCKET, &key, bytes);
    }
    for ddl in owlake::demo::lake::ddl(&format!("s3://{BUCKET}/")) {
        server.query(&ddl).await;
    }
    let mut script = String::new();
    for name in TABLE_NAMES {
        let schema = if LAKE.contains(&name) { "lake" } else { "public" };
        writeln!(script, "COPY {schema}.{name} FROM STDIN;").unwrap();
        for row in server.query(&format!("SELECT * FROM {name}")).await.rows {
            writeln!(script, "{}", row.join("\t")).unwrap();
        }
        script.push_str("\\.\n");
    }
    script.push_str(
        "CREATE INDEX ON lake.lineitem (l_partkey); CREATE INDEX ON lake.lineitem (l_orderkey); ANALYZE;",
    );
    postgres.sql(&script);
}

/// With the names of the lake's tables written out.
fn split(sql: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in sql.chars().chain(['\n']) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        if LAKE.contains(&word.as_str()) {
            out.push_str("awsdatacatalog.default.");
        }
        out.push_str(&word);
        out.push(c);
        word.clear();
    }
    out
}

/// Equal texts, or numbers that are equal in the digits that both have.
fn same(ours: &str, theirs: &str) -> bool {
    let digits = |text: &str| text.split_once('.').map_or(0, |(_, digits)| digits.len());
    let places = digits(ours).min(digits(theirs)) as i32;
    ours == theirs
        || match (ours.parse::<f64>(), theirs.parse::<f64>()) {
            (Ok(ours), Ok(theirs)) => {
                let unit = 10_f64.powi(-places).max(theirs.abs() * 1e-12);
                (ours - theirs).abs() <= unit
            }
            _ => false,
        }
}

/// The statements of a plan.
async fn remote_sql(client: &Client, sql: &str) -> Vec<String> {
    let plan = run(client, &format!("EXPLAIN {sql}"))
        .await
        .unwrap()
        .rows
        .concat();
    let scans = plan
        .iter()
        .filter_map(|line| line.split_once("PostgresScan: catalog=pg, sql="));
    let sql = scans.map(|(_, sql)| sql.split(", dynamic_filters=").next().unwrap_or(sql).to_owned());
    // Which side of a join comes first may follow from statistics.
    let mut sql: Vec<String> = sql.collect();
    sql.sort_unstable();
    sql
}

#[tokio::test(flavor = "multi_thread")]
async fn tpch_over_both_gives_the_reference_answers() {
    let postgres = Postgres::start();
    postgres.sql(TABLES);
    let server = beside(&postgres).await;
    loaded(&server, &postgres).await;
    let client = client(&server).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tpch");
    let mut sent = String::new();
    for number in 1..=22 {
        let sql = std::fs::read_to_string(folder.join(format!("q{number:02}.sql"))).unwrap();
        let sql = sql.replace(":fraction", "0.01");
        let ours = split(&sql);
        let answer = run(&client, &ours)
            .await
            .unwrap_or_else(|e| panic!("q{number:02}: {e}"));
        let theirs = postgres.sql(&format!(
            "\\pset null NULL\nSET search_path = public, lake; {sql}"
        ));
        let theirs: Vec<Vec<&str>> = theirs.lines().map(|line| line.split('|').collect()).collect();
        let alike = answer.rows.len() == theirs.len()
            && answer.rows.iter().zip(&theirs).all(|(ours, theirs)| {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
            });
        assert!(
            alike,
            "q{number:02}\n{:?}\n{theirs:?}\n{:?}",
            answer.rows, answer.receipt.notices
        );
        writeln!(
            sent,
            "q{number:02}\n{}\n",
            remote_sql(&client, &ours).await.join("\n")
        )
        .unwrap();
    }
    // Renewed by INSTA_UPDATE=always, like every snapshot.
    insta::assert_snapshot!(sent);
}
