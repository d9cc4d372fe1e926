//! Counters, gauges and histograms with labels, and their Prometheus text form. Knows no metric by name.
//!
//! Our own, for three reasons: values stay in the object that is handed around (no process-wide recorder, so
//! two lakes and two tests do not mix), money is added exactly, and the number of series is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use owlake_metering::Usd;

/// Most series of one metric; label values after that share one series with `other` in every label.
const MAX_SERIES: usize = 500;

/// A value that can be printed as one or more samples.
pub(super) trait Metric: Default {
    /// The word of the `# TYPE` line.
    const KIND: &'static str;
    fn write(&self, out: &mut String, name: &str, labels: &Labels<'_>);
}

/// Label names and values of one series.
pub(super) struct Labels<'a> {
    names: &'a [&'static str],
    values: &'a [String],
}

impl Labels<'_> {
    fn write(&self, out: &mut String, extra: Option<(&str, &str)>) {
        let own = self
            .names
            .iter()
            .copied()
            .zip(self.values.iter().map(String::as_str));
        let mut separator = '{';
        for (name, value) in own.chain(extra) {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            // Writing to a String does not fail.
            let _ = write!(out, "{separator}{name}=\"{value}\"");
            separator = ',';
        }
        if separator == ',' {
            out.push('}');
        }
    }
}

fn sample(out: &mut String, name: &str, labels: &Labels<'_>, value: impl std::fmt::Display) {
    out.push_str(name);
    labels.write(out, None);
    let _ = writeln!(out, " {value}");
}

/// Only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes over what was counted elsewhere.
    pub(super) fn raise_to(&self, n: u64) {
        self.0.fetch_max(n, Relaxed);
    }
}

impl Metric for Counter {
    const KIND: &'static str = "counter";

    fn write(&self, out: &mut String, name: &str, labels: &Labels<'_>) {
        sample(out, name, labels, self.0.load(Relaxed));
    }
}

/// Money that only grows; exact, while a sum of floating-point prices would drift.
#[derive(Debug, Default)]
pub(super) struct CostCounter(Mutex<Usd>);

impl CostCounter {
    pub(super) fn add(&self, cost: Usd) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sum += cost;
    }
}

impl Metric for CostCounter {
    const KIND: &'static str = "counter";

    fn write(&self, out: &mut String, name: &str, labels: &Labels<'_>) {
        let sum = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sample(out, name, labels, sum);
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicI64);

impl Gauge {
    pub(super) fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(i64::try_from(n).unwrap_or(i64::MAX), Relaxed);
    }
}

impl Metric for Gauge {
    const KIND: &'static str = "gauge";

    fn write(&self, out: &mut String, name: &str, labels: &Labels<'_>) {
        sample(out, name, labels, self.0.load(Relaxed));
    }
}

/// Upper bounds in seconds, from a cached read to Athena's default timeout; with the text of the `le` label.
const BOUNDS: [(f64, &str); 14] = [
    (0.001, "0.001"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
    (10.0, "10"),
    (60.0, "60"),
    (300.0, "300"),
    (1800.0, "1800"),
];

/// Durations by bucket.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last one is beyond every bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let bucket = BOUNDS
            .iter()
            .position(|(bound, _)| seconds <= *bound)
            .unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns
            .fetch_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Metric for Histogram {
    const KIND: &'static str = "histogram";

    fn write(&self, out: &mut String, name: &str, labels: &Labels<'_>) {
        let mut count = 0;
        for (bucket, le) in self
            .buckets
            .iter()
            .zip(BOUNDS.map(|(_, text)| text).into_iter().chain(["+Inf"]))
        {
            count += bucket.load(Relaxed);
            let _ = write!(out, "{name}_bucket");
            labels.write(out, Some(("le", le)));
            let _ = writeln!(out, " {count}");
        }
        let sum = Duration::from_nanos(self.sum_ns.load(Relaxed)).as_secs_f64();
        sample(out, &format!("{name}_sum"), labels, sum);
        sample(out, &format!("{name}_count"), labels, count);
    }
}

/// One metric with all its series.
#[derive(Debug)]
pub(super) struct Family<M> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    series: RwLock<BTreeMap<Vec<String>, Arc<M>>>,
}

impl<M: Metric> Family<M> {
    /// `help` is one line without backslashes. A metric without labels has its one series from the start.
    pub(super) fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        let family = Self {
            name,
            help,
            labels,
            series: RwLock::default(),
        };
        if labels.is_empty() {
            family.with(&[]);
        }
        family
    }

    /// The series of these label values, in the order of the names.
    pub(super) fn with(&self, values: &[&str]) -> Arc<M> {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let key: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        if let Some(metric) = self
            .series
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return metric.clone();
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let key = if series.len() >= MAX_SERIES && !series.contains_key(&key) {
            vec!["other".to_owned(); values.len()]
        } else {
            key
        };
        series.entry(key).or_default().clone()
    }

    pub(super) fn write(&self, out: &mut String) {
        let Self {
            name,
            help,
            labels,
            series,
        } = self;
        let series = series.read().unwrap_or_else(PoisonError::into_inner);
        if series.is_empty() {
            return;
        }
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", M::KIND);
        for (values, metric) in series.iter() {
            metric.write(
                out,
                name,
                &Labels {
                    names: labels,
                    values,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered<M: Metric>(family: &Family<M>) -> String {
        let mut out = String::new();
        family.write(&mut out);
        out
    }

    #[test]
    fn label_values_are_escaped() {
        let family = Family::<Counter>::new("x_total", "X.", &["a", "b"]);
        family.with(&["q\"\\", "line\nfeed"]).add(2);
        assert_eq!(
            rendered(&family),
            "# HELP x_total X.\n# TYPE x_total counter\nx_total{a=\"q\\\"\\\\\",b=\"line\\nfeed\"} 2\n"
        );
    }

    #[test]
    fn buckets_are_cumulative_and_bounds_inclusive() {
        let family = Family::<Histogram>::new("x_seconds", "X.", &[]);
        for ms in [1, 1, 7, 100, 4_000_000] {
            family.with(&[]).observe(Duration::from_millis(ms));
        }
        let text = rendered(&family);
        for line in [
            "x_seconds_bucket{le=\"0.001\"} 2",
            "x_seconds_bucket{le=\"0.005\"} 2",
            "x_seconds_bucket{le=\"0.01\"} 3",
            "x_seconds_bucket{le=\"0.1\"} 4",
            "x_seconds_bucket{le=\"1800\"} 4",
            "x_seconds_bucket{le=\"+Inf\"} 5",
            "x_seconds_sum 4000.109",
            "x_seconds_count 5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let family = Family::<Counter>::new("x_total", "X.", &["a"]);
        for n in 0..MAX_SERIES + 50 {
            family.with(&[&n.to_string()]).add(1);
        }
        family.with(&["0"]).add(1);
        let text = rendered(&family);
        assert_eq!(text.lines().count(), 2 + MAX_SERIES + 1);
        assert!(text.contains("x_total{a=\"other\"} 50\n") && text.contains("x_total{a=\"0\"} 2\n"));
    }

    #[test]
    fn money_is_added_exactly() {
        let family = Family::<CostCounter>::new("x_usd_total", "X.", &[]);
        for _ in 0..3 {
            family.with(&[]).add(Usd::from_pico(100_000_000_000));
        }
        assert!(rendered(&family).contains("x_usd_total 0.300000000000\n"));
    }
}
