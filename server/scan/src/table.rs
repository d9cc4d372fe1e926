//! A Glue table as a DataFusion `TableProvider`: filters become partitions, partitions become files,
//! files become a scan of their format.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
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
use crate::files::{self, ChosenFile, SmallFiles};
use crate::format::scan::ListedRows;
use crate::format::{RowFormat, TableFormat, check_parquet_partition};
use crate::identity::ScanIdentity;
use crate::listing::Listing;
use crate::location::StoreId;
use crate::parquet_scan::plan::{OpenedFile, SCAN_URL, ScanShape, build};
use crate::parquet_scan::schema::engine_type;
use crate::partitions::{PartitionFilter, Registered, SelectedPartition, Selection, select};
use crate::pruning::{has_subquery, is_partition_filter};

/// SerDe property: columns by position instead of by name.
const INDEX_ACCESS: &str = "parquet.column.index.access";

/// One version of one Glue table. Built per query; holds no I/O resources.
#[derive(Debug, Clone)]
pub struct GlueTable {
    catalog: String,
    table: Arc<Table>,
    store: Arc<dyn CatalogStore>,
    schema: TableSchema,
    projection: Option<ProjectionSpec>,
    format: TableFormat,
    detached: Option<Detached>,
    hidden_columns: bool,
}

/// What scans in a foreign session work with.
#[derive(Debug, Clone)]
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
            hidden_columns: false,
        })
    }

    /// The same table for a session that is not the engine's: scans use `context` with the `now` that `clock` gives
    /// each of them, and name a store that every DataFusion session knows (nothing is read through it).
    #[must_use]
    pub fn detached(mut self, context: Arc<ScanContext>, clock: fn() -> DateTime<Utc>) -> Self {
        self.detached = Some(Detached { context, clock });
        self
    }

    /// The same table with its hidden columns (`"$path"` and the like) after all others.
    #[must_use]
    pub fn with_hidden_columns(&self) -> Self {
        let keys = self.schema.table_partition_cols().iter().cloned();
        let schema = TableSchema::builder(Arc::clone(self.schema.file_schema()))
            .with_table_partition_cols(keys.chain(files::hidden_fields()).collect::<Vec<_>>())
            .build();
        Self {
            schema,
            hidden_columns: true,
            ..self.clone()
        }
    }

    /// The names of the file columns, where the files' columns go by position.
    fn by_index(&self) -> Option<Arc<Vec<String>>> {
        let serde = self.table.storage_descriptor.serde_info.as_ref()?;
        let by_index = serde.parameters.get(INDEX_ACCESS)?.eq_ignore_ascii_case("true");
        let names = || {
            let fields = self.schema.file_schema().fields().iter();
            fields.map(|f| f.name().clone()).collect()
        };
        by_index.then(|| Arc::new(names()))
    }

    fn partition_names(&self) -> Vec<String> {
        self.table.partition_keys.iter().map(|c| c.name.clone()).collect()
    }

    fn partition_fields(&self) -> Vec<FieldRef> {
        let keys = self.table.partition_keys.len();
        self.schema
            .table_partition_cols()
            .iter()
            .take(keys)
            .cloned()
            .collect()
    }

    /// Names of all columns that have one value per file: partition columns and hidden ones.
    fn file_constants(&self) -> Vec<String> {
        self.schema
            .table_partition_cols()
            .iter()
            .map(|f| f.name().clone())
            .collect()
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

    /// The chosen files with the format of each.
    fn row_files(
        &self,
        context: &Arc<ScanContext>,
        node: &Arc<ScanNode>,
        format: &Arc<RowFormat>,
        chosen: Vec<ChosenFile>,
    ) -> Result<Vec<ListedRows>> {
        let mut files = Vec::new();
        // The files of a partition stand together: its format is made once.
        let mut last: Option<(Registered, Arc<RowFormat>)> = None;
        for file in files::sources(context, node, chosen)? {
            let format = match (&file.registered, &last) {
                (None, _) => Arc::clone(format),
                (Some(registered), Some((same, made))) if registered.is(same) => Arc::clone(made),
                (Some(registered), _) => {
                    let made = match registered.get() {
                        Some(row) => format.of_partition(&self.table, row)?,
                        None => Arc::clone(format),
                    };
                    last = Some((registered.clone(), Arc::clone(&made)));
                    made
                }
            };
            files.push(ListedRows {
                listed: file.listed,
                source: file.source,
                format,
                partition_values: file.values,
            });
        }
        Ok(files)
    }

    /// The chosen files with their footers.
    async fn opened(
        &self,
        context: &Arc<ScanContext>,
        node: &Arc<ScanNode>,
        chosen: Vec<ChosenFile>,
        shape: &ScanShape<'_>,
    ) -> Result<Vec<OpenedFile>> {
        let mut checked: Option<&Registered> = None;
        for registered in chosen.iter().filter_map(|file| file.registered.as_ref()) {
            if !checked.is_some_and(|last| last.is(registered))
                && let Some(row) = registered.get()
            {
                check_parquet_partition(&self.table, row)?;
            }
            checked = Some(registered);
        }
        // Small files are fetched whole where data follows their footers, and where none of it could pass the cap.
        let data_follows = shape.limit.is_none()
            && !shape.referenced.is_empty()
            && context.may_read_ahead(chosen.iter().map(|c| c.file.meta.size).sum());
        let by_index = self.by_index();
        files::open_all(
            context,
            node,
            chosen,
            shape.limit,
            data_follows,
            by_index.as_ref(),
        )
        .await
    }

    /// Filters that partition values decide, those that need a file's own values too, and the rest.
    fn split(&self, filters: &[Expr]) -> (Vec<Expr>, Vec<Expr>, Vec<Expr>) {
        let (keys, constants) = (self.partition_names(), self.file_constants());
        let (partitions, rest): (Vec<Expr>, Vec<Expr>) = filters
            .iter()
            .cloned()
            .partition(|f| is_partition_filter(f, &keys));
        let (files, data) = rest.into_iter().partition(|f| is_partition_filter(f, &constants));
        (partitions, files, data)
    }

    /// The listed files that filters on their hidden columns leave; notices on what was listed.
    fn choose(
        &self,
        session: &dyn Session,
        context: &ScanContext,
        listed: &[(SelectedPartition, Arc<Listing>)],
        file_filters: &[Expr],
    ) -> Result<Vec<ChosenFile>> {
        let archived: u64 = listed.iter().map(|(_, listing)| listing.archived).sum();
        if archived > 0 {
            context.notice(format!(
                "{}: {archived} archived objects (GLACIER, DEEP_ARCHIVE) were skipped.",
                self.table.qualified_name()
            ));
        }
        let mut chosen = files::all(listed);
        if self.hidden_columns {
            let fields: Vec<FieldRef> = self.schema.table_partition_cols().iter().cloned().collect();
            let filter = PartitionFilter::try_new(session, &fields, file_filters)?;
            chosen = files::with_hidden_values(chosen, &filter)?;
        }
        let small = context.config.small_file_bytes();
        if let Some(small) = SmallFiles::of(&self.table.qualified_name(), &chosen, small) {
            context.notice_small_files(small);
        }
        if chosen.len() > context.config.max_files {
            return Err(ScanError::TooManyFiles {
                table: self.table.qualified_name(),
                files: chosen.len(),
                limit: context.config.max_files,
            }
            .into());
        }
        Ok(chosen)
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
        let constants = self.file_constants();
        Ok(filters
            .iter()
            .map(|filter| {
                if has_subquery(filter) {
                    TableProviderFilterPushDown::Unsupported
                } else if is_partition_filter(filter, &constants) {
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
        // Where a quota is used up, nothing is listed either.
        context.budget.check_quotas_left().map_err(ScanError::Quota)?;
        let names = self.partition_names();
        let (partition_filters, file_filters, data_filters) = self.split(filters);
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
        let listed = list_all(&context, &self.table.qualified_name(), partitions).await?;
        let files_total: usize = listed.iter().map(|(_, listing)| listing.files.len()).sum();
        let chosen = self.choose(session, &context, &listed, &file_filters)?;
        let mut node = ScanNode::new(
            self.catalog.clone(),
            self.table.database_name.clone(),
            self.table.name.clone(),
            names,
            total,
            partitions_read,
            files_total as u64,
            listed.iter().map(|(_, listing)| Arc::clone(listing)).collect(),
        );
        if context.identify_files.load(Ordering::Relaxed) {
            node.identity = ScanIdentity::of(&self.catalog, &self.table, &listed);
        }
        let node = Arc::new(node);
        context.register(Arc::clone(&node));
        if chosen.is_empty() {
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
            filters: &data_filters,
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
                let files = self.opened(&context, &node, chosen, &shape).await?;
                build(session, &context, &node, &shape, files)
            }
            TableFormat::Rows(format) => {
                let files = self.row_files(&context, &node, format, chosen)?;
                crate::format::scan::build(session, &context, &node, &shape, files)
            }
        }
    }
}

/// Lists every partition's prefix, many at a time, keeping the order.
async fn list_all(
    context: &Arc<ScanContext>,
    table: &str,
    partitions: Vec<SelectedPartition>,
) -> Result<Vec<(SelectedPartition, Arc<Listing>)>> {
    crate::listing::list_ahead(context, table, partitions.iter().map(|p| &p.location)).await?;
    // Two partitions may share a location; its files then belong to both, listed once.
    futures::stream::iter(partitions)
        .map(|partition| {
            let context = Arc::clone(context);
            async move {
                let listing = crate::listing::list(&context, table, &partition.location).await?;
                Ok::<_, DataFusionError>((partition, listing))
            }
        })
        .buffered(context.config.list_parallelism)
        .try_collect()
        .await
}
