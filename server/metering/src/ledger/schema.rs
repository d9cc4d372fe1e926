//! Tables of `ledger.db` and the steps that bring an older file up to date.

use rusqlite::Connection;

use crate::error::MeteringError;

/// Step n brings a file from version n to n + 1. Released steps are never edited.
///
/// Times are microseconds since 1970 UTC, money is decimal text, tags, scans, remote queries and notices are JSON.
const STEPS: &[&str] = &[
    "
CREATE TABLE queries (
    query_id TEXT NOT NULL PRIMARY KEY,
    query TEXT NOT NULL,
    query_hash TEXT NOT NULL,
    statement_type TEXT NOT NULL,
    state TEXT NOT NULL,
    error_code TEXT,
    error_message TEXT,
    submitted_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    queued_ms INTEGER NOT NULL,
    planning_ms INTEGER NOT NULL,
    execution_ms INTEGER NOT NULL,
    total_ms INTEGER NOT NULL,
    principal TEXT NOT NULL,
    workgroup TEXT NOT NULL,
    source TEXT,
    tags TEXT NOT NULL,
    catalog TEXT NOT NULL,
    database TEXT NOT NULL,
    rows_returned INTEGER NOT NULL,
    bytes_returned INTEGER NOT NULL,
    data_scanned_bytes INTEGER NOT NULL,
    metadata_bytes INTEGER NOT NULL,
    cached_bytes INTEGER NOT NULL,
    requested_bytes INTEGER NOT NULL,
    transferred_bytes INTEGER NOT NULL,
    get_requests INTEGER NOT NULL,
    head_requests INTEGER NOT NULL,
    list_requests INTEGER NOT NULL,
    put_requests INTEGER NOT NULL,
    retried_requests INTEGER NOT NULL,
    aborted_requests INTEGER NOT NULL,
    aborted_bytes_max INTEGER NOT NULL,
    unanswered_requests INTEGER NOT NULL,
    remote_rows INTEGER NOT NULL,
    remote_bytes INTEGER NOT NULL,
    glue_requests INTEGER NOT NULL,
    billed_bytes INTEGER NOT NULL,
    cost_usd TEXT NOT NULL,
    athena_cost_usd TEXT NOT NULL,
    price_plan TEXT NOT NULL,
    timing_dependent INTEGER NOT NULL,
    max_data_scanned_bytes INTEGER,
    estimate_min_bytes INTEGER,
    estimate_max_bytes INTEGER,
    estimate_confidence TEXT,
    reused_query_id TEXT,
    peak_memory_bytes INTEGER NOT NULL,
    spilled_bytes INTEGER NOT NULL,
    trace_id TEXT,
    server_version TEXT NOT NULL,
    scans TEXT NOT NULL,
    notices TEXT NOT NULL
) STRICT;
CREATE INDEX queries_by_submitted_at ON queries (submitted_at, query_id);
CREATE INDEX queries_unfinished ON queries (state) WHERE state IN ('QUEUED', 'RUNNING');
",
    // Days count from 1970-01-01 UTC. Definitions of limits are JSON. A quota's row holds its newest window;
    // `booked` is never below what was used, in bytes or 10^-12 dollars.
    "
CREATE TABLE usage (
    workgroup TEXT NOT NULL,
    principal TEXT NOT NULL,
    day INTEGER NOT NULL,
    queries INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    data_scanned_bytes INTEGER NOT NULL,
    cost_usd TEXT NOT NULL,
    athena_cost_usd TEXT NOT NULL,
    PRIMARY KEY (day, workgroup, principal)
) STRICT, WITHOUT ROWID;
CREATE TABLE object_requests (
    query_id TEXT NOT NULL,
    request INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    principal TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    operation TEXT NOT NULL,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    byte_range TEXT,
    bytes INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    status INTEGER,
    elapsed_ms INTEGER NOT NULL,
    PRIMARY KEY (query_id, request)
) STRICT, WITHOUT ROWID;
CREATE INDEX object_requests_by_submitted_at ON object_requests (submitted_at, query_id, request);
CREATE TABLE workgroups (
    name TEXT NOT NULL PRIMARY KEY,
    definition TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE quotas (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL
) STRICT;
CREATE TABLE quota_usage (
    quota_id INTEGER NOT NULL,
    principal TEXT NOT NULL,
    resource TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    booked INTEGER NOT NULL,
    warned INTEGER NOT NULL,
    PRIMARY KEY (quota_id, principal, resource)
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE catalogs (
    name TEXT NOT NULL PRIMARY KEY,
    definition TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    "
ALTER TABLE queries ADD COLUMN remote_queries TEXT NOT NULL DEFAULT '[]';
",
];

/// Newest version known here.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Brings the file to [`VERSION`], each step whole or not at all; refuses a newer one untouched.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), MeteringError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let pending = usize::try_from(found).ok().and_then(|found| STEPS.get(found..));
    let pending = pending.ok_or(MeteringError::NewerSchema {
        found,
        known: VERSION,
    })?;
    for (version, step) in (found + 1..).zip(pending) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        if version == super::usage::SINCE {
            super::usage::backfill(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
