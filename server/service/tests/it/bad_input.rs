//! Wrong input of every kind: a named error with its gRPC code, and a server that goes on.

use std::time::Duration;

use bytes::Bytes;
use owlake::EngineConfig;
use owlake_client::ClientError;
use owlake_mems3::{FaultAction, FaultPlan, FaultRule, Operation};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tonic::Code;

use crate::harness::{BUCKET, Builder, TestServer, numbers, one, parquet, parquet_with, run};

/// Statement, error name, gRPC code, and what the text has to name.
type Case = (&'static str, &'static str, Code, &'static str);

async fn start() -> TestServer {
    let engine = EngineConfig {
        planning_timeout: Duration::from_secs(60),
        ..EngineConfig::default()
    };
    let local_roots = vec!["s3://no-such-bucket/".to_owned()];
    let server = Builder {
        engine,
        local_roots,
        ..Builder::default()
    }
    .start()
    .await;
    server.put("t/part-0.parquet", &numbers(0..100));
    server.query(&external("t (n bigint)", "t")).await;
    server
}

fn external(table: &str, key: &str) -> String {
    format!("CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION 's3://{BUCKET}/{key}/'")
}

pub fn assert_failure(context: &str, error: &ClientError, name: &str, code: Code, names: &str) {
    let failure = error
        .failure()
        .unwrap_or_else(|| panic!("{context}\nnot the server's word: {error:?}"));
    assert!(
        failure.message.starts_with(&format!("{name}: ")),
        "{context}\n{name} expected: {error}"
    );
    assert_eq!(failure.code, name, "{context}");
    assert_eq!(failure.grpc_code, code, "{context}\n{error}");
    assert!(
        failure.message.contains(names),
        "{context}\ndoes not name {names}: {error}"
    );
    assert!(
        !failure.message.to_lowercase().contains("panic"),
        "{context}\n{error}"
    );
}

async fn refused_all(server: &TestServer, cases: &[Case]) {
    for (sql, name, code, names) in cases {
        assert_failure(sql, &server.refused(sql).await, name, *code, names);
        assert_eq!(one(&server.query("SELECT 1").await), 1, "after {sql}");
    }
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_queries_are_refused_by_name() {
    use Code::InvalidArgument as Invalid;
    let cases: &[Case] = &[
        ("", "SYNTAX_ERROR", Invalid, ""),
        ("   -- only a remark", "SYNTAX_ERROR", Invalid, ""),
        ("SELEC 1", "SYNTAX_ERROR", Invalid, "SELEC"),
        ("SELECT 1 FROM", "SYNTAX_ERROR", Invalid, ""),
        (
            "SELECT\n  n\nFROM t WHERE n = = 1",
            "SYNTAX_ERROR",
            Invalid,
            "line 3",
        ),
        ("SELECT n FROM t WHERE (n = 1", "SYNTAX_ERROR", Invalid, ""),
        ("SELECT 'open", "SYNTAX_ERROR", Invalid, ""),
        ("SELECT 1; SELECT 2", "SYNTAX_ERROR", Invalid, ""),
        ("SELECT n FROM t GROUP BY", "SYNTAX_ERROR", Invalid, ""),
        ("SELECT * FROM nowhere", "TABLE_NOT_FOUND", Invalid, "nowhere"),
        (
            "SELECT * FROM default.nowhere",
            "TABLE_NOT_FOUND",
            Invalid,
            "nowhere",
        ),
        ("SELECT * FROM nodb.t", "SCHEMA_NOT_FOUND", Invalid, "nodb"),
        (
            "SELECT * FROM nocatalog.default.t",
            "CATALOG_NOT_FOUND",
            Invalid,
            "nocatalog",
        ),
        ("SELECT nope FROM t", "COLUMN_NOT_FOUND", Invalid, "nope"),
        (
            "SELECT n FROM t WHERE nope = 1",
            "COLUMN_NOT_FOUND",
            Invalid,
            "nope",
        ),
        ("SELECT x.n FROM t", "COLUMN_NOT_FOUND", Invalid, "x"),
        (
            "SELECT frobnicate(n) FROM t",
            "FUNCTION_NOT_FOUND",
            Invalid,
            "frobnicate",
        ),
        ("SELECT n + 'a' FROM t", "TYPE_MISMATCH", Invalid, ""),
        ("SELECT n FROM t WHERE n = 'a'", "TYPE_MISMATCH", Invalid, ""),
        (
            "SELECT CAST('x' AS bigint)",
            "INVALID_CAST_ARGUMENT",
            Invalid,
            "x",
        ),
        ("SELECT 1 / 0", "DIVISION_BY_ZERO", Invalid, ""),
        ("SELECT n / (n - n) FROM t", "DIVISION_BY_ZERO", Invalid, ""),
        (
            "SELECT 9223372036854775807 + n FROM t",
            "NUMERIC_VALUE_OUT_OF_RANGE",
            Invalid,
            "",
        ),
        (
            "SELECT n FROM t TABLESAMPLE BERNOULLI (10)",
            "NOT_SUPPORTED",
            Invalid,
            "TABLESAMPLE",
        ),
        ("INSERT INTO t VALUES (1)", "NOT_SUPPORTED", Invalid, "INSERT"),
        ("DELETE FROM t", "NOT_SUPPORTED", Invalid, "DELETE"),
        ("COPY t TO '/tmp/x.parquet'", "NOT_SUPPORTED", Invalid, "COPY"),
        (
            "SET SESSION nope = 1",
            "INVALID_SESSION_PROPERTY",
            Invalid,
            "nope",
        ),
        (
            "SET SESSION query_timeout = 'soon'",
            "INVALID_SESSION_PROPERTY",
            Invalid,
            "query_timeout",
        ),
        (
            "SELECT * FROM t WHERE n = ?",
            "INVALID_PARAMETER_USAGE",
            Invalid,
            "",
        ),
    ];
    refused_all(&start().await, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_definitions_are_refused_by_name() {
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument as Invalid};
    let cases: &[Case] = &[
        (
            "CREATE EXTERNAL TABLE x (n bigint) STORED AS PARQUET",
            "SYNTAX_ERROR",
            Invalid,
            "LOCATION",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bignt) STORED AS PARQUET LOCATION 's3://test-lake/x/'",
            "TYPE_MISMATCH",
            Invalid,
            "bignt",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bigint STORED AS PARQUET LOCATION 's3://test-lake/x/'",
            "SYNTAX_ERROR",
            Invalid,
            "",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bigint) STORED AS ORC LOCATION 's3://test-lake/x/'",
            "HIVE_UNSUPPORTED_FORMAT",
            FailedPrecondition,
            "x",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bigint, N int) STORED AS PARQUET LOCATION 's3://test-lake/x/'",
            "SYNTAX_ERROR",
            Invalid,
            "`n`",
        ),
        (
            "CREATE EXTERNAL TABLE t (n bigint) STORED AS PARQUET LOCATION 's3://test-lake/t/'",
            "TABLE_ALREADY_EXISTS",
            AlreadyExists,
            "t",
        ),
        (
            "CREATE EXTERNAL TABLE nodb.x (n bigint) STORED AS PARQUET LOCATION 's3://test-lake/x/'",
            "SCHEMA_NOT_FOUND",
            Invalid,
            "nodb",
        ),
        (
            "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 's3://test-lake/empty/'",
            "HIVE_INVALID_METADATA",
            FailedPrecondition,
            "x",
        ),
        (
            "CREATE DATABASE default",
            "SCHEMA_ALREADY_EXISTS",
            AlreadyExists,
            "default",
        ),
        ("DROP DATABASE nodb", "SCHEMA_NOT_FOUND", Invalid, "nodb"),
        ("DROP TABLE nowhere", "TABLE_NOT_FOUND", Invalid, "nowhere"),
        ("DESCRIBE nowhere", "TABLE_NOT_FOUND", Invalid, "nowhere"),
        ("SHOW PARTITIONS nowhere", "TABLE_NOT_FOUND", Invalid, "nowhere"),
        ("USE nodb", "SCHEMA_NOT_FOUND", Invalid, "nodb"),
    ];
    refused_all(&start().await, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locations_outside_the_roots_or_of_no_known_form_are_refused() {
    use Code::{InvalidArgument as Invalid, PermissionDenied};
    let cases: &[Case] = &[
        (
            "CREATE EXTERNAL TABLE x (n bigint) STORED AS PARQUET LOCATION 's3://other/x/'",
            "LOCATION_NOT_ALLOWED",
            PermissionDenied,
            "s3://other/x/",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bigint) STORED AS PARQUET LOCATION 's3://test-lake-2/x/'",
            "LOCATION_NOT_ALLOWED",
            PermissionDenied,
            "test-lake-2",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bigint) STORED AS PARQUET LOCATION 'file:///etc/'",
            "LOCATION_NOT_ALLOWED",
            PermissionDenied,
            "file:///etc/",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bigint) STORED AS PARQUET LOCATION 's3://test-lake/../other/'",
            "INVALID_ARGUMENTS",
            Invalid,
            "test-lake/../other",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bigint) STORED AS PARQUET LOCATION 'http://127.0.0.1/x/'",
            "INVALID_ARGUMENTS",
            Invalid,
            "http://127.0.0.1/x/",
        ),
        (
            "CREATE EXTERNAL TABLE x (n bigint) STORED AS PARQUET LOCATION '/etc/'",
            "INVALID_ARGUMENTS",
            Invalid,
            "/etc/",
        ),
    ];
    refused_all(&start().await, cases).await;
}

fn projected(key: &str, key_type: &str, properties: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE p (n bigint) PARTITIONED BY ({key} {key_type}) STORED AS PARQUET \
         LOCATION 's3://{BUCKET}/p/' TBLPROPERTIES ('projection.enabled' = 'true', {properties})"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_projection_property_is_refused_at_create_by_its_name() {
    let server = start().await;
    for (key_type, properties, names) in [
        (
            "string",
            "'projection.other.type' = 'enum'",
            "projection.other.type",
        ),
        ("string", "'projection.dt.values' = 'a,b'", "projection.dt.type"),
        ("string", "'projection.dt.type' = 'list'", "projection.dt.type"),
        ("string", "'projection.dt.type' = 'enum'", "projection.dt.values"),
        ("int", "'projection.dt.type' = 'integer'", "projection.dt.range"),
        (
            "int",
            "'projection.dt.type' = 'integer', 'projection.dt.range' = '1-5'",
            "projection.dt.range",
        ),
        (
            "int",
            "'projection.dt.type' = 'integer', 'projection.dt.range' = '5,1'",
            "projection.dt.range",
        ),
        (
            "int",
            "'projection.dt.type' = 'integer', 'projection.dt.range' = '1,5', 'projection.dt.interval' = '0'",
            "projection.dt.interval",
        ),
        (
            "int",
            "'projection.dt.type' = 'integer', 'projection.dt.range' = '1,5', 'projection.dt.digits' = 'two'",
            "projection.dt.digits",
        ),
        (
            "string",
            "'projection.dt.type' = 'date', 'projection.dt.range' = '2024-01-01,NOW'",
            "projection.dt.format",
        ),
        (
            "string",
            "'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM-dd', 'projection.dt.range' = 'yesterday,NOW'",
            "projection.dt.range",
        ),
        (
            "string",
            "'projection.dt.type' = 'enum', 'projection.dt.values' = 'a,b', 'storage.location.template' = 's3://test-lake/p/'",
            "storage.location.template",
        ),
    ] {
        let sql = projected("dt", key_type, properties);
        let error = server.refused(&sql).await;
        assert_failure(
            &sql,
            &error,
            "INVALID_TABLE_PROPERTY",
            Code::FailedPrecondition,
            names,
        );
    }
    // Nothing of it was kept.
    assert!(
        server
            .query("SHOW TABLES")
            .await
            .rows
            .concat()
            .iter()
            .all(|name| name != "p")
    );
    let outside = projected(
        "dt",
        "string",
        "'projection.dt.type' = 'injected', 'storage.location.template' = 's3://other/${dt}/'",
    );
    assert_failure(
        &outside,
        &server.refused(&outside).await,
        "LOCATION_NOT_ALLOWED",
        Code::PermissionDenied,
        "s3://other/",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_value_stays_below_its_table() {
    let server = start().await;
    server.put("p/a/part-0.parquet", &numbers(0..3));
    server.put("secret/part-0.parquet", &numbers(0..7));
    let template = format!(
        "'projection.dt.type' = 'injected', 'storage.location.template' = 's3://{BUCKET}/p/${{dt}}/'"
    );
    server.query(&projected("dt", "string", &template)).await;
    assert_eq!(
        one(&server.query("SELECT count(*) FROM p WHERE dt = 'a'").await),
        3
    );
    let before = server.store.counts().requests();
    for value in [
        "../secret",
        "../x",
        "..",
        ".",
        "",
        "a/../../secret",
        "%2e%2e/secret",
        "a\\..\\..\\secret",
    ] {
        let sql = format!("SELECT count(*) FROM p WHERE dt = '{value}'");
        match run(&server.client, &sql).await {
            // A value that only looks like a way out is a folder that does not exist.
            Ok(answer) => assert_eq!(one(&answer), 0, "{value}"),
            Err(error) => assert_failure(&sql, &error, "CONSTRAINT_VIOLATION", Code::InvalidArgument, "dt"),
        }
        let log = server.store.requests();
        assert!(
            log.iter()
                .skip(before as usize)
                .all(|r| !r.key.contains("secret/part")),
            "{value}: {log:?}"
        );
    }
    let none = server.refused("SELECT count(*) FROM p").await;
    assert_failure(
        "no filter",
        &none,
        "CONSTRAINT_VIOLATION",
        Code::InvalidArgument,
        "dt",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_named() {
    let server = start().await;
    server
        .query("CREATE EXTERNAL TABLE gone (n bigint) STORED AS PARQUET LOCATION 's3://no-such-bucket/x/'")
        .await;
    let error = server.refused("SELECT * FROM gone").await;
    assert_failure(
        "SELECT",
        &error,
        "HIVE_BUCKET_NOT_FOUND",
        Code::FailedPrecondition,
        "no-such-bucket",
    );
    let error = server
        .refused("CREATE EXTERNAL TABLE gone2 STORED AS PARQUET LOCATION 's3://no-such-bucket/x/'")
        .await;
    assert_failure(
        "CREATE",
        &error,
        "HIVE_BUCKET_NOT_FOUND",
        Code::FailedPrecondition,
        "no-such-bucket",
    );
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_our_keys_is_not_a_store_that_is_down() {
    let server = start().await;
    for operation in [Operation::ListObjectsV2, Operation::GetObject] {
        let rule = FaultRule::new(FaultAction::ACCESS_DENIED).operation(operation);
        server.store.set_faults(FaultPlan::new(1).rule(rule));
        let error = server.refused("SELECT sum(n) FROM t").await;
        assert_failure(
            operation.as_str(),
            &error,
            "HIVE_ACCESS_DENIED",
            Code::FailedPrecondition,
            "t/",
        );
    }
    server.store.set_faults(FaultPlan::default());
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 100);
}

/// Files that are not Parquet, or not whole.
fn corrupt_files() -> Vec<(&'static str, Bytes)> {
    let good = parquet(&numbers(0..5000));
    let len = good.len();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        Bytes::from(file)
    };
    let noise: Vec<u8> = (0_u32..4096)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    vec![
        ("half", good.slice(..len / 2)),
        ("no_tail", good.slice(..len - 1)),
        ("only_magic", Bytes::from_static(b"PAR1")),
        ("two_magics", Bytes::from_static(b"PAR1PAR1")),
        ("empty_footer", Bytes::from_static(b"PAR1\0\0\0\0PAR1")),
        ("zero_footer", with(len - 108, &[0; 100])),
        ("noise", Bytes::from(noise)),
        ("text", Bytes::from_static(b"id,name\n1,a\n2,b\n")),
        ("footer_before_start", with(len - 8, &u32::MAX.to_le_bytes())),
        ("footer_is_file", with(len - 8, &(len as u32 - 8).to_le_bytes())),
        ("page_header", with(4, &[0xff; 64])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_a_page_names_the_file_among_good_ones() {
    let server = start().await;
    let compressed = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    let good = parquet_with(&numbers(0..5000), compressed.build());
    for file in ["a", "c"] {
        server
            .store
            .put(BUCKET, &format!("flipped/{file}.parquet"), good.clone());
    }
    let mut bad = good.to_vec();
    // The first page's values begin with the magic of their compression.
    let frame = [0x28, 0xb5, 0x2f, 0xfd];
    let at = bad.windows(4).position(|bytes| bytes == frame).unwrap();
    bad[at] ^= 0xff;
    server.store.put(BUCKET, "flipped/b.parquet", Bytes::from(bad));
    server.query(&external("flipped (n bigint)", "flipped")).await;
    for sql in [
        "SELECT sum(n) FROM flipped",
        "SELECT count(*) FROM flipped WHERE n % 7 = 3",
        "SELECT a.n FROM flipped a JOIN flipped b ON a.n = b.n + 1 ORDER BY a.n",
    ] {
        assert_failure(
            sql,
            &server.refused(sql).await,
            "HIVE_BAD_DATA",
            Code::DataLoss,
            "file `flipped/b.parquet` of `default.flipped`",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_file_is_a_typed_error_that_names_it() {
    let server = start().await;
    for (name, bytes) in corrupt_files() {
        server.store.put(BUCKET, &format!("{name}/bad.parquet"), bytes);
        server.query(&external(&format!("{name} (n bigint)"), name)).await;
        let sql = format!("SELECT sum(n) FROM {name}");
        assert_failure(
            &sql,
            &server.refused(&sql).await,
            "HIVE_BAD_DATA",
            Code::DataLoss,
            &format!("file `{name}/bad.parquet` of `default.{name}`"),
        );
        if name != "page_header" {
            let sql = external(&format!("{name}_taken"), name);
            assert_failure(
                &sql,
                &server.refused(&sql).await,
                "HIVE_BAD_DATA",
                Code::DataLoss,
                "bad.parquet",
            );
        }
        assert_eq!(
            one(&server.query("SELECT count(*) FROM t").await),
            100,
            "after {name}"
        );
    }
}

/// `WITH c0 AS (SELECT 1 AS n), c1 AS (SELECT * FROM c0, c0), ...`: each level doubles.
fn doubling(levels: usize) -> String {
    let mut names = vec!["c0 AS (SELECT 1 AS n)".to_owned()];
    for level in 1..=levels {
        names.push(format!(
            "c{level} AS (SELECT a.n FROM c{p} a, c{p} b)",
            p = level - 1
        ));
    }
    format!("WITH {} SELECT count(*) FROM c{levels}", names.join(", "))
}

fn bombs() -> Vec<(&'static str, String)> {
    let nested = |open: &str, core: &str, close: &str, times: usize| {
        format!("SELECT {}{core}{}", open.repeat(times), close.repeat(times))
    };
    vec![
        ("sum of 20,000 terms", format!("SELECT 1{}", "+1".repeat(20_000))),
        (
            "OR of 20,000 terms",
            format!("SELECT n FROM t WHERE n = 0{}", " OR n = 1".repeat(20_000)),
        ),
        (
            "AND of 4,000 terms",
            format!("SELECT n FROM t WHERE n = 0{}", " AND n = 1".repeat(4_000)),
        ),
        (
            "concatenation of 5,000",
            format!("SELECT 'a'{}", "||'a'".repeat(5_000)),
        ),
        ("5,000 brackets", nested("(", "1", ")", 5_000)),
        ("100,000 brackets", nested("(", "1", ")", 100_000)),
        ("5,000 calls", nested("abs(", "1", ")", 5_000)),
        ("5,000 minus signs", nested("- ", "1", "", 5_000)),
        ("5,000 arrays", nested("ARRAY[", "1", "]", 5_000)),
        ("1,000 subqueries", nested("(SELECT ", "1", ")", 1_000)),
        ("30 doublings", doubling(30)),
        (
            "UNION ALL of 4,000",
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(4_000)),
        ),
        ("a text of 300 KB", format!("SELECT '{}'", "x".repeat(300_000))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_bombs_are_refused_and_the_server_goes_on() {
    let server = start().await;
    for (what, sql) in bombs() {
        let error = match run(&server.client, &sql).await {
            Ok(answer) => panic!("{what} answered {:?}", answer.rows),
            Err(error) => error,
        };
        let failure = error.failure().unwrap_or_else(|| panic!("{what}: {error:?}"));
        assert_eq!(failure.code, "QUERY_TEXT_TOO_LARGE", "{what}: {error}");
        assert_eq!(failure.grpc_code, Code::InvalidArgument, "{what}: {error}");
        assert!(
            failure.message.len() < 500,
            "{what}: the text is repeated: {error}"
        );
        assert_eq!(one(&server.query("SELECT 1").await), 1, "after {what}");
    }
    let in_list = format!("SELECT count(*) FROM t WHERE n IN (1{})", ",1".repeat(20_000));
    assert_eq!(one(&server.query(&in_list).await), 1);
}

/// Every `*.parquet` below `$OWLAKE_CORPORA/parquet-testing`, named by its path.
fn corpus() -> Vec<(String, Bytes)> {
    let root = std::env::var("OWLAKE_CORPORA").expect("OWLAKE_CORPORA names the directory of the corpora");
    let mut files = Vec::new();
    for folder in ["data", "bad_data"] {
        let folder = std::path::Path::new(&root).join("parquet-testing").join(folder);
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "parquet") {
                files.push((path.display().to_string(), std::fs::read(&path).unwrap().into()));
            }
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

/// A refusal that a user can act on, or what is wrong with it.
fn objection(sql: &str, result: Result<crate::harness::Answer, ClientError>) -> Option<String> {
    let error = result.err()?;
    let Some(failure) = error.failure() else {
        return Some(format!("{sql}: {error:?}"));
    };
    let text = failure.message.to_lowercase();
    let ours = failure.code == "GENERIC_INTERNAL_ERROR" || failure.grpc_code == Code::Internal;
    (ours || text.contains("panic")).then(|| format!("{sql}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(corpora), ignore = "OWLAKE_CORPORA was not set when this was built")]
async fn every_file_of_the_corpora_is_read_or_refused_with_a_name() {
    let server = start().await;
    let mut objections = Vec::new();
    let (files, mut read) = (corpus(), 0);
    assert!(files.len() >= 60, "{} files", files.len());
    for (index, (path, bytes)) in files.into_iter().enumerate() {
        let table = format!("corpus{index}");
        server.store.put(BUCKET, &format!("{table}/f.parquet"), bytes);
        let ddl = external(&table, &table);
        let created = run(&server.client, &ddl).await;
        let exists = created.is_ok();
        objections.extend(objection(&ddl, created).map(|o| format!("{path}: {o}")));
        if exists {
            for sql in [
                format!("SELECT * FROM {table} LIMIT 10"),
                format!("SELECT count(*) FROM {table}"),
            ] {
                let answer = run(&server.client, &sql).await;
                read += usize::from(answer.is_ok());
                objections.extend(objection(&sql, answer).map(|o| format!("{path}: {o}")));
            }
        }
        assert_eq!(one(&server.query("SELECT 1").await), 1, "after {path}");
    }
    assert!(read >= 60, "only {read} queries answered");
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}
