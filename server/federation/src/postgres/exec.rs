//! The scan of a remote table in a physical plan: metered, and cancelled on the server when its stream is dropped.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, assert_or_internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions, apply_expression_roots,
};
use owlake_engine::{RemoteQuery, RemoteScope, ToldOfPlan};
use owlake_fault::Fault;
use tokio::time::Instant;

use super::database::Database;
use super::dynamic;
use super::ranges::{self, Ranges, Work};
use super::scan::{RemoteRows, RowsObserver, ScanRequest};
use super::snapshot::Snapshot;

/// One remote statement.
#[derive(Debug, Clone)]
pub(super) struct PostgresScan {
    database: Arc<Database>,
    request: ScanRequest,
    sql: String,
    /// Rows that the database expects.
    rows: Option<u64>,
    /// What joins and sorts above find out while they run.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Those of them, by id, that are final before this scan begins.
    awaited: Arc<HashSet<u64>>,
    /// The statement that was sent, where it is another one for those filters.
    sent: Arc<OnceLock<String>>,
    /// What it sees together with the other scans of its query.
    snapshot: Arc<Snapshot>,
    /// In which pieces it is read.
    ranges: Arc<Ranges>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PostgresScan {
    pub(super) fn new(
        database: Arc<Database>,
        request: ScanRequest,
        rows: Option<u64>,
        threads: usize,
    ) -> Result<Self, Fault> {
        let catalog = database.name();
        let sql = request.sql().map_err(|error| error.into_fault(catalog))?;
        let schema = request.schema().map_err(|error| error.into_fault(catalog))?;
        let most = (database.config().limits.connections / 2).min(ranges::MOST);
        let ranges = Ranges::of(&request, threads.min(most));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(ranges.partitions()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            database,
            request,
            sql,
            rows,
            filters: Vec::new(),
            awaited: Arc::default(),
            sent: Arc::default(),
            snapshot: Arc::default(),
            ranges: Arc::new(ranges),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same statement, not yet executed, with other filters.
    fn with_filters(&self, filters: Vec<Arc<dyn PhysicalExpr>>, awaited: Arc<HashSet<u64>>) -> Self {
        Self {
            filters,
            awaited,
            sent: Arc::default(),
            ranges: Arc::new(self.ranges.anew()),
            metrics: ExecutionPlanMetricsSet::new(),
            ..self.clone()
        }
    }
}

impl DisplayAs for PostgresScan {
    fn fmt_as(&self, _form: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PostgresScan: catalog={}, sql={}",
            self.database.name(),
            self.sent.get().unwrap_or(&self.sql)
        )?;
        match self.filters.len() {
            0 => Ok(()),
            filters => write!(f, ", dynamic_filters={filters}"),
        }?;
        match self.ranges.statements() {
            1 => Ok(()),
            ranges => write!(f, ", ranges={ranges}"),
        }
    }
}

/// What one execution has received: told to the query's account while it arrives, and as a whole at its end,
/// however that comes about.
#[derive(Debug)]
pub(super) struct Account {
    scope: RemoteScope,
    catalog: String,
    sql: String,
    begun: Instant,
    /// From then until the last bytes arrived.
    spent_us: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

#[async_trait]
impl RowsObserver for Account {
    async fn received(&self, bytes: u64) -> Result<(), Fault> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let spent = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.spent_us.fetch_max(spent, Ordering::Relaxed);
        self.scope.received(bytes).await
    }

    fn rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.scope.rows(rows);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let spent = Duration::from_micros(self.spent_us.load(Ordering::Relaxed));
        // Nothing arrived: it may have been waited for until now.
        let spent = if bytes == 0 { self.begun.elapsed() } else { spent };
        self.scope.asked(RemoteQuery {
            catalog: std::mem::take(&mut self.catalog),
            remote_query: std::mem::take(&mut self.sql),
            remote_rows: self.rows.load(Ordering::Relaxed),
            remote_bytes: bytes,
            elapsed_ms: u64::try_from(spent.as_millis()).unwrap_or(u64::MAX),
        });
    }
}

/// What the statements of one partition are made from.
struct Start {
    scan: PostgresScan,
    partition: usize,
    work: Arc<Work>,
    scope: RemoteScope,
}

/// A statement that runs, and who counts what it sends.
type Running = (Box<RemoteRows>, Arc<Account>);

impl Start {
    /// Waits for what joins find out, and sends the next statement; `None` after the last one.
    async fn next(&self) -> Result<Option<Running>, Fault> {
        let scan = &self.scan;
        let settle = || async {
            dynamic::settled(&scan.filters, &scan.awaited).await;
            let condition = dynamic::condition(&scan.request.table, &scan.filters);
            if condition.is_some() {
                // An index may serve it: the first partition asks for all of it.
                scan.snapshot.expect_less(scan.ranges.statements() - 1);
            }
            condition
        };
        let condition = self.work.condition.get_or_init(settle).await;
        if condition.is_some() && self.partition > 0 {
            return Ok(None);
        }
        // The first partition waits for a connection, so that the work gets done; what others take is free.
        let (snapshot, waits) = (&scan.snapshot, self.partition == 0);
        if scan.ranges.is_done(&self.work) {
            return Ok(None);
        }
        let lease = scan.database.lease(snapshot, scan.request.timeout, waits).await?;
        let Some(lease) = lease else {
            return Ok(None);
        };
        let piece = match condition {
            Some(condition) => self.work.first().then_some(Some(condition.as_str())),
            None => scan.ranges.take(&self.work),
        };
        let Some(piece) = piece else {
            scan.database.unused(snapshot, lease).await?;
            return Ok(None);
        };
        let mut request = scan.request.clone();
        if let Some(condition) = condition {
            request.and(condition);
        }
        let account = self.account(&request)?;
        if let (Some(range), None) = (piece, condition) {
            request.and(range);
        }
        let observer = Arc::clone(&account) as Arc<dyn RowsObserver>;
        let rows = scan
            .database
            .scan_in(lease, &request, observer, Arc::clone(snapshot));
        Ok(Some((Box::new(rows.await?), account)))
    }

    /// Who counts for all partitions, and tells the statement without its range.
    fn account(&self, request: &ScanRequest) -> Result<Arc<Account>, Fault> {
        let mut counting = self.work.account.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = &*counting {
            return Ok(Arc::clone(account));
        }
        let catalog = self.scan.database.name();
        let sql = request.sql().map_err(|error| error.into_fault(catalog))?;
        // An execution that is repeated shows its first statement.
        let _again = self.scan.sent.set(sql.clone());
        let account = Arc::new(Account {
            scope: self.scope.clone(),
            catalog: catalog.to_owned(),
            sql,
            begun: Instant::now(),
            spent_us: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        *counting = Some(Arc::clone(&account));
        Ok(account)
    }
}

fn external(fault: Fault) -> DataFusionError {
    DataFusionError::External(Box::new(fault))
}

impl ExecutionPlan for PostgresScan {
    fn name(&self) -> &'static str {
        "PostgresScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(&self.filters, f)
    }

    /// Filters that are filled in while the query runs are taken, and promised to nobody: what the database cannot
    /// answer of them lets more rows through.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let offered = pushed.parent_filters.into_iter().map(|result| result.filter);
        let offered: Vec<_> = offered.collect();
        let kept =
            FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; offered.len()]);
        // A limit comes first: rows that a filter took away would be made up for by others.
        if phase == FilterPushdownPhase::Pre || self.request.limit.is_some() {
            return Ok(kept);
        }
        let mut filters = self.filters.clone();
        filters.extend(offered.into_iter().filter(dynamic::is_dynamic));
        if filters.len() == self.filters.len() {
            return Ok(kept);
        }
        let scan = self.with_filters(filters, Arc::clone(&self.awaited));
        Ok(kept.with_updated_node(Arc::new(scan)))
    }

    fn with_new_state(&self, state: Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn ExecutionPlan>> {
        let told = state.downcast_ref::<ToldOfPlan>()?;
        let mut scan = self.with_filters(self.filters.clone(), Arc::new(told.awaited.clone()));
        scan.snapshot = told.shared.of(self.database.name());
        scan.snapshot.expect(scan.ranges.statements());
        Some(Arc::new(scan))
    }

    /// Run anew over other data: filters of the last time are nobody's.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_filters(Vec::new(), Arc::default())))
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        assert_or_internal_err!(
            partition < self.ranges.partitions(),
            "a remote scan without partition {partition}"
        );
        let start = Start {
            scan: self.clone(),
            partition,
            work: self.ranges.work(partition),
            scope: RemoteScope::of(&context).map_err(external)?,
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let remote_bytes = MetricBuilder::new(&self.metrics).counter("remote_bytes", partition);
        // What the database and the way from it took; several ranges at once add up.
        let remote_time = MetricBuilder::new(&self.metrics).subset_time("remote_time", partition);
        let start: (Option<Running>, Start) = (None, start);
        let rows = futures::stream::try_unfold(start, move |(mut running, start)| {
            let (metrics, remote_bytes, remote_time) =
                (metrics.clone(), remote_bytes.clone(), remote_time.clone());
            async move {
                loop {
                    let (mut rows, account) = match running.take() {
                        Some(running) => running,
                        None => match start.next().await.map_err(external)? {
                            Some(next) => next,
                            None => return Ok(None),
                        },
                    };
                    let before = rows.received();
                    let timer = remote_time.timer();
                    let next: Option<RecordBatch> =
                        start.scan.database.next(&mut rows).await.map_err(external)?;
                    timer.done();
                    remote_bytes.add(usize::try_from(rows.received() - before).unwrap_or(usize::MAX));
                    if let Some(batch) = next {
                        metrics.record_output(batch.num_rows());
                        return Ok(Some((batch, (Some((rows, account)), start))));
                    }
                }
            }
        });
        let schema = Arc::clone(self.properties.eq_properties.schema());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// The database's estimate, dynamic filters left out: which side of a join is the small one follows from it.
    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(self.properties.eq_properties.schema());
        if let Some(rows) = self.rows {
            statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        Ok(Arc::new(statistics))
    }
}
