//! Errors of a file scan with the file they came from: what a decoder cannot read says which table and key.
//!
//! A wrapper around the stock source, since a plan's stream mixes files and its errors name none.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;

/// An error that a file of a scan made. Its text is that of its cause.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct InFile {
    /// `database.table`.
    pub table: Arc<str>,
    /// Key below the bucket.
    pub file: Arc<str>,
    source: DataFusionError,
}

/// The file behind an error of a scan, where one is in its chain.
pub fn file_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a InFile> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<InFile>() {
            return Some(found);
        }
        next = e.source();
    }
    None
}

/// Whose errors: a table, and of it one file.
#[derive(Debug, Clone)]
struct Name {
    table: Arc<str>,
    file: Arc<str>,
}

impl Name {
    fn on(&self, source: DataFusionError) -> DataFusionError {
        DataFusionError::External(Box::new(InFile {
            table: Arc::clone(&self.table),
            file: Arc::clone(&self.file),
            source,
        }))
    }
}

/// A file source whose errors are [`InFile`].
#[derive(Clone)]
pub(crate) struct NamedSource {
    inner: Arc<dyn FileSource>,
    table: Arc<str>,
}

impl NamedSource {
    /// `inner` for files of `table`.
    pub(crate) fn new(inner: Arc<dyn FileSource>, table: Arc<str>) -> Self {
        Self { inner, table }
    }

    /// What a plan's source really is.
    pub(crate) fn unnamed(source: &dyn FileSource) -> &dyn FileSource {
        match source.downcast_ref::<Self>() {
            Some(named) => named.inner.as_ref(),
            None => source,
        }
    }

    fn again(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self::new(inner, Arc::clone(&self.table)))
    }
}

impl FileSource for NamedSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        Ok(Box::new(NamedMorselizer {
            inner: self.inner.create_morselizer(store, config, partition)?,
            table: Arc::clone(&self.table),
        }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.again(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        min_size: usize,
        ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        self.inner
            .repartitioned(target_partitions, min_size, ordering, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_filters(filters, config)?;
        Ok(FilterPushdownPropagation {
            filters: pushed.filters,
            updated_node: pushed.updated_node.map(|inner| self.again(inner)),
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_sort(order, properties)?;
        Ok(pushed.map(|inner| self.again(inner)))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_projection(projection)?;
        Ok(pushed.map(|inner| self.again(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

#[derive(Debug)]
struct NamedMorselizer {
    inner: Box<dyn Morselizer>,
    table: Arc<str>,
}

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let name = Name {
            table: Arc::clone(&self.table),
            file: Arc::from(file.object_meta.location.as_ref()),
        };
        match self.inner.plan_file(file) {
            Ok(inner) => Ok(NamedPlanner::boxed(inner, name)),
            Err(error) => Err(name.on(error)),
        }
    }
}

#[derive(Debug)]
struct NamedPlanner {
    inner: Box<dyn MorselPlanner>,
    name: Name,
}

impl NamedPlanner {
    fn boxed(inner: Box<dyn MorselPlanner>, name: Name) -> Box<dyn MorselPlanner> {
        Box::new(Self { inner, name })
    }
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, name } = *self;
        let Some(mut plan) = inner.plan().map_err(|e| name.on(e))? else {
            return Ok(None);
        };
        let morsel = |inner| -> Box<dyn Morsel> {
            let name = name.clone();
            Box::new(NamedMorsel { inner, name })
        };
        let planner = |inner| NamedPlanner::boxed(inner, name.clone());
        let mut named = MorselPlan::new()
            .with_morsels(plan.take_morsels().into_iter().map(morsel).collect())
            .with_planners(plan.take_ready_planners().into_iter().map(planner).collect());
        if let Some(pending) = plan.take_pending_planner() {
            let name = name.clone();
            named.set_pending_planner(async move {
                match pending.await {
                    Ok(inner) => Ok(NamedPlanner::boxed(inner, name)),
                    Err(error) => Err(name.on(error)),
                }
            });
        }
        Ok(Some(named))
    }
}

#[derive(Debug)]
struct NamedMorsel {
    inner: Box<dyn Morsel>,
    name: Name,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, name } = *self;
        inner
            .into_stream()
            .map(move |batch| batch.map_err(|e| name.on(e)))
            .boxed()
    }
}
