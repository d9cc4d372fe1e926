//! Which filters of a physical plan a scan may wait for: those of joins on whose probe side it is. Their build sides
//! run first and never wait for it, whereas the filter of a sort or an aggregate is final only after the scan.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};
use owlake_scan::probe_filters;

use crate::connector::{PlanShared, ToldOfPlan};

/// Tells every leaf of the plan that wants to know ([`ExecutionPlan::with_new_state`]).
pub(super) fn told(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    below(plan, &HashSet::new(), &Arc::default())
}

/// A scan waits for build sides of joins above it alone, and these for such that are further up: nothing in a circle.
fn below(
    plan: Arc<dyn ExecutionPlan>,
    known: &HashSet<u64>,
    shared: &Arc<PlanShared>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let children = plan.children();
    if children.is_empty() {
        let state = Arc::new(ToldOfPlan {
            awaited: known.clone(),
            shared: Arc::clone(shared),
        });
        return Ok(plan.with_new_state(state).unwrap_or(plan));
    }
    let probed: HashSet<u64> = known | &probe_filters(&plan);
    let children = children.into_iter().enumerate().map(|(at, child)| {
        let known = if at == 1 { &probed } else { known };
        below(Arc::clone(child), known, shared)
    });
    let children = children.collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}
