//! Values as text, the same in every text format: Athena's forms for times, nested values in brackets.

use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// How each column of a result becomes text; made once per result.
pub(super) struct Cells {
    columns: Vec<Pattern>,
    show_errors: bool,
}

struct Pattern {
    timestamp: &'static str,
    timestamp_tz: String,
    time: &'static str,
}

/// The columns of one batch.
pub(super) struct BatchCells<'a> {
    columns: Vec<(ArrayFormatter<'a>, Option<NullBuffer>)>,
    show_errors: bool,
}

impl Cells {
    /// With `show_errors`, a value that has no text (a date out of range) is shown as an error in its place; without,
    /// it ends the output.
    pub(super) fn new<'f>(fields: impl IntoIterator<Item = &'f Field>, show_errors: bool) -> Self {
        Self {
            columns: fields
                .into_iter()
                .map(|field| Pattern::of(field.data_type()))
                .collect(),
            show_errors,
        }
    }

    pub(super) fn of<'a>(&'a self, batch: &'a RecordBatch) -> Result<BatchCells<'a>, ArrowError> {
        let columns = batch.columns().iter().zip(&self.columns);
        let columns = columns.map(|(array, pattern)| {
            let options = pattern.options(self.show_errors);
            Ok((
                ArrayFormatter::try_new(array.as_ref(), &options)?,
                array.logical_nulls(),
            ))
        });
        Ok(BatchCells {
            columns: columns.collect::<Result<_, ArrowError>>()?,
            show_errors: self.show_errors,
        })
    }
}

impl Pattern {
    fn of(data_type: &DataType) -> Self {
        let digits = match data_type {
            DataType::Timestamp(TimeUnit::Second, _) | DataType::Time32(TimeUnit::Second) => "",
            DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Time32(TimeUnit::Millisecond) => "%.3f",
            DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Time64(TimeUnit::Microsecond) => "%.6f",
            DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Time64(TimeUnit::Nanosecond) => "%.9f",
            // Times inside of nested values share one form.
            _ => "%.f",
        };
        let (timestamp, time) = match digits {
            "" => ("%Y-%m-%d %H:%M:%S", "%H:%M:%S"),
            "%.3f" => ("%Y-%m-%d %H:%M:%S%.3f", "%H:%M:%S%.3f"),
            "%.6f" => ("%Y-%m-%d %H:%M:%S%.6f", "%H:%M:%S%.6f"),
            "%.9f" => ("%Y-%m-%d %H:%M:%S%.9f", "%H:%M:%S%.9f"),
            _ => ("%Y-%m-%d %H:%M:%S%.f", "%H:%M:%S%.f"),
        };
        let zone = match data_type {
            DataType::Timestamp(_, Some(zone)) => zone.replace('%', "%%"),
            _ => "%:z".to_owned(),
        };
        Self {
            timestamp,
            timestamp_tz: format!("{timestamp} {zone}"),
            time,
        }
    }

    fn options(&self, show_errors: bool) -> FormatOptions<'_> {
        FormatOptions::new()
            .with_display_error(show_errors)
            .with_null("NULL")
            .with_timestamp_format(Some(self.timestamp))
            .with_timestamp_tz_format(Some(&self.timestamp_tz))
            .with_time_format(Some(self.time))
    }
}

impl BatchCells<'_> {
    /// Text of one value; `None` for NULL.
    pub(super) fn text(&self, row: usize, column: usize) -> Result<Option<String>, ArrowError> {
        let Some((formatter, nulls)) = self.columns.get(column) else {
            return Ok(None);
        };
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        match formatter.value(row).try_to_string() {
            Err(error) if self.show_errors => Ok(Some(format!("ERROR: {error}"))),
            text => text.map(Some),
        }
    }
}

/// Whether a column is read by its last digit.
pub(super) fn is_right_aligned(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Makes line ends, tabs and other control characters visible: values never move the cursor or break a table.
pub(super) fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            control if control.is_control() => {
                safe.push_str(&format!("\\u{{{:x}}}", u32::from(control)));
            }
            plain => safe.push(plain),
        }
    }
    safe
}
