//! Which listings are not believed any more because somebody said that something changed.
//!
//! Marks instead of removals: a listing that was under way when the mark was set is outdated too, although it enters
//! the cache afterwards; and a mark costs a few look-ups however many listings are cached.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::location::Location;

/// Places remembered; past that everything listed so far is outdated.
const MAX_MARKS: usize = 100_000;

/// Order of listings and marks: larger is later.
pub(crate) type Epoch = u64;

#[derive(Debug, Default)]
struct Marks {
    /// Everything listed before is outdated.
    floor: Epoch,
    /// Prefixes that changed.
    at: HashMap<Location, Epoch>,
    /// Prefixes that hold one that changed.
    above: HashMap<Location, Epoch>,
}

/// The marks of the process.
#[derive(Debug, Default)]
pub(crate) struct Invalidations {
    clock: AtomicU64,
    marks: RwLock<Marks>,
}

impl Invalidations {
    /// To be asked for before a listing starts.
    pub(crate) fn now(&self) -> Epoch {
        self.clock.load(Ordering::SeqCst)
    }

    /// Something at or below `location` changed, or `location` is an object that did.
    pub(crate) fn mark(&self, location: &Location) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
        if marks.at.len() + marks.above.len() >= MAX_MARKS {
            *marks = Marks {
                floor: now,
                ..Marks::default()
            };
        }
        marks.at.insert(location.clone(), now);
        for parent in location.parents() {
            marks.above.insert(parent, now);
        }
    }

    /// Whether a listing of `location` that started at `listed` may lack what was marked since.
    pub(crate) fn outdated(&self, location: &Location, listed: Epoch) -> bool {
        if self.now() == listed {
            return false;
        }
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let later = |mark: Option<&Epoch>| mark.is_some_and(|epoch| *epoch > listed);
        marks.floor > listed
            || later(marks.above.get(location))
            || later(marks.at.get(location))
            || location.parents().any(|parent| later(marks.at.get(&parent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Location {
        Location::parse(text).unwrap()
    }

    #[test]
    fn a_mark_outdates_what_holds_it_and_what_it_holds_and_nothing_else() {
        let marks = Invalidations::default();
        let before = marks.now();
        marks.mark(&at("s3://lake/t/dt=1/"));
        for hit in [
            "s3://lake/",
            "s3://lake/t/",
            "s3://lake/t/dt=1/",
            "s3://lake/t/dt=1/hour=2/",
        ] {
            assert!(marks.outdated(&at(hit), before), "{hit}");
        }
        for other in [
            "s3://lake/t/dt=10/",
            "s3://lake/t/dt=2/",
            "s3://lake/t2/",
            "s3://other/t/dt=1/",
        ] {
            assert!(!marks.outdated(&at(other), before), "{other}");
        }
        let after = marks.now();
        assert!(!marks.outdated(&at("s3://lake/t/dt=1/"), after), "listed anew");
    }

    #[test]
    fn an_object_outdates_the_listings_that_name_it() {
        let marks = Invalidations::default();
        let before = marks.now();
        marks.mark(&at("s3://lake/t/dt=1/a.parquet"));
        assert!(marks.outdated(&at("s3://lake/t/dt=1/"), before));
        assert!(marks.outdated(&at("s3://lake/t/"), before));
        assert!(!marks.outdated(&at("s3://lake/t/dt=2/"), before));
    }

    #[test]
    fn too_many_marks_outdate_everything_rather_than_forget_one() {
        let marks = Invalidations::default();
        let before = marks.now();
        for i in 0..=MAX_MARKS {
            marks.mark(&at(&format!("s3://lake/t{i}/")));
        }
        assert!(marks.outdated(&at("s3://lake/t0/"), before));
        let state = marks.marks.read().unwrap();
        assert!(state.at.len() + state.above.len() < MAX_MARKS);
    }
}
