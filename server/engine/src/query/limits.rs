//! How long a running query is waited for, and what it has spilled.

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use owlake_fault::{Code, Fault};
use owlake_scan::ScanContext;
use tokio::time::Instant;

use crate::context::QueryContext;

/// `work`, cut short by the client's cancel or the deadline.
pub(super) async fn within<T>(
    context: &QueryContext,
    deadline: Instant,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    tokio::select! {
        result = work => result,
        () = context.cancel.cancelled() => Err(Fault::new(Code::UserCanceled, "the query was cancelled")),
        () = tokio::time::sleep_until(deadline) => Err(Fault::new(
            Code::ExceededTimeLimit,
            "the query ran longer than its time limit (query_timeout)",
        )),
    }
}

/// Longest wait for a query's last reads. Aborted tasks end at their next await, which a busy machine can delay by
/// seconds; the bound only keeps a stuck one from holding up the receipt for ever.
const QUIET_WITHIN: Duration = Duration::from_secs(10);

/// Waits until nothing of the query reads any more, so that its counters are final.
pub(super) async fn quiesce(scan: &Arc<ScanContext>) {
    let begun = Instant::now();
    let mut pause = Duration::ZERO;
    while Arc::strong_count(scan) > 1 {
        if begun.elapsed() > QUIET_WITHIN {
            tracing::warn!("reads of a query outlive it; its receipt may miss some of them");
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).clamp(Duration::from_millis(1), Duration::from_millis(200));
    }
}

/// Bytes that the operators of `plan` wrote to disk.
pub(super) fn spilled_bytes(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.metrics().and_then(|m| m.spilled_bytes()).unwrap_or(0) as u64;
    plan.children().into_iter().map(spilled_bytes).sum::<u64>() + own
}
