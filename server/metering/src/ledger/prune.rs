//! Dropping what is older than the retention, a little at a time on the ledger thread.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::writer::Command;
use super::{LedgerOptions, requests, rows, usage};
use crate::error::MeteringError;

/// Rows dropped per step of a prune.
pub(super) const PRUNE_STEP: u64 = 2_000;
/// Between two steps, while nobody asks for anything.
pub(super) const PRUNE_PAUSE: Duration = Duration::from_millis(20);
/// Time between two prunes, by the queries' clock.
const EVERY: chrono::Duration = chrono::Duration::minutes(10);

/// When and what to drop. Its clock is the newest query's: the ledger has none of its own.
pub(super) struct Pruner {
    options: LedgerOptions,
    newest: Option<DateTime<Utc>>,
    pruned: Option<DateTime<Utc>>,
    behind: bool,
    batches: u32,
}

impl Pruner {
    pub(super) fn new(options: LedgerOptions) -> Self {
        Self {
            options,
            newest: None,
            pruned: None,
            behind: false,
            batches: 0,
        }
    }

    /// Takes the time from a new query.
    pub(super) fn sees(&mut self, command: &Command) {
        let Command::Submit(record, _) = command else {
            return;
        };
        let at = record.receipt.submitted_at;
        if self.newest.is_none_or(|newest| newest < at) {
            self.newest = Some(at);
        }
        self.behind |= self.pruned.is_none_or(|pruned| at - pruned >= EVERY);
    }

    /// Whether there may be something to drop.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// A busy ledger has no pauses: every so many batches it prunes nevertheless.
    pub(super) fn after_batch(&mut self, connection: &Connection) {
        self.batches = self.batches.wrapping_add(1);
        if self.behind && self.batches.is_multiple_of(32) {
            self.step(connection);
        }
    }

    /// Drops one step's worth. A failure is logged; the next query tries again.
    pub(super) fn step(&mut self, connection: &Connection) {
        let Some(now) = self.newest else {
            self.behind = false;
            return;
        };
        match self.drop_old(connection, now) {
            Ok(most) => self.behind = most >= PRUNE_STEP,
            Err(error) => {
                tracing::error!(%error, "old rows of the ledger were not dropped");
                self.behind = false;
            }
        }
        self.pruned = Some(now);
    }

    /// The most rows that one table lost.
    fn drop_old(&self, connection: &Connection, now: DateTime<Utc>) -> Result<u64, MeteringError> {
        let mut most = 0;
        if let Some(before) = before(now, self.options.retention) {
            most = rows::prune(connection, before, PRUNE_STEP)?;
        }
        let age = self.options.object_requests_retention.min(self.options.retention);
        if let Some(before) = before(now, age) {
            most = most.max(requests::prune(connection, before, PRUNE_STEP)?);
        }
        usage::prune(connection, now, self.options.retention)?;
        Ok(most)
    }
}

/// The time `age` before `now`; `None` where there is none.
pub(super) fn before(now: DateTime<Utc>, age: Duration) -> Option<DateTime<Utc>> {
    now.checked_sub_signed(chrono::Duration::from_std(age).ok()?)
}
