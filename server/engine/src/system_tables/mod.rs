//! `system.*` and `information_schema.*`: our own state as tables, made when a query names them.
//!
//! One file per table family; a new table is a file, a line in `SYSTEM_TABLES` and an arm in `system_table`.

mod caches;
pub(crate) mod columns;
mod information_schema;
mod ledger_table;
mod object_requests;
mod queries;
mod quota_usage;
mod remote_queries;
mod scans;
mod settings;
mod usage;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use owlake_fault::{Code, Fault};
use owlake_metering::Ledger;

use crate::authorizer::{Action, Resource};
use crate::context::QueryContext;
use crate::resolve::{INFORMATION_SCHEMA, Resolver, SYSTEM_SCHEMA};

use ledger_table::{Family, LedgerTable};

pub(crate) use information_schema::{visible_databases, visible_tables};

/// Tables of schema `system`.
pub const SYSTEM_TABLES: &[&str] = &[
    "caches",
    "object_requests",
    "queries",
    "quota_usage",
    "remote_queries",
    "scans",
    "settings",
    "usage",
];
/// Tables of schema `information_schema`.
pub const INFORMATION_TABLES: &[&str] = &["columns", "schemata", "tables"];

fn not_found(schema: &str, table: &str, known: &[&str]) -> Fault {
    Fault::new(
        Code::TableNotFound,
        format!("table `{schema}.{table}` does not exist"),
    )
    .with_hint(format!("Known are: {}.", known.join(", ")))
}

fn mem_table(batch: RecordBatch) -> Result<Arc<dyn TableProvider>, Fault> {
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(internal)?;
    Ok(Arc::new(table))
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new(Code::GenericInternalError, "internal error").with_source(error)
}

/// A table of schema `system`.
pub(crate) async fn system_table(
    resolver: &Resolver,
    ledger: &Arc<Ledger>,
    context: &QueryContext,
    catalog: &str,
    table: &str,
) -> Result<Arc<dyn TableProvider>, Fault> {
    let owner = owner(resolver, context, catalog, table);
    let of_ledger = |batch: RecordBatch, family: Arc<dyn Family>| -> Arc<dyn TableProvider> {
        let ledger = Arc::clone(ledger);
        Arc::new(LedgerTable::new(batch.schema(), family, ledger, owner.clone()))
    };
    match table {
        "caches" => mem_table(caches::batch(&resolver.cache_status().await).map_err(internal)?),
        "object_requests" => Ok(of_ledger(
            object_requests::batch(&[])?,
            Arc::new(object_requests::ObjectRequests),
        )),
        "queries" => Ok(of_ledger(
            queries::batch(&[]).map_err(internal)?,
            Arc::new(queries::Queries),
        )),
        "quota_usage" => {
            let mut uses = resolver.quotas().map(|quotas| quotas.usage()).unwrap_or_default();
            // What has no owner concerns everybody in the workgroup.
            uses.retain(|u| owner.is_none() || u.principal.is_none() || u.principal == owner);
            mem_table(quota_usage::batch(&uses).map_err(internal)?)
        }
        "remote_queries" => Ok(of_ledger(
            remote_queries::batch(&[])?,
            Arc::new(remote_queries::RemoteQueries),
        )),
        "scans" => Ok(of_ledger(scans::batch(&[])?, Arc::new(scans::Scans))),
        "settings" => mem_table(settings::batch(context, resolver.server_settings()).map_err(internal)?),
        "usage" => {
            let sums = ledger.usage(owner).await.map_err(internal)?;
            mem_table(usage::batch(&sums).map_err(internal)?)
        }
        _ => Err(not_found(SYSTEM_SCHEMA, table, SYSTEM_TABLES)),
    }
}

/// Whose rows of a table with a principal the caller sees: everybody's (`None`) where the authorizer lets it
/// read the table, else its own.
fn owner(resolver: &Resolver, context: &QueryContext, catalog: &str, table: &str) -> Option<String> {
    let resource = Resource {
        catalog,
        database: SYSTEM_SCHEMA,
        table: Some(table),
    };
    match resolver.authorize(context, Action::Read, resource) {
        Ok(()) => None,
        Err(_denied) => Some(context.principal.to_string()),
    }
}

/// A table of schema `information_schema`.
pub(crate) async fn information_schema(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
    table: &str,
) -> Result<Arc<dyn TableProvider>, Fault> {
    let batch = match table {
        "schemata" => information_schema::schemata(resolver, context, catalog).await?,
        "tables" => information_schema::tables(resolver, context, catalog).await?,
        "columns" => information_schema::columns(resolver, context, catalog).await?,
        _ => return Err(not_found(INFORMATION_SCHEMA, table, INFORMATION_TABLES)),
    };
    mem_table(batch)
}
