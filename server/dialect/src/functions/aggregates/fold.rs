//! Aggregates that keep a number and a count per group: `sum`, `avg`, `count_if`, `geometric_mean`, bits.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::exact::fold_exact;
use super::taken::{Taken, each_row};
use crate::functions::math::round_half_up;
use crate::semantics::error::out_of_range;
use crate::semantics::ty::Ty;

/// Which fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::functions) enum Fold {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `count_if`
    CountIf,
    /// `geometric_mean`
    GeometricMean,
    /// `bitwise_and_agg`
    BitAnd,
    /// `bitwise_or_agg`
    BitOr,
}

impl Fold {
    /// Trino's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Fold::Sum => "sum",
            Fold::Avg => "avg",
            Fold::CountIf => "count_if",
            Fold::GeometricMean => "geometric_mean",
            Fold::BitAnd => "bitwise_and_agg",
            Fold::BitOr => "bitwise_or_agg",
        }
    }

    /// Accepted forms, for messages.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Fold::Sum => "sum(bigint), sum(decimal(p,s)), sum(real), sum(double)",
            Fold::Avg => "avg(bigint), avg(decimal(p,s)), avg(real), avg(double)",
            Fold::CountIf => "count_if(boolean)",
            Fold::GeometricMean => "geometric_mean(double)",
            Fold::BitAnd => "bitwise_and_agg(bigint)",
            Fold::BitOr => "bitwise_or_agg(bigint)",
        }
    }

    /// The type the argument converts to.
    pub(super) fn input(self, given: &DataType) -> Option<DataType> {
        let ty = Ty::of_type(given);
        match self {
            Fold::Sum | Fold::Avg => match ty {
                Ty::Decimal(p, s) => Some(DataType::Decimal128(p, s)),
                Ty::Real => Some(DataType::Float32),
                Ty::Double => Some(DataType::Float64),
                t if t.is_integer() && self == Fold::Avg => Some(DataType::Float64),
                t if t.is_integer() || t == Ty::Unknown => Some(DataType::Int64),
                _ => None,
            },
            Fold::CountIf => matches!(ty, Ty::Boolean | Ty::Unknown).then_some(DataType::Boolean),
            Fold::GeometricMean => (ty.is_numeric() || ty == Ty::Unknown).then_some(DataType::Float64),
            Fold::BitAnd | Fold::BitOr => (ty.is_integer() || ty == Ty::Unknown).then_some(DataType::Int64),
        }
    }

    /// The result type for a converted argument.
    pub(super) fn output(self, input: &DataType) -> DataType {
        match (self, input) {
            (Fold::Sum, DataType::Decimal128(_, s)) => DataType::Decimal128(38, *s),
            (Fold::CountIf, _) => DataType::Int64,
            (Fold::Avg, DataType::Int64) => DataType::Float64,
            (_, other) => other.clone(),
        }
    }

    /// Types of the partial state: the number and the count.
    pub(super) fn state_types(self, input: &DataType) -> Vec<DataType> {
        let number = match input {
            DataType::Float32 | DataType::Float64 => DataType::Float64,
            DataType::Decimal128(_, s) => DataType::Decimal128(38, *s),
            _ => DataType::Decimal128(38, 0),
        };
        vec![number, DataType::Int64]
    }
}

/// Per-group numbers: exact ones as 128-bit integers, floats as doubles.
#[derive(Debug)]
enum Numbers {
    Exact(Vec<i128>),
    Float(Vec<f64>),
}

/// State of a fold, for many groups or (as plain accumulator) one.
#[derive(Debug)]
pub(super) struct Folded {
    fold: Fold,
    numbers: Numbers,
    counts: Vec<i64>,
    scale: i8,
    returns: DataType,
}

impl Folded {
    /// An empty state.
    pub(super) fn new(fold: Fold, input: &DataType, returns: &DataType) -> Result<Self> {
        let (numbers, scale) = match input {
            DataType::Float32 | DataType::Float64 => (Numbers::Float(Vec::new()), 0),
            DataType::Decimal128(_, s) => (Numbers::Exact(Vec::new()), *s),
            DataType::Int64 | DataType::Boolean | DataType::Null => (Numbers::Exact(Vec::new()), 0),
            other => return Err(DataFusionError::Internal(format!("{} of {other}", fold.name()))),
        };
        Ok(Self {
            fold,
            numbers,
            counts: Vec::new(),
            scale,
            returns: returns.clone(),
        })
    }

    fn start(&self) -> i128 {
        if self.fold == Fold::BitAnd { -1 } else { 0 }
    }

    fn resize(&mut self, groups: usize) {
        if self.counts.len() >= groups {
            return;
        }
        self.counts.resize(groups, 0);
        let start = self.start();
        match &mut self.numbers {
            Numbers::Exact(v) => v.resize(groups, start),
            Numbers::Float(v) => v.resize(groups, 0.0),
        }
    }

    /// Adds (or, for sliding windows, takes away) `rows` of `values`; `group` maps a row to its group.
    fn add(
        &mut self,
        values: &ArrayRef,
        group: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
        sign: i8,
    ) -> Result<()> {
        let step = i64::from(sign);
        let rows = Taken::new(values, filter);
        let counts = &mut self.counts;
        if let DataType::Boolean = values.data_type() {
            let a = values.as_boolean();
            each_row!(rows, row => counts[group(row)] += step * i64::from(a.value(row)));
            return Ok(());
        }
        match &mut self.numbers {
            Numbers::Float(sums) => {
                let wide = arrow::compute::cast(values, &DataType::Float64)?;
                let a = wide.as_primitive::<Float64Type>().values();
                let log = self.fold == Fold::GeometricMean;
                each_row!(rows, row => {
                    let g = group(row);
                    let value = if log { a[row].ln() } else { a[row] };
                    sums[g] += f64::from(sign) * value;
                    counts[g] += step;
                });
                Ok(())
            }
            Numbers::Exact(sums) => {
                let add = |row: usize, value: i128| -> (usize, i128) {
                    (group(row), if sign < 0 { value.wrapping_neg() } else { value })
                };
                let count = |g: usize, _| counts[g] += step;
                match values.data_type() {
                    DataType::Decimal128(..) => {
                        let a = values.as_primitive::<Decimal128Type>().values();
                        fold_exact(self.fold, sums, &rows, |row| add(row, a[row]), count)
                    }
                    DataType::Int64 => {
                        let a = values.as_primitive::<Int64Type>().values();
                        fold_exact(self.fold, sums, &rows, |row| add(row, i128::from(a[row])), count)
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// Adds partial states: numbers with the counts of their values.
    fn merge(&mut self, states: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
        let [numbers, more] = states else {
            return Err(DataFusionError::Internal(format!(
                "{}: bad state",
                self.fold.name()
            )));
        };
        let rows = Taken::of(numbers.len(), NullBuffer::union(numbers.nulls(), more.nulls()));
        let more = more.as_primitive::<Int64Type>().values();
        let counts = &mut self.counts;
        match &mut self.numbers {
            Numbers::Float(sums) => {
                let a = numbers.as_primitive::<Float64Type>().values();
                each_row!(rows, row => {
                    let g = group(row);
                    sums[g] += a[row];
                    counts[g] += more[row];
                });
                Ok(())
            }
            Numbers::Exact(sums) => {
                let a = numbers.as_primitive::<Decimal128Type>().values();
                let count = |g: usize, row: usize| counts[g] += more[row];
                fold_exact(self.fold, sums, &rows, |row| (group(row), a[row]), count)
            }
        }
    }

    /// A state for each row without adding anything up, where a value is its own sum. NULL for rows that do not count.
    fn states(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Option<Vec<ArrayRef>>> {
        let (Fold::Sum | Fold::Avg, [values]) = (self.fold, values) else {
            return Ok(None);
        };
        let rows = Taken::new(values, filter);
        let numbers: ArrayRef = match values.data_type() {
            DataType::Decimal128(..) => {
                let a = values.as_primitive::<Decimal128Type>().values().clone();
                let numbers = Decimal128Array::new(a, rows.valid().cloned());
                Arc::new(numbers.with_precision_and_scale(38, self.scale)?)
            }
            DataType::Float64 => {
                let a = values.as_primitive::<Float64Type>().values().clone();
                Arc::new(Float64Array::new(a, rows.valid().cloned()))
            }
            _ => return Ok(None),
        };
        let ones = Int64Array::from_value(1, values.len());
        Ok(Some(vec![numbers, Arc::new(ones)]))
    }

    /// Takes the groups to emit out of the state.
    fn take(&mut self, emit: EmitTo) -> (Numbers, Vec<i64>) {
        let counts = emit.take_needed(&mut self.counts);
        let numbers = match &mut self.numbers {
            Numbers::Exact(v) => Numbers::Exact(emit.take_needed(v)),
            Numbers::Float(v) => Numbers::Float(emit.take_needed(v)),
        };
        (numbers, counts)
    }

    fn finish(&self, numbers: &Numbers, counts: &[i64]) -> Result<ArrayRef> {
        if self.fold == Fold::CountIf {
            return Ok(Arc::new(Int64Array::from(counts.to_vec())));
        }
        match numbers {
            Numbers::Float(sums) => {
                let values: Float64Array = sums
                    .iter()
                    .zip(counts)
                    .map(|(sum, n)| {
                        (*n > 0).then(|| match self.fold {
                            Fold::Avg => sum / *n as f64,
                            Fold::GeometricMean => (sum / *n as f64).exp(),
                            _ => *sum,
                        })
                    })
                    .collect();
                Ok(arrow::compute::cast(&values, &self.returns)?)
            }
            Numbers::Exact(sums) => {
                let pairs = sums.iter().zip(counts);
                if matches!(self.returns, DataType::Decimal128(..)) {
                    let average = self.fold == Fold::Avg;
                    let values: Decimal128Array = pairs
                        .map(|(sum, n)| {
                            (*n > 0).then(|| {
                                if average {
                                    round_half_up(*sum, i128::from(*n))
                                } else {
                                    *sum
                                }
                            })
                        })
                        .collect();
                    return Ok(Arc::new(values.with_data_type(self.returns.clone())));
                }
                let values = pairs
                    .map(|(sum, n)| {
                        if *n == 0 {
                            return Ok(None);
                        }
                        i64::try_from(*sum)
                            .map(Some)
                            .map_err(|_| out_of_range(format!("bigint addition overflow: sum is {sum}")))
                    })
                    .collect::<Result<Int64Array>>()?;
                Ok(arrow::compute::cast(&values, &self.returns)?)
            }
        }
    }

    fn partial(&self, numbers: Numbers, counts: Vec<i64>) -> Result<Vec<ArrayRef>> {
        let numbers: ArrayRef = match numbers {
            Numbers::Float(v) => Arc::new(Float64Array::from(v)),
            Numbers::Exact(v) => Arc::new(Decimal128Array::from(v).with_precision_and_scale(38, self.scale)?),
        };
        Ok(vec![numbers, Arc::new(Int64Array::from(counts))])
    }
}

impl GroupsAccumulator for Folded {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        values
            .iter()
            .try_for_each(|v| self.add(v, |row| group_indices[row], opt_filter, 1))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (numbers, counts) = self.take(emit_to);
        self.finish(&numbers, &counts)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (numbers, counts) = self.take(emit_to);
        self.partial(numbers, counts)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        self.merge(values, |row| group_indices[row])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        if let Some(states) = self.states(values, opt_filter)? {
            return Ok(states);
        }
        let numbers = match self.numbers {
            Numbers::Exact(_) => Numbers::Exact(Vec::new()),
            Numbers::Float(_) => Numbers::Float(Vec::new()),
        };
        let mut single = Self {
            fold: self.fold,
            numbers,
            counts: Vec::new(),
            scale: self.scale,
            returns: self.returns.clone(),
        };
        let rows = values.first().map_or(0, |v| v.len());
        let groups: Vec<usize> = (0..rows).collect();
        GroupsAccumulator::update_batch(&mut single, values, &groups, opt_filter, rows)?;
        GroupsAccumulator::state(&mut single, EmitTo::All)
    }

    fn size(&self) -> usize {
        let numbers = match &self.numbers {
            Numbers::Exact(v) => v.capacity() * size_of::<i128>(),
            Numbers::Float(v) => v.capacity() * size_of::<f64>(),
        };
        size_of_val(self) + numbers + self.counts.capacity() * size_of::<i64>()
    }
}

impl Accumulator for Folded {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.resize(1);
        values.iter().try_for_each(|v| self.add(v, |_| 0, None, 1))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.resize(1);
        values.iter().try_for_each(|v| self.add(v, |_| 0, None, -1))
    }

    fn supports_retract_batch(&self) -> bool {
        // Bits cannot be taken out again, and a float sum would keep what NaN or Infinity did to it.
        matches!(
            (self.fold, &self.numbers),
            (Fold::Sum | Fold::Avg | Fold::CountIf, Numbers::Exact(_))
        )
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.resize(1);
        ScalarValue::try_from_array(&self.finish(&self.numbers, &self.counts)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.resize(1);
        let numbers = match &self.numbers {
            Numbers::Exact(v) => Numbers::Exact(v.clone()),
            Numbers::Float(v) => Numbers::Float(v.clone()),
        };
        let arrays = self.partial(numbers, self.counts.clone())?;
        arrays.iter().map(|a| ScalarValue::try_from_array(a, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.resize(1);
        self.merge(states, |_| 0)
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(self)
    }
}
