//! What a database holds, by which names, and how long that is believed.

use owlake_federation::postgres::RelationKind;

use crate::support::{SERVER, catalog_with, fresh, rows};

const SETUP: &str = r#"
    CREATE SCHEMA sales; CREATE SCHEMA "Mixed Case"; CREATE SCHEMA hidden;
    CREATE TABLE sales.orders (id int PRIMARY KEY, note text);
    CREATE VIEW sales.recent AS SELECT id FROM sales.orders;
    CREATE MATERIALIZED VIEW sales.totals AS SELECT count(*) AS n FROM sales.orders;
    CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
    CREATE FOREIGN TABLE sales.outside (line text) SERVER files OPTIONS (filename '/etc/hostname');
    CREATE TABLE sales.parts (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE sales.parts_2026 PARTITION OF sales.parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE SEQUENCE sales.counter; CREATE INDEX ON sales.orders (note);
    CREATE TABLE "Mixed Case"."Orders" ("Id" int, "id" int, "NAME" text, "wei""rd\col.umn; --" int);
    INSERT INTO "Mixed Case"."Orders" VALUES (1, 2, 'x', 3);
    CREATE TABLE public."Twice" (a int); CREATE TABLE public.twice (b int);
    CREATE TABLE public."One" (a int); CREATE TABLE public."ONE" (b int);
    CREATE TABLE public."tab""le; DROP TABLE x; --" (a int);
    INSERT INTO public."tab""le; DROP TABLE x; --" VALUES (1);
    CREATE TABLE public.counted AS SELECT n FROM generate_series(1, 1234) n; ANALYZE public.counted;
    CREATE TABLE public.no_columns (); INSERT INTO public.no_columns DEFAULT VALUES;
"#;

#[tokio::test]
async fn relations_of_every_kind_are_listed_and_read() {
    let catalog = fresh("listing", SETUP);
    let schemas = catalog.schemas().await.unwrap();
    assert_eq!(*schemas, ["Mixed Case", "hidden", "public", "sales"]);
    let listed = catalog.relations("SALES").await.unwrap();
    let expected = [
        ("orders", RelationKind::Table),
        ("outside", RelationKind::ForeignTable),
        ("parts", RelationKind::Table),
        ("recent", RelationKind::View),
        ("totals", RelationKind::MaterializedView),
    ];
    let listed: Vec<_> = listed
        .iter()
        .map(|table| (table.name.as_str(), table.kind))
        .collect();
    assert_eq!(listed, expected);
    for (name, kind) in expected {
        let table = catalog.table("sales", name).await.unwrap().unwrap();
        assert_eq!(
            (table.kind, table.columns.len()),
            (kind, table.schema().fields().len())
        );
    }
    assert!(catalog.relations("nowhere").await.unwrap().is_empty());
    assert!(catalog.table("nowhere", "x").await.unwrap().is_none());
    assert!(catalog.table("sales", "x").await.unwrap().is_none());
    // A partition has a name of its own too.
    assert!(catalog.table("sales", "parts_2026").await.unwrap().is_some());
    assert_eq!(
        rows(&catalog, "no_columns", &[]).await.unwrap(),
        [Vec::<String>::new()]
    );
}

#[tokio::test]
async fn names_are_found_in_any_case_and_never_confused() {
    let catalog = fresh("names", SETUP);
    let orders = catalog.table("mixed case", "orders").await.unwrap().unwrap();
    assert_eq!(
        (orders.schema_name.as_str(), orders.name.as_str()),
        ("Mixed Case", "Orders")
    );
    let names: Vec<_> = orders
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["id", "name", "wei\"rd\\col.umn; --"]);
    assert_eq!(orders.hidden, ["Id"]);
    let request = crate::support::request(&catalog, "mixed case", "orders", &[]).await;
    let all = crate::support::batches(&catalog, &request).await.unwrap();
    assert_eq!(crate::support::text(&all), [["2", "x", "3"]]);
    // The one that is written as asked for wins; among others none does.
    assert_eq!(
        catalog.table("public", "twice").await.unwrap().unwrap().columns[0].name,
        "b"
    );
    let fault = catalog.table("public", "one").await.unwrap_err();
    assert!(fault.to_string().contains("table `one` is ambiguous"), "{fault}");
    assert_eq!(
        rows(&catalog, "tab\"le; DROP TABLE x; --", &[]).await.unwrap(),
        [["1"]]
    );
}

#[tokio::test]
async fn statistics_come_from_the_database() {
    let catalog = fresh("statistics", SETUP);
    assert_eq!(
        catalog
            .table("public", "counted")
            .await
            .unwrap()
            .unwrap()
            .estimated_rows,
        Some(1234)
    );
    assert_eq!(
        catalog
            .table("sales", "recent")
            .await
            .unwrap()
            .unwrap()
            .estimated_rows,
        None
    );
    assert_eq!(
        catalog
            .table("sales", "orders")
            .await
            .unwrap()
            .unwrap()
            .estimated_rows,
        None
    );
}

#[tokio::test]
async fn what_is_known_is_kept_until_refreshed() {
    let catalog = fresh("refreshing", SETUP);
    assert_eq!(catalog.relations("sales").await.unwrap().len(), 5);
    assert!(catalog.table("sales", "later").await.unwrap().is_none());
    SERVER.sql_in(
        "refreshing",
        "CREATE TABLE sales.later (a int); CREATE SCHEMA more",
    );
    assert_eq!(catalog.relations("sales").await.unwrap().len(), 5);
    // A table by its exact name is asked for: what does not exist is not kept.
    assert!(catalog.table("sales", "later").await.unwrap().is_some());
    catalog.refresh();
    assert_eq!(catalog.relations("sales").await.unwrap().len(), 6);
    assert_eq!(catalog.schemas().await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_catalog_may_be_limited_to_some_schemas() {
    let _all = fresh("limited", SETUP);
    let catalog = catalog_with(&SERVER, "limited", &[("schemas", "sales, pg_catalog, nowhere")]);
    assert_eq!(*catalog.schemas().await.unwrap(), ["pg_catalog", "sales"]);
    assert!(catalog.table("public", "counted").await.unwrap().is_none());
    // Types of all sorts, some of them pseudo-types: nothing fails as a whole.
    for table in catalog.relations("pg_catalog").await.unwrap().iter() {
        let name = table.name.as_str();
        let request = crate::support::request(&catalog, "pg_catalog", name, &[]).await;
        crate::support::batches(&catalog, &request)
            .await
            .unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}
