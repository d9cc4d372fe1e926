//! A database as the engine's connector: lower-case names, tables to be scanned.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use owlake_engine::{Connector, RemoteRelation};
use owlake_fault::Fault;

use super::catalog::{RelationKind, RemoteTable};
use super::config::PostgresConfig;
use super::connection::Spawner;
use super::database::Database;
use super::plan;
use super::table::PostgresTable;
use crate::secret::SecretSource;

/// A catalog over a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresConnector(Arc<Database>);

impl PostgresConnector {
    /// Names by which configurations ask for it.
    pub const NAMES: [&'static str; 2] = ["postgresql", "postgres"];

    /// Under the name `catalog`. Nothing connects yet.
    ///
    /// # Errors
    /// Properties that are missing, unknown or wrong.
    pub fn open(
        catalog: &str,
        properties: &BTreeMap<String, String>,
        secrets: Arc<dyn SecretSource>,
        spawner: Spawner,
    ) -> Result<Self, Fault> {
        let config = PostgresConfig::from_properties(properties);
        let config = config.map_err(|error| error.into_fault(catalog))?;
        Ok(Self(Arc::new(Database::new(catalog, config, secrets, spawner)?)))
    }

    /// The database behind it.
    pub fn database(&self) -> &Arc<Database> {
        &self.0
    }
}

fn relation(table: &RemoteTable) -> RemoteRelation {
    RemoteRelation {
        name: table.name.to_lowercase(),
        is_view: matches!(table.kind, RelationKind::View | RelationKind::MaterializedView),
        schema: Arc::clone(table.schema()),
    }
}

#[async_trait]
impl Connector for PostgresConnector {
    fn connector_name(&self) -> &'static str {
        Self::NAMES[0]
    }

    fn properties(&self) -> Vec<(String, String)> {
        self.0.config().shown().to_vec()
    }

    async fn databases(&self) -> Result<Vec<String>, Fault> {
        let schemas = self.0.schemas().await?;
        let mut names: Vec<String> = schemas.iter().map(|name| name.to_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn relations(&self, database: &str) -> Result<Option<Vec<RemoteRelation>>, Fault> {
        if self.0.schema(database).await?.is_none() {
            return Ok(None);
        }
        let tables = self.0.relations(database).await?;
        let mut relations: Vec<RemoteRelation> = tables.iter().map(|table| relation(table)).collect();
        relations.sort_by(|a, b| a.name.cmp(&b.name));
        relations.dedup_by(|a, b| a.name == b.name);
        Ok(Some(relations))
    }

    async fn relation(&self, database: &str, name: &str) -> Result<Option<RemoteRelation>, Fault> {
        Ok(self.0.table(database, name).await?.map(|table| relation(&table)))
    }

    async fn table(&self, database: &str, name: &str) -> Result<Option<Arc<dyn TableProvider>>, Fault> {
        let found = self.0.table(database, name).await?;
        Ok(found.map(|table| Arc::new(PostgresTable::new(Arc::clone(&self.0), table)) as _))
    }

    async fn query(&self, statement: &str) -> Result<Arc<dyn TableProvider>, Fault> {
        let described = self.0.query(statement).await?;
        Ok(Arc::new(PostgresTable::new(Arc::clone(&self.0), described)))
    }

    fn compute(&self, plan: &LogicalPlan) -> Option<Arc<dyn TableProvider>> {
        let query = plan::query(&self.0, plan)?;
        Some(Arc::new(PostgresTable::new(Arc::clone(&self.0), Arc::new(query))))
    }

    fn refresh(&self) {
        self.0.refresh();
    }
}
