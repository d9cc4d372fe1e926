//! Quotas: what a workgroup, or each principal in it, may use within a calendar window, of bytes and of money.
//!
//! A use is reserved before it happens and booked in `ledger.db` in blocks ahead of it, so that no number of
//! concurrent queries and no kill of the process passes a limit by a byte. Statements over quotas are the engine's.

mod cost_cap;
mod definition;
mod grant;
mod pool;
mod reservation;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use crate::error::MeteringError;
use crate::ledger::Ledger;
use crate::price::PricePlan;
use crate::usd::Usd;

use cost_cap::CostCap;
pub use cost_cap::CostExceeded;
pub use definition::{QuotaDefinition, QuotaInterval, QuotaPeriod, QuotaResource};
pub use grant::{QuotaError, QuotaExceeded, QuotaGrant};
use pool::{Pool, Window};
pub use reservation::QuotaReservation;
pub(crate) use store::{StoredLimits, load};

/// Is told when a share of a quota is used. Called inline while a query reads: must not block.
pub trait QuotaObserver: Send + Sync + fmt::Debug {
    /// Called once per window, principal and resource of a quota with WARN AT.
    fn quota_warning(&self, warning: &QuotaWarning);
}

/// The use of a quota has reached its WARN AT share.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QuotaWarning {
    /// The quota.
    pub quota: String,
    /// Its workgroup.
    pub workgroup: String,
    /// Whose budget, for a quota keyed by principal.
    pub principal: Option<String>,
    /// `data_scanned_bytes` or `cost_usd`.
    pub resource: &'static str,
    /// The share, in percent.
    pub warn_percent: u8,
    /// What is used, as text in the resource's unit.
    pub used: String,
    /// The limit, likewise.
    pub limit: String,
    /// Start of the window.
    pub window_start: DateTime<Utc>,
    /// When it ends and the use starts from zero.
    pub resets_at: DateTime<Utc>,
}

/// One row of `system.quota_usage`: what is used and booked of one quota by one principal in the window of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    /// The quota.
    pub definition: Arc<QuotaDefinition>,
    /// Whose budget, for a quota keyed by principal.
    pub principal: Option<String>,
    /// Start of the window.
    pub window_start: DateTime<Utc>,
    /// Its end.
    pub window_end: DateTime<Utc>,
    /// Bytes used and in use; `None` where the quota does not limit them.
    pub data_scanned_bytes: Option<u64>,
    /// Money likewise.
    pub cost_usd: Option<Usd>,
}

/// All quotas of the process.
pub struct Quotas {
    ledger: Arc<Ledger>,
    clock: fn() -> DateTime<Utc>,
    observer: Option<Arc<dyn QuotaObserver>>,
    by_name: RwLock<BTreeMap<String, Arc<Quota>>>,
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas").finish_non_exhaustive()
    }
}

/// One quota with its pools: one per resource, and per principal where it is keyed.
struct Quota {
    id: i64,
    definition: Arc<QuotaDefinition>,
    pools: Mutex<HashMap<(String, QuotaResource), Arc<Pool>>>,
}

/// Principals whose ended windows are kept in memory; beyond that they are forgotten.
const POOLS_KEPT: usize = 1_024;

impl Quotas {
    /// The quotas of the ledger with what was booked on them. `clock` says which window a use falls in.
    pub fn open(
        ledger: Arc<Ledger>,
        clock: fn() -> DateTime<Utc>,
        observer: Option<Arc<dyn QuotaObserver>>,
    ) -> Arc<Self> {
        let mut by_name = BTreeMap::new();
        for stored in ledger.stored_quotas() {
            let mut pools = HashMap::new();
            for known in ledger
                .stored_uses()
                .iter()
                .filter(|known| known.quota_id == stored.id)
            {
                let Some(limit) = stored.definition.limit(known.resource) else {
                    continue;
                };
                let Some(window) = stored.definition.interval.window(known.window_start) else {
                    continue;
                };
                let key = (known.principal.clone(), known.resource);
                let pool = Pool::reopened(Window::from(window), limit, known.booked, known.warned);
                pools.insert(key, Arc::new(pool));
            }
            let quota = Quota {
                id: stored.id,
                definition: Arc::clone(&stored.definition),
                pools: Mutex::new(pools),
            };
            by_name.insert(stored.definition.name.clone(), Arc::new(quota));
        }
        Arc::new(Self {
            ledger,
            clock,
            observer,
            by_name: RwLock::new(by_name),
        })
    }

    /// What a query in `workgroup` by `principal` has to reserve on: its own cap on cost, and the quotas on it; `None`
    /// where there is neither.
    ///
    /// Quotas that are made later do not reach the query any more, and dropped ones still do.
    pub fn grant(
        self: &Arc<Self>,
        workgroup: &str,
        principal: String,
        price: &PricePlan,
        max_cost_usd: Option<Usd>,
    ) -> Option<Arc<QuotaGrant>> {
        // By name, for all queries alike: who waits for one quota holds only those before it.
        let on_it: Vec<Arc<Quota>> = self.read(|quotas| {
            quotas
                .values()
                .filter(|quota| quota.definition.workgroup == workgroup)
                .cloned()
                .collect()
        });
        let cost_cap = max_cost_usd.map(|limit| CostCap::new(limit, workgroup));
        (!on_it.is_empty() || cost_cap.is_some()).then(|| {
            let grant = QuotaGrant::new(Arc::clone(self), on_it, principal, price.clone(), cost_cap);
            Arc::new(grant)
        })
    }

    /// Makes a quota; durable when this returns. False, and nothing made, where one of that name exists.
    ///
    /// Dropped, it is done or not done as a whole, in the file and here.
    pub async fn create(self: &Arc<Self>, definition: QuotaDefinition) -> Result<bool, MeteringError> {
        let definition = Arc::new(definition);
        let (quotas, made) = (Arc::downgrade(self), Arc::clone(&definition));
        let add = move |id: &Option<i64>| {
            if let (Some(quotas), Some(id)) = (quotas.upgrade(), *id) {
                let quota = Quota {
                    id,
                    definition: Arc::clone(&made),
                    pools: Mutex::default(),
                };
                quotas.write(|all| all.insert(made.name.clone(), Arc::new(quota)));
            }
        };
        let id = self.ledger.insert_quota(definition, add).await?;
        Ok(id.is_some())
    }

    /// Drops a quota with its usage; durable when this returns. False where there is none of that name.
    ///
    /// Dropped, it is done or not done as a whole, in the file and here.
    pub async fn drop_quota(self: &Arc<Self>, name: &str) -> Result<bool, MeteringError> {
        let (quotas, gone) = (Arc::downgrade(self), name.to_owned());
        let remove = move |_found: &bool| {
            if let Some(quotas) = quotas.upgrade() {
                quotas.write(|all| all.remove(&gone));
            }
        };
        self.ledger.drop_quota(name.to_owned(), remove).await
    }

    /// All quotas, by name.
    pub fn all(&self) -> Vec<Arc<QuotaDefinition>> {
        self.read(|quotas| {
            quotas
                .values()
                .map(|quota| Arc::clone(&quota.definition))
                .collect()
        })
    }

    /// The use of every quota in the window of now: one row per principal that has used it, and one for each
    /// quota that is not keyed.
    pub fn usage(&self) -> Vec<QuotaUse> {
        let now = (self.clock)();
        let quotas: Vec<Arc<Quota>> = self.read(|quotas| quotas.values().cloned().collect());
        quotas.iter().flat_map(|quota| quota.usage(now)).collect()
    }

    /// The pool of the window that now lies in. A clock that goes back a little opens no older window again.
    fn pool(&self, quota: &Quota, principal: &str, resource: QuotaResource, limit: u64) -> Arc<Pool> {
        let now = (self.clock)();
        let key_principal = if quota.definition.keyed_by_principal {
            principal
        } else {
            ""
        };
        let key = (key_principal.to_owned(), resource);
        let mut pools = quota.lock();
        let known = pools.get(&key);
        if let Some(pool) = known.filter(|pool| pool.window.takes(now)) {
            return Arc::clone(pool);
        }
        // Years that no calendar has: one window that never ends, which is the stricter side.
        let window = quota.definition.interval.window(now);
        let window = Window::from(window.unwrap_or((now, DateTime::<Utc>::MAX_UTC)));
        let pool = Arc::new(match known {
            Some(old) => Pool::following(old, window),
            None => Pool::new(window, limit),
        });
        if pools.len() >= POOLS_KEPT {
            // Who still reserves on an ended one has to learn which one follows.
            pools.retain(|_, pool| now < pool.window.end || Arc::strong_count(pool) > 1);
        }
        pools.insert(key, Arc::clone(&pool));
        pool
    }

    fn read<T>(&self, f: impl FnOnce(&BTreeMap<String, Arc<Quota>>) -> T) -> T {
        f(&self.by_name.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Arc<Quota>>) -> T) -> T {
        f(&mut self.by_name.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Quota {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, QuotaResource), Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usage(&self, now: DateTime<Utc>) -> Vec<QuotaUse> {
        let Some((window_start, window_end)) = self.definition.interval.window(now) else {
            return Vec::new();
        };
        let mut uses: BTreeMap<String, [Option<u64>; 2]> = BTreeMap::new();
        let none = || QuotaResource::ALL.map(|resource| self.definition.limit(resource).map(|_| 0));
        if !self.definition.keyed_by_principal {
            uses.insert(String::new(), none());
        }
        for ((principal, resource), pool) in self.lock().iter() {
            if now < pool.window.end {
                let place = uses.entry(principal.clone()).or_insert_with(none);
                place[*resource as usize] = Some(pool.used());
            }
        }
        uses.into_iter()
            .map(|(principal, [bytes, pico])| QuotaUse {
                definition: Arc::clone(&self.definition),
                principal: self.definition.keyed_by_principal.then_some(principal),
                window_start,
                window_end,
                data_scanned_bytes: bytes,
                cost_usd: pico.map(|pico| Usd::from_pico(i128::from(pico))),
            })
            .collect()
    }
}
