//! Projection against brute force: an enumeration written without any of this module's code, filtered by
//! membership, must equal what `expand` yields, for random definitions and filters.

use std::collections::HashSet;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use proptest::prelude::*;
use proptest::sample::Index;

use super::date_format::DateFormat;
use super::{ProjectionSpec, hive_location};
use crate::domain::{Bound, Domain, Domains, Interval, PartitionValue};
use crate::error::CatalogError;
use crate::model::{Column, StorageDescriptor, Table};

/// Java pattern, the same for chrono, and the count of fields from the year down that it shows.
const FORMATS: [(&str, &str, u32); 16] = [
    ("yyyy", "%Y", 1),
    ("yy", "%y", 1),
    ("yyyy-MM", "%Y-%m", 2),
    ("MMMM yyyy", "%B %Y", 2),
    ("yyyy-MM-dd", "%Y-%m-%d", 3),
    ("yyyyMMdd", "%Y%m%d", 3),
    ("dd-MM-yyyy", "%d-%m-%Y", 3),
    ("yyyy/M/d", "%Y/%-m/%-d", 3),
    ("MMM d u", "%b %-d %Y", 3),
    ("yyyy-DDD", "%Y-%j", 3),
    ("yyyyMM/'day 'dd/HH", "%Y%m/day %d/%H", 4),
    ("yyyy-MM-dd hh a", "%Y-%m-%d %I %p", 4),
    ("yyyy-MM-dd'T'HH:mm", "%Y-%m-%dT%H:%M", 5),
    ("HH:mm:ss yyyy-MM-dd", "%H:%M:%S %Y-%m-%d", 6),
    ("yyyyMMddHHmmss", "%Y%m%d%H%M%S", 6),
    ("yyyy-MM-dd HH:mm:ss.SSS", "%Y-%m-%d %H:%M:%S%.3f", 7),
];

const UNITS: [(&str, i64); 8] = [
    ("YEARS", -12),
    ("MONTHS", -1),
    ("WEEKS", 604_800_000),
    ("DAYS", 86_400_000),
    ("HOURS", 3_600_000),
    ("MINUTES", 60_000),
    ("SECONDS", 1_000),
    ("MILLIS", 1),
];

/// One projected column as properties, and its values by brute force.
#[derive(Debug, Clone)]
struct Model {
    data_type: &'static str,
    properties: Vec<(&'static str, String)>,
    /// Typed value and the text in a location.
    values: Vec<(PartitionValue, String)>,
}

fn enumeration() -> impl Strategy<Value = Model> {
    (prop::collection::vec("[a-c0-9 .%$]{1,3}", 1..8), any::<bool>()).prop_map(|(texts, numbers)| {
        let texts: Vec<String> = if numbers {
            texts
                .iter()
                .map(|text| text.bytes().map(i64::from).sum::<i64>().to_string())
                .collect()
        } else {
            texts.into_iter().map(|text| format!("v{text}")).collect()
        };
        let mut seen = HashSet::new();
        let values = texts
            .iter()
            .filter(|text| seen.insert((*text).clone()))
            .map(|text| match numbers {
                true => (PartitionValue::Integer(text.parse().unwrap()), text.clone()),
                false => (PartitionValue::Text(text.clone()), text.clone()),
            })
            .collect();
        let properties = vec![("type", "enum".to_owned()), ("values", texts.join(","))];
        Model {
            data_type: if numbers { "int" } else { "string" },
            properties,
            values,
        }
    })
}

fn integers() -> impl Strategy<Value = Model> {
    (
        -1_200_i64..1_200,
        0_i64..40,
        1_i64..60,
        0_usize..6,
        0_i64..60,
        any::<bool>(),
    )
        .prop_map(|(min, steps, interval, digits, rest, is_text)| {
            let max = min + steps * interval + rest % interval;
            let mut values = Vec::new();
            let mut value = min;
            while value <= max {
                let sign = if value < 0 { "-" } else { "" };
                let number = value.unsigned_abs().to_string();
                let zeros = "0".repeat(digits.saturating_sub(number.len() + sign.len()));
                let text = format!("{sign}{zeros}{number}");
                let typed = match is_text {
                    true => PartitionValue::Text(text.clone()),
                    false => PartitionValue::Integer(value),
                };
                values.push((typed, text));
                value += interval;
            }
            let mut properties = vec![
                ("type", "integer".to_owned()),
                ("range", format!("{min},{max}")),
                ("interval", interval.to_string()),
            ];
            if digits > 0 {
                properties.push(("digits", digits.to_string()));
            }
            Model {
                data_type: if is_text { "string" } else { "bigint" },
                properties,
                values,
            }
        })
}

fn aligned(time: NaiveDateTime, fields: u32) -> NaiveDateTime {
    let keep = |at: u32, value: u32, least: u32| if fields >= at { value } else { least };
    NaiveDate::from_ymd_opt(time.year(), keep(2, time.month(), 1), keep(3, time.day(), 1))
        .unwrap()
        .and_hms_milli_opt(
            keep(4, time.hour(), 0),
            keep(5, time.minute(), 0),
            keep(6, time.second(), 0),
            keep(7, time.nanosecond() / 1_000_000, 0),
        )
        .unwrap()
}

fn dates() -> impl Strategy<Value = Model> {
    // 2001 to 2060: with 1,716 weeks on top two-digit years still mean what they say.
    let seconds = 980_000_000_i64..2_850_000_000;
    (
        0..FORMATS.len(),
        seconds,
        0_i64..999,
        0..UNITS.len(),
        1_i64..45,
        0_i64..40,
        0_usize..3,
    )
        .prop_map(|(format, seconds, millis, unit, interval, steps, column)| {
            let ((java, chrono_format, fields), (unit, size)) = (FORMATS[format], UNITS[unit]);
            // Years are counted in few steps: the range must stay before 2100.
            let interval = if size == -12 { 1 } else { interval };
            let steps = if size == -12 {
                steps % 9
            } else if size == -1 {
                steps % 3
            } else {
                steps
            };
            let next = |time: NaiveDateTime, count: i64| match size {
                ..0 => time + Months::new(u32::try_from(-size * count).unwrap()),
                _ => time + TimeDelta::milliseconds(size * count),
            };
            let start = DateTime::from_timestamp_millis(seconds * 1_000 + millis)
                .unwrap()
                .naive_utc();
            let start = aligned(start, fields);
            let end = aligned(next(start, steps * interval), fields);
            let print = |time: NaiveDateTime| time.format(chrono_format).to_string();
            let data_type = ["string", "date", "timestamp"][column];
            let (mut values, mut seen, mut time) = (Vec::new(), HashSet::new(), start);
            while time <= end {
                let (text, shown) = (print(time), aligned(time, fields).and_utc());
                if seen.insert(text.clone()) {
                    let typed = match data_type {
                        "date" => PartitionValue::Date((shown.timestamp().div_euclid(86_400)) as i32),
                        "timestamp" => PartitionValue::Timestamp(shown.timestamp_micros()),
                        _ => PartitionValue::Text(text.clone()),
                    };
                    values.push((typed, text));
                }
                time = next(time, interval);
            }
            let properties = vec![
                ("type", "date".to_owned()),
                ("format", java.to_owned()),
                ("range", format!("{},{}", print(start), print(end))),
                ("interval", interval.to_string()),
                ("interval.unit", unit.to_owned()),
            ];
            Model {
                data_type,
                properties,
                values,
            }
        })
}

/// How one bound is drawn: none, or near a value of the column.
#[derive(Debug, Clone)]
struct Draw {
    kind: u8,
    near: Index,
    change: u8,
}

fn draw() -> impl Strategy<Value = Draw> {
    (0_u8..5, any::<Index>(), 0_u8..10).prop_map(|(kind, near, change)| Draw { kind, near, change })
}

/// `None` for no constraint; else intervals, where `true` makes a point of the first bound.
type DomainDraw = Option<Vec<(Draw, Draw, bool)>>;

fn near(draw: &Draw, model: &Model) -> PartitionValue {
    let value = draw.near.get(&model.values).0.clone();
    match (draw.change, value) {
        (0, PartitionValue::Text(text)) => PartitionValue::Text(text + "0"),
        (1, PartitionValue::Text(mut text)) => {
            text.pop();
            PartitionValue::Text(text)
        }
        (2, PartitionValue::Text(text)) => PartitionValue::Text(text.replace('0', "1")),
        (0, PartitionValue::Integer(n)) => PartitionValue::Integer(n + 1),
        (1, PartitionValue::Integer(n)) => PartitionValue::Integer(n - 1),
        (0, PartitionValue::Date(n)) => PartitionValue::Date(n + 1),
        (1, PartitionValue::Date(n)) => PartitionValue::Date(n - 1),
        (0, PartitionValue::Timestamp(n)) => PartitionValue::Timestamp(n + 1),
        (1, PartitionValue::Timestamp(n)) => PartitionValue::Timestamp(n - 1),
        // A value of another type: membership is still defined, and must still agree.
        (3, _) => PartitionValue::Integer(5),
        (4, _) => PartitionValue::Text("5".to_owned()),
        (_, value) => value,
    }
}

fn domain(draws: &DomainDraw, model: &Model) -> Domain {
    let Some(draws) = draws else { return Domain::All };
    let bound = |draw: &Draw| match draw.kind {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Included(near(draw, model)),
        _ => Bound::Excluded(near(draw, model)),
    };
    Domain::Union(
        draws
            .iter()
            .map(|(low, high, point)| match point {
                true => Interval::point(near(low, model)),
                false => Interval {
                    low: bound(low),
                    high: bound(high),
                },
            })
            .collect(),
    )
}

fn column_case() -> impl Strategy<Value = (Model, DomainDraw)> {
    let model = prop_oneof![1 => enumeration(), 2 => integers(), 3 => dates()];
    let intervals = prop::collection::vec((draw(), draw(), any::<bool>()), 0..5);
    (model, prop::option::weighted(0.8, intervals))
}

fn table(models: &[&Model], template: bool) -> Table {
    let mut table = Table {
        name: "t".to_owned(),
        database_name: "d".to_owned(),
        storage_descriptor: StorageDescriptor {
            location: Some("s3://b/base".to_owned()),
            ..StorageDescriptor::default()
        },
        ..Table::default()
    };
    table
        .parameters
        .insert("projection.enabled".to_owned(), "true".to_owned());
    let mut path = "s3://b".to_owned();
    for (at, model) in models.iter().enumerate() {
        let name = format!("c{at}");
        for (suffix, value) in &model.properties {
            table
                .parameters
                .insert(format!("projection.{name}.{suffix}"), value.clone());
        }
        path += &format!("/${{{name}}}");
        table.partition_keys.push(Column {
            name,
            data_type: model.data_type.to_owned(),
            comment: None,
        });
    }
    if template {
        table
            .parameters
            .insert("storage.location.template".to_owned(), path);
    }
    table
}

/// Values and location of every combination, the last column fastest.
fn product(
    table: &Table,
    columns: &[Vec<(PartitionValue, String)>],
    template: bool,
) -> Vec<(Vec<PartitionValue>, String)> {
    let mut rows: Vec<Vec<(PartitionValue, String)>> = vec![Vec::new()];
    for column in columns {
        rows = rows
            .iter()
            .flat_map(|row| {
                column
                    .iter()
                    .map(|v| [row.as_slice(), std::slice::from_ref(v)].concat())
            })
            .collect();
    }
    rows.into_iter()
        .map(|row| {
            let (values, texts): (Vec<_>, Vec<_>) = row.into_iter().unzip();
            let location = match template {
                true => format!("s3://b/{}/", texts.join("/")),
                false => hive_location("s3://b/base", &table.partition_keys, &texts),
            };
            (values, location)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn expansion_is_the_enumeration_filtered_by_membership(
        cases in prop::collection::vec(column_case(), 1..4),
        template in any::<bool>(),
    ) {
        let models: Vec<&Model> = cases.iter().map(|(model, _)| model).collect();
        let table = table(&models, template);
        let spec = ProjectionSpec::parse(&table).unwrap().unwrap();
        let mut domains = Domains::new();
        for (at, (model, draws)) in cases.iter().enumerate() {
            domains.insert(format!("c{at}"), domain(draws, model));
        }
        let left: Vec<Vec<_>> = models
            .iter()
            .zip(domains.values())
            .map(|(model, domain)| model.values.iter().filter(|(v, _)| domain.contains(v)).cloned().collect())
            .collect();
        let expected = product(&table, &left, template);
        let total: usize = models.iter().map(|model| model.values.len()).product();

        let expansion = spec.expand(&domains, DateTime::<Utc>::UNIX_EPOCH, u64::MAX).unwrap();
        prop_assert_eq!(expansion.total, Some(total as u64));
        prop_assert_eq!(expansion.selected, expected.len() as u64);
        let found: Vec<_> = expansion.map(|p| (p.values, p.location)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_product_is_counted_exactly_and_refused_beyond_the_limit(
        sizes in prop::collection::vec(1_i64..=i64::MAX, 1..4),
        limit in any::<u64>(),
    ) {
        let models: Vec<Model> = sizes
            .iter()
            .map(|size| {
                let properties = vec![("type", "integer".to_owned()), ("range", format!("1,{size}"))];
                Model { data_type: "bigint", properties, values: Vec::new() }
            })
            .collect();
        let spec = ProjectionSpec::parse(&table(&models.iter().collect::<Vec<_>>(), true)).unwrap().unwrap();
        let product = sizes.iter().fold(1_u128, |p, size| p.saturating_mul(u128::try_from(*size).unwrap()));
        match spec.expand(&Domains::new(), DateTime::<Utc>::UNIX_EPOCH, limit) {
            Ok(expansion) => prop_assert_eq!(u128::from(expansion.selected), product),
            Err(CatalogError::TooManyPartitions { count, .. }) => {
                prop_assert!(product > u128::from(limit));
                if product < u128::MAX {
                    prop_assert_eq!(count, product.to_string());
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn printed_dates_read_back_truncated_and_sort_where_promised(
        format in 0..FORMATS.len() + 4,
        seconds in prop::collection::vec(946_684_800_i64..4_102_444_800, 2),
        nanos in prop::collection::vec(0_u32..1_000_000_000, 2),
    ) {
        let more = ["yyyyMMddHHmmssSSSSSSSSS", "yyyy-MM-dd-HH-mm-ss-n", "yyyyDDDHHmm", "dMMyyyy''h'o''clock'a"];
        let java = FORMATS.get(format).map_or_else(|| more[format - FORMATS.len()], |(java, ..)| *java);
        let format = DateFormat::parse(java).unwrap();
        let times: Vec<NaiveDateTime> = seconds
            .iter()
            .zip(&nanos)
            .map(|(s, n)| format.truncate(DateTime::from_timestamp(*s, *n).unwrap().naive_utc()))
            .collect();
        let texts: Vec<String> = times.iter().map(|time| format.print(*time)).collect();
        for (time, text) in times.iter().zip(&texts) {
            prop_assert_eq!(format.read(text), Ok(*time), "{} {}", java, text);
        }
        if format.is_ordered() {
            prop_assert_eq!(times[0].cmp(&times[1]), texts[0].cmp(&texts[1]));
        }
    }

    #[test]
    fn no_property_text_panics(
        kind in prop_oneof![Just("enum"), Just("integer"), Just("date"), Just("injected")],
        format in "[yuMdDHhamsSn'/: \\-YZ\\[0-9]{0,12}|\\PC{0,6}",
        range in "(NOW ?[+-] ?[0-9]{1,20} ?(DAY|YEARS|MONTHS|SECONDS)|[0-9 :/\\-]{0,20}|\\PC{0,6}),(NOW|[0-9/:\\-]{0,20})",
        interval in "-?[0-9]{0,20}",
        unit in prop_oneof![Just("YEARS"), Just("months"), Just("WEEKS"), Just("MILLIS"), Just("x")],
        template in "s3://b/(\\$\\{c0\\}|\\$|\\{|\\}|/|\\.|[a-z]){0,6}",
    ) {
        let properties = vec![
            ("type", kind.to_owned()),
            ("format", format),
            ("range", range.clone()),
            ("values", range),
            ("interval", interval.clone()),
            ("digits", interval),
            ("interval.unit", unit.to_owned()),
        ];
        let mut table = table(&[&Model { data_type: "string", properties, values: Vec::new() }], false);
        for template in [None, Some(template)] {
            if let Some(template) = template {
                table.parameters.insert("storage.location.template".to_owned(), template);
            }
            if let Ok(Some(spec)) = ProjectionSpec::parse(&table) {
                let now = "2026-11-21T10:37:05Z".parse().unwrap();
                if let Ok(expansion) = spec.expand(&Domains::new(), now, 10_000_000) {
                    let selected = expansion.selected;
                    prop_assert_eq!(expansion.take(100).count() as u64, selected.min(100));
                }
            }
        }
    }
}
