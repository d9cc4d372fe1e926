//! A running query and the store of kept results: answered from there, or leaving its own rows there.

use crate::query::run::RunningQuery;
use crate::reuse::Reuse;
use crate::runtime::caught;
use owlake_fault::Fault;

impl RunningQuery {
    /// Whether a kept result answers; its rows are ready then, and nothing is to be executed.
    pub(super) fn answered_by_kept(&mut self) -> Result<bool, Fault> {
        let now = self.context.now;
        let open = self.open()?;
        let Some(kept) = open.reuse.as_ref().and_then(Reuse::kept) else {
            return Ok(false);
        };
        open.account.executes();
        open.account
            .reused(&kept.query_id, now.signed_duration_since(kept.made_at));
        open.ready.extend(kept.batches.iter().cloned());
        Ok(true)
    }

    /// Keeps the rows of a query that has ended well. A result that is not kept is made again: no error.
    pub(super) async fn keep(&self, reuse: Reuse) {
        let query_id = self.context.id.clone();
        // Keys hold plans, and comparing deep ones takes a planning thread's stack.
        let work = async move {
            reuse.keep(&query_id).await;
            Ok(())
        };
        if let Err(error) = self.shared.runtimes.plan(caught(work)).await {
            tracing::warn!(%error, "a result was not kept");
        }
    }
}
