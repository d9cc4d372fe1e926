//! The scans of a physical plan, whatever their format, and whether the operators above read them to their end.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

/// Whether the operators above a scan take all of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Drained {
    /// Some operator may stop before the end, or is not known.
    Unknown,
    /// Once begun, to the end; but it may never begin, as the probe side of a join whose build side is empty.
    OnceBegun,
    /// Always.
    Surely,
}

/// The scan that `plan` itself is.
pub(crate) fn scan_config(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?
        .data_source()
        .downcast_ref::<FileScanConfig>()
}

/// All scans of `plan`, from left to right.
pub(crate) fn scans(plan: &Arc<dyn ExecutionPlan>) -> Vec<(&FileScanConfig, Drained)> {
    let mut scans = Vec::new();
    collect(plan, Drained::Surely, &mut scans);
    scans
}

fn collect<'p>(
    plan: &'p Arc<dyn ExecutionPlan>,
    above: Drained,
    scans: &mut Vec<(&'p FileScanConfig, Drained)>,
) {
    let above = match plan.fetch() {
        Some(_) => Drained::Unknown,
        None => above,
    };
    if let Some(config) = scan_config(plan) {
        scans.push((config, above));
        return;
    }
    let (first, others) = match plan.name() {
        "ProjectionExec"
        | "FilterExec"
        | "CoalescePartitionsExec"
        | "CoalesceBatchesExec"
        | "RepartitionExec"
        | "AggregateExec"
        | "SortExec"
        | "SortPreservingMergeExec"
        | "UnionExec"
        | "WindowAggExec"
        | "BoundedWindowAggExec"
        | "CooperativeExec" => (Drained::Surely, Drained::Surely),
        // The build side is drained whatever the probe side holds.
        "HashJoinExec" => (Drained::Surely, Drained::OnceBegun),
        "UnnestExec" | "CrossJoinExec" | "NestedLoopJoinExec" => (Drained::OnceBegun, Drained::OnceBegun),
        _ => (Drained::Unknown, Drained::Unknown),
    };
    for (i, child) in plan.children().into_iter().enumerate() {
        collect(child, above.min(if i == 0 { first } else { others }), scans);
    }
}
