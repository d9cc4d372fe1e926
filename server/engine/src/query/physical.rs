//! From the logical plan to the physical one: listings and footers are read here, caps refuse what is proven to pass
//! them, and the receipt learns what the plan will read.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use owlake_dialect::semantics::widest_row;
use owlake_fault::Fault;
use owlake_metering::PricePlan;
use owlake_scan::{Confidence, ScanContext, ScanEstimate, is_timing_dependent, read_ahead, refuse_over_cap};
use tokio::time::Instant;

use crate::connector::remote_catalog;
use crate::error::fault_from;
use crate::query::build_sides;
use crate::query::estimate::{AT_HAND, bounds, refuse_over_cost};
use crate::query::pieces::{rows_at_a_time, with_rows_at_a_time};
use crate::query::pushdown::{Rules, loses_names, optimize};
use crate::query::repeats::watched;
use crate::query::run::{RunningQuery, ended};
use crate::resolve::Resolver;
use crate::reuse::{Found, Reuse};
use crate::runtime::caught;

/// What a physical plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be executed.
    Run,
    /// To be looked at.
    Look,
}

impl RunningQuery {
    /// Makes the physical plan: lists, and reads footers. A plan that is to run is refused here where it proves
    /// that it would pass a cap, and says on the receipt what it will read.
    pub(super) async fn physical_plan(&mut self, purpose: Purpose) -> Result<Arc<dyn ExecutionPlan>, Fault> {
        let begun = Instant::now();
        let open = self.open()?;
        let source = open.source.as_ref().ok_or_else(ended)?;
        let (mut state, plan, scan) = (
            source.state.clone(),
            source.plan.clone(),
            Arc::clone(&open.account.scan),
        );
        let wanted = source.wanted.clone();
        let look_up = open.reuse.as_ref().map(Reuse::look_up);
        let price = open.account.prices().0.clone();
        let current = &self.context.settings.catalog;
        let remote = remote_catalog(&plan, &self.shared.resolver, current).is_some();
        let (resolver, current) = (Arc::clone(&self.shared.resolver), current.clone());
        let work = async move {
            let rest = (&*resolver, current.as_str());
            let mut made = made(&mut state, &plan, rest, Rules::All).await;
            if made.as_ref().is_err_and(loses_names) {
                made = self::made(&mut state, &plan, rest, Rules::WithoutFieldsFirst).await;
            }
            let (optimized, rows, plan) = made.map_err(fault_from)?;
            let plan = if remote {
                build_sides::told(plan).map_err(fault_from)?
            } else {
                plan
            };
            let found = match look_up {
                Some(look_up) => look_up.find(optimized, &scan).await,
                None => Found::Nothing(None),
            };
            // A kept result reads nothing, neither past a cap nor ahead.
            let estimates = match (purpose, &found) {
                (Purpose::Run, Found::Nothing(_)) => begin_reading(&plan, &scan, &state, &price).await?,
                _ => None,
            };
            let timing = is_timing_dependent(&plan);
            let plan = match purpose {
                Purpose::Run => watched(plan, &wanted, rows.is_some()).map_err(fault_from)?,
                Purpose::Look => plan,
            };
            Ok((plan, found, estimates, rows, timing))
        };
        let planned = self.guarded(self.shared.runtimes.plan(caught(work))).await;
        let open = self.open()?;
        open.account.add_planning(begun.elapsed());
        let (plan, found, estimates, rows, timing) = planned?;
        if let (Some(rows), Some(source)) = (rows, &mut open.source) {
            with_rows_at_a_time(&mut source.state, rows);
        }
        if let Some(reuse) = &mut open.reuse {
            reuse.found(found);
        }
        let asks = |e: &ScanEstimate| e.confidence != Confidence::Exact || e.get_requests.min > 0;
        open.at_hand = estimates.as_ref().is_some_and(|all| !all.iter().any(asks));
        // What other databases send is in no estimate, so that none is kept.
        if let Some(estimates) = estimates.filter(|_| !remote) {
            let (bounds, confidence) = bounds(&estimates);
            open.account.estimated(bounds, confidence);
        }
        open.account.timing_dependent(timing);
        Ok(plan)
    }
}

/// The optimized plan, the rows that it hands on at a time where these are fewer than usual, and the physical plan.
async fn made(
    state: &mut SessionState,
    plan: &LogicalPlan,
    (resolver, current): (&Resolver, &str),
    rules: Rules,
) -> Result<(LogicalPlan, Option<NonZeroUsize>, Arc<dyn ExecutionPlan>), DataFusionError> {
    let optimized = optimize(state, plan, resolver, current, rules)?;
    let rows = rows_at_a_time(widest_row(&optimized), state.config().batch_size());
    if let Some(rows) = rows {
        with_rows_at_a_time(state, rows);
    }
    let planner = state.query_planner();
    let physical = planner.create_physical_plan(&optimized, state).await?;
    Ok((optimized, rows, physical))
}

/// Refuses what is proven to pass a cap, says what the plan will read, and starts to fetch.
async fn begin_reading(
    plan: &Arc<dyn ExecutionPlan>,
    scan: &Arc<ScanContext>,
    state: &SessionState,
    price: &PricePlan,
) -> Result<Option<Vec<ScanEstimate>>, Fault> {
    refuse_over_cap(plan, scan)?;
    // Where the estimate fails the query will, and says so better.
    let estimates = owlake_scan::estimate(plan, scan, &state.task_ctx(), AT_HAND)
        .await
        .ok();
    if let Some(estimates) = &estimates {
        refuse_over_cost(estimates, price, scan)?;
    }
    read_ahead(plan, scan);
    Ok(estimates)
}
