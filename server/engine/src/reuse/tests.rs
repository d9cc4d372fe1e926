//! Who may have a kept result, and who is told of look-ups.

use std::sync::atomic::AtomicUsize;

use owlake_catalog::SqliteCatalog;
use owlake_fault::{Code, Fault};
use owlake_metering::{HttpOptions, Ledger, SharedHttp};
use owlake_scan::cache::{CacheObserver, ScanCaches};
use owlake_scan::location::AllowedRoots;
use owlake_scan::{ScanConfig, Stores};

use super::*;
use crate::authorizer::{Action, Authorizer, Resource};
use crate::context::{DEFAULT_CATALOG, Principal};
use crate::engine::{Engine, EngineBuilder};
use crate::query::QueryFailure;
use crate::runtime::Runtimes;

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn now_seconds() -> i64 {
    0
}

/// Nobody but `owner` may read tables.
#[derive(Debug)]
struct OwnerOnly;

impl Authorizer for OwnerOnly {
    fn check(&self, principal: &Principal, action: Action, resource: Resource<'_>) -> Result<(), Fault> {
        if action == Action::Read && resource.table.is_some() && principal.0 != "owner" {
            return Err(Fault::new(Code::PermissionDenied, "not yours"));
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct LookUps {
    hits: AtomicUsize,
    misses: AtomicUsize,
}

impl CacheObserver for LookUps {
    fn on_lookup(&self, cache: &'static str, hit: bool) {
        if cache == "result" {
            let count = if hit { &self.hits } else { &self.misses };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An engine over the fixture's orders.
fn engine(look_ups: &Arc<LookUps>, root: &str) -> Engine {
    let io = tokio::runtime::Handle::current();
    let roots = AllowedRoots::parse([root]).unwrap();
    let http = SharedHttp::new(&HttpOptions::default()).unwrap();
    let stores = Stores::new(http, io.clone(), Vec::new(), roots, None);
    let runtimes = Runtimes::start(io, 2).unwrap();
    let observer = Arc::clone(look_ups) as Arc<dyn CacheObserver>;
    let caches = ScanCaches::new(&ScanConfig::default(), Some(observer));
    let catalog = SqliteCatalog::in_memory(now_seconds).unwrap();
    EngineBuilder::new(
        runtimes,
        Arc::new(stores),
        Arc::new(Ledger::in_memory().unwrap()),
        now,
    )
    .catalog(DEFAULT_CATALOG, Arc::new(catalog))
    .authorizer(Arc::new(OwnerOnly))
    .caches(Arc::new(caches))
    .build()
    .unwrap()
}

/// The id of the query whose result was reused, if one was.
async fn run(engine: &Engine, principal: &str, sql: &str) -> Result<Option<String>, QueryFailure> {
    let settings = SessionSettings {
        result_reuse_max_age: Some(Duration::from_secs(60)),
        ..SessionSettings::default()
    };
    let context = QueryContext::new(Principal(principal.to_owned()), settings, engine.now());
    let mut query = engine.submit(context, sql).await?.run().await?;
    while query.next_batch().await?.is_some() {}
    Ok(query.receipt().unwrap().reused_query_id.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_result_is_given_to_nobody_who_may_not_read_its_tables() {
    let folder = std::fs::canonicalize(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/parquet/orders"
    ))
    .unwrap();
    let root = format!("file://{}/", folder.display());
    let look_ups = Arc::new(LookUps::default());
    let engine = engine(&look_ups, &root);
    let ddl = format!("CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION '{root}'");
    run(&engine, "owner", &ddl).await.unwrap();
    let sql = "SELECT status, count(*) FROM orders GROUP BY status ORDER BY status";
    let kept = async || {
        let caches = engine.cache_status().await;
        let results = caches.iter().find(|c| c.name == "result").unwrap();
        (results.entries, results.bytes > 0)
    };
    assert_eq!(kept().await, (0, false));
    assert_eq!(run(&engine, "owner", sql).await.unwrap(), None);
    assert_eq!(kept().await, (1, true));
    assert!(run(&engine, "owner", sql).await.unwrap().is_some());
    let refused = run(&engine, "guest", sql).await.unwrap_err();
    assert_eq!(refused.fault.code(), Code::PermissionDenied);
    let counts = [&look_ups.hits, &look_ups.misses].map(|n| n.load(Ordering::Relaxed));
    assert_eq!(
        counts,
        [1, 1],
        "hits and misses; the refused query looked for nothing"
    );
}
