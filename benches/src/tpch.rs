//! The 22 queries of TPC-H on local files: Owlake over Flight SQL, DataFusion and DuckDB in process.

use std::path::{Path, PathBuf};
use std::time::Instant;

use datafusion::prelude::{ParquetReadOptions, SessionContext};
use owlake_client::Client;
use serde_json::json;

use crate::Failure;
use crate::answers::{normal, text_rows};
use crate::flight::{Server, binary, rows, timed};
use crate::peers::Peer;
use crate::plot::Chart;
use crate::report::{Report, Table, geometric_mean, median, seconds, times_ideal};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Size of the tables; 1 is 6 million line items
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,
    /// Runs of each query after one that is not counted; seconds are their median
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Rows of each row group; the default is that of DuckDB's writer
    #[arg(long, value_name = "N", default_value_t = 122_880)]
    row_group_rows: usize,
    /// Only these queries, by number
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=22))]
    queries: Vec<u8>,
    /// Keeps the generated files here, for the next time; one directory per scale and size of row groups
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The binary [default: `owlake` beside this program]
    #[arg(long, value_name = "FILE")]
    owlake: Option<PathBuf>,
    /// Also runs DuckDB; the Python that benches/peers-setup prints
    #[arg(long, value_name = "PYTHON")]
    peers: Option<PathBuf>,
}

const TABLES: [&str; 8] = [
    "region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem",
];

/// One way to run a query.
enum Engine {
    Owlake(Box<Client>),
    DataFusion(SessionContext),
    Peer(Peer),
}

/// An engine, and per query its seconds or why there are none.
struct Column {
    name: String,
    cells: Vec<Result<f64, String>>,
}

type Rows = Vec<Vec<String>>;

pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.name("tpch");
    let generated = tempfile::tempdir()?;
    let root = options
        .data
        .clone()
        .unwrap_or_else(|| generated.path().to_owned());
    std::fs::create_dir_all(&root)?;
    let lake = generate(&root.canonicalize()?, options)?;
    let queries = queries(options)?;
    report.line(&format!(
        "tpch: scale {}, local files with row groups of {}; median of {} after one run that is not counted\n",
        options.scale, options.row_group_rows, options.runs
    ))?;
    // Serves until the end.
    let (_server, owlake) = owlake(options, &lake).await?;
    let mut engines = vec![
        (format!("Owlake {}", env!("CARGO_PKG_VERSION")), owlake),
        (
            format!("DataFusion {}", datafusion::DATAFUSION_VERSION),
            datafusion(&lake).await?,
        ),
    ];
    if let Some(python) = &options.peers {
        let tables: Vec<_> = TABLES.iter().map(|name| json!({"name": name})).collect();
        let mut peer = Peer::start(
            python,
            "DuckDB",
            "duckdb",
            &json!({"directory": lake, "tables": tables}),
        )?;
        peer.open()?;
        engines.push((peer.name.clone(), Engine::Peer(peer)));
    }
    let mut columns: Vec<Column> = engines
        .iter()
        .map(|(name, _)| Column {
            name: name.clone(),
            cells: Vec::new(),
        })
        .collect();
    for (_, sql) in &queries {
        let cells = in_turn(&mut engines, sql, options.runs).await?;
        for (column, cell) in columns.iter_mut().zip(cells) {
            column.cells.push(cell);
        }
    }
    let names: Vec<String> = queries.into_iter().map(|(name, _)| name).collect();
    show(&names, &columns, report)
}

/// Seconds of one query on each engine, which take turns, so that what else the machine does meets all of them alike.
async fn in_turn(
    engines: &mut [(String, Engine)],
    sql: &str,
    runs: usize,
) -> Result<Vec<Result<f64, String>>, Failure> {
    let mut expected: Option<Rows> = None;
    let mut times: Vec<Result<Vec<f64>, String>> = Vec::new();
    for (_, engine) in engines.iter_mut() {
        times.push(match (engine.answer(sql).await, &expected) {
            (Ok(rows), Some(expected)) if !alike(&rows, expected) => Err("another answer".to_owned()),
            (Ok(rows), None) => {
                expected = Some(rows);
                Ok(Vec::new())
            }
            (Ok(_), Some(_)) => Ok(Vec::new()),
            (Err(error), None) => return Err(error),
            (Err(error), Some(_)) => Err(error.to_string()),
        });
    }
    for _ in 0..runs.max(1) {
        for ((_, engine), times) in engines.iter_mut().zip(&mut times) {
            if let Ok(times) = times {
                times.push(engine.once(sql).await?);
            }
        }
    }
    Ok(times.into_iter().map(|times| Ok(median(&times?))).collect())
}

impl Engine {
    /// The rows of a run that is not counted.
    async fn answer(&mut self, sql: &str) -> Result<Rows, Failure> {
        Ok(normal(match self {
            Self::Owlake(client) => text_rows(&rows(client, sql).await?)?,
            Self::DataFusion(context) => text_rows(&context.sql(sql).await?.collect().await?)?,
            Self::Peer(peer) => peer.run(sql)?.rows,
        }))
    }

    async fn once(&mut self, sql: &str) -> Result<f64, Failure> {
        match self {
            Self::Owlake(client) => timed(client, sql).await,
            Self::DataFusion(context) => {
                let begun = Instant::now();
                context.sql(sql).await?.collect().await?;
                Ok(begun.elapsed().as_secs_f64())
            }
            Self::Peer(peer) => Ok(peer.run(sql)?.seconds),
        }
    }
}

/// The same rows; numbers may differ by rounding, since engines average decimals with different scales.
fn alike(mine: &Rows, theirs: &Rows) -> bool {
    let cells = |a: &String, b: &String| {
        a == b
            || matches!((a.parse::<f64>(), b.parse::<f64>()),
                (Ok(a), Ok(b)) if (a - b).abs() <= 0.01 + 1e-6 * a.abs().max(b.abs()))
    };
    mine.len() == theirs.len()
        && mine
            .iter()
            .zip(theirs)
            .all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| cells(a, b)))
}

async fn owlake(options: &Options, lake: &Path) -> Result<(Server, Engine), Failure> {
    // Nothing is on it; the server's configuration names a store all the same.
    let store = crate::store::start()?;
    let server = Server::start(&binary(options.owlake.as_ref())?, &store, Some(lake))?;
    let client = server.connect().await?;
    for ddl in owlake::demo::lake::ddl(&format!("file://{}/", lake.display())) {
        timed(&client, &ddl).await?;
    }
    Ok((server, Engine::Owlake(Box::new(client))))
}

async fn datafusion(lake: &Path) -> Result<Engine, Failure> {
    let context = SessionContext::new();
    for table in TABLES {
        let path = format!("{}/{table}/", lake.display());
        context
            .register_parquet(table, path, ParquetReadOptions::default())
            .await?;
    }
    Ok(Engine::DataFusion(context))
}

/// The tables as files below `root`, made unless they are there.
fn generate(root: &Path, options: &Options) -> Result<PathBuf, Failure> {
    let lake = root.join(format!("scale-{}-rows-{}", options.scale, options.row_group_rows));
    let done = lake.join("complete");
    if !done.exists() {
        owlake::demo::lake::generate_tpch(options.scale, options.row_group_rows, |key, bytes| {
            let path = lake.join(key);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, bytes)
        })?;
        std::fs::write(done, "")?;
    }
    Ok(lake)
}

/// `testdata/tpch/` by name, with the fraction of query 11 that the scale asks for.
fn queries(options: &Options) -> Result<Vec<(String, String)>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tpch");
    let fraction = format!("{:.10}", 0.0001 / options.scale);
    (1..=22)
        .filter(|number| options.queries.is_empty() || options.queries.contains(number))
        .map(|number| {
            let text = std::fs::read_to_string(folder.join(format!("q{number:02}.sql")))?;
            Ok((format!("Q{number}"), text.replace(":fraction", &fraction)))
        })
        .collect()
}

fn show(names: &[String], columns: &[Column], report: &mut Report) -> Result<(), Failure> {
    let mut headers = vec!["query"];
    headers.extend(columns.iter().map(|c| c.name.as_str()));
    let mut table = Table::new(&headers);
    let mut groups = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let cells: Vec<Option<f64>> = columns
            .iter()
            .map(|c| c.cells[index].as_ref().ok().copied())
            .collect();
        let mut row = vec![name.clone()];
        row.extend(
            cells
                .iter()
                .map(|cell| cell.map_or_else(|| "-".to_owned(), seconds)),
        );
        table.row(row);
        groups.push((name.clone(), cells));
    }
    // Only queries that all engines answered, or the means would not compare.
    let all = |index: &usize| columns.iter().all(|c| c.cells[*index].is_ok());
    let common: Vec<usize> = (0..names.len()).filter(all).collect();
    let mut row = vec![format!("geometric mean of {}", common.len())];
    for column in columns {
        let times: Vec<f64> = common
            .iter()
            .filter_map(|index| column.cells[*index].as_ref().ok().copied())
            .collect();
        row.push(seconds(geometric_mean(&times)));
    }
    table.row(row);
    report.table(&table)?;
    ratios(columns, &common, report)?;
    for column in columns {
        for (name, cell) in names.iter().zip(&column.cells) {
            if let Err(why) = cell {
                report.line(&format!("- {}, {name}: {why}", column.name))?;
            }
        }
    }
    let chart = Chart {
        title: "TPC-H on local files".to_owned(),
        unit: "seconds".to_owned(),
        series: columns.iter().map(|c| c.name.clone()).collect(),
        groups,
        logarithmic: true,
    };
    report.plot("tpch", &chart)
}

/// How Owlake compares with each of the others, over the queries `common` to all.
fn ratios(columns: &[Column], common: &[usize], report: &mut Report) -> Result<(), Failure> {
    let mean = |column: &Column| {
        let cells = common
            .iter()
            .filter_map(|i| column.cells[*i].as_ref().ok().copied());
        geometric_mean(&cells.collect::<Vec<_>>())
    };
    if let Some((owlake, others)) = columns.split_first() {
        for other in others {
            let ratio = times_ideal(mean(owlake), mean(other));
            report.line(&format!("Owlake takes {ratio} times as long as {}.", other.name))?;
        }
    }
    report.line("")
}
