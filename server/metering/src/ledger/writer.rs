//! The ledger thread: takes what is waiting, does it in one transaction, answers after the commit.

use std::sync::mpsc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::prune::{PRUNE_PAUSE, PRUNE_STEP, Pruner};
use super::record::{LedgerFilter, QueryRecord};
use super::rows::{self, Statements};
use crate::error::MeteringError;

pub(super) type Reply<T> = oneshot::Sender<Result<T, MeteringError>>;

/// One call of the ledger.
pub(super) enum Command {
    Submit(Box<QueryRecord>, Reply<()>),
    /// Without a reply the caller has gone; failures are logged.
    Finish(Box<QueryRecord>, Option<Reply<bool>>),
    Queries(Box<LedgerFilter>, Reply<Vec<QueryRecord>>),
    Query(String, Reply<Option<QueryRecord>>),
    Prune(DateTime<Utc>, Reply<u64>),
    /// Anything else, by the one who knows its rows.
    Call(Call),
}

/// A piece of work on the database, or the news that it cannot be done.
pub(super) type Job = Box<dyn FnOnce(Result<&Connection, MeteringError>) -> Answer + Send>;

pub(super) struct Call {
    /// Has to outlive a power cut too, not only the process.
    pub(super) durable: bool,
    pub(super) job: Job,
}

/// Most commands per transaction: bounds how long the first waits for the last.
const MAX_BATCH: usize = 512;

/// Sends the answer once the transaction's fate is known: `None` committed, else why not.
pub(super) type Answer = Box<dyn FnOnce(Option<&MeteringError>)>;

/// Runs until every sender is gone and the queue is empty. Between batches it prunes a little.
pub(super) fn run(
    mut connection: Connection,
    statements: &Statements,
    queue: &mpsc::Receiver<Command>,
    mut pruner: Pruner,
) {
    let started = Instant::now();
    connection.set_prepared_statement_cache_capacity(64);
    loop {
        let first = if pruner.is_behind() {
            match queue.recv_timeout(PRUNE_PAUSE) {
                Ok(first) => first,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    pruner.step(&connection, started.elapsed());
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        } else {
            match queue.recv() {
                Ok(first) => first,
                Err(_every_sender_is_gone) => return,
            }
        };
        let batch: Vec<Command> = std::iter::once(first)
            .chain(queue.try_iter().take(MAX_BATCH - 1))
            .collect();
        let age = started.elapsed();
        batch.iter().for_each(|command| pruner.sees(command, age));
        commit_batch(&mut connection, statements, batch);
        pruner.after_batch(&connection, age);
    }
}

/// Executes the batch in one transaction and answers each command.
pub(super) fn commit_batch(connection: &mut Connection, statements: &Statements, batch: Vec<Command>) {
    let mut answers: Vec<Answer> = Vec::with_capacity(batch.len());
    let durable = batch
        .iter()
        .any(|command| matches!(command, Command::Call(call) if call.durable));
    let synchronous = if durable { "FULL" } else { "NORMAL" };
    // Where this fails, so does the transaction below.
    let _set = connection.pragma_update(None, "synchronous", synchronous);
    let outcome = transact(connection, statements, batch, &mut answers);
    if let Err(error) = &outcome {
        tracing::error!(error = %error, source = ?std::error::Error::source(error), "the ledger did not commit");
    }
    for answer in answers {
        answer(outcome.as_ref().err());
    }
}

fn transact(
    connection: &mut Connection,
    statements: &Statements,
    batch: Vec<Command>,
    answers: &mut Vec<Answer>,
) -> Result<(), MeteringError> {
    let transaction = match connection.transaction() {
        Ok(transaction) => transaction,
        Err(error) => {
            let error = MeteringError::from(error);
            answers.extend(batch.into_iter().map(|command| refuse(command, error.clone())));
            return Err(error);
        }
    };
    let mut batch = batch.into_iter();
    while let Some(command) = batch.next() {
        answers.push(execute(&transaction, statements, command));
        if transaction.is_autocommit() {
            // A full disk or an I/O error has rolled everything back, what was answered with success too.
            let error = MeteringError::from(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
                Some("the transaction was rolled back".to_owned()),
            ));
            answers.extend(batch.map(|command| refuse(command, error.clone())));
            return Err(error);
        }
    }
    Ok(transaction.commit()?)
}

fn execute(connection: &Connection, statements: &Statements, command: Command) -> Answer {
    match command {
        Command::Submit(record, reply) => answer(reply, rows::insert(connection, statements, &record)),
        Command::Finish(record, reply) => {
            let result = rows::finish(connection, statements, &record);
            match reply {
                Some(reply) => answer(reply, result),
                None => log_end(record.receipt.query_id, result.map(drop)),
            }
        }
        Command::Queries(filter, reply) => answer(reply, rows::select(connection, statements, *filter)),
        Command::Query(id, reply) => answer(reply, rows::by_id(connection, statements, &id)),
        Command::Prune(before, reply) => answer(reply, rows::prune(connection, before, PRUNE_STEP)),
        Command::Call(call) => (call.job)(Ok(connection)),
    }
}

/// The answer of a command that was never executed.
fn refuse(command: Command, error: MeteringError) -> Answer {
    match command {
        Command::Submit(_, reply) => answer(reply, Err(error)),
        Command::Finish(_, Some(reply)) => answer(reply, Err(error)),
        Command::Finish(record, None) => log_end(record.receipt.query_id, Err(error)),
        Command::Queries(_, reply) => answer(reply, Err(error)),
        Command::Query(_, reply) => answer(reply, Err(error)),
        Command::Prune(_, reply) => answer(reply, Err(error)),
        Command::Call(call) => (call.job)(Err(error)),
    }
}

pub(super) fn answer<T: 'static>(reply: Reply<T>, result: Result<T, MeteringError>) -> Answer {
    answer_then(reply, result, |_| {})
}

/// Tells `then` of a success, then the caller.
pub(super) fn answer_then<T: 'static>(
    reply: Reply<T>,
    result: Result<T, MeteringError>,
    then: impl FnOnce(&T) + 'static,
) -> Answer {
    Box::new(move |failure| {
        let result = or_failure(result, failure);
        if let Ok(value) = &result {
            then(value);
        }
        // Who dropped the future does not want the answer.
        let _ = reply.send(result);
    })
}

fn log_end(query_id: String, result: Result<(), MeteringError>) -> Answer {
    Box::new(move |failure| {
        if let Err(error) = or_failure(result, failure) {
            let source = std::error::Error::source(&error);
            tracing::error!(query_id, %error, ?source, "the end of a query was not recorded");
        }
    })
}

pub(super) fn log_only(result: Result<(), MeteringError>) -> Answer {
    Box::new(move |failure| {
        if let Err(error) = or_failure(result, failure) {
            let source = std::error::Error::source(&error);
            tracing::error!(%error, ?source, "a booking was not recorded");
        }
    })
}

fn or_failure<T>(
    result: Result<T, MeteringError>,
    failure: Option<&MeteringError>,
) -> Result<T, MeteringError> {
    match failure {
        Some(failure) => result.and(Err(failure.clone())),
        None => result,
    }
}
