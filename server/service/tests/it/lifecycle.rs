//! The binary from its start to its end: ready line, drain, lock, kill -9, import, backup, exit codes.

use std::path::Path;
use std::sync::{Arc, Mutex};

use owlake_mems3::{MemS3, Operation};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::harness::{BUCKET, PATIENCE, connect, numbers, one, parquet, run};
use crate::process::{self, Served, config_for, stderr, succeed};

/// What is under way when the server is stopped.
const HELD: &str = "SELECT sum(n) FROM held";

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A store with one table's file, and the configuration of a server that reads it.
fn store(home: &Path) -> (MemS3, String) {
    let store = MemS3::builder().bucket(BUCKET).start().unwrap();
    store.put(BUCKET, "held/part-0.parquet", parquet(&numbers(0..100)));
    let config = config_for(home, &store, BUCKET);
    (store, config)
}

async fn create_held(url: &str) {
    let ddl =
        format!("CREATE EXTERNAL TABLE held (n bigint) STORED AS PARQUET LOCATION 's3://{BUCKET}/held/'");
    run(&connect(url).await, &ddl).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_says_once_that_it_is_ready_answers_on_both_ports_and_ends_on_sigterm() {
    let home = home();
    let server = Served::start(home.path(), &home.path().join("data"), &[]);
    assert!(
        server.url.starts_with("grpc://127.0.0.1:") && !server.url.ends_with(":0"),
        "{}",
        server.url
    );
    assert!(
        server.http.starts_with("127.0.0.1:") && !server.http.ends_with(":0"),
        "{}",
        server.http
    );
    let (status, body) = server.get("/healthz");
    assert!(
        status.starts_with("HTTP/1.1 200") && body == "ok\n",
        "{status} {body}"
    );
    assert_eq!(
        one(&run(&connect(&server.url).await, "SELECT 1").await.unwrap()),
        1
    );
    let (status, body) = server.get("/metrics");
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    assert!(body.contains("owlake_build_info"), "{body}");
    assert!(
        body.lines()
            .any(|l| l.starts_with("owlake_queries_total{") && l.contains("SUCCEEDED")),
        "{body}"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_was_configured_with_is_in_its_settings_and_metrics() {
    let home = home();
    let config = home.path().join("small.toml");
    std::fs::write(
        &config,
        "[cache]\nmax_kept_result = \"1MB\"\n[scan]\nfan_out = 7\n",
    )
    .unwrap();
    let args = ["--config", config.to_str().unwrap()];
    let server = Served::start(home.path(), &home.path().join("data"), &args);
    let client = connect(&server.url).await;
    let shown = "SELECT name, value, \"default\", source, env FROM system.settings \
                 WHERE name IN ('cache.max_kept_result', 'cache.result_memory', 'scan.fan_out') ORDER BY name";
    let row = |key: &str, value: &str, default: &str, source: &str| {
        let env = format!("OWLAKE_{}", key.to_ascii_uppercase().replace('.', "__"));
        [key, value, default, source, &env].map(str::to_owned)
    };
    assert_eq!(
        run(&client, shown).await.unwrap().rows,
        [
            row("cache.max_kept_result", "1MB", "8.388608MB", "server"),
            row("cache.result_memory", "67.108864MB", "67.108864MB", "default"),
            row("scan.fan_out", "7", "16", "server"),
        ]
    );
    run(&client, "SET SESSION source = 'test'").await.unwrap();
    let session = "SELECT value, source, env FROM system.settings WHERE name = 'source'";
    assert_eq!(
        run(&client, session).await.unwrap().rows,
        [["test", "session", "NULL"]]
    );
    // The gauges are set before the first request is let in, or soon after.
    let metrics = async {
        while !server
            .get("/metrics")
            .1
            .contains("owlake_cache_max_bytes{cache=\"result\"} 67108864")
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, metrics).await.unwrap();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_running_query_end_and_says_so_to_probes() {
    let home = home();
    let (store, config) = store(home.path());
    let server = Served::start(home.path(), &home.path().join("data"), &["--config", &config]);
    create_held(&server.url).await;
    let gate = store.pause_after("held/", Operation::GetObject);
    let client = connect(&server.url).await;
    let query = tokio::spawn(async move { run(&client, HELD).await });
    timeout(PATIENCE, gate.wait_reached()).await.unwrap();
    server.signal("TERM");
    let draining = async {
        while !server.get("/healthz").0.starts_with("HTTP/1.1 503") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, draining).await.unwrap();
    gate.release();
    assert_eq!(one(&query.await.unwrap().unwrap()), 4950);
    assert_eq!(server.wait(), (Some(0), String::new()));
}

#[test]
fn a_second_process_on_one_directory_is_told_the_address_of_the_first() {
    let home = home();
    let data = home.path().join("data");
    let first = Served::start(home.path(), &data, &[]);
    let dir = data.to_str().unwrap();
    let ports = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"];
    for args in [
        [&["serve", "--data-dir", dir][..], &ports].concat(),
        vec!["sql", "--data-dir", dir, "-c", "SELECT 1"],
    ] {
        let output = process::run(home.path(), &args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let text = stderr(&output);
        assert!(text.contains("DATA_DIRECTORY_LOCKED"), "{text}");
        assert!(
            text.contains(&first.url) && text.contains(&format!("pid {}", first.pid())),
            "{text}"
        );
        assert!(output.stdout.is_empty());
    }
    first.stop();
    assert_eq!(
        succeed(
            home.path(),
            &["sql", "--data-dir", dir, "-c", "SELECT 1 AS a", "--format", "csv"]
        ),
        "a\n1\n"
    );
}

/// Creates tables until the server is gone; the names of those that were acknowledged.
async fn create_until_killed(url: &str, round: usize, acknowledged: Arc<Mutex<Vec<String>>>) {
    let client = connect(url).await;
    for index in 0_usize.. {
        let name = format!("t{round}_{index}");
        let ddl = format!(
            "CREATE EXTERNAL TABLE {name} (n bigint) STORED AS PARQUET LOCATION 's3://{BUCKET}/{name}/'"
        );
        if run(&client, &ddl).await.is_err() {
            return;
        }
        acknowledged.lock().unwrap().push(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_amid_ddl_and_queries_loses_nothing_that_was_acknowledged() {
    let home = home();
    let data = home.path().join("data");
    let (store, config) = store(home.path());
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 0..3 {
        let server = Served::start(home.path(), &data, &["--config", &config]);
        if round == 0 {
            create_held(&server.url).await;
        }
        let gate = store.pause_after("held/", Operation::GetObject);
        let client = connect(&server.url).await;
        let query = tokio::spawn(async move { run(&client, HELD).await });
        timeout(PATIENCE, gate.wait_reached()).await.unwrap();
        let creating = tokio::spawn({
            let (url, acknowledged) = (server.url.clone(), Arc::clone(&acknowledged));
            async move { create_until_killed(&url, round, acknowledged).await }
        });
        let enough = acknowledged.lock().unwrap().len() + 10 + 7 * round;
        let many = async {
            while acknowledged.lock().unwrap().len() < enough {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, many).await.unwrap();
        server.signal("KILL");
        assert_eq!(server.wait().0, None);
        creating.await.unwrap();
        assert!(query.await.unwrap().is_err());
        gate.release();
    }
    let server = Served::start(home.path(), &data, &["--config", &config]);
    let client = connect(&server.url).await;
    let tables = run(&client, "SHOW TABLES").await.unwrap().rows.concat();
    let names = acknowledged.lock().unwrap().clone();
    for name in &names {
        assert!(tables.contains(name), "{name} was acknowledged and is gone");
        let described = run(&client, &format!("DESCRIBE {name}")).await.unwrap();
        assert!(!described.rows.is_empty(), "{name} is there by half");
    }
    let sql = format!("SELECT state, error_message FROM system.queries WHERE query = '{HELD}'");
    let lost = vec!["FAILED".to_owned(), "server stopped".to_owned()];
    assert_eq!(
        run(&client, &sql).await.unwrap().rows,
        vec![lost.clone(), lost.clone(), lost]
    );
    let unfinished = "SELECT query FROM system.queries WHERE state IN ('RUNNING', 'QUEUED') AND query NOT LIKE '%unfinished%' \
                      AND query NOT LIKE '%system.queries%'";
    assert_eq!(
        run(&client, unfinished).await.unwrap().rows,
        Vec::<Vec<String>>::new()
    );
    assert_eq!(one(&run(&client, HELD).await.unwrap()), 4950);
    server.stop();
}

#[test]
fn off_loopback_the_server_refuses_to_start_without_tls_and_tokens() {
    let home = home();
    for (args, flag) in [
        (&[][..], "--tls-cert"),
        (&["--allow-plaintext"][..], "--token-file"),
    ] {
        let args = [
            &[
                "serve",
                "--listen",
                "0.0.0.0:0",
                "--http-listen",
                "127.0.0.1:0",
                "--data-dir",
                "data",
            ],
            args,
        ];
        let output = process::run(home.path(), &args.concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(flag), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        assert!(
            !home.path().join("data").exists(),
            "refused before anything was touched"
        );
    }
}

/// Three databases with 50 tables of two registered partitions each over local files, as `aws glue get-*` prints them.
fn dump(lake: &Path, to: &Path) -> Vec<String> {
    let databases: Vec<_> = (0..3)
        .map(|d| json!({"Name": format!("Db{d}"), "Description": "from a dump"}))
        .collect();
    let (mut tables, mut partitions) = (Vec::new(), Vec::new());
    for index in 0..50_usize {
        let (database, table) = (format!("Db{}", index % 3), format!("Table{index}"));
        let descriptor = |location: &Path| {
            json!({"Columns": [{"Name": "N", "Type": "bigint"}], "Location": format!("file://{}/", location.display()),
                "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
                "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"}})
        };
        let root = lake.join(&table);
        for (day, rows) in [("2024-01-01", 10), ("2024-01-02", 20)] {
            // Not where Hive would put it: only the registration knows the place.
            let folder = root.join(format!("day{rows}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(
                folder.join("part-0.parquet"),
                parquet(&numbers(0..rows + index as i64)),
            )
            .unwrap();
            partitions.push(
                json!({"Values": [day], "DatabaseName": database, "TableName": table,
                "StorageDescriptor": descriptor(&folder), "CreationTime": 1_704_067_200.0}),
            );
        }
        tables.push(json!({"Name": table, "DatabaseName": database, "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": descriptor(&root), "PartitionKeys": [{"Name": "dt", "Type": "string"}],
            "Parameters": {"classification": "parquet"}, "CreateTime": 1_704_067_200.0, "CatalogId": "123456789012"}));
    }
    let documents = [
        ("databases", json!({"DatabaseList": databases})),
        ("tables", json!({"TableList": tables})),
        ("partitions", json!({"Partitions": partitions})),
    ];
    documents
        .into_iter()
        .map(|(name, document)| {
            let path = to.join(format!("{name}.json"));
            std::fs::write(&path, document.to_string()).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect()
}

/// Every imported table, whole and by one registered partition.
async fn assert_imported(url: &str) {
    let client = connect(url).await;
    for index in 0..50_i64 {
        let table = format!("db{}.table{index}", index % 3);
        assert_eq!(
            one(&run(&client, &format!("SELECT count(*) FROM {table}"))
                .await
                .unwrap()),
            30 + 2 * index
        );
        let day = format!("SELECT count(n) FROM {table} WHERE dt = '2024-01-02'");
        assert_eq!(one(&run(&client, &day).await.unwrap()), 20 + index);
    }
    let partitions = run(&client, "SHOW PARTITIONS db0.table0")
        .await
        .unwrap()
        .rows
        .concat();
    assert_eq!(partitions, ["dt=2024-01-01", "dt=2024-01-02"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glue_dump_is_imported_once_backed_up_while_serving_and_restored() {
    let home = home();
    let (lake, data, other) = (
        home.path().join("lake"),
        home.path().join("data"),
        home.path().join("other"),
    );
    let (dir, other_dir) = (data.to_str().unwrap(), other.to_str().unwrap());
    let files = dump(&lake, home.path());
    let mut import = vec!["import", "glue-json", "--data-dir", dir];
    import.extend(files.iter().map(String::as_str));
    let report = succeed(home.path(), &import);
    for line in ["3 created", "50 created", "100 created"] {
        assert!(report.contains(line), "{report}");
    }
    let again = succeed(home.path(), &import);
    for line in [
        "0 created, 0 updated, 3 unchanged",
        "0 created, 0 updated, 50 unchanged",
        "0 created, 0 updated, 100 unchanged",
    ] {
        assert!(again.contains(line), "{again}");
    }
    let location = format!("file://{}/", lake.display());
    let server = Served::start(home.path(), &data, &["--allow-location", &location]);
    assert_imported(&server.url).await;
    let backup = home.path().join("catalog-backup.db");
    let backup = backup.to_str().unwrap();
    succeed(home.path(), &["backup", "--data-dir", dir, backup]);
    run(&connect(&server.url).await, "DROP TABLE db0.table0")
        .await
        .unwrap();
    let held = process::run(home.path(), &["restore", "--data-dir", dir, backup]);
    assert_eq!(
        held.status.code(),
        Some(1),
        "a directory in use is not restored into"
    );
    assert!(stderr(&held).contains(&server.url), "{}", stderr(&held));
    server.stop();
    for place in [dir, other_dir] {
        succeed(home.path(), &["restore", "--data-dir", place, backup]);
        let server = Served::start(home.path(), Path::new(place), &["--allow-location", &location]);
        assert_imported(&server.url).await;
        server.stop();
    }
}

#[test]
fn a_data_directory_of_the_first_release_opens() {
    let home = home();
    let data = home.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/catalog/v1/catalog.db");
    std::fs::copy(frozen, data.join("catalog.db")).unwrap();
    let sql = |statement: &str| {
        succeed(
            home.path(),
            &[
                "sql",
                "--data-dir",
                data.to_str().unwrap(),
                "-c",
                statement,
                "--format",
                "csv",
                "-q",
            ],
        )
    };
    let databases = sql("SHOW DATABASES");
    assert_eq!(
        databases.lines().skip(1).collect::<Vec<_>>(),
        ["default", "sales"]
    );
    let tables = sql("SHOW TABLES IN sales");
    assert!(tables.lines().any(|line| line == "events"), "{tables}");
    assert_eq!(sql("SHOW PARTITIONS sales.events").lines().skip(1).count(), 2);
}

/// A local table and the flags that reach it.
fn local_table(home: &Path) -> Vec<String> {
    let folder = home.join("lake/t");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("part-0.parquet"), parquet(&numbers(0..3))).unwrap();
    let location = format!("file://{}/", home.join("lake").display());
    let data = home.join("data").display().to_string();
    let flags = ["sql", "--data-dir", &data, "--allow-location", &location]
        .map(str::to_owned)
        .to_vec();
    let ddl = format!("CREATE EXTERNAL TABLE t (n bigint) STORED AS PARQUET LOCATION '{location}t/'");
    let mut create: Vec<&str> = flags.iter().map(String::as_str).collect();
    create.extend(["-c", &ddl]);
    succeed(home, &create);
    flags
}

#[test]
fn one_shot_sql_exits_by_what_happened_and_writes_rows_to_stdout_alone() {
    let home = home();
    let flags = local_table(home.path());
    let sql = |args: &[&str]| {
        let mut all: Vec<&str> = flags.iter().map(String::as_str).collect();
        all.extend(args);
        let output = process::run(home.path(), &all);
        (
            output.status.code(),
            String::from_utf8(output.stdout.clone()).unwrap(),
            stderr(&output),
        )
    };
    let (code, out, receipt) = sql(&[
        "-c",
        "SELECT n, 'a,b' AS s FROM t WHERE n < 2 ORDER BY n",
        "--format",
        "csv",
    ]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "n,s\n0,\"a,b\"\n1,\"a,b\"\n"),
        "{receipt}"
    );
    assert!(
        receipt.to_lowercase().contains("scanned"),
        "the receipt goes to stderr: {receipt}"
    );
    let (code, out, _) = sql(&[
        "-c",
        "SELECT n, CAST(NULL AS varchar) AS s FROM t WHERE n = 2",
        "--format",
        "json",
    ]);
    let rows: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, rows), (Some(0), json!([{"n": 2, "s": null}])));
    let (code, out, _) = sql(&["-c", "SELECT n FROM t ORDER BY n", "--format", "jsonl", "-q"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n")
    );
    let (code, out, error) = sql(&["-c", "SELECT nope FROM t"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("COLUMN_NOT_FOUND"), "{error}");
    let (code, out, error) = sql(&["-c", "SELECT sum(n) FROM t", "--set", "max_data_scanned_bytes=1"]);
    assert_eq!((code, out.as_str()), (Some(4), ""), "{error}");
    assert!(error.contains("EXCEEDED_SCAN_LIMIT"), "{error}");
    assert_eq!(sql(&["-c", "SELECT 1", "--format", "nonsense"]).0, Some(2));
    assert_eq!(sql(&["-c", "SELECT 1", "--url", "grpc://127.0.0.1:1"]).0, Some(3));
}

#[test]
fn the_default_configuration_passes_its_own_check() {
    let home = home();
    let text = succeed(home.path(), &["config", "default"]);
    let file = home.path().join("owlake.toml");
    std::fs::write(&file, &text).unwrap();
    let path = file.to_str().unwrap();
    assert!(succeed(home.path(), &["config", "check", "--config", path]).contains("is fine"));
    // Found without being named, and served from.
    assert!(succeed(home.path(), &["config", "check"]).contains("owlake.toml"));
    std::fs::write(&file, text.replacen("max_running", "max_runing", 1)).unwrap();
    let output = process::run(home.path(), &["config", "check", "--config", path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("owlake.toml:"),
        "the place is named: {}",
        stderr(&output)
    );
}
