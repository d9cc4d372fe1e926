//! One state of a database for all scans of one query: the first one's transaction tells its snapshot, the others take
//! it over, or go on in a transaction that another scan is done with.
//!
//! Connections: a scan that waits for one takes whichever is free first, the pool's or one of its own query. A
//! transaction stays open, idle, only while scans of the query have not begun.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use super::connection::{Connections, Lease};
use super::error::PostgresError;

/// What the scans of one query on one database share.
#[derive(Default)]
pub(super) struct Snapshot {
    state: Mutex<State>,
    /// One scan at a time takes a connection: there is one first one.
    taking: tokio::sync::Mutex<()>,
    returned: Notify,
}

#[derive(Default)]
struct State {
    /// Scans that will take part.
    scans: usize,
    /// Those that have begun.
    begun: usize,
    /// What the first one's transaction sees, as the server calls it; gone when that transaction is.
    id: Option<Weak<str>>,
    /// Transactions that see the same and have nothing to do.
    idle: Vec<Lease>,
}

impl State {
    fn told(&self) -> Option<String> {
        let id = self.id.as_ref()?.upgrade()?;
        Some(id.to_string())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

/// What a transaction goes on with after another scan.
const ANEW: &str = "SET LOCAL search_path = pg_catalog";

impl Snapshot {
    /// Statements of the query's plan.
    pub(super) fn expect(&self, statements: usize) {
        self.with(|state| state.scans += statements);
    }

    /// Statements that were expected and are not needed.
    pub(super) fn expect_less(&self, statements: usize) {
        self.with(|state| state.scans = state.scans.saturating_sub(statements));
    }

    /// A statement runs on a connection of this snapshot.
    pub(super) fn begins(&self) {
        self.with(|state| state.begun += 1);
    }

    /// A connection in a transaction of this snapshot. `opening` begins one. Nothing where none is free and the caller
    /// does not wait.
    ///
    /// Cancel safe.
    pub(super) async fn lease(
        &self,
        connections: &Connections,
        opening: impl Fn(Option<&str>) -> String,
        waits: bool,
    ) -> Result<Option<Lease>, PostgresError> {
        // One alone, or one more than were announced: there may be nobody left to take it over from.
        if self.with(|state| state.scans < 2 || state.begun >= state.scans) {
            return connections.lease(&opening(None)).await.map(Some);
        }
        let _one = self.taking.lock().await;
        loop {
            let (idle, id) = self.with(|state| (state.idle.pop(), state.told()));
            if let Some(lease) = idle {
                let ready = lease.client()?.batch_execute(ANEW).await;
                ready.map_err(PostgresError::running)?;
                return Ok(Some(lease));
            }
            let opening = opening(id.as_deref());
            let lease = if waits {
                tokio::select! {
                    lease = connections.lease(&opening) => lease.map(Some),
                    () = self.returned.notified() => continue,
                }
            } else {
                Ok(connections.spare(&opening).await)
            };
            // A scan that ends early takes its transaction with it; those that begin after it see a later moment.
            if id.is_some() && !matches!(lease, Ok(Some(_))) && self.with(|state| state.told().is_none()) {
                continue;
            }
            let Some(mut lease) = lease? else {
                return Ok(None);
            };
            if id.is_none() {
                let told = lease
                    .client()?
                    .query_one("SELECT pg_export_snapshot()", &[])
                    .await;
                let told = told.map_err(PostgresError::running)?;
                let id: Arc<str> = told.try_get::<_, &str>(0).map_err(PostgresError::running)?.into();
                self.with(|state| state.id = Some(Arc::downgrade(&id)));
                lease.tells(id);
            }
            return Ok(Some(lease));
        }
    }

    /// A scan is done: its transaction waits for the next one, or ends where there is none.
    pub(super) async fn give_back(&self, lease: Lease) -> Result<(), PostgresError> {
        let mut lease = Some(lease);
        let ended = self.with(|state| {
            if state.begun < state.scans && state.scans > 1 {
                state.idle.extend(lease.take());
                return Vec::new();
            }
            std::mem::take(&mut state.idle)
        });
        self.returned.notify_one();
        for lease in ended.into_iter().chain(lease) {
            lease.finish().await?;
        }
        Ok(())
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        for lease in self.with(|state| std::mem::take(&mut state.idle)) {
            lease.finish_detached();
        }
    }
}
