//! Definitions that are refused, and the words that say what would be right.

use super::ProjectionSpec;
use super::tests::{date, integer, table, with};
use crate::error::CatalogError;

type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str);

fn refused(keys: &str, properties: &[(&str, &str)]) -> String {
    ProjectionSpec::parse(&table(keys, properties))
        .unwrap_err()
        .to_string()
}

/// Each case: partition keys, properties, and what the refusal has to say.
fn check(cases: Vec<Case<'_>>) {
    for (keys, properties, expected) in cases {
        let text = refused(keys, &properties);
        assert!(text.contains(expected), "{properties:?}\n  {text}\n  {expected}");
        assert!(text.starts_with("table `sales.events`: property `"), "{text}");
    }
}

#[test]
fn trinos_refused_definitions_are_refused() {
    let n = || integer("1,3", &[]);
    let day = || date("yyyy-MM-dd", "2020-01-01,2020-01-03");
    let sub_day = "projection.dt.interval.unit` is missing: it needs to be set when the format is less than single-day precision";
    check(vec![
        (
            "",
            vec![],
            "`projection.enabled` cannot be 'true' on a table that is not partitioned",
        ),
        (
            "n int",
            with(n(), &[("projection.id.type", "integer")]),
            "`projection.id.type` cannot be defined for non-partition column: 'id'",
        ),
        (
            "n int",
            with(n(), &[("storage.location.template", "s3://b/x/")]),
            "is missing partition column: 'n' placeholder; add ${n}",
        ),
        (
            "n int",
            integer("1,2,3", &[]),
            "`projection.n.range` = '1,2,3' needs to be a list of 2 integers",
        ),
        (
            "dt string",
            vec![
                ("projection.dt.type", "date"),
                ("projection.dt.range", "2020,2021"),
            ],
            "`projection.dt.format` is missing",
        ),
        (
            "dt string",
            with(
                date("yyyy-MM-dd HH", "2001-01-01,2001-01-02"),
                &[("projection.dt.interval.unit", "HOURS")],
            ),
            "formatted as 'yyyy-MM-dd HH' (such as '1970-01-01 00')",
        ),
        (
            "dt string",
            date("yyyy-MM-dd", "NOW*3DAYS,2001-01-02"),
            "NOW-n UNIT (upper case",
        ),
        (
            "dt string",
            date("yyyy-MM-dd", "2001-01-02,2001-01-01"),
            "the first lies after the second",
        ),
        (
            "dt string",
            with(day(), &[("projection.dt.interval.unit", "Decades")]),
            "= 'Decades' is invalid. Available options: YEARS, MONTHS",
        ),
        (
            "dt string",
            date("yyyy-MM-dd HH", "2001-01-01 00,2001-01-02 00"),
            sub_day,
        ),
        (
            "n int",
            with(n(), &[("projection.n.interval", "0")]),
            "`projection.n.interval` = '0' needs to be a whole number from 1",
        ),
        (
            "dt bigint",
            day(),
            "unsupported column type: bigint; date needs string",
        ),
    ]);
    assert!(matches!(
        ProjectionSpec::parse(&table("n int", &[("trino.partition_projection.ignore", "true")])),
        Err(CatalogError::ProjectionColumnsMissing { .. })
    ));
}

#[test]
fn dates_are_refused_with_their_format_or_grammar() {
    let day = || date("yyyy-MM-dd", "2020-01-01,2020-01-03");
    check(vec![
        ("dt string", date("yyyy-MM-dd", "now-1DAYS,NOW"), "'now-1DAYS'"),
        (
            "dt string",
            date("yyyy-MM-dd", "NOW-1DAYS+1DAYS,NOW"),
            "'NOW-1DAYS+1DAYS'",
        ),
        (
            "dt string",
            date("yyyy-MM-dd", "NOW-5MILLIS,NOW"),
            "'NOW-5MILLIS'",
        ),
        (
            "dt string",
            date("yyyy-MM-dd", "NOW,NOW-3DAYS"),
            "the first lies after the second",
        ),
        (
            "dt string",
            date("yyyy-MM-dd", "NOW-99999999999999999999DAYS,NOW"),
            "offset beyond 64 bits",
        ),
        (
            "dt string",
            date("yyyy-MM-dd", "NOW-9999YEARS,NOW"),
            "leaves the years 1 to 9999",
        ),
        (
            "dt string",
            date("yyyy-MM-dd", "2020-01-01, 2020-02-01"),
            "white space is part of a date, remove it",
        ),
        ("dt string", date("yyyy-MM-dd", "2020-01-01"), "it has 1 elements"),
        (
            "dt string",
            date("yyyy-MM-dd", "2021-02-29,NOW"),
            "2021-02-29 is not a date",
        ),
        (
            "dt string",
            date("YYYY-MM-dd", "2020-01-01,NOW"),
            "did you mean `yyyy`?",
        ),
        (
            "dt string",
            date("yyyy-MM-dd'T", "2020-01-01,NOW"),
            "without its closing '",
        ),
        (
            "dt string",
            with(day(), &[("projection.dt.interval", "-1")]),
            "`projection.dt.interval` = '-1'",
        ),
    ]);
}

#[test]
fn integers_enums_and_keys_are_refused_by_name() {
    let n = || integer("1,3", &[]);
    check(vec![
        ("n int", integer("5,1", &[]), "did you mean '1,5'?"),
        ("n int", integer("1-5", &[]), "separated by a comma"),
        (
            "n int",
            integer("0,9223372036854775808", &[]),
            "2 integers of 64 bits",
        ),
        (
            "n tinyint",
            integer("0,128", &[]),
            "passes type tinyint, which holds -128 to 127",
        ),
        ("n date", n(), "unsupported column type: date; integer needs"),
        ("n double", n(), "unsupported column type: double"),
        (
            "n int",
            with(n(), &[("projection.n.digits", "two")]),
            "`projection.n.digits` = 'two'",
        ),
        (
            "n int",
            with(n(), &[("projection.n.step", "2")]),
            "`projection.n.step` is not known; a partition column has type, values",
        ),
        (
            "n int",
            with(n(), &[("projection.m.type", "integer")]),
            "`projection.m.type` names no column of the table; the partition columns are [n]",
        ),
        (
            "n int",
            with(n(), &[("projection.N.range", "1,2")]),
            "is given twice",
        ),
        (
            "n int",
            vec![("projection.n.range", "1,2")],
            "`projection.n.type` is missing",
        ),
        (
            "n int",
            vec![("projection.n.type", "integer")],
            "`projection.n.range` is missing",
        ),
        (
            "n int",
            vec![("projection.n.type", "list")],
            "Available options: enum, integer, date, injected",
        ),
        (
            "n string",
            vec![("projection.n.type", "enum")],
            "`projection.n.values` is missing",
        ),
        (
            "n string",
            vec![("projection.n.type", "enum"), ("projection.n.values", ",")],
            "holds no value",
        ),
        (
            "n int",
            vec![("projection.n.type", "enum"), ("projection.n.values", "1, 2")],
            "holds ' 2', which is not a value of type int",
        ),
        (
            "n date",
            vec![
                ("projection.n.type", "enum"),
                ("projection.n.values", "2020-01-01"),
            ],
            "unsupported column type: date; enum needs",
        ),
        (
            "n int",
            vec![("projection.n.type", "injected")],
            "unsupported column type: int; injected needs string",
        ),
        (
            "n varchar(10)",
            vec![("projection.n.type", "injected")],
            "unsupported column type: varchar(10)",
        ),
    ]);
}

#[test]
fn templates_need_each_column_and_a_plain_root() {
    let n = || integer("1,3", &[]);
    check(vec![
        (
            "n int",
            with(n(), &[("storage.location.template", "s3://b/${n}/${m}/")]),
            "unknown placeholder ${m}; the partition columns are ${n}",
        ),
        (
            "n int",
            with(n(), &[("storage.location.template", "s3://b/${n")]),
            "without its closing brace",
        ),
        (
            "n int",
            with(n(), &[("storage.location.template", "b/${n}/")]),
            "needs to begin with a scheme and bucket",
        ),
        (
            "n int",
            with(n(), &[("storage.location.template", "s3://b/a/../${n}/")]),
            "has a '.' or '..' segment",
        ),
        (
            "n string",
            vec![
                ("projection.n.type", "injected"),
                ("storage.location.template", "s3://x-${n}/t/"),
            ],
            "injected column 'n' in its bucket name",
        ),
        (
            "n string",
            vec![
                ("projection.n.type", "enum"),
                ("projection.n.values", "a,x/../../y"),
                ("storage.location.template", "s3://b/${n}/"),
            ],
            "`projection.n.values` gives 'x/../../y'",
        ),
        (
            "dt string",
            with(
                date("'../'yyyy", "../2020,../2021"),
                &[("storage.location.template", "s3://b/${dt}/")],
            ),
            "`projection.dt.format` gives",
        ),
    ]);
    // Row 43: the template lacks one of three columns.
    let three = refused(
        "a int, b int, c int",
        &[
            ("projection.a.type", "integer"),
            ("projection.a.range", "1,2"),
            ("projection.b.type", "integer"),
            ("projection.b.range", "1,2"),
            ("projection.c.type", "integer"),
            ("projection.c.range", "1,2"),
            ("storage.location.template", "s3://b/r/a=${a}/${b}/x/"),
        ],
    );
    assert!(
        three.contains("missing partition column: 'c' placeholder"),
        "{three}"
    );
    let mut nowhere = table("n int", &n());
    nowhere.storage_descriptor.location = None;
    assert!(
        ProjectionSpec::parse(&nowhere)
            .unwrap_err()
            .to_string()
            .contains("no LOCATION")
    );
}
