//! The scan-cost set: what each query reads, by the receipt and by the store's own count, cold and warm; and the same
//! queries by other engines on the same store.

use std::path::PathBuf;

use owlake_mems3::{Counts, MemS3};
use serde_json::json;

use crate::answers::{normal, text_rows};
use crate::peers::Peer;
use crate::plot::Chart;
use crate::report::{Report, Table, geometric_mean, median, seconds, times_ideal};
use crate::store::{BUCKET, Measured, Slowness, measure, open, start};
use crate::{Failure, report};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Size of the TPC-H tables; 1 is 6 million line items
    #[arg(long, value_name = "FACTOR", default_value_t = 0.05)]
    scale_factor: f64,
    #[command(flatten)]
    slowness: Slowness,
    /// Runs of each query; seconds are their median
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Also runs DuckDB, DataFusion and ROAPI; the Python that benches/peers-setup prints
    #[arg(long, value_name = "PYTHON")]
    peers: Option<PathBuf>,
}

/// A query of the set.
struct Query {
    name: &'static str,
    sql: &'static str,
    /// For the peers, whose partition columns are what the paths say: month is the text `03`.
    peer_sql: Option<&'static str>,
    /// Whether its rows are those of any engine (those of a bare LIMIT are not).
    comparable: bool,
}

impl Query {
    /// Whether it reads the table of one small file in each of 84 partitions.
    fn is_partitioned(&self) -> bool {
        self.sql.contains("lineitem_by_month")
    }
}

const fn query(name: &'static str, sql: &'static str) -> Query {
    Query {
        name,
        sql,
        peer_sql: None,
        comparable: true,
    }
}

const QUERIES: [Query; 10] = [
    query(
        "full scan, 84 partitions",
        "SELECT l_returnflag, sum(l_extendedprice) AS price FROM lineitem_by_month GROUP BY l_returnflag",
    ),
    Query {
        peer_sql: Some(
            "SELECT sum(l_extendedprice) AS price FROM lineitem_by_month WHERE year = 1995 AND month = '03'",
        ),
        ..query(
            "one partition",
            "SELECT sum(l_extendedprice) AS price FROM lineitem_by_month WHERE year = 1995 AND month = 3",
        )
    },
    query(
        "one year",
        "SELECT sum(l_quantity) AS quantity FROM lineitem_by_month WHERE year = 1996",
    ),
    query(
        "partition columns only",
        "SELECT year, count(*) AS items FROM lineitem_by_month GROUP BY year",
    ),
    query("count(*)", "SELECT count(*) AS items FROM lineitem"),
    query(
        "min and max",
        "SELECT min(o_orderdate) AS a, max(o_orderdate) AS b FROM orders",
    ),
    query(
        "selective filter",
        "SELECT count(*) AS items FROM orders WHERE o_orderkey = 7",
    ),
    query(
        "two columns",
        "SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem WHERE l_quantity < 24",
    ),
    query(
        "join",
        "SELECT n_name, count(*) AS customers FROM customer JOIN nation ON c_nationkey = n_nationkey GROUP BY n_name",
    ),
    Query {
        comparable: false,
        ..query("bare limit", "SELECT * FROM lineitem LIMIT 10")
    },
];

const RUNS: [&str; 2] = ["cold", "warm"];

/// One engine, one query, cold or warm.
#[derive(Clone, Copy, Default)]
struct Cell {
    seconds: f64,
    requests: u64,
    bytes: u64,
}

/// A unit, and how much of it a cell has.
type Measure = (&'static str, fn(Cell) -> f64);

/// All cells of an engine: by query, cold and warm; and what it read to know the tables.
struct Column {
    engine: String,
    cells: Vec<[Option<Cell>; 2]>,
    defining: Counts,
}

impl Column {
    fn new(engine: String) -> Self {
        Self {
            engine,
            cells: Vec::new(),
            defining: Counts::default(),
        }
    }
}

pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.name("scan-cost");
    let store = start()?;
    let summary = owlake::demo::lake::generate(options.scale_factor, |key, bytes| {
        store.put(BUCKET, key, bytes);
        Ok(())
    })?;
    store.set_latency(options.slowness.latency());
    report.line(&format!(
        "scan-cost: scale {}, {} objects, {} bytes; {} ms to the first byte, {} MB/s per stream; median of {}\n",
        options.scale_factor,
        summary.objects,
        summary.bytes,
        options.slowness.first_byte_ms,
        options.slowness.megabytes_per_second,
        options.runs
    ))?;
    let mut peers = Vec::new();
    if let Some(python) = &options.peers {
        for (name, script, schemas_known) in [
            ("DuckDB", "duckdb", false),
            ("DataFusion", "datafusion", false),
            ("DataFusion knowing schemas", "datafusion", true),
            ("ROAPI", "roapi", false),
        ] {
            peers.push(Peer::start(
                python,
                name,
                script,
                &peer_config(&store, schemas_known),
            )?);
        }
    }
    let mut columns = vec![Column::new(format!("Owlake {}", env!("CARGO_PKG_VERSION")))];
    columns.extend(peers.iter().map(|peer| Column::new(peer.name.clone())));
    let ddl = owlake::demo::lake::ddl(&format!("s3://{BUCKET}/"));
    let mut table = receipt_table();
    for query in &QUERIES {
        let cells = in_turn(options, &store, &ddl, query, &mut peers, &mut columns, &mut table).await?;
        for (column, cell) in columns.iter_mut().zip(cells) {
            match cell {
                Ok(both) => column.cells.push(both.map(Some)),
                Err(error) => {
                    report.line(&format!("- {}, {}: left out: {error}", column.engine, query.name))?;
                    column.cells.push([None; 2]);
                }
            }
        }
    }
    report.table(&table)?;
    comparison(&columns, report)
}

/// One engine's runs of one query, cold and warm.
#[derive(Default)]
struct Runs {
    seconds: [Vec<f64>; 2],
    last: [Cell; 2],
}

impl Runs {
    fn add(&mut self, run: usize, seconds: f64, counts: &Counts) {
        self.seconds[run].push(seconds);
        self.last[run] = Cell {
            seconds: median(&self.seconds[run]),
            requests: counts.requests() + counts.unanswered_requests,
            bytes: counts.object_body_bytes_sent,
        };
    }
}

/// One query on all engines, which take turns, so that what else the machine does meets all of them alike. A query
/// that a peer cannot run, or answers differently, is told for it.
async fn in_turn(
    options: &Options,
    store: &MemS3,
    ddl: &[String],
    query: &Query,
    peers: &mut [Peer],
    columns: &mut [Column],
    table: &mut Table,
) -> Result<Vec<Result<[Cell; 2], Failure>>, Failure> {
    let mut owlake = Runs::default();
    let mut others: Vec<Result<Runs, Failure>> = peers.iter().map(|_| Ok(Runs::default())).collect();
    let mut expected = None;
    for turn in 0..options.runs.max(1) {
        // A lake of its own: nothing of an earlier query is cached.
        store.reset_log();
        let lake = open(store, ddl, options.slowness).await?;
        columns[0].defining = store.counts();
        for (run, name) in RUNS.iter().enumerate() {
            let m = measure(&lake, store, query.sql).await?;
            owlake.add(run, m.seconds, &m.counts);
            if turn + 1 == options.runs.max(1) {
                table.row(receipt_row(query, name, owlake.last[run].seconds, &m));
            }
        }
        if expected.is_none() {
            let batches = lake.query(query.sql).run().await?.collect().await?;
            expected = Some(normal(text_rows(&batches)?));
        }
        let expected = expected.as_ref().filter(|_| query.comparable);
        for ((peer, runs), column) in peers.iter_mut().zip(&mut others).zip(&mut columns[1..]) {
            if let Ok(sofar) = runs
                && let Err(error) = peer_turn(store, peer, query, expected, sofar, column)
            {
                *runs = Err(error);
            }
        }
    }
    let others = others.into_iter().map(|runs| Ok(runs?.last));
    Ok(std::iter::once(Ok(owlake.last)).chain(others).collect())
}

/// One turn of a peer, in a session of its own.
fn peer_turn(
    store: &MemS3,
    peer: &mut Peer,
    query: &Query,
    expected: Option<&Vec<Vec<String>>>,
    runs: &mut Runs,
    column: &mut Column,
) -> Result<(), Failure> {
    let sql = query.peer_sql.unwrap_or(query.sql);
    store.reset_log();
    peer.open()?;
    column.defining = store.counts();
    for run in 0..RUNS.len() {
        store.reset_log();
        let answer = peer.run(sql)?;
        let rows = normal(answer.rows);
        if let Some(expected) = expected.filter(|expected| rows != **expected) {
            return Err(format!("it answers {rows:?}, Owlake {expected:?}").into());
        }
        // Nobody else talks to the store now.
        runs.add(run, answer.seconds, &store.counts());
    }
    Ok(())
}

fn receipt_table() -> Table {
    Table::new(&[
        "query",
        "run",
        "seconds",
        "data_scanned_bytes",
        "metadata_bytes",
        "transferred_bytes",
        "GET",
        "LIST",
        "store requests",
        "store bytes",
        "not needed",
        "cost_usd",
    ])
}

/// What the receipt of Owlake's last run says, and the store.
fn receipt_row(query: &Query, run: &str, median_seconds: f64, m: &Measured) -> Vec<String> {
    let c = &m.receipt.counters;
    let bytes = m.counts.object_body_bytes_sent;
    vec![
        query.name.to_owned(),
        run.to_owned(),
        seconds(median_seconds),
        c.data_scanned_bytes.to_string(),
        c.metadata_bytes.to_string(),
        c.transferred_bytes.to_string(),
        c.get_requests.to_string(),
        c.list_requests.to_string(),
        m.counts.requests().to_string(),
        bytes.to_string(),
        bytes
            .saturating_sub(c.data_scanned_bytes + c.metadata_bytes)
            .to_string(),
        m.receipt.cost_usd.to_string(),
    ]
}

/// The store, and the tables in it. With `schemas_known`, DataFusion is given what a catalog would know of them.
fn peer_config(store: &MemS3, schemas_known: bool) -> serde_json::Value {
    let partitions = json!([{"name": "year", "type": "int"}, {"name": "month", "type": "string"}]);
    json!({
        "endpoint": store.endpoint(),
        "access_key": store.access_key(),
        "secret_key": store.secret_key(),
        "region": store.region(),
        "bucket": BUCKET,
        "schemas_known": schemas_known,
        "tables": [
            {"name": "lineitem_by_month", "partitions": partitions},
            {"name": "lineitem"}, {"name": "orders"}, {"name": "customer"}, {"name": "nation"},
        ],
    })
}

fn comparison(columns: &[Column], report: &mut Report) -> Result<(), Failure> {
    if columns.len() > 1 {
        report.line("\nThe same store, by its own books:\n")?;
        let mut table = Table::new(&["query", "run", "engine", "seconds", "requests", "bytes"]);
        for (index, query) in QUERIES.iter().enumerate() {
            for (run, name) in RUNS.iter().enumerate() {
                for column in columns {
                    let cell = column.cells[index][run];
                    let text =
                        |value: fn(&Cell) -> String| cell.as_ref().map_or_else(|| "-".to_owned(), value);
                    table.row(vec![
                        query.name.to_owned(),
                        (*name).to_owned(),
                        column.engine.clone(),
                        text(|c| report::seconds(c.seconds)),
                        text(|c| c.requests.to_string()),
                        text(|c| c.bytes.to_string()),
                    ]);
                }
            }
        }
        report.table(&table)?;
        means(columns, report)?;
    }
    for (run, name) in RUNS.iter().enumerate() {
        let measures: [Measure; 3] = [
            ("seconds", |c| c.seconds),
            ("requests", |c| c.requests as f64),
            ("bytes", |c| c.bytes as f64),
        ];
        for (unit, value) in measures {
            let groups = QUERIES.iter().enumerate().map(|(index, query)| {
                let values = columns.iter().map(|c| c.cells[index][run].map(value)).collect();
                (query.name.to_owned(), values)
            });
            let chart = Chart {
                title: format!("{unit} of each query, {name}"),
                unit: unit.to_owned(),
                series: columns.iter().map(|c| c.engine.clone()).collect(),
                groups: groups.collect(),
                logarithmic: true,
            };
            report.plot(&format!("scan-cost-{name}-{unit}"), &chart)?;
        }
    }
    Ok(())
}

/// How Owlake compares with each peer: over the queries that both answered, and what knowing the tables cost.
fn means(columns: &[Column], report: &mut Report) -> Result<(), Failure> {
    let Some((owlake, peers)) = columns.split_first() else {
        return Ok(());
    };
    let mut table = Table::new(&["peer", "run", "queries", "n", "Owlake", "peer", "Owlake / peer"]);
    type Kind = (&'static str, fn(&Query) -> bool);
    let kinds: [Kind; 3] = [
        ("all", |_| true),
        ("of 84 partitions", Query::is_partitioned),
        ("of other tables", |query| !query.is_partitioned()),
    ];
    for peer in peers {
        for ((run, name), (kind, is_of)) in RUNS
            .iter()
            .enumerate()
            .flat_map(|run| kinds.map(|kind| (run, kind)))
        {
            let cells = owlake.cells.iter().zip(&peer.cells).zip(&QUERIES);
            let both: Vec<(f64, f64)> = cells
                .filter(|(_, query)| is_of(query))
                .filter_map(|((ours, theirs), _)| Some((ours[run]?.seconds, theirs[run]?.seconds)))
                .collect();
            let (ours, theirs): (Vec<f64>, Vec<f64>) = both.iter().copied().unzip();
            let (ours, theirs) = (geometric_mean(&ours), geometric_mean(&theirs));
            table.row(vec![
                peer.engine.clone(),
                (*name).to_owned(),
                kind.to_owned(),
                both.len().to_string(),
                seconds(ours),
                seconds(theirs),
                times_ideal(ours, theirs),
            ]);
        }
    }
    report.line("Geometric means of the seconds:\n")?;
    report.table(&table)?;
    let mut table = Table::new(&["engine", "GET", "HEAD", "LIST", "bytes"]);
    for column in columns {
        let counts = &column.defining;
        table.row(vec![
            column.engine.clone(),
            counts.get_requests.to_string(),
            counts.head_requests.to_string(),
            counts.list_requests.to_string(),
            counts.object_body_bytes_sent.to_string(),
        ]);
    }
    report.line("What it takes to define the tables, before any query:\n")?;
    report.table(&table)
}
