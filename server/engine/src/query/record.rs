//! One query's account from submission to its single end: receipt, ledger row, metrics, log line.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use owlake_fault::{Code, Fault, Kind};
use owlake_metering::{
    AthenaBilling, Ledger, Meter, PricePlan, QueryRecord, QueryState, QuotaGrant, Receipt, RequestLog,
    StatementType,
};
use owlake_scan::{Bounds, Confidence, ScanContext};
use tokio::time::Instant;

use crate::config::WorkgroupConfig;
use crate::memory::QueryMemoryPool;

/// Told when queries start and end; metrics hang on it.
pub trait QueryObserver: Send + Sync + std::fmt::Debug {
    /// A query was submitted.
    fn submitted(&self, _record: &QueryRecord) {}
    /// A query began (+1) or ended (-1) to wait for a slot.
    fn waiting(&self, _workgroup: &str, _change: i64) {}
    /// A query got its slot.
    fn started(&self, _workgroup: &str) {}
    /// A query that had a slot ended.
    fn stopped(&self, _workgroup: &str) {}
    /// A query ended; called exactly once per submitted query.
    fn finished(&self, _record: &QueryRecord) {}
}

/// No observer.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl QueryObserver for NoObserver {}

/// What every account needs to close itself.
#[derive(Debug)]
pub(crate) struct Accounting {
    pub ledger: Arc<Ledger>,
    pub price: PricePlan,
    pub billing: AthenaBilling,
    pub observer: Arc<dyn QueryObserver>,
    pub clock: fn() -> DateTime<Utc>,
}

impl Accounting {
    /// Sets what the counters of `receipt` cost a query that ends in `state`.
    fn price(&self, receipt: &mut Receipt, state: QueryState) {
        let counters = &receipt.counters;
        receipt.billed_bytes = self.billing.billed_bytes(
            receipt.statement_type,
            state,
            receipt.reused_query_id.is_some(),
            // Athena adds up what all data sources gave.
            counters.data_scanned_bytes.saturating_add(counters.remote_bytes),
        );
        receipt.athena_cost_usd = self.billing.cost(receipt.billed_bytes);
        receipt.cost_usd = self.price.cost(counters);
        receipt.price_plan.clone_from(&self.price.name);
    }
}

/// A query in front of the slots.
pub(crate) struct Waiting(Arc<dyn QueryObserver>, Arc<WorkgroupConfig>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting(&self.1.name, -1);
    }
}

/// The open account of a query. Ends exactly once: by [`Self::finish`], or as CANCELLED when dropped.
#[derive(Debug)]
pub(crate) struct QueryAccount {
    accounting: Arc<Accounting>,
    record: Option<Box<QueryRecord>>,
    pub meter: Arc<Meter>,
    pub scan: Arc<ScanContext>,
    pub memory: Arc<QueryMemoryPool>,
    started: Instant,
    marks: Marks,
    running: bool,
    requests: Option<Arc<RequestLog>>,
    writes_requests: bool,
    workgroup: Arc<WorkgroupConfig>,
    quotas: Option<Arc<QuotaGrant>>,
}

/// When the query passed from one phase to the next.
#[derive(Debug, Default, Clone, Copy)]
struct Marks {
    planning: Duration,
    queue: Duration,
    execution_from: Option<Instant>,
}

impl QueryAccount {
    /// Opens the account; the ledger row exists when this returns.
    pub(crate) async fn open(
        accounting: Arc<Accounting>,
        record: QueryRecord,
        meter: Arc<Meter>,
        scan: Arc<ScanContext>,
        memory: Arc<QueryMemoryPool>,
        workgroup: Arc<WorkgroupConfig>,
    ) -> Result<Self, Fault> {
        accounting.ledger.submit(&record).await?;
        accounting.observer.submitted(&record);
        Ok(Self {
            accounting,
            record: Some(Box::new(record)),
            meter,
            scan,
            memory,
            started: Instant::now(),
            marks: Marks::default(),
            running: false,
            requests: None,
            writes_requests: false,
            workgroup,
            quotas: None,
        })
    }

    /// The workgroup as it was when the query arrived.
    pub(crate) fn workgroup(&self) -> Arc<WorkgroupConfig> {
        Arc::clone(&self.workgroup)
    }

    /// The quotas that the query's reads are booked on.
    pub(crate) fn with_quotas(mut self, quotas: Option<Arc<QuotaGrant>>) -> Self {
        self.quotas = quotas;
        self
    }

    /// The log that the query's stores write to; `writes` says whether for the ledger.
    pub(crate) fn with_request_log(mut self, requests: Arc<RequestLog>, writes: bool) -> Self {
        self.requests = Some(requests);
        self.writes_requests = writes;
        self
    }

    /// The log that the query's stores write to.
    pub(crate) fn requests(&self) -> Option<&Arc<RequestLog>> {
        self.requests.as_ref()
    }

    /// Counts as waiting until the guard is dropped.
    pub(crate) fn waits(&self) -> Waiting {
        self.accounting.observer.waiting(&self.workgroup.name, 1);
        Waiting(Arc::clone(&self.accounting.observer), self.workgroup())
    }

    pub(crate) fn add_planning(&mut self, time: Duration) {
        self.marks.planning += time;
    }

    pub(crate) fn got_slot(&mut self, waited: Duration) {
        self.marks.queue += waited;
        self.running = true;
        self.accounting.observer.started(&self.workgroup.name);
        if let Some(record) = &mut self.record {
            record.started_at = Some((self.accounting.clock)());
        }
    }

    pub(crate) fn executes(&mut self) {
        self.marks.execution_from.get_or_insert_with(Instant::now);
    }

    pub(crate) fn sent(&mut self, rows: u64, bytes: u64) {
        if let Some(record) = &mut self.record {
            record.receipt.rows_returned += rows;
            record.receipt.bytes_returned += bytes;
        }
    }

    pub(crate) fn rows_sent(&self) -> u64 {
        self.record.as_ref().map_or(0, |r| r.receipt.rows_returned)
    }

    pub(crate) fn timing_dependent(&mut self, yes: bool) {
        if let Some(record) = &mut self.record {
            record.receipt.timing_dependent |= yes;
        }
    }

    /// A kept result of `age` answers; nothing is read.
    pub(crate) fn reused(&mut self, query_id: &str, age: chrono::TimeDelta) {
        if let Some(record) = &mut self.record {
            record.receipt.reused_query_id = Some(query_id.to_owned());
            record.receipt.timing_dependent = false;
        }
        self.scan.notice(format!(
            "the result of query {query_id} was reused, made {} s ago over the same files",
            age.num_seconds()
        ));
    }

    /// The receipt as it stands, of a query that goes on: bytes, requests, money and the estimate.
    pub(crate) fn so_far(&self) -> Option<Receipt> {
        let mut receipt = self.record.as_ref()?.receipt.clone();
        receipt.counters = self.meter.counters();
        // As if it ended well now.
        self.accounting.price(&mut receipt, QueryState::Succeeded);
        Some(receipt)
    }

    /// Prices of this deployment.
    pub(crate) fn prices(&self) -> (&PricePlan, &AthenaBilling) {
        (&self.accounting.price, &self.accounting.billing)
    }

    /// Keeps what the plan said it would read. Where a changed file made the query plan again, both attempts count.
    pub(crate) fn estimated(&mut self, bounds: Bounds, confidence: Confidence) {
        let Some(record) = &mut self.record else {
            return;
        };
        let receipt = &mut record.receipt;
        let earlier = receipt.estimate_max_bytes;
        receipt.estimate_min_bytes = Some(bounds.min);
        receipt.estimate_max_bytes = Some(bounds.max.saturating_add(earlier.unwrap_or(0)));
        let confidence = match earlier {
            Some(_) => confidence.max(Confidence::UpperBound),
            None => confidence,
        };
        receipt.estimate_confidence = Some(confidence.as_str().to_owned());
    }

    pub(crate) fn spilled(&mut self, bytes: u64) {
        if let Some(record) = &mut self.record {
            record.receipt.spilled_bytes = bytes;
        }
    }

    pub(crate) fn statement(&mut self, class: StatementType, hash: Option<String>) {
        if let Some(record) = &mut self.record {
            record.receipt.statement_type = class;
            if let Some(hash) = hash {
                record.query_hash = hash;
            }
        }
    }

    /// Closes the account with how it ended; the ledger has it when this returns.
    pub(crate) async fn finish(&mut self, fault: Option<&Fault>) -> Option<Receipt> {
        let record = self.close(fault)?;
        if let Err(error) = self.accounting.ledger.finish(&record).await {
            tracing::error!(query_id = record.receipt.query_id, %error, "the end of a query was not recorded");
        }
        Some(record.receipt)
    }

    /// Closes the account without waiting for the ledger; for `Drop` and for cancelled callers.
    pub(crate) fn finish_now(&mut self, fault: Option<&Fault>) -> Option<Receipt> {
        let record = self.close(fault)?;
        let receipt = record.receipt.clone();
        self.accounting.ledger.finish_detached(*record);
        Some(receipt)
    }

    fn close(&mut self, fault: Option<&Fault>) -> Option<Box<QueryRecord>> {
        let mut record = self.record.take()?;
        let receipt = &mut record.receipt;
        receipt.state = end_state(fault);
        receipt.error_code = fault.map(|f| f.code().to_string());
        receipt.error_message = fault.map(|f| {
            if f.kind() == Kind::Internal {
                format!("{}: internal error", f.code())
            } else {
                f.to_string()
            }
        });
        receipt.counters = self.meter.counters();
        let state = receipt.state;
        self.accounting.price(receipt, state);
        receipt.planning_time = self.marks.planning;
        receipt.queue_time = self.marks.queue;
        receipt.execution_time = self.marks.execution_from.map(|t| t.elapsed()).unwrap_or_default();
        receipt.total_time = self.started.elapsed();
        receipt.scans = self.scan.table_scans();
        receipt.remote_queries = self.scan.remote_queries();
        receipt.notices = self.scan.notices();
        receipt.peak_memory_bytes = self.memory.peak_bytes();
        if let Some(requests) = self.requests.take().filter(|_| self.writes_requests) {
            record.object_requests = requests.take();
            if requests.not_kept() > 0 {
                record.receipt.notices.push(format!(
                    "system.object_requests has the first {} requests; {} more are not kept",
                    record.object_requests.len(),
                    requests.not_kept()
                ));
            }
        }
        if let Some(quotas) = self.quotas.take() {
            quotas.finish();
        }
        record.finished_at = Some((self.accounting.clock)());
        if std::mem::take(&mut self.running) {
            self.accounting.observer.stopped(&self.workgroup.name);
        }
        self.accounting.observer.finished(&record);
        log(&record, fault);
        Some(record)
    }
}

impl Drop for QueryAccount {
    fn drop(&mut self) {
        if self.record.is_some() {
            let gone = Fault::new(
                Code::UserCanceled,
                "the client went away before the end of the result",
            );
            self.finish_now(Some(&gone));
        }
    }
}

/// A query stopped by its client or by the cap is CANCELLED, as in Athena; every other error is FAILED.
fn end_state(fault: Option<&Fault>) -> QueryState {
    match fault.map(Fault::code) {
        None => QueryState::Succeeded,
        Some(Code::ExceededScanLimit | Code::ExceededQuota | Code::UserCanceled) => QueryState::Cancelled,
        Some(_) => QueryState::Failed,
    }
}

/// What a fault does not tell clients: its causes, outermost first. Those of a wrong statement could quote it.
fn causes(fault: &Fault) -> Option<String> {
    if fault.kind() == Kind::InvalidQuery {
        return None;
    }
    let mut texts: Vec<String> = Vec::new();
    let mut next = fault.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        // Many errors repeat their cause in their own text.
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    (!texts.is_empty()).then(|| texts.join(": "))
}

/// One line per query with all numbers; never its text.
fn log(record: &QueryRecord, fault: Option<&Fault>) {
    let r = &record.receipt;
    tracing::info!(
        query_id = r.query_id,
        state = r.state.as_str(),
        principal = record.principal,
        workgroup = r.workgroup,
        statement_type = r.statement_type.as_str(),
        error_code = r.error_code.as_deref(),
        cause = fault.and_then(causes),
        rows = r.rows_returned,
        data_scanned_bytes = r.counters.data_scanned_bytes,
        metadata_bytes = r.counters.metadata_bytes,
        transferred_bytes = r.counters.transferred_bytes,
        get_requests = r.counters.get_requests,
        list_requests = r.counters.list_requests,
        cost_usd = %r.cost_usd,
        total_ms = u64::try_from(r.total_time.as_millis()).unwrap_or(u64::MAX),
        "query ended"
    );
}
