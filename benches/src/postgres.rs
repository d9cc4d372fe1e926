//! How fast a table of PostgreSQL arrives: count(*) and a full scan of ten columns, beside what the server itself can
//! send (`psql` with a binary COPY to nowhere) and other engines; and how long a cancelled statement lives on.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use owlake::Lake;
use serde_json::json;

use crate::Failure;
use crate::peers::Peer;
use crate::report::{Report, Table, median};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A server of one's own, `postgresql://user@host:port/database?sslmode=disable`: the schema `owlake_bench` is made
    #[arg(long, value_name = "URL")]
    url: String,
    /// Rows of the table
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    rows: u64,
    /// Runs of each; seconds are their median
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Python with the peers: "$(benches/peers-setup)"
    #[arg(long, value_name = "FILE")]
    peers: Option<PathBuf>,
    /// The program
    #[arg(long, value_name = "FILE", default_value = "psql")]
    psql: PathBuf,
}

const TABLE: &str = "owlake_bench.wide";

impl Options {
    fn psql(&self, sql: &str) -> Command {
        let mut command = Command::new(&self.psql);
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            &self.url,
        ]);
        command
    }

    fn sql(&self, sql: &str) -> Result<String, Failure> {
        let output = self.psql(sql).stderr(Stdio::inherit()).output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
            false => Err(format!("psql failed: {sql}").into()),
        }
    }

    /// Integers, a decimal, a double, a flag, a date, a time, texts of two lengths.
    fn prepare(&self) -> Result<(), Failure> {
        self.sql("CREATE SCHEMA IF NOT EXISTS owlake_bench")?;
        let there = self.sql(&format!("SELECT to_regclass('{TABLE}') IS NOT NULL"))? == "t";
        if there && self.sql(&format!("SELECT count(*) FROM {TABLE}"))? == self.rows.to_string() {
            return Ok(());
        }
        self.sql(&format!(
            "DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} AS SELECT n AS id, (n % 1000)::int AS a, \
             (n * 7 % 100000)::int AS b, (n % 1000000)::numeric(12,2) / 100 AS price, n / 3.0::float8 AS ratio, \
             n % 2 = 0 AS flag, date '2020-01-01' + (n % 2000)::int AS day, \
             timestamp '2026-01-01' + n * interval '1 second' AS at, 'name ' || n AS name, md5(n::text) AS code \
             FROM generate_series(1, {}::bigint) n; ALTER TABLE {TABLE} ALTER price TYPE numeric(12,2)",
            self.rows
        ))?;
        // In no transaction with the others.
        self.sql(&format!("VACUUM ANALYZE {TABLE}"))?;
        Ok(())
    }
}

/// Seconds of both statements.
struct Seconds {
    name: String,
    count: f64,
    scan: f64,
}

pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.name("postgres");
    options.prepare()?;
    report.line(&format!(
        "postgres: {} rows of 10 columns, PostgreSQL {}, {} in its buffers or the system's cache; median of {} runs, in turn.\n",
        options.rows,
        options.sql("SHOW server_version")?,
        options.sql(&format!("SELECT pg_size_pretty(pg_table_size('{TABLE}'))"))?,
        options.runs
    ))?;
    let lake = lake(options).await?;
    let mut peers = peers(options)?;
    let mut all: Vec<(String, Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..options.runs.max(1) {
        let mut found = vec![limit(options)?, ours(&lake, options.rows).await?];
        for peer in &mut peers {
            found.push(theirs(peer)?);
        }
        for (at, seconds) in found.into_iter().enumerate() {
            if all.len() == at {
                all.push((seconds.name, Vec::new(), Vec::new()));
            }
            all[at].1.push(seconds.count);
            all[at].2.push(seconds.scan);
        }
    }
    let mut table = Table::new(&["", "count(*), ms", "scan, ms", "rows/s", "of the limit"]);
    let limit = all.first().map_or(f64::NAN, |first| median(&first.2));
    for (name, count, scan) in &all {
        let (count, scan) = (median(count), median(scan));
        table.row(vec![
            name.clone(),
            format!("{:.0}", count * 1e3),
            format!("{:.0}", scan * 1e3),
            format!("{:.0}", options.rows as f64 / scan),
            format!("{:.2}", limit / scan),
        ]);
    }
    report.table(&table)?;
    cancelled(options, &lake, report).await
}

/// What the server can send: `psql` throws it away.
fn limit(options: &Options) -> Result<Seconds, Failure> {
    let timed = |sql: &str| -> Result<f64, Failure> {
        let begun = Instant::now();
        let status = options.psql(sql).stdout(Stdio::null()).status()?;
        match status.success() {
            true => Ok(begun.elapsed().as_secs_f64()),
            false => Err(format!("psql failed: {sql}").into()),
        }
    };
    Ok(Seconds {
        name: "psql, COPY binary to nowhere".to_owned(),
        count: timed(&format!("SELECT count(*) FROM {TABLE}"))?,
        scan: timed(&format!("COPY (SELECT * FROM {TABLE}) TO STDOUT (FORMAT binary)"))?,
    })
}

async fn lake(options: &Options) -> Result<Lake, Failure> {
    let url = options.url.as_str();
    Ok(Lake::builder()
        .catalog("pg", "postgresql", [("connection_url", url)])
        .build()
        .await?)
}

async fn ours(lake: &Lake, rows: u64) -> Result<Seconds, Failure> {
    let mut seconds = [0.0; 2];
    for (seconds, what) in seconds.iter_mut().zip(["count(*)", "*"]) {
        let begun = Instant::now();
        let sql = format!("SELECT {what} FROM pg.{TABLE}");
        let mut query = lake.query(&sql).run().await?;
        let mut arrived = 0;
        while let Some(batch) = query.try_next().await? {
            arrived += batch.num_rows() as u64;
        }
        *seconds = begun.elapsed().as_secs_f64();
        if what == "*" && arrived != rows {
            return Err(format!("{arrived} rows arrived of {rows}").into());
        }
    }
    let [count, scan] = seconds;
    Ok(Seconds {
        name: "Owlake".to_owned(),
        count,
        scan,
    })
}

fn peers(options: &Options) -> Result<Vec<Peer>, Failure> {
    let Some(python) = &options.peers else {
        return Ok(Vec::new());
    };
    let config = json!({"url": options.url});
    [("ConnectorX", "connectorx"), ("DuckDB", "duckdb_postgres")]
        .into_iter()
        .map(|(name, script)| {
            let mut peer = Peer::start(python, name, script, &config)?;
            peer.open()?;
            Ok(peer)
        })
        .collect()
}

/// A peer has a scan's rows as Arrow, and answers with their number.
fn theirs(peer: &mut Peer) -> Result<Seconds, Failure> {
    let count = peer.run(&format!("SELECT count(*) FROM {TABLE}"))?.seconds;
    let scan = peer.run(&format!("SELECT * FROM {TABLE}"))?.seconds;
    Ok(Seconds {
        name: peer.name.clone(),
        count,
        scan,
    })
}

/// From the moment our query is dropped until the server sees no active statement of it, and says so.
async fn cancelled(options: &Options, lake: &Lake, report: &mut Report) -> Result<(), Failure> {
    options.sql("CREATE OR REPLACE VIEW owlake_bench.slow AS SELECT pg_sleep(600) IS NULL AS s")?;
    let active =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'owlake' AND state = 'active'";
    let gone = format!(
        "DO $$ BEGIN WHILE ({active}) > 0 LOOP PERFORM pg_sleep(0.001); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$; \
         SELECT 'gone'"
    );
    let mut ms = Vec::new();
    for _ in 0..options.runs.max(1) {
        let sql = "SELECT * FROM pg.owlake_bench.slow";
        let mut query = lake.query(sql).run().await?;
        while options.sql(active)? != "1" {
            tokio::task::yield_now().await;
        }
        let watcher = options.psql(&gone).stdout(Stdio::piped()).spawn()?;
        // Until the watcher looks.
        let watching = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO $$%' AND state = 'active'";
        while options.sql(watching)? != "1" {
            tokio::task::yield_now().await;
        }
        tokio::select! {
            biased;
            _ = query.try_next() => return Err("a statement that sleeps has answered".into()),
            () = std::future::ready(()) => {}
        }
        let begun = Instant::now();
        drop(query);
        let output = watcher.wait_with_output()?;
        if output.stdout.is_empty() {
            return Err("the watcher failed".into());
        }
        ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let longest = ms.iter().copied().fold(0.0, f64::max);
    report.line(&format!(
        "A query that is dropped: its statement ends in the database after {:.0} ms (median; longest {longest:.0} ms).",
        median(&ms)
    ))
}
