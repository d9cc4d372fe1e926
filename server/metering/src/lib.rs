//! What a query read, what it may read and what that cost: meter tree, budget, metered stores, prices, receipt, ledger.
//!
//! `docs/bytes.md` explains every counter to users. No SQL engine and no wire protocol in here.

mod billing;
mod budget;
mod error;
mod http;
mod ledger;
mod local;
mod meter;
mod price;
mod quota;
mod receipt;
mod usd;

pub use billing::AthenaBilling;
pub use budget::{Budget, BudgetExceeded, Refused, Reservation, decimal_bytes};
pub use error::MeteringError;
pub use http::{
    ARCHIVED_ETAG, HttpOptions, ListedKeys, MeteredConnector, ObjectRequest, RequestHooks, RequestLog,
    RequestObserver, RequestTimes, SharedHttp, SmallShare, StoreOp,
};
pub use ledger::{
    Ledger, LedgerFilter, LedgerOptions, LedgerPage, LedgerPosition, QueryPart, QueryRecord, RequestRecord,
    UsageRecord,
};
pub use local::LocalStore;
pub use meter::{Counter, Counters, Meter};
pub use price::PricePlan;
pub use quota::{
    CostExceeded, QuotaDefinition, QuotaError, QuotaExceeded, QuotaGrant, QuotaInterval, QuotaObserver,
    QuotaPeriod, QuotaReservation, QuotaResource, QuotaUse, QuotaWarning, Quotas,
};
pub use receipt::{QueryState, Receipt, RemoteQuery, StatementType, TableScan};
pub use usd::{ParseUsdError, Usd};
