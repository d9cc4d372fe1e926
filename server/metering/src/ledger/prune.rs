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
/// A clock that moves by more than this beside the process's own was set, or the machine slept.
const SET: chrono::Duration = chrono::Duration::days(1);
/// A clock that was set is believed after this: nothing is dropped by one that is set right again meanwhile.
const BELIEVED_AFTER: Duration = Duration::from_secs(6 * 3_600);

/// When and what to drop. Its clock is the newest query's: the ledger has none of its own.
pub(super) struct Pruner {
    options: LedgerOptions,
    newest: Option<DateTime<Utc>>,
    /// Age of the process when it saw the newest query.
    seen: Duration,
    /// Age of the process from which on its queries' clock is believed.
    believed: Duration,
    pruned: Option<DateTime<Utc>>,
    behind: bool,
    batches: u32,
}

impl Pruner {
    pub(super) fn new(options: LedgerOptions) -> Self {
        Self {
            options,
            newest: None,
            seen: Duration::ZERO,
            believed: Duration::ZERO,
            pruned: None,
            behind: false,
            batches: 0,
        }
    }

    /// Takes the time from a new query, in a process of that `age`.
    pub(super) fn sees(&mut self, command: &Command, age: Duration) {
        if let Command::Submit(record, _) = command {
            self.sees_time(record.receipt.submitted_at, age);
        }
    }

    fn sees_time(&mut self, at: DateTime<Utc>, age: Duration) {
        let passed = chrono::Duration::from_std(age.saturating_sub(self.seen)).unwrap_or_default();
        let was_set = self
            .newest
            .is_some_and(|newest| (at - newest - passed).abs() > SET);
        if was_set {
            self.believed = age.saturating_add(BELIEVED_AFTER);
            self.pruned = None;
        }
        if was_set || self.newest.is_none_or(|newest| newest < at) {
            self.newest = Some(at);
            self.seen = age;
        }
        self.behind |= self.pruned.is_none_or(|pruned| at - pruned >= EVERY);
    }

    /// Whether there may be something to drop.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// A busy ledger has no pauses: every so many batches it prunes nevertheless.
    pub(super) fn after_batch(&mut self, connection: &Connection, age: Duration) {
        self.batches = self.batches.wrapping_add(1);
        if self.behind && self.batches.is_multiple_of(32) {
            self.step(connection, age);
        }
    }

    /// Drops one step's worth. A failure is logged; the next query tries again.
    pub(super) fn step(&mut self, connection: &Connection, age: Duration) {
        let Some(now) = self.newest.filter(|_| age >= self.believed) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::Duration::days(n)
    }

    fn hours(n: u64) -> Duration {
        Duration::from_secs(n * 3_600)
    }

    /// The time by which a step drops, if it drops.
    fn drops_by(pruner: &mut Pruner, age: Duration) -> Option<DateTime<Utc>> {
        let connection = Connection::open_in_memory().unwrap();
        pruner.pruned = None;
        pruner.step(&connection, age);
        pruner.pruned
    }

    #[test]
    fn a_clock_that_jumps_and_is_set_right_again_drops_nothing() {
        let mut pruner = Pruner::new(LedgerOptions::default());
        pruner.sees_time(day(20_000), hours(0));
        assert_eq!(drops_by(&mut pruner, hours(0)), Some(day(20_000)));
        pruner.sees_time(day(40_000), hours(1));
        assert_eq!(drops_by(&mut pruner, hours(1)), None);
        pruner.sees_time(day(20_000), hours(2));
        assert_eq!(drops_by(&mut pruner, hours(2)), None);
        assert_eq!(drops_by(&mut pruner, hours(8)), Some(day(20_000)));
        // One that stays where it was set is believed in the end.
        pruner.sees_time(day(20_100), hours(9));
        pruner.sees_time(day(20_100), hours(10));
        assert_eq!(drops_by(&mut pruner, hours(14)), None);
        assert_eq!(drops_by(&mut pruner, hours(15)), Some(day(20_100)));
        // Time that passes is no jump.
        pruner.sees_time(day(20_200), hours(9 + 2_400));
        assert_eq!(drops_by(&mut pruner, hours(9 + 2_400)), Some(day(20_200)));
    }
}
