//! The scan node of a table of row files: ranges of files, dealt to streams, and what they will cost.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::execution_plan::apply_expression_roots;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, PhysicalExpr};
use object_store::ObjectStore;

use super::RowFormat;
use super::codec::Codec;
use super::opener::RowOpener;
use super::stored::RowFile;
use crate::context::{ScanContext, ScanNode};
use crate::error::ScanError;
use crate::listing::ListedFile;
use crate::parquet_scan::plan::{ScanShape, Unit, fan_out, group};
use crate::range_source::RangeSource;

/// A listed file of a partition, and how to read it.
pub(crate) struct ListedRows {
    pub listed: ListedFile,
    pub source: RangeSource,
    pub format: Arc<RowFormat>,
    pub partition_values: Vec<ScalarValue>,
}

/// Builds the `DataSourceExec`. No I/O happens here.
pub(crate) fn build(
    session: &dyn Session,
    context: &Arc<ScanContext>,
    node: &Arc<ScanNode>,
    shape: &ScanShape<'_>,
    files: Vec<ListedRows>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut statistics = Statistics::new_unknown(shape.table_schema.table_schema());
    let stored: u64 = files.iter().map(|f| f.listed.meta.size).sum();
    // Only for the choice of a join's build side: how many rows these are nobody knows.
    statistics.total_byte_size = Precision::Inexact(usize::try_from(stored).unwrap_or(usize::MAX));
    let mut units = Vec::new();
    for file in files {
        split(&mut units, context, node, file)?;
    }
    let source = RowSource {
        projection: SplitProjection::unprojected(&shape.table_schema),
        table_schema: shape.table_schema.clone(),
        context: Arc::clone(context),
        batch_rows: session.config().batch_size(),
        metrics: ExecutionPlanMetricsSet::new(),
    };
    let fan_out = fan_out(session, context, shape, &units, false);
    let groups = group(units, fan_out);
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(shape.url)?, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_projection_indices(shape.projection.map(<[usize]>::to_vec))?
        .with_limit(shape.limit)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// Cuts a file into ranges that are read at the same time; a compressed one stays whole.
fn split(
    units: &mut Vec<Unit>,
    context: &ScanContext,
    node: &Arc<ScanNode>,
    file: ListedRows,
) -> Result<(), ScanError> {
    let size = file.listed.meta.size;
    let codec = Codec::of(file.source.version().key()).map_err(|name| ScanError::UnsupportedFormat {
        table: file.source.table().to_owned(),
        serde: format!("files compressed with {name} (`{}`)", file.source.version().key()),
    })?;
    let wanted = context.config.row_split_bytes.max(1);
    let pieces = match codec {
        Codec::Plain if file.format.splits() => (size / wanted).max(1),
        _ => 1,
    };
    let row_file = Arc::new(RowFile {
        source: file.source,
        node: Arc::clone(node),
        format: file.format,
        codec,
    });
    let base = PartitionedFile::new_from_meta(file.listed.meta)
        .with_partition_values(file.partition_values)
        .with_extension(row_file);
    if pieces == 1 {
        units.push(Unit {
            file: base,
            bytes: size,
        });
        return Ok(());
    }
    let bound = |piece: u64| i64::try_from(piece * (size / pieces)).unwrap_or(i64::MAX);
    for piece in 0..pieces {
        let end = if piece + 1 == pieces {
            i64::try_from(size).unwrap_or(i64::MAX)
        } else {
            bound(piece + 1)
        };
        units.push(Unit {
            file: base.clone().with_range(bound(piece), end),
            bytes: size / pieces,
        });
    }
    Ok(())
}

/// Least and most stored bytes that a scan of row files reads if it is drained; `None` for other scans.
///
/// Both are the listed sizes: every row is needed to answer anything, and each byte counts once.
pub(crate) fn drained_bytes(config: &FileScanConfig) -> Option<[u64; 2]> {
    config.file_source().downcast_ref::<RowSource>()?;
    let mut total = 0_u64;
    for file in config.file_groups.iter().flat_map(|g| g.iter()) {
        let bytes = match &file.range {
            Some(range) => u64::try_from(range.end - range.start).unwrap_or(0),
            None => file.object_meta.size,
        };
        total = total.saturating_add(bytes);
    }
    Some([total, total])
}

/// The node that a scan of row files counts on.
pub(crate) fn node_of(config: &FileScanConfig) -> Option<Arc<ScanNode>> {
    config
        .file_groups
        .iter()
        .flat_map(|g| g.iter())
        .find_map(|f| f.extension::<Arc<RowFile>>())
        .map(|file| Arc::clone(&file.node))
}

/// The `FileSource` of row files: projects, and leaves filters to the plan above.
#[derive(Clone)]
pub(crate) struct RowSource {
    table_schema: TableSchema,
    projection: SplitProjection,
    context: Arc<ScanContext>,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl FileSource for RowSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let wanted = self.projection.file_indices.clone();
        let opener = RowOpener {
            context: Arc::clone(&self.context),
            schema: Arc::new(file_schema.project(&wanted)?),
            wanted,
            batch_rows: self.batch_rows,
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), file_schema)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let mut source = self.clone();
        source.batch_rows = batch_size;
        Arc::new(source)
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let mut source = self.clone();
        let merged = self.projection.source.try_merge(projection)?;
        source.projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(source)))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "rows"
    }

    fn fmt_extra(&self, _: DisplayFormatType, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    /// Ranges are made by [`build`]; nobody may cut or join them again.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), f)
    }
}
