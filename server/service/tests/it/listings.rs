//! Prefixes with keys of every kind: each file is read, each once.

use crate::harness::{BUCKET, TestServer, one};

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_at_the_end_of_a_page_lists_nothing_twice() {
    let server = TestServer::start().await;
    let put = |key: String, body: &'static [u8]| server.store.put(BUCKET, &format!("t/{key}"), body);
    let (mut partitions, mut files) = (Vec::new(), 0);
    // The first page of 1,000 keys ends with the last of these; what follows is read from there on in pages.
    for p in 0..10 {
        partitions.push(format!("a{p}"));
        for file in 0..100 {
            put(format!("p=a{p}/{file:03}"), b"1\n");
            files += 1;
        }
    }
    for p in 0..5 {
        partitions.push(format!("c{p}"));
        put(format!("p=c{p}/0"), b"1\n");
        files += 1;
    }
    // In the order of keys the marker `sub/` comes after `sub-*`, and ends its page.
    partitions.push("e".to_owned());
    for file in 0..894 {
        put(format!("p=e/sub-{file:03}"), b"1\n");
        files += 1;
    }
    put("p=e/sub/".to_owned(), b"");
    for p in 0..60 {
        partitions.push(format!("f{p:02}"));
        put(format!("p=f{p:02}/0"), b"1\n");
        files += 1;
    }
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE t (n bigint) PARTITIONED BY (p string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' \
             LOCATION 's3://{BUCKET}/t/'"
        ))
        .await;
    for chunk in partitions.chunks(40) {
        let added: Vec<String> = chunk.iter().map(|p| format!("PARTITION (p = '{p}')")).collect();
        server
            .query(&format!("ALTER TABLE t ADD {}", added.join(" ")))
            .await;
    }
    let lists = server.store.counts().list_requests;
    assert_eq!(one(&server.query("SELECT sum(n) FROM t").await), files);
    assert!(
        server.store.counts().list_requests - lists < 30,
        "pages, not prefixes"
    );
    let sql = "SELECT count(DISTINCT \"$path\") FROM t";
    assert_eq!(one(&server.query(sql).await), files);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_with_empty_parts_are_read_and_markers_are_no_files() {
    let server = TestServer::start().await;
    for (key, body) in [
        ("k/a//x", "1\n"),
        ("k/a/x", "2\n"),
        ("k//b", "4\n"),
        ("k/b", "8\n"),
        // Markers, one of them with something in it; what lies beside has its name.
        ("k/c", "16\n"),
        ("k/c/", "32\n"),
        ("k/d/", ""),
        ("k/./hidden", "64\n"),
    ] {
        server.store.put(BUCKET, key, body.as_bytes());
    }
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE k (n bigint) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' \
             LOCATION 's3://{BUCKET}/k/'"
        ))
        .await;
    assert_eq!(one(&server.query("SELECT sum(n) FROM k").await), 31);
    let paths = server
        .query("SELECT \"$path\" FROM k WHERE n IN (1, 4) ORDER BY 1")
        .await;
    let path = |key: &str| vec![format!("s3://{BUCKET}/{key}")];
    assert_eq!(paths.rows, [path("k//b"), path("k/a//x")]);
}
