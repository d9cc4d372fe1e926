//! Catalogs that statements make: there at once and after a restart, gone when dropped, and silent about secrets.

use std::path::PathBuf;
use std::sync::LazyLock;

use owlake_client::Client;
use owlake_testkit::postgres::Postgres;

use crate::federation::cells;
use crate::harness::{TestServer, connect, one, run};
use crate::process::Served;

static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| {
    let server = Postgres::start();
    server.sql(
        "CREATE TABLE few AS SELECT n FROM generate_series(1, 3) n; CREATE ROLE reader LOGIN PASSWORD 'hunter2'; \
         GRANT SELECT ON few TO reader",
    );
    server
});

fn create(name: &str, password: &str) -> String {
    let port = POSTGRES.port();
    format!(
        "CREATE CATALOG {name} USING postgresql WITH (connection_url = \
         'postgresql://127.0.0.1:{port}/postgres?sslmode=disable', user = 'reader', password = '{password}')"
    )
}

async fn count(server: &TestServer, catalog: &str) -> i64 {
    one(&server
        .query(&format!("SELECT count(*) FROM {catalog}.public.few"))
        .await)
}

/// `owlake serve` with a catalog of its configuration.
struct Home {
    directory: tempfile::TempDir,
    secret: PathBuf,
}

impl Home {
    fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("pw");
        std::fs::write(&secret, "hunter2\n").unwrap();
        let config = format!(
            "[server]\nsql_catalog_references = \"FILE:{}\"\n[[catalog]]\nname = \"fixed\"\nconnector = \"postgresql\"\n\
             connection_url = \"postgresql://127.0.0.1:{}/postgres?sslmode=disable\"\nuser = \"reader\"\n",
            secret.display(),
            POSTGRES.port()
        );
        std::fs::write(directory.path().join("owlake.toml"), config).unwrap();
        Self { directory, secret }
    }

    async fn serve(&self) -> (Served, Client) {
        let home = self.directory.path();
        let config = home.join("owlake.toml");
        let args = ["--config", config.to_str().unwrap()];
        let server = Served::start(home, &home.join("data"), &args);
        let client = connect(&server.url).await;
        (server, client)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_lives_from_its_statement_on_and_over_a_kill() {
    let home = Home::make();
    let reference = format!("${{FILE:{}}}", home.secret.display());
    let few = "SELECT count(*) FROM pg.public.few";
    let (server, client) = home.serve().await;
    run(&client, &create("pg", &reference)).await.unwrap();
    assert_eq!(one(&run(&client, few).await.unwrap()), 3);
    run(&client, &create("IF NOT EXISTS pg", "another"))
        .await
        .unwrap();
    let again = run(&client, &create("pg", "x")).await.unwrap_err();
    assert_eq!(again.code(), Some("ALREADY_EXISTS"), "{again}");
    assert_eq!(
        cells(&run(&client, "SHOW CATALOGS").await.unwrap()),
        [["awsdatacatalog"], ["fixed"], ["pg"]]
    );
    let names = client.tables(1000).await.unwrap();
    assert!(names.iter().any(|name| name.table == "few"), "{names:?}");
    server.signal("KILL");
    server.wait();
    let (server, client) = home.serve().await;
    assert_eq!(one(&run(&client, few).await.unwrap()), 3);
    // What is shown makes the same catalog again.
    let shown = run(&client, "SHOW CREATE CATALOG pg").await.unwrap();
    let shown = shown.rows.concat().concat();
    assert!(shown.contains(&reference), "{shown}");
    run(&client, "DROP CATALOG pg").await.unwrap();
    run(&client, &shown).await.unwrap();
    assert_eq!(one(&run(&client, few).await.unwrap()), 3);
    run(&client, "DROP CATALOG pg").await.unwrap();
    run(&client, "DROP CATALOG IF EXISTS pg").await.unwrap();
    for (sql, code) in [
        ("DROP CATALOG pg", "CATALOG_NOT_FOUND"),
        (few, "CATALOG_NOT_FOUND"),
        ("DROP CATALOG fixed", "NOT_SUPPORTED"),
        ("DROP CATALOG IF EXISTS awsdatacatalog", "NOT_SUPPORTED"),
        ("SHOW CREATE CATALOG awsdatacatalog", "NOT_SUPPORTED"),
        ("CREATE CATALOG system USING postgresql", "INVALID_ARGUMENTS"),
        ("CREATE CATALOG `a b` USING postgresql", "INVALID_ARGUMENTS"),
        ("CREATE CATALOG x USING oracle", "INVALID_ARGUMENTS"),
        (
            "CREATE CATALOG x USING postgresql WITH (a = 'b')",
            "INVALID_ARGUMENTS",
        ),
        ("CREATE CATALOG x", "SYNTAX_ERROR"),
    ] {
        let error = run(&client, sql).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{sql}: {error}");
    }
    server.signal("KILL");
    server.wait();
    let (server, client) = home.serve().await;
    assert_eq!(
        cells(&run(&client, "SHOW CATALOGS").await.unwrap()),
        [["awsdatacatalog"], ["fixed"]]
    );
    // The server's log, with every statement in it that failed.
    run(&client, &create("pg", "hunter2' hunter2 '"))
        .await
        .unwrap_err();
    run(&client, &create("pg", "hunter2")).await.unwrap();
    server.stop();
    let log = std::fs::read_to_string(home.directory.path().join("serve.log")).unwrap();
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_nowhere() {
    let server = TestServer::start().await;
    server.query(&create("pg", "hunter2")).await;
    assert_eq!(count(&server, "pg").await, 3);
    let mut told = vec![
        server
            .query("SHOW CREATE CATALOG pg")
            .await
            .rows
            .concat()
            .concat(),
        server
            .query("EXPLAIN SELECT * FROM pg.public.few")
            .await
            .rows
            .concat()
            .concat(),
    ];
    for wrong in [
        create("other", "hunter2', pasword = 'hunter2"),
        create("other", "hunter2' hunter2 '"),
        create("other", "${ENV:hunter2"),
        create("pg", "hunter2"),
    ] {
        told.push(server.refused(&wrong).await.to_string());
    }
    // Refused by the database, and a reference that statements may not make.
    server.query(&create("wrong", "hunter2 no more")).await;
    server.query(&create("far", "${FILE:/etc/hostname}")).await;
    for (name, code) in [
        ("wrong", "JDBC_NON_TRANSIENT_ERROR"),
        ("far", "JDBC_NON_TRANSIENT_ERROR"),
    ] {
        let error = server.refused(&format!("SELECT * FROM {name}.public.few")).await;
        assert_eq!(error.code(), Some(code), "{error}");
        told.push(error.to_string());
    }
    let ledger = server
        .query("SELECT query, coalesce(error_message, '') FROM system.queries")
        .await;
    told.extend(ledger.rows.concat());
    for text in &told {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(
        told.iter()
            .any(|text| text.contains("CREATE CATALOG pg USING postgresql WITH (connection_url = '***'")),
        "{told:?}"
    );
}
