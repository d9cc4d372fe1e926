//! DataFusion functions that answer as Trino's for all inputs the semantic pass lets through, name by name.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::functions_aggregate as agg;
use datafusion::functions_window as win;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// Scalar functions.
pub(super) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let config = ConfigOptions::default();
    vec![
        datafusion::functions::core::coalesce(),
        datafusion::functions::core::nullif(),
        // Alias `current_timestamp`; the semantic pass gives it Trino's precision and zone.
        datafusion::functions::datetime::now(&config),
        datafusion::functions::datetime::current_date(),
        datafusion::functions_nested::map::map_udf(),
    ]
}

/// Aggregates; `sum`, `avg` and what DataFusion has not are in `aggregates`.
pub(super) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    vec![
        agg::count::count_udaf(),
        agg::min_max::min_udaf(),
        agg::min_max::max_udaf(),
        renamed(agg::any_value::any_value_udaf(), &["arbitrary"]),
        renamed(agg::bool_and_or::bool_and_udaf(), &["every"]),
        agg::bool_and_or::bool_or_udaf(),
        agg::array_agg::array_agg_udaf(),
        agg::approx_distinct::approx_distinct_udaf(),
        // Their own aliases: stddev_samp, var_sample, var_samp, covar.
        agg::stddev::stddev_udaf(),
        agg::stddev::stddev_pop_udaf(),
        renamed(agg::variance::var_samp_udaf(), &["variance"]),
        agg::variance::var_pop_udaf(),
        agg::correlation::corr_udaf(),
        agg::covariance::covar_samp_udaf(),
        agg::covariance::covar_pop_udaf(),
        agg::regr::regr_slope_udaf(),
        agg::regr::regr_intercept_udaf(),
    ]
}

fn renamed(function: Arc<AggregateUDF>, aliases: &[&'static str]) -> Arc<AggregateUDF> {
    Arc::new(function.as_ref().clone().with_aliases(aliases.iter().copied()))
}

/// Window functions.
pub(super) fn window() -> Vec<Arc<WindowUDF>> {
    vec![
        win::row_number::row_number_udwf(),
        win::rank::rank_udwf(),
        win::rank::dense_rank_udwf(),
        win::rank::percent_rank_udwf(),
        win::cume_dist::cume_dist_udwf(),
        win::ntile::ntile_udwf(),
        win::lead_lag::lag_udwf(),
        win::lead_lag::lead_udwf(),
        win::nth_value::first_value_udwf(),
        win::nth_value::last_value_udwf(),
        win::nth_value::nth_value_udwf(),
    ]
}
