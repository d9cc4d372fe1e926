//! Aggregates of our own: `sum` and `avg` with Trino's types and range checks, `max_by`, `map_agg` and the like.

mod collect;
mod exact;
mod float_extreme;
mod fold;
mod taken;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};

use super::signature::canonical;
use crate::semantics::error::{not_supported, type_mismatch};
use crate::semantics::ty::Ty;

pub(crate) use float_extreme::float_extreme;

use collect::Collected;
use fold::{Fold, Folded};

/// The aggregates of this module.
pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    [
        Kind::Fold(Fold::Sum),
        Kind::Fold(Fold::Avg),
        Kind::Fold(Fold::CountIf),
        Kind::Fold(Fold::GeometricMean),
        Kind::Fold(Fold::BitAnd),
        Kind::Fold(Fold::BitOr),
        Kind::MaxBy,
        Kind::MinBy,
        Kind::MapAgg,
        Kind::Histogram,
    ]
    .into_iter()
    .map(|kind| Arc::new(AggregateUDF::new_from_impl(TrinoAggregate::new(kind))))
    .collect()
}

/// Which aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// One number per group.
    Fold(Fold),
    /// `max_by(x, y)`
    MaxBy,
    /// `min_by(x, y)`
    MinBy,
    /// `map_agg(k, v)`
    MapAgg,
    /// `histogram(x)`
    Histogram,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TrinoAggregate {
    kind: Kind,
    aliases: Vec<String>,
    signature: Signature,
}

impl TrinoAggregate {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            aliases: Vec::new(),
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    fn refuse(&self, types: &[DataType], expected: &str) -> datafusion::error::DataFusionError {
        let given = types
            .iter()
            .map(|t| Ty::of_type(t).to_string())
            .collect::<Vec<_>>()
            .join(", ");
        type_mismatch(format!(
            "Unexpected parameters ({given}) for function {}. Expected: {expected}",
            self.name()
        ))
    }
}

impl AggregateUDFImpl for TrinoAggregate {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Fold(fold) => fold.name(),
            Kind::MaxBy => "max_by",
            Kind::MinBy => "min_by",
            Kind::MapAgg => "map_agg",
            Kind::Histogram => "histogram",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.kind, types) {
            (Kind::Fold(fold), [one]) => fold
                .input(one)
                .map(|t| vec![t])
                .ok_or_else(|| self.refuse(types, fold.expected())),
            (Kind::MaxBy | Kind::MinBy, [x, y]) if !Ty::of_type(y).is_nested() => {
                Ok(vec![canonical(x), canonical(y)])
            }
            (Kind::MaxBy | Kind::MinBy, [_, _, _]) => Err(not_supported(
                &format!("{} with a count", self.name()),
                "functions-that-differ",
            )),
            (Kind::MapAgg, [k, v]) if !Ty::of_type(k).is_nested() => Ok(vec![canonical(k), canonical(v)]),
            (Kind::Histogram, [x]) if !Ty::of_type(x).is_nested() => Ok(vec![canonical(x)]),
            _ => Err(self.refuse(
                types,
                "one value (sum, avg, ...) or a value and a key (max_by, map_agg)",
            )),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let types = self.coerce_types(types)?;
        Ok(match (self.kind, types.as_slice()) {
            (Kind::Fold(fold), [one]) => fold.output(one),
            (Kind::MapAgg, [k, v]) => collect::map_type(k, v),
            (Kind::Histogram, [x]) => collect::map_type(x, &DataType::Int64),
            (_, [x, ..]) => x.clone(),
            _ => DataType::Null,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let types: Vec<_> = args.expr_fields.iter().map(|f| f.data_type().clone()).collect();
        if args.is_distinct {
            return Ok(Box::new(collect::Distinct::new(
                self.kind,
                &types,
                args.return_type(),
            )?));
        }
        new_accumulator(self.kind, &types, args.return_type())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let types: Vec<_> = args.input_fields.iter().map(|f| f.data_type().clone()).collect();
        let state = if args.is_distinct {
            collect::Distinct::state_types(&types)
        } else {
            match (self.kind, types.as_slice()) {
                (Kind::Fold(fold), [one]) => fold.state_types(one),
                _ => Collected::state_types(self.kind, &types),
            }
        };
        Ok(state
            .into_iter()
            .enumerate()
            .map(|(i, t)| Arc::new(Field::new(format!("{}[{i}]", args.name), t, true)))
            .collect())
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        matches!(self.kind, Kind::Fold(_)) && !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match (self.kind, args.expr_fields) {
            (Kind::Fold(fold), [field]) => Ok(Box::new(Folded::new(
                fold,
                field.data_type(),
                args.return_type(),
            )?)),
            _ => Err(datafusion::error::DataFusionError::Internal(format!(
                "{} has no groups form",
                self.name()
            ))),
        }
    }
}

/// The plain accumulator of a kind.
pub(super) fn new_accumulator(
    kind: Kind,
    types: &[DataType],
    returns: &DataType,
) -> Result<Box<dyn Accumulator>> {
    match (kind, types) {
        (Kind::Fold(fold), [one]) => Ok(Box::new(Folded::new(fold, one, returns)?)),
        _ => Ok(Box::new(Collected::new(kind, types)?)),
    }
}
