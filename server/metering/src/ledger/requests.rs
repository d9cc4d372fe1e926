//! The `object_requests` table: requests to object stores of the queries whose session asked for them.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::record::{LedgerFilter, LedgerPage, QueryRecord, RequestRecord};
use super::rows::{get, read_count, read_position};
use crate::error::MeteringError;
use crate::http::ObjectRequest;

/// Writes the requests of a query that has just ended.
pub(super) fn insert(connection: &Connection, record: &QueryRecord) -> Result<(), MeteringError> {
    if record.object_requests.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO object_requests (query_id, request, submitted_at, principal, started_ms, operation, bucket, key,
         byte_range, bytes, retried, status, elapsed_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for request in &record.object_requests {
        statement.execute(params![
            record.receipt.query_id,
            signed(request.number),
            record.receipt.submitted_at.timestamp_micros(),
            record.principal,
            signed(request.started_ms),
            request.operation,
            request.bucket,
            request.key,
            request.byte_range,
            signed(request.bytes),
            request.retried,
            request.status,
            signed(request.elapsed_ms),
        ])?;
    }
    Ok(())
}

/// The requests of the newest query that passes the filter and has some; one query a page.
///
/// Of the filter, `state` and `workgroup` do not count: the query's own row is elsewhere.
pub(super) fn select(
    connection: &Connection,
    filter: &LedgerFilter,
) -> Result<LedgerPage<RequestRecord>, MeteringError> {
    let micros = |at: DateTime<Utc>| at.timestamp_micros();
    let (after_at, after_id) = match &filter.after {
        Some((at, id)) => (Some(micros(*at)), Some(id)),
        None => (None, None),
    };
    let newest = connection
        .prepare_cached(
            "SELECT submitted_at, query_id FROM object_requests
             WHERE (?1 IS NULL OR query_id = ?1) AND (?2 IS NULL OR principal = ?2)
               AND submitted_at >= coalesce(?3, -9223372036854775808)
               AND submitted_at < coalesce(?4, 9223372036854775807)
               AND (?5 IS NULL OR (submitted_at, query_id) < (?5, ?6))
             ORDER BY submitted_at DESC, query_id DESC LIMIT 1",
        )?
        .query_row(
            params![
                filter.query_id,
                filter.principal,
                filter.since.map(micros),
                filter.until.map(micros),
                after_at,
                after_id
            ],
            |row| Ok(read_position(row)),
        )
        .optional()?
        .transpose()?;
    let Some(position) = newest else {
        return Ok(LedgerPage {
            rows: Vec::new(),
            next: None,
        });
    };
    let mut statement =
        connection.prepare_cached("SELECT * FROM object_requests WHERE query_id = ?1 ORDER BY request")?;
    let mut rows = statement.query(params![position.1])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (submitted_at, query_id) = read_position(row)?;
        found.push(RequestRecord {
            query_id,
            submitted_at,
            request: read(row)?,
        });
    }
    Ok(LedgerPage {
        rows: found,
        next: Some(position),
    })
}

fn read(row: &rusqlite::Row<'_>) -> Result<ObjectRequest, MeteringError> {
    Ok(ObjectRequest {
        number: read_count(row, "request")?,
        started_ms: read_count(row, "started_ms")?,
        operation: get(row, "operation")?,
        bucket: get(row, "bucket")?,
        key: get(row, "key")?,
        byte_range: get(row, "byte_range")?,
        bytes: read_count(row, "bytes")?,
        retried: get(row, "retried")?,
        status: get(row, "status")?,
        elapsed_ms: read_count(row, "elapsed_ms")?,
    })
}

/// Drops at most `limit` requests of queries submitted before `before`.
pub(super) fn prune(
    connection: &Connection,
    before: DateTime<Utc>,
    limit: u64,
) -> Result<u64, MeteringError> {
    let pruned = connection.execute(
        "DELETE FROM object_requests WHERE (query_id, request) IN (
             SELECT query_id, request FROM object_requests WHERE submitted_at < ?1 ORDER BY submitted_at LIMIT ?2)",
        params![
            before.timestamp_micros(),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ],
    )?;
    Ok(pruned as u64)
}
