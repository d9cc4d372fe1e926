//! A PostgreSQL server in trouble: what its tables answer then, and that nothing else notices.

use futures::TryStreamExt;
use owlake_testkit::postgres::Postgres;
use tokio::time::timeout;

use crate::federation::{beside, until_active};
use crate::harness::{PATIENCE, one};

const SETUP: &str = "
    CREATE TABLE few AS SELECT n FROM generate_series(1, 3) n; CREATE SCHEMA sales;
    CREATE VIEW sales.slow AS SELECT pg_sleep(600) IS NULL AS s;
    CREATE ROLE reader LOGIN PASSWORD 'reader''s' CONNECTION LIMIT 2; GRANT USAGE ON SCHEMA sales TO reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA public, sales TO reader;";

/// Two connections are for our role; another server of ours has both.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_a_free_connection_says_so_and_recovers() {
    let postgres = Postgres::start();
    postgres.sql(SETUP);
    let (busy, server) = (beside(&postgres).await, beside(&postgres).await);
    let slow = "SELECT * FROM pg.sales.slow";
    let few = "SELECT count(*) FROM pg.public.few";
    let mut first = busy.client.query(slow).await.unwrap();
    let mut second = busy.client.query(slow).await.unwrap();
    let running = async {
        tokio::select! {
            answer = first.try_next() => panic!("a statement that sleeps has answered {answer:?}"),
            answer = second.try_next() => panic!("a statement that sleeps has answered {answer:?}"),
            () = until_active(&postgres, 2) => {}
        }
    };
    timeout(PATIENCE, running).await.expect("two statements that run");
    let error = server.refused(few).await;
    assert_eq!(error.code(), Some("JDBC_ERROR"), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("catalog `pg`: the database cannot be reached") && text.contains("connection"),
        "{text}"
    );
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 100);
    drop((first, second));
    timeout(PATIENCE, until_active(&postgres, 0))
        .await
        .expect("the statements end with their queries");
    // The connections close a moment after the statements.
    let answered = async {
        loop {
            if let Ok(answer) = crate::harness::run(&server.client, few).await {
                return one(&answer);
            }
        }
    };
    assert_eq!(timeout(PATIENCE, answered).await.expect("a free connection"), 3);
}
