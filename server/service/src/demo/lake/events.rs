//! The `events` table: many small files by day, hour and region, the shape that partition projection is for.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono::{Days, NaiveDate};

use super::parquet_file::ParquetFile;
use super::{Lake, LakeError, Projected};

/// First day of the table; fixed, so that the demo's queries and answers are.
const FIRST_DAY: Option<NaiveDate> = NaiveDate::from_ymd_opt(2024, 3, 1);
const DAYS: u64 = 7;
const HOURS: u32 = 24;
const REGIONS: [&str; 3] = ["ap", "eu", "us"];
const ROWS_PER_FILE: usize = 200;

/// The partition columns, in the order of the path.
pub(super) const PARTITIONS: [Projected; 3] = [
    Projected {
        column: "dt",
        hive_type: "string",
        rules: &[
            ("type", "date"),
            ("format", "yyyy-MM-dd"),
            ("range", "2024-03-01,2024-03-07"),
            ("interval", "1"),
            ("interval.unit", "DAYS"),
        ],
    },
    Projected {
        column: "hour",
        hive_type: "int",
        rules: &[("type", "integer"), ("range", "0,23"), ("digits", "2")],
    },
    Projected {
        column: "region",
        hive_type: "string",
        rules: &[("type", "enum"), ("values", "ap,eu,us")],
    },
];

/// The columns inside the files.
pub(super) fn schema() -> Schema {
    Schema::new(vec![
        Field::new("event_id", DataType::Int64, true),
        Field::new(
            "event_time",
            DataType::Timestamp(TimeUnit::Millisecond, None),
            true,
        ),
        Field::new("user_id", DataType::Int64, true),
        Field::new("event_type", DataType::Utf8, true),
        Field::new("page", DataType::Utf8, true),
        Field::new("duration_ms", DataType::Int32, true),
        Field::new("amount", DataType::Decimal128(10, 2), true),
    ])
}

/// Puts one file per day, hour and region.
pub(super) fn write(lake: &mut Lake<'_>) -> Result<(), LakeError> {
    let schema = schema();
    let mut random = SplitMix(0x00e7_e275);
    let mut next_id = 1;
    for day in (0..DAYS).filter_map(|n| FIRST_DAY?.checked_add_days(Days::new(n))) {
        for hour in 0..HOURS {
            let hour_start_ms = day
                .and_hms_opt(hour, 0, 0)
                .map_or(0, |start| start.and_utc().timestamp_millis());
            for region in REGIONS {
                let batch = hour_of_events(&schema, &mut random, &mut next_id, hour_start_ms)?;
                // Several row groups even here: a time filter inside an hour can skip some.
                let mut file = ParquetFile::new(&schema, ROWS_PER_FILE / 2)?;
                file.write(&batch)?;
                lake.put(
                    format!("events/dt={day}/hour={hour:02}/region={region}/part-0.parquet"),
                    file,
                )?;
            }
        }
    }
    Ok(())
}

fn hour_of_events(
    schema: &Schema,
    random: &mut SplitMix,
    next_id: &mut i64,
    hour_start_ms: i64,
) -> Result<RecordBatch, LakeError> {
    const TYPES: [&str; 4] = ["view", "view", "click", "purchase"];
    const PAGES: [&str; 5] = ["/", "/search", "/product", "/cart", "/account"];
    let mut times: Vec<i64> = (0..ROWS_PER_FILE)
        .map(|_| hour_start_ms + random.below(3_600_000))
        .collect();
    times.sort_unstable();
    let first_id = *next_id;
    *next_id += ROWS_PER_FILE as i64;
    let types: Vec<&str> = (0..ROWS_PER_FILE).map(|_| random.one_of(&TYPES)).collect();
    let amounts = types
        .iter()
        .map(|t| (*t == "purchase").then(|| i128::from(100 + random.below(50_000))));
    let amounts: Decimal128Array = amounts.collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(first_id..*next_id)),
        Arc::new(TimestampMillisecondArray::from(times)),
        Arc::new(Int64Array::from_iter_values(
            (0..ROWS_PER_FILE).map(|_| 1 + random.below(10_000)),
        )),
        Arc::new(StringArray::from(types)),
        Arc::new(StringArray::from_iter_values(
            (0..ROWS_PER_FILE).map(|_| random.one_of(&PAGES)),
        )),
        Arc::new(Int32Array::from_iter_values(
            (0..ROWS_PER_FILE).map(|_| i32::try_from(random.below(30_000)).unwrap_or(0)),
        )),
        Arc::new(amounts.with_precision_and_scale(10, 2)?),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema.clone()), columns)?)
}

/// SplitMix64 (Steele, Lea, Flood 2014): our own few lines, because the files must stay the same bytes when a
/// crate changes its generator.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u32) -> i64 {
        (self.next() % u64::from(limit)) as i64
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[(self.next() % choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_sequence() {
        let mut random = SplitMix(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_projected_ranges_are_the_days_and_regions_written() {
        let rule = |partition: usize, name: &str| {
            PARTITIONS[partition]
                .rules
                .iter()
                .find(|(rule, _)| *rule == name)
                .map(|(_, value)| *value)
        };
        let first = FIRST_DAY.unwrap();
        let last = first.checked_add_days(Days::new(DAYS - 1)).unwrap();
        assert_eq!(rule(0, "range"), Some(format!("{first},{last}").as_str()));
        assert_eq!(rule(1, "range"), Some(format!("0,{}", HOURS - 1).as_str()));
        assert_eq!(rule(2, "values"), Some(REGIONS.join(",").as_str()));
    }
}
