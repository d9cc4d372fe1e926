//! The partitions a query reads: projected or registered, cut by domains, then by the filters themselves.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::and;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, TimeUnit};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use owlake_catalog::projection::{ProjectionSpec, hive_location, partition_values};
use owlake_catalog::{CatalogStore, Domains, Partition, PartitionValue, Table};

use crate::context::ScanContext;
use crate::error::ScanError;
use crate::guarded::{guarded, without_nulls};
use crate::location::Location;
use crate::parquet_scan::rounding::rounded;

/// One partition that survived: its location and its values in key order.
#[derive(Debug, Clone)]
pub(crate) struct SelectedPartition {
    pub location: Location,
    pub values: Vec<ScalarValue>,
    /// Where it is registered: it may say itself how its files are written.
    pub registered: Option<Registered>,
}

/// A row of the catalog's list of partitions, shared with all others of the list.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    list: Arc<Vec<Partition>>,
    index: usize,
}

impl Registered {
    /// The partition, as long as the list is what it was.
    pub(crate) fn get(&self) -> Option<&Partition> {
        self.list.get(self.index)
    }

    /// Whether both are the same row.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.index == other.index && Arc::ptr_eq(&self.list, &other.list)
    }
}

/// Partitions selected, and how many there could have been.
#[derive(Debug)]
pub(crate) struct Selection {
    pub partitions: Vec<SelectedPartition>,
    pub total: Option<u64>,
}

/// Candidates evaluated at a time.
const CHUNK: usize = 8192;

/// Selects the partitions of `table` that `filters` (partition filters only) leave. No object is touched.
pub(crate) async fn select(
    context: &ScanContext,
    session: &dyn Session,
    table: &Table,
    spec: Option<&ProjectionSpec>,
    store: &dyn CatalogStore,
    fields: &[FieldRef],
    filters: &[Expr],
) -> Result<Selection> {
    let base = || -> std::result::Result<&str, ScanError> {
        table
            .storage_descriptor
            .location
            .as_deref()
            .ok_or_else(|| ScanError::NoLocation(table.qualified_name()))
    };
    if fields.is_empty() {
        let location = Location::parse(base()?)?;
        return Ok(Selection {
            partitions: vec![SelectedPartition {
                location,
                values: Vec::new(),
                registered: None,
            }],
            total: Some(1),
        });
    }
    let names: Vec<String> = fields.iter().map(|f| f.name().clone()).collect();
    let domains = crate::pruning::domains(filters, &names);
    let filter = PartitionFilter::try_new(session, fields, filters)?;
    match spec {
        Some(spec) => projected(context, spec, fields, &domains, &filter),
        None => registered(context, table, store, fields, &domains, &filter, base()?).await,
    }
}

fn projected(
    context: &ScanContext,
    spec: &ProjectionSpec,
    fields: &[FieldRef],
    domains: &Domains,
    filter: &PartitionFilter,
) -> Result<Selection> {
    let expansion = spec
        .expand(domains, context.now, context.config.max_partitions)
        .map_err(ScanError::from)?;
    for notice in &expansion.notices {
        context.notice(notice.clone());
    }
    let total = expansion.total;
    let mut partitions = Vec::new();
    let mut chunk: Vec<(String, Vec<ScalarValue>)> = Vec::new();
    let flush = |chunk: &mut Vec<(String, Vec<ScalarValue>)>,
                 partitions: &mut Vec<SelectedPartition>|
     -> Result<()> {
        let kept = filter.keep(chunk.iter().map(|(_, values)| values.as_slice()))?;
        for ((location, values), keep) in chunk.drain(..).zip(kept) {
            if keep {
                partitions.push(SelectedPartition {
                    location: Location::parse(&location)?,
                    values,
                    registered: None,
                });
            }
        }
        Ok(())
    };
    for partition in expansion {
        let values = partition
            .values
            .iter()
            .zip(fields)
            .map(|(value, field)| scalar(Some(value), field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        chunk.push((partition.location, values));
        if chunk.len() == CHUNK {
            flush(&mut chunk, &mut partitions)?;
        }
    }
    flush(&mut chunk, &mut partitions)?;
    Ok(Selection { partitions, total })
}

async fn registered(
    context: &ScanContext,
    table: &Table,
    store: &dyn CatalogStore,
    fields: &[FieldRef],
    domains: &Domains,
    filter: &PartitionFilter,
    base: &str,
) -> Result<Selection> {
    let all = store
        .partitions(&table.database_name, &table.name)
        .await
        .map_err(ScanError::from)?;
    let mut partitions = Vec::new();
    for (chunk, part) in all.chunks(CHUNK).enumerate() {
        let mut candidates = Vec::with_capacity(part.len());
        for (index, partition) in part.iter().enumerate() {
            let typed =
                partition_values(&table.partition_keys, &partition.values).map_err(ScanError::from)?;
            let possible =
                typed
                    .iter()
                    .zip(fields)
                    .all(|(value, field)| match (value, domains.get(field.name())) {
                        (_, None) => true,
                        (Some(value), Some(domain)) => domain.contains(value),
                        // NULL satisfies no comparison, but the domain may come from `IS NOT DISTINCT FROM`.
                        (None, Some(_)) => true,
                    });
            if !possible {
                continue;
            }
            let values = typed
                .iter()
                .zip(fields)
                .map(|(value, field)| scalar(value.as_ref(), field.data_type()))
                .collect::<Result<Vec<_>>>()?;
            let location = match &partition.storage_descriptor.location {
                Some(location) => location.clone(),
                None => hive_location(base, &table.partition_keys, &partition.values),
            };
            candidates.push((location, values, chunk * CHUNK + index));
        }
        let kept = filter.keep(candidates.iter().map(|(_, values, _)| values.as_slice()))?;
        for ((location, values, index), keep) in candidates.into_iter().zip(kept) {
            if keep {
                partitions.push(SelectedPartition {
                    location: Location::parse(&location)?,
                    values,
                    registered: Some(Registered {
                        list: Arc::clone(&all),
                        index,
                    }),
                });
            }
        }
    }
    let limit = context.config.max_partitions;
    if partitions.len() as u64 > limit {
        return Err(ScanError::from(owlake_catalog::CatalogError::TooManyPartitions {
            table: table.qualified_name(),
            limit,
            count: partitions.len().to_string(),
            columns: fields.iter().map(|f| f.name().clone()).collect(),
        })
        .into());
    }
    Ok(Selection {
        partitions,
        total: Some(all.len() as u64),
    })
}

/// The partition filters, ready to be evaluated on partition values.
pub(crate) struct PartitionFilter {
    schema: Arc<Schema>,
    filters: Vec<Arc<dyn datafusion::physical_expr::PhysicalExpr>>,
}

impl PartitionFilter {
    pub(crate) fn try_new(session: &dyn Session, fields: &[FieldRef], filters: &[Expr]) -> Result<Self> {
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let df_schema = DFSchema::try_from(Arc::clone(&schema))?;
        let filters = filters
            .iter()
            .map(|filter| {
                let filter = session.create_physical_expr(unqualified(filter)?, &df_schema)?;
                Ok(guarded(filter, &schema)?.data)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { schema, filters })
    }

    /// For each row of values: is every filter true? NULL is not true.
    pub(crate) fn keep<'a>(&self, rows: impl Iterator<Item = &'a [ScalarValue]>) -> Result<Vec<bool>> {
        let rows: Vec<&[ScalarValue]> = rows.collect();
        if self.filters.is_empty() || rows.is_empty() {
            return Ok(vec![true; rows.len()]);
        }
        let columns = (0..self.schema.fields().len())
            .map(|i| ScalarValue::iter_to_array(rows.iter().map(|row| row[i].clone())))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let mut keep = BooleanArray::from(vec![true; rows.len()]);
        // In their order: a filter sees the rows that those before it leave.
        for filter in &self.filters {
            let verdict = filter.evaluate_selection(&batch, &keep)?.into_array(rows.len())?;
            let verdict = verdict
                .as_boolean_opt()
                .ok_or_else(|| DataFusionError::Internal("a partition filter is not boolean".to_owned()))?;
            keep = and(&keep, &without_nulls(verdict.clone()))?;
        }
        let keep = keep.values().iter().collect();
        Ok(keep)
    }
}

fn unqualified(expr: &Expr) -> Result<Expr> {
    use datafusion::common::Column;
    use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
    expr.clone()
        .transform(|e| match e {
            Expr::Column(c) if c.relation.is_some() => {
                Ok(Transformed::yes(Expr::Column(Column::new_unqualified(c.name))))
            }
            e => Ok(Transformed::no(e)),
        })
        .data()
}

/// A partition value as the engine's scalar of `data_type`.
fn scalar(value: Option<&PartitionValue>, data_type: &DataType) -> Result<ScalarValue> {
    let Some(value) = value else {
        return ScalarValue::try_new_null(data_type);
    };
    let scalar = match (value, data_type) {
        (PartitionValue::Text(v), DataType::Utf8View) => ScalarValue::Utf8View(Some(v.clone())),
        (PartitionValue::Text(v), DataType::Utf8) => ScalarValue::Utf8(Some(v.clone())),
        (PartitionValue::Integer(v), _) => ScalarValue::Int64(Some(*v)).cast_to(data_type)?,
        (PartitionValue::Date(v), DataType::Date32) => ScalarValue::Date32(Some(*v)),
        (PartitionValue::Timestamp(v), DataType::Timestamp(TimeUnit::Millisecond, None)) => {
            ScalarValue::TimestampMillisecond(Some(rounded(*v, 1_000)), None)
        }
        (PartitionValue::Boolean(v), DataType::Boolean) => ScalarValue::Boolean(Some(*v)),
        (value, data_type) => {
            return Err(DataFusionError::Internal(format!(
                "partition value {value:?} for a {data_type} column"
            )));
        }
    };
    Ok(scalar)
}
