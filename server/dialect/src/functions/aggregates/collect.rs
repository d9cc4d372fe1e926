//! Aggregates that keep values: `max_by`, `min_by`, `map_agg`, `histogram`, and DISTINCT in front of any.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StructArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Accumulator;

use super::{Kind, new_accumulator};
use crate::functions::signature::list_of;

fn entry_fields(key: &DataType, value: &DataType) -> Fields {
    Fields::from(vec![
        Field::new("key", key.clone(), false),
        Field::new("value", value.clone(), true),
    ])
}

/// `map(key, value)` in the layout DataFusion's own map function makes.
pub(super) fn map_type(key: &DataType, value: &DataType) -> DataType {
    DataType::Map(
        Arc::new(Field::new(
            "entries",
            DataType::Struct(entry_fields(key, value)),
            false,
        )),
        false,
    )
}

#[derive(Debug)]
enum State {
    /// The value and the key that won so far.
    Best(Option<(ScalarValue, ScalarValue)>, Ordering),
    /// Keys in order of arrival, and where each is.
    Map {
        keys: Vec<ScalarValue>,
        values: Vec<ScalarValue>,
        places: HashMap<ScalarValue, usize>,
    },
    /// Values and how often each came.
    Counts {
        keys: Vec<ScalarValue>,
        counts: Vec<i64>,
        places: HashMap<ScalarValue, usize>,
    },
}

/// Accumulator of the collecting kinds.
#[derive(Debug)]
pub(super) struct Collected {
    state: State,
    types: Vec<DataType>,
    bytes: usize,
}

impl Collected {
    /// An empty state for argument types.
    pub(super) fn new(kind: Kind, types: &[DataType]) -> Result<Self> {
        let state = match kind {
            Kind::MaxBy => State::Best(None, Ordering::Greater),
            Kind::MinBy => State::Best(None, Ordering::Less),
            Kind::MapAgg => State::Map {
                keys: Vec::new(),
                values: Vec::new(),
                places: HashMap::new(),
            },
            Kind::Histogram => State::Counts {
                keys: Vec::new(),
                counts: Vec::new(),
                places: HashMap::new(),
            },
            Kind::Fold(_) => return Err(DataFusionError::Internal("a fold does not collect".into())),
        };
        Ok(Self {
            state,
            types: types.to_vec(),
            bytes: 0,
        })
    }

    /// Types of the partial state.
    pub(super) fn state_types(kind: Kind, types: &[DataType]) -> Vec<DataType> {
        match (kind, types) {
            (Kind::MapAgg, [k, v]) => vec![list_of(k.clone()), list_of(v.clone())],
            (Kind::Histogram, [x]) => vec![list_of(x.clone()), list_of(DataType::Int64)],
            _ => types.to_vec(),
        }
    }

    fn ty(&self, i: usize) -> DataType {
        self.types.get(i).cloned().unwrap_or(DataType::Null)
    }

    fn offer(&mut self, first: ScalarValue, second: ScalarValue) -> Result<()> {
        match &mut self.state {
            State::Best(best, wanted) => {
                if second.is_null() {
                    return Ok(());
                }
                let better = match best {
                    None => true,
                    Some((_, key)) => beats(&second, key, *wanted),
                };
                if better {
                    self.bytes = first.size() + second.size();
                    *best = Some((first, second));
                }
            }
            State::Map { keys, values, places } => {
                if !first.is_null() && !places.contains_key(&first) {
                    self.bytes += 2 * first.size() + second.size();
                    places.insert(first.clone(), keys.len());
                    keys.push(first);
                    values.push(second);
                }
            }
            State::Counts { keys, counts, places } => {
                let add = match second {
                    ScalarValue::Int64(Some(n)) => n,
                    _ => 1,
                };
                if first.is_null() {
                    return Ok(());
                }
                match places.get(&first) {
                    Some(place) => counts[*place] += add,
                    None => {
                        self.bytes += 2 * first.size() + 8;
                        places.insert(first.clone(), keys.len());
                        keys.push(first);
                        counts.push(add);
                    }
                }
            }
        }
        Ok(())
    }

    fn columns(&self) -> Result<Option<(ArrayRef, ArrayRef)>> {
        let array = |values: &[ScalarValue], t: &DataType| -> Result<ArrayRef> {
            if values.is_empty() {
                Ok(new_empty_array(t))
            } else {
                ScalarValue::iter_to_array(values.iter().cloned())
            }
        };
        Ok(match &self.state {
            State::Best(..) => None,
            State::Map { keys, values, .. } => Some((array(keys, &self.ty(0))?, array(values, &self.ty(1))?)),
            State::Counts { keys, counts, .. } => Some((
                array(keys, &self.ty(0))?,
                Arc::new(arrow::array::Int64Array::from(counts.clone())),
            )),
        })
    }
}

/// Whether a key takes the place of the best so far; NaN does only where there is none.
fn beats(key: &ScalarValue, best: &ScalarValue, wanted: Ordering) -> bool {
    if is_nan(key) || is_nan(best) {
        return !is_nan(key);
    }
    key.partial_cmp(best) == Some(wanted)
}

fn is_nan(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float64(value) => value.is_some_and(f64::is_nan),
        ScalarValue::Float32(value) => value.is_some_and(f32::is_nan),
        _ => false,
    }
}

/// One list scalar holding `values`.
fn list_scalar(values: ArrayRef) -> ScalarValue {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(arrow::array::ListArray::new(
        field, offsets, values, None,
    )))
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(first) = values.first() else {
            return Ok(());
        };
        for row in 0..first.len() {
            let second = match values.get(1) {
                Some(column) => ScalarValue::try_from_array(column, row)?,
                None => ScalarValue::Null,
            };
            self.offer(
                ScalarValue::try_from_array(first, row)?.compacted(),
                second.compacted(),
            )?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if matches!(self.state, State::Best(..)) {
            return self.update_batch(states);
        }
        let [keys, values] = states else {
            return Err(DataFusionError::Internal("bad state".into()));
        };
        let (keys, values) = (keys.as_list::<i32>(), values.as_list::<i32>());
        for row in (0..keys.len()).filter(|r| keys.is_valid(*r)) {
            let pair = [keys.value(row), values.value(row)];
            for i in 0..pair[0].len() {
                self.offer(
                    ScalarValue::try_from_array(&pair[0], i)?,
                    ScalarValue::try_from_array(&pair[1], i)?,
                )?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if let State::Best(best, _) = &self.state {
            return match best {
                Some((value, key)) => Ok(vec![value.clone(), key.clone()]),
                None => Ok(vec![
                    ScalarValue::try_from(&self.ty(0))?,
                    ScalarValue::try_from(&self.ty(1))?,
                ]),
            };
        }
        match self.columns()? {
            Some((keys, values)) => Ok(vec![list_scalar(keys), list_scalar(values)]),
            None => Err(DataFusionError::Internal("no state".into())),
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if let State::Best(best, _) = &self.state {
            return match best {
                Some((value, _)) => Ok(value.clone()),
                None => ScalarValue::try_from(&self.ty(0)),
            };
        }
        let Some((keys, values)) = self.columns()? else {
            return Err(DataFusionError::Internal("no state".into()));
        };
        let returns = map_type(keys.data_type(), values.data_type());
        if keys.is_empty() {
            return ScalarValue::try_from(&returns);
        }
        let DataType::Map(field, _) = &returns else {
            return Err(DataFusionError::Internal("not a map".into()));
        };
        let fields = entry_fields(keys.data_type(), values.data_type());
        let offsets = OffsetBuffer::from_lengths([keys.len()]);
        let entries = StructArray::try_new(fields, vec![keys, values], None)?;
        Ok(ScalarValue::Map(Arc::new(MapArray::try_new(
            Arc::clone(field),
            offsets,
            entries,
            None,
            false,
        )?)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}

/// DISTINCT: remembers the rows it has seen, and hands them to the aggregate at the end.
#[derive(Debug)]
pub(super) struct Distinct {
    kind: Kind,
    types: Vec<DataType>,
    returns: DataType,
    seen: HashSet<Vec<ScalarValue>>,
    bytes: usize,
}

impl Distinct {
    /// An empty state.
    pub(super) fn new(kind: Kind, types: &[DataType], returns: &DataType) -> Result<Self> {
        Ok(Self {
            kind,
            types: types.to_vec(),
            returns: returns.clone(),
            seen: HashSet::new(),
            bytes: 0,
        })
    }

    /// One list per argument.
    pub(super) fn state_types(types: &[DataType]) -> Vec<DataType> {
        types.iter().map(|t| list_of(t.clone())).collect()
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        self.types
            .iter()
            .enumerate()
            .map(|(i, t)| {
                if self.seen.is_empty() {
                    return Ok(new_empty_array(t));
                }
                ScalarValue::iter_to_array(self.seen.iter().filter_map(|row| row.get(i).cloned()))
            })
            .collect()
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values.first().map_or(0, |v| v.len()) {
            let key = values
                .iter()
                .map(|v| ScalarValue::try_from_array(v, row).map(ScalarValue::compacted))
                .collect::<Result<Vec<_>>>()?;
            let bytes: usize = key.iter().map(ScalarValue::size).sum();
            if self.seen.insert(key) {
                self.bytes += bytes;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states.first().map_or(0, |s| s.len()) {
            let columns: Vec<ArrayRef> = states.iter().map(|s| s.as_list::<i32>().value(row)).collect();
            self.update_batch(&columns)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.columns()?.into_iter().map(list_scalar).collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut inner = new_accumulator(self.kind, &self.types, &self.returns)?;
        inner.update_batch(&self.columns()?)?;
        inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}
