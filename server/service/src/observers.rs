//! Hooks of the rooms onto the metrics.

use std::sync::Arc;

use owlake_engine::QueryObserver;
use owlake_metering::{QueryRecord, QuotaObserver, QuotaWarning};
use owlake_scan::cache::CacheObserver;

use crate::telemetry::{FinishedQuery, Metrics};
use crate::wiring::Observers;

#[derive(Debug)]
struct ToMetrics(Arc<Metrics>);

impl QueryObserver for ToMetrics {
    fn waiting(&self, workgroup: &str, change: i64) {
        self.0.queued(workgroup, change);
    }

    fn started(&self, workgroup: &str) {
        self.0.running(workgroup, 1);
    }

    fn stopped(&self, workgroup: &str) {
        self.0.running(workgroup, -1);
    }

    fn finished(&self, record: &QueryRecord) {
        let r = &record.receipt;
        self.0.query_finished(&FinishedQuery {
            state: r.state,
            statement_type: r.statement_type,
            workgroup: &r.workgroup,
            queue_time: r.queue_time,
            planning_time: r.planning_time,
            execution_time: r.execution_time,
            counters: &r.counters,
            cost: r.cost_usd,
        });
        if let Some(code) = r.error_code.as_deref()
            && matches!(
                code,
                "EXCEEDED_SCAN_LIMIT" | "EXCEEDED_QUOTA" | "QUERY_QUEUE_FULL" | "EXCEEDED_MEMORY_LIMIT"
            )
        {
            self.0.refused(&code.to_ascii_lowercase());
        }
    }
}

impl CacheObserver for ToMetrics {
    fn on_lookup(&self, cache: &'static str, hit: bool) {
        self.0.cache_request(cache, hit);
    }
}

impl QuotaObserver for ToMetrics {
    fn quota_warning(&self, warning: &QuotaWarning) {
        self.0.quota_warning(&warning.workgroup);
    }
}

/// Observers that feed `metrics`.
pub(crate) fn observers(metrics: &Arc<Metrics>) -> Observers {
    Observers {
        queries: Some(Arc::new(ToMetrics(Arc::clone(metrics)))),
        caches: Some(Arc::new(ToMetrics(Arc::clone(metrics)))),
        requests: Some(metrics.observer("s3")),
        quotas: Some(Arc::new(ToMetrics(Arc::clone(metrics)))),
    }
}
