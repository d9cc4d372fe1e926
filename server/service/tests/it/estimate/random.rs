//! Two hundred queries by a seeded generator: whatever the plan, bounds hold and exact means exact.

use owlake::EngineConfig;

use super::{hold, lake};

/// Sizes of what follows do not matter, only that the same seed gives the same queries (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    filters: &'static [&'static str],
}

const TABLES: [Table; 5] = [
    Table {
        name: "orders",
        columns: &[
            "o_orderkey",
            "o_custkey",
            "o_totalprice",
            "o_comment",
            "o_orderdate",
            "o_shippriority",
        ],
        filters: &[
            "o_orderkey < 1000",
            "o_orderkey = 77",
            "o_orderkey IN (1, 9000, 17000)",
            "o_orderdate >= DATE '1998-01-01'",
            "o_totalprice > 400000",
            "o_comment LIKE 'a%'",
            "o_orderkey % 3 = 1",
            "o_orderkey < 0",
            "o_shippriority = 0",
            "o_comment IS NULL",
        ],
    },
    Table {
        name: "lineitem",
        columns: &[
            "l_orderkey",
            "l_partkey",
            "l_quantity",
            "l_extendedprice",
            "l_shipdate",
            "l_comment",
        ],
        filters: &[
            "l_orderkey BETWEEN 5000 AND 6000",
            "l_orderkey > 19990",
            "l_shipdate < DATE '1992-02-01'",
            "l_quantity < 10 OR l_orderkey = 3",
            "l_returnflag = 'R'",
            "NOT (l_orderkey > 100)",
        ],
    },
    Table {
        name: "lineitem_by_month",
        columns: &["l_orderkey", "l_extendedprice", "l_comment", "year", "month"],
        filters: &[
            "year = 1995",
            "year = 1996 AND month IN (1, 2)",
            "month = 7 AND l_orderkey < 500",
            "year > 2030",
            "l_linenumber = 7",
        ],
    },
    Table {
        name: "events",
        columns: &["event_id", "user_id", "page", "duration_ms", "dt", "region"],
        filters: &[
            "dt = '2024-03-02'",
            "region = 'eu' AND hour = 5",
            "dt < '2024-03-02' AND duration_ms > 100",
            "event_id < 300",
        ],
    },
    Table {
        name: "customer",
        columns: &["c_custkey", "c_name", "c_acctbal", "c_nationkey"],
        filters: &["c_custkey < 10", "c_acctbal < 0", "c_mktsegment = 'BUILDING'"],
    },
];

fn filter(dice: &mut Dice, table: &Table) -> String {
    match dice.roll(4) {
        0 => String::new(),
        1 => format!(
            " WHERE {} AND {}",
            dice.pick(table.filters),
            dice.pick(table.filters)
        ),
        _ => format!(" WHERE {}", dice.pick(table.filters)),
    }
}

fn query(dice: &mut Dice) -> String {
    let table = &TABLES[dice.roll(TABLES.len())];
    let (name, a, b) = (table.name, dice.pick(table.columns), dice.pick(table.columns));
    let filter = filter(dice, table);
    match dice.roll(12) {
        0 => format!("SELECT {a} AS a, {b} AS b FROM {name}{filter}"),
        1 => format!("SELECT count(*) FROM {name}{filter}"),
        2 => format!("SELECT min({a}), max({b}) FROM {name}{filter}"),
        3 => format!("SELECT {a}, count({b}) FROM {name}{filter} GROUP BY {a} ORDER BY {a}"),
        4 => format!("SELECT {a} AS a FROM {name}{filter} ORDER BY {b} LIMIT 7"),
        5 => format!(
            "SELECT {a} AS a FROM {name}{filter} LIMIT {}",
            1 + dice.roll(3000)
        ),
        6 => format!("SELECT DISTINCT {a} FROM {name}{filter}"),
        7 => format!("SELECT DISTINCT {a} FROM {name}{filter} LIMIT 5"),
        8 => format!(
            "SELECT count(*), max(x.{a}) FROM {name} x JOIN orders y ON CAST(x.{b} AS varchar) = CAST(y.o_custkey AS varchar)"
        ),
        9 => format!("SELECT {a} AS a FROM {name}{filter} UNION ALL SELECT max({a}) FROM {name}"),
        10 => format!("SELECT {a} AS a, row_number() OVER (ORDER BY {b}) AS r FROM {name}{filter}"),
        _ => format!("SELECT count({a}) FROM {name} WHERE {a} IN (SELECT {a} FROM {name}{filter})"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_random_queries_read_what_their_estimates_say() {
    let server = lake(EngineConfig::default()).await;
    let mut dice = Dice(2026);
    let mut exact = 0;
    for _ in 0..200 {
        exact += usize::from(hold(&server, &query(&mut dice)).await);
    }
    // A generator that finds only one kind would prove little.
    assert!((60..190).contains(&exact), "{exact} of 200 were exact");
}
