//! Engine-neutral sets of values that a query's filter leaves for one partition column.
//!
//! `scan` builds them from filter expressions; projection and registered partitions are cut by them.
//! A domain only ever over-approximates: the filter itself is evaluated again on what is left.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A value of a partition column, in the column's SQL type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartitionValue {
    /// string, varchar, char.
    Text(String),
    /// tinyint, smallint, int, bigint.
    Integer(i64),
    /// Days since the epoch.
    Date(i32),
    /// Microseconds since the epoch, UTC.
    Timestamp(i64),
    /// boolean.
    Boolean(bool),
}

impl PartitionValue {
    /// The value as an SQL literal, for messages: `'a''b'`, `7`, `DATE '2020-01-01'`. Control characters are
    /// shown as escapes.
    pub fn sql_literal(&self) -> String {
        match self {
            Self::Text(text) => {
                let mut out = String::with_capacity(text.len() + 2);
                out.push('\'');
                for c in text.chars() {
                    match c {
                        '\'' => out.push_str("''"),
                        c if c.is_control() => out.extend(c.escape_default()),
                        c => out.push(c),
                    }
                }
                out.push('\'');
                out
            }
            Self::Integer(number) => number.to_string(),
            Self::Boolean(flag) => flag.to_string(),
            Self::Date(days) => {
                let date = chrono::DateTime::from_timestamp(i64::from(*days) * 86_400, 0).unwrap_or_default();
                format!("DATE '{}'", date.format("%Y-%m-%d"))
            }
            Self::Timestamp(micros) => {
                let time = chrono::DateTime::from_timestamp_micros(*micros).unwrap_or_default();
                format!("TIMESTAMP '{}'", time.format("%Y-%m-%d %H:%M:%S%.f"))
            }
        }
    }
}

/// One end of an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// No end.
    Unbounded,
    /// The value belongs to the interval.
    Included(PartitionValue),
    /// The value does not.
    Excluded(PartitionValue),
}

/// Values between two bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Lower end.
    pub low: Bound,
    /// Upper end.
    pub high: Bound,
}

/// What a filter leaves of one column: everything, or a union of intervals (points for `=` and `IN`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    /// No constraint.
    All,
    /// A union; empty means no value satisfies the filter.
    Union(Vec<Interval>),
}

/// Domains by partition column name; a missing column means [`Domain::All`].
pub type Domains = BTreeMap<String, Domain>;

impl Interval {
    /// The interval that holds exactly `value`.
    pub fn point(value: PartitionValue) -> Self {
        Self {
            low: Bound::Included(value.clone()),
            high: Bound::Included(value),
        }
    }

    /// The one value of a point interval.
    pub fn as_point(&self) -> Option<&PartitionValue> {
        match (&self.low, &self.high) {
            (Bound::Included(a), Bound::Included(b)) if a == b => Some(a),
            _ => None,
        }
    }

    /// Whether `value` lies inside.
    pub fn contains(&self, value: &PartitionValue) -> bool {
        self.above_low(value) && self.below_high(value)
    }

    /// Whether `value` satisfies the lower end alone; once true it stays true for greater values.
    pub(crate) fn above_low(&self, value: &PartitionValue) -> bool {
        match &self.low {
            Bound::Unbounded => true,
            Bound::Included(low) => value >= low,
            Bound::Excluded(low) => value > low,
        }
    }

    /// Whether `value` satisfies the upper end alone; once false it stays false for greater values.
    pub(crate) fn below_high(&self, value: &PartitionValue) -> bool {
        match &self.high {
            Bound::Unbounded => true,
            Bound::Included(high) => value <= high,
            Bound::Excluded(high) => value < high,
        }
    }

    fn is_empty(&self) -> bool {
        match (&self.low, &self.high) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a >= b,
        }
    }

    fn intersect(&self, other: &Self) -> Option<Self> {
        let cut = Self {
            low: tighter(&self.low, &other.low, Ordering::Greater),
            high: tighter(&self.high, &other.high, Ordering::Less),
        };
        (!cut.is_empty()).then_some(cut)
    }
}

fn tighter(a: &Bound, b: &Bound, wins: Ordering) -> Bound {
    let (x, y) = match (a, b) {
        (Bound::Unbounded, other) | (other, Bound::Unbounded) => return other.clone(),
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => (x, y),
    };
    match x.cmp(y) {
        Ordering::Equal if matches!(a, Bound::Excluded(_)) => a.clone(),
        Ordering::Equal => b.clone(),
        order if order == wins => a.clone(),
        _ => b.clone(),
    }
}

impl Domain {
    /// The domain no value satisfies.
    pub const NONE: Self = Self::Union(Vec::new());

    /// The domain of `= value`.
    pub fn point(value: PartitionValue) -> Self {
        Self::Union(vec![Interval::point(value)])
    }

    /// Whether no value satisfies it.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Union(intervals) if intervals.is_empty())
    }

    /// Whether `value` satisfies it.
    pub fn contains(&self, value: &PartitionValue) -> bool {
        match self {
            Self::All => true,
            Self::Union(intervals) => intervals.iter().any(|i| i.contains(value)),
        }
    }

    /// The values when the domain is a finite list of points (`=`, `IN`), in the order given, without repeats.
    pub fn points(&self) -> Option<Vec<&PartitionValue>> {
        match self {
            Self::All => None,
            Self::Union(intervals) => {
                let mut seen = std::collections::BTreeSet::new();
                let mut points = Vec::with_capacity(intervals.len());
                for interval in intervals {
                    let point = interval.as_point()?;
                    if seen.insert(point) {
                        points.push(point);
                    }
                }
                Some(points)
            }
        }
    }

    /// AND.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, d) | (d, Self::All) => d.clone(),
            (Self::Union(a), Self::Union(b)) => {
                // Two point lists (an IN within an IN) would be quadratic; filter one by the other.
                if let (Some(points), true) = (self.points(), a.len().max(b.len()) > 64) {
                    return Self::Union(
                        points
                            .into_iter()
                            .filter(|p| other.contains(p))
                            .cloned()
                            .map(Interval::point)
                            .collect(),
                    );
                }
                Self::Union(
                    a.iter()
                        .flat_map(|x| b.iter().filter_map(move |y| x.intersect(y)))
                        .collect(),
                )
            }
        }
    }

    /// OR.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Union(a), Self::Union(b)) => Self::Union(a.iter().chain(b).cloned().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(v: i64) -> PartitionValue {
        PartitionValue::Integer(v)
    }

    fn range(low: i64, high: i64) -> Domain {
        Domain::Union(vec![Interval {
            low: Bound::Included(int(low)),
            high: Bound::Excluded(int(high)),
        }])
    }

    #[test]
    fn intersection_and_union_agree_with_membership() {
        let cases = [
            Domain::All,
            Domain::NONE,
            range(0, 5),
            range(3, 9),
            range(5, 5),
            Domain::point(int(4)),
        ];
        for a in &cases {
            for b in &cases {
                for v in -1..10 {
                    let v = int(v);
                    assert_eq!(
                        a.intersect(b).contains(&v),
                        a.contains(&v) && b.contains(&v),
                        "{a:?} {b:?} {v:?}"
                    );
                    assert_eq!(
                        a.union(b).contains(&v),
                        a.contains(&v) || b.contains(&v),
                        "{a:?} {b:?} {v:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn literals_are_sql() {
        let cases = [
            (PartitionValue::Text("a'b\n".to_owned()), "'a''b\\n'"),
            (int(-7), "-7"),
            (PartitionValue::Date(-1), "DATE '1969-12-31'"),
            (
                PartitionValue::Timestamp(1_500_000),
                "TIMESTAMP '1970-01-01 00:00:01.500'",
            ),
            (PartitionValue::Boolean(true), "true"),
        ];
        for (value, text) in cases {
            assert_eq!(value.sql_literal(), text);
        }
    }

    #[test]
    fn contradiction_is_none() {
        assert!(Domain::point(int(1)).intersect(&Domain::point(int(2))).is_none());
    }

    #[test]
    fn points_come_without_repeats_in_the_order_given() {
        let domain = Domain::point(int(3))
            .union(&Domain::point(int(1)))
            .union(&Domain::point(int(3)));
        assert_eq!(domain.points(), Some(vec![&int(3), &int(1)]));
        assert_eq!(range(0, 2).points(), None);
    }
}
