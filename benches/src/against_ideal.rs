//! Queries cold and warm, against the least time that their requests allow: listings, then footers, then data.

use owlake_mems3::MemS3;

use crate::Failure;
use crate::plot::Chart;
use crate::report::{Report, Table, median, seconds, times_ideal};
use crate::store::{Measured, Slowness, ideal_seconds, measure, open};

/// What is asked, of what, and what the ideal allows.
pub(crate) struct Comparison<'a> {
    pub(crate) store: &'a MemS3,
    pub(crate) ddl: String,
    /// Name and text.
    pub(crate) queries: Vec<(&'static str, String)>,
    pub(crate) slowness: Slowness,
    /// Runs of each query; seconds are their median.
    pub(crate) runs: usize,
    /// Requests that the ideal has in flight at most.
    pub(crate) at_once: u64,
}

impl Comparison<'_> {
    /// Runs all queries; prints a table, draws `<name>.svg`.
    pub(crate) async fn run(self, name: &str, title: String, report: &mut Report) -> Result<(), Failure> {
        let mut table = Table::new(&[
            "query",
            "run",
            "seconds",
            "LIST",
            "GET",
            "most at once",
            "ideal",
            "times ideal",
        ]);
        let mut groups = Vec::new();
        for (query, sql) in &self.queries {
            let mut runs: [Vec<Measured>; 2] = [Vec::new(), Vec::new()];
            for _ in 0..self.runs.max(1) {
                // A lake of its own: nothing of an earlier query is cached.
                let lake = open(self.store, std::slice::from_ref(&self.ddl), self.slowness).await?;
                for run in &mut runs {
                    run.push(measure(&lake, self.store, sql).await?);
                }
            }
            for (run, state) in runs.iter().zip(["cold", "warm"]) {
                let Some(last) = run.last() else { continue };
                let took = median(&run.iter().map(|m| m.seconds).collect::<Vec<f64>>());
                let ideal = self.ideal(last, state == "cold");
                table.row(vec![
                    (*query).to_owned(),
                    state.to_owned(),
                    seconds(took),
                    last.counts.list_requests.to_string(),
                    last.counts.get_requests.to_string(),
                    last.in_flight_max.to_string(),
                    seconds(ideal),
                    times_ideal(took, ideal),
                ]);
                groups.push((format!("{query}, {state}"), vec![Some(took), Some(ideal)]));
            }
        }
        report.table(&table)?;
        let chart = Chart {
            title,
            unit: "seconds".to_owned(),
            series: vec!["measured".to_owned(), "ideal".to_owned()],
            groups,
            logarithmic: false,
        };
        report.plot(name, &chart)
    }

    fn ideal(&self, run: &Measured, cold: bool) -> f64 {
        let files: u64 = run.receipt.scans.iter().map(|s| s.files_total).sum();
        let footers = if cold { files } else { 0 };
        let data = run.counts.get_requests.saturating_sub(footers);
        let phases = [run.counts.list_requests, footers, data];
        ideal_seconds(&phases, self.at_once, self.slowness.first_byte())
    }
}
