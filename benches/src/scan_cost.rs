//! The scan-cost set: what each query reads, by the receipt and by the store's own count, cold and warm; and the same
//! queries by other engines on the same store.

use std::path::{Path, PathBuf};

use owlake::Lake;
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
    let (owlake, answers) = owlake(options, &store, report).await?;
    let mut columns = vec![owlake];
    if let Some(python) = &options.peers {
        for (name, script) in [
            ("DuckDB", "duckdb"),
            ("DataFusion", "datafusion"),
            ("ROAPI", "roapi"),
        ] {
            columns.push(peer(options, &store, python, name, script, &answers, report)?);
        }
    }
    comparison(&columns, report)
}

/// Owlake's runs, the table of its receipts, and its answers.
async fn owlake(
    options: &Options,
    store: &MemS3,
    report: &mut Report,
) -> Result<(Column, Vec<Vec<Vec<String>>>), Failure> {
    let ddl = owlake::demo::lake::ddl(&format!("s3://{BUCKET}/"));
    let mut table = Table::new(&[
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
    ]);
    let (mut cells, mut answers) = (Vec::new(), Vec::new());
    let mut defining = Counts::default();
    for query in &QUERIES {
        let mut runs: [Vec<Measured>; 2] = [Vec::new(), Vec::new()];
        let mut last: Option<Lake> = None;
        for _ in 0..options.runs.max(1) {
            // A lake of its own: nothing of an earlier query is cached.
            store.reset_log();
            let lake = open(store, &ddl).await?;
            defining = store.counts();
            for run in &mut runs {
                run.push(measure(&lake, store, query.sql).await?);
            }
            last = Some(lake);
        }
        let mut both = [None; 2];
        for ((run, name), cell) in runs.iter().zip(RUNS).zip(&mut both) {
            let times: Vec<f64> = run.iter().map(|m| m.seconds).collect();
            let Some(m) = run.last() else { continue };
            let requests = m.counts.requests();
            let bytes = m.counts.object_body_bytes_sent;
            let c = &m.receipt.counters;
            table.row(vec![
                query.name.to_owned(),
                name.to_owned(),
                seconds(median(&times)),
                c.data_scanned_bytes.to_string(),
                c.metadata_bytes.to_string(),
                c.transferred_bytes.to_string(),
                c.get_requests.to_string(),
                c.list_requests.to_string(),
                requests.to_string(),
                bytes.to_string(),
                bytes
                    .saturating_sub(c.data_scanned_bytes + c.metadata_bytes)
                    .to_string(),
                m.receipt.cost_usd.to_string(),
            ]);
            *cell = Some(Cell {
                seconds: median(&times),
                requests,
                bytes,
            });
        }
        cells.push(both);
        let lake = last.ok_or("no run")?;
        answers.push(normal(text_rows(
            &lake.query(query.sql).run().await?.collect().await?,
        )?));
    }
    report.table(&table)?;
    let engine = format!("Owlake {}", env!("CARGO_PKG_VERSION"));
    let column = Column {
        engine,
        cells,
        defining,
    };
    Ok((column, answers))
}

/// A peer's runs. A query that it cannot run, or answers differently, is named and left out.
fn peer(
    options: &Options,
    store: &MemS3,
    python: &Path,
    name: &str,
    script: &str,
    answers: &[Vec<Vec<String>>],
    report: &mut Report,
) -> Result<Column, Failure> {
    let partitions = json!([{"name": "year", "type": "int"}, {"name": "month", "type": "string"}]);
    let config = json!({
        "endpoint": store.endpoint(),
        "access_key": store.access_key(),
        "secret_key": store.secret_key(),
        "region": store.region(),
        "bucket": BUCKET,
        "tables": [
            {"name": "lineitem_by_month", "partitions": partitions},
            {"name": "lineitem"}, {"name": "orders"}, {"name": "customer"}, {"name": "nation"},
        ],
    });
    let mut peer = Peer::start(python, name, script, &config)?;
    store.reset_log();
    peer.open()?;
    let defining = store.counts();
    let mut cells = Vec::new();
    for (query, expected) in QUERIES.iter().zip(answers) {
        match peer_query(options, store, &mut peer, query, expected) {
            Ok(both) => cells.push(both),
            Err(error) => {
                report.line(&format!("- {}, {}: left out: {error}", peer.name, query.name))?;
                cells.push([None; 2]);
            }
        }
    }
    let engine = peer.name.clone();
    Ok(Column {
        engine,
        cells,
        defining,
    })
}

fn peer_query(
    options: &Options,
    store: &MemS3,
    peer: &mut Peer,
    query: &Query,
    expected: &[Vec<String>],
) -> Result<[Option<Cell>; 2], Failure> {
    let sql = query.peer_sql.unwrap_or(query.sql);
    let mut times = [Vec::new(), Vec::new()];
    let mut both = [Cell::default(); 2];
    for _ in 0..options.runs.max(1) {
        peer.open()?;
        for (times, cell) in times.iter_mut().zip(&mut both) {
            store.reset_log();
            let run = peer.run(sql)?;
            let rows = normal(run.rows);
            if query.comparable && rows != expected {
                return Err(format!("it answers {rows:?}, Owlake {expected:?}").into());
            }
            times.push(run.seconds);
            // Nobody else talks to the store now.
            let counts = store.counts();
            *cell = Cell {
                seconds: median(times),
                requests: counts.requests() + counts.unanswered_requests,
                bytes: counts.object_body_bytes_sent,
            };
        }
    }
    Ok(both.map(Some))
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
    let mut table = Table::new(&["peer", "run", "queries", "Owlake", "peer", "Owlake / peer"]);
    for peer in peers {
        for (run, name) in RUNS.iter().enumerate() {
            let both: Vec<(f64, f64)> = owlake
                .cells
                .iter()
                .zip(&peer.cells)
                .filter_map(|(ours, theirs)| Some((ours[run]?.seconds, theirs[run]?.seconds)))
                .collect();
            let (ours, theirs): (Vec<f64>, Vec<f64>) = both.iter().copied().unzip();
            let (ours, theirs) = (geometric_mean(&ours), geometric_mean(&theirs));
            table.row(vec![
                peer.engine.clone(),
                (*name).to_owned(),
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
