//! The Trino function library: an allow-list of names, each answering as Trino does.
//!
//! A stock DataFusion function is in it only where it equals Trino's for all inputs; names that Athena has and
//! this list has not are in [`FunctionSet::refused`].

mod aggregates;
mod array_build;
mod array_order;
mod arrays;
mod bits;
mod calendar;
mod call;
mod conditional;
mod date_pattern;
mod datetime;
mod encoding;
mod floats;
pub(crate) mod internal;
mod iso_date;
mod json;
mod json_text;
mod letter_case;
mod lists;
mod math;
mod nearest;
mod operators;
mod planner;
mod refused;
mod regex;
mod shift;
pub(crate) mod signature;
mod space;
mod stock;
mod strings;
mod udf;
mod url;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

pub use lists::value_bytes;
pub use planner::expr_planners;
pub use space::FunctionMemory;

pub(crate) use aggregates::float_extreme;
pub(crate) use call::MAX_VALUE_BYTES;
pub(crate) use json::json_to_text;
pub(crate) use math::{STRICT, pow10, round_half_up};
pub(crate) use nearest::decimal_to_float;
pub(crate) use shift::shift;

/// Everything a session may call.
#[derive(Debug, Clone)]
pub struct FunctionSet {
    /// Functions of one row.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Functions of a group.
    pub aggregate: Vec<Arc<AggregateUDF>>,
    /// Functions of a window.
    pub window: Vec<Arc<WindowUDF>>,
    /// Names Athena has and this server refuses, with the reason.
    pub refused: &'static [(&'static str, &'static str)],
}

impl FunctionSet {
    /// All callable names in lower case, aliases included, sorted.
    pub fn names(&self) -> Vec<String> {
        let scalar = self
            .scalar
            .iter()
            .flat_map(|f| std::iter::once(f.name().to_owned()).chain(f.aliases().iter().cloned()));
        let aggregate = self
            .aggregate
            .iter()
            .flat_map(|f| std::iter::once(f.name().to_owned()).chain(f.aliases().iter().cloned()));
        let window = self
            .window
            .iter()
            .flat_map(|f| std::iter::once(f.name().to_owned()).chain(f.aliases().iter().cloned()));
        let mut names: Vec<_> = scalar.chain(aggregate).chain(window).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| name != PLANNER_TRIM);
        names
    }
}

/// The function library. Cheap enough to build once per session, meant to be built once per process.
pub fn function_set() -> FunctionSet {
    FunctionSet {
        scalar: specs().map(udf::udf).chain(stock::scalar()).collect(),
        aggregate: stock::aggregate().into_iter().chain(aggregates::all()).collect(),
        window: stock::window(),
        refused: refused::REFUSED,
    }
}

/// What the planner calls TRIM(BOTH ...): no function of Athena.
pub(crate) const PLANNER_TRIM: &str = "btrim";

/// Whether Athena has a function of this name, in lower case, that is refused here.
pub(crate) fn is_refused(name: &str) -> bool {
    refused::REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// Our own functions that SQL text can name.
fn specs() -> impl Iterator<Item = &'static udf::Spec> {
    [
        strings::SPECS,
        math::SPECS,
        math::DOUBLES,
        math::MODULUS,
        conditional::SPECS,
        arrays::SPECS,
        datetime::SPECS,
        json::SPECS,
        encoding::SPECS,
        regex::SPECS,
        url::SPECS,
    ]
    .into_iter()
    .flatten()
}
