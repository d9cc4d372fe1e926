//! What PostgreSQL computes for a query, over the wire: the same answers as here, and as PostgreSQL itself gives.

mod cases;
mod tpch;

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, RecordBatch, StringArray};
use futures::future::join_all;
use owlake_client::Client;
use owlake_testkit::postgres::Postgres;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::federation::catalog;
use crate::harness::{Answer, BUCKET, Builder, TestServer, connect, run};
use cases::{COLUMNS, Case};

/// Every case has the seed `SEED + its number`; a failure prints it.
const SEED: u64 = 20_261_122;
const CASES: u64 = 2_000;
/// And so many with the lake's table between two of the database.
const SPLIT: u64 = 200;
const AT_ONCE: u64 = 4;
/// Rows of each table.
const ROWS: i32 = 40;

async fn beside(postgres: &Postgres) -> TestServer {
    postgres.sql(
        "CREATE ROLE reader LOGIN PASSWORD 'reader''s'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    );
    let builder = Builder {
        catalogs: vec![catalog(postgres)],
        ..Builder::default()
    };
    builder.start().await
}

/// In whose session names are those of PostgreSQL's tables.
async fn client(server: &TestServer) -> Client {
    let client = connect(&server.url).await;
    client.set("catalog", Some("pg")).unwrap();
    client.set("database", Some("public")).unwrap();
    client
}

/// One value of a column, as PostgreSQL reads it.
fn value(dice: &mut StdRng, name: &str, id: i32) -> String {
    if name == "id" {
        return id.to_string();
    }
    if dice.random_ratio(1, 6) {
        return "NULL".to_owned();
    }
    let among = |dice: &mut StdRng, texts: &[&str]| format!("'{}'", texts.choose(dice).unwrap());
    match name {
        "i2" | "i4" => dice.random_range(-2..8).to_string(),
        "i8" => among(
            dice,
            &["9223372036854775807", "-9223372036854775808", "1", "2", "3", "5"],
        ),
        "n" => among(
            dice,
            &["0.500", "-1.25", "2", "3", "100.1", "999999999.999", "0.001"],
        ),
        "nn" => among(dice, &["0.5", "-1.2", "2", "3.0", "9999.9"]),
        "c" => among(dice, &["a", "B", "ok", "", "ab  "]),
        "e" => among(dice, &["ok", "a", "B"]),
        "b" => among(dice, &["true", "false"]),
        "d" => among(dice, &["2026-01-01", "2026-01-02", "1999-12-31", "0001-01-01"]),
        "ts" | "tz" => {
            let zone = if name == "tz" { "+00" } else { "" };
            let texts = [
                "2026-01-02 00:00:00",
                "2026-01-01 10:00:00.000001",
                "1999-12-31 23:59:59.999999",
            ];
            format!("'{}{zone}'", texts.choose(dice).unwrap())
        }
        "u" => among(
            dice,
            &[
                "00000000-0000-0000-0000-000000000002",
                "a0000000-0000-0000-0000-00000000000f",
                "0fffffff-0000-0000-0000-000000000000",
            ],
        ),
        "f" | "r" => among(dice, &["NaN", "-0", "0", "1.5", "-2", "Infinity", "-Infinity"]),
        "s" => among(dice, &["{}", "{1,NULL}", "{2}"]),
        _ => among(
            dice,
            &[
                "", "a", "A", "B", "b", "ä", "Ä", "z", "it''s", "a\\b", "ok", "e\u{301}", "é", "🦉", " ",
                "ab", "A%",
            ],
        ),
    }
}

fn setup(dice: &mut StdRng) -> String {
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|(name, of, _)| format!("{name} {of}"))
        .collect();
    let mut sql = "CREATE COLLATION en (provider = icu, locale = 'en'); \
         CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TYPE mood AS ENUM ('ok', 'a', 'B');"
        .to_owned();
    for table in ["a", "b"] {
        let rows: Vec<String> = (0..ROWS)
            .map(|id| {
                let cells = COLUMNS.map(|(name, ..)| value(dice, name, id));
                format!("({})", cells.join(", "))
            })
            .collect();
        sql.push_str(&format!(
            "CREATE TABLE {table} ({}); INSERT INTO {table} VALUES {};",
            columns.join(", "),
            rows.join(", ")
        ));
    }
    sql.push_str("ANALYZE a, b;");
    sql.push_str("CREATE TABLE l AS SELECT id, i4, n, t, d FROM a WHERE id % 2 = 0 UNION ALL SELECT id + 1, i4, n, t, d FROM b WHERE id % 3 = 0;");
    sql
}

/// The table of the lake, with the rows that PostgreSQL's table of that name has.
async fn lake_table(server: &TestServer, postgres: &Postgres) {
    let text =
        postgres.sql("SELECT id, i4, (n * 1000)::int8, coalesce('=' || t, ''), d - date '1970-01-01' FROM l");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').collect()).collect();
    let int = |at: usize| {
        rows.iter()
            .map(|row| row[at].parse::<i32>().ok())
            .collect::<Vec<_>>()
    };
    let decimals: Decimal128Array = rows.iter().map(|row| row[2].parse::<i128>().ok()).collect();
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(Int32Array::from(int(0)))),
        ("i4", Arc::new(Int32Array::from(int(1)))),
        ("n", Arc::new(decimals.with_precision_and_scale(12, 3).unwrap())),
        (
            "t",
            Arc::new(
                rows.iter()
                    .map(|row| row[3].strip_prefix('='))
                    .collect::<StringArray>(),
            ),
        ),
        ("d", Arc::new(Date32Array::from(int(4)))),
    ];
    server.put(
        "l/part.parquet",
        &RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap(),
    );
    let ddl = "CREATE EXTERNAL TABLE l (id int, i4 int, n decimal(12,3), t string, d date)";
    server
        .query(&format!("{ddl} STORED AS PARQUET LOCATION 's3://{BUCKET}/l/'"))
        .await;
}

/// Rows as lines, in no order.
fn lines(rows: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = rows.into_iter().collect();
    lines.sort_unstable();
    lines
}

/// What PostgreSQL itself answers.
fn theirs(postgres: &Postgres, cases: &[Case]) -> Vec<Option<Vec<String>>> {
    let mut script = String::new();
    for (at, case) in cases.iter().enumerate() {
        if let Some(sql) = &case.postgres {
            script.push_str(&format!("\\echo ---{at}\n{sql};\n"));
        }
    }
    let mut answers = vec![None; cases.len()];
    for part in postgres.sql(&script).split("---").skip(1) {
        let (at, rows) = part.split_once('\n').unwrap();
        answers[at.parse::<usize>().unwrap()] = Some(lines(rows.lines().map(str::to_owned)));
    }
    answers
}

fn folded(answer: &Answer) -> bool {
    answer
        .receipt
        .notices
        .iter()
        .any(|notice| notice.contains(" AS c0"))
}

/// Each query as planned and with all of its work done here (`verify_pushdown` compares the two), and by PostgreSQL
/// itself where that means the same by it.
#[tokio::test(flavor = "multi_thread")]
async fn random_queries_have_the_same_answer_there_and_here() {
    let postgres = Postgres::start();
    postgres.sql(&setup(&mut StdRng::seed_from_u64(SEED)));
    let server = beside(&postgres).await;
    lake_table(&server, &postgres).await;
    let split = (CASES..CASES + SPLIT).map(|number| Case::split(SEED + number));
    let cases: Vec<Case> = (0..CASES)
        .map(|number| Case::new(SEED + number))
        .chain(split)
        .collect();
    let theirs = theirs(&postgres, &cases);
    let compared = theirs.iter().flatten().count();
    let ask = async |first: u64| {
        let client = client(&server).await;
        client.set("verify_pushdown", Some("true")).unwrap();
        let (mut taken, mut wrong) = (0, Vec::new());
        for (case, theirs) in cases
            .iter()
            .zip(&theirs)
            .skip(first as usize)
            .step_by(AT_ONCE as usize)
        {
            match run(&client, &case.owlake).await {
                Err(error) => wrong.push(format!("seed {}: {}\n{error}", case.seed, case.owlake)),
                Ok(answer) => {
                    taken += u64::from(folded(&answer));
                    let ours = lines(answer.rows.iter().map(|row| row.join("|")));
                    if theirs.as_ref().is_some_and(|theirs| *theirs != ours) {
                        wrong.push(format!(
                            "seed {}: {}\n{:?}\nours   {ours:?}\ntheirs {:?}\n{:?}",
                            case.seed, case.owlake, case.postgres, theirs, answer.receipt.notices
                        ));
                    }
                }
            }
        }
        (taken, wrong)
    };
    let results = join_all((0..AT_ONCE).map(ask)).await;
    let wrong: Vec<String> = results.iter().flat_map(|(_, wrong)| wrong.clone()).collect();
    let taken: u64 = results.iter().map(|(taken, _)| taken).sum();
    println!(
        "{compared} of {} by PostgreSQL too, {taken} taken over, {} wrong",
        cases.len(),
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        cases.len(),
        wrong[..wrong.len().min(12)].join("\n\n")
    );
    // The comparison is worth something.
    assert!(
        compared as u64 > CASES / 2 && taken > CASES / 3,
        "{compared} compared, {taken} taken over"
    );
}

/// Answers that differ are told, with what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_between_there_and_here_is_an_error() {
    let postgres = Postgres::start();
    postgres.sql(
        "CREATE TABLE t AS SELECT n FROM generate_series(1, 50) n;
         CREATE VIEW dice AS SELECT (random() * 1000000000)::int AS n FROM generate_series(1, 50)",
    );
    let server = beside(&postgres).await;
    let client = client(&server).await;
    client.set("verify_pushdown", Some("true")).unwrap();
    let error = run(&client, "SELECT sum(n) FROM dice").await.unwrap_err();
    assert_eq!(error.code(), Some("JDBC_NON_TRANSIENT_ERROR"), "{error}");
    let text = error.to_string();
    assert!(text.contains("1 rows each, not the same ones"), "{text}");
    assert!(text.contains("sum((t0.\"n\")::int8)"), "{text}");
    let notices = async |sql: &str| {
        let answer = run(&client, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let said = answer
            .receipt
            .notices
            .iter()
            .filter_map(|notice| notice.strip_prefix("verify_pushdown: "));
        said.collect::<Vec<_>>().join("|")
    };
    assert_eq!(notices("SELECT sum(n) FROM t").await, "1 rows are the same");
    // Which rows of the view come is left open, not how many.
    let open = "10 rows in both forms; which ones the query leaves open";
    assert_eq!(notices("SELECT n FROM dice LIMIT 10").await, open);
    assert_eq!(
        notices("SELECT n FROM t ORDER BY n DESC LIMIT 10").await,
        "10 rows are the same"
    );
    assert_eq!(
        notices("SELECT count(*) FROM (SELECT n FROM dice LIMIT 10)").await,
        "the query leaves open what its answer is"
    );
    assert_eq!(notices("SELECT 1").await, "");
}
