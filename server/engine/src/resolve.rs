//! The one door from a name to a table: queries, DDL, metadata and system tables all come through here.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as DfResult};
use owlake_catalog::{CatalogStore, Table};
use owlake_dialect::passthrough_statement;
use owlake_fault::{Code, Fault};
use owlake_metering::{Ledger, Quotas};
use owlake_scan::GlueTable;
use owlake_scan::cache::{CacheStatus, ScanCaches};

use crate::authorizer::{Action, Authorizer, Resource};
use crate::config::ServerSetting;
use crate::connector::Connector;
use crate::context::QueryContext;
use crate::remote_catalogs::RemoteCatalogs;
use crate::reuse::ResultStore;
use crate::system_tables;

/// Schema that every catalog has.
pub const SYSTEM_SCHEMA: &str = "system";
/// Schema of the standard metadata views.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// Catalogs by name, and who may see what in them.
#[derive(Debug)]
pub struct Resolver {
    catalogs: BTreeMap<String, Arc<dyn CatalogStore>>,
    /// Those that are other databases.
    remote: Arc<RemoteCatalogs>,
    authorizer: Arc<dyn Authorizer>,
    ledger: Arc<Ledger>,
    caches: Arc<ScanCaches>,
    results: Option<Arc<ResultStore>>,
    quotas: Option<Arc<Quotas>>,
    server_settings: Vec<ServerSetting>,
}

impl Resolver {
    /// A door over these catalogs.
    pub fn new(
        catalogs: BTreeMap<String, Arc<dyn CatalogStore>>,
        authorizer: Arc<dyn Authorizer>,
        ledger: Arc<Ledger>,
        caches: Arc<ScanCaches>,
    ) -> Self {
        Self {
            catalogs,
            remote: Arc::default(),
            authorizer,
            ledger,
            caches,
            results: None,
            quotas: None,
            server_settings: Vec::new(),
        }
    }

    /// With the kept results that `system.caches` shows, and what `system.settings` shows of the server.
    #[must_use]
    pub(crate) fn with_server(mut self, results: Arc<ResultStore>, settings: Vec<ServerSetting>) -> Self {
        self.results = Some(results);
        self.server_settings = settings;
        self
    }

    /// What the server was configured with.
    pub(crate) fn server_settings(&self) -> &[ServerSetting] {
        &self.server_settings
    }

    /// Every cache of the process as it is now.
    pub(crate) async fn cache_status(&self) -> Vec<CacheStatus> {
        let mut all = self.caches.status().await;
        if let Some(results) = &self.results {
            all.push(results.status().await);
        }
        all
    }

    /// With catalogs that are other databases.
    #[must_use]
    pub(crate) fn with_remote(mut self, remote: RemoteCatalogs) -> Self {
        self.remote = Arc::new(remote);
        self
    }

    /// The catalogs that are other databases.
    pub(crate) fn remote(&self) -> &Arc<RemoteCatalogs> {
        &self.remote
    }

    /// The database behind a catalog, where that is another one than the lake.
    pub fn connector(&self, catalog: &str) -> Option<Arc<dyn Connector>> {
        self.remote.get(catalog).map(|found| found.connector)
    }

    /// With the quotas that `system.quota_usage` shows.
    #[must_use]
    pub(crate) fn with_quotas(mut self, quotas: Arc<Quotas>) -> Self {
        self.quotas = Some(quotas);
        self
    }

    /// The quotas, where the engine has any to show.
    pub(crate) fn quotas(&self) -> Option<&Arc<Quotas>> {
        self.quotas.as_ref()
    }

    /// Names of all catalogs, sorted.
    pub fn catalog_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.catalogs.keys().cloned().collect();
        names.extend(self.remote.names());
        names.sort_unstable();
        names
    }

    /// The store of a catalog.
    pub fn catalog(&self, name: &str) -> Result<Arc<dyn CatalogStore>, Fault> {
        let own = self.catalogs.get(name).cloned();
        let remote = || self.remote.get(name).map(|found| found.store);
        own.or_else(remote).ok_or_else(|| {
            Fault::new(Code::CatalogNotFound, format!("catalog `{name}` does not exist"))
                .with_hint(format!("Known are: {}.", self.catalog_names().join(", ")))
        })
    }

    /// Asks the authorizer.
    pub fn authorize(
        &self,
        context: &QueryContext,
        action: Action,
        resource: Resource<'_>,
    ) -> Result<(), Fault> {
        self.authorizer.check(&context.principal, action, resource)
    }

    /// The catalog row of a table, after the authorizer agreed.
    pub async fn table_row(
        &self,
        context: &QueryContext,
        action: Action,
        catalog: &str,
        database: &str,
        table: &str,
    ) -> Result<Arc<Table>, Fault> {
        self.authorize(
            context,
            action,
            Resource {
                catalog,
                database,
                table: Some(table),
            },
        )?;
        let store = self.catalog(catalog)?;
        if let Some(row) = store.table(database, table).await? {
            return Ok(row);
        }
        if store.database(database).await?.is_none() {
            return Err(Fault::new(
                Code::SchemaNotFound,
                format!("database `{database}` does not exist"),
            ));
        }
        let fault = Fault::new(
            Code::TableNotFound,
            format!("table `{database}.{table}` does not exist"),
        );
        let names = store.table_names(database).await?;
        Err(match nearest(table, &names) {
            Some(name) => fault.with_hint(format!("Did you mean `{name}`?")),
            None => fault,
        })
    }

    /// A table that can be scanned.
    pub async fn table(
        &self,
        context: &QueryContext,
        catalog: &str,
        database: &str,
        table: &str,
    ) -> Result<Arc<dyn TableProvider>, Fault> {
        let store = self.catalog(catalog)?;
        match database {
            SYSTEM_SCHEMA if passthrough_statement(table).is_some() => {
                return self.passed_through(context, catalog, table).await;
            }
            SYSTEM_SCHEMA => {
                return system_tables::system_table(self, &self.ledger, context, catalog, table).await;
            }
            INFORMATION_SCHEMA => {
                return system_tables::information_schema(self, context, catalog, table).await;
            }
            _ => {}
        }
        if let Some(connector) = self.connector(catalog) {
            // Asks the authorizer, and says what is missing.
            let row = self
                .table_row(context, Action::Read, catalog, database, table)
                .await?;
            let found = connector.table(database, table).await?;
            return found.ok_or_else(|| {
                let name = row.qualified_name();
                Fault::new(Code::TableNotFound, format!("table `{name}` does not exist"))
            });
        }
        if table.contains('$') {
            return Err(Fault::new(
                Code::NotSupported,
                format!("metadata table `{table}` is not supported yet"),
            )
            .with_hint("SHOW PARTITIONS lists registered partitions."));
        }
        let row = self
            .table_row(context, Action::Read, catalog, database, table)
            .await?;
        if row.table_type.as_deref() == Some("VIRTUAL_VIEW") {
            return Err(Fault::new(
                Code::NotSupported,
                format!("`{database}.{table}` is a view; views are not supported yet"),
            ));
        }
        Ok(Arc::new(GlueTable::try_new(catalog, row, store)?))
    }

    /// `TABLE(catalog.system.query(...))`, for whom the authorizer lets read `system.query` of the catalog.
    async fn passed_through(
        &self,
        context: &QueryContext,
        catalog: &str,
        table: &str,
    ) -> Result<Arc<dyn TableProvider>, Fault> {
        let resource = Resource {
            catalog,
            database: SYSTEM_SCHEMA,
            table: Some("query"),
        };
        self.authorize(context, Action::Read, resource)?;
        let connector = self.connector(catalog).ok_or_else(|| {
            let what = format!("catalog `{catalog}` is no other database, which system.query could ask");
            Fault::new(Code::NotSupported, what)
        })?;
        connector
            .query(passthrough_statement(table).unwrap_or_default())
            .await
    }
}

/// The name one would have typed with a slip or two.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    known
        .iter()
        .map(|k| {
            (
                datafusion::common::utils::datafusion_strsim::levenshtein(name, k),
                k,
            )
        })
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// DataFusion's view of the door for one query. Nothing is listed; tables are resolved when named.
#[derive(Debug)]
pub(crate) struct QueryCatalogs {
    pub resolver: Arc<Resolver>,
    pub context: Arc<QueryContext>,
    /// Whether tables have their hidden columns (`"$path"`): where the query names one.
    pub hidden_columns: bool,
}

impl CatalogProviderList for QueryCatalogs {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.resolver.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(QueryCatalog {
            resolver: Arc::clone(&self.resolver),
            context: Arc::clone(&self.context),
            name: name.to_owned(),
            hidden_columns: self.hidden_columns,
        }))
    }
}

#[derive(Debug)]
struct QueryCatalog {
    resolver: Arc<Resolver>,
    context: Arc<QueryContext>,
    name: String,
    hidden_columns: bool,
}

impl CatalogProvider for QueryCatalog {
    fn schema_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(QuerySchema {
            resolver: Arc::clone(&self.resolver),
            context: Arc::clone(&self.context),
            catalog: self.name.clone(),
            name: name.to_owned(),
            hidden_columns: self.hidden_columns,
        }))
    }
}

#[derive(Debug)]
struct QuerySchema {
    resolver: Arc<Resolver>,
    context: Arc<QueryContext>,
    catalog: String,
    name: String,
    hidden_columns: bool,
}

#[async_trait]
impl SchemaProvider for QuerySchema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let table = self
            .resolver
            .table(&self.context, &self.catalog, &self.name, name)
            .await
            .map_err(|fault| DataFusionError::External(Box::new(fault)))?;
        Ok(Some(match table.downcast_ref::<GlueTable>() {
            Some(glue) if self.hidden_columns => Arc::new(glue.with_hidden_columns()),
            _ => table,
        }))
    }

    fn table_exist(&self, _name: &str) -> bool {
        true
    }
}
