//! `system.*` and `information_schema.*`: our own state as tables, made when a query names them.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Int32Builder, MapBuilder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder, UInt64Builder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use owlake_catalog::HiveType;
use owlake_fault::{Code, Fault};
use owlake_metering::{Counter, Ledger, LedgerFilter, QueryRecord};

use crate::authorizer::{Action, Resource};
use crate::context::QueryContext;
use crate::resolve::{INFORMATION_SCHEMA, Resolver, SYSTEM_SCHEMA};
use crate::settings::SETTINGS;

/// Tables of schema `system`.
pub const SYSTEM_TABLES: &[&str] = &["queries", "settings"];
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
    ledger: &Ledger,
    context: &QueryContext,
    table: &str,
) -> Result<Arc<dyn TableProvider>, Fault> {
    match table {
        "queries" => {
            let records = ledger.queries(LedgerFilter::default()).await.map_err(internal)?;
            mem_table(queries_batch(&records).map_err(internal)?)
        }
        "settings" => mem_table(settings_batch(context).map_err(internal)?),
        _ => Err(not_found(SYSTEM_SCHEMA, table, SYSTEM_TABLES)),
    }
}

type Column<'a> = (&'static str, Box<dyn Fn(&QueryRecord) -> Cell + 'a>);

/// One value of `system.queries`.
enum Cell {
    Text(Option<String>),
    Count(Option<u64>),
    Money(i128),
    Time(Option<i64>),
    Flag(bool),
    Tags(Vec<(String, String)>),
}

fn text(value: impl Into<String>) -> Cell {
    Cell::Text(Some(value.into()))
}

fn count(value: u64) -> Cell {
    Cell::Count(Some(value))
}

fn millis(duration: std::time::Duration) -> Cell {
    count(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The columns, in the order of the documentation.
fn query_columns<'a>() -> Vec<Column<'a>> {
    let mut columns: Vec<Column<'a>> = vec![
        ("query_id", Box::new(|r| text(&r.receipt.query_id))),
        ("query", Box::new(|r| text(&r.query))),
        ("query_hash", Box::new(|r| text(&r.query_hash))),
        (
            "statement_type",
            Box::new(|r| text(r.receipt.statement_type.as_str())),
        ),
        ("state", Box::new(|r| text(r.receipt.state.as_str()))),
        (
            "error_code",
            Box::new(|r| Cell::Text(r.receipt.error_code.clone())),
        ),
        (
            "error_message",
            Box::new(|r| Cell::Text(r.receipt.error_message.clone())),
        ),
        (
            "submitted_at",
            Box::new(|r| Cell::Time(Some(r.receipt.submitted_at.timestamp_millis()))),
        ),
        (
            "started_at",
            Box::new(|r| Cell::Time(r.started_at.map(|t| t.timestamp_millis()))),
        ),
        (
            "finished_at",
            Box::new(|r| Cell::Time(r.finished_at.map(|t| t.timestamp_millis()))),
        ),
        ("queued_ms", Box::new(|r| millis(r.receipt.queue_time))),
        ("planning_ms", Box::new(|r| millis(r.receipt.planning_time))),
        ("execution_ms", Box::new(|r| millis(r.receipt.execution_time))),
        ("total_ms", Box::new(|r| millis(r.receipt.total_time))),
        ("principal", Box::new(|r| text(&r.principal))),
        ("workgroup", Box::new(|r| text(&r.receipt.workgroup))),
        ("source", Box::new(|r| Cell::Text(r.source.clone()))),
        (
            "tags",
            Box::new(|r| Cell::Tags(r.tags.iter().map(|(k, v)| (k.clone(), v.clone())).collect())),
        ),
        ("catalog", Box::new(|r| text(&r.catalog))),
        ("database", Box::new(|r| text(&r.database))),
        ("rows_returned", Box::new(|r| count(r.receipt.rows_returned))),
        ("bytes_returned", Box::new(|r| count(r.receipt.bytes_returned))),
    ];
    for counter in Counter::ALL {
        columns.push((
            counter.as_str(),
            Box::new(|r| count(r.receipt.counters.get(*counter))),
        ));
    }
    columns.extend::<Vec<Column<'a>>>(vec![
        ("billed_bytes", Box::new(|r| count(r.receipt.billed_bytes))),
        ("glue_requests", Box::new(|r| count(r.glue_requests))),
        ("cost_usd", Box::new(|r| Cell::Money(r.receipt.cost_usd.pico()))),
        (
            "athena_cost_usd",
            Box::new(|r| Cell::Money(r.receipt.athena_cost_usd.pico())),
        ),
        ("price_plan", Box::new(|r| text(&r.receipt.price_plan))),
        (
            "timing_dependent",
            Box::new(|r| Cell::Flag(r.receipt.timing_dependent)),
        ),
        (
            "max_data_scanned_bytes",
            Box::new(|r| Cell::Count(r.receipt.max_data_scanned_bytes)),
        ),
        (
            "peak_memory_bytes",
            Box::new(|r| count(r.receipt.peak_memory_bytes)),
        ),
        ("spilled_bytes", Box::new(|r| count(r.receipt.spilled_bytes))),
        ("trace_id", Box::new(|r| Cell::Text(r.trace_id.clone()))),
        ("server_version", Box::new(|r| text(&r.receipt.server_version))),
    ]);
    columns
}

fn queries_batch(records: &[QueryRecord]) -> Result<RecordBatch, datafusion::arrow::error::ArrowError> {
    let blank = QueryRecord::new(
        owlake_metering::Receipt::new(
            "",
            owlake_metering::StatementType::Dml,
            chrono::DateTime::UNIX_EPOCH,
        ),
        "",
    );
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, value) in query_columns() {
        let array = cells_to_array(&value(&blank), records.iter().map(value))?;
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// Builds one column; `sample` decides its type, so that an empty ledger has the same schema.
fn cells_to_array(
    sample: &Cell,
    cells: impl Iterator<Item = Cell>,
) -> Result<ArrayRef, datafusion::arrow::error::ArrowError> {
    Ok(match sample {
        Cell::Text(_) => {
            let mut builder = StringBuilder::new();
            cells.for_each(|c| builder.append_option(if let Cell::Text(v) = c { v } else { None }));
            Arc::new(builder.finish())
        }
        Cell::Count(_) => {
            let mut builder = UInt64Builder::new();
            cells.for_each(|c| builder.append_option(if let Cell::Count(v) = c { v } else { None }));
            // Trino has no unsigned types: bigint holds every count there is.
            datafusion::arrow::compute::cast(&builder.finish(), &DataType::Int64)?
        }
        Cell::Money(_) => {
            let mut builder = Decimal128Builder::new();
            cells.for_each(|c| builder.append_option(if let Cell::Money(v) = c { Some(v) } else { None }));
            Arc::new(builder.finish().with_precision_and_scale(38, 12)?)
        }
        Cell::Time(_) => {
            let mut builder = TimestampMillisecondBuilder::new();
            cells.for_each(|c| builder.append_option(if let Cell::Time(v) = c { v } else { None }));
            Arc::new(builder.finish())
        }
        Cell::Flag(_) => {
            let mut builder = BooleanBuilder::new();
            cells.for_each(|c| builder.append_option(if let Cell::Flag(v) = c { Some(v) } else { None }));
            Arc::new(builder.finish())
        }
        Cell::Tags(_) => {
            let mut builder = MapBuilder::new(
                Some(datafusion::arrow::array::MapFieldNames {
                    entry: "entries".to_owned(),
                    key: "key".to_owned(),
                    value: "value".to_owned(),
                }),
                StringBuilder::new(),
                StringBuilder::new(),
            );
            for cell in cells {
                if let Cell::Tags(tags) = cell {
                    for (key, value) in tags {
                        builder.keys().append_value(key);
                        builder.values().append_value(value);
                    }
                }
                builder.append(true)?;
            }
            Arc::new(builder.finish())
        }
    })
}

fn settings_batch(context: &QueryContext) -> Result<RecordBatch, datafusion::arrow::error::ArrowError> {
    let fresh = crate::context::SessionSettings::default();
    let column = |f: &dyn Fn(&crate::settings::SettingInfo) -> String| -> ArrayRef {
        Arc::new(datafusion::arrow::array::StringArray::from_iter_values(
            SETTINGS.iter().map(f),
        ))
    };
    RecordBatch::try_from_iter([
        ("name", column(&|s| s.name.to_owned())),
        (
            "value",
            column(&|s| context.settings.get(s.name).unwrap_or_default()),
        ),
        ("default", column(&|s| fresh.get(s.name).unwrap_or_default())),
        ("description", column(&|s| s.description.to_owned())),
    ])
}

/// A table of schema `information_schema`.
pub(crate) async fn information_schema(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
    table: &str,
) -> Result<Arc<dyn TableProvider>, Fault> {
    let batch = match table {
        "schemata" => schemata(resolver, context, catalog).await?,
        "tables" => tables(resolver, context, catalog).await?,
        "columns" => columns(resolver, context, catalog).await?,
        _ => return Err(not_found(INFORMATION_SCHEMA, table, INFORMATION_TABLES)),
    };
    mem_table(batch)
}

/// Databases of a catalog that the principal may see.
pub(crate) async fn visible_databases(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
) -> Result<Vec<String>, Fault> {
    let all = resolver.catalog(catalog)?.databases().await?;
    Ok(all
        .iter()
        .filter(|d| {
            let resource = Resource {
                catalog,
                database: &d.name,
                table: None,
            };
            resolver.authorize(context, Action::Read, resource).is_ok()
        })
        .map(|d| d.name.clone())
        .collect())
}

/// Tables of a database that the principal may see.
pub(crate) async fn visible_tables(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
    database: &str,
) -> Result<Vec<Arc<owlake_catalog::Table>>, Fault> {
    let all = resolver.catalog(catalog)?.tables(database).await?;
    Ok(all
        .into_iter()
        .filter(|t| {
            let resource = Resource {
                catalog,
                database,
                table: Some(&t.name),
            };
            resolver.authorize(context, Action::Read, resource).is_ok()
        })
        .collect())
}

async fn schemata(resolver: &Resolver, context: &QueryContext, catalog: &str) -> Result<RecordBatch, Fault> {
    let (mut catalogs, mut names) = (StringBuilder::new(), StringBuilder::new());
    let databases = visible_databases(resolver, context, catalog).await?;
    let system = [INFORMATION_SCHEMA.to_owned(), SYSTEM_SCHEMA.to_owned()];
    for name in databases.iter().chain(&system) {
        catalogs.append_value(catalog);
        names.append_value(name);
    }
    RecordBatch::try_from_iter_with_nullable([
        ("catalog_name", Arc::new(catalogs.finish()) as ArrayRef, true),
        ("schema_name", Arc::new(names.finish()) as ArrayRef, true),
    ])
    .map_err(internal)
}

async fn tables(resolver: &Resolver, context: &QueryContext, catalog: &str) -> Result<RecordBatch, Fault> {
    let mut builders: [StringBuilder; 4] = Default::default();
    for database in visible_databases(resolver, context, catalog).await? {
        for table in visible_tables(resolver, context, catalog, &database).await? {
            let kind = if table.table_type.as_deref() == Some("VIRTUAL_VIEW") {
                "VIEW"
            } else {
                "BASE TABLE"
            };
            for (builder, value) in builders.iter_mut().zip([catalog, &database, &table.name, kind]) {
                builder.append_value(value);
            }
        }
    }
    let [a, b, c, d] = builders.map(|mut b| Arc::new(b.finish()) as ArrayRef);
    RecordBatch::try_from_iter_with_nullable([
        ("table_catalog", a, true),
        ("table_schema", b, true),
        ("table_name", c, true),
        ("table_type", d, true),
    ])
    .map_err(internal)
}

async fn columns(resolver: &Resolver, context: &QueryContext, catalog: &str) -> Result<RecordBatch, Fault> {
    let mut texts: [StringBuilder; 6] = Default::default();
    let (mut positions, mut comments) = (Int32Builder::new(), StringBuilder::new());
    for database in visible_databases(resolver, context, catalog).await? {
        for table in visible_tables(resolver, context, catalog, &database).await? {
            let all = table
                .storage_descriptor
                .columns
                .iter()
                .chain(&table.partition_keys);
            for (index, column) in all.enumerate() {
                let data_type = HiveType::parse(&column.data_type)
                    .map_or_else(|_unreadable| column.data_type.clone(), |t| t.trino_name());
                let row = [catalog, &database, &table.name, &column.name, &data_type, "YES"];
                for (builder, value) in texts.iter_mut().zip(row) {
                    builder.append_value(value);
                }
                positions.append_value(i32::try_from(index + 1).unwrap_or(i32::MAX));
                comments.append_option(column.comment.as_deref());
            }
        }
    }
    let [a, b, c, d, e, f] = texts.map(|mut b| Arc::new(b.finish()) as ArrayRef);
    RecordBatch::try_from_iter_with_nullable([
        ("table_catalog", a, true),
        ("table_schema", b, true),
        ("table_name", c, true),
        ("column_name", d, true),
        ("ordinal_position", Arc::new(positions.finish()) as ArrayRef, true),
        ("is_nullable", f, true),
        ("data_type", e, true),
        ("comment", Arc::new(comments.finish()) as ArrayRef, true),
    ])
    .map_err(internal)
}
