//! Results kept for queries that ask for it, and given again only while everything they came from is what it was.
//!
//! A look-up comes after the plan: names are resolved for the principal who asks, and all prefixes are listed anew.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use moka::future::Cache;
use owlake_scan::cache::{CacheStatus, Tally};
use owlake_scan::{ScanContext, ScanIdentity};

use crate::config::{EngineConfig, WorkgroupConfig};
use crate::context::{QueryContext, SessionSettings};
use crate::engine::Shared;
use crate::wire::batch_bytes;

mod eligible;

use eligible::is_reusable;

/// Longest age one may ask for, as in Athena; nothing is kept longer.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A batch up to this size is kept as it is.
const SMALL_BYTES: usize = 1 << 20;

/// Bytes that one character of a plan's text stands for in memory, about.
const PLAN_BYTES_PER_CHAR: usize = 16;

/// What an answer depends on. Prices and limits are no part of it.
#[derive(Debug)]
pub(crate) struct ResultKey {
    /// Optimized, parameters in their places.
    plan: LogicalPlan,
    /// As announced to the client.
    schema: SchemaRef,
    /// Settings of the session that change what a plan means.
    session: Vec<String>,
    /// Sorted.
    scans: Vec<ScanIdentity>,
    /// Of all the above: made once, on a thread with the stack for a deep plan.
    hash: u64,
}

impl ResultKey {
    fn new(
        plan: LogicalPlan,
        schema: SchemaRef,
        settings: &SessionSettings,
        scans: Vec<ScanIdentity>,
    ) -> Self {
        let session = answer_settings(settings);
        let mut hasher = std::hash::DefaultHasher::new();
        (&plan, &session, &scans).hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            plan,
            schema,
            session,
            scans,
        }
    }

    fn bytes(&self) -> usize {
        self.plan.display_indent().to_string().len() * PLAN_BYTES_PER_CHAR + self.scans.len() * 256
    }
}

impl PartialEq for ResultKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.scans == other.scans
            && self.session == other.session
            && self.schema == other.schema
            && self.plan == other.plan
    }
}

impl Eq for ResultKey {}

impl Hash for ResultKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Settings that decide what a statement means. Written out, so that a new setting has to be thought of here.
fn answer_settings(settings: &SessionSettings) -> Vec<String> {
    let SessionSettings {
        catalog,
        database,
        workgroup: _,
        max_cost_usd: _,
        source: _,
        tags: _,
        max_data_scanned_bytes: _,
        query_timeout: _,
        log_object_requests: _,
        result_reuse_max_age: _,
        verify_pushdown: _,
    } = settings;
    vec![catalog.clone(), database.clone()]
}

/// A result that was sent whole.
#[derive(Debug)]
pub(crate) struct KeptResult {
    /// The query that made it.
    pub query_id: String,
    /// That query's `now`: its listings were made after it.
    pub made_at: DateTime<Utc>,
    /// All its rows.
    pub batches: Vec<RecordBatch>,
    bytes: usize,
}

/// The kept results of a process: bounded by bytes and by [`MAX_AGE`].
#[derive(Debug)]
pub(crate) struct ResultStore {
    kept: Cache<Arc<ResultKey>, Arc<KeptResult>>,
    max_result_bytes: usize,
    tally: Arc<Tally>,
}

impl ResultStore {
    /// An empty store of the configured size; `tally` counts what it does.
    pub(crate) fn new(config: &EngineConfig, tally: Arc<Tally>) -> Self {
        let weight =
            |_: &Arc<ResultKey>, result: &Arc<KeptResult>| u32::try_from(result.bytes).unwrap_or(u32::MAX);
        let dropped = Arc::clone(&tally);
        Self {
            kept: Cache::builder()
                .max_capacity(config.result_memory_bytes)
                .weigher(weight)
                .time_to_live(MAX_AGE)
                .eviction_listener(move |_key, _result, cause| dropped.removed(cause))
                .build(),
            tally,
            max_result_bytes: usize::try_from(config.max_kept_result_bytes).unwrap_or(usize::MAX),
        }
    }

    /// Sizes and counts.
    pub(crate) async fn status(&self) -> CacheStatus {
        self.tally.status_of(&self.kept).await
    }
}

/// One query's part: what it may be answered with, and what it will leave behind.
#[derive(Debug)]
pub(crate) struct Reuse {
    look_up: LookUp,
    state: State,
}

/// What a planning thread needs to look for a result.
#[derive(Debug, Clone)]
pub(crate) struct LookUp {
    store: Arc<ResultStore>,
    settings: SessionSettings,
    schema: SchemaRef,
    max_age: Duration,
    now: DateTime<Utc>,
}

#[derive(Debug)]
enum State {
    /// Nothing to answer with, nothing to keep.
    Idle,
    /// An earlier result answers.
    Answers(Arc<KeptResult>),
    /// Rows on their way out are kept.
    Keeps {
        key: Arc<ResultKey>,
        batches: Vec<RecordBatch>,
        bytes: usize,
    },
}

/// What a look-up found.
#[derive(Debug)]
pub(crate) enum Found {
    /// An earlier result, to be sent as it is.
    Kept(Arc<KeptResult>),
    /// None: the query has to run, and its result may be kept under the key, where there is one.
    Nothing(Option<Arc<ResultKey>>),
}

impl Reuse {
    /// For a query whose plan [`is_reusable`]: from here on its scans list anew and identify what they read.
    pub(crate) fn new(
        store: &Arc<ResultStore>,
        settings: &SessionSettings,
        schema: &SchemaRef,
        max_age: Duration,
        now: DateTime<Utc>,
        scan: &ScanContext,
    ) -> Self {
        scan.fresh_listings.store(true, Ordering::Relaxed);
        scan.identify_files.store(true, Ordering::Relaxed);
        Self {
            look_up: LookUp {
                store: Arc::clone(store),
                settings: settings.clone(),
                schema: Arc::clone(schema),
                max_age: max_age.min(MAX_AGE),
                now,
            },
            state: State::Idle,
        }
    }

    /// The part of it that goes to a planning thread.
    pub(crate) fn look_up(&self) -> LookUp {
        self.look_up.clone()
    }

    /// Takes over what a look-up found; what an earlier attempt left is forgotten.
    pub(crate) fn found(&mut self, found: Found) {
        self.state = match found {
            Found::Kept(kept) => State::Answers(kept),
            Found::Nothing(None) => State::Idle,
            Found::Nothing(Some(key)) => State::Keeps {
                bytes: key.bytes(),
                key,
                batches: Vec::new(),
            },
        };
    }

    /// The earlier result that answers.
    pub(crate) fn kept(&self) -> Option<Arc<KeptResult>> {
        match &self.state {
            State::Answers(kept) => Some(Arc::clone(kept)),
            State::Idle | State::Keeps { .. } => None,
        }
    }

    /// Sees a batch that leaves. A result that grows too large is let go at once.
    pub(crate) fn leaves(&mut self, batch: &RecordBatch) {
        if let State::Keeps { batches, bytes, .. } = &mut self.state {
            let room = self.look_up.store.max_result_bytes.saturating_sub(*bytes);
            match own_rows(batch, room) {
                Some(rows) => {
                    *bytes += rows.get_array_memory_size();
                    batches.push(rows);
                }
                None => self.state = State::Idle,
            }
        }
    }

    /// Keeps the result of query `query_id`, all of which has left.
    pub(crate) async fn keep(self, query_id: &str) {
        if let State::Keeps { key, batches, bytes } = self.state {
            let result = KeptResult {
                query_id: query_id.to_owned(),
                made_at: self.look_up.now,
                batches,
                bytes,
            };
            self.look_up.store.kept.insert(key, Arc::new(result)).await;
        }
    }
}

/// The rows, in memory of their own where `batch` is large: it may be a piece of a larger one, or be reserved in the
/// memory of its query, and neither is to be kept with it. `None` where they take more than `room`.
fn own_rows(batch: &RecordBatch, room: usize) -> Option<RecordBatch> {
    if batch.get_array_memory_size() <= SMALL_BYTES {
        return (batch.get_array_memory_size() <= room).then(|| batch.clone());
    }
    if batch_bytes(batch) > room as u64 {
        return None;
    }
    let rows = UInt32Array::from_iter_values(0..u32::try_from(batch.num_rows()).ok()?);
    let own = take_record_batch(batch, &rows).ok()?;
    (own.get_array_memory_size() <= room).then_some(own)
}

impl LookUp {
    /// Looks for a result of `plan` (optimized, and planned with `scan`) that is young enough.
    pub(crate) async fn find(self, plan: LogicalPlan, scan: &ScanContext) -> Found {
        let identities = scan.nodes().iter().map(|node| node.identity().cloned()).collect();
        let Some(mut scans): Option<Vec<ScanIdentity>> = identities else {
            return Found::Nothing(None);
        };
        if scans.is_empty() {
            // Nothing is read; there is nothing to save.
            return Found::Nothing(None);
        }
        scans.sort_unstable();
        let key = Arc::new(ResultKey::new(plan, self.schema, &self.settings, scans));
        let kept = self.store.kept.get(&key).await;
        let young = kept.filter(|kept| {
            let age = self.now.signed_duration_since(kept.made_at);
            age.to_std().is_ok_and(|age| age <= self.max_age)
        });
        self.store.tally.looked_up(young.is_some());
        match young {
            Some(kept) => Found::Kept(kept),
            None => Found::Nothing(Some(key)),
        }
    }
}

impl Shared {
    /// The part in reuse of a query over `plan`, where its session or workgroup asks for it and the plan allows it.
    pub(crate) fn reuse(
        &self,
        context: &QueryContext,
        workgroup: &WorkgroupConfig,
        plan: &LogicalPlan,
        schema: &SchemaRef,
        scan: &ScanContext,
    ) -> Option<Reuse> {
        let settings = &context.settings;
        let max_age = settings
            .result_reuse_max_age
            .or(workgroup.result_reuse_max_age)
            .filter(|age| !age.is_zero())?;
        is_reusable(plan).then(|| Reuse::new(&self.results, settings, schema, max_age, context.now, scan))
    }
}

#[cfg(test)]
mod tests;
