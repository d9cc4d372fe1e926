//! The log and the metrics of a process.
//!
//! Log lines go to standard error; metrics are held here and rendered for `/metrics`.

mod cache_metrics;
mod metrics;
mod registry;

use std::io::{self, Write};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

pub(crate) use metrics::{FinishedQuery, Metrics};

use crate::config::{LogFormat, LogSection};

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The level is neither a level nor a list of directives.
    #[error("log level `{level}` is not error, warn, info, debug, trace or a list such as info,owlake=debug")]
    Level {
        /// As configured.
        level: String,
        /// What the parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a log already.
    #[error("the log of this process is set up already")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up the log of this process; call it once, in `main`.
///
/// # Errors
/// A bad level, or a second call.
pub(crate) fn init_log(config: &LogSection) -> Result<(), TelemetryError> {
    subscriber(config, io::stderr)?.try_init()?;
    Ok(())
}

/// A subscriber that writes lines to `writer`, with control characters escaped: what a query or a header holds
/// cannot forge a line or drive a terminal.
fn subscriber<W>(config: &LogSection, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|source| TelemetryError::Level {
            level: config.level.clone(),
            source,
        })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(EscapingWriter { inner: writer });
    Ok(match config.format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

/// Escapes control characters of each event; the format layer hands over one event per write.
struct EscapingWriter<W> {
    inner: W,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for EscapingWriter<W> {
    type Writer = EscapingLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapingLine {
            inner: self.inner.make_writer(),
        }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        EscapingLine {
            inner: self.inner.make_writer_for(meta),
        }
    }
}

struct EscapingLine<W> {
    inner: W,
}

impl<W: Write> Write for EscapingLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.inner
            .write_all(escape(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// `\u00xx` for every control character but the last line feed; valid inside JSON texts too.
fn escape(event: &str) -> String {
    let (body, end) = match event.strip_suffix('\n') {
        Some(body) => (body, "\n"),
        None => (event, ""),
    };
    let mut line = String::with_capacity(event.len());
    for c in body.chars() {
        // Line and paragraph separators end a line for some readers.
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            line.push(c);
        }
    }
    line.push_str(end);
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(config: &LogSection, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(config, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn config(format: LogFormat, level: &str) -> LogSection {
        LogSection {
            format,
            level: level.to_owned(),
            sql: false,
        }
    }

    #[test]
    fn a_message_cannot_forge_a_line_or_drive_a_terminal() {
        let text = logged(&config(LogFormat::Text, "info"), || {
            tracing::info!(user = %"a\u{1b}[2Jb", "first\n2026-01-01 ERROR forged\u{9b}1m\u{2028}x");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(text.ends_with('\n'));
        assert!(
            !text
                .trim_end()
                .contains(|c: char| c.is_control() || c == '\u{2028}'),
            "{text:?}"
        );
        assert!(text.contains("first\\u000a2026-01-01"), "{text}");
    }

    #[test]
    fn json_lines_are_json_whatever_the_message_holds() {
        let text = logged(&config(LogFormat::Json, "info"), || {
            tracing::warn!(query_id = "q\u{7f}1", "a\"b\nc\u{85}");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["message"], "a\"b\nc\u{85}");
        assert_eq!(
            (&line["query_id"], &line["level"]),
            (&"q\u{7f}1".into(), &"WARN".into())
        );
    }

    #[test]
    fn levels_and_directives_filter() {
        let quiet = logged(&config(LogFormat::Text, "warn"), || tracing::info!("no"));
        assert!(quiet.is_empty());
        let one = logged(&config(LogFormat::Text, "warn,special=debug"), || {
            tracing::debug!(target: "special", "yes");
            tracing::debug!("no");
        });
        assert!(one.contains("yes") && !one.contains("no\n"));
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let refused = subscriber(&config(LogFormat::Text, "owlake=loud"), io::sink)
            .err()
            .unwrap();
        assert!(refused.to_string().contains("`owlake=loud`"));
    }
}
