//! Facts about the generated lake: what it holds, that it is stable, that the DDL describes it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

type Objects = BTreeMap<String, Bytes>;

static LAKE: LazyLock<(Objects, LakeSummary)> = LazyLock::new(new_lake);

fn new_lake() -> (Objects, LakeSummary) {
    let mut objects = Objects::new();
    let summary = generate(MIN_SCALE_FACTOR, |key, bytes| {
        assert!(objects.insert(key.to_owned(), bytes).is_none(), "{key} twice");
        Ok(())
    });
    (objects, summary.unwrap())
}

fn rows_below(objects: &Objects, prefix: &str) -> i64 {
    let files = objects.iter().filter(|(key, _)| key.starts_with(prefix));
    files
        .map(|(_, bytes)| open(bytes).metadata().file_metadata().num_rows())
        .sum()
}

fn open(bytes: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap()
}

#[test]
fn the_lake_is_complete_and_the_same_every_time() {
    let (objects, summary) = &*LAKE;
    assert_eq!(rows_below(objects, "region/"), 5);
    assert_eq!(rows_below(objects, "nation/"), 25);
    assert_eq!(rows_below(objects, "orders/"), 1500);
    let line_items = rows_below(objects, "lineitem/");
    assert!((5500..6500).contains(&line_items), "{line_items}");
    assert_eq!(rows_below(objects, "lineitem_by_month/"), line_items);
    assert_eq!(
        objects.keys().filter(|key| key.starts_with("events/")).count(),
        7 * 24 * 3
    );
    assert!(objects.contains_key("events/dt=2024-03-07/hour=09/region=us/part-0.parquet"));
    assert!(objects.contains_key("lineitem_by_month/year=1995/month=03/part-0.parquet"));
    assert_eq!(summary.objects, objects.len() as u64);
    assert_eq!(
        summary.bytes,
        objects.values().map(|bytes| bytes.len() as u64).sum::<u64>()
    );
    assert_eq!(summary.rows as i64, rows_below(objects, ""));
    assert!(*objects == new_lake().0, "the second lake differs");
}

#[test]
fn a_month_holds_only_its_own_ship_dates() {
    let (objects, _) = &*LAKE;
    let file = &objects["lineitem_by_month/year=1995/month=03/part-0.parquet"];
    let mut rows = 0;
    for batch in open(file).build().unwrap() {
        let batch = batch.unwrap();
        let dates = batch
            .column_by_name("l_shipdate")
            .unwrap()
            .as_primitive::<Date32Type>();
        // 1995-03-01 is day 9190.
        assert!(dates.values().iter().all(|day| (9190..9190 + 31).contains(day)));
        rows += batch.num_rows();
    }
    assert!(rows > 0);
}

#[test]
fn files_have_a_page_index_row_groups_and_no_arrow_schema() {
    let (objects, _) = &*LAKE;
    let events = open(&objects["events/dt=2024-03-01/hour=00/region=ap/part-0.parquet"]);
    assert_eq!(events.metadata().num_row_groups(), 2);
    let column = events.metadata().row_group(0).column(0);
    assert!(column.column_index_offset().is_some() && column.offset_index_offset().is_some());
    assert!(events.metadata().file_metadata().key_value_metadata().is_none());
    let price = open(&objects["lineitem/part-0.parquet"]);
    let price = price.schema().field_with_name("l_extendedprice").unwrap().clone();
    assert_eq!(
        (price.data_type(), price.is_nullable()),
        (&DataType::Decimal128(15, 2), true)
    );
}

#[test]
fn every_statement_describes_the_files_of_its_table() {
    let (objects, _) = &*LAKE;
    let statements = ddl("s3://lake/demo/");
    assert_eq!(statements.len(), 10);
    for statement in &statements {
        let name = statement.split_whitespace().nth(6).unwrap();
        assert!(
            statement.contains(&format!("LOCATION 's3://lake/demo/{name}/'")),
            "{statement}"
        );
        let prefix = format!("{name}/");
        let (_, bytes) = objects.iter().find(|(key, _)| key.starts_with(&prefix)).unwrap();
        for field in open(bytes).schema().fields() {
            let column = format!("  {} {}", field.name(), hive_type(field.data_type()));
            assert!(
                statement.contains(&format!("{column},\n")) || statement.contains(&format!("{column}\n"))
            );
        }
    }
}

#[test]
fn partitioned_tables_are_projected() {
    let statements = ddl("s3://lake");
    let by_month = &statements[8];
    assert!(
        by_month.contains("PARTITIONED BY (year int, month int)"),
        "{by_month}"
    );
    assert!(by_month.contains("'projection.month.digits' = '2'"));
    assert!(by_month.contains(
        "'storage.location.template' = 's3://lake/lineitem_by_month/year=${year}/month=${month}/'"
    ));
    let events = &statements[9];
    assert!(
        events.contains("PARTITIONED BY (dt string, hour int, region string)"),
        "{events}"
    );
    assert!(events.contains("'projection.dt.interval.unit' = 'DAYS'"));
}

#[test]
fn full_files_are_closed_and_the_next_part_begun() {
    let mut keys = Vec::new();
    let mut put = |key: &str, _: Bytes| {
        keys.push(key.to_owned());
        Ok(())
    };
    let mut lake = Lake {
        put: &mut put,
        summary: LakeSummary::default(),
    };
    let batch = RegionArrow::new(RegionGenerator::new(1.0, 1, 1)).next().unwrap();
    let mut parts = Parts::new("t".to_owned(), batch.schema(), 10, 1);
    parts.write(&mut lake, &batch).unwrap();
    parts.write(&mut lake, &batch).unwrap();
    parts.close(&mut lake).unwrap();
    assert_eq!(keys, ["t/part-0.parquet", "t/part-1.parquet"]);
}

#[test]
fn bad_scale_factors_and_failed_puts_are_reported() {
    for scale_factor in [0.0, -1.0, f64::NAN, 1e9] {
        let result = generate(scale_factor, |_, _| Ok(()));
        assert!(matches!(result, Err(LakeError::ScaleFactor(_))), "{scale_factor}");
    }
    let full = generate(MIN_SCALE_FACTOR, |_, _| Err(io::Error::other("disk full")));
    assert!(matches!(full, Err(LakeError::Put { key, .. }) if key == "region/part-0.parquet"));
}
