//! Arrow columns built value by value from Hive types: what every row format appends to.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Float32Builder, Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, ListArray,
    MapArray, NullBufferBuilder, OffsetBufferBuilder, StringBuilder, StringViewBuilder, StructArray,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, FieldRef, Fields};
use owlake_catalog::HiveType;

/// A value of a primitive Hive type, in the type's own representation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// `boolean`
    Boolean(bool),
    /// `tinyint` to `bigint`, within the type's range.
    Integer(i64),
    /// `float`
    Float(f32),
    /// `double`
    Double(f64),
    /// `decimal(p,s)` as its unscaled value, at most p digits.
    Decimal(i128),
    /// `string`, `varchar(n)`, `char(n)`, cut to n characters.
    Text(Cow<'a, str>),
    /// `binary`
    Binary(Cow<'a, [u8]>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Milliseconds since 1970-01-01T00:00:00.
    Timestamp(i64),
}

impl<'a> Scalar<'a> {
    /// Equal for equal values of one type: the keys of a map are found by it, however many there are.
    pub(crate) fn identity(&self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text.clone(),
            other => Cow::Owned(format!("{other:?}")),
        }
    }
}

/// One column under construction.
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    TinyInt(Int8Builder),
    SmallInt(Int16Builder),
    Int(Int32Builder),
    BigInt(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    TextView(StringViewBuilder),
    Binary(BinaryBuilder),
    BinaryView(BinaryViewBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMillisecondBuilder),
    List(Box<ListColumn>),
    Map(Box<MapColumn>),
    Struct(StructColumn),
}

/// `array<...>`
pub(crate) struct ListColumn {
    field: FieldRef,
    offsets: OffsetBufferBuilder<i32>,
    nulls: NullBufferBuilder,
    open: usize,
    /// Where the elements of the open list go.
    pub(crate) elements: ColumnBuilder,
}

/// `map<...>`
pub(crate) struct MapColumn {
    field: FieldRef,
    entries: Fields,
    offsets: OffsetBufferBuilder<i32>,
    nulls: NullBufferBuilder,
    open: usize,
    keys: ColumnBuilder,
    /// Where the value of a key goes, after [`MapColumn::key`].
    pub(crate) values: ColumnBuilder,
}

/// `struct<...>`
pub(crate) struct StructColumn {
    fields: Fields,
    nulls: NullBufferBuilder,
    /// One column a field; each gets a value for every [`StructColumn::close`].
    pub(crate) children: Vec<ColumnBuilder>,
}

impl ColumnBuilder {
    /// A column of the table: text and bytes as views, as queries see them.
    pub(crate) fn top(hive: &HiveType) -> Self {
        match hive {
            HiveType::String | HiveType::Varchar(_) | HiveType::Char(_) => {
                Self::TextView(StringViewBuilder::new())
            }
            HiveType::Binary => Self::BinaryView(BinaryViewBuilder::new()),
            nested => Self::nested(nested),
        }
    }

    fn nested(hive: &HiveType) -> Self {
        match hive {
            HiveType::Boolean => Self::Boolean(BooleanBuilder::new()),
            HiveType::TinyInt => Self::TinyInt(Int8Builder::new()),
            HiveType::SmallInt => Self::SmallInt(Int16Builder::new()),
            HiveType::Int => Self::Int(Int32Builder::new()),
            HiveType::BigInt => Self::BigInt(Int64Builder::new()),
            HiveType::Float => Self::Float(Float32Builder::new()),
            HiveType::Double => Self::Double(Float64Builder::new()),
            HiveType::Decimal { .. } => {
                Self::Decimal(Decimal128Builder::new().with_data_type(hive.to_arrow()))
            }
            HiveType::String | HiveType::Varchar(_) | HiveType::Char(_) => Self::Text(StringBuilder::new()),
            HiveType::Binary => Self::Binary(BinaryBuilder::new()),
            HiveType::Date => Self::Date(Date32Builder::new()),
            HiveType::Timestamp => Self::Timestamp(TimestampMillisecondBuilder::new()),
            HiveType::Array(element) => Self::List(Box::new(ListColumn::new(hive, element))),
            HiveType::Map(key, value) => Self::Map(Box::new(MapColumn::new(hive, key, value))),
            HiveType::Struct(fields) => Self::Struct(StructColumn {
                fields: match hive.to_arrow() {
                    DataType::Struct(fields) => fields,
                    _ => Fields::empty(),
                },
                nulls: NullBufferBuilder::new(0),
                children: fields.iter().map(|f| Self::nested(&f.data_type)).collect(),
            }),
        }
    }

    /// Appends NULL.
    pub(crate) fn append_null(&mut self) {
        match self {
            Self::Boolean(b) => b.append_null(),
            Self::TinyInt(b) => b.append_null(),
            Self::SmallInt(b) => b.append_null(),
            Self::Int(b) => b.append_null(),
            Self::BigInt(b) => b.append_null(),
            Self::Float(b) => b.append_null(),
            Self::Double(b) => b.append_null(),
            Self::Decimal(b) => b.append_null(),
            Self::Text(b) => b.append_null(),
            Self::TextView(b) => b.append_null(),
            Self::Binary(b) => b.append_null(),
            Self::BinaryView(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::List(list) => {
                list.offsets.push_length(0);
                list.nulls.append_null();
            }
            Self::Map(map) => {
                map.offsets.push_length(0);
                map.nulls.append_null();
            }
            Self::Struct(fields) => {
                fields.children.iter_mut().for_each(Self::append_null);
                fields.nulls.append_null();
            }
        }
    }

    /// Appends a value of the column's own type, or NULL. A value of another type is a defect: it becomes an error.
    pub(crate) fn append(&mut self, value: Option<Scalar<'_>>) -> Result<(), String> {
        let Some(value) = value else {
            self.append_null();
            return Ok(());
        };
        match (self, value) {
            (Self::Boolean(b), Scalar::Boolean(v)) => b.append_value(v),
            (Self::TinyInt(b), Scalar::Integer(v)) => b.append_value(narrow(v)?),
            (Self::SmallInt(b), Scalar::Integer(v)) => b.append_value(narrow(v)?),
            (Self::Int(b), Scalar::Integer(v)) => b.append_value(narrow(v)?),
            (Self::BigInt(b), Scalar::Integer(v)) => b.append_value(v),
            (Self::Float(b), Scalar::Float(v)) => b.append_value(v),
            (Self::Double(b), Scalar::Double(v)) => b.append_value(v),
            (Self::Decimal(b), Scalar::Decimal(v)) => b.append_value(v),
            (Self::Text(b), Scalar::Text(v)) => b.append_value(v),
            (Self::TextView(b), Scalar::Text(v)) => {
                b.try_append_value(v).map_err(|e| e.to_string())?;
            }
            (Self::Binary(b), Scalar::Binary(v)) => b.append_value(v),
            (Self::BinaryView(b), Scalar::Binary(v)) => {
                b.try_append_value(v).map_err(|e| e.to_string())?;
            }
            (Self::Date(b), Scalar::Date(v)) => b.append_value(v),
            (Self::Timestamp(b), Scalar::Timestamp(v)) => b.append_value(v),
            (_, value) => return Err(format!("{value:?} is not of the column's type")),
        }
        Ok(())
    }

    /// The finished column; the builder is empty again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, arrow::error::ArrowError> {
        Ok(match self {
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::TinyInt(b) => Arc::new(b.finish()),
            Self::SmallInt(b) => Arc::new(b.finish()),
            Self::Int(b) => Arc::new(b.finish()),
            Self::BigInt(b) => Arc::new(b.finish()),
            Self::Float(b) => Arc::new(b.finish()),
            Self::Double(b) => Arc::new(b.finish()),
            Self::Decimal(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::TextView(b) => Arc::new(b.finish()),
            Self::Binary(b) => Arc::new(b.finish()),
            Self::BinaryView(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::List(list) => list.finish()?,
            Self::Map(map) => map.finish()?,
            Self::Struct(fields) => fields.finish()?,
        })
    }
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T, String> {
    T::try_from(value).map_err(|_| format!("{value} is out of the column's range"))
}

fn offsets(builder: &mut OffsetBufferBuilder<i32>) -> arrow::buffer::OffsetBuffer<i32> {
    std::mem::replace(builder, OffsetBufferBuilder::new(0)).finish()
}

impl ListColumn {
    fn new(hive: &HiveType, element: &HiveType) -> Self {
        let field = match hive.to_arrow() {
            DataType::List(field) => field,
            other => Arc::new(arrow::datatypes::Field::new("item", other, true)),
        };
        Self {
            field,
            offsets: OffsetBufferBuilder::new(0),
            nulls: NullBufferBuilder::new(0),
            open: 0,
            elements: ColumnBuilder::nested(element),
        }
    }

    /// Counts an element that was appended to `elements`.
    pub(crate) fn element_done(&mut self) {
        self.open += 1;
    }

    /// Ends the open list.
    pub(crate) fn close(&mut self) {
        self.offsets.push_length(std::mem::take(&mut self.open));
        self.nulls.append_non_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, arrow::error::ArrowError> {
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(&self.field),
            offsets(&mut self.offsets),
            self.elements.finish()?,
            self.nulls.finish(),
        )?))
    }
}

impl MapColumn {
    fn new(hive: &HiveType, key: &HiveType, value: &HiveType) -> Self {
        let (field, entries) = match hive.to_arrow() {
            DataType::Map(field, _) => match field.data_type() {
                DataType::Struct(entries) => (Arc::clone(&field), entries.clone()),
                _ => (Arc::clone(&field), Fields::empty()),
            },
            other => (
                Arc::new(arrow::datatypes::Field::new("entries", other, false)),
                Fields::empty(),
            ),
        };
        Self {
            field,
            entries,
            offsets: OffsetBufferBuilder::new(0),
            nulls: NullBufferBuilder::new(0),
            open: 0,
            keys: ColumnBuilder::nested(key),
            values: ColumnBuilder::nested(value),
        }
    }

    /// Starts an entry; its value is to follow in `values`.
    pub(crate) fn key(&mut self, key: Scalar<'_>) -> Result<(), String> {
        self.keys.append(Some(key))?;
        self.open += 1;
        Ok(())
    }

    /// Ends the open map.
    pub(crate) fn close(&mut self) {
        self.offsets.push_length(std::mem::take(&mut self.open));
        self.nulls.append_non_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, arrow::error::ArrowError> {
        let entries = StructArray::try_new(
            self.entries.clone(),
            vec![self.keys.finish()?, self.values.finish()?],
            None,
        )?;
        Ok(Arc::new(MapArray::try_new(
            Arc::clone(&self.field),
            offsets(&mut self.offsets),
            entries,
            self.nulls.finish(),
            false,
        )?))
    }
}

impl StructColumn {
    /// Ends the open struct, after every child got its value.
    pub(crate) fn close(&mut self) {
        self.nulls.append_non_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, arrow::error::ArrowError> {
        let children = self
            .children
            .iter_mut()
            .map(ColumnBuilder::finish)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StructArray::try_new(
            self.fields.clone(),
            children,
            self.nulls.finish(),
        )?))
    }
}
