//! The cap on what one query may cost: a pool of money of its own, reserved on as the money quotas are.

use std::sync::Arc;

use owlake_fault::{Code, Fault};

use super::definition::pico;
use super::pool::{Attempt, Pool};
use crate::usd::Usd;

/// The cap of one query. At every moment: spent + in flight <= limit.
#[derive(Debug)]
pub(super) struct CostCap {
    pub(super) pool: Arc<Pool>,
    workgroup: String,
}

/// The query would cost more than it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Cost limit was exceeded: the query costs at least {} USD, limit {limit} USD (max_cost_usd); {spent} USD were spent",
    *spent + *needed
)]
pub struct CostExceeded {
    /// What the query's requests and bytes cost so far.
    pub spent: Usd,
    /// What the next read or, before the run, all certain ones cost on top.
    pub needed: Usd,
    /// The cap.
    pub limit: Usd,
    /// The query's workgroup.
    pub workgroup: String,
}

impl From<CostExceeded> for Fault {
    fn from(error: CostExceeded) -> Self {
        let hint = format!(
            "Read fewer files, see EXPLAIN (TYPE COST), or ask the owner of \"{}\".",
            error.workgroup
        );
        Self::new(Code::ExceededScanLimit, error.to_string()).with_hint(hint)
    }
}

impl CostCap {
    pub(super) fn new(limit: Usd, workgroup: &str) -> Self {
        Self {
            pool: Arc::new(Pool::of_query(pico(limit))),
            workgroup: workgroup.to_owned(),
        }
    }

    /// Takes `amount`, in 10^-12 dollars; waits where it may fit once others return what they do not need.
    ///
    /// Cancel safe: a dropped call holds nothing.
    pub(super) async fn take(&self, amount: u64) -> Result<(), CostExceeded> {
        loop {
            match self.pool.attempt(amount) {
                Attempt::Granted => return Ok(()),
                Attempt::Refused { used } => return Err(self.exceeded(used, amount)),
                Attempt::Wait(returned) => returned.await,
                // All of it is booked from the start.
                Attempt::Book(target) => self.pool.booked(target),
            }
        }
    }

    /// Refuses where `amount` does not fit beside what is spent. Reserves nothing.
    pub(super) fn check(&self, amount: u64) -> Result<(), CostExceeded> {
        match self.pool.would_book(amount) {
            Attempt::Refused { used } => Err(self.exceeded(used, amount)),
            _ => Ok(()),
        }
    }

    fn exceeded(&self, used: u64, needed: u64) -> CostExceeded {
        let usd = |amount: u64| Usd::from_pico(i128::from(amount));
        CostExceeded {
            spent: usd(used),
            needed: usd(needed),
            limit: usd(self.pool.limit),
            workgroup: self.workgroup.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_in_flight_is_waited_for_and_what_is_spent_is_refused() {
        let cap = CostCap::new(Usd::from_pico(100), "bi");
        cap.take(60).await.unwrap();
        // It may fit once the first has returned what it did not need.
        let mut waiting = std::pin::pin!(cap.take(50));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        cap.pool.settle(60, 20, None);
        waiting.await.unwrap();
        cap.pool.settle(50, 50, None);
        assert_eq!(cap.check(30), Ok(()));
        let refused = cap.take(31).await.unwrap_err();
        assert_eq!((refused.spent.pico(), refused.needed.pico()), (70, 31));
        let fault = Fault::from(refused);
        assert_eq!(fault.code(), Code::ExceededScanLimit);
        assert!(
            fault
                .to_string()
                .contains("at least 0.000000000101 USD, limit 0.000000000100 USD"),
            "{fault}"
        );
    }
}
