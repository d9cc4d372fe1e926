//! What one query holds of its cap on cost and of the quotas on it: reserves on all of them or on none, books ahead,
//! returns the rest.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use owlake_fault::{Code, Fault};

use super::cost_cap::{CostCap, CostExceeded};
use super::definition::pico;
use super::pool::{Attempt, Pool};
use super::reservation::{BookedOn, Part, QuotaReservation, stored};
use super::store::StoredUse;
use super::{Quota, QuotaResource, Quotas};
use crate::error::MeteringError;
use crate::http::StoreOp;
use crate::price::PricePlan;
use crate::usd::Usd;

/// The quotas on one query. All clones of the `Arc` are one query's.
#[derive(Debug)]
pub struct QuotaGrant {
    quotas: Arc<Quotas>,
    /// By name.
    list: Vec<Arc<Quota>>,
    principal: String,
    price: PricePlan,
    cost_cap: Option<CostCap>,
}

/// A quota leaves no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// The quota.
    pub quota: String,
    /// Its workgroup.
    pub workgroup: String,
    /// Whose budget, for a quota keyed by principal.
    pub principal: Option<String>,
    /// What would be passed.
    pub resource: QuotaResource,
    /// What is used, in bytes or 10^-12 dollars.
    pub used: u64,
    /// The limit, likewise.
    pub limit: u64,
    /// What was asked for on top, likewise.
    pub needed: u64,
    /// When the window ends.
    pub resets_at: DateTime<Utc>,
}

impl std::fmt::Display for QuotaExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (resource, owner) = (self.resource, self.principal.as_deref());
        write!(f, "quota `{}` of workgroup \"{}\"", self.quota, self.workgroup)?;
        if let Some(owner) = owner {
            write!(f, " for principal `{owner}`")?;
        }
        write!(
            f,
            " would be passed: {} used {}, limit {}, {} more needed; it resets at {}",
            resource.as_str(),
            resource.shown(self.used),
            resource.shown(self.limit),
            resource.shown(self.needed),
            self.resets_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        )
    }
}

/// Why a quota grants nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QuotaError {
    /// There is no room.
    #[error("{0}")]
    Exceeded(Box<QuotaExceeded>),
    /// The query's own cap on cost has no room.
    #[error(transparent)]
    Cost(Box<CostExceeded>),
    /// The use cannot be booked; without that nothing is read.
    #[error("the use of quota `{quota}` cannot be booked")]
    NotBooked {
        /// The quota.
        quota: String,
        /// Why.
        #[source]
        source: MeteringError,
    },
}

impl From<QuotaError> for Fault {
    fn from(error: QuotaError) -> Self {
        let text = error.to_string();
        match &error {
            QuotaError::Cost(exceeded) => Self::from(CostExceeded::clone(exceeded)),
            QuotaError::Exceeded(exceeded) => Self::new(Code::ExceededQuota, text).with_hint(format!(
                "Wait until then, or ask the owner of \"{}\".",
                exceeded.workgroup
            )),
            QuotaError::NotBooked { .. } => Self::new(Code::GenericInternalError, text),
        }
        .with_source(error)
    }
}

impl QuotaGrant {
    pub(super) fn new(
        quotas: Arc<Quotas>,
        list: Vec<Arc<Quota>>,
        principal: String,
        price: PricePlan,
        cost_cap: Option<CostCap>,
    ) -> Self {
        Self {
            quotas,
            list,
            principal,
            price,
            cost_cap,
        }
    }

    /// Refuses where a quota is used up, so that the query need not begin. Reserves nothing.
    pub fn check(&self) -> Result<(), QuotaError> {
        self.check_bytes(1)?;
        self.check_cost(Usd::from_pico(1))
    }

    /// Refuses where `cost` does not fit beside what is spent, under the query's cap and the money quotas. Reserves
    /// nothing.
    pub fn check_cost(&self, cost: Usd) -> Result<(), QuotaError> {
        let amount = pico(cost);
        if let Some(cap) = &self.cost_cap {
            cap.check(amount).map_err(|e| QuotaError::Cost(Box::new(e)))?;
        }
        self.each(QuotaResource::CostUsd, |quota, pool| {
            self.refuse_unless_fits(quota, pool, QuotaResource::CostUsd, amount)
        })
    }

    /// Refuses where `bytes` of data do not fit beside what is used. Reserves nothing.
    pub fn check_bytes(&self, bytes: u64) -> Result<(), QuotaError> {
        self.each(QuotaResource::DataScannedBytes, |quota, pool| {
            self.refuse_unless_fits(quota, pool, QuotaResource::DataScannedBytes, bytes)
        })
    }

    /// Sets `bytes` of data to be scanned apart, with their price where the plan has one.
    ///
    /// Cancel safe: a dropped call holds nothing.
    pub async fn reserve_data(&self, bytes: u64) -> Result<QuotaReservation, QuotaError> {
        let mut parts = self.reserve(QuotaResource::DataScannedBytes, bytes, 1).await?;
        let price = pico(self.price.scanned_byte_usd);
        parts.extend(self.reserve(QuotaResource::CostUsd, bytes, price).await?);
        Ok(QuotaReservation { parts })
    }

    /// Sets the price of one request apart. It is used up at once: the store may bill what is never answered.
    pub async fn pay_request(&self, op: StoreOp) -> Result<(), QuotaError> {
        let price = match op {
            StoreOp::Get => self.price.get_request_usd,
            StoreOp::Head => self.price.head_request_usd,
            StoreOp::List => self.price.list_request_usd,
            StoreOp::Put | StoreOp::Delete => self.price.put_request_usd,
        };
        let parts = self.reserve(QuotaResource::CostUsd, 1, pico(price)).await?;
        QuotaReservation { parts }.settle_part(1);
        Ok(())
    }

    /// Whether the bytes that a store sends cost something.
    pub(crate) fn pays_for_transfer(&self) -> bool {
        self.price.transferred_byte_usd > Usd::ZERO
    }

    /// Sets the price of receiving up to `bytes` apart.
    pub async fn reserve_transfer(&self, bytes: u64) -> Result<QuotaReservation, QuotaError> {
        let price = pico(self.price.transferred_byte_usd);
        let parts = self.reserve(QuotaResource::CostUsd, bytes, price).await?;
        Ok(QuotaReservation { parts })
    }

    /// The query has ended: what was booked ahead and nobody needs now is given back, without waiting for the disk.
    /// Lost with the process, it counts as used.
    pub fn finish(&self) {
        for quota in &self.list {
            for resource in QuotaResource::ALL {
                let Some(limit) = quota.definition.limit(resource) else {
                    continue;
                };
                let pool = self.quotas.pool(quota, &self.principal, resource, limit);
                // Who books right now needs it.
                let Ok(_order) = pool.booking.try_lock() else {
                    continue;
                };
                let unbooked = if pool.is_replaced() { None } else { pool.unbook() };
                if let Some(booked) = unbooked {
                    self.quotas
                        .ledger
                        .book_detached(self.stored(quota, &pool, resource, booked));
                }
            }
        }
    }

    async fn reserve(
        &self,
        resource: QuotaResource,
        units: u64,
        per_unit: u64,
    ) -> Result<Vec<Part>, QuotaError> {
        let mut parts = Vec::new();
        let amount = units.saturating_mul(per_unit);
        if amount == 0 {
            return Ok(parts);
        }
        if let Some(cap) = self
            .cost_cap
            .as_ref()
            .filter(|_| resource == QuotaResource::CostUsd)
        {
            cap.take(amount)
                .await
                .map_err(|e| QuotaError::Cost(Box::new(e)))?;
            parts.push(Part {
                booked_on: None,
                resource,
                pool: Arc::clone(&cap.pool),
                per_unit,
                left: amount,
            });
        }
        for quota in &self.list {
            let Some(limit) = quota.definition.limit(resource) else {
                continue;
            };
            let pool = self.take(quota, resource, limit, amount).await?;
            parts.push(Part {
                booked_on: Some(BookedOn {
                    quotas: Arc::clone(&self.quotas),
                    quota: Arc::clone(quota),
                    principal: self.principal.clone(),
                }),
                resource,
                pool,
                per_unit,
                left: amount,
            });
        }
        Ok(parts)
    }

    /// Takes `amount` from the window of now, and answers whose it is. Who had to wait asks anew which one that is.
    async fn take(
        &self,
        quota: &Quota,
        resource: QuotaResource,
        limit: u64,
        amount: u64,
    ) -> Result<Arc<Pool>, QuotaError> {
        loop {
            let pool = self.quotas.pool(quota, &self.principal, resource, limit);
            match pool.attempt(amount) {
                Attempt::Granted => {}
                Attempt::Refused { used } => return Err(self.exceeded(quota, &pool, resource, used, amount)),
                Attempt::Wait(returned) => {
                    returned.await;
                    continue;
                }
                Attempt::Book(_) => {
                    self.book(quota, &pool, resource, amount).await?;
                    continue;
                }
            }
            return Ok(pool);
        }
    }

    /// Books ahead what `amount` more needs, where nobody has meanwhile.
    async fn book(
        &self,
        quota: &Quota,
        pool: &Pool,
        resource: QuotaResource,
        amount: u64,
    ) -> Result<(), QuotaError> {
        let _order = pool.booking.lock().await;
        // The file has one row for all windows: an ended one must not take the place of the next.
        if pool.is_replaced() {
            return Ok(());
        }
        // Who had the lock before may have booked enough for us too.
        let Attempt::Book(target) = pool.would_book(amount) else {
            return Ok(());
        };
        let row = self.stored(quota, pool, resource, target);
        let booked = self.quotas.ledger.book(row).await;
        booked.map_err(|source| QuotaError::NotBooked {
            quota: quota.definition.name.clone(),
            source,
        })?;
        pool.booked(target);
        Ok(())
    }

    fn refuse_unless_fits(
        &self,
        quota: &Quota,
        pool: &Pool,
        resource: QuotaResource,
        amount: u64,
    ) -> Result<(), QuotaError> {
        match pool.would_book(amount) {
            Attempt::Refused { used } => Err(self.exceeded(quota, pool, resource, used, amount)),
            _ => Ok(()),
        }
    }

    fn each(
        &self,
        resource: QuotaResource,
        f: impl Fn(&Quota, &Pool) -> Result<(), QuotaError>,
    ) -> Result<(), QuotaError> {
        self.list
            .iter()
            .try_for_each(|quota| match quota.definition.limit(resource) {
                Some(limit) => f(quota, &self.quotas.pool(quota, &self.principal, resource, limit)),
                None => Ok(()),
            })
    }

    fn stored(&self, quota: &Quota, pool: &Pool, resource: QuotaResource, booked: u64) -> StoredUse {
        stored(quota, &self.principal, pool, resource, booked)
    }

    fn exceeded(
        &self,
        quota: &Quota,
        pool: &Pool,
        resource: QuotaResource,
        used: u64,
        needed: u64,
    ) -> QuotaError {
        let definition = &quota.definition;
        QuotaError::Exceeded(Box::new(QuotaExceeded {
            quota: definition.name.clone(),
            workgroup: definition.workgroup.clone(),
            principal: definition.keyed_by_principal.then(|| self.principal.clone()),
            resource,
            used,
            limit: pool.limit,
            needed,
            resets_at: pool.window.end,
        }))
    }
}
