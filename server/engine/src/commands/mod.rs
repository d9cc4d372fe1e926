//! Catalog and session statements, run once, answered as rows or as nothing.

mod catalog;
mod database;
mod partition;
mod quota;
mod refresh;
mod show;
mod table;
mod workgroup;

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use owlake_catalog::Table;
use owlake_dialect::{CatalogCommand, Command, DatabaseName, LimitCommand, TableName};
use owlake_fault::{Code, Fault};
use owlake_metering::Quotas;
use owlake_scan::ScanContext;

use crate::authorizer::Action;
use crate::context::{QueryContext, SessionSettings};
use crate::resolve::{INFORMATION_SCHEMA, Resolver, SYSTEM_SCHEMA};
use crate::workgroups::Workgroups;

/// What a command gave back.
#[derive(Debug)]
pub(crate) struct CommandOutcome {
    /// Rows of SHOW and DESCRIBE; `None` for statements without a result set.
    pub rows: Option<RecordBatch>,
    /// Session settings to take over (USE, SET).
    pub settings: Option<SessionSettings>,
}

impl CommandOutcome {
    fn nothing() -> Self {
        Self {
            rows: None,
            settings: None,
        }
    }

    fn rows(batch: RecordBatch) -> Self {
        Self {
            rows: Some(batch),
            settings: None,
        }
    }
}

/// What commands work with.
pub(crate) struct CommandRunner {
    pub resolver: Arc<Resolver>,
    pub context: Arc<QueryContext>,
    pub scan: Arc<ScanContext>,
    pub roots: owlake_scan::location::AllowedRoots,
    pub workgroups: Arc<Workgroups>,
    pub quotas: Arc<Quotas>,
}

/// A table name with the session's catalog and database filled in.
pub(crate) struct FullName {
    pub catalog: String,
    pub database: String,
    pub table: String,
}

impl CommandRunner {
    /// Runs the command. A catalog change is durable when this returns; not cancel safe in between, so
    /// callers let it run to its end.
    pub(crate) async fn run(&self, command: Command) -> Result<CommandOutcome, Fault> {
        match command {
            Command::CreateDatabase(create) => self.create_database(create).await,
            Command::DropDatabase {
                if_exists,
                database,
                cascade,
            } => self.drop_database(&database, if_exists, cascade).await,
            Command::CreateTable(create) => self.create_table(*create).await,
            Command::DropTable { if_exists, table } => self.drop_table(&table, if_exists).await,
            Command::AddPartitions {
                table,
                if_not_exists,
                partitions,
            } => self.add_partitions(&table, partitions, if_not_exists).await,
            Command::DropPartitions {
                table,
                if_exists,
                partitions,
            } => self.drop_partitions(&table, partitions, if_exists).await,
            Command::ShowCatalogs { pattern } => self.show_catalogs(pattern.as_ref()),
            Command::ShowDatabases { pattern } => self.show_databases(pattern.as_ref()).await,
            Command::ShowTables { database, pattern } => {
                self.show_tables(database.as_ref(), pattern.as_ref()).await
            }
            Command::ShowPartitions { table } => self.show_partitions(&table).await,
            Command::ShowColumns { table } => self.show_columns(&table).await,
            Command::ShowCreateTable { table } => self.show_create_table(&table).await,
            Command::ShowTableProperties { table, property } => {
                self.show_table_properties(&table, property.as_deref()).await
            }
            Command::ShowSession { pattern } => self.show_session(pattern.as_ref()),
            Command::ShowFunctions { pattern } => show::show_functions(pattern.as_ref()),
            Command::RefreshTable { table } => self.refresh_table(&table).await,
            Command::DescribeTable(describe) => self.describe(&describe).await,
            Command::Use { database } => self.use_database(&database).await,
            Command::SetSession { name, value } => {
                let mut settings = self.context.settings.clone();
                settings.set(&name, &value)?;
                if name == "workgroup" {
                    self.workgroups.usable(&settings.workgroup)?;
                }
                Ok(CommandOutcome {
                    rows: None,
                    settings: Some(settings),
                })
            }
            Command::Limits(command) => self.limits(command).await,
            Command::Catalog(command) => self.catalogs(command).await,
            Command::ResetSession { name } => {
                let mut settings = self.context.settings.clone();
                settings.reset(&name)?;
                Ok(CommandOutcome {
                    rows: None,
                    settings: Some(settings),
                })
            }
        }
    }

    fn full_name(&self, name: &TableName) -> FullName {
        let settings = &self.context.settings;
        FullName {
            catalog: name.catalog.clone().unwrap_or_else(|| settings.catalog.clone()),
            database: name.database.clone().unwrap_or_else(|| settings.database.clone()),
            table: name.name.clone(),
        }
    }

    /// The catalog row of a table, after the authorizer agreed to `action`.
    async fn row(&self, full: &FullName, action: Action) -> Result<Arc<Table>, Fault> {
        self.resolver
            .table_row(&self.context, action, &full.catalog, &full.database, &full.table)
            .await
    }

    fn full_database(&self, name: &DatabaseName) -> (String, String) {
        let catalog = name
            .catalog
            .clone()
            .unwrap_or_else(|| self.context.settings.catalog.clone());
        (catalog, name.name.clone())
    }
}

/// `system` and `information_schema` exist in every catalog and belong to nobody.
fn refuse_reserved(database: &str) -> Result<(), Fault> {
    if matches!(database, SYSTEM_SCHEMA | INFORMATION_SCHEMA) {
        return Err(Fault::new(
            Code::InvalidArguments,
            format!("database name `{database}` is reserved"),
        ));
    }
    Ok(())
}

/// The schema of a command's rows before it has run; `None` for statements without a result set.
pub(crate) fn result_schema(command: &Command) -> Option<SchemaRef> {
    let names: &[&str] = match command {
        Command::ShowCatalogs { .. } => &["Catalog"],
        Command::ShowDatabases { .. } => &["database_name"],
        Command::ShowTables { .. } => &["tab_name"],
        Command::ShowPartitions { .. } => &["partition"],
        Command::ShowColumns { .. } => &["field"],
        Command::ShowCreateTable { .. } => &["createtab_stmt"],
        Command::ShowTableProperties { .. } => &["prpt_name", "prpt_value"],
        Command::ShowSession { .. } => &["name", "value", "default", "type", "description"],
        Command::ShowFunctions { .. } => &["function"],
        Command::Limits(LimitCommand::ShowWorkgroups) => &workgroup::WORKGROUP_COLUMNS,
        Command::Limits(LimitCommand::ShowQuotas) => &quota::QUOTA_COLUMNS,
        Command::Catalog(CatalogCommand::ShowCreate { .. }) => &catalog::SHOW_CREATE_COLUMNS,
        Command::DescribeTable(_) => &["col_name", "data_type", "comment"],
        _ => return None,
    };
    Some(Arc::new(Schema::new(
        names
            .iter()
            .map(|n| Field::new(*n, DataType::Utf8, true))
            .collect::<Vec<_>>(),
    )))
}

/// Text rows under the schema that [`result_schema`] promised.
fn text_rows<const N: usize>(names: [&str; N], rows: Vec<[Option<String>; N]>) -> Result<RecordBatch, Fault> {
    let schema = Schema::new(
        names
            .iter()
            .map(|n| Field::new(*n, DataType::Utf8, true))
            .collect::<Vec<_>>(),
    );
    let columns = (0..N)
        .map(|i| Arc::new(StringArray::from_iter(rows.iter().map(|r| r[i].as_deref()))) as ArrayRef)
        .collect();
    RecordBatch::try_new(Arc::new(schema), columns)
        .map_err(|e| Fault::new(Code::GenericInternalError, "internal error").with_source(e))
}
