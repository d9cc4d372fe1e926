//! Every file below `testdata/slt` over Flight SQL: sqllogictest with values as text, one server per file.

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use owlake_client::{Client, ClientError};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner, strict_column_validator};

use crate::harness::{BUCKET, TestServer, connect, numbers, text_rows};

/// What the files find in the store besides `testdata/rows`, which lies under `rows/`: `numbers/` with 0 to 9,
/// `days/` by date with 0 to 9 and 0 to 4.
const OBJECTS: [(&str, i64); 3] = [
    ("numbers/part-0.parquet", 10),
    ("days/dt=2024-01-01/part-0.parquet", 10),
    ("days/dt=2024-01-02/part-0.parquet", 5),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_file_is_answered_as_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/slt");
    let mut files = Vec::new();
    collect(&root, "slt", &mut files);
    files.sort();
    assert!(
        files.iter().any(|f| f.ends_with("dialect/athena_6_1.slt")),
        "{files:?}"
    );
    let mut differences = Vec::new();
    for file in &files {
        if let Err(difference) = answered(file).await {
            differences.push(difference);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// Files below `dir` with this extension, or all with none.
fn collect(dir: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, extension, files);
        } else if extension.is_empty() || path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
}

/// The first difference of a file.
async fn answered(file: &Path) -> Result<(), String> {
    let server = TestServer::start().await;
    for (key, rows) in OBJECTS {
        server.put(key, &numbers(0..rows));
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let mut rows = Vec::new();
    collect(&data.join("rows"), "", &mut rows);
    for path in rows {
        let key = path.strip_prefix(&data).unwrap().to_str().unwrap().to_owned();
        server.store.put(BUCKET, &key, std::fs::read(&path).unwrap());
    }
    let mut runner = Runner::new(|| async { Ok(Session(connect(&server.url).await)) });
    runner.with_column_validator(strict_column_validator);
    // Blanks count: plans and definitions are indented.
    runner.with_normalizer(|value| value.trim_end().to_owned());
    runner
        .run_file_async(file)
        .await
        .map_err(|e| e.display(false).to_string())
}

/// A connection as a file names it: the first one, or one of `connection NAME`.
struct Session(Client);

#[async_trait::async_trait]
impl AsyncDB for Session {
    type Error = ClientError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, ClientError> {
        let mut stream = self.0.query(sql).await?;
        let mut rows = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            rows.extend(text_rows(&batch));
        }
        let columns = stream.schema().fields().len();
        if columns == 0 {
            return Ok(DBOutput::StatementComplete(0));
        }
        for value in rows.iter_mut().flatten().filter(|value| value.is_empty()) {
            *value = "(empty)".to_owned();
        }
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Text; columns],
            rows,
        })
    }

    async fn shutdown(&mut self) {}
}
