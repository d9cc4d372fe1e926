//! The composition root: the one file that sees every room and puts an engine together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use owlake_catalog::{DataDir, SqliteCatalog};
use owlake_engine::runtime::Runtimes;
use owlake_engine::{DEFAULT_CATALOG, Engine, EngineBuilder, EngineConfig, NoObserver, QueryObserver};
use owlake_fault::{Code, Fault};
use owlake_metering::{
    AthenaBilling, HttpOptions, Ledger, LedgerOptions, PricePlan, QuotaObserver, RequestObserver, SharedHttp,
};
use owlake_scan::cache::{CacheObserver, ScanCaches};
use owlake_scan::location::AllowedRoots;
use owlake_scan::{S3Access, ScanConfig, Stores};

use crate::catalogs::Factory;
use crate::config::{CatalogConfig, Environment, Secret};
use crate::webhook;

/// File of the query history in the data directory.
const LEDGER_FILE: &str = "ledger.db";

/// Everything an engine is made from.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Catalog and ledger live here; in memory without it.
    pub data_dir: Option<PathBuf>,
    /// Roots of tables, partitions and keys.
    pub allowed_locations: Vec<String>,
    /// Other databases beside the lake.
    pub catalogs: Vec<CatalogConfig>,
    /// What catalogs made by SQL may refer to; `None` for the default.
    pub sql_references: Option<String>,
    /// How S3 is reached.
    pub s3: Vec<S3Access>,
    /// Limits of the engine.
    pub engine: EngineConfig,
    /// Limits of scans.
    pub scan: ScanConfig,
    /// How long the ledger keeps its rows.
    pub ledger: LedgerOptions,
    /// Name of the price plan.
    pub price_plan: Option<String>,
    /// Where warnings of quotas are posted.
    pub quota_webhook: Option<Secret>,
    /// Observers of queries, caches and store requests.
    pub observers: Observers,
    /// Another clock than the wall's.
    pub clock: Option<fn() -> DateTime<Utc>>,
    /// How long an announced query waits for its first fetch.
    #[cfg(feature = "server")]
    pub ticket_idle: Option<std::time::Duration>,
}

/// Who is told what happens.
#[derive(Debug, Default, Clone)]
pub(crate) struct Observers {
    pub queries: Option<Arc<dyn QueryObserver>>,
    pub caches: Option<Arc<dyn CacheObserver>>,
    pub requests: Option<Arc<dyn RequestObserver>>,
    pub quotas: Option<Arc<dyn QuotaObserver>>,
}

/// An engine with what must live as long as it.
#[derive(Debug)]
pub(crate) struct Wired {
    pub engine: Engine,
    #[cfg(feature = "server")]
    pub catalog: Arc<SqliteCatalog>,
    #[cfg(feature = "server")]
    pub ticket_idle: Option<std::time::Duration>,
    /// Held for the engine's life: a second process on the same directory would lose data.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "held for its lock"))]
    pub data_dir: Option<DataDir>,
}

/// The wall clock, read once per query at its door.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where a query's now comes from"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn now_seconds() -> i64 {
    now().timestamp()
}

/// Puts an engine together. I/O of its queries runs on `io`. Blocks on the disk while it opens its files.
pub(crate) fn wire(parts: Parts, io: tokio::runtime::Handle) -> Result<Wired, Fault> {
    let (data_dir, catalog, ledger) = match &parts.data_dir {
        Some(path) => open_data_dir(path, parts.ledger)?,
        None => (None, SqliteCatalog::in_memory(now_seconds)?, Ledger::in_memory()?),
    };
    let catalog = Arc::new(catalog);
    let roots = AllowedRoots::parse(&parts.allowed_locations)?;
    let http = SharedHttp::new(&HttpOptions::default())?;
    let stores = Stores::new(
        Arc::clone(&http),
        io.clone(),
        parts.s3,
        roots,
        parts.observers.requests,
    );
    let threads = parts
        .engine
        .cpu_threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, std::num::NonZero::get));
    let runtimes = Runtimes::start(io, threads)
        .map_err(|e| Fault::new(Code::GenericInternalError, "threads cannot be started").with_source(e))?;
    let environment = Environment::of_process();
    let references = parts.sql_references.as_deref();
    let factory = Arc::new(Factory::of_sql(environment.clone(), references, &runtimes));
    let connectors =
        crate::catalogs::open(parts.catalogs, &Factory::of_configuration(environment, &runtimes))?;
    let quota_observer = match parts.quota_webhook {
        Some(url) => Some(webhook::observer(url, http, parts.observers.quotas, &runtimes)),
        None => parts.observers.quotas,
    };
    let price = match parts.price_plan.as_deref() {
        None => PricePlan::aws_s3(),
        Some(name) => PricePlan::named(name).ok_or_else(|| {
            Fault::new(
                Code::InvalidArguments,
                format!("price plan `{name}` does not exist"),
            )
        })?,
    };
    let caches = Arc::new(ScanCaches::open(&parts.scan, parts.observers.caches)?);
    let clock = parts.clock.unwrap_or(now);
    let builder = EngineBuilder::new(runtimes, Arc::new(stores), Arc::new(ledger), clock);
    let engine = connectors
        .into_iter()
        .fold(builder, |builder, (name, connector)| {
            builder.connector(name, connector)
        })
        .connector_factory(factory)
        .catalog(DEFAULT_CATALOG, Arc::clone(&catalog) as _)
        .config(parts.engine)
        .scan_config(parts.scan)
        .caches(caches)
        .price_plan(price)
        .athena_billing(AthenaBilling::default())
        .quota_observer(quota_observer)
        .observer(parts.observers.queries.unwrap_or_else(|| Arc::new(NoObserver)))
        .build()?;
    Ok(Wired {
        engine,
        #[cfg(feature = "server")]
        catalog,
        #[cfg(feature = "server")]
        ticket_idle: parts.ticket_idle,
        data_dir,
    })
}

fn open_data_dir(
    path: &Path,
    options: LedgerOptions,
) -> Result<(Option<DataDir>, SqliteCatalog, Ledger), Fault> {
    let dir = DataDir::lock(path)?;
    let catalog = SqliteCatalog::open(dir.path(), now_seconds)?;
    let ledger = Ledger::open_with(&dir.path().join(LEDGER_FILE), options)?;
    Ok((Some(dir), catalog, ledger))
}
