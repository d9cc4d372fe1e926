//! The sentence for a filter that misses every value of a column: what was asked, and what is projected.

use chrono::{DateTime, Utc};

use super::ProjectedColumn;
use super::column::Rule;
use super::values::Values;
use crate::domain::{Bound, Domain, Interval};

/// Most points or intervals a notice spells out.
const MAX_SHOWN: usize = 5;
/// Longest list of enum values a notice repeats, in characters.
const MAX_LIST_CHARS: usize = 120;

/// Why no value of `column` is left; `None` where the filter contradicts itself.
pub(super) fn no_match(
    table: &str,
    column: &ProjectedColumn,
    values: &Values,
    domain: &Domain,
    now: DateTime<Utc>,
) -> Option<String> {
    if domain.is_none() {
        return None;
    }
    let Domain::Union(intervals) = domain else {
        return empty_range(table, column, now);
    };
    if values.len() == 0 {
        return empty_range(table, column, now);
    }
    let (suffix, written, resolved, grid) = match &column.rule {
        Rule::Enum(list) => {
            let texts: Vec<&str> = list.iter().map(|(_, text)| text.as_str()).collect();
            ("values", clipped(&texts.join(",")), None, String::new())
        }
        Rule::Integer(rule) => {
            let ends = (rule.digits > 0).then(|| ends(values));
            (
                "range",
                format!("{},{}", rule.min, rule.max),
                ends,
                every(&rule.interval.to_string()),
            )
        }
        Rule::Date(rule) => {
            let grid = every(&format!("{} {}", rule.interval, rule.unit.as_str()));
            ("range", rule.range.clone(), Some(ends(values)), grid)
        }
        Rule::Injected => return None,
    };
    let resolved = resolved
        .filter(|(first, last)| format!("{first},{last}") != written)
        .map(|(first, last)| format!(" ('{first}' to '{last}')"))
        .unwrap_or_default();
    let property = column.property(suffix);
    let asked = spelled(&column.name, intervals);
    Some(if lies_outside(column, values, intervals) {
        format!("no partition of {table} matches: {asked} lies outside {property} = '{written}'{resolved}")
    } else {
        format!(
            "no partition of {table} matches: {asked} meets no value of {property} = '{written}'{resolved}{grid}"
        )
    })
}

fn every(interval: &str) -> String {
    format!(", every {interval}")
}

fn empty_range(table: &str, column: &ProjectedColumn, now: DateTime<Utc>) -> Option<String> {
    let Rule::Date(rule) = &column.rule else {
        return None;
    };
    let (start, end) = rule.bounds(now).ok()?;
    Some(format!(
        "no partition of {table} matches: {} = '{}' is empty now, '{}' lies after '{}'",
        column.property("range"),
        rule.range,
        rule.format.print(start),
        rule.format.print(end)
    ))
}

/// First and last text, as they stand in locations.
fn ends(values: &Values) -> (String, String) {
    (
        values.item(0).path,
        values.item(values.len().saturating_sub(1)).path,
    )
}

/// Whether every interval ends before the first value or begins after the last one.
fn lies_outside(column: &ProjectedColumn, values: &Values, intervals: &[Interval]) -> bool {
    if matches!(column.rule, Rule::Enum(_)) || !values.is_rising() {
        return false;
    }
    let (first, last) = (values.value(0), values.value(values.len().saturating_sub(1)));
    intervals
        .iter()
        .all(|interval| !interval.below_high(&first) || !interval.above_low(&last))
}

/// The filter as SQL.
fn spelled(name: &str, intervals: &[Interval]) -> String {
    let more = |left: usize| {
        if left > 0 {
            format!(" and {left} more")
        } else {
            String::new()
        }
    };
    let left = intervals.len().saturating_sub(MAX_SHOWN);
    let points: Option<Vec<String>> = intervals
        .iter()
        .take(MAX_SHOWN)
        .map(|i| i.as_point().map(|p| clipped(&p.sql_literal())))
        .collect();
    match points {
        Some(points) if points.len() == 1 && left == 0 => format!("{name} = {}", points.concat()),
        Some(points) => format!("{name} IN ({}{})", points.join(", "), more(left)),
        None => {
            let parts: Vec<String> = intervals
                .iter()
                .take(MAX_SHOWN)
                .map(|interval| spelled_interval(name, interval))
                .collect();
            format!("{}{}", parts.join(" OR "), more(left))
        }
    }
}

fn spelled_interval(name: &str, interval: &Interval) -> String {
    if let Some(point) = interval.as_point() {
        return format!("{name} = {}", clipped(&point.sql_literal()));
    }
    let side = |bound: &Bound, included: &str, excluded: &str| match bound {
        Bound::Unbounded => None,
        Bound::Included(value) => Some(format!("{name} {included} {}", clipped(&value.sql_literal()))),
        Bound::Excluded(value) => Some(format!("{name} {excluded} {}", clipped(&value.sql_literal()))),
    };
    let sides: Vec<String> = side(&interval.low, ">=", ">")
        .into_iter()
        .chain(side(&interval.high, "<=", "<"))
        .collect();
    if sides.is_empty() {
        format!("{name} IS NOT NULL")
    } else {
        sides.join(" AND ")
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(MAX_LIST_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
