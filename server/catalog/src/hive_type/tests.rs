//! Facts about Hive types.

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use proptest::prelude::*;

use super::*;
use crate::error::CatalogError;

fn parse(text: &str) -> HiveType {
    HiveType::parse(text).unwrap_or_else(|e| panic!("{e}"))
}

fn reason(text: &str) -> String {
    match HiveType::parse(text) {
        Err(CatalogError::HiveType { reason, .. }) => reason,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn primitives_have_their_arrow_and_trino_types() {
    let cases = [
        ("boolean", DataType::Boolean, "boolean"),
        ("tinyint", DataType::Int8, "tinyint"),
        ("smallint", DataType::Int16, "smallint"),
        ("int", DataType::Int32, "integer"),
        ("bigint", DataType::Int64, "bigint"),
        ("float", DataType::Float32, "real"),
        ("double", DataType::Float64, "double"),
        ("decimal(10,2)", DataType::Decimal128(10, 2), "decimal(10,2)"),
        ("char(3)", DataType::Utf8, "char(3)"),
        ("varchar(65535)", DataType::Utf8, "varchar(65535)"),
        ("string", DataType::Utf8, "varchar"),
        ("binary", DataType::Binary, "varbinary"),
        ("date", DataType::Date32, "date"),
        (
            "timestamp",
            DataType::Timestamp(TimeUnit::Millisecond, None),
            "timestamp(3)",
        ),
    ];
    for (text, arrow, trino) in cases {
        let parsed = parse(text);
        assert_eq!(parsed.to_arrow(), arrow, "{text}");
        assert_eq!(parsed.trino_name(), trino, "{text}");
        assert_eq!(parsed.to_string(), text);
        assert!(parsed.is_primitive());
    }
}

#[test]
fn nested_types_have_their_arrow_and_trino_types() {
    let parsed = parse("map<string,array<struct<a:int,b:date>>>");
    let row = DataType::Struct(
        vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Date32, true),
        ]
        .into(),
    );
    let entry = DataType::Struct(
        vec![
            Field::new("key", DataType::Utf8, false),
            Field::new(
                "value",
                DataType::List(Arc::new(Field::new("item", row, true))),
                true,
            ),
        ]
        .into(),
    );
    assert_eq!(
        parsed.to_arrow(),
        DataType::Map(Arc::new(Field::new("entries", entry, false)), false)
    );
    assert_eq!(parsed.trino_name(), "map(varchar, array(row(a integer, b date)))");
    assert!(!parsed.is_primitive());
}

#[test]
fn letter_case_and_white_space_do_not_matter() {
    assert_eq!(
        parse(" ARRAY <\tStruct < UserId : Integer ,\n Tags: Map< STRING , Decimal ( 5 , 2 ) > > > "),
        parse("array<struct<userid:int,tags:map<string,decimal(5,2)>>>")
    );
}

#[test]
fn decimal_defaults_are_hives() {
    assert_eq!(
        parse("decimal"),
        HiveType::Decimal {
            precision: 10,
            scale: 0
        }
    );
    assert_eq!(
        parse("decimal(38)"),
        HiveType::Decimal {
            precision: 38,
            scale: 0
        }
    );
}

#[test]
fn field_names_may_be_quoted_or_as_crawlers_write_them() {
    let parsed = parse("struct<`a``:b,<`:int,@type-Name:string,$id:int,first name :string,comment:int>");
    let HiveType::Struct(fields) = &parsed else {
        panic!("{parsed:?}")
    };
    let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["a`:b,<", "@type-name", "$id", "first name", "comment"]);
    assert_eq!(parse(&parsed.to_string()), parsed);
    assert_eq!(parse("struct<`my-f`:int>").trino_name(), "row(\"my-f\" integer)");
}

#[test]
fn comments_of_fields_are_skipped() {
    let text = r#"struct<a:int COMMENT 'it\'s, > fine' 'and more', b:array<int> comment "x'y">"#;
    assert_eq!(parse(text), parse("struct<a:int,b:array<int>>"));
    assert!(reason("struct<a:int comment 'open>").starts_with("a comment is not closed at character 14"));
    assert!(reason("struct<a:int comment>").starts_with("expected the comment's text"));
}

#[test]
fn refusals_say_what_and_where() {
    let cases = [
        ("", "expected a type at character 1"),
        ("real", "unknown type `real` at character 1"),
        ("array<uniontype<int>>", "unknown type `uniontype` at character 7"),
        ("int x", "expected the end at character 5"),
        ("array int", "expected `<` at character 7"),
        ("array<int", "expected `>` at character 10"),
        ("decimal(39)", "expected a precision from 1 to 38 at character 9"),
        ("decimal(5,6)", "expected a scale from 0 to 5 at character 11"),
        ("decimal(0)", "expected a precision from 1 to 38 at character 9"),
        ("char(256)", "expected a length from 1 to 255 at character 6"),
        ("char", "expected `(` at character 5"),
        ("varchar(0)", "expected a length from 1 to 65535 at character 9"),
        (
            "varchar(99999999999999999999)",
            "expected a length from 1 to 65535 at character 9",
        ),
        (
            "map<array<int>,int>",
            "a map's key must be a primitive type at character 5",
        ),
        ("struct<>", "expected a field name at character 8"),
        (
            "struct<ä:int,Ä:int>",
            "a field name is there twice at character 14",
        ),
        ("struct<`a:int>", "a backtick is not closed at character 8"),
        (
            "timestamp with local time zone",
            "expected the end at character 11",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(reason(text), expected, "{text}");
    }
}

#[test]
fn depth_is_limited_and_deep_text_does_not_overflow() {
    let nested = |depth: usize| format!("{}int{}", "array<".repeat(depth), ">".repeat(depth));
    assert!(HiveType::parse(&nested(MAX_TYPE_DEPTH - 1)).is_ok());
    assert!(reason(&nested(MAX_TYPE_DEPTH)).starts_with("it is nested deeper than 64"));
    assert!(reason(&"struct<a:".repeat(14_000)).starts_with("it is nested deeper than 64"));
    assert!(reason(&"map<int,".repeat(16_000)).starts_with("it is nested deeper than 64"));
}

#[test]
fn long_text_is_refused_with_a_short_message() {
    let text = format!("struct<{}:int>", "a".repeat(MAX_TYPE_CHARS));
    assert_eq!(reason(&text), "it is longer than 131072 characters");
    assert!(HiveType::parse(&text).unwrap_err().to_string().len() < 300);
    let fits = format!("struct<{}:int>", "é".repeat(MAX_TYPE_CHARS - 12));
    assert!(HiveType::parse(&fits).is_ok());
}

#[test]
fn arrow_types_of_files_find_the_hive_type_that_holds_their_values() {
    let boxed = |t: DataType| Box::new(t);
    let item = |t: DataType| Arc::new(Field::new("x", t, false));
    let cases = [
        (DataType::UInt8, Some("smallint")),
        (DataType::UInt16, Some("int")),
        (DataType::UInt32, Some("bigint")),
        (DataType::UInt64, Some("decimal(20,0)")),
        (DataType::Float16, Some("float")),
        (DataType::Utf8View, Some("string")),
        (DataType::LargeBinary, Some("binary")),
        (DataType::FixedSizeBinary(16), Some("binary")),
        (DataType::Date64, Some("date")),
        (
            DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Some("timestamp"),
        ),
        (
            DataType::Dictionary(boxed(DataType::Int32), boxed(DataType::Utf8)),
            Some("string"),
        ),
        (
            DataType::LargeListView(item(DataType::UInt8)),
            Some("array<smallint>"),
        ),
        (
            DataType::FixedSizeList(item(DataType::Int8), 3),
            Some("array<tinyint>"),
        ),
        (DataType::Decimal256(38, 10), Some("decimal(38,10)")),
        (DataType::Decimal256(39, 10), None),
        (DataType::Decimal64(5, -3), Some("decimal(8,0)")),
        (DataType::Decimal128(2, 3), None),
        (DataType::Null, None),
        (DataType::Time64(TimeUnit::Microsecond), None),
        (DataType::List(item(DataType::Time32(TimeUnit::Second))), None),
        (DataType::Struct(Vec::<Field>::new().into()), None),
    ];
    for (arrow, expected) in cases {
        let hive = HiveType::from_arrow(&arrow).map(|t| t.to_string());
        assert_eq!(hive.as_deref(), expected, "{arrow:?}");
    }
}

#[test]
fn structs_of_files_are_lower_cased_and_refused_when_that_makes_names_meet() {
    let fields = |names: &[&str]| {
        DataType::Struct(
            names
                .iter()
                .map(|n| Field::new(*n, DataType::Int32, true))
                .collect(),
        )
    };
    assert_eq!(
        HiveType::from_arrow(&fields(&["A", "b"])),
        Some(parse("struct<a:int,b:int>"))
    );
    assert_eq!(HiveType::from_arrow(&fields(&["A", "a"])), None);
}

#[test]
fn deep_arrow_types_are_refused() {
    let mut deep = DataType::Int32;
    for _ in 0..MAX_TYPE_DEPTH {
        deep = DataType::List(Arc::new(Field::new("item", deep, true)));
    }
    assert_eq!(HiveType::from_arrow(&deep), None);
}

fn primitive() -> impl Strategy<Value = HiveType> {
    prop_oneof![
        Just(HiveType::Boolean),
        Just(HiveType::TinyInt),
        Just(HiveType::SmallInt),
        Just(HiveType::Int),
        Just(HiveType::BigInt),
        Just(HiveType::Float),
        Just(HiveType::Double),
        (1u8..=38)
            .prop_flat_map(|p| (Just(p), 0..=p))
            .prop_map(|(precision, scale)| HiveType::Decimal { precision, scale }),
        (1u8..).prop_map(HiveType::Char),
        (1u16..).prop_map(HiveType::Varchar),
        Just(HiveType::String),
        Just(HiveType::Binary),
        Just(HiveType::Date),
        Just(HiveType::Timestamp),
    ]
}

fn any_type() -> impl Strategy<Value = HiveType> {
    primitive().prop_recursive(6, 40, 5, |inner| {
        let fields = prop::collection::btree_map("\\PC{1,12}", inner.clone(), 1..5).prop_map(|fields| {
            let mut lower: std::collections::BTreeMap<String, HiveType> = fields
                .into_iter()
                .map(|(name, t)| (name.to_lowercase(), t))
                .collect();
            lower.retain(|name, _| !name.is_empty());
            HiveType::Struct(
                lower
                    .into_iter()
                    .map(|(name, data_type)| StructField { name, data_type })
                    .collect(),
            )
        });
        prop_oneof![
            inner.clone().prop_map(|t| HiveType::Array(Box::new(t))),
            (primitive(), inner).prop_map(|(k, v)| HiveType::Map(Box::new(k), Box::new(v))),
            fields,
        ]
    })
}

proptest! {
    #[test]
    fn display_parses_back(t in any_type()) {
        prop_assert_eq!(HiveType::parse(&t.to_string()).unwrap(), t);
    }

    #[test]
    fn arrow_keeps_everything_but_text_lengths(t in any_type()) {
        let there = HiveType::from_arrow(&t.to_arrow()).unwrap();
        prop_assert_eq!(there.to_arrow(), t.to_arrow());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(array<|map<|struct<|[a-z`:,<>() '\\\\]|decimal\\(|int|\\PC){0,60}") {
        let _ = HiveType::parse(&text);
    }
}
