//! The engine: shared state, its builder, and the doors by which statements come in.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use owlake_catalog::CatalogStore;
use owlake_dialect::functions::FunctionMemory;
use owlake_fault::Fault;
use owlake_metering::{AthenaBilling, Ledger, PricePlan, QuotaObserver, Quotas};
use owlake_scan::cache::{CacheStatus, ScanCaches};
use owlake_scan::{AheadStatus, InFlight, ScanConfig, Stores};

use crate::admission::Admission;
use crate::authorizer::{AllowAll, Authorizer};
use crate::config::EngineConfig;
use crate::connector::Connector;
use crate::context::QueryContext;
use crate::logical_rules::logical_rules;
use crate::meters::Meters;
use crate::namesakes::physical_rules;
use crate::query::{
    Accounting, CheapFirst, NoObserver, Prepared, QueryAccount, QueryFailure, QueryObserver, Submitted,
};
use crate::remote_catalogs::{ConnectorFactory, RemoteCatalogs};
use crate::resident::Watch;
use crate::resolve::{QueryCatalogs, Resolver};
use crate::reuse::ResultStore;
use crate::runtime::Runtimes;
use crate::store_registry::ScanOnlyRegistry;
use crate::workgroups::Workgroups;

/// The embeddable query engine. Cheap to clone; all clones are one engine.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What all queries share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub config: EngineConfig,
    pub runtimes: Runtimes,
    pub resolver: Arc<Resolver>,
    pub stores: Arc<Stores>,
    pub admission: Arc<Admission>,
    pub results: Arc<ResultStore>,
    pub workgroups: Arc<Workgroups>,
    pub quotas: Arc<Quotas>,
    pub accounting: Arc<Accounting>,
    pub(crate) scan_config: Arc<ScanConfig>,
    pub caches: Arc<ScanCaches>,
    pub(crate) in_flight: Arc<InFlight>,
    pub meters: Meters,
    pub(crate) memory: Arc<dyn MemoryPool>,
    pub(crate) watch: Arc<Watch>,
    base_runtime: Arc<RuntimeEnv>,
    base_state: SessionState,
}

/// Puts an [`Engine`] together.
#[derive(Debug)]
pub struct EngineBuilder {
    config: EngineConfig,
    scan_config: ScanConfig,
    catalogs: BTreeMap<String, Arc<dyn CatalogStore>>,
    connectors: BTreeMap<String, Arc<dyn Connector>>,
    factory: Option<Arc<dyn ConnectorFactory>>,
    ledger: Arc<Ledger>,
    stores: Arc<Stores>,
    caches: Option<Arc<ScanCaches>>,
    runtimes: Runtimes,
    authorizer: Arc<dyn Authorizer>,
    observer: Arc<dyn QueryObserver>,
    quota_observer: Option<Arc<dyn QuotaObserver>>,
    price: PricePlan,
    billing: AthenaBilling,
    clock: fn() -> DateTime<Utc>,
}

impl EngineBuilder {
    /// The parts without which there is no engine; everything else has a default.
    pub fn new(
        runtimes: Runtimes,
        stores: Arc<Stores>,
        ledger: Arc<Ledger>,
        clock: fn() -> DateTime<Utc>,
    ) -> Self {
        Self {
            config: EngineConfig::default(),
            scan_config: ScanConfig::default(),
            catalogs: BTreeMap::new(),
            connectors: BTreeMap::new(),
            factory: None,
            ledger,
            stores,
            caches: None,
            runtimes,
            authorizer: Arc::new(AllowAll),
            observer: Arc::new(NoObserver),
            quota_observer: None,
            price: PricePlan::aws_s3(),
            billing: AthenaBilling::default(),
            clock,
        }
    }

    /// Adds a catalog under a lower-case name.
    #[must_use]
    pub fn catalog(mut self, name: impl Into<String>, store: Arc<dyn CatalogStore>) -> Self {
        self.catalogs.insert(name.into(), store);
        self
    }

    /// Adds a catalog over another database under a lower-case name.
    #[must_use]
    pub fn connector(mut self, name: impl Into<String>, connector: Arc<dyn Connector>) -> Self {
        self.connectors.insert(name.into(), connector);
        self
    }

    /// Who makes connectors for `CREATE CATALOG`; without one that statement is refused.
    #[must_use]
    pub fn connector_factory(mut self, factory: Arc<dyn ConnectorFactory>) -> Self {
        self.factory = Some(factory);
        self
    }

    /// Limits of the engine.
    #[must_use]
    pub fn config(mut self, config: EngineConfig) -> Self {
        self.config = config;
        self
    }

    /// Limits of scans.
    #[must_use]
    pub fn scan_config(mut self, config: ScanConfig) -> Self {
        self.scan_config = config;
        self
    }

    /// Caches made elsewhere, with an observer on them.
    #[must_use]
    pub fn caches(mut self, caches: Arc<ScanCaches>) -> Self {
        self.caches = Some(caches);
        self
    }

    /// Who may see what.
    #[must_use]
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = authorizer;
        self
    }

    /// Who is told of queries.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn QueryObserver>) -> Self {
        self.observer = observer;
        self
    }

    /// Who is told when a quota is nearly used up.
    #[must_use]
    pub fn quota_observer(mut self, observer: Option<Arc<dyn QuotaObserver>>) -> Self {
        self.quota_observer = observer;
        self
    }

    /// What requests cost here.
    #[must_use]
    pub fn price_plan(mut self, price: PricePlan) -> Self {
        self.price = price;
        self
    }

    /// What Athena charges.
    #[must_use]
    pub fn athena_billing(mut self, billing: AthenaBilling) -> Self {
        self.billing = billing;
        self
    }

    /// Builds the engine; no I/O but the spill directory.
    pub fn build(self) -> Result<Engine, Fault> {
        let config = self.config;
        let threads = cpu_threads(&config);
        let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(config.memory_bytes));
        let base_runtime = base_runtime(&config, Arc::clone(&memory))?;
        let base_state = base_state(&base_runtime, threads);
        let caches = self
            .caches
            .unwrap_or_else(|| Arc::new(ScanCaches::new(&self.scan_config, None)));
        let results = Arc::new(ResultStore::new(&config, caches.tally("result")));
        let workgroups = Arc::new(Workgroups::open(&config.workgroups, Arc::clone(&self.ledger))?);
        let watch = Arc::new(Watch::default());
        self.runtimes.spawn_io(Watch::look(Arc::downgrade(&watch)));
        let remote = RemoteCatalogs::open(self.connectors, Arc::clone(&self.ledger), self.factory);
        let quotas = Quotas::open(Arc::clone(&self.ledger), self.clock, self.quota_observer);
        Ok(Engine {
            shared: Arc::new(Shared {
                workgroups,
                quotas: Arc::clone(&quotas),
                resolver: Arc::new(
                    Resolver::new(
                        self.catalogs,
                        self.authorizer,
                        Arc::clone(&self.ledger),
                        Arc::clone(&caches),
                    )
                    .with_server(Arc::clone(&results), config.server_settings.clone())
                    .with_remote(remote)
                    .with_quotas(quotas),
                ),
                admission: Admission::new(config.max_running, config.max_queued),
                results,
                accounting: Arc::new(Accounting {
                    ledger: self.ledger,
                    price: self.price,
                    billing: self.billing,
                    observer: self.observer,
                    clock: self.clock,
                }),
                in_flight: Arc::new(InFlight::new(self.scan_config.in_flight_bytes)),
                scan_config: Arc::new(self.scan_config),
                caches,
                meters: Meters::new(),
                stores: self.stores,
                runtimes: self.runtimes,
                memory,
                watch,
                base_runtime,
                base_state,
                config,
            }),
        })
    }
}

/// CPU threads by configuration, else one per core.
fn cpu_threads(config: &EngineConfig) -> usize {
    config
        .cpu_threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
        .max(1)
}

fn base_runtime(config: &EngineConfig, memory: Arc<dyn MemoryPool>) -> Result<Arc<RuntimeEnv>, Fault> {
    let mode = match (&config.spill_dir, config.spill_bytes) {
        (_, 0) => DiskManagerMode::Disabled,
        (Some(dir), _) => DiskManagerMode::Directories(vec![dir.clone()]),
        (None, _) => DiskManagerMode::OsTmpDirectory,
    };
    let registry: Arc<dyn ObjectStoreRegistry> = Arc::new(ScanOnlyRegistry);
    RuntimeEnvBuilder::new()
        .with_memory_pool(memory)
        .with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(mode)
                .with_max_temp_directory_size(config.spill_bytes.max(1)),
        )
        .with_object_store_registry(registry)
        .build_arc()
        .map_err(crate::error::fault_from)
}

/// The state that every query's session is cloned from: our functions and rules, none of the stock
/// table formats, table functions or stores.
fn base_state(runtime: &Arc<RuntimeEnv>, threads: usize) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_repartition_file_scans(false)
        .with_collect_statistics(false);
    let options = config.options_mut();
    options.execution.planning_concurrency = threads;
    // A build side up to this goes into one hash table. With few threads, building it by one of them takes less time
    // than dealing the rows of both sides to all; with 64 the two are what DataFusion's defaults are.
    options.optimizer.hash_join_single_partition_threshold = (64 << 20) / threads;
    options.optimizer.hash_join_single_partition_threshold_rows = (8 << 20) / threads;
    // Keys of a range up to this are looked up by their place, 4 bytes each, in place of by a hash.
    options.execution.perfect_hash_join_small_build_threshold = 64 << 10;
    // As many as a remote statement lists: a join with fewer keys asks another database for their rows alone.
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = 1_000;
    // What an aggregate learns leaves out its arguments that have met no value yet, and those that are no columns: rows
    // that only these need are lost.
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.execution.skip_physical_aggregate_schema_check = true;
    options.sql_parser.enable_ident_normalization = false;
    for (name, value) in owlake_dialect::semantics::session_settings() {
        // The list is a constant of ours; a name that this release does not know is a defect that its test finds.
        if let Err(error) = options.set(name, value) {
            tracing::error!(name, %error, "engine setting refused");
        }
    }
    let functions = owlake_dialect::functions::function_set();
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::clone(runtime))
        .with_expr_planners(owlake_dialect::functions::expr_planners())
        .with_relation_planners(owlake_dialect::relation_planners())
        .with_type_planner(owlake_dialect::semantics::type_planner())
        .with_optimizer_rules(logical_rules())
        .with_physical_optimizer_rules(physical_rules())
        .with_physical_optimizer_rule(Arc::new(CheapFirst))
        .with_physical_optimizer_rule(Arc::new(owlake_scan::FilterRows))
        .with_scalar_functions(functions.scalar)
        .with_aggregate_functions(functions.aggregate)
        .with_window_functions(functions.window)
        .build()
}

impl Shared {
    /// A session for one query: its own catalogs, meter, memory and clock; everything else shared.
    pub(crate) fn session_state(
        &self,
        context: &Arc<QueryContext>,
        account: Option<&QueryAccount>,
        hidden_columns: bool,
    ) -> SessionState {
        let settings = &context.settings;
        let mut config = self
            .base_state
            .config()
            .clone()
            .with_default_catalog_and_schema(&settings.catalog, &settings.database);
        let mut runtime = RuntimeEnvBuilder::from_runtime_env(&self.base_runtime);
        if let Some(account) = account {
            config = config.with_extension(Arc::clone(&account.scan));
            runtime = runtime.with_memory_pool(Arc::clone(&account.memory) as Arc<dyn MemoryPool>);
        }
        let memory = account.map_or_else(
            || Arc::clone(&self.memory),
            |account| Arc::clone(&account.memory) as Arc<dyn MemoryPool>,
        );
        FunctionMemory::install(memory, config.options_mut());
        let runtime = runtime
            .build_arc()
            .unwrap_or_else(|_infallible| Arc::clone(&self.base_runtime));
        let mut state = SessionStateBuilder::new_from_existing(self.base_state.clone())
            .with_session_id(context.id.clone())
            .with_config(config)
            .with_runtime_env(runtime)
            .with_catalog_list(Arc::new(QueryCatalogs {
                resolver: Arc::clone(&self.resolver),
                context: Arc::clone(context),
                hidden_columns,
            }))
            .build();
        // What now() and current_date are replaced by; without it they cannot be evaluated.
        state.mark_start_execution();
        state.execution_props_mut().query_execution_start_time = Some(context.now);
        state
    }
}

impl Engine {
    /// Plans a statement and opens its account; nothing is read yet. See [`Submitted::run`].
    pub async fn submit(&self, context: QueryContext, sql: &str) -> Result<Submitted, QueryFailure> {
        self.shared.submit(context, sql, None, None).await
    }

    /// Parses and plans a statement with parameters, for repeated execution. Leaves no ledger row.
    pub async fn prepare(&self, context: QueryContext, sql: &str) -> Result<Prepared, Fault> {
        self.shared.prepare(context, sql).await
    }

    /// Submits a prepared statement with one value per placeholder.
    pub async fn submit_prepared(
        &self,
        context: QueryContext,
        prepared: &Prepared,
        parameters: Vec<ScalarValue>,
    ) -> Result<Submitted, QueryFailure> {
        let sql = prepared.sql.clone();
        self.shared
            .submit(context, &sql, Some(prepared.clone()), Some(parameters))
            .await
    }

    /// The door to names, for metadata commands.
    pub fn resolver(&self) -> &Arc<Resolver> {
        &self.shared.resolver
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.shared.accounting.ledger
    }

    /// Every cache of the process as it is now.
    pub async fn cache_status(&self) -> Vec<CacheStatus> {
        self.shared.resolver.cache_status().await
    }

    /// What scans fetched before they asked for it.
    pub fn ahead_status(&self) -> AheadStatus {
        self.shared.in_flight.ahead_status()
    }

    /// Threads, for whoever has to spawn.
    pub fn runtimes(&self) -> &Runtimes {
        &self.shared.runtimes
    }

    /// Counters of the whole process, and of no query.
    pub fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Bytes of memory that queries hold now.
    pub fn memory_reserved_bytes(&self) -> u64 {
        self.shared.memory.reserved() as u64
    }

    /// Running and waiting queries.
    pub fn load(&self) -> (usize, usize) {
        (self.shared.admission.running(), self.shared.admission.queued())
    }

    /// The clock that contexts take their `now` from.
    pub fn now(&self) -> DateTime<Utc> {
        (self.shared.accounting.clock)()
    }

    /// No further query is admitted; running ones go on.
    pub fn drain(&self) {
        self.shared.admission.close();
    }
}
