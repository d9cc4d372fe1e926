//! The life of one query as phases: submitted (planned, priced by nobody yet), then running, then its receipt.

mod advice;
mod build_sides;
mod conjuncts;
mod estimate;
mod explain;
mod history;
mod join_groups;
mod limits;
mod ordered_conditions;
mod physical;
mod pieces;
mod plan;
mod proof;
mod pushdown;
mod record;
mod repeats;
mod reused;
mod run;
mod unordered_input;
mod verify;

pub use estimate::{Estimate, EstimateRow};
pub use plan::{Prepared, StatementKind, Submitted};
pub use record::{NoObserver, QueryObserver};
pub use run::RunningQuery;

pub(crate) use conjuncts::CheapFirst;
pub(crate) use ordered_conditions::OrderedConditions;
pub(crate) use record::{Accounting, QueryAccount};
pub(crate) use unordered_input::UnorderedAggregates;

use owlake_fault::Fault;
use owlake_metering::Receipt;

/// A query that ended badly, with its bill. The receipt is missing only where no query had begun.
#[derive(Debug, Clone)]
pub struct QueryFailure {
    /// What went wrong.
    pub fault: Fault,
    /// What it cost until then.
    pub receipt: Option<Box<Receipt>>,
    /// Its id, where one was given.
    pub query_id: Option<String>,
}

impl std::fmt::Display for QueryFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for QueryFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.fault)
    }
}

impl From<Fault> for QueryFailure {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            receipt: None,
            query_id: None,
        }
    }
}
