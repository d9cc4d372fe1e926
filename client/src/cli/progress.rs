//! The spinner: elapsed time and rows on standard error, only for a person and only when it takes a while.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Answers faster than this show no progress.
const SILENT: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// Progress of one statement.
pub(crate) struct Progress {
    enabled: bool,
    started: Instant,
    /// When the line is drawn next. Outlives [`Progress::show`], which ends with each batch.
    next_draw: Instant,
    rows: usize,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(enabled: bool) -> Self {
        let started = Instant::now();
        Self {
            enabled,
            started,
            next_draw: started + SILENT,
            rows: 0,
            bar: None,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn add_rows(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// Shows progress while something else is waited for. Cancel safe.
    pub(crate) async fn show(&mut self) -> Infallible {
        if !self.enabled {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep_until(self.next_draw.into()).await;
            let text = text(self.started.elapsed(), self.rows);
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.set_style(ProgressStyle::default_spinner());
                bar
            });
            bar.set_message(text);
            bar.tick();
            self.next_draw = Instant::now() + TICK;
        }
    }

    /// Clears the line before something else is written.
    pub(crate) fn hide(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.hide();
    }
}

fn text(elapsed: Duration, rows: usize) -> String {
    let seconds = format!("{}.{} s", elapsed.as_secs(), elapsed.subsec_millis() / 100);
    if rows == 0 {
        format!("{seconds}, Ctrl-C stops")
    } else {
        format!(
            "{seconds}, {} rows, Ctrl-C stops",
            super::receipt::grouped(rows as u64)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_time_and_rows() {
        assert_eq!(text(Duration::from_millis(1_260), 0), "1.2 s, Ctrl-C stops");
        assert_eq!(
            text(Duration::from_secs(61), 12_345),
            "61.0 s, 12,345 rows, Ctrl-C stops"
        );
    }
}
