//! What is set apart on the limits of a query, and what becomes of it.

use std::sync::Arc;

use super::pool::Pool;
use super::store::StoredUse;
use super::{Quota, QuotaResource, QuotaWarning, Quotas};

/// The booking of a window as the ledger keeps it.
pub(super) fn stored(
    quota: &Quota,
    principal: &str,
    pool: &Pool,
    resource: QuotaResource,
    booked: u64,
) -> StoredUse {
    let keyed = quota.definition.keyed_by_principal;
    StoredUse {
        quota_id: quota.id,
        principal: if keyed {
            principal.to_owned()
        } else {
            String::new()
        },
        resource,
        window_start: pool.window.start,
        booked,
        warned: pool.was_warned(),
    }
}

/// What is set apart on the quotas of a query. Dropping it returns what was not settled.
#[derive(Debug)]
#[must_use = "a dropped reservation returns what it holds"]
pub struct QuotaReservation {
    pub(super) parts: Vec<Part>,
}

impl QuotaReservation {
    /// Settles at most `units`, as far as it has them; how many it settled.
    pub fn settle_up_to(&mut self, units: u64) -> u64 {
        let has = |part: &Part| part.left / part.per_unit.max(1);
        let settled = self.parts.iter().map(has).min().unwrap_or(units).min(units);
        self.settle_part(settled);
        settled
    }

    /// `units` (bytes, requests) of what was set apart were used.
    pub fn settle_part(&mut self, units: u64) {
        for part in &mut self.parts {
            let amount = units.saturating_mul(part.per_unit).min(part.left);
            part.left -= amount;
            part.give_back(amount, amount);
        }
    }
}

/// The quota behind a part; none behind that of a query's own cap.
pub(super) struct BookedOn {
    pub(super) quotas: Arc<Quotas>,
    pub(super) quota: Arc<Quota>,
    pub(super) principal: String,
}

/// What is set apart on one limit.
pub(super) struct Part {
    pub(super) booked_on: Option<BookedOn>,
    pub(super) resource: QuotaResource,
    pub(super) pool: Arc<Pool>,
    pub(super) per_unit: u64,
    pub(super) left: u64,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field(
                "quota",
                &self.booked_on.as_ref().map(|on| &on.quota.definition.name),
            )
            .field("resource", &self.resource)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quota")
            .field("definition", &self.definition)
            .finish_non_exhaustive()
    }
}

impl Part {
    fn give_back(&self, reserved: u64, actual: u64) {
        let on = self.booked_on.as_ref();
        let warn_percent = on.and_then(|on| on.quota.definition.warn_percent);
        let warns = self.pool.settle(reserved, actual, warn_percent);
        let Some(on) = on.filter(|_| warns) else {
            return;
        };
        let definition = &on.quota.definition;
        let (booked, resource) = (self.pool.booking_now(), self.resource);
        // Written with the next booking anyway; here so that a restart does not warn again.
        let row = stored(&on.quota, &on.principal, &self.pool, resource, booked);
        on.quotas.ledger.warned_detached(row);
        if let (Some(observer), Some(warn_percent)) = (&on.quotas.observer, warn_percent) {
            observer.quota_warning(&QuotaWarning {
                quota: definition.name.clone(),
                workgroup: definition.workgroup.clone(),
                principal: definition.keyed_by_principal.then(|| on.principal.clone()),
                resource: resource.as_str(),
                warn_percent,
                used: resource.exact(self.pool.used()),
                limit: resource.exact(self.pool.limit),
                window_start: self.pool.window.start,
                resets_at: self.pool.window.end,
            });
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.left > 0 {
            self.give_back(self.left, 0);
        }
    }
}
