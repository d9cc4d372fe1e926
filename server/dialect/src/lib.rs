//! Athena SQL in front of the planner: guard, two front parsers (Hive DDL, Trino queries), rewrites, functions.
//!
//! Knows no store, no wire protocol and no running catalog: text in, statements and plans out.

mod error;
mod pattern;
mod statement;

pub use error::DialectError;
pub use pattern::NamePattern;
pub use statement::{
    Command, CreateDatabase, CreateTable, DatabaseName, DescribeStyle, DescribeTable, ExplainFormat, ExplainKind,
    PartitionSpec, Query, SessionValue, Statement, StatementClass, TableName, TableReference,
};
