//! Files of other writers that were once answered wrongly (`$OWLAKE_CORPORA/found`), each with its right values.

use std::path::Path;

use bytes::Bytes;

use crate::harness::{BUCKET, TestServer};

/// A query and its rows; columns are separated by a blank.
type Asked = (&'static str, &'static [&'static str]);

struct Found {
    folder: &'static str,
    columns: &'static str,
    /// Column of the partitions, and the value of each folder.
    partitions: Option<(&'static str, &'static [(&'static str, &'static str)])>,
    queries: &'static [Asked],
}

const FILES: [Found; 9] = [
    Found {
        folder: "rgorder",
        columns: "id bigint",
        partitions: None,
        queries: &[
            ("SELECT count(*), sum(id) FROM rgorder", &["6000 17997000"]),
            (
                "SELECT count(*), sum(id) FROM rgorder WHERE id >= 0",
                &["6000 17997000"],
            ),
            ("SELECT count(DISTINCT id) FROM rgorder", &["6000"]),
        ],
    },
    Found {
        folder: "nonull",
        columns: "id bigint, v bigint, w bigint, s string",
        partitions: None,
        queries: &[
            ("SELECT v FROM nonull ORDER BY id", &["7", "NULL", "7", "NULL"]),
            ("SELECT count(v), count(*) FROM nonull", &["2 4"]),
            ("SELECT count(*) FROM nonull WHERE v IS NULL", &["2"]),
            ("SELECT count(*) FROM nonull WHERE v IS NOT NULL", &["2"]),
            ("SELECT count(*) FROM nonull WHERE coalesce(v, 8) = 8", &["2"]),
        ],
    },
    Found {
        folder: "nan1",
        columns: "id bigint, x double",
        partitions: None,
        queries: &[
            ("SELECT count(*) FROM nan1 WHERE x <> 1.5e0", &["1"]),
            ("SELECT count(*) FROM nan1 WHERE x NOT IN (1.5e0)", &["1"]),
            ("SELECT count(*) FROM nan1 WHERE x = 1.5e0", &["2"]),
        ],
    },
    Found {
        folder: "nan2",
        columns: "id bigint, x double",
        partitions: None,
        queries: &[
            ("SELECT count(*) FROM nan2 WHERE NOT (x >= 5e0)", &["1"]),
            (
                "SELECT count(*) FROM nan2 WHERE x NOT BETWEEN 5e0 AND 50e0",
                &["1"],
            ),
            ("SELECT count(*) FROM nan2 WHERE x >= 5e0", &["2"]),
        ],
    },
    Found {
        folder: "nan5",
        columns: "id bigint, x double",
        partitions: None,
        queries: &[("SELECT count(*) FROM nan5 WHERE x = 0e0", &["2"])],
    },
    Found {
        folder: "emptypart",
        columns: "v bigint",
        partitions: Some(("dt string", &[("dt=a", "a"), ("dt=z", "z")])),
        queries: &[
            ("SELECT max(dt), min(dt), count(*) FROM emptypart", &["a a 2"]),
            ("SELECT max(dt) FROM emptypart WHERE dt = 'z'", &["NULL"]),
            ("SELECT DISTINCT dt FROM emptypart", &["a"]),
        ],
    },
    Found {
        folder: "int96",
        columns: "id bigint, ts timestamp",
        partitions: None,
        queries: &[
            (
                "SELECT ts FROM int96 ORDER BY id",
                &[
                    "2020-01-01T00:00:00.001",
                    "2020-01-01T00:00:00",
                    "2020-01-01T00:00:00",
                ],
            ),
            (
                "SELECT count(*) FROM int96 WHERE ts = TIMESTAMP '2020-01-01 00:00:00.001'",
                &["1"],
            ),
            (
                "SELECT max(ts), min(ts) FROM int96",
                &["2020-01-01T00:00:00.001 2020-01-01T00:00:00"],
            ),
        ],
    },
    Found {
        folder: "tsns",
        columns: "id bigint, ts timestamp",
        partitions: None,
        queries: &[
            (
                "SELECT ts FROM tsns ORDER BY id",
                &[
                    "2020-01-01T00:00:00.001",
                    "2020-01-01T00:00:00",
                    "2020-01-01T00:00:00",
                ],
            ),
            (
                "SELECT count(*) FROM tsns WHERE ts < TIMESTAMP '2020-01-01 00:00:00'",
                &["0"],
            ),
            (
                "SELECT max(ts), min(ts) FROM tsns",
                &["2020-01-01T00:00:00.001 2020-01-01T00:00:00"],
            ),
        ],
    },
    Found {
        folder: "tspart",
        columns: "v bigint",
        partitions: Some((
            "ts timestamp",
            &[("a", "2020-01-01 00:00:00.0006"), ("b", "2020-01-02 00:00:00")],
        )),
        queries: &[
            (
                "SELECT DISTINCT ts FROM tspart ORDER BY ts",
                &["2020-01-01T00:00:00.001", "2020-01-02T00:00:00"],
            ),
            (
                "SELECT count(*) FROM tspart WHERE ts = TIMESTAMP '2020-01-01 00:00:00.001'",
                &["1000"],
            ),
            (
                "SELECT count(*) FROM tspart WHERE coalesce(ts, ts) = TIMESTAMP '2020-01-01 00:00:00.001'",
                &["1000"],
            ),
            (
                "SELECT count(*) FROM tspart WHERE ts < TIMESTAMP '2020-01-01 00:00:00.001'",
                &["0"],
            ),
        ],
    },
];

/// Every file below `folder`, by its path from there.
fn files_below(folder: &Path) -> Vec<(String, Bytes)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = files_below(&path).into_iter();
            files.extend(inner.map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            files.push((name, std::fs::read(&path).unwrap().into()));
        }
    }
    files
}

fn corpus(folder: &str) -> Vec<(String, Bytes)> {
    let root = std::env::var("OWLAKE_CORPORA").expect("OWLAKE_CORPORA names the directory of the corpora");
    files_below(&Path::new(&root).join("found").join(folder))
}

async fn make(server: &TestServer, found: &Found) {
    let folder = found.folder;
    for (key, bytes) in corpus(folder) {
        server.store.put(BUCKET, &format!("{folder}/{key}"), bytes);
    }
    let columns = found.columns;
    let keys = found
        .partitions
        .map_or(String::new(), |(column, _)| format!(" PARTITIONED BY ({column})"));
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE {folder} ({columns}){keys} STORED AS PARQUET LOCATION 's3://{BUCKET}/{folder}/'"
        ))
        .await;
    if let Some((column, values)) = found.partitions {
        let name = column.split(' ').next().unwrap();
        for (below, value) in values {
            server
                .query(&format!(
                    "ALTER TABLE {folder} ADD PARTITION ({name} = '{value}') \
                     LOCATION 's3://{BUCKET}/{folder}/{below}/'"
                ))
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(corpora), ignore = "OWLAKE_CORPORA was not set when this was built")]
async fn what_was_once_answered_wrongly_is_right() {
    let server = TestServer::start().await;
    let mut wrong = Vec::new();
    for found in &FILES {
        make(&server, found).await;
        for (sql, right) in found.queries {
            let rows = server.query(sql).await.rows;
            let came: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
            if came != *right {
                wrong.push(format!("{sql}\n  right {right:?}\n  came  {came:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rows of two files; one has 0.5 and NaN, beside statistics that leave NaN out.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(corpora), ignore = "OWLAKE_CORPORA was not set when this was built")]
async fn nan_is_found_whatever_statistics_leave_out() {
    let server = TestServer::start().await;
    for (key, bytes) in corpus("nan3") {
        server.store.put(BUCKET, &format!("nan3/{key}"), bytes);
    }
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE nan3 (id bigint, x double) STORED AS PARQUET LOCATION 's3://{BUCKET}/nan3/'"
        ))
        .await;
    let rows = server.query("SELECT id, x FROM nan3 ORDER BY id").await.rows;
    let text: Vec<String> = rows.iter().map(|row| row.join(",")).collect();
    server
        .store
        .put(BUCKET, "nan3_csv/a.csv", Bytes::from(text.join("\n")));
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE nan3_csv (id bigint, x double) ROW FORMAT DELIMITED \
             FIELDS TERMINATED BY ',' LOCATION 's3://{BUCKET}/nan3_csv/'"
        ))
        .await;
    for sql in [
        "SELECT x FROM nan3 ORDER BY x DESC LIMIT 1",
        "SELECT x FROM nan3 ORDER BY x LIMIT 1",
        "SELECT max(x), min(x) FROM nan3",
        "SELECT count(*) FROM nan3 WHERE x > 0.7e0",
        "SELECT count(*) FROM nan3 WHERE NOT (x < 1e9)",
    ] {
        let other = sql.replace("nan3", "nan3_csv");
        for _ in 0..5 {
            assert_eq!(
                server.query(sql).await.rows,
                server.query(&other).await.rows,
                "{sql}"
            );
        }
    }
}
