//! Structs that are NULL, whose fields are not: a field of a NULL struct is NULL, at every depth and in every place.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};

use crate::harness::{BUCKET, TestServer};

fn field(name: &str, data_type: &DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new(name, data_type.clone(), nullable))
}

fn structs(fields: Vec<(&str, ArrayRef)>, valid: &[bool]) -> ArrayRef {
    let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = fields
        .into_iter()
        .map(|(name, array)| (field(name, array.data_type(), false), array))
        .unzip();
    let nulls = NullBuffer::from(valid.to_vec());
    Arc::new(StructArray::new(fields.into(), arrays, Some(nulls)))
}

/// Three rows; the structs of the second are NULL, and none of their fields may be.
fn batch() -> RecordBatch {
    let address = |names: [&str; 2]| {
        structs(
            vec![
                (names[0], Arc::new(Int32Array::from(vec![5, 6, 6])) as ArrayRef),
                (names[1], Arc::new(StringArray::from(vec!["main", "gap", "side"]))),
            ],
            &[true, false, true],
        )
    };
    let s = address(["houseNo", "Street"]);
    let inner = structs(
        vec![("no", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef)],
        &[true, true, true],
    );
    let outer = structs(vec![("s", inner)], &[true, false, true]);
    let offsets = OffsetBuffer::from_lengths([1, 1, 1]);
    let list = ListArray::new(
        field("element", s.data_type(), true),
        offsets.clone(),
        Arc::clone(&s),
        None,
    );
    let entries = vec![
        field("k", &DataType::Utf8, false),
        field("v", s.data_type(), true),
    ];
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "a", "a"]));
    let entries = StructArray::new(entries.into(), vec![keys, Arc::clone(&s)], None);
    let map = MapArray::new(
        field("entries", entries.data_type(), false),
        offsets,
        entries,
        None,
        false,
    );
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let columns = [
        ("id", ids),
        ("S", s),
        ("o", outer),
        ("l", Arc::new(list) as ArrayRef),
        ("m", Arc::new(map)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

async fn lake() -> TestServer {
    let server = TestServer::start().await;
    server.put("t/f.parquet", &batch());
    let address = "struct<houseno:int,street:string>";
    // As the file has it, wider with a field that it lacks, and with no field that it has.
    let wide = "struct<street:string,houseno:bigint,more:double>";
    for (table, address, outer) in [
        ("t", address, "struct<s:struct<no:int>>"),
        ("w", wide, "struct<s:struct<no:bigint,x:int>>"),
        ("z", "struct<zip:int>", "struct<q:struct<no:int>>"),
    ] {
        server
            .query(&format!(
                "CREATE EXTERNAL TABLE {table} (id bigint, s {address}, o {outer}, l array<{address}>, \
                 m map<string,{address}>) STORED AS PARQUET LOCATION 's3://{BUCKET}/t/'"
            ))
            .await;
    }
    server
}

async fn rows(server: &TestServer, sql: &str) -> Vec<String> {
    let answer = server.query(sql).await;
    answer.rows.iter().map(|row| row.join("|")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_a_null_struct_is_null_everywhere() {
    let server = lake().await;
    for table in ["t", "w"] {
        for (sql, expected) in [
            (
                "SELECT id, s.houseno, s.street, s IS NULL FROM {t} ORDER BY id",
                &["1|5|main|false", "2|NULL|NULL|true", "3|6|side|false"][..],
            ),
            (
                "SELECT sum(s.houseno), count(s.houseno), min(s.street) FROM {t}",
                &["11|2|main"],
            ),
            ("SELECT id FROM {t} WHERE s.houseno IS NULL", &["2"]),
            ("SELECT id FROM {t} WHERE s.houseno = 6", &["3"]),
            ("SELECT id FROM {t} WHERE s.houseno <> 5", &["3"]),
            ("SELECT id FROM {t} WHERE NOT (s.street = 'gap')", &["1", "3"]),
            ("SELECT id FROM {t} WHERE o.s.no IN (2, 3)", &["3"]),
            (
                "SELECT id, o.s.no, o.s IS NULL FROM {t} ORDER BY id",
                &["1|1|false", "2|NULL|true", "3|3|false"],
            ),
            (
                "SELECT sum(l[1].houseno), sum(element_at(l, 1).houseno) FROM {t}",
                &["11|11"],
            ),
            (
                "SELECT sum(m['a'].houseno), max(element_at(m, 'a').street) FROM {t}",
                &["11|side"],
            ),
            (
                "SELECT a.id, b.id FROM {t} a JOIN {t} b ON a.s.houseno = b.s.houseno ORDER BY 1",
                &["1|1", "3|3"],
            ),
            (
                "SELECT s.houseno, count(*) FROM {t} GROUP BY s.houseno ORDER BY 1",
                &["5|1", "6|1", "NULL|1"],
            ),
            (
                "SELECT id FROM {t} ORDER BY s.houseno DESC NULLS FIRST",
                &["2", "3", "1"],
            ),
            (
                "SELECT lag(s.houseno) OVER (ORDER BY id) FROM {t} ORDER BY id",
                &["NULL", "5", "NULL"],
            ),
            (
                "SELECT id FROM {t} a WHERE EXISTS (SELECT 1 FROM {t} b WHERE b.s.houseno = a.s.houseno) ORDER BY 1",
                &["1", "3"],
            ),
        ] {
            let sql = sql.replace("{t}", table);
            assert_eq!(rows(&server, &sql).await, expected, "{sql}");
        }
    }
    assert_eq!(
        rows(&server, "SELECT s, o, l, m FROM t WHERE id < 3 ORDER BY id").await,
        [
            "{houseno: 5, street: main}|{s: {no: 1}}|[{houseno: 5, street: main}]|{a: {houseno: 5, street: main}}",
            "NULL|NULL|[NULL]|{a: NULL}"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn structs_without_a_field_in_common_are_there_and_have_null_fields() {
    let server = lake().await;
    for (sql, expected) in [
        (
            "SELECT id, s, s.zip, s IS NULL, o.q.no, o IS NULL FROM z ORDER BY id",
            &[
                "1|{zip: NULL}|NULL|false|NULL|false",
                "2|NULL|NULL|true|NULL|true",
                "3|{zip: NULL}|NULL|false|NULL|false",
            ][..],
        ),
        ("SELECT count(s), count(s.zip), count(*) FROM z", &["2|0|3"]),
        (
            "SELECT l, m FROM z WHERE id = 1",
            &["[{zip: NULL}]|{a: {zip: NULL}}"],
        ),
    ] {
        assert_eq!(rows(&server, sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_struct_the_fields_that_are_asked_for_are_read() {
    let server = lake().await;
    let scanned = async |sql: &str| {
        server
            .query(sql)
            .await
            .receipt
            .counters
            .unwrap_or_default()
            .data_scanned_bytes
    };
    let (one, both) = (
        scanned("SELECT s.houseno FROM t").await,
        scanned("SELECT s FROM t").await,
    );
    assert!(0 < one && one < both, "{one} of {both}");
    assert_eq!(scanned("SELECT s.houseno FROM w").await, one);
    assert_eq!(
        scanned("SELECT sum(s.houseno) FROM w WHERE id > 0").await,
        one + scanned("SELECT id FROM w").await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_fields_are_called_as_the_field() {
    let server = lake().await;
    for (sql, names) in [
        (
            "SELECT x.s.houseno, s.street FROM t AS x",
            vec!["houseno", "street"],
        ),
        (
            "SELECT s.Street, id, o.s.no, l[1].street FROM t AS x",
            vec!["street", "id", "no", "_col3"],
        ),
        (
            "SELECT a.s.street, b.s.street FROM t a, t b",
            vec!["street", "street"],
        ),
        (
            "SELECT y.street FROM (SELECT s.street FROM t AS x) AS y",
            vec!["street"],
        ),
        (
            "SELECT DISTINCT s.street FROM t AS x ORDER BY s.street",
            vec!["street"],
        ),
        (
            "SELECT s.street, count(*) FROM t AS x GROUP BY s.street ORDER BY s.street",
            vec!["street", "_col1"],
        ),
    ] {
        let stream = server.client.query(sql).await.unwrap();
        let schema = stream.schema().clone();
        let found: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(found, names, "{sql}");
    }
    let error = server.refused("SELECT m.a FROM t AS x").await.to_string();
    assert!(error.contains("ROW") || error.contains("a"), "{error}");
}
