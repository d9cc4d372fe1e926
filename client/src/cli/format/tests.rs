//! What each format writes for the same rows: NULL, quotes, control characters, nested values, times, decimals.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
    Int32Builder, Int64Array, ListArray, MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn strings(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

const ALL: Layout = Layout {
    width: None,
    max_rows: None,
    expanded: Expanded::Auto,
};

fn written_as(format: Format, layout: Layout, batches: &[RecordBatch]) -> String {
    let schema = batches
        .first()
        .map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let mut writer = format.writer(&schema, layout);
    let mut out = Vec::new();
    for batch in batches {
        writer.batch(batch, &mut out).unwrap();
    }
    writer.finish(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn written(format: Format, batches: &[RecordBatch]) -> String {
    written_as(format, ALL, batches)
}

fn two_columns() -> RecordBatch {
    batch(vec![
        (
            "n",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(-3), Some(4)])),
        ),
        (
            "s, \"q\"",
            strings(&[Some("a,b"), Some(""), None, Some("say \"hi\"\nthere")]),
        ),
    ])
}

#[test]
fn csv_quotes_what_needs_it_and_tells_null_from_empty() {
    assert_eq!(
        written(Format::Csv, &[two_columns()]),
        "n,\"s, \"\"q\"\"\"\n1,\"a,b\"\n,\"\"\n-3,\n4,\"say \"\"hi\"\"\nthere\"\n"
    );
}

#[test]
fn tsv_escapes_and_marks_null() {
    let rows = batch(vec![
        (
            "a",
            strings(&[Some("x\ty"), None, Some("back\\slash\r\n"), Some("")]),
        ),
        ("b", strings(&[Some("\\N"); 4])),
    ]);
    assert_eq!(
        written(Format::Tsv, &[rows]),
        "a\tb\nx\\ty\t\\\\N\n\\N\t\\\\N\nback\\\\slash\\r\\n\t\\\\N\n\t\\\\N\n"
    );
}

#[test]
fn an_empty_result_keeps_its_header() {
    let empty = two_columns().slice(0, 0);
    assert_eq!(
        written(Format::Csv, std::slice::from_ref(&empty)),
        "n,\"s, \"\"q\"\"\"\n"
    );
    assert_eq!(
        written(Format::Tsv, std::slice::from_ref(&empty)),
        "n\ts, \"q\"\n"
    );
    assert_eq!(written(Format::Json, std::slice::from_ref(&empty)), "[]\n");
    assert_eq!(written(Format::Jsonl, std::slice::from_ref(&empty)), "");
    assert_eq!(
        written(Format::Markdown, std::slice::from_ref(&empty)),
        "| n | s, \"q\" |\n| ---: | --- |\n"
    );
    assert!(written(Format::Table, &[empty]).contains("s, \"q\""));
}

#[test]
fn json_has_real_types_and_one_array_over_all_batches() {
    let rows = batch(vec![
        ("i", Arc::new(Int32Array::from(vec![Some(1), None]))),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![1_250, -5])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("b", Arc::new(BooleanArray::from(vec![true, false]))),
        ("f", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
        ("s", strings(&[Some("é\n\""), None])),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
                Some(vec![Some(1), None]),
                None,
            ])),
        ),
    ]);
    let first = r#"{"i":1,"d":12.50,"b":true,"f":0.5,"s":"é\n\"","l":[1,null]}"#;
    let second = r#"{"i":null,"d":-0.05,"b":false,"f":null,"s":null,"l":null}"#;
    assert_eq!(
        written(Format::Jsonl, std::slice::from_ref(&rows)),
        format!("{first}\n{second}\n")
    );
    let text = written(Format::Json, &[rows.slice(0, 1), rows.slice(1, 1)]);
    assert_eq!(text, format!("[{first},\n {second}]\n"));
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed.as_array().unwrap().len(), 2);
}

fn map_of_int_keys() -> ArrayRef {
    let mut builder = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
    builder.keys().append_value(7);
    builder.values().append_value("x\"");
    builder.keys().append_value(8);
    builder.values().append_null();
    builder.append(true).unwrap();
    builder.append(false).unwrap();
    builder.append(true).unwrap();
    Arc::new(builder.finish())
}

#[test]
fn json_writes_maps_whose_keys_are_not_text() {
    let rows = batch(vec![("m", map_of_int_keys())]);
    assert_eq!(
        written(Format::Jsonl, &[rows]),
        "{\"m\":{\"7\":\"x\\\"\",\"8\":null}}\n{\"m\":null}\n{\"m\":{}}\n"
    );
}

#[test]
fn times_read_as_in_athena_and_nested_values_in_brackets() {
    let struct_column = StructArray::from(vec![(
        Arc::new(Field::new("x", DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![None])) as ArrayRef,
    )]);
    let rows = batch(vec![
        ("day", Arc::new(Date32Array::from(vec![20_000]))),
        (
            "ms",
            Arc::new(TimestampMillisecondArray::from(vec![1_728_000_000_500])),
        ),
        (
            "us",
            Arc::new(
                TimestampMicrosecondArray::from(vec![1_728_000_000_000_000]).with_timezone("Europe/Berlin"),
            ),
        ),
        ("st", Arc::new(struct_column)),
        (
            "li",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![
                Some(1),
                None,
            ])])),
        ),
        (
            "di",
            Arc::new(["v"].into_iter().collect::<DictionaryArray<Int32Type>>()),
        ),
    ]);
    assert_eq!(
        written(Format::Tsv, &[rows]).lines().last().unwrap(),
        "2024-10-04\t2024-10-04 00:00:00.500\t2024-10-04 02:00:00.000000 Europe/Berlin\t{x: NULL}\t[1, NULL]\tv"
    );
}

#[test]
fn nulls_of_a_dictionary_are_nulls() {
    let column: DictionaryArray<Int32Type> = [Some("a"), None].into_iter().collect();
    assert_eq!(
        written(
            Format::Csv,
            &[batch(vec![
                ("d", Arc::new(column)),
                ("e", strings(&[Some("x"); 2]))
            ])]
        ),
        "d,e\na,x\n,x\n"
    );
}

#[test]
fn markdown_escapes_bars_and_line_ends() {
    let rows = batch(vec![("a|b", strings(&[Some("x|y\nz"), None]))]);
    assert_eq!(
        written(Format::Markdown, &[rows]),
        "| a\\|b |\n| --- |\n| x\\|y\\nz |\n| NULL |\n"
    );
}

#[test]
fn a_table_shows_null_aligns_numbers_and_hides_control_characters() {
    let text = written(Format::Table, &[two_columns()]);
    assert!(text.contains("│   -3 ┆ NULL"), "{text}");
    assert!(text.contains("say \"hi\"\\nthere"), "{text}");
    let text = written(
        Format::Table,
        &[batch(vec![("c", strings(&[Some("\u{1b}[31mred")]))])],
    );
    assert!(
        !text.contains('\u{1b}') && text.contains("\\u{1b}[31mred"),
        "{text}"
    );
}

#[test]
fn a_table_shows_the_first_rows_and_counts_the_others() {
    let rows = batch(vec![("n", Arc::new(Int32Array::from_iter_values(0..30)))]);
    let layout = Layout {
        max_rows: Some(40),
        ..ALL
    };
    let text = written_as(Format::Table, layout, &[rows.clone(), rows.clone()]);
    assert!(
        text.contains(" 29 ") && text.contains("\n... 20 more rows"),
        "{text}"
    );
    assert_eq!(text.matches("│").count(), 2 * 41, "{text}");
    assert!(!written(Format::Table, &[rows.clone(), rows]).contains("more rows"));
}

#[test]
fn a_table_fits_the_terminal() {
    let long = "word ".repeat(100);
    let rows = batch(vec![
        ("a", strings(&[Some(&long)])),
        ("b", strings(&[Some(&long)])),
    ]);
    let layout = Layout {
        width: Some(60),
        ..ALL
    };
    for line in written_as(Format::Table, layout, &[rows]).lines() {
        assert!(line.chars().count() <= 60, "{line}");
    }
}

#[test]
fn columns_that_cannot_fit_are_shown_one_value_per_line() {
    let columns = (0..8).map(|_| ("name", strings(&[Some("v")]))).collect();
    let rows = batch(columns);
    let layout = Layout {
        width: Some(80),
        ..ALL
    };
    let text = written_as(Format::Table, layout, std::slice::from_ref(&rows));
    assert!(text.starts_with("-[ row 1 ]-\nname | v\n"), "{text}");
    let off = Layout {
        expanded: Expanded::Off,
        ..layout
    };
    assert!(!written_as(Format::Table, off, std::slice::from_ref(&rows)).contains("row 1"));
    let on = Layout {
        expanded: Expanded::On,
        ..ALL
    };
    assert!(written_as(Format::Table, on, &[two_columns()]).contains("s, \"q\" | NULL\n-[ row 4 ]-"));
}

#[test]
fn a_value_without_a_text_fails_data_formats_and_is_shown_to_people() {
    let rows = batch(vec![(
        "t",
        Arc::new(TimestampMillisecondArray::from(vec![i64::MAX])),
    )]);
    let mut writer = Format::Csv.writer(&rows.schema(), ALL);
    assert!(matches!(
        writer.batch(&rows, &mut Vec::new()),
        Err(FormatError::Value(_))
    ));
    assert!(written(Format::Table, &[rows]).contains("ERROR"));
}

#[test]
fn an_arrow_file_reads_back_as_it_was_also_without_rows() {
    let batch = two_columns();
    let schema = batch.schema();
    for batches in [vec![batch.clone(), batch.slice(1, 2)], Vec::new()] {
        let mut writer = Format::Arrow.writer(&schema, ALL);
        let mut out = Vec::new();
        for batch in &batches {
            let before = out.len();
            writer.batch(batch, &mut out).unwrap();
            assert!(out.len() > before, "rows are not kept until the end");
        }
        writer.finish(&mut out).unwrap();
        let reader = arrow::ipc::reader::FileReader::try_new(io::Cursor::new(out), None).unwrap();
        assert_eq!(reader.schema(), schema);
        let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        assert_eq!(read, batches);
    }
}
