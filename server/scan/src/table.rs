//! A Glue table as a DataFusion `TableProvider`: filters become partitions, partitions become files,
//! files become a scan of their format.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::{StreamExt, TryStreamExt};
use owlake_catalog::projection::ProjectionSpec;
use owlake_catalog::{CatalogStore, HiveType, Table};

use crate::context::{ScanContext, ScanNode};
use crate::error::ScanError;
use crate::format::scan::ListedRows;
use crate::format::{RowFormat, TableFormat};
use crate::listing::{ListedFile, Listing};
use crate::location::StoreId;
use crate::parquet_scan::footer::footer;
use crate::parquet_scan::plan::{OpenedFile, SCAN_URL, ScanShape, build};
use crate::parquet_scan::schema::engine_type;
use crate::partitions::{Registered, SelectedPartition, Selection, select};
use crate::pruning::{has_subquery, is_partition_filter};
use crate::range_source::RangeSource;

/// One version of one Glue table. Built per query; holds no I/O resources.
#[derive(Debug)]
pub struct GlueTable {
    catalog: String,
    table: Arc<Table>,
    store: Arc<dyn CatalogStore>,
    schema: TableSchema,
    projection: Option<ProjectionSpec>,
    format: TableFormat,
    detached: Option<Detached>,
}

/// What scans in a foreign session work with.
#[derive(Debug)]
struct Detached {
    context: Arc<ScanContext>,
    clock: fn() -> DateTime<Utc>,
}

/// The schema of a table as queries see it: data columns, then partition columns, all nullable.
///
/// Strings and binaries are views here; the wire carries plain ones.
pub fn table_schema(table: &Table) -> Result<TableSchema, ScanError> {
    let field = |column: &owlake_catalog::Column| -> Result<Field, ScanError> {
        let hive = HiveType::parse(&column.data_type)?;
        Ok(Field::new(&column.name, engine_type(&hive.to_arrow()), true))
    };
    let data = table
        .storage_descriptor
        .columns
        .iter()
        .map(field)
        .collect::<Result<Vec<_>, _>>()?;
    let keys = table
        .partition_keys
        .iter()
        .map(|c| field(c).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(TableSchema::builder(Arc::new(Schema::new(data)))
        .with_table_partition_cols(keys)
        .build())
}

impl GlueTable {
    /// Checks format, types and projection properties; no I/O.
    pub fn try_new(
        catalog: impl Into<String>,
        table: Arc<Table>,
        store: Arc<dyn CatalogStore>,
    ) -> Result<Self, ScanError> {
        let format = TableFormat::of(&table)?;
        let schema = table_schema(&table)?;
        let projection = ProjectionSpec::parse(&table)?;
        Ok(Self {
            catalog: catalog.into(),
            table,
            store,
            schema,
            projection,
            format,
            detached: None,
        })
    }

    /// The same table for a session that is not the engine's: scans use `context` with the `now` that `clock` gives
    /// each of them, and name a store that every DataFusion session knows (nothing is read through it).
    #[must_use]
    pub fn detached(mut self, context: Arc<ScanContext>, clock: fn() -> DateTime<Utc>) -> Self {
        self.detached = Some(Detached { context, clock });
        self
    }

    fn partition_names(&self) -> Vec<String> {
        self.table.partition_keys.iter().map(|c| c.name.clone()).collect()
    }

    fn partition_fields(&self) -> Vec<FieldRef> {
        self.schema.table_partition_cols().iter().cloned().collect()
    }

    /// File columns that the projection or the filters name.
    fn referenced(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> Vec<usize> {
        let file_columns = self.schema.file_schema().fields().len();
        let mut referenced: Vec<usize> = match projection {
            Some(indices) => indices.iter().copied().filter(|i| *i < file_columns).collect(),
            None => (0..file_columns).collect(),
        };
        for filter in filters {
            for column in filter.column_refs() {
                if let Ok(index) = self.schema.file_schema().index_of(&column.name) {
                    referenced.push(index);
                }
            }
        }
        referenced.sort_unstable();
        referenced.dedup();
        referenced
    }

    /// The listed files of all partitions with the format of each.
    fn row_files(
        &self,
        context: &Arc<ScanContext>,
        node: &Arc<ScanNode>,
        format: &Arc<RowFormat>,
        listed: Vec<(SelectedPartition, Arc<Listing>)>,
    ) -> Result<Vec<ListedRows>> {
        let mut files = Vec::new();
        for (partition, listing) in listed {
            let registered = partition.registered.clone();
            let format = match registered.as_ref().and_then(Registered::get) {
                Some(row) => format.of_partition(&self.table, row)?,
                None => Arc::clone(format),
            };
            for (listed, source, partition_values) in sources(context, node, vec![(partition, listing)])? {
                files.push(ListedRows {
                    listed,
                    source,
                    format: Arc::clone(&format),
                    partition_values,
                });
            }
        }
        Ok(files)
    }

    fn projected_schema(&self, projection: Option<&Vec<usize>>) -> Result<SchemaRef> {
        let full = self.schema.table_schema();
        Ok(match projection {
            Some(indices) => Arc::new(full.project(indices)?),
            None => Arc::clone(full),
        })
    }
}

#[async_trait]
impl TableProvider for GlueTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let partition_columns = self.partition_names();
        Ok(filters
            .iter()
            .map(|filter| {
                if has_subquery(filter) {
                    TableProviderFilterPushDown::Unsupported
                } else if is_partition_filter(filter, &partition_columns) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let context = ScanContext::of(session)
            .or_else(|| {
                self.detached
                    .as_ref()
                    .map(|d| Arc::new(d.context.renewed((d.clock)())))
            })
            .ok_or_else(|| DataFusionError::Internal("a scan outside a query of the engine".to_owned()))?;
        let names = self.partition_names();
        let (partition_filters, data_filters): (Vec<Expr>, Vec<Expr>) = filters
            .iter()
            .cloned()
            .partition(|f| is_partition_filter(f, &names));
        let Selection { partitions, total } = select(
            &context,
            session,
            &self.table,
            self.projection.as_ref(),
            self.store.as_ref(),
            &self.partition_fields(),
            &partition_filters,
        )
        .await?;
        let partitions_read = partitions.len() as u64;
        let listed = list_all(&context, partitions).await?;
        let files_total: usize = listed.iter().map(|(_, listing)| listing.files.len()).sum();
        if files_total > context.config.max_files {
            return Err(ScanError::TooManyFiles {
                table: self.table.qualified_name(),
                files: files_total,
                limit: context.config.max_files,
            }
            .into());
        }
        let node = Arc::new(ScanNode::new(
            self.catalog.clone(),
            self.table.database_name.clone(),
            self.table.name.clone(),
            names,
            total,
            partitions_read,
            files_total as u64,
            listed.iter().map(|(_, listing)| Arc::clone(listing)).collect(),
        ));
        context.register(Arc::clone(&node));
        if files_total == 0 {
            return Ok(Arc::new(EmptyExec::new(self.projected_schema(projection)?)));
        }
        let remote = listed
            .iter()
            .any(|(p, _)| !matches!(p.location.store, StoreId::File));
        let limit = limit.filter(|_| data_filters.is_empty());
        let shape = ScanShape {
            table: Arc::from(self.table.qualified_name()),
            table_schema: self.schema.clone(),
            projection: projection.map(Vec::as_slice),
            referenced: self.referenced(projection, &data_filters),
            limit,
            remote,
            url: if self.detached.is_some() {
                "file://"
            } else {
                SCAN_URL
            },
        };
        match &self.format {
            TableFormat::Parquet => {
                let files = open_all(&context, &node, listed, limit).await?;
                build(session, &context, &node, &shape, files)
            }
            TableFormat::Rows(format) => {
                let files = self.row_files(&context, &node, format, listed)?;
                crate::format::scan::build(session, &context, &node, &shape, files)
            }
        }
    }
}

/// Lists every partition's prefix, many at a time, keeping the order.
async fn list_all(
    context: &Arc<ScanContext>,
    partitions: Vec<SelectedPartition>,
) -> Result<Vec<(SelectedPartition, Arc<Listing>)>> {
    // Two partitions may share a location; its files then belong to both, listed once.
    futures::stream::iter(partitions)
        .map(|partition| {
            let context = Arc::clone(context);
            async move {
                let listing = crate::listing::list(&context, &partition.location).await?;
                Ok::<_, DataFusionError>((partition, listing))
            }
        })
        .buffered(context.config.list_parallelism)
        .try_collect()
        .await
}

/// The listed files of all partitions in order, ready to be read.
fn sources(
    context: &Arc<ScanContext>,
    node: &Arc<ScanNode>,
    listed: Vec<(SelectedPartition, Arc<Listing>)>,
) -> Result<Vec<(ListedFile, RangeSource, Vec<ScalarValue>)>> {
    let table: Arc<str> = Arc::from(node.qualified_name());
    let mut sources = Vec::new();
    for (partition, listing) in listed {
        let store = context.stores.open(&partition.location)?;
        for file in listing.files.iter() {
            let source = RangeSource::new(
                Arc::clone(&store),
                file.meta.location.clone(),
                file.version.clone(),
                Arc::clone(&table),
                Arc::clone(&context.in_flight),
                context.config.coalesce_gap_bytes,
            );
            sources.push((file.clone(), source, partition.values.clone()));
        }
    }
    Ok(sources)
}

/// Reads the footers of all files, or of as many as a bare LIMIT needs.
async fn open_all(
    context: &Arc<ScanContext>,
    node: &Arc<ScanNode>,
    listed: Vec<(SelectedPartition, Arc<Listing>)>,
    limit: Option<usize>,
) -> Result<Vec<OpenedFile>> {
    let to_open = sources(context, node, listed)?;
    // With a bare LIMIT the first files usually hold enough rows: look at few at a time, in order,
    // and stop by their row counts, so that what is read depends on the data alone.
    let parallelism = if limit.is_some() {
        4
    } else {
        context.config.footer_parallelism
    };
    let mut opened = Vec::with_capacity(to_open.len());
    let mut rows = 0_u64;
    let mut waves = to_open.into_iter().peekable();
    while waves.peek().is_some() {
        let take = if limit.is_some() { parallelism } else { usize::MAX };
        let wave: Vec<_> = waves.by_ref().take(take).collect();
        let files: Vec<OpenedFile> = futures::stream::iter(wave)
            .map(|(listed, source, partition_values)| {
                let context = Arc::clone(context);
                let node = Arc::clone(node);
                async move {
                    let (footer, cached) = footer(&context, &source).await?;
                    node.count_footer(&context.meter, source.version(), footer.stored_bytes, cached);
                    if !cached {
                        node.proved_current(source.version());
                    }
                    Ok::<_, ScanError>(OpenedFile {
                        listed,
                        source,
                        footer,
                        partition_values,
                    })
                }
            })
            .buffered(parallelism)
            .try_collect()
            .await?;
        for file in files {
            let metadata = &file.footer.metadata;
            rows += u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
            node.row_groups_total.fetch_add(
                metadata.num_row_groups() as u64,
                std::sync::atomic::Ordering::Relaxed,
            );
            opened.push(file);
        }
        if limit.is_some_and(|limit| rows >= limit as u64) {
            break;
        }
    }
    Ok(opened)
}
