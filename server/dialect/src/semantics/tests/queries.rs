//! Whole queries: aggregates, windows, joins, set operations, subqueries, deep expressions.

use super::{physical, rows};
use owlake_fault::Code;

fn one(sql: &str) -> String {
    match rows(sql) {
        Ok(rows) => rows.iter().map(|r| r.join(",")).collect::<Vec<_>>().join(";"),
        Err(fault) => format!("!{fault}"),
    }
}

fn code(sql: &str) -> Code {
    rows(sql).map(|r| panic!("{sql}: {r:?}")).unwrap_err().code()
}

const T: &str = "(VALUES (1, 'a', 1.5), (2, 'b', 2.5), (3, 'a', NULL)) AS t(i, s, d)";

#[test]
fn aggregates_have_trino_types() {
    let facts = [
        ("sum(i), typeof(sum(i))", "6,bigint"),
        ("avg(i), typeof(avg(i))", "2.0,double"),
        ("sum(d), typeof(sum(d))", "4.0,decimal(38,1)"),
        ("avg(d), typeof(avg(d))", "2.0,decimal(2,1)"),
        ("count(*), count(d), count(DISTINCT s)", "3,2,2"),
        ("min(s), max(i)", "a,3"),
        ("count_if(i > 1)", "2"),
        ("bool_and(i > 0), every(i > 1), bool_or(i > 2)", "true,false,true"),
        ("max_by(s, i), min_by(i, s)", "a,1"),
        ("array_agg(i ORDER BY i DESC)", "[3, 2, 1]"),
        ("array_agg(d ORDER BY i)", "[1.5, 2.5, NULL]"),
        ("element_at(map_agg(s, i), 'b')", "2"),
        ("element_at(histogram(s), 'a')", "2"),
        ("sum(DISTINCT i), avg(DISTINCT i)", "6,2.0"),
        ("approx_distinct(s), typeof(approx_distinct(s))", "2,bigint"),
        ("bitwise_or_agg(i), bitwise_and_agg(i)", "3,0"),
        ("stddev(i), variance(i), var_pop(i)", "1.0,1.0,0.6666666666666666"),
        ("sum(i) FILTER (WHERE i > 1)", "5"),
    ];
    for (select, expected) in facts {
        assert_eq!(one(&format!("SELECT {select} FROM {T}")), expected, "{select}");
    }
    assert_eq!(
        one(&format!(
            "SELECT sum(i), avg(d), count_if(i > 0), max_by(s, i), array_agg(i) FROM {T} WHERE i > 9"
        )),
        "NULL,NULL,0,NULL,NULL"
    );
    assert_eq!(code(&format!("SELECT sum(s) FROM {T}")), Code::TypeMismatch);
    assert_eq!(code(&format!("SELECT avg(s) FROM {T}")), Code::TypeMismatch);
}

#[test]
fn groups_sum_and_average() {
    assert_eq!(
        one(&format!(
            "SELECT s, sum(i), avg(d), count_if(d IS NULL) FROM {T} GROUP BY s ORDER BY s"
        )),
        "a,4,1.5,1;b,2,2.5,0"
    );
    assert_eq!(
        one(&format!(
            "SELECT i + 1, count(*) FROM {T} GROUP BY i + 1 ORDER BY i + 1"
        )),
        "2,1;3,1;4,1"
    );
}

#[test]
fn windows_count_in_bigint() {
    assert_eq!(
        one(&format!(
            "SELECT row_number() OVER (ORDER BY i), typeof(rank() OVER (ORDER BY i)) FROM {T} ORDER BY 1"
        )),
        "1,bigint;2,bigint;3,bigint"
    );
    assert_eq!(
        one(&format!(
            "SELECT lag(i) OVER (ORDER BY i), lead(i, 1, 0) OVER (ORDER BY i), ntile(2) OVER (ORDER BY i), nth_value(i, 2) OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM {T} ORDER BY i"
        )),
        "NULL,2,1,2;1,3,1,2;2,0,2,2"
    );
    assert_eq!(
        one(&format!(
            "SELECT sum(i) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), avg(d) OVER (ORDER BY i) FROM {T} ORDER BY i"
        )),
        "1,1.5;3,2.0;5,2.0"
    );
    assert_eq!(
        one(&format!(
            "SELECT first_value(i) OVER (ORDER BY i), last_value(i) OVER (ORDER BY i), percent_rank() OVER (ORDER BY i), cume_dist() OVER (ORDER BY s) FROM {T} WHERE i < 3 ORDER BY i"
        )),
        "1,1,0.0,0.5;1,2,1.0,1.0"
    );
}

#[test]
fn joins_and_set_operations_check_types() {
    assert_eq!(
        one(&format!(
            "SELECT a.i FROM {T} JOIN (VALUES (2), (3)) AS a(i) ON t.i = a.i ORDER BY 1"
        )),
        "2;3"
    );
    assert_eq!(
        code(&format!(
            "SELECT 1 FROM {T} JOIN (VALUES ('2')) AS a(i) ON t.i = a.i"
        )),
        Code::TypeMismatch
    );
    assert_eq!(
        code(&format!(
            "SELECT 1 FROM {T} JOIN (VALUES ('2')) AS a(i) USING (i)"
        )),
        Code::TypeMismatch
    );
    assert_eq!(code("SELECT 1 UNION ALL SELECT 'a'"), Code::TypeMismatch);
    assert_eq!(
        one("SELECT typeof(x) FROM (SELECT 1 AS x UNION ALL SELECT 2.5) ORDER BY 1"),
        "decimal(11,1);decimal(11,1)"
    );
    assert_eq!(
        one("SELECT x FROM (SELECT 2 AS x UNION SELECT 1 UNION SELECT 2) ORDER BY x"),
        "1;2"
    );
    assert_eq!(one("SELECT 1 INTERSECT SELECT 1"), "1");
    assert_eq!(one("SELECT 1 EXCEPT SELECT 1"), "");
    assert_eq!(code("VALUES (1), ('a')"), Code::TypeMismatch);
}

#[test]
fn joins_of_doubles_follow_ieee() {
    let a = "(VALUES (nan()), (0E0), (NULL), (1E0)) AS a(x)";
    let b = "(VALUES (nan()), (-0E0), (NULL), (2E0)) AS b(x)";
    let real = "(VALUES (CAST(0 AS real)), (CAST(nan() AS real))) AS b(x)";
    for (sql, answer) in [
        (format!("SELECT count(*) FROM {a} JOIN {b} ON a.x = b.x"), "1"),
        (format!("SELECT count(*) FROM {a}, {b} WHERE a.x = b.x"), "1"),
        (
            format!("SELECT count(*) FROM {a} JOIN {b} ON a.x = b.x AND a.x < b.x"),
            "0",
        ),
        (
            format!("SELECT count(*) FROM {a} JOIN {b} ON a.x + 1 = b.x - 1 + 2E0"),
            "1",
        ),
        (format!("SELECT count(*) FROM {a} JOIN {real} ON a.x = b.x"), "1"),
        (
            format!("SELECT count(b.x) + 10 * count(*) FROM {a} LEFT JOIN {b} ON a.x = b.x"),
            "41",
        ),
        (
            format!("SELECT count(*) FROM {a} FULL JOIN {b} ON a.x = b.x"),
            "7",
        ),
        (
            format!("SELECT count(*) FROM {a} WHERE EXISTS (SELECT 1 FROM {b} WHERE a.x = b.x)"),
            "1",
        ),
        (
            format!("SELECT count(*) FROM {a} WHERE NOT EXISTS (SELECT 1 FROM {b} WHERE a.x = b.x)"),
            "3",
        ),
    ] {
        assert_eq!(one(&sql), answer, "{sql}");
        let plan = physical(&sql);
        assert!(
            plan.contains("HashJoin") && !plan.contains("NestedLoop"),
            "{sql}: {plan}"
        );
    }
    // Where the two sides are of one relation, or not apart, there is no key.
    let one_side = format!("SELECT count(*) FROM {a} JOIN {b} ON a.x + b.x = b.x");
    assert_eq!(one(&one_side), "2");
    assert_eq!(one(&format!("SELECT count(*) FROM {a} WHERE x = x")), "2");
}

#[test]
fn subqueries_get_the_same_rules() {
    assert_eq!(
        one(&format!(
            "SELECT i FROM {T} WHERE i IN (SELECT i FROM {T} WHERE i > 1) ORDER BY 1"
        )),
        "2;3"
    );
    assert_eq!(
        code(&format!("SELECT i FROM {T} WHERE i IN (SELECT s FROM {T})")),
        Code::TypeMismatch
    );
    assert_eq!(
        code(&format!("SELECT (SELECT max(i) FROM {T} WHERE s = 1)")),
        Code::TypeMismatch
    );
    assert_eq!(one(&format!("SELECT (SELECT max(i) FROM {T}) + 1")), "4");
    assert_eq!(
        one(&format!(
            "WITH w AS (SELECT i * 2 AS j FROM {T}) SELECT sum(j) FROM w"
        )),
        "12"
    );
    assert_eq!(
        one(&format!(
            "SELECT i FROM {T} WHERE EXISTS (SELECT 1 FROM (VALUES (2)) AS u(k) WHERE u.k = t.i)"
        )),
        "2"
    );
}

#[test]
fn conditions_are_boolean() {
    assert_eq!(code(&format!("SELECT i FROM {T} WHERE i")), Code::TypeMismatch);
    assert_eq!(
        code(&format!("SELECT i FROM {T} WHERE s = 1")),
        Code::TypeMismatch
    );
    assert_eq!(
        code(&format!("SELECT s FROM {T} GROUP BY s HAVING count(*) = 'a'")),
        Code::TypeMismatch
    );
}

#[test]
fn wrong_columns_name_the_near_one() {
    let fault = rows("SELECT pricce FROM (VALUES (1)) AS t(price)").unwrap_err();
    assert_eq!(fault.code(), Code::ColumnNotFound);
    assert_eq!(fault.hint(), Some("Did you mean 'price'?"));
}

#[test]
fn long_chains_stay_linear_enough() {
    let sum = vec!["1"; 450].join(" + ");
    assert_eq!(one(&format!("SELECT {sum}")), "450");
    let any = (0..450)
        .map(|n| format!("i = {n}"))
        .collect::<Vec<_>>()
        .join(" OR ");
    assert_eq!(one(&format!("SELECT count(*) FROM {T} WHERE {any}")), "3");
    let text = vec!["'a'"; 300].join(" || ");
    assert_eq!(one(&format!("SELECT length({text})")), "300");
}
