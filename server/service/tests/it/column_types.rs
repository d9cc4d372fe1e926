//! Every column type out of a Parquet file, and files whose schema is not the table's.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int32Builder, Int64Array, ListArray, ListBuilder, MapArray,
    MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, TimeUnit};
use tonic::Code;

use crate::harness::{BUCKET, TestServer, one};

/// 2024-02-29T12:34:56.789Z
const LEAP_MS: i64 = 1_709_210_096_789;
/// Three rows: something, NULL, the far end of the type.
const COLUMNS: &str = "id bigint, flag boolean, tiny tinyint, small smallint, n int, f float, d double, \
    price decimal(10,2), wide decimal(38,10), name string, code varchar(8), raw binary, day date, us timestamp, \
    ms timestamp, tags array<string>, point struct<x:int,label:string>, attrs map<string,int>";

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

fn decimal(values: [Option<i128>; 3], precision: u8, scale: i8) -> ArrayRef {
    array(
        Decimal128Array::from(values.to_vec())
            .with_precision_and_scale(precision, scale)
            .unwrap(),
    )
}

fn tags() -> ArrayRef {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), None, Some("")]);
    tags.append_null();
    tags.append_value(Vec::<Option<&str>>::new());
    array(tags.finish())
}

fn attrs() -> ArrayRef {
    let mut attrs = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    attrs.keys().append_value("k");
    attrs.values().append_value(1);
    attrs.keys().append_value("none");
    attrs.values().append_null();
    attrs.append(true).unwrap();
    attrs.append(false).unwrap();
    attrs.append(true).unwrap();
    array(attrs.finish())
}

fn point() -> ArrayRef {
    let x = array(Int32Array::from(vec![Some(1), None, None]));
    let label = array(StringArray::from(vec![Some("p"), None, Some("half")]));
    let fields = vec![
        Field::new("x", DataType::Int32, true),
        Field::new("label", DataType::Utf8, true),
    ];
    let valid = arrow::buffer::NullBuffer::from(vec![true, false, true]);
    array(StructArray::new(fields.into(), vec![x, label], Some(valid)))
}

fn every_type() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        // Writers keep case, catalogs do not.
        ("Id", array(Int64Array::from(vec![Some(1), None, Some(i64::MIN)]))),
        (
            "FLAG",
            array(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ),
        ("tiny", array(Int8Array::from(vec![Some(7), None, Some(i8::MIN)]))),
        (
            "small",
            array(Int16Array::from(vec![Some(7), None, Some(i16::MAX)])),
        ),
        ("n", array(Int32Array::from(vec![Some(7), None, Some(i32::MIN)]))),
        ("f", array(Float32Array::from(vec![Some(1.5), None, Some(-0.25)]))),
        (
            "d",
            array(Float64Array::from(vec![Some(2.5), None, Some(f64::NEG_INFINITY)])),
        ),
        ("price", decimal([Some(1234), None, Some(-9_999_999_999)], 10, 2)),
        (
            "wide",
            decimal([Some(1), None, Some(10_i128.pow(38) - 1)], 38, 10),
        ),
        (
            "name",
            array(StringArray::from(vec![Some("žluťoučký 🦉"), None, Some("")])),
        ),
        (
            "code",
            array(StringArray::from(vec![Some("abc"), None, Some("12345678")])),
        ),
        (
            "raw",
            array(BinaryArray::from_opt_vec(vec![
                Some(b"\x00\xff"),
                None,
                Some(b""),
            ])),
        ),
        (
            "day",
            array(Date32Array::from(vec![Some(19_782), None, Some(-1)])),
        ),
        (
            "us",
            array(TimestampMicrosecondArray::from(vec![
                Some(LEAP_MS * 1000),
                None,
                Some(-1000),
            ])),
        ),
        (
            "ms",
            array(TimestampMillisecondArray::from(vec![
                Some(LEAP_MS),
                None,
                Some(-1),
            ])),
        ),
        ("tags", tags()),
        ("point", point()),
        ("attrs", attrs()),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn single(name: &str, column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap()
}

async fn create(server: &TestServer, table: &str, columns: &str, batch: &RecordBatch) {
    server.put(&format!("{table}/part-0.parquet"), batch);
    let ddl = format!(
        "CREATE EXTERNAL TABLE {table} {columns} STORED AS PARQUET LOCATION 's3://{BUCKET}/{table}/'"
    );
    server.query(&ddl).await;
}

async fn rows(server: &TestServer, sql: &str) -> Vec<Vec<String>> {
    server.query(sql).await.rows
}

const EXPECTED: [[&str; 3]; 18] = [
    ["1", "NULL", "-9223372036854775808"],
    ["true", "NULL", "false"],
    ["7", "NULL", "-128"],
    ["7", "NULL", "32767"],
    ["7", "NULL", "-2147483648"],
    ["1.5", "NULL", "-0.25"],
    ["2.5", "NULL", "-inf"],
    ["12.34", "NULL", "-99999999.99"],
    ["0.0000000001", "NULL", "9999999999999999999999999999.9999999999"],
    ["žluťoučký 🦉", "NULL", ""],
    ["abc", "NULL", "12345678"],
    ["00ff", "NULL", ""],
    ["2024-02-29", "NULL", "1969-12-31"],
    ["2024-02-29T12:34:56.789", "NULL", "1969-12-31T23:59:59.999"],
    ["2024-02-29T12:34:56.789", "NULL", "1969-12-31T23:59:59.999"],
    ["[a, NULL, ]", "NULL", "[]"],
    ["{x: 1, label: p}", "NULL", "{x: NULL, label: half}"],
    ["{k: 1, none: NULL}", "NULL", "{}"],
];

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_with_its_values_and_nulls() {
    let server = TestServer::start().await;
    create(&server, "declared", &format!("({COLUMNS})"), &every_type()).await;
    create(&server, "taken", "", &every_type()).await;
    for table in ["declared", "taken"] {
        let answer = rows(&server, &format!("SELECT * FROM {table}")).await;
        assert_eq!(answer.len(), 3);
        for (column, expected) in EXPECTED.iter().enumerate() {
            let values: Vec<&str> = answer.iter().map(|row| row[column].as_str()).collect();
            assert_eq!(values, expected, "column {column} of {table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_on_the_wire_are_those_of_the_declaration() {
    let server = TestServer::start().await;
    create(&server, "declared", &format!("({COLUMNS})"), &every_type()).await;
    let stream = server.client.query("SELECT * FROM declared").await.unwrap();
    let of = |name: &str| stream.schema().field_with_name(name).unwrap().data_type().clone();
    let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, None);
    for (name, expected) in [
        ("id", DataType::Int64),
        ("flag", DataType::Boolean),
        ("tiny", DataType::Int8),
        ("small", DataType::Int16),
        ("n", DataType::Int32),
        ("f", DataType::Float32),
        ("d", DataType::Float64),
        ("price", DataType::Decimal128(10, 2)),
        ("wide", DataType::Decimal128(38, 10)),
        ("name", DataType::Utf8),
        ("raw", DataType::Binary),
        ("day", DataType::Date32),
        ("us", milliseconds.clone()),
        ("ms", milliseconds),
    ] {
        assert_eq!(of(name), expected, "{name}");
    }
    assert!(matches!(of("tags"), DataType::List(_)));
    assert!(matches!(of("point"), DataType::Struct(_)));
    assert!(matches!(of("attrs"), DataType::Map(..)));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_on_every_type_keep_the_row_that_holds_the_value() {
    let server = TestServer::start().await;
    create(&server, "every", &format!("({COLUMNS})"), &every_type()).await;
    for filter in [
        "id = 1",
        "ID = 1",
        "\"Id\" = 1",
        "flag",
        "tiny = 7",
        "small = 7",
        "n = 7",
        "f = 1.5",
        "d = 2.5",
        "price = 12.34",
        "wide = DECIMAL '0.0000000001'",
        "name LIKE '%🦉'",
        "code = 'abc'",
        "raw = X'00FF'",
        "day = DATE '2024-02-29'",
        "us = TIMESTAMP '2024-02-29 12:34:56.789'",
        "ms = TIMESTAMP '2024-02-29 12:34:56.789'",
        "cardinality(tags) = 3",
        "point.x = 1",
        "element_at(attrs, 'k') = 1",
    ] {
        let answer = rows(&server, &format!("SELECT id FROM every WHERE {filter}")).await;
        assert_eq!(answer, vec![vec!["1".to_owned()]], "{filter}");
    }
    for column in [
        "id", "flag", "price", "name", "raw", "us", "tags", "point", "attrs",
    ] {
        let sql = format!("SELECT count(*) FROM every WHERE {column} IS NULL");
        assert_eq!(one(&server.query(&sql).await), 1, "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decimal_literal_keeps_its_digits() {
    let server = TestServer::start().await;
    for (text, data_type) in [
        ("12.34", "decimal(4,2)"),
        ("0.5", "decimal(1,1)"),
        ("-007.50", "decimal(3,2)"),
        ("0", "decimal(1,0)"),
        ("0.0000000001", "decimal(10,10)"),
        ("12345678901234567890123456789012345678", "decimal(38,0)"),
    ] {
        let sql = format!("SELECT DECIMAL '{text}', typeof(DECIMAL '{text}')");
        let expected = vec![text.replace("-00", "-"), data_type.to_owned()];
        assert_eq!(server.query(&sql).await.rows, vec![expected]);
    }
    for text in [
        "",
        "x",
        "1e3",
        ".",
        "1.2.3",
        "123456789012345678901234567890123456789",
    ] {
        let error = server.refused(&format!("SELECT DECIMAL '{text}'")).await;
        assert_eq!(
            error.failure().unwrap().grpc_code,
            Code::InvalidArgument,
            "{text}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn microseconds_are_rounded_to_the_milliseconds_of_the_type() {
    let server = TestServer::start().await;
    let us = TimestampMicrosecondArray::from(vec![1_499, 1_500, -1_499, -1_501]);
    create(
        &server,
        "fine",
        "(moment timestamp)",
        &single("moment", array(us)),
    )
    .await;
    let answer = rows(&server, "SELECT moment FROM fine").await.concat();
    let expected = [
        "1970-01-01T00:00:00.001",
        "1970-01-01T00:00:00.002",
        "1969-12-31T23:59:59.999",
        "1969-12-31T23:59:59.998",
    ];
    assert_eq!(answer, expected);
    let moments = [
        "1969-12-31 23:59:59.998",
        "1969-12-31 23:59:59.999",
        "1970-01-01 00:00:00.001",
        "1970-01-01 00:00:00.002",
    ];
    for (index, moment) in moments.iter().enumerate() {
        let below = index as i64;
        for (op, count) in [
            ("=", 1),
            ("<>", 3),
            ("<", below),
            ("<=", below + 1),
            (">", 3 - below),
            (">=", 4 - below),
        ] {
            let sql = format!("SELECT count(*) FROM fine WHERE moment {op} TIMESTAMP '{moment}'");
            assert_eq!(one(&server.query(&sql).await), count, "{sql}");
            let turned = format!("SELECT count(*) FROM fine WHERE NOT (moment {op} TIMESTAMP '{moment}')");
            assert_eq!(one(&server.query(&turned).await), 4 - count, "{turned}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fine_timestamps_inside_nested_values_are_rounded_too() {
    let server = TestServer::start().await;
    let us = || array(TimestampMicrosecondArray::from(vec![1_499, 1_500]));
    let ns = || array(TimestampNanosecondArray::from(vec![-1_500_001, 2_500_000]));
    let field = |name: &str, of: &dyn Array| Arc::new(Field::new(name, of.data_type().clone(), true));
    let list = ListArray::new(
        field("element", &us()),
        OffsetBuffer::from_lengths([2, 0]),
        us(),
        None,
    );
    let inner = StructArray::from(vec![(field("at", &ns()), ns())]);
    let point = StructArray::from(vec![
        (field("at", &us()), us()),
        (field("below", &inner), array(inner.clone())),
    ]);
    let keys = array(StringArray::from(vec!["a", "b"]));
    let entries = StructArray::from(vec![
        (Arc::new(Field::new("key", keys.data_type().clone(), false)), keys),
        (field("value", &ns()), ns()),
    ]);
    let map = MapArray::new(
        Arc::new(Field::new("key_value", entries.data_type().clone(), false)),
        OffsetBuffer::from_lengths([1, 1]),
        entries,
        None,
        false,
    );
    let batch =
        RecordBatch::try_from_iter([("l", array(list)), ("s", array(point)), ("m", array(map))]).unwrap();
    let columns =
        "(l array<timestamp>, s struct<at:timestamp,below:struct<at:timestamp>>, m map<string,timestamp>)";
    create(&server, "deep", columns, &batch).await;
    let (down, up) = ("1970-01-01T00:00:00.001", "1970-01-01T00:00:00.002");
    let (before, after) = ("1969-12-31T23:59:59.998", "1970-01-01T00:00:00.003");
    for (sql, expected) in [
        (
            "SELECT u.x FROM deep CROSS JOIN UNNEST(l) AS u (x)",
            vec![down, up],
        ),
        ("SELECT s.at FROM deep", vec![down, up]),
        ("SELECT s.below.at FROM deep", vec![before, after]),
        (
            "SELECT coalesce(element_at(m, 'a'), element_at(m, 'b')) FROM deep",
            vec![before, after],
        ),
    ] {
        assert_eq!(rows(&server, sql).await.concat(), expected, "{sql}");
    }
    let whole = rows(&server, "SELECT l, s, m FROM deep").await.concat().concat();
    for moment in [down, up, before, after] {
        assert!(whole.contains(moment), "{whole}");
    }
    for filter in [
        "s.at = TIMESTAMP '1970-01-01 00:00:00.002'",
        "s.below.at > TIMESTAMP '1970-01-01 00:00:00.002'",
        "cardinality(l) = 0",
    ] {
        let sql = format!("SELECT count(*) FROM deep WHERE {filter}");
        assert_eq!(one(&server.query(&sql).await), 1, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_no_file_has_is_null() {
    let server = TestServer::start().await;
    let columns = format!("({COLUMNS}, extra string, more struct<a:int>)");
    create(&server, "wider", &columns, &every_type()).await;
    let answer = rows(&server, "SELECT extra, more, id FROM wider WHERE id = 1").await;
    assert_eq!(
        answer,
        vec![vec!["NULL".to_owned(), "NULL".to_owned(), "1".to_owned()]]
    );
    assert_eq!(
        one(&server
            .query("SELECT count(*) FROM wider WHERE extra IS NULL")
            .await),
        3
    );
    assert_eq!(
        one(&server.query("SELECT count(*) FROM wider WHERE extra = 'x'").await),
        0
    );
    assert_eq!(one(&server.query("SELECT count(extra) FROM wider").await), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn narrower_files_are_widened_also_beside_files_of_the_full_width() {
    let server = TestServer::start().await;
    server.put(
        "mixed/wide.parquet",
        &single("n", array(Int64Array::from(vec![Some(1 << 40), None]))),
    );
    create(
        &server,
        "mixed",
        "(n bigint)",
        &single("N", array(Int32Array::from(vec![Some(-5), None]))),
    )
    .await;
    let answer = rows(&server, "SELECT n FROM mixed ORDER BY n").await.concat();
    assert_eq!(answer, ["-5", "1099511627776", "NULL", "NULL"]);
    assert_eq!(one(&server.query("SELECT n FROM mixed WHERE n < 0").await), -5);
    assert_eq!(
        one(&server
            .query("SELECT count(*) FROM mixed WHERE n > 2147483647")
            .await),
        1
    );
    create(
        &server,
        "floats",
        "(x double)",
        &single("x", array(Float32Array::from(vec![0.5]))),
    )
    .await;
    assert_eq!(
        rows(&server, "SELECT x FROM floats WHERE x = 0.5").await.concat(),
        ["0.5"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_does_not_fit_is_refused_with_column_and_file() {
    let server = TestServer::start().await;
    let int64 = || array(Int64Array::from(vec![1]));
    let text = || array(StringArray::from(vec!["1"]));
    let cases = [
        ("int", int64()),
        ("int", text()),
        ("date", text()),
        ("boolean", int64()),
        ("double", text()),
        ("float", array(Float64Array::from(vec![1.0]))),
        (
            "decimal(4,2)",
            array(
                Decimal128Array::from(vec![1])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("array<int>", int64()),
        ("struct<x:int,label:string>", tags()),
    ];
    for (index, (declared, stored)) in cases.into_iter().enumerate() {
        let table = format!("bad{index}");
        create(&server, &table, &format!("(c {declared})"), &single("c", stored)).await;
        for sql in [
            format!("SELECT c FROM {table}"),
            format!("SELECT count(*) FROM {table} WHERE c IS NOT NULL"),
        ] {
            let error = server.refused(&sql).await;
            let failure = error.failure().unwrap();
            assert!(
                failure.message.starts_with("HIVE_PARTITION_SCHEMA_MISMATCH: "),
                "{declared}: {error}"
            );
            assert_eq!(failure.grpc_code, Code::FailedPrecondition, "{declared}: {error}");
            assert!(
                failure.message.contains("`c`") && failure.message.contains("part-0.parquet"),
                "{error}"
            );
        }
        assert_eq!(one(&server.query("SELECT 1").await), 1);
    }
}
