//! Accounts of store requests: one per query, and `system` for requests of no query. Nothing counts beside them.

use std::sync::Arc;

use owlake_metering::{Counters, Meter};

/// The top of the meter tree.
#[derive(Debug)]
pub struct Meters {
    process: Arc<Meter>,
    system: Arc<Meter>,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let process = Meter::root("process");
        Self {
            system: process.child("system"),
            process,
        }
    }

    /// The account of a query.
    pub(crate) fn query(&self, id: &str) -> Arc<Meter> {
        self.process.child(id)
    }

    /// An account for reads of no query of ours, named `id` to the store.
    pub(crate) fn system(&self, id: &str) -> Arc<Meter> {
        self.system.child(id)
    }

    /// Everything that was counted: what the stores saw of this process.
    pub fn process_counters(&self) -> Counters {
        self.process.counters()
    }

    /// What was counted for no query. With the receipts of all queries it adds up to [`Self::process_counters`].
    pub fn system_counters(&self) -> Counters {
        self.system.counters()
    }
}
