//! Texts as values of each type.

use super::*;

#[test]
fn whole_numbers() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-12", Some(-12)),
        ("+7", Some(7)),
        ("007", Some(7)),
        ("1.9", Some(1)),
        ("-1.9", Some(-1)),
        (".5", Some(0)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("", None),
        ("-", None),
        (" 1", None),
        ("1 ", None),
        ("1e3", None),
        ("1.x", None),
        ("abc", None),
    ] {
        assert_eq!(integer(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn floating_point_numbers_are_those_of_java() {
    for (text, expected) in [
        ("1.5", Some(1.5)),
        (" -2e3 ", Some(-2000.0)),
        ("1.5f", Some(1.5)),
        ("3D", Some(3.0)),
        ("Infinity", Some(f64::INFINITY)),
        ("-Infinity", Some(f64::NEG_INFINITY)),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("1,5", None),
    ] {
        assert_eq!(double(text.as_bytes()), expected, "{text:?}");
    }
    assert!(double(b"NaN").unwrap().is_nan());
    // Rounded once, not by way of a double.
    assert_eq!(float(b"16777217.0000001"), Some(16_777_218.0));
}

#[test]
fn decimals_are_rounded_half_away_from_zero() {
    for (text, expected) in [
        ("12.34", Some(1234)),
        ("12.345", Some(1235)),
        ("-12.345", Some(-1235)),
        ("12.3449", Some(1234)),
        ("1.2e1", Some(1200)),
        ("1234e-2", Some(1234)),
        ("5e-3", Some(1)),
        ("4e-3", Some(0)),
        ("0e999", Some(0)),
        ("1e999999999999", None),
        ("999.99", Some(99999)),
        ("999.995", None),
        ("1000", None),
        ("00000000000000000000000000000000000000000000001", Some(100)),
        (".5", Some(50)),
        ("5.", Some(500)),
        (".", None),
        ("", None),
        ("1.2.3", None),
        ("abc", None),
    ] {
        assert_eq!(decimal(text.as_bytes(), 5, 2), expected, "{text:?}");
    }
    let most = "9".repeat(38);
    assert_eq!(decimal(most.as_bytes(), 38, 0), Some(10_i128.pow(38) - 1));
    assert_eq!(decimal(format!("{most}9").as_bytes(), 38, 0), None);
    assert_eq!(decimal(format!("{most}.9").as_bytes(), 38, 0), None);
}

#[test]
fn dates_run_over_and_lose_their_time() {
    let day = |y, m, d| Some(NaiveDate::from_ymd_opt(y, m, d).unwrap().num_days_from_ce() - EPOCH_DAY);
    for (text, expected) in [
        ("1970-01-01", Some(0)),
        ("1969-12-31", Some(-1)),
        ("2024-2-9", day(2024, 2, 9)),
        (" 2024-02-29 ", day(2024, 2, 29)),
        ("2024-02-29 10:00:00", day(2024, 2, 29)),
        ("2023-02-29", day(2023, 3, 1)),
        ("2023-13-01", day(2024, 1, 1)),
        ("2023-00-10", day(2022, 12, 10)),
        ("2023-01-00", day(2022, 12, 31)),
        ("2024-02", None),
        ("2024/02/29", None),
        ("2024-02-29x", None),
        ("", None),
    ] {
        assert_eq!(date(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn timestamps_have_a_time_and_are_rounded_to_milliseconds() {
    for (text, expected) in [
        ("1970-01-01 00:00:00", Some(0)),
        ("1970-01-01 00:00:01.5", Some(1_500)),
        ("1970-01-01 00:00:00.0004999", Some(0)),
        ("1970-01-01 00:00:00.0005", Some(1)),
        ("1969-12-31 23:59:59.9995", Some(0)),
        ("1970-01-02 1:2:3", Some(86_400_000 + 3_723_000)),
        ("1970-01-01T00:00:01.25", Some(1_250)),
        ("1970-01-01T00:01", Some(60_000)),
        ("1970-01-01 24:00:00", Some(86_400_000)),
        ("1970-01-01", None),
        ("1970-01-01 00:01", None),
        ("1970-01-01 00:00:00Z", None),
        ("1970-01-01 00:00:00.", None),
        ("1970-01-01 00:00:00.0123456789", None),
        ("0", None),
    ] {
        assert_eq!(timestamp(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn text_keeps_to_its_length_and_to_utf8() {
    assert_eq!(sized(&HiveType::String, "žlu".as_bytes()), "žlu");
    assert_eq!(sized(&HiveType::Varchar(2), "žlu".as_bytes()), "žl");
    assert_eq!(sized(&HiveType::Varchar(9), b"ab "), "ab ");
    assert_eq!(sized(&HiveType::Char(4), b"ab cd"), "ab c");
    assert_eq!(sized(&HiveType::Char(3), b"ab cd"), "ab");
    assert_eq!(sized(&HiveType::String, b"a\xFFb"), "a\u{FFFD}b");
    assert_eq!(sized(&HiveType::Varchar(1), b"\xFFb"), "\u{FFFD}");
}

#[test]
fn binary_is_base64_or_the_bytes_themselves() {
    assert_eq!(binary(b"AP8=").as_ref(), [0, 255]);
    assert_eq!(binary(b"not base64!").as_ref(), b"not base64!");
}
