//! Avro files through the wire: columns by name, every compression, what is refused.

use std::io::Write;

use owlake::ScanConfig;

use crate::harness::{BUCKET, TestServer, one};

async fn table(server: &TestServer, name: &str, columns: &str, clauses: &str) {
    let ddl = format!("CREATE EXTERNAL TABLE {name} {columns} {clauses} LOCATION 's3://{BUCKET}/{name}/'");
    server.query(&ddl).await;
}

const SCHEMA: &str = r#"{"type":"record","name":"event","fields":[{"name":"Id","type":"long"},
  {"name":"name","type":["null","string"]},{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;

/// A number as Avro writes it.
fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    long(out, value.len() as i64);
    out.extend_from_slice(value);
}

fn packed(codec: &str, plain: Vec<u8>) -> Vec<u8> {
    match codec {
        "deflate" => {
            let mut w = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            w.write_all(&plain).unwrap();
            w.finish().unwrap()
        }
        "snappy" => {
            let mut out = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
            let mut sum = flate2::Crc::new();
            sum.update(&plain);
            out.extend(sum.sum().to_be_bytes());
            out
        }
        "zstandard" => zstd::stream::encode_all(plain.as_slice(), 3).unwrap(),
        "bzip2" => {
            let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            w.write_all(&plain).unwrap();
            w.finish().unwrap()
        }
        _ => plain,
    }
}

/// An Avro file of two blocks: records for `rows`, and once more the first of them. Every third name is NULL.
fn avro(rows: std::ops::Range<i64>, codec: &str) -> Vec<u8> {
    const SYNC: [u8; 16] = *b"0123456789abcdef";
    let mut out = b"Obj\x01".to_vec();
    long(&mut out, 2);
    for text in ["avro.schema", SCHEMA, "avro.codec", codec] {
        bytes(&mut out, text.as_bytes());
    }
    long(&mut out, 0);
    out.extend(SYNC);
    let first = rows.start..rows.start + 1;
    for block in [rows, first] {
        let mut plain = Vec::new();
        for i in block.clone() {
            long(&mut plain, i);
            if i % 3 == 0 {
                long(&mut plain, 0);
            } else {
                long(&mut plain, 1);
                bytes(&mut plain, format!("n{i}").as_bytes());
            }
            long(&mut plain, i * 1_000 + 500);
        }
        long(&mut out, block.end - block.start);
        bytes(&mut out, &packed(codec, plain));
        out.extend(SYNC);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn avro_files_are_read_by_name_in_every_compression() {
    let scan = ScanConfig {
        row_chunk_bytes: 100,
        ..ScanConfig::default()
    };
    let server = TestServer::with_scan(scan).await;
    let mut size = 0;
    let codecs = ["null", "deflate", "snappy", "zstandard", "bzip2"];
    for (i, codec) in codecs.into_iter().enumerate() {
        let stored = avro(0..100, codec);
        size += stored.len() as u64;
        server.store.put(BUCKET, &format!("t/part-{i}.avro"), stored);
    }
    let columns = "(at timestamp, missing int, name string, id bigint)";
    table(&server, "t", columns, "STORED AS AVRO").await;
    let answer = server
        .query("SELECT count(*), sum(id), count(name), count(missing), max(at), min(at) FROM t")
        .await;
    // Half a millisecond is rounded up.
    let expected = [
        "505",
        "24750",
        "330",
        "0",
        "1970-01-01T00:00:00.100",
        "1970-01-01T00:00:00.001",
    ];
    assert_eq!(answer.rows, [expected]);
    let mine = answer.receipt.counters.unwrap();
    assert_eq!(
        (
            mine.data_scanned_bytes,
            mine.transferred_bytes,
            mine.metadata_bytes
        ),
        (size, size, 0)
    );
    assert_eq!(one(&server.query("SELECT count(*) FROM t").await), 505);

    table(&server, "mismatch", "(id int)", "STORED AS AVRO").await;
    server.store.put(BUCKET, "mismatch/a.avro", avro(0..3, "null"));
    let error = server.refused("SELECT * FROM mismatch").await;
    assert_eq!(error.code(), Some("HIVE_PARTITION_SCHEMA_MISMATCH"), "{error}");
    for (name, bytes) in [
        ("cut", avro(0..3, "null")[..60].to_vec()),
        (
            "lost",
            avro(0..3, "null")[..avro(0..3, "null").len() - 20].to_vec(),
        ),
        ("xz", avro(0..3, "xz")),
        ("text", b"1,2\n".to_vec()),
    ] {
        table(&server, name, "(id bigint)", "STORED AS AVRO").await;
        server.store.put(BUCKET, &format!("{name}/a.avro"), bytes);
        let error = server.refused(&format!("SELECT * FROM {name}")).await;
        assert_eq!(error.code(), Some("HIVE_BAD_DATA"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_in_the_table_is_the_one_that_avro_files_are_read_as() {
    let server = TestServer::start().await;
    server.store.put(BUCKET, "t/a.avro", avro(0..3, "null"));
    let schema = r#"{"type":"record","name":"event","fields":[{"name":"Id","type":"double"},{"name":"more","type":"string","default":"x"}]}"#;
    let clauses = format!(
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.avro.AvroSerDe' \
         WITH SERDEPROPERTIES ('avro.schema.literal' = '{schema}') STORED AS AVRO"
    );
    table(&server, "t", "(id double, more string)", &clauses).await;
    let answer = server.query("SELECT sum(id), min(more) FROM t").await;
    assert_eq!(answer.rows, [["3.0", "x"]]);
}
