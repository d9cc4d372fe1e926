//! The order of joins before and after: the same rows, fewer parts for other databases, never a cross join.

use std::collections::HashMap;

use async_trait::async_trait;
use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::catalog::{
    CatalogProvider, MemTable, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, Session,
    TableProvider,
};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::TableType;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

/// A table of which a database knows how large it is.
#[derive(Debug)]
struct Known(MemTable, Statistics);

#[async_trait]
impl TableProvider for Known {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.1.clone())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, filters, limit).await
    }
}

/// Databases `pg` and `other`, which compute joins and filters but for those of columns called `odd`.
struct Both;

impl Remotes for Both {
    fn catalog(&self, plan: &LogicalPlan) -> Option<String> {
        let mut found = BTreeSet::new();
        plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                found.insert(scan.table_name.catalog().unwrap_or_default().to_owned());
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        let only = found.pop_first().filter(|_| found.is_empty());
        only.filter(|name| name != "lake")
    }

    fn computes(&self, catalog: &str, plan: &LogicalPlan) -> bool {
        let mut computes = self.catalog(plan).as_deref() == Some(catalog);
        plan.apply(|node| {
            computes &= match node {
                LogicalPlan::Join(join) => {
                    let of = join.on.iter().flat_map(|(left, right)| [left, right]);
                    let mut columns = of.flat_map(Expr::column_refs);
                    !join.on.is_empty() && columns.all(|column| column.name != "odd")
                }
                LogicalPlan::TableScan(_)
                | LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::SubqueryAlias(_) => true,
                _ => false,
            };
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        computes
    }
}

/// Tables by `catalog.name`, of columns with so many different values, and so many rows as the database believes.
struct Lake(HashMap<String, Arc<MemorySchemaProvider>>, SessionContext);

impl Lake {
    fn new() -> Self {
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_default_catalog_and_schema("lake", "s");
        let context = SessionContext::new_with_config(config);
        let catalogs = ["lake", "pg", "other"].map(|name| {
            let (catalog, schema) = (
                MemoryCatalogProvider::new(),
                Arc::new(MemorySchemaProvider::new()),
            );
            catalog
                .register_schema("s", Arc::clone(&schema) as Arc<dyn SchemaProvider>)
                .unwrap();
            context.register_catalog(name, Arc::new(catalog));
            (name.to_owned(), schema)
        });
        Self(catalogs.into(), context)
    }

    fn table(&self, name: &str, columns: &[(&str, usize)], believed: usize, rows: Vec<Vec<Option<i64>>>) {
        let fields = columns
            .iter()
            .map(|(name, _)| Field::new(*name, DataType::Int64, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = (0..columns.len()).map(|at| {
            let values: Int64Array = rows.iter().map(|row| row[at]).collect();
            Arc::new(values) as _
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.collect()).unwrap();
        let mut statistics = Statistics::new_unknown(&schema);
        statistics.num_rows = Precision::Inexact(believed);
        for (of, (_, distinct)) in statistics.column_statistics.iter_mut().zip(columns) {
            of.distinct_count = Precision::Inexact(*distinct);
        }
        let memory = MemTable::try_new(schema, vec![vec![batch]]).unwrap();
        let (catalog, name) = name.split_once('.').unwrap();
        self.0[catalog]
            .register_table(name.to_owned(), Arc::new(Known(memory, statistics)))
            .unwrap();
    }

    async fn planned(&self, sql: &str) -> LogicalPlan {
        let planned = self
            .1
            .sql(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        planned.into_optimized_plan().unwrap()
    }

    /// Rows of a plan as it is, sorted.
    async fn rows(&self, plan: &LogicalPlan) -> Vec<String> {
        let state = self.1.state();
        let physical = state
            .query_planner()
            .create_physical_plan(plan, &state)
            .await
            .unwrap();
        let batches = collect(physical, state.task_ctx()).await.unwrap();
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let cells = batch
                    .columns()
                    .iter()
                    .map(|column| array_value_to_string(column, row).unwrap());
                rows.push(cells.collect::<Vec<_>>().join("|"));
            }
        }
        rows.sort_unstable();
        rows
    }
}

/// The largest parts of a plan that a database computes.
fn parts(plan: &LogicalPlan) -> usize {
    let mut parts = 0;
    plan.apply(|node| {
        let computed = Both
            .catalog(node)
            .is_some_and(|catalog| Both.computes(&catalog, node));
        parts += usize::from(computed);
        Ok(if computed {
            TreeNodeRecursion::Jump
        } else {
            TreeNodeRecursion::Continue
        })
    })
    .unwrap();
    parts
}

/// The tables of a plan in their order, those of one part in brackets.
fn order(plan: &LogicalPlan) -> String {
    fn tables(plan: &LogicalPlan, out: &mut Vec<String>) {
        match plan {
            LogicalPlan::TableScan(scan) => out.push(scan.table_name.table().to_owned()),
            other => other.inputs().into_iter().for_each(|input| tables(input, out)),
        }
    }
    let mut out = Vec::new();
    plan.apply(|node| {
        let computed = Both
            .catalog(node)
            .is_some_and(|catalog| Both.computes(&catalog, node));
        if computed || matches!(node, LogicalPlan::TableScan(_)) {
            let mut of = Vec::new();
            tables(node, &mut of);
            out.push(if of.len() > 1 {
                format!("[{}]", of.join(" "))
            } else {
                of.concat()
            });
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    out.join(" ")
}

fn sales() -> Lake {
    let lake = Lake::new();
    let none = Vec::new;
    lake.table(
        "lake.sale",
        &[("supplier", 100), ("buyer", 100), ("amount", 1_000)],
        10_000,
        none(),
    );
    lake.table(
        "pg.supplier",
        &[("id", 100), ("nation", 25), ("odd", 25)],
        100,
        none(),
    );
    lake.table("pg.buyer", &[("id", 100), ("nation", 25)], 100, none());
    lake.table("pg.nation", &[("id", 25), ("region", 5), ("odd", 25)], 25, none());
    lake.table("pg.region", &[("id", 5), ("name", 5)], 5, none());
    lake.table(
        "pg.event",
        &[("id", 2_000_000), ("nation", 25)],
        2_000_000,
        none(),
    );
    lake.table("other.region", &[("id", 5), ("name", 5)], 5, none());
    lake
}

const JOINED: &str = "FROM lake.s.sale JOIN pg.s.supplier ON sale.supplier = supplier.id";

#[tokio::test]
async fn what_hangs_on_a_table_of_its_database_moves_to_it() {
    let lake = sales();
    for (sql, before, after) in [
        // A chain.
        (
            format!(
                "SELECT amount {JOINED} JOIN pg.s.nation ON supplier.nation = nation.id
                 JOIN pg.s.region ON nation.region = region.id WHERE region.name = 3"
            ),
            "sale supplier nation region",
            "sale [supplier nation region]",
        ),
        // Two that are not the same, one after the other.
        (
            format!(
                "SELECT amount {JOINED} JOIN pg.s.buyer ON sale.buyer = buyer.id
                 JOIN pg.s.nation n1 ON supplier.nation = n1.id JOIN pg.s.nation n2 ON buyer.nation = n2.id"
            ),
            "sale supplier buyer nation nation",
            "sale [supplier nation] [buyer nation]",
        ),
        // What has an equality with the lake keeps its place.
        (
            format!(
                "SELECT amount {JOINED} JOIN pg.s.buyer ON sale.buyer = buyer.id AND supplier.nation = buyer.nation"
            ),
            "sale supplier buyer",
            "sale supplier buyer",
        ),
        // Another database's, and what the database does not compute, stay.
        (
            format!(
                "SELECT amount {JOINED} JOIN pg.s.nation ON supplier.nation = nation.id
                 JOIN other.s.region ON nation.region = region.id"
            ),
            "sale supplier nation region",
            "sale [supplier nation] region",
        ),
        (
            format!("SELECT amount {JOINED} JOIN pg.s.nation ON supplier.odd = nation.odd"),
            "sale supplier nation",
            "sale supplier nation",
        ),
        // Many rows for each: more than the two by themselves.
        (
            format!("SELECT amount {JOINED} JOIN pg.s.buyer ON supplier.nation = buyer.nation"),
            "sale supplier buyer",
            "sale supplier buyer",
        ),
        // Three numbers more in each of many rows weigh more than a few rows by themselves.
        (
            "SELECT amount, n.* FROM lake.s.sale JOIN pg.s.buyer ON sale.buyer = buyer.id
             JOIN pg.s.nation n ON buyer.nation = n.id"
                .to_owned(),
            "sale buyer nation",
            "sale buyer nation",
        ),
        // Much is read by several connections; less than half of it is worth more.
        (
            "SELECT amount FROM lake.s.sale JOIN pg.s.event ON sale.buyer = event.id
             JOIN pg.s.nation ON event.nation = nation.id"
                .to_owned(),
            "sale event nation",
            "sale event nation",
        ),
        (
            "SELECT amount FROM lake.s.sale JOIN pg.s.event ON sale.buyer = event.id
             JOIN pg.s.nation ON event.nation = nation.id WHERE nation.id = 7"
                .to_owned(),
            "sale event nation",
            "sale [event nation]",
        ),
        // Two columns `id` for the joins above, of which one is a key.
        (
            "SELECT amount, nation.id FROM lake.s.sale JOIN pg.s.event ON sale.buyer = event.id
             JOIN pg.s.nation ON event.nation = nation.id WHERE nation.id = 7"
                .to_owned(),
            "sale event nation",
            "sale event nation",
        ),
        // Beside each other already.
        (
            "SELECT amount FROM pg.s.supplier JOIN pg.s.nation ON supplier.nation = nation.id
             JOIN lake.s.sale ON sale.supplier = supplier.id"
                .to_owned(),
            "[supplier nation] sale",
            "[supplier nation] sale",
        ),
        // An outer join is no place to move through.
        (
            format!("SELECT amount {JOINED} LEFT JOIN pg.s.nation ON supplier.nation = nation.id"),
            "sale supplier nation",
            "sale supplier nation",
        ),
    ] {
        let plan = lake.planned(&sql).await;
        assert_eq!(order(&plan), before, "{sql}\n{plan}");
        let moved = grouped(plan.clone(), &Both).unwrap();
        assert_eq!(order(&moved), after, "{sql}\n{moved}");
        assert_eq!(moved == plan, before == after, "{sql}\n{moved}");
    }
}

/// Numbers from a seed; enough for tests.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

const COLUMNS: [&str; 4] = ["a", "b", "c", "odd"];
const TABLES: [&str; 7] = [
    "lake.l1", "lake.l2", "pg.p1", "pg.p2", "pg.p3", "pg.p4", "other.o1",
];

/// A query over several tables, each joined with one before it.
fn query(dice: &mut Dice) -> String {
    let count = 3 + dice.below(4);
    let columns: [&str; 5] = ["a", "b", "c", "odd", "a"];
    let mut sql = String::new();
    let mut conditions = Vec::new();
    for at in 0..count {
        let table = dice.of(&TABLES).replace('.', ".s.");
        if at == 0 {
            sql = format!("FROM {table} t0");
            continue;
        }
        let other = dice.below(at);
        let kind = if dice.below(12) == 0 { "LEFT JOIN" } else { "JOIN" };
        sql.push_str(&format!(
            " {kind} {table} t{at} ON t{at}.{} = t{other}.{}",
            dice.of(&columns),
            dice.of(&columns)
        ));
        match dice.below(8) {
            0 => sql.push_str(&format!(" AND t{at}.b = t{}.c", dice.below(at))),
            1 => sql.push_str(&format!(" AND t{at}.c <= t{}.b", dice.below(at))),
            2 => sql.push_str(&format!(" AND t{at}.c + 1 = t{}.a", dice.below(at))),
            3 => conditions.push(format!("t{at}.b IN (1, 2, 3)")),
            4 => conditions.push(format!("(t{at}.b = 1 OR t{}.c = 2)", dice.below(at))),
            5 => conditions.push(format!("t{at}.a = 1")),
            _ => {}
        }
    }
    let selected: Vec<String> = (0..1 + dice.below(4))
        .map(|at| format!("t{}.{} AS c{at}", dice.below(count), dice.of(&columns)))
        .collect();
    let list = match dice.below(4) {
        0 => "count(*)".to_owned(),
        _ => selected.join(", "),
    };
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    format!("SELECT {list} {sql}{filter}")
}

#[tokio::test]
async fn any_order_gives_the_same_rows() {
    let mut changed = 0;
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let lake = Lake::new();
        for name in TABLES {
            let columns = COLUMNS.map(|column| (column, 1 + dice.below(12)));
            let rows = (0..7).map(|_| {
                let value = |_| Some(dice.below(6) as i64).filter(|value| *value > 0);
                COLUMNS.iter().map(value).collect()
            });
            let rows = rows.collect();
            lake.table(name, &columns, 1 + dice.below(20), rows);
        }
        let sql = query(&mut dice);
        let plan = lake.planned(&sql).await;
        let moved = grouped(plan.clone(), &Both).unwrap();
        assert_eq!(plan.schema(), moved.schema(), "seed {seed}: {sql}");
        if moved == plan {
            continue;
        }
        changed += 1;
        assert!(
            parts(&moved) < parts(&plan),
            "seed {seed}: {sql}\n{plan}\n{moved}"
        );
        moved
            .apply(|node| {
                let crossed = matches!(node, LogicalPlan::Join(join) if join.on.is_empty());
                assert!(!crossed, "seed {seed}: {sql}\n{moved}");
                Ok(TreeNodeRecursion::Continue)
            })
            .unwrap();
        assert_eq!(
            lake.rows(&plan).await,
            lake.rows(&moved).await,
            "seed {seed}: {sql}\n{plan}\n{moved}"
        );
    }
    assert!(changed > 20, "only {changed} were changed");
}
