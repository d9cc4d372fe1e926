//! Dates of ISO 8601, as `from_iso8601_date` reads them: by month, by week, by day of the year.

use chrono::{Days, NaiveDate};

/// `2021-08-19`, `2021-08`, `2021`, `2021-W33-4`, `2021-W33`, `2021-231`; what is left out is the first.
pub(super) fn parse_iso_date(text: &str) -> Option<NaiveDate> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = unsigned.split('-');
    let year = sign * i32::try_from(number(parts.next()?, 9)?).ok()?;
    let (first, second) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    match (first, second) {
        (None, _) => NaiveDate::from_yo_opt(year, 1),
        (Some(week), day) if week.starts_with('W') => {
            let week = number(&week[1..], 2)?;
            week_date(year, week, day.map_or(Some(1), |day| number(day, 1))?)
        }
        (Some(day), None) if day.len() == 3 => NaiveDate::from_yo_opt(year, number(day, 3)?),
        (Some(month), day) => {
            let day = day.map_or(Some(1), |day| number(day, 2))?;
            NaiveDate::from_ymd_opt(year, number(month, 2)?, day)
        }
    }
}

/// Up to `most` digits, at least one.
fn number(text: &str, most: usize) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Day 1 to 7, Monday first, of a week that the year has.
fn week_date(year: i32, week: u32, day: u32) -> Option<NaiveDate> {
    let monday = NaiveDate::from_isoywd_opt(year, week, chrono::Weekday::Mon)?;
    let days = (1..=7).contains(&day).then(|| Days::new(u64::from(day - 1)))?;
    monday.checked_add_days(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_by_month_week_and_day_of_the_year() {
        for (text, expected) in [
            ("2021-08-19", Some((2021, 8, 19))),
            ("2021-8-9", Some((2021, 8, 9))),
            ("2021-08", Some((2021, 8, 1))),
            ("2021", Some((2021, 1, 1))),
            ("2021-W33-4", Some((2021, 8, 19))),
            ("2021-W33", Some((2021, 8, 16))),
            ("2020-W53-7", Some((2021, 1, 3))),
            ("2021-W53", None),
            ("2021-W33-8", None),
            ("2021-W33-0", None),
            ("2021-228", Some((2021, 8, 16))),
            ("2024-366", Some((2024, 12, 31))),
            ("2023-366", None),
            ("2021-000", None),
            ("-0003-05-06", Some((-3, 5, 6))),
            ("2021-13", None),
            ("2021-02-29", None),
            ("2021-08-19-1", None),
            ("2021-08-", None),
            (" 2021-08-19", None),
            ("", None),
            ("W33", None),
        ] {
            let date = expected.and_then(|(y, m, d)| NaiveDate::from_ymd_opt(y, m, d));
            assert_eq!(parse_iso_date(text), date, "{text}");
        }
    }
}
