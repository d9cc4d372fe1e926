//! What a warm query of one partition takes over Flight SQL, alone and at 16 clients; and what an idle server takes.

use std::path::PathBuf;

use futures::future::try_join_all;
use owlake_mems3::Latency;

use crate::Failure;
use crate::flight::{Server, binary, timed};
use crate::plot::Chart;
use crate::report::{Report, Table, median, percentile};
use crate::store::{BUCKET, Slowness, start};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Size of the TPC-H tables; 1 is 6 million line items
    #[arg(long, value_name = "FACTOR", default_value_t = 0.05)]
    scale_factor: f64,
    #[command(flatten)]
    slowness: Slowness,
    /// Queries of each client
    #[arg(long, value_name = "N", default_value_t = 200)]
    queries: usize,
    /// Starts of the binary; its start-up time is their median
    #[arg(long, value_name = "N", default_value_t = 5)]
    starts: usize,
    /// The binary [default: `owlake` beside this program]
    #[arg(long, value_name = "FILE")]
    owlake: Option<PathBuf>,
}

const SQL: &str = "SELECT sum(l_extendedprice) FROM lineitem_by_month WHERE year = 1995 AND month = 3";
const CLIENTS: [usize; 2] = [1, 16];

pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.name("warm");
    let binary = binary(options.owlake.as_ref())?;
    let store = start()?;
    owlake::demo::lake::generate(options.scale_factor, |key, bytes| {
        if key.starts_with("lineitem_by_month/") {
            store.put(BUCKET, key, bytes);
        }
        Ok(())
    })?;
    let (mut startups, mut idle) = (Vec::new(), Vec::new());
    for _ in 1..options.starts.max(1) {
        let server = Server::start(&binary, &store, None)?;
        startups.push(server.startup_seconds * 1e3);
        idle.extend(server.resident_bytes());
    }
    let server = Server::start(&binary, &store, None)?;
    startups.push(server.startup_seconds * 1e3);
    idle.extend(server.resident_bytes());
    report.line(&format!(
        "warm: scale {}, {} queries of each client: `{SQL}`\n",
        options.scale_factor, options.queries
    ))?;
    let mut table = Table::new(&[
        "store",
        "clients",
        "p50 ms",
        "p99 ms",
        "queries/s",
        "GET per query",
    ]);
    let mut groups = Vec::new();
    for (name, latency) in [
        ("no latency", Latency::default()),
        ("latency", options.slowness.latency()),
    ] {
        store.set_latency(latency);
        for clients in CLIENTS {
            let row = measure(options, &server, &store, clients).await?;
            table.row(vec![
                name.to_owned(),
                clients.to_string(),
                format!("{:.2}", row.p50),
                format!("{:.2}", row.p99),
                format!("{:.0}", row.per_second),
                format!("{:.2}", row.gets),
            ]);
            groups.push((
                format!("{name}, {clients} clients"),
                vec![Some(row.p50), Some(row.p99)],
            ));
        }
    }
    report.table(&table)?;
    report.table(&idle_table(
        &startups,
        idle.into_iter().max(),
        server.resident_bytes(),
    ))?;
    let chart = Chart {
        title: "A warm query of one partition over Flight SQL".to_owned(),
        unit: "ms".to_owned(),
        series: vec!["p50".to_owned(), "p99".to_owned()],
        groups,
        logarithmic: false,
    };
    report.plot("warm", &chart)
}

/// What a server takes that nobody asks anything.
fn idle_table(startups_ms: &[f64], idle_bytes: Option<u64>, after_bytes: Option<u64>) -> Table {
    let megabytes = |bytes: Option<u64>| {
        bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1e6))
    };
    let mut table = Table::new(&["what", "value", "unit"]);
    for (what, value, unit) in [
        (
            "start-up to ready, median",
            format!("{:.0}", median(startups_ms)),
            "ms",
        ),
        (
            "resident memory of an idle server, most",
            megabytes(idle_bytes),
            "MB",
        ),
        (
            "resident memory after these queries",
            megabytes(after_bytes),
            "MB",
        ),
    ] {
        table.row(vec![what.to_owned(), value, unit.to_owned()]);
    }
    table
}

struct Row {
    p50: f64,
    p99: f64,
    per_second: f64,
    gets: f64,
}

async fn measure(
    options: &Options,
    server: &Server,
    store: &owlake_mems3::MemS3,
    clients: usize,
) -> Result<Row, Failure> {
    let first = server.connect().await?;
    for ddl in owlake::demo::lake::ddl(&format!("s3://{BUCKET}/")) {
        timed(&first, &ddl).await?;
    }
    let clients = try_join_all((0..clients).map(|_| server.connect())).await?;
    // Connections, sessions, footers and listings.
    try_join_all(clients.iter().map(|client| timed(client, SQL))).await?;
    store.reset_log();
    let begun = std::time::Instant::now();
    let streams = clients.iter().map(async |client| -> Result<Vec<f64>, Failure> {
        let mut times = Vec::with_capacity(options.queries);
        for _ in 0..options.queries {
            times.push(timed(client, SQL).await? * 1e3);
        }
        Ok(times)
    });
    let times: Vec<f64> = try_join_all(streams).await?.into_iter().flatten().collect();
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Row {
        p50: percentile(&times, 0.5),
        p99: percentile(&times, 0.99),
        per_second: times.len() as f64 / seconds,
        gets: store.counts().get_requests as f64 / times.len().max(1) as f64,
    })
}
