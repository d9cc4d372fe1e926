//! JSON with real types, through Arrow's writer: decimals are numbers, NULL is null, nested values stay nested.
//!
//! Arrow's writer takes text keys of maps only; other keys get their text here.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{
    Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder, WriterBuilder, make_encoder,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{FormatError, RowWriter};

/// Objects, one per line; as an array or on their own.
pub(super) struct Json {
    array: bool,
    rows: usize,
}

impl Json {
    pub(super) fn array() -> Self {
        Self { array: true, rows: 0 }
    }

    pub(super) fn lines() -> Self {
        Self {
            array: false,
            rows: 0,
        }
    }
}

impl RowWriter for Json {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), FormatError> {
        let mut writer = WriterBuilder::new()
            .with_explicit_nulls(true)
            .with_encoder_factory(Arc::new(AnyMapKeys))
            .build::<_, LineDelimited>(Vec::new());
        writer.write(batch)?;
        writer.finish()?;
        let lines = writer.into_inner();
        if !self.array {
            out.write_all(&lines)?;
            return Ok(());
        }
        // Line ends inside of strings are escaped, so each line is one object.
        for object in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            out.write_all(if self.rows == 0 { b"[" } else { b",\n " })?;
            out.write_all(object)?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), FormatError> {
        if self.array {
            out.write_all(if self.rows == 0 { b"[]\n" } else { b"]\n" })?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct AnyMapKeys;

impl EncoderFactory for AnyMapKeys {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let DataType::Map(_, _) = array.data_type() else {
            return Ok(None);
        };
        let map = array.as_map();
        let keys = map.keys();
        if matches!(
            keys.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ) {
            return Ok(None);
        }
        let format = FormatOptions::new().with_display_error(false);
        let formatter = ArrayFormatter::try_new(keys.as_ref(), &format)?;
        let keys: Vec<String> = (0..keys.len())
            .map(|row| formatter.value(row).try_to_string())
            .collect::<Result<_, _>>()?;
        let encoder = MapEncoder {
            offsets: map.offsets().clone(),
            keys: StringArray::from(keys),
            values: make_encoder(field, map.values(), options)?,
        };
        Ok(Some(NullableEncoder::new(
            Box::new(encoder),
            map.nulls().cloned(),
        )))
    }
}

struct MapEncoder<'a> {
    offsets: OffsetBuffer<i32>,
    keys: StringArray,
    values: NullableEncoder<'a>,
}

impl Encoder for MapEncoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let entries = self.offsets.iter().zip(self.offsets.iter().skip(1)).nth(row);
        let (start, end) = entries.map_or((0, 0), |(start, end)| (*start, *end));
        out.push(b'{');
        for (position, entry) in (start..end)
            .filter_map(|entry| usize::try_from(entry).ok())
            .enumerate()
        {
            if position > 0 {
                out.push(b',');
            }
            // The text of a number, date or boolean; escaping it cannot fail on its way into a Vec.
            let key = serde_json::Value::from(self.keys.value(entry)).to_string();
            out.extend_from_slice(key.as_bytes());
            out.push(b':');
            if self.values.is_null(entry) {
                out.extend_from_slice(b"null");
            } else {
                self.values.encode(entry, out);
            }
        }
        out.push(b'}');
    }
}
