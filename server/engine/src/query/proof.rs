//! What may leave a running query: rows whose files and listings were proved, after one more plan if need be.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use owlake_fault::{Fault, Kind};
use owlake_scan::ScanContext;

use crate::query::limits::{spilled_bytes, within};
use crate::query::pieces::with_rows_at_a_time;
use crate::query::run::RunningQuery;
use crate::runtime::caught;

/// All that was believed without a request is asked for.
pub(super) async fn proved(scan: Arc<ScanContext>) -> Result<(), Fault> {
    scan.validate().await.map_err(Fault::from)
}

impl RunningQuery {
    /// The first attempt, or the second where a file changed while the first was planned, or it was too wide.
    pub(super) async fn start_attempt(&mut self) -> Result<(), Fault> {
        match self.attempt().await {
            Err(fault) if self.may_replan(&fault) => self.replan().await,
            Err(_) if self.may_narrow() => self.replan().await,
            other => other,
        }
    }

    /// A changed file is planned around once, as long as no row has left.
    pub(super) fn may_replan(&self, fault: &Fault) -> bool {
        fault.kind() == Kind::Changed
            && self
                .open
                .as_ref()
                .is_some_and(|o| !o.replanned && o.account.rows_sent() == 0)
    }

    /// Whether the attempt ended because it computed too many rows at a time; the next one computes fewer.
    pub(super) fn may_narrow(&mut self) -> bool {
        let Some(open) = self.open.as_mut().filter(|o| o.account.rows_sent() == 0) else {
            return false;
        };
        let Some(source) = &mut open.source else {
            return false;
        };
        match source.wanted.take() {
            Some(rows) if rows.get() < source.state.config().batch_size() => {
                with_rows_at_a_time(&mut source.state, rows);
                true
            }
            _ => false,
        }
    }

    pub(super) async fn replan(&mut self) -> Result<(), Fault> {
        let open = self.open()?;
        open.replanned = true;
        open.attempt = None;
        open.held = None;
        open.ready.clear();
        open.proved = false;
        open.account.scan.restart();
        self.attempt().await
    }

    /// The next batch that may leave. Cancel safe: what was pulled is held or ready.
    pub(super) async fn advance(&mut self) -> Result<Option<RecordBatch>, Fault> {
        loop {
            match self.pull().await {
                Ok(Some(batch)) if batch.num_rows() == 0 => {}
                Ok(Some(batch)) => {
                    let open = self.open()?;
                    if open.held.is_some() && !open.proved {
                        open.ready.push_front(batch);
                        self.prove().await?;
                    } else if let Some(previous) = open.held.replace(batch) {
                        return Ok(Some(previous));
                    }
                }
                Ok(None) => {
                    // The attempt stays until its answer is proved, so that a dropped call proves it again.
                    if self.open()?.attempt.is_some() {
                        if !self.open()?.proved {
                            self.prove().await?;
                            continue;
                        }
                        let open = self.open()?;
                        if let Some(attempt) = open.attempt.take() {
                            open.account.spilled(spilled_bytes(&attempt.plan));
                        }
                    }
                    return Ok(self.open()?.held.take());
                }
                Err(fault) if self.may_replan(&fault) => self.replan().await?,
                Err(_) if self.may_narrow() => self.replan().await?,
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Before the first rows leave: all that was listed before this query is still so, or the query is planned again.
    ///
    /// From then on a changed file ends the query, since its rows cannot be called back.
    pub(super) async fn prove(&mut self) -> Result<(), Fault> {
        let open = self.open()?;
        let begun = open.attempt.as_mut().and_then(|attempt| attempt.proof.take());
        let scan = Arc::clone(&open.account.scan);
        let runtimes = &self.shared.runtimes;
        let proof = match begun {
            Some(begun) => begun,
            None => runtimes.spawn_plan(caught(proved(scan)))?,
        };
        match self.guarded(proof.join()).await {
            Ok(()) => {
                self.open()?.proved = true;
                Ok(())
            }
            Err(fault) if self.may_replan(&fault) => self.replan().await,
            Err(fault) => Err(fault),
        }
    }

    /// The next batch of the attempt. Cancel safe: a batch is either still in the channel or returned.
    pub(super) async fn pull(&mut self) -> Result<Option<RecordBatch>, Fault> {
        let (context, deadline) = (Arc::clone(&self.context), self.deadline);
        let open = self.open()?;
        if let Some(batch) = open.ready.pop_front() {
            return Ok(Some(batch));
        }
        match &mut open.attempt {
            Some(attempt) => {
                within(&context, deadline, async {
                    attempt.batches.recv().await.transpose()
                })
                .await
            }
            None => Ok(None),
        }
    }
}
