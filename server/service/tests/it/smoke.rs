//! The shortest way through every room.

use crate::harness::{TestServer, numbers, one};

#[tokio::test(flavor = "multi_thread")]
async fn select_one_answers_with_a_receipt() {
    let server = TestServer::start().await;
    let answer = server.query("SELECT 1 AS one").await;
    assert_eq!(answer.rows, vec![vec!["1".to_owned()]]);
    assert_eq!(answer.receipt.rows_returned, 1);
    assert!(!answer.receipt.query_id.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_created_queried_and_dropped() {
    let server = TestServer::start().await;
    server.put("t/part-0.parquet", &numbers(0..1000));
    server.table_of_numbers("t").await;
    assert_eq!(one(&server.query("SELECT sum(n) FROM t").await), 499_500);
    assert_eq!(
        one(&server.query("SELECT count(*) FROM t WHERE n < 10").await),
        10
    );
    server.query("DROP TABLE t").await;
    assert!(
        server
            .refused("SELECT * FROM t")
            .await
            .to_string()
            .starts_with("TABLE_NOT_FOUND")
    );
}
