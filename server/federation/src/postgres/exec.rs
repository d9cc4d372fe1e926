//! The scan of a remote table in a physical plan: metered, and cancelled on the server when its stream is dropped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, assert_or_internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use owlake_engine::RemoteScope;
use owlake_fault::Fault;
use tokio::time::Instant;

use super::database::Database;
use super::scan::{RemoteRows, RowsObserver, ScanRequest};

/// One remote statement.
#[derive(Debug)]
pub(super) struct PostgresScan {
    database: Arc<Database>,
    request: ScanRequest,
    sql: String,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PostgresScan {
    pub(super) fn new(database: Arc<Database>, request: ScanRequest) -> Result<Self, Fault> {
        let catalog = database.name();
        let sql = request.sql().map_err(|error| error.into_fault(catalog))?;
        let schema = request.schema().map_err(|error| error.into_fault(catalog))?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            database,
            request,
            sql,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for PostgresScan {
    fn fmt_as(&self, _form: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PostgresScan: catalog={}, sql={}",
            self.database.name(),
            self.sql
        )
    }
}

/// What one execution has received: told to the query's account while it arrives, and as a whole at its end,
/// however that comes about.
struct Account {
    scope: RemoteScope,
    catalog: String,
    sql: String,
    begun: Instant,
    rows: AtomicU64,
    bytes: AtomicU64,
}

#[async_trait]
impl RowsObserver for Account {
    async fn received(&self, bytes: u64) -> Result<(), Fault> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.scope.received(bytes).await
    }

    fn rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.scope.rows(rows);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let (rows, bytes) = (
            self.rows.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        );
        self.scope
            .asked(&self.catalog, &self.sql, rows, bytes, self.begun.elapsed());
    }
}

/// Where an execution stands.
enum Step {
    Start(ScanRequest),
    Rows(Box<RemoteRows>),
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
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
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
        assert_or_internal_err!(partition == 0, "a remote scan has one partition");
        let account: Arc<Account> = Arc::new(Account {
            scope: RemoteScope::of(&context).map_err(external)?,
            catalog: self.database.name().to_owned(),
            sql: self.sql.clone(),
            begun: Instant::now(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let remote_bytes = MetricBuilder::new(&self.metrics).counter("remote_bytes", partition);
        let start = (
            Step::Start(self.request.clone()),
            Arc::clone(&self.database),
            account,
        );
        let rows = futures::stream::try_unfold(start, move |(step, database, account)| {
            let (metrics, remote_bytes) = (metrics.clone(), remote_bytes.clone());
            async move {
                let mut rows = match step {
                    Step::Start(request) => {
                        let observer = Arc::clone(&account) as Arc<dyn RowsObserver>;
                        Box::new(database.scan(&request, observer).await.map_err(external)?)
                    }
                    Step::Rows(rows) => rows,
                };
                let before = account.bytes.load(Ordering::Relaxed);
                let next: Option<RecordBatch> = database.next(&mut rows).await.map_err(external)?;
                let after = account.bytes.load(Ordering::Relaxed);
                remote_bytes.add(usize::try_from(after - before).unwrap_or(usize::MAX));
                Ok(next.map(|batch| {
                    metrics.record_output(batch.num_rows());
                    (batch, (Step::Rows(rows), database, account))
                }))
            }
        });
        let schema = Arc::clone(self.properties.eq_properties.schema());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// The database's estimate of the whole table: which side of a join is the small one follows from it.
    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(self.properties.eq_properties.schema());
        if let Some(rows) = self.request.table.estimated_rows {
            let rows = rows.min(self.request.limit.unwrap_or(u64::MAX));
            statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        Ok(Arc::new(statistics))
    }
}
