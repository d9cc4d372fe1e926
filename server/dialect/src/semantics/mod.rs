//! Trino's meaning for plans that DataFusion's SQL planner made: types that may meet, arithmetic, casts, comparisons.
//!
//! [`prepare`] runs on the syntax tree before planning, [`apply`] on the logical plan straight after it, while
//! operand types are still as written. What cannot be answered as Trino does is refused here.

mod arithmetic;
mod cast;
mod cast_text;
mod cast_values;
mod compare;
pub(crate) mod error;
mod expression;
mod faults;
mod float_keys;
mod float_order;
mod like;
mod plan;
mod set_operations;
mod sql_types;
mod syntax;
pub(crate) mod ty;
mod width;
mod window;

pub use compare::is_comparison;
pub use faults::fault_from_datafusion;
pub use plan::apply;
pub use sql_types::type_planner;
pub use syntax::prepare;
pub use width::widest_row;

pub(crate) use cast_text::{format_date, format_double, plain_year, signed_year};
pub(crate) use compare::comparison;
pub(crate) use float_keys::add as with_float_keys;

/// Session settings the semantics rely on: key and value as `SET` would take them.
pub fn session_settings() -> &'static [(&'static str, &'static str)] {
    &[
        ("datafusion.sql_parser.parse_float_as_decimal", "true"),
        ("datafusion.sql_parser.default_null_ordering", "nulls_last"),
        ("datafusion.sql_parser.support_varchar_with_length", "true"),
        ("datafusion.sql_parser.map_string_types_to_utf8view", "false"),
        ("datafusion.execution.time_zone", "UTC"),
    ]
}

#[cfg(test)]
mod tests;
