//! Nested columns of a file, and fields of them, as expressions in the table's types.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::functions::core::getfield::GetFieldFunc;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::nested::{as_declared, below, field_index, has_struct};

/// A nested column, or a field of a struct, as the table declares it: found by name, NULL where a struct around it is.
///
/// What stands inside says what the Parquet reader decodes, in words that it knows: a column, a cast of a column to
/// those of its fields that are needed, or `get_field`. It is not evaluated as it is, see [`crate::nested`].
#[derive(Debug, Eq)]
pub(crate) struct Declared {
    stored: Arc<dyn PhysicalExpr>,
    declared: FieldRef,
}

impl Declared {
    fn of(stored: Arc<dyn PhysicalExpr>, declared: &Field) -> Arc<dyn PhysicalExpr> {
        Arc::new(Self {
            stored,
            declared: Arc::new(declared.clone().with_nullable(true)),
        })
    }
}

/// `node` over the file's columns, where it is a nested column of the table or a field of one; else `None`.
///
/// `logical` is the table's schema, `stored` the file's with the table's names for columns.
pub(crate) fn declared(
    node: &Arc<dyn PhysicalExpr>,
    logical: &Schema,
    stored: &Schema,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some((column, path)) = access(node) else {
        return Ok(None);
    };
    let Ok(want) = logical.field_with_name(column.name()) else {
        return Ok(None);
    };
    if !has_struct(want.data_type()) {
        return Ok(None);
    }
    let Ok(index) = stored.index_of(column.name()) else {
        return null(node, logical, want).map(Some);
    };
    let found = stored.field(index);
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), index));
    if path.is_empty() {
        let needed = needed(found.data_type(), want.data_type());
        let reads = if &needed == found.data_type() {
            column
        } else {
            let target = Arc::new(found.clone().with_data_type(needed));
            Arc::new(CastExpr::new_with_target_field(column, target, None))
        };
        return Ok(Some(Declared::of(reads, want)));
    }
    let Some(function) = ScalarFunctionExpr::try_downcast_func::<GetFieldFunc>(node.as_ref()) else {
        return Ok(None);
    };
    let (mut want, mut found) = (want, found);
    let mut args = vec![column];
    for name in path {
        let (DataType::Struct(wanted), DataType::Struct(fields)) = (want.data_type(), found.data_type())
        else {
            return Ok(None);
        };
        let Some(field) = wanted.iter().find(|field| *field.name() == name) else {
            return Ok(None);
        };
        want = field;
        match field_index(fields, &name) {
            Ok(Some(index)) => found = &fields[index],
            Ok(None) => return null(node, logical, want).map(Some),
            Err([a, b]) => return internal_err!("fields `{a}` and `{b}` differ only in case"),
        }
        args.push(Arc::new(Literal::new(ScalarValue::from(found.name().as_str()))));
    }
    let field = ScalarFunctionExpr::try_new(
        Arc::new(function.fun().clone()),
        args,
        stored,
        Arc::new(function.config_options().clone()),
    )?;
    Ok(Some(Declared::of(Arc::new(field), want)))
}

/// NULL of the type that `node` has over the table; `want` tells what more is known of it.
fn null(node: &Arc<dyn PhysicalExpr>, logical: &Schema, want: &Field) -> Result<Arc<dyn PhysicalExpr>> {
    let data_type = match node.downcast_ref::<ScalarFunctionExpr>() {
        Some(function) => function.return_type().clone(),
        None => node.data_type(logical)?,
    };
    Ok(Arc::new(Literal::new_with_metadata(
        ScalarValue::try_from(&data_type)?,
        Some(want.into()),
    )))
}

/// The column at the bottom of a chain of `get_field`s, and the names on the way up; no names for a plain column.
fn access(node: &Arc<dyn PhysicalExpr>) -> Option<(&Column, Vec<String>)> {
    if let Some(column) = node.downcast_ref::<Column>() {
        return Some((column, Vec::new()));
    }
    let function = ScalarFunctionExpr::try_downcast_func::<GetFieldFunc>(node.as_ref())?;
    let (base, names) = function.args().split_first()?;
    let (column, mut path) = access(base)?;
    for name in names {
        let name = name.downcast_ref::<Literal>()?.value();
        path.push(name.try_as_str().flatten()?.to_owned());
    }
    Some((column, path))
}

/// `stored` with the fields alone that `wanted` has. Of a struct none of whose fields is wanted, the first one stays:
/// it tells where the struct is NULL.
fn needed(stored: &DataType, wanted: &DataType) -> DataType {
    let child = |stored: &FieldRef, wanted: &DataType| -> FieldRef {
        let data_type = needed(stored.data_type(), wanted);
        Arc::new(stored.as_ref().clone().with_data_type(data_type))
    };
    match (stored, wanted) {
        (DataType::Struct(fields), DataType::Struct(wanted)) => {
            let mut kept: Vec<Option<&DataType>> = vec![None; fields.len()];
            for want in wanted {
                if let Ok(Some(index)) = field_index(fields, want.name()) {
                    kept[index] = Some(want.data_type());
                }
            }
            let pairs = fields.iter().zip(&kept);
            let mut needed: Vec<FieldRef> = pairs
                .filter_map(|(field, wanted)| Some(child(field, (*wanted)?)))
                .collect();
            if let (true, Some(first)) = (needed.is_empty(), fields.first()) {
                needed.push(child(first, &DataType::Struct(Vec::<FieldRef>::new().into())));
            }
            DataType::Struct(needed.into())
        }
        (DataType::List(item), DataType::List(wanted)) => DataType::List(child(item, wanted.data_type())),
        // A list in a struct none of whose fields is wanted.
        (DataType::List(item), DataType::Struct(_)) => DataType::List(child(item, wanted)),
        _ => stored.clone(),
    }
}

impl PartialEq for Declared {
    fn eq(&self, other: &Self) -> bool {
        self.stored.eq(&other.stored) && self.declared == other.declared
    }
}

impl Hash for Declared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.stored.hash(state);
        self.declared.hash(state);
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "as_declared({})", self.stored)
    }
}

impl PhysicalExpr for Declared {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(self.declared.data_type().clone())
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.declared))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let stored = match self.stored.downcast_ref::<CastExpr>() {
            Some(cast) => cast.expr(),
            None => &self.stored,
        };
        let stored = match ScalarFunctionExpr::try_downcast_func::<GetFieldFunc>(stored.as_ref()) {
            Some(function) => field_of(function, batch)?,
            None => stored.evaluate(batch)?.into_array(batch.num_rows())?,
        };
        Ok(ColumnarValue::Array(as_declared(
            &stored,
            self.declared.data_type(),
        )?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.stored]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match <[Arc<dyn PhysicalExpr>; 1]>::try_from(children) {
            Ok([stored]) => Ok(Self::of(stored, &self.declared)),
            Err(children) => internal_err!("a declared column has one child, not {}", children.len()),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stored.fmt_sql(f)
    }
}

/// The field that `function` names, NULL where one of the structs on its way is.
fn field_of(function: &ScalarFunctionExpr, batch: &RecordBatch) -> Result<ArrayRef> {
    let Some((base, names)) = function.args().split_first() else {
        return internal_err!("a field of nothing");
    };
    let mut values = base.evaluate(batch)?.into_array(batch.num_rows())?;
    for name in names {
        let name = name.downcast_ref::<Literal>();
        let name = name.and_then(|name| name.value().try_as_str().flatten());
        let (Some(name), DataType::Struct(_)) = (name, values.data_type()) else {
            return internal_err!("{} has no fields", values.data_type());
        };
        let rows = values.as_struct();
        let Some(field) = rows.column_by_name(name) else {
            return internal_err!("the reader left field `{name}` out");
        };
        values = below(field, rows.nulls())?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, data_type: DataType) -> FieldRef {
        Arc::new(Field::new(name, data_type, true))
    }

    fn row(fields: Vec<FieldRef>) -> DataType {
        DataType::Struct(fields.into())
    }

    #[test]
    fn of_a_struct_the_fields_of_the_table_are_needed_and_one_at_least() {
        let (number, text) = (DataType::Int32, DataType::Utf8);
        let stored = row(vec![
            field("A", number.clone()),
            field(
                "s",
                row(vec![field("x", number.clone()), field("y", text.clone())]),
            ),
            field("z", text.clone()),
        ]);
        let wanted = row(vec![
            field("a", number.clone()),
            field("s", row(vec![field("y", text)])),
        ]);
        let DataType::Struct(kept) = needed(&stored, &wanted) else {
            panic!("a struct");
        };
        let names: Vec<&str> = kept.iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["A", "s"]);
        let DataType::Struct(inner) = kept[1].data_type() else {
            panic!("a struct");
        };
        assert_eq!((inner.len(), inner[0].name().as_str()), (1, "y"));
        let other = row(vec![field("q", number)]);
        let DataType::Struct(kept) = needed(&stored, &other) else {
            panic!("a struct");
        };
        assert_eq!((kept.len(), kept[0].name().as_str()), (1, "A"));
    }
}
