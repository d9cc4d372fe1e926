//! The cap on `data_scanned_bytes`: reserve an upper bound before a read, settle what it was, never overshoot.
//!
//! Hierarchical (scan -> query -> workgroup): a reservation is granted on every level at once or not at all.
//! What the bytes mean and who reserves them is the reader's business; quotas (money and time windows) are in `quota/`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use owlake_fault::{Code, Fault};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::quota::{QuotaError, QuotaGrant, QuotaReservation};
use crate::usd::Usd;

/// One level of the cap. All levels of one tree share a lock, held for a few additions.
///
/// Invariant of every level with a limit, at every moment: settled + in flight <= limit.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: Option<u64>,
    parent: Option<Arc<Budget>>,
    /// Changed only under `tree`; atomics so that readings need no lock.
    settled: AtomicU64,
    in_flight: AtomicU64,
    /// Wakes those whom this level made wait.
    returned: Notify,
    tree: Arc<Mutex<()>>,
    /// Quotas above the tree; reserved on after its own levels.
    quotas: Option<Arc<QuotaGrant>>,
}

/// Why a reservation is not granted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// A cap of the tree.
    #[error(transparent)]
    Cap(#[from] BudgetExceeded),
    /// A quota above it.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

/// The cap would be passed, and nothing in flight can change that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "bytes scanned limit of {limit_bytes} would be passed: {needed_bytes} more are needed, {settled_bytes} are used"
)]
pub struct BudgetExceeded {
    /// The limit of the level that refused.
    pub limit_bytes: u64,
    /// What was used up on that level.
    pub settled_bytes: u64,
    /// What was asked for on top.
    pub needed_bytes: u64,
}

impl From<BudgetExceeded> for Fault {
    /// Keeps the sentence that Athena users search their logs for.
    fn from(error: BudgetExceeded) -> Self {
        let what = format!(
            "Bytes scanned limit was exceeded: {} more are needed, limit {}; {} were scanned",
            decimal_bytes(error.needed_bytes),
            decimal_bytes(error.limit_bytes),
            decimal_bytes(error.settled_bytes),
        );
        Self::new(Code::ExceededScanLimit, what).with_source(error)
    }
}

/// `1.27 GB`: decimal units, two digits cut off (a limit must not look larger than it is), plain below 1 kB.
pub fn decimal_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 6] = [
        ("EB", 1_000_000_000_000_000_000),
        ("PB", 1_000_000_000_000_000),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
    ];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{:02} {unit}", bytes / size, bytes % size / (size / 100)),
        None => format!("{bytes} bytes"),
    }
}

enum Attempt<'a> {
    Granted,
    Refused(BudgetExceeded),
    Wait(Notified<'a>),
}

impl Budget {
    /// A level with `limit_bytes` (`None`: it only counts) below `parent`.
    pub fn new(limit_bytes: Option<u64>, parent: Option<Arc<Budget>>) -> Arc<Self> {
        let tree = parent.as_ref().map_or_else(Arc::default, |p| Arc::clone(&p.tree));
        Self::make(limit_bytes, parent, tree, None)
    }

    /// The topmost level of a query: its cap, and the quotas of its workgroup above.
    pub fn of_query(limit_bytes: Option<u64>, quotas: Option<Arc<QuotaGrant>>) -> Arc<Self> {
        Self::make(limit_bytes, None, Arc::default(), quotas)
    }

    fn make(
        limit_bytes: Option<u64>,
        parent: Option<Arc<Budget>>,
        tree: Arc<Mutex<()>>,
        quotas: Option<Arc<QuotaGrant>>,
    ) -> Arc<Self> {
        let quotas = quotas.or_else(|| parent.as_ref().and_then(|p| p.quotas.clone()));
        Arc::new(Self {
            limit_bytes,
            parent,
            settled: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            returned: Notify::new(),
            tree,
            quotas,
        })
    }

    /// Sets `bytes` (an upper bound of the read to come) apart on this level and all above.
    ///
    /// Waits while it does not fit beside the reservations in flight but would fit if they returned
    /// everything; fails as soon as what is settled leaves no room for it.
    ///
    /// A holder of a reservation must be able to settle it without another `reserve` being granted:
    /// who waits here while holding one that only it can settle may wait for itself.
    ///
    /// Quotas are reserved on last, and booked on disk before this returns.
    ///
    /// Cancel safe: a dropped call holds nothing.
    pub async fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation, Refused> {
        loop {
            match self.attempt(bytes) {
                Attempt::Granted => {
                    let mut reservation = Reservation {
                        budget: Arc::clone(self),
                        bytes,
                        quotas: None,
                    };
                    if let Some(quotas) = &self.quotas {
                        reservation.quotas = Some(quotas.reserve_data(bytes).await?);
                    }
                    return Ok(reservation);
                }
                Attempt::Refused(exceeded) => return Err(exceeded.into()),
                Attempt::Wait(returned) => returned.await,
            }
        }
    }

    /// Would `bytes` more pass a limit already? Counts settled bytes only; reserves nothing.
    ///
    /// For the refusal at planning time, when a lower bound of the scan is known.
    pub fn check(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        let _tree = self.lock();
        self.levels().try_for_each(|level| level.check_level(bytes))
    }

    /// Whether there are quotas above.
    pub fn has_quotas(&self) -> bool {
        self.quotas.is_some()
    }

    /// Is a quota used up already? Reserves nothing.
    pub fn check_quotas_left(&self) -> Result<(), QuotaError> {
        self.quotas.as_ref().map_or(Ok(()), |quotas| quotas.check())
    }

    /// Would `bytes` more pass a quota already? Reserves nothing.
    pub fn check_quotas(&self, bytes: u64) -> Result<(), QuotaError> {
        self.quotas
            .as_ref()
            .map_or(Ok(()), |quotas| quotas.check_bytes(bytes))
    }

    /// Would `cost` more pass the query's cap on cost or a money quota already? Reserves nothing.
    pub fn check_cost(&self, cost: Usd) -> Result<(), QuotaError> {
        self.quotas
            .as_ref()
            .map_or(Ok(()), |quotas| quotas.check_cost(cost))
    }

    /// Bytes that were read for good, on this level and below.
    pub fn settled_bytes(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Bytes set apart for reads that have not ended, on this level and below.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The limit of this level alone.
    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    fn attempt(&self, bytes: u64) -> Attempt<'_> {
        let _tree = self.lock();
        for level in self.levels() {
            if let Err(exceeded) = level.check_level(bytes) {
                return Attempt::Refused(exceeded);
            }
        }
        for level in self.levels() {
            let taken = level.settled_bytes().saturating_add(level.in_flight_bytes());
            if level
                .limit_bytes
                .is_some_and(|limit| taken.saturating_add(bytes) > limit)
            {
                // Made under the lock: a return after this point wakes it even before its first poll.
                return Attempt::Wait(level.returned.notified());
            }
        }
        for level in self.levels() {
            level.in_flight.fetch_add(bytes, Ordering::Relaxed);
        }
        Attempt::Granted
    }

    fn check_level(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        let settled_bytes = self.settled_bytes();
        match self.limit_bytes {
            Some(limit_bytes) if settled_bytes.saturating_add(bytes) > limit_bytes => Err(BudgetExceeded {
                limit_bytes,
                settled_bytes,
                needed_bytes: bytes,
            }),
            _ => Ok(()),
        }
    }

    fn give_back(&self, reserved: u64, actual: u64) {
        let tree = self.lock();
        for level in self.levels() {
            level.in_flight.fetch_sub(reserved, Ordering::Relaxed);
            level.settled.fetch_add(actual, Ordering::Relaxed);
        }
        drop(tree);
        // Also when nothing is returned: those who wait may now be refused for good.
        for level in self.levels() {
            level.returned.notify_waiters();
        }
    }

    fn levels(&self) -> impl Iterator<Item = &Budget> {
        std::iter::successors(Some(self), |level| level.parent.as_deref())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data of its own that a panic could leave half changed.
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes set apart for one read. Dropping it without [`settle`](Self::settle) returns all of them.
#[derive(Debug)]
#[must_use = "a dropped reservation returns its bytes"]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
    /// The same bytes on the quotas; dropped, it returns what was not settled.
    quotas: Option<QuotaReservation>,
}

impl Reservation {
    /// The upper bound that was set apart and not settled yet.
    pub fn reserved_bytes(&self) -> u64 {
        self.bytes
    }

    /// The read has ended: keeps `actual_bytes` as used and returns the rest.
    ///
    /// `actual_bytes` above the reservation is a defect of the caller; the excess is not booked, so that
    /// the cap holds.
    pub fn settle(mut self, actual_bytes: u64) {
        debug_assert!(
            actual_bytes <= self.bytes,
            "settled {actual_bytes} of {} reserved",
            self.bytes
        );
        let reserved = std::mem::take(&mut self.bytes);
        let actual = actual_bytes.min(reserved);
        if let Some(quotas) = &mut self.quotas {
            quotas.settle_part(actual);
        }
        self.budget.give_back(reserved, actual);
    }

    /// Part of the read has ended (a stream's chunk): books up to `actual_bytes` as used, keeps the rest reserved.
    pub fn settle_part(&mut self, actual_bytes: u64) {
        debug_assert!(
            actual_bytes <= self.bytes,
            "settled {actual_bytes} of {} reserved",
            self.bytes
        );
        let part = actual_bytes.min(self.bytes);
        self.bytes -= part;
        if let Some(quotas) = &mut self.quotas {
            quotas.settle_part(part);
        }
        self.budget.give_back(part, part);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes, 0);
        }
    }
}

#[cfg(test)]
mod tests;
