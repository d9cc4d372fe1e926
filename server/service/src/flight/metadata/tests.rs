//! Facts about the metadata batches: filters, order, schemas and column descriptions.

use arrow::array::AsArray;
use arrow_flight::sql::metadata::{GetDbSchemasBuilder, GetTablesBuilder};

use super::*;

fn row(catalog: &str, database: &str, name: &str, table_type: TableType) -> TableRow {
    TableRow {
        catalog: catalog.to_owned(),
        database: database.to_owned(),
        name: name.to_owned(),
        table_type,
        schema: None,
    }
}

fn lake() -> Vec<TableRow> {
    vec![
        row("pg", "public", "users", TableType::Table),
        row("awsdatacatalog", "web_logs", "hits_2024", TableType::Table),
        row("awsdatacatalog", "web_logs", "hitsx2024", TableType::Table),
        row("awsdatacatalog", "system", "queries", TableType::System),
        row("awsdatacatalog", "default", "daily", TableType::View),
    ]
}

fn names(command: &CommandGetTables) -> Vec<String> {
    let batch = tables(command, lake()).unwrap();
    batch
        .column(2)
        .as_string::<i32>()
        .iter()
        .flatten()
        .map(str::to_owned)
        .collect()
}

#[test]
fn like_knows_wildcards_and_escapes() {
    for (pattern, text, expected) in [
        ("%", "", true),
        ("", "", true),
        ("", "a", false),
        ("a%c", "abbc", true),
        ("a%c", "abb", false),
        ("%b%b%", "abab", true),
        ("_", "a", true),
        ("_", "ä", true),
        ("_", "", false),
        ("web\\_logs", "web_logs", true),
        ("web\\_logs", "webxlogs", false),
        ("web_logs", "webxlogs", true),
        ("100\\%", "100%", true),
        ("100\\%", "1000", false),
        ("a\\\\b", "a\\b", true),
        ("tail\\", "tail\\", true),
        ("WEB%", "web_logs", true),
        ("%a%a%a%a%a%a%b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
    ] {
        assert_eq!(like(pattern, text), expected, "{pattern} on {text}");
    }
}

#[test]
fn no_filter_lists_every_catalog_in_order() {
    assert_eq!(
        names(&CommandGetTables::default()),
        ["daily", "queries", "hits_2024", "hitsx2024", "users"]
    );
}

#[test]
fn an_underscore_is_a_wildcard_unless_escaped() {
    let wild = CommandGetTables {
        table_name_filter_pattern: Some("hits_2024".to_owned()),
        ..Default::default()
    };
    assert_eq!(names(&wild), ["hits_2024", "hitsx2024"]);
    let escaped = CommandGetTables {
        table_name_filter_pattern: Some("hits\\_2024".to_owned()),
        ..Default::default()
    };
    assert_eq!(names(&escaped), ["hits_2024"]);
}

#[test]
fn a_catalog_is_a_name_or_a_pattern_and_empty_means_none() {
    let with = |catalog: &str| CommandGetTables {
        catalog: Some(catalog.to_owned()),
        ..Default::default()
    };
    assert_eq!(names(&with("pg")), ["users"]);
    assert_eq!(names(&with("%")).len(), 5);
    assert_eq!(names(&with("aws%")).len(), 4);
    assert!(names(&with("")).is_empty());
    assert!(names(&with("p")).is_empty());
}

#[test]
fn types_are_filtered_and_base_table_means_table() {
    let with = |types: &[&str]| CommandGetTables {
        table_types: types.iter().map(|t| (*t).to_owned()).collect(),
        ..Default::default()
    };
    assert_eq!(names(&with(&["VIEW", "SYSTEM TABLE"])), ["daily", "queries"]);
    assert_eq!(names(&with(&["BASE TABLE"])), ["hits_2024", "hitsx2024", "users"]);
    assert!(names(&with(&["LOCAL TEMPORARY"])).is_empty());
}

#[test]
fn databases_are_filtered_and_ordered() {
    let rows = || lake().into_iter().map(|row| (row.catalog, row.database));
    let command = CommandGetDbSchemas {
        catalog: Some("awsdatacatalog".to_owned()),
        db_schema_filter_pattern: Some("%s%".to_owned()),
    };
    let batch = db_schemas(&command, rows()).unwrap();
    let listed: Vec<_> = batch.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(listed, ["system", "web_logs", "web_logs"]);
}

#[test]
fn schemas_are_those_of_the_flight_sql_builders() {
    let none = None::<String>;
    assert_eq!(
        db_schemas_schema(),
        GetDbSchemasBuilder::new(none.clone(), none.clone()).schema()
    );
    for include_schema in [false, true] {
        let builder = GetTablesBuilder::new(
            none.clone(),
            none.clone(),
            none.clone(),
            Vec::<String>::new(),
            include_schema,
        );
        assert_eq!(tables_schema(include_schema), builder.schema());
        let command = CommandGetTables {
            include_schema,
            ..Default::default()
        };
        assert_eq!(tables(&command, lake()).unwrap().schema(), builder.schema());
    }
    let catalogs = catalogs(["b".to_owned(), "a".to_owned()]).unwrap();
    assert_eq!(catalogs.column(0).as_string::<i32>().value(0), "a");
    assert!(!catalogs.schema().field(0).is_nullable());
}

#[test]
fn table_types_are_ordered() {
    let batch = table_types().unwrap();
    let listed: Vec<_> = batch.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(listed, ["SYSTEM TABLE", "TABLE", "VIEW"]);
}

#[test]
fn key_sets_have_the_columns_of_the_protocol() {
    let shape = |schema: SchemaRef| -> Vec<String> {
        let column = |f: &Arc<Field>| format!("{}{}", f.name(), if f.is_nullable() { "?" } else { "" });
        schema.fields().iter().map(column).collect()
    };
    assert_eq!(
        shape(primary_keys_schema()),
        [
            "catalog_name?",
            "db_schema_name?",
            "table_name",
            "column_name",
            "key_name?",
            "key_sequence"
        ]
    );
    let keys = shape(foreign_keys_schema());
    assert_eq!(keys.len(), 13);
    assert_eq!(
        &keys[8..],
        [
            "key_sequence",
            "fk_key_name?",
            "pk_key_name?",
            "update_rule",
            "delete_rule"
        ]
    );
    assert_eq!(foreign_keys_schema().field(11).data_type(), &DataType::UInt8);
}

fn columns_of(schema: Option<SchemaRef>) -> Schema {
    let command = CommandGetTables {
        include_schema: true,
        ..Default::default()
    };
    let table = TableRow {
        schema,
        ..row("c", "d", "t", TableType::Table)
    };
    let batch = tables(&command, [table]).unwrap();
    let encoded = bytes::Bytes::copy_from_slice(batch.column(4).as_binary::<i32>().value(0));
    Schema::try_from(IpcMessage(encoded)).unwrap()
}

#[test]
fn columns_carry_what_drivers_read() {
    let comment = HashMap::from([(COMMENT_KEY.to_owned(), "net price".to_owned())]);
    let schema = Schema::new(vec![
        Field::new("price", DataType::Decimal128(15, 2), true).with_metadata(comment),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("name", DataType::Utf8, true),
    ]);
    let columns = columns_of(Some(Arc::new(schema)));
    let fact = |column: usize, key: &str| {
        columns
            .field(column)
            .metadata()
            .get(&format!("ARROW:FLIGHT:SQL:{key}"))
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(fact(0, "TYPE_NAME"), "decimal(15,2)");
    assert_eq!(
        (fact(0, "PRECISION"), fact(0, "SCALE")),
        ("15".to_owned(), "2".to_owned())
    );
    assert_eq!(fact(0, "REMARKS"), "net price");
    assert_eq!(fact(0, "TABLE_NAME"), "t");
    assert_eq!(
        (fact(1, "TYPE_NAME"), fact(1, "PRECISION")),
        ("timestamp(3)".to_owned(), "23".to_owned())
    );
    assert_eq!(
        (fact(1, "IS_CASE_SENSITIVE"), fact(2, "IS_CASE_SENSITIVE")),
        ("0".to_owned(), "1".to_owned())
    );
    assert_eq!(
        (fact(2, "IS_AUTO_INCREMENT"), fact(2, "IS_SEARCHABLE")),
        ("0".to_owned(), "1".to_owned())
    );
    assert!(!columns.field(1).is_nullable() && columns.field(2).is_nullable());
}

#[test]
fn a_table_whose_definition_is_broken_is_listed_without_columns() {
    assert_eq!(columns_of(None).fields().len(), 0);
}

#[test]
fn nested_types_are_spelled_as_in_sql() {
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let row = DataType::Struct(
        vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::List(item), true),
        ]
        .into(),
    );
    assert_eq!(type_name(&row), "row(a integer, b array(varchar))");
    let pair = DataType::Struct(
        vec![
            Field::new("k", DataType::Utf8, false),
            Field::new("v", DataType::Date32, true),
        ]
        .into(),
    );
    let map = DataType::Map(Arc::new(Field::new("entries", pair, false)), false);
    assert_eq!(type_name(&map), "map(varchar, date)");
}
