//! Athena SQL in front of the planner: guard, two front parsers (Hive DDL, Trino queries), rewrites, functions.
//!
//! Knows no store, no wire protocol and no running catalog: text in, statements and plans out.

mod catalogs;
mod ddl;
mod decorrelate;
pub mod functions;
pub mod semantics;

mod error;
mod guard;
mod limits;
mod parse;
mod pattern;
mod query;
mod statement;

pub use catalogs::{CatalogCommand, CatalogProperties};
pub use ddl::masked;
pub use decorrelate::decorrelate;
pub use error::DialectError;
pub use guard::GuardLimits;
pub use limits::{CreateQuota, LimitCommand, Properties, QuotaUnit};
pub use parse::parse;
pub use pattern::NamePattern;
pub use query::{passthrough_statement, relation_planners, shown_name, shown_text};
pub use statement::{
    Command, CreateDatabase, CreateTable, DatabaseName, DescribeStyle, DescribeTable, ExplainFormat,
    ExplainKind, PartitionSpec, Query, SessionValue, Statement, StatementClass, TableName, TableReference,
};

#[cfg(test)]
#[allow(clippy::too_many_lines, reason = "tables of cases")]
mod tests;
