//! The metrics of the service: their names, labels and the calls that feed them.
//!
//! Names are a promise to dashboards. No query, table or principal ever becomes a label.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use owlake_metering::{Counters, QueryState, RequestObserver, StatementType, StoreOp, Usd};

use owlake_scan::AheadStatus;
use owlake_scan::cache::CacheStatus;

use super::cache_metrics::CacheMetrics;
use super::registry::{CostCounter, Counter, Family, Gauge, Histogram};

/// What is known of a query at its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FinishedQuery<'a> {
    /// How it ended.
    pub(crate) state: QueryState,
    /// Class of statement.
    pub(crate) statement_type: StatementType,
    /// Its workgroup.
    pub(crate) workgroup: &'a str,
    /// Time in the queue.
    pub(crate) queue_time: Duration,
    /// Time of parsing and planning.
    pub(crate) planning_time: Duration,
    /// Time of running.
    pub(crate) execution_time: Duration,
    /// What it read.
    pub(crate) counters: &'a Counters,
    /// What it cost by this deployment's price plan.
    pub(crate) cost: Usd,
}

/// All metrics of one process or test. Cheap to update, from any thread.
#[derive(Debug)]
pub(crate) struct Metrics {
    queries: Family<Counter>,
    query_duration: Family<Histogram>,
    queries_running: Family<Gauge>,
    queries_queued: Family<Gauge>,
    data_scanned_bytes: Family<Counter>,
    remote_bytes: Family<Counter>,
    transferred_bytes: Family<Counter>,
    store_requests: Family<Counter>,
    store_request_duration: Family<Histogram>,
    caches: CacheMetrics,
    cost_usd: Family<CostCounter>,
    memory_reserved_bytes: Family<Gauge>,
    refused: Family<Counter>,
    quota_warnings: Family<Counter>,
    build_info: Family<Gauge>,
}

impl Metrics {
    /// Metrics at zero; `version` is the server's.
    pub(crate) fn new(version: &str) -> Arc<Self> {
        let metrics = Self {
            queries: Family::new(
                "owlake_queries_total",
                "Queries that ended.",
                &["state", "statement_type", "workgroup"],
            ),
            query_duration: Family::new(
                "owlake_query_duration_seconds",
                "Time of ended queries by phase: queue, plan, execute.",
                &["phase"],
            ),
            queries_running: Family::new("owlake_queries_running", "Queries that run now.", &["workgroup"]),
            queries_queued: Family::new("owlake_queries_queued", "Queries that wait now.", &["workgroup"]),
            data_scanned_bytes: Family::new(
                "owlake_data_scanned_bytes_total",
                "Encoded data bytes that ended queries needed, whether or not a cache answered.",
                &["workgroup"],
            ),
            remote_bytes: Family::new(
                "owlake_remote_bytes_total",
                "Bytes that other databases sent to ended queries.",
                &["workgroup"],
            ),
            transferred_bytes: Family::new(
                "owlake_transferred_bytes_total",
                "Object bytes received from stores.",
                &["store"],
            ),
            store_requests: Family::new(
                "owlake_object_store_requests_total",
                "Answered requests to object stores.",
                &["store", "op", "code"],
            ),
            store_request_duration: Family::new(
                "owlake_object_store_request_duration_seconds",
                "Time from a request to an object store until its response begins.",
                &["store", "op"],
            ),
            caches: CacheMetrics::new(),
            cost_usd: Family::new(
                "owlake_cost_usd_total",
                "Cost of ended queries in US dollars by the price plan.",
                &["workgroup"],
            ),
            memory_reserved_bytes: Family::new(
                "owlake_memory_reserved_bytes",
                "Memory that running queries have reserved.",
                &[],
            ),
            refused: Family::new(
                "owlake_refused_total",
                "Requests refused by a limit or for lack of rights, by reason.",
                &["reason"],
            ),
            quota_warnings: Family::new(
                "owlake_quota_warnings_total",
                "Times that a quota's use reached its WARN AT share.",
                &["workgroup"],
            ),
            build_info: Family::new(
                "owlake_build_info",
                "Always 1; the labels say what runs.",
                &["version"],
            ),
        };
        metrics.build_info.with(&[version]).set(1);
        Arc::new(metrics)
    }

    /// Counts a query that ended, however it did. Call it once per query.
    pub(crate) fn query_finished(&self, query: &FinishedQuery<'_>) {
        let labels = [
            query.state.as_str(),
            query.statement_type.as_str(),
            query.workgroup,
        ];
        self.queries.with(&labels).add(1);
        let phases = [
            ("queue", query.queue_time),
            ("plan", query.planning_time),
            ("execute", query.execution_time),
        ];
        for (phase, elapsed) in phases {
            self.query_duration.with(&[phase]).observe(elapsed);
        }
        self.data_scanned_bytes
            .with(&[query.workgroup])
            .add(query.counters.data_scanned_bytes);
        self.remote_bytes
            .with(&[query.workgroup])
            .add(query.counters.remote_bytes);
        self.cost_usd.with(&[query.workgroup]).add(query.cost);
    }

    /// Moves the number of running queries by `change`.
    pub(crate) fn running(&self, workgroup: &str, change: i64) {
        self.queries_running.with(&[workgroup]).add(change);
    }

    /// Moves the number of waiting queries by `change`.
    pub(crate) fn queued(&self, workgroup: &str, change: i64) {
        self.queries_queued.with(&[workgroup]).add(change);
    }

    /// Counts an answered request to a store.
    pub(crate) fn object_store_request(&self, store: &str, op: StoreOp, code: u16, elapsed: Duration) {
        self.store_requests
            .with(&[store, op.as_str(), &code.to_string()])
            .add(1);
        self.store_request_duration
            .with(&[store, op.as_str()])
            .observe(elapsed);
    }

    /// Counts a look-up in a cache.
    pub(crate) fn cache_request(&self, cache: &str, hit: bool) {
        self.caches.looked_up(cache, hit);
    }

    /// Takes over what a cache holds and did.
    pub(crate) fn cache(&self, cache: &CacheStatus) {
        self.caches.update(cache);
    }

    /// Takes over what scans fetched ahead.
    pub(crate) fn ahead(&self, ahead: &AheadStatus) {
        self.caches.update_ahead(ahead);
    }

    /// Sets what running queries have reserved.
    pub(crate) fn memory_reserved(&self, bytes: u64) {
        self.memory_reserved_bytes.with(&[]).set(bytes);
    }

    /// Counts a refusal; `reason` is a stable error name in lower or upper case, never a text.
    pub(crate) fn refused(&self, reason: &str) {
        self.refused.with(&[reason]).add(1);
    }

    /// Counts a quota whose use reached its WARN AT share.
    pub(crate) fn quota_warning(&self, workgroup: &str) {
        self.quota_warnings.with(&[workgroup]).add(1);
    }

    /// The observer for the requests of one kind of store (`s3`, `file`).
    pub(crate) fn observer(self: &Arc<Self>, store: &str) -> Arc<dyn RequestObserver> {
        Arc::new(StoreObserver {
            transferred: self.transferred_bytes.with(&[store]),
            store: store.to_owned(),
            metrics: Arc::clone(self),
        })
    }

    /// All metrics in Prometheus's text format 0.0.4.
    pub(crate) fn render(&self) -> String {
        let mut out = String::with_capacity(8192);
        self.queries.write(&mut out);
        self.query_duration.write(&mut out);
        self.queries_running.write(&mut out);
        self.queries_queued.write(&mut out);
        self.data_scanned_bytes.write(&mut out);
        self.remote_bytes.write(&mut out);
        self.transferred_bytes.write(&mut out);
        self.store_requests.write(&mut out);
        self.store_request_duration.write(&mut out);
        self.caches.write(&mut out);
        self.cost_usd.write(&mut out);
        self.memory_reserved_bytes.write(&mut out);
        self.refused.write(&mut out);
        self.quota_warnings.write(&mut out);
        self.build_info.write(&mut out);
        out
    }
}

struct StoreObserver {
    metrics: Arc<Metrics>,
    store: String,
    /// Kept at hand: bytes arrive in many small pieces.
    transferred: Arc<Counter>,
}

impl fmt::Debug for StoreObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreObserver")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl RequestObserver for StoreObserver {
    fn on_response(&self, op: StoreOp, status: u16, elapsed: Duration) {
        self.metrics
            .object_store_request(&self.store, op, status, elapsed);
    }

    fn on_transferred(&self, bytes: u64) {
        self.transferred.add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed() -> Arc<Metrics> {
        let metrics = Metrics::new("1.2.3");
        let counters = Counters {
            data_scanned_bytes: 1000,
            remote_bytes: 77,
            ..Counters::default()
        };
        metrics.query_finished(&FinishedQuery {
            state: QueryState::Succeeded,
            statement_type: StatementType::Dml,
            workgroup: "bi",
            queue_time: Duration::ZERO,
            planning_time: Duration::from_millis(20),
            execution_time: Duration::from_secs(3),
            counters: &counters,
            cost: Usd::from_pico(5_000),
        });
        metrics.running("bi", 2);
        metrics.running("bi", -1);
        metrics.queued("bi", 3);
        let observer = metrics.observer("s3");
        observer.on_response(StoreOp::Get, 206, Duration::from_millis(40));
        observer.on_transferred(70);
        observer.on_transferred(30);
        metrics.cache_request("footer", true);
        metrics.cache_request("footer", false);
        metrics.cache(&CacheStatus {
            name: "footer",
            entries: 1,
            bytes: 4096,
            max_bytes: 8192,
            ttl: None,
            hits: 1,
            misses: 1,
            evictions: 2,
            disk_bytes: 512,
        });
        metrics.ahead(&AheadStatus {
            held_bytes: 65_536,
            fetched_bytes: 300,
            used_bytes: 200,
        });
        metrics.memory_reserved(1 << 20);
        metrics.refused("EXCEEDED_SCAN_LIMIT");
        metrics.quota_warning("bi");
        metrics
    }

    #[test]
    fn every_promised_metric_is_rendered_with_its_labels() {
        let text = fed().render();
        for line in [
            "owlake_queries_total{state=\"SUCCEEDED\",statement_type=\"DML\",workgroup=\"bi\"} 1",
            "owlake_query_duration_seconds_count{phase=\"queue\"} 1",
            "owlake_query_duration_seconds_sum{phase=\"execute\"} 3",
            "owlake_query_duration_seconds_bucket{phase=\"plan\",le=\"0.025\"} 1",
            "owlake_queries_running{workgroup=\"bi\"} 1",
            "owlake_queries_queued{workgroup=\"bi\"} 3",
            "owlake_data_scanned_bytes_total{workgroup=\"bi\"} 1000",
            "owlake_remote_bytes_total{workgroup=\"bi\"} 77",
            "owlake_transferred_bytes_total{store=\"s3\"} 100",
            "owlake_object_store_requests_total{store=\"s3\",op=\"get\",code=\"206\"} 1",
            "owlake_object_store_request_duration_seconds_count{store=\"s3\",op=\"get\"} 1",
            "owlake_cache_requests_total{cache=\"footer\",result=\"hit\"} 1",
            "owlake_cache_requests_total{cache=\"footer\",result=\"miss\"} 1",
            "owlake_cache_bytes{cache=\"footer\"} 4096",
            "owlake_cache_max_bytes{cache=\"footer\"} 8192",
            "owlake_cache_disk_bytes{cache=\"footer\"} 512",
            "owlake_cache_evictions_total{cache=\"footer\"} 2",
            "owlake_read_ahead_held_bytes 65536",
            "owlake_read_ahead_fetched_bytes_total 300",
            "owlake_read_ahead_used_bytes_total 200",
            "owlake_cost_usd_total{workgroup=\"bi\"} 0.000000005000",
            "owlake_memory_reserved_bytes 1048576",
            "owlake_refused_total{reason=\"EXCEEDED_SCAN_LIMIT\"} 1",
            "owlake_quota_warnings_total{workgroup=\"bi\"} 1",
            "owlake_build_info{version=\"1.2.3\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn every_metric_has_one_help_and_one_type_before_its_samples() {
        let text = fed().render();
        let mut current = "";
        let mut seen = std::collections::HashSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                current = rest.split(' ').next().unwrap();
                assert!(seen.insert(current) && rest.ends_with('.'), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(rest.starts_with(current), "{line}");
                assert_eq!(rest.ends_with(" counter"), current.ends_with("_total"), "{line}");
            } else {
                assert!(line.starts_with(current), "{line}");
            }
        }
        assert_eq!(seen.len(), 22);
    }
}
