//! Values of every type arrive as PostgreSQL itself writes them.

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::{SERVER, catalog_with, fresh, rows};

/// How PostgreSQL writes a value of a column the way the formatter of these tests does.
const EXACT: &str = "to_char($ AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')";

/// A type, values of it as literals, how PostgreSQL writes them for comparison (`$` is the column), and the Arrow type.
struct Case {
    of: &'static str,
    values: &'static [&'static str],
    written: &'static str,
    arrow: &'static str,
}

const fn case(
    of: &'static str,
    values: &'static [&'static str],
    written: &'static str,
    arrow: &'static str,
) -> Case {
    Case {
        of,
        values,
        written,
        arrow,
    }
}

/// Types that the server has only after this.
const TYPES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'o''k', 'hap py', 'naïve');
    CREATE TYPE pair AS (n int, t text);
    CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE >= 0);
    CREATE DOMAIN list_price AS price;
    CREATE DOMAIN tags AS text[];
    CREATE DOMAIN code AS varchar(8);
    CREATE TYPE float_range AS RANGE (subtype = float8);";

const CASES: &[Case] = &[
    case("boolean", &["true", "false"], "$::text", "Boolean"),
    case("smallint", &["0", "-32768", "32767"], "$::text", "Int16"),
    case("integer", &["0", "-2147483648", "2147483647"], "$::text", "Int32"),
    case(
        "bigint",
        &["0", "-9223372036854775808", "9223372036854775807"],
        "$::text",
        "Int64",
    ),
    case("oid", &["0", "4294967295"], "$::text", "Int64"),
    case(
        "real",
        &[
            "0",
            "-0",
            "1.5",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-45",
            "3.4028235e38",
        ],
        "$",
        "Float32",
    ),
    case(
        "double precision",
        &[
            "0",
            "-0",
            "0.1",
            "NaN",
            "Infinity",
            "-Infinity",
            "5e-324",
            "1.7976931348623157e308",
        ],
        "$",
        "Float64",
    ),
    case(
        "numeric(10,2)",
        &["0", "0.01", "-99999999.99", "12345678.9"],
        "$::text",
        "Decimal128(10, 2)",
    ),
    case(
        "numeric(38,0)",
        &["99999999999999999999999999999999999999", "-1", "10000"],
        "$::text",
        "Decimal128(38, 0)",
    ),
    case(
        "numeric(38,38)",
        &[
            "0.00000000000000000000000000000000000001",
            "-0.99999999999999999999999999999999999999",
        ],
        "$::text",
        "Decimal128(38, 38)",
    ),
    case(
        "numeric(3,-2)",
        &["12300", "-99900", "0"],
        "$::text",
        "Decimal128(5, 0)",
    ),
    case(
        "numeric(2,4)",
        &["0.0012", "-0.0099"],
        "$::text",
        "Decimal128(4, 4)",
    ),
    case(
        "numeric",
        &[
            "1",
            "-12345678901234567890.123456789012345678",
            "0.000000000000000001",
            "100000000",
        ],
        "$::numeric(38,18)::text",
        "Decimal128(38, 18)",
    ),
    case(
        "money",
        &["1.50", "-92233720368547758.08"],
        "$::numeric::text",
        "Decimal128(19, 2)",
    ),
    case(
        "text",
        &[
            "",
            "naïve",
            "\u{1f989}",
            "it''s",
            "a\\b",
            "line\nline",
            "NULL",
            " ",
        ],
        "$",
        "Utf8",
    ),
    case("varchar(5)", &["", "naïve"], "$", "Utf8"),
    case("char(5)", &["", "ab", "naïve"], "$::text", "Utf8"),
    case("\"char\"", &["x", ""], "$::text", "Utf8"),
    case("name", &["x"], "$::text", "Utf8"),
    case(
        "bytea",
        &["", "\\x00ff", "\\xdeadbeef"],
        "encode($, 'hex')",
        "Binary",
    ),
    case(
        "date",
        &[
            "2026-11-21",
            "1970-01-01",
            "2000-02-29",
            "0001-01-01",
            "9999-12-31",
        ],
        "$::text",
        "Date32",
    ),
    case(
        "time",
        &["00:00:00", "23:59:59.999999", "12:00:00.5"],
        "to_char($, 'HH24:MI:SS.US')",
        "Time64(µs)",
    ),
    case("timetz", &["12:00:00+02", "00:00:00-11:30"], "$::text", "Utf8"),
    case(
        "timestamp",
        &[
            "2026-11-21 18:00:00.123456",
            "1969-12-31 23:59:59.999999",
            "0001-01-01 00:00:00",
        ],
        EXACT,
        "Timestamp(µs)",
    ),
    case(
        "timestamptz",
        &["2026-11-21 18:00:00.123456+02", "1900-01-01 00:00:00+00"],
        EXACT,
        "Timestamp(µs, \"UTC\")",
    ),
    case(
        "uuid",
        &[
            "00000000-0000-0000-0000-000000000000",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        ],
        "$::text",
        "Utf8",
    ),
    case(
        "json",
        &["{\"a\" :  [1, null, \"naïve\"]}", "null", "1"],
        "$::text",
        "Utf8",
    ),
    case(
        "jsonb",
        &["{\"a\" :  [1, null, \"naïve\"]}", "null", "1"],
        "$::text",
        "Utf8",
    ),
    case(
        "inet",
        &["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "::ffff:1.2.3.4"],
        "abbrev($)",
        "Utf8",
    ),
    case("cidr", &["10.0.0.0/8", "::1/128"], "$::text", "Utf8"),
    case("macaddr", &["08:00:2b:01:02:03"], "$::text", "Utf8"),
    case("bit(3)", &["101"], "$::text", "Utf8"),
    case("varbit", &["", "1010101"], "$::text", "Utf8"),
    case("xml", &["<a>naïve</a>"], "$::text", "Utf8"),
    case("point", &["(1,2)"], "$::text", "Utf8"),
    case("tsvector", &["a fat cat"], "$::text", "Utf8"),
    case("pg_lsn", &["16/B374D848"], "$::text", "Utf8"),
    case("int4range", &["empty", "[1,5)", "(,)"], "$::text", "Utf8"),
    case(
        "tstzrange",
        &["[2026-01-01 00:00:00+00,2026-02-01 00:00:00+00)"],
        "$::text",
        "Utf8",
    ),
    case("float_range", &["[0.1,0.30000000000000004)"], "$::text", "Utf8"),
    case("int4multirange", &["{[1,3),[5,7)}"], "$::text", "Utf8"),
    case("mood", &["sad", "o''k", "hap py", "naïve"], "$::text", "Utf8"),
    case("pair", &["(1,a)", "(,\"x y\")"], "$::text", "Utf8"),
    case("pair[]", &["{\"(1,a)\"}"], "$::text", "Utf8"),
    case("price", &["0.5", "99999999.99"], "$::text", "Decimal128(10, 2)"),
    case("list_price", &["0.5"], "$::text", "Decimal128(10, 2)"),
    case("code", &["abc"], "$::text", "Utf8"),
    case("integer[]", &["{}", "{1,NULL,-3}", "{NULL}"], "$", "List(Int32)"),
    case("bigint[]", &["{9223372036854775807}"], "$", "List(Int64)"),
    case("boolean[]", &["{t,f,NULL}"], "$", "List(Boolean)"),
    case("text[]", &["{}", "{a,NULL,\"\",\"naïve\"}"], "$", "List(Utf8)"),
    case("tags", &["{a,b}"], "$", "List(Utf8)"),
    case("varchar(9)[]", &["{a,b}"], "$", "List(Utf8)"),
    case("char(3)[]", &["{a,b}"], "$::text[]", "List(Utf8)"),
    case("mood[]", &["{sad,naïve,NULL}"], "$", "List(Utf8)"),
    case(
        "uuid[]",
        &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
        "$",
        "List(Utf8)",
    ),
    case(
        "numeric(8,3)[]",
        &["{1.5,NULL,-0.001}"],
        "$",
        "List(Decimal128(8, 3))",
    ),
    case("date[]", &["{2026-11-21,NULL}"], "$", "List(Date32)"),
    case("inet[]", &["{10.0.0.1,NULL}"], "$::text", "Utf8"),
    case("integer[][]", &["{{1,2},{3,4}}"], "$::text", "Utf8"),
];

/// As the formatter of these tests writes a list.
fn list(text: &str) -> String {
    let items = text.trim_start_matches('{').trim_end_matches('}');
    let items = items.replace('"', "");
    let shown: Vec<String> = items
        .split(',')
        .filter(|_| !text.starts_with("{}"))
        .map(|item| match item {
            "t" if text.contains("t,f") => "true".to_owned(),
            "f" if text.contains("t,f") => "false".to_owned(),
            item => item.to_owned(),
        })
        .collect();
    format!("[{}]", shown.join(", "))
}

/// A float as this program writes the number that PostgreSQL's shortest exact text stands for.
fn float(text: &str, single: bool) -> String {
    use arrow::array::{Float32Array, Float64Array};
    use arrow::util::display::array_value_to_string;
    let parsed = text.parse::<f64>().unwrap();
    if single {
        return array_value_to_string(&Float32Array::from(vec![text.parse::<f32>().unwrap()]), 0).unwrap();
    }
    array_value_to_string(&Float64Array::from(vec![parsed]), 0).unwrap()
}

/// Fractions of a second as the formatter of these tests shortens them: none, three digits or six.
fn seconds(text: &str) -> String {
    match text
        .strip_suffix("000000")
        .and_then(|short| short.strip_suffix('.'))
    {
        Some(whole) => whole.to_owned(),
        None => text.strip_suffix("000").unwrap_or(text).to_owned(),
    }
}

#[tokio::test]
async fn every_type_arrives_as_postgres_writes_it() {
    let mut setup = TYPES.to_owned();
    for (i, case) in CASES.iter().enumerate() {
        write!(setup, "CREATE TABLE t{i} (i int, v {});", case.of).unwrap();
        write!(setup, "INSERT INTO t{i} VALUES (-1, NULL)").unwrap();
        for (at, value) in case.values.iter().enumerate() {
            let value = value
                .replace('\\', "\\\\")
                .replace("''", "'")
                .replace('\'', "\\'");
            write!(setup, ", ({at}, E'{value}')").unwrap();
        }
        setup.push_str(";\n");
    }
    let catalog = fresh("every_type", &setup);
    for (i, case) in CASES.iter().enumerate() {
        let table = catalog.table("public", &format!("t{i}")).await.unwrap().unwrap();
        assert_eq!(
            table.schema().field(1).data_type().to_string(),
            case.arrow,
            "{}",
            case.of
        );
        let written = case.written.replace('$', "v");
        let theirs = SERVER.sql_in(
            "every_type",
            &format!("SELECT coalesce(encode(convert_to(({written})::text, 'UTF8'), 'hex'), 'NULL') FROM t{i} ORDER BY i"),
        );
        let theirs: Vec<String> = theirs
            .lines()
            .map(|line| match line {
                "NULL" => line.to_owned(),
                hex => {
                    let bytes: Vec<u8> = (0..hex.len())
                        .step_by(2)
                        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                        .collect();
                    let text = String::from_utf8(bytes).unwrap();
                    match case.arrow {
                        "Float32" => float(&text, true),
                        "Float64" => float(&text, false),
                        kind if kind.starts_with("List") => list(&text),
                        "Timestamp(µs, \"UTC\")" => seconds(&text) + "Z",
                        kind if kind.starts_with("Time") => seconds(&text),
                        _ => text,
                    }
                }
            })
            .collect();
        let mut ours = rows(&catalog, &format!("t{i}"), &["i", "v"]).await.unwrap();
        ours.sort_by_key(|row| row[0].parse::<i32>().unwrap());
        let ours: Vec<String> = ours.into_iter().map(|mut row| row.remove(1)).collect();
        assert_eq!(ours, theirs, "{}", case.of);
    }
}

/// Thousands of numbers and times against PostgreSQL's own arithmetic: each is sent back as a whole number.
#[tokio::test]
async fn random_numbers_and_times_are_exact() {
    let mut random = StdRng::seed_from_u64(4);
    let mut values = String::new();
    for i in 0..3_000 {
        let digits = random.random_range(0..21);
        let whole = random.random_range(0..10_u128.pow(digits));
        let fraction = random.random_range(0..10_u64.pow(18));
        let kept = random.random_range(0..=18);
        let fraction = format!("{fraction:018}");
        let sign = if random.random() { "-" } else { "" };
        let micros = random.random_range(-60_000_000_000_000_000_i64..200_000_000_000_000_000);
        let comma = if i == 0 { "" } else { "," };
        write!(
            values,
            "{comma}({i}, {sign}{whole}.{}0, timestamp 'epoch' + interval '{} s {} us', {micros})",
            &fraction[..kept],
            micros / 1_000_000,
            micros % 1_000_000
        )
        .unwrap();
    }
    let setup = format!(
        "CREATE TABLE r (i int, n numeric, at timestamp, micros bigint); INSERT INTO r VALUES {values};
         CREATE VIEW whole AS SELECT n, (n * 1e18)::numeric(38,0) AS scaled, at, micros FROM r"
    );
    let catalog = fresh("random_values", &setup);
    let request =
        crate::support::request(&catalog, "public", "whole", &["n", "scaled", "at", "micros"]).await;
    let all = crate::support::batches(&catalog, &request).await.unwrap();
    let mut seen = 0;
    for batch in &all {
        use arrow::array::AsArray;
        use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
        let (n, scaled) = (batch.column(0), batch.column(1));
        let (n, scaled) = (
            n.as_primitive::<Decimal128Type>(),
            scaled.as_primitive::<Decimal128Type>(),
        );
        let at = batch.column(2).as_primitive::<TimestampMicrosecondType>();
        let micros = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            assert_eq!(n.value(row), scaled.value(row));
            assert_eq!(at.value(row), micros.value(row));
            seen += 1;
        }
    }
    assert_eq!(seen, 3_000);
}

#[tokio::test]
async fn intervals_keep_months_days_and_time_apart() {
    let catalog = fresh(
        "intervals",
        "CREATE TABLE t (v interval); INSERT INTO t VALUES ('1 year 2 mons -3 days 04:05:06.789'), ('0'), (NULL)",
    );
    let all = rows(&catalog, "t", &[]).await.unwrap();
    assert_eq!(
        all,
        [
            ["14 mons -3 days 4 hours 5 mins 6.789000000 secs"],
            ["0 secs"],
            ["NULL"]
        ]
        .map(|r| r.to_vec())
    );
}

/// A value without a place in its type here fails the query that asks for it, by its column's name; no other one.
#[tokio::test]
async fn values_that_do_not_fit_are_refused_by_name() {
    let catalog = fresh(
        "misfits",
        "CREATE TABLE t (n numeric, d date, ts timestamptz, tm time, a int[], i interval, p numeric(10,2), ok int);
         INSERT INTO t VALUES ('NaN', 'infinity', '-infinity', '24:00:00', '{{1},{2}}', '300000 hours', 'NaN', 7);
         CREATE TABLE long (n numeric); INSERT INTO long VALUES (0.1234567890123456789);
         CREATE TABLE wide (n numeric); INSERT INTO wide VALUES (123456789012345678901);
         CREATE TABLE endless (n numeric); INSERT INTO endless VALUES ('-Infinity');",
    );
    for (table, column, error) in [
        ("t", "n", "column `n` holds NaN, which a decimal cannot hold"),
        ("t", "p", "column `p` holds NaN, which a decimal cannot hold"),
        ("t", "d", "column `d` holds an infinite date"),
        ("t", "ts", "column `ts` holds an infinite timestamp"),
        ("t", "tm", "column `tm` holds the time 24:00:00"),
        ("t", "a", "column `a` holds an array of several dimensions"),
        (
            "long",
            "n",
            "column `n` holds a number with more digits behind the point than its decimal has",
        ),
        (
            "wide",
            "n",
            "column `n` holds a number with more digits than its decimal has",
        ),
        (
            "endless",
            "n",
            "column `n` holds infinity, which a decimal cannot hold",
        ),
    ] {
        let fault = rows(&catalog, table, &[column]).await.unwrap_err();
        let expected = format!("NUMERIC_VALUE_OUT_OF_RANGE: catalog `pg`: {error}");
        assert!(fault.to_string().starts_with(&expected), "{fault}");
    }
    assert_eq!(rows(&catalog, "t", &["ok"]).await.unwrap(), [["7"]]);
    for (mapping, n) in [("double", "NaN"), ("varchar", "NaN")] {
        let other = catalog_with(&SERVER, "misfits", &[("numeric_mapping", mapping)]);
        assert_eq!(rows(&other, "t", &["n"]).await.unwrap(), [[n]]);
    }
    let narrow = catalog_with(&SERVER, "misfits", &[("numeric_mapping", "decimal(38, 2)")]);
    assert!(rows(&narrow, "long", &[]).await.is_err());
    let text = catalog_with(&SERVER, "misfits", &[("numeric_mapping", "varchar")]);
    assert_eq!(
        rows(&text, "long", &[]).await.unwrap(),
        [["0.1234567890123456789"]]
    );
}

/// Text of a database without an encoding may be anything; the server finds out first.
#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    SERVER.sql("CREATE DATABASE any_bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
    SERVER.sql_in(
        "any_bytes",
        "CREATE TABLE t (v text); INSERT INTO t VALUES (E'\\377')",
    );
    let catalog = catalog_with(&SERVER, "any_bytes", &[]);
    let fault = rows(&catalog, "t", &[]).await.unwrap_err();
    assert!(
        fault
            .to_string()
            .contains("invalid byte sequence for encoding \"UTF8\""),
        "{fault}"
    );
}

#[tokio::test]
async fn large_tables_come_in_batches_and_rows_without_columns_are_counted() {
    let catalog = fresh(
        "large",
        "CREATE TABLE t AS SELECT n, 'row ' || n AS t FROM generate_series(1, 50000) n",
    );
    let mut request = crate::support::request(&catalog, "public", "t", &[]).await;
    let all = crate::support::batches(&catalog, &request).await.unwrap();
    assert!(all.iter().all(|batch| batch.num_rows() <= 8_192) && all.len() > 5);
    assert_eq!(
        crate::support::text(&all).last().unwrap(),
        &["50000", "row 50000"]
    );
    request.projection.clear();
    let all = crate::support::batches(&catalog, &request).await.unwrap();
    assert_eq!(all.iter().map(|batch| batch.num_rows()).sum::<usize>(), 50_000);
    request.projection = vec![1, 0];
    request.filter = Some("\"n\" % 2 = 0".to_owned());
    request.limit = Some(2);
    assert_eq!(
        request.sql().unwrap(),
        "SELECT \"t\", \"n\" FROM \"public\".\"t\" WHERE \"n\" % 2 = 0 LIMIT 2"
    );
    let all = crate::support::batches(&catalog, &request).await.unwrap();
    assert_eq!(crate::support::text(&all), [["row 2", "2"], ["row 4", "4"]]);
}
