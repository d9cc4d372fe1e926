//! The meter tree: process -> query -> scan. A count goes to a node and to all its ancestors, so that accounts add up.
//!
//! What each counter means is fixed in `docs/bytes.md`; who counts it is documented at the counting place.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $field:ident,)*) => {
        /// One thing that is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Counter {
            $($(#[$doc])* $variant,)*
        }

        impl Counter {
            /// All counters, in the order of the receipt.
            pub const ALL: &'static [Counter] = &[$(Counter::$variant,)*];

            /// The name users see: column of `system.queries`, field of the receipt.
            pub const fn as_str(self) -> &'static str {
                match self { $(Counter::$variant => stringify!($field),)* }
            }
        }

        /// A reading of all counters.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counters {
            /// One value.
            pub const fn get(&self, counter: Counter) -> u64 {
                match counter { $(Counter::$variant => self.$field,)* }
            }

            /// One value, to be changed.
            pub const fn get_mut(&mut self, counter: Counter) -> &mut u64 {
                match counter { $(Counter::$variant => &mut self.$field,)* }
            }
        }
    };
}

counters! {
    /// Encoded data bytes the query needed, once per (scan node, row group, column range), whether or not a cache answered.
    DataScannedBytes = data_scanned_bytes,
    /// Footer, page index and bloom filter bytes needed, once per (scan node, file), same rule.
    MetadataBytes = metadata_bytes,
    /// Part of the two above that a cache answered.
    CachedBytes = cached_bytes,
    /// Sum of the ranges sent to the store, repeated attempts included.
    RequestedBytes = requested_bytes,
    /// Object-body bytes received, repeated attempts included. Bodies of listings and errors are not object bodies.
    TransferredBytes = transferred_bytes,
    /// Answered GETs of objects.
    GetRequests = get_requests,
    /// Answered HEADs.
    HeadRequests = head_requests,
    /// Answered listing pages.
    ListRequests = list_requests,
    /// Answered requests of every other kind: PUT, POST, DELETE.
    PutRequests = put_requests,
    /// Part of the answered requests that repeated one that had failed.
    RetriedRequests = retried_requests,
    /// Object bodies that ended before their announced length: dropped by us or broken off.
    AbortedRequests = aborted_requests,
    /// Upper bound of the bytes that the store may have logged for aborted bodies beyond what was received.
    AbortedBytesMax = aborted_bytes_max,
    /// Attempts without a response: the connection failed, or the query went away first. The store may have logged them.
    UnansweredRequests = unanswered_requests,
    /// Rows received from connectors.
    RemoteRows = remote_rows,
    /// Wire payload bytes received from connectors.
    RemoteBytes = remote_bytes,
}

impl AddAssign for Counters {
    /// Adds each counter; saturates.
    fn add_assign(&mut self, other: Self) {
        for &counter in Counter::ALL {
            let value = self.get_mut(counter);
            *value = value.saturating_add(other.get(counter));
        }
    }
}

/// A node of the meter tree. Cheap to count on from any thread; a reading is exact once the counting tasks have ended.
#[derive(Debug)]
pub struct Meter {
    name: String,
    parent: Option<Arc<Meter>>,
    values: [AtomicU64; Counter::ALL.len()],
}

impl Meter {
    /// A tree of its own.
    pub fn root(name: impl Into<String>) -> Arc<Self> {
        Self::node(name.into(), None)
    }

    /// A node whose counts also go to `self` and above.
    pub fn child(self: &Arc<Self>, name: impl Into<String>) -> Arc<Self> {
        Self::node(name.into(), Some(Arc::clone(self)))
    }

    fn node(name: String, parent: Option<Arc<Meter>>) -> Arc<Self> {
        Arc::new(Self {
            name,
            parent,
            values: std::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    /// Adds `amount` here and to all ancestors.
    pub fn add(&self, counter: Counter, amount: u64) {
        let mut node = Some(self);
        while let Some(meter) = node {
            // Discriminants of a field-less enum count up from 0 in the order of ALL.
            meter.values[counter as usize].fetch_add(amount, Ordering::Relaxed);
            node = meter.parent.as_deref();
        }
    }

    /// What was counted here and below so far.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for &counter in Counter::ALL {
            *counters.get_mut(counter) = self.values[counter as usize].load(Ordering::Relaxed);
        }
        counters
    }

    /// The name given at creation.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_reaches_every_ancestor_and_no_sibling() {
        let root = Meter::root("server");
        let (a, b) = (root.child("a"), root.child("b"));
        let scan = a.child("scan");
        scan.add(Counter::GetRequests, 2);
        b.add(Counter::GetRequests, 5);
        assert_eq!(scan.counters().get_requests, 2);
        assert_eq!(a.counters().get_requests, 2);
        assert_eq!(b.counters().get_requests, 5);
        assert_eq!(
            root.counters(),
            Counters {
                get_requests: 7,
                ..Counters::default()
            }
        );
        assert_eq!(scan.name(), "scan");
    }

    #[test]
    fn each_counter_has_its_own_slot_and_name() {
        let meter = Meter::root("m");
        for (i, &counter) in Counter::ALL.iter().enumerate() {
            meter.add(counter, i as u64 + 1);
        }
        let reading = meter.counters();
        let json = serde_json::to_value(reading).unwrap();
        for (i, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(reading.get(counter), i as u64 + 1);
            assert_eq!(json[counter.as_str()], i as u64 + 1, "{}", counter.as_str());
        }
    }

    #[test]
    fn readings_add_up() {
        let mut sum = Counters {
            get_requests: 1,
            remote_bytes: u64::MAX,
            ..Counters::default()
        };
        sum += Counters {
            get_requests: 2,
            remote_bytes: 1,
            ..Counters::default()
        };
        assert_eq!(
            sum,
            Counters {
                get_requests: 3,
                remote_bytes: u64::MAX,
                ..Counters::default()
            }
        );
    }

    #[test]
    fn counts_from_many_threads_are_all_kept() {
        let root = Meter::root("server");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let node = root.child("q");
                scope.spawn(move || (0..10_000).for_each(|_| node.add(Counter::TransferredBytes, 3)));
            }
        });
        assert_eq!(root.counters().transferred_bytes, 120_000);
    }
}
