//! Rewritten queries through the planner: what only answers can show.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, ListArray, MapArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::record_batch::RecordBatch;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as PlannerStatement;

use super::query;
use crate::functions::{expr_planners, function_set};
use crate::relation_planners;
use crate::semantics::{apply, prepare, session_settings, type_planner, widest_row};

/// `t`: four rows, with lists, a list of rows and a map; the third has empty ones, the fourth NULLs.
fn context() -> SessionContext {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
    let xs: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(10), Some(20)]),
        Some(vec![Some(30)]),
        Some(vec![]),
        None,
    ]));
    let ys: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(7)]),
        Some(vec![Some(8), None, Some(9)]),
        Some(vec![]),
        None,
    ]));
    let pairs = StructArray::from(vec![
        (
            Arc::new(Field::new("key", DataType::Utf8, false)),
            Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("value", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef,
        ),
    ]);
    let offsets = OffsetBuffer::from_lengths([2, 1, 0, 0]);
    let nulls = Some(vec![true, true, true, false].into());
    let rows: ArrayRef = Arc::new(ListArray::new(
        Arc::new(Field::new_list_field(pairs.data_type().clone(), true)),
        offsets.clone(),
        Arc::new(pairs.clone()),
        nulls.clone(),
    ));
    let map: ArrayRef = Arc::new(MapArray::new(
        Arc::new(Field::new("entries", pairs.data_type().clone(), false)),
        offsets,
        pairs,
        nulls,
        false,
    ));
    let batch = RecordBatch::try_from_iter([("id", ids), ("xs", xs), ("ys", ys), ("rows", rows), ("m", map)])
        .unwrap();
    let mut config = SessionConfig::new();
    for (key, value) in session_settings() {
        config.options_mut().set(key, value).unwrap();
    }
    let functions = function_set();
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_scalar_functions(functions.scalar)
        .with_aggregate_functions(functions.aggregate)
        .with_window_functions(functions.window)
        .with_expr_planners(expr_planners())
        .with_relation_planners(relation_planners())
        .with_type_planner(type_planner())
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_batch("t", batch.clone()).unwrap();
    context
        .register_batch("u", batch.slice(0, 3).project(&[0]).unwrap())
        .unwrap();
    context
}

/// The plan as the engine makes it, before the optimizer.
async fn plan(context: &SessionContext, text: &str) -> Result<LogicalPlan, String> {
    let mut statement = query(text).statement;
    prepare(&mut statement).map_err(|fault| fault.to_string())?;
    let plan = context
        .state()
        .statement_to_plan(PlannerStatement::Statement(statement))
        .await
        .map_err(|error| error.to_string())?;
    apply(plan).map_err(|fault| fault.to_string())
}

async fn answer(text: &str) -> Result<String, String> {
    let context = context();
    let plan = plan(&context, text).await?;
    let batches = context
        .execute_logical_plan(plan)
        .await
        .map_err(|e| e.to_string())?
        .collect()
        .await
        .map_err(|e| e.to_string())?;
    let names: Vec<String> = batches.first().map_or(Vec::new(), |batch| {
        batch
            .schema()
            .fields()
            .iter()
            .map(|field| crate::shown_name(field.name()).to_owned())
            .collect()
    });
    let mut lines = vec![names.join(",")];
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cells = batch
                .columns()
                .iter()
                .map(|column| arrow::util::display::array_value_to_string(column, row).unwrap_or_default());
            lines.push(cells.collect::<Vec<_>>().join(","));
        }
    }
    Ok(lines.join(" | "))
}

#[tokio::test]
async fn unnest_has_every_form() {
    for (text, expected) in [
        ("SELECT t.id, u.x FROM t CROSS JOIN UNNEST(t.xs) AS u (x) ORDER BY 1, 2", "id,x | 1,10 | 1,20 | 2,30"),
        ("SELECT id, x FROM t, UNNEST(xs) AS u (x) ORDER BY x", "id,x | 1,10 | 1,20 | 2,30"),
        (
            "SELECT id, x, n FROM t CROSS JOIN UNNEST(xs) WITH ORDINALITY AS u (x, n) ORDER BY x",
            "id,x,n | 1,10,1 | 1,20,2 | 2,30,1",
        ),
        (
            "SELECT id, x, y FROM t CROSS JOIN UNNEST(xs, ys) AS u (x, y) ORDER BY id, x, y",
            "id,x,y | 1,10,7 | 1,20, | 2,30,8 | 2,,9 | 2,,",
        ),
        (
            "SELECT id, x, y, n FROM t CROSS JOIN UNNEST(xs, ys) WITH ORDINALITY AS u (x, y, n) ORDER BY id, n",
            "id,x,y,n | 1,10,7,1 | 1,20,,2 | 2,30,8,1 | 2,,,2 | 2,,9,3",
        ),
        ("SELECT id, k, v FROM t CROSS JOIN UNNEST(m) AS u (k, v) ORDER BY k", "id,k,v | 1,a,1 | 1,b,2 | 2,c,3"),
        ("SELECT id, k, v FROM t CROSS JOIN UNNEST(rows) AS u (k, v) ORDER BY k", "id,k,v | 1,a,1 | 1,b,2 | 2,c,3"),
        // A row is one column; with a name for each of its fields, one for each.
        ("SELECT id, r FROM t, UNNEST(rows) AS u (r) WHERE id = 2", "id,r | 2,{key: c, value: 3}"),
        ("SELECT r.key AS k, u.r.value AS v FROM t, UNNEST(rows) AS u (r) ORDER BY 1", "k,v | a,1 | b,2 | c,3"),
        ("SELECT r.value AS v FROM t, UNNEST(rows) AS u (r) WHERE r.key = 'b'", "v | 2"),
        (
            "SELECT id, r.key AS k, n FROM t CROSS JOIN UNNEST(rows) WITH ORDINALITY AS u (r, n) ORDER BY id, n",
            "id,k,n | 1,a,1 | 1,b,2 | 2,c,1",
        ),
        (
            "SELECT k, v, n FROM t CROSS JOIN UNNEST(rows) WITH ORDINALITY AS u (k, v, n) ORDER BY k",
            "k,v,n | a,1,1 | b,2,2 | c,3,1",
        ),
        (
            "SELECT id, r.key AS k FROM t LEFT JOIN UNNEST(rows) AS u (r) ON true ORDER BY id, k",
            "id,k | 1,a | 1,b | 2,c | 3, | 4,",
        ),
        (
            "SELECT count(*) AS n, count(r) AS m FROM t LEFT JOIN UNNEST(rows) AS u (r) ON true",
            "n,m | 5,3",
        ),
        (
            "SELECT x, r.key AS k FROM t, UNNEST(xs, rows) AS u (x, r) WHERE id = 1 ORDER BY x",
            "x,k | 10,a | 20,b",
        ),
        (
            "SELECT r.key AS a, k, v FROM t, UNNEST(rows, m) AS u (r, k, v) WHERE id = 1 ORDER BY k",
            "a,k,v | a,a,1 | b,b,2",
        ),
        ("SELECT u.* FROM t, UNNEST(rows) AS u WHERE id = 2", "_col5 | {key: c, value: 3}"),
        (
            "SELECT id, x FROM t LEFT JOIN UNNEST(xs) AS u (x) ON true ORDER BY id, x",
            "id,x | 1,10 | 1,20 | 2,30 | 3, | 4,",
        ),
        ("SELECT x, n FROM UNNEST(ARRAY[5, 6]) WITH ORDINALITY AS u (x, n) ORDER BY n", "x,n | 5,1 | 6,2"),
        (
            "SELECT a.id, u.x, b.id FROM t a CROSS JOIN UNNEST(a.xs) AS u (x) JOIN t b ON b.id * 10 = u.x ORDER BY u.x",
            "id,x,id | 1,10,1 | 1,20,2 | 2,30,3",
        ),
        (
            "SELECT id, x, y FROM t CROSS JOIN UNNEST(xs) AS u (x) CROSS JOIN UNNEST(ys) AS v (y) WHERE id = 1 ORDER BY x",
            "id,x,y | 1,10,7 | 1,20,7",
        ),
        ("SELECT count(*) AS n FROM t CROSS JOIN UNNEST(xs) AS u (x) WHERE x > 10", "n | 2"),
        (
            "SELECT id, sum(x) AS s FROM t CROSS JOIN UNNEST(xs) AS u (x) GROUP BY id ORDER BY id",
            "id,s | 1,30 | 2,30",
        ),
        // The planner believes that a grouped id is unique; after UNNEST it is not.
        (
            "SELECT id, x, count(*) AS n FROM (SELECT id, array_agg(id * 2) AS a FROM (SELECT id FROM t UNION ALL SELECT id + 1 AS id FROM t) GROUP BY id)
             CROSS JOIN UNNEST(a) AS u (x) WHERE id < 3 GROUP BY id, x ORDER BY id",
            "id,x,n | 1,2,1 | 2,4,2",
        ),
        ("SELECT * FROM (SELECT id FROM t WHERE id = 1) s, UNNEST(ARRAY['p', 'q']) ORDER BY 2", "id,_col1 | 1,p | 1,q"),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM UNNEST(ARRAY[1, 2]) AS u (x)) AND id = 1", "id | 1"),
    ] {
        match answer(text).await {
            Ok(found) => assert_eq!(found, expected, "{text}"),
            Err(error) => panic!("{text}\n  {error}"),
        }
    }
}

#[tokio::test]
async fn unnest_refuses_what_is_no_list_and_wrong_alias_lists() {
    for (text, expected) in [
        (
            "SELECT * FROM t CROSS JOIN UNNEST(id) AS u (x)",
            "Cannot unnest type",
        ),
        (
            "SELECT * FROM t CROSS JOIN UNNEST(xs) AS u (x, y)",
            "Column alias list has 2 entries but 'u' has 1 columns available",
        ),
        (
            "SELECT * FROM t CROSS JOIN UNNEST(rows) AS u (a, b, c)",
            "Column alias list has 3 entries but 'u' has 1 columns available",
        ),
        (
            "SELECT * FROM t CROSS JOIN UNNEST(m) AS u (a)",
            "Column alias list has 1 entries but 'u' has 2 columns available",
        ),
    ] {
        let told = answer(text).await.unwrap_err();
        assert!(told.contains(expected), "{text}\n  {told}");
    }
}

#[tokio::test]
async fn rewritten_clauses_answer_as_trino() {
    for (text, expected) in [
        (
            "SELECT x FROM (VALUES 2, NULL, 1) AS v (x) ORDER BY x DESC",
            "x | 2 | 1 | ",
        ),
        (
            "SELECT x FROM (VALUES 2, NULL, 1) AS v (x) ORDER BY x FETCH FIRST 2 ROWS ONLY",
            "x | 1 | 2",
        ),
        (
            "SELECT x FROM (VALUES 1, 2, 3) AS v (x) ORDER BY x OFFSET 1 LIMIT 1",
            "x | 2",
        ),
        ("SELECT count(*), count(*) FROM t", "_col0,_col1 | 4,4"),
        ("SELECT id + 1 FROM t ORDER BY id + 1 LIMIT 1", "_col0 | 2"),
        (
            "SELECT count(*) FROM t GROUP BY id > 2 ORDER BY count(*), 1",
            "_col0 | 2 | 2",
        ),
        (
            "SELECT DISTINCT id > 2 FROM t ORDER BY id > 2",
            "_col0 | false | true",
        ),
        ("SELECT max(id) FROM t HAVING max(id) > 3", "_col0 | 4"),
        ("SELECT \"ID\" AS \"Mixed\" FROM T WHERE Id = 1", "mixed | 1"),
        (
            "SELECT DISTINCT id * 2 AS d FROM t ORDER BY id * 2 DESC LIMIT 1",
            "d | 8",
        ),
        ("SELECT id FROM t EXCEPT (TABLE u)", "id | 4"),
        (
            "SELECT id FROM t WHERE id = 1 OR id = 2 AND id > 1 OR id = 4 ORDER BY id",
            "id | 1 | 2 | 4",
        ),
        (
            "WITH a AS (SELECT id FROM t), b AS (SELECT id FROM a) SELECT count(*) AS n FROM a, b",
            "n | 16",
        ),
        (
            "SELECT grouping_id FROM (VALUES (1, 2)) AS v (a, grouping_id)",
            "grouping_id | 2",
        ),
    ] {
        match answer(text).await {
            Ok(found) => assert_eq!(found, expected, "{text}"),
            Err(error) => panic!("{text}\n  {error}"),
        }
    }
}

#[test]
fn what_passes_the_guard_can_be_planned_and_optimized() {
    let statements = vec![
        format!("SELECT 1{} AS a", " + 1".repeat(400)),
        format!("SELECT 'a'{} AS a", " || 'a'".repeat(400)),
        format!("SELECT id FROM t WHERE id = 1{}", " OR id + 1 = 3".repeat(900)),
        format!("SELECT id FROM t WHERE id = 1{}", " AND id < 3".repeat(900)),
        format!("SELECT {}id{} AS a FROM t", "(".repeat(400), ")".repeat(400)),
        format!("SELECT {}id{} AS a FROM t", "abs(".repeat(90), ")".repeat(90)),
        format!("SELECT 1 AS a{}", " UNION ALL SELECT 1".repeat(400)),
        format!(
            "SELECT * FROM {}t{}",
            "(SELECT * FROM ".repeat(45),
            ")".repeat(45)
        ),
        format!(
            "SELECT {}id{} AS a FROM t",
            "CASE WHEN id = 1 THEN 2 ELSE ".repeat(300),
            " END".repeat(300)
        ),
    ];
    // As the engine plans: on a large stack.
    std::thread::Builder::new()
        .stack_size(16 << 20)
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let context = context();
                for text in statements {
                    let plan = plan(&context, &text).await.unwrap();
                    context.state().optimize(&plan).unwrap();
                }
            });
        })
        .unwrap()
        .join()
        .unwrap();
}

#[tokio::test]
async fn the_widest_row_of_a_plan_is_expected_from_its_constants_and_functions() {
    let long = 100_000;
    let literal = format!("SELECT id, '{}' AS c FROM t", "z".repeat(long));
    for (text, at_least, at_most) in [
        ("SELECT id, xs FROM t WHERE id > 1 ORDER BY id", 0, 1000),
        ("SELECT substr(cast(id AS varchar), 1, 5) FROM t", 0, 1000),
        (literal.as_str(), long, long + 1000),
        (
            "SELECT rpad(cast(id AS varchar), 100000, 'x') FROM t",
            long,
            long + 1000,
        ),
        (
            "SELECT max(length(lpad(cast(id AS varchar), 100000, 'x'))) FROM t",
            long,
            long + 1000,
        ),
        (
            "SELECT CASE WHEN id = 1 THEN rpad('x', 100000, 'y') ELSE 'z' END FROM t",
            long,
            long + 1000,
        ),
        (
            "SELECT t.id, a.x || a.x FROM (SELECT rpad(cast(id AS varchar), 100000, 'y') AS x FROM u) a CROSS JOIN t",
            2 * long,
            3 * long + 1000,
        ),
        (
            "SELECT replace(cast(id AS varchar), '1', rpad('', 10000, 'x')) FROM t",
            10 * 10_000,
            100 * 10_000,
        ),
        (
            "SELECT sum(x) FROM t CROSS JOIN UNNEST(sequence(1, 10000)) AS u (x)",
            80_000,
            200_000,
        ),
        ("SELECT rpad('x', id, 'y') FROM t", 0, 1000),
    ] {
        let context = context();
        let plan = plan(&context, text).await.unwrap();
        let widest = widest_row(&context.state().optimize(&plan).unwrap());
        assert!(
            (at_least..=at_most).contains(&widest),
            "{widest}: {}",
            &text[..text.len().min(120)]
        );
    }
}
