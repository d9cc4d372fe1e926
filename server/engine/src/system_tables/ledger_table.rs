//! Tables over the ledger: read page by page while the query runs, with what the filters say given to SQLite.
//!
//! The filters stay in the plan: here they only keep a big ledger from being read whole.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use owlake_fault::Fault;
use owlake_metering::{Ledger, LedgerFilter, LedgerPosition, QueryPart};

use super::columns::Columns;

/// Queries per page: bounds memory, and how long the ledger's thread is kept from its writes.
const PAGE: usize = 500;

/// One kind of rows in the ledger.
#[async_trait]
pub(super) trait Family: fmt::Debug + Send + Sync {
    /// A page of rows, newest query first, and where the next page begins.
    async fn page(
        &self,
        ledger: &Ledger,
        filter: LedgerFilter,
    ) -> Result<(RecordBatch, Option<LedgerPosition>), Fault>;
}

/// The columns of the query that each part belongs to.
pub(super) fn of_parts<T>(rows: &[QueryPart<T>]) -> Columns<'_, QueryPart<T>> {
    Columns::of(rows)
        .text("query_id", |r| Some(&r.query_id))
        .time("submitted_at", |r| Some(r.submitted_at))
        .text("principal", |r| Some(&r.principal))
        .text("workgroup", |r| Some(&r.workgroup))
}

/// A family as a table.
#[derive(Debug)]
pub(super) struct LedgerTable {
    schema: SchemaRef,
    family: Arc<dyn Family>,
    ledger: Arc<Ledger>,
    /// Whose rows are seen; `None` for everybody's.
    owner: Option<String>,
}

impl LedgerTable {
    pub(super) fn new(
        schema: SchemaRef,
        family: Arc<dyn Family>,
        ledger: Arc<Ledger>,
        owner: Option<String>,
    ) -> Self {
        Self {
            schema,
            family,
            ledger,
            owner,
        }
    }
}

#[async_trait]
impl TableProvider for LedgerTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if narrow(&mut LedgerFilter::default(), filter) {
                    TableProviderFilterPushDown::Inexact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut filter = LedgerFilter {
            limit: PAGE,
            ..LedgerFilter::default()
        };
        for condition in filters {
            narrow(&mut filter, condition);
        }
        if self.owner.is_some() {
            filter.principal.clone_from(&self.owner);
        }
        let pages = Pages {
            schema: Arc::clone(&self.schema),
            family: Arc::clone(&self.family),
            ledger: Arc::clone(&self.ledger),
            filter,
        };
        let schema = Arc::clone(&self.schema);
        let plan =
            StreamingTableExec::try_new(schema, vec![Arc::new(pages)], projection, None, false, limit)?;
        Ok(Arc::new(plan))
    }
}

#[derive(Debug)]
struct Pages {
    schema: SchemaRef,
    family: Arc<dyn Family>,
    ledger: Arc<Ledger>,
    filter: LedgerFilter,
}

impl PartitionStream for Pages {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (family, ledger) = (Arc::clone(&self.family), Arc::clone(&self.ledger));
        let pages = futures::stream::try_unfold(Some(self.filter.clone()), move |filter| {
            let (family, ledger) = (Arc::clone(&family), Arc::clone(&ledger));
            async move {
                let Some(filter) = filter else {
                    return Ok(None);
                };
                let (batch, next) = family
                    .page(&ledger, filter.clone())
                    .await
                    .map_err(|fault| DataFusionError::External(Box::new(fault)))?;
                let filter = next.map(|position| LedgerFilter {
                    after: Some(position),
                    ..filter
                });
                Ok(Some((batch, filter)))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), pages))
    }
}

/// Takes over what `condition` demands of a column the ledger has an index or a cheap test for; false where it
/// says nothing about one.
fn narrow(filter: &mut LedgerFilter, condition: &Expr) -> bool {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == Operator::And => {
            let left = narrow(filter, left);
            narrow(filter, right) || left
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _)) => compare(filter, column.name(), *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => op
                .swap()
                .is_some_and(|swapped| compare(filter, column.name(), swapped, value)),
            _ => false,
        },
        Expr::Between(between) if !between.negated => match (&*between.expr, &*between.low, &*between.high) {
            (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                let low = compare(filter, column.name(), Operator::GtEq, low);
                compare(filter, column.name(), Operator::LtEq, high) || low
            }
            _ => false,
        },
        _ => false,
    }
}

/// Of two demands on one column both are kept, or the first: the plan tests them all again.
fn compare(filter: &mut LedgerFilter, column: &str, op: Operator, value: &ScalarValue) -> bool {
    let text = || match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => Some(text.clone()),
        _ => None,
    };
    match (column, op) {
        ("query_id", Operator::Eq) => keep(&mut filter.query_id, text()),
        ("principal", Operator::Eq) => keep(&mut filter.principal, text()),
        ("workgroup", Operator::Eq) => keep(&mut filter.workgroup, text()),
        ("submitted_at", _) => {
            let Some((first, after)) = millisecond(value) else {
                return false;
            };
            let later = |known: &mut Option<DateTime<Utc>>, at| *known = (*known).max(Some(at));
            let earlier = |known: &mut Option<DateTime<Utc>>, at| {
                *known = Some((*known).map_or(at, |k: DateTime<Utc>| k.min(at)))
            };
            match op {
                Operator::Gt | Operator::GtEq => later(&mut filter.since, first),
                Operator::Lt | Operator::LtEq => earlier(&mut filter.until, after),
                Operator::Eq => {
                    later(&mut filter.since, first);
                    earlier(&mut filter.until, after);
                }
                _ => return false,
            }
            true
        }
        _ => false,
    }
}

fn keep(place: &mut Option<String>, value: Option<String>) -> bool {
    let found = value.is_some();
    if place.is_none() {
        *place = value;
    }
    found
}

/// The millisecond that a time lies in: its beginning, and the next one's. The column has no finer times.
fn millisecond(value: &ScalarValue) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let millis = match value {
        ScalarValue::TimestampSecond(Some(at), _) => at.checked_mul(1_000)?,
        ScalarValue::TimestampMillisecond(Some(at), _) => *at,
        ScalarValue::TimestampMicrosecond(Some(at), _) => at.div_euclid(1_000),
        ScalarValue::TimestampNanosecond(Some(at), _) => at.div_euclid(1_000_000),
        _ => return None,
    };
    let time = DateTime::from_timestamp_millis;
    Some((time(millis)?, time(millis.checked_add(1)?)?))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    fn time(nanos: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(nanos), None))
    }

    #[test]
    fn conditions_on_known_columns_reach_the_ledger() {
        let mut filter = LedgerFilter::default();
        for condition in [
            col("query_id").eq(lit("q")),
            lit("bi").eq(col("workgroup")),
            col("submitted_at")
                .gt_eq(time(5_000_000))
                .and(col("submitted_at").gt(time(2_000_000))),
            col("submitted_at").between(time(1_000_000), time(9_999_999)),
            time(20_000_000).gt(col("submitted_at")),
        ] {
            assert!(narrow(&mut filter, &condition), "{condition}");
        }
        let expected = LedgerFilter {
            query_id: Some("q".to_owned()),
            workgroup: Some("bi".to_owned()),
            since: Some(at(5)),
            until: Some(at(10)),
            ..LedgerFilter::default()
        };
        assert_eq!(filter, expected);
    }

    #[test]
    fn everything_else_is_left_to_the_plan() {
        for condition in [
            col("query_id").not_eq(lit("q")),
            col("query").eq(lit("q")),
            col("query_id").eq(lit("q")).or(col("query_id").eq(lit("r"))),
            col("submitted_at").not_between(time(1), time(2)),
            col("submitted_at").eq(lit("2024-01-01")),
        ] {
            let mut filter = LedgerFilter::default();
            assert!(!narrow(&mut filter, &condition), "{condition}");
            assert_eq!(filter, LedgerFilter::default());
        }
    }
}
