//! Quotas and their bookings in `ledger.db`, on the ledger's thread; also the definitions of workgroups and catalogs.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::{QuotaDefinition, QuotaResource};
use crate::error::MeteringError;
use crate::ledger::Ledger;

/// A quota as the file has it.
#[derive(Debug, Clone)]
pub(crate) struct StoredQuota {
    pub(crate) id: i64,
    pub(crate) definition: Arc<QuotaDefinition>,
}

/// The newest window of a quota, for one principal (empty where it is not keyed) and resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredUse {
    pub(crate) quota_id: i64,
    pub(crate) principal: String,
    pub(crate) resource: QuotaResource,
    pub(crate) window_start: DateTime<Utc>,
    pub(crate) booked: u64,
    pub(crate) warned: bool,
}

/// Limits as the file had them when it was opened.
#[derive(Debug, Default)]
pub(crate) struct StoredLimits {
    pub(crate) workgroups: Vec<(String, String)>,
    pub(crate) catalogs: Vec<(String, String)>,
    pub(crate) quotas: Vec<StoredQuota>,
    pub(crate) uses: Vec<StoredUse>,
}

pub(crate) fn load(connection: &Connection) -> Result<StoredLimits, MeteringError> {
    let mut limits = StoredLimits::default();
    let mut statement = connection.prepare("SELECT name, definition FROM workgroups ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        limits.workgroups.push((row.get(0)?, row.get(1)?));
    }
    let mut statement = connection.prepare("SELECT name, definition FROM catalogs ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        limits.catalogs.push((row.get(0)?, row.get(1)?));
    }
    let mut statement = connection.prepare("SELECT id, definition FROM quotas ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let definition = serde_json::from_str(&row.get::<_, String>(1)?).map_err(|e| bad("definition", e))?;
        limits.quotas.push(StoredQuota {
            id: row.get(0)?,
            definition: Arc::new(definition),
        });
    }
    let mut statement = connection
        .prepare("SELECT quota_id, principal, resource, window_start, booked, warned FROM quota_usage")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let resource: String = row.get(2)?;
        limits.uses.push(StoredUse {
            quota_id: row.get(0)?,
            principal: row.get(1)?,
            resource: QuotaResource::from_name(&resource).ok_or_else(|| bad("resource", resource))?,
            window_start: DateTime::from_timestamp_micros(row.get(3)?)
                .ok_or_else(|| bad("window_start", "out of range"))?,
            booked: u64::try_from(row.get::<_, i64>(4)?).map_err(|e| bad("booked", e))?,
            warned: row.get(5)?,
        });
    }
    Ok(limits)
}

fn bad(column: &'static str, reason: impl ToString) -> MeteringError {
    MeteringError::BadRow {
        column,
        reason: reason.to_string(),
    }
}

fn write(connection: &Connection, row: &StoredUse) -> Result<(), MeteringError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO quota_usage (quota_id, principal, resource, window_start, booked, warned)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            row.quota_id,
            row.principal,
            row.resource.as_str(),
            row.window_start.timestamp_micros(),
            i64::try_from(row.booked).unwrap_or(i64::MAX),
            row.warned,
        ])?;
    Ok(())
}

impl Ledger {
    /// Workgroups by name with their definitions, as the file had them when it was opened.
    pub fn stored_workgroups(&self) -> &[(String, String)] {
        &self.limits().workgroups
    }

    /// Catalogs of other databases by name with their definitions, as the file had them when it was opened.
    pub fn stored_catalogs(&self) -> &[(String, String)] {
        &self.limits().catalogs
    }

    pub(crate) fn stored_quotas(&self) -> &[StoredQuota] {
        &self.limits().quotas
    }

    pub(crate) fn stored_uses(&self) -> &[StoredUse] {
        &self.limits().uses
    }

    /// Writes a workgroup, new or changed; durable when this returns. What is in `definition` is the caller's.
    ///
    /// `then` runs on the ledger's thread once it is written, also where nobody waits for the answer any more.
    pub async fn put_workgroup(
        &self,
        name: String,
        definition: String,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), MeteringError> {
        let sql = "INSERT OR REPLACE INTO workgroups (name, definition) VALUES (?1, ?2)";
        self.put_definition(sql, name, definition, then).await
    }

    /// Drops a workgroup; durable when this returns. False where there was none. `then` as in
    /// [`put_workgroup`](Self::put_workgroup).
    pub async fn drop_workgroup(
        &self,
        name: String,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<bool, MeteringError> {
        self.drop_definition("DELETE FROM workgroups WHERE name = ?1", name, then)
            .await
    }

    /// Writes a catalog; durable when this returns. What is in `definition` is the caller's. `then` as in
    /// [`put_workgroup`](Self::put_workgroup).
    pub async fn put_catalog(
        &self,
        name: String,
        definition: String,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), MeteringError> {
        let sql = "INSERT OR REPLACE INTO catalogs (name, definition) VALUES (?1, ?2)";
        self.put_definition(sql, name, definition, then).await
    }

    /// Drops a catalog; durable when this returns. False where there was none. `then` as in
    /// [`put_workgroup`](Self::put_workgroup).
    pub async fn drop_catalog(
        &self,
        name: String,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<bool, MeteringError> {
        self.drop_definition("DELETE FROM catalogs WHERE name = ?1", name, then)
            .await
    }

    async fn put_definition(
        &self,
        sql: &'static str,
        name: String,
        definition: String,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), MeteringError> {
        let put = move |connection: &Connection| {
            connection.execute(sql, params![name, definition])?;
            Ok(())
        };
        self.call_then(true, put, |()| then()).await
    }

    async fn drop_definition(
        &self,
        sql: &'static str,
        name: String,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<bool, MeteringError> {
        let drop = move |connection: &Connection| Ok(connection.execute(sql, params![name])? > 0);
        self.call_then(true, drop, |_| then()).await
    }

    /// The id of the new quota; `None` where one of that name exists. `then` gets it as soon as it is written.
    pub(super) async fn insert_quota(
        &self,
        definition: Arc<QuotaDefinition>,
        then: impl FnOnce(&Option<i64>) + Send + 'static,
    ) -> Result<Option<i64>, MeteringError> {
        let insert = move |connection: &Connection| {
            let text = serde_json::to_string(&*definition).map_err(|e| bad("definition", e))?;
            let id = connection
                .query_row(
                    "INSERT INTO quotas (name, definition) VALUES (?1, ?2) ON CONFLICT DO NOTHING RETURNING id",
                    params![definition.name, text],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(id)
        };
        self.call_then(true, insert, then).await
    }

    /// Whether there was one; `then` is told as soon as it is gone.
    pub(super) async fn drop_quota(
        &self,
        name: String,
        then: impl FnOnce(&bool) + Send + 'static,
    ) -> Result<bool, MeteringError> {
        let drop = move |connection: &Connection| {
            connection.execute(
                "DELETE FROM quota_usage WHERE quota_id IN (SELECT id FROM quotas WHERE name = ?1)",
                params![name],
            )?;
            Ok(connection.execute("DELETE FROM quotas WHERE name = ?1", params![name])? > 0)
        };
        self.call_then(true, drop, then).await
    }

    /// Books ahead; durable when this returns.
    pub(super) async fn book(&self, row: StoredUse) -> Result<(), MeteringError> {
        self.call(true, move |connection| write(connection, &row)).await
    }

    /// Books less than before: lost, it only counts too much.
    pub(super) fn book_detached(&self, row: StoredUse) {
        self.call_detached(move |connection| write(connection, &row));
    }

    /// Remembers the warning of the window, if that is still the one in the file.
    pub(super) fn warned_detached(&self, row: StoredUse) {
        self.call_detached(move |connection| {
            connection.execute(
                "UPDATE quota_usage SET warned = 1
                 WHERE quota_id = ?1 AND principal = ?2 AND resource = ?3 AND window_start = ?4",
                params![
                    row.quota_id,
                    row.principal,
                    row.resource.as_str(),
                    row.window_start.timestamp_micros()
                ],
            )?;
            Ok(())
        });
    }
}
