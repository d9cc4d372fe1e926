//! The values of one column as a list reachable by index, and the cut of that list by a domain.
//!
//! Nothing is enumerated to be cut: the list falls into runs in which values only rise or only fall, and
//! each interval of the domain is found in each run by bisection. Only dates whose text does not sort like
//! their time (`dd-MM-yyyy`) are tested one by one, up to [`MAX_TESTED`].

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::column::{ColumnType, IntegerRule};
use super::date_format::DateFormat;
use super::date_range::{Times, nanoseconds};
use crate::domain::{Domain, Interval, PartitionValue};

/// Most values of one column that are tested one by one (about a second of work).
const MAX_TESTED: u128 = 2_000_000;

/// One value in its three shapes.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) value: PartitionValue,
    /// Hive's text for the value.
    pub(super) text: String,
    /// What stands in the location, before any escaping.
    pub(super) path: String,
}

/// The values of one column, in the order they are projected.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// enum and injected.
    Listed(Arc<Vec<(PartitionValue, String)>>),
    Integers {
        rule: IntegerRule,
        column_type: ColumnType,
    },
    Dates {
        times: Times,
        format: Arc<DateFormat>,
        column_type: ColumnType,
    },
}

/// Indices that are left, sorted and disjoint.
pub(super) type Selection = Vec<Range<u128>>;

/// More values would have to be tested one by one than is sensible.
#[derive(Debug)]
pub(super) struct TooManyToTest;

impl Values {
    /// How many there are; up to 2^64.
    pub(super) fn len(&self) -> u128 {
        match self {
            Self::Listed(list) => list.len() as u128,
            Self::Integers { rule, .. } => {
                let span = i128::from(rule.max) - i128::from(rule.min);
                (span / i128::from(rule.interval)).unsigned_abs() + 1
            }
            Self::Dates { times, .. } => times.len(),
        }
    }

    /// The value at `index`, which is below `len`.
    pub(super) fn value(&self, index: u128) -> PartitionValue {
        match self {
            Self::Listed(_) => self.item(index).value,
            Self::Integers {
                rule,
                column_type: ColumnType::Text,
            } => PartitionValue::Text(padded(integer_at(rule, index), rule.digits)),
            Self::Integers { rule, .. } => PartitionValue::Integer(integer_at(rule, index)),
            Self::Dates {
                times,
                format,
                column_type,
            } => {
                let time = times.at(index);
                match column_type {
                    ColumnType::Date => PartitionValue::Date(days(nanoseconds(time))),
                    ColumnType::Timestamp => PartitionValue::Timestamp(time.and_utc().timestamp_micros()),
                    _ => PartitionValue::Text(format.print(time)),
                }
            }
        }
    }

    /// The value at `index` in all its shapes.
    pub(super) fn item(&self, index: u128) -> Item {
        match self {
            Self::Listed(list) => {
                let found = usize::try_from(index).ok().and_then(|i| list.get(i)).cloned();
                let (value, text) = found.unwrap_or((PartitionValue::Text(String::new()), String::new()));
                Item {
                    value,
                    path: text.clone(),
                    text,
                }
            }
            Self::Integers { rule, .. } => {
                let text = padded(integer_at(rule, index), rule.digits);
                Item {
                    value: self.value(index),
                    path: text.clone(),
                    text,
                }
            }
            Self::Dates {
                times,
                format,
                column_type,
            } => {
                let time = times.at(index);
                let path = format.print(time);
                let text = match column_type {
                    ColumnType::Date => time.format("%Y-%m-%d").to_string(),
                    ColumnType::Timestamp => hive_timestamp(time),
                    _ => path.clone(),
                };
                Item {
                    value: self.value(index),
                    text,
                    path,
                }
            }
        }
    }

    /// The indices whose value satisfies `domain`: exactly those for which [`Domain::contains`] holds.
    pub(super) fn select(&self, domain: &Domain) -> Result<Selection, TooManyToTest> {
        let Domain::Union(intervals) = domain else {
            let everything = 0..self.len();
            return Ok(if everything.is_empty() {
                Selection::new()
            } else {
                Selection::from([everything])
            });
        };
        let found = match self {
            Self::Listed(list) => test_list(list, domain, intervals),
            Self::Dates {
                times,
                format,
                column_type: ColumnType::Text,
            } if !format.is_ordered() => find_unordered(times, format, intervals)?,
            _ => {
                let runs = self.runs();
                let find = |interval| runs.iter().filter_map(move |run| self.bisect(run, interval));
                intervals.iter().flat_map(find).collect()
            }
        };
        Ok(merged(found))
    }

    /// Whether later values are never smaller.
    pub(super) fn is_rising(&self) -> bool {
        match self {
            Self::Listed(_) => false,
            Self::Dates {
                format,
                column_type: ColumnType::Text,
                ..
            } => format.is_ordered(),
            _ => matches!(self.runs().as_slice(), [Run { falls: false, .. }]),
        }
    }

    /// Runs of indices in which values only rise (or only fall).
    fn runs(&self) -> Vec<Run> {
        match self {
            Self::Integers {
                rule,
                column_type: ColumnType::Text,
            } => text_runs(rule, self.len()),
            _ => vec![Run {
                indices: 0..self.len(),
                falls: false,
            }],
        }
    }

    fn bisect(&self, run: &Run, interval: &Interval) -> Option<Range<u128>> {
        let (first, last) = if run.falls {
            (
                first_where(&run.indices, |i| interval.below_high(&self.value(i))),
                first_where(&run.indices, |i| !interval.above_low(&self.value(i))),
            )
        } else {
            (
                first_where(&run.indices, |i| interval.above_low(&self.value(i))),
                first_where(&run.indices, |i| !interval.below_high(&self.value(i))),
            )
        };
        (first < last).then_some(first..last)
    }
}

struct Run {
    indices: Range<u128>,
    falls: bool,
}

/// First index for which `holds`, given that it holds for all later ones too; the end where it never does.
fn first_where(indices: &Range<u128>, holds: impl Fn(u128) -> bool) -> u128 {
    let (mut low, mut high) = (indices.start, indices.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Texts of integers of one sign and one length sort like (positive) or against (negative) the numbers.
fn text_runs(rule: &IntegerRule, len: u128) -> Vec<Run> {
    // Numbers at which the text gets longer, or its sign changes: each starts a new run.
    let mut edges = BTreeSet::from([0_i128]);
    for length in 1..=19_usize {
        let power = 10_i128.pow(u32::try_from(length).unwrap_or(19));
        if length >= rule.digits {
            edges.insert(power);
        }
        if length + 1 >= rule.digits {
            edges.insert(1 - power);
        }
    }
    let (min, step) = (i128::from(rule.min), i128::from(rule.interval));
    let index_of = |edge: i128| {
        let distance = edge - min;
        if distance <= 0 {
            0
        } else {
            ((distance + step - 1) / step).unsigned_abs().min(len)
        }
    };
    let mut runs = Vec::new();
    let mut from = 0;
    let mut falls = min < 0;
    for edge in edges {
        let to = index_of(edge);
        if from < to {
            runs.push(Run {
                indices: from..to,
                falls,
            });
        }
        from = from.max(to);
        falls = edge < 0;
    }
    if from < len {
        runs.push(Run {
            indices: from..len,
            falls,
        });
    }
    runs
}

fn integer_at(rule: &IntegerRule, index: u128) -> i64 {
    let steps = i128::try_from(index).unwrap_or(i128::MAX);
    let value = i128::from(rule.min).saturating_add(steps.saturating_mul(rule.interval.into()));
    i64::try_from(value).unwrap_or(rule.max)
}

fn padded(value: i64, digits: usize) -> String {
    format!("{value:0digits$}")
}

fn days(nanoseconds: i128) -> i32 {
    i32::try_from(nanoseconds.div_euclid(86_400_000_000_000)).unwrap_or_default()
}

/// `yyyy-MM-dd HH:mm:ss`, with a fraction of a second only where there is one.
fn hive_timestamp(time: chrono::NaiveDateTime) -> String {
    let micros = time.and_utc().timestamp_subsec_micros();
    let text = time.format("%Y-%m-%d %H:%M:%S").to_string();
    if micros == 0 {
        text
    } else {
        format!("{text}.{micros:06}").trim_end_matches('0').to_owned()
    }
}

fn test_list(list: &[(PartitionValue, String)], domain: &Domain, intervals: &[Interval]) -> Vec<Range<u128>> {
    let points: Option<BTreeSet<&PartitionValue>> = intervals.iter().map(Interval::as_point).collect();
    let holds = |value: &PartitionValue| match &points {
        Some(points) => points.contains(value),
        None => domain.contains(value),
    };
    (0_u128..)
        .zip(list)
        .filter(|(_, (value, _))| holds(value))
        .map(|(i, _)| i..i + 1)
        .collect()
}

/// Dates whose text does not sort like their time: points are read back, anything else is tested one by one.
fn find_unordered(
    times: &Times,
    format: &DateFormat,
    intervals: &[Interval],
) -> Result<Vec<Range<u128>>, TooManyToTest> {
    let all = 0..times.len();
    let mut found = Vec::new();
    let mut ranges = Vec::new();
    for interval in intervals {
        match interval.as_point() {
            Some(PartitionValue::Text(text)) => {
                let Ok(time) = format.read(text) else { continue };
                let index = first_where(&all, |i| times.at(i) >= time);
                // Reading forgives (`yyyy-M` takes 2020-01), so the text has to be the printed one.
                if index < all.end && times.at(index) == time && format.print(time) == *text {
                    found.push(index..index + 1);
                }
            }
            _ => ranges.push(interval),
        }
    }
    if !ranges.is_empty() {
        if all.end > MAX_TESTED {
            return Err(TooManyToTest);
        }
        found.extend(all.map(|i| i..i + 1).filter(|one| {
            let text = PartitionValue::Text(format.print(times.at(one.start)));
            ranges.iter().any(|interval| interval.contains(&text))
        }));
    }
    Ok(found)
}

fn merged(mut ranges: Vec<Range<u128>>) -> Selection {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out = Selection::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}
