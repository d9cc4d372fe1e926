//! Columns of one name from several tables, with limits and joins whose filters are known only while the query runs.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};

use crate::harness::{BUCKET, Builder, TestServer};

async fn table(server: &TestServer, name: &str, files: impl IntoIterator<Item = Vec<(i32, i32)>>) {
    for (at, rows) in files.into_iter().enumerate() {
        let column = |of: fn(&(i32, i32)) -> i32| Arc::new(Int32Array::from_iter_values(rows.iter().map(of)));
        let columns: [(&str, ArrayRef); 2] = [("id", column(|row| row.0)), ("amount", column(|row| row.1))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        server.put(&format!("{name}/{at:02}.parquet"), &batch);
    }
    let ddl = format!("CREATE EXTERNAL TABLE {name} (id int, amount int) STORED AS PARQUET");
    server
        .query(&format!("{ddl} LOCATION 's3://{BUCKET}/{name}/'"))
        .await;
}

/// What a limit or a join finds out about one of two columns `amount` says nothing of the other one.
#[tokio::test(flavor = "multi_thread")]
async fn filters_that_are_found_out_are_for_the_column_they_are_about() {
    let server = Builder::default().start().await;
    // More rows in each file than a batch has, so that something is found out before the next file is opened.
    let file = |at: i32| (0..10_000).map(|n| (n % 100 + 1, at * 10_000 + n)).collect();
    table(&server, "orders", (0..12).map(file)).await;
    table(
        &server,
        "payments",
        [(1..=100).map(|id| (id, 101 - id)).collect()],
    )
    .await;
    table(&server, "customers", [(1..=100).map(|id| (id, 0)).collect()]).await;
    table(&server, "few", [vec![(7, 94)]]).await;
    let joined = "FROM orders o JOIN payments p ON o.id = p.id JOIN customers c ON p.id = c.id";
    for (sql, expected) in [
        (
            format!("SELECT o.amount, p.amount {joined} ORDER BY p.amount, o.amount DESC LIMIT 1"),
            ["119999", "1"].as_slice(),
        ),
        (
            format!("SELECT p.amount, o.amount {joined} ORDER BY o.amount DESC, p.amount LIMIT 1"),
            &["1", "119999"],
        ),
        (
            format!(
                "SELECT count(*), min(o.amount), max(p.amount) {joined} JOIN few f ON f.amount = p.amount"
            ),
            &["1200", "6", "94"],
        ),
        (
            format!(
                "SELECT count(*), min(p.amount), max(o.amount) {joined} JOIN few f ON f.amount = o.amount"
            ),
            &["1", "6", "94"],
        ),
    ] {
        assert_eq!(server.query(&sql).await.rows, [expected], "{sql}");
    }
}

/// The key of EXISTS is compared with one column of the subquery's table, whose other column has the key's name.
#[tokio::test(flavor = "multi_thread")]
async fn filters_on_the_key_of_exists_are_for_the_column_it_is_compared_with() {
    let server = Builder::default().start().await;
    table(&server, "few", [vec![(5, 0)]]).await;
    table(&server, "a", [(1..=2_000).map(|id| (id, 1)).collect()]).await;
    // Here `amount` is what refers to `a`.
    table(&server, "b", [(1..=4_000).map(|n| (n + 100_000, n)).collect()]).await;
    let exists = "SELECT a.id, a.amount FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.amount = a.id AND b.id > a.amount)";
    for (sql, expected) in [
        (
            format!("SELECT f.id, s.id FROM few f LEFT JOIN ({exists}) s ON f.id = s.id"),
            [["5", "5"]],
        ),
        (
            format!("SELECT f.id, s.id FROM few f JOIN ({exists} LIMIT 100000) s ON f.id = s.id"),
            [["5", "5"]],
        ),
        (format!("{exists} ORDER BY a.id DESC LIMIT 1"), [["2000", "1"]]),
    ] {
        assert_eq!(server.query(&sql).await.rows, expected, "{sql}");
    }
}

/// Rows that a join will not find are gone before they are aggregated; right below the join, it finds out itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_join_finds_out_is_applied_below_an_aggregate() {
    let server = Builder::default().start().await;
    let file = |at: i32| (0..10_000).map(|n| (n % 100 + 1, at)).collect();
    table(&server, "orders", (0..12).map(file)).await;
    table(&server, "few", [vec![(7, 94)]]).await;
    let grouped = "SELECT o.id, o.total FROM (SELECT id, sum(amount) AS total FROM orders GROUP BY id) o \
                   JOIN few f ON f.id = o.id";
    assert_eq!(server.query(grouped).await.rows, [["7", "6600"]]);
    let plan = async |sql: &str| {
        let answer = server.query(&format!("EXPLAIN ANALYZE {sql}")).await;
        answer.rows.concat().join("\n")
    };
    let text = plan(grouped).await;
    let filter = text
        .lines()
        .find(|line| line.contains("FilterExec: DynamicFilter"));
    assert!(
        filter.is_some_and(|line| line.contains("output_rows=1.20 K")),
        "{text}"
    );
    let direct = "SELECT count(*) FROM orders o JOIN few f ON f.id = o.id";
    assert_eq!(server.query(direct).await.rows, [["1200"]]);
    let text = plan(direct).await;
    assert!(
        text.contains("HashJoinExec") && !text.contains("FilterExec"),
        "{text}"
    );
}
