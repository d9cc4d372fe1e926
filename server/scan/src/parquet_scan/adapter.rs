//! Rewrites a scan's projection and predicate for each file: columns found without regard to case,
//! types checked before they are cast.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use crate::error::ScanError;
use crate::nested::has_struct;
use crate::parquet_scan::declared::declared;
use crate::parquet_scan::rounding::{RoundedMillis, compared, has_finer_than_millis};
use crate::parquet_scan::schema::{file_column, readable_as};

/// Adapter factory of one table.
#[derive(Debug)]
pub(crate) struct GlueAdapterFactory {
    /// `database.table`, for errors.
    pub table: Arc<str>,
}

impl PhysicalExprAdapterFactory for GlueAdapterFactory {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let renamed = Arc::new(self.renamed(&logical, &physical)?);
        // What is nested has been adapted before the stock adapter sees it.
        let flat = Arc::new(with_nested_as_stored(&logical, &renamed));
        let inner = DefaultPhysicalExprAdapterFactory.create(flat, Arc::clone(&renamed))?;
        Ok(Arc::new(GlueAdapter {
            table: Arc::clone(&self.table),
            inner,
            logical,
            physical,
            renamed,
        }))
    }
}

impl GlueAdapterFactory {
    /// The file's schema with the table's names, and nullable where only nullability differs, so that
    /// the stock adapter finds every column and inserts no needless cast.
    fn renamed(&self, logical: &Schema, physical: &Schema) -> Result<Schema> {
        let mut fields: Vec<Field> = physical.fields().iter().map(|f| f.as_ref().clone()).collect();
        for want in logical.fields() {
            let found = file_column(physical, want.name()).map_err(|reason| ScanError::BadFile {
                table: self.table.to_string(),
                file: "of this scan".to_owned(),
                reason,
            })?;
            if let Some(index) = found {
                let stored = physical.field(index);
                fields[index] = if stored.data_type() == want.data_type() {
                    want.as_ref().clone()
                } else {
                    Field::new(want.name(), stored.data_type().clone(), true)
                };
            }
        }
        Ok(Schema::new(fields))
    }
}

/// `logical` with the columns that hold structs as the file has them.
fn with_nested_as_stored(logical: &Schema, renamed: &Schema) -> Schema {
    let fields = logical.fields().iter().map(|want| {
        let nested = has_struct(want.data_type());
        match renamed.field_with_name(want.name()) {
            Ok(stored) if nested => Arc::new(stored.clone()),
            _ => Arc::clone(want),
        }
    });
    Schema::new(fields.collect::<Vec<_>>())
}

#[derive(Debug)]
struct GlueAdapter {
    table: Arc<str>,
    inner: Arc<dyn PhysicalExprAdapter>,
    logical: SchemaRef,
    physical: SchemaRef,
    renamed: SchemaRef,
}

impl GlueAdapter {
    fn check_types(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<()> {
        for column in datafusion::physical_expr::utils::collect_columns(expr) {
            let (Ok(want), Ok(stored)) = (
                self.logical.field_with_name(column.name()),
                self.renamed.field_with_name(column.name()),
            ) else {
                continue;
            };
            if !readable_as(stored.data_type(), want.data_type()) {
                return Err(ScanError::SchemaMismatch {
                    table: self.table.to_string(),
                    file: "of this scan".to_owned(),
                    column: column.name().to_owned(),
                    declared: want.data_type().to_string(),
                    stored: stored.data_type().to_string(),
                }
                .into());
            }
        }
        Ok(())
    }

    /// Rounding instead of the cast that the stock adapter puts around fine timestamps, and before the one that it
    /// puts around lists of such; bottom up.
    fn round(&self, node: Arc<dyn PhysicalExpr>) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
        let stored = |column: &Column| {
            self.renamed
                .fields()
                .get(column.index())
                .map(|f| f.data_type().clone())
        };
        if let Some(cast) = node.downcast_ref::<CastExpr>()
            && let Some(column) = cast.expr().downcast_ref::<Column>()
            && let Some(stored) = stored(column)
            && has_finer_than_millis(&stored)
            && !has_struct(&stored)
        {
            let rounded = Arc::new(RoundedMillis::new(Arc::clone(cast.expr())));
            return Ok(Transformed::yes(if stored.is_nested() {
                Arc::new(CastExpr::new_with_target_field(
                    rounded,
                    Arc::clone(cast.target_field()),
                    Some(cast.cast_options().clone()),
                ))
            } else {
                rounded
            }));
        }
        match node
            .downcast_ref::<BinaryExpr>()
            .and_then(|binary| compared(binary, stored))
        {
            Some(comparison) => Ok(Transformed::yes(comparison)),
            None => Ok(Transformed::no(node)),
        }
    }
}

impl PhysicalExprAdapter for GlueAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        self.check_types(&expr)?;
        let nested = expr.transform_down(|node| {
            Ok(match declared(&node, &self.logical, &self.renamed)? {
                Some(declared) => Transformed::new(declared, true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        });
        let rewritten = self.inner.rewrite(nested.data()?)?;
        let rewritten = rewritten.transform_up(|node| self.round(node)).data()?;
        // Names go back to the file's own: the reader's projection and pruning look them up there.
        rewritten
            .transform_down(|node| {
                if let Some(column) = node.downcast_ref::<Column>()
                    && let Some(field) = self.physical.fields().get(column.index())
                    && field.name() != column.name()
                {
                    return Ok(Transformed::yes(
                        Arc::new(Column::new(field.name(), column.index())) as Arc<dyn PhysicalExpr>,
                    ));
                }
                Ok(Transformed::no(node))
            })
            .data()
    }
}
