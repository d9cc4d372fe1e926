//! Projection by example: Athena's documented cases, Trino's refusals, and the edges neither of them tests.

use chrono::{DateTime, NaiveDate, TimeZone, Utc};

use super::{Expansion, ProjectedPartition, ProjectionSpec};
use crate::domain::{Bound, Domain, Domains, Interval, PartitionValue};
use crate::error::CatalogError;
use crate::model::{Column, StorageDescriptor, Table};

type Properties<'a> = &'a [(&'a str, &'a str)];

const LIMIT: u64 = 1_000_000;

fn clock() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 10, 37, 5).unwrap()
}

fn column(name: &str, data_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        comment: None,
    }
}

/// `sales.events` at `s3://b/t` with one data column `id`; `keys` as `region string, year int`.
pub(super) fn table(keys: &str, properties: &[(&str, &str)]) -> Table {
    let mut parameters: crate::model::Parameters = properties
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    parameters
        .entry("projection.enabled".to_owned())
        .or_insert_with(|| "true".to_owned());
    Table {
        name: "events".to_owned(),
        database_name: "sales".to_owned(),
        storage_descriptor: StorageDescriptor {
            columns: vec![column("id", "bigint")],
            location: Some("s3://b/t".to_owned()),
            ..StorageDescriptor::default()
        },
        partition_keys: keys
            .split(", ")
            .filter(|key| !key.is_empty())
            .map(|key| key.split_once(' ').map(|(n, t)| column(n, t)).unwrap())
            .collect(),
        parameters,
        ..Table::default()
    }
}

fn spec(keys: &str, properties: &[(&str, &str)]) -> ProjectionSpec {
    ProjectionSpec::parse(&table(keys, properties)).unwrap().unwrap()
}

/// Properties of one date column `dt`.
pub(super) fn date<'a>(format: &'a str, range: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("projection.dt.type", "date"),
        ("projection.dt.format", format),
        ("projection.dt.range", range),
    ]
}

pub(super) fn integer<'a>(range: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [
        &[("projection.n.type", "integer"), ("projection.n.range", range)],
        more,
    ]
    .concat()
}

pub(super) fn with<'a>(
    mut properties: Vec<(&'a str, &'a str)>,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    properties.extend(more);
    properties
}

fn expand(spec: &ProjectionSpec, domains: &Domains) -> Expansion {
    spec.expand(domains, clock(), LIMIT).unwrap()
}

fn all(spec: &ProjectionSpec) -> Vec<ProjectedPartition> {
    expand(spec, &Domains::new()).collect()
}

fn texts(expansion: impl IntoIterator<Item = ProjectedPartition>) -> Vec<String> {
    expansion.into_iter().map(|p| p.texts.join("/")).collect()
}

fn locations(expansion: impl IntoIterator<Item = ProjectedPartition>) -> Vec<String> {
    expansion.into_iter().map(|p| p.location).collect()
}

fn text(value: &str) -> PartitionValue {
    PartitionValue::Text(value.to_owned())
}

fn only(column: &str, domain: Domain) -> Domains {
    Domains::from([(column.to_owned(), domain)])
}

fn one_of(column: &str, values: &[&str]) -> Domains {
    let points = values.iter().map(|v| Interval::point(text(v))).collect();
    only(column, Domain::Union(points))
}

fn year_is(year: i64) -> Domains {
    only("n", Domain::point(PartitionValue::Integer(year)))
}

fn between(low: Bound, high: Bound) -> Domain {
    Domain::Union(vec![Interval { low, high }])
}

fn enum_region() -> Vec<(&'static str, &'static str)> {
    vec![
        ("projection.region.type", "enum"),
        ("projection.region.values", "us,eu,asia"),
    ]
}

#[test]
fn rows_1_to_3_enum_values_lie_below_the_location_and_keep_their_spaces() {
    let spec_ = spec("region string", &enum_region());
    assert_eq!(
        locations(all(&spec_)),
        [
            "s3://b/t/region=us/",
            "s3://b/t/region=eu/",
            "s3://b/t/region=asia/"
        ]
    );
    let mut slashed = table("region string", &enum_region());
    slashed.storage_descriptor.location = Some("s3://b/t/".to_owned());
    let slashed = ProjectionSpec::parse(&slashed).unwrap().unwrap();
    assert_eq!(
        locations(expand(&slashed, &one_of("region", &["us"]))),
        ["s3://b/t/region=us/"]
    );
    let spaces = spec(
        "c string",
        &[("projection.c.type", "enum"), ("projection.c.values", "A, B,,A,")],
    );
    assert_eq!(texts(all(&spaces)), ["A", " B"]);
}

#[test]
fn rows_4_to_11_integers_step_from_the_minimum() {
    let cases: [(&str, Properties<'_>, &[&str]); 6] = [
        ("1,3", &[], &["1", "2", "3"]),
        ("1,3", &[("projection.n.interval", "2")], &["1", "3"]),
        (" 1 , 3 ", &[("projection.n.digits", "2")], &["01", "02", "03"]),
        ("0,10", &[("projection.n.interval", "3")], &["0", "3", "6", "9"]),
        ("5,5", &[], &["5"]),
        (
            "-2,1",
            &[("projection.n.digits", "3")],
            &["-02", "-01", "000", "001"],
        ),
    ];
    for keys in [
        "n int",
        "n string",
        "n bigint",
        "n tinyint",
        "n smallint",
        "n varchar(9)",
    ] {
        for (range, more, expected) in cases {
            assert_eq!(
                texts(all(&spec(keys, &integer(range, more)))),
                expected,
                "{keys} {range}"
            );
        }
    }
    let zeros = spec("n int", &integer("0001,9999", &[]));
    let found: Vec<_> = expand(&zeros, &year_is(7)).collect();
    assert_eq!(found[0].values, [PartitionValue::Integer(7)]);
    assert_eq!(locations(found), ["s3://b/t/n=7/"]);
    let years = spec("n int", &integer("2020,2030", &[("projection.n.interval", "5")]));
    for year in [2023, 2019, 2031] {
        let expansion = expand(&years, &year_is(year));
        assert_eq!((expansion.selected, expansion.total), (0, Some(3)));
        assert_eq!(expansion.count(), 0);
    }
}

#[test]
fn row_12_columns_make_a_product_with_the_last_one_fastest() {
    let product = spec(
        "n int, region string",
        &with(
            integer("2023,2024", &[]),
            &[
                ("projection.region.type", "ENUM"),
                ("projection.region.values", "us,eu"),
            ],
        ),
    );
    assert_eq!(texts(all(&product)), ["2023/us", "2023/eu", "2024/us", "2024/eu"]);
    assert_eq!(expand(&product, &Domains::new()).total, Some(4));
}

#[test]
fn rows_13_to_32_dates_default_to_the_unit_of_their_format() {
    let unit = "projection.dt.interval.unit";
    let interval = "projection.dt.interval";
    let cases: [(&str, &str, Properties<'_>, &[&str]); 9] = [
        (
            "yyyy-MM-dd",
            "2020-01-01,2020-01-03",
            &[],
            &["2020-01-01", "2020-01-02", "2020-01-03"],
        ),
        (
            "yyyy-MM",
            "2022-01,2022-03",
            &[],
            &["2022-01", "2022-02", "2022-03"],
        ),
        ("yyyy", "2020,2023", &[], &["2020", "2021", "2022", "2023"]),
        (
            "yyyy-MM-dd HH:mm:ss",
            "2020-01-01 00:00:00,2020-01-01 00:00:06",
            &[(unit, "seconds"), (interval, "2")],
            &[
                "2020-01-01 00:00:00",
                "2020-01-01 00:00:02",
                "2020-01-01 00:00:04",
                "2020-01-01 00:00:06",
            ],
        ),
        ("yyyy", "NOW-3YEARS,NOW", &[], &["2023", "2024", "2025", "2026"]),
        (
            "yyyy-MM",
            "NOW-2MONTHS,NOW",
            &[],
            &["2026-09", "2026-10", "2026-11"],
        ),
        (
            "yyyy/MM/dd/HH",
            "NOW-2HOURS,NOW",
            &[(unit, "HOURS"), (interval, "1")],
            &["2026/11/21/08", "2026/11/21/09", "2026/11/21/10"],
        ),
        (
            "yyyy-MM-dd",
            " NOW - 3 DAYS , NOW ",
            &[(interval, "2")],
            &["2026-11-18", "2026-11-20"],
        ),
        (
            "yyyy-MM-dd",
            "NOW-1DAY,NOW+1\tDAYS",
            &[],
            &["2026-11-20", "2026-11-21", "2026-11-22"],
        ),
    ];
    for (format, range, more, expected) in cases {
        assert_eq!(
            texts(all(&spec("dt string", &with(date(format, range), more)))),
            expected,
            "{format} {range}"
        );
    }
    let months = texts(all(&spec("dt string", &date("yyyyMM", "201701,201812"))));
    assert_eq!(
        (months.len(), months[0].as_str(), months[23].as_str()),
        (24, "201701", "201812")
    );
    let seconds = with(
        date("yyyy-MM-dd HH:mm:ss", "NOW-5MINUTES,NOW"),
        &[(unit, "SECONDS")],
    );
    assert_eq!(all(&spec("dt string", &seconds)).len(), 301);
    let outside = expand(
        &spec("dt string", &date("yyyy-MM-dd", "2020-01-01,2020-01-03")),
        &one_of("dt", &["2222-01-01"]),
    );
    assert_eq!((outside.selected, outside.total), (0, Some(3)));
}

#[test]
fn row_35_a_text_range_selects_hours_below_a_template() {
    let hours = with(
        date("yyyy/MM/dd/HH", "2021/01/01/00,NOW"),
        &[
            ("projection.dt.interval.unit", "HOURS"),
            ("storage.location.template", "s3://b/p/${dt}/"),
        ],
    );
    let range = between(
        Bound::Included(text("2020/12/15/00")),
        Bound::Excluded(text("2021/02/03/15")),
    );
    let expansion = expand(&spec("dt string", &hours), &only("dt", range));
    assert_eq!(expansion.selected, 807);
    let found = locations(expansion);
    assert_eq!(
        (found.len(), found[0].as_str(), found[806].as_str()),
        (807, "s3://b/p/2021/01/01/00/", "s3://b/p/2021/02/03/14/")
    );
    let wrong_format = expand(&spec("dt string", &hours), &one_of("dt", &["2021-11-09"]));
    assert_eq!(wrong_format.selected, 0);
}

fn device(template: bool) -> ProjectionSpec {
    let mut properties = vec![("projection.device_id.type", "injected")];
    if template {
        properties.push(("storage.location.template", "s3://b/prefix/${device_id}"));
    }
    spec("device_id string", &properties)
}

#[test]
fn rows_38_and_39_injected_values_come_from_the_filter() {
    let expansion = expand(&device(true), &one_of("device_id", &["c", "a", "c"]));
    assert_eq!((expansion.total, expansion.selected), (None, 2));
    assert_eq!(locations(expansion), ["s3://b/prefix/c/", "s3://b/prefix/a/"]);
    assert_eq!(
        locations(expand(&device(false), &one_of("device_id", &["a=b c"]))),
        ["s3://b/t/device_id=a%3Db c/"]
    );
    assert_eq!(
        expand(&device(true), &only("device_id", Domain::NONE)).selected,
        0
    );
}

#[test]
fn rows_40_and_41_injected_columns_refuse_anything_but_a_list_of_1000_values() {
    let sentence = "For the injected projected partition column device_id, the WHERE clause must contain only \
                    static equality conditions, and at least one such condition must be present.";
    let refusal = |domains: &Domains| match device(true).expand(domains, clock(), LIMIT).unwrap_err() {
        error @ CatalogError::InjectedFilter { .. } => {
            let text = error.to_string();
            assert!(
                text.starts_with(sentence) && text.ends_with(" (table sales.events)"),
                "{text}"
            );
            text
        }
        other => panic!("{other}"),
    };
    refusal(&Domains::new());
    refusal(&only(
        "device_id",
        between(Bound::Excluded(text("a")), Bound::Unbounded),
    ));
    refusal(&only(
        "device_id",
        between(Bound::Included(text("a")), Bound::Excluded(text("b"))),
    ));
    let mixed = Domain::point(text("x")).union(&between(Bound::Excluded(text("y")), Bound::Unbounded));
    refusal(&only("device_id", mixed));
    let many: Vec<String> = (0..1_001).map(|i| format!("v{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        expand(&device(true), &one_of("device_id", &many[..1_000])).selected,
        1_000
    );
    let unusable = "Predicates provided cannot be converted to a valid partition.";
    assert!(refusal(&one_of("device_id", &many)).contains(unusable));
    assert!(refusal(&only("device_id", Domain::point(PartitionValue::Integer(1)))).contains(unusable));
}

#[test]
fn injected_values_cannot_leave_their_segment() {
    let long = "x".repeat(1_025);
    let refused = [
        "",
        ".",
        "..",
        "../x",
        "a/../../b",
        "a/b",
        "/",
        "%2e%2e",
        "%2E.",
        "%252e",
        "a%2fb",
        "a\0b",
        "a\nb",
        "a\u{85}b",
        "a%00b",
        "a\\b",
        "%5c",
        &long,
    ];
    for template in [true, false] {
        for value in refused {
            let error = device(template)
                .expand(&one_of("device_id", &[value]), clock(), LIMIT)
                .unwrap_err();
            assert!(
                matches!(error, CatalogError::InjectedFilter { .. }),
                "{value:?}: {error}"
            );
        }
    }
    let literal = [
        "a?versionId=1",
        "#",
        "${device_id}",
        "$",
        "100%",
        "%zz",
        "...",
        "a..b",
        "\u{e9}",
        "x*[y]",
    ];
    for value in literal {
        let found = locations(expand(&device(true), &one_of("device_id", &[value])));
        assert_eq!(found, [format!("s3://b/prefix/{value}/")]);
    }
    assert_eq!(
        expand(&device(true), &one_of("device_id", &[&long[..1_024]])).selected,
        1
    );
}

#[test]
fn substituted_values_are_not_expanded_again() {
    let two = spec(
        "a string, b string",
        &[
            ("projection.a.type", "injected"),
            ("projection.b.type", "enum"),
            ("projection.b.values", "${a},secret"),
            ("storage.location.template", "s3://b/${a}/${b}/${a}"),
        ],
    );
    assert_eq!(
        locations(expand(&two, &one_of("a", &["${b}"]))),
        ["s3://b/${b}/${a}/${b}/", "s3://b/${b}/secret/${b}/"]
    );
}

#[test]
fn rows_44_and_46_configuration_decides_whether_projection_is_used() {
    let error = ProjectionSpec::parse(&table("n int, b string, c string", &integer("1,2", &[]))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Table sales.events is configured for partition projection, but the following partition columns are \
         missing projection configuration: [b, c] (table sales.events)"
    );
    for (value, on) in [("false", false), ("TRUE", true), ("yes", false)] {
        let parsed =
            ProjectionSpec::parse(&table("n int", &integer("1,2", &[("projection.enabled", value)])));
        assert_eq!(parsed.unwrap().is_some(), on, "{value}");
    }
    let mut absent = table("n int", &integer("nonsense", &[]));
    absent.parameters.remove("projection.enabled");
    assert!(ProjectionSpec::parse(&absent).unwrap().is_none());
    let mut view = table("n int", &integer("nonsense", &[]));
    view.table_type = Some("VIRTUAL_VIEW".to_owned());
    assert!(ProjectionSpec::parse(&view).unwrap().is_none());
}

#[test]
fn row_47_the_product_of_four_columns_stays_below_a_million() {
    let apps: Vec<String> = (0..15).map(|i| format!("app{i}")).collect();
    let wide = spec(
        "app string, n int, month int, key string",
        &with(
            integer("2000,2036", &[]),
            &[
                ("projection.app.type", "enum"),
                ("projection.app.values", &apps.join(",")),
                ("projection.month.type", "integer"),
                ("projection.month.range", "1,12"),
                ("projection.month.digits", "2"),
                ("projection.key.type", "injected"),
            ],
        ),
    );
    let keys: Vec<String> = (0..97).map(|i| format!("k{i}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let expansion = expand(&wide, &one_of("key", &keys));
    assert_eq!((expansion.total, expansion.selected), (None, 646_020));
    assert_eq!(
        expansion.last().unwrap().location,
        "s3://b/t/app=app14/n=2036/month=12/key=k96/"
    );
}

#[test]
fn row_49_month_ends_drift_as_they_do_when_iterated() {
    let months = [("projection.dt.interval.unit", "MONTHS")];
    let drift = with(date("yyyy-MM-dd", "2020-01-31,2020-04-30"), &months);
    assert_eq!(
        texts(all(&spec("dt string", &drift))),
        ["2020-01-31", "2020-02-29", "2020-03-29", "2020-04-29"]
    );
    let years = with(
        date("yyyy-MM-dd", "2020-02-29,2024-12-31"),
        &[("projection.dt.interval.unit", "YEARS")],
    );
    assert_eq!(
        texts(all(&spec("dt string", &years))),
        [
            "2020-02-29",
            "2021-02-28",
            "2022-02-28",
            "2023-02-28",
            "2024-02-28"
        ]
    );
}

#[test]
fn names_in_keys_and_placeholders_match_without_regard_to_case() {
    let mixed = spec(
        "n int",
        &[
            ("projection.N.type", " Integer "),
            ("projection.N.range", "1,1"),
            ("storage.location.template", "s3://b/${N}/${n}"),
        ],
    );
    assert_eq!(locations(all(&mixed)), ["s3://b/1/1/"]);
}

#[test]
fn integers_reach_both_ends_of_64_bits() {
    let everything = "-9223372036854775808,9223372036854775807";
    for keys in ["n bigint", "n string"] {
        let whole = spec(keys, &integer(everything, &[]));
        let error = whole
            .expand(&Domains::new(), clock(), LIMIT)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("1000000 partitions (18446744073709551616); filter on n"),
            "{error}"
        );
        for number in [i64::MIN, -1, 0, 7, i64::MAX] {
            let value = if keys == "n string" {
                text(&number.to_string())
            } else {
                PartitionValue::Integer(number)
            };
            let expansion = expand(&whole, &only("n", Domain::point(value.clone())));
            assert_eq!((expansion.total, expansion.selected), (Some(u64::MAX), 1));
            let found: Vec<_> = expansion.collect();
            assert_eq!(found[0].values, [value]);
            assert_eq!(found[0].texts, [number.to_string()]);
        }
    }
    let wide = spec(
        "n bigint",
        &integer("0,3", &[("projection.n.interval", "9223372036854775807")]),
    );
    assert_eq!(texts(all(&wide)), ["0"]);
    let ends = spec(
        "n bigint",
        &integer(everything, &[("projection.n.interval", "9223372036854775807")]),
    );
    assert_eq!(
        texts(all(&ends)),
        ["-9223372036854775808", "-1", "9223372036854775806"]
    );
}

#[test]
fn text_filters_on_integers_compare_text() {
    let open = spec("n string", &integer("0,1000000000000", &[]));
    let range = between(Bound::Included(text("99998")), Bound::Excluded(text("99998001")));
    let expansion = expand(&open, &only("n", range));
    // 99998 to 99998000 in four lengths, then everything that begins with 99998000 up to 12 digits.
    assert_eq!(expansion.selected, 4 + 10 + 100 + 1_000 + 10_000);
    assert_eq!(
        texts(expansion.take(5)),
        ["99998", "999980", "9999800", "99998000", "999980000"]
    );
    let padded = spec("n string", &integer("0,23", &[("projection.n.digits", "2")]));
    assert_eq!(expand(&padded, &one_of("n", &["5"])).selected, 0);
    assert_eq!(
        texts(expand(&padded, &one_of("n", &["05", "23", "05"]))),
        ["05", "23"]
    );
    let overflow = spec("n string", &integer("98,101", &[("projection.n.digits", "2")]));
    assert_eq!(texts(all(&overflow)), ["98", "99", "100", "101"]);
    let low = between(Bound::Unbounded, Bound::Excluded(text("98")));
    assert_eq!(texts(expand(&overflow, &only("n", low))), ["100", "101"]);
}

#[test]
fn date_and_timestamp_columns_have_typed_values_and_formatted_locations() {
    let day = spec(
        "dt date",
        &date("yyyy/MM/dd", "2020-01-01,NOW".replace('-', "/").as_str()),
    );
    let wanted = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let days = PartitionValue::Date(i32::try_from((wanted - NaiveDate::default()).num_days()).unwrap());
    let found: Vec<_> = expand(&day, &only("dt", Domain::point(days.clone()))).collect();
    assert_eq!(
        found,
        [ProjectedPartition {
            values: vec![days],
            texts: vec!["2024-02-29".to_owned()],
            location: "s3://b/t/dt=2024%2F02%2F29/".to_owned(),
        }]
    );
    let stamps = with(
        date(
            "yyyy-MM-dd'T'HH:mm:ss.SSS",
            "2020-01-01T00:00:00.000,2020-01-01T00:00:00.500",
        ),
        &[
            ("projection.dt.interval.unit", "MILLISECONDS"),
            ("projection.dt.interval", "250"),
        ],
    );
    let found = all(&spec("dt timestamp", &stamps));
    let start = 1_577_836_800_000_000;
    let values: Vec<_> = found.iter().map(|p| p.values[0].clone()).collect();
    assert_eq!(
        values,
        [0, 250_000, 500_000].map(|us| PartitionValue::Timestamp(start + us))
    );
    assert_eq!(found[1].texts, ["2020-01-01 00:00:00.25"]);
    assert_eq!(found[0].texts, ["2020-01-01 00:00:00"]);
    assert_eq!(found[1].location, "s3://b/t/dt=2020-01-01T00%3A00%3A00.250/");
    // Hours of one day are different places with the same value.
    let hours = with(
        date("yyyy-MM-dd-HH", "2020-01-01-22,2020-01-02-01"),
        &[("projection.dt.interval.unit", "HOURS")],
    );
    let second = PartitionValue::Date(18_263);
    let found = locations(expand(
        &spec("dt date", &hours),
        &only("dt", Domain::point(second)),
    ));
    assert_eq!(
        found,
        ["s3://b/t/dt=2020-01-02-00/", "s3://b/t/dt=2020-01-02-01/"]
    );
}

#[test]
fn values_that_print_alike_count_once() {
    let unit = |unit| [("projection.dt.interval.unit", unit)];
    let months = |u| {
        texts(all(&spec(
            "dt string",
            &with(date("yyyy-MM", "2021-01,2021-04"), &unit(u)),
        )))
    };
    for finer in ["MILLIS", "SECONDS", "DAYS"] {
        assert_eq!(
            months(finer),
            ["2021-01", "2021-02", "2021-03", "2021-04"],
            "{finer}"
        );
    }
    // The end is 1 April 00:00:00; weeks from 1 January pass over it.
    assert_eq!(months("WEEKS"), ["2021-01", "2021-02", "2021-03"]);
    let thirty = with(
        date("yyyy-MM", "2021-01,2021-05"),
        &[
            ("projection.dt.interval.unit", "DAYS"),
            ("projection.dt.interval", "30"),
        ],
    );
    assert_eq!(
        texts(all(&spec("dt string", &thirty))),
        ["2021-01", "2021-03", "2021-04", "2021-05"]
    );
    let ninety = with(
        date("yyyy-MM-dd HH:mm", "2020-01-01 00:00,2020-01-01 00:06"),
        &[
            ("projection.dt.interval.unit", "SECONDS"),
            ("projection.dt.interval", "90"),
        ],
    );
    let minutes: Vec<String> = texts(all(&spec("dt string", &ninety)));
    assert_eq!(
        minutes,
        ["00:00", "00:01", "00:03", "00:04", "00:06"].map(|t| format!("2020-01-01 {t}"))
    );
    let fine = with(
        date("yyyy-MM-dd HH", "2020-01-01 00,2020-01-01 02"),
        &[
            ("projection.dt.interval.unit", "MINUTES"),
            ("projection.dt.interval", "7"),
        ],
    );
    // 02:00 itself is no multiple of 7 minutes after 00:00, so hour 02 is never reached.
    assert_eq!(
        texts(all(&spec("dt string", &fine))),
        ["2020-01-01 00", "2020-01-01 01"]
    );
    let repeated = spec(
        "c int",
        &[("projection.c.type", "enum"), ("projection.c.values", "1,2,1,01")],
    );
    assert_eq!(texts(all(&repeated)), ["1", "2", "01"]);
}

#[test]
fn weeks_step_from_the_start_and_a_day_off_the_grid_is_empty() {
    let weeks = with(
        date("yyyy-MM-dd", "2020-01-01,2020-01-20"),
        &[("projection.dt.interval.unit", "WEEKS")],
    );
    let weeks = spec("dt string", &weeks);
    assert_eq!(texts(all(&weeks)), ["2020-01-01", "2020-01-08", "2020-01-15"]);
    let expansion = expand(&weeks, &one_of("dt", &["2020-01-09"]));
    assert_eq!(expansion.selected, 0);
    assert_eq!(
        expansion.notices,
        [
            "no partition of sales.events matches: dt = '2020-01-09' meets no value of projection.dt.range = \
         '2020-01-01,2020-01-20' ('2020-01-01' to '2020-01-15'), every 1 WEEKS"
        ]
    );
}

#[test]
fn now_is_truncated_in_utc_at_every_kind_of_instant() {
    let at = |text: &str| -> DateTime<Utc> { text.parse().unwrap() };
    let cases = [
        (
            "yyyy-MM-dd",
            "NOW-1MONTHS,NOW-1MONTHS",
            "2024-03-31T23:59:59Z",
            "2024-02-29",
        ),
        (
            "yyyy-MM-dd",
            "NOW-1YEARS,NOW-1YEARS",
            "2024-02-29T00:00:00Z",
            "2023-02-28",
        ),
        (
            "yyyy-MM-dd",
            "NOW+1DAYS,NOW+1DAYS",
            "2024-12-31T23:59:59.999Z",
            "2025-01-01",
        ),
        ("yyyy", "NOW,NOW", "2026-01-01T00:00:00Z", "2026"),
        (
            "yyyy",
            "NOW-1SECONDS,NOW-1SECONDS",
            "2026-01-01T00:00:00.9Z",
            "2025",
        ),
        // The hour that summer time skips or repeats elsewhere is an hour like any other.
        (
            "yyyy-MM-dd-HH",
            "NOW-1HOURS,NOW-1HOURS",
            "2026-03-29T02:30:00Z",
            "2026-03-29-01",
        ),
        (
            "yyyy-MM-dd-HH",
            "NOW,NOW",
            "2026-10-25T01:59:59Z",
            "2026-10-25-01",
        ),
        (
            "yyyy-MM-dd",
            "NOW-2WEEKS,NOW-2WEEKS",
            "2024-03-07T12:00:00Z",
            "2024-02-22",
        ),
        (
            "yyyy-MM",
            "NOW-13MONTHS,NOW-13MONTHS",
            "2026-01-31T00:00:00Z",
            "2024-12",
        ),
        (
            "yyyy-MM-dd",
            "NOW-0DAYS,NOW",
            "2000-02-29T12:00:00Z",
            "2000-02-29",
        ),
    ];
    for (format, range, now, expected) in cases {
        let properties = with(date(format, range), &[("projection.dt.interval.unit", "HOURS")]);
        let found = spec("dt string", &properties)
            .expand(&Domains::new(), at(now), LIMIT)
            .unwrap();
        assert_eq!(texts(found), [expected], "{range} at {now}");
    }
}

#[test]
fn decades_of_seconds_cost_only_what_the_filter_selects() {
    let seconds = with(
        date("yyyy-MM-dd HH:mm:ss", "1970-01-01 00:00:00,9999-12-31 23:59:59"),
        &[("projection.dt.interval.unit", "SECONDS")],
    );
    let range = between(
        Bound::Included(text("2026-11-21 10")),
        Bound::Excluded(text("2026-11-21 10:00:03")),
    );
    let expansion = expand(&spec("dt string", &seconds), &only("dt", range));
    assert_eq!((expansion.total, expansion.selected), (Some(253_402_300_800), 3));
    assert_eq!(
        texts(expansion),
        [
            "2026-11-21 10:00:00",
            "2026-11-21 10:00:01",
            "2026-11-21 10:00:02"
        ]
    );
    let low = PartitionValue::Timestamp(1_000_000);
    let high = PartitionValue::Timestamp(3_000_001);
    let stamps = expand(
        &spec("dt timestamp", &seconds),
        &only("dt", between(Bound::Excluded(low), Bound::Included(high))),
    );
    assert_eq!(texts(stamps), ["1970-01-01 00:00:02", "1970-01-01 00:00:03"]);
}

#[test]
fn formats_that_do_not_sort_still_answer_by_text() {
    let german = spec(
        "dt string",
        &date(
            "dd.MM.yyyy",
            "2020-01-01,2020-12-31"
                .replace("2020-01-01", "01.01.2020")
                .replace("2020-12-31", "31.12.2020")
                .as_str(),
        ),
    );
    let range = between(Bound::Included(text("30.1")), Bound::Unbounded);
    assert_eq!(
        texts(expand(&german, &only("dt", range))),
        [
            "31.01.2020",
            "31.03.2020",
            "31.05.2020",
            "31.07.2020",
            "31.08.2020",
            "30.10.2020",
            "31.10.2020",
            "30.11.2020",
            "30.12.2020",
            "31.12.2020"
        ]
    );
    let points = one_of("dt", &["29.02.2020", "1.1.2020", "29.02.2021", "x"]);
    assert_eq!(texts(expand(&german, &points)), ["29.02.2020"]);
    let huge = with(
        date("HH:mm:ss dd.MM.yyyy", "00:00:00 01.01.1970,00:00:00 01.01.9999"),
        &[("projection.dt.interval.unit", "SECONDS")],
    );
    let huge = spec("dt string", &huge);
    assert_eq!(
        texts(expand(&huge, &one_of("dt", &["00:00:01 01.01.1970"]))),
        ["00:00:01 01.01.1970"]
    );
    let error = huge.expand(
        &only("dt", between(Bound::Unbounded, Bound::Included(text("01")))),
        clock(),
        LIMIT,
    );
    assert!(matches!(error, Err(CatalogError::TooManyPartitions { .. })));
}

#[test]
fn a_product_beyond_the_limit_is_refused_and_names_the_unfiltered_columns() {
    let wide = spec(
        "a bigint, n bigint, region string",
        &with(
            integer("1,1000000000", &[]),
            &[
                ("projection.a.type", "integer"),
                ("projection.a.range", "1,10000000000"),
                ("projection.region.type", "enum"),
                ("projection.region.values", "us,eu"),
            ],
        ),
    );
    let refusal = |domains: &Domains| match wide.expand(domains, clock(), LIMIT).unwrap_err() {
        CatalogError::TooManyPartitions {
            count,
            columns,
            limit: LIMIT,
            ..
        } => (count, columns.join(" ")),
        other => panic!("{other}"),
    };
    assert_eq!(
        refusal(&Domains::new()),
        ("20000000000000000000".to_owned(), "a n region".to_owned())
    );
    let a = Domain::point(PartitionValue::Integer(5));
    assert_eq!(
        refusal(&only("a", a.clone())),
        ("2000000000".to_owned(), "n region".to_owned())
    );
    let both = Domains::from([
        ("a".to_owned(), a),
        ("n".to_owned(), Domain::point(PartitionValue::Integer(7))),
    ]);
    let expansion = expand(&wide, &both);
    assert_eq!((expansion.total, expansion.selected), (Some(u64::MAX), 2));
    let exact = spec("n int", &integer("1,10", &[]));
    assert_eq!(exact.expand(&Domains::new(), clock(), 10).unwrap().count(), 10);
    assert!(exact.expand(&Domains::new(), clock(), 9).is_err());
}

#[test]
fn a_filter_that_misses_everything_says_so() {
    let notice = |spec: &ProjectionSpec, domains: &Domains| {
        let expansion = expand(spec, domains);
        assert_eq!(expansion.selected, 0);
        expansion.notices.join("; ")
    };
    let years = spec("n int", &integer("2020,2025", &[]));
    assert_eq!(
        notice(&years, &year_is(2026)),
        "no partition of sales.events matches: n = 2026 lies outside projection.n.range = '2020,2025'"
    );
    let above = between(Bound::Excluded(PartitionValue::Integer(2030)), Bound::Unbounded);
    assert!(notice(&years, &only("n", above)).contains("n > 2030 lies outside"));
    let recent = spec("dt string", &date("yyyy-MM-dd", "NOW-3DAYS,NOW"));
    assert_eq!(
        notice(&recent, &one_of("dt", &["2025-01-01", "2025-01-02"])),
        "no partition of sales.events matches: dt IN ('2025-01-01', '2025-01-02') lies outside \
         projection.dt.range = 'NOW-3DAYS,NOW' ('2026-11-18' to '2026-11-21')"
    );
    let region = spec("region string", &enum_region());
    assert_eq!(
        notice(&region, &one_of("region", &["mars"])),
        "no partition of sales.events matches: region = 'mars' meets no value of projection.region.values = 'us,eu,asia'"
    );
    let hour = spec("n string", &integer("0,23", &[("projection.n.digits", "2")]));
    assert_eq!(
        notice(&hour, &one_of("n", &["5"])),
        "no partition of sales.events matches: n = '5' lies outside projection.n.range = '0,23' ('00' to '23')"
    );
    let future = spec("dt string", &date("yyyy-MM-dd", "2027-01-01,NOW"));
    assert_eq!(
        notice(&future, &Domains::new()),
        "no partition of sales.events matches: projection.dt.range = '2027-01-01,NOW' is empty now, \
         '2027-01-01' lies after '2026-11-21'"
    );
    assert_eq!(notice(&years, &only("n", Domain::NONE)), "");
    assert!(expand(&years, &year_is(2020)).notices.is_empty());
}

#[test]
fn hive_null_is_no_projected_value() {
    let region = spec("region string", &enum_region());
    assert_eq!(
        expand(
            &region,
            &one_of("region", &[crate::model::HIVE_DEFAULT_PARTITION])
        )
        .selected,
        0
    );
}

#[test]
fn values_with_special_characters_are_escaped_below_the_location_and_literal_in_templates() {
    let values = ("projection.c.values", "a b,x/y,$1,c\\d,100%");
    let hive = spec("c string", &[("projection.c.type", "enum"), values]);
    assert_eq!(
        locations(all(&hive)),
        [
            "s3://b/t/c=a b/",
            "s3://b/t/c=x%2Fy/",
            "s3://b/t/c=$1/",
            "s3://b/t/c=c%5Cd/",
            "s3://b/t/c=100%25/"
        ]
    );
    let template = ("storage.location.template", "s3://b/$/${c}//z");
    let literal = spec("c string", &[("projection.c.type", "enum"), values, template]);
    assert_eq!(
        locations(all(&literal)),
        [
            "s3://b/$/a b//z/",
            "s3://b/$/x/y//z/",
            "s3://b/$/$1//z/",
            "s3://b/$/c\\d//z/",
            "s3://b/$/100%//z/"
        ]
    );
}

#[test]
fn describe_has_one_line_per_column() {
    let spec = spec(
        "region string, n int, dt date, device string",
        &with(
            with(integer("1,12", &[("projection.n.digits", "2")]), &enum_region()),
            &with(
                date("yyyy-MM-dd", "2020-01-01,NOW"),
                &[("projection.device.type", "injected")],
            ),
        ),
    );
    assert_eq!(
        spec.describe(),
        [
            "region string: enum 'us,eu,asia'",
            "n int: integer from 1 to 12 every 1, 2 digits",
            "dt date: date 'yyyy-MM-dd' from '2020-01-01,NOW' every 1 DAYS",
            "device string: injected (each query must give its values with = or IN)",
        ]
    );
}
