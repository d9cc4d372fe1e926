//! The doors to an estimate beside `EXPLAIN (TYPE COST)`: short form, JSON, header, library, and caps on cost.

use owlake::{EngineConfig, Usd};
use owlake_client::ClientError;
use owlake_proto::v1::QueryState;

use super::{batches, counters, estimate, lake, read_no_data, rows};
use crate::harness::{Builder, TestServer, connect, run};

const SQL: &str = "SELECT sum(l_extendedprice) FROM lineitem_by_month WHERE year = 1995 AND month = 3";

#[tokio::test(flavor = "multi_thread")]
async fn the_short_form_and_the_library_say_the_same() {
    let server = lake(EngineConfig::default()).await;
    let (tables, total, _) = estimate(&server, SQL).await;
    assert_eq!((tables.len(), total.confidence.as_str()), (1, "exact"));
    let (short, _) = batches(&server.client, &format!("EXPLAIN COST {SQL}")).await;
    assert_eq!(
        format!("{:?}", rows(&short[0]).last().unwrap()),
        format!("{total:?}")
    );

    let typed = server.lake.estimate(SQL).await.unwrap();
    assert_eq!(typed.total.data_scanned_bytes_max, total.max);
    assert_eq!(typed.total.data_scanned_bytes_min, total.min);
    assert_eq!(typed.tables[0].table_name.as_deref(), Some("lineitem_by_month"));
    assert_eq!(typed.receipt.unwrap().counters.data_scanned_bytes, 0);
    let session = server
        .lake
        .estimate("SET SESSION query_timeout = '5m'")
        .await
        .unwrap_err();
    assert!(session.to_string().contains("no estimate"), "{session}");
}

#[tokio::test(flavor = "multi_thread")]
async fn athenas_minimum_is_in_the_row_for_all_and_nowhere_else() {
    let server = lake(EngineConfig::default()).await;
    let (tables, total, receipt) = estimate(&server, SQL).await;
    // 10 MB at 5 USD per TB, in 10^-12 USD.
    assert_eq!(total.athena_cost_usd_max, 50_000_000);
    assert_eq!(tables[0].athena_cost_usd_max, i128::from(total.max) * 5);
    assert!(total.cost_usd_max > 0);
    // The estimate itself is an EXPLAIN: Athena would bill nothing, the store bills its requests.
    assert_eq!(receipt.billed_bytes, 0);
    assert!(counters(&receipt).list_requests > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_form_is_one_document_with_the_columns_as_names() {
    let server = lake(EngineConfig::default()).await;
    let answer = server
        .query(&format!("EXPLAIN (TYPE COST, FORMAT JSON) {SQL}"))
        .await;
    assert_eq!((answer.rows.len(), answer.rows[0].len()), (1, 1));
    insta::assert_snapshot!(answer.rows[0][0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_header_statements_are_answered_by_their_estimates() {
    let server = lake(EngineConfig::default()).await;
    let client = connect(&server.url).await;
    client.set("dry_run", Some("true")).unwrap();
    let (_, total, _) = estimate(&server, SQL).await;
    for sql in [SQL.to_owned(), format!("EXPLAIN ANALYZE {SQL}")] {
        let (answer, receipt) = batches(&client, &sql).await;
        read_no_data(&server.store, &receipt, &sql);
        assert_eq!(rows(&answer[0]).last().unwrap().max, total.max, "{sql}");
    }
    let (answer, _) = batches(&client, "DROP TABLE lineitem_by_month").await;
    let nothing = rows(&answer[0]);
    assert_eq!(
        (nothing.len(), nothing[0].max, nothing[0].athena_cost_usd_max),
        (1, 0, 0)
    );
    assert!(nothing[0].reason.contains("not run"), "{}", nothing[0].reason);
    // It is still there.
    server.query(SQL).await;
    client.set("dry_run", Some("perhaps")).unwrap();
    let error = run(&client, SQL).await.unwrap_err();
    assert_eq!(error.code(), Some("INVALID_SESSION_PROPERTY"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_keeps_what_the_plan_said() {
    let server = lake(EngineConfig::default()).await;
    let answer = server.query(SQL).await;
    let scanned = counters(&answer.receipt).data_scanned_bytes.to_string();
    let rows = server
        .query(&format!(
            "SELECT estimate_min_bytes, estimate_max_bytes, data_scanned_bytes, estimate_confidence \
             FROM system.queries WHERE query_id = '{}'",
            answer.receipt.query_id
        ))
        .await
        .rows;
    assert_eq!(
        rows,
        [[scanned.clone(), scanned.clone(), scanned, "exact".to_owned()]]
    );
}

async fn refused(server: &TestServer, cap: &str, sql: &str) -> ClientError {
    let client = connect(&server.url).await;
    client.set("max_cost_usd", Some(cap)).unwrap();
    run(&client, sql).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_surely_costs_more_than_its_cap_reads_no_data() {
    let server = lake(EngineConfig::default()).await;
    let sql = "SELECT sum(duration_ms) FROM events WHERE dt < '2024-03-03'";
    // Footers and listings are in the caches: what is left are the reads of 144 files at 0.0000004 USD each.
    let (_, total, _) = estimate(&server, sql).await;
    assert_eq!(total.requests_min, 144);
    let error = refused(&server, "0.0000575", sql).await;
    assert_eq!(error.code(), Some("EXCEEDED_SCAN_LIMIT"), "{error}");
    let text = error.to_string();
    for part in [
        "Cost limit was exceeded",
        "0.000057600000 USD",
        "max_cost_usd",
        "0.000000000000 USD were spent",
    ] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
    let receipt = error.receipt().unwrap();
    assert_eq!(receipt.state(), QueryState::Cancelled);
    read_no_data(&server.store, receipt, sql);
    let client = connect(&server.url).await;
    client.set("max_cost_usd", Some("0.0000576")).unwrap();
    run(&client, sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_cost_is_unknown_stops_when_it_reaches_its_cap() {
    let server = lake(EngineConfig::default()).await;
    // A filter that only the subquery's result makes: nothing is sure beforehand.
    let sql = "SELECT sum(duration_ms) FROM events WHERE amount > (SELECT min(amount) FROM events)";
    let (_, total, _) = estimate(&server, sql).await;
    assert_eq!(total.confidence, "upper-bound");
    let error = refused(&server, "0.0003", sql).await;
    assert_eq!(error.code(), Some("EXCEEDED_SCAN_LIMIT"), "{error}");
    assert!(error.to_string().contains("max_cost_usd"), "{error}");
    let receipt = error.receipt().unwrap();
    let cost: Usd = receipt.cost_usd.parse().unwrap();
    assert!(cost <= "0.0003".parse().unwrap(), "{cost} was spent");
    let scanned = counters(receipt).data_scanned_bytes;
    assert!(scanned > 0 && scanned < total.max, "{scanned}");
    let bad = refused(&server, "much", sql).await;
    assert_eq!(bad.code(), Some("INVALID_SESSION_PROPERTY"), "{bad}");
}

/// One rule for all stores: local reads are priced, and the cap and the quotas on money hold for them.
#[tokio::test(flavor = "multi_thread")]
async fn money_is_capped_on_local_files_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("t")).unwrap();
    for file in 0..20 {
        std::fs::write(dir.path().join(format!("t/{file}.csv")), "1\n").unwrap();
    }
    let root = format!("file://{}/", dir.path().display());
    let builder = Builder {
        local_roots: vec![root.clone()],
        ..Builder::default()
    };
    let server = builder.start().await;
    server
        .query(&format!(
            "CREATE EXTERNAL TABLE t (n bigint) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{root}t/'"
        ))
        .await;
    let sql = "SELECT sum(n) FROM t";
    let answer = server.query(sql).await;
    assert_eq!(answer.rows, [["20"]]);
    let cost: Usd = answer.receipt.cost_usd.parse().unwrap();
    assert!(cost > Usd::ZERO);
    let exact = cost.to_string();
    let client = connect(&server.url).await;
    client.set("max_cost_usd", Some(exact.as_str())).unwrap();
    run(&client, sql).await.unwrap();
    let less = Usd::from_pico(cost.pico() - 1).to_string();
    let error = refused(&server, &less, sql).await;
    assert_eq!(error.code(), Some("EXCEEDED_SCAN_LIMIT"), "{error}");
    let spent: Usd = error.receipt().unwrap().cost_usd.parse().unwrap();
    assert!(spent < cost, "{spent}");
    // A quota on money with room for two and a half of them.
    let limit = Usd::from_pico(cost.pico() * 5 / 2).to_string();
    server
        .query(&format!(
            "CREATE QUOTA on_files FOR INTERVAL 1 month MAX cost_usd = {limit} TO WORKGROUP primary"
        ))
        .await;
    for _ in 0..2 {
        server.query(sql).await;
    }
    let error = server.refused(sql).await;
    assert_eq!(error.code(), Some("EXCEEDED_QUOTA"), "{error}");
}
