//! What is asked at random, and the small lake it is asked about. A seed makes one case.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use parquet::file::properties::WriterProperties;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::harness::parquet_with;

/// A query, and how its answer is known.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub sql: String,
    /// Without its bare LIMIT.
    pub unlimited: String,
    /// Rows of the bare LIMIT: any so many rows of the unlimited answer are right.
    pub limit: Option<usize>,
    /// Cap, in parts of what the query needs.
    pub cap: Option<f64>,
}

impl Case {
    pub fn new(seed: u64) -> Self {
        let dice = &mut StdRng::seed_from_u64(seed);
        let (unlimited, limit) = match dice.random_range(0..8) {
            0 | 1 => (aggregate(dice), None),
            2 => (footers_only(dice), None),
            3 => (join(dice), None),
            4 => (top(dice), None),
            5 => (two_scans(dice), None),
            6 => (projection(dice), None),
            _ => (projection(dice), Some(dice.random_range(1..400))),
        };
        let sql = match limit {
            Some(rows) => format!("{unlimited} LIMIT {rows}"),
            None => unlimited.clone(),
        };
        let cap = dice.random_bool(0.3).then(|| dice.random_range(0.0..1.3));
        Self {
            seed,
            sql,
            unlimited,
            limit,
            cap,
        }
    }
}

fn pick<'a>(dice: &mut StdRng, from: &[&'a str]) -> &'a str {
    from.choose(dice).unwrap()
}

fn filter(dice: &mut StdRng) -> String {
    let one = |dice: &mut StdRng| match dice.random_range(0..10) {
        0 => format!("dt = {}", dice.random_range(0..8)),
        1 => format!(
            "dt BETWEEN {} AND {}",
            dice.random_range(1..4),
            dice.random_range(3..7)
        ),
        2 => format!("region = '{}'", pick(dice, &["eu", "us", "xx"])),
        3 => format!("id < {}", dice.random_range(0..14_000)),
        4 => format!("v > {}", dice.random_range(-600..600)),
        5 => format!(
            "k IN ({}, {}, 7)",
            dice.random_range(0..40),
            dice.random_range(0..40)
        ),
        6 => format!("name LIKE '%{}%'", dice.random_range(0..60)),
        7 => "name IS NULL".to_owned(),
        8 => format!("price >= {}.50", dice.random_range(0..100)),
        _ => format!("v % {} = 1", dice.random_range(2..6)),
    };
    let terms: Vec<String> = (0..dice.random_range(0..3)).map(|_| one(dice)).collect();
    match terms.len() {
        0 => String::new(),
        1 => format!(" WHERE {}", terms[0]),
        _ => format!(" WHERE {}", terms.join(pick(dice, &[" AND ", " OR "]))),
    }
}

fn aggregate(dice: &mut StdRng) -> String {
    let key = pick(dice, &["dt", "region", "k % 5", "flag", "name", "dt, region"]);
    let what = pick(
        dice,
        &[
            "count(*)",
            "sum(v)",
            "count(name), sum(price)",
            "min(name), max(v)",
            "count(DISTINCT k)",
            "avg(price)",
        ],
    );
    format!("SELECT {key}, {what} FROM facts{} GROUP BY {key}", filter(dice))
}

fn footers_only(dice: &mut StdRng) -> String {
    if dice.random_bool(0.3) {
        return format!(
            "SELECT {} FROM plain",
            pick(dice, &["count(*)", "min(n), max(pad)"])
        );
    }
    let what = pick(
        dice,
        &["count(*)", "min(id), max(id)", "count(*), min(v)", "max(k)"],
    );
    let filter = match dice.random_bool(0.5) {
        true => format!(" WHERE dt <= {}", dice.random_range(1..7)),
        false => String::new(),
    };
    format!("SELECT {what} FROM facts{filter}")
}

fn join(dice: &mut StdRng) -> String {
    let kind = pick(dice, &["JOIN", "LEFT JOIN"]);
    let filter = filter(dice).replace(" k ", " facts.k ");
    format!(
        "SELECT label, count(*), sum(v), max(weight) FROM facts {kind} dims ON facts.k = dims.k{filter} GROUP BY label"
    )
}

fn top(dice: &mut StdRng) -> String {
    let order = pick(dice, &["id", "id DESC", "v, id", "price DESC, id"]);
    let rows = dice.random_range(1..50);
    format!(
        "SELECT id, v, price FROM facts{} ORDER BY {order} LIMIT {rows}",
        filter(dice)
    )
}

fn two_scans(dice: &mut StdRng) -> String {
    let (a, b) = (filter(dice), filter(dice));
    match dice.random_range(0..3) {
        0 => format!("SELECT (SELECT count(*) FROM facts{a}), (SELECT max(n) FROM plain)"),
        1 => format!("SELECT k, v FROM facts{a} UNION ALL SELECT k, v + 1 FROM facts{b}"),
        _ => "SELECT a.n, b.pad FROM plain a JOIN plain b ON a.n = b.n + 1 WHERE a.n < 900".to_owned(),
    }
}

fn projection(dice: &mut StdRng) -> String {
    if dice.random_bool(0.3) {
        let at = dice.random_range(0..20_000);
        return format!("SELECT n, pad FROM plain WHERE n >= {at}");
    }
    let columns = pick(
        dice,
        &[
            "*",
            "id",
            "name, v",
            "price, flag, dt",
            "dt, region",
            "id, k + 1, upper(name)",
        ],
    );
    format!("SELECT {columns} FROM facts{}", filter(dice))
}

/// `facts` by day and region (one partition is empty), `dims` to join, `plain` with bodies of some size.
pub fn objects() -> Vec<(String, bytes::Bytes)> {
    let mut objects = Vec::new();
    let groups = |rows| WriterProperties::builder().set_max_row_group_row_count(Some(rows));
    for part in 0..11i64 {
        for file in 0..=part % 2 {
            let batch = facts(part * 1200 + file * 600);
            let (dt, region) = (part / 2 + 1, ["eu", "us"][usize::from(part % 2 == 1)]);
            let key = format!("facts/dt={dt}/region={region}/part-{file}.parquet");
            objects.push((key, parquet_with(&batch, groups(200).build())));
        }
    }
    for file in 0..2i32 {
        let k = Int32Array::from_iter_values(file * 16..file * 16 + 16);
        let label = StringArray::from_iter_values((0..16).map(|i| format!("label {}", i % 5)));
        let weight = Int64Array::from_iter_values((0..16).map(|i| i64::from(file) + i));
        let columns: [(&str, ArrayRef); 3] = [
            ("k", Arc::new(k)),
            ("label", Arc::new(label)),
            ("weight", Arc::new(weight)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        objects.push((
            format!("dims/{file}.parquet"),
            parquet_with(&batch, groups(8).build()),
        ));
    }
    let n = Int64Array::from_iter_values(0..20_000);
    let pad = Int64Array::from_iter_values((0..20_000).map(|i| i * 7_919 % 1_000_003));
    let columns: [(&str, ArrayRef); 2] = [("n", Arc::new(n)), ("pad", Arc::new(pad))];
    let properties = groups(5_000).set_dictionary_enabled(false).build();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    objects.push(("plain/0.parquet".to_owned(), parquet_with(&batch, properties)));
    objects
}

/// 600 rows from this id on.
fn facts(from: i64) -> RecordBatch {
    let ids = from..from + 600;
    let name = |id: i64| (id % 11 != 0).then(|| format!("name {}", id * 31 % 61));
    let price = Decimal128Array::from_iter_values(ids.clone().map(|id| i128::from(id * 37 % 9_999)));
    let columns: [(&str, ArrayRef); 6] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        (
            "k",
            Arc::new(
                ids.clone()
                    .map(|id| (id % 13 != 0).then_some((id % 37) as i32))
                    .collect::<Int32Array>(),
            ),
        ),
        (
            "v",
            Arc::new(Int64Array::from_iter_values(
                ids.clone().map(|id| id * 7 % 1201 - 600),
            )),
        ),
        ("name", Arc::new(ids.clone().map(name).collect::<StringArray>())),
        ("price", Arc::new(price.with_precision_and_scale(10, 2).unwrap())),
        (
            "flag",
            Arc::new(BooleanArray::from_iter(
                ids.map(|id| (id % 5 != 0).then_some(id % 2 == 0)),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}
