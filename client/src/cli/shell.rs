//! Runs one statement: waits with progress, writes rows, reports receipt, notices and errors, watches for Ctrl-C.

use std::io::{self, ErrorKind, Write};
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::StreamExt;
use owlake_proto::v1::QueryReceipt;

use super::Exit;
use super::args::SqlArgs;
use super::format::{Expanded, Format, FormatError, Layout};
use super::interrupt::interrupted;
use super::progress::Progress;
use super::receipt::{duration, receipt_text};
use super::size::ByteSize;
use super::streams::Streams;
use crate::client::Client;
use crate::error::ClientError;
use crate::stream::QueryStream;

/// Rows of a table that a terminal shows unless told otherwise.
const TERMINAL_ROWS: usize = 40;
/// How long a stopped query may take to send its receipt.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// One shell: a client, its streams, and the settings that backslash commands change.
pub(crate) struct Shell<'a> {
    pub(crate) client: Client,
    pub(crate) io: &'a mut Streams,
    pub(crate) format: Format,
    pub(crate) expanded: Expanded,
    pub(crate) timing: bool,
    pub(crate) max_rows: Option<usize>,
    quiet: bool,
    assert_max_scan: Option<ByteSize>,
}

/// Why a statement did not end well.
enum Trouble {
    Client(ClientError),
    Format(FormatError),
    /// Ctrl-C; the receipt, if it still arrived.
    Interrupted(Option<Box<QueryReceipt>>),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<FormatError> for Trouble {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

/// What a statement left behind.
struct Finished {
    receipt: Option<QueryReceipt>,
    has_rows: bool,
}

type Interrupt<'f> = Pin<&'f mut (dyn Future<Output = ()> + Send)>;

impl<'a> Shell<'a> {
    pub(crate) fn new(args: &SqlArgs, client: Client, io: &'a mut Streams) -> Self {
        let default_rows = io.out_is_terminal.then_some(TERMINAL_ROWS);
        Self {
            client,
            format: args.chosen_format(),
            expanded: if args.expanded {
                Expanded::On
            } else {
                Expanded::Auto
            },
            timing: false,
            max_rows: args
                .max_rows
                .map_or(default_rows, |rows| (rows > 0).then_some(rows)),
            quiet: args.quiet,
            assert_max_scan: args.assert_max_scan,
            io,
        }
    }

    /// Runs one statement and reports everything about it. `line` is its place in a script.
    ///
    /// Cancel safety: dropping the future stops the query on the server.
    pub(crate) async fn run(&mut self, sql: &str, line: Option<usize>) -> Exit {
        let mut progress = Progress::new(self.io.err_is_terminal && !self.quiet);
        let outcome = self.execute(sql, &mut progress).await;
        let elapsed = progress.elapsed();
        drop(progress);
        let exit = match outcome {
            Ok(finished) => self.finished(sql, &finished),
            Err(trouble) => self.failed(trouble, line),
        };
        if self.timing {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            let _ = writeln!(self.io.err, "Time: {}", duration(millis));
        }
        let _ = self.io.err.flush();
        exit
    }

    async fn execute(&mut self, sql: &str, progress: &mut Progress) -> Result<Finished, Trouble> {
        // One watch for the whole statement: a Ctrl-C while rows are written is not lost.
        let mut interrupt = pin!(interrupted());
        let client = self.client.clone();
        let opened = wait(interrupt.as_mut(), progress, client.query(sql)).await;
        let mut stream = opened.ok_or(Trouble::Interrupted(None))??;
        self.io.refresh_width();
        let layout = Layout {
            width: self.io.width,
            max_rows: self.max_rows,
            expanded: self.expanded,
        };
        let mut writer = None;
        loop {
            let Some(item) = wait(interrupt.as_mut(), progress, stream.next()).await else {
                return Err(Trouble::Interrupted(stop(stream).await));
            };
            let Some(batch) = item.transpose()? else { break };
            progress.add_rows(batch.num_rows());
            let writer = writer.get_or_insert_with(|| self.format.writer(stream.schema(), layout));
            if writer.streams() && self.io.out_is_terminal {
                progress.hide();
            }
            writer.batch(&batch, &mut self.io.out)?;
        }
        progress.hide();
        let has_rows = stream.has_rows();
        if has_rows {
            let mut writer = writer.unwrap_or_else(|| self.format.writer(stream.schema(), layout));
            writer.finish(&mut self.io.out)?;
        }
        self.io.out.flush().map_err(FormatError::from)?;
        Ok(Finished {
            receipt: stream.receipt().cloned(),
            has_rows,
        })
    }

    fn finished(&mut self, sql: &str, finished: &Finished) -> Exit {
        self.follow_use(sql);
        match &finished.receipt {
            Some(receipt) => self.report_receipt(receipt),
            None if !finished.has_rows && !self.quiet => {
                let _ = writeln!(self.io.err, "OK");
            }
            None => {}
        }
        self.check_scan(finished)
    }

    /// `--assert-max-scan`: a query without a receipt cannot be said to hold it.
    fn check_scan(&mut self, finished: &Finished) -> Exit {
        let Some(limit) = self.assert_max_scan else {
            return Exit::Ok;
        };
        let what = match &finished.receipt {
            Some(receipt) => {
                let scanned = ByteSize(receipt.counters.unwrap_or_default().data_scanned_bytes);
                if scanned <= limit {
                    return Exit::Ok;
                }
                format!("{scanned} were scanned ({} bytes)", scanned.0)
            }
            None if finished.has_rows => "the server sent no receipt".to_owned(),
            None => return Exit::Ok,
        };
        let _ = writeln!(
            self.io.err,
            "Error: --assert-max-scan {limit} does not hold: {what}"
        );
        Exit::Refused
    }

    /// The server knows the session's database; the header of later calls and the prompt have to agree with it.
    fn follow_use(&mut self, sql: &str) {
        let Some((catalog, database)) = used_database(sql) else {
            return;
        };
        let changed = catalog.map_or(Ok(()), |catalog| self.client.set("catalog", Some(&catalog)));
        if let Err(error) = changed.and_then(|()| self.client.set("database", Some(&database))) {
            report_error(self.io, &error, None);
        }
    }

    fn failed(&mut self, trouble: Trouble, line: Option<usize>) -> Exit {
        match trouble {
            Trouble::Client(error) => {
                // Rows that were written before the error stay readable.
                let _ = self.io.out.flush();
                report_error(self.io, &error, line);
                if let Some(receipt) = error.receipt() {
                    self.report_receipt(receipt);
                }
                Exit::of_error(&error)
            }
            Trouble::Interrupted(receipt) => {
                let _ = self.io.out.flush();
                let _ = writeln!(self.io.err, "Stopped.");
                if let Some(receipt) = receipt {
                    self.report_receipt(&receipt);
                }
                Exit::Interrupted
            }
            // The reader (`| head`) has enough: nothing to complain about.
            Trouble::Format(FormatError::Output(error)) if is_closed(&error) => Exit::Ok,
            Trouble::Format(error) => {
                let _ = writeln!(self.io.err, "Error: {error}");
                Exit::Failed
            }
        }
    }

    fn report_receipt(&mut self, receipt: &QueryReceipt) {
        if self.quiet {
            return;
        }
        for notice in &receipt.notices {
            let _ = writeln!(self.io.err, "Notice: {}", visible(notice));
        }
        let _ = writeln!(self.io.err, "{}", visible(&receipt_text(receipt)));
    }
}

/// Waits for `work` with progress shown; `None` if Ctrl-C comes first, and `work` is dropped then.
async fn wait<T>(
    interrupt: Interrupt<'_>,
    progress: &mut Progress,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = interrupt => None,
        never = progress.show() => match never {},
    }
}

/// Stops a query and waits a little for its receipt; a second Ctrl-C ends the wait.
async fn stop(stream: QueryStream) -> Option<Box<QueryReceipt>> {
    tokio::select! {
        receipt = stream.cancel(CANCEL_GRACE) => receipt.map(Box::new),
        () = interrupted() => None,
    }
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

/// Writes an error with its place in the script and when to try again.
pub(crate) fn report_error(io: &mut Streams, error: &ClientError, line: Option<usize>) {
    let place = line.map_or_else(String::new, |line| format!(" in the statement at line {line}"));
    let _ = writeln!(io.err, "Error{place}: {}", visible(&error.to_string()));
    if let Some(after) = error.failure().and_then(|failure| failure.retry_after) {
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let _ = writeln!(io.err, "Try again in {}.", duration(millis));
    }
}

/// Server texts quote user data: control characters do not reach the terminal, line ends do.
fn visible(text: &str) -> String {
    let safe = |letter: char| !letter.is_control() || letter == '\n';
    text.chars()
        .map(|letter| if safe(letter) { letter } else { '\u{fffd}' })
        .collect()
}

/// Catalog and database of `USE [catalog.]database`.
fn used_database(sql: &str) -> Option<(Option<String>, String)> {
    let (word, names) = sql.trim().split_once(char::is_whitespace)?;
    if !word.eq_ignore_ascii_case("use") {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = names.trim();
    loop {
        let (part, tail) = identifier(rest)?;
        parts.push(part);
        match tail.trim_start().strip_prefix('.') {
            Some(tail) => rest = tail.trim_start(),
            None if tail.trim().is_empty() => break,
            None => return None,
        }
    }
    let database = parts.pop()?;
    let catalog = parts.pop();
    parts.is_empty().then_some((catalog, database))
}

/// A name at the start of `text`, quoted or not, and what follows it. Names are case-insensitive: lower case.
fn identifier(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '"' | '`'));
    let Some(quote) = quote else {
        let end = text
            .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
            .unwrap_or(text.len());
        let (name, tail) = text.split_at(end);
        return (!name.is_empty()).then(|| (name.to_lowercase(), tail));
    };
    let body = text.get(1..)?;
    let end = body.find(quote)?;
    Some((body.get(..end)?.to_lowercase(), body.get(end + 1..)?))
}

#[cfg(test)]
mod tests;
