//! The `usage` table: sums by workgroup, principal and day, kept longer than the queries they come from.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use owlake_fault::Code;
use rusqlite::{Connection, OptionalExtension, params};

use super::record::{QueryRecord, UsageRecord};
use super::rows::{bad, get, read_count, read_word};
use crate::error::MeteringError;
use crate::usd::Usd;

/// The schema version that has the table.
pub(super) const SINCE: i64 = 2;

/// How long sums are kept at least: longer than a year, so that a bill can be compared with last year's.
pub(super) const RETENTION: Duration = Duration::from_secs(400 * 86_400);

const DAY_MICROS: i64 = 86_400_000_000;

/// Refusals by a limit, as `system.usage` and the metrics count them.
const REFUSALS: [Code; 3] = [Code::ExceededScanLimit, Code::ExceededQuota, Code::QueryQueueFull];

/// Adds a query that has just ended.
pub(super) fn add(connection: &Connection, record: &QueryRecord) -> Result<(), MeteringError> {
    let receipt = &record.receipt;
    let refused = receipt
        .error_code
        .as_deref()
        .is_some_and(|code| REFUSALS.iter().any(|refusal| refusal.as_str() == code));
    add_sums(
        connection,
        &UsageRecord {
            workgroup: receipt.workgroup.clone(),
            principal: record.principal.clone(),
            day: receipt.submitted_at.date_naive(),
            queries: 1,
            refused: u64::from(refused),
            data_scanned_bytes: receipt.counters.data_scanned_bytes,
            cost_usd: receipt.cost_usd,
            athena_cost_usd: receipt.athena_cost_usd,
        },
    )
}

/// Money is added here and not by SQLite, which would make it a floating point number.
fn add_sums(connection: &Connection, more: &UsageRecord) -> Result<(), MeteringError> {
    let day = day_number(more.day);
    let known = connection
        .prepare_cached("SELECT * FROM usage WHERE day = ?1 AND workgroup = ?2 AND principal = ?3")?
        .query_row(params![day, more.workgroup, more.principal], |row| Ok(read(row)))
        .optional()?
        .transpose()?;
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let sum = |of: fn(&UsageRecord) -> u64| {
        signed(of(more)).saturating_add(known.as_ref().map_or(0, |known| signed(of(known))))
    };
    let money = |of: fn(&UsageRecord) -> Usd| (of(more) + known.as_ref().map_or(Usd::ZERO, of)).to_string();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO usage (day, workgroup, principal, queries, refused, data_scanned_bytes, cost_usd,
             athena_cost_usd) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            day,
            more.workgroup,
            more.principal,
            sum(|u| u.queries),
            sum(|u| u.refused),
            sum(|u| u.data_scanned_bytes),
            money(|u| u.cost_usd),
            money(|u| u.athena_cost_usd),
        ])?;
    Ok(())
}

/// Counts the queries that a killed server left without an end; what they used was lost with it.
pub(super) fn add_unfinished(connection: &Connection) -> Result<(), MeteringError> {
    let zero = Usd::ZERO.to_string();
    connection.execute(
        "INSERT INTO usage (day, workgroup, principal, queries, refused, data_scanned_bytes, cost_usd, athena_cost_usd)
         SELECT submitted_at / ?1, workgroup, principal, count(*), 0, 0, ?2, ?2
         FROM queries WHERE state IN ('QUEUED', 'RUNNING') GROUP BY 1, 2, 3
         ON CONFLICT (day, workgroup, principal) DO UPDATE SET queries = queries + excluded.queries",
        params![DAY_MICROS, zero],
    )?;
    Ok(())
}

/// Fills the new table from the queries of an older file.
pub(super) fn backfill(connection: &Connection) -> Result<(), MeteringError> {
    let mut statement = connection.prepare(
        "SELECT submitted_at / ?1 AS day, workgroup, principal, 1 AS queries,
         coalesce(error_code, '') IN ('EXCEEDED_SCAN_LIMIT', 'QUERY_QUEUE_FULL') AS refused,
         data_scanned_bytes, cost_usd, athena_cost_usd
         FROM queries WHERE state NOT IN ('QUEUED', 'RUNNING')",
    )?;
    let mut rows = statement.query(params![DAY_MICROS])?;
    while let Some(row) = rows.next()? {
        add_sums(connection, &read(row)?)?;
    }
    Ok(())
}

/// The sums, newest day first; of one principal, or of all.
pub(super) fn select(
    connection: &Connection,
    principal: Option<&str>,
) -> Result<Vec<UsageRecord>, MeteringError> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM usage WHERE ?1 IS NULL OR principal = ?1 ORDER BY day DESC, workgroup, principal",
    )?;
    let mut rows = statement.query(params![principal])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Drops sums of days before `now` by more than `retention`.
pub(super) fn prune(
    connection: &Connection,
    now: DateTime<Utc>,
    retention: Duration,
) -> Result<u64, MeteringError> {
    let days = i64::try_from(retention.max(RETENTION).as_secs() / 86_400).unwrap_or(i64::MAX);
    let before = day_number(now.date_naive()).saturating_sub(days);
    let pruned = connection.execute("DELETE FROM usage WHERE day < ?1", params![before])?;
    Ok(pruned as u64)
}

fn read(row: &rusqlite::Row<'_>) -> Result<UsageRecord, MeteringError> {
    let day: i64 = get(row, "day")?;
    let day = day
        .checked_mul(DAY_MICROS)
        .and_then(DateTime::from_timestamp_micros)
        .ok_or_else(|| bad("day", "out of range"))?;
    Ok(UsageRecord {
        workgroup: get(row, "workgroup")?,
        principal: get(row, "principal")?,
        day: day.date_naive(),
        queries: read_count(row, "queries")?,
        refused: read_count(row, "refused")?,
        data_scanned_bytes: read_count(row, "data_scanned_bytes")?,
        cost_usd: read_word(row, "cost_usd", |text| text.parse().ok())?,
        athena_cost_usd: read_word(row, "athena_cost_usd", |text| text.parse().ok())?,
    })
}

fn day_number(day: NaiveDate) -> i64 {
    day.signed_duration_since(NaiveDate::default()).num_days()
}
