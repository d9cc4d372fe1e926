//! Rows of the `queries` table: writing, reading, selecting. Runs on the ledger thread.

use std::time::Duration;

use chrono::{DateTime, Utc};
use owlake_fault::Code;
use rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY;
use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{LedgerFilter, LedgerPage, LedgerPosition, QueryPart, QueryRecord};
use super::{requests, usage};
use crate::error::MeteringError;
use crate::meter::{Counter, Counters};
use crate::receipt::{QueryState, Receipt, StatementType};

/// Statement texts, built once: the column list has one source, [`values`].
pub(super) struct Statements {
    insert: String,
    finish: String,
    select: String,
}

impl Statements {
    pub(super) fn new() -> Result<Self, MeteringError> {
        let probe = QueryRecord::new(Receipt::new("", StatementType::Utility, DateTime::UNIX_EPOCH), "");
        let columns: Vec<&str> = values(&probe)?.into_iter().map(|(column, _)| column).collect();
        let list = columns.join(", ");
        let marks: Vec<String> = (1..=columns.len()).map(|i| format!("?{i}")).collect();
        let sets: Vec<String> = columns
            .iter()
            .zip(&marks)
            .map(|(c, m)| format!("{c} = {m}"))
            .collect();
        Ok(Self {
            insert: format!("INSERT INTO queries ({list}) VALUES ({})", marks.join(", ")),
            // values() starts with the query id.
            finish: format!(
                "UPDATE queries SET {} WHERE query_id = ?1 AND state IN ('QUEUED', 'RUNNING')",
                sets.join(", ")
            ),
            select: format!("SELECT {list} FROM queries"),
        })
    }
}

/// Column names and values of a record; the query id comes first.
fn values(record: &QueryRecord) -> Result<Vec<(&'static str, Value)>, MeteringError> {
    let receipt = &record.receipt;
    let mut values = vec![
        ("query_id", text(&receipt.query_id)),
        ("query", text(&record.query)),
        ("query_hash", text(&record.query_hash)),
        ("statement_type", text(receipt.statement_type.as_str())),
        ("state", text(receipt.state.as_str())),
        ("error_code", optional_text(receipt.error_code.as_deref())),
        ("error_message", optional_text(receipt.error_message.as_deref())),
        ("submitted_at", micros(receipt.submitted_at)),
        ("started_at", record.started_at.map_or(Value::Null, micros)),
        ("finished_at", record.finished_at.map_or(Value::Null, micros)),
        ("queued_ms", ms(receipt.queue_time)),
        ("planning_ms", ms(receipt.planning_time)),
        ("execution_ms", ms(receipt.execution_time)),
        ("total_ms", ms(receipt.total_time)),
        ("principal", text(&record.principal)),
        ("workgroup", text(&receipt.workgroup)),
        ("source", optional_text(record.source.as_deref())),
        ("tags", json("tags", &record.tags)?),
        ("catalog", text(&record.catalog)),
        ("database", text(&record.database)),
        ("rows_returned", count(receipt.rows_returned)),
        ("bytes_returned", count(receipt.bytes_returned)),
        ("glue_requests", count(record.glue_requests)),
        ("billed_bytes", count(receipt.billed_bytes)),
        ("cost_usd", Value::Text(receipt.cost_usd.to_string())),
        (
            "athena_cost_usd",
            Value::Text(receipt.athena_cost_usd.to_string()),
        ),
        ("price_plan", text(&receipt.price_plan)),
        (
            "timing_dependent",
            Value::Integer(receipt.timing_dependent.into()),
        ),
        (
            "max_data_scanned_bytes",
            receipt.max_data_scanned_bytes.map_or(Value::Null, count),
        ),
        (
            "estimate_min_bytes",
            record.receipt.estimate_min_bytes.map_or(Value::Null, count),
        ),
        (
            "estimate_max_bytes",
            record.receipt.estimate_max_bytes.map_or(Value::Null, count),
        ),
        (
            "estimate_confidence",
            optional_text(record.receipt.estimate_confidence.as_deref()),
        ),
        (
            "reused_query_id",
            optional_text(receipt.reused_query_id.as_deref()),
        ),
        ("peak_memory_bytes", count(receipt.peak_memory_bytes)),
        ("spilled_bytes", count(receipt.spilled_bytes)),
        ("trace_id", optional_text(record.trace_id.as_deref())),
        ("server_version", text(&receipt.server_version)),
        ("scans", json("scans", &receipt.scans)?),
        ("remote_queries", json("remote_queries", &receipt.remote_queries)?),
        ("notices", json("notices", &receipt.notices)?),
    ];
    values.extend(
        Counter::ALL
            .iter()
            .map(|&c| (c.as_str(), count(receipt.counters.get(c)))),
    );
    Ok(values)
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn optional_text(value: Option<&str>) -> Value {
    value.map_or(Value::Null, text)
}

/// SQLite integers are signed; 2^63 bytes are beyond any query.
pub(super) fn count(count: u64) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn ms(time: Duration) -> Value {
    Value::Integer(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn micros(at: DateTime<Utc>) -> Value {
    Value::Integer(at.timestamp_micros())
}

fn json<T: Serialize>(column: &'static str, value: &T) -> Result<Value, MeteringError> {
    serde_json::to_string(value)
        .map(Value::Text)
        .map_err(|e| bad(column, e))
}

pub(super) fn bad(column: &'static str, reason: impl ToString) -> MeteringError {
    MeteringError::BadRow {
        column,
        reason: reason.to_string(),
    }
}

/// Inserts a query; `DuplicateQuery` where its id is known.
pub(super) fn insert(
    connection: &Connection,
    statements: &Statements,
    record: &QueryRecord,
) -> Result<(), MeteringError> {
    let mut statement = connection.prepare_cached(&statements.insert)?;
    match statement.execute(params_from_iter(
        values(record)?.into_iter().map(|(_, value)| value),
    )) {
        Ok(_) => Ok(()),
        Err(rusqlite::Error::SqliteFailure(e, _)) if e.extended_code == SQLITE_CONSTRAINT_PRIMARYKEY => {
            Err(MeteringError::DuplicateQuery(record.receipt.query_id.clone()))
        }
        Err(e) => Err(e.into()),
    }
}

/// Writes the end of a query; false where it had ended before.
pub(super) fn finish(
    connection: &Connection,
    statements: &Statements,
    record: &QueryRecord,
) -> Result<bool, MeteringError> {
    if !record.receipt.state.is_terminal() {
        return Err(MeteringError::NotTerminal(record.receipt.query_id.clone()));
    }
    let mut statement = connection.prepare_cached(&statements.finish)?;
    if statement.execute(params_from_iter(
        values(record)?.into_iter().map(|(_, value)| value),
    ))? > 0
    {
        return ended(connection, record);
    }
    match insert(connection, statements, record) {
        Ok(()) => ended(connection, record),
        Err(MeteringError::DuplicateQuery(_)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// What is written beside the row of a query that has ended.
fn ended(connection: &Connection, record: &QueryRecord) -> Result<bool, MeteringError> {
    usage::add(connection, record)?;
    requests::insert(connection, record)?;
    Ok(true)
}

/// Ends the rows of a server that was killed.
pub(super) fn fail_unfinished(connection: &Connection, now: DateTime<Utc>) -> Result<usize, MeteringError> {
    usage::add_unfinished(connection)?;
    let failed = connection.execute(
        "UPDATE queries SET state = 'FAILED', error_code = ?1, error_message = 'server stopped', finished_at = ?2
         WHERE state IN ('QUEUED', 'RUNNING')",
        params![Code::ServerShuttingDown.as_str(), now.timestamp_micros()],
    )?;
    Ok(failed)
}

/// Drops at most `limit` finished queries submitted before `before`.
pub(super) fn prune(
    connection: &Connection,
    before: DateTime<Utc>,
    limit: u64,
) -> Result<u64, MeteringError> {
    let pruned = connection.execute(
        "DELETE FROM queries WHERE rowid IN (
             SELECT rowid FROM queries WHERE submitted_at < ?1 AND state NOT IN ('QUEUED', 'RUNNING')
             ORDER BY submitted_at LIMIT ?2)",
        params![
            before.timestamp_micros(),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ],
    )?;
    Ok(pruned as u64)
}

/// One query by its id.
pub(super) fn by_id(
    connection: &Connection,
    statements: &Statements,
    query_id: &str,
) -> Result<Option<QueryRecord>, MeteringError> {
    let sql = format!("{} WHERE query_id = ?1", statements.select);
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![query_id], |row| Ok(read(row)))
        .optional()?;
    found.transpose()
}

/// Queries that pass the filter, newest first.
pub(super) fn select(
    connection: &Connection,
    statements: &Statements,
    filter: LedgerFilter,
) -> Result<Vec<QueryRecord>, MeteringError> {
    let (sql, arguments) = filtered(&statements.select, filter);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(arguments))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(read(row)?);
    }
    Ok(records)
}

/// What the JSON of `column` lists of the queries that pass the filter; its limit is a number of queries.
pub(super) fn select_parts<T: DeserializeOwned>(
    connection: &Connection,
    column: &'static str,
    filter: LedgerFilter,
) -> Result<LedgerPage<QueryPart<T>>, MeteringError> {
    let limit = filter.limit;
    let select = format!("SELECT query_id, submitted_at, principal, workgroup, {column} FROM queries");
    let (sql, arguments) = filtered(&select, filter);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(arguments))?;
    let (mut found, mut last, mut queries) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        queries += 1;
        let (at, id) = read_position(row)?;
        for part in read_json::<Vec<T>>(row, column)? {
            found.push(QueryPart {
                query_id: id.clone(),
                submitted_at: at,
                principal: get(row, "principal")?,
                workgroup: get(row, "workgroup")?,
                part,
            });
        }
        last = Some((at, id));
    }
    Ok(LedgerPage {
        rows: found,
        next: last.filter(|_| queries == limit),
    })
}

pub(super) fn read_position(row: &Row<'_>) -> Result<LedgerPosition, MeteringError> {
    let at = read_time(row, "submitted_at")?.ok_or_else(|| bad("submitted_at", "no time"))?;
    Ok((at, get(row, "query_id")?))
}

/// `select` with the conditions, the order and the limit of `filter`.
fn filtered(select: &str, filter: LedgerFilter) -> (String, Vec<Value>) {
    let mut sql = format!("{select} WHERE true");
    let mut arguments = Vec::new();
    let mut demand = |condition: &str, values: Vec<Value>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        arguments.extend(values);
    };
    if let Some(query_id) = filter.query_id {
        demand("query_id = ?", vec![Value::Text(query_id)]);
    }
    if let Some(since) = filter.since {
        demand("submitted_at >= ?", vec![micros(since)]);
    }
    if let Some(until) = filter.until {
        demand("submitted_at < ?", vec![micros(until)]);
    }
    if let Some(state) = filter.state {
        demand("state = ?", vec![text(state.as_str())]);
    }
    if let Some(principal) = filter.principal {
        demand("principal = ?", vec![Value::Text(principal)]);
    }
    if let Some(workgroup) = filter.workgroup {
        demand("workgroup = ?", vec![Value::Text(workgroup)]);
    }
    if let Some((at, query_id)) = filter.after {
        demand(
            "(submitted_at, query_id) < (?, ?)",
            vec![micros(at), Value::Text(query_id)],
        );
    }
    sql.push_str(" ORDER BY submitted_at DESC, query_id DESC LIMIT ?");
    arguments.push(Value::Integer(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    (sql, arguments)
}

fn read(row: &Row<'_>) -> Result<QueryRecord, MeteringError> {
    let mut counters = Counters::default();
    for &counter in Counter::ALL {
        *counters.get_mut(counter) = read_count(row, counter.as_str())?;
    }
    let receipt = Receipt {
        query_id: get(row, "query_id")?,
        state: read_word(row, "state", QueryState::from_name)?,
        statement_type: read_word(row, "statement_type", StatementType::from_name)?,
        counters,
        billed_bytes: read_count(row, "billed_bytes")?,
        cost_usd: read_word(row, "cost_usd", |text| text.parse().ok())?,
        athena_cost_usd: read_word(row, "athena_cost_usd", |text| text.parse().ok())?,
        price_plan: get(row, "price_plan")?,
        timing_dependent: get(row, "timing_dependent")?,
        rows_returned: read_count(row, "rows_returned")?,
        bytes_returned: read_count(row, "bytes_returned")?,
        submitted_at: read_time(row, "submitted_at")?.ok_or_else(|| bad("submitted_at", "no time"))?,
        queue_time: read_ms(row, "queued_ms")?,
        planning_time: read_ms(row, "planning_ms")?,
        execution_time: read_ms(row, "execution_ms")?,
        total_time: read_ms(row, "total_ms")?,
        scans: read_json(row, "scans")?,
        remote_queries: read_json(row, "remote_queries")?,
        notices: read_json(row, "notices")?,
        error_code: get(row, "error_code")?,
        error_message: get(row, "error_message")?,
        workgroup: get(row, "workgroup")?,
        max_data_scanned_bytes: read_optional_count(row, "max_data_scanned_bytes")?,
        reused_query_id: get(row, "reused_query_id")?,
        estimate_min_bytes: read_optional_count(row, "estimate_min_bytes")?,
        estimate_max_bytes: read_optional_count(row, "estimate_max_bytes")?,
        estimate_confidence: get(row, "estimate_confidence")?,
        peak_memory_bytes: read_count(row, "peak_memory_bytes")?,
        spilled_bytes: read_count(row, "spilled_bytes")?,
        server_version: get(row, "server_version")?,
    };
    Ok(QueryRecord {
        receipt,
        query: get(row, "query")?,
        query_hash: get(row, "query_hash")?,
        started_at: read_time(row, "started_at")?,
        finished_at: read_time(row, "finished_at")?,
        principal: get(row, "principal")?,
        source: get(row, "source")?,
        tags: read_json(row, "tags")?,
        catalog: get(row, "catalog")?,
        database: get(row, "database")?,
        glue_requests: read_count(row, "glue_requests")?,
        trace_id: get(row, "trace_id")?,
        object_requests: Vec::new(),
    })
}

pub(super) fn get<T: FromSql>(row: &Row<'_>, column: &'static str) -> Result<T, MeteringError> {
    row.get(column).map_err(|e| bad(column, e))
}

pub(super) fn read_count(row: &Row<'_>, column: &'static str) -> Result<u64, MeteringError> {
    u64::try_from(get::<i64>(row, column)?).map_err(|e| bad(column, e))
}

fn read_optional_count(row: &Row<'_>, column: &'static str) -> Result<Option<u64>, MeteringError> {
    get::<Option<i64>>(row, column)?
        .map(|v| u64::try_from(v).map_err(|e| bad(column, e)))
        .transpose()
}

fn read_ms(row: &Row<'_>, column: &'static str) -> Result<Duration, MeteringError> {
    read_count(row, column).map(Duration::from_millis)
}

fn read_time(row: &Row<'_>, column: &'static str) -> Result<Option<DateTime<Utc>>, MeteringError> {
    let time = |at| DateTime::from_timestamp_micros(at).ok_or_else(|| bad(column, "out of range"));
    get::<Option<i64>>(row, column)?.map(time).transpose()
}

pub(super) fn read_word<T>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, MeteringError> {
    let text: String = get(row, column)?;
    parse(&text).ok_or_else(|| bad(column, format!("`{text}`")))
}

fn read_json<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<T, MeteringError> {
    serde_json::from_str(&get::<String>(row, column)?).map_err(|e| bad(column, e))
}
