//! One server for all tests of this binary, and catalogs over it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use owlake_fault::Fault;
use owlake_federation::SecretSource;
use owlake_federation::postgres::{Database, PostgresConfig, RowsObserver, ScanRequest, Spawner};
use owlake_testkit::postgres::{PASSWORD, Postgres, SUPERUSER};

/// Shared by all tests that do not disturb it; each works in databases of its own.
pub static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start().with_password());

/// `${ENV:PW}` is the superuser's password.
#[derive(Debug)]
pub struct Secrets;

impl SecretSource for Secrets {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "PW").then(|| PASSWORD.to_owned())
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

pub fn spawner() -> Spawner {
    let runtime = tokio::runtime::Handle::current();
    Spawner::new(move |work| {
        runtime.spawn(work);
    })
}

/// A catalog `pg` with properties besides the usual.
pub fn catalog_with(server: &Postgres, database: &str, properties: &[(&str, &str)]) -> Database {
    let url = format!(
        "postgresql://127.0.0.1:{}/{database}?sslmode=disable",
        server.port()
    );
    let usual = [
        ("connection_url", url.as_str()),
        ("user", SUPERUSER),
        ("password", "${ENV:PW}"),
    ];
    let all = usual
        .iter()
        .chain(properties)
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let config = PostgresConfig::from_properties(&all.collect::<BTreeMap<_, _>>()).unwrap();
    Database::new("pg", config, Arc::new(Secrets), spawner()).unwrap()
}

/// A catalog over a new database of the shared server.
pub fn fresh(database: &str, setup: &str) -> Database {
    SERVER.sql(&format!("CREATE DATABASE {database}"));
    SERVER.sql_in(database, setup);
    catalog_with(&SERVER, database, &[])
}

/// Counts what arrives.
#[derive(Debug, Default)]
pub struct Counted {
    pub bytes: AtomicU64,
    pub rows: AtomicU64,
}

#[async_trait::async_trait]
impl RowsObserver for Counted {
    async fn received(&self, bytes: u64) -> Result<(), Fault> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}

/// A scan of these columns, all where none is named.
pub async fn request(catalog: &Database, schema: &str, table: &str, columns: &[&str]) -> ScanRequest {
    let table = catalog
        .table(schema, table)
        .await
        .unwrap()
        .expect("the table exists");
    let projection = match columns {
        [] => (0..table.columns.len()).collect(),
        names => names
            .iter()
            .map(|name| table.schema().index_of(name).unwrap())
            .collect(),
    };
    ScanRequest {
        table,
        projection,
        filter: None,
        limit: None,
        timeout: None,
    }
}

pub async fn batches(catalog: &Database, request: &ScanRequest) -> Result<Vec<RecordBatch>, Fault> {
    let counted = Arc::new(Counted::default());
    let mut rows = catalog.scan(request, Arc::clone(&counted) as _).await?;
    let mut all = Vec::new();
    while let Some(batch) = catalog.next(&mut rows).await? {
        all.push(batch);
    }
    let received: usize = all.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(counted.rows.load(Ordering::Relaxed), received as u64);
    assert!(counted.bytes.load(Ordering::Relaxed) > 0);
    Ok(all)
}

/// Cells as text, NULL as `NULL`.
pub fn text(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect::<Vec<_>>()
        }));
    }
    rows
}

/// All rows of some columns of a table.
pub async fn rows(catalog: &Database, table: &str, columns: &[&str]) -> Result<Vec<Vec<String>>, Fault> {
    let request = request(catalog, "public", table, columns).await;
    Ok(text(&batches(catalog, &request).await?))
}

/// What the server itself says.
pub fn activity(server: &Postgres, state: &str) -> usize {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'owlake' AND state = '{state}'"
    );
    server.sql(&sql).trim().parse().unwrap()
}
