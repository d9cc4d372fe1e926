//! What the front parsers hand to the engine: a query, an EXPLAIN of one, or a catalog command.
//!
//! Plain data. Every name is lower case, as Athena and Glue keep them; no catalog has been asked yet.

use std::collections::BTreeMap;
use std::fmt;

use datafusion::sql::sqlparser::ast;
use owlake_catalog::Table;
use owlake_fault::Location;

use crate::catalogs::CatalogCommand;
use crate::limits::LimitCommand;
use crate::pattern::NamePattern;

/// One statement of the text.
#[derive(Debug, Clone)]
pub enum Statement {
    /// SELECT, WITH, VALUES, TABLE.
    Query(Query),
    /// EXPLAIN of a query.
    Explain {
        /// Run it and report what happened.
        analyze: bool,
        /// What to explain.
        kind: ExplainKind,
        /// How to print it; `None` when the statement does not say.
        format: Option<ExplainFormat>,
        /// The query.
        query: Query,
    },
    /// Everything that works on the catalog or the session.
    Command(Command),
}

/// Athena's `StatementType` (athena-spec 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatementClass {
    /// CREATE, DROP, ALTER.
    Ddl,
    /// Queries.
    Dml,
    /// SHOW, DESCRIBE, EXPLAIN, USE, SET.
    Utility,
}

impl Statement {
    /// The class that Athena reports for it.
    pub fn class(&self) -> StatementClass {
        match self {
            Self::Query(_) => StatementClass::Dml,
            Self::Explain { .. } => StatementClass::Utility,
            Self::Command(command) => command.class(),
        }
    }

    /// Number of `?` placeholders; commands have none.
    pub fn parameters(&self) -> usize {
        match self {
            Self::Query(query) | Self::Explain { query, .. } => query.parameters,
            Self::Command(_) => 0,
        }
    }
}

/// A query, rewritten into what the planner answers as Athena would.
#[derive(Debug, Clone)]
pub struct Query {
    /// Goes through [`crate::semantics::prepare`], then into `datafusion::sql::parser::Statement::Statement` and
    /// `SessionState::statement_to_plan` of a session that has [`crate::relation_planners`].
    /// Placeholders are `$1..$n`, names are lower case.
    pub statement: Box<ast::Statement>,
    /// Number of placeholders; values are bound by position.
    pub parameters: usize,
    /// Tables named in FROM, CTE names left out, each once, in order of first use.
    pub tables: Vec<TableReference>,
    /// Whether it names a column that tables have and do not show, such as `"$path"`; every table in it has them then.
    pub hidden_columns: bool,
    /// The query's own tokens without comments, one space apart (an EXPLAIN's head is left out).
    pub normalized_text: String,
    /// 32 hex digits over `normalized_text`, stable across releases and machines.
    pub query_hash: String,
}

/// A table named in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReference {
    /// As written, lower case; `name` may be a system name such as `t$partitions`.
    pub name: TableName,
    /// Where it is named first.
    pub location: Option<Location>,
}

/// What an EXPLAIN is about; the last two are ours (interfaces: SQL we invent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainKind {
    /// The optimized logical plan.
    Logical,
    /// The physical plan; Athena's default.
    #[default]
    Distributed,
    /// Only whether the query is valid.
    Validate,
    /// Tables and constraints as JSON.
    Io,
    /// Bytes, requests and money per table.
    Cost,
    /// Partitions per table.
    Partitions,
}

/// EXPLAIN's FORMAT option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainFormat {
    /// Indented text.
    Text,
    /// JSON.
    Json,
    /// Dot language.
    Graphviz,
}

/// `[catalog.][database.]name`; missing parts come from the session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// First of three parts.
    pub catalog: Option<String>,
    /// First of two parts.
    pub database: Option<String>,
    /// The table.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.catalog, &self.database].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        f.write_str(&self.name)
    }
}

/// `[catalog.]name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DatabaseName {
    /// First of two parts.
    pub catalog: Option<String>,
    /// The database.
    pub name: String,
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(catalog) = &self.catalog {
            write!(f, "{catalog}.")?;
        }
        f.write_str(&self.name)
    }
}

/// A statement that works on the catalog or the session.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `CREATE {DATABASE|SCHEMA} [IF NOT EXISTS] n ...`
    CreateDatabase(CreateDatabase),
    /// `DROP {DATABASE|SCHEMA} [IF EXISTS] n [RESTRICT|CASCADE]`
    DropDatabase {
        /// No error when it is missing.
        if_exists: bool,
        /// Which.
        database: DatabaseName,
        /// Drop its tables too.
        cascade: bool,
    },
    /// `CREATE EXTERNAL TABLE [IF NOT EXISTS] t ...`
    CreateTable(Box<CreateTable>),
    /// `DROP TABLE [IF EXISTS] t`
    DropTable {
        /// No error when it is missing.
        if_exists: bool,
        /// Which.
        table: TableName,
    },
    /// `ALTER TABLE t ADD [IF NOT EXISTS] PARTITION (...) [LOCATION '...'] ...`
    AddPartitions {
        /// Which table.
        table: TableName,
        /// Skip those that exist.
        if_not_exists: bool,
        /// At least one.
        partitions: Vec<PartitionSpec>,
    },
    /// `ALTER TABLE t DROP [IF EXISTS] PARTITION (...), ...`
    DropPartitions {
        /// Which table.
        table: TableName,
        /// Skip those that are missing.
        if_exists: bool,
        /// At least one; no locations.
        partitions: Vec<PartitionSpec>,
    },
    /// `SHOW CATALOGS [LIKE 'p']`
    ShowCatalogs {
        /// Names to keep.
        pattern: Option<NamePattern>,
    },
    /// `SHOW {DATABASES|SCHEMAS} [LIKE 'p']`
    ShowDatabases {
        /// Names to keep.
        pattern: Option<NamePattern>,
    },
    /// `SHOW TABLES [{IN|FROM} db] ['p']`
    ShowTables {
        /// The session's database when missing.
        database: Option<DatabaseName>,
        /// Names to keep.
        pattern: Option<NamePattern>,
    },
    /// `SHOW PARTITIONS t`
    ShowPartitions {
        /// Which table.
        table: TableName,
    },
    /// `SHOW COLUMNS {FROM|IN} t [{FROM|IN} db]`
    ShowColumns {
        /// Which table.
        table: TableName,
    },
    /// `SHOW CREATE TABLE t`
    ShowCreateTable {
        /// Which table.
        table: TableName,
    },
    /// `SHOW TBLPROPERTIES t [('k')]`
    ShowTableProperties {
        /// Which table.
        table: TableName,
        /// One key only.
        property: Option<String>,
    },
    /// `SHOW SESSION [LIKE 'p']`
    ShowSession {
        /// Names to keep.
        pattern: Option<NamePattern>,
    },
    /// `SHOW FUNCTIONS [LIKE 'p']`
    ShowFunctions {
        /// Names to keep.
        pattern: Option<NamePattern>,
    },
    /// `REFRESH TABLE t`
    RefreshTable {
        /// Which table.
        table: TableName,
    },
    /// `{DESCRIBE|DESC} [EXTENDED|FORMATTED] t [PARTITION (...)] [column]`
    DescribeTable(DescribeTable),
    /// `USE db`
    Use {
        /// Which.
        database: DatabaseName,
    },
    /// `SET SESSION name = value`, `SET name = value`
    SetSession {
        /// Lower case, may have dots. The engine knows which names exist.
        name: String,
        /// A literal.
        value: SessionValue,
    },
    /// Statements over workgroups and quotas.
    Limits(LimitCommand),
    /// Statements over catalogs of other databases.
    Catalog(CatalogCommand),
    /// `RESET SESSION name`, `RESET name`
    ResetSession {
        /// Lower case, may have dots.
        name: String,
    },
}

impl Command {
    /// The class that Athena reports for it.
    pub fn class(&self) -> StatementClass {
        match self {
            Self::CreateDatabase(_)
            | Self::DropDatabase { .. }
            | Self::CreateTable(_)
            | Self::DropTable { .. }
            | Self::AddPartitions { .. }
            | Self::DropPartitions { .. } => StatementClass::Ddl,
            Self::Limits(command) => command.class(),
            Self::Catalog(command) => command.class(),
            Self::ShowCatalogs { .. }
            | Self::ShowDatabases { .. }
            | Self::ShowTables { .. }
            | Self::ShowPartitions { .. }
            | Self::ShowColumns { .. }
            | Self::ShowCreateTable { .. }
            | Self::ShowTableProperties { .. }
            | Self::ShowSession { .. }
            | Self::ShowFunctions { .. }
            | Self::RefreshTable { .. }
            | Self::DescribeTable(_)
            | Self::Use { .. }
            | Self::SetSession { .. }
            | Self::ResetSession { .. } => StatementClass::Utility,
        }
    }
}

/// CREATE DATABASE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDatabase {
    /// No error when it exists.
    pub if_not_exists: bool,
    /// Its name.
    pub database: DatabaseName,
    /// COMMENT, Glue's Description.
    pub comment: Option<String>,
    /// LOCATION, not checked here.
    pub location: Option<String>,
    /// DBPROPERTIES.
    pub properties: BTreeMap<String, String>,
}

/// CREATE EXTERNAL TABLE, already in Glue's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// No error when it exists.
    pub if_not_exists: bool,
    /// First of three name parts.
    pub catalog: Option<String>,
    /// The definition. `database_name` is empty when the statement names none; LOCATION is as written.
    pub table: Table,
    /// Whether a column list was written; without one the schema has to come from the SerDe or the files.
    pub columns_declared: bool,
}

/// `PARTITION (k = 'v', ...) [LOCATION '...']`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Lower-case column and the value's text, in the order written.
    pub values: Vec<(String, String)>,
    /// Only after ADD.
    pub location: Option<String>,
}

/// DESCRIBE of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeTable {
    /// Which table.
    pub table: TableName,
    /// How much.
    pub style: DescribeStyle,
    /// One partition.
    pub partition: Option<PartitionSpec>,
    /// One column, or a path into a nested one.
    pub column: Vec<String>,
}

/// How much DESCRIBE shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DescribeStyle {
    /// Columns.
    #[default]
    Columns,
    /// Columns and one line with everything else.
    Extended,
    /// Columns and a readable list of everything else.
    Formatted,
}

/// The literal of a SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionValue {
    /// `'text'`, or a bare word.
    Text(String),
    /// Number as written, sign included.
    Number(String),
    /// TRUE, FALSE.
    Boolean(bool),
}

impl fmt::Display for SessionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Number(text) => f.write_str(text),
            Self::Boolean(value) => write!(f, "{value}"),
        }
    }
}
