//! Databases that are down, slow, full, changed or hostile: a clear error, no connection left behind, no hang.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use owlake_fault::{Code, Fault};
use owlake_federation::postgres::{Database, PostgresConfig, RowsObserver, ScanRequest};
use owlake_testkit::postgres::{PASSWORD, Postgres, SUPERUSER};

use crate::support::{Counted, Secrets, activity, batches, catalog_with, fresh, request, rows, spawner};

const BIG: &str = "CREATE TABLE big AS SELECT n, repeat('x', 200) AS t FROM generate_series(1, 200000) n";

/// Waits until the server sees no statement of ours; the test's own time limit ends it.
async fn until_idle(server: &Postgres) {
    while activity(server, "active") > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_database_that_is_down_is_noticed_when_asked_and_found_again() {
    let server = Postgres::start().with_password();
    server.sql("CREATE TABLE t AS SELECT 1 AS n");
    server.stop();
    let catalog = catalog_with(&server, "postgres", &[]);
    let fault = catalog.schemas().await.unwrap_err();
    assert_eq!(fault.code(), Code::JdbcError);
    assert!(
        fault
            .to_string()
            .contains("the database cannot be reached: Connection refused"),
        "{fault}"
    );
    server.start_again();
    assert_eq!(rows(&catalog, "t", &[]).await.unwrap(), [["1"]]);
    // Connections that lie in the pool die with the server; the next statement gets a new one.
    assert_eq!(catalog.connections(), (1, 1));
    server.stop();
    server.start_again();
    assert_eq!(rows(&catalog, "t", &[]).await.unwrap(), [["1"]]);
}

#[tokio::test]
async fn wrong_credentials_and_databases_are_said_without_the_password() {
    let server = Postgres::start().with_password();
    for (properties, code, text) in [
        (
            &[("password", "hunter2")][..],
            Code::JdbcNonTransientError,
            "password authentication failed for user",
        ),
        (
            &[("user", "nobody")],
            Code::JdbcNonTransientError,
            "password authentication failed for user",
        ),
        (
            &[("password", "${ENV:NOT_SET}")],
            Code::JdbcNonTransientError,
            "environment variable NOT_SET is not set",
        ),
    ] {
        let fault = catalog_with(&server, "postgres", properties)
            .schemas()
            .await
            .unwrap_err();
        assert_eq!(fault.code(), code, "{fault}");
        assert!(
            fault.to_string().contains(text) && !format!("{fault:?}").contains("hunter2"),
            "{fault:?}"
        );
    }
    let fault = catalog_with(&server, "nowhere", &[]).schemas().await.unwrap_err();
    assert!(
        fault.to_string().contains("database \"nowhere\" does not exist"),
        "{fault}"
    );
}

/// By TLS to `localhost` with the authority of the server's certificate, or not at all.
#[tokio::test]
async fn tls_verifies_authority_and_name() {
    let server = Postgres::builder().tls().start().with_password();
    server.sql("CREATE TABLE t AS SELECT ssl AS v FROM pg_stat_ssl LIMIT 0");
    let file = std::env::temp_dir().join(format!("owlake-authority-{}.pem", server.port()));
    std::fs::write(&file, server.authority().unwrap()).unwrap();
    let catalog = |host: &str, parameters: &str| {
        let url = format!("postgresql://{host}:{}/postgres?{parameters}", server.port());
        let properties = [
            ("connection_url", url.as_str()),
            ("user", SUPERUSER),
            ("password", PASSWORD),
        ];
        let pairs = properties.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let config = PostgresConfig::from_properties(&BTreeMap::from(pairs)).unwrap();
        Database::new("pg", config, Arc::new(Secrets), spawner()).unwrap()
    };
    let trusted = format!("sslmode=verify-full&sslrootcert={}", file.display());
    assert_eq!(
        rows(&catalog("localhost", &trusted), "t", &[]).await.unwrap(),
        Vec::<Vec<String>>::new()
    );
    for (host, parameters, error) in [
        ("127.0.0.1", trusted.as_str(), "not valid for name"),
        ("localhost", "sslmode=verify-full", "UnknownIssuer"),
        ("127.0.0.1", "sslmode=disable", "no encryption"),
        (
            "localhost",
            "sslrootcert=/nowhere.pem",
            "authorities of `sslrootcert` cannot be read",
        ),
    ] {
        let fault = catalog(host, parameters).schemas().await.unwrap_err();
        assert!(fault.to_string().contains(error), "{host} {parameters}: {fault}");
    }
    // Many rows, and a cancel request, go the same way.
    server.sql(BIG);
    let catalog = catalog("localhost", &trusted);
    let big = request(&catalog, "public", "big", &[]).await;
    let all = batches(&catalog, &big).await.unwrap();
    assert_eq!(all.iter().map(|batch| batch.num_rows()).sum::<usize>(), 200_000);
    // This statement ends by being cancelled alone.
    server.sql("CREATE VIEW slow AS SELECT pg_sleep(600) IS NULL AS s");
    let slow = request(&catalog, "public", "slow", &[]).await;
    let waiting = tokio::spawn(async move { batches(&catalog, &slow).await.map(|all| all.len()) });
    while activity(&server, "active") == 0 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    until_idle(&server).await;
    assert!(server.log().contains("canceling statement due to user request"));
    std::fs::remove_file(file).unwrap();
}

/// Dropping a scan in the middle ends it on the server; its connection is not used again.
#[tokio::test]
async fn a_dropped_scan_is_cancelled_on_the_server() {
    let server = Postgres::start().with_password();
    server.sql(
        "CREATE TABLE t AS SELECT 1 AS n; CREATE VIEW slow AS SELECT n, pg_sleep(600) IS NULL AS s FROM t",
    );
    server.sql(BIG);
    let catalog = Arc::new(catalog_with(&server, "postgres", &[]));
    // One that waits for its first row.
    let slow = request(&catalog, "public", "slow", &[]).await;
    let waiting = {
        let catalog = Arc::clone(&catalog);
        tokio::spawn(async move { batches(&catalog, &slow).await.map(|all| all.len()) })
    };
    while activity(&server, "active") == 0 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    until_idle(&server).await;
    // One in the middle of its rows.
    let big = request(&catalog, "public", "big", &[]).await;
    let mut rows_of = catalog.scan(&big, Arc::new(Counted::default())).await.unwrap();
    assert!(catalog.next(&mut rows_of).await.unwrap().is_some());
    assert_eq!(activity(&server, "active"), 1);
    drop(rows_of);
    until_idle(&server).await;
    assert_eq!(rows(&catalog, "t", &[]).await.unwrap(), [["1"]]);
    assert!(server.log().contains("canceling statement due to user request"));
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let catalog = fresh(
        "slow_statements",
        "CREATE VIEW slow AS SELECT pg_sleep(600) IS NULL AS s",
    );
    let mut slow = request(&catalog, "public", "slow", &[]).await;
    slow.timeout = Some(Duration::from_millis(50));
    let fault = batches(&catalog, &slow).await.unwrap_err();
    assert_eq!(fault.code(), Code::ExceededTimeLimit, "{fault}");
    // The server said so itself, so that its connection is as good as before.
    assert_eq!(catalog.connections(), (1, 1));
}

#[tokio::test]
async fn a_full_pool_and_a_full_server_are_told_apart() {
    let server = Postgres::builder()
        .setting("max_connections", "4")
        .setting("superuser_reserved_connections", "1")
        .start()
        .with_password();
    server.sql(
        "CREATE ROLE reader LOGIN PASSWORD 'r'; CREATE TABLE t AS SELECT 1 AS n; GRANT SELECT ON t TO reader",
    );
    server.sql(&BIG.replace("big", "public.big"));
    server.sql("GRANT SELECT ON big TO reader");
    let reader = [("user", "reader"), ("password", "r"), ("connect_timeout", "1s")];
    let small: Vec<_> = reader.iter().copied().chain([("max_connections", "1")]).collect();
    let catalog = catalog_with(&server, "postgres", &small);
    let big = request(&catalog, "public", "big", &[]).await;
    let running = catalog.scan(&big, Arc::new(Counted::default())).await.unwrap();
    let fault = catalog
        .scan(&big, Arc::new(Counted::default()))
        .await
        .unwrap_err();
    assert!(
        fault
            .to_string()
            .contains("all 1 connections to the database were in use for 1 s"),
        "{fault}"
    );
    drop(running);
    until_idle(&server).await;
    let catalog = catalog_with(&server, "postgres", &reader);
    let mut held = Vec::new();
    let refused = loop {
        match catalog.scan(&big, Arc::new(Counted::default())).await {
            Ok(rows) => held.push(rows),
            Err(fault) => break fault,
        }
    };
    assert_eq!(refused.code(), Code::JdbcError);
    assert!(
        refused.to_string().contains("remaining connection slots")
            || refused.to_string().contains("too many"),
        "{refused}"
    );
    assert!(!held.is_empty());
}

/// What was described has changed meanwhile: refused, and right when asked again.
#[tokio::test]
async fn a_changed_table_is_noticed() {
    let setup = "CREATE TABLE t (a int, b int8); INSERT INTO t VALUES (1, 2);
        CREATE TABLE gone (a int); CREATE TABLE secret AS SELECT 1 AS a; CREATE TABLE n (a numeric(10,2))";
    let catalog = fresh("changes", setup);
    let change = |sql: &str| crate::support::SERVER.sql_in("changes", sql);
    for (sql, table) in [
        // As many bytes as before: only the announced type tells.
        ("ALTER TABLE t ALTER b TYPE float8", "t"),
        ("ALTER TABLE t ALTER b TYPE text", "t"),
        ("ALTER TABLE t DROP COLUMN a", "t"),
        ("ALTER TABLE n ALTER a TYPE numeric(20,8)", "n"),
    ] {
        let before = request(&catalog, "public", table, &[]).await;
        change(sql);
        let fault = batches(&catalog, &before).await.unwrap_err();
        assert!(
            fault
                .to_string()
                .contains(&format!("table public.{table} has changed")),
            "{sql}: {fault}"
        );
        rows(&catalog, table, &[]).await.unwrap();
    }
    let before = request(&catalog, "public", "gone", &[]).await;
    change("DROP TABLE gone");
    assert!(
        batches(&catalog, &before)
            .await
            .unwrap_err()
            .to_string()
            .contains("has changed")
    );
    assert!(catalog.table("public", "gone").await.unwrap().is_none());
    assert_eq!(
        catalog.connections(),
        (1, 1),
        "the server's own errors cost no connection"
    );
}

#[tokio::test]
async fn a_revoked_table_is_refused_with_what_the_server_says() {
    let _owner = fresh(
        "grants",
        "CREATE TABLE t AS SELECT 1 AS n; CREATE ROLE grantee LOGIN PASSWORD 'g'",
    );
    let catalog = catalog_with(
        &crate::support::SERVER,
        "grants",
        &[("user", "grantee"), ("password", "g")],
    );
    let fault = rows(&catalog, "t", &[]).await.unwrap_err();
    assert_eq!(fault.code(), Code::JdbcNonTransientError);
    assert_eq!(
        fault.to_string(),
        "JDBC_NON_TRANSIENT_ERROR: catalog `pg`: the database answered 42501: permission denied for table t. \
         Grant it to the user of the catalog in the database."
    );
}

/// A function that writes cannot, whatever its owner may do.
#[tokio::test]
async fn nothing_is_written() {
    let setup = "CREATE TABLE t (a int);
        CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'INSERT INTO public.t VALUES (1) RETURNING a';
        CREATE VIEW v AS SELECT public.f() AS a";
    let catalog = fresh("writes", setup);
    let fault = rows(&catalog, "v", &[]).await.unwrap_err();
    assert!(fault.to_string().contains("read-only transaction"), "{fault}");
    assert_eq!(rows(&catalog, "t", &[]).await.unwrap().len(), 0);
}

/// The server dies in the middle of a transfer.
#[tokio::test]
async fn a_server_that_dies_in_the_middle_is_an_error() {
    let server = Postgres::start().with_password();
    server.sql(BIG);
    let catalog = catalog_with(&server, "postgres", &[]);
    let big = request(&catalog, "public", "big", &[]).await;
    let mut rows_of = catalog.scan(&big, Arc::new(Counted::default())).await.unwrap();
    catalog.next(&mut rows_of).await.unwrap();
    server.stop();
    let fault = loop {
        match catalog.next(&mut rows_of).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the transfer cannot have ended well"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.code(), Code::JdbcError, "{fault}");
    server.start_again();
    let all = batches(&catalog, &big).await.unwrap();
    assert_eq!(all.iter().map(|batch| batch.num_rows()).sum::<usize>(), 200_000);
}

/// Who watches the bytes may end the statement.
#[tokio::test]
async fn an_observer_ends_a_scan() {
    struct Cap;
    #[async_trait::async_trait]
    impl RowsObserver for Cap {
        async fn received(&self, _bytes: u64) -> Result<(), Fault> {
            Err(Fault::new(Code::ExceededScanLimit, "enough"))
        }
        fn rows(&self, _rows: u64) {}
    }
    let catalog = fresh("observed", BIG);
    let big: ScanRequest = request(&catalog, "public", "big", &[]).await;
    let mut rows_of = catalog.scan(&big, Arc::new(Cap)).await.unwrap();
    assert_eq!(
        catalog.next(&mut rows_of).await.unwrap_err().code(),
        Code::ExceededScanLimit
    );
}
