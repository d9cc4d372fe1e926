//! A set of byte positions kept as sorted, disjoint ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of one file that were counted already.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct RangeSet {
    // start -> end
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// How many bytes of `range` are in the set.
    pub(crate) fn covered(&self, range: Range<u64>) -> u64 {
        self.ranges
            .range(..range.end)
            .rev()
            .take_while(|(_, end)| **end > range.start)
            .map(|(start, end)| (*end).min(range.end) - (*start).max(range.start))
            .sum()
    }

    /// How many bytes of `ranges` are not in the set, each counted once.
    pub(crate) fn missing(&self, ranges: &[Range<u64>]) -> u64 {
        let mut wanted = Self::default();
        ranges.iter().for_each(|range| {
            wanted.insert(range.clone());
        });
        let missing = |(start, end): (&u64, &u64)| end - start - self.covered(*start..*end);
        wanted.ranges.iter().map(missing).sum()
    }

    /// Adds `range`; returns how many of its bytes were new.
    pub(crate) fn insert(&mut self, range: Range<u64>) -> u64 {
        if range.start >= range.end {
            return 0;
        }
        let mut start = range.start;
        let mut end = range.end;
        let mut covered = 0;
        // Everything that overlaps or touches starts at or before our end and ends at or after our start.
        let touching: Vec<(u64, u64)> = self
            .ranges
            .range(..=range.end)
            .rev()
            .take_while(|(_, e)| **e >= range.start)
            .map(|(s, e)| (*s, *e))
            .collect();
        for (s, e) in touching {
            covered += e.min(range.end).saturating_sub(s.max(range.start));
            start = start.min(s);
            end = end.max(e);
            self.ranges.remove(&s);
        }
        self.ranges.insert(start, end);
        (range.end - range.start) - covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn new_bytes_agree_with_a_bitmap(ranges in proptest::collection::vec((0u64..60, 0u64..20), 0..40)) {
            let mut set = RangeSet::default();
            let mut bitmap = [false; 100];
            for (start, len) in ranges {
                let fresh = (start..start + len).filter(|i| !bitmap[usize::try_from(*i).unwrap()]).count();
                let twice = [start..start + len, start..start + len / 2];
                prop_assert_eq!(set.missing(&twice), fresh as u64);
                for i in start..start + len {
                    bitmap[usize::try_from(i).unwrap()] = true;
                }
                prop_assert_eq!(set.insert(start..start + len), fresh as u64);
            }
        }
    }
}
