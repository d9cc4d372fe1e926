//! `lag` and `lead` where the engine's own are not Trino's: offsets and defaults of each row, and IGNORE NULLS.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Expr, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use crate::semantics::error::bad_argument;

static LAG: LazyLock<Arc<WindowUDF>> = LazyLock::new(|| Arc::new(WindowUDF::new_from_impl(Shift::new(true))));
static LEAD: LazyLock<Arc<WindowUDF>> =
    LazyLock::new(|| Arc::new(WindowUDF::new_from_impl(Shift::new(false))));

/// Our own `lag` or `lead`, where a call needs it: the engine's takes constants alone, and any offset below zero.
pub(crate) fn shift(name: &str, args: &[Expr], ignore_nulls: bool) -> Option<Arc<WindowUDF>> {
    let own = match name {
        "lag" => &LAG,
        "lead" => &LEAD,
        _ => return None,
    };
    let offset = match args.get(1) {
        None | Some(Expr::Literal(ScalarValue::Int64(Some(0..)), _)) => true,
        Some(_) => false,
    };
    let default = matches!(args.get(2), None | Some(Expr::Literal(..)));
    (ignore_nulls || !offset || !default).then(|| Arc::clone(own))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    back: bool,
    signature: Signature,
}

impl Shift {
    fn new(back: bool) -> Self {
        Self {
            back,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl WindowUDFImpl for Shift {
    fn name(&self) -> &str {
        if self.back { "lag" } else { "lead" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            back: self.back,
            ignore_nulls: args.ignore_nulls(),
        }))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        let value = args.get_input_field(0);
        let data_type = value.map_or(DataType::Null, |field| field.data_type().clone());
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        ReversedUDWF::NotSupported
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        if self.back {
            LimitEffect::None
        } else {
            LimitEffect::Unknown
        }
    }
}

#[derive(Debug)]
struct Evaluator {
    back: bool,
    ignore_nulls: bool,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let Some(value) = values.first() else {
            return Err(DataFusionError::Internal("lag and lead take a value".to_owned()));
        };
        let offsets = values
            .get(1)
            .map(|offsets| cast(offsets, &DataType::Int64))
            .transpose()?;
        let offsets = offsets
            .as_ref()
            .map(|offsets| offsets.as_primitive::<Int64Type>());
        // Rows with a value, in order: where IGNORE NULLS counts.
        let present = self.ignore_nulls.then(|| {
            (0..num_rows)
                .filter(|row| !value.is_null(*row))
                .collect::<Vec<_>>()
        });
        let mut places = Vec::with_capacity(num_rows);
        for row in 0..num_rows {
            let offset = match offsets {
                None => Some(1),
                Some(offsets) => offsets.is_valid(row).then(|| offsets.value(row)),
            };
            let Some(offset) = offset else {
                places.push(Place::Null);
                continue;
            };
            let Ok(offset) = usize::try_from(offset) else {
                return Err(bad_argument("Offset must be at least 0"));
            };
            let found = match &present {
                Some(present) if offset > 0 => self.nth_present(present, row, offset),
                _ => self.step(row, offset, 0..num_rows),
            };
            places.push(found.map_or(Place::Default(row), Place::Row));
        }
        result(value, values.get(2), &places)
    }
}

/// Where the answer for a row comes from.
#[derive(Clone, Copy)]
enum Place {
    Null,
    Row(usize),
    Default(usize),
}

impl Evaluator {
    fn step(&self, from: usize, steps: usize, within: Range<usize>) -> Option<usize> {
        let to = if self.back {
            from.checked_sub(steps)
        } else {
            from.checked_add(steps)
        };
        to.filter(|to| within.contains(to))
    }

    fn nth_present(&self, present: &[usize], row: usize, nth: usize) -> Option<usize> {
        // What is at or after `row`, what is after it.
        let at = present.partition_point(|p| *p < row);
        let after = present.partition_point(|p| *p <= row);
        let place = if self.back {
            at.checked_sub(nth)
        } else {
            after.checked_add(nth - 1)
        };
        place.and_then(|place| present.get(place).copied())
    }
}

fn result(value: &ArrayRef, default: Option<&ArrayRef>, places: &[Place]) -> Result<ArrayRef> {
    let Some(default) = default else {
        let rows: UInt32Array = places
            .iter()
            .map(|place| match place {
                Place::Row(row) => u32::try_from(*row).ok(),
                _ => None,
            })
            .collect();
        return Ok(take(value, &rows, None)?);
    };
    let null = arrow::array::new_null_array(value.data_type(), 1);
    let picks: Vec<(usize, usize)> = places
        .iter()
        .map(|place| match place {
            Place::Row(row) => (0, *row),
            Place::Default(row) => (1, *row),
            Place::Null => (2, 0),
        })
        .collect();
    Ok(interleave(
        &[value.as_ref(), default.as_ref(), null.as_ref()],
        &picks,
    )?)
}
