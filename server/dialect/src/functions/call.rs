//! One invocation of a function body: typed access to its arguments and capped builders for its result.
//!
//! Constant arguments stay arrays of length one; `row` maps a row to its place in either kind.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Date32Array, Float64Array,
    Int64Array, ListArray, MapArray, StringArray, StringBuilder,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Date32Type, FieldRef, Float64Type, Int64Type};
use datafusion::error::{DataFusionError, Result};
use owlake_fault::{Code, Fault};

use super::space::Space;
use crate::semantics::error::{bad_argument, fault};

/// Largest single text, binary or array value a function may produce.
pub(crate) const MAX_VALUE_BYTES: usize = 32 * 1024 * 1024;
/// Largest column (one batch) a function may produce; keeps offsets well below their 2 GiB limit.
pub(crate) const MAX_BATCH_BYTES: usize = 512 * 1024 * 1024;

/// Arguments of one invocation.
pub(crate) struct Call {
    /// Function name, for messages.
    pub(crate) name: &'static str,
    /// Argument columns, of length `rows` or (constants) one.
    pub(crate) args: Vec<ArrayRef>,
    /// Fields of the arguments.
    pub(crate) fields: Vec<FieldRef>,
    /// Rows to produce.
    pub(crate) rows: usize,
    /// Type to produce.
    pub(crate) returns: DataType,
    /// Memory of the result.
    pub(crate) space: Space,
    /// Bytes of the result so far.
    pub(crate) built: Cell<usize>,
}

/// A typed view on one argument.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a, A> {
    array: &'a A,
    constant: bool,
}

impl<'a, A: Array> Column<'a, A> {
    /// Index of `row` in the array, `None` when the value is NULL.
    pub(crate) fn at(&self, row: usize) -> Option<usize> {
        let i = if self.constant { 0 } else { row };
        self.array.is_valid(i).then_some(i)
    }

    /// The array itself.
    pub(crate) fn array(&self) -> &'a A {
        self.array
    }
}

impl<'a> Column<'a, StringArray> {
    /// Text of a row.
    pub(crate) fn get(&self, row: usize) -> Option<&'a str> {
        self.at(row).map(|i| self.array.value(i))
    }
}

impl<'a> Column<'a, BinaryArray> {
    /// Bytes of a row.
    pub(crate) fn get(&self, row: usize) -> Option<&'a [u8]> {
        self.at(row).map(|i| self.array.value(i))
    }
}

impl Column<'_, BooleanArray> {
    /// Boolean of a row.
    pub(crate) fn get(&self, row: usize) -> Option<bool> {
        self.at(row).map(|i| self.array.value(i))
    }
}

impl<T: ArrowPrimitiveType> Column<'_, arrow::array::PrimitiveArray<T>> {
    /// Number of a row.
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        self.at(row).map(|i| self.array.value(i))
    }
}

impl Call {
    fn column<'a, A: Array>(
        &'a self,
        i: usize,
        cast: impl Fn(&'a ArrayRef) -> Option<&'a A>,
    ) -> Result<Column<'a, A>> {
        let array = self.args.get(i).and_then(cast).ok_or_else(|| {
            DataFusionError::Internal(format!("{}: argument {i} has an unexpected type", self.name))
        })?;
        Ok(Column {
            array,
            constant: array.len() == 1 && self.rows != 1,
        })
    }

    /// How many arguments were given.
    pub(crate) fn len(&self) -> usize {
        self.args.len()
    }

    /// Text argument.
    pub(crate) fn text(&self, i: usize) -> Result<Column<'_, StringArray>> {
        self.column(i, |a| a.as_string_opt::<i32>())
    }

    /// Binary argument.
    pub(crate) fn bytes(&self, i: usize) -> Result<Column<'_, BinaryArray>> {
        self.column(i, |a| a.as_binary_opt::<i32>())
    }

    /// Bigint argument.
    pub(crate) fn int(&self, i: usize) -> Result<Column<'_, Int64Array>> {
        self.column(i, |a| a.as_primitive_opt::<Int64Type>())
    }

    /// Double argument.
    pub(crate) fn double(&self, i: usize) -> Result<Column<'_, Float64Array>> {
        self.column(i, |a| a.as_primitive_opt::<Float64Type>())
    }

    /// Boolean argument.
    pub(crate) fn boolean(&self, i: usize) -> Result<Column<'_, BooleanArray>> {
        self.column(i, |a| a.as_boolean_opt())
    }

    /// Date argument.
    pub(crate) fn date(&self, i: usize) -> Result<Column<'_, Date32Array>> {
        self.column(i, |a| a.as_primitive_opt::<Date32Type>())
    }

    /// Array argument.
    pub(crate) fn list(&self, i: usize) -> Result<Column<'_, ListArray>> {
        self.column(i, |a| a.as_list_opt::<i32>())
    }

    /// Map argument.
    pub(crate) fn map(&self, i: usize) -> Result<Column<'_, MapArray>> {
        self.column(i, |a| a.as_map_opt())
    }

    /// Any primitive argument.
    pub(crate) fn primitive<T: ArrowPrimitiveType>(
        &self,
        i: usize,
    ) -> Result<Column<'_, arrow::array::PrimitiveArray<T>>> {
        self.column(i, |a| a.as_primitive_opt::<T>())
    }

    /// Any argument, untyped.
    pub(crate) fn any(&self, i: usize) -> Result<Column<'_, ArrayRef>> {
        self.column(i, Some)
    }

    /// An argument with constants repeated to `rows`.
    pub(crate) fn full(&self, i: usize) -> Result<ArrayRef> {
        let column = self.any(i)?;
        if column.constant {
            let zeros = arrow::array::UInt32Array::from(vec![0_u32; self.rows]);
            return Ok(arrow::compute::take(column.array, &zeros, None)?);
        }
        Ok(Arc::clone(column.array))
    }

    /// Builds a text column; the caps turn a runaway value into an error.
    pub(crate) fn build_text<'v>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<Cow<'v, str>>>,
    ) -> Result<ArrayRef> {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 8);
        let mut total = 0;
        for row in 0..self.rows {
            let text = value(row)?;
            total = self.grow(total, text.as_ref().map_or(0, |t| t.len()))?;
            out.append_option(text);
        }
        Ok(Arc::new(out.finish()))
    }

    /// Builds a binary column with the same caps.
    pub(crate) fn build_bytes(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<Vec<u8>>>,
    ) -> Result<ArrayRef> {
        let mut out = BinaryBuilder::with_capacity(self.rows, self.rows * 8);
        let mut total = 0;
        for row in 0..self.rows {
            let bytes = value(row)?;
            total = self.grow(total, bytes.as_ref().map_or(0, Vec::len))?;
            out.append_option(bytes);
        }
        Ok(Arc::new(out.finish()))
    }

    /// Builds a column of a primitive type.
    pub(crate) fn build<T: ArrowPrimitiveType>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let mut out = arrow::array::PrimitiveBuilder::<T>::with_capacity(self.rows);
        for row in 0..self.rows {
            out.append_option(value(row)?);
        }
        Ok(Arc::new(out.finish().with_data_type(self.returns.clone())))
    }

    /// Builds a boolean column.
    pub(crate) fn build_bool(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<bool>>,
    ) -> Result<ArrayRef> {
        let values = (0..self.rows).map(&mut value).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(BooleanArray::from(values)))
    }

    /// Refuses a value that would pass the per-value cap, or that memory has no room for, before it is built.
    pub(crate) fn check_value(&self, bytes: usize) -> Result<()> {
        if bytes > MAX_VALUE_BYTES {
            return Err(bad_argument(format!(
                "{}: result of {bytes} bytes is larger than {MAX_VALUE_BYTES} bytes",
                self.name
            )));
        }
        // Once as the value, once more in the column.
        self.reserve(self.built.get() + 2 * bytes)
    }

    /// Adds `bytes` to a running total, refusing values and batches past their caps and past what memory has room for.
    pub(crate) fn grow(&self, total: usize, bytes: usize) -> Result<usize> {
        self.check_value(bytes)?;
        let total = total.saturating_add(bytes);
        if total > MAX_BATCH_BYTES {
            return Err(fault(Fault::new(
                Code::ExceededMemoryLimit,
                format!(
                    "{}: results of one batch are larger than {MAX_BATCH_BYTES} bytes",
                    self.name
                ),
            )));
        }
        self.built.set(total);
        Ok(total)
    }

    /// Refuses what memory has no room for; `bytes` is all that the call holds, its result included.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<()> {
        self.space.reserve(self.name, self.rows, bytes)
    }
}
