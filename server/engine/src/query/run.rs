//! A query that runs: slot, physical plan, batches, the proof that nothing was stale, the receipt.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{Stream, StreamExt};
use owlake_fault::{Code, Fault, Kind};
use owlake_metering::Receipt;
use owlake_scan::ScanContext;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::admission::Slot;
use crate::commands::CommandRunner;
use crate::context::{QueryContext, SessionSettings};
use crate::engine::Shared;
use crate::error::fault_from;
use crate::query::estimate::Estimate;
use crate::query::limits::{quiesce, within};
use crate::query::physical::Purpose;
use crate::query::pieces::{is_wide, leaving, pieces};
use crate::query::plan::{StatementKind, Submitted, Work};
use crate::query::proof::proved;
use crate::query::repeats::Wanted;
use crate::query::verify::Verification;
use crate::query::{QueryAccount, QueryFailure};
use crate::reuse::Reuse;
use crate::runtime::{AbortOnDrop, caught};
use crate::wire::{batch_bytes, to_wire};

/// Batches between the compute threads and the consumer; back-pressure beyond that.
const BATCHES_AHEAD: usize = 2;

/// A query whose rows are being produced. Dropping it cancels it: object reads end, and the ledger
/// records CANCELLED once they have.
#[derive(Debug)]
pub struct RunningQuery {
    pub(super) shared: Arc<Shared>,
    pub(super) context: Arc<QueryContext>,
    pub(super) schema: SchemaRef,
    kind: StatementKind,
    pub(super) deadline: Instant,
    settings: Option<SessionSettings>,
    pub(super) estimate: Option<Estimate>,
    pub(super) open: Option<Open>,
    receipt: Option<Receipt>,
    failure: Option<QueryFailure>,
}

/// What exists until the query has ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) account: QueryAccount,
    slot: Option<Slot>,
    pub(super) source: Option<Source>,
    pub(super) attempt: Option<Attempt>,
    /// The batch that is held back until it is known that nothing was stale.
    pub(super) held: Option<RecordBatch>,
    pub(super) ready: VecDeque<RecordBatch>,
    /// For the rows that were handed out last: whoever asks for more has sent them.
    leaving: Option<MemoryReservation>,
    pub(super) replanned: bool,
    /// Every cached listing of this attempt was current when rows began to leave.
    pub(super) proved: bool,
    /// All that the plan will read is at hand, surely.
    pub(super) at_hand: bool,
    pub(super) reuse: Option<Reuse>,
    pub(super) verification: Option<Verification>,
}

/// What a plan is made from, kept for a second attempt.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) plan: LogicalPlan,
    pub(super) state: Box<SessionState>,
    pub(super) schema: SchemaRef,
    /// Rows at a time that the last attempt should have had.
    pub(super) wanted: Wanted,
}

/// One execution of one physical plan.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) batches: mpsc::Receiver<Result<RecordBatch, Fault>>,
    _task: AbortOnDrop<()>,
    /// The proof that caches were right, under way already where the attempt asks the store for nothing else.
    pub(super) proof: Option<AbortOnDrop<Result<(), Fault>>>,
    pub(super) plan: Arc<dyn ExecutionPlan>,
}

impl Submitted {
    /// Takes a slot and starts the query; commands run to their end here.
    ///
    /// Cancel safe: dropping the future ends the query as CANCELLED.
    pub async fn run(self) -> Result<RunningQuery, QueryFailure> {
        let Self {
            shared,
            context,
            account,
            work,
            schema,
            deadline,
            kind,
        } = self;
        let mut running = RunningQuery {
            shared,
            context,
            schema,
            kind,
            deadline,
            settings: None,
            estimate: None,
            open: Some(Open {
                account,
                slot: None,
                source: None,
                attempt: None,
                held: None,
                ready: VecDeque::new(),
                leaving: None,
                replanned: false,
                proved: false,
                at_hand: false,
                reuse: None,
                verification: None,
            }),
            receipt: None,
            failure: None,
        };
        match running.start(work).await {
            Ok(()) => Ok(running),
            Err(fault) => Err(running.fail(fault).await),
        }
    }
}

impl RunningQuery {
    /// Schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the statement gives back.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// The query id.
    pub fn query_id(&self) -> &str {
        &self.context.id
    }

    /// Session settings that the statement changed (USE, SET).
    pub fn changed_settings(&self) -> Option<&SessionSettings> {
        self.settings.as_ref()
    }

    /// The estimate, where the statement was answered by one.
    pub fn estimate(&self) -> Option<&Estimate> {
        self.estimate.as_ref()
    }

    /// The receipt, once the query has ended well or badly.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt
            .as_ref()
            .or_else(|| self.failure.as_ref().and_then(|f| f.receipt.as_deref()))
    }

    /// The next batch; `None` after the last, when the receipt is there. After an error every call gives the same one.
    ///
    /// Cancel safe.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>, QueryFailure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.open.is_none() {
            return Ok(None);
        }
        match self.advanced().await.and_then(|batch| self.leaves(batch)) {
            Ok(Some(batch)) => {
                if let Some(open) = &mut self.open {
                    open.account.sent(batch.num_rows() as u64, batch_bytes(&batch));
                    if let Some(reuse) = &mut open.reuse {
                        reuse.leaves(&batch);
                    }
                }
                Ok(Some(batch))
            }
            Ok(None) => {
                let reuse = self.open.as_mut().and_then(|open| open.reuse.take());
                self.receipt = self.end(None).await;
                if let Some(reuse) = reuse {
                    self.keep(reuse).await;
                }
                Ok(None)
            }
            Err(fault) => Err(self.fail(fault).await),
        }
    }

    fn leaves(&mut self, batch: Option<RecordBatch>) -> Result<Option<RecordBatch>, Fault> {
        if let (Some(open), Some(batch)) = (&mut self.open, &batch) {
            open.leaving = None;
            open.leaving = leaving(&open.account.memory, batch_bytes(batch))?;
        }
        Ok(batch)
    }

    /// The next batch; before the end, all that left is compared where the session asked for that.
    async fn advanced(&mut self) -> Result<Option<RecordBatch>, Fault> {
        let next = self.advance().await?;
        match (&next, &mut self.open()?.verification) {
            (Some(batch), Some(verification)) => verification.leaves(batch)?,
            (Some(_), None) => {}
            (None, _) => self.verified()?,
        }
        Ok(next)
    }

    /// The batches as a stream; the query ends with it.
    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch, QueryFailure>> + Send {
        futures::stream::try_unfold(self, |mut query| async move {
            Ok(query.next_batch().await?.map(|batch| (batch, query)))
        })
    }

    async fn start(&mut self, work: Work) -> Result<(), Fault> {
        match work {
            Work::Command(command) => {
                let runner = CommandRunner {
                    resolver: Arc::clone(&self.shared.resolver),
                    context: Arc::clone(&self.context),
                    scan: Arc::clone(&self.open()?.account.scan),
                    roots: self.shared.stores.roots().clone(),
                    workgroups: Arc::clone(&self.shared.workgroups),
                    quotas: Arc::clone(&self.shared.quotas),
                };
                self.open()?.account.executes();
                let work = async move { runner.run(*command).await };
                let outcome = self.guarded(self.shared.runtimes.plan(caught(work))).await?;
                self.settings = outcome.settings;
                self.open()?.ready.extend(outcome.rows);
                Ok(())
            }
            Work::Plan { plan, state } => {
                self.enter().await?;
                let schema = Arc::clone(&self.schema);
                let account = &self.open()?.account;
                let (scan, group) = (Arc::clone(&account.scan), account.workgroup());
                self.open()?.reuse = self.shared.reuse(&self.context, &group, &plan, &schema, &scan);
                drop(scan);
                self.open()?.source = Some(Source {
                    plan,
                    state,
                    schema,
                    wanted: Wanted::default(),
                });
                self.run_here().await?;
                self.start_attempt().await
            }
            Work::Explain {
                plan,
                state,
                analyze,
                kind,
                format,
            } => self.explain(plan, state, analyze, kind, format).await,
            Work::Unread => self.unread(),
        }
    }

    pub(super) fn open(&mut self) -> Result<&mut Open, Fault> {
        self.open
            .as_mut()
            .ok_or_else(|| Fault::new(Code::GenericInternalError, "the query has ended"))
    }

    pub(super) fn scan(&mut self) -> Result<&Arc<ScanContext>, Fault> {
        Ok(&self.open()?.account.scan)
    }

    /// Waits for a slot under the query's deadline.
    pub(super) async fn enter(&mut self) -> Result<(), Fault> {
        let begun = Instant::now();
        let waiting = self.open()?.account.waits();
        let group = self.open()?.account.workgroup();
        let admitted = self.shared.admission.enter(&group.name, group.group_limits());
        let slot = self.guarded(admitted).await?;
        drop(waiting);
        let open = self.open()?;
        open.slot = Some(slot);
        open.account.got_slot(begun.elapsed());
        Ok(())
    }

    pub(super) async fn guarded<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        within(&self.context, self.deadline, work).await
    }

    /// Makes the physical plan (lists, reads footers) and starts it.
    pub(super) async fn attempt(&mut self) -> Result<(), Fault> {
        let plan = self.physical_plan(Purpose::Run).await?;
        if self.answered_by_kept()? {
            return Ok(());
        }
        let source = self.open()?.source.as_ref().ok_or_else(ended)?;
        let (schema, task) = (Arc::clone(&source.schema), source.state.task_ctx());
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let running = Arc::clone(&plan);
        let work = async move {
            let result = caught(async {
                let mut stream = execute_stream(running, task).map_err(fault_from)?;
                while let Some(batch) = stream.next().await {
                    let batch =
                        to_wire(&batch.map_err(fault_from)?, &schema).map_err(|e| fault_from(e.into()))?;
                    for piece in pieces(batch) {
                        // Nothing is computed ahead of a wide piece.
                        let room = if is_wide(&piece) { BATCHES_AHEAD } else { 1 };
                        let Ok(mut permits) = sender.reserve_many(room).await else {
                            return Ok(());
                        };
                        if let Some(permit) = permits.next() {
                            permit.send(Ok(piece));
                        }
                    }
                }
                Ok(())
            })
            .await;
            if let Err(fault) = result {
                // A receiver that has gone does not want to know.
                let _gone = sender.send(Err(fault)).await;
            }
        };
        // A proof that waits until all is computed costs its round trips; where files are read from the store it
        // would be too early: reading proves them.
        let scan = Arc::clone(&self.open()?.account.scan);
        let proof = match self.open()?.at_hand {
            true => Some(self.shared.runtimes.spawn_plan(caught(proved(scan)))?),
            false => None,
        };
        let task = self.shared.runtimes.spawn_cpu(work)?;
        let open = self.open()?;
        open.account.executes();
        open.attempt = Some(Attempt {
            batches,
            _task: task,
            proof,
            plan,
        });
        Ok(())
    }

    async fn fail(&mut self, fault: Fault) -> QueryFailure {
        let memory = self.open.as_ref().map(|open| &open.account.memory);
        let fault = match memory {
            Some(memory) if memory.is_ended() => crate::resident::ended(memory.pressure()),
            _ => fault,
        };
        let receipt = self.end(Some(&fault)).await.map(Box::new);
        let failure = QueryFailure {
            fault,
            receipt,
            query_id: Some(self.context.id.clone()),
        };
        self.failure = Some(failure.clone());
        failure
    }

    /// Stops what still reads, then closes the account.
    async fn end(&mut self, fault: Option<&Fault>) -> Option<Receipt> {
        let open = self.open.take()?;
        open.close(fault).await
    }
}

impl Open {
    async fn close(mut self, fault: Option<&Fault>) -> Option<Receipt> {
        self.attempt = None;
        self.source = None;
        self.held = None;
        self.leaving = None;
        quiesce(&self.account.scan).await;
        if fault.is_some_and(|fault| fault.kind() == Kind::Changed) {
            self.account.scan.forget_listings().await;
        }
        let receipt = self.account.finish(fault).await;
        drop(self.slot);
        receipt
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let gone = Fault::new(
                Code::UserCanceled,
                "the client went away before the end of the result",
            );
            self.shared.runtimes.spawn_io(async move {
                let _receipt = open.close(Some(&gone)).await;
            });
        }
    }
}

pub(super) fn ended() -> Fault {
    Fault::new(Code::GenericInternalError, "the query has ended")
}
