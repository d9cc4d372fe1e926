//! What a physical plan proves before it runs: a lower bound of the data bytes it must read, and
//! whether its reads depend on timing.

use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;

use crate::context::{ScanContext, ScanNode};
use crate::error::ScanError;
use crate::format::scan::{drained_bytes, node_of};
use crate::parquet_scan::chunks::{groups_in, leaf_bytes, leaves_of};
use crate::parquet_scan::drained::{Drained, scans};
use crate::parquet_scan::named::NamedSource;
use crate::parquet_scan::plan::{is_flat, whole_columns};
use crate::parquet_scan::reader::ScanFile;
use crate::parquet_scan::statistics::constant_columns;

/// Refuses a plan whose proven lower bound passes the cap, before its first data byte.
///
/// The bound counts scans that the plan must drain and whose files no statistic, index or dynamic
/// filter could cut further; everything else counts zero, so a plan that might fit is never refused.
pub fn refuse_over_cap(plan: &Arc<dyn ExecutionPlan>, context: &ScanContext) -> Result<(), ScanError> {
    if context.budget.limit_bytes().is_none() && !context.budget.has_quotas() {
        return Ok(());
    }
    let scans = scans(plan);
    // Of several scans only some may be counted, and the sum is no single table's.
    let mut at_least = scans.len() > 1;
    let mut total = 0_u64;
    let mut widest: Option<(u64, Arc<ScanNode>)> = None;
    for (scan, _) in scans
        .into_iter()
        .filter(|(_, drained)| *drained == Drained::Surely)
    {
        let bytes = lower_bound(scan);
        total = total.saturating_add(bytes);
        // Which leaves of a nested column are read is not known here.
        at_least |= drained_bytes(scan).is_none() && reads_nested(scan);
        if widest.as_ref().is_none_or(|(most, _)| bytes > *most)
            && let Some(node) = scan_node(scan)
        {
            widest = Some((bytes, node));
        }
    }
    context.budget.check_quotas(total).map_err(ScanError::Quota)?;
    match (context.budget.check(total), widest) {
        (Err(exceeded), Some((_, node))) => Err(node.cap_exceeded(context, &exceeded, at_least)),
        _ => Ok(()),
    }
}

/// Whether what is read depends on when operators stop pulling, or on what they have learned by then: a limit, a TopK
/// or a join filter above a scan, or an operator of which it is not known.
///
/// So does the probe side of a join that an empty build side ends: parts of it may have begun.
pub fn is_timing_dependent(plan: &Arc<dyn ExecutionPlan>) -> bool {
    scans(plan).into_iter().any(|(config, drained)| {
        let filter = config.file_source().filter();
        drained != Drained::Surely || filter.is_some_and(|predicate| is_learned(&predicate))
    })
}

/// Whether a filter's value is known only while the query runs: made by a join or a TopK, or by a subquery.
pub(crate) fn depends_on_run(expr: &Arc<dyn PhysicalExpr>) -> bool {
    is_learned(expr) || has::<ScalarSubqueryExpr>(expr)
}

/// Whether a filter is made by a join or a TopK while the query runs.
pub(super) fn is_learned(expr: &Arc<dyn PhysicalExpr>) -> bool {
    has::<DynamicFilterPhysicalExpr>(expr)
}

fn has<E: PhysicalExpr + 'static>(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<E>().is_some() || expr.children().into_iter().any(has::<E>)
}

pub(crate) fn scan_files(config: &FileScanConfig) -> impl Iterator<Item = &Arc<ScanFile>> {
    config
        .file_groups
        .iter()
        .flat_map(|g| g.iter())
        .filter_map(ScanFile::attached)
}

/// The node that a scan counts on.
pub(crate) fn scan_node(config: &FileScanConfig) -> Option<Arc<ScanNode>> {
    let file = scan_files(config).next();
    file.map(|file| Arc::clone(&file.node))
        .or_else(|| node_of(config))
}

fn lower_bound(config: &FileScanConfig) -> u64 {
    if let Some([least, _]) = drained_bytes(config) {
        return least;
    }
    let source = NamedSource::unnamed(config.file_source().as_ref());
    let Some(parquet) = source.downcast_ref::<ParquetSource>() else {
        return 0;
    };
    if parquet.filter().is_some() {
        return 0;
    }
    let table = config.file_schema();
    let columns = whole_columns(parquet, table);
    let files = config.file_groups.iter().flat_map(|g| g.iter());
    let bytes = files.filter_map(|file| {
        let metadata = &ScanFile::attached(file)?.metadata;
        let constants = constant_columns(file, table);
        let read = columns.iter().map(|i| table.field(*i).name().as_str());
        let leaves = leaves_of(metadata, read.filter(|name| !constants.contains_key(*name)));
        let groups = groups_in(file, metadata);
        Some(groups.map(|(_, group)| leaf_bytes(group, &leaves)).sum::<u64>())
    });
    bytes.fold(0, u64::saturating_add)
}

/// Whether the scan reads a nested column, of which [`lower_bound`] may count less than is read.
fn reads_nested(config: &FileScanConfig) -> bool {
    let table = config.file_schema();
    let nested = |name: &str| table.field_with_name(name).is_ok_and(|f| !is_flat(f.data_type()));
    match config.file_source().projection() {
        Some(projection) => projection
            .iter()
            .any(|p| collect_columns(&p.expr).iter().any(|c| nested(c.name()))),
        None => table.fields().iter().any(|f| nested(f.name())),
    }
}

/// Leaf columns of `file` that a scan without filters reads of every row group, where that is plain to see: all
/// that it puts out are columns as they are.
pub(crate) fn plain_leaves(
    config: &FileScanConfig,
    file: &PartitionedFile,
    scan_file: &ScanFile,
) -> Option<Vec<usize>> {
    let source = NamedSource::unnamed(config.file_source().as_ref());
    let parquet = source.downcast_ref::<ParquetSource>()?;
    if reads_nested(config) {
        return None;
    }
    let mut names = Vec::new();
    for projected in parquet.projection()?.iter() {
        let column = projected.expr.downcast_ref::<Column>()?;
        names.push(column.name());
    }
    let table = config.file_schema();
    let constants = constant_columns(file, table);
    let is_read = |name: &&str| table.field_with_name(name).is_ok() && !constants.contains_key(*name);
    Some(leaves_of(&scan_file.metadata, names.into_iter().filter(is_read)))
}
