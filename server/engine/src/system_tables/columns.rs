//! Builds the columns of a system table from its rows, one closure per column. What the tables hold is not in here.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Array, Decimal128Builder, Int64Builder, MapBuilder, MapFieldNames,
    RecordBatch, StringBuilder, TimestampMillisecondBuilder,
};
use datafusion::arrow::datatypes::{Date32Type, Field, Schema};
use datafusion::arrow::error::ArrowError;
use owlake_metering::Usd;

/// The columns made so far. The types do not depend on the rows, so that an empty table has the same schema.
pub(crate) struct Columns<'a, R> {
    rows: &'a [R],
    made: Result<(Vec<Field>, Vec<ArrayRef>), ArrowError>,
}

impl<'a, R> Columns<'a, R> {
    pub(crate) fn of(rows: &'a [R]) -> Self {
        Self {
            rows,
            made: Ok((Vec::new(), Vec::new())),
        }
    }

    /// `varchar`.
    pub(crate) fn text<'r>(self, name: &str, value: impl Fn(&'r R) -> Option<&'r str>) -> Self
    where
        'a: 'r,
    {
        let mut builder = StringBuilder::new();
        self.rows.iter().for_each(|row| builder.append_option(value(row)));
        self.push(name, Ok(Arc::new(builder.finish())))
    }

    /// `bigint`: Trino has no unsigned types, and it holds every count there is.
    pub(crate) fn count(self, name: &str, value: impl Fn(&R) -> Option<u64>) -> Self {
        let mut builder = Int64Builder::new();
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.rows
            .iter()
            .for_each(|row| builder.append_option(value(row).map(signed)));
        self.push(name, Ok(Arc::new(builder.finish())))
    }

    /// `bigint`, from a duration.
    pub(crate) fn millis(self, name: &str, value: impl Fn(&R) -> std::time::Duration) -> Self {
        self.count(name, |row| {
            Some(u64::try_from(value(row).as_millis()).unwrap_or(u64::MAX))
        })
    }

    /// `decimal(38,12)`.
    pub(crate) fn money(self, name: &str, value: impl Fn(&R) -> Option<Usd>) -> Self {
        let mut builder = Decimal128Builder::new();
        self.rows
            .iter()
            .for_each(|row| builder.append_option(value(row).map(|usd| usd.pico())));
        let array = builder.finish().with_precision_and_scale(38, 12);
        self.push(name, array.map(|array| Arc::new(array) as ArrayRef))
    }

    /// `timestamp(3)` in UTC.
    pub(crate) fn time(
        self,
        name: &str,
        value: impl Fn(&R) -> Option<chrono::DateTime<chrono::Utc>>,
    ) -> Self {
        let mut builder = TimestampMillisecondBuilder::new();
        self.rows
            .iter()
            .for_each(|row| builder.append_option(value(row).map(|time| time.timestamp_millis())));
        self.push(name, Ok(Arc::new(builder.finish())))
    }

    /// `date`.
    pub(crate) fn date(self, name: &str, value: impl Fn(&R) -> chrono::NaiveDate) -> Self {
        let days = self
            .rows
            .iter()
            .map(|row| Date32Type::from_naive_date(value(row)));
        let array = Date32Array::from_iter_values(days);
        self.push(name, Ok(Arc::new(array)))
    }

    /// `boolean`.
    pub(crate) fn flag(self, name: &str, value: impl Fn(&R) -> bool) -> Self {
        let mut builder = BooleanBuilder::new();
        self.rows.iter().for_each(|row| builder.append_value(value(row)));
        self.push(name, Ok(Arc::new(builder.finish())))
    }

    /// `map(varchar, varchar)`.
    pub(crate) fn tags<'r>(
        self,
        name: &str,
        value: impl Fn(&'r R) -> &'r std::collections::BTreeMap<String, String>,
    ) -> Self
    where
        'a: 'r,
    {
        let names = MapFieldNames {
            entry: "entries".to_owned(),
            key: "key".to_owned(),
            value: "value".to_owned(),
        };
        let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
        for row in self.rows {
            for (key, tag) in value(row) {
                builder.keys().append_value(key);
                builder.values().append_value(tag);
            }
            if let Err(error) = builder.append(true) {
                return self.push(name, Err(error));
            }
        }
        self.push(name, Ok(Arc::new(builder.finish())))
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let (fields, arrays) = self.made?;
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
    }

    fn push(mut self, name: &str, array: Result<ArrayRef, ArrowError>) -> Self {
        match (&mut self.made, array) {
            (Ok((fields, arrays)), Ok(array)) => {
                fields.push(Field::new(name, array.data_type().clone(), true));
                arrays.push(array);
            }
            (Ok(_), Err(error)) => self.made = Err(error),
            (Err(_), _) => {}
        }
        self
    }
}
