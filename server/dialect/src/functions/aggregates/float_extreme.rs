//! `min` and `max` of `real` and `double`: NaN is left out unless there is nothing else, as in Trino since release 346.
//!
//! They have names of their own, since the engine takes what is called `min` or `max` for Arrow's total order: it
//! derives values from statistics, and filters from what was found so far, where NaN is the largest.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
};

use super::taken::Taken;

static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| function(Extreme::Min));
static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| function(Extreme::Max));

fn function(extreme: Extreme) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(FloatExtreme {
        extreme,
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

/// What `min` or `max` is for an argument of this type, where it is not the engine's own.
pub(crate) fn float_extreme(name: &str, argument: &DataType) -> Option<Arc<AggregateUDF>> {
    match (name, argument) {
        ("min", DataType::Float32 | DataType::Float64) => Some(Arc::clone(&MIN)),
        ("max", DataType::Float32 | DataType::Float64) => Some(Arc::clone(&MAX)),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Extreme {
    Min,
    Max,
}

impl Extreme {
    /// Whether `value` takes the place of `best`. A `real` is exact as a `double`.
    fn beats(self, value: f64, best: f64) -> bool {
        if value.is_nan() || best.is_nan() {
            return !value.is_nan();
        }
        let order = value.total_cmp(&best);
        match self {
            Extreme::Min => order.is_lt(),
            Extreme::Max => order.is_gt(),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatExtreme {
    extreme: Extreme,
    signature: Signature,
}

impl AggregateUDFImpl for FloatExtreme {
    fn name(&self) -> &str {
        match self.extreme {
            Extreme::Min => "$min",
            Extreme::Max => "$max",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Float64))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let data_type = args.return_field.data_type().clone();
        Ok(vec![Arc::new(Field::new(args.name, data_type, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Best {
            groups: self.groups(args.return_type()),
        }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sliding {
            extreme: self.extreme,
            returns: args.return_type().clone(),
            came: 0,
            gone: 0,
            candidates: VecDeque::new(),
        }))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(args.return_type())))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

impl FloatExtreme {
    fn groups(&self, returns: &DataType) -> Groups {
        Groups {
            extreme: self.extreme,
            returns: returns.clone(),
            best: Vec::new(),
            found: Vec::new(),
        }
    }
}

/// The one column of an update, as doubles.
fn doubles(values: &[ArrayRef]) -> Result<Float64Array> {
    let [column] = values else {
        return Err(DataFusionError::Internal(
            "min and max have one argument".to_owned(),
        ));
    };
    Ok(cast(column, &DataType::Float64)?
        .as_primitive::<Float64Type>()
        .clone())
}

/// The best value of each group.
#[derive(Debug)]
struct Groups {
    extreme: Extreme,
    returns: DataType,
    best: Vec<f64>,
    found: Vec<bool>,
}

impl Groups {
    fn offer(
        &mut self,
        values: &[ArrayRef],
        group: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.best.resize(groups.max(self.best.len()), 0.0);
        self.found.resize(groups.max(self.found.len()), false);
        let values: ArrayRef = Arc::new(doubles(values)?);
        let numbers = values.as_primitive::<Float64Type>().values();
        let rows = Taken::new(&values, filter);
        super::taken::each_row!(rows, row => {
            let g = group(row);
            if !self.found[g] || self.extreme.beats(numbers[row], self.best[g]) {
                self.best[g] = numbers[row];
                self.found[g] = true;
            }
        });
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let best = emit_to.take_needed(&mut self.best);
        let found = emit_to.take_needed(&mut self.found);
        let column = Float64Array::new(best.into(), Some(NullBuffer::from(found)));
        Ok(cast(&column, &self.returns)?)
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.offer(values, |row| group_indices[row], opt_filter, total_num_groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.offer(values, |row| group_indices[row], None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [column] = values else {
            return Ok(vec![new_null_array(&self.returns, 0)]);
        };
        let state = match opt_filter {
            None => Arc::clone(column),
            Some(filter) => {
                let left_out: BooleanArray = filter.iter().map(|passes| Some(passes != Some(true))).collect();
                nullif(column, &left_out)?
            }
        };
        Ok(vec![state])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.best.capacity() * size_of::<f64>() + self.found.capacity()
    }
}

/// The best value of all.
#[derive(Debug)]
struct Best {
    groups: Groups,
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.groups.offer(values, |_| 0, None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.offer(states, |_| 0, None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let best = match (self.groups.found.first(), self.groups.best.first()) {
            (Some(true), Some(best)) => Some(*best),
            _ => None,
        };
        ScalarValue::Float64(best).cast_to(&self.groups.returns)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(&self.groups)
    }
}

/// The best value of a window that moves: values leave in the order in which they came.
#[derive(Debug)]
struct Sliding {
    extreme: Extreme,
    returns: DataType,
    /// How many values came, and how many of them have left.
    came: u64,
    gone: u64,
    /// Values that are or may become the best, each better than the next, with their numbers.
    candidates: VecDeque<(u64, f64)>,
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in doubles(values)?.iter().flatten() {
            while self
                .candidates
                .back()
                .is_some_and(|(_, last)| !self.extreme.beats(*last, value))
            {
                self.candidates.pop_back();
            }
            self.candidates.push_back((self.came, value));
            self.came += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = doubles(values)?;
        self.gone += (values.len() - values.null_count()) as u64;
        while self
            .candidates
            .front()
            .is_some_and(|(number, _)| *number < self.gone)
        {
            self.candidates.pop_front();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let best = self.candidates.front().map(|(_, value)| *value);
        ScalarValue::Float64(best).cast_to(&self.returns)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.candidates.capacity() * size_of::<(u64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_window_leaves_behind_no_longer_counts() {
        let mut max = Sliding {
            extreme: Extreme::Max,
            returns: DataType::Float64,
            came: 0,
            gone: 0,
            candidates: VecDeque::new(),
        };
        let column = |values: &[Option<f64>]| vec![Arc::new(Float64Array::from(values.to_vec())) as ArrayRef];
        let mut step = |new: &[Option<f64>], old: &[Option<f64>]| {
            max.update_batch(&column(new)).unwrap();
            max.retract_batch(&column(old)).unwrap();
            max.evaluate().unwrap()
        };
        let nan = Some(-f64::NAN);
        assert!(step(&[], &[]).is_null());
        assert!(matches!(step(&[nan, None], &[]), ScalarValue::Float64(Some(v)) if v.is_nan()));
        assert_eq!(step(&[Some(3.0), Some(1.0)], &[nan]), ScalarValue::from(3.0));
        assert_eq!(step(&[nan], &[None, Some(3.0)]), ScalarValue::from(1.0));
        assert!(matches!(step(&[], &[Some(1.0)]), ScalarValue::Float64(Some(v)) if v.is_nan()));
        assert!(step(&[], &[nan]).is_null());
    }
}
