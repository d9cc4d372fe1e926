//! What local reads cost: the same prices, cap and quotas as those of a store behind HTTP.

use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, Result};

use super::{LocalStore, STORE, blocking};
use crate::http::StoreOp;
use crate::quota::{QuotaError, QuotaReservation};

/// What is set apart for the bytes of one read; nothing where there is no cap and no quota.
#[derive(Debug, Default)]
pub(super) struct Paid(Option<Bytes>);

#[derive(Debug)]
struct Bytes {
    reservation: QuotaReservation,
    reserved: u64,
}

impl Paid {
    /// Whether `bytes` may be read.
    pub(super) fn covers(&self, bytes: u64) -> bool {
        self.0.as_ref().is_none_or(|paid| bytes <= paid.reserved)
    }

    /// `bytes` were read.
    pub(super) fn used(&mut self, bytes: usize) {
        if let Some(paid) = &mut self.0 {
            paid.reservation.settle_part(bytes as u64);
        }
    }
}

impl LocalStore {
    /// Sets the price of a GET or HEAD apart, and that of the bytes it asks for.
    pub(super) async fn pay_get(&self, location: &Path, options: &GetOptions) -> Result<Paid> {
        let Some(quotas) = &self.quotas else {
            return Ok(Paid::default());
        };
        if options.head {
            quotas.pay_request(StoreOp::Head).await.map_err(refused)?;
            return Ok(Paid::default());
        }
        quotas.pay_request(StoreOp::Get).await.map_err(refused)?;
        if !quotas.pays_for_transfer() {
            return Ok(Paid::default());
        }
        let reserved = match &options.range {
            Some(GetRange::Bounded(range)) => range.end.saturating_sub(range.start),
            Some(GetRange::Suffix(bytes)) => *bytes,
            Some(GetRange::Offset(_)) | None => {
                let (store, location) = (self.clone(), location.clone());
                blocking(move || Ok(store.stat(&location)?.1.size)).await?
            }
        };
        let reservation = quotas.reserve_transfer(reserved).await.map_err(refused)?;
        Ok(Paid(Some(Bytes {
            reservation,
            reserved,
        })))
    }

    /// Pays for one reading of a directory.
    pub(super) async fn pay_list(&self) -> Result<()> {
        match &self.quotas {
            Some(quotas) => quotas.pay_request(StoreOp::List).await.map_err(refused),
            None => Ok(()),
        }
    }
}

fn refused(error: QuotaError) -> Error {
    Error::Generic {
        store: STORE,
        source: Box::new(error),
    }
}
