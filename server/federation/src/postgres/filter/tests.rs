//! Which conditions the database takes over, and how they are written.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{InList, Like};
use datafusion::logical_expr::{Cast, col, lit};
use tokio_postgres::types::Type;

use super::super::catalog::{RelationKind, RemoteColumn, RemoteTable};
use super::super::config::NumericMapping;
use super::super::expression::MAX_LIST;
use super::super::mapping::{PgType, mapping};
use super::super::value::Collation;
use super::*;

fn column(name: &str, of: &Type, modifier: i32) -> RemoteColumn {
    let pg_type = PgType {
        oid: of.oid(),
        modifier,
        element: None,
    };
    RemoteColumn {
        name: name.to_owned(),
        shown: name.to_lowercase(),
        type_name: of.name().to_owned(),
        known: Default::default(),
        collation: Collation {
            oid: 100,
            deterministic: name != "loose",
            utf8: true,
        },
        mapping: mapping(&pg_type, NumericMapping::default()),
    }
}

pub(in super::super) fn table() -> RemoteTable {
    let columns = [
        ("I", Type::INT4, -1),
        ("b", Type::BOOL, -1),
        ("n", Type::NUMERIC, (10 << 16 | 2) + 4),
        ("t", Type::TEXT, -1),
        ("loose", Type::TEXT, -1),
        ("c", Type::BPCHAR, 9),
        ("j", Type::JSON, -1),
        ("u", Type::UUID, -1),
        ("d", Type::DATE, -1),
        ("ts", Type::TIMESTAMP, -1),
        ("tz", Type::TIMESTAMPTZ, -1),
        ("f", Type::FLOAT8, -1),
    ];
    let columns = columns.map(|(name, of, modifier)| column(name, &of, modifier));
    RemoteTable::new(
        "s".to_owned(),
        "t".to_owned(),
        RelationKind::Table,
        None,
        columns.into(),
    )
}

fn taken(expr: &Expr) -> Option<String> {
    condition(&table(), expr)
}

fn micros(text: &str, zone: Option<&str>) -> Expr {
    let at = text
        .parse::<chrono::NaiveDateTime>()
        .unwrap()
        .and_utc()
        .timestamp_micros();
    let zone = zone.map(Arc::from);
    Expr::Literal(ScalarValue::TimestampMicrosecond(Some(at), zone), None)
}

fn like(pattern: &str) -> Expr {
    Expr::Like(Like::new(
        false,
        Box::new(col("t")),
        Box::new(lit(pattern)),
        None,
        false,
    ))
}

#[test]
fn conditions_that_mean_the_same_are_taken_over() {
    let number = |value, scale| Expr::Literal(ScalarValue::Decimal128(Some(value), 10, scale), None);
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let wide = |name: &str| Expr::Cast(Cast::new(Box::new(col(name)), DataType::Int64));
    for (expr, sql) in [
        (col("i").eq(lit(5_i32)), "(\"I\" = '5'::int8)".to_owned()),
        (lit(-5_i32).lt(col("i")), "(\"I\" > '-5'::int8)".to_owned()),
        (wide("i").gt_eq(lit(5_i64)), "(\"I\" >= '5'::int8)".to_owned()),
        (col("b"), "\"b\"".to_owned()),
        (!col("b"), "(NOT \"b\")".to_owned()),
        (
            col("n").lt(number(-5, 2)),
            "(\"n\" < '-0.05'::numeric)".to_owned(),
        ),
        (
            col("n").not_eq(number(1250, 0)),
            "(\"n\" <> '1250'::numeric)".to_owned(),
        ),
        (
            col("t").eq(lit("it's \\ \u{1f989}")),
            "(\"t\" = E'it''s \\\\ \u{1f989}')".to_owned(),
        ),
        (col("u").eq(lit(uuid)), format!("(\"u\" = '{uuid}'::uuid)")),
        (
            col("ts").gt(micros("2026-11-21T18:00:00.000001", None)),
            "(\"ts\" > '2026-11-21 18:00:00.000001'::timestamp)".to_owned(),
        ),
        (
            col("tz").gt(micros("2026-11-21T18:00:00", Some("UTC"))),
            "(\"tz\" > '2026-11-21 18:00:00.000000+00'::timestamptz)".to_owned(),
        ),
        (
            col("d").eq(Expr::Literal(ScalarValue::Date32(Some(20_778)), None)),
            "(\"d\" = '2026-11-21'::date)".to_owned(),
        ),
        (
            col("i").is_null().or(col("f").is_not_null()),
            "((\"I\" IS NULL) OR (\"f\" IS NOT NULL))".to_owned(),
        ),
        (
            col("i").between(lit(1_i32), lit(2_i32)),
            "((\"I\" >= '1'::int8) AND (\"I\" <= '2'::int8))".to_owned(),
        ),
        (
            col("t").in_list(vec![lit("a"), lit("b")], true),
            "(\"t\" NOT IN ('a', 'b'))".to_owned(),
        ),
        // By bytes, as here.
        (col("t").lt(lit("b")), "((\"t\" COLLATE \"C\") < 'b')".to_owned()),
        (
            col("loose").eq(lit("b")),
            "((\"loose\" COLLATE \"C\") = 'b')".to_owned(),
        ),
        (
            col("t").eq(col("loose")),
            "((\"t\" COLLATE \"C\") = (\"loose\" COLLATE \"C\"))".to_owned(),
        ),
        // As what arrives here.
        (col("c").eq(lit("b")), "(\"c\"::text = 'b')".to_owned()),
        (col("u").lt(lit(uuid)), format!("(\"u\" < '{uuid}'::uuid)")),
        (like("a\\_b%"), "(\"t\" LIKE E'a\\\\_b%')".to_owned()),
        (col("i").eq(col("n")), "(\"I\" = \"n\")".to_owned()),
        (col("d").lt(col("ts")), "(\"d\" < \"ts\")".to_owned()),
    ] {
        assert_eq!(taken(&expr).as_deref(), Some(sql.as_str()), "{expr}");
    }
}

#[test]
fn what_might_mean_something_else_stays() {
    let null = Expr::Literal(ScalarValue::Int32(None), None);
    let many: Vec<Expr> = (0..=MAX_LIST as i32).map(lit).collect();
    let mut deep = col("b");
    for _ in 0..60 {
        deep = !deep;
    }
    for expr in [
        // NaN and -0.
        col("f").eq(lit(1.0)),
        // No equality, another way to write it.
        col("j").eq(lit("{}")),
        col("u").eq(lit("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")),
        // What a database cannot hold.
        col("t").eq(lit("a\0b")),
        // NULL in a list means what only the engine knows it to mean.
        col("i").eq(null.clone()),
        Expr::InList(InList::new(Box::new(col("i")), vec![lit(1_i32), null], false)),
        Expr::InList(InList::new(Box::new(col("i")), many, false)),
        // Escapes of nothing.
        like("a\\"),
        like("a\\b"),
        // Casts that lose, arithmetic that may overflow in silence, other kinds of values, other zones.
        Expr::Cast(Cast::new(Box::new(col("i")), DataType::Int16)).eq(lit(1_i16)),
        Expr::Cast(Cast::new(Box::new(col("n")), DataType::Decimal128(10, 1))).eq(lit(1_i64)),
        (col("i") + lit(1_i32)).eq(lit(2_i32)),
        col("i").eq(col("d")),
        col("ts").eq(col("tz")),
        col("t").eq(col("u")),
        col("tz").gt(micros("2026-11-21T18:00:00", None)),
        col("ts").gt(micros("+10000-01-01T00:00:00", None)),
        Expr::Column(Column::from_name("nowhere")).is_null(),
        // A whole is taken over or stays.
        col("b").and(col("f").eq(lit(1.0))),
        deep,
    ] {
        assert_eq!(taken(&expr), None, "{expr}");
    }
}
