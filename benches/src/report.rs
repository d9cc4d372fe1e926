//! What a benchmark shows: Markdown on stdout, the same and its plots in a directory.

use std::io::Write;
use std::path::PathBuf;

use crate::Failure;
use crate::plot::Chart;

/// A Markdown table; cells that are numbers are aligned right.
pub(crate) struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headers: &[&str]) -> Self {
        Self {
            headers: headers.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let number = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.clone().count() > 0 && cells.clone().all(|c| c == "-" || c.parse::<f64>().is_ok())
        };
        let rule: Vec<String> = (0..self.headers.len())
            .map(|column| if number(column) { "--:" } else { "---" }.to_owned())
            .collect();
        let mut text = line(&self.headers) + &line(&rule).replace("| ", "|").replace(" |", "|");
        for row in &self.rows {
            text += &line(row);
        }
        text
    }
}

/// Where a benchmark writes.
pub(crate) struct Report {
    out: Option<PathBuf>,
    text: String,
    name: String,
}

impl Report {
    /// Makes the directory if one is given.
    pub(crate) fn new(out: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(dir) = &out {
            std::fs::create_dir_all(dir)?;
        }
        Ok(Self {
            out,
            text: String::new(),
            name: "report".to_owned(),
        })
    }

    /// Name of the Markdown file, without its ending.
    pub(crate) fn name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let text = format!("{text}\n");
        std::io::stdout().lock().write_all(text.as_bytes())?;
        self.text += &text;
        Ok(())
    }

    /// A table.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        self.line(table.markdown().trim_end())?;
        self.line("")
    }

    /// A plot, as `<name>.svg`; nothing without a directory.
    pub(crate) fn plot(&self, name: &str, chart: &Chart) -> Result<(), Failure> {
        if let Some(dir) = &self.out {
            std::fs::write(dir.join(format!("{name}.svg")), chart.svg())?;
        }
        Ok(())
    }

    /// Writes the Markdown.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if let Some(dir) = &self.out {
            std::fs::write(dir.join(format!("{}.md", self.name)), self.text)?;
        }
        Ok(())
    }
}

/// Cores and build of this run: figures mean nothing without.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) {
        "DEV BUILD: for correctness only, times mean nothing"
    } else {
        "optimized build"
    };
    format!("{cores} cores, {build}")
}

/// Seconds with as many digits as tell something.
pub(crate) fn seconds(value: f64) -> String {
    format!("{value:.3}")
}

/// How many times `ideal` something took; nothing where no time at all would be ideal.
pub(crate) fn times_ideal(took: f64, ideal: f64) -> String {
    if ideal > 0.0 {
        format!("{:.2}", took / ideal)
    } else {
        "-".to_owned()
    }
}

/// The middle one of some values; of an even number the larger one.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that this part of all values does not pass; 0 of none.
pub(crate) fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = (sorted.len() as f64 * part) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

/// The geometric mean; 0 of none.
pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    (values.iter().map(|v| v.ln()).sum::<f64>() / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_few_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(percentile(&[4.0, 1.0, 2.0, 3.0], 0.99), 4.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert!((geometric_mean(&[1.0, 100.0]) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_aligned_right() {
        let mut table = Table::new(&["query", "seconds"]);
        table.row(vec!["a".to_owned(), "0.100".to_owned()]);
        table.row(vec!["b".to_owned(), "-".to_owned()]);
        assert_eq!(
            table.markdown(),
            "| query | seconds |\n|---|--:|\n| a | 0.100 |\n| b | - |\n"
        );
    }
}
