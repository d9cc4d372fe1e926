//! Parts of a plan that the database may compute as one statement: an allow-list of nodes, over tables of this database
//! alone. A part of which anything is not on the list stays with the engine as a whole; smaller parts are asked for then.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, FetchType, Join, Limit, LogicalPlan, SkipType, Sort, TableScan,
};

use super::aggregate;
use super::catalog::{Known, RemoteColumn, RemoteQuery, RemoteTable};
use super::database::Database;
use super::expression::{self, Names};
use super::select::Select;
use super::table::PostgresTable;
use super::value::{Class, Collation, Value, standing_for};

/// Longer statements are for nobody; substituted expressions grow.
const MAX_SQL: usize = 100_000;
/// Deeper plans stay here; the walk is recursive.
const MAX_DEPTH: usize = 60;

/// The plan as a query of the database; `None` where it must not be taken over, or where the scans of its tables move
/// no more rows.
pub(super) fn query(database: &Arc<Database>, plan: &LogicalPlan) -> Option<RemoteTable> {
    let printer = Printer {
        database,
        aliases: Cell::default(),
        depth: Cell::default(),
        reads: RefCell::default(),
    };
    let select = printer.plan(plan)?;
    if !select.works || select.multiplies {
        return None;
    }
    let fields = plan.schema().fields();
    let columns = select.columns.iter().zip(fields).enumerate();
    let columns = columns.map(|(at, (value, field))| {
        let name = format!("c{at}");
        (value.mapping.data_type == *field.data_type()).then(|| RemoteColumn {
            shown: name.clone(),
            name,
            type_name: String::new(),
            known: Known::default(),
            collation: value.collation,
            mapping: value.mapping.clone(),
        })
    });
    let columns: Vec<RemoteColumn> = columns.collect::<Option<_>>()?;
    let named = columns.iter().zip(fields).map(|(column, field)| {
        let nullable = field.is_nullable();
        arrow::datatypes::Field::new(&column.name, field.data_type().clone(), nullable)
    });
    let schema = arrow::datatypes::Schema::new(named.collect::<Vec<_>>());
    let sql = select.sql();
    if sql.len() > MAX_SQL || columns.len() != fields.len() {
        return None;
    }
    let reads = printer.reads.into_inner();
    Some(RemoteTable::of_query(
        RemoteQuery { sql, reads },
        columns,
        Arc::new(schema),
        select.rows,
    ))
}

pub(super) struct Printer<'a> {
    database: &'a Arc<Database>,
    aliases: Cell<usize>,
    depth: Cell<usize>,
    reads: RefCell<Vec<(Arc<RemoteTable>, Vec<usize>)>>,
}

/// Columns of one or two inputs by their names in the plan.
pub(super) struct Scope<'a> {
    printer: &'a Printer<'a>,
    parts: [Option<(&'a DFSchema, &'a [Value])>; 2],
}

impl Names for Scope<'_> {
    fn column(&self, column: &Column) -> Option<Value> {
        let mut found = self.parts.iter().flatten().filter_map(|(schema, values)| {
            let at = schema.maybe_index_of_column(column)?;
            values.get(at)
        });
        let value = found.next()?;
        found.next().is_none().then(|| value.clone())
    }

    fn data_type(&self, expr: &Expr) -> Option<DataType> {
        match self.parts {
            [Some((one, _)), Some((other, _))] => expr.get_type(&one.join(other).ok()?).ok(),
            [Some((only, _)), _] | [_, Some((only, _))] => expr.get_type(only).ok(),
            _ => None,
        }
    }

    fn subquery(&self, plan: &LogicalPlan) -> Option<Value> {
        let select = self.printer.plan(plan)?;
        let [value] = select.columns.as_slice() else {
            return None;
        };
        Some(Value {
            sql: format!("({})", select.sql()),
            computed: true,
            ..value.clone()
        })
    }
}

impl<'a> Printer<'a> {
    fn alias(&self) -> String {
        let next = self.aliases.get();
        self.aliases.set(next + 1);
        format!("t{next}")
    }

    pub(super) fn scope<'b>(&'b self, schema: &'b DFSchema, select: &'b Select) -> Scope<'b> {
        Scope {
            printer: self,
            parts: [Some((schema, &select.columns)), None],
        }
    }

    /// The statement as a subquery, of which every column is only a name.
    fn wrapped(&self, select: Select) -> Select {
        let alias = self.alias();
        let from = format!("({}) AS {alias}", select.sql());
        let columns = select.columns.into_iter().enumerate().map(|(at, value)| Value {
            sql: format!("{alias}.c{at}"),
            computed: false,
            ..value
        });
        Select {
            works: select.works,
            multiplies: select.multiplies,
            ..Select::from(from, columns.collect(), select.rows)
        }
    }

    pub(super) fn flat(&self, select: Select) -> Select {
        if select.is_flat() {
            select
        } else {
            self.wrapped(select)
        }
    }

    pub(super) fn plan(&self, plan: &LogicalPlan) -> Option<Select> {
        if self.depth.get() > MAX_DEPTH {
            return None;
        }
        self.depth.set(self.depth.get() + 1);
        let select = self.node(plan);
        self.depth.set(self.depth.get() - 1);
        select.filter(|select| select.columns.iter().map(|value| value.sql.len()).sum::<usize>() < MAX_SQL)
    }

    fn node(&self, plan: &LogicalPlan) -> Option<Select> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Projection(projection) => self.projection(&projection.expr, &projection.input),
            LogicalPlan::Filter(filter) => {
                let mut select = self.flat(self.plan(&filter.input)?);
                let scope = self.scope(filter.input.schema(), &select);
                let condition = expression::condition(&scope, &filter.predicate)?;
                select.conditions.push(condition);
                Some(select)
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(node) => {
                let select = self.flat(self.plan(&node.input)?);
                aggregate::aggregate(self, node, select)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let mut select = self.flat(self.plan(input)?);
                let keys = select.columns.into_iter().map(Value::grouped);
                select.columns = keys.collect::<Option<_>>()?;
                let groups: Vec<_> = select.columns.iter().map(|value| value.sql.clone()).collect();
                select.groups = Some(groups).filter(|groups| !groups.is_empty());
                select.groups.is_some().then_some(Select {
                    works: true,
                    multiplies: false,
                    ..select
                })
            }
            LogicalPlan::Sort(sort) => self.sort(sort),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Union(union) => self.union(&union.inputs, plan.schema()),
            _ => None,
        }
    }

    fn scan(&self, scan: &TableScan) -> Option<Select> {
        let provider = source_as_provider(&scan.source).ok()?;
        let table = provider
            .downcast_ref::<PostgresTable>()?
            .table_of(self.database)?;
        let all: Vec<usize> = (0..table.columns.len()).collect();
        let projection = scan.projection.as_ref().unwrap_or(&all);
        let alias = self.alias();
        let whole = all
            .iter()
            .map(|at| Value::of_column(&table.columns[*at], Some(&alias)));
        let whole: Vec<Value> = whole.collect::<Option<_>>()?;
        let mut used = projection.clone();
        let from = format!("{} AS {alias}", table.quoted().ok()?);
        let mut select = Select::from(from, whole, table.estimated_rows);
        for filter in &scan.filters {
            for column in filter.column_refs() {
                used.push(table.schema().index_of(&column.name).ok()?);
            }
            let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), table.schema()).ok()?;
            let scope = self.scope(&schema, &select);
            let condition = expression::condition(&scope, filter)?;
            select.conditions.push(condition);
        }
        let columns = projection.iter().map(|at| select.columns.get(*at).cloned());
        select.columns = columns.collect::<Option<_>>()?;
        select.limit = scan.fetch.map(|fetch| fetch as u64);
        used.sort_unstable();
        used.dedup();
        self.reads.borrow_mut().push((Arc::clone(table), used));
        Some(select)
    }

    fn projection(&self, exprs: &[Expr], input: &LogicalPlan) -> Option<Select> {
        let mut select = self.plan(input)?;
        let one_group = select.groups.as_ref().is_some_and(Vec::is_empty);
        // Without an aggregate in it, it would be no group of all rows any more.
        if one_group && exprs.iter().all(|expr| expr.column_refs().is_empty()) {
            select = self.wrapped(select);
        }
        let scope = self.scope(input.schema(), &select);
        let columns = exprs.iter().map(|expr| expression::value(&scope, expr));
        let columns = columns.collect::<Option<_>>()?;
        Some(Select { columns, ..select })
    }

    fn sort(&self, sort: &Sort) -> Option<Select> {
        let mut select = self.plan(&sort.input)?;
        if select.limit.is_some() || select.skip > 0 {
            select = self.wrapped(select);
        }
        let scope = self.scope(sort.input.schema(), &select);
        let order = sort.expr.iter().map(|key| {
            let value = expression::value(&scope, &key.expr)?;
            let direction = if key.asc { "ASC" } else { "DESC" };
            let nulls = if key.nulls_first { "FIRST" } else { "LAST" };
            Some(format!("{} {direction} NULLS {nulls}", value.order_key()?))
        });
        select.order = order.collect::<Option<_>>()?;
        let Some(fetch) = sort.fetch else {
            return Some(select);
        };
        Some(limited(select, 0, Some(fetch as u64)))
    }

    fn limit(&self, limit: &Limit) -> Option<Select> {
        let (Ok(SkipType::Literal(skip)), Ok(FetchType::Literal(fetch))) =
            (limit.get_skip_type(), limit.get_fetch_type())
        else {
            return None;
        };
        let select = self.plan(&limit.input)?;
        Some(limited(select, skip as u64, fetch.map(|fetch| fetch as u64)))
    }

    fn union(&self, inputs: &[Arc<LogicalPlan>], schema: &DFSchema) -> Option<Select> {
        let mut parts = Vec::with_capacity(inputs.len());
        let (mut rows, mut utf8) = (Some(0_u64), true);
        let mut exact = vec![true; schema.fields().len()];
        for input in inputs {
            let mut select = self.plan(input)?;
            for ((value, field), exact) in select.columns.iter_mut().zip(schema.fields()).zip(&mut exact) {
                let (name, mapping) = standing_for(field.data_type())?;
                if value.mapping.data_type != *field.data_type()
                    || matches!(value.class()?, Class::Oid | Class::Uuid)
                {
                    return None;
                }
                utf8 &= value.collation.utf8;
                *exact &= value.exact;
                value.sql = format!("{}::{name}", value.sql);
                value.mapping = mapping;
            }
            rows = rows.zip(select.rows).map(|(all, more)| all.saturating_add(more));
            parts.push(select);
        }
        let alias = self.alias();
        let columns = schema
            .fields()
            .iter()
            .zip(exact)
            .enumerate()
            .map(|(at, (field, exact))| {
                let (_, mapping) = standing_for(field.data_type())?;
                Some(Value {
                    sql: format!("{alias}.c{at}"),
                    mapping,
                    collation: Collation::mixed(utf8),
                    computed: false,
                    exact,
                })
            });
        let sql: Vec<String> = parts.iter().map(|part| format!("({})", part.sql())).collect();
        let from = format!("({}) AS {alias}", sql.join(" UNION ALL "));
        Some(Select {
            works: parts.iter().any(|part| part.works),
            multiplies: parts.iter().any(|part| part.multiplies),
            ..Select::from(from, columns.collect::<Option<_>>()?, rows)
        })
    }

    fn join(&self, join: &Join) -> Option<Select> {
        let left = self.flat(self.plan(&join.left)?);
        let right = self.flat(self.plan(&join.right)?);
        // Conditions and computed values of a side that may be missing have to be below the join.
        let below = |select: Select| {
            let plain = select.conditions.is_empty() && !select.columns.iter().any(|value| value.computed);
            if plain { select } else { self.wrapped(select) }
        };
        let (left, right) = match join.join_type {
            JoinType::Left => (left, below(right)),
            JoinType::Right => (below(left), right),
            JoinType::Full => (below(left), below(right)),
            _ => (left, right),
        };
        let on = self.on(join, &left, &right)?;
        match join.join_type {
            JoinType::Inner => Some(inner(left, right, on.as_deref(), join.on.is_empty())),
            JoinType::Left => outer(left, right, "LEFT", on.as_deref()?, join.on.is_empty()),
            JoinType::Right => outer(left, right, "RIGHT", on.as_deref()?, join.on.is_empty()),
            // Only what it can hash or merge on may be a condition of it.
            JoinType::Full
                if join.filter.is_none() && join.null_equality == NullEquality::NullEqualsNothing =>
            {
                outer(left, right, "FULL", on.as_deref()?, join.on.is_empty())
            }
            JoinType::LeftSemi => Some(filtered(left, right.exists(on))),
            JoinType::RightSemi => Some(filtered(right, left.exists(on))),
            JoinType::LeftAnti if !join.null_aware => {
                Some(filtered(left, format!("(NOT {})", right.exists(on))))
            }
            JoinType::RightAnti if !join.null_aware => {
                Some(filtered(right, format!("(NOT {})", left.exists(on))))
            }
            _ => None,
        }
    }

    /// The condition of a join; an outer `None` where there is one that stays here.
    fn on(&self, join: &Join, left: &Select, right: &Select) -> Option<Option<String>> {
        let scope = Scope {
            printer: self,
            parts: [
                Some((join.left.schema(), &left.columns)),
                Some((join.right.schema(), &right.columns)),
            ],
        };
        let nulls = join.null_equality == NullEquality::NullEqualsNull;
        let equal = |(left, right): &(Expr, Expr)| expression::equality(&scope, left, right, nulls);
        let mut all: Vec<String> = join.on.iter().map(equal).collect::<Option<_>>()?;
        if let Some(filter) = &join.filter {
            all.push(expression::condition(&scope, filter)?);
        }
        Some((!all.is_empty()).then(|| all.join(" AND ")))
    }
}

/// OFFSET and LIMIT on top of those that are there.
fn limited(select: Select, skip: u64, limit: Option<u64>) -> Select {
    let left = select.limit.map(|limit| limit.saturating_sub(skip));
    let limit = left.into_iter().chain(limit).min();
    Select {
        skip: select.skip.saturating_add(skip),
        rows: select.rows.into_iter().chain(limit).min(),
        limit,
        // The first rows of a scan alone are what a scan asks for by itself.
        works: select.works || skip > 0 || !select.order.is_empty(),
        multiplies: select.multiplies && limit.is_none(),
        ..select
    }
}

fn larger(left: &Select, right: &Select) -> Option<u64> {
    left.rows.zip(right.rows).map(|(left, right)| left.max(right))
}

fn inner(left: Select, right: Select, on: Option<&str>, crossed: bool) -> Select {
    let from = match on {
        Some(on) => format!("{} JOIN {} ON {on}", left.from, right.operand()),
        None => format!("{} CROSS JOIN {}", left.from, right.operand()),
    };
    Select {
        from,
        rows: larger(&left, &right),
        columns: left.columns.into_iter().chain(right.columns).collect(),
        joined: true,
        conditions: left.conditions.into_iter().chain(right.conditions).collect(),
        works: true,
        multiplies: left.multiplies || right.multiplies || crossed,
        groups: None,
        order: Vec::new(),
        skip: 0,
        limit: None,
    }
}

fn outer(left: Select, right: Select, kind: &str, on: &str, crossed: bool) -> Option<Select> {
    if kind == "FULL" && crossed {
        return None;
    }
    let from = format!("{} {kind} JOIN {} ON {on}", left.from, right.operand());
    // The side that may be missing has none.
    Some(Select {
        from,
        ..inner(left, right, Some(on), crossed)
    })
}

fn filtered(mut select: Select, condition: String) -> Select {
    select.conditions.push(condition);
    select.works = true;
    select
}
