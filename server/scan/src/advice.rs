//! What a run can tell its user: bytes by column, why row groups were kept, and what would make the next run read
//! less. Made from the account of the scans after the run; nothing is collected while it reads.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::physical_expr::expressions::{CastExpr, Column, TryCastExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use owlake_metering::{TableScan, decimal_bytes};
use parquet::file::metadata::RowGroupMetaData;

use crate::context::{ScanContext, ScanNode};
use crate::format::scan::drained_bytes;
use crate::parquet_scan::chunks::chunk_range;
use crate::parquet_scan::drained::scans;
use crate::parquet_scan::named::NamedSource;
use crate::parquet_scan::proof::{depends_on_run, scan_files, scan_node};

/// A file below this size costs more in requests than in bytes.
const SMALL_FILE_BYTES: u64 = 8 << 20;
/// So many small files are worth a hint.
const MANY_FILES: u64 = 16;

/// What one scan read, and how it could read less.
#[derive(Debug, Clone)]
pub struct ScanAdvice {
    /// What it considered and kept.
    pub scan: TableScan,
    /// Data bytes by column of the files, most first.
    pub columns: Vec<(String, u64)>,
    /// Why row groups were read, one sentence each.
    pub kept: Vec<String>,
    /// What would make it read less, one sentence each.
    pub hints: Vec<String>,
}

/// Advice for every scan of `context`, in planning order; `plan` has run.
pub fn advise(plan: &Arc<dyn ExecutionPlan>, context: &ScanContext) -> Vec<ScanAdvice> {
    let planned = scans(plan);
    context
        .nodes()
        .iter()
        .map(|node| {
            let mut seen = Seen::default();
            for (scan, _) in &planned {
                if scan_node(scan).is_some_and(|of| Arc::ptr_eq(&of, node)) {
                    seen.scan(scan, node);
                }
            }
            seen.finish(node)
        })
        .collect()
}

/// What is known of the row groups of one table.
#[derive(Debug, Default)]
struct Seen {
    columns: BTreeMap<String, u64>,
    /// Columns that filters compare, as they are stored.
    filtered: Vec<String>,
    casts: Vec<String>,
    row_groups: u64,
    /// Row groups read, by filter column, without statistics of it.
    without_statistics: BTreeMap<String, u64>,
    /// Row groups read, by filter column, that its minimum and maximum could not rule out.
    overlapping: BTreeMap<String, u64>,
    without_page_index: u64,
    /// The files hold rows, not columns.
    of_rows: bool,
}

impl Seen {
    fn scan(&mut self, config: &FileScanConfig, node: &ScanNode) {
        self.of_rows |= drained_bytes(config).is_some();
        self.filters(config);
        let mut files = HashSet::new();
        for file in scan_files(config) {
            if !files.insert(file.source.version().clone()) {
                continue;
            }
            let read = node.data_read(file.source.version());
            for group in file.metadata.row_groups() {
                let mut bytes = 0;
                for column in group.columns() {
                    let covered = read.covered(chunk_range(column));
                    if covered > 0 {
                        bytes += covered;
                        let root = column.column_path().parts().first().cloned().unwrap_or_default();
                        *self.columns.entry(root).or_default() += covered;
                    }
                }
                if bytes > 0 {
                    self.group(group);
                }
            }
        }
    }

    fn filters(&mut self, config: &FileScanConfig) {
        let source = NamedSource::unnamed(config.file_source().as_ref());
        let Some(filter) = source.filter() else {
            return;
        };
        for conjunct in split_conjunction(&filter) {
            if depends_on_run(conjunct) {
                continue;
            }
            cast_columns(conjunct, &mut self.casts);
            let table = config.file_schema();
            let names = collect_columns(conjunct).into_iter().map(|c| c.name().to_owned());
            self.filtered
                .extend(names.filter(|n| table.field_with_name(n).is_ok()));
        }
        for names in [&mut self.filtered, &mut self.casts] {
            names.sort_unstable();
            names.dedup();
        }
    }

    fn group(&mut self, group: &RowGroupMetaData) {
        self.row_groups += 1;
        let mut indexed = false;
        for name in &self.filtered {
            let chunk = group.columns().iter().find(|c| {
                let root = c.column_path().parts().first();
                root.is_some_and(|root| root.eq_ignore_ascii_case(name))
            });
            let Some(chunk) = chunk else { continue };
            indexed |= chunk.column_index_offset().is_some();
            let known = chunk
                .statistics()
                .is_some_and(|s| s.min_bytes_opt().is_some() && s.max_bytes_opt().is_some());
            let counts = if known {
                &mut self.overlapping
            } else {
                &mut self.without_statistics
            };
            *counts.entry(name.clone()).or_default() += 1;
        }
        if !self.filtered.is_empty() && !indexed {
            self.without_page_index += 1;
        }
    }

    fn finish(self, node: &ScanNode) -> ScanAdvice {
        let scan = node.table_scan();
        let mut columns: Vec<(String, u64)> = self.columns.clone().into_iter().collect();
        columns.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ScanAdvice {
            kept: self.kept(),
            hints: self.hints(node, &scan),
            columns,
            scan,
        }
    }

    fn kept(&self) -> Vec<String> {
        if self.row_groups == 0 {
            return Vec::new();
        }
        let of = format!("of {} row groups read", self.row_groups);
        let mut kept = Vec::new();
        if self.filtered.is_empty() {
            kept.push(format!("{of}: no filter on a column of the files"));
        }
        for (name, count) in &self.without_statistics {
            kept.push(format!("{count} {of}: no statistics of \"{name}\""));
        }
        for (name, count) in &self.overlapping {
            kept.push(format!(
                "{count} {of}: minimum and maximum of \"{name}\" do not rule them out"
            ));
        }
        if self.without_page_index > 0 {
            kept.push(format!(
                "{} {of}: no page index, so that they are read whole",
                self.without_page_index
            ));
        }
        for name in &self.casts {
            kept.push(format!(
                "the filter converts \"{name}\" before it compares, which statistics may not see through"
            ));
        }
        kept
    }

    fn hints(&self, node: &ScanNode, scan: &TableScan) -> Vec<String> {
        let mut hints = Vec::new();
        let all = scan.partitions_total == Some(scan.partitions_read) && scan.partitions_read > 1;
        if all && !node.partition_columns.is_empty() {
            let names: Vec<String> = node
                .partition_columns
                .iter()
                .map(|c| format!("\"{c}\""))
                .collect();
            hints.push(format!(
                "all {} partitions were read: filter on {}",
                scan.partitions_read,
                names.join(" or ")
            ));
        }
        if self.of_rows {
            hints.push(
                "convert the files to Parquet: rows are read whole, whatever the query names".to_owned(),
            );
        }
        if let Some(name) = self.worth_sorting(scan) {
            hints.push(format!(
                "write the files sorted by \"{name}\", or partition on it: then filters on it rule out row groups"
            ));
        }
        if let Some(name) = self.casts.first() {
            hints.push(format!(
                "compare \"{name}\" in its own type, or declare the column with the type that it is stored in"
            ));
        }
        let average = node.listed_bytes() / scan.files_total.max(1);
        if scan.files_read > MANY_FILES && average < SMALL_FILE_BYTES {
            hints.push(format!(
                "compact small files: {} were read, {} each on average, and each costs a request or more",
                scan.files_read,
                decimal_bytes(average)
            ));
        }
        hints
    }

    /// The filter column whose bounds ruled out least, where most row groups were read for nothing but its sake.
    fn worth_sorting(&self, scan: &TableScan) -> Option<&String> {
        if self.row_groups < 4 || self.row_groups * 2 <= scan.row_groups_total {
            return None;
        }
        let most = self.overlapping.iter().max_by_key(|(_, count)| **count)?;
        (!self.casts.contains(most.0)).then_some(most.0)
    }
}

/// Columns that `expr` converts before it looks at them.
fn cast_columns(expr: &Arc<dyn PhysicalExpr>, casts: &mut Vec<String>) {
    // Casts that the engine's own would answer differently are functions of the dialect.
    let function = expr
        .downcast_ref::<ScalarFunctionExpr>()
        .filter(|f| ["$cast", "$try_cast"].contains(&f.name()));
    let inner = match (
        expr.downcast_ref::<CastExpr>(),
        expr.downcast_ref::<TryCastExpr>(),
        function,
    ) {
        (Some(cast), ..) => Some(cast.expr()),
        (_, Some(cast), _) => Some(cast.expr()),
        (.., Some(function)) => function.args().first(),
        _ => None,
    };
    if let Some(column) = inner.and_then(|e| e.downcast_ref::<Column>()) {
        casts.push(column.name().to_owned());
    }
    for child in expr.children() {
        cast_columns(child, casts);
    }
}
