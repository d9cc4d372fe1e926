//! The scans of a physical plan, whatever their format, and whether the operators above read them to their end.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Whether the operators above a scan take all of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Not known: what may stop the reading.
    Unknown(&'static str),
    /// Once begun, to the end; but it may never begin, as the probe side of a join whose build side is empty.
    OnceBegun,
    /// Always.
    Surely,
}

impl Drained {
    /// What may keep some rows from being read.
    pub(crate) fn stopped_by(self) -> Option<&'static str> {
        match self {
            Self::Unknown(by) => Some(by),
            Self::OnceBegun => Some("the other side of a join decides whether this side is read"),
            Self::Surely => None,
        }
    }

    /// The lesser of both; the one above says why.
    fn and(self, below: Self) -> Self {
        match (self, below) {
            (Self::Unknown(by), _) | (_, Self::Unknown(by)) => Self::Unknown(by),
            (Self::Surely, Self::Surely) => Self::Surely,
            _ => Self::OnceBegun,
        }
    }
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
    let above = match limited(plan) {
        true => above.and(Drained::Unknown("a limit can end the reading early")),
        false => above,
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
        | "InterleaveExec"
        | "WindowAggExec"
        | "BoundedWindowAggExec"
        | "CooperativeExec"
        | "UnnestExec"
        | "UnorderedExec"
        | "ScalarSubqueryExec" => (Drained::Surely, Drained::Surely),
        // The build side is collected whatever the probe side holds.
        "HashJoinExec" if keeps_probe_rows(plan) => (Drained::Surely, Drained::Surely),
        "HashJoinExec" | "CrossJoinExec" | "NestedLoopJoinExec" => (Drained::Surely, Drained::OnceBegun),
        _ => {
            let by = Drained::Unknown("an operator above can end the reading early");
            (by, by)
        }
    };
    for (i, child) in plan.children().into_iter().enumerate() {
        collect(child, above.and(if i == 0 { first } else { others }), scans);
    }
}

/// Whether `plan` is a hash join that puts out rows of its probe side even where its build side has none.
fn keeps_probe_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let join = plan.downcast_ref::<HashJoinExec>();
    join.is_some_and(|join| !join.join_type().empty_build_side_produces_empty_result())
}

/// Whether `plan` puts out no more than a number of rows.
fn has_limit(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let aggregate = plan.downcast_ref::<AggregateExec>();
    plan.fetch().is_some() || aggregate.is_some_and(|a| a.limit_options().is_some())
}

/// Whether `plan` stops pulling once it has enough rows. A sort of unsorted rows with a limit does not: it has to see
/// all of them, and a merge of such sorts begins when each is complete.
fn limited(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let sorts = |plan: &Arc<dyn ExecutionPlan>| {
        let input_is_unsorted = |input: &Arc<dyn ExecutionPlan>| input.output_ordering().is_none();
        plan.name() == "SortExec" && plan.children().into_iter().all(input_is_unsorted)
    };
    let merges_sorts = plan.name() == "SortPreservingMergeExec" && plan.children().into_iter().all(sorts);
    has_limit(plan) && !sorts(plan) && !merges_sorts
}
