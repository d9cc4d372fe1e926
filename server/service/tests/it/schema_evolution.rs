//! Files of another shape than the table: fields of structs by name, columns by position where the table says so,
//! partitions with columns of their own.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field};

use crate::harness::TestServer;

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn structs(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let fields = fields.into_iter().map(|(name, array)| {
        let field = Field::new(name, array.data_type().clone(), true);
        (Arc::new(field), array)
    });
    Arc::new(StructArray::from(fields.collect::<Vec<_>>()))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn rows(server: &TestServer, sql: &str) -> Vec<String> {
    let answer = server.query(sql).await;
    answer.rows.iter().map(|row| row.join("|")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn struct_fields_are_found_by_name_wherever_they_stand() {
    let server = TestServer::start().await;
    let old = structs(vec![
        ("b", texts(&["one"])),
        ("gone", ints([9])),
        ("a", ints([1])),
    ]);
    server.put("s/1-old.parquet", &batch(vec![("id", ints([1])), ("p", old)]));
    let new = structs(vec![("a", ints([2])), ("b", texts(&["two"])), ("c", ints([20]))]);
    server.put("s/2-new.parquet", &batch(vec![("id", ints([2])), ("p", new)]));
    server
        .query(
            "CREATE EXTERNAL TABLE s (id bigint, p struct<a:bigint,b:string,c:bigint>) STORED AS PARQUET \
             LOCATION 's3://test-lake/s/'",
        )
        .await;
    assert_eq!(
        rows(&server, "SELECT id, p.a, p.b, p.c FROM s ORDER BY id").await,
        ["1|1|one|NULL", "2|2|two|20"]
    );
    assert_eq!(rows(&server, "SELECT id FROM s WHERE p.c = 20").await, ["2"]);
    assert_eq!(
        rows(&server, "SELECT count(*) FROM s WHERE p.c IS NULL").await,
        ["1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_go_by_position_where_the_table_says_so() {
    let server = TestServer::start().await;
    let file = batch(vec![
        ("_col0", ints([1, 2, 3])),
        ("name", texts(&["x", "y", "z"])),
        ("id", ints([10, 20, 30])),
        ("extra", ints([7, 7, 7])),
    ]);
    server.put("i/part-0.parquet", &file);
    let create = |table: &str, property: &str| {
        format!(
            "CREATE EXTERNAL TABLE {table} (id bigint, label string, name bigint) \
             ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe' {property} \
             STORED AS PARQUET LOCATION 's3://test-lake/i/'"
        )
    };
    server
        .query(&create(
            "by_index",
            "WITH SERDEPROPERTIES ('parquet.column.index.access' = 'true')",
        ))
        .await;
    assert_eq!(
        rows(&server, "SELECT * FROM by_index ORDER BY id").await,
        ["1|x|10", "2|y|20", "3|z|30"]
    );
    assert_eq!(
        rows(&server, "SELECT name FROM by_index WHERE label = 'y'").await,
        ["20"]
    );
    assert_eq!(
        rows(&server, "SELECT min(id), max(name) FROM by_index").await,
        ["1|30"]
    );
    assert_eq!(
        rows(&server, "SELECT count(*) FROM by_index WHERE name > 15").await,
        ["2"]
    );
    // By name the same file has another `id`, no `label`, and a `name` of another type.
    server
        .query(&create(
            "by_name",
            "WITH SERDEPROPERTIES ('parquet.column.index.access' = 'false')",
        ))
        .await;
    assert_eq!(
        rows(&server, "SELECT id, label FROM by_name ORDER BY id").await,
        ["10|NULL", "20|NULL", "30|NULL"]
    );
    let error = server.refused("SELECT name FROM by_name").await;
    assert!(
        error.to_string().contains("HIVE_PARTITION_SCHEMA_MISMATCH"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_added_later_are_null_in_old_partitions_and_widened_ones_keep_their_values() {
    let server = TestServer::start().await;
    let old = batch(vec![
        ("n", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![150])
                    .with_precision_and_scale(5, 2)
                    .unwrap(),
            ),
        ),
    ]);
    server.put("e/dt=1/part-0.parquet", &old);
    server
        .query(
            "CREATE EXTERNAL TABLE e (n int, d decimal(5,2)) PARTITIONED BY (dt int) STORED AS PARQUET \
             LOCATION 's3://test-lake/e/'",
        )
        .await;
    server.query("ALTER TABLE e ADD PARTITION (dt = 1)").await;
    assert_eq!(rows(&server, "SELECT n, d FROM e").await, ["1|1.50"]);
    server
        .query(
            "CREATE EXTERNAL TABLE wider (n bigint, d decimal(12,4), more string) PARTITIONED BY (dt int) \
             STORED AS PARQUET LOCATION 's3://test-lake/e/'",
        )
        .await;
    server
        .query("ALTER TABLE wider ADD PARTITION (dt = 1) PARTITION (dt = 2)")
        .await;
    let new = batch(vec![
        ("more", texts(&["m"])),
        ("n", ints([1 << 40])),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![12_345_678])
                    .with_precision_and_scale(12, 4)
                    .unwrap(),
            ),
        ),
    ]);
    assert_eq!(new.schema().field(2).data_type(), &DataType::Decimal128(12, 4));
    server.put("e/dt=2/part-0.parquet", &new);
    assert_eq!(
        rows(&server, "SELECT dt, n, d, more FROM wider ORDER BY dt").await,
        ["1|1|1.5000|NULL", "2|1099511627776|1234.5678|m"]
    );
    assert_eq!(
        rows(&server, "SELECT dt FROM wider WHERE d < 2 AND n < 10").await,
        ["1"]
    );
    assert_eq!(
        rows(&server, "SELECT dt FROM wider WHERE more IS NULL").await,
        ["1"]
    );
}
